"""The list of adjustments: it only grows, and shows when it was changed."""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from fractions import Fraction as F
from pathlib import Path

import pytest

from haipump.errors import BrokenHistory, UsageError
from haipump.therapy import adjust, history, rules
from tests.host.therapy.clinic import make

DAY = date(2027, 2, 8)


def decision(day: date = DAY, ast: str = "30", before: adjust.Before = adjust.NOTHING_BEFORE) -> adjust.Decision:
    values = {"ast": [F(90), F(ast)] if F(ast) < 90 else [F(ast)], "alp": [F(60)], "bilirubin": [F("0.5")]}
    base = {"ast": F(30), "alp": F(80), "bilirubin": F("0.5")}
    return adjust.decide(rules.pick("mskcc-type"), values, base, {}, F("0.12"), day, before)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    return tmp_path / "plan.toml"


def test_what_was_appended_is_read(course: Path) -> None:
    assert history.read(course) == []
    first = history.append(course, decision(), "A. Person")
    second = history.append(course, decision(DAY + timedelta(days=28), "160"), "B. Person")
    assert history.read(course) == [first, second]
    assert (first.number, first.by, first.percent, first.dose_mg_per_kg_day) == (1, "A. Person", 80, F("0.096"))
    assert second.held_by == ("ast",) and second.percent == 0
    assert history.path_for(course).name == "plan.history.jsonl"
    assert [path.name for path in course.parent.glob("plan*")] == ["plan.history.jsonl"]


def test_the_next_decision_knows_what_it_has_to(course: Path) -> None:
    assert history.before([]) == adjust.NOTHING_BEFORE
    history.append(course, decision(ast="60"), "A. Person")
    history.append(course, decision(ast="160"), "A. Person")
    before = history.before(history.read(course))
    assert before.last_dose_mg_per_kg_day == F("0.096")  # of the last fill with drug, not of the hold
    assert before.last_values["ast"] == 60  # measured at the planned dose, not the higher one of 90
    assert before.held_by == ("ast",)


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_is_found(course: Path, line: int) -> None:
    for index in range(3):
        history.append(course, decision(DAY + timedelta(days=index)), "A. Person")
    path = history.path_for(course)
    lines = path.read_text().splitlines()
    body = json.loads(lines[line])
    body["percent"] = 100
    lines[line] = json.dumps(body, sort_keys=True)
    path.write_text("\n".join(lines) + "\n")
    if line == 2:  # nothing follows the last line: the chain can't tell, and the docstring says so
        assert history.read(course)[2].percent == 100
        return
    with pytest.raises(BrokenHistory, match=f"line {line + 2}"):
        history.read(course)


def test_the_numbers_count_up(course: Path) -> None:
    history.append(course, decision(), "A. Person")
    path = history.path_for(course)
    path.write_text(path.read_text().replace('"number": 1', '"number": 2'))
    with pytest.raises(BrokenHistory, match="line 1"):
        history.read(course)


@pytest.mark.parametrize("change", ["drop", "swap", "twice", "torn", "blank", "nonsense"])
def test_a_list_that_is_not_the_one_that_was_written_is_refused(course: Path, change: str) -> None:
    for index in range(3):
        history.append(course, decision(DAY + timedelta(days=index)), "A. Person")
    path = history.path_for(course)
    a, b, c = path.read_text().splitlines()
    lines = {
        "drop": [a, c], "swap": [b, a, c], "twice": [a, a, b, c], "torn": [a, b, c[:40]], "blank": [a, "", b],
        "nonsense": ["[]", b],
    }[change]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(BrokenHistory):
        history.read(course)
    with pytest.raises(BrokenHistory):
        history.append(course, decision(DAY + timedelta(days=9)), "A. Person")
    assert path.read_text().splitlines() == lines


def test_a_crash_leaves_the_old_list(course: Path, monkeypatch) -> None:
    history.append(course, decision(), "A. Person")

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        history.append(course, decision(DAY + timedelta(days=1)), "A. Person")
    monkeypatch.undo()
    assert len(history.read(course)) == 1
    assert len(history.append(course, decision(DAY + timedelta(days=1)), "A. Person").reasons) > 0


def test_two_at_a_time_are_refused(course: Path) -> None:
    waiting = course.with_name("plan.history.jsonl.new")
    waiting.touch()
    with pytest.raises(UsageError, match="broke off"):
        history.append(course, decision(), "A. Person")
    assert waiting.exists()


def test_no_name_and_no_way_back(course: Path) -> None:
    with pytest.raises(UsageError, match="nobody is named"):
        history.append(course, decision(), "  ")
    history.append(course, decision(), "A. Person")
    with pytest.raises(UsageError, match="only grows"):
        history.append(course, decision(DAY - timedelta(days=1)), "A. Person")
    assert len(history.read(course)) == 1


def test_of_the_same_day_only_what_lowers_is_taken(course: Path) -> None:
    history.append(course, decision(ast="60"), "A. Person")  # 80 %
    with pytest.raises(UsageError, match=r"entry 1 is of 2027-02-08, too.*Nothing was recorded.*later day"):
        history.append(course, decision(ast="60"), "A. Person")
    assert history.append(course, decision(ast="130"), "A. Person").percent == 50
    assert history.append(course, decision(ast="160"), "A. Person").percent == 0
    assert history.append(course, decision(ast="170"), "A. Person").percent == 0  # a hold always
    with pytest.raises(UsageError, match="entry 4"):
        history.append(course, decision(ast="60"), "A. Person")


def test_a_slip_in_the_date_keeps_no_hold_out(course: Path) -> None:
    history.append(course, decision(date(2035, 1, 1)), "A. Person")
    with pytest.raises(UsageError, match=r"only grows.*or a hold"):
        history.append(course, decision(), "A. Person")
    assert history.append(course, decision(ast="130"), "A. Person").day == DAY
    history.append(course, decision(date(2036, 1, 1)), "A. Person")
    assert history.append(course, decision(ast="160"), "A. Person").percent == 0
    assert history.before(history.read(course)).held_by == ("ast",)


def test_a_restart_counts_once_the_drug_was_given(course: Path) -> None:
    """Held on day 0, restarted on day 7, looked at again on days 8 and 9."""
    asked: list[date] = []

    def again(day: int, treated: bool) -> adjust.Before:
        def since(start: date) -> bool:
            asked.append(start)
            return treated

        return history.before(history.read(course), since)

    history.append(course, decision(ast="160"), "A. Person")
    for day in (7, 8, 9):
        made = decision(DAY + timedelta(days=day), "60", again(day, False))
        assert history.append(course, made, "A. Person").restart
    assert history.before(history.read(course)).restart_percent is not None  # without a calendar: not given
    assert again(28, False).restart_percent is not None and again(28, True).restart_percent is None
    assert set(asked) == {DAY + timedelta(days=7)}  # the restart's day, and not the last entry's


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_emptied_list_is_refused(course: Path, text: str) -> None:
    history.append(course, decision(ast="160"), "A. Person")
    history.path_for(course).write_text(text)
    for use in (lambda: history.read(course), lambda: history.append(course, decision(), "A. Person")):
        with pytest.raises(BrokenHistory):
            use()


def test_a_list_that_lost_its_course_is_told(course: Path) -> None:
    course.touch()
    history.append(course, decision(ast="160"), "A. Person")
    other = course.with_name("other.toml")
    other.touch()
    assert history.read(other) == []  # both are there: two courses
    course.rename(course.with_name("renamed.toml"))
    with pytest.raises(UsageError, match=r"plan\.history\.jsonl.*renamed.*rename plan\.history\.jsonl to renamed"):
        history.read(course.with_name("renamed.toml"))


def test_a_record_that_has_more_than_the_list_is_told(course: Path) -> None:
    history.append(course, decision(), "A. Person")
    history.append(course, decision(DAY + timedelta(days=28), "160"), "A. Person")
    with make(course.with_name("a.course")) as record:
        history.keep(record, history.read(course))
        path = history.path_for(course)
        path.write_text(path.read_text().splitlines()[0] + "\n")
        for use in (history.keep, history.lacking):
            with pytest.raises(UsageError, match="other adjustments.*2 there, 1 here.*come back first"):
                use(record, history.read(course))


def test_the_record_of_a_course_gets_what_it_lacks(course: Path) -> None:
    history.append(course, decision(), "A. Person")
    with make(course.with_name("a.course")) as record:
        assert history.keep(record, history.read(course)) == 1
        history.append(course, decision(DAY + timedelta(days=28), "160"), "B. Person")
        assert [history.keep(record, history.read(course)) for _ in range(2)] == [1, 0]
        rows = record.rows("adjustments")
        assert [(row["at_utc"][:10], row["by"], row["percent"]) for row in rows] == [
            ("2027-02-08", "A. Person", 80),
            ("2027-03-08", "B. Person", 0),
        ]
        assert "3 x" in rows[1]["reason"] or "ast" in rows[1]["reason"].lower()
        assert record.check().intact
        history.path_for(course).unlink()
        history.append(course, decision(ast="60"), "A. Person")
        with pytest.raises(UsageError, match="other adjustments"):
            history.keep(record, history.read(course))
        assert len(record.rows("adjustments")) == 2
