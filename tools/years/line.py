"""A host's line to a pump in process, along which years pass: nobody's hour is waited for, and nothing is missed.

Owns: bytes, time, what is due at which time (`at`), and the power. Must not: know the protocol, or why something is
due.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

SLICE_US = 500  # in a conversation time passes in slices of this, so that an answer is read soon after it came
LEAP_US = 600_000_000  # and so far at once while nobody waits for an answer
LEAP_MAX = 72  # leaps in a read: half a day, then the host looks by itself
STILL_S = 0.2  # a shorter read is part of a conversation
TORN_MAX_S = 1_200  # a pump that delivers writes to its flash every ten minutes
SECOND_US = 1_000_000


class PowerLost(Exception):
    """The pump had no power for a while, and its port was gone; it is back now."""


class YearsLine:
    """`core`: the pump's, which is on. Everything that `at` plans happens at its time, whoever makes time pass."""

    def __init__(self, core: Any) -> None:
        self.name = "years"
        self.core = core
        self._asked = False  # and not answered yet
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0

    def at(self, t_us: int, do: Callable[[], None]) -> None:
        """Have it done then; what `do` raises comes out of the call that made time pass."""
        self._planned += 1
        heapq.heappush(self._agenda, (t_us, self._planned, do))

    def clear(self) -> None:
        """What was planned and did not come is forgotten."""
        self._agenda.clear()

    def run_until(self, t_us: int) -> None:
        """Let time pass, with all that is due on the way."""
        while self._agenda and self._agenda[0][0] <= t_us:
            due_us, _, do = heapq.heappop(self._agenda)
            self.core.run_until(max(due_us, self.core.now_us))
            do()
        if t_us > self.core.now_us:
            self.core.run_until(t_us)

    def power_cut(self, for_s: float, torn: str = "") -> None:
        """The power goes for so long; `torn`: in the middle of the next write to flash. Raises PowerLost."""
        core = self.core
        if torn:
            core.flash_port.cut_after(1, torn)
            for _ in range(TORN_MAX_S):
                if not core.powered:
                    break
                core.run_until(core.now_us + SECOND_US)
        core.power(False)
        core.run_until(core.now_us + round(for_s * SECOND_US))
        core.power(True)
        core.run_until(core.now_us + 10 * SECOND_US)
        raise PowerLost

    # --- what a transport does

    def open(self) -> None:
        del self.core.output[:]
        self._asked = False

    def close(self) -> None:
        return None

    def now(self) -> float:
        return self.core.now_us / SECOND_US

    def sleep(self, seconds: float) -> None:
        self.run_until(self.core.now_us + round(seconds * SECOND_US))

    def write(self, data: bytes) -> None:
        self._asked = True
        while data:
            data = data[self.core.send(data) :]
            self.run_until(self.core.now_us + SLICE_US)

    def read(self, timeout_s: float) -> bytes:
        core = self.core
        end_us = core.now_us + (max(1, round(timeout_s * SECOND_US)) if timeout_s > 0 else 0)
        while not core.output and core.now_us < end_us:
            self.run_until(min(end_us, core.now_us + SLICE_US))
        leaps = 0
        while not core.output and timeout_s > STILL_S and not self._asked and leaps < LEAP_MAX:
            self.run_until(core.now_us + LEAP_US)
            leaps += 1
        data = bytes(core.output)
        del core.output[: len(data)]
        if data:
            self._asked = False
        return data
