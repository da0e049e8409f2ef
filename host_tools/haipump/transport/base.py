"""What a transport must do. Owns: the contract. Must not: have an implementation."""

from __future__ import annotations

from typing import Protocol


class Disconnected(Exception):
    """The other end is gone (unplugged, closed, restarted) or takes no bytes any more. `open` may bring it back."""


class Transport(Protocol):
    """Bytes and the time that waiting for them takes. Its own `now` and `sleep`, so that a test can supply both."""

    name: str

    def open(self) -> None:
        """Open, or open again after `close`. Raises a PortError that says what is in the way."""
        ...

    def close(self) -> None:
        """Close; does nothing when closed."""
        ...

    def read(self, timeout_s: float) -> bytes:
        """What has come, waiting at most so long for the first byte; empty when nothing came. Raises Disconnected."""
        ...

    def write(self, data: bytes) -> None:
        """Write all. Raises Disconnected."""
        ...

    def now(self) -> float:
        """Seconds on a clock that only goes forward."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...
