"""Uptime that never wraps and never allocates, built from a microsecond counter that wraps every 17.9 minutes.

Owns: the sum of ticks. Must not: know wall time. `update` has to be called at least every 8 minutes; the watchdog sees
to every 8 seconds.
"""

from haipump_fw.const import const

TICKS_MASK = const((1 << 30) - 1)
_HALF = const(1 << 29)
_SECOND = const(1_000_000)
_LEFT_MAX_S = const(500)
LEFT_MAX_US = const(500_000_000)


try:
    # The interpreter's own do just that, in a quarter of the time. CPython has none.
    from time import ticks_add, ticks_diff  # pyright: ignore[reportAttributeAccessIssue]
except ImportError:

    def ticks_diff(later, earlier):
        """Signed difference of two tick values less than half a period apart. No step leaves the small integers."""
        return (((later - earlier) & TICKS_MASK) ^ _HALF) - _HALF

    def ticks_add(tick, us):
        """`tick` so many microseconds later; less than half a period. No step of it leaves the small integers."""
        return ((tick - _HALF + us) & TICKS_MASK) ^ _HALF


class Deadline:
    """A moment of uptime, days away if need be; looking at it allocates nothing. `clock` is an Uptime."""

    def __init__(self):
        self.s = -1  # none
        self.us = 0

    def clear(self):
        self.s = -1

    def set(self, t_us):
        """At this uptime in microseconds."""
        self.s = t_us // _SECOND
        self.us = t_us % _SECOND

    def after(self, clock, ms):
        """So many milliseconds from now on."""
        us = clock.us + ms % 1000 * 1000
        self.s = clock.s + ms // 1000 + us // _SECOND
        self.us = us % _SECOND

    def passed(self, clock):
        """True from the moment on; False without one."""
        return self.s >= 0 and (clock.s > self.s or (clock.s == self.s and clock.us >= self.us))

    def left_us(self, clock):
        """Microseconds until then, LEFT_MAX_US at most, and without one."""
        left_s = self.s - clock.s
        if self.s < 0 or left_s >= _LEFT_MAX_S:
            return LEFT_MAX_US
        if left_s < 0:
            return 0
        return max(0, left_s * _SECOND + self.us - clock.us)


class Uptime:
    """Seconds `s` and microseconds `us` since construction; `tick` is the counter at the last update."""

    def __init__(self, ticks_us):
        self._ticks_us = ticks_us
        self.tick = ticks_us()
        self.s = 0
        self.us = 0

    def update(self):
        """Take the time that has passed into account; returns the tick."""
        tick = self._ticks_us()
        us = self.us + ((tick - self.tick) & TICKS_MASK)
        self.tick = tick
        if us >= _SECOND:
            self.s += us // _SECOND
            us %= _SECOND
        self.us = us
        return tick

    def now_us(self):
        """Uptime in microseconds at the last update; a big integer after 18 minutes, so not for every step."""
        return self.s * _SECOND + self.us
