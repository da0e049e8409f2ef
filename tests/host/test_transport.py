"""Ports: real ptys and sockets, what is in the way of opening them, and what discovery finds."""

from __future__ import annotations

import errno
import json
import os
import pty
import socket
from types import SimpleNamespace

import pytest
import serial

from haipump.client import the_only_port
from haipump.errors import NoPumpFound, PortBusy, PortError, PortForbidden, PortMissing, SeveralPumps
from haipump.transport import (
    Disconnected,
    SerialTransport,
    TcpTransport,
    discovery,
    emulator_folder,
    find_ports,
    obstacles,
    transport_for,
)

SHORT_S, LONG_S = 0.01, 5.0  # a wait that must find nothing; one that ends as soon as there is something


@pytest.fixture
def pair():
    """(our end, the name of the other end) of a pty."""
    ours, theirs = pty.openpty()
    yield ours, os.ttyname(theirs)
    for end in (ours, theirs):
        try:
            os.close(end)
        except OSError:
            continue


def test_a_pty_carries_bytes_both_ways(pair) -> None:
    ours, name = pair
    port = transport_for(name)
    assert isinstance(port, SerialTransport)
    port.open()
    assert port.read(0) == b"" == port.read(SHORT_S)
    port.write(b"@1 status\n")
    assert os.read(ours, 100) == b"@1 status\n"
    os.write(ours, b"@1 ok\n\x00\xff")
    got = b""
    while len(got) < 8:
        got += port.read(LONG_S)
    assert got == b"@1 ok\n\x00\xff"
    port.close()
    port.close()
    with pytest.raises(Disconnected):
        port.read(0)
    with pytest.raises(Disconnected):
        port.write(b"x")


def test_a_port_is_opened_by_one_only_and_the_other_is_told_who(pair, tmp_path) -> None:
    _, name = pair
    link = tmp_path / "pump"
    link.symlink_to(name)
    first, second = SerialTransport(name), SerialTransport(str(link))
    first.open()
    with pytest.raises(PortBusy) as caught:
        second.open()
    assert f"(pid {os.getpid()})" in caught.value.what
    first.close()
    second.open()
    second.close()


def test_a_pty_whose_other_end_went_is_disconnected(pair) -> None:
    ours, name = pair
    port = SerialTransport(name)
    port.open()
    os.close(ours)
    with pytest.raises(Disconnected):
        port.read(LONG_S)
    port.close()


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening, f"socket://127.0.0.1:{listening.getsockname()[1]}"


def test_a_socket_carries_bytes_both_ways_and_notices_the_end(server) -> None:
    listening, name = server
    port = transport_for(name)
    assert isinstance(port, TcpTransport)
    port.open()
    other, _ = listening.accept()
    with other:
        assert port.read(SHORT_S) == b""
        port.write(b"hello\n")
        assert other.recv(100) == b"hello\n"
        other.sendall(b"ok\n")
        assert port.read(LONG_S) == b"ok\n"
    with pytest.raises(Disconnected):
        port.read(LONG_S)
    port.close()
    with pytest.raises(Disconnected):
        port.write(b"x")


@pytest.mark.parametrize("name", ["socket://", "socket://host", "socket://host:many", "socket://:7000"])
def test_a_malformed_address(name: str) -> None:
    with pytest.raises(PortMissing, match="address"):
        transport_for(name)


def test_nobody_listens(server) -> None:
    listening, name = server
    listening.close()
    with pytest.raises(PortMissing) as caught:
        TcpTransport(name).open()
    assert "haipump-emu" in caught.value.next_step


# --- what is in the way


def test_a_missing_port_says_to_look() -> None:
    with pytest.raises(PortMissing) as caught:
        SerialTransport("/dev/haipump-not-there").open()
    assert "haipump ports" in caught.value.next_step


@pytest.mark.parametrize(
    ("failure", "kind", "advice"),
    [
        (serial.SerialException(errno.EACCES, "Permission denied"), PortForbidden, "usermod -aG"),
        (serial.SerialException(errno.EBUSY, "busy"), PortBusy, "only one at a time"),
        (serial.SerialException("Could not exclusively lock port x"), PortBusy, "only one at a time"),
        (serial.SerialException(errno.ENOENT, "no such file"), PortMissing, "cable"),
        (serial.SerialException(errno.EIO, "input/output"), PortMissing, "haipump ports"),
    ],
)
def test_every_obstacle_is_explained(failure, kind: type[PortError], advice: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(obstacles, "modem_manager_runs", lambda: False)
    port = tmp_path / "port"
    port.touch()
    error = obstacles.explain_open_failure(str(port), failure)
    assert type(error) is kind
    assert advice in error.next_step


def test_modem_manager_is_suspected_and_the_rule_offered(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(obstacles, "modem_manager_runs", lambda: True)
    error = obstacles.explain_open_failure(str(tmp_path), serial.SerialException(errno.EBUSY, "busy"))
    assert "ModemManager" in error.next_step and "ports --udev" in error.next_step


def test_the_rule_names_the_board_and_keeps_modem_manager_away() -> None:
    rules = [line for line in obstacles.UDEV_RULE.splitlines() if not line.startswith("#")]
    assert len(rules) == 2
    assert all('=="2e8a"' in rule for rule in rules)
    assert 'ENV{ID_MM_DEVICE_IGNORE}="1"' in rules[0] and 'ENV{ID_MM_PORT_IGNORE}="1"' in rules[1]
    assert all("\\" not in rule for rule in rules)


# --- discovery


@pytest.fixture
def world():
    """No boards, no emulators (conftest sees to that); returns a function that adds an emulator's file."""
    folder = emulator_folder()
    folder.mkdir(parents=True)

    def add(name: str, **facts) -> None:
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "pid": os.getpid()} | facts))

    return add


def board(device: str, vid: int | None = 0x2E8A) -> SimpleNamespace:
    return SimpleNamespace(device=device, vid=vid, product="Board in FS mode", serial_number="e660", description="n/a")


def test_nothing_is_connected(world) -> None:
    assert find_ports() == []
    with pytest.raises(NoPumpFound) as caught:
        the_only_port()
    assert "haipump-emu run" in caught.value.next_step


def test_boards_come_first_then_emulators_then_on_request_the_rest(world, monkeypatch) -> None:
    world("a", port="socket://127.0.0.1:7000")
    ports = [board("/dev/ttyS0", None), board("/dev/ttyACM1"), board("/dev/ttyACM0")]
    monkeypatch.setattr(discovery.list_ports, "comports", lambda: ports)
    assert [(info.port, info.kind) for info in find_ports()] == [
        ("/dev/ttyACM0", "board"),
        ("/dev/ttyACM1", "board"),
        ("socket://127.0.0.1:7000", "emulator"),
    ]
    assert find_ports(every=True)[-1].kind == "serial"
    with pytest.raises(SeveralPumps) as caught:
        the_only_port()
    assert "/dev/ttyACM1" in caught.value.next_step
    assert len(caught.value.ports) == 3


def test_an_emulator_that_is_gone_is_not_listed(world, tmp_path) -> None:
    world("dead", port="socket://127.0.0.1:7000", pid=2**22 + 12345)  # above the highest pid of Linux
    world("unlinked", port=str(tmp_path / "no-such-pty"))
    (emulator_folder() / "half.json").write_text('{"port": ')
    (emulator_folder() / "list.json").write_text("[]")
    (emulator_folder() / "odd.json").write_text('{"port": 7}')
    assert find_ports() == []
    world("alive", port="socket://127.0.0.1:7001")
    assert the_only_port() == "socket://127.0.0.1:7001"


def test_the_folder_is_where_the_emulator_puts_its_files(monkeypatch, tmp_path) -> None:
    from haipump_emulator.statedir import state_dir  # the tests may know both; the tools do not

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert emulator_folder() == state_dir()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert emulator_folder() == state_dir()
