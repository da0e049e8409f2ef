"""The time to empty, against a search that only halves."""

import random
from types import SimpleNamespace

import pytest

from haipump_fw.core import courses, profiles
from haipump_fw.forecast import Forecast

LIMITS = profiles.Limits(231_147_588 * 86_400, 300, 2_000, 2_000)
HORIZON_S = 1 << 29
DAY_S = 86_400


def forecast(reservoir_nl: int) -> Forecast:
    delivery = SimpleNamespace(limits=LIMITS, basal=None, bolus=None, extended=None, planner=SimpleNamespace(orders=[]))
    values = {"reservoir_empty_nl": 0}
    return Forecast(SimpleNamespace(delivery=delivery, values=values, reservoir_nl=lambda: reservoir_nl))


def by_halves(flows, left_nl: int) -> int:
    """`flows`: (profile, second at which it begins); the first second with `left_nl` planned, -1 for never."""

    def planned(second):
        return sum(profiles.planned(flow, (second - at) * 1_000_000) for flow, at in flows if second >= at)

    left_q = profiles.quanta(left_nl)
    if planned(HORIZON_S) < left_q:
        return -1
    low, high = 0, HORIZON_S
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if planned(middle) < left_q else (low, middle)
    return low


def basal_of(pick: random.Random):
    """(profiles, nL/day that follow)."""
    rate = pick.randrange(40_000, 30_000_000)
    kind = pick.randrange(4)
    if kind == 0:
        return (profiles.rate(rate, LIMITS),), 0
    if kind == 1:
        return (courses.Ramp(pick.randrange(3_000_000), rate, pick.randrange(1, 14 * DAY_S), LIMITS.step_q),), 0
    if kind == 2:
        items = [(0, rate, 0), (3_600, 0, 0), (7_200, rate // 3 + 1, 600)]
        repeats = pick.randrange(1, 30)
        flow = courses.Periodic(items, DAY_S, repeats, LIMITS.step_q)
        return (flow, courses.Pulses([(100, profiles.quanta(100_000), 600)], DAY_S, repeats)), pick.choice([0, 500_000])
    return (profiles.square(profiles.quanta(pick.randrange(1, 5_000_000)), 3_600_000_000, LIMITS),), 500_000


@pytest.mark.parametrize("seed", range(60))
def test_the_time_to_empty_is_the_first_second_at_which_it_is_empty(seed):
    pick = random.Random(seed)
    reservoir_nl = pick.choice([0, pick.randrange(30_000_000)])
    basal = basal_of(pick)
    bolus = pick.choice([None, profiles.square(profiles.quanta(pick.randrange(1_000, 3_000_000)), 600_000_000, LIMITS)])
    flow, kvo = basal
    flows = [(profile, 0) for profile in flow]
    if kvo:
        flows.append((profiles.rate(kvo, LIMITS), flow[0].total_us // 1_000_000))
    if bolus is not None:
        flows.append((bolus, 0))
    wanted = by_halves(flows, reservoir_nl)
    now_s = pick.randrange(10_000_000)
    found = forecast(reservoir_nl).empty_at(now_s * 1_000_000, lambda: None, basal, bolus)
    assert found == (wanted if wanted < 0 else now_s + wanted)
