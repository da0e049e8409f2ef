"""Stepped against planned volume at every step, over random lives of a delivery on a fake step port.

The bar: never more than half a microstep and one microsecond of flow apart, every order within a microstep at its end,
and nothing left over that grows.
"""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haipump_fw import delivery as fw
from haipump_fw.core.profiles import QUANTA_PER_NL
from tests.firmware.exact.bench import Bench
from tests.firmware.exact.lives import ACTIONS, HANDLING, SYRINGES, Life, draw
from tests.firmware.exact.scribe import LEAD_US

DAY_S = 86_400
TICKS = 1 << 30
PART = st.integers(0, 1000).map(lambda part: part / 1000)
SETTINGS = st.fixed_dictionaries(
    {
        "step_fl": st.sampled_from([step_fl for _, _, step_fl in SYRINGES]),
        "start_steps_per_s": st.sampled_from([100, 300, 301, 800]),
        "accel_steps_per_s2": st.sampled_from([500, 2_000, 7_777]),
        "backlash_steps": st.sampled_from([0, 1, 80]),
    }
)


def check(bench: Bench) -> None:
    """After a life: never off, every order exact, no drift."""
    scribe = bench.scribe
    for timeline in [scribe.doses, *scribe.handled]:
        assert timeline.worst <= 0, f"off by {float(timeline.worst)} microsteps beyond the bar"
        assert abs(timeline.drift) <= Fraction(1, 2) + Fraction(1, 1000) + timeline.bent / timeline.motor.step
    bent = scribe.doses.bent
    for closed in scribe.closed:
        stepped = Fraction(bench.orders[closed.number].booked * bench.delivery.planner.step_q, QUANTA_PER_NL)
        assert abs(stepped - closed.planned) <= scribe.motor.step + bent, f"order {closed.number}: {closed.text}"
    doses = [bench.orders[closed.number].booked for closed in scribe.closed if closed.text.source in fw.DOSE]
    assert sum(doses) == scribe.doses.steps, "every step is booked once"


def lived(actions, *, steps_max: int = 40, **options: int) -> Bench:
    bench = Bench(**options)
    life = Life(bench, steps_max=steps_max)
    for action in actions:
        life.act(action)
    life.finish()
    return bench


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), PART, PART, PART), min_size=2, max_size=10), SETTINGS)
@settings(max_examples=150)
def test_any_orders_in_any_order(actions, options):
    check(lived(actions, **options))


@given(
    st.lists(st.tuples(st.sampled_from((*ACTIONS, *HANDLING, "stop")), PART, PART, PART), min_size=3, max_size=10),
    SETTINGS,
)
@settings(max_examples=80)
def test_also_between_priming_and_withdrawing(actions, options):
    check(lived(actions, steps_max=30, **options))


@pytest.mark.requirement("A17", "R9")
@pytest.mark.parametrize("seed", range(8))
def test_both_wraps_of_the_tick_counter_are_crossed(seed):
    rng = random.Random(seed)
    bench = Bench(ticks_start_us=TICKS - rng.randrange(1, 2_000_000))
    life = Life(bench, steps_max=20)
    for action in draw(rng, 6):
        life.act(action)
        bench.run(TICKS / 1e6 / 4)
    life.finish()
    assert bench.now > TICKS * 3 // 2
    check(bench)


def test_the_slowest_and_the_fastest_rate_of_every_syringe():
    for _, _, step_fl in SYRINGES:
        bench = Bench(step_fl=step_fl)
        life = Life(bench)
        for rate in (50_000 if step_fl < 20_000_000 else life.lowest, life.lowest, life.gentle, life.highest):
            bench.rate(rate)
            bench.run(2_000 if rate <= life.lowest else 3)
        bench.stop()
        assert bench.timeline.steps > 5_000
        check(bench)


@pytest.mark.requirement("GIP-1.2.1", "OP-R5.1(3)")
def test_fourteen_days_of_basal_with_a_daily_bolus():
    bench = Bench(ticks_start_us=TICKS - 65_000_000)
    begun_us = bench.rate(1_300_000).begun_us
    for _ in range(14):
        bench.run(DAY_S / 3)
        bench.bolus(100_000, 42)
        bench.run(DAY_S * 2 / 3)
    bench.run_until(begun_us + 14 * DAY_S * 1_000_000)  # an order holds a little after it was given
    bench.stop()
    assert bench.timeline.finished == 14 * 1_300_000 + 14 * 100_000
    check(bench)


def test_a_thousand_orders_in_one_life_do_not_drift():
    rng = random.Random(2)
    bench = Bench(step_fl=103_206_192)
    life = Life(bench, steps_max=12)
    for action in draw(rng, 1_800):
        life.act(action)
    life.finish()
    assert len(bench.scribe.closed) > 650
    check(bench)


def test_a_dose_in_pulses_of_less_than_a_step():
    """60 nL every 4 minutes: most pulses pass without a step."""
    bench = Bench()
    bench.programme(b"haipump-programme 1\nperiod_s 240\nrepeats 100\nat_end stop\n0 bolus 60 1")
    for _ in range(60):
        bench.run(240)
        assert bench.steps.queued() <= 2
    bench.run(240 * 41)
    assert bench.timeline.steps == 26  # 6000 nL
    check(bench)


@pytest.mark.requirement("GIP-1.4.5/6")
def test_an_immediate_bolus_holds_an_extended_one_which_goes_on_exactly():
    bench = Bench()
    bench.rate(24_000_000)
    extended = bench.bolus(500_000, 3_600, fw.EXTENDED)
    bench.run(600)
    bench.bolus(100_000, 60)
    assert extended.held_us == 600_000_000, "both begin a lead after they were ordered"
    bench.run(59.9)
    assert extended.planned_q(bench.now) == 500_000 * QUANTA_PER_NL * 600 // 3_600
    bench.run(0.2)
    assert extended.end_us == (3_600 + 60) * 1_000_000 + 2 * LEAD_US, "its own lead, and one after the bolus"
    bench.run(3_200)
    assert [closed.text.source for closed in bench.scribe.closed] == [fw.BOLUS, fw.EXTENDED]
    bench.stop()
    check(bench)


def test_what_a_fault_kept_from_being_stepped_is_not_made_up_for():
    bench = Bench()
    bench.rate(1_000_000_000)
    bench.run(1)
    bench.steps.now += 1_000_000  # the loop hangs, and the words run out
    while bench.steps.pulse_us <= bench.now:
        bench.steps.pulses_until(bench.now)
    bench.delivery.feed()
    assert bench.delivery.late
    bench.clock.update()
    bench.delivery.stop(bench.now)
    assert bench.delivery.planner.carry_q == 0
    before = len(bench.steps.seen)
    bench.delivery.late = False
    bench.rate(1_000_000)
    bench.run(100)
    assert len(bench.steps.seen) - before <= 100 * 1_000_000 / 86_400 / 231 + 1


def test_time_between_order_and_first_word_is_not_lost():
    """The clock goes on while the firmware works out the schedule; the first word is shorter by that."""
    bench = Bench()
    late = [1_500]

    def slow(update=bench.clock.update):
        if late and bench.delivery.planner.orders:
            bench.steps.now += late.pop()
        return update()

    bench.clock.update = slow
    bench.rate(400_000_000)
    bench.run(2)
    bench.stop()
    check(bench)


def test_a_first_word_that_comes_too_late_is_caught_up_gently():
    """Planning takes longer than the lead: what is lost by that is made up for a sixteenth at a time."""
    bench = Bench()
    late = [LEAD_US + 9_000]
    plan = bench.delivery.planner.next_delay

    def slow():
        if late:
            bench.steps.now += late.pop()
        return plan()

    bench.delivery.planner.next_delay = slow
    bench.rate(4_000_000_000)  # 200 steps/s
    bench.run(2)
    moments = [t for t, _ in bench.steps.seen]
    gaps = [b - a for a, b in zip(moments, moments[1:], strict=False)]
    period = round(1_000_000 / float(bench.timeline.motor.speed(bench.timeline.flow(bench.now))))
    assert min(gaps) >= period * 15 // 16 - 1, "no jump of more than a sixteenth"
    assert abs(float(bench.timeline.look(bench.now))) < 1.0, "and nothing is left of it"
    assert abs(gaps[-1] - period) <= 1
    assert max(gaps) <= period + 1 and min(gaps) < period * 0.95, "it had to be caught up at all"
