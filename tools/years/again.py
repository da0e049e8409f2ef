"""A part of one fill once more on two cores from the same checkpoint: the visit, then so many hours of delivery.

Owns: the two runs, and what is compared. Must not: leave anything behind: it works on copies of the checkpoint.

What happens in that fill by chance is left out, and the quartz is right: the emulated chip's is, and what is compared
is what the two cores make of the same orders. A difference of the visit's moves or of any step of the delivery is told.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from dataclasses import dataclass
from typing import Any

import haipump
from haipump_emulator import cores
from tools.years import fortnight, rates
from tools.years.state import Folder

SAME_US = 2  # each core rounds the first step, from which the others are counted, to a microsecond of its own
SCRATCH = "again"


class Enough(Exception):
    """The part is over."""


@dataclass
class Run:
    """What one core did: pulses of the visit, signed and in either direction; times of the steps of the delivery, us
    from its first, and how many there were in all; the pump's ledger of them."""

    core: str
    visit_net: int
    visit_made: int
    steps: list[int]
    count: int
    stepped_nl: int
    wall_s: float


class Ears:
    """Listens to the motor's steps. What the self test sends to a driver that is off is none."""

    def __init__(self) -> None:
        self.on = False
        self.net = self.made = 0
        self.times: list[int] = []
        self.delivering = False

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name == "enable":
            self.on = bool(fields["on"])

    def on_step(self, t_us: int, direction: int) -> None:
        if self.delivering:
            self.times.append(t_us)
        elif self.on:
            self.net += direction
            self.made += 1


def play(world: fortnight.World, folder: Folder, number: int, hours: float, kind: cores.Kind) -> Run:
    """Fill `number` on that core, until `hours` of its delivery are over. Raises CoreError without an image, and
    FileNotFoundError when the checkpoint has gone."""
    began = time.monotonic()
    recipe = cores.choose(kind)
    ears, cored = Ears(), []

    def make(plant: Any, **options: Any) -> Any:
        core = recipe.make(plant, **options)
        core.listeners.append(ears)
        cored.append(core)
        return core

    quiet = dataclasses.replace(world, draw=lambda fill, days: rates.Events(), make_core=make, ppm=0)
    state = folder.load(number - 1) if number > 1 else quiet.new_state({})
    place = folder.path / SCRATCH
    fill = fortnight.Fortnight(quiet, state, folder.begin_again(state, place))
    starts = fill.nurse.starts

    def started() -> None:
        starts()
        ears.delivering = True
        fill.line.at(fill.core.now_us + round(hours * rates.HOUR_US), _enough)

    fill.nurse.starts = started
    with contextlib.suppress(Enough):
        fill.run()
    with haipump.connect(fill.line) as pump:
        stepped_nl = pump.totals().stepped_nl
    shutil.rmtree(place, ignore_errors=True)
    first, count = ears.times[0], len(ears.times)
    times = [at - first for at in ears.times if at - first < (hours * 3_600 - 60) * rates.US_PER_S]
    return Run(kind, ears.net, ears.made, times, count, stepped_nl, time.monotonic() - began)


def _enough() -> None:
    raise Enough


def differences(one: Run, other: Run, step_fl: int) -> list[str]:
    """What the two cores did otherwise, in words; empty when it is the same."""
    found = []
    if (one.visit_net, one.visit_made) != (other.visit_net, other.visit_made):
        found.append(
            f"in the visit {one.visit_made:,} pulses, {one.visit_net:+,} net, and {other.visit_made:,},"
            f" {other.visit_net:+,}"
        )
    if len(one.steps) != len(other.steps):
        found.append(f"{len(one.steps):,} and {len(other.steps):,} steps of the delivery")
    first = next(
        (n for n, pair in enumerate(zip(one.steps, other.steps, strict=False)) if off_us(*pair) > SAME_US), None
    )
    if first is not None:
        found.append(f"step {first} of the delivery is {off_us(one.steps[first], other.steps[first]):,} us apart")
    for run in (one, other):
        off_nl = run.stepped_nl - run.count * step_fl / 1_000_000
        if abs(off_nl) > 2 * step_fl / 1_000_000:
            found.append(f"the ledger on {run.core} is {off_nl:+,.0f} nL off its steps")
    return found


def off_us(one: int, other: int) -> int:
    return abs(one - other)
