"""What people read: sentences, units, advice, and screens of any width."""

from __future__ import annotations

import json
import os
import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

import haipump
from haipump import quantities
from haipump.cli import app, frame, main, views, watch
from haipump.errors import (
    FieldError,
    NotAPump,
    OutcomeUnknown,
    PortMissing,
    Refused,
    StopNotConfirmed,
    UsageError,
)
from haipump.protocol import help as texts
from haipump.protocol.codec import with_crc
from haipump.protocol.schema import MESSAGES
from haipump.transport import emulator_folder
from haipump_fw.core import ledger
from haipump_fw.core.states import REFUSED
from tests.host.device import Line

runner = CliRunner()


# --- waiting


def test_a_pump_that_stays_silent_is_told_of_while_we_wait(line) -> None:
    told: list[float] = []
    with haipump.connect(line, on_silence=told.append) as client:
        client.rate("1 mL/day")
        assert told == []
        line.to_host = lambda line, data: []
        with pytest.raises(haipump.errors.AnswerTimeout):
            client.status()
        assert told and 3 <= told[0] < 5
        line.to_host = None
        client.status()
        assert told[-1] == 0
        del told[:]
        line.unplug(for_s=8)
        client.status()
        assert [int(value) for value in told][0] in (3, 4) and told[-1] == 0


def test_a_wait_goes_on_over_a_silence_and_says_so(line, pump, command) -> None:
    silent = [100.0, 108.0]

    def fault(line: Line, data: bytes) -> list[bytes]:
        return [] if silent[0] <= line.now() < silent[1] else [data]

    line.to_host = fault
    code, text = command("bolus 2mL --over 10min --wait -y")
    assert code == 0 and "Complete" in text
    silent[:] = [line.now(), line.now() + 3.5]
    code, text = command("info")
    assert code == 0 and "no answer for 3 s, trying again" in text


# --- files


def test_a_key_that_the_pump_refuses_leaves_no_file(command, tmp_path, monkeypatch) -> None:
    key = tmp_path / "key"
    monkeypatch.setattr(
        haipump.Pump, "set_key", lambda self, key: (_ for _ in ()).throw(Refused("no", "", "", "key", {}))
    )
    assert command(f"lock --new-key {key} -y")[0] == 1
    assert list(tmp_path.glob("key*")) == []


def test_a_key_that_the_pump_may_have_taken_is_kept(command, tmp_path, monkeypatch) -> None:
    key = tmp_path / "key"
    monkeypatch.setattr(
        haipump.Pump, "set_key", lambda self, key: (_ for _ in ()).throw(OutcomeUnknown("lost", "", "look", 1))
    )
    code, text = command(f"lock --new-key {key} -y")
    assert code == 4 and "key.new" in text.replace(" ", "")
    assert len((tmp_path / "key.new").read_text().strip()) == 64
    for left in tmp_path.glob("key*"):
        left.unlink()
    refusal = Refused("no", "", "look", "storage", {})  # one of its two copies may have it
    monkeypatch.setattr(haipump.Pump, "set_key", lambda self, key: (_ for _ in ()).throw(refusal))
    code, text = command(f"lock --new-key {key} -y")
    assert code == 1 and "key.new" in text.replace(" ", "")
    assert len((tmp_path / "key.new").read_text().strip()) == 64


def test_both_key_files_are_named_when_nobody_knows_which_the_pump_has(command, tmp_path, monkeypatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert command(f"lock --new-key {old} -y")[0] == 0
    monkeypatch.setattr(
        haipump.Pump, "set_key", lambda self, key: (_ for _ in ()).throw(OutcomeUnknown("lost", "", "look", 1))
    )
    code, text = command(f"--key-file {old} lock --new-key {new} -y")
    squeezed = text.replace(" ", "")
    assert code == 4 and f"isin{new}.new,elseitstillhasthatof{old}:keepboth" in squeezed
    monkeypatch.setattr(haipump.Pump, "set_key", lambda self, key: (_ for _ in ()).throw(KeyboardInterrupt))
    (tmp_path / "new.new").unlink(), (tmp_path / "new.operator.new").unlink()
    code, text = command(f"--key-file {old} lock --new-key {new} -y")
    assert code == 130 and f"isin{new}.new,elseitstillhasthatof{old}:keepboth" in text.replace(" ", "")


def test_a_lock_that_fails_after_the_key_was_changed_says_where_the_key_is(command, tmp_path, monkeypatch) -> None:
    key = tmp_path / "key"
    monkeypatch.setattr(haipump.Pump, "lock", lambda self: (_ for _ in ()).throw(OutcomeUnknown("lost", "Is", "", 1)))
    code, text = command(f"--json lock --new-key {key} -y")
    assert code == 4 and f'"Is; its key was changed before that, and is in {key}"' in text
    assert len(key.read_text().strip()) == 64


def test_a_declined_lock_changes_no_key(command, pump, tmp_path) -> None:
    assert command(f"lock --new-key {tmp_path / 'key'}")[0] == 6
    assert pump.key is None and list(tmp_path.glob("key*")) == []


def test_no_pump_no_run_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "x.sqlite"
    assert runner.invoke(app, ["log", "--to", str(path), "--port", str(tmp_path / "none")]).exit_code == 3
    assert not path.exists()


# --- sentences


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("build/pump is taken", "build/pump is taken."),
        ("rate_nl_per_day is 0", "rate_nl_per_day is 0."),
        ("plan.toml is wrong", "plan.toml is wrong."),
        ('"1.3" has no unit', '"1.3" has no unit.'),
        ("the pump is stopped.", "The pump is stopped."),
        ("is the cable in?", "Is the cable in?"),
        ("use `haipump stop`", "Use `haipump stop`"),
        ("stop", "Stop."),
    ],
)
def test_only_plain_words_get_a_capital(text: str, shown: str) -> None:
    assert frame._sentence(text) == shown


def test_an_error_as_text_has_no_double_marks() -> None:
    assert str(PortMissing("there is no port x", next_step="is the cable in?")).endswith("is the cable in?")
    assert "?." not in str(UsageError("why?", "how?", "what?"))


def test_a_field_out_of_range_is_named_as_people_do(client) -> None:
    with pytest.raises(FieldError) as caught:
        client.rate("0 mL/day")
    assert caught.value.what == "the rate must be from 0.000001 mL/day to 100000 mL/day, and 0 mL/day was given"
    with pytest.raises(FieldError, match="the volume must be from 0.000001 mL to 100 mL, and 200 mL was given"):
        client.bolus("200 mL")
    for name in {name for message in MESSAGES.values() for name in message.request}:
        text = texts.human(name)
        assert (
            text.startswith(("the ", "what "))
            and "_" not in text
            and not re.match("the (how|what|where|of|the) ", text)
        ), text


def refusal(client, pump, verb: str, code: str, fields: list[tuple[str, int | str]]) -> Refused:
    pump.refuse[verb] = (code, fields)
    with pytest.raises(Refused) as caught:
        client.rate("1 mL/day") if verb == "prepare_rate" else client.bolus("1 mL")
    return caught.value


def test_one_sentence_has_one_unit_or_both(client, pump) -> None:
    day = 24_000_000
    limit: list[tuple[str, int | str]] = [("limit", "max_rate_nl_per_day"), ("value", 100 * day)]
    what = refusal(client, pump, "prepare_rate", "limit", [*limit, ("minimum", day), ("maximum", 50 * day)]).what
    assert "the highest rate of delivery: 2400 mL/day (100 mL/h) asked" in what
    assert "possible are 24 mL/day (1 mL/h) to 1200 mL/day (50 mL/h)" in what
    what = refusal(client, pump, "prepare_rate", "limit", [*limit, ("minimum", 39_943), ("maximum", 50 * day)]).what
    assert "2400 mL/day (100 mL/h) asked" in what and "possible are 0.039943 mL/day to 1200 mL/day (50 mL/h)" in what
    what = refusal(client, pump, "prepare_bolus", "reservoir", [("value", 1_000_000), ("maximum", 50_000)]).what
    assert "1 mL asked, at most 0.05 mL" in what


@pytest.mark.parametrize(
    ("limit", "helps"),
    [("step_period", "a narrower syringe, or a finer screw"), ("motor", "a wider syringe"),
     ("syringe_max_nl_per_day", "a wider syringe"), ("start_steps_per_s", "without a ramp or programme"),
     ("max_rate_nl_per_day", "`haipump limits`")],
)  # fmt: skip
def test_a_limit_is_advised_by_what_changes_it(client, pump, limit: str, helps: str) -> None:
    fields: list[tuple[str, int | str]] = [("limit", limit), ("value", 50_000), ("minimum", 1), ("maximum", 2)]
    error = refusal(client, pump, "prepare_rate", "limit", fields)
    assert helps in error.next_step
    assert ("haipump limits" in error.next_step) == (limit == "max_rate_nl_per_day")


def test_what_excludes_each_other_is_said_so(command, line, pump) -> None:
    code, text = command("rate 2mL/day --ramp 1h --vtbi 1mL -y")
    assert code == 2 and "exclude each other" in text and "--ramp and --vtbi" in text
    pump.refuse["ack"] = ("field", [("field", "alarm"), ("what", "unknown")])
    code, text = command("ack nosuch")
    assert code == 1 and "there is no alarm of that name." in text and "occlusion, reservoir_empty" in text
    assert "update the firmware" not in text


def test_what_a_motor_reaches_is_in_one_unit_and_short() -> None:
    for value, shown in (
        (39_942_303_206, "39940 mL/day"),
        (30_234_734_784, "30230 mL/day"),
        (1_938_000_123, "1938 mL/day"),
    ):
        assert texts.quantity("step_max_nl_per_day", value) == shown
        assert texts.quantity("syringe_max_nl_per_day", value) == shown
    assert texts.quantity("lost_steps", 4) == "4" and "none" in texts.quantity("lost_steps", -4)


def test_the_state_stands_in_its_column(command, pump) -> None:
    screens = []
    for pump.app.state in ("alarm", "infusing"):
        text = runner.invoke(app, ["status"]).output
        screens.append(next(line.index(pump.app.state) for line in text.splitlines() if "State" in line))
    assert screens[0] == screens[1]


@pytest.mark.parametrize("columns", [16, 20, 28, 39, 40, 80])
def test_no_value_is_cut_off_however_narrow_the_screen(line, pump, monkeypatch, columns: int) -> None:
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(line, key, **more))
    pump.settings["syringe_nl"] = 30_000_000
    monkeypatch.setenv("COLUMNS", str(columns))
    output = runner.invoke(app, ["status"]).output
    inside = "".join(line.strip("│╭╮╰╯─ \n") for line in output.splitlines())
    assert "…" not in output
    for word in ("stopped", "0 mL/day", "1.5 mL", "Pressure", "4.2 kPa"):
        assert word.replace(" ", "") in inside.replace(" ", ""), output
    assert all(len(line) <= columns for line in output.splitlines())


def test_a_short_table_stays_a_table(command) -> None:
    output = runner.invoke(app, ["rate", "12mL/day", "-y"]).output
    assert re.search("Rate +12 mL/day", output), output


def test_an_override_is_compared_with_what_it_was_compared_with(client, pump) -> None:
    fields: list[tuple[str, int | str]] = [("value", 2_000_000), ("before", 100_000)]
    assert "ten times the last bolus or more" in refusal(client, pump, "prepare_bolus", "override", fields).what
    assert "ten times the running rate or more" in refusal(client, pump, "prepare_rate", "override", fields).what
    fields = [("value", 100_000), ("before", 2_000_000)]
    assert "a tenth of the running rate or less" in refusal(client, pump, "prepare_rate", "override", fields).what


def test_the_lockout_says_wait_and_not_choose_less(client, pump) -> None:
    fields: list[tuple[str, int | str]] = [("limit", "lockout_s"), ("value", 1_800), ("free_in_s", 1_200)]
    error = refusal(client, pump, "prepare_bolus", "limit", fields)
    assert error.next_step == "wait 20 min, or change the limit with `haipump limits`"
    assert error.what.endswith(
        "the time from the begin of a bolus until another one may begin: 30 min, possible in 20 min"
    )
    fields = [("limit", "lockout_s"), ("value", 600), ("minimum", 1_800), ("what", "in_programme")]
    pump.refuse.clear()
    error = refusal(client, pump, "prepare_bolus", "limit", fields)
    assert "10 min asked, at least 30 min" in error.what and "further apart" in error.next_step


def test_a_dose_limit_says_when_it_passes(client, pump) -> None:
    fields: list[tuple[str, int | str]] = [("limit", "max_dose_nl"), ("value", 1_200_000), ("maximum", 1_000_000)]
    fields += [("window_s", 86_400), ("free_in_s", 5_400)]
    error = refusal(client, pump, "prepare_bolus", "limit", fields)
    for words in ("highest dose", "1.2 mL asked", "at most 1 mL", "within 1 d", "possible in 1 h 30 min if"):
        assert words in error.what
    fields[-1] = ("free_in_s", -1)
    assert "waiting does not help" in refusal(client, pump, "prepare_rate", "limit", fields).what
    assert "wait" not in refusal(client, pump, "prepare_rate", "limit", fields).next_step
    fields[-1] = ("free_in_s", 5_400)
    error = refusal(client, pump, "prepare_rate", "limit", fields)
    assert error.next_step == "wait 1 h 30 min, choose less, or change the limit with `haipump limits`"
    fields[1] = ("what", "past_not_known")
    error = refusal(client, pump, "prepare_rate", "limit", fields)
    assert "past not known, at most 1 mL" in error.what and "asked" not in error.what
    fields[1] = ("value", 1_200_000)
    error = refusal(client, pump, "prepare_rate", "override", [("what", "reason"), *fields])
    assert "soft limit" in error.what and "--reason" in error.next_step
    assert ": reason," not in error.what and error.what.endswith("; that needs an override and its reason")
    error = refusal(client, pump, "prepare_rate", "syringe", [("what", "other_drug"), ("drug", "floxuridine")])
    assert "floxuridine" in error.what and "--drug" in error.next_step


def test_an_empty_syringe_is_acknowledged_before_it_is_refilled(client, pump) -> None:
    """A refill is refused while the pump is stopped by the alarm, so that no advice may put it before `ack`."""
    for alarm in ("reservoir_empty", "end_of_travel"):
        assert texts.ALARMS[alarm][1] == "first `haipump ack`, then refill with `haipump refill`"
        error = refusal(client, pump, "prepare_rate", "alarm", [("alarm", alarm)])
        assert error.next_step == texts.ALARMS[alarm][1]
    for what in ("stop_first", "stop_resume_or_acknowledge_first"):
        advice = texts.next_step("state", {"what": what, "state": "alarm"})
        assert "then `haipump ack`" in advice and "remove" not in advice


def test_totals_say_why_their_lower_end_may_go_down(command, pump) -> None:
    words = "Each power loss takes its lower end back"
    assert words not in command("totals")[1]
    read = pump.app.read_totals
    pump.app.read_totals = lambda fields: read(fields) | {"stepped_min_nl": 16_000, "stepped_max_nl": 516_000}
    assert words in command("totals")[1]
    said = texts.RANGE_AFTER_A_POWER_LOSS
    assert quantities.format_volume(ledger.COMMIT_NL) == "0.1 mL" and said.count("0.1 mL") == 2
    assert 540 < ledger.COMMIT_EARLY_S <= 600 and "10 min of flow" in said


def test_a_power_cycle_is_no_way_out_of_an_alarm_loop() -> None:
    assert "A power cycle does not help" in texts.ALARMS["alarm_loop"][1]


def test_an_alarm_that_forbids_it_is_told_by_its_phase(client, pump, monkeypatch) -> None:
    pump.alarms = ["reservoir_low", "occlusion"]
    error = refusal(client, pump, "prepare_rate", "alarm", [("alarm", "occlusion")])
    assert "occlusion has to be acknowledged first" in error.what and "then `haipump ack`" in error.next_step
    phase = {"phase": "acknowledged"}
    real = pump.app.read_alarms
    monkeypatch.setattr(pump.app, "read_alarms", lambda fields: real(fields) | phase)
    error = refusal(client, pump, "prepare_rate", "alarm", [("alarm", "occlusion")])
    assert "the cause of the alarm occlusion still stands" in error.what and "ack" not in error.next_step
    pump.alarms = ["reservoir_empty"]
    error = refusal(client, pump, "prepare_rate", "alarm", [("alarm", "reservoir_empty")])
    assert error.next_step == "refill with `haipump refill`", "the acknowledgement is behind us"
    pump.alarms = ["occlusion"]
    phase["phase"] = "latched"
    assert "its cause is gone" in refusal(client, pump, "prepare_rate", "alarm", [("alarm", "occlusion")]).next_step


def test_every_refusal_of_the_state_table_has_its_own_advice() -> None:
    words = {why.replace(" ", "_").replace(",", "").lower() for _, _, why in REFUSED} | {
        "one_bolus_at_a_time",
        "it_has_to_sound_first",
        "stopped_meanwhile",
    }
    assert words == set(texts.STATE_ADVICE)
    for _, _, why in REFUSED:
        word = why.replace(" ", "_").replace(",", "").lower()
        assert texts.refusal_sentence("state", {"what": word}).endswith(": " + why), "with its commas"
    fields = {"what": "one_bolus_at_a_time", "state": "bolus"}
    assert texts.next_step("state", fields) == "wait for it, or `haipump cancel`"
    assert "haipump start" in texts.next_step("state", {"what": "nothing_is_paused", "state": "stopped"})
    for word in ("nothing_is_paused", "stop_first"):
        for state, way in (("alarm", "haipump ack"), ("fault", "selftest"), ("service", "off and on")):
            assert way in texts.next_step("state", {"what": word, "state": state})
    assert "`haipump stop` first" in texts.next_step("state", {"what": "stop_first", "state": "paused"})
    for state, words_ in (("paused", "resume"), ("alarm", "ack"), ("refill", "refill --end"), ("priming", "stop")):
        assert words_ in texts.next_step("state", {"what": "stop_resume_or_acknowledge_first", "state": state})


def test_a_quantity_with_a_sign_is_refused_as_such(command, line, pump) -> None:
    for words in ("rate -1mL/day -y", "bolus -.5mL -y", "rate -y -- -1mL/day"):
        code, text = command(words)
        assert code == 2 and "has a sign" in text, text
        assert "No such option" not in text
    code, text = command("jog -100 --disconnected -y")
    assert code == 2 and "haipump jog -- -100" in text
    assert command("jog --disconnected -y -- -100")[0] == 0
    assert pump.orders_executed() == ["prepare_jog"]


def test_a_bore_is_advised_by_its_option() -> None:
    with pytest.raises(UsageError) as caught:
        haipump.syringes.find("7mL")
    assert "--bore-um" in caught.value.next_step


# --- who is silent


def test_a_silent_emulator_may_be_paused(pump) -> None:
    line = Line(pump)
    line.name = "socket://127.0.0.1:7000"
    line.to_host = lambda line, data: []
    with pytest.raises(NotAPump) as caught:
        haipump.connect(line)
    assert "service mode" in caught.value.next_step
    emulator_folder().mkdir(parents=True)
    (emulator_folder() / "a.json").write_text(json.dumps({"port": line.name, "pid": os.getpid()}))
    with pytest.raises(NotAPump) as caught:
        haipump.connect(line)
    advice = caught.value.next_step
    for cause, remedy in (("off", "ctl power on"), ("debugger", "continue there"), ("paused", "ctl continue")):
        assert cause in advice and remedy in advice
    assert "haipump-emu ctl status" in advice and "service" not in advice
    with pytest.raises(StopNotConfirmed) as refused:
        haipump.stop(line)
    assert "STOP on the pump" in refused.value.next_step and advice in refused.value.next_step


def starting(line: Line, for_s: float) -> None:
    """The pump hears and looks at nothing for so long; then it has so many passes of its loop in a second, and does one
    thing in each, as when it starts on a slow machine."""
    pump, last = line.pump, [line.now() + for_s]
    work = pump.session.work
    per_s = 10

    def slow() -> bool:
        if line.now() < last[0] + 1 / per_s:
            return False
        last[0] = max(last[0] + 1 / per_s, line.now() - 1 / per_s)
        return work()

    pump.session.work = slow


def test_a_pump_that_is_busy_is_not_asked_again_and_again(line, pump) -> None:
    told: list[float] = []
    starting(line, 3)
    for number in range(4):
        pump.take(with_crc(f"@{number + 7} hello"))  # a host before us gave up
    with haipump.connect(line, on_busy=told.append) as client:
        assert client.status().state == "stopped"
    hellos = [data for data in line.sent if b"hello" in data]
    assert len(hellos) < 20
    assert told == [] or told[-1] == 0


def test_a_pump_that_stays_busy_is_called_busy(line, command) -> None:
    def turned_away(line: Line, data: bytes) -> list[bytes]:
        line.sleep(0.01)
        return [with_crc(f"{data.split()[0].decode()} err code=busy state=stopped")] if b" ok " in data else [data]

    line.to_host = turned_away
    began = line.now()
    code, text = command("status")
    assert code == 4 and "is busy: it turned away all that it was asked" in text and "it may be starting" in text
    assert "does not answer as a pump does" not in text and "Nothing was changed" in text
    assert "the pump is busy for 3 s, waiting" in text
    assert 10 <= line.now() - began < 20
    assert sum(b"hello" in data for data in line.sent) < 40


# --- the rest of the command


def test_the_version(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out.startswith("haipump ")


def test_ctrl_c_at_a_question_is_an_interruption(command, pump, monkeypatch) -> None:
    monkeypatch.setattr(frame.Cli, "interactive", property(lambda cli: not cli.json))

    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.confirm", _asking(interrupted))
    code, text = command("bolus 1mL")
    assert code == 130 and "nothing was started" in text
    assert pump.orders_executed() == []


def _asking(read):
    """typer's own way of asking: Ctrl-C and the end of input both become Abort."""
    import typer

    def confirm(question: str, default: bool) -> bool:
        try:
            return bool(read())
        except (KeyboardInterrupt, EOFError):
            raise typer.Abort from None

    return confirm


def test_the_status_has_the_range_and_why_it_stopped(command, line, pump, monkeypatch) -> None:
    assert "Because" not in command("status")[1]
    command("rate 1.3mL/day -y")
    assert "Because" not in command("status")[1]
    command("stop")
    pump.record("result", 2, 1, 2, 0, 1_000, 1_000, 0)
    totals = pump.app.read_totals({}) | {"stepped_max_nl": 1_600_000}
    monkeypatch.setattr(pump.app, "read_totals", lambda fields: totals)
    text = command("status")[1]
    assert "Because the rate was stopped before its end" in text
    assert "between 1.5 mL and 1.6 mL, after a power loss or an occlusion" in " ".join(text.split())
    found = json.loads(runner.invoke(app, ["status", "--json"]).stdout)
    last = {"order": 2, "source": "basal", "result": "stopped", "left_nl": 0, "why": ""}
    assert found["last_order"] == last


def test_the_memory_has_a_unit(command, pump, monkeypatch) -> None:
    real = pump.app.read_info
    monkeypatch.setattr(pump.app, "read_info", lambda fields: real(fields) | {"heap_free": 123_456})
    assert "Free memory before the next collection 123456 bytes" in command("info")[1]


def test_what_it_was_busy_with_is_told_when_it_was(command, pump, monkeypatch) -> None:
    real = pump.app.read_info
    assert "Last reset power" in command("info")[1] and "Busy" not in command("info")[1]
    monkeypatch.setattr(pump.app, "read_info", lambda fields: real(fields) | {"reset": "watchdog", "task": "flash"})
    assert "Last reset watchdog Busy then with flash" in command("info")[1]


def test_a_pause_knows_about_what_is_left(command, pump, monkeypatch) -> None:
    """It answers at once, and takes hold with the last steps that are under way."""
    left = lambda fields: [("state", "paused"), ("order", 2), ("left_nl", 99_861_000)]  # noqa: E731
    act = pump.app.act
    monkeypatch.setattr(pump.app, "act", lambda verb, fields, id: act(verb, fields, id) and left(fields))
    assert "nothing flows, about 99.861 mL are left." in command("pause")[1]
    assert ", 99.861 mL are left." in command("resume")[1]


def test_a_driver_error_may_come_from_the_supply() -> None:
    assert "supply" in texts.ALARMS["driver_error"][1]


# --- widths


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_labels_are_whole_words_at_any_width(client, pump, width: int) -> None:
    pump.settings["syringe_nl"] = 30_000_000
    pump.alarms = ["occlusion"]
    client.bolus("0.1 mL", over="1h")
    screen = watch.Screen(client)
    screen.flows.extend(range(60))
    screen.pressures.extend(range(60))
    screen.tele = {"uptime_s": 65, "state": "bolus", "flow_nl_per_day": 1_300_000, "delivered_nl": 1_500_000,
                   "pressure_pa": 40_000, "reservoir_nl": 18_000_000, "confirmed_nl": 1_499_000,
                   "empty_in_s": 1_000_000, "bolus_left_nl": 50_000, "alarm": "occlusion"}  # fmt: skip
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(screen.render())
    status = views.status_view(
        "p", client.status(), client.alarms(), client.sensors(), 30_000_000, client.totals(), "the bolus was complete"
    )
    console.print(status)
    rows = [("kvo_nl_per_day", "0.3 mL/day", "0.01 mL/day to 1 mL/day", "rate of KVO")]
    console.print(views.rows_view(rows, "Setting", "Value", "Range", "What it is"))
    text = console.export_text()
    console.file.close()
    assert max(len(line) for line in text.splitlines()) <= width
    for word in ("State", "Flow", "Delivered", "syringe", "Empty in", "Pressure", "occlusion", "1.3 mL/day",
                 "40.0 kPa", "18 mL", "of 30 mL", "kvo_nl_per_day", "kink", "Because"):  # fmt: skip
        assert word in text, word
    assert ("█" in text) and ("alarm at 69 kPa" in text or width == 40)


def test_a_flash_that_has_to_wait_is_not_called_broken() -> None:
    assert "slower or at rest" in texts.next_step("storage", {"what": "no_window", "state": "bolus"})
    assert "do not use the pump" in texts.next_step("storage", {"what": "settings", "state": "fault"})
