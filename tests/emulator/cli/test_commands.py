"""What is typed, what is shown, and the exit codes: in process, with an echo core in front of the real plant."""

import io
import json
import threading

import pytest
from rich.console import Console
from typer.testing import CliRunner

from haipump_emulator import cores
from haipump_emulator.chip import firmware
from haipump_emulator.cli import app, screen
from haipump_emulator.cli.session import Session, Setup, SetupError
from haipump_emulator.control import ControlError
from tests.emulator.cli.echo_emu import echo_core

SCENARIO = """
[scenario]
name = "a test"
duration = "10s"
seed = 11
speed = 50

[plant.syringe]
initial_nl = "5mL"

[[timeline]]
at = "2s"
occlude = true

[[timeline]]
at = "3s"
expect = { truth = { occluded = [1, 1] } }

[[timeline]]
at = "3s"
expect = { truth = { reservoir_nl = ["1mL", "2mL"] } }

[[timeline]]
at = "9s"
expect = { pressure = ["0kPa", "20kPa"] }
"""


@pytest.fixture(autouse=True)
def _echo(monkeypatch, tmp_path):
    monkeypatch.setattr(cores.Recipe, "make", echo_core)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def invoke(*words):
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def emulator():
    """A session whose loop runs in a thread."""
    session = Session.make(Setup(tcp=0))
    thread = threading.Thread(target=session.loop.run)
    thread.start()
    yield session
    session.loop.stop()
    thread.join()
    session.close()


# --- run ---


def test_it_ends_by_itself_after_a_simulated_time(state_folder):
    done = invoke("run", "--tcp", "0", "--speed", "max", "--for", "14d")
    assert done.exit_code == 0
    assert "ended after 14 d 00:00:00 simulated" in done.output
    assert list(state_folder.iterdir()) == []


def test_the_syringe_is_the_plants(monkeypatch):
    session = Session.make(Setup(tcp=0, syringe_ml=10, seed=3))
    try:
        assert session.core.plant.truth(0).reservoir_nl == 10_000_000
        assert session.core.seed == session.core.plant.seed == 3
    finally:
        session.close()


def test_a_scenario_happens_at_its_times_and_tells_what_it_saw(tmp_path):
    (tmp_path / "test.toml").write_text(SCENARIO)
    done = invoke("run", "--tcp", "0", "--speed", "max", "--scenario", "test.toml", "--for", "5s")
    assert done.exit_code == 0, done.output
    assert "max, seed 11" in done.output
    assert "pass 00:00:03  occluded" in done.output
    assert "FAIL 00:00:03  reservoir_nl 1.000000 mL to 2.000000 mL: 5.000000 mL" in done.output
    assert "scenario: 1 of 2 checks passed" in done.output
    session = Session.make(Setup(tcp=0, scenario=tmp_path / "test.toml"))
    try:
        assert session.pacer.speed == 50
        session.pacer.speed = None
        while session.core.now_us < 11_000_000:
            session.loop.turn()
        assert session.driver is not None and session.driver.over
        assert [check.passed for check in session.driver.player.checks] == [True, False, True]
        assert session.core.plant.truth(session.core.now_us).occluded
    finally:
        session.close()
    with pytest.raises(SetupError, match="the scenario says"):
        Session.make(Setup(tcp=0, scenario=tmp_path / "test.toml", syringe_ml=10))


def test_the_status_line(state_folder):
    session = Session.make(Setup(tcp=0))
    file = io.StringIO()
    line = screen.StatusLine(Console(file=file, force_terminal=True, width=200), session)
    try:
        for data in (
            b"#1 boot boot=1 reset=power sta",
            b"te=self_test *0\n#2 tele uptime_s=1 state=infusing",
            b" x=1\n",
        ):
            line.on_bytes(0, "out", data)
        line.on_bytes(0, "in", b"#3 state state=forged\n")
        line.serve()
        session.pacer.pause()
        assert line.text() == "00:00:00  paused  infusing  13.0 kPa  arrived 0 mL  no client"
        session.core.power(False)
        session.core.halted = True
        assert line.text().startswith("00:00:00  halted by a debugger  power off  13.0 kPa")
    finally:
        line.close()
        session.close()
    assert "of 1x  infusing  13.0 kPa" in file.getvalue()
    assert line not in session.core.listeners


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--pty", "a", "--tcp", "0"], 2, "choose one"),
        (["--tcp", "70000"], 2, "65535"),
        (["--speed", "fast"], 2, "no speed"),
        (["--tcp", "0", "--syringe", "7mL"], 2, "no syringe of 7 mL"),
        (["--tcp", "0", "--syringe", "1.5mL"], 2, "like 30mL"),
        (["--for", "5"], 2, "has no unit"),
        (["--scenario", "nothing.toml"], 2, "nothing.toml"),
        (["--flash", "nowhere/flash.bin"], 2, "there is no folder nowhere"),
        (["--flash", "short.bin"], 2, "has 5 bytes"),
        (["--flash", "."], 2, "can't read"),
        (["--tcp", "0", "--name", "a/b"], 1, "no name for an emulator"),
        (["--tcp", "0", "--record", "nowhere/run.trace"], 2, "--record: can't write nowhere/run.trace: there is no"),
        (["--tcp", "0", "--vcd", "nowhere/x.vcd"], 2, "--vcd: can't write nowhere/x.vcd: there is no folder nowhere"),
        (["--tcp", "0", "--vcd", "."], 2, "--vcd: . is a folder"),
        (["--pty", "short.bin"], 1, "no pump's link"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path, state_folder, words, code, says):
    (tmp_path / "short.bin").write_text("short")
    done = invoke("run", *words)
    assert done.exit_code == code, done.output
    assert says in done.output
    assert "Traceback" not in done.output
    assert (tmp_path / "short.bin").read_text() == "short"
    assert not state_folder.exists() or list(state_folder.iterdir()) == []


def test_files_are_looked_at_before_the_core_is_made(monkeypatch):
    monkeypatch.setattr(cores, "choose", lambda *_: pytest.fail("a core was made"))
    for option in ("--record", "--vcd"):
        assert invoke("run", "--tcp", "0", option, "nowhere/x").exit_code == 2


def test_a_chip_says_at_once_that_it_starts(monkeypatch, tmp_path):
    def expect(path, protocol):
        raise firmware.FirmwareError("broken off")

    monkeypatch.setattr(firmware, "expect_protocol", expect)
    done = invoke("run", "--tcp", "0", "--uf2", "x.uf2")
    assert done.stderr == "starting the chip ...\nhaipump-emu: broken off\n"
    assert "starting" not in invoke("run", "--tcp", "0", "--core", "direct", "--for", "1ms", "--speed", "max").output


def test_a_name_can_run_once(emulator):
    done = invoke("run", "--tcp", "0", "--name", "pump")
    assert done.exit_code == 1
    assert "an emulator named 'pump' is running" in done.output


def test_what_fails_late_undoes_what_was_made(tmp_path, state_folder, emulator):
    before = sorted(state_folder.iterdir())
    with pytest.raises(ControlError):
        Session.make(Setup(pty=str(tmp_path / "line"), name="pump"))
    assert not (tmp_path / "line").is_symlink()
    assert sorted(state_folder.iterdir()) == before


# --- ctl ---


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["occlude"], "occluded", True),
        (["occlude", "--resistance", "5kPa*s/uL"], "occluded", True),
        (["leak"], "leaking", True),
        (["height", "-10cm", "--over", "0s"], "height_cm", -10),
        (["refill", "12mL"], "reservoir_nl", pytest.approx(12_000_000, abs=50_000)),
        (["capture", "off"], "captured", False),
        (["supply", "4.5V"], "supply_mv", 4_500),
        (["fault", "leak", "resistance=20"], "leaking", True),
    ],
)
def test_the_world_does_as_it_is_told(emulator, words, field, value):
    done = invoke("ctl", *words)
    assert done.exit_code == 0, done.output
    truth = json.loads(invoke("ctl", "truth", "--json").output)
    assert truth[field] == value


def test_a_fault_is_named_with_its_parameters_and_ends_only_when_it_is_on(emulator):
    assert "sensor_stuck sensor=encoder has begun" in invoke("ctl", "fault", "sensor_stuck", "sensor=encoder").output
    wrong = invoke("ctl", "fault", "sensor_stuck", "sensor=pressure", "--end")
    assert wrong.exit_code and "sensor_stuck sensor=encoder" in " ".join(wrong.output.split())
    assert "sensor_stuck sensor=encoder has ended" in invoke("ctl", "fault", "sensor_stuck", "--end").output


def test_undoing(emulator):
    for words in (["occlude"], ["leak"], ["release"], ["seal"], ["warm", "30C", "--over", "1min"]):
        assert invoke("ctl", *words).exit_code == 0
    truth = json.loads(invoke("ctl", "truth", "--json").output)
    assert (truth["occluded"], truth["leaking"]) == (False, False)


def test_buttons_jumper_and_power(emulator):
    for words in (["press", "stop", "--for", "1h"], ["jumper", "on"], ["power", "off"], ["power", "on"]):
        assert invoke("ctl", *words).exit_code == 0
    assert [(bits, on) for _, bits, on in emulator.core.pressed] == [(64, True), (16, True)]
    assert [on for _, on in emulator.core.power_calls] == [False, True]
    assert invoke("ctl", "sensor", "pressure", "off").exit_code == 0


def test_speed_and_pause(emulator):
    for words, expected in (
        (["speed", "60"], "60x, reached"),
        (["speed", "max"], "max, reached"),
        (["pause"], "paused, max when it goes on"),
        (["continue"], "max, reached"),
    ):
        assert invoke("ctl", *words).exit_code == 0
        assert expected in invoke("ctl", "status").output


def test_what_was_so_already_is_said(emulator):
    for words, says in (
        (["power", "off"], "power off\n"),
        (["power", "off"], "power off (it was off already)"),
        (["power", "cycle"], "power cycle (it was off already)"),
        (["power", "on"], "power on"),
        (["power", "on"], "power on (it was on already)"),
        (["pause"], "paused\n"),
        (["pause"], "paused (it was paused already)"),
        (["speed", "2"], "speed 2x (still paused; `haipump-emu ctl continue` lets time pass)"),
        (["continue"], "running\n"),
        (["continue"], "running (it was running already)"),
    ):
        assert says in invoke("ctl", *words).output


def test_power_panel_and_a_halted_cpu_are_in_the_status(emulator):
    words = invoke("ctl", "status").output.split()
    assert words[words.index("power") + 1] == "on" and "all lamps dark, silent" in " ".join(words)
    invoke("ctl", "power", "off")
    words = invoke("ctl", "status").output.split()
    assert words[words.index("power") + 1] == "off"
    emulator.core.halted = True
    assert "halted by a debugger, 1x when it goes on" in invoke("ctl", "status").output
    assert "halted by a debugger" in invoke("ctl", "speed", "1").output
    assert invoke("ctl", "continue").exit_code == 1


def test_the_screen_tells_lamps_and_sound_once(emulator):
    file = io.StringIO()
    panel = screen.Panel(Console(file=file, width=200), emulator.core)
    for number in range(20):
        for at, on in ((100, 1), (200, 0)):
            panel.on_event((200 * number + at) * 1_000, "led", {"red": on})
    assert file.getvalue() == "00:00:00.100  red flashes, silent\n"


def test_an_error_at_the_prompt_is_no_fault_of_the_firmware():
    file = io.StringIO()
    raised = screen.Raised(Console(file=file, width=200), sources=True)
    form = b"Traceback (most recent call last):\r\n  File \"%s\", line 1, in <module>\r\nNameError: name 'hello'\r\n"
    raised.on_bytes(0, "out", b">>> hello\r\n" + form % b"<stdin>" + b">>> ")
    assert file.getvalue() == ""
    raised.on_bytes(0, "out", form % b"main.py")
    assert "the firmware raised" in file.getvalue()


def test_run_until(emulator):
    invoke("ctl", "speed", "max")
    done = invoke("ctl", "run-until", "400d")
    assert "400 d 00:00:00  paused" in done.output
    assert "400 d 02:00:00  paused" in invoke("ctl", "run-until", "+2h").output
    assert "running" in invoke("ctl", "run-until", "--no-wait", "+1d").output
    assert invoke("ctl", "run-until", "1s").exit_code == 1


def test_status_and_truth_for_people(emulator):
    emulator.link.refused = 3
    status = invoke("ctl", "status").output
    assert "nobody" in status and "0 so far, 3 refused" in status and emulator.link.address in status
    truth = invoke("ctl", "truth").output
    assert "reservoir_nl" in truth and "30 mL" in truth


def test_list(emulator):
    assert emulator.link.address in invoke("ctl", "list").output
    assert [row["name"] for row in json.loads(invoke("ctl", "list", "--json").output)] == ["pump"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["leak", "--resistance", "5"], 2, "has no unit"),
        (["press", "panic"], 2, "panic"),
        (["run-until", "soon"], 2, "no time"),
        (["refill", "99L"], 1, "can't hold"),
        (["sensor", "nose", "off"], 1, "unknown sensor"),
        (["--name", "other", "status"], 1, "no emulator named 'other'"),
    ],
)
def test_ctl_mistakes(emulator, words, code, says):
    done = invoke("ctl", *words)
    assert done.exit_code == code, done.output
    assert says in done.output
    assert "Traceback" not in done.output


def test_ctl_without_an_emulator():
    done = invoke("ctl", "status")
    assert done.exit_code == 1
    assert "start one with: haipump-emu run" in done.output
    assert "no emulator is running" in invoke("ctl", "list").output


def test_all_commands_are_there():
    shown = invoke("--help").output
    assert all(word in shown for word in ("run", "ctl", "scenario", "trace"))
