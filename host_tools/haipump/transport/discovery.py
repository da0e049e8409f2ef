"""Which ports could have a pump: Pico boards by their USB vendor number, and emulators that say that they run.

A running emulator keeps one JSON file with the keys `port` (a path or `socket://...`) and `pid` in `emulator_folder()`.
Owns: the list. Must not: open a port.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

from haipump.transport.obstacles import PICO_VENDOR


@dataclass(frozen=True)
class PortInfo:
    """One port. `kind` is "board", "emulator" or "serial" (something else, never picked by itself)."""

    port: str
    kind: str
    description: str
    serial_number: str = ""


def emulator_folder() -> Path:
    """Where running emulators of this user keep their files: `haipump/emulators` below $XDG_RUNTIME_DIR or
    ~/.local/state. It need not exist."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(base) if base else Path.home() / ".local" / "state") / "haipump" / "emulators"


def find_ports(every: bool = False) -> list[PortInfo]:
    """Boards and running emulators; with `every` also the other serial ports, at the end."""
    boards, others = [], []
    for port in list_ports.comports():
        if port.vid == PICO_VENDOR:
            boards.append(PortInfo(port.device, "board", port.product or "Raspberry Pi Pico", port.serial_number or ""))
        else:
            others.append(PortInfo(port.device, "serial", _described(port.description), port.serial_number or ""))
    found = sorted(boards, key=lambda info: info.port) + _emulators()
    return found + sorted(others, key=lambda info: info.port) if every else found


def is_emulator(port: str) -> bool:
    """A running emulator says that this is its port."""
    return any(info.port in (port, os.path.abspath(port)) for info in _emulators())


def _described(text: str | None) -> str:
    return text if text and text != "n/a" else "serial port"


def _emulators() -> list[PortInfo]:
    found: dict[str, PortInfo] = {}
    for path in sorted(emulator_folder().glob("*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            port, name = facts["port"], facts.get("name", "")
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being written, left behind, or not ours
        if isinstance(port, str) and _alive(port, facts.get("pid")):
            found.setdefault(port, PortInfo(port, "emulator", f"emulator {name}".strip()))
    return list(found.values())


def _alive(port: str, pid: object) -> bool:
    """False when the emulator that left the file is surely gone."""
    if not port.startswith("socket://") and not port.upper().startswith("COM") and not Path(port).exists():
        return False
    if not isinstance(pid, int) or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
