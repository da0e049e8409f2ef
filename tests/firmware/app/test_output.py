"""What the pump says by itself: events, telemetry, and what becomes of them when nobody reads."""

from __future__ import annotations

import pytest

from haipump_fw.proto.output import OUTPUT_MAX
from tests.firmware.app.bench import MINUTE, SECOND, STEP_FL, parse, pump

RATE = "prepare_rate rate_nl_per_day=%d"


def test_telemetry_at_its_period_and_true():
    of = pump()
    of.order(RATE % 48_000_000)
    of.ask("telemetry period_ms=1000")
    of.said.clear()
    of.run(60)
    tele = [(t, f) for t, name, f in of.said if name == "tele"]
    assert 60 <= len(tele) <= 61
    last = tele[-1][1]
    assert (last["state"], last["flow_nl_per_day"], last["alarm"]) == ("infusing", 48_000_000, "none")
    assert abs(last["delivered_nl"] - of.steps * STEP_FL / 1_000_000) <= 3 * 232
    assert last["reservoir_nl"] + last["delivered_nl"] == pytest.approx(30_000_000, abs=2)
    assert abs(last["pressure_pa"] - of.core.plant.truth(of.now).pressure_pa) < 4_000
    of.ask("telemetry period_ms=0")
    of.said.clear()
    of.run(60)
    assert of.said == []


def test_telemetry_once_a_quarter_of_an_hour_over_the_wrap():
    """Longer than half a period of the tick counter would allow, and across its wrap (65 s after power-up)."""
    of = pump()
    of.order(RATE % 1_300_000)
    of.ask("telemetry period_ms=900000")
    of.run(1)
    of.said.clear()
    of.run(3 * 3600)
    times = [f["uptime_s"] for _, name, f in of.said if name == "tele"]
    assert len(times) == 12
    assert {b - a for a, b in zip(times, times[1:], strict=False)} <= {899, 900, 901}


def test_telemetry_with_an_alarm():
    of = pump()
    of.order("prepare_rate rate_nl_per_day=48000000 vtbi_nl=1000")
    of.run(5)
    of.ask("telemetry period_ms=1000")
    of.run(2)
    assert [f["alarm"] for _, name, f in of.said if name == "tele"][-1] == "infusion_complete"


def test_events_are_numbered_without_a_gap():
    of = pump()
    numbers: list[int] = []
    of.order(RATE % 1_300_000)
    of.ask("telemetry period_ms=100")
    of.core.run_until(of.now + MINUTE)
    for line in (of._rest + of.core.output.decode()).split("\n")[:-1]:
        assert line.startswith("#")
        numbers.append(int(line[1:].split()[0]))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) > 500


def test_dropped_events_are_counted():
    of = pump()
    of.ask("telemetry period_ms=100")
    of.core.host_reads = False
    of.core.run_until(of.now + 30 * SECOND)
    kept = of.core.output.decode()
    of.core.output.clear()
    of.core.host_reads = True
    of.core.run_until(of.now + 2 * SECOND)
    lines = (kept + of.core.output.decode()).splitlines()
    of.core.output.clear()
    dropped = [parse(line)["events"] for line in lines if " dropped " in line]
    assert len(dropped) == 1
    numbers = [int(line[1:].split()[0]) for line in lines if line.startswith("#")]
    missing = set(range(numbers[0], numbers[-1] + 1)) - set(numbers)
    assert len(missing) == dropped[0] > 200
    assert len(kept) + OUTPUT_MAX < 4000  # bounded: nothing else kept what was not read


def test_nobody_at_the_usb():
    of = pump()
    of.core.usb_connected = False
    of.core.run_until(of.now + 10 * SECOND)
    of.core.usb_connected = True
    of.order(RATE % 1_300_000)
    assert of.state() == "infusing"


@pytest.mark.requirement("OP-R6.5(23)")
def test_status_sensors_and_lifetime_are_the_plants_truth():
    of = pump()
    of.order(RATE % 48_000_000)
    of.run(600)
    truth, sensors = of.core.plant.truth(of.now), of.ask("sensors")
    assert abs(sensors["pressure_pa"] - truth.pressure_pa) < 4_000
    assert abs(sensors["encoder_steps"] - truth.motor_steps) < 32
    assert abs(sensors["supply_mv"] - 5_000) < 60 and abs(sensors["temperature_mc"] - 22_000) < 1_500
    assert (sensors["front"], sensors["back"], sensors["captured"], sensors["diag"]) == (0, 0, 1, 0)
    assert sensors["enabled"] == 1
    assert abs(of.ask("lifetime")["stepped_nl"] - of.steps * STEP_FL / 1_000_000) <= 232
    clock = of.ask("clock")
    assert clock["boot"] == 1 and abs(clock["uptime_s"] - of.now // SECOND) <= 1
    assert of.ask("info")["interpreter"] == "cpython-direct"
