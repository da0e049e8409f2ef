"""Faults on the way of a byte: what a bad cable, a bad bridge or a bad host does to the stream.

Owns: a filter for one direction of one line, deterministic: equal faults (or an equal seed) and equal input give equal
output. Must not: know a clock; the times it is handed are simulated microseconds, never decreasing.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Fault:
    """Something that happens to byte number `at` of the stream, counted from 0 as the sender sent it."""

    at: int


@dataclass(frozen=True)
class Flip(Fault):
    bit: int  # 0 to 7


@dataclass(frozen=True)
class Drop(Fault):
    count: int = 1


@dataclass(frozen=True)
class Duplicate(Fault):
    """The byte comes twice."""


@dataclass(frozen=True)
class Insert(Fault):
    """These bytes come before it."""

    data: bytes = b"\x00"


@dataclass(frozen=True)
class Delay(Fault):
    """It and all that follow come so much later (a line keeps its order)."""

    us: int = 0


@dataclass(frozen=True)
class Split(Fault):
    """It comes in another chunk than the one before."""


DELAY_MAX_US = 500_000  # of random faults: as long as a stuck USB host


class FaultFilter:
    """Feed bytes in, take what arrives out. `per_million` adds random faults, drawn for each byte from `seed`."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0, per_million: int = 0) -> None:
        self._faults: dict[int, list[Fault]] = {}
        for fault in faults:
            self._faults.setdefault(fault.at, []).append(fault)
        self._random = Random(seed)
        self._per_million = per_million
        self._count = 0
        self._dropping = 0
        self._due_us = 0
        self._chunks: deque[tuple[int, bytearray]] = deque()
        self.applied: list[Fault] = []

    @property
    def pending(self) -> int:
        """Bytes inside."""
        return sum(len(chunk) for _, chunk in self._chunks)

    def next_us(self) -> int | None:
        """When `take` will have something, None when nothing is inside."""
        return self._chunks[0][0] if self._chunks else None

    def feed(self, data: bytes, t_us: int) -> None:
        """Bytes as the sender sent them at `t_us`."""
        self._due_us = max(self._due_us, t_us)
        for byte in data:
            self._one(byte)

    def take(self, t_us: int) -> bytes:
        """The next chunk that has arrived by `t_us`, empty when none has. Call again for the one behind a split."""
        if not self._chunks or self._chunks[0][0] > t_us:
            return b""
        return bytes(self._chunks.popleft()[1])

    def _one(self, byte: int) -> None:
        faults = self._faults.pop(self._count, [])
        if self._per_million and self._random.randrange(1_000_000) < self._per_million:
            faults = [*faults, random_fault(self._random, self._count)]
        self._count += 1
        out, apart = bytearray([byte]), False
        for fault in faults:
            self.applied.append(fault)
            if isinstance(fault, Flip):
                out[-1] ^= 1 << fault.bit
            elif isinstance(fault, Drop):
                self._dropping = max(self._dropping, fault.count)
            elif isinstance(fault, Duplicate):
                out += out[-1:]
            elif isinstance(fault, Insert):
                out[:0] = fault.data
            elif isinstance(fault, Delay):
                self._due_us += fault.us
            else:
                apart = True
        if self._dropping:
            self._dropping -= 1
            return
        if apart or not self._chunks or self._chunks[-1][0] != self._due_us:
            self._chunks.append((self._due_us, bytearray()))
        self._chunks[-1][1].extend(out)


class Latency(FaultFilter):
    """Every byte comes so much later."""

    def __init__(self, us: int) -> None:
        super().__init__()
        self._latency_us = us

    def feed(self, data: bytes, t_us: int) -> None:
        super().feed(data, t_us + self._latency_us)


def random_fault(random: Random, at: int) -> Fault:
    """One fault at byte `at`, every kind equally likely."""
    kind = random.choice((Flip, Drop, Duplicate, Insert, Delay, Split))
    if kind is Flip:
        return Flip(at, random.randrange(8))
    if kind is Drop:
        return Drop(at, random.choice((1, 1, 1, 2, 8, 64)))
    if kind is Insert:
        return Insert(at, random.randbytes(random.choice((1, 1, 1, 2, 8, 64))))
    if kind is Delay:
        return Delay(at, random.randrange(DELAY_MAX_US))
    return Duplicate(at) if kind is Duplicate else Split(at)


def single_faults(length: int) -> Iterator[Fault]:
    """Every single fault of a frame: for each byte the flips, drop, duplicate, and an inserted line end, NUL, `!`."""
    for at in range(length):
        for bit in range(8):
            yield Flip(at, bit)
        yield Drop(at)
        yield Duplicate(at)
        for data in (b"\n", b"\x00", b"!"):
            yield Insert(at, data)


def apply(faults: Iterable[Fault], data: bytes) -> bytes:
    """The bytes that come out when `data` goes through a line with these faults, timing left aside."""
    line = FaultFilter(faults)
    line.feed(data, 0)
    out = bytearray()
    while (due := line.next_us()) is not None:
        out += line.take(due)
    return bytes(out)
