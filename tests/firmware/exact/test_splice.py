"""Changes of plan while the motor runs fast: no pulse is late, none is missing, and a motor can follow.

Working out a plan takes 15 ms here, more than any change takes on the chip; pulses come meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest

from haipump_emulator.plant.motor import Motor
from haipump_emulator.plant.params import MotorParams, ScrewParams
from haipump_fw import delivery as fw
from haipump_fw.core.profiles import QUANTA_PER_NL
from tests.firmware.exact.bench import Bench
from tests.firmware.exact.lives import Life, draw
from tests.firmware.exact.scribe import LEAD_US, SOON_US
from tests.firmware.exact.test_delivery import check

PLAN_US = 15_000
FAR = (-(1 << 40), 1 << 40)


class Course:
    """A bench that notes the planned speed at each pulse."""

    def __init__(self) -> None:
        self.bench = Bench(plan_us=PLAN_US)
        self.seen: list[tuple[int, Fraction]] = []  # (moment, steps per microsecond that are planned then)
        timeline = self.bench.timeline
        see = timeline.see

        def noted(t_us: int) -> None:
            see(t_us)
            self.seen.append((t_us, timeline.flow(t_us) / timeline.motor.step))

        timeline.see = noted  # pyright: ignore[reportAttributeAccessIssue]

    def rate(self, steps_per_s: int) -> None:
        self.bench.rate(self._nl_per_day(steps_per_s))

    def _nl_per_day(self, steps_per_s: int) -> int:
        return int(self.bench.timeline.motor.flow(steps_per_s) * 86_400_000_000)

    def bolus(self, steps_per_s: int, seconds: int, source: int = fw.BOLUS) -> fw.Order:
        """As fast as this in the mean."""
        return self.bench.bolus(self._nl_per_day(steps_per_s) * seconds // 86_400, seconds, source)

    def judge(self) -> None:
        """Intervals are those that were planned, and a motor loses no step over them."""
        for (before, was), (after, now) in pairwise(self.seen):
            if was and now:
                assert min(1 / was, 1 / now) - 2 <= after - before <= max(1 / was, 1 / now) + 2, (before, after)
        motor = Motor(MotorParams(), ScrewParams())
        motor.enabled = True
        motor.switch(FAR)
        for at, direction in self.bench.steps.seen:
            motor.direction = direction
            motor.pulse(at, 0.0, FAR)
        assert motor.missed == 0
        check(self.bench)


def fast_basal(course: Course) -> None:
    course.rate(2_000)
    course.bench.run(2)


def fast_bolus(course: Course) -> None:
    course.rate(20)
    course.bolus(1_100, 4)
    course.bench.run(2)


def both(course: Course) -> None:
    course.rate(900)
    course.bench.run(1)
    course.bolus(800, 3)
    course.bench.run(1.5)


def slower(course: Course) -> None:
    course.rate(1_000)


def hardly_moving(course: Course) -> None:
    course.rate(1)


def on_top(course: Course) -> None:
    course.bolus(60, 5, fw.EXTENDED if course.bench.delivery.bolus else fw.BOLUS)


def cancel(course: Course) -> None:
    order = course.bench.delivery.bolus
    course.bench.cancel(order or course.bolus(200, 5))


def pause(course: Course) -> None:
    course.bench.pause()


def pause_and_resume(course: Course) -> None:
    course.bench.pause()
    course.bench.run(0.1)
    course.bench.resume()


def two_at_once(course: Course) -> None:
    """The second comes before the first holds."""
    course.bolus(60, 5, fw.EXTENDED)
    course.bench.run(0.003)
    course.bench.pause()


def wait_for_the_end(course: Course) -> None:
    """An order ends by itself, and one that waited for it goes on."""
    if course.bench.delivery.bolus:
        course.bolus(100, 5, fw.EXTENDED)


CHANGES = (slower, hardly_moving, on_top, cancel, pause, pause_and_resume, two_at_once, wait_for_the_end)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("situation", [fast_basal, fast_bolus, both])
@pytest.mark.parametrize("moment", [0.0, 0.0131])
def test_a_change_at_speed_costs_no_gap_and_no_step(
    situation: Callable[[Course], None], change: Callable[[Course], None], moment: float
):
    course = Course()
    situation(course)
    course.bench.run(moment)
    if change is not on_top or situation is not fast_basal:  # the motor is at its limit there
        change(course)
    course.bench.run(5)
    course.bench.stop()
    course.judge()
    assert len(course.seen) > 1_000
    top = max(now for _, now in course.seen)
    assert top > Fraction(1_200, 1_000_000), "it was fast"


def test_a_change_at_speed_holds_from_the_last_word_on_and_halts_nothing():
    bench = Bench()
    Life(bench)._fast(1.0, 0.0)  # the highest rate
    bench.run(2)
    ordered = []
    halt = bench.steps.halt
    bench.steps.halt = lambda: ordered.append("halt") or halt()  # pyright: ignore[reportAttributeAccessIssue]
    last_us = bench.steps.pulse_us + sum(bench.steps.words)
    now = bench.now
    bolus = bench.bolus(1_000, 60)
    assert ordered == []
    assert now + LEAD_US < bolus.begun_us <= now + SOON_US
    assert last_us <= bolus.begun_us <= last_us + 40_000, "words were topped up first"
    bench.run(0.2)
    bench.stop()
    assert ordered == ["halt"]


@pytest.mark.parametrize("steps_per_s", [0, 0.07, 1, 7, 21, 30, 38])
@pytest.mark.parametrize("before_us", [1, 900, 14_000, 19_999, 20_001, 33_000])
def test_at_rest_and_in_slow_motion_no_pulse_is_late_either(steps_per_s: float, before_us: int):
    """Whatever is due while the plan is worked out is on its way; the new plan begins behind it."""
    bench = Bench(plan_us=PLAN_US)
    if steps_per_s:
        bench.rate(int(bench.timeline.motor.flow(1) * 86_400_000_000 * Fraction(steps_per_s)))
        bench.run(3 / steps_per_s)
        bench.run_until(bench.steps.pulse_us - before_us)
    now = bench.now
    order = bench.bolus(50_000, 2)
    assert now + LEAD_US <= order.begun_us <= now + SOON_US
    bench.run(1)
    bench.pause()
    bench.run(1)
    bench.resume()
    bench.run(5)
    bench.stop()
    check(bench)


def test_a_bolus_during_the_take_up_waits_for_its_end():
    bench = Bench(plan_us=PLAN_US)
    bench.vtbi(1_000_000_000, 20_000, fw.WITHDRAW)
    bench.run(10)
    basal = bench.rate(1_300_000)
    bench.run(0.03)
    assert bench.delivery.takeup
    assert bench.bolus(20_000, 10).begun_us == basal.begun_us + 1
    bench.run(20)
    bench.stop()
    check(bench)


def test_a_stop_before_a_change_holds_undoes_it():
    """The order that was to be replaced is settled by its own plan, and the new one has delivered nothing."""
    bench = Bench()
    old = bench.rate(30_000_000_000)
    bench.run(2)
    new = bench.rate(100_000_000)
    bench.run(0.01)
    now = bench.now
    assert now < new.begun_us and old.leaving and old in bench.delivery.planner.orders
    made = len(bench.steps.seen)
    bench.stop()
    assert (new.settled_q, new.booked) == (0, 0)
    assert old.booked == made == bench.timeline.steps
    planned = Fraction(old.settled_q, QUANTA_PER_NL)
    assert abs(planned / bench.timeline.motor.step - made) <= Fraction(501, 1_000)
    assert [closed.number for closed in bench.scribe.closed] == [old.number, new.number]
    bench.rate(1_300_000)
    bench.run(300)
    bench.stop()
    check(bench)


def test_what_is_planned_is_told_for_the_moment_before_a_change_too():
    bench = Bench()
    order = bench.rate(30_000_000_000)
    bench.run(2)
    before = order.planned_q(bench.now)
    bench.pause()
    assert order.planned_q(bench.now) == before
    assert order.planned_q(bench.now + 10_000) > before, "the words on their way are its own"
    assert order.rate_nl_per_day(bench.now) < 30_000_000_000, "what is told of its rate is what was ordered last"


@pytest.mark.parametrize("seed", range(6))
def test_random_lives_are_exact_though_planning_takes_its_time(seed: int):
    rng = random.Random(seed)
    bench = Bench(plan_us=4_000)
    life = Life(bench, steps_max=60)
    for action in draw(rng, 60):
        life.act(action)
    life.finish()
    check(bench)
