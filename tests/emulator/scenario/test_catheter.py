"""The shipped scenarios show every condition of the catheter, and expect of the pump what the table of complications
says: an alarm within its bound, or none ever."""

import pytest

from haipump_emulator.plant.complications import COMPLICATIONS
from haipump_emulator.scenario import cli, load_scenario
from haipump_emulator.scenario.model import AlarmSeen, Break, Entry, NoAlarm, Scenario

MIN_US = 60_000_000
SHOWN = [load_scenario(path) for path in cli.shipped() if path.stem.startswith("catheter_")]


def begun(condition: str) -> tuple[Scenario, Entry]:
    """Where the catheter takes this condition."""
    (found,) = [
        (scenario, entry)
        for scenario in SHOWN
        for entry in scenario.timeline
        if isinstance(entry.action, Break) and entry.action.fault.text == f"catheter condition={condition}"
    ]
    return found


def alarm_min(entry: Entry) -> int | None:
    """Within how many minutes this entry expects the alarm."""
    expect = entry.expect
    if expect is None or not isinstance(expect.condition, AlarmSeen):
        return None
    assert expect.condition.alarm == "occlusion" and expect.within_us is not None
    return expect.within_us // MIN_US


def alarm_free(scenario: Scenario, entry: Entry) -> bool:
    """Any alarm fails this scenario, from this entry or before on to the end or for twelve hours at least."""
    return any(
        other.expect is not None
        and isinstance(other.expect.condition, NoAlarm)
        and not other.expect.condition.alarms
        and other.at_us <= entry.at_us
        and (other.expect.for_us == -1 or (other.expect.for_us or 0) >= entry.at_us - other.at_us + 12 * 60 * MIN_US)
        for other in scenario.timeline
    )


@pytest.mark.parametrize("one", [row for row in COMPLICATIONS if row.condition], ids=lambda row: row.name)
def test_a_scenario_expects_what_the_table_says_of_the_pump(one) -> None:
    scenario, entry = begun(one.condition)
    assert alarm_min(entry) == one.alarm_min
    if one.alarm_min is None:
        assert alarm_free(scenario, entry)
    later = [other for other in scenario.timeline if other.at_us > entry.at_us and alarm_min(other)]
    if one.bolus_alarm_min:
        assert alarm_min(later[-1]) == one.bolus_alarm_min and later[-1].action.command.text.startswith("bolus")
