"""Compare two recordings: the first difference, and what was going on around it.

Owns: what counts as a difference. Must not: print, or read files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from haipump_emulator.trace.format import KINDS, Trace

CONTEXT = 5  # records shown before the difference
_NONE: Any = object()


@dataclass(frozen=True)
class Difference:
    """`kind` and `index` (0 is the first of its kind) of the first record that differs; a missing one is None."""

    kind: str
    index: int
    t_us: int
    first: tuple[Any, ...] | None
    second: tuple[Any, ...] | None
    before: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The difference as lines for a person."""
        head = f"first difference at {clock_text(self.t_us)}: {self.kind} number {self.index + 1}"
        return "\n".join(
            [head, *(f"    {line}" for line in self.before), f"  1 {_shown(self.kind, self.first)}"]
            + [f"  2 {_shown(self.kind, self.second)}"]
        )


def compare(
    first: Trace, second: Trace, *, tolerance_us: int = 0, kinds: Sequence[str] | None = None
) -> Difference | None:
    """The earliest difference, or None. Each kind is compared record by record in its own order; times may differ by up
    to `tolerance_us`. Without `kinds`, all are compared, but samples only when both were taken at the same periods and
    no tolerance is asked for (a shifted sample is another value)."""
    if kinds is None:
        one, other = first.header, second.header
        same = (one.sample_us, one.snapshot_us) == (other.sample_us, other.snapshot_us)
        kinds = KINDS if same and not tolerance_us else ("input", "step", "out", "event")
    found: Difference | None = None
    for kind in kinds:
        candidate = _first(kind, first.stream(kind), second.stream(kind), tolerance_us)
        if candidate is not None and (found is None or candidate.t_us < found.t_us):
            found = candidate
    if found is None:
        return None
    context = [line for _, line in _around(first, found.t_us)]
    return Difference(found.kind, found.index, found.t_us, found.first, found.second, context)


def _first(
    kind: str, first: Iterable[tuple[Any, ...]], second: Iterable[tuple[Any, ...]], tolerance_us: int
) -> Difference | None:
    for index, (a, b) in enumerate(zip_longest(first, second, fillvalue=_NONE)):
        if a == b:
            continue
        if a is _NONE:
            return Difference(kind, index, b[0], None, b)
        if b is _NONE:
            return Difference(kind, index, a[0], a, None)
        if a[1:] == b[1:] and abs(a[0] - b[0]) <= tolerance_us:
            continue
        return Difference(kind, index, min(a[0], b[0]), a, b)
    return None


def _around(trace: Trace, t_us: int) -> list[tuple[int, str]]:
    before: list[tuple[int, str]] = []
    for kind in ("input", "step", "out", "event"):
        last: list[tuple[Any, ...]] = []
        for record in trace.stream(kind):
            if record[0] >= t_us:
                break
            last.append(record)
            del last[:-CONTEXT]
        before += [(record[0], _shown(kind, record)) for record in last]
    before.sort(key=lambda item: item[0])
    return before[-CONTEXT:]


def _shown(kind: str, record: tuple[Any, ...] | None) -> str:
    if record is None:
        return f"(no further {kind})"
    return f"{clock_text(record[0])} {kind} " + " ".join(repr(part) for part in record[1:])


def clock_text(t_us: int) -> str:
    """Simulated time as days, hours, minutes and seconds: `2d 03:04:05.000006`."""
    seconds, micros = divmod(t_us, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days}d " if days else "") + f"{hour:02d}:{minute:02d}:{second:02d}.{micros:06d}"
