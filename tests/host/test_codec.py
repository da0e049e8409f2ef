"""The host's codec against the firmware's: they were written apart, and have to agree on every line."""

from __future__ import annotations

from binascii import b2a_base64, crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from haipump.errors import FieldError
from haipump.protocol.codec import (
    SPLIT_MAX,
    Answer,
    Event,
    LineError,
    LineSplitter,
    decode_request,
    encode_request,
    parse_line,
    typed_answer,
    typed_error,
)
from haipump.protocol.schema import ACT, ERRORS, EVENTS, MESSAGES, PREPARE, READ, Field
from haipump_fw.proto import auth, frame

KEY, NONCE = bytes(range(32)), "00000000000000ab"
IDS = st.integers(1, 1_000_000_000)
BASE64 = st.binary(min_size=1, max_size=120).map(lambda data: b2a_base64(data, newline=False).decode())


def values_of(field: Field) -> st.SearchStrategy:
    if field.choices and all(choice.isdigit() for choice in field.choices):
        return st.sampled_from([int(choice) for choice in field.choices])
    if field.choices:
        return st.sampled_from(field.choices)
    if field.bounds:
        return st.integers(*field.bounds)
    kind, _, length = field.form.partition(":")
    if kind == "b64":
        return BASE64
    letters = {"hex": "0123456789abcdef", "word": "abcdefghijklmnopqrstuvwxyz0123456789_.-"}[kind]
    return st.text(letters, min_size=1, max_size=int(length))


@st.composite
def requests(draw):
    """(verb, fields, id or None, key or None), all as they may be."""
    message = MESSAGES[draw(st.sampled_from(sorted(MESSAGES)))]
    fields = {}
    for name, field in message.request.items():
        if not field.optional or draw(st.booleans()):
            fields[name] = draw(values_of(field))
    may_lack_id = message.kind not in (PREPARE, ACT)
    id = None if may_lack_id and draw(st.booleans()) else draw(IDS)
    return message.verb, fields, id, draw(st.sampled_from([None, KEY]))


def encoded(request) -> bytes | None:
    verb, fields, id, key = request
    try:
        return encode_request(verb, fields, id=id, key=key, nonce=NONCE)
    except FieldError as failure:
        assert "bytes" in failure.what  # all fields at their longest do not fit into one line
        return None


@given(requests())
def test_the_firmware_reads_what_the_host_writes(request_) -> None:
    line = encoded(request_)
    if line is None:
        return
    verb, fields, id, key = request_
    read = frame.read(line[:-1])
    got = {
        name: b2a_base64(v, newline=False).decode() if isinstance(v, bytes) else v for name, v in read.fields().items()
    }
    assert (read.verb, read.id) == (verb, id)
    assert {name: str(value) for name, value in got.items()} == {name: str(value) for name, value in fields.items()}
    signed = key is not None and id is not None and MESSAGES[verb].kind != READ and verb != "stop"
    assert (read.mac is not None) == signed
    if signed:
        assert auth.same(read.mac, auth.mac(KEY, NONCE, read.signed))
    assert decode_request(line[:-1]) == (verb, id, fields)


@st.composite
def damaged(draw):
    """A valid line with some changes, the checksum made right again or not."""
    line = encoded(draw(requests())) or b"status\n"
    body = bytearray(line[:-1])
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        kind = draw(st.sampled_from(["insert", "drop", "swap", "repeat"]))
        if kind == "insert":
            body[at:at] = draw(
                st.sampled_from([b" ", b"=", b"0", b"-", b"@", b"*", b"\x00", b"\xff", b"1", b"a", b"A", b"~"])
            )
        elif kind == "drop":
            del body[at : at + 1]
        elif kind == "swap" and at < len(body):
            body[at] = draw(st.integers(0, 255))
        elif kind == "repeat":
            body[at:at] = body[max(0, at - draw(st.integers(1, 20))) : at]
    if draw(st.booleans()):
        head = bytes(body).rpartition(b" *")[0] or bytes(body)
        body = bytearray(head + b" *%08x" % crc32(head))
    return bytes(body).replace(b"\n", b"").replace(b"\r", b"")


@given(damaged())
@example(b"@1 status *" + b"%08x" % crc32(b"@1 status"))
@example(b"@01 status *" + b"%08x" % crc32(b"@01 status"))
@example(b"@0 status *" + b"%08x" % crc32(b"@0 status"))
@example(b"@1  status *" + b"%08x" % crc32(b"@1  status"))
@example(b"order id=007")
@example(b"order id=+7")
@example(b"order id=1e3")
@example(b"log seq=-0")
@example(b"@1 status")
@example(b"status *" + b"%08x" % crc32(b"status"))
@example(b"pause *" + b"%08x" % crc32(b"pause"))
@example(b"#1 status *" + b"%08x" % crc32(b"#1 status"))
@example(b"status ")
@example(b" status")
@example(b"STATUS")
@example(b"status *")
@example(b"status *12345678")
@example(b"")
def test_both_accept_and_refuse_the_same_lines(line: bytes) -> None:
    try:
        verb, _, id, _ = frame.parse(line)
        theirs = (verb, id)
    except frame.Refused:
        theirs = None
    try:
        ours = decode_request(line)[:2]
    except LineError:
        ours = None
    assert ours == theirs


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    for read in (decode_request, parse_line):
        try:
            read(line)
        except LineError as failure:
            assert failure.code in ERRORS


# --- what the pump says


@given(st.sampled_from(sorted(MESSAGES)), IDS | st.none(), st.integers(-(10**18), 10**18))
def test_the_host_reads_the_firmwares_answers(verb: str, id: int | None, number: int) -> None:
    types = MESSAGES[verb].answer
    pairs = [
        (name, number if form == "int" else b"\x01\x02" if form == "b64" else "ab1") for name, form in types.items()
    ]
    line = frame.answer(id, [*pairs, ("from_the_future", 1)])
    if b"cut=1" in line:
        return
    answer = parse_line(line[:-1])
    assert isinstance(answer, Answer) and answer.ok and answer.checked and answer.id == id
    got = typed_answer(verb, answer)
    assert got.pop("from_the_future") == "1"
    assert got == {name: "AQI=" if isinstance(value, bytes) else value for name, value in pairs}


@given(st.sampled_from(sorted(ERRORS)), IDS | st.none(), st.integers(-(10**9), 10**9))
def test_the_host_reads_the_firmwares_errors(code: str, id: int | None, number: int) -> None:
    line = frame.error(id, code, "stopped", [("what", "max_bolus_nl"), ("maximum", number)])
    answer = parse_line(line[:-1])
    assert isinstance(answer, Answer) and not answer.ok and answer.code == code
    assert typed_error(answer) == {"code": code, "what": "max_bolus_nl", "state": "stopped", "maximum": number}


@given(st.sampled_from(sorted(EVENTS)), st.integers(1, 10**9), st.integers(-(10**9), 10**9))
def test_the_host_reads_the_firmwares_events(name: str, count: int, number: int) -> None:
    pairs = [(field, number if form == "int" else "bolus") for field, form in EVENTS[name].items()]
    event = parse_line(frame.event(count, name, pairs)[:-1])
    assert event == Event(count, name, dict(pairs))


@pytest.mark.parametrize(
    "line",
    [
        b"@1 ok state=stopped",  # no checksum
        b"@1 maybe state=stopped",
        b"#x state state=stopped",
        b"@1 ok state=a state=b",
        b"@1 ok state",
        b"# refused: in use by 127.0.0.1:4711",
    ],
)
def test_what_is_no_line_of_the_pump(line: bytes) -> None:
    body = line if b"no checksum" in line or line == b"@1 ok state=stopped" else line + b" *%08x" % crc32(line)
    with pytest.raises(LineError):
        parse_line(body)


@pytest.mark.parametrize("change", [{"next_id": "x"}, {"next_id": None}])
def test_an_answer_with_a_missing_or_wrong_field_is_refused(change) -> None:
    fields = {"protocol": "1", "firmware": "1", "device": "a", "boot": "1", "next_id": "1", "locked": "0", "nonce": "a"}
    fields = {name: value for name, value in (fields | change).items() if value is not None}
    with pytest.raises(LineError) as caught:
        typed_answer("hello", Answer(1, True, fields, True))
    assert caught.value.code == "field"


# --- writing


@pytest.mark.parametrize(
    ("verb", "fields", "id"),
    [
        ("bogus", {}, 1),
        ("pause", {}, None),
        ("pause", {}, 0),
        ("pause", {}, 1_000_000_001),
        ("prepare_bolus", {}, 1),
        ("prepare_bolus", {"volume_nl": 0}, 1),
        ("prepare_bolus", {"volume_nl": 100_000_001}, 1),
        ("prepare_bolus", {"volume_nl": True}, 1),
        ("prepare_bolus", {"volume_nl": "5"}, 1),
        ("prepare_bolus", {"volume_nl": 1, "extended": 2}, 1),
        ("prepare_bolus", {"volume_nl": 1, "colour": 2}, 1),
        ("prepare_rate", {"rate_nl_per_day": 1, "at_end": "never"}, 1),
        ("settings", {"name": "A B"}, 1),
        ("settings", {"name": 5}, 1),
        ("part", {"offset": 0, "data": "AB"}, 1),
    ],
)
def test_no_wrong_line_is_ever_written(verb: str, fields: dict, id: int | None) -> None:
    with pytest.raises(FieldError):
        encode_request(verb, fields, id=id)


# --- cutting a stream into lines


@given(st.binary(max_size=400), st.lists(st.integers(1, 60)))
def test_the_lines_do_not_depend_on_the_chunks(data: bytes, sizes: list[int]) -> None:
    whole, parts, at = LineSplitter(), LineSplitter(), 0
    expected, got = whole.feed(data), []
    for size in sizes:
        got += parts.feed(data[at : at + size])
        at += size
    assert got + parts.feed(data[at:]) == expected
    assert parts.partial == whole.partial


def test_an_endless_line_costs_no_memory_and_ends() -> None:
    splitter = LineSplitter()
    for _ in range(100):
        assert splitter.feed(b"x" * SPLIT_MAX) == []
    assert len(splitter.partial) <= SPLIT_MAX
    assert splitter.feed(b"rest\r\nnext\n") == [b"next"]
    assert splitter.dropped == 1
