"""Replay: the same inputs on a fresh core give the same outcome, and another outcome is noticed."""

import pytest

from haipump_emulator.scenario import rig
from haipump_emulator.trace import Header, Recorder, Trace, TraceError, load
from haipump_emulator.trace.replay import replay
from tests.emulator.scenario.fakes import FakeCore

S = 1_000_000


class Stepper(FakeCore):
    """Steps once for every byte that it is sent, 1 ms apart; `slip` is how much later."""

    slip = 0

    def send(self, data):
        taken = super().send(data)
        self.steps(self.now_us + 1000 + self.slip, 1000, taken)
        return taken


def recorded(path, flash=None):
    plant = rig.plant_from({"syringe": {"initial_nl": 9_000_000}}, 11)
    options = {"ticks_start_us": 5}
    core = Stepper(plant, seed=11, flash=flash, **options)
    with Recorder(core, path, seed=11, core_options=options):
        core.run_until(S)
        core.send(b"status\n")
        core.run_until(2 * S)
        core.plant.occlude(2 * S, 5.0)
        core.plant.sensor(2 * S, "pressure", "stuck")
        core.press(64, True)
        core.run_until(3 * S)
    return load(path)


def test_the_same_run_comes_out_the_same(tmp_path):
    made = []

    def factory(plant, **options):
        made.append((plant, options))
        return Stepper(plant, **options)

    trace = recorded(tmp_path / "a.trace", flash=b"\x00" * 1024)
    done = replay(trace, factory, rig.plant_from, keep=tmp_path / "b.trace")
    assert (done.difference, done.notes) == (None, [])
    assert (tmp_path / "b.trace").read_bytes() == (tmp_path / "a.trace").read_bytes()
    plant, options = made[0]
    assert (plant.params.syringe.initial_nl, plant.seed) == (9_000_000, 11)
    assert options == {"seed": 11, "flash": b"\x00" * 1024, "ticks_start_us": 5}


def test_another_outcome_is_noticed(tmp_path):
    class Late(Stepper):
        slip = 1

    done = replay(recorded(tmp_path / "a.trace"), Late, rig.plant_from)
    assert done.difference is not None
    assert (done.difference.kind, done.difference.index) == ("step", 0)
    assert done.difference.second == (S + 1001, 1)


def test_what_was_refused_is_not_recorded(tmp_path):
    core = Stepper(rig.plant_from({}, 1), seed=1)
    with Recorder(core, tmp_path / "a.trace", seed=1):
        with pytest.raises(ValueError, match="unknown sensor"):
            core.plant.sensor(0, "diag", "stuck")
        core.plant.occlude(0)
        core.run_until(S)
    trace = load(tmp_path / "a.trace")
    assert [name for _, name, _ in trace.inputs] == ["occlude"]
    assert replay(trace, Stepper, rig.plant_from).difference is None


@pytest.mark.parametrize(
    "line", [("sensor", {"sensor": "diag", "fault": "stuck"}), ("melt", {}), ("occlude", {"colour": 1})]
)
def test_an_input_that_is_refused_ends_the_replay_with_a_clear_error(tmp_path, line):
    trace = recorded(tmp_path / "a.trace")
    trace.inputs.append((3 * S, *line))
    with pytest.raises(TraceError, match=rf"`{line[0]} .*` at 00:00:03.000000 is refused here .*record the run again"):
        replay(trace, Stepper, rig.plant_from)


def test_a_recording_from_the_middle_of_a_run_is_refused():
    with pytest.raises(TraceError, match="from the start"):
        replay(Trace(Header(start_us=5)), Stepper, rig.plant_from)


def test_another_firmware_and_a_cut_off_recording_are_noted(tmp_path):
    trace = recorded(tmp_path / "a.trace")
    trace.complete = False
    trace.header = Header(**{**vars(trace.header), "firmware": "0123"})
    notes = replay(trace, Stepper, rig.plant_from).notes
    assert len(notes) == 2 and "0123" in notes[0] and "cut off" in notes[1]
