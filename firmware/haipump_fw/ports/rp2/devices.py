"""The small devices of the board: clock, motor enable, sensors, lamps and piezo, watchdog. One file: on the device each
file costs 20 ms of the start.

Owns: their pins, and the conversion of supply and temperature to millivolts and thousandths of a degree, without a
float. Must not: decide when the motor has to hold, what a colour or a tone means, or when the watchdog is fed.

`read_u16` spreads the 12 bits of the ADC over 0 to 65535 for 0 to 3.3 V.
"""

from time import ticks_us

from machine import ADC, PWM, WDT, Pin, disable_irq, enable_irq

from haipump_fw.const import const
from haipump_fw.ports import LED_GREEN, LED_RED, LED_YELLOW
from haipump_fw.ports.rp2 import pins

# The Pico divides VSYS by 3: full scale is 9.9 V. The product below stays under 2**30 (65535 * 9900 = 6.5e8).
_SUPPLY_FULL_MV = const(9_900)
_RAW_FULL = const(65_535)
# RP2040 datasheet 4.9.5: 0.706 V at 27 degrees, falling by 1.721 mV per degree. One count is 3.3 V / 65535, so the
# slope is 29.25902 thousandths per count, within 1e-5 of 790 / 27, and 0 V would be 437.230 degrees.
_ZERO_MC = const(437_230)
_SLOPE_NUMERATOR = const(790)
_SLOPE_DENOMINATOR = const(27)

_QUIET_HZ = const(1_000)


class Clock:
    """See `contract.Clock`."""

    def ticks_us(self):
        """Microseconds since some moment, modulo 2**30. Allocates nothing."""
        return ticks_us()


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

    def works(self):
        """The pad of EN shows what it was set to."""
        return self._pin.value() == (self._on if self._enabled else 1 - self._on)


class Sensors:
    """See `contract.Sensors`."""

    def __init__(self):
        # With the regulator of the Pico in PWM mode its ripple on the ADC's reference is smallest.
        self._smps = Pin(pins.gpio("smps"), Pin.OUT, value=1)
        self._pressure = ADC(pins.gpio("pressure"))
        self._encoder = ADC(pins.gpio("encoder"))
        self._vsys = ADC(pins.gpio("vsys"))
        self._temperature = ADC(pins.TEMPERATURE_CHANNEL)

    def pressure_raw(self):
        """Line pressure, 0 to 65535."""
        return self._pressure.read_u16()

    def encoder_raw(self):
        """Motor shaft angle: 0 to 65535 is one turn."""
        return self._encoder.read_u16()

    def supply_mv(self):
        """VSYS in millivolts. The motor's own supply is not measured."""
        return self._vsys.read_u16() * _SUPPLY_FULL_MV // _RAW_FULL

    def temperature_mc(self):
        """Temperature of the chip in thousandths of a degree Celsius, in steps of 468."""
        return _ZERO_MC - self._temperature.read_u16() * _SLOPE_NUMERATOR // _SLOPE_DENOMINATOR


class Panel:
    """See `contract.Panel`. Who plays signals is loaded for the first one: a start has no time for it."""

    def __init__(self):
        self._lamps = [Pin(pins.gpio(name), Pin.OUT, value=0) for name in ("red", "yellow", "green")]
        self._start_piezo()
        self._player = None

    def _start_piezo(self):
        self._piezo = PWM(Pin(pins.gpio("piezo")), freq=_QUIET_HZ, duty_u16=0)

    def leds(self, mask):
        """Light exactly the LEDs of the mask, but for one that flashes."""
        flashing = None if self._player is None else self._player.lamp
        for at, bit in enumerate((LED_RED, LED_YELLOW, LED_GREEN)):
            if self._lamps[at] is not flashing:
                self._lamps[at].value(1 if mask & bit else 0)

    def flash(self, led, rhythm):
        """From now on this LED flashes; 0: none."""
        self._signals().flash(self._lamps[0 if led == LED_RED else 1] if led else None, rhythm)

    def sound(self, frequency_hz, rhythm):
        """From now on the piezo sounds so (8 Hz and up); 0: it is silent."""
        self._signals().sound(frequency_hz, rhythm)

    def quiet(self):
        """No pulse in the next nine beats."""
        return self._player is None or self._player.quiet()

    def _signals(self):
        if self._player is None:
            from haipump_fw.ports.rp2.signals import Player

            self._player = Player(self._piezo)
        return self._player

    def works(self):
        """The pads of lamps and piezo follow what drives them."""
        good = True
        state = disable_irq()  # no signal in between
        for pin in self._lamps + [Pin(pins.gpio("piezo"), Pin.OUT, value=0)]:
            was = pin.value()
            pin.value(1 - was)
            good = pin.value() == 1 - was and good
            pin.value(was)
            good = pin.value() == was and good
        self._start_piezo()
        enable_irq(state)
        return good


class Watchdog:
    """See `contract.Watchdog`."""

    def __init__(self):
        self._timer = None

    def start(self, timeout_ms):
        """Start with a timeout of at most 8388 ms; it can't be stopped again."""
        self._timer = WDT(timeout=timeout_ms)

    def feed(self):
        """Put off the reset by the timeout. Nothing before `start`."""
        if self._timer is not None:
            self._timer.feed()
