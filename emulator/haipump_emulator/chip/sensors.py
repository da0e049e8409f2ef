"""The analogue inputs: voltages of the plant's sensors at the instant of a conversion.

Owns: the way from a port's reading back to counts of the 12-bit converter. Must not: add noise (the plant does).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from haipump_emulator import wiring

FULL = 4_095
SUPPLY_FULL_MV = 9_900  # a third of VSYS is measured, against 3.3 V
REFERENCE_MV = 3_300
# RP2040 data sheet, 4.9.5: 0.706 V at 27 degrees, falling by 1.721 mV per degree.
_SENSOR_MV, _SENSOR_MC, _SLOPE_MV_PER_MC = 706.0, 27_000, 0.001721


def _limited(counts: float) -> int:
    return min(FULL, max(0, round(counts)))


def supply_counts(mv: int) -> int:
    """Counts for VSYS in mV, behind the Pico's divider by three."""
    return _limited(mv * FULL / SUPPLY_FULL_MV)


def temperature_counts(mc: int) -> int:
    """Counts of the chip's own sensor for thousandths of a degree Celsius."""
    return _limited((_SENSOR_MV - (mc - _SENSOR_MC) * _SLOPE_MV_PER_MC) * FULL / REFERENCE_MV)


class Analogue:
    """Connects `plant` to the chip's converter. A sensor's own reading has 12 bits in the upper part of 16."""

    def __init__(self, plant: Any, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._counts: dict[int, Callable[[int], int]] = {
            wiring.adc_channel("pressure"): lambda t: plant.pressure_raw(t) >> 4,
            wiring.adc_channel("encoder"): lambda t: plant.encoder_raw(t) >> 4,
            wiring.adc_channel("vsys"): lambda t: supply_counts(plant.supply_mv(t)),
            wiring.TEMPERATURE_CHANNEL: lambda t: temperature_counts(plant.temperature_mc(t)),
        }

    def attach(self, mcu: Any) -> None:
        """Solder it to a chip that was just powered."""
        adc = mcu.adc
        values = adc.channel_values
        convert = adc.on_adc_read
        counts = self._counts
        now_us = self._now_us

        def on_read(channel: int) -> None:
            if channel in counts:
                values[channel] = counts[channel](now_us())
            convert(channel)

        adc.on_adc_read = on_read
