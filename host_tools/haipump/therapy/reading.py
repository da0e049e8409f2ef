"""Therapy files: TOML into typed values, with line and key of everything that is wrong, and all of it at once.

Owns: `Problem`, `Table`, and where a key stands in a file. Must not: know which keys there are.

The places are found by reading lines, laxly, in text that `tomllib` has accepted: a key inside an inline table or an
array has the line of the key that holds it.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from haipump import quantities as q
from haipump.errors import CourseFileError, QuantityError, full_stop

Key = str | int
KeyPath = tuple[Key, ...]
ERROR, WARNING = "error", "warning"
YEARS = (1970, 2200)  # of a date; others are slips of the finger

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?\s*(?:#.*)?$")
_PAIR = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
_AT_LINE = re.compile(r"\(at line (\d+)")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong (`level` error) or worth a look (warning), with its place and what to do."""

    level: str
    line: int
    where: str
    what: str
    next_step: str = ""

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    @property
    def sentences(self) -> str:
        """What is wrong and what to do, as whole sentences."""
        parts = [part[:1].upper() + part[1:] for part in (self.what, self.next_step) if part]
        return " ".join(full_stop(part) for part in parts)


def path_text(path: KeyPath) -> str:
    """`phase[2].dose`, counting from 1 as people do."""
    out = ""
    for key in path:
        out += f"[{key + 1}]" if isinstance(key, int) else f".{key}" if out else key
    return out


def places(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every table, element of an array of tables, and key."""
    found: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            path: KeyPath = ()
            keys = header[2].split(".")
            for key in keys[:-1]:
                path = (*path, key)
                path = (*path, counts[path] - 1) if path in counts else path
            table = (*path, keys[-1])
            if header[1] == "[[":
                counts[table] = counts.get(table, 0) + 1
                found.setdefault(table, number)
                table = (*table, counts[table] - 1)
            found.setdefault(table, number)
        elif pair := _PAIR.match(line):
            found.setdefault((*table, pair[1]), number)
    return found


class Source:
    """One file: its text, the places of its keys, and what was found to be wrong with it."""

    def __init__(self, path: Path, text: str, kind: str) -> None:
        """`kind` is what the file is, for errors: "course", "drug library"."""
        self.path, self.text, self.kind = path, text, kind
        self.problems: list[Problem] = []
        self._places = places(text)

    def line(self, where: KeyPath) -> int:
        """The line of a key, or of the nearest thing around it that is written; 1 at worst."""
        while where:
            if where in self._places:
                return self._places[where]
            where = where[:-1]
        return 1

    def problem(self, where: KeyPath, what: str, next_step: str = "", level: str = ERROR) -> None:
        """Note a problem."""
        self.problems.append(Problem(level, self.line(where), path_text(where), what, next_step))

    def finish(self) -> None:
        """Raises CourseFileError with all problems when there are any."""
        if not self.problems:
            return
        self.problems.sort(key=lambda one: one.line)
        first = self.problems[0]
        more = f" ({len(self.problems)} problems in all)" if len(self.problems) > 1 else ""
        raise CourseFileError(
            f"{self.path}, line {first.line}: {first.where}: {first.what}{more}",
            first.next_step or f"correct the {self.kind}",
            [one.as_json() for one in self.problems],
        )


def read_file(path: Path, kind: str) -> str:
    """The text of a file. Raises CourseFileError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as failure:
        raise CourseFileError(f"the {kind} {path} can't be read ({failure.strerror})", "check the name") from None
    except UnicodeDecodeError:
        raise CourseFileError(f"the {kind} {path} is not UTF-8 text", "save it as UTF-8") from None


def parse(path: Path, text: str, kind: str) -> Table:
    """The top table of a file. Raises CourseFileError for text that is no TOML."""
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        match = _AT_LINE.search(str(error))
        line = int(match[1]) if match else text.count("\n") + 1
        problem = Problem(ERROR, line, "", f"not valid TOML: {error}")
        what = f"{path}, line {line}: not valid TOML: {error}"
        raise CourseFileError(what, f"correct the {kind}", [problem.as_json()]) from None
    return Table(Source(path, text, kind), (), data)


class Table:
    """One table of a file. `take` gives a converted value and notes what is wrong; `end` complains about keys that
    nobody took. A value that could not be read is None: `Source.finish` raises before anybody uses it."""

    def __init__(self, source: Source, where: KeyPath, data: object) -> None:
        self.source, self.where = source, where
        if not isinstance(data, dict):
            source.problem(where, f"must be a table, not {q.as_written(data)}", f"write [{path_text(where)}]")
        self._rest: dict[str, Any] = dict(data) if isinstance(data, dict) else {}
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._rest

    def left(self) -> list[str]:
        """Keys not taken yet."""
        return list(self._rest)

    def take(self, key: str, convert: Callable[[Any], Any], default: Any = ...) -> Any:
        """The value of `key` through `convert`, whose QuantityError or ValueError becomes a problem of this key."""
        self._known.append(key)
        if key not in self._rest:
            if default is ...:
                self.source.problem((*self.where, key), "is missing", "see the example: `haipump therapy new FILE`")
                return None
            return default
        try:
            return convert(self._rest.pop(key))
        except QuantityError as error:
            self.source.problem((*self.where, key), error.what, error.next_step)
        except ValueError as error:
            self.source.problem((*self.where, key), str(error))
        return None

    def table(self, key: str) -> Table:
        """The table of `key`; an empty one when it is not there."""
        self._known.append(key)
        return Table(self.source, (*self.where, key), self._rest.pop(key, {}))

    def tables(self, key: str) -> list[Table]:
        """The elements of an array of tables; none when it is not there."""
        self._known.append(key)
        found = self._rest.pop(key, [])
        if not isinstance(found, list):
            self.source.problem((*self.where, key), "must be a list of tables", f"write [[{key}]]")
            return []
        return [Table(self.source, (*self.where, key, index), one) for index, one in enumerate(found)]

    def end(self) -> None:
        """Note every key that is left over."""
        for key in self._rest:
            self.source.problem((*self.where, key), f"no such key; {close_to(key, self._known)}")
        self._rest = {}


def close_to(word: str, known: Iterable[str]) -> str:
    """What to say about an unknown word: the likeliest one, or all that there are."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(known) or 'none'}"


# --- converters


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a text, not {q.as_written(value)}")
    return value.strip()


def truth(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {q.as_written(value)}")
    return value


def whole(low: int, high: int) -> Callable[[object], int]:
    """A converter for whole numbers from `low` to `high`."""

    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {q.as_written(value)}")
        if not low <= value <= high:
            raise ValueError(f"{value} is not from {low} to {high}")
        return value

    return convert


def number(value: object) -> Fraction:
    """A plain number above 0, exactly as written."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not 0 < value < 10**6:
        raise ValueError(f"must be a number above 0, not {q.as_written(value)}")
    return Fraction(value)


def day(value: object) -> date:
    """A date as TOML has it, without quotes: 2027-01-11."""
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError(f"must be a date without quotes like 2027-01-11, not {q.as_written(value)}")
    if not YEARS[0] <= value.year < YEARS[1]:
        raise ValueError(f"{value} is not from {YEARS[0]} to {YEARS[1] - 1}")
    return value


def one_of(*known: str) -> Callable[[object], str]:
    """A converter that takes only these words."""

    def convert(value: object) -> str:
        if value not in known:
            raise ValueError(f"{q.as_written(value)} is not known; {close_to(str(value), known)}")
        return str(value)

    return convert


def words(value: object) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise ValueError(f"must be a list of texts, not {q.as_written(value)}")
    return tuple(text(one) for one in value)


def measure(*units: str) -> Callable[[object], tuple[Fraction, str]]:
    """A converter for quantities in one of these units: (number, unit)."""

    def convert(value: object) -> tuple[Fraction, str]:
        return q.measure(value, *units)  # type: ignore[arg-type]

    return convert


def positive(convert: Callable[[Any], Any]) -> Callable[[object], Any]:
    """A converter that also refuses 0."""

    def checked(value: object) -> Any:
        found = convert(value)
        if not found:
            raise ValueError(f'"{value}" is nothing: it must be above 0')
        return found

    return checked


def amount(unit: str) -> Callable[[object], Fraction]:
    """A converter for quantities above 0 in this unit: the number."""
    return positive(lambda value: measure(unit)(value)[0])
