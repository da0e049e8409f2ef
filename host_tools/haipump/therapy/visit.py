"""A refill as it happens: the procedure, the record and, where there is one, the pump on its line, brought together.

Owns: what a confirmed step writes, what is done at the pump in the steps that it confirms, and how a visit is taken up
again. Must not: know the order of the steps (`refill`), or the terminal. Teaching and bench material, not for clinical
use.

A step counts when it is in the record, together with all that follows from it. A visit that was broken off, by Ctrl-C,
a crash or a power cut, is taken up where the record ends. What is done at the pump is done in a way that can be asked
for: the pump is looked at first, and what it has done already is not done again.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Protocol

from haipump import syringes
from haipump.client import STANDING, Pump
from haipump.errors import OrderInterrupted, UsageError
from haipump.protocol import help as texts
from haipump.quantities import FL_PER_NL, format_volume
from haipump.therapy import dose, findings, library
from haipump.therapy.record import Record, fraction_text, moment, utc_text
from haipump.therapy.refill import PERSON, STATES, UNSURE_NL, Before, Procedure, VisitPlan
from haipump.therapy.steps import Question

PROCEDURE = "refill"
JOURNAL_BATCH = 1_024  # records in one transaction
MOVE_REST_NL = 10_000  # of a move that was broken off, less than this is left as it is
OFF_THE_END_STEPS = 640  # microsteps: 0.4 mm, more than an end switch needs to open
MOVING = ("priming", "withdrawing")
FLOWING = [tuple(texts.STATES).index(name) for name in ("infusing", "bolus", "kvo")]  # states, as a journal has them
END = "end_of_travel"  # the alarm; while the drive goes back it is the rear end's
_NOT_KEPT = ("before", "history")  # of a plan: the record has them anyway
NO_PUMP, CONSTANT = "none", "constant flow"
YEAR = datetime.timedelta(days=365)  # from one visit to the next: what is later is a slip of the year
_SHOWN_LIVER = "step in ('perfusion', 'trace') and answer like '%liver%'"

Clock = Callable[[], datetime.datetime]


class Asker(Protocol):
    """Who asks a person. `ask` returns what was typed; it may raise KeyboardInterrupt or EOFError, and the visit stays
    open."""

    def ask(self, question: Question) -> str: ...

    def say(self, text: str) -> None: ...

    def wrong(self, error: UsageError) -> None: ...

    def judged(self, procedure: Procedure) -> None: ...


@dataclass(frozen=True)
class Wanted:
    """What a new visit is to be; None: as at the last one. Units as in `VisitPlan`.

    Of this visit alone: `course_fill`, its number in the calendar (None: it is none of the calendar's), `override`,
    why a soft limit may be passed, `made`, how the fill was worked out (`filled.kept`), and `late`: it is meant that
    the last one was more than a year ago. `course` and `patient`: name and label of the course file."""

    drug: str | None = None
    concentration_ng_per_ml: Fraction | None = None
    fill_nl: int | None = None
    label_nl_per_day: int | None = None
    rate_nl_per_day: int | None = None
    interval_days: int | None = None
    flush_every_days: int | None = None
    perfusion_every_days: int | None = None
    unusable_nl: int | None = None
    reading_nl: int | None = None
    syringe_nl: int | None = None
    prime_nl: int | None = None
    vtbi_nl: int | None = None
    course_fill: int | None = None
    course: str | None = None
    patient: str | None = None
    override: str | None = None
    made: Mapping[str, Any] | None = None
    late: bool | None = None
    by: str = ""


DEFAULTS: Mapping[str, Any] = {
    "interval_days": 14,
    "flush_every_days": 28,
    "perfusion_every_days": 0,  # never by the calendar
    "unusable_nl": 0,
    "reading_nl": findings.READING_NL,
    "prime_nl": dose.PRIME_NL,
    "vtbi_nl": 0,
    "concentration_ng_per_ml": "0",
}


# --- the plan of a visit


def plan_for(
    record: Record, wanted: Wanted, pump: Pump | None, device: str, at: datetime.datetime
) -> tuple[VisitPlan, dict[str, Any]]:
    """What a visit that begins now is to be, and what of it is kept with the visit: what was typed, then as last time,
    then DEFAULTS. Raises UsageError when something is known from nowhere."""
    last = record.last("visits")
    known: dict[str, Any] = {**DEFAULTS, **(json.loads(last["settings"]) if last else {})}
    if wanted.drug is not None and wanted.drug != known.get("drug"):
        known["concentration_ng_per_ml"] = DEFAULTS["concentration_ng_per_ml"]  # that of another drug is none of its
    for name, value in asdict(wanted).items():
        if value is not None:
            known[name] = fraction_text(value) if isinstance(value, Fraction) else value
    known.update({name: getattr(wanted, name) for name in ("course_fill", "override", "made")}, late=bool(wanted.late))
    known["has_pump"] = pump is not None
    if pump is not None and "rate_nl_per_day" not in known and "label_nl_per_day" in known:
        known["rate_nl_per_day"] = known["label_nl_per_day"]
    if "label_nl_per_day" not in known and "rate_nl_per_day" in known:
        known["label_nl_per_day"] = known["rate_nl_per_day"]
    for name, option in (("drug", "--drug"), ("fill_nl", "--volume"), ("label_nl_per_day", "--flow")):
        if name not in known:
            raise UsageError(
                f"the record has no earlier visit that tells the {name.split('_')[0]}",
                "Nothing was recorded",
                f"give {option}",
            )
    known["flush_due"] = _flush_due(record, at, int(known["flush_every_days"]))
    known["perfusion_due"] = is_drug(known["drug"]) and _perfusion_due(
        record, device, at, int(known["perfusion_every_days"])
    )
    known["drug_doses"] = pump is None and is_drug(known["drug"])
    if pump is None:
        known.update(rate_nl_per_day=0, syringe_nl=0, prime_nl=0)
    else:
        known["syringe_nl"] = _syringe(pump, wanted.syringe_nl, int(known["fill_nl"]))
        _check_room(pump, known)
    return _plan(record, known, device, visit=None), known


def _check_room(pump: Pump, known: Mapping[str, Any]) -> None:
    """Whether the pump will take the order, before anything is filled. Raises UsageError."""
    left_nl = max(int(known["unusable_nl"]), pump.limits().reservoir_empty_nl)
    room_nl = int(known["fill_nl"]) - int(known["prime_nl"]) - left_nl
    if int(known["vtbi_nl"]) > room_nl:
        raise UsageError(
            f"{format_volume(known['vtbi_nl'])} are to be delivered of a fill of {format_volume(known['fill_nl'])}: of "
            f"it {format_volume(known['prime_nl'])} are primed, and {format_volume(left_nl)} stay in the pump",
            "Nothing was recorded",
            "fill more, or refill earlier",
        )


def _syringe(pump: Pump, wanted_nl: int | None, fill_nl: int) -> int:
    """Size of the syringe: what was typed, what is in if the fill goes into it, or the smallest that holds it. Raises
    UsageError for one that is not known."""
    loaded_nl = pump.calibration().syringe_nl
    fitting = [loaded_nl, *sorted(one.size_nl for one in syringes.SYRINGES), fill_nl]
    size_nl = wanted_nl or next(size for size in fitting if size >= fill_nl)
    if size_nl != loaded_nl:
        syringes.find(format_volume(size_nl))
    return size_nl


def _flush_due(record: Record, at: datetime.datetime, every_days: int) -> bool:
    """Whether the last flush was so long ago, or there was none."""
    done = record.last("confirmations", f"(step in ('flush', 'patency') and answer like '%free%') or ({_SHOWN_LIVER})")
    return done is None or (at - moment(done["at_utc"])).days >= every_days


def is_drug(name: str) -> bool:
    """Whether a perfusion check comes before it: whatever the packaged library does not know as something else."""
    known = _packaged().drugs.get(name.replace("_", "-"))
    return known is None or known.kind == "drug"


@functools.cache
def _packaged() -> library.Library:
    return library.load()


def _perfusion_due(record: Record, device: str, at: datetime.datetime, every_days: int) -> bool:
    """Before the first drug of this pump, after a sign of the catheter, and so often (0: not by the calendar)."""
    its = "visit in (select id from visits where device = ?)"
    done = record.last("confirmations", f"{_SHOWN_LIVER} and {its}", device)
    since = done["visit"] if done else 0
    kinds = ", ".join(f"'{kind}'" for kind in findings.CATHETER_SIGNS)
    if record.last("findings", f"kind in ({kinds}) and visit > ? and {its}", since, device) is not None:
        return True
    if done is not None:
        return bool(every_days) and (at - moment(done["at_utc"])).days >= every_days
    return not any(is_drug(fill["drug"]) for fill in record.rows("fills", its, device))


def _plan(record: Record, known: Mapping[str, Any], device: str, visit: int | None) -> VisitPlan:
    """The plan with what the record says of this pump before this visit; the newest when `visit` is None."""
    earlier = "visit in (select id from visits where id < ? and device = ?)"
    which = (visit if visit is not None else 1 << 62, device)
    fill, planned = record.last("fills", earlier, *which), record.last("plans", earlier, *which)
    readings = record.rows("readings", earlier, *which)[-findings.WINDOW_MAX + 1 :]
    reference = Fraction(planned["reference_nl_per_day"]) if planned else Fraction(known["label_nl_per_day"])
    names = set(VisitPlan.__dataclass_fields__) - set(_NOT_KEPT)
    kept = {name: value for name, value in known.items() if name in names}
    kept["concentration_ng_per_ml"] = Fraction(known["concentration_ng_per_ml"])
    kept["reference_nl_per_day"] = reference
    kept["u_reference"] = Fraction(planned["u_reference"]) if planned else Fraction(0)
    return VisitPlan(
        **kept,
        before=Before(fill["volume_nl"], fill["u_nl"], moment(fill["at_utc"])) if fill else None,
        history=tuple(findings.recorded(row) for row in readings),
    )


def _delivered_s(record: Record, device: str) -> int | None:
    """For so long the pump has delivered since it was loaded, by its journal: whatever it was set to, and without the
    time in which it stood. None when the record has nothing of that. Of a power cut up to ten minutes are missing."""
    loaded = record.last("journal", "device = ? and name = 'syringe' and not restated", device)
    if loaded is None:
        return None
    total_s, flows, before = 0, False, loaded
    for row in record.rows("journal", "device = ? and seq > ? and not restated", device, loaded["seq"]):
        if row["boot"] != before["boot"]:
            flows = False
        elif flows:
            total_s += row["uptime_s"] - before["uptime_s"]
        if row["name"] == "state":
            flows = json.loads(row["fields"])["state"] in FLOWING
        before = row
    return total_s


# --- a visit


def _take_again(procedure: Procedure, record: Record, number: int) -> list[dict[str, Any]]:
    """All answers of a visit, as they were confirmed; the rows."""
    rows = record.rows("confirmations", "visit = ?", number)
    for row in rows:
        procedure.take(json.loads(row["answer"]), moment(row["at_utc"]))
    return rows


def open_step(record: Record, visit: Mapping[str, Any]) -> str:
    """The step at which a visit stands. `visit`: its row."""
    procedure = Procedure(_plan(record, json.loads(visit["settings"]), visit["device"], visit["id"]))
    _take_again(procedure, record, visit["id"])
    return procedure.state


class Visit:
    """One refill, begun or taken up. `pump`: on its line, None for a pump without one. `clock`: the course's time."""

    def __init__(self, record: Record, number: int, pump: Pump | None, clock: Clock) -> None:
        self.record, self.number, self.pump, self.clock = record, number, pump, clock
        row = record.rows("visits", "id = ?", number)[0]
        self.device: str = row["device"]
        self.settings: Mapping[str, Any] = json.loads(row["settings"])
        self.procedure = Procedure(_plan(record, self.settings, self.device, number))
        self._check_pump()
        self.before_run: Callable[[Pump, str], None] = lambda pump, drug: None  # at the pump, which stands
        self._judged = False
        done = _take_again(self.procedure, record, number)
        self.turn = len(done)
        self.prompts = sum(STATES[one["step"]][0] == PERSON for one in done)  # confirmed by people in this visit
        self._latest = moment(done[-1]["at_utc"] if done else row["at_utc"])
        self._judged = bool(record.rows("readings", "visit = ?", number))

    def _check_pump(self) -> None:
        if self.procedure.plan.has_pump != (self.pump is not None):
            there = "a pump on its line" if self.procedure.plan.has_pump else "no pump on a line"
            raise UsageError(
                f"visit {self.number} began with {there}", "Nothing was recorded", "go on in the same way (--no-pump)"
            )
        device = self.pump.conversation.greeting.device if self.pump else self.device
        if device != self.device:
            raise UsageError(
                f"visit {self.number} is that of pump {self.device}, and this is {device}",
                "Nothing was recorded, nothing was sent but questions",
                "connect the pump of this course",
            )

    def run(self, asker: Asker) -> Procedure:
        """Step by step to the end. What `asker` and the pump raise leaves the visit open."""
        while not self.procedure.over:
            state = self.procedure.state
            if STATES[state][0] == PERSON:
                self._ask(asker)
            else:
                assert self.pump is not None
                self._confirm(_ACTIONS[state](self, self.pump, asker), f"pump {self.device}", self.clock())
        return self.procedure

    def _ask(self, asker: Asker) -> None:
        """Until there is an answer that can be one."""
        judged = self.procedure.assessment
        while True:
            at = self.clock()
            typed = asker.ask(self.procedure.question(at))
            at = self.clock()
            try:
                answer = self.procedure.read(typed, at)
                by = answer.get("by") or self.procedure.facts.by or "unknown"
                found = len(self.procedure.facts.found)
                state = self.procedure.state
                self.procedure.take(answer, at)
            except UsageError as error:
                asker.wrong(error)
                continue
            self._write(state, answer, by, at, found)
            break
        self.prompts += 1
        if self.procedure.assessment is not judged:
            asker.judged(self.procedure)

    def leave(self, by: str, reason: str) -> None:
        """End it where it stands, also at a step that the pump refuses, and when a step has a date that is still to
        come: then with that date. The pump stays as it is."""
        self._confirm({"leave": True, "reason": reason}, by, max(self.clock(), self._latest))

    def _confirm(self, answer: Mapping[str, Any], by: str, at: datetime.datetime) -> None:
        state, found = self.procedure.state, len(self.procedure.facts.found)
        self.procedure.take(answer, at)
        self._write(state, answer, by, at, found)

    # --- what a step leaves in the record

    def _write(self, state: str, answer: Mapping[str, Any], by: str, at: datetime.datetime, found: int) -> None:
        """The confirmation and all that follows from it, as a whole."""
        utc, procedure = utc_text(at), self.procedure
        with self.record.together():
            self.record.confirm(self.number, self.turn + 1, state, answer, by, utc)
            if procedure.assessment and not self._judged and procedure.state not in ("withdraw", "check_record"):
                self._write_reading()
            for one in procedure.facts.found[found:]:
                self._finding(one)
            if state == "portion" and procedure.state != "portion":
                self._write_fill(utc)
            if "clock" in answer:
                self.record.append("anchors", visit=self.number, device=self.device, at_utc=utc, **answer["clock"])
            if procedure.over:
                self._write_end(utc)
        self.turn += 1

    def _write_reading(self) -> None:
        interval, told = self.procedure.interval(), self.procedure.assessment
        assert interval is not None and told is not None
        at = self.procedure.facts.returned_at
        assert at is not None
        self.record.append(
            "readings", visit=self.number, at_utc=utc_text(at), filled_nl=interval.filled_nl,
            returned_nl=interval.returned_nl, elapsed_s=interval.elapsed_s,
            reference_nl_per_day=fraction_text(interval.reference_nl_per_day),
            label_nl_per_day=interval.label_nl_per_day, u_filled_nl=interval.u_filled_nl,
            u_returned_nl=interval.u_returned_nl, u_reference=fraction_text(interval.u_reference),
            flow_nl_per_day=fraction_text(told.flow_nl_per_day), error=fraction_text(told.error),
            u_error=fraction_text(told.u_error), error_limit=fraction_text(told.limit),
            ledger=json.dumps(asdict(interval.ledger) if interval.ledger else None),
        )  # fmt: skip
        for one in told.findings:
            self._finding(one)
        self._judged = True

    def _finding(self, one: findings.Finding) -> None:
        self.record.append("findings", visit=self.number, kind=one.kind, level=one.level, text=one.text)

    def _write_fill(self, utc: str, volume_nl: int | None = None) -> None:
        """What is in the pump now. Of a part that was lost, half is taken to be in, and nobody knows."""
        procedure, facts, plan = self.procedure, self.procedure.facts, self.procedure.plan
        in_nl = procedure.in_nl + facts.lost_nl // 2 if volume_nl is None else volume_nl
        concentration = Fraction(0) if facts.substituted else plan.concentration_ng_per_ml
        self.record.append(
            "fills", visit=self.number, at_utc=utc, volume_nl=in_nl,
            u_nl=max(UNSURE_NL, facts.lost_nl) if facts.lost_nl else plan.reading_nl, drug=procedure.drug,
            concentration_ng_per_ml=fraction_text(concentration), lot=facts.lot,
        )  # fmt: skip

    def _write_end(self, utc: str) -> None:
        procedure, facts, plan = self.procedure, self.procedure.facts, self.procedure.plan
        filled = self.record.rows("fills", "visit = ?", self.number)
        if facts.returned_nl is not None and not filled:
            self._write_fill(utc, 0)
        emptied = facts.returned_nl is not None
        goes_on = procedure.state == "done" or not (plan.has_pump or (emptied and not (filled and procedure.in_nl)))
        if procedure.state == "done" or emptied or facts.stopped:
            told = procedure.assessment
            changed = procedure.flow_nl_per_day != plan.reference_nl_per_day
            rate = plan.rate_nl_per_day if plan.has_pump else round(procedure.flow_nl_per_day)
            concentration = Fraction(0) if facts.substituted else plan.concentration_ng_per_ml
            self.record.append(
                "plans", visit=self.number, from_utc=utc, drug=procedure.drug, rate_nl_per_day=rate if goes_on else 0,
                concentration_ng_per_ml=fraction_text(concentration),
                reference_nl_per_day=fraction_text(procedure.flow_nl_per_day),
                u_reference=fraction_text(told.u_mean_error if told and changed else plan.u_reference),
                next_utc=facts.next_visit.isoformat() if facts.next_visit else "",
            )  # fmt: skip
        why = ", ".join(one.kind for one in procedure.all_found)
        self.record.append("ended", visit=self.number, at_utc=utc, how=procedure.state, why=why)

    # --- what is done at the pump

    def _stop(self, pump: Pump, asker: Asker) -> dict[str, Any]:
        """Stop it, and read what it counted since it was filled."""
        if pump.status().state not in STANDING:
            pump.stop()
        status, totals, clock = pump.status(), pump.totals(), pump.clock()
        new = download(self.record, pump)
        asker.say(f"The pump is stopped; {new} new records of its journal are kept.")
        sure = totals.stepped_min_nl == totals.stepped_max_nl
        other_nl = totals.primed_nl - totals.withdrawn_nl
        ledger = {
            "commanded_nl": totals.commanded_nl,
            "stepped_min_nl": totals.stepped_min_nl,
            "stepped_max_nl": totals.stepped_max_nl,
            "confirmed_nl": totals.confirmed_nl,
            "other_nl": other_nl,
            "loaded_nl": status.reservoir_nl + totals.stepped_nl + other_nl if sure else None,
            "delivered_s": _delivered_s(self.record, self.device),
        }
        return {"ledger": ledger, "clock": {"boot": clock.boot, "uptime_s": clock.uptime_s}}

    def _load(self, pump: Pump, asker: Asker) -> dict[str, Any]:
        """Tell the pump what is in it now, unless it knows."""
        plan, fill_nl = self.procedure.plan, self.procedure.in_nl
        if pump.alarms():
            pump.ack()
        if pump.status().state != "refill":
            pump.refill_begin()
        status, totals = pump.status(), pump.totals()
        told = (status.reservoir_nl, totals.stepped_max_nl, totals.primed_nl, totals.withdrawn_nl)
        if told != (fill_nl, 0, 0, 0):
            now = pump.calibration()
            bore_um = now.bore_um if now.syringe_nl == plan.syringe_nl else None
            size = format_volume(plan.syringe_nl)
            pump.syringe(size, format_volume(fill_nl), bore_um=bore_um, drug=self.procedure.drug)
        state = pump.refill_end()
        if not pump.sensors().captured:
            asker.say("The plunger is not held: the pump delivers only when the syringe sits in its clamp.")
        return {"state": state, "reservoir_nl": fill_nl}

    def _retract(self, pump: Pump, asker: Asker) -> dict[str, Any]:
        """Draw the drive back by what has gone since the fill, as far as it has not been."""
        _at_rest(pump)
        if pump.alarms():
            pump.ack()
        rest_nl = self.procedure.plan.fill_nl - pump.status().reservoir_nl
        if rest_nl > MOVE_REST_NL:
            try:
                pump.withdraw(f"{rest_nl} nL", disconnected=True).wait()
            except OrderInterrupted:
                # The motor is off by now, and its rotor falls by up to half a full step: the switch may be open again.
                if not pump.sensors().back and END not in [one.alarm for one in pump.alarms()]:
                    raise
                asker.say("The drive is at its rear end, earlier than the pump has counted.")
                pump.ack()
                pump.jog(OFF_THE_END_STEPS, disconnected=True).wait()
        return {"withdrawn_nl": pump.totals().withdrawn_nl, "back": pump.sensors().back}

    def _prime(self, pump: Pump, asker: Asker) -> dict[str, Any]:
        """Push what is not pushed yet; a priming that was begun before goes on by itself."""
        _at_rest(pump)
        rest_nl = self.procedure.plan.prime_nl - pump.totals().primed_nl
        if rest_nl > MOVE_REST_NL:
            pump.prime(f"{rest_nl} nL", disconnected=True).wait()
        return {"primed_nl": pump.totals().primed_nl}

    def _run(self, pump: Pump, asker: Asker) -> dict[str, Any]:
        """Start the rate, unless it runs."""
        if pump.status().state in STANDING:
            self.before_run(pump, self.procedure.drug)
        deliver(pump, self.procedure.plan.rate_nl_per_day, self.procedure.plan.vtbi_nl, self.settings.get("override"))
        status = pump.status()
        clock = pump.clock()
        download(self.record, pump)
        return {"order": status.order, "clock": {"boot": clock.boot, "uptime_s": clock.uptime_s}}


_ACTIONS: Mapping[str, Callable[[Visit, Pump, Asker], dict[str, Any]]] = {
    "stop": Visit._stop, "retract": Visit._retract, "load": Visit._load, "prime": Visit._prime, "run": Visit._run,
}  # fmt: skip


def left_nl(pump: Pump, volume_nl: int) -> int:
    """What of a volume is not delivered since the syringe was loaded, by the upper end of what the pump counted; 0 when
    it is less than a step."""
    rest_nl = volume_nl - pump.totals().stepped_max_nl
    return rest_nl if rest_nl * FL_PER_NL >= pump.calibration().step_fl else 0


def deliver(pump: Pump, rate_nl_per_day: int, volume_nl: int, override: str | None = None) -> None:
    """Have the pump run at this rate, unless it does: without end when `volume_nl` is 0, else until so much was
    delivered since the syringe was loaded. So it may be called again at any time, whatever became of the first call.
    `override`: the word for why a soft limit may be passed."""
    status = pump.status()
    if (status.state, status.basal_nl_per_day) == ("infusing", rate_nl_per_day):
        return
    rest_nl = left_nl(pump, volume_nl) if volume_nl else 0
    if rest_nl or not volume_nl:
        vtbi = f"{rest_nl} nL" if rest_nl else None
        pump.rate(f"{rate_nl_per_day} nL/day", vtbi=vtbi, override=bool(override), reason=override)


def _at_rest(pump: Pump) -> None:
    """Wait for the end of a move that was begun before; it ends by itself."""
    while pump.status().state in MOVING:
        pump.conversation.rest(1.0)


def begin(
    record: Record, wanted: Wanted, pump: Pump | None, clock: Clock, device: str = "", new_pump: bool = False
) -> Visit:
    """A new visit, recorded. `device`: what is written on a pump without a line, "": it is that of the last visit.
    Raises UsageError when one is open, when the pump is another one and `new_pump` does not say that it is meant, and
    for a date or a plan that can't be."""
    if record.open_visit() is not None:
        raise UsageError("a visit is open", "Nothing was recorded", "go on with it first")
    at = clock()
    last = record.last("visits")
    same = last["device"] if last and last["pump"] == CONSTANT and not new_pump else NO_PUMP
    device = pump.conversation.greeting.device if pump else device or same
    if last and last["device"] != device and not new_pump:
        raise UsageError(
            f"the last visit was that of pump {last['device']}, and this is {device}",
            "Nothing was recorded, nothing was sent but questions",
            "connect the pump of this course, or say --new-pump",
        )
    _check_date(record, at, bool(wanted.late))
    _, known = plan_for(record, wanted, pump, device, at)
    number = record.append(
        "visits", at_utc=utc_text(at), procedure=PROCEDURE, pump="line" if pump else CONSTANT, device=device,
        settings=json.dumps(known, sort_keys=True),
    )  # fmt: skip
    return Visit(record, number, pump, clock)


def _check_date(record: Record, at: datetime.datetime, late: bool) -> None:
    """Raises UsageError for a visit before the last one, and for one more than a year after it unless that is meant. A
    visit that was left before anything was read or filled does not count: its date may be the slip."""
    last = record.last("visits", "id in (select visit from fills union select visit from readings)")
    if last is None:
        return
    before = moment(last["at_utc"])
    if at < before:
        raise UsageError(
            f"the last visit was on {last['at_utc']}, and this one would be before it, on {utc_text(at)}",
            "Nothing was recorded",
            "check the date (--at)",
        )
    if at - before > YEAR and not late:
        raise UsageError(
            f"the last visit was on {last['at_utc']}, and this one would be {(at - before).days} days after it",
            "Nothing was recorded",
            "check the date (--at), or say --late when it is meant",
        )


def take_up(
    record: Record, pump: Pump | None, clock: Clock, wanted: Wanted | None = None, leaving: bool = False
) -> Visit | None:
    """The visit that is open, where it stands; None when there is none. It goes on as it began: raises UsageError when
    `wanted` says otherwise, and, unless `leaving`, when it is earlier now than at the last step, or a year later."""
    row = record.open_visit()
    if row is None:
        return None
    known = json.loads(row["settings"])
    for name, value in asdict(wanted or Wanted()).items():
        typed = fraction_text(value) if isinstance(value, Fraction) else value
        if name not in ("by", "late") and typed is not None and typed != known.get(name):
            raise UsageError(
                f"visit {row['id']} is open and began with another {name.rsplit('_', 1)[0].replace('_', ' ')}",
                "Nothing was recorded",
                "leave that out to go on with it, or end it with --leave",
            )
    done = record.last("confirmations", "visit = ?", row["id"]) or row
    since = clock() - moment(done["at_utc"])
    if since > YEAR and not leaving:
        raise UsageError(
            f"the last step of visit {row['id']} was at {done['at_utc']}, and it would go on {since.days} days later",
            "Nothing was recorded",
            "check the date (--at), or end the visit with --leave",
        )
    if since < datetime.timedelta(0) and not leaving:
        raise UsageError(
            f"the last step of visit {row['id']} was at {done['at_utc']}, and it would go on before that",
            "Nothing was recorded",
            "check the date (--at), or end the visit with --leave",
        )
    return Visit(record, row["id"], pump, clock)


def download(record: Record, pump: Pump) -> int:
    """All journal records of the pump that the record lacks; how many came."""
    device = pump.conversation.greeting.device
    have, new = record.last_seq(device), 0
    rows = _batches(pump, have)
    for batch in rows:
        with record.together():
            for raw in batch:
                new += record.add_journal(device, raw)
    return new


def _batches(pump: Pump, have: int) -> Iterator[list[Any]]:
    """Records from the last known one on, which proves that it is the same journal."""
    batch: list[Any] = []
    for raw in pump.journal(first=have or None):
        batch.append(raw)
        if len(batch) == JOURNAL_BATCH:
            yield batch
            batch = []
    yield batch
