"""`haipump therapy run` and `therapy status` as typed, at a pump that flies through its days."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

import haipump
from haipump.cli import app, frame
from tests.host.therapy.test_run import FILL_NL, STEP_NL, Flying

VISIT = "Eva\nL1\nyes\n0\nliver\n5mL\nyes\nyes\nyes\nyes\nyes\n"
KEEPING = "Eva\nL1\nyes\n0\n5mL\nyes\nyes\nyes\nfree\nyes\nyes\n"
RUN = "therapy run course.toml a.course --pump-clock"
DAY_US = 86_400_000_000
DOSE = 'dose = "0.12 mg/kg/day"'
SHORT = (("cycles = 6", "cycles = 1"), ("days = 14\ndose", "days = 2\ndose"), ("days = 14\nconc", "days = 2\nconc"))


@pytest.fixture
def line() -> Flying:
    return Flying()


@pytest.fixture
def run(tmp_path, monkeypatch, line):
    """Runs a line as typed in a folder with a course of two short fills; (exit code, words)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(line, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])

    def typed(words: str | list[str], input: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(app, words.split() if isinstance(words, str) else words, input=input)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())

    typed("therapy new course.toml")
    edit(tmp_path, *SHORT)
    return typed


def edit(folder, *changes: tuple[str, str]) -> None:
    file = folder / "course.toml"
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def given_nl(line: Flying) -> int:
    with haipump.connect(line) as pump:
        return pump.lifetime().stepped_max_nl


def filled(folder) -> list[str]:
    with closing(sqlite3.connect(folder / "a.course")) as db:
        return [row[0] for row in db.execute("select drug from fills order by id")]


def test_a_fill_and_then_nobody_answers(run, line, tmp_path) -> None:
    code, text = run(RUN, VISIT)
    assert code == 6 and "fill 1 of 2: 2.6 mL of floxuridine in 2 days" in text
    assert given_nl(line) == pytest.approx(FILL_NL, abs=STEP_NL)
    code, text = run("therapy status course.toml a.course --pump-clock")
    assert code == 0 and "A visit stands open at the step" in text


@pytest.mark.parametrize("lost", ["emptied", "gone"])
def test_without_its_record_a_course_does_not_begin_again(run, line, tmp_path, lost) -> None:
    run(RUN, VISIT)
    given = given_nl(line)
    (tmp_path / "a.course").unlink()
    if lost == "emptied":
        (tmp_path / "a.course").touch()
    code, text = run(RUN, VISIT)
    assert code == 2 and "has delivered 2.599948 mL" in text and "--used-pump" in text and given_nl(line) == given
    code, text = run(f"{RUN} --used-pump", "")
    assert code == 6 and "stays open" in text


@pytest.fixture
def left(run, line, monkeypatch):
    """Ctrl-C after a day of the first fill; the folder's course may be edited then."""
    read = line.read

    def reading(timeout_s: float) -> bytes:
        if line.core.now_us > DAY_US:
            raise KeyboardInterrupt
        return read(timeout_s)

    monkeypatch.setattr(line, "read", reading)
    code, _ = run(RUN, VISIT)
    assert code == 130
    monkeypatch.setattr(line, "read", read)


def test_a_course_that_was_left_goes_on_as_it_was_ordered(run, left, line, tmp_path) -> None:
    code, text = run("therapy status course.toml a.course --pump-clock")
    assert code == 0 and "Fill 1 of 2, floxuridine: 1." in text and "next heparin-saline" in text
    edit(tmp_path, ("1.3 mL/day", "1.4 mL/day"))
    code, text = run(RUN, "")
    assert code == 6 and given_nl(line) == pytest.approx(FILL_NL, abs=STEP_NL), "not 2.8 mL"


@pytest.mark.parametrize(("old", "new"), [("bench patient 1", "bench patient 2"), ("Practice course", "Other course")])
def test_another_course_does_not_continue_the_record(run, left, line, tmp_path, old, new) -> None:
    given = given_nl(line)
    edit(tmp_path, (old, new))
    status = "therapy status course.toml a.course --pump-clock"
    for words in (RUN, status, "therapy refill a.course --plan course.toml"):
        code, text = run(words, "")
        assert code == 2 and f'"{old}", and course.toml is for "{new}"' in text
    assert given_nl(line) == given


def test_a_damaged_record_has_no_standing(run, left, tmp_path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.course")) as db, db:
        db.execute("drop trigger no_update_fills")
        db.execute("update fills set lot = 'L9'")
    for words in ("therapy status course.toml a.course --pump-clock", RUN):
        code, text = run(words, "")
        assert code == 1 and "is not as it was written" in text


def test_in_a_hold_something_else_keeps_the_catheter_open(run, line, tmp_path) -> None:
    run("--yes therapy adjust course.toml --ast 200U/L --alp 150U/L --bilirubin 0.8mg/dL --record --by A")
    code, text = run(RUN, VISIT)
    assert code != 0 and "on hold" in text and "--instead" in text and not given_nl(line)
    code, text = run(f"{RUN} --instead heparin-saline", KEEPING)
    assert "fill 1 of 2: 2.6 mL of heparin-saline" in text and "Limits for heparin-saline are sealed" in text
    assert filled(tmp_path) == ["heparin-saline"]


def test_status_tells_a_hold(run, left, tmp_path) -> None:
    edit(tmp_path, ('drug = "heparin-saline"', 'drug = "floxuridine"'), ('concentration = "1000 units/mL"', DOSE))
    run("--yes therapy adjust course.toml --ast 200U/L --alp 150U/L --bilirubin 0.8mg/dL --record --by A")
    code, text = run("therapy status course.toml a.course --pump-clock")
    assert code == 0 and "next floxuridine" in text and "can't be filled as it stands: the drug is on hold" in text


def test_a_soft_limit_is_told_before_the_drug_is_in(run, line, tmp_path) -> None:
    edit(tmp_path, (DOSE, 'dose = "0.14 mg/kg/day"'))
    code, text = run(RUN, VISIT)
    assert code != 0 and "the soft limit of floxuridine is" in text and "--override" in text
    assert not (tmp_path / "a.course").exists()
    code, text = run([*RUN.split(), "--override", "asked for twice"], VISIT)
    assert "fill 1 of 2: 2.6 mL of floxuridine" in text
    assert given_nl(line) == pytest.approx(FILL_NL, abs=STEP_NL)


def test_a_pump_on_a_line_gives_what_the_fill_is_made_for(run, line, tmp_path) -> None:
    edit(
        tmp_path, ('# measured_flow = "1.27 mL/day"', 'measured_flow = "1.25 mL/day"'), ("# measured_on", "measured_on")
    )
    code, text = run(RUN, VISIT)
    assert code != 0 and "made for 1.25 mL/day" in text and "ordered 1.3 mL/day" in text and "calibrate" in text
    assert not (tmp_path / "a.course").exists()


def test_a_visit_by_hand_is_no_fill_of_the_course(run, left, line, tmp_path) -> None:
    by_hand = "therapy refill a.course --drug heparin-saline --concentration 0 --volume 30mL --at 2027-01-12T10:00"
    code, text = run(by_hand, "Eva\nL9\nyes\n")
    assert code == 6 and "stays open" in text
    line.sleep(7_200)
    code, text = run(RUN, "")
    assert code == 2 and "is open, and none of the course" in text
    code, text = run("therapy status course.toml a.course --pump-clock")
    assert "Fill 1 of 2" not in text or "stands open" in text


def test_a_hold_that_was_lost_with_its_list_is_missed_everywhere(run, left, tmp_path) -> None:
    values = "--ast 200U/L --alp 150U/L --bilirubin 0.8mg/dL"
    run(f"--yes therapy adjust course.toml {values} --record --by A --into a.course")
    (tmp_path / "course.history.jsonl").unlink()
    for words in ("therapy status course.toml a.course --pump-clock", RUN):
        code, text = run(words, "")
        assert code == 2 and "has other adjustments than the list beside the course" in text


def test_status_writes_nothing(run, left, tmp_path) -> None:
    run("--yes therapy adjust course.toml --ast 200U/L --alp 150U/L --bilirubin 0.8mg/dL --record --by A")
    before = (tmp_path / "a.course").read_bytes()
    code, _ = run("therapy status course.toml a.course --pump-clock")
    assert code == 0 and (tmp_path / "a.course").read_bytes() == before
