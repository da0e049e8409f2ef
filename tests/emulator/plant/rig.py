"""Helpers for the plant's tests: parameters with one thing switched off, step trains, the conservation residue.

Owns: nothing that is simulated. Must not: look inside the plant.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from haipump_emulator.plant import Plant, PlantParams, Truth

BASAL_US = 15_362_000  # 1.3 mL/day at 231 nL a step
S = 1_000_000
HOUR = 3_600 * S
DAY = 24 * HOUR


def params(base: PlantParams | None = None, **groups: dict[str, Any]) -> PlantParams:
    """Defaults with fields replaced: params(line={"air_nl": 1000.0})."""
    base = base or PlantParams()
    changed = {name: dataclasses.replace(getattr(base, name), **fields) for name, fields in groups.items()}
    return dataclasses.replace(base, **changed)


def smooth(**groups: dict[str, Any]) -> PlantParams:
    """No friction, no screw error, no pulse, on a bench: what is left is linear and known exactly."""
    base = params(
        syringe={"friction_static_n": 0.0, "friction_kinetic_n": 0.0},
        screw={"error_um": 0.0, "backlash_um": 0.0},
        motor={"microstep_error_full_steps": 0.0},
        artery={"mean_pa": 0.0, "pulse_pa": 0.0},
        sensors={"pressure_noise_lsb": 0.0, "encoder_noise_lsb": 0.0},
    )
    return params(base, **groups)


def running(p: PlantParams, seed: int = 1) -> Plant:
    plant = Plant(p, seed)
    plant.set_enable(0, True)
    return plant


def train(plant: Plant, start_us: int, count: int, period_us: int, direction: int = 1) -> int:
    """`count` steps, the first a period after `start_us`; returns the time of the last."""
    plant.set_direction(start_us, direction)
    t = start_us
    for _ in range(count):
        t += period_us
        plant.step(t)
    return t


def residue(truth: Truth) -> float:
    """Pushed minus what became of it, in nL."""
    return truth.pushed_nl - truth.arrived_nl - truth.stored_nl - truth.leaked_nl
