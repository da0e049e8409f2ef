"""One journal record: 64 bytes, little-endian, packed by the table `RECORDS` of the protocol.

Owns: the layout, its CRC and its chain. Must not: know where a record lies or what the pump does with it.

    at  size
     0   1    kind         row of RECORDS
     1   1    format       FORMAT; plus RESTATED when it repeats an older record of this kind (see `store.journal`)
     2   2    boot         number of the boot modulo 65,536
     4   4    seq          1, 2, 3 ... for ever
     8   4    uptime_s     since that boot
    12  36    payload      fields by the struct format of the row, the rest 0
    48  12    chain        first 12 bytes of SHA-256(chain of the record before, or zeros; then bytes 0 to 47)
    60   4    CRC-32 of bytes 0 to 59

A repeated record keeps boot and uptime of the original: it says again what was true then, nothing new happened.
"""

import binascii
import hashlib
import struct

from haipump_fw.const import const
from haipump_fw.proto.messages import RECORDS

SIZE = const(64)
BODY = const(48)  # header and payload: what is chained
PAYLOAD_AT = const(12)
PAYLOAD = const(36)
CHAIN = const(12)
FORMAT = const(1)
RESTATED = const(0x80)

CHAIN_START = bytes(CHAIN)

_CRC_AT = const(60)
_WHOLE = const(0x2144DF1C)  # CRC-32 of anything that ends with its own CRC-32
_HEADER = "<BBHII"
_ZEROS = bytes(SIZE)
_BLANK = b"\xff" * SIZE

EMPTY, VALID, DAMAGED = const(0), const(1), const(2)  # what `judge` finds

_KIND, _NAME, _PACKING, _FIELDS = range(4)

# MicroPython's `struct` cuts off what does not fit and says nothing; CPython raises. Here both raise.
_RANGES = {
    "B": (0, 0xFF),
    "H": (0, 0xFFFF),
    "I": (0, 0xFFFFFFFF),
    "i": (-0x80000000, 0x7FFFFFFF),
    "Q": (0, 0xFFFFFFFFFFFFFFFF),
    "q": (-0x8000000000000000, 0x7FFFFFFFFFFFFFFF),
}


def row_of(name):
    """The row of RECORDS with that name; KeyError when there is none."""
    for row in RECORDS:
        if row[_NAME] == name:
            return row
    raise KeyError(name)


def kind_of(name):
    """The number of a kind of record; KeyError when there is none."""
    return row_of(name)[_KIND]


def fill(record, name, boot, uptime_s, values):
    """Write kind, boot, uptime and payload into `record` (a memoryview of 64 bytes); `seal` does the rest.

    `values` are the fields of the row in order, and nothing else. ValueError when their number or one of them does not
    fit, KeyError for an unknown name; `record` is then unchanged."""
    row = row_of(name)
    packing = row[_PACKING]
    if len(values) != len(packing) - 1:
        raise ValueError("%s has %d fields" % (name, len(packing) - 1))
    for at in range(len(values)):
        low, high = _RANGES[packing[at + 1]]
        if not low <= values[at] <= high:
            raise ValueError("%s: %s=%d" % (name, row[_FIELDS].split()[at], values[at]))
    record[:] = _ZEROS
    struct.pack_into(_HEADER, record, 0, row[_KIND], FORMAT, boot & 0xFFFF, 0, uptime_s)
    struct.pack_into(packing, record, PAYLOAD_AT, *values)


def seal(record, seq, chain):
    """Number the record, chain it to the one before (`chain`: bytearray of 12, becomes the chain of this one) and close
    it with its CRC. 0.2 ms on the chip, most of it SHA-256."""
    struct.pack_into("<I", record, 4, seq)
    chain[:] = link(chain, record)
    record[BODY:_CRC_AT] = chain
    struct.pack_into("<I", record, _CRC_AT, binascii.crc32(record[:_CRC_AT]))


def link(chain, record):
    """The 12 chain bytes that `record` must carry when `chain` is that of the record before."""
    digest = hashlib.sha256(chain)
    digest.update(memoryview(record)[:BODY])
    return digest.digest()[:CHAIN]


def judge(record):
    """EMPTY, VALID or DAMAGED: 64 bytes as they came from the flash."""
    if binascii.crc32(record) == _WHOLE:
        return VALID
    return EMPTY if record == _BLANK else DAMAGED


def seq_of(record):
    """The sequence number."""
    return struct.unpack_from("<I", record, 4)[0]


class Record:
    """A record taken apart. For a kind or format that this version does not know `name` is None and `values` is empty.

    Attributes: kind, name, restated, boot, seq, uptime_s, values ({field: number})."""

    def __init__(self, raw):
        """`raw`: at least the first 48 bytes of a valid record."""
        self.kind, form, self.boot, self.seq, self.uptime_s = struct.unpack_from(_HEADER, raw, 0)
        self.restated = form >= RESTATED
        self.name = None
        self.values = {}
        for row in RECORDS:
            if row[_KIND] == self.kind and form & ~RESTATED == FORMAT:
                self.name = row[_NAME]
                self.values = dict(zip(row[_FIELDS].split(), struct.unpack_from(row[_PACKING], raw, PAYLOAD_AT)))
