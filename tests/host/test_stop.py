"""A stop comes before everything else, is never claimed without proof, and gets through a port that is taken."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
import tty

import pytest
from typer.testing import CliRunner

import haipump
from haipump import holding
from haipump.cli import app, frame
from haipump.errors import (
    CommunicationError,
    LinkLost,
    NotExecuted,
    OutcomeUnknown,
    PortBusy,
    PortMissing,
    StopNotConfirmed,
    StoppedOnly,
    UsageError,
)
from haipump.protocol.codec import with_crc
from haipump.transport import SerialTransport
from tests.host.device import FakePump, Line, once
from tests.host.direct_line import FloodedLine

runner = CliRunner()


def stop_line(line: Line, monkeypatch) -> None:
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(line, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])


def deliver(pump: FakePump, line: Line) -> None:
    with haipump.connect(line) as client:
        client.rate("1.3 mL/day")
    line.sent.clear()


def mute(line: Line) -> None:
    """The pump hears everything and its answers are lost."""
    line.to_host = lambda line, data: []


def test_the_stop_is_the_first_thing_on_the_line(pump, line, monkeypatch) -> None:
    deliver(pump, line)
    stop_line(line, monkeypatch)
    result = runner.invoke(app, ["stop"])
    assert result.exit_code == 0 and "stopped" in result.output
    assert line.sent[:4] == [b"\n", b"!\n", b"\n", b"!\n"], "sent, repeated, and only then asked"
    assert b"hello" in line.sent[4]


def test_a_silent_pump_is_stopped_and_not_believed(pump, line, monkeypatch) -> None:
    deliver(pump, line)
    mute(line)
    stop_line(line, monkeypatch)
    result = runner.invoke(app, ["stop"])
    text = " ".join(result.output.split())
    assert result.exit_code == 4
    assert "NOT STOPPED for certain" in text and "It may be delivering" in text
    assert "Press STOP on the pump or cut its power" in text
    assert "Nothing was sent" not in text
    assert pump.app.state == "stopped" and line.sent.count(b"!\n") >= 5
    mute(line)
    error = json.loads(runner.invoke(app, ["stop", "--json"]).stdout)
    assert error["error"]["kind"] == "stop_not_confirmed" and error["error"]["sent"] and error["exit_code"] == 4


def test_the_library_stops_a_pump_that_falls_silent(pump, line) -> None:
    with haipump.connect(line) as client:
        client.rate("1.3 mL/day")
        mute(line)
        line.sent.clear()
        began = line.now()
        with pytest.raises(StopNotConfirmed, match="NOT STOPPED for certain"):
            client.stop()
        assert line.sent[1] == b"!\n" and pump.app.state == "stopped"
        assert line.sent.count(b"!\n") == 5 and line.now() - began < 6, "a person waits for the word"


def test_a_stop_over_a_lost_connection_is_first_when_it_comes_back(pump, line) -> None:
    with haipump.connect(line) as client:
        client.rate("1.3 mL/day")
        line.unplug(for_s=3)
        line.sent.clear()
        assert client.stop().state == "stopped"
        assert line.sent[1] == b"!\n"
        client.rate("1.3 mL/day")
        line.sent.clear()
        line.unplug(for_s=3)
        client.status()
        assert b"!\n" not in line.sent, "the next connection is an ordinary one"


def test_a_connection_that_stays_away_is_told_as_a_stop_without_proof(pump, line) -> None:
    with haipump.connect(line) as client:
        client.rate("1.3 mL/day")
        line.unplug()
        with pytest.raises(StopNotConfirmed) as caught:
            client.stop()
        assert "did not come back" in caught.value.what
        assert isinstance(caught.value.__context__, (LinkLost, type(None)))


@pytest.mark.parametrize("garbage", [b"1 status\n", b"\n@7 status *00000000\n", b"x" * 300 + b"\n", b"@8 hello\n"])
@pytest.mark.parametrize("size", [4_096, 60_000])
def test_a_stop_behind_a_flood_is_made_sure_of(garbage: bytes, size: int) -> None:
    line = FloodedLine()
    with haipump.connect(line) as client:
        client.syringe("30 mL", "30 mL")
        client.rate("20 mL/day")
    line.backlog += garbage * (size // len(garbage))
    assert haipump.stop(line).state == "stopped"
    assert line.core.app.machine.state == "stopped" and not line.backlog


def test_a_pump_whose_answers_come_late_is_greeted_and_stopped(pump, line) -> None:
    """Each answer arrives with the next one, as on a machine that is too busy to run the emulator in time."""
    deliver(pump, line)
    held: list[bytes] = []

    def late(line: Line, data: bytes) -> list[bytes]:
        held.append(data)
        return [held.pop(0)] if len(held) > 6 else []

    line.to_host = late
    assert haipump.stop(line).state == "stopped"
    assert pump.app.state == "stopped"


def test_a_flood_is_outlasted_by_every_command() -> None:
    line = FloodedLine()
    line.backlog += b"1 status\n" * 6_000
    with haipump.connect(line) as client:
        line.backlog += b"1 status\n" * 2_000
        assert client.syringe("30 mL", "30 mL").id >= 0 and client.calibration().syringe_nl == 30_000_000


def test_the_function_stops_in_one_call(pump, line) -> None:
    deliver(pump, line)
    assert haipump.stop(line).state == "stopped"
    assert line.sent[1] == b"!\n"


def test_a_missing_port_is_no_stop(line, monkeypatch) -> None:
    line.plugged = False
    stop_line(line, monkeypatch)
    result = runner.invoke(app, ["stop"])
    text = " ".join(result.output.split())
    assert result.exit_code == 4 and "NOT STOPPED" in text and "no port memory" in text and "STOP on the pump" in text
    assert "Nothing was sent" not in text


def test_an_unreadable_key_file_is_not_in_the_way(pump, line, monkeypatch) -> None:
    deliver(pump, line)
    stop_line(line, monkeypatch)
    assert runner.invoke(app, ["stop", "--key-file", "/nowhere/key"]).exit_code == 0
    assert pump.app.state == "stopped"


def test_a_stop_that_the_pump_does_not_follow(pump, line, monkeypatch) -> None:
    with haipump.connect(line) as client:
        client.rate("1.3 mL/day")
        monkeypatch.setattr(pump.app, "_stop", lambda: None)
        with pytest.raises(StopNotConfirmed, match="says that it is infusing"):
            client.stop()


# --- a pump that is stopped, and can't be spoken to


def other_protocol(*, answers: bool = True, state: str = "stopped"):
    """What comes to the host from a pump of another release: its greeting has other fields, and it knows nothing of
    ours but the stop."""

    def fault(line: Line, data: bytes) -> list[bytes]:
        if data.startswith(b"@"):
            id = data.split()[0].decode()
            return [with_crc(f"{id} ok protocol=2 maker=x" if b"protocol=" in data else f"{id} err code=unknown")]
        if data.startswith(b"ok "):
            return [f"ok state={state} order=0 more=7\n".encode()] if answers else []
        return [data]

    return fault


def test_a_stop_that_another_release_answers_is_a_stop(pump, line, monkeypatch) -> None:
    deliver(pump, line)
    line.to_host = other_protocol()
    stop_line(line, monkeypatch)
    result = runner.invoke(app, ["stop"])
    text = " ".join(result.output.split())
    assert result.exit_code == 0 and pump.app.state == "stopped"
    assert "The pump is stopped, the motor is off: so it answered the stop." in text
    assert "No more can be asked of it: the pump speaks protocol 2, these tools speak 1." in text
    assert "Unchanged" not in text and "Next: Update the host tools or the firmware" in text
    told = json.loads(runner.invoke(app, ["stop", "--json"]).stdout)
    assert told["ok"] and told["state"] == "stopped" and "protocol 2" in told["why_no_more"]
    with pytest.raises(StoppedOnly) as caught:
        haipump.stop(line)
    assert caught.value.pump_state == "stopped" and "stopped" in caught.value.state


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (other_protocol(answers=False), "did not answer the stop"),
        (other_protocol(state="infusing"), "answered the stop with: infusing"),
    ],
)
def test_a_stop_that_another_release_does_not_answer_is_none(pump, line, monkeypatch, fault, said: str) -> None:
    deliver(pump, line)
    line.to_host = fault
    stop_line(line, monkeypatch)
    result = runner.invoke(app, ["stop"])
    text = " ".join(result.output.split())
    assert result.exit_code == 4 and "NOT STOPPED for certain" in text and said in text
    assert "speaks protocol 2" in text and "Press STOP on the pump or cut its power; then update" in text
    assert "It may be delivering" in text and "Unchanged" not in text


def test_an_answer_to_a_stop_that_was_lost_is_asked_for_again(pump, line, monkeypatch) -> None:
    deliver(pump, line)
    other, lost = other_protocol(), [4]

    def fault(line: Line, data: bytes) -> list[bytes]:
        lost[0] -= data.startswith(b"ok ")
        return [] if data.startswith(b"ok ") and lost[0] >= 0 else other(line, data)

    line.to_host = fault
    with pytest.raises(StoppedOnly):
        haipump.stop(line)


def test_a_status_to_another_release_is_refused_as_before(pump, line) -> None:
    line.to_host = other_protocol()
    with pytest.raises(CommunicationError, match="protocol 2") as caught:
        haipump.connect(line)
    assert caught.value.state == "Unchanged" and sum(b"hello" in data for data in line.sent) == 1


# --- through another command that holds the port


def test_what_was_ordered_before_a_stop_from_outside_is_not_begun_after_it(pump, line) -> None:
    with haipump.connect(line) as client:
        plan = client.prepare_bolus("1 mL")
        client.conversation.stop_from_outside()
        with pytest.raises(NotExecuted, match="another terminal"):
            client.commit(plan)
        assert pump.orders_executed() == []


def test_an_order_under_way_is_not_repeated_after_a_stop_from_outside(pump, line) -> None:
    with haipump.connect(line) as client:
        plan = client.prepare_bolus("1 mL")

        def lost(line: Line, data: bytes) -> list[bytes]:
            client.conversation.stop_from_outside()
            return []

        line.to_pump = once(lost, b" commit")
        with pytest.raises(OutcomeUnknown, match="under way"):
            client.commit(plan)
        assert pump.orders_executed() == [] and pump.executed[-1][0] == "stop"


def test_a_stop_from_outside_waits_for_a_lost_connection(pump, line) -> None:
    with haipump.connect(line) as client:
        client.rate("1 mL/day")
        line.unplug(for_s=2)
        line.sent.clear()
        client.conversation.stop_from_outside()
        assert client.status().state == "stopped"
        assert line.sent[1] == b"!\n"


def test_a_file_that_was_left_behind_is_nobodys(tmp_path) -> None:
    holding.folder().mkdir(parents=True)
    path = holding.folder() / f"{os.getpid()}.json"
    facts = {"pid": os.getpid(), "command": "watch", "stop": "", "stops": 0, "names": ["/dev/ttyACM0"]}
    path.write_text(json.dumps(facts))
    assert holding.find("/dev/ttyACM0") is None
    assert not path.exists()


def test_a_holder_is_found_by_every_name_of_its_port(tmp_path) -> None:
    (tmp_path / "tty").touch()
    link = tmp_path / "pump"
    link.symlink_to(tmp_path / "tty")
    before = signal.getsignal(signal.SIGUSR1)
    with holding.Holding(str(link), "watch", lambda: None):
        assert str(holding.find(str(tmp_path / "tty"))) == f"haipump watch (pid {os.getpid()})"
        assert holding.find(str(link)) and not holding.find("/dev/other")
    assert holding.find(str(link)) is None
    assert signal.getsignal(signal.SIGUSR1) is before
    with holding.Holding("socket://localhost:7000", "watch", lambda: None):
        assert holding.find("socket://127.0.0.1:7000")


class Served:
    """A pump in memory behind a pty, in a thread of its own: for other processes. Its time is that of the wall."""

    def __init__(self, answers: bool = True) -> None:
        self.pump = FakePump()
        self.answers = True
        self._ours, theirs = pty.openpty()
        tty.setraw(theirs)
        self.name = os.ttyname(theirs)
        self._theirs = theirs
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        began, told = time.monotonic(), 0.0
        while not self._over.is_set():
            ready, _, _ = select.select([self._ours], [], [], 0.01)
            data = os.read(self._ours, 4_096) if ready else b""
            self.pump.now_s = time.monotonic() - began
            if data:
                self.pump.take(data)
            period_s = self.pump.app.telemetry_ms / 1_000
            if period_s and self.pump.now_s - told > 0.05:
                told = self.pump.now_s
                names = haipump.protocol.schema.EVENTS["tele"]
                fields = {"uptime_s": 1, "pressure_pa": 1, "confirmed_nl": 1} | dict(self.pump.app.answer("status", {}))
                self.pump.session.event("tele", [(name, fields[name]) for name in names])
            out = self.pump.give()
            if out and self.answers:
                os.write(self._ours, out)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._ours)
        os.close(self._theirs)


# A shell lets what it runs in the background ignore Ctrl-C, and so this test's children: a terminal does not.
HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


@pytest.fixture
def served():
    made = Served()
    yield made
    made.close()


@pytest.fixture
def second_terminal(served):
    """Starts haipump in a process of its own and returns once it has registered."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            [sys.executable, "-c", f"{HEARING}from haipump.cli import main; main()", *words, "--port", served.name],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        begun.append(process)
        while holding.find(served.name) is None:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_a_stop_gets_through_a_watch(served, second_terminal) -> None:
    served.pump.app.state, served.pump.app.basal = "infusing", 1_300_000
    watch = second_terminal("watch")
    with pytest.raises(PortBusy):
        SerialTransport(served.name).open()
    result = runner.invoke(app, ["stop", "--port", served.name])
    assert result.exit_code == 0, result.output
    assert f"haipump watch (pid {watch.pid}) has the port, and sent the stop" in " ".join(result.output.split())
    assert served.pump.app.state == "stopped"
    other = " ".join(runner.invoke(app, ["status", "--port", served.name]).output.split())
    assert f"End haipump watch (pid {watch.pid}) with Ctrl-C" in other
    assert "only `haipump stop` gets through it" in other
    again = runner.invoke(app, ["stop", "--port", served.name, "--json"])
    assert json.loads(again.stdout)["through"]["command"] == "watch", "it goes on watching"
    watch.send_signal(signal.SIGINT)
    out, _ = watch.communicate(timeout=20)
    assert watch.returncode == 0
    assert "Stopped from another terminal" in out and out.endswith("\n")


def test_a_stop_gets_through_a_wait_and_ends_it(served, second_terminal) -> None:
    asked: list[dict[str, int]] = []
    real = served.pump.app.read_order
    served.pump.app.read_order = lambda fields: asked.append(fields) or real(fields)
    waits = second_terminal("bolus", "2mL", "--over", "10min", "--wait", "--yes")
    while not asked:  # it waits
        time.sleep(0.01)
    result = runner.invoke(app, ["stop", "--port", served.name])
    assert result.exit_code == 0, result.output
    out, errors = waits.communicate(timeout=20)
    assert waits.returncode == 5 and "stopped" in errors and "from another terminal" in " ".join((out + errors).split())


def test_a_holder_that_hears_nothing_has_not_stopped_it_for_certain(served, second_terminal, monkeypatch) -> None:
    second_terminal("watch")
    served.answers = False
    monkeypatch.setattr(holding, "HEAR_S", 0.3)
    result = runner.invoke(app, ["stop", "--port", served.name])
    text = " ".join(result.output.split())
    assert result.exit_code == 4 and "haipump watch (pid" in text and "NOT STOPPED for certain" in text


def test_a_port_that_a_stranger_has(served) -> None:
    other = SerialTransport(served.name)
    other.open()
    try:
        result = runner.invoke(app, ["stop", "--port", served.name])
    finally:
        other.close()
    text = " ".join(result.output.split())
    assert result.exit_code == 4 and f"(pid {os.getpid()})" in text and "STOP on the pump" in text


# --- closed


def test_a_closed_connection_stays_closed(pump, line) -> None:
    with haipump.connect(line) as client:
        client.status()
    for use in (
        client.status,
        client.stop,
        client.hello,
        lambda: client.rate("1 mL/day"),
        lambda: next(client.events(1)),
    ):
        with pytest.raises(UsageError, match="closed"):
            use()
    assert not line.is_open
    with pytest.raises(PortMissing):
        line.plugged = False
        haipump.connect(line)
