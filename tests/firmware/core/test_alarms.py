"""Phases, silence, order and what an alarm forbids."""

import random

import pytest

from haipump_fw.core import alarms as table
from haipump_fw.core.alarms import ACKNOWLEDGED, ACTIVE, ALARMS, BURSTS, CLEAR, LATCHED, SILENCE_MAX_S, Alarms

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
    assert not alarms.set(LATCHING, 6) and alarms.since_s[alarms.index(LATCHING)] == 5
    alarms.unset(LATCHING)
    assert phase(alarms, LATCHING) == LATCHED and alarms.waits(table.STOP)
    assert not alarms.set(LATCHING, 7), "the same alarm again is not news"
    assert phase(alarms, LATCHING) == ACTIVE
    alarms.unset(LATCHING)
    assert alarms.acknowledge(LATCHING) == 1
    assert phase(alarms, LATCHING) == CLEAR and alarms.standing == 0
    assert [phase for _, phase in alarms.changed] == [ACTIVE, LATCHED, ACTIVE, LATCHED, CLEAR]


def test_an_acknowledged_alarm_still_forbids_until_its_cause_is_gone():
    alarms = Alarms()
    alarms.set(LATCHING, 0)
    assert alarms.acknowledge() == 1 and phase(alarms, LATCHING) == ACKNOWLEDGED
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
    assert alarms.acknowledge(PASSING) == 1
    assert (phase(alarms, LATCHING), phase(alarms, PASSING)) == (ACTIVE, ACKNOWLEDGED)
    assert alarms.acknowledge(PASSING) == 0


@pytest.mark.requirement("CS-REQ-75/76")
def test_silence_ends_by_itself_and_a_new_alarm_breaks_it():
    alarms = Alarms()
    assert alarms.sounding(0) == 0
    alarms.set(PASSING, 0)
    alarms.silence(10, 10_000)
    assert alarms.sounding(10 + SILENCE_MAX_S - 1) == 0 and alarms.signalling() == table.MEDIUM
    assert alarms.sounding(10 + SILENCE_MAX_S) == table.MEDIUM, "never longer than two minutes"
    alarms.silence(200, 60)
    alarms.set(LATCHING, 210)
    assert alarms.sounding(210) == table.HIGH


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
    alarms.acknowledge("motor_stall")
    alarms.acknowledge(LATCHING)
    assert alarms.top() == alarms.index(PASSING), "what nobody has seen comes first"


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
            alarms.acknowledge(None if act == "ack_all" else name)
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
