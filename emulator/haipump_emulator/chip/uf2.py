"""What a UF2 file puts into the flash of a Pico.

Owns: the check that a file is one for an RP2040 with 2 MB. Must not: get, build or change an image.
"""

from __future__ import annotations

import struct
from pathlib import Path

FLASH_BYTES = 2 << 20
_XIP = 0x10000000
_BLOCK = 512
_PAYLOAD = 256
_MAGIC_FIRST, _MAGIC_SECOND, _MAGIC_LAST = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_NOT_FLASH = 1  # flags: a block that is not meant for flash
_HAS_FAMILY = 0x2000
_FAMILY_RP2040 = 0xE48BFF56


def read_uf2(path: Path | str) -> bytes:
    """The 2 MB of flash after the file was dropped on a Pico with an erased flash. Raises ValueError for a file that is
    no UF2 for it, OSError when it can't be read."""
    data = Path(path).read_bytes()
    if not data or len(data) % _BLOCK:
        raise ValueError(f"{path}: not a UF2 file ({len(data)} bytes)")
    flash = bytearray(b"\xff" * FLASH_BYTES)
    for start in range(0, len(data), _BLOCK):
        first, second, flags, address, length, _, _, family = struct.unpack_from("<8I", data, start)
        (last,) = struct.unpack_from("<I", data, start + _BLOCK - 4)
        if (first, second, last) != (_MAGIC_FIRST, _MAGIC_SECOND, _MAGIC_LAST):
            raise ValueError(f"{path}: no UF2 block at byte {start}")
        if flags & _NOT_FLASH or (flags & _HAS_FAMILY and family != _FAMILY_RP2040):
            continue
        place = address - _XIP
        if length != _PAYLOAD or not 0 <= place <= FLASH_BYTES - length:
            raise ValueError(f"{path}: block for {address:#x} is outside of the flash of a Pico")
        flash[place : place + length] = data[start + 32 : start + 32 + length]
    if flash.count(0xFF) == FLASH_BYTES:
        raise ValueError(f"{path}: holds nothing for an RP2040")
    return bytes(flash)
