"""Quantities: what people type is read exactly or refused, never rounded; what is shown reads back as the same."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump import quantities as q
from haipump.errors import EXIT_USAGE, InexactQuantity, QuantityError


@pytest.mark.requirement("A21")
@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (q.rate_nl_per_day, "1.3mL/day", 1_300_000),
        (q.rate_nl_per_day, "0.5 ml/h", 12_000_000),
        (q.rate_nl_per_day, "2 uL/min", 2_880_000),
        (q.rate_nl_per_day, "2 µL/min", 2_880_000),
        (q.rate_nl_per_day, "2 μl/minute", 2_880_000),
        (q.rate_nl_per_day, "10nL/min", 14_400),
        (q.rate_nl_per_day, "1 nL/s", 86_400),
        (q.rate_nl_per_day, "1 mL per day", 1_000_000),
        (q.rate_nl_per_day, "7 mL/week", 1_000_000),
        (q.rate_nl_per_day, "0mL/h", 0),
        (q.volume_nl, "2mL", 2_000_000),
        (q.volume_nl, " 0.1 ml ", 100_000),
        (q.volume_nl, "50 uL", 50_000),
        (q.volume_nl, "300nL", 300),
        (q.volume_nl, "0.000001 mL", 1),
        (q.duration_s, "90s", 90),
        (q.duration_s, "10 min", 600),
        (q.duration_s, "2h", 7_200),
        (q.duration_s, "14d", 1_209_600),
        (q.duration_s, "1h30min", 5_400),
        (q.duration_s, "1 d 2 h 3 min 4 s", 93_784),
        (q.duration_s, "1.5h", 5_400),
        (q.pressure_pa, "50kPa", 50_000),
        (q.pressure_pa, "500 mbar", 50_000),
        (q.pressure_pa, "0.5 bar", 50_000),
        (q.pressure_pa, "300mmHg", 39_997),  # 39,996.7
        (q.pressure_pa, "10 psi", 68_948),  # 68,947.6
        (q.pressure_pa, "69000 Pa", 69_000),
    ],
)
def test_what_people_type(read, text: str, value: int) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (q.volume_nl, "2", "no unit"),
        (q.volume_nl, "", "missing"),
        (q.volume_nl, "mL", "not a volume"),
        (q.volume_nl, "1,5 mL", '"1.5 mL"'),
        (q.volume_nl, "1,500.5 mL", '"1500.5 mL"'),
        (q.volume_nl, "-1 mL", "sign"),
        (q.volume_nl, "+1 mL", "sign"),
        (q.volume_nl, "1e3 uL", "exponent"),
        (q.volume_nl, "007 mL", "begins with a zero"),
        (q.volume_nl, ".5 mL", "point"),
        (q.volume_nl, "5. mL", "point"),
        (q.volume_nl, "1.2.3 mL", "more than one point"),
        (q.volume_nl, "2 ML", "unknown unit"),
        (q.volume_nl, "2 L", "unknown unit"),
        (q.volume_nl, "NaN mL", "not a volume"),
        (q.volume_nl, "２ mL", "characters"),
        (q.volume_nl, "1" * 30 + " mL", "digits"),
        (q.volume_nl, "2 mL/day", "unknown unit"),
        (q.rate_nl_per_day, "2 mL", "no time"),
        (q.rate_nl_per_day, "2 mL/month", "unknown unit"),
        (q.rate_nl_per_day, "2 mL/", "unknown unit"),
        (q.duration_s, "5m", "months"),
        (q.duration_s, "30min1h", "longer to the shorter"),
        (q.duration_s, "1h1h", "longer to the shorter"),
        (q.duration_s, "1h 30", "not a time"),
        (q.pressure_pa, "1 MPa", "MPa"),
        (q.pressure_pa, "50", "no unit"),
    ],
)
def test_what_is_refused_says_why_and_what_instead(read, text: str, says: str) -> None:
    with pytest.raises(QuantityError) as caught:
        read(text)
    assert says in str(caught.value)
    assert caught.value.next_step
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("value", [2, 2.0, None, b"2 mL"])
def test_a_bare_number_is_no_quantity(value) -> None:
    with pytest.raises(QuantityError):
        q.volume_nl(value)


@pytest.mark.parametrize(
    ("read", "text", "below", "above"),
    [
        (q.rate_nl_per_day, "0.0000005 mL/day", "0 mL/day", "0.000001 mL/day"),
        (q.rate_nl_per_day, "12 mL/week", "11.999995 mL/week", "12.000002 mL/week"),
        (q.volume_nl, "1.0000005 mL", "1 mL", "1.000001 mL"),
        (q.duration_s, "0.5s", "0 s", "1 s"),
        (q.duration_s, "0.0001h", "0 s", "1 s"),
    ],
)
def test_the_inexact_is_refused_with_its_neighbours(read, text: str, below: str, above: str) -> None:
    with pytest.raises(InexactQuantity) as caught:
        read(text)
    assert (caught.value.below, caught.value.above) == (below, above)
    assert read(above) == read(below) + 1
    assert above in str(caught.value)


NUMBERS = st.decimals(min_value=0, max_value=10**6, places=7, allow_nan=False).map(lambda d: format(d.normalize(), "f"))
VOLUMES = {"mL": 10**6, "ml": 10**6, "uL": 10**3, "µL": 10**3, "nL": 1}
TIMES = {"d": 86_400, "day": 86_400, "h": 3_600, "hour": 3_600, "min": 60, "s": 1}


@given(NUMBERS, st.sampled_from(sorted(VOLUMES)), st.sampled_from(sorted(TIMES)), st.sampled_from(["", " "]))
def test_rates_are_exact_or_refused(number: str, volume: str, time: str, space: str) -> None:
    exact = Fraction(number) * VOLUMES[volume] * 86_400 / TIMES[time]
    text = f"{number}{space}{volume}/{time}"
    if exact.denominator == 1:
        assert q.rate_nl_per_day(text) == exact
    else:
        with pytest.raises(InexactQuantity) as caught:
            q.rate_nl_per_day(text)
        low, high = q.rate_nl_per_day(caught.value.below), q.rate_nl_per_day(caught.value.above)
        assert low < exact < high == low + 1


@given(st.integers(0, 10**11))
def test_rates_read_back(value: int) -> None:
    assert q.rate_nl_per_day(q.format_rate(value)) == value


@given(st.integers(0, 10**12))
def test_volumes_read_back(value: int) -> None:
    assert q.volume_nl(q.format_volume(value)) == value


@given(st.integers(0, 10**9))
def test_durations_read_back(value: int) -> None:
    assert q.duration_s(q.format_duration(value)) == value
    short = q.duration_s(q.format_duration_short(value))
    assert short <= value


@given(st.integers(0, 10**7))
def test_pressures_read_back(value: int) -> None:
    assert q.pressure_pa(q.format_pressure(value)) == value


@pytest.mark.requirement("A21")
@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (q.volume_nl, q.rate_nl_per_day, q.duration_s, q.pressure_pa):
        try:
            assert read(text) >= 0
        except QuantityError as failure:
            assert failure.next_step


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_300_000, "1.3 mL/day"),
        (50_000, "0.05 mL/day"),
        (2_880_000, "2.88 mL/day"),
        (288_000_000, "288 mL/day"),
        (1_440_000_000, "1440 mL/day"),
        (24_000_001, "24.000001 mL/day"),
        (999, "0.000999 mL/day"),
        (0, "0 mL/day"),
        (-1_300_000, "-1.3 mL/day"),
    ],
)
def test_rates_are_told_in_millilitres_a_day(value: int, text: str) -> None:
    assert q.format_rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 mL"),
        (100_000, "0.1 mL"),
        (50_000, "0.05 mL"),
        (1_234_567, "1.234567 mL"),
        (231, "0.000231 mL"),
        (-5, "-0.000005 mL"),
    ],
)
def test_volumes_are_told_in_millilitres(value: int, text: str) -> None:
    assert q.format_volume(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2_400_000_000, "2400 mL/day (100 mL/h)"),
        (1_300_000, "1.3 mL/day"),
        (24_000_001, "24.000001 mL/day"),
        (0, "0 mL/day"),
    ],
)
def test_a_fast_rate_is_read_back_in_both_units(value: int, text: str) -> None:
    assert q.format_rate_typed(value) == text


@pytest.mark.requirement("A21")
@pytest.mark.parametrize(
    "number", ["007", "0.", ".5", "1e3", "+1", "-0", "NaN", "inf", "1,000.5", "1_000", "0x10", "１", ""]
)
@pytest.mark.parametrize("read", [q.volume_nl, q.rate_nl_per_day, q.duration_s, q.pressure_pa])
def test_an_unusual_number_is_refused_or_means_what_it_says(read, number):
    """Nothing in between: no half of it is taken, and nothing hangs."""
    unit = {q.volume_nl: "uL", q.rate_nl_per_day: "uL/h", q.duration_s: "s", q.pressure_pa: "kPa"}[read]
    factor = {q.volume_nl: 1_000, q.rate_nl_per_day: 24_000, q.duration_s: 1, q.pressure_pa: 1_000}[read]
    try:
        value = read(f"{number} {unit}")
    except q.QuantityError:
        return
    assert value == Fraction(number.strip(".").lstrip("+")) * factor


@given(st.text(max_size=40))
def test_any_text_is_answered(text):
    for read in (q.volume_nl, q.rate_nl_per_day, q.duration_s, q.pressure_pa):
        try:
            assert read(text) >= 0
        except q.QuantityError as refused:
            assert refused.what and refused.next_step


@pytest.mark.parametrize("digits", [100, 10_000, 1_000_000])
def test_a_huge_number_is_refused_at_once(digits):
    for read, unit in ((q.volume_nl, "mL"), (q.rate_nl_per_day, "mL/h"), (q.duration_s, "s")):
        with pytest.raises(q.QuantityError):
            read("9" * digits + unit)
