"""Units, rounding, and the settings table."""

from fractions import Fraction
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.core import options, units


def test_the_quantum_makes_a_rate_a_whole_number_per_microsecond():
    per_day = units.SECONDS_PER_DAY * units.US_PER_S  # quanta of 1 nL/day
    assert per_day == units.QUANTA_PER_NL == units.FL_PER_NL * units.QUANTA_PER_FL


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_rounding(numerator, denominator):
    up = units.div_up(numerator, denominator)
    assert (up - 1) * denominator < numerator <= up * denominator
    near = units.div_near(numerator, denominator)
    assert -denominator < 2 * (numerator - near * denominator) <= denominator or (
        2 * (numerator - near * denominator) == -denominator
    )


@given(st.integers(0, 10**30))
def test_roots(number):
    assert units.root_down(number) == isqrt(number)


@given(st.integers(1_000, 60_000), st.integers(200, 20_000), st.integers(200, 102_400), st.sampled_from((10, 10_000)))
def test_the_range_of_a_volume_per_step(bore_um, lead_um, steps_per_turn, part):
    pi = Fraction(3_141_592653589793238, 10**18)
    exact = pi * bore_um * bore_um * lead_um / 4 / steps_per_turn
    values = {"bore_um": bore_um, "lead_um": lead_um, "steps_per_turn": steps_per_turn}
    for sign, bound in zip((-1, 1), units.within(values, part), strict=True):
        assert abs(bound - exact * (part + sign) / part) <= 2 + exact / 10**7


def test_the_default_calibration_is_in_the_middle_of_its_range():
    values = options.defaults()
    low, high = units.within(values)
    assert (low, high) == (208_032_848, 254_262_368)  # 231,147,607.6 fL with 355/113, and a tenth to either side
    assert low + high == 2 * 231_147_608


def test_every_default_is_in_its_range_and_no_key_or_name_comes_twice():
    for row in options.OPTIONS:
        assert row[options.MINIMUM] <= row[options.DEFAULT] <= row[options.MAXIMUM], row
    assert len({row[options.KEY] for row in options.OPTIONS}) == len(options.OPTIONS)
    assert len(options.defaults()) == len(options.OPTIONS)
    assert options.defaults()["kvo_nl_per_day"] == 500_000


def test_groups():
    groups = {row[options.GROUP] for row in options.OPTIONS}
    assert groups == {"calibration", "syringe", "limits", "dose", "options", "internal"}
    assert sum(len(options.rows(group)) for group in groups) == len(options.OPTIONS)
    assert [row[options.NAME] for row in options.rows("syringe")] == ["syringe_nl", "syringe_max_nl_per_day"]


def test_a_value_is_checked_against_its_row():
    assert options.check("pause_max_s", 60) is None and options.check("pause_max_s", 86_400) is None
    assert options.check("pause_max_s", 59) == options.check("pause_max_s", 86_401) == (60, 86_400)
    with pytest.raises(KeyError):
        options.check("nonsense", 1)
