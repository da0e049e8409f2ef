"""Supervision on the whole pump: the table of docs/detection.md in part (`make detection` has all), rest, and peace."""

from __future__ import annotations

import pytest

from haipump_fw.core.supervision import ANCHORS
from haipump_fw.ports import IN_EDGES
from tests.firmware.app.bench import HOUR, MINUTE, STEP_FL, Pump, pump
from tools.detection import measure, table
from tools.detection.table import Cell, Fault

RATE = "prepare_rate rate_nl_per_day=%d override=1"


def chosen() -> list[tuple[Fault, Cell]]:
    """Each fault with each syringe and each rate, each syringe with each rate."""
    found = []
    for shift, fault in enumerate(table.FAULTS):
        for at, size in enumerate(table.SIZES):
            rates = [rate for rate in table.RATES if Cell(size, rate).reachable]
            found.append((fault, Cell(size, rates[(at + shift) % len(rates)])))
    return found


@pytest.mark.requirement("GIP-1.2.2", "GIP-1.8.1", "REQ-X-10", "CS-REQ-16/19", "OP-R6.4(2)-(7)", "A5", "A24")
@pytest.mark.parametrize(
    ("fault", "cell"), chosen(), ids=lambda value: getattr(value, "name", None) or str(value.size_ml)
)
def test_a_fault_is_seen_in_the_time_and_volume_that_are_stated(fault, cell):
    assert not measure.misses(fault, cell, measure.measure(fault, cell))


def test_the_whole_table_was_measured_as_it_is_stated():
    found = table.measured()
    assert set(found) == {table.key(fault, cell) for fault, cell in measure.pairs()}
    for fault, cell in measure.pairs():
        time_s, excess_nl = found[table.key(fault, cell)]
        alarm = (fault.alarms or ("reset",))[0]
        assert not measure.misses(fault, cell, measure.Found(alarm, time_s, excess_nl))


def test_a_miss_is_told():
    fault, cell = table.FAULTS[0], Cell(30, table.LOW)
    bad = measure.misses(fault, cell, measure.Found("occlusion", 1e6, 1e6))
    assert len(bad) == 4 and "instead of" in bad[0] and "the bar is 5000 nL" in bad[3]


@pytest.mark.requirement("OP-R7.1", "GIP-1.2.2")
@pytest.mark.parametrize("per_s", [20, 75, 150, 300, 500, 700, 900, 2_000])
def test_a_step_generator_of_any_speed_is_cut_off_within_50_ul(per_s):
    cell = Cell(30, "60 mL/h")
    of = measure.running(cell, 1)
    watch = measure.Watch(of, cell)
    of.core.listeners.append(watch)
    of.app.ports.steps.run_away(per_s)
    of.run_to_alarm("step_count", 2, 0.001)
    assert not of.enabled and watch.worst_nl < 10_000
    assert of.state() == "fault"


@pytest.mark.requirement("GIP-1.2.3", "OP-R6.4(2)-(7)")
def test_a_quarter_of_the_steps_lost_is_under_infusion_and_goes_on_infusing():
    of = pump()
    of.order(RATE % 1_300_000)
    of.run(60)
    of.core.plant.wire(of.now, "step", "short")
    began = of.now
    of.run_to_alarm("under_infusion", 17 * 75, 5)
    assert of.now - began > 5 * MINUTE and of.state() == "infusing" and of.enabled
    assert of.no("prepare_bolus volume_nl=1000")["alarm"] == "under_infusion"
    of.core.plant.wire(of.now, "step", "ok")
    of.run(60 * (ANCHORS + 3))
    assert of.alarm("under_infusion")["phase"] == "latched" and of.state() == "infusing"
    of.act("ack")
    of.order("prepare_bolus volume_nl=1000")


@pytest.mark.requirement("GIP-1.2.2", "CS-REQ-5/6/14")
@pytest.mark.parametrize(("steps", "alarm"), [(12, "over_infusion"), (-12, "reverse_delivery")])
def test_a_shaft_that_turns_while_the_pump_is_stopped_is_an_alarm(steps, alarm):
    of = pump()
    of.run(40)
    of.core.plant.turn(of.now, steps // 4)
    of.run(40)
    assert of.ask("alarms index=0")["alarm"] == "none"
    of.core.plant.turn(of.now, steps)
    of.run_to_alarm(alarm, 16)
    assert of.alarm(alarm)["phase"] == "latched"
    assert of.no(RATE % 1_300_000)["alarm"] == alarm
    of.run(60)
    of.act("ack")
    assert of.alarm(alarm) is None, "from where it is now"
    of.order(RATE % 1_300_000)


def test_in_a_refill_hands_may_turn_the_shaft():
    of = pump()
    of.run(40)
    of.act("refill phase=begin")
    of.run(20)
    of.core.plant.turn(of.now, 300)
    of.run(20)
    of.act("refill phase=end")
    of.run(40)
    assert of.ask("alarms index=0")["alarm"] == "none"


@pytest.mark.requirement("CS-REQ-5/6/14", "OP-R7.1")
def test_pulses_while_the_pump_is_stopped_end_in_fault_and_move_nothing():
    of = pump()
    of.run(40)
    before = of.core.plant.truth(of.now).motor_steps
    of.app.ports.steps.halt()  # the guard is tight, as after a stop
    of.app.ports.steps.run_away(500)
    of.run_to_alarm("step_count", 1)
    assert of.state() == "fault" and of.core.plant.truth(of.now).motor_steps == before
    assert of.act("selftest")["result"] == "passed"


def test_an_edge_too_many_is_told_once_and_is_no_contact():
    of = pump()
    of.order(RATE % 1_300_000)
    of.run(30)
    inputs = of.app.ports.inputs
    of.core.release(of.now)
    inputs.trips |= IN_EDGES
    of.run(20)
    assert [f["alarm"] for _, name, f in of.said if name == "alarm" and f["phase"] == "active"] == ["step_count"]
    assert of.journal_of("result")[-1]["result"] == 4


def test_a_plan_that_goes_on_after_its_order_is_stopped():
    of = pump()
    of.order("prepare_bolus volume_nl=20000 duration_s=10")
    of.run(2)
    of.app.delivery.planner.orders[0].top //= 3  # what it may do at most; the plan is three times that
    of.app.changed()
    of.run_to_alarm("over_infusion", 5)
    assert of.net < 20_000 * 1_000_000 // STEP_FL


@pytest.mark.requirement("GIP-1.2.2", "GIP-1.2.3")
def test_a_healthy_pump_is_left_in_peace_through_everything_that_it_can_do():
    of: Pump = pump()
    of.order("prepare_limits max_rate_nl_per_day=100000000000")
    for rate, seconds in ((200_000, 900), (1_300_000, 900), (48_000_000, 900), (1_900_000_000, 30), (2_600_000, 900)):
        of.order(RATE % rate)
        of.run(seconds)
        of.order("prepare_bolus volume_nl=100000")
        of.run(20)
        of.act("pause")
        of.run(120)
        of.act("resume")
        of.run(seconds)
        of.order(RATE % 24_000_000 + " ramp_s=600")
        of.run(700)
        of.act("stop")
        of.order("prepare_withdraw volume_nl=50000 disconnected=1")
        of.run(30)
        of.order("prepare_prime volume_nl=60000 disconnected=1")
        of.run(30)
    of.order(RATE % 1_300_000)
    of.core.run_until(of.now + 20 * HOUR)
    of.run(1)
    assert of.state() == "infusing"
    raised = {fields["alarm"] for _, name, fields in of.said if name == "alarm"}
    assert raised <= {"paused_too_long", "reservoir_low"}
