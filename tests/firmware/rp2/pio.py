"""A PIO block on the desktop: the assembler's words, and state machines that run them cycle by cycle.

Owns: the meaning of the RP2040's PIO instructions as far as the firmware's programs use them. Must not: know those
programs. Not modelled: side-set, autopush and autopull, OUT, DMA, the two cycles of the input synchroniser, more than
one interrupt line.
"""

import types
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

WORD = 0xFFFFFFFF
SOURCES = {0: "pins", 1: "x", 2: "y", 3: "null", 6: "isr", 7: "osr"}


@dataclass
class Program:
    """What asm_pio makes of a function."""

    words: list[int]
    joined_tx: bool = False
    low: bool = False


class Emitter:
    """The instructions as functions that append a 16-bit word; labels are known in the second pass."""

    def __init__(self, labels: dict[str, int] | None = None):
        self.labels = labels or {}
        self.seen: dict[str, int] = {}
        self.words: list[int] = []

    def __getitem__(self, delay: int) -> "Emitter":
        if not 0 <= delay < 32:
            raise ValueError("delay")
        self.words[-1] |= delay << 8
        return self

    def word(self, value: int) -> "Emitter":
        self.words.append(value)
        return self

    def label(self, name: str) -> None:
        self.seen[name] = len(self.words)

    def jmp(self, condition: int | str, label: str | None = None) -> "Emitter":
        if label is None:
            condition, label = 0, str(condition)
        return self.word(int(condition) << 5 | self.labels.get(label, 0))

    def wait(self, polarity: int, source: int, index: int) -> "Emitter":
        return self.word(0x2000 | polarity << 7 | {6: 1}[source] << 5 | index)

    def in_(self, source: int, bits: int) -> "Emitter":
        return self.word(0x4000 | source << 5 | bits & 31)

    def push(self, mode: int) -> "Emitter":
        return self.word(0x8000 | mode & 0x60)

    def pull(self, mode: int) -> "Emitter":
        return self.word(0x8080 | mode & 0x60)

    def mov(self, target: int, source: int) -> "Emitter":
        return self.word(0xA000 | target << 5 | source)

    def irq(self, index: int) -> "Emitter":
        return self.word(0xC000 | index)

    def set(self, target: int, data: int) -> "Emitter":
        return self.word(0xE000 | target << 5 | data)

    def names(self) -> dict[str, object]:
        """What a program may say."""
        words = {
            "pins": 0,
            "x": 1,
            "y": 2,
            "null": 3,
            "isr": 6,
            "osr": 7,
            "pindirs": 4,
            "pin": 6,
            "x_dec": 2,
            "y_dec": 4,
        }
        words |= {"block": 0x21, "noblock": 0x01}
        functions = ("label", "jmp", "wait", "in_", "push", "pull", "mov", "irq", "set")
        modifiers = {"invert": lambda source: source | 8, "rel": lambda index: index | 0x10}
        return {**words, **modifiers, **{name: getattr(self, name) for name in functions}}


def assemble(function: Callable[[], None], *, joined_tx: bool = False, low: bool = False) -> Program:
    """Run a program's function twice: the first pass finds the labels."""
    labels: dict[str, int] = {}
    for _ in range(2):
        emitter = Emitter(labels)
        types.FunctionType(function.__code__, emitter.names())()
        labels = emitter.seen
    return Program(emitter.words, joined_tx, low)


def encode(text: str) -> int:
    """One instruction as a word."""
    emitter = Emitter()
    types.FunctionType(compile(text, "pio", "eval"), emitter.names())()
    (word,) = emitter.words
    return word


@dataclass
class Machine:
    """One state machine. Times are ticks of the block; `divider` of them are one cycle."""

    block: "Block"
    index: int
    program: Program = field(default_factory=lambda: Program([]))
    divider: int = 1
    origin: int = 0
    set_base: int = 0
    in_base: int = 0
    jmp_pin: int = 0
    enabled: bool = False
    pc: int = 0
    x: int = 0
    y: int = 0
    isr: int = 0
    osr: int = 0
    due: int | None = None
    shown_pc: int = 0
    held_pc: int = 0
    tx: deque[int] = field(default_factory=deque)
    rx: deque[int] = field(default_factory=deque)

    @property
    def tx_size(self) -> int:
        return 8 if self.program.joined_tx else 4

    def address(self) -> int:
        """The program counter as the register shows it."""
        if not self.enabled:
            return self.held_pc
        word = self.program.words[self.shown_pc - self.origin]
        delayed = word >> 8 & 31 and self.due is not None and self.block.now < self.due
        return self.shown_pc if self.block.pc_lags and delayed else self.pc

    def restart(self, program: Program, divider: int, origin: int) -> None:
        """What StateMachine.init does: FIFOs empty, program counter at the start, machine off."""
        self.program, self.divider, self.origin = program, divider, origin
        self.tx.clear()
        self.rx.clear()
        self.isr = 0
        self.pc = self.shown_pc = self.held_pc = origin
        self.enabled = False
        self.due = None
        if program.low:
            self.block.released.discard(self.set_base)
            self.block.set_level(self.set_base, 0)

    def enable(self, on: bool) -> None:
        self.held_pc = self.address()
        self.enabled = on
        self.due = self.next_edge() if on else None

    def next_edge(self) -> int:
        """The next edge of this machine's clock after now."""
        return (self.block.now // self.divider + 1) * self.divider

    def wake(self) -> None:
        """Something that a stalled machine may wait for has changed."""
        if self.enabled and self.due is None:
            self.due = self.next_edge()

    def run_cycle(self) -> None:
        """Execute what is due."""
        address = self.pc
        word = self.program.words[address - self.origin]
        self.shown_pc = address
        self.pc = self.origin + (address - self.origin + 1) % len(self.program.words)
        start = self.block.now
        if not self.execute(word):
            self.pc = address
            self.due = None  # stalled, until `wake`
            return
        cycles = 1 + (word >> 8 & 31)
        if self.block.fast and self.pc == address and word >> 5 == 2 and self.x > 1:
            cycles += self.x - 1  # a countdown on itself is one event
            self.x = 1
        self.due = start + cycles * self.divider

    def execute(self, word: int) -> bool:
        """True when the instruction is done, False when it stalls."""
        kind, argument = word >> 13, word & 0xFF
        if kind == 0:
            if self.condition(argument >> 5):
                self.pc = self.origin + (argument & 31)
        elif kind == 1:
            return self.block.level(self.in_base + (argument & 31)) == argument >> 7
        elif kind == 2:
            bits = argument & 31 or 32
            self.isr = (self.isr << bits | self.source(argument >> 5) & (1 << bits) - 1) & WORD
        elif kind == 4:
            return self.pull() if argument & 0x80 else self.push()
        elif kind == 5:
            value = self.source(argument & 7)
            setattr(self, SOURCES[argument >> 5], ~value & WORD if argument & 8 else value)
        elif kind == 6:
            self.block.raise_irq((argument & 3) + self.index & 3 if argument & 0x10 else argument & 7)
        elif kind == 7 and argument >> 5 == 0:
            if self.set_base not in self.block.released:
                self.block.set_level(self.set_base, argument & 1)
        elif kind == 7 and argument >> 5 == 2:
            self.y = argument & 31
        elif word == 0xE080:  # set(pindirs, 0): an input, pulled down
            self.block.released.add(self.set_base)
            self.block.set_level(self.set_base, 0)
        else:
            raise NotImplementedError(hex(word))
        return True

    def condition(self, number: int) -> bool:
        if number == 2:
            was, self.x = self.x, (self.x - 1) & WORD
            return was != 0
        if number == 4:
            was, self.y = self.y, (self.y - 1) & WORD
            return was != 0
        return {0: True, 6: bool(self.block.level(self.jmp_pin))}[number]

    def source(self, number: int) -> int:
        return 0 if SOURCES[number] == "null" else getattr(self, SOURCES[number])

    def pull(self) -> bool:
        if not self.tx:
            return False
        self.osr = self.tx.popleft()
        return True

    def push(self) -> bool:
        if len(self.rx) < 4:
            self.rx.append(self.isr)
        self.isr = 0
        return True


class Block:
    """Four state machines, the pads that they see, and time. `TICKS_PER_US` ticks make a microsecond."""

    TICKS_PER_US = 25

    def __init__(self, *, fast: bool = True, pc_lags: bool = False):
        self.now = 0
        self.fast = fast
        self.pc_lags = pc_lags  # whether the program counter still shows an instruction during its delay
        self.levels: dict[int, int] = {}
        self.released: set[int] = set()  # pads that a machine has made inputs
        self.machines = [Machine(self, index) for index in range(4)]
        self.memory_left = 32
        self.on_irq: Callable[[int], None] = lambda flag: None
        self.on_level: list[Callable[[int, int, int], None]] = []

    def place(self, program: Program, placed: Iterable["Machine"]) -> int:
        """The origin of a program in the 32 words of the block; the same program is placed once."""
        for machine in placed:
            if machine.program is program:
                return machine.origin
        self.memory_left -= len(program.words)
        if self.memory_left < 0:
            raise OSError("no room for the program")
        return self.memory_left

    def level(self, pad: int) -> int:
        return self.levels.get(pad, 0)

    def set_level(self, pad: int, level: int) -> None:
        if self.level(pad) != level:
            self.levels[pad] = level
            for listener in self.on_level:
                listener(self.now, pad, level)
            for machine in self.machines:
                machine.wake()

    def raise_irq(self, flag: int) -> None:
        self.on_irq(flag)

    def next_due(self) -> int | None:
        return min((machine.due for machine in self.machines if machine.due is not None), default=None)

    def run_due(self) -> None:
        """Execute every machine that is due now."""
        for machine in self.machines:
            if machine.enabled and machine.due is not None and machine.due <= self.now:
                machine.run_cycle()
