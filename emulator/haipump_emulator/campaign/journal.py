"""What the flash says about orders, read by a decoder of the campaign's own.

Owns: finding the intents in the bytes of the partition. Must not: believe a record whose checksum is wrong.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter

from haipump_fw.proto.messages import RECORDS

RECORD = 64
RESTATED = 0x80  # it repeats an older one
_FIRST = 4 * 4096  # the sectors before it hold settings
_INTENT = next(kind for kind, name, _, _ in RECORDS if name == "intent")


def intents(flash: bytes) -> tuple[Counter[int], bool]:
    """How often each order was begun, and whether the journal still has its first record. A record that was written
    again, for its first place could not be trusted, has the number that it had."""
    found: set[tuple[int, int]] = set()
    whole = False
    for at in range(_FIRST, len(flash), RECORD):
        record = flash[at : at + RECORD]
        if zlib.crc32(record[:60]) != struct.unpack_from("<I", record, 60)[0]:
            continue
        whole = whole or struct.unpack_from("<I", record, 4)[0] == 1
        if record[0] == _INTENT and not record[1] & RESTATED:
            found.add((struct.unpack_from("<I", record, 12)[0], struct.unpack_from("<I", record, 4)[0]))
    return Counter(order for order, _ in found), whole
