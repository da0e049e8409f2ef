"""The fill of a reservoir: every cell of the published table, rounding to the marks of a syringe, and refusals."""

from __future__ import annotations

import re
from datetime import date
from fractions import Fraction

import pytest

from haipump.errors import DoseRefused
from haipump.quantities import rounded
from haipump.therapy import calendar as cal
from haipump.therapy import calendar_page, dose, findings, flow, sheet
from tests.host.therapy.conftest import course

ML = 1_000_000
# The usual recipe: 0.12 mg/kg/day, 30 mL, 14 days. kg, mL/day -> mg in 30 mL, mg/mL, out in 14 d (mL), residual (mL)
TABLE = [
    (50, "1.3", "138.5", "4.62", "18.2", "11.8"),
    (70, "1", "252", "8.4", "14", "16"),
    (70, "1.3", "193.8", "6.46", "18.2", "11.8"),
    (70, "1.6", "157.5", "5.25", "22.4", "7.6"),
    (90, "1.3", "249.2", "8.31", "18.2", "11.8"),
]


@pytest.mark.parametrize(("weight_kg", "flow_ml", "mg", "mg_per_ml", "out_ml", "left_ml"), TABLE)
def test_the_table(weight_kg, flow_ml, mg, mg_per_ml, out_ml, left_ml) -> None:
    flow_nl = int(Fraction(flow_ml) * ML)
    exact = dose.drug_in_reservoir_mg(Fraction("0.12"), Fraction(weight_kg), 30 * ML, flow_nl)
    assert rounded(exact, 1) == mg
    assert rounded(exact / 30, 2) == mg_per_ml
    left_nl = dose.residual_nl(30 * ML, flow_nl, 14)
    assert left_nl == Fraction(left_ml) * ML
    assert 30 * ML - left_nl == Fraction(out_ml) * ML


@pytest.mark.parametrize(("weight_kg", "flow_ml", "mg", "mg_per_ml", "out_ml", "left_ml"), TABLE)
def test_the_table_through_a_course(library, weight_kg, flow_ml, mg, mg_per_ml, out_ml, left_ml) -> None:
    made = dose.prepare(
        plan := course(('"70 kg"', f'"{weight_kg} kg"'), ('"1.3 mL/day"', f'"{flow_ml} mL/day"')),
        library, plan.phases[0], days=14,
    )  # fmt: skip
    assert made.main is not None and rounded(made.main.exact, 1) == mg
    assert made.residual_nl == Fraction(left_ml) * ML - dose.PRIME_NL, "of a pump on a line 0.5 mL are primed"
    # what is drawn gives the dose back, as far as the syringe's marks allow
    assert made.dose_after is not None
    off = 100 * (made.dose_after - Fraction("0.12")) / Fraction("0.12")
    assert off == made.main.draw.error_percent and abs(off) <= library.aim_percent


def test_days_of_supply() -> None:
    assert dose.supply_days(30 * ML, 2 * ML, 1_300_000) == Fraction(280, 13)
    assert dose.supply_days(30 * ML, 0, 1_000_000) == 30


def test_the_measured_flow_makes_the_dose_not_the_label(library) -> None:
    plan = course(('# measured_flow = "1.27', 'measured_flow = "1.43'))
    made = dose.prepare(plan, library, plan.phases[0], days=14)
    assert made.main is not None and made.main.exact == Fraction("0.12") * 70 * 30 / Fraction("1.43")
    assert made.supply_days == Fraction("27.5") / Fraction("1.43")


def test_a_pump_of_constant_flow_is_not_primed(library) -> None:
    plan = course(CONSTANT)
    made = dose.prepare(plan, library, plan.phases[0], days=14)
    assert made.supply_days == Fraction(28) / Fraction("1.3") and made.residual_nl == Fraction("11.8") * ML
    first = cal.fills(plan)[0]
    assert calendar_page.left_text(plan, library, first) == "11.8 mL"
    line = course()
    assert calendar_page.left_text(line, library, first) == "11.3 mL", "the calendar says what the sheet says"
    assert "V − F t" in (words := re.sub(r"<[^>]+>", " ", sheet.compose(made, 1, 12))) and "V_prime" not in words


# --- flow against its reference


@pytest.mark.parametrize(
    ("measured_nl", "verdict"),
    [
        (1_000_000, "accepted"), (1_100_000, "accepted"), (1_100_001, "flagged"), (1_150_000, "flagged"),
        (1_150_001, "out of bounds"), (900_000, "accepted"), (899_999, "flagged"), (850_000, "flagged"),
        (849_999, "out of bounds"), (500_000, "out of bounds"), (499_999, "no flow"), (1_500_000, "out of bounds"),
        (1_500_001, "no flow"), (None, "not measured"),
    ],
)  # fmt: skip
def test_flow_at_its_bounds(measured_nl: int | None, verdict: str) -> None:
    assert flow.check(1_000_000, measured_nl).verdict == verdict


def test_a_flow_out_of_bounds_is_refused_until_somebody_stands_for_it(library) -> None:
    plan = course(('# measured_flow = "1.27', 'measured_flow = "1.5'))
    with pytest.raises(DoseRefused, match=r"15\.4 % off.*acknowledge-flow"):
        dose.prepare(plan, library, plan.phases[0], days=14)
    made = dose.prepare(plan, library, plan.phases[0], days=14, acknowledged="A. Person: weighed twice")
    assert any("acknowledged by A. Person: weighed twice" in warning for warning in made.warnings)
    assert "A. Person: weighed twice" in sheet.compose(made, 1, 12)


def test_half_the_flow_is_no_flow_whoever_stands_for_it(library) -> None:
    plan = course(('# measured_flow = "1.27', 'measured_flow = "0.6'))
    with pytest.raises(DoseRefused, match=r"53\.8 % off.*whoever stands for it"):
        dose.prepare(plan, library, plan.phases[0], days=14, acknowledged="A. Person: weighed twice")
    assert findings.BOUNDS["obstacle"][0] * 100 == flow.OBSTACLE_PERCENT


@pytest.mark.parametrize(
    ("measured_nl", "off"),
    [(1_495_000, "15"), (1_495_100, "15.007692"), (1_495_001, "15.000077"), (1_430_013, "10.001"), (1_500_000, "15.4")],
)
def test_a_flow_beside_its_bound_is_not_shown_as_the_bound(measured_nl: int, off: str) -> None:
    made = flow.check(1_300_000, measured_nl)
    assert made.off == off and f" {off} % fast" in made.text


def test_a_flow_that_was_measured_after_the_fill_is_told(library) -> None:
    plan = course(
        ('# measured_flow = "1.27', 'measured_flow = "1.27'), ("# measured_on = 2027-02-08", "measured_on = 2027-02-08")
    )
    for day, told in ((date(2027, 2, 8), False), (date(2027, 2, 7), True)):
        made = dose.prepare(plan, library, plan.phases[0], days=14, on=day)
        assert any("measured on 2027-02-08, and that is after this fill" in one for one in made.warnings) == told
        assert "as found on 2027-02-08" in sheet.compose(made, 1, 12)


# --- what a pharmacy can draw up


@pytest.mark.parametrize(
    ("exact_ml", "text", "error"),
    [
        ("1.938", "1 mL + 0.94 mL with a 1 mL syringe", "0.1032"),  # one draw of 3 mL would be 2 % off
        ("1.9", "1.9 mL with a 3 mL syringe", "0"),
        ("0.125", "0.12 mL with a 1 mL syringe", "-4"),  # two marks as near: the lower one
        ("0.1251", "0.13 mL with a 1 mL syringe", "3.9169"),
        ("4.33", "1 mL + 1 mL + 1 mL", None),
        ("15", "15 mL with a 20 mL syringe", "0"),
    ],
)
def test_drawing_up(library, exact_ml: str, text: str, error: str | None) -> None:
    if error is None:  # would need five draws of the fine syringe: the coarse one is taken
        made = dose.component(library.drugs["floxuridine"], Fraction(exact_ml) * 100, library)
        assert made.draw.text == "3 mL + 1.3 mL with a 3 mL syringe"
        return
    made = dose.component(library.drugs["floxuridine"], Fraction(exact_ml) * 100, library)
    assert made.draw.text == text
    assert rounded(made.draw.error_percent, 4) == error
    assert made.amount == made.draw.volume_nl * Fraction(100, ML)


def test_every_draw_is_on_a_mark_and_fits(library) -> None:
    for thousandths in range(60, 40_000, 137):
        for way in dose.ways(Fraction(thousandths * 1000), library):
            assert all(0 < part <= way.syringe_nl and part % way.graduation_nl == 0 for part in way.parts_nl)
            assert len(way.parts_nl) <= library.draws_max
            assert 2 * abs(way.volume_nl - thousandths * 1000) <= way.graduation_nl


def test_what_no_mark_meets_is_refused(library) -> None:
    with pytest.raises(DoseRefused, match="can't be drawn up within 5 %"):
        dose.component(library.drugs["floxuridine"], Fraction(9, 2), library)  # 0.045 mL: 0.04 or 0.05
    with pytest.raises(DoseRefused, match="the nearest is -5.3 % off"):
        dose.component(library.drugs["floxuridine"], Fraction(19, 2), library)  # 0.095 mL: 0.09 or 0.1
    assert dose.component(library.drugs["floxuridine"], Fraction(21, 2), library).draw.text.startswith("0.1 mL")
    with pytest.raises(DoseRefused, match="no syringe can"):
        dose.component(library.drugs["floxuridine"], Fraction(1, 100), library)


def test_vials_are_whole(library) -> None:
    drug = library.drugs["floxuridine"]
    assert dose.component(drug, Fraction(500), library).vials == 1
    assert dose.component(drug, Fraction(510), library).vials == 2


def test_units_and_percent_are_made_up_by_volume(library) -> None:
    plan = course(
        ('drug = "heparin-saline"\ndays = 14\nconcentration = "1000 units/mL"\ndiluent = "saline"',
         'drug = "glycerin"\ndays = 14\nconcentration = "50 %"\ndiluent = "bacteriostatic-water"'),
    )  # fmt: skip
    made = dose.prepare(plan, library, plan.phases[1], days=14)
    assert made.main is not None and (made.main.draw.volume_nl, made.main.unit) == (15 * ML, "mL")
    assert made.diluent_nl == 15 * ML and made.concentration == (50, "%")
    heparin = dose.prepare(course(), library, course().phases[1], days=14)
    assert heparin.main is not None and heparin.main.amount == 30_000


# --- refusals


def test_a_hard_limit_refuses_and_a_soft_one_warns(library) -> None:
    plan = course(('dose = "0.12', 'dose = "0.2'))
    made = dose.prepare(plan, library, plan.phases[0], days=14)
    assert any("soft limit of 0.13 mg/kg/day" in warning for warning in made.warnings)
    plan = course(('dose = "0.12', 'dose = "0.2001'))
    with pytest.raises(DoseRefused, match=r"hard limit of 0\.2 mg/kg/day"):
        dose.prepare(plan, library, plan.phases[0], days=14)


def test_a_pump_that_would_run_dry_is_refused(library) -> None:
    plan = course()
    assert dose.prepare(plan, library, plan.phases[0], days=21)
    with pytest.raises(DoseRefused, match="run dry"):
        dose.prepare(plan, library, plan.phases[0], days=22)


def test_additives_that_do_not_fit_are_refused(library) -> None:
    plan = course(('fill = "30 mL"', 'fill = "5 mL"'))
    with pytest.raises(DoseRefused, match="would go into a fill of 5 mL"):
        dose.prepare(plan, library, plan.phases[0], days=2)


def test_less_of_the_dose_after_an_adjustment(library) -> None:
    plan = course()
    made = dose.prepare(plan, library, plan.phases[0], days=14, percent=Fraction(50))
    assert made.main is not None and made.main.exact == Fraction("0.06") * 70 * 30 / Fraction("1.3")


# --- limits for the pump


def test_the_pumps_limits_are_integers_rounded_down(library) -> None:
    plan = course()
    made = dose.prepare(plan, library, plan.phases[0], days=14)
    assert dose.limits_of(made) == {
        "drug": "floxuridine",
        "max_rate_nl_per_day": 5_000_000,
        "soft_rate_nl_per_day": 3_000_000,
        "max_bolus_nl": 0,
        "soft_bolus_nl": 0,
        "max_dose_nl": 2_166_666,  # 0.2 / 0.12 of 1.3 mL
        "soft_dose_nl": 1_408_333,  # 0.13 / 0.12: what is planned stays below it
        "window_s": 86_400,
    }


def test_a_drug_without_a_dose_has_the_limits_of_its_rate(library) -> None:
    made = dose.pump_limits(library.drugs["glycerin"], (Fraction(50), "%"), Fraction(70))
    assert (made["soft_dose_nl"], made["max_dose_nl"]) == (3_000_000, 5_000_000)


# --- the sheet


def test_the_sheet_has_every_number_with_its_formula(library) -> None:
    plan = course()
    made = dose.prepare(plan, library, plan.phases[0], days=14)
    page = sheet.compose(made, 1, 12)
    words = re.sub(r"<[^>]+>", " ", page)
    for part in (
        "d W V / F", "0.12 × 70 × 30 / 1.3", "193.846 mg", "m / c_stock", "1.9385 mL", "1 mL + 0.94 mL", "+0.08 %",
        "194 mg", "m′ F / (V W)", "0.1201 mg/kg/day", "(V − V_prime − V_unusable) / F", "21.15 days",
        "V − V_prime − F t", "30 − 0.5 − 1.3 × 14", "11.3 mL", "V_prime = 0.5 mL, pushed off the catheter",
        "prepared by", "checked by", "NOT FOR CLINICAL USE", "never to be connected to a person", "make up to 30 mL",
        library.sha256[:16],
    ):  # fmt: skip
        assert part in words, part


def test_names_from_the_file_can_not_become_markup(library) -> None:
    plan = course(("bench patient 1", "<script>alert(1)</script>"))
    made = dose.prepare(plan, library, plan.phases[0], days=14)
    assert "<script" not in sheet.compose(made, 1, 12)


# --- a constant-flow pump with something thick in it

GLYCERIN = (
    'drug = "heparin-saline"\ndays = 14\nconcentration = "1000 units/mL"\ndiluent = "saline"',
    'drug = "glycerin"\ndays = 14\nconcentration = "50 %"\ndiluent = "bacteriostatic-water"',
)
CONSTANT = ('kind = "programmable"', 'kind = "constant-flow"')


def test_a_constant_flow_pump_runs_slower_with_glycerin(library) -> None:
    plan = course(GLYCERIN, CONSTANT)
    made = dose.prepare(plan, library, plan.phases[1], days=80)
    assert made.fill_flow_nl_per_day == 200_000  # 1.3 mL/day / 6.5
    assert (made.supply_days, made.residual_nl) == (140, 14 * ML)
    assert any("should run at 0.2 mL/day" in warning for warning in made.warnings)
    assert "F / thickness" in sheet.compose(made, 1, 12)
    water = dose.prepare(plan, library, plan.phases[0], days=14)
    assert water.fill_flow_nl_per_day == 1_300_000


def test_a_programmable_pump_does_not(library) -> None:
    plan = course(GLYCERIN)
    assert dose.prepare(plan, library, plan.phases[1], days=14).fill_flow_nl_per_day == 1_300_000


def test_at_another_strength_the_shorter_supply_counts(library) -> None:
    plan = course((GLYCERIN[0], GLYCERIN[1].replace("50 %", "40 %")), CONSTANT)
    made = dose.prepare(plan, library, plan.phases[1], days=14)
    assert made.fill_flow_nl_per_day == 1_300_000
    assert any("by how much is not known" in warning for warning in made.warnings)
    with pytest.raises(DoseRefused, match="run dry"):
        dose.prepare(plan, library, plan.phases[1], days=22)


def test_numbers_of_many_digits_are_grouped() -> None:
    assert [sheet.grouped(Fraction(value)) for value in (1000, 9999, 10_000, 1_234_567)] == [
        "1000", "9999", "10,000", "1,234,567",
    ]  # fmt: skip
    assert sheet.grouped(Fraction("30000.25")) == "30,000.25"
