"""Recordings of the real firmware on the direct core: equal inputs, equal outcome."""

import pytest

from haipump_emulator import cores
from haipump_emulator.direct import DirectCore
from haipump_emulator.scenario import parse_scenario, rig, run_scenario
from haipump_emulator.scenario.cli import find
from haipump_emulator.trace import Recorder, compare, load
from haipump_emulator.trace.replay import replay

S = 1_000_000


@pytest.mark.parametrize("name", ["stop_button", "power_cut", "flooded_line", "occlusion"])
def test_a_recorded_scenario_replays_the_same(tmp_path, name):
    assert run_scenario(find(name), record=tmp_path / "a.trace").passed
    trace = load(tmp_path / "a.trace")
    assert trace.complete and len(trace.step_times) > 100 and trace.out and trace.inputs
    done = replay(trace, cores.again, rig.plant_from)
    assert (done.difference, done.notes) == (None, [])


def test_equal_runs_are_equal_bytes_and_another_seed_is_not(tmp_path):
    text = '[scenario]\nname = "x"\nduration = "20min"\nseed = SEED\n[[timeline]]\nat = "2s"\nhost = "HOST"\n'
    text += '[[timeline]]\nat = "3s"\nhost = "rate 3mL/h"\n'
    text = text.replace("HOST", "syringe 30mL 30mL")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_scenario(parse_scenario(text.replace("SEED", str(seed))), record=tmp_path / f"{name}.trace")
    assert (tmp_path / "a.trace").read_bytes() == (tmp_path / "b.trace").read_bytes()
    assert compare(load(tmp_path / "a.trace"), load(tmp_path / "c.trace")) is not None


def test_a_recording_is_the_same_however_time_is_cut(tmp_path):
    for name, slice_us in (("a", 60 * S), ("b", 70_001)):
        core = DirectCore(rig.plant_from({}, 5), seed=5)
        with Recorder(core, tmp_path / f"{name}.trace", seed=5):
            core.run_until(2 * S)
            core.press(64, True)
            while core.now_us < 20 * S:
                core.run_until(min(core.now_us + slice_us, 20 * S))
    assert compare(load(tmp_path / "a.trace"), load(tmp_path / "b.trace")) is None


def test_what_the_pump_said_while_it_booted_is_in_the_recording(tmp_path):
    core = DirectCore(rig.plant_from({}, 5), seed=5)
    with Recorder(core, tmp_path / "a.trace"):
        core.run_until(5 * S)
    said = "".join(text for _, text in load(tmp_path / "a.trace").out)
    assert "boot boot=1 reset=power task=none state=stopped" in said
    assert said.encode() == bytes(core.output)
