"""The folder in which running emulators of one user are found: small files that live as long as their emulator.

Owns: where it is, and that only its user can read it (the files hold the tokens of the control sockets). The host
tools look into the same folder to list ports; they need the keys `port` and `pid` of the `.json` files.
"""

import os
import stat
from pathlib import Path


class StateDirError(Exception):
    """The folder can't be used; the message says why and what to do."""


def state_dir() -> Path:
    """`haipump/emulators` below $XDG_RUNTIME_DIR or ~/.local/state, made if needed, mode 0700. Raises StateDirError."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = (Path(base) if base else Path.home() / ".local" / "state") / "haipump" / "emulators"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        reason = f"can't use the folder {path}: {error.strerror}"
        raise StateDirError(f"{reason}; set XDG_RUNTIME_DIR to one of your own") from None
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077):
        raise StateDirError(f"{path} is open to other users; make it your own (chmod 700) or set XDG_RUNTIME_DIR")
    return path
