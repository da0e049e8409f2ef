"""One line to a request and back: every message with right and wrong fields, the grammar of numbers, ids, checksums."""

from __future__ import annotations

import base64
import binascii
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from haipump_fw.proto import frame
from haipump_fw.proto.messages import ID_MAX, LINE_MAX, MAC_DIGITS
from haipump_fw.proto.table import ERRORS, EVENTS, MESSAGES
from tests.firmware.proto.support import (
    ACT,
    PLAUSIBLE_ID,
    PREPARE,
    READ,
    TABLE,
    VERBS,
    Answer,
    Refused,
    answer_pairs,
    request_fields,
    sample,
    seal,
    value_text,
)

FIELDS = [(verb, *field) for verb in VERBS for field in request_fields(verb)]
FIELD_IDS = [f"{verb}-{name}" for verb, name, _, _ in FIELDS]
# All options at their longest are more than a line: a host sends them in several orders.
FITTING = [verb for verb in VERBS if len(seal(f"@{ID_MAX} {sample(verb)[0]}")) <= LINE_MAX + 1]


def refusal(line: bytes) -> tuple[str, dict]:
    with pytest.raises(Refused) as caught:
        frame.parse(line)
    return caught.value.code, dict(caught.value.pairs)


def line(text: str) -> bytes:
    return seal(text, b"")


def with_value(verb: str, name: str, raw: str) -> bytes:
    """All required fields of `verb` right, but `name` given as `raw`."""
    words = [verb]
    for other, kind, optional in request_fields(verb):
        if other == name:
            words.append(f"{name}={raw}")
        elif not optional:
            words.append(f"{other}={value_text(kind, False)}")
    return line("@7 " + " ".join(words))


# --- messages


def test_only_the_message_with_all_options_is_longer_than_a_line():
    assert sorted(set(VERBS) - set(FITTING)) == ["prepare_settings"]


@pytest.mark.parametrize("verb", FITTING)
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("optional", [True, False])
def test_right_fields(verb: str, largest: bool, optional: bool):
    text, fields = sample(verb, largest=largest, optional=optional)
    assert frame.parse(line(f"@{ID_MAX} {text}")) == (verb, TABLE[verb][1], ID_MAX, fields)


@pytest.mark.parametrize("verb", VERBS)
def test_a_line_without_id_is_for_reading_and_stopping(verb: str):
    text, fields = sample(verb, optional=False)
    if TABLE[verb][1] in (PREPARE, ACT):
        assert refusal(text.encode()) == ("id", {})
    else:
        assert frame.parse(text.encode()) == (verb, TABLE[verb][1], None, fields)


@pytest.mark.requirement("A4")
@pytest.mark.parametrize("verb", VERBS)
def test_a_required_field_that_is_missing_is_named(verb: str):
    fields = request_fields(verb)
    for name, _, optional in fields:
        if optional:
            continue
        words = [f"{other}={value_text(kind, False)}" for other, kind, _ in fields if other != name]
        assert refusal(line(" ".join(["@7", verb, *words]))) == ("field", {"what": "missing", "field": name})


@pytest.mark.parametrize("verb", FITTING)
def test_a_field_that_is_not_of_the_message(verb: str):
    text, _ = sample(verb, largest=False)
    assert refusal(line(f"@7 {text} speed=1")) == ("field", {"what": "unknown", "field": "speed"})


@pytest.mark.parametrize(("verb", "name", "kind", "optional"), FIELDS, ids=FIELD_IDS)
def test_a_field_twice(verb: str, name: str, kind: str, optional: bool):
    twice = with_value(verb, name, f"{value_text(kind, False)} {name}={value_text(kind, False)}")
    assert refusal(twice) == ("field", {"what": "twice", "field": name})


@pytest.mark.parametrize(("verb", "name", "kind", "optional"), FIELDS, ids=FIELD_IDS)
def test_a_value_that_is_not_of_its_form(verb: str, name: str, kind: str, optional: bool):
    if ":" in kind:
        length = kind.split(":")[1]
        wrong = ["", "AAA", "ä", "x" * (int(length) + 1), "a+b*", "\x7f", "=", "gG"]
    else:
        wrong = ["", "007", "0.", ".5", "1e3", "+1", "-0", "NaN", "1,000", "1_000", "0x10", "１", "--1", "-", "1.0"]
    for raw in wrong:
        assert refusal(with_value(verb, name, raw)) == ("field", {"what": "form", "field": name}), raw


@pytest.mark.parametrize(("verb", "name", "kind", "optional"), FIELDS, ids=FIELD_IDS)
def test_a_value_outside_its_range_is_refused_with_the_range(verb: str, name: str, kind: str, optional: bool):
    if ".." not in kind:
        return
    low, high = map(int, kind.split(".."))
    outside = [high + 1, 10**15 - 1, 10**15, 10**60, -(10**60)] + ([low - 1] if low else [])
    for value in outside:
        if value < 0 <= low:
            assert refusal(with_value(verb, name, str(value)))[0] == "field"
        else:
            expected = ("range", {"field": name, "minimum": low, "maximum": high})
            assert refusal(with_value(verb, name, str(value))) == expected, value
    for value in (low, high):
        assert frame.parse(with_value(verb, name, str(value)))[3][name] == value


def test_choices_of_digits_are_numbers():
    fields = frame.parse(line("@1 prepare_bolus volume_nl=1 extended=0 override=1"))[3]
    assert fields == {"volume_nl": 1, "extended": 0, "override": 1}


def test_every_error_code_is_in_the_table():
    codes = {code for code, _ in ERRORS}
    assert {"syntax", "crc", "too_long", "unknown", "field", "range", "id"} <= codes


# --- grammar


@pytest.mark.requirement("A21", "R4")
@pytest.mark.parametrize("raw", ["0", "7", "10", "100000000000", "999999999999999"])
def test_whole_numbers(raw: str):
    assert frame.number(raw.encode()) == int(raw)


@pytest.mark.requirement("R4")
def test_numbers_below_zero_only_where_they_are_wanted():
    assert frame.number(b"-5") is None
    assert frame.number(b"-5", True) == -5
    assert frame.number(b"5", True) == 5
    assert frame.number(b"-0", True) is None
    assert frame.number(b"-", True) is None


def test_a_sign_in_a_field_that_begins_at_zero_is_no_number():
    with pytest.raises(frame.Refused) as refused:
        frame.parse(b"alarms index=-1")
    assert refused.value.code == "field" and ("what", "form") in refused.value.pairs


@given(st.text("0123456789-+.eE_ x", max_size=20))
@example("9" * 15)
@example("9" * 16)
@example("-" + "9" * 16)
def test_a_number_is_what_writing_it_gives_back(text: str):
    value = frame.number(text.encode(), True)
    try:
        right = str(int(text)) == text
    except ValueError:
        right = False
    if not right:
        assert value is None
    elif len(text.lstrip("-")) <= 15:
        assert value == int(text)
    else:
        assert value is not None and abs(value) >= 10**15 and (value < 0) == (text[0] == "-")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "syntax"),
        (" status", "syntax"),
        ("status ", "syntax"),
        ("status  ", "syntax"),
        ("limits  x=1", "syntax"),
        ("settings name", "syntax"),
        ("settings =kvo", "syntax"),
        ("settings\tname=a", "syntax"),
        ("Status", "syntax"),
        ("status\x00", "syntax"),
        ("\x03", "syntax"),
        ("\x04\x01", "syntax"),
        ("statu", "unknown"),
        ("prepare", "unknown"),
        ("import_os", "unknown"),
        ("@7 status", "crc"),
        ("status *", "crc"),
        ("status *00000000", "crc"),
        ("status *00000000 x", "crc"),
    ],
)
def test_wrong_lines_without_checksum(text: str, code: str):
    assert refusal(text.encode("latin-1"))[0] == code


@pytest.mark.requirement("R1", "R2")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("@", "syntax"),
        ("@ status", "syntax"),
        ("@7", "syntax"),
        ("@7 ", "syntax"),
        ("@7  status", "syntax"),
        ("@07 status", "syntax"),
        ("@+7 status", "syntax"),
        ("@-7 status", "syntax"),
        ("@0 status", "syntax"),
        (f"@{ID_MAX + 1} status", "syntax"),
        ("@" + "9" * 30 + " status", "syntax"),
        ("@7x status", "syntax"),
        ("@@7 status", "syntax"),
        ("status", "id"),
        ("pause", "id"),
        ("@7 status mac=0123456789abcdef", "field"),
        ("@7 pause mac=0123456789abcde", "field"),
        ("@7 pause mac=0123456789abcdef0", "field"),
        ("@7 pause mac=0123456789abcdeF", "field"),
        ("@7 pause mac=0123456789abcdef x=1", "field"),
        ("@7 pause mac=0123456789abcdef mac=0123456789abcdef", "field"),
    ],
)
def test_wrong_lines_whose_checksum_is_right(text: str, code: str):
    assert refusal(line(text))[0] == code


@pytest.mark.requirement("A1", "R1")
def test_checksums():
    good = line("@7 status")
    assert frame.parse(good) == ("status", READ, 7, {})
    assert refusal(good[:-8] + good[-8:].upper())[0] == "crc"
    assert refusal(good[:-1])[0] == "crc"
    assert refusal(good + b"0")[0] == "crc"
    assert refusal(good + b" ")[0] == "crc"
    assert refusal(line(good.decode()))[0] == "syntax"  # a checksum is no field
    assert refusal(good.replace(b"@7", b"@8"))[0] == "crc"


def test_line_length():
    text = "@7 settings name=" + "z" * (LINE_MAX - 10 - 17)
    assert len(line(text)) == LINE_MAX
    assert refusal(line(text)) == ("field", {"what": "form", "field": "name"})
    assert refusal(line(text + "z")) == ("too_long", {})


def test_a_key_that_cannot_stand_in_an_answer_is_not_repeated():
    assert refusal("status ä=1".encode()) == ("field", {"what": "unknown"})
    assert refusal(b"status " + b"k" * 33 + b"=1") == ("field", {"what": "unknown"})
    assert refusal(b"status " + b"k" * 32 + b"=1") == ("field", {"what": "unknown", "field": "k" * 32})


def test_code_of_the_key_is_split_off():
    body = "@7 commit token=89abcdef"
    request = frame.read(line(body + " mac=" + "0123456789abcdef"))
    assert (request.mac, request.signed, request.id) == (b"0123456789abcdef", body.encode(), 7)
    assert len(request.mac) == MAC_DIGITS
    assert request.fields() == {"token": "89abcdef"}
    plain = frame.read(line(body))
    assert (plain.mac, plain.signed, plain.crc) == (None, None, b"%08x" % zlib.crc32(body.encode()))


@given(st.binary(min_size=1, max_size=120))
@example(b"\x00")
def test_base64_is_read_only_as_it_is_written(data: bytes):
    text = base64.b64encode(data).decode()
    assert frame.parse(line(f"@7 part offset=0 data={text}"))[3]["data"] == data
    for wrong in (text + "=", text[:-1], "=" + text, text[:2] + "-" + text[3:], text + "A"):
        assert refusal(line(f"@7 part offset=0 data={wrong}"))[0] == "field"


@pytest.mark.parametrize("text", ["A===", "====", "AAA=AAA="])
def test_base64_with_too_much_padding_is_refused(text):
    with pytest.raises(Refused) as refused:
        frame.parse(
            b"@5 part offset=0 data="
            + text.encode()
            + b" *"
            + frame.checksum(b"@5 part offset=0 data=" + text.encode())
        )
    assert refused.value.code == "field"


def test_a_checksum_of_nothing_is_one():
    for crc, code in ((frame.checksum(b""), "id"), (b"00000001", "crc")):
        with pytest.raises(Refused) as refused:
            frame.read(b" *" + crc)
        assert refused.value.code == code


def test_another_word_of_four_letters_is_no_stop():
    assert not frame.is_stop(b"@5 ping what=stop")


def test_base64_with_unused_bits_set():
    assert binascii.a2b_base64(b"AB==") == b"\x00"
    assert refusal(line("@7 part offset=0 data=AB=="))[0] == "field"


# --- any bytes


_PIECES = st.sampled_from(
    [b"@", b"@7 ", b" ", b"=", b" *", b"*", b"stop", b"!", b"-", b"0", b"999999999999999999", b"\xff", b"\x00", b"mac="]
    + [verb.encode() for verb in VERBS]
    + [f"{name}=".encode() for _, name, _, _ in FIELDS]
)


@given(st.one_of(st.binary(max_size=300), st.lists(_PIECES, max_size=12).map(b"".join)), st.booleans())
def test_any_bytes_give_a_request_or_a_refusal(data: bytes, sealed: bool):
    raw = seal(data, b"") if sealed else data
    try:
        verb, kind, number, fields = frame.parse(raw)
    except Refused as refused:
        assert refused.code in {code for code, _ in ERRORS}
        Answer(frame.error(frame.line_id(raw), refused.code, "stopped", refused.pairs)[:-1])
        return
    assert TABLE[verb][1] == kind
    assert number is None or 1 <= number <= ID_MAX
    assert set(fields) <= {name for name, _, _ in request_fields(verb)}
    assert frame.line_id(raw) == number


@pytest.mark.parametrize(
    ("data", "number"),
    [(b"", None), (b"7 x", None), (b"@", None), (b"@7", 7), (b"@7 x", 7), (b"@07 x", None), (b"@0 x", None)],
)
def test_id_of_a_broken_line(data: bytes, number: int | None):
    assert frame.line_id(data) == number


@pytest.mark.parametrize(
    "data",
    [b"stop", b"  stop", b"stop ", b"STOP", b"@7 stop", b"@7 stop *00000000", b"stop now", b"stop\t", b"@x stop"]
    + [b"@ stop x=1", b"!", b"!!", b"!status", b"! stop", b"stop *1"],
)
def test_what_is_a_stop(data: bytes):
    assert frame.is_stop(data)


@pytest.mark.parametrize("data", b",@7, ,stopp,sto,status stop,@7 @8 stop,x!,@stop,st op".split(b","))
def test_what_is_no_stop(data: bytes):
    assert not frame.is_stop(data)


# --- answers and events


def test_answer_with_and_without_id():
    assert frame.answer(7, [("a", 1), ("b", "x y"), ("c", b"\x00\xff"), ("d", -5), ("e", True)]) == seal(
        "@7 ok a=1 b=x_y c=AP8= d=-5 e=1"
    )
    assert frame.answer(None, []) == seal("ok")


def test_error_says_code_what_state_and_why():
    pairs = [("field", "rate_nl_per_day"), ("minimum", 1), ("what", "form")]
    expected = seal("@7 err code=range what=form state=stopped field=rate_nl_per_day minimum=1")
    assert frame.error(7, "range", "stopped", pairs) == expected
    assert frame.error(None, "syntax", "fault") == seal("err code=syntax state=fault")


def test_event():
    assert frame.event(12, "button", [("button", "stop")]) == seal("#12 button button=stop")


@given(st.lists(st.integers(0, 10**12), max_size=60))
def test_an_answer_is_never_longer_than_a_line_and_says_so_when_it_was_cut(values: list[int]):
    pairs = [(f"v{at}", value) for at, value in enumerate(values)]
    whole = len(seal("@7 ok" + "".join(f" {name}={value}" for name, value in pairs), b"")) <= LINE_MAX
    answer = Answer(frame.answer(7, pairs)[:-1])
    assert ("cut" in answer.fields) == (not whole)
    kept = [pair for pair in answer.pairs if pair[0] != "cut"]
    assert kept == [(name, str(value)) for name, value in pairs][: len(kept)]
    assert whole or len(kept) < len(pairs)


def test_a_cut_answer_uses_the_room_there_is():
    fits = "x" * (LINE_MAX - 10 - len("@7 ok a= cut=1"))
    assert Answer(frame.answer(7, [("a", fits), ("b", "y" * 20)])[:-1]).pairs == [("a", fits), ("cut", "1")]
    assert Answer(frame.answer(7, [("a", fits + "x"), ("b", "y" * 20)])[:-1]).pairs == [("cut", "1")]


@pytest.mark.parametrize("verb", VERBS)
def test_the_longest_answer_of_every_message_fits(verb: str):
    pairs = answer_pairs(verb)
    assert [name for name, _ in pairs] == [text.rstrip("?").split("=")[0] for text in TABLE[verb][3].split()]
    assert "cut" not in Answer(frame.answer(PLAUSIBLE_ID, pairs)[:-1]).fields


@pytest.mark.parametrize(("name", "spec"), EVENTS)
def test_the_longest_event_fits(name: str, spec: str):
    assert "cut" not in Answer(frame.event(PLAUSIBLE_ID, name, answer_pairs(name, spec))[:-1]).fields


def test_the_longest_line_of_every_message_fits_with_the_code_of_the_key():
    for verb, kind, _, _ in MESSAGES:
        if verb in FITTING:
            mac = " mac=0123456789abcdef" if kind in (PREPARE, ACT) else ""
            assert len(line(f"@{ID_MAX} {sample(verb)[0]}{mac}")) <= LINE_MAX, verb
