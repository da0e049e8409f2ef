"""The proof of the dose limit against every window there is, looked at one by one in exact fractions.

The oracle walks over the changes of flow: a sum over a window changes its slope only where its end or its beginning
meets one, so those ends are all that has to be looked at, and what is left out between them is a straight line.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from haipump_fw.core import courses, profiles
from haipump_fw.core.limits import LOOKS_MAX, Proof, planned
from haipump_fw.core.limits import looks as all_looks
from haipump_fw.core.window import EVER

SECOND = 1_000_000
STEP_Q = 231_147_588 * 86_400
MOTOR = profiles.Limits(STEP_Q, 300, 2_000, 2_000)
Plan = tuple[tuple[Any, ...], int, int, int]
Past = Sequence[tuple[int, int]]
Exact = int | Fraction  # an int where it is one: that is five times as fast


def still() -> None:
    """Nothing moves."""


def volume(plans: Sequence[Plan], t_us: int) -> Exact:
    """Planned up to t."""
    total: Exact = 0
    for group, elapsed_us, from_us, before_q in plans:
        if t_us < from_us:
            continue
        for profile in group:
            at = elapsed_us + t_us - from_us
            whole, num, den, run, _ = profile.at(at)
            total += whole + (Fraction(num * run, den) if num * run % den else num * run // den)
        total -= before_q
    return total


def changes(plans: Sequence[Plan], until_us: int) -> set[int]:
    """All moments at which the flow changes."""
    found = set()
    for group, elapsed_us, from_us, _ in plans:
        found.add(from_us)
        for profile in group:
            at = elapsed_us
            while 0 <= at <= elapsed_us + until_us - from_us:
                found.add(from_us - elapsed_us + at)
                at = profile.at(at)[4]
    return found


def worst(past: Past, plans: Sequence[Plan], now_us: int, span_us: int, until_us: int) -> Exact:
    """What the fullest window from now on holds."""
    base = volume(plans, now_us)
    points = [(at_s * SECOND, held) for at_s, held in past]
    kinks = changes(plans, until_us) | {now_us}
    ends = {t for kink in kinks for t in (kink, kink + span_us)} | {at + span_us for at, _ in points}
    fullest: Exact = 0
    for t_us in ends:
        if now_us <= t_us <= until_us:
            begin = t_us - span_us
            now_held = volume(plans, t_us) - base
            if begin > now_us:
                fullest = max(fullest, now_held + base - volume(plans, begin))
            else:
                # a hair before the window lets go of a point's gap, but not before now
                before = [held for at, held in points if at < begin + (t_us == now_us) or at == EVER * SECOND]
                fullest = max(fullest, now_held + (before[-1] if before else 0))
    return fullest


def some_profile(rng: random.Random) -> Any:
    """A rate, a bolus, a ramp or a few pieces; in seconds, so that changes fall on each other."""
    kind = rng.randrange(5)
    rate = rng.choice([0, 1_000, 1_300_000, 5_000_000, rng.randrange(1, 10**8)])
    if kind == 0:
        return profiles.Pieces().add_endless(rate, 1)
    if kind == 1:
        return profiles.Pieces().add(rng.randrange(1, 10**17), rng.randrange(1, 900) * SECOND)
    if kind == 2:
        return courses.Ramp(rate, rng.randrange(10**7), rng.randrange(1, 900), STEP_Q * 10**4)
    if kind == 3:
        return profiles.volume_at_rate(profiles.quanta(rng.randrange(1, 60_000)), 10**9, MOTOR)
    pieces = profiles.Pieces()
    for _ in range(rng.randrange(1, 6)):
        pieces.add(rng.randrange(10**16), rng.randrange(1, 400) * SECOND)
    return pieces.add_endless(rate, 1) if rng.randrange(2) else pieces


def some_programme(rng: random.Random) -> tuple[Any, ...]:
    period_s = rng.randrange(20, 600)
    repeats = rng.choice([1, 2, 5, 25])
    items, pulses, at_s = [], [], 0
    while (at_s := at_s + rng.randrange(0, 200)) < period_s - 1 and len(items) < 4:
        items.append((at_s, rng.randrange(10**7), 0))
        at_s += 1
    at_s = 0
    while (at_s := at_s + rng.randrange(1, 200)) < period_s - 10 and len(pulses) < 3:
        pulses.append((at_s, rng.randrange(1, 10**15), 9))
        at_s += 9
    return courses.Periodic(items, period_s, repeats, STEP_Q), courses.Pulses(pulses, period_s, repeats)


def some_plans(rng: random.Random, now_us: int) -> list[Plan]:
    plans = []
    if rng.randrange(2):
        group = some_programme(rng)
        elapsed = rng.choice([0, 0, rng.randrange(group[0].total_us)])
        plans.append((group, elapsed, now_us, sum(profiles.planned(one, elapsed) for one in group)))
        if rng.randrange(2):
            after = profiles.Pieces().add_endless(rng.randrange(10**7), 1)
            plans.append(((after,), 0, now_us + group[0].total_us - elapsed, 0))
    for _ in range(rng.randrange(3)):
        profile = some_profile(rng)
        elapsed = rng.choice([0, rng.randrange(100 * SECOND)])
        start = now_us + rng.choice([0, 0, rng.randrange(2_000) * SECOND])
        held = profiles.planned(profile, elapsed)
        if elapsed and rng.randrange(2):  # told as of its start, before now
            start, elapsed, held = now_us - elapsed, 0, 0
        plans.append(((profile,), elapsed, start, held))
    return plans


def some_past(rng: random.Random, now_s: int) -> Past:
    at_s, held = now_s, 0
    past = []
    for _ in range(rng.randrange(1, 8)):
        at_s -= rng.randrange(1, 400)
        held += rng.choice([0, 0, rng.randrange(10**15)])
        past.append((at_s, held))
    past.append((EVER, held + rng.choice([0, rng.randrange(10**15)])))
    return past[::-1]


def check(seed: int) -> None:
    rng = random.Random(seed)
    now_s = rng.randrange(1, 5_000)
    now_us, span_us = now_s * SECOND, rng.randrange(1, 3_000) * SECOND
    plans, past = some_plans(rng, now_us), some_past(rng, now_s)
    until_us = max([now_us, *(start - elapsed + _last_us(group) for group, elapsed, start, _ in plans)]) + 2 * span_us
    fullest = worst(past, plans, now_us, span_us, until_us)
    for low_q in (1, 1 + int(fullest) // 1_000, int(fullest) // 3):
        # one quantum for each profile: each sum is rounded on its own
        proof = Proof(past, plans, now_us, span_us, [10_000], still)
        assert proof.within(-(-fullest // 1) + 12) is None, seed
        if fullest > 100:
            found = proof.within(-(-fullest // 1) - low_q)
            assert found is not None, seed
            assert found <= fullest + 12, seed


def _last_us(group: tuple[Any, ...]) -> int:
    return max(one.total_us if one.total_us >= 0 else 2_000 * SECOND for one in group)  # five pieces of 400 s


@pytest.mark.requirement("REQ-X-06", "OP-R5.2(5)/R5.3(7)")
@pytest.mark.parametrize("chunk", range(8))
def test_every_window_is_seen_and_none_is_made_up(chunk):
    for seed in range(chunk * 125, chunk * 125 + 125):
        check(seed)


def test_the_bound_may_be_reached_exactly():
    day_us = 86_400 * SECOND
    plan: list[Plan] = [((profiles.Pieces().add_endless(1_300_000, 1),), 0, 0, 0)]
    limit_q = profiles.quanta(1_300_000)
    assert Proof([(EVER, 0)], plan, 0, day_us, [50], still).within(limit_q) is None
    assert Proof([(EVER, 0)], plan, 0, day_us, [50], still).within(limit_q - 1) == limit_q
    assert Proof([(EVER, 1)], plan, 0, day_us, [50], still).within(limit_q) == limit_q + 1


def test_the_bound_may_be_reached_exactly_by_a_window_that_begins_later():
    even: list[Plan] = [((profiles.Pieces().add(100, 100 * SECOND),), 0, 0, 0)]
    assert Proof([(EVER, 0)], even, 0, 10 * SECOND, [1_000], still).within(10) is None
    assert Proof([(EVER, 0)], even, 0, 10 * SECOND, [1_000], still).within(9) == 10
    pulses = profiles.Pieces().add(10, SECOND).add(0, 5 * SECOND).add(12, SECOND)
    plan: list[Plan] = [((pulses,), 0, 0, 0)]
    assert Proof([(EVER, 0)], plan, 0, 3 * SECOND, [50], still).within(12) is None
    assert Proof([(EVER, 0)], plan, 0, 3 * SECOND, [50], still).within(11) == 12


def test_what_left_the_window_just_now_is_not_in_it():
    past = [(EVER, 100), (0, 5)]
    assert Proof(past, [], 3 * SECOND, 3 * SECOND, [50], still).within(5) is None
    assert Proof(past, [], 3 * SECOND - 1, 3 * SECOND, [50], still).within(5) == 100


def test_a_programme_of_years_takes_few_looks():
    """3,650 days of four rates and two boluses, close to the limit."""
    items = [(at_s, 1_000_000 + at_s, 0) for at_s in range(0, 86_400, 21_600)]
    pulses = [(3_600, profiles.quanta(100_000), 60), (40_000, profiles.quanta(50_000), 600)]
    flow = courses.Periodic(items, 86_400, 3_650, STEP_Q), courses.Pulses(pulses, 86_400, 3_650)
    plans: list[Plan] = [(flow, 0, 0, 0)]
    day_q = volume(plans, 86_400 * SECOND)
    looks: list[int] = []
    proof = Proof([(EVER, 0)], plans, 0, 86_400 * SECOND, [10_000], lambda: looks.append(1))
    assert proof.within(int(day_q) + 8) is None
    assert proof.within(int(day_q) - 8) is not None
    assert len(looks) < 100


def test_a_search_may_take_just_so_many_looks():
    plan: list[Plan] = [((courses.Ramp(0, 1_300_000, 8_000, STEP_Q),), 0, 0, 0)]
    limit_q = 9_050 * profiles.QUANTA_PER_NL
    left = [1_000]
    breaths: list[int] = []
    assert Proof([(EVER, 0)], plan, 0, 600 * SECOND, left, lambda: breaths.append(1)).within(limit_q) is None
    looks = 1_000 - left[0]
    assert len(breaths) > looks > 3, "the motor is looked after at each sum"
    for most, verdict in ((looks, None), (looks - 1, -1)):
        assert Proof([(EVER, 0)], plan, 0, 600 * SECOND, [most], still).within(limit_q) == verdict
    both = [2 * looks - 1]
    assert Proof([(EVER, 0)], plan, 0, 600 * SECOND, both, still).within(limit_q) is None
    assert Proof([(EVER, 0)], plan, 0, 600 * SECOND, both, still).within(limit_q) == -1, "what is left is shared"


def test_each_check_has_its_own_looks():
    all_looks()[0] -= 5
    assert all_looks() == [LOOKS_MAX]


def test_a_look_at_more_profiles_counts_for_more():
    ramp = courses.Ramp(0, 1_300_000, 8_000, STEP_Q)
    left = []
    for count in (1, 3):
        looks = [1_000]
        plan: list[Plan] = [((ramp,) + (profiles.Pieces().add_endless(0, 1),) * (count - 1), 0, 0, 0)]
        assert Proof([(EVER, 0)], plan, 0, 600 * SECOND, looks, still).within(9_050 * profiles.QUANTA_PER_NL) is None
        left.append(looks[0])
    assert 1_000 - left[1] == 3 * (1_000 - left[0])


def test_sums_are_rounded_to_either_side():
    plan: list[Plan] = [((profiles.Pieces().add(10, 3 * SECOND),), 0, 5, 0)]
    assert planned(plan, 4, True) == (0, 5)
    assert planned(plan, 5 + SECOND, False) == (3, 5 + 3 * SECOND)
    assert planned(plan, 5 + SECOND, True)[0] == 4
    assert planned(plan, 5 + 4 * SECOND, True) == (10, -1)


def test_the_next_change_may_be_at_the_start_of_the_clock():
    later: list[Plan] = [((profiles.Pieces().add(10, SECOND),), 0, start, 0) for start in (0, 5)]
    assert planned(later, -1, True) == (0, 0)
