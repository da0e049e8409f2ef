"""The campaign's own reading of the journal: intents counted, copies and damage left out."""

from __future__ import annotations

from haipump_emulator.campaign.journal import intents
from haipump_fw.store import records


def record(seq: int, order: int, restated: bool = False) -> bytes:
    raw = bytearray(records.SIZE)
    records.fill(memoryview(raw), "intent", 1, 0, (order, *[0] * (len(records.row_of("intent")[2]) - 2)))
    raw[1] |= records.RESTATED * restated
    records.seal(memoryview(raw), seq, bytearray(records.CHAIN))
    return bytes(raw)


def test_intents_are_counted():
    damaged = bytearray(record(9, 5))
    damaged[20] ^= 1
    rows = [record(1, 5), record(2, 6), record(2, 6), record(3, 5), record(4, 7, restated=True), bytes(damaged)]
    flash = bytes(4 * 4096) + b"".join(rows) + b"\xff" * 640
    assert intents(flash) == ({5: 2, 6: 1}, True)
    assert intents(bytes(4 * 4096) + rows[1]) == ({6: 1}, False)
