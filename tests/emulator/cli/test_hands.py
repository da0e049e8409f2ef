"""The emulated nurse: what is answered for each step, and what is done at the emulator."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from haipump.therapy.refill import PERSON, STATES
from haipump_emulator.cli.hands import Nurse


class Bench(Nurse):
    """With an emulator that notes what it is asked to do."""

    def __init__(self, folder: Path, error_nl: int = 0) -> None:
        super().__init__(None, error_nl, random.Random(1), folder / "slip")  # type: ignore[arg-type]
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []

    def _call(self, command: str, **more: Any) -> dict[str, Any]:
        self.done.append((command, more))
        return {"reservoir_nl": 11_800_400.0, "faults": self.faults}


def asked(state: str, text: str = "expected 11.8 mL") -> dict[str, Any]:
    return {"state": state, "text": text, "fill_nl": 30_000_000, "check_nl": 5_000_000}


@pytest.mark.parametrize("state", [name for name, (who, _) in STATES.items() if who == PERSON])
def test_every_step_that_a_person_confirms_is_answered(tmp_path: Path, state: str) -> None:
    assert Bench(tmp_path).answer(asked("access")) and Bench(tmp_path).answer(asked(state))


def test_what_comes_back_is_what_was_in_before_the_drive_went_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.answer(asked("access")) == "yes" and bench.done == [("truth", {})]
    bench = Bench(tmp_path)  # the host was killed, and the nurse with it
    assert bench.answer(asked("withdraw")) == "11800000 nL"
    assert bench.answer(asked("withdraw", "the first fill, so nothing is expected")) == "0"


@pytest.mark.parametrize(
    ("condition", "flush", "tracer"),
    [
        (None, "free", "liver"),
        ("narrowed", "stiff", "liver"),
        ("partly_blocked", "blocked", "liver"),
        ("kinked", "blocked", "liver"),
        ("blocked", "blocked", "blocked"),
        ("leaking", "free", "pocket"),
        ("broken", "swelling", "pocket"),
        ("side_branch", "free", "other organ"),
        ("dislodged", "no blood", "pocket"),
    ],
)
def test_flush_and_tracer_show_what_the_catheter_is(
    tmp_path: Path, condition: str | None, flush: str, tracer: str
) -> None:
    """A tracer that has the flush in it shows that first."""
    bench = Bench(tmp_path)
    bench.faults = ["occlusion resistance=0", *([f"catheter condition={condition}"] if condition else [])]
    assert bench.answer(asked("flush")) == bench.answer(asked("patency")) == flush
    assert bench.answer(asked("trace")) == bench.answer(asked("perfusion")) == tracer
    both = bench.answer(asked("perfusion", "Perfusion check. Draw back; flush with saline, then the tracer"))
    assert both == (tracer if flush == "free" else flush)


def test_readings_have_an_error_and_a_fill_goes_in(tmp_path: Path) -> None:
    bench = Bench(tmp_path, error_nl=100_000)
    readings = {bench.answer(asked("placement")) for _ in range(20)}
    assert len(readings) > 15 and all(4_500_000 < int(text.split()[0]) < 5_500_000 for text in readings)
    assert bench.answer(asked("portion")) == "yes"
    assert bench.done == [("refill", {"volume_nl": 30_000_000})]
