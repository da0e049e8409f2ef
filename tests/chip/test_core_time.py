"""Time on the chip core: exact, the same whatever the slices, going on over resets and power cuts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from haipump_fw import ports
from haipump_fw.core import clock
from tests.chip.guest import BOOTED_US, Guest

# Everything at once: steps, lamps, sounds, output, buttons, randomness, a page of flash, and a reset at the end.
BUSY = """
import os, sys, time, machine
from haipump_fw.ports.rp2.flash import Flash
from haipump_fw.ports.rp2.inputs import Inputs
from haipump_fw.ports.rp2.devices import Motor
from haipump_fw.ports.rp2.devices import Panel
from haipump_fw.ports.rp2.steps import Steps
from haipump_fw.ports.rp2.console import Wait, Wake
wake = Wake(); inputs = Inputs(wake); wait = Wait(wake).wait
motor = Motor(); panel = Panel(); steps = Steps()
print(os.urandom(4).hex(), machine.ADC(26).read_u16())
motor.enable(True); steps.configure(8); steps.begin(1, 1000)
for n in range(40):
    steps.put(700 + n)
for n in range(30):
    panel.leds(n & 7); panel.sound(1000 + n, (1, 2, 3, 4))
    wait(10000)
    print(n, inputs.read(), inputs.pressed(), steps.queued())
    if n == 5:
        Flash().program(512, b"hello")
print(steps.odometer())
machine.reset()
"""
SLICES_US = (2_000_000, 10_000, 1_000, 333)
RUN_US = 700_000


def played(image: Path, slice_us: int) -> Guest:
    """Run BUSY in slices; inputs come at fixed times."""
    guest = Guest(image, BUSY)
    core = guest.core
    inputs = [
        (150_007, lambda: core.press(ports.IN_STOP, True)),
        (190_013, lambda: core.send(b"abc")),
        (230_001, lambda: core.plant.capture(core.now_us, False)),
        (250_999, lambda: core.press(ports.IN_STOP, False)),
    ]
    for at, action in [*inputs, (RUN_US, lambda: None)]:
        while core.now_us < at:
            core.run_until(min(at, core.now_us + slice_us))
        action()
    guest.hash.update(bytes(core.output) + core.flash)
    return guest


def test_equal_inputs_give_equal_bytes_and_edges_whatever_the_slices(image):
    guests = [played(image, slice_us) for slice_us in SLICES_US]
    assert len(guests[0].steps) > 41  # some after the reset, too
    assert guests[0].told("reset") and guests[0].told("tone") and b"hello" in guests[0].core.flash
    assert len({guest.hash.hexdigest() for guest in guests}) == 1
    for guest in guests:
        guest.core.check()


def test_a_fresh_process_gives_the_same(image):
    code = f"from tests.chip.test_core_time import *; print(played(Path({str(image)!r}), 77777).hash.hexdigest())"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=100)
    assert done.stdout.strip() == played(image, 100_000).hash.hexdigest(), done.stderr


@pytest.mark.parametrize("main", ["import time\ntime.sleep(100)", "while True: pass"])
def test_run_until_ends_where_it_should(image, main):
    guest = Guest(image, main).run(BOOTED_US)
    for us in (1, 2, 7, 1_000, 12_345):
        at = guest.core.now_us + us
        guest.run(us)
        assert guest.core.now_us == at
        assert 0 <= guest.core.now_ns - at * 1000 <= 60
    guest.core.run_until(5)
    assert guest.core.now_us == at


def test_time_goes_on_over_resets_and_power_cuts(image):
    guest = Guest(image, "import time, machine\ntime.sleep_ms(20)\nmachine.reset()", start_us=500).run(300_000)
    core = guest.core
    boots = core.boots
    assert boots > 3 and core.now_us == 300_500
    core.power(False)
    assert (core.powered, core.mcu) == (False, None)
    guest.run(1_000_000)
    assert core.boots == boots and core.now_us == 1_300_500
    core.power(True)
    guest.run(10_000)
    assert core.boots == boots + 1 and core.now_us == 1_310_500
    assert [fields["on"] for _, fields in guest.told("power")] == [0, 1]
    times = [t for t, _, _ in guest.events]
    assert times == sorted(times)


def test_a_life_of_more_than_208_days_is_refused(image):
    guest = Guest(image, "").run(BOOTED_US)
    with pytest.raises(OverflowError, match="208 days"):
        guest.core.run_until(209 * 86_400_000_000)
    assert guest.core.now_us == BOOTED_US


def test_an_input_takes_effect_when_it_is_made(image):
    main = """
import time
from machine import Pin
en = Pin(4, Pin.OUT, value=1)
stop = Pin(11, Pin.IN, Pin.PULL_UP)
def edge(pin):
    en.value(not en.value())
stop.irq(edge, Pin.IRQ_RISING | Pin.IRQ_FALLING, hard=True)
while True:
    time.sleep(100)
"""
    guest = Guest(image, main).run(500_000)
    for n in range(1, 6):
        guest.core.press(ports.IN_STOP, bool(n % 2))
        pressed = guest.core.now_us
        guest.run(12_345)
        assert len(guest.told("enable")) == n
        assert 0 < guest.told("enable")[-1][0] - pressed < 60


def test_a_counter_that_starts_elsewhere_is_refused(image):
    with pytest.raises(ValueError, match="starts at 0"):
        Guest(image, "", ticks_start_us=5)


TICKS = """
from haipump_fw.core import clock
values = VALUES
print([clock.ticks_diff(a, b) for a in values for b in values])
print([clock.ticks_add(a, b) for a in values for b in values if b < 1 << 29])
"""


def test_the_interpreters_sums_of_ticks_are_ours(image):
    """The firmware uses those of the interpreter where there are any."""
    values = [0, 1, 1_000, (1 << 29) - 1, 1 << 29, (1 << 29) + 1, (1 << 30) - 1]
    told = Guest(image, TICKS.replace("VALUES", repr(values))).run(BOOTED_US + 200_000).text()
    diffs = [clock.ticks_diff(a, b) for a in values for b in values]
    sums = [clock.ticks_add(a, b) for a in values for b in values if b < 1 << 29]
    assert told.splitlines()[:2] == [str(diffs), str(sums)]
