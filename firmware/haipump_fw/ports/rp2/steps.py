"""Step pulses, their odometer and their guard: three PIO state machines, one that makes edges, two that believe edges.

Owns: STEP, DIR, state machines 0 to 2 of PIO block 0. Must not: know a rate, or let the machines share anything but
the pad.

Timing of the stepper at 1 MHz, one FIFO word N per pulse. The rising edge falls on the first of these cycles:
`set(pins, 1) [3]` 4, `set(pins, 0)` 1, `pull` 1, `irq` 1, `mov` 1, `jmp` N + 1. So the pulse is 4 us wide, and from
edge to edge it takes N + 9 us. A machine that waits at `pull` raises the pin N + 4 us after the word has come.
"""

import array
from time import ticks_diff, ticks_us

import rp2
from machine import Pin, disable_irq, enable_irq, mem32

from haipump_fw.const import const
from haipump_fw.ports.rp2 import pins as wiring

TYPE_CHECKING = False  # a type checker takes this for true; on the device asm_pio itself provides the names
if TYPE_CHECKING:
    from rp2.asm_pio import block, irq, jmp, label, mov, osr, pin, pindirs, pins, pull, rel, set, wait, x, x_dec, y_dec

_SM_STEPPER = const(0)
_SM_ODOMETER = const(1)
_SM_GUARD = const(2)
_STEPPER_HZ = const(1_000_000)
_ODOMETER_HZ = const(25_000_000)  # sees pulses down to 80 ns; a driver takes 100 ns and more for a step

_SM0_ADDR = const(0x502000D4)  # PIO0 SM0_ADDR: program counter of the stepper
_PC_MASK = const(31)
# Where the program counter stands, counted from the program's start.
_AT_IRQ = const(1)  # first instruction with a word in hand ...
_AT_COUNT = const(3)  # ... and the last one before the edge's own
_AT_EDGE = const(4)  # raises the pin, then waits 3 cycles: only the pad tells before from after

_PERIOD_CYCLES = const(9)
_BEGIN_CYCLES = const(4)
_DELAY_MIN_US = const(250)
_DELAY_MAX_US = const(0x1FFFFFFF)

_RING_WORDS = const(64)  # a power of two
_RING_MASK = const(63)
_COUNT_MASK = const(127)  # head and tail run modulo twice the size, so that full and empty differ
_FIFO_WORDS = const(8)

_ODOMETER_MASK = const(0x1FFFFFFF)  # 29 bits
# What the odometer is told to do beside its program, as instructions: to have one encoded takes 5 ms and a kilobyte.
FILL_X = const(0xA02B)  # mov(x, invert(null))
FILL_Y = const(0xA04B)  # mov(y, invert(null))
TAKE_X = const(0x403D)  # in_(x, 29)
TAKE_Y = const(0x405D)  # in_(y, 29)
PUSH = const(0x8000)  # push(noblock)
PULL = const(0x80A0)  # pull(block)
TO_Y = const(0xA047)  # mov(y, osr)
WIDE = const(0xE05F)  # set(y, 31)


@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW, fifo_join=rp2.PIO.JOIN_TX)
def stepper():
    pull(block)
    irq(rel(0))  # a place in the FIFO is free
    mov(x, osr)
    label("count")
    jmp(x_dec, "count")
    set(pins, 1)[3]
    set(pins, 0)


# X counts down from ~0 for every rising edge of STEP with DIR high, Y for those with DIR low. The label stands on the
# first instruction: a jump behind the last one would leave the program.
@rp2.asm_pio(in_shiftdir=rp2.PIO.SHIFT_LEFT)
def odometer():
    label("edge")
    wait(0, pin, 0)
    wait(1, pin, 0)
    jmp(pin, "forward")
    jmp(y_dec, "edge")
    jmp("edge")  # Y was 0: it has wrapped, but the jump was not taken
    label("forward")
    jmp(x_dec, "edge")


# Y edges may come; the one behind makes the pad an input and interrupts. Nothing that makes steps can reach it.
@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)
def guard():
    label("edge")
    wait(0, pin, 0)
    wait(1, pin, 0)
    jmp(y_dec, "edge")
    set(pindirs, 0)
    irq(rel(0))


class Odometer:
    """Counts what arrives at the STEP pad. Nothing that makes steps can reach it."""

    def __init__(self):
        self._machine = rp2.StateMachine(
            _SM_ODOMETER, odometer, freq=_ODOMETER_HZ, in_base=Pin(wiring.gpio("step")), jmp_pin=Pin(wiring.gpio("dir"))
        )
        self._machine.exec(FILL_X)
        self._machine.exec(FILL_Y)
        self._machine.active(1)

    def read(self):
        """Signed count of edges seen at the STEP pad since power-up, modulo 2**29. Allocates nothing: a number of 29
        bits needs no heap object."""
        machine = self._machine
        machine.exec(TAKE_X)
        machine.exec(PUSH)
        machine.exec(TAKE_Y)
        machine.exec(PUSH)
        if machine.rx_fifo() != 2:
            raise OSError("odometer")  # `get` would wait for ever
        forward = machine.get()
        return (machine.get() - forward) & _ODOMETER_MASK  # both count down


class Steps:
    """See `contract.Steps`. The ring belongs to the main program at its head and to the interrupt at its tail."""

    def __init__(self):
        self._step = Pin(wiring.gpio("step"))
        self._dir = Pin(wiring.gpio("dir"), Pin.OUT, value=0)
        self._ring = array.array("I", [0] * _RING_WORDS)
        self._head = 0
        self._tail = 0
        self._depth = 1
        self._machine = rp2.StateMachine(_SM_STEPPER, stepper, freq=_STEPPER_HZ, set_base=self._step)
        self._machine.active(1)
        # The machine waits for its first word: the program begins where it stands.
        self._origin = mem32[_SM0_ADDR] & _PC_MASK
        self._machine.irq(handler=self._refill, hard=True)
        self.odometer = Odometer().read  # itself: a method around it would take as long again
        self._guard = rp2.StateMachine(_SM_GUARD, guard, freq=_ODOMETER_HZ, in_base=self._step, set_base=self._step)

    def on_edges(self, handler):
        """`handler` is the hard interrupt of an edge too many. From here on the guard watches."""
        self._guard.irq(handler=handler, hard=True)
        self._guard.exec(WIDE)
        self._guard.active(1)

    def guard(self, words):
        """See `contract.Steps`. A word at its edge is none any more for `queued`: so there is one edge to spare."""
        machine = self._guard
        if words >= 0:
            machine.put(words + 1)
            machine.exec(PULL)
            machine.exec(TO_Y)
        else:
            machine.exec(WIDE)

    def configure(self, fifo_depth):
        """Words that the interrupt keeps in the FIFO, 1 to 8."""
        if not 1 <= fifo_depth <= _FIFO_WORDS:
            raise ValueError("fifo depth")
        self._depth = fifo_depth

    def begin(self, direction, delay_us):
        """From idle: set DIR to `direction` and queue the first pulse `delay_us` after now, at the earliest when this
        call is over: the pulse before is further away than any delay that is asked for here."""
        now = ticks_us()
        if self.queued():
            raise RuntimeError("begin while moving")  # DIR must not change under a queued word
        if not 0 < delay_us <= _DELAY_MAX_US:
            raise ValueError("delay")
        self._machine.active(1)  # after a freeze that came when there was nothing to halt
        self._dir.value(1 if direction > 0 else 0)
        left = delay_us - _BEGIN_CYCLES - ticks_diff(ticks_us(), now)
        self._machine.put(left if left > 0 else 0)

    def put(self, delay_us):
        """Queue one pulse `delay_us` after the last queued one. False when the ring is full. Allocates nothing."""
        if not _DELAY_MIN_US <= delay_us <= _DELAY_MAX_US:
            raise ValueError("delay")
        head = self._head
        if (head - self._tail) & _COUNT_MASK == _RING_WORDS:
            return False
        self._ring[head & _RING_MASK] = delay_us - _PERIOD_CYCLES
        self._head = (head + 1) & _COUNT_MASK
        # No interrupt comes to a FIFO that was not full: fill it from here, with the interrupt kept out.
        state = disable_irq()
        self._refill(None)
        enable_irq(state)
        return True

    def put_all(self, words, count):
        """Queue `count` pulses, each words[i] after the one before. False when there is not room for all. Allocates
        nothing."""
        head = self._head
        if count > _RING_WORDS - ((head - self._tail) & _COUNT_MASK):
            return False
        ring = self._ring
        for at in range(count):
            delay_us = words[at]
            if not _DELAY_MIN_US <= delay_us <= _DELAY_MAX_US:
                raise ValueError("delay")
            ring[head & _RING_MASK] = delay_us - _PERIOD_CYCLES
            head = (head + 1) & _COUNT_MASK
        self._head = head
        state = disable_irq()
        self._refill(None)
        enable_irq(state)
        return True

    def queued(self):
        """Words not yet turned into a pulse. Allocates nothing."""
        state = disable_irq()
        waiting = self._waiting()
        enable_irq(state)
        return waiting

    def starved(self):
        """True when the machine has run out of words since `begin`: no pulse will come."""
        return self.queued() == 0

    def halt(self):
        """Stop at once and forget all words. Returns how many of them made no pulse. Allocates nothing."""
        state = disable_irq()
        self._machine.active(0)
        left = self._waiting()
        # At the edge's instruction the pad tells, now that nothing moves any more.
        if (mem32[_SM0_ADDR] & _PC_MASK) == self._origin + _AT_EDGE and not self._step.value():
            left += 1
        self._head = 0
        self._tail = 0
        enable_irq(state)
        # Empties the FIFO, sets STEP low and waits for the first word.
        self._machine.init(stepper, freq=_STEPPER_HZ, set_base=self._step)
        self._machine.active(1)
        self.guard(0)
        return left

    def freeze(self):
        """Stop where it is, words and all; only `halt` goes on from that. Allocates nothing: interrupts call it."""
        self._machine.active(0)

    def _refill(self, _):
        """Ring to FIFO, up to the configured depth. Runs as a hard interrupt: it allocates nothing."""
        machine = self._machine
        ring = self._ring
        tail = self._tail
        while tail != self._head and machine.tx_fifo() < self._depth:
            machine.put(ring[tail & _RING_MASK])
            tail = (tail + 1) & _COUNT_MASK
        self._tail = tail

    def _waiting(self):
        """Words in ring, FIFO and machine; interrupts are off. A word at the edge's own instruction counts as a pulse:
        in a running machine it is one within a microsecond."""
        machine = self._machine
        fifo = machine.tx_fifo()
        place = (mem32[_SM0_ADDR] & _PC_MASK) - self._origin
        if machine.tx_fifo() != fifo:  # a word was pulled in between; the next one is 250 us away
            fifo = machine.tx_fifo()
            place = (mem32[_SM0_ADDR] & _PC_MASK) - self._origin
        in_hand = 1 if _AT_IRQ <= place <= _AT_COUNT else 0
        return ((self._head - self._tail) & _COUNT_MASK) + fifo + in_hand
