"""How long a stop takes: simulated time from the last byte's arrival to EN off, costs of the chip charged.

Owns: the situations (what moves, what lies ahead of the stop) and the stopwatch. Must not: judge.
"""

from __future__ import annotations

import binascii
from typing import Any

from haipump_emulator.direct import DirectCore
from haipump_emulator.direct.ports import RECEIVE_BYTES
from haipump_emulator.plant import Plant, for_syringe

US_PER_MS = 1_000
SIZE_ML = 1  # 2,000 steps/s with a larger syringe would be an occlusion by the line's own resistance
STEP_FL = 11_215_674  # 4.78 mm bore, 2 mm lead, 3,200 microsteps
# 2,000 steps/s with this syringe, in nL/day
TOP_NL_PER_DAY = 2_000 * STEP_FL * 86_400 // 1_000_000
ERASE_DAYS_MAX = 40
WAITS_US = (0, 1_237, 4_311, 17_003, 2_000_011)  # the stop comes at different moments of the loop


class MotorOff:
    """Listener: when EN went off; -1: not yet."""

    def __init__(self) -> None:
        self.at_us = -1

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name == "enable" and not fields["on"]:
            self.at_us = t_us


class Driver:
    """A host that works in simulated time: asks, and gives orders, over the serial line of any core."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.number = 1

    def ask(self, text: str) -> str:
        """The pump's bytes within 200 ms of a line with id and checksum."""
        line = f"@{self.number} {text}"
        self.number += 1
        self.core.output.clear()
        self.core.send(f"{line} *{binascii.crc32(line.encode()):08x}\n".encode())
        self.core.run_until(self.core.now_us + 200 * US_PER_MS)
        return self.core.output.decode()

    def order(self, text: str) -> None:
        """Prepare and commit. RuntimeError when the pump refuses."""
        answer = self.ask(text)
        if "token=" in answer:
            answer = self.ask(f"commit token={answer.split('token=')[1].split()[0]}")
        if " err " in answer:
            raise RuntimeError(answer)

    def load(self, size_ml: int, step_fl: int, bore_um: int) -> None:
        """Load a full syringe."""
        volume = f"{size_ml}000000"
        self.order(f"prepare_syringe reservoir_nl={volume} step_fl={step_fl} bore_um={bore_um} syringe_nl={volume}")


class Bench(Driver):
    """A pump with a 1 mL syringe, and a host that can only shout."""

    def __init__(self) -> None:
        super().__init__(DirectCore(Plant(for_syringe(SIZE_ML), seed=1), seed=1))
        self.off = MotorOff()
        self.core.listeners.append(self.off)
        self.load(SIZE_ML, STEP_FL, 4_780)
        self.order(f"prepare_settings prime_nl_per_day={TOP_NL_PER_DAY}")
        self.order("prepare_limits reservoir_low_nl=1000 reservoir_empty_nl=0")

    def move(self, what: str) -> None:
        """`basal`: 1.3 mL/day, asleep between steps; `fast`: priming at 2,000 steps/s."""
        if what == "basal":
            self.order("prepare_rate rate_nl_per_day=1300000")
            self.core.run_until(self.core.now_us + 60_000 * US_PER_MS)
        else:
            self.order("prepare_prime volume_nl=400000 disconnected=1")
            self.core.run_until(self.core.now_us + 2_000 * US_PER_MS)

    def time_ms(self, ahead: bytes, stop: bytes, wait_us: int) -> float:
        """Milliseconds from the arrival of `ahead + stop` to EN off."""
        core = self.core
        core.send(b"telemetry period_ms=100\n")
        core.run_until(core.now_us + 300 * US_PER_MS + wait_us)
        began_us = core.now_us
        if core.send(ahead + stop) != len(ahead + stop):
            raise RuntimeError("the buffers were not empty")
        core.run_until(began_us + 1_000 * US_PER_MS)
        if self.off.at_us < began_us:
            raise RuntimeError("the motor was not switched off")
        return (self.off.at_us - began_us) / US_PER_MS


def _ahead(size: int) -> dict[str, bytes]:
    """Kinds of bytes that may lie ahead of a stop; all but the last end a line."""
    return {
        "questions": (b"status\n" * (size // 7 + 1))[-size:],
        "garbage": (b"\xff{}x" * size)[: size - 1] + b"\n",
        "half a line": (b"@99 prepare_rate rate_nl_per_day=" + b"9" * size)[:size],
    }


def worst(size: int) -> tuple[float, str]:
    """Longest time in ms with `size` bytes ahead, and the situation."""
    found = (0.0, "")
    for moving in ("basal", "fast"):
        for name, ahead in _ahead(size).items():
            for stop in (b"\n!\n", b"\nstop\n"):
                for wait_us in WAITS_US[: 5 if size < 300 else 2]:
                    bench = Bench()
                    bench.move(moving)
                    took = bench.time_ms(ahead, stop, wait_us)
                    found = max(found, (took, f"{moving}, {name}, {stop.strip().decode()}"))
    return found


def worst_near() -> tuple[float, str]:
    """Up to 256 bytes ahead."""
    return worst(250)


def worst_far() -> tuple[float, str]:
    """Behind full buffers."""
    return worst(RECEIVE_BYTES - 6)


def worst_in_erase() -> float:
    """Milliseconds when the stop comes while the flash erases a sector (typical time; a few a day once the ring of
    sectors has gone round, and only while the next step is more than 400 ms away)."""
    driver = Driver(DirectCore(Plant(seed=1), seed=1))
    driver.load(30, 231_147_588, 21_700)
    driver.order("prepare_rate rate_nl_per_day=300000")
    core = driver.core
    off = MotorOff()
    core.listeners.append(off)
    erases: list[int] = []
    flash = core.flash_port
    charge = flash.on_operation

    def watch(kind: str, address: int, length: int) -> None:
        if kind == "erase" and not erases:
            erases.append(core.now_us)
            core.send(b"\n!\n")
        if charge is not None:
            charge(kind, address, length)

    flash.on_operation = watch
    for _ in range(ERASE_DAYS_MAX * 24):
        core.run_until(core.now_us + 3_600_000 * US_PER_MS)
        if erases:
            return (off.at_us - erases[0]) / US_PER_MS
    raise RuntimeError(f"no sector was erased in {ERASE_DAYS_MAX} days")
