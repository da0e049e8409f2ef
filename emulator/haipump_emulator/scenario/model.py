"""What a scenario is: typed, frozen, and without behaviour beyond describing itself.

Owns: the classes. Must not: read files, run anything, or know a core.

All times are simulated microseconds since the emulator started.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haipump_emulator.faults.catalogue import Fault
from haipump_emulator.scenario.host import Command


class ScenarioError(Exception):
    """A scenario that can't be used: says file, line and key, what is wrong, and what would be right."""

    def __init__(self, file: str, line: int, key: str, what: str) -> None:
        super().__init__(f"{file}:{line}: {key}: {what}" if key else f"{file}:{line}: {what}")
        self.file, self.line, self.key, self.what = file, line, key, what


# --- what happens ---


@dataclass(frozen=True)
class PlantAction:
    """One of the plant's own methods, called with the time and `arguments`."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Break:
    """A fault of the catalogue begins; with `for_us` it ends so much later, else never."""

    fault: Fault
    for_us: int | None


@dataclass(frozen=True)
class Press:
    """A button held for `hold_us`."""

    button: str
    bits: int
    hold_us: int


@dataclass(frozen=True)
class Jumper:
    """The service jumper closed or open."""

    bits: int
    on: bool


@dataclass(frozen=True)
class Power:
    """`off`, `on`, or `cycle`: off for `off_us`, then on."""

    mode: str
    off_us: int


@dataclass(frozen=True)
class Say:
    """A host command; `refused` is the error code that must come instead of ok."""

    command: Command
    refused: str | None = None


@dataclass(frozen=True)
class Flood:
    """`count` bytes thrown at the serial line as fast as it takes them: noise, or whole unknown lines."""

    count: int
    style: str


@dataclass(frozen=True)
class Mark:
    """A name for this moment, to count volumes from."""

    name: str


Action = PlantAction | Press | Jumper | Power | Say | Flood | Mark


# --- what must be seen ---


@dataclass(frozen=True)
class AlarmSeen:
    """The pump reports the alarm in this phase."""

    alarm: str
    phase: str


@dataclass(frozen=True)
class EventSeen:
    """An event of the serial line, or of the board's outputs, with these fields among its own."""

    name: str
    fields: dict[str, str]


@dataclass(frozen=True)
class StateIs:
    """The pump's last reported state."""

    state: str


@dataclass(frozen=True)
class InRange:
    """A number of the plant lies in [low, high], counted from mark `since` if given. `what` is a field of its truth."""

    what: str
    low: float
    high: float
    since: str | None
    shown: str


@dataclass(frozen=True)
class Asked:
    """The pump answers `verb` with these fields: exact text, or a range of whole numbers."""

    verb: str
    fields: dict[str, str | tuple[int, int]]


@dataclass(frozen=True)
class NoAlarm:
    """None of these alarms becomes active (all when empty)."""

    alarms: tuple[str, ...]


@dataclass(frozen=True)
class Still:
    """The motor makes no step."""


Condition = AlarmSeen | EventSeen | StateIs | InRange | Asked | NoAlarm | Still


@dataclass(frozen=True)
class Expect:
    """`within_us`: must come true in that time; `for_us`: must hold all that time (-1: to the end of the scenario);
    neither: must be true now."""

    condition: Condition
    within_us: int | None = None
    for_us: int | None = None


@dataclass(frozen=True)
class Entry:
    """One `[[timeline]]` entry: at `at_us` do `action`, then watch for `expect`."""

    at_us: int
    line: int
    action: Action | None = None
    expect: Expect | None = None


@dataclass(frozen=True)
class PumpOptions:
    """How the pump starts: a value of its tick counter, and the contents of its flash (None: erased)."""

    ticks_start_us: int | None = None
    flash: bytes | None = None


@dataclass(frozen=True)
class Scenario:
    """A scenario file, read. `params` are overrides by name, nested like the plant's parameter classes."""

    path: Path
    text: str
    name: str
    about: str
    seed: int
    duration_us: int
    speed: float | None
    params: dict[str, Any] = field(default_factory=dict)
    pump: PumpOptions = field(default_factory=PumpOptions)
    timeline: tuple[Entry, ...] = ()
