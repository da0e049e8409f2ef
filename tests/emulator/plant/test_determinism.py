"""Equal seed and calls give equal values, and looking changes nothing."""

from __future__ import annotations

import random

import pytest

from haipump_emulator.plant import Plant, Truth
from haipump_emulator.plant.fluid import Fluid, ModelError
from tests.emulator.plant.rig import BASAL_US, HOUR, S, params, smooth, train


def lived(look_seed: int | None, friction: bool) -> tuple[Truth, list[int]]:
    """Two hours of everything; with a look seed, it is looked at in between at random times."""
    plant = Plant(params(line={"air_nl": 100_000.0}) if friction else smooth(line={"air_nl": 100_000.0}), 3)
    happenings = [
        (1 * S, lambda t: plant.set_enable(t, True)),
        (900 * S, lambda t: plant.height(t, 30.0, 400)),
        (1_500 * S, lambda t: plant.warm(t, 35.0, 1_000)),
        (2_000 * S, lambda t: plant.capture(t, False)),
        (2_500 * S, lambda t: plant.height(t, 295.0, 10)),
        (3_000 * S, lambda t: plant.height(t, 0.0, 100)),
        (3_500 * S, lambda t: plant.occlude(t)),
        (5_000 * S, lambda t: plant.release(t)),
        (5_500 * S, lambda t: plant.leak(t, 4.0)),
        (6_000 * S, lambda t: plant.set_enable(t, False)),
        (6_100 * S, lambda t: plant.set_enable(t, True)),
    ]
    happenings += [(2 * S + i * 700_000, plant.step) for i in range(10_000)]
    happenings.sort(key=lambda happening: happening[0])
    look = random.Random(look_seed)
    readings, now = [], 0
    for i, (t, act) in enumerate(happenings):
        if look_seed is not None and i % 5 == 0:
            for _ in range(look.randrange(4)):
                now = look.randint(now, t)
                look.choice((plant.truth, plant.pressure_raw, plant.temperature_mc, plant.switches))(now)
        now = t
        act(t)
        if i % 100 == 0:
            readings.append(plant.pressure_raw(t + 1_000))
            now = t + 1_000
    return plant.truth(2 * HOUR), readings


@pytest.mark.parametrize("friction", [True, False])
def test_looking_changes_nothing(friction: bool) -> None:
    unseen = lived(None, friction)
    assert lived(None, friction) == unseen
    assert lived(5, friction) == unseen  # bit for bit
    assert lived(6, friction) == unseen


def test_truth_between_events_is_the_integral() -> None:
    plant = Plant(params())
    plant.set_enable(0, True)
    t = train(plant, 0, 400, BASAL_US)
    before = plant.truth(t + 2_000_000)
    plant.seal(t + 2_000_000)  # an event that changes nothing
    after = plant.truth(t + 2_000_000)
    assert after.pressure_pa == pytest.approx(before.pressure_pa, rel=1e-12)
    assert after.arrived_nl == pytest.approx(before.arrived_nl, rel=1e-12)


def test_time_does_not_go_back() -> None:
    plant = Plant()
    plant.set_enable(S, True)
    for call in (plant.step, plant.release, plant.truth, plant.pressure_raw):
        with pytest.raises(ValueError, match="time can't go back"):
            call(S - 1)


def test_a_model_that_chatters_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haipump_emulator.plant.fluid.EVENTS_MAX", 3)
    plant = Plant(params(line={"air_nl": 1_000_000.0}))
    plant.occlude(0)
    plant.warm(0, -20.0, 100)
    with pytest.raises(ModelError, match="come to rest"):
        plant.truth(HOUR)
    monkeypatch.setattr("haipump_emulator.plant.fluid.SETTLE_MAX", 0)
    with pytest.raises(ModelError, match="settle"):
        Fluid(params(), 369.8, 50_000.0).push(-1e6)
