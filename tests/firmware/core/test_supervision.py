"""What the sensors say against what was commanded: thresholds, wraps, and when nothing may be said."""

import random

import pytest

from haipump_fw.core import options
from haipump_fw.core.supervision import ODOMETER_SLACK, RAW_ALIVE_MAX, RAW_ALIVE_MIN, Supervision, limit_raw

VALUES = options.defaults()


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
    watch.pressure(RAW_ALIVE_MIN)
    assert not watch.sensor_dead


@pytest.mark.parametrize("steps_per_turn", [200, 3_200, 102_400])
def test_the_shaft_is_followed_over_turns_both_ways(steps_per_turn):
    watch = Supervision({**VALUES, "steps_per_turn": steps_per_turn})
    rng = random.Random(steps_per_turn)
    at = start = 60_000
    watch.reference(at, 1_000, 0)
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
    watch = Supervision(VALUES)
    watch.reference(0, 0, 0)
    full = VALUES["steps_per_turn"] // 200
    assert not watch.shaft(0, sign * 4 * full)
    assert watch.shaft(0, sign * (4 * full + 1))
    watch.forget_shaft()
    assert not watch.shaft(0, 10**6) and watch.missing(10**6) == 0, "with the motor off there is nothing to compare"


@pytest.mark.parametrize("start", [0, (1 << 29) - 1, 1 << 28])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_odometer_may_be_three_edges_off_and_wraps(start, sign):
    watch = Supervision(VALUES)
    assert not watch.odometer(123, 0)
    watch.reference(0, 50, start)
    for ahead in (0, 10**6):
        count = (start + sign * ahead) % (1 << 29)
        expected = 50 + sign * ahead
        assert not watch.odometer((count + ODOMETER_SLACK) % (1 << 29), expected)
        assert not watch.odometer((count - ODOMETER_SLACK) % (1 << 29), expected)
        assert watch.odometer((count + ODOMETER_SLACK + 1) % (1 << 29), expected)
        assert watch.odometer((count - ODOMETER_SLACK - 1) % (1 << 29), expected)
