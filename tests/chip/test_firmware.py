"""The UF2 file that a Pico is given: what is in it, what is not, and that the chip runs it."""

import random
import struct

import pytest

from haipump_emulator.chip import ChipCore, firmware, uf2
from haipump_emulator.chip.firmware import BLOCK, BLOCKS, FirmwareError
from haipump_fw.device import Shipped, shipped
from haipump_fw.proto.messages import PROTOCOL_VERSION

XIP = 0x10000000
PARTITION = range(0x60000, 0xA0000)
FILES = {"main.py": b"print(1)\n", "app_hash": b"0" * 64, "a/b/c.mpy": bytes(range(256)) * 40, "a/empty.mpy": b""}


@pytest.fixture
def plain(tmp_path):
    """A small interpreter, by form."""
    path = tmp_path / "plain.uf2"
    path.write_bytes(uf2.write_uf2({0: bytes(range(255)) * 40}))
    return path


def blocks(data):
    """(flags, flash offset, length, number, count, family) of every block."""
    for start in range(0, len(data), 512):
        first, second, flags, address, *rest = struct.unpack_from("<8I", data, start)
        assert (first, second) == (0x0A324655, 0x9E5D5157)
        assert data[start + 508 : start + 512] == (0x0AB16F30).to_bytes(4, "little")
        yield flags, address - XIP, *rest


# --- the file system


def test_a_file_system_holds_its_files_in_folders():
    made = firmware.file_system(FILES)
    content = b"".join(made.get(number, b"\xff" * BLOCK) for number in range(BLOCKS))
    flash = b"\xff" * 0xA0000 + content
    assert firmware.application(flash.ljust(uf2.FLASH_BYTES, b"\xff")) == FILES


def test_equal_files_give_equal_bytes():
    assert firmware.file_system(FILES) == firmware.file_system(dict(FILES))


@pytest.mark.parametrize("seed", range(5))
def test_what_lay_in_the_flash_before_does_not_matter(seed):
    """Blocks that are not in the file keep old bytes, among them file systems of earlier versions."""
    rng = random.Random(seed)
    earlier = {f"a/b/old{n}.mpy": rng.randbytes(rng.randrange(9_000)) for n in range(rng.randrange(1, 40))}
    old = firmware.file_system({"main.py": b"old", "app_hash": b"1" * 64, **earlier})
    flash = bytearray(rng.randbytes(uf2.FLASH_BYTES))
    for contents in (old, firmware.file_system(FILES)):
        for number, data in contents.items():
            flash[0xA0000 + number * BLOCK : 0xA0000 + (number + 1) * BLOCK] = data
    assert firmware.application(bytes(flash)) == FILES


# --- the file


def test_the_form_of_the_file(plain):
    data = firmware.combine(plain, Shipped(FILES))
    found = list(blocks(data))
    assert {flags for flags, *_ in found} == {0x2000} and {block[-1] for block in found} == {0xE48BFF56}
    assert [block[3] for block in found] == list(range(len(found))) and {block[4] for block in found} == {len(found)}
    places = [place for _, place, *_ in found]
    assert places == sorted(set(places)) and {length for _, _, length, *_ in found} == {256}
    sectors = {place // 4096 for place in places}
    assert len(places) == 16 * len(sectors), "each sector is whole, so that the boot ROM erases it"


def test_nothing_is_written_where_settings_and_journal_are(plain):
    places = [place for _, place, *_ in blocks(firmware.combine(plain, shipped()))]
    assert not [place for place in places if place in PARTITION]
    assert min(places) == 0 and 0xA0000 in places and max(places) < 0x200000


def test_the_same_sources_give_the_same_bytes(plain):
    assert firmware.combine(plain, shipped()) == firmware.combine(plain, shipped())


def test_the_file_holds_what_is_shipped_and_its_hash(plain, tmp_path):
    ships = shipped()
    path = tmp_path / "x.uf2"
    path.write_bytes(firmware.combine(plain, ships))
    flash = uf2.read_uf2(path)
    assert firmware.application(flash) == ships.on_board
    assert flash[:10_200] == bytes(range(255)) * 40


@pytest.mark.parametrize("parts", [{100: b"x"}, {0: b"x" * 5000, 4096: b"x"}, {0x1FF000: b"x" * 4097}])
def test_parts_that_do_not_fit_are_refused(parts):
    with pytest.raises(ValueError, match="sector|overlap"):
        uf2.write_uf2(parts)


# --- on the chip


def test_the_chip_boots_it_and_says_which_application_it_is(pump_uf2):
    answer = firmware.expect_protocol(pump_uf2, PROTOCOL_VERSION)
    assert answer["app_hash"].encode() == firmware.application(uf2.read_uf2(pump_uf2))["app_hash"]
    assert (answer["interpreter"], answer["board"]) == ("micropython-1.25.0", "rpi_pico")


def test_settings_and_journal_survive_a_new_uf2(pump_uf2):
    """Dropped on a Pico that has run before: the journal of the partition goes on."""
    first = ChipCore(image=pump_uf2)
    first.run_until(2_000_000)
    again = ChipCore(image=pump_uf2, flash=first.flash)
    again.run_until(2_000_000)
    assert b"boot=1 " in first.output and b"boot=2 " in again.output


def test_another_protocol_is_refused_by_name_of_both(monkeypatch, tmp_path):
    monkeypatch.setattr(firmware, "info", lambda path: {"protocol": "1"})
    with pytest.raises(FirmwareError, match=r"version 1 of the protocol, this emulator version 2: use"):
        firmware.expect_protocol(tmp_path, 2)


def test_an_interpreter_without_an_application_is_refused(image):
    with pytest.raises(FirmwareError, match="holds no pump"):
        firmware.info(image)


def test_no_uf2_is_refused(tmp_path):
    (tmp_path / "x.uf2").write_bytes(b"x")
    with pytest.raises(FirmwareError, match="not a UF2"):
        firmware.info(tmp_path / "x.uf2")
