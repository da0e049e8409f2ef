"""Power cuts at every flash operation, in every way: old or new, never a mix, and it goes on from there.

Each case is a flash that holds a life before, and a job. The job is run once to count its operations, then once for
each operation and kind of cut; what is found afterwards is compared with all records of the run without a cut.
"""

import functools
import itertools

import pytest

from haipump_emulator.faults.flash import CUT_MODES, PowerCut, RamFlash
from haipump_fw.store.journal import Journal
from haipump_fw.store.settings import Settings

from .support import (
    ERASE_US,
    PAGE_US,
    SECTOR,
    every_cut,
    everything,
    known_of,
    opened,
    put,
    recovered,
    seq_of,
    settle,
    settled,
    small_flash,
)

# --- journal ---

Life = tuple[bytes, dict[int, bytes]]  # what the flash holds, and all records ever written


def an_order(journal: Journal, boot: int, order: int) -> None:
    """A bolus as the app books it; every third one stays without result."""
    put(journal, "intent", order, 4, 100_000, 60, 0, 0, 0, boot=boot)
    put(journal, "carry", order, order * 7, 0, order, -order, 80, -order, order, boot=boot)
    put(journal, "commit", 3, 4, order, order * 3, 0, 0, 5000, 0, 0, boot=boot)
    if order % 3:
        put(journal, "result", order, 4, 1, 100_000, 100_000, 99_900, 0, boot=boot)


@functools.cache
def life(records: int) -> Life:
    """A pump that has written about so many records, most of them orders."""
    flash = small_flash()
    journal = opened(flash)
    history: dict[int, bytes] = {}
    order = 0
    if records:
        put(journal, "boot", 1, 0, 0, 0)
        put(journal, "syringe", 30_000_000, 231_144_000, 21_700, 30_000_000, 5, 4)
        put(journal, "ids", 1000)
    while journal.last_seq < records:
        order += 1
        if order > 15:  # five intents stay open
            put(journal, "state", 1, order % 9, 3)
        else:
            an_order(journal, 1, order)
        for seq in range(max(history, default=0) + 1, journal.last_seq + 1):
            history[seq] = journal.read(seq) or b""
    return flash.snapshot(), history


def next_boot(flash: RamFlash, told: list[int], orders: int = 3) -> None:
    """What a pump writes after a start: its boot, then orders. `told` gets each record known to be on the flash."""
    journal = opened(flash)
    flush = journal.flush

    def telling(window_us: int) -> bool:
        done = flush(window_us)
        if done:
            told.append(journal.last_seq)
        return done

    journal.flush = telling
    put(journal, "boot", 2, 0, 0, 0, boot=2)
    for order in range(1000, 1000 + orders):
        an_order(journal, 2, order)


def check_after_cut(flash: RamFlash, history: dict[int, bytes], acknowledged: int) -> Journal:
    """The newest record is the last acknowledged one or the next; all that is there is as it was written."""
    journal = opened(flash)
    assert not journal.foreign and not journal.failed
    assert acknowledged <= journal.last_seq <= acknowledged + 1
    found = everything(journal)
    assert [history[seq_of(raw)] for raw in found] == found
    assert recovered(journal) == known_of([history[seq] for seq in sorted(history) if seq <= journal.last_seq])
    assert flash.overprograms == 0
    return journal


def goes_on(flash: RamFlash, journal: Journal) -> None:
    """It takes records again, numbered on, and finds them after the next start."""
    before = journal.last_seq
    known = recovered(journal)
    assert put(journal, "state", 9, 9, 9) == before + 1
    settle(journal)
    again = opened(flash)
    assert again.last_seq == journal.last_seq > before and recovered(again) == known
    everything(again)
    assert flash.overprograms == 0, "a place that was not blank was used again"


@pytest.mark.requirement("R12", "A7")
@pytest.mark.trials
@pytest.mark.parametrize("records", [0, 30, 52, 8 * 64 - 10, 11 * 64 + 52])
def test_journal_cut_anywhere(records):
    data, before = life(records)
    dry: list[int] = []
    flash = RamFlash(len(data), data)
    next_boot(flash, dry)
    after = opened(flash)
    history = {**before, **{seq: after.read(seq) or b"" for seq in dry}}
    told: list[int] = []

    def job(flash: RamFlash) -> None:
        told[:] = [max(before, default=0)]
        next_boot(flash, told)

    cuts = 0
    for flash, name in every_cut(data, job):
        try:
            goes_on(flash, check_after_cut(flash, history, told[-1]))
        except AssertionError as error:
            raise AssertionError(f"{records} records, {name}") from error
        cuts += 1
    assert cuts >= len(CUT_MODES) * 12


@pytest.mark.trials
def test_journal_cut_again_while_it_gets_up():
    """Two cuts: in an order at the end of the ring, and in what the next start writes."""
    data, before = life(11 * 64 + 58)
    for flash, name in every_cut(data, lambda flash: next_boot(flash, [], orders=1)):
        first = opened(flash)
        history = {**before, **{seq: first.read(seq) or b"" for seq in range(max(before) + 1, first.last_seq + 1)}}
        for again, second_name in every_cut(flash.snapshot(), lambda flash: next_boot(flash, [], orders=1)):
            try:
                journal = opened(again)
                assert journal.last_seq >= first.last_seq
                found = {seq_of(raw): raw for raw in everything(journal)}
                assert all(history.get(seq, raw) == raw for seq, raw in found.items())
                everyone = {**history, **found}
                assert recovered(journal) == known_of([everyone[seq] for seq in sorted(everyone)])
                assert put(journal, "state", 9, 9, 9) and again.overprograms == 0
            except AssertionError as error:
                raise AssertionError(f"{name}; {second_name}") from error


def test_a_storm_of_cuts_at_the_first_write_costs_no_records_and_little_wear():
    """Power that fails again and again while the boot record is written."""
    data, before = life(11 * 64 + 60)
    flash = RamFlash(len(data), data, seed=1)
    modes = itertools.cycle(CUT_MODES)
    for _ in range(200):
        flash.cut_after(1, next(modes))
        journal = opened(flash)
        with pytest.raises(PowerCut):
            journal.append("boot", 2, 0, 2, 0, 0, 0)
            while not journal.flush(PAGE_US):
                journal.erase_ahead(ERASE_US)
        flash.power_on()
    journal = opened(flash)
    assert max(before) < journal.last_seq <= max(before) + 2 * 200 // len(CUT_MODES)
    everything(journal)
    assert sum(flash.erases) < 40
    goes_on(flash, journal)


# --- settings ---

KEYS = [bytes([number + 1]) * 32 for number in range(12)]


@functools.cache
def saved(times: int) -> bytes:
    """A flash with settings saved so many times: value and key go together."""
    flash = RamFlash(2 * SECTOR)
    for number in range(1, times + 1):
        change(flash, number)
    return flash.snapshot()


def change(flash: RamFlash, number: int, done: list[int] | None = None) -> None:
    """Start, tidy up, save value and key `number`; `done` gets the number as soon as that counts."""
    settings = Settings(flash, 0, 1)
    settings.load()
    settled(settings)
    assert settings.save({"kvo_nl_per_day": number}, KEYS[number]) == settings.generation + 1
    while settings.saving:
        settings.step(ERASE_US)
    if done is not None:
        done.append(number)
    settled(settings)


def value_of(flash: RamFlash) -> int:
    """The number that was saved; value and key must be of the same one. 0: never saved."""
    settings = Settings(flash, 0, 1)
    found = settings.load()
    if found == "blank":
        return 0
    assert found == "ok", settings.problem
    number = settings.values["kvo_nl_per_day"]
    assert settings.key == KEYS[number]
    return number


@pytest.mark.requirement("A15", "GIP-1.7.1")
@pytest.mark.parametrize("times", range(9))
def test_settings_cut_anywhere(times):
    done: list[int] = []

    def job(flash: RamFlash) -> None:
        done.clear()
        change(flash, times + 1, done)

    for flash, name in every_cut(saved(times), job):
        try:
            number = value_of(flash)
            assert number in ((times + 1,) if done else (times, times + 1))
            assert flash.overprograms == 0
            change(flash, 11)
            assert value_of(flash) == 11
            settings = Settings(flash, 0, 1)
            settings.load()
            assert not settings.damaged
        except AssertionError as error:
            raise AssertionError(f"saved {times} times; {name}") from error


@pytest.mark.parametrize("times", range(1, 5))
def test_settings_cut_after_a_program_that_failed(times):
    """What failed leaves one copy torn: the other one must not be touched until that is mended."""

    def job(flash: RamFlash) -> None:
        fails = [True]

        def first_program_fails(kind: str, address: int, _: int) -> None:
            flash.break_sector(address // SECTOR, "program_wrong" if kind == "program" and fails else None)
            if kind == "program":
                fails.clear()

        flash.on_operation = first_program_fails
        change(flash, times + 1)

    for flash, name in every_cut(saved(times), job):
        flash.on_operation = None
        try:
            assert value_of(flash) in (times, times + 1)
        except AssertionError as error:
            raise AssertionError(f"saved {times} times; {name}") from error


@pytest.mark.trials
@pytest.mark.parametrize("times", range(5))
def test_settings_cut_twice(times):
    for flash, name in every_cut(saved(times), lambda flash: change(flash, times + 1)):
        number = value_of(flash)
        for again, second_name in every_cut(flash.snapshot(), lambda flash: change(flash, 10)):
            try:
                assert value_of(again) in (number, 10)
                change(again, 11)
                assert value_of(again) == 11
            except AssertionError as error:
                raise AssertionError(f"saved {times} times; {name}; {second_name}") from error
