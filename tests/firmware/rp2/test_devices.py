"""Motor, sensors, panel, console, watchdog, clock: what each asks of the hardware."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw import ports
from haipump_fw.core import options
from haipump_fw.ports.rp2 import pins
from tests.firmware.rp2.chip import Chip, Stream


@pytest.fixture
def chip():
    return Chip()


@pytest.fixture
def load(chip):
    with chip.attach() as load:
        yield load


def test_the_motor_is_off_from_the_first_moment(chip, load):
    levels = []
    chip.block.on_level.append(lambda _now, pad, level: levels.append((pad, level)))
    motor = load("devices").Motor()
    assert levels == [(4, 1)] and not motor.enabled()
    motor.enable(True)
    assert chip.block.level(4) == 0 and motor.enabled()
    motor.enable(False)
    assert chip.block.level(4) == 1 and not motor.enabled()


def test_the_sensors_read_their_own_channels(chip, load):
    chip.adc = {26: 111, 27: 222, 29: 33_333, 4: 14_020}
    sensors = load("devices").Sensors()
    assert (sensors.pressure_raw(), sensors.encoder_raw()) == (111, 222)
    assert chip.block.level(pins.gpio("smps")) == 1


@pytest.mark.parametrize("raw", [0, 1, 33_098, 65_535])
def test_the_supply_is_three_times_the_voltage_at_the_pin(chip, load, raw):
    chip.adc = {29: raw}
    exact = Fraction(raw, 65_535) * 3_300 * 3
    assert load("devices").Sensors().supply_mv() == exact // 1


@given(st.integers(0, 65_535))
def test_the_temperature_follows_the_data_sheet(raw):
    chip = Chip()
    chip.adc = {4: raw}
    with chip.attach() as load:
        reading = load("devices").Sensors().temperature_mc()
    volts = Fraction(raw, 65_535) * Fraction(33, 10)
    exact = 1000 * (27 - (volts - Fraction(706, 1000)) / Fraction(1_721, 1_000_000))
    assert abs(reading - exact) <= 20  # the converter's own step is 468
    assert raw * 790 < 1 << 30 and raw * 9_900 < 1 << 30  # no number leaves the small integers


def test_the_divider_of_the_wiring_page_gives_the_default_options():
    # MPX5100 at 5 V: 0.2 V at 0 kPa, 4.5 V span to 100 kPa; 47 kOhm above 91 kOhm; 3.3 V are 65535 counts.
    share = Fraction(91, 47 + 91)
    zero, span = (Fraction(volts) * share / Fraction(33, 10) * 65_535 for volts in (Fraction(2, 10), Fraction(45, 10)))
    defaults = options.defaults()
    assert abs(defaults["pressure_zero_raw"] - zero) < 3
    assert abs(defaults["pressure_span_raw"] / span - 1) < Fraction(2, 1000)
    assert Fraction(47, 10) * share < Fraction(33, 10)  # full scale stays below the converter's reference


@pytest.mark.parametrize("mask", range(8))
def test_exactly_the_masked_leds_are_lit(chip, load, mask):
    panel = load("devices").Panel()
    panel.leds(7 - mask)
    panel.leds(mask)
    bits = {"red": ports.LED_RED, "yellow": ports.LED_YELLOW, "green": ports.LED_GREEN}
    assert sum(bit for name, bit in bits.items() if chip.block.level(pins.gpio(name))) == mask


def test_the_piezo_is_quiet_until_told_and_sounds_in_its_rhythm(chip, load):
    panel = load("devices").Panel()
    assert chip.tone == 0
    panel.sound(2_700, (2, 1, 1, 4))
    assert (
        heard(chip, lambda: chip.tone, 16)
        == [2_700] * 2 + [0] + [2_700] + [0] * 4 + [2_700] * 2 + [0] + [2_700] + [0] * 4
    )
    panel.sound(0, None)
    assert chip.tone == 0
    assert set(heard(chip, lambda: chip.tone, 10)) == {0}


def test_it_knows_when_no_pulse_comes_for_nine_beats(chip, load):
    panel = load("devices").Panel()
    assert panel.quiet()
    panel.sound(2_700, (2, 1, 2, 20))
    assert not panel.quiet(), "the first pulse comes with the next beat"
    assert heard(chip, panel.quiet, 50) == ([False] * 5 + [True] * 11 + [False] * 9) * 2
    panel.sound(0, None)
    assert panel.quiet()


def heard(chip, look, beats):
    """What there is in the middle of each of the next beats."""
    found = []
    chip.run_us(25_000)
    for _ in range(beats):
        found.append(look())
        chip.run_us(50_000)
    return found


def test_a_lamp_flashes_by_itself_and_the_others_stay_as_they_are(chip, load):
    panel = load("devices").Panel()
    red, green = pins.gpio("red"), pins.gpio("green")
    look = lambda: (chip.block.level(red), chip.block.level(green))  # noqa: E731
    panel.flash(ports.LED_RED, (1, 3))
    panel.leds(ports.LED_GREEN)
    assert heard(chip, look, 8) == [(1, 1), (0, 1), (0, 1), (0, 1)] * 2
    panel.leds(ports.LED_RED)
    assert heard(chip, look, 8).count((1, 0)) == 2, "a lamp that flashes is not lit"
    panel.flash(0, None)
    assert set(heard(chip, look, 4)) == {(0, 0)}
    panel.flash(ports.LED_RED, (1, 3))
    assert heard(chip, look, 4).count((1, 0)) == 1, "and again"


def test_the_beat_is_one_of_fifty_milliseconds_and_rests_when_nothing_plays(chip, load):
    edges = []
    chip.block.on_level.append(lambda now, pad, level: edges.append(now // chip.block.TICKS_PER_US))
    panel = load("devices").Panel()
    edges.clear()
    panel.flash(ports.LED_YELLOW, (1, 1))
    chip.run_us(1_000_000)
    gaps = [b - a for a, b in zip(edges, edges[1:], strict=False)]
    assert len(gaps) >= 19 and max(gaps) - min(gaps) <= 30 and abs(sum(gaps) / len(gaps) - 50_000) < 50
    panel.flash(0, None)
    chip.run_us(200_000)
    assert chip.block.machines[3].tx_size > len(chip.block.machines[3].tx) == 0


def short(chip, pad: int, level: int) -> None:
    """Whatever drives the pad, it stays at this level."""
    chip.block.on_level.append(lambda _now, _pad, _level: chip.block.levels.__setitem__(pad, level))


@pytest.mark.parametrize("level", [0, 1])
def test_an_enable_pad_that_does_not_follow_is_found(chip, load, level):
    motor = load("devices").Motor()
    assert motor.works()
    motor.enable(True)
    assert motor.works()
    short(chip, pins.gpio("en"), level)
    found = []
    for on in (True, False):
        motor.enable(not on)
        motor.enable(on)
        found.append(motor.works())
    assert found == ([True, False] if level == 0 else [False, True])


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("name", ["red", "yellow", "green", "piezo"])
def test_a_lamp_or_piezo_that_does_not_follow_is_found_and_all_is_as_before(chip, load, name, level):
    panel = load("devices").Panel()
    panel.leds(ports.LED_GREEN)
    assert panel.works()
    assert [chip.block.level(pins.gpio(lamp)) for lamp in ("red", "yellow", "green", "piezo")] == [0, 0, 1, 0]
    panel.sound(500, (9, 1))
    chip.run_us(60_000)
    assert chip.tone == 500
    panel.sound(0, None)
    short(chip, pins.gpio(name), level)
    assert not panel.works()


@given(st.binary(max_size=40), st.integers(0, 20))
def test_the_console_reads_what_is_there_and_never_waits(data, size):
    chip = Chip()
    chip.stdin = Stream(chip, data)
    with chip.attach() as load:
        console = load("console").Console()
        buf = bytearray(size)
        count = console.readinto(buf)
        assert count == min(size, len(data))
        assert bytes(buf[:count]) == data[:count]
        assert bytes(chip.stdin.data) == data[count:]


@given(st.binary(max_size=20), st.integers(0, 10))
def test_the_console_writes_what_fits(data, room):
    chip = Chip()
    chip.stdout = Stream(chip, room=room)
    with chip.attach() as load:
        console = load("console").Console()
        assert console.write(b"<" + data + b">", 1, 1 + len(data)) == min(room, len(data))
        assert bytes(chip.stdout.data) == data[:room]


@given(st.integers(0, 1 << 32), st.integers(0, 2_600_000))
def test_nothing_is_written_to_a_host_that_sleeps(asleep_us, later_us):
    """MicroPython would wait for ever for room in its buffer. Nor is it waited for: what was said is lost."""
    chip = Chip()
    with chip.attach() as load:
        console = load("console").Console()
        chip.run_us(asleep_us)
        assert console.write(b"before", 0, 6) == 6
        chip.host_sleeps_from_us = chip.now_us
        chip.run_us(3_000 + later_us)
        began = chip.now_us
        chip.stdout.room = 0  # whoever writes now hangs
        assert console.write(b"in vain", 0, 7) == 7
        assert chip.now_us - began < 1_500
        assert bytes(chip.stdout.data) == b"before"


@given(st.lists(st.integers(0, 3_000_000), max_size=20))
def test_a_host_that_is_awake_is_never_taken_for_asleep(pauses):
    chip = Chip()
    with chip.attach() as load:
        console = load("console").Console()
        for pause in pauses:
            chip.run_us(pause)
            console.write(b"x", 0, 1)
        assert bytes(chip.stdout.data) == b"x" * len(pauses)
        chip.host_sleeps_from_us = chip.now_us
        chip.run_us(50_000)
        console.write(b"lost", 0, 4)
        chip.host_sleeps_from_us = None
        chip.run_us(20)
        console.write(b"back", 0, 4)
        assert bytes(chip.stdout.data).endswith(b"back")


def test_the_watchdog_starts_once_told_and_is_fed_only_then(chip, load):
    watchdog = load("devices").Watchdog()
    watchdog.feed()
    assert chip.watchdog == []
    watchdog.start(8000)
    watchdog.feed()
    assert chip.watchdog == [8000, 0]


def test_the_clock_wraps_where_the_contract_says(chip, load):
    clock = load("devices").Clock()
    chip.run_us(ports.TICKS_PERIOD - 5)
    assert clock.ticks_us() == ports.TICKS_PERIOD - 5
    chip.run_us(7)
    assert clock.ticks_us() == 2
