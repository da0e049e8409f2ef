"""The firmware files that this installation ships, and their hash.

Owns: where they lie (checkout or wheel), and the hash that `info` shows; its definition stands in the manifest. Must
not: load or run them.
"""

import functools
import hashlib
import importlib.util
import struct
from pathlib import Path

PACKAGE = "haipump_fw"


def files() -> dict[str, bytes]:
    """Path on the device to content, in the manifest's order."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the firmware package is not installed")
    package = Path(found.submodule_search_locations[0])
    # A wheel has what lies outside of the package on the device in a folder inside of it.
    outside = package / "device" if (package / "device" / "manifest").is_file() else package.parent
    lines = (line.partition("#")[0].strip() for line in (outside / "manifest").read_text("utf-8").splitlines())
    return {
        name: ((package.parent if name.startswith(PACKAGE + "/") else outside) / name).read_bytes()
        for name in lines
        if name
    }


@functools.cache
def app_hash() -> str:
    """SHA-256, 64 hex digits."""
    digest = hashlib.sha256()
    for name, data in files().items():
        digest.update(name.encode() + b"\0" + struct.pack("<I", len(data)) + data)
    return digest.hexdigest()
