"""What the two courses came to: dose over plan by stretch of time, exposure of tumour and body, enzymes.

Owns: the figures of the comparison and its bar. Must not: run a pump for the programmable side; print or draw.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from haipump_emulator.compare.run import Course, Therapy, arrivals
from haipump_emulator.plant import sensitivity
from haipump_emulator.plant.implant import ImplantParams
from haipump_emulator.plant.patient import (
    DOSE_RATIO_TEXT,
    RD_TEXT,
    SYSTEMIC_RATIO_TEXT,
    US_PER_MIN,
    Advantage,
    Patient,
    advantage,
)
from haipump_emulator.plant.surroundings import DAY_S, STAIR_S, US_PER_S, Event, Profile

TEACHING = "Teaching and bench material, not for clinical use."
BAR_PERCENT = 0.5  # the programmable pump's dose over the whole profile
# Curves and peaks are means over so long, taken twice: the rig's stopper moves in slips, one in half an hour, and what
# came of a single one says nothing.
MEAN_S = 3 * 3_600
_MEAN_STAIRS = MEAN_S // STAIR_S
# Where these means are whole; nearer to the ends of a course they would tell of a single slip.
WHOLE = slice(_MEAN_STAIRS, -_MEAN_STAIRS)
PLAN = "as planned"


@dataclass(frozen=True)
class Row:
    """One stretch of time: what should have come (nL) and what came. `alone` and `table`: percent by which the constant
    flow is off when this event is all that happens, by the model and by the sensitivity table; None: not known."""

    title: str
    begin_s: int
    end_s: int
    plan_nl: float
    constant_nl: float
    programmable_nl: float
    alone_percent: float | None = None
    table_percent: float | None = None

    @property
    def constant_percent(self) -> float:
        """Percent over plan; below it negative."""
        return 100 * (self.constant_nl / self.plan_nl - 1)

    @property
    def programmable_percent(self) -> float:
        """Percent over plan; below it negative."""
        return 100 * (self.programmable_nl / self.plan_nl - 1)


@dataclass(frozen=True)
class Exposure:
    """What a patient had of it over the whole profile: concentrations in ug/L, laboratory values at the end.
    `farthest_nl`: how far what had arrived was from the plan at the worst moment; `drug_mg`: in all."""

    farthest_nl: float
    drug_mg: float
    target_mean: float
    target_peak: float
    systemic_mean: float
    systemic_peak: float
    markers: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """Everything that the comparison says. `exposure` by the names of the courses and PLAN."""

    rows: Sequence[Row]
    exposure: Mapping[str, Exposure]
    advantage: Advantage
    stepped_nl: float
    alarms: Sequence[tuple[int, str]]

    @property
    def reached(self) -> bool:
        """The programmable pump's dose is within its bar over the whole profile."""
        return abs(self.rows[0].programmable_percent) <= BAR_PERCENT

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        ours = ("constant_percent", "programmable_percent")
        rows = [asdict(row) | {name: getattr(row, name) for name in ours} for row in self.rows]
        ratios = (
            ("rd", self.advantage.rd, RD_TEXT),
            ("dose_ratio", self.advantage.dose_ratio, DOSE_RATIO_TEXT),
            ("systemic_ratio", self.advantage.systemic_ratio, SYSTEMIC_RATIO_TEXT),
        )
        return {
            "note": TEACHING,
            "rows": rows,
            "exposure": {name: asdict(found) for name, found in self.exposure.items()},
            "advantage": {name: {"value": value, "definition": text} for name, value, text in ratios},
            "stepped_nl": self.stepped_nl,
            "alarms": [{"t_s": t_us / US_PER_S, "alarm": name} for t_us, name in self.alarms],
            "bar_percent": BAR_PERCENT,
            "reached": self.reached,
        }


def judge(profile: Profile, therapy: Therapy, params: ImplantParams, constant: Course, programmed: Course) -> Outcome:
    """The outcome of two courses through `profile`; `params` are the implant's."""
    exposure = {
        PLAN: _exposure(planned(profile, therapy), therapy),
        constant.name: _exposure(constant, therapy),
        programmed.name: _exposure(programmed, therapy),
    }
    whole = _row(f"all {profile.days} days", 0, profile.days * DAY_S, therapy, constant, programmed)
    rows = [whole]
    for event in profile.events:
        begin_s, end_s = stretch(event)
        if end_s > profile.days * DAY_S:
            continue
        alone = [0.0, *arrivals(Profile([event], profile.days, rhythm=False), therapy, params)]
        given = alone[end_s // STAIR_S] - alone[begin_s // STAIR_S]
        percent = 100 * (given / _plan_nl(therapy, begin_s, end_s) - 1)
        table = sensitivity.cell(params.vapour_37_pa / 1e5, event.table) if event.table else None
        rows.append(_row(event.title, begin_s, end_s, therapy, constant, programmed, percent, table))
    return Outcome(rows, exposure, advantage(therapy.patient), programmed.stepped_nl or 0.0, programmed.alarms)


def stretch(event: Event) -> tuple[int, int]:
    """Seconds over which an event is judged: while it is full, where the sensitivity table says what to expect then;
    else from its first trace to its last."""
    return (event.begin_s, event.end_s) if event.table else event.span


def _plan_nl(therapy: Therapy, begin_s: int, end_s: int) -> float:
    return therapy.rate_nl_per_day * (end_s - begin_s) / DAY_S


def _row(
    title: str, begin_s: int, end_s: int, therapy: Therapy, constant: Course, programmed: Course, *more: float | None
) -> Row:
    given = (pump.between(begin_s * US_PER_S, end_s * US_PER_S) for pump in (constant, programmed))
    return Row(title, begin_s, end_s, _plan_nl(therapy, begin_s, end_s), *given, *more)


def planned(profile: Profile, therapy: Therapy) -> Course:
    """The order itself, as if a pump kept it exactly in a body in which nothing happens."""
    course, patient = Course(PLAN), Patient(therapy.patient)
    patient.infuse(0, therapy.rate_nl_per_day / DAY_S * 60 * therapy.drug_ng_per_nl / 1_000)
    for stair in range(profile.days * DAY_S // STAIR_S + 1):
        t_us = stair * STAIR_S * US_PER_S
        course.t_us.append(t_us)
        course.arrived_nl.append(therapy.rate_nl_per_day * stair * STAIR_S / DAY_S)
        course.patient.append(patient.truth(t_us))
    return course


def means(course: Course, name: str) -> list[float]:
    """Means of means of a concentration (`target` or `systemic`, ug/L) over MEAN_S around each stair's end; at the ends
    of the course over what there is of it."""
    total = [getattr(truth, f"{name}_ug_min_per_l") for truth in course.patient]
    return _slopes(course.t_us, total, US_PER_MIN)


def flow_means(course: Course) -> list[float]:
    """The same of the flow into the artery, nL/day."""
    return _slopes(course.t_us, course.arrived_nl, DAY_S * US_PER_S)


def _slopes(t_us: Sequence[int], total: Sequence[float], unit_us: int) -> list[float]:
    half, last = _MEAN_STAIRS // 2, len(t_us) - 1
    ends = [(max(0, at - half), min(last, at + half)) for at in range(len(t_us))]
    once = [(total[high] - total[low]) / ((t_us[high] - t_us[low]) / unit_us) for low, high in ends]
    sums = [0.0, *itertools.accumulate(once)]
    return [(sums[high + 1] - sums[low]) / (high + 1 - low) for low, high in ends]


def _exposure(course: Course, therapy: Therapy) -> Exposure:
    minutes = course.t_us[-1] / US_PER_MIN
    end = course.patient[-1]
    plan = (therapy.rate_nl_per_day * t_us / (DAY_S * US_PER_S) for t_us in course.t_us)
    return Exposure(
        farthest_nl=max(abs(given - due) for given, due in zip(course.arrived_nl, plan, strict=True)),
        drug_mg=course.arrived_nl[-1] * therapy.drug_ng_per_nl / 1e6,
        target_mean=end.target_ug_min_per_l / minutes,
        target_peak=max(means(course, "target")[WHOLE]),
        systemic_mean=end.systemic_ug_min_per_l / minutes,
        systemic_peak=max(means(course, "systemic")[WHOLE]),
        markers=end.markers,
    )
