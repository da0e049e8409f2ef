"""Which laboratory values a patient can have: outside, a slip of the finger or a wrong unit is likelier than the value.

Owns: those ranges and their wording. Must not: judge a dose (`adjust` does). The ranges are general laboratory
knowledge of adults, without a source of their own, and wide: what can't be is an error, what is rare a warning. A value
that was measured has no upper end: a high one holds the drug, and nothing may keep that out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from haipump.errors import UsageError
from haipump.quantities import rounded
from haipump.therapy import reading as r
from haipump.therapy.course import TESTS, Course

OLD = timedelta(weeks=26)  # of the values before the first dose; project default


@dataclass(frozen=True)
class Range:
    """In the unit of the test: from `low` to `high` it can be, from `rare_below` to `rare_above` it is usual."""

    low: Fraction
    rare_below: Fraction
    rare_above: Fraction | None
    high: Fraction | None

    @classmethod
    def of(cls, low: str, rare_below: str, rare_above: str | None = None, high: str | None = None) -> Range:
        ends = [None if end is None else Fraction(end) for end in (rare_above, high)]
        return cls(Fraction(low), Fraction(rare_below), *ends)


RANGES: Mapping[str, Mapping[str, Range]] = {
    "reference": {
        "ast": Range.of("3", "8", "250", "1000"),
        "alp": Range.of("10", "25", "600", "3000"),
        "bilirubin": Range.of("0.05", "0.1", "2", "10"),
    },
    "upper_limit": {
        "ast": Range.of("15", "25", "60", "100"),
        "alp": Range.of("40", "80", "200", "500"),
        "bilirubin": Range.of("0.5", "0.8", "1.6", "3"),
    },
    "value": {
        "ast": Range.of("3", "8"),
        "alp": Range.of("10", "25"),
        "bilirubin": Range.of("0.05", "0.1"),
    },
}
_NAMES = {"reference": "of before the first dose", "upper_limit": "as the upper limit of normal", "value": "measured"}
CHECK = "check the number and its unit"


def judge(kind: str, test: str, value: Fraction) -> tuple[str, str] | None:
    """(error or warning, why) of a `reference`, an `upper_limit` or a `value`; None for what is usual."""
    unit, name = TESTS[test]
    ends = RANGES[kind][test]
    what = f"{name} {rounded(value, 4)} {unit} {_NAMES[kind]}"
    if value < ends.low or (ends.high is not None and value > ends.high):
        low = rounded(ends.low, 2)
        up = f"{low} {unit} or more" if ends.high is None else f"{low} to {rounded(ends.high, 2)} {unit}"
        return r.ERROR, f"{what} can't be: it is {up}"
    if value < ends.rare_below or (ends.rare_above is not None and value > ends.rare_above):
        side = "low" if value < ends.rare_below else "high"
        return r.WARNING, f"{what} is unusually {side}"
    return None


def of_course(course: Course) -> Iterator[tuple[str, r.KeyPath, str, str]]:
    """(error or warning, key, why, what to do) of what the course says of the patient's laboratory."""
    for kind, found in (("reference", course.patient.reference), ("upper_limit", course.patient.upper_limit)):
        for test, value in found.items():
            verdict = judge(kind, test, value)
            if verdict is not None:
                yield verdict[0], ("patient", kind, test), verdict[1], CHECK
    taken = course.patient.reference_taken
    where = ("patient", "reference", "taken")
    if taken is not None and taken > course.start:
        words = f"{taken} is after the course's start, {course.start}: these are no values of before the first dose"
        yield r.ERROR, where, words, "check the date"
    elif taken is not None and taken < course.start - OLD:
        words = f"{taken} is more than {OLD.days // 7} weeks before the course's start"
        yield r.WARNING, where, words, "check the date; take newer values"


def refuse(course: Course, values: Mapping[str, Sequence[Fraction]]) -> list[str]:
    """What is to be said about measured values. Raises UsageError for what can't be, in them or in what they are
    compared with."""
    for level, where, what, next_step in of_course(course):
        if level == r.ERROR:
            line = course.source.line(where)
            raise UsageError(f"{course.path}, line {line}: {what}", "Nothing was decided", next_step)
    said = []
    for test, found in values.items():
        for value in found:
            verdict = judge("value", test, value)
            if verdict is not None and verdict[0] == r.ERROR:
                raise UsageError(verdict[1], "Nothing was decided", CHECK)
            if verdict is not None:
                said.append(f"{verdict[1]}: {CHECK}")
    return said
