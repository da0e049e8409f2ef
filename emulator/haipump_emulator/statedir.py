"""The folder in which running emulators of one user are found: small files that live as long as their emulator.

Owns: where it is, and that only its user can read it (the files hold the tokens of the control sockets).
"""

import os
import stat
import sys
import tempfile
from pathlib import Path

VARIABLE = "HAIPUMP_EMU_DIR"


class StateDirError(Exception):
    """The folder can't be used; the message says why and what to do."""


def state_dir() -> Path:
    """The folder, made if needed, mode 0700. `HAIPUMP_EMU_DIR` names another one. Raises StateDirError."""
    path = Path(os.environ.get(VARIABLE) or _default())
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise StateDirError(f"can't use the folder {path}: {error.strerror}; set {VARIABLE} to another one") from None
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077):
        raise StateDirError(f"{path} is open to other users (it wants mode 700); set {VARIABLE} to another folder")
    return path


def _default() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()) / "haipump-emu"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "haipump-emu"
    return Path(tempfile.gettempdir()) / f"haipump-emu-{os.getuid()}"
