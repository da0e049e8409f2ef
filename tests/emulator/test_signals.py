"""What lamps and piezo do, in words: begin and end of each signal once, whatever the number of blinks."""

import pytest

from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant
from haipump_emulator.signals import NOTHING, Signals
from haipump_fw.core import alarms

S = 1_000_000


class Seen:
    """A Signals that is fed by hand, at seconds."""

    def __init__(self):
        self.lines = []
        self.signals = Signals(lambda t_us, text: self.lines.append((t_us / S, text)))

    def lamp(self, t_s, name, on):
        self.signals.on_event(int(t_s * S), "led", {"red": 0, "yellow": 0, "green": 0, name: int(on)})

    def burst(self, t_s, priority, lamp=None, audible=True):
        """One burst; the time at which its last pulse ends."""
        pattern = alarms.BURSTS[priority]
        for at, ms in enumerate(pattern):
            if lamp:
                self.lamp(t_s, lamp, at % 2 == 0)
            if audible:
                hz = alarms.TONE_HZ[priority] + 1 if at % 2 == 0 else 0  # as the chip's dividers have it
                self.signals.on_event(int(t_s * S), "tone", {"frequency_hz": hz})
            t_s += ms / 1000
        return t_s - pattern[-1] / 1000

    def now(self, t_s):
        return self.signals.text(int(t_s * S))


@pytest.mark.parametrize(
    ("priority", "lamp", "says"),
    [
        (alarms.HIGH, "red", "red flashes, high-priority alarm sounds"),
        (alarms.MEDIUM, "yellow", "yellow flashes, medium-priority alarm sounds"),
        (alarms.LOW, None, "all lamps dark, low-priority alarm sounds"),
    ],
)
def test_an_alarm_is_one_line_when_it_begins_and_one_when_it_ends(priority, lamp, says):
    seen = Seen()
    period_s = sum(alarms.BURSTS[priority]) / 1000
    for number in range(20):
        end_s = seen.burst(10 + number * period_s, priority, lamp)
    assert seen.lines == [(10, says)]
    assert seen.now(end_s + 1) == says  # between two bursts
    assert seen.now(end_s + 30) == NOTHING
    assert seen.lines[1:] == [(pytest.approx(end_s, abs=1e-5), NOTHING)]


def test_an_alarm_that_is_silenced_goes_on_flashing():
    seen = Seen()
    end_s = seen.burst(10, alarms.HIGH, "red")
    for number in range(1, 5):
        seen.burst(10 + 7.45 * number, alarms.HIGH, "red", audible=False)
    assert seen.lines[1:] == [(pytest.approx(end_s, abs=1), "red flashes, silent")]


def test_a_lamp_that_stays_lit_does_not_flash():
    seen = Seen()
    seen.lamp(5, "green", True)
    assert seen.now(5.1) == "green lit, silent"
    seen.lamp(50, "green", False)
    assert seen.now(60) == NOTHING
    assert seen.lines == [(5, "green lit, silent"), (50, NOTHING)]


def test_a_pump_without_power_shows_nothing_at_once():
    for what in ("power", "reset"):
        seen = Seen()
        seen.burst(10, alarms.HIGH, "red")
        seen.signals.on_event(13 * S, what, {})
        assert seen.lines[1:] == [(13, NOTHING)]
        seen.lamp(20, "red", True)
        seen.signals.on_event(int(20.5 * S), what, {})
        assert seen.lines[2:] == [(20, "red lit, silent"), (20.5, NOTHING)]


def test_what_is_no_alarm_is_called_by_its_pitch():
    seen = Seen()
    seen.signals.on_event(1 * S, "tone", {"frequency_hz": 440})
    seen.signals.on_event(3 * S, "tone", {"frequency_hz": 0})
    assert seen.now(5) == NOTHING
    assert seen.lines == [(1, "all lamps dark, a tone of 440 Hz"), (3, NOTHING)]


def test_the_alarms_of_the_real_firmware():
    core = DirectCore(Plant())
    lines = []
    signals = Signals(lambda t_us, text: lines.append(text))
    core.listeners.append(signals)
    core.run_until(3 * S)
    core.plant.driver_fault(core.now_us, True)
    core.run_until(60 * S)
    signals.advance(core.now_us)
    assert lines == ["red flashes, high-priority alarm sounds"]
    core.press(1 << 7, True)  # silence
    core.run_until(90 * S)
    assert signals.text(core.now_us) == "red flashes, silent"
