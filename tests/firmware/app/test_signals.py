"""LEDs, piezo and silence: what the listener on the panel sees while alarms stand."""

from __future__ import annotations

import pytest

from haipump_fw.core.alarms import HIGH, LOW, MEDIUM, PHASES, SOUND_MIN_S, TONE_HZ
from haipump_fw.ports import IN_SILENCE
from tests import windows
from tests.firmware.app.bench import SECOND, Pump, Refused, pump

FAST = "prepare_rate rate_nl_per_day=240000000"
RATE = "prepare_rate rate_nl_per_day=1300000 override=1"


def low() -> Pump:
    of = pump()
    of.order("prepare_limits reservoir_low_nl=29990000 reservoir_empty_nl=0")
    of.order(FAST)
    of.run_to_alarm("reservoir_low", 10)
    return of


def medium() -> Pump:
    of = pump()
    of.order(FAST + " vtbi_nl=10000")
    of.run_to_alarm("infusion_complete", 10)
    return of


def high() -> Pump:
    of = pump()
    of.order(FAST)
    of.core.plant.driver_fault(of.now, True)
    of.run_to_alarm("driver_error", 10)
    return of


def tones(of: Pump, seconds: float) -> list[tuple[int, int, int]]:
    """(start, milliseconds, frequency) of the tones that begin and end in the next seconds."""
    of.seen.clear()
    of.run(seconds)
    found, began = [], None
    for at, name, fields in of.seen:
        if name == "tone":
            if fields["frequency_hz"]:
                began = (at, fields["frequency_hz"])
            elif began:
                found.append((began[0], round((at - began[0]) / 1000), began[1]))
    return found


def lit(of: Pump, seconds: float) -> list[tuple[int, frozenset[str]]]:
    """(time, LEDs) after each change in the next seconds."""
    of.seen.clear()
    of.run(seconds)
    return [(at, frozenset(k for k, on in f.items() if on)) for at, name, f in of.seen if name == "led"]


@pytest.mark.requirement("GIP-3.1.1/2")
@pytest.mark.parametrize(("alarm", "priority"), [(low, "low"), (medium, "medium"), (high, "high")])
def test_bursts_and_flashes_are_within_the_windows(alarm, priority):
    of = alarm()
    of.run(1)
    begun = len(of.seen)
    of.run(130)
    assert windows.judge_sound(of.seen, priority) >= {"low": 4, "medium": 8, "high": 14}[priority]
    assert windows.judge_lamps(of.seen[begun:], priority) >= {"low": 0, "medium": 60, "high": 240}[priority]


def test_a_signal_goes_on_in_its_own_time_while_the_program_is_busy():
    """Host, telemetry, flash: all that takes the program's time."""
    of = medium()
    of.ask("telemetry period_ms=100")
    begun = len(of.seen)
    for _ in range(300):
        of.act(RATE)
        of.run(0.05)
    assert windows.judge_sound(of.seen, "medium") >= 2 and windows.judge_lamps(of.seen[begun:], "medium") >= 10


def high_at_rest() -> Pump:
    of = pump()
    of.core.plant.driver_fault(of.now, True)
    of.run_to_alarm("driver_error", 10)
    return of


@pytest.mark.parametrize("alarm", [low, medium, high_at_rest])
def test_an_erase_of_the_flash_waits_for_the_pause_between_bursts(alarm):
    of = alarm()
    if of.state() == "infusing":
        of.order(RATE)
    begun: list[int] = []
    flash = of.core.app.ports.flash
    erase = flash.erase

    def seen(address: int) -> None:
        begun.append(of.now)
        erase(address)

    flash.erase = seen
    for silence_s in range(20, 50):
        of.order(f"prepare_settings silence_s={silence_s}")
        of.run(41.3)
    pulses = [(begin * 1_000, end * 1_000) for begin, end in windows.spans(of.seen, "tone", "frequency_hz")]
    assert len(begun) >= 16 and len(pulses) > 20
    assert all(at_us >= end or at_us + 400_000 <= begin for at_us in begun for begin, end in pulses)


@pytest.mark.parametrize(("alarm", "priority"), [(low, LOW), (medium, MEDIUM), (high, HIGH)])
def test_the_pitch_is_the_priority_s(alarm, priority):
    of = alarm()
    assert {frequency for _, _, frequency in tones(of, 60)} == {TONE_HZ[priority]}


def test_green_while_it_runs():
    of = pump()
    of.run(10)
    of.seen.clear()
    of.order(FAST)
    of.run(1)
    assert [f for _, name, f in of.seen if name == "led"] == [{"red": 0, "yellow": 0, "green": 1}]
    of.act("stop")
    of.run(6)
    assert [f for _, name, f in of.seen if name == "led"][-1] == {"red": 0, "yellow": 0, "green": 0}


def test_low_is_steady_yellow():
    of = low()
    of.run(5)
    assert lit(of, 60) == []
    assert [f for _, n, f in low().seen if n == "led"][-1] == {"red": 0, "yellow": 1, "green": 1}


@pytest.mark.requirement("GIP-3.1.1/2")
def test_medium_flashes_yellow_high_flashes_red():
    assert {leds for _, leds in lit(medium(), 60)} == {frozenset({"yellow"}), frozenset()}
    assert {leds for _, leds in lit(high(), 60)} == {frozenset({"red"}), frozenset()}


@pytest.mark.requirement("GIP-3.2.1/2", "CS-REQ-75/76")
@pytest.mark.parametrize("by", ["host", "button"])
def test_silence_is_for_two_minutes_at_most_and_the_light_goes_on(by):
    of = high()
    of.run(5)
    if by == "host":
        assert of.act("silence seconds=120")["seconds"] == 120
    else:
        of.core.press(IN_SILENCE, True)
        of.run(0.1)
        of.core.press(IN_SILENCE, False)
    start = of.now
    assert tones(of, 115) == []
    heard = tones(of, 18)
    assert heard and 118 * SECOND < heard[0][0] - start < 127 * SECOND
    assert of.alarm("driver_error")["phase"] == "active"


@pytest.mark.requirement("GIP-3.2.1/2")
def test_no_longer_silence_than_two_minutes():
    of = low()
    assert of.no("silence seconds=121")["code"] == "range"
    assert of.no("prepare_settings silence_s=121")["code"] == "range"
    of.order("prepare_settings silence_s=10")
    assert of.act("silence")["seconds"] == 10
    assert of.ask("alarms")["silence_s"] == 10
    assert tones(of, 9) == []
    assert tones(of, 25) != []


def test_light_goes_on_in_silence():
    of = high()
    of.act("silence")
    assert len(lit(of, 30)) > 20


def test_a_new_alarm_breaks_through_a_silence():
    of = low()
    of.act("silence")
    of.run(10)
    assert tones(of, 30) == []
    of.core.plant.driver_fault(of.now, True)
    start = of.now
    heard = tones(of, 3)
    assert heard and heard[0][0] - start < SECOND // 10
    assert heard[0][2] == TONE_HZ[HIGH]


def test_a_higher_one_sounds_instead_of_a_lower_one_and_then_the_lower_one_again():
    of = low()
    of.core.plant.driver_fault(of.now, True)
    of.run(1)
    assert {frequency for _, _, frequency in tones(of, 60)} == {TONE_HZ[HIGH]}
    assert of.status()["alarm"] == "driver_error"
    of.act("ack alarm=driver_error")
    of.run(1)
    assert {frequency for _, _, frequency in tones(of, 60)} == {TONE_HZ[LOW]}
    assert of.status()["alarm"] == "reservoir_low"


def test_acknowledged_is_quiet_and_dark():
    of = medium()
    of.run(5)
    of.act("ack")
    of.run(6)
    assert tones(of, 60) == [] and lit(of, 60) == []
    assert of.seen == []


def test_no_silence_follows_another_before_it_has_sounded():
    """Whoever asks every second hears the alarm for a tenth of the time, however long it goes on."""
    of = high()
    of.run(20)
    of.seen.clear()
    refused = 0
    start = of.now
    while of.now - start < 900 * SECOND:
        try:
            of.act("silence")
        except Refused as refusal:
            assert (refusal.code, refusal.answer["what"]) == ("state", "it_has_to_sound_first")
            refused += 1
        of.run(1)
    on = windows.spans(of.seen, "tone", "frequency_hz")
    sounded = [begin for begin, _ in on]
    assert refused > 60 and max(b - a for a, b in zip(sounded, sounded[1:], strict=False)) < 127_000
    assert len(windows.bursts(on)) >= 2 * (900 // (120 + SOUND_MIN_S))


def test_a_silence_that_runs_is_not_made_longer_and_says_how_long_it_is():
    of = high()
    assert of.act("silence seconds=60")["seconds"] == 60
    of.run(20)
    assert of.act("silence seconds=120")["seconds"] in (39, 40)
    assert tones(of, 35) == [] and tones(of, 10) != []


def test_a_silence_is_told_and_written_down():
    of = high()
    of.act("silence seconds=60")
    of.flush()
    assert [f for _, name, f in of.said if name == "silence"] == [{"seconds": 60, "by": "host"}]
    noted = [record for record in of.journal_of("alarm") if record["phase"] == PHASES.index("silenced")]
    assert [(record["alarm"], record["value"]) for record in noted] == [(0, 60)]


def test_unanswered_alarms_escalate_at_their_times():
    of = low()
    heard = {}
    start = of.now
    while of.now - start < 3_000 * SECOND:
        for at, _, frequency in tones(of, 60):
            heard.setdefault(frequency, at)
    low_hz, medium_hz, high_hz = (TONE_HZ[priority] for priority in (LOW, MEDIUM, HIGH))
    assert list(heard) == [low_hz, medium_hz, high_hz]
    assert abs(heard[medium_hz] - start - 1_800 * SECOND) < 20 * SECOND
    assert abs(heard[high_hz] - start - 2_700 * SECOND) < 20 * SECOND
    assert of.state() == "infusing", "it sounds otherwise, and does nothing else"
    assert of.alarm("reservoir_low")["priority"] == "high"
    told = [f["priority"] for _, name, f in of.said if name == "alarm" and f["phase"] == "escalated"]
    assert told == ["medium", "high"]


def test_what_was_acknowledged_comes_back_when_its_cause_stands():
    of = high()
    of.act("ack")
    assert tones(of, 590) == [] and of.alarm("driver_error")["phase"] == "acknowledged"
    assert tones(of, 30) != [] and of.alarm("driver_error")["phase"] == "active"
    assert of.state() == "stopped" and not of.enabled
    of.act("ack")
    of.core.plant.driver_fault(of.now, False)
    of.run(1)
    assert of.ask("alarms")["count"] == 0


@pytest.mark.requirement("GIP-2.3.2", "A1")
def test_silence_of_a_bouncing_button_is_one_press():
    of = high()
    of.said.clear()
    for _ in range(5):
        of.core.press(IN_SILENCE, True)
        of.run(0.004)
        of.core.press(IN_SILENCE, False)
        of.run(0.004)
    assert [f for _, name, f in of.said if name == "button"] == [{"button": "silence"}]
