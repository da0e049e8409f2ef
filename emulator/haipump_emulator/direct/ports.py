"""Ports of the direct core: what `haipump_fw.ports` asks for, in front of the plant, in virtual time.

Owns: the step machine (words to pulses), console buffers, latched inputs, charged costs. Must not: run the app.

Not modelled here (the chip core does): words that sit in the FIFO apart from the ring, interrupt latency, pulse width.
"""

from __future__ import annotations

import functools
import random
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from haipump_emulator.direct import costs
from haipump_emulator.faults.flash import RamFlash
from haipump_fw import ports as contract
from haipump_fw.device import shipped, sources

if TYPE_CHECKING:
    from haipump_emulator.direct.core import DirectCore

RING_WORDS = 64
WORDS_MAX = RING_WORDS + 8 + 1  # ring, FIFO, and the one that is counted down
RECEIVE_BYTES = 768  # USB and interpreter buffers together
GUARD_WIDE = 31  # edges
LINES_MAX = 4  # wait in the session at most; more are turned away, which costs little
SEND_BYTES = 512  # what the USB side takes from a pump whose host does not read
CODE_FILES = 15  # are read in one go while the motor may move
DAMAGED = "haipump_fw/app.py"  # the file that a fault damages
NEVER_US = 1 << 62


@functools.cache
def app_hash() -> str:
    """Of what a board gets from these sources, so that it can be compared with one. Compiles them, which takes a
    second: whoever runs a pump in real time asks before a host does."""
    return shipped().app_hash


@functools.cache
def code_files() -> list[str]:
    """What a board reads when it checks its code, in that order."""
    return list(sources())


class Reset(BaseException):
    """The firmware asked for a reset; not an Exception: no handler of the firmware may survive it."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Clock:
    """The chip's microsecond counter: simulated time plus an offset, modulo its period."""

    def __init__(self, core: DirectCore, start_us: int) -> None:
        self._core = core
        self.set(start_us)

    def set(self, ticks_us: int) -> None:
        """It stands there now."""
        self._offset_us = ticks_us - self._core.now_us
        self._set_us = self._core.now_us

    def ticks_us(self) -> int:
        core = self._core
        drifted = (core.now_us - self._set_us) * core.drift_ppm // 1_000_000 if core.drift_ppm else 0
        return (core.now_us + self._offset_us + drifted) & (contract.TICKS_PERIOD - 1)


class Steps:
    """The step machine: one word is counted down, the rest wait. Pulses happen at their exact time in `emit`."""

    def __init__(self, core: DirectCore) -> None:
        self._core = core
        self._words: deque[int] = deque()
        self._direction = 1
        self._odometer = 0
        self.pulse_us = NEVER_US  # when the next pulse comes
        self._frozen = False
        self._allowed = GUARD_WIDE
        self._rogue_us = 0  # it makes pulses by itself, with this period
        self._rest = 0
        self._words_in = self._words_back = self._edges = 0

    def check(self) -> None:
        """Raises AssertionError when words were lost or made up."""
        waiting = len(self._words) + (self.pulse_us != NEVER_US)
        if self._edges != self._words_in - self._words_back - waiting:
            raise AssertionError(
                f"{self._edges} edges, but {self._words_in} words queued, {self._words_back} taken back, {waiting} left"
            )

    def _real(self, us: int) -> int:
        """How long a word takes with a crystal that drifts."""
        if not self._core.drift_ppm:
            return us
        whole, self._rest = divmod(us * 1_000_000 + self._rest, 1_000_000 + self._core.drift_ppm)
        return whole

    def configure(self, fifo_depth: int) -> None:
        if not 1 <= fifo_depth <= 8:
            raise ValueError(f"FIFO depth {fifo_depth}")

    def begin(self, direction: int, delay_us: int) -> None:
        self._core.emit()
        if self.queued():
            raise RuntimeError("DIR must not change while words are queued")
        self._direction = direction
        self._frozen = False
        self._core.plant.set_direction(self._core.now_us, direction)
        self.pulse_us = self._core.now_us + self._real(delay_us)
        self._words_in += 1

    def put(self, delay_us: int) -> bool:
        core = self._core
        if self.pulse_us <= core.now_us:
            core.emit()
        if self.pulse_us == NEVER_US and not self._frozen:  # it had run dry: the word counts from now
            self.pulse_us = core.now_us + self._real(delay_us)
            self._words_in += 1
            return True
        if len(self._words) >= WORDS_MAX - 1:
            return False
        self._words.append(delay_us)
        self._words_in += 1
        return True

    def put_all(self, words: list[int], count: int) -> bool:
        if self.queued() + count > WORDS_MAX:
            return False
        for at in range(count):
            self.put(words[at])
        return True

    def queued(self) -> int:
        if self.pulse_us <= self._core.now_us:
            self._core.emit()
        return len(self._words) + (self.pulse_us != NEVER_US and not self._rogue_us)

    def starved(self) -> bool:
        return self.queued() == 0

    def halt(self) -> int:
        self._end_rogue()
        left = self.queued()
        self._words_back += left
        self._words.clear()
        self.pulse_us = NEVER_US
        self._frozen = False
        self.guard(0)
        return left

    def freeze(self) -> None:
        if self._rogue_us:
            self._end_rogue()
            self._frozen = True
        elif self.pulse_us != NEVER_US:
            self._words.appendleft(0)  # only `halt` follows: how much of it was left does not matter
            self.pulse_us = NEVER_US
            self._frozen = True

    def guard(self, words: int) -> None:
        self._allowed = words + 1 if words >= 0 else GUARD_WIDE

    @property
    def spent(self) -> bool:
        """More edges came than were allowed."""
        return self._allowed < 0

    def odometer(self) -> int:
        self._core.charge(costs.ODOMETER_US)
        self._core.emit()
        return self._odometer & ((1 << 29) - 1)

    def pulse(self) -> int:
        """Make the due pulse; the next word starts. Returns its moment."""
        at = self.pulse_us
        self._allowed -= 1
        self._odometer += self._direction
        if self._rogue_us:
            self.pulse_us = at + self._rogue_us
            return at
        self._edges += 1
        self.pulse_us = at + self._real(self._words.popleft()) if self._words else NEVER_US
        return at

    def run_away(self, steps_per_s: int) -> None:
        """The machine makes pulses that nobody queued, until it is halted or frozen."""
        self._core.emit()
        if self.pulse_us != NEVER_US:
            self._words.appendleft(0)
        self._rogue_us = 1_000_000 // steps_per_s
        self.pulse_us = self._core.now_us + self._rogue_us

    def _end_rogue(self) -> None:
        if self._rogue_us:
            self._rogue_us = 0
            self.pulse_us = NEVER_US

    @property
    def direction(self) -> int:
        return self._direction


class Motor:
    def __init__(self, core: DirectCore) -> None:
        self._core = core
        self._on = False

    def enable(self, on: bool) -> None:
        if on != self._on:
            self._core.emit()
            self.switch(self._core.now_us, on)

    def switch(self, t_us: int, on: bool) -> None:
        self._on = on
        self._core.plant.set_enable(t_us, on)
        self._core.tell("enable", {"on": int(on)})

    def enabled(self) -> bool:
        return self._on

    def works(self) -> bool:
        return True  # pads are the chip core's


class Sensors:
    def __init__(self, core: DirectCore) -> None:
        self._core = core

    def _read(self, read) -> int:
        core = self._core
        core.now_us += costs.ADC_US
        core.emit()
        return read(core.now_us)

    def pressure_raw(self) -> int:
        return self._read(self._core.plant.pressure_raw)

    def encoder_raw(self) -> int:
        return self._read(self._core.plant.encoder_raw)

    def supply_mv(self) -> int:
        return self._read(self._core.plant.supply_mv)

    def temperature_mc(self) -> int:
        return self._read(self._core.plant.temperature_mc)


class Inputs:
    def __init__(self, core: DirectCore) -> None:
        self._core = core
        self.held = core.held  # buttons and jumper as they stand
        self.latched = 0
        self.guarded = self.trips = 0

    def press(self, bits: int, on: bool) -> None:
        """A button or the jumper changes; a press is latched."""
        if on:
            self.latched |= bits & ~self.held
            self.held |= bits
        else:
            self.held &= ~bits

    def read(self) -> int:
        core = self._core
        core.emit()
        return core.plant.switches(core.now_us) | self.held

    def pressed(self) -> int:
        latched = self.latched
        self.latched = 0
        return latched

    def guard(self, bits: int) -> None:
        self.guarded = bits

    def tripped(self) -> int:
        trips = self.trips
        self.trips = 0
        return trips

    def edges(self, t_us: int, before: int, after: int) -> None:
        """The interrupt: inputs have changed at t_us. What is dangerous and guarded stops steps and motor."""
        dangerous = (after & ~before & ~contract.IN_CAPTURED) | (before & ~after & contract.IN_CAPTURED)
        if dangerous & self.guarded:
            self._core.release(t_us)
            self.trips |= dangerous & self.guarded


class _Rhythm:
    """Beats on and off, over and over; `change(on)` is called at each turn."""

    def __init__(self, change: Callable[[bool], None]) -> None:
        self._change = change
        self._beats: tuple[int, ...] = ()
        self._at = 0
        self.turn_us = NEVER_US

    def play(self, now_us: int, beats: tuple[int, ...]) -> None:
        """From now on; nothing for no beats."""
        self._beats, self._at = beats, 0
        self.turn_us = now_us if beats else NEVER_US

    def quiet(self, now_us: int) -> bool:
        """It is off, and for nine beats at least."""
        return not self._beats or (self._at % 2 == 0 and self.turn_us - now_us >= 9 * contract.BEAT_MS * 1_000)

    def turn(self) -> None:
        self._change(self._at % 2 == 0)
        self.turn_us += self._beats[self._at] * contract.BEAT_MS * 1_000
        self._at = (self._at + 1) % len(self._beats)


class Panel:
    """Lamps and piezo. Signals go on by themselves, at exact times; the chip's begin with its next beat."""

    def __init__(self, core: DirectCore) -> None:
        self._core = core
        self._mask = self._lit = self._led = self._hz = self._tone_hz = 0
        self._flashing = False
        self._flash = _Rhythm(self._blink)
        self._sound = _Rhythm(lambda on: self._tone(self._hz if on else 0))
        self.turn_us = NEVER_US  # when something comes or goes next

    def leds(self, mask: int) -> None:
        self._mask = mask
        self._light()

    def works(self) -> bool:
        self._tone(0)
        return True

    def flash(self, led: int, rhythm: tuple[int, ...] | None) -> None:
        self._led, self._flashing = led, bool(led)
        self._flash.play(self._core.now_us, rhythm or () if led else ())
        self._light()
        self._play()

    def sound(self, frequency_hz: int, rhythm: tuple[int, ...] | None) -> None:
        self._hz = frequency_hz
        self._tone(0)
        self._sound.play(self._core.now_us, rhythm or () if frequency_hz else ())
        self._play()

    def quiet(self) -> bool:
        return self._sound.quiet(self._core.now_us)

    def turn(self) -> None:
        """What is due at `turn_us`."""
        for rhythm in (self._flash, self._sound):
            if rhythm.turn_us == self.turn_us:
                rhythm.turn()
        self.turn_us = min(self._flash.turn_us, self._sound.turn_us)

    def _play(self) -> None:
        self.turn_us = min(self._flash.turn_us, self._sound.turn_us)
        self._core.emit()

    def _blink(self, on: bool) -> None:
        self._flashing = on
        self._light()

    def _light(self) -> None:
        lit = self._mask & ~self._led | (self._led if self._flashing else 0)
        if lit != self._lit:
            self._lit = lit
            names = (("red", contract.LED_RED), ("yellow", contract.LED_YELLOW), ("green", contract.LED_GREEN))
            self._core.tell("led", {name: int(bool(lit & bit)) for name, bit in names})

    def _tone(self, frequency_hz: int) -> None:
        if frequency_hz != self._tone_hz:
            self._tone_hz = frequency_hz
            self._core.tell("tone", {"frequency_hz": frequency_hz})


class Console:
    """USB serial: bytes from the host wait in `received`, bytes to the host go to the core's `output`."""

    def __init__(self, core: DirectCore) -> None:
        self._core = core
        self.received = bytearray()

    def attached(self) -> bool:
        return self._core.usb_connected

    def expect(self) -> None:
        pass  # it never waits here

    def readinto(self, buf: bytearray) -> int:
        received = self.received
        if not received:
            return 0
        count = min(len(buf), len(received))
        buf[:count] = received[:count]
        del received[:count]
        self._core.charge(costs.CONSOLE_IN_US * count)
        self._core.lines = min(self._core.lines + buf.count(b"\n", 0, count), LINES_MAX)
        self._core.allocate(costs.ALLOCATED_PER_BYTE * count)
        return count

    def write(self, buf: bytearray, first: int, last: int) -> int:
        core = self._core
        if not core.usb_connected:
            return last - first  # nobody is there: the bytes are lost, as on the board
        for at in range(first, last):
            if not core.host_reads and len(core.output) >= SEND_BYTES:
                return at - first
            core.put_out(buf[at])
            core.charge(costs.CONSOLE_OUT_US)
            core.allocate(costs.ALLOCATED_PER_BYTE)
        return last - first


class Flash(RamFlash):
    """The partition: stalls the CPU as long as the chip's flash would, while the motion goes on."""

    def __init__(self, core: DirectCore, data: bytes | None) -> None:
        super().__init__(data=data)
        self._core = core
        self.on_operation = self._charge

    def _charge(self, kind: str, address: int, length: int) -> None:
        if kind == "program":
            self._core.charge(costs.PROGRAM_US + length * costs.PROGRAM_BYTE_US)
        elif kind == "erase":
            self._core.charge(costs.ERASE_US)
        else:
            self._core.charge(costs.FLASH_READ_US)


class Watchdog:
    def __init__(self, core: DirectCore) -> None:
        self._core = core
        self.bites_us = NEVER_US
        self._timeout_us = NEVER_US

    def start(self, timeout_ms: int) -> None:
        self._timeout_us = timeout_ms * 1000
        self.feed()

    def feed(self) -> None:
        if self._timeout_us != NEVER_US:
            self.bites_us = self._core.now_us + self._timeout_us


class System:
    interpreter = "cpython-direct"
    board = "direct"

    def __init__(self, core: DirectCore, cause: str, task: int) -> None:
        self._core = core
        self._cause = cause
        self._task = task
        self._random = random.Random(f"{core.seed}/entropy/{core.boots}")
        self._files = 0  # how far the check of the code is
        self._damaged = False  # it has read what is damaged

    @property
    def app_hash(self) -> str:
        return app_hash()

    def reset(self, cause: str) -> None:
        raise Reset(cause)

    def reset_cause(self) -> str:
        return self._cause

    def device_id(self) -> str:
        return f"{random.Random(f'{self._core.seed}/device').getrandbits(64):016x}"

    def random(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def collect(self) -> None:
        self._core.collect()

    def hold(self, on: bool) -> None:
        pass  # CPython's memory is none of the pump's

    def forget(self, module: ModuleType) -> None:
        """Here it stays; what loading it takes on the board is taken."""
        self._core.charge(costs.MODULE_US)
        self._core.allocate(costs.ALLOCATED_PER_MODULE)

    def check_code(self, between: Callable[[], object] | None) -> bool | None:
        """Nothing is read, but it takes as long: what the board would find is known."""
        files = code_files()
        first = self._files if between else 0
        after = min(first + (CODE_FILES if between else len(files)), len(files))
        self._core.charge(costs.MODULE_US)
        for _ in range(first, after):
            if between:
                between()
            self._core.charge(costs.CODE_FILE_US)
        self._core.allocate(costs.ALLOCATED_PER_MODULE)
        damaged = self._core.code_damaged and DAMAGED in files[first:after]
        self._damaged = damaged or (self._damaged and first > 0)
        self._files = after % len(files)
        return bool(self._files) or not self._damaged

    def drop(self, owner: type, name: str) -> None:
        pass  # the next life of this process needs it

    def heap_free(self) -> int:
        self._core.charge(costs.HEAP_FREE_US)
        return self._core.heap_free

    def task(self) -> int:
        return self._task

    def note_task(self, number: int) -> None:
        self._task = number
        if number == self._core.hang_at:
            self._core.hang()

    def enter_service(self) -> None:
        raise Reset("service")
