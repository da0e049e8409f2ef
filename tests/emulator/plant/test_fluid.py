"""Pressure, stopper and line against formulas and against a crude numerical integration."""

from __future__ import annotations

import math

import pytest

from haipump_emulator.plant import Plant, PlantParams
from haipump_emulator.plant.fluid import storage_curve
from tests.emulator.plant.rig import BASAL_US, DAY, HOUR, S, params, residue, running, smooth, train

AREA = math.pi / 4 * 21.7**2  # mm2
SPRING = AREA**2 / 30 * 1e-3  # nL/Pa
STEP_NL = AREA * 2_000 / 3_200


def test_occluded_pressure_rises_by_flow_over_compliance() -> None:
    plant = running(smooth())
    plant.occlude(0)
    t = train(plant, 0, 1_000, BASAL_US)
    truth = plant.truth(t + 5 * S)
    assert truth.pressure_pa == pytest.approx(1_000 * STEP_NL / (1.0 + SPRING), rel=1e-9)
    assert truth.stored_nl == pytest.approx(truth.pressure_pa * 1.0, rel=1e-9)
    assert truth.arrived_nl == 0
    assert truth.occluded


def test_release_gives_the_stored_bolus() -> None:
    plant = running(smooth())
    plant.occlude(0)
    t = train(plant, 0, 2_000, BASAL_US)
    before = plant.truth(t)
    plant.release(t)
    after = plant.truth(t + 60 * S)
    bolus = after.arrived_nl - before.arrived_nl
    assert bolus == pytest.approx((1.0 + SPRING) * before.pressure_pa, rel=1e-9)
    assert after.pressure_pa == pytest.approx(0, abs=1e-3)
    assert not after.occluded


@pytest.mark.parametrize("resistance", [0.2, 652.0])
def test_time_constant(resistance: float) -> None:
    plant = running(smooth(line={"resistance_pa_s_per_nl": resistance}))
    t = train(plant, 0, 1, S)
    start = plant.truth(t).pressure_pa
    tau_us = resistance * (1.0 + SPRING) * 1e6
    assert plant.truth(t + round(tau_us)).pressure_pa / start == pytest.approx(math.exp(-1), rel=1e-5)
    assert start == pytest.approx(STEP_NL / (1.0 + SPRING), rel=1e-9)


def test_partial_occlusion_settles_at_flow_times_resistance() -> None:
    plant = running(smooth())
    plant.occlude(0, 999.8)
    t = train(plant, 0, 6_000, BASAL_US)  # 15 nL/s
    mean = STEP_NL / (BASAL_US / 1e6) * 1_000
    assert plant.truth(t + BASAL_US // 2).pressure_pa == pytest.approx(mean, rel=0.01)


def test_leak_takes_its_share() -> None:
    plant = running(smooth())
    plant.leak(0, 0.6)  # line 0.2: three quarters arrive
    t = train(plant, 0, 500, S)
    truth = plant.truth(t + 60 * S)
    assert truth.leaking
    assert truth.leaked_nl / truth.pushed_nl == pytest.approx(0.25, rel=1e-6)
    assert truth.arrived_nl / truth.pushed_nl == pytest.approx(0.75, rel=1e-6)
    plant.seal(t + 60 * S)
    assert not plant.truth(t + 60 * S).leaking


def test_an_obstacle_is_in_series_with_the_line() -> None:
    plant = running(smooth())
    plant.occlude(0, 0.2)
    plant.leak(0, 0.4)
    t = train(plant, 0, 500, S)
    truth = plant.truth(t + 60 * S)
    assert truth.leaked_nl == pytest.approx(truth.arrived_nl, rel=1e-6)


def test_artery_pressure_drives_blood_back_through_a_leak() -> None:
    plant = running(smooth(artery={"mean_pa": 13_000.0}))
    plant.leak(0, 10.0)
    truth = plant.truth(HOUR)
    assert truth.arrived_nl == pytest.approx(-13_000 / 10.2 * 3_600, rel=1e-3)
    assert truth.leaked_nl > 0
    assert abs(residue(truth)) < 1e-5


def test_stick_slip_volume() -> None:
    """dV = A (Fs - Fk) / k, critically damped, when the line lets it out."""
    plant = running(params(screw={"error_um": 0.0}, motor={"microstep_error_full_steps": 0.0}))
    pushed, previous = [], -1
    t = 0
    for _ in range(3_000):
        t += BASAL_US
        plant.step(t)
        truth = plant.truth(t + BASAL_US - 1)
        if truth.slips != previous:
            pushed.append(truth.pushed_nl)
            previous = truth.slips
    slips = [b - a for a, b in zip(pushed[1:], pushed[2:], strict=False)]
    expected = AREA * (6.0 - 4.0) / 30 * 1_000  # nL
    assert len(slips) > 20
    assert sum(slips) / len(slips) == pytest.approx(expected, rel=0.02)
    # one slip every 27 min at 1.3 mL/day for 2 N, after 1.4 h of taking up the spring
    assert plant.truth(t).slips == pytest.approx((t / 6e7 - 82) / 27.3, abs=1.5)


def test_slip_into_a_closed_line_is_limited_by_its_compliance() -> None:
    plant = running(params(screw={"error_um": 0.0}, motor={"microstep_error_full_steps": 0.0}))
    plant.occlude(0)
    t, before = 0, plant.truth(0)
    while plant.truth(t).slips == 0:
        before = plant.truth(t)
        t += S
        plant.step(t)
    rise = plant.truth(t).pressure_pa - before.pressure_pa
    drop = 2.0 / (AREA * 1e-6)
    assert rise == pytest.approx(drop * SPRING / (1.0 + SPRING), rel=0.03)


def test_start_up_takes_up_the_friction() -> None:
    plant = running(params())
    t = train(plant, 0, 300, BASAL_US)
    assert plant.truth(t).pushed_nl == 0
    t = train(plant, t, 60, BASAL_US)  # 74 uL = 320 steps
    assert plant.truth(t).slips == 1


def test_equal_frictions_slide_without_slips() -> None:
    plant = running(params(syringe={"friction_kinetic_n": 6.0}, screw={"error_um": 0.0}))
    t = train(plant, 0, 2_000, BASAL_US)
    truth = plant.truth(t + 10 * S)
    assert truth.stopper == "sliding"
    assert truth.pushed_nl == pytest.approx(2_000 * STEP_NL - AREA * 6.0 / 30 * 1_000, rel=1e-3)


def test_pulling_mirrors_pushing() -> None:
    base = params(
        screw={"error_um": 0.0}, motor={"microstep_error_full_steps": 0.0}, syringe={"initial_nl": 20_000_000}
    )
    push, pull = running(base), running(params(base, screw={"backlash_um": 0.0}))
    pull.set_direction(0, -1)
    for i in range(1, 2_000):
        t = i * 3_000_000
        push.step(t)
        pull.step(t)
        forth, back = push.truth(t + S), pull.truth(t + S)
        assert back.pushed_nl == pytest.approx(-forth.pushed_nl, abs=1e-3)
        assert back.pressure_pa - 13_000 == pytest.approx(13_000 - forth.pressure_pa, abs=1e-3)
    assert push.truth(t).slips > 5


def test_a_sliding_stopper_does_not_slide_back() -> None:
    plant = running(params())
    t = train(plant, 0, 1_000, 20_000)
    assert plant.truth(t).stopper == "sliding"
    plant.artery(t, 20_000.0)
    before = plant.truth(t)
    after = plant.truth(t + 60 * S)
    assert (before.stopper, after.stopper) == ("stuck", "stuck")
    assert after.pushed_nl == before.pushed_nl
    assert after.arrived_nl < before.arrived_nl


def loose_and_closed() -> Plant:
    """With friction, plunger not held, nothing flows; static friction is worth 16.2 kPa, kinetic 10.8 kPa."""
    base = smooth(syringe={"friction_static_n": 6.0, "friction_kinetic_n": 4.0, "captured": False})
    plant = running(params(base, syringe={"initial_nl": 20_000_000}))
    plant.occlude(0)
    return plant


def test_a_slip_back_meets_the_pusher_on_its_way() -> None:
    plant = loose_and_closed()
    train(plant, 0, 9, 100_000, -1)
    gap = 9 * STEP_NL
    plant.warm(S, 12.0, 1_000)  # the barrel shrinks: 50 uL into 1 uL/kPa
    t = S
    while plant.truth(t).slips == 0:
        t += 100_000
    static, kinetic = 6.0 / (AREA * 1e-6), 4.0 / (AREA * 1e-6)
    rest = (static - gap - kinetic) / (1 + 1 / SPRING)
    assert plant.truth(t).pushed_nl - plant.truth(t).thermal_nl == pytest.approx(-gap - rest, rel=1e-3)
    assert plant.truth(t).thrust_n == pytest.approx(rest / SPRING * AREA * 1e-6, rel=1e-3)


def test_a_slip_forwards_leaves_the_pusher() -> None:
    plant = loose_and_closed()
    train(plant, 0, 4, 100_000)
    plant.warm(S, 32.0, 1_000)
    t = S
    while plant.truth(t).slips == 0:
        t += 100_000
    truth = plant.truth(t)
    assert truth.stopper == "free"
    assert truth.pressure_pa == pytest.approx(-4.0 / (AREA * 1e-6))
    assert truth.thrust_n == 0


def numerical(p: PlantParams, times_us: list[int], until_us: int, dt_us: int = 200) -> list[tuple[float, float]]:
    """(pressure, arrived) each second by explicit small steps, straight from the equations of the model."""
    k, c, resistance = p.syringe.spring_n_per_mm / 1e3, p.line.compliance_nl_per_pa, p.line.resistance_pa_s_per_nl
    static, kinetic = p.syringe.friction_static_n, p.syringe.friction_kinetic_n
    stick_um_per_s = p.syringe.stick_speed_um_per_s
    pressure = p.artery.mean_pa
    pusher = pressure * AREA * 1e-6 / k
    stopper = arrived = 0.0
    sliding, pending, found = False, list(times_us), []
    for t in range(0, until_us, dt_us):
        if t % S == 0:
            found.append((pressure, arrived))
        while pending and pending[0] <= t:
            pusher += 0.625
            pending.pop(0)
        out = (pressure - p.artery.mean_pa) / resistance * dt_us * 1e-6
        arrived += out
        pressure -= out / c
        force = k * (pusher - stopper) - pressure * AREA * 1e-6
        if sliding or force > static:
            move = (force - kinetic) / (k + AREA**2 / c * 1e-6)
            if not sliding or move > stick_um_per_s * dt_us * 1e-6:
                sliding = True
                stopper += move
                pressure += AREA * move / c
            else:
                sliding = False
    return found


@pytest.mark.parametrize("resistance", [0.2, 5.0])
def test_against_numerical_integration(resistance: float) -> None:
    p = params(
        screw={"error_um": 0.0},
        motor={"microstep_error_full_steps": 0.0},
        line={"resistance_pa_s_per_nl": resistance},
        syringe={"friction_static_n": 0.8, "friction_kinetic_n": 0.65, "stick_speed_um_per_s": 0.7},
    )
    times = [1_500_200 + i * 700_000 for i in range(100)]
    oracle = numerical(p, times, 90 * S)
    plant, todo = running(p), list(times)
    for second, (pressure, arrived) in enumerate(oracle):
        while todo and todo[0] <= second * S:
            plant.step(todo.pop(0))
        truth = plant.truth(second * S)
        assert truth.pressure_pa == pytest.approx(pressure, abs=3)
        assert truth.arrived_nl == pytest.approx(arrived, abs=15)
    assert plant.truth(90 * S).slips >= 2
    assert plant.truth(90 * S).arrived_nl > 10_000


def test_temperature_pushes_and_sucks() -> None:
    plant = running(smooth())
    plant.warm(0, 32.0, 3_600)  # 10 K, -5 uL/K
    half = plant.truth(HOUR // 2)
    assert half.temperature_c == pytest.approx(27.0)
    assert half.thermal_nl == pytest.approx(-25_000)
    end = plant.truth(2 * HOUR)
    assert end.temperature_c == pytest.approx(32.0)
    assert end.thermal_nl == pytest.approx(-50_000)
    assert end.arrived_nl == pytest.approx(-50_000, rel=1e-6)


def test_drift_lasts_until_it_is_warmed() -> None:
    plant = running(smooth(environment={"drift_k_per_h": 1.0}))
    assert plant.truth(10 * HOUR).temperature_c == pytest.approx(32.0)
    assert plant.truth(10 * HOUR).pushed_nl == pytest.approx(-50_000, rel=1e-4)
    plant.warm(10 * HOUR, 22.0, 60)
    assert plant.truth(20 * HOUR).temperature_c == pytest.approx(22.0)


def test_a_new_warming_replaces_the_old_one() -> None:
    plant = running(smooth())
    plant.warm(0, 42.0, 3_600)
    plant.warm(HOUR // 2, 20.0, 7_200)
    assert plant.truth(HOUR // 2 + 2 * HOUR).temperature_c == pytest.approx(20.0)
    assert plant.truth(5 * HOUR).temperature_c == pytest.approx(20.0)


def test_height_is_a_water_column() -> None:
    plant = running(smooth())
    plant.height(0, 10.0, 100)
    for second in (20, 50, 80):
        assert plant.truth(second * S).height_cm == pytest.approx(second / 10, abs=0.051)
    end = plant.truth(HOUR)
    assert end.height_cm == pytest.approx(10.0)
    assert end.pressure_pa == pytest.approx(-980, rel=1e-6)
    assert end.arrived_nl == pytest.approx(980 * (1.0 + SPRING), rel=1e-6)


def test_a_new_height_replaces_a_ramp_under_way() -> None:
    plant = running(smooth())
    plant.height(0, 50.0, 100)
    plant.height(50 * S, 0.0, 10)
    assert plant.truth(HOUR).height_cm == pytest.approx(0.0, abs=1e-9)
    assert plant.truth(HOUR).pressure_pa == pytest.approx(0.0, abs=1e-6)


def test_a_plunger_that_is_not_held_siphons_and_is_pushed_back() -> None:
    plant = running(smooth(syringe={"captured": False}))
    plant.height(0, 50.0, 0)
    truth = plant.truth(60 * S)
    assert truth.stopper == "free"
    assert truth.thrust_n == 0
    assert truth.arrived_nl == pytest.approx(4_900 / 0.2 * 60, rel=1e-3)
    plant.height(60 * S, -50.0, 0)
    back = plant.truth(200 * S)
    assert back.stopper == "sliding"  # it leans on the pusher again
    assert back.pushed_nl == pytest.approx(-4_900 * SPRING, rel=1e-6)
    assert abs(residue(back)) < 1e-6


def test_a_held_plunger_does_not_siphon() -> None:
    plant = running(smooth())
    plant.height(0, 50.0, 0)
    truth = plant.truth(600 * S)
    assert truth.arrived_nl == pytest.approx(4_900 * (1.0 + SPRING), rel=1e-6)
    assert truth.thrust_n < 0


def test_friction_holds_a_loose_plunger_against_a_small_siphon() -> None:
    loose = params(syringe={"captured": False}, artery={"mean_pa": 0.0, "pulse_pa": 0.0})
    plant = running(loose)
    plant.height(0, 100.0, 0)  # 9.8 kPa against 16.2 kPa of static friction
    assert plant.truth(HOUR).stopper == "stuck"
    plant.height(HOUR, 250.0, 0)
    truth = plant.truth(HOUR + 60 * S)
    assert truth.stopper == "free"
    kinetic = 4.0 / (AREA * 1e-6)
    assert truth.pressure_pa == pytest.approx(-kinetic)
    assert truth.arrived_nl == pytest.approx((24_500 - kinetic) / 0.2 * 60, rel=0.01)
    plant.height(HOUR + 60 * S, 30.0, 0)
    assert plant.truth(2 * HOUR).stopper == "stuck"


def test_a_loose_pusher_only_pushes() -> None:
    plant = running(smooth(syringe={"captured": False, "initial_nl": 20_000_000}))
    t = train(plant, 0, 1_000, 100_000, -1)
    truth = plant.truth(t + 60 * S)
    assert truth.pushed_nl == pytest.approx(0, abs=1e-6)
    t = train(plant, t + 60 * S, 1_000, 100_000)
    assert plant.truth(t + 60 * S).pushed_nl == pytest.approx(0, abs=1e-6)
    t = train(plant, t + 60 * S, 100, 100_000)
    assert plant.truth(t + 60 * S).pushed_nl == pytest.approx(100 * STEP_NL, rel=1e-6)


def test_a_held_plunger_is_pulled() -> None:
    plant = running(smooth(syringe={"initial_nl": 20_000_000}))
    t = train(plant, 0, 1_000, 100_000, -1)
    truth = plant.truth(t + 60 * S)
    assert truth.pushed_nl == pytest.approx(-1_000 * STEP_NL, rel=1e-6)
    assert truth.reservoir_nl == pytest.approx(20_000_000 + 1_000 * STEP_NL, rel=1e-9)


def test_capture_and_let_go_under_tension() -> None:
    plant = running(smooth(syringe={"initial_nl": 20_000_000}))
    plant.occlude(0)
    t = train(plant, 0, 20, 100_000, -1)
    assert plant.truth(t).thrust_n < 0
    plant.capture(t, False)
    assert plant.truth(t).thrust_n == 0
    assert plant.truth(t).pressure_pa == pytest.approx(0, abs=1e-6)
    plant.capture(t, True)
    assert plant.truth(t).thrust_n == pytest.approx(0, abs=1e-9)
    assert abs(residue(plant.truth(t))) < 1e-6


def test_pulling_on_a_closed_line_cavitates() -> None:
    plant = running(smooth(syringe={"initial_nl": 20_000_000}))
    plant.occlude(0)
    t = train(plant, 0, 10_000, 10_000, -1)
    truth = plant.truth(t)
    assert -100_000 < truth.pressure_pa < -95_000
    assert abs(residue(truth)) < 1e-4
    plant.release(t)
    assert plant.truth(t + HOUR).pressure_pa == pytest.approx(0, abs=1e-3)
    assert abs(residue(plant.truth(t + HOUR))) < 1e-4


@pytest.mark.parametrize("friction", [True, False])
def test_air_is_compressed_isothermally(friction: bool) -> None:
    p = params(artery={"mean_pa": 0.0}) if friction else smooth()
    plant = running(params(p, line={"air_nl": 1_000_000.0}))
    plant.occlude(0)
    t = train(plant, 0, 3_400, 100_000)
    truth = plant.truth(t)
    pressure = truth.pressure_pa
    assert pressure > 60_000
    air = 1_000_000 * pressure / (101_325 + pressure)
    assert truth.stored_nl == pytest.approx(pressure + air, rel=1e-3)
    assert abs(residue(truth)) < 1e-5
    plant.release(t)
    end = plant.truth(t + DAY)
    assert abs(residue(end)) < 1e-5
    assert end.stored_nl == pytest.approx(0, abs=1)


def test_storage_curve_is_exact_at_its_edges() -> None:
    edges, pieces = storage_curve(1.0, 500_000.0, 101_325.0)
    total = 0.0
    for low, high, piece in zip(edges, edges[1:], pieces[1:], strict=False):
        total += (high - low) * piece
        exact = 500_000 * 101_325 * (1 / (101_325 + edges[0]) - 1 / (101_325 + high)) + (high - edges[0])
        assert total == pytest.approx(exact, rel=1e-9)
    assert len(pieces) == len(edges) + 1


def test_empty_stops_the_stopper_and_loads_the_pusher() -> None:
    plant = running(smooth(syringe={"initial_nl": 100_000}))
    t = train(plant, 0, 900, 50_000)
    truth = plant.truth(t + 60 * S)
    assert truth.reservoir_nl == pytest.approx(0, abs=0.01)
    assert truth.thrust_n == pytest.approx((900 * STEP_NL - 100_000) / AREA / 1_000 * 30, rel=1e-6)
    assert truth.pressure_pa == pytest.approx(0, abs=1e-3)
    t = train(plant, t + 60 * S, 900, 50_000, -1)  # and back: it pulls
    assert plant.truth(t + 60 * S).reservoir_nl == pytest.approx(100_000, rel=1e-3)


def test_the_bottom_is_hit_exactly_at_any_speed() -> None:
    plant = running(smooth(syringe={"initial_nl": 100_000}, line={"resistance_pa_s_per_nl": 0.001}))
    plant.occlude(0)
    t = train(plant, 0, 900, 50_000)
    plant.release(t)  # 37 nL in a microsecond
    truth = plant.truth(t + 60 * S)
    assert truth.reservoir_nl == 0
    assert truth.thrust_n == pytest.approx((900 * STEP_NL - 100_000) / AREA / 1_000 * 30, rel=1e-7)
    assert abs(residue(truth)) < 1e-6


def test_a_syringe_drawn_up_from_empty_gives_it_back() -> None:
    plant = running(params(syringe={"initial_nl": 100_000}))
    t = train(plant, 0, 1_000, 20_000)
    assert plant.truth(t + 60 * S).reservoir_nl == 0
    t = train(plant, t + 60 * S, 3_000, 20_000, -1)
    drawn = plant.truth(t + 60 * S).reservoir_nl
    assert drawn > 200_000
    t = train(plant, t + 60 * S, 3_000, 20_000)
    assert plant.truth(t + 60 * S).reservoir_nl == 0


def test_the_barrel_ends_behind_as_well() -> None:
    plant = running(smooth(syringe={"overfill_nl": 100_000}))
    t = train(plant, 0, 900, 50_000, -1)
    assert plant.truth(t + 60 * S).reservoir_nl == pytest.approx(30_100_000)
    t = train(plant, t + 60 * S, 900, 50_000)
    assert plant.truth(t + 60 * S).reservoir_nl == pytest.approx(30_000_000, abs=1)


def test_a_siphon_empties_the_barrel() -> None:
    plant = running(smooth(syringe={"captured": False, "initial_nl": 100_000}))
    plant.height(0, 100.0, 0)
    truth = plant.truth(HOUR)
    assert truth.reservoir_nl == pytest.approx(0, abs=0.1)
    assert truth.pressure_pa == pytest.approx(-9_800)
    assert abs(residue(truth)) < 1e-5


def test_blood_pushes_a_loose_plunger_to_the_end() -> None:
    plant = running(smooth(syringe={"captured": False, "initial_nl": 29_900_000, "overfill_nl": 0}))
    t = train(plant, 0, 2_000, 50_000, -1)
    plant.artery(t, 10_000.0)
    truth = plant.truth(t + HOUR)
    assert truth.reservoir_nl == pytest.approx(30_000_000, abs=0.1)
    assert abs(residue(truth)) < 1e-5
    t = train(plant, t + HOUR, 3_000, 50_000)
    assert plant.truth(t).reservoir_nl < 29_900_000


def test_refill_starts_at_the_line_pressure() -> None:
    plant = running(smooth(artery={"mean_pa": 13_000.0}))
    t = train(plant, 0, 1_000, 50_000)
    before = plant.truth(t + 60 * S)
    plant.refill(t + 60 * S, 25_000_000)
    after = plant.truth(t + 120 * S)
    assert after.reservoir_nl == pytest.approx(25_000_000, abs=1e-3)
    assert after.arrived_nl == pytest.approx(before.arrived_nl, abs=1e-3)
    assert after.carriage_um == pytest.approx(5_000_000 / AREA)
    with pytest.raises(ValueError, match="can't hold"):
        plant.refill(t + 120 * S, 40_000_000)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf])
def test_bad_resistances(bad: float) -> None:
    plant = Plant()
    with pytest.raises(ValueError, match="above 0"):
        plant.leak(0, bad)
    with pytest.raises(ValueError, match="above 0"):
        plant.occlude(0, bad)
