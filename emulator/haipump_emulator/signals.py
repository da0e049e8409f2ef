"""What a person in front of the pump sees and hears, in words: "red flashes, high-priority alarm sounds".

Owns: the way from `led` and `tone` events to signals that begin and end. Must not: know why the pump signals, or ask
it: only what lamps and piezo do counts.

A flash or a burst says nothing of how long it goes on. A signal has ended when its longest pause is over, with the time
at which its last pulse ended; what begins is told when it is plain what it is, with the time of its first pulse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from haipump_fw.core import alarms
from haipump_fw.ports import BEAT_MS

NOTHING = "all lamps dark, silent"
BLINK_US = 1_000_000  # what is lit for longer is no flash
SETTLE_US = 1_200_000  # after a change, until it is plain what it is
MARGIN_US = 100_000  # lamp and tone of one burst do not end in the same microsecond
TONE_PERCENT = 2  # the chip's dividers don't meet a pitch exactly
_NEVER_US = 1 << 62
# Which priority flashes which lamp; low ones do not flash.
_FLASHES = {"red": alarms.HIGH, "yellow": alarms.MEDIUM}
# Between two flashes, and between two bursts, by priority.
_DARK_US = [flash[-1] * BEAT_MS * 1_000 if flash else 0 for flash in alarms.FLASHES]
_PAUSES_US = [burst[-1] * BEAT_MS * 1_000 if burst else 0 for burst in alarms.BURSTS]

Tell = Callable[[int, str], None]


class _Pulsed:
    """Something that is on now and then; `pulsed`: it was on so shortly, or so lately, that it may come again."""

    def __init__(self, pause_us: int = 0) -> None:
        self.pause_us = pause_us  # the longest one within its signal
        self.clear()

    def clear(self) -> None:
        self.on = self.pulsed = False
        self.since_us = 0

    @property
    def ended_us(self) -> int | None:
        """When the last pulse ended, as long as another one may come."""
        return self.since_us if self.pulsed and not self.on else None

    @property
    def expires_us(self) -> int:
        return _NEVER_US if self.ended_us is None else self.since_us + self.pause_us

    def expire(self, t_us: int) -> None:
        if t_us > self.expires_us:
            self.pulsed = False


class _Lamp(_Pulsed):
    def __init__(self, name: str) -> None:
        super().__init__(_DARK_US[_FLASHES.get(name, alarms.MEDIUM)])
        self._name = name
        self.priority = _FLASHES.get(name, -1)

    def set(self, t_us: int, on: bool) -> None:
        if on != self.on:
            if not on:
                self.pulsed = t_us - self.since_us < BLINK_US
            self.on, self.since_us = on, t_us

    def text(self, t_us: int) -> str:
        if self.pulsed and not (self.on and t_us - self.since_us >= BLINK_US):
            return f"{self._name} flashes"
        return f"{self._name} lit" if self.on else ""


class _Sound(_Pulsed):
    priority = 0  # whose sound it is

    def set(self, t_us: int, hz: int) -> None:
        self.on, self.since_us = bool(hz), t_us
        if hz:
            self.pulsed = True
            found = [p for p, tone in enumerate(alarms.TONE_HZ) if tone and abs(hz - tone) * 100 <= tone * TONE_PERCENT]
            self.priority = found[0] if found else 0
            self.pause_us = _PAUSES_US[self.priority]
            self._text = f"{alarms.PRIORITIES[found[0]]}-priority alarm sounds" if found else f"a tone of {hz} Hz"

    def text(self) -> str:
        return self._text if self.pulsed else "silent"


class Signals:
    """A listener of a core, which calls `tell(t_us, text)` when what a person sees and hears has become another.

    `advance` brings it to the present: that a signal has ended shows in nothing but time.
    """

    def __init__(self, tell: Tell | None = None) -> None:
        self._tell = tell
        self._lamps: dict[str, _Lamp] = {}
        self._sound = _Sound()
        self._told = NOTHING
        self._told_us = 0
        self._edge_us: int | None = None  # the first change that has not been looked at

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name not in ("led", "tone", "power", "reset"):
            return
        self.advance(t_us)
        if name == "led":
            for lamp, on in fields.items():
                self._lamps.setdefault(lamp, _Lamp(lamp)).set(t_us, bool(on))
        elif name == "tone":
            self._sound.set(t_us, fields["frequency_hz"])
        else:  # nobody drives the pads: whatever was shown is over
            if self._edge_us is not None:
                self._look(t_us, self._edge_us)  # short as it was
                self._edge_us = None
            for part in self._parts():
                part.clear()
            self._look(t_us, t_us)
            return
        if self._edge_us is None:
            self._edge_us = t_us

    def advance(self, t_us: int) -> None:
        """It is `t_us` now."""
        while True:
            if self._edge_us is not None:
                due_us = self._edge_us + SETTLE_US
            else:
                due_us = min(part.expires_us for part in self._parts()) + MARGIN_US
            if due_us > t_us:
                return
            started = [] if self._edge_us is None else [self._edge_us]
            self._edge_us = None
            ended = {part: part.ended_us for part in self._parts()}
            for part in ended:
                part.expire(due_us)
            self._end_together([part for part, at in ended.items() if at is not None and part.ended_us is None])
            started += [at for part, at in ended.items() if at is not None and part.ended_us is None]
            self._look(due_us, min(started))

    def _end_together(self, ended: list[_Pulsed]) -> None:
        """A lamp that has stopped flashing takes the sound of its alarm with it: nobody waits for the next burst."""
        for part in ended:
            if isinstance(part, _Lamp) and part.priority == self._sound.priority and not self._sound.on:
                self._sound.pulsed = False

    def text(self, t_us: int) -> str:
        """What a person sees and hears at `t_us`, which is now."""
        self.advance(t_us)
        return self._text(t_us)

    def _parts(self) -> list[_Pulsed]:
        return [*self._lamps.values(), self._sound]

    def _text(self, t_us: int) -> str:
        lamps = [text for lamp in self._lamps.values() if (text := lamp.text(t_us))]
        return ", ".join([*(lamps or ["all lamps dark"]), self._sound.text()])

    def _look(self, t_us: int, since_us: int) -> None:
        text = self._text(t_us)
        if text != self._told:
            self._told, self._told_us = text, max(since_us, self._told_us)
            if self._tell is not None:
                self._tell(self._told_us, text)
