"""A Transport to the real firmware on the direct core, in virtual time. Owns: bytes and time. Knows no protocol."""

from __future__ import annotations

from typing import Any

from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant, PlantParams

SLICE_US = 500  # time is made to pass in slices of this, so that an answer is read soon after it came


class DirectLine:
    def __init__(self, **options: Any) -> None:
        self.name = "direct"
        self.core = DirectCore(Plant(PlantParams(), seed=1), **options)

    def open(self) -> None:
        del self.core.output[:]

    def close(self) -> None:
        return None

    def now(self) -> float:
        return self.core.now_us / 1e6

    def sleep(self, seconds: float) -> None:
        self.core.run_until(self.core.now_us + round(seconds * 1e6))

    def write(self, data: bytes) -> None:
        while data:
            taken = self.core.send(data)
            data = data[taken:]
            self.core.run_until(self.core.now_us + SLICE_US)

    def read(self, timeout_s: float) -> bytes:
        # At least one microsecond, or a wait for the last fraction of one would never end.
        end_us = self.core.now_us + (max(1, round(timeout_s * 1e6)) if timeout_s > 0 else 0)
        while not self.core.output and self.core.now_us < end_us:
            self.core.run_until(min(end_us, self.core.now_us + SLICE_US))
        data = bytes(self.core.output)
        del self.core.output[: len(data)]
        return data


class FloodedLine(DirectLine):
    """Before our bytes stand those that somebody else left: `backlog`, which the pump takes as fast as it can."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.backlog = bytearray()

    def write(self, data: bytes) -> None:
        self.backlog += data
        self._feed()

    def read(self, timeout_s: float) -> bytes:
        end_us = self.core.now_us + max(1, round(timeout_s * 1e6))
        while not self.core.output and self.core.now_us < end_us:
            self._feed()
            self.core.run_until(min(end_us, self.core.now_us + SLICE_US))
        data = bytes(self.core.output)
        del self.core.output[: len(data)]
        return data

    def _feed(self) -> None:
        del self.backlog[: self.core.send(bytes(self.backlog[:256]))]
