"""What a refill tells: expected return, actual flow with its uncertainty, and findings by stated bounds.

Owns: the formulas, BOUNDS and KINDS. Must not: ask, record or talk to a pump. Teaching and bench material, not for
clinical use.

Volumes are whole nanolitres, times whole seconds, rates nL/day; everything between them is a Fraction, so that a value
on a bound is on it. Only what is shown is rounded.

    dose          = filled - returned - primed
    expected dose = reference flow * time         error = dose / expected dose - 1
    actual flow   = dose / time                   volume ratio = dose / (label flow * time)
    u(F)/F        = sqrt(u(filled)^2 + u(returned)^2) / dose

The time is that from fill to withdrawal; of a pump on its line that in which it delivered, by its journal, and what was
primed is no dose. Neither is known of a pump without a line, which is not primed and never stands still.

A bound alone would tell findings where there are none: with 0.5 mL of uncertainty in both readings, 18.2 mL are known
to 3.9 %, and every hundredth uneventful refill is beyond 10 %. So an error counts from its *limit* on: the bound, or
COVER times the standard uncertainty of the error, whichever is wider. What is told late for that is told by the mean of
the last refills (WINDOW_MAX), whose readings are independent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

from haipump.errors import UsageError
from haipump.quantities import SECONDS_PER_DAY, format_volume
from haipump.therapy import flow

DAYS_MAX = 400  # between two refills; more is a wrong date
VOLUME_MAX_NL = 100_000_000  # of a reservoir; as the pump's own limit

# name: (value, what for, where from). Shares are of the expected volume.
BOUNDS: dict[str, tuple[Fraction, str, str]] = {
    "accept": (flow.ACCEPT, "an error up to here is reading and usual drift", "general knowledge"),
    "specification": (flow.REFUSE, "beyond: out of specification", "FDA notice on fast pumps, 2022"),
    "cover": (Fraction(9, 2), "an error counts from so many standard uncertainties on", "project: 1 in 150,000"),
    "obstacle": (Fraction(1, 2), "slower than this is no flow to dose by", "project"),
    "dry": (Fraction(2), "returned up to so many uncertainties of a reading: dry", "project"),
    "check": (Fraction(1, 2), "of a pushed volume at least this share comes back", "project"),
}  # fmt: skip
WINDOW_MAX = 4  # refills with one reference that are looked at together
STILL_S = SECONDS_PER_DAY  # without flow for so long or longer: a clot may sit in the catheter (project)
READING_NL = 500_000  # standard uncertainty of one reading of a 30 mL syringe (project default)
LOADED_NL = 10_000  # a pump that was told of this fill differs by less: a few steps of play
SMALL_READING_NL = 200_000  # of a 10 mL syringe, as for the check of the needle: one graduation
WEIGHED_NL = 100_000  # of a volume that was weighed on a balance of 0.1 g

ACCEPT, NOTE, FLAG, VERIFY, STOP = "accept", "note", "flag", "verify", "stop"
LEVELS = (ACCEPT, NOTE, FLAG, VERIFY, STOP)  # mild to severe; FLAG and above are findings

# kind: (level, meaning, action)
KINDS: dict[str, tuple[str, str, str]] = {
    "in_range": (ACCEPT, "flow as before", "go on; the reference flow stays"),
    "not_told_apart": (
        NOTE,
        "beyond a bound, but no more than reading errors can make it",
        "weigh what goes in and comes out next time; beyond 15 % a person stands for the dose before a drug goes in",
    ),
    "flag": (FLAG, "flow changed by more than 10 %", "accept, use the actual flow in the next dose, watch the trend"),
    "fast": (
        VERIFY,
        "more than 15 % fast: fever or heat, altitude, restrictor fault",
        "lower the concentration by the actual flow, and verify earlier than after two weeks",
    ),
    "slow": (
        VERIFY,
        "more than 15 % slow, high residual: occlusion, kink, clot, flipped pump, precipitate, incomplete emptying",
        "test patency before any drug goes in; use the actual flow in the next dose",
    ),
    "dry": (
        VERIFY,
        "nothing came back: the pump has run dry, a gap in therapy; a clot may sit at the tip of the catheter",
        "flush and test patency before any drug goes in; the actual flow is a lower bound",
    ),
    "stood_still": (
        VERIFY,
        "a gap in therapy, though there was something in the pump; a clot may sit at the tip of the catheter",
        "flush and test patency before any drug goes in; find out why, and come earlier",
    ),
    "more_than_expected": (
        STOP,
        "wrong record, wrong fill volume, leak into the pocket, or hardly any flow",
        "stop; check the last fill in the record before anything is injected",
    ),
    "more_than_filled": (
        STOP,
        "no pump can do that: the record is wrong, or it is fluid of the pocket",
        "stop; correct the record, or end the visit without drug",
    ),
    "less_than_counted": (
        STOP,
        "less has gone than the pump has stepped: slipping plunger, lost steps, wrong record",
        "stop; look at plunger and coupling, and check the last fill in the record",
    ),
    "more_than_counted": (
        STOP,
        "more has gone than the pump has stepped: leak, free flow, wrong record",
        "stop; look for the leak, and check the last fill in the record",
    ),
    "other_fill": (
        STOP,
        "the pump was loaded with another volume since: it is not the fill of the record",
        "stop; find out who filled what, and correct the record",
    ),
    "pocket": (
        STOP,
        "what was pushed does not come back, or the pocket swells or hurts: the needle is not in the reservoir",
        "stop; draw back, do not inject any more, and place the needle anew",
    ),
    "turned_over": (
        STOP,
        "the septum is not found: the pump may have turned over in its pocket",
        "no needle; image the pump; it goes on with what is in it, and runs dry in the end",
    ),
    "blocked": (
        STOP,
        "the catheter does not take the flush",
        "no drug; do not force it; image the catheter",
    ),
    "stiff": (
        VERIFY,
        "the catheter takes the flush, but stiffly: sheath, bend, or a clot that grows",
        "do not force it; drug only after a perfusion check",
    ),
    "no_blood": (
        VERIFY,
        "the flush is free, and no blood comes back: the tip is out of the artery, or the catheter has come off",
        "drug only after a perfusion check",
    ),
    "swelling": (
        STOP,
        "the pocket swells under the flush: the catheter has come off the pump, or has torn",
        "no drug, and what is in is drawn out; image the catheter",
    ),
    "other_organ": (
        STOP,
        "a tracer shows in another organ: the tip has slipped, or a branch leads there",
        "no drug, and what is in is drawn out; image the arteries",
    ),
    "leak": (
        STOP,
        "a tracer shows around the pump or the catheter: a leak, or the tip is out of the artery",
        "no drug, and what is in is drawn out; image the catheter",
    ),
}  # fmt: skip

# After one of them drug goes in only when a perfusion check has shown the liver since.
CATHETER_SIGNS = ("blocked", "stiff", "no_blood", "swelling", "other_organ", "leak")


@dataclass(frozen=True)
class Noise:
    """How far one interval of a sound pump scatters beside the readings, all as standard uncertainties. `drift` is a
    share of the expected volume and new in each interval, `constant` the same in all of them; `emptying_nl`: what is
    left behind at a withdrawal, and was at the one before."""

    drift: Fraction
    constant: Fraction
    emptying_nl: int


# Constant flow, propellant of 2.0 bar at 37 degrees (9.5 % per kelvin, 3.1 % per 20 mmHg): 0.15 K of mean body
# temperature 1.4 %, 10 mmHg of artery pressure 1.5 %, 10 hPa of weather 1.2 %, together 2.4 %. Implants gave 2.5 % more
# than programmed in the field, 2.4 % less in the laboratory (Wesemann 2014, 80 implants); evenly spread between: 1.4 %.
# Up to half a millilitre may be left behind, twice (0.2 mL), and what came is read in half millilitres (0.14 mL).
CONSTANT_FLOW = Noise(drift=Fraction(24, 1_000), constant=Fraction(14, 1_000), emptying_nl=250_000)
# A stepped volume has no drift; what a calibrated bore leaves is 1 % (uncalibrated tables differ by 3.5 %).
PROGRAMMABLE = Noise(drift=Fraction(0), constant=Fraction(1, 100), emptying_nl=250_000)


@dataclass(frozen=True)
class Ledger:
    """What the pump itself counted since it was filled, in nL: a range after a power loss. `other_nl`: what it pushed
    beside therapy (priming), less what it drew back; `loaded_nl`: what it was told was in it then; `delivered_s`: how
    long it delivered, by its journal."""

    commanded_nl: int
    stepped_min_nl: int
    stepped_max_nl: int
    confirmed_nl: int
    other_nl: int = 0
    loaded_nl: int | None = None
    delivered_s: int | None = None


@dataclass(frozen=True)
class Interval:
    """From one fill to the withdrawal of what it left. `reference_nl_per_day`: the last accepted flow, or the label's.
    `u_*_nl`: standard uncertainty of a volume; `u_reference`: that of the reference, as a share of it."""

    filled_nl: int
    returned_nl: int
    elapsed_s: int
    reference_nl_per_day: Fraction | int
    label_nl_per_day: int
    u_filled_nl: int = READING_NL
    u_returned_nl: int = READING_NL
    u_reference: Fraction = Fraction(0)
    ledger: Ledger | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for what can be no refill."""
        for name, value, low, high in (
            ("filled volume", self.filled_nl, 1, VOLUME_MAX_NL),
            ("returned volume", self.returned_nl, 0, VOLUME_MAX_NL),
            ("uncertainty of the filled volume", self.u_filled_nl, 1, VOLUME_MAX_NL),
            ("uncertainty of the returned volume", self.u_returned_nl, 1, VOLUME_MAX_NL),
        ):
            if not low <= value <= high:
                raise UsageError(
                    f"the {name} is {format_volume(value)}, and it lies between {format_volume(low)} and "
                    f"{format_volume(high)}",
                    "Nothing was recorded",
                    "read it again",
                )
        if not 0 < self.elapsed_s <= DAYS_MAX * SECONDS_PER_DAY:
            raise UsageError(
                f"from fill to withdrawal are {self.elapsed_s} s, and it lies between 1 s and {DAYS_MAX} days",
                "Nothing was recorded",
                "check the dates of both visits",
            )
        if self.reference_nl_per_day <= 0 or self.label_nl_per_day <= 0:
            raise UsageError("a reference flow is not above 0", "Nothing was recorded", "give the label's flow")

    @property
    def out_nl(self) -> int:
        """What has left the reservoir; negative when more came back than was filled."""
        return self.filled_nl - self.returned_nl

    @property
    def primed_nl(self) -> int:
        """What of that was pushed off the catheter, as far as the pump tells; less what it drew back."""
        return self.ledger.other_nl if self.ledger else 0

    @property
    def dose_nl(self) -> int:
        """What has gone to the catheter; negative when more came back than can have."""
        return self.out_nl - self.primed_nl

    @property
    def flowed_s(self) -> int:
        """For so long it delivered: all the time, unless its journal says otherwise."""
        known_s = self.ledger.delivered_s if self.ledger else None
        return self.elapsed_s if known_s is None else max(1, min(self.elapsed_s, known_s))

    @property
    def idle(self) -> bool:
        """It stands on a line, and has delivered nothing at all: there is no flow to tell."""
        return self.ledger is not None and self.ledger.commanded_nl <= 0

    @property
    def flow_known(self) -> bool:
        """Whether there is a flow to tell: it has delivered, and no more came back than can have."""
        return not self.idle and self.dose_nl >= 0

    @property
    def no_flow(self) -> str:
        """Why there is none to tell, "" when there is."""
        if self.flow_known:
            return ""
        return "nothing was delivered" if self.idle else "more came back than can have"

    @property
    def expected_dose_nl(self) -> Fraction:
        """By the reference flow, and never more than was in; above 0."""
        by_flow_nl = Fraction(self.reference_nl_per_day * self.flowed_s, SECONDS_PER_DAY)
        return max(Fraction(1), min(by_flow_nl, Fraction(self.filled_nl - self.primed_nl)))

    @property
    def readings_nl2(self) -> int:
        """Variance of `out_nl` and `dose_nl`."""
        return self.u_filled_nl**2 + self.u_returned_nl**2


@dataclass(frozen=True)
class Finding:
    """One row of KINDS that holds, with its numbers in words."""

    kind: str
    text: str

    @property
    def level(self) -> str:
        return KINDS[self.kind][0]

    @property
    def meaning(self) -> str:
        return KINDS[self.kind][1]

    @property
    def action(self) -> str:
        return KINDS[self.kind][2]


@dataclass(frozen=True)
class Assessment:
    """What one refill says. `error`, `ratio`: shares; `u_flow`: standard uncertainty of the flow as a share of it, None
    when nothing has gone; `u_error`: that of the error; `limit`: from this error on a flow is told from the reference.
    `flow_nl_per_day` is a lower bound where `lower_bound`. `refills`, `mean_error` and its uncertainty: over how
    many of the last refills the finding about the flow was made."""

    expected_return_nl: Fraction
    flow_nl_per_day: Fraction
    error: Fraction
    ratio: Fraction
    u_flow: Fraction | None
    u_error: Fraction
    limit: Fraction
    lower_bound: bool
    refills: int
    mean_error: Fraction
    u_mean_error: Fraction
    findings: tuple[Finding, ...]

    @property
    def level(self) -> str:
        """The most severe level."""
        return max((finding.level for finding in self.findings), key=LEVELS.index)

    @property
    def found(self) -> tuple[Finding, ...]:
        """What asks for something: flags and above."""
        return tuple(one for one in self.findings if LEVELS.index(one.level) >= LEVELS.index(FLAG))

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(one.kind for one in self.findings)

    def next_reference(self, reference_nl_per_day: Fraction | int) -> Fraction:
        """The flow for the next dose, nL/day: the reference while it holds, else what was measured, over the refills
        that told it. Less than half of the reference is an obstacle and no flow to dose by: then the reference too."""
        if not self.kinds & {"flag", "fast", "slow"} or self.mean_error < -BOUNDS["obstacle"][0]:
            return Fraction(reference_nl_per_day)
        return Fraction(reference_nl_per_day) * (1 + self.mean_error)


def recorded(row: Mapping[str, Any]) -> Interval:
    """An earlier interval, as the record has it in `readings`. Of those of older tools priming counts as dose, and
    standing still as flow: their ledger does not say how long the pump delivered."""
    ledger = json.loads(row["ledger"])
    return Interval(
        row["filled_nl"], row["returned_nl"], row["elapsed_s"], Fraction(row["reference_nl_per_day"]),
        row["label_nl_per_day"], row["u_filled_nl"], row["u_returned_nl"], Fraction(row["u_reference"]),
        Ledger(**ledger) if ledger and "delivered_s" in ledger else None,
    )  # fmt: skip


def assess(history: Sequence[Interval], noise: Noise = CONSTANT_FLOW) -> Assessment:
    """What the last interval of `history` says, with those before it where they have the same reference.

    Raises UsageError when there is none."""
    if not history:
        raise UsageError("there is no earlier fill to compare with", "Nothing was recorded", "record a fill first")
    now = history[-1]
    error = Fraction(0) if now.idle else now.dose_nl / now.expected_dose_nl - 1
    dry = is_dry(now)
    row, told = _flow(history, noise)
    found = [*_stops(now, noise), *([_dry(now)] if dry else [])]
    # A pump that ran dry has given all it had: how slow it was before nobody knows.
    if told and not (dry and told.kind == "slow"):
        found.append(told)
    if not any(one.level in (FLAG, VERIFY, STOP) for one in found):
        row = [now]
        beyond = abs(error) > BOUNDS["accept"][0]
        words = "nothing was delivered" if now.idle else f"error {percent(error)}"
        found.append(Finding("not_told_apart" if beyond else "in_range", words))
    still_s = now.elapsed_s - now.flowed_s
    if still_s >= STILL_S:
        still, whole = (tenths(Fraction(one, SECONDS_PER_DAY)) for one in (still_s, now.elapsed_s))
        found.append(Finding("stood_still", f"no flow in {still} of {whole} days"))
    u2 = Fraction(0) if now.idle else error_variance([now], noise)
    label_nl = Fraction(now.label_nl_per_day * now.flowed_s, SECONDS_PER_DAY)
    return Assessment(
        expected_return_nl=now.filled_nl - now.primed_nl - now.expected_dose_nl,
        flow_nl_per_day=Fraction(now.dose_nl * SECONDS_PER_DAY, now.flowed_s),
        error=error,
        ratio=now.dose_nl / label_nl,
        u_flow=root(Fraction(now.readings_nl2, now.dose_nl**2)) if now.dose_nl > 0 else None,
        u_error=root(u2),
        limit=max(BOUNDS["accept"][0], BOUNDS["cover"][0] * root(u2)),
        lower_bound=dry,
        refills=len(row),
        mean_error=_error_of(row),
        u_mean_error=root(error_variance(row, noise)),
        findings=tuple(sorted(found, key=lambda one: -LEVELS.index(one.level))),
    )


def is_dry(interval: Interval) -> bool:
    """Whether what came back is nothing, as far as it could be read."""
    return interval.returned_nl <= BOUNDS["dry"][0] * interval.u_returned_nl


def _flow(history: Sequence[Interval], noise: Noise) -> tuple[list[Interval], Finding | None]:
    """The shortest row of the last refills that tells the most severe finding about the flow, and that. Refills that
    were counted against another reference, and those that ran dry, are left out."""
    now = history[-1]
    best: tuple[list[Interval], Finding | None] = [now], None
    row: list[Interval] = []
    for one in reversed(history[-WINDOW_MAX:]):
        if one.reference_nl_per_day != now.reference_nl_per_day:
            break
        if one is not now and is_dry(one):
            continue
        row.append(one)
        error = _error_of(row)
        kind = flow_kind(error, error_variance(row, noise))
        words = f"error {percent(error)}" + (f" over {len(row)} refills" if len(row) > 1 else "")
        if kind and (best[1] is None or LEVELS.index(KINDS[kind][0]) > LEVELS.index(best[1].level)):
            best = list(row), Finding(kind, words)
    return best


def _error_of(row: Sequence[Interval]) -> Fraction:
    """The error over all of these intervals together."""
    return sum(one.dose_nl for one in row) / sum((one.expected_dose_nl for one in row), Fraction(0)) - 1


def flow_kind(error: Fraction, variance: Fraction) -> str | None:
    """Which finding about the flow an error is that has this variance, None for none. A value on a bound is within."""
    if abs(error) <= BOUNDS["accept"][0] or error**2 <= BOUNDS["cover"][0] ** 2 * variance:
        return None
    if abs(error) <= BOUNDS["specification"][0]:
        return "flag"
    return "fast" if error > 0 else "slow"


def error_variance(row: Sequence[Interval], noise: Noise) -> Fraction:
    """Variance of the error over these intervals, for a sound pump: readings and drift average out, what is constant
    and the reference's own uncertainty do not."""
    expected_nl = sum((one.expected_dose_nl for one in row), Fraction(0))
    own = sum((_volumes_nl2(one, noise) + (noise.drift * one.expected_dose_nl) ** 2 for one in row), Fraction(0))
    return own / expected_nl**2 + noise.constant**2 + row[0].u_reference ** 2


def _volumes_nl2(one: Interval, noise: Noise) -> int:
    """Variance of what has gone, as far as it was read and emptied."""
    return one.readings_nl2 + noise.emptying_nl**2


def _dry(now: Interval) -> Finding:
    """With how long the gap was, had the flow been the reference."""
    lasted_s = Fraction((now.filled_nl - now.primed_nl) * SECONDS_PER_DAY) / now.reference_nl_per_day
    gap_s = now.elapsed_s - lasted_s
    text = f"{format_volume(now.returned_nl)} came back"
    if gap_s > 0:
        text += f"; at the reference flow it has been empty for {tenths(gap_s / SECONDS_PER_DAY)} days"
    else:
        text += "; since when it has been empty is not known"
    return Finding("dry", text)


def _stops(now: Interval, noise: Noise) -> list[Finding]:
    """Findings after which nothing is injected before the record was checked."""
    cover2 = BOUNDS["cover"][0] ** 2
    found = []
    if now.out_nl < 0 and now.out_nl**2 > cover2 * _volumes_nl2(now, noise):
        text = f"{format_volume(now.returned_nl)} came back of {format_volume(now.filled_nl)}"
        found.append(Finding("more_than_filled", text))
    # The same bound as a slow pump's: below it the table accepts. Beyond it a wrong record looks like a slow pump.
    excess_nl = now.expected_dose_nl - now.dose_nl
    if flow_kind(-excess_nl / now.expected_dose_nl, error_variance([now], noise)) == "slow":
        text = f"{tenths(excess_nl / 1_000_000)} mL too much came back"
        found.append(Finding("more_than_expected", text))
    return found + _against_ledger(now, noise)


def _against_ledger(now: Interval, noise: Noise) -> list[Finding]:
    """The reservoir's balance against what the pump has stepped."""
    if now.ledger is None:
        return []
    if now.ledger.loaded_nl is not None and abs(now.ledger.loaded_nl - now.filled_nl) > LOADED_NL:
        words = f"{format_volume(now.ledger.loaded_nl)} loaded, {format_volume(now.filled_nl)} recorded"
        return [Finding("other_fill", words)]
    low_nl = now.ledger.stepped_min_nl + now.ledger.other_nl
    high_nl = now.ledger.stepped_max_nl + now.ledger.other_nl
    limit_nl2 = BOUNDS["cover"][0] ** 2 * (_volumes_nl2(now, noise) + (noise.constant * high_nl) ** 2)
    counted = f"{tenths(Fraction(now.out_nl, 1_000_000))} mL gone, {tenths(Fraction(high_nl, 1_000_000))} mL stepped"
    if now.out_nl < low_nl and (low_nl - now.out_nl) ** 2 > limit_nl2:
        return [Finding("less_than_counted", counted)]
    if now.out_nl > high_nl and (now.out_nl - high_nl) ** 2 > limit_nl2:
        return [Finding("more_than_counted", counted)]
    return []


def returned_check(pushed_nl: int, returned_nl: int, u_nl: int = SMALL_READING_NL) -> Finding | None:
    """The check of the needle: of `pushed_nl` the propellant pushes all back, tissue next to nothing. None: the needle
    is in the reservoir. Raises UsageError when more came back than can have."""
    missing_nl = pushed_nl - returned_nl
    limit_nl2 = BOUNDS["cover"][0] ** 2 * 2 * u_nl**2
    if pushed_nl <= 0 or returned_nl < 0:
        raise UsageError("a volume is not above 0", "Nothing was recorded", "push some, and read what comes back")
    if missing_nl <= pushed_nl * (1 - BOUNDS["check"][0]) or missing_nl**2 <= limit_nl2:
        return None
    return Finding("pocket", f"{format_volume(returned_nl)} of {format_volume(pushed_nl)} came back")


def root(value: Fraction) -> Fraction:
    """Square root of a fraction that is not negative, rounded down to 1e-9."""
    return Fraction(isqrt(value.numerator * 10**18 // value.denominator), 10**9)


def tenths(value: Fraction) -> str:
    """For people: rounded half up to one decimal."""
    scaled = abs(value) * 10
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return ("-" if value < 0 and whole else "") + f"{whole // 10}.{whole % 10}"


def percent(value: Fraction) -> str:
    """A share for people, with its sign: `+3.9 %`."""
    text = tenths(value * 100)
    return f"{text} %" if text.startswith("-") or text == "0.0" else f"+{text} %"
