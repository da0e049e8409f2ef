"""What is wrong with a course that can be read: each check found, at its place, and nothing in a good one."""

from __future__ import annotations

import pytest

from haipump.therapy import checks, reading, rules
from haipump.therapy import course as courses
from tests.host.therapy.conftest import course, example

ONE = ("cycles = 6", "cycles = 1")


def found(library, plan: courses.Course) -> list[reading.Problem]:
    known = rules.load()
    chosen = known.get(plan.rules) if plan.rules else next(iter(known.values()))
    return checks.check(checks.Plan(plan, library, chosen, tuple(known)))


def refill(day: str, drug: str) -> str:
    return f'\n[[refill]]\ndate = {day}\ndrug = "{drug}"\n'


def test_the_example_is_right(library) -> None:
    assert found(library, course()) == []


@pytest.mark.parametrize(
    ("old", "new", "level", "where", "said"),
    [
        ('"70 kg"', '"29.9 kg"', "error", "patient.weight", "not between 30 and 200 kg"),
        ('"70 kg"', '"201 kg"', "error", "patient.weight", "not between 30 and 200 kg"),
        ('"400 mL/min"', '"40 mL/min"', "warning", "patient.artery_flow", "no flow of a hepatic artery"),
        ('rules = "floyd-2006"', 'rules = "floyd"', "error", "course.rules", 'did you mean "floyd-2006"'),
        ('ast = "28 U/L"', 'ast = "2800 U/L"', "error", "patient.reference.ast", "can't be: it is 3 to 1000 U/L"),
        ('ast = "28 U/L"', 'ast = "300 U/L"', "warning", "patient.reference.ast", "unusually high"),
        ('alp = "80 U/L"', 'alp = "9 U/L"', "error", "patient.reference.alp", "can't be"),
        ('bilirubin = "0.7 mg/dL"', 'bilirubin = "2.1 mg/dL"', "warning", "patient.reference.bilirubin", "high"),
        ('alp = "120 U/L"', 'alp = "12 U/L"', "error", "patient.upper_limit.alp", "can't be"),
        ('alp = "120 U/L"', 'alp = "70 U/L"', "warning", "patient.upper_limit.alp", "unusually low"),
        ('bilirubin = "1.2 mg/dL"', 'bilirubin = "1.2 umol/L"', "error", "patient.upper_limit.bilirubin", "its unit"),
        ("taken = 2027-01-04", "taken = 2027-01-12", "error", "patient.reference.taken", "after the course's start"),
        ("taken = 2027-01-04", "taken = 2026-07-12", "warning", "patient.reference.taken", "26 weeks before"),
        ('ast = "28 U/L"', "", "warning", "patient.reference.ast", "compares AST with it"),
        ('alp = "120 U/L"', "", "warning", "patient.upper_limit.alp", "compares ALP with it"),
        ('fill = "30 mL"', 'fill = "31 mL"', "error", "pump.fill", "do not go into a reservoir"),
        ('unusable = "2 mL"', 'unusable = "30 mL"', "error", "pump.unusable", "nothing can be used"),
        ('# measured_flow = "1.27', 'measured_flow = "1.5', "error", "pump.measured_flow", "15.4 % off"),
        ('# measured_flow = "1.27', 'measured_flow = "1.45', "warning", "pump.measured_flow", "11.5 % off"),
        ('"1.3 mL/day"', '"3.1 mL/day"', "warning", "phase[1].drug", "soft limit of 3 mL/day"),
        ('"1.3 mL/day"', '"5.1 mL/day"', "error", "phase[1].drug", "hard limit of 5 mL/day"),
        ('"0.12 mg/kg/day"', '"0.14 mg/kg/day"', "warning", "phase[1].dose", "soft limit of 0.13 mg/kg/day"),
        ('"0.12 mg/kg/day"', '"0.21 mg/kg/day"', "error", "phase[1].dose", "hard limit of 0.2 mg/kg/day"),
        ('"0.12 mg/kg/day"', '"0.009 mg/kg/day"', "error", "phase[1].dose", "hard limit of 0.5 mg/mL"),
        ('"1000 units/mL"', '"2001 units/mL"', "error", "phase[2].concentration", "hard limit of 2000 units/mL"),
        ('"1000 units/mL"', '"5 mg/mL"', "error", "phase[2].concentration", "is measured in units/mL"),
        ('drug = "heparin-saline"', 'drug = "heparin"', "error", "phase[2].drug", "no drug for the reservoir"),
        ('drug = "floxuridine"', 'drug = "floxuridin"', "error", "phase[1].drug", 'did you mean "floxuridine"'),
        ('dose = "0.12 mg/kg/day"', "", "error", "phase[1].dose", "dosed by body weight"),
        ('concentration = "1000 units/mL"', "", "error", "phase[2].concentration", "is missing"),
        ('concentration = "1000 units/mL"', 'dose = "1 mg/kg/day"', "error", "phase[2].dose", "not dosed in mg/kg/day"),
        ('dose = "0.12 mg/kg/day"', 'dose = "0.12 mg/kg/day"\nconcentration = "6 mg/mL"', "error",
         "phase[1].concentration", "one follows from the other"),
        ('dose = "0.12 mg/kg/day"\ndiluent = "saline"', 'dose = "0.12 mg/kg/day"', "error", "phase[1].diluent",
         "with what is the fill made up"),
        ('dose = "0.12 mg/kg/day"\ndiluent = "saline"', 'dose = "0.12 mg/kg/day"\ndiluent = "glycerin"', "error",
         "phase[1].diluent", "is not made up with"),
        ('amount = "25 mg"', 'amount = "26 mg"', "warning", "phase[1].additive[2].amount", "soft limit of 25 mg"),
        ('amount = "25 mg"', 'amount = "51 mg"', "error", "phase[1].additive[2].amount", "hard limit of 50 mg"),
        ('amount = "25 mg"', 'amount = "25 units"', "error", "phase[1].additive[2].amount", "measured in mg"),
        ('drug = "dexamethasone"', 'drug = "saline"', "error", "phase[1].additive[2].drug", "not known to go with"),
        ("days = 14\ndose", "days = 22\ndose", "error", "phase[1].days", "runs dry"),
        ("days = 14\ndose", "days = 20\ndose", "warning", "phase[1].days", "less than 2 days to spare"),
        ("start = 2027-01-11", "start = 2027-01-09", "warning", "course.start", "Sat 2027-01-09, and 11 more"),
    ],
)  # fmt: skip
def test_each_check_finds_its_mistake(library, old: str, new: str, level: str, where: str, said: str) -> None:
    text = example((old, new))
    those = [
        one
        for one in found(library, courses.parse(text))
        if one.where == where and said in f"{one.what}. {one.next_step}"
    ]
    assert those and those[0].level == level
    assert those[0].next_step
    line, key = text.splitlines()[those[0].line - 1], where.rpartition(".")[2]
    assert line.startswith((f"{key} =", "["))  # what is missing has the line of its table


def test_below_a_limit_nobody_is_told_to_lower_it(library) -> None:
    (low,) = [one for one in found(library, course(('"0.12 mg/kg/day"', '"0.009 mg/kg/day"'))) if "below" in one.what]
    assert low.next_step.startswith("check amount, weight and flow") and "lower" not in low.next_step
    (high,) = [one for one in found(library, course(('"0.12 mg/kg/day"', '"0.21 mg/kg/day"'))) if one.level == "error"]
    assert high.next_step.startswith("lower it")


def test_all_of_it_at_once(library) -> None:
    plan = course(('"70 kg"', '"20 kg"'), ('fill = "30 mL"', 'fill = "40 mL"'), ('diluent = "saline"', ""))
    where = [one.where for one in found(library, plan)]
    assert {"patient.weight", "pump.fill", "phase[1].diluent", "phase[2].diluent"} <= set(where)
    lines = [one.line for one in found(library, plan)]
    assert lines == sorted(lines)


@pytest.mark.parametrize(("days", "level"), [(19, None), (20, "warning"), (21, "warning"), (22, "error")])
def test_supply_at_its_bounds(library, days: int, level: str | None) -> None:
    """27.5 mL at 1.3 mL/day are 21.15 days, and two of them to spare."""
    those = [one for one in found(library, course(("days = 14\ndose", f"days = {days}\ndose")))]
    assert [one.level for one in those if one.where == "phase[1].days"] == ([level] if level else [])


@pytest.mark.parametrize(("days", "told"), [(28, False), (29, True)])
def test_stability_at_its_bound(library, days: int, told: bool) -> None:
    plan = course(("days = 14\ndose", f"days = {days}\ndose"), ('"1.3 mL/day"', '"0.6 mL/day"'))
    those = [one for one in found(library, plan) if "is good for 28" in one.what]
    assert bool(those) == told
    assert all(one.level == "error" and one.where == "phase[1].days" for one in those)


ACKNOWLEDGED = (
    ('# flow_acknowledged = "name: reason"', 'flow_acknowledged = "A. Person: weighed"'),
    ('# flow_acknowledged_for = "1.27', 'flow_acknowledged_for = "1.5'),
)


def test_a_flow_that_is_acknowledged_is_a_warning(library) -> None:
    plan = course(
        ('# measured_flow = "1.27', 'measured_flow = "1.5'),
        *ACKNOWLEDGED,
    )
    levels = {one.where: one.level for one in found(library, plan)}
    assert levels["pump.flow_acknowledged"] == "warning" and "error" not in levels.values()


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        ("1.51", "A. Person: weighed stood for 1.5 mL/day"),  # an acknowledgement is of one flow
        ("1.499999", "stood for 1.5 mL/day"),
        ("0.6", "53.8 % slow. Above 50 % it is no flow to dose by"),
        ("1.951", "50.1 % fast"),
    ],
)
def test_an_acknowledgement_covers_its_flow_and_no_other(library, flow: str, said: str) -> None:
    plan = course(('# measured_flow = "1.27', f'measured_flow = "{flow}'), *ACKNOWLEDGED)
    errors = [one for one in found(library, plan) if one.level == "error"]
    assert [one.where for one in errors] == ["pump.measured_flow"] and said in errors[0].what


def test_an_acknowledgement_says_which_flow(library) -> None:
    plan = course(('# measured_flow = "1.27', 'measured_flow = "1.31'), ACKNOWLEDGED[0])
    errors = [one for one in found(library, plan) if one.level == "error"]
    assert [one.where for one in errors] == ["pump.flow_acknowledged"]
    assert 'flow_acknowledged_for = "1.31 mL/day"' in errors[0].next_step


@pytest.mark.parametrize(("day", "wrong"), [("2027-06-27", False), ("2027-06-28", True), ("2035-01-01", True)])
def test_a_flow_of_after_the_course_is_told(library, day: str, wrong: bool) -> None:
    plan = course(
        ('# measured_flow = "1.27', 'measured_flow = "1.31'), ("# measured_on = 2027-02-08", f"measured_on = {day}")
    )
    assert [(one.level, one.where) for one in found(library, plan)] == [("warning", "pump.measured_on")] * wrong


def test_a_pause_keeps_the_catheter_open(library) -> None:
    pause = '\n[[pause]]\nafter_cycle = 1\ndays = 14\ndrug = "saline"\n'
    those = [one for one in found(library, courses.parse(example() + pause)) if one.where == "pause[1].drug"]
    assert [one.level for one in those] == ["error"] and "heparin-saline or glycerin" in those[0].next_step


def test_a_course_that_ends_with_drug_is_told(library) -> None:
    text = example()
    text = text[: text.index("[[phase]]                         # keeps")]
    those = found(library, courses.parse(text))
    assert [(one.level, one.where) for one in those] == [("warning", "phase[1].drug")]


# --- refills that are listed

GOOD = refill("2027-01-11", "floxuridine") + refill("2027-01-25", "heparin-saline")


def test_listed_refills_that_fit(library) -> None:
    assert found(library, courses.parse(example(ONE) + GOOD)) == []


@pytest.mark.parametrize(
    ("refills", "where", "said"),
    [
        (GOOD + refill("2027-01-25", "heparin-saline"), "refill[3].date", "overlaps with refill[2]"),
        (GOOD + refill("2027-02-08", "heparin-saline"), "refill[3].date", "outside of the course"),
        (refill("2027-01-10", "floxuridine") + GOOD, "refill[1].date", "outside of the course"),
        (GOOD + refill("2027-02-01", "floxuridine"), "refill[3].drug", "overlaps with heparin-saline until"),
        (refill("2027-01-11", "floxuridine"), "refill", "a gap for all of it"),
        (
            refill("2027-01-11", "floxuridine") + refill("2027-01-27", "heparin-saline"),
            "refill",
            "a gap for 2 days",
        ),
        (refill("2027-01-25", "heparin-saline"), "refill", "floxuridine begins on Mon 2027-01-11"),
    ],
)
def test_gaps_and_overlaps(library, refills: str, where: str, said: str) -> None:
    those = [one for one in found(library, courses.parse(example(ONE) + refills)) if one.where == where]
    assert those and said in those[0].what and those[0].level == "error"


def test_a_late_refill_says_when_the_pump_is_empty(library) -> None:
    text = example(ONE, ("days = 14\ndose", "days = 28\ndose"))
    text += refill("2027-01-11", "floxuridine") + refill("2027-02-08", "heparin-saline")
    those = [one for one in found(library, courses.parse(text)) if "runs dry" in one.what]
    assert len(those) == 1 and "empty on Mon 2027-02-01" in those[0].what and those[0].where == "refill[1]"


def test_priming_counts_for_the_supply_of_a_pump_on_its_line(library) -> None:
    """14.08 days by (18.8 - 0.5) / 1.3 alone; the visit primes 0.5 mL, and the pump would refuse the volume then."""
    fill = (('fill = "30 mL"', 'fill = "18.8 mL"'), ('unusable = "2 mL"', 'unusable = "0.5 mL"'))
    those = [one for one in found(library, course(*fill)) if one.level == "error"]
    assert [one.where for one in those] == ["phase[1].days", "phase[2].days"]
    assert "lasts 13.7 days (17.8 mL at 1.3 mL/day, without 0.5 mL for priming)" in those[0].what
    constant = course(*fill, ('kind = "programmable"', 'kind = "constant-flow"'))
    assert [one for one in found(library, constant) if one.level == "error"] == []


# --- drawing up, and thick drugs


def test_what_can_not_be_drawn_up_is_told(library) -> None:
    plan = course(('amount = "25 mg"', 'amount = "0.45 mg"'))  # 0.045 mL: 0.04 or 0.05
    those = [one for one in found(library, plan) if one.level == "error"]
    assert [one.where for one in those] == ["phase[1]"] and "can't be drawn up within 5 %" in those[0].what


def test_what_does_not_go_into_the_fill_is_told(library) -> None:
    plan = course(
        ('fill = "30 mL"', 'fill = "5 mL"'), ("days = 14", "days = 1"), ('amount = "25 mg"', 'amount = "24 mg"')
    )
    those = [one for one in found(library, plan) if one.level == "error"]
    assert [(one.where, "would go into a fill of 5 mL" in one.what) for one in those] == [("phase[1]", True)]


def test_glycerin_lasts_longer_in_a_constant_flow_pump_until_it_is_too_old(library) -> None:
    text = example(
        ('kind = "programmable"', 'kind = "constant-flow"'),
        ('drug = "heparin-saline"\ndays = 14\nconcentration = "1000 units/mL"',
         'drug = "glycerin"\ndays = 90\nconcentration = "50 %"'),
    )  # fmt: skip
    errors = [one for one in found(library, courses.parse(text)) if one.level == "error"]
    assert errors == []
    older = [
        one for one in found(library, courses.parse(text.replace("days = 90", "days = 91"))) if one.level == "error"
    ]
    assert [one.where for one in older] == ["phase[2].days"] and "good for 90" in older[0].what
    slow = text.replace('"constant-flow"', '"programmable"')
    dry = [one for one in found(library, courses.parse(slow)) if one.level == "error"]
    assert [one.where for one in dry] == ["phase[2].days"] and "runs dry" in dry[0].what
