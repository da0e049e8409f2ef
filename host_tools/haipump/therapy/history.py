"""The adjustments of a course, in a list beside its file that only grows.

Owns: the file `COURSE.history.jsonl`, a decision a line, each with the digest of the line before it. Must not: decide.

A file is replaced as a whole, so that a crash leaves the old list or the new one. The chain shows a line that was
changed, taken out or put in; it does not show lines that are missing at the end, and it is no signature.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from haipump.errors import NOTHING_CHANGED, BrokenHistory, UsageError
from haipump.therapy.adjust import Before, Decision

if TYPE_CHECKING:
    from haipump.therapy.record import Record

FORMAT = 1
SUFFIX = ".history.jsonl"
_BEGIN = "0" * 64
NOTHING_RECORDED = "Nothing was recorded"
_FIELDS = {
    "format", "number", "day", "by", "rules", "rules_version", "values", "values_at_dose", "percent", "percent_of",
    "dose_mg_per_kg_day", "held_by", "restart", "imaging", "reasons", "previous",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A decision that was recorded, and by whom."""

    number: int
    day: date
    by: str
    rules: str
    rules_version: int
    values: dict[str, Fraction]
    values_at_dose: dict[str, Fraction]
    percent: int
    percent_of: str
    dose_mg_per_kg_day: Fraction
    held_by: tuple[str, ...]
    restart: bool
    imaging: bool
    reasons: tuple[str, ...]


def path_for(course: Path) -> Path:
    """`course.toml` has its list in `course.history.jsonl`."""
    return course.with_name(course.stem + SUFFIX)


def read(course: Path) -> list[Entry]:
    """The list of a course; empty when there is none yet. Raises BrokenHistory, UsageError; the latter also when there
    is none, but one without a course beside it: then the course was renamed, and a hold would be forgotten."""
    path = path_for(course)
    if not path.exists():
        for other in sorted(path.parent.glob("*" + SUFFIX)):
            stem = other.name.removesuffix(SUFFIX)
            if not other.with_name(stem + course.suffix).exists():
                raise UsageError(
                    f"{course} has no adjustments, and {other.name} beside it has no course: was it renamed?",
                    NOTHING_CHANGED,
                    f"rename {other.name} to {path.name} if it is this one's, else move it away",
                )
    return [entry for entry, _ in _lines(path)]


def before(entries: Sequence[Entry], treated: Callable[[date], bool] = lambda since: False) -> Before:
    """What the next decision has to know. `treated`: whether the drug has been given since the day of a restart."""
    given = [entry for entry in entries if entry.percent > 0]
    last = given[-1] if given else None
    restarts = list(takewhile(lambda entry: entry.restart, reversed(entries)))
    waits = bool(restarts) and not treated(restarts[-1].day)
    return Before(
        last_dose_mg_per_kg_day=last.dose_mg_per_kg_day if last else None,
        last_values=last.values_at_dose if last else {},
        held_by=entries[-1].held_by if entries else (),
        restart_percent=restarts[0].percent if waits else None,
    )


def refuse_out_of_order(entries: Sequence[Entry], decision: Decision) -> None:
    """Raises UsageError for a decision of a day that has one already, or of an earlier one. What lowers the dose is
    taken nevertheless, as the newest decision: a slip in a date must not keep a hold out."""
    if not entries or decision.day > entries[-1].day or decision.hold:
        return
    last = entries[-1]
    if decision.dose_mg_per_kg_day < last.dose_mg_per_kg_day:
        return
    if decision.day < last.day:
        raise UsageError(
            f"the last entry is of {last.day}, and this one would be of {decision.day}",
            f"{NOTHING_RECORDED}: the last entry stands",
            "the list only grows: give the day of today; of an earlier day it takes what lowers the dose, or a hold",
        )
    raise UsageError(
        f"entry {last.number} is of {last.day}, too, and this one does not lower the dose",
        f"{NOTHING_RECORDED}: entry {last.number} stands",
        "a step up needs new values of a later day; a correction that lowers the dose, or a hold, is taken at once",
    )


def append(course: Path, decision: Decision, by: str) -> Entry:
    """Add one decision. Raises BrokenHistory for a list that was altered, UsageError for a name that is missing, a
    decision out of order, or when somebody else writes at the same time."""
    by = " ".join(by.split())
    if not by:
        raise UsageError("nobody is named", next_step='say who decides: --by "A. Person"')
    path = path_for(course)
    waiting = path.with_name(path.name + ".new")
    try:
        handle = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as failure:
        next_step = f"if nobody writes to it now, delete {waiting.name}: it is from a run that broke off"
        raise UsageError(f"{waiting} can't be made ({failure.strerror})", next_step=next_step) from failure
    try:
        with open(handle, "w", encoding="utf-8") as file:
            lines = _lines(path)
            refuse_out_of_order([entry for entry, _ in lines], decision)
            line = _line(decision, by, len(lines) + 1, _digest(lines[-1][1]) if lines else _BEGIN)
            file.write("".join(f"{text}\n" for _, text in lines) + line + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(waiting, path)
    except BaseException:
        waiting.unlink(missing_ok=True)
        raise
    return _entry(path, len(lines) + 1, line)


def lacking(record: Record, entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """What a course's record lacks of the list, with its text there. Raises UsageError when the record has others, or
    more."""
    texts = [json.dumps({"number": entry.number, **as_json(entry)}, sort_keys=True) for entry in entries]
    kept = [row["facts"] for row in record.rows("adjustments")]
    if kept != texts[: len(kept)]:
        more = f": {len(kept)} there, {len(texts)} here" if len(kept) > len(texts) else ""
        raise UsageError(
            f"{record.path} has other adjustments than the list beside the course{more}",
            NOTHING_RECORDED,
            f"name the record and the course that belong together; a list that was cut, or is not beside the course "
            f"as COURSE{SUFFIX}, has to come back first",
        )
    return list(zip(entries, texts, strict=True))[len(kept) :]


def keep(record: Record, entries: Sequence[Entry]) -> int:
    """Copy into a course's record what it lacks of the list; how many. Raises UsageError when it has others."""
    with record.together():
        new = lacking(record, entries)
        for entry, text in new:
            record.append(
                "adjustments", visit=None, at_utc=f"{entry.day.isoformat()}T00:00:00+00:00", by=entry.by,
                percent=entry.percent, reason="; ".join(entry.reasons), facts=text,
            )  # fmt: skip
    return len(new)


def as_json(decision: Decision | Entry) -> dict[str, object]:
    """A decision as `--json` and the file have it; fractions as texts, exact."""
    return {
        "day": decision.day.isoformat(),
        "rules": decision.rules,
        "rules_version": decision.rules_version,
        "values": {test: str(value) for test, value in decision.values.items()},
        "values_at_dose": {test: str(value) for test, value in decision.values_at_dose.items()},
        "percent": decision.percent,
        "percent_of": decision.percent_of,
        "dose_mg_per_kg_day": str(decision.dose_mg_per_kg_day),
        "held_by": list(decision.held_by),
        "restart": decision.restart,
        "imaging": decision.imaging,
        "reasons": list(decision.reasons),
    }


def _line(decision: Decision, by: str, number: int, previous: str) -> str:
    body = {"format": FORMAT, "number": number, "by": by, **as_json(decision), "previous": previous}
    return json.dumps(body, sort_keys=True, ensure_ascii=True)


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode("utf-8")).hexdigest()


def _lines(path: Path) -> list[tuple[Entry, str]]:
    """Entries with their lines, the chain checked."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as failure:
        raise UsageError(f"{path} can't be read ({failure})", next_step="check the file") from failure
    if not text:  # a list is written as a whole: none of ours is ever empty
        next_step = "get a copy of the list from before; the record of the course has the adjustments, too"
        raise BrokenHistory(f"{path} is empty, and nothing makes it so but a damage", next_step)
    found: list[tuple[Entry, str]] = []
    previous = _BEGIN
    for number, line in enumerate(text.splitlines(), 1):
        entry = _entry(path, number, line)
        if entry.number != number or json.loads(line)["previous"] != previous:
            raise _broken(path, number, "does not follow the line before it: one was changed, taken out or put in")
        found.append((entry, line))
        previous = _digest(line)
    return found


def _entry(path: Path, number: int, line: str) -> Entry:
    try:
        body = json.loads(line)
        if set(body) != _FIELDS or body["format"] != FORMAT:
            raise ValueError("unknown format")
        return Entry(
            number=int(body["number"]),
            day=date.fromisoformat(body["day"]),
            by=str(body["by"]),
            rules=str(body["rules"]),
            rules_version=int(body["rules_version"]),
            values={test: Fraction(value) for test, value in body["values"].items()},
            values_at_dose={test: Fraction(value) for test, value in body["values_at_dose"].items()},
            percent=int(body["percent"]),
            percent_of=str(body["percent_of"]),
            dose_mg_per_kg_day=Fraction(body["dose_mg_per_kg_day"]),
            held_by=tuple(body["held_by"]),
            restart=bool(body["restart"]),
            imaging=bool(body["imaging"]),
            reasons=tuple(body["reasons"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as failure:
        raise _broken(path, number, f"is no adjustment ({failure})") from None


def _broken(path: Path, number: int, what: str) -> BrokenHistory:
    return BrokenHistory(f"{path}, line {number} {what}", "get a copy of the list from before, or keep this one aside")
