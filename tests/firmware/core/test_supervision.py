"""What the sensors say against what was commanded: thresholds, wraps, and when nothing may be said."""

import math
import random

import pytest

from haipump_fw.core import options
from haipump_fw.core.supervision import (
    AHEAD_US,
    ANCHOR_STEPS,
    ANCHORS,
    DRIFT_STEPS,
    FLOW_NOISE_STEPS,
    FROZEN_SAMPLES,
    NEAR_400THS,
    ODOMETER_SLACK,
    RAW_ALIVE_MAX,
    RAW_ALIVE_MIN,
    Supervision,
    limit_raw,
)

VALUES = options.defaults()
TURN = int(VALUES["steps_per_turn"])
NEAR = NEAR_400THS * TURN // 400
TICKS = 1 << 30


def angle(steps: int) -> int:
    """What the encoder reads at so many steps; looking at it costs up to a step (12 bits to a turn)."""
    return -(-steps * 65_536 // TURN) % 65_536


def referred(expected: int = 0, odometer: int = 0, steps: int = 1_000) -> Supervision:
    watch = Supervision(VALUES)
    watch.reference(angle(steps), expected, odometer, 0, 0)
    return watch


def raw(pa: int) -> int:
    return VALUES["pressure_zero_raw"] + pa * VALUES["pressure_span_raw"] // VALUES["pressure_full_pa"]


def test_pressure_in_pascal():
    watch = Supervision(VALUES)
    for pa in (-2_000, 0, 13_000, 69_000, 100_000):
        watch.pressure(raw(pa))
        assert abs(watch.pressure_pa() - pa) <= 2


def test_one_spike_is_no_occlusion_and_two_readings_are():
    watch = Supervision(VALUES)
    assert limit_raw(VALUES) == raw(VALUES["occlusion_pa"])
    assert not watch.pressure(raw(69_000) + 1)
    assert not watch.pressure(raw(69_000)), "at the limit is not above it"
    assert not watch.pressure(raw(69_000) + 1)
    assert watch.pressure(raw(69_000) + 1)


def test_it_is_over_below_four_fifths():
    watch = Supervision(VALUES)
    watch.pressure(raw(55_200))
    assert not watch.pressure_fell()
    watch.pressure(raw(55_200) - 1)
    assert watch.pressure_fell()


@pytest.mark.parametrize("dead", [0, RAW_ALIVE_MIN - 1, RAW_ALIVE_MAX + 1, 65_535])
def test_a_reading_at_the_end_of_the_range_is_no_reading(dead):
    watch = Supervision(VALUES)
    watch.pressure(dead)
    assert not watch.sensor_dead
    watch.pressure(dead)
    assert watch.sensor_dead
    for alive in (RAW_ALIVE_MIN, RAW_ALIVE_MAX):
        watch.pressure(alive)
        assert not watch.sensor_dead
        watch.pressure(dead)
        assert not watch.sensor_dead, "one is none"


@pytest.mark.parametrize("steps_per_turn", [200, 3_200, 102_400])
def test_the_shaft_is_followed_over_turns_both_ways(steps_per_turn):
    watch = Supervision({**VALUES, "steps_per_turn": steps_per_turn})
    rng = random.Random(steps_per_turn)
    at = start = 60_000
    watch.reference(at, 1_000, 0, 0, 0)
    assert watch.missing(1_000) == 0
    for _ in range(500):
        at += rng.randrange(-32_000, 32_000) + rng.choice((0, 900))
        true = (at - start) * steps_per_turn / 65_536
        assert not watch.shaft(at % 65_536, 1_000 + round(true))
        assert abs(watch.confirmed_steps - true) <= steps_per_turn / 4_096 + 1
        assert watch.missing(1_000 + round(true)) == 0
        for lost in (-2, 1, 3):  # electrical cycles
            cycle = steps_per_turn * 4 // 200
            assert watch.missing(1_000 + round(true) + lost * cycle + cycle // 4 - 1) == lost * cycle
            assert watch.missing(1_000 + round(true) + lost * cycle - cycle // 4 + 1) == lost * cycle


@pytest.mark.parametrize("sign", [1, -1])
def test_a_stall_is_more_than_four_full_steps(sign):
    watch = referred()
    full = TURN // 200
    assert not watch.shaft(angle(1_000), sign * 4 * full)
    assert watch.shaft(angle(1_000), sign * (4 * full + 1)) == "motor_stall"
    watch.forget_shaft()
    assert not watch.shaft(0, 10**6) and watch.missing(10**6) == 0, "with the motor off there is nothing to compare"


@pytest.mark.parametrize("start", [0, (1 << 29) - 1, 1 << 28])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_odometer_may_be_three_edges_off_and_wraps(start, sign):
    watch = Supervision(VALUES)
    assert not watch.odometer(123, 0)
    watch.reference(0, 50, start, 0, 0)
    for ahead in (0, 10**6):
        count = (start + sign * ahead) % (1 << 29)
        expected = 50 + sign * ahead
        assert not watch.odometer((count + ODOMETER_SLACK) % (1 << 29), expected)
        assert not watch.odometer((count - ODOMETER_SLACK) % (1 << 29), expected)
        assert watch.odometer((count + ODOMETER_SLACK + 1) % (1 << 29), expected)
        assert watch.odometer((count - ODOMETER_SLACK - 1) % (1 << 29), expected)


MORE, BACK = "over_infusion", "reverse_delivery"


@pytest.mark.requirement("GIP-1.8.1", "A22", "GIP-1.2.2")
@pytest.mark.parametrize(("sign", "more", "back"), [(1, MORE, BACK), (-1, BACK, MORE)])
def test_a_shaft_that_goes_further_or_the_other_way_is_seen_within_half_a_full_step(sign, more, back):
    for gain, name, within in ((2, more, NEAR + 2), (-1, back, NEAR + 2), (0, "motor_stall", 4 * TURN // 200 + 2)):
        watch = referred()
        ordered = at = 0
        for _ in range(40):  # a healthy way first
            ordered += sign
            at += sign
            assert watch.shaft(angle(1_000 + at), ordered) is None
        found, made = None, 0
        while not found and made < 200:
            made += 1
            at += sign * gain
            found = watch.shaft(angle(1_000 + at), ordered + sign * made)
        assert (found, made <= within) == (name, True)


@pytest.mark.requirement("GIP-1.8.1")
def test_a_shaft_that_is_turned_while_it_should_stand_is_seen_either_way():
    for way, name in ((1, MORE), (-1, BACK)):
        watch = referred()
        assert watch.shaft(angle(1_000 + way * (NEAR - 1)), 0) is None
        assert watch.shaft(angle(1_000 + way * (NEAR + 2)), 0) == name


FINE = {**VALUES, "steps_per_turn": 4_096}  # what the encoder tells apart


@pytest.mark.parametrize(("way", "name"), [(1, MORE), (-1, BACK)])
def test_half_a_full_step_is_allowed_and_one_microstep_more_is_not(way, name):
    near = FINE["steps_per_turn"] // 400
    for off, found in ((near, None), (near + 1, name)):
        for sign in (0, 1, -1):  # standing, or behind a way of one step: too short for the drift
            watch = Supervision(FINE)
            watch.reference(16 * 1_000, 0, 0, 0, 0)
            assert watch.shaft(16 * (1_000 + sign), sign) is None
            assert watch.shaft(16 * (1_000 + sign + way * off), sign) == found, (sign, off)
        watch = Supervision(FINE)
        assert watch.rest(16 * 1_000, 80) is None, "where it is first seen"
        assert watch.rest(16 * (1_000 + way * off), 80) == found
        watch.reference(16 * 2_000, 0, 0, 0, 0)
        assert watch.rest(16 * 3_000, 90) is None, "where it came to rest"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_slow_error_is_followed_also_step_by_step(sign):
    watch = referred()
    for step in range(1_600):
        at = step + step // (DRIFT_STEPS + 2)
        assert watch.shaft(angle(1_000 + sign * at), sign * step) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_the_way_back_is_compared_with_where_it_turned(sign):
    watch = referred()
    for ordered in list(range(0, 900, 30)) + list(range(900, -600, -30)) + list(range(-600, 600, 30)):
        assert watch.shaft(angle(1_000 + sign * ordered), sign * ordered) is None


def test_a_slow_error_of_the_reading_is_followed_and_a_slip_that_grows_faster_is_seen():
    for steps_per_error, found in ((DRIFT_STEPS + 2, False), (DRIFT_STEPS // 2, True)):
        watch = referred()
        verdicts = {watch.shaft(angle(1_000 + step + step // steps_per_error), step) for step in range(0, 1_600, 16)}
        assert verdicts == ({None, MORE} if found else {None})


def test_the_error_of_a_whole_turn_is_no_fault_at_any_distance_between_looks():
    """Half a degree, once a turn: nine steps from its valley to its peak, and noise."""
    rng = random.Random(4)
    for look in (1, 7, 16, 64):
        watch = referred()
        for step in range(0, 3 * TURN, look):
            off = 4.4 * math.sin(2 * math.pi * step / TURN) + max(-3, min(3, rng.gauss(0, 0.8)))
            assert watch.shaft(round((1_000 + step + off) * 65_536 / TURN) % 65_536, step) is None


@pytest.mark.requirement("GIP-1.2.2", "GIP-1.8.1", "OP-R6.4(2)-(7)")
def test_at_rest_nothing_may_move():
    for way, name in ((1, MORE), (-1, BACK)):
        watch = referred(odometer=77)
        watch.forget_shaft()
        assert watch.rest(angle(5), 80) is None, "where it came to rest"
        assert watch.rest(angle(5 + way * (NEAR - 1)), 80) is None
        assert watch.rest(angle(5 + way * (NEAR + 2)), 80) == name
        assert watch.rest(angle(5), 79) == "step_count"
        assert watch.rest(angle(5), 81) == "step_count"
        watch.forget_shaft()
        assert watch.rest(angle(5 + way * (NEAR + 2)), 79) is None, "a new reference"


def test_a_pressure_that_never_changes_is_no_reading():
    watch = Supervision(VALUES)
    readings = [20_000] * (FROZEN_SAMPLES + 1)
    for value in readings:
        assert not watch.sensor_dead
        watch.pressure(value)
    assert watch.sensor_dead
    watch.pressure(20_016)
    assert not watch.sensor_dead


@pytest.mark.requirement("GIP-1.2.2", "OP-R6.4(2)-(7)")
def test_steps_handed_out_faster_than_ordered_are_seen_within_near():
    watch = Supervision(VALUES)
    watch.floor_us = 10_000_000
    now = TICKS - 50_000_000  # over the wrap
    watch.reference(0, 0, 0, now, 500)
    handed = 500
    for _ in range(200):  # as ordered, at the very limit
        now += 10_000_000
        handed += 1
        assert not watch.pace(now % TICKS, handed)
    extra = 1
    while not watch.pace(now % TICKS, handed + extra) and extra < 40:
        now += 1_000
        extra += 1
    assert extra == watch.near_steps + 1
    assert watch.pace(now % TICKS, handed + extra), "it stays"


def test_words_ahead_are_no_runaway_and_pauses_save_nothing_up():
    watch = Supervision(VALUES)
    watch.reference(0, 0, 0, 0, 0)
    watch.floor_us = 500
    room = watch.near_steps + AHEAD_US // 500
    assert not watch.pace(0, room)
    assert watch.pace(0, room + 1)
    watch.reference(0, 0, 0, 0, 0)
    assert not watch.pace(15_000_000, 0) and not watch.pace(15_000_000, room)
    assert watch.pace(15_000_000, room + 1)
    watch.reference(0, 0, 0, 0, 0)
    assert not watch.pace(room * 500, room) and not watch.pace(room * 500 + 499, room + 1)


def test_without_an_order_no_step_is_in_order():
    watch = Supervision(VALUES)
    watch.reference(0, 0, 0, 0, 7)
    assert not watch.pace(10_000_000, 7 + watch.near_steps)
    assert watch.pace(20_000_000, 7 + watch.near_steps + 1)


def minutes(percent: int, per_minute: int, takeup: int = 0, count: int = 40) -> list[str | None]:
    """Verdicts of `flow`, once a minute."""
    watch = referred(steps=0)
    found = []
    for minute in range(count):
        ordered = minute * per_minute
        at = ordered * percent // 100 + takeup
        for part in range(1, 9):  # less than half a turn at a time
            watch._follow(angle(watch.confirmed_steps + (at - watch.confirmed_steps) * part // 8))
        found.append(watch.flow(ordered, takeup))
    return found


@pytest.mark.requirement("GIP-1.2.2", "GIP-1.2.3", "OP-R6.4(2)-(7)", "CS-REQ-16/19")
@pytest.mark.parametrize("per_minute", [60, 5_000])
@pytest.mark.parametrize("takeup", [0, 80])
def test_flow_is_compared_over_a_quarter_of_an_hour(per_minute, takeup):
    for percent, name in ((100, ""), (92, ""), (109, ""), (88, "under_infusion"), (113, "over_infusion")):
        found = minutes(percent, per_minute, takeup)
        assert set(found[:ANCHORS]) == {None} and set(found[ANCHORS:]) == {name}, percent


@pytest.mark.parametrize(
    ("per_minute", "shown", "name"),
    [(100, 1_437, ""), (100, 1_436, "under_infusion"), (100, 1_763, ""), (100, 1_764, MORE), (ANCHOR_STEPS, 64, "")],
)
def test_flow_is_told_at_its_very_limits(per_minute, shown, name):
    watch = Supervision(VALUES)
    for minute in range(ANCHORS):
        assert watch.confirmed_steps == 0
        assert watch.flow(minute * per_minute, 0) is None
    watch.confirmed_steps = shown
    assert watch.flow(ANCHORS * per_minute, 0) == name


def test_steps_that_take_up_play_are_no_flow():
    watch = Supervision(VALUES)
    for minute in range(ANCHORS):
        watch.flow(minute * 100, 0)
    watch.confirmed_steps = ANCHORS * 100 + 500
    assert watch.flow(ANCHORS * 100, 500) == ""


def test_near_is_a_step_at_least():
    assert Supervision({**VALUES, "steps_per_turn": 200}).near_steps == 1


def test_a_slow_flow_is_compared_over_so_many_steps_that_noise_is_none():
    found = minutes(50, 1, count=200)
    first = found.index("under_infusion")
    assert (first - 1) // ANCHOR_STEPS >= ANCHORS - 1
    assert set(minutes(95, 1, count=200)) == {None, ""}
    assert FLOW_NOISE_STEPS * 10 < (ANCHORS - 1) * ANCHOR_STEPS * 10


def test_flow_forgets_what_is_older_than_its_window():
    watch = referred(steps=0)
    lost = 0
    found = []
    for minute in range(60):
        ordered = minute * 100
        lost = 30 if minute == 20 else lost
        lost = 30 * (minute - 18) if 20 <= minute < 30 else lost
        watch._follow(angle(ordered - lost))
        found.append(watch.flow(ordered, 0))
    assert found[25:45].count("under_infusion") > 10 and set(found[50:]) == {""}
