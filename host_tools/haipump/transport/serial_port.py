"""Serial ports by pyserial: Pico boards, ptys and links to them, COM ports. Opened for one program only.

Owns: opening, reading, writing. Must not: know the protocol; the explanations of what is in the way are `obstacles`'.
"""

from __future__ import annotations

import contextlib
import time

import serial

from haipump.transport.base import Disconnected
from haipump.transport.obstacles import explain_open_failure

BAUD = 115_200  # means nothing to USB CDC; 1200 would restart some boards into their bootloader
WRITE_TIMEOUT_S = 2.0
CHUNK_MAX = 4_096


class SerialTransport:
    def __init__(self, name: str) -> None:
        self.name = name
        self._port: serial.Serial | None = None

    def open(self) -> None:
        self.close()
        try:
            self._port = serial.Serial(
                self.name, BAUD, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=_exclusive()
            )
        except (serial.SerialException, OSError, ValueError) as failure:
            raise explain_open_failure(self.name, failure) from failure

    def close(self) -> None:
        if self._port is not None:
            with contextlib.suppress(serial.SerialException, OSError):
                self._port.close()
            self._port = None

    def read(self, timeout_s: float) -> bytes:
        port = self._opened()
        try:
            waiting = port.in_waiting
            if waiting:
                return port.read(min(waiting, CHUNK_MAX))
            if timeout_s <= 0:
                return b""
            if port.timeout != timeout_s:
                port.timeout = timeout_s
            first = port.read(1)
            return first + port.read(min(port.in_waiting, CHUNK_MAX)) if first else b""
        except (serial.SerialException, OSError, TypeError) as failure:
            # pyserial raises TypeError when the port is closed under a read
            raise Disconnected(str(failure)) from failure

    def write(self, data: bytes) -> None:
        try:
            self._opened().write(data)
        except (serial.SerialException, OSError) as failure:
            raise Disconnected(str(failure)) from failure

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _opened(self) -> serial.Serial:
        if self._port is None:
            raise Disconnected("the port is closed")
        return self._port


def _exclusive() -> bool | None:
    """POSIX locks on demand; Windows ports are exclusive anyway and pyserial refuses the argument False only."""
    return True if hasattr(serial, "PosixPollSerial") else None
