"""`haipump therapy`: what people and scripts see."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from haipump.cli import app
from haipump.therapy import history
from tests.host.therapy.clinic import make
from tests.host.therapy.conftest import example

VALUES = ["--ast", "40U/L", "--alp", "70U/L", "--bilirubin", "0.6mg/dL", "--day", "2027-02-08"]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("HAIPUMP_LIBRARY", "HAIPUMP_LIBRARY_KEY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "plan.toml"
    path.write_text(example(), encoding="utf-8")
    return path


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["therapy", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())
    return " ".join(result.output.split())


def run_json(*words: object, code: int = 0) -> dict:
    result = CliRunner().invoke(app, ["therapy", *map(str, words), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def change(plan: Path, *changes: tuple[str, str]) -> None:
    plan.write_text(example(*changes), encoding="utf-8")


def test_the_example_is_written_once(plan: Path, tmp_path: Path) -> None:
    assert "Next:" in run("new", "mine.toml")
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == example()
    assert "name a file that does not exist" in run("new", "mine.toml", code=2).lower()
    assert "Nothing is wrong: 12 fills, Mon 2027-01-11 to Sun 2027-06-27" in run("check", "mine.toml")


def test_everything_says_that_it_is_not_for_clinical_use(plan: Path) -> None:
    for words in (
        ["new", "x.toml"], ["check", plan], ["show", plan], ["dose", plan], ["adjust", plan, *VALUES],
        ["history", plan], ["rules"], ["library", "show"],
    ):  # fmt: skip
        assert "not for clinical use" in run(*words).lower(), words


def test_check_lists_errors_and_ends_with_1(plan: Path) -> None:
    change(plan, ('"70 kg"', '"20 kg"'), ('drug = "floxuridine"', 'drug = "floxuridin"'))
    text = run("check", plan, code=1)
    assert "error line 15, patient.weight" in text and 'Did you mean "floxuridine"' in text or "did you mean" in text
    assert "The course has 2 errors" in text
    found = run_json("check", plan, code=1)
    assert found["ok"] is False and found["exit_code"] == 1
    assert [one["where"] for one in found["error"]["problems"]] == ["patient.weight", "phase[1].drug"]


def test_check_of_what_can_not_be_read_lists_everything_and_ends_with_2(plan: Path) -> None:
    change(plan, ('"70 kg"', '"70 lb"'), ("cycles = 6", "cycles = 0"))
    text = run("check", plan, code=2)
    assert "line 10, course.cycles" in text and "line 15, patient.weight" in text and "when this is right" in text
    assert len(run_json("check", plan, code=2)["error"]["problems"]) == 2


def test_check_with_warnings_alone_ends_with_0(plan: Path) -> None:
    change(plan, ("start = 2027-01-11", "start = 2027-01-10"))
    assert "1 warning:" in run("check", plan) and "1 warning:" in run("show", plan)
    found = run_json("check", plan)
    assert found["ok"] and found["problems"][0]["level"] == "warning" and found["fills"] == 12


def test_show_draws_the_calendar(plan: Path, tmp_path: Path) -> None:
    text = run("show", plan, "--html", "plan.html")
    for part in ("January 2027", "11F 12f 13f", "25H 26h", "f floxuridine", "12 Mon 2027-06-14 heparin-saline"):
        assert part in text, part
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert "June 2027" in page and "never to be connected to a person" in page and page.count('class="fill"') == 13
    assert "overwrite" in run("show", plan, "--html", plan, code=2)
    assert plan.read_text(encoding="utf-8") == example()
    found = run_json("show", plan)
    assert len(found["periods"]) == 12 and found["fills"][1] == {
        "number": 2, "date": "2027-01-25", "drug": "heparin-saline", "days": 14,
    }  # fmt: skip


def test_show_says_when_there_are_errors(plan: Path) -> None:
    change(plan, ("days = 14\ndose", "days = 30\ndose"))
    text = run("show", plan)
    assert "runs dry" in text and "2 errors" in text


def test_one_is_one(plan: Path) -> None:
    change(plan, ("cycles = 6", "cycles = 1"), ("days = 14\ndose", "days = 30\ndose"))
    text = run("show", plan)
    assert "1 cycle, Mon" in text and "1 error:" not in text and "2 errors:" in text
    change(plan, ("days = 14\ndose", "days = 22\ndose"))
    assert "1 error:" in run("show", plan) and "has 1 error" in run("check", plan, code=1)


def test_long_courses_are_cut_on_the_screen(plan: Path) -> None:
    change(plan, ("cycles = 6", "cycles = 130"))
    assert "more; --html and --json have them all" in run("show", plan)
    assert len(run_json("show", plan)["fills"]) == 260


# --- dose


def test_dose_and_its_sheet(plan: Path, tmp_path: Path) -> None:
    text = run("dose", plan, "--sheet", "sheet.html")
    for part in ("194 mg in 30 mL", "1.9385 mL", "1 mL + 0.94 mL", "21.15 days", "11.3 mL", "make up to 30 mL"):
        assert part in text, part
    assert "Fill 1 of 12" in (tmp_path / "sheet.html").read_text(encoding="utf-8")
    found = run_json("dose", plan, "--fill", "3")
    assert found["components"][0]["exact"] == "2520/13" and found["residual_nl"] == 11_300_000
    assert found["pump_limits"]["drug"] == "floxuridine" and found["date"] == "2027-02-08"
    assert "12 fills" in run("dose", plan, "--fill", "13", code=2)


def test_a_flow_out_of_bounds_needs_a_name_and_a_reason(plan: Path) -> None:
    assert "acknowledge-flow" in run("dose", plan, "--flow", "1.5mL/day", code=1)
    assert "who and why" in run("dose", plan, "--flow", "1.5mL/day", "--acknowledge-flow", "me", code=2)
    text = run("dose", plan, "--flow", "1.5mL/day", "--acknowledge-flow", "A. Person: weighed", "--sheet", "s.html")
    assert "acknowledged by A. Person: weighed" in text
    assert "A. Person: weighed" in (plan.parent / "s.html").read_text(encoding="utf-8")
    assert "0 is no flow" in run("dose", plan, "--flow", "0mL/day", code=2)


def test_an_acknowledgement_in_the_file_does_not_cover_another_flow(plan: Path) -> None:
    change(
        plan, ('# measured_flow = "1.27', 'measured_flow = "1.5'),
        ('# flow_acknowledged = "name: reason"', 'flow_acknowledged = "Doe: weighed"'),
        ('# flow_acknowledged_for = "1.27', 'flow_acknowledged_for = "1.5'),
    )  # fmt: skip
    assert "acknowledged by Doe: weighed" in run("dose", plan)
    text = run("dose", plan, "--flow", "1.6mL/day", code=1)
    assert "Doe: weighed stood for 1.5 mL/day" in text and 'flow_acknowledged_for = "1.6 mL/day"' in text
    assert "by B: looked" in run("dose", plan, "--flow", "1.6mL/day", "--acknowledge-flow", "B: looked")
    assert "whoever stands for it" in run("dose", plan, "--flow", "0.6mL/day", "--acknowledge-flow", "B: x", code=1)


def test_what_a_typed_flow_makes_wrong_is_not_the_files(plan: Path) -> None:
    change(plan, ("days = 14\ndose", "days = 20\ndose"))
    text = run("dose", plan, "--flow", "1.45mL/day", code=1)
    assert "ith a flow of 1.45 mL/day: a fill of floxuridine lasts" in text and "line" not in text


def test_no_dose_for_a_course_with_errors(plan: Path) -> None:
    change(plan, ('amount = "25 mg"', 'amount = "51 mg"'))
    assert "the course has errors" in run("dose", plan, code=1).lower()


# --- adjustment


def test_an_adjustment_is_shown_and_kept_only_when_asked(plan: Path) -> None:
    text = run(
        "adjust", plan, "--ast", "40U/L", "--alp", "150", "U/L", "--bilirubin", "10umol/L", "--day", "2027-02-08"
    )
    assert "80 % of the planned dose: 0.096 mg/kg/day" in text and "The worst row wins: ALP" in text
    assert "Nothing is recorded yet" in run("history", plan)
    assert "194 mg" in run("dose", plan)


def test_a_recorded_adjustment_changes_the_next_dose(plan: Path) -> None:
    words = ["adjust", plan, *VALUES, "--alp", "150U/L", "--record"]
    assert "nobody is named" in run(*words, "--yes", code=2).lower()
    assert "nobody is there to confirm" in run(*words, "--by", "A. Person", code=6).lower()
    assert run_json("history", plan)["entries"] == []
    found = run_json(*words, "--by", "A. Person", "--yes")
    assert (found["percent"], found["dose_mg_per_kg_day"], found["recorded"]) == (80, "12/125", True)
    assert "80 % of planned" in run("history", plan) and "A. Person" in run("history", plan)
    text = run("dose", plan)
    assert "155 mg" in text and "Adjusted on Mon 2027-02-08 by A. Person: 80 % of the planned dose" in text
    assert "30,000 units" in run("dose", plan, "--fill", "2")  # what keeps the catheter open is not adjusted


@pytest.mark.parametrize(
    ("rules", "planned", "mg"),
    [
        ("floyd-2006", "0.12", "155 mg"),  # 80 % of what is planned: 155.08
        ("floyd-2006", "0.1", "130 mg"),  # also of a plan that was lowered since: 129.2
        ("mskcc-type", "0.12", "97 mg"),  # 50 % of the last dose: 96.9
        ("mskcc-type", "0.08", "97 mg"),  # which a lower plan above it does not change
        ("mskcc-type", "0.04", "65 mg"),  # and never more than the plan: 64.6
    ],
)
def test_a_plan_that_was_lowered_since_is_not_passed(plan: Path, rules: str, planned: str, mg: str) -> None:
    named = ('rules = "floyd-2006"', f'rules = "{rules}"')
    change(plan, named)
    run("adjust", plan, *VALUES, "--alp", "150U/L", "--record", "--by", "A. Person", "--yes")
    change(plan, named, ('dose = "0.12', f'dose = "{planned}'))
    assert mg in run("dose", plan)


def test_a_hold_keeps_the_catheter_open(plan: Path) -> None:
    text = run("adjust", plan, *VALUES, "--ast", "200U/L", "--record", "--by", "A. Person", "--yes")
    assert "Hold the drug" in text and "The catheter stays open: fill with heparin-saline" in text
    assert "never leave it empty" in text
    assert "on hold since Mon 2027-02-08" in run("dose", plan, code=1)
    assert "Heparinised saline 30,000 units" in run("dose", plan, "--instead", "heparin-saline")
    assert "does not keep the catheter open" in run("dose", plan, "--instead", "saline", code=2)
    assert "does not say how" in run("dose", plan, "--instead", "glycerin", code=2)


RECORDED = ["--record", "--by", "A. Person", "--yes"]


def test_the_reason_of_a_hold_is_that_of_the_test_that_held(plan: Path) -> None:
    run("adjust", plan, *VALUES, "--ast", "100U/L", *RECORDED)
    text = run("dose", plan, code=1)
    assert "AST 100 U/L is 3.57 x the reference of 28 U/L: hold" in text and "bilirubin" not in text


def test_a_restart_is_one_step_until_the_drug_was_given(plan: Path) -> None:
    """The course has drug from 02-08, 03-08 and 04-05 on, 14 days each."""
    run("adjust", plan, *VALUES, "--ast", "100U/L", "--day", "2027-03-01", *RECORDED)
    assert run_json("adjust", plan, *VALUES, "--day", "2027-03-08", *RECORDED)["percent"] == 50
    assert "ntry 2 is of 2027-03-08, too" in run("adjust", plan, *VALUES, "--day", "2027-03-08", *RECORDED, code=2)
    assert "97 mg" in run("dose", plan, "--fill", "5")
    for day, percent in (("2027-03-09", 50), ("2027-03-21", 50), ("2027-03-22", 100), ("2027-04-05", 100)):
        assert run_json("adjust", plan, *VALUES, "--day", day)["percent"] == percent, day
    assert "until the drug has been given at that dose" in run(
        "adjust", plan, *VALUES, "--day", "2027-03-09", *RECORDED
    )
    assert run_json("adjust", plan, *VALUES, "--day", "2027-03-21")["percent"] == 50
    assert run_json("adjust", plan, *VALUES, "--day", "2027-03-22", *RECORDED)["percent"] == 100
    assert "194 mg" in run("dose", plan, "--fill", "7")


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("2035-01-01", "12 weeks after the course ends, 2027-06-27"),
        ("2027-09-20", "after the course ends"),
        ("2026-10-18", "12 weeks before the course begins, 2027-01-11"),
        ("2017-02-08", "before the course begins"),
    ],
)
def test_a_day_that_can_not_be_of_the_course_is_refused(plan: Path, day: str, said: str) -> None:
    text = run("adjust", plan, *VALUES, "--day", day, *RECORDED, code=2)
    assert said in text and "Nothing was recorded" in text and "check the year" in text.lower()
    assert run_json("history", plan)["entries"] == []


@pytest.mark.parametrize("day", ["2027-09-19", "2026-10-19", "2027-03-08"])
def test_a_day_of_the_course_or_some_weeks_beside_it_is_taken(plan: Path, day: str) -> None:
    assert run_json("adjust", plan, *VALUES, "--day", day)["day"] == day


def test_without_a_day_it_is_today_whenever_the_course_is(plan: Path) -> None:
    change(plan, ("start = 2027-01-11", "start = 2001-01-08"), ("taken = 2027-01-04", "taken = 2001-01-04"))
    assert run_json("adjust", plan, *VALUES[:6])["percent"] == 100


def test_a_hold_is_taken_though_a_later_day_is_recorded(plan: Path) -> None:
    run("adjust", plan, *VALUES, "--day", "2027-09-01", *RECORDED)
    assert "only grows" in run("adjust", plan, *VALUES, *RECORDED, code=2)
    text = run("adjust", plan, *VALUES, "--ast", "100U/L", *RECORDED)
    assert "the newest decision and counts, though entry 1 is of Wed 2027-09-01" in text
    assert "on hold since Mon 2027-02-08" in run("dose", plan, code=1)


def test_a_hold_does_not_vanish_with_its_list(plan: Path, tmp_path: Path) -> None:
    run("adjust", plan, *VALUES, "--ast", "100U/L", *RECORDED)
    with make(tmp_path / "a.course") as record:
        history.keep(record, history.read(plan))
    path = history.path_for(plan)
    lines = path.read_text()
    path.write_text("")
    assert "is empty" in run("dose", plan, code=1)
    path.unlink()
    assert "1 there, 0 here" in run("dose", plan, "--record", "a.course", code=2)
    path.write_text(lines)
    plan.rename(tmp_path / "renamed.toml")
    assert "was it renamed?" in run("dose", "renamed.toml", code=2)
    path.rename(tmp_path / "renamed.history.jsonl")
    assert "on hold since" in run("dose", "renamed.toml", code=1)


def test_imaging_is_said(plan: Path) -> None:
    text = run("adjust", plan, *VALUES, "--bilirubin", "3mg/dL")
    assert (
        "Imaging of the bile ducts is due" in text
        and run_json("adjust", plan, *VALUES, "--bilirubin", "3mg/dL")["imaging"]
    )


@pytest.mark.parametrize(("value", "due"), [("51.3umol/L", True), ("3mg/dL", True), ("51.29umol/L", False)])
def test_a_bound_is_the_same_in_both_units(plan: Path, value: str, due: bool) -> None:
    text = run("adjust", plan, *VALUES, "--bilirubin", value)
    assert ("Imaging of the bile ducts is due" in text) == due
    assert (
        "total bilirubin 3 mg/dL" in text.replace("Total", "total")
    ) == due  # what is below is not shown as the bound


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('ast = "28 U/L"', 'ast = "2800 U/L"'),
        ('alp = "120 U/L"', 'alp = "12 U/L"'),
        ('bilirubin = "1.2 mg/dL"', 'bilirubin = "1.2 umol/L"'),
        ("taken = 2027-01-04", "taken = 2029-01-04"),
    ],
)
def test_nothing_is_decided_by_what_can_not_be(plan: Path, old: str, new: str) -> None:
    change(plan, (old, new))
    text = run("adjust", plan, *VALUES, *RECORDED, code=2)
    assert "line" in text and "Nothing was decided" in text
    assert run_json("history", plan)["entries"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ast", "0U/L"], "AST 0 U/L measured can't be: it is 3 U/L or more"),
        (["--ast", "2.9U/L", "--ast", "30U/L"], "can't be"),
        (["--alp", "9U/L"], "can't be"),
        (["--bilirubin", "0.7umol/L"], "can't be"),
    ],
)
def test_a_value_that_can_not_be_is_refused(plan: Path, words: list[str], said: str) -> None:
    given = VALUES if words[0] != "--ast" or len(words) == 2 else VALUES[2:]
    assert said in run("adjust", plan, *given, *words, code=2)


def test_a_value_that_is_rare_is_told_and_a_high_one_always_holds(plan: Path) -> None:
    assert "AST 3 U/L measured is unusually low: check the number and its unit" in run(
        "adjust", plan, *VALUES, "--ast", "3U/L"
    )
    assert run_json("adjust", plan, *VALUES, "--ast", "3U/L")["warnings"]
    found = run_json("adjust", plan, *VALUES, "--ast", "99999U/L", *RECORDED)
    assert (found["percent"], found["warnings"]) == (0, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ast", "40"], "has no unit"),
        (["--day", "8.2.2027"], "is no date"),
        (["--day", "0207-02-08"], "is no date"),
        (["--ast", "1U/L", "--ast", "2U/L", "--ast", "3U/L"], "values of AST"),
    ],
)
def test_what_is_typed_wrong(plan: Path, words: list[str], said: str) -> None:
    assert said in run("adjust", plan, *VALUES, *words, code=2)


def test_an_altered_history_is_refused(plan: Path) -> None:
    for day in ("2027-02-08", "2027-03-08"):
        run("adjust", plan, *VALUES, "--day", day, "--record", "--by", "A. Person", "--yes")
    path = plan.with_name("plan.history.jsonl")
    path.write_text(path.read_text().replace('"percent": 100', '"percent": 80', 1))
    for words in (["history", plan], ["dose", plan], ["adjust", plan, *VALUES]):
        assert "changed, taken out or put in" in run(*words, code=1)


def test_the_rules_are_shown_with_their_status(plan: Path) -> None:
    text = run("rules")
    assert "floyd-2006 (the default)" in text and "UNVERIFIED" in text and "ref. > 1.2 mg/dL" in text
    assert [one["id"] for one in run_json("rules", "mskcc-type")["sets"]] == ["mskcc-type"]
    assert 'there are no rules "x"' in run("rules", "x", code=2).lower()


# --- library


def test_a_library_of_ones_own(plan: Path, tmp_path: Path) -> None:
    from importlib import resources

    text = (resources.files("haipump.therapy") / "library.toml").read_text(encoding="utf-8")
    file = tmp_path / "drugs.toml"
    file.write_text(text.replace('soft = "0.13 mg/kg/day"', 'soft = "0.1 mg/kg/day"'), encoding="utf-8")
    assert "nobody has signed" in run("check", plan, "--library", file, code=1).lower()
    assert "there is no key" in run("library", "sign", file, "--by", "A. Person", "--yes", code=2).lower()
    signing = ["library", "sign", file, "--by", "A. Person", "--new-key", "key"]
    assert "nobody is there to confirm" in run(*signing, code=6).lower()
    assert not (tmp_path / "key").exists()
    run(*signing, "--yes")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    assert re.fullmatch("[0-9a-f]{64}\n", (tmp_path / "key").read_text())
    assert "does not exist" in run(*signing, "--yes", code=2)
    text = run("check", plan, "--library", file, "--library-key", "key")
    assert "0.1 mg/kg/day" in text and "1 warning:" in text
    assert "Vouched for by A. Person" in run("library", "verify", file, "--library-key", "key")
    assert run_json("library", "show", file, "--library-key", "key")["vouched"] == "A. Person"
    (tmp_path / "other").write_text("0" * 64)
    assert "not made with this key" in run("library", "verify", file, "--library-key", "other", code=1)
    file.write_text(file.read_text().replace("0.1 mg/kg/day", "0.9 mg/kg/day").replace("0.2 mg", "1.2 mg"))
    for words in (["dose", plan, "--library", file], ["library", "verify", file]):
        assert "altered since A. Person signed it" in run(*words, "--library-key", "key", code=1)


def test_the_packaged_library_is_shown_with_its_sources(plan: Path) -> None:
    text = run("library", "show", "--drug", "floxuridine")
    assert "Hohn 1989" in text and "28 days at 37 C" in text
    assert "there are: floxuridine" in run("library", "show", "--drug", "x", code=2).lower()
    found = run_json("library", "verify")
    assert found["vouched"] == "the program that it came with" and len(found["sha256"]) == 64
    assert run_json("library", "show")["drugs"]["floxuridine"]["rate"]["hard_max"] == "5000000"


def test_a_command_does_not_wait_for_what_draws_reports() -> None:
    """Importing matplotlib takes most of a second, and a stop is waiting."""
    code = "import sys; from haipump.cli import root; sys.exit(bool({'numpy', 'matplotlib'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ).returncode
        == 0
    )


def test_an_adjustment_goes_into_the_record_too(plan: Path, tmp_path: Path) -> None:
    words = ["adjust", plan, *VALUES, "--alp", "150U/L", "--record", "--by", "A. Person", "--yes", "--into"]
    refused = run(*words, tmp_path / "none.course", code=2)
    assert "does not exist" in refused and not history.path_for(plan).exists(), "nothing is half done"
    with make(tmp_path / "a.course") as record:
        run(*words, tmp_path / "a.course")
        assert [row["percent"] for row in record.rows("adjustments")] == [80]
