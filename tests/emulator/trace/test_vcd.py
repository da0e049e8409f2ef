"""The waveform: its file, and what it says of a run on the direct core."""

import pytest
from typer.testing import CliRunner

from haipump_emulator.cli import app
from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant
from haipump_emulator.trace.vcd import BUFFER_MAX, VcdFile, Waveform, escaped
from haipump_fw import ports
from tools import vcd

START_NS = DirectCore(Plant(seed=3), seed=3).now_us * 1_000  # where time stands after the boot


class Steps:
    def __init__(self, core):
        self.steps = []
        core.listeners.append(self)

    def on_step(self, t_us, direction):
        self.steps.append((t_us, direction))


def bolus(path, slice_us=500_000):
    """Boot, a syringe, a bolus of 20 microsteps and more, a button, an end of the power."""
    core = DirectCore(Plant(seed=3), seed=3)
    waveform = Waveform(core, path)
    steps = Steps(core)
    at = {2_000_000: "syringe", 3_000_000: "bolus", 20_000_000: "silence", 21_000_000: "let go", 22_000_000: "power"}

    def go_on(t_us):
        while core.now_us < t_us:
            core.run_until(min(t_us, core.now_us + slice_us))

    for t_us, what in at.items():
        go_on(t_us)
        if what == "power":
            core.power(False)
        elif what in ("silence", "let go"):
            core.press(ports.IN_SILENCE, what == "silence")
        else:
            core.plant.driver_fault(core.now_us, what == "bolus")
    go_on(23_000_000)
    core.power(True)
    go_on(24_000_000)
    waveform.close()
    waveform.close()
    return core, steps.steps


def test_a_run_on_direct(tmp_path):
    core, _ = bolus(tmp_path / "a.vcd")
    dump = vcd.read(tmp_path / "a.vcd")
    assert "`direct` core" in dump.comment
    assert dump.end_ns == core.now_us * 1_000
    start = dump.signals["power"][0][0]
    assert start == START_NS
    assert dump.signals["power"] == [(start, "1"), (22_000_000_000, "0"), (23_000_000_000, "1")]
    assert dump.signals["reset"] == [(start, "0"), (22_000_000_000, "1"), (23_000_000_000, "0")]
    assert dump.signals["silence"] == [
        (start, "1"),
        (20_000_000_000, "0"),
        (21_000_000_000, "1"),
        (22_000_000_000, "z"),
        (23_000_000_000, "1"),
    ]
    assert [value for _, value in dump.signals["diag"]] == ["0", "1", "z", "1"]
    assert dump.at("en", 22_500_000_000) == "z"
    assert any("boot=1" in str(text) for _, text in dump.signals["usb_out"])
    assert {value for _, value in dump.signals["red"]} >= {"0", "1"}  # the driver's error
    assert max(value for _, value in dump.signals["piezo_hz"]) > 500
    assert len(dump.signals["pressure_raw"]) > 2
    assert "pressure_raw" not in vars(core.plant)  # it left the plant alone


def test_steps_are_pulses(tmp_path):
    core = DirectCore(Plant(seed=3), seed=3)
    steps = Steps(core)
    with_waveform = Waveform(core, tmp_path / "a.vcd")
    core.run_until(1_000_000)
    for t_us, direction in ((1_000_100, 1), (1_000_600, 1), (1_001_100, -1)):
        for listener in (steps, with_waveform):
            listener.on_step(t_us, direction)
    with_waveform.close()
    dump = vcd.read(tmp_path / "a.vcd")
    assert dump.edges("step", "1") == [t * 1_000 for t, _ in steps.steps]
    assert dump.edges("step", "0") == [(t + 4) * 1_000 for t, _ in steps.steps[:2]]
    assert dump.signals["dir"] == [(START_NS, "z"), (1_000_100_000, "1"), (1_001_100_000, "0")]


def test_equal_runs_make_equal_bytes_whatever_the_slices(tmp_path):
    bolus(tmp_path / "a.vcd")
    bolus(tmp_path / "b.vcd", slice_us=777)
    assert (tmp_path / "a.vcd").read_bytes() == (tmp_path / "b.vcd").read_bytes()


def test_a_killed_emulator_leaves_whole_lines(tmp_path):
    path = tmp_path / "a.vcd"
    file = VcdFile(path, "1 ns", "of a test", [("wire", "!", "step")], 0, ["0!"])
    assert path.read_bytes() == b""
    for t in range(1, 20_000):
        file.change(t, f"{t & 1}!")
        assert path.stat().st_size <= t * 10 + BUFFER_MAX
    written = path.read_bytes()
    assert len(written) > BUFFER_MAX and written.endswith(b"!\n")
    seen = vcd.read(path)
    assert 0 < seen.end_ns < 20_000
    file.change(20_000, "1!")
    file.flush()
    assert vcd.read(path).end_ns == 20_000
    file.close(20_500)
    assert vcd.read(path).end_ns == 20_500


def test_time_never_goes_back(tmp_path):
    file = VcdFile(tmp_path / "a.vcd", "1 us", "of a test", [("wire", "!", "step")], 10, ["0!"])
    file.change(9, "1!")
    file.change(11, "0!")
    file.change(11, "1!")
    file.close(11)
    assert vcd.read(tmp_path / "a.vcd").signals["step"] == [
        (t * 1_000, level) for t, level in ((10, "0"), (10, "1"), (11, "0"), (11, "1"))
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"ok a=1\r\n", "ok\\x20a=1"), (b"a\\b\tc\xff", "a\\x5cb\\x09c\\xff"), (b"\n", ""), (b"x" * 2_000, "x" * 1_024)],
)
def test_text_is_one_printable_word(data, text):
    assert escaped(data) == text


def test_a_scenario_writes_one(tmp_path):
    path = tmp_path / "a.vcd"
    words = ["scenario", "start_up", "--vcd", str(path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert vcd.read(path).edges("en", "0")
    two = CliRunner().invoke(app, [*words, "stop_button"])
    assert two.exit_code == 2 and "--vcd takes one scenario" in two.output
    gone = CliRunner().invoke(app, ["scenario", "start_up", "--vcd", str(tmp_path / "no" / "a.vcd")])
    assert gone.exit_code == 2 and "a.vcd" in gone.output
