"""Uptime that never wraps and never allocates, built from a microsecond counter that wraps every 17.9 minutes.

Owns: the sum of ticks. Must not: know wall time. `update` has to be called at least every 8 minutes; the watchdog sees
to every 8 seconds.
"""

from haipump_fw.const import const

TICKS_MASK = const((1 << 30) - 1)
_HALF = const(1 << 29)
_SECOND = const(1_000_000)


def ticks_diff(later, earlier):
    """Signed difference of two tick values less than half a period apart."""
    return ((later - earlier + _HALF) & TICKS_MASK) - _HALF


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
