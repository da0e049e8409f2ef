"""Faults of the catalogue in scenarios, on the line too: the player's host gets through."""

from __future__ import annotations

import pytest

from haipump_emulator.scenario import ScenarioError, parse_scenario, run_scenario

STORY = """
[scenario]
name = "faults"
duration = "10min"
[[timeline]]
at = "1s"
host = "syringe 30mL 30mL"
[[timeline]]
at = "10s"
host = "rate 24mL/day override"
[[timeline]]
at = "1min"
fault = { name = "line_delay ms=300", for = "20s" }
[[timeline]]
at = "65s"
host = "pause"
expect = { state = "paused" }
[[timeline]]
at = "2min"
host = "resume"
[[timeline]]
at = "3min"
fault = "motor_stall"
expect = { alarm = "motor_stall", within = "2min" }
[[timeline]]
at = "6min"
fault = "power_cut off_ms=500"
expect = { event = "power", within = "1s" }
"""


def test_a_story_with_faults():
    result = run_scenario(parse_scenario(STORY))
    assert result.passed, [check for check in result.checks if not check.passed]


def test_a_fault_that_there_is_not():
    with pytest.raises(ScenarioError, match="did you mean 'motor_stall'"):
        parse_scenario(STORY.replace('fault = "motor_stall"', 'fault = "motor_stal"'))
