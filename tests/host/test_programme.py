"""Programme files: read with the place named when wrong, written as the firmware reads them, counted as it counts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump.errors import ProgrammeFileError
from haipump.programme import EXAMPLE as SHIPPED
from haipump.programme import Item, Programme, daily, load, programme
from haipump_fw.proto import programme as firmware

EXAMPLE = """
period = "1d"
repeats = 14
at_end = "kvo"
rate = "1.3 mL/day"

[[item]]
at = "20h"
ramp = "2 mL/day"
over = "1h"

[[item]]
at = "8h"
bolus = "0.1 mL"
over = "10min"

[[item]]
at = "22h"
rate = "1.3 mL/day"

[[item]]
at = "23h"
bolus = "20 uL"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "programme.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example(tmp_path) -> None:
    made = load(write(tmp_path, EXAMPLE))
    assert made.wire_text() == (
        "haipump-programme 1\nperiod_s 86400\nrepeats 14\nat_end kvo\n"
        "0 rate 1300000\n28800 bolus 100000 600\n72000 ramp 2000000 3600\n79200 rate 1300000\n82800 bolus 20000 0\n"
    )
    rate, ramped, high = Fraction(1_300_000, 24), Fraction(1_650_000, 24), Fraction(2_000_000, 24)
    assert made.exact_volume_nl == 14 * (20 * rate + ramped + high + 2 * rate + 120_000)
    assert made.duration_s == 14 * 86_400


def test_the_shipped_example_is_a_programme(tmp_path) -> None:
    made = load(write(tmp_path, SHIPPED))
    assert {item.kind for item in made.items} == {"rate", "ramp", "bolus"}
    assert firmware.parse(made.wire_text().encode()).repeats == 14


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('period = "1d"', "", "lacks period"),
        ('period = "1d"', "period = 86400", "period"),
        ('period = "1d"', 'period = "1 fortnight"', "unit"),
        ("repeats = 14", "repeats = 0", "begin at"),
        ("repeats = 14", "repeats = true", "whole number"),
        ("repeats = 14", "repeats = 4000", "3650 days"),
        ('at_end = "kvo"', 'at_end = "bang"', "bang"),
        ('at_end = "kvo"', 'colour = "red"', "colour"),
        ('bolus = "0.1 mL"', 'bolus = "0,1 mL"', "item 2: bolus"),
        ('bolus = "0.1 mL"', 'bollus = "0.1 mL"', "item 2"),
        ('bolus = "0.1 mL"', 'bolus = "0.1 mL"\nrate = "1 mL/day"', "item 2"),
        ('ramp = "2 mL/day"\nover = "1h"', 'ramp = "2 mL/day"', "ramp without over"),
        ('at = "22h"\nrate', 'at = "22h"\nover = "1h"\nrate', "rate and over"),
        ('at = "22h"', 'at = "20h30min"', "during a ramp"),
        ('at = "23h"', 'at = "25h"', "is not over"),
        ('over = "10min"', 'over = "20h"', "is not over"),
        ('bolus = "20 uL"', 'bolus = "20 uL"\n[[item]]\nat = "23h"\nbolus = "1 uL"', "not the only"),
        ('bolus = "20 uL"', 'bolus = "20 uL"\n[[item]]\nat = "8h5min"\nbolus = "1 uL"\nover = "1min"', "another bolus"),
        ("[[item]]", "[item", "TOML"),
        (EXAMPLE[EXAMPLE.index("rate =") :], "", "does nothing"),
        (EXAMPLE[EXAMPLE.index("[[item]]") :], 'item = "x"', "not a list"),
        (EXAMPLE[EXAMPLE.index("[[item]]") :], "item = [1]", "not a table"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, old: str, new: str, says: str) -> None:
    assert old in EXAMPLE
    path = write(tmp_path, EXAMPLE.replace(old, new, 1))
    with pytest.raises(ProgrammeFileError) as caught:
        load(path)
    assert says in caught.value.what
    assert str(path) in caught.value.what
    assert caught.value.next_step


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(ProgrammeFileError, match=r"no\.toml"):
        load(tmp_path / "no.toml")


def test_too_many_items_and_too_long() -> None:
    with pytest.raises(ProgrammeFileError, match="65 items"):
        programme(86_400, 1, "stop", [Item(at, "bolus", 1) for at in range(65)])


def test_a_daily_programme() -> None:
    made = daily("1.3 mL/day", 14, "0.1 mL", at="8h")
    assert made.exact_volume_nl == 14 * 1_400_000
    assert [str(item) for item in made.items] == ["rate 1.3 mL/day", "bolus 0.1 mL"]


@st.composite
def programmes(draw) -> tuple[int, int, str, list[Item]]:
    period_s = draw(st.integers(1, 200_000))
    items = draw(
        st.lists(
            st.builds(
                Item,
                at_s=st.integers(0, period_s),
                kind=st.sampled_from(["rate", "ramp", "bolus"]),
                value=st.integers(1, 100_000_000),
                over_s=st.integers(0, 50_000),
            ),
            max_size=6,
        )
    )
    items = [
        Item(i.at_s, i.kind, i.value, 0 if i.kind == "rate" else max(i.over_s, int(i.kind == "ramp"))) for i in items
    ]
    return period_s, draw(st.integers(1, 2_000)), draw(st.sampled_from(["stop", "kvo"])), items


@given(programmes())
def test_the_firmware_takes_what_the_host_takes_and_nothing_else(parts) -> None:
    try:
        made = programme(*parts)
    except ProgrammeFileError:
        period_s, repeats, at_end, items = parts
        order = ("rate", "ramp", "bolus")
        raw = Programme(period_s, repeats, at_end, tuple(sorted(items, key=lambda i: (i.at_s, order.index(i.kind)))))
        with pytest.raises(firmware.Refused):
            firmware.parse(raw.wire_text().encode())
        return
    read = firmware.parse(made.wire_text().encode())
    assert (read.period_s, read.repeats, read.at_end) == (made.period_s, made.repeats, made.at_end)
    kinds = {firmware.RATE: "rate", firmware.RAMP: "ramp", firmware.BOLUS: "bolus"}
    got = [
        Item(*row) for row in zip(read.at_s, (kinds[k] for k in read.kinds), read.values, read.durations_s, strict=True)
    ]
    assert tuple(got) == made.items


@given(programmes(), st.integers(1, 50))
def test_the_volume_is_the_sum_over_every_second(parts, scale: int) -> None:
    """A second way to the same number: the rate of every second, added up (ramps at their middle)."""
    period_s, _, at_end, items = parts
    period_s = max(1, period_s // 400)
    items = [Item(i.at_s // 400, i.kind, i.value, max(i.over_s // 400, int(i.kind == "ramp"))) for i in items]
    items = [Item(i.at_s, i.kind, i.value, 0) if i.kind == "rate" else i for i in items]
    try:
        made = programme(period_s, scale, at_end, items)
    except ProgrammeFileError:
        return
    total = Fraction(sum(item.value for item in made.items if item.kind == "bolus"))
    rate, changes = Fraction(0), {}
    for item in made.items:
        changes.setdefault(item.at_s, []).append(item)
    ramp: tuple[int, int, Fraction, int] | None = None
    for second in range(period_s):
        for item in changes.get(second, []):
            if item.kind == "rate":
                rate = Fraction(item.value)
            elif item.kind == "ramp":
                ramp = (second, item.over_s, rate, item.value)
        if ramp and second < ramp[0] + ramp[1]:
            total += (ramp[2] + (ramp[3] - ramp[2]) * (Fraction(2 * (second - ramp[0]) + 1, 2)) / ramp[1]) / 86_400
            if second == ramp[0] + ramp[1] - 1:
                rate, ramp = Fraction(ramp[3]), None
        else:
            total += rate / 86_400
    assert made.exact_volume_nl == scale * total
