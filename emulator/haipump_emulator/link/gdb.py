"""The port for GDB: a listening socket of the loopback interface in front of the chip's debugger.

Owns: the socket, and that simulated time stands still while the CPU is halted. Must not: know a packet, or listen
anywhere but on 127.0.0.1 (there is no password).
"""

import contextlib
import errno
import socket
from typing import Any

from haipump_emulator.chip.gdb import Debugger, Stub
from haipump_emulator.link.base import LinkError
from haipump_emulator.pacing import Pacer

READ_MAX = 65_536
REFUSED_MAX = 8  # connections looked at in one turn


class GdbServer:
    """A service of the loop. One GDB at a time; it halts the CPU when it connects, and lets it run when it leaves.
    Raises LinkError."""

    def __init__(self, core: Any, pacer: Pacer, port: int) -> None:
        self._pacer = pacer
        self._held = False  # it is we who paused
        self._conn: socket.socket | None = None
        self._stub: Stub | None = None
        self._outbox = bytearray()
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
            self._server.setsockopt(socket.SOL_SOCKET, exclusive or socket.SO_REUSEADDR, 1)
            self._server.bind(("127.0.0.1", port))
            self._server.listen(1)
        except (OSError, OverflowError) as error:
            self._server.close()
            taken = getattr(error, "errno", None) == errno.EADDRINUSE
            why = "it is taken by another program" if taken else str(error)
            raise LinkError(f"can't listen on port {port} of 127.0.0.1: {why}; --gdb 0 takes any free port") from None
        self._server.setblocking(False)
        self.port: int = self._server.getsockname()[1]
        self._debugger = Debugger(core, self._stopped)

    def wait_on(self) -> tuple[list[Any], list[Any]]:
        readers = [self._server] if self._conn is None else [self._server, self._conn]
        return readers, [self._conn] if self._conn is not None and self._outbox else []

    def serve(self) -> None:
        """Accept, read, answer; never block."""
        with contextlib.suppress(OSError):  # nobody waits
            for _ in range(REFUSED_MAX):
                conn = self._server.accept()[0]
                if self._conn is None:
                    self._welcome(conn)
                else:
                    conn.close()
        if self._conn is not None and self._stub is not None and not self._look(self._conn, self._stub):
            self._leave()
        self._hold()

    def close(self) -> None:
        """Safe to call twice."""
        if self._server.fileno() >= 0:
            self._leave()
            self._debugger.close()
            self._server.close()

    def _welcome(self, conn: socket.socket) -> None:
        conn.setblocking(False)
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._conn, self._stub = conn, Stub(self._debugger, self._outbox.extend)
        self._debugger.halt()

    def _leave(self) -> None:
        if self._conn is not None:
            self._conn.close()
        self._conn = self._stub = None
        self._outbox.clear()
        self._debugger.detach()
        self._hold()

    def _look(self, conn: socket.socket, stub: Stub) -> bool:
        """False when this connection is over."""
        try:
            data = conn.recv(READ_MAX)
            if not data:
                return False
            stub.feed(data)
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            while self._outbox:
                del self._outbox[: conn.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return not stub.over

    def _stopped(self, signal: int) -> None:
        if self._stub is None:  # a CPU that locks up while nobody debugs is the run's business
            self._debugger.go_on()
        else:
            self._stub.stopped(signal)
            self._pacer.pause()
            self._held = True

    def _hold(self) -> None:
        """A pump that is halted need not be asked for more time, and whoever resumes it in vain is put right."""
        if not self._debugger.running:
            if not self._pacer.paused:
                self._pacer.pause()
                self._held = True
        elif self._held:
            self._held = False
            self._pacer.resume()
