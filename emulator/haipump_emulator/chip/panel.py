"""LEDs and piezo: what a person in front of the pump sees and hears.

Owns: the decoding of the panel's pins. Must not: know what a colour or a tone means.

LEDs are read from their pads. What changes within 1 ms is told as one change, as a person notices it. The piezo is
heard while its pad is driven by a PWM slice that runs with an output that moves; the slice's registers give the pitch.

`PwmWindow` takes the place of the PWM block on the bus: a slice that nobody but a piezo listens to is kept from
running, because each turn of its counter would end a nap of the chip. A slice with its wrap interrupt on, or with a
gate or clock input, does run. Not covered: reading the counter of a slice that is kept from running, DMA paced by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from haipump_emulator import wiring

_PWM_WINDOW = 0x40050
_SLICES = 8
_STRIDE = 0x14
_CSR, _DIV, _CTR, _CC, _TOP = 0x00, 0x04, 0x08, 0x0C, 0x10
_EN, _INTE = 0xA0, 0xA8
_CSR_EN, _CSR_PHASE_CORRECT, _CSR_MODE = 1, 2, 0x30
_FUNCTION_PWM = 4
_SETTLE_TICKS = 16_000_000  # 1 ms: what changes within that looks and sounds simultaneous
_AGAIN_TICKS = 800_000_000  # 50 ms between two looks at the piezo's pin while it sounds


class Leds:
    """Tells `changed({"red": 0 or 1, ...})` when what a person sees has changed."""

    def __init__(self, changed: Callable[[dict[str, int]], None]) -> None:
        self._changed = changed
        self._lit: dict[str, int] = {name: 0 for name in wiring.LED_NAMES}
        self._told = dict(self._lit)

    def attach(self, mcu: Any) -> None:
        """Solder them to a chip that was just powered."""
        self._alarm = mcu.clock.create_alarm(self._tell)
        self._waiting = False
        for name in wiring.LED_NAMES:
            mcu.gpio[wiring.gpio(name)].add_listener(self._listener(name))

    def released(self) -> None:
        """Nobody drives the pads: dark at once."""
        for name in self._lit:
            self._lit[name] = 0
        self._alarm.cancel()
        self._tell()

    def _listener(self, name: str) -> Callable[[int, int], None]:
        active = wiring.active(name)

        def moved(value: int, last: int) -> None:
            self._lit[name] = int(int(value) == active)
            if not self._waiting:
                self._waiting = True
                self._alarm.schedule_ticks(_SETTLE_TICKS)

        return moved

    def _tell(self) -> None:
        self._waiting = False
        if self._lit != self._told:
            self._told = dict(self._lit)
            self._changed(dict(self._lit))


class PwmWindow:
    """The PWM block on the bus. `moved` is called whenever the output of a slice may have changed."""

    def __init__(self, mcu: Any, moved: Callable[[], None]) -> None:
        self._mcu = mcu
        self._pwm = mcu.pwm
        self._moved = moved
        self._enabled = 0  # slices that the firmware runs
        self._wake = 0  # slices whose wrap interrupt is on
        mcu.peripherals[_PWM_WINDOW] = self

    def after_reset(self) -> None:
        """The chip was reset: no slice runs."""
        self._enabled = self._wake = 0

    def frequency(self, gpio: int) -> float:
        """Frequency at that pin in Hz, 0 while the output of its slice does not move."""
        index = gpio >> 1 & 7
        csr, top = self._register(index, _CSR), self._register(index, _TOP)
        compare = self._register(index, _CC) >> (16 if gpio & 1 else 0) & 0xFFFF
        if not self._enabled >> index & 1 or csr & _CSR_MODE or not 0 < compare <= top:
            return 0.0
        divider = (self._register(index, _DIV) or 0x1000) / 16
        return self._mcu.clk_sys / (divider * (top + 1) * (2 if csr & _CSR_PHASE_CORRECT else 1))

    # --- the bus's side ---

    def read_uint32(self, offset: int) -> int:
        if offset == _EN:
            return self._enabled
        value = self._pwm.read_uint32(offset)
        if offset < _EN and offset % _STRIDE == _CSR:
            value = value & ~_CSR_EN | self._enabled >> offset // _STRIDE & 1
        return value

    def write_uint32(self, offset: int, value: int) -> None:
        self.write_uint32_atomic(offset, value, 0)

    def write_uint32_atomic(self, offset: int, value: int, kind: int) -> None:
        if offset == _EN or (offset < _EN and offset % _STRIDE == _CSR):
            before = self.read_uint32(offset)
            value = (value, before ^ value, before | value, before & ~value)[kind]
            if offset == _EN:
                self._enabled = value & 0xFF
            else:
                bit = 1 << offset // _STRIDE
                self._enabled = self._enabled | bit if value & _CSR_EN else self._enabled & ~bit
                self._pwm.write_uint32(offset, value & ~_CSR_EN)
            self._run()
        else:
            self._pwm.write_uint32_atomic(offset, value, kind)
            if offset == _INTE:
                self._wake = self._pwm.read_uint32(_INTE)
                self._run()
        self._moved()

    def reset(self) -> None:
        self._pwm.reset()

    def _run(self) -> None:
        """Let those slices run whose counter somebody needs."""
        inputs = sum(1 << n for n in range(_SLICES) if self._register(n, _CSR) & _CSR_MODE)
        self._pwm.write_uint32(_EN, self._enabled & (self._wake | inputs))

    def _register(self, index: int, offset: int) -> int:
        return self._pwm.read_uint32(index * _STRIDE + offset)


class Piezo:
    """Tells `changed(frequency_hz)`, a whole number, 0 for silence."""

    def __init__(self, changed: Callable[[int], None]) -> None:
        self._changed = changed
        self._gpio = wiring.gpio("piezo")
        self._told = 0

    def attach(self, mcu: Any) -> None:
        """Solder it to a chip that was just powered."""
        self._pin = mcu.gpio[self._gpio]
        self._pwm = PwmWindow(mcu, self._moved)
        self._alarm = mcu.clock.create_alarm(self._listen)
        self._waiting = False
        self._pin.add_listener(lambda value, last: self._moved())

    def released(self) -> None:
        """Nobody drives the pad: silent at once."""
        self._pwm.after_reset()
        self._alarm.cancel()
        self._waiting = False
        self._tell(0)

    def _moved(self) -> None:
        """The pitch is set in several registers: what lies between is over too soon to be heard."""
        if not self._waiting:
            self._waiting = True
            self._alarm.schedule_ticks(_SETTLE_TICKS)

    def _listen(self) -> None:
        self._waiting = False
        driven = int(self._pin.value) < 2 and self._pin.function_select == _FUNCTION_PWM
        self._tell(round(self._pwm.frequency(self._gpio)) if driven else 0)
        if self._told:  # a pin that is given to somebody else makes no edge to listen for
            self._alarm.schedule_ticks(_AGAIN_TICKS)

    def _tell(self, frequency_hz: int) -> None:
        if frequency_hz != self._told:
            self._told = frequency_hz
            self._changed(frequency_hz)
