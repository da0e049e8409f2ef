"""The planner by itself: moments of steps, gaps, and to which order each step is booked."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.core import dosing
from haipump_fw.core.dosing import WORD_MAX_US, Order, Planner
from haipump_fw.core.profiles import Pieces
from haipump_fw.core.units import QUANTA_PER_FL, QUANTA_PER_NL

STEP_FL = 231_147_588
STEP_Q = STEP_FL * QUANTA_PER_FL


def running(*orders: Order, t_us: int = 0) -> Planner:
    planner = Planner(STEP_FL)
    for order in orders:
        planner.add(order)
    planner.rebase(t_us, 0)
    return planner


def at_rate(rate: int, number: int = 1, t_us: int = 0) -> Order:
    order = Order(number, 1, 0, rate)
    order.start(t_us, Pieces().add_endless(rate, 1))
    return order


@given(st.integers(50_000, 40_000_000_000), st.integers(0, 10**13))
def test_steps_of_a_rate_come_at_the_nearest_microsecond(rate, t_us):
    planner = running(at_rate(rate, t_us=t_us), t_us=t_us)
    at = t_us
    for n in range(300):
        delay = planner.next_delay()
        exact = t_us + Fraction((2 * n + 1) * STEP_Q, 2 * rate)
        if delay < 0:
            assert exact - at > WORD_MAX_US
            return
        at += delay
        assert abs(at - exact) <= Fraction(1, 2) + Fraction(1, 1000)


def test_a_new_anchor_changes_nothing(monkeypatch):
    moments = []
    for most in (dosing.ANCHOR_STEPS_MAX, 7):
        monkeypatch.setattr(dosing, "ANCHOR_STEPS_MAX", most)
        planner = running(at_rate(777_777_777))
        moments.append([planner.next_delay() for _ in range(100)])
    assert moments[0] == moments[1]


def test_a_step_that_is_far_away_is_not_handed_out_and_next_us_says_when():
    slow = at_rate(30_000)  # 665 s a step
    planner = running(slow)
    assert planner.next_delay() == -1 and planner.period_us == WORD_MAX_US
    assert planner.next_us() == -(-STEP_Q // 60_000)
    planner.rebase(planner.next_us() - 1_000, 0)
    assert planner.next_delay() == 1_000
    assert planner.next_delay() == -1, "the one after it is too far"


def test_a_gap_is_skipped_and_its_end_known():
    order = Order(1, 3, 10 * STEP_Q)
    order.start(0, Pieces().add(STEP_Q, 1_000).add(0, 300_000_000).add(9 * STEP_Q, 9_000))
    planner = running(order)
    assert planner.next_delay() == 500
    assert planner.next_delay() == -1
    assert planner.next_us() == 1_000, "the next change of plan"
    planner.rebase(299_000_000, 0)
    assert planner.next_us() == 300_001_000
    assert planner.next_delay() == 1_001_000 + 500
    assert [planner.next_delay() for _ in range(8)] == [1_000] * 8
    assert planner.next_delay() == -1 and planner.next_us() == 300_010_000, "where the plan ends"
    planner.rebase(300_010_000, 0)
    assert planner.next_us() == -1
    assert running().next_us() == -1


def test_short_pieces_are_skipped_a_bounded_number_at_a_time(monkeypatch):
    monkeypatch.setattr(dosing, "PIECES_MAX", 3)
    order = Order(1, 3, 5)
    profile = Pieces()
    for _ in range(5):
        profile.add(1, 1_000)
    order.start(0, profile)
    assert running(order).next_delay() == -1


def test_undone_steps_are_made_later():
    planner = running(at_rate(1_000_000_000))
    first = [planner.next_delay() for _ in range(5)]
    planner.rebase(first[0] + first[1], 3)
    assert planner.next_delay() == first[2]
    planner.settle(sum(first[:3]), 0)
    assert planner.orders[0].booked == 3


def test_held_orders_plan_nothing_and_go_on_exactly():
    order = at_rate(1_000_000)
    order.hold(5_000)
    assert order.rate_nl_per_day(9_000) == 0 and order.planned_q(9_000) == 5_000_000_000
    assert running(order).next_delay() == -1
    order.release(1_000_000)
    assert order.planned_q(1_000_001) == 5_001_000_000 and order.rate_nl_per_day(1_000_001) == 1_000_000
    assert order.elapsed_us(order.start_us - 1) == 0


def test_the_fraction_of_doses_is_put_aside():
    planner = Planner(STEP_FL)
    planner.restore(123)
    assert planner.park() == 123 and planner.carry_q == 0
    planner.restore(123)
    assert planner.carry_q == 123
    planner.set_step(1_000_000)
    assert planner.carry_q == 0 and planner.step_q == 1_000_000 * QUANTA_PER_FL


@given(
    st.lists(st.integers(0, 30 * STEP_Q), min_size=1, max_size=4),
    st.integers(-(STEP_Q // 2), STEP_Q // 2),
)
def test_every_step_is_booked_to_who_is_owed_most(volumes, carry):
    """All planned at once: whatever the parts, each gets its own to within a step, and every step belongs to one."""
    orders = []
    for i, volume in enumerate(volumes):
        order = Order(i + 1, 4, volume)
        order.start(0, Pieces().add(volume, 1_000_000))
        orders.append(order)
    planner = Planner(STEP_FL)
    planner.restore(carry)
    for order in orders:
        planner.add(order)
    planner.rebase(0, 0)
    made = 0
    while planner.next_delay() >= 0:
        made += 1
    planner.settle(1_000_000, 0)
    assert sum(order.booked for order in orders) == made
    owed = [order.volume_q - order.booked * STEP_Q for order in orders]
    assert max(owed) - min(owed) <= STEP_Q
    assert planner.planned_nl(orders[0], 10**7) == volumes[0] // QUANTA_PER_NL
    for order in orders:
        planner.end(order, 1_000_000, 0)
        assert abs(order.volume_q - order.booked * STEP_Q) <= STEP_Q
        assert abs(planner.carry_q) <= STEP_Q // 2 + 1
    assert sum(volumes) + carry - made * STEP_Q == planner.carry_q


def test_a_step_goes_to_the_one_of_three_that_is_owed_a_little_more():
    thirds = [STEP_Q // 3, STEP_Q // 3 + 1_000, STEP_Q // 3]
    orders = [Order(i + 1, 4, volume) for i, volume in enumerate(thirds)]
    for order, volume in zip(orders, thirds, strict=True):
        order.start(0, Pieces().add(volume, 1_000))
    planner = running(*orders)
    assert planner.next_delay() == 500 and planner.next_delay() == -1
    planner.settle(1_000, 0)
    assert [order.booked for order in orders] == [0, 1, 0]
    running().settle(0, 0)


def test_what_a_fault_left_undone_is_given_up():
    order = at_rate(1_000_000_000)
    planner = running(order)
    planner.end(order, 60_000_000, 0)
    assert planner.carry_q == 0
    planner.add(at_rate(1_000_000_000, 2, 60_000_000))
    planner.rebase(60_000_000, 0)
    assert planner.next_delay() == pytest.approx(STEP_Q / 2_000_000_000, abs=1)
