"""One fill, from its visit to its last microlitre: one unit of work between two checkpoints.

Owns: the order of laboratory, decision, visit, delivery and what comes in between. Must not: keep anything outside of
the state. Between two fills the pump is switched off and on: what survives is its flash, and the plant goes on.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import haipump
from haipump.client import Pump
from haipump.errors import HaipumpError
from haipump.therapy import adjust, dose, history, rules, sealing, visit
from haipump.therapy import calendar as cal
from haipump.therapy import library as libraries
from haipump.therapy import record as records
from haipump.therapy.course import Course, Phase
from haipump.therapy.run import CourseRun
from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant, PlantParams
from haipump_emulator.plant.patient import Patient, PatientParams
from haipump_emulator.plant.truth import Truth
from tools.years import rates
from tools.years.line import PowerLost, YearsLine
from tools.years.people import NAME, Exposure, Nurse, Tube, laboratory
from tools.years.state import RECORD, Row, State

LOOK_US = 6 * rates.HOUR_US  # so often what has arrived is looked at
TURNS_MAX = 60  # alarms and cuts in one fill
GLYCERIN_FROM = 2  # from this held fill in a row on it is a pause with glycerin
DRUG, KEEPER, PAUSE = "floxuridine", "heparin-saline", "glycerin"
GLYCERIN = Phase(  # as the example of a course has it in a pause
    where=("pause",), drug=PAUSE, days=14, dose_mg_per_kg_day=None, concentration=(Fraction(50), "%"),
    diluent="bacteriostatic-water",
)  # fmt: skip
DOCTOR = "Emulated Doctor"
FAILS_MAX = 3  # refusals without an alarm, before it is none of our people's business any more
TOLD_BY = ("occlusion", "under_infusion", "motor_stall")  # alarms after which the line is looked at
OFF_US = 60 * rates.US_PER_S  # between two fills the pump has no power for a minute
ASKING_S = 0.1  # a question and its answer take some milliseconds
FL_PER_NL = 1_000_000
MakeCore = Callable[..., Any]


class Stuck(Exception):
    """A fill could not be brought to its end; the message says where it stands."""


@dataclass(frozen=True)
class World:
    """What all fills have in common. `draw`: the events of a fill by its number and days; `ppm`: of the quartz."""

    course: Course
    library: libraries.Library
    seed: int
    draw: Callable[[int, float], rates.Events]
    make_core: MakeCore = DirectCore
    ppm: int = 0

    @property
    def began(self) -> datetime.datetime:
        return datetime.datetime.combine(self.course.start, datetime.time(9), datetime.UTC)

    @property
    def fills(self) -> Sequence[cal.Fill]:
        return cal.fills(self.course)

    def new_state(self, settings: dict[str, Any]) -> State:
        """Before the first fill."""
        patient = PatientParams(
            weight_kg=float(self.course.patient.weight_kg), susceptibility=rates.susceptibility(self.seed)
        )
        return State(settings, Plant(PlantParams(), seed=self.seed), Patient(patient))


def run(world: World, state: State, file: Path) -> State:
    """The next fill. `file`: the course's, beside which its list of adjustments and its record stand. The state is
    changed; it is returned for those who write it down."""
    return Fortnight(world, state, file).run()


class Fortnight:
    """One fill at one core. `line.at` plans more that is to happen; `run` does it all."""

    def __init__(self, world: World, state: State, file: Path) -> None:
        self.world, self.state, self.file = world, state, file
        self.number = state.done + 1
        planned = world.fills[self.number - 1]
        self.events = world.draw(self.number, planned.days)
        self.answers = list(self.events.answers_s)
        self.core = world.make_core(state.plant, seed=world.seed, flash=state.flash, start_us=state.now_us)
        if world.ppm:
            self.core.drift(world.ppm)
        self.line = YearsLine(self.core)
        self.tube = Tube(state.plant, state.tube)
        self.exposure = Exposure(state.patient, self.tube)
        self.exposure.ng_per_ml = state.ng_per_ml
        self.row = Row(self.number, self.now().date().isoformat(), planned.drug, planned.drug)
        self.fill = self._decided(planned)
        self.row.drug = self.fill.drug
        self.nurse = Nurse(
            self.line, self.tube, rates.stream(world.seed, self.number, "nurse"), state.misses, self._starts
        )
        state.misses = 0
        self._delivering = False
        self._from: Truth | None = None
        self._clock: tuple[int, int, int] | None = None  # boot, its uptime and our time, both us
        self._fails = 0

    @property
    def _flow(self) -> int:
        return self.world.course.pump.labelled_flow_nl_per_day

    def now(self) -> datetime.datetime:
        return self.world.began + datetime.timedelta(microseconds=self.core.now_us)

    # --- before the visit

    def _decided(self, planned: cal.Fill) -> cal.Fill:
        """What goes in: the laboratory's values go through the rules before each fill with drug."""
        rng = rates.stream(self.world.seed, self.number, "laboratory")
        values = laboratory(self.state.patient, self.core.now_us, rng)
        self.row.values = {name: float(value) for name, value in values.items()}
        if planned.drug != DRUG:
            self.state.at_emptying = values
            return planned
        patient, phase = self.world.course.patient, planned.phase
        assert phase is not None and phase.dose_mg_per_kg_day is not None
        both = {test: [*self._emptying(test), values[test]] for test in values}
        decision = adjust.decide(
            rules.pick(self.world.course.rules), both, patient.reference, patient.upper_limit,
            phase.dose_mg_per_kg_day, self.now().date(),
            history.before(history.read(self.file), lambda since: True),  # each decision has its fill
        )  # fmt: skip
        history.append(self.file, decision, DOCTOR)
        self.row.percent = decision.percent
        if not decision.hold:
            self.state.held = 0
            return planned
        self.state.held += 1
        if self.state.held >= GLYCERIN_FROM:
            return replace(planned, drug=PAUSE, phase=replace(GLYCERIN, days=planned.days))
        return self._keeping(planned)

    def _keeping(self, fill: cal.Fill) -> cal.Fill:
        """What keeps the catheter open instead."""
        return replace(fill, drug=KEEPER, phase=next(one for one in self.world.course.phases if one.drug == KEEPER))

    def _emptying(self, test: str) -> list[Fraction]:
        return [self.state.at_emptying[test]] if test in self.state.at_emptying else []

    def _prepared(self, fill: cal.Fill) -> dose.Preparation:
        phase = fill.phase
        assert phase is not None
        percent = Fraction(self.row.percent) if fill.drug == DRUG else dose.FULL
        return dose.prepare(self.world.course, self.world.library, phase, days=fill.days, percent=percent, on=fill.date)

    def _secured(self, pump: Pump, fill: cal.Fill, drug: str) -> None:
        """The limits of what went in are sealed in the pump before it is started."""
        made = self._prepared(fill if drug == fill.drug else self._keeping(fill))
        sealing.load(pump, self.world.library, dose.limits_of(made))

    # --- the fill

    def run(self) -> State:
        fills = list(self.world.fills[: self.number])
        fills[-1] = self.fill
        self._plan_events()
        with records.Record(self.file.with_name(RECORD), self.world.course.name, self.world.began.isoformat()) as kept:
            history.keep(kept, history.read(self.file))
            for _ in range(TURNS_MAX):
                try:
                    with haipump.connect(self.line) as pump:
                        self._clock_begins(pump)
                        made = CourseRun(
                            self.world.course, self._prepared, kept, pump, self.now, self._asker, by=NAME,
                            secured=self._secured,
                        )  # fmt: skip
                        made.fills = fills
                        made.run()
                        self._over(pump, kept)
                        return self.state
                except PowerLost:
                    continue  # its alarm is told in the next turn
                except HaipumpError as failure:
                    self._person_comes(failure)
        raise Stuck(f"fill {self.number} is not over after {TURNS_MAX} turns: {self.row}")

    def _asker(self, begun: visit.Visit) -> Nurse:
        self.row.visits += 1
        return self.nurse.begins(begun)

    def _plan_events(self) -> None:
        began_us = self.state.now_us
        for one in self.events.cuts:
            self.line.at(began_us + one.at_us, lambda one=one: self._cut(one))
        for one in self.events.onsets:
            self.line.at(began_us + one.at_us, lambda one=one: self._onset(one))
        self.line.at(began_us + LOOK_US, self._look)

    def _cut(self, one: rates.Cut) -> None:
        self.row.cuts += 1
        self.answers.insert(0, one.answer_s)
        self.line.power_cut(one.for_s, one.torn)

    def _onset(self, one: rates.Onset) -> None:
        self.row.happened.append(f"{one.kind}: {one.what}" if one.what else one.kind)
        if one.what:
            self._see()
            self.tube.become(self.core.now_us, one.what)
        elif one.kind == "pocket":
            self.state.misses = 1
        else:
            self._see()
            before = self.state.patient.params
            self.state.patient.params = replace(before, susceptibility=rates.BILIARY_TIMES * before.susceptibility)

    def _look(self) -> None:
        self._see()
        self.line.at(self.core.now_us + LOOK_US, self._look)

    def _see(self) -> None:
        self.exposure.look(self.core.now_us, self._delivering)

    def _starts(self) -> None:
        """The nurse says that delivery may begin: from here on what the motor does is dose."""
        plan = self.nurse.procedure.plan
        self.exposure.ng_per_ml = (
            Fraction(0) if self.nurse.procedure.facts.substituted else plan.concentration_ng_per_ml
        )
        self.tube.connect(self.core.now_us)
        self._from = self.core.plant.truth(self.core.now_us)
        self._delivering = True
        self._see()

    def _person_comes(self, failure: HaipumpError) -> None:
        """An alarm stands, or something was refused: after a while somebody looks, repairs and acknowledges."""
        answer_s = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            self.line.sleep(answer_s)
            with haipump.connect(self.line) as pump:
                standing = [one.alarm for one in pump.alarms()]
                self.row.alarms += standing
                self._fails += not (self.nurse.mend() or standing)
                if self._fails > FAILS_MAX:
                    raise Stuck(f"fill {self.number}: {failure}") from failure
                if any(name in TOLD_BY for name in standing):
                    self.nurse.repair(f"alarm {standing[0]}")
                if standing:
                    pump.ack()
        except PowerLost:
            pass

    # --- the clock

    def _clock_begins(self, pump: Pump) -> None:
        """From here the pump's clock is compared with ours, until it starts again."""
        now = pump.clock()
        if self._clock is None or self._clock[0] != now.boot:
            self._clock = (now.boot, now.uptime_s * rates.US_PER_S + now.uptime_us, self.core.now_us)

    def _clock_ends(self, pump: Pump) -> None:
        now = pump.clock()
        assert self._clock is not None
        boot, uptime_us, began_us = self._clock
        if boot == now.boot:
            passed_us = self.core.now_us - began_us
            own_us = now.uptime_s * rates.US_PER_S + now.uptime_us - uptime_us
            self.row.drift_s = (own_us - passed_us) / rates.US_PER_S
            self.row.drift_max_s = rates.CRYSTAL_PPM * passed_us / 1e12 + ASKING_S

    # --- afterwards

    def _over(self, pump: Pump, kept: records.Record) -> None:
        """The fill is delivered: what the pump says of it, what the plant knows; then the power goes in good order."""
        row, state = self.row, self.state
        self._see()
        self._delivering = False
        self._see()
        assert self._from is not None
        truth = self.core.plant.truth(self.core.now_us)
        totals, lifetime = pump.totals(), pump.lifetime()
        state.step_fl = pump.calibration().step_fl
        row.planned_nl = self._flow * self.fill.days
        row.true_nl = (truth.commanded_steps - self._from.commanded_steps) * state.step_fl / FL_PER_NL
        row.arrived_nl = truth.arrived_nl - self._from.arrived_nl
        row.stepped_min_nl, row.stepped_max_nl = totals.stepped_min_nl, totals.stepped_max_nl
        row.confirmed_nl = totals.confirmed_nl
        row.given_mg = self.exposure.given_ug / 1e3
        self._clock_ends(pump)
        visit.download(kept, pump)
        row.journal = kept.last_seq(pump.conversation.greeting.device)
        state.lifetime = {name: int(value) for name, value in vars(lifetime).items()}
        row.found, row.kinds = self.nurse.found, sorted(self.nurse.kinds)
        row.days = (self.core.now_us - state.now_us) / rates.DAY_US
        self.line.clear()
        self.core.power(False)
        self._kept()

    def _kept(self) -> None:
        """All that the next fill begins from."""
        state = self.state
        state.flash, state.now_us = self.core.flash, self.core.now_us + OFF_US
        state.tube, state.ng_per_ml = self.tube.name, self.exposure.ng_per_ml
        if hasattr(self.core, "flash_port"):
            before = state.erases or [0] * len(self.core.flash_port.erases)
            state.erases = [a + b for a, b in zip(before, self.core.flash_port.erases, strict=True)]
        state.rows.append(self.row)
