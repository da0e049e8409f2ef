"""The world of one life: core, line, and the agenda of what happens at which simulated time.

Owns: the order of things, and the digest of all that came out. Must not: know what an order or an invariant is.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from array import array
from collections.abc import Callable
from typing import Any

from haipump_emulator.faults.catalogue import Rig
from haipump_emulator.link.line import Line

LOOK_US = 5_000  # bytes on their way are moved on this often
_EDGES_MAX = 8_192
_SIGNALS = ("led", "tone")  # thousands an hour while an alarm sounds


class World:
    """`run_until` is the one call that makes time pass. `tick` is called whenever it has done so."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.line = Line(core)
        self.rig = Rig(core, self.line, self.at)
        self.tick: Callable[[], None] = lambda: None
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._digest = hashlib.sha256()
        self._edges = array("q")
        core.listeners.append(self)

    @property
    def now_us(self) -> int:
        return self.core.now_us

    def at(self, t_us: int, do: Callable[[], None]) -> None:
        """Have something done at a simulated time; what is late is done at once."""
        heapq.heappush(self._agenda, (t_us, next(self._order), do))

    def run_until(self, t_us: int) -> None:
        core, agenda = self.core, self._agenda
        while core.now_us < t_us or (agenda and agenda[0][0] <= core.now_us):
            until = min(t_us, agenda[0][0]) if agenda else t_us
            if self.line.waiting:
                until = min(until, core.now_us + LOOK_US)
            if until > core.now_us:
                core.run_until(until)
            self.line.move()
            while agenda and agenda[0][0] <= core.now_us:
                heapq.heappop(agenda)[2]()
        self.tick()

    # --- digest

    def on_step(self, t_us: int, direction: int) -> None:
        self._edges.append(t_us * 2 + (direction > 0))
        if len(self._edges) >= _EDGES_MAX:
            self._flush()

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        self._digest.update(b"%d%s" % (t_us, direction.encode()) + data)

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name not in _SIGNALS:
            self._digest.update(f"{t_us}{name}{fields}".encode())

    def _flush(self) -> None:
        self._digest.update(self._edges.tobytes())
        del self._edges[:]

    def digest(self) -> str:
        """Of all edges, bytes and events of this life up to now, and of what is in the flash."""
        self._flush()
        whole = self._digest.copy()
        whole.update(bytes(self.core.flash))
        return whole.hexdigest()[:16]
