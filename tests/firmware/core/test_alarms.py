"""Phases, silence, order and what an alarm forbids."""

import random

import pytest

from haipump_fw.core import alarms as table
from haipump_fw.core.alarms import (
    ACKNOWLEDGED,
    ACTIVE,
    ALARMS,
    BURSTS,
    CLEAR,
    LATCHED,
    SILENCE_MAX_S,
    SOUND_MIN_S,
    Alarms,
)

LATCHING, PASSING, NO_BOLUS = "occlusion", "paused_too_long", "reservoir_low"


def phase(alarms: Alarms, name: str) -> int:
    return alarms.phase[alarms.index(name)]


def test_the_table_is_sound():
    assert len({name for name, _ in ALARMS}) == len(ALARMS)
    for name, traits in ALARMS:
        priority = traits & table.PRIORITY
        assert priority in (table.LOW, table.MEDIUM, table.HIGH)
        if traits & table.STOP:
            assert traits & table.STOPS == table.STOPS and priority > table.LOW, name
        if traits & table.NO_START:
            assert traits & table.NO_BOLUS, name
    assert all(len(burst) % 2 == 0 for burst in BURSTS if burst is not None)
    with pytest.raises(KeyError):
        Alarms.index("nonsense")


def test_a_latching_alarm_stays_until_it_is_acknowledged():
    alarms = Alarms()
    alarms.unset(LATCHING)
    assert alarms.set(LATCHING, 5)
    assert alarms.stands(LATCHING) and not alarms.stands(PASSING)
    assert not alarms.set(LATCHING, 6) and alarms.since_s[alarms.index(LATCHING)] == 5
    alarms.unset(LATCHING)
    assert phase(alarms, LATCHING) == LATCHED and alarms.waits(table.STOP)
    assert not alarms.set(LATCHING, 7), "the same alarm again is not news"
    assert phase(alarms, LATCHING) == ACTIVE
    alarms.unset(LATCHING)
    assert alarms.acknowledge(LATCHING, 9) == 1
    assert phase(alarms, LATCHING) == CLEAR and alarms.standing == 0
    assert [phase for _, phase in alarms.changed] == [ACTIVE, LATCHED, ACTIVE, LATCHED, CLEAR]


def test_an_acknowledged_alarm_still_forbids_until_its_cause_is_gone():
    alarms = Alarms()
    alarms.set(LATCHING, 0)
    assert alarms.acknowledge(None, 9) == 1 and phase(alarms, LATCHING) == ACKNOWLEDGED
    assert not alarms.waits(table.STOP) and alarms.forbids(table.NO_START) == LATCHING
    assert not alarms.set(LATCHING, 1), "still the same cause"
    assert alarms.sounding(1) == 0
    alarms.unset(LATCHING)
    assert phase(alarms, LATCHING) == CLEAR and alarms.forbids(table.NO_START) is None
    alarms.unset(LATCHING)
    assert alarms.set(LATCHING, 2)


def test_one_that_does_not_latch_goes_by_itself():
    alarms = Alarms()
    alarms.set(PASSING, 0)
    alarms.unset(PASSING)
    assert phase(alarms, PASSING) == CLEAR


@pytest.mark.requirement("CS-REQ-65-71")
def test_acknowledging_one_leaves_the_others():
    alarms = Alarms()
    alarms.set(LATCHING, 0)
    alarms.set(PASSING, 0)
    assert alarms.acknowledge(PASSING, 9) == 1
    assert (phase(alarms, LATCHING), phase(alarms, PASSING)) == (ACTIVE, ACKNOWLEDGED)
    assert alarms.acknowledge(PASSING, 9) == 0


@pytest.mark.requirement("CS-REQ-75/76")
def test_silence_ends_by_itself_and_a_new_alarm_breaks_it():
    alarms = Alarms()
    assert alarms.sounding(0) == 0
    alarms.set(PASSING, 0)
    assert alarms.silence(10, 10_000) == SILENCE_MAX_S
    assert alarms.sounding(10 + SILENCE_MAX_S - 1) == 0 and alarms.signalling() == table.MEDIUM
    assert alarms.sounding(10 + SILENCE_MAX_S) == table.MEDIUM, "never longer than two minutes"
    assert alarms.silence(200, 60) == 60
    alarms.set(LATCHING, 210)
    assert alarms.sounding(210) == table.HIGH
    assert alarms.silence(210, 60) == 60, "the new one may be silenced at once"
    alarms.end_silence(215)
    assert alarms.sounding(215) == table.HIGH
    alarms.silence(216, 60)
    alarms.unset(LATCHING)
    alarms.set(LATCHING, 220)
    assert alarms.sounding(220) == 0, "the same one again is not new"


def test_a_silence_is_not_made_longer_and_the_next_one_waits_until_it_has_sounded():
    alarms = Alarms()
    alarms.set(PASSING, 0)
    alarms.silence(0, 100)
    assert [alarms.silence(at, 120) for at in (1, 99)] == [99, 1]
    assert [alarms.silence(at, 120) for at in (100, 100 + SOUND_MIN_S - 1)] == [0, 0]
    assert alarms.sounding(100 + SOUND_MIN_S - 1) == table.MEDIUM
    assert alarms.silence(100 + SOUND_MIN_S, 120) == 120


@pytest.mark.parametrize(
    ("name", "story"),
    [
        (NO_BOLUS, {0: 1, 1_799: 1, 1_800: 2, 2_699: 2, 2_700: 3, 90_000: 3}),
        (PASSING, {0: 2, 899: 2, 900: 3}),
        (LATCHING, {0: 3, 90_000: 3}),
    ],
)
def test_escalation_by_time(name, story):
    alarms = Alarms()
    alarms.set(name, 50)
    i = alarms.index(name)
    for after_s, level in story.items():
        alarms.watch(50 + after_s)
        assert (alarms.level[i], alarms.signalling()) == (level, level), after_s
    steps = [change for change in alarms.changed if change[1] == table.ESCALATED]
    assert len(steps) == 3 - min(story.values()) and phase(alarms, name) == ACTIVE
    alarms.acknowledge(None, 95_000)
    alarms.unset(name)
    alarms.set(name, 99_000)
    assert alarms.level[i] == min(story.values()), "another one begins where the table says"


def test_an_alarm_that_flickers_escalates_all_the_same():
    alarms = Alarms()
    alarms.set("infusion_complete", 0)
    for at in range(0, 900, 30):
        alarms.unset("infusion_complete")
        alarms.set("infusion_complete", at)
        alarms.watch(at)
    alarms.watch(900)
    assert alarms.signalling() == table.HIGH


@pytest.mark.parametrize(("name", "after_s"), [(NO_BOLUS, 14_400), (PASSING, 1_800), (LATCHING, 600)])
def test_an_acknowledged_alarm_comes_back_while_its_cause_stands(name, after_s):
    alarms = Alarms()
    alarms.set(name, 0)
    alarms.acknowledge(None, 100)
    alarms.acknowledge(None, 400)  # there is nothing to acknowledge: it puts nothing off
    alarms.watch(100 + after_s - 1)
    assert phase(alarms, name) == ACKNOWLEDGED
    alarms.watch(100 + after_s)
    assert phase(alarms, name) == ACTIVE and alarms.since_s[alarms.index(name)] == 100 + after_s
    alarms.acknowledge(None, 20_000)
    alarms.unset(name)
    alarms.watch(90_000)
    assert phase(alarms, name) == CLEAR


def test_the_same_alarm_three_times_within_ten_minutes():
    alarms = Alarms()
    assert not alarms.stopped(LATCHING, 0)
    assert not alarms.stopped("motor_stall", 1)
    assert not alarms.stopped(LATCHING, 300)
    assert not alarms.stopped("motor_stall", 301)
    assert alarms.stopped(LATCHING, 599) and alarms.loop_until_s == 600
    assert not alarms.stopped("motor_stall", 601), "ten minutes after its first"
    assert alarms.stopped("motor_stall", 602) and alarms.loop_until_s == 901
    assert not alarms.stopped(LATCHING, 1_300)


@pytest.mark.requirement("CS-REQ-59-64")
def test_a_low_reservoir_forbids_boluses_and_nothing_else():
    alarms = Alarms()
    alarms.set(NO_BOLUS, 0)
    assert alarms.forbids(table.NO_BOLUS) == NO_BOLUS and alarms.forbids(table.NO_START) is None
    assert not alarms.waits(table.STOP)


@pytest.mark.requirement("CS-REQ-59-64", "CS-REQ-65-71")
def test_the_one_to_show():
    alarms = Alarms()
    assert alarms.top() == -1 and alarms.listed() == []
    for name, at in ((NO_BOLUS, 9), (LATCHING, 1), ("motor_stall", 2), (PASSING, 3)):
        alarms.set(name, at)
    names = [ALARMS[i][table.NAME] for i in alarms.listed()]
    assert names == ["motor_stall", LATCHING, PASSING, NO_BOLUS], "priority, then the newest"
    assert alarms.top() == alarms.index("motor_stall")
    alarms.acknowledge("motor_stall", 9)
    alarms.acknowledge(LATCHING, 9)
    assert alarms.top() == alarms.index(PASSING), "what nobody has seen comes first"


def test_one_that_is_acknowledged_is_shown_when_it_is_the_only_one():
    alarms = Alarms()
    alarms.set(PASSING, 0)
    alarms.acknowledge(None, 1)
    assert alarms.top() == alarms.index(PASSING)


def test_of_two_alike_the_first_of_the_table_is_shown():
    alarms = Alarms()
    for name in ("occlusion", "reservoir_empty"):
        alarms.set(name, 3)
    assert alarms.top() == alarms.index("occlusion")


def test_at_first_nothing_is_silent_nothing_was_answered_and_no_loop_runs():
    alarms = Alarms()
    assert (alarms.silent_until_s, alarms.loop_until_s) == (0, 0)
    alarms.set(LATCHING, 0)
    assert alarms.sounding(0) == table.HIGH


def test_it_may_be_silenced_from_the_first_second_on():
    assert Alarms().silence(0, 60) == 60


@pytest.mark.parametrize("seed", range(5))
def test_random_lives_against_a_model(seed):
    rng = random.Random(seed)
    alarms = Alarms()
    holds: dict[str, bool] = {row[table.NAME]: False for row in ALARMS}
    seen = dict.fromkeys(holds, True)  # acknowledged since it came
    for _ in range(400):
        name = rng.choice(list(holds))
        act = rng.choice(("set", "unset", "ack", "ack_all"))
        if act == "set":
            if not holds[name]:
                seen[name] = seen[name] and phase(alarms, name) == ACKNOWLEDGED
            holds[name] = True
            alarms.set(name, 0)
        elif act == "unset":
            alarms.unset(name)
            if holds[name] and not ALARMS[alarms.index(name)][table.TRAITS] & table.LATCH:
                seen[name] = True
            holds[name] = False
        else:
            alarms.acknowledge(None if act == "ack_all" else name, 0)
            for one in holds if act == "ack_all" else (name,):
                seen[one] = True
        for one, held in holds.items():
            expected = {
                (True, False): ACTIVE,
                (True, True): ACKNOWLEDGED,
                (False, False): LATCHED,
                (False, True): CLEAR,
            }[held, seen[one]]
            assert phase(alarms, one) == expected, (one, act)
        assert alarms.standing == sum(1 for i in alarms.phase if i != CLEAR)


@pytest.mark.requirement("CS-REQ-59-64")
def test_acknowledging_another_alarm_does_not_keep_one_silent():
    alarms = Alarms()
    alarms.set("driver_error", 0)
    alarms.acknowledge(None, 0)
    for minute in range(1, 10):
        alarms.set("input_pending", 60 * minute)
        alarms.acknowledge("input_pending", 60 * minute + 1)
        alarms.watch(60 * minute + 2)
        assert alarms.signalling() == 0
        alarms.unset("input_pending")
    alarms.watch(600)
    assert alarms.signalling() == table.HIGH, "ten minutes after its own acknowledgement"
