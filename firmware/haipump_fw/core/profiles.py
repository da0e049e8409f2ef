"""Profiles: planned volume as an exact function of time since an order's start.

Owns: what a rate, a bolus, a ramp, a programme and a fast move mean, to the quantum (`core.units`). Must not: know the
uptime, other orders, or what has been stepped.

A profile answers `at(t_us)` with (whole, num, den, elapsed_us, end_us): planned volume at t is
`whole + num * elapsed_us / den` quanta, num/den quanta per microsecond is the rate now, and it holds until end_us
(-1: for ever). `total_us` is the length (-1: endless), `total_q` the whole volume (0 when endless).
All numbers are whole; big integers are fine here, this runs per order and per piece, never per step.
"""

from haipump_fw.const import const
from haipump_fw.core.units import QUANTA_PER_NL, US_PER_S, div_up, root_down

STAIR_US = const(20_000)  # length of one stair of an acceleration ramp
# A rate ramp is made of stairs so fine that they leave the straight line by at most this part of a microstep (where
# they would have to be shorter than STAIR_US: by slope * STAIR_US**2 / 8).
_RAMP_PART = const(10_000)
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


class Ramp:
    """From one rate to another, linear in time, then that rate for ever.

    Stairs of at least 20 ms; each carries exactly what the straight line carries there, so that at its ends the volume
    is exact, and in between off by at most slope * stair**2 / 8.
    """

    total_us = NEVER
    total_q = 0

    def __init__(self, from_nl_per_day, to_nl_per_day, duration_s, step_q):
        self._from = from_nl_per_day
        self._to = to_nl_per_day
        self.ramp_us = duration_s * US_PER_S
        change = max(1, abs(to_nl_per_day - from_nl_per_day))
        self._stair_us = max(STAIR_US, root_down(8 * step_q * self.ramp_us // (_RAMP_PART * change)))

    def top(self):
        """0: not made of pieces, see Order.pace."""
        return 0

    def line_q(self, t_us):
        """Quanta under the straight line up to t_us (at most the ramp's end), rounded down."""
        return self._from * t_us + (self._to - self._from) * t_us * t_us // (2 * self.ramp_us)

    def at(self, t_us):
        if t_us >= self.ramp_us:
            return self.line_q(self.ramp_us), self._to, 1, t_us - self.ramp_us, NEVER
        start = t_us - t_us % self._stair_us
        end = min(start + self._stair_us, self.ramp_us)
        whole = self.line_q(start)
        return whole, self.line_q(end) - whole, end - start, t_us - start, end


class Periodic:
    """The basal part of a programme: rate and ramp items in a period, repeated; every period starts with rate 0.

    `items` are (at_s, to_nl_per_day, duration_s), sorted; duration 0 is a jump.
    """

    def __init__(self, items, period_s, repeats, step_q):
        self.period_us = period_s * US_PER_S
        self.total_us = self.period_us * repeats
        self._pieces = []  # (start_us, whole, profile) within a period
        at_us = whole = rate = 0
        profile = Pieces().add_endless(0, 1)
        for at_s, to, duration_s in items:
            start = at_s * US_PER_S
            self._pieces.append((at_us, whole, profile))
            whole += planned(profile, start - at_us)
            at_us = start
            profile = Ramp(rate, to, duration_s, step_q) if duration_s else Pieces().add_endless(to, 1)
            rate = to
        self._pieces.append((at_us, whole, profile))
        self._period_q = whole + planned(profile, self.period_us - at_us)
        self.total_q = self._period_q * repeats

    def at(self, t_us):
        if t_us >= self.total_us:
            return self.total_q, 0, 1, 0, NEVER
        pieces = self._pieces
        turn = t_us // self.period_us
        base_us = turn * self.period_us
        base_q = turn * self._period_q
        within = t_us - base_us
        i = len(pieces) - 1
        while pieces[i][0] > within:
            i -= 1
        start, whole, profile = pieces[i]
        stop = pieces[i + 1][0] if i + 1 < len(pieces) else self.period_us
        inner, num, den, elapsed, end = profile.at(within - start)
        end = stop if end == NEVER else min(stop, start + end)
        return base_q + whole + inner, num, den, elapsed, base_us + end


class Pulses:
    """The boluses of a programme: (at_s, volume_q, duration_s) items in a period, repeated; they do not overlap."""

    def __init__(self, items, period_s, repeats):
        self._items = items
        self.period_us = period_s * US_PER_S
        self.total_us = self.period_us * repeats
        self._period_q = sum([volume for _, volume, _ in items])
        self.total_q = self._period_q * repeats

    def at(self, t_us):
        if t_us >= self.total_us:
            return self.total_q, 0, 1, 0, NEVER
        turn = t_us // self.period_us
        base_us = turn * self.period_us
        whole = turn * self._period_q
        within = t_us - base_us
        for at_s, volume, duration_s in self._items:
            start = at_s * US_PER_S
            end = start + duration_s * US_PER_S
            if within < start:
                return whole, 0, 1, 0, base_us + start
            if within < end:
                return whole, volume, end - start, within - start, base_us + end
            whole += volume
        return whole, 0, 1, 0, base_us + self.period_us


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
