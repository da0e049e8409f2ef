"""Alarms, buttons, power and the lock on an emulated rig, and the pins of a Pico that is bridged.

Detection times and bounds are tested elsewhere; here it is that every core sees what happens, stops, says it, and goes
on when it is told to.
"""

import hashlib

import pytest

from haipump.errors import Refused
from haipump_emulator import wiring
from haipump_fw.ports import IN_CAPTURED, IN_FRONT, IN_SERVICE, IN_SILENCE, IN_START, IN_STOP
from haipump_fw.ports.rp2 import pins
from tests.cores.wire import Wire

RATE = "80 mL/day"
KEY = hashlib.sha256(b"tests/cores").hexdigest()


def state(rig) -> str:
    return rig.pump.status().state


def told(rig, alarm, phase="active"):
    return [
        e for e in rig.events(0.02) if e.name == "alarm" and (e.fields["alarm"], e.fields["phase"]) == (alarm, phase)
    ]


# (alarm, what happens, what makes it good again, seconds at most)
STOPPING = {
    "occlusion": (lambda rig: rig.harm("occlude"), lambda rig: rig.harm("release"), 60),
    "driver_error": (lambda rig: rig.harm("driver_fault", True), lambda rig: rig.harm("driver_fault", False), 0.2),
    "syringe_released": (lambda rig: rig.harm("capture", False), lambda rig: rig.harm("capture", True), 0.2),
    "motor_stall": (
        lambda rig: rig.harm("sensor", "encoder", "stuck"),
        lambda rig: rig.harm("sensor", "encoder", "ok"),
        10,
    ),
    "pressure_sensor": (
        lambda rig: rig.harm("sensor", "pressure", "off"),
        lambda rig: rig.harm("sensor", "pressure", "ok"),
        20,
    ),
    "end_of_travel": (
        lambda rig: rig.harm("sensor", "switches", "stuck", IN_FRONT | IN_CAPTURED),
        lambda rig: rig.harm("sensor", "switches", "ok"),
        0.2,
    ),
}


@pytest.mark.requirement("A19", "GIP-1.4.11")
@pytest.mark.needs("plant")
@pytest.mark.parametrize("alarm", STOPPING)
def test_an_alarm_stops_until_it_is_acknowledged_and_gone(rig, alarm):
    happens, heals, within_s = STOPPING[alarm]
    if alarm == "occlusion":  # sooner, at a lower limit
        before = rig.pump.limits().occlusion_pa
        rig.afterwards(lambda: (rig.pump.stop(), rig.pump.ack(), rig.pump.set_limits(occlusion_pa=before)))
        rig.pump.set_limits(occlusion_pa=25_000)
    order = rig.pump.bolus("1 mL", within="60s", override=True)
    rig.wait(1)
    happens(rig)
    rig.afterwards(lambda: heals(rig))
    rig.wait_for(lambda: not rig.core.plant.truth(rig.core.now_us).enabled, within_s, 0.05)
    rig.wait_for(lambda: state(rig) != "relieving", 60, 1)  # the plunger is drawn back: part of the stop
    assert state(rig) == "alarm" and rig.phase(alarm) in ("active", "latched")  # heals by itself, once nothing pushes
    assert order.status().result == "alarm" and told(rig, alarm)
    with pytest.raises(Refused) as refusal:
        rig.pump.rate(RATE)
    assert refusal.value.code in ("alarm", "state")
    heals(rig)
    rig.wait(6)  # at rest it looks every five seconds
    if alarm == "occlusion":
        rig.wait_for(lambda: rig.phase(alarm) == "latched", 60, 5)
    assert rig.pump.ack() >= 1
    assert (state(rig), rig.phase(alarm)) == ("stopped", None)
    rig.finish(rig.pump.bolus("3 uL", within="3s"))


@pytest.mark.needs("plant")
def test_reservoir_low_warns_and_empty_stops(rig):
    limits = rig.pump.limits()
    rig.afterwards(
        lambda: rig.pump.set_limits(
            reservoir_low_nl=limits.reservoir_low_nl, reservoir_empty_nl=limits.reservoir_empty_nl
        )
    )
    rig.afterwards(lambda: (rig.pump.stop(), rig.pump.ack()))
    left_nl = rig.pump.status().reservoir_nl
    rig.pump.set_limits(reservoir_empty_nl=left_nl - 10_000, reservoir_low_nl=left_nl - 5_000)
    rig.pump.rate(RATE)
    rig.wait(7)
    assert (state(rig), rig.phase("reservoir_low")) == ("infusing", "active")
    with pytest.raises(Refused) as refusal:
        rig.pump.bolus("1 uL")
    assert refusal.value.code == "alarm"
    rig.wait(6)
    assert (state(rig), rig.phase("reservoir_empty")) == ("alarm", "active")


@pytest.mark.requirement("OP-R6.7(4)-(6)", "GIP-2.2.1/2")
@pytest.mark.needs("bridged")
def test_a_pause_that_takes_too_long_is_told(rig):
    before = rig.pump.limits().pause_max_s
    rig.afterwards(lambda: rig.pump.set_limits(pause_max_s=before))
    rig.pump.set_limits(pause_max_s=60)
    rig.pump.rate("10 mL/day")
    rig.pump.pause()
    rig.wait(68)
    assert (state(rig), rig.phase("paused_too_long")) == ("paused", "active")
    rig.pump.resume()
    assert rig.phase("paused_too_long") is None


@pytest.mark.needs("bridged")
def test_alarms_are_silenced_for_two_minutes_at_most(rig):
    rig.finish(rig.pump.rate(RATE, vtbi="2 uL"))
    assert rig.phase("infusion_complete") == "latched"
    assert rig.pump.silence(20) == 20
    (alarm,) = rig.pump.alarms()
    assert 0 < alarm.silence_s <= 20
    assert 0 < rig.pump.silence() <= 20, "one that runs is not made longer"
    assert rig.pump.setting("silence_s").maximum == 120
    assert rig.pump.ack("infusion_complete") == 1
    assert rig.pump.alarms() == [] and rig.pump.ack() == 0


@pytest.mark.needs("rig")
def test_the_self_test_passes_on_a_rig(rig):
    assert rig.pump.selftest() == ("stopped", "passed")


# (part, what happens, what makes it good again)
PARTS = {
    "pressure_sensor": (
        lambda rig: rig.harm("sensor", "pressure", "off"),
        lambda rig: rig.harm("sensor", "pressure", "ok"),
    ),
    "encoder": (
        lambda rig: rig.harm("sensor", "encoder", "noise", 200.0),
        lambda rig: rig.harm("sensor", "encoder", "ok"),
    ),
    "supply": (
        lambda rig: rig.harm("sensor", "supply", "stuck", 4_100),
        lambda rig: rig.harm("sensor", "supply", "ok"),
    ),
    "temperature": (
        lambda rig: rig.harm("sensor", "temperature", "stuck", 80_000),
        lambda rig: rig.harm("sensor", "temperature", "ok"),
    ),
    "driver": (lambda rig: rig.harm("driver_fault", True), lambda rig: rig.harm("driver_fault", False)),
    "button_stuck": (lambda rig: rig.core.press(IN_SILENCE, True), lambda rig: rig.core.press(IN_SILENCE, False)),
}


@pytest.mark.requirement("GIP-3.4.1-5", "OP-R7.4(1)-(7)")
@pytest.mark.needs("plant")
def test_the_self_test_names_the_part_that_fails_and_nothing_runs_until_it_passes(rig):
    for part, (happens, heals) in PARTS.items():
        rig.afterwards(lambda heals=heals: heals(rig))
        happens(rig)
        rig.wait(0.1)
        assert rig.pump.selftest() == ("fault", part)
        assert rig.phase("self_test") == "active"
        with pytest.raises(Refused):
            rig.pump.rate(RATE)
        heals(rig)
        rig.wait(0.1)
        assert rig.pump.selftest() == ("stopped", "passed")
        rig.pump.ack()


# (alarm, what happens, what makes it good again, seconds at most, whether it stops the pump)
SURROUNDINGS = {
    "supply_low": (
        lambda rig: rig.harm("sensor", "supply", "stuck", 4_400),
        lambda rig: rig.harm("sensor", "supply", "ok"),
        20,
        False,
    ),
    "supply_failing": (
        lambda rig: rig.harm("sensor", "supply", "stuck", 4_100),
        lambda rig: rig.harm("sensor", "supply", "ok"),
        35,
        True,
    ),
    "over_temperature": (
        lambda rig: rig.harm("sensor", "temperature", "stuck", 60_000),
        lambda rig: rig.harm("sensor", "temperature", "ok"),
        80,
        True,
    ),
    "stuck_key": (
        lambda rig: rig.core.press(IN_SILENCE, True),
        lambda rig: rig.core.press(IN_SILENCE, False),
        80,
        False,
    ),
}


@pytest.mark.requirement("GIP-2.3.1", "GIP-5.1.x")
@pytest.mark.needs("plant")
@pytest.mark.parametrize("alarm", SURROUNDINGS)
def test_supply_temperature_and_a_key_that_is_held(rig, alarm):
    happens, heals, within_s, stops = SURROUNDINGS[alarm]
    rig.pump.rate("20 mL/day")
    rig.wait(1)
    rig.afterwards(lambda: heals(rig))
    happens(rig)
    rig.wait_for(lambda: rig.phase(alarm), within_s, 1)
    assert (state(rig) == "alarm") == stops
    assert rig.core.plant.truth(rig.core.now_us).enabled != stops
    heals(rig)
    rig.wait_for(lambda: rig.phase(alarm) != "active", 80, 1)
    rig.pump.stop()
    rig.pump.ack()
    assert (state(rig), rig.phase(alarm)) == ("stopped", None)


# --- buttons


@pytest.mark.requirement("A2", "OP-R6.5(13)")
@pytest.mark.needs("plant")
def test_the_buttons(rig):
    rig.pump.rate(RATE)
    rig.pump.pause()
    rig.events(0.02)
    rig.press(IN_START)
    assert state(rig) == "infusing"
    rig.press(IN_SILENCE)
    rig.press(IN_STOP)
    assert state(rig) == "stopped"
    assert [e.fields["button"] for e in rig.events() if e.name == "button"] == ["start", "silence", "stop"]


# --- power and the lock: every power cycle is another boot


def open_again(pump) -> None:
    """A test that failed in the middle leaves no locked pump to all that come after it."""
    if pump.hello().locked:
        pump.unlock()


@pytest.mark.requirement("REQ-X-03", "A7", "R11")
@pytest.mark.needs("plant")
def test_after_a_power_cut_it_is_stopped_and_the_total_is_a_range(rig):
    rig.pump.rate(RATE)
    rig.wait(3)
    boot = rig.pump.clock().boot
    before = rig.pump.totals()
    rig.power_cycle()
    event = next(event for event in rig.events() if event.name == "boot")
    assert (event.fields["boot"], event.fields["reset"]) == (boot + 1, "power")
    assert (state(rig), rig.phase("power_lost")) == ("stopped", "latched")
    after = rig.pump.totals()
    assert after.stepped_min_nl <= before.stepped_nl <= after.stepped_max_nl


@pytest.mark.needs("plant")
def test_the_lock_and_leaving_for_service(rig):
    pump = rig.pump
    rig.afterwards(lambda: (rig.power_cycle(), open_again(pump), pump.ack()))
    with pytest.raises(Refused) as refusal:
        pump.set_key("11" * 32)
    assert refusal.value.code == "key", "without the jumper at power-up"
    rig.core.press(IN_SERVICE, True)
    rig.power_cycle()
    rig.core.press(IN_SERVICE, False)
    pump.set_key(KEY)
    pump.lock()
    wire = Wire(pump)
    assert wire.say("prepare_rate rate_nl_per_day=1000000").code == "locked"
    assert wire.say("prepare_rate rate_nl_per_day=1000000 mac=0123456789abcdef").code == "mac"
    assert wire.raw(b"status\n").ok, "reading is free"
    pump.hello()
    pump.rate(RATE)
    assert state(rig) == "infusing"
    wire.send(b"stop\n")  # and so is stopping
    rig.wait(0.2)
    pump.hello()
    assert state(rig) == "stopped"
    pump.unlock()
    pump.service()
    rig.wait(3)
    del rig.core.output[:]
    rig.core.send(b"status\n")
    rig.wait(2)
    assert b"state=" not in rig.core.output, "nothing of ours runs until the power goes"


# --- a Pico that is bridged as docs/testing.md says; the chip core is bridged here


@pytest.fixture
def bridges(rig):
    """What the wires of docs/testing.md do, on the emulated chip."""
    if rig.core is None:
        return
    core = rig.core
    pads = {
        "dir": lambda high: core.press(IN_SERVICE, not high),
        "en": lambda high: core.press(IN_SILENCE, not high),
        "red": lambda high: core.plant.capture(core.now_us, not high),
    }
    active = [True]
    rig.afterwards(active.clear)
    rig.afterwards(lambda: (core.press(IN_SERVICE | IN_SILENCE, False), core.plant.capture(core.now_us, True)))
    for name, move in pads.items():
        core.mcu.gpio[pins.gpio(name)].add_listener(lambda value, _, move=move: active and move(int(value) == 1))


@pytest.mark.needs("bridged")
@pytest.mark.on("chip", "board")
def test_the_bridged_pins(rig, bridges):
    """DIR is seen at the jumper's pin, EN at the silence button's, the red lamp at the syringe's."""
    if rig.level == "rig":
        return  # there those pins have something better to do
    pump = rig.pump
    for steps, service in ((20, 0), (-20, 1), (20, 0)):
        rig.finish(pump.jog(steps, disconnected=True))
        assert pump.sensors().service == service
        assert [e.fields["button"] for e in rig.events() if e.name == "button"] == ["silence"]
    assert pump.sensors().captured == 1
    travel = pump.calibration().travel_steps
    rig.afterwards(lambda: (pump.ack(), pump.calibrate(travel_steps=travel)))
    pump.calibrate(travel_steps=20)
    pump.home(disconnected=True)
    rig.wait_for(lambda: rig.phase("end_of_travel"), 10)
    rig.wait_for(lambda: pump.sensors().captured == 0, 10, 0.02)
    rig.wait_for(lambda: pump.sensors().captured == 1, 10, 0.02)


def test_the_pins_of_the_bridges():
    """The wires of docs/testing.md end at neighbours of these numbers: whoever moves a pin looks there."""
    names = ("step", "dir", "en", "front", "back", "captured", "service", "stop", "silence", "red", "pressure")
    assert {name: pins.gpio(name) for name in names} == {
        **{"step": 2, "dir": 3, "en": 4, "front": 5, "back": 6, "captured": 7, "service": 9, "stop": 11},
        **{"silence": 12, "red": 13, "pressure": 26},
    }
    assert wiring.PLANT_SWITCHES & IN_CAPTURED
