"""The waveform of a run on the chip: edges as the driver saw them, pads that float, resets, power cuts."""

from haipump_emulator.trace.vcd import Waveform
from haipump_fw import ports
from tests.chip.guest import BOOTED_US, Guest
from tools import vcd

MAIN = """
import machine, time
from machine import Pin
from haipump_fw.ports.rp2.inputs import Inputs
from haipump_fw.ports.rp2.devices import Motor
from haipump_fw.ports.rp2.steps import Steps
from haipump_fw.ports.rp2.console import Wake
inputs = Inputs(Wake()); motor = Motor(); steps = Steps()
led = Pin(13, Pin.OUT, value=1)
print("raw", machine.ADC(26).read_u16())
time.sleep_ms(100)
motor.enable(True)
time.sleep_ms(1)
for direction in (1, -1):
    steps.configure(8)
    steps.begin(direction, 1000)
    for n in range(4):
        steps.put(500)
    time.sleep_ms(20)
motor.enable(False)
time.sleep_ms(40)
machine.reset()
"""
PRESSED_US = BOOTED_US + 100_000
LIFE_US = 350_000


def run(image, path, slice_us=50_000):
    """A life until the reset and into the next one, then a power cut, and a third."""
    guest = Guest(image, MAIN)
    waveform = Waveform(guest.core, path)

    def go_on(us):
        end = guest.core.now_us + us
        while guest.core.now_us < end:
            guest.core.run_until(min(end, guest.core.now_us + slice_us))

    go_on(PRESSED_US)
    guest.core.press(ports.IN_SILENCE, True)
    go_on(LIFE_US)
    guest.core.power(False)
    go_on(10_000)
    guest.core.power(True)
    go_on(LIFE_US)
    waveform.close()
    return guest, vcd.read(path)


def test_edges_are_those_of_the_motor(image, tmp_path):
    guest, dump = run(image, tmp_path / "a.vcd")
    rises, falls = dump.edges("step", "1"), dump.edges("step", "0")
    assert rises == [ns for ns, _ in guest.steps]
    assert len(rises) >= 20
    for rise in rises:
        fall = next(t for t in falls if t > rise)
        assert fall - rise == 4_000
    for ns, direction in guest.steps:
        assert dump.at("dir", ns) == ("1" if direction > 0 else "0")
        assert dump.at("en", ns) == "0"


def test_pads_float_after_resets_and_without_power(image, tmp_path):
    guest, dump = run(image, tmp_path / "a.vcd")
    resets = [t for t, fields in guest.told("reset")]
    cut, restored = [t for t, _ in guest.told("power")]
    assert len(resets) == 2
    for t_us in resets:
        (rise,) = [t for t in dump.edges("reset", "1") if t // 1_000 == t_us]
        assert dump.at("reset", rise + 1_000) == "0"
        assert dump.at("en", rise - 1) == "1"
        for name in ("step", "dir", "en", "red"):
            assert dump.at(name, rise) == "z"
        assert dump.at("front", rise - 1) == "0"
    for name in ("step", "en", "red", "silence", "captured"):
        assert dump.at(name, restored * 1_000 - 1) == "z"
    # The chip ends its instruction: some nanoseconds.
    assert [(t // 1_000, level) for t, level in dump.signals["power"]] == [(0, "1"), (cut, "0"), (restored, "1")]
    assert dump.edges("red", "1")[-1] > restored * 1_000


def test_inputs_and_conversions(image, tmp_path):
    guest, dump = run(image, tmp_path / "a.vcd")
    # A closed contact is 0 at once; an open one is what the pull makes of it, once the firmware has switched it on.
    assert dump.at("start", 0) == "0"
    assert dump.at("start", PRESSED_US * 1_000) == "1"
    assert dump.at("silence", PRESSED_US * 1_000 - 1_000) == "1"
    assert dump.at("silence", PRESSED_US * 1_000 + 1_000) == "0"
    raw = int(guest.text().split("raw ")[1].split()[0])
    assert dump.signals["pressure_raw"][1][1] == raw
    assert any(str(text).startswith("raw") for _, text in dump.signals["usb_out"])


def test_equal_runs_make_equal_bytes_whatever_the_slices(image, tmp_path):
    run(image, tmp_path / "a.vcd")
    run(image, tmp_path / "b.vcd", slice_us=3_333)
    assert (tmp_path / "a.vcd").read_bytes() == (tmp_path / "b.vcd").read_bytes()


def test_the_run_is_the_same_with_and_without(image, tmp_path):
    guest, _ = run(image, tmp_path / "a.vcd")
    other = Guest(image, MAIN).run(PRESSED_US)
    other.core.press(ports.IN_SILENCE, True)
    other.run(LIFE_US)
    other.core.power(False)
    other.run(10_000)
    other.core.power(True)
    other.run(LIFE_US)
    assert other.hash.digest() == guest.hash.digest()
