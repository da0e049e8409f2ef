"""A stop gets through although another haipump command holds the port: the holder is told, and sends it.

Owns: one small file per command that holds a port, in `holders/` beside the emulators' folder, and the signal SIGUSR1.
Must not: know the protocol (the holder's `on_stop` does) or speak to anybody (`cli` does).

The file holds the port's names, the command, and how the stop stands. Its holder keeps it locked for as long as it
lives, so that a file that was left behind is never taken for a process that has its number now: a signal that nobody
expects would end it. Where there are no such locks and signals (Windows), nothing is registered and nobody is found.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from haipump.transport import emulator_folder

try:
    import fcntl
except ImportError:
    fcntl = None

HEAR_S = 3.0  # a watching holder hears of the pump's state every second, a waiting one asks at once
LOOK_S = 0.02
READ_TRIES_MAX = 5
_OURS: set[Path] = set()  # the files that this process holds


@dataclass(frozen=True)
class Holder:
    """Another command that has the port. `stop` is "", "sent", or the state in which the pump then stood; `stops`
    counts how often it was told."""

    path: Path
    pid: int
    command: str
    stop: str
    stops: int

    def __str__(self) -> str:
        return f"haipump {self.command} (pid {self.pid})".replace("  ", " ")


def folder() -> Path:
    """Where the files are. It need not exist."""
    return emulator_folder().parent / "holders"


class Holding:
    """The registration of this process, as a context manager. `on_stop` sends the stop; call `stopped` with the
    pump's state as soon as it is heard that it stands."""

    def __init__(self, port: str, command: str, on_stop: Callable[[], None]) -> None:
        self._facts: dict[str, object] = {"pid": os.getpid(), "command": command, "stop": "", "stops": 0}
        self._facts["names"] = sorted(_names(port))
        self._on_stop = on_stop
        self._file: IO[str] | None = None
        self._path = folder() / f"{os.getpid()}.json"
        self._stops = 0
        self._before: object = None

    def __enter__(self) -> Holding:
        # Only the main thread may take signals; a library user's threads are then not found, and refused by name.
        if fcntl is None or threading.current_thread() is not threading.main_thread():
            return self
        with contextlib.suppress(OSError):
            folder().mkdir(mode=0o700, parents=True, exist_ok=True)
            self._before = signal.signal(signal.SIGUSR1, self._told)  # before anybody can find us
            if self._path not in _OURS:  # else the shell, which runs this command, has it
                self._file = _locked(self._path)
                _OURS.add(self._path)
                self._write()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            _OURS.discard(self._path)
            self._file.close()
            self._file = None
        if callable(self._before) or isinstance(self._before, int):
            signal.signal(signal.SIGUSR1, self._before)  # type: ignore[arg-type]
            self._before = None

    def _told(self, number: int, frame: object) -> None:
        self._facts["stop"] = "sent"
        self._stops += 1
        self._on_stop()  # may call `stopped`
        self._facts["stops"] = self._stops
        self._write()

    def stopped(self, state: str) -> None:
        """The pump was heard to stand, in this state."""
        self._facts["stop"] = state
        self._write()

    def _write(self) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.write(json.dumps(self._facts) + "\n")
            self._file.flush()


def _locked(path: Path) -> IO[str]:
    """The file, locked by us. Raises OSError."""
    assert fcntl is not None
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX)  # who looks for us has it for a moment
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()  # taken for that of a dead process, and removed


def find(port: str) -> Holder | None:
    """The live command that has registered for this port."""
    wanted = _names(port)
    for path in sorted(folder().glob("*.json")):
        found = _read(path)
        if found is not None and wanted & found[1]:
            return found[0]
    return None


def same_port(one: str, other: str) -> bool:
    """Both name the same port, perhaps one of them by a link."""
    return bool(_names(one) & _names(other))


def stop(holder: Holder) -> str:
    """Have it send the stop; returns "" (it was not reached), "sent", or the state in which the pump then stood."""
    said = ""
    with contextlib.suppress(OSError), open(holder.path, "r+", encoding="utf-8") as file:
        os.kill(holder.pid, signal.SIGUSR1)
        deadline = time.monotonic() + HEAR_S
        while time.monotonic() < deadline:
            ended = _is_free(file)  # looked at first: what it wrote last is read although its file is gone
            now = _holder(holder.path, file)
            if now is not None and now[0].stops > holder.stops:
                said = now[0].stop
                if said != "sent":
                    return said
            if ended:
                return said
            time.sleep(LOOK_S)
    return said


def _read(path: Path) -> tuple[Holder, set[str]] | None:
    """None when it is nobody's any more."""
    with contextlib.suppress(OSError), open(path, "r+", encoding="utf-8") as file:
        for _ in range(READ_TRIES_MAX):
            if _is_free(file):
                path.unlink()  # its process is gone
                return None
            found = _holder(path, file)
            if found is not None:
                return found
            time.sleep(LOOK_S)
    return None


def _is_free(file: IO[str]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder(path: Path, file: IO[str]) -> tuple[Holder, set[str]] | None:
    """What stands in the file; None for one that is half written."""
    try:
        file.seek(0)
        facts = json.loads(file.read())
        pid, stops = int(facts["pid"]), int(facts["stops"])
        return Holder(path, pid, str(facts["command"]), str(facts["stop"]), stops), set(facts["names"])
    except (ValueError, KeyError, TypeError):
        return None


def _names(port: str) -> set[str]:
    """Under which names the same port may be asked for."""
    if "://" in port:
        return {port.lower().rstrip("/").replace("//localhost:", "//127.0.0.1:")}
    return {os.path.abspath(port), os.path.realpath(port)}
