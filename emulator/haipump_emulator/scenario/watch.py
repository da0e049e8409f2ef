"""Watching for what a scenario expects: one watch per expectation, fed with events and polled in simulated time.

Owns: when an expectation is met and when it has failed. Must not: make time pass, talk to the pump, or print.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from haipump_emulator.quantities import format_time
from haipump_emulator.scenario.model import (
    AlarmSeen,
    Asked,
    Condition,
    EventSeen,
    Expect,
    InRange,
    NoAlarm,
    StateIs,
    Still,
)

POLL_MIN_US = 10_000
POLL_MAX_US = 60_000_000
POLLS = 200  # how finely a span is looked at, within these bounds


@dataclass
class Check:
    """One thing that was checked. `passed` is None while it is open; `when_us` is when that was decided."""

    line: int
    at_us: int
    what: str
    passed: bool | None = None
    when_us: int = 0
    saw: str = ""


@dataclass
class View:
    """What is known of the pump from outside: told by the player, read by watches."""

    state: str | None = None
    active: set[str] = field(default_factory=set)
    number: Callable[[str], float] = lambda name: 0.0  # a field of the plant's truth, now
    marks: dict[str, dict[str, float]] = field(default_factory=dict)


class Watch:
    """One open expectation. `check.passed` stops being None when it is decided."""

    def __init__(self, expect: Expect, check: Check, view: View, end_us: int) -> None:
        self._condition: Condition = expect.condition
        self.check = check
        self._view = view
        self._hold = expect.for_us is not None
        span_us = expect.within_us if expect.within_us is not None else expect.for_us
        if span_us == -1:
            span_us = end_us - check.at_us
        self._end_us = check.at_us + (span_us or 0)
        self._poll_us = min(max((span_us or 0) // POLLS, POLL_MIN_US), POLL_MAX_US)
        self._steps = view.number("commanded_steps") if isinstance(self._condition, Still) else 0.0
        self._near: list[str] = []  # what came that was almost it, for the message
        self.due_us = check.at_us

    def poll(self, now_us: int) -> None:
        """Look at the pump as it is now; must be called at `due_us` at the latest."""
        if self.check.passed is not None:
            return
        holds, saw = self._now()
        if holds is True and not self._hold:
            self._decide(now_us, True, saw)
        elif holds is False and self._hold:
            self._decide(now_us, False, saw)
        elif now_us >= self._end_us:
            self._decide(now_us, self._hold, saw)
        self.due_us = min(now_us + self._poll_us, self._end_us)

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        """An event of pump or board at `t_us`, which may lie before the moment of the next poll."""
        if self.check.passed is not None or not self.check.at_us <= t_us <= self._end_us:
            return
        condition = self._condition
        if isinstance(condition, AlarmSeen) and name == "alarm":
            if (fields.get("alarm"), fields.get("phase")) == (condition.alarm, condition.phase):
                self._decide(t_us, True, _shown(name, fields))
            else:
                self._near.append(_shown(name, fields))
        elif isinstance(condition, EventSeen) and name == condition.name:
            if all(str(fields.get(key)) == value for key, value in condition.fields.items()):
                self._decide(t_us, True, _shown(name, fields))
            else:
                self._near.append(_shown(name, fields))
        elif isinstance(condition, NoAlarm) and name == "alarm" and fields.get("phase") == "active":
            if not condition.alarms or fields.get("alarm") in condition.alarms:
                self._decide(t_us, False, _shown(name, fields))
        elif isinstance(condition, StateIs) and name in ("state", "boot"):
            self._on_state(t_us, str(fields.get("state")))

    def _on_state(self, t_us: int, state: str) -> None:
        wanted = isinstance(self._condition, StateIs) and state == self._condition.state
        if wanted != self._hold:  # waiting for it and there it is, or holding it and it is gone
            self._decide(t_us, wanted, f"state {state}")

    def _now(self) -> tuple[bool | None, str]:
        """(does it hold, what is seen); None where only an event can say."""
        condition, view = self._condition, self._view
        if isinstance(condition, StateIs):
            return view.state == condition.state, f"state {view.state or 'unknown'}"
        if isinstance(condition, InRange):
            value = view.number(condition.what)
            if condition.since is not None:
                value -= view.marks[condition.since][condition.what]
            return condition.low <= value <= condition.high, show_value(condition.what, value)
        if isinstance(condition, Still):
            steps = view.number("commanded_steps") - self._steps
            return steps == 0, f"{steps:+.0f} steps"
        if isinstance(condition, NoAlarm):
            standing = sorted(a for a in view.active if not condition.alarms or a in condition.alarms)
            return (False, f"standing: {', '.join(standing)}") if standing else (None, "no such alarm")
        return None, "; ".join(self._near[-3:]) or "nothing of the kind"

    def _decide(self, when_us: int, passed: bool, saw: str) -> None:
        self.check.passed, self.check.when_us, self.check.saw = passed, when_us, saw


def _shown(name: str, fields: dict[str, Any]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in fields.items())])


def show_value(what: str, value: float) -> str:
    """A number of the plant for people: `1.3 mL`, `13.2 kPa`, `37.00 C`, else the name and the number."""
    if what.endswith("_nl"):
        return f"{value / 1_000_000:.6f} mL"
    if what.endswith("_pa"):
        return f"{value / 1_000:.2f} kPa"
    if what.endswith("_c"):
        return f"{value:.2f} C"
    return f"{what} {value:g}"


def describe(expect: Expect) -> str:
    """An expectation in words, for tables and messages."""
    text = _describe(expect.condition)
    if expect.within_us is not None:
        text += f" within {format_time(expect.within_us)}"
    elif expect.for_us is not None:
        text += " to the end" if expect.for_us == -1 else f" for {format_time(expect.for_us)}"
    return text


def _describe(condition: Condition) -> str:
    if isinstance(condition, AlarmSeen):
        return f"alarm {condition.alarm}" + ("" if condition.phase == "active" else f" {condition.phase}")
    if isinstance(condition, EventSeen):
        return "event " + _shown(condition.name, condition.fields)
    if isinstance(condition, StateIs):
        return f"state {condition.state}"
    if isinstance(condition, NoAlarm):
        return f"never alarm {' or '.join(condition.alarms)}" if condition.alarms else "no alarm at all"
    if isinstance(condition, Still):
        return "motor still"
    if isinstance(condition, Asked):
        wanted = (f"{n}={w if isinstance(w, str) else f'{w[0]}..{w[1]}'}" for n, w in condition.fields.items())
        return f"{condition.verb} answers {' '.join(wanted)}"
    low, high = show_value(condition.what, condition.low), show_value(condition.what, condition.high)
    since = f" since {condition.since}" if condition.since else ""
    return f"{condition.shown} {low} to {high}{since}"
