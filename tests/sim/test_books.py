"""The books: what was ordered bounds what may move, from above and from below."""

from __future__ import annotations

import pytest

from haipump_emulator.campaign.books import BASAL, BOLUS, DAY_US, Books, Flow, Pulse, pulsed, stairs, steady
from haipump_emulator.campaign.violation import Violation

SECOND = 1_000_000
STEP_NL = 100.0
RATE = 8_640_000.0  # nL/day: a step a second


def books() -> Books:
    """An order of a step a second, begun at 0."""
    made = Books(STEP_NL)
    made.sent(0, Flow(1, BASAL, steady(RATE)))
    made.motor(0, True)
    made.begun(0, 1)
    return made


def step(of: Books, first_s: int, last_s: int) -> None:
    for second in range(first_s, last_s):
        of.edge(second * SECOND, 1)


def test_what_is_ordered_may_move():
    of = books()
    step(of, 0, 100)
    of.check(100 * SECOND)
    assert of.bounds()[1] == pytest.approx(100 * STEP_NL)


@pytest.mark.parametrize(("steps", "kind"), [(104, "over_delivery"), (96, "under_delivery")])
def test_more_or_less_is_found(steps, kind):
    of = books()
    step(of, 0, steps)
    with pytest.raises(Violation) as found:
        of.check(100 * SECOND)
    assert found.value.kind == kind


def test_what_was_not_delivered_is_not_owed_later():
    of = books()
    of.forget_low(0)
    of.motor(100 * SECOND, False)
    of.sent(200 * SECOND, Flow(2, BASAL, steady(RATE)))
    of.motor(200 * SECOND, True)
    of.begun(200 * SECOND, 2)
    step(of, 200, 214)
    with pytest.raises(Violation, match="over_delivery"):
        of.check(210 * SECOND)


@pytest.mark.parametrize("event", ["close", "motor"])
def test_nothing_moves_after_a_reset_or_a_stop(event):
    of = books()
    of.close(SECOND) if event == "close" else of.motor(SECOND, False)
    if event == "motor":
        of.edge(SECOND + 100, 1)  # on its way to a driver that is off already
    with pytest.raises(Violation, match="nothing is ordered"):
        of.edge(SECOND + 101, 1)


def test_the_motor_gets_no_current_without_an_order():
    with pytest.raises(Violation, match="motor_on"):
        Books(STEP_NL).motor(0, True)


def test_a_step_back_needs_an_order_that_pulls():
    of = books()
    with pytest.raises(Violation, match="backwards"):
        of.edge(SECOND, -1)
    of.handling = True
    of.edge(SECOND, -1)


def test_in_doubt_counts_above_and_not_below():
    of = books()
    of.sent(0, Flow(2, BOLUS, steady(RATE, 1_000.0), 10.0 * SECOND))
    step(of, 0, 100)
    of.check(100 * SECOND)
    step(of, 0, 10)
    of.check(100 * SECOND)
    of.refused(100 * SECOND, 2)
    with pytest.raises(Violation, match="over_delivery"):
        of.check(100 * SECOND)


def test_a_pause_stops_the_clock_of_all_orders():
    of = books()
    step(of, 0, 10)
    of.holding(10 * SECOND)
    of.held(10 * SECOND)
    of.check(1_000 * SECOND)
    of.going(1_000 * SECOND)
    of.went(1_000 * SECOND)
    step(of, 1_000, 1_010)
    of.check(1_010 * SECOND)
    step(of, 1_000, 1_005)
    with pytest.raises(Violation, match="over_delivery"):
        of.check(1_010 * SECOND)


@pytest.mark.parametrize(("made", "wrong"), [(970, "under_delivery"), (980, ""), (1_020, ""), (1_030, "over_delivery")])
def test_a_clock_that_is_off_may_be_slow_or_fast_by_as_much(made, wrong):
    of = books()
    of.pace = 1.02
    step(of, 0, made)
    if not wrong:
        of.check(1_000 * SECOND)
        return
    with pytest.raises(Violation, match=wrong):
        of.check(1_000 * SECOND)


def test_a_new_rate_replaces_the_old_one():
    of = books()
    of.sent(10 * SECOND, Flow(2, BASAL, steady(RATE * 2)))
    of.begun(10 * SECOND, 2)
    assert list(of.flows) == [2]
    step(of, 0, 10 + 2 * 10)
    of.check(20 * SECOND)


def test_volumes_over_time():
    assert steady(86_400.0, 10.0, 43_200.0)(12e6) == pytest.approx(11.0)
    assert stairs([(10e6, 86_400.0), (10e6, 0.0)], 86_400.0)(25e6) == pytest.approx(15.0)
    assert steady(86_400.0)(DAY_US) == pytest.approx(86_400.0)


def test_the_boluses_of_a_programme_come_on_top():
    total = pulsed(steady(RATE), [Pulse(10e6, 4e6, 1_000.0), Pulse(20e6, 1e6, 500.0)])
    assert [total(each * 1e6) for each in (0, 10, 12, 14, 20, 21, 30)] == pytest.approx(
        [0, 1_000, 1_700, 2_400, 3_000, 3_600, 4_500]
    )
