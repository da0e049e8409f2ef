"""STEP, DIR and EN as the driver chip reads them.

Owns: what an edge at the pads means for the motor, counts and breaches of the driver's timing. Must not: move anything.

Timing is the strictest of the drivers that the wiring allows, so that a pass holds for all of them:

              A4988 (data sheet, figure 1)    TMC2209 (data sheet, STEP/DIR timing)    held here
STEP high     1 us at least                   100 ns                                   1,000 ns
STEP low      1 us at least                   100 ns                                   1,000 ns
DIR set-up    200 ns                          20 ns                                    200 ns
DIR hold      200 ns                          20 ns                                    200 ns

EN has an outside pull-up: a pad that nobody drives means off. Undriven, DIR and STEP read 0 (pull-down in the chip).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from haipump_emulator import wiring

TICKS_PER_NS = 16
STEP_HIGH_NS = 1_000
STEP_LOW_NS = 1_000
DIR_SETUP_NS = 200
DIR_HOLD_NS = 200
_LONG_AGO = -(1 << 60)


class StepDriver:
    """The driver's inputs. Counters go on over resets and power cuts: `forward` and `backward` are rising edges at STEP
    by DIR, `ignored` those of them that came while EN was off, `violations` breaches by kind."""

    def __init__(
        self,
        on_step: Callable[[int], None],
        on_direction: Callable[[int], None],
        on_enable: Callable[[bool], None],
        on_violation: Callable[[str, int], None],
    ) -> None:
        self._on_step = on_step
        self._on_direction = on_direction
        self._on_enable = on_enable
        self._on_violation = on_violation
        self._en_active = wiring.active("en")
        self._dir_forward = wiring.active("dir")
        self.forward = self.backward = self.ignored = 0
        self.violations: Counter[str] = Counter()
        self.enabled = False
        self.direction = 1 if self._dir_forward == 0 else -1

    def attach(self, mcu: Any) -> None:
        """Solder it to a chip that was just powered."""
        self._clock = mcu.clock
        self._rise = self._fall = self._turn = _LONG_AGO
        self._high = False
        self.since_reset = 0
        mcu.gpio[wiring.gpio("step")].add_listener(self._step_moved)
        mcu.gpio[wiring.gpio("dir")].add_listener(self._dir_moved)
        mcu.gpio[wiring.gpio("en")].add_listener(self._en_moved)
        self._on_direction(self.direction)

    def released(self) -> None:
        """A reset has let go of all pads."""
        if self._high:  # a pulse cut short by a reset is no fault of the firmware's timing
            self._high = False
            self._fall = self._clock.ticks
        self._dir_moved(0, 1)
        self._en_moved(2, 1)
        self.since_reset = 0

    def edge_within(self, us: int) -> bool:
        """True when the last edge at STEP is that close to now."""
        return self._clock.ticks - max(self._rise, self._fall) < us * 1_000 * TICKS_PER_NS

    def _step_moved(self, value: int, last: int) -> None:
        ticks = self._clock.ticks
        if int(value) == 1:
            if ticks - self._fall < STEP_LOW_NS * TICKS_PER_NS:
                self._breach("step_low", ticks - self._fall)
            if ticks - self._turn < DIR_SETUP_NS * TICKS_PER_NS:
                self._breach("dir_setup", ticks - self._turn)
            self._rise = ticks
            self._high = True
            direction = self.direction
            if direction > 0:
                self.forward += 1
            else:
                self.backward += 1
            self.since_reset += direction
            if not self.enabled:
                self.ignored += 1
            self._on_step(direction)
        elif self._high:
            self._high = False
            self._fall = ticks
            if ticks - self._rise < STEP_HIGH_NS * TICKS_PER_NS:
                self._breach("step_high", ticks - self._rise)

    def _dir_moved(self, value: int, last: int) -> None:
        level = 1 if int(value) == 1 else 0
        direction = 1 if level == self._dir_forward else -1
        if direction == self.direction:
            return
        self._turn = self._clock.ticks
        if self._turn - self._rise < DIR_HOLD_NS * TICKS_PER_NS:
            self._breach("dir_hold", self._turn - self._rise)
        self.direction = direction
        self._on_direction(direction)

    def _en_moved(self, value: int, last: int) -> None:
        enabled = int(value) == self._en_active  # 2 and more: nobody drives it
        if enabled != self.enabled:
            self.enabled = enabled
            self._on_enable(enabled)

    def _breach(self, kind: str, ticks: int) -> None:
        self.violations[kind] += 1
        self._on_violation(kind, ticks // TICKS_PER_NS)
