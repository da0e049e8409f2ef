"""What the tests of the store share: records told from their bytes without the code under test, a journal that is
drained, and the ways in which the power goes.

The bytes are checked here with `zlib`, `hashlib` and `struct` alone.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator

from haipump_emulator.faults.flash import CUT_MODES, PowerCut, RamFlash
from haipump_fw.proto.messages import RECORDS
from haipump_fw.store import flashmap
from haipump_fw.store.journal import Journal
from haipump_fw.store.records import Record
from haipump_fw.store.settings import Settings

PAGE_US = flashmap.PAGE_WINDOW_US
ERASE_US = flashmap.ERASE_WINDOW_US
SECTOR = flashmap.SECTOR

COMMIT = (2, 1, 1_000_000, 2_000_000, -5, 1_234, 5_012, 30_000_000, 100_000)


def small_flash(seed: int = 0, sectors: int = 10) -> RamFlash:
    return RamFlash(sectors * SECTOR, seed=seed)


def opened(flash: RamFlash, first: int = 0, sectors: int | None = None) -> Journal:
    journal = Journal(flash, first, flash.size // SECTOR - first if sectors is None else sectors)
    journal.open()
    return journal


def settle(journal: Journal, calls: int = 100_000) -> None:
    """Grant windows until the journal has nothing to do; erases come first, as in an idle pump."""
    for _ in range(calls):
        if journal.needs_erase():
            journal.erase_ahead(ERASE_US)
        elif journal.pending and not journal.failed:
            journal.flush(PAGE_US)
        else:
            return
    raise AssertionError("the journal never comes to rest")


def put(journal: Journal, kind: str, *values: int, boot: int = 1, uptime_s: int = 0) -> int:
    """Append and write at once."""
    seq = journal.append(kind, boot, uptime_s, *values)
    settle(journal)
    return seq


def fill(journal: Journal, count: int) -> list[int]:
    """Write `count` commits (what restates comes on top)."""
    return [put(journal, "commit", 2, 1, number, number, 0, 0, 0, 0, 0) for number in range(count)]


def seq_of(raw: bytes) -> int:
    return struct.unpack_from("<I", raw, 4)[0]


def crc_fits(raw: bytes) -> bool:
    return struct.unpack_from("<I", raw, 60)[0] == zlib.crc32(raw[:60])


def chain_fits(before: bytes, raw: bytes) -> bool:
    return hashlib.sha256(before + raw[:48]).digest()[:12] == raw[48:60]


def everything(journal: Journal) -> list[bytes]:
    """All records from the oldest to the newest, with CRC, numbers and chain checked on the way."""
    out: list[bytes] = []
    if journal.last_seq:
        for seq in range(journal.first_seq, journal.last_seq + 1):
            raw = journal.read(seq)
            assert raw is not None, f"record {seq} of {journal.first_seq} to {journal.last_seq} is gone"
            assert len(raw) == 64 and crc_fits(raw) and seq_of(raw) == seq
            before = out[-1][48:60] if out else bytes(12)
            assert chain_fits(before, raw) or (not out and seq > 1), f"the chain breaks at {seq}"
            out.append(raw)
        assert out[-1][48:60] == journal.last_chain
    assert list(journal.backwards(1 << 20)) == out[::-1]
    return out


def settled(settings: Settings, calls: int = 10_000) -> Settings:
    """Grant windows until the settings have nothing to do."""
    for _ in range(calls):
        if not settings.step(ERASE_US):
            return settings
    raise AssertionError("the settings never come to rest")


def every_cut(data: bytes, job: Callable[[RamFlash], None]) -> Iterator[tuple[RamFlash, str]]:
    """Run `job` on a flash that holds `data` once to count its operations; then again for each of them and each kind of
    cut. Yields the flash after the power has come back, and a name for the cut."""
    dry = RamFlash(len(data), data)
    job(dry)
    for number in range(1, dry.operations + 1):
        for mode in CUT_MODES:
            flash = RamFlash(len(data), data, seed=number)
            flash.cut_after(number, mode)
            try:
                job(flash)
            except PowerCut:
                flash.power_on()
                yield flash, f"operation {number}, {mode}"
            else:
                raise AssertionError(f"operation {number} never came: the job is not repeatable")


# --- what a restart must know, worked out from all records there ever were ---

KEPT_KINDS = {1: "boot", 2: "ids", 11: "carry", 5: "commit", 8: "syringe"}
INTENT, RESULT = 3, 4


def known_of(raws: list[bytes]) -> dict[str, object]:
    """{kind: (boot, uptime, payload) of its latest record, "intents": those of the orders without result}"""
    known: dict[str, object] = dict.fromkeys(KEPT_KINDS.values())
    intents: dict[bytes, bytes] = {}
    for raw in raws:
        if raw[0] in KEPT_KINDS:
            known[KEPT_KINDS[raw[0]]] = said(raw)
        elif raw[0] == INTENT:
            intents[raw[12:16]] = raw
        elif raw[0] == RESULT:
            intents.pop(raw[12:16], None)
    known["intents"] = sorted(
        (said(raw) for raw in intents.values()), key=lambda what: int.from_bytes(what[2][:4], "little")
    )
    return known


def said(raw: bytes) -> tuple[int, int, bytes]:
    """Boot, uptime and payload of a record: what stays the same when it is stated again."""
    boot, _, uptime_s = struct.unpack_from("<HII", raw, 2)
    return boot, uptime_s, raw[12:48]


def recovered(journal: Journal) -> dict[str, object]:
    """The same from `Journal.recover`."""

    def told(record: Record) -> tuple[int, int, bytes]:
        packing = {row[1]: row[2] for row in RECORDS}[record.name or ""]
        return record.boot, record.uptime_s, struct.pack(packing, *record.values.values()).ljust(36, b"\0")

    known = journal.recover()
    out: dict[str, object] = {name: known[name] and told(known[name]) for name in KEPT_KINDS.values()}
    out["intents"] = [told(record) for record in known["intents"]]
    return out
