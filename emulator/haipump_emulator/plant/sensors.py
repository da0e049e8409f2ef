"""Sensors: from true values to the numbers that the firmware's ports return.

Owns: scaling, noise, offset, drift, resolution, faults. Must not: change the plant or keep time.

Noise is a pure function of (seed, sensor, time): a table of normal draws per sensor, picked by a hash of the
microsecond. So reading a sensor more or less often changes no other reading, and two reads in one microsecond agree.
"""

from __future__ import annotations

import math
import random

from haipump_emulator.plant.params import PlantParams, SensorFault

TABLE_BITS = 12
_HASH = 2_654_435_761  # odd, close to 2^32 over the golden ratio: spreads equal spacings over the whole table
_MASK = 0xFFFF_FFFF
_SHIFT = 32 - TABLE_BITS
US_PER_H = 3_600_000_000
GAP_US = 100_000  # an intermittent contact makes or breaks so often


class Channel:
    """One sensor's noise and fault. `stuck` replaces the reading when it is not None."""

    __slots__ = (
        "_counts",
        "_gap",
        "_held",
        "_hold_us",
        "_noise",
        "_offset",
        "_salt",
        "_sigma",
        "_table",
        "bad",
        "stuck",
    )

    def __init__(self, seed: int, name: str, sigma: float, counts: int = 1) -> None:
        """`counts` of the port make one of the sensor's own."""
        stream = random.Random(f"haipump plant {seed} {name}")
        self._salt = stream.getrandbits(32)
        self._table = [stream.gauss(0.0, 1.0) for _ in range(1 << TABLE_BITS)]
        self._noise = self._sigma = sigma
        self._counts = counts
        self._offset = 0.0
        self.stuck: int | None = None
        self.bad = False  # a reading has to go through `spoil`
        self._hold_us, self._held, self._gap = 0, (-1, 0), 0.0

    def error(self, t_us: int) -> float:
        """Noise at a time, plus the fault's offset, in the sensor's own counts."""
        return self._table[((t_us * _HASH + self._salt) & _MASK) >> _SHIFT] * self._noise + self._offset

    def apply(self, fault: SensorFault, reading: int) -> None:
        """Set or clear a fault; `reading` is what the sensor says now, before it."""
        value = fault.value
        self.stuck, self._noise, self._offset = None, self._sigma, 0.0
        self._hold_us, self._held, self._gap = 0, (-1, 0), 0.0
        if fault.fault == "stuck":
            self.stuck = reading if value is None else int(value)
        elif fault.fault == "off":
            self.stuck = 0
        elif fault.fault == "noise" and value is not None:
            self._noise = self._sigma * value
        elif fault.fault == "offset" and value is not None:
            self._offset = value / self._counts
        elif fault.fault == "slow" and value is not None:
            self._hold_us = max(1, round(value * 1e6))
        elif fault.fault == "intermittent" and value is not None:
            self._gap = value
        self.bad = bool(self._hold_us or self._gap)

    def spoil(self, t_us: int, reading: int) -> int:
        """What a slow or an intermittent sensor says in place of `reading`."""
        if self._gap and ((t_us // GAP_US * _HASH + self._salt) & _MASK) < self._gap * (_MASK + 1):
            return 0
        if self._hold_us:
            if t_us // self._hold_us != self._held[0]:
                self._held = t_us // self._hold_us, reading
            return self._held[1]
        return reading


def widen(counts: float) -> int:
    """A 12-bit conversion as MicroPython's read_u16 returns it: clipped, upper bits repeated below."""
    n = int(counts + 0.5) if counts > 0 else 0
    if n > 4_095:
        n = 4_095
    return n << 4 | n >> 8


class Sensors:
    """All channels; the true values come in as arguments."""

    __slots__ = (
        "_angle",
        "_drift",
        "_encoder",
        "_per_pa",
        "_pressure",
        "_supply",
        "_temperature",
        "_temperature_offset",
        "_turn",
        "_zero",
        "switches",
    )

    def __init__(self, params: PlantParams, seed: int) -> None:
        s, motor = params.sensors, params.motor
        to_12_bit = 4_095 / 65_535
        self._per_pa = s.pressure_span_raw / s.pressure_full_pa * to_12_bit
        self._zero = s.pressure_zero_raw * to_12_bit + s.pressure_offset_pa * self._per_pa
        self._drift = s.pressure_drift_pa_per_h * self._per_pa / US_PER_H
        self._temperature_offset = s.temperature_offset_mc
        turn = motor.full_steps_per_turn * motor.microsteps
        self._turn = turn
        nonlinearity = s.encoder_nonlinearity_deg / 360
        error = motor.microstep_error_full_steps / motor.full_steps_per_turn
        self._angle = [
            4_096
            * (
                s.encoder_offset_turns
                + i / turn
                + error * math.sin(2 * math.pi * (i % motor.microsteps) / motor.microsteps)
                + nonlinearity * math.sin(2 * math.pi * i / turn)
            )
            for i in range(turn)
        ]
        self._pressure = Channel(seed, "pressure", s.pressure_noise_lsb, 16)
        self._encoder = Channel(seed, "encoder", s.encoder_noise_lsb, 16)
        self._supply = Channel(seed, "supply", s.supply_noise_mv)
        self._temperature = Channel(seed, "temperature", s.temperature_noise_mc)
        self.switches = Channel(seed, "switches", 0.0)

    def channel(self, name: str) -> Channel:
        """By the name used in `SENSORS`."""
        return self.switches if name == "switches" else getattr(self, "_" + name)

    def pressure_raw(self, t_us: int, pressure_pa: float) -> int:
        """16 bit, as the port's `pressure_raw`."""
        channel = self._pressure
        if channel.stuck is not None:
            return channel.stuck
        reading = widen(self._zero + self._per_pa * pressure_pa + self._drift * t_us + channel.error(t_us))
        return channel.spoil(t_us, reading) if channel.bad else reading

    def encoder_raw(self, t_us: int, rotor: int) -> int:
        """16 bit, as the port's `encoder_raw`."""
        channel = self._encoder
        if channel.stuck is not None:
            return channel.stuck
        reading = widen((self._angle[rotor % self._turn] + channel.error(t_us)) % 4_096)
        return channel.spoil(t_us, reading) if channel.bad else reading

    def supply_mv(self, t_us: int, supply_mv: float) -> int:
        """Millivolts."""
        channel = self._supply
        if channel.stuck is not None:
            return channel.stuck
        reading = max(0, round(supply_mv + channel.error(t_us)))
        return channel.spoil(t_us, reading) if channel.bad else reading

    def temperature_mc(self, t_us: int, temperature_c: float) -> int:
        """Thousandths of a degree Celsius."""
        channel = self._temperature
        if channel.stuck is not None:
            return channel.stuck
        reading = round(temperature_c * 1_000 + self._temperature_offset + channel.error(t_us))
        return channel.spoil(t_us, reading) if channel.bad else reading
