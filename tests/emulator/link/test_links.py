"""The contract of a link on all three, then what only one of them can do."""

import os
import select
import socket
import sys

import pytest

from haipump_emulator.link.base import LinkError
from haipump_emulator.link.memory import MemoryLink
from haipump_emulator.link.tcp import TcpLink
from haipump_emulator.statedir import state_dir
from tests.emulator.link.contract import LinkContract

if sys.platform != "win32":
    import fcntl
    import termios

    from haipump_emulator.link.pty import PtyLink


class MemoryAdapter:
    def __init__(self, link):
        try:
            self._client = link.connect()
        except ConnectionRefusedError as error:
            self._client, self._line = None, f"# {error}\n".encode()

    def send(self, data):
        return self._client.send(data) if self._client else 0

    def recv(self):
        if self._client is None:
            line, self._line = self._line, b""
            return line
        data = bytes(self._client.received)
        self._client.received.clear()
        return data

    def close(self):
        if self._client:
            self._client.close()


class TestMemory(LinkContract):
    def make_link(self):
        return MemoryLink()

    def connect(self):
        return MemoryAdapter(self.link)

    def test_a_client_that_was_sent_away_notices(self):
        client = self.link.connect()
        self.link.close()
        with pytest.raises(BrokenPipeError):
            client.send(b"x")


class TcpAdapter:
    def __init__(self, port):
        # Small buffers on this side, or the kernel takes megabytes of a flood, and of what is never read.
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.ended = False

    def send(self, data):
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0

    def recv(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return b""
        self.ended = not data
        return data

    def close(self):
        self.socket.close()


class TestTcp(LinkContract):
    def make_link(self):
        return TcpLink(0)

    def connect(self):
        return TcpAdapter(self.link.port)

    def test_the_address_is_what_pyserial_wants(self):
        assert self.link.address == f"socket://127.0.0.1:{self.link.port}"

    def test_a_refused_client_sees_the_name_and_the_end(self):
        first = self.client()
        first.send(b"one\n")
        self.hear(first, b"echo one\n")
        second = self.client()
        second.send(b"already talking\n")
        host, port = first.socket.getsockname()
        assert self.hear(second, b"\n") == f"# refused: in use by {host}:{port}\n".encode()
        self.turns(lambda: second.recv() == b"" and second.ended)

    def test_refused_clients_that_stay_do_not_pile_up(self):
        self.client().send(b"one\n")
        self.turns(lambda: self.bridge.received)
        for _ in range(20):
            self.client()
            self.loop.turn()
        assert self.link.refused == 20
        assert len(self.link._refused) <= 8

    def test_a_client_that_only_closed_its_sending_side_gets_its_answer(self):
        client = self.client()
        client.send(b"status\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert self.hear(client, b"echo status\n")
        self.turns(lambda: not self.link.client_is_there)
        self.turns(lambda: client.recv() == b"" and client.ended)

    def test_a_half_closed_client_makes_way(self):
        client = self.client()
        client.send(b"a\n")
        client.socket.shutdown(socket.SHUT_WR)
        self.turns(lambda: self.link.leaving)
        other = self.client()
        other.send(b"b\n")
        assert b"echo b\n" in self.hear(other, b"echo b\n")
        assert self.link.refused == 0

    def test_a_reset_connection_does_no_harm(self):
        client = self.client()
        client.send(b"a\n")
        self.hear(client, b"echo a\n")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.close()
        self.turns(lambda: not self.link.client_is_there)

    def test_a_flood_does_not_hide_in_the_kernel(self):
        self.core.hungry = False
        client = self.client()
        sent = 0
        for _ in range(3_000):
            sent += client.send(b"x" * 1_000)
            select.select([], [client.socket], [], 0.0001)  # the kernel moves it by itself
            self.loop.turn()
        assert sent < 50_000

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells that the other end has gone")
    def test_a_flood_of_a_client_that_has_gone_is_not_in_the_way(self):
        self.core.hungry = False
        flooder = socket.create_connection(("127.0.0.1", self.link.port))  # with the kernel's own, big buffers
        flooder.setblocking(False)
        flooder.send(b"1 status\n" * 200_000)
        self.turns(lambda: self.link.client_is_there)
        self.turns(lambda: not self.bridge._room())
        early = self.client()
        self.turns(lambda: self.link.refused == 1)  # while the flooder is there, it is the client
        early.close()
        flooder.close()
        self.core.hungry = True
        stops = self.client()
        stops.send(b"\nstop\n")  # as hosts do: the last line of the other one may be cut
        assert b"echo stop\n" in self.hear(stops, b"echo stop\n")
        assert self.bridge.received < 10_000, "what the flooder left was dropped"

    def test_a_taken_port_is_one_clear_line(self):
        with pytest.raises(LinkError, match="taken by another program; .*any free port"):
            TcpLink(self.link.port)
        with pytest.raises(LinkError):
            TcpLink(70_000)

    def test_only_the_loopback_interface_listens(self):
        assert self.link._server.getsockname()[0] == "127.0.0.1"


class PtyAdapter:
    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def send(self, data):
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0

    def recv(self):
        try:
            return os.read(self.fd, 65536)
        except BlockingIOError:
            return b""

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no ptys; users get TCP")
class TestPty(LinkContract):
    def make_link(self):
        self.path = str(self.tmp_path / "pump")
        return PtyLink(self.path)

    def connect(self):
        return PtyAdapter(self.path)

    def test_the_name_is_a_link_to_a_pty(self):
        assert os.path.islink(self.path)
        assert os.readlink(self.path).startswith("/dev/")

    def test_it_is_raw_for_every_client(self):
        for _ in range(2):
            client = self.client()
            attributes = termios.tcgetattr(client.fd)
            assert not attributes[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
            assert not attributes[1] & termios.OPOST
            attributes[3] |= termios.ECHO | termios.ICANON  # what a careless client leaves behind
            termios.tcsetattr(client.fd, termios.TCSANOW, attributes)
            self.turns(lambda: self.link.client_is_there)
            client.close()
            self.turns(lambda: not self.link.client_is_there)

    def test_a_client_that_came_and_went_between_two_looks_is_heard(self):
        client = self.client()
        client.send(b"!\n")
        client.close()
        self.turns(lambda: self.bridge.received == 2)

    def test_the_refused_one_is_hung_up_on(self):
        first = self.client()
        first.send(b"one\n")
        self.hear(first, b"echo one\n")
        second = self.client()
        assert self.hear(second, b"\n").startswith(b"# refused: in use by ")

        def hung_up():
            try:
                return os.read(second.fd, 10) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True

        self.turns(hung_up)

    def test_refused_ones_that_never_read_do_not_pile_up(self):
        first = self.client()
        first.send(b"one\n")
        self.hear(first, b"echo one\n")
        for _ in range(10):
            self.client()
            self.loop.turn()
            self.loop.turn()
        assert self.link.refused == 10
        assert len(self.link._refused) <= 4

    def test_a_client_is_marked_exclusive(self):
        client = self.client()
        client.send(b"one\n")
        self.hear(client, b"echo one\n")
        assert fcntl.ioctl(client.fd, 0x80045440, bytes(4)) != bytes(4)  # TIOCGEXCL

    def test_closing_removes_the_link_and_the_lock(self):
        self.link.close()
        assert not os.path.lexists(self.path)
        assert os.listdir(state_dir()) == []

    def test_a_link_that_was_replaced_by_somebody_else_is_left_alone(self):
        os.unlink(self.path)
        os.symlink("/dev/null", self.path)
        self.link.close()
        assert os.path.lexists(self.path)

    def test_a_name_that_is_in_use_is_refused(self):
        with pytest.raises(LinkError, match=f"another emulator .pid {os.getpid()}."):
            PtyLink(self.path)
        assert os.path.islink(self.path)

    def test_a_stale_link_is_replaced(self):
        other = str(self.tmp_path / "stale")
        os.symlink("/dev/pts/999999", other)
        link = PtyLink(other)
        assert os.path.exists(other)
        link.close()
        assert not os.path.lexists(other)

    @pytest.mark.parametrize("what", ["file", "folder", "link"])
    def test_what_is_no_pump_link_is_left_alone(self, what):
        other = self.tmp_path / "precious"
        if what == "file":
            other.write_text("data")
        elif what == "folder":
            other.mkdir()
        else:
            other.symlink_to("/etc/hostname")
        with pytest.raises(LinkError, match="no pump's link"):
            PtyLink(str(other))
        assert os.path.lexists(other)

    def test_a_folder_that_is_not_there_is_one_clear_line(self):
        with pytest.raises(LinkError, match="can't make the link .*No such file"):
            PtyLink(str(self.tmp_path / "nowhere" / "pump"))
        assert len(os.listdir(state_dir())) == 1  # the lock of the link that is there
