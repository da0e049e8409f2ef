"""A pump to test, whatever it runs on: the host's own library on one end, a core on the other.

Owns: how a rig is made for each core, and how time passes on it. Must not: know what is tested, or look at anything
that only one core can show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import haipump
from haipump.client import Pump
from haipump.conversation import Conversation
from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant, PlantParams

SLICE_US = 1_000  # between two looks at what the pump wrote
WRITE_TRIES_MAX = 1_000


class CoreTransport:
    """A transport of the host tools that ends in a core of this process: waiting for bytes makes simulated time pass.

    Does not model: unplugging, a kernel between the ends, a client that does not read.
    """

    name = "core"

    def __init__(self, core: Any) -> None:
        self.core = core

    def open(self) -> None:
        """Always open."""

    def close(self) -> None:
        """Always open."""

    def read(self, timeout_s: float) -> bytes:
        until = self.core.now_us + int(timeout_s * 1_000_000)
        while not self.core.output and self.core.now_us < until:
            self.core.run_until(min(until, self.core.now_us + SLICE_US))
        data = bytes(self.core.output)
        del self.core.output[:]
        return data

    def write(self, data: bytes) -> None:
        for _ in range(WRITE_TRIES_MAX):
            data = data[self.core.send(data) :]
            if not data:
                return
            self.core.run_until(self.core.now_us + SLICE_US)
        raise AssertionError("the pump takes no bytes")

    def now(self) -> float:
        return self.core.now_us / 1_000_000

    def sleep(self, seconds: float) -> None:
        """Time passes; what the pump says meanwhile waits."""
        self.core.run_until(self.core.now_us + round(seconds * 1_000_000))


@dataclass
class Rig:
    """`pump` is connected; let time pass with `wait`. A 30 mL syringe is in place and the pump is stopped."""

    pump: Pump

    def wait(self, seconds: float) -> None:
        self.pump.conversation.transport.sleep(seconds)


def make(core: str, port: str | None) -> Rig:
    """A rig for `--core`. On the board the pump is stopped first; whoever runs this has put a syringe of water in."""
    if core == "board":
        if port is None:
            raise ValueError("--core=board needs --port")
        pump = haipump.connect(port)
        pump.stop()
    else:
        direct = DirectCore(Plant(PlantParams(), seed=1), seed=1)
        direct.run_until(2_000_000)  # boot and self test
        conversation = Conversation(CoreTransport(direct))
        conversation.start()
        pump = Pump(conversation)
    pump.syringe("30 mL", "30 mL")
    return Rig(pump)
