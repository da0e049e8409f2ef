"""UF2 files for an RP2040 with 2 MB of flash: what one puts there, and how one is made.

Owns: the form of the file, and the check of it. Must not: know what the bytes mean.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

FLASH_BYTES = 2 << 20
_XIP = 0x10000000
_BLOCK = 512
_SECTOR = 4096
_PAYLOAD = 256
_MAGIC_FIRST, _MAGIC_SECOND, _MAGIC_LAST = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_NOT_FLASH = 1  # flags: a block that is not meant for flash
_HAS_FAMILY = 0x2000
_FAMILY_RP2040 = 0xE48BFF56


def read_uf2(source: Path | str | bytes) -> bytes:
    """The 2 MB of flash after the file (or its content) was dropped on a Pico with an erased flash. Raises ValueError
    for a file that is no UF2 for it, OSError when it can't be read."""
    path, data = ("the UF2", source) if isinstance(source, bytes) else (source, Path(source).read_bytes())
    if not data or len(data) % _BLOCK:
        raise ValueError(f"{path}: not a UF2 file ({len(data)} bytes)")
    flash = bytearray(b"\xff" * FLASH_BYTES)
    found = promised = 0
    for start in range(0, len(data), _BLOCK):
        first, second, flags, address, length, _, count, family = struct.unpack_from("<8I", data, start)
        (last,) = struct.unpack_from("<I", data, start + _BLOCK - 4)
        if (first, second, last) != (_MAGIC_FIRST, _MAGIC_SECOND, _MAGIC_LAST):
            raise ValueError(f"{path}: no UF2 block at byte {start}")
        if flags & _NOT_FLASH or (flags & _HAS_FAMILY and family != _FAMILY_RP2040):
            continue
        place = address - _XIP
        if length != _PAYLOAD or not 0 <= place <= FLASH_BYTES - length:
            raise ValueError(f"{path}: block for {address:#x} is outside of the flash of a Pico")
        flash[place : place + length] = data[start + 32 : start + 32 + length]
        found, promised = found + 1, count
    if found != promised:
        raise ValueError(f"{path}: {found} of {promised} blocks are there")
    if flash.count(0xFF) == FLASH_BYTES:
        raise ValueError(f"{path}: holds nothing for an RP2040")
    return bytes(flash)


def write_uf2(parts: Mapping[int, bytes]) -> bytes:
    """The file that puts each part at its offset in flash, a multiple of 4096, and leaves all other sectors alone.

    The last sector of a part is filled up with 0xff: the boot ROM of the RP2040 may leave out the erase of sectors that
    a file with gaps fills only in part (erratum E14).
    """
    pages = []
    for start, part in sorted(parts.items()):
        if start % _SECTOR:
            raise ValueError(f"{start:#x} is inside of a sector")
        whole = part + b"\xff" * (-len(part) % _SECTOR)
        pages += [(start + at, whole[at : at + _PAYLOAD]) for at in range(0, len(whole), _PAYLOAD)]
    if len({place for place, _ in pages}) != len(pages) or any(place >= FLASH_BYTES for place, _ in pages):
        raise ValueError("parts overlap or reach beyond the flash")
    head = struct.Struct("<8I")
    return b"".join(
        head.pack(_MAGIC_FIRST, _MAGIC_SECOND, _HAS_FAMILY, _XIP + place, _PAYLOAD, number, len(pages), _FAMILY_RP2040)
        + page.ljust(_BLOCK - head.size - 4, b"\0")
        + struct.pack("<I", _MAGIC_LAST)
        for number, (place, page) in enumerate(pages)
    )
