"""Syringes: the table against the published areas, the volume per microstep against an independent pi."""

from __future__ import annotations

from decimal import Decimal, getcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump import syringes
from haipump.errors import UsageError
from haipump_fw.core.options import OPTIONS


def pi_by_machin() -> Decimal:
    """pi to 40 digits from Machin's formula: 16 atan(1/5) - 4 atan(1/239)."""
    getcontext().prec = 60

    def atan_inverse(x: int) -> Decimal:
        total, power, n, sign = Decimal(0), Decimal(1) / x, 1, 1
        while power > Decimal(10) ** -50:
            total += sign * power / n
            power, n, sign = power / (x * x), n + 2, -sign
        return total

    return 16 * atan_inverse(5) - 4 * atan_inverse(239)


PI = pi_by_machin()


@given(st.integers(1_000, 60_000), st.integers(200, 20_000), st.integers(200, 102_400))
def test_the_volume_per_step_is_rounded_once(bore_um: int, lead_um: int, steps: int) -> None:
    exact = PI * bore_um * bore_um / 4 * lead_um / steps
    assert abs(syringes.step_fl(bore_um, lead_um, steps) - exact) <= Decimal("0.5000000001")


# Areas and volumes per step as computed by hand from the published diameters (two decimals of a mm2, of a nL).
@pytest.mark.parametrize(
    ("size", "area_mm2", "step_nl"),
    [
        ("1mL", 17.9, 11.2), ("3 mL", 58.9, 36.8), ("5mL", 114.2, 71.4), ("10mL", 165.1, 103), ("20mL", 287.4, 180),
        ("30mL", 369.8, 231), ("60 ml", 559.9, 350),
    ],
)  # fmt: skip
def test_the_table(size: str, area_mm2: float, step_nl: float) -> None:
    found = syringes.find(size)
    assert float(syringes.area_um2(found.bore_um())) / 1e6 == pytest.approx(area_mm2, abs=0.05)
    assert syringes.step_fl(found.bore_um(), 2_000, 3_200) / 1e6 == pytest.approx(step_nl, rel=0.005)
    assert 0.96 < float(syringes.area_um2(found.bore_um("newera")) / syringes.area_um2(found.bore_um())) < 0.995
    with pytest.raises(UsageError):
        found.bore_um("bogus")


def test_every_syringe_fits_the_pumps_ranges() -> None:
    ranges = {row[1]: (row[2], row[3]) for row in OPTIONS}
    for syringe in syringes.SYRINGES:
        for table in syringes.TABLES:
            bore = syringe.bore_um(table)
            for name, value in (
                ("bore_um", bore),
                ("step_fl", syringes.step_fl(bore, 2_000, 3_200)),
                ("syringe_nl", syringe.size_nl),
                ("syringe_max_nl_per_day", syringe.max_rate_nl_per_day(table)),
            ):
                assert ranges[name][0] <= value <= ranges[name][1], (syringe.name, name)


def test_the_highest_rate_is_that_of_the_motor_on_the_usual_screw() -> None:
    # the specification's example: 2000 steps/s push 81 mL/h (80.75) out of a 1 mL syringe
    step_fl = syringes.step_fl(4_780, 2_000, 3_200)
    assert step_fl * 2_000 * 3_600 / 1e12 == pytest.approx(80.75, abs=0.01)
    assert syringes.find("1mL").max_rate_nl_per_day() == 80 * 24_000_000


def test_an_unknown_size_names_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        syringes.find("7mL")
    assert "30 mL" in caught.value.next_step
