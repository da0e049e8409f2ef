"""The control socket: how `haipump-emu ctl`, or any program of the same user, steers a running emulator.

Owns: the commands, the socket, and the file through which it is found. Must not: print, parse what people type (values
come as whole base units with the unit in the name), or touch the serial line.

One JSON object a line each way over TCP on 127.0.0.1: `{"token": ..., "command": "occlude", ...}` is answered by
`{"ok": true, "sim_us": ..., ...}` or `{"ok": false, "error": ...}`. Port and token stand in a file that only the user
can read, so that the same code serves Windows, where sockets have no file permissions.
"""

import contextlib
import dataclasses
import hmac
import json
import math
import os
import re
import secrets
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haipump_emulator.faults.catalogue import Fault, Rig
from haipump_emulator.faults.catalogue import parse as parse_fault
from haipump_emulator.link.bridge import Bridge
from haipump_emulator.pacing import Pacer
from haipump_emulator.scenario.rig import input_bit
from haipump_emulator.signals import Signals
from haipump_emulator.statedir import state_dir

CONNECTIONS_MAX = 8
LINE_MAX = 4096
ANSWER_S = 5.0  # an emulator answers between two slices, within milliseconds
NAMES_MAX = 100
PRESS_US = 200_000
POWER_OFF_US = 1_000_000
SPEED_RANGE = (1e-3, 1e6)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")

_NUMBER = (int, float)
# What the plant does when told to: {command: {argument: (types, needed)}}. The plant itself checks the values.
_PLANT: dict[str, dict[str, tuple[tuple[type, ...], bool]]] = {
    "occlude": {"resistance_pa_s_per_nl": (_NUMBER, False)},
    "release": {},
    "leak": {"resistance_pa_s_per_nl": (_NUMBER, True)},
    "seal": {},
    "height": {"cm": (_NUMBER, True), "over_s": (_NUMBER, True)},
    "warm": {"to_c": (_NUMBER, True), "over_s": (_NUMBER, True)},
    "refill": {"volume_nl": ((int,), True)},
    "capture": {"on": ((bool,), True)},
    "supply": {"mv": ((int,), True)},
    "sensor": {"sensor": ((str,), True), "fault": ((str,), True), "value": (_NUMBER, False)},
}
# What the emulator itself does, as `Controls._<command>`.
_OWN: dict[str, dict[str, tuple[tuple[type, ...], bool]]] = {
    "status": {},
    "truth": {},
    "speed": {"speed": ((int, float, str), True)},
    "run_until": {"t_us": ((int,), True)},
    "pause": {},
    "continue": {},
    "press": {"button": ((str,), True), "for_us": ((int,), False)},
    "jumper": {"on": ((bool,), True)},
    "fault": {"fault": ((str,), True), "for_us": ((int,), False), "end": ((bool,), False)},
    "power": {"action": ((str,), True), "for_us": ((int,), False)},
    "quit": {},
}
# The places of faults (`Fault.place`) that such a command takes over.
_PLACES = {
    "occlude": "occlusion",
    "release": "occlusion",
    "leak": "leak",
    "seal": "leak",
    "capture": "siphon",
    "supply": "supply_sag",
    "sensor": "sensor {sensor}",
}
COMMANDS = (*_OWN, *_PLANT)


class ControlError(Exception):
    """The command can't be carried out, or nobody is there to do it; the message says what to do."""


def check_name(name: str) -> str:
    """A name that can stand in a file name. Raises ControlError."""
    if not NAME.fullmatch(name):
        raise ControlError(f"{name!r} is no name for an emulator: up to 32 letters, digits, - and _")
    return name


class Controls:
    """The commands, carried out on a core, its plant and its pacer at the present simulated time."""

    def __init__(self, name: str, pacer: Pacer, bridge: Bridge, quit_: Callable[[], None]) -> None:
        self.name = name
        self._pacer = pacer
        self._bridge = bridge
        self._core = pacer.core
        self._quit_now = quit_
        self._signals = Signals()
        self._core.listeners.append(self._signals)
        self._held: dict[int, int] = {}  # how many presses hold a button down
        self._faults: dict[str, Fault] = {}  # that `fault` began and that last, by their place

    def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out `{"command": ..., arguments}`; what it has to say. Raises ControlError."""
        command = request.get("command")
        arguments = {name: value for name, value in request.items() if name not in ("command", "token")}
        if not isinstance(command, str) or command not in COMMANDS:
            raise ControlError(f"no command {command!r}; there are: {', '.join(COMMANDS)}")
        _check(command, arguments, {**_OWN, **_PLANT}[command])
        try:
            if command in _PLANT:
                getattr(self._core.plant, command)(self._core.now_us, **arguments)
                self._faults.pop(_PLACES.get(command, "").format(**arguments), None)
                said: dict[str, Any] = {}
            else:
                said = getattr(self, f"_{command}")(**arguments) or {}
        except (ValueError, ArithmeticError) as error:  # what plant and pacer say about values
            raise ControlError(f"{command}: {error}") from None
        return {"sim_us": self._core.now_us, **said}

    def _status(self) -> dict[str, Any]:
        pacer, bridge, link = self._pacer, self._bridge, self._bridge.link
        return {
            "name": self.name,
            "pid": os.getpid(),
            "speed": "max" if pacer.speed is None else pacer.speed,
            "reached": round(pacer.reached(), 3),
            "paused": pacer.paused,
            "halted": self._halted(),
            "powered": self._core.powered,
            "panel": self._signals.text(self._core.now_us),
            "faults": [fault.text for fault in self._faults.values()],
            "until_us": pacer.until_us,
            "talking": bridge.talking(),
            "address": link.address,
            "client": link.client,
            "clients": link.accepted,
            "refused": link.refused,
            "bytes_in": bridge.received,
            "bytes_out": bridge.delivered,
            "bytes_unheard": bridge.unheard,
            "bytes_dropped": bridge.dropped,
        }

    def _truth(self) -> dict[str, Any]:
        return dataclasses.asdict(self._core.plant.truth(self._core.now_us))

    def _speed(self, speed: float | str) -> dict[str, Any]:
        if speed == "max":
            self._pacer.speed = None
        elif isinstance(speed, str) or not SPEED_RANGE[0] <= speed <= SPEED_RANGE[1]:
            raise ControlError(f"a speed is a number from {SPEED_RANGE[0]:g} to {SPEED_RANGE[1]:g}, or max")
        else:
            self._pacer.speed = speed
        return {"paused": self._pacer.paused, "halted": self._halted()}

    def _halted(self) -> bool:
        """A debugger holds the CPU, and time with it; `direct` has none."""
        return getattr(self._core, "halted", False)

    def _needs_running_cpu(self) -> None:
        if self._halted():
            raise ControlError("a debugger has halted the chip: let it go on from there")

    def _run_until(self, t_us: int) -> None:
        self._needs_running_cpu()
        self._pacer.run_until(t_us)

    def _pause(self) -> dict[str, Any]:
        was = self._pacer.paused
        self._pacer.pause()
        return {"was_already": was}

    def _continue(self) -> dict[str, Any]:
        self._needs_running_cpu()
        was = not self._pacer.paused
        self._pacer.resume()
        return {"was_already": was}

    def _press(self, button: str, for_us: int = PRESS_US) -> None:
        if button not in ("start", "stop", "silence"):
            raise ControlError(f"no button {button!r}; there are start, stop and silence")
        if not 0 < for_us <= 3_600_000_000:
            raise ControlError("a button is held for more than nothing and at most an hour")
        bit = input_bit(button)
        self._held[bit] = self._held.get(bit, 0) + 1
        self._core.press(bit, True)
        self._pacer.at(self._core.now_us + for_us, lambda: self._let_go(bit))

    def _let_go(self, bit: int) -> None:
        self._held[bit] -= 1
        if not self._held[bit]:
            self._core.press(bit, False)

    def _jumper(self, on: bool) -> None:
        self._core.press(input_bit("service"), on)

    def _power(self, action: str, for_us: int = POWER_OFF_US) -> dict[str, Any]:
        if action not in ("on", "off", "cycle"):
            raise ControlError(f"no power action {action!r}; there are on, off and cycle")
        if for_us <= 0:
            raise ControlError("the power goes off for more than nothing")
        was = self._core.powered == (action == "on")
        self._core.power(action == "on")
        if action == "cycle":
            self._pacer.at(self._core.now_us + for_us, lambda: self._core.power(True))
        return {"was_already": was}

    def _fault(self, fault: str, for_us: int | None = None, end: bool = False) -> dict[str, Any]:
        what, core = parse_fault(fault), self._core
        rig = Rig(core, self._bridge, self._pacer.at)
        kind = "chip" if hasattr(core, "mcu") else "direct"
        if kind not in what.cores:
            raise ControlError(f"{what.name}: only the core {' and '.join(what.cores)} can have it")
        if for_us is not None and for_us <= 0:
            raise ControlError("a fault lasts for more than nothing")
        if end:
            what = self._begun(what, fault) if what.lasts else what
            self._end(what, rig)
            return {"fault": what.text if what.lasts else fault}  # of one that is not kept: as it was named
        what.apply(rig, core.now_us)
        if what.lasts:
            self._faults[what.place] = what
        if for_us is not None:
            self._pacer.at(core.now_us + for_us, lambda: self._end(what, rig))
        return {"fault": what.text}

    def _begun(self, wanted: Fault, text: str) -> Fault:
        """The one that is on with this name, and with the parameters that the text names. Raises ControlError."""
        named = [pair.partition("=")[0] for pair in text.split()[1:]]
        found = [
            fault
            for fault in self._faults.values()
            if fault.name == wanted.name and all(getattr(fault, name) == getattr(wanted, name) for name in named)
        ]
        if len(found) == 1:
            return found[0]
        on = "; ".join(fault.text for fault in found or self._faults.values())
        if found:
            raise ControlError(f"several of it are on: {on}; say which")
        raise ControlError(f"{text} is not on; of what `fault` began is on: {on or 'nothing'}")

    def _end(self, what: Fault, rig: Rig) -> None:
        """Unless another one has taken its place, or it was ended otherwise."""
        if not what.lasts or self._faults.get(what.place) is what:
            self._faults.pop(what.place, None)
            what.end(rig, self._core.now_us)

    def _quit(self) -> None:
        self._quit_now()


def _check(command: str, arguments: dict[str, Any], known: dict[str, tuple[tuple[type, ...], bool]]) -> None:
    for name, value in arguments.items():
        if name not in known:
            raise ControlError(f"{command} has no argument {name!r}")
        types = known[name][0]
        # A bool is an int to Python, but `true` is no number of centimetres.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ControlError(f"{command}: {value!r} can't be the {name}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ControlError(f"{command}: {name} is a finite number")
    for name, (_, needed) in known.items():
        if needed and name not in arguments:
            raise ControlError(f"{command} needs {name}")


@dataclass(frozen=True)
class Record:
    """Where a running emulator is found: `port` is where hosts reach the pump, `control` the port of this socket."""

    name: str
    pid: int
    port: str
    control: int
    token: str

    @property
    def path(self) -> Path:
        return state_dir() / f"{self.name}.json"

    def write(self) -> None:
        """Raises FileExistsError when there is one of that name."""
        fresh = state_dir() / f".{self.name}.{self.pid}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file)
        try:
            os.link(fresh, self.path)  # unlike a rename it never replaces the record of another one
        finally:
            fresh.unlink()


class _Connection:
    def __init__(self, conn: socket.socket) -> None:
        self.socket = conn
        self.inbox = bytearray()
        self.outbox = bytearray()


class ControlServer:
    """Listens for commands; a service of the loop. Raises ControlError when the name is taken by a running emulator."""

    def __init__(self, controls: Controls, address: str) -> None:
        self._controls = controls
        self._connections: list[_Connection] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        control = self._server.getsockname()[1]
        self.record = Record(controls.name, os.getpid(), address, control, secrets.token_hex(16))
        try:
            try:
                self.record.write()
            except FileExistsError:
                if any(record.name == controls.name for record in running()):  # which removes the records of the dead
                    raise ControlError(
                        f"an emulator named {controls.name!r} is running; choose another --name"
                    ) from None
                self.record.write()
        except BaseException:
            self._server.close()
            raise

    def wait_on(self) -> tuple[list[Any], list[Any]]:
        readers = [self._server, *(c.socket for c in self._connections)]
        return readers, [c.socket for c in self._connections if c.outbox]

    def serve(self) -> None:
        """Accept, read, carry out, answer; never block."""
        with contextlib.suppress(OSError):  # nobody waits
            for _ in range(CONNECTIONS_MAX):
                conn = self._server.accept()[0]
                conn.setblocking(False)
                self._connections.append(_Connection(conn))
                if len(self._connections) > CONNECTIONS_MAX:
                    self._connections.pop(0).socket.close()  # `ctl` is done within milliseconds; this one idles
        for connection in list(self._connections):
            if not self._look(connection):
                connection.socket.close()
                self._connections.remove(connection)

    def _look(self, connection: _Connection) -> bool:
        """False when this connection is over."""
        try:
            data = connection.socket.recv(LINE_MAX)
            if not data:
                return False
            connection.inbox += data
        except BlockingIOError:
            pass
        except OSError:
            return False
        while b"\n" in connection.inbox:
            line, _, rest = bytes(connection.inbox).partition(b"\n")
            connection.inbox[:] = rest
            connection.outbox += json.dumps(self._answer(line)).encode() + b"\n"
        if len(connection.inbox) > LINE_MAX:
            return False
        try:
            while connection.outbox:
                del connection.outbox[: connection.socket.send(connection.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"ok": False, "error": "that is no JSON"}
        token = request.get("token") if isinstance(request, dict) else None
        if not isinstance(token, str) or not hmac.compare_digest(token.encode(), self.record.token.encode()):
            return {"ok": False, "error": "wrong token: it stands in the emulator's file, which only its user can read"}
        try:
            return {"ok": True, **self._controls.handle(request)}
        except ControlError as error:
            return {"ok": False, "error": str(error)}

    def close(self) -> None:
        """May be called twice."""
        for connection in self._connections:
            connection.socket.close()
        self._connections.clear()
        self._server.close()
        with contextlib.suppress(OSError):
            if _load(self.record.path) == self.record:
                self.record.path.unlink()


# --- the other end ---


def _load(path: Path) -> Record | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Record(**found)
    except (OSError, ValueError, TypeError):
        return None


def running() -> list[Record]:
    """The emulators of this user that run, by name. Records of those that died are removed."""
    found = []
    for path in sorted(state_dir().glob("*.json"))[:NAMES_MAX]:
        record = _load(path)
        if record is not None and _alive(record):
            found.append(record)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return found


def _alive(record: Record) -> bool:
    """Somebody listens at its port: a stopped process too, so a record is only removed when nobody does."""
    try:
        socket.create_connection(("127.0.0.1", record.control), ANSWER_S).close()
    except ConnectionRefusedError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def find(name: str | None = None) -> Record:
    """The emulator of that name, or the only one. Raises ControlError."""
    there = running()
    if name is not None:
        for record in there:
            if record.name == name:
                return record
        others = ", ".join(record.name for record in there) or "none"
        raise ControlError(f"no emulator named {name!r} is running; running: {others}")
    if not there:
        raise ControlError("no emulator is running; start one with: haipump-emu run")
    if len(there) > 1:
        names = ", ".join(record.name for record in there)
        raise ControlError(f"several emulators are running: {names}; choose one with --name")
    return there[0]


def call(record: Record, command: str, **arguments: Any) -> dict[str, Any]:
    """Have a command carried out and return the answer. Raises ControlError."""
    line = json.dumps({"token": record.token, "command": command, **arguments}).encode() + b"\n"
    try:
        with socket.create_connection(("127.0.0.1", record.control), ANSWER_S) as conn:
            conn.sendall(line)
            answer = _line(conn)
        said = json.loads(answer)
        fine = said.pop("ok")
    except (OSError, ValueError, KeyError) as error:
        raise ControlError(f"the emulator {record.name!r} does not answer: {error}") from None
    if not fine:
        raise ControlError(said["error"])
    return said


def _line(conn: socket.socket) -> bytes:
    """One line of answer, which comes within ANSWER_S or raises OSError."""
    got = bytearray()
    end_s = time.monotonic() + ANSWER_S
    while not got.endswith(b"\n"):
        if not select.select([conn], [], [], max(0.0, end_s - time.monotonic()))[0]:
            raise TimeoutError(f"no answer within {ANSWER_S:g} s")
        data = conn.recv(65_536)
        if not data:
            raise ConnectionError("it closed the connection")
        got += data
    return bytes(got)
