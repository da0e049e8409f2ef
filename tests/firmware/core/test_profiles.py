"""Profiles: exact totals and durations, speeds that the motor can follow, and the straight line under a ramp."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from haipump_fw.core import courses, profiles
from haipump_fw.core.courses import Pulses, Ramp
from haipump_fw.core.profiles import STAIR_US, Limits, Pieces, quanta
from tests.firmware.exact import oracle

STEP_Q = 231_147_588 * 86_400
LIMITS = st.builds(
    Limits, st.just(STEP_Q), st.sampled_from([1, 100, 300, 2_000]), st.integers(100, 20_000), st.just(2_000)
)
RATE = st.integers(1, 40_000_000_000)


def pieces(profile: Pieces, limits: Limits) -> list[tuple[Fraction, int]]:
    """(steps/s, microseconds) of the pieces, -1 us for the endless one."""
    out = []
    t_us = 0
    while True:
        _, num, den, _, end = profile.at(t_us)
        if num == 0 and end == -1:
            return out
        out.append((Fraction(num * 1_000_000, den * limits.step_q), end - t_us if end >= 0 else -1))
        if end < 0:
            return out
        t_us = end


def jumps(speeds: list[Fraction], limits: Limits, before: int = 0, after: Fraction | None = Fraction(0)) -> None:
    """Up to the start speed at once, above it by a stair at a time."""
    chain = [Fraction(before), *speeds] + ([after] if after is not None else [])
    for low, high in zip(chain, chain[1:], strict=False):
        low, high = sorted((low, high))
        assert (
            high <= max(limits.start, low + limits.rise) + 1
            or low >= limits.start - 1
            and high - low <= limits.rise + 1
        )


@pytest.mark.requirement("GIP-1.4.7")
@given(st.integers(1, 2_500), st.integers(20_000, 60_000_000), st.integers(0, 999), LIMITS)
def test_a_square_is_exact_in_volume_and_time(speed, duration_us, more_nl, limits):
    volume_nl = speed * duration_us * STEP_Q // (1_000_000 * 86_400_000_000) + 1 + more_nl
    profile = profiles.square(quanta(volume_nl), duration_us, limits)
    if profile is None:
        assert Fraction(quanta(volume_nl) * 1_000_000, duration_us * STEP_Q) > limits.start
        return
    assert (profile.total_q, profile.total_us) == (quanta(volume_nl), duration_us)
    run = pieces(profile, limits)
    speeds = [speed for speed, _ in run]
    jumps(speeds, limits)
    assert max(speeds) <= limits.maximum or len(speeds) == 1
    assert profile.top() == max(speed * STEP_Q // 1_000_000 for speed in speeds)
    assert all(us == STAIR_US for _, us in run[: len(run) // 2]), "stairs around one cruise"
    assert speeds[: len(run) // 2] == list(reversed(speeds[len(run) // 2 + 1 :]))


@pytest.mark.parametrize(
    ("steps", "us", "why"),
    [
        (400, 100_000, "4000 steps/s"),
        (30, 20_000, "a time of one stair"),
        (60, 40_000, "a time of two stairs"),
        (200, 101_000, "2000 steps/s before the stairs, more with them"),
        (10_000, 5_000_000, "2000 steps/s in the mean, a little more between the stairs"),
    ],
)
def test_what_the_motor_can_not_do_is_no_square(steps, us, why):
    limits = Limits(STEP_Q, 300, 20_000, 2_000)
    assert profiles.square(steps * STEP_Q, us, limits) is None, why


def test_a_square_may_just_reach_the_highest_speed():
    limits = Limits(STEP_Q, 300, 20_000, 2_000)
    stairs_q = sum(limits.stair_q(speed) for speed in (300, 700, 1_100, 1_500, 1_900))
    profile = profiles.square(2 * stairs_q + 2_000 * STEP_Q, 10 * STAIR_US + 1_000_000, limits)
    assert profile is not None and profile.top() == 2_000 * STEP_Q // 1_000_000
    assert profiles.square(2 * stairs_q + 2_000 * STEP_Q + 1, 10 * STAIR_US + 1_000_000, limits) is None


def test_a_square_whose_stairs_never_reach_its_speed():
    assert profiles.square(10**9 * STEP_Q, 10**9, Limits(STEP_Q, 300, 20_000, 2_000)) is None


@given(st.integers(1, 10**8), RATE, LIMITS, st.integers(0, 2_000))
def test_a_volume_at_a_rate_is_exact_and_gentle(volume_nl, rate, limits, before):
    volume = quanta(volume_nl)
    assume(limits.speed(rate, 1) <= limits.maximum)
    assume(volume > profiles.coast(limits, before).total_q)
    profile = profiles.volume_at_rate(volume, rate, limits, before)
    assert profile.total_q == volume
    run = pieces(profile, limits)
    jumps([speed for speed, _ in run], limits, before)
    assert sum(us != STAIR_US for _, us in run) <= 1, "stairs around one cruise"
    assert max(speed for speed, _ in run) <= max(before, Fraction(rate * 1_000_000, STEP_Q), limits.start)


@given(st.integers(0, 2_000), RATE, LIMITS)
@example(0, 30_000_000_000, Limits(STEP_Q, 300, 2_000, 2_000))
def test_a_rate_is_reached_by_stairs(before, rate, limits):
    assume(limits.speed(rate, 1) <= limits.maximum)
    profile = profiles.rate(rate, limits, before)
    run = pieces(profile, limits)
    jumps([speed for speed, _ in run], limits, before, None)
    assert run[-1] == (Fraction(rate * 1_000_000, STEP_Q), -1)
    assert profile.total_us == -1


@given(st.integers(0, 2_000), LIMITS)
def test_coasting_ends_at_a_standstill(speed, limits):
    run = pieces(profiles.coast(limits, speed), limits)
    assert bool(run) == (speed > limits.start)
    jumps([speed for speed, _ in run], limits, speed)


def test_shares_of_two_add_up_to_no_more_than_the_whole():
    whole = Limits(STEP_Q, 300, 2_000, 2_000)
    first, second = whole.share(100, 500, 300), whole.share(400, 500, 300)
    assert (first.start, first.rise, second.start, second.rise) == (60, 8, 240, 32)
    assert first.start + second.start <= whole.start and first.rise + second.rise <= whole.rise
    assert whole.share(1, 10_000, 300).start == whole.share(1, 10_000, 300).rise == 1


@given(st.integers(0, 6_000_000_000), st.integers(0, 6_000_000_000), st.integers(1, 1_209_600), st.data())
def test_a_ramp_follows_the_straight_line(first, last, seconds, data):
    ramp = Ramp(first, last, seconds, STEP_Q)
    assert ramp.top() == 0
    plan = oracle.ramp(first, last, seconds)
    t_us = data.draw(st.integers(0, 2 * seconds * 1_000_000))
    off = abs(Fraction(profiles.planned(ramp, t_us), 86_400_000_000) - plan.at(t_us))
    slope = Fraction(abs(last - first), seconds * 1_000_000 * 86_400_000_000)
    assert off <= max(Fraction(STEP_Q, 86_400_000_000 * 10_000), slope * STAIR_US**2 / 8) + Fraction(1, 10**9)
    end = ramp.at(t_us)[4]
    if end >= 0:
        assert end > t_us and abs(Fraction(profiles.planned(ramp, end), 86_400_000_000) - plan.at(end)) < 1e-9
        assert end - t_us >= 1
    assert profiles.planned(ramp, 10**15) == ramp.line_q(seconds * 1_000_000) + last * (10**15 - seconds * 1_000_000)


ITEMS = ((0, 5_000_000, 0), (10, 5_000_000, 0), (60, 9_000_000, 120), (400, 0, 0), (500, 1_000_000, 100))
TEXT = b"""haipump-programme 1
period_s 600
repeats 3
at_end stop
0 rate 5000000
5 bolus 1000 20
10 rate 5000000
60 ramp 9000000 120
70 bolus 500 530
400 rate 0
500 ramp 1000000 100
"""


@pytest.mark.requirement("GIP-1.1.6", "CS-REQ-24")
def test_a_programme_is_what_its_text_says():
    flow = courses.Periodic(ITEMS, 600, 3, STEP_Q)
    pulses = Pulses(((5, quanta(1_000), 20), (70, quanta(500), 530)), 600, 3)
    plans = oracle.programme(TEXT, lambda nl: 0)
    for profile, plan in zip((flow, pulses), plans, strict=True):
        assert profile.total_us == plan.length == 1_800_000_000
        # ramps end in whole quanta
        assert abs(Fraction(profile.total_q, 86_400_000_000) - plan.volume) < Fraction(1, 10**9)
        for t_us in [*range(0, 1_900_000_000, 7_300_001), 599_999_999, 600_000_000, 1_800_000_000]:
            off = Fraction(profiles.planned(profile, t_us), 86_400_000_000) - plan.at(t_us)
            assert abs(off) <= Fraction(STEP_Q, 86_400_000_000 * 5_000), t_us
            end = profile.at(t_us)[4]
            assert end > t_us or (end == -1 and t_us >= 1_800_000_000)


def test_pulses_that_leave_the_end_of_the_period_free():
    pulses = Pulses(((1, quanta(10), 2),), 10, 2)
    assert (pulses.at(0)[0], pulses.total_q) == (0, 2 * quanta(10))
    assert [pulses.at(s * 1_000_000)[4] // 1_000_000 for s in (0, 2, 5, 10, 14)] == [1, 3, 10, 11, 20]


def test_a_line_holds_until_the_end_that_is_told():
    flow = courses.Periodic(ITEMS, 600, 3, STEP_Q)
    for profile in (flow, Pulses(((5, quanta(1_000), 20), (70, quanta(500), 530)), 600, 3), Ramp(0, 10**8, 9, STEP_Q)):
        t_us = 0
        while True:
            whole, num, den, elapsed, end = profile.at(t_us)
            last_us = t_us + 10**9 if end < 0 else end - 1
            held = profile.at(last_us)
            assert held[4] == end and Fraction(held[1], held[2]) == Fraction(num, den), t_us
            assert whole + num * (elapsed + last_us - t_us) // den == profiles.planned(profile, last_us)
            if end < 0:
                break
            t_us = end
    assert flow.at(flow.total_us)[1:] == (0, 1, 0, -1), "it begins with a rate, and does not begin anew"


def test_stairs_are_as_long_as_the_slope_allows_whatever_it_begins_at():
    assert Ramp(5_000_000, 5_000_100, 100, STEP_Q).at(0)[4] == Ramp(0, 100, 100, STEP_Q).at(0)[4]


def test_a_period_begins_with_nothing():
    ramp = Ramp(0, 8_640_000, 100, STEP_Q)
    programme = courses.Periodic([(10, 8_640_000, 100)], 200, 1, STEP_Q)
    assert programme.total_q == ramp.line_q(100_000_000) + 8_640_000 * 90_000_000
    assert programme.at(10_000_000)[:2] == ramp.at(0)[:2]


def test_nothing_flows_between_pulses_and_after_the_end():
    pulses = Pulses(((1, quanta(10), 2),), 10, 2)
    flowing = [second for second in range(25) if pulses.at(second * 1_000_000)[1]]
    assert flowing == [1, 2, 11, 12]
    programme = courses.Periodic([(1, 1_000, 0), (3, 0, 0)], 10, 2, STEP_Q)
    assert [second for second in range(25) if programme.at(second * 1_000_000)[1]] == [1, 2, 11, 12]
    assert Pieces().add(10, 5).at(5)[1] == 0


def test_a_volume_smaller_than_the_stairs_of_its_rate():
    limits = Limits(STEP_Q, 300, 2_000, 2_000)
    one_stair = 2 * limits.stair_q(300)
    for volume, top in ((one_stair - 1, 300), (one_stair, 340), (one_stair + 2 * limits.stair_q(340), 380)):
        profile = profiles.volume_at_rate(volume, 1_000 * STEP_Q // 1_000_000, limits)
        assert profile.total_q == volume
        assert max(speed for speed, _ in pieces(profile, limits)) <= top
    for stairs in range(1, 30):
        tops = [300 + 40 * i for i in range(stairs + 1)]
        stairs_q = 2 * sum(limits.stair_q(speed) for speed in tops[:-1])
        for speed in (tops[-1] + 40, tops[-1] + 80, 1_500, 1_700, 1_900, 1_990):
            if speed > tops[-1]:
                profile = profiles.volume_at_rate(
                    stairs_q + limits.stair_q(tops[-1]), speed * STEP_Q // 1_000_000, limits
                )
                assert 0 <= profile.total_us - (2 * stairs + 1) * STAIR_US <= 1, (
                    "the highest speed that it has stairs for"
                )
    assert profiles.volume_at_rate(one_stair + 1, 301 * STEP_Q // 1_000_000, limits).total_q == one_stair + 1
    # exactly the stairs: no cruise between them
    assert len(pieces(profiles.volume_at_rate(one_stair, 301 * STEP_Q // 1_000_000, limits), limits)) == 2


def test_looking_back_in_time_is_allowed():
    profile = Pieces().add(10, 10).add(90, 10)
    assert [profiles.planned(profile, t) for t in (15, 5, 25, 10, 0)] == [55, 5, 100, 10, 0]
    assert Pieces().top() == 0


@given(st.integers(1, 10**7), st.integers(1, 2_000), LIMITS)
def test_whole_seconds_for_a_volume_at_a_rate_are_a_square_no_faster_than_it(volume_nl, steps_per_s, limits):
    """How long a bolus takes that says no time: as at the bolus rate, stairs included, up to the next second."""
    rate = steps_per_s * STEP_Q // 1_000_000
    seconds = -(-profiles.volume_at_rate(quanta(volume_nl), rate, limits).total_us // 1_000_000)
    profile = profiles.square(quanta(volume_nl), seconds * 1_000_000, limits)
    assert profile is not None and profile.top() <= rate
