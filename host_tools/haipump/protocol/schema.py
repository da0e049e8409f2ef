"""The message table as typed lookups: which fields a message takes and gives, and in which ranges.

Owns: reading the notation of `haipump_fw.proto.messages` and `table` (the one table). Must not: know bytes or a port.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from haipump.errors import FieldError
from haipump.protocol import help as texts
from haipump_fw.proto import messages, table

READ, PREPARE, ACT, STOP = messages.READ, messages.PREPARE, messages.ACT, messages.STOP

Value = int | str


@dataclass(frozen=True)
class Field:
    """One field of a request: `form` as the table writes it."""

    name: str
    form: str
    optional: bool

    @cached_property
    def bounds(self) -> tuple[int, int] | None:
        """Lowest and highest number, or None for a word."""
        match = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", self.form)
        return (int(match[1]), int(match[2])) if match else None

    @cached_property
    def choices(self) -> tuple[str, ...] | None:
        """The words to choose from, or None."""
        if self.bounds or ":" in self.form:
            return None
        return tuple(self.form.split("|"))

    def check(self, value: Value) -> Value:
        """The value as it goes on the wire. Raises FieldError."""
        if self.choices and all(choice.isdigit() for choice in self.choices):
            if str(value) not in self.choices or isinstance(value, bool):
                raise self._wrong(value, "one of " + ", ".join(self.choices))
            return int(value)
        if self.bounds:
            low, high = self.bounds
            if not isinstance(value, int) or isinstance(value, bool):
                raise self._wrong(value, f"a whole number from {low} to {high}")
            if not low <= value <= high:
                given, lowest, highest = (texts.exactly(self.name, one) for one in (value, low, high))
                what = f"{texts.human(self.name)} must be from {lowest} to {highest}, and {given} was given"
                raise FieldError(what, next_step="choose a value inside the range")
            return value
        if not isinstance(value, str):
            raise self._wrong(value, self.form)
        if self.choices:
            if value not in self.choices:
                raise self._wrong(value, "one of " + ", ".join(self.choices))
        elif not self._pattern.fullmatch(value) or (self.form.startswith("b64:") and not _is_base64(value)):
            raise self._wrong(value, self.form)
        return value

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        kind, _, length = self.form.partition(":")
        letters = {"hex": "[0-9a-f]", "word": "[a-z0-9_.-]", "b64": "[A-Za-z0-9+/=]"}[kind]
        return re.compile(f"{letters}{{1,{int(length)}}}")

    def read(self, text: str) -> Value:
        """The value that a line writes as `text`. Raises FieldError."""
        if self.bounds is None:
            return self.check(text)
        low, _ = self.bounds
        if not re.fullmatch(r"0|-?[1-9][0-9]*" if low < 0 else r"0|[1-9][0-9]*", text):
            raise self._wrong(text, "a whole number")
        return self.check(int(text))

    def _wrong(self, value: Value, wanted: str) -> FieldError:
        name = texts.human(self.name)
        if wanted.startswith("word:"):
            length = wanted.partition(":")[2]
            example = texts.WORD_EXAMPLES.get(self.name, f"{self.name} abc-1")
            return FieldError(
                f"{name} may have up to {length} characters, of a to z, 0 to 9, point, hyphen and _, and {value!r} was "
                "given",
                next_step=f"write for example {example}",
            )
        return FieldError(f"{name} must be {wanted}, and {value!r} was given", next_step=f"give {self.name} {wanted}")


def _is_base64(text: str) -> bool:
    """Whole groups, padded, unused bits 0: the text that encoding gives."""
    try:
        return binascii.b2a_base64(binascii.a2b_base64(text, strict_mode=True), newline=False).decode("ascii") == text
    except binascii.Error:
        return False


@dataclass(frozen=True)
class Message:
    """One row of the table."""

    verb: str
    kind: int
    request: Mapping[str, Field]
    answer: Mapping[str, str]  # field name: int, word, hex or b64
    optional_answer: frozenset[str]

    def check(self, fields: Mapping[str, Value | None]) -> dict[str, Value]:
        """The fields in table order, those that are None left out. Raises FieldError."""
        for name in fields:
            if name not in self.request:
                known = ", ".join(self.request) or "none"
                raise FieldError(f"{self.verb} has no field {name}", next_step=f"its fields: {known}")
        checked: dict[str, Value] = {}
        for name, field in self.request.items():
            value = fields.get(name)
            if value is not None:
                checked[name] = field.check(value)
            elif not field.optional:
                raise FieldError(f"{self.verb} needs {name}", next_step=f"give {name} ({field.form})")
        return checked


def _pairs(text: str) -> list[tuple[str, str, bool]]:
    rows = []
    for item in text.split():
        name, form = item.split("=", 1)
        rows.append((name, form.rstrip("?"), form.endswith("?")))
    return rows


def _message(row: tuple[str, int, str, str]) -> Message:
    verb, kind, request, answer = row
    return Message(
        verb,
        kind,
        {name: Field(name, form, optional) for name, form, optional in _pairs(request)},
        {name: form for name, form, _ in _pairs(answer)},
        frozenset(name for name, _, optional in _pairs(answer) if optional),
    )


MESSAGES: Mapping[str, Message] = {row[0]: _message(row) for row in table.MESSAGES}
EVENTS: Mapping[str, Mapping[str, str]] = {name: {n: f for n, f, _ in _pairs(text)} for name, text in table.EVENTS}
ERRORS: Mapping[str, str] = dict(table.ERRORS)
