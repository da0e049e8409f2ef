"""Journal records: 64 bytes as the pump stores them, taken apart.

Owns: the layout. Must not: fetch records (`client`) or keep them.

Layout (little-endian): kind, format, boot modulo 65,536 (2 bytes), sequence number (4), uptime in seconds (4), 36 bytes
of payload packed as `RECORDS` of the message table says, 12 bytes of chain, CRC-32 over the 60 bytes before. A format
with the highest bit set restates an older record.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Mapping
from dataclasses import dataclass

from haipump.errors import CommunicationError
from haipump_fw.proto.messages import RECORDS

SIZE = 64
UNREADABLE = "unreadable"
_HEADER = struct.Struct("<BBHII")
_CRC = struct.Struct("<I")
_RESTATED = 0x80
_ROWS = {kind: (name, struct.Struct(form), names.split()) for kind, name, form, names in RECORDS}


@dataclass(frozen=True)
class Record:
    """One record. `fields` are whole numbers; `restated`: it repeats what an older record said."""

    seq: int
    name: str
    boot: int
    uptime_s: int
    restated: bool
    fields: Mapping[str, int]


def decode(data: bytes) -> Record:
    """The record in 64 bytes. One of a kind that a newer pump adds has no fields. Raises CommunicationError when the
    checksum does not fit."""
    if len(data) != SIZE or _CRC.unpack_from(data, SIZE - 4)[0] != crc32(data[: SIZE - 4]):
        raise CommunicationError("a journal record came damaged", "Unchanged by this", "download it again")
    kind, form, boot, seq, uptime_s = _HEADER.unpack_from(data)
    name, payload, names = _ROWS.get(kind, (f"kind_{kind}", struct.Struct(""), []))
    fields = dict(zip(names, payload.unpack_from(data, _HEADER.size), strict=True))
    return Record(seq, name, boot, uptime_s, bool(form & _RESTATED), fields)


def unreadable(seq: int) -> Record:
    """What stands for a record that the pump itself cannot read any more."""
    return Record(seq, UNREADABLE, 0, 0, False, {})
