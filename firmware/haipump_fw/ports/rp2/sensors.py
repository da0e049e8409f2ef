"""Analogue inputs: line pressure, shaft angle, supply, temperature.

Owns: the ADC. Must not: smooth, calibrate or judge a reading, or use a float.

`read_u16` spreads the 12 bits of the ADC over 0 to 65535 for 0 to 3.3 V.
"""

from machine import ADC, Pin

from haipump_fw.const import const
from haipump_fw.ports.rp2 import pins

# The Pico divides VSYS by 3: full scale is 9.9 V. The product below stays under 2**30 (65535 * 9900 = 6.5e8).
_SUPPLY_FULL_MV = const(9_900)
_RAW_FULL = const(65_535)
# RP2040 datasheet 4.9.5: 0.706 V at 27 degrees, falling by 1.721 mV per degree. One count is 3.3 V / 65535, so the
# slope is 29.25902 thousandths per count, within 1e-5 of 790 / 27, and 0 V would be 437.230 degrees.
_ZERO_MC = const(437_230)
_SLOPE_NUMERATOR = const(790)
_SLOPE_DENOMINATOR = const(27)


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
