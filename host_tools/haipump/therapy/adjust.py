"""From laboratory values to a share of the dose: 100, 80, 50, 25 % or a hold, with the reason in words.

Owns: how rows of a rule set become one decision. Must not: keep anything (`history` does) or ask anybody; it is a pure
function of its arguments, and no advice: teaching and bench material, not for clinical use.

A hold of the drug never leaves the pump empty: the catheter is kept open by what the library has for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from haipump.errors import UsageError
from haipump.quantities import rounded
from haipump.therapy.course import TESTS
from haipump.therapy.rules import Row, RuleSet

IMAGING = "imaging"  # beside the tests, what can hold a dose
_HOLD = "hold"  # ends the sentence of a row that holds the drug, in lists that were recorded, too


@dataclass(frozen=True)
class Before:
    """What decisions before this one left. `last_dose_mg_per_kg_day` is that of the last fill with drug and
    `last_values` were measured on its day; `held_by` are the tests of a hold that lasts, empty when there is none.
    `restart_percent` is that of a restart after which the drug has not been given yet."""

    last_dose_mg_per_kg_day: Fraction | None = None
    last_values: Mapping[str, Fraction] = field(default_factory=dict)
    held_by: tuple[str, ...] = ()
    restart_percent: int | None = None


NOTHING_BEFORE = Before()


@dataclass(frozen=True)
class Finding:
    """One row as it came out: `value` is `ratio` times `compared_with`, which gives `percent`."""

    test: str
    value: Fraction
    compared_with: Fraction
    name: str
    ratio: Fraction
    percent: int
    row: Row

    @property
    def text(self) -> str:
        """`AST 84 U/L is 3.00 x the reference of 28 U/L: 80 %`"""
        unit, test = TESTS[self.test]
        result = f"{self.percent} %" if self.percent else _HOLD
        return (
            f"{test} {rounded(self.value, 4)} {unit} is {self._ratio_text()} x the {self.name} of "
            f"{rounded(self.compared_with, 4)} {unit}: {result}"
        )

    def _ratio_text(self) -> str:
        """With more digits where two would show a bound that is not reached, or one that is passed, as the bound."""
        shown = rounded(self.ratio, 2)
        bounds = [rounded(step.times, 2) for step in self.row.steps if step.times != self.ratio]
        return rounded(self.ratio, 6) if shown in bounds else shown


@dataclass(frozen=True)
class Decision:
    """What the rules give. `percent` is of the planned or of the last dose (`percent_of`), 0 a hold; the dose that
    results is `dose_mg_per_kg_day`. `values` are those that counted. `restart`: after a hold, and until the drug has
    been given again. `reasons` are whole sentences: of each of TESTS in order, then what else counted."""

    rules: str
    rules_version: int
    status: str
    day: date
    values: Mapping[str, Fraction]
    values_at_dose: Mapping[str, Fraction]
    findings: tuple[Finding, ...]
    percent: int
    percent_of: str
    dose_mg_per_kg_day: Fraction
    held_by: tuple[str, ...]
    restart: bool
    imaging: bool
    reasons: tuple[str, ...]

    @property
    def hold(self) -> bool:
        return self.percent == 0

    @property
    def verdict(self) -> str:
        """The decision in a few words."""
        if self.hold:
            return "hold the drug"
        return f"{self.percent} % of the {self.percent_of} dose"


def decide(
    rules: RuleSet,
    values: Mapping[str, Sequence[Fraction]],
    baseline: Mapping[str, Fraction],
    upper_limit: Mapping[str, Fraction],
    planned_mg_per_kg_day: Fraction,
    day: date,
    before: Before = NOTHING_BEFORE,
) -> Decision:
    """One decision. `values` are one or two of each of TESTS, at emptying and at the planned dose: the higher counts.
    Raises UsageError when one is missing, or what it is compared with."""
    higher = {test: max(_given(values, test)) for test in TESTS}
    at_dose = {test: _given(values, test)[-1] for test in TESTS}
    findings = tuple(
        _finding(rules, test, higher[test], _compared(rules, test, baseline, upper_limit, before)) for test in TESTS
    )
    imaging = higher["bilirubin"] >= rules.imaging.at_mg_per_dl
    held_by = tuple(one.test for one in findings if one.percent == 0) + ((IMAGING,) if imaging else ())
    reasons = [one.text for one in findings]
    if imaging:
        reasons.append(f"total bilirubin is at or above {_mg_dl(rules.imaging.at_mg_per_dl)}: {rules.imaging.words}")
    percent, restart = min(one.percent for one in findings), False
    if held_by:
        percent, held_by = 0, _merged(before.held_by, held_by, findings, higher, rules)
    elif before.held_by:
        percent, held_by, said = _restart(rules, before.held_by, findings, higher)
        reasons += said
        restart = percent > 0
    base = planned_mg_per_kg_day
    if rules.percent_of == "last" and before.last_dose_mg_per_kg_day is not None:
        base = min(base, before.last_dose_mg_per_kg_day)  # the plan may have been lowered since
    if percent and not restart and before.restart_percent is not None:
        percent, restart = _not_yet_given(rules, before, base, percent, reasons), True
    if 0 < percent < 100 and not restart:
        worst = next(one for one in findings if one.percent == percent)
        reasons.append(f"the worst row wins: {TESTS[worst.test][1]}")
    return Decision(
        rules.id, rules.version, rules.status, day, higher, at_dose, findings, percent, rules.percent_of,
        base * percent / 100, held_by, restart, imaging, tuple(reasons),
    )  # fmt: skip


def _given(values: Mapping[str, Sequence[Fraction]], test: str) -> Sequence[Fraction]:
    found = values.get(test, ())
    if not 1 <= len(found) <= 2:
        unit, name = TESTS[test]
        what = f"{name} is missing" if not found else f"there are {len(found)} values of {name}"
        raise UsageError(
            f"{what}: all three tests are needed, each once or twice (at emptying, and at the planned dose)",
            next_step=f'give it with its unit: --{test} "... {unit}"',
        )
    return found


def _compared(
    rules: RuleSet, test: str, baseline: Mapping[str, Fraction], upper_limit: Mapping[str, Fraction], before: Before
) -> tuple[str, Fraction]:
    """What a value is compared with, and what that is called."""
    if test in rules.needs_upper_limit:
        if test not in upper_limit:
            raise _lacking(rules, test, "upper_limit", "the laboratory's upper limit of normal")
        return "upper limit of normal", upper_limit[test]
    if test not in baseline:
        raise _lacking(rules, test, "reference", "a value from before the first dose")
    if rules.reference == "last dose":
        last = before.last_values.get(test)
        if last is not None and last > baseline[test]:
            return "value at the last dose", last
    return "reference", baseline[test]


def _lacking(rules: RuleSet, test: str, table: str, what: str) -> UsageError:
    unit, name = TESTS[test]
    return UsageError(
        f"{rules.name} compares {name} with {what}, and the course has none",
        next_step=f'add {test} = "... {unit}" to [patient.{table}]',
    )


def _finding(rules: RuleSet, test: str, value: Fraction, compared: tuple[str, Fraction]) -> Finding:
    name, reference = compared
    row = next(row for row in rules.rows if row.test == test and row.holds_for(reference))
    ratio = value / reference
    step = row.step(ratio)
    return Finding(test, value, reference, name, ratio, 100 if step is None else step.percent, row)


def _back(test: str, findings: Sequence[Finding], higher: Mapping[str, Fraction], rules: RuleSet) -> bool:
    """Whether what held the drug is back under its bound for a restart."""
    if test == IMAGING:
        return higher["bilirubin"] <= rules.imaging.normal_mg_per_dl
    found = next(one for one in findings if one.test == test)
    return found.ratio < found.row.restart_below


def _merged(
    held_before: tuple[str, ...],
    held_now: tuple[str, ...],
    findings: Sequence[Finding],
    higher: Mapping[str, Fraction],
    rules: RuleSet,
) -> tuple[str, ...]:
    """A hold on top of a hold: what is back no longer counts, what is new does."""
    still = [test for test in held_before if not _back(test, findings, higher, rules)]
    return tuple(dict.fromkeys([*still, *held_now]))


def _restart(
    rules: RuleSet, held_by: tuple[str, ...], findings: Sequence[Finding], higher: Mapping[str, Fraction]
) -> tuple[int, tuple[str, ...], list[str]]:
    """(percent, tests that still hold, sentences) when no row holds any more, but one did: the restart rule. The share
    is the smallest of those that the tests allow, and never above what the rows give."""
    still = tuple(test for test in held_by if not _back(test, findings, higher, rules))
    if still:
        waits = [_waiting(test, findings, rules) for test in still]
        return 0, still, [f"the hold goes on until {' and '.join(waits)}"]
    shares = [one.row.restart_percent for one in findings if one.test in held_by]
    if IMAGING in held_by:
        shares += [one.row.restart_percent for one in findings if one.test == "bilirubin"]
    percent = min([*shares, *[one.percent for one in findings]])
    names = " and ".join(
        TESTS[test][1] if test in TESTS else "bilirubin over the bound for imaging" for test in held_by
    )
    return percent, (), [f"restart after a hold for {names}: {percent} %"]


def _not_yet_given(rules: RuleSet, before: Before, base: Fraction, percent: int, reasons: list[str]) -> int:
    """The share while the dose of a restart has not been given: what is good without the drug says nothing of how it is
    taken again, so nothing rises above that restart. The rules' sources do not speak of it: project default."""
    assert before.last_dose_mg_per_kg_day is not None and before.restart_percent is not None
    most = max(1, int(100 * before.last_dose_mg_per_kg_day / base))
    if rules.percent_of == "planned":
        most = min(most, before.restart_percent)
    if percent <= most:
        return percent
    reasons.append(
        f"restart after a hold: it stays at {most} % until the drug has been given at that dose, a whole fill by the "
        "calendar of the course"
    )
    return most


def what_holds(reasons: Sequence[str]) -> str:
    """Those reasons of a hold that decided: its rows, imaging, and what it goes on until."""
    rows = [reason for reason in reasons[: len(TESTS)] if reason.endswith(f": {_HOLD}")]
    return "; ".join([*rows, *reasons[len(TESTS) :]])


def _waiting(test: str, findings: Sequence[Finding], rules: RuleSet) -> str:
    if test == IMAGING:
        return f"total bilirubin is at most {_mg_dl(rules.imaging.normal_mg_per_dl)}"
    found = next(one for one in findings if one.test == test)
    unit, name = TESTS[test]
    bound = found.row.restart_below * found.compared_with
    return f"{name} is below {rounded(bound, 2)} {unit} ({rounded(found.row.restart_below, 2)} x)"


def _mg_dl(value: Fraction) -> str:
    return f"{rounded(value, 2)} mg/dL"
