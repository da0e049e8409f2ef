"""The refill procedure: one table of states and transitions, and the facts that its conditions look at.

Owns: STATES, TRANSITIONS, what is asked in each state and how an answer is read, the next date. Must not: talk to a
pump, write or print (`visit` does). Teaching and bench material, not for clinical use.

The table is in the vocabulary of the `transitions` package, which interprets it here and draws it in docs/refill.md.
What a visit has come to is nothing but the answers that were confirmed, in their order: `take` is called with each of
them, when it is given and again when a visit is taken up, and leads to the same place.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from transitions import Machine

from haipump.errors import UsageError
from haipump.quantities import SECONDS_PER_DAY, format_volume
from haipump.therapy import findings, steps
from haipump.therapy.findings import Assessment, Finding, Interval, Ledger
from haipump.therapy.flow import REFUSE

PORTIONS = 3  # a fill goes in in so many parts, with a check after each
PORTIONS_SEEN = 2  # ... where it goes into a syringe, and everybody sees whether it is in
RESERVE_NL = 2_000_000  # is left at the next visit at least: the residual at which makers warn
VERIFY_PART = 2  # after a fast pump: next visit after this part of the usual interval
UNSURE_NL = 3_000_000  # standard uncertainty of a fill that was broken off
NOTHING_RECORDED = "Nothing was recorded"

# state: (who confirms it: a person, the pump, or nobody at the ends; what happens in it)
PERSON, PUMP, END = "person", "pump", "end"
STATES: Mapping[str, tuple[str, str]] = {
    "identify": (PERSON, "patient, pump, needle and syringe are the right ones"),
    "stop": (PUMP, "the pump is stopped, its ledger and journal are read"),
    "drug": (PERSON, "the lot on the syringe is read"),
    "access": (PERSON, "the refill needle is in the septum, its valve shut"),
    "retract": (PUMP, "the plunger's drive goes back to where the new fill begins"),
    "withdraw": (PERSON, "the residual comes out and is read; findings are told"),
    "check_record": (PERSON, "the last fill in the record is checked before anything is injected"),
    "patency": (PERSON, "bolus path flushed, patency tested, before any drug"),
    "perfusion": (PERSON, "a tracer shows where the catheter leads: before the first drug, after a sign, when due"),
    "substitute": (PERSON, "the catheter is not free, or leads elsewhere: heparin-saline instead of drug, or nothing"),
    "acknowledge": (PERSON, "a flow that is more than 15 % off is acknowledged, with a reason"),
    "placement": (PERSON, "some is pushed, and must come back: the needle is in the reservoir"),
    "pocket": (PERSON, "it did not come back: the needle is placed anew, or the visit ends"),
    "portion": (PERSON, "a part of the fill goes in, with a check"),
    "load": (PUMP, "the pump is told what is in it"),
    "prime_ready": (PERSON, "the line is disconnected"),
    "prime": (PUMP, "play and air are taken up"),
    "flush": (PERSON, "bolus path flushed, patency tested, when due"),
    "trace": (PERSON, "a tracer after a flush that was stiff, or free without blood"),
    "start": (PERSON, "delivery begins, the next date is set"),
    "run": (PUMP, "the pump delivers"),
    "done": (END, "the visit is over"),
    "ended": (END, "the visit was broken off"),
}  # fmt: skip

# Where a reading of the residual leads: the first row whose condition holds.
_AFTER_READING = (
    ("check_record", "stops"),
    ("ended", "impossible"),
    ("patency", "must_test"),
    ("perfusion", "perfusion_due"),
    ("acknowledge", "out_of_range"),
    ("placement", None),
)
_AFTER_FILL = (("load", "has_pump"), ("flush", "flush_due"), ("start", None))

# (trigger, sources, dest, condition), as in the firmware's table: the first row that holds is taken.
TRANSITIONS: Sequence[tuple[str, tuple[str, ...], str, str | None]] = (
    ("named", ("identify",), "stop", "has_pump"),
    ("named", ("identify",), "drug", None),
    ("stopped", ("stop",), "drug", None),
    ("labelled", ("drug",), "access", None),
    ("accessed", ("access",), "retract", "was_filled"),
    ("accessed", ("access",), "withdraw", None),
    ("missed", ("access",), "ended", None),
    ("retracted", ("retract",), "withdraw", None),
    *[("returned", ("withdraw",), dest, condition) for dest, condition in _AFTER_READING],
    *[("checked", ("check_record",), dest, condition) for dest, condition in _AFTER_READING],
    ("free", ("patency",), "perfusion", "perfusion_due"),
    ("free", ("patency",), "acknowledge", "out_of_range"),
    ("free", ("patency",), "placement", None),
    ("blocked", ("patency",), "substitute", None),
    ("doubtful", ("patency", "perfusion"), "perfusion", None),
    ("liver", ("perfusion",), "acknowledge", "out_of_range"),
    ("liver", ("perfusion",), "placement", None),
    ("astray", ("perfusion",), "substitute", None),
    ("substituted", ("substitute",), "placement", None),
    ("acknowledged", ("acknowledge",), "placement", None),
    ("placed", ("placement",), "portion", None),
    ("lost", ("placement",), "pocket", None),
    ("again", ("pocket",), "placement", None),
    ("portion_in", ("portion",), "portion", "more_portions"),
    *[("portion_in", ("portion",), dest, condition) for dest, condition in _AFTER_FILL],
    ("lost", ("portion",), "ended", None),
    ("loaded", ("load",), "prime_ready", "primes"),
    ("loaded", ("load",), "flush", "flush_due"),
    ("loaded", ("load",), "start", None),
    ("disconnected", ("prime_ready",), "prime", None),
    ("primed", ("prime",), "flush", "flush_due"),
    ("primed", ("prime",), "start", None),
    ("free", ("flush",), "start", None),
    ("doubtful", ("flush", "trace"), "trace", None),
    ("blocked", ("flush",), "ended", None),
    ("liver", ("trace",), "start", None),
    ("astray", ("trace",), "ended", None),
    ("started", ("start",), "run", "has_pump"),
    ("started", ("start",), "done", None),
    ("running", ("run",), "done", None),
    ("leave", tuple(name for name, (who, _) in STATES.items() if who != END), "ended", None),
)


@dataclass(frozen=True)
class Before:
    """The last fill: volume, its standard uncertainty, when it was complete."""

    filled_nl: int
    u_nl: int
    at: datetime.datetime


@dataclass(frozen=True)
class VisitPlan:
    """What a refill is meant to be. Volumes nL, flows nL/day, concentration ng/mL. `before` None: the first fill;
    `history`: earlier intervals, the newest last; `rate_nl_per_day`, `syringe_nl`, `prime_nl` and `vtbi_nl` (0: until
    it is stopped): for a pump on a line; `drug_doses`: a drug goes in, and the pump's flow doses it; `late`: it is
    meant that the last visit was so long ago; `by`: who does it, when that is known."""

    drug: str
    concentration_ng_per_ml: Fraction
    fill_nl: int
    label_nl_per_day: int
    reference_nl_per_day: Fraction
    interval_days: int
    u_reference: Fraction = Fraction(0)
    reading_nl: int = findings.READING_NL
    check_nl: int = 5_000_000
    unusable_nl: int = 0
    flush_due: bool = True
    perfusion_due: bool = False
    drug_doses: bool = False
    has_pump: bool = False
    rate_nl_per_day: int = 0
    syringe_nl: int = 0
    prime_nl: int = 0
    vtbi_nl: int = 0
    late: bool = False
    before: Before | None = None
    history: tuple[Interval, ...] = ()
    by: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError for a fill that can't be."""
        if not 0 <= self.unusable_nl + RESERVE_NL < self.fill_nl <= findings.VOLUME_MAX_NL:
            raise UsageError(
                f"{format_volume(self.fill_nl)} is no fill: {format_volume(self.unusable_nl)} of it can't be used, and "
                f"{format_volume(RESERVE_NL)} stay in reserve",
                NOTHING_RECORDED,
                "give a larger volume",
            )
        if self.has_pump and self.fill_nl > self.syringe_nl:
            raise UsageError(
                f"{format_volume(self.fill_nl)} do not fit into a syringe of {format_volume(self.syringe_nl)}",
                NOTHING_RECORDED,
                "name the syringe that is in",
            )
        if self.reference_nl_per_day <= 0 or self.label_nl_per_day <= 0 or self.interval_days < 1:
            raise UsageError("flow and interval are above 0", NOTHING_RECORDED, "give the label's flow and an interval")
        if self.supply_days(self.reference_nl_per_day) < 1:
            raise UsageError(
                f"{format_volume(self.fill_nl)} do not last for a day at this flow",
                NOTHING_RECORDED,
                "check volume and flow: mL/day and mL/h are easily mixed up",
            )

    @property
    def portions(self) -> tuple[int, ...]:
        """The parts in which the fill goes in, nL; they add up to it."""
        count = PORTIONS_SEEN if self.has_pump else PORTIONS
        part, rest = divmod(self.fill_nl, count)
        return tuple(part + (rest if number == 0 else 0) for number in range(count))

    def supply_days(self, flow_nl_per_day: Fraction | int) -> int:
        """Whole days until only the reserve is left of what is not primed."""
        return int((self.fill_nl - self.prime_nl - self.unusable_nl - RESERVE_NL) // flow_nl_per_day)


@dataclass
class Facts:
    """What was confirmed so far."""

    by: str = ""
    lot: str = ""
    filled_nl: int = 0  # at the last visit, as recorded or corrected
    returned_nl: int | None = None
    returned_at: datetime.datetime | None = None
    stopped: bool = False
    ledger: Ledger | None = None
    record_checked: bool = False
    patent: bool = False
    perfused: bool = False
    substituted: bool = False
    reason: str = ""
    portions_in: int = 0
    lost_nl: int = 0
    next_visit: datetime.date | None = None
    found: list[Finding] = field(default_factory=list)  # at needle and catheter


class Procedure:
    """One refill, from `identify` to `done` or `ended`. `state` is where it stands; `take` confirms it."""

    state: str

    def __init__(self, plan: VisitPlan) -> None:
        self.plan = plan
        self.facts = Facts(filled_nl=plan.before.filled_nl if plan.before else 0)
        self.assessment: Assessment | None = None
        rows = [
            {"trigger": trigger, "source": source, "dest": dest, "conditions": [condition] if condition else []}
            for trigger, sources, dest, condition in TRANSITIONS
            for source in sources
        ]
        Machine(self, states=list(STATES), transitions=rows, initial="identify", auto_transitions=False)

    # --- conditions of the table

    def has_pump(self) -> bool:
        """There is a line to the pump; one of constant flow has none."""
        return self.plan.has_pump

    def was_filled(self) -> bool:
        """There is a drive that has moved since the last fill."""
        return self.plan.has_pump and self.plan.before is not None

    def primes(self) -> bool:
        return self.plan.prime_nl > 0

    def flush_due(self) -> bool:
        """Once in a visit: not again when it was tested before the fill."""
        return self.plan.flush_due and not self.facts.patent and not self.facts.substituted

    def perfusion_due(self) -> bool:
        """Before any drug; it has the flush in it. After a doubtful flush it follows anyway."""
        return self.plan.perfusion_due and not self.facts.perfused and not self.facts.substituted

    def stops(self) -> bool:
        """A finding after which the record is checked first."""
        told = self.assessment.findings if self.assessment else ()
        return not self.facts.record_checked and any(one.level == findings.STOP for one in told)

    def impossible(self) -> bool:
        return bool(self.assessment and "more_than_filled" in self.assessment.kinds)

    def must_test(self) -> bool:
        return bool(self.assessment and self.assessment.kinds & {"slow", "dry", "stood_still"})

    def out_of_range(self) -> bool:
        """Told so, or measured so before a drug goes into a pump of constant flow, whatever readings can make of it:
        its dose goes by the flow, while that of a pump on a line goes by its steps."""
        told = self.assessment
        if told is None:
            return False
        measured = self.plan.drug_doses and abs(told.error) > REFUSE
        return bool(told.kinds & {"fast", "slow"}) or measured

    def more_portions(self) -> bool:
        return self.facts.portions_in < len(self.plan.portions)

    # --- what follows from the facts

    @property
    def over(self) -> bool:
        return STATES[self.state][0] == END

    @property
    def drug(self) -> str:
        return "heparin-saline" if self.facts.substituted else self.plan.drug

    @property
    def flow_nl_per_day(self) -> Fraction:
        """The reference from now on: the flow for the next dose. A pump on a line is compared with what it counted, so
        its error is one of the rate that it is set to, and does not add to the last one."""
        plan = self.plan
        reference = Fraction(plan.label_nl_per_day) if plan.has_pump else plan.reference_nl_per_day
        return self.assessment.next_reference(reference) if self.assessment else reference

    @property
    def all_found(self) -> tuple[Finding, ...]:
        return (*(self.assessment.findings if self.assessment else ()), *self.facts.found)

    @property
    def in_nl(self) -> int:
        """What has gone in for certain."""
        return sum(self.plan.portions[: self.facts.portions_in])

    def next_days(self) -> int:
        """Days to the next visit: as usual, or as long as the fill lasts, and earlier after a fast pump."""
        days = min(self.plan.interval_days, self.plan.supply_days(self.flow_nl_per_day))
        fast = self.assessment is not None and "fast" in self.assessment.kinds
        return max(1, min(days, self.plan.interval_days // VERIFY_PART) if fast else days)

    def interval(self) -> Interval | None:
        """From the last fill to this withdrawal; None at the first visit, when the pump was left empty, and
        when it is known to be too long ago to tell anything."""
        plan, facts = self.plan, self.facts
        if plan.before is None or not facts.filled_nl or facts.returned_nl is None or facts.returned_at is None:
            return None
        elapsed_s = int((facts.returned_at - plan.before.at).total_seconds())
        reference: Fraction = plan.reference_nl_per_day
        if plan.late and elapsed_s > findings.DAYS_MAX * SECONDS_PER_DAY:
            return None
        now = Interval(
            facts.filled_nl, facts.returned_nl, elapsed_s, reference, plan.label_nl_per_day, plan.before.u_nl,
            plan.reading_nl, plan.u_reference, facts.ledger,
        )  # fmt: skip
        if facts.ledger is None:
            return now
        counted = Fraction(max(1, facts.ledger.commanded_nl) * SECONDS_PER_DAY, now.flowed_s)
        return replace(now, reference_nl_per_day=counted)

    def judge(self) -> None:
        """Compare what came back with what was expected. Raises UsageError for dates and volumes that can't be."""
        now = self.interval()
        noise = findings.PROGRAMMABLE if self.plan.has_pump else findings.CONSTANT_FLOW
        self.assessment = None if now is None else findings.assess([*self.plan.history, now], noise)

    # --- asking and answering

    def question(self, at: datetime.datetime) -> steps.Question:
        """What a person is asked in this state. Only in states that a person confirms."""
        return steps.QUESTIONS[self.state](self, at)

    def read(self, text: str, at: datetime.datetime) -> dict[str, Any]:
        """What was typed as the answer that is recorded. Raises UsageError; then nothing has happened."""
        typed = text.strip() or self.question(at).default
        if typed.lower() == "leave":
            return {"leave": True}
        if not typed:
            raise UsageError("an answer is missing", NOTHING_RECORDED, self.question(at).hint)
        return steps.READERS[self.state](self, typed, at)

    def take(self, answer: Mapping[str, Any], at: datetime.datetime) -> None:
        """A confirmed answer: the facts, and the next state. Raises UsageError for an answer that can't be one."""
        before, assessment = replace(self.facts, found=list(self.facts.found)), self.assessment
        try:
            trigger = "leave" if "leave" in answer else steps.TAKERS[self.state](self, answer, at)
            self.trigger(trigger)  # type: ignore[attr-defined]
        except BaseException:
            self.facts, self.assessment = before, assessment
            raise
