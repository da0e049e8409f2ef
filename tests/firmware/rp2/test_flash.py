"""The raw partition: where it lies, what it refuses, and that a write which did not hold is an error."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haipump_fw.ports import contract
from tests.firmware.rp2.chip import Chip

BASE, SIZE = 0x60000, 0x40000


@pytest.fixture
def chip():
    return Chip()


@pytest.fixture
def load(chip):
    with chip.attach() as load:
        yield load


def test_it_is_the_partition_of_the_contract(chip, load):
    flash = load("flash").Flash()
    assert (flash.size, flash.sector, flash.page) == (contract.Flash.size, contract.Flash.sector, contract.Flash.page)
    flash.program(0, b"first")
    flash.program(SIZE - 4, b"last")
    assert chip.flash[BASE : BASE + 5] == b"first"
    assert chip.flash[BASE + SIZE - 4 : BASE + SIZE] == b"last"
    assert chip.flash.count(0xFF) == len(chip.flash) - 9


@given(st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=256))
@settings(max_examples=60, deadline=None)
def test_a_program_inside_a_page_is_there_and_touches_nothing_else(address, data):
    data = data[: 256 - address % 256]
    chip = Chip()
    with chip.attach() as load:
        flash = load("flash").Flash()
        flash.program(address, data)
        buf = bytearray(len(data))
        flash.read(address, buf)
    assert buf == data
    expected = bytearray(b"\xff" * len(chip.flash))
    expected[BASE + address : BASE + address + len(data)] = data
    assert chip.flash == expected


def test_a_read_may_cross_sectors(chip, load):
    flash = load("flash").Flash()
    chip.flash[BASE + 4090 : BASE + 4100] = b"0123456789"
    buf = bytearray(10)
    flash.read(4090, buf)
    assert buf == b"0123456789"


def test_bits_can_be_cleared_in_a_second_program_but_not_set(chip, load):
    flash = load("flash").Flash()
    flash.program(100, b"\xf0")
    flash.program(100, b"\x30")
    with pytest.raises(OSError):
        flash.program(100, b"\x31")


def test_erase_blanks_one_sector(chip, load):
    flash = load("flash").Flash()
    for address in (4095, 4096, 8191, 8192):
        flash.program(address, b"\0")
    flash.erase(4096)
    assert [chip.flash[BASE + address] for address in (4095, 4096, 8191, 8192)] == [0, 255, 255, 0]


def test_a_write_that_did_not_hold_is_an_error(chip, load):
    flash = load("flash").Flash()
    flash.program(4095, b"\0")  # the last byte that an erase must have reached
    chip.flash_weak = True
    with pytest.raises(OSError):
        flash.program(1, b"\0")
    with pytest.raises(OSError):
        flash.erase(0)
    flash.erase(4096)  # it was blank


def test_nothing_outside_or_across_is_touched(chip, load):
    flash = load("flash").Flash()
    for address, size in ((-1, 1), (SIZE, 1), (SIZE - 1, 2), (255, 2)):
        with pytest.raises(ValueError):
            flash.program(address, bytes(size))
    for address in (-4096, SIZE, 1, 4095):
        with pytest.raises(ValueError):
            flash.erase(address)
    for address, size in ((-1, 1), (SIZE - 1, 2)):
        with pytest.raises(ValueError):
            flash.read(address, bytearray(size))
    assert chip.flash.count(0xFF) == len(chip.flash)


@pytest.mark.parametrize("header", [0x10000100, 0x10000130, 0x100001EC])
def test_the_interpreter_says_where_it_ends(chip, load, header):
    chip.memory.words.clear()
    chip.describe_image(0x51020, header=header)
    assert load("flash").interpreter_end() == 0x51020


@pytest.mark.parametrize("end", [0x60001, 0x9FFFF])
def test_an_interpreter_that_reaches_into_the_partition_is_refused(chip, load, end):
    chip.describe_image(end)
    with pytest.raises(OSError, match="reaches"):
        load("flash").Flash()


def test_an_interpreter_may_end_where_the_partition_begins(chip, load):
    chip.describe_image(BASE)
    load("flash").Flash()


def test_an_interpreter_that_does_not_say_is_refused(chip, load):
    chip.memory.words.clear()
    with pytest.raises(OSError, match="unknown size"):
        load("flash").Flash()
    chip.describe_image(0x51020)
    chip.memory.words[0x10000910] = 0  # header and list, but not the entry
    with pytest.raises(OSError, match="unknown size"):
        load("flash").Flash()


def test_another_layout_of_the_file_system_is_refused_and_not_written(chip, load):
    chip.files_at = 0x100000 - 0x10000
    with pytest.raises(OSError, match="layout"):
        load("flash").Flash()
    assert BASE not in chip.memory.words.values()
