"""What every link does: one client at a time, never blocking, bounded.

Owns: the contract that pty, TCP and in-memory links keep and that `tests/emulator/link/contract.py` checks on all of
them. Must not: know any of them.
"""

from abc import ABC, abstractmethod
from typing import Any


class LinkError(Exception):
    """A link can't be made or used; the message is one line that says what to do."""


class Link(ABC):
    """One end of a serial line, at which clients come and go.

    A client that is gone may leave bytes behind: `read` hands these out first. Bytes that a client did not read are
    forgotten with it: no client ever gets what was meant for the one before.
    """

    address = ""  # what a host types to get here
    accepted = 0  # clients so far
    refused = 0  # clients that came while another one was there

    @property
    @abstractmethod
    def client_is_there(self) -> bool:
        """Cheap, unlike `client`."""

    @property
    @abstractmethod
    def client(self) -> str | None:
        """Name of the client that is there, None when nobody is."""

    @property
    def leaving(self) -> bool:
        """The client will send nothing more, but what it sent is still to be read, or it may still read answers."""
        return False

    @abstractmethod
    def wait_on(self, reading: bool, writing: bool) -> tuple[list[Any], list[Any]]:
        """File objects for select: to read from (with `reading` also the client's bytes), and to write to."""

    @abstractmethod
    def poll(self) -> None:
        """Notice clients that came, went, or have to be refused."""

    @abstractmethod
    def read(self, limit: int) -> bytes:
        """At most `limit` bytes from the client, empty when there are none now."""

    @abstractmethod
    def write(self, data: bytes | bytearray) -> int:
        """How many bytes the client's side took; 0 when it has no room or nobody is there."""

    @abstractmethod
    def drop(self) -> None:
        """Send the client away."""

    @abstractmethod
    def close(self) -> None:
        """Send the client away and remove whatever the link put into the system. May be called twice."""
