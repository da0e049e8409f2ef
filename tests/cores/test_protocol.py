"""The serial protocol on any core: every message with right and with wrong input, ids, frames, parts, journal, events.

The lines are written here or made from the table of messages; the host's library comes in only where it says so.
"""

import base64
import hashlib
import itertools

import pytest

from haipump import records
from haipump.protocol.codec import Answer, typed_answer, with_crc
from haipump.protocol.schema import ACT, MESSAGES, PREPARE, READ, STOP
from haipump_fw.core.options import NAME, OPTIONS
from haipump_fw.proto.table import EVENTS

TEXT = b"haipump-programme 1\nperiod_s 60\nrepeats 1\nat_end stop\n0 rate 1000000\n"
DIGEST = hashlib.sha256(TEXT).hexdigest()
PART = base64.b64encode(TEXT).decode()
SYRINGE = "prepare_syringe reservoir_nl=20000000 step_fl=231144000 bore_um=21700 syringe_nl=30000000"
RATE = "prepare_rate rate_nl_per_day=1000000"
# What a line of each message looks like; of messages that are not here, the verb alone.
RIGHT = {
    "alarms": "alarms index=0",
    "settings": "settings name=kvo_nl_per_day",
    "log": "log seq=1 count=2",
    "telemetry": "telemetry period_ms=0",
    "prepare_rate": RATE + " ramp_s=60 at_end=kvo",
    "prepare_bolus": "prepare_bolus volume_nl=5000 duration_s=20 extended=1",
    "prepare_programme": f"prepare_programme sha256={DIGEST}",
    "prepare_prime": "prepare_prime volume_nl=5000 disconnected=1",
    "prepare_withdraw": "prepare_withdraw volume_nl=5000 disconnected=1",
    "prepare_jog": "prepare_jog steps=-20 disconnected=1",
    "prepare_home": "prepare_home disconnected=1",
    "prepare_syringe": SYRINGE,
    "prepare_limits": "prepare_limits max_bolus_nl=4000000",
    "prepare_dose": "prepare_dose max_dose_nl=0",
    "prepare_library": "prepare_library library=0",
    "prepare_calibration": "prepare_calibration backlash_steps=70",
    "prepare_settings": "prepare_settings silence_s=60",
    "part_begin": f"part_begin what=programme size={len(TEXT)} sha256={DIGEST}",
    "part": f"part offset=0 data={PART}",
    "refill": "refill phase=begin",
    "silence": "silence seconds=20",
    "ack": "ack alarm=occlusion",
}
# What has to go before it.
BEFORE = {
    "order": [RATE],
    "commit": [],
    "part": ["part_begin"],
    "prepare_programme": ["part_begin", "part"],
    "pause": [RATE],
    "resume": [RATE, "pause"],
    "cancel_bolus": ["prepare_bolus volume_nl=5000 duration_s=20"],
}
# Not to be had without more: locked mode and service have tests of their own.
ELSEWHERE = {"set_key", "lock", "unlock", "service"}
TALK = [verb for verb, message in MESSAGES.items() if message.kind in (READ, STOP) and verb != "order"]
MOVE = [verb for verb in MESSAGES if verb not in {*TALK, *ELSEWHERE}]


def good(verb: str, answer: Answer) -> dict:
    """All fields of the table and no other, each of its type."""
    assert answer.ok, answer
    fields = typed_answer(verb, answer)
    assert set(fields) - set(MESSAGES[verb].answer) == set()
    return fields


@pytest.mark.parametrize("verb", TALK)
def test_a_question_without_an_id_is_answered(wire, verb):
    answer = wire.raw(RIGHT.get(verb, verb).encode() + b"\r\n")
    assert (answer.id, answer.checked) == (None, True)
    good(verb, answer)


@pytest.mark.needs("bridged")
@pytest.mark.parametrize("verb", MOVE)
def test_a_right_line_is_carried_out(wire, verb):
    for text in BEFORE.get(verb, []):
        text = RIGHT.get(text, text)
        if text.startswith("prepare"):
            wire.order(text)
        else:
            assert wire.say(text).ok
    line = RIGHT.get(verb, verb)
    if verb == "commit":
        line = "commit token=" + wire.say(RATE).fields["token"]
    fields = good(verb, wire.say(line))
    if verb == "commit":
        assert fields == {"state": "infusing", "order": wire.next_id - 1}
    if MESSAGES[verb].kind == PREPARE and "token" in fields:
        assert fields["valid_s"] == 30
        assert wire.raw(b"status\n").fields["state"] == "stopped", "a prepare changes nothing"


def wrong_lines():
    """(verb, line without id and checksum, code) for everything that a field can have wrong."""
    for verb, message in MESSAGES.items():
        if message.kind == STOP:
            continue  # whatever stands behind it, it stops
        right = RIGHT.get(verb, verb) if verb != "commit" else "commit token=0"
        if verb == "set_key":
            right = "set_key key=" + "00" * 32
        yield verb, f"{right} nonsense=1", "field"
        words = right.split()
        fields = list(message.request.items())
        for name, field in [*fields[:1], *fields[1:][-1:]]:  # the first and the last: all are read by one table
            there = [word for word in words[1:] if word.startswith(f"{name}=")]
            others = [word for word in words if word not in there]
            if not field.optional:
                yield verb, " ".join(others), "field"
            if field.bounds:
                yield verb, " ".join([*others, f"{name}={field.bounds[1] + 1}"]), "range"
                yield verb, " ".join([*others, f"{name}=x"]), "field"
            elif field.choices:
                yield verb, " ".join([*others, f"{name}=neither"]), "field"
        if len(words) > 1:
            yield verb, f"{right} {words[1]}", "field"


@pytest.mark.requirement("GIP-3.2.4")
@pytest.mark.parametrize("verb", MESSAGES)
def test_a_wrong_line_is_refused_and_changes_nothing(wire, verb):
    states = set()
    for line, code in [(line, code) for of, line, code in wrong_lines() if of == verb]:
        answer = wire.raw(wire.line(line))
        assert (answer.ok, answer.code) == (False, code), line
        states.add(answer.fields["state"])
    if MESSAGES[verb].kind in (PREPARE, ACT):
        assert wire.raw(f"{RIGHT.get(verb, verb)}\n".encode()).code == "id"
    assert wire.raw(b"hello\n").fields["next_id"] == str(wire.next_id), "no id was used up"
    assert len(states) <= 1 and not states & {"infusing", "bolus", "moving", "priming"}


# --- frames and ids


def test_a_line_that_is_not_one(wire):
    number = wire.next_id
    assert wire.raw(b"no such thing\n").code in ("unknown", "syntax")
    assert not wire.raw(b"@x status\n").ok
    assert wire.raw(with_crc(f"@{number} {RATE}").replace(b"1000000", b"2000000")).code == "crc"
    assert wire.raw(f"@{number} {RATE}\n".encode()).code in ("crc", "syntax")
    assert wire.raw(b"status " + b"x" * 300 + b"\n").code == "too_long"
    assert wire.raw(bytes(range(128, 160)) + b"\n").code == "syntax"
    assert wire.raw(b"hello\n").fields["next_id"] == str(number)


@pytest.mark.requirement("A11")
def test_control_characters_are_data(wire):
    """No REPL on this line: Ctrl-C, Ctrl-D, raw and paste mode."""
    assert not wire.raw(b"\x03\x04\x01\x05\n").ok
    assert wire.raw(b"\x03\x03status\n").code in ("syntax", "unknown")
    assert wire.raw(b"status\n").ok


@pytest.mark.needs("bridged")
def test_an_id_is_carried_out_once(wire):
    token = wire.say(RATE).fields["token"]
    line = wire.line(f"commit token={token}")
    first = wire.raw(line)
    again = wire.raw(line)
    assert first.ok and again == first, "answered from memory"
    assert wire.raw(wire.line("pause")).code == "reused"
    assert wire.raw(wire.line("pause", wire.next_id - 1)).code in ("stale", "reused")
    assert wire.raw(wire.line("pause", 1)).code in ("stale", "reused")
    assert wire.raw(b"status\n").fields["state"] == "infusing"
    wire.next_id += 1
    assert wire.raw(wire.line("pause", wire.next_id + 5)).ok, "ids may leave some out"


@pytest.mark.needs("bridged")
def test_a_token_is_good_once_and_for_the_last_prepare(wire):
    first = wire.say(RATE).fields["token"]
    second = wire.say(RATE).fields["token"]
    assert first != second
    assert wire.say(f"commit token={first}").code == "token"
    token = wire.say(RATE).fields["token"]
    assert wire.say(f"commit token={token}").ok
    assert wire.say(f"commit token={token}").code == "token"


@pytest.mark.needs("bridged")
def test_a_token_expires(rig, wire):
    token = wire.say(RATE).fields["token"]
    rig.wait(31)
    answer = wire.say(f"commit token={token}")
    assert (answer.code, answer.fields["what"]) == ("token", "expired")


@pytest.mark.needs("bridged")
@pytest.mark.parametrize("how", [b"stop\n", b"\n!\n", b"!", b"!garbage", b"garbage\n!", b"@7 stop\n!\n"])
def test_a_stop_needs_nothing(rig, wire, how):
    wire.order(RATE)
    wire.send(how)
    rig.wait(0.1)
    wire.send(b"\n")
    rig.pump.hello()
    assert (rig.pump.sensors().enabled, rig.pump.status().state) == (0, "stopped")


# --- parts


@pytest.mark.needs("bridged")
def test_parts_go_as_a_whole_or_not_at_all(wire):
    size = len(TEXT)
    assert wire.say("prepare_programme sha256=" + "ab" * 32).code == "part"
    assert wire.say("part offset=0 data=AAAA").code == "part"
    assert wire.say(f"part_begin what=programme size={size} sha256={DIGEST}").ok
    assert wire.say("part offset=7 data=AAAA").code == "part", "a gap"
    assert wire.say(f"part_begin what=programme size={size} sha256={'0' * 64}").ok
    wire.say(f"part offset=0 data={PART}")
    assert wire.say(f"prepare_programme sha256={'0' * 64}").code == "part", "not what was announced"
    assert wire.say(f"part_begin what=programme size={size} sha256={DIGEST}").ok
    half = size // 2 // 3 * 3
    for offset, piece in ((0, TEXT[:half]), (half, TEXT[half:])):
        answer = wire.say(f"part offset={offset} data={base64.b64encode(piece).decode()}")
        assert answer.fields["have"] == str(offset + len(piece))
    assert wire.say(f"prepare_programme sha256={DIGEST}").fields["volume_nl"] == str(1_000_000 * 60 // 86_400)


@pytest.mark.needs("bridged")
def test_a_programme_that_is_wrong(wire):
    text = TEXT.replace(b"0 rate", b"70 rate")
    digest = hashlib.sha256(text).hexdigest()
    assert wire.say(f"part_begin what=programme size={len(text)} sha256={digest}").ok
    assert wire.say(f"part offset=0 data={base64.b64encode(text).decode()}").ok
    assert wire.say(f"prepare_programme sha256={digest}").code == "programme"


# --- journal


@pytest.mark.requirement("A23")
def test_the_journal_is_read_record_by_record(rig):
    page = rig.pump.journal_page(0, 1)
    first = max(page.first, page.last - 7)
    raw = list(itertools.islice(rig.pump.journal(first), 8))
    assert [record.seq for record in raw] == list(range(raw[0].seq, raw[0].seq + len(raw)))
    assert all(records.decode(record.data).name for record in raw)
    assert rig.pump.journal_page(page.last + 100).count == 0


@pytest.mark.requirement("GIP-4.1.1-4", "OP-R6.6(1)-(8)", "CS-REQ-78-81")
@pytest.mark.needs("bridged")
def test_what_was_ordered_and_what_became_of_it_is_in_the_journal(rig):
    order = rig.pump.bolus("3 uL", within="3s")
    rig.finish(order)
    rig.wait(2)
    found = [record for record in rig.pump.journal_backwards(20) if record.fields.get("order") == order.id]
    by_name = {record.name: record.fields for record in found}
    assert by_name["intent"]["volume_nl"] == by_name["result"]["planned_nl"] == 3_000
    assert by_name["result"]["stepped_nl"] == order.status().stepped_nl


# --- settings


def test_every_setting_is_told_with_its_range(wire):
    options = {row[NAME] for row in OPTIONS}
    for name in list(MESSAGES["prepare_settings"].request)[:3]:
        fields = good("settings", wire.raw(f"settings name={name}\n".encode()))
        assert name in options and fields["minimum"] <= fields["value"] <= fields["maximum"]
    assert wire.raw(b"settings name=nothing\n").code == "field"


# --- what the pump says by itself

FIELDS = {name: {word.partition("=")[0] for word in fields.split()} for name, fields in EVENTS}


def test_telemetry_comes_at_its_period_with_all_its_fields(rig):
    rig.afterwards(lambda: rig.pump.telemetry(0))
    assert rig.pump.telemetry(0.5) == 500
    rig.wait(2.2)
    rig.pump.telemetry(0)
    events = [event for event in rig.events() if event.name == "tele"]
    assert 4 <= len(events) <= 6 and all(set(event.fields) == FIELDS["tele"] for event in events)


@pytest.mark.needs("bridged")
def test_events_are_numbered_and_in_order(rig):
    rig.finish(rig.pump.bolus("2 uL", within="2s"))
    events = [event for event in rig.events() if event.name in ("state", "done")]
    assert [event.name for event in events] == ["state", "done", "state"]
    assert [(e.fields["was"], e.fields["state"]) for e in events if e.name == "state"] == [
        ("stopped", "bolus"),
        ("bolus", "stopped"),
    ]
    assert all(set(event.fields) == FIELDS[event.name] for event in events)
    assert [b.number - a.number for a, b in itertools.pairwise(events)] == [1, 1]


@pytest.mark.needs("plant")
def test_events_that_a_host_does_not_read_are_dropped_and_counted(rig):
    rig.afterwards(lambda: rig.pump.telemetry(0))
    rig.pump.telemetry(0.1)
    rig.core.host_reads = False
    rig.wait(9)
    rig.core.host_reads = True
    rig.pump.telemetry(0)
    dropped = [event.fields["events"] for event in rig.events() if event.name == "dropped"]
    assert dropped and 10 < sum(dropped) <= 90
