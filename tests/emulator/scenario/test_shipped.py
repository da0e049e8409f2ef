"""Every shipped scenario passes on the direct core: the firmware does what the stories say."""

import json

import pytest
import typer
from typer.testing import CliRunner

from haipump_emulator.scenario import cli, run_scenario

# Not here but with `haipump-emu scenario --all`: two weeks cost as much time as all others together.
LONG = {"fourteen_days"}
PATHS = [path for path in cli.shipped() if path.stem not in LONG]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_shipped_scenario_passes(path):
    result = run_scenario(path)
    for number, check in enumerate(result.checks):
        assert check.passed, "\n".join([f"{path.name}:{check.line}: {check.what}", check.saw, *result.around[number]])
    assert result.passed


def test_the_long_ones_are_still_there():
    assert {path.stem for path in cli.shipped()} >= LONG


def test_several_processes_give_the_same_results_in_the_same_order():
    app = typer.Typer()
    app.command()(cli.run)
    names = ["stop_button", "start_up", "driver_error"]
    alone, together = (
        json.loads(CliRunner().invoke(app, [*names, "--json", "-j", jobs]).stdout) for jobs in ("1", "3")
    )
    for result in (*alone, *together):
        del result["cpu_s"], result["factor"]
    assert [result["name"] for result in together] == ["stop button", "start-up", "driver error"]
    assert together == alone
