"""Each edge at the STEP pad against the exact schedule, anchored at the order's first edge: nothing accumulates.

Telemetry flows all the time, memory is collected, and the journal is written by the rules: a page only while enough
motion is queued.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import pytest

from tests.chip.branch import branch
from tests.chip.pump import SYRINGES, US_PER_S, ChipPump
from tests.firmware.exact import oracle

# steps/s, seconds, and seconds of the small sample; the last two climb to their speed in stairs
RATES = (
    (Fraction(1, 10), 600, 21),
    (Fraction(7, 10), 300, 5),
    (Fraction(144, 10), 120, 3),
    (Fraction(999, 10), 60, 2),
    (Fraction(299), 60, 2),
    (Fraction(701), 30, 2),
    (Fraction(2000), 30, 4),
)
BAR_US = 1
# What a host may say in fast motion, and how often
TALK = (b"status\n", b"totals\nsensors\n", b"garbage " * 20 + b"\n", b"log seq=1 count=2\n", b"\n" * 300)
RARE = (
    "prepare_settings kvo_nl_per_day=600000",
    "prepare_limits pause_max_s=90",
    "prepare_prime volume_nl=9 disconnected=1",
)
PAUSES_US = (100_000, 20_000, 3_000)


@dataclass(frozen=True)
class Timing:
    """What was seen of an order: the furthest edge from the schedule, how many edges, and what went on meanwhile."""

    worst_us: Fraction
    edges: int
    telemetry: int
    collections: int
    pages: int


def moments(plan: oracle.Plan, step: Fraction, count: int) -> list[Fraction]:
    """When the plan, from its beginning, has half a step, one and a half, ..."""
    found = []
    for number in range(count):
        volume = step * number + step / 2
        place = bisect_right(plan.volumes, volume) - 1
        found.append(plan.starts[place] + (volume - plan.volumes[place]) / plan.flows[place][0])
    return found


def watch(pump: ChipPump, seconds: float) -> int:
    """A host that asks for the free heap each second. Returns how many collections that shows."""
    heap, collected = 0, 0
    until = pump.now_us + round(seconds * US_PER_S)
    while pump.now_us < until:
        pump.run_us(min(US_PER_S, until - pump.now_us))
        before, heap = heap, int(pump.ask("info", signed=False)["heap_free"])
        collected += before > 0 and heap > before
    return collected


def timing(
    pump: ChipPump, steps_per_s: Fraction, seconds: float, host: Callable[[ChipPump, float], int] = watch
) -> Timing:
    """Give such an order, and follow it for so long."""
    step_fl, _ = SYRINGES[pump.size_ml]
    nl_per_day = int(steps_per_s * step_fl * 86_400 / 1_000_000)
    motor = oracle.Motor(Fraction(step_fl, 1_000_000), 300, 40, 2_000)
    pump.ask("telemetry period_ms=100", signed=False)
    first, written, told = len(pump.steps), pump.core.flash_port.programs, len(pump.transcript)
    pump.order(f"prepare_rate rate_nl_per_day={nl_per_day} override=1")
    collected = host(pump, seconds)
    times = [Fraction(t, 1_000) for t, _ in pump.steps[first:]]
    exact = moments(oracle.rate(nl_per_day, motor), motor.step, len(times))
    worst = max(abs(t - times[0] - (e - exact[0])) for t, e in zip(times, exact, strict=True))
    pump.core.check()
    telemetry = pump.transcript.count(" tele ", told)
    return Timing(worst, len(times), telemetry, collected, pump.core.flash_port.programs - written)


@pytest.mark.parametrize("trial", range(len(RATES)))
def test_every_edge_is_where_the_schedule_has_it(small, part, trial):
    rate, long_s, short_s = RATES[trial]
    for seconds in part((short_s, long_s), 1):
        found = branch(lambda seconds=seconds: timing(small, rate, seconds))
        assert found.worst_us <= BAR_US, found
        assert found.edges > 1 and found.telemetry >= 9 * seconds, found


@pytest.mark.parametrize("pause_us", PAUSES_US)
def test_a_host_that_never_stops_talking_moves_no_edge(small, pause_us):
    """From rest up to 2,000 steps/s and on: the words ahead last 36 ms, a collection takes 25, a full read 13."""

    def talk(pump: ChipPump, seconds: float) -> int:
        for turn in range(round(seconds * US_PER_S) // pause_us):
            pump.core.send(TALK[turn % len(TALK)])
            pump.run_us(pause_us)
        return 0

    found = branch(lambda: timing(small, Fraction(2_000), 4, talk))
    assert found.worst_us <= BAR_US and found.edges > 6_000, found


def test_code_that_is_loaded_for_a_message_moves_no_edge(small):
    """Loading takes 24 ms, and as long as it lasts nobody looks after the motor."""

    def ask(pump: ChipPump, seconds: float) -> int:
        until, turn = pump.now_us + round(seconds * US_PER_S), 0
        while pump.now_us < until:
            answer = pump.ask(RARE[turn % len(RARE)])
            assert "token" in answer or answer["code"] == "state", answer
            turn += 1
        return turn

    found = branch(lambda: timing(small, Fraction(2_000), 4, ask))
    assert found.worst_us <= BAR_US and found.edges > 6_000 and found.collections >= 25, found


def test_a_bolus_leaves_books_edges_and_odometer_the_same(stopped):
    """Basal, a bolus on top of it, a pause in it, and the journal of all of that."""

    def lived() -> int:
        pump = stopped
        pump.order("prepare_rate rate_nl_per_day=1300000")
        pump.run(100)
        pump.order("prepare_bolus volume_nl=20000")
        pump.run(1)
        pump.ask("pause")
        pump.run(1)
        pump.ask("resume")
        pump.run(700)
        pump.ask("stop", signed=False)
        pump.ledger_agrees()
        return len(pump.steps)

    assert branch(lived) > 120
