"""`haipump log` and `haipump report`, as typed, against the real firmware in virtual time."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import haipump
from haipump.cli import app, frame
from haipump.report.source import read
from tests.host.report.quick_line import QuickLine

runner = CliRunner()


@pytest.fixture
def line(monkeypatch) -> QuickLine:
    made = QuickLine()
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(made, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])
    return made


def run(*words: str, code: int = 0) -> str:
    result = runner.invoke(app, list(words), env={"COLUMNS": "200"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def used(line) -> QuickLine:
    with haipump.connect(line) as pump:
        pump.syringe("30mL", "30mL")
        pump.rate("1.3mL/day")
        line.sleep(60)
        pump.bolus("0.1mL", over="5min")
        line.sleep(600)
        pump.stop()
    return line


def test_log_shows_the_last_records_in_words(used) -> None:
    text = run("log", "--count", "100")
    for words in (
        "start 1, cause: power", "30 mL syringe with 30 mL, one microstep is 231.147588 nL",
        "rate, 1.3 mL/day", "extended bolus, 0.1 mL, over 5 min", "complete:", "0.1 mL commanded",
        "stopped, was infusing",
    ):  # fmt: skip
        assert words in text
    assert "haipump log --to" in text
    short = run("log", "-n", "2")
    assert "start 1" not in short and len(short.splitlines()) < len(text.splitlines())


def test_log_as_json(used) -> None:
    said = json.loads(run("log", "-n", "5", "--json"))
    assert said["ok"] and said["last"] - said["first"] >= 5
    assert [record["seq"] for record in said["records"]] == list(range(said["last"] - 4, said["last"] + 1))
    assert said["records"][-1]["name"] and said["records"][-1]["crc_ok"]


def test_log_downloads_and_goes_on(used, tmp_path) -> None:
    path = tmp_path / "run.sqlite"
    assert "records 1 to" in run("log", "--to", str(path))
    count = len(read(path).records)
    said = json.loads(run("log", "--to", str(path), "--json"))
    assert said["new"] == 0 and said["count"] == count and said["missing"] == 0 and said["gaps"] == []
    assert read(path).chain.intact


def test_log_records_telemetry_for_so_long_by_the_pumps_clock(used, tmp_path) -> None:
    path = tmp_path / "run.sqlite"
    text = run("log", "--to", str(path), "--telemetry", "10s", "--for", "5min")
    assert "values of telemetry" in text
    times = [event.fields["uptime_s"] for event in read(path).heard if event.name == "tele"]
    assert len(times) == 31 and times[-1] - times[0] == 300
    assert used.core.app.telemetry_ms == 0


def test_log_notes_a_programme_file(used, tmp_path) -> None:
    programme = tmp_path / "daily.toml"
    programme.write_text('period = "1d"\nrepeats = 2\nrate = "1.3 mL/day"\n')
    run("log", "--to", str(tmp_path / "run.sqlite"), "--programme", str(programme))
    assert read(tmp_path / "run.sqlite").latest("programme")["volume_nl"] == 2_600_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--telemetry", "10s"), "--to RUN.sqlite"),
        (("--to", "x.sqlite", "--for", "1h"), "--telemetry"),
        (("--to", "x.sqlite", "--follow"), "one of them"),
        (("--to", "x.sqlite", "--telemetry", "10"), "unit"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_made(line, words, said, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in " ".join(run("log", *words, code=2).split())
    assert not (tmp_path / "x.sqlite").exists()


def test_report_of_a_run_file(recorded, tmp_path) -> None:
    said = json.loads(run("report", str(recorded("short")), "--to", str(tmp_path / "page.html"), "--json"))
    assert said["report"] == str(tmp_path / "page.html") and len(said["pictures"]) == 5
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_report_refuses_what_it_cannot_read(tmp_path) -> None:
    assert "There is no file" in run("report", str(tmp_path / "no.sqlite"), code=2)
    assert "would overwrite" in run("report", str(tmp_path / "a.html"), code=2)
