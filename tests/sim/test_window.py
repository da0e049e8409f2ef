"""The campaign's own sliding window of dose: exact at its ends, lenient while limits change, by the pump's clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from haipump_emulator.campaign.books import BASAL, RELIEF_STEPS, Books, Flow, steady
from haipump_emulator.campaign.client import Reply
from haipump_emulator.campaign.operator import Operator
from haipump_emulator.campaign.violation import Violation
from haipump_emulator.campaign.window import DoseWindow
from haipump_emulator.scenario.host import Answer, read_line, seal

SECOND = 1_000_000
STEP_NL = 100.0
HOUR_S = 3_600


def window(most_nl: int = 1_000, window_s: int = HOUR_S, lockout_s: int = 0) -> DoseWindow:
    made = DoseWindow(STEP_NL)
    made.offered(most_nl, window_s, lockout_s)
    made.settled(0, [(most_nl, window_s, lockout_s)])
    made.edge(SECOND)  # the setting before still counts for a moment
    return made


def steps(of: DoseWindow, count: int, at_s: float) -> None:
    for _ in range(count):
        of.edge(round(at_s * SECOND))


def test_a_window_takes_its_limit_and_one_step():
    of = window()
    steps(of, 10, 10)
    with pytest.raises(Violation, match="dose_limit") as found:
        of.edge(11 * SECOND)
    assert found.value.text == "1200.0 nL in 3600 s, at most 1000 nL are allowed"


def test_a_window_forgets_to_the_microsecond():
    of = window()
    steps(of, 10, 10)
    of.edge((HOUR_S + 1) * SECOND)
    of = window()
    steps(of, 10, 10)
    with pytest.raises(Violation):
        of.edge((HOUR_S + 1) * SECOND - 1)


def test_a_clock_that_is_too_fast_makes_windows_shorter():
    of = window()
    of.drift(SECOND, 20_000)
    steps(of, 10, 10)
    of.edge(round(HOUR_S / 1.02 + 2) * SECOND)
    of.drift((HOUR_S - 65) * SECOND, 0)
    with pytest.raises(Violation):
        steps(of, 1, HOUR_S - 65)


def test_while_nobody_knows_either_limit_may_hold():
    of = window(most_nl=300)
    of.offered(600, HOUR_S, 0)
    steps(of, 6, 10)
    assert of.known() == [(300, HOUR_S, 0), (600, HOUR_S, 0)]
    of.settled(11 * SECOND, [(300, HOUR_S, 0)])
    with pytest.raises(Violation):
        of.edge(12 * SECOND)


@pytest.mark.parametrize(
    ("text", "tries", "decided"),
    [
        ("ok", 2, True),
        ("err code=token", 2, True),
        ("err code=stale", 1, True),
        ("err code=stale", 2, False),  # the first copy may have been done, and a reset took its answer
        ("err code=mac", 3, False),
    ],
)
def test_a_second_copy_that_is_out_of_date_decides_nothing(text: str, tries: int, decided: bool):
    answer = read_line(seal(f"@7 {text}").decode().strip())
    assert isinstance(answer, Answer)
    assert Reply(7, answer, 0, SECOND, tries).decided is decided
    assert not Reply(7, None, 0, SECOND, tries).decided


def test_a_lowered_limit_holds_after_a_moment():
    of = window()
    steps(of, 8, 10)
    of.offered(200, HOUR_S, 0)
    of.settled(20 * SECOND, [(200, HOUR_S, 0)])
    of.edge(20 * SECOND + 100_000)
    with pytest.raises(Violation):
        of.edge(21 * SECOND)


def test_steps_into_the_play_are_no_dose():
    of = window()
    of.skip = 5
    steps(of, 15, 10)
    with pytest.raises(Violation):
        of.edge(11 * SECOND)


def test_what_the_window_holds():
    of = window()
    steps(of, 4, 10)
    assert of.used_nl(11 * SECOND) == 5 * STEP_NL
    assert of.used_nl((HOUR_S + 5) * SECOND) == 4 * STEP_NL


def test_boluses_keep_their_distance():
    of = window(lockout_s=60)
    of.bolus(10 * SECOND, 11 * SECOND)
    of.bolus(69 * SECOND, 71 * SECOND)
    with pytest.raises(Violation, match="lockout"):
        of.bolus(100 * SECOND, 101 * SECOND)
    assert of.boluses == 3


def programmed(*at_s: int) -> Books:
    """A programme with boluses at these seconds runs, under a lockout of a minute; its motor is told nothing."""
    of = Books(STEP_NL)
    of.window = window(most_nl=0, lockout_s=60)
    flow = Flow(1, BASAL, steady(0.0), pulses_us=[float(each * SECOND) for each in at_s])
    of.sent(0, flow)
    of.motor(0, True)
    of.begun(0, 1)
    return of


def test_the_boluses_of_a_programme_keep_their_distance_too():
    of = programmed(10, 75)
    of.check(100 * SECOND)
    assert of.window.pulses == 2
    of.window.bolus(140 * SECOND, 141 * SECOND)
    of = programmed(10, 60)
    with pytest.raises(Violation, match=r"lockout.* 50\.\d s apart, not 60 s"):
        of.check(100 * SECOND)


def test_a_bolus_right_behind_one_of_a_programme_is_found():
    of = programmed(10)
    of.check(20 * SECOND)
    with pytest.raises(Violation, match="lockout"):
        of.window.bolus(60 * SECOND, 61 * SECOND)


def test_a_programmes_bolus_right_behind_another_is_found():
    of = programmed(50)
    of.window.bolus(1 * SECOND, 2 * SECOND)
    with pytest.raises(Violation, match="lockout"):
        of.check(60 * SECOND)


@pytest.mark.parametrize("event", ["pause", "fault", "stop"])
def test_a_programmes_bolus_that_may_not_have_come_counts_for_nothing(event):
    of = programmed(50)
    {"pause": of.holding, "fault": of.forget_low, "stop": of.close}[event](10 * SECOND)
    of.check(100 * SECOND)
    of.window.bolus(100 * SECOND, 101 * SECOND)
    assert not of.window.pulses


def test_the_lockout_of_two_boluses_is_the_one_of_the_later_order():
    of = programmed(10, 75)
    of.window.offered(0, HOUR_S, 3_600)
    of.window.settled(20 * SECOND, [(0, HOUR_S, 3_600)])
    of.window.edge(21 * SECOND)
    of.check(100 * SECOND)  # the longer one does not hold for what was ordered before
    with pytest.raises(Violation, match="not 3600 s"):
        of.window.bolus(1_000 * SECOND, 1_001 * SECOND)


def delivering() -> Books:
    of = Books(STEP_NL)
    of.sent(0, Flow(1, BASAL, steady(8_640_000.0)))
    of.motor(0, True)
    of.begun(0, 1)
    return of


def test_a_back_off_follows_a_delivery_at_once_and_goes_back_only_so_far():
    of = delivering()
    of.edge(SECOND, 1)
    of.motor(2 * SECOND, False)
    of.motor(3 * SECOND, True)
    for _ in range(RELIEF_STEPS):
        of.edge(4 * SECOND, -1)
    with pytest.raises(Violation, match="backwards"):
        of.edge(4 * SECOND, -1)


def test_a_back_off_does_not_push():
    of = delivering()
    of.motor(2 * SECOND, False)
    of.motor(3 * SECOND, True)
    with pytest.raises(Violation, match="backwards"):
        of.edge(4 * SECOND, 1)


def test_what_a_back_off_drew_back_is_taken_up_and_no_dose():
    of = delivering()
    for second in range(3):
        of.edge(second * SECOND, 1)
    of.motor(3 * SECOND, False)
    of.motor(3 * SECOND, True)
    for _ in range(7):
        of.edge(4 * SECOND, -1)
    of.motor(5 * SECOND, False)
    assert (of.play, of.doubt, of.window.skip, of.backed) == (7, 7, 7, -1)
    assert (of.dose, of.furthest, of.backs, of.stops) == (-4, 3, 7, 1), "what was pushed may have arrived"
    with pytest.raises(Violation, match="motor_on"):
        of.motor(6 * SECOND, True)


@pytest.mark.parametrize(("high_nl", "found"), [(100_000, False), (60_000, True)])
def test_totals_that_leave_out_what_was_pushed_are_found(high_nl, found):
    of = delivering()
    of.dose = of.furthest = 1_000
    for _ in range(400):  # a back-off
        of.dose -= 1
    of.doubt = of.backs = 400
    operator: Any = SimpleNamespace(
        loaded=True, books=of, widths=1, world=SimpleNamespace(now_us=0), count=lambda what: None
    )
    reply: Any = SimpleNamespace(fields={"stepped_min_nl": "60000", "stepped_max_nl": str(high_nl)})
    if not found:
        Operator.judge_totals(operator, reply)
        return
    with pytest.raises(Violation, match="were pushed"):
        Operator.judge_totals(operator, reply)
