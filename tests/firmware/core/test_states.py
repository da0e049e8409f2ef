"""The state table against a list written by hand, and the interpreter against the `transitions` package.

The list says for every event in which states it leads where, and why; every pair that it does not name must be ignored
or refused as it says. It was written from the requirements (published ids, GIP and CriSys), not from the table.
"""

from __future__ import annotations

import random
from collections import deque

import pytest
from transitions import Machine as Oracle
from transitions import MachineError

from haipump_fw.core.ignored import IGNORED
from haipump_fw.core.machine import Machine, NotAllowed, pairs
from haipump_fw.core.states import CONDITIONS, DELIVERING, EVENTS, REFUSED, RUNNING, STATES, TRANSITIONS

STOP, RUN, BOL, KVO, PAU = "stopped", "infusing", "bolus", "kvo", "paused"
PRI, WDR, MOV, REF, ALA, FAU, SER, REL, TST = (
    "priming",
    "withdrawing",
    "moving",
    "refill",
    "alarm",
    "fault",
    "service",
    "relieving",
    "self_test",
)
ALL = (TST, STOP, RUN, BOL, KVO, PAU, PRI, WDR, MOV, REF, ALA, FAU, SER, REL)
IGNORE, REFUSE = "ignore", "refuse"


class World:
    """Answers to the conditions; what is not named is False."""

    def __init__(self, *true: str) -> None:
        for name in CONDITIONS:
            setattr(self, name, lambda name=name: name in true)


def rows(event, requirement, otherwise, *moves):
    """(event, requirement, what happens elsewhere, ((states, conditions that hold, expected state), ...))"""
    return event, requirement, otherwise, moves


EXPECTED = (
    rows("passed", "GIP 3.4.1: a passed self test ends in rest, never in delivery", IGNORE, ((TST,), (), STOP)),
    rows("failed", "GIP 3.4.5: a failed self test aborts", IGNORE, ((TST,), (), FAU)),
    rows(
        "start_rate",
        "GIP 1.1.1; CS REQ 5/6: from rest or over a delivery; OP R6.9(4): not out of alarm, pause or fault",
        REFUSE,
        ((STOP, RUN, KVO), (), RUN),
        ((BOL,), (), BOL),
    ),
    rows("start_kvo", "GIP 1.1.8", REFUSE, ((STOP, RUN, KVO), (), KVO), ((BOL,), (), BOL)),
    rows(
        "start_bolus",
        "GIP 1.4.1, 1.4.11 (no bolus in alarm), 3.4.6 (nor in self test); on top of basal, extended under immediate",
        REFUSE,
        ((STOP, RUN, KVO, BOL), (), BOL),
    ),
    rows(
        "bolus_over",
        "GIP 1.4.4: what ran before runs on; 1.4.5: an extended bolus goes on after an immediate one",
        IGNORE,
        ((BOL,), ("bolus_runs",), BOL),
        ((BOL,), ("bolus_runs", "basal_runs"), BOL),
        ((BOL,), ("basal_runs",), RUN),
        ((BOL,), ("kvo_runs",), KVO),
        ((BOL,), (), STOP),
    ),
    rows(
        "infusion_over",
        "CS REQ 20/28: reached VTBI is complete; chosen end; a bolus is not cut short by it",
        IGNORE,
        ((RUN,), ("ends_in_kvo",), KVO),
        ((RUN,), (), STOP),
        ((BOL,), (), BOL),
        ((BOL,), ("ends_in_kvo",), BOL),
    ),
    rows("pause", "GIP 1.6.1: a delivery can be suspended", REFUSE, ((RUN, BOL, KVO), (), PAU)),
    rows(
        "resume",
        "CS REQ 31-39: to what was running",
        REFUSE,
        ((PAU,), ("bolus_runs", "basal_runs"), BOL),
        ((PAU,), ("basal_runs",), RUN),
        ((PAU,), ("kvo_runs",), KVO),
    ),
    rows(
        "cancel_bolus",
        "GIP 1.4.4: the rest goes on",
        REFUSE,
        ((BOL,), ("bolus_runs",), BOL),
        ((BOL,), ("basal_runs",), RUN),
        ((BOL,), ("kvo_runs",), KVO),
        ((BOL,), (), STOP),
    ),
    rows(
        "stop",
        "OP R6.5(13), GIP 1.6.2: stop works in every state",
        IGNORE,
        ((RUN, BOL, KVO, PAU), (), STOP),
        ((PRI, WDR, MOV), (), STOP),
        ((PRI, WDR, MOV), ("refilling",), REF),
        ((REL,), (), ALA),
        ((REL,), ("refilling",), ALA),
    ),
    rows("start_prime", "priming only at rest, disconnected", REFUSE, ((STOP, REF), (), PRI)),
    rows("start_withdraw", "GIP 1.8.1: reverse only when handling", REFUSE, ((STOP, REF), (), WDR)),
    rows("start_move", "GIP 1.8.1: reverse only when handling", REFUSE, ((STOP, REF), (), MOV)),
    rows(
        "motion_over",
        "back to where it began",
        IGNORE,
        ((PRI, WDR, MOV), (), STOP),
        ((PRI, WDR, MOV), ("refilling",), REF),
    ),
    rows("begin_refill", "refilling only at rest", REFUSE, ((STOP,), (), REF)),
    rows("end_refill", "a refill ends in rest", REFUSE, ((REF,), (), STOP)),
    rows("load", "GIP 6.2.1: another syringe means starting anew", REFUSE, ((STOP,), (), STOP), ((REF,), (), REF)),
    rows("calibrate", "a step's volume never changes under way", REFUSE, ((STOP,), (), STOP), ((REF,), (), REF)),
    rows(
        "adjust",
        "CS REQ 68: limits may change beside a delivery, which goes on",
        REFUSE,
        *(((state,), (), state) for state in (STOP, REF, PAU, RUN, BOL, KVO)),
    ),
    rows(
        "alarm_stop",
        "GIP 3.1.3, OP R5.1(4): an alarm halts whatever moves, and what is held",
        IGNORE,
        ((RUN, BOL, KVO, PAU, PRI, WDR, MOV, REL), (), ALA),
    ),
    rows("relieve", "GIP 1.10.6: stored pressure is relieved, out of the stop only", IGNORE, ((ALA,), (), REL)),
    rows("relieved", "GIP 1.10.6, CS REQ 22: a short reverse ends where it began", IGNORE, ((REL,), (), ALA)),
    rows(
        "resume_rate",
        "a rate goes on after an occlusion, at most as often as allowed; nobody's acknowledgement moves fluid",
        IGNORE,
        ((ALA,), ("basal_runs",), RUN),
        ((ALA,), ("kvo_runs",), KVO),
    ),
    rows(
        "alarm_clear",
        "CS REQ 45/46: acknowledged, to rest only",
        IGNORE,
        ((ALA,), (), STOP),
        ((ALA,), ("refilling",), REF),
    ),
    rows(
        "fail",
        "OP R7.4: a failure found at any time ends in fault",
        IGNORE,
        (tuple(state for state in ALL if state not in (FAU, SER)), (), FAU),
    ),
    rows("selftest", "OP R7.4(1): a test at rest; the way out of fault", REFUSE, ((STOP, FAU), (), TST)),
    rows("service", "OP R8.3: service only when nothing runs", REFUSE, ((STOP, FAU), (), SER)),
)
# What is refused elsewhere, but harmless here.
IGNORED_THOUGH = {("pause", PAU), ("begin_refill", REF)}
BY_EVENT = {event: (otherwise, moves) for event, _, otherwise, moves in EXPECTED}


def test_an_event_that_is_not_in_the_table_is_a_mistake():
    machine = Machine(World())
    with pytest.raises(KeyError):
        machine.check("begin")
    with pytest.raises(KeyError):
        machine.fire("begin")
    assert machine.state == "self_test"


def outcome(machine: Machine, event: str) -> str:
    try:
        return IGNORE if machine.fire(event) is None else machine.state
    except NotAllowed:
        return REFUSE


def test_the_list_knows_all_states_and_events():
    assert set(ALL) == set(STATES) and len(STATES) == len(ALL)
    assert sorted(BY_EVENT) == sorted(EVENTS)


@pytest.mark.requirement("GIP-3.4.6", "CS-REQ-1", "CS-REQ-31-39", "GIP-6.2.1/2")
@pytest.mark.parametrize("event", EVENTS)
def test_every_pair_does_what_the_requirements_say(event):
    otherwise, moves = BY_EVENT[event]
    named = set()
    for states, true, expected in moves:
        for state in states:
            named.add(state)
            assert outcome(Machine(World(*true), state), event) == expected, (state, event, true)
    for state in set(ALL) - named:
        expected = IGNORE if (event, state) in IGNORED_THOUGH else otherwise
        machine = Machine(World(*CONDITIONS), state)
        assert outcome(machine, event) == expected, (state, event)
        assert machine.state == state, "what is not carried out changes nothing"


def test_every_pair_is_in_exactly_one_of_the_three_tables():
    found = [(source, event) for event, sources, _, _ in TRANSITIONS for source in sources]
    moves = set(found)
    ignored = [(state, event) for event, states, _ in IGNORED for state in states]
    refused = [(state, event) for event, states, _ in REFUSED for state in states]
    assert len(ignored) == len(set(ignored)) and len(refused) == len(set(refused))
    assert not moves & set(ignored) and not moves & set(refused) and not set(ignored) & set(refused)
    assert moves | set(ignored) | set(refused) == set(pairs())
    assert all(why for _, _, why in IGNORED + REFUSED)
    assert all(condition in (None, *CONDITIONS) for _, _, _, condition in TRANSITIONS)


def test_a_resume_with_nothing_left_is_refused_and_stays_paused():
    machine = Machine(World(), PAU)
    with pytest.raises(NotAllowed) as refusal:
        machine.fire("resume")
    assert (refusal.value.event, refusal.value.state) == ("resume", PAU)
    assert machine.state == PAU


def test_check_changes_nothing_and_says_why():
    machine = Machine(World(), ALA)
    machine.check("stop")
    with pytest.raises(NotAllowed) as refusal:
        machine.check("start_rate")
    assert refusal.value.why == "stop, resume or acknowledge first"
    assert machine.state == ALA and machine.index() == STATES.index(ALA)


# --- what the graph promises


def edges():
    return {(source, event, dest) for event, sources, dest, _ in TRANSITIONS for source in sources}


def reachable(start: str) -> set[str]:
    seen, queue = {start}, deque([start])
    while queue:
        state = queue.popleft()
        for source, _, dest in edges():
            if source == state and dest not in seen:
                seen.add(dest)
                queue.append(dest)
    return seen


def test_rest_is_reachable_from_everywhere_but_service_and_everything_from_the_start():
    assert reachable(TST) == set(ALL)
    for state in set(ALL) - {SER}:
        assert STOP in reachable(state), state
    assert reachable(SER) == {SER}, "only a reset leads out of service"


def test_one_stop_ends_all_motion():
    for state in ALL:
        machine = Machine(World(), state)
        machine.fire("stop")
        assert machine.state not in RUNNING + (PAU,)


def test_delivery_begins_only_by_an_order_of_somebody():
    """Nothing but a start, a resume (by itself where that is allowed), or the end of one order under another leads
    into a delivering state."""
    orders = {"start_rate", "start_kvo", "start_bolus", "resume", "resume_rate"}
    for source, event, dest in edges():
        if dest in DELIVERING and source not in DELIVERING:
            assert event in orders, (source, event, dest)


# --- the interpreter against the package


def oracle(world: World) -> Oracle:
    machine = Oracle(model=world, states=list(STATES), initial="self_test", auto_transitions=False)
    for event, sources, dest, condition in TRANSITIONS:
        machine.add_transition(event, list(sources), dest, conditions=condition)
    return machine


@pytest.mark.requirement("CS-REQ-1", "CS-REQ-31-39")
@pytest.mark.parametrize("seed", range(20))
def test_the_interpreter_agrees_with_the_package_over_random_events(seed):
    rng = random.Random(seed)
    truth: set[str] = set()

    class Both:
        pass

    world = Both()
    for name in CONDITIONS:
        setattr(world, name, lambda name=name: name in truth)
    oracle(world)  # type: ignore[arg-type]
    machine = Machine(world)
    moved = 0
    for _ in range(500):
        truth.clear()
        truth.update(name for name in CONDITIONS if rng.random() < 0.4)
        event = rng.choice(EVENTS)
        if event in ("service", "fail", "failed") and rng.random() < 0.9:
            continue  # or every life ends there soon
        before = machine.state
        try:
            expected = getattr(world, event)()
        except MachineError:
            expected = False
        moved += bool(expected)
        happened = outcome(machine, event)
        assert machine.state == world.state, (before, event, truth)  # type: ignore[attr-defined]
        assert (happened not in (IGNORE, REFUSE)) == bool(expected)
    assert moved > 0
