"""Dose limits from end to end: what the motor really did, in every window, against the limit.

The oracle is the list of all pulses. Take-up of the play is no dose: the pumps here have none.
"""

from __future__ import annotations

import bisect
import random

import pytest

from haipump_fw.core.courses import Pulses
from haipump_fw.core.limits import Proof
from haipump_fw.core.options import DOSE_LIMITS
from tests.firmware.app.bench import SECOND, STEP_FL, Pump, Refused, pump

STEP_NL = STEP_FL / 1_000_000
UL = 1_000
ML = 1_000_000
MOST = int(ML / STEP_NL) * STEP_FL // 1_000_000  # in whole steps
GAP_S = -(-3_600 // 93)


def limited(text: str, *, max_bolus_nl: int = 5_000_000) -> Pump:
    """A pump without play, with these dose limits in a window of an hour unless said otherwise."""
    of = pump(seed=1)
    of.order("prepare_calibration backlash_steps=0")
    of.order(f"prepare_limits max_bolus_nl={max_bolus_nl}")
    of.order("prepare_dose " + (text if "window_s" in text else "window_s=3600 " + text))
    of.step_times.clear()
    return of


def fullest_nl(of: Pump, span_s: int = 3_600) -> float:
    """Volume in the fullest window of the whole run."""
    times = of.step_times
    begins = (bisect.bisect_right(times, t_us - span_s * SECOND) for t_us in times)
    return max((end + 1 - begin for end, begin in enumerate(begins)), default=0) * STEP_NL


def cycle(of: Pump, off_s: float = 1) -> None:
    """Power off and on. What the self test does at the pad, with the motor off, is no dose."""
    made = of.steps
    of.power_cycle(off_s)
    del of.step_times[made:]


def no(of: Pump, text: str) -> dict[str, object]:
    answer = of.no(text)
    return {name: answer[name] for name in ("code", "limit", "value", "maximum", "free_in_s", "what") if name in answer}


@pytest.mark.requirement("REQ-X-06", "OP-R5.2(5)/R5.3(7)", "CS-REQ-51-55")
@pytest.mark.parametrize("soft", [False, True])
def test_what_has_been_delivered_and_what_is_ordered_count_together(soft):
    of = limited("soft_dose_nl=1000000" if soft else "max_dose_nl=1000000")
    code, name = ("override", "soft_dose_nl") if soft else ("limit", "max_dose_nl")
    of.order("prepare_bolus volume_nl=600000")
    said = no(of, "prepare_bolus volume_nl=400001 extended=1 duration_s=600")
    assert (said["code"], said["limit"], said["maximum"]) == (code, name, MOST)
    assert ML < said["value"] < ML + 2 * UL
    of.run(600)
    left_nl = int(MOST - of.steps * STEP_NL)
    said = no(of, f"prepare_bolus volume_nl={left_nl + 2}")
    assert said["value"] == pytest.approx(MOST + 2, abs=1)
    assert 0 < said["free_in_s"] <= 3_600
    of.order(f"prepare_bolus volume_nl={left_nl}")
    of.run(600)
    assert ML - 2 * STEP_NL <= fullest_nl(of) <= ML
    assert of.ask("dose")["used_nl"] == pytest.approx(of.steps * STEP_NL, abs=1)


def test_a_refusal_says_when_it_passes_and_that_is_true():
    of = limited("max_dose_nl=1000000")
    of.order("prepare_bolus volume_nl=700000")
    of.run(900)
    of.order("prepare_rate rate_nl_per_day=2400000")  # 100 uL an hour
    free_s = of.no("prepare_bolus volume_nl=300000")["free_in_s"]
    assert 2_500 < free_s <= 2_700 + 3 * GAP_S
    of.run(free_s - 2 * GAP_S)
    assert of.no("prepare_bolus volume_nl=300000")["code"] == "limit"
    of.run(2 * GAP_S)
    of.order("prepare_bolus volume_nl=300000")
    of.run(3_600)
    assert of.state() == "infusing"
    assert fullest_nl(of) <= ML


def test_without_a_limit_nothing_is_watched():
    of = pump(seed=1)
    assert of.app.doses is None
    assert (of.ask("dose")["used_nl"], of.ask("dose")["wait_s"]) == (-1, 0)
    for name in DOSE_LIMITS[:-1]:
        of.order(f"prepare_dose {name}=1000000" if name != "lockout_s" else "prepare_dose lockout_s=5")
        assert of.app.doses is not None
        of.order(f"prepare_dose {name}=0")
        cycle(of)
        assert of.app.doses is None
    of.order("prepare_dose drug=x")
    cycle(of)
    assert of.app.doses is not None


def test_what_never_passes_says_so():
    of = limited("max_dose_nl=1000000")
    assert no(of, "prepare_rate rate_nl_per_day=24000001")["free_in_s"] == -1
    assert no(of, "prepare_bolus volume_nl=1000001")["free_in_s"] == -1
    assert of.ask("dose")["refusals"] == 2


def test_a_rate_that_reaches_the_limit_runs_for_ever():
    of = limited("max_dose_nl=1000000")
    highest = int(ML / STEP_NL) * STEP_FL * 24 // 1_000_000
    assert of.no(f"prepare_rate rate_nl_per_day={highest + 24}")["maximum"] == highest // 24
    of.order(f"prepare_rate rate_nl_per_day={highest}")
    of.run(3 * 3_600 + 100)
    of.act("pause")
    of.run(70)
    of.act("resume")
    of.run(3_700)
    assert of.state() == "infusing"
    assert ML - STEP_NL < fullest_nl(of) <= ML


PROGRAMME = """haipump-programme 1
period_s 7200
repeats 30
at_end kvo
0 rate 2400000
3600 ramp %d 600
4500 bolus 100000 60
"""


def send_programme(of: Pump, text: str) -> str:
    """Upload it. Returns the hash."""
    import base64
    import hashlib

    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    of.act(f"part_begin what=programme size={len(data)} sha256={digest}")
    for offset in range(0, len(data), 90):
        of.act(f"part offset={offset} data={base64.b64encode(data[offset : offset + 90]).decode()}")
    return digest


def test_later_steps_of_a_programme_count_before_it_begins():
    of = limited("max_dose_nl=400000")
    digest = send_programme(of, PROGRAMME % 12_000_000)
    assert of.no(f"prepare_programme sha256={digest}")["limit"] == "max_dose_nl"
    digest = send_programme(of, PROGRAMME % 4_800_000)
    of.order(f"prepare_programme sha256={digest}")
    of.run(3_700)
    assert of.no("prepare_bolus volume_nl=200000")["limit"] == "max_dose_nl"
    of.order("prepare_bolus volume_nl=50000")
    of.run(6 * 3_600)
    assert of.state() == "infusing"
    assert 300 * UL < fullest_nl(of) <= 400 * UL


@pytest.mark.requirement("REQ-X-06", "OP-R5.2(5)/R5.3(7)")
def test_a_limit_lowered_under_a_running_order_halts_it_in_time():
    of = limited("max_dose_nl=1000000")
    of.order("prepare_rate rate_nl_per_day=20000000")
    of.run(1_000)
    of.order("prepare_dose max_dose_nl=600000")
    of.run_to_alarm("dose_limit", 3_600, 1)
    assert not of.enabled
    assert of.state() == "alarm"
    assert 600 * UL * 0.998 < fullest_nl(of) <= 600 * UL
    assert of.alarm("dose_limit")["phase"] == "latched"
    of.act("ack")
    assert of.state() == "stopped"
    assert of.no("prepare_rate rate_nl_per_day=20000000")["limit"] == "max_dose_nl"


@pytest.mark.requirement("REQ-X-06", "OP-R5.2(5)/R5.3(7)")
def test_a_limit_below_what_was_delivered_halts_at_once():
    of = limited("max_dose_nl=1000000")
    of.order("prepare_rate rate_nl_per_day=1300000")
    of.run(3_000)
    of.order("prepare_dose max_dose_nl=30000")
    steps = of.steps
    of.run(1)
    assert of.told("dose_limit", "active")
    assert of.steps - steps <= 1


def test_a_limit_below_what_was_delivered_before_this_start_halts_at_once():
    """Not a step, though none was made since the start (campaign seed 3069)."""
    of = limited("max_dose_nl=1000000")
    of.order("prepare_bolus volume_nl=50000")
    of.run(600)
    cycle(of)
    of.order("prepare_rate rate_nl_per_day=300000")
    of.run(5)
    steps = of.steps
    of.order("prepare_dose max_dose_nl=30000")
    of.run(300)
    assert of.told("dose_limit", "active")
    assert of.steps == steps


def test_a_window_forgets_what_is_past_while_an_order_runs_at_its_limit():
    """A limit that is lowered to what flows: history counts by the gap, so a little below that it is halted."""
    of = limited("max_dose_nl=1000000")
    of.order("prepare_rate rate_nl_per_day=12000000")
    of.run(4_000)
    of.order("prepare_dose max_dose_nl=520000")
    of.run(10_000)
    assert of.state() == "infusing"
    of.order("prepare_dose max_dose_nl=501000")
    of.run(4_000)
    assert of.state() == "alarm"
    assert fullest_nl(of) < 501 * UL


def test_a_bolus_that_is_cancelled_voids_the_proof_for_what_waited():
    of = limited("max_dose_nl=900000")
    of.order("prepare_bolus volume_nl=300000 extended=1 duration_s=1800")
    of.run(300)
    of.order("prepare_bolus volume_nl=300000 duration_s=600")
    of.run(30)
    assert of.app.doses.window.proven
    of.act("cancel_bolus")
    assert not of.app.doses.window.proven
    of.run(3_600)
    assert of.state() == "stopped"
    assert fullest_nl(of) < 400 * UL


# --- what a start knows of the time before


def test_a_start_knows_what_was_delivered_before_it():
    of = limited("max_dose_nl=1000000")
    of.order("prepare_bolus volume_nl=700000")
    of.run(400)
    assert of.state() == "stopped"
    of.run(400)
    cycle(of, 86_400)  # nobody knows how long it was off: no time has passed
    left_nl = int(MOST - of.steps * STEP_NL)
    said = no(of, f"prepare_bolus volume_nl={left_nl + 1}")
    assert said["limit"] == "max_dose_nl"
    assert said["free_in_s"] > 2_700
    of.order(f"prepare_bolus volume_nl={left_nl - STEP_FL // 1_000_000 - 2}")  # a step for the rounding
    of.run(300)
    assert fullest_nl(of, 7_200) <= ML


@pytest.mark.requirement("REQ-X-06")
def test_after_a_power_cut_the_upper_end_counts():
    of = limited("max_dose_nl=1000000")
    of.order("prepare_bolus volume_nl=600000 duration_s=600")
    of.run(290)
    cycle(of)
    of.act("ack")
    delivered_nl = of.steps * STEP_NL
    used_nl = of.ask("dose")["used_nl"]
    assert delivered_nl <= used_nl <= delivered_nl + 200 * UL
    highest = MOST - used_nl
    assert of.no(f"prepare_bolus volume_nl={highest + 2}")["limit"] == "max_dose_nl"
    of.order(f"prepare_bolus volume_nl={highest - 2}")


@pytest.mark.parametrize("seed", range(12))
def test_lives_of_orders_pauses_cuts_and_lowered_limits(seed):
    """Whatever happens, no window holds more than the limit that was in force, and what may follow is accepted."""
    rng = random.Random(seed)
    of = limited("max_dose_nl=500000")
    taken = 0
    for _ in range(14):
        try:
            what = rng.randrange(8)
            if what < 3:
                of.order(f"prepare_bolus volume_nl={rng.randrange(20_000, 300_000)} override=1")
            elif what == 3:
                span = rng.randrange(200, 3_000)
                of.order(
                    f"prepare_bolus volume_nl={rng.randrange(50_000, 300_000)} duration_s={span} extended=1 override=1"
                )
            elif what == 4:
                of.order(f"prepare_rate rate_nl_per_day={rng.randrange(100_000, 12_000_000)} override=1")
            elif what == 5:
                of.act(rng.choice(["pause", "resume", "cancel_bolus"]))
            elif what == 6:
                of.act("stop")
            else:
                cycle(of, rng.randrange(1, 100))
            taken += 1
        except Refused as refused:
            assert refused.code in ("limit", "state", "alarm", "override"), refused.answer
            if refused.code == "alarm":
                of.act("ack")
        of.run(rng.choice([5, 60, 400, 1_500]))
    assert fullest_nl(of) <= 500 * UL
    assert taken > 4


# --- lockout, soft limits, drug


@pytest.mark.requirement("CS-REQ-25", "OP-R5.2(3)", "CS-REQ-26/27")
def test_the_lockout_between_boluses():
    of = limited("lockout_s=1800")
    of.order("prepare_bolus volume_nl=50000")
    of.run(600)
    said = of.no("prepare_bolus volume_nl=50000")
    assert (said["limit"], said["value"]) == ("lockout_s", 1_800)
    assert said["free_in_s"] == pytest.approx(1_200, abs=3)
    assert of.ask("dose")["wait_s"] == pytest.approx(1_200, abs=3)
    of.order("prepare_rate rate_nl_per_day=1300000")
    of.run(said["free_in_s"] - 5)
    assert of.no("prepare_bolus volume_nl=50000 extended=1 duration_s=100")["limit"] == "lockout_s"
    assert of.ask("dose")["refusals"] == 2
    of.run(5)
    of.order("prepare_bolus volume_nl=50000")
    of.run(300)
    cycle(of, 4_000)
    of.act("ack")
    assert of.no("prepare_bolus volume_nl=50000")["free_in_s"] == pytest.approx(1_786, abs=5), "as far as is known"


def test_a_programme_keeps_the_lockout_too():
    of = limited("lockout_s=3000")
    text = "haipump-programme 1\nperiod_s 7200\nrepeats %d\nat_end stop\n10 bolus 1000 60\n%d bolus 1000 60\n"
    for repeats, at_s, gap_s in ((1, 3_009, 2_999), (2, 4_211, 2_999), (1, 4_211, 0), (2, 4_210, 0)):
        digest = send_programme(of, text % (repeats, at_s))
        if gap_s:
            said = of.no(f"prepare_programme sha256={digest}")
            assert (said["limit"], said["value"], said["minimum"]) == ("lockout_s", gap_s, 3_000)
        else:
            of.act(f"prepare_programme sha256={digest}")


@pytest.mark.requirement("GIP-6.1.2", "GIP-6.1.3/4")
@pytest.mark.parametrize(
    ("limits", "verb", "highest", "name", "bit"),
    [
        ("soft_rate_nl_per_day=1500000", "prepare_rate rate_nl_per_day=", 1_500_000, "soft_rate_nl_per_day", 1),
        ("soft_bolus_nl=100000", "prepare_bolus volume_nl=", 100_000, "soft_bolus_nl", 2),
        ("soft_dose_nl=100000", "prepare_bolus volume_nl=", 432 * STEP_FL // 1_000_000, "soft_dose_nl", 4),
    ],
)
def test_a_soft_limit_needs_an_override_with_its_reason(limits, verb, highest, name, bit):
    of = limited(limits)
    assert "passed" not in of.act(verb + str(highest))
    order = verb + str(highest + 1)
    for words in ("", " override=1", " reason=asked-by-dr-k"):
        said = of.no(order + words)
        assert (said["code"], said["limit"], said["what"]) == ("override", name, "reason")
    assert of.act(order + " override=1 reason=asked-by-dr-k")["passed"] == bit
    number = of.order(order + " override=1 reason=asked-by-dr-k")
    of.flush()
    (record,) = of.journal_of("override")
    reason = b"".join(record[f"reason_{i}"].to_bytes(8, "big") for i in (1, 2, 3))
    assert (record["order"], record["limits"], reason.rstrip(b"\0")) == (number, bit, b"asked-by-dr-k")
    of.run(300)
    of.order("prepare_rate rate_nl_per_day=1300000 override=1 reason=x" if bit > 1 else "prepare_bolus volume_nl=10")
    of.flush()
    assert len(of.journal_of("override")) == (2 if bit == 4 else 1)


@pytest.mark.requirement("GIP-6.1.2", "GIP-6.1.3/4", "CS-REQ-25")
def test_a_hard_limit_has_no_override():
    of = limited("max_dose_nl=100000")
    assert of.no("prepare_bolus volume_nl=100001 override=1 reason=please")["code"] == "limit"


def test_kvo_passes_a_soft_limit_and_says_so():
    of = limited("soft_rate_nl_per_day=100000")
    of.order("prepare_kvo")
    of.flush()
    assert of.journal_of("override")[0]["limits"] == 1


@pytest.mark.requirement("GIP-6.1.2", "GIP-6.1.6/7", "CS-REQ-51-55", "OP-R6.9(3)/(4)")
def test_limits_belong_to_a_drug():
    of = limited("drug=floxuridine max_dose_nl=1000000")
    assert of.ask("dose")["drug"] == "floxuridine"
    said = of.no("prepare_rate rate_nl_per_day=1300000")
    assert (said["code"], said["what"], said["drug"]) == ("syringe", "other_drug", "floxuridine")
    load = f"prepare_syringe reservoir_nl=20000000 step_fl={STEP_FL} bore_um=21700 syringe_nl=30000000"
    of.order(load + " drug=heparin")
    assert of.no("prepare_bolus volume_nl=1000")["what"] == "other_drug"
    assert of.ask("dose")["loaded"] == 0
    assert of.act(load + " drug=floxuridine")["drug"] == "floxuridine"
    of.order(load + " drug=floxuridine")
    assert of.ask("dose")["loaded"] == 1
    of.order("prepare_rate rate_nl_per_day=1300000")
    assert of.no("prepare_dose drug=heparin")["code"] == "state"
    of.act("stop")
    of.order("prepare_dose drug=none")
    assert of.ask("dose")["drug"] == "none"
    cycle(of)
    of.order("prepare_rate rate_nl_per_day=1300000")


def test_what_needs_the_past_is_set_while_stopped():
    of = limited("soft_bolus_nl=5")
    of.order("prepare_rate rate_nl_per_day=1300000")
    assert of.ask("dose")["used_nl"] == -1
    for words in ("max_dose_nl=1000000", "soft_dose_nl=5", "lockout_s=9", "window_s=1000"):
        assert of.no("prepare_dose " + words)["code"] == "state"
    of.order("prepare_dose soft_bolus_nl=6")
    assert of.no("prepare_dose")["code"] == "field"
    of.act("stop")
    of.order("prepare_dose max_dose_nl=1000000 window_s=86400")
    of.order("prepare_rate rate_nl_per_day=900000")
    of.order("prepare_dose max_dose_nl=2000000")
    assert of.ask("dose")["max_dose_nl"] == 2 * ML


def test_handling_is_no_dose():
    of = limited("max_dose_nl=100000")
    of.order("prepare_prime volume_nl=300000 disconnected=1")
    of.run(60)
    of.order("prepare_withdraw volume_nl=300000 disconnected=1")
    of.run(60)
    assert of.ask("dose")["used_nl"] == 0
    of.order("prepare_bolus volume_nl=99800")
    of.run(200)
    assert of.state() == "stopped"
    assert of.ask("dose")["used_nl"] == pytest.approx(100_000, abs=STEP_NL)


# --- what comes in the middle of a proof


@pytest.mark.parametrize(
    ("heard", "ends_it"),
    [
        (b"stop\n", True),
        (b"status\n!\n", True),
        (b"@9 STOP *00\r", True),
        (b"p\n", True),  # the rest of a line that began before
        (b"status\nclock\n", False),
        (b"@9 prepare_rate rate_nl_per_day=5 at_end=stop *00000000\n", False),
        (b"", False),
    ],
)
def test_a_stop_in_the_middle_of_a_proof_ends_it_and_all_else_waits(monkeypatch, heard, ends_it):
    of = limited("max_dose_nl=1000000")
    of.order("prepare_rate rate_nl_per_day=1300000")
    of.run(60)
    console, looks = of.app.ports.console, []
    pieces = [heard[at : at + 60] for at in range(0, len(heard), 60)]
    real = console.readinto

    def readinto(buf):
        if not looks or not pieces:
            return real(buf)
        piece = pieces.pop(0)
        buf[: len(piece)] = piece
        return len(piece)

    def look(self):
        looks.append(1)
        return real_look(self)

    real_look = Proof._look
    monkeypatch.setattr(Proof, "_look", look)
    monkeypatch.setattr(console, "readinto", readinto)
    if heard == b"p\n":
        of.app.session.begun = lambda: 3
    number = of.next_id
    said = of.raw("prepare_bolus volume_nl=300000")
    answers = said + "".join(of.answer(b"hello\n") for _ in range(2))
    assert ("stopped_meanwhile" in answers) == ends_it, answers
    assert (of.app.session.token is None) == ends_it
    assert not pieces and of.next_id == number + 1
    really = ends_it and heard != b"p\n"
    assert of.enabled != really and of.app.machine.state == ("stopped" if really else "infusing")


def test_a_contact_in_the_middle_of_a_proof_ends_it_too(monkeypatch):
    of = limited("max_dose_nl=1000000")
    of.order("prepare_rate rate_nl_per_day=12000000")
    of.run(60)
    real = Proof._look
    monkeypatch.setattr(Proof, "_look", lambda self: (of.app.ports.motor.enable(False), real(self)))
    assert of.no("prepare_bolus volume_nl=30000")["what"] == "stopped_meanwhile"


PULSES = "haipump-programme 1\nperiod_s %d\nrepeats %d\nat_end stop\n%s"


def daily(of, period_s, repeats, *at_s):
    items = "".join(f"{at} bolus 1000 10\n" for at in at_s)
    return f"prepare_programme sha256={send_programme(of, PULSES % (period_s, repeats, items))}"


@pytest.mark.requirement("GIP-6.1.2", "CS-REQ-25")
def test_the_boluses_of_a_programme_and_ordered_ones_keep_apart():
    of = limited("lockout_s=600")
    of.order("prepare_bolus volume_nl=1000")
    of.run(100)
    refused = of.no(daily(of, 7_200, 1, 10, 5_000))
    assert (refused["limit"], refused["value"]) == ("lockout_s", 600)
    assert 485 <= refused["free_in_s"] <= 491, "600 s from the bolus, less the 10 s until its own first"
    of.run(refused["free_in_s"])
    of.order(daily(of, 7_200, 1, 10, 5_000))
    of.run(5)
    assert of.no("prepare_bolus volume_nl=1000")["free_in_s"] == pytest.approx(606, abs=2), "its first is to come"
    of.run(100)
    left = of.no("prepare_bolus volume_nl=1000")["free_in_s"]
    assert left == pytest.approx(506, abs=3) and of.ask("dose")["wait_s"] == left, "its first begins the lockout"
    of.run(left)
    of.order("prepare_bolus volume_nl=1000")
    of.run(3_900)
    left = of.no("prepare_bolus volume_nl=1000")["free_in_s"]
    assert left == pytest.approx(5_000 + 600 - (5 + 100 + 506 + 3_900), abs=10), "its second is near"


@pytest.mark.requirement("GIP-6.1.2", "CS-REQ-25")
def test_stopped_and_begun_again_a_programme_gives_no_bolus_more():
    of = limited("lockout_s=600")
    of.order(daily(of, 7_200, 1, 0))
    of.run(3)
    of.act("stop")
    refused = of.no(daily(of, 7_200, 1, 0))
    assert refused["limit"] == "lockout_s" and refused["free_in_s"] == pytest.approx(599, abs=4)
    of.act("prepare_rate rate_nl_per_day=1300000")
    of.act(daily(of, 7_200, 1, 650))


@pytest.mark.requirement("GIP-6.1.2", "CS-REQ-25")
def test_where_boluses_are_close_there_is_no_room_between_them():
    of = limited("lockout_s=600")
    of.order(daily(of, 1_000, 50, 100))
    of.run(500)
    left = of.no("prepare_bolus volume_nl=1000")["free_in_s"]
    assert left == pytest.approx(49 * 1_000 + 100 - 500 + 600, abs=3), "behind its last"


@pytest.mark.requirement("GIP-6.1.2", "CS-REQ-25", "R12")
def test_after_a_restart_a_programme_counts_as_having_given_its_bolus_last():
    of = limited("lockout_s=600")
    of.order(daily(of, 7_200, 1, 0))
    of.run(300)
    cycle(of)
    of.act("ack")
    assert of.no("prepare_bolus volume_nl=1000")["free_in_s"] == pytest.approx(600, abs=5)


@pytest.mark.parametrize(("period_s", "items"), [(100, "0 rate 1000000\n"), (700, "50 bolus 1000 10\n")])
def test_a_programme_of_very_many_periods_is_looked_through_at_once(period_s, items, monkeypatch):
    of = limited("lockout_s=600")
    of.order(f"prepare_programme sha256={send_programme(of, PULSES % (period_s, 400_000, items))}")
    of.run(100)
    looks: list[int] = []
    real = Pulses.at
    monkeypatch.setattr(Pulses, "at", lambda self, t_us: looks.append(t_us) or real(self, t_us))
    of.ask("dose")
    assert len(looks) < 600, "a stop waits meanwhile, and so does the watchdog"
