"""`haipump selftest`, as typed, on the real firmware: which part fails, and what to do about it."""

from __future__ import annotations

import json

import pytest

from haipump.protocol import help as texts
from tests.firmware.app.test_selftest import PARTS
from tests.host.report.quick_line import QuickLine
from tests.host.report.test_commands import line, run

__all__ = ["line"]  # fixtures


def test_every_part_has_its_advice() -> None:
    assert list(texts.PARTS) == PARTS


@pytest.mark.requirement("GIP-3.4.1-5")
def test_the_part_that_fails_is_named_with_what_to_do(line: QuickLine) -> None:
    line.core.plant.sensor(line.core.now_us, "pressure", "off")
    text = " ".join(run("selftest").split())
    assert "pressure sensor FAILED: no sensor, a cut wire or a short circuit" in text
    assert text.count("FAILED") == 1 and "Self test: failed" in text
    assert "look at `haipump selftest`: it says which part" in " ".join(run("alarms").split())
    line.core.plant.sensor(line.core.now_us, "pressure", "ok")
    text = run("selftest")
    assert "FAILED" not in text and "Self test: passed" in text
    assert json.loads(run("selftest", "--json"))["parts"]["pressure_sensor"] is True
