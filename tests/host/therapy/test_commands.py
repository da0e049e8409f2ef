"""`haipump therapy refill`, `record` and `report` as typed."""

from __future__ import annotations

import json
import re
import sqlite3
from fractions import Fraction

import pytest
from typer.testing import CliRunner

import haipump
from haipump.cli import app, frame
from tests.host.direct_line import DirectLine

NEW = "--no-pump --course X --drug floxuridine --concentration 6.46mg/mL --volume 30mL --flow 1.3mL/day"
FIRST = "Eva\nLOT17\nyes\n0\nliver\n5mL\nyes\nyes\nyes\nyes\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a line as typed in a folder of its own; (exit code, words)."""
    monkeypatch.chdir(tmp_path)

    def typed(words: str, input: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(app, words.split(), input=input)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())

    return typed


def test_two_visits_a_record_and_a_report(run, tmp_path) -> None:
    code, text = run(f"therapy refill a.course {NEW} --at 2026-11-02T09:00", FIRST)
    assert code == 0 and "not for clinical use" in text and "after 10 prompts" in text
    code, text = run(
        "therapy refill a.course --no-pump --at 2026-11-16T09:00", "Eva\nL2\nyes\n12mL\n5mL\n" + "yes\n" * 4
    )
    assert code == 0 and "12 mL came back, 11.8 mL were expected." in text and "In range" in text
    assert "next visit on 2026-11-30" in text
    code, text = run("therapy record a.course")
    assert code == 0 and "none changed" in text and "-1.1 %" in text
    code, text = run("therapy report a.course --out page.html")
    assert code == 0 and (tmp_path / "page.html").exists()


def test_it_goes_on_where_it_was_left(run) -> None:
    run(f"therapy refill a.course {NEW} --at 2026-11-02T09:00", FIRST)
    code, text = run("therapy refill a.course --no-pump --at 2026-11-16T09:00", "Eva\nL2\nyes\n")
    assert code == 6 and "stays open at the step withdraw" in text and "same command" in text
    code, text = run("therapy record a.course")
    assert "open at withdraw" in text, "as the tool said"
    code, text = run("therapy refill a.course --no-pump --at 2026-11-16T09:10", "12mL\n5mL\n" + "yes\n" * 4)
    assert code == 0 and "goes on after step 3" in text and "after 9 prompts" in text


def test_ctrl_c_at_a_prompt_is_told_once(run, monkeypatch) -> None:
    def pressed() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", pressed)
    code, text = run(f"therapy refill a.course {NEW} --at 2026-11-02T09:00")
    assert code == 130 and text.count("Interrupted") == 1
    assert "Visit 1 stays open at the step identify; the same command goes on with it" in text


def test_json_is_one_object(run) -> None:
    code, text = run(f"--json therapy refill a.course {NEW} --at 2026-11-02T09:00", FIRST)
    told = json.loads(text)
    assert code == 0 and told["ended"] == "done" and told["fill_nl"] == 30_000_000 and told["prompts"] == 10
    code, text = run("--json therapy record a.course")
    assert json.loads(text)["visits"][0]["how"] == "done"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("therapy refill a.course --no-pump", "does not exist"),
        ("therapy refill a.course --no-pump --course X", "Give --drug"),
        (f"therapy refill a.course {NEW} --drug Florid!", "is no name of a drug"),
        (f"therapy refill a.course {NEW} --concentration 6.46", "has no unit"),
        (f"therapy refill a.course {NEW} --leave over", "No visit is open"),
        (f"therapy refill a.course {NEW} --interval 36h", "no whole number of days"),
        (f"therapy refill a.course {NEW} --at tomorrow", "is no time"),
        (f"therapy refill a.course {NEW} --volume 1mL", "is no fill"),
        (f"therapy refill a.course {NEW} --flow 50mL/h", "do not last for a day"),
        ("therapy record a.course", "does not exist"),
        ("therapy report a.course", "does not exist"),
    ],
)
def test_what_can_not_be_is_refused_with_a_way_out(run, tmp_path, words: str, told: str) -> None:
    code, text = run(words, "Eva\n")
    assert code == 2 and told in text and "Next:" in text
    assert not (tmp_path / "a.course").exists(), "nothing was begun, so nothing is left"


def test_a_changed_record_is_told(run, tmp_path) -> None:
    run(f"therapy refill a.course {NEW} --at 2026-11-02T09:00", FIRST)
    with sqlite3.connect(tmp_path / "a.course") as db:
        db.execute("drop trigger no_update_fills")
        db.execute("update fills set volume_nl = 20000000")
    db.close()
    code, text = run("therapy record a.course")
    assert code == 1 and "no_update_fills is missing" in text and "row 1 of fills was changed" in text


def test_at_a_pump_on_its_line(run, monkeypatch) -> None:
    line = DirectLine()
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(line, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])
    new = NEW.replace("--no-pump ", "")
    code, text = run(f"therapy refill a.course {new}", "Eva\nL1\nyes\n0\nliver\n5mL\nyes\nyes\nyes\n")
    assert code == 6 and "stays open at the step start. The pump is stopped" in text
    code, text = run("therapy refill a.course", "yes\n")
    assert code == 0 and "after 10 prompts" in text and "The pump is infusing" in text
    with haipump.connect(line) as pump:
        assert pump.status().basal_nl_per_day == 1_300_000
    code, text = run("therapy refill a.course --no-pump", FIRST)
    assert code == 2 and "The last visit was that of pump" in text


@pytest.fixture
def plan(run, tmp_path):
    """The example course, of an implanted pump."""
    run("therapy new course.toml")
    file = tmp_path / "course.toml"
    text = file.read_text(encoding="utf-8").replace('"programmable"  ', '"constant-flow" ')
    file.write_text(text, encoding="utf-8")
    return file


def settings(tmp_path) -> list[dict]:
    with sqlite3.connect(tmp_path / "a.course") as db:
        return [json.loads(row[0]) for row in db.execute("select settings from visits order by id")]


def test_a_refill_takes_what_goes_in_from_the_course(run, plan, tmp_path) -> None:
    code, text = run("therapy refill a.course --plan course.toml --at 2027-01-11T09:00 --reading-error 0.1mL", FIRST)
    assert code == 0 and "Fill 1 of 12" in text and "next visit on 2027-01-25" in text
    first = settings(tmp_path)[0]
    # 0.12 mg/kg/day x 70 kg at 1.3 mL/day: 6.46 mg/mL, as the preparation rounds what is drawn up
    made = json.loads(run("--json therapy dose course.toml --fill 1")[1])
    assert (first["drug"], first["fill_nl"], first["unusable_nl"]) == ("floxuridine", 30_000_000, 2_000_000)
    assert float(Fraction(first["concentration_ng_per_ml"])) == pytest.approx(6.4615e6, rel=0.01)
    assert first["reading_nl"] == 100_000 and first["interval_days"] == 14 and made["fill"] == 1
    code, text = run(
        "therapy refill a.course --plan course.toml --at 2027-01-25T09:00", "Eva\nL2\nyes\n12mL\n5mL\n" + "yes\n" * 4
    )
    assert code == 0 and "Fill 2 of 12" in text
    assert settings(tmp_path)[1]["drug"] == "heparin-saline"
    code, text = run("therapy record a.course")
    assert "Practice course" in text


def test_the_record_has_what_a_fill_was_made_of(run, plan, tmp_path) -> None:
    run("therapy refill a.course --plan course.toml --at 2027-01-11T09:00", FIRST)
    run("therapy refill a.course --plan course.toml --at 2027-01-25T09:00", "Eva\nL2\nyes\n12mL\n5mL\n" + "yes\n" * 4)
    made = settings(tmp_path)[0]["made"]
    assert [(one["drug"], one["amount"], one["unit"]) for one in made["components"]] == [
        ("floxuridine", "194", "mg"), ("heparin", "30000", "units"), ("dexamethasone", "25", "mg"),
    ]  # fmt: skip
    assert Fraction(made["ordered_ng_per_day"]) == Fraction("0.12") * 70 * 1_000_000
    text = run("therapy record a.course")[1]
    assert "Visit 1: floxuridine 194 mg, heparin 30,000 units, dexamethasone 25 mg, saline to 30 mL." in text
    assert "Visit 2: heparin-saline 30,000 units, saline to 30 mL." in text
    shown = json.loads(run("--json therapy record a.course")[1])
    assert shown["visits"][0]["made"] == made
    run("therapy report a.course --out page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "dexamethasone 25 mg" in page and "1000 units/mL" in page
    assert "8.40 mg" in page and "8.31 mg" in page, "ordered, and 18 mL of 6.467 mg/mL in 14 days"
    run("therapy refill a.course --no-pump --at 2027-02-08T09:00", "Eva\nL2\nyes\n12mL\n5mL\n" + "yes\n" * 4)
    assert settings(tmp_path)[2]["made"] is None, "nobody said how that one was made"


def test_a_first_visit_far_ahead_is_a_slip_of_the_year(run, plan, tmp_path) -> None:
    code, text = run(f"therapy refill a.course {NEW} --at 2098-11-02T09:00", FIRST)
    assert code == 2 and "days ahead of this computer's clock" in text and not (tmp_path / "a.course").exists()
    code, text = run("therapy refill a.course --plan course.toml --at 2098-01-11T09:00", FIRST)
    assert code == 2 and "days ahead of this computer's clock" in text


def test_a_visit_years_after_the_last_one_says_late(run) -> None:
    run(f"therapy refill a.course {NEW} --at 2026-11-02T09:00", FIRST)
    code, text = run("therapy refill a.course --no-pump --at 2036-11-16T09:00", "Eva\n")
    assert code == 2 and "3667 days after it" in text and "--late" in text
    code, text = run("--yes therapy refill a.course --no-pump --late --at 2036-11-16T09:00", "Eva\n")
    code, text = run("--yes therapy refill a.course --no-pump --leave slip")
    assert code == 0 and "broken off" in text
    code, text = run(
        "therapy refill a.course --no-pump --at 2026-11-16T09:00", "Eva\nL2\nyes\n12mL\n5mL\n" + "yes\n" * 4
    )
    assert code == 0 and "In range" in text
    code, text = run("therapy report a.course")
    assert code == 0


def test_more_came_back_than_can_have_is_no_flow(run) -> None:
    run(f"therapy refill a.course {NEW} --at 2026-11-02T09:00", FIRST)
    text = run("therapy refill a.course --no-pump --at 2026-11-03T09:00", "Eva\nL2\nyes\n31mL\n")[1]
    assert "No flow can be told, more came back than can have; error" in text and "-1.0" not in text


def test_the_dose_follows_the_flow_that_the_record_has(run, plan) -> None:
    run("therapy refill a.course --plan course.toml --reading-error 0.1mL --at 2027-01-11T09:00", FIRST)
    text = run("therapy dose course.toml --record a.course")[1]  # nothing came back yet: nothing was measured
    assert "by the label 1.3 mL/day" in text and "never measured" in text and "found" not in text
    code, text = run(
        "therapy refill a.course --plan course.toml --at 2027-01-25T09:00", "Eva\nL2\nyes\n14.5mL\n5mL\n" + "yes\n" * 4
    )
    assert code == 0
    shown = json.loads(run("--json therapy dose course.toml --fill 3 --record a.course")[1])
    assert shown["flow_nl_per_day"] < 1_290_000
    typed = json.loads(run(f"--json therapy dose course.toml --fill 3 --flow {shown['flow_nl_per_day']}nL/day")[1])
    assert {**typed, "sheet": None} == shown
    assert "as found on 2027-01-25" in run("therapy dose course.toml --fill 3 --record a.course")[1]
    code, text = run("therapy dose course.toml --fill 3 --record a.course --flow 1.3mL/day")
    assert code == 2 and "--flow and --record" in text


def test_a_course_and_options_do_not_say_the_same_thing(run, plan, tmp_path) -> None:
    code, text = run("therapy refill a.course --plan course.toml --volume 20mL --at 2027-01-11T09:00", FIRST)
    assert code == 2 and "--volume is what the course says" in text
    assert not (tmp_path / "a.course").exists()


def test_a_pump_on_a_line_is_none_without(run, plan) -> None:
    plan.write_text(plan.read_text(encoding="utf-8").replace('"constant-flow"', '"programmable"'), encoding="utf-8")
    code, text = run("therapy refill a.course --plan course.toml --no-pump --at 2027-01-11T09:00", FIRST)
    assert code == 2 and "is for a pump on a line" in text


def test_in_a_hold_the_catheter_is_kept_open(run, plan, tmp_path) -> None:
    values = "--ast 200U/L --alp 150U/L --bilirubin 0.8mg/dL --day 2027-01-10 --record --by A"
    run(f"--yes therapy adjust course.toml {values}")
    code, text = run("therapy refill a.course --plan course.toml --at 2027-01-11T09:00", FIRST)
    assert code != 0 and "on hold" in text and not (tmp_path / "a.course").exists()
    code, text = run(
        "therapy refill a.course --plan course.toml --instead heparin-saline --at 2027-01-11T09:00",
        "Eva\nL2\nyes\n0\n5mL\nyes\nyes\nyes\nfree\nyes\n",
    )
    assert code == 0 and settings(tmp_path)[0]["drug"] == "heparin-saline"


def test_at_a_pump_on_its_line_the_courses_limits_are_sealed(run, plan, monkeypatch) -> None:
    plan.write_text(plan.read_text(encoding="utf-8").replace('"constant-flow"', '"programmable"'), encoding="utf-8")
    line = DirectLine()
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(line, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])
    code, text = run("therapy refill a.course --plan course.toml", "Eva\nL1\nyes\n0\nliver\n5mL\nyes\nyes\nyes\nyes\n")
    assert code == 0 and "Limits for floxuridine are sealed" in text and "The pump is infusing" in text
    with haipump.connect(line) as pump:
        assert pump.dose().drug == "floxuridine" and pump.library().library != "none"
        assert pump.status().basal_nl_per_day == 1_300_000
