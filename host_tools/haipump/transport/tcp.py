"""A pump behind a TCP socket (`socket://host:port`): the emulator for those who have no pty.

Owns: the socket. Must not: know the protocol.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from urllib.parse import urlsplit

from haipump.errors import PortMissing
from haipump.transport.base import Disconnected

CONNECT_TIMEOUT_S = 3.0
WRITE_TIMEOUT_S = 2.0
CHUNK_MAX = 4_096


class TcpTransport:
    def __init__(self, name: str) -> None:
        self.name = name
        try:
            parts = urlsplit(name)
            self._address = (parts.hostname or "", parts.port or 0)
        except ValueError:
            self._address = ("", 0)
        if not all(self._address):
            raise PortMissing(
                f'"{name}" is no address', next_step="write socket://host:port, e.g. socket://localhost:7000"
            )
        self._socket: socket.socket | None = None

    def open(self) -> None:
        self.close()
        try:
            opened = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
        except OSError as failure:
            raise PortMissing(
                f"{self.name} does not answer ({failure.strerror or failure})",
                next_step="start an emulator with `haipump-emu run --tcp PORT`, or look with `haipump ports`",
            ) from failure
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a request is one small packet: send it at once
        opened.settimeout(WRITE_TIMEOUT_S)
        self._socket = opened

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def read(self, timeout_s: float) -> bytes:
        opened = self._opened()
        try:
            ready, _, _ = select.select([opened], [], [], max(0.0, timeout_s))
            if not ready:
                return b""
            data = opened.recv(CHUNK_MAX)
        except (OSError, ValueError) as failure:
            raise Disconnected(str(failure)) from failure
        if not data:
            raise Disconnected("the other end closed the connection")
        return data

    def write(self, data: bytes) -> None:
        try:
            self._opened().sendall(data)
        except OSError as failure:
            raise Disconnected(str(failure)) from failure

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise Disconnected("the connection is closed")
        return self._socket
