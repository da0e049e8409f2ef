"""Volume is conserved: pushed = arrived + stored + leaked, each integrated by itself."""

from __future__ import annotations

import pytest

from haipump_emulator.plant import Plant
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
    assert truth.reservoir_nl == pytest.approx(0, abs=0.01)  # events come at most 1 us late
    assert truth.pushed_nl == pytest.approx(400_000, abs=0.01)
    assert abs(residue(truth)) < 1e-6
