"""The check of the application's files: read again from the flash, and hashed as when they were installed.

Owns: their order, and how many are read in one go. Loaded when it is due, and freed (`System.check_code`). Must not:
decide when that is, or what follows from a file that has changed.
"""

import hashlib
import io
from binascii import hexlify

from haipump_fw.const import const

FILES = ""  # paths as installed, a line each, in the order of the manifest: `device` puts them here
_SOME = const(15)  # files in one go while the motor may move: a tenth of a second
_ALL = const(1_000)
_PIECE_BYTES = const(1_024)
_PIECES_MAX = const(256)
_PIECES = const(4)  # are read without a pause
_END = const(2)


def check(system, between):
    """See `contract.System.check_code`. `system.code` keeps how far it came: the hash, and how many files."""
    if system.app_hash == "0":
        return None
    digest, first = (between and system.code) or (hashlib.sha256(), 0)
    system.code = None
    paths = FILES.split("\n")
    after = first + (_SOME if between else _ALL)
    piece = bytearray(_PIECE_BYTES)
    try:
        for path in paths[first:after]:
            _read(digest, path, piece, between)
    except OSError:  # what can't be read any more is damaged too
        return False
    if after < len(paths):
        system.code = digest, after
        return True
    return hexlify(digest.digest()).decode() == system.app_hash


def _read(digest, path, piece, between):
    view = memoryview(piece)
    with io.open(path, "rb") as file:
        size = file.seek(0, _END)
        digest.update(path.encode() + b"\0" + size.to_bytes(4, "little"))
        file.seek(0)
        for number in range(_PIECES_MAX):
            if between and not number % _PIECES:
                between()
            count = file.readinto(piece)
            digest.update(view[:count])
            if count < _PIECE_BYTES:
                break
