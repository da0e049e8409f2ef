"""The firmware's codec and the host's were written apart from each other: here they judge the same bytes."""

from __future__ import annotations

import base64
import random
import re
from typing import Any

import pytest

from haipump.errors import FieldError
from haipump.protocol import codec, schema
from haipump_fw.proto import auth, frame
from haipump_fw.proto.messages import ID_MAX
from haipump_fw.proto.table import EVENTS
from tests.firmware.proto.support import (
    ACT,
    PLAUSIBLE_ID,
    PREPARE,
    TABLE,
    VERBS,
    Refused,
    answer_pairs,
    request_fields,
    sample,
    seal,
    value_text,
)

MUTATIONS = 10_000


def by_host(line: bytes) -> tuple | None:
    """What the host's codec makes of a request, or None. Only the rules that hold for requests alone are added here."""
    try:
        parsed = codec.parse_frame(line)
        message = schema.MESSAGES.get(parsed.words[0])
        if message is None or len(parsed.words) != 1 or parsed.mark == "#" or (parsed.mark == "@") != parsed.checked:
            return None
        if parsed.number is not None and not 1 <= parsed.number <= ID_MAX:
            return None
        if message.kind in (PREPARE, ACT) and parsed.number is None:
            return None
        pairs = dict(parsed.pairs)
        if message.kind in (PREPARE, ACT) and list(pairs)[-1:] == ["mac"]:
            if not re.fullmatch("[0-9a-f]{16}", pairs.pop("mac")):
                return None
        numbers = {name for name, field in message.request.items() if field.bounds}
        values: dict[str, Any] = {
            name: int(text) if name in numbers and re.fullmatch("0|-?[1-9][0-9]*", text) else text
            for name, text in pairs.items()
        }
        fields: dict[str, Any] = message.check(values)
        for name, field in message.request.items():
            if name in fields and field.form.startswith("b64"):
                text = fields[name]
                fields[name] = base64.b64decode(text, validate=True)
                if base64.b64encode(fields[name]).decode() != text:
                    return None
    except (codec.LineError, FieldError, ValueError):
        return None
    return message.verb, message.kind, parsed.number, fields


def by_firmware(line: bytes) -> tuple | None:
    try:
        return frame.parse(line)
    except Refused:
        return None


def mutated(text: bytes, rng: random.Random) -> bytes:
    """Up to two small changes: a bit, a byte lost, doubled, put in, or two tokens swapped."""
    data = bytearray(text)
    for _ in range(rng.randint(0, 2)):
        at = rng.randrange(len(data)) if data else 0
        change = rng.randrange(6)
        if change == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif change == 1 and data:
            del data[at]
        elif change == 2:
            data[at:at] = data[at : at + 1]
        elif change == 3:
            data.insert(at, rng.choice(b"@#*=- 0917az._/\x00\xff"))
        elif change == 4:
            words = data.split(b" ")
            first, second = rng.randrange(len(words)), rng.randrange(len(words))
            words[first], words[second] = words[second], words[first]
            data = bytearray(b" ".join(words))
        elif data:
            data[at] = rng.choice(b"0123456789")
    # A CR ends a line, so no line holds one.
    return bytes(data).replace(b"\r", b"?")


def test_both_codecs_take_and_refuse_the_same_lines():
    rng = random.Random(20)
    accepted = 0
    for at in range(MUTATIONS):
        verb = VERBS[at % len(VERBS)]
        text, _ = sample(verb, largest=rng.random() < 0.5, optional=rng.random() < 0.5)
        body = f"@{rng.choice([1, 7, ID_MAX])} {text}"
        if rng.random() < 0.2:
            body += " mac=0123456789abcdef"
        elif rng.random() < 0.1:
            body = body.split(" ", 1)[1]
        raw = body.encode()
        # Most get their checksum after the mutation: else it would be the only thing tested.
        line = seal(mutated(raw, rng), b"") if rng.random() < 0.8 else mutated(seal(raw, b""), rng)
        if rng.random() < 0.1:
            line = mutated(raw, rng)
        expected = by_host(line)
        assert by_firmware(line) == expected, line
        accepted += expected is not None
    assert MUTATIONS // 20 < accepted < MUTATIONS // 2, "neither all nor nothing is accepted"


@pytest.mark.parametrize("verb", VERBS)
def test_the_firmware_reads_what_the_host_writes(verb: str):
    key, nonce = bytes(range(32)), "0123456789abcdef"
    for name, kind, _ in request_fields(verb) + [("", "", True)]:
        texts = {other: value_text(form, False) for other, form, optional in request_fields(verb) if not optional}
        if name:
            texts[name] = value_text(kind, True)
        forms = {other: form for other, form, _ in request_fields(verb)}
        values = {other: int(text) if ".." in forms[other] else text for other, text in texts.items()}
        line = codec.encode_request(verb, values, id=7, key=key, nonce=nonce)
        request = frame.read(line[:-1])
        assert (request.verb, request.id) == (verb, 7)
        assert set(request.fields()) == set(values)
        if TABLE[verb][1] in (PREPARE, ACT):
            assert request.mac == auth.mac(key, nonce, request.signed)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("number", [None, PLAUSIBLE_ID])
def test_the_host_reads_what_the_firmware_answers(verb: str, number: int | None):
    pairs = answer_pairs(verb)
    answer = codec.parse_line(frame.answer(number, pairs)[:-1])
    assert isinstance(answer, codec.Answer)
    assert (answer.id, answer.ok, answer.checked) == (number, True, True)
    expected = {name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in pairs}
    assert codec.typed_answer(verb, answer) == expected


def test_the_host_reads_refusals():
    line = frame.error(7, "range", "stopped", [("field", "ramp_s"), ("minimum", -1), ("what", "form")])
    answer = codec.parse_line(line[:-1])
    assert isinstance(answer, codec.Answer)
    assert (answer.id, answer.ok, answer.code) == (7, False, "range")
    assert codec.typed_error(answer)["minimum"] == -1


@pytest.mark.parametrize(("name", "spec"), EVENTS)
def test_the_host_reads_events(name: str, spec: str):
    pairs = answer_pairs(name, spec)
    assert codec.parse_line(frame.event(12, name, pairs)[:-1]) == codec.Event(12, name, dict(pairs))
