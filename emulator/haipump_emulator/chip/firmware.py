"""One UF2 file with interpreter and application: dropped on a Pico in BOOTSEL mode, or booted by the emulator.

Owns: the file system inside. Must not: write a byte of the raw partition, where settings and journal are, or ship other
files than every other way onto a board does.

Only blocks that the file system uses are in it, its empty halves of metadata pairs included. The rest of a board keeps
what it had; littlefs looks at a block only after it has written it, so that is free space whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from littlefs import LittleFS, UserContext

from haipump_emulator.chip.core import FILES_START, ChipCore
from haipump_emulator.chip.uf2 import read_uf2, write_uf2
from haipump_fw.device import Shipped

BLOCK = 4096
BLOCKS = 352  # the interpreter makes an empty file system when the one it finds has another number
START_US = 3_000_000  # simulated: an application that has not answered by then does not run
_SLICE_US = 20_000
_ANSWER = re.compile(rb"^ok (firmware=.*) \*[0-9a-f]{8}$", re.MULTILINE)
_FORM: dict[str, Any] = {
    **{"block_size": BLOCK, "block_count": BLOCKS, "prog_size": 256, "disk_version": 0x00020000},
    # The device reads the whole log of a folder for each look into it: short ones without data save 0.2 s of its start.
    **{"read_size": 256, "metadata_max": 512, "inline_max": 0xFFFFFFFF},
}


class FirmwareError(Exception):
    """A UF2 file whose application can't be used here; the message says why and what to do."""


class _Watched(UserContext):
    """Remembers which blocks are looked at."""

    def __init__(self, content: bytes | None = None) -> None:
        super().__init__(buffsize=BLOCK * BLOCKS)
        self.seen: set[int] = set()
        if content is not None:
            self.buffer[:] = content

    def read(self, cfg: Any, block: int, off: int, size: int) -> bytearray:
        self.seen.add(block)
        return super().read(cfg, block, off, size)


def file_system(files: Mapping[str, bytes]) -> dict[int, bytes]:
    """Block number -> bytes of a file system with these files; their folders are made. Equal files, equal bytes."""
    made = _Watched()
    system = LittleFS(context=made, **_FORM)
    for name, data in files.items():
        if "/" in name:
            system.makedirs(name.rpartition("/")[0], exist_ok=True)
        with system.open(name, "wb") as file:
            file.write(data)
    system.unmount()
    content = bytes(made.buffer)
    reader = _Watched(content)
    if read_files(reader) != dict(files):
        raise OSError("the file system that was made does not hold the files that were put into it")
    return {block: content[block * BLOCK : (block + 1) * BLOCK] for block in sorted(reader.seen)}


def read_files(context: UserContext) -> dict[str, bytes]:
    """Everything in a file system. Raises littlefs.LittleFSError for bytes that are none."""
    system = LittleFS(context=context, mount=False, **_FORM)
    system.mount()
    found = {}
    for folder, _, names in system.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with system.open(path, "rb") as file:
                found[path.lstrip("/")] = file.read()
    return found


def application(flash: bytes) -> dict[str, bytes]:
    """The files in the file system of a flash of 2 MB. Raises littlefs.LittleFSError when there is none."""
    return read_files(_Watched(flash[FILES_START : FILES_START + BLOCK * BLOCKS]))


def place(flash: bytes, path: str) -> int:
    """Where in a flash of 2 MB the content of a file begins; up to BLOCK bytes of it are in one piece there. Raises
    littlefs.LittleFSError when there is no such file."""
    context = _Watched(flash[FILES_START : FILES_START + BLOCK * BLOCKS])
    system = LittleFS(context=context, mount=False, **_FORM)
    system.mount()
    with system.open(path, "rb") as file:
        context.seen.clear()
        head = file.read(BLOCK)
    return next(
        FILES_START + block * BLOCK
        for block in sorted(context.seen)
        if context.buffer[block * BLOCK :].startswith(head)
    )


def combine(image: Path, ships: Shipped) -> bytes:
    """The UF2 file. `image` is the plain interpreter. Raises OSError and ValueError for one that can't be read."""
    interpreter = read_uf2(image)[:FILES_START].rstrip(b"\xff")
    blocks = file_system(ships.on_board)
    return write_uf2({0: interpreter, **{FILES_START + block * BLOCK: data for block, data in blocks.items()}})


def info(path: Path) -> dict[str, str]:
    """What the application in a UF2 file answers to `info`, on a chip of its own. Raises FirmwareError."""
    try:
        core = ChipCore(image=path)
    except (OSError, ValueError) as error:
        raise FirmwareError(str(error)) from None
    while core.now_us < START_US:
        core.run_until(core.now_us + _SLICE_US)
        if answer := _ANSWER.search(core.output):
            return dict(field.split("=", 1) for field in answer[1].decode().split())
        if not core.conversing():
            core.send(b"\ninfo\n")
    raise FirmwareError(f"{path} holds no pump: nothing answers within {START_US // 1_000_000} simulated seconds")


def expect_protocol(path: Path, protocol: int) -> dict[str, str]:
    """`info` of an application that speaks this version of the protocol. Raises FirmwareError for any other."""
    answer = info(path)
    if answer.get("protocol") != str(protocol):
        raise FirmwareError(
            f"the application in {path} speaks version {answer.get('protocol')} of the protocol, this emulator version "
            f"{protocol}: use the haipump-emu that belongs to it, or a UF2 file of this one (`haipump-emu uf2`)"
        )
    return answer
