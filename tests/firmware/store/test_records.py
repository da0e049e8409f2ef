"""One record: every kind packs and unpacks, what does not fit is refused, damage is seen."""

import hashlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.proto.messages import RECORDS
from haipump_fw.store import records

LIMITS = {
    "B": (0, 2**8 - 1),
    "H": (0, 2**16 - 1),
    "I": (0, 2**32 - 1),
    "i": (-(2**31), 2**31 - 1),
    "Q": (0, 2**64 - 1),
    "q": (-(2**63), 2**63 - 1),
}


def made(name, values, boot=7, uptime_s=1234, seq=1, chain=bytes(12)) -> bytes:
    record = memoryview(bytearray(b"\xaa" * 64))
    records.fill(record, name, boot, uptime_s, values)
    running = bytearray(chain)
    records.seal(record, seq, running)
    assert bytes(running) == bytes(record[48:60])
    return bytes(record)


@pytest.mark.requirement("REQ-X-07", "R12")
def test_layout():
    raw = made("result", (9, 4, 1, 100_000, 99_999, 99_998, 0), boot=0x1_0007, uptime_s=86_400, seq=5, chain=b"c" * 12)
    body = struct.pack("<BBHIIIBBQQQi2x", 4, 1, 7, 5, 86_400, 9, 4, 1, 100_000, 99_999, 99_998, 0)
    assert len(body) == 48
    chain = hashlib.sha256(b"c" * 12 + body).digest()[:12]
    assert raw == body + chain + struct.pack("<I", zlib.crc32(body + chain))


def test_the_table_fits_a_record():
    assert len({row[0] for row in RECORDS}) == len({row[1] for row in RECORDS}) == len(RECORDS)
    for kind, _, packing, fields in RECORDS:
        assert 0 < kind < 256 and packing[0] == "<" and set(packing[1:]) <= set(LIMITS)
        assert struct.calcsize(packing) <= 36
        assert len(packing) - 1 == len(fields.split())


def a_record():
    def values_of(row):
        return st.tuples(st.just(row), st.tuples(*[st.integers(*LIMITS[code]) for code in row[2][1:]]))

    return st.sampled_from(RECORDS).flatmap(values_of)


@given(
    a_record(),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2**32 - 1),
    st.binary(min_size=12, max_size=12),
)
def test_round_trip(what, boot, uptime_s, seq, chain):
    row, values = what
    raw = made(row[1], values, boot, uptime_s, seq, chain)
    assert records.judge(raw) == records.VALID
    assert records.seq_of(raw) == seq
    assert records.link(chain, raw) == raw[48:60]
    record = records.Record(raw)
    assert (record.kind, record.name, record.restated) == (row[0], row[1], False)
    assert (record.boot, record.uptime_s, record.seq) == (boot, uptime_s, seq)
    assert record.values == dict(zip(row[3].split(), values, strict=True))


@pytest.mark.parametrize("row", RECORDS, ids=lambda row: row[1])
def test_what_does_not_fit_is_refused_and_changes_nothing(row):
    record = memoryview(bytearray(b"\xaa" * 64))
    good = [LIMITS[code][0] for code in row[2][1:]]
    for at, code in enumerate(row[2][1:]):
        for bad in (LIMITS[code][0] - 1, LIMITS[code][1] + 1):
            with pytest.raises(ValueError, match=row[3].split()[at]):
                records.fill(record, row[1], 1, 1, [*good[:at], bad, *good[at + 1 :]])
    for wrong in (good[1:], [*good, 0]):
        with pytest.raises(ValueError, match=f"has {len(good)} fields"):
            records.fill(record, row[1], 1, 1, wrong)
    assert bytes(record) == b"\xaa" * 64


def test_unknown_names():
    for call in (lambda: records.kind_of("nonsense"), lambda: made("nonsense", ())):
        with pytest.raises(KeyError):
            call()


def test_every_flipped_bit_is_seen():
    raw = made("commit", (2, 1, 1, 2, 3, 4, 5, 6, 7))
    for bit in range(512):
        bad = bytearray(raw)
        bad[bit // 8] ^= 1 << bit % 8
        assert records.judge(bad) == records.DAMAGED
    assert records.judge(bytearray(b"\xff" * 64)) == records.EMPTY
    assert records.judge(bytes(64)) == records.DAMAGED


@pytest.mark.parametrize(("at", "value"), [(0, 250), (1, 2)], ids=["kind", "format"])
def test_a_record_of_a_later_version_is_kept_but_not_explained(at, value):
    raw = bytearray(made("carry", (1, 2, 3, 4, 6, 7, 8, 9), seq=77))
    raw[at] = value
    raw[60:] = struct.pack("<I", zlib.crc32(raw[:60]))
    assert records.judge(raw) == records.VALID
    record = records.Record(raw)
    assert record.name is None and record.values == {} and record.seq == 77


def test_restated():
    raw = bytearray(made("carry", (1, 2, 3, 4, 6, 7, 8, 9)))
    raw[1] |= records.RESTATED
    record = records.Record(raw)
    assert record.restated and record.name == "carry" and record.values["lost_steps"] == 6
