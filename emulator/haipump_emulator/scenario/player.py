"""Plays a scenario against a core: does what is due, talks to the pump, keeps the watches.

Owns: the order in which things happen. Must not: make time pass (the caller runs the core to `due_us` and calls
`poll`), read files, or print. So the same player serves a test at full speed and `haipump-emu run --scenario` at 1x.

A conversation with the pump takes simulated time; entries that fall due meanwhile wait for its end (they are late by
milliseconds, and never out of order).
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from haipump_emulator.faults.catalogue import Rig
from haipump_emulator.scenario import rig
from haipump_emulator.scenario.host import Answer, Event, ScriptedHost, Talk
from haipump_emulator.scenario.model import (
    AlarmSeen,
    Asked,
    Break,
    Entry,
    EventSeen,
    Expect,
    Flood,
    Jumper,
    Mark,
    PlantAction,
    Power,
    Press,
    Say,
    Scenario,
    StateIs,
)
from haipump_emulator.scenario.watch import Check, View, Watch, describe
from haipump_emulator.trace.doors import Core

CHUNK = 64  # bytes of a flood handed over at once: a full-speed USB packet
_DEFAULT_STEP_FL = 231_144_000  # the firmware's default calibration, until a syringe is loaded


class Player:
    """`checks` grows as the timeline goes on; `finished` when everything is done and decided.

    Times count from the start of the emulator, not from the making of the player: booting takes some milliseconds.
    """

    def __init__(self, scenario: Scenario, core: Core) -> None:
        self.scenario = scenario
        self.checks: list[Check] = []
        self._core = core
        self._next = 0
        self._later: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()  # what falls due together is done in the order in which it was put off
        self._talk: Talk | None = None
        self._talk_done: Callable[[Answer], None] = lambda answer: None
        self._wake_us = 0
        self._watches: list[Watch] = []
        self._step_fl = _DEFAULT_STEP_FL
        self._view = View(number=self._number)
        self._host = ScriptedHost(core, self._on_pump_event)
        self._rig = Rig(core, self._host, lambda t_us, do: self._after(t_us - core.now_us, do))
        core.listeners.append(self)

    def close(self) -> None:
        """Stop listening to the core."""
        self._host.close()
        self._core.listeners.remove(self)

    @property
    def end_us(self) -> int:
        """When the scenario ends."""
        return self.scenario.duration_us

    @property
    def finished(self) -> bool:
        """Nothing more will happen and every check is decided."""
        waiting = self._watches or self._later or self._talk is not None or self._next < len(self.scenario.timeline)
        return self._core.now_us >= self.end_us and not waiting

    @property
    def due_us(self) -> int:
        """Run the core to here at the latest, then call `poll`."""
        due = [watch.due_us for watch in self._watches]
        if self._later:
            due.append(self._later[0][0])
        if self._talk is not None:
            due.append(self._wake_us)
        elif self._next < len(self.scenario.timeline):
            due.append(self.scenario.timeline[self._next].at_us)
        if self._core.now_us < self.end_us:
            due.append(self.end_us)
        return max(min(due, default=self.end_us), self._core.now_us)

    def poll(self) -> None:
        """Do everything that is due at the core's present time."""
        now_us = self._core.now_us
        while self._later and self._later[0][0] <= now_us:
            heapq.heappop(self._later)[2]()
        self._go_on()
        timeline = self.scenario.timeline
        while self._talk is None and self._next < len(timeline):
            entry = timeline[self._next]
            if entry.at_us > now_us:
                break
            self._next += 1
            self._begin(entry)
        for watch in self._watches:
            watch.poll(now_us)
        self._watches = [watch for watch in self._watches if watch.check.passed is None]

    def ride(self, at: Callable[[int, Callable[[], None]], None]) -> None:
        """Play along with a clock that somebody else drives: `at(t_us, do)` must call `do` at that simulated time."""

        def again() -> None:
            self.poll()
            if not self.finished:
                at(max(self.due_us, self._core.now_us + 1), again)

        at(self._core.now_us, again)

    # --- what happens ---

    def _begin(self, entry: Entry) -> None:
        """The action, then the expectation; but one that waits for an event listens already while the action goes on,
        or it would miss what comes at once."""
        action, expect = entry.action, entry.expect
        if expect is not None and isinstance(expect.condition, (AlarmSeen, EventSeen)):
            self._watch(entry, expect)
            entry = replace(entry, expect=None)
        if isinstance(action, Say):
            self._say(entry, action)
        elif isinstance(action, Flood):
            self._start(self._host.flood(self._noise(action)), lambda answer: self._open(entry))
        else:
            if action is not None:
                self._do(action)
            self._open(entry)

    def _do(self, action: Any) -> None:
        core = self._core
        if isinstance(action, PlantAction):
            getattr(core.plant, action.name)(core.now_us, **action.arguments)
        elif isinstance(action, Break):
            action.fault.apply(self._rig, core.now_us)
            if action.for_us is not None:
                self._after(action.for_us, lambda: action.fault.end(self._rig, core.now_us))
        elif isinstance(action, Press):
            core.press(action.bits, True)
            self._after(action.hold_us, lambda: core.press(action.bits, False))
        elif isinstance(action, Jumper):
            core.press(action.bits, action.on)
        elif isinstance(action, Power):
            core.power(action.mode == "on")
            if action.mode == "cycle":
                self._after(action.off_us, lambda: core.power(True))
        elif isinstance(action, Mark):
            self._view.marks[action.name] = {name: self._number(name) for name in rig.truth_fields()}

    def _after(self, delay_us: int, do: Callable[[], object]) -> None:
        heapq.heappush(self._later, (self._core.now_us + delay_us, next(self._order), do))

    def _noise(self, flood: Flood) -> Iterator[bytes]:
        draw = random.Random(f"{self.scenario.seed}/flood")
        left = flood.count
        while left > 0:
            if flood.style == "lines":
                chunk = b"nonsense %d\n" % draw.randrange(10**9)
            else:
                # No "!": as the first byte of a line it would stop the pump, which noise may do, but not here.
                chunk = draw.randbytes(CHUNK).replace(b"!", b"?")
            yield chunk[:left]
            left -= len(chunk)
        yield b"\n"

    # --- conversations ---

    def _start(self, talk: Talk, done: Callable[[Answer], None]) -> None:
        self._talk, self._talk_done, self._wake_us = talk, done, self._core.now_us
        self._go_on()

    def _go_on(self) -> None:
        if self._talk is None or self._wake_us > self._core.now_us:
            return
        try:
            self._wake_us = next(self._talk)
        except StopIteration as stop:
            self._talk = None
            answer: Answer = stop.value
            if "state" in answer.fields:
                self._view.state = answer.fields["state"]
            self._talk_done(answer)

    def _say(self, entry: Entry, say: Say) -> None:
        wanted = f", refused ({say.refused})" if say.refused else ""
        check = self._new_check(entry, f"host {say.command.text}{wanted}")

        def done(answer: Answer) -> None:
            code = None if answer.ok else answer.fields.get("code", "?")
            check.passed = code == say.refused if say.command.kind != "raw" or say.refused else True
            check.when_us, check.saw = self._core.now_us, answer.text
            if check.passed and "step_fl" in say.command.fields:
                self._step_fl = int(say.command.fields["step_fl"])
            self._open(entry)

        self._start(self._host.command(say.command), done)

    def _ask(self, entry: Entry, asked: Asked) -> None:
        check = self._new_check(entry, describe(Expect(asked)))

        def done(answer: Answer) -> None:
            wrong = [name for name, wanted in asked.fields.items() if not _fits(answer.fields.get(name), wanted)]
            check.passed = answer.ok and not wrong
            check.when_us = self._core.now_us
            check.saw = " ".join(f"{n}={answer.fields.get(n)}" for n in asked.fields) if answer.ok else answer.text

        self._start(self._host.ask(asked.verb, {}), done)

    # --- what must be seen ---

    def _open(self, entry: Entry) -> None:
        expect = entry.expect
        if expect is None:
            return
        if isinstance(expect.condition, Asked):
            self._ask(entry, expect.condition)
        elif isinstance(expect.condition, StateIs) and expect.within_us is None and expect.for_us is None:
            self._ask(entry, Asked("status", {"state": expect.condition.state}))
        else:
            self._watch(entry, expect).poll(self._core.now_us)

    def _watch(self, entry: Entry, expect: Expect) -> Watch:
        watch = Watch(expect, self._new_check(entry, describe(expect)), self._view, self.end_us)
        self._watches.append(watch)
        return watch

    def _new_check(self, entry: Entry, what: str) -> Check:
        check = Check(entry.line, self._core.now_us, what)
        self.checks.append(check)
        return check

    def _number(self, name: str) -> float:
        truth = self._core.plant.truth(self._core.now_us)
        if name == rig.STEPPED:
            return truth.commanded_steps * self._step_fl / 1_000_000
        value = getattr(truth, name)
        return float(value) if isinstance(value, (int, float)) else 0.0

    def _on_pump_event(self, t_us: int, event: Event) -> None:
        fields = event.fields
        if "state" in fields and event.name in ("state", "boot"):
            self._view.state = fields["state"]
        if event.name == "alarm":
            (self._view.active.add if fields.get("phase") == "active" else self._view.active.discard)(fields["alarm"])
        self.on_event(t_us, event.name, fields)

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        """An event of the board (as a listener of the core), or of the pump."""
        if name in ("reset", "power"):
            self._view.active.clear()
            self._view.state = None
        for watch in self._watches:
            watch.on_event(t_us, name, fields)


def _fits(value: str | None, wanted: str | tuple[int, int]) -> bool:
    if value is None:
        return False
    if isinstance(wanted, str):
        return value == wanted
    try:
        return wanted[0] <= int(value) <= wanted[1]
    except ValueError:
        return False
