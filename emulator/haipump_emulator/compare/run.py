"""One fortnight for two pumps: the real firmware on `direct` with its plant, and the constant-flow implant.

Owns: leading both through the same stairs of one profile, and what the patient of each gets. Must not: print, draw, or
take a figure from an order: what a pump gave is what its plant says arrived in the artery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from haipump_emulator import cores
from haipump_emulator.plant import Plant, PlantParams
from haipump_emulator.plant.implant import Contents, ImplantedPump, ImplantParams
from haipump_emulator.plant.patient import Patient, PatientParams, PatientTruth
from haipump_emulator.plant.surroundings import STAIR_S, US_PER_S, Profile, Surroundings
from haipump_emulator.scenario.host import Answer, Event, ScriptedHost, parse_command
from haipump_emulator.trace.doors import discard_output

STAIR_US = STAIR_S * US_PER_S
FL_PER_NL = 1_000_000
SYRINGE = "syringe 30mL 30mL"
PRIME = "prime 0.5mL"  # takes up the play of the screw before anybody is connected
PRIME_US = 3_600 * US_PER_S  # what a prime may take, and time for the stopper to come to rest
READY = "stopped"
PROGRAMMABLE, CONSTANT = "programmable", "constant flow"


class CompareError(Exception):
    """The comparison can't be made; the message says what the pump said or did instead."""


@dataclass(frozen=True)
class Therapy:
    """What is ordered: the dose, worked into a concentration with the flow that both pumps should have."""

    rate_nl_per_day: int = 1_300_000
    mg_per_kg_per_day: float = 0.12
    patient: PatientParams = field(default_factory=PatientParams)

    @property
    def drug_ng_per_nl(self) -> float:
        """Concentration (= mg/mL): dose times weight over flow."""
        return self.mg_per_kg_per_day * self.patient.weight_kg / (self.rate_nl_per_day / 1e6)


@dataclass
class Course:
    """What one pump did: one entry more than stairs, at the ends of the stairs.

    `arrived_nl` counts what went into the artery, as far as it ever went (what flows back into the catheter comes again
    first). `stepped_nl` is None for a pump without a motor. `alarms`: what the pump reported, with its time."""

    name: str
    t_us: list[int] = field(default_factory=list)
    arrived_nl: list[float] = field(default_factory=list)
    patient: list[PatientTruth] = field(default_factory=list)
    stepped_nl: float | None = None
    alarms: list[tuple[int, str]] = field(default_factory=list)

    def between(self, begin_us: int, end_us: int) -> float:
        """nL that arrived from one end of a stair to another. ValueError for times that are none."""
        return self.arrived_nl[self.place(end_us)] - self.arrived_nl[self.place(begin_us)]

    def place(self, t_us: int) -> int:
        """The entry at this time. ValueError for one that is not the end of a stair."""
        place, rest = divmod(t_us, STAIR_US)
        if rest or not 0 <= place < len(self.t_us):
            raise ValueError(f"{t_us} us is not the end of one of the {len(self.t_us) - 1} stairs of {STAIR_S} s")
        return place


class _Treated:
    """A course as it grows, and the patient who gets it."""

    def __init__(self, name: str, therapy: Therapy) -> None:
        self.course = Course(name, [0], [0.0])
        self._drug = therapy.drug_ng_per_nl
        self._patient = Patient(therapy.patient)
        self.course.patient.append(self._patient.truth(0))

    def stair(self, world: Surroundings, arrived_nl: float) -> None:
        """A stair has passed in this world; by its end so much has arrived since the start."""
        course = self.course
        begin_us, before = course.t_us[-1], course.arrived_nl[-1]
        arrived_nl = max(before, arrived_nl)
        ug_per_min = (arrived_nl - before) * self._drug / 1_000 / (STAIR_S / 60)
        self._patient.blood(begin_us, world.artery_flow_l_per_min)
        self._patient.infuse(begin_us, ug_per_min)
        course.t_us.append(begin_us + STAIR_US)
        course.arrived_nl.append(arrived_nl)
        course.patient.append(self._patient.truth(begin_us + STAIR_US))


def constant_flow(profile: Profile, therapy: Therapy, params: ImplantParams | None = None) -> Course:
    """The implant, filled with the drug, through the profile. Its label is the therapy's rate."""
    treated = _Treated(CONSTANT, therapy)
    for (_, world), arrived_nl in zip(profile.stairs(), arrivals(profile, therapy, params), strict=True):
        treated.stair(world, arrived_nl)
    return treated.course


def arrivals(profile: Profile, therapy: Therapy, params: ImplantParams | None = None) -> list[float]:
    """nL from the implant in the artery by the end of each stair."""
    params = replace(params or ImplantParams(), label_nl_per_day=therapy.rate_nl_per_day)
    pump = ImplantedPump(params, Contents(params.capacity_nl, therapy.drug_ng_per_nl))
    found = []
    for begin_us, world in profile.stairs():
        pump.surround(begin_us, world)
        found.append(pump.truth(begin_us + STAIR_US).arrived_nl)
    return found


def programmable(
    profile: Profile, therapy: Therapy, seed: int = 1, progress: Callable[[int], None] = lambda stair: None
) -> Course:
    """The real firmware, in process, on the simulated rig with a 30 mL syringe, infusing at the therapy's rate.

    Raises CompareError when the pump refuses an order or does not infuse to the end.
    """
    stairs = profile.stairs()
    rig = _Rig(stairs[0][1], seed)
    rig.say(SYRINGE)
    rig.say(PRIME)
    rig.run(PRIME_US)
    rig.expect_state(READY)
    start = rig.core.plant.truth(rig.core.now_us)
    start_us, start_steps = rig.core.now_us, rig.steps
    rig.say(f"rate {therapy.rate_nl_per_day / 1e6:.6f}mL/day")
    treated = _Treated(PROGRAMMABLE, therapy)
    for number, (begin_us, world) in enumerate(stairs):
        rig.surround(world)
        rig.run(start_us + begin_us + STAIR_US - rig.core.now_us)
        arrived_nl = rig.core.plant.truth(rig.core.now_us).arrived_nl - start.arrived_nl
        treated.stair(world, arrived_nl)
        progress(number + 1)
    rig.expect_state("infusing")
    rig.core.check()
    course = treated.course
    course.stepped_nl = (rig.steps - start_steps) * rig.step_fl / FL_PER_NL
    course.alarms = [(t_us - start_us, name) for t_us, name in rig.alarms]
    return course


class _Rig:
    """The pump on its bench, a scripted host at its line, and the world around it."""

    def __init__(self, world: Surroundings, seed: int) -> None:
        params = PlantParams()
        params = replace(
            params,
            environment=replace(params.environment, temperature_c=world.temperature_c),
            artery=replace(params.artery, mean_pa=world.artery_pa),
        )
        self.core: Any = cores.Recipe(cores.DIRECT).make(Plant(params, seed), seed=seed)
        self.steps = 0  # as they left the pin, signed
        self.step_fl = 0
        self.alarms: list[tuple[int, str]] = []
        self.core.listeners.append(self)
        self._world = world
        self._host = ScriptedHost(self.core, self._told)

    def on_step(self, t_us: int, direction: int) -> None:
        self.steps += direction

    def _told(self, t_us: int, event: Event) -> None:
        if event.name == "alarm" and event.fields.get("phase") == "active":
            self.alarms.append((t_us, event.fields.get("alarm", "?")))

    def surround(self, world: Surroundings) -> None:
        """The world changes: temperature evenly over the stair, the artery's pressure at once. Thin air acts on pump,
        syringe and artery alike, so that without air in the line nothing of it is left."""
        now_us, plant, before = self.core.now_us, self.core.plant, self._world
        if world.temperature_c != before.temperature_c:
            plant.warm(now_us, world.temperature_c, STAIR_S)
        if world.artery_pa != before.artery_pa:
            plant.artery(now_us, world.artery_pa)
        self._world = world

    def run(self, us: int) -> None:
        """Let so much time pass."""
        self.core.run_until(self.core.now_us + us)
        discard_output(self.core)

    def say(self, text: str) -> Answer:
        """A command of the scenarios' language, carried out. Raises CompareError when the pump refuses it."""
        command = parse_command(text)
        answer = self._talk(self._host.command(command))
        if not answer.ok:
            raise CompareError(f"the pump refused `{text}`: {answer.text}")
        self.step_fl = int(command.fields.get("step_fl", self.step_fl))
        return answer

    def expect_state(self, state: str) -> None:
        """Raises CompareError when the pump is in another."""
        answer = self._talk(self._host.ask("status", {}))
        if answer.fields.get("state") != state:
            told = ", ".join(name for _, name in self.alarms) or "none"
            raise CompareError(f"the pump is {answer.fields.get('state')}, not {state}; its alarms so far: {told}")

    def _talk(self, talk: Any) -> Answer:
        while True:
            try:
                wake_us = next(talk)
            except StopIteration as stop:
                return stop.value
            self.run(wake_us - self.core.now_us)
