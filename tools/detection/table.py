"""The one table of detection: every fault, the alarm that it gives, and the time and volume until then, as stated.

Owns: the faults, the stated bounds, the page docs/detection.md. Must not: run a pump; `measure` does, and holds every
cell to what is stated here.

A bound is worked out from the step period P and the time between two looks of supervision (`look_s`), with the
thresholds of `core.supervision`, and never from a measurement.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from haipump_emulator.plant.params import SYRINGE_BORES_MM
from haipump_fw import app, recovery
from haipump_fw.core import supervision

MEASURED = Path(__file__).with_name("measured.json")
RATES = {"1.3 mL/day": 1_300_000, "1 mL/h": 24_000_000, "10 mL/h": 240_000_000, "60 mL/h": 1_440_000_000}
LOW = "1.3 mL/day"
SIZES = tuple(SYRINGE_BORES_MM)
TURN = 3_200
NEAR = supervision.NEAR_400THS * TURN // 400
STALL = supervision.STALL_FULL_STEPS * TURN // supervision.FULL_STEPS_PER_TURN
HALF = TURN // supervision.FULL_STEPS_PER_TURN // 2  # a full step: so far the rotor falls without current
QUANTUM = 1  # steps: the encoder has 1.28 counts to one
PASS_S = 0.1  # what a look, its repetitions and the way to the pin take, and what begins 40 ms after its order
FEEDS_S = 0.02  # faster than that a pass of the loop may last longer than a step
GUARD_WIDE = 31  # edges that pass while words are being queued
RUNAWAY_PER_S = 1_000  # more the rotor can't follow from standstill
BAR_LOW_NL, BAR_NL = 5_000, 50_000  # excess at 1.3 mL/day, and at every rate up to 60 mL/h


def step_nl(size_ml: int) -> float:
    """Volume of a microstep on the rig's screw of 2 mm lead."""
    return math.pi / 4 * SYRINGE_BORES_MM[size_ml] ** 2 * 2_000 / TURN


@dataclass(frozen=True)
class Cell:
    """A syringe at a rate."""

    size_ml: int
    rate: str

    @property
    def step_s(self) -> float:
        return step_nl(self.size_ml) * 86_400 / RATES[self.rate]

    @property
    def look_s(self) -> float:
        """Time between two looks."""
        most, least = app.TICK_MAX_US / 1e6, app.TICK_MIN_US / 1e6
        return max(least, min(most, app.TICK_STEPS * self.step_s))

    @property
    def look_steps(self) -> int:
        return math.floor(self.look_s / self.step_s + 1e-9) + 1

    @property
    def reachable(self) -> bool:
        return self.step_s >= 1 / 2_000


@dataclass(frozen=True)
class Fault:
    """`steps`: of the motion, until it is seen, looks not counted; `looks`: how many of them; `seconds`: instead, where
    it does not depend on steps. `more`: steps of fluid too much, of fewer than that (-1: as many as were ordered).
    """

    name: str
    text: str
    alarms: tuple[str, ...]
    time_s: Callable[[Cell], float]
    excess_steps: Callable[[Cell], float]
    how: str


def _after(steps: int, looks: int = 1) -> Callable[[Cell], float]:
    return lambda cell: (steps + 3) * cell.step_s + looks * max(cell.look_s, cell.step_s) + PASS_S


def _looks(count: int) -> Callable[[Cell], float]:
    return lambda cell: count * cell.look_s + PASS_S


def _fixed(seconds: float) -> Callable[[Cell], float]:
    return lambda cell: seconds


def _too_many(steps: float, each: int = 1) -> Callable[[Cell], float]:
    return lambda cell: steps + each * cell.look_steps + 1


def _none(cell: Cell) -> float:
    return 3.0  # the schedule rounds to half a step, and the fault begins anywhere between two


def _fall(cell: Cell) -> float:
    return HALF + 1.0  # the rotor without current falls into the next full step


def _flow_s(cell: Cell) -> float:
    """Until the window of `flow` is full of the fault; an anchor a minute, of so many steps at least."""
    anchor_s = 60 * math.ceil(supervision.ANCHOR_STEPS * cell.step_s / 60 + 1e-9)
    slow = (supervision.ANCHORS + 1) * max(60 + cell.look_s, anchor_s + cell.look_s)
    return min(slow, _after(4 * (STALL + 4 * QUANTUM))(cell))


def _ring(cell: Cell) -> float:
    """Words that are queued become steps, though nobody tops them up, or all at once; two, and two more, at least."""
    return 4 + min(72, 0.09 / cell.step_s)


def _edges(cell: Cell) -> float:
    """The same, twice: what the guard lets pass until words are queued again, and until the odometer is read then."""
    return 2 * _ring(cell) + (GUARD_WIDE if cell.step_s < FEEDS_S else 0)


FAULTS = (
    Fault(
        "step_double",
        "the driver sees each pulse twice",
        ("over_infusion",),
        _after(NEAR + 3),
        _too_many(NEAR + 3),
        "the shaft is ahead of the steps by more than half a full step",
    ),
    Fault(
        "step_open",
        "no pulse reaches the driver",
        ("motor_stall", "under_infusion"),
        _after(STALL + QUANTUM),
        _none,
        "the shaft is four full steps behind",
    ),
    Fault(
        "step_short",
        "every fourth pulse is lost",
        ("motor_stall", "under_infusion"),
        _flow_s,
        _none,
        "less than 90 % of what was ordered over 15 minutes, or four full steps behind",
    ),
    Fault(
        "dir_flipped",
        "the driver turns the other way",
        ("reverse_delivery", "motor_stall"),  # a fast motor can't turn round
        _after(NEAR + 2),
        _none,
        "the shaft went back by more than half a full step",
    ),
    Fault(
        "en_off",
        "the driver is not enabled",
        # The rotor falls back into a full step, by more than half of one, or forward, and is so much longer ahead.
        ("motor_stall", "reverse_delivery", "under_infusion"),
        _after(STALL + QUANTUM + HALF),
        _fall,
        "the shaft is four full steps behind",
    ),
    Fault(
        "runaway",
        f"the step generator makes {RUNAWAY_PER_S} pulses/s by itself",
        ("step_count",),
        _fixed(2 * PASS_S),
        _edges,
        "more edges at the STEP pad than words are queued: the edge guard; above 1 step/s the odometer in each pass",
    ),
    Fault(
        "plan_fast",
        "the planner hands out steps 20 times too fast",
        ("over_infusion", "motor_stall", "steps_late"),  # a fast motor can't follow, nor the loop
        lambda cell: (NEAR + 3) * cell.step_s + cell.look_s + PASS_S,
        lambda cell: NEAR + 4 + 0.2 / cell.step_s,
        "more steps handed out than the orders' highest rates allow",
    ),
    Fault(
        "hang",
        "the program hangs",
        (),
        _fixed(recovery.WATCHDOG_MS / 1000 + 2 * PASS_S),
        _ring,
        "the watchdog; the motion ends with the words that are queued",
    ),
    Fault("capture", "the plunger is let go", ("syringe_released",), _fixed(PASS_S), _none, "the capture switch"),
    Fault("driver_error", "the driver switches off", ("driver_error",), _fixed(PASS_S), _fall, "its error line"),
    Fault(
        "encoder_stuck",
        "the encoder's reading stands still",
        ("motor_stall", "reverse_delivery", "under_infusion"),
        _after(STALL + QUANTUM),
        _none,
        "the shaft seems not to move",
    ),
    Fault(
        "encoder_off",
        "the encoder reads 0",
        ("motor_stall", "reverse_delivery", "over_infusion"),
        _after(STALL + QUANTUM),
        _none,
        "the shaft seems not to move, or to have jumped",
    ),
    Fault(
        "encoder_noise",
        "the encoder's noise is a hundredfold",
        ("reverse_delivery", "over_infusion", "motor_stall"),
        lambda cell: 6 * cell.look_s + PASS_S,
        _none,
        "the shaft seems to go back",
    ),
    Fault(
        "pressure_off",
        "the pressure sensor reads 0",
        ("pressure_sensor",),
        _looks(supervision.PRESSURE_SAMPLES),
        _none,
        "two readings at the end of the range",
    ),
    Fault(
        "pressure_stuck",
        "the pressure sensor's reading stands still",
        ("pressure_sensor",),
        _looks(supervision.FROZEN_SAMPLES + 1),
        _none,
        "sixteen readings that are equal to the count",
    ),
)
# While the pump is stopped: (what, alarm, when).
AT_REST = (
    ("somebody or something turns the shaft", "over_infusion, reverse_delivery", "15 s, beyond half a full step"),
    ("pulses at the STEP pad", "step_count", "at the second pulse; the motor is off anyway"),
    ("the driver stays enabled", "-", "not seen: it holds, and nothing flows"),
)
UNSEEN = (
    (
        "a plunger that slips in its holder while the capture switch stays closed",
        "encoder and odometer turn as ordered, and nothing measures the plunger. A flow that stops for it ends in no "
        "pressure; one that is sucked out by a siphon shows none either.",
    ),
    (
        "free flow past a stopper that leaks, or from a syringe that is not held",
        "the motor is not part of it: to switch it off does not end the flow. Only the capture switch tells.",
    ),
    (
        "pulses that arise between the chip's pad and the driver in a burst",
        "the edge guard sits at the pad. The shaft shows them at the next look, at most 15 s later: some 4 mL at 1,000 "
        "steps/s from a 30 mL syringe. Wire STEP with a pull-down at the driver, so that a broken wire is silent.",
    ),
    (
        "a lead screw that turns in its coupling, a nut that is worn or open",
        "the encoder sits on the motor's shaft; behind it is only the pressure.",
    ),
    (
        "a wrong syringe, bore or lead",
        "volume is counted in steps; only a balance shows what a step is worth.",
    ),
    (
        "a leak behind the pressure sensor, air in the line, a reversed line",
        "there is no sensor for flow or air; the pressure of an open line is that of the artery either way.",
    ),
    (
        "an encoder that is off by a constant, or drifts by less than one step in 32",
        "only differences are used, and slow ones are the encoder's own error over a turn. What is lost in that way is "
        "less than a tenth, which is the limit of the flow's comparison.",
    ),
    (
        "a pressure sensor that is off by a constant",
        "the artery's pressure is not known any better.",
    ),
)


def cells() -> list[Cell]:
    return [cell for size in SIZES for rate in RATES if (cell := Cell(size, rate)).reachable]


def stated(fault: Fault, cell: Cell) -> tuple[float, float]:
    """(seconds, excess in nL) at most."""
    return fault.time_s(cell), fault.excess_steps(cell) * step_nl(cell.size_ml)


def measured() -> dict[str, list[float]]:
    """{"fault/size/rate": [seconds, excess in nL]} as `make detection` last wrote it."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}


def key(fault: Fault, cell: Cell) -> str:
    return f"{fault.name}/{cell.size_ml}/{cell.rate}"


def seconds(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"


def microlitres(nl: float) -> str:
    return f"{max(0.0, nl) / 1000:.2f} uL"


def worst() -> list[list[str]]:
    """For the page: per rate, the largest excess of all faults and syringes, stated and measured, and the bar."""
    found = measured()
    lines = []
    for rate in RATES:
        here = [(fault, cell) for fault in FAULTS for cell in cells() if cell.rate == rate]
        most, fault, cell = max(((stated(f, c)[1], f, c) for f, c in here), key=lambda row: row[0])
        was = max((found[key(f, c)][1] for f, c in here if key(f, c) in found), default=0.0)
        bar = BAR_LOW_NL if rate == LOW else BAR_NL
        where = f"{fault.name}, {cell.size_ml} mL"
        lines.append([rate, f"{microlitres(most)} ({where})", microlitres(was), f"below {bar // 1000} uL"])
    return lines


def rows(fault: Fault) -> list[list[str]]:
    """For the page: a row per syringe, in each cell what is stated and (measured)."""
    found = measured()
    lines = []
    for size in SIZES:
        line = [f"{size} mL"]
        for rate in RATES:
            cell = Cell(size, rate)
            if not cell.reachable:
                line.append("-")
                continue
            time_s, excess_nl = stated(fault, cell)
            was = found.get(key(fault, cell))
            text = f"{seconds(time_s)}, {microlitres(excess_nl)}"
            line.append(text + (f" ({seconds(was[0])}, {microlitres(was[1])})" if was else ""))
        lines.append(line)
    return lines
