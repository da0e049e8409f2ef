"""Scenario files: TOML to `Scenario`.

Owns: which keys there are and what they mean. Must not: run anything. Every mistake is a ScenarioError with file, line
and key.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from haipump_emulator.faults.catalogue import parse as parse_fault
from haipump_emulator.plant.params import check_temperature
from haipump_emulator.scenario import rig
from haipump_emulator.scenario.host import parse_command
from haipump_emulator.scenario.model import (
    Action,
    AlarmSeen,
    Asked,
    Break,
    Condition,
    Entry,
    EventSeen,
    Expect,
    Flood,
    InRange,
    Jumper,
    Mark,
    NoAlarm,
    PlantAction,
    Power,
    Press,
    PumpOptions,
    Say,
    Scenario,
    ScenarioError,
    StateIs,
    Still,
)
from haipump_emulator.scenario.values import (
    Reader,
    Source,
    close_to,
    one_of,
    pair,
    quantity,
    text,
    time_us,
    truth,
    whole,
)

DURATION_MAX_US = 400 * 86_400_000_000  # a typing mistake should not compute for a week
FLOOD_MAX = 10_000_000

_BUTTONS = ("start", "stop", "silence")
_PRESS_US = 200_000
_OFF_US = 1_000_000
_LINE = re.compile(r"\(at line (\d+)")


def load_scenario(path: str | Path) -> Scenario:
    """Read a scenario file. Raises ScenarioError."""
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        why = f"can't be read: {error.strerror}; `haipump-emu scenario --list` shows the shipped ones"
        raise ScenarioError(str(path), 1, "", why) from None
    except UnicodeDecodeError:
        raise ScenarioError(str(path), 1, "", "is not UTF-8 text") from None
    return parse_scenario(content, path)


def parse_scenario(content: str, path: Path = Path("scenario.toml")) -> Scenario:
    """Read scenario text; `path` is for errors, and where relative file names start. Raises ScenarioError."""
    try:
        data = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        match = _LINE.search(str(error))
        line = int(match[1]) if match else content.count("\n") + 1
        raise ScenarioError(str(path), line, "", f"not valid TOML: {error}") from None
    source = Source(path, content)
    top = Reader(source, (), data)
    head = top.table("scenario")
    params = _params(top.table("plant"))
    pump = _pump(top.table("pump"))
    entries = top.take("timeline", _list, [])
    scenario = Scenario(
        path=path,
        text=content,
        name=head.take("name", text),
        about=head.take("about", text, ""),
        seed=head.take("seed", whole, 0),
        duration_us=head.take("duration", _duration),
        speed=head.take("speed", _speed, None),
        params=params,
        pump=pump,
        timeline=_timeline(source, entries),
    )
    head.end()
    top.end()
    _check_order(source, scenario)
    return scenario


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("must be written as [[timeline]]")
    return value


def _duration(value: object) -> int:
    duration_us = time_us(value)
    if not 0 < duration_us <= DURATION_MAX_US:
        raise ValueError(f"{value!r} is not between 0 and 400 days")
    return duration_us


def _speed(value: object) -> float | None:
    if value == "max":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ValueError(f'must be a number above 0 or "max", not {value!r}')
    return float(value)


# --- parameters ---


def _params(reader: Reader) -> dict[str, Any]:
    """Overrides of the plant's parameters, by group and name."""
    found = _params_of(reader, rig.parameters())
    for group, name, what in rig.problems(found):
        reader.source.fail((*reader.where, group, name), what)
    return found


def _params_of(reader: Reader, known: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in reader.left():
        if key not in known:
            reader.fail(f"the plant has no such parameter; {close_to(key, known)}", key)
        if isinstance(known[key], dict):
            found[key] = _params_of(reader.table(key), known[key])
        else:
            found[key] = reader.take(key, _parameter(key, known[key]))
    return found


def _parameter(name: str, default: object) -> Any:
    if isinstance(default, bool):
        return truth
    if isinstance(default, str):
        return text
    if isinstance(default, int):
        return lambda value: _integer(quantity(name, value))
    return lambda value: quantity(name, value)


def _integer(number: float) -> int:
    if number != int(number):
        raise ValueError(f"{number} is not whole")
    return int(number)


def _pump(reader: Reader) -> PumpOptions:
    ticks = reader.take("ticks_start_us", lambda v: _integer(quantity("ticks_start_us", v)), None)
    flash = reader.take("flash", lambda v: _flash(reader.source.path.parent / text(v)), None)
    reader.end()
    return PumpOptions(ticks, flash)


def _flash(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None


# --- timeline ---


def _timeline(source: Source, entries: list[Any]) -> tuple[Entry, ...]:
    found: list[Entry] = []
    for index, raw in enumerate(entries):
        reader = Reader(source, ("timeline", index), raw)
        previous_us = found[-1].at_us if found else 0
        at_us = reader.take("at", lambda value, p=previous_us: _moment(value, p))
        action = _action(reader)
        expect = _expect(reader.table("expect")) if "expect" in reader else None
        if action is None and expect is None:
            # A misspelt action is the likeliest reason, so that is what the error should be about.
            reader.end()
            reader.fail(f"nothing to do and nothing to see; an entry has an 'expect' or one of {', '.join(ACTIONS)}")
        reader.end()
        found.append(Entry(at_us, source.line(("timeline", index)), action, expect))
    return tuple(found)


def _moment(value: object, previous_us: int) -> int:
    if isinstance(value, str) and value.startswith("+"):
        return previous_us + time_us(value[1:])
    return time_us(value)


def _check_order(source: Source, scenario: Scenario) -> None:
    marks: set[str] = set()
    previous_us = 0
    for index, entry in enumerate(scenario.timeline):
        where = ("timeline", index)
        if entry.at_us < previous_us:
            source.fail((*where, "at"), "is before the entry above it; entries stand in order of time")
        if entry.at_us > scenario.duration_us:
            source.fail((*where, "at"), "is after the end of the scenario ([scenario] duration)")
        previous_us = entry.at_us
        if isinstance(entry.action, Mark):
            marks.add(entry.action.name)
        expect = entry.expect
        if expect is None:
            continue
        condition = expect.condition
        if isinstance(condition, InRange) and condition.since is not None and condition.since not in marks:
            known = close_to(condition.since, marks)
            source.fail((*where, "expect", "since"), f"no mark {condition.since!r} before; {known}")
        for key, span in (("within", expect.within_us), ("for", expect.for_us)):
            if span is not None and entry.at_us + span > scenario.duration_us:
                source.fail((*where, "expect", key), "goes beyond the end of the scenario ([scenario] duration)")


# --- actions ---


def _plain(name: str) -> Any:
    def build(value: object) -> PlantAction:
        if value is not True:
            raise ValueError(f"is written as {name} = true")
        return PlantAction(name, {})

    return build


def _occlude(value: object) -> PlantAction:
    if value is True:
        return PlantAction("occlude", {"resistance_pa_s_per_nl": None})
    return PlantAction("occlude", {"resistance_pa_s_per_nl": quantity("resistance_pa_s_per_nl", value)})


def _leak(value: object) -> PlantAction:
    return PlantAction("leak", {"resistance_pa_s_per_nl": quantity("resistance_pa_s_per_nl", value)})


def _slow(name: str, key: str) -> Any:
    """warm and height: a target, at once or over a time."""

    def build(value: object) -> PlantAction:
        target, over_s = value, 0.0
        if isinstance(value, dict):
            if "to" not in value or set(value) - {"to", "over"}:
                raise ValueError(f'is a quantity, or {{ to = ..., over = "1h" }}, not {value!r}')
            target, over_s = value["to"], time_us(value.get("over", "0s")) / 1_000_000
        amount = quantity("_" + key.rpartition("_")[2], target)
        if name == "warm":
            check_temperature(amount)
        return PlantAction(name, {key: amount, "over_s": over_s})

    return build


def _sensor(value: object) -> PlantAction:
    if not isinstance(value, dict) or set(value) - {"name", "fault", "value"} or not {"name", "fault"} <= set(value):
        raise ValueError(f'is written as {{ name = "pressure", fault = "stuck" }}, not {value!r}')
    problem = rig.sensor_problem(value["name"], value["fault"], value.get("value"))
    if problem:
        raise ValueError(problem)
    return PlantAction("sensor", {"sensor": value["name"], "fault": value["fault"], "value": value.get("value")})


def _fault(value: object) -> Break:
    written, for_us = value, None
    if isinstance(value, dict):
        if "name" not in value or set(value) - {"name", "for"}:
            raise ValueError(f'is written as {{ name = "leak resistance=50", for = "1min" }}, not {value!r}')
        written, for_us = value["name"], time_us(value["for"]) if "for" in value else None
    return Break(parse_fault(text(written)), for_us)


def _press(value: object) -> Press:
    button, hold_us = value, _PRESS_US
    if isinstance(value, dict):
        if "button" not in value or set(value) - {"button", "for"}:
            raise ValueError(f'is a button, or {{ button = "stop", for = "200ms" }}, not {value!r}')
        button, hold_us = value["button"], time_us(value.get("for", "200ms"))
    name = one_of(_BUTTONS, "button")(button)
    return Press(name, rig.input_bit(name), hold_us)


def _power(value: object) -> Power:
    mode, off_us = value, _OFF_US
    if isinstance(value, dict):
        if value.get("do") != "cycle" or set(value) - {"do", "for"}:
            raise ValueError(f'is "off", "on", "cycle", or {{ do = "cycle", for = "2s" }}, not {value!r}')
        mode, off_us = "cycle", time_us(value.get("for", "1s"))
    return Power(one_of(("off", "on", "cycle"), "power action")(mode), off_us)


def _flood(value: object) -> Flood:
    if not isinstance(value, dict) or set(value) - {"bytes", "style"} or "bytes" not in value:
        raise ValueError(f'is written as {{ bytes = 10000, style = "noise" }}, not {value!r}')
    count = whole(value["bytes"])
    if not 0 < count <= FLOOD_MAX:
        raise ValueError(f"{count} bytes: 1 to {FLOOD_MAX}")
    return Flood(count, one_of(("noise", "lines"), "style")(value.get("style", "noise")))


ACTIONS: dict[str, Any] = {
    "occlude": _occlude,
    "release": _plain("release"),
    "leak": _leak,
    "seal": _plain("seal"),
    "warm": _slow("warm", "to_c"),
    "height": _slow("height", "cm"),
    "refill": lambda value: PlantAction("refill", {"volume_nl": _integer(quantity("volume_nl", value))}),
    "capture": lambda value: PlantAction("capture", {"on": truth(value)}),
    "supply": lambda value: PlantAction("supply", {"mv": whole(value)}),
    "artery": lambda value: PlantAction("artery", {"mean_pa": quantity("mean_pa", value)}),
    "driver_fault": lambda value: PlantAction("driver_fault", {"on": truth(value)}),
    "sensor": _sensor,
    "fault": _fault,
    "press": _press,
    "jumper": lambda value: Jumper(rig.input_bit("service"), truth(value)),
    "power": _power,
    "flood": _flood,
    "mark": lambda value: Mark(text(value)),
    "host": lambda value: Say(parse_command(text(value))),
}


def _action(reader: Reader) -> Action | None:
    present = [name for name in ACTIONS if name in reader]
    if len(present) > 1:
        reader.fail(f"one entry does one thing, here are {' and '.join(present)}; make two entries", present[1])
    found: list[Action] = [reader.take(name, ACTIONS[name], None) for name in ACTIONS if name in present]
    action = found[0] if found else None
    if "refused" in reader:
        if not isinstance(action, Say):
            reader.fail("belongs to a 'host' command", "refused")
        return Say(action.command, reader.take("refused", one_of(rig.error_codes(), "error code")))
    for name in ACTIONS:
        reader.take(name, lambda value: value, None)  # now known, for the suggestions of `end`
    return action


# --- expectations ---

_SHORT = {"delivered": "arrived_nl", "pushed": "pushed_nl", "stepped": "stepped_nl", "pressure": "pressure_pa"}
CONDITIONS = ("alarm", "event", "state", *_SHORT, "truth", "ask", "never", "still")


def _expect(reader: Reader) -> Expect:
    present = [name for name in CONDITIONS if name in reader]
    if len(present) != 1:
        if not present:
            _admit(reader)
            reader.end()
        reader.fail(f"must have exactly one of {', '.join(CONDITIONS)}")
    name = present[0]
    if name == "alarm":
        condition: Condition = AlarmSeen(
            reader.take("alarm", one_of(rig.alarms(), "alarm")),
            reader.take("phase", one_of(rig.alarm_phases(), "phase"), "active"),
        )
    elif name == "event":
        event = reader.take("event", one_of(rig.event_names(), "event"))
        condition = EventSeen(event, reader.take("fields", _texts, {}))
    elif name == "state":
        condition = StateIs(reader.take("state", one_of(rig.states(), "state")))
    elif name == "ask":
        verb = reader.take("ask", one_of(rig.read_verbs(), "question"))
        condition = Asked(verb, reader.take("fields", lambda value: _answer_fields(verb, value)))
    elif name == "never":
        condition = NoAlarm(reader.take("never", _alarm_names))
    elif name == "still":
        reader.take("still", lambda value: _plain("still")(value))
        condition = Still()
    else:
        condition = _in_range(reader, name)
    within_us = reader.take("within", time_us, None)
    for_us = reader.take("for", time_us, None)
    reader.end()
    return _timed(reader, name, condition, within_us, for_us)


def _admit(reader: Reader) -> None:
    for name in (*CONDITIONS, "within", "for", "fields", "phase", "since"):
        reader.take(name, lambda value: value, None)


def _timed(reader: Reader, name: str, condition: Condition, within_us: int | None, for_us: int | None) -> Expect:
    if within_us is not None and for_us is not None:
        reader.fail("either 'within' (comes true) or 'for' (holds all the time), not both", "for")
    if isinstance(condition, (AlarmSeen, EventSeen)) and within_us is None:
        reader.fail(f"an expected {name} needs a 'within'", name)
    if isinstance(condition, (AlarmSeen, EventSeen, Asked)) and for_us is not None:
        reader.fail(f"'for' makes no sense with {name}: that is one moment", "for")
    if isinstance(condition, (NoAlarm, Still, Asked)) and within_us is not None:
        reader.fail(f"'within' makes no sense with {name}; {'use for' if name != 'ask' else 'it asks now'}", "within")
    if isinstance(condition, (NoAlarm, Still)) and for_us is None:
        for_us = -1
    return Expect(condition, within_us, for_us)


def _in_range(reader: Reader, name: str) -> InRange:
    since = reader.take("since", text, None)
    if name == "truth":
        table = reader.table("truth")
        if len(table.left()) != 1:
            table.fail('must name exactly one field, like { reservoir_nl = ["28mL", "29mL"] }')
        what = table.left()[0]
        if what not in rig.truth_fields():
            table.fail(f"the plant has no such truth; {close_to(what, rig.truth_fields())}", what)
        low, high = table.take(what, pair(what))
    else:
        what = _SHORT[name]
        low, high = reader.take(name, pair(what))
    return InRange(what, low, high, since, what if name == "truth" else name)


def _alarm_names(value: object) -> tuple[str, ...]:
    if value == "*":
        return ()
    names = value if isinstance(value, list) else [value]
    if not names:
        raise ValueError('name an alarm, or "*" for all')
    return tuple(one_of(rig.alarms(), "alarm")(name) for name in names)


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table, not {value!r}")
    return {name: str(found) for name, found in value.items()}


def _answer_fields(verb: str, value: object) -> dict[str, str | tuple[int, int]]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"must be a table of fields, not {value!r}")
    found: dict[str, str | tuple[int, int]] = {}
    for name, wanted in value.items():
        known = rig.answer_fields(verb)
        if name not in known:
            raise ValueError(f"{verb} answers no {name!r}; {close_to(name, known)}")
        if isinstance(wanted, list):
            low, high = pair(name)(wanted)
            found[name] = (_integer(low), _integer(high))
        elif isinstance(wanted, str) and known[name] == "int":
            number = _integer(quantity(name, wanted))
            found[name] = (number, number)
        else:
            found[name] = str(wanted)
    return found
