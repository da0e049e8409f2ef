"""How the campaign judges alarms: each has a cause, what was promised comes, and the tables say what the code has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from haipump_emulator.campaign import alarms
from haipump_emulator.campaign.alarms import ALONE_US, CAUSES, LINGER_US, PROMISES, AlarmJudge
from haipump_emulator.campaign.violation import Violation
from haipump_emulator.faults.catalogue import CATALOGUE, make
from haipump_emulator.scenario.host import seal
from haipump_fw.core.alarms import ALARMS
from tools.detection import table

SECOND = 1_000_000
WORK = ("finite", "pause", "dose", "forgery", "replay", "prepare", "stops", "restart", "level", "withdraw")
STALL, DIAG = make("motor_stall"), make("driver_error")


def alarm(of: AlarmJudge, t_us: int, name: str, phase: str = "active") -> None:
    of.hear(t_us, seal(f"#7 alarm alarm={name} priority=high phase={phase}"))


def test_the_tables_name_what_there_is():
    assert list(CAUSES) and set(CAUSES) == {row[0] for row in ALARMS}
    known = {tag for name in CATALOGUE for tag in alarms.tags(make(name))} | set(WORK)
    known |= {f"sensor {name}" for name in ("pressure", "encoder", "supply", "temperature", "switches")}
    assert {cause for causes in CAUSES.values() for cause in causes} <= known
    assert {promise.fault for promise in PROMISES} <= set(CATALOGUE)
    assert set(alarms.STAYS) <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("motor_stall", "step_open"),
        ("step_wire what=open", "step_open"),
        ("step_wire what=double", "step_double"),
        ("dir_wire what=flipped", "dir_flipped"),
        ("en_wire what=off", "en_off"),
        ("sensor_off sensor=encoder", "encoder_off"),
        ("sensor_stuck sensor=encoder", "encoder_stuck"),
        ("sensor_stuck sensor=pressure", "pressure_stuck"),
        ("sensor_off sensor=pressure", "pressure_off"),
    ],
)
def test_a_promise_is_no_stricter_than_what_is_stated_and_hardly_looser(text, name):
    from haipump_emulator.faults.catalogue import parse

    fault = parse(text)
    promise = next(promise for promise in PROMISES if promise.fault == fault.name and promise.which(fault))
    stated = next(row for row in table.FAULTS if row.name == name)
    assert set(stated.alarms) <= set(promise.alarms)
    for cell in table.cells():
        if cell.rate == "10 mL/h" and cell.look_s > 0.02:  # a look in 64 steps
            steps = (stated.time_s(cell) - table.PASS_S) / cell.step_s
            assert steps <= promise.steps + 1 <= steps + 80


@pytest.mark.parametrize("name", [row[0] for row in ALARMS])
def test_an_alarm_without_a_cause_is_a_violation(name):
    of = AlarmJudge(low=lambda alarm: False)
    with pytest.raises(Violation, match=f"false_alarm .*{name} without a cause"):
        alarm(of, SECOND, name)
    of = AlarmJudge(low=lambda alarm: True)
    for cause in CAUSES[name]:
        of.did(0, cause)
    if CAUSES[name]:
        alarm(of, SECOND, name)
        assert of.explained[name] == 1


@pytest.mark.parametrize("deaf", [*alarms.DEAF, "line_delay"])
@pytest.mark.parametrize(("late_us", "resets"), [(SECOND // 2, True), (2 * SECOND, True), (SECOND // 2, False)])
def test_what_nobody_could_hear_is_told_after_a_reset(deaf: str, late_us: int, resets: bool):
    of, line = AlarmJudge(), make(deaf)
    of.hear(0, b"#1 boot\n")
    of.begin(SECOND, line)
    of.begin(2 * SECOND, DIAG)
    of.end(3 * SECOND, DIAG)
    of.end(4 * SECOND, line)
    t_us = 2 * LINGER_US
    if resets:
        of.reset()
    of.hear(t_us, b"#1 boot\n")
    if deaf in alarms.DEAF and resets and late_us <= alarms.TOLD_US:
        alarm(of, t_us + late_us, "driver_error")
        with pytest.raises(Violation, match="false_alarm"):
            alarm(of, t_us + late_us, "occlusion")
        alarm(of, t_us + late_us, "driver_error", "clear")
    with pytest.raises(Violation, match="false_alarm"):
        alarm(of, t_us + late_us, "driver_error")


def test_a_cause_lingers_and_is_forgotten():
    of = AlarmJudge()
    of.begin(SECOND, DIAG)
    of.end(2 * SECOND, DIAG)
    of.end(3 * SECOND, DIAG)
    alarm(of, 2 * SECOND + LINGER_US, "driver_error")
    alarm(of, 2 * SECOND + LINGER_US, "driver_error", "clear")
    with pytest.raises(Violation, match="false_alarm"):
        alarm(of, 3 * SECOND + LINGER_US, "driver_error")


def test_lost_steps_stay_lost_while_the_motor_has_current():
    of = AlarmJudge()
    of.motor(0, True)
    of.begin(SECOND, STALL)
    of.end(2 * SECOND, STALL)
    alarm(of, 10 * LINGER_US, "motor_stall")
    alarm(of, 10 * LINGER_US, "motor_stall", "clear")
    of.motor(10 * LINGER_US, False)
    of.motor(10 * LINGER_US, True)
    with pytest.raises(Violation, match="false_alarm"):
        alarm(of, 10 * LINGER_US, "motor_stall")


def test_what_waited_for_its_acknowledgement_waits_after_a_reset_too():
    of = AlarmJudge()
    of.begin(SECOND, STALL)
    alarm(of, 2 * SECOND, "motor_stall")
    of.end(2 * SECOND, STALL)
    of.hear(10 * LINGER_US, b"#1 alarm alarm=over")
    of.reset()
    alarm(of, 10 * LINGER_US, "motor_stall")
    assert of.explained["motor_stall"] == 2


def run(of: AlarmJudge, count: int, at_us: int) -> int:
    """Steps of a millisecond each. Returns when the last one was."""
    for number in range(count):
        of.edge(at_us + number * 1_000)
    return at_us + count * 1_000


def stalled() -> tuple[AlarmJudge, int]:
    of = AlarmJudge()
    of.motor(ALONE_US, True)
    of.begin(ALONE_US, STALL)
    return of, ALONE_US


def test_a_promise_that_is_not_kept_is_a_violation():
    of, at_us = stalled()
    at_us = run(of, PROMISES[0].steps, at_us)
    of.check(at_us + SECOND)
    at_us = run(of, 1, at_us + SECOND)
    of.check(at_us)
    with pytest.raises(Violation, match="undetected .*motor_stall for 134 steps"):
        of.check(at_us + SECOND)


def test_a_promise_in_seconds_counts_while_there_is_current():
    of = AlarmJudge()
    of.begin(0, make("driver_error"))
    of.check(ALONE_US)
    of.motor(ALONE_US, True)
    of.check(ALONE_US + SECOND)
    with pytest.raises(Violation, match="undetected"):
        of.check(ALONE_US + 2 * SECOND)


def kept(of: AlarmJudge, at_us: int) -> None:
    alarm(of, at_us, "under_infusion")
    assert of.kept["motor_stall"] == 1


def another(of: AlarmJudge, at_us: int) -> None:
    of.begin(at_us, make("line_cut"))


def over(of: AlarmJudge, at_us: int) -> None:
    of.end(at_us, STALL)


def started_again(of: AlarmJudge, at_us: int) -> None:
    of.motor(at_us, False)
    of.motor(at_us, True)


def off(of: AlarmJudge, at_us: int) -> None:
    run(of, 500, at_us)
    of.reset()


@pytest.mark.parametrize("what", [kept, another, over, started_again, off])
def test_what_keeps_or_voids_a_promise(what: Callable[[AlarmJudge, int], None]):
    of, at_us = stalled()
    at_us = run(of, 100, at_us)
    what(of, at_us)
    at_us = run(of, 100, at_us)
    of.check(at_us + SECOND)


def test_what_does_not_stand_alone_is_not_promised():
    of = AlarmJudge()
    of.motor(0, True)
    of.begin(0, make("line_cut"))
    of.end(SECOND, make("line_cut"))
    of.begin(ALONE_US, STALL)
    of.check(run(of, 500, ALONE_US) + SECOND)
