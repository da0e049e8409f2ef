"""The settings without power cuts: what is saved comes back, what does not fit is refused, what is damaged stops."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_emulator.faults.flash import BREAKAGES, RamFlash
from haipump_fw.core.options import KEY, MAXIMUM, MINIMUM, NAME, OPTIONS, defaults
from haipump_fw.store.settings import Settings

from .support import ERASE_US, PAGE_US, SECTOR, settled

A, B = 0, 1
SECRET = bytes(range(32))
# Rows as a pump with fewer options wrote them: step_fl, kvo_nl_per_day, locked.
FEWER = {1: 231_000_000, 40: 480_000, 90: 1}


def new_flash(seed: int = 0) -> RamFlash:
    return RamFlash(4 * SECTOR, seed=seed)


def loaded(flash: RamFlash, expected: str = "ok") -> Settings:
    settings = Settings(flash, A, B)
    assert settings.load() == expected
    return settings


def saved(flash: RamFlash, changes: dict[str, int], key: bytes | None = None) -> Settings:
    settings = Settings(flash, A, B)
    settings.load()
    assert settings.save(changes, key) == settings.generation + 1
    return settled(settings)


def image(rows: dict[int, int], generation: int = 1, version: int = 1, key: bytes = bytes(32)) -> bytes:
    """An image, put together without the code under test."""
    payload = key + b"".join(struct.pack("<Hq", number, value) for number, value in rows.items())
    body = b"HPS1" + struct.pack("<IHH", generation, version, len(payload)) + payload
    return body + struct.pack("<I", zlib.crc32(body))


def with_image(data: bytes, address: int = 0, flash: RamFlash | None = None) -> RamFlash:
    flash = flash or new_flash()
    for at in range(0, len(data), 256):
        flash.program(address + at, data[at : at + 256])
    return flash


def test_blank():
    settings = loaded(new_flash(), "blank")
    assert settings.values == defaults() and settings.key is None and settings.generation == 0
    assert not settings.damaged and not settings.saving and settings.problem is None
    assert settings.window_needed() == 0 and not settings.step(ERASE_US)


def test_only_its_two_sectors_are_written():
    flash = new_flash()
    settings = Settings(flash, 1, 2)
    settings.load()
    assert [copy.failures for copy in settings._copies] == [0, 0]
    settings.save({"locked": 1})
    settled(settings)
    blank = b"\xff" * SECTOR
    assert [flash.data[at : at + SECTOR] == blank for at in range(0, 4 * SECTOR, SECTOR)] == [True, False, False, True]


def test_saves_and_loads():
    flash = new_flash()
    settings = loaded(flash, "blank")
    assert settings.save({"kvo_nl_per_day": 480_000, "locked": 1}, SECRET) == 1
    assert settings.saving and settings.values == defaults() and settings.generation == 0
    settled(settings)
    for now in (settings, loaded(flash)):
        assert now.values == {**defaults(), "kvo_nl_per_day": 480_000, "locked": 1}
        assert (now.key, now.generation, now.saving, now.damaged, now.failed) == (SECRET, 1, False, False, False)
        assert now.window_needed() == 0
    assert flash.erases == [0] * 4 and flash.data[2 * SECTOR :] == b"\xff" * 2 * SECTOR


def test_the_image_is_as_documented():
    flash = new_flash()
    saved(flash, {"kvo_nl_per_day": 480_000}, SECRET)
    rows = {row[KEY]: 480_000 if row[NAME] == "kvo_nl_per_day" else row[4] for row in OPTIONS}
    expected = image(rows, key=SECRET)
    for sector in (A, B):
        assert flash.data[sector * SECTOR :][: len(expected)] == expected
        assert set(flash.data[sector * SECTOR + len(expected) : (sector + 1) * SECTOR]) == {0xFF}


def test_the_table_fits_a_slot():
    assert 12 + 32 + 10 * len(OPTIONS) + 4 <= 1024
    assert len({row[KEY] for row in OPTIONS}) == len(OPTIONS)
    for row in OPTIONS:
        assert row[MINIMUM] >= -(2**63) and row[MAXIMUM] < 2**63 and 0 <= row[KEY] < 2**16


@given(st.data())
def test_any_values_in_range_come_back(data):
    values = {row[NAME]: data.draw(st.integers(row[MINIMUM], row[MAXIMUM])) for row in OPTIONS}
    key = data.draw(st.none() | st.binary(min_size=32, max_size=32))
    flash = new_flash()
    saved(flash, values, key)
    again = loaded(flash)
    assert again.values == values
    assert again.key == (None if key == bytes(32) else key)


@pytest.mark.requirement("A11")
def test_the_key_stays_until_it_is_changed():
    flash = new_flash()
    saved(flash, {}, SECRET)
    assert saved(flash, {"locked": 1}).key == SECRET
    assert loaded(flash).key == SECRET
    assert saved(flash, {}, bytes(32)).key is None
    assert loaded(flash).key is None and loaded(flash).values["locked"] == 1


def test_refuses_what_does_not_fit():
    settings = loaded(new_flash(), "blank")
    for row in OPTIONS:
        for value in (row[MINIMUM] - 1, row[MAXIMUM] + 1):
            with pytest.raises(ValueError, match=row[NAME]):
                settings.save({row[NAME]: value})
    with pytest.raises(KeyError):
        settings.save({"colour": 1})
    with pytest.raises(ValueError, match="key"):
        settings.save({}, b"short")
    assert not settings.saving and settings.values == defaults()
    assert settings.save({"locked": 1}) == 1
    assert settings.save({"locked": 0}) == 0  # one save at a time
    assert settled(settings).values["locked"] == 1


def test_works_only_in_its_windows():
    flash = new_flash()
    settings = loaded(flash, "blank")
    settings.save({"locked": 1})
    while settings.window_needed():
        window = settings.window_needed()
        before = flash.operations
        assert not settings.step(window - 1) and flash.operations == before
        assert settings.step(window) and flash.operations == before + 1
        assert window == PAGE_US  # a save that has room needs no erase


def test_a_full_sector_is_erased_in_idle_time():
    flash = new_flash()
    for number in range(1, 100):
        settings = loaded(flash, "ok" if number > 1 else "blank")
        assert settings.window_needed() == 0
        settings.save({"kvo_nl_per_day": number})
        while settings.saving:
            assert settings.window_needed() == PAGE_US
            settings.step(PAGE_US)
        assert settings.values["kvo_nl_per_day"] == number
        settled(settings)
        assert not settings.damaged and loaded(flash).values["kvo_nl_per_day"] == number
    assert flash.overprograms == 0
    # Three saves for one erase of each, as the module says: 12,200 in ten years.
    assert max(flash.erases) <= 99 // 3 + 1 and flash.erases[2:] == [0, 0]


def test_saves_without_idle_time_erase_when_they_must():
    flash = new_flash()
    settings = loaded(flash, "blank")
    windows = set()
    for number in range(1, 60):
        settings.save({"kvo_nl_per_day": number})
        while settings.saving:
            windows.add(settings.window_needed())
            settings.step(ERASE_US)
            assert loaded(flash).values["kvo_nl_per_day"] in (number, number - 1) if number > 1 else True
        assert loaded(flash).values["kvo_nl_per_day"] == number
    assert windows == {PAGE_US, ERASE_US}


def test_of_two_copies_the_one_with_room_is_written_first():
    """Whatever was done in the idle time between, a save asks for an erase only when both are full."""
    for idle in range(12):
        flash = new_flash()
        settings = loaded(flash, "blank")
        for number in range(1, 12):
            settings.save({"kvo_nl_per_day": number})
            if all(copy.clean for copy in settings._copies):
                full = [copy.free == 4 for copy in settings._copies]
                assert settings.window_needed() == (ERASE_US if all(full) else PAGE_US), (idle, number, full)
            while settings.saving or settings.damaged:
                settings.step(ERASE_US)
            for _ in range((idle + number) % 5):
                settings.step(ERASE_US)


def test_a_save_takes_over_from_one_that_is_still_copied():
    flash = new_flash()
    settings = loaded(flash, "blank")
    settings.save({"kvo_nl_per_day": 1})
    while settings.saving:
        settings.step(PAGE_US)
    settings.step(PAGE_US)  # one page of the second copy
    assert settings.damaged
    settings.save({"kvo_nl_per_day": 2})
    settled(settings)
    assert not settings.damaged and not loaded(flash).damaged
    assert loaded(flash).values["kvo_nl_per_day"] == 2


# --- damage ---


@pytest.mark.parametrize("pages", [0, 1])
def test_a_save_that_is_taken_back_leaves_what_was_in_force(pages):
    flash = new_flash()
    settings = saved(flash, {"kvo_nl_per_day": 1}, key=bytes(range(32)))
    settings.save({"kvo_nl_per_day": 2}, bytes(32))
    for _ in range(pages):
        settings.step(PAGE_US)
    settings.take_back()
    assert settings.saving and settings.values["kvo_nl_per_day"] == 1
    settled(settings)
    for at in (settings, loaded(flash)):
        assert (at.values["kvo_nl_per_day"], at.key, at.damaged) == (1, bytes(range(32)), False)


def damage(flash: RamFlash, sector: int, generation: int) -> None:
    """Spoil the newest image in that sector."""
    at = flash.data.rindex(b"HPS1" + struct.pack("<I", generation), sector * SECTOR, (sector + 1) * SECTOR)
    flash.program(at + 46, b"\x00\x00")


@pytest.mark.parametrize("sector", [A, B])
def test_one_copy_is_enough_and_the_other_is_made_again(sector):
    flash = new_flash()
    for number in (1, 2, 3):
        saved(flash, {"kvo_nl_per_day": number}, SECRET)
    damage(flash, sector, 3)
    settings = loaded(flash)
    assert settings.values["kvo_nl_per_day"] == 3 and settings.key == SECRET and settings.damaged
    settled(settings)
    assert not settings.damaged
    flash.erase((1 - sector) * SECTOR)
    again = loaded(flash)
    assert again.values["kvo_nl_per_day"] == 3 and again.damaged
    # What reads as blank may be a half-done erase: it is erased once more.
    assert again.window_needed() == ERASE_US
    assert not settled(again).damaged


def test_an_old_generation_is_never_taken_for_the_newest():
    flash = new_flash()
    for number in (1, 2, 3):
        saved(flash, {"kvo_nl_per_day": number})
    damage(flash, A, 3)
    damage(flash, B, 3)
    settings = loaded(flash, "mismatch")
    assert settings.values == defaults() and settings.key is None and settings.problem == "copies"
    assert settings.save({"kvo_nl_per_day": 4}) == 3  # after the newest that can be read
    settled(settings)
    assert settings.problem is None and not settings.damaged
    assert loaded(flash).values["kvo_nl_per_day"] == 4


def test_foreign_data_is_a_mismatch_until_something_is_saved():
    for where in ((A, B), (B,)):
        flash = new_flash()
        for sector in where:
            flash.program(sector * SECTOR + 0x300, b"something else")
        settings = loaded(flash, "mismatch")
        assert settings.problem == "copies" and settings.window_needed() == 0
        settings.save({"locked": 1})
        assert settings.window_needed() == ERASE_US
        settled(settings)
        assert loaded(flash).values["locked"] == 1 and not loaded(flash).damaged


def test_a_first_save_that_was_torn_is_blank():
    flash = with_image(image({1: 231_000_000})[:-20])
    settings = loaded(flash, "blank")
    settings.save({"locked": 1})
    assert not settled(settings).damaged and loaded(flash).values["locked"] == 1


def test_an_image_without_any_option_is_read():
    assert loaded(with_image(image({}, key=SECRET))).key == SECRET


@pytest.mark.parametrize("length", [1_009, 1_012, 1_016, 65_535])
def test_an_image_that_would_leave_its_slot_is_none(length):
    flash = with_image(b"HPS1" + struct.pack("<IHH", 1, 1, length) + bytes(1_012))
    assert loaded(flash, "blank").generation == 0, "as what is left of a first save"


def test_what_was_saved_before_an_option_came_up_is_read():
    settings = loaded(with_image(image(FEWER, generation=7, key=SECRET)))
    assert settings.values == {**defaults(), "step_fl": 231_000_000, "kvo_nl_per_day": 480_000, "locked": 1}
    assert settings.key == SECRET and settings.generation == 7


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (image({1: 231_000_000}, version=2), "version"),
        (image({1: 231_000_000}, version=0), "version"),
        (image({1: 1}), "step_fl"),
        (image({1: 231_000_000, 22: 90_001}), "occlusion_pa"),
        (image({1: 231_000_000, 777: 5}), "key_777"),
        (image({}, key=b"short"), "version"),
        (image({}, key=bytes(37)), "version"),
    ],
)
def test_what_this_version_can_not_follow_is_a_mismatch(data, problem):
    flash = with_image(data, A * SECTOR, with_image(data, B * SECTOR))
    settings = loaded(flash, "mismatch")
    assert settings.problem == problem and settings.values == defaults() and settings.key is None
    assert settings.window_needed() == 0  # nothing is repaired before a person has decided
    settings.save({"locked": 1})
    assert settled(settings).problem is None
    assert loaded(flash).values == {**defaults(), "locked": 1} and loaded(flash).generation == 2


@pytest.mark.requirement("A15")
def test_every_flipped_bit_is_seen():
    good = image(FEWER)
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        flash = new_flash()
        flash.data[: len(bad)] = bad
        flash.data[SECTOR : SECTOR + len(bad)] = bad
        loaded(flash, "mismatch")


# --- flash that wears out ---


@pytest.mark.parametrize("breakage", BREAKAGES)
@pytest.mark.parametrize("sector", [A, B])
def test_a_worn_copy_stops_saves_but_not_the_settings(breakage, sector):
    flash = new_flash()
    saved(flash, {"kvo_nl_per_day": 1})
    flash.break_sector(sector, breakage)
    last = 1
    for number in range(2, 30):
        settings = loaded(flash)
        assert settings.values["kvo_nl_per_day"] == last
        if settings.save({"kvo_nl_per_day": number}):
            settled(settings)
            assert settings.values["kvo_nl_per_day"] == number or settings.failed
            assert settings.values["kvo_nl_per_day"] in (number, last)
            last = settings.values["kvo_nl_per_day"]
        if settings.failed:
            assert settings.save({}) == 0 and settings.window_needed() == 0 and settings.damaged
            assert not settings.saving
    assert settings.failed and flash.operations < 2000
    flash.break_sector(sector, None)
    settings = loaded(flash)
    assert settings.values["kvo_nl_per_day"] == last
    assert settings.save({"kvo_nl_per_day": 77}) and not settled(settings).damaged


@pytest.mark.parametrize("broken", [(A,), (B,), (A, B)])
def test_a_new_pump_with_worn_flash_says_so(broken):
    flash = new_flash()
    for sector in broken:
        flash.break_sector(sector, "program_silent")
    settings = loaded(flash, "blank")
    settings.save({"locked": 1})
    settled(settings)
    assert settings.failed and not settings.saving
    assert settings.values["locked"] == (len(broken) == 1)
    if len(broken) == 1:
        assert loaded(flash).values["locked"] == 1
    else:
        loaded(flash, "blank")


def test_only_failures_in_a_row_wear_a_copy_out():
    flash = new_flash()
    settings = saved(flash, {"kvo_nl_per_day": 1})
    for number in range(2, 6):
        flash.break_sector(A, "program_silent")
        assert settings.save({"kvo_nl_per_day": number})
        while settings._copies[0].failures < 5:
            assert settings.step(ERASE_US)
        flash.break_sector(A, None)
        settled(settings)
        assert settings._copies[0].failures == 0
        assert not settings.failed and settings.values["kvo_nl_per_day"] == number


def test_one_failure_wears_nothing_out():
    flash = new_flash()
    settings = saved(flash, {"kvo_nl_per_day": 1})
    flash.break_sector(A, "program_silent")
    assert settings.save({"kvo_nl_per_day": 2})
    while settings.saving and not settings._copies[0].failures:
        settings.step(settings.window_needed())
    flash.break_sector(A, None)
    settled(settings)
    assert not settings.failed and not settings.damaged
    assert loaded(flash).values["kvo_nl_per_day"] == 2
