"""A small MicroPython program on the chip core, and everything that is heard of it.

Owns: its files (the board's own ports among them) and the record of steps, events and bytes. Must not: know what is
tested.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from haipump_emulator.chip import ChipCore
from haipump_emulator.chip.firmware import BLOCK, BLOCKS, file_system
from haipump_fw.device import shipped

BOOTED_US = 60_000  # the interpreter is up, the cable is enumerated, main.py has begun
PORTS = (
    "haipump_fw/__init__",
    "haipump_fw/const",
    "haipump_fw/core/clock",
    "haipump_fw/core/units",
)


@functools.cache
def _ports() -> dict[str, bytes]:
    """The board's ports and what they import, compiled as they are shipped."""
    return {
        name: data
        for name, data in shipped().files.items()
        if name.startswith("haipump_fw/ports/") or name.rpartition(".")[0] in PORTS
    }


@functools.cache
def files(main: str) -> bytes:
    """A file system with main.py and the board's ports."""
    blocks = file_system({**_ports(), "main.py": main.encode()})
    return b"".join(blocks.get(number, b"\xff" * BLOCK) for number in range(BLOCKS))


class Guest:
    """`main` runs on `core`. `steps` holds (ns, direction), `events` (us, name, fields)."""

    def __init__(self, image: Path, main: str, **options: Any) -> None:
        options.setdefault("seed", 1)
        self.core = ChipCore(image=image, files=files(main), **options)
        self.steps: list[tuple[int, int]] = []
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.bytes_in: list[tuple[int, bytes]] = []
        self.hash = hashlib.sha256()
        self.core.listeners.append(self)

    def on_step(self, t_us: int, direction: int) -> None:
        assert t_us == self.core.now_us
        self.steps.append((self.core.now_ns, direction))
        self.hash.update(repr(self.steps[-1]).encode())

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        self.events.append((t_us, name, fields))
        self.hash.update(repr(self.events[-1]).encode())

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        if direction == "in":
            self.bytes_in.append((t_us, data))
        self.hash.update(repr((t_us, direction, data)).encode())

    def run(self, us: int) -> Guest:
        """Let that much time pass."""
        self.core.run_until(self.core.now_us + us)
        return self

    def told(self, name: str) -> list[tuple[int, dict[str, Any]]]:
        """(us, fields) of the events of that name."""
        return [(t, fields) for t, event, fields in self.events if event == name]

    def text(self) -> str:
        """What the program wrote since the last call."""
        data = bytes(self.core.output)
        del self.core.output[:]
        return data.decode().replace("\r\n", "\n")

    def gaps(self) -> list[int]:
        """ns from each step to the next."""
        return [b - a for (a, _), (b, _) in zip(self.steps, self.steps[1:], strict=False)]
