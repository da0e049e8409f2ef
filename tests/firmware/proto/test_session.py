"""The conversation: who is told what and when, ids, tokens, parts, locked mode, stops, a host that never reads."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.proto.messages import ID_MAX, LINE_MAX, PART_BYTES_MAX, PROGRAMME_BYTES_MAX, TOKEN_VALID_S
from haipump_fw.proto.output import OUTPUT_MAX
from haipump_fw.proto.session import ANSWERS_MAX, ID_AHEAD_MAX, LINE_IDLE_S, LINES_MAX, TURNED_MAX
from tests.firmware.proto.support import (
    ACT,
    DEVICE,
    NONCE,
    PREPARE,
    READ,
    TABLE,
    VERBS,
    Answer,
    Refused,
    Talk,
    answer_pairs,
    sample,
    seal,
)

KEY = bytes(range(100, 132))
NOT_ALONE = {"prepare_programme", "prepare_settings"}  # needs parts; does not fit one line with all its options
RATE = "prepare_rate rate_nl_per_day=1300000 ramp_s=0"


def held(talk: Talk, free: int) -> None:
    """Leave exactly `free` bytes in the output."""
    count = talk.session._output.free() - free
    assert talk.session._output.put(b"x" * (count - 1) + b"\n")


def stuck(talk: Talk) -> None:
    """Fill the output until not even the answer to a stop fits."""
    held(talk, 10)


# --- reading


def test_hello_tells_what_the_session_knows_around_what_the_app_knows():
    talk = Talk(next_id=41)
    answer = talk.ask(b"hello\n")
    assert (answer.id, answer.word) == (None, "ok")
    assert answer.fields == {
        "protocol": "1",
        "firmware": "0.1.0",
        "device": DEVICE,
        "boot": "7",
        "next_id": "41",
        "locked": "0",
        "nonce": NONCE,
    }
    names = [text.split("=")[0] for text in TABLE["hello"][3].split()]
    assert [*(name for name, _ in answer.pairs), "proof"] == names, "the proof is for a pump with a key"
    talk.session.locked = True
    assert talk.ask(b"hello\n").fields["locked"] == "1"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if TABLE[verb][1] == READ])
def test_reading_with_id_without_id_and_refused(verb: str):
    talk = Talk()
    text, fields = sample(verb)
    plain = talk.ask(text.encode() + b"\n")
    assert plain.ok and plain.id is None
    for _ in range(2):  # an id of a READ is only repeated: never old, never used up
        assert talk.ask(seal(f"@9 {text}")).id == 9
    assert talk.app.reads == [(verb, fields)] * 3
    talk.app.refuse[verb] = Refused("state", [("order", 3)])
    refused = talk.ask(text.encode() + b"\n")
    assert refused.line.startswith(b"err code=state state=stopped order=3 *")
    assert talk.app.reserved == [] and talk.app.executed == []
    assert talk.order("pause", 1).ok


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n", b"\n\n\r\r\n"])
def test_line_ends(end: bytes):
    talk = Talk()
    talk.send(b"clock" + end + b"clock" + end)
    assert len(talk.run()) == 2


def test_only_n_bytes_of_the_buffer_count():
    talk = Talk()
    talk.session.bytes_in(b"clock\nclock\n", 6)
    assert len(talk.run()) == 1
    talk.session.bytes_in(b"clock\n", 0)
    assert talk.run() == []


def test_it_is_known_that_a_line_has_begun():
    talk = Talk()
    for data, begun in (
        (b"", False),
        (b"clo", True),
        (b"ck", True),
        (b"\n", False),
        (b"clock\nst", True),
        (b"\n", False),
    ):
        talk.session.bytes_in(data, len(data))
        assert bool(talk.session.begun()) == begun, data


# --- executing


@pytest.mark.parametrize("verb", [verb for verb in VERBS if TABLE[verb][1] == ACT and verb != "commit"])
def test_one_step_orders_are_executed_once_after_their_id_is_reserved(verb: str):
    talk = Talk()
    text, fields = sample(verb)
    answer = talk.order(text)
    assert answer.ok and answer.id == 1
    assert answer.fields == {name: str(value) for name, value in answer_pairs(verb)}
    assert talk.app.executed == [(verb, fields, 1)]
    assert talk.app.reserved == [1]


@pytest.mark.requirement("CS-REQ-9/12", "R3")
@pytest.mark.parametrize("verb", sorted(set(VERBS[VERBS.index("prepare_rate") : VERBS.index("commit")]) - NOT_ALONE))
def test_prepare_and_commit(verb: str):
    talk = Talk()
    text, fields = sample(verb)
    opened = talk.order(text)
    names = [name for name, _ in opened.pairs]
    assert names == [part.rstrip("?").split("=")[0] for part in TABLE[verb][3].split()]
    assert opened.fields["valid_s"] == str(TOKEN_VALID_S)
    normalised = " ".join(f"{name}={value}" for name, value in opened.pairs[3:])
    assert opened.fields["hash"] == f"{zlib.crc32(normalised.encode()):08x}"
    assert talk.app.blobs == [None]
    done = talk.order(f"commit token={opened.fields['token']}")
    assert done.fields == {"state": "infusing", "order": "2"}
    assert talk.app.executed == [(verb, fields, 1), ("commit", {"plan": (verb, fields)}, 2)]
    again = talk.order(f"commit token={opened.fields['token']}")
    assert again.code == "token" and len(talk.app.executed) == 2


def test_a_token_is_never_the_one_before():
    tokens = set()
    for boot_nonce in (NONCE, "ff" + NONCE[2:]):
        talk = Talk(nonce=boot_nonce)
        tokens |= {talk.order(RATE).fields["token"] for _ in range(200)}
    assert len(tokens) == 400


def test_a_token_is_good_for_thirty_seconds():
    for late, code in ((TOKEN_VALID_S, None), (TOKEN_VALID_S + 1, "token")):
        talk = Talk()
        token = talk.order(RATE).fields["token"]
        talk.app.seconds += late
        answer = talk.order(f"commit token={token}")
        assert answer.code == code
        assert len(talk.app.executed) == (1 if code else 2)
    assert answer.fields["what"] == "expired"
    assert talk.order(f"commit token={token}").pairs[1] != ("what", "expired")


def test_what_was_prepared_and_waits_for_its_commit_is_told():
    talk = Talk()
    assert talk.session.pending_s() == -1
    token = talk.order(RATE).fields["token"]
    assert talk.session.pending_s() == 0
    talk.app.seconds += TOKEN_VALID_S
    assert talk.session.pending_s() == TOKEN_VALID_S
    talk.app.seconds += 1
    assert talk.session.pending_s() == -1, "expired"
    talk.app.seconds -= 1
    assert talk.order(f"commit token={token}").code is None
    assert talk.session.pending_s() == -1


def test_a_wrong_token_leaves_the_open_one_alone():
    talk = Talk()
    token = talk.order(RATE).fields["token"]
    assert talk.order("commit token=0").code == "token"
    assert talk.order(f"commit token={token}").ok


def test_a_refused_commit_uses_the_token_up():
    talk = Talk()
    token = talk.order(RATE).fields["token"]
    talk.app.refuse["commit"] = Refused("state")
    assert talk.order(f"commit token={token}").code == "state"
    del talk.app.refuse["commit"]
    assert talk.order(f"commit token={token}").code == "token"


@pytest.mark.parametrize(
    ("between", "survives"),
    [
        ("silence", True),
        ("part_begin what=programme size=1 sha256=" + "0" * 64, True),
        ("pause", False),
        ("ack", False),
        ("lock", False),
        (RATE, False),
        ("prepare_kvo", False),
    ],
)
def test_what_ends_an_open_token(between: str, survives: bool):
    talk = Talk()
    token = talk.order(RATE).fields["token"]
    assert talk.order(between).ok
    assert talk.order(f"commit token={token}").ok == survives


def test_refused_orders_and_the_open_token():
    talk = Talk()
    talk.app.refuse = {"pause": Refused("state"), "prepare_kvo": Refused("state")}
    token = talk.order(RATE).fields["token"]
    assert not talk.order("pause").ok
    assert talk.order(f"commit token={token}").ok, "a refused order changes nothing"
    token = talk.order(RATE).fields["token"]
    assert not talk.order("prepare_kvo").ok
    assert talk.order(f"commit token={token}").code == "token", "who asked for another plan does not want this one"


@pytest.mark.parametrize("stop", [b"stop\n", b"!\n", b"@1 stop\n", b"stop x *1\n"])
def test_every_stop_ends_the_token(stop: bytes):
    talk = Talk()
    token = talk.order(RATE).fields["token"]
    talk.send(stop)
    talk.run()
    assert talk.order(f"commit token={token}").code == "token"
    assert [verb for verb, _, _ in talk.app.executed] == ["prepare_rate"]


def test_the_app_can_end_the_token():
    talk = Talk()
    token = talk.order(RATE).fields["token"]
    talk.session.drop_token()
    assert talk.order(f"commit token={token}").code == "token"


# --- ids


def test_the_same_line_again_is_answered_from_memory():
    talk = Talk()
    first = talk.order("pause", 1)
    talk.app.state = "paused"
    assert talk.order("pause", 1).line == first.line
    assert talk.app.executed == [("pause", {}, 1)]


def test_a_prepare_again_gives_the_same_token():
    talk = Talk()
    first = talk.order(RATE, 1)
    assert talk.order(RATE, 1).line == first.line
    assert talk.order(f"commit token={first.fields['token']}", 2).ok


def test_the_same_id_with_other_bytes_is_refused():
    talk = Talk()
    assert talk.order("pause", 1).ok
    answer = talk.order("resume", 1)
    assert (answer.code, answer.fields["next_id"]) == ("reused", "2")
    assert talk.app.executed == [("pause", {}, 1)]


def test_old_ids_are_stale():
    talk = Talk(next_id=10)
    for number in (9, 1):
        answer = talk.order("pause", number)
        assert (answer.code, answer.fields["next_id"], answer.id) == ("stale", "10", number)
    assert talk.app.executed == []
    for number in range(10, 10 + ANSWERS_MAX + 1):
        assert talk.order("pause", number).ok
    assert talk.order("pause", 10).code == "stale"
    assert talk.order("pause", 11).ok, "from memory"
    assert talk.order("resume", 11).code == "reused"
    assert len(talk.app.executed) == ANSWERS_MAX + 1


@pytest.mark.requirement("A25")
def test_after_a_reboot_no_former_id_is_executed():
    before = Talk()
    assert before.order("pause", 1).ok
    after = Talk(next_id=101)
    assert after.order("pause", 1).code == "stale"
    assert after.order("pause", 100).code == "stale"
    assert after.app.executed == []
    assert after.order("pause", 101).ok


def test_ids_may_leave_gaps_but_not_jump_away():
    talk = Talk()
    assert talk.order("pause", 5).ok
    answer = talk.order("pause", 5 + ID_AHEAD_MAX + 1)
    assert answer.code == "range"
    assert answer.fields["minimum"] == "6" and answer.fields["maximum"] == str(5 + ID_AHEAD_MAX)
    assert talk.order("pause", 5 + ID_AHEAD_MAX).ok
    assert len(talk.app.executed) == 2


def test_the_last_id_of_all():
    talk = Talk(next_id=ID_MAX)
    assert talk.order("pause", ID_MAX).ok
    assert talk.order("pause", ID_MAX).ok, "from memory"
    assert talk.order("pause", ID_MAX - 20).code == "stale"
    assert len(talk.app.executed) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pause x=1", "field"),
        ("prepare_rate", "field"),
        ("prepare_rate rate_nl_per_day=0 ramp_s=0", "range"),
        ("pauze", "unknown"),
        ("pause  ", "syntax"),
        ("part_begin what=programme size=1 sha256=00", "field"),
        ("set_key key=" + "0" * 63, "field"),
    ],
)
def test_a_line_that_could_not_be_read_leaves_the_id_free(text: str, code: str):
    talk = Talk()
    assert talk.order(text, 1).code == code
    assert talk.ask(b"@1 pause *00000000\n").code == "crc"
    assert talk.ask(b"@1 pause\n").code == "crc"
    assert talk.ask(b"pause\n").code == "id"
    assert talk.app.executed == [] and talk.app.reserved == []
    assert talk.order("pause", 1).ok


def test_an_order_that_the_app_refused_uses_the_id_up():
    talk = Talk()
    talk.app.refuse["pause"] = Refused("state", [("why", "nothing runs")])
    first = talk.order("pause", 1)
    assert first.line.startswith(b"@1 err code=state state=stopped why=nothing_runs *")
    del talk.app.refuse["pause"]
    assert talk.order("pause", 1).line == first.line
    assert talk.order("resume", 1).code == "reused"
    assert len(talk.app.executed) == 1


def test_nothing_happens_when_the_id_can_not_be_noted():
    talk = Talk()
    talk.app.refuse["reserve"] = Refused("storage")
    assert talk.order("pause", 1).code == "storage"
    assert talk.app.executed == []
    del talk.app.refuse["reserve"]
    assert talk.order("pause", 1).ok, "the id is still free"


# --- parts


def upload(talk: Talk, blob: bytes, size: int = PART_BYTES_MAX) -> str:
    digest = hashlib.sha256(blob).hexdigest()
    assert talk.order(f"part_begin what=programme size={len(blob)} sha256={digest}").fields["size"] == str(len(blob))
    for at in range(0, len(blob), size):
        data = base64.b64encode(blob[at : at + size]).decode()
        assert talk.order(f"part offset={at} data={data}").fields == {"have": str(min(at + size, len(blob)))}
    return digest


@pytest.mark.requirement("A12")
@pytest.mark.parametrize("length", [1, PART_BYTES_MAX, PART_BYTES_MAX + 1, PROGRAMME_BYTES_MAX])
def test_a_blob_in_parts(length: int):
    talk = Talk()
    blob = bytes(at % 251 for at in range(length))
    digest = upload(talk, blob)
    opened = talk.order(f"prepare_programme sha256={digest}")
    assert opened.ok and talk.app.blobs == [blob]
    assert talk.order(f"commit token={opened.fields['token']}").ok
    assert talk.order(f"prepare_programme sha256={digest} override=1").ok, "the parts stay until others come"
    assert talk.app.blobs == [blob, blob]


def test_a_shorter_blob_after_a_longer_one():
    talk = Talk()
    upload(talk, b"long" * 100)
    digest = upload(talk, b"short")
    assert talk.order(f"prepare_programme sha256={digest}").ok
    assert talk.app.blobs == [b"short"]


def test_a_part_again_with_its_id_and_with_another():
    talk = Talk()
    digest = hashlib.sha256(b"abcdef").hexdigest()
    assert talk.order(f"part_begin what=programme size=6 sha256={digest}").ok
    first = talk.order("part offset=0 data=YWJj", 5)
    assert talk.order("part offset=0 data=YWJj", 5).line == first.line
    talk.next_id = 6
    other = talk.order("part offset=0 data=YWJj")
    assert other.code == "part"
    assert [other.fields[name] for name in ("what", "have", "size")] == ["offset", "3", "6"]
    assert talk.order("part offset=3 data=ZGVm").fields == {"have": "6"}
    assert talk.order(f"prepare_programme sha256={digest}").ok
    assert talk.app.blobs == [b"abcdef"]


@pytest.mark.requirement("A12")
def test_parts_that_do_not_fit_together():
    talk = Talk()
    right, other = hashlib.sha256(b"abc").hexdigest(), hashlib.sha256(b"abd").hexdigest()

    def refusal(text: str) -> str:
        answer = talk.order(text)
        assert answer.code == "part"
        return answer.fields["what"]

    assert refusal("part offset=0 data=YWJj") == "size", "before part_begin"
    assert refusal("part offset=0 data=YQ==") == "size", "before part_begin, and a single byte"
    assert refusal(f"prepare_programme sha256={right}") == "incomplete"
    assert talk.order(f"part_begin what=programme size=3 sha256={right}").ok
    assert refusal("part offset=3 data=YWJj") == "offset"
    assert refusal("part offset=0 data=YWJjZA==") == "size"
    assert talk.order("part offset=0 data=YWI=").ok
    assert refusal(f"prepare_programme sha256={right}") == "incomplete"
    assert refusal("part offset=2 data=Y2Q=") == "size"
    assert talk.order("part offset=2 data=Yw==").ok
    assert refusal(f"prepare_programme sha256={other}") == "sha256"
    assert talk.order(f"prepare_programme sha256={right}").ok
    assert talk.order(f"part_begin what=programme size=3 sha256={other}").ok
    assert talk.order("part offset=0 data=YWJj").ok
    assert refusal(f"prepare_programme sha256={right}") == "sha256"
    assert refusal(f"prepare_programme sha256={other}") == "sha256"
    assert talk.app.blobs == [b"abc"]


# --- locked mode


def signed(text: str, key: bytes = KEY, nonce: str = NONCE) -> bytes:
    code = hmac.new(key, f"{nonce}|{text}".encode(), hashlib.sha256).hexdigest()[:16]
    return seal(f"{text} mac={code}")


def test_locked_mode_wants_the_code():
    talk = Talk(key=KEY, locked=True)
    for line, code in [
        (seal("@1 pause"), "locked"),
        (signed("@1 pause", key=bytes(32)), "mac"),
        (signed("@1 pause", nonce="00" * 16), "mac"),
        (seal("@1 pause mac=0123456789abcdef"), "mac"),
        (signed("@1 pause").replace(b"pause", b"resume"), "crc"),
    ]:
        assert talk.ask(line).code == code
    assert (talk.app.executed, talk.session.forged) == ([], 4)
    assert talk.ask(signed("@1 pause")).ok
    assert talk.app.executed == [("pause", {}, 1)]
    opened = talk.ask(signed(f"@2 {RATE}"))
    assert talk.ask(signed(f"@3 commit token={opened.fields['token']}")).ok
    assert talk.session.forged == 4


@pytest.mark.requirement("A9")
def test_locked_mode_replayed_lines():
    talk = Talk(key=KEY, locked=True)
    captured = signed("@1 pause")
    first = talk.ask(captured)
    assert talk.ask(captured).line == first.line, "the host that lost the answer is told again"
    assert talk.ask(signed("@1 resume")).code == "reused"
    for number in range(2, ANSWERS_MAX + 2):
        assert talk.ask(signed(f"@{number} pause")).ok
    assert talk.ask(captured).code == "stale"
    assert talk.session.forged == 2
    assert len(talk.app.executed) == ANSWERS_MAX + 1
    rebooted = Talk(next_id=1, key=KEY, locked=True, nonce="ab" * 16)  # even if the ids were lost
    assert rebooted.ask(captured).code == "mac"
    assert (rebooted.app.executed, rebooted.session.forged) == ([], 1)


OPERATOR = hmac.new(KEY, b"operate", hashlib.sha256).digest()

# Every message that changes something, and who may send it to a locked pump; a new one has to be added here.
WHO = {
    "operator": "prepare_rate prepare_bolus prepare_programme prepare_kvo prepare_prime prepare_withdraw prepare_jog"
    " prepare_home prepare_syringe commit part_begin part pause resume cancel_bolus refill silence ack selftest",
    "configurer": "prepare_limits prepare_dose prepare_library prepare_calibration prepare_settings service set_key"
    " lock unlock",
}


@pytest.mark.requirement("CS-REQ-82", "GIP-6.3.x")
def test_who_may_do_what():
    changing = {verb for verb in VERBS if TABLE[verb][1] in (PREPARE, ACT)}
    assert changing == set(" ".join(WHO.values()).split())
    for who, verbs in WHO.items():
        for verb in verbs.split():
            text, _ = sample(verb, largest=False, optional=False)
            for key, may in ((OPERATOR, who == "operator"), (KEY, True)):
                talk = Talk(key=KEY, locked=True)
                code = talk.ask(signed(f"@1 {text}", key=key)).code
                assert (code == "role") == (not may), (verb, code)
                assert code in (None, "role") or (may and code in ("token", "part")), (verb, code)
                assert talk.session.forged == (not may) and (may or not talk.app.executed)


@pytest.mark.requirement("CS-REQ-82")
def test_what_was_prepared_with_the_configure_key_is_not_committed_with_the_operators():
    talk = Talk(key=KEY, locked=True)
    opened = talk.ask(signed("@1 prepare_limits max_bolus_nl=5"))
    commit = f"@2 commit token={opened.fields['token']}"
    assert talk.ask(signed(commit, key=OPERATOR)).code == "role"
    assert [verb for verb, _, _ in talk.app.executed] == ["prepare_limits"]
    assert talk.ask(signed(commit)).ok
    opened = talk.ask(signed(f"@3 {RATE}", key=KEY))
    assert talk.ask(signed(f"@4 commit token={opened.fields['token']}", key=OPERATOR)).ok


@pytest.mark.requirement("OP-EC24")
def test_a_session_ends_three_minutes_after_its_last_order():
    talk = Talk(key=KEY, locked=True)
    for number in range(1, 4):
        talk.app.seconds += 180
        assert talk.ask(signed(f"@{number} pause")).ok
    talk.app.seconds += 180
    for _ in range(5):
        talk.ask(b"status\n")  # reading keeps nothing open
    assert talk.ask(b"hello\n").fields["nonce"] == NONCE
    talk.app.seconds += 1
    late = talk.ask(signed("@4 pause"))
    assert (late.code, late.fields["what"]) == ("mac", "session_over") and talk.session.forged == 0
    nonce = talk.ask(b"hello\n").fields["nonce"]
    assert nonce != NONCE
    assert talk.ask(signed("@4 pause")).code == "mac", "the old session's line is worth nothing in the new one"
    assert talk.ask(signed("@4 pause", nonce=nonce)).ok
    assert len(talk.app.executed) == 4 and talk.session.forged == 1


@pytest.mark.requirement("A9", "OP-EC24")
def test_a_replay_after_the_end_of_its_session_is_counted():
    talk = Talk(key=KEY, locked=True)
    captured = signed("@1 pause")
    assert talk.ask(captured).ok
    talk.app.seconds += 181
    assert talk.ask(captured).code == "mac" and talk.session.forged == 1
    talk.ask(b"hello\n")
    assert talk.ask(captured).code == "mac" and talk.session.forged == 2
    assert len(talk.app.executed) == 1


def test_nobody_can_end_the_session_of_another_by_greeting():
    talk = Talk(key=KEY, locked=True)
    for _ in range(300):
        talk.app.seconds += 1
        assert talk.ask(b"hello\n").fields["nonce"] == (NONCE if talk.app.seconds <= 1180 else f"{2:032x}")
    assert talk.app.nonces_given == 2


@pytest.mark.requirement("A9")
def test_lines_out_of_order_are_refused_and_counted():
    talk = Talk(key=KEY, locked=True)
    lines = [signed(f"@{number} {verb}") for number, verb in enumerate(("pause", "resume", "pause"), 1)]
    assert talk.ask(lines[2]).ok
    assert talk.ask(lines[0]).code == talk.ask(lines[1]).code == "stale"
    assert [verb for verb, _, _ in talk.app.executed] == ["pause"] and talk.session.forged == 2


@pytest.mark.requirement("A8")
def test_every_flipped_bit_of_a_signed_line_is_a_forgery():
    """With a checksum that fits: the code alone has to find it."""
    body = signed("@1 prepare_rate rate_nl_per_day=1300000").rpartition(b" *")[0]
    for at in range(len(body)):
        for bit in range(8):
            talk = Talk(key=KEY, locked=True)
            talk.send(seal(body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]))
            talk.run()
            assert talk.app.executed == [], (at, bit)


@pytest.mark.requirement("A10")
def test_the_pump_proves_that_it_has_the_key():
    talk = Talk(key=KEY, locked=True)
    proof = talk.ask(b"hello challenge=00ff17\n").fields["proof"]
    code = hmac.new(OPERATOR, f"{NONCE}|proof|00ff17".encode(), hashlib.sha256).hexdigest()[:16]
    assert proof == code
    assert talk.ask(b"hello challenge=00ff18\n").fields["proof"] != proof
    assert "proof" not in Talk().ask(b"hello challenge=00ff17\n").fields
    assert "proof" not in talk.ask(b"hello\n").fields


def test_what_was_not_executed_for_its_form_is_counted():
    talk = Talk()
    for line in (b"nonsense\n", b"@1 pause *00000000\n", seal("@1 pause x=1"), b"x" * 300 + b"\n", seal("@0 pause")):
        talk.ask(line)
    assert (talk.session.wrong, talk.session.forged) == (5, 0)
    talk.ask(b"status\n")
    talk.ask(b"stop\n")
    assert talk.order("pause", 1).ok and talk.session.wrong == 5


def test_locked_mode_tells_former_answers_only_to_who_has_the_key():
    talk = Talk()
    assert talk.order("pause", 1).ok
    talk.session.key, talk.session.locked = KEY, True
    assert talk.order("pause", 1).code == "locked"


def test_locked_mode_leaves_reading_and_stopping_open():
    talk = Talk(key=KEY, locked=True)
    assert talk.ask(b"status\n").ok
    assert talk.ask(seal("@1 status")).ok
    assert talk.ask(b"stop\n").ok
    assert talk.app.stops == 1 and talk.session.forged == 0


def test_locked_without_a_key_lets_nothing_through():
    talk = Talk(locked=True)
    assert talk.ask(signed("@1 pause")).code == "mac"
    assert talk.app.executed == []


def test_a_code_that_nobody_asked_for_is_not_looked_at():
    talk = Talk(key=KEY)
    assert talk.ask(seal("@1 pause mac=0123456789abcdef")).ok
    assert talk.app.executed == [("pause", {}, 1)]


# --- stops


@pytest.mark.requirement("R6")
@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"stop\n", None),
        (b"@5 stop *00000000\n", 5),
        (b"@5 stop\r\n", 5),
        (seal("@5 stop"), 5),
        (b"@x stop\n", None),
        (b"stop please \xff\x00 *\n", None),
        (b"  STOP\n", None),
        (b"stop" + b" " * 400 + b"\n", None),
    ],
)
def test_stop_in_every_form(line: bytes, number: int | None):
    talk = Talk()
    text = line.rstrip(b"\r\n")
    talk.send(text)
    assert talk.app.stops == 0
    talk.send(line[len(text) :])
    assert talk.app.stops == 1, "at the end of its line, before anybody calls work()"
    (answer,) = map(Answer, talk.run())
    assert (answer.id, answer.fields) == (number, {"state": "stopped", "order": "0", "left_nl": "0"})
    assert talk.app.stops == 1


@pytest.mark.requirement("R6")
def test_the_motor_stops_at_the_byte_and_the_line_is_answered_once():
    talk = Talk()
    talk.send(b"\n!")
    assert (talk.app.stop_nows, talk.app.stops) == (1, 0)
    assert talk.run() == []
    talk.send(b"! !stop garbage \x03")
    assert talk.app.stop_nows == 1
    talk.send(b"\n")
    assert (talk.app.stop_nows, talk.app.stops) == (1, 1)
    assert len(talk.run()) == 1


@pytest.mark.parametrize("stop", [b"!\n", b"! garbage", b"stop\n", b"STOP\r\n", b"stop now\n"])
def test_a_stop_behind_other_lines_acts_before_they_are_looked_at(stop: bytes):
    talk = Talk()
    seen: list[int] = []
    talk.session._line_over = lambda line, stops: seen.append(talk.app.stop_nows)
    talk.send(b"status\n@1 x\n" + stop)
    assert seen[:2] == [1, 1] and talk.app.stop_nows == 1


@pytest.mark.parametrize("word", [b"stopped\n", b"nonstop\n", b"x stop\n", b"@1 stop\n", b"stop"])
def test_what_is_no_bare_stop_waits_for_its_turn(word: bytes):
    talk = Talk()
    talk.send(b"status\n" + word)
    assert talk.app.stop_nows == 0


def test_an_exclamation_mark_elsewhere_stops_nothing():
    talk = Talk()
    talk.send(b"x!\n@1 !\nsettings name=!\n")
    assert [Answer(line).code for line in talk.run()] == ["syntax", "crc", "field"]
    assert (talk.app.stop_nows, talk.app.stops) == (0, 0)


def test_a_stop_overtakes_waiting_lines():
    talk = Talk()
    talk.send(b"clock\nclock\n@1 pau")
    talk.send(b"\n!\n")
    assert talk.app.stops == 1 and talk.app.reads == []
    answers = [Answer(line) for line in talk.run()]
    assert [answer.fields.get("state") for answer in answers] == ["stopped", None, None, "stopped"]
    assert answers[3].code == "crc"


def test_a_stop_behind_a_full_queue_and_a_full_output():
    talk = Talk()
    stuck(talk)
    talk.send(b"clock\n" * (LINES_MAX + 2) + b"@3 stop\n")
    assert talk.app.stops == 1 and talk.session.lost_lines == 2
    assert not talk.work()
    talk.send(b"@4 stop\n")
    assert talk.app.stops == 2
    assert talk.session.lost_lines == 3  # two clocks and the older stop's answer
    talk.take()
    answers = [Answer(line) for line in talk.run()]
    assert answers[0].id == 4 and answers[0].fields["state"] == "stopped"
    assert len(answers) == 1 + LINES_MAX


def test_a_stop_that_is_refused():
    talk = Talk()
    talk.app.refuse = {"stop": Refused("storage"), "stop_now": Refused("storage")}
    assert talk.ask(b"!\n").code == "storage"
    assert talk.ask(b"@6 stop\n").id == 6
    assert (talk.app.stop_nows, talk.app.stops) == (1, 2)
    assert talk.ask(b"clock\n").ok


# --- bounds


def test_a_line_that_is_not_over_is_told_by_its_bytes():
    talk = Talk()
    talk.send(b"clo")
    assert talk.session.begun() == 3
    talk.send(b"ck\n")
    assert talk.session.begun() == 0


def test_too_many_lines_are_turned_away_with_their_id():
    talk = Talk()
    for at in range(LINES_MAX):
        talk.send(seal(f"@{at + 1} pause"))
    talk.send(seal("@9 pause"))
    talk.send(b"clock\n")
    answers = [Answer(line) for line in talk.run()]
    assert [(answer.code, answer.id) for answer in answers[:2]] == [("busy", 9), ("busy", None)]
    assert [answer.id for answer in answers[2:]] == [1, 2, 3, 4]
    assert len(talk.app.executed) == LINES_MAX
    assert talk.session.lost_lines == 0
    assert talk.order("pause", 9).ok, "the id is still free"


def test_more_lines_than_can_be_turned_away_are_counted():
    talk = Talk()
    talk.send(b"clock\n" * (LINES_MAX + TURNED_MAX + 3))
    assert talk.session.lost_lines == 3
    codes = [Answer(line).code for line in talk.run()]
    assert codes == ["busy"] * TURNED_MAX + [None] * LINES_MAX


def test_idle_is_when_nothing_waits_for_anybody():
    talk = Talk()
    assert talk.session.idle()
    talk.send(b"clo")
    assert talk.session.idle(), "half a line waits for its other half"
    talk.send(b"ck\n")
    assert not talk.session.idle()
    assert talk.work() and not talk.session.idle(), "the answer waits for the host"
    talk.take()
    assert talk.session.idle()
    talk.send(b"x" * 300 + b"\n")
    assert not talk.session.idle()
    assert talk.run() and talk.session.idle()


PARTS = [b"clock\n", b"\n", b"\r\n", b"status\r", b"stop\n", b"!\n", b"z" * 260, b"@"]


@given(st.lists(st.sampled_from(PARTS), max_size=8))
def test_pieces_do_not_matter(parts: list):
    """The same bytes in one piece, one by one, and in pieces of 7: the same stops, and the same lines."""
    data = b"".join(parts) + b"\n"
    told = []
    for size in (len(data), 1, 7):
        talk = Talk()
        for at in range(0, len(data), size):
            talk.send(data[at : at + size])
        # How often the motor is switched off by bytes alone depends on the pieces: once in one that holds a stop.
        switched_off = bool(talk.app.stop_nows or talk.app.stops)
        told.append((talk.run(), talk.app.stops, switched_off, talk.session.lost_lines))
    assert told[0] == told[1] == told[2]


def test_the_longest_line_and_one_byte_more():
    talk = Talk()
    line = "@1 settings name=" + "z" * (LINE_MAX - 27)
    assert len(seal(line)) == LINE_MAX + 1
    assert talk.ask(seal(line)).code == "field"
    answer = talk.ask(seal(line + "z"))
    assert (answer.code, answer.id) == ("too_long", 1)
    assert talk.ask(b"\x00" * 5000 + b"\n").code == "too_long"
    assert talk.ask(b"clock\n").ok


def test_a_too_long_line_without_room_for_the_answer_is_counted():
    talk = Talk()
    stuck(talk)
    talk.send(b"x" * 300 + b"\n")
    assert talk.session.lost_lines == 1
    talk.take()
    assert talk.run() == []
    assert talk.ask(b"clock\n").ok


@pytest.mark.parametrize("data", [b"\x03", b"\x04", b"\x01", b"\r\x03\x03\x01import os\x04", b"\xff" * 20, b"\x1b[A"])
def test_control_bytes_are_data(data: bytes):
    talk = Talk()
    answer = talk.ask(data + b"\n")
    assert answer.code == "syntax"
    assert talk.app.executed == []
    assert talk.ask(b"clock\n").ok


def test_work_waits_for_room_and_goes_on():
    talk = Talk()
    room = 2 * (LINE_MAX + 1)
    held(talk, room - 1)
    talk.send(b"@1 pause *00000000\nclock\n")
    assert not talk.work()
    assert talk.session.send(lambda buf, first, last: 1, 1)
    assert talk.work()
    assert not talk.work(), "the room is taken"
    talk.take()
    assert talk.work()
    assert not talk.work()
    assert len(talk.run()) == 1


def test_a_host_that_never_reads():
    talk = Talk()
    for at in range(300):
        talk.send(seal(f"@{at + 1} pause") + b"status\n" + b"\x00" * 300 + b"\n")
        talk.session.event("button", [("button", "start")])
        while talk.work():
            pass
        if at % 50 == 0:
            talk.send(b"\n!\n")
    assert talk.app.stops == 6
    assert len(talk.app.executed) < 20
    lines = talk.take().split(b"\n")
    assert lines.pop() == b"" and sum(map(len, lines)) <= OUTPUT_MAX
    answers = [Answer(line) for line in lines + talk.run()]
    assert talk.session.conversing() is False
    assert any(answer.word == "dropped" for answer in answers)
    assert talk.ask(b"clock\n").ok


# --- events


def test_events_are_numbered():
    talk = Talk()
    talk.session.event("boot", [("boot", 7), ("reset", "power"), ("state", "stopped")])
    talk.session.event("button", [("button", "stop")])
    first, second = map(Answer, talk.run())
    assert (first.number, first.word, first.fields["reset"]) == (1, "boot", "power")
    assert (second.number, second.word) == (2, "button")


def test_dropped_events_are_told_later():
    talk = Talk()
    line = len(seal("#1 button button=stop"))
    held(talk, 2 * (LINE_MAX + 1) + line)
    for _ in range(4):
        talk.session.event("button", [("button", "stop")])
    assert talk.session._output.free() == 2 * (LINE_MAX + 1), "the first fitted exactly"
    lines = talk.take().split(b"\n")
    assert Answer(lines[1]).number == 1
    (told,) = map(Answer, talk.run())
    assert (told.word, told.number, told.fields["events"]) == ("dropped", 5, "3")
    assert talk.run() == []


def test_dropped_events_are_told_before_the_next_event():
    talk = Talk()
    stuck(talk)
    talk.session.event("button", [("button", "stop")])
    talk.take()
    talk.session.event("button", [("button", "start")])
    told, later = map(Answer, talk.run())
    assert (told.word, told.number, told.fields["events"]) == ("dropped", 2, "1")
    assert (later.number, later.fields["button"]) == (3, "start")


def test_events_leave_room_for_two_answers():
    talk = Talk()
    for _ in range(100):
        talk.session.event("tele", answer_pairs("status"))
    assert talk.session._output.free() >= 2 * (LINE_MAX + 1)
    talk.send(b"status\nstop\n")
    assert talk.work()
    assert talk.app.stops == 1


# --- conversing


def test_conversing():
    talk = Talk()
    assert not talk.session.conversing()
    talk.send(b"x")
    assert talk.session.conversing()
    talk.app.seconds += LINE_IDLE_S
    assert talk.session.conversing()
    talk.app.seconds += 1
    assert not talk.session.conversing(), "noise that nobody ends is no conversation"
    talk.send(b"\n")
    assert talk.session.conversing(), "a line waits"
    talk.run()
    assert not talk.session.conversing()
    talk.order(RATE)
    assert talk.session.conversing(), "a token is open"
    talk.app.seconds += TOKEN_VALID_S
    assert talk.session.conversing()
    talk.app.seconds += 1
    assert not talk.session.conversing()


@pytest.mark.parametrize("verb", [verb for verb in VERBS if TABLE[verb][1] in (PREPARE, ACT)])
def test_nothing_that_changes_something_goes_without_id(verb: str):
    talk = Talk()
    text, _ = sample(verb, optional=False)
    assert talk.ask(text.encode() + b"\n").code == "id"
    assert talk.ask(seal(text)).code == "id"
    assert talk.app.executed == []


def test_parts_that_were_left_are_given_up():
    talk = Talk()
    digest = hashlib.sha256(b"abcdef").hexdigest()
    talk.session.tidy()  # nothing was begun
    assert talk.order(f"part_begin what=programme size=6 sha256={digest}").ok
    talk.app.seconds += 180
    talk.session.tidy()
    assert talk.order("part offset=0 data=YWJj").ok, "three minutes are allowed"
    talk.app.seconds += 181
    talk.session.tidy()
    assert len(talk.session._parts) == 0
    assert talk.order("part offset=3 data=ZGVm").fields["what"] == "offset"
    assert talk.order(f"prepare_programme sha256={digest}").fields["what"] == "incomplete"
