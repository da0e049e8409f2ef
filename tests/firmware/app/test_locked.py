"""Locked mode from end to end, recovery by the service jumper, and leaving for service."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from haipump_fw.ports import IN_SERVICE
from haipump_fw.proto.messages import ACT, PREPARE
from tests.firmware.app.bench import SECOND, Pump, Refused, frame, pump
from tests.firmware.proto.support import TABLE, VERBS, sample
from tests.firmware.proto.test_session import WHO

KEY = bytes(range(1, 33))
OTHER = bytes(range(33, 65))


def with_jumper() -> Pump:
    """Loaded, and started with the service jumper closed."""
    found = pump()
    found.core.press(IN_SERVICE, True)
    found.power_cycle()
    return found


def locked() -> Pump:
    """A pump with KEY, locked, started without the jumper."""
    found = with_jumper()
    found.act("set_key key=" + KEY.hex())
    assert found.act("lock")["locked"] == 1
    found.core.press(IN_SERVICE, False)
    found.power_cycle()
    return found


def signed(of: Pump, text: str, key: bytes = KEY, nonce: str | None = None, number: int | None = None) -> bytes:
    """A line with the code of the key, under the next id."""
    nonce = nonce or of.answer(b"hello\n").split("nonce=")[1].split()[0]
    if number is None:
        number = of.next_id
        of.next_id += 1
    body = f"{nonce}|@{number} {text}".encode()
    return frame(number, f"{text} mac={hmac.new(key, body, hashlib.sha256).hexdigest()[:16]}")


def say(of: Pump, text: str, **more: Any) -> dict[str, Any]:
    return Pump._checked(of.answer(signed(of, text, **more)))


def refusal(call: Any, *args: Any, **more: Any) -> dict[str, Any]:
    with pytest.raises(Refused) as caught:
        call(*args, **more)
    return caught.value.answer


@pytest.mark.requirement("GIP-6.3.x", "OP-R8.3(1)-(4)", "A11")
def test_a_key_only_with_the_jumper_at_power_up_and_only_stopped():
    of = pump()
    assert of.no("set_key key=" + KEY.hex())["code"] == "key"
    of.core.press(IN_SERVICE, True)  # too late: it counts at power-up
    assert of.no("set_key key=" + KEY.hex())["code"] == "key"
    assert of.no("lock") | {"code": "key", "what": "no_key_set"} == of.no("lock")
    of.power_cycle()
    of.order("prepare_rate rate_nl_per_day=1300000")
    assert of.no("set_key key=" + KEY.hex())["code"] == "key"
    of.act("stop")
    assert of.act("set_key key=" + KEY.hex())["locked"] == 0
    assert of.no("set_key key=1234")["code"] == "field"


@pytest.mark.requirement("GIP-6.3.x", "CS-REQ-82", "A8", "A10")
def test_a_locked_pump_wants_the_code_for_all_but_reading_and_stop():
    of = locked()
    assert of.ask("hello")["locked"] == 1
    for text in ("prepare_rate rate_nl_per_day=1300000", "pause", "unlock", "service", "ack"):
        assert of.no(text)["code"] == "locked"
        of.next_id -= 1  # its id was not used up
    assert refusal(say, of, "unlock", key=OTHER)["code"] == "mac"
    of.next_id -= 1
    token = say(of, "prepare_rate rate_nl_per_day=1300000")["token"]
    assert say(of, "commit token=" + token)["state"] == "infusing"
    assert of.ask("status")["state"] == "infusing"
    assert "state=stopped" in of.answer(b"stop\n")
    assert not of.enabled
    say(of, "unlock")
    assert of.ask("hello")["locked"] == 0
    of.order("prepare_rate rate_nl_per_day=1300000")


@pytest.mark.requirement("A9")
def test_replays_are_refused_and_counted():
    of = locked()
    line = signed(of, "refill phase=begin")
    assert "state=refill" in of.answer(line)
    before = of.app.session.forged
    assert "state=refill" in of.answer(line)  # the very same line: its answer again, from memory
    for _ in range(9):
        say(of, "silence")
    assert "code=stale" in of.answer(line)
    assert of.app.session.forged == before + 1
    say(of, "refill phase=end")
    of.power_cycle()  # another nonce: what was recorded before is worth nothing
    old = of.app.session.forged
    assert "code=mac" in of.answer(line)
    assert of.app.session.forged == old + 1
    assert of.state() == "stopped"


OPERATOR = hmac.new(KEY, b"operate", hashlib.sha256).digest()


@pytest.mark.requirement("GIP-6.3.x", "CS-REQ-82", "A8")
def test_the_operators_key_orders_and_does_not_configure():
    of = locked()
    token = say(of, "prepare_rate rate_nl_per_day=1300000", key=OPERATOR)["token"]
    assert say(of, "commit token=" + token, key=OPERATOR)["state"] == "infusing"
    for text in ("prepare_limits max_bolus_nl=1000", "unlock", "prepare_settings kvo_nl_per_day=1000"):
        assert refusal(say, of, text, key=OPERATOR)["code"] == "role"
        of.next_id -= 1  # its id was not used up
    assert of.ask("limits")["max_bolus_nl"] == 5_000_000
    assert say(of, "prepare_limits max_bolus_nl=1000")["max_bolus_nl"] == 1_000


@pytest.mark.requirement("CS-REQ-82", "GIP-6.3.x")
@pytest.mark.parametrize("who", ["operator", "configurer"])
def test_every_verb_by_every_role(who):
    """The real pump, and each message that changes something: refused for the role, or not for that."""
    of = locked()
    verbs = " ".join(WHO.values()).split()
    assert set(verbs) == {verb for verb in VERBS if TABLE[verb][1] in (PREPARE, ACT)}
    for verb in verbs:
        if who == "configurer" and verb in ("service", "set_key", "lock", "unlock"):
            continue  # they leave locked mode, or the program
        text, _ = sample(verb, largest=False, optional=False)
        refused = verb in WHO["configurer"].split() and who == "operator"
        before = of.app.session.forged
        try:
            say(of, text, key=OPERATOR if who == "operator" else KEY)
            code = None
        except Refused as caught:
            code = caught.code
        of.next_id -= code in ("role", "mac", "locked")
        assert (code == "role") == refused and code not in ("mac", "locked"), (verb, code)
        assert of.app.session.forged == before + refused
        for unsigned in (OTHER, bytes(32)):
            assert refusal(say, of, text, key=unsigned)["code"] == "mac"
            of.next_id -= 1
        assert of.no(text)["code"] == "locked"
        of.next_id -= 1
    assert of.ask("hello")["locked"] == 1


@pytest.mark.requirement("OP-EC24")
def test_a_session_without_orders_ends_and_the_delivery_goes_on():
    of = locked()
    say(of, "commit token=" + say(of, "prepare_rate rate_nl_per_day=1300000")["token"])
    nonce = of.answer(b"hello\n").split("nonce=")[1].split()[0]
    of.run(181)
    assert refusal(say, of, "pause", nonce=nonce) | {"code": "mac", "what": "session_over"}
    of.next_id -= 1
    assert of.state() == "infusing"
    assert say(of, "pause")["state"] == "paused"
    assert of.answer(b"hello\n").split("nonce=")[1].split()[0] != nonce


@pytest.mark.requirement("A9", "A10", "CS-REQ-26/27")
def test_forgeries_are_counted_shown_and_journalled_in_bursts():
    """An hour of forgeries, one a second: six records or seven, not 3,600; nothing else happens."""
    of = locked()
    line = frame(of.next_id, "pause mac=0123456789abcdef")
    records = len(of.journal())
    for minute in range(60):
        for _ in range(60):
            of.core.send(line)
            of.core.run_until(of.now + SECOND)
            of.core.output.clear()
        assert of.app.session.forged == 60 * (minute + 1)
    of._rest = ""
    info = of.ask("info")
    assert info["forged"] == info["wrong"] == 3_600
    told = of.journal_of("refused")
    assert 6 <= len(told) <= 7 and told[-1]["forged"] > 3_000
    assert len(of.journal()) - records < 20
    assert of.state() == "stopped"


def test_a_forgery_is_in_the_journal_within_two_minutes():
    of = locked()
    of.answer(frame(of.next_id, "pause mac=0123456789abcdef"))
    of.run(120)
    assert [record["forged"] for record in of.journal_of("refused")] == [1]
    of.run(3600)
    assert len(of.journal_of("refused")) == 1


def test_lock_and_key_survive_a_restart_and_change_nothing_else():
    of = locked()
    of.power_cycle()
    assert of.ask("hello")["locked"] == 1
    assert of.ask("calibration")["syringe_nl"] == 30_000_000
    assert say(of, "silence")["seconds"] == 120


def test_recovery_by_the_jumper():
    """A lost key: a start with the jumper closed takes a new key, or unlock, without a code, and nothing else."""
    of = locked()
    of.core.press(IN_SERVICE, True)
    of.power_cycle()
    assert of.ask("hello")["locked"] == 0
    for text in (
        "prepare_rate rate_nl_per_day=1300000",
        "prepare_limits max_bolus_nl=1000000",
        "pause",
        "lock",
        "service",
    ):
        assert of.no(text) | {"code": "locked", "what": "set_key_or_unlock_first"} == of.no(text)
    assert of.no("set_key key=" + "0" * 64)["code"] == "key"
    assert of.act("set_key key=" + OTHER.hex())["locked"] == 1
    assert of.ask("hello")["locked"] == 1
    assert refusal(say, of, "silence", key=KEY)["code"] == "mac"
    of.next_id -= 1
    assert say(of, "silence", key=OTHER)["seconds"] == 120
    of.power_cycle()
    assert of.act("unlock")["locked"] == 0
    of.order("prepare_rate rate_nl_per_day=1300000")


def test_forgotten_jumper_does_not_leave_a_locked_pump_open():
    of = locked()
    of.core.press(IN_SERVICE, True)
    of.power_cycle()
    of.core.press(IN_SERVICE, False)
    of.power_cycle()
    assert of.no("unlock")["code"] == "locked"


def test_service_only_while_stopped_and_leaves_at_once():
    of = pump()
    of.order("prepare_rate rate_nl_per_day=1300000")
    assert of.no("service")["code"] == "state"
    of.act("stop")
    assert of.act("service")["state"] == "service"
    of.run(0.2)
    assert [f for _, name, f in of.seen if name == "reset"] == [{"cause": "service"}]
    assert of.core.app is None
    of.run(60)
    assert of.core.app is None  # nothing of ours runs until the power goes
    of.core.power(False)
    of.wake()
    assert of.state() == "stopped"


def test_service_does_not_wait_for_a_host_that_reads_nothing():
    of = pump()
    of.core.host_reads = False
    for _ in range(2):
        of.send(b"info\n" * 3)
        of.core.run_until(of.now + SECOND)
    of.send(frame(of.next_id, "service"))
    of.core.run_until(of.now + SECOND)
    assert of.core.app is None


def test_service_of_a_pump_whose_journal_is_worn_out():
    of = pump()
    for sector in range(4, 64):
        of.core.flash_port.break_sector(sector, "program_error")
    of.order("prepare_limits max_bolus_nl=1000")
    of.run(600)
    assert of.app.storage.journal.failed and of.app.storage.journal.pending
    of.act("service")
    of.run(1)
    assert of.core.app is None
