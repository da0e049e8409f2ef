"""The flash chip: durations, what survives, power cuts inside of commands, worn sectors, the unique id."""

import pytest

from haipump_emulator.chip import ChipCore
from haipump_emulator.direct import DirectCore
from haipump_emulator.faults.flash import CUT_MODES
from tests.chip.guest import BOOTED_US, Guest

FLASH = """
import time, sys
from haipump_fw.ports.rp2.flash import Flash
flash = Flash()
time.sleep_ms(30)
def timed(what, *arguments):
    start = time.ticks_us()
    try:
        what(*arguments)
    except OSError as problem:
        print(problem)
    return time.ticks_diff(time.ticks_us(), start)
"""
PAGE = bytes(range(1, 201))
PROGRAM = "flash.program(0x1000, bytes(range(1, 201)))\n"


def test_commands_take_their_time(image):
    main = FLASH + (
        "page = bytearray(256)\nwrite = flash._device.writeblocks\n"  # without the port's own check
        "print(timed(write, 0, page, 512), timed(write, 0, page, 0), timed(flash._device.ioctl, 6, 0))\ntime.sleep(9)"
    )
    guest = Guest(image, main).run(BOOTED_US + 300_000)
    first, second, erase = map(int, guest.text().split())
    assert 700 < first < 960 and 700 < second < 960
    assert 45_000 < erase < 48_000
    slow = Guest(image, main, erase_us=400_000, program_us=3_000).run(BOOTED_US + 900_000)
    first, second, erase = map(int, slow.text().split())
    assert 3_000 < first < 3_500 and 3_000 < second < 3_500 and 400_000 < erase < 403_000


def test_the_partition_is_what_the_firmware_wrote_and_survives(image):
    guest = Guest(image, FLASH + PROGRAM).run(BOOTED_US + 200_000)
    core = guest.core
    assert core.flash[0x1000:0x1100] == PAGE + b"\xff" * 56
    assert core.flash[:0x1000] == b"\xff" * 0x1000
    port = core.flash_port
    assert (port.operations, port.programs, sum(port.erases), port.overprograms) == (1, 1, 0, 0)
    core.power(False)
    assert core.flash[0x1000:0x1100] == PAGE + b"\xff" * 56
    core.power(True)
    assert bytes(core.flash_port.data) == core.flash


def test_state_goes_from_core_to_core(image):
    start = bytes(range(256)) * 1024
    guest = Guest(image, "", flash=start).run(1000)
    assert guest.core.flash == start
    assert DirectCore(flash=guest.core.flash).flash != b""
    with pytest.raises(ValueError, match="262144 bytes"):
        ChipCore(image=image, flash=b"123")


def test_programming_only_clears_bits(image):
    main = FLASH + "flash.program(0, b'\\xf0')\nprint(timed(flash.program, 0, b'\\x3c'))\nflash.erase(0)"
    guest = Guest(image, main).run(BOOTED_US + 120_000)
    text = guest.text()
    assert text.startswith("flash program")  # the port reads back what is not there
    assert guest.core.flash_port.overprograms == 1
    guest.run(100_000)
    assert guest.core.flash[0] == 0xFF


def test_motion_goes_on_exactly_while_the_flash_is_busy(image):
    main = (
        FLASH
        + """
from haipump_fw.ports.rp2.devices import Motor
from haipump_fw.ports.rp2.steps import Steps
motor = Motor(); steps = Steps(); motor.enable(True); steps.configure(8)
steps.begin(1, 5000)
for _ in range(8): steps.put(10_000)
flash.erase(0)
time.sleep_ms(200)
print(steps.odometer())
time.sleep(9)
"""
    )
    guest = Guest(image, main).run(BOOTED_US + 500_000)
    assert guest.gaps() == [10_000_000] * 8
    assert guest.text() == "9\n"
    guest.core.check()


def test_no_interrupt_comes_through_an_erase_and_none_is_lost(image):
    main = (
        FLASH
        + """
import rp2
from array import array
@rp2.asm_pio()
def beat():
    irq(rel(0))
    set(x, 19) [18]
    label("wait")
    jmp(x_dec, "wait") [9]
ticks_us, ticks_diff, last, longest = time.ticks_us, time.ticks_diff, array("i", [time.ticks_us()]), array("i", [0, 0])
def count(machine):
    now = ticks_us()
    longest[0] = max(longest[0], ticks_diff(now, last[0]))
    last[0] = now
    longest[1] += 1
machine = rp2.StateMachine(0, beat, freq=22_000)  # every 10 ms
machine.irq(count, hard=True)
machine.active(1)
time.sleep_ms(50)
print(longest[0])
flash.erase(0)
print(longest[0])
before = longest[1]
time.sleep_ms(50)
print(longest[1] - before)
time.sleep(9)
"""
    )
    guest = Guest(image, main).run(BOOTED_US + 300_000)
    at_rest, erasing, after = map(int, guest.text().split())
    assert 9_900 < at_rest < 10_200
    assert 45_000 <= erasing < 56_000
    assert after in (5, 6), "the beat goes on"


def test_a_reset_in_an_erase_leaves_the_interrupts_alone(image):
    main = FLASH + "import machine\nmachine.WDT(timeout=100)\nflash.erase(0)\nprint('never')\n"
    guest = Guest(image, main, erase_us=400_000).run(BOOTED_US + 1_500_000)
    assert guest.core.boots > 2 and "never" not in guest.text()


def cut(image, main: str, mode: str, operation: int = 1, seed: int = 1) -> Guest:
    """Cut the power in that operation and let some time pass."""
    guest = Guest(image, main, seed=seed)
    guest.core.flash_port.cut_after(operation, mode)
    guest.run(BOOTED_US + 300_000)
    assert not guest.core.powered
    return guest


@pytest.mark.parametrize("mode", CUT_MODES)
def test_a_program_that_is_cut_leaves_what_the_mode_says(image, mode):
    guest = cut(image, FLASH + PROGRAM, mode)
    found = guest.core.flash[0x1000:0x1100]
    rest = b"\xff" * 256
    whole = PAGE + b"\xff" * 56
    if mode == "before":
        assert found == rest
    elif mode == "done":
        assert found == whole
    elif mode == "half":
        assert found == whole[:128] + rest[128:]
    else:
        assert found not in (rest, whole)
        assert all(was & byte == byte and byte & new == new for was, byte, new in zip(rest, found, whole, strict=True))
        if mode == "prefix":
            same = next(n for n in range(256) if found[n] != whole[n])
            assert found[same + 1 :] == rest[same + 1 :]


@pytest.mark.parametrize("mode", CUT_MODES)
def test_an_erase_that_is_cut_leaves_what_the_mode_says(image, mode):
    old = bytes(4096)
    main = FLASH + "flash.erase(0)\n"
    guest = Guest(image, main, flash=old * 64)
    guest.core.flash_port.cut_after(1, mode)
    guest.run(BOOTED_US + 300_000)
    assert not guest.core.powered
    found = guest.core.flash[:4096]
    assert guest.core.flash[4096:] == old * 63
    expected = {"before": old, "done": b"\xff" * 4096, "half": b"\xff" * 2048 + bytes(2048)}
    if mode in expected:
        assert found == expected[mode]
    else:
        assert found not in (old, b"\xff" * 4096)


def test_the_cut_comes_in_the_operation_that_was_named(image):
    main = FLASH + "for n in range(5): flash.program(n * 256, b'a')\n"
    guest = cut(image, main, "done", operation=3)
    assert [guest.core.flash[n * 256] for n in range(5)] == [0x61, 0x61, 0x61, 0xFF, 0xFF]
    guest.core.power(True)  # what was planned is forgotten
    guest.run(BOOTED_US + 300_000)
    assert guest.core.powered and guest.core.flash[1024] == 0x61


def test_a_cut_that_did_not_come_is_forgotten_at_power_up(image):
    guest = Guest(image, FLASH + "flash.program(0, b'a')\n")
    guest.core.flash_port.cut_after(2, "half")
    guest.run(BOOTED_US + 200_000)
    guest.core.power(False)
    guest.core.power(True)
    guest.run(BOOTED_US + 200_000)
    assert guest.core.powered and guest.core.flash_port.operations == 2


def test_a_cut_at_any_instant_leaves_what_was_done_by_then(image):
    guest = Guest(image, FLASH + "flash.erase(0)\n", flash=bytes(0x40000))
    core = guest.core
    while not core.flash_port.operations:
        guest.run(1_000)
    guest.run(15_000)
    core.power(False)
    ones = sum(byte.bit_count() for byte in core.flash[:4096]) / 32_768
    assert 0.2 < ones < 0.6  # a third of the time had passed
    core.power(True)
    while core.flash_port.operations < 2:
        guest.run(1_000)
    guest.run(60_000)
    core.power(False)
    assert core.flash[:4096] == b"\xff" * 4096


@pytest.mark.parametrize(
    ("breakage", "main", "says"),
    [
        ("program_silent", "timed(flash.program, 0, b'abc')", "flash program"),
        ("program_wrong", "timed(flash.program, 0, bytes(range(100)))", "flash program"),
        ("erase_silent", "timed(flash.erase, 0)", "flash erase"),
    ],
)
def test_a_broken_sector_is_noticed_by_the_port(image, breakage, main, says):
    guest = Guest(image, FLASH + main, flash=(b"\x55" if "erase" in breakage else b"\xff") * 0x40000)
    guest.core.flash_port.break_sector(0, breakage)
    guest.run(BOOTED_US + 300_000)
    assert says in guest.text()


def test_a_sector_wears_out(image):
    guest = Guest(image, FLASH + "for _ in range(4): print(timed(flash.program, 0, b'a') and timed(flash.erase, 0))")
    guest.core.flash_port.wear_out(3, "erase_silent")
    guest.run(BOOTED_US + 500_000)
    assert guest.text().count("flash erase") == 1
    assert guest.core.flash_port.erases[0] == 4


def test_faults_that_this_chip_can_not_have_are_refused(image):
    port = ChipCore(image=image).flash_port
    with pytest.raises(ValueError, match="program_error"):
        port.break_sector(1, "program_error")
    with pytest.raises(ValueError, match="read_error"):
        port.wear_out(1, "read_error")
    with pytest.raises(ValueError, match="no such cut"):
        port.cut_after(0, "half")
    with pytest.raises(ValueError, match="no such cut"):
        port.cut_after(1, "quarter")


@pytest.mark.parametrize("seed", [1, 7])
def test_the_device_is_the_one_that_the_other_core_is(image, seed):
    main = "import time, machine\ntime.sleep_ms(60)\nprint(machine.unique_id().hex())"
    guest = Guest(image, main, seed=seed).run(BOOTED_US + 100_000)
    app = DirectCore(seed=seed).app
    assert app is not None
    assert guest.text().strip().startswith(app.ports.system.device_id())
