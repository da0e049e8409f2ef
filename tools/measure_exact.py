"""How far steps are from what was ordered: the worst instant, the worst order, and what is left at the end.

Owns: the two runs that are measured. Must not: judge. What was ordered is worked out with fractions from the text of
the orders (tests/firmware/exact/oracle.py), not by the firmware.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from fractions import Fraction

from haipump.programme import daily
from haipump_fw.core.profiles import QUANTA_PER_NL
from tests.firmware.exact.bench import Bench
from tests.firmware.exact.lives import ACTIONS, Life, draw
from tests.firmware.exact.oracle import Timeline
from tests.firmware.exact.pump import Pump

FORTNIGHT_S = 14 * 86_400
ORDERS = 10_000
MIX = ("programme",) * 20 + ACTIONS + ("stop",)
SEED = 1


@dataclass(frozen=True)
class Exactness:
    """In microsteps. `worst_steps`: largest |stepped - planned| at any instant, less 1 us of flow (and less what stairs
    may be off a straight ramp: 1/10,000, or slope x (20 ms)^2 / 8)."""

    worst_steps: float
    worst_order_steps: float
    drift_steps: float
    orders: int
    steps: int


def _exactness(timeline: Timeline, worst_order: Fraction, orders: int) -> Exactness:
    worst = timeline.worst + Fraction(1, 2)
    return Exactness(float(worst), float(worst_order), float(abs(timeline.drift)), orders, timeline.steps)


@functools.cache
def demo_fortnight() -> Exactness:
    """The demo's 14 days on the whole pump: 1.3 mL/day with 0.1 mL a day on top."""
    pump = Pump(SEED)
    answer = pump.programme(daily(rate="1.3mL/day", days=14, daily_bolus="0.1mL", at="8h").wire_text().encode())
    if " ok " not in answer:
        raise RuntimeError(answer)
    pump.run(FORTNIGHT_S + 60)
    pump.command("stop", signed=False)
    closed = pump.scribe.closed[-1]
    stepped = Fraction(pump.scribe.doses.steps) * pump.scribe.motor.step
    return _exactness(pump.scribe.doses, abs(stepped - closed.planned) / pump.scribe.motor.step, 1)


@functools.cache
def random_programmes(orders: int = ORDERS) -> Exactness:
    """So many random orders, most of them programmes, in one life of a delivery on a fake step port."""
    rng = random.Random(SEED)
    bench = Bench(ticks_start_us=(1 << 30) - 65_000_000)
    life = Life(bench, steps_max=12)
    while len(bench.scribe.closed) < orders:
        for action in draw(rng, 100, MIX):
            life.act(action)
    life.finish()
    scribe = bench.scribe
    worst = Fraction(0)
    for closed in scribe.closed:
        stepped = Fraction(bench.orders[closed.number].booked * bench.delivery.planner.step_q, QUANTA_PER_NL)
        worst = max(worst, abs(stepped - closed.planned) / scribe.motor.step)
    return _exactness(scribe.doses, worst, len(scribe.closed))
