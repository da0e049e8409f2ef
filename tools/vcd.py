"""Reads a value change dump: for the picture in the docs, and for tests of the emulator's.

Owns: a reader of its own, which knows nothing of the writer. Must not: forgive; what is not of the form is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_VAR = re.compile(r"(wire|real|string) (\d+) (\S+) (\w+)")
_SCALE = re.compile(r"(1|10|100) ?(s|ms|us|ns)")


@dataclass(frozen=True)
class Dump:
    """`signals`: name -> (ns, value) of each change; a wire's value is a letter, a real's a float, a string's text.
    `end_ns` is the last time in the file."""

    signals: dict[str, list[tuple[int, str | float]]]
    comment: str
    end_ns: int

    def edges(self, name: str, level: str) -> list[int]:
        """When the wire became that level, in ns."""
        return [t for t, value in self.signals[name] if value == level]

    def at(self, name: str, ns: int) -> str | float:
        """What it was then. KeyError before the first change."""
        values = [value for t, value in self.signals[name] if t <= ns]
        if not values:
            raise KeyError(f"{name} has no value at {ns} ns")
        return values[-1]


def read(path: Path) -> Dump:
    """Raises ValueError for a file that is no dump."""
    head, found, body = path.read_text("ascii").partition("$enddefinitions $end\n")
    if not found:
        raise ValueError("the definitions do not end")
    words = {key: " ".join(text.split()) for key, text in re.findall(r"\$(\w+)\s+(.*?)\s*\$end", head, re.S)}
    scale = _SCALE.fullmatch(words["timescale"])
    if scale is None:
        raise ValueError(f"no timescale: {words['timescale']!r}")
    unit = int(scale[1]) * _UNITS[scale[2]]
    kinds: dict[str, tuple[str, str]] = {}
    for text in re.findall(r"\$var (.*?) \$end", head):
        var = _VAR.fullmatch(text)
        if var is None or var[3] in kinds:
            raise ValueError(f"no variable: {text!r}")
        kinds[var[3]] = (var[1], var[4])
    signals: dict[str, list[tuple[int, str | float]]] = {name: [] for _, name in kinds.values()}
    now = None
    for line in body.splitlines():
        if line.startswith("#"):
            if now is not None and int(line[1:]) <= now:
                raise ValueError(f"time goes back to {line}")
            now = int(line[1:])
        elif line not in ("$dumpvars", "$end"):
            code, value, kind = _change(line)
            if now is None or kinds[code][0] != kind:
                raise ValueError(f"no change: {line!r}")
            signals[kinds[code][1]].append((now * unit, value))
    return Dump(signals, words["comment"], (now or 0) * unit)


def _change(line: str) -> tuple[str, str | float, str]:
    """(code, value, kind of signal)."""
    if line[0] in "01xz":
        return line[1:], line[0], "wire"
    value, _, code = line[1:].partition(" ")
    if line[0] == "r":
        return code, float(value), "real"
    if line[0] != "s":
        raise ValueError(f"no change: {line!r}")
    return code, re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)), value), "string"
