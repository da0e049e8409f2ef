"""The demo, where it does not come to its end."""

import contextlib
import sys

import pytest

import haipump
from tools import demo


def test_a_pump_that_does_not_answer_ends_it_with_a_sentence(monkeypatch, tmp_path):
    @contextlib.contextmanager
    def silent(core):
        raise haipump.HaipumpError("the pump does not answer", "Nothing was ordered", "Look at its line")
        yield

    monkeypatch.setattr(demo, "emulator", silent)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "FOLDER", tmp_path / "demo")
    monkeypatch.setattr(sys, "argv", ["demo"])
    with pytest.raises(SystemExit) as ended:
        demo.command()
    said = str(ended.value)
    assert "the demo has failed: the pump does not answer. Nothing was ordered. Look at its line." in said
    assert "demo/emulator-*.log" in said and str(tmp_path) not in said
