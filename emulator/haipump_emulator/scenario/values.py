"""Values of a scenario file turned into numbers: which unit a name asks for, and the reader of one table.

Owns: unit by the end of a name, and checking that every key is known and was used. Must not: know which keys there are.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from haipump_emulator.quantities import (
    parse_height_cm,
    parse_pressure_pa,
    parse_rate_nl_per_day,
    parse_resistance,
    parse_temperature_c,
    parse_time_us,
    parse_volume_nl,
)
from haipump_emulator.scenario.locate import KeyPath, line_of, locate, path_text
from haipump_emulator.scenario.model import ScenarioError

_BY_SUFFIX: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("_nl_per_day", parse_rate_nl_per_day),
    ("_pa_s_per_nl", parse_resistance),
    ("_nl", parse_volume_nl),
    ("_pa", parse_pressure_pa),
    ("_us", parse_time_us),
    ("_ms", lambda text: parse_time_us(text) / 1_000),
    ("_s", lambda text: parse_time_us(text) / 1_000_000),
    ("_cm", parse_height_cm),
    ("_c", parse_temperature_c),
    ("_mc", lambda text: round(parse_temperature_c(text) * 1_000)),
)
SIGNED = ("_nl", "_nl_per_day")


def quantity(name: str, value: object) -> float:
    """A number for `name`: as it stands, or a text with a unit that fits the end of the name. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is no number")
    if not isinstance(value, str):
        return value
    for suffix, parse in _BY_SUFFIX:
        if name.endswith(suffix):
            # For the parser volumes are never negative, but what flowed back since a mark is.
            number = -parse(value[1:]) if value.startswith("-") and suffix in SIGNED else parse(value)
            return int(number) if isinstance(number, float) and number.is_integer() else number
    raise ValueError(f"{value!r} is text; {name} is a plain number (its unit is in the name)")


def close_to(word: str, known: Iterable[str]) -> str:
    """What to say about an unknown word: the likeliest one, or all that there are."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none'}"


class Source:
    """One file's name, text and places, for errors."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._places = locate(text)

    def line(self, where: KeyPath) -> int:
        """The line of a key path."""
        return line_of(self._places, where)

    def fail(self, where: KeyPath, what: str) -> NoReturn:
        """Raise a ScenarioError at `where`."""
        raise ScenarioError(str(self.path), self.line(where), path_text(where), what)


class Reader:
    """One table of the file. `take` gives a converted value; `end` complains about keys that nobody took."""

    def __init__(self, source: Source, where: KeyPath, table: object) -> None:
        if not isinstance(table, dict):
            source.fail(where, f"must be a table, not {table!r}")
        self.source, self.where = source, where
        self._rest: dict[str, Any] = dict(table)
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._rest

    def left(self) -> list[str]:
        """Keys not taken yet."""
        return list(self._rest)

    def take(self, key: str, convert: Callable[[Any], Any], default: Any = ...) -> Any:
        """The value of `key` through `convert` (a ValueError of which becomes an error with file, line and key)."""
        self._known.append(key)
        if key not in self._rest:
            if default is ...:
                self.source.fail((*self.where, key), "is missing")
            return default
        value = self._rest.pop(key)
        try:
            return convert(value)
        except ValueError as error:
            self.source.fail((*self.where, key), str(error))

    def table(self, key: str) -> Reader:
        """The table of `key`; an empty one when it is not there."""
        self._known.append(key)
        return Reader(self.source, (*self.where, key), self._rest.pop(key, {}))

    def fail(self, what: str, key: str | None = None) -> NoReturn:
        """Raise a ScenarioError at this table or one of its keys."""
        self.source.fail(self.where if key is None else (*self.where, key), what)

    def end(self) -> None:
        """Raise a ScenarioError when a key is left over."""
        for key in self._rest:
            self.source.fail((*self.where, key), f"no such key; {close_to(key, self._known)}")


# --- converters ---


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a text, not {value!r}")
    return value


def truth(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def whole(value: object) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, not {value!r}")
    return value


def time_us(value: object) -> int:
    """A time such as "10min"; a bare number would leave open of what."""
    if not isinstance(value, str):
        raise ValueError(f'must be a time with its unit, like "10min", not {value!r}')
    return parse_time_us(value)


def one_of(known: Iterable[str], what: str) -> Callable[[object], str]:
    """A converter that takes only these words."""
    known = tuple(known)

    def convert(value: object) -> str:
        if value not in known:
            raise ValueError(f"no such {what}: {value!r}; {close_to(str(value), known)}")
        return str(value)

    return convert


def pair(name: str) -> Callable[[object], tuple[float, float]]:
    """A converter for [low, high] of a quantity named `name`."""

    def convert(value: object) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError(f"must be a range [low, high], not {value!r}")
        low, high = quantity(name, value[0]), quantity(name, value[1])
        if low > high:
            raise ValueError(f"the range is upside down: {value[0]} is above {value[1]}")
        return low, high

    return convert
