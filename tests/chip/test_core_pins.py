"""Inputs, analogue inputs, lamps and piezo on the chip core."""

import pytest

from haipump_emulator.chip.sensors import supply_counts, temperature_counts
from haipump_emulator.plant import Plant
from haipump_fw import ports
from tests.chip.guest import BOOTED_US, Guest

INPUTS = """
import time
from haipump_fw.ports.rp2.inputs import Inputs
from haipump_fw.ports.rp2.console import Wait, Wake
wake = Wake(); inputs = Inputs(wake); wait = Wait(wake).wait
while True:
    print(inputs.read(), inputs.pressed())
    wait(1_000_000_000)
"""
AT_REST = ports.IN_CAPTURED
BUTTONS = (ports.IN_SERVICE, ports.IN_START, ports.IN_STOP, ports.IN_SILENCE)


@pytest.mark.parametrize("bit", BUTTONS)
def test_a_button_is_read_and_wakes_the_firmware(image, bit):
    guest = Guest(image, INPUTS).run(BOOTED_US + 200_000)
    assert guest.text() == f"{AT_REST} 0\n"
    guest.core.press(bit, True)
    assert guest.core.held == bit
    guest.run(10_000)
    assert guest.text() == f"{AT_REST | bit} {bit}\n"
    guest.core.press(bit, False)
    guest.run(10_000)
    assert guest.text() == f"{AT_REST} 0\n"


def test_switches_of_the_plant_are_read_when_the_world_moves_them(image):
    guest = Guest(image, INPUTS).run(BOOTED_US + 200_000)
    guest.text()
    plant, core = guest.core.plant, guest.core
    plant.capture(core.now_us, False)
    guest.run(10_000)
    assert guest.text() == "0 0\n"
    plant.driver_fault(core.now_us, True)
    guest.run(10_000)
    assert guest.text() == f"{ports.IN_DIAG} {ports.IN_DIAG}\n"
    plant.capture(core.now_us, True)
    plant.driver_fault(core.now_us, False)
    guest.run(10_000)
    assert guest.text() == f"{AT_REST} {ports.IN_CAPTURED}\n"


def test_inputs_outlive_resets_and_power_cuts(image):
    guest = Guest(image, INPUTS)
    guest.core.press(ports.IN_STOP, True)
    guest.run(BOOTED_US + 200_000)
    assert guest.text() == f"{AT_REST | ports.IN_STOP} 0\n"
    guest.core.power(False)
    guest.core.press(ports.IN_SERVICE, True)
    guest.core.power(True)
    guest.run(BOOTED_US + 200_000)
    assert guest.text() == f"{AT_REST | ports.IN_STOP | ports.IN_SERVICE} 0\n"


def test_an_end_switch_moves_with_the_step_that_reaches_it(image):
    main = """
import time
from machine import Pin
from haipump_fw.ports.rp2.devices import Motor
from haipump_fw.ports.rp2.steps import Steps
motor = Motor(); steps = Steps()
def edge(pin):
    motor.enable(False)
Pin(5, Pin.IN, Pin.PULL_UP).irq(edge, Pin.IRQ_RISING, hard=True)
motor.enable(True); steps.configure(8)
steps.begin(1, 1000)
while True:
    while steps.put(2000): pass
    time.sleep_ms(50)
"""
    plant = Plant(seed=1)
    plant.refill(0, 190_000)  # the switch is 0.5 mm before the end; 20 steps are left
    guest = Guest(image, main, plant=plant).run(BOOTED_US + 3_000_000)
    (off,) = [t for t, fields in guest.told("enable") if not fields["on"]]
    before = [ns // 1000 for ns, _ in guest.steps if ns // 1000 <= off]
    assert 10 < len(before) < 60
    assert 0 < off - before[-1] < 60
    guest.core.check()


def test_a_contact_that_is_open_needs_the_pull_up_inside_the_chip(image):
    main = (
        "import time\nfrom machine import Pin\np = Pin(11, Pin.IN, None)\nprint(p.value())\n"
        "p = Pin(11, Pin.IN, Pin.PULL_UP)\nprint(p.value())\ntime.sleep(9)"
    )
    guest = Guest(image, "import time\ntime.sleep_ms(50)\n" + main)
    guest.core.press(ports.IN_STOP, True)  # normally closed: pressed is open
    guest.run(BOOTED_US + 100_000)
    assert guest.text() == "0\n1\n"


SENSORS = """
import time
from haipump_fw.ports.rp2.devices import Sensors
sensors = Sensors()
time.sleep_ms(100)
print(sensors.pressure_raw(), sensors.encoder_raw(), sensors.supply_mv(), sensors.temperature_mc())
time.sleep(100)
"""


def test_readings_are_the_plants_at_the_instant_of_the_conversion(image):
    guest = Guest(image, SENSORS)
    plant = guest.core.plant
    asked = []

    def watched(original):
        def reading(t_us):
            assert t_us == guest.core.now_us
            asked.append(original(t_us))
            return asked[-1]

        return reading

    for name in ("pressure_raw", "encoder_raw", "supply_mv", "temperature_mc"):
        setattr(plant, name, watched(getattr(plant, name)))
    guest.run(BOOTED_US + 400_000)
    pressure, encoder, supply, temperature = map(int, guest.text().split())
    assert len(asked) == 4
    assert (pressure, encoder) == tuple(asked[:2])  # to the last bit
    assert abs(supply - asked[2]) <= 2  # 2.4 mV a count
    assert abs(temperature - asked[3]) <= 470  # 468 thousandths of a degree a count


@pytest.mark.parametrize("mv", [0, 3_000, 4_998, 9_900])
def test_supply_comes_back_as_it_went_in(mv):
    counts = supply_counts(mv)
    assert abs((counts << 4 | counts >> 8) * 9_900 // 65_535 - mv) <= 3


@pytest.mark.parametrize("mc", [-20_000, 0, 22_000, 27_000, 85_000])
def test_temperature_comes_back_as_it_went_in(mc):
    counts = temperature_counts(mc)
    assert abs(437_230 - (counts << 4 | counts >> 8) * 790 // 27 - mc) <= 300


def test_counts_stay_within_the_converter():
    assert (supply_counts(20_000), supply_counts(-5), temperature_counts(500_000)) == (4_095, 0, 0)


PANEL = """
import time
from haipump_fw.ports.rp2.devices import Panel
panel = Panel()
from machine import PWM, Pin
piezo = PWM(Pin(16), freq=1000, duty_u16=0)
def tone(hz):
    if hz:
        piezo.freq(hz)
    piezo.duty_u16(32768 if hz else 0)
time.sleep_ms(50)
"""


def test_lamps_that_change_together_are_one_change(image):
    main = PANEL + "for mask in (7, 2, 2, 0, 5):\n panel.leds(mask)\n time.sleep_ms(10)"
    guest = Guest(image, main).run(BOOTED_US + 400_000)
    seen = [tuple(fields[name] for name in ("red", "yellow", "green")) for _, fields in guest.told("led")]
    assert seen == [(1, 1, 1), (0, 1, 0), (0, 0, 0), (1, 0, 1)]


def test_tones_are_heard_at_their_pitch(image):
    main = PANEL + "for hz in (2500, 4000, 440, 8, 0, 3000):\n tone(hz)\n time.sleep_ms(300)"
    guest = Guest(image, main).run(BOOTED_US + 2_500_000)
    assert [fields["frequency_hz"] for _, fields in guest.told("tone")] == [2500, 4000, 440, 8, 0, 3000]
    starts = [t for t, _ in guest.told("tone")]
    assert all(abs(b - a - 300_000) < 2_000 for a, b in zip(starts, starts[1:], strict=False))


def test_a_piezo_whose_pin_is_taken_from_the_slice_is_silent(image):
    main = PANEL + "tone(2500)\ntime.sleep_ms(50)\nfrom machine import Pin\nPin(16, Pin.OUT, value=0)"
    guest = Guest(image, main).run(BOOTED_US + 500_000)
    assert [fields["frequency_hz"] for _, fields in guest.told("tone")] == [2500, 0]


def test_the_firmware_finds_its_slice_running(image):
    main = (
        PANEL
        + """
from machine import mem32
CSR, EN, SET, CLEAR = 0x40050000, 0x400500a0, 0x2000, 0x3000
tone(2500)
print(mem32[CSR] & 1, mem32[EN])
time.sleep_ms(5)
mem32[EN + CLEAR] = 1
print(mem32[CSR] & 1, mem32[EN])
time.sleep_ms(5)
mem32[EN + SET] = 1
time.sleep(9)
"""
    )
    guest = Guest(image, main).run(BOOTED_US + 200_000)
    assert guest.text() == "1 1\n0 0\n"
    assert [fields["frequency_hz"] for _, fields in guest.told("tone")] == [2500, 0, 2500]


def test_a_slice_whose_interrupt_somebody_waits_for_does_run(image):
    main = PANEL + (
        "from machine import mem32\ntone(1000)\nprint(mem32[0x400500a4])\nmem32[0x400500a8] = 1\n"
        "time.sleep_ms(20)\nprint(mem32[0x400500a4])\ntime.sleep(9)"
    )
    guest = Guest(image, main).run(BOOTED_US + 200_000)
    assert guest.text() == "0\n1\n"


def test_a_reset_lets_go_of_everything_at_that_instant(image):
    main = """
import time, machine
from haipump_fw.ports.rp2.devices import Motor
from haipump_fw.ports.rp2.devices import Panel
motor = Motor(); panel = Panel()
if machine.reset_cause() == machine.PWRON_RESET:
    motor.enable(True); panel.leds(7); panel.sound(2000, (99, 1))
    time.sleep_ms(50)
    machine.reset()
time.sleep(100)
"""
    guest = Guest(image, main).run(BOOTED_US + 500_000)
    ((at, fields),) = guest.told("reset")
    assert fields == {"cause": "request"}
    assert guest.told("enable")[-1] == (at, {"on": 0})
    assert guest.told("tone")[-1] == (at, {"frequency_hz": 0})
    assert guest.told("led")[-1] == (at, {"red": 0, "yellow": 0, "green": 0})
    assert not guest.core.plant.truth(guest.core.now_us).enabled


def test_a_power_cut_lets_go_of_everything(image):
    main = PANEL + "from haipump_fw.ports.rp2.devices import Motor\n"
    main += "Motor().enable(True)\npanel.leds(1)\ntone(2000)"
    guest = Guest(image, main).run(BOOTED_US + 400_000)
    guest.core.power(False)
    at = guest.core.now_us
    assert (guest.told("enable")[-1], guest.told("tone")[-1]) == ((at, {"on": 0}), (at, {"frequency_hz": 0}))
    assert guest.told("led")[-1] == (at, {"red": 0, "yellow": 0, "green": 0})
