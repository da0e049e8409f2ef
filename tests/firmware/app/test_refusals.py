"""What the pump refuses, with the reason and the range, and that a refusal changes nothing."""

from __future__ import annotations

import pytest

from haipump_fw.core.alarms import STOP
from tests.firmware.app.bench import SECOND, STEP_FL, Pump, frame, pump
from tests.firmware.app.test_orders import PLAN, programme

RATE = "prepare_rate rate_nl_per_day=%d"
# 2000 steps/s and a step in 500 s with this calibration
MOTOR_MAX = 2_000 * STEP_FL * 86_400 // 1_000_000
RATE_MIN = -(-STEP_FL * 86_400 // 500_000_000)


def quiet(of: Pump, text: str) -> dict:
    """A refusal that leaves no token, no order and no state change behind."""
    state = of.state()
    orders = [order.number for order in of.app.delivery.orders()]
    values = dict(of.app.values)
    answer = of.no(text)
    assert of.state() == state and of.app.values == values
    assert [order.number for order in of.app.delivery.orders()] == orders
    assert of.app.session.token is None
    assert answer["state"] == state
    return answer


def has(answer: dict, **fields: object) -> bool:
    return answer == answer | fields


@pytest.mark.requirement("GIP-1.1.3", "R5")
def test_rates_beyond_settings_motor_syringe_and_step_period():
    of = pump()
    assert has(
        quiet(of, RATE % 2_000_000_001),
        code="limit",
        limit="max_rate_nl_per_day",
        value=2_000_000_001,
        minimum=RATE_MIN,
        maximum=2_000_000_000,
    )
    of.order("prepare_limits max_rate_nl_per_day=100000000000")
    assert has(quiet(of, RATE % (MOTOR_MAX + 1)), limit="motor", maximum=MOTOR_MAX)
    assert has(quiet(of, RATE % (RATE_MIN - 1)), code="limit", limit="step_period", minimum=RATE_MIN)
    limits = of.ask("limits")
    assert (limits["step_max_nl_per_day"], limits["rate_min_nl_per_day"]) == (MOTOR_MAX, RATE_MIN)
    of.order(RATE % RATE_MIN)
    of.act("stop")
    of.order(
        f"prepare_syringe reservoir_nl=1000000 step_fl={STEP_FL} bore_um=21700 syringe_nl=30000000"
        " syringe_max_nl_per_day=5000000"
    )
    assert has(quiet(of, RATE % 5_000_001), limit="syringe_max_nl_per_day", maximum=5_000_000)
    assert has(quiet(of, "prepare_bolus volume_nl=10000 duration_s=100"), limit="syringe_max_nl_per_day")
    assert has(quiet(of, RATE % 100_000_000_001), code="range", field="rate_nl_per_day")


@pytest.mark.requirement("GIP-1.4.12", "GIP-6.1.3/4", "OP-R5.3(5/6)", "R5", "CS-REQ-25")
def test_boluses_beyond_limits():
    of = pump()
    assert has(quiet(of, "prepare_bolus volume_nl=5000001"), code="limit", limit="max_bolus_nl", maximum=5_000_000)
    assert has(quiet(of, "prepare_bolus volume_nl=1 duration_s=600"), limit="step_period", minimum=RATE_MIN)
    assert has(quiet(of, "prepare_bolus volume_nl=1000 extended=1"), code="field", what="needed_for_extended")
    assert quiet(of, "prepare_bolus volume_nl=5000000 duration_s=1")["code"] == "limit"
    assert quiet(of, "prepare_bolus volume_nl=400000 duration_s=1 override=1")["code"] == "limit"  # no time for stairs


@pytest.mark.requirement("R5", "OP-R6.8(3)/(9)/(10)")
def test_the_reservoir_has_to_hold_it():
    of = pump()
    of.load(600_000)
    for text in (
        "prepare_bolus volume_nl=%d",
        "prepare_prime volume_nl=%d disconnected=1",
        RATE % 10**6 + " vtbi_nl=%d",
    ):
        answer = quiet(of, text % 600_001)
        assert answer["code"] == "reservoir" and answer["reservoir_nl"] == 600_000
    assert has(quiet(of, "prepare_withdraw volume_nl=29400001 disconnected=1"), code="reservoir", maximum=29_400_000)


def test_all_sources_together_stay_within_the_motor():
    of = pump()
    of.order("prepare_limits max_rate_nl_per_day=100000000000 occlusion_pa=90000")
    of.order(RATE % 400_000_000)
    top = MOTOR_MAX - 400_000_000
    seconds = 10
    volume = (top + 86_400 * 2) * seconds // 86_400
    assert quiet(of, f"prepare_bolus volume_nl={volume} duration_s={seconds}")["code"] == "limit"


def test_a_ramp_and_a_programme_run_only_as_fast_as_the_motor_starts():
    of = pump()
    of.order("prepare_limits max_rate_nl_per_day=100000000000")
    of.order("prepare_settings start_steps_per_s=10")
    top = 10 * STEP_FL * 86_400 // 1_000_000
    assert has(quiet(of, RATE % (top + 1) + " ramp_s=60"), limit="start_steps_per_s", maximum=top)
    assert has(
        quiet(of, programme(of, PLAN % (60, 1, "stop", f"0 rate {top + 1}"))), limit="start_steps_per_s", maximum=top
    )
    assert quiet(of, RATE % 1_000_000 + " ramp_s=60 vtbi_nl=1000")["what"] == "not_with_vtbi"


@pytest.mark.parametrize(
    ("items", "want"),
    [
        ("0 rate 99000000000", {"code": "limit"}),
        ("0 rate 1", {"limit": "step_period"}),
        ("0 rate 1000000\n10 bolus 6000000 0", {"limit": "max_bolus_nl"}),
        ("10 bolus 10000 0\n12 bolus 10000 0", {"code": "programme", "what": "overlap", "item": 2}),
        ("598 bolus 10000 0", {"code": "programme", "what": "period", "item": 1}),
        ("0 rate 01", {"code": "programme", "what": "number", "line": 5}),
    ],
)
def test_programmes_that_do_not_fit(items, want):
    of = pump()
    assert has(quiet(of, programme(of, PLAN % (600, 2, "stop", items))), **want)


def test_parts_that_do_not_fit():
    of = pump()
    text = programme(of, PLAN % (600, 2, "stop", "0 rate 1000000"))
    assert of.no("prepare_programme sha256=" + "ab" * 32)["code"] == "part"
    of.act(text)
    assert of.no("part offset=0 data=AAAA")["code"] == "part"


@pytest.mark.requirement("GIP-6.1.3/4", "A1")
def test_ten_times_the_rate_or_a_tenth_needs_an_override():
    of = pump()
    of.order(RATE % 1_000_000)  # the first one is no jump
    assert has(quiet(of, RATE % 10_000_000), code="override", value=10_000_000, before=1_000_000)
    assert has(quiet(of, RATE % 100_000), code="override", value=100_000, before=1_000_000)
    of.act(RATE % 9_999_999)
    of.act(RATE % 100_001)
    of.order(RATE % 10_000_000 + " override=1")
    assert quiet(of, programme(of, PLAN % (600, 2, "stop", "0 rate 1000000")))["code"] == "override"
    of.act(programme(of, PLAN % (600, 2, "stop", "0 rate 1000000")) + " override=1")
    of.act(programme(of, PLAN % (600, 2, "stop", "5 bolus 1000 0")))


def test_what_no_rate_runs_beside_is_no_jump():
    """As docs/hazards.md says of H23: a stop ends what a new rate is compared with."""
    of = pump()
    of.order(RATE % 1_300_000)
    of.act("stop")
    of.act(RATE % 130_000_000)
    of.order("prepare_kvo")
    of.act(RATE % 130_000_000)


@pytest.mark.requirement("A1")
def test_ten_times_the_last_bolus_needs_an_override():
    of = pump()
    of.order("prepare_bolus volume_nl=1000")
    of.run(10)
    assert has(quiet(of, "prepare_bolus volume_nl=10000"), code="override", value=10_000, before=1_000)
    of.act("prepare_bolus volume_nl=9999")
    of.order("prepare_bolus volume_nl=10000 override=1")
    of.run(20)
    of.order("prepare_bolus volume_nl=100")  # downwards is no slip


@pytest.mark.requirement("CS-REQ-7", "A24")
def test_no_syringe():
    of = Pump()
    of.run(0.1)
    assert has(quiet(of, RATE % 1_000_000), code="syringe", what="none_loaded")
    of.load()
    of.core.plant.capture(of.now, False)
    for text in (RATE % 1_000_000, "prepare_prime volume_nl=1000 disconnected=1", "prepare_bolus volume_nl=1000"):
        assert has(quiet(of, text), code="syringe", what="not_captured")
    of.load(20_000_000)
    assert has(quiet(of, "prepare_withdraw volume_nl=1000 disconnected=1"), code="syringe", what="not_captured")
    answer = quiet(of, f"prepare_syringe reservoir_nl=2 step_fl={STEP_FL} bore_um=21700 syringe_nl=1")
    assert has(answer, code="range", field="reservoir_nl", maximum=1)


def test_prime_faster_than_the_motor():
    of = pump()
    of.order("prepare_settings prime_nl_per_day=100000000000")
    answer = quiet(of, "prepare_prime volume_nl=1000 disconnected=1")
    assert has(answer, code="limit", limit="motor", value=100_000_000_000, maximum=MOTOR_MAX)
    assert quiet(of, "prepare_jog steps=0 disconnected=1")["code"] == "range"
    assert quiet(of, "prepare_jog steps=5")["code"] == "field"  # it has to be said that nobody is connected


STATES = {
    "infusing": (RATE % 1_000_000,),
    "bolus": ("prepare_bolus volume_nl=100000",),
    "kvo": ("prepare_kvo",),
    "paused": (RATE % 1_000_000, "pause"),
    "priming": ("prepare_prime volume_nl=100000 disconnected=1",),
    "moving": ("prepare_jog steps=-5000 disconnected=1",),
    "refill": ("refill phase=begin",),
}
NOT_IN = {
    "infusing": "resume cancel_bolus refill_end refill_begin selftest service prime withdraw jog home syringe",
    "bolus": "resume refill_begin selftest service prime withdraw jog home syringe calibration",
    "kvo": "resume cancel_bolus selftest service prime jog",
    "paused": "rate kvo bolus cancel_bolus prime jog selftest service syringe calibration refill_begin",
    "priming": "rate kvo bolus pause resume prime withdraw jog home limits settings selftest service syringe",
    "moving": "rate kvo bolus pause resume prime withdraw jog home limits settings selftest service syringe",
    "refill": "rate kvo bolus pause resume selftest service",
}
LINES = {
    "rate": RATE % 2_000_000,
    "kvo": "prepare_kvo",
    "bolus": "prepare_bolus volume_nl=1000",
    "prime": "prepare_prime volume_nl=1000 disconnected=1",
    "withdraw": "prepare_withdraw volume_nl=1000 disconnected=1",
    "jog": "prepare_jog steps=-5 disconnected=1",
    "home": "prepare_home disconnected=1",
    "syringe": f"prepare_syringe reservoir_nl=1000 step_fl={STEP_FL} bore_um=21700 syringe_nl=30000000",
    "calibration": "prepare_calibration backlash_steps=1",
    "limits": "prepare_limits max_bolus_nl=1",
    "settings": "prepare_settings kvo_nl_per_day=100000",
    "refill_begin": "refill phase=begin",
    "refill_end": "refill phase=end",
}


@pytest.mark.parametrize("state", STATES)
def test_not_in_this_state(state):
    of = pump()
    of.load(20_000_000)
    for text in STATES[state]:
        if text.startswith("prepare"):
            of.order(text)
        else:
            of.act(text)
    assert of.state() == state
    for name in NOT_IN[state].split():
        answer = quiet(of, LINES.get(name, name))
        assert answer["code"] == "state" and answer["what"], name


def test_settings_that_contradict_or_come_in_motion():
    of = pump()
    answer = quiet(of, "prepare_settings start_steps_per_s=500 max_steps_per_s=400")
    assert has(answer, code="range", field="start_steps_per_s", maximum=400)
    assert quiet(of, "prepare_limits")["code"] == "field"
    assert quiet(of, "prepare_settings")["code"] == "field"
    of.order(RATE % 1_000_000)
    assert quiet(of, "prepare_settings accel_steps_per_s2=1000")["what"] == "stop_first"
    of.order("prepare_settings kvo_nl_per_day=100000")
    assert of.no("settings name=nonsense")["code"] == "field"


def test_questions_about_what_is_not_there():
    of = pump()
    assert of.no("order id=77")["code"] == "range"
    assert of.no("order")["code"] == "range"
    assert of.ask("alarms index=3")["alarm"] == "none"
    assert of.ask("log seq=4000000")["count"] == 0
    order = of.order("prepare_bolus volume_nl=1000")
    assert has(of.ask(f"order id={order}"), result="running", source="bolus", planned_nl=1000)
    of.run(10)
    assert has(of.ask(f"order id={order}"), result="complete", left_nl=0, left_s=0)


# --- tokens


@pytest.mark.requirement("GIP-2.1.1", "GIP-2.2.4/5", "CS-REQ-57/58", "R3")
def test_a_token_is_good_once_for_thirty_seconds():
    of = pump()
    token = of.act(RATE % 1_000_000)["token"]
    of.run(29)
    assert of.act(f"commit token={token}")["state"] == "infusing"
    assert of.no(f"commit token={token}")["code"] == "token"
    token = of.act(RATE % 2_000_000)["token"]
    of.run(31.5)
    assert has(of.no(f"commit token={token}"), code="token", what="expired")
    assert of.status()["flow_nl_per_day"] == 1_000_000


@pytest.mark.parametrize(
    "between",
    [RATE % 3_000_000, "stop", "!", "pause", "ack", "prepare_limits max_bolus_nl=1", "prepare_bolus volume_nl=1"],
)
def test_a_token_is_replaced_or_dropped(between):
    of = pump()
    of.order(RATE % 1_000_000)
    token = of.act(RATE % 2_000_000)["token"]
    if between == "!":
        of.answer(b"!\n")
    else:
        of.raw(between)
    assert of.no(f"commit token={token}")["code"] == "token"


def test_an_alarm_drops_the_token_of_what_it_stopped():
    of = pump()
    of.order(RATE % 1_000_000)
    token = of.act(RATE % 2_000_000)["token"]
    of.core.plant.driver_fault(of.now, True)
    of.run(0.1)
    assert of.no(f"commit token={token}")["code"] == "token"


def test_a_silence_leaves_the_token():
    of = pump()
    token = of.act(RATE % 2_000_000)["token"]
    of.act("silence")
    of.act(f"commit token={token}")


@pytest.mark.requirement("A12")
def test_a_world_that_changed_between_prepare_and_commit():
    of = pump()
    of.load(800_000)
    of.order("prepare_limits reservoir_low_nl=0 reservoir_empty_nl=0")
    of.order(RATE % 96_000_000)
    token = of.act("prepare_bolus volume_nl=790000")["token"]
    of.run(20)
    assert of.no(f"commit token={token}")["code"] == "reservoir"
    of.act("stop")
    of.order("prepare_rate rate_nl_per_day=1000000")
    of.order("prepare_rate rate_nl_per_day=9000000 ramp_s=20")
    token = of.act("prepare_rate rate_nl_per_day=500000")["token"]
    of.run(20)
    assert of.no(f"commit token={token}")["code"] == "override"  # by now it would be a slip


@pytest.mark.requirement("CS-REQ-45/46")
def test_a_pump_that_waits_for_no_acknowledgement_resumes_only_without_alarm():
    """Paused with an alarm that stops cannot be reached; the check is there all the same."""
    of = pump()
    of.order(RATE % 1_000_000)
    of.act("pause")
    of.app.alarms.set("storage", of.app.clock.s)
    assert has(of.no("resume"), code="alarm", alarm="storage")
    assert of.app.alarms.forbids(STOP) == "storage"


@pytest.mark.requirement("CS-REQ-7")
def test_an_intent_that_cannot_be_stored_starts_nothing():
    of = pump()
    token = of.act(RATE % 1_000_000)["token"]
    for sector in range(64):
        of.core.flash_port.break_sector(sector, "program_error")
    assert has(of.no(f"commit token={token}"), code="storage")
    of.run(2 * 60)
    assert of.steps == 0 and not of.enabled


def test_settings_that_cannot_be_stored_are_not_in_force():
    of = pump()
    token = of.act("prepare_limits max_bolus_nl=1000")["token"]
    for sector in (0, 1):
        of.core.flash_port.break_sector(sector, "program_silent")
    assert has(of.no(f"commit token={token}"), code="storage", what="settings")
    assert of.ask("limits")["max_bolus_nl"] == 5_000_000
    of.run(68)
    assert of.alarm("storage") is not None
    assert of.no(RATE % 1_000_000)["code"] == "storage"


def test_a_line_that_is_refused_leaves_its_id_free():
    of = pump()
    number = of.next_id
    line = frame(number, RATE % 1_000_000)
    assert "code=crc" in of.answer(line.replace(b"1000000", b"1000001"))
    assert "token=" in of.answer(line)
    of.next_id += 1
    assert of.ask("hello")["next_id"] == number + 1
    of.core.run_until(of.now + SECOND)


@pytest.mark.requirement("GIP-1.4.3")
def test_a_bolus_on_top_of_a_rate_beyond_the_motor():
    of = pump()
    of.order("prepare_limits max_rate_nl_per_day=100000000000 occlusion_pa=90000")
    of.order(RATE % 900_000_000)
    of.order("prepare_bolus volume_nl=100000 duration_s=60")
    answer = quiet(of, RATE % (MOTOR_MAX - 1_000_000) + " override=1")
    assert has(answer, code="limit", limit="motor", maximum=MOTOR_MAX)
    of.act(RATE % (MOTOR_MAX - 150_000_000) + " override=1")


def test_limits_that_contradict_what_runs_or_the_sensor():
    of = pump()
    of.order("prepare_settings pressure_full_pa=75000")
    answer = quiet(of, "prepare_limits occlusion_pa=90000")
    assert has(answer, code="range", field="occlusion_pa", what="sensor")
    of.order(f"prepare_limits occlusion_pa={answer['maximum']}")
    of.order(RATE % 48_000_000)
    assert has(
        quiet(of, "prepare_limits max_rate_nl_per_day=47999999"), code="range", minimum=48_000_000, what="running"
    )
    of.order("prepare_limits max_rate_nl_per_day=48000000")


def test_an_acceleration_that_would_take_for_ever():
    of = pump()
    answer = quiet(of, "prepare_settings accel_steps_per_s2=100")
    assert has(answer, code="range", field="accel_steps_per_s2")
    quiet(of, f"prepare_settings accel_steps_per_s2={answer['minimum'] - 1}")
    of.order(f"prepare_settings accel_steps_per_s2={answer['minimum']}")


def test_telemetry_faster_than_can_be_said():
    of = pump()
    for period in (1, 99):
        assert has(of.no(f"telemetry period_ms={period}"), code="range", minimum=100)
    of.ask("telemetry period_ms=100")


def test_a_value_that_changed_by_itself_between_prepare_and_commit():
    """Commands drop the token; what changes without one is seen when the order is prepared again."""
    of = pump()
    token = of.act("prepare_bolus volume_nl=100000")["token"]
    of.app.values["bolus_nl_per_day"] = 144_000_000
    assert has(of.no(f"commit token={token}"), code="token", what="changed", field="duration_s", value=60)
    assert of.state() == "stopped"


def test_a_full_queue_is_written_before_an_intent():
    of = pump()
    for _ in range(16):
        of.app.storage.journal.append("state", 1, 0, 1, 1, 0)
    of.order(RATE % 1_000_000)
    assert of.enabled and len(of.journal_of("intent")) == 1


@pytest.mark.parametrize("text", ["prepare_syringe", "prepare_rate"])
def test_no_time_for_the_flash_is_a_refusal(text):
    of = pump()
    line = LINES["syringe"] if text == "prepare_syringe" else RATE % 1_000_000
    token = of.act(line)["token"]
    before = of.ask("calibration"), of.status()
    window, of.app.window_us = of.app.window_us, lambda: 0
    assert has(of.no(f"commit token={token}"), code="storage", what="no_window")
    of.app.window_us = window
    assert of.state() == "stopped" and not of.enabled and of.steps == 0
    assert (of.ask("calibration"), of.status()) == before
    of.run(1)
    assert len(of.journal_of("intent")) == len(of.journal_of("result"))


def test_the_log_ends_at_a_record_that_cannot_be_read():
    of = pump()
    last = of.app.storage.journal.last_seq
    read, journal = of.app.storage.journal.read, of.app.storage.journal
    journal.read = lambda seq: None if seq == last else read(seq)
    assert of.ask(f"log seq={last - 1} count=2")["count"] == 1
    assert of.ask(f"log seq={last}")["count"] == 0


def test_a_programmes_bolus_does_not_widen_the_guard_against_slips():
    """While it runs, the flow is 200 times the rate: that is not what an order is compared with."""
    of = pump()
    plan = PLAN % (86_400, 14, "stop", "0 rate 1300000\n0 bolus 100000 60")
    of.order(programme(of, plan))
    of.run(20)
    assert of.status()["flow_nl_per_day"] > 100_000_000
    refused = of.no("prepare_rate rate_nl_per_day=250000000")
    assert (refused["code"], refused["before"]) == ("override", 1_300_000)
    again = of.act(programme(of, plan))
    assert again["volume_nl"] == 14 * 1_400_000
    assert of.act("prepare_rate rate_nl_per_day=2000000 ramp_s=60")["from_nl_per_day"] == 1_300_000
    assert of.act("prepare_kvo")["rate_nl_per_day"] == min(1_300_000, of.core.app.values["kvo_nl_per_day"])


def test_a_programmes_bolus_is_compared_with_the_last_one():
    of = pump()
    of.order("prepare_bolus volume_nl=1000")
    of.run(20)
    plan = programme(of, PLAN % (3_600, 2, "stop", "0 bolus 20000 60"))
    assert of.no(plan)["code"] == "override"
    of.act(plan + " override=1")


def test_the_pump_warns_before_it_stops_as_empty():
    of = pump()
    for text, bound in (
        ("reservoir_empty_nl=2000001", {"field": "reservoir_empty_nl", "maximum": 2_000_000}),
        ("reservoir_low_nl=499999", {"field": "reservoir_low_nl", "minimum": 500_000}),
    ):
        refused = of.no("prepare_limits " + text)
        assert refused == refused | {"code": "range"} | bound
    of.order("prepare_limits reservoir_low_nl=0 reservoir_empty_nl=3000000")  # no warning is wanted
