"""A link on a pseudo-terminal with a stable name: a symbolic link that always leads to a pty where somebody listens.

Owns: the symbolic link, and one fresh pty per client. Must not: be imported where there are no ptys (Windows).

Why one pty per client. A pty that is used again keeps what the client before it left: unread bytes, terminal settings,
and TIOCEXCL, which Linux does not clear at the last close, so that a client which set it could not come back itself.
So as soon as a client is seen on the pty, the name is pointed to a spare one. Who opens the name meanwhile lands
there, is told who is using the pump, and is hung up on; when the first client goes, the spare becomes the pty of the
next. A client must therefore open the name, not the /dev/pts/N it once led to. Two gaps remain: until a client is seen
(one slice, 20 ms at most) another one can open the same pty, and root is never held up by TIOCEXCL. Clients that
lock their port (pyserial `exclusive=True`) close the first gap among themselves.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import pty
import select
import stat
import struct
import termios
import tty
from pathlib import Path
from typing import Any

from haipump_emulator.link.base import Link, LinkError
from haipump_emulator.statedir import state_dir

REFUSED_MAX = 4  # refused clients that may still be reading why
CLAIM_TRIES_MAX = 8


class _Pair:
    """One pty: we hold the master, the other end is closed until a client opens it."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        try:
            tty.setraw(slave)  # no echo, no line editing, no signals: bytes
            self.name = os.ttyname(slave)
        finally:
            os.close(slave)
        os.set_blocking(self.master, False)

    def state(self) -> tuple[bool, bool]:
        """(somebody has it open, bytes wait to be read)."""
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        events = dict(poll.poll(0)).get(self.master, 0)
        return not events & select.POLLHUP, bool(events & select.POLLIN)

    def control(self, request: int, argument: bytes = b"") -> bytes:
        """An ioctl on the clients' end, empty when it can't be opened (TIOCEXCL, or gone)."""
        try:
            slave = os.open(self.name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return b""
        try:
            return fcntl.ioctl(slave, request, argument or bytes(4))
        except OSError:
            return b""
        finally:
            os.close(slave)

    def write(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self.master, data)
        except OSError:  # no room, or nobody there: EAGAIN, EIO
            return 0

    def holder(self) -> str:
        """The program that has it open, as far as the system tells (Linux, one's own processes)."""
        for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
            with contextlib.suppress(OSError):
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == self.name:
                        return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
        return "another program"

    def close(self) -> None:
        os.close(self.master)


class _Claim:
    """A lock that says that a running emulator serves this name. It ends with the process, however that ends."""

    def __init__(self, link: str) -> None:
        self._path = state_dir() / f"pty-{hashlib.sha256(link.encode()).hexdigest()[:16]}.lock"
        for _ in range(CLAIM_TRIES_MAX):
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.read(self._fd, 20).decode(errors="replace").strip() or "?"
                os.close(self._fd)
                raise LinkError(f"{link} is in use by another emulator (pid {holder}); choose another name") from None
            # The one before may have removed the file between our open and our lock.
            with contextlib.suppress(OSError):
                if os.stat(self._path).st_ino == os.fstat(self._fd).st_ino:
                    os.ftruncate(self._fd, 0)
                    os.write(self._fd, f"{os.getpid()}\n".encode())
                    return
            os.close(self._fd)
        raise LinkError(f"can't lock {self._path}")

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._fd)


class PtyLink(Link):
    """See `Link`. `link` is the name that clients open."""

    def __init__(self, link: str) -> None:
        self.address = link
        self._link = os.path.abspath(link)
        self._closed = False
        self._claim = _Claim(self._link)
        try:
            self._check_free()
            self._pair = _Pair()
            self._point_to(self._pair)
        except BaseException:
            self._claim.release()
            raise
        self._spare: _Pair | None = None  # there while a client is
        self._name = ""
        self._refused: list[tuple[_Pair, bool]] = []  # and whether it was told

    # --- the symbolic link ---

    def _check_free(self) -> None:
        """Nothing there, or the link of an emulator that died: anything else is not ours to replace."""
        try:
            mode = os.lstat(self._link).st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise LinkError(f"can't use {self._link}: {error.strerror}") from None
        target = os.readlink(self._link) if stat.S_ISLNK(mode) else ""
        if not target.startswith(("/dev/pts/", "/dev/tty")):
            raise LinkError(f"{self._link} exists and is no pump's link; remove it or choose another name")

    def _point_to(self, pair: _Pair) -> None:
        """Atomically: a client that opens the name gets the old pty or the new one, never nothing."""
        fresh = f"{self._link}.{os.getpid()}"
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
            os.symlink(pair.name, fresh)
            os.replace(fresh, self._link)
        except OSError as error:
            pair.close()
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise LinkError(f"can't make the link {self._link}: {error.strerror}") from None

    # --- clients ---

    @property
    def client_is_there(self) -> bool:
        return self._spare is not None

    @property
    def client(self) -> str | None:
        if self._spare is None:
            return None
        # Looking for the holder costs milliseconds, so only when somebody asks.
        self._name = self._name or self._pair.holder()
        return self._name

    @property
    def leaving(self) -> bool:
        return self._spare is not None and not self._pair.state()[0]

    def wait_on(self, reading: bool, writing: bool) -> tuple[list[Any], list[Any]]:
        # With nobody there the master is "ready" all the time (hang-up), so it must be polled instead.
        if self._spare is None:
            return [], []
        present, unread = self._pair.state()
        readers = [self._pair.master] if reading and (present or unread) else []
        return readers, [self._pair.master] if writing and present else []

    def poll(self) -> None:
        present, unread = self._pair.state()
        if self._spare is not None and not present and (not unread or self._spare.state()[0]):
            self._promote()
            present = self._pair.state()[0]
        if self._spare is None and present:
            self._welcome()
        if self._spare is not None and present and self._spare.state()[0]:
            self._refuse()
        self._hang_up()

    def _welcome(self) -> None:
        spare = _Pair()
        self._point_to(spare)
        self._spare, self._name = spare, ""
        self.accepted += 1
        self._pair.control(termios.TIOCEXCL)

    def _promote(self) -> None:
        assert self._spare is not None
        self._pair.close()
        self._pair, self._spare = self._spare, None

    def _refuse(self) -> None:
        assert self._spare is not None
        self.refused += 1
        self._refused.append((self._spare, False))
        if len(self._refused) > REFUSED_MAX:
            self._refused.pop(0)[0].close()
        self._spare = _Pair()
        self._point_to(self._spare)

    def _hang_up(self) -> None:
        """Tell the refused why, one poll after they came (opening a port often clears its input), then hang up."""
        still = []
        for pair, told in self._refused:
            if not pair.state()[0]:
                pair.close()
            elif not told:
                pair.write(f"# refused: in use by {self.client or 'another program'}\n".encode())
                still.append((pair, True))
            elif pair.control(termios.FIONREAD) == struct.pack("i", 0):
                pair.close()
            else:
                still.append((pair, told))
        self._refused = still

    # --- bytes ---

    def read(self, limit: int) -> bytes:
        # Also with nobody there: a client may have come, written and gone since the last poll (`printf '!\n' > LINK`).
        try:
            return os.read(self._pair.master, limit)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EIO):
                raise
            return b""

    def write(self, data: bytes | bytearray) -> int:
        return self._pair.write(data) if self._spare is not None else 0

    def drop(self) -> None:
        if self._spare is not None:
            self._promote()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            if os.readlink(self._link) == (self._spare or self._pair).name:
                os.unlink(self._link)
        for pair in [self._pair, *([self._spare] if self._spare else []), *(pair for pair, _ in self._refused)]:
            pair.close()
        self._claim.release()
