"""A Pico on a pty: MicroPython's raw REPL over a folder, and the pump when main.py is there and service is not asked.

Owns: the REPL's bytes (friendly, raw, raw paste, soft reset), the few modules that snippets may import, resets that
take the port away and bring it back, faults. Does not model: littlefs, memory, the watchdog, what the application does
(the pump is `FakePump`), MicroPython's language where CPython knows more.
"""

from __future__ import annotations

import builtins
import code
import contextlib
import errno
import os
import pty
import select
import sys
import threading
import time
import tty
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from haipump_fw.device import Shipped
from tests.host.device import FakePump

BLOCK_BYTES = 4096
WINDOW = 128  # of raw paste, as the rp2 port has it
GONE_S = 0.03  # a reset takes the port away for so long
BANNER = b"MicroPython v1.25.0 on 2025-04-15; Raspberry Pi Pico with RP2040\r\n>>> "
RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
HARMLESS = {"binascii", "hashlib"}


class _Interpreter(code.InteractiveInterpreter):
    """Runs one snippet after the other in one set of globals; `failure` is the last line of the last traceback."""

    failure = ""

    def showtraceback(self) -> None:
        kind, value, _ = sys.exc_info()
        assert kind is not None
        self.failure = f"{kind.__name__}: {value}"


class FakeBoard:
    """`boot` plugs it in; `close` ends it. Faults are attributes; `log` lists what happened to it."""

    def __init__(self, folder: Path, ships: Shipped, device: str = "e660583883534321") -> None:
        self.folder = folder
        self.ships = ships
        self.device = device
        self.root = folder / "files"
        self.root.mkdir(parents=True)
        self.pump = FakePump()
        self.pump.device = device
        self.log: list[str] = []
        self.imported: set[str] = set()
        self.version = (1, 25, 0)
        self.machine = "Raspberry Pi Pico with RP2040"
        self.blocks = 352
        # faults
        self.dies_at_write: int | None = None  # counted over all writes to files
        self.garbles = ""  # the file whose bytes are not kept
        self.unloadable = False
        self.silent = False
        self.stays_off = False  # after the next reset
        self.renames = False  # another port after every reset
        self.forgets_hash = False
        self.kind = "rpi_pico"
        self.port = str(folder / "port")
        self._ports = 0
        self._writes = 0
        self._service = False
        self._mode = "off"
        self._buffer = bytearray()
        self._raw_paste_left: int | None = None
        self._fate = ""
        self._master = self._slave = -1
        self._file: Any = None
        self._running = True
        self._power = threading.Event()
        self._up = threading.Event()
        self._down = threading.Event()
        self._down.set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    # --- for the tests

    @property
    def present(self) -> bool:
        return os.path.lexists(self.port)

    def boot(self) -> FakeBoard:
        """Plug it in."""
        assert self._down.wait(5)
        self._service = False
        self._power.set()
        assert self._up.wait(5)
        return self

    def close(self) -> None:
        self._running = False
        self._power.set()
        self._thread.join(5)
        assert not self._thread.is_alive()
        if self._file is not None:
            self._file.close()

    def fill(self, files: dict[str, bytes]) -> None:
        """Put files onto it."""
        for name, data in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_bytes(data)

    def files(self) -> dict[str, bytes]:
        """What lies on it."""
        found = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}

    # --- the chip

    def _serve(self) -> None:
        while self._power.wait() and self._running:
            self._power_up()
            while self._running and not self._fate:
                ready, _, _ = select.select([self._master], [], [], 0.01)
                if ready:
                    self._take(os.read(self._master, 4096))
            self._vanish()
            if self._fate == "unplugged" or self.stays_off:
                self._power.clear()
                self._up.clear()
                self._down.set()
            self._fate = ""
            time.sleep(GONE_S)

    def _power_up(self) -> None:
        self._down.clear()
        self._master, self._slave = pty.openpty()  # its own slave end, so that a client may come and go
        tty.setraw(self._slave)
        self._ports += 1
        self._buffer.clear()
        self._globals()
        if (self.root / "main.py").exists() and not self._service:
            whole = self.files() == {**self.files(), **self.ships.on_board}
            foreign = not (self.root / "haipump_fw").exists()
            self._mode = "foreign" if foreign else "pump" if whole else "loop"
            self.log.append(self._mode)
            self.pump.restart()
            self._shape_pump()
        else:
            self._mode = "friendly"
            self.log.append("prompt")
        if self.silent:
            self._mode = "silent"
        self.port = str(self.folder / f"port{self._ports if self.renames else ''}")
        os.symlink(os.ttyname(self._slave), self.port)
        self._up.set()

    def _vanish(self) -> None:
        if self._fate == "service":
            time.sleep(GONE_S)  # the pump resets only after its answer has gone out
        os.unlink(self.port)
        os.close(self._master)
        os.close(self._slave)
        self.log.append(self._fate or "end")

    def _shape_pump(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            digest = (self.root / "app_hash").read_text()
            info = {"firmware": "0.1.0", "interpreter": "micropython-1.25.0", "board": self.kind, "reset": "request"}
            info["app_hash"] = "0" * 64 if self.forgets_hash else digest
            setattr(self.pump.app, "read_info", lambda fields: info)  # noqa: B010 - a method of a test's own

    def _say(self, data: bytes) -> None:
        os.write(self._master, data)

    def _take(self, data: bytes) -> None:
        if self._mode == "pump":
            self.pump.take(data)
            self._say(self.pump.give())
            if self.pump.executed and self.pump.executed[-1][0] == "service":
                self.pump.executed.clear()
                self._service, self._fate = True, "service"
            return
        for byte in data:
            if self._fate:
                return
            self._byte(byte)

    # --- the prompt

    def _byte(self, byte: int) -> None:
        if self._mode in ("loop", "silent"):
            return
        if self._mode == "foreign":
            if byte == 3:
                self._mode = "friendly"
                self._say(b"KeyboardInterrupt: \r\n" + BANNER)
        elif self._mode == "friendly":
            self._friendly(byte)
        elif self._raw_paste_left is not None:
            self._pasted(byte)
        else:
            self._raw(byte)

    def _friendly(self, byte: int) -> None:
        if byte == 1:
            self._mode = "raw"
            self._buffer.clear()
            self._say(RAW_BANNER)
        elif byte == 4:
            self._soft_reset()
            self._mode = "foreign" if (self.root / "main.py").exists() and not self._service else "friendly"
            self.log.append(self._mode)
            self._say(BANNER)
        elif byte == 3:
            self._say(b"\r\n>>> ")
        elif byte >= 32:
            self._say(bytes([byte]))

    def _raw(self, byte: int) -> None:
        if byte == 3:
            self._buffer.clear()
        elif byte == 2:
            self._mode = "friendly"
            self._say(b"\r\n" + BANNER)
        elif byte == 4 and not self._buffer:
            self._say(b"OK\r\n")
            self._soft_reset()
            self._say(RAW_BANNER)
        elif byte == 1 and bytes(self._buffer) == b"\x05A":
            self._buffer.clear()
            self._raw_paste_left = WINDOW
            self._say(b"R\x01" + WINDOW.to_bytes(2, "little"))
        elif byte == 1:
            self._buffer.clear()
            self._say(RAW_BANNER)
        else:
            self._buffer.append(byte)

    def _pasted(self, byte: int) -> None:
        assert self._raw_paste_left is not None
        if byte != 4:
            self._buffer.append(byte)
            self._raw_paste_left -= 1
            if self._raw_paste_left == 0:
                self._raw_paste_left = WINDOW
                self._say(b"\x01")
            return
        self._raw_paste_left = None
        self._say(b"\x04")
        out, failure = self._run(bytes(self._buffer).decode())
        self._buffer.clear()
        if not self._fate:
            error = f'Traceback (most recent call last):\r\n  File "<stdin>"\r\n{failure}\r\n' if failure else ""
            self._say(out.replace("\n", "\r\n").encode() + b"\x04" + error.encode() + b"\x04>")

    def _soft_reset(self) -> None:
        self._say(b"MPY: soft reboot\r\n")
        self._globals()

    def _run(self, source: str) -> tuple[str, str]:
        self._printed.clear()
        self._interpreter.failure = ""
        with contextlib.suppress(SystemExit):
            self._interpreter.runcode(compile(source, "<stdin>", "exec"))
        return "".join(self._printed), self._interpreter.failure

    # --- what snippets see

    def _globals(self) -> None:
        self._printed: list[str] = []
        names = ("getattr", "int", "len", "memoryview", "bytearray", "repr", "tuple", "range", "str", "bytes")
        own: dict[str, Any] = {name: getattr(builtins, name) for name in names}
        own |= {"print": self._print, "open": self._open, "__import__": self._import}
        self._interpreter = _Interpreter({"__name__": "__main__", "__builtins__": own})

    def _print(self, *values: object, end: str = "\n") -> None:
        self._printed.append(" ".join(str(value) for value in values) + end)

    def _path(self, path: str) -> Path:
        assert path.startswith("/"), "a soft reset may have left any working folder"
        return self.root / path[1:]

    def _open(self, path: str, mode: str) -> Any:
        if self._file is not None:
            self._file.close()  # one whose snippet broke off
        self._file = file = open(self._path(path), mode, buffering=0)  # noqa: SIM115 - the snippet closes it
        if mode == "rb":
            return file
        return SimpleNamespace(write=lambda data: self._write(file, path, data), close=file.close)

    def _write(self, file: Any, path: str, data: bytes) -> int:
        self._writes += 1
        if self._writes == self.dies_at_write:
            file.close()
            self._end("unplugged")
        free = self._free() - -(-len(data) // BLOCK_BYTES)
        if free < 0:
            raise OSError(errno.ENOSPC, "ENOSPC")
        return file.write(data.replace(b"a", b"b") if path.endswith(self.garbles or "\0") else data)

    def _free(self) -> int:
        return self.blocks - sum(-(-len(data) // BLOCK_BYTES) for data in self.files().values())

    def _end(self, fate: str) -> None:
        self._fate = fate
        raise SystemExit

    def _import(self, name: str, *rest: Any) -> Any:
        self.imported.add(name)
        if name in HARMLESS:
            return __import__(name)
        if name == "sys":
            about = SimpleNamespace(name="micropython", version=self.version, _machine=self.machine)
            return SimpleNamespace(implementation=about)
        if name == "machine":
            return SimpleNamespace(unique_id=lambda: bytes.fromhex(self.device), reset=lambda: self._end("reset"))
        if name == "os":
            return self._os()
        if name.startswith("haipump_fw"):
            return self._import_ours(name)
        raise ImportError(f"no module named '{name}'")

    def _import_ours(self, name: str) -> Any:
        path = self.root / name.replace(".", "/")
        whole = path.is_dir()  # a folder is a package, with or without a file of its own
        path = path / "__init__.mpy" if whole else path.with_suffix(".mpy")
        if not path.exists() and not whole:
            raise ImportError(f"no module named '{name}'")
        if path.exists() and path.read_bytes()[:2] != b"M\x06":
            raise ValueError("incompatible .mpy file")
        if self.unloadable and name == "haipump_fw.app":
            raise MemoryError("memory allocation failed, allocating 4096 bytes")
        scratch = SimpleNamespace(leave_service=self._leave_service, note_cause=self._note_cause, CAUSE_REQUEST=1)
        return SimpleNamespace(scratch=scratch)

    def _leave_service(self) -> None:
        self._service = False

    def _note_cause(self, cause: int) -> None:
        self.log.append(f"cause {cause}")

    def _os(self) -> Any:
        def ilistdir(path: str) -> list[tuple[str, int, int, int]]:
            found = sorted(self._path(path).iterdir())
            return [(one.name, 0x4000 if one.is_dir() else 0x8000, 0, one.stat().st_size) for one in found]

        def change(function: Any) -> Any:
            return lambda *paths: function(*(self._path(path) for path in paths))

        return SimpleNamespace(
            ilistdir=ilistdir,
            statvfs=lambda path: (BLOCK_BYTES, BLOCK_BYTES, self.blocks, self._free(), self._free(), 0, 0, 0, 0, 255),
            mkdir=change(os.mkdir),
            rmdir=change(os.rmdir),
            remove=change(os.remove),
            rename=change(os.rename),
        )
