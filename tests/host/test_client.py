"""The library's methods: what they ask for, what they check, what they give back."""

from __future__ import annotations

import dataclasses

import pytest

import haipump
from haipump import programme, syringes
from haipump.client import key_bytes
from haipump.errors import (
    CommunicationError,
    LinkLost,
    NotAPump,
    NotExecuted,
    OrderInterrupted,
    PortBusy,
    Refused,
    StopNotConfirmed,
    UsageError,
    WrongAnswer,
    WrongKey,
)
from haipump.protocol.codec import operator_key, with_crc
from haipump_fw.proto.frame import Refused as DeviceRefused
from tests.host.device import FakePump, Line, once


def test_a_bolus_is_prepared_checked_committed_and_waited_for(client, pump) -> None:
    seen = []
    order = client.bolus("2 mL", over="10 min")
    status = order.wait(progress=lambda status: seen.append(status.stepped_nl))
    assert status.result == "complete" and status.stepped_nl == 2_000_000
    assert seen == sorted(seen) and len(seen) > 10
    verb, id, fields = pump.executed[0]
    assert (verb, id) == ("prepare_bolus", order.id)
    assert fields == {"volume_nl": 2_000_000, "duration_s": 600, "extended": 1}
    assert 600 <= pump.now_s < 610


def test_without_over_a_bolus_is_immediate(client, pump) -> None:
    client.bolus("0.1 mL")
    client.bolus("0.1 mL", within="20 s")
    assert pump.executed[0][2] == {"volume_nl": 100_000}
    assert pump.executed[1][2] == {"volume_nl": 100_000, "duration_s": 20}
    with pytest.raises(UsageError):
        client.bolus("0.1 mL", over="1h", within="20 s")


def test_every_option_of_a_rate_reaches_the_pump(client, pump) -> None:
    client.rate("1.3 mL/day", ramp="1 h")
    assert pump.executed[0][2] == {"rate_nl_per_day": 1_300_000, "ramp_s": 3_600}
    order = client.rate("1.3 mL/day", vtbi="5 mL", at_end="kvo", override=True)
    assert pump.executed[1][2] == {
        "rate_nl_per_day": 1_300_000,
        "vtbi_nl": 5_000_000,
        "at_end": "kvo",
        "override": 1,
    }
    assert order.plan is not None and order.plan.empty_in_s == 0


@pytest.mark.parametrize("misread", [{"volume_nl": 20_000_000}, {"extended": 1}])
def test_a_pump_that_understood_something_else_is_not_started(client, pump, misread) -> None:
    pump.misread = misread
    with pytest.raises(WrongAnswer) as caught:
        client.bolus("2 mL")
    assert pump.orders_executed() == []
    assert "Nothing was started" in caught.value.state


def test_an_unasked_ramp_or_end_is_noticed(client, pump) -> None:
    pump.misread = {"vtbi_nl": 5}
    with pytest.raises(WrongAnswer):
        client.rate("1 mL/day")
    assert pump.orders_executed() == []


def test_an_interrupted_order_says_how_much_came(client, line, pump) -> None:
    order = client.bolus("2 mL", over="10 min")
    line.sleep(300)
    client.stop()
    with pytest.raises(OrderInterrupted) as caught:
        order.wait()
    assert caught.value.stepped_nl == 1_000_000
    assert caught.value.planned_nl == 2_000_000
    assert caught.value.result == "stopped"
    assert "1 mL of 2 mL" in str(caught.value)


def test_an_alarm_that_ends_an_order_brings_its_advice(client, pump) -> None:
    order = client.bolus("2 mL")
    pump.orders[order.id].result = "alarm"
    pump.alarms = ["occlusion"]
    with pytest.raises(OrderInterrupted) as caught:
        order.wait()
    assert "kink" in caught.value.next_step


def test_waiting_has_an_end(client, pump) -> None:
    order = client.bolus("2 mL", over="10 min")
    with pytest.raises(haipump.errors.AnswerTimeout):
        order.wait(timeout_s=30)
    assert 30 <= pump.now_s < 31
    with pytest.raises(haipump.errors.AnswerTimeout, match="after 0.5 s"):
        order.wait(timeout_s=0.5)
    assert order.status().running
    with pytest.raises(UsageError):
        client.rate("1 mL/day").wait()


def test_cancelling_ends_a_bolus_and_leaves_the_rest(client, pump) -> None:
    client.rate("1.3 mL/day")
    order = client.bolus("2 mL")
    assert order.cancel().result == "stopped"
    assert client.status().state == "infusing"
    with pytest.raises(UsageError):
        order.cancel()


def test_stop_sends_the_byte_and_asks(client, line, pump) -> None:
    client.rate("1.3 mL/day")
    line.sent.clear()
    assert client.stop().flow_nl_per_day == 0
    assert line.sent[1] == b"!\n"
    assert pump.executed[-1][0] == "stop"


def test_a_stop_that_got_lost_is_sent_again(client, line, pump) -> None:
    client.rate("1.3 mL/day")
    line.to_pump = once(lambda line, data: [], b"!")
    assert client.stop().state == "stopped"


def test_a_pump_that_does_not_stop_is_not_believed(client, pump, monkeypatch) -> None:
    client.rate("1.3 mL/day")
    monkeypatch.setattr(pump.app, "_stop", lambda: None)
    with pytest.raises(StopNotConfirmed) as caught:
        client.stop()
    assert "cut its power" in caught.value.next_step


def test_alarms_are_listed_one_by_one(client, pump) -> None:
    assert client.alarms() == []
    pump.alarms = ["occlusion", "reservoir_low", "storage"]
    assert [alarm.alarm for alarm in client.alarms()] == ["occlusion", "reservoir_low", "storage"]
    assert client.ack() == 1


def test_a_syringe_fills_in_the_geometry(client, pump) -> None:
    client.syringe("30 mL", "25 mL")
    assert pump.executed[0][2] == {
        "reservoir_nl": 25_000_000,
        "step_fl": syringes.step_fl(21_700, 2_000, 3_200),
        "bore_um": 21_700,
        "syringe_nl": 30_000_000,
        "syringe_max_nl_per_day": 1_664 * 24_000_000,
    }
    client.syringe("2.5 mL", "2 mL", bore_um=7_280)
    assert pump.executed[1][2]["syringe_max_nl_per_day"] == 0
    with pytest.raises(UsageError, match="no 2.5 mL"):
        client.syringe("2.5 mL", "2 mL")


@pytest.mark.parametrize("move", ["prime", "withdraw"])
def test_nothing_moves_fast_without_the_word(client, pump, move: str) -> None:
    for word in (False, 1, "yes"):
        with pytest.raises(UsageError):
            getattr(client, move)("0.5 mL", disconnected=word)
    getattr(client, move)("0.5 mL", disconnected=True)
    assert pump.orders_executed() == ["prepare_" + move]
    with pytest.raises(UsageError):
        client.home(disconnected=False)


def test_jog_home_and_kvo_are_orders(client, pump) -> None:
    client.jog(-500, disconnected=True).wait()
    client.home(disconnected=True)
    pump.app.state = "stopped"
    client.kvo()
    assert [(verb, fields.get("steps")) for verb, _, fields in pump.executed] == [
        ("prepare_jog", -500),
        ("prepare_home", None),
        ("prepare_kvo", None),
    ]


def test_a_programme_is_uploaded_in_parts_and_read_back(client, pump) -> None:
    made = programme.programme(
        86_400,
        14,
        "kvo",
        [programme.Item(0, "rate", 1_300_000)] + [programme.Item(at, "bolus", 100) for at in range(40)],
    )
    order = client.programme(made)
    assert pump.orders_executed() == ["prepare_programme"]
    assert order.status().source == "programme"
    assert order.plan.values["items"] == 41


def test_a_part_that_came_twice_begins_the_upload_anew(client, line, pump) -> None:
    line.to_pump = once(lambda line, data: [data] if line.unplug(for_s=1) is None else [], b" part offset=120")
    made = programme.daily("1.3 mL/day", 14, "0.1 mL")
    long = programme.programme(
        86_400, 1, "stop", list(made.items) + [programme.Item(at, "bolus", 7) for at in range(1, 30)]
    )
    client.programme(long)
    assert pump.orders_executed() == ["prepare_programme"]


def test_a_pump_that_counts_a_programme_otherwise_is_not_started(client, pump) -> None:
    for misread in ({"volume_nl": 5}, {"items": 5}, {"repeats": 5}):
        pump.misread = misread
        with pytest.raises(WrongAnswer):
            client.programme(programme.daily("1.3 mL/day", 14, "0.1 mL"))
    assert pump.orders_executed() == []


def test_the_journal_is_paged_and_resumes(client, pump) -> None:
    for rate in range(1, 8):
        client.rate(f"{rate} mL/day")
    records = list(client.journal())
    assert [record.seq for record in records] == list(range(2, 10))
    assert [record.data for record in records] == pump.journal[2:]
    assert [record.seq for record in client.journal(first=5)] == [5, 6, 7, 8, 9]
    assert list(client.journal(first=50)) == []
    pump.journal[4] = b""  # damaged
    assert [record.seq for record in client.journal()] == [2, 3, 5, 6, 7, 8, 9]
    backwards = list(client.journal_backwards(7))
    assert [record.seq for record in backwards] == [9, 8, 7, 6, 5, 4, 3]
    assert [record.fields.get("rate_nl_per_day") for record in backwards[:2]] == [7_000_000, 6_000_000]
    assert backwards[5].name == "unreadable"


def test_a_damaged_record_is_no_record(client, pump) -> None:
    client.rate("1 mL/day")
    pump.journal[-1] = pump.journal[-1][:20] + b"x" + pump.journal[-1][21:]
    with pytest.raises(CommunicationError, match="damaged"):
        list(client.journal_backwards(1))


def test_events_are_queued_counted_and_survive_a_gap(client, pump, line) -> None:
    list(client.events(timeout_s=0.1))
    pump.session.event("button", [("button", "start")])
    line.to_host = lambda line, data: [] if b"lost" in data else [data]
    pump.session.event("button", [("button", "lost")])
    pump.session.event("button", [("button", "stop")])
    client.status()
    events = list(client.events(timeout_s=0.1))
    assert [(event.name, event.fields["button"], event.missed) for event in events] == [
        ("button", "start", 0),
        ("button", "stop", 1),
    ]
    assert client.conversation.events_missed == 1


def test_telemetry_and_silence_and_self_test(client, pump) -> None:
    assert client.telemetry(0.5) == 500
    assert client.silence(60) == 60
    assert client.selftest() == ("stopped", "passed")
    assert client.refill_begin() == "refill"
    assert client.refill_end() == "stopped"


# --- locked mode


def test_a_locked_pump_wants_the_key(line, pump) -> None:
    with haipump.connect(line) as client:
        client.set_key("ab" * 32)
        client.lock()
        client.pause()
    with haipump.connect(line) as stranger:
        with pytest.raises(Refused) as caught:
            stranger.resume()
        assert caught.value.code == "locked"
        assert "--key-file" in caught.value.next_step
        assert stranger.status().state == "paused"
        stranger.stop()  # always
    with haipump.connect(line, key="cd" * 32) as wrong:
        sent = len(line.sent)
        with pytest.raises(WrongKey):
            wrong.pause()
        assert len(line.sent) == sent, "nothing signed leaves for a pump that did not prove our key"
        wrong.stop()
    operator = operator_key(bytes.fromhex("ab" * 32))
    with haipump.connect(line, key=operator) as nurse:
        nurse.pause()
        with pytest.raises(Refused) as caught:
            nurse.unlock()
        assert caught.value.code == "role" and "configure key" in caught.value.next_step
    with haipump.connect(line, key="ab" * 32) as owner:
        owner.unlock()
    with haipump.connect(line) as anyone:
        anyone.pause()


@pytest.mark.requirement("OP-EC24")
def test_an_order_after_a_long_silence_is_signed_anew(line, pump) -> None:
    pump.key, pump.locked = bytes(32), True
    pump.restart()
    with haipump.connect(line, key=bytes(32)) as client:
        client.pause()
        nonce = client.conversation.greeting.nonce
        pump.now_s += 1_000
        client.resume()
        assert client.conversation.greeting.nonce != nonce
    assert pump.orders_executed() == ["pause", "resume"] and pump.session.forged == 0


def test_a_locked_pump_that_restarted_has_a_new_nonce(line, pump) -> None:
    pump.key, pump.locked = bytes(32), True
    pump.restart()
    with haipump.connect(line, key=bytes(32)) as client:
        line.to_host = lambda line, data: [] if b"boot" in data[:8] else [data]  # the restart is not heard of
        pump.restart()
        with pytest.raises(NotExecuted, match="restarted"):
            client.pause()
        assert pump.orders_executed() == []
        client.pause()
    assert pump.orders_executed() == ["pause"]


@pytest.mark.parametrize("key", ["ab", "xy" * 32, b"short"])
def test_a_key_has_32_bytes(key) -> None:
    with pytest.raises(UsageError):
        key_bytes(key)


# --- connecting


def test_who_is_there(client, pump) -> None:
    assert client.hello().device == pump.device
    assert client.port == "memory"
    assert dataclasses.asdict(client.info())["board"] == "fake"


def test_something_that_is_no_pump(pump) -> None:
    line = Line(pump)
    line.to_pump = lambda line, data: []
    line.to_host = lambda line, data: [b"login: "]
    with pytest.raises(NotAPump) as caught:
        haipump.connect(line)
    assert "login" in caught.value.what
    assert not line.is_open


def test_a_pump_that_is_taken_says_by_whom(pump, monkeypatch) -> None:
    line = Line(pump)
    line.to_pump = lambda line, data: []
    monkeypatch.setattr(
        line, "read", lambda timeout_s: line.sleep(timeout_s) or b"# refused: in use by 127.0.0.1:4711\n"
    )
    with pytest.raises(PortBusy) as caught:
        haipump.connect(line)
    assert "127.0.0.1:4711" in caught.value.what


def test_another_release_of_the_protocol_is_named(pump) -> None:
    line = Line(pump)
    pump.session._read = lambda verb, fields: [
        ("protocol", 9), ("firmware", "9"), ("device", "a"), ("boot", 1), ("next_id", 1), ("locked", 0), ("nonce", "a"),
    ]  # fmt: skip
    with pytest.raises(CommunicationError, match="protocol 9"):
        haipump.connect(line)
    assert not line.is_open


def test_another_pump_at_the_same_port_gets_nothing(client, line, pump) -> None:
    def exchange(line: Line, data: bytes) -> list[bytes]:
        line.unplug(for_s=1)
        line.pump = FakePump()
        line.pump.device = "0000000000000001"
        line.pump.now_s = pump.now_s
        line.pump.restart()
        return []

    line.to_pump = once(exchange, b" commit")
    with pytest.raises((LinkLost, haipump.errors.OutcomeUnknown)):
        client.rate("1.3 mL/day")
    assert line.pump.orders_executed() == [] == pump.orders_executed()


def test_a_refused_reading_is_refused(client) -> None:
    with pytest.raises(Refused):
        client.order(999)
    with pytest.raises(Refused):
        client.setting("bogus")


def test_an_expired_token_says_to_order_again(client, line) -> None:
    plan = client.prepare_rate("1.3 mL/day")
    line.sleep(31)
    with pytest.raises(Refused) as caught:
        client.commit(plan)
    assert caught.value.code == "token"
    assert "again" in caught.value.next_step


def test_a_cut_answer_is_an_error_and_no_guess(client, pump, monkeypatch) -> None:
    real = pump.app.answer
    monkeypatch.setattr(pump.app, "answer", lambda verb, fields: [*real(verb, fields)[:3], ("cut", 1)])
    with pytest.raises(CommunicationError, match="incomplete"):
        client.status()


def test_a_refused_part_that_stays_refused_ends(client, pump, monkeypatch) -> None:
    def refuse(offset, data):
        raise DeviceRefused("part", [("what", "size")])

    monkeypatch.setattr(pump.session, "_part", refuse)
    with pytest.raises(Refused, match="parts"):
        client.programme(programme.daily("1.3 mL/day", 14, "0.1 mL"))


def test_an_event_in_one_piece_with_an_answer_is_heard(client, line, monkeypatch) -> None:
    read, event = line.read, with_crc("#900 button button=stop")

    def read_more(timeout_s: float) -> bytes:
        data = read(timeout_s)
        return data + event if b" ok " in data else data

    monkeypatch.setattr(line, "read", read_more)
    client.status()
    monkeypatch.undo()
    assert "button" in [event.name for event in client.events(0)]
