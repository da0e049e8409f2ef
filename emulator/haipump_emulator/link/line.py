"""A serial line without a link: the bytes between a host in this process and a core, through a filter each way.

Owns: what is under way. Must not: make time pass, or know what a line means.
"""

from __future__ import annotations

from typing import Any

from haipump_emulator.link.faults import FaultFilter


class Line:
    """`inbound` and `outbound` may be changed at any time: what is inside the old filter still arrives."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self._filters: dict[str, FaultFilter | None] = {"inbound": None, "outbound": None}
        self._inbox = bytearray()
        self._heard = bytearray()

    @property
    def inbound(self) -> FaultFilter | None:
        return self._filters["inbound"]

    @inbound.setter
    def inbound(self, filter_: FaultFilter | None) -> None:
        self._inbox += _emptied(self.inbound)
        self._filters["inbound"] = filter_

    @property
    def outbound(self) -> FaultFilter | None:
        return self._filters["outbound"]

    @outbound.setter
    def outbound(self, filter_: FaultFilter | None) -> None:
        self._heard += _emptied(self.outbound)
        self._filters["outbound"] = filter_

    def send(self, data: bytes) -> None:
        """Bytes of the host, now."""
        if self.inbound is None:
            self._inbox += data
        else:
            self.inbound.feed(data, self._core.now_us)
        self.move()

    def receive(self) -> bytes:
        """What has arrived at the host since the last call."""
        self.move()
        heard = bytes(self._heard)
        self._heard.clear()
        return heard

    def move(self) -> None:
        """What is due now goes on; what the pump has no room for waits."""
        core = self._core
        if self.inbound is not None:
            while chunk := self.inbound.take(core.now_us):
                self._inbox += chunk
        if self._inbox:
            del self._inbox[: core.send(bytes(self._inbox))]
        if core.host_reads and core.output:
            if self.outbound is None:
                self._heard += core.output
            else:
                self.outbound.feed(bytes(core.output), core.now_us)
            core.output.clear()
        if self.outbound is not None:
            while chunk := self.outbound.take(core.now_us):
                self._heard += chunk

    @property
    def waiting(self) -> bool:
        """Bytes of the host are on their way."""
        return bool(self._inbox) or (self.inbound is not None and self.inbound.pending > 0)

    def hang_up(self) -> None:
        """The host has gone: what was on its way is lost."""
        self._inbox.clear()
        self._heard.clear()
        for name, filter_ in self._filters.items():
            if filter_ is not None:
                _emptied(self._filters[name])


def _emptied(filter_: FaultFilter | None) -> bytes:
    """All that is inside, whenever it was due."""
    found = bytearray()
    while filter_ is not None and (due := filter_.next_us()) is not None:
        found += filter_.take(due)
    return bytes(found)
