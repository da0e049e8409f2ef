"""Supervision: what the sensors say against what was commanded.

Owns: conversion of raw readings, the detectors and their memory. Must not: act; `check` fills `found` with the alarms
whose conditions hold, the app does the rest. It reads commands and the rig's answer, never a state or a total.

Nothing in `check` allocates: all thresholds are worked out beforehand in raw counts and steps.
"""

from haipump_fw.const import const

_TURN = const(65_536)
_HALF_TURN = const(32_768)
# Encoder against commanded steps: four full steps. Half a full step is lost when the motor is switched on, a quarter is
# motor error, one is the lag under load; the rest is margin against false alarms.
STALL_FULL_STEPS = const(4)
FULL_STEPS_PER_TURN = const(200)
# The odometer is read while steps are made: as many edges may lie between two reads.
ODOMETER_SLACK = const(3)
_SHIFT = const(4)  # keeps (raw angle >> 4) * steps_per_turn (102,400 at most) a small integer
_ODOMETER_MASK = const((1 << 29) - 1)
_ODOMETER_HALF = const(1 << 28)
# Beyond these there is no reading; 4.5 kPa of suction end there too, which no line has while something is delivered.
RAW_ALIVE_MIN = const(64)
RAW_ALIVE_MAX = const(65_000)
PRESSURE_SAMPLES = const(2)  # so many samples in a row above the limit, so that one spike is no occlusion


def limit_raw(values):
    """Raw reading at the occlusion limit."""
    counts = values["occlusion_pa"] * values["pressure_span_raw"] // values["pressure_full_pa"]
    return values["pressure_zero_raw"] + counts


class Supervision:
    """Feed it with `pressure`, `shaft`, `odometer`; read `pressure_pa()`, `confirmed_steps`, and the verdicts."""

    def __init__(self, values):
        self.pressure_raw = 0
        self._above = 0
        self._dead = 0
        self.sensor_dead = False  # the last PRESSURE_SAMPLES readings were at an end: a broken wire, a short circuit
        self._shaft_raw = 0
        self._turns = 0
        self._rest = 0  # raw angle since the reference, within a turn
        self._expected_from = 0
        self._shaft_known = False
        self._odometer_from = 0
        self._odometer_expected = 0
        self.confirmed_steps = 0  # shaft movement since the reference, in steps
        self.configure(values)

    def configure(self, values):
        """Take over limits and calibration."""
        self._zero = values["pressure_zero_raw"]
        self._span = values["pressure_span_raw"]
        self._full_pa = values["pressure_full_pa"]
        limit = values["occlusion_pa"]
        self.limit_raw = limit_raw(values)
        self.clear_raw = self._zero + limit * 8 // 10 * self._span // self._full_pa
        self._steps_per_turn = values["steps_per_turn"]
        self._stall_steps = STALL_FULL_STEPS * self._steps_per_turn // FULL_STEPS_PER_TURN

    def pressure_pa(self):
        """Last reading in pascal; may be a little below zero."""
        return (self.pressure_raw - self._zero) * self._full_pa // self._span

    def pressure(self, raw):
        """Take a reading. True when the limit has been passed for PRESSURE_SAMPLES readings."""
        self.pressure_raw = raw
        if raw > self.limit_raw:
            self._above += 1
        else:
            self._above = 0
        if RAW_ALIVE_MIN <= raw <= RAW_ALIVE_MAX:
            self._dead = 0
        else:
            self._dead += 1
        self.sensor_dead = self._dead >= PRESSURE_SAMPLES
        return self._above >= PRESSURE_SAMPLES

    def pressure_fell(self):
        """The last reading is below 80 % of the limit."""
        return self.pressure_raw < self.clear_raw

    def reference(self, shaft_raw, expected, odometer):
        """The motor has been switched on: from here on shaft and odometer are compared with `expected` steps."""
        self._shaft_raw = shaft_raw
        self._turns = 0
        self._rest = 0
        self._expected_from = expected
        self._odometer_from = odometer
        self._odometer_expected = expected
        self.confirmed_steps = 0
        self._shaft_known = True

    def shaft(self, raw, expected):
        """Follow the shaft. True when it is further from `expected` than STALL_FULL_STEPS."""
        if not self._shaft_known:
            return False
        delta = raw - self._shaft_raw
        if delta > _HALF_TURN:
            delta -= _TURN
        elif delta < -_HALF_TURN:
            delta += _TURN
        self._shaft_raw = raw
        rest = self._rest + delta
        if rest >= _TURN:
            rest -= _TURN
            self._turns += 1
        elif rest < 0:
            rest += _TURN
            self._turns -= 1
        self._rest = rest
        self.confirmed_steps = self._turns * self._steps_per_turn + (
            ((rest >> _SHIFT) * self._steps_per_turn) >> (16 - _SHIFT)
        )
        missing = expected - self._expected_from - self.confirmed_steps
        return missing > self._stall_steps or missing < -self._stall_steps

    def missing(self, expected):
        """Steps lost since the reference; 0 without one. A rotor that slips falls back by whole electrical cycles, four
        full steps each. What is less is lag, noise, or a rotor that fell into the nearest detent when the motor went
        off, and comes back when it goes on: nothing of that is lost."""
        if not self._shaft_known:
            return 0
        missing = expected - self._expected_from - self.confirmed_steps
        cycle = self._stall_steps
        return (2 * missing + cycle) // (2 * cycle) * cycle

    def forget_shaft(self):
        """The motor is off: the shaft may be anywhere."""
        self._shaft_known = False

    def odometer(self, count, expected):
        """True when the edges counted at the pad differ from the steps commanded by more than ODOMETER_SLACK."""
        if not self._shaft_known:
            return False
        counted = ((count - self._odometer_from + _ODOMETER_HALF) & _ODOMETER_MASK) - _ODOMETER_HALF
        off = counted - (expected - self._odometer_expected)
        return off > ODOMETER_SLACK or off < -ODOMETER_SLACK
