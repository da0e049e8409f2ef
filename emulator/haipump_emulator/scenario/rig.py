"""The rig of a scenario: which names plant and firmware know, and how a plant and a core are made.

Owns: everything that scenarios and replay need to know of the other packages. Must not: run anything.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from haipump_emulator.plant import Plant, PlantParams, Truth
from haipump_emulator.plant.params import SensorFault
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core import states as state_table
from haipump_fw.proto import messages, table

# What `core.press` takes: the bits of `haipump_fw.ports`.
_INPUT_BITS = {"service": 16, "start": 32, "stop": 64, "silence": 128}
BOARD_EVENTS = ("enable", "led", "tone", "reset", "power")
# Not a field of Truth but worked out from it: commanded steps times the calibration of the last `syringe` command.
STEPPED = "stepped_nl"


def input_bit(name: str) -> int:
    """The bit of a button (start, stop, silence) or of the jumper (service)."""
    return _INPUT_BITS[name]


def alarms() -> list[str]:
    """Names of the firmware's alarms."""
    return [str(row[alarm_table.NAME]) for row in alarm_table.ALARMS]


def alarm_phases() -> tuple[str, ...]:
    """Phases of an alarm."""
    return alarm_table.PHASES


def states() -> tuple[str, ...]:
    """States of the pump."""
    return state_table.STATES


def error_codes() -> list[str]:
    """Codes with which the pump refuses."""
    return [code for code, _ in table.ERRORS]


def event_names() -> list[str]:
    """Events of the serial line and of the board."""
    return [name for name, _ in table.EVENTS] + list(BOARD_EVENTS)


def read_verbs() -> list[str]:
    """Messages that only read and need no field."""
    return [
        verb
        for verb, kind, request in messages.REQUESTS
        if kind == messages.READ and all(field.endswith("?") for field in request.split())
    ]


@functools.cache
def answer_fields(verb: str) -> dict[str, str]:
    """{field: type} of the answer to `verb`."""
    for name, _, _, answer in table.MESSAGES:
        if name == verb:
            return {key: kind.rstrip("?") for key, _, kind in (field.partition("=") for field in answer.split())}
    raise KeyError(verb)


@functools.cache
def truth_fields() -> tuple[str, ...]:
    """What can be asked of the plant."""
    return (*(field.name for field in dataclasses.fields(Truth)), STEPPED)


@functools.cache
def parameters() -> dict[str, Any]:
    """Default of every parameter that a scenario can set, by group and name."""
    groups = dataclasses.asdict(PlantParams())
    return {
        group: {name: value for name, value in values.items() if not isinstance(value, (tuple, list, dict))}
        for group, values in groups.items()
    }


def params_with(overrides: Mapping[str, Mapping[str, Any]]) -> PlantParams:
    """The defaults with overrides by group and name."""
    params = PlantParams()
    groups = {group: dataclasses.replace(getattr(params, group), **_typed(v)) for group, v in overrides.items()}
    return dataclasses.replace(params, **groups)


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they come from TOML or from a recording's header, where a sensor's faults are plain tables."""
    found = dict(values)
    if "faults" in found:
        found["faults"] = tuple(SensorFault(**fault) for fault in found["faults"])
    return found


def problems(overrides: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """(group, name, what is wrong) for parameters that can't be used."""
    found = []
    for problem in params_with(overrides).problems():
        place, _, what = problem.partition(": ")
        group, _, name = place.partition(".")
        found.append((group, name, what))
    return found


def sensor_problem(sensor: str, fault: str, value: float | None) -> str | None:
    """What is wrong with a sensor fault, or None."""
    return SensorFault(sensor, fault, value).problem()


def plant_from(overrides: Mapping[str, Mapping[str, Any]], seed: int) -> Plant:
    """A plant with these overrides. Raises ValueError when they can't be used."""
    return Plant(params_with(overrides), seed)
