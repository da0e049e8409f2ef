"""What lamps and piezo do, in words: begin and end of each signal once, whatever the number of blinks."""

import pytest

from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant
from haipump_emulator.signals import NOTHING, Signals
from haipump_fw.core import alarms
from haipump_fw.ports import BEAT_MS

S = 1_000_000


class Seen:
    """A Signals that is fed by hand, at seconds."""

    def __init__(self):
        self.lines = []
        self.signals = Signals(lambda t_us, text: self.lines.append((t_us / S, text)))

    def lamp(self, t_s, name, on):
        self.signals.on_event(int(t_s * S), "led", {"red": 0, "yellow": 0, "green": 0, name: int(on)})

    def alarm(self, t_s, priority, lamp=None, bursts=1, flashes_s=None):
        """So many bursts, and the lamp's flashes for as long, or for `flashes_s`; when the last pulse ends."""
        turns = []
        hz = alarms.TONE_HZ[priority] + 1  # as the chip's dividers have it
        at_s = end_s = t_s
        for _ in range(bursts):
            for place, beats in enumerate(alarms.BURSTS[priority]):
                turns.append((at_s, "tone", {"frequency_hz": 0 if place % 2 else hz}))
                end_s = at_s
                at_s += beats * BEAT_MS / 1000
        if lamp:
            on, off = (beats * BEAT_MS / 1000 for beats in alarms.FLASHES[priority])
            for number in range(int((flashes_s or end_s - t_s) / (on + off)) + 1):
                for lit, after_s in ((1, 0), (0, on)):
                    fields = {"red": 0, "yellow": 0, "green": 0, lamp: lit}
                    turns.append((t_s + number * (on + off) + after_s, "led", fields))
        for moment_s, name, fields in sorted(turns, key=lambda turn: turn[0]):
            self.signals.on_event(round(moment_s * S), name, fields)
        return end_s

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
    end_s = seen.alarm(10, priority, lamp, bursts=20)
    assert seen.lines == [(10, says)]
    assert seen.now(end_s + 30) == NOTHING
    (ended_s, text), *more = seen.lines[1:]
    assert text == NOTHING and not more and ended_s == pytest.approx(end_s, abs=1e-5 if lamp is None else 1.5)


def test_an_alarm_that_is_silenced_goes_on_flashing():
    seen = Seen()
    end_s = seen.alarm(10, alarms.HIGH, "red", flashes_s=40)
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
        seen.alarm(10, alarms.HIGH, "red", flashes_s=3)
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
