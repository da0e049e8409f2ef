"""Motor, screw, backlash, stops and switches."""

from __future__ import annotations

import math

import pytest

from haipump_emulator.plant import MotorParams, Plant, ScrewParams
from haipump_emulator.plant.motor import Motor
from haipump_emulator.plant.plant import IN_BACK, IN_CAPTURED, IN_DIAG, IN_FRONT
from haipump_emulator.plant.screw import Screw
from haipump_fw import ports
from tests.emulator.plant.rig import S, params, running, smooth, train

STEP_NL = math.pi / 4 * 21.7**2 * 2_000 / 3_200
FREE = (-1e9, 1e9)


def motor(**fields: float) -> Motor:
    made = Motor(params(motor=fields).motor, ScrewParams())
    made.enabled = True
    made.switch(FREE)
    return made


def test_the_bits_are_the_firmwares() -> None:
    assert (IN_FRONT, IN_BACK, IN_CAPTURED, IN_DIAG) == (
        ports.IN_FRONT,
        ports.IN_BACK,
        ports.IN_CAPTURED,
        ports.IN_DIAG,
    )


def test_steps_without_current_are_counted_and_ignored() -> None:
    plant = Plant(smooth())
    t = train(plant, 0, 10, 10_000)
    truth = plant.truth(t)
    assert (truth.commanded_steps, truth.ignored_steps, truth.motor_steps, truth.pushed_nl) == (10, 10, 0, 0)
    assert truth.position_uncertain


def test_direction_counts_signed() -> None:
    plant = running(smooth())
    t = train(plant, 0, 10, 10_000)
    t = train(plant, t, 14, 10_000, -1)
    truth = plant.truth(t)
    assert (truth.commanded_steps, truth.motor_steps) == (-4, -4)
    assert not truth.position_uncertain
    with pytest.raises(ValueError, match="direction"):
        plant.set_direction(t, 0)


@pytest.mark.parametrize(("position", "rests_at"), [(3, 0), (8, 0), (9, 16), (16, 16), (-3, 0), (-8, -16), (-9, -16)])
def test_without_current_the_rotor_falls_into_the_nearest_full_step(position: int, rests_at: int) -> None:
    plant = running(smooth())
    t = train(plant, 0, abs(position), 10_000, 1 if position > 0 else -1)
    plant.set_enable(t, False)
    truth = plant.truth(t)
    assert truth.motor_steps == rests_at
    assert truth.position_uncertain
    assert truth.pushed_nl != 0
    plant.set_enable(t + S, True)
    truth = plant.truth(t + S)
    assert truth.motor_steps == position
    assert not truth.position_uncertain
    assert plant.truth(t + 60 * S).pushed_nl == pytest.approx(position * STEP_NL, rel=1e-6)


def test_start_above_the_pull_in_speed_loses_steps() -> None:
    plant = running(smooth())
    t = train(plant, 0, 640, 500)  # 2000/s out of standstill
    truth = plant.truth(t)
    assert truth.missed_steps > 600
    assert truth.position_uncertain
    lost = truth.commanded_steps - truth.motor_steps
    train(plant, t + S, 1, 1_000)
    truth = plant.truth(t + S + 1_000)
    assert (truth.commanded_steps - truth.motor_steps) % 64 == 0
    assert truth.commanded_steps - truth.motor_steps >= lost - 32


def test_a_ramp_reaches_the_speed() -> None:
    plant = running(smooth())
    t, speed = 0, 300.0
    for _ in range(2_000):
        t += round(1e6 / speed)
        plant.step(t)
        speed = min(2_000.0, speed + 2_000.0 / speed)
    assert plant.truth(t).missed_steps == 0
    assert plant.truth(t).motor_steps == 2_000


def test_reversal_at_speed_counts_as_a_start() -> None:
    m = motor()
    t = 0
    for i in range(100):
        t += max(500, 3_000 - 25 * i)
        m.pulse(t, 0.0, FREE)
    assert m.missed == 0
    m.direction = -1
    m.pulse(t + 500, 0.0, FREE)
    assert m.missed == 1


def test_a_few_swallowed_steps_arrive_together() -> None:
    m = motor()
    m.pulse(10_000, 0.0, FREE)
    for i in range(5):
        assert m.pulse(20_000 + 10_000 * i, 1e6, FREE) == 0
    assert m.pulse(100_000, 0.0, FREE) == 6
    assert (m.missed, m.rotor, m.position_uncertain) == (5, 7, False)


def test_many_swallowed_steps_are_lost_in_electrical_turns() -> None:
    m = motor()
    for i in range(40):
        m.pulse(10_000 * (i + 1), 1e6, FREE)
    assert m.pulse(1_000_000, 0.0, FREE) == -23  # 41 behind: back to the stable place 64 behind
    assert m.commanded - m.rotor == 64
    assert m.position_uncertain


def test_torque_falls_with_speed_and_load_comes_through_the_screw() -> None:
    p, s = MotorParams(), ScrewParams()
    limit = p.torque_n_mm * 2 * math.pi * s.efficiency / (s.lead_um / 1_000) - s.drag_n  # 273 N
    for load, missed in ((0.99 * limit, 0), (1.01 * limit, 1)):
        m = motor()
        m.pulse(10**9, load, FREE)
        assert m.missed == missed
    m = motor(pull_in_steps_per_s=4_000.0)
    m.pulse(1_000_000, 0.55 * limit, FREE)
    m.pulse(1_000_000 + 250, 0.55 * limit, FREE)  # half of the torque at 4000/s
    assert m.missed == 1
    m = motor()
    m.pulse(5, 0.0, FREE)
    m.pulse(5, 0.0, FREE)  # two pulses in one microsecond
    assert m.missed == 1


def test_overload_stalls_the_plant_before_the_stop() -> None:
    plant = running(smooth(motor={"torque_n_mm": 20.0}))
    plant.occlude(0)
    t = train(plant, 0, 6_000, 5_000)
    truth = plant.truth(t)
    assert truth.missed_steps > 100
    limit = 20.0 * 2 * math.pi * 0.35 / 2 - 2
    assert truth.thrust_n < limit
    assert truth.thrust_n == pytest.approx(limit, rel=0.5)


def test_the_supply_takes_the_phase_along() -> None:
    plant = running(smooth())
    t = train(plant, 0, 10, 10_000)
    plant.supply(t, 0)
    truth = plant.truth(t)
    assert not truth.enabled
    assert truth.switches & IN_DIAG
    plant.supply(t + S, 5_000)
    truth = plant.truth(t + S)
    assert truth.enabled
    assert truth.motor_steps == 0  # home of the sequencer, not where it was
    assert truth.position_uncertain
    plant.refill(t + S, 30_000_000)
    assert not plant.truth(t + S).position_uncertain


def test_driver_fault() -> None:
    plant = running(smooth())
    plant.driver_fault(0, True)
    assert plant.switches(0) & IN_DIAG
    assert not plant.truth(0).enabled
    plant.driver_fault(S, False)
    assert plant.truth(S).enabled
    assert not plant.switches(S) & IN_DIAG


def test_backlash_on_reversal() -> None:
    plant = running(smooth(screw={"backlash_um": 50.0}))
    t = train(plant, 0, 1_000, 10_000)
    before = plant.truth(t + 60 * S).pushed_nl
    t = train(plant, t + 60 * S, 80, 10_000, -1)  # 50 um are 80 microsteps
    assert plant.truth(t + 60 * S).pushed_nl == pytest.approx(before)
    t = train(plant, t + 60 * S, 20, 10_000, -1)
    assert plant.truth(t + 60 * S).pushed_nl == pytest.approx(before - 20 * STEP_NL)
    t = train(plant, t + 60 * S, 80, 10_000)
    assert plant.truth(t + 60 * S).pushed_nl == pytest.approx(before - 20 * STEP_NL)
    t = train(plant, t + 60 * S, 20, 10_000)
    assert plant.truth(t + 60 * S).pushed_nl == pytest.approx(before)


def test_screw_error_repeats_each_turn() -> None:
    screw = Screw(params(motor={"microstep_error_full_steps": 0.0}))
    screw.place(0, 0.0)
    screw.turn_to(800)  # a quarter: all of the amplitude
    assert screw.nut / screw.area_mm2 == pytest.approx(500 + 10.0)
    screw.turn_to(3_200)
    assert screw.nut / screw.area_mm2 == pytest.approx(2_000)


def test_microstep_error_repeats_each_full_step() -> None:
    screw = Screw(params(screw={"error_um": 0.0}))
    screw.place(0, 0.0)
    screw.turn_to(4)
    assert screw.nut / screw.area_mm2 == pytest.approx(2.5 + 0.05 * 10)
    screw.turn_to(16)
    assert screw.nut / screw.area_mm2 == pytest.approx(10)


@pytest.mark.parametrize(("direction", "bit"), [(1, IN_FRONT), (-1, IN_BACK)])
def test_end_switch_before_the_hard_stop(direction: int, bit: int) -> None:
    """Switch 1 mm, stop 3 mm from the place where the train starts."""
    plant = running(
        smooth(
            syringe={"initial_nl": 15_000_000, "captured": False},
            screw={
                "front_switch_before_empty_um": 15_000_000 / 369.8361 - 1_000,
                "front_stop_after_empty_um": 0.0,
                "back_switch_before_full_um": 0.0,
                "back_stop_before_full_um": 2_000.0,
            },
        )
    )
    start = 15_000_000 if direction > 0 else 29_630_000
    plant.refill(0, start)
    t = train(plant, 0, 1_590, 2_000, direction)
    assert not plant.switches(t) & bit
    t = train(plant, t, 20, 2_000, direction)
    assert plant.switches(t) & bit
    assert plant.switches(t) & IN_CAPTURED == 0
    if direction < 0:
        t = train(plant, t, 4_800 - 1_610, 2_000, direction)
        before = plant.truth(t)
        t = train(plant, t, 500, 2_000, direction)
        truth = plant.truth(t)
        assert truth.missed_steps > 200  # it bounces off the stop, half of the pulses are followed
        assert truth.carriage_um == pytest.approx(-2_000, abs=41)  # one electrical turn is 40 um
        assert truth.carriage_um == pytest.approx(before.carriage_um, abs=41)
        t = train(plant, t, 200, 2_000, 1)
        assert plant.truth(t).carriage_um == pytest.approx(-1_875, abs=41)


def test_front_stop_stalls_the_motor() -> None:
    plant = running(smooth(syringe={"initial_nl": 100_000}))
    t = train(plant, 0, 3_000, 3_000)
    truth = plant.truth(t)
    assert truth.missed_steps > 400
    assert truth.carriage_um * 369.8361 == pytest.approx(30_000_000 + 369_836, abs=41 * 370)
    assert truth.switches & IN_FRONT
    assert truth.thrust_n == pytest.approx(30, abs=1.3)  # 1 mm of spring, less the bounce


def test_no_self_motion_into_a_stop() -> None:
    m = motor()
    m.pulse(10_000, 0.0, FREE)
    m.enabled = False
    assert m.switch((0.0, 5.0)) == 0
    assert not m.energised
    assert m.rotor == 1


@pytest.mark.parametrize(
    ("line", "fault", "moved"),
    [
        ("step", "ok", 64),
        ("step", "open", 0),
        ("step", "double", 128),
        ("step", "short", 48),
        ("dir", "flipped", -64),
        ("dir", "forward", 64),
        ("dir", "backward", -64),
        ("en", "on", 64),
        ("en", "off", 0),
    ],
)
def test_what_a_wire_at_fault_makes_of_steps(line: str, fault: str, moved: int) -> None:
    plant = Plant(smooth())
    plant.set_enable(0, True)
    plant.wire(0, line, fault)
    t = train(plant, 1_000, 64, 10_000)
    assert plant.truth(t).motor_steps == moved and plant.truth(t).commanded_steps == 64
    plant.wire(t, line, "ok")
    before = plant.truth(t).motor_steps
    t = train(plant, t + 10_000, 16, 10_000)
    assert plant.truth(t).motor_steps == before + 16 or fault == "off"


def test_an_enable_that_is_stuck_on_moves_a_motor_that_is_off() -> None:
    plant = Plant(smooth())
    plant.wire(0, "en", "on")
    t = train(plant, 1_000, 10, 10_000)
    assert plant.truth(t).enabled and plant.truth(t).motor_steps == 10


def test_an_unknown_wire_or_fault_is_refused_with_those_that_there_are() -> None:
    for line, fault in (("step", "loose"), ("led", "open")):
        with pytest.raises(ValueError, match="step: ok, open, double, short"):
            Plant(smooth()).wire(0, line, fault)


def test_a_shaft_is_turned_by_hand_unless_the_motor_holds() -> None:
    plant = Plant(smooth())
    plant.turn(1_000, 40)
    assert plant.truth(2_000).motor_steps == 40 and plant.truth(2_000).pushed_nl > 0
    plant.set_enable(3_000, True)
    held = plant.truth(3_500).motor_steps
    plant.turn(4_000, 40)
    assert plant.truth(5_000).motor_steps == held
    plant.set_enable(6_000, False)
    plant.turn(7_000, 10**9)
    truth = plant.truth(8_000)
    assert truth.switches & IN_FRONT and truth.motor_steps < 10**9
