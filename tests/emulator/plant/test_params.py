"""Parameters: ranges, contradictions, the syringe table."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from haipump_emulator.plant import Plant, PlantParams, for_syringe
from haipump_emulator.plant.params import SYRINGE_BORES_MM
from tests.emulator.plant import bench
from tests.emulator.plant.rig import params


def test_defaults_are_valid_and_every_field_is_documented() -> None:
    PlantParams().validate()
    for group in dataclasses.fields(PlantParams):
        for item in dataclasses.fields(getattr(PlantParams(), group.name)):
            if item.name != "faults":
                assert item.metadata["source"], item.name
                assert item.metadata["help"], item.name
                assert item.metadata["min"] < item.metadata["max"], item.name


@pytest.mark.parametrize(
    ("group", "fields", "text"),
    [
        ("line", {"air_nl": -1.0}, "line.air_nl: -1.0 is outside 0.0 to"),
        ("line", {"air_nl": math.nan}, "line.air_nl: nan is outside"),
        ("motor", {"microsteps": 16.5}, "motor.microsteps: 16.5 is not a whole number"),
        ("motor", {"microsteps": "16"}, "motor.microsteps: '16' is not a int"),
        ("syringe", {"captured": 1}, "syringe.captured: 1 is not a bool"),
        ("syringe", {"bore_mm": True}, "syringe.bore_mm: True is not a float"),
        ("syringe", {"friction_kinetic_n": 7.0}, "must not exceed friction_static_n"),
        ("syringe", {"friction_kinetic_n": 5.99}, "equal to friction_kinetic_n or 0.05 N above"),
        ("syringe", {"initial_nl": 40_000_000}, "more than capacity_nl and overfill_nl hold"),
        ("screw", {"back_switch_before_full_um": 6_000.0}, "back_switch_before_full_um: the switch lies behind"),
        ("screw", {"front_switch_before_empty_um": -2_000.0}, "front_switch_before_empty_um: the switch lies behind"),
        ("motor", {"pull_in_steps_per_s": 9_000.0}, "faster than no_torque_steps_per_s"),
    ],
)
def test_what_is_wrong_is_said(group: str, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("(", r"\(")):
        Plant(params(None, **{group: fields}))


def test_all_problems_at_once() -> None:
    assert len(params(line={"air_nl": -1.0}, motor={"microsteps": 0}).problems()) == 2


@pytest.mark.parametrize("size", list(SYRINGE_BORES_MM))
def test_every_syringe_of_the_table(size: int) -> None:
    p = for_syringe(size)
    p.validate()
    plant = Plant(p)
    assert plant.truth(0).reservoir_nl == size * 1_000_000
    assert p.syringe.bore_mm == SYRINGE_BORES_MM[size]
    assert p.syringe.expansion_nl_per_k == pytest.approx(-5_000 * size / 30)
    assert p.syringe.friction_static_n == pytest.approx(6.0 * p.syringe.bore_mm / 21.7, abs=1e-3)
    assert p.syringe.friction_kinetic_n == pytest.approx(4.0 * p.syringe.bore_mm / 21.7, abs=1e-3)


def test_a_syringe_keeps_the_rest_of_the_base() -> None:
    base = params(line={"air_nl": 5.0})
    assert for_syringe(10, base).line.air_nl == 5.0
    assert for_syringe(30) == PlantParams()
    with pytest.raises(ValueError, match="no syringe of 7 mL"):
        for_syringe(7)


def test_bench_prints_its_figures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "CALLS", 50)
    bench.main()
    assert "pressure_raw" in capsys.readouterr().out
