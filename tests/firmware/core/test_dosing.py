"""The planner by itself: moments of steps, gaps, and to which order each step is booked."""

from __future__ import annotations

import random
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


@pytest.mark.requirement("GIP-1.1.5", "OP-R5.1(3)")
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


@given(st.integers(1_000_000, 40_000_000_000), st.lists(st.integers(0, 16), min_size=1, max_size=30))
def test_steps_in_rows_are_those_that_come_one_by_one(rate, counts):
    one_by_one, in_rows = running(at_rate(rate)), running(at_rate(rate))
    words = [0] * 16
    found: list[int] = []
    for count in counts:
        taken = in_rows.next_delays(words, count)
        assert taken == (count if found else 0), "the first one needs an anchor"
        assert in_rows.row_us == sum(words[:taken])
        found += words[:taken] or [in_rows.next_delay()]
    assert found == [one_by_one.next_delay() for _ in found]
    assert (in_rows.queued, in_rows.next_us()) == (one_by_one.queued, one_by_one.next_us())


def test_a_row_ends_with_its_interval():
    order = Order(1, 4, 7 * STEP_Q)
    order.start(0, Pieces().add(7 * STEP_Q, 7_000))
    planner = running(order)
    assert planner.left == 0, "the first one needs an anchor"
    assert planner.next_delay() == 500
    assert planner.left == 6
    assert planner.next_delays([0] * 16, 16) == 6
    assert planner.left == 0
    assert planner.next_delays([0] * 16, 16) == 0
    assert planner.next_delay() == -1


def test_a_step_half_a_microsecond_from_two_comes_at_the_later_one():
    for in_rows in (False, True):
        order = Order(1, 4, 8 * STEP_Q)
        order.start(0, Pieces().add(8 * STEP_Q, 8_004))
        planner = Planner(STEP_FL)
        planner.restore(STEP_Q // 2)
        planner.add(order)
        planner.rebase(0, 0)
        words = [0, 0]
        assert planner.next_delay() == 0
        assert not in_rows or planner.next_delays(words, 2) == 2
        assert (words if in_rows else [planner.next_delay(), planner.next_delay()]) == [1_001, 1_000]
    order = Order(1, 4, STEP_Q)
    order.start(0, Pieces().add(STEP_Q, 2_001))
    assert running(order).next_delay() == 1_001


def test_a_step_that_is_due_when_the_plan_ends_is_made():
    order = Order(1, 4, STEP_Q // 2)
    order.start(0, Pieces().add(STEP_Q // 2, 1_000))
    assert running(order).next_delay() == 1_000


def test_an_order_tells_its_flow_and_its_end():
    endless = at_rate(777, t_us=50)
    assert (endless.end_us, endless.fastest, endless.pace(), endless.leaving) == (-1, 777, 777, False)
    assert (endless.coasting, endless.cancelled, endless.result, endless.top, endless.unseen_from) == (0, 0, 0, 0, 0)
    parts = Order(1, 3)
    parts.start(50, Pieces().add(10, 3), Pieces().add(10, 7), Pieces().add(10, 5))
    assert (parts.end_us, parts.pace()) == (57, 0)
    assert Fraction(*parts.flow(51)) == Fraction(10, 3) + Fraction(10, 7) + Fraction(10, 5)
    parts.start(60, Pieces().add(10, 3), Pieces().add_endless(1, 1))
    assert parts.end_us == -1


def test_an_order_that_is_held_at_its_beginning_plans_nothing():
    order = at_rate(1_000_000)
    order.hold(0)
    assert (order.rate_nl_per_day(9_000), order.elapsed_us(9_000), order.planned_q(9_000)) == (0, 0, 0)


def test_a_new_anchor_changes_nothing(monkeypatch):
    moments = []
    for most in (dosing.ANCHOR_STEPS_MAX, 7):
        monkeypatch.setattr(dosing, "ANCHOR_STEPS_MAX", most)
        planner = running(at_rate(777_777_777))
        moments.append([planner.next_delay() for _ in range(100)])
        assert planner.anchors == -(-100 // most)
    assert moments[0] == moments[1]


def test_whether_a_step_comes_before_the_flow_changes():
    order = Order(1, 3, 3 * STEP_Q)
    order.start(0, Pieces().add(3 * STEP_Q, 3_000_000))
    planner = running(order)
    for _ in range(3):
        assert planner.step_comes()
        assert planner.next_delay() > 0
    assert not planner.step_comes()


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


HAIR = Fraction(501, 1_000)  # of a microsecond: a step comes at the nearest one


class Sum:
    """Orders that come, are held, go on and end at splices; what they plan in all, exactly."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.planner = running()
        self.at_us = self.made = 0
        self.carry_q = self.rng.randrange(-STEP_Q // 2, STEP_Q // 2)
        self.planner.restore(self.carry_q)
        self.gone = Fraction(self.carry_q)  # of orders that have ended
        self.orders: list[tuple[Order, list[int]]] = []  # with the moments at which it began, was held, went on, ...

    def planned(self, t_us: Fraction) -> Fraction:
        return self.gone + sum(self._of(order, flips, t_us) for order, flips in self.orders)

    def _of(self, order: Order, flips: list[int], t_us: Fraction) -> Fraction:
        ran = sum((min(t_us, end) - begin for begin, end in self._runs(flips) if t_us > begin), Fraction(0))
        total = Fraction(0)
        for profile in order.profiles:
            whole, num, den, run, _ = profile.at(int(ran))
            total += whole + (run + ran - int(ran)) * Fraction(num, den)
        return total

    @staticmethod
    def _runs(flips: list[int]) -> list[tuple[int, int]]:
        return list(zip(flips[::2], [*flips[1::2], 1 << 62], strict=False))

    def change(self) -> None:
        t_us = self.planner.splice()
        rng = self.rng
        if len(self.orders) < 4 and rng.randrange(3):
            order = Order(len(self.orders) + 1, 4)
            order.start(t_us, *[self.profile() for _ in range(rng.randrange(1, 3))])
            self.planner.add(order)
            self.orders.append((order, [t_us]))
        elif self.orders:
            order, flips = rng.choice(self.orders)
            if len(flips) % 2:
                order.hold(t_us)
            else:
                order.release(t_us)
            flips.append(t_us)

    def profile(self) -> Pieces:
        pieces, rng = Pieces(), self.rng
        for _ in range(rng.randrange(1, 6)):
            pieces.add(rng.choice([0, rng.randrange(1, 5 * STEP_Q)]), rng.randrange(1, 40_000_000))
        return pieces.add_endless(rng.randrange(1, 10**9), rng.choice([1, 7])) if rng.randrange(3) == 0 else pieces

    def step(self) -> bool:
        planner = self.planner
        comes = planner.step_comes()
        next_us = planner.next_us()
        delay = planner.next_delay()
        if delay < 0:
            assert self.planned(Fraction(self.at_us + WORD_MAX_US)) <= (self.made + Fraction(1, 2)) * STEP_Q
            return False
        self.at_us += delay
        self.made += 1
        due_q = (self.made - Fraction(1, 2)) * STEP_Q
        assert self.planned(self.at_us - HAIR) <= due_q <= self.planned(self.at_us + HAIR)
        assert abs(next_us - self.at_us) <= 1 if comes else next_us <= self.at_us + 1, (next_us, self.at_us, comes)
        return True

    def settle(self) -> None:
        self.planner.settle(self.at_us, 0)
        owed = []
        for order, flips in self.orders:
            planned = self._of(order, flips, Fraction(self.at_us))
            assert abs(order.planned_q(self.at_us) - planned) <= 2, "one quantum for each profile"
            runs = len(flips) % 2 and self.at_us >= flips[-1]
            flows = [profile.at(order.elapsed_us(self.at_us))[1:3] for profile in order.profiles if runs]
            if len(flips) % 2 == 0 or runs:
                assert Fraction(*order.flow(self.at_us)) == sum((Fraction(*flow) for flow in flows), Fraction(0))
            owed.append(planned - order.booked * STEP_Q)
        assert sum(order.booked for order, _ in self.orders) == self.made
        assert not owed or max(owed) - min(owed) <= STEP_Q + 9


@pytest.mark.parametrize("seed", range(60))
def test_steps_of_any_orders_come_where_their_sum_passes_half_a_step(seed):
    life = Sum(seed)
    for _ in range(12):
        life.change()
        for _ in range(life.rng.randrange(6)):
            if not life.step():
                break
        if life.orders:
            life.settle()


def test_held_orders_plan_nothing_and_go_on_exactly():
    order = at_rate(1_000_000)
    order.hold(5_000)
    assert order.rate_nl_per_day(9_000) == 0 and order.planned_q(9_000) == 5_000_000_000 and order.end_us == -1
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


@given(
    st.lists(st.integers(0, 300_000_000), min_size=1, max_size=4), st.integers(0, 40), st.integers(0, 10**7), st.data()
)
def test_no_order_has_less_than_nothing_whatever_steps_were_made(rates, made, t_us, data):
    """A motor that starved left steps out; one that is read after the plan has made some more."""
    orders = [at_rate(max(1, rate), number) for number, rate in enumerate(rates, 1)]
    planner = running(*orders)
    early = data.draw(st.integers(0, made))
    for at_us, count in ((t_us // 2, early), (t_us, made - early)):
        planner.queued = count
        planner.settle(at_us, 0)
        owed = [order.planned_q(at_us) - order.booked * STEP_Q for order in orders]
        given_up = [owed[i] for i, order in enumerate(orders) if order.booked]
        assert not given_up or max(owed) - min(given_up) <= STEP_Q, "no step is better booked elsewhere"
    for order in data.draw(st.permutations(orders)):
        planner.end(order, t_us, 0)
        assert min(order.booked for order in orders) >= 0
        assert sum(order.booked for order in orders) == made


def test_steps_in_flight_are_booked_once_they_are_made():
    planner = running(at_rate(1_000_000_000))
    for _ in range(10):
        planner.next_delay()
    booked = []
    for in_flight in (3, 1, 0):
        planner.settle(0, in_flight)
        booked.append(planner.orders[0].booked)
    assert booked == [7, 9, 10]


@pytest.mark.parametrize("idle", [0, 1])
def test_steps_that_were_left_out_are_left_out_of_all_alike(idle):
    orders = []
    volumes = [10 * STEP_Q, 10 * STEP_Q + 1_000]
    volumes.insert(idle, 0)
    for number, volume in enumerate(volumes):
        order = Order(number, 4, volume)
        order.start(0, Pieces().add(volume, 1_000))
        orders.append(order)
    planner = running(*orders)
    planner.queued = 5
    planner.settle(1_000, 0)
    assert [order.booked for order in orders] == ([0, 2, 3] if idle == 0 else [2, 0, 3])


def test_a_whole_step_is_carried_and_no_more():
    for more in (0, 1):
        order = Order(1, 4, STEP_Q + more)
        order.start(0, Pieces().add(STEP_Q + more, 1_000))
        planner = running(order)
        planner.end(order, 1_000, 0)
        assert planner.carry_q == (0 if more else STEP_Q)


def test_what_a_fault_left_undone_is_given_up():
    order = at_rate(1_000_000_000)
    planner = running(order)
    planner.end(order, 60_000_000, 0)
    assert planner.carry_q == 0
    planner.add(at_rate(1_000_000_000, 2, 60_000_000))
    planner.rebase(60_000_000, 0)
    assert planner.next_delay() == pytest.approx(STEP_Q / 2_000_000_000, abs=1)


def test_a_change_that_is_still_to_come_does_not_change_what_is_planned_until_then():
    order = at_rate(1_000_000)
    order.hold(9_000)
    order.release(20_000)
    order.start(30_000, Pieces().add(7_000_000, 1_000))
    assert [order.planned_q(t) for t in (5_000, 9_000, 20_000, 20_001)] == [
        5 * 10**9,
        9 * 10**9,
        9 * 10**9,
        9_001 * 10**6,
    ]
    assert order.planned_q(31_000) == 19 * 10**9 + 7_000_000
    order.forget(20_000)
    assert order.planned_q(25_000) == 14 * 10**9, "what held then is kept"
    order.leave(30_500)
    assert (order.leaving, order.end_us, order.planned_q(40_000)) == (True, 30_500, 19 * 10**9 + 3_500_000)
    assert order.planned_q(30_250) == 19 * 10**9 + 1_750_000


def test_each_of_many_changes_is_remembered():
    order = at_rate(1_000_000)
    for t_us in (1_000, 30_000, 40_000):
        order.start(t_us, Pieces().add_endless(1_000_000 + t_us, 1))
    was = 10**9 + 29_000 * 1_001_000
    assert order.planned_q(30_000) == was
    assert order.planned_q(35_000) == was + 5_000 * 1_030_000
    assert order.planned_q(41_000) == was + 10_000 * 1_030_000 + 1_000 * 1_040_000


def test_changes_at_one_moment_are_one():
    order = at_rate(1_000_000)
    order.start(5_000, Pieces().add(1_000_000, 1_000))
    order.hold(5_000)
    assert order.planned_q(4_000) == 4 * 10**9
    assert order.planned_q(9_000) == 5 * 10**9


def test_an_order_that_is_stopped_before_a_change_holds_never_saw_it():
    order = at_rate(1_000_000)
    order.leave(9_000)
    assert order.fold(4_000) == 4 * 10**9
    assert order.planned_q(5_000) == order.planned_q(10_000) == 4 * 10**9


def test_what_an_order_planned_before_its_change_is_owed_whatever_runs_beside():
    beside = Order(2, 3)
    beside.start(0, Pieces().add_endless(3_000_000_000, 7))
    order = at_rate(1_000_000_000)
    planner = running(beside, order)
    at = sum(planner.next_delay() for _ in range(5))
    order.start(planner.splice(), Pieces().add(7 * STEP_Q, 70_001))

    def planned(t_us: Fraction) -> Fraction:
        whole, num, den, run, _ = order.profiles[0].at(int(t_us - order.start_us))
        own = order.settled_q + whole + (run + t_us - int(t_us)) * Fraction(num, den)
        return own + t_us * Fraction(3_000_000_000, 7)

    for made in range(6, 12):
        at += planner.next_delay()
        assert planned(at - HAIR) <= (made - Fraction(1, 2)) * STEP_Q <= planned(at + HAIR) + 2


def test_behind_a_splice_steps_follow_the_new_orders_and_no_time_is_lost():
    planner = running(at_rate(1_000_000_000))
    assert planner.splice() == 1, "at the beginning, nothing was handed out"
    delays = [planner.next_delay() for _ in range(5)]
    t_us = planner.splice()
    assert t_us == sum(delays) + 1 == planner.splice(), "a microsecond behind the last step"
    planner.add(at_rate(3_000_000_000, 2, t_us))
    more = [planner.next_delay() for _ in range(400)]
    assert more[0] == pytest.approx(STEP_Q / 4_000_000_000, abs=2)
    at = sum(delays) + sum(more)
    planned = sum(order.planned_q(at) for order in planner.orders)
    assert abs(planned - 405 * STEP_Q + STEP_Q // 2) <= 4_000_000_000, "half a step is over, to a microsecond"
    planner.settle(at, 0)
    assert sum(order.booked for order in planner.orders) == 405


def test_after_a_splice_the_next_step_is_looked_for_behind_it():
    order = at_rate(30_000)  # 665 s a step
    planner = running(order)
    order.leave(planner.splice())
    planner.add(at_rate(60_000, 2, 1))
    assert planner.next_us() == 1 + -(-(STEP_Q - 60_000) // 120_000)
