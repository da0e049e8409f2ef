"""What earlier versions left in the flash is read as it was written, by the pump and by the host's own decoder.

`version_1` is what the firmware of protocol 1 wrote before roles, reasons of states and remainders were recorded.
"""

from __future__ import annotations

import base64
import functools
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from haipump import journal as host
from haipump_emulator.direct import DirectCore
from haipump_emulator.faults.flash import RamFlash
from haipump_emulator.plant import Plant
from haipump_fw.core import alarms
from haipump_fw.core.states import STATES
from haipump_fw.store import flashmap, records
from haipump_fw.store.journal import Journal
from haipump_fw.store.settings import Settings
from tests.firmware.app.bench import Pump

FILES = sorted(Path(__file__).parent.glob("version_*.json"))
LIVES = [(path.stem, name) for path in FILES for name in ("used", "locked")]
every_life = pytest.mark.parametrize(("version", "name"), LIVES)


@functools.cache
def told(version: str, name: str) -> dict[str, Any]:
    """What that version said about itself."""
    return json.loads((Path(__file__).parent / f"{version}.json").read_text())[name]


@functools.cache
def image(version: str, name: str) -> bytes:
    return zlib.decompress(base64.b64decode(told(version, name)["flash"]))


def started(version: str, name: str) -> Pump:
    """Today's firmware on the flash of then."""
    of = Pump(core=DirectCore(Plant(seed=1), seed=1, flash=image(version, name)))
    of.run(0.5)
    of.next_id = of.ask("hello")["next_id"]
    return of


def test_version_1_is_kept():
    assert ("version_1", "used") in LIVES and ("version_1", "locked") in LIVES


@every_life
def test_every_record_of_then_is_read_by_the_pump(version, name):
    journal = Journal(RamFlash(data=image(version, name)), flashmap.JOURNAL_FIRST, flashmap.JOURNAL_SECTORS)
    assert journal.open() == "ok" and journal.damaged == 0
    found = [records.Record(journal.read(seq)) for seq in range(journal.first_seq, journal.last_seq + 1)]
    assert len(found) == len(told(version, name)["records"]) > 10
    for record, (seq, kind, boot, uptime_s, restated, values) in zip(
        found, told(version, name)["records"], strict=True
    ):
        assert (record.seq, record.name, record.boot, record.uptime_s) == (seq, kind, boot, uptime_s)
        assert record.restated == restated and values.items() <= record.values.items()


@every_life
def test_every_record_of_then_is_read_by_the_host(version, name):
    data = image(version, name)[flashmap.JOURNAL_FIRST * flashmap.SECTOR :]
    raws = [data[at : at + host.SIZE] for at in range(0, len(data), host.SIZE)]
    found = [host.decode(raw) for raw in raws if raw != b"\xff" * host.SIZE]
    assert host.verify(found).intact
    for record, (seq, kind, *_, values) in zip(found, told(version, name)["records"], strict=True):
        assert (record.seq, record.name) == (seq, kind) and values.items() <= record.values.items()


@every_life
def test_settings_of_then_are_in_force(version, name):
    settings = Settings(RamFlash(data=image(version, name)), flashmap.SETTINGS_A, flashmap.SETTINGS_B)
    assert settings.load() == "ok"
    was = told(version, name)
    assert was["settings"].items() <= settings.values.items()
    assert (settings.key and settings.key.hex()) == was["key"]


@every_life
def test_numbers_of_then_mean_the_same_now(version, name):
    """States and alarms are stored as numbers: a new one comes behind the old ones."""
    was = told(version, name)
    assert list(STATES[: len(was["states"])]) == was["states"]
    numbers = {row[alarms.NAME]: place for place, row in enumerate(alarms.ALARMS, 1)}
    assert was["alarms"].items() <= numbers.items()


@pytest.mark.parametrize("version", [path.stem for path in FILES])
def test_a_pump_of_then_starts_stopped_and_keeps_its_books(version):
    of = started(version, "used")
    totals, was = of.ask("totals"), told(version, "used")["totals"]
    assert of.state() == "stopped" and not of.enabled and of.app.storage.problem is None
    assert totals["stepped_min_nl"] <= was["stepped_nl"] <= totals["stepped_max_nl"]
    assert totals["stepped_max_nl"] - totals["stepped_min_nl"] == 100_000
    assert of.alarm("power_lost") is not None
    results = {record["order"]: record["result"] for record in of.journal_of("result")}
    opened = {record["order"] for record in of.journal_of("intent")}
    assert opened == set(results) and list(results.values()).count(5) == 2, "rate and bolus ended with the power"
    of.act("ack")
    of.order("prepare_rate rate_nl_per_day=1300000")
    of.run(60)
    assert of.state() == "infusing"


@pytest.mark.parametrize("version", [path.stem for path in FILES])
def test_a_locked_pump_of_then_stays_locked(version):
    of = started(version, "locked")
    assert of.ask("hello")["locked"] == 1
    assert of.no("prepare_rate rate_nl_per_day=1300000")["code"] == "locked"


@pytest.mark.requirement("A15")
@pytest.mark.parametrize("change", [b"HPS2", b"HPS1"])
def test_settings_of_a_later_version_leave_the_pump_stopped(change):
    """Another form, or another version number in the form that we know: never a default rate."""
    data = bytearray(image("version_1", "used"))
    for sector in (flashmap.SETTINGS_A, flashmap.SETTINGS_B):
        for at in range(sector * flashmap.SECTOR, (sector + 1) * flashmap.SECTOR, 1024):
            if data[at : at + 4] == b"HPS1":
                data[at : at + 4] = change
                data[at + 8] = 9  # the version
                end = at + 12 + int.from_bytes(data[at + 10 : at + 12], "little")
                data[end : end + 4] = zlib.crc32(data[at:end]).to_bytes(4, "little")
    of = Pump(core=DirectCore(Plant(seed=1), seed=1, flash=bytes(data)))
    of.run(0.5)
    of.next_id = of.ask("hello")["next_id"]
    assert of.state() == "stopped" and of.alarm("storage") is not None
    assert of.no("prepare_rate rate_nl_per_day=1300000")["code"] in ("storage", "alarm")


def test_a_journal_of_a_later_version_is_left_alone_and_the_pump_stays_stopped():
    """Not even the ids that were used are known: nothing is executed, nothing written; the host can still read it."""
    data = bytearray(image("version_1", "used"))
    begin = at = flashmap.JOURNAL_FIRST * flashmap.SECTOR
    while data[at : at + 64] != b"\xff" * 64:
        data[at + 1] = (data[at + 1] & 0x80) | 2
        data[at + 60 : at + 64] = zlib.crc32(data[at : at + 60]).to_bytes(4, "little")
        at += 64
    of = Pump(core=DirectCore(Plant(seed=1), seed=1, flash=bytes(data)))
    of.run(0.5)
    assert of.state() == "stopped" and of.alarm("storage") is not None
    assert of.no("prepare_rate rate_nl_per_day=1300000")["code"] == "storage"
    assert of.ask("log seq=3 count=1")["last"] == (at - begin) // 64
    of.run(1000)
    assert of.core.flash == bytes(data)
    found = [host.decode(bytes(data[place : place + 64])) for place in range(begin, at, 64)]
    assert all(record.crc_ok and record.name == "" for record in found)
