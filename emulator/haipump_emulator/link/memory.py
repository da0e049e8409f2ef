"""A link inside the process, for tests and programs that embed the emulator.

Owns: two bounded byte queues. Does not model: a kernel between the two ends, hence no half-open connection.
"""

from haipump_emulator.link.base import Link

CAPACITY = 4096  # bytes each way, as much as a pty holds


class MemoryClient:
    """The other end. `send` takes what fits, `received` grows by what the pump wrote; its reader empties it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received = bytearray()
        self.sent = bytearray()
        self.open = True

    def send(self, data: bytes) -> int:
        """How many of the bytes fitted. Raises BrokenPipeError after the link sent this client away."""
        if not self.open:
            raise BrokenPipeError("the link closed the connection")
        fits = data[: CAPACITY - len(self.sent)]
        self.sent += fits
        return len(fits)

    def close(self) -> None:
        self.open = False


class MemoryLink(Link):
    """See `Link`; `connect` is how a client comes."""

    address = "memory"

    def __init__(self) -> None:
        self._client: MemoryClient | None = None

    def connect(self, name: str = "memory") -> MemoryClient:
        """A new client. Raises ConnectionRefusedError, with the name of the other one, when one is there."""
        if self._client is not None and self._client.open:
            self.refused += 1
            raise ConnectionRefusedError(f"refused: in use by {self._client.name}")
        self._client = MemoryClient(name)
        self.accepted += 1
        return self._client

    @property
    def client_is_there(self) -> bool:
        return self._client is not None

    @property
    def client(self) -> str | None:
        return self._client.name if self._client else None

    @property
    def leaving(self) -> bool:
        return self._client is not None and not self._client.open

    def wait_on(self, reading: bool, writing: bool) -> tuple[list, list]:
        return [], []

    def poll(self) -> None:
        if self._client is not None and not self._client.open and not self._client.sent:
            self._client = None

    def read(self, limit: int) -> bytes:
        if self._client is None:
            return b""
        data = bytes(self._client.sent[:limit])
        del self._client.sent[:limit]
        return data

    def write(self, data: bytes | bytearray) -> int:
        if self._client is None or not self._client.open:
            return 0
        fits = data[: max(0, CAPACITY - len(self._client.received))]
        self._client.received += fits
        return len(fits)

    def drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        self.drop()
