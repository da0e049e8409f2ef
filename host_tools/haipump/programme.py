"""Delivery programmes: the file that people write (TOML, quantities with units) and the text that goes to the pump.

Owns: both formats and the checks that can name the place in the file. Must not: know what pump and syringe allow.
`EXAMPLE` is a file with all there is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from haipump.errors import ProgrammeFileError, QuantityError
from haipump.quantities import (
    SECONDS_PER_DAY,
    duration_s,
    format_duration,
    format_rate,
    format_volume,
    rate_nl_per_day,
    volume_nl,
)
from haipump_fw.proto.messages import PROGRAMME_BYTES_MAX, PROGRAMME_ITEMS_MAX

LENGTH_MAX_S = 3_650 * SECONDS_PER_DAY
REPEATS_MAX = 1_000_000
_KINDS = ("rate", "ramp", "bolus")  # also their order within one second
_SHAPE = "see the example: `haipump program --example`"
EXAMPLE = """\
# A programme for haipump: what the pump does by itself, counted from the start of each period.
period = "1d"              # the pattern repeats after this time
repeats = 14
at_end = "stop"            # or "kvo": keep the vein open
rate = "1.3 mL/day"        # from the start of every period; without it nothing flows until an item says so

[[item]]
at = "8h"                  # time since the start of the period
bolus = "0.1 mL"           # with over: spread evenly; without: immediate, at the bolus rate of the settings
over = "10min"

[[item]]
at = "20h"
ramp = "2 mL/day"          # evenly, from the rate in force
over = "1h"

[[item]]
at = "22h"
rate = "1.3 mL/day"
"""


@dataclass(frozen=True)
class Item:
    """One thing that happens. `value` is nL/day for a rate and a ramp, nL for a bolus; `over_s` is 0 for a rate, and
    for a bolus at the rate of the settings."""

    at_s: int
    kind: str
    value: int
    over_s: int = 0

    def __str__(self) -> str:
        value = format_volume(self.value) if self.kind == "bolus" else format_rate(self.value)
        over = f" over {format_duration(self.over_s)}" if self.over_s else ""
        return f"{self.kind} {'to ' if self.kind == 'ramp' else ''}{value}{over}"


@dataclass(frozen=True)
class Programme:
    """A programme that is right in itself. Build it with `programme`, `load` or `daily`."""

    period_s: int
    repeats: int
    at_end: str
    items: tuple[Item, ...]

    @property
    def duration_s(self) -> int:
        return self.period_s * self.repeats

    @property
    def exact_volume_nl(self) -> Fraction:
        """What it delivers in all."""
        total, rate, since_s = Fraction(0), 0, 0
        for item in self.items:
            if item.kind == "bolus":
                total += item.value
                continue
            total += Fraction(rate * (item.at_s - since_s), SECONDS_PER_DAY)
            if item.kind == "ramp":
                total += Fraction((rate + item.value) * item.over_s, 2 * SECONDS_PER_DAY)
            rate, since_s = item.value, item.at_s + item.over_s
        return (total + Fraction(rate * (self.period_s - since_s), SECONDS_PER_DAY)) * self.repeats

    def wire_text(self) -> str:
        """The text that is uploaded."""
        lines = [
            "haipump-programme 1",
            f"period_s {self.period_s}",
            f"repeats {self.repeats}",
            f"at_end {self.at_end}",
        ]
        for item in self.items:
            over = "" if item.kind == "rate" else f" {item.over_s}"
            lines.append(f"{item.at_s} {item.kind} {item.value}{over}")
        return "\n".join(lines) + "\n"

    def expected(self) -> dict[str, int | str]:
        """What the pump must read back of it, beside the volume."""
        return {
            "items": len(self.items),
            "period_s": self.period_s,
            "repeats": self.repeats,
            "at_end": self.at_end,
            "duration_s": self.duration_s,
        }


def programme(period_s: int, repeats: int, at_end: str, items: list[Item]) -> Programme:
    """A checked programme with its items in order. Raises ProgrammeFileError."""
    ordered = tuple(sorted(items, key=lambda item: (item.at_s, _KINDS.index(item.kind))))
    made = Programme(period_s, repeats, at_end, ordered)
    if at_end not in ("stop", "kvo"):
        raise ProgrammeFileError(f'at_end is "{at_end}"', next_step='write at_end = "stop" or "kvo"')
    if period_s < 1 or repeats < 1:
        raise ProgrammeFileError("period and repeats begin at 1 s and 1", next_step=_SHAPE)
    if repeats > REPEATS_MAX or made.duration_s > LENGTH_MAX_S:
        raise ProgrammeFileError("the programme is longer than 3650 days", next_step="use fewer repeats")
    if not ordered:
        raise ProgrammeFileError("the programme does nothing", next_step="add a rate or an item")
    if len(ordered) > PROGRAMME_ITEMS_MAX:
        raise ProgrammeFileError(
            f"the programme has {len(ordered)} items, {PROGRAMME_ITEMS_MAX} fit", next_step="use a period that repeats"
        )
    _check_overlaps(made)
    if len(made.wire_text()) > PROGRAMME_BYTES_MAX:
        raise ProgrammeFileError("the programme is too long for the pump", next_step="use fewer items")
    return made


def _check_overlaps(made: Programme) -> None:
    ramp_end_s, bolus_end_s = 0, 0
    seen: set[tuple[str, int]] = set()
    for item in made.items:
        where = f'"{item}" at {format_duration(item.at_s)}'
        if item.at_s + max(item.over_s, 1) > made.period_s:
            raise ProgrammeFileError(
                f"{where} is not over when the period of {format_duration(made.period_s)} ends",
                next_step="start it earlier, or use a longer period",
            )
        if item.kind != "bolus":
            if item.at_s < ramp_end_s:
                raise ProgrammeFileError(f"{where} comes during a ramp", next_step="move it behind the ramp")
            ramp_end_s = item.at_s + item.over_s
        elif item.over_s:
            if item.at_s < bolus_end_s:
                raise ProgrammeFileError(f"{where} comes during another bolus", next_step="move it behind that one")
            bolus_end_s = item.at_s + item.over_s
        if not item.over_s:
            if (item.kind, item.at_s) in seen:
                raise ProgrammeFileError(f"{where} is not the only {item.kind} in that second", next_step="remove one")
            seen.add((item.kind, item.at_s))


def daily(rate: str, days: int, daily_bolus: str | None = None, at: str = "0s", at_end: str = "stop") -> Programme:
    """A rate for so many days, with a bolus every day at the time `at` since the start."""
    items = [Item(0, "rate", rate_nl_per_day(rate))]
    if daily_bolus is not None:
        items.append(Item(duration_s(at), "bolus", volume_nl(daily_bolus)))
    return programme(SECONDS_PER_DAY, days, at_end, items)


def load(path: Path) -> Programme:
    """The programme in a file. Raises ProgrammeFileError, which names file and place."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise ProgrammeFileError(
            f"the programme file {path} can't be read: {failure.strerror}", next_step="check the name"
        ) from failure
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ProgrammeFileError(
            f"the programme file {path} is not valid TOML: {failure}", next_step=_SHAPE
        ) from failure
    try:
        return _from_toml(values)
    except ProgrammeFileError as failure:
        raise ProgrammeFileError(
            f"in the programme file {path}: {failure.what}", next_step=failure.next_step
        ) from failure


def _from_toml(values: Mapping[str, object]) -> Programme:
    unknown = sorted(set(values) - {"period", "repeats", "at_end", "rate", "item"})
    if unknown:
        raise ProgrammeFileError(f'there is no key "{unknown[0]}"', next_step=_SHAPE)
    repeats = values.get("repeats", 1)
    if not isinstance(repeats, int) or isinstance(repeats, bool):
        raise ProgrammeFileError("repeats is not a whole number", next_step="write for example repeats = 14")
    items = []
    if "rate" in values:
        items.append(Item(0, "rate", _quantity(values, "rate", "the programme")))
    tables = values.get("item", [])
    if not isinstance(tables, list):
        raise ProgrammeFileError("item is not a list of tables", next_step="write [[item]] with two brackets")
    for number, table in enumerate(tables, 1):
        items.append(_item(table, f"item {number}"))
    return programme(_quantity(values, "period", "the programme"), repeats, str(values.get("at_end", "stop")), items)


def _item(table: object, place: str) -> Item:
    if not isinstance(table, dict):
        raise ProgrammeFileError(f"{place} is not a table", next_step="write [[item]] with two brackets")
    kinds = [kind for kind in _KINDS if kind in table]
    unknown = sorted(set(table) - {"at", "over", *_KINDS})
    if unknown:
        raise ProgrammeFileError(f'{place} has no key "{unknown[0]}"', next_step=_SHAPE)
    if len(kinds) != 1:
        raise ProgrammeFileError(f"{place} has to have one of rate, ramp, bolus", next_step=_SHAPE)
    kind = kinds[0]
    if kind == "rate" and "over" in table:
        raise ProgrammeFileError(f"{place} has a rate and over", next_step="write ramp instead of rate")
    if kind == "ramp" and "over" not in table:
        raise ProgrammeFileError(f"{place} has a ramp without over", next_step='add for example over = "1h"')
    over_s = _quantity(table, "over", place) if "over" in table else 0
    return Item(_quantity(table, "at", place), kind, _quantity(table, kind, place), over_s)


_READERS = {
    "period": duration_s,
    "at": duration_s,
    "over": duration_s,
    "rate": rate_nl_per_day,
    "ramp": rate_nl_per_day,
    "bolus": volume_nl,
}


def _quantity(table: Mapping[str, object], key: str, place: str) -> int:
    if key not in table:
        raise ProgrammeFileError(f"{place} lacks {key}", next_step=_SHAPE)
    value = table[key]
    if value == 0 and isinstance(value, int) and key in ("at", "rate", "ramp"):
        return 0
    try:
        return _READERS[key](value)  # type: ignore[arg-type]
    except QuantityError as failure:
        raise ProgrammeFileError(f"{place}: {key}: {failure.what}", next_step=failure.next_step) from failure
