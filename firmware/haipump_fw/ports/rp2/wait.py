"""Sleeping until a deadline, a byte from the host or an edge on an input.

Owns: the poll set. Must not: decide how long to sleep.
"""

import io
import select
import sys
from time import sleep_us

from haipump_fw.const import const

_POLL = const(3)  # the request number with which MicroPython asks a stream whether it is ready


class Wake(io.IOBase):
    """A stream that is readable once its flag is up: this is how a pin interrupt ends `ipoll`, which it would not
    otherwise do before the time is over."""

    def __init__(self):
        self.flag = 0

    def ioctl(self, request, argument):
        """Answer the poll. The flag is 0 or 1, and 1 is POLLIN."""
        return self.flag & argument if request == _POLL else 0


class Wait:
    """See `ports.Ports.wait`."""

    def __init__(self, wake):
        self._wake = wake
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)
        self._poll.register(wake, select.POLLIN)

    def wait(self, duration_us):
        """Sleep at most so long. Allocates nothing; the processor sleeps too, but for a rest below a millisecond."""
        duration_ms = duration_us // 1000
        for _ in self._poll.ipoll(duration_ms):
            break
        else:
            if not duration_ms and duration_us > 0:
                sleep_us(duration_us)
        # What the edge meant is read from the pins after this, so an edge from now on ends the next wait at once.
        self._wake.flag = 0
