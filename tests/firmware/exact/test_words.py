"""How many words are ahead at each instant, and what a loop that hangs can still step."""

from __future__ import annotations

import pytest

from haipump_fw import delivery as fw
from haipump_fw.core.profiles import Pieces
from tests.firmware.exact import oracle
from tests.firmware.exact.bench import Bench
from tests.firmware.exact.lives import Life
from tests.firmware.exact.scribe import Text

RING_MAX = 64


def most_words(period_us: int) -> tuple[int, int]:
    """FIFO depth and ring for a step period, as ADR 0006 has them."""
    return min(8, max(1, 25_000 // period_us)), min(RING_MAX, 40_000 // period_us)


def at(steps_per_s: float, **values: int) -> tuple[Bench, int]:
    """A bench that runs at this speed, and its step period."""
    bench = Bench(start_steps_per_s=2_000, **values)
    rate = round(bench.timeline.motor.flow(1) * 86_400_000_000 * round(steps_per_s * 10) / 10)
    begun_us = bench.rate(rate).begun_us
    bench.run_until(begun_us)
    return bench, int(1_000_000 / bench.timeline.motor.speed(bench.timeline.flow(begun_us)))


@pytest.mark.parametrize("steps_per_s", [0.1, 0.7, 1, 5, 24, 39, 41, 100, 320, 333, 1_000, 1_999, 2_000])
def test_words_ahead_follow_the_period(steps_per_s):
    bench, period_us = at(steps_per_s)
    fifo, ring = most_words(period_us)
    seen = set()
    for _ in range(400):
        queued = bench.steps.queued()
        seen.add(queued)
        assert queued <= 1 + fifo + ring
        assert bench.steps.depth == fifo
        bench.run(min(60 / steps_per_s, 1) / 41)  # not in time with the pulses
    assert max(seen) == 1 + fifo + ring, "all of them are used"


@pytest.mark.parametrize("steps_per_s", [0.07, 1, 20])
def test_nearly_all_words_of_slow_basal_come_the_short_way_and_are_booked(steps_per_s):
    bench, _ = at(steps_per_s)
    for _ in range(5):
        bench.run(1_000 / steps_per_s + 0.123)
        bench.delivery.account()
        assert bench.delivery.net_steps == len(bench.steps.seen)
    assert bench.steadily > 0.9 * bench.delivery.handed > 4_000


@pytest.mark.requirement("REQ-X-08")
@pytest.mark.parametrize("steps_per_s", [0.1, 5, 41, 320, 2_000])
def test_a_hung_loop_makes_at_most_the_ring_and_nine_more(steps_per_s):
    bench, period_us = at(steps_per_s)
    _, ring = most_words(period_us)
    bench.run(2 + 3 / steps_per_s)
    made = len(bench.steps.seen)
    bench.steps.pulses_until(bench.now + 3_600_000_000)
    assert len(bench.steps.seen) - made <= ring + 9
    if period_us > 25_000:
        assert len(bench.steps.seen) - made <= 2 + ring, "in slow basal two and the ring"


def test_a_hung_loop_after_a_change_of_speed():
    """The ring holds words of the fast time while the slow time begins, and the other way round."""
    for first, second in ((2_000, 0.2), (0.2, 2_000), (300, 20)):
        bench, _ = at(first)
        bench.run(3)
        life = Life(bench)
        bench.rate(max(life.lowest, int(bench.timeline.motor.flow(1) * 86_400_000_000 * second)))
        made = len(bench.steps.seen)
        bench.steps.pulses_until(bench.now + 3_600_000_000)
        assert len(bench.steps.seen) - made <= RING_MAX + 9


def test_a_bolus_that_ends_leaves_no_more_than_that_ahead():
    bench = Bench()
    bench.rate(1_300_000)
    bench.bolus(500_000, 2)  # stairs, near the motor's limit
    for _ in range(600):
        bench.run(0.005)
        words = [bench.steps.pulse_us - bench.now, *bench.steps.words]
        slow = [word for word in words if word > 100_000]
        assert bench.steps.queued() <= 1 + 8 + RING_MAX
        assert len(slow) <= 2 and sum(words) - sum(slow) <= 65_000


def test_the_fifo_stays_deep_until_the_fast_words_are_gone():
    bench = Bench()
    bench.rate(1_300_000)
    bench.bolus(300_000, 3)
    while bench.delivery.bolus is not None:
        bench.run(0.002)
        fast = sum(1 for word in bench.steps.words if word < 3_000)
        if fast > 2:
            assert bench.steps.depth == 8


def test_words_far_apart_are_not_queued_for_hours():
    """Pieces of less than a step, minutes apart: the interval within them says nothing about when the next step comes,
    and two words of 250 s are all that the tick counter can tell from the past."""
    bench = Bench()
    profile = Pieces()
    plan = oracle.Plan()
    for _ in range(80):
        profile.add(bench.delivery.limits.step_q * 2 // 5, 1_000).add(0, 50_000_000)
        plan.add(1_000, bench.timeline.motor.step * 2 / 5 / 1_000).add(50_000_000, oracle.ZERO)
    bench.start(Text(fw.PROGRAMME, [plan], 1), profile)
    for _ in range(80):
        queued_us = sum(bench.steps.words) + max(0, bench.steps.pulse_us - bench.now) * bool(bench.steps.queued())
        assert queued_us < 1 << 29 and bench.steps.queued() <= 3
        bench.run(50)
    bench.run(60)
    assert bench.timeline.steps == 32 and bench.timeline.worst <= 0


def test_takeup_counts_as_words_too():
    bench = Bench()
    bench.vtbi(1_000_000_000, 20_000, fw.WITHDRAW)
    bench.run(10)
    assert bench.delivery.move is None and bench.delivery.slack == 80
    bench.rate(1_300_000)
    assert bench.delivery.takeup + bench.steps.queued() == 80
    bench.run(1)
    bench.delivery.account()
    assert bench.delivery.takeup == 0 and bench.delivery.slack == 0
    assert bench.steps.seen[-1][1] == 1
