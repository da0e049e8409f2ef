"""What breaks in the drive, the line and the sensors: each fault does what it says, and ends."""

from __future__ import annotations

import pytest

from tests.emulator.plant.rig import S, residue, running, smooth, train


@pytest.mark.parametrize(
    ("fault", "value", "rotor", "ignored", "missed"),
    [
        ("ok", 0, 1_000, 0, 0),
        ("stall", 0, 0, 0, 1_000),
        ("loss", 250, 750, 250, 0),
        ("slip", 250, 1_000, 0, 0),
    ],
)
def test_what_the_rotor_does(fault: str, value: int, rotor: int, ignored: int, missed: int) -> None:
    plant = running(smooth())
    plant.mechanics(0, fault, value)
    truth = plant.truth(train(plant, 0, 1_000, 10_000))
    assert (truth.motor_steps, truth.ignored_steps, truth.missed_steps) == (rotor, ignored, missed)
    assert truth.commanded_steps == 1_000


def test_a_slip_moves_less_than_the_encoder_shows() -> None:
    plant, sound = running(smooth()), running(smooth())
    plant.mechanics(0, "slip", 250)
    t = train(plant, 0, 1_000, 10_000)
    train(sound, 0, 1_000, 10_000)
    assert plant.encoder_raw(t) == sound.encoder_raw(t)
    assert plant.truth(t).carriage_um == pytest.approx(0.75 * sound.truth(t).carriage_um, rel=0.01)


def test_more_play_takes_longer_to_turn() -> None:
    plant = running(smooth())
    plant.mechanics(0, "backlash", 100)  # 160 microsteps
    t = train(plant, 0, 200, 10_000) + 3_600 * S
    pushed = plant.truth(t).pushed_nl
    t = train(plant, t, 150, 10_000, -1)
    assert plant.truth(t).pushed_nl == pytest.approx(pushed)
    t = train(plant, t, 50, 10_000, -1)
    assert plant.truth(t).pushed_nl < pushed - 1_000


def test_play_that_is_mended_pulls_nothing() -> None:
    plant = running(smooth(screw={"error_um": 0.0, "backlash_um": 50.0}))
    t = train(plant, 0, 200, 10_000) + 3_600 * S
    plant.mechanics(t, "backlash", 1_000)  # 1,600 microsteps
    t = train(plant, t, 800, 10_000, -1)
    before = plant.truth(t)
    plant.mechanics(t, "ok")
    t = train(plant, t, 10, 10_000)
    assert plant.truth(t).pushed_nl == pytest.approx(before.pushed_nl, abs=1)
    assert plant.truth(t).pressure_pa == pytest.approx(before.pressure_pa, abs=1)
    t = train(plant, t, 90, 10_000)  # the play that it always has, and 20 more
    assert plant.truth(t + 60 * S).pushed_nl == pytest.approx(before.pushed_nl * 220 / 200, rel=0.001)


def test_a_fault_of_the_drive_ends() -> None:
    plant = running(smooth())
    for fault in ("stall", "slip", "loss"):
        plant.mechanics(0, fault, 500)
    plant.mechanics(0, "ok")
    assert plant.truth(train(plant, 0, 640, 10_000)).motor_steps == 640


def test_a_bubble_takes_up_volume_and_none_is_made() -> None:
    plant = running(smooth())
    t = train(plant, 0, 500, 10_000)
    before = plant.truth(t)
    plant.air(t, 500_000)
    after = plant.truth(t)
    assert after.stored_nl == pytest.approx(before.stored_nl) and after.pressure_pa == before.pressure_pa
    plant.occlude(t)
    t = train(plant, t, 500, 10_000)
    soft = plant.truth(t)
    assert abs(residue(soft)) < 1
    plant.air(t, 0)
    assert abs(residue(plant.truth(t + S))) < 1
    stiff = running(smooth())
    u = train(stiff, 0, 500, 10_000)
    stiff.occlude(u)
    u = train(stiff, u, 500, 10_000)
    assert soft.pressure_pa < stiff.truth(u).pressure_pa * 0.7


def test_a_slow_sensor_holds_its_reading() -> None:
    plant = running(smooth())
    plant.sensor(0, "encoder", "slow", 10)
    first = plant.encoder_raw(1)
    t = train(plant, 1, 400, 10_000)
    assert plant.encoder_raw(t) == first
    assert plant.encoder_raw(10 * S) != first


@pytest.mark.parametrize("sensor", ["pressure", "supply", "switches"])
def test_a_loose_contact_reads_nothing_now_and_then(sensor: str) -> None:
    plant = running(smooth())
    plant.sensor(0, sensor, "intermittent", 0.3)
    read = {"pressure": plant.pressure_raw, "supply": plant.supply_mv, "switches": plant.switches}[sensor]
    zeros = sum(read(t * 100_000) == 0 for t in range(1, 1_001))
    assert 230 < zeros < 370
    plant.sensor(101 * S, sensor, "ok")
    assert all(read(101 * S + t * 100_000) for t in range(100))


def test_what_there_is_not_is_refused() -> None:
    plant = running(smooth())
    with pytest.raises(ValueError, match="known are ok, stall"):
        plant.mechanics(0, "rust")
    with pytest.raises(ValueError, match="outside 0 to 1,000"):
        plant.mechanics(0, "loss", 1_001)
    with pytest.raises(ValueError, match="a bubble has"):
        plant.air(0, -1)
    with pytest.raises(ValueError, match="needs a value"):
        plant.sensor(0, "pressure", "slow")
