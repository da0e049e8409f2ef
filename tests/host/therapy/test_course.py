"""Reading a course: every mistake with its line and key, all at once; and the calendar that follows."""

from __future__ import annotations

import random
import re
from datetime import date, timedelta
from fractions import Fraction

import pytest

from haipump.errors import CourseFileError
from haipump.therapy import calendar as cal
from haipump.therapy import calendar_page, checks, dose, reading, rules
from haipump.therapy import course as courses
from tests.host.therapy.conftest import course, example

PAUSE = (
    '\n[[pause]]\nafter_cycle = 2\ndays = 42\nrefill_every_days = 21\ndrug = "glycerin"\nconcentration = "50 %"\n'
    'diluent = "saline"\nreason = "holiday"\n'
)


def problems(text: str) -> list[dict]:
    with pytest.raises(CourseFileError) as caught:
        courses.parse(text)
    return caught.value.problems


def test_the_example() -> None:
    made = course()
    assert made.patient.weight_kg == 70 and made.patient.reference["bilirubin"] == Fraction("0.7")
    assert made.patient.artery_flow_nl_per_day == 576_000_000_000
    assert made.pump.flow_nl_per_day == 1_300_000
    assert [phase.drug for phase in made.phases] == ["floxuridine", "heparin-saline"]
    assert made.phases[0].additives[0] == courses.Additive("heparin", Fraction(30_000), "units")


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ('"70 kg"', '"70"', "patient.weight", "has no unit"),
        ('"70 kg"', "70", "patient.weight", "is no text"),
        ('"70 kg"', '"0 kg"', "patient.weight", "above 0"),
        ('weight = "70 kg"', 'wieght = "70 kg"', "patient.wieght", 'did you mean "weight"'),
        ("start = 2027-01-11", 'start = "2027-01-11"', "course.start", "date without quotes"),
        ("start = 2027-01-11", "start = 2027-01-11T08:00:00", "course.start", "date without quotes"),
        ("start = 2027-01-11", "start = 9999-12-31", "course.start", "not from 1970 to 2199"),
        ("start = 2027-01-11", "start = 0207-01-11", "course.start", "not from 1970 to 2199"),
        ("cycles = 6", "cycles = 0", "course.cycles", "not from 1 to 130"),
        ("cycles = 6", "cycles = 6.5", "course.cycles", "whole number"),
        ('kind = "programmable"', 'kind = "programable"', "pump.kind", 'did you mean "programmable"'),
        ('"1.3 mL/day"', '"1.3 mL"', "pump.labelled_flow", "has no time"),
        ('"1.3 mL/day"', '"0 mL/day"', "pump.labelled_flow", "above 0"),
        ('fill = "30 mL"', 'fill = "30 ml/day"', "pump.fill", "unit"),
        ('dose = "0.12 mg/kg/day"', 'dose = "0.12 mg/day"', "phase[1].dose", "use mg/kg/day"),
        ('concentration = "1000 units/mL"', 'concentration = "1000 U/mL"', "phase[2].concentration", "in full"),
        ('amount = "30000 units"', 'amount = "0 units"', "phase[1].additive[1].amount", "is 0"),
        ('ast = "28 U/L"', 'ast = "28 mg/dL"', "patient.reference.ast", "use U/L"),
        ('# flow_acknowledged = "name: reason"', 'flow_acknowledged = "me"', "pump.flow_acknowledged", "who and why"),
    ],
)
def test_mistakes_have_line_and_key(old: str, new: str, where: str, said: str) -> None:
    text = example((old, new))
    found = problems(text)
    first = next(one for one in found if one["where"] == where)
    assert said in f"{first['what']} {first['next_step']}"
    assert new in text.splitlines()[first["line"] - 1]


def test_all_mistakes_at_once_in_order_of_lines() -> None:
    found = problems(example(('"70 kg"', '"70 lb"'), ("cycles = 6", "cycles = 1000"), ('unusable = "2 mL"', "")))
    assert [one["where"] for one in found] == ["course.cycles", "patient.weight", "pump.unusable"]
    assert [one["line"] for one in found] == sorted(one["line"] for one in found)


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ('"70 kg"', "13.5", "patient.weight", "13.5 is no text"),
        ('fill = "30 mL"', "fill = true", "pump.fill", "true is no text"),
        ('fill = "30 mL"', "fill = [30]", "pump.fill", "a list is no text"),
        ("cycles = 6", "cycles = 6.5", "course.cycles", "must be a whole number, not 6.5"),
        ("cycles = 6", "cycles = true", "course.cycles", "not true"),
        ("start = 2027-01-11", "start = 2027-01-11T08:00:00", "course.start", "not 2027-01-11T08:00:00"),
        ("start = 2027-01-11", 'start = "2027-01-11"', "course.start", 'not "2027-01-11"'),
        ('name = "Practice course"', "name = 2027-01-11", "course.name", "must be a text, not 2027-01-11"),
        ('kind = "programmable"', "kind = 1.5", "pump.kind", "1.5 is not known"),
        ('label = "bench patient 1"', "label = {a = 1.5}", "patient.label", "not a table"),
    ],
)
def test_what_is_of_the_wrong_type_is_named_as_it_is_written(old: str, new: str, where: str, said: str) -> None:
    found = next(one for one in problems(example((old, new))) if one["where"] == where)
    assert said in found["what"]
    assert not re.search(r"Decimal|datetime|True|'", found["what"])


def test_no_toml() -> None:
    found = problems("[course]\nname = \n")
    assert found[0]["line"] == 2 and "not valid TOML" in found[0]["what"]


@pytest.mark.parametrize(
    ("text", "where"),
    [("", "course.name"), ("course = 1", "course"), ("[[course]]", "course"), ("[phase]\n", "phase")],
)
def test_wrong_shapes(text: str, where: str) -> None:
    assert where in [one["where"] for one in problems(text)]


def test_a_pause_after_the_end_is_told() -> None:
    found = problems(example(("cycles = 6", "cycles = 1")) + PAUSE)
    assert found[0]["where"] == "pause[1].after_cycle"


def test_where_keys_stand() -> None:
    places = reading.places("[a]\nb = 1\n[[c]]\nd = 1 # x\n[[c]]\nd = 2\n[[c.e]]\nf = 1\n[c.g]\nh = 1\n")
    assert places[("a", "b")] == 2
    assert places[("c", 1, "d")] == 6
    assert places[("c", 1, "e", 0, "f")] == 8
    assert places[("c", 1, "g", "h")] == 10


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(CourseFileError, match="can't be read"):
        courses.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CourseFileError, match="not UTF-8"):
        courses.load(tmp_path / "latin.toml")


VALUES = (
    '"x"', "0", "-1", "1e9", '""', "[]", "{}", "true", "2027-01-01", "9999-12-31", '"0 mL"', '"1 nL"', '"1 mL/day"',
    '"999999999999999 kg"', '"0.0000001 mg/kg/day"', '"heparin"', '"glycerin"', "365", '"100 %"', "{ a = 1 }", "nan",
    '"1000000 units/mL"', '"floxuridine"', '"saline"',
)  # fmt: skip


@pytest.mark.parametrize("seed", range(80))
def test_no_file_is_answered_with_anything_but_problems(library, seed: int) -> None:
    """Random damage to the example, with and without what it has in comments; what has no error can be prepared."""
    rnd = random.Random(seed)
    lines = courses.example().splitlines()
    if seed % 2:
        lines = [line[2:] if re.match(r"# (\[\[|[a-z_]+ = )", line) else line for line in lines]
    for _ in range(rnd.randint(1, 4)):
        at = rnd.randrange(len(lines))
        if rnd.random() < 0.7:
            lines[at] = f"{lines[at].partition('=')[0]}= {rnd.choice(VALUES)}" if "=" in lines[at] else ""
        else:
            lines.insert(at, rnd.choice(lines).replace("[[", "[").replace("]]", "]"))
    try:
        made = courses.parse("\n".join(lines))
    except CourseFileError as error:
        assert error.problems
        return
    sets = rules.load()
    chosen = sets.get(made.rules) if made.rules else sets["floyd-2006"]
    found = checks.check(checks.Plan(made, library, chosen, tuple(sets)))
    assert calendar_page.compose(made, library, found)
    if all(one.level == reading.WARNING for one in found):
        for fill in cal.fills(made):
            assert fill.phase is not None
            assert dose.prepare(made, library, fill.phase, days=fill.days).diluent_nl >= 0


# --- calendar


def test_the_calendar_has_no_gap_and_no_overlap() -> None:
    spans = cal.periods(courses.parse(example() + PAUSE))
    assert len(spans) == 13 and spans[4].pause and spans[4].phase.drug == "glycerin"
    assert all(one.end == other.start for one, other in zip(spans, spans[1:], strict=False))
    assert spans[-1].last - spans[0].start == timedelta(days=6 * 28 + 42 - 1)
    assert date(2027, 1, 24) in spans[0] and date(2027, 1, 25) not in spans[0]


def test_fills_follow_the_phases() -> None:
    fills = cal.fills(courses.parse(example() + PAUSE))
    assert [fill.number for fill in fills] == list(range(1, 15))
    assert [(fill.drug, fill.days) for fill in fills if fill.drug == "glycerin"] == [("glycerin", 21)] * 2
    assert all(one.until == other.date for one, other in zip(fills, fills[1:], strict=False))


def test_a_last_fill_of_a_phase_may_be_shorter() -> None:
    text = example(("days = 14\ndose", "days = 15\nrefill_every_days = 7\ndose"))
    fills = cal.fills(courses.parse(text))
    assert [fill.days for fill in fills[:4]] == [7, 7, 1, 14]


def test_listed_refills_win() -> None:
    text = example(("cycles = 6", "cycles = 1"))
    text += '\n[[refill]]\ndate = 2027-01-25\ndrug = "heparin-saline"\n'
    text += '\n[[refill]]\ndate = 2027-01-11\ndrug = "floxuridine"\n'
    fills = cal.fills(courses.parse(text))
    assert [(fill.date.day, fill.drug, fill.days) for fill in fills] == [
        (11, "floxuridine", 14),
        (25, "heparin-saline", 14),
    ]
    assert fills[0].phase is not None and fills[0].phase.drug == "floxuridine"


@pytest.mark.parametrize(
    ("since", "until", "treated"),
    [
        ("2027-03-08", "2027-03-22", True),  # a whole fill with drug, from 03-08 up to 03-22
        ("2027-03-08", "2027-03-21", False),
        ("2027-03-08", "2027-03-08", False),
        ("2027-02-23", "2027-03-08", False),  # heparin-saline
        ("2027-03-10", "2027-04-07", True),  # two days late, and late again
        ("2027-03-05", "2027-04-06", True),
        ("2027-03-22", "2027-03-08", False),  # a slip in a date
        ("2027-06-15", "2028-06-15", False),  # after the last drug
    ],
)
def test_whether_the_drug_was_given_is_by_days_with_drug(since: str, until: str, treated: bool) -> None:
    assert cal.treated(course(), date.fromisoformat(since), date.fromisoformat(until)) == treated


def test_without_a_dose_nothing_is_given() -> None:
    plan = course(('dose = "0.12 mg/kg/day"', 'concentration = "6 mg/mL"'))
    assert not cal.treated(plan, date(2027, 1, 1), date(2028, 1, 1))
