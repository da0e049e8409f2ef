"""Run a scenario from start to end at full speed, and say what came of it.

Owns: the loop that makes simulated time pass for a player, and the result. Must not: print, or measure wall time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from haipump_emulator import cores
from haipump_emulator.scenario import rig
from haipump_emulator.scenario.load import load_scenario
from haipump_emulator.scenario.model import Scenario
from haipump_emulator.scenario.player import Player
from haipump_emulator.scenario.watch import Check
from haipump_emulator.trace.compare import clock_text
from haipump_emulator.trace.doors import Core, Doors, discard_output
from haipump_emulator.trace.recorder import Recorder
from haipump_emulator.trace.vcd import Waveform

CHUNK_US = 60_000_000  # the pump's output is looked after at least this often
LOG_MAX = 20_000  # lines, events and inputs kept for the trace around a failure
AROUND_MAX = 30  # of them shown for one failure
OVERTIME_US = 120_000_000  # conversations may go on for so long after the end

CoreFactory = Callable[..., Core]


@dataclass
class Result:
    """What came of one run. `around` has the lines, events and inputs before each failed check, by its place."""

    name: str
    path: str
    passed: bool
    checks: list[Check]
    simulated_us: int
    cpu_s: float
    around: dict[int, list[str]] = field(default_factory=dict)

    @property
    def factor(self) -> float:
        """Simulated time over processor time: what one core could do with nothing else running."""
        return self.simulated_us / 1e6 / max(self.cpu_s, 1e-3)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "factor": round(self.factor)}


def run_scenario(
    scenario: str | Path | Scenario,
    core_factory: CoreFactory | None = None,
    *,
    record: str | Path | None = None,
    vcd: str | Path | None = None,
    prepare: Callable[[Core], None] | None = None,
    kind: cores.Kind = cores.DIRECT,
) -> Result:
    """Run a scenario (or the file it is in) on a fresh core and return what came of it.

    `core_factory(plant, *, seed, flash, ticks_start_us, kind)` makes the core (default: `cores.again`); `prepare` may
    touch it before time begins; `record` is where to put a recording, `vcd` a waveform of the pins; `kind`: chip or
    direct. Raises ScenarioError for a scenario that can't be used, CoreError for a core that can't be had, OSError.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    started = _cpu_s()
    options: dict[str, Any] = {"ticks_start_us": scenario.pump.ticks_start_us, "kind": kind}
    factory = core_factory or cores.again
    plant = rig.plant_from(scenario.params, scenario.seed)
    core = factory(plant, seed=scenario.seed, flash=scenario.pump.flash, **options)
    recorder = None
    if record is not None:
        recorder = Recorder(
            core, record, seed=scenario.seed, core_options=options, scenario=scenario.name, scenario_text=scenario.text
        )
    waveform = Waveform(core, vcd) if vcd is not None else None
    log = _Log(core)
    try:
        if prepare is not None:
            prepare(core)
        player = play(scenario, core)
    finally:
        log.close()
        if waveform is not None:
            waveform.close()
        if recorder is not None:
            recorder.close()
    core.check()
    checks = player.checks
    around = {n: log.around(check) for n, check in enumerate(checks) if not check.passed}
    passed = bool(checks) and not around
    return Result(scenario.name, str(scenario.path), passed, checks, core.now_us, _cpu_s() - started, around)


def play(scenario: Scenario, core: Core) -> Player:
    """Play the whole scenario on `core`. Checks that are still open long after the end have failed."""
    player = Player(scenario, core)
    give_up_us = player.end_us + OVERTIME_US
    try:
        while not player.finished and core.now_us < give_up_us:
            player.poll()
            core.run_until(min(player.due_us, core.now_us + CHUNK_US, give_up_us))
            discard_output(core)
        player.poll()
    finally:
        player.close()
    for check in player.checks:
        if check.passed is None:
            check.passed, check.when_us, check.saw = False, core.now_us, "not decided when the scenario ended"
    return player


class _Log:
    """The last lines, events and inputs of a run; LEDs and tones are left out, they blink for ever."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._entries: deque[tuple[int, str]] = deque(maxlen=LOG_MAX)
        self._partial = ""
        self._doors = Doors(core, self._on_input)
        core.listeners.append(self)

    def close(self) -> None:
        self._doors.close()
        self._core.listeners.remove(self)

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        if direction == "out":
            *lines, self._partial = (self._partial + bytes(data).decode("latin-1")).split("\n")
            self._entries.extend((t_us, f"pump  {line}") for line in lines)

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name not in ("led", "tone"):
            self._entries.append((t_us, f"board {name} {fields}"))

    def _on_input(self, t_us: int, name: str, arguments: dict[str, Any]) -> None:
        if name == "send":
            text = bytes(arguments["data"]).decode("latin-1").rstrip("\n")
            self._entries.append((t_us, f"host  {text[:100]!r}"))
        else:
            self._entries.append((t_us, f"input {name} {arguments}"))

    def around(self, check: Check) -> list[str]:
        """What led to `check`, and a little of what came after."""
        before = [(t, text) for t, text in self._entries if t <= check.when_us][-AROUND_MAX:]
        after = [(t, text) for t, text in self._entries if t > check.when_us][:5]
        return [f"{clock_text(t)}  {text}" for t, text in before + after]


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system
