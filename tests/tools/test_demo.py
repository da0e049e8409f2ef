"""The demo, where it does not come to its end."""

import contextlib
import sys

import pytest

import haipump
from haipump.errors import PortError
from haipump_emulator.trace.format import Header, Trace
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


def test_the_day_begins_with_the_motor_and_not_with_the_self_test(monkeypatch, tmp_path):
    trace = Trace(Header())
    trace.step_times.extend([700, 710, 5_000, 6_000, 5_000 + 86_400_000_000])
    trace.events += [(650, "led", {"red": 1}), (4_000, "enable", {"on": 1})]
    monkeypatch.setattr(demo, "load", lambda path: trace)
    assert demo.day_of_steps(tmp_path / "x") == [0, 1_000]


def test_a_start_that_takes_long_is_waited_for_while_the_emulator_runs(monkeypatch, tmp_path):
    tries = []

    def connect(port):
        tries.append(port)
        if len(tries) < 3:
            raise PortError("it said nothing")
        return "a pump"

    monkeypatch.setattr(haipump, "connect", connect)
    assert demo.connected(tmp_path / "pump", lambda: True) == "a pump" and len(tries) == 3
    tries.clear()
    with pytest.raises(PortError):
        demo.connected(tmp_path / "pump", lambda: False)
    assert len(tries) == 1
