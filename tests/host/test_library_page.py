"""The examples of docs/library.md run, each against a fresh pump in simulated time."""

import re
import runpy
from pathlib import Path

import pytest

import haipump
from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant
from tests.cores.rig import CoreTransport

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(code, monkeypatch, capsys, tmp_path):
    connect = haipump.connect
    monkeypatch.setattr(haipump, "connect", lambda port: connect(CoreTransport(DirectCore(Plant(seed=1), seed=1))))
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    runpy.run_path(str(script))
    assert "print(" not in code or capsys.readouterr().out.strip()


def test_the_page_has_examples():
    assert len(EXAMPLES) == 4
