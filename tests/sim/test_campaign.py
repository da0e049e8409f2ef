"""Lives under random orders and faults: the invariants hold, seeds repeat, a broken firmware is caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from haipump_emulator.campaign import draw, live
from haipump_emulator.campaign.life import Life

HOURS = 24.0
SEEDS = range(1, 43)
REGRESSIONS = [
    (int(line.split()[0]), float(line.split()[1]))
    for line in (Path(__file__).with_name("regressions.txt")).read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def say(life: Life) -> str:
    return f"haipump-emu campaign --seed {life.seed} --hours {life.hours:g} --each {life.hours:g}: {life.text}"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_life(seed):
    life = live(seed, HOURS)
    assert life.held, say(life)
    assert life.seen["recovered"] == 1 and life.commands >= HOURS


def test_seeds_that_once_broke():
    for seed, hours in REGRESSIONS:
        life = live(seed, hours)
        assert life.held, say(life)


def test_a_seed_lives_the_same_life_again():
    one, two, other = live(5, 4.0), live(5, 4.0), live(6, 4.0)
    assert one == two and one.digest != other.digest


def test_plans_have_enough_faults_and_a_third_is_hard():
    plans = [draw(seed, 24.0) for seed in range(300)]
    assert sum(len(plan.strikes) for plan in plans) >= 300 * 24
    assert sum(plan.kind == "hard" for plan in plans) >= 100
    assert all({strike.fault.group for strike in plan.strikes} <= set(plan.groups) for plan in plans)
    assert all(strike.end_us <= plan.calm_us for plan in plans for strike in plan.strikes)


def test_no_life_gets_too_warm_or_cold_by_itself():
    for hours in (1.0, 24.0, 72.0, 720.0):
        drifts = {draw(seed, hours).plant["environment.drift_k_per_h"] for seed in range(20)}
        assert len(drifts) == 3 and max(drifts) * hours <= 24.5 and max(drifts) == min(1.0, 24 / hours)


def test_only_some_of_the_faults():
    plan = draw(1, 24.0, only=(2, 3))
    assert [strike.number for strike in plan.strikes] == [2, 3]
    assert plan.strikes == draw(1, 24.0).strikes[2:4]
