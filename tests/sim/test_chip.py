"""A life on the emulated chip: keys, dose limits and a power cut, judged as on `direct`."""

from __future__ import annotations

import pytest

from haipump_emulator.campaign import draw, farm

SEED, HOURS = 1271, 0.8


@pytest.mark.image
def test_a_life_on_the_chip():
    plan = draw(SEED, HOURS, "chip")
    assert plan.locked and plan.dosed and [strike.fault.name for strike in plan.strikes] == ["power_cut"]
    life = farm.one(SEED, HOURS, "chip")
    assert life.held, life.text
    assert life.boots >= 3  # a key needs two restarts, and the power went
    assert life.judged["totals"] and life.judged["motion"] > 100 and life.judged["stuck"] == 1
    assert {"fault power_cut", "dose limits set", "recovered"} <= set(life.seen)
