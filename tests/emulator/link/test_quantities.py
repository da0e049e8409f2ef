"""The parser of typed quantities: exact, with units, and with errors that say what to type."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_emulator import quantities as q


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (q.parse_time_us, "90s", 90_000_000),
        (q.parse_time_us, "0s", 0),
        (q.parse_time_us, "250ms", 250_000),
        (q.parse_time_us, "1h30min", 5_400_000_000),
        (q.parse_time_us, " 2 d 4 h ", 187_200_000_000),
        (q.parse_time_us, "14 days", 1_209_600_000_000),
        (q.parse_time_us, "0.5 µs 0.5us", 1),
        (q.parse_volume_nl, "0.1mL", 100_000),
        (q.parse_volume_nl, ".5 ml", 500_000),
        (q.parse_volume_nl, "1 000 nL", 1_000),
        (q.parse_volume_nl, "3 μL", 3_000),
        (q.parse_pressure_pa, "50kPa", 50_000),
        (q.parse_pressure_pa, "-20 mbar", -2_000),
        (q.parse_pressure_pa, "100mmHg", 13_332),
        (q.parse_rate_nl_per_day, "1.3mL/day", 1_300_000),
        (q.parse_rate_nl_per_day, "0.5 ml/h", 12_000_000),
        (q.parse_rate_nl_per_day, "2 uL/min", 2_880_000),
        (q.parse_height_cm, "-0.5m", -50),
        (q.parse_temperature_c, "36.5 °C", 36.5),
        (q.parse_resistance, "50 Pa·s/nL", 50.0),
        (q.parse_resistance, "1 kPa*min/mL", 0.06),
        (q.parse_speed, "60x", 60.0),
        (q.parse_speed, "MAX", None),
    ],
)
def test_what_people_type(parse, text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (q.parse_time_us, "", "no time"),
        (q.parse_time_us, "90", "has no unit"),
        (q.parse_time_us, "3m", "no unit of time"),
        (q.parse_time_us, "-3s", "no time"),
        (q.parse_time_us, "0.1us", "no whole number of microseconds"),
        (q.parse_time_us, "9" * 200 + "s", "no time"),
        (q.parse_volume_nl, "5", "has no unit"),
        (q.parse_volume_nl, "ml", "no volume"),
        (q.parse_volume_nl, ".ml", "does not start with a number"),
        (q.parse_volume_nl, "-1ml", "below 0"),
        (q.parse_volume_nl, "0.5nL", "no whole number of nanolitres"),
        (q.parse_pressure_pa, "5psi", "known: Pa, hPa, mbar, kPa, bar, mmHg, cmH2O"),
        (q.parse_rate_nl_per_day, "5mL", "no rate"),
        (q.parse_rate_nl_per_day, "5mL/week", "no unit of time"),
        (q.parse_height_cm, "1mm", "no whole number of centimetres"),
        (q.parse_temperature_c, "98F", "no unit of temperature"),
        (q.parse_resistance, "0Pa*s/nL", "above 0"),
        (q.parse_speed, "fast", "no speed"),
        (q.parse_speed, "0", "0.001"),
        (q.parse_speed, "nan", "no speed"),
    ],
)
def test_errors_say_what_to_type(parse, text, says):
    with pytest.raises(q.QuantityError) as error:
        parse(text)
    assert says in str(error.value)


@given(st.decimals(0, 10_000, places=6), st.sampled_from(["s", "min", "h", "d"]))
def test_times_are_exact(number, unit):
    seconds = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}[unit]
    assert q.parse_time_us(f"{number}{unit}") == Fraction(number) * seconds * 1_000_000


@given(st.text(max_size=30))
def test_any_text_is_a_quantity_or_a_clear_error(text):
    for parse in (q.parse_time_us, q.parse_volume_nl, q.parse_pressure_pa, q.parse_rate_nl_per_day, q.parse_speed):
        try:
            parse(text)
        except q.QuantityError as error:
            assert len(str(error)) > 10


def test_shown_to_people():
    assert q.format_time(90_250_000) == "00:01:30.250"
    assert q.format_time(14 * 86_400_000_000 + 5_000_000) == "14 d 00:00:05"
    assert q.format_time(-1_000_000) == "-00:00:01"
    assert q.format_volume(1_300_000) == "1.3 mL"
    assert q.format_volume(231) == "0.000231 mL"
    assert q.format_volume(-0.2) == "0 mL"
