"""Quantities of a therapy: exact, with their unit, and nothing that is misread."""

from fractions import Fraction

import pytest

from haipump import quantities as q
from haipump.errors import QuantityError


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("25 mg", "mg", 25),
        ("0.5g", "mg", 500),
        ("250 ug", "mg", Fraction(1, 4)),
        ("250 µg", "mg", Fraction(1, 4)),
        ("70 kg", "kg", 70),
        ("0.12 mg/kg/day", "mg/kg/day", Fraction(12, 100)),
        ("0.12 mg / kg / d", "mg/kg/day", Fraction(12, 100)),
        ("30000 units", "units", 30_000),
        ("100 units/mL", "units/mL", 100),
        ("100 Units/ml", "units/mL", 100),
        ("1 g/L", "mg/mL", 1),
        ("50 %", "%", 50),
        ("35 U/L", "U/L", 35),
        ("2 ukat/L", "U/L", 120),
        ("0.7 mg/dL", "mg/dL", Fraction(7, 10)),
        ("10 umol/L", "mg/dL", Fraction(100, 171)),
        ("51.3 umol/L", "mg/dL", 3),  # as a bound in mg/dL is printed: the same bound
        ("20.52 umol/L", "mg/dL", Fraction("1.2")),
        ("34.2 umol/L", "mg/dL", 2),
    ],
)
def test_exact(text: str, unit: str, value) -> None:
    assert q.measure(text, unit) == (value, unit)


def test_one_of_several_units() -> None:
    assert q.measure("5 mg/mL", "mg/mL", "units/mL") == (5, "mg/mL")
    assert q.measure("5 units/mL", "mg/mL", "units/mL") == (5, "units/mL")


@pytest.mark.parametrize(
    ("text", "units", "said"),
    [
        ("154 lb", ("kg",), "use kg"),
        ("70", ("kg",), "has no unit"),
        ("30000 U", ("units",), 'write "units" in full'),
        ("100 IU/mL", ("units/mL",), "IU as IV"),
        (".5 mg", ("mg",), "point with nothing"),
        ("-5 mg", ("mg",), "sign"),
        ("1e3 mg", ("mg",), "exponent"),
        ("1,000 units", ("units",), "comma"),
        ("5 mg/mL", ("units/mL", "%"), "use units/mL, %"),
        ("0.7 mg/L", ("mg/dL",), "use mg/dL, umol/L"),
        ("", ("mg",), "is missing"),
        (5, ("mg",), "no text"),
    ],
)
def test_refused_with_the_way_out(text, units, said: str) -> None:
    with pytest.raises(QuantityError, match=None) as caught:
        q.measure(text, *units)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (Fraction(18_000, 91), 3, "197.802"),
        (Fraction(1, 2), 0, "1"),
        (Fraction(-1, 8), 2, "-0.13"),
        (Fraction(-1, 1000), 2, "0"),
        (Fraction(194), 3, "194"),
        (Fraction(194, 10), 3, "19.4"),
    ],
)
def test_rounded_for_display(value: Fraction, digits: int, text: str) -> None:
    assert q.rounded(value, digits) == text


def test_units_of_a_therapy_join_a_number_on_the_command_line() -> None:
    assert all(q.is_unit(unit) for unit in ("mg/dL", "U/L", "kg", "mL", "%"))
    assert not q.is_unit("furlong")
