"""Whatever happens to a line on its way: nothing is executed twice, and what the library says is true.

The oracle is the pump's own list of what it executed; the library is only believed when it agrees.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import haipump
from haipump.conversation import Conversation
from haipump.errors import (
    AnswerTimeout,
    CommunicationError,
    HaipumpError,
    LinkLost,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StopNotConfirmed,
)
from haipump_fw.proto.frame import Refused as DeviceRefused
from tests.host.device import FakePump, Fault, Line, once

# --- what can happen to one line, in either direction


def lose(line, data):
    return []


def double(line, data):
    return [data, data]


def triple(line, data):
    return [data, data, data]


def garble(line, data):
    at = len(data) // 2
    return [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]]


def garble_id(line, data):
    if len(data) < 2:
        return [data]
    return [data[:1] + bytes([data[1] ^ 1]) + data[2:]]


def truncate(line, data):
    return [data[: len(data) // 2]]


def lose_end(line, data):
    return [data[:-1]]


def split(line, data):
    at = len(data) // 2
    return [data[:at] + b"\n" + data[at:]]


def noise_before(line, data):
    return [b"\x00\xff@@12 ok \r", data]


def late(line, data):
    line.later(1.5, data)
    return []


def again_late(line, data):
    line.pump.take(data)
    line.later(1.5, data)
    return []


def unplug(line, data):
    line.unplug(for_s=1.0)
    return []


def arrive_then_unplug(line, data):
    line.pump.take(data)
    line.unplug(for_s=1.0)
    return []


def restart(line, data):
    line.pump.restart()
    return []


def restart_then_arrive(line, data):
    line.pump.restart()
    return [data]


def arrive_then_restart(line, data):
    line.pump.take(data)
    line.pump.restart()
    return []


def arrive_then_restart_unplugged(line, data):
    line.pump.take(data)
    line.pump.restart()
    line.unplug(for_s=1.0)
    return []


TO_PUMP = [
    lose, double, triple, garble, garble_id, truncate, lose_end, split, noise_before, late, again_late, unplug,
    arrive_then_unplug, restart, restart_then_arrive, arrive_then_restart, arrive_then_restart_unplugged,
]  # fmt: skip
TO_HOST = [lose, double, triple, garble, garble_id, truncate, lose_end, split, noise_before]
RESTARTS = (restart, restart_then_arrive, arrive_then_restart, arrive_then_restart_unplugged)

ORDERS = {
    "rate": (lambda pump: pump.rate("1.3 mL/day"), "prepare_rate"),
    "bolus": (lambda pump: pump.bolus("2 mL"), "prepare_bolus"),
    "extended": (lambda pump: pump.bolus("2 mL", over="10 min"), "prepare_bolus"),
    "limits": (lambda pump: pump.set_limits(occlusion_pa=50_000), "prepare_limits"),
    "settings": (lambda pump: pump.set_settings(kvo_nl_per_day=300_000), "prepare_settings"),
    "syringe": (lambda pump: pump.syringe("10 mL", "8 mL"), "prepare_syringe"),
    "pause": (lambda pump: pump.pause(), "pause"),
    "cancel": (lambda pump: pump.cancel_bolus(), "cancel_bolus"),
    "silence": (lambda pump: pump.silence(60), "silence"),
    "refill": (lambda pump: pump.refill_begin(), "refill"),
}


def attempt(order, verb: str, to_pump: Fault | None = None, to_host: Fault | None = None, locked: bool = False):
    """Carry out one order on a disturbed line. Returns (pump, times executed, the error or None)."""
    pump = FakePump()
    pump.forgets = True
    line = Line(pump)
    key = None
    if locked:
        pump.key, pump.locked = bytes(range(32)), True
        pump.restart()
        key = pump.key
    with haipump.connect(line, key) as client:
        line.to_pump, line.to_host = to_pump, to_host
        error = None
        try:
            order(client)
        except HaipumpError as failure:
            error = failure
        line.to_pump = line.to_host = None
        line.sleep(10)  # whatever was still on its way arrives now
    return pump, pump.orders_executed().count(verb), error


def judge(name: str, pump: FakePump, times: int, error: Exception | None, struck: str) -> None:
    assert times <= 1, f"{name} was executed {times} times under {struck}"
    if error is None:
        assert times == 1, f"{name} was reported done under {struck}, and was not"
    elif isinstance(error, (NotExecuted, Refused, AnswerTimeout)):  # only reads and prepares end in AnswerTimeout
        assert times == 0, f"{name} was reported not executed under {struck}, and was: {error}"
    else:
        assert isinstance(error, (OutcomeUnknown, LinkLost)), f"{name} under {struck}: {error!r}"


@pytest.mark.parametrize("locked", [False, True], ids=["open", "locked"])
@pytest.mark.parametrize("fault", TO_PUMP, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("name", ORDERS)
def test_one_fault_on_the_way_to_the_pump(name: str, fault: Fault, locked: bool) -> None:
    order, verb = ORDERS[name]
    for struck_verb in (b"prepare", b"commit") if verb.startswith("prepare") else (b" " + verb.encode(),):
        pump, times, error = attempt(order, verb, to_pump=once(fault, struck_verb), locked=locked)
        judge(name, pump, times, error, f"{fault.__name__} of {struck_verb}")
        if fault not in RESTARTS:
            assert error is None, f"{name} gave up under one {fault.__name__} of {struck_verb}: {error}"


@pytest.mark.parametrize("fault", TO_HOST, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("name", ORDERS)
def test_one_fault_on_the_way_back(name: str, fault: Fault) -> None:
    order, verb = ORDERS[name]
    for skip in range(3):
        pump, times, error = attempt(order, verb, to_host=once(fault, b" ok ", skip))
        judge(name, pump, times, error, f"{fault.__name__} of answer {skip}")
        assert error is None, f"{name} gave up under one {fault.__name__} of answer {skip}: {error}"


@given(data=st.data())
def test_many_faults_at_once(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ORDERS)))
    order, verb = ORDERS[name]
    drawn: list[str] = []

    def plan(faults):
        budget = [data.draw(st.integers(0, 6))]

        def fault(line: Line, sent: bytes) -> list[bytes]:
            if not budget[0] or not data.draw(st.booleans()):
                return [sent]
            budget[0] -= 1
            chosen = data.draw(st.sampled_from(faults))
            drawn.append(chosen.__name__)
            return chosen(line, sent)

        return fault

    pump, times, error = attempt(order, verb, plan(TO_PUMP), plan(TO_HOST))
    judge(name, pump, times, error, ", ".join(drawn))


# --- what is said about it


def test_a_lost_answer_over_a_restart_is_found_out(client, line, pump) -> None:
    line.to_pump = once(arrive_then_restart, b"commit")
    order = client.bolus("2 mL")
    assert order.recovered
    assert pump.orders_executed() == ["prepare_bolus"]
    assert order.status().result == "reset"


def test_an_order_that_the_pump_forgot_is_found_in_its_journal(client, line, pump) -> None:
    pump.forgets = True
    line.to_pump = once(arrive_then_restart, b"commit")
    order = client.bolus("2 mL")
    assert order.recovered
    assert pump.orders_executed() == ["prepare_bolus"]


def test_with_a_damaged_journal_nobody_knows(client, line, pump) -> None:
    def arrive_restart_and_lose_a_record(line, data):
        line.pump.take(data)
        pump.journal[-1] = b""
        line.pump.restart()
        return []

    pump.forgets = True
    line.to_pump = once(arrive_restart_and_lose_a_record, b"commit")
    with pytest.raises(OutcomeUnknown):
        client.bolus("2 mL")


def test_a_restart_before_the_order_is_proven_not_executed(client, line, pump) -> None:
    line.to_pump = once(restart, b"commit")
    with pytest.raises(NotExecuted) as caught:
        client.bolus("2 mL")
    assert "restarted" in caught.value.what or "did not execute" in caught.value.what
    assert "stopped" in caught.value.state
    assert caught.value.next_step
    assert pump.orders_executed() == []


def test_resume_is_never_repeated_over_a_restart(client, line, pump) -> None:
    client.rate("1.3 mL/day")
    client.pause()
    line.to_pump = once(restart, b" resume")
    with pytest.raises((NotExecuted, OutcomeUnknown)):
        client.resume()
    assert "resume" not in pump.orders_executed()


def test_an_unplugged_port_is_waited_for(client, line, pump) -> None:
    line.to_pump = once(unplug, b"commit")
    client.bolus("2 mL")
    assert pump.orders_executed() == ["prepare_bolus"]


def test_a_port_that_stays_away_is_reported_in_bounded_time(client, line, pump) -> None:
    def gone(line, data):
        line.pump.take(data)
        line.unplug()
        return []

    line.to_pump = once(gone, b"commit")
    with pytest.raises(OutcomeUnknown) as caught:
        client.bolus("2 mL")
    assert pump.now_s < 60
    assert "status" in caught.value.next_step
    line.plugged = True
    assert client.order(caught.value.id).planned_nl == 2_000_000  # the person asks, the pump knows


def test_an_id_used_by_another_host_is_replaced_only_because_nothing_was_executed(client, line, pump) -> None:
    client.status()
    pump.session.last_id = 40  # somebody else was here
    client.pause()
    assert pump.orders_executed() == ["pause"]
    assert pump.executed[-1][1] == 41


def test_stale_after_repeating_is_not_answered_with_a_new_id(client, line, pump) -> None:
    def executed_and_forgotten(line, data):
        line.pump.take(data)
        line.pump.session._ids = [0] * 8
        return []

    line.to_pump = once(executed_and_forgotten, b" pause")
    line.to_host = once(lose, b"@1 ok")
    with pytest.raises(OutcomeUnknown):
        client.pause()
    assert pump.orders_executed() == ["pause"]


def test_a_time_out_says_what_was_heard(client, line) -> None:
    line.to_pump = lambda line, data: []
    line._inbox += b"hello, I am a modem\r\n"
    with pytest.raises(AnswerTimeout) as caught:
        client.status()
    assert "I am a modem" in caught.value.what
    assert caught.value.heard.startswith(b"hello")


def test_a_refusal_says_what_state_and_what_next(client, pump) -> None:
    pump.refuse["prepare_bolus"] = ("limit", [("what", "max_bolus_nl"), ("maximum", 5_000_000), ("minimum", 1)])
    with pytest.raises(Refused) as caught:
        client.bolus("6 mL")
    error = caught.value
    assert error.code == "limit"
    assert "5 mL" in error.what
    assert "stopped" in error.state
    assert "limits" in error.next_step


def test_a_busy_pump_is_asked_again(client, pump, monkeypatch) -> None:
    real, calls = pump.app.act, []

    def act(verb, fields, order_id):
        calls.append(verb)
        if len(calls) == 1:
            raise DeviceRefused("state", [("what", "first")])
        return real(verb, fields, order_id)

    monkeypatch.setattr(pump.app, "act", act)
    with pytest.raises(Refused):
        client.pause()
    client.pause()
    assert calls == ["pause", "pause"]


def test_a_pump_whose_queue_is_full_is_asked_again(client, line, pump) -> None:
    def full(line, data):
        pump.session._waiting += [b"status"] * 4
        return [data]

    line.to_pump = once(full, b" pause")
    client.pause()
    assert pump.orders_executed() == ["pause"]
    assert len([sent for sent in line.sent if b" pause" in sent]) == 2


def test_a_stop_goes_out_over_an_unplugged_port(client, line, pump) -> None:
    client.rate("1.3 mL/day")
    line.to_pump = once(unplug, b"!")
    assert client.stop().state == "stopped"
    line.unplug()
    with pytest.raises(StopNotConfirmed):
        client.stop()


def test_events_go_on_over_an_unplugged_port(client, line, pump) -> None:
    line.unplug(for_s=1)
    pump.session.event("button", [("button", "stop")])
    line.later(2, b"")
    assert list(client.events(timeout_s=3)) is not None
    pump.session.event("button", [("button", "start")])
    assert [event.fields["button"] for event in client.events(timeout_s=1)][-1] == "start"


def test_a_restart_noticed_between_two_orders_leads_to_fresh_ids(client, line, pump) -> None:
    client.rate("1 mL/day")
    pump.restart()
    assert [event.name for event in client.events(timeout_s=1)][-1] == "boot"
    client.rate("2 mL/day")
    assert pump.orders_executed() == ["prepare_rate", "prepare_rate"]
    assert pump.executed[-1][1] > 60  # ids go on above what was reserved


@pytest.mark.parametrize("verb", [b" status", b" commit"])
def test_a_port_that_breaks_every_time_is_given_up(client, line, pump, verb: bytes) -> None:
    line.to_pump = lambda line, data: unplug(line, data) if verb in data else [data]
    with pytest.raises((LinkLost, OutcomeUnknown)) as caught:
        client.status() if verb == b" status" else client.bolus("2 mL")
    assert caught.value.next_step
    assert pump.orders_executed() == []


def test_without_a_connection_there_is_nobody_to_ask(pump) -> None:
    with pytest.raises(CommunicationError):
        haipump.Pump(Conversation(Line(pump))).status()
