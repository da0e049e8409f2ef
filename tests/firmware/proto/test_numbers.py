"""The grammar of numbers, in every field of every message that is one: what is not written plainly is refused, and at
once. A hundred thousand random frames besides."""

from __future__ import annotations

import random

import pytest

from haipump_fw.proto.messages import LINE_MAX
from tests.firmware.proto.support import TABLE, VERBS, Talk, request_fields, seal, value_text
from tools.measure_garbage import garbage

NUMBERS = [
    "007", "00", "0.", ".5", "1.0", "1e3", "1E3", "+1", "-0", "--1", "-", "NaN", "nan", "inf", "1,5", "1_000",
    "0x10", "0b1", "", "'1'", "1;", "1%d", "%s", "{}", "None", "true", "9" * 16, "9" * 60, "1" + "0" * 100,
    "-" + "9" * 40,
]  # fmt: skip
FIELDS = [(verb, name) for verb in VERBS for name, kind, _ in request_fields(verb) if ".." in kind]
FRAMES = 100_000


@pytest.mark.requirement("A21", "GIP-3.2.4")
@pytest.mark.parametrize(("verb", "name"), FIELDS)
def test_a_number_that_is_none_is_refused_in_every_field(verb: str, name: str):
    for number in NUMBERS:
        words = [verb]
        for other, kind, optional in request_fields(verb):
            if other == name:
                words.append(f"{name}={number}")
            elif not optional:
                words.append(f"{other}={value_text(kind, other == 'sha256')}")
        text = " ".join(words)
        assert len(text) < LINE_MAX - 20
        talk = Talk()
        answer = talk.ask(seal(f"@1 {text}"))
        assert answer.word == "err" and answer.code in ("field", "range", "syntax"), text
        assert (answer.code == "range") == number.startswith(("9", "10")) or number.startswith("-9"), text
        assert talk.app.executed == talk.app.reads == talk.app.reserved == []


def test_there_are_many_such_fields():
    assert len(FIELDS) > 40 and {"prepare_rate", "prepare_bolus", "prepare_limits"} < {verb for verb, _ in FIELDS}


@pytest.mark.trials
@pytest.mark.parametrize("locked", [False, True])
def test_a_hundred_thousand_random_frames_execute_nothing(locked: bool):
    """Half of them to an open session, half to a locked one, which gets whole ones with a wrong code as well."""
    rng = random.Random(31 + locked)
    talk = Talk(next_id=500, key=bytes(range(32)) if locked else None, locked=locked)
    pieces = garbage(rng, 500, locked)
    lines = 0
    while lines < FRAMES // 2:
        data = next(pieces)
        lines += data.count(b"\n")
        for at in range(0, len(data), 64):
            talk.send(data[at : at + 64])
            while talk.session.work():
                talk.take()
    assert talk.app.executed == talk.app.reserved == [] and talk.session.last_id == 499
    assert talk.session.wrong > lines // 2
    talk.send(b"\n")
    talk.run()
    assert talk.ask(b"clock\n").ok
    assert all(TABLE[verb][1] == 0 for verb, _ in talk.app.reads)
