"""Switches, buttons, jumper and the driver's error line.

Owns: the input pins and their interrupts. Must not: debounce (the app does), or allocate in an interrupt.
"""

from machine import Pin, disable_irq, enable_irq, mem32

from haipump_fw.const import const
from haipump_fw.ports.rp2 import pins

_GPIO_IN = const(0xD0000004)  # SIO: the levels of GPIO 0 to 29 in one word, which is still a small integer
_PULLS = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN}


class _Latch:
    """One input's interrupt: remembers that it became active, and wakes the poll on either edge."""

    def __init__(self, inputs, entry, bit):
        self._inputs = inputs
        self._bit = bit
        self._active_edge = Pin.IRQ_RISING if entry[pins.ACTIVE] else Pin.IRQ_FALLING
        pin = Pin(entry[pins.GPIO], Pin.IN, _PULLS[entry[pins.PULL]])
        self._value = pin.value
        self._irq = pin.irq(handler=self._edge, trigger=Pin.IRQ_RISING | Pin.IRQ_FALLING, hard=True)

    def _edge(self, _):
        # The edges, not the level: a press may be over by the time an erase of the flash lets the interrupt through.
        inputs = self._inputs
        flags = self._irq.flags()
        if flags & self._active_edge:
            inputs.latched |= self._bit
        # What is over by now was a disturbance on a long wire; a button that was pressed is told by the latch.
        if inputs.guarded & self._bit and flags & Pin.IRQ_RISING and self._value():
            inputs.release()
            inputs.trips |= self._bit
        inputs.wake.flag = 1


class Inputs:
    """See `contract.Inputs`. `wake` is the poll object whose flag an edge raises; `release` stops steps and motor,
    and allocates nothing."""

    def __init__(self, wake, release=None):
        self.wake = wake
        self.release = release
        self.latched = self.guarded = self.trips = 0
        entries = [entry for entry in pins.PINS if entry[pins.KIND] == "in"]
        self._inverted = 0
        for index, entry in enumerate(entries):
            if not entry[pins.ACTIVE]:
                self._inverted |= 1 << index
        self._latches = [_Latch(self, entry, 1 << index) for index, entry in enumerate(entries)]

    def read(self):
        """The IN_ bits, as the pins are now. Allocates nothing."""
        levels = (mem32[_GPIO_IN] >> pins.INPUT_FIRST) & ((1 << pins.INPUT_COUNT) - 1)
        return levels ^ self._inverted

    def pressed(self):
        """IN_ bits that became active since the last call."""
        if not self.latched:
            return 0
        state = disable_irq()
        bits = self.latched
        self.latched = 0
        enable_irq(state)
        return bits

    def guard(self, bits):
        """Inputs that switch the motor off by themselves from now on."""
        self.guarded = bits

    def tripped(self):
        """IN_ bits that did since the last call."""
        if not self.trips:
            return 0
        state = disable_irq()
        bits = self.trips
        self.trips = 0
        enable_irq(state)
        return bits
