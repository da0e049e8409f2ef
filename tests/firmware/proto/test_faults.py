"""Serial faults against a recording app: nothing is executed that was not sent (an unsent stop excepted), nothing
twice, and the link works again with the next clean line.

Exhaustive over every byte of one line of each message (8 bit flips, lost, doubled, a byte put in), every split of a
conversation into chunks, and random bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haipump_fw.proto.messages import ACT, LINE_MAX, PREPARE, READ
from tests.firmware.proto.support import NONCE, TABLE, VERBS, Answer, Talk, sample, seal

KEY = bytes(range(32))
SINGLE_FAULTS_MIN = 13_000
BLOB = b"haipump-programme 1\nperiod_s 60\n"
SHA256 = hashlib.sha256(BLOB).hexdigest()
_INSERTED = (0x0A, 0x21, 0x30)  # LF, "!", "0"

_BEGIN = f"part_begin what=programme size={len(BLOB)} sha256={SHA256}"
_PART = "part offset=0 data=" + base64.b64encode(BLOB).decode()
_PROGRAMME = f"prepare_programme sha256={SHA256}"
_PREPARE = "prepare_rate rate_nl_per_day=1300000 ramp_s=0"
# What has to be said before a message, and afterwards to see what it did.
_BEFORE = {"part": [_BEGIN], "prepare_programme": [_BEGIN, _PART], "commit": [_PREPARE]}
_TEXTS = {"part_begin": _BEGIN, "part": _PART, "prepare_programme": _PROGRAMME}
_AFTER = {"part_begin": [_PART, _PROGRAMME], "part": [_PROGRAMME]}
_ID = 5


def faults(line: bytes) -> Iterator[bytes]:
    """`line` with each single fault."""
    for at in range(len(line)):
        for bit in range(8):
            yield line[:at] + bytes([line[at] ^ 1 << bit]) + line[at + 1 :]
        yield line[:at] + line[at + 1 :]
        yield line[:at] + line[at : at + 1] + line[at:]
        for byte in _INSERTED:
            yield line[:at] + bytes([byte]) + line[at:]


def text_of(verb: str) -> str:
    """A line with all fields that may be there, as far as one line can hold them."""
    if verb == "commit":
        talk = started(verb)
        return "commit token=" + talk.session.token
    short, _ = sample(verb, largest=False)
    return _TEXTS.get(verb) or (short if len(short) < LINE_MAX - 20 else sample(verb, optional=False)[0])


def drain(talk: Talk) -> None:
    """Work without reading: the output holds more than these tests say."""
    while talk.work():
        pass


def started(verb: str) -> Talk:
    """A session in which everything that comes before a message has been said."""
    before = _BEFORE.get(verb, [])
    talk = Talk(next_id=_ID - len(before))
    for at, text in enumerate(before):
        talk.send(seal(f"@{_ID - len(before) + at} {text}"))
    drain(talk)
    return talk


def after_noise(talk: Talk) -> None:
    """The line end that ends whatever the fault left, then a clean line: the link is back."""
    talk.send(b"\n")
    talk.run()
    answer = talk.ask(seal("@99 clock"))
    assert answer.ok and answer.id == 99


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("verb", VERBS)
def test_single_faults_execute_nothing_else(verb: str):
    sent = seal(f"@{_ID} {text_of(verb)}")
    after = b"".join(seal(f"@{_ID + 1 + at} {text}") for at, text in enumerate(_AFTER.get(verb, [])))
    good = started(verb)
    before = list(good.app.executed)
    good.send(sent)
    drain(good)
    done = list(good.app.executed)
    assert len(done) - len(before) == (TABLE[verb][1] in (PREPARE, ACT) and not verb.startswith("part"))
    good.send(after)
    drain(good)
    count = 0
    for broken in faults(sent):
        talk = started(verb)
        app = talk.app
        talk.send(broken)
        drain(talk)
        assert app.executed in (before, done), broken
        assert all(read in good.app.reads for read in app.reads), broken
        # A host without an answer ends the line and sends the same bytes again: executed now, or told that it was.
        talk.send(b"\n" + sent + after)
        drain(talk)
        token_ended = app.stops > 0 and verb == "commit"  # by a stop that the noise made
        assert app.executed == good.app.executed or (token_ended and app.executed == before), broken
        assert app.blobs == good.app.blobs, broken
        assert bool(app.reads) == (TABLE[verb][1] == READ) and bool(app.stops or verb != "stop"), broken
        count += 1
    assert count == (8 + 2 + len(_INSERTED)) * len(sent)


def test_enough_single_faults(capsys: pytest.CaptureFixture[str]):
    count = sum(1 for verb in VERBS for _ in faults(seal(f"@{_ID} {text_of(verb)}")))
    with capsys.disabled():
        sys.stdout.write(f"\nserial faults: {count} single faults over {len(VERBS)} messages\n")
    assert count >= SINGLE_FAULTS_MIN


@pytest.mark.parametrize("verb", [verb for verb in VERBS if TABLE[verb][1] == READ])
def test_single_faults_of_a_line_without_checksum_change_nothing(verb: str):
    for broken in faults(sample(verb, optional=False)[0].encode() + b"\n"):
        talk = Talk()
        talk.send(broken + b"\nclock\n")
        drain(talk)
        assert talk.app.executed == [] and talk.app.reserved == []
        assert talk.app.reads[-1] == ("clock", {})


def test_single_faults_in_locked_mode():
    text = "@5 prepare_kvo"
    code = hmac.new(KEY, f"{NONCE}|{text}".encode(), hashlib.sha256).hexdigest()[:16]
    sent = seal(f"{text} mac={code}")
    for broken in faults(sent):
        talk = Talk(key=KEY, locked=True)
        talk.send(broken)
        drain(talk)
        assert talk.app.executed in ([], [("prepare_kvo", {}, 5)])
        talk.send(b"\n" + sent)
        drain(talk)
        assert talk.app.executed == [("prepare_kvo", {}, 5)]


CONVERSATION = b"hello\r\n" + seal("@4 prepare_kvo") + seal("@5 pause") + b"\n!\n" + seal("@6 resume", b"\r\n")


def replay(chunks: list[bytes]) -> tuple:
    talk = Talk()
    for chunk in chunks:
        talk.send(chunk)
        drain(talk)
    out = talk.take().split(b"\n")[:-1]
    app = talk.app
    # The answer to the stop comes before or after those of the lines before it: it does not wait for their work.
    return app.executed, app.reads, app.reserved, app.stops, app.stop_nows, sorted(out)


def test_all_splits_into_up_to_three_chunks_and_byte_by_byte():
    whole = replay([CONVERSATION])
    executed, reads, reserved, stops, stop_nows, out = whole
    assert executed == [("prepare_kvo", {}, 4), ("pause", {}, 5), ("resume", {}, 6)]
    assert (reads, reserved, stops, stop_nows, len(out)) == ([("hello", {})], [4, 5, 6], 1, 1, 5)
    length = len(CONVERSATION)
    for first in range(length + 1):
        for second in range(first, length + 1):
            chunks = [CONVERSATION[:first], CONVERSATION[first:second], CONVERSATION[second:]]
            assert replay(chunks) == whole, (first, second)
    assert replay([bytes([byte]) for byte in CONVERSATION]) == whole


@pytest.mark.parametrize("at", range(len(CONVERSATION)))
def test_a_conversation_cut_off_and_begun_again(at: int):
    """The line breaks in the middle; the host says hello and sends what it has no answer for once more."""
    talk = Talk()
    talk.send(CONVERSATION[:at])
    talk.run()
    for line in (b"\n", *CONVERSATION.splitlines(keepends=True)):
        talk.send(line)
        talk.run()
    executed = [verb for verb, _, _ in talk.app.executed]
    assert executed == ["prepare_kvo", "pause", "resume"]
    after_noise(talk)


_TEXT = ("pause", "resume", "prepare_kvo", "cancel_bolus", "refill phase=end")
_ORDERS = [seal(f"@{at} {text}") for at, text in enumerate(_TEXT, 1)]


@given(st.data())
@settings(max_examples=150)
def test_orders_lost_swapped_doubled_and_broken(data: st.DataObject):
    """Whatever becomes of them on the way: each at most once, in the order of the ids, and none that was not sent."""
    arrived = data.draw(st.lists(st.sampled_from(_ORDERS), max_size=12))
    stream = bytearray(b"".join(arrived))
    for _ in range(data.draw(st.integers(0, 3))):
        if stream:
            at = data.draw(st.integers(0, len(stream) - 1))
            stream[at] ^= data.draw(st.integers(1, 255))
    talk = Talk()
    position = 0
    out: list[Answer] = []
    while position < len(stream):
        size = data.draw(st.integers(1, 80))
        talk.send(bytes(stream[position : position + size]))
        position += size
        out += [Answer(line) for line in talk.run()]
    numbers = [number for _, _, number in talk.app.executed]
    assert numbers == sorted(set(numbers))
    for verb, _, number in talk.app.executed:
        assert _ORDERS[number - 1].startswith(f"@{number} {verb}".encode())
    for answer in out:
        if answer.ok and answer.id is not None and "left_nl" in answer.fields and answer.fields["order"] != "0":
            assert answer.id in numbers, "said ok without having done it"
    after_noise(talk)


@given(st.lists(st.one_of(st.binary(max_size=400), st.sampled_from(_ORDERS)), max_size=10), st.booleans())
@settings(max_examples=300)
def test_random_bytes_never_get_stuck(chunks: list[bytes], read: bool):
    talk = Talk()
    for chunk in chunks:
        talk.send(chunk)
        if read:
            for line in talk.run():
                Answer(line)
        else:
            talk.work()
    assert all(number <= len(_ORDERS) for _, _, number in talk.app.executed)
    after_noise(talk)


@given(st.binary(max_size=1500))
@settings(max_examples=100)
def test_every_line_of_noise_gets_at_most_one_answer(data: bytes):
    talk = Talk()
    answers = 0
    for byte in data + b"\n":
        talk.send(bytes([byte]))
        answers += len(talk.run())
    lines = [line for line in data.replace(b"\r", b"\n").split(b"\n") if line]
    assert answers == len(lines)
    assert talk.app.executed == []
