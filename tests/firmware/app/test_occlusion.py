"""Occlusion on the whole pump: alarm, back-off, books, the bolus after release, flow that comes back, resumption."""

from __future__ import annotations

import math
from typing import Any

import pytest

from haipump_emulator.plant.params import SYRINGE_BORES_MM, SyringeParams
from haipump_fw import relief
from haipump_fw.ports import IN_CAPTURED, IN_STOP
from tests.firmware.app.bench import MINUTE, Pump, Refused
from tools.measure_occlusion import rig, settings, spring_nl_per_pa

RATE = 1_300_000


def basal(
    seed: int = 1, size_ml: int = 10, compliance: float = 1.5, rate: int = RATE, order: str = "", **limits: int
) -> Pump:
    """A pump that has infused long enough for the stopper to slide."""
    values = settings(size_ml)
    of = Pump(params=rig(size_ml, compliance), seed=seed)
    of.run(0.1)
    full_nl = size_ml * 1_000_000
    of.load(full_nl, values["step_fl"], full_nl, values["bore_um"])
    for name, value in limits.items():
        of.order(f"prepare_limits {name}={value}")
    of.order(f"prepare_prime volume_nl={20_000 * size_ml} disconnected=1")
    of.run_to(lambda: of.state() == "stopped", 120, 1)
    of.order(order or f"prepare_rate rate_nl_per_day={rate}")
    of.run(600 + 97 * seed)
    return of


def truth(of: Pump) -> Any:
    return of.core.plant.truth(of.now)


def close(of: Pump, within_s: float = 1_800, slice_s: float = 1) -> int:
    """Close the line, wait for the alarm. Returns when it came after it."""
    closed = of.now
    of.core.plant.occlude(closed)
    return of.run_to_alarm("occlusion", within_s, slice_s) - closed


def phase(of: Pump) -> str | None:
    found = of.alarm("occlusion")
    return found and found["phase"]


def relieved(of: Pump, within_s: float = 120) -> None:
    of.run_to(lambda: of.app.machine.state != "relieving", within_s, 0.5)


@pytest.mark.requirement("GIP-1.10.1/2", "GIP-1.10.5", "GIP-1.10.6", "GIP-1.10.7")
@pytest.mark.parametrize("seed", [1, 4, 8])
def test_at_1300_ul_a_day_an_alarm_within_30_min_and_hardly_a_bolus(seed):
    of = basal(seed)
    before, told, reservoir_nl = truth(of), of.ask("totals"), of.status()["reservoir_nl"]
    assert close(of, slice_s=0.5) < 30 * MINUTE
    stored_pa = truth(of).pressure_pa
    relieved(of)
    after = of.ask("totals")
    assert of.state() == "alarm" and not of.enabled
    assert stored_pa > before.pressure_pa + 7_000, "some of it is relieved already"
    assert abs(truth(of).pressure_pa - before.pressure_pa) < 6_000, "what was stored is relieved"
    # Nothing arrived since, and the totals say so, to a jerk of the stopper.
    assert abs(after["stepped_nl"] - told["stepped_nl"]) < 8_000
    assert after["commanded_nl"] - told["commanded_nl"] > 12_000, "it was commanded all the same"
    of.core.plant.release(of.now)
    of.run(60)
    bolus_nl = truth(of).arrived_nl - before.arrived_nl
    assert abs(bolus_nl) < 10_000
    assert abs(before.reservoir_nl - truth(of).reservoir_nl - reservoir_nl + of.status()["reservoir_nl"]) < 8_000
    of.act("ack")
    of.order(f"prepare_rate rate_nl_per_day={RATE}")
    of.run(600)
    assert truth(of).arrived_nl - before.arrived_nl - bolus_nl > 3_000, "flow is back within 10 minutes"
    of.run(7_200)
    arrived = truth(of).arrived_nl - before.arrived_nl
    assert abs(arrived - (of.ask("totals")["stepped_nl"] - told["stepped_nl"])) < 12_000


@pytest.mark.requirement("GIP-1.10.5")
def test_at_whatever_moment_the_line_closes_the_alarm_comes_within_30_min(part):
    for moment in part(range(1, 241), 20):
        of = basal(1 + moment % 9)
        of.run(moment * 311 % 9_000)
        assert close(of, within_s=3_600, slice_s=5) < 30 * MINUTE, moment


def test_without_the_back_off_the_bolus_would_be_larger():
    """What the test before is worth: the same occlusion, and the plunger can't be drawn back."""
    of = basal()
    of.app.delivery.slack = of.app.delivery.backlash + relief.budget(of.app.values)  # the budget is used up
    before = truth(of).arrived_nl
    close(of, slice_s=5)
    assert of.state() == "alarm"
    of.core.plant.release(of.now)
    of.run(60)
    assert truth(of).arrived_nl - before > 10_000


@pytest.mark.parametrize("ends", ["host", "button", "captured"])
def test_a_stop_ends_a_back_off_at_once_and_the_books_stay_right(ends):
    of = basal(rate=24_000_000)
    of.app.delivery.account()
    offset = of.net - of.app.delivery.net_steps + of.app.delivery.slack
    close(of)
    net = of.net
    of.run(1)
    assert of.app.machine.state == "relieving" and of.enabled
    if ends == "host":
        of.send(b"!\n")
    elif ends == "button":
        of.core.press(IN_STOP, True)
    else:
        of.core.plant.capture(of.now, False)
    of.run(0.2)
    assert not of.enabled and of.app.machine.state == "alarm"
    of.core.press(IN_STOP, False)
    # Each step back is either fluid that is in the syringe again, or way that is taken up.
    delivery = of.app.delivery
    assert of.net < net
    assert of.net - delivery.net_steps + delivery.slack == offset
    count = of.steps
    of.run(300)
    assert of.steps == count


def test_an_acknowledgement_moves_nothing_during_and_after():
    of = basal(rate=24_000_000)
    close(of)
    answer = of.act("ack")
    assert answer["state"] == "relieving"
    relieved(of)
    assert of.state() == "stopped", "nothing waits any more"
    count = of.steps
    of.run(600)
    assert of.steps == count
    of = basal(rate=24_000_000)
    close(of)
    relieved(of)
    count = of.steps
    assert of.act("ack")["state"] == "stopped"
    of.run(600)
    assert of.steps == count


def test_nothing_starts_while_it_draws_back():
    of = basal(rate=24_000_000)
    close(of)
    assert of.state() == "relieving"
    for line in (f"prepare_rate rate_nl_per_day={RATE}", "prepare_bolus volume_nl=1000", "pause", "resume", "selftest"):
        with pytest.raises(Refused):
            of.act(line)


@pytest.mark.requirement("CS-REQ-22")
def test_the_way_back_is_bounded_whatever_the_sensor_says():
    of = basal(rate=24_000_000)
    close(of)
    of.core.plant.sensor(of.now, "pressure", "noise", 3)
    of.core.plant.sensor(of.now, "pressure", "offset", 20_000)
    start = of.net
    relieved(of)
    most = relief.budget(of.app.values) + of.app.delivery.backlash
    assert start - of.net <= most
    assert of.app.delivery.slack <= most


def test_a_plunger_that_is_not_held_is_not_drawn_back():
    of = basal(rate=24_000_000)
    inputs = of.app.ports.inputs
    was = inputs.read
    of.core.plant.occlude(of.now)
    of.run(30)
    begin = relief.begin

    def released(*arguments: Any) -> None:
        inputs.read = lambda: was() & ~IN_CAPTURED
        begin(*arguments)
        inputs.read = was

    try:
        relief.begin = released
        of.run_to_alarm("occlusion", 1_800, 1)
    finally:
        relief.begin = begin
    assert of.state() == "alarm" and not of.enabled


def test_the_take_up_is_known_after_a_power_cut_and_forgotten_with_a_new_syringe():
    of = basal(rate=24_000_000)
    close(of)
    relieved(of)
    slack = of.app.delivery.slack
    assert slack > of.app.delivery.backlash
    of.flush()
    of.power_cycle()
    assert of.app.delivery.slack == slack
    assert phase(of) == "latched"
    of.act("ack")
    of.load(10_000_000, 103_203_000, 10_000_000, 14_500)
    assert of.app.delivery.slack == of.app.delivery.backlash


def test_a_power_cut_in_a_back_off_leaves_a_range_that_holds_the_truth():
    of = basal(rate=24_000_000)
    base = truth(of).arrived_nl - of.ask("totals")["stepped_nl"]
    close(of)
    of.run(1)
    assert of.app.machine.state == "relieving"
    of.power_cycle()
    totals = of.ask("totals")
    arrived = truth(of).arrived_nl - base
    assert arrived <= totals["stepped_max_nl"] + 8_000
    assert totals["stepped_nl"] - 8_000 <= arrived + truth(of).stored_nl, "what still presses in the line was stepped"
    assert of.state() in ("stopped", "alarm") and not of.enabled


def test_a_priming_that_is_blocked_is_relieved_and_teaches_the_compliance():
    of = basal()
    of.send(b"!\n")
    of.run(1)
    of.core.plant.occlude(of.now)
    of.order("prepare_prime volume_nl=1000000 disconnected=1")
    of.run_to_alarm("occlusion", 60, 0.1)
    relieved(of)
    assert 750 <= of.app.occlusion.learned <= 3_000, "uL/kPa * 1000: 1.5 was closed"
    assert truth(of).pressure_pa < 25_000
    assert of.ask("totals")["stepped_nl"] < 100_000, "priming is no dose, and nothing is taken from it"


@pytest.mark.requirement("GIP-1.10.1/2", "OP-R7.2(4)/(5)")
def test_suction_while_withdrawing_stops():
    of = basal()
    of.send(b"!\n")
    of.run(1)
    of.core.plant.artery(of.now, 0.0)
    of.core.plant.refill(of.now, 5_000_000)
    of.load(5_000_000, 103_203_000, 10_000_000, 14_500)
    of.core.plant.occlude(of.now)
    of.order("prepare_withdraw volume_nl=1000000 disconnected=1")
    of.run_to_alarm("upstream_occlusion", 60, 0.1)
    assert truth(of).pressure_pa > -25_000
    assert of.state() == "alarm" and not of.enabled
    count = of.steps
    of.run(60)
    assert of.steps == count


def resumes(of: Pump) -> int:
    return sum(1 for _, name, fields in of.said if name == "state" and fields["why"] in ("basal", "kvo")) - 1


def test_by_default_nothing_is_resumed():
    of = basal(rate=24_000_000)
    close(of)
    of.core.plant.release(of.now)
    of.run(1_200)
    assert of.state() == "alarm" and resumes(of) == 0


def test_a_rate_is_resumed_while_the_alarm_stands():
    of = basal(rate=24_000_000, auto_resumes=2)
    close(of)
    of.run(20)
    of.core.plant.release(of.now)
    of.run(30)
    before = truth(of).arrived_nl
    assert of.state() == "alarm"
    of.run(60)
    assert of.state() == "infusing"
    assert phase(of) == "latched"
    assert of.no("prepare_bolus volume_nl=1000")["code"] == "alarm"
    of.run(600)
    assert truth(of).arrived_nl - before > 120_000, "1 mL/h"
    assert of.act("ack")["state"] == "infusing"
    assert of.alarm("occlusion") is None


def test_it_is_resumed_at_most_as_often_as_allowed():
    of = basal(rate=48_000_000, auto_resumes=1)
    close(of)
    of.run(900)
    assert resumes(of) == 1 and of.state() == "alarm", "closed all the time: one try, and a second alarm"
    again = [t for t, name, f in of.said if name == "alarm" and (f["alarm"], f["phase"]) == ("occlusion", "active")]
    assert len(again) == 2


def test_somebody_who_acknowledges_or_another_alarm_ends_the_resumption():
    of = basal(rate=24_000_000, auto_resumes=2)
    close(of)
    relieved(of)
    of.act("ack")
    of.run(300)
    assert of.state() == "stopped" and resumes(of) == 0
    of = basal(rate=24_000_000, auto_resumes=2)
    close(of)
    relieved(of)
    of.core.plant.capture(of.now, False)
    of.run(300)
    assert of.state() == "alarm" and resumes(of) == 0


def test_a_bolus_is_never_resumed_and_a_volume_goes_on_with_its_rest():
    of = basal(rate=24_000_000, auto_resumes=2)
    of.order("prepare_bolus volume_nl=500000 duration_s=600")
    close(of)
    of.run(20)
    of.core.plant.release(of.now)
    of.run(120)
    assert of.state() == "infusing" and of.app.delivery.bolus is None
    of = basal(auto_resumes=2, order="prepare_rate rate_nl_per_day=24000000 vtbi_nl=600000")
    before = truth(of).arrived_nl - of.ask("totals")["stepped_nl"]
    close(of)
    of.run(20)
    of.core.plant.release(of.now)
    of.run_to(lambda: of.state() == "stopped" or of.alarm("infusion_complete"), 3_600, 10)
    assert abs(of.ask("totals")["stepped_nl"] - 600_000) < 2_000
    assert abs(truth(of).arrived_nl - before - 600_000) < 25_000


# --- what the totals tell

PARTIAL_PA = 120_000  # where a partial obstacle would end at the ordered rate
ABOVE_NL = 300  # the upper end holds to some steps
WAYS = ("start", "middle", "partial", "slow line", "released", "resumed")


def below_nl(size_ml: int, compliance: float) -> float:
    """How much the lower end may be too high: what the stopper's friction takes up before the pressure rises, and what
    a pressure so near to the one before still holds."""
    area_mm2 = math.pi / 4 * SYRINGE_BORES_MM[size_ml] ** 2
    friction_pa = SyringeParams().friction_static_n / area_mm2 * 1e6
    return spring_nl_per_pa(size_ml) * friction_pa + compliance * relief.ABOVE_PA


def primed(size_ml: int = 10, compliance: float = 1.5, first: str = "") -> tuple[Pump, float]:
    """A pump that is ready, and what has arrived so far."""
    values, full_nl = settings(size_ml), size_ml * 1_000_000
    of = Pump(params=rig(size_ml, compliance))
    of.run(0.1)
    of.load(full_nl, values["step_fl"], full_nl, values["bore_um"])
    if first:
        of.order(first)
    of.order(f"prepare_prime volume_nl={30_000 * size_ml} disconnected=1")
    of.run_to(lambda: of.state() == "stopped", 120, 1)
    return of, truth(of).arrived_nl


def told(of: Pump, base_nl: float, text: str, below: float) -> None:
    """What arrived since is in the range that the pump tells."""
    totals, arrived_nl = of.ask("totals"), truth(of).arrived_nl - base_nl
    text += f": {arrived_nl:.0f} nL arrived, told {totals['stepped_min_nl']} to {totals['stepped_max_nl']}"
    assert arrived_nl <= totals["stepped_max_nl"] + ABOVE_NL, text
    assert totals["stepped_min_nl"] - below <= arrived_nl, text
    assert totals["stepped_min_nl"] == totals["stepped_nl"]


def occlude(size_ml: int, compliance: float, rate: int, way: str) -> None:
    text = f"{size_ml} mL, {compliance}, {rate}, {way}"
    of, base_nl = primed(size_ml, compliance, "prepare_limits auto_resumes=1" if way == "resumed" else "")
    if way == "start":
        of.core.plant.occlude(of.now)
    of.order(f"prepare_rate rate_nl_per_day={rate}")
    if way != "start":
        of.run(max(5.0, 20_000 * 86_400 / rate))
        of.core.plant.occlude(of.now, PARTIAL_PA * 86_400 / rate if way == "partial" else None)
    of.run_to_alarm("occlusion", 40_000, 0.1 if rate > 100_000_000 else 5)
    if way == "released":
        of.run(1)
        of.core.plant.release(of.now)
    elif way == "slow line":  # opened, but it takes its time: nobody can tell it from a closed one
        of.core.plant.occlude(of.now, 20.0)
    relieved(of)
    below = below_nl(size_ml, compliance)
    told(of, base_nl, text, below)
    of.core.plant.release(of.now)
    of.run(80 if way == "resumed" else 5)  # a minute after the stop it may go on
    told(of, base_nl, text, below)
    assert (of.state() == "infusing") == (way == "resumed"), text
    if way == "resumed":
        of.run(min(300, 200_000 * 86_400 / rate))
        told(of, base_nl, text, below)


@pytest.mark.requirement("GIP-1.10.6")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("size_ml", "compliance", "rates"),
    [
        (1, 0.3, (24_000_000,)),
        (3, 0.3, (RATE, 240_000_000)),
        (10, 1.0, (24_000_000, 720_000_000, 1_440_000_000)),
        (10, 3.0, (240_000_000, 1_440_000_000)),
        (60, 11.0, (1_440_000_000,)),
    ],
)
def test_the_range_holds_what_arrived(size_ml, compliance, rates, way):
    for rate in rates:
        occlude(size_ml, compliance, rate, way)


def test_at_a_fast_rate_the_range_is_no_wider_than_what_was_drawn_back():
    """The readings are 72 s apart: all that was delivered before the line was closed is in the first block."""
    of, base_nl = primed(10, 1.9)
    of.order("prepare_rate rate_nl_per_day=1440000000")
    of.run(5)
    close(of, 60, 0.1)
    net = of.net
    relieved(of)
    totals = of.ask("totals")
    assert totals["stepped_min_nl"] < truth(of).arrived_nl - base_nl < totals["stepped_max_nl"]
    drawn_nl = (net - of.net - of.app.delivery.backlash) * 103.203
    assert totals["stepped_max_nl"] - totals["stepped_min_nl"] <= drawn_nl + ABOVE_NL
    life = of.ask("lifetime")
    assert life["stepped_max_nl"] - life["stepped_min_nl"] == totals["stepped_max_nl"] - totals["stepped_min_nl"]
    of.act("ack")
    of.flush()
    of.power_cycle()
    after = of.ask("totals")
    assert (after["stepped_min_nl"], after["stepped_max_nl"]) == (totals["stepped_min_nl"], totals["stepped_max_nl"])


def test_a_line_that_is_not_relieved_may_hold_all_that_was_pushed():
    of = basal(rate=240_000_000)
    base_nl = truth(of).arrived_nl - of.ask("totals")["stepped_nl"]
    of.app.delivery.slack = of.app.delivery.backlash + relief.budget(of.app.values)  # the budget is used up
    close(of, 600, 0.1)
    assert of.state() == "alarm"
    told(of, base_nl, "closed", 5_000)
    of.flush()
    of.power_cycle()
    told(of, base_nl, "known after a power cut", 5_000)
    of.core.plant.release(of.now)
    of.run(60)
    told(of, base_nl, "and the bolus is in it", 5_000)


def test_a_stopped_back_off_leaves_in_the_range_what_still_presses():
    of = basal(rate=240_000_000)
    base_nl = truth(of).arrived_nl - of.ask("totals")["stepped_nl"]
    close(of, 600, 0.1)
    of.run(2)
    assert of.app.machine.state == "relieving"
    of.send(b"!\n")
    of.run(1)
    told(of, base_nl, "closed", 5_000)
    of.core.plant.release(of.now)
    of.run(60)
    told(of, base_nl, "open", 5_000)


@pytest.mark.parametrize("rate", [240_000_000, 1_440_000_000])
def test_a_volume_that_is_resumed_never_becomes_more(rate):
    """What was taken out of the dose and not drawn back would be given twice."""
    of, base_nl = primed(first="prepare_limits auto_resumes=2")
    of.order(f"prepare_rate rate_nl_per_day={rate} vtbi_nl=1000000")
    of.run(40)
    close(of, 900, 0.1)
    of.run(20)
    of.core.plant.release(of.now)
    of.run_to(lambda: bool(of.alarm("infusion_complete")), 3_600, 1)
    assert 970_000 < truth(of).arrived_nl - base_nl < 1_002_000


@pytest.mark.parametrize(("compliance", "rate", "flow_s"), [(1.0, 1_440_000_000, 100), (1.5, 240_000_000, 130)])
def test_what_flowed_before_the_line_was_closed_is_no_compliance(compliance, rate, flow_s):
    """Six times the compliance would be believed, and no slope be seen any more until another syringe is loaded."""
    of, _ = primed(compliance=compliance)
    of.order(f"prepare_rate rate_nl_per_day={rate}")
    of.run(flow_s)
    close(of, 120, 0.1)
    relieved(of)
    assert of.app.occlusion.learned <= 2_000 * compliance


@pytest.mark.requirement("OP-R5.2(5)/R5.3(7)")
def test_a_dose_limit_counts_the_upper_end_before_and_after_a_reset():
    of, _ = primed(first="prepare_dose max_dose_nl=9000000 window_s=86400")
    of.order("prepare_rate rate_nl_per_day=1440000000 vtbi_nl=3000000")
    of.run(5)
    close(of, 120, 0.1)
    relieved(of)
    most_nl = of.ask("totals")["stepped_max_nl"]
    assert of.ask("dose")["used_nl"] >= most_nl - 1_000
    of.act("ack")
    of.flush()
    of.power_cycle()
    assert of.ask("dose")["used_nl"] >= most_nl - 1_000
