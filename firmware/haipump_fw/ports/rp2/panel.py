"""Lamps and piezo.

Owns: the LED pins and the piezo's PWM slice. Must not: know what a colour or a tone means.
"""

from machine import PWM, Pin

from haipump_fw.const import const
from haipump_fw.ports import LED_GREEN, LED_RED, LED_YELLOW
from haipump_fw.ports.rp2 import pins

_HALF = const(32_768)  # duty of a square wave: the loudest that a piezo gets from one pin
_QUIET_HZ = const(1_000)


class Panel:
    """See `contract.Panel`."""

    def __init__(self):
        self._red = Pin(pins.gpio("red"), Pin.OUT, value=0)
        self._yellow = Pin(pins.gpio("yellow"), Pin.OUT, value=0)
        self._green = Pin(pins.gpio("green"), Pin.OUT, value=0)
        self._piezo = PWM(Pin(pins.gpio("piezo")), freq=_QUIET_HZ, duty_u16=0)

    def leds(self, mask):
        """Light exactly the LEDs of the mask."""
        self._red.value(1 if mask & LED_RED else 0)
        self._yellow.value(1 if mask & LED_YELLOW else 0)
        self._green.value(1 if mask & LED_GREEN else 0)

    def tone(self, frequency_hz):
        """Piezo on at this frequency (8 Hz and up), or off with 0."""
        if frequency_hz:
            self._piezo.freq(frequency_hz)
            self._piezo.duty_u16(_HALF)
        else:
            self._piezo.duty_u16(0)
