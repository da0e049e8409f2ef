"""The links with the pump's own firmware behind them: conversations, listeners, floods, and what `max` does."""

import re
import select
import zlib

import pytest

from haipump_emulator.direct import DirectCore
from haipump_emulator.link.bridge import OUTBOX_MAX, Bridge
from haipump_emulator.link.loop import Loop
from haipump_emulator.pacing import FREE, Pacer
from haipump_emulator.plant import Plant
from tests.emulator.link import test_links
from tests.emulator.link.fake import FakeWall

TURNS_MAX = 5_000
LINKS = ["Memory", "Tcp", "Pty"]
CARRIED_S = 10.0


class TimedCore(DirectCore):
    """Computing takes wall time: here 1 us a simulated ms, so that `max` is a thousand times real time."""

    wall = None

    def run_until(self, t_us):
        before = self.now_us
        super().run_until(t_us)
        if self.wall is not None:
            self.wall.now_us += (self.now_us - before) // 1_000


def frame(number, text):
    body = f"@{number} {text}".encode()
    return body + b" *%08x\n" % zlib.crc32(body)


def carried(files):
    """Wait until the kernel has brought what was written: when it is busy it takes its time, and the false wall clock,
    which goes on in every turn, would count that."""
    assert not files or select.select(files, [], [], CARRIED_S)[0], "the kernel keeps the bytes"


class Rig:
    def __init__(self, kind, speed, tmp_path):
        adapter = getattr(test_links, f"Test{kind}")()
        adapter.tmp_path = tmp_path
        adapter.link = self.link = adapter.make_link()
        self.connect = adapter.connect
        self.wall = FakeWall()
        self.core = TimedCore(Plant())
        self.core.wall = self.wall
        self.bridge = Bridge(self.core, self.link, wall_us=self.wall)
        self.pacer = Pacer(self.core, speed, wall_us=self.wall)
        self.loop = Loop(self.pacer, self.bridge, wait=self.wall.wait)
        self.client = self.connect()
        self.turns(lambda: self.link.client_is_there and self.core.now_us > 500_000)

    def turns(self, until):
        for _ in range(TURNS_MAX):
            if until():
                return
            self.loop.turn()
        raise AssertionError("it did not happen")

    def ask(self, line, pattern=rb"^(@\d+ )?(ok|err) .*\n"):
        self.client.recv()
        assert self.client.send(line) == len(line)
        carried(self.link.wait_on(True, False)[0])
        return self.hear(pattern)

    def hear(self, pattern):
        got = bytearray()
        before = self.bridge.delivered

        def heard():
            got.extend(self.client.recv())
            while self.bridge.delivered - before > len(got):
                carried([file for name in ("fd", "socket") if (file := getattr(self.client, name, None)) is not None])
                got.extend(self.client.recv())
            return re.search(pattern, got, re.MULTILINE)

        self.turns(heard)
        return bytes(got)

    def wall_for(self, us):
        end = self.wall.now_us + us
        while self.wall.now_us < end:
            self.loop.turn()
            self.wall.now_us += 1
            self.client.recv()

    def close(self):
        self.client.close()
        self.bridge.close()


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    made = []

    def make_(kind="Memory", speed=1.0):
        rig = Rig(kind, speed, tmp_path)
        made.append(rig)
        return rig

    yield make_
    for rig in made:
        rig.close()


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("speed", [1, 60, FREE])
def test_a_script_is_answered_promptly(make, kind, speed):
    rig = make(kind, speed)
    took = []
    for _ in range(20):
        before = rig.wall.now_us
        assert b"state=stopped" in rig.ask(b"status\n")
        took.append(rig.wall.now_us - before)
        rig.wall.now_us += 20_000
    assert sorted(took)[10] < 5_000


@pytest.mark.parametrize("kind", LINKS)
def test_a_stop_behind_a_flood_is_heard(make, kind):
    rig = make(kind)
    for _ in range(100):
        rig.client.send(b"garbage" * 100)
        rig.loop.turn()
    rig.turns(lambda: rig.client.send(b"\n!\n") == 3)
    rig.hear(rb"^ok state=\w+ ")


@pytest.mark.parametrize("kind", LINKS)
def test_a_client_that_never_reads_then_reads_again(make, kind):
    rig = make(kind, FREE)
    rig.ask(b"telemetry period_ms=1000\n")
    read, rig.client.recv = rig.client.recv, lambda: b""
    rig.wall_for(1_500_000)
    assert not rig.core.host_reads
    assert len(rig.bridge._outbox) <= OUTBOX_MAX
    assert len(rig.core.output) <= OUTBOX_MAX
    assert rig.core.now_us > 1_000_000_000
    rig.client.recv = read
    rig.wall_for(100_000)
    assert b"ok " in rig.ask(b"hello\n")


def test_a_token_can_be_committed_in_a_persons_time_at_any_speed(make):
    for speed in (1, 60, FREE):
        rig = make("Memory", speed)
        number = int(re.search(rb"next_id=(\d+)", rig.ask(b"hello\n"))[1])
        answer = rig.ask(frame(number, "prepare_syringe reservoir_nl=30000000 step_fl=231144000 bore_um=21700"))
        token = re.search(rb"token=(\w+)", answer)[1].decode()
        before = rig.core.now_us
        rig.wall_for(20_000_000)  # a person reads what was answered, and thinks
        assert rig.core.now_us - before < 21_000_000
        assert b" ok " in rig.ask(frame(number + 1, f"commit token={token}"))


def test_a_listener_does_not_slow_max_down(make):
    rig = make("Memory", FREE)
    rig.ask(b"telemetry period_ms=1000\n")
    rig.wall_for(1_000_000)
    before = rig.core.now_us
    rig.wall_for(1_000_000)
    assert rig.core.now_us - before > 500_000_000


def test_power_cut_in_the_middle_of_a_line(make):
    rig = make()
    rig.client.send(b"stat")
    rig.turns(lambda: rig.bridge.received >= 4)
    rig.core.power(False)
    rig.client.send(b"us\nstatus\n")
    rig.wall_for(500_000)
    rig.core.power(True)
    rig.wall_for(500_000)
    assert b"state=" in rig.ask(b"\nstatus\n", rb"state=\w+")
