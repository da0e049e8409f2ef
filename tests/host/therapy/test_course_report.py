"""The report of a course: its sums, its sentences, and that the same record makes the same page."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import haipump
from haipump.errors import UsageError
from haipump.therapy.course_facts import Course
from haipump.therapy.course_report import compose, write_course_report
from haipump.therapy.record import Record
from haipump.therapy.visit import Wanted, begin, take_up
from tests.host.direct_line import DirectLine
from tests.host.therapy.clinic import FLOXURIDINE, Day, Person, make
from tests.host.therapy.test_visit import DAY_S, LineDay

DRAWINGS = dict.fromkeys(("dose", "flow", "residual"), "<svg/>")
SALINE = replace(FLOXURIDINE, drug="heparin-saline", concentration_ng_per_ml=Fraction(0), by="Jan <b>Ott</b>")


@pytest.fixture
def path(tmp_path) -> Path:
    """Drug, heparin-saline, drug; the last time with a fever."""
    made = tmp_path / "a.course"
    with make(made) as record:
        for days, wanted, answers in (
            (0, FLOXURIDINE, {"withdraw": "0"}),
            (14, SALINE, {"withdraw": "11.8mL"}),
            (28, FLOXURIDINE, {"withdraw": "4mL", "acknowledge": "a week of fever"}),
        ):
            begin(record, wanted, None, Day(days), device="label 7").run(Person(**answers))
        record.append(
            "adjustments", visit=None, at_utc=Day(28)().isoformat(), by="Dr. Vogt", percent=80, reason="ALP",
            facts="{}",
        )  # fmt: skip
    return made


def course_of(path: Path) -> Course:
    with Record(path) as record:
        return Course(record)


def text_of(path: Path) -> str:
    with Record(path) as record:
        page = compose(Course(record), record.check(), ("a.course", "00"), DRAWINGS)
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.S).replace("&nbsp;", " ").split())


def test_days_add_up_to_what_went(path) -> None:
    course = course_of(path)
    assert len(course.days) == 28
    assert sum(day.delivered_nl or 0 for day in course.days) == 18_200_000 + 26_000_000
    assert sum(day.planned_nl for day in course.days) == 2 * 18_200_000
    assert {day.drug for day in course.days[:14]} == {"floxuridine"} and course.days[14].drug == "heparin-saline"
    per_day = course.days[3].delivered_ng
    assert per_day == Fraction(1_300_000 * 6_461_538, 10**6), "1.3 mL of 6.461538 mg/mL"
    assert course.days[20].delivered_ng == 0


def test_a_piece_over_midnight_is_divided(tmp_path) -> None:
    with make(tmp_path / "b.course") as record:
        begin(record, FLOXURIDINE, None, Day(0.75)).run(Person(withdraw="0"))
        begin(record, FLOXURIDINE, None, Day(3.25)).run(Person(withdraw="26.75mL"))
        course = Course(record)
    assert [day.delivered_nl for day in course.days] == [1_300_000, 1_300_000, 650_000]


def test_the_page_says_it_all(path) -> None:
    text = text_of(path)
    for words in (
        "NOT FOR CLINICAL USE", "course A: 3 visits in 28 days, 1 finding", "of 36.4 mL planned", "44.2 mL", "+21.4 %",
        "1.857 mL/day", "fast", "Lower the concentration by the actual flow", "a week of fever", "Dr. Vogt", "LOT 17",
        "Next visit", "2026-12-07", "none changed", "Eva Lang", "never to be connected to a person",
    ):  # fmt: skip
        assert words in text, words


def test_what_was_typed_is_no_html(path) -> None:
    with Record(path) as record:
        page = compose(Course(record), record.check(), ("<i>", "00"), DRAWINGS)
    assert (
        "<b>Ott" not in page and "Jan &lt;b&gt;Ott" in page and "<i>" not in page.split("</style>")[1].split("<i ")[0]
    )


def test_the_same_record_makes_the_same_page_and_loads_nothing(path, tmp_path) -> None:
    one, other = write_course_report(path, tmp_path / "r1.html"), write_course_report(path, tmp_path / "r2.html")
    assert [each.name for each in one] == ["r1.html", "r1-dose.png", "r1-flow.png", "r1-residual.png"]
    for a, b in zip(one, other, strict=True):
        assert a.read_bytes() == b.read_bytes()
    page = one[0].read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_an_open_visit_and_a_changed_record_are_said_first(path, tmp_path) -> None:
    with make(path) as record:
        begin(record, FLOXURIDINE, None, Day(40), device="label 7")
    assert "Visit 4 is still open" in text_of(path)
    with Record(path) as record:
        record._db.execute("drop view alarms")
        record._db.execute("create view alarms as select 1 as id, 'x' as device, 1 as boot, 1 as uptime_s, 1 as alarm,"
                           " 1 as phase, 1 as state where 0")  # fmt: skip
    assert "This record is not as it was written" in text_of(path)


def test_an_empty_record_has_a_page(tmp_path) -> None:
    make(tmp_path / "b.course").close()
    assert write_course_report(tmp_path / "b.course", tmp_path / "b.html")
    with pytest.raises(UsageError):
        write_course_report(tmp_path / "none.course", tmp_path / "n.html")


def test_it_begins_with_what_was_confirmed_first(tmp_path) -> None:
    """A visit was opened on 2 November and gone on with three days later; one of 2036 was left."""
    with make(tmp_path / "b.course") as record:
        begin(record, FLOXURIDINE, None, Day(0))
        visit = take_up(record, None, Day(3))
        assert visit is not None
        visit.run(Person(withdraw="0"))
        begin(record, replace(FLOXURIDINE, late=True), None, Day(3_655)).leave("Eva", "a slip of the year")
        begin(record, FLOXURIDINE, None, Day(17)).run(Person())
        course = Course(record)
    assert "from 5 November 2026 on" in text_of(tmp_path / "b.course")
    assert len(course.days) == 14 and {day.planned_nl for day in course.days} == {1_300_000}


def test_what_is_no_flow_is_worded(tmp_path) -> None:
    with make(tmp_path / "b.course") as record:
        begin(record, FLOXURIDINE, None, Day(0)).run(Person(withdraw="0"))
        begin(record, FLOXURIDINE, None, Day(1)).run(Person(withdraw="30.05mL", acknowledge="a day is short"))
    text = text_of(tmp_path / "b.course")
    assert "none can be told from the last refill: more came back than can have" in text
    assert "−0.050 mL/day" not in text and "−0.05 mL/day" not in text
    assert write_course_report(tmp_path / "b.course", tmp_path / "b.html")


def test_drug_is_planned_as_the_course_ordered_it(tmp_path) -> None:
    """8.4 mg a day were ordered; the syringe's marks gave 6.5 mg/mL, which is 8.45 mg at 1.3 mL/day."""
    made = {"drug": "floxuridine", "ordered_ng_per_day": "8400000", "components": [], "diluent": "saline",
            "volume_nl": 30_000_000, "concentration": None}  # fmt: skip
    wanted = replace(FLOXURIDINE, concentration_ng_per_ml=Fraction(6_500_000), made=made)
    with make(tmp_path / "b.course") as record:
        begin(record, wanted, None, Day(0)).run(Person(withdraw="0"))
        begin(record, wanted, None, Day(14)).run(Person(withdraw="11.8mL"))
        day = Course(record).days[3]
    assert (day.planned_ng, day.delivered_ng) == (8_400_000, 8_450_000)


def test_a_pump_on_its_line_tells_each_day(tmp_path) -> None:
    """Two days and a half at 1.3 mL/day, with a bolus of 0.2 mL, a power cut and an alarm in between."""
    line = DirectLine()
    day = LineDay(line)
    wanted = replace(FLOXURIDINE, interval_days=14)
    with make(tmp_path / "c.course") as record, haipump.connect(line) as pump:
        begin(record, wanted, pump, day).run(Person(withdraw="0"))
        began = line.now()
        line.sleep(DAY_S - began)
        pump.bolus("0.2 mL")
        line.sleep(DAY_S)
        line.core.power(False)
        line.sleep(60)
        line.core.power(True)
        line.sleep(60)
        pump.hello()
        pump.ack()
        pump.rate("1.3 mL/day", override=True)
        line.sleep(DAY_S / 2)
        person = Person(withdraw="26mL")
        begin(record, wanted, pump, day).run(person)
        course = Course(record)
        assert person.kinds == [{"in_range"}] and record.check().intact
    # the visits take some minutes of the days, and a power cut leaves up to 100 uL in doubt
    known = [day.delivered_nl for day in course.days[:3]]
    assert [round(float(nl or 0) / 1e6, 2) for nl in known] == pytest.approx([1.3, 1.5, 0.65], abs=0.06)
    total = sum(day.delivered_nl or 0 for day in course.days)
    assert total == pytest.approx(1_300_000 * 2.5 + 200_000, abs=120_000)
    assert [name for _, _, name in course.alarms] == ["power_lost"]
    text = text_of(tmp_path / "c.course")
    assert "power lost" in text and "own steps, from its journal" in text


def test_what_the_clock_of_a_start_was_is_known_from_its_neighbours() -> None:
    from haipump.therapy.course_facts import Axis

    axis = Axis([{"device": "p", "boot": 1, "uptime_s": 10, "at_utc": 100},
                 {"device": "p", "boot": 3, "uptime_s": 50, "at_utc": 1_000}], lambda at: at)  # fmt: skip
    assert axis.at("p", 1, 20) == 110 and axis.at("p", 3, 0) == 950
    assert axis.at("p", 2, 5) == 95 and axis.at("p", 2, 5_000) == 950, "between its neighbours"
    assert axis.at("p", 4, 5) is None and axis.at("q", 1, 5) is None


def test_wanted_is_all_optional() -> None:
    assert Wanted().by == ""
