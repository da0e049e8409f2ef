"""The flash in RAM keeps the rules of a real one: the other tests of the store stand on it."""

import pytest

from haipump_emulator.faults.flash import BREAKAGES, CUT_MODES, PowerCut, RamFlash

SIZE = 0x4000


def read(flash: RamFlash, address: int, count: int) -> bytes:
    buf = bytearray(count)
    flash.read(address, buf)
    return bytes(buf)


def test_starts_erased_or_with_what_it_held():
    assert read(RamFlash(SIZE), 0, SIZE) == b"\xff" * SIZE
    data = bytes(range(256)) * (SIZE // 256)
    flash = RamFlash(SIZE, data)
    assert read(flash, 0x1003, 5) == data[0x1003:0x1008]
    assert flash.snapshot() == data
    assert RamFlash().size == 0x40000


@pytest.mark.parametrize(("size", "data"), [(SIZE + 1, None), (SIZE, b"short")])
def test_refuses_a_size_that_is_none(size, data):
    with pytest.raises(ValueError):
        RamFlash(size, data)


def test_program_clears_bits_only_and_erase_sets_the_sector():
    flash = RamFlash(SIZE)
    flash.program(0x1010, b"\xf0\x3c")
    assert flash.overprograms == 0
    flash.program(0x1010, b"\x0f")
    assert read(flash, 0x100F, 4) == b"\xff\x00\x3c\xff"
    assert flash.overprograms == 1
    flash.program(0x2000, b"\x00")
    flash.erase(0x1000)
    assert read(flash, 0x1000, 0x1001) == b"\xff" * 0x1000 + b"\x00"
    assert flash.erases == [0, 1, 0, 0]
    assert (flash.programs, flash.operations, flash.reads, flash.read_bytes) == (3, 4, 2, 4 + 0x1001)


def test_refuses_what_the_port_does_not_allow():
    flash = RamFlash(SIZE)
    flash.program(0xFF, b"\x00")
    for address, data in ((0xFF, b"\x00\x00"), (0, b""), (0, bytes(257)), (SIZE, b"\x00"), (-1, b"\x00")):
        with pytest.raises(ValueError):
            flash.program(address, data)
    for address in (1, SIZE, -4096):
        with pytest.raises(ValueError):
            flash.erase(address)
    with pytest.raises(ValueError):
        flash.read(SIZE - 3, bytearray(4))


def test_tells_each_operation():
    seen = []
    flash = RamFlash(SIZE)
    flash.on_operation = lambda *what: seen.append(what)
    flash.erase(0x1000)
    flash.program(0x1000, b"\x00")
    read(flash, 4, 8)
    assert seen == [("erase", 0x1000, 4096), ("program", 0x1000, 1), ("read", 4, 8)]


def cut_flash(mode: str, kind: str, seed: int) -> tuple[bytes, bytes, bytes]:
    """What was in the sector, what should have come, and what a cut in `mode` leaves."""
    flash = RamFlash(SIZE, seed=seed)
    if kind == "erase":
        for at in range(0x1000, 0x2000, 256):
            flash.program(at, bytes(range(256)))
    old = read(flash, 0x1000, 4096)
    data = bytes(255 - n for n in range(256))
    flash.cut_after(1, mode)
    with pytest.raises(PowerCut):
        flash.erase(0x1000) if kind == "erase" else flash.program(0x1000, data)
    assert flash.dead
    for call in (lambda: read(flash, 0, 1), lambda: flash.erase(0), lambda: flash.program(0, b"\x00")):
        with pytest.raises(PowerCut):
            call()
    flash.power_on()
    return old, b"\xff" * 4096 if kind == "erase" else data + old[256:], read(flash, 0x1000, 4096)


@pytest.mark.parametrize("kind", ["program", "erase"])
@pytest.mark.parametrize("mode", CUT_MODES)
def test_a_cut_leaves_each_bit_old_or_new(mode, kind):
    half = 2048 if kind == "erase" else 128
    found = set()
    for seed in range(8):
        old, new, left = cut_flash(mode, kind, seed)
        assert all((o & n) == (o & n & b) and (o | n | b) == (o | n) for o, n, b in zip(old, new, left, strict=True))
        found.add(left)
        if mode == "before":
            assert left == old
        elif mode == "done":
            assert left == new
        elif mode == "half":
            assert left == new[:half] + old[half:]
        else:
            assert left not in (old, new)
    assert (len(found) > 1) == (mode in ("prefix", "bits"))
    assert cut_flash(mode, kind, 3) == cut_flash(mode, kind, 3)


def test_a_cut_comes_with_its_operation_and_is_forgotten_by_power_on():
    flash = RamFlash(SIZE)
    flash.cut_after(2, "before")
    flash.program(0, b"\x00")
    with pytest.raises(PowerCut):
        flash.program(1, b"\x00")
    flash.power_on()
    flash.cut_after(1, "before")
    flash.power_on()
    flash.program(1, b"\x00")
    assert read(flash, 0, 2) == b"\x00\x00"
    for operations, mode in ((0, "before"), (1, "sideways")):
        with pytest.raises(ValueError):
            flash.cut_after(operations, mode)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_sector(breakage):
    flash = RamFlash(SIZE)
    flash.program(0x1000, b"\x55")
    flash.break_sector(1, breakage)
    program_fails, erase_fails, read_fails = (breakage.startswith(what) for what in ("program", "erase", "read"))

    def outcome(call) -> bool:
        try:
            call()
        except OSError:
            return False
        return True

    assert outcome(lambda: flash.program(0x1100, b"\x0f" * 16)) == (breakage != "program_error")
    assert outcome(lambda: read(flash, 0xFFF, 2)) != read_fails
    flash.break_sector(1, None)
    assert (read(flash, 0x1100, 16) != b"\x0f" * 16) == program_fails
    flash.break_sector(1, breakage)
    assert outcome(lambda: flash.erase(0x1000)) == (breakage != "erase_error")
    flash.break_sector(1, None)
    assert (read(flash, 0x1000, 1) == b"\x55") == erase_fails
    assert outcome(lambda: flash.program(0x2000, b"\x00"))
    with pytest.raises(ValueError):
        flash.break_sector(1, "moody")


def test_a_sector_wears_out():
    flash = RamFlash(SIZE)
    flash.wear_out(2, "erase_error")
    flash.erase(0x1000)
    flash.erase(0x1000)
    with pytest.raises(OSError):
        flash.erase(0x1000)
    flash.erase(0x2000)
