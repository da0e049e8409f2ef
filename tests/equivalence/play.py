"""Plays inputs at fixed simulated times on a core, and writes down everything that comes out.

Owns: the host that speaks at fixed times, whatever the answers' times; the record. Must not: compare, or look inside a
core.

An entry whose conversation has several lines (parts, prepare, commit) sends one every `LINE_US`; later entries are put
off until it is over, by the same time on every core.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from haipump_emulator.scenario.host import Answer, Command, Event, read_line, seal
from haipump_emulator.scenario.model import Entry, Jumper, PlantAction, Power, Press, Say

BOOT_US = 3_000_000  # after power-up nothing is said for so long
LINE_US = 400_000  # from line to line of one conversation: longer than any core needs to answer one
PART_BYTES = 120
CHUNK_US = 60_000_000
QUESTIONS = ("status", "totals", "lifetime", "order", "alarms")  # what is asked at the end


@dataclass
class Stretch:
    """The steps from motor on to motor off: (t_us, direction) each."""

    on_us: int
    off_us: int = -1
    steps: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Record:
    """`said`: (t_us, what, fields), events of the pump and answers, in order; `inputs`: (t_us, text)."""

    stretches: list[Stretch] = field(default_factory=list)
    said: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)
    inputs: list[tuple[int, str]] = field(default_factory=list)
    ends: list[dict[str, str]] = field(default_factory=list)
    power_ups: list[int] = field(default_factory=lambda: [0])
    commanded_steps: int = 0
    cpu_s: float = 0.0


class Play:
    """One run; `run(core)` does it on a core that stands at BOOT_US or before."""

    def __init__(self, entries: Sequence[Entry], end_us: int) -> None:
        self._entries = entries
        self._end_us = end_us
        self._agenda: list[tuple[int, int, str, Callable[[], object]]] = []
        self._count = itertools.count()
        self._partial = b""
        self._answers: dict[int, Answer] = {}
        self._last: Answer | None = None
        self._next_id = 1
        self.record = Record()

    def run(self, core: Any) -> Record:
        self.core = core
        core.listeners.append(self)
        self._plan()
        while self._agenda:
            due_us, _, text, do = heapq.heappop(self._agenda)
            self._run_to(due_us)
            if text:
                self.record.inputs.append((due_us, text))
            do()
        core.listeners.remove(self)
        core.check()
        self.record.commanded_steps = core.plant.truth(core.now_us).commanded_steps
        if self.record.stretches and self.record.stretches[-1].off_us < 0:
            self.record.stretches[-1].off_us = core.now_us
        return self.record

    def _run_to(self, t_us: int) -> None:
        while self.core.now_us < t_us:
            self.core.run_until(min(t_us, self.core.now_us + CHUNK_US))
            self.core.output.clear()

    # --- the plan: everything that will be done, and when

    def _plan(self) -> None:
        free_us = BOOT_US
        for entry in self._entries:
            if entry.action is None:
                continue
            at_us = max(entry.at_us, free_us)
            free_us = self._plan_one(at_us, entry.action)
        at_us = max(self._end_us, free_us)
        for number, verb in enumerate(QUESTIONS):
            self._at(at_us + number * LINE_US, "", functools.partial(self._send, f"@{900_000_000 + number} {verb}"))
            self._at(at_us + (number + 1) * LINE_US - 1, "", self._keep_end)

    def _plan_one(self, at_us: int, action: Any) -> int:
        """Put one entry on the agenda; returns when the next one may begin."""
        core = self.core
        if isinstance(action, Say):
            return self._plan_lines(at_us, action.command)
        if isinstance(action, PlantAction):
            change = getattr(core.plant, action.name)
            self._at(at_us, f"{action.name} {action.arguments}", lambda: change(core.now_us, **action.arguments))
        elif isinstance(action, Press):
            self._at(at_us, f"press {action.button}", lambda: core.press(action.bits, True))
            self._at(at_us + action.hold_us, "", lambda: core.press(action.bits, False))
        elif isinstance(action, Jumper):
            self._at(at_us, f"jumper {action.on}", lambda: core.press(action.bits, action.on))
        elif isinstance(action, Power):
            on_us = at_us + action.off_us
            self._at(at_us, "power off", lambda: core.power(False))
            self._at(on_us, "power on", lambda: core.power(True))
            self._at(on_us + BOOT_US, "", functools.partial(self._send, "@899999999 hello"))
            self._at(on_us + BOOT_US + LINE_US, "", self._take_id)
            return on_us + BOOT_US + LINE_US
        return at_us + 1

    def _plan_lines(self, at_us: int, command: Command) -> int:
        texts = self._texts(command)
        for number, text in enumerate(texts):
            shown = command.text if number == 0 else text.split()[0]
            do = (lambda: self._raw(command.payload)) if command.kind == "raw" else functools.partial(self._say, text)
            self._at(at_us + number * LINE_US, shown, do)
        return at_us + len(texts) * LINE_US

    @staticmethod
    def _texts(command: Command) -> list[str]:
        """The lines of one command; `commit` stands for the commit with whatever token the answer before had."""
        fields = dict(command.fields)
        if command.kind in ("act", "stop", "read", "raw"):
            return [" ".join([command.verb, *(f"{name}={value}" for name, value in fields.items())])]
        parts = []
        if command.kind == "programme":
            digest = hashlib.sha256(command.payload).hexdigest()
            parts = [f"part_begin what=programme size={len(command.payload)} sha256={digest}"]
            for at in range(0, len(command.payload), PART_BYTES):
                data = base64.b64encode(command.payload[at : at + PART_BYTES]).decode()
                parts.append(f"part offset={at} data={data}")
            fields["sha256"] = digest
        words = [f"prepare_{command.verb}", *(f"{name}={value}" for name, value in fields.items())]
        return [*parts, " ".join(words), "commit"]

    def _at(self, t_us: int, text: str, do: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (t_us, next(self._count), text, do))

    # --- what is done

    def _say(self, text: str) -> None:
        if text == "commit":
            token = self._last.fields.get("token") if self._last is not None else None
            if token is None:
                return  # it was refused, and the record says why
            text = f"commit token={token}"
        self._send(f"@{self._next_id} {text}")
        self._next_id += 1

    def _send(self, line: str) -> None:
        self._last = None
        data = seal(line)
        assert self.core.send(data) == len(data)

    def _raw(self, payload: bytes) -> None:
        self._last = None
        self.core.send(payload)

    def _take_id(self) -> None:
        assert self._last is not None, "no answer after power-up"
        self._next_id = int(self._last.fields["next_id"])

    def _keep_end(self) -> None:
        self.record.ends.append(dict(self._last.fields) if self._last is not None else {})

    # --- what comes out

    def on_step(self, t_us: int, direction: int) -> None:
        if self.record.stretches and self.record.stretches[-1].off_us < 0:  # not the self test's, with the motor off
            self.record.stretches[-1].steps.append((t_us, direction))

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name == "enable" and fields["on"]:
            self.record.stretches.append(Stretch(t_us))
        elif self.record.stretches and self.record.stretches[-1].off_us < 0 and name in ("enable", "power", "reset"):
            self.record.stretches[-1].off_us = t_us
        if name in ("power", "reset"):
            self._partial = b""
            self.record.power_ups.append(t_us)

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        if direction != "out":
            return
        *lines, self._partial = (self._partial + bytes(data)).split(b"\n")
        for raw in lines:
            found = read_line(raw.decode("latin-1"))
            if isinstance(found, Event):
                self.record.said.append((t_us, found.name, found.fields))
            elif found is not None:
                self._last = found
                if found.identity is None or found.identity < 800_000_000:
                    self.record.said.append((t_us, "ok" if found.ok else "err", found.fields))
