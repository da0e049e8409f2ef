"""The check of the stored application in operation: some files each six hours, while the motion allows it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from haipump_emulator.direct import ports
from tests.firmware.app.bench import SECOND, Pump, pump

SLOW = "prepare_rate rate_nl_per_day=1300000"
TURN_S = 6 * 3_600  # from some files to the next
FIRST_S = 900
LATE_S = 76  # of the check of each minute
TURNS = 4
LAST_S = FIRST_S + (TURNS - 1) * TURN_S + TURNS * LATE_S
DAMAGED_TURN = ports.code_files().index(ports.DAMAGED) // ports.CODE_FILES


class Turns:
    """When files were read."""

    def __init__(self, of: Pump) -> None:
        self.times: list[int] = []
        system = of.app.ports.system
        real = system.check_code

        def check_code(between: Callable[[], bool] | None) -> bool | None:
            self.times.append(of.now)
            return real(between)

        system.check_code = check_code


def test_the_turns_are_as_many_as_are_stated():
    assert -(-len(ports.code_files()) // ports.CODE_FILES) == TURNS and DAMAGED_TURN == 0


@pytest.mark.requirement("GIP-3.3.1-3")
def test_damaged_code_stops_a_running_basal_with_the_last_files():
    of = pump()
    of.core.damage_code(0)
    of.order(SLOW)
    of.run_to(lambda: not of.enabled, LAST_S, 10)
    assert of.now > (LAST_S - TURNS * LATE_S) * SECOND
    assert of.state() == "fault" and of.told("self_test", "active")
    states = [fields for _, name, fields in of.said if name == "state"]
    assert states[-1]["why"] == "code"
    assert of.no(SLOW)["code"] == "state"
    of.act("ack")
    assert of.act("selftest")["result"] == "code"
    of.core.damage_code(None)
    assert of.act("selftest")["result"] == "passed"


@pytest.mark.requirement("GIP-3.3.1-3")
def test_what_is_damaged_when_it_has_been_read_is_found_with_the_next_round():
    of = pump()
    of.order(SLOW)
    of.run(FIRST_S + LATE_S)
    of.core.damage_code(0)
    of.run(LAST_S - FIRST_S)
    assert of.enabled
    of.run_to(lambda: not of.enabled, TURNS * (TURN_S + LATE_S), 10)
    assert of.state() == "fault"


@pytest.mark.requirement("GIP-3.3.1-3")
def test_sound_code_is_read_round_after_round_without_an_alarm():
    of = pump()
    turns = Turns(of)
    of.order(SLOW)
    of.run(LAST_S + TURNS * (TURN_S + LATE_S))
    assert len(turns.times) == 2 * TURNS
    assert of.enabled and of.ask("alarms")["alarm"] == "none"


def test_while_the_motor_is_fast_nothing_is_read():
    of = pump()
    turns = Turns(of)
    of.order("prepare_limits max_rate_nl_per_day=100000000000")
    of.run(FIRST_S - LATE_S)
    of.order("prepare_rate rate_nl_per_day=4000000000 override=1")  # 200 steps/s
    of.run(4 * LATE_S)
    assert of.enabled and not turns.times
    of.ask("stop")
    of.run(LATE_S)
    assert len(turns.times) == 1
