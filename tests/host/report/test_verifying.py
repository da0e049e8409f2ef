"""`haipump log --verify`, as typed: on a pump and on a downloaded file, whole, changed, cut and put together anew."""

from __future__ import annotations

import binascii
import hashlib
import json
import sqlite3
import struct

import pytest

import haipump
from haipump.errors import Refused
from haipump.journal import SIZE, RunFile
from haipump_fw.store import flashmap
from tests.host.report.quick_line import QuickLine
from tests.host.report.test_commands import line, run, used

__all__ = ["line", "used"]  # fixtures
JOURNAL_AT = flashmap.JOURNAL_FIRST * flashmap.SECTOR


def restart_with(line: QuickLine, change) -> None:
    """The power goes, somebody rewrites the flash, and the pump starts again."""
    line.core.power(False)
    port = line.core.flash_port
    data = bytearray(port.data)
    change(data)
    port.data[:] = data
    line.core.power(True)
    line.core.run_until(line.core.now_us + 1_000_000)


def place(data: bytes | bytearray, seq: int) -> int:
    """Where record `seq` lies."""
    for at in range(JOURNAL_AT, len(data), SIZE):
        if struct.unpack_from("<I", data, at + 4)[0] == seq:
            return at
    raise AssertionError(f"there is no record {seq}")


def forge(data: bytearray, seq: int) -> None:
    """Another volume in a record, with a right checksum."""
    at = place(data, seq)
    data[at + 20] ^= 1
    data[at + 60 : at + 64] = struct.pack("<I", binascii.crc32(data[at : at + 60]))


@pytest.mark.requirement("REQ-X-07")
def test_a_journal_as_the_pump_wrote_it_is_whole(used, tmp_path) -> None:
    said = json.loads(run("log", "--verify", "--json"))
    assert said["intact"] and said["first"] == 1 and said["links"] == said["count"] == said["last"] > 20
    assert said["first_bad"] is None and said["dropped"] == 0 and len(said["chain"]) == 24
    assert "Every number, checksum and link fits." in run("log", "--verify")
    text = run("log", "--verify", "--to", str(tmp_path / "r.sqlite"))
    assert "Every number, checksum and link fits." in text and "has records 1 to" in text
    again = json.loads(run("log", "--verify", "--from", str(tmp_path / "r.sqlite"), "--json"))
    assert (again["last"], again["chain"]) == (said["last"], said["chain"])


def test_the_end_of_the_chain_is_what_the_documents_say(used) -> None:
    """Worked out here from the raw records alone."""
    with haipump.connect(used) as pump:
        chain = bytes(12)
        for raw in pump.journal():
            chain = hashlib.sha256(chain + raw.data[:48]).digest()[:12]
    assert json.loads(run("log", "--verify", "--json"))["chain"] == chain.hex()


def test_what_the_chain_cannot_show_is_said_and_its_end_shows_it(used) -> None:
    before = json.loads(run("log", "--verify", "--json"))

    def cut(data: bytearray) -> None:
        at = place(data, before["last"])
        data[at : at + SIZE] = b"\xff" * SIZE

    restart_with(used, cut)
    said = json.loads(run("log", "--verify", "--json"))
    assert said["intact"] and said["chain"] != before["chain"]
    assert "The chain has no key" in run("log", "--verify")


@pytest.mark.requirement("REQ-X-07")
def test_a_forged_record_is_named(used) -> None:
    restart_with(used, lambda data: forge(data, 7))
    said = json.loads(run("log", "--verify", "--json", code=1))
    assert not said["ok"] and said["error"]["kind"] == "broken_journal"
    assert (said["error"]["first_bad"], said["error"]["broken"]) == (7, [7])
    text = run("log", "--verify", code=1)
    assert "first bad record is 7" in text and "no continuation of the record before: 7" in text


@pytest.mark.requirement("REQ-X-07")
def test_a_damaged_record_is_missing_on_the_pump_and_named_in_a_file(used, tmp_path) -> None:
    file = str(tmp_path / "r.sqlite")
    run("log", "--to", file)
    db = sqlite3.connect(file)
    raw = bytearray(db.execute("select raw from records where seq = 9").fetchone()[0])
    raw[30] ^= 4
    db.execute("update records set raw = ? where seq = 9", (bytes(raw),))
    db.commit()
    db.close()
    found = json.loads(run("log", "--verify", "--from", file, "--json", code=1))["error"]
    assert (found["damaged"], found["gaps"], found["first_bad"]) == ([9], [], 9)

    def rot(data: bytearray) -> None:
        data[place(data, 9) + 30] ^= 4

    restart_with(used, rot)
    found = json.loads(run("log", "--verify", "--json", code=1))["error"]
    assert (found["gaps"], found["first_bad"]) == ([[9, 9]], 9)
    assert "missing or unreadable: 9" in run("log", "--verify", code=1)


@pytest.mark.requirement("REQ-X-07")
def test_a_record_left_out_and_its_followers_numbered_anew_breaks_the_chain(used) -> None:
    """Numbers and checksums are all right; only the chain knows."""

    def leave_out(data: bytearray) -> None:
        for seq in range(8, 12):
            at, behind = place(data, seq), place(data, seq + 1)
            body = bytearray(data[behind : behind + SIZE])
            struct.pack_into("<I", body, 4, seq)
            struct.pack_into("<I", body, 60, binascii.crc32(body[:60]))
            data[at : at + SIZE] = body
        at = place(data, 12)
        data[at : at + SIZE] = bytes(SIZE)

    restart_with(used, leave_out)
    found = json.loads(run("log", "--verify", "--json", code=1))["error"]
    assert found["first_bad"] == 8 and 8 in found["broken"] and found["gaps"] == [[12, 12]]


def test_a_journal_made_anew_as_a_whole_is_none_that_continues_an_old_download(used, tmp_path) -> None:
    file = str(tmp_path / "r.sqlite")
    run("log", "--to", file)

    def wipe(data: bytearray) -> None:
        data[JOURNAL_AT:] = b"\xff" * (len(data) - JOURNAL_AT)

    restart_with(used, wipe)
    assert json.loads(run("log", "--verify", "--json"))["intact"]  # a new journal is whole in itself ...
    assert "is not the one in" in run("log", "--verify", "--to", file, code=2)  # ... and not the one we knew


def test_what_the_ring_dropped_is_said_and_is_no_fault(line, tmp_path) -> None:
    with haipump.connect(line) as pump:
        pump.syringe("30mL", "30mL")
    journal = line.core.app.storage.journal
    while journal.first_seq <= 1:  # a life of 60 sectors, written straight into the store
        journal.append("state", 1, 0, 1, 1, 0)
        journal.flush(10**6)
        journal.erase_ahead(10**6)
    said = json.loads(run("log", "--verify", "--json"))
    assert said["intact"] and said["dropped"] == said["first"] - 1 > 0 and said["links"] == said["count"] - 1
    assert f"Records 1 to {said['dropped']} are not there" in run("log", "--verify")


@pytest.mark.requirement("A23")
def test_log_shows_a_file_without_a_pump(used, tmp_path) -> None:
    file = str(tmp_path / "r.sqlite")
    run("log", "--to", file)
    assert run("log", "-n", "3").splitlines()[:3] == run("log", "-n", "3", "--from", file).splitlines()[:3]
    said = json.loads(run("log", "-n", "3", "--from", file, "--json"))
    assert len(said["records"]) == 3 and said["records"][-1]["seq"] == said["last"]


def test_an_empty_file_has_nothing_to_verify(tmp_path) -> None:
    with RunFile(tmp_path / "r.sqlite"):
        pass
    assert "nothing to verify" in run("log", "--verify", "--from", str(tmp_path / "r.sqlite"))
    assert "no records" in run("log", "--from", str(tmp_path / "r.sqlite"))


@pytest.mark.parametrize("words", [("--verify", "--follow"), ("--from", "a", "--follow"), ("--from", "a", "--to", "b")])
def test_options_that_exclude_each_other(words) -> None:
    assert "do not go together" in run("log", *words, code=2)


def test_a_pump_whose_flash_fails_is_told_apart_from_one_that_did_nothing(used, tmp_path) -> None:
    """What is there is whole; what is not there can't be seen in it."""
    assert not json.loads(run("log", "--verify", "--json"))["storage_fails"]
    for sector in range(64):
        used.core.flash_port.break_sector(sector, "program_error")
    with haipump.connect(used) as pump, pytest.raises(Refused, match="stored"):
        pump.rate("1.3mL/day")
    used.sleep(60)
    said = json.loads(run("log", "--verify", "--json"))
    assert said["intact"] and said["storage_fails"]
    assert f"flash fails: what it did after record {said['last']}" in " ".join(run("log", "--verify").split())
    assert "flash fails" in run("log", "--verify", "--to", str(tmp_path / "r.sqlite"))
