"""The programme text: what it means, and which line is wrong and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.proto import programme
from haipump_fw.proto.messages import PROGRAMME_BYTES_MAX, PROGRAMME_ITEMS_MAX
from haipump_fw.proto.programme import BOLUS, RAMP, RATE
from tests.firmware.proto.support import Refused

HEADER = "haipump-programme 1\nperiod_s 86400\nrepeats 14\nat_end kvo\n"


def items(*lines: str) -> bytes:
    return (HEADER + "\n".join(lines) + "\n").encode()


def wrong(text: bytes | str) -> tuple:
    with pytest.raises(Refused) as caught:
        programme.parse(text.encode() if isinstance(text, str) else text)
    assert caught.value.code == "programme"
    (_, line), (_, what), *limits = caught.value.pairs
    assert [name for name, _ in limits] in ([], ["minimum", "maximum"])
    return (line, what, *[value for _, value in limits])


def test_a_programme():
    got = programme.parse(items("0 rate 1300000", "3600 ramp 2000000 600", "7200 bolus 100000 60", "7200 bolus 5 0"))
    assert (got.period_s, got.repeats, got.at_end) == (86400, 14, "kvo")
    assert got.kinds == [RATE, RAMP, BOLUS, BOLUS]
    assert got.at_s == [0, 3600, 7200, 7200]
    assert got.values == [1300000, 2000000, 100000, 5]
    assert got.durations_s == [0, 600, 60, 0]


def test_between_items_others_have_their_turn():
    turns: list[int] = []
    programme.parse(items("0 rate 1300000", "3600 ramp 2000000 600", "7200 bolus 100000 60"), lambda: turns.append(1))
    assert len(turns) == 3


def test_an_immediate_bolus_may_come_in_any_second():
    assert programme.parse(items("1 bolus 5 0", "2 bolus 5 0")).at_s == [1, 2]
    assert programme.parse(items("1 rate 5")).at_s == [1]


def test_the_last_line_end_may_lack_and_the_end_may_be_stop():
    text = "haipump-programme 1\nperiod_s 1\nrepeats 1\nat_end stop\n0 rate 0"
    got = programme.parse(text.encode())
    assert (got.at_end, got.values) == ("stop", [0])


def test_the_largest_programmes():
    text = f"haipump-programme 1\nperiod_s {programme.PERIOD_MAX_S}\nrepeats 1\nat_end stop\n"
    last = programme.PERIOD_MAX_S - 1
    assert programme.parse(f"{text}{last} rate 100000000000".encode()).at_s == [last]
    text = "haipump-programme 1\nperiod_s 315\nrepeats 1000000\nat_end stop\n0 bolus 100000000 315"
    assert programme.parse(text.encode()).repeats == 1_000_000
    many = [f"{at} rate {at}" for at in range(PROGRAMME_ITEMS_MAX)]
    assert len(programme.parse(items(*many)).kinds) == PROGRAMME_ITEMS_MAX
    assert wrong(items(*many, "70 rate 1")) == (5 + PROGRAMME_ITEMS_MAX, "items")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, "header")),
        ("\n", (1, "header")),
        (items("0 rate ~"), (5, "number")),
        (items("0 rate \x7f"), (5, "text")),
        ("haipump-programme 2\n", (1, "header")),
        ("haipump-programme  1\n", (1, "header")),
        ("haipump-programme 1\r\n", (1, "text")),
        ("haipump-programme 1", (2, "header")),
        ("haipump-programme 1\nrepeats 1\n", (2, "header")),
        ("haipump-programme 1\nperiod_s\n", (2, "header")),
        ("haipump-programme 1\nperiod_s 1 2\n", (2, "header")),
        ("haipump-programme 1\nperiod_s 007\n", (2, "number")),
        ("haipump-programme 1\nperiod_s -1\n", (2, "number")),
        ("haipump-programme 1\nperiod_s 0\n", (2, "range", 1, 315_360_000)),
        ("haipump-programme 1\nperiod_s 315360001\n", (2, "range", 1, 315_360_000)),
        ("haipump-programme 1\nperiod_s 1\nrepeats 0\n", (3, "range", 1, 1_000_000)),
        ("haipump-programme 1\nperiod_s 1\nrepeats 1000001\n", (3, "range", 1, 1_000_000)),
        ("haipump-programme 1\nperiod_s 316\nrepeats 1000000\n", (3, "length")),
        ("haipump-programme 1\nperiod_s 1\nrepeats 1\n", (4, "header")),
        ("haipump-programme 1\nperiod_s 1\nrepeats 1\nat_end pause\n", (4, "header")),
        (HEADER, (4, "items")),
        (HEADER + "\n", (5, "syntax")),
    ],
)
def test_wrong_headers(text: str, expected: tuple):
    assert wrong(text) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["rate 5"], (5, "syntax")),
        (["0 speed 5"], (5, "syntax")),
        (["0 rate"], (5, "syntax")),
        (["0 rate 5 6"], (5, "syntax")),
        (["0 ramp 5"], (5, "syntax")),
        (["0 bolus 5"], (5, "syntax")),
        (["0 bolus 5 6 7"], (5, "syntax")),
        (["0 rate 5 "], (5, "syntax")),
        ([" 0 rate 5"], (5, "syntax")),
        (["0 rate 5", "", "5 rate 5"], (6, "syntax")),
        (["# comment"], (5, "syntax")),
        (["x rate 5"], (5, "number")),
        (["00 rate 5"], (5, "number")),
        (["0 rate 1e3"], (5, "number")),
        (["0 rate -1"], (5, "number")),
        (["0 bolus 5 +1"], (5, "number")),
        (["0 rate 100000000001"], (5, "range", 0, 100_000_000_000)),
        (["0 ramp 100000000001 5"], (5, "range", 0, 100_000_000_000)),
        (["0 ramp 5 0"], (5, "range", 1, 8_640_000)),
        (["0 bolus 0 5"], (5, "range", 1, 100_000_000)),
        (["0 bolus 100000001 5"], (5, "range", 1, 100_000_000)),
        (["0 bolus 5 8640001"], (5, "range", 0, 8_640_000)),
        (["315360001 rate 5"], (5, "range", 0, 315_360_000)),
        (["86400 rate 5"], (5, "period")),
        (["86399 ramp 5 2"], (5, "period")),
        (["86399 bolus 5 2"], (5, "period")),
        (["10 rate 5", "9 rate 6"], (6, "order")),
        (["10 bolus 5 0", "9 rate 6"], (6, "order")),
        (["10 rate 5", "10 rate 6"], (6, "twice")),
        (["10 rate 5", "10 ramp 6 5", "10 rate 7"], (7, "overlap")),
        (["10 ramp 5 10", "19 rate 6"], (6, "overlap")),
        (["10 ramp 5 10", "19 ramp 6 5"], (6, "overlap")),
        (["10 bolus 5 10", "19 bolus 6 5"], (6, "overlap")),
        (["10 bolus 5 10", "10 bolus 5 10"], (6, "overlap")),
        (["10 bolus 5 0", "10 bolus 5 0"], (6, "twice")),
    ],
)
def test_wrong_items(lines: list[str], expected: tuple):
    assert wrong(items(*lines)) == expected


def test_what_stands_side_by_side():
    got = programme.parse(
        items(
            "0 rate 5",
            "0 ramp 6 10",  # from the rate of the same second
            "0 bolus 7 10",
            "5 bolus 8 0",  # suspends the one that runs
            "6 bolus 8 0",
            "10 ramp 0 5",  # in the second in which the first ramp ends
            "10 bolus 9 86390",  # up to the end of the period
            "15 rate 5",
            "86399 ramp 6 1",
        )
    )
    assert len(got.kinds) == 9


def test_text_that_is_not_ascii_or_too_long():
    assert wrong(items("0 rate 5", "5 rate 6ä")) == (6, "text")
    assert wrong(items("0 rate\t5")) == (5, "text")
    assert wrong(items("0 rate 5\x00")) == (5, "text")
    assert wrong(b"x" * PROGRAMME_BYTES_MAX) == (1, "header")
    assert wrong(b"x" * (PROGRAMME_BYTES_MAX + 1)) == (1, "text")


_WORD = st.sampled_from(["0", "1", "5", "86399", "86400", "rate", "ramp", "bolus", "-1", "007", "9" * 20, ""])
_LINE = st.lists(_WORD, min_size=0, max_size=5).map(" ".join)


@given(st.one_of(st.binary(max_size=200), st.lists(_LINE, max_size=6).map(lambda lines: items(*lines))))
def test_any_text_gives_a_programme_or_the_line_that_is_wrong(text: bytes):
    try:
        got = programme.parse(text)
    except Refused as refused:
        assert refused.code == "programme"
        assert dict(refused.pairs)["line"] >= 1
        return
    assert 1 <= len(got.kinds) == len(got.at_s) == len(got.values) == len(got.durations_s) <= PROGRAMME_ITEMS_MAX
    assert got.at_s == sorted(got.at_s)
    assert all(at + duration <= got.period_s for at, duration in zip(got.at_s, got.durations_s, strict=True))
