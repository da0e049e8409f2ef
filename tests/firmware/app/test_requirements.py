"""Requirements that are about the whole pump and belong to no single alarm or order."""

from __future__ import annotations

import pytest

from haipump_fw import app as app_module
from haipump_fw import storage
from tests.firmware.app.bench import HOUR, SECOND, STEP_FL, Pump, pump

FAST = "prepare_rate rate_nl_per_day=48000000 override=1"  # 2 mL/h: 2.4 steps/s
SLOWER = "prepare_rate rate_nl_per_day=24000000"


def steps_in(of: Pump, seconds: float) -> int:
    before = of.steps
    of.run(seconds)
    return of.steps - before


@pytest.mark.requirement("GIP-1.1.7", "CS-REQ-56", "OP-R6.5(23)")
def test_a_rate_that_is_prepared_changes_nothing_until_it_is_committed():
    of = pump()
    of.order(FAST)
    of.run(10)
    before = steps_in(of, 20)
    token = of.act(SLOWER)["token"]
    assert of.status()["flow_nl_per_day"] == 48_000_000
    assert abs(steps_in(of, 20) - before) <= 1
    of.act(f"commit token={token}")
    of.run(1)
    assert of.status()["flow_nl_per_day"] == 24_000_000
    assert abs(2 * steps_in(of, 20) - before) <= 2


@pytest.mark.requirement("GIP-1.1.7", "GIP-2.2.4/5")
def test_a_rate_that_is_prepared_and_left_is_never_started():
    of = pump()
    of.order(FAST)
    token = of.act(SLOWER)["token"]
    of.run(31)
    assert of.no(f"commit token={token}")["code"] == "token"
    assert of.status()["flow_nl_per_day"] == 48_000_000


@pytest.mark.requirement("GIP-1.10.3")
def test_no_occlusion_limit_can_be_set_that_reaches_20_psi():
    of = pump()
    highest = int(of.ask("settings name=occlusion_pa")["maximum"])
    assert highest < 137_895  # 20 psi in pascal
    answer = of.no(f"prepare_limits occlusion_pa={highest + 1}")
    assert answer["code"] == "range" and answer["maximum"] == highest


@pytest.mark.requirement("GIP-2.2.3")
@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("prepare_settings silence_s=60", "silence_s"),
        ("prepare_limits max_bolus_nl=1000000", "max_bolus_nl"),
        ("prepare_calibration backlash_steps=40", "backlash_steps"),
    ],
)
def test_a_setting_changes_only_when_it_is_confirmed(line, name):
    of = pump()
    before = of.ask(f"settings name={name}")["value"]
    token = of.act(line)["token"]
    assert of.ask(f"settings name={name}")["value"] == before
    assert of.no("commit token=00000000")["code"] == "token"
    assert of.ask(f"settings name={name}")["value"] == before
    of.act(f"commit token={token}")
    assert of.ask(f"settings name={name}")["value"] == int(line.rpartition("=")[2])


@pytest.mark.requirement("GIP-3.1.3", "A13")
def test_an_error_cancels_the_bolus_for_good():
    of = pump()
    of.order(FAST)
    bolus = of.order("prepare_bolus volume_nl=1000000 duration_s=600")
    of.run(60)
    of.core.plant.driver_fault(of.now, True)
    of.run_to_alarm("driver_error", 2)
    ended = of.ask(f"order id={bolus}")
    assert ended["result"] == "alarm" and ended["stepped_nl"] < ended["planned_nl"] == 1_000_000
    of.core.plant.driver_fault(of.now, False)
    of.run(70)
    of.act("ack")
    assert of.status()["bolus_left_nl"] == 0 and of.state() == "stopped"
    assert of.no("resume")["code"] == "state"
    assert steps_in(of, 120) == 0
    of.order(FAST)
    of.run(60)
    assert of.status()["bolus_left_nl"] == 0
    assert of.ask(f"order id={bolus}")["stepped_nl"] == ended["stepped_nl"]


@pytest.mark.requirement("GIP-3.3.1-3")
def test_a_processor_that_gives_wrong_answers_is_found_within_two_minutes(monkeypatch):
    of = pump()
    of.order(FAST)
    of.run(10)
    assert storage.digest_works()
    monkeypatch.setattr(app_module, "digest_works", lambda: False)
    of.run_to(lambda: not of.enabled, 2 * 75)
    assert of.state() == "fault"
    assert of.alarm("self_test") is not None
    assert steps_in(of, HOUR / 1_000_000 / 60) == 0
    assert of.no(FAST)["code"] == "state"


@pytest.mark.requirement("OP-R6.8(3)/(9)/(10)", "R5")
def test_two_boluses_are_not_promised_the_same_volume():
    of = pump()
    of.load(reservoir_nl=4_000_000)
    of.order("prepare_bolus volume_nl=3000000 duration_s=3600 extended=1")
    answer = of.no("prepare_bolus volume_nl=1000000 duration_s=600")
    assert answer["code"] == "reservoir" and 490_000 <= answer["maximum"] <= 500_000 + STEP_FL // 1_000_000
    of.order(f"prepare_bolus volume_nl={answer['maximum']} duration_s=600")


@pytest.mark.requirement("A20", "R8")
def test_a_thousand_connections_disturb_nothing():
    """Each says hello, begins a line, and is gone; nobody reads the answers of every second one."""
    calm, of = pump(), pump()
    for each in (calm, of):
        each.order(FAST)
    for at in range(1000):
        of.send(b"\nhello\n@%d prepare_bolus volume_nl=5000" % (of.next_id + at))
        if at % 2:
            of.core.output.clear()
        of.core.run_until(of.now + SECOND // 20)
    of.core.output.clear()
    calm.core.run_until(of.now)
    assert of.core.plant.truth(of.now).enabled
    assert of.net == calm.net > 100
    of.send(b"\n")
    of.run(5)
    of._rest = ""
    assert of.status()["state"] == "infusing" and of.status()["bolus_left_nl"] == 0
    assert of.order("prepare_bolus volume_nl=1000000")
