"""A course, carried out on one pump: fill after fill, each with its visit, until the last one is delivered.

Owns: which fill comes next, whether the one that is in has been delivered, waiting for it, and the course's time. Must
not: know the steps of a visit (`refill`), the terminal, or how a dose is worked out. Teaching and bench material, not
for clinical use.

Nothing is remembered but the record: a visit that ended as `done` is one fill of the calendar. How much of a fill has
been delivered is asked of the pump, whose ledger survives its restarts; after a power cut the upper end of its range
counts. So whatever was killed, host or pump, the next run gives what is missing and nothing twice.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from haipump.answers import Status
from haipump.client import Pump
from haipump.errors import DoseRefused, Refused, UsageError
from haipump.orders import POLL_FRACTION, POLL_SHORTEST_S
from haipump.protocol import help as texts
from haipump.quantities import format_rate, format_volume
from haipump.therapy import calendar as cal
from haipump.therapy import dose, filled
from haipump.therapy.course import PROGRAMMABLE, Course
from haipump.therapy.findings import STOP
from haipump.therapy.record import Record, moment, utc_text
from haipump.therapy.refill import Procedure
from haipump.therapy.visit import Asker, Clock, Visit, Wanted, begin, deliver, download, left_nl, take_up

LISTEN_S = 30.0  # to the pump, before it is looked at again: it says itself when it is done
NG_PER_MG = 1_000_000
WAITING = ("infusing", "bolus", "paused")


@dataclass(frozen=True)
class Standing:
    """Where a course is. `done` fills of `planned` have been begun; of what is in, `drug`, `left_nl` of `volume_nl` are
    to come ("" and 0 before the first visit). `fill`: which one that is, None for one that the calendar does not have.
    `open_step`: of a visit that was broken off, "" without one."""

    planned: int
    done: int
    drug: str
    fill: cal.Fill | None
    following: cal.Fill | None
    open_step: str
    volume_nl: int
    left_nl: int
    over: bool


class PumpClock:
    """The course's time by the pump's own clock, for emulated pumps whose time is not ours. The time that a pump was
    off counts as none. `begins`: when the record knows of no moment yet, and when `start` was called."""

    def __init__(self, record: Record, pump: Pump, begins: datetime.datetime) -> None:
        self._record, self._pump, self._begins = record, pump, begins

    def start(self) -> None:
        """Have the course begin now, and write that down, unless the record knows of a moment."""
        device = self._pump.conversation.greeting.device
        if self._record.last("anchors", "device = ?", device) is None:
            clock = self._pump.clock()
            self._record.append(
                "anchors", device=device, boot=clock.boot, uptime_s=clock.uptime_s, at_utc=utc_text(self._begins)
            )

    def __call__(self) -> datetime.datetime:
        clock = self._pump.clock()
        device = self._pump.conversation.greeting.device
        anchor = self._record.last("anchors", "device = ?", device)
        if anchor is None:
            return self._begins + datetime.timedelta(seconds=clock.uptime_s)
        since_s = clock.uptime_s - (anchor["uptime_s"] if anchor["boot"] == clock.boot else 0)
        return moment(anchor["at_utc"]) + datetime.timedelta(seconds=max(0, since_s))


def fills_done(record: Record) -> int:
    """How many fills of the calendar have been begun: visits for them that ended as `done`."""
    done = record.rows("visits", "id in (select visit from ended where how = 'done')")
    # Visits of older records do not say which fill theirs is: all of them were.
    return sum(json.loads(row["settings"]).get("course_fill", 1) is not None for row in done)


def check_same_course(record: Record, course: Course) -> None:
    """Raises UsageError when the record's visits are those of another course or patient."""
    last = record.last("visits")
    known = json.loads(last["settings"]) if last else {}
    for name, ours in (("course", course.name), ("patient", course.patient.label)):
        if known.get(name, ours) != ours:
            raise UsageError(
                f'{record.path} is the record of the {name} "{known[name]}", and {course.path} is for "{ours}"',
                "Nothing was recorded, nothing was sent but questions",
                "name the record of this course, or begin one",
            )


def volume_nl(course: Course, fill: cal.Fill) -> int:
    """What a fill is to deliver: the rate for its days."""
    return course.pump.labelled_flow_nl_per_day * fill.days


def wanted_for(course: Course, fill: cal.Fill, made: dose.Preparation, by: str = "", override: str = "") -> Wanted:
    """The visit of a fill that is made up so. A pump of constant flow runs by itself: no rate, no volume to stop at.

    `override`: the word for why soft limits may be passed. Raises DoseRefused when a pump on a line would be ordered
    what its drug's limits refuse, or another flow than the one that the fill is made for."""
    in_mg = made.concentration is not None and made.concentration[1] == "mg/mL"
    flow_nl = course.pump.labelled_flow_nl_per_day
    line = course.pump.kind == PROGRAMMABLE
    if line:
        _check_order(fill, made, flow_nl, override)
    return Wanted(
        drug=made.phase.drug,
        concentration_ng_per_ml=made.concentration[0] * NG_PER_MG if made.concentration and in_mg else Fraction(0),
        fill_nl=course.pump.fill_nl,
        label_nl_per_day=flow_nl,
        rate_nl_per_day=flow_nl if line else None,
        interval_days=fill.days,
        unusable_nl=course.pump.unusable_nl,
        syringe_nl=course.pump.reservoir_nl if line else None,
        vtbi_nl=volume_nl(course, fill) if line else None,
        course_fill=fill.number,
        course=course.name,
        patient=course.patient.label,
        override=override or None,
        made=filled.kept(made),
        by=by,
    )


def _check_order(fill: cal.Fill, made: dose.Preparation, flow_nl: int, override: str) -> None:
    """What the pump would refuse only when the drug is in it, before the visit begins."""
    if made.flow.actual_nl_per_day != flow_nl:
        raise DoseRefused(
            f"fill {fill.number} would be made for {format_rate(made.flow.actual_nl_per_day)}, and a pump on a line is"
            f" ordered {format_rate(flow_nl)}",
            "leave measured_flow out of the course; when weighing says that the pump is off, `haipump calibrate`",
        )
    limits = dose.limits_of(made)
    for name in ("max_rate_nl_per_day", "max_dose_nl", "soft_rate_nl_per_day", "soft_dose_nl"):  # dose: in a day
        most_nl, soft = int(limits[name]), name.startswith("soft")
        if 0 < most_nl < flow_nl and not (soft and override):
            way = 'say why it is meant: --override "reason"; or lower' if soft else "lower"
            raise DoseRefused(
                f"fill {fill.number} is to flow with {format_rate(flow_nl)}, and the {'soft' if soft else 'hard'} limit"
                f" of {limits['drug']} is {format_rate(most_nl)}",
                f"{way} the dose of the course, or its flow",
            )


class CourseRun:
    """`prepared` works a fill out with the adjustments that are recorded, and raises DoseRefused in a hold: then no
    visit is begun. `asker_for` makes who answers in a visit; `told` is called with the pump's status while a fill is
    delivered. `secured` is called before a fill's drug, or what is given instead, is started: the drug's limits go into
    the pump there. `waits` is told of a limit that refuses the rest of a fill for a while, once. `override`: the word
    for why soft limits may be passed. `used_pump`: begin, though the pump has delivered what no visit tells."""

    def __init__(
        self,
        course: Course,
        prepared: Callable[[cal.Fill], dose.Preparation],
        record: Record,
        pump: Pump,
        clock: Clock,
        asker_for: Callable[[Visit], Asker],
        told: Callable[[Standing, Status], None] = lambda standing, status: None,
        by: str = "",
        secured: Callable[[Pump, cal.Fill, str], None] = lambda pump, fill, drug: None,
        waits: Callable[[Refused], None] = lambda refused: None,
    ) -> None:
        if course.pump.kind != PROGRAMMABLE:
            raise UsageError(
                f"{course.path} is for a pump of constant flow, which runs by itself",
                "Nothing was sent",
                "record its visits with `haipump therapy refill --no-pump`",
            )
        check_same_course(record, course)
        self.course, self.prepared, self.record, self.pump = course, prepared, record, pump
        self.clock, self.asker_for, self.told, self.by = clock, asker_for, told, by
        self.secured, self.waits = secured, waits
        self.override, self.used_pump = "", False
        self._waiting = False
        self.fills: Sequence[cal.Fill] = cal.fills(course)

    def run(self) -> Standing:
        """To the end of the course. What the asker and the pump raise leaves it where it is; run it again."""
        if isinstance(self.clock, PumpClock):
            self.clock.start()
        while True:
            visit = take_up(self.record, self.pump, self.clock)
            standing = self.standing()
            if visit is None and standing.over and standing.following is not None:
                self._check_begin()
                visit = begin(self.record, self.wanted(standing.following), self.pump, self.clock)
            if visit is not None:
                fill = self._fill_of(visit)
                visit.before_run = lambda pump, drug, fill=fill: self.secured(pump, fill, drug)
                self._over(visit, visit.run(self.asker_for(visit)))
            elif standing.over:
                download(self.record, self.pump)  # the last fill, which no visit follows
                return standing
            else:
                self._wait(standing)

    def _check_begin(self) -> None:
        """Raises UsageError when the pump has a past that a new record lacks: what was given would be given again."""
        last = self.record.last("visits")
        given_nl = 0 if last or self.used_pump else self.pump.totals().stepped_max_nl
        if given_nl:
            raise UsageError(
                f"the pump has delivered {format_volume(given_nl)} since it was loaded, and the record has no fill",
                "Nothing was recorded, nothing was sent but questions",
                "name the record that it belongs to; when this course is to begin here all the same: --used-pump",
            )

    def _fill_of(self, visit: Visit) -> cal.Fill:
        """Of an open visit. Raises UsageError for one that is none of the course."""
        number = visit.settings.get("course_fill", fills_done(self.record) + 1)
        if number is None:
            raise UsageError(
                f"visit {visit.number} is open, and none of the course",
                texts.state_sentence(self.pump.status().state),
                "end it with `haipump therapy refill`, then run the course again",
            )
        return self.fills[number - 1]

    def _over(self, visit: Visit, procedure: Procedure) -> None:
        """Raises UsageError for a visit that was broken off: what was found is for a person, and not for a next try."""
        if procedure.state == "done":
            return
        found = ", ".join(one.kind for one in procedure.all_found if one.level == STOP)
        raise UsageError(
            f"visit {visit.number} was broken off ({found or 'left'})",
            texts.state_sentence(self.pump.status().state),
            "do what the findings ask for, then run the course again: it begins the visit anew",
        )

    def standing(self) -> Standing:
        """Asked of the record and the pump; changes nothing."""
        ended = fills_done(self.record)
        visit = self.record.open_visit()
        step = ""
        if visit is not None:
            step = Visit(self.record, visit["id"], self.pump, self.clock).procedure.state
        last = self._last()
        to_give_nl = last.get("vtbi_nl", 0)
        fill = self.fills[ended - 1] if ended and last.get("course_fill", ended) is not None else None
        rest_nl = left_nl(self.pump, to_give_nl) if to_give_nl and visit is None and not self._loaded_since() else 0
        running = visit is None and bool(last) and self.pump.status().state in WAITING
        following = self.fills[ended] if ended < len(self.fills) else None
        over = visit is None and not rest_nl and not running
        in_pump = self.record.last("fills")
        drug = in_pump["drug"] if in_pump else ""
        return Standing(len(self.fills), ended, drug, fill, following, step, to_give_nl, rest_nl, over)

    def _last(self) -> Mapping[str, Any]:
        """What the last visit that was done ordered; empty before the first. Not what the course's file says by now."""
        done = self.record.last("visits", "id in (select visit from ended where how = 'done')")
        return json.loads(done["settings"]) if done else {}

    def _loaded_since(self) -> bool:
        """A visit was broken off after the pump had been loaded: what it counts is no longer the fill that was done."""
        done = self.record.last("ended", "how = 'done'")
        return bool(self.record.rows("confirmations", "step = 'load' and visit > ?", done["visit"] if done else 0))

    def wanted(self, fill: cal.Fill) -> Wanted:
        """The visit of a fill. Raises DoseRefused."""
        return wanted_for(self.course, fill, self.prepared(fill), self.by, self.override)

    def _wait(self, standing: Standing) -> None:
        """Until the pump says that something has changed, or a while. Raises UsageError when it stands still before the
        fill is delivered: a person decides."""
        status = self.pump.status()
        self.told(standing, status)
        if status.state in WAITING:
            self.pump.conversation.events.clear()
            if self.pump.status().state in WAITING:
                self.pump.conversation.listen(LISTEN_S)
            return
        if status.alarm != "none":
            left = format_volume(standing.left_nl)
            raise UsageError(
                f"{left} of {standing.drug} are to come, and the alarm {status.alarm} stands",
                texts.state_sentence(status.state),
                "see to what `haipump alarms` says of it, then `haipump ack`, and run the course again",
            )
        try:
            last = self._last()
            deliver(self.pump, last["rate_nl_per_day"], standing.volume_nl, last.get("override"))
            self._waiting = False
        except Refused as refused:  # after a power cut the upper end counts in the window of a dose limit, too
            free_s = int(refused.fields.get("free_in_s", 0))
            if free_s <= 0:
                raise
            if not self._waiting:
                self.waits(refused)
            self._waiting = True
            self.pump.conversation.rest(min(max(free_s / POLL_FRACTION, POLL_SHORTEST_S), LISTEN_S))
