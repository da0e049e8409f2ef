"""The bridge: moves bytes between a link and a core, bounded, and knows whether somebody talks.

Owns: the two buffers between them, what happens when the pump or the client does not keep up, and the fault filters.
Must not: make time pass, or know what a line means.
"""

from collections.abc import Callable
from typing import Any

from haipump_emulator.link.base import Link
from haipump_emulator.link.faults import FaultFilter
from haipump_emulator.pacing import monotonic_us

# Short, so that a stop behind a flood has little before it: what does not fit stays with the client (it can't write).
INBOX_MAX = 256
OUTBOX_MAX = 65_536
HOST_READS_AGAIN = OUTBOX_MAX // 2
# Output of a core that knows no "host does not read" is dropped from the oldest beyond this.
CORE_OUTPUT_MAX = 262_144
GRACE_US = 200_000  # wall: a script's pause between an answer and its next line
# Wall: the longest time that a conversation lasts after the last byte of the client. A token lives for 30 s; a line
# that is never finished must not hold up `max` for ever.
CONVERSATION_MAX_US = 40_000_000


class Bridge:
    """Between `link` and `core`. `inbound` and `outbound` are optional fault filters."""

    def __init__(
        self,
        core: Any,
        link: Link,
        *,
        wall_us: Callable[[], int] = monotonic_us,
        inbound: FaultFilter | None = None,
        outbound: FaultFilter | None = None,
    ) -> None:
        self.core = core
        self.link = link
        self.inbound = inbound
        self.outbound = outbound
        self._wall_us = wall_us
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._heard_us: int | None = None  # the last byte from a client
        self._moved_us = 0  # the last byte from or to one
        self._client_number = 0
        self.received = 0  # bytes from clients
        self.delivered = 0  # bytes to clients
        self.unheard = 0  # bytes that the pump wrote while no client was there
        self.dropped = 0  # bytes that a client was too slow for
        self.answered = False  # a line end came out since the caller cleared it
        self.crowded = False  # the last `give_out` found more than there was room for

    def wait_on(self) -> tuple[list[Any], list[Any]]:
        """What select should wait for."""
        return self.link.wait_on(self._room() > 0, bool(self._outbox))

    def _room(self) -> int:
        return INBOX_MAX - self.waiting

    @property
    def waiting(self) -> int:
        """Bytes of the client that the core has not taken yet."""
        return len(self._inbox) + (self.inbound.pending if self.inbound else 0)

    def take_in(self) -> int:
        """Client to core, as much as both allow. Returns how many bytes reached the core."""
        self.link.poll()
        if self.link.accepted != self._client_number:
            self._client_number = self.link.accepted
            self.unheard += len(self._outbox)
            self._outbox.clear()
        if self._room() > 0:
            data = self.link.read(self._room())
            if data:
                self._heard_us = self._moved_us = self._wall_us()
                self.received += len(data)
                if self.inbound:
                    self.inbound.feed(data, self.core.now_us)
                else:
                    self._inbox += data
        if self.inbound and not self._inbox:
            self._inbox += self.inbound.take(self.core.now_us)
        if not self._inbox:
            return 0
        taken = self.core.send(bytes(self._inbox))
        del self._inbox[:taken]
        return taken

    def give_out(self) -> None:
        """Core to client, as much as the client takes."""
        output = self.core.output
        if output:
            self.answered = self.answered or b"\n" in output
        self._collect(output)
        if self.outbound:
            while chunk := self.outbound.take(self.core.now_us):
                self._outbox += chunk
        if self.link.client_is_there:
            if self._outbox:
                written = self.link.write(self._outbox)
                self.delivered += written
                self._moved_us = self._wall_us() if written else self._moved_us
                del self._outbox[:written]
        else:
            # As on a real port that nobody has open: the bytes are gone.
            self.unheard += len(self._outbox)
            self._outbox.clear()
        self._tell_core()

    def _collect(self, output: bytearray) -> None:
        """Into the outbox; what does not fit stays in the core while the core can bear it."""
        held = self.outbound.pending if self.outbound else 0
        room = max(0, OUTBOX_MAX - len(self._outbox) - held)
        data = bytes(output[:room])
        del output[:room]
        if self.outbound:
            self.outbound.feed(data, self.core.now_us)
        else:
            self._outbox += data
        self.crowded = bool(output)
        excess = len(output) - CORE_OUTPUT_MAX
        if excess > 0:
            del output[:excess]
            self.dropped += excess

    def _tell_core(self) -> None:
        """A host that does not read: the pump's own buffer fills up, and it drops telemetry as the real one does."""
        if not hasattr(self.core, "host_reads"):
            return
        if len(self._outbox) >= OUTBOX_MAX or self.crowded:
            self.core.host_reads = False
        elif len(self._outbox) <= HOST_READS_AGAIN:
            self.core.host_reads = True

    def talking(self, grace: bool = True) -> bool:
        """A client is in a conversation: its bytes wait, a line of it is unfinished, a token is open; with `grace` also
        for a moment after its last byte. Listening is not talking."""
        if self._heard_us is None:
            return False
        since_us = self._wall_us() - self._heard_us
        if grace and since_us < GRACE_US:
            return True
        if since_us > CONVERSATION_MAX_US:
            return False
        conversing = getattr(self.core, "conversing", None)
        return bool(self.waiting or (conversing and conversing()))

    def let_go(self) -> None:
        """Close a connection that the client has closed on its side, once it has its answers."""
        quiet = self._wall_us() - self._moved_us >= GRACE_US
        if self.link.leaving and quiet and not self.waiting and not self._outbox:
            self.link.drop()

    def close(self) -> None:
        self.link.close()
