"""What a pump delivers, whatever core it runs on: every mode, and how each of them ends.

Volumes are small and times short: a person can watch a real motor do it, and a Pico without a motor is not taken for
one that stalls (`rig.BRIDGED_STEPS_MAX`).
"""

import pytest

from haipump import Programme
from haipump.errors import OrderInterrupted, Refused
from haipump.programme import Item

pytestmark = pytest.mark.needs("bridged")
RATE = "80 mL/day"  # 4 steps/s
RATE_NL_PER_S = 80e6 / 86_400


def microstep_nl(rig) -> float:
    return rig.pump.calibration().step_fl / 1e6


def state(rig) -> str:
    return rig.pump.status().state


def complete(rig, order, volume_nl):
    """It ends complete, to the microstep, and the pump says so by itself."""
    status = rig.finish(order)
    assert (status.result, status.left_nl) == ("complete", 0)
    assert abs(status.stepped_nl - volume_nl) <= microstep_nl(rig)
    done = [event.fields for event in rig.events() if event.name == "done"]
    assert [(f["order"], f["result"]) for f in done] == [(order.id, "complete")]
    assert abs(done[0]["stepped_nl"] - volume_nl) <= microstep_nl(rig)
    return status


# --- basal


@pytest.mark.requirement("GIP-1.1.1", "OP-R5.1(3)", "CS-REQ-5/6/14")
def test_a_rate_runs_until_it_is_stopped(rig):
    rig.pump.rate(RATE)
    before, clock = rig.pump.totals().stepped_nl, rig.pump.clock()
    rig.wait(8)
    after, later = rig.pump.totals().stepped_nl, rig.pump.clock()
    elapsed_s = later.uptime_s - clock.uptime_s + (later.uptime_us - clock.uptime_us) / 1e6
    assert after - before == pytest.approx(elapsed_s * RATE_NL_PER_S, abs=2 * microstep_nl(rig))
    assert (state(rig), rig.pump.status().flow_nl_per_day) == ("infusing", 80_000_000)
    assert rig.pump.stop().state == "stopped"


def test_a_rate_is_changed_in_motion(rig):
    first = rig.pump.rate("40 mL/day")
    rig.wait(3)
    rig.pump.rate("120 mL/day")
    before = rig.pump.totals().stepped_nl
    rig.wait(5)
    assert rig.pump.totals().stepped_nl - before > 5 * 110e6 / 86_400
    assert first.status().result == "replaced"


def test_a_ramp_rises_evenly(rig):
    rig.pump.rate("20 mL/day")
    rig.pump.rate("120 mL/day", ramp="8s")
    flows = []
    for _ in range(3):
        rig.wait(2)
        flows.append(rig.pump.status().flow_nl_per_day)
    assert 20_000_000 < flows[0] < flows[1] < flows[2] < 120_000_000
    rig.wait(3)
    assert rig.pump.status().flow_nl_per_day == 120_000_000


@pytest.mark.requirement("CS-REQ-20/28")
def test_a_volume_to_be_infused_ends_in_stop(rig):
    complete(rig, rig.pump.rate(RATE, vtbi="6 uL", at_end="stop"), 6_000)
    assert (state(rig), rig.pump.status().flow_nl_per_day) == ("stopped", 0)
    assert rig.phase("infusion_complete") == "latched"


def test_a_volume_to_be_infused_ends_in_kvo(rig):
    complete(rig, rig.pump.rate(RATE, vtbi="6 uL", at_end="kvo"), 6_000)
    status = rig.pump.status()
    assert (status.state, status.flow_nl_per_day) == ("kvo", rig.pump.setting("kvo_nl_per_day").value)


@pytest.mark.requirement("OP-R6.7(4)-(6)")
def test_kvo_by_itself_and_never_faster_than_what_ran(rig):
    rig.pump.kvo()
    assert (state(rig), rig.pump.status().flow_nl_per_day) == ("kvo", rig.pump.setting("kvo_nl_per_day").value)
    rig.pump.stop()
    rig.pump.rate("0.2 mL/day")
    rig.pump.kvo()
    assert (state(rig), rig.pump.status().flow_nl_per_day) == ("kvo", 200_000)


# --- boluses


@pytest.mark.requirement("GIP-1.4.1")
def test_an_immediate_bolus_is_delivered_to_the_microstep(rig):
    order = rig.pump.bolus("10 uL", within="5s")
    assert state(rig) == "bolus"
    complete(rig, order, 10_000)
    assert state(rig) == "stopped"


def test_a_bolus_at_the_rate_of_the_settings(rig):
    complete(rig, rig.pump.bolus("10 uL"), 10_000)


@pytest.mark.requirement("GIP-1.4.1", "GIP-1.4.7")
def test_an_extended_bolus_takes_its_time(rig):
    order = rig.pump.bolus("4 uL", over="8s")
    rig.wait(4)
    assert order.status().left_nl == pytest.approx(2_000, abs=500)
    complete(rig, order, 4_000)


def test_an_immediate_bolus_holds_the_extended_one(rig):
    extended = rig.pump.bolus("4 uL", over="10s")
    rig.wait(2)
    immediate = rig.pump.bolus("4 uL", within="4s")
    left_nl = rig.pump.status().extended_left_nl
    assert left_nl > 2_500
    rig.wait(2)
    assert rig.pump.status().extended_left_nl == pytest.approx(left_nl, abs=microstep_nl(rig))
    assert rig.finish(immediate).result == "complete"
    status = rig.finish(extended)
    assert status.result == "complete" and abs(status.stepped_nl - 4_000) <= microstep_nl(rig)


@pytest.mark.requirement("GIP-1.4.4")
def test_a_bolus_leaves_the_basal_rate_as_it_was(rig):
    rig.pump.rate("50 mL/day")
    rig.finish(rig.pump.bolus("5 uL", within="5s"))
    status = rig.pump.status()
    assert (status.state, status.basal_nl_per_day) == ("infusing", 50_000_000)


def test_a_bolus_is_cancelled_and_the_basal_rate_goes_on(rig):
    rig.pump.rate("20 mL/day")
    order = rig.pump.bolus("10 uL", within="10s")
    rig.wait(3)
    assert rig.pump.cancel_bolus().order == order.id
    status = rig.wait_for(lambda: (now := order.status()).result != "running" and now, 2)
    assert status.result == "stopped" and 2_000 < status.stepped_nl < 6_000
    assert (state(rig), rig.pump.status().flow_nl_per_day) == ("infusing", 20_000_000)


# --- programme


def test_a_programme_with_all_there_is(rig):
    items = (Item(0, "rate", 40_000_000), Item(3, "bolus", 2_000, 2), Item(6, "ramp", 80_000_000, 3))
    programme = Programme(10, 1, "stop", items)
    order = rig.pump.programme(programme)
    assert state(rig) == "infusing"
    complete(rig, order, float(programme.exact_volume_nl))
    assert state(rig) == "stopped"


def test_a_programme_repeats_and_ends_in_kvo(rig):
    programme = Programme(3, 2, "kvo", (Item(0, "rate", 80_000_000),))
    complete(rig, rig.pump.programme(programme), float(programme.exact_volume_nl))
    assert state(rig) == "kvo"


# --- handling


@pytest.mark.requirement("A4")
def test_a_prime_is_pushed_and_is_no_dose(rig):
    before = rig.pump.totals()
    order = rig.pump.prime("8 uL", disconnected=True)
    assert state(rig) == "priming"
    complete(rig, order, 8_000)
    after = rig.pump.totals()
    assert after.stepped_nl == before.stepped_nl
    assert abs(after.primed_nl - before.primed_nl - 8_000) <= microstep_nl(rig)


def test_a_withdrawal_is_pulled_and_counted(rig):
    before, reservoir_nl = rig.pump.totals(), rig.pump.status().reservoir_nl
    order = rig.pump.withdraw("8 uL", disconnected=True)
    assert state(rig) == "withdrawing"
    complete(rig, order, 8_000)
    assert abs(rig.pump.totals().withdrawn_nl - before.withdrawn_nl - 8_000) <= microstep_nl(rig)
    assert abs(rig.pump.status().reservoir_nl - reservoir_nl - 8_000) <= microstep_nl(rig)


@pytest.mark.parametrize("steps", [40, -40])
def test_a_jog_is_counted_in_steps(rig, steps):
    order = rig.pump.jog(steps, disconnected=True)
    assert state(rig) == "moving"
    complete(rig, order, 40 * microstep_nl(rig))
    if rig.level in ("rig", "plant"):
        turned = rig.pump.sensors().encoder_steps * (1 if steps > 0 else -1)
        assert -24 < turned - 40 < rig.pump.calibration().backlash_steps + 24


def test_homing_that_finds_no_switch_is_an_alarm(rig):
    travel = rig.pump.calibration().travel_steps
    rig.afterwards(lambda: (rig.pump.stop(), rig.pump.ack(), rig.pump.calibrate(travel_steps=travel)))
    rig.pump.calibrate(travel_steps=40)
    rig.pump.home(disconnected=True)
    assert state(rig) == "moving"
    rig.wait_for(lambda: rig.phase("end_of_travel"), 10)
    assert state(rig) in ("stopped", "alarm")


def test_refilling(rig):
    assert rig.pump.refill_begin() == "refill"
    with pytest.raises(Refused) as refusal:
        rig.pump.rate(RATE)
    assert refusal.value.code == "state"
    rig.finish(rig.pump.withdraw("3 uL", disconnected=True))
    assert state(rig) == "refill"
    rig.pump.syringe("30 mL", "25 mL")
    assert rig.pump.refill_end() == "stopped"
    assert (rig.pump.status().reservoir_nl, rig.pump.totals().stepped_nl) == (25_000_000, 0)


# --- pause, resume, stop


@pytest.mark.requirement("GIP-1.6.1/2", "CS-REQ-43")
@pytest.mark.parametrize("mode", ["bolus", "extended", "vtbi", "programme"])
def test_pause_keeps_the_exact_remainder(rig, mode):
    order = start(rig, mode)
    rig.wait(2)
    told_nl = rig.pump.pause().left_nl
    assert state(rig) == "paused" and rig.pump.status().flow_nl_per_day == 0
    left_nl, stepped_nl = order.status().left_nl, rig.pump.totals().stepped_nl
    assert left_nl == pytest.approx(told_nl, abs=microstep_nl(rig))  # words on their way are made
    rig.wait(3)
    assert (order.status().left_nl, rig.pump.totals().stepped_nl) == (left_nl, stepped_nl)
    rig.pump.resume()
    assert rig.finish(order).stepped_nl == pytest.approx(10_000, abs=microstep_nl(rig))


MODES = ("rate", "ramp", "vtbi", "kvo", "bolus", "extended", "programme", "prime", "withdraw", "jog", "home")


def start(rig, mode):
    """Something that goes on for five seconds and more."""
    pump = rig.pump
    programme = Programme(10, 1, "stop", (Item(0, "rate", 86_400_000),))
    return {
        "rate": lambda: pump.rate(RATE),
        "ramp": lambda: pump.rate(RATE, ramp="10s"),
        "vtbi": lambda: pump.rate(RATE, vtbi="10 uL"),
        "kvo": lambda: pump.kvo(),
        "bolus": lambda: pump.bolus("10 uL", within="10s"),
        "extended": lambda: pump.bolus("10 uL", over="10s"),
        "programme": lambda: pump.programme(programme),
        "prime": lambda: pump.prime("1 mL", disconnected=True),
        "withdraw": lambda: pump.withdraw("1 mL", disconnected=True),
        "jog": lambda: pump.jog(5_000, disconnected=True),
        "home": lambda: pump.home(disconnected=True),
    }[mode]()


@pytest.mark.requirement("CS-REQ-5/6/14", "R6")
@pytest.mark.parametrize("mode", MODES)
def test_stop_ends_everything(rig, mode):
    """After so few steps that a Pico without a motor is still believed."""
    order = start(rig, mode)
    assert rig.pump.sensors().enabled == 1
    rig.wait(0 if mode in ("prime", "withdraw", "jog", "home") else 2)
    assert rig.pump.stop().state == "stopped"
    sensors, totals = rig.pump.sensors(), rig.pump.totals()
    assert sensors.enabled == 0 and order.status().result == "stopped"
    rig.wait(2)
    assert rig.pump.totals() == totals
    if rig.core is not None:
        assert not rig.core.plant.truth(rig.core.now_us).enabled


def test_whoever_waits_for_an_order_that_is_stopped_is_told(rig):
    order = rig.pump.bolus("10 uL", within="10s")
    rig.pump.stop()
    with pytest.raises(OrderInterrupted):
        order.wait(timeout_s=10)


def test_a_motor_that_makes_steps_makes_just_those(rig):
    """Edges at the pad as the odometer has them: were they others, the pump would stop with `step_count`."""
    steps = rig.core and rig.core.plant.truth(rig.core.now_us).commanded_steps
    order = rig.pump.bolus("12 uL", within="4s")
    stepped_nl = rig.finish(order).stepped_nl
    assert rig.phase("step_count") is None
    if rig.core is not None:
        made = rig.core.plant.truth(rig.core.now_us).commanded_steps - steps
        assert made - round(stepped_nl / microstep_nl(rig)) in range(81)  # the rest takes up the play of the screw


# --- what is refused


def test_what_can_not_be_reached_is_refused_with_the_range(rig):
    with pytest.raises(Refused) as refusal:
        rig.pump.rate("90000 mL/day")
    assert "possible are" in str(refusal.value)
    with pytest.raises(Refused) as refusal:
        rig.pump.rate("0.001 mL/day")
    assert refusal.value.fields["limit"] == "step_period"
    assert state(rig) == "stopped"


@pytest.mark.requirement("R5")
def test_a_step_is_worth_what_the_geometry_says(rig):
    """1.291 mL were pushed for a bolus of 0.25 mL when the library said 20 nL, and the pump counted 0.25 mL."""
    syringe = {"reservoir_nl": 10_000_000, "bore_um": 14_500, "syringe_nl": 10_000_000}
    with pytest.raises(Refused) as refusal:
        rig.pump.prepare("prepare_syringe", step_fl=20_000_000, **syringe)
    assert (refusal.value.code, refusal.value.fields["field"]) == ("range", "step_fl")
    assert 0 <= refusal.value.fields["minimum"] - 103_195_000 < 2_000
    with pytest.raises(Refused) as refusal:
        rig.pump.prepare("prepare_syringe", step_fl=49_087_385, **(syringe | {"bore_um": 10_000}))
    assert refusal.value.fields["field"] == "bore_um"
    with pytest.raises(Refused) as refusal:
        rig.pump.prepare("prepare_calibration", step_fl=20_000_000)
    assert refusal.value.fields["field"] == "step_fl"


def test_ten_times_the_rate_needs_an_override(rig):
    rig.pump.rate("1 mL/day")
    with pytest.raises(Refused) as refusal:
        rig.pump.rate("10 mL/day")
    assert refusal.value.code == "override"
    rig.pump.rate("10 mL/day", override=True)


def test_more_than_there_is_in_the_syringe_is_refused(rig):
    with pytest.raises(Refused) as refusal:
        rig.pump.prime("25 mL", disconnected=True)
    assert refusal.value.code == "reservoir"
    with pytest.raises(Refused) as refusal:
        rig.pump.withdraw("11 mL", disconnected=True)
    assert refusal.value.fields["maximum"] == 30_000_000 - rig.pump.status().reservoir_nl


def test_limits_hold(rig):
    before = rig.pump.limits().max_bolus_nl
    rig.afterwards(lambda: rig.pump.set_limits(max_bolus_nl=before))
    rig.pump.set_limits(max_bolus_nl=5_000)
    with pytest.raises(Refused) as refusal:
        rig.pump.bolus("6 uL", within="5s")
    assert (refusal.value.fields["limit"], refusal.value.fields["maximum"]) == ("max_bolus_nl", 5_000)


def test_settings_are_kept_and_told(rig):
    before = rig.pump.setting("kvo_nl_per_day").value
    rig.afterwards(lambda: rig.pump.set_settings(kvo_nl_per_day=before))
    rig.pump.set_settings(kvo_nl_per_day=300_000)
    assert rig.pump.setting("kvo_nl_per_day").value == 300_000
    rig.pump.kvo()
    assert rig.pump.status().flow_nl_per_day == 300_000
