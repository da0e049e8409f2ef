"""The journal without power cuts: appending, reading back, the ring, restating, worn flash, wear over ten years."""

import tracemalloc
import zlib

import pytest

from haipump_emulator.faults.flash import RamFlash
from haipump_fw.store import flashmap, journal, records
from haipump_fw.store.journal import RECOVER_SPAN, Journal

from .support import COMMIT, ERASE_US, PAGE_US, SECTOR, everything, fill, opened, put, seq_of, settle, small_flash


def test_the_map_fits_the_partition():
    assert flashmap.JOURNAL_FIRST + flashmap.JOURNAL_SECTORS == flashmap.SECTORS
    assert RamFlash().size == flashmap.SECTORS * flashmap.SECTOR
    assert flashmap.SETTINGS_A != flashmap.SETTINGS_B < flashmap.JOURNAL_FIRST


def test_blank():
    new = Journal(small_flash(), 0, 10)
    assert new.open() == "blank"
    assert (new.first_seq, new.last_seq, new.last_chain, new.pending, new.damaged) == (0, 0, bytes(12), 0, 0)
    assert not new.foreign and not new.failed
    assert everything(new) == [] and new.read(0) is None and new.read(1) is None
    assert new.recover() == {"boot": None, "ids": None, "carry": None, "commit": None, "syringe": None, "intents": []}


def test_needs_some_sectors():
    with pytest.raises(ValueError):
        Journal(small_flash(), 0, 7)
    assert Journal(small_flash(), 0, 8).open() == "blank"


def test_what_can_not_be_read_is_told():
    flash = small_flash()
    found = bytearray(4)
    assert flashmap.load(flash, SECTOR, found) and found == b"\xff" * 4
    flash.break_sector(1, "read_error")
    assert not flashmap.load(flash, SECTOR, found) and found == bytes(4)


def test_wherever_a_start_finds_the_end_the_foremost_sector_is_erased_again():
    flash = small_flash()
    new = opened(flash)
    for sector in range(22):
        fill(new, 64)
        assert sector < 10 or opened(flash).needs_erase()


def test_append_is_in_ram_until_it_is_flushed():
    flash = small_flash()
    new = opened(flash)
    operations = flash.operations, flash.reads
    assert new.append("commit", 3, 60, *COMMIT) == 1
    assert new.append("state", 3, 61, 1, 2, 3) == 2
    assert (flash.operations, flash.reads) == operations
    assert (new.pending, new.last_seq, new.read(1)) == (2, 0, None)
    assert not new.flush(PAGE_US - 1)
    assert new.flush(PAGE_US)
    assert (new.pending, new.first_seq, new.last_seq) == (1, 1, 1)
    assert new.flush(PAGE_US) and not new.flush(PAGE_US)
    assert flash.programs == 2
    first, second = everything(new)
    assert records.Record(first).values["life_nl"] == 2_000_000
    assert records.Record(second).uptime_s == 61
    assert Journal(flash, 0, 10).open() == "ok"


def test_first_sector_is_respected():
    flash = small_flash(sectors=12)
    new = opened(flash, first=3, sectors=9)
    fill(new, 2000)
    everything(new)
    assert new.first_seq > 1
    assert flash.data[: 3 * SECTOR] == b"\xff" * 3 * SECTOR and flash.erases[:3] == [0, 0, 0]
    assert min(flash.erases[3:]) > 0 and new.failures == 0


def test_the_queue_is_bounded_and_says_so():
    new = opened(small_flash())
    taken = 0
    while new.room():
        assert new.append("state", 1, 0, 1, 2, 3) == taken + 1
        taken += 1
    assert taken == journal.QUEUE_MAX
    assert new.append("state", 1, 0, 1, 2, 3) == 0
    assert new.flush(PAGE_US)
    assert new.append("state", 1, 0, 1, 2, 3) == taken + 1


def test_room_is_what_can_be_appended():
    new = opened(small_flash())
    put(new, "boot", 1, 0, 0, 0)
    put(new, "ids", 1)
    put(new, "intent", 1, 4, 1, 1, 0, 0, 0)
    for number in range(400):
        promised = new.room()
        assert promised == 0 or all(new.append("state", 1, number, 1, 2, 3) for _ in range(promised))
        for _ in range(number % 17):
            new.flush(PAGE_US)
        settle(new) if number % 5 == 0 else None
        refused = new.room() == 0
        assert (new.append("state", 1, number, 1, 2, 3) == 0) == refused


def test_two_free_places_are_no_promise_of_two_when_the_second_restates():
    for before in range(40, 80):
        new = opened(small_flash())
        put(new, "boot", 1, 0, 0, 0)
        for _ in range(before):
            put(new, "state", 1, 2, 3)
        while new.pending < journal.QUEUE_MAX - 2:
            assert new.append("state", 1, 0, 1, 2, 3)
        assert all(new.append("state", 1, 0, 1, 2, 3) for _ in range(new.room()))


def test_what_restates_never_overruns_the_queue():
    for before in range(40, 80):
        new = opened(small_flash())
        put(new, "boot", 1, 0, 0, 0)
        put(new, "ids", 1)
        put(new, "intent", 1, 4, 1, 1, 0, 0, 0)
        for _ in range(before):
            put(new, "state", 1, 2, 3)
        while new.append("state", 1, 0, 1, 2, 3):
            assert new.pending <= journal.QUEUE_MAX
        assert new.pending >= journal.QUEUE_MAX - 1 and new.room() == 0
        settle(new)
        everything(new)


def test_a_value_that_does_not_fit_changes_nothing():
    new = opened(small_flash())
    for call in (lambda: new.append("state", 1, 0, 1, 2, 256), lambda: new.append("what", 1, 0)):
        with pytest.raises((ValueError, KeyError)):
            call()
    assert new.pending == 0 and new.append("state", 1, 0, 1, 2, 255) == 1


def test_continues_where_it_ended():
    flash = small_flash()
    written = []
    for boot in range(1, 90):
        again = opened(flash)
        assert again.damaged == 0
        assert everything(again) == written[again.first_seq - 1 :] if written else True
        put(again, "boot", boot, 0, 0, 0, boot=boot)
        fill(again, boot % 23)
        all_now = everything(again)
        written = written[: again.first_seq - 1] + all_now
        assert seq_of(written[-1]) == len(written)


@pytest.mark.requirement("CS-REQ-85/86")
def test_the_ring_forgets_sector_by_sector():
    flash = small_flash()
    new = opened(flash)
    first = 0
    for _ in range(1500):
        fill(new, 1)
        assert new.first_seq in (first, first + 64) or first == 0
        first = new.first_seq
        assert new.read(first - 1) is None and new.read(first) is not None
        assert new.read(new.last_seq) is not None and new.read(new.last_seq + 1) is None
    assert first > 64
    # Ten sectors: four are kept erased at most, and one was just begun.
    assert new.last_seq - first >= 64 * 5
    everything(new)


def spoil(flash: RamFlash, new: Journal, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        flash.program(flash.data.index(new.read(seq) or b"gone") + 12, bytes(4))


@pytest.mark.parametrize(("first", "last"), [(129, 191), (65, 127)], ids=["the newest sector", "one before"])
def test_a_sector_whose_first_63_records_are_damaged_hides_none_before_it(first, last):
    flash = small_flash()
    new = opened(flash)
    for _ in range(192):
        put(new, "state", 1, 2, 3)
    spoil(flash, new, first, last)
    again = opened(flash)
    assert (again.first_seq, again.last_seq) == (1, 192)
    assert again.read(1) is not None and again.read(first) is None and again.read(last + 1) is not None


def test_a_damaged_place_of_the_newest_sector_is_counted_once():
    flash = small_flash()
    new = opened(flash)
    fill(new, 10)
    spoil(flash, new, 5, 5)
    assert opened(flash).damaged == 1


def test_a_ring_without_any_erased_sector_is_read_as_a_whole():
    flash = small_flash()
    new = opened(flash)
    fill(new, 20 * 64)
    while new.flush(PAGE_US) or new.append("state", 1, 0, 1, 2, 3):
        pass
    assert new.last_seq - new.first_seq + 1 == 10 * 64
    everything(new)
    assert everything(opened(flash)) == everything(new)


def test_erases_only_when_due_and_only_in_its_window():
    flash = RamFlash()
    new = opened(flash, flashmap.JOURNAL_FIRST, flashmap.JOURNAL_SECTORS)
    assert not new.needs_erase() and not new.erase_ahead(ERASE_US)
    fill(new, 60 * 64)
    again = opened(flash, flashmap.JOURNAL_FIRST, flashmap.JOURNAL_SECTORS)
    # After a start the foremost erased sector is not trusted (weak erase).
    assert again.needs_erase()
    erases = sum(flash.erases)
    assert not again.erase_ahead(ERASE_US - 1)
    assert sum(flash.erases) == erases
    assert again.erase_ahead(ERASE_US)
    assert sum(flash.erases) == erases + 1 and not again.needs_erase()
    fill(again, 70)
    ahead = sum(flash.data[at : at + SECTOR] == b"\xff" * SECTOR for at in range(0, flash.size, SECTOR)) - 4
    assert ahead == journal.AHEAD_SECTORS


def test_without_erases_records_wait_in_the_queue():
    new = opened(small_flash())
    count = 0
    while new.append("state", 1, count, 1, 2, 3):
        new.flush(PAGE_US)
        count += 1
    assert new.needs_erase() and new.pending == journal.QUEUE_MAX and not new.flush(PAGE_US)
    assert new.last_seq == 64 * 8  # of ten sectors the last is where a new journal starts from, and one was not trusted
    settle(new)
    assert new.last_seq == count
    everything(new)


def test_reads_little_when_full():
    flash = RamFlash()
    fill(opened(flash, 4, 60), 60 * 64 + 10)
    reads, read_bytes = flash.reads, flash.read_bytes
    opened(flash, 4, 60)
    # On the chip some 100 us of Python for each read, and 1 us per 8 bytes: 70 ms of the second that boot may take.
    assert flash.reads - reads < 600
    assert flash.read_bytes - read_bytes < 90_000
    reads = flash.reads
    recovered = opened(flash, 4, 60)
    assert recovered.read(recovered.last_seq - 1000) and flash.reads - reads < 600
    reads = flash.reads
    assert recovered.read(recovered.last_seq - 700) is not None
    assert flash.reads - reads == 1


def test_flush_allocates_next_to_nothing():
    class Still:
        """A flash that takes no memory itself."""

        def __init__(self):
            self.data = memoryview(bytearray(b"\xff" * 10 * SECTOR))

        def read(self, address, buf):
            for at in range(len(buf)):
                buf[at] = self.data[address + at]

        def program(self, address, data):
            for at in range(len(data)):
                self.data[address + at] &= data[at]

    new = opened(RamFlash(10 * SECTOR))
    new._flash = Still()
    new.append("commit", 1, 0, *COMMIT)
    new.append("commit", 1, 0, *COMMIT)
    new.flush(PAGE_US)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    assert new.flush(PAGE_US)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 2048  # some 300; a tracer for coverage adds its own


# --- what a restart knows ---


def test_recovers_the_latest_of_each_and_open_intents():
    flash = small_flash()
    new = opened(flash)
    put(new, "boot", 5, 1, 2, 3, boot=5, uptime_s=0)
    put(new, "ids", 4000, boot=5, uptime_s=1)
    put(new, "syringe", 30_000_000, 231_144_000, 21_700, 30_000_000, 5, 4, boot=5, uptime_s=2)
    put(new, "intent", 11, 1, 0, 0, 0, 1_300_000, 0, boot=5, uptime_s=3)
    put(new, "intent", 12, 4, 100_000, 60, 0, 0, 0, boot=5, uptime_s=4)
    put(new, "intent", 10, 5, 100_000, 60, 0, 0, 0, boot=5, uptime_s=5)
    put(new, "carry", -7, 1 << 31, 3, 5, -9, 80, -2, 100_000, boot=5, uptime_s=6)
    put(new, "commit", *COMMIT, boot=5, uptime_s=7)
    put(new, "result", 12, 4, 1, 100_000, 100_000, 99_990, 0, boot=5, uptime_s=8)
    put(new, "result", 99, 4, 1, 1, 1, 1, 0)
    put(new, "commit", 2, 1, 5, 6, 0, 0, 0, 0, 0, boot=5, uptime_s=9)
    for known in (new.recover(), opened(flash).recover()):
        assert known["boot"].values == {"boot": 5, "reset": 1, "was": 2, "task": 3}
        assert known["ids"].values == {"reserved": 4000}
        assert known["syringe"].values["step_fl"] == 231_144_000
        assert known["carry"].values == {
            "phase_quanta": -7,
            "primed_nl": 1 << 31,
            "withdrawn_nl": 3,
            "orders": 5,
            "lost_steps": -9,
            "slack_steps": 80,
            "off_nl": -2,
            "life_unsure_nl": 100_000,
        }
        assert (known["commit"].values["life_nl"], known["commit"].uptime_s, known["commit"].boot) == (6, 9, 5)
        assert [intent.values["order"] for intent in known["intents"]] == [10, 11]


def test_what_a_restart_needs_is_restated_for_years():
    flash = small_flash()
    new = opened(flash)
    put(new, "boot", 5, 1, 2, 3, boot=5, uptime_s=17)
    put(new, "ids", 4000)
    put(new, "syringe", 30_000_000, 231_144_000, 21_700, 30_000_000, 5, 4)
    put(new, "carry", 1, 2, 3, 4, 6, 7, 8, 9)
    put(new, "commit", *COMMIT)
    for order in range(1, journal.OPEN_MAX + 1):
        put(new, "intent", order, 1, 0, 0, 0, order, 0)
    for number in range(1500):
        put(new, "state", 1, 2, 3)
        if number % 50 == 0:
            for known in (new.recover(), opened(flash).recover()):
                assert (known["boot"].values["boot"], known["boot"].boot, known["boot"].uptime_s) == (5, 5, 17)
                assert known["ids"].values == {"reserved": 4000}
                assert known["syringe"].values["bore_um"] == 21_700
                assert known["carry"].values["lost_steps"] == 6
                assert known["commit"].values["life_nl"] == 2_000_000
                assert [intent.values["rate_nl_per_day"] for intent in known["intents"]] == list(range(1, 9))
    assert new.first_seq > 13
    restated = [raw for raw in everything(new) if raw[1] & records.RESTATED]
    assert {raw[0] for raw in restated} == {1, 2, 3, 5, 8, 11}
    assert all(records.Record(raw).name in ("boot", "ids", "intent", "commit", "syringe", "carry") for raw in restated)


def test_no_latest_statement_is_older_than_promised():
    new = opened(small_flash())
    put(new, "boot", 5, 1, 2, 3)
    for order in range(1, journal.OPEN_MAX + 1):
        put(new, "intent", order, 1, 0, 0, 0, order, 0)
    for kind, values in (
        ("ids", (1,)),
        ("syringe", (1, 1, 1, 1, 1, 1)),
        ("carry", (1, 2, 3, 4, 6, 7, 8, 9)),
        ("commit", COMMIT),
    ):
        put(new, kind, *values)
    oldest = 0
    for _ in range(1000):
        put(new, "state", 1, 2, 3)
        known = new.recover()
        statements = [known[name].seq for name in ("boot", "ids", "syringe", "carry", "commit")]
        statements += [intent.seq for intent in known["intents"]]
        assert len(statements) == 13
        oldest = max(oldest, new.last_seq - min(statements))
    assert 64 <= oldest <= 90 < journal.RECOVER_SPAN // 2


def test_what_comes_often_is_not_restated():
    new = opened(small_flash())
    for number in range(300):
        put(new, "commit", 2, 1, number, number, 0, 0, 0, 0, 0)
    assert not any(raw[1] & records.RESTATED for raw in everything(new))


def test_a_damaged_last_statement_leaves_the_one_before():
    flash = small_flash()
    new = opened(flash)
    put(new, "syringe", 30_000_000, 231_144_000, 21_700, 30_000_000, 5, 4)
    fill(new, 200)
    restated = [raw for raw in everything(new) if raw[0] == 8]
    assert len(restated) >= 3
    flash.program(flash.data.index(restated[-1]) + 12, bytes(4))
    again = opened(flash)
    assert again.recover()["syringe"].values["bore_um"] == 21_700
    assert again.read(seq_of(restated[-1])) is None and again.read(seq_of(restated[-1]) + 1) is not None
    assert len(list(again.backwards(1000))) == again.last_seq - 1


def test_no_more_intents_than_can_be_kept():
    new = opened(small_flash())
    for order in range(1, journal.OPEN_MAX + 1):
        assert put(new, "intent", order, 4, 1, 1, 0, 0, 0) == order
    assert new.append("intent", 1, 0, 9, 4, 1, 1, 0, 0, 0) == 0 and new.pending == 0
    assert put(new, "intent", 3, 4, 2, 1, 0, 0, 0)  # the same order again is no further one
    put(new, "result", 3, 4, 1, 1, 1, 1, 0)
    assert put(new, "intent", 9, 4, 1, 1, 0, 0, 0)
    assert [intent.values["order"] for intent in new.recover()["intents"]] == [1, 2, 4, 5, 6, 7, 8, 9]


# --- what is not ours ---


def test_foreign_data_is_left_alone():
    for at in (9 * SECTOR + 100, 5 * SECTOR, SECTOR, 8 * 64, 0):
        flash = small_flash()
        for address in range(at, at + (1 if at else 9 * 64), 64):
            flash.program(address, b"no record of ours"[: 64 if at % 64 == 0 else 20])
        data = flash.snapshot()
        new = Journal(flash, 0, 10)
        assert new.open() == "foreign" and new.foreign
        assert new.append("state", 1, 0, 1, 2, 3) == 0 and new.room() == 0
        assert not new.flush(ERASE_US) and not new.needs_erase() and not new.erase_ahead(ERASE_US)
        assert flash.snapshot() == data


def test_a_first_record_that_was_torn_is_not_foreign():
    flash = small_flash()
    flash.program(0, b"\x01\x01")
    flash.program(7 * 64 + 5, b"\x01\x01")
    new = Journal(flash, 0, 10)
    assert new.open() == "blank" and new.damaged == 2
    put(new, "state", 1, 2, 3)
    assert len(everything(opened(flash))) == 1


# --- flash that wears out ---


def worn(breakage: str, broken: range, sectors: int = 20) -> tuple[RamFlash, Journal]:
    """A flash in which some sectors break when the journal has just begun."""
    flash = small_flash(sectors=sectors)
    new = opened(flash)
    put(new, "syringe", 1, 1, 77, 1, 1, 1)
    for index in broken:
        flash.break_sector(index, breakage)
    return flash, new


@pytest.mark.parametrize(
    "breakage", ["program_error", "program_silent", "program_wrong", "erase_error", "erase_silent", "read_error"]
)
@pytest.mark.parametrize("broken", [range(3, 4), range(1, 20, 2)], ids=["one", "half"])
def test_worn_sectors_are_stepped_over(breakage, broken):
    flash, new = worn(breakage, broken)
    failures = 0
    for number in range(60):
        fill(new, 30)
        everything_since(new, 100)
        if number % 5 == 0:
            failures += new.failures
            new = opened(flash)
            everything_since(new, 100)
            assert new.recover()["syringe"].values["bore_um"] == 77
    assert not new.failed and new.last_seq > 1800
    assert flash.overprograms == 0
    assert failures > 0


def everything_since(new: Journal, count: int) -> None:
    """The last `count` records are there, each once and in order."""
    newest = [seq_of(raw) for raw in new.backwards(count * 20)][:count]
    assert newest == list(range(new.last_seq, new.last_seq - len(newest), -1))
    assert len(newest) >= min(count, new.last_seq - new.first_seq + 1)
    assert all(new.read(seq) for seq in newest)


def test_an_earlier_turn_of_the_ring_is_not_mistaken_for_the_past():
    flash, new = worn("erase_silent", range(12, 14))
    fill(new, 20 * 64 * 3)
    again = opened(flash)
    assert again.first_seq == new.first_seq > 1000
    assert again.last_seq == new.last_seq
    everything(again)


def test_gives_up_when_nothing_can_be_written():
    flash, new = worn("program_silent", range(20))
    new.append("state", 1, 0, 1, 2, 3)
    for _ in range(100):
        new.flush(PAGE_US)
        new.erase_ahead(ERASE_US)
    assert new.failed and new.pending == 1 and flash.programs == 1 + 12
    assert not new.needs_erase()


def test_twelve_failures_from_a_sector_that_was_begun_are_enough_and_all_are_counted():
    flash, _ = worn("program_silent", range(20))
    again = opened(flash)
    again.append("state", 1, 0, 1, 2, 3)
    programs = flash.programs
    while not again.failed:
        assert not again.flush(PAGE_US) and flash.programs - programs <= 12
    assert (flash.programs - programs, again.failures) == (12, 12)


def test_gives_up_when_too_few_sectors_can_be_erased():
    flash = small_flash(sectors=10)
    new = opened(flash)
    fill(new, 10 * 64)
    flash.wear_out(0, "erase_error")
    count = 0
    while not new.failed:
        assert new.append("state", 1, 0, 1, 2, 3) and count < 1000
        new.flush(PAGE_US)
        new.flush(PAGE_US)
        new.erase_ahead(ERASE_US)
        count += 1
    assert not new.erase_ahead(ERASE_US) and not new.flush(PAGE_US)
    everything_since(opened(flash), 64)


@pytest.mark.parametrize(("broken", "failed"), [(12, False), (13, True)])
def test_eight_sound_sectors_are_enough(broken, failed):
    _, new = worn("erase_error", range(1, 1 + broken))
    for number in range(30 * 64):
        new.append("state", 1, number, 1, 2, 3)
        new.flush(PAGE_US)
        new.erase_ahead(ERASE_US)
    assert (new.failed, new.failures) == (failed, broken)


def test_a_record_whose_reading_back_failed_is_told_once():
    """It was written, but could not be read at once: it is written again, and both are there."""
    flash = small_flash()
    new = opened(flash)
    put(new, "state", 1, 2, 3)
    written = flash.program

    def unreadable_for_a_moment(address, data):
        written(address, data)
        flash.break_sector(address // SECTOR, "read_error")

    for number in range(40):
        new.append("state", 1, number, 1, 2, 3)
        flash.program = unreadable_for_a_moment
        for _ in range(1 + 2 * (number == 20)):
            assert not new.flush(PAGE_US)
            for index in range(10):
                flash.break_sector(index, None)
        flash.program = written
        settle(new)
    assert flash.data.count(new.read(21) or b"") == 2
    everything(new)
    again = opened(flash)
    assert again.last_seq == 41
    everything(again)


def test_a_sector_that_begins_with_a_record_told_twice_is_not_the_newest():
    flash = small_flash()
    new = opened(flash)
    written = flash.program

    def unreadable_for_a_moment(address, data):
        written(address, data)
        flash.break_sector(address // SECTOR, "read_error")

    new.append("state", 1, 0, 1, 2, 3)
    flash.program = unreadable_for_a_moment
    for _ in range(3):  # then this sector is left, with the record in it three times
        assert not new.flush(PAGE_US)
        flash.break_sector(0, None)
    flash.program = written
    fill(new, 5)
    again = opened(flash)
    assert again.last_seq == 6 and again.first_seq == 1
    assert everything(again) == everything(new)


# --- ten years ---

YEARS = 10
DAYS_PLAYED = 182
RATED_ERASES = 100_000


def a_day(new: Journal, day: int) -> None:
    """144 commits and carries, ten boluses with all that belongs to them, settings, alarms, states: 400 records."""
    for number in range(144):
        new.append("commit", day, number * 600, 2, 1, number, day, 0, 0, 5000, 0, 0)
        new.append("carry", day, number * 600, number, day, 0, 0, 0, 0, 0, 0)
        if number % 14 == 0:
            order = day * 100 + number
            new.append("intent", day, 0, order, 4, 100_000, 60, 0, 0, 0)
            settle(new)
            new.append("state", day, 0, 1, 2, 3)
            new.append("result", day, 0, order, 4, 1, 1, 1, 1, 0)
            new.append("state", day, 0, 1, 2, 3)
        settle(new)
    for number in range(68):
        new.append("alarm", day, number, 1, 1, 1, 0, number)
        settle(new)


@pytest.fixture(scope="module")
def half_a_year() -> RamFlash:
    flash = RamFlash()
    for day in range(DAYS_PLAYED):
        if day % 7 == 0:
            new = opened(flash, flashmap.JOURNAL_FIRST, flashmap.JOURNAL_SECTORS)
            put(new, "boot", day, 0, 0, 0)
            put(new, "syringe", 1, 1, 1, 1, 1, 1)
        a_day(new, day)
    assert new.last_seq > DAYS_PLAYED * 400 and new.last_seq - new.first_seq > 40 * 64
    everything(new)
    return flash


def test_ten_years_wear_the_flash_evenly_and_little(half_a_year):
    erases = half_a_year.erases[flashmap.JOURNAL_FIRST :]
    # A sector more or less, and the foremost once more at each of the 26 starts.
    assert max(erases) - min(erases) <= 4
    assert max(erases) * YEARS * 365 // DAYS_PLAYED < 500 < RATED_ERASES // 2
    assert half_a_year.erases[: flashmap.JOURNAL_FIRST] == [0] * 4 and half_a_year.overprograms == 0


def test_a_start_finds_the_newest_record_of_each_alarm():
    flash = small_flash()
    new = opened(flash)
    put(new, "alarm", 9, 1, 2, 0, 0)
    fill(new, RECOVER_SPAN)
    for alarm, phase in ((2, 1), (5, 1), (2, 3), (16, 2)):
        put(new, "alarm", alarm, phase, 2, 0, 0)
    settle(new)
    again = opened(flash)
    assert [(found.values["alarm"], found.values["phase"]) for found in again.alarms()] == [(16, 2), (2, 3), (5, 1)]
    assert again.alarms() == [], "told once"


def test_a_record_of_a_later_form_makes_the_journal_foreign():
    """What it says can't be guessed, so nothing that is recovered could be relied on."""
    flash = small_flash()
    new = opened(flash)
    put(new, "ids", 77)
    put(new, "alarm", 3, 1, 2, 0, 0)
    raw = new.read(1)
    assert raw is not None
    other = raw[:1] + bytes([records.FORMAT + 1]) + raw[2:60]
    at = flash.data.index(raw)
    flash.data[at : at + 64] = other + zlib.crc32(other).to_bytes(4, "little")
    before = flash.snapshot()
    again = Journal(flash, 0, 10)
    assert again.open() == "foreign" and again.foreign and again.room() == 0
    assert again.recover()["ids"] is None and again.read(2) is not None
    assert again.append("ids", 1, 0, 78) == 0 and not again.flush(PAGE_US)
    assert flash.snapshot() == before


def test_looking_back_ends_after_so_many_places():
    new = opened(small_flash())
    for number in range(70):
        put(new, "ids", number)
    assert [seq_of(raw) for raw in new.backwards(3)] == [new.last_seq, new.last_seq - 1, new.last_seq - 2]
    assert list(new.backwards(0)) == []
