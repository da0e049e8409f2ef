"""Profiles: planned volume as an exact function of time since an order's start.

Owns: what a rate, a bolus, a ramp, a programme and a fast move mean, to the quantum (`core.units`). Must not: know the
uptime, other orders, or what has been stepped.

A profile answers `at(t_us)` with (whole, num, den, elapsed_us, end_us): planned volume at t is
`whole + num * elapsed_us / den` quanta, num/den quanta per microsecond is the rate now, and it holds until end_us
(-1: for ever). `total_us` is the length (-1: endless), `total_q` the whole volume (0 when endless).
All numbers are whole; big integers are fine here, this runs per order and per piece, never per step.
"""

from haipump_fw.const import const
from haipump_fw.core.units import QUANTA_PER_NL, US_PER_S, div_up

STAIR_US = const(20_000)  # length of one stair of an acceleration ramp
NEVER = const(-1)


class Limits:
    """What the motor can do: speeds in steps/s, acceleration in steps/s2, volume of one step in quanta."""

    def __init__(self, step_q, start_steps_per_s, accel_steps_per_s2, max_steps_per_s):
        self.step_q = step_q
        self.start = start_steps_per_s
        self.accel = accel_steps_per_s2
        self.maximum = max_steps_per_s
        self.rise = max(1, accel_steps_per_s2 * STAIR_US // US_PER_S)  # steps/s gained on each stair

    def share(self, speed, total, start):
        """For one of several orders that slow down or go on together: its part of `start` and acceleration."""
        limits = Limits(self.step_q, max(1, start * speed // total), self.accel, self.maximum)
        limits.rise = max(1, self.rise * speed // total)
        return limits

    def speed(self, num, den):
        """Steps/s of a rate in quanta/us, rounded up."""
        return div_up(num * US_PER_S, den * self.step_q)

    def stair_q(self, steps_per_s):
        """Quanta planned on one stair at this speed."""
        return steps_per_s * self.step_q * STAIR_US // US_PER_S


class Pieces:
    """A profile made of pieces of constant rate."""

    def __init__(self):
        self.total_us = 0
        self.total_q = 0
        self._pieces = []  # (start_us, whole, num, den, end_us)
        self._last = 0

    def add(self, volume_q, duration_us):
        """Append `volume_q` spread evenly over `duration_us` (> 0)."""
        end = self.total_us + duration_us
        self._pieces.append((self.total_us, self.total_q, volume_q, duration_us, end))
        self.total_us = end
        self.total_q += volume_q
        return self

    def add_endless(self, num, den):
        """Append a rate that holds for ever; nothing can follow."""
        self._pieces.append((self.total_us, self.total_q, num, den, NEVER))
        self.total_us = NEVER
        return self

    def top(self):
        """The highest rate in it, rounded down to nL/day."""
        return max([0] + [num // den for _, _, num, den, _ in self._pieces])

    def follow(self, other):
        """Append all (finite) pieces of another one."""
        for start, _, volume, _, end in other._pieces:
            self.add(volume, end - start)

    def at(self, t_us):
        pieces = self._pieces
        i = self._last if self._last < len(pieces) and pieces[self._last][0] <= t_us else 0
        while i < len(pieces):
            start, whole, num, den, end = pieces[i]
            if end == NEVER or t_us < end:
                self._last = i
                return whole, num, den, t_us - start, end
            i += 1
        return self.total_q, 0, 1, 0, NEVER


def planned(profile, t_us):
    """Planned quanta at t_us, rounded down."""
    whole, num, den, elapsed, _ = profile.at(t_us)
    return whole + num * elapsed // den


def _ladder(limits, first, target):
    """Speeds of the stairs from `first` up to below `target`, in steps/s."""
    return range(first, target, limits.rise)


def rate(rate_nl_per_day, limits, from_steps_per_s=0):
    """An endless rate, reached over stairs where the motor cannot jump (from the speed that the order runs at now)."""
    profile = Pieces()
    _approach(profile, limits, from_steps_per_s, limits.speed(rate_nl_per_day, 1))
    return profile.add_endless(rate_nl_per_day, 1)


def _approach(profile, limits, speed, target):
    """Stairs from `speed` to `target`, up or down; none when the motor can jump."""
    if speed > target:
        for stair in reversed(_ladder(limits, limits.start, speed)):
            if stair > target:
                profile.add(limits.stair_q(stair), STAIR_US)
    else:
        for stair in _ladder(limits, max(limits.start, speed), target):
            profile.add(limits.stair_q(stair), STAIR_US)


def coast(limits, speed):
    """Stairs from a running speed down to standstill (empty at or below the speed that the motor can stop from)."""
    profile = Pieces()
    _approach(profile, limits, speed, limits.start - 1)
    return profile


def _up_and_down(limits, speed, target):
    """Stairs from `speed` to `target`, and from there to standstill."""
    up = Pieces()
    _approach(up, limits, speed, target)
    return up, coast(limits, target)


def volume_at_rate(volume_q, rate_nl_per_day, limits, from_steps_per_s=0):
    """`volume_q` at a rate, with stairs up and down where needed. The cruise is as long as the volume needs, rounded up
    to a microsecond."""
    target = limits.speed(rate_nl_per_day, 1)
    profile, down = _up_and_down(limits, from_steps_per_s, target)
    if profile.total_q + down.total_q > volume_q and target > limits.start:
        # too short for this speed: the highest top that fits, at worst the speed that needs no stairs
        low, high = 0, (target - limits.start) // limits.rise
        while low < high:
            middle = (low + high + 1) // 2
            profile, down = _up_and_down(limits, from_steps_per_s, limits.start + middle * limits.rise)
            if profile.total_q + down.total_q > volume_q:
                high = middle - 1
            else:
                low = middle
        target = limits.start + low * limits.rise  # when even that is too much, the caller had to refuse it
        rate_nl_per_day = target * limits.step_q // US_PER_S
        profile, down = _up_and_down(limits, from_steps_per_s, target)
    cruise = volume_q - profile.total_q - down.total_q
    if cruise > 0:
        profile.add(cruise, div_up(cruise, rate_nl_per_day))
    profile.follow(down)
    return profile


def square(volume_q, duration_us, limits):
    """`volume_q` in exactly `duration_us`: even, or with stairs at both ends where the motor cannot jump.

    Returns None when the duration is too short for the stairs or the speed passes the motor's.
    """
    profile = Pieces()
    if limits.speed(volume_q, duration_us) <= limits.start:
        return profile.add(volume_q, duration_us)
    stairs = []
    stairs_q = 0
    speed = limits.start
    while True:
        rest_q = volume_q - 2 * stairs_q
        rest_us = duration_us - 2 * STAIR_US * len(stairs)
        if rest_us <= 0 or speed > limits.maximum + limits.rise:
            return None
        top = limits.speed(rest_q, rest_us)
        if top <= speed:
            break
        stairs.append(limits.stair_q(speed))
        stairs_q += stairs[-1]
        speed += limits.rise
    if top > limits.maximum:
        return None
    for stair in stairs:
        profile.add(stair, STAIR_US)
    profile.add(rest_q, rest_us)
    for stair in reversed(stairs):
        profile.add(stair, STAIR_US)
    return profile


def quanta(volume_nl):
    return volume_nl * QUANTA_PER_NL
