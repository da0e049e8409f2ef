"""Every shipped scenario passes on the direct core: the firmware does what the stories say."""

import pytest

from haipump_emulator.scenario import run_scenario
from haipump_emulator.scenario.cli import shipped


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_a_shipped_scenario_passes(path):
    result = run_scenario(path)
    for number, check in enumerate(result.checks):
        assert check.passed, "\n".join([f"{path.name}:{check.line}: {check.what}", check.saw, *result.around[number]])
    assert result.passed
