"""The run file: decoding, chain, resuming, gaps, and whose it is."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace

import pytest

import haipump
from haipump.answers import JournalPage, RawRecord
from haipump.errors import UsageError
from haipump.journal import RunFile, decode, link, verify
from haipump.programme import daily
from haipump.protocol.codec import Event
from haipump.report.source import read
from haipump_fw.proto.messages import RECORDS
from haipump_fw.store import records as device
from tests.host.report.quick_line import QuickLine


def sealed(count: int, name: str = "ids", first: int = 1) -> list[bytes]:
    """Records as the pump writes them, chained."""
    chain, made = bytearray(device.CHAIN_START), []
    for seq in range(1, first + count):
        raw = bytearray(device.SIZE)
        device.fill(memoryview(raw), name, 3, 100 + seq, [0] * (len(device.row_of(name)[2]) - 1))
        device.seal(memoryview(raw), seq, chain)
        made.append(bytes(raw))
    return made[first - 1 :]


class FakePump:
    """Enough of a pump for a download: a list of records. Does not model anything else."""

    def __init__(self, raws: list[bytes], first: int = 1, device_id: str = "aa") -> None:
        self.raws, self.first, self.break_after = raws, first, None
        self.conversation = SimpleNamespace(greeting=SimpleNamespace(device=device_id))

    @property
    def last(self) -> int:
        return self.first + len(self.raws) - 1

    def clock(self):
        return SimpleNamespace(boot=3, uptime_s=500)

    def journal_page(self, seq: int, count: int = 2) -> JournalPage:
        return JournalPage(max(seq, self.first), 0, self.first, self.last)

    def journal(self, first: int | None = None):
        for number, seq in enumerate(range(max(first or 0, self.first), self.last + 1)):
            if self.break_after is not None and number >= self.break_after:
                raise ConnectionError("unplugged")
            if self.raws[seq - self.first]:
                yield RawRecord(seq, self.raws[seq - self.first])

    def totals(self):
        return haipump.answers.Totals(0, 0, 0, 0, 0, 0, 0)

    def lifetime(self):
        return haipump.answers.Lifetime(0, 0, 0, 0, 0, 0, 0, 0)

    def status(self):
        return haipump.answers.Status("stopped", 0, 0, 0, 0, 0, 0, 0, -1, "none")


def download(path, pump):
    with RunFile(path) as run:
        return run.download(pump)


@pytest.mark.parametrize("row", RECORDS, ids=[row[1] for row in RECORDS])
def test_every_kind_is_decoded_and_stored_in_columns(row, tmp_path) -> None:
    kind, name, _, fields = row
    values = [7 + at for at in range(len(fields.split()))]
    raw = bytearray(device.SIZE)
    device.fill(memoryview(raw), name, 0x1_0002, 99, values)
    device.seal(memoryview(raw), 1, bytearray(device.CHAIN_START))
    record = decode(bytes(raw), 1)
    assert (record.kind, record.name, record.boot, record.uptime_s, record.restated) == (kind, name, 2, 99, False)
    assert record.crc_ok and list(record.values.values()) == values and list(record.values) == fields.split()
    download(tmp_path / "run", FakePump([bytes(raw)]))
    db = sqlite3.connect(tmp_path / "run")
    assert db.execute(f"select * from record_{name}").fetchall() == [(1, *values)]
    assert db.execute("select raw, name, crc_ok from records").fetchall() == [(bytes(raw), name, 1)]
    db.close()


def test_the_largest_numbers_are_kept(tmp_path) -> None:
    raw = bytearray(device.SIZE)
    device.fill(memoryview(raw), "result", 1, 0, [2**32 - 1, 255, 255, 2**64 - 1, 2**63, 2**63 - 1, -1])
    device.seal(memoryview(raw), 1, bytearray(device.CHAIN_START))
    download(tmp_path / "run", FakePump([bytes(raw)]))
    db = sqlite3.connect(tmp_path / "run")
    assert db.execute("select planned_nl, stepped_nl from record_result").fetchone() == (str(2**64 - 1), 2**63 - 1)
    db.close()
    assert read(tmp_path / "run").records[0].values["planned_nl"] == 2**64 - 1


def test_restated_and_unknown_records_are_told_apart() -> None:
    raw = bytearray(device.SIZE)
    device.fill(memoryview(raw), "boot", 1, 5, [1, 0, 0, 0])
    raw[1] |= device.RESTATED
    device.seal(memoryview(raw), 9, bytearray(device.CHAIN_START))
    assert decode(bytes(raw)).restated and decode(bytes(raw)).name == "boot"
    for place, value in ((0, 200), (1, 2)):  # a kind, and a format, that these tools don't know
        other = bytearray(raw)
        other[place] = value
        device.seal(memoryview(other), 9, bytearray(device.CHAIN_START))
        assert decode(bytes(other)).name == "" and decode(bytes(other)).crc_ok and not decode(bytes(other)).values


def test_a_record_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="63 bytes"):
        decode(bytes(63))
    with pytest.raises(UsageError, match="record 8 calls itself 1"):
        decode(sealed(1)[0], 8)


def test_the_chain_is_that_of_the_firmware() -> None:
    raws = sealed(5)
    assert decode(raws[0]).chain == link(bytes(12), raws[0])
    verdict = verify(map(decode, raws))
    assert verdict.intact and verdict.from_first
    assert (verdict.first, verdict.last, verdict.count, verdict.links) == (1, 5, 5, 5)


def test_a_later_piece_of_the_chain_is_checked_from_its_second_record_on() -> None:
    verdict = verify(map(decode, sealed(5, first=11)))
    assert verdict.intact and not verdict.from_first and verdict.links == 4


def test_a_changed_record_is_found() -> None:
    raws = sealed(6)
    raws[2] = raws[2][:20] + b"\x01" + raws[2][21:]
    verdict = verify(decode(raw, seq) for seq, raw in enumerate(raws, 1))
    assert verdict.damaged == (3,) and not verdict.broken and not verdict.intact
    assert verdict.links == 4  # neither into the damaged one nor out of it


def test_a_forged_record_with_a_right_checksum_breaks_the_chain() -> None:
    raws = sealed(6)
    forged = bytearray(raws[2])
    forged[12] ^= 1
    forged[60:] = device.binascii.crc32(forged[:60]).to_bytes(4, "little")
    raws[2] = bytes(forged)
    verdict = verify(map(decode, raws))
    assert verdict.broken == (3,) and not verdict.damaged


def test_gaps_are_found_and_not_counted_as_breaks() -> None:
    raws = sealed(9)
    verdict = verify(map(decode, [*raws[:3], *raws[5:]]))
    assert verdict.gaps == ((4, 5),) and not verdict.broken and not verdict.intact


def test_a_download_goes_on_where_it_broke_off(tmp_path) -> None:
    pump = FakePump(sealed(200))
    pump.break_after = 130
    with pytest.raises(ConnectionError):
        download(tmp_path / "run", pump)
    assert len(read(tmp_path / "run").records) == 130
    pump.break_after = None
    done = download(tmp_path / "run", pump)
    assert (done.new, done.first, done.last, done.count, done.missing) == (70, 1, 200, 200, 0)
    assert read(tmp_path / "run").chain.intact
    assert download(tmp_path / "run", pump).new == 0


def test_progress_counts_up_to_the_whole(tmp_path) -> None:
    seen = []
    with RunFile(tmp_path / "run") as run:
        run.download(FakePump(sealed(5, first=100), first=100), lambda have, last: seen.append((have, last)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_what_the_pump_lost_is_said(tmp_path) -> None:
    raws = sealed(30)
    download(tmp_path / "run", FakePump(raws[:5]))
    kept = raws[7:]
    kept[3] = b""  # damaged on the flash
    done = download(tmp_path / "run", FakePump(kept, first=8))
    assert done.gaps == ((6, 7), (11, 11)) and done.missing == 3
    assert read(tmp_path / "run").chain.gaps == done.gaps


def test_another_journal_and_another_pump_are_refused(tmp_path) -> None:
    download(tmp_path / "run", FakePump(sealed(5)))
    with pytest.raises(UsageError, match="last record is 2"):
        download(tmp_path / "run", FakePump(sealed(2)))
    with pytest.raises(UsageError, match="record 5 is another one"):
        download(tmp_path / "run", FakePump(sealed(6, "carry")))
    assert len(read(tmp_path / "run").records) == 5


def test_an_empty_journal_is_no_error(tmp_path) -> None:
    done = download(tmp_path / "run", FakePump([]))
    assert (done.new, done.count, done.gaps) == (0, 0, ())


def test_other_files_are_refused_and_left_alone(tmp_path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to look at, whatever it is")
    other = tmp_path / "other.sqlite"
    db = sqlite3.connect(other)
    db.execute("create table songs (name)")
    db.commit()
    db.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(UsageError, match="no run file"):
            RunFile(path)
        with pytest.raises(UsageError, match="run file"):
            read(path)
        assert path.read_bytes() == before
    with pytest.raises(UsageError, match="there is no file"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize(
    "change",
    [
        "delete from records where seq = 2",  # its columns stay, and there is no second of them
        "drop table records; create table records (seq integer primary key)",
        "insert into meta (seen_utc, what, data) values ('', 'hello', 'x')",
        "insert into meta (seen_utc, what, data) values ('', 'hello', '[]')",
    ],
)
def test_a_file_that_somebody_changed_is_not_continued_and_says_so(change, tmp_path) -> None:
    path = tmp_path / "run"
    download(path, FakePump(sealed(2)))
    db = sqlite3.connect(path)
    db.executescript(change)
    db.commit()
    db.close()
    with pytest.raises(UsageError, match="run can't be continued: .* put it aside, and download into a new file"):
        download(path, FakePump(sealed(4)))


def test_a_note_that_somebody_changed_is_no_traceback(tmp_path) -> None:
    download(tmp_path / "run", FakePump(sealed(2)))
    db = sqlite3.connect(tmp_path / "run")
    db.executescript("update meta set data = 'x'")
    db.close()
    with pytest.raises(UsageError, match="can't be read as a run file"):
        read(tmp_path / "run")


def test_a_file_of_newer_tools_is_refused(tmp_path) -> None:
    download(tmp_path / "run", FakePump(sealed(2)))
    db = sqlite3.connect(tmp_path / "run")
    db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(UsageError, match="newer"):
        read(tmp_path / "run")


def test_notes_and_events_of_a_real_pump(tmp_path) -> None:
    line = QuickLine()
    programme = daily("1.3mL/day", 2, "0.1mL", "8h")
    with haipump.connect(line) as pump, RunFile(tmp_path / "run") as run:
        with pytest.raises(UsageError, match="note_pump first"):
            run.add_event(Event(1, "button", {"button": "stop"}))
        run.note_pump(pump)
        run.note_programme(programme)
        device_id = pump.hello().device
        pump.telemetry(1)
        line.sleep(3)
        for event in pump.events(timeout_s=0.0):
            run.add_event(event)
        run.add_event(Event(1, "boot", {"boot": 2, "reset": "power", "state": "stopped"}))
        run.add_event(Event(4, "button", {"button": "stop"}, missed=2))
    source = read(tmp_path / "run")
    assert source.latest("hello")["device"] == device_id
    assert {"info", "calibration", "limits", "settings", "totals"} <= {note.what for note in source.notes}
    assert source.latest("programme")["text"] == programme.wire_text()
    assert source.latest("programme")["volume_nl"] == 2 * 1_400_000
    teles = [event for event in source.heard if event.name == "tele"]
    assert len(teles) >= 3 and all(event.boot == 1 for event in teles)
    assert teles[0].fields["state"] == "stopped"
    last = [(event.boot, event.name, event.missed) for event in source.heard[-2:]]
    assert last == [(2, "boot", 0), (2, "button", 2)]
