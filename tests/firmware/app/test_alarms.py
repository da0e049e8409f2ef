"""Every alarm of the table on the whole pump: when it comes, what it does, and how it ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from haipump.protocol import help as texts
from haipump_emulator.direct import costs
from haipump_emulator.plant import Plant, PlantParams
from haipump_fw.core.alarms import ALARMS, LATCH, NAME, NO_START, PHASES, PRIORITIES, PRIORITY, STOP
from haipump_fw.handling import FREED
from haipump_fw.ports import IN_CAPTURED, IN_FRONT, IN_SILENCE, IN_START, IN_STOP
from haipump_fw.proto.messages import SOURCES
from tests.firmware.app.bench import STEP_FL, Pump, pump

RATE = "prepare_rate rate_nl_per_day=%d override=1"
FAST = RATE % 48_000_000  # 2 mL/h: 2.4 steps/s
STOPPING = {  # alarms whose action is to stop, as the list of requirements has them
    "self_test",
    "occlusion",
    "reservoir_empty",
    "end_of_travel",
    "syringe_released",
    "driver_error",
    "motor_stall",
    "step_count",
    "storage",
    "steps_late",
    "pressure_sensor",
    "over_infusion",
    "reverse_delivery",
    "supply_failing",
    "alarm_loop",
    "upstream_occlusion",
    "dose_limit",
    "over_temperature",
}
PRIORITY_OF = dict.fromkeys(STOPPING, "high") | {
    "reservoir_low": "low",
    "infusion_complete": "medium",
    "paused_too_long": "medium",
    "unexpected_reset": "high",
    "power_lost": "medium",
    "under_infusion": "medium",
    "upstream_occlusion": "medium",
    "dose_limit": "medium",
    "over_temperature": "medium",
    "supply_low": "low",
    "stuck_key": "medium",
    "host_lost": "low",
    "command_errors": "low",
    "input_pending": "low",
}
NOT_LATCHING = {"reservoir_low", "paused_too_long", "supply_low", "stuck_key", "host_lost", "input_pending"}


def row(name: str) -> tuple[Any, ...]:
    return next(line for line in ALARMS if line[NAME] == name)


def number(name: str) -> int:
    """What the journal calls it."""
    return ALARMS.index(row(name)) + 1


def test_the_table_is_the_list():
    assert {name: PRIORITIES[traits & PRIORITY] for name, traits in ALARMS} == PRIORITY_OF
    assert {name for name, traits in ALARMS if not traits & LATCH} == NOT_LATCHING
    assert {name for name, traits in ALARMS if traits & STOP} == STOPPING


def running(order: str = FAST, **more: Any) -> Pump:
    found = pump(**more)
    found.order(order)
    found.run(20)
    return found


def expect_stopped(of: Pump, name: str, count: int) -> None:
    """The pump has stopped for alarm `name`: in plant, answers and journal; `count` steps by then."""
    assert not of.enabled
    assert of.steps == count, "steps after the alarm"
    if of.app.machine.state == "alarm":
        assert of.no(RATE % 1_300_000)["code"] == "state"
        assert of.no("prepare_bolus volume_nl=1000")["code"] == "state"
    found = of.alarm(name)
    assert found is not None and found["priority"] == "high"
    of.flush()
    noted = [r for r in of.journal_of("alarm") if r["alarm"] == number(name)]
    assert noted and noted[0]["phase"] == PHASES.index("active")
    ended = [r for r in of.journal_of("result") if r["source"] != SOURCES.index("backoff")][-1]
    assert ended["result"] == 4  # alarm
    of.run(120)
    assert of.steps == count


def expect_refused_until_gone(of: Pump, name: str, mend: Callable[[], None], within_s: float = 70) -> None:
    """Acknowledged while its cause stands: no start. Gone: a start."""
    answer = of.act("ack")
    assert answer["count"] >= 1 and answer["state"] in ("stopped", "fault")
    assert of.alarm(name)["phase"] == "acknowledged"
    refused = of.no(RATE % 1_300_000)
    assert (refused["code"], refused.get("alarm")) == ("alarm", name)
    mend()
    of.run_to(lambda: of.alarm(name) is None, within_s, 1)
    of.order(RATE % 1_300_000)
    assert of.enabled


def expect_latched(of: Pump, name: str) -> None:
    """Its cause is gone, and it waits for its acknowledgement; then the pump starts again."""
    found = of.alarm(name)
    assert found is not None and found["phase"] == "latched"
    of.run(300)
    assert of.alarm(name)["phase"] == "latched"
    assert of.act(f"ack alarm={name}")["count"] == 1
    assert of.alarm(name) is None
    assert of.state() == "stopped"


@pytest.mark.requirement("GIP-1.4.11", "GIP-1.10.1/2", "OP-R7.2(6)", "OP-R5.1(4)/R5.2(6)/R5.3(4)", "OP-R7.2(4)/(5)")
@pytest.mark.parametrize("kpa", [20, 69, 90])
def test_occlusion_at_its_threshold(kpa):
    of = pump()
    of.order(f"prepare_limits occlusion_pa={kpa * 1000}")
    of.order(RATE % 480_000_000)  # 20 mL/h: too fast for the slope to be seen first
    of.run(20)
    plant = of.core.plant
    plant.occlude(of.now)
    of.run_to(lambda: plant.truth(of.now).pressure_pa > kpa * 1000 - 200, 3600, 1)
    crossed = of.now
    assert of.alarm("occlusion") is None
    at = of.run_to_alarm("occlusion", 60)
    assert at - crossed < 10_000_000
    assert plant.truth(at).pressure_pa < kpa * 1000 + 9_000  # two readings, and not a stick-slip more than one
    of.run_to(lambda: of.state() == "alarm", 60, 1)  # it has drawn back
    assert 8_000 < plant.truth(of.now).pressure_pa < 19_000
    expect_stopped(of, "occlusion", of.steps)
    expect_latched(of, "occlusion")


def test_an_occlusion_that_goes_by_itself_stays_latched():
    of = running()
    of.core.plant.occlude(of.now)
    of.run_to_alarm("occlusion", 3600, 1)
    of.core.plant.release(of.now)
    of.run(60)
    expect_latched(of, "occlusion")


def test_one_reading_above_the_limit_is_no_occlusion():
    of = running()
    sensors = of.app.ports.sensors
    real, high = sensors.pressure_raw, [60_000]
    sensors.pressure_raw = lambda: high.pop() if high else real()
    of.run(60)
    assert not high and of.alarm("occlusion") is None and of.state() == "infusing"


@pytest.mark.requirement("GIP-1.5.5/6", "OP-R6.8(3)/(9)/(10)", "OP-R6.4.1", "CS-REQ-59-64")
def test_reservoir_low_forbids_a_bolus_and_stops_nothing_then_empty_stops():
    of = pump()
    of.load(1_100_000)
    of.order("prepare_limits reservoir_low_nl=1000000 reservoir_empty_nl=900000")
    of.order(RATE % 240_000_000)  # 100 uL in 36 s
    start = of.now
    low = of.run_to_alarm("reservoir_low", 40)
    assert abs(low - start - 36_000_000) < 200_000
    assert of.state() == "infusing" and of.enabled
    assert of.alarm("reservoir_low")["priority"] == "low"
    refused = of.no("prepare_bolus volume_nl=1000")
    assert (refused["code"], refused["alarm"]) == ("alarm", "reservoir_low")
    empty = of.run_to_alarm("reservoir_empty", 40)
    assert abs(empty - start - 72_000_000) < 200_000
    expect_stopped(of, "reservoir_empty", of.steps)
    assert 0 <= of.steps - 200_000 * 1_000_000 // STEP_FL <= 1
    expect_refused_until_gone(of, "reservoir_empty", lambda: refill(of))
    assert of.alarm("reservoir_low") is None  # not latching


def refill(of: Pump) -> None:
    of.act("refill phase=begin")
    of.core.plant.refill(of.now, 30_000_000)
    of.load()
    of.act("refill phase=end")


def test_end_of_travel_by_the_front_switch():
    of = pump()
    of.core.plant.refill(of.now, 300_000)  # the pump believes in a full syringe
    of.order(RATE % 240_000_000)
    of.run_to_alarm("end_of_travel", 200)
    expect_stopped(of, "end_of_travel", of.steps)
    of.act("ack")
    of.order("prepare_jog steps=-3000 disconnected=1")  # backwards it may move
    of.run(10)
    assert of.alarm("end_of_travel") is None and of.state() == "stopped"


def test_end_of_travel_while_the_switch_stays_closed():
    of = running()
    of.core.plant.sensor(of.now, "switches", "stuck", IN_FRONT | IN_CAPTURED)
    of.run_to_alarm("end_of_travel", 1)
    expect_stopped(of, "end_of_travel", of.steps)
    expect_refused_until_gone(of, "end_of_travel", lambda: of.core.plant.sensor(of.now, "switches", "ok"))


def test_forwards_at_the_front_switch_stops_at_once():
    of = pump()
    of.core.plant.refill(of.now, 100_000)
    of.run(6)
    of.order("prepare_jog steps=100 disconnected=1")
    of.run(1)
    # the switch was closed before: no edge; the pass that planned the move ends behind its first steps
    assert of.alarm("end_of_travel") is not None and not of.enabled and of.steps <= 5


TRIPS = {
    "syringe_released": lambda of, on: of.core.plant.capture(of.now, not on),
    "driver_error": lambda of, on: of.core.plant.driver_fault(of.now, on),
    "end_of_travel": lambda of, on: of.core.plant.sensor(of.now, "switches", *(("stuck", 5) if on else ("ok",))),
}


@pytest.mark.requirement("OP-R7.1", "A24")
@pytest.mark.parametrize("name", TRIPS)
def test_a_contact_that_opens_for_a_moment_stops_the_motor_at_once_and_is_told(name):
    """Its interrupt does it, while the program is busy; what it was may be over when the loop looks."""
    of = running(RATE % 1_900_000_000)  # 95 steps/s
    core, plant = of.core, of.core.plant
    steps = []

    def opened() -> None:
        TRIPS[name](of, True)
        core._look_at_switches(core.now_us)
        TRIPS[name](of, False)
        core._look_at_switches(core.now_us)

    was = core.app.ports.inputs.read

    def read() -> int:  # the loop has just looked, and is busy afterwards
        core.app.ports.inputs.read = was
        found = was()
        opened()
        assert not plant.truth(of.now).enabled
        steps.append(of.steps)
        core.charge(50_000)
        return found

    core.app.ports.inputs.read = read
    of.run(2)
    assert [of.steps] == steps and of.alarm(name) is not None and of.state() == "alarm"
    assert of.ask("totals")["stepped_nl"] == steps[0] * STEP_FL // 1_000_000


def test_an_input_that_trips_while_the_pump_is_stopped_by_a_line_is_no_alarm():
    of = running()
    inputs = of.app.ports.inputs
    was = of.app.delivery.switch_off

    def switch_off() -> None:
        was()
        inputs.edges(of.now, IN_CAPTURED, 0)
        inputs.edges(of.now, 0, IN_CAPTURED)

    of.app.delivery.switch_off = switch_off
    of.act("stop")
    of.app.delivery.switch_off = was
    of.run(1)
    assert of.state() == "stopped" and of.alarm("syringe_released") is None
    of.order(FAST)
    steps = of.steps
    of.run(10)
    assert of.steps > steps + 10, "what was frozen moves again"


@pytest.mark.requirement("A24", "OP-R5.1(4)/R5.2(6)/R5.3(4)")
def test_syringe_released():
    of = running()
    of.core.plant.capture(of.now, False)
    at = of.now
    assert of.run_to_alarm("syringe_released", 1, 0.001) - at < 20_000
    expect_stopped(of, "syringe_released", of.steps)
    of.act("ack")
    assert of.no(RATE % 1_300_000)["alarm"] == "syringe_released"
    of.core.plant.capture(of.now, True)
    of.run(1)
    of.order(RATE % 1_300_000)


def test_syringe_released_while_paused_and_its_volume_is_over():
    of = running()
    of.act("pause")
    of.core.plant.capture(of.now, False)
    of.run_to_alarm("syringe_released", 1)
    assert of.state() == "alarm" and not of.enabled


@pytest.mark.requirement("GIP-1.6.1/2", "A14", "OP-R5.1(4)/R5.2(6)/R5.3(4)")
def test_driver_error():
    of = running()
    of.core.plant.driver_fault(of.now, True)
    at = of.now
    assert of.run_to_alarm("driver_error", 1, 0.001) - at < 20_000
    expect_stopped(of, "driver_error", of.steps)
    expect_refused_until_gone(of, "driver_error", lambda: of.core.plant.driver_fault(of.now, False))


def weak() -> PlantParams:
    base = PlantParams()
    return dataclasses.replace(base, motor=dataclasses.replace(base.motor, torque_n_mm=25.0))


@pytest.mark.requirement("A5", "OP-R6.4.1")
def test_motor_stall_by_load():
    """A motor that is too weak for the pressure of a closed line: the shaft stands, the steps go on."""
    of = pump(params=weak())
    of.order("prepare_limits occlusion_pa=90000")
    of.order(RATE % 240_000_000)
    of.run(60)
    assert of.alarm("motor_stall") is None
    of.core.plant.occlude(of.now)
    of.run_to(lambda: of.core.plant.truth(of.now).missed_steps > 0, 600, 0.1)
    before = of.net
    of.run_to_alarm("motor_stall", 60)
    assert of.net - before <= 4 * 16 + 64 + 32  # four full steps, one look of supervision, margin
    assert of.alarm("occlusion") is None
    expect_stopped(of, "motor_stall", of.steps)
    expect_latched(of, "motor_stall")


@pytest.mark.requirement("CS-REQ-16/19", "REQ-X-10", "A5")
def test_motor_stall_by_a_shaft_that_stands():
    of = running()
    of.core.plant.sensor(of.now, "encoder", "stuck")
    before = of.net
    of.run_to_alarm("motor_stall", 60)
    assert 48 <= of.net - before <= 64 + 64 + 16
    expect_stopped(of, "motor_stall", of.steps)


@pytest.mark.requirement("R7")
def test_an_order_is_confirmed_by_what_the_shaft_showed():
    """A rotor loses whole electrical cycles of 64 steps; what the alarm needs to see is one and a bit."""
    of = pump()
    first = of.order("prepare_bolus volume_nl=100000")
    of.run(60)
    whole = of.ask(f"order id={first}")
    assert whole["confirmed_nl"] == whole["stepped_nl"]
    second = of.order(RATE % 240_000_000)
    of.run(20)
    of.core.plant.sensor(of.now, "encoder", "stuck")
    of.run_to_alarm("motor_stall", 60)
    told = of.ask(f"order id={second}")
    lost = told["stepped_nl"] - told["confirmed_nl"]
    assert min(abs(lost - cycles * 64 * STEP_FL // 1_000_000) for cycles in (1, 2)) <= 1
    of.flush()
    assert of.journal_of("result")[-1]["unseen_nl"] == lost
    assert of.ask(f"order id={first}") == whole
    totals, life = of.ask("totals"), of.ask("lifetime")
    assert abs(totals["stepped_nl"] - totals["confirmed_nl"] - lost) <= 1
    assert life["confirmed_nl"] == totals["confirmed_nl"] and life["lost_steps"] in (64, 128)
    assert [f for _, name, f in of.said if name == "done"][-1]["confirmed_nl"] == told["confirmed_nl"]


@pytest.mark.parametrize("after_s", [0.301, 0.517, 0.733, 1.111])
def test_an_order_that_begins_while_the_motor_runs_fast_is_confirmed_for_what_it_was(after_s):
    """Shaft and books are of the same moment, whenever they are compared."""
    of = pump()
    of.ask("telemetry period_ms=100")
    of.order("prepare_limits max_rate_nl_per_day=100000000000")
    of.order("prepare_bolus volume_nl=1000000 duration_s=10")
    of.run(after_s)
    number = of.order("prepare_bolus volume_nl=8552 duration_s=60 extended=1 override=1")
    of.run(120)
    told = of.ask(f"order id={number}")
    assert told["result"] == "complete" and told["confirmed_nl"] == told["stepped_nl"]
    teles = [fields for _, name, fields in of.said if name == "tele"]
    assert len(teles) > 500 and all(fields["confirmed_nl"] == fields["delivered_nl"] for fields in teles)


def test_a_rotor_that_falls_into_a_detent_when_the_motor_goes_off_has_lost_nothing():
    of = pump()
    for _ in range(40):
        of.order(RATE % 20_000_000)
        of.run(7)
        of.act("stop")
        of.run(1)
    totals = of.ask("totals")
    assert totals["confirmed_nl"] == totals["stepped_nl"] > 5_000
    assert of.ask("lifetime")["lost_steps"] == of.core.plant.truth(of.now).missed_steps == 0


@pytest.mark.requirement("REQ-X-10")
def test_step_count_believes_the_pad_not_the_order():
    of = running()
    steps = of.app.ports.steps
    real, more = steps.odometer, [0]
    steps.odometer = lambda: (real() + more[0]) & ((1 << 29) - 1)
    more[0] = 3
    of.run(60)
    assert of.alarm("step_count") is None  # reading while steps are made
    more[0] = 4
    of.run_to_alarm("step_count", 10)
    expect_stopped(of, "step_count", of.steps)
    # Steps that nobody commanded: nothing runs again before a self test.
    assert of.act("ack")["state"] == "fault"
    assert of.no(RATE % 1_300_000)["code"] == "state"
    assert of.act("selftest")["result"] == "passed"
    of.order(RATE % 1_300_000)


def test_steps_that_are_made_between_the_two_counts_are_no_wrong_steps():
    """The chip's USB task may come between them for milliseconds: three counts in a row, then it is believed."""
    of = running()
    steps = of.app.ports.steps
    real, late = steps.odometer, [0]

    def odometer() -> int:
        late[0] -= 1
        return (real() + (40 if late[0] >= 0 else 0)) & ((1 << 29) - 1)

    steps.odometer = odometer
    for _ in range(20):
        late[0] = 3
        of.run(30)
    assert late[0] < 0 and of.alarm("step_count") is None and of.state() == "infusing"
    late[0] = 4
    of.run_to_alarm("step_count", 40)


@pytest.mark.requirement("GIP-2.2.1/2", "CS-REQ-44/15")
def test_paused_too_long_ends_with_the_pause():
    of = pump()
    of.order("prepare_limits pause_max_s=60")
    of.order(FAST)
    of.run(5)
    of.act("pause")
    start = of.now
    at = of.run_to_alarm("paused_too_long", 70)
    assert 60_000_000 <= at - start < 66_000_000
    assert of.alarm("paused_too_long")["priority"] == "medium"
    assert of.state() == "paused" and of.enabled
    of.act("resume")
    assert of.alarm("paused_too_long") is None
    assert of.state() == "infusing"


@pytest.mark.requirement("A16")
def test_infusion_complete():
    of = pump()
    of.order("prepare_rate rate_nl_per_day=240000000 vtbi_nl=100000")
    of.run_to_alarm("infusion_complete", 40)
    assert of.state() == "stopped" and not of.enabled
    found = of.alarm("infusion_complete")
    assert (found["priority"], found["phase"]) == ("medium", "latched")
    of.order(FAST)  # it tells, and forbids nothing
    assert of.act("ack alarm=infusion_complete")["count"] == 1
    assert of.alarm("infusion_complete") is None


SELF_TEST = {
    "pressure_sensor": lambda of: of.core.plant.sensor(of.now, "pressure", "off"),
    "supply": lambda of: of.core.plant.supply(of.now, 4_000),
    "temperature": lambda of: of.core.plant.sensor(of.now, "temperature", "stuck", 90_000),
    "end_switches": lambda of: of.core.plant.sensor(of.now, "switches", "stuck", 7),
    "driver": lambda of: of.core.plant.driver_fault(of.now, True),
    "button_stuck": lambda of: of.core.press(IN_START, True),
}
MENDED = {
    "pressure_sensor": lambda of: of.core.plant.sensor(of.now, "pressure", "ok"),
    "supply": lambda of: of.core.plant.supply(of.now, 5_000),
    "temperature": lambda of: of.core.plant.sensor(of.now, "temperature", "ok"),
    "end_switches": lambda of: of.core.plant.sensor(of.now, "switches", "ok"),
    "driver": lambda of: of.core.plant.driver_fault(of.now, False),
    "button_stuck": lambda of: of.core.press(IN_START, False),
}


@pytest.mark.requirement("GIP-3.4.1-5", "OP-R7.4(1)-(7)", "A2")
@pytest.mark.parametrize("check", SELF_TEST)
def test_self_test_failure_at_power_up(check):
    of = pump()
    of.core.power(False)
    of.run(1)
    SELF_TEST[check](of)
    of.wake()
    assert of.state() == "fault"
    assert any(name == "state" and f["why"] == check for _, name, f in of.said)
    assert of.alarm("self_test")["priority"] == "high"
    assert of.no(RATE % 1_300_000)["code"] == "state"
    assert of.no("prepare_prime volume_nl=1000 disconnected=1")["code"] == "state"
    of.act("ack")
    assert of.state() == "fault"
    assert of.act("selftest") == of.act("selftest") | {"result": check, "state": "fault"}
    MENDED[check](of)
    assert of.act("selftest")["result"] == "passed"
    of.run(1)
    of.act("ack")
    of.order(RATE % 1_300_000)


@pytest.mark.requirement("OP-R7.4(1)-(7)")
def test_self_test_on_request_only_when_stopped():
    of = running()
    assert of.no("selftest")["code"] == "state"
    of.act("stop")
    assert of.act("selftest")["result"] == "passed"
    assert of.alarm("self_test") is None


def test_storage():
    """The journal wears out in the middle of a delivery: the pump stops and says so."""
    of = running()
    for sector in range(4, 64):
        of.core.flash_port.break_sector(sector, "program_silent")
    of.run_to_alarm("storage", 700, 1)
    assert of.state() == "alarm" and not of.enabled
    count = of.steps
    of.run(600)
    assert of.steps == count
    assert of.alarm("storage")["priority"] == "high"
    assert of.act("ack")["state"] == "stopped"
    assert of.alarm("storage")["phase"] == "acknowledged"
    for text in (RATE % 1_300_000, "prepare_bolus volume_nl=1000", "prepare_jog steps=5 disconnected=1"):
        assert of.no(text) == of.no(text) | {"code": "storage", "what": "journal"}


def test_steps_late():
    """A loop that is gone for two seconds in a bolus: the motion ends by itself, and that is not hidden."""
    of = pump()
    of.order("prepare_bolus volume_nl=500000")
    of.run(5)
    assert of.state() == "bolus"
    hang, sleep = [2_000_000], of.app._sleep_us
    of.app._sleep_us = lambda full: (of.core.charge(hang.pop() if hang else 0), sleep(full))[1]
    of.run_to_alarm("steps_late", 5)
    expect_stopped(of, "steps_late", of.steps)
    expect_latched(of, "steps_late")


def hanging(of: Pump) -> None:
    """From now on the loop does not come back: it waits for ever, as time passes."""

    def for_ever() -> None:
        while True:
            of.core.charge(costs.PASS_US)

    of.app.ports.inputs.read = for_ever


@pytest.mark.requirement("REQ-X-08", "R11")
@pytest.mark.parametrize("order", [FAST, "prepare_bolus volume_nl=500000"])
def test_a_loop_that_hangs_is_reset(order):
    of = running(order)
    state, hung, steps = of.state(), of.now, of.steps
    hanging(of)
    of.run(9)
    assert [f["cause"] for _, name, f in of.seen if name == "reset"] == ["watchdog"]
    at = next(t for t, name, _ in of.seen if name == "reset")
    assert 1_200_000 < at - hung <= 8_300_000
    assert of.steps - steps <= 64 + 9  # what was queued, and no more
    of.run(0.1)
    of.next_id = of.ask("hello")["next_id"]
    assert state in ("infusing", "bolus") and of.state() == "stopped" and not of.enabled
    assert of.ask("info")["reset"] == "watchdog"
    assert of.alarm("unexpected_reset")["priority"] == "high"
    assert of.alarm("power_lost") is None  # the power was there all the time
    of.run(600)
    assert of.steps - steps <= 64 + 9
    assert of.act("ack")["count"] == 1
    assert of.alarm("unexpected_reset") is None
    of.flush()
    assert of.journal_of("boot")[-1]["reset"] == 1


@pytest.mark.requirement("REQ-X-03", "A7")
def test_power_lost_only_when_something_ran():
    of = running()
    of.power_cycle()
    assert of.alarm("power_lost")["phase"] == "latched"
    assert of.alarm("unexpected_reset") is None
    of.order(FAST)
    of.act("stop")
    of.act("ack")
    of.run(1)
    of.power_cycle()
    assert of.ask("alarms")["count"] == 0


def test_a_fortnight_without_an_alarm():
    of = pump()
    of.order(RATE % 1_300_000)
    for _ in range(14):
        of.run(43_200)
        of.order("prepare_bolus volume_nl=100000")
        of.run(43_200)
    assert [f for _, name, f in of.said if name == "alarm"] == []
    assert of.ask("lifetime")["lost_steps"] < 64
    truth = of.core.plant.truth(of.now)
    assert truth.missed_steps == 0
    totals = of.ask("totals")
    assert abs(totals["stepped_nl"] - 14 * 1_400_000) <= 232
    assert abs(totals["confirmed_nl"] - totals["stepped_nl"]) < 64 * 232
    assert of.state() == "infusing"


@pytest.mark.requirement("OP-R6.5(13)")
def test_stop_button_and_alarm_leave_the_alarm_standing():
    of = running()
    of.core.plant.occlude(of.now)
    of.run_to_alarm("occlusion", 3600, 1)
    of.core.press(IN_STOP, True)
    of.run(0.1)
    of.core.press(IN_STOP, False)
    assert of.state() == "alarm"
    assert of.act("stop")["state"] == "alarm"


def test_acknowledging_one_alarm_leaves_the_others():
    of = running()
    of.core.plant.driver_fault(of.now, True)
    of.core.plant.capture(of.now, False)
    of.run(1)
    names = [of.ask(f"alarms index={i}")["alarm"] for i in range(of.ask("alarms")["count"])]
    assert sorted(names) == ["driver_error", "syringe_released"]
    of.core.plant.driver_fault(of.now, False)
    of.core.plant.capture(of.now, True)
    of.run(1)
    assert of.act("ack alarm=occlusion")["count"] == 0
    assert of.no("ack alarm=nonsense")["code"] == "field"
    assert of.state() == "alarm"
    assert of.act("ack alarm=driver_error")["count"] == 1
    assert of.state() == "alarm"
    assert of.act("ack alarm=syringe_released") == of.act("ack") | {"state": "stopped", "count": 1}


def test_a_driver_error_is_seen_though_it_was_short():
    """DIAG for less than a pass: an input's edge wakes the loop."""
    of = running(RATE % 1_300_000)
    of.run(33.3)
    of.core.plant.driver_fault(of.now, True)
    of.run(0.02)
    of.core.plant.driver_fault(of.now, False)
    of.run(1)
    assert of.state() == "alarm"
    assert of.alarm("driver_error")["phase"] == "latched"


def test_seeds_do_not_matter_for_health():
    for seed in range(3):
        of = Pump(core=None, seed=seed)
        assert isinstance(of.core.plant, Plant)
        of.run(0.1)
        of.load()
        of.order(FAST)
        of.run(1800)
        assert of.ask("alarms")["count"] == 0


def test_pressure_sensor():
    """A wire that breaks in mid-delivery, which would be an occlusion alarm that can't come any more."""
    of = running()
    of.core.plant.sensor(of.core.now_us, "pressure", "off")
    of.run_to_alarm("pressure_sensor", 31)
    expect_stopped(of, "pressure_sensor", of.steps)
    of.core.plant.sensor(of.core.now_us, "pressure", "ok")
    of.run(31)
    expect_latched(of, "pressure_sensor")


def test_a_latched_alarm_outlives_a_power_cut():
    of = running()
    of.core.plant.occlude(of.core.now_us)
    of.run_to_alarm("occlusion", 3_600)
    of.core.plant.release(of.core.now_us)
    for _ in range(2):
        of.power_cycle()
        found = of.alarm("occlusion")
        assert found is not None and found["phase"] == "latched"
        assert of.state() == "stopped"
    of.act("ack")
    of.run(1)
    of.power_cycle()
    assert of.alarm("occlusion") is None


# --- what is around the pump


def set_supply(of: Pump, mv: int) -> None:
    of.core.plant.supply(of.now, mv)


@pytest.mark.requirement("GIP-5.1.x")
def test_a_supply_that_sags_is_told_and_then_stops_with_hysteresis():
    of = running()
    set_supply(of, 4_430)
    of.run_to_alarm("supply_low", 70)
    assert of.state() == "infusing" and of.alarm("supply_low")["priority"] == "low"
    refused = of.no("prepare_bolus volume_nl=1000")
    assert (refused["code"], refused["alarm"]) == ("alarm", "supply_low")
    set_supply(of, 4_500)
    of.run(130)
    assert of.alarm("supply_low") is not None, "not better by enough"
    set_supply(of, 4_270)
    of.run_to_alarm("supply_failing", 70)
    expect_stopped(of, "supply_failing", of.steps)
    expect_refused_until_gone(of, "supply_failing", lambda: set_supply(of, 5_000))
    assert of.alarm("supply_low") is None


def test_one_low_reading_of_the_supply_stops_nothing():
    of = running()
    sensors = of.app.ports.sensors
    real, low = sensors.supply_mv, [4_000]
    sensors.supply_mv = lambda: low.pop() if low else real()
    of.run(120)
    assert not low and of.alarm("supply_failing") is None and of.state() == "infusing"


@pytest.mark.requirement("GIP-7.1.1")
def test_a_pump_that_is_too_warm_stops_until_it_has_cooled_down():
    of = running()
    of.core.plant.warm(of.now, 56.5, 1)
    at = of.now
    assert of.run_to_alarm("over_temperature", 130) - at < 75_000_000
    assert of.state() == "alarm" and not of.enabled
    of.act("ack")
    of.core.plant.warm(of.now, 52.0, 1)
    of.run(130)
    assert of.no(RATE % 1_300_000)["alarm"] == "over_temperature"
    of.core.plant.warm(of.now, 48.0, 1)
    of.run(130)
    of.order(RATE % 1_300_000)


@pytest.mark.requirement("GIP-2.3.1", "A2")
@pytest.mark.parametrize("button", [IN_START, IN_STOP, IN_SILENCE])
def test_a_button_that_is_held_for_a_minute(button):
    of = pump()
    of.core.press(button, True)
    at = of.now
    of.run(55)
    assert of.alarm("stuck_key") is None
    assert of.run_to_alarm("stuck_key", 25) - at >= 60_000_000
    assert of.no(RATE % 1_300_000)["alarm"] == "stuck_key"
    of.core.press(button, False)
    of.run(20)
    assert of.alarm("stuck_key") is None, "not latching"
    of.order(RATE % 1_300_000)


def test_many_short_presses_are_no_stuck_button():
    of = pump()
    for _ in range(40):
        of.core.press(IN_SILENCE, True)
        of.run(2.5)
        of.core.press(IN_SILENCE, False)
        of.run(0.3)
    assert of.alarm("stuck_key") is None


@pytest.mark.requirement("OP-R6.7(4)-(6)", "A18")
@pytest.mark.parametrize("how", ["usb_connected", "host_reads"])
def test_a_host_that_watched_and_is_gone_is_missed_and_the_pump_goes_on(how):
    of = running()
    of.ask("telemetry period_ms=1000")
    steps = of.steps
    setattr(of.core, how, False)
    of.run(60)
    assert not of.app.alarms.standing
    of.run(125)
    assert of.app.alarms.listed() == [of.app.alarms.index("host_lost")]
    assert of.app.machine.state == "infusing" and of.steps - steps > 400
    setattr(of.core, how, True)
    of.run(70)
    assert of.alarm("host_lost") is None


def test_a_host_that_never_watched_or_watches_no_more_is_not_missed():
    of = running()
    of.core.usb_connected = False
    of.run(400)
    assert not of.app.alarms.standing
    of.core.usb_connected = True
    of.order("prepare_settings host_lost_s=0")
    of.ask("telemetry period_ms=1000")
    of.core.usb_connected = False
    of.run(400)
    assert not of.app.alarms.standing


def test_a_burst_of_refused_lines_is_told_and_delivery_goes_on():
    of = running()
    of.run(60)
    for _ in range(19):
        of.answer(b"nonsense\n")
    of.run(70)
    assert of.alarm("command_errors") is None
    start = len(of.said)
    for _ in range(45):  # a minute's end may lie among them
        of.answer(b"@7 ack *00000000\n")
    of.run_to(lambda: of.told("command_errors", "active", start), 130, 1)
    assert of.alarm("command_errors") == of.alarm("command_errors") | {"priority": "low", "phase": "latched"}
    assert of.state() == "infusing"
    of.act("ack")
    of.run(200)
    assert of.alarm("command_errors") is None


def sag(of: Pump) -> None:
    set_supply(of, 4_000)


def hold(of: Pump) -> None:
    of.core.press(IN_SILENCE, True)


def prepare(of: Pump) -> None:
    of.act("prepare_bolus volume_nl=1000")


def pause(of: Pump) -> None:
    of.act("pause")
    of.run(60)


def heat(of: Pump) -> None:
    of.core.plant.warm(of.now, 56.5, 0.1)
    of.run(0.1)


def leave(of: Pump) -> None:
    of.order("prepare_settings host_lost_s=61")  # not a whole number of looks
    of.ask("telemetry period_ms=1000")
    of.run(2)
    of.core.usb_connected = False
    of.run(61)
    assert not of.app.alarms.stands("host_lost"), "sooner than host_lost_s"


def bother(of: Pump) -> None:
    for _ in range(39):
        of.answer(b"nonsense\n")
        of.run(1.4)


CAUSES = {
    "supply_low": sag,
    "supply_failing": sag,
    "stuck_key": hold,
    "input_pending": prepare,
    "paused_too_long": pause,
    "over_temperature": heat,
    "host_lost": leave,
    "command_errors": bother,
}


@pytest.mark.requirement("OP-R6.7(4)-(6)", "GIP-2.3.1", "GIP-5.1.x")
@pytest.mark.parametrize("name", texts.ALARM_WITHIN)
def test_what_is_looked_at_now_and_then_is_told_within_what_the_page_says(name):
    """At the slowest looks, at 1.3 mL/day, and at any phase between two of them."""
    for after_s in range(0, 77, 11):
        of = running(RATE % 1_300_000)
        of.order("prepare_limits pause_max_s=60")
        of.run(60 + after_s)
        CAUSES[name](of)
        of.run_to(lambda of=of: of.app.alarms.stands(name), texts.ALARM_WITHIN[name][0], 0.5)


@pytest.mark.requirement("GIP-2.2.4/5")
def test_an_order_that_waits_for_its_commit_is_told_until_it_expires():
    of = pump()
    token = of.act(RATE % 1_300_000)["token"]
    at = of.now
    of.run(14)
    assert of.alarm("input_pending") is None
    assert 14_000_000 <= of.run_to_alarm("input_pending", 3) - at < 17_500_000
    of.act("commit token=" + token)
    of.run(0.1)
    assert of.alarm("input_pending") is None
    of.act("prepare_bolus volume_nl=1000")
    of.run(25)
    assert of.alarm("input_pending")["priority"] == "low"
    of.run(8)
    assert of.alarm("input_pending") is None and of.state() == "infusing"


@pytest.mark.requirement("OP-R6.5(18)")
def test_the_same_alarm_three_times_in_ten_minutes_stops_for_good():
    of = running()
    start = of.now
    for _ in range(3):
        of.core.plant.driver_fault(of.now, True)
        of.run(1)
        of.core.plant.driver_fault(of.now, False)
        of.run(1)
        assert of.state() == "alarm"
        of.act("ack alarm=driver_error")
        if of.alarm("alarm_loop") is None:
            assert of.state() == "stopped"
            of.order(FAST)
            of.run(60)
    found = of.alarm("alarm_loop")
    assert (found["priority"], found["phase"], of.state()) == ("high", "active", "alarm")
    of.act("ack")
    assert of.no(RATE % 1_300_000)["alarm"] == "alarm_loop"
    of.run(600 - (of.now - start) / 1e6 - 5)
    assert of.no(RATE % 1_300_000)["alarm"] == "alarm_loop"
    of.run(30)
    of.order(RATE % 1_300_000)


def looped() -> Pump:
    """A pump that the same alarm has stopped three times; its cause is gone and answered, the loop is not."""
    of = running()
    for _ in range(3):
        of.core.plant.driver_fault(of.now, True)
        of.run(1)
        of.core.plant.driver_fault(of.now, False)
        of.run(1)
        of.act("ack alarm=driver_error")
        if of.alarm("alarm_loop") is None:
            of.order(FAST)
            of.run(60)
    return of


@pytest.mark.requirement("OP-R6.5(18)", "A7")
@pytest.mark.parametrize("answered", [False, True])
def test_an_alarm_loop_outlives_a_power_cycle_with_its_time(answered):
    of = looped()
    for _ in range(2):
        if answered:
            of.act("ack")
            assert of.alarm("alarm_loop")["phase"] == "acknowledged"
        of.flush()
        of.power_cycle()
        assert of.alarm("alarm_loop")["phase"] == "active"
        assert of.no(RATE % 1_300_000)["alarm"] == "alarm_loop"
    of.act("ack")
    of.run(590)
    assert of.no(RATE % 1_300_000)["alarm"] == "alarm_loop"
    of.run(30)
    assert of.alarm("alarm_loop") is None
    of.flush()
    of.power_cycle()
    assert of.alarm("alarm_loop") is None
    of.order(RATE % 1_300_000)


def test_an_alarm_loop_whose_time_is_over_waits_for_its_acknowledgement_after_a_power_cycle():
    of = looped()
    of.run(620)
    assert of.alarm("alarm_loop")["phase"] == "latched"
    of.flush()
    of.power_cycle()
    assert of.alarm("alarm_loop")["phase"] == "latched"
    of.act("ack")
    of.order(RATE % 1_300_000)


MOVES = ("prepare_jog steps=10", "prepare_jog steps=-10", "prepare_home", "prepare_withdraw volume_nl=10")


@pytest.mark.requirement("A7")
def test_the_plunger_does_not_move_before_the_cause_is_gone():
    of = looped()
    of.act("ack")
    assert (of.state(), of.alarm("alarm_loop")["phase"]) == ("stopped", "acknowledged")
    for move in MOVES:
        said = of.no(move + " disconnected=1")
        assert (said["code"], said["alarm"]) == ("alarm", "alarm_loop")
    of.run(620)
    of.order("prepare_jog steps=-10 disconnected=1")


@pytest.mark.parametrize("name", [name for name, traits in ALARMS if traits & NO_START])
def test_which_alarms_may_stand_when_the_plunger_moves_with_the_line_disconnected(name):
    """Those whose cause goes so, acknowledged: no other, and none that waits."""
    of = running()
    of.act("stop")
    of.app.alarms.set(name, of.app.clock.s)
    for move in MOVES:
        assert of.no(move + " disconnected=1")["alarm"] == name
    of.app.alarms.acknowledge(name, of.app.clock.s)
    for move in MOVES[:-1]:
        if name in FREED:
            of.act(move + " disconnected=1")
        else:
            assert of.no(move + " disconnected=1")["alarm"] == name


def test_three_different_alarms_are_no_loop():
    of = running()
    for name in ("driver_error", "syringe_released", "end_of_travel"):
        TRIPS[name](of, True)
        of.run(1)
        TRIPS[name](of, False)
        of.run(6)
        of.act("ack")
        of.order(FAST)
        of.run(20)
    assert of.alarm("alarm_loop") is None and of.state() == "infusing"


@pytest.mark.requirement("A19")
@pytest.mark.parametrize("name", [name for name, _ in ALARMS])
def test_clearing_an_alarm_never_moves_fluid(name):
    """Whatever the alarm and however it is cleared, no step is made, and nothing that stood begins to run."""
    of = running()
    of.app.raise_alarm(name)
    of.run(1)
    stopped = name in STOPPING
    assert (of.state() in ("alarm", "fault")) == stopped
    if not stopped:
        of.act("stop")
    steps = of.steps
    for line in ("silence", f"ack alarm={name}", "ack"):
        of.raw(line)
        of.run(30)
    of.core.press(IN_SILENCE, True)
    of.run(1)
    of.core.press(IN_START, True)
    of.run(30)
    assert of.steps == steps and not of.enabled
    assert of.state() in ("stopped", "fault")


@pytest.mark.requirement("CS-REQ-45/46")
def test_the_start_button_does_not_resume_what_an_alarm_forbids():
    of = running()
    of.act("pause")
    of.core.press(IN_SILENCE, True)
    of.run_to_alarm("stuck_key", 80)
    steps = of.steps
    of.core.press(IN_START, True)
    of.run(2)
    assert of.state() == "paused" and of.steps == steps
    assert of.no("resume")["alarm"] == "stuck_key"


@pytest.mark.requirement("OP-R6.4.4(2)")
@pytest.mark.parametrize("by", ["host", "button"])
def test_a_silence_of_the_host_dies_with_the_link_and_one_of_the_button_does_not(by):
    of = running()
    of.core.plant.driver_fault(of.now, True)
    of.run(1)
    if by == "host":
        of.act("silence seconds=120")
    else:
        of.core.press(IN_SILENCE, True)
        of.core.press(IN_SILENCE, False)
    of.run(1)
    of.core.usb_connected = False
    of.seen.clear()
    of.run(12)
    sounded = any(event == "tone" and fields["frequency_hz"] for _, event, fields in of.seen)
    assert sounded == (by == "host")
