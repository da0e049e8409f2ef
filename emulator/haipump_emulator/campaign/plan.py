"""What a seed means: the pump's options, and which faults come when. Drawn before the life begins, from named streams.

Owns: the draws. Must not: know how anything comes out. Adding a draw to one stream shifts none of the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from haipump_emulator.faults.catalogue import BREAKAGES, CATALOGUE, CUT_MODES, Fault, make
from haipump_emulator.plant.motor import WIRES
from haipump_emulator.scenario.host import BORES_UM, step_fl
from haipump_fw.proto.messages import TASKS

HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
SECOND_US = 1_000_000
NEVER_US = 1 << 62
CALM_US = 25 * MINUTE_US  # the end of a life, without faults, in which the pump must recover
FAULTS_PER_H = 1.25
# What takes longer to show: flash is written a few times an hour, and erased a few times a day; a slow flow needs hours
# to fill a closed line, and half of one until a shaft that stands still has missed four full steps.
LONGER = {"flash": 30, "occlusion": 12, "mechanics": 4, "sensors": 4}
COMMANDS_PER_H = 1.6
WRAP_US = 1 << 30  # of the chip's microsecond counter as the firmware sees it
HARD_GROUPS = ("power", "line", "flash")  # a third of the lives: reboots, serial line, flash
SYRINGES_ML = (5, 10, 20, 30)
LOCKED, DOSED = 0.3, 0.5  # parts of the lives


def stream(seed: int, name: str) -> random.Random:
    return random.Random(f"haipump campaign {seed} {name}")


@dataclass(frozen=True)
class Strike:
    """A fault from `at_us` to `end_us`."""

    number: int
    at_us: int
    end_us: int
    fault: Fault

    @property
    def text(self) -> str:
        return (
            f"{self.number}: {self.fault.text} at {self.at_us / SECOND_US:.3f} s until {self.end_us / SECOND_US:.3f} s"
        )


@dataclass(frozen=True)
class Plan:
    """All of a life but what its people do."""

    seed: int
    hours: float
    kind: str  # "mixed", or "hard": reboots, serial line and flash
    syringe_ml: int
    ticks_start_us: int
    groups: tuple[str, ...]
    strikes: tuple[Strike, ...]
    calm_us: int  # from here on there are no faults
    telemetry_ms: int
    locked: bool  # with keys, in locked mode
    dosed: bool  # with dose limits
    plant: dict[str, float]

    @property
    def step_fl(self) -> int:
        return step_fl(BORES_UM[self.syringe_ml])

    @property
    def end_us(self) -> int:
        return round(self.hours * HOUR_US)


def draw(seed: int, hours: float, core: str = "direct", only: tuple[int, ...] | None = None) -> Plan:
    """The plan of a seed; `only`: just these of its faults, by number."""
    options = stream(seed, "options")
    kind = "hard" if seed % 3 == 0 else "mixed"
    known = sorted({row.group for row in CATALOGUE.values() if core in row.cores})
    groups = [group for group in known if options.random() < 0.65] or [options.choice(known)]
    if kind == "hard":
        groups = [group for group in HARD_GROUPS if group in known]
    calm_us = max(0, round(hours * HOUR_US) - CALM_US)
    strikes = _strikes(stream(seed, "faults"), tuple(groups), calm_us, core)
    return Plan(
        seed=seed,
        hours=hours,
        kind=kind,
        syringe_ml=options.choice(SYRINGES_ML),
        ticks_start_us=0 if core == "chip" else _ticks_start(options, hours),
        groups=tuple(groups),
        strikes=tuple(strike for strike in strikes if only is None or strike.number in only),
        calm_us=calm_us,
        telemetry_ms=options.choice((0, 0, 0, 60_000, 600_000)),
        locked=stream(seed, "lock").random() < LOCKED,
        dosed=stream(seed, "dose").random() < DOSED,
        plant=_plant(stream(seed, "plant"), hours),
    )


def _ticks_start(options: random.Random, hours: float) -> int:
    """The counter at power-on: shortly before its wrap, at half of it, or anywhere."""
    lead_us = options.choice((1, 1_000, SECOND_US, 65 * SECOND_US, options.randrange(WRAP_US)))
    return (options.choice((WRAP_US, WRAP_US // 2)) - lead_us) % WRAP_US


def _plant(draw: random.Random, hours: float) -> dict[str, float]:
    """Parameters of the plant by `group.name`. No life may become too warm by itself: 24 K at most."""
    return {
        "line.compliance_nl_per_pa": draw.choice((0.3, 1.0, 1.5)),
        "artery.mean_pa": draw.choice((0.0, 8_000.0, 13_000.0)),
        "environment.drift_k_per_h": draw.choice((0.0, 0.0, -1.0, 1.0)) * min(1.0, 24 / hours),
        "sensors.pressure_offset_pa": draw.choice((0.0, -1_000.0, 1_000.0)),
        "screw.backlash_um": draw.choice((0.0, 50.0, 100.0)),
    }


# --- faults

Make = Callable[[random.Random], dict[str, Any]]


def _pick(words: tuple[str, ...]) -> Callable[[random.Random], str]:
    return lambda draw: draw.choice(words)


def _log(low: float, high: float) -> Callable[[random.Random], int]:
    """Every order of magnitude as likely as the next."""
    return lambda draw: round(low * (high / low) ** draw.random())


_SEED = lambda draw: draw.getrandbits(31)  # noqa: E731 - a row of the table below
_SENSOR = _pick(("pressure", "encoder", "supply", "temperature", "switches"))
_ANALOGUE = _pick(("pressure", "encoder", "supply", "temperature"))
# How the parameters of each fault are drawn, within what the pump has to bear.
PARAMETERS: dict[str, dict[str, Callable[[random.Random], Any]]] = {
    "sensor_off": {"sensor": _SENSOR},
    "sensor_stuck": {"sensor": _SENSOR},
    "sensor_noise": {"sensor": _ANALOGUE, "times": _log(2, 200)},
    "sensor_offset": {"sensor": _ANALOGUE, "counts": lambda draw: draw.choice((-1, 1)) * _log(50, 20_000)(draw)},
    "sensor_slow": {"sensor": _ANALOGUE, "seconds": _log(1, 600)},
    "sensor_intermittent": {"sensor": _SENSOR, "percent": _log(1, 90)},
    "en_wire": {"what": _pick(WIRES["en"])},
    "dir_wire": {"what": _pick(WIRES["dir"])},
    "step_wire": {"what": _pick(WIRES["step"])},
    "step_loss": {"per_mille": _log(1, 1_000)},
    "coupling_slip": {"per_mille": _log(1, 1_000)},
    "backlash": {"um": _log(60, 1_000)},
    "air": {"nl": _log(1_000, 1_000_000)},
    "empty": {"left_nl": _log(1, 1_000_000)},
    "pulsation": {"mean_pa": lambda draw: draw.randrange(-5_000, 25_000)},
    "flash_wear": {"erases": lambda draw: draw.choice((0, 0, 1, 3)), "breakage": _pick(BREAKAGES)},
    "clock_drift": {"ppm": lambda draw: draw.choice((-1, 1)) * _log(20, 20_000)(draw)},
    "clock_stall": {"ms": _log(1, 15_000)},
    "clock_wrap": {"lead_ms": _log(1, 600_000)},
    "line_byte": {
        "what": _pick(("flip", "drop", "duplicate", "insert")),
        "at": lambda draw: draw.randrange(300),
        "bit": lambda draw: draw.randrange(8),
    },
    "line_delay": {"ms": _log(1, 20_000)},
    "line_garbage": {"chunks": _log(1, 500), "seed": _SEED},
    "line_reconnects": {"count": _log(1, 30), "longest_ms": _log(10, 10_000), "seed": _SEED},
    "heap_exhausted": {"bytes": _log(1, 20_000)},
    "occlusion": {"resistance": lambda draw: draw.choice((0, 0, _log(10, 100_000)(draw)))},
    "leak": {"resistance": _log(10, 10_000)},
    "siphon": {"cm": _log(5, 150)},
    "power_cut": {"off_ms": _log(1, 600_000)},
    "brownouts": {"count": _log(2, 30), "longest_ms": _log(10, 5_000), "seed": _SEED},
    "supply_sag": {"mv": lambda draw: draw.randrange(0, 4_900)},
    "flash_torn": {"operation": _log(1, 40), "mode": _pick(CUT_MODES)},
    "flash_bad_block": {"sector": lambda draw: draw.randrange(64), "breakage": _pick(BREAKAGES)},
    "line_noise": {"per_million": _log(20, 100_000), "seed": _SEED},
    "button_stuck": {"button": _pick(("start", "stop", "silence"))},
    "hang": {"task": _pick(TASKS[2:])},
}


def _strikes(draw: random.Random, groups: tuple[str, ...], until_us: int, core: str) -> list[Strike]:
    """Faults in these groups until then; of each group at most one at a time."""
    names = [name for name, row in CATALOGUE.items() if row.group in groups and core in row.cores and row.drawn]
    busy_us = dict.fromkeys(groups, 0)
    found: list[Strike] = []
    t_us = 5.0 * MINUTE_US
    while True:
        t_us += draw.expovariate(FAULTS_PER_H / HOUR_US)
        if t_us >= until_us:
            return found
        name = draw.choice(names)
        fault = make(name, {key: pick(draw) for key, pick in PARAMETERS.get(name, {}).items()})
        lasts_us = _log(SECOND_US, 40 * MINUTE_US)(draw)
        lasts_us *= LONGER.get(fault.group, LONGER.get(name, 1))
        at_us = max(round(t_us), busy_us[fault.group])
        end_us = min(at_us + lasts_us, until_us)
        if at_us < end_us:
            busy_us[fault.group] = end_us
            found.append(Strike(len(found), at_us, end_us, fault))
