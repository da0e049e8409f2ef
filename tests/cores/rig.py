"""A pump to test, whatever it runs on: the host's own library on one end, a core on the other.

Owns: how a rig is made for each core, how it is brought back to rest between two tests, how much of a rig is there
(`LEVELS`), and how time passes on it. Must not: know what is tested.

One rig serves all tests on its core: a board is not booted anew for each of them either, and so they see that one test
leaves nothing for the next.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import haipump
from haipump.answers import OrderStatus
from haipump.client import Pump
from haipump.conversation import Conversation
from haipump.orders import Order
from haipump.protocol.codec import Event
from haipump_emulator import cores
from haipump_emulator.plant import Plant, PlantParams

SLICE_US = 1_000  # between two looks at what the pump wrote
WRITE_TRIES_MAX = 1_000
BOOT_US = 3_000_000  # power-up and self test, on the slower of the cores
FILL = ("30 mL", "20 mL")  # the syringe of every test: room to withdraw, and enough to push
FILL_NL, FILL_OFF_NL = 20_000_000, 1_000_000

# How much there is in front of the pump; each has what those before it have. What a test needs is marked with
# `needs("...")`; unmarked ones talk only. docs/testing.md says how a Pico is bridged.
LEVELS = (
    "bare",  # a Pico alone: its self test fails, so it refuses to deliver
    "bridged",  # a Pico with the wires of docs/testing.md: it moves, but no shaft follows
    "rig",  # motor, screw, sensors and switches
    "plant",  # an emulated rig that a test can do harm to
)
BRIDGED_STEPS_MAX = 60  # after 64 microsteps without a shaft that follows the pump alarms a stall, and so it should


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
        # At least one microsecond, or a wait for the last fraction of one would never end.
        until = self.core.now_us + (max(1, round(timeout_s * 1_000_000)) if timeout_s > 0 else 0)
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


class Rig:
    """`pump` is connected; let time pass with `wait`. At the start of a test it is stopped, without alarms, with a
    syringe of `FILL`. `level` is one of LEVELS; `core` is the emulated core, None on a board."""

    def __init__(self, kind: str, pump: Pump, level: str, core: Any = None) -> None:
        self.kind = kind
        self.pump = pump
        self.level = level
        self.core = core
        self._afterwards: list[Callable[[], object]] = []

    @property
    def moves(self) -> bool:
        """It can deliver, if only a few steps."""
        return self.level != "bare"

    def wait(self, seconds: float) -> None:
        self.pump.conversation.transport.sleep(seconds)

    def wait_for(self, what: Callable[[], Any], seconds: float, slice_s: float = 0.1) -> Any:
        """Let time pass until `what()` is true, and return it."""
        transport = self.pump.conversation.transport
        end = transport.now() + seconds
        while True:
            if found := what():
                return found
            assert transport.now() < end, f"not within {seconds} s"
            self.wait(slice_s)

    def events(self, quiet_s: float = 0.2) -> list[Event]:
        """What the pump has said by itself and nobody has looked at yet, in order."""
        return list(self.pump.events(quiet_s))

    def phase(self, alarm: str) -> str | None:
        """active, acknowledged or latched; None when the alarm does not stand."""
        return next((row.phase for row in self.pump.alarms() if row.alarm == alarm), None)

    def finish(self, order: Order) -> OrderStatus:
        """Wait until an order is complete, without asking again and again: that is what costs time on the chip."""
        self.wait(max(0, order.status().left_s))
        return order.wait(timeout_s=10)

    def afterwards(self, do: Callable[[], object]) -> None:
        """Done when the test is over, the last one first, before the pump is brought to rest."""
        self._afterwards.append(do)

    def harm(self, name: str, *arguments: Any) -> None:
        """Something happens to the emulated rig, now."""
        getattr(self.core.plant, name)(self.core.now_us, *arguments)

    def press(self, bits: int, seconds: float = 0.2) -> None:
        """A button is held for so long."""
        self.core.press(bits, True)
        self.wait(seconds)
        self.core.press(bits, False)

    def power_cycle(self) -> None:
        self.core.power(False)
        self.wait(0.5)
        del self.core.output[:]
        self.core.power(True)
        self.core.run_until(self.core.now_us + BOOT_US)
        self.pump.hello()

    def to_rest(self) -> None:
        """Stopped, no alarm, the syringe of every test (or nearly: tests use little), nothing heard."""
        while self._afterwards:
            self._afterwards.pop()()
        pump = self.pump
        status = pump.stop()
        if self.moves:
            if status.state == "refill":
                pump.refill_end()
            if status.alarm != "none":
                pump.ack()
            if status.state == "fault":
                pump.selftest()
            if abs(status.reservoir_nl - FILL_NL) > FILL_OFF_NL:
                pump.syringe(*FILL)
        self.events(0.02)

    def close(self) -> None:
        """What the last test changed is put back, and the pump is left stopped."""
        self.to_rest()
        self.pump.close()


def make(kind: str, image: Path | None = None, port: str | None = None, level: str = "plant") -> Rig:
    """A rig for one kind of core. `image`: for the chip; `port`: for the board, whose motor may turn from now on."""
    if kind == "board":
        assert port is not None
        pump = haipump.connect(port, stopping=True)
        if level == "bridged":  # a reversal would take up more steps than a Pico without a shaft may make
            pump.calibrate(backlash_steps=0)
            pump.set_settings(jog_steps_per_s=40)
        return Rig(kind, pump, level)
    recipe = cores.Recipe("direct") if image is None else cores.Recipe("chip", image.read_bytes())
    core = recipe.make(Plant(PlantParams(), seed=1), seed=1)
    core.run_until(BOOT_US)
    conversation = Conversation(CoreTransport(core))
    conversation.start()
    return Rig(kind, Pump(conversation), level, core)


def look(port: str) -> str:
    """ "bridged" for a pump at `port` that passes its self test, else "bare". It is stopped for that."""
    with haipump.connect(port, stopping=True) as pump:
        pump.stop()
        if pump.status().state == "refill":
            pump.refill_end()
        pump.ack()
        return "bridged" if pump.selftest()[1] == "passed" else "bare"
