"""The constant-flow pump: the published sensitivities cell by cell, books that balance, needles and what they meet."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_emulator.plant import sensitivity
from haipump_emulator.plant.catheter import CONDITIONS, DEAD_VOLUME_NL, PATENT
from haipump_emulator.plant.implant import (
    Access,
    Contents,
    ImplantedPump,
    ImplantParams,
    Needle,
    glycerin_factor,
    vapour_pa,
    water_viscosity_pa_s,
)
from haipump_emulator.plant.surroundings import PA_PER_MMHG, REFERENCE, Surroundings, ambient_at_pa

DAY_US = 86_400_000_000
ML = 1_000_000

WORLD = {
    "38 C": replace(REFERENCE, temperature_c=38.0),
    "39 C": replace(REFERENCE, temperature_c=39.0),
    "+305 m": replace(REFERENCE, ambient_pa=ambient_at_pa(304.8)),
    "+1609 m": replace(REFERENCE, ambient_pa=ambient_at_pa(1_609.344)),
    "+2438 m": replace(REFERENCE, ambient_pa=ambient_at_pa(2_438.4)),
    "+20 mmHg": replace(REFERENCE, artery_pa=REFERENCE.artery_pa + 20 * PA_PER_MMHG),
}
CELLS = [
    (bar, change, percent)
    for bar, (_, row) in sensitivity.ROWS.items()
    for change, percent in zip(sensitivity.CHANGES, row, strict=True)
]


def pump_of(**params) -> ImplantedPump:
    return ImplantedPump(ImplantParams(**params))


def changed_percent(bar: float, change: str) -> float:
    """By how much the flow of a pump with this propellant changes."""
    pump = pump_of(vapour_37_pa=bar * 1e5)
    before = pump.truth(0).flow_nl_per_s
    pump.surround(0, WORLD[change])
    return 100 * (pump.truth(0).flow_nl_per_s / before - 1)


@pytest.mark.parametrize(("bar", "change", "percent"), CELLS)
def test_every_cell_of_the_sensitivity_table_within_one_percentage_point(bar, change, percent):
    assert changed_percent(bar, change) == pytest.approx(percent, abs=1.0)


@pytest.mark.parametrize("bar", sensitivity.ROWS)
def test_the_drive_is_that_of_the_table(bar):
    drive_pa = vapour_pa(37.0, bar * 1e5) - REFERENCE.ambient_pa - REFERENCE.artery_pa
    assert drive_pa / 100 == pytest.approx(sensitivity.ROWS[bar][0], abs=1.0)


def test_the_table_has_all_that_was_published_and_says_so_of_nothing_else():
    assert len(CELLS) == 24
    assert sensitivity.cell(2.0, "39 C") == 19
    assert sensitivity.cell(2.2, "39 C") is None
    with pytest.raises(KeyError, match="no column '40 C'"):
        sensitivity.cell(2.0, "40 C")


def test_at_the_reference_the_flow_is_that_of_the_label():
    pump = pump_of(label_nl_per_day=1_600_000)
    assert pump.truth(DAY_US).pumped_nl == pytest.approx(1_600_000, rel=1e-9)


@pytest.mark.parametrize(("celsius", "mpa_s"), [(37, 0.69), (25, 0.89), (20, 1.00)])
def test_viscosity_of_water(celsius, mpa_s):
    assert water_viscosity_pa_s(celsius) * 1_000 == pytest.approx(mpa_s, abs=0.006)


def test_a_pump_made_for_the_body_is_31_percent_slow_on_a_bench_by_viscosity_alone():
    assert water_viscosity_pa_s(37) / water_viscosity_pa_s(20) == pytest.approx(1 - 0.31, abs=0.005)


# Tables of glycerin in water at 20 °C, mPa s (Segur and Oberstar 1951).
@pytest.mark.parametrize(("share", "mpa_s"), [(0.0, 1.005), (0.2, 1.76), (0.5, 6.00), (0.8, 60.1)])
def test_viscosity_of_glycerin(share, mpa_s):
    assert glycerin_factor(share, 20.0) * water_viscosity_pa_s(20.0) * 1_000 == pytest.approx(mpa_s, rel=0.05)


def test_glycerin_keeps_the_catheter_open_with_a_fifth_of_the_flow():
    pump = ImplantedPump(contents=Contents(30 * ML, glycerin_share=0.5))
    assert pump.truth(0).flow_nl_per_s * 86_400 / 1_300_000 == pytest.approx(0.20, abs=0.01)


# --- books ---

WORLDS = st.builds(
    Surroundings,
    temperature_c=st.floats(34, 41),
    ambient_pa=st.floats(70_000, 103_000),
    artery_pa=st.floats(8_000, 18_000),
)
LIVES = st.lists(st.tuples(st.integers(1, 3 * DAY_US), WORLDS, st.sampled_from(sorted(CONDITIONS))), max_size=8)


@given(LIVES)
def test_what_was_filled_is_somewhere(life):
    pump, now_us = ImplantedPump(contents=Contents(25 * ML, 6.46)), 0
    for wait_us, world, name in life:
        now_us += wait_us
        pump.surround(now_us, world)
        pump.set_catheter(now_us, CONDITIONS[name])
    truth = pump.truth(now_us + DAY_US)
    assert truth.reservoir.volume_nl + truth.pumped_nl == pytest.approx(25 * ML, abs=1e-3)
    assert truth.arrived_nl + truth.elsewhere_nl + truth.leaked_nl == pytest.approx(truth.pumped_nl, abs=1e-3)
    assert truth.pumped_ng == pytest.approx(truth.pumped_nl * 6.46, rel=1e-9)


def test_looking_changes_nothing():
    pump, watched = ImplantedPump(), ImplantedPump()
    for hour in range(1, 30 * 24):
        watched.truth(hour * DAY_US // 24)
    assert watched.truth(31 * DAY_US) == pump.truth(31 * DAY_US)


def test_stairs_of_an_unchanged_world_come_to_the_same():
    pump, stepped = ImplantedPump(), ImplantedPump()
    for hour in range(1, 30 * 24):
        stepped.surround(hour * DAY_US // 24, REFERENCE)
    one, other = pump.truth(31 * DAY_US), stepped.truth(31 * DAY_US)
    assert other.pumped_nl == pytest.approx(one.pumped_nl, rel=1e-9)
    assert other.catheter == one.catheter == "clotted"


def test_time_does_not_go_back():
    pump = ImplantedPump()
    pump.surround(DAY_US, REFERENCE)
    with pytest.raises(ValueError, match="can't go back"):
        pump.truth(DAY_US - 1)


# --- running dry ---


def test_the_flow_fades_below_the_tail_and_the_catheter_clots_two_days_later():
    pump = ImplantedPump()
    assert pump.truth(22 * DAY_US).still_s == 0
    faded = pump.truth(25 * DAY_US)
    assert 0 < faded.flow_nl_per_s < 0.1 * 1_300_000 / 86_400
    assert faded.catheter == "patent"
    clotted = pump.truth(26 * DAY_US)
    assert clotted.catheter == "clotted"
    assert clotted.flow_nl_per_s == 0
    pump.withdraw(27 * DAY_US)
    pump.fill(27 * DAY_US, Contents(30 * ML))
    assert pump.truth(28 * DAY_US).flow_nl_per_s == 0  # filling it opens nothing


def test_filled_in_time_it_does_not_clot():
    pump = ImplantedPump()
    pump.fill(25 * DAY_US, Contents(20 * ML))
    assert pump.truth(27 * DAY_US).catheter == "patent"
    assert pump.truth(27 * DAY_US).flow_nl_per_s * 86_400 == pytest.approx(1_300_000)


# --- needles ---


def test_a_refill_returns_the_residual_and_takes_the_new_fill():
    pump = ImplantedPump(contents=Contents(30 * ML, 6.46))
    returned = pump.withdraw(14 * DAY_US)
    assert returned.volume_nl == pytest.approx(11.8 * ML)
    pump.fill(14 * DAY_US, Contents(30 * ML, glycerin_share=0.5))
    assert pump.truth(14 * DAY_US).reservoir == Contents(30 * ML, glycerin_share=0.5)


def test_what_is_left_in_mixes_with_what_comes():
    pump = ImplantedPump(contents=Contents(10 * ML, 6.0))
    pump.withdraw(0, at_most_nl=5 * ML)
    pump.fill(0, Contents(15 * ML, 2.0))
    assert pump.truth(0).reservoir == Contents(20 * ML, 3.0)


def test_too_much_is_refused_and_nothing_goes_in():
    pump = ImplantedPump(contents=Contents(11 * ML))
    with pytest.raises(Access, match=r"30\.00 mL into a reservoir with room for 19\.00 mL"):
        pump.fill(0, Contents(30 * ML))
    assert pump.truth(0).reservoir.volume_nl == 11 * ML


def test_a_needle_beside_the_septum_fills_the_pocket_and_the_pump_goes_on_as_if_nothing_had_been():
    pump = ImplantedPump(contents=Contents(10 * ML, 6.46))
    pump.fill(0, Contents(20 * ML, 6.46), Needle.BESIDE)
    truth = pump.truth(DAY_US)
    assert truth.pocket == Contents(20 * ML, 6.46)
    assert truth.reservoir.volume_nl == pytest.approx(8.7 * ML)
    assert pump.withdraw(DAY_US, Needle.BESIDE).volume_nl == 20 * ML  # found at once, it can be drawn back


def test_the_bolus_needle_does_not_reach_the_reservoir():
    pump = ImplantedPump()
    with pytest.raises(Access, match="take the refill needle"):
        pump.withdraw(0, Needle.BOLUS)
    with pytest.raises(Access, match="take the refill needle"):
        pump.fill(0, Contents(ML), Needle.BOLUS)


def test_a_flush_has_no_restrictor_in_its_way():
    flush = ImplantedPump().flush(0, 5 * ML)
    assert flush.arrived_nl == pytest.approx(5 * ML)
    assert flush.took_s < 60  # the pump itself would take four days
    assert flush.ahead_nl == pytest.approx(DEAD_VOLUME_NL)


def test_a_pump_that_turned_over_goes_on_and_lets_no_needle_in():
    pump = ImplantedPump()
    pump.flip(0, True)
    assert not pump.palpable()
    for act in (pump.withdraw, lambda t: pump.flush(t, ML), lambda t: pump.fill(t, Contents(0))):
        with pytest.raises(Access, match="meets metal"):
            act(DAY_US)
    assert pump.truth(DAY_US).pumped_nl == pytest.approx(1_300_000)


def test_a_restrictor_out_of_its_tolerance():
    pump = ImplantedPump()
    pump.speed(0, 1.4)
    assert pump.truth(0).flow_nl_per_s * 86_400 == pytest.approx(1.4 * 1_300_000, rel=1e-3)
    with pytest.raises(ValueError, match="0.1 to 10"):
        pump.speed(0, 20)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ImplantedPump(ImplantParams(label_nl_per_day=1)), "implant.label_nl_per_day: 1 is outside"),
        (lambda: ImplantedPump(contents=Contents(31 * ML)), "holds 30000000 nL"),
        (lambda: Contents(-1.0), "no such contents"),
        (lambda: Contents(1.0, glycerin_share=0.9), "no such contents"),
        (lambda: glycerin_factor(0.9, 37.0), "0 to 0.8"),
        (lambda: water_viscosity_pa_s(-1.0), "0 to 100"),
        (lambda: ImplantedPump().flush(0, -1.0), "0 nL or more"),
        (lambda: Surroundings(temperature_c=80.0), "temperature_c is 80"),
        (lambda: Surroundings(ambient_pa=math.nan), "ambient_pa is nan"),
    ],
)
def test_bad_input_is_refused_in_words(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_the_default_catheter_is_the_one_that_the_label_was_measured_with():
    assert ImplantedPump().truth(0).catheter == PATENT.name
