"""A link on a TCP port of the loopback interface: for `socket://127.0.0.1:PORT`, and for machines without ptys.

Owns: one listening socket and at most one client. Must not: listen anywhere but on 127.0.0.1 (there is no password).

A client that floods leaves megabytes in its own kernel buffer, and its end comes behind them, a minute or two later at
the pump's pace. Linux lists both ends of a loopback connection, and so tells that the other one has hung up: what it
left is dropped for the next client. Elsewhere the next one is refused until the pump has worked it off.
"""

import contextlib
import errno
import select
import socket
import struct
from pathlib import Path
from typing import Any

from haipump_emulator.link.base import Link, LinkError

# The kernel's buffer on our side: a flooding client must feel early that the pump does not keep up, or a stop that it
# sends afterwards would queue behind seconds of its own noise. Linux doubles the figure.
RECEIVE_BUFFER = 4096
# The other way: a client that never reads has to become the pump's full output buffer soon, not after megabytes.
SEND_BUFFER = 16_384
CONNECTIONS = Path("/proc/net/tcp")
ESTABLISHED = "01"  # a state in that list
ACCEPTS_MAX = 8  # new connections looked at in one poll
REFUSED_MAX = 8  # refused clients that may still be reading why


class TcpLink(Link):
    """See `Link`. Port 0 takes any free one; `address` then says which."""

    def __init__(self, port: int) -> None:
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # On Windows SO_REUSEADDR would let another program share the port.
            exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
            self._server.setsockopt(socket.SOL_SOCKET, exclusive or socket.SO_REUSEADDR, 1)
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self._server.bind(("127.0.0.1", port))
            self._server.listen(ACCEPTS_MAX)
        except (OSError, OverflowError) as error:
            self._server.close()
            taken = getattr(error, "errno", None) == errno.EADDRINUSE
            why = "it is taken by another program" if taken else str(error)
            raise LinkError(f"can't listen on port {port} of 127.0.0.1: {why}; --tcp 0 takes any free port") from None
        self._server.setblocking(False)
        self.port: int = self._server.getsockname()[1]
        self.address = f"socket://127.0.0.1:{self.port}"
        self._conn: socket.socket | None = None
        self._name = ""
        self._eof = False
        self._refused: list[socket.socket] = []

    @property
    def client_is_there(self) -> bool:
        return self._conn is not None

    @property
    def client(self) -> str | None:
        return self._name if self._conn else None

    @property
    def leaving(self) -> bool:
        return self._conn is not None and self._eof

    def wait_on(self, reading: bool, writing: bool) -> tuple[list[Any], list[Any]]:
        readers: list[Any] = [self._server, *self._refused]
        if self._conn and reading and not self._eof:
            readers.append(self._conn)
        return readers, [self._conn] if self._conn and writing else []

    def poll(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                conn, (host, port) = self._server.accept()
            except OSError:  # nobody waits, or the one who did has gone
                break
            conn.setblocking(False)
            if self._conn and (self._eof or self._peer_has_closed()):
                self.drop()
            if self._conn:
                self._refuse(conn)
            else:
                with contextlib.suppress(OSError):
                    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._conn, self._name, self._eof = conn, f"{host}:{port}", False
                self.accepted += 1
        for conn in list(self._refused):
            if not self._still_there(conn):
                conn.close()
                self._refused.remove(conn)

    def _peer_has_closed(self) -> bool:
        """The client hung up though bytes of it are still to be read: then the next client need not wait for these."""
        assert self._conn is not None
        if hasattr(select, "POLLRDHUP"):
            poll = select.poll()
            poll.register(self._conn, select.POLLRDHUP)
            if poll.poll(0):
                return True
        with contextlib.suppress(OSError):
            return _other_end_hung_up(self._conn)
        return False

    def _refuse(self, conn: socket.socket) -> None:
        # Closing a socket with unread bytes resets it, which can take the line away before it was read: so only our
        # direction is closed now, the socket itself when the other side has closed too.
        self.refused += 1
        with contextlib.suppress(OSError):
            conn.send(f"# refused: in use by {self._name}\n".encode())
            conn.shutdown(socket.SHUT_WR)
        self._refused.append(conn)
        if len(self._refused) > REFUSED_MAX:
            self._refused.pop(0).close()

    @staticmethod
    def _still_there(conn: socket.socket) -> bool:
        try:
            return bool(conn.recv(RECEIVE_BUFFER))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def read(self, limit: int) -> bytes:
        if self._conn is None or self._eof:
            return b""
        try:
            data = self._conn.recv(limit)
        except BlockingIOError:
            return b""
        except OSError:
            self.drop()
            return b""
        # No more will come, but a client such as `printf 'status\n' | nc` still waits for the answer.
        self._eof = not data
        return data

    def write(self, data: bytes | bytearray) -> int:
        if self._conn is None:
            return 0
        try:
            return self._conn.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            if not self._readable():
                self.drop()
            return 0

    def _readable(self) -> bool:
        """Bytes that a client sent before it went (a stop, say) are still worth reading."""
        try:
            return bool(self._conn and not self._eof and self._conn.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
            self._eof = False

    def close(self) -> None:
        self.drop()
        for conn in self._refused:
            conn.close()
        self._refused.clear()
        self._server.close()


def _other_end_hung_up(conn: socket.socket) -> bool:
    """The client's end of a loopback connection sends nothing more, as the system's list of sockets has it."""
    if not CONNECTIONS.exists():
        return False
    other, ours = _listed(conn.getpeername()), _listed(conn.getsockname())
    for row in CONNECTIONS.read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, state, *_ = row.split()
        if (local, remote) == (other, ours):
            return state != ESTABLISHED
    return True


def _listed(address: tuple[str, int]) -> str:
    """An IPv4 address and port as the list writes them."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
