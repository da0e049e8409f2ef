"""Key files: 64 hexadecimal digits, readable by their owner alone.

Owns: how one is read and made. Must not: know what a key is for.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from haipump.client import key_bytes
from haipump.errors import UsageError


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file. Raises UsageError."""
    try:
        found = key_bytes(path.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError) as failure:
        raise UsageError(f"the key file {path} can't be read ({failure})", next_step="check the name") from failure
    assert found is not None
    return found


def write_new(path: Path, key: str) -> None:
    """A new file with this key, safely on the disk. Raises OSError when there is one already."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())


def make_key(path: Path, key: str) -> None:
    """The same for a file that nothing waits for. Raises UsageError."""
    try:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        write_new(path, key)
    except OSError as failure:
        raise UsageError(
            f"the key file {path} can't be made ({failure.strerror})", next_step="name a file that does not exist"
        ) from failure
