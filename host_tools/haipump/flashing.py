"""Installs the firmware on a Pico that runs MicroPython: what is copied, in which order, and how it is proven.

Owns: the comparison with a board, the order of writing, what state a failure leaves behind.
Must not: know how bytes reach the board (`board`), or touch anything outside the board's file system.

Why a broken-off installation is harmless: `main.py` goes first and comes back last, when everything else has been read
back, hashed and loaded once. Without it the Pico starts nothing, stays at its prompt with all pins released (the
driver's EN has a pull-up: motor off), and the next run goes on where this one broke off.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

from haipump import answers
from haipump.board import Board, BoardError, BoardRefused, Facts, Tree
from haipump.client import connect
from haipump.conversation import Greeting
from haipump.errors import (
    CommunicationError,
    FlashFailed,
    NoPumpFound,
    NotFlashable,
    PortError,
    Refused,
    SeveralPumps,
)
from haipump.protocol import help as texts
from haipump.protocol.codec import LineError, LineSplitter, parse_line
from haipump.transport import Disconnected, PortInfo, find_ports, transport_for
from haipump_fw.device import HASH_FILE, PACKAGE, CompileError, Shipped, shipped

START = "main.py"
STAGED = "main.new"  # main.py until it is proven
PICO = "rpi_pico"  # what `info` calls the board
CHIP = "RP2040"
INTERPRETER_OLDEST = (1, 25)
SPARE_BLOCKS = 4

PROBE_S = 1.0
PROBES_MAX = 2
HEARD_MAX = 200
PROMPT_S = 5
SERVICE_S = 2.0  # for an answer that is lost in the restart: the prompt says it as well
BACK_S = 30.0  # for a reset, the computer's look at the new USB device, and the first answer
RETRY_S = 0.2
LOAD_S = 60  # some fifty files; a second or two on a Pico

BOOTSEL = (
    "hold its BOOTSEL button while plugging it in, copy MicroPython's UF2 for the Pico to the drive that appears, and "
    "run `haipump flash` again (docs/flashing.md)"
)
UNCHANGED = "Nothing on the Pico was changed"
HALF = (
    "The Pico is half installed: it starts nothing and waits at the MicroPython prompt, motor off. Settings and "
    "journal are untouched"
)
WHOLE = "All files are installed and verified; settings and journal are untouched"
AGAIN = "run `haipump flash` again, it goes on where this broke off; if the Pico is not found then, " + BOOTSEL

# Loads the application as main.py does, but starts nothing.
_LOAD = "import haipump_fw.app\nimport haipump_fw.ports.rp2.board\n"
_WHAT_TO_DO: Mapping[str, str] = {
    "self_test": "wait until the self test is over",
    "refill": "end the refill (`haipump refill --end`)",
    "alarm": "see `haipump alarms`, and acknowledge when the cause is gone (`haipump ack`)",
}


# --- what there is to do


def application() -> Shipped:
    """What this installation, or this checkout, puts onto a board. Raises NotFlashable."""
    try:
        return shipped()
    except (CompileError, OSError) as failure:
        raise NotFlashable(str(failure), UNCHANGED, "correct that file, or install haipump anew") from failure


@dataclass(frozen=True)
class Changes:
    """What has to be done to a board: files to write, files and folders to remove (the deepest first)."""

    write: tuple[str, ...]
    remove: tuple[str, ...]
    folders: tuple[str, ...]

    @property
    def none(self) -> bool:
        return not (self.write or self.remove or self.folders)


def compare(ships: Shipped, tree: Tree) -> Changes:
    """What makes the board equal to `ships`. Files beside ours are left alone; strangers in our package are not, for
    the interpreter might prefer them."""
    wanted = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in ships.on_board.items()}
    write = tuple(name for name, facts in wanted.items() if tree.files.get(name) != facts)
    remove = tuple(name for name in tree.files if name not in wanted)
    folders = tuple(sorted((name for name in tree.folders if name not in ships.folders), reverse=True))
    return Changes(write, remove, folders)


def stranger(ships: Shipped, tree: Tree) -> str:
    """The name of a program on the board that is not ours, or nothing."""
    if PACKAGE in tree.folders or HASH_FILE in tree.files:
        return ""
    return START if START in tree.files and START in compare(ships, tree).write else ""


def blocks_short(ships: Shipped, tree: Tree, facts: Facts) -> int:
    """How many blocks the file system lacks for the changes; 0 or less: it fits."""

    def blocks(size: int) -> int:
        return -(-size // facts.block_bytes)

    changes = compare(ships, tree)
    freed = sum(blocks(tree.files[name][0]) for name in (*changes.write, *changes.remove) if name in tree.files)
    new_folders = 2 * len(set(ships.folders) - set(tree.folders))
    needed = sum(blocks(len(ships.on_board[name])) for name in changes.write) + new_folders
    return needed + SPARE_BLOCKS - freed - facts.blocks_free


# --- the board, before and after


def find_board(port: str | None) -> PortInfo:
    """The named port, or the only Pico on USB. Raises NoPumpFound, SeveralPumps."""
    found = find_ports()
    if port is not None:
        return next((info for info in found if info.port == port), PortInfo(port, "serial", "named port"))
    boards = [info for info in found if info.kind == "board"]
    if not boards:
        raise NoPumpFound(
            "no Pico with MicroPython is on USB",
            next_step=f"plug it in with a cable that has data lines, or name its port with --port; a new Pico needs "
            f"MicroPython first: {BOOTSEL}",
        )
    if len(boards) > 1:
        ports = [info.port for info in boards]
        raise SeveralPumps(
            f"{len(boards)} Pico boards are connected", "name one with --port: " + ", ".join(ports), ports
        )
    return boards[0]


def check_port(port: str) -> None:
    """Raises PortError when it is not there, or taken."""
    transport = transport_for(port)
    transport.open()
    transport.close()


@dataclass(frozen=True)
class Found:
    """What is at the port: a running pump (then `changes` is not known yet), or MicroPython's prompt."""

    port: str
    device: str
    interpreter: str
    running: answers.Info | None
    state: str
    changes: Changes | None


@dataclass(frozen=True)
class Installed:
    """What the pump says of itself after the restart, and what was done to get there."""

    port: str
    greeting: Greeting
    info: answers.Info
    changes: Changes


Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


class Flasher:
    """One installation on one board: `look`, then `install`. A context manager that lets go of the board.

    `key` is for a locked pump. `replace`: another program may be overwritten. `back_s`: how long a restart may take."""

    def __init__(
        self,
        ships: Shipped,
        port: str | None = None,
        key: bytes | None = None,
        replace: bool = False,
        back_s: float = BACK_S,
    ) -> None:
        self.ships = ships
        self.key = key
        self.replace = replace
        self.back_s = back_s
        self._where = find_board(port)
        self._board: Board | None = None
        self._serviced = False
        self._state = UNCHANGED  # or HALF, or WHOLE

    def __enter__(self) -> Flasher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the board. One that was not changed goes back to what it did before."""
        board, self._board = self._board, None
        if board is None:
            return
        if self._serviced and self._state != HALF:
            with contextlib.suppress(BoardError):
                board.leave_service()
                board.reset()
        elif self._state != HALF:
            board.let_go()
        board.close()

    # --- looking

    def look(self) -> Found:
        """Who is there and what would be done; nothing is changed. A running program other than a pump is interrupted,
        and started again by `close`. Raises NotFlashable, Refused, PortError, CommunicationError."""
        heard = self._probe()
        if heard is None:
            return self._look_at_pump()
        board = Board(self._where.port)
        try:
            board.open(PROMPT_S)
        except BoardError as failure:
            text = heard[-HEARD_MAX:].decode("ascii", "backslashreplace").strip()
            said = f'it said "{text}"' if text else "it said nothing"
            raise NotFlashable(
                f"neither a pump nor MicroPython answers at {self._where.port}: {said} ({failure})",
                UNCHANGED,
                f"is it the right port (`haipump ports`)? Unplug it, plug it in again; if that is no help, {BOOTSEL}",
            ) from failure
        self._board = board
        with self._explained():
            facts = board.facts()
            changes = self._judge(facts, board.tree(self._names))
        return Found(self._where.port, facts.device, facts.interpreter, None, "", changes)

    def _probe(self) -> bytes | None:
        """None when a pump answers, else what was heard. A prompt takes the question for an unknown name."""
        transport = transport_for(self._where.port)
        transport.open()
        splitter, heard = LineSplitter(), b""
        try:
            for _ in range(PROBES_MAX):
                transport.write(b"\nhello\n")
                deadline = transport.now() + PROBE_S
                while (left := deadline - transport.now()) > 0:
                    data = transport.read(left)
                    heard += data
                    for line in splitter.feed(data):
                        with contextlib.suppress(LineError):
                            parse_line(line)
                            return None
                    if b"hello" in heard:  # an echo: pumps do not
                        return heard
            if heard.startswith(b"# refused: "):
                return None  # an emulator with a client: connecting says so
        except Disconnected:
            pass  # what this means, the next one to open the port finds out
        finally:
            transport.close()
        return heard

    def _look_at_pump(self) -> Found:
        with connect(self._where.port, self.key) as pump:
            greeting, info, status = pump.hello(), pump.info(), pump.status()
        if info.board != PICO:
            raise NotFlashable(
                f"the pump at {self._where.port} is no Pico ({info.board})",
                f"Unchanged. {texts.state_sentence(status.state)}",
                "name the Pico's port with --port",
            )
        if status.state not in ("stopped", "fault"):
            raise Refused(
                "the pump is in use, and the firmware is only exchanged while it is stopped",
                f"Unchanged. {texts.state_sentence(status.state)}",
                _WHAT_TO_DO.get(status.state, "when the delivery may end, `haipump stop`") + "; then `haipump flash`",
                "state",
                {"state": status.state},
            )
        return Found(self._where.port, greeting.device, info.interpreter, info, status.state, None)

    def _judge(self, facts: Facts, tree: Tree) -> Changes:
        """What is to be done. Raises NotFlashable when it can't or must not be done."""
        other = stranger(self.ships, tree)
        if CHIP not in facts.machine or facts.version[:2] < INTERPRETER_OLDEST:
            oldest = ".".join(str(part) for part in INTERPRETER_OLDEST)
            raise NotFlashable(
                f"this is {facts.machine or 'an unknown board'} with {facts.interpreter}",
                UNCHANGED,
                f"the firmware needs an {CHIP} with MicroPython {oldest} or newer; to install that, {BOOTSEL}",
            )
        if other and not self.replace:
            raise NotFlashable(
                f"another program is on this Pico ({other}, {tree.files[other][0]} bytes)",
                UNCHANGED,
                "save it if you need it (`mpremote cp :main.py .`), then `haipump flash --replace`",
            )
        short = blocks_short(self.ships, tree, facts)
        if short > 0:
            raise NotFlashable(
                f"the Pico's file system is too full: {short * facts.block_bytes} bytes are missing",
                UNCHANGED,
                "remove files that are not the pump's (`mpremote ls`, `mpremote rm`)",
            )
        return compare(self.ships, tree)

    @property
    def _names(self) -> list[str]:
        return sorted({name.partition("/")[0] for name in self.ships.on_board} | {STAGED})

    # --- installing

    def install(self, found: Found, progress: Progress = lambda text, done, whole: None) -> Installed:
        """Make the board equal to what is shipped, restart it, ask it. Raises FlashFailed, NotFlashable, Refused."""
        if found.running is not None:
            self._enter_service(found, progress)
        board = self._board
        assert board is not None
        with self._explained():
            progress("Comparing", 0, 0)
            changes = self._judge(board.facts(), board.tree(self._names))
            if not changes.none:
                self._write(board, changes, progress)
                self._prove(board, progress)
                board.rename(STAGED, START)
            self._state = WHOLE
            progress("Restarting", 0, 0)
            board.leave_service()
        self._board = None
        board.reset()
        return self._greet(found.device, changes)

    def _enter_service(self, found: Found, progress: Progress) -> None:
        """Ask the pump to make way, and wait for the prompt. Raises Refused, FlashFailed."""
        progress("Asking the pump to make way", 0, 0)
        with connect(self._where.port, self.key, SERVICE_S) as pump, contextlib.suppress(CommunicationError):
            pump.service()  # whether it did when its answer is lost shows in a moment
        deadline = time.monotonic() + self.back_s
        failure: BoardError | None = None
        while time.monotonic() < deadline:
            time.sleep(RETRY_S)
            board = Board(self._port_now())
            try:
                board.open(PROMPT_S)
                device = board.facts().device
            except BoardError as again:
                failure = again
                board.close()
                continue
            if device != found.device:
                board.let_go()
                raise FlashFailed(
                    f"another board is at {board.port} now ({device}, not {found.device})",
                    "Nothing was written; the pump is in service mode, motor off",
                    "switch the pump off and on, which ends service mode, and name its port with --port",
                )
            self._board, self._serviced = board, True
            return
        raise FlashFailed(
            f"the pump did not come back at the MicroPython prompt in {self.back_s:.0f} s ({failure})",
            "Nothing was written; the pump is in service mode or stopped, motor off",
            "switch it off and on, which ends service mode, and run `haipump flash` again; if it does not come back, "
            + BOOTSEL,
        )

    def _write(self, board: Board, changes: Changes, progress: Progress) -> None:
        """Everything but the last step: afterwards main.py is there under another name."""
        present = board.tree(self._names)
        self._state = HALF
        for name in (START, HASH_FILE, *changes.remove):  # main.py before anything else is touched
            if name in present.files:
                board.remove(name)
        for name in changes.folders:
            board.remove_folder(name)
        for name in self.ships.folders:
            if name not in present.folders:
                board.make_folder(name)
        todo = [name for name in self.ships.on_board if name in {*changes.write, START, HASH_FILE}]
        whole, done = sum(len(self.ships.on_board[name]) for name in todo), 0
        for name in todo:

            def wrote(count: int, name: str = name) -> None:
                nonlocal done
                done += count
                progress(f"Writing {name}", done, whole)

            board.put(STAGED if name == START else name, self.ships.on_board[name], wrote)

    def _prove(self, board: Board, progress: Progress) -> None:
        """Read everything back, and load the application once without starting it. Raises FlashFailed."""
        progress("Reading back", 0, 0)
        tree = board.tree(self._names)
        files = {START if name == STAGED else name: facts for name, facts in tree.files.items()}
        wrong = compare(self.ships, Tree(files, tree.folders))
        if not wrong.none or START in tree.files:
            names = ", ".join((*wrong.write, *wrong.remove, *wrong.folders)) or START
            raise FlashFailed(
                f"what was written does not read back as it should: {names}",
                HALF,
                f"{AGAIN}. If it happens twice, the flash of this Pico is worn out",
                True,
            )
        progress("Loading it once", 0, 0)
        board.open(PROMPT_S)  # with an empty memory, as at a start
        try:
            board.run(_LOAD, LOAD_S)
        except BoardRefused as failure:
            raise FlashFailed(
                f"all files are there and equal, but this MicroPython can't load them ({failure})",
                HALF,
                f"install the MicroPython that docs/flashing.md names: {BOOTSEL}",
                True,
            ) from failure

    # --- after the restart

    def _greet(self, device: str, changes: Changes) -> Installed:
        """Wait for the pump and ask who it is. Raises FlashFailed when it does not come, or is another."""
        deadline = time.monotonic() + self.back_s
        failure: Exception | None = None
        while time.monotonic() < deadline:
            time.sleep(RETRY_S)
            try:
                with connect(self._port_now(), self.key) as pump:
                    greeting, info = pump.hello(), pump.info()
            except (PortError, CommunicationError) as again:
                failure = again
                continue
            if greeting.device != device or info.app_hash != self.ships.app_hash:
                raise FlashFailed(
                    f"the pump that answers after the restart is {greeting.device} with application {info.app_hash}, "
                    f"not {device} with {self.ships.app_hash}",
                    WHOLE,
                    "run `haipump info`, then `haipump flash` again",
                )
            return Installed(pump.port, greeting, info, changes)
        raise FlashFailed(
            f"the pump did not answer within {self.back_s:.0f} s after its restart ({failure})",
            WHOLE,
            "unplug it, plug it in again and try `haipump info`; what it prints instead, a terminal program shows; to "
            "start over, see docs/flashing.md",
        )

    def _port_now(self) -> str:
        """Where the board is now: a restart may give it another port, but not another serial number."""
        serial = self._where.serial_number
        return next((info.port for info in find_ports() if serial and info.serial_number == serial), self._where.port)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the board and interruptions, with the state that the board is left in."""
        try:
            yield
        except BoardError as failure:
            if self._board is not None and not isinstance(failure, BoardRefused):
                self._board.close()  # no use in asking it to go back
                self._board = None
            raise self._broken_off(f"the work on the Pico broke off: {failure}") from failure
        except KeyboardInterrupt:
            raise self._broken_off("the work on the Pico was interrupted") from None

    def _broken_off(self, what: str) -> FlashFailed:
        if self._state == HALF:
            return FlashFailed(what, HALF, "check the cable and " + AGAIN, True)
        return FlashFailed(what, self._state, "unplug the Pico, check the cable, plug it in again, and try again")
