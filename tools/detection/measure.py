"""Measures the table of detection on the plant: `python -m tools.detection.measure`, or `make detection`.

Owns: how each fault is begun, what is read from the plant, and the comparison with what is stated. Must not: state.

Excess is what the shaft turned beyond the order since the fault began, at its worst moment until the motor is off; the
plant's truth, not the pump's opinion.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rich.progress import track

from haipump_emulator.plant import for_syringe
from haipump_fw.ports import RESET_WATCHDOG
from tests.firmware.app.bench import SECOND, Pump
from tools.detection import table
from tools.detection.table import Cell, Fault

SLICES = 400  # of the stated time, between two looks at the motor
PHASES = 4  # a fault begins at so many places between two full steps, into which the rotor falls without current
PHASE_STEPS = 4.25
NEW_SYRINGE_US = 500_000


def _planner(of: Pump) -> None:
    """Its intervals are a twentieth of what they should be."""
    planner = of.app.delivery.planner
    one, row = planner.next_delay, planner.next_delays

    def rows(words: list[int], count: int) -> int:
        found = row(words, count)
        for at in range(found):
            words[at] = max(250, words[at] // 20)
        planner.row_us = sum(words[:found])
        return found

    planner.next_delay = lambda: max(250, one() // 20)
    planner.next_delays = rows


def _hang(of: Pump) -> None:
    of.app.step = lambda: of.core.charge(20 * SECOND)


def _sensor(name: str, fault: str) -> Callable[[Pump], object]:
    return lambda of: of.core.plant.sensor(of.now, name, fault)


def _wire(line: str, fault: str) -> Callable[[Pump], object]:
    return lambda of: of.core.plant.wire(of.now, line, fault)


BEGIN: dict[str, Callable[[Pump], object]] = {
    "step_double": _wire("step", "double"),
    "step_open": _wire("step", "open"),
    "step_short": _wire("step", "short"),
    "dir_flipped": _wire("dir", "flipped"),
    "en_off": _wire("en", "off"),
    "runaway": lambda of: of.app.ports.steps.run_away(table.RUNAWAY_PER_S),
    "plan_fast": _planner,
    "hang": _hang,
    "capture": lambda of: of.core.plant.capture(of.now, False),
    "driver_error": lambda of: of.core.plant.driver_fault(of.now, True),
    "encoder_stuck": _sensor("encoder", "stuck"),
    "encoder_off": _sensor("encoder", "off"),
    "encoder_noise": lambda of: of.core.plant.sensor(of.now, "encoder", "noise", 100.0),
    "pressure_off": _sensor("pressure", "off"),
    "pressure_stuck": _sensor("pressure", "stuck"),
}


@dataclass
class Found:
    """What happened: the alarm ("" for none, "reset"), seconds until it or until the motor is off, excess in nL."""

    alarm: str
    seconds: float
    excess_nl: float


class Watch:
    """Follows the shaft at every pulse, for the worst excess until the pump switches the motor off."""

    def __init__(self, of: Pump, cell: Cell) -> None:
        self._core = of.core
        self._plant = of.core.plant
        self._boots = of.core.boots
        self._step_nl = table.step_nl(cell.size_ml)
        self._from_us = of.now
        self._from_steps = self._plant.truth(of.now).motor_steps
        self._nl_per_us = table.RATES[cell.rate] / 86_400e6
        self.worst_nl = 0.0

    def on_step(self, t_us: int, _direction: int) -> None:
        self.look(t_us)

    def look(self, t_us: int) -> None:
        app = self._core.app
        if app is None or not app.ports.motor.enabled() or self._core.boots > self._boots:
            return
        moved = (self._plant.truth(t_us).motor_steps - self._from_steps) * self._step_nl
        self.worst_nl = max(self.worst_nl, moved - (t_us - self._from_us) * self._nl_per_us)


def running(cell: Cell, phase: int) -> Pump:
    """A pump that infuses from this syringe at this rate, for as long as it takes to be at its speed, and a little more
    with each `phase`."""
    capacity = cell.size_ml * 1_000_000
    params = for_syringe(cell.size_ml)
    params = dataclasses.replace(params, syringe=dataclasses.replace(params.syringe, initial_nl=capacity))
    of = Pump(params=params, seed=1)
    of.run(0.1)
    bore_um = round(params.syringe.bore_mm * 1_000)
    of.load(capacity, round(table.step_nl(cell.size_ml) * 1_000_000), capacity, bore_um)
    of.order("prepare_limits reservoir_low_nl=1000 reservoir_empty_nl=0")
    of.order(f"prepare_rate rate_nl_per_day={table.RATES[cell.rate]}")
    of.run(max(1.0, min(600.0, 4 * cell.step_s)) + phase * PHASE_STEPS * cell.step_s)
    assert of.state() == "infusing"
    return of


def measure(fault: Fault, cell: Cell, phase: int = 0) -> Found:
    of = running(cell, phase)
    refill = cell.size_ml * 1e6 / table.RATES[cell.rate] * 86_400 / 4  # seconds: its switch must not come first
    time_s, _ = table.stated(fault, cell)
    assert time_s < 4 * refill
    said, began, boots = len(of.said), of.now, of.core.boots
    watch = Watch(of, cell)
    of.core.listeners.append(watch)
    BEGIN[fault.name](of)
    alarm = ""
    while of.now < began + 2 * time_s * SECOND + SECOND and not alarm:
        of.run(max(0.001, time_s / SLICES))
        if of.core.boots > boots:
            alarm = "reset" if of.app.reset_cause == RESET_WATCHDOG else "power"
        raised = [f["alarm"] for _, name, f in of.said[said:] if name == "alarm" and f["phase"] == "active"]
        alarm = alarm or next(iter(raised), "")
        watch.look(of.now)
    return Found(alarm, (of.now - began) / SECOND, watch.worst_nl)


def misses(fault: Fault, cell: Cell, found: Found) -> list[str]:
    """What is not as stated; empty when all is."""
    time_s, excess_nl = table.stated(fault, cell)
    time_s += max(0.001, time_s / SLICES)
    name = table.key(fault, cell)
    bad = []
    if found.alarm not in (fault.alarms or ("reset",)):
        bad.append(f"{name}: {found.alarm or 'no alarm'} instead of {' or '.join(fault.alarms) or 'a reset'}")
    if found.seconds > time_s:
        bad.append(f"{name}: seen after {found.seconds:.2f} s, stated {time_s:.2f} s")
    if found.excess_nl > excess_nl:
        bad.append(f"{name}: {found.excess_nl:.0f} nL too much, stated {excess_nl:.0f} nL")
    bar = table.BAR_LOW_NL if cell.rate == table.LOW else table.BAR_NL
    if max(found.excess_nl, excess_nl) >= bar:
        bad.append(f"{name}: {max(found.excess_nl, excess_nl):.0f} nL too much, the bar is {bar} nL")
    return bad


def pairs() -> Iterable[tuple[Fault, Cell]]:
    return itertools.product(table.FAULTS, table.cells())


def main() -> int:
    found: dict[str, Any] = {}
    bad: list[str] = []
    chosen = [(fault, cell) for fault, cell in pairs() if not sys.argv[1:] or fault.name in sys.argv[1:]]
    for fault, cell in track(chosen, "faults"):
        results = [measure(fault, cell, phase) for phase in range(PHASES)]
        bad += [text for result in results for text in misses(fault, cell, result)]
        worst = max(result.seconds for result in results), max(result.excess_nl for result in results)
        found[table.key(fault, cell)] = [round(worst[0], 3), round(worst[1], 1)]
    text = json.dumps(table.measured() | found, indent=0, sort_keys=True)
    table.MEASURED.write_text(text + "\n", encoding="utf-8")
    print("\n".join(bad) or f"all {len(found)} as stated")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
