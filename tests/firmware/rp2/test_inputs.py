"""Switches and buttons: levels, latched presses, and sleep that ends when something happens."""

import pytest

from haipump_fw import ports
from haipump_fw.ports.rp2 import pins
from tests.firmware.rp2.chip import Chip, Pin

BITS = {
    "front": ports.IN_FRONT,
    "back": ports.IN_BACK,
    "captured": ports.IN_CAPTURED,
    "diag": ports.IN_DIAG,
    "service": ports.IN_SERVICE,
    "start": ports.IN_START,
    "stop": ports.IN_STOP,
    "silence": ports.IN_SILENCE,
}


class InputRig:
    def __init__(self, chip, load):
        self.chip = chip
        for name in BITS:
            self.set(name, False)
        wait = load("console")
        self.wake = wait.Wake()
        self.released: list[int] = []  # when steps and motor were stopped by an interrupt
        self.inputs = load("inputs").Inputs(self.wake, lambda: self.released.append(chip.now_us))
        self.wait = wait.Wait(self.wake).wait

    def set(self, name, on):
        self.chip.block.set_level(pins.gpio(name), pins.active(name) if on else 1 - pins.active(name))

    def after(self, delay_us, action):
        self.chip.pending.append((self.chip.block.now + delay_us * self.chip.block.TICKS_PER_US, action))


@pytest.fixture
def rig():
    chip = Chip()
    with chip.attach() as load:
        yield InputRig(chip, load)


def test_the_pins_stand_in_the_order_of_the_bits():
    rows = [row for row in pins.PINS if row[pins.KIND] == "in"]
    assert [BITS[row[pins.NAME]] for row in rows] == [1 << index for index in range(8)]
    assert [row[pins.GPIO] for row in rows] == list(range(pins.INPUT_FIRST, pins.INPUT_FIRST + pins.INPUT_COUNT))


def test_no_pin_is_used_twice_and_all_are_on_the_board():
    numbers = [row[pins.GPIO] for row in pins.PINS]
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) <= {*range(2, 23), 23, 26, 27, 28, 29}  # 0 and 1 stay free for a UART
    with pytest.raises(KeyError):
        pins.gpio("nonsense")


@pytest.mark.parametrize("name", BITS)
def test_every_input_reads_active_alone(rig, name):
    assert rig.inputs.read() == 0
    rig.set(name, True)
    assert rig.inputs.read() == BITS[name]
    rig.set(name, False)
    assert rig.inputs.read() == 0


def test_a_broken_wire_reads_as_the_safe_answer(rig):
    # The pull inside the chip decides: travel ended, no syringe, stop pressed; and no key, no start, no service.
    for row in pins.PINS:
        if row[pins.KIND] == "in":
            mode, pull = rig.chip.modes[row[pins.GPIO]]
            assert mode == Pin.IN
            rig.chip.block.set_level(row[pins.GPIO], 1 if pull == Pin.PULL_UP else 0)
    assert rig.inputs.read() == ports.IN_FRONT | ports.IN_BACK | ports.IN_STOP


@pytest.mark.parametrize("name", BITS)
def test_a_press_is_latched_once_and_a_release_never(rig, name):
    rig.set(name, True)
    rig.chip.run_us(50)
    rig.set(name, False)
    rig.chip.run_us(50)
    assert rig.inputs.pressed() == BITS[name]
    assert rig.inputs.pressed() == 0


def test_what_is_active_from_the_start_was_not_pressed():
    chip = Chip()
    with chip.attach() as load:
        chip.block.set_level(pins.gpio("start"), pins.active("start"))
        rig = load("inputs").Inputs(load("console").Wake())
        chip.run_us(100)
        assert rig.pressed() == 0


def test_a_press_that_is_over_before_its_interrupt_is_not_missed(rig):
    rig.chip.masked = True  # a sector is being erased
    rig.set("stop", True)
    rig.chip.run_us(100_000)
    rig.set("stop", False)
    rig.chip.run_us(100_000)
    rig.chip.masked = False
    rig.chip.run_us(100)
    assert rig.inputs.pressed() == ports.IN_STOP


GUARDED = ("front", "back", "captured", "diag", "stop")


@pytest.mark.parametrize("name", GUARDED)
def test_a_guarded_input_stops_the_motor_in_its_interrupt(rig, name):
    danger = name != "captured"
    rig.set(name, not danger)
    rig.chip.run_us(100)
    rig.inputs.guard(BITS[name])
    for other in GUARDED:
        if other != name:
            rig.set(other, other != "captured")
    rig.chip.run_us(100)
    assert not rig.released and rig.inputs.tripped() == 0
    at = rig.chip.now_us
    rig.set(name, danger)
    rig.chip.run_us(100)
    assert len(rig.released) == 1 and rig.released[0] - at < 50
    rig.set(name, not danger)
    rig.chip.run_us(100)
    assert (rig.inputs.tripped(), rig.inputs.tripped()) == (BITS[name], 0), "told once, also when it is over"
    rig.inputs.guard(0)
    rig.set(name, danger)
    rig.chip.run_us(100)
    assert len(rig.released) == 1


def test_a_disturbance_on_the_wire_does_not_stop_the_motor(rig):
    rig.inputs.guard(ports.IN_FRONT)
    rig.chip.masked = True
    rig.set("front", True)
    rig.set("front", False)
    rig.chip.masked = False
    rig.chip.run_us(100)
    assert not rig.released and rig.inputs.tripped() == 0


def test_several_presses_are_latched_together(rig):
    rig.set("start", True)
    rig.set("silence", True)
    rig.chip.run_us(100)
    assert rig.inputs.pressed() == ports.IN_START | ports.IN_SILENCE


def test_the_interrupts_are_hard(rig):
    assert len(rig.chip.pin_irqs) == 8
    assert all(irq.hard for irq in rig.chip.pin_irqs.values())


@pytest.mark.parametrize("name", BITS)
@pytest.mark.parametrize("on", [True, False])
def test_either_edge_ends_the_sleep(rig, name, on):
    rig.set(name, not on)
    rig.chip.run_us(100)
    rig.wait(0)
    rig.after(1_000_000, lambda: rig.set(name, on))
    start = rig.chip.now_us
    assert rig.wait(8_000_000) == ports.WOKEN_EDGE
    assert 1_000_000 <= rig.chip.now_us - start < 1_000_200


def test_an_edge_before_the_sleep_ends_it_at_once(rig):
    rig.set("stop", True)
    rig.chip.run_us(100)
    start = rig.chip.now_us
    assert rig.wait(8_000_000) == ports.WOKEN_EDGE
    assert rig.chip.now_us == start
    assert rig.wait(1_000_000) == 0  # and only once
    assert rig.chip.now_us == start + 1_000_000


def test_a_byte_ends_the_sleep(rig):
    rig.after(2_000, lambda: rig.chip.stdin.data.append(33))
    start = rig.chip.now_us
    assert rig.wait(5_000_000) == ports.WOKEN_HEARD
    assert rig.chip.now_us - start < 2_200


@pytest.mark.parametrize("duration", [0, -5, 1, 999, 1_000, 1_999, 250_000])
def test_the_sleep_ends_with_the_next_whole_millisecond(rig, duration):
    start = rig.chip.now_us
    rig.wait(duration)
    slept = rig.chip.now_us - start
    assert max(0, duration) <= slept <= max(0, duration) + 999


def test_the_wake_object_answers_polls_only(rig):
    rig.wake.flag = 1
    assert rig.wake.ioctl(3, 1) == 1
    assert rig.wake.ioctl(3, 4) == 0  # asked for writing
    assert rig.wake.ioctl(4, 1) == 0  # closed
