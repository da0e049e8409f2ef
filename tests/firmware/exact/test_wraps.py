"""The tick counter wraps a thousand times in a day: the counter's period is shrunk from 17.9 minutes to 67 seconds.

Whatever compares ticks without taking their difference is wrong within the hour, and an error of a microsecond a wrap
would show in the dose.
"""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from haipump_fw import app, delivery, ports
from haipump_fw.core import clock, dosing
from tests.firmware.exact.lives import spread
from tests.firmware.exact.test_pump import Pump, opened

PERIOD_US = 1 << 26  # and with it the longest word: two of them are less than half a period
LOWEST, HIGHEST = 700_000, 8_000_000
RUNS, PART = 100, 3
DAY_S = 86_400


@pytest.fixture
def shrunk(monkeypatch):
    monkeypatch.setattr(clock, "TICKS_MASK", PERIOD_US - 1)
    monkeypatch.setattr(clock, "_HALF", PERIOD_US // 2)
    monkeypatch.setattr(ports, "TICKS_PERIOD", PERIOD_US)
    for module in (dosing, delivery):
        monkeypatch.setattr(module, "WORD_MAX_US", PERIOD_US // 4 - 1_000_000)
    monkeypatch.setattr(app, "WAKE_EARLY_US", PERIOD_US // 10)


def act(pump: Pump, rng: random.Random) -> str:
    name = rng.choice(("rate", "rate", "vtbi", "bolus", "extended", "kvo", "pause", "resume", "resume", "stop"))
    rate = spread(LOWEST, HIGHEST, rng.random())
    if name == "rate":
        return pump.rate(rate)
    if name == "vtbi":
        return pump.vtbi(rate, spread(1_000, 300_000, rng.random()), rng.choice(("stop", "kvo")))
    if name in ("bolus", "extended"):
        return pump.bolus(spread(1_000, 200_000, rng.random()), spread(5, 3_000, rng.random()), int(name == "extended"))
    if name == "kvo":
        return pump.kvo()
    return pump.command(name, signed=name != "stop")


def test_a_day_of_a_thousand_wraps_is_exact(shrunk, part):
    for seed in part(range(RUNS), PART):
        rng = random.Random(seed)
        pump = opened(seed, kvo_nl_per_day=LOWEST)
        while pump.core.now_us < DAY_S * 1_000_000:
            act(pump, rng)
            pump.check()
            pump.run(spread(0.05, 8_000, rng.random()))
            pump.check()
        pump.command("stop", signed=False)
        pump.judge()
        uptime = pump.command("clock", signed=False).split("uptime_s=")[1].split()[0]
        assert abs(Fraction(pump.core.now_us, 1_000_000) - int(uptime)) <= 2, f"seed {seed}"
