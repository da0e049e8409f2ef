"""Supervision: what the sensors say against what was ordered.

Owns: conversion of raw readings, the detectors and their memory. Must not: act; a detector answers with the name of
the alarm whose condition holds, the app does the rest. It reads orders and the rig's answer, never a state.

What each detector sees, and how soon: docs/detection.md. Nothing allocates but `flow`, which comes once a minute.
"""

from array import array

from haipump_fw.const import const
from haipump_fw.core.clock import ticks_diff

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
FROZEN_SAMPLES = const(16)  # so many equal readings in a row are none: noise alone is two counts of the converter
# A shaft that went further than ordered, or the other way, by more than this many 400ths of a turn (half a full step).
# Noise and the motor's error inside a step make a third of it. The reading's error over a turn is larger, and slow: the
# comparison follows it by a step in DRIFT_STEPS.
NEAR_400THS = const(1)
_DRIFT_BITS = const(5)
DRIFT_STEPS = const(1 << 5)
# Flow against order: once a minute at most, and over at least so many steps that noise is no tenth of them.
ANCHORS = const(16)
ANCHOR_STEPS = const(4)
FLOW_NOISE_STEPS = const(3)
AHEAD_US = const(90_000)  # steps that may be handed out before they are due: FIFO and ring, a splice


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
        self._same = 0
        # PRESSURE_SAMPLES readings were at an end (a broken wire, a short circuit), or FROZEN_SAMPLES were equal.
        self.sensor_dead = False
        self._shaft_raw = 0
        self._turns = 0
        self._rest = 0  # raw angle since the reference, within a turn
        self._expected_from = 0
        self._shaft_known = False
        self._odometer_from = 0
        self.confirmed_steps = 0  # shaft movement since the reference, in steps
        self._expected = self._lag = self._base = self._peak = self._made = 0
        self._forward = True
        self._at_rest = False
        self._ordered = array("i", [0] * ANCHORS)
        self._shown = array("i", [0] * ANCHORS)
        self._anchors = 0
        self.floor_us = 0  # no step comes sooner after the one before than this, by the orders; 0: none is ordered
        self._handed = self._ahead = self._credit_us = self._pace_tick = 0
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
        self.near_steps = max(1, NEAR_400THS * self._steps_per_turn // 400)

    def pressure_pa(self):
        """Last reading in pascal; may be a little below zero."""
        return (self.pressure_raw - self._zero) * self._full_pa // self._span

    def pressure(self, raw):
        """Take a reading. True when the limit has been passed for PRESSURE_SAMPLES readings."""
        self._same = self._same + 1 if raw == self.pressure_raw else 0
        self.pressure_raw = raw
        if raw > self.limit_raw:
            self._above += 1
        else:
            self._above = 0
        if RAW_ALIVE_MIN <= raw <= RAW_ALIVE_MAX:
            self._dead = 0
        else:
            self._dead += 1
        self.sensor_dead = self._dead >= PRESSURE_SAMPLES or self._same >= FROZEN_SAMPLES
        return self._above >= PRESSURE_SAMPLES

    def pressure_fell(self):
        """The last reading is below 80 % of the limit."""
        return self.pressure_raw < self.clear_raw

    def reference(self, shaft_raw, expected, odometer, now, handed):
        """The motor has been switched on: from here on shaft and odometer are compared with `expected` steps."""
        self._shaft_raw = shaft_raw
        self._turns = self._rest = self.confirmed_steps = 0
        self._lag = self._base = self._peak = self._made = 0
        self._forward = True
        self._expected_from = self._expected = expected
        self._odometer_from = odometer
        self._anchors = self._ahead = self._credit_us = 0
        self._handed = handed
        self._pace_tick = now
        self._shaft_known = True
        self._at_rest = False

    def _follow(self, raw):
        """Count turns, and work out `confirmed_steps`."""
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

    def shaft(self, raw, expected):
        """Follow the shaft. The name of the alarm when it is elsewhere than `expected`, or None."""
        if not self._shaft_known:
            return None
        was = self.confirmed_steps
        self._follow(raw)
        at = self.confirmed_steps
        made = expected - self._expected
        self._expected = expected
        if made and (made > 0) != self._forward:  # the other way from here
            self._forward = made > 0
            self._base = self._lag
            self._peak = was
        lag = self._lag = expected - self._expected_from - at
        made = self._made + (made if made > 0 else -made)
        if made >= DRIFT_STEPS:
            drift = made >> _DRIFT_BITS
            made &= DRIFT_STEPS - 1
            self._base += max(-drift, min(drift, lag - self._base))
        self._made = made
        near = self.near_steps
        if self._forward:
            if at > self._peak:
                self._peak = at
            if self._peak - at > near:
                return "reverse_delivery"
            if self._base - lag > near:
                return "over_infusion"
        else:
            if at < self._peak:
                self._peak = at
            if at - self._peak > near:
                return "over_infusion"
            if lag - self._base > near:
                return "reverse_delivery"
        return None if -self._stall_steps <= lag <= self._stall_steps else "motor_stall"

    def rest(self, raw, odometer):
        """The motor is off. The name of the alarm when shaft or steps move all the same, or None. `forget_shaft` takes
        a new reference."""
        self._follow(raw)
        if not self._at_rest:
            self._at_rest = True
            self._peak = self.confirmed_steps
            self._odometer_from = odometer
        moved = self.confirmed_steps - self._peak
        if odometer != self._odometer_from:
            return "step_count"
        if moved > self.near_steps:
            return "over_infusion"
        return "reverse_delivery" if moved < -self.near_steps else None

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
        self._shaft_known = self._at_rest = False

    def odometer(self, count, expected):
        """True when the edges counted at the pad differ from the steps commanded by more than ODOMETER_SLACK."""
        if not self._shaft_known:
            return False
        counted = ((count - self._odometer_from + _ODOMETER_HALF) & _ODOMETER_MASK) - _ODOMETER_HALF
        off = counted - (expected - self._expected_from)
        return off > ODOMETER_SLACK or off < -ODOMETER_SLACK

    def pace(self, now, handed):
        """True when more steps have been handed to the step port (`handed` in all) than the orders' highest rates allow
        for by now. It sees a planner that runs away before its steps are made."""
        floor_us = self.floor_us
        ahead = self._ahead + handed - self._handed
        self._handed = handed
        credit_us = self._credit_us + ticks_diff(now, self._pace_tick)
        self._pace_tick = now
        if not floor_us:
            self._credit_us = 0
            self._ahead = ahead
            return ahead > self.near_steps
        ahead -= credit_us // floor_us
        self._credit_us = credit_us % floor_us
        if ahead < 0:
            ahead = 0
        self._ahead = ahead
        return ahead > self.near_steps + AHEAD_US // floor_us

    def flow(self, ordered, takeup):
        """Once a minute while doses run: planned steps and those of the take-up in all. The name of the alarm when over
        the last ANCHORS - 1 minutes (longer, if they have too few steps) more than 110 or less than 90 % was shown; ""
        when it was not, None while there is nothing to tell."""
        shown = self.confirmed_steps - takeup
        at = self._anchors % ANCHORS
        if self._anchors and ordered - self._ordered[at - 1] < ANCHOR_STEPS:
            return None
        full = self._anchors >= ANCHORS
        if full:
            made = ordered - self._ordered[at]
            seen = shown - self._shown[at]
        self._ordered[at] = ordered
        self._shown[at] = shown
        self._anchors += 1
        if not full:
            return None
        if (seen - FLOW_NOISE_STEPS) * 10 > made * 11:
            return "over_infusion"
        return "under_infusion" if (seen + FLOW_NOISE_STEPS) * 10 < made * 9 else ""
