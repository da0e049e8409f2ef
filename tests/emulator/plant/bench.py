"""What the plant costs: `python -m tests.emulator.plant.bench` prints microseconds per call.

Owns: the measurement; it reads the wall clock, which the plant itself may not. Must not: be part of the package.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable

from haipump_emulator.plant.params import PlantParams
from haipump_emulator.plant.plant import Plant

STEP_US = 15_362_000  # 1.3 mL/day from a 30 mL syringe
CALLS = 50_000


def _us_per_call(call: Callable[[int], object], interval_us: int, start_us: int) -> float:
    begin = time.perf_counter()
    for t_us in range(start_us, start_us + CALLS * interval_us, interval_us):
        call(t_us)
    return (time.perf_counter() - begin) / CALLS * 1e6


def measure() -> dict[str, float]:
    """Name and microseconds of each figure. Takes about two seconds."""
    default = PlantParams()
    smooth = dataclasses.replace(
        default, syringe=dataclasses.replace(default.syringe, friction_static_n=0.0, friction_kinetic_n=0.0)
    )
    found: dict[str, float] = {}
    for name, params, interval in (
        ("step, basal, friction", default, STEP_US),
        ("step, basal, no friction", smooth, STEP_US),
        ("step, 2000/s, friction", default, 500),
    ):
        plant = Plant(params, 1)
        plant.set_enable(0, True)
        for i in range(1, 200):  # up to speed
            plant.step(i * 1_000)
        found[name] = _us_per_call(plant.step, interval, 200_000)
    plant = Plant(default, 1)
    plant.set_enable(0, True)
    plant.step(1)
    found["pressure_raw"] = _us_per_call(plant.pressure_raw, 1_000_000, 2)
    found["encoder_raw"] = _us_per_call(plant.encoder_raw, 1_000_000, 2)
    found["switches"] = _us_per_call(plant.switches, 1_000_000, 2)
    found["truth"] = _us_per_call(plant.truth, 1_000_000, CALLS * 1_000_000)
    return found


def main() -> None:
    """Print the table."""
    for name, value in measure().items():
        sys.stdout.write(f"{name:28} {value:6.2f} us\n")


if __name__ == "__main__":
    main()
