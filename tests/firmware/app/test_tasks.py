"""The running task in its register, the watchdog that is fed after a whole round only, and the report of a reset."""

import pytest

from haipump_fw import app as firmware
from haipump_fw.proto.messages import TASKS
from tests.firmware.app.bench import Pump, pump

RATE = "prepare_rate rate_nl_per_day=%d"

CALLS = {  # a call of each task that hangs
    "hear": lambda of: (of.app.ports.console, "readinto"),
    "inputs": lambda of: (of.app.ports.inputs, "read"),
    "steps": lambda of: (of.app.delivery, "hungry"),
    "plan": lambda of: (of.app._due, "passed"),
    "sensors": lambda of: (of.app.ports.sensors, "pressure_raw"),
    "alarms": lambda of: (of.app, "_tell_alarms"),
    "panel": lambda of: (of.app.panel, "signal"),
    "flash": lambda of: (of.app.storage, "work"),
    "speak": lambda of: (of.app.session, "work"),
    "telemetry": lambda of: (of.app, "_telemetry_pairs"),
    "memory": lambda of: (of.app.ports.system, "collect"),
}


def test_the_numbers_are_those_of_the_table():
    for number, name in enumerate(TASKS[1:], 1):
        assert getattr(firmware, "_" + name.upper()) == number


def running() -> Pump:
    of = pump()
    of.order(RATE % 1_900_000_000)
    of.ask("telemetry period_ms=1000")
    of.run(20)
    return of


@pytest.mark.requirement("GIP-3.5.1-4", "R10", "REQ-X-08")
@pytest.mark.parametrize("task", [*CALLS, "sleep"])
def test_a_task_that_hangs_is_reset_and_named(task, monkeypatch):
    of = running()
    at = of.now
    if task == "sleep":
        of.core._wake_us = at + 60_000_000  # nothing wakes it
    else:
        place, name = CALLS[task](of)
        setattr(place, name, lambda *_: of.core.charge(60_000_000))
        of.app.alarms.set("pressure_sensor", of.app.clock.s)
        of.app.storage.busy = True
    if task == "memory":
        monkeypatch.setattr(firmware, "TAKEN_MAX_BYTES", 0)
        monkeypatch.setattr(firmware, "FAST_US", 1_000_000)
    boots = of.core.boots
    of.core.run_until(of.now + 20_000_000)
    assert of.core.boots == boots + 1
    before = of.net
    of.wake()
    told = of.ask("info")
    assert (told["reset"], told["task"]) == ("watchdog", task)
    assert of.state() == "stopped" and not of.enabled
    assert of.alarm("unexpected_reset") is not None
    of.flush()
    assert of.journal_of("boot")[-1] == of.journal_of("boot")[-1] | {"reset": 1, "task": TASKS.index(task)}
    of.run(20)
    assert of.net == before
    of.power_cycle()
    assert of.ask("info")["task"] == "none"


@pytest.mark.requirement("R10")
def test_supervision_that_does_not_come_lets_the_watchdog_bite():
    of = running()
    of.app._check_tick = of.app.clock.tick + 30_000_000
    of.app._checked_period_us = 0
    boots = of.core.boots
    of.core.run_until(of.now + 9_000_000)
    assert of.core.boots == boots + 1
