"""What happened in a run: points, states, orders, alarms, restarts and sums, worked out from a run file.

Owns: the facts that page and figures show. Must not: draw, word or judge (`checks` judges).

Volumes count from the load of the first syringe that the file knows of; where several follow, they add up. After a
restart during a delivery the pump can't know what it delivered last: from there on a volume is a range, `slack` wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from haipump.errors import UsageError
from haipump.report.axis import BOOT_MODULUS, Anchors, Axis, spans_of
from haipump.report.orders import FL_PER_NL, Order, Plan, collect
from haipump.report.source import (
    ALARM_NAMES,
    CAUSES,
    COMMIT_NL,
    DOSE,
    PHASES,
    PRIORITIES,
    RUNNING,
    SOURCES,
    STATES,
    Heard,
    Record,
    Source,
    word,
)

DOWNLOADED = "lifetime"  # what is noted only when a journal has been read to its end
LOST_NL = 1_000  # less than this between the pump's total and the known orders is rounding and whole seconds


@dataclass(frozen=True)
class Point:
    """Measured values at one moment, from a commit record or telemetry. `volume_nl` and `confirmed_nl` count from the
    first syringe on."""

    t: float
    boot: int
    volume_nl: int
    confirmed_nl: int
    pressure_pa: int | None  # None: written before the sensors were first read
    reservoir_nl: int
    state: str
    journal: bool
    syringe: int  # counts up with each one that is loaded
    unsure_nl: int = 0  # so much more may have been delivered from this syringe; telemetry doesn't say


@dataclass(frozen=True)
class Stay:
    """A time in one state. `sure` False: only telemetry says so, and there may have been others in between."""

    start: float
    end: float
    state: str
    sure: bool


@dataclass
class AlarmRow:
    """An alarm from its beginning (`start`) on. `end` None: it still stood. `value_pa`: pressure when it began."""

    name: str
    priority: str
    start: float
    state: str
    order: int
    value_pa: int
    end: float | None = None


@dataclass(frozen=True)
class Restart:
    """A start of the pump after the first one known. `running`: it interrupted a delivery or a motion."""

    t: float
    boot: int
    cause: str
    running: bool


@dataclass(frozen=True)
class Load:
    """A syringe was loaded (seq 0: only a repetition of the record is left)."""

    t: float | None
    seq: int
    reservoir_nl: int
    step_fl: int
    bore_um: int
    syringe_nl: int


@dataclass(frozen=True)
class Mark:
    """Something else worth a mark: a button, lost events. Between `start` and `end`, as events bear no time."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Projection:
    """Where the reservoir is heading: from `left_nl` at the end of the recording to `empty_nl` at `empty_at`.
    `by_pump`: the pump reckoned it from what runs; else it is the mean rate of the run going on."""

    left_nl: int
    empty_nl: int
    empty_at: float
    by_pump: bool


@dataclass
class Story:
    """Everything that a report shows, in seconds on the page and nanolitres."""

    source: Source
    axis: Axis
    anchors: Anchors
    points: list[Point]
    orders: list[Order]
    plan: Plan
    stays: list[Stay]
    alarms: list[AlarmRow]
    restarts: list[Restart]
    loads: list[Load]
    marks: list[Mark]
    step_fl: int | None
    base_nl: int  # what the syringes before the last one delivered ...
    confirmed_base_nl: int  # ... and what the shaft confirms of it
    covered: list[tuple[float, float]] = field(default_factory=list)  # times for which the journal is complete

    @property
    def start(self) -> float:
        return self.axis.start

    @property
    def end(self) -> float:
        return self.axis.end

    def slack_nl(self, t: float) -> int:
        """How much more than counted may have been delivered until then."""
        return COMMIT_NL * sum(1 for restart in self.restarts if restart.running and restart.t <= t)

    def treated(self) -> tuple[float, float] | None:
        """From the first dose order's begin to the last one's end (or to the end of the recording)."""
        dose = [order for order in self.orders if order.dose and order.begun is not None]
        if not dose:
            return None
        ends = [
            self.axis.end_of(order.boot) if order.ended is None or order.result == "reset" else order.ended
            for order in dose
        ]
        return min(order.begun for order in dose if order.begun is not None), max(ends)

    def projection(self) -> Projection | None:
        """When the syringe will be empty: by the pump when it was delivering at the end, else at the run's mean rate;
        None when nothing was delivered or what is left is not known."""
        empty_nl = int(self.source.latest("limits").get("reservoir_empty_nl", 0))
        status = self.source.latest("status")
        if not self.points:
            return None
        left_nl = int(status.get("reservoir_nl", self.points[-1].reservoir_nl))
        if int(status.get("empty_in_s", -1)) > 0:
            return Projection(left_nl, 0, self.end + int(status["empty_in_s"]), True)
        treated = self.treated()
        volume_nl = self.points[-1].volume_nl - self.points[0].volume_nl
        if treated is None or volume_nl <= 0 or treated[1] <= treated[0] or left_nl <= empty_nl:
            return None
        lasts_s = (left_nl - empty_nl) * (treated[1] - treated[0]) / volume_nl
        return Projection(left_nl, empty_nl, self.end + lasts_s, False)

    def steps(self, volume_nl: float) -> float | None:
        """A volume in microsteps; None when the calibration is not in the file."""
        return None if not self.step_fl else volume_nl * FL_PER_NL / self.step_fl


def tell(source: Source) -> Story:
    """The story of a run file. Raises UsageError when nothing in it bears a time."""
    records = [record for record in source.records if record.crc_ok]
    teles = [event for event in source.heard if event.name == "tele"]
    moments = [(record.boot, record.uptime_s) for record in records]
    moments += [(event.boot, int(event.fields["uptime_s"])) for event in teles]
    moments += [(n.boot, n.uptime_s) for n in source.notes if n.boot is not None and n.uptime_s is not None]
    if not records and not teles:
        raise UsageError(
            f"{source.name} holds neither journal nor telemetry",
            next_step="download the journal with `haipump log --to`",
        )
    anchors = Anchors(source)
    axis = Axis(spans_of(moments), _zero(records, moments), anchors)
    states = _states(records, axis)
    pauses = _pauses(states, axis)
    orders = collect(source, axis, pauses)
    loads = _loads(records, axis)
    points, base_nl, confirmed_base_nl = _points(source, records, teles, axis, loads)
    covered = _covered(records, source, axis)
    story = Story(
        source=source, axis=axis, anchors=anchors, points=points, orders=orders, plan=Plan(orders),
        stays=_stays(records, points, covered, axis), alarms=_alarms(records, source, axis),
        restarts=_restarts(records, source, points, orders, axis), loads=loads, marks=_marks(source, axis),
        step_fl=_step_fl(source, loads), base_nl=base_nl,
        confirmed_base_nl=confirmed_base_nl, covered=covered,
    )  # fmt: skip
    _settle_plan(story, base_nl)
    return story


def _zero(records: Sequence[Record], moments: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Time 0: the first dose order, else the first thing known."""
    intents = [(r.boot, r.uptime_s) for r in records if r.name == "intent" and _is_dose(r)]
    boot, uptime_s = min(intents or moments)
    return boot % BOOT_MODULUS, uptime_s


def _is_dose(record: Record) -> bool:
    return word(SOURCES, record.values["source"]) in DOSE


def _states(records: Iterable[Record], axis: Axis) -> list[tuple[float, str, int]]:
    """(time, state from then on, boot) of each change."""
    return [
        (axis.at(record.boot, record.uptime_s), word(STATES, record.values["state"]), record.boot)
        for record in records
        if record.name == "state" and not record.restated
    ]


def _pauses(states: Sequence[tuple[float, str, int]], axis: Axis) -> list[tuple[float, float]]:
    pauses = []
    for index, (t, state, boot) in enumerate(states):
        if state == "paused":
            after = states[index + 1] if index + 1 < len(states) else None
            pauses.append((t, after[0] if after and after[2] == boot else axis.end_of(boot)))
    return pauses


def _loads(records: Iterable[Record], axis: Axis) -> list[Load]:
    loads: list[Load] = []
    seen = set()
    for record in records:
        key = (record.boot, record.uptime_s, *record.values.values())
        if record.name != "syringe" or (record.restated and key in seen):
            continue
        seen.add(key)
        values = record.values
        loads.append(
            Load(
                axis.at(record.boot, record.uptime_s), 0 if record.restated else record.seq, values["reservoir_nl"],
                values["step_fl"], values["bore_um"], values["syringe_nl"],
            )
        )  # fmt: skip
    return loads


@dataclass
class _Raw:
    t: float
    rank: int  # records in order of their numbers, telemetry after them
    boot: int
    stepped_nl: int
    life_nl: int | None
    confirmed_nl: int
    pressure_pa: int | None
    reservoir_nl: int
    state: str
    unsure_nl: int = 0


def _points(
    source: Source, records: Sequence[Record], teles: Sequence[Heard], axis: Axis, loads: Sequence[Load]
) -> tuple[list[Point], int, int]:
    """All measured values in order, their totals added up over the syringes, and the sums before the last syringe."""
    raws = [
        _Raw(
            axis.at(r.boot, r.uptime_s), r.seq, r.boot, r.values["stepped_nl"], r.values["life_nl"],
            r.values["confirmed_nl"], r.values["pressure_pa"] if r.values["supply_mv"] else None,
            r.values["reservoir_nl"], word(STATES, r.values["state"]), r.values["unsure_nl"],
        )
        for r in records
        if r.name == "commit" and not r.restated
    ]  # fmt: skip
    last = records[-1].seq if records else 0
    for event in teles:
        f = event.fields
        raws.append(
            _Raw(
                axis.at(event.boot, int(f["uptime_s"])), last + event.number, event.boot % BOOT_MODULUS,
                int(f["delivered_nl"]), None, int(f["confirmed_nl"]), int(f["pressure_pa"]), int(f["reservoir_nl"]),
                str(f["state"]),
            )
        )  # fmt: skip
    raws.sort(key=lambda raw: (raw.t, raw.rank))
    return _added_up(raws, loads, last)


def _added_up(raws: Sequence[_Raw], loads: Sequence[Load], last_seq: int) -> tuple[list[Point], int, int]:
    """Totals start anew with each syringe; here they go on. Commits carry the pump's lifetime total, which tells by how
    much; without one it is the last total seen. Telemetry of the very second of a load belongs to nobody knows which
    syringe, and is left out. The record of a load comes before the totals start anew: a commit right behind it may
    still be that of the syringe before."""
    turns = [load for load in loads if load.seq and load.t is not None]
    lives: dict[int, int] = {}  # syringe -> lifetime total at its load
    placed: list[tuple[int, _Raw]] = []
    for raw in raws:
        if raw.life_nl is not None:
            index = sum(1 for load in turns if load.seq < raw.rank)
            before = max((known for known in lives if known < index), default=index)
            if index not in lives and raw.stepped_nl and lives.get(before) == raw.life_nl - raw.stepped_nl:
                index = before
            lives.setdefault(index, raw.life_nl - raw.stepped_nl)
        elif any(load.t == raw.t for load in turns):
            continue
        else:
            index = sum(1 for load in turns if load.t is not None and load.t < raw.t)
        placed.append((index, raw))
    points: list[Point] = []
    base, confirmed_base, before = 0, 0, placed[0][0] if placed else 0
    for index, raw in placed:
        if index > before:
            confirmed_base = points[-1].confirmed_nl
            base = points[-1].volume_nl
            if index in lives and before in lives:
                base = lives[index] - lives[min(lives)]
            before = index
        volume_nl = base + raw.stepped_nl
        if points and points[-1].t == raw.t and points[-1].boot == raw.boot and volume_nl < points[-1].volume_nl:
            continue  # both clocks say whole seconds: this was said before the record of the same second
        points.append(
            Point(
                raw.t, raw.boot, volume_nl, confirmed_base + raw.confirmed_nl, raw.pressure_pa,
                raw.reservoir_nl, raw.state, raw.rank <= last_seq, index, raw.unsure_nl,
            )
        )  # fmt: skip
    return points, base, confirmed_base


def _covered(records: Sequence[Record], source: Source, axis: Axis) -> list[tuple[float, float]]:
    """Times in which no record is missing. A download proves that until then nothing else was written."""
    covered: list[tuple[float, float]] = []
    before: Record | None = None
    for record in records:
        if record.restated:
            if before is not None and record.seq == before.seq + 1:
                before = record
            continue
        t = axis.at(record.boot, record.uptime_s)
        if before is not None and record.seq == before.seq + 1:
            covered[-1] = (covered[-1][0], max(covered[-1][1], t))
        else:
            covered.append((t, t))
        before = record
    read = [n for n in source.notes if n.what == DOWNLOADED and n.boot is not None and n.uptime_s is not None]
    if before is not None and read and read[-1].boot is not None and read[-1].boot % BOOT_MODULUS == before.boot:
        covered[-1] = (covered[-1][0], max(covered[-1][1], axis.at(before.boot, read[-1].uptime_s or 0)))
    return covered


def _stays(
    records: Sequence[Record], points: Sequence[Point], covered: Sequence[tuple[float, float]], axis: Axis
) -> list[Stay]:
    """The states one after the other: by the journal where it is whole, by telemetry elsewhere."""
    said = [
        (axis.at(record.boot, record.uptime_s), record.seq, word(STATES, record.values["state"]), record.boot)
        for record in records
        if record.name in ("state", "commit") and not record.restated
    ]
    said += [
        (point.t, 0, point.state, point.boot)
        for point in points
        if not point.journal and not any(low <= point.t <= high for low, high in covered)
    ]
    said.sort(key=lambda row: row[:2])
    stays: list[Stay] = []
    for index, (t, _, state, boot) in enumerate(said):
        after = said[index + 1] if index + 1 < len(said) else None
        end = after[0] if after and after[3] == boot else axis.end_of(boot)
        sure = any(low <= t and end <= high for low, high in covered)
        last = stays[-1] if stays else None
        if last is not None and (last.state, last.sure, last.end) == (state, sure, t):
            stays[-1] = Stay(last.start, end, state, sure)
        elif end > t:
            stays.append(Stay(t, end, state, sure))
    return stays


def _alarms(records: Iterable[Record], source: Source, axis: Axis) -> list[AlarmRow]:
    rows: list[AlarmRow] = []
    standing: dict[str, AlarmRow] = {}
    boot = None
    for record in records:
        if record.restated:
            continue
        if boot is not None and record.boot != boot:
            for row in standing.values():
                row.end = axis.end_of(boot)  # a restart forgets alarms; what still holds comes anew
            standing.clear()
        boot = record.boot
        if record.name != "alarm":
            continue
        values, t = record.values, axis.at(record.boot, record.uptime_s)
        name, phase = word(ALARM_NAMES, values["alarm"]), word(PHASES, values["phase"])
        if phase == "silenced":
            continue
        row = standing.get(name)
        if phase == "clear":
            if row is not None:
                row.end = t
                del standing[name]
            continue
        if row is None:
            state = word(STATES, values["state"])
            row = AlarmRow(name, PRIORITIES.get(name, "unknown"), t, state, values["order"], values["value"])
            standing[name] = row
            rows.append(row)
    return rows


def _restarts(
    records: Iterable[Record], source: Source, points: Sequence[Point], orders: Sequence[Order], axis: Axis
) -> list[Restart]:
    causes = {r.boot: word(CAUSES, r.values["reset"]) for r in records if r.name == "boot" and not r.restated}
    for event in source.heard:
        if event.name == "boot":
            causes.setdefault(event.boot % BOOT_MODULUS, str(event.fields["reset"]))
    restarts = []
    boots = sorted(axis.spans)
    for before, boot in zip(boots, boots[1:], strict=False):
        said = [point for point in points if point.boot == before]
        open_orders = [order for order in orders if order.result == "reset" and order.boot == before]
        running = bool(open_orders) or bool(said and said[-1].state in RUNNING)
        restarts.append(Restart(axis.at(boot, axis.spans[boot][0]), boot, causes.get(boot, "unknown"), running))
    return restarts


def _marks(source: Source, axis: Axis) -> list[Mark]:
    """Events that no record tells of. They bear no time: they came between two values that do."""
    marks, before = [], None
    waiting: list[tuple[int, str]] = []
    for event in source.heard:
        if event.name == "tele":
            t = axis.at(event.boot, int(event.fields["uptime_s"]))
            marks += [Mark(t if before is None else before, t, text) for _, text in waiting]
            waiting, before = [], t
        elif event.name == "button":
            waiting.append((event.boot, f"button {event.fields['button']}"))
        elif event.name == "dropped":
            waiting.append((event.boot, f"{event.fields['events']} events lost"))
    for boot, text in waiting:
        end = axis.end_of(boot)
        marks.append(Mark(end if before is None else min(before, end), end, text))
    return marks


def _step_fl(source: Source, loads: Sequence[Load]) -> int | None:
    noted = source.latest("calibration").get("step_fl")
    return int(noted) if noted else (loads[-1].step_fl if loads else None)


def _settle_plan(story: Story, last_base_nl: int) -> None:
    """Account for orders that are in no record any more: the pump's own total tells how much they commanded."""
    chain = story.source.chain
    whole = not chain.gaps and not chain.damaged
    if whole and (chain.from_first or (story.loads and story.loads[0].seq)):
        return
    totals = story.source.latest("totals")
    if not totals or last_base_nl:
        story.plan.base_nl = None
        return
    lost_nl = float(totals["commanded_nl"]) - story.plan.at(np.array([story.end]))[0]
    if np.isnan(lost_nl):
        story.plan.base_nl = None
    elif abs(lost_nl) > LOST_NL:
        # Their volume is known, their times are not: the curve begins where the journal is whole.
        story.plan.base_nl, story.plan.known_from = lost_nl, story.covered[-1][0] if story.covered else story.end
