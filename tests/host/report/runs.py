"""Runs to report on, recorded from the real firmware on the direct core in virtual time.

Owns: what happens in them. Must not: judge a report.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import haipump
from haipump.client import Pump
from haipump.errors import HaipumpError
from haipump.journal import RunFile
from haipump.programme import daily
from tests.host.report.quick_line import QuickLine

LISTEN_US = 60_000_000  # how long the pump's words wait to be heard
NOTED = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


class Bench:
    """A pump on the bench with a run file that records it; `wait` lets simulated time pass, telemetry recorded."""

    def __init__(self, path: Path, telemetry_s: int = 60) -> None:
        self.line = QuickLine()
        self.pump: Pump = haipump.connect(self.line)
        self.run = RunFile(path, now=self._wall)
        self.telemetry_s = telemetry_s
        self.pump.syringe("30mL", "30mL")
        self.begin()

    def _wall(self) -> datetime.datetime:
        """A computer's clock that goes as fast as the simulated one."""
        return NOTED + datetime.timedelta(microseconds=self.line.core.now_us)

    def begin(self) -> None:
        self.run.note_pump(self.pump)
        if self.telemetry_s:
            self.pump.telemetry(self.telemetry_s)

    def wait(self, seconds: float) -> None:
        core = self.line.core
        end_us = core.now_us + round(seconds * 1e6)
        while core.now_us < end_us:
            core.run_until(min(end_us, core.now_us + LISTEN_US))
            self.listen()

    def listen(self) -> None:
        for event in self.pump.events(timeout_s=0.0):
            self.run.add_event(event)

    def cut_power(self, seconds: float) -> None:
        """Power off and on again, and greet the pump that comes back."""
        core = self.line.core
        core.power(False)
        core.run_until(core.now_us + round(seconds * 1e6))
        core.power(True)
        core.run_until(core.now_us + 2_000_000)
        try:
            self.pump.hello()
        except HaipumpError:
            self.pump.hello()
        self.listen()
        self.begin()

    def close(self, download: bool = True) -> None:
        self.pump.telemetry(0)
        self.listen()
        if download:
            self.run.download(self.pump)
        self.run.close()
        self.pump.close()


def calm(path: Path) -> None:
    """Three days of a programme with a daily bolus, as it should be."""
    bench = Bench(path, telemetry_s=300)
    programme = daily("1.3mL/day", 3, "0.1mL", "8h")
    plan = bench.pump.prepare_programme(programme)
    bench.run.note_programme(programme)
    bench.pump.commit(plan)
    bench.wait(3 * 86_400 + 60)
    bench.close()


def short(path: Path) -> None:
    """Five minutes: a rate and a bolus."""
    bench = Bench(path, telemetry_s=5)
    bench.pump.rate("5mL/day")
    bench.wait(60)
    bench.pump.bolus("0.2mL", within="1min")
    bench.wait(150)
    bench.pump.stop()
    bench.wait(90)
    bench.close()


def rough(path: Path, telemetry_s: int = 60) -> None:
    """A pause, an occlusion, a power cut in mid-delivery, a change of syringe: all that can go wrong in a day."""
    bench = Bench(path, telemetry_s)
    pump, plant = bench.pump, bench.line.core.plant
    pump.rate("4.5mL/day")
    bench.wait(2 * 3_600)
    pump.pause()
    bench.wait(20 * 60)
    pump.resume()
    bench.wait(3_600)
    pump.bolus("0.5mL", over="30min")
    bench.wait(3_600)
    plant.occlude(bench.line.core.now_us)
    bench.wait(4 * 3_600)
    plant.release(bench.line.core.now_us)
    bench.wait(600)
    pump.ack()
    pump.rate("6mL/day")
    bench.wait(2 * 3_600)
    bench.cut_power(900)
    bench.wait(600)
    pump.ack()
    pump.refill_begin()
    pump.syringe("30mL", "20mL")
    pump.refill_end()
    pump.rate("3mL/day", vtbi="0.4mL")
    bench.wait(5 * 3_600)
    bench.close()


def reloaded(path: Path) -> None:
    """A power cut, then two syringes in half an hour, each with something delivered from it."""
    bench = Bench(path, telemetry_s=60)
    pump = bench.pump
    pump.rate("20mL/day")
    bench.wait(1_800)
    bench.cut_power(600)
    pump.ack()
    pump.syringe("30mL", "28mL")
    bench.wait(30)
    for size, rate in (("30mL", "20mL/day"), ("60mL", "5mL/day"), ("30mL", "20mL/day")):
        pump.syringe(size, "20mL")
        pump.rate(rate)
        bench.wait(900)
        pump.stop()
    bench.wait(60)
    bench.close()


RUNS: dict[str, Callable[[Path], None]] = {"calm": calm, "short": short, "rough": rough, "reloaded": reloaded}
