"""`haipump-emu trace`: what it prints and how it exits."""

import json

import pytest
import typer
from typer.testing import CliRunner

from haipump_emulator import cores
from haipump_emulator.trace import Header, Recorder, Trace, cli
from tests.emulator.scenario.fakes import FakeCore

S = 1_000_000


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.setattr(cores.Recipe, "make", lambda self, plant, **options: FakeCore(plant, **options))
    monkeypatch.setenv("COLUMNS", "200")
    for name, extra in (("a", 0), ("b", 1)):
        core = FakeCore()
        with Recorder(core, tmp_path / f"{name}.trace"):
            core.run_until(S)
            core.send(b"status\n" if not extra else b"status x\n")
            core.run_until(2 * S)
            core.press(64, True)
            core.plant.occlude(2 * S)
            core.run_until(4 * S)
            core.power(False)
            core.run_until(5 * S)
    app = typer.Typer()
    cli.register(app)

    def call(*args):
        args = [str(tmp_path / arg) if "." in arg else arg for arg in args]
        return CliRunner().invoke(app, ["trace", *args])

    return call


def test_show(command):
    result = command("show", "a.trace")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert any(line.split()[:2] == ["input", "4"] for line in lines)
    shown = [line for line in lines if line.startswith("00:00:0")]
    assert "host  status" in shown[0] and "pump  ok" in shown[1]
    assert any("input occlude" in line for line in shown)
    panel = [line for line in lines if " panel " in line]
    assert panel == ["00:00:02.000000  panel red lit, silent", "00:00:04.000000  panel all lamps dark, silent"]
    assert "occlude" not in command("show", "a.trace", "--to", "1").stdout
    assert "host  status" not in command("show", "a.trace", "--from", "2").stdout
    assert "... more" in command("show", "a.trace", "--limit", "1").stdout


def test_show_json(command):
    found = json.loads(command("show", "a.trace", "--json").stdout)
    assert (found["complete"], found["input"], found["step"], found["duration"]) == (True, 4, 0, "00:00:05.000000")


def test_export(command, tmp_path):
    result = command("export", "a.trace", "x.csv", "--table", "inputs")
    assert (result.exit_code, "4 rows" in result.stdout) == (0, True)
    assert (tmp_path / "x.csv").read_text().startswith("t_us,name,arguments\n")
    assert command("export", "a.trace", "x.data", "--format", "jsonl").exit_code == 0
    assert command("export", "a.trace", "x.data").exit_code == 2
    assert command("export", "a.trace", "x.csv", "--table", "nothing").exit_code == 2


def test_compare(command):
    assert command("compare", "a.trace", "a.trace").exit_code == 0
    result = command("compare", "a.trace", "b.trace")
    assert result.exit_code == 1
    assert "first difference at 00:00:01.000000: input number 1" in result.stdout
    found = json.loads(command("compare", "a.trace", "b.trace", "--json").stdout)
    assert (found["same"], found["difference"]["kind"]) == (False, "input")


def test_two_seeds_that_did_the_same_are_no_plain_no_difference(command, monkeypatch):
    monkeypatch.setattr("haipump_emulator.trace.cli.compare", lambda a, b, tolerance_us: None)
    header = type("Header", (), {"seed": 1, "scenario": "", "firmware": "", "params": ""})
    other = type("Header", (), {"seed": 2, "scenario": "", "firmware": "", "params": ""})
    traces = iter([type("Trace", (), {"header": header}), type("Trace", (), {"header": other})])
    monkeypatch.setattr("haipump_emulator.trace.cli._load", lambda path: next(traces))
    result = command("compare", "a.trace", "b.trace")
    assert (result.exit_code, "though they were recorded with another seed" in result.stdout) == (0, True)


def test_replay(command, monkeypatch):
    assert command("replay", "a.trace").exit_code == 0

    class Other(FakeCore):
        def press(self, bits, on):
            pass

    monkeypatch.setattr(cores.Recipe, "make", lambda self, plant, **options: Other(plant, **options))
    result = command("replay", "a.trace")
    assert result.exit_code == 1
    assert "first difference" in result.stdout


def test_files_that_cant_be_used(command):
    for args in (("show", "none.trace"), ("export", "none.trace", "x.csv"), ("replay", "none.trace")):
        result = command(*args)
        assert result.exit_code == 2
        assert "no such recording" in result.stderr
    for args in (("export", "a.trace", "no/x.csv"), ("replay", "a.trace", "--keep", "no/x.trace")):
        result = command(*args)
        assert result.exit_code == 2
        assert "there is no folder" in result.stderr


def test_what_lamps_and_sound_tell_to_the_end_of_the_recording():
    trace = Trace(Header(), end_us=10 * S)
    trace.events.append((S, "led", {"red": 0, "yellow": 1, "green": 0}))
    assert list(cli.timeline(trace)) == [(S, "panel yellow lit, silent")]
