"""Volume is conserved: pushed = arrived + stored + leaked, each integrated by itself."""

from __future__ import annotations

import random

import pytest

from haipump_emulator.plant import Plant, for_syringe
from haipump_emulator.plant.fluid import Fluid
from tests.emulator.plant.rig import BASAL_US, DAY, HOUR, S, params, residue, running, smooth, train

# (hour, what happens); the plant steps at the basal rate all the while
DISTURBANCES = [
    (3, lambda p, t: p.occlude(t)),
    (15, lambda p, t: p.release(t)),
    (20, lambda p, t: p.occlude(t, 5_000.0)),
    (29, lambda p, t: p.release(t)),
    (30, lambda p, t: p.leak(t, 3.0)),
    (37, lambda p, t: p.occlude(t)),
    (44, lambda p, t: p.release(t)),
    (45, lambda p, t: p.seal(t)),
    (50, lambda p, t: p.warm(t, 31.5, 7_200)),
    (60, lambda p, t: p.warm(t, 18.0, 0)),
    (70, lambda p, t: p.height(t, 40.0, 20)),
    (90, lambda p, t: p.height(t, -25.0, 0)),
    (100, lambda p, t: p.capture(t, False)),
    (102, lambda p, t: p.height(t, 295.0, 60)),
    (103, lambda p, t: p.height(t, 0.0, 60)),
    (110, lambda p, t: p.capture(t, True)),
    (120, lambda p, t: p.set_enable(t, False)),
    (122, lambda p, t: p.set_enable(t, True)),
    (130, lambda p, t: p.set_direction(t, -1)),
    (131, lambda p, t: p.set_direction(t, 1)),
    (140, lambda p, t: p.supply(t, 0)),
    (141, lambda p, t: p.supply(t, 5_000)),
    (150, lambda p, t: p.refill(t, 29_000_000)),
    (160, lambda p, t: p.artery(t, 8_000.0)),
    (170, lambda p, t: p.occlude(t)),
    (190, lambda p, t: p.refill(t, 30_000_000)),
    (191, lambda p, t: p.release(t)),
    (200, lambda p, t: train(p, t, 4_000, 1_100)),
]


def fourteen_days(plant: Plant, days: int = 14) -> float:
    """Run it with everything that can happen; returns the worst residue seen in between."""
    worst, t, todo = 0.0, 0, list(DISTURBANCES)
    while t < days * DAY:
        t += BASAL_US
        plant.step(t)
        if todo and t >= todo[0][0] * HOUR:
            worst = max(worst, abs(residue(plant.truth(t))))
            t = todo.pop(0)[1](plant, t) or t
            worst = max(worst, abs(residue(plant.truth(t))))
    assert not todo
    return max(worst, abs(residue(plant.truth(t + BASAL_US // 2))))


@pytest.mark.parametrize("friction", [True, False])
def test_fourteen_days_with_all_disturbances(friction: bool) -> None:
    line = {"air_nl": 300_000.0}
    p = params(line=line, environment={"drift_k_per_h": 0.05}) if friction else smooth(line=line)
    plant = running(p)
    worst = fourteen_days(plant)
    end = plant.truth(14 * DAY + HOUR)
    assert worst < 1e-3  # the bar is 1 nL
    assert end.pushed_nl > 17_000_000
    assert end.leaked_nl > 100_000
    assert abs(end.thermal_nl) > 1_000
    assert end.missed_steps == 0


@pytest.mark.parametrize("seed", range(25))
def test_random_lives(seed: int) -> None:
    """Anything in any order, with random parameters: conserved, inside its bounds, and it comes to rest."""
    draw = random.Random(seed)
    static = draw.choice([0.0, 0.3, 6.0])
    p = params(
        for_syringe(draw.choice([1, 3, 10, 30, 60])),
        line={
            "air_nl": draw.choice([0.0, 50_000.0, 2_000_000.0]),
            "resistance_pa_s_per_nl": draw.choice([0.01, 0.2, 652.0]),
        },
        environment={"drift_k_per_h": draw.choice([0.0, 2.0, -2.0])},
    )
    kinetic = static * draw.choice([0.5, 1.0])
    size = {"initial_nl": draw.choice([p.syringe.capacity_nl, p.syringe.capacity_nl // 3, 20_000])}
    force = {"friction_static_n": static, "friction_kinetic_n": kinetic}
    plant = Plant(params(p, syringe={**size, **force, "captured": draw.random() < 0.5}), seed)
    happenings = [
        lambda t: plant.occlude(t, draw.choice([None, 1.0, 1e5])),
        plant.release,
        lambda t: plant.leak(t, draw.choice([0.1, 10.0, 1e5])),
        plant.seal,
        lambda t: plant.warm(t, draw.uniform(10, 40), draw.uniform(0, 3_600)),
        lambda t: plant.height(t, draw.uniform(-200, 200), draw.uniform(0, 600)),
        lambda t: plant.capture(t, draw.random() < 0.5),
        lambda t: plant.set_enable(t, draw.random() < 0.8),
        lambda t: plant.set_direction(t, draw.choice([1, -1])),
        lambda t: plant.artery(t, draw.uniform(-5_000, 20_000)),
        lambda t: plant.refill(t, draw.choice([30_000, p.syringe.capacity_nl])),
        lambda t: plant.supply(t, draw.choice([0, 5_000])),
    ]
    t = 0
    plant.set_enable(t, True)
    for _ in range(60):
        t += draw.choice([1, 1_000, S, 600 * S, 4 * HOUR])
        draw.choice(happenings)(t)
        period = draw.choice([900, 20_000, S])
        for _ in range(draw.choice([0, 30, 300])):
            t += period
            plant.step(t)
        truth = plant.truth(t)
        assert abs(residue(truth)) < 1e-3
        assert -101_000 < truth.pressure_pa < 2e7
        assert 0 <= truth.reservoir_nl <= p.syringe.capacity_nl + p.syringe.overfill_nl
        assert truth.captured or truth.thrust_n > -1e-6


@pytest.mark.parametrize("spoiled", ["arrived", "leaked", "moved", "fall"])
def test_a_spoiled_integral_is_seen(spoiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = ["fall", "arrived", "leaked", "moved"].index(spoiled)
    original = Fluid._flow

    def wrong(self: Fluid, dt: int) -> tuple[float, ...]:
        found = list(original(self, dt))
        found[index] *= 1.0001
        return tuple(found)

    monkeypatch.setattr(Fluid, "_flow", wrong)
    plant = running(smooth())
    plant.leak(0, 1.0)
    t = train(plant, 0, 2_000, S)
    assert abs(residue(plant.truth(t))) > 1


def test_empty_syringe_gives_exactly_what_was_in_it() -> None:
    plant = running(params(syringe={"initial_nl": 400_000}))
    t = train(plant, 0, 2_200, 100_000)
    truth = plant.truth(t + HOUR)
    assert truth.reservoir_nl == 0
    assert truth.pushed_nl == pytest.approx(400_000, abs=1e-6)
    assert abs(residue(truth)) < 1e-6
