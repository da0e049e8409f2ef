"""Courses: what ramps and programmes mean, as profiles (`core.profiles`). Loaded when the first one is ordered.

Owns: their volume at any time. Must not: know the motor, or what runs beside.
"""

from haipump_fw.const import const
from haipump_fw.core.profiles import NEVER, STAIR_US, Pieces, planned
from haipump_fw.core.units import US_PER_S, root_down

# A rate ramp is made of stairs so fine that they leave the straight line by at most this part of a microstep (where
# they would have to be shorter than STAIR_US: by slope * STAIR_US**2 / 8).
_RAMP_PART = const(10_000)


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
        i, beyond = 0, len(pieces)  # of two pieces that begin at once the later one
        while beyond - i > 1:
            middle = (i + beyond) // 2
            if pieces[middle][0] > within:
                beyond = middle
            else:
                i = middle
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
        self._wholes = [0]  # volume of all items before each one
        for _, volume, _ in items:
            self._wholes.append(self._wholes[-1] + volume)
        self._period_q = self._wholes[-1]
        self.total_q = self._period_q * repeats

    def at(self, t_us):
        if t_us >= self.total_us:
            return self.total_q, 0, 1, 0, NEVER
        turn = t_us // self.period_us
        base_us = turn * self.period_us
        within = t_us - base_us
        within_s = within // US_PER_S
        items = self._items
        i, beyond = 0, len(items)  # items that are over
        while i < beyond:
            middle = (i + beyond) // 2
            if items[middle][0] + items[middle][2] > within_s:
                beyond = middle
            else:
                i = middle + 1
        whole = turn * self._period_q + self._wholes[i]
        if i == len(items):
            return whole, 0, 1, 0, base_us + self.period_us
        at_s, volume, duration_s = items[i]
        start = at_s * US_PER_S
        if within < start:
            return whole, 0, 1, 0, base_us + start
        length = duration_s * US_PER_S
        return whole, volume, length, within - start, base_us + start + length
