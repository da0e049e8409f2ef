"""Scenarios: what happens to a pump in simulated time, and what must then be seen.

Owns: the names other parts import. Must not: import the command line.
"""

from haipump_emulator.scenario.load import load_scenario, parse_scenario
from haipump_emulator.scenario.model import Scenario, ScenarioError
from haipump_emulator.scenario.player import Player
from haipump_emulator.scenario.run import Result, run_scenario

__all__ = ["Player", "Result", "Scenario", "ScenarioError", "load_scenario", "parse_scenario", "run_scenario"]
