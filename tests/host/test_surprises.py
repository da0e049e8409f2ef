"""What people are told where the pump does other than they expect: nothing arrives, nothing sounds, nothing is read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import haipump
from haipump import client as client_module
from haipump import syringes
from haipump.cli import app, frame
from haipump.errors import PortBusy, UsageError
from haipump.journal import Record
from haipump.protocol import help as texts
from haipump.report.cli import record_words
from haipump.report.source import ALARM_NAMES, PHASES, STATES
from haipump.transport import obstacles
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core import supervision
from tests.host.device import Line

runner = CliRunner()


@pytest.fixture
def person(monkeypatch):
    """Somebody sits there."""
    monkeypatch.setattr(frame.Cli, "interactive", property(lambda cli: not cli.json))


def totals(pump, **changes: int) -> None:
    """The pump's totals, some of them otherwise."""
    was = type(pump.app).read_totals(pump.app, {})
    pump.app.read_totals = lambda fields: was | changes


# --- what is delivered


def test_the_status_says_when_the_shaft_did_not_follow(command, line, pump) -> None:
    pump.settings["step_fl"] = 231_147_588
    text = command("status")[1]
    assert "Delivered 1.5 mL, by the motor's steps" in text and "By the shaft" not in text
    totals(pump, confirmed_nl=1_200_000)
    assert "By the shaft 1.2 mL: 0.3 mL less" in command("status")[1]
    totals(pump, confirmed_nl=1_600_000, stepped_max_nl=1_580_000)
    assert "By the shaft 1.6 mL: 0.02 mL more" in command("status")[1]


def test_the_first_dose_of_a_syringe_says_what_priming_is_for(command, pump) -> None:
    for words in ("rate 1mL/day", "bolus 1mL", "kvo", "program --rate 1mL/day --days 2"):
        totals(pump, stepped_max_nl=0)
        assert "Nothing was primed since this syringe was loaded" in command(f"{words} -y")[1], words
        totals(pump, stepped_max_nl=0, primed_nl=500_000)
        assert "primed" not in command(f"{words} -y")[1], words
    assert "no sensor sees" in command("prime --help")[1]


def test_a_syringe_that_is_loaded_with_the_plunger_let_go(command, pump) -> None:
    assert "not held" not in command("syringe 30mL -y")[1]
    assert "haipump prime" in command("syringe 30mL -y")[1]
    read = pump.app.read_sensors({})
    pump.app.read_sensors = lambda fields: read | {"captured": 0}
    for words in ("syringe 30mL -y", "refill --syringe 30mL --disconnected -y"):
        assert "The plunger is not held" in command(words)[1]


@pytest.mark.parametrize(
    ("size_nl", "bore_um", "fits"),
    [
        (30_000_000, 30_000, False),
        (30_000_000, 2_170, False),
        (30_000_000, 22_700, True),  # of glass
        (5_000_000, 10_300, True),  # of glass
        (50_000_000, 32_570, True),  # of glass, and in no table of ours
        (2_500_000, 7_280, True),
        (50_000_000, 3_257, False),
    ],
)
def test_a_bore_that_no_syringe_has_is_refused(size_nl: int, bore_um: int, fits: bool) -> None:
    if fits:
        syringes.check_bore(size_nl, bore_um)
        return
    with pytest.raises(UsageError, match="would be from") as caught:
        syringes.check_bore(size_nl, bore_um)
    assert "micrometres" in caught.value.next_step


def test_the_bore_is_looked_at_before_anything_is_sent(command, pump) -> None:
    assert command("syringe 30mL --bore-um 30000 -y")[0] == 2
    assert pump.orders_executed() == []


def test_a_calibration_takes_no_bore_that_no_syringe_has(command, pump) -> None:
    command("syringe 30mL -y")
    executed = pump.orders_executed()
    code, said = command("calibrate --bore-um 2170 -y")
    assert code == 2 and "No 30 mL syringe has a bore of 2.17 mm" in said
    assert pump.orders_executed() == executed
    assert command("calibrate --bore-um 21600 -y")[0] == 0


# --- sensors and alarms


def test_a_pressure_sensor_that_is_off_has_no_reading(command, line, pump) -> None:
    read = pump.app.read_sensors({})
    for pressure_pa, shown in ((-4_444, "no reading"), (106_666, "no reading"), (-1_200, "-1.2 kPa"), (0, "0.0 kPa")):
        pump.app.read_sensors = lambda fields, pa=pressure_pa: read | {"pressure_pa": pa}
        for words in ("status", "info"):
            assert shown in command(words)[1], (words, pressure_pa)
        found = json.loads(runner.invoke(app, ["status", "--json"]).stdout)
        assert found["pressure_read"] == (shown != "no reading")


def test_what_the_tools_know_of_the_firmware_is_what_it_does() -> None:
    raw = client_module.PRESSURE_RAW_MIN, client_module.PRESSURE_RAW_MAX
    assert raw == (supervision.RAW_ALIVE_MIN, supervision.RAW_ALIVE_MAX)
    remind_s = zip(alarm_table.PRIORITIES[1:], alarm_table.REMIND_S[1:], strict=True)
    assert dict(remind_s) == texts.REMIND_S


def test_an_acknowledged_alarm_whose_cause_goes_on_says_so(command, pump) -> None:
    row = {"count": 1, "index": 0, "alarm": "pressure_sensor", "priority": "high", "phase": "acknowledged"}
    pump.app.read_alarms = lambda fields: row
    for count in (1, 0):
        was = pump.app.act
        pump.app.act = lambda *given, was=was, count=count: [
            (name, count if name == "count" else value) for name, value in was(*given)
        ]
        text = command("ack")[1]
        assert "The cause of pressure_sensor still stands: the pressure sensor reads nothing" in text
        assert "comes back after 10 min" in text
    row["phase"] = "active"
    assert "still stands" not in command("ack")[1]


def test_a_silence_without_an_alarm_is_not_asked_for(command, pump) -> None:
    assert "No alarm stands: there is nothing to silence" in command("silence")[1]
    assert not pump.executed
    for time in ("0s", "3min"):
        code, text = command(f"silence {time}")
        assert code == 2 and "time of silence must be from 10 s to 2 min" in text
    pump.alarms = ["occlusion"]
    assert "silent for 2 min" in command("silence")[1]


def test_a_silence_during_an_earlier_one_says_why_it_is_not_as_asked(command, pump) -> None:
    pump.alarms = ["occlusion"]
    was = pump.app.act
    pump.app.act = lambda *given: [(name, 2 if name == "seconds" else value) for name, value in was(*given)]
    code, text = command("silence 10s")
    assert code == 0 and "An earlier silence still runs: the alarms are silent for another 2 s." in text
    assert "have to sound again" in text
    assert '"earlier": true' in command("--json silence")[1]


def test_the_status_of_a_locked_pump_says_so(command, pump, client) -> None:
    assert "Locked" not in command("status")[1]
    client.set_key("ab" * 32)
    client.lock()
    assert "Locked orders need the key" in command("status")[1]
    assert '"locked": true' in command("--json status")[1]


def test_the_advice_after_a_power_loss_is_what_the_pump_does() -> None:
    """A rate starts beside this alarm, and not beside the one of a restart."""
    traits = dict(alarm_table.ALARMS)
    assert not traits["power_lost"] & alarm_table.NO_START
    assert "needs no acknowledgement" in texts.ALARMS["power_lost"][1]
    assert traits["unexpected_reset"] & alarm_table.NO_START
    assert texts.ALARMS["unexpected_reset"][1].endswith("`haipump ack`, then order anew")


def test_a_silence_in_the_journal_is_a_time() -> None:
    values = {
        "alarm": 0,
        "phase": PHASES.index("silenced"),
        "state": STATES.index("infusing"),
        "order": 0,
        "value": 120,
    }
    record = Record(1, 7, "alarm", False, 1, 5, values, b"", True, b"")
    assert record_words(record) == "silenced for 2 min, while infusing"
    values |= {"phase": PHASES.index("active"), "alarm": ALARM_NAMES.index("occlusion"), "value": 69_000}
    assert record_words(record) == "occlusion active, while infusing, at 69 kPa"


# --- words and limits


@pytest.mark.parametrize(
    ("words", "example"),
    [
        ("rate 1mL/day --override --reason Dr.Müller", '--reason "second cycle"'),
        ("syringe 30mL --drug FUDR:5%", '--drug "FUDR 500"'),
    ],
)
def test_letters_that_the_line_lacks_are_said_in_words(command, words: str, example: str) -> None:
    code, text = command(f"{words} -y")
    assert code == 2 and "word:24" not in text and "24 characters, of a to z, 0 to 9" in text and example in text


def test_the_examples_are_taken(command, pump) -> None:
    for name, example in texts.WORD_EXAMPLES.items():
        words = ["syringe", "30mL"] if name == "drug" else ["rate", "1mL/day", "--override"]
        option, _, value = example.partition(" ")
        assert runner.invoke(app, [*words, option, value.strip('"'), "-y"]).exit_code == 0
        assert pump.executed[-1][2][name] == value.strip('"').lower().replace(" ", "-")


def test_a_limit_of_0_is_off_and_is_shown_so(command, pump) -> None:
    assert "3 mL" in command("limits --max-dose 3mL -y")[1]
    assert "3 mL no limit" in command("limits --max-dose 0 --soft-rate 0 --lockout 0 -y")[1]
    assert pump.settings["max_dose_nl"] == 0
    read = pump.app.read_dose({})
    pump.app.read_dose = lambda fields: read | {"used_nl": -1, "drug": "none"}
    text = command("limits")[1]
    assert "not counted: no limit is set" in text and "For the syringe that is loaded yes" in text
    pump.app.read_dose = lambda fields: read | {"used_nl": -1, "drug": "none", "soft_bolus_nl": 5}
    text = command("limits")[1]
    assert "not known before the pump is stopped" in text
    assert "-1" not in text and "; 0:" not in text


def test_a_limit_that_refuses_reads_as_a_sentence(command, pump) -> None:
    fields = [("limit", "soft_bolus_nl"), ("value", 2_000_000), ("maximum", 1_000_000)]
    pump.refuse["prepare_bolus"] = ("override", fields)
    text = command("bolus 2mL -y")[1]
    assert "a soft limit is passed, the largest bolus without an override: 2 mL asked, at most 1 mL; that needs" in text


# --- who has the port, and Ctrl-C


def test_a_port_that_is_taken_has_one_text(pump, monkeypatch, tmp_path) -> None:
    line = Line(pump)
    line.to_pump = lambda line, data: []
    monkeypatch.setattr(line, "read", lambda timeout_s: line.sleep(timeout_s) or b"# refused: in use by pid 4711\n")
    with pytest.raises(PortBusy) as caught:
        haipump.connect(line)
    monkeypatch.setattr(obstacles, "modem_manager_runs", lambda: False)
    monkeypatch.setattr(obstacles, "users_of", lambda name: ["pid 4711"])
    other = obstacles._busy("memory")
    assert str(caught.value) == str(other)
    assert "in use by pid 4711" in other.what and "try again" in other.next_step and "goes on" in other.state


@pytest.mark.parametrize(
    ("state", "told"),
    [("infusing", "Nothing was started: the pump is infusing, as before."), ("stopped", "the motor is off.")],
)
def test_who_declines_is_told_what_the_pump_does(command, pump, person, monkeypatch, state: str, told: str) -> None:
    pump.app.state = state
    assert told in command("bolus 1mL", input="n\n")[1]
    assert told in command("bolus 1mL", input="")[1]

    def interrupted(*_: object, **__: object) -> bool:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise typer.Abort from None

    monkeypatch.setattr("typer.confirm", interrupted)
    code, text = command("bolus 1mL")
    assert code == 130 and "Interrupted" in text and told.lower() in text.lower()


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_in_a_command_is_one_line_or_one_object(line, monkeypatch, as_json: bool) -> None:
    def interrupted(*_: object, **__: object) -> haipump.Pump:
        raise KeyboardInterrupt

    monkeypatch.setattr(frame, "connect", interrupted)
    result = runner.invoke(app, ["status", *(["--json"] if as_json else [])])
    assert result.exit_code == 130
    if as_json:
        error = json.loads(result.stdout)
        assert error["exit_code"] == 130 and "goes on" in error["error"]["state"]
    else:
        told = " ".join(result.output.split())
        assert told == "Interrupted. What the pump was told to do goes on; `haipump stop` stops it."


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("where", ["haipump.cli.root", "typer", "command line"])
def test_ctrl_c_before_the_command_runs_is_one_line(where: str) -> None:
    """While the modules are read, and while typer reads the command line."""
    if where == "command line":
        hook = "import haipump.cli.root as root, haipump.cli.frame as frame\nframe.joined = interrupt\n"
    else:
        hook = (
            "class Hook:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name == {where!r}: interrupt()\n"
            "sys.meta_path.insert(0, Hook())\n"
        )
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # tests in the background have it ignored
        "def interrupt(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        f"{hook}"
        "from haipump.cli import main\nmain(['status'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 130 and done.stdout == ""
    assert re.fullmatch("Interrupted[^\n]* goes on[^\n]*\n", done.stderr), done.stderr
