"""The calendar of a course: which drug is in the pump on which day, and when it is filled.

Owns: the order of phases, pauses and fills in time. Must not: judge it, or know a clock: dates come from the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from haipump.therapy.course import Course, Phase, Refill


@dataclass(frozen=True)
class Period:
    """Days of one phase of one cycle, or of a pause after it. From `start` up to, and without, `end`."""

    number: int
    cycle: int
    phase: Phase
    start: date
    pause: bool = False

    @property
    def end(self) -> date:
        return self.start + timedelta(days=self.phase.days)

    @property
    def last(self) -> date:
        """Its last day."""
        return self.end - timedelta(days=1)

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day < self.end


@dataclass(frozen=True)
class Fill:
    """What goes into the reservoir on `date`, and stays until the next fill on `until`. `phase` says how it is made,
    None when the course has none with this drug; `refill` is the entry of the file, None for one by the calendar."""

    number: int
    date: date
    until: date
    drug: str
    phase: Phase | None
    refill: Refill | None = None

    @property
    def days(self) -> int:
        return (self.until - self.date).days


def periods(course: Course) -> list[Period]:
    """All periods in order, without gaps."""
    found: list[Period] = []
    day = course.start
    for cycle, phase, pause in _sequence(course):
        found.append(Period(len(found) + 1, cycle, phase, day, pause))
        day = found[-1].end
    return found


def _sequence(course: Course) -> Iterator[tuple[int, Phase, bool]]:
    for cycle in range(1, course.cycles + 1):
        for phase in course.phases:
            yield cycle, phase, False
        for after, phase in course.pauses:
            if after == cycle:
                yield cycle, phase, True


def treated(course: Course, since: date, until: date) -> bool:
    """Whether the drug was in for a whole fill's days from `since` up to, and without, `until`, by the calendar. Days
    are counted, and not fills: a visit may be some days from its date."""
    spans = [span for span in periods(course) if span.phase.dose_mg_per_kg_day is not None]
    days = sum(max(0, (min(span.end, until) - max(span.start, since)).days) for span in spans)
    fills = [min(span.phase.days, span.phase.refill_every_days or span.phase.days) for span in spans]
    return bool(fills) and days >= min(fills)


def on(day: date) -> str:
    """A date as people check it: with its day of the week."""
    return f"{day:%a} {day.isoformat()}"


def fills(course: Course) -> list[Fill]:
    """The fills in order: those of the file, when it lists any, else one at the begin of each period, and again as
    often as its phase says. A fill that should be after the end, or on the day of the one before, lasts 0 days."""
    spans = periods(course)
    end = spans[-1].end
    if not course.refills:
        return [
            Fill(number, start, until, span.phase.drug, span.phase)
            for number, (span, start, until) in enumerate(_regular(spans), 1)
        ]
    ordered = sorted(course.refills, key=lambda refill: refill.date)
    found = []
    for index, refill in enumerate(ordered):
        until = ordered[index + 1].date if index + 1 < len(ordered) else max(end, refill.date)
        phase = phase_for(spans, refill)
        found.append(Fill(index + 1, refill.date, until, refill.drug, phase, refill))
    return found


def _regular(spans: list[Period]) -> Iterator[tuple[Period, date, date]]:
    """(period, begin, end) of the fills that follow from the phases."""
    for span in spans:
        every = timedelta(days=span.phase.refill_every_days or span.phase.days)
        start = span.start
        while start < span.end:
            yield span, start, min(start + every, span.end)
            start += every


def phase_for(spans: list[Period], refill: Refill) -> Phase | None:
    """How a fill is made: as the period of its day says, else as any period with its drug."""
    with_drug = [span for span in spans if span.phase.drug == refill.drug]
    of_the_day = [span for span in with_drug if refill.date in span]
    return (of_the_day or with_drug)[0].phase if with_drug else None
