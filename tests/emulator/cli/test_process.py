"""`haipump-emu run` as a process: signals, what it leaves behind, clients over real links."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from haipump_emulator import control

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="signals and ptys of POSIX; links and control are tested there"),
]


def ask(fd, question, expected, seconds=10.0):
    """Send a line, return what came until `expected` was in it."""
    os.write(fd, question)
    got = b""
    deadline = time.monotonic() + seconds
    while expected not in got:
        assert select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0], f"only {got!r}"
        got += os.read(fd, 4096)
    return got


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(start, tmp_path, state_folder, number):
    emulator = start("--pty", "pump", "--record", "run.trace")
    assert (tmp_path / "pump").is_symlink()
    assert emulator.end(number) == 0
    assert not os.path.lexists(tmp_path / "pump")
    assert list(state_folder.iterdir()) == []
    assert "ended after" in emulator.output
    assert "Traceback" not in emulator.output
    assert (tmp_path / "run.trace").stat().st_size > 0


def test_the_banner_says_where_and_how(start, tmp_path):
    emulator = start("--pty", str(tmp_path / "pump"), "--speed", "60", "--seed", "7")
    emulator.end()
    for words in (f"serial line  {tmp_path}/pump", "60x, seed 7", "haipump --port", "haipump-emu ctl", "Ctrl-C"):
        assert words in emulator.output


def test_a_link_left_by_a_killed_emulator_is_replaced(start, tmp_path):
    first = start("--pty", "pump")
    first.end(signal.SIGKILL)
    assert (tmp_path / "pump").is_symlink()
    second = start("--pty", "pump")
    fd = os.open(tmp_path / "pump", os.O_RDWR | os.O_NOCTTY)
    try:
        assert ask(fd, b"hello\n", b"\n") == b"echo hello\n"
    finally:
        os.close(fd)
    assert second.end() == 0
    assert not os.path.lexists(tmp_path / "pump")


def test_a_link_in_use_is_refused(start, tmp_path):
    first = start("--pty", "pump")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    call = [sys.executable, "-m", "tests.emulator.cli.echo_emu", "run", "--pty", "pump"]
    second = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"in use by another emulator (pid {first.process.pid})" in second.stderr
    assert first.end() == 0
    assert not os.path.lexists(tmp_path / "pump")


def test_without_options_there_is_a_line_that_the_host_finds(start, state_folder):
    emulator = start()
    assert emulator.record.port == str(state_folder / "pump.pty")
    assert Path(emulator.record.port).exists()
    other = start()
    assert other.record.name == "pump-2"
    emulator.end()
    other.end()
    assert list(state_folder.iterdir()) == []


def test_round_trips_over_the_pty_at_1x(start, tmp_path):
    emulator = start("--pty", "pump")
    fd = os.open(tmp_path / "pump", os.O_RDWR | os.O_NOCTTY)
    try:
        took = []
        for number in range(100):
            begin = time.monotonic()
            ask(fd, b"%d\n" % number, b"\n")
            took.append(time.monotonic() - begin)
    finally:
        os.close(fd)
    emulator.end()
    # The echo takes a simulated millisecond; the rest is pacing and the pty. A busy machine gets some room.
    assert sorted(took)[50] < 0.005


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="the processor time of another process is read from /proc")
def test_idle_costs_little(start):
    emulator = start("--tcp", "0")
    ticks = os.sysconf("SC_CLK_TCK")

    def cpu_s():
        fields = Path(f"/proc/{emulator.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    before, begin = cpu_s(), time.monotonic()
    control.call(emulator.record, "run_until", t_us=control.call(emulator.record, "status")["sim_us"] + 1_500_000)
    while not control.call(emulator.record, "status")["paused"]:
        time.sleep(0.3)
    share = (cpu_s() - before) / (time.monotonic() - begin)
    emulator.end()
    assert share < 0.15


def test_a_flooding_tcp_client_does_no_harm(start):
    emulator = start("--tcp", "0")
    port = int(emulator.record.port.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as flood:
        flood.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        flood.setblocking(False)
        for _ in range(2_000):
            try:
                flood.send(b"x" * 1_000)
            except BlockingIOError:
                time.sleep(0.0005)
        assert control.call(emulator.record, "status")["client"]
        control.call(emulator.record, "occlude")
    assert emulator.end() == 0


def test_the_flash_is_kept_between_runs(start, tmp_path):
    start("--tcp", "0", "--flash", "flash.bin").end()
    content = bytearray((tmp_path / "flash.bin").read_bytes())
    assert len(content) == 0x40000
    content[:4] = b"kept"
    (tmp_path / "flash.bin").write_bytes(content)
    start("--tcp", "0", "--flash", "flash.bin").end()
    assert (tmp_path / "flash.bin").read_bytes() == content


def test_ctl_from_another_process(start, tmp_path):
    emulator = start("--tcp", "0", "--speed", "max")
    control.call(emulator.record, "pause")
    now_us = control.call(emulator.record, "status")["sim_us"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    call = [sys.executable, "-m", "tests.emulator.cli.echo_emu", "ctl", "run-until", "+2h"]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert control.call(emulator.record, "status")["sim_us"] == now_us + 7_200_000_000
    control.call(emulator.record, "quit")
    emulator.process.wait(timeout=30)
    assert emulator.end() == 0


def test_the_real_pump(start, tmp_path):
    emulator = start("--pty", "pump", script=["-c", "from haipump_emulator.cli import main; main()"])
    fd = os.open(tmp_path / "pump", os.O_RDWR | os.O_NOCTTY)
    try:
        assert b"protocol=" in ask(fd, b"\nhello\n", b"next_id=")
        assert b"state=stopped" in ask(fd, b"status\n", b"reservoir_nl=")
        assert b"ok state=stopped" in ask(fd, b"\n!\n", b"left_nl=")
        control.call(emulator.record, "press", button="stop")
        assert b"button" in ask(fd, b"\n", b"button=stop")
    finally:
        os.close(fd)
    assert control.call(emulator.record, "truth")["commanded_steps"] == 0
    assert emulator.end() == 0
