"""Pacing: how simulated time follows the wall clock. The only place in the emulator where wall time means anything.

Owns: the speed, pause and run-until, when a conversation is held at 1x, and things to do at a simulated time (let go of
a button). Must not: sleep, touch a byte of the serial line, or look at a wall clock other than the one it is given.

Names: `wall_us` is the host's monotonic clock, `sim_us` and `t_us` are simulated microseconds of the core.
"""

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any

FREE = None  # speed `max`

SLICE_TALKING_US = 2_000  # between two looks at the line while somebody talks: round trips stay below 5 ms
SLICE_IDLE_US = 20_000  # and while nobody does: 50 wake-ups a second cost below 1 % of a core
SLICE_PAUSED_US = 50_000
FALL_BEHIND_MAX_US = 200_000  # wall time that is caught up with; what is beyond is written off
BUDGET_US = 10_000  # wall time that one call of `advance` may take, so that clients and Ctrl-C are heard
CHUNK_WALL_US = 2_000  # wall time that one call into the core should take
CHUNK_MIN_US = 1_000  # simulated
CHUNK_MAX_US = 3_600_000_000
CHUNKS_MAX = 1_000  # in one call of `advance`
# How far simulated time may run ahead to finish an answer: five answers of 200 bytes at 56 us a byte, as one command of
# the host tools needs. At 1x and below it is waited for afterwards, so the mean speed stays exact; above 1x there is
# nothing to pay back.
LEAD_MAX_US = 50_000
LEAD_FAST_MAX_US = 100_000
LEAD_STEP_US = 250
WINDOW_US = 1_000_000  # over which the reached speed is measured


def monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


class Pacer:
    """Runs `core` as fast as `speed` says: a factor above 0, or FREE (None) for as fast as it goes."""

    def __init__(self, core: Any, speed: float | None = 1, *, wall_us: Callable[[], int] = monotonic_us) -> None:
        self.core = core
        self.wall_us = wall_us
        self.paused = False
        self.until_us: int | None = None  # pause there
        # Ends a slice early: the loop sets it to "somebody wants something".
        self.interrupted: Callable[[], bool] = lambda: False
        self._speed = speed
        self._factor: float | None = speed  # what holds at the moment: 1 in a conversation
        self._chunk_us = CHUNK_MIN_US
        self._cut_short = False  # the last `advance` did not get as far as it should have
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._base_wall_us = self._base_sim_us = 0
        self._samples: deque[tuple[int, int]] = deque()
        self._rebase()

    # --- what is asked for ---

    @property
    def speed(self) -> float | None:
        return self._speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        if speed is not None and not speed > 0:
            raise ValueError("a speed is above 0")
        self._speed = self._factor = speed
        self._rebase()

    def pause(self) -> None:
        self.paused = True
        self._samples.clear()

    def resume(self) -> None:
        """Go on, past the time of an earlier `run_until` too."""
        self.until_us = None
        self.paused = False
        self._rebase()

    def run_until(self, t_us: int) -> None:
        """Go on and pause at simulated time `t_us`, or where the core can stop then (the firmware finishes a pass of
        its loop). Raises ValueError when that is over."""
        if t_us < self.core.now_us:
            raise ValueError("that time is over")
        self.resume()
        self.until_us = t_us
        self._stop_if_there()

    def at(self, t_us: int, action: Callable[[], None]) -> None:
        """Call `action` at simulated time `t_us`, at once when that is over."""
        heapq.heappush(self._agenda, (t_us, next(self._order), action))

    # --- the run ---

    def advance(self, talking: bool = False) -> None:
        """Let the time pass that is due now, for at most about BUDGET_US of wall time."""
        self._run_agenda()
        if self.paused:
            return
        self._hold(talking)
        if self._factor is None:
            self._run(None)
        else:
            due_us = self._due_us()
            self._run(due_us)
            self._cut_short = not self.paused and self.core.now_us < due_us
            if self._cut_short and due_us - self.core.now_us > FALL_BEHIND_MAX_US * self._factor:
                self._rebase()
        self._sample()

    def run_ahead(self, done: Callable[[], bool]) -> bool:
        """Let time pass until `done()`, ahead of the wall clock if need be, as far as the lead allows. True when it
        should be called again, because the wall clock will have allowed more by then."""
        fast = self._fast()
        limit_us = self.core.now_us + LEAD_FAST_MAX_US if fast else self._due_us() + LEAD_MAX_US
        over = done()
        while not over and not self.paused and self.core.now_us < limit_us:
            self._run_to(min(limit_us, self.core.now_us + LEAD_STEP_US))
            over = done()
        if fast:
            self._rebase()
        return not over and not fast

    def wait_us(self, talking: bool = False) -> int:
        """Wall time until `advance` should be called again, when nothing happens before."""
        if self.paused:
            return SLICE_PAUSED_US
        if self._factor is None:
            return 0
        if self._cut_short:
            return 0
        slice_us = SLICE_TALKING_US if talking else SLICE_IDLE_US
        if self.until_us is not None:
            slice_us = min(slice_us, max(0, int((self.until_us - self.core.now_us) / self._factor)) + 1)
        return slice_us

    def reached(self) -> float:
        """Simulated per wall time over the last second; 0 while paused."""
        if self.paused or len(self._samples) < 2:
            return 0.0
        (wall_0, sim_0), (wall_1, sim_1) = self._samples[0], self._samples[-1]
        return (sim_1 - sim_0) / (wall_1 - wall_0) if wall_1 > wall_0 else 0.0

    def _fast(self) -> bool:
        return self._speed is None or self._speed > 1

    def _due_us(self) -> int:
        """Where simulated time should be now. Not for FREE, which is due everywhere."""
        return self._base_sim_us + int((self.wall_us() - self._base_wall_us) * (self._factor or 0))

    def _rebase(self) -> None:
        self._base_wall_us, self._base_sim_us = self.wall_us(), self.core.now_us

    def _hold(self, talking: bool) -> None:
        """Above 1x a conversation is held at 1x: a token that lives for 30 s must last a person's 30 s."""
        factor = 1 if talking and self._fast() else self._speed
        if factor != self._factor:
            self._factor = factor
            self._rebase()

    def _run(self, due_us: int | None) -> None:
        """Towards `due_us` (None: anywhere) in chunks that keep the program responsive."""
        start_us = before_us = self.wall_us()
        for _ in range(CHUNKS_MAX):
            end_us = self.core.now_us + self._chunk_us
            self._run_to(end_us if due_us is None else min(end_us, due_us))
            after_us = self.wall_us()
            if after_us - before_us > 2 * CHUNK_WALL_US:
                self._chunk_us = max(CHUNK_MIN_US, self._chunk_us // 2)
            elif after_us - before_us < CHUNK_WALL_US // 2 and self.core.now_us >= end_us:
                self._chunk_us = min(CHUNK_MAX_US, self._chunk_us * 2)
            if self.paused or (due_us is not None and self.core.now_us >= due_us):
                return
            if after_us - start_us >= BUDGET_US or self.interrupted():
                return
            before_us = after_us

    def shorten(self) -> None:
        """Run smaller chunks: the last one gave more output than there is room for."""
        self._chunk_us = max(CHUNK_MIN_US, self._chunk_us // 2)

    def _run_to(self, t_us: int) -> None:
        """At most to `t_us`: what is on the agenda before, and `until_us`, come first."""
        if self._agenda:
            t_us = min(t_us, self._agenda[0][0])
        if self.until_us is not None:
            t_us = min(t_us, self.until_us)
        if t_us > self.core.now_us:
            self.core.run_until(t_us)
        self._run_agenda()
        self._stop_if_there()

    def _run_agenda(self) -> None:
        while self._agenda and self._agenda[0][0] <= self.core.now_us:
            heapq.heappop(self._agenda)[2]()

    def _stop_if_there(self) -> None:
        if self.until_us is not None and self.core.now_us >= self.until_us:
            self.until_us = None
            self.pause()

    def _sample(self) -> None:
        wall_us = self.wall_us()
        self._samples.append((wall_us, self.core.now_us))
        while len(self._samples) > 2 and wall_us - self._samples[1][0] >= WINDOW_US:
            self._samples.popleft()
