"""LEDs, piezo and silence: what the listener on the panel sees while alarms stand."""

from __future__ import annotations

import pytest

from haipump_fw.core.alarms import BURSTS, HIGH, LOW, MEDIUM, TONE_HZ
from haipump_fw.ports import IN_SILENCE
from tests.firmware.app.bench import SECOND, Pump, pump

FAST = "prepare_rate rate_nl_per_day=240000000"


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
@pytest.mark.parametrize(("alarm", "priority"), [(low, LOW), (medium, MEDIUM), (high, HIGH)])
def test_bursts_as_the_table_says(alarm, priority):
    of = alarm()
    of.run(60)
    burst = BURSTS[priority]
    heard = tones(of, 130)
    length = sum(burst)
    assert {frequency for _, _, frequency in heard} == {TONE_HZ[priority]}
    assert abs(len(heard) - 130_000 / length * len(burst) / 2) <= len(burst) / 2
    want = list(burst[::2])
    lengths = [ms for _, ms, _ in heard]
    pauses = [round((b[0] - a[0]) / 1000) - a[1] for a, b in zip(heard, heard[1:], strict=False)]
    first = pauses.index(max(pauses)) + 1  # a burst begins behind the long pause
    for at, ms in enumerate(lengths[first : first + len(want)]):
        assert ms == pytest.approx(want[at], abs=4)
    for at, ms in enumerate(pauses[first : first + len(want) - 1]):
        assert ms == pytest.approx(burst[1::2][at], abs=4)
    assert max(pauses) == pytest.approx(burst[-1], abs=4)


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
