"""Orders on the whole pump: what follows an end, handling the syringe, time to empty, and two things at once."""

from __future__ import annotations

import base64
import hashlib

import pytest

from haipump_fw.ports import IN_START, IN_STOP
from tests.firmware.app.bench import SECOND, STEP_FL, Pump, frame, pump

RATE = "prepare_rate rate_nl_per_day=%d"
STEP_NL = STEP_FL // 1_000_000 + 1
NO_LIMIT = "prepare_limits reservoir_low_nl=0 reservoir_empty_nl=0"


def programme(of: Pump, text: str) -> str:
    """Send the parts; returns the prepare line."""
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    of.act(f"part_begin what=programme size={len(data)} sha256={digest}")
    for at in range(0, len(data), 120):
        of.act(f"part offset={at} data={base64.b64encode(data[at : at + 120]).decode()}")
    return f"prepare_programme sha256={digest}"


PLAN = "haipump-programme 1\nperiod_s %d\nrepeats %d\nat_end %s\n%s\n"


# --- what follows an end


@pytest.mark.requirement("GIP-1.1.8")
@pytest.mark.parametrize(("setting", "rate", "want"), [(500_000, 48_000_000, 500_000), (500_000, 200_000, 200_000)])
def test_kvo_after_the_volume_at_the_smaller_rate(setting, rate, want):
    of = pump()
    of.order(f"prepare_settings kvo_nl_per_day={setting}")
    of.order(f"prepare_rate rate_nl_per_day={rate} vtbi_nl=2000 at_end=kvo")
    of.run_to(lambda: of.state() == "kvo", 2000, 1)
    assert of.status()["flow_nl_per_day"] == want
    of.run(6)
    steps = of.steps
    of.run(3600)
    assert abs((of.steps - steps) * STEP_FL / 1_000_000 - want / 24) <= STEP_NL
    of.order(RATE % want)
    assert of.state() == "infusing"


@pytest.mark.requirement("GIP-1.3.x", "CS-REQ-20/28", "GIP-1.2.1")
def test_stop_after_the_volume_and_the_volume_is_exact():
    of = pump()
    of.order("prepare_rate rate_nl_per_day=48000000 vtbi_nl=50000 at_end=stop")
    of.run(120)
    assert of.state() == "stopped" and not of.enabled
    assert abs(of.steps * STEP_FL / 1_000_000 - 50_000) <= STEP_NL


def test_kvo_on_request_is_never_above_the_running_rate():
    of = pump()
    assert of.act("prepare_kvo")["rate_nl_per_day"] == 500_000
    of.order(RATE % 200_000)
    assert of.act("prepare_kvo")["rate_nl_per_day"] == 200_000
    of.order("prepare_kvo")
    status = of.status()
    assert (status["state"], status["flow_nl_per_day"]) == ("kvo", 200_000)


def test_kvo_after_a_programme_follows_its_last_rate_not_its_last_bolus():
    of = pump()
    text = PLAN % (600, 1, "kvo", "0 rate 200000\n590 bolus 10000 10")
    token = of.act(programme(of, text))["token"]
    of.act(f"commit token={token}")
    of.run(601)
    status = of.status()
    assert (status["state"], status["flow_nl_per_day"]) == ("kvo", 200_000)
    assert of.alarm("infusion_complete") is not None


def test_a_programme_that_ends_with_nothing_stops():
    of = pump()
    text = PLAN % (600, 2, "kvo", "0 rate 1000000\n300 rate 0\n590 bolus 10000 10")
    of.order(programme(of, text))
    of.run(1201)
    assert of.state() == "stopped" and not of.enabled
    volume = 2 * (1_000_000 * 300 / 86_400 + 10_000)
    assert abs(of.steps * STEP_FL / 1_000_000 - volume) <= STEP_NL


def test_programme_repeats_and_is_interrupted_exactly():
    of = pump()
    text = PLAN % (60, 10, "stop", "0 ramp 24000000 30\n30 rate 24000000\n45 bolus 5000 0")
    of.order(programme(of, text))
    of.run(95)
    of.act("pause")
    of.run(100)
    of.act("resume")
    of.run(506)
    assert of.state() == "stopped"
    volume = 10 * (24_000_000 * 45 / 86_400 + 5_000)
    assert abs(of.steps * STEP_FL / 1_000_000 - volume) <= STEP_NL


# --- handling


def test_home_refill_prime_and_connect():
    of = pump()
    of.act("refill phase=begin")
    assert of.state() == "refill"
    of.order("prepare_home disconnected=1")
    assert of.state() == "moving"
    of.run_to(lambda: of.state() == "refill", 60, 0.5)
    assert of.ask("sensors")["back"] == 1 and not of.enabled
    # at the switch there is no way further back
    of.order("prepare_jog steps=-100 disconnected=1")
    of.run(1)
    assert of.alarm("end_of_travel") is not None
    assert of.act("ack")["state"] == "refill"
    of.order("prepare_jog steps=4000 disconnected=1")
    of.run_to(lambda: of.state() == "refill", 60, 0.5)
    of.core.plant.refill(of.now, 30_000_000)
    of.load()
    net = of.net
    of.order("prepare_prime volume_nl=200000 disconnected=1")
    assert of.state() == "priming"
    of.run_to(lambda: of.state() == "refill", 60, 0.5)
    assert 0 <= of.net - net - 200_000 * 1_000_000 // STEP_FL <= 1
    totals = of.ask("totals")
    assert abs(totals["primed_nl"] - 200_000) <= STEP_NL and totals["stepped_nl"] == 0
    assert abs(of.status()["reservoir_nl"] - 29_800_000) <= STEP_NL
    of.order("prepare_withdraw volume_nl=100000 disconnected=1")
    assert of.state() == "withdrawing"
    of.run_to(lambda: of.state() == "refill", 60, 0.5)
    assert abs(of.ask("totals")["withdrawn_nl"] - 100_000) <= STEP_NL
    assert abs(of.status()["reservoir_nl"] - 29_900_000) <= STEP_NL
    assert of.no("prepare_withdraw volume_nl=200000 disconnected=1")["code"] == "reservoir"
    assert of.act("refill phase=end")["state"] == "stopped"
    of.power_cycle()
    totals = of.ask("totals")
    assert abs(totals["primed_nl"] - 200_000) <= STEP_NL and abs(totals["withdrawn_nl"] - 100_000) <= STEP_NL
    assert totals["stepped_max_nl"] == 0


def test_stop_of_a_move_returns_to_where_it_began():
    of = pump()
    for refill in (False, True):
        if refill:
            of.act("refill phase=begin")
        for text in ("home", "jog steps=-2000", "withdraw volume_nl=1", "prime volume_nl=100000"):
            if text.startswith("withdraw"):
                of.load(20_000_000)
                text = "withdraw volume_nl=100000"
            of.order(f"prepare_{text} disconnected=1")
            of.run(0.5)
            assert of.state() in ("moving", "priming", "withdrawing"), text
            assert of.act("stop")["state"] == ("refill" if refill else "stopped")
            assert not of.enabled


@pytest.mark.requirement("GIP-1.4.5/6", "GIP-1.4.8")
def test_fast_bolus_suspends_the_extended_one_which_then_resumes():
    of = pump()
    of.order(RATE % 1_300_000)
    of.order("prepare_bolus volume_nl=100000 duration_s=600 extended=1")
    of.run(300)
    left = of.status()["extended_left_nl"]
    assert abs(left - 50_000) < 300
    of.order("prepare_bolus volume_nl=50000 duration_s=100")
    of.run(50)
    assert of.status()["extended_left_nl"] == pytest.approx(left, abs=20)
    assert of.no("prepare_bolus volume_nl=1000")["what"] == "one_bolus_at_a_time"
    assert of.no("prepare_bolus volume_nl=1000 duration_s=60 extended=1")["what"] == "one_bolus_at_a_time"
    of.run(360)
    assert of.state() == "infusing"
    assert [r["result"] for r in of.journal_of("result")][-2:] == [1, 1]


def test_cancel_ends_the_immediate_one_first():
    of = pump()
    of.order("prepare_bolus volume_nl=100000 duration_s=600 extended=1")
    of.order("prepare_bolus volume_nl=50000 duration_s=100")
    of.run(10)
    answer = of.act("cancel_bolus")
    assert answer["state"] == "bolus" and answer["left_nl"] == pytest.approx(45_000, abs=300)
    answer = of.act("cancel_bolus")
    assert answer["state"] == "stopped" and not of.enabled
    assert of.no("cancel_bolus")["code"] == "state"


def test_buttons():
    of = pump()
    of.order("prepare_rate rate_nl_per_day=48000000")
    of.run(5)
    of.act("pause")
    steps = of.steps
    of.run(20)
    assert of.steps == steps and of.enabled
    of.core.press(IN_START, True)
    of.run(0.1)
    of.core.press(IN_START, False)
    assert of.state() == "infusing"
    of.run(5)
    of.core.press(IN_START, True)  # runs already: nothing
    of.run(0.1)
    assert of.state() == "infusing"
    of.core.press(IN_START, False)
    of.core.press(IN_STOP, True)
    at = of.now
    of.run(0.1)
    assert next(t for t, n, f in of.seen if n == "enable" and not f["on"] and t >= at) - at < 20_000
    of.core.press(IN_STOP, False)
    assert of.state() == "stopped"
    of.core.press(IN_START, True)  # a start never begins anything from stopped
    of.run(1)
    assert of.state() == "stopped"
    assert [f["button"] for _, n, f in of.said if n == "button"] == ["start", "start", "stop", "start"]


# --- time to empty


def empties(of: Pump, predicted_s: int, within_s: float) -> None:
    """The alarm comes `predicted_s` from now, as was said."""
    start = of.now
    at = of.run_to_alarm("reservoir_empty", predicted_s + 100, max(0.01, within_s / 20))
    assert (at - start) / SECOND == pytest.approx(predicted_s, abs=within_s)


@pytest.mark.requirement("GIP-1.5.1-1.5.4")
@pytest.mark.parametrize("rate", [1_300_000, 20_000_000, 240_000_000])
@pytest.mark.parametrize("empty_nl", [0, 300_000])
def test_time_to_empty_is_when_it_stops_as_empty(rate, empty_nl):
    of = pump()
    of.load(400_000)
    of.order(f"prepare_limits reservoir_low_nl=0 reservoir_empty_nl={empty_nl}")
    before = of.act(RATE % rate)
    of.act("commit token=" + before["token"])
    assert abs(of.status()["empty_in_s"] - before["empty_in_s"]) <= 1
    period_s = STEP_FL * 86_400 / rate / 1_000_000
    empties(of, before["empty_in_s"], max(1.2, period_s * 1.05 + 0.1))


@pytest.mark.requirement("GIP-1.5.1-1.5.4")
def test_time_to_empty_after_each_change():
    of = pump()
    of.load(3_000_000)
    of.order(NO_LIMIT)
    assert of.status()["empty_in_s"] == -1
    of.order(RATE % 48_000_000)
    of.run(600)
    before = of.act("prepare_bolus volume_nl=200000")
    of.act("commit token=" + before["token"])
    assert abs(of.status()["empty_in_s"] - before["empty_in_s"]) <= 1
    of.run(100)
    before = of.act("prepare_rate rate_nl_per_day=96000000 ramp_s=300")
    of.act("commit token=" + before["token"])
    assert abs(of.status()["empty_in_s"] - before["empty_in_s"]) <= 1
    of.run(100)
    of.act("pause")
    assert of.status()["empty_in_s"] == -1
    of.run(100)
    of.act("resume")
    empties(of, of.status()["empty_in_s"], 1.2)


def test_time_to_empty_knows_the_extended_bolus_behind_the_immediate_one():
    of = pump()
    of.load(1_000_000)
    of.order(NO_LIMIT)
    of.order(RATE % 24_000_000)
    of.order("prepare_bolus volume_nl=400000 duration_s=600 extended=1")
    of.run(100)
    before = of.act("prepare_bolus volume_nl=200000 duration_s=200")
    of.act("commit token=" + before["token"])
    of.run(50)
    assert abs(of.status()["empty_in_s"] + 50 - before["empty_in_s"]) <= 1
    empties(of, of.status()["empty_in_s"], 1.9)  # said in whole seconds, and found a step later: 0.83 s


def test_time_to_empty_of_an_extended_bolus_that_waits_for_the_immediate_one():
    of = pump()
    of.load(600_000)
    of.order(NO_LIMIT)
    of.order(RATE % 24_000_000)
    of.order("prepare_bolus volume_nl=200000 duration_s=200")
    of.run(50)
    before = of.act("prepare_bolus volume_nl=300000 duration_s=900 extended=1")
    basal, left = 24_000_000 / 86_400, of.status()["reservoir_nl"]
    assert before["empty_in_s"] == pytest.approx(150 + (left - 150_000 - 150 * basal) / (basal + 300_000 / 900), abs=2)
    of.act("commit token=" + before["token"])
    empties(of, of.status()["empty_in_s"], 1.2)


@pytest.mark.parametrize("how", ["rate", "programme"])
def test_time_to_empty_goes_on_in_kvo(how):
    of = pump()
    of.load(110_000)
    of.order(NO_LIMIT)
    of.order("prepare_settings kvo_nl_per_day=24000000")
    if how == "rate":
        text = "prepare_rate rate_nl_per_day=48000000 vtbi_nl=100000 at_end=kvo"
    else:
        text = programme(of, PLAN % (180, 1, "kvo", "0 rate 48000000"))
    before = of.act(text)
    assert before["empty_in_s"] == pytest.approx(180 + 36, abs=1)
    of.act("commit token=" + before["token"])
    of.run(90)
    assert of.status()["empty_in_s"] == pytest.approx(90 + 36, abs=1)
    of.run(100)
    assert of.state() == "kvo"
    empties(of, of.status()["empty_in_s"], 1.2)


def test_time_to_empty_is_never_when_it_stops_before():
    of = pump()
    of.order(NO_LIMIT)
    assert of.act("prepare_rate rate_nl_per_day=48000000 vtbi_nl=100000")["empty_in_s"] == -1
    assert of.act("prepare_bolus volume_nl=1000")["empty_in_s"] == -1
    assert of.act("prepare_kvo")["empty_in_s"] > 0


# --- two things at once


@pytest.mark.parametrize("early_us", range(-2_000, 2_001, 250))
def test_a_stop_that_comes_as_the_bolus_ends(early_us):
    of = pump()
    of.order(RATE % 1_300_000)
    order = of.order("prepare_bolus volume_nl=30000 duration_s=10")
    begun = of.app.delivery.bolus.begun_us
    end = of.now - of.app.now_us() + begun + 10 * SECOND
    of.core.run_until(end - early_us)
    of.send(b"!\n")
    of.run(1)
    assert of.state() == "stopped" and not of.enabled
    results = [r for r in of.journal_of("result") if r["order"] == order]
    assert len(results) == 1 and results[0]["result"] in (1, 2)
    assert abs(results[0]["stepped_nl"] - 30_000) <= 2 * STEP_NL


@pytest.mark.parametrize("text", ["pause", "cancel_bolus", "prepare_rate rate_nl_per_day=2000000", "ack"])
@pytest.mark.parametrize("early_us", [-3_000, 0, 2_000, 4_000])
def test_an_order_that_comes_as_the_bolus_ends(text, early_us):
    of = pump()
    of.order("prepare_rate rate_nl_per_day=1300000 vtbi_nl=30150 at_end=kvo")
    order = of.order("prepare_bolus volume_nl=30000 duration_s=10")
    begun = of.app.delivery.bolus.begun_us
    of.core.run_until(of.now - of.app.now_us() + begun + 10 * SECOND - early_us)
    of.send(frame(of.next_id, text))
    of.next_id += 1
    of.run(20)
    results = [r for r in of.journal_of("result") if r["order"] == order]
    assert len(results) == 1 or (text == "pause" and of.state() == "paused")
    assert all(abs(r["stepped_nl"] - 30_000) <= 2 * STEP_NL for r in results)


def test_bolus_and_basal_end_in_the_same_moment():
    of = pump()
    for at_end, state in (("stop", "stopped"), ("kvo", "kvo")):
        first = of.order(f"prepare_rate rate_nl_per_day=48000000 vtbi_nl=20000 at_end={at_end} override=1")
        begun = of.app.delivery.basal.begun_us
        of.run(5)
        second = of.act("prepare_bolus volume_nl=10000 duration_s=31 override=1")
        end_us = begun + 36 * SECOND
        of.core.run_until(of.now - of.app.now_us() + end_us - 31 * SECOND)
        of.act("commit token=" + second["token"])
        of.run(40)
        assert of.state() == state
        results = {r["order"]: r["result"] for r in of.journal_of("result")}
        assert results[first] == 1
        of.act("stop")


@pytest.mark.requirement("A13")
def test_start_of_everything_during_everything():
    """No sequence of one-step orders leaves the state machine without an answer."""
    of = pump()
    of.order(RATE % 24_000_000)
    for text in ("pause", "pause", "resume", "resume", "cancel_bolus", "refill phase=begin", "refill phase=end"):
        for number in range(2):
            of.raw(text)
            of.run(number)
    assert of.state() == "infusing"
