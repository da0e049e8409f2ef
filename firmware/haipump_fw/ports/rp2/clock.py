"""The microsecond clock.

Owns: nothing. Must not: wrap anywhere but at `ports.TICKS_PERIOD`, where MicroPython's own counter wraps.
"""

from time import ticks_us


class Clock:
    """See `contract.Clock`."""

    def ticks_us(self):
        """Microseconds since some moment, modulo 2**30. Allocates nothing."""
        return ticks_us()
