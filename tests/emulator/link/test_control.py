"""The control socket: found by its file, guarded by its token, every command with its effect."""

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from haipump_emulator import control
from haipump_emulator.control import ControlError, Controls, ControlServer, Record
from haipump_emulator.link.bridge import Bridge
from haipump_emulator.link.loop import Loop
from haipump_emulator.link.memory import MemoryLink
from haipump_emulator.pacing import FREE, Pacer
from haipump_emulator.plant import Plant
from haipump_emulator.statedir import StateDirError, state_dir
from tests.emulator.link.fake import EchoCore, FakeWall


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


class Emulator:
    """A loop that runs in a thread, as the process of an emulator would."""

    def __init__(self, name="pump"):
        self.wall = FakeWall()
        self.core = EchoCore(self.wall)
        self.core.plant = Plant()
        self.pacer = Pacer(self.core, 1, wall_us=self.wall)
        self.link = MemoryLink()
        self.bridge = Bridge(self.core, self.link, wall_us=self.wall)
        self.loop = Loop(self.pacer, self.bridge)
        self.controls = Controls(name, self.pacer, self.bridge, self.loop.stop)

    def do(self, command, **arguments):
        return self.controls.handle({"command": command, **arguments})

    def pass_time(self, us):
        self.wall.now_us += us
        for _ in range(200):
            self.pacer.advance()

    def __enter__(self):
        self.server = ControlServer(self.controls, self.link.address)
        self.loop.services.append(self.server)
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.loop.stop()
        self.thread.join()
        self.server.close()


# --- the commands ---


def test_status():
    emulator = Emulator()
    said = emulator.do("status")
    assert (said["sim_us"], said["speed"], said["paused"], said["client"]) == (0, 1, False, None)
    emulator.link.connect("somebody")
    assert emulator.do("status")["client"] == "somebody"
    emulator.do("speed", speed="max")
    assert emulator.do("status")["speed"] == "max"


def test_truth_is_the_plants():
    emulator = Emulator()
    said = emulator.do("truth")
    assert said["reservoir_nl"] == 30_000_000 and said["t_us"] == 0
    json.dumps(said)


def test_the_plant_is_told_at_the_present_time():
    emulator = Emulator()
    emulator.core.run_until(5_000_000)
    emulator.do("occlude")
    assert emulator.do("truth")["occluded"]
    emulator.do("release")
    emulator.do("leak", resistance_pa_s_per_nl=50.0)
    said = emulator.do("truth")
    assert (said["occluded"], said["leaking"]) == (False, True)
    emulator.do("seal")
    emulator.do("height", cm=30, over_s=0)
    emulator.do("warm", to_c=30.5, over_s=1)
    emulator.do("refill", volume_nl=10_000_000)
    emulator.do("capture", on=False)
    emulator.do("supply", mv=4_500)
    emulator.core.run_until(7_000_000)
    said = emulator.do("truth")
    assert not said["leaking"] and not said["captured"]
    assert said["height_cm"] == 30 and said["supply_mv"] == 4_500
    assert said["temperature_c"] == pytest.approx(30.5)
    assert said["reservoir_nl"] == pytest.approx(10_000_000, abs=50_000)
    emulator.do("sensor", sensor="pressure", fault="stuck", value=1234)
    assert emulator.core.plant.pressure_raw(7_000_000) == 1234


def test_faults_of_the_catalogue_begin_and_end():
    emulator = Emulator()
    emulator.do("fault", fault="occlusion")
    assert emulator.do("truth")["occluded"]
    emulator.do("fault", fault="occlusion", end=True)
    assert not emulator.do("truth")["occluded"]
    with pytest.raises(ControlError, match="did you mean 'occlusion'"):
        emulator.do("fault", fault="oclusion")
    with pytest.raises(ControlError, match="lasts for more than nothing"):
        emulator.do("fault", fault="leak", for_us=0)


def test_a_catheter_takes_a_condition_and_the_next_one_its_place():
    emulator = Emulator()
    emulator.do("fault", fault="catheter condition=leaking")
    assert emulator.do("truth")["leaking"]
    emulator.do("fault", fault="catheter")
    assert (emulator.do("truth")["occluded"], emulator.do("truth")["leaking"]) == (True, False)
    with pytest.raises(ControlError, match="condition is one of narrowed, partly_blocked, blocked"):
        emulator.do("fault", fault="catheter condition=rusty")
    emulator.do("fault", fault="catheter", end=True)
    assert not emulator.do("truth")["occluded"]


def test_the_fault_that_ends_is_the_one_that_is_on():
    emulator = Emulator()
    with pytest.raises(ControlError, match="sensor_stuck is not on; of what `fault` began is on: nothing"):
        emulator.do("fault", fault="sensor_stuck", end=True)
    emulator.do("fault", fault="sensor_stuck sensor=encoder")
    with pytest.raises(ControlError, match="sensor=pressure is not on; .* is on: sensor_stuck sensor=encoder"):
        emulator.do("fault", fault="sensor_stuck sensor=pressure", end=True)
    emulator.do("fault", fault="sensor_stuck")
    with pytest.raises(ControlError, match="several of it are on: .*encoder; sensor_stuck sensor=pressure; say which"):
        emulator.do("fault", fault="sensor_stuck", end=True)
    emulator.do("sensor", sensor="pressure", fault="ok")
    ended = emulator.do("fault", fault="sensor_stuck", end=True)
    assert ended["fault"] == "sensor_stuck sensor=encoder"
    with pytest.raises(ControlError, match="not on"):
        emulator.do("fault", fault="sensor_stuck", end=True)
    assert emulator.do("fault", fault="power_cut off_ms=50")["fault"] == "power_cut off_ms=50"
    assert emulator.do("fault", fault="power_cut", end=True)["fault"], "it brings the end forward"


def test_a_fault_is_not_ended_by_the_time_of_the_one_before():
    emulator = Emulator()
    emulator.do("fault", fault="leak", for_us=1_000_000)
    emulator.do("fault", fault="leak resistance=20")
    emulator.pass_time(2_000_000)
    assert emulator.do("truth")["leaking"]
    assert emulator.do("fault", fault="leak", end=True)["fault"] == "leak resistance=20"
    assert not emulator.do("truth")["leaking"]


def test_time():
    emulator = Emulator()
    emulator.do("speed", speed=60)
    assert emulator.pacer.speed == 60
    emulator.do("speed", speed="max")
    assert emulator.pacer.speed is FREE
    emulator.do("speed", speed=1)
    emulator.do("run_until", t_us=1_000_000)
    assert emulator.do("status")["until_us"] == 1_000_000
    emulator.pass_time(3_000_000)
    said = emulator.do("status")
    assert (said["sim_us"], said["paused"], said["until_us"]) == (1_000_000, True, None)
    emulator.do("continue")
    emulator.pass_time(100_000)
    emulator.do("pause")
    emulator.pass_time(100_000)
    assert emulator.core.now_us == 1_100_000


def test_buttons_are_held_for_simulated_time():
    emulator = Emulator()
    emulator.do("press", button="stop", for_us=150_000)
    emulator.pass_time(100_000)
    emulator.do("press", button="stop")  # overlaps: the button stays down
    emulator.do("press", button="start", for_us=10_000)
    emulator.pass_time(150_000)
    assert emulator.core.pressed == [(0, 64, True), (100_000, 64, True), (100_000, 32, True), (110_000, 32, False)]
    emulator.pass_time(100_000)
    assert emulator.core.pressed[-1] == (300_000, 64, False)
    emulator.do("jumper", on=True)
    assert emulator.core.pressed[-1] == (350_000, 16, True)


def test_power():
    emulator = Emulator()
    assert emulator.do("status")["powered"]
    assert not emulator.do("power", action="off")["was_already"]
    assert not emulator.do("status")["powered"]
    assert emulator.do("power", action="off")["was_already"]
    emulator.core.power_calls.pop()
    emulator.do("power", action="on")
    emulator.do("power", action="cycle", for_us=30_000)
    emulator.pass_time(100_000)
    assert emulator.core.power_calls == [(0, False), (0, True), (0, False), (30_000, True)]


def test_the_end_of_a_fault_that_is_over_at_once_names_what_was_asked():
    emulator = Emulator()
    assert emulator.do("fault", fault="hang task=inputs")["fault"] == "hang task=inputs"
    assert emulator.do("fault", fault="hang task=inputs", end=True)["fault"] == "hang task=inputs"
    assert emulator.do("fault", fault="hang", end=True)["fault"] == "hang", "no task that nobody named"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"command": "explode"}, "no command 'explode'; there are: status"),
        ({"command": 5}, "no command 5"),
        ({}, "no command None"),
        ({"command": "leak"}, "leak needs resistance_pa_s_per_nl"),
        ({"command": "leak", "resistance_pa_s_per_nl": -1}, "above 0"),
        ({"command": "leak", "resistance_pa_s_per_nl": "5"}, "can't be the resistance"),
        ({"command": "warm", "to_c": float("nan"), "over_s": 1}, "finite"),
        ({"command": "warm", "to_c": 9999, "over_s": 1}, "60"),
        ({"command": "height", "cm": True, "over_s": 1}, "can't be the cm"),
        ({"command": "refill", "volume_nl": 10**12}, "can't hold"),
        ({"command": "pause", "now": 1}, "no argument 'now'"),
        ({"command": "speed", "speed": 0}, "a speed is"),
        ({"command": "speed", "speed": "fast"}, "a speed is"),
        ({"command": "run_until", "t_us": -1}, "over"),
        ({"command": "press", "button": "panic"}, "start, stop and silence"),
        ({"command": "press", "button": "stop", "for_us": 0}, "more than nothing"),
        ({"command": "power", "action": "surge"}, "on, off and cycle"),
        ({"command": "power", "action": "cycle", "for_us": 0}, "more than nothing"),
        ({"command": "sensor", "sensor": "nose", "fault": "off"}, "unknown sensor"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(request_, says):
    emulator = Emulator()
    before = emulator.do("status"), emulator.do("truth")
    with pytest.raises(ControlError) as error:
        emulator.controls.handle(request_)
    assert says in str(error.value)
    assert (emulator.do("status"), emulator.do("truth")) == before
    assert emulator.core.pressed == emulator.core.power_calls == []


def test_time_that_stands_still_is_said():
    emulator = Emulator()
    assert not emulator.do("speed", speed=2)["paused"]
    assert [emulator.do("pause")["was_already"] for _ in range(2)] == [False, True]
    assert emulator.do("speed", speed=2)["paused"]
    assert [emulator.do("continue")["was_already"] for _ in range(2)] == [False, True]


def test_a_halted_cpu_is_said_and_let_go_by_the_debugger_alone():
    emulator = Emulator()
    assert not emulator.do("status")["halted"]
    emulator.core.halted = True
    assert emulator.do("status")["halted"] and emulator.do("speed", speed=2)["halted"]
    for command in ({"command": "continue"}, {"command": "run_until", "t_us": 1_000_000}):
        with pytest.raises(ControlError, match="a debugger has halted the chip"):
            emulator.controls.handle(command)


def test_lamps_and_sound():
    emulator = Emulator()
    assert emulator.do("status")["panel"] == "all lamps dark, silent"
    for listener in emulator.core.listeners:
        listener.on_event(0, "tone", {"frequency_hz": 784})
    assert emulator.do("status")["panel"] == "all lamps dark, high-priority alarm sounds"


def test_quit():
    emulator = Emulator()
    emulator.do("quit")
    assert emulator.loop.stopping


# --- the socket and its file ---


def test_found_called_and_gone():
    with Emulator() as emulator:
        record = control.find()
        assert record == control.find("pump") == emulator.server.record
        assert control.call(record, "status")["name"] == "pump"
        with pytest.raises(ControlError, match="needs resistance"):
            control.call(record, "leak")
    assert list(state_dir().iterdir()) == []
    with pytest.raises(ControlError, match="no emulator is running; start one with: haipump-emu run"):
        control.find()
    with pytest.raises(ControlError, match="does not answer"):
        control.call(record, "status")


def test_several_must_be_chosen_from():
    with Emulator("left"), Emulator("right"):
        with pytest.raises(ControlError, match="left, right; choose one with --name"):
            control.find()
        assert control.find("right").name == "right"
        with pytest.raises(ControlError, match="no emulator named 'middle' is running; running: left, right"):
            control.find("middle")


def test_a_name_is_taken_while_its_emulator_runs():
    with Emulator() as first:
        second = Emulator()
        with pytest.raises(ControlError, match="choose another --name"):
            ControlServer(second.controls, "memory")
        assert control.find() == first.server.record


@pytest.mark.parametrize("content", ["dead", "garbage", "{}"])
def test_the_file_of_a_dead_emulator_is_replaced(content):
    if content == "dead":
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        Record("pump", 1, "memory", port, "0").write()
    else:
        (state_dir() / "pump.json").write_text(content)
    with Emulator():
        assert control.find().pid == os.getpid()


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_only_the_user_can_read_the_token():
    with Emulator() as emulator:
        assert stat.S_IMODE(emulator.server.record.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(state_dir().stat().st_mode) == 0o700
    state_dir().chmod(0o755)
    with pytest.raises(StateDirError, match="open to other users"):
        state_dir()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with pytest.raises(StateDirError, match="set XDG_RUNTIME_DIR"):
        state_dir()


def test_the_host_finds_the_port_in_the_file():
    with Emulator() as emulator:
        facts = json.loads(emulator.server.record.path.read_text())
        assert (facts["port"], facts["pid"]) == ("memory", os.getpid())


def raw(record, data):
    with socket.create_connection(("127.0.0.1", record.control), 5) as conn:
        conn.sendall(data)
        conn.shutdown(socket.SHUT_WR)
        got = b""
        while more := conn.recv(65536):
            got += more
        return got


@pytest.mark.parametrize(
    "line",
    [b"{}", b"[]", b"nonsense", b"\xff\x00", b"[" * 4000, b'{"token": "guess", "command": "quit"}', b'{"token": 5}'],
)
def test_without_the_token_nothing_happens(line):
    with Emulator() as emulator:
        assert json.loads(raw(emulator.server.record, line + b"\n"))["ok"] is False
        assert not emulator.loop.stopping


def test_an_endless_line_and_idle_connections_do_no_harm():
    with Emulator() as emulator:
        record = emulator.server.record
        idle = [socket.create_connection(("127.0.0.1", record.control), 5) for _ in range(2 * control.CONNECTIONS_MAX)]
        assert control.call(record, "status")["name"] == "pump"
        assert len(emulator.server._connections) <= control.CONNECTIONS_MAX
        for conn in idle:
            conn.close()
        with socket.create_connection(("127.0.0.1", record.control), 5) as conn:
            conn.sendall(b"x" * (control.LINE_MAX + 1))
            with contextlib.suppress(ConnectionResetError):
                assert conn.recv(10) == b""
        assert control.call(record, "status")["name"] == "pump"


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "x" * 33, "a b"])
def test_names_are_file_names(name):
    with pytest.raises(ControlError, match="no name for an emulator"):
        control.check_name(name)


def test_importing_the_command_line_opens_nothing():
    code = "import haipump_emulator.control, sys; sys.exit('pty' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
