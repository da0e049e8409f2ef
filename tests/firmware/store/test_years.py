"""Ten years of use, played into the store alone: no sector is erased more than half as often as it is rated for, and
all alike; and sectors that break on the way cost what lies on them, never the rest, and never silently."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from haipump_emulator.faults.flash import RamFlash
from haipump_fw.store import flashmap
from haipump_fw.store.journal import Journal
from haipump_fw.store.settings import Settings

from .support import ERASE_US, everything, opened, put, settle, settled

RATED_ERASES = 100_000
YEARS = 10
SECTORS = flashmap.JOURNAL_SECTORS
WORN_SECTORS = 24  # of the ring in which some break
BREAKAGES = ("program_error", "program_silent", "program_wrong", "erase_error", "erase_silent")


@dataclass(frozen=True)
class Use:
    """What one day brings: commits (each with its carry), orders (intent, two states, result), alarms (raised,
    acknowledged, clear), starts, settings saved, reservations of 256 ids, and reports of forged lines."""

    commits: int = 144
    orders: int = 2
    alarms: int = 3
    boots: int = 0
    saves: int = 0
    ids: int = 1
    forged: int = 0


# By name: how the pump is used, from a quiet fortnight to what somebody can do to it.
USES = {
    "fourteen days of basal": Use(orders=0, alarms=0),
    "refilled every day": Use(orders=6, saves=2, alarms=4),
    "a bolus each hour": Use(orders=24, commits=200),
    "a bolus each five minutes": Use(orders=288, commits=430, ids=2),
    "five syringes a day, a commit each 80 uL": Use(commits=1_800, orders=40),
    "alarms all day": Use(alarms=300, orders=20),
    "switched off every night": Use(boots=1),
    "a supply that sags 50 times a day": Use(boots=50, orders=50, alarms=100),
    "settings changed every hour": Use(saves=24),
    "a host that asks under a new id each second": Use(ids=340),
    "forged lines day and night": Use(forged=144),
    "stopped for years": Use(commits=0, orders=0, alarms=0, ids=0, boots=1),
}


def play(flash: RamFlash, use: Use, days: int) -> tuple[Journal, Settings]:
    """So many days of it, with the idle time that a pump has."""
    journal = opened(flash, flashmap.JOURNAL_FIRST, SECTORS)
    settings = Settings(flash, flashmap.SETTINGS_A, flashmap.SETTINGS_B)
    settings.load()
    boot = 1
    for day in range(days):
        for _ in range(use.boots):
            boot += 1
            journal = opened(flash, flashmap.JOURNAL_FIRST, SECTORS)
            put(journal, "boot", boot, 0, 0, 0, boot=boot)
        for number in range(use.saves):
            settings.save({"max_bolus_nl": 1_000 + number})
            settled(settings)
            put(journal, "settings", settings.generation, 1)
        for number in range(use.commits):
            put(journal, "carry", number, day, 0, 0, 0, 0, 0, 0)
            put(journal, "commit", 2, 1, number, day, 0, 0, 5000, 0, 0)
        for number in range(use.orders):
            order = day * 1_000 + number + 1
            put(journal, "intent", order, 4, 100_000, 60, 0, 0, 1)
            put(journal, "state", 3, 2, 0)
            put(journal, "result", order, 4, 1, 1, 1, 1, 0)
            put(journal, "state", 2, 3, 5)
        for number in range(use.alarms):
            put(journal, "alarm", 1 + number % 16, 1 + number % 3, 1, 0, number)
        for _ in range(use.ids):
            put(journal, "ids", day)
        for number in range(use.forged):
            put(journal, "refused", number, number)
    settle(journal)
    return journal, settings


def days_of(use: Use) -> int:
    """Enough for every sector to be erased some times, and no more."""
    records = 2 * use.commits + 4 * use.orders + use.alarms + use.boots + use.saves + use.ids + use.forged
    return max(6, min(3_650, 4 * SECTORS * 64 // max(1, records)))


@pytest.mark.requirement("CS-REQ-85/86")
@pytest.mark.parametrize("name", USES)
def test_ten_years_wear_no_sector_beyond_half_of_its_life(name, part):
    if name not in part(list(USES), 4):
        return
    use = USES[name]
    flash, days = RamFlash(), days_of(USES[name])
    journal, settings = play(flash, use, days)
    everything(journal)
    erases = flash.erases[flashmap.JOURNAL_FIRST :]
    ten_years = (max(flash.erases) + 1) * YEARS * 365 // days
    assert ten_years < RATED_ERASES // 2, f"{name}: {ten_years} erases in ten years"
    assert max(erases) - min(erases) <= 2 + use.boots * days, "the ring wears evenly"
    assert not journal.failed and not settings.failed and flash.overprograms == 0


@pytest.mark.requirement("CS-REQ-85/86")
@pytest.mark.parametrize("share", [1, 10, 50])
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_sectors_that_break_cost_what_lies_on_them(breakage, share):
    """That many of a hundred sectors break in the middle of a year. What is said to be written can be read, also after
    a start, until the ring drops it."""
    flash = RamFlash(WORN_SECTORS * flashmap.SECTOR)
    journal = opened(flash)
    put(journal, "syringe", 1, 1, 77, 1, 1, 1)
    for number in range(WORN_SECTORS * 64):
        put(journal, "state", 1, number % 9, 0)
    for index in range(1, WORN_SECTORS, 100 // share):
        flash.break_sector(index, breakage)
    for number in range(WORN_SECTORS * 64):
        before = journal.last_seq
        assert journal.append("state", 1, number, 1, number % 9, 0)
        for _ in range(400):
            if not journal.pending or journal.failed:
                break
            journal.erase_ahead(ERASE_US)
            journal.flush(ERASE_US)
        assert journal.last_seq > before, "accepted, and not written"
    assert not journal.failed
    lost = [seq for seq in range(journal.first_seq, journal.last_seq + 1) if journal.read(seq) is None]
    assert lost == [], "gone though nobody said so"
    again = opened(flash)
    assert again.last_seq == journal.last_seq and again.recover()["syringe"].values["bore_um"] == 77
    assert flash.overprograms == 0


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_journal_that_can_write_nothing_any_more_says_so_and_takes_no_more(breakage):
    """Broken all over: it fails, and refuses what comes then; what is in the last sectors can be read."""
    flash = RamFlash(SECTORS * flashmap.SECTOR)
    journal = opened(flash)
    for number in range(SECTORS * 70):
        put(journal, "state", 1, number % 9, 0)
    last = journal.last_seq
    for index in range(SECTORS):
        flash.break_sector(index, breakage)
    for number in range(SECTORS * 64):
        taken = journal.append("state", 1, number, 1, number % 9, 0)
        for _ in range(40):
            journal.erase_ahead(ERASE_US)
            journal.flush(ERASE_US)
        if not taken:
            break
    assert journal.failed and not taken
    assert all(journal.read(seq) is not None for seq in range(journal.last_seq - 300, journal.last_seq + 1))
    assert journal.last_seq <= last + flashmap.SECTOR // 64 * 17, "only into what was erased before it broke"
