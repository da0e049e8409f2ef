"""The watchdog.

Owns: the chip's watchdog timer. Must not: feed it by itself.
"""

from machine import WDT


class Watchdog:
    """See `contract.Watchdog`."""

    def __init__(self):
        self._timer = None

    def start(self, timeout_ms):
        """Start with a timeout of at most 8388 ms; it can't be stopped again."""
        self._timer = WDT(timeout=timeout_ms)

    def feed(self):
        """Put off the reset by the timeout. Nothing before `start`."""
        if self._timer is not None:
            self._timer.feed()
