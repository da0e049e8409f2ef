"""`haipump-emu scenario`: what it prints and how it exits."""

import json

import pytest
import typer
from typer.testing import CliRunner

from haipump_emulator import cores
from haipump_emulator.scenario import cli
from tests.emulator.scenario.fakes import FakeCore

GOOD = '[scenario]\nname = "good one"\nduration = "1min"\n[[timeline]]\nat = "1s"\nhost = "pause"\n'
BAD = GOOD.replace("good", "bad") + 'expect = { alarm = "occlusion", within = "10s" }\n'


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.setattr(cores.Recipe, "make", lambda self, plant, **options: FakeCore(plant, **options))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text(BAD)
    (tmp_path / "broken.toml").write_text(GOOD + "nonsense = 1\n")
    app = typer.Typer()
    cli.register(app)
    app.command("other")(lambda: None)

    def call(*args):
        args = [str(tmp_path / arg) if arg.endswith((".toml", ".trace")) else arg for arg in args]
        return CliRunner().invoke(app, ["scenario", *args])

    return call


def test_all_passed(command):
    result = command("good.toml", "-v")
    assert result.exit_code == 0
    assert result.stderr == "running good on direct ...\n"
    assert "good one" in result.stdout and "pass" in result.stdout and "host pause" in result.stdout


def test_one_failed(command):
    result = command("good.toml", "bad.toml")
    assert result.exit_code == 1
    assert "bad.toml:4: alarm occlusion within 00:00:10" in result.stdout
    assert "nothing of the kind" in result.stdout
    assert "pause *" in result.stdout, "the trace around the failure"
    assert "good.toml:4" not in result.stdout


def test_json(command):
    result = command("bad.toml", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (1, "")
    assert [(r["name"], r["passed"], [c["passed"] for c in r["checks"]]) for r in found] == [
        ("bad one", False, [False, True])
    ]


def test_a_scenario_that_cant_be_used(command):
    result = command("good.toml", "broken.toml")
    assert result.exit_code == 2
    assert "broken.toml:7: timeline[1].nonsense: no such key" in result.stderr
    assert "good one" not in result.stdout, "nothing runs before all are read"


def test_no_scenario_at_all_and_too_many_to_record(command, tmp_path):
    assert command().exit_code == 2
    assert command("good.toml", "bad.toml", "--record", "x.trace").exit_code == 2
    nowhere = command("good.toml", "--record", "no/x.trace")
    assert (nowhere.exit_code, nowhere.stdout) == (2, "") and "there is no folder" in nowhere.stderr
    assert command("good.toml", "--record", "x.trace").exit_code == 0
    assert (tmp_path / "x.trace").stat().st_size > 0


def test_the_shipped_ones_are_listed_and_found_by_name(command):
    assert len(json.loads(command("--list", "--json").stdout)) == len(cli.shipped())
    assert cli.shipped()[0].stem in command("--list").stdout
    assert cli.find(cli.shipped()[0].stem) == cli.shipped()[0]
