"""Sensors: scaling, resolution, noise streams, faults."""

from __future__ import annotations

import statistics

import pytest

from haipump_emulator.plant import Plant, SensorFault
from haipump_emulator.plant.sensors import widen
from tests.emulator.plant.rig import HOUR, S, params, running, smooth, train


def test_a_conversion_is_widened_as_micropython_does() -> None:
    assert [widen(n) for n in (-5, 0, 1, 4_095, 9_999)] == [0, 0, 16, 65_535, 65_535]
    assert widen(2_048) == 2_048 << 4 | 2_048 >> 8


def test_pressure_scale() -> None:
    plant = running(smooth(artery={"mean_pa": 0.0}))
    assert plant.pressure_raw(0) == pytest.approx(2_621, abs=9)
    plant.artery(0, 40_000.0)
    assert plant.pressure_raw(HOUR) == pytest.approx(2_621 + 0.4 * 58_982, abs=9)


def test_pressure_offset_and_drift() -> None:
    plant = running(smooth(sensors={"pressure_offset_pa": 2_000.0, "pressure_drift_pa_per_h": 100.0}))
    assert plant.pressure_raw(0) == pytest.approx(2_621 + 0.02 * 58_982, abs=9)
    assert plant.pressure_raw(10 * HOUR) == pytest.approx(2_621 + 0.03 * 58_982, abs=9)


def test_the_pulse_is_damped_by_the_line_and_gone_behind_an_occlusion() -> None:
    p = smooth(artery={"mean_pa": 13_000.0, "pulse_pa": 2_700.0}, sensors={"pressure_noise_lsb": 0.0})
    p = params(p, syringe={"friction_static_n": 6.0, "friction_kinetic_n": 4.0})
    plant = Plant(p, 1)

    def swing(start: int) -> float:
        readings = [plant.pressure_raw(start + i * 10_000) for i in range(500)]
        return (max(readings) - min(readings)) / 2 * 100_000 / 58_982

    # tau = 0.2 * 1 nL/Pa: 1 / sqrt(1 + (2 pi 1.2 0.2)^2)
    assert swing(0) == pytest.approx(2_700 / (1 + (6.2832 * 1.2 * 0.2) ** 2) ** 0.5, rel=0.03)
    plant.occlude(10 * S)
    assert swing(10 * S) < 30
    plant.release(20 * S)
    assert swing(20 * S) > 1_000


def test_a_free_plunger_takes_up_the_pulse() -> None:
    p = smooth(artery={"mean_pa": 0.0, "pulse_pa": 2_700.0}, syringe={"captured": False})
    plant = Plant(p, 1)
    assert len({plant.pressure_raw(S + i * 100_000) for i in range(8)}) > 1
    plant.height(10 * S, 50.0, 0)
    assert plant.truth(20 * S).stopper == "free"
    assert len({plant.pressure_raw(20 * S + i * 100_000) for i in range(8)}) == 1


def test_encoder_follows_the_rotor_not_the_pulses() -> None:
    plant = running(smooth(sensors={"encoder_offset_turns": 0.0, "encoder_nonlinearity_deg": 0.0}))
    t = train(plant, 0, 800, 10_000)
    assert plant.encoder_raw(t) == pytest.approx(65_536 / 4, abs=17)
    plant.set_enable(t, False)
    train(plant, t, 800, 10_000)
    assert plant.encoder_raw(t + 10 * S) == pytest.approx(65_536 / 4, abs=17)
    plant.set_enable(t + 10 * S, True)
    t = train(plant, t + 10 * S, 2_400 + 800, 10_000)
    assert plant.encoder_raw(t) == pytest.approx(65_536 / 4, abs=17)


def test_encoder_nonlinearity() -> None:
    plant = running(smooth(sensors={"encoder_offset_turns": 0.0, "encoder_nonlinearity_deg": 1.0}))
    t = train(plant, 0, 800, 10_000)
    assert plant.encoder_raw(t) == pytest.approx(65_536 * (0.25 + 1 / 360), abs=17)


def test_encoder_wraps_downwards() -> None:
    plant = running(smooth(sensors={"encoder_offset_turns": 0.0, "encoder_nonlinearity_deg": 0.0}))
    t = train(plant, 0, 32, 10_000, -1)
    assert plant.encoder_raw(t) == pytest.approx(65_536 * 0.99, abs=17)


def test_noise_has_its_spread_and_repeats_with_the_seed() -> None:
    def series(seed: int) -> list[int]:
        plant = Plant(smooth(artery={"mean_pa": 13_000.0}, sensors={"pressure_noise_lsb": 3.0}), seed)
        return [plant.pressure_raw(t) for t in range(0, 4_000 * 50_000, 50_000)]

    first = series(1)
    assert first == series(1)
    assert first != series(2)
    assert statistics.pstdev(first) / 16 == pytest.approx(3.0, rel=0.1)


def test_sensors_draw_from_streams_of_their_own() -> None:
    loud = params(sensors={"encoder_noise_lsb": 3.0})
    a, b = Plant(loud, 7), Plant(loud, 7)
    for t in range(0, 1_000_000, 1_000):
        a.encoder_raw(t)
        a.supply_mv(t)
        a.temperature_mc(t)
    assert [a.pressure_raw(t) for t in range(1_000_000, 2_000_000, 10_000)] == [
        b.pressure_raw(t) for t in range(1_000_000, 2_000_000, 10_000)
    ]
    levels = [(a.encoder_raw(t), a.supply_mv(t)) for t in range(2_000_000, 3_000_000, 10_000)]
    assert abs(statistics.correlation(*zip(*levels, strict=True))) < 0.4


def test_supply_and_temperature() -> None:
    plant = running(params(environment={"supply_mv": 4_900}, sensors={"temperature_offset_mc": 3_000.0}))
    assert plant.supply_mv(S) == pytest.approx(4_900, abs=60)
    assert plant.temperature_mc(S) == pytest.approx(25_000, abs=1_200)
    plant.warm(S, 30.0, 100)
    assert plant.temperature_mc(51 * S) == pytest.approx(29_000, abs=1_200)
    assert plant.temperature_mc(HOUR) == pytest.approx(33_000, abs=1_200)
    plant.supply(HOUR, 0)
    assert 0 <= plant.supply_mv(HOUR) < 60


READERS = {"pressure": "pressure_raw", "encoder": "encoder_raw", "supply": "supply_mv", "temperature": "temperature_mc"}


@pytest.mark.parametrize(("sensor", "reader"), list(READERS.items()))
def test_stuck_and_off(sensor: str, reader: str) -> None:
    plant = running(params())
    read = getattr(plant, reader)
    before = read(S)
    plant.sensor(S, sensor, "stuck")
    t = train(plant, S, 400, 50_000)
    assert {read(t + i * 1_000) for i in range(50)} == {before}
    plant.sensor(t, sensor, "stuck", 1_234)
    assert read(t + S) == 1_234
    plant.sensor(t + S, sensor, "off")
    assert read(t + 2 * S) == 0
    plant.sensor(t + 2 * S, sensor, "ok")
    assert len({read(t + 3 * S + i * 1_000) for i in range(50)}) > 1


def test_noise_and_offset_faults() -> None:
    plant = running(params(artery={"mean_pa": 20_000.0, "pulse_pa": 0.0}))

    def series(start: int) -> list[int]:
        return [plant.pressure_raw(start + i * 1_000) for i in range(2_000)]

    quiet = series(0)
    plant.sensor(10 * S, "pressure", "noise", 10.0)
    loud = series(10 * S)
    assert statistics.pstdev(loud) == pytest.approx(10 * statistics.pstdev(quiet), rel=0.1)
    plant.sensor(20 * S, "pressure", "offset", 1_600)
    assert statistics.mean(series(20 * S)) == pytest.approx(statistics.mean(quiet) + 1_600, abs=5)
    assert statistics.pstdev(series(20 * S)) == pytest.approx(statistics.pstdev(quiet), rel=0.1)


def test_stuck_switches_and_faults_from_the_start() -> None:
    plant = Plant(params(sensors={"faults": (SensorFault("switches", "stuck", 3), SensorFault("pressure", "off"))}))
    assert plant.switches(0) == 3
    assert plant.truth(0).switches == 4
    assert plant.pressure_raw(0) == 0
    plant.sensor(0, "switches", "ok")
    assert plant.switches(0) == 4


@pytest.mark.parametrize(
    ("sensor", "fault", "value", "text"),
    [
        ("nose", "off", None, "unknown sensor"),
        ("pressure", "sad", None, "unknown sensor fault"),
        ("pressure", "noise", None, "needs a value"),
        ("switches", "noise", 2.0, "can't have"),
    ],
)
def test_bad_faults(sensor: str, fault: str, value: float | None, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Plant().sensor(0, sensor, fault, value)
    with pytest.raises(ValueError, match=text):
        Plant(params(sensors={"faults": (SensorFault(sensor, fault, value),)}))
