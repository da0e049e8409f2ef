"""A Pico at its MicroPython prompt: files and snippets, through mpremote's raw REPL.

Owns: the snippets that run on the board, and two exceptions for all that goes wrong on the way. Must not: know what is
installed, or why. It reaches the file system and nothing else: settings and journal lie in a partition of the flash
that has no name here.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mpremote.transport_serial import SerialTransport

CHUNK_BYTES = 1_024  # of a file, in one snippet: the board compiles it, so it needs some times as much memory
READ_TIMEOUT_S = 2.0
WRITE_TIMEOUT_S = 5.0
RUN_TIMEOUT_S = 10

_FACTS = """\
import sys, os, machine, binascii
i = sys.implementation
print(repr((i.name, tuple(i.version[:3]), getattr(i, '_machine', ''),
    binascii.hexlify(machine.unique_id()).decode(), tuple(os.statvfs('/')[:5]))))
"""

_LIST = """\
import os, hashlib, binascii
def look(path, folder):
    if folder:
        print(-1, '-', path)
        for e in os.ilistdir(path):
            look(path + '/' + e[0], e[1] & 0x4000)
        return
    h = hashlib.sha256()
    b = memoryview(bytearray(1024))
    size = 0
    with open(path, 'rb') as f:
        while True:
            n = f.readinto(b)
            if not n:
                break
            h.update(b[:n])
            size += n
    print(size, binascii.hexlify(h.digest()).decode(), path)
for e in os.ilistdir('/'):
    if e[0] in NAMES:
        look('/' + e[0], e[1] & 0x4000)
"""

_LEAVE = """\
from haipump_fw.ports.rp2 import scratch
scratch.leave_service()
scratch.note_cause(scratch.CAUSE_REQUEST)
"""


class BoardError(Exception):
    """The board was not reached, or its answer made no sense: nobody knows whether the snippet ran."""


class BoardRefused(BoardError):
    """The board ran the snippet, and it failed there; the text is the last line of its traceback."""


@dataclass(frozen=True)
class Facts:
    """Who the board is. `device` as in the pump's greeting; `block_bytes` and `blocks_free` are the file system's."""

    interpreter: str
    version: tuple[int, ...]
    machine: str
    device: str
    block_bytes: int
    blocks_free: int


@dataclass(frozen=True)
class Tree:
    """What lies on the board: paths without leading slash. `files` have (size, SHA-256 in hex)."""

    files: Mapping[str, tuple[int, str]]
    folders: tuple[str, ...]


class Board:
    """The board at `port`, once `open` has found a prompt there. Everything raises BoardError."""

    def __init__(self, port: str) -> None:
        self.port = port
        self._transport: SerialTransport | None = None

    def open(self, patience_s: int) -> None:
        """Interrupt whatever runs, start the interpreter anew without main.py; wait at most so long for each."""
        self.close()
        with _ours():
            # mpremote treats a pty otherwise than a port, and knows it by its name.
            name = os.path.realpath(self.port) if os.path.exists(self.port) else self.port
            self._transport = SerialTransport(name, timeout=READ_TIMEOUT_S)
        try:
            with _ours():
                self._transport.serial.write_timeout = WRITE_TIMEOUT_S  # type: ignore[attr-defined] - it is pyserial's
                self._transport.enter_raw_repl(soft_reset=True, timeout_overall=patience_s)
        except BoardError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the port; the board stays as it is."""
        if self._transport is not None:
            with contextlib.suppress(BoardError), _ours():
                self._transport.close()
            self._transport = None

    def let_go(self) -> None:
        """Restart the interpreter as after power-up, main.py included if there is one, and close."""
        with contextlib.suppress(BoardError), _ours():
            self._opened().exit_raw_repl()
            self._opened().serial.write(b"\x04")
        self.close()

    def run(self, code: str, timeout_s: int = RUN_TIMEOUT_S) -> str:
        """What the snippet printed. The board may be silent for `timeout_s`."""
        with _ours():
            out, err = self._opened().exec_raw(code, timeout=timeout_s)
        if err:
            lines = err.decode("utf-8", "replace").split("\n")
            raise BoardRefused(next((line.strip() for line in reversed(lines) if line.strip()), "an error"))
        return out.decode("utf-8", "replace").replace("\r\n", "\n")

    def facts(self) -> Facts:
        """Who the board is."""
        with _ours():
            name, version, machine, device, disk = ast.literal_eval(self.run(_FACTS))
            interpreter = f"{name}-{'.'.join(str(part) for part in version)}"
            return Facts(interpreter, tuple(version), machine, device, disk[0], disk[4])

    def tree(self, names: Iterable[str]) -> Tree:
        """The files and folders of these names in the root, and all below them, read and hashed on the board."""
        files: dict[str, tuple[int, str]] = {}
        folders: list[str] = []
        printed = self.run(f"NAMES = {tuple(names)!r}\n{_LIST}")
        with _ours():
            for line in printed.splitlines():
                size, digest, path = line.split(" ", 2)
                if int(size) < 0:
                    folders.append(path.removeprefix("/"))
                else:
                    files[path.removeprefix("/")] = (int(size), digest)
        return Tree(files, tuple(folders))

    def put(self, path: str, data: bytes, progress: Callable[[int], None] = lambda count: None) -> None:
        """Write one file; `progress` gets the number of bytes of each piece."""
        self.run(f"f = open({'/' + path!r}, 'wb')\nw = f.write")
        for at in range(0, len(data), CHUNK_BYTES):
            piece = data[at : at + CHUNK_BYTES]
            self.run(f"w({piece!r})")
            progress(len(piece))
        self.run("f.close()")

    def make_folder(self, path: str) -> None:
        self.run(f"import os\nos.mkdir({'/' + path!r})")

    def remove(self, path: str) -> None:
        self.run(f"import os\nos.remove({'/' + path!r})")

    def remove_folder(self, path: str) -> None:
        """It must be empty."""
        self.run(f"import os\nos.rmdir({'/' + path!r})")

    def rename(self, path: str, to: str) -> None:
        """In one step of the file system, also over a file that is there."""
        self.run(f"import os\nos.rename({'/' + path!r}, {'/' + to!r})")

    def leave_service(self) -> None:
        """Let the next start run the application, and call it a wanted one. BoardRefused when none is installed."""
        self.run(_LEAVE)

    def reset(self) -> None:
        """Reset the chip and close: the port goes away and comes back."""
        with contextlib.suppress(BoardError), _ours():
            self._opened().exec_raw_no_follow("import machine\nmachine.reset()")
        self.close()

    def _opened(self) -> SerialTransport:
        if self._transport is None:
            raise BoardError("the port is closed")
        return self._transport


@contextlib.contextmanager
def _ours() -> Iterator[None]:
    """Whatever mpremote, pyserial and the parsing of answers raise, as BoardError; what mpremote prints is dropped."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except BoardError:
        raise
    except Exception as failure:  # TransportError, SerialException, OSError, termios.error, struct.error, ...
        raise BoardError(str(failure) or type(failure).__name__) from failure
