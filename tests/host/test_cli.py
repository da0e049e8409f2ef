"""The command: what people and scripts see of it, on a pump in memory."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import haipump
from haipump.cli import app, frame, main
from haipump.cli import delivery as delivery_commands
from haipump.errors import NoPumpFound, SeveralPumps
from haipump.transport import PortInfo, discovery
from tests.host.device import FakePump, Line, once

COMMANDS = {
    "ports", "info", "status", "watch", "rate", "bolus", "program", "start", "stop", "pause", "resume", "prime", "kvo",
    "syringe", "home", "jog", "refill", "alarms", "silence", "ack", "limits", "calibrate", "totals", "settings",
    "clock", "lock", "unlock", "selftest", "service", "shell", "cancel", "withdraw",
}  # fmt: skip
runner = CliRunner()


@pytest.fixture
def line(pump: FakePump, monkeypatch) -> Line:
    pump.settings["syringe_nl"] = 30_000_000
    made = Line(pump)
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(made, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])
    return made


def run(line: str, input: str | None = None, code: int = 0):
    """Run a line of words as typed; returns what came out on both streams."""
    result = runner.invoke(app, line.split(), input=input)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def run_json(line: str, code: int = 0):
    result = runner.invoke(app, [*line.split(), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def person(monkeypatch):
    """Somebody sits there."""
    monkeypatch.setattr(frame.Cli, "interactive", property(lambda cli: not cli.json))


def test_all_commands_are_there_and_helped() -> None:
    assert {info.name for info in app.registered_commands} >= COMMANDS
    for name in sorted(COMMANDS):
        text = run(f"{name} --help")
        assert "--port" in text and "--json" in text and "--yes" in text
    assert "Exit codes" in run("--help")


# --- looking


def test_without_a_command_the_pump_is_shown_with_hints(line, pump) -> None:
    text = run("")
    assert "stopped" in text and "30 mL" in text and "haipump rate 1.3mL/day" in text
    pump.alarms = ["occlusion"]
    text = run("")
    assert "occlusion" in text and "kink" in text


@pytest.mark.parametrize(
    ("state", "hint"),
    [("alarm", "haipump ack"), ("paused", "haipump resume"), ("refill", "refill --end"), ("infusing", "haipump watch")],
)
def test_hints_fit_the_state(line, pump, state: str, hint: str) -> None:
    pump.app.state = state
    assert hint in run("")
    pump.settings["syringe_nl"] = 0
    pump.app.state = "stopped"
    assert "haipump syringe" in run("")


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (
            "status",
            {
                "ok",
                "port",
                "device",
                "locked",
                "status",
                "alarms",
                "sensors",
                "pressure_read",
                "syringe_nl",
                "totals",
                "last_order",
            },
        ),
        ("info", {"ok", "port", "hello", "info", "sensors", "pressure_read"}),
        ("totals", {"ok", "totals", "lifetime"}),
        ("alarms", {"ok", "alarms"}),
        ("limits", {"ok", "limits", "dose", "library"}),
        ("calibrate", {"ok", "calibration"}),
        ("settings", {"ok", "settings"}),
        ("clock", {"ok", "clock", "wall_started", "wall_now"}),
        ("syringe", {"ok", "syringes"}),
        ("ports", {"ok", "ports", "modem_manager_may_interfere"}),
        ("ports --udev", {"ok", "rule", "path", "install"}),
        ("rate 1.3mL/day --yes", {"ok", "order", "recovered", "plan", "status"}),
        ("bolus 0.1mL --yes --wait", {"ok", "order", "recovered", "plan", "status", "result"}),
        ("kvo -y", {"ok", "order", "recovered", "plan", "status"}),
        ("prime 0.5mL -y --disconnected", {"ok", "order", "recovered", "plan", "status"}),
        ("pause", {"ok", "state", "order", "left_nl"}),
        ("stop", {"ok", "status", "totals"}),
        ("silence 1min", {"ok", "seconds", "earlier"}),
        ("ack", {"ok", "acknowledged", "alarms"}),
        ("selftest", {"ok", "state", "result", "parts"}),
        ("refill --begin", {"ok", "state"}),
        ("service --yes", {"ok", "service"}),
        ("lock --yes", {"ok", "locked", "key_file"}),
        ("unlock", {"ok", "locked"}),
    ],
)
def test_json_is_one_object_with_stable_keys(line, pump, command: str, keys: set[str]) -> None:
    assert set(run_json(command)) == keys


def test_text_of_the_other_screens(line, pump) -> None:
    pump.settings["step_fl"] = 231_144_000
    assert "Plunger held" in run("info")
    assert "1.4998 mL" in run("totals")
    assert "69 kPa" in run("limits")
    assert "231.144 nL" in run("calibrate")
    assert "kvo_nl_per_day" in run("settings")
    assert "Running for" in run("clock")
    assert "No alarm stands" in run("alarms")
    assert "21.7 mm" in run("syringe")


def test_ports(line, monkeypatch) -> None:
    from haipump.cli import looking

    assert "No pump is connected" in run("ports")
    board = PortInfo("/dev/ttyACM0", "board", "Pico", "e660")
    monkeypatch.setattr(looking, "find_ports", lambda every: [board])
    monkeypatch.setattr(looking.obstacles, "modem_manager_runs", lambda: True)
    monkeypatch.setattr(looking.obstacles, "udev_rule_installed", lambda: False)
    text = run("ports")
    assert "/dev/ttyACM0" in text and "ModemManager" in text and "udevadm" in text
    assert 'ATTR{idVendor}=="2e8a"' in run("ports --udev")


# --- delivery


def test_a_rate_is_shown_back_and_confirmed(line, pump, person) -> None:
    text = run("rate 1.3mL/day --vtbi 5mL --at-end kvo", input="y\n")
    for part in ("1.3 mL/day", "5 mL", "KVO", "Empty in", "Order 2 has begun"):
        assert part in text
    assert "1 h" in run("rate 1.3mL/day --ramp 1h", input="y\n")
    assert pump.orders_executed() == ["prepare_rate"] * 2


def test_no_is_no(line, pump, person) -> None:
    text = run("bolus 2mL --over 10min", input="n\n", code=6)
    assert "extended" in text and "Nothing was started" in text
    assert pump.orders_executed() == []


def test_a_script_has_to_say_yes(line, pump) -> None:
    assert "add --yes" in run("rate 1.3mL/day", code=6).lower()
    error = run_json("rate 1.3mL/day", code=6)
    assert error["ok"] is False and error["error"]["kind"] == "declined" and error["exit_code"] == 6
    assert pump.orders_executed() == []


def test_common_options_stand_before_or_behind_the_command(line, pump) -> None:
    for words in (["--yes", "--json", "rate", "1mL/day"], ["rate", "1mL/day", "--yes", "--json"]):
        result = runner.invoke(app, words)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["plan"]["rate_nl_per_day"] == 1_000_000


@pytest.mark.parametrize(
    ("words", "port"),
    [
        (["--port", "/dev/typed", "stop"], "/dev/typed"),
        (["-p", "/dev/typed", "status"], "/dev/typed"),
        (["--port", "/dev/typed"], "/dev/typed"),
        (["stop", "--port", "/dev/typed"], "/dev/typed"),
        (["--port", "/dev/first", "bolus", "1mL", "-y", "-p", "/dev/typed"], "/dev/typed"),
        (["stop"], "/dev/environment"),
        ([], "/dev/environment"),
    ],
)
def test_a_typed_port_wins_over_the_environment_wherever_it_stands(line, monkeypatch, words, port) -> None:
    asked = []
    monkeypatch.setenv("HAIPUMP_PORT", "/dev/environment")
    monkeypatch.setattr(frame, "connect", lambda at, key, **more: asked.append(at) or haipump.connect(line, key))
    assert runner.invoke(app, words).exit_code == 0
    assert asked == [port]


def test_a_typed_key_file_wins_over_the_environment_wherever_it_stands(line, monkeypatch, tmp_path) -> None:
    used = []
    for name, byte in (("typed", "11"), ("environment", "22")):
        (tmp_path / name).write_text(byte * 32)
    monkeypatch.setenv("HAIPUMP_KEY_FILE", str(tmp_path / "environment"))
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: used.append(key[0]) or haipump.connect(line, key))
    typed = ["--key-file", str(tmp_path / "typed")]
    for words in ([*typed, "status"], ["status", *typed], ["status"]):
        assert runner.invoke(app, words).exit_code == 0
    assert used == [0x11, 0x11, 0x22]


def test_an_empty_port_is_no_port_and_not_another_one(line, pump, monkeypatch) -> None:
    """As of a script whose variable is not set."""
    monkeypatch.setenv("HAIPUMP_PORT", "/dev/environment")
    for words in (["--port", "", "bolus", "1mL", "-y"], ["bolus", "1mL", "-y", "--port", ""]):
        result = runner.invoke(app, words)
        assert result.exit_code == 2 and "names nothing" in result.output
    assert pump.orders_executed() == []


def test_an_old_read_back_is_made_again(line, pump, person, monkeypatch) -> None:
    def slow(question, default):
        line.sleep(40)
        return True

    monkeypatch.setattr("typer.confirm", slow)
    run("bolus 0.1mL")
    assert pump.orders_executed() == ["prepare_bolus"]


def test_an_old_read_back_that_changed_is_shown_again(line, pump, person, monkeypatch) -> None:
    answers = []

    def slow(question, default):
        answers.append(question)
        if len(answers) == 1:
            pump.app.basal = 5_000_000  # somebody pressed a button
            line.sleep(40)
        return True

    monkeypatch.setattr("typer.confirm", slow)
    text = run("bolus 0.1mL")
    assert len(answers) == 2 and "Meanwhile" in text
    assert pump.orders_executed() == ["prepare_bolus"]


def test_waiting_shows_the_end(line, pump) -> None:
    text = run("bolus 2mL --over 10min --wait --yes")
    assert "Complete: 2 mL in 10 min" in text


def test_what_the_alarm_ended_has_exit_code_5(line, pump) -> None:
    line.to_pump = once(lambda line, data: [data] if pump.alarms.append("occlusion") is None else [], b" order ")

    def ended(line, data):
        for order in pump.orders.values():
            order.result = "alarm"
        return [data]

    line.to_pump = once(ended, b" order ", skip=1)
    pump.alarms = ["occlusion"]
    error = run_json("bolus 2mL --over 10min --wait --yes", code=5)
    assert error["error"]["kind"] == "interrupted" and "kink" in error["error"]["next_step"]


def test_an_order_that_an_alarm_stops_at_once_is_no_success(line, pump, monkeypatch) -> None:
    real = pump.app.commit

    def commit(plan, order_id: int):
        answer = real(plan, order_id)
        pump.app.state, pump.alarms = "alarm", ["occlusion"]
        pump.orders[order_id].result = "alarm"
        return answer

    monkeypatch.setattr(pump.app, "commit", commit)
    text = " ".join(run("rate 1.3mL/day -y", code=5).split())
    assert "Order 2 had begun, and was stopped at once by the alarm occlusion" in text and "kink" in text
    assert run_json("bolus 1mL -y", code=5)["error"]["result"] == "alarm"
    text = " ".join(run("bolus 1mL -y --wait", code=5).split())
    assert "stopped by the alarm occlusion" in text


def test_an_interrupted_wait_leaves_the_order_running(line, pump, monkeypatch) -> None:
    monkeypatch.setattr(haipump.Order, "wait", lambda self, progress: (_ for _ in ()).throw(KeyboardInterrupt))
    assert "goes on without us" in run("bolus 2mL --wait --yes", code=130)


def test_a_lost_answer_is_told(line, pump) -> None:
    def restart(line, data):
        pump.take(data)
        pump.restart()
        return []

    line.to_pump = once(restart, b" commit")
    assert "has taken the order once" in " ".join(run("bolus 2mL --yes").split())


def test_pause_resume_cancel_start_stop(line, pump) -> None:
    text = " ".join(run("start --yes", code=2).split())
    assert "it never had one" in text and "`haipump syringe 30mL`" in text and "`haipump rate 1.3mL/day`" in text
    run("rate 1.3mL/day -y")
    assert "paused" in run("pause")
    assert "infusing" in run("start")
    run("bolus 2mL -y")
    assert "infusing" in run("cancel")
    assert "stopped" in run("stop")
    assert "1.3 mL/day" in run("start -y")
    assert pump.orders_executed().count("prepare_rate") == 2
    run("rate 2mL/day --vtbi 1mL -y")
    run("stop")
    text = " ".join(run("start -y", code=2).split())
    assert "was a rate of 2 mL/day until 1 mL" in text and "`haipump rate 2mL/day --vtbi 1mL`" in text
    assert pump.orders_executed().count("prepare_rate") == 3, "an older rate is not dug out"


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda pump, id: pump.record("result", id, 1, 2, 0, 0, 0, 0), "ended before it delivered anything"),
        (lambda pump, id: pump.journal.append(b""), "is damaged"),
    ],
)
def test_start_does_not_guess(line, pump, spoil, what: str) -> None:
    run("rate 20mL/day -y")
    spoil(pump, max(pump.orders))
    text = " ".join(run("start -y", code=2).split())
    assert what in text and "nothing was started" in text and "haipump rate" in text
    assert pump.orders_executed().count("prepare_rate") == 1


def test_programmes(line, pump, tmp_path) -> None:
    text = run("program --rate 1.3mL/day --days 14 --daily-bolus 0.1mL --at 8h -y")
    for part in ("19.6 mL", "14 d", "At 8 h", "bolus 0.1 mL"):
        assert part in text
    path = tmp_path / "p.toml"
    path.write_text(
        'period = "1d"\nrepeats = 2\nrate = "1 mL/day"\n' + '[[item]]\nat = "1h"\nbolus = "1uL"\nover="1s"\n'
    )
    assert "2.002 mL" in run(f"program {path} -y")
    assert "use one of both" in run(f"program {path} --days 3 -y", code=2).lower()
    assert "no programme" in run("program -y", code=2)
    assert run("program --example") == haipump.programme.EXAMPLE
    path.write_text("period = 3\n")
    assert "p.toml" in run(f"program {path} -y", code=2).replace("\n", "")


def test_long_programmes_show_their_beginning() -> None:
    items = [haipump.programme.Item(at, "bolus", 5) for at in range(30)]
    rows = delivery_commands.programme_rows(haipump.programme.programme(100, 1, "stop", items))
    assert len(rows) == 13 and rows[-1][1] == "and 18 more"


# --- hands on the syringe


def test_disconnected_has_to_be_said(line, pump, person) -> None:
    for command in ("prime 0.5mL", "withdraw 1mL", "jog 100", "home"):
        run(command, input="n\n", code=6)
        run(command, input="y\ny\n")
        pump.app._stop()
    assert pump.orders_executed() == ["prepare_prime", "prepare_withdraw", "prepare_jog", "prepare_home"]


def test_yes_is_not_enough_for_what_moves_fast(line, pump) -> None:
    assert "--disconnected" in run("prime 0.5mL --yes", code=6)
    run("jog --disconnected --yes -- -100")
    assert pump.executed[-1][2]["steps"] == -100


def test_a_guided_refill(line, pump, person) -> None:
    run("rate 1.3mL/day -y")
    #                    stop? disconnected? pull back    confirm  size            volume  confirm
    text = run("refill", input="y\ny\nnonsense\n2mL\ny\n7mL\n10mL\n\ny\n")
    assert pump.orders_executed()[1:] == ["refill", "prepare_withdraw", "prepare_syringe", "refill"]
    assert pump.reservoir_nl == 10_000_000
    assert "no 7mL" in text and "not a volume" in text and "The refill is over" in text
    assert pump.app.state == "stopped"


@pytest.mark.parametrize("input", ["y\n\n30mL\n20mL\nn\n", "y\n\n30mL\n"])
def test_a_refill_that_is_left_says_where_the_pump_is(line, pump, person, input: str) -> None:
    text = " ".join(run("refill", input=input, code=6).split())
    assert "waiting for the refill to end" in text and "refill --end" in text
    assert pump.app.state == "refill"


def test_an_aborted_question_is_a_no(line, pump, person) -> None:
    assert "not confirmed" in run("bolus 0.1mL", input="", code=6)
    assert pump.orders_executed() == []


def test_a_refill_by_script(line, pump) -> None:
    assert "--syringe" in run("refill --yes --disconnected", code=2)
    done = run_json("refill --syringe 30mL --volume 25mL --disconnected --yes")
    assert done["status"]["reservoir_nl"] == 25_000_000
    assert "waiting for the refill" in run("refill --begin")
    assert "stopped" in run("refill --end")


def test_a_refill_that_ends_with_a_syringe_loads_it(line, pump) -> None:
    run("refill --begin")
    run("refill --end --syringe 60mL --volume 50mL", code=6)
    assert pump.app.state == "refill" and pump.settings["syringe_nl"] == 30_000_000, "it is confirmed as otherwise"
    text = " ".join(run("refill --end --syringe 60mL --volume 50mL -y").split())
    assert pump.settings["syringe_nl"] == 60_000_000 and pump.settings["bore_um"] == 26_700
    assert pump.reservoir_nl == 50_000_000 and pump.app.state == "stopped"
    assert "60 mL" in text and "50 mL are in the syringe." in text
    run("refill --begin")
    run("refill --end --volume 40mL -y")
    assert pump.reservoir_nl == 40_000_000, "into the syringe that is there"
    assert pump.settings["syringe_nl"] == 60_000_000 and pump.settings["bore_um"] == 26_700
    assert pump.settings["syringe_max_nl_per_day"] > 0
    run("refill --begin")
    assert "as counted before" in " ".join(run("refill --end").split())


@pytest.mark.parametrize(
    "options",
    [
        "--begin --syringe 60mL",
        "--begin --volume 3mL",
        "--begin --end",
        "--end --withdraw 1mL",
        "--begin --bore-um 9000",
    ],
)
def test_no_option_of_a_refill_is_left_aside(line, pump, options: str) -> None:
    run(f"refill {options} -y", code=2)
    assert pump.executed == []


def test_a_syringe_is_not_loaded_by_the_end_of_no_refill(line, pump, monkeypatch) -> None:
    pump.refuse["refill"] = ("state", [("what", "no_refill_has_begun")])
    assert "begin one with" in " ".join(run("refill --end --syringe 60mL -y", code=1).split()).lower()
    assert pump.settings["syringe_nl"] == 30_000_000


def test_the_steps_of_a_refill_are_counted_as_shown(line, pump, person) -> None:
    asked = run("refill", input="y\n\n30mL\n\ny\n")
    assert re.findall(r"([0-9]) (?:The|Pull|Change|Size)", asked) == ["1", "2", "3", "4", "5"]


def test_the_steps_of_a_scripted_refill_are_counted_as_shown(line, pump) -> None:
    text = run("refill --syringe 30mL --disconnected -y")
    assert [line[0] for line in text.splitlines() if line[:1].isdigit()] == ["1", "2", "3"]


def test_a_syringe_is_loaded(line, pump) -> None:
    text = run("syringe 30mL --volume 20mL --table newera -y")
    assert "21.59 mm" in text and "20 mL" in text
    run("syringe 2.5mL --bore-um 7280 -y")
    assert pump.reservoir_nl == 2_500_000


# --- setting up


def test_limits_show_old_and_new(line, pump) -> None:
    text = run("limits --occlusion 60kPa --max-bolus 2mL --max-rate 50mL/h --pause-max 5min --reservoir-low 3mL -y")
    assert "69 kPa" in text and "60 kPa" in text
    assert pump.settings["occlusion_pa"] == 60_000 and pump.settings["max_rate_nl_per_day"] == 1_200_000_000


def test_a_largest_bolus_of_no_step_means_that_none_may_be_given(line, pump) -> None:
    """As `therapy load` seals it for a drug without boluses."""
    pump.settings["max_bolus_nl"] = 1
    text = run("limits")
    assert "none may be given" in text and "0.000001" not in text


def test_dose_limits_are_set_and_shown_beside_the_others(line, pump) -> None:
    text = run("limits --max-dose 3mL --window 24h --lockout 30min --soft-rate 2mL/day --drug Floxuridine -y")
    assert "3 mL" in text and "floxuridine" in text
    assert pump.settings["max_dose_nl"] == 3_000_000 and pump.settings["lockout_s"] == 1_800
    assert pump.executed[-1][2]["drug"] == "floxuridine"
    assert "30 min" in run("limits")
    run("rate 1.3mL/day --override --reason As-Dr-K-said -y")
    assert pump.executed[-1][2] == {"rate_nl_per_day": 1_300_000, "override": 1, "reason": "as-dr-k-said"}
    run("bolus 0.1mL --override --reason x -y")
    assert pump.executed[-1][2] == {"volume_nl": 100_000, "override": 1, "reason": "x"}
    run("syringe 30mL --drug Floxuridine -y")
    assert pump.executed[-1][2]["drug"] == "floxuridine"


def test_settings_are_named_shortly_and_read_as_quantities(line, pump) -> None:
    run("settings kvo=0.3mL/day silence=60s accel=1500 -y")
    assert (pump.settings["kvo_nl_per_day"], pump.settings["silence_s"]) == (300_000, 60)
    assert pump.settings["accel_steps_per_s2"] == 1_500
    assert "(default 0.5" in " ".join(run("settings kvo").split())
    assert "beginning of" in run("settings p=5", code=2)
    assert "no setting" in run("settings colour", code=2)
    assert "whole number" in run("settings accel=fast", code=2)


@pytest.mark.requirement("A3")
def test_the_three_ways_of_calibrating(line, pump) -> None:
    pump.settings["step_fl"] = 231_144_000
    run("calibrate --commanded 10mL --measured 9.9mL -y")
    assert pump.settings["step_fl"] == 228_832_560
    run("calibrate --bore-um 22700 -y")
    assert pump.settings["step_fl"] == 252_942_387 and pump.settings["bore_um"] == 22_700
    run("calibrate --step-fl 250000000 --backlash-steps 5 -y")
    assert pump.settings["step_fl"] == 250_000_000 and pump.settings["backlash_steps"] == 5
    assert "10 %" in run("calibrate --commanded 10mL --measured 5mL -y", code=2)
    assert "give both" in run("calibrate --commanded 10mL -y", code=2).lower()
    assert "two ways" in run("calibrate --commanded 10mL --measured 9.9mL --lead-um 8000 -y", code=2)


def test_a_weighed_calibration_outlives_the_syringe(line, pump) -> None:
    nominal = pump.settings["step_fl"]
    run("calibrate --commanded 10mL --measured 9.9mL -y")
    measured = pump.settings["step_fl"]
    assert measured == 228_836_112 != nominal
    for command in ("syringe 30mL -y", "refill --syringe 30mL --volume 20mL --disconnected -y"):
        text = " ".join(run(command).split())
        assert pump.settings["step_fl"] == measured, "the same bore"
        assert "calibration is kept: 228.836112 nL" in text and "231.147588 nL" in text and "--nominal" in text
    text = " ".join(run("syringe 10mL -y").split())
    assert pump.settings["step_fl"] == 103_206_227
    assert "228.836112 nL per microstep, was for another syringe, of 21.7 mm bore" in text and "103.206227 nL" in text
    assert "calibration" not in run("syringe 10mL -y").replace("Weigh", ""), "nothing was measured with this one"
    run("calibrate --commanded 10mL --measured 9.9mL -y")
    text = " ".join(run("syringe 10mL --nominal -y").split())
    assert pump.settings["step_fl"] == 103_206_227 and "is given up" in text


def test_no_calibration_is_more_than_a_tenth_off_its_geometry(line, pump) -> None:
    for step_fl, code in ((208_032_829, 2), (208_032_830, 0), (254_262_346, 0), (254_262_347, 2), (20_000_000, 2)):
        text = " ".join(run(f"calibrate --step-fl {step_fl} -y", code=code).split())
        assert ("10 % off the 231.147588 nL that a bore of 21.7 mm" in text) == bool(code), step_fl
    pump.settings["step_fl"] = 231_147_588
    run("calibrate --commanded 10mL --measured 9.4mL -y")  # twice are within a tenth each, and together they are not
    assert "10 % off" in " ".join(run("calibrate --commanded 10mL --measured 9.4mL -y", code=2).split())
    pump.settings["step_fl"] = 20_000_000
    assert "--bore-um alone" in " ".join(run("calibrate --backlash-steps 5 -y", code=2).split())
    run("calibrate --bore-um 21700 -y")
    assert pump.settings["step_fl"] == 231_147_588


def test_a_kept_calibration_that_nobody_can_have_measured_is_refused(line, pump) -> None:
    """20 nL where the geometry gives 231.1 used to be kept with a note: each dose was elevenfold."""
    pump.settings["step_fl"] = 20_000_000
    for command in ("syringe 30mL -y", "refill --syringe 30mL --volume 20mL --disconnected -y"):
        text = " ".join(run(command, code=2).split())
        assert "20 nL per microstep is more than 10 % off the 231.147588 nL" in text and "--nominal" in text, command
    assert pump.orders_executed() == []
    run("syringe 30mL --nominal -y")
    assert pump.settings["step_fl"] == 231_147_588


def test_a_new_geometry_says_what_was_measured_before(line, pump) -> None:
    assert "measured" not in run("calibrate --lead-um 2000 -y")
    run("calibrate --commanded 10mL --measured 9.9mL -y")
    assert "replaces what was measured, 228.836112 nL" in " ".join(run("calibrate --lead-um 1000 -y").split())
    assert "measured" not in run("calibrate --backlash-steps 5 -y")


def test_a_key_is_made_kept_and_used(line, pump, tmp_path) -> None:
    path = tmp_path / "key"
    run(f"lock --new-key {path} -y")
    assert pump.locked and len(path.read_text().strip()) == 64
    assert path.stat().st_mode & 0o077 == 0
    assert "--key-file" in run("pause", code=1)
    assert "can't be made" in " ".join(run(f"lock --new-key {path} -y --key-file {path}", code=2).split())
    run(f"pause --key-file {path}")
    run("stop")  # needs no key
    operator = tmp_path / "key.operator"
    assert operator.stat().st_mode & 0o077 == 0
    run(f"pause --key-file {operator}")
    assert "operator's key is not enough" in " ".join(run(f"--key-file {operator} unlock", code=1).split())
    run(f"--key-file {path} unlock")
    assert not pump.locked
    assert "can't be read" in " ".join(run("pause --key-file /nowhere/key", code=2).split())


def test_acknowledging(line, pump) -> None:
    pump.alarms = ["occlusion"]
    assert "kink" in run("alarms").replace("\n", "")
    assert "1 acknowledged" in run("ack occlusion")


def test_a_stop_after_a_power_loss_claims_no_more_than_is_known(line, pump, monkeypatch) -> None:
    assert "1.5 mL were delivered" in run("stop")
    real = pump.app.read_totals
    torn = {"stepped_min_nl": 612_000, "stepped_max_nl": 697_000}
    monkeypatch.setattr(pump.app, "read_totals", lambda fields: real(fields) | torn)
    text = " ".join(run("stop").split())
    assert ". Between 0.612 mL and 0.697 mL were delivered from this syringe, as far as is known" in text
    assert run_json("stop")["totals"]["stepped_max_nl"] == 697_000
    line.to_pump = lambda line, data: [] if b"totals" in data else [data]
    assert "stopped" in run("stop"), "the stop does not hang on the totals"


def test_all_pumps_are_stopped_at_once(line, pump, monkeypatch) -> None:
    other = Line(FakePump())
    lines = {"/dev/ttyACM0": line, "/dev/ttyACM1": other}
    found = [PortInfo(name, "board", "Pico") for name in lines]
    monkeypatch.setattr(frame, "find_ports", lambda: found)
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(lines[port], key, **more))
    for one in lines.values():
        one.pump.app.state, one.pump.app.basal = "infusing", 1_000_000
    text = run("stop --all")
    assert [one.pump.app.state for one in lines.values()] == ["stopped", "stopped"]
    assert "/dev/ttyACM0" in text and "/dev/ttyACM1" in text
    assert [one["port"] for one in run_json("stop --all")["pumps"]] == list(lines)
    line.plugged = False
    other.pump.app.state, other.pump.app.basal = "infusing", 1_000_000
    text = " ".join(run("stop --all", code=4).split())
    assert other.pump.app.state == "stopped" and "1 of 2 pumps" in text and "NOT STOPPED" in text
    error = run_json("stop --all", code=4)
    assert error["error"]["kind"] == "stop_not_confirmed" and "/dev/ttyACM0" in error["error"]["what"]


def test_a_stop_that_can_not_choose_names_the_way_to_stop_all(line, monkeypatch) -> None:
    def several(port, key, **more):
        raise SeveralPumps("2 pumps are connected", "name one with --port: a, b", ["a", "b"])

    monkeypatch.setattr(frame, "connect", several)
    assert "haipump stop --all" in " ".join(run("stop", code=4).split())


# --- errors


def test_a_refusal_is_text_with_state_and_advice_or_json(line, pump) -> None:
    pump.refuse["prepare_bolus"] = ("limit", [("limit", "max_bolus_nl"), ("value", 6_000_000), ("maximum", 5_000_000)])
    text = " ".join(run("bolus 6mL -y", code=1).split())
    assert "at most 5 mL" in text and "The pump is stopped" in text and "Next: " in text
    error = run_json("bolus 6mL -y", code=1)["error"]
    assert error["code"] == "limit" and error["fields"]["maximum"] == 5_000_000
    assert set(error) == {"kind", "what", "state", "next_step", "code", "fields"}


def test_a_typing_mistake(line) -> None:
    assert '"1.3mL/day"' in run("rate 1,3mL/day -y", code=2)
    assert run_json("rate 1.3 -y", code=2)["error"]["kind"] == "quantity"
    assert run_json("bolus 0.0000001mL -y", code=2)["error"]["above"] == "0.000001 mL"


def test_no_pump(monkeypatch) -> None:
    def nobody(port, key, **more):
        raise NoPumpFound("no pump is connected", next_step="plug one in")

    monkeypatch.setattr(frame, "connect", nobody)
    monkeypatch.setattr(frame, "find_ports", lambda: [])
    assert "Plug one in" in run("status", code=3)
    assert run_json("", code=3)["error"]["kind"] == "no_pump"


def test_a_dead_line_has_exit_code_4(line) -> None:
    real = line.open

    def die_after_hello():
        real()
        line.to_pump = lambda line, data: [data] if b"hello" in data else []

    line.open = die_after_hello
    assert "heard nothing at all" in " ".join(run("info", code=4).split())


def test_several_pumps_are_asked_about_or_listed(line, pump, monkeypatch, tmp_path) -> None:
    found = [PortInfo("/dev/ttyACM0", "board", "Pico"), PortInfo("/dev/ttyACM1", "board", "Pico")]
    monkeypatch.setattr(frame, "find_ports", lambda: found)
    asked = []
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: asked.append(port) or haipump.connect(line, key))
    with monkeypatch.context() as patch:
        patch.setattr(frame.Cli, "interactive", property(lambda cli: True))
        run("status", input="2\n")
        assert asked == ["/dev/ttyACM1"]
        assert "no pump was picked" in run("status", input="9\n", code=3).lower()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    boards = [SimpleNamespace(device=info.port, vid=0x2E8A, product="Pico", serial_number="1") for info in found]
    monkeypatch.setattr(discovery.list_ports, "comports", lambda: boards)
    error = run_json("status", code=3)["error"]
    assert error["kind"] == "several_pumps" and error["ports"] == ["/dev/ttyACM0", "/dev/ttyACM1"]


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["status", "--json", "--bogus"], 2, "No such option"),
        (["bogus", "--json"], 2, "No such command"),
        (["rate", "--json"], 2, "Missing argument"),
    ],
)
def test_usage_errors_are_json_too(words: list[str], code: int, what: str, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == code
    error = json.loads(capsys.readouterr().out)
    assert error["ok"] is False and what in error["error"]["what"] and error["exit_code"] == code


def test_main_ends_with_the_commands_code(line, pump, capsys, monkeypatch) -> None:
    for words in (["status", "--json"], ["rate", "1mL/day", "--json", "--yes"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
        assert json.loads(capsys.readouterr().out)["ok"] is True
    pump.refuse["pause"] = ("state", [("what", "only_a_delivery_can_be_paused")])
    monkeypatch.setattr(sys, "argv", ["haipump", "pause", "--json"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    with pytest.raises(SystemExit) as caught:
        main(["status"])
    assert caught.value.code == 0


# --- watch and shell


def telemetry(pump: FakePump, line: Line, monkeypatch) -> None:
    """Have the fake pump send a value whenever the host waits."""
    real = line.read

    def read(timeout_s: float) -> bytes:
        data = real(timeout_s)
        if pump.app.telemetry_ms and not data:
            fields = dict(pump.app.answer("status", {}))
            names = haipump.protocol.schema.EVENTS["tele"]
            values = {"uptime_s": 65, "pressure_pa": 40_000, "confirmed_nl": 1_499_000} | fields
            pump.session.event("tele", [(name, values.get(name, 0)) for name in names])
        return data

    monkeypatch.setattr(line, "read", read)


def test_watching(line, pump, monkeypatch) -> None:
    run("rate 1.3mL/day -y")
    telemetry(pump, line, monkeypatch)
    pump.alarms = ["occlusion"]
    text = run("watch --count 3")
    for part in ("1.3 mL/day", "40.0 kPa", "alarm at 69 kPa", "occlusion", "up 1 min 5 s", "by the shaft"):
        assert part in text
    assert pump.app.telemetry_ms == 0, "the telemetry goes on"


def test_watching_as_json_lines(line, pump, monkeypatch) -> None:
    telemetry(pump, line, monkeypatch)
    result = runner.invoke(app, ["watch", "--count", "3", "--json"])
    values = [json.loads(text) for text in result.stdout.splitlines()]
    assert [value["event"] for value in values if value["event"] == "tele"] == ["tele"] * 3
    assert "at least" in run("watch --help")
    for period in ("0s", "0.1s", "1.5s"):
        text = " ".join(run(f"watch --every {period}", code=2).split())
        assert "every so many whole ones" in text and "--every 1s" in text and "round" not in text


def test_watching_survives_a_restart(line, pump, monkeypatch) -> None:
    telemetry(pump, line, monkeypatch)
    line.to_pump = once(
        lambda line, data: [data] if pump.restart() is None else [], b"telemetry period_ms=1000", skip=0
    )
    text = run("watch --count 2")
    assert "the pump started" in text


def test_the_shell(line, pump) -> None:
    text = run(
        "shell --yes",
        input="rate 1.3mL/day\nstatus # as it is\n\nbogus\n'open\nshell\npause --bogus\nhelp ack\nexit\nstop\n",
        code=2,
    )
    assert "has begun" in text and "infusing" in text
    assert "No such command" in text and "close the quotes" in text and "the shell already" in text
    assert "Acknowledges" in text
    assert pump.orders_executed() == ["prepare_rate"]
    assert sum(line.is_open for line in [line]) == 0
    assert "for people" in run("shell --json", code=2)
    assert pump.orders_executed() == ["prepare_rate"]


def test_a_port_that_is_typed_in_the_shell_is_not_taken_for_the_shells(line, pump) -> None:
    text = run("shell --yes", input="bolus 0.1mL --port /dev/other\n--port /dev/other bolus 0.1mL\n", code=2)
    assert "speaks to the pump at memory, and --port names /dev/other" in " ".join(text.split())
    assert pump.orders_executed() == []
    run("shell --yes", input="bolus 0.1mL --port memory\n")
    assert pump.orders_executed() == ["prepare_bolus"]


def test_all_pumps_means_others_in_the_shell_too(line, pump, monkeypatch) -> None:
    other = Line(FakePump())
    lines = {None: line, "/dev/other": other}
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(lines[port], key, **more))
    for one in (line, other):
        one.pump.app.state, one.pump.app.basal = "infusing", 1_000_000
    board = PortInfo("/dev/other", "board", "Pico")
    monkeypatch.setattr(frame, "find_ports", lambda: [board] if line.is_open else [])
    run("shell", input="stop --all\n")
    assert [one.pump.app.state for one in (line, other)] == ["stopped", "stopped"]


def test_the_shell_asks_before_it_does(line, pump, person) -> None:
    run("shell", input="bolus 0.1mL\nn\nbolus 0.1mL\ny\n", code=6)
    assert pump.orders_executed() == ["prepare_bolus"]


def test_the_shells_exit_code_is_that_of_the_first_line_that_failed(line, pump) -> None:
    pump.refuse["prepare_bolus"] = ("limit", [("limit", "max_bolus_nl"), ("value", 2), ("maximum", 1)])
    run("shell --yes", input="status\nbolus 9mL\nbogus\nrate 1mL/day\n", code=1)
    assert pump.orders_executed() == ["prepare_rate"], "the others are run"
    run("shell --yes", input="status\nrate 1mL/day\n", code=0)


def test_completion_is_offered() -> None:
    assert "--install-completion" in run("--help")
