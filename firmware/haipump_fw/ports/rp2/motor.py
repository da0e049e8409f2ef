"""The driver's EN line.

Owns: the EN pin. Must not: decide when the motor has to hold.
"""

from machine import Pin

from haipump_fw.ports.rp2 import pins


class Motor:
    """See `contract.Motor`."""

    def __init__(self):
        self._on = pins.active("en")
        self._pin = Pin(pins.gpio("en"), Pin.OUT, value=1 - self._on)
        self._enabled = False

    def enable(self, on):
        """Motor on (holding torque) or off."""
        self._pin.value(self._on if on else 1 - self._on)
        self._enabled = bool(on)

    def enabled(self):
        """What EN was last set to."""
        return self._enabled
