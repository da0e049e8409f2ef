"""Switches, buttons, jumper and DIAG, as edges at the chip's pins.

Owns: which contact is open or closed. Must not: bounce (the firmware's filter is tested elsewhere), or decide when.

A pin with a pull-up has a contact to ground, and the pull-up that the firmware has to switch on decides when the
contact is open; a pin with a pull-down is driven from outside to both levels.
"""

from __future__ import annotations

from typing import Any

from haipump_emulator import wiring


class Inputs:
    """`bits` are the IN_ bits that are active now, of all inputs; they outlive resets and power cuts."""

    def __init__(self) -> None:
        self._pins = wiring.inputs()
        self.bits = 0
        self._mcu: Any = None

    def attach(self, mcu: Any, pacers: list[Any]) -> None:
        """Solder the contacts to a chip that was just powered."""
        self._mcu = mcu
        self._pacers = pacers
        for pin in self._pins:
            self._drive(pin)

    def set(self, mask: int, bits: int) -> bool:
        """The inputs of `mask` are active as `bits` says, from now on. False when they were."""
        changed = (self.bits ^ bits) & mask
        if not changed:
            return False
        self.bits ^= changed
        for pin in self._pins if self._mcu is not None else ():
            if pin.bit & changed:
                self._drive(pin)
        return True

    def power_off(self) -> None:
        """Nobody reads the pins any more."""
        self._mcu = None

    def _drive(self, pin: wiring.InputPin) -> None:
        level = pin.active if self.bits & pin.bit else 1 - pin.active
        gpio = self._mcu.gpio[pin.gpio]
        move = gpio.release_input if level and pin.pull == "up" else lambda: gpio.set_input_value(bool(level))
        first, second = self._pacers
        first.drive(lambda: second.drive(move))
