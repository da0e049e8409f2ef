"""STEP, DIR and EN: PIO in exact time, and what the driver chip makes of the edges."""

import pytest

from haipump_emulator.chip import ChipCheckError
from tests.chip.guest import BOOTED_US, Guest

STEPS = """
import time
from haipump_fw.ports.rp2.devices import Motor
from haipump_fw.ports.rp2.steps import Steps
motor = Motor(); steps = Steps()
motor.enable(True); steps.configure(8)
"""
TRAIN = (
    STEPS
    + """
steps.begin({direction}, 5000)
for _ in range({count} - 1):
    while not steps.put({period}): time.sleep_ms(1)
{wait}
print(steps.odometer(), steps.queued())
time.sleep(1000)
"""
)
ASLEEP = "time.sleep_ms({ms})"
BUSY = "\nend = time.ticks_add(time.ticks_ms(), {ms})\nwhile time.ticks_diff(end, time.ticks_ms()) > 0: pass\n"


@pytest.mark.parametrize("wait", [ASLEEP, BUSY], ids=["asleep", "busy"])
@pytest.mark.parametrize("period", [250, 500, 3_334])
def test_every_edge_is_exact(image, period, wait):
    ms = 30 * period // 1000 + 20
    main = TRAIN.format(direction=1, count=30, period=period, wait=wait.format(ms=ms))
    guest = Guest(image, main).run(BOOTED_US + 150_000 + ms * 1000)
    assert guest.gaps() == [period * 1000] * 29
    assert guest.text() == "30 0\n"
    report = guest.core.check()
    assert (report.forward, report.backward, report.odometer, report.since_reset) == (30, 0, 30, 30)
    truth = guest.core.plant.truth(guest.core.now_us)
    assert (truth.commanded_steps, truth.ignored_steps, truth.enabled) == (30, 0, True)


def test_a_slow_step_costs_nothing_and_is_exact(image):
    main = STEPS + "steps.begin(-1, 1000)\nwhile True:\n steps.put(7_700_000)\n time.sleep_ms(7000)"
    guest = Guest(image, main).run(80_000_000)
    assert guest.gaps() == [7_700_000_000] * 10
    assert {direction for _, direction in guest.steps} == {-1}
    assert guest.core.check().odometer == -11


def test_a_machine_that_is_paused_in_a_countdown_goes_on_where_it_was(image):
    main = (
        STEPS
        + """
import rp2
machine = rp2.StateMachine(0)
steps.begin(1, 1000)
steps.put(100_000)
time.sleep_ms(30)
machine.active(0)
time.sleep_ms(50)
machine.active(1)
time.sleep_ms(200)
"""
    )
    guest = Guest(image, main).run(BOOTED_US + 400_000)
    (gap,) = guest.gaps()
    assert 150_000_000 < gap < 150_200_000  # the pause, and the interpreter's time around it
    guest.core.check()


def test_a_countdown_is_not_disturbed_by_looking_at_the_other_machine(image):
    main = STEPS + (
        "steps.begin(1, 1000)\nfor _ in range(3): steps.put(100_000)\n"
        "for _ in range(40):\n steps.odometer()\n time.sleep_us(7001)"
    )
    guest = Guest(image, main).run(BOOTED_US + 500_000)
    assert guest.gaps() == [100_000_000] * 3
    guest.core.check()


def test_looking_in_the_last_round_of_a_countdown_does_not_delay_it(image):
    """A look falls into the last microsecond before an edge once in a hundred."""
    main = STEPS + (
        "steps.begin(1, 5000)\nwhile steps.put(1000): pass\n"
        "while True:\n steps.odometer()\n while steps.queued() < 60 and steps.put(1000): pass"
    )
    guest = Guest(image, main).run(BOOTED_US + 2_500_000)
    assert len(guest.steps) > 2_000
    assert set(guest.gaps()) == {1_000_000}
    guest.core.check()


def test_halt_stops_at_once_and_the_account_is_exact(image):
    main = STEPS + (
        "steps.begin(1, 1000)\nfor _ in range(20): steps.put(500)\ntime.sleep_us(4200)\n"
        "left = steps.halt()\nprint(left, steps.odometer())\ntime.sleep(1)"
    )
    guest = Guest(image, main).run(BOOTED_US + 500_000)
    left, made = map(int, guest.text().split())
    assert left + made == 21 and 5 < made < 15
    assert guest.core.check().forward == made


def test_the_other_block_is_exact_too(image):
    main = """
import rp2, time
from machine import Pin
Pin(4, Pin.OUT, value=0); Pin(3, Pin.OUT, value=1)
@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW, fifo_join=rp2.PIO.JOIN_TX)
def stepper():
    pull(block)
    mov(y, osr)
    label("count")
    jmp(y_dec, "count")[1]
    set(pins, 1)[3]
    set(pins, 0)
machine = rp2.StateMachine(4, stepper, freq=1_000_000, set_base=Pin(2)); machine.active(1)
for _ in range(5): machine.put(1000)
time.sleep(100)
"""
    guest = Guest(image, main).run(BOOTED_US + 200_000)
    assert guest.gaps() == [(2 * 1001 + 7) * 1000] * 4  # each round of the countdown takes two cycles
    guest.core.check()


def test_a_machine_that_waits_for_a_pin_of_the_cpu_is_woken_in_time(image):
    main = """
import rp2, time
from machine import Pin
Pin(4, Pin.OUT, value=0); Pin(3, Pin.OUT, value=1)
signal = Pin(13, Pin.OUT, value=0)
@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)
def follower():
    wait(1, pin, 0)
    set(x, 31)[31]
    label("count")
    jmp(x_dec, "count")[31]
    set(pins, 1)[31]
    set(pins, 0)
    wait(0, pin, 0)
machine = rp2.StateMachine(0, follower, freq=1_000_000, set_base=Pin(2), in_base=signal); machine.active(1)
for _ in range(5):
    signal.value(1)
    time.sleep_ms(7)
    signal.value(0)
    time.sleep_ms(3)
"""
    guest = Guest(image, main)
    rises = []
    guest.core.mcu.gpio[13].add_listener(
        lambda value, last: rises.append(guest.core.now_ns) if int(value) == 1 else None
    )
    guest.run(BOOTED_US + 200_000)
    assert len(rises) == 5
    # One cycle of the wait, 32 of the load, 32 rounds of 32.
    assert [step - rise for rise, (step, _) in zip(rises, guest.steps, strict=True)] == [1_057_000] * 5
    guest.core.check()


def test_lost_instructions_fail_the_check(image):
    guest = Guest(image, STEPS + "steps.begin(1, 1000)").run(BOOTED_US + 300_000)
    assert len(guest.steps) == 1
    guest.core.check()
    guest.core.mcu.pio[0].backlog_drops = 3
    with pytest.raises(ChipCheckError, match="3 instructions"):
        guest.core.check()
    guest.core.power(False)
    with pytest.raises(ChipCheckError, match="3 instructions"):
        guest.core.check()


def test_lost_instructions_are_not_forgotten_in_a_reset(image):
    guest = Guest(image, "import machine, time\ntime.sleep_ms(60)\nmachine.reset()").run(BOOTED_US)
    guest.core.mcu.pio[1].backlog_drops = 2
    while guest.core.boots < 3:
        guest.run(10_000)
    with pytest.raises(ChipCheckError, match="2 instructions"):
        guest.core.check()


def test_an_odometer_that_is_wrong_fails_the_check(image):
    guest = Guest(image, STEPS + "steps.begin(1, 1000)").run(BOOTED_US + 300_000)
    assert guest.core.odometer() == 1
    guest.core.mcu.pio[0].machines[1].x -= 1
    with pytest.raises(ChipCheckError, match="odometer 2, but 1 edges"):
        guest.core.check()


def test_pulses_while_the_driver_is_off_move_nothing(image):
    main = STEPS + "motor.enable(False)\nsteps.begin(1, 1000)\nfor _ in range(4): steps.put(500)"
    guest = Guest(image, main).run(BOOTED_US + 300_000)
    report = guest.core.check()
    truth = guest.core.plant.truth(guest.core.now_us)
    assert (report.forward, report.ignored, truth.ignored_steps, truth.motor_steps) == (5, 5, 5, 0)
    assert len(guest.steps) == 5


def test_nobody_who_drives_en_is_off(image):
    main = "import time\nfrom machine import Pin\nen = Pin(4, Pin.OUT, value=0)\ntime.sleep_ms(50)\nen.init(Pin.IN)"
    guest = Guest(image, main).run(BOOTED_US + 200_000)
    assert [fields["on"] for _, fields in guest.told("enable")] == [1, 0]
    assert not guest.core.plant.truth(guest.core.now_us).enabled


# Edges closer than Python makes them: registers of the GPIO block, written by machine code. r1: set, r2: clear.
FAST = """
import time
from machine import Pin
for pin in (2, 3, 4): Pin(pin, Pin.OUT, value=0)
time.sleep_ms(50)
@micropython.asm_thumb
def pulse(r0, r1, r2):
    mov(r3, 4)
    {before}
    str(r3, [r1, 0])
    {between}
    str(r3, [r2, 0])
    {after}
pulse(8, 0xd0000014, 0xd0000018)
time.sleep_ms(1)
"""
NOP = "nop()\n    "
SET_DIR, CLEAR_DIR = "str(r0, [r1, 0])", "str(r0, [r2, 0])"


@pytest.mark.parametrize(
    ("before", "between", "after", "kinds"),
    [
        ("", NOP * 130, "", {}),
        ("", NOP * 20, "", {"step_high": 1}),
        (SET_DIR, NOP * 130, "", {"dir_setup": 1}),
        (SET_DIR + "\n    " + NOP * 30, NOP * 130, "", {}),
        ("", SET_DIR + "\n    " + NOP * 130, "", {"dir_hold": 1}),
        ("", NOP * 30 + SET_DIR + "\n    " + NOP * 100, "", {}),
        ("", NOP * 130, "str(r3, [r1, 0])\n    " + NOP * 130 + "str(r3, [r2, 0])", {"step_low": 1}),
    ],
    ids=["good", "short pulse", "late DIR", "DIR in time", "early DIR", "DIR held", "short pause"],
)
def test_breaches_of_the_drivers_timing_are_counted_and_told(image, before, between, after, kinds):
    guest = Guest(image, FAST.format(before=before, between=between, after=after)).run(BOOTED_US + 400_000)
    core = guest.core
    assert core.driver.forward + core.driver.backward == (2 if "step_low" in kinds else 1)
    assert dict(core.driver.violations) == kinds
    assert [fields["kind"] for _, fields in guest.told("violation")] == list(kinds)
    if kinds:
        with pytest.raises(ChipCheckError, match=next(iter(kinds))):
            core.check()
    else:
        core.check()


def test_the_direction_is_the_one_of_the_pad(image):
    main = STEPS + (
        "steps.begin(1, 1000)\nsteps.put(500)\ntime.sleep_ms(10)\nsteps.begin(-1, 1000)\nsteps.put(500)\n"
        "steps.put(500)\ntime.sleep_ms(10)\nprint(steps.odometer())"
    )
    guest = Guest(image, main).run(BOOTED_US + 300_000)
    assert [direction for _, direction in guest.steps] == [1, 1, -1, -1, -1]
    assert guest.core.check().odometer == -1
    assert guest.core.plant.truth(guest.core.now_us).commanded_steps == -1
