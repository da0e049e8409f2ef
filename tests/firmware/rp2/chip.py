"""A Pico without MicroPython: stand-ins for `machine`, `rp2`, `select` and `time` over one simulated clock.

Owns: what the firmware's board ports find when they import the hardware's modules. Every call into a stand-in costs
`cost_us` of simulated time, in which state machines run and interrupts strike: that is how races are provoked.
Not modelled: allocation (the chip's own tests lock the heap), electrical levels of pulls, flash timing.
"""

import contextlib
import gc as real_gc
import importlib
import select as real_select
import sys
import time as real_time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.firmware.rp2 import pio

PACKAGE = "haipump_fw.ports.rp2"
SM0_ADDR, PIO0_CTRL, GPIO_IN, USB_FRAME = 0x502000D4, 0x50200000, 0xD0000004, 0x50110048


class Reset(BaseException):
    """The chip was reset."""


class Pin:
    """machine.Pin"""

    IN, OUT, PULL_UP, PULL_DOWN, IRQ_RISING, IRQ_FALLING = 0, 1, 1, 2, 8, 4
    chip: "Chip"

    def __init__(self, number: int, mode: int | None = None, pull: int | None = None, *, value: int | None = None):
        self.number = number
        if mode is not None:
            self.chip.modes[number] = (mode, pull)
        if mode == self.OUT:
            self.value(value or 0)

    def value(self, level: int | None = None) -> int | None:
        self.chip.spend()
        if level is None:
            return self.chip.block.level(self.number)
        self.chip.block.set_level(self.number, level)
        return None

    def irq(self, handler: Callable, trigger: int, hard: bool) -> "PinIrq":
        irq = PinIrq(self, handler, trigger, hard)
        self.chip.pin_irqs[self.number] = irq
        return irq


class PinIrq:
    """What Pin.irq returns; the edges that came while interrupts were off are kept together."""

    def __init__(self, pin: Pin, handler: Callable, trigger: int, hard: bool):
        self.pin, self.handler, self.trigger, self.hard = pin, handler, trigger, hard
        self.latched = self.seen = 0

    def flags(self) -> int:
        return self.seen

    def strike(self) -> None:
        self.seen, self.latched = self.latched, 0
        self.handler(self.pin)


class StateMachine:
    """rp2.StateMachine"""

    chip: "Chip"

    def __init__(self, number: int, program: pio.Program, **options: Any):
        self.machine = self.chip.block.machines[number]
        self.init(program, **options)

    def init(self, program: pio.Program, *, freq: int, **pins: Pin) -> None:
        block = self.chip.block
        origin = block.place(program, block.machines)
        for name, pin in pins.items():
            setattr(self.machine, name, pin.number)
        self.machine.restart(program, block.TICKS_PER_US * 1_000_000 // freq, origin)
        self.chip.spend()

    def active(self, on: int) -> None:
        self.machine.enable(bool(on))
        self.chip.spend()

    def put(self, word: int) -> None:
        if len(self.machine.tx) >= self.machine.tx_size:
            raise AssertionError("put would block")
        self.machine.tx.append(word & pio.WORD)
        self.machine.wake()
        self.chip.spend()

    def get(self) -> int:
        self.chip.spend()
        return self.machine.rx.popleft()

    def tx_fifo(self) -> int:
        self.chip.spend()
        level = len(self.machine.tx)
        self.chip.spend()  # the answer is old by the time it arrives
        return level

    def rx_fifo(self) -> int:
        self.chip.spend()
        return len(self.machine.rx)

    def exec(self, word: int) -> None:
        self.machine.execute(word)
        self.chip.spend()

    def irq(self, handler: Callable, hard: bool) -> None:
        self.chip.pio_handlers[self.machine.index] = lambda: handler(self)
        self.chip.hard_pio_irq = hard


class Timer:
    """machine.Timer, as far as it is begun: (milliseconds, callback) of each are in the chip's `timers`."""

    chip: "Chip"
    ONE_SHOT = 0

    def __init__(self, id: int, /, *, mode: int, period: int, callback: Callable) -> None:
        assert id == -1, "the RP2040's port has timers of software only"
        assert mode == self.ONE_SHOT
        self.chip.timers.append((period, callback))


class Adc:
    """machine.ADC"""

    chip: "Chip"

    def __init__(self, channel: int):
        self.channel = channel

    def read_u16(self) -> int:
        return self.chip.adc[self.channel]


class Pwm:
    """machine.PWM; `chip.tone` is what the pin gives, 0 when it is quiet."""

    chip: "Chip"

    def __init__(self, pin: Pin, *, freq: int, duty_u16: int):
        self.pin, self.frequency = pin, freq
        self.duty_u16(duty_u16)

    def freq(self, frequency: int) -> None:
        self.frequency = frequency

    def duty_u16(self, duty: int) -> None:
        self.chip.tone = self.frequency if duty else 0


class Wdt:
    """machine.WDT"""

    chip: "Chip"

    def __init__(self, timeout: int):
        self.chip.watchdog = [timeout]

    def feed(self) -> None:
        self.chip.watchdog.append(0)


class Stream:
    """Standard input or output as USB serves it: `ready` says how many bytes can be moved without waiting."""

    def __init__(self, chip: "Chip", data: bytes = b"", room: int = 0):
        self.chip, self.data, self.room = chip, bytearray(data), room
        self.buffer = self

    def ioctl(self, _request: int, mask: int) -> int:
        return mask & ((1 if self.data else 0) | (4 if self.room else 0))

    def readinto(self, buf: bytearray) -> None:
        if len(buf) > len(self.data):
            raise AssertionError("readinto would block")
        buf[:] = self.data[: len(buf)]
        del self.data[: len(buf)]

    def write(self, data: bytes) -> None:
        if len(data) > self.room:
            raise AssertionError("write would block")
        self.room -= len(data)
        self.data += data


class Poll:
    """select.poll: asks every stream, and lets time pass between two askings."""

    chip: "Chip"
    ASK_US = 50

    def __init__(self):
        self.streams: list[tuple[Any, int]] = []

    def register(self, stream: Any, mask: int) -> None:
        self.streams.append((stream, mask))

    def ipoll(self, timeout_ms: int) -> Iterator[tuple[Any, int]]:
        end = self.chip.now_us + 1000 * timeout_ms
        while True:
            ready = [(stream, answer) for stream, mask in self.streams if (answer := stream.ioctl(3, mask))]
            if ready or self.chip.now_us >= end:
                return iter(ready)
            self.chip.run_us(self.ASK_US)


class Flash:
    """rp2.Flash: a window on `chip.flash` whose place and size stand in memory behind the object's type pointer.
    With `chip.flash_weak` it programs and erases nothing."""

    chip: "Chip"

    def __init__(self, start: int, len: int):
        self.chip.memory.words[id(self) + 4] = self.chip.files_at + start
        self.chip.memory.words[id(self) + 8] = len

    def at(self, block: int, offset: int, size: int) -> slice:
        words = self.chip.memory.words
        if block * 4096 + offset + size > words[id(self) + 8]:
            raise AssertionError("outside of the device")
        first = words[id(self) + 4] + block * 4096 + offset
        return slice(first, first + size)

    def readblocks(self, block: int, buf: bytearray, offset: int) -> None:
        buf[:] = self.chip.flash[self.at(block, offset, len(buf))]

    def writeblocks(self, block: int, buf: bytes, offset: int) -> None:
        if offset % 256 or len(buf) % 256:
            raise AssertionError("the chip programs whole pages")
        where = self.at(block, offset, len(buf))
        if not self.chip.flash_weak:
            old = self.chip.flash[where]
            self.chip.flash[where] = bytes(a & b for a, b in zip(old, buf, strict=True))

    def ioctl(self, request: int, block: int) -> int:
        if request != 6:
            raise NotImplementedError(request)
        if not self.chip.flash_weak:
            self.chip.flash[self.at(block, 0, 4096)] = b"\xff" * 4096
        return 0


class Memory:
    """machine.mem32: a word wherever something was written, and the registers that the firmware reads."""

    def __init__(self, chip: "Chip"):
        self.chip = chip
        self.words: dict[int, int] = {}

    def __getitem__(self, address: int) -> int:
        self.chip.spend()
        if address == SM0_ADDR:
            return self.chip.block.machines[0].address()
        if address == GPIO_IN:
            return sum(level << pad for pad, level in self.chip.block.levels.items() if pad < 30)
        if address == USB_FRAME:  # who looks at it may be waiting for the next one
            self.chip.run_us(5)
            return self.chip.frame()
        word = self.words.get(address, 0)
        return word - (1 << 32) if word >> 31 else word  # as MicroPython 1.25 reads it

    def __setitem__(self, address: int, value: int) -> None:
        self.chip.spend()
        if address == PIO0_CTRL:
            for machine in self.chip.block.machines:
                machine.enable(bool(value >> machine.index & 1))
        self.words[address] = value


class Chip:
    """The simulated chip; `attach` makes its modules importable."""

    def __init__(self, *, cost_us: int = 0, latency_us: int = 20, fast: bool = True, pc_lags: bool = False):
        self.block = pio.Block(fast=fast, pc_lags=pc_lags)
        self.block.on_irq = self._pio_irq
        self.block.on_level.append(self._level)
        self.cost = cost_us * self.block.TICKS_PER_US
        self.latency = latency_us * self.block.TICKS_PER_US
        self.modes: dict[int, tuple[int, int | None]] = {}
        self.pin_irqs: dict[int, PinIrq] = {}
        self.pio_handlers: dict[int, Callable[[], None]] = {}
        self.hard_pio_irq = False
        self.pending: list[tuple[int, Callable[[], None]]] = []
        self.masked = False
        self.dead_interrupts = False
        self.memory = Memory(self)
        self.flash = bytearray(b"\xff" * (1 << 20))
        self.flash_weak = False
        self.files_at = 0xA0000
        self.describe_image(0x51020)
        self.cause = 1
        self.adc: dict[int, int] = {}
        self.tone = 0
        self.watchdog: list[int] = []
        self.timers: list[tuple[int, Callable]] = []
        self.stdin = Stream(self)
        self.stdout = Stream(self, room=1 << 20)
        self.host_sleeps_from_us: int | None = None
        self.modules: dict[str, types.ModuleType] = {}

    def describe_image(self, end: int, *, header: int = 0x10000130) -> None:
        """Binary info of an interpreter that ends at flash offset `end`: header, list of two entries, the entries."""
        table, other, wanted = 0x10000800, 0x10000900, 0x10000910
        words = (header, 0x7188EBF2), (header + 4, table), (header + 8, table + 8), (header + 16, 0xE71AA390)
        words += (table, other), (table + 4, wanted), (other, 0x50520006), (other + 4, 0x68F465DE)
        words += (wanted, 0x50520005), (wanted + 4, 0x68F465DE), (wanted + 8, 0x10000000 + end)
        self.memory.words.update(words)

    # --- time ---

    @property
    def now_us(self) -> int:
        return self.block.now // self.block.TICKS_PER_US

    def frame(self) -> int:
        """Number of the last USB frame: one each millisecond from a host that is awake."""
        sleeps = self.host_sleeps_from_us
        return (self.now_us if sleeps is None else min(self.now_us, sleeps)) // 1000 & 0x7FF

    def spend(self) -> None:
        self.run(self.cost)

    def run_us(self, duration_us: int) -> None:
        self.run(duration_us * self.block.TICKS_PER_US)

    def run(self, ticks: int) -> None:
        """Let time pass: machines run, interrupts strike (and take time of their own)."""
        end = self.block.now + ticks
        while True:
            due = self.block.next_due()
            strike = min((when for when, _ in self.pending), default=None)
            if strike is not None and not self.masked and strike <= end and (due is None or strike <= due):
                self.block.now = max(self.block.now, strike)
                self._strike()
            elif due is not None and due <= end:
                self.block.now = max(self.block.now, due)
                self.block.run_due()
            else:
                break
        self.block.now = max(self.block.now, end)

    def _strike(self) -> None:
        self.pending.sort(key=lambda entry: entry[0])
        _, handler = self.pending.pop(0)
        self.masked = True
        try:
            handler()
        finally:
            self.masked = False

    def _interrupt(self, handler: Callable[[], None]) -> None:
        if not self.dead_interrupts and all(handler != waiting for _, waiting in self.pending):
            self.pending.append((self.block.now + self.latency, handler))

    def _pio_irq(self, flag: int) -> None:
        if flag in self.pio_handlers:
            self._interrupt(self.pio_handlers[flag])

    def _level(self, _now: int, pad: int, level: int) -> None:
        irq = self.pin_irqs.get(pad)
        edge = Pin.IRQ_RISING if level else Pin.IRQ_FALLING
        if irq and irq.trigger & edge:
            irq.latched |= edge
            self._interrupt(irq.strike)

    # --- modules ---

    def disable_irq(self) -> int:
        self.spend()
        was, self.masked = self.masked, True
        return int(was)

    def enable_irq(self, state: int) -> None:
        self.masked = bool(state)
        self.spend()

    def ticks_us(self) -> int:
        self.spend()
        return self.now_us & (1 << 30) - 1

    def reset(self) -> None:
        raise Reset

    def module(self, name: str, base: types.ModuleType | None = None, **names: Any) -> None:
        module = types.ModuleType(name)
        module.__dict__.update(vars(base) if base else {})
        module.__dict__.update(names)
        self.modules[name] = module

    def build_modules(self) -> None:
        own = {kind.__name__: type(kind.__name__, (kind,), {"chip": self}) for kind in (Pin, StateMachine, Poll)}
        own["Timer"] = type("Timer", (Timer,), {"chip": self})
        own |= {name: type(name, (kind,), {"chip": self}) for name, kind in (("ADC", Adc), ("PWM", Pwm), ("WDT", Wdt))}
        self.module(
            "machine",
            **{name: own[name] for name in ("Pin", "ADC", "PWM", "WDT", "Timer")},
            mem32=self.memory,
            PWRON_RESET=1,
            WDT_RESET=3,
            disable_irq=self.disable_irq,
            enable_irq=self.enable_irq,
            reset=self.reset,
            reset_cause=lambda: self.cause,
            unique_id=lambda: bytes(range(8)),
        )
        self.micropython: list[int] = []
        self.heap_locks: list[bool] = []
        self.module(
            "micropython",
            kbd_intr=self.micropython.append,
            alloc_emergency_exception_buf=lambda size: None,
            native=lambda function: function,
            heap_lock=lambda: self.heap_locks.append(True),
            heap_unlock=lambda: self.heap_locks.append(False),
        )
        self.module("gc", real_gc, threshold=lambda size: None)
        asm_pio = lambda set_init=None, fifo_join=0, in_shiftdir=0: (  # noqa: E731 - a decorator's factory in one line
            lambda function: pio.assemble(function, joined_tx=fifo_join == 1, low=set_init is not None)
        )
        constants = types.SimpleNamespace(OUT_LOW=2, JOIN_TX=1, SHIFT_LEFT=0)
        self.module(
            "rp2",
            PIO=constants,
            StateMachine=own["StateMachine"],
            asm_pio=asm_pio,
            Flash=type("Flash", (Flash,), {"chip": self}),
        )
        self.module("select", real_select, poll=own["Poll"], POLLIN=1, POLLOUT=4)
        ticks_diff = lambda a, b: ((a - b + (1 << 29)) & (1 << 30) - 1) - (1 << 29)  # noqa: E731
        self.module(
            "time",
            real_time,
            ticks_us=self.ticks_us,
            ticks_diff=ticks_diff,
            sleep_us=self.run_us,
            sleep_ms=lambda duration_ms: self.run_us(1000 * duration_ms),
        )

    @contextlib.contextmanager
    def attach(self) -> Iterator[Callable[[str], types.ModuleType]]:
        """Make the stand-ins importable; yields a function that imports one module of the board anew."""
        self.build_modules()
        package = importlib.import_module(PACKAGE)
        with pytest.MonkeyPatch.context() as patch:
            for name, module in self.modules.items():
                patch.setitem(sys.modules, name, module)
            patch.setattr(sys, "stdin", self.stdin)
            patch.setattr(sys, "stdout", self.stdout)
            forget(package)
            try:
                yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
            finally:
                forget(package)


def forget(package: types.ModuleType) -> None:
    """Drop the board's modules, so that the next import meets the next chip."""
    for name in [name for name in sys.modules if name.startswith(PACKAGE + ".")]:
        del sys.modules[name]
        vars(package).pop(name.rpartition(".")[2], None)
