"""Resets, lock-ups and power on the chip core."""

import pytest

from haipump_emulator.chip import ChipCheckError, ChipCore
from tests.chip.guest import BOOTED_US, Guest

START = "import time, machine\nfrom machine import mem32\ntime.sleep_ms(60)\n"
DOG = START + "machine.WDT(timeout=500)\n"
# Machine code that breaks off: a break point, an undefined instruction, a jump to nowhere, an address that is not one.
FAULTS = {
    "break point": "data(2, 0xbe00)",
    "undefined": "data(2, 0xde00)",
    "jump": "bx(r0)",
    "read": "ldr(r1, [r0, 0])",
    "write": "str(r1, [r0, 0])",
}


def faulty(fault: str) -> str:
    return f"@micropython.asm_thumb\ndef fault(r0):\n    {FAULTS[fault]}\nfault(0x30000001 & ~{fault != 'jump':d})\n"


@pytest.mark.parametrize(
    ("main", "cause"),
    [
        (DOG + "time.sleep(100)", "watchdog"),
        (DOG + "machine.disable_irq()\nwhile True: pass", "watchdog"),
        (START + "machine.reset()", "request"),
        (START + "mem32[0x4005800c] = 0x2a5a0001\nmachine.reset()", "request"),
        (START + "mem32[0x4005800c] = 0x2a5a0002\nmachine.reset()", "fault"),
        (START + "mem32[0x40058010] = 0x2e5b71ce\nmachine.reset()", "service"),
    ],
    ids=["asleep", "interrupts off", "reset", "asked for", "fault", "service"],
)
def test_a_reset_is_told_with_its_cause(image, main, cause):
    guest = Guest(image, main)
    while not guest.told("reset"):
        guest.run(100_000)
    ((at, fields),) = guest.told("reset")
    assert fields == {"cause": cause}
    if cause == "watchdog":
        assert 560_000 < at < 620_000
    assert guest.core.boots == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lock_up_is_told_and_ends_with_the_watchdog(image, fault):
    guest = Guest(image, DOG + "print('up')\n" + faulty(fault)).run(590_000)
    assert guest.text().startswith("up")
    ((at, fields),) = guest.told("lockup")
    assert fields["why"] and fields["address"]
    assert at < 200_000 and guest.core.lockups == 1
    guest.run(50_000)
    assert len(guest.told("reset")) == 1 and guest.core.boots == 2
    with pytest.raises(ChipCheckError, match="locked up 1 time"):
        guest.core.check()


def test_without_a_watchdog_a_locked_up_chip_stays_so_and_costs_nothing(image):
    main = """
import time
from haipump_fw.ports.rp2.devices import Motor
from haipump_fw.ports.rp2.steps import Steps
motor = Motor(); steps = Steps(); motor.enable(True); steps.configure(8)
steps.begin(1, 1000)
for _ in range(8): steps.put(100_000)
"""
    guest = Guest(image, main + faulty("break point")).run(BOOTED_US + 10_000_000)
    assert guest.told("lockup") and not guest.told("reset")
    assert len(guest.steps) == 9 and guest.gaps() == [100_000_000] * 8  # the machines run dry by themselves
    guest.run(86_400_000_000)
    assert guest.core.boots == 1
    guest.core.power(False)
    guest.core.power(True)
    guest.run(BOOTED_US + 1_000_000)
    assert guest.core.boots == 2 and len(guest.steps) == 18


def test_an_application_that_holds_its_machines_leaves_none_behind(image):
    main = """
import time, machine
from haipump_fw.ports.rp2.devices import Motor
from haipump_fw.ports.rp2.steps import Steps
motor = Motor(); steps = Steps(); motor.enable(True); steps.configure(8)
steps.begin(1, 20000)
for _ in range(8): steps.put(20000)
time.sleep_ms(70)
machine.reset()
"""
    guest = Guest(image, main)
    while not guest.told("reset"):
        guest.run(10_000)
    (at,) = [t for t, _ in guest.told("reset")]
    guest.run(50_000)
    assert 3 <= len(guest.steps) <= 4 and all(ns // 1000 < at for ns, _ in guest.steps)
    guest.core.check()


def randomness(image, seed: int, boots: int, more: int = 0) -> list[str]:
    main = f"import os\nprint(os.urandom(8).hex())\nos.urandom({more})\ntime.sleep_ms(9)\nmachine.reset()"
    guest = Guest(image, START + main, seed=seed)
    while guest.core.boots <= boots:
        guest.run(10_000)
    return [line for line in guest.text().split() if len(line) == 16]


def test_randomness_differs_by_boot_and_by_seed_and_is_the_same_every_time(image):
    one, other = randomness(image, 1, 2), randomness(image, 2, 2)
    assert len({*one, *other}) == 4
    assert randomness(image, 1, 2, more=5) == one  # whatever the boot before has drawn


def test_scratch_registers_survive_a_reset_and_not_a_power_cut(image):
    main = START + "print(mem32[0x40058014])\nmem32[0x40058014] = 77\ntime.sleep_ms(20)\nmachine.reset()"
    guest = Guest(image, main)
    while guest.core.boots < 3:
        guest.run(1_000)
    assert guest.text().split() == ["0", "77"]
    guest.core.power(False)
    guest.core.power(True)
    guest.run(BOOTED_US + 30_000)
    assert guest.text().split()[0] == "0"


def test_the_firmware_finds_the_cache_on(image):
    main = START + "print(mem32[0x14000000] & 1)\nmem32[0x14003000] = 1\nprint(mem32[0x14000000] & 1)\ntime.sleep(9)"
    guest = Guest(image, main).run(BOOTED_US + 60_000)
    assert guest.text() == "1\n0\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a UF2"),
        (b"x" * 512, "no UF2 block"),
        (b"x" * 513, "not a UF2"),
    ],
)
def test_a_file_that_is_no_image_is_refused(tmp_path, data, says):
    path = tmp_path / "image.uf2"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=says):
        ChipCore(image=path)


def test_a_file_system_that_is_too_large_is_refused(image):
    with pytest.raises(ValueError, match="does not fit"):
        ChipCore(image=image, files=bytes(2 << 20))
