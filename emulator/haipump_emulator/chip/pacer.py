"""PIO in exact time: steps a PIO block of the emulated chip at the instants at which its machines are due.

Owns: when a machine executes. Must not: know a program, or what a pin is for.

rp2040py gives a machine at most one instruction per instruction or nap of the CPU, so PIO all but stands still while
the CPU sleeps. A pacer takes the block's place on the bus, keeps an alarm on the block's next due instant and steps it
from there. A machine that counts down in one instruction (`jmp(x_dec, self)`) costs one alarm, not one per count. To
the chip's own loop the block looks stopped, which also spares it a call per instruction of the CPU.

Not covered: a change of the system clock while a machine runs, OUT_STICKY between machines.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import Any

_NEVER = 1 << 62
_WINDOWS = (0x50200, 0x50300)  # keys of the two blocks in the chip's table of peripherals
_TICKS_PER_S = 16_000_000_000
_CYCLE = 256  # the block counts time in 1/256 of a cycle of the system clock
_CTRL = 0x000
_RXF_FIRST, _RXF_LAST = 0x020, 0x02C
_MACHINE_FIRST, _MACHINE_LAST = 0x0C8, 0x124  # CLKDIV of machine 0 to PINCTRL of machine 3
_WAITS_FOR_PIN = 1  # kind of a wait, as the machine names it
_COUNTDOWNS = {2: "x", 4: "y"}  # condition of a jump to the register that it counts down


class PioPacer:
    """Block `index` of `mcu` in exact time; made before the chip runs."""

    def __init__(self, mcu: Any, index: int) -> None:
        self._mcu = mcu
        self._pio = mcu.pio[index]
        self._machines = list(self._pio.machines)
        self._clock = mcu.clock
        self._alarm = self._clock.create_alarm(self._fire)
        self._skipped: dict[Any, tuple[str, int]] = {}  # machine: its register, and the time of one count
        self._asleep: set[Any] = set()  # machines that waited when it was last looked
        self._watched: set[int] = set()  # pins that machines have waited for
        self._stepping = False
        self._lost = 0
        mcu.peripherals[_WINDOWS[index]] = self
        mcu.add_clock_listener(lambda new, old: self._clock_changed())
        self._clock_changed()

    @property
    def backlog_drops(self) -> int:
        """How often a machine was too late to catch up, since power-up. Anything but 0 means wrong edges."""
        return self._lost + self._pio.backlog_drops

    def before_reset(self) -> None:
        """The chip is about to be reset, which forgets the block's own count."""
        self._lost += self._pio.backlog_drops

    def after_reset(self) -> None:
        """The chip was reset: nothing runs, nothing is due."""
        self._skipped.clear()
        self._asleep.clear()
        self._alarm.cancel()

    def drive(self, action: Callable[[], None]) -> None:
        """Do something from outside that a machine may be waiting for, such as an edge on an input."""
        self._at_now(action, False)

    # --- the bus's side ---

    def read_uint32(self, offset: int) -> int:
        # Only taking a word out of a FIFO has an effect; all else is as the last step left it, which is as it is now.
        if _RXF_FIRST <= offset <= _RXF_LAST:
            return self._at_now(lambda: self._pio.read_uint32(offset), False)
        return self._pio.read_uint32(offset)

    def write_uint32(self, offset: int, value: int) -> None:
        self.write_uint32_atomic(offset, value, 0)

    def write_uint32_atomic(self, offset: int, value: int, kind: int) -> None:
        touches = offset == _CTRL or _MACHINE_FIRST <= offset <= _MACHINE_LAST
        self._at_now(lambda: self._pio.write_uint32_atomic(offset, value, kind), touches)

    def reset(self) -> None:
        self._pio.reset()

    # --- time ---

    def _clock_changed(self) -> None:
        hz = round(self._mcu.clk_sys)
        common = gcd(_CYCLE * hz, _TICKS_PER_S)
        self._fp, self._per_ticks = _CYCLE * hz // common, _TICKS_PER_S // common
        self._offset_fp = self._pio.cycle_fp - self._clock.ticks * self._fp // self._per_ticks

    def _now_fp(self) -> int:
        return self._clock.ticks * self._fp // self._per_ticks + self._offset_fp

    def _at_now(self, action: Callable[[], Any], touches: bool) -> Any:
        """`action` with the block's time set right; `touches`: it may look at or change what a countdown counts."""
        if self._stepping:
            return action()
        now = self._now_fp()
        if touches and self._skipped:
            self._settle(now)
        self._pio.cycle_fp = now
        try:
            return action()
        finally:
            self._arm()

    def _settle(self, now: int) -> None:
        """Give the registers that are counted down the values that they have now."""
        for machine, (register, count_fp) in self._skipped.items():
            left = max(0, -(-(machine.next_due_fp - now) // count_fp))
            setattr(machine, register, left)
            machine.next_due_fp -= left * count_fp
        self._skipped.clear()

    def _skip(self, machine: Any) -> None:
        """Take all of a countdown but its last round at once."""
        word = self._pio.instructions[machine.pc]
        register = _COUNTDOWNS.get((word >> 5) & 7) if word >> 13 == 0 and word & 31 == machine.pc else None
        if register is None:
            return
        rounds = getattr(machine, register)
        if rounds:
            delay = ((word >> 8) & 31) & ((1 << (5 - machine.sideset_count)) - 1)
            count_fp = (1 + delay) * machine.div_fp
            setattr(machine, register, 0)
            machine.next_due_fp += rounds * count_fp
            self._skipped[machine] = (register, count_fp)

    def _arm(self) -> None:
        """Put the alarm on the next due instant."""
        due = _NEVER
        self._pio.stopped = True  # for the chip's loop; a write to CTRL does not mind
        skipped, asleep = self._skipped, self._asleep
        asleep.clear()
        for machine in self._machines:
            if not machine.enabled:
                continue
            if machine.waiting:
                asleep.add(machine)
                if machine.wait_type == _WAITS_FOR_PIN and machine.wait_index not in self._watched:
                    self._watch(machine.wait_index)
                continue
            if machine not in skipped:
                self._skip(machine)
            due = min(due, machine.next_due_fp)
        if due >= _NEVER:
            self._alarm.cancel()
            return
        ticks = -(-(due - self._offset_fp) * self._per_ticks // self._fp) - self._clock.ticks
        self._alarm.schedule_ticks(max(1, ticks))

    def _watch(self, gpio: int) -> None:
        """Be told when the CPU or another block moves a pin that a machine waits for."""
        self._watched.add(gpio)
        self._mcu.gpio[gpio].add_listener(lambda value, last: self._stepping or self._woken())

    def _woken(self) -> None:
        """A pin has moved: machines look at it before the block does so by itself, in its own, outdated time."""
        self._pio.cycle_fp = self._now_fp()
        for machine in self._asleep:
            machine.check_wait()
        self._arm()

    def _fire(self) -> None:
        pio = self._pio
        now = self._now_fp()
        if self._skipped:
            for machine in [m for m in self._skipped if m.next_due_fp <= now]:
                del self._skipped[machine]
        self._stepping = True
        try:
            pio.cycle_fp, pio.next_due_fp = now - _CYCLE, now
            pio.advance(1)  # the listeners of the pins run in here, at the exact time
        finally:
            self._stepping = False
        self._arm()
