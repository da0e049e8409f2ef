"""A course of hepatic artery infusion, carried out by `haipump therapy run` at an emulated pump: how fast, how exactly,
and what of it is done twice when the host is killed again and again.

Owns: the measurement, and what it prints. Must not: reach into host tools or firmware; it does what a user can do, and
asks the plant what came.

`make course` runs a course of six 28-day cycles to its end, the same once more with the host killed 50 times at random,
and beside it the core `direct` alone, which delivers the same fills and speaks to nobody.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import haipump
from haipump.quantities import SECONDS_PER_DAY
from haipump.therapy import calendar as cal
from haipump.therapy import course as courses
from haipump_emulator import control
from haipump_emulator.cli.hands import Nurse
from haipump_fw.core.units import FL_PER_NL
from tests.host.direct_line import DirectLine
from tools.demo import start_emulator

KILLS = 50
ALIVE_S = (0.3, 3.0)  # how long a host lives that is killed
PATIENCE_S = 3_600
SPEED_BAR, MINUTES_BAR, DOSE_BAR_PERCENT = 0.8, 12, 0.1
HAIPUMP = (sys.executable, "-c", "from haipump.cli import main; main()")


@dataclass(frozen=True)
class Fill:
    """What the plant's motor did between the start of a fill and the next visit, against what was planned."""

    planned_nl: int
    steps: int
    step_fl: int

    @property
    def off_percent(self) -> float:
        return 100 * (self.steps * self.step_fl / FL_PER_NL / self.planned_nl - 1)

    @property
    def too_many(self) -> int:
        return max(0, self.steps - -(-self.planned_nl * FL_PER_NL // self.step_fl))


@dataclass(frozen=True)
class Course:
    """`days`: by the pump's clock, from the first fill's visit to the end of the last fill."""

    fills: list[Fill]
    planned: int
    days: float
    wall_s: float
    killed: int


def carried_out(cycles: int, kills: int, seed: int) -> Course:
    """One course at a new emulator."""
    with tempfile.TemporaryDirectory(prefix="haipump-course-") as name:
        folder = Path(name)
        file = _course_file(folder, cycles)
        emulator_name = f"course-{os.getpid()}"
        process = start_emulator(
            folder / "pump", folder / "emulator.log", "--core", "direct", "--speed", "max", "--name", emulator_name
        )
        try:
            emulator = control.find(emulator_name)
            began = time.monotonic()
            killed = _run(folder, file, emulator_name, kills, random.Random(seed))
            wall_s = time.monotonic() - began
            end = _now(emulator)
        finally:
            process.terminate()
            process.wait(20)
        loaded = courses.load(file)
        seen = [json.loads(line) for line in (folder / "seen").read_text(encoding="utf-8").splitlines()]
        fills = _fills(loaded, [*seen, {"state": "identify", **end}])
        return Course(
            fills, len(cal.fills(loaded)), (end["sim_us"] - seen[0]["sim_us"]) / 1e6 / SECONDS_PER_DAY, wall_s, killed
        )


def _course_file(folder: Path, cycles: int) -> Path:
    file = folder / "course.toml"
    subprocess.run([*HAIPUMP, "therapy", "new", str(file)], check=True, stdout=subprocess.DEVNULL)
    text, changed = re.subn(r"^cycles = \d+", f"cycles = {cycles}", file.read_text(encoding="utf-8"), flags=re.M)
    assert changed == 1
    file.write_text(text, encoding="utf-8")
    return file


def _run(folder: Path, file: Path, emulator: str, kills: int, rng: random.Random) -> int:
    """`therapy run` until the course is over; how often it was killed on the way."""
    hands = shlex.join([sys.executable, "-m", "tools.measure_course", "--hands", emulator, str(folder / "seen")])
    command = [*HAIPUMP, "--port", str(folder / "pump"), "--yes", "therapy", "run", str(file), str(folder / "course")]
    killed = 0
    while True:
        with (folder / "host.log").open("wb") as log:
            host = subprocess.Popen(
                [*command, "--pump-clock", "--hands", hands],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            try:
                host.wait(rng.uniform(*ALIVE_S) if killed < kills else PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(host.pid, signal.SIGKILL)
                host.wait()
                killed += 1
                continue
        if host.returncode:
            raise SystemExit(f"therapy run ended with {host.returncode}:\n{(folder / 'host.log').read_text()}")
        return killed


def _now(emulator: control.Record) -> dict[str, Any]:
    truth = control.call(emulator, "truth")
    return {"steps": truth["commanded_steps"], "sim_us": truth["sim_us"]}


def _fills(course: courses.Course, seen: list[dict[str, Any]]) -> list[Fill]:
    """From what was seen at each question: a fill begins at `start` and is over when somebody is next identified."""
    planned = [course.pump.labelled_flow_nl_per_day * fill.days for fill in cal.fills(course)]
    step_fl = _step_fl()
    found: list[Fill] = []
    start: int | None = None
    for one in seen:
        if one["state"] == "start":
            start = one["steps"]
        elif one["state"] == "identify" and start is not None:
            found.append(Fill(planned[len(found)], one["steps"] - start, step_fl))
            start = None
    return found


def _step_fl() -> int:
    with haipump.connect(DirectLine()) as pump:
        pump.syringe("30 mL", "30 mL")
        return pump.calibration().step_fl


def alone(cycles: int, moves: bool) -> tuple[float, float]:
    """The same fills by `direct` in one process, with nobody on its line but for the orders: days and wall seconds.
    `moves`: with the withdrawing and priming of the visits between them."""
    line = DirectLine()
    with haipump.connect(line) as pump:
        began, begun_us = time.monotonic(), line.core.now_us
        for fill in range(2 * cycles):
            if moves and fill:
                pump.withdraw("18.69 mL", disconnected=True)
                line.core.run_until(line.core.now_us + 20 * 60_000_000)
            line.core.plant.refill(line.core.now_us, volume_nl=30_000_000)
            pump.syringe("30 mL", "30 mL")
            if moves:
                pump.prime("0.5 mL", disconnected=True)
                line.core.run_until(line.core.now_us + 2 * 60_000_000)
            pump.rate("1.3 mL/day", vtbi="18.2 mL")
            line.core.run_until(line.core.now_us + 14 * SECONDS_PER_DAY * 1_000_000 + 60_000_000)
            assert pump.status().state == "stopped"
            pump.ack()
        return (line.core.now_us - begun_us) / 1e6 / SECONDS_PER_DAY, time.monotonic() - began


def hands(name: str, seen: Path) -> None:
    """The nurse, who writes down what the motor has done when each question is asked."""
    emulator = control.find(name)
    nurse = Nurse(emulator, 100_000, random.Random(os.getpid()), seen.with_name("slip"))
    for line in sys.stdin:
        asked = json.loads(line)
        with seen.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"state": asked["state"], **_now(emulator)}) + "\n")
        print(nurse.answer(asked), flush=True)


def main(
    cycles: Annotated[int, typer.Option(min=1, help="Of 28 days each.")] = 6,
    kills: Annotated[int, typer.Option(min=0)] = KILLS,
    seed: int = 0,
    as_hands: Annotated[tuple[str, Path] | None, typer.Option("--hands", hidden=True)] = None,
) -> None:
    if as_hands is not None:
        return hands(*as_hands)
    console = Console()
    for moves in (False, True):
        days, wall_s = alone(cycles, moves)
        alone_per_s = days / wall_s
        what = "with the visits' moves" if moves else "the infusions only"
        console.print(
            f"direct alone, {what}: {days:.1f} days in {wall_s:.1f} s, {alone_per_s * SECONDS_PER_DAY:,.0f} x real time"
        )
    quiet = carried_out(cycles, 0, seed)
    ratio = quiet.days / quiet.wall_s / alone_per_s
    console.print(
        f"therapy run: {quiet.days:.1f} days in {quiet.wall_s:.1f} s (bar {MINUTES_BAR} min), with"
        f" {len(quiet.fills)} of {quiet.planned} fills: {ratio:.2f} x the speed of direct alone (bar {SPEED_BAR})"
    )
    killed = carried_out(cycles, kills, seed)
    fine = True
    for name, one in (("never killed", quiet), (f"killed {killed.killed} times", killed)):
        worst = max(abs(fill.off_percent) for fill in one.fills)
        twice = sum(fill.too_many for fill in one.fills)
        whole = len(one.fills) == one.planned
        console.print(
            f"{name}: worst fill {worst:.4f} % off plan (bar {DOSE_BAR_PERCENT} %), {twice} steps too many (bar 0),"
            f" {len(one.fills)} of {one.planned} fills in {one.days:.1f} days"
        )
        fine &= whole and worst <= DOSE_BAR_PERCENT and not twice
    if killed.killed < kills:
        console.print(f"the course was over after {killed.killed} of {kills} kills: too few")
    fine &= killed.killed >= kills and ratio >= SPEED_BAR and quiet.wall_s <= 60 * MINUTES_BAR
    raise typer.Exit(0 if fine else 1)


if __name__ == "__main__":
    typer.run(main)
