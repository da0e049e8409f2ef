"""What a run file holds, read back: records, telemetry, events, notes. Owns: reading. Must not: write or conclude.

Records are decoded from their raw bytes again, not from the file's decoded columns: the raw bytes are what the pump
stored, and what CRC and chain vouch for.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haipump.errors import UsageError
from haipump.journal import APPLICATION_ID, FILE_FORMAT, ChainVerdict, Record, decode, verify
from haipump.protocol import help as texts
from haipump.protocol.schema import EVENTS
from haipump_fw.proto import messages

# The journal's numbers: places in the tables of the firmware, which these repeat (a test compares them).
STATES = tuple(texts.STATES)
ALARM_NAMES = ("none", *texts.ALARMS)
SOURCES, RESULTS, TASKS, WHYS = messages.SOURCES, messages.RESULTS, messages.TASKS, messages.WHYS
PHASES = ("clear", "active", "acknowledged", "latched", "escalated", "silenced")
CAUSES = ("power", "watchdog", "request", "fault")
RUNNING = ("infusing", "bolus", "kvo", "priming", "withdrawing", "moving", "relieving")
DOSE = ("basal", "kvo", "programme", "bolus", "extended")
COMMIT_NL = 100_000  # the pump writes its totals at least this often: so much may be missing after a power loss
_HIGH, _MEDIUM, _LOW = "high", "medium", "low"
PRIORITIES: Mapping[str, str] = (
    {name: _HIGH for name in ALARM_NAMES[1:]}
    | dict.fromkeys(("reservoir_low", "supply_low", "host_lost", "command_errors", "input_pending"), _LOW)
    | dict.fromkeys(("infusion_complete", "paused_too_long", "power_lost", "under_infusion", "stuck_key"), _MEDIUM)
    | dict.fromkeys(("upstream_occlusion", "dose_limit", "over_temperature"), _MEDIUM)
)


def word(table: tuple[str, ...], number: int) -> str:
    """The name in a table, or the number when a newer pump knows more names."""
    return table[number] if 0 <= number < len(table) else f"number {number}"


@dataclass(frozen=True)
class Note:
    """One note about pump or programme. `boot` and `uptime_s` by the pump's clock, None when not asked for."""

    what: str
    data: Mapping[str, Any]
    boot: int | None
    uptime_s: int | None
    seen_utc: str


@dataclass(frozen=True)
class Heard:
    """An event: `tele` or another. Only `tele` says its time."""

    boot: int
    number: int
    missed: int
    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """A run file's content. `heard` is in the order of the pump's event numbers."""

    name: str
    sha256: str
    notes: tuple[Note, ...]
    records: tuple[Record, ...]
    chain: ChainVerdict
    heard: tuple[Heard, ...]

    def latest(self, what: str) -> Mapping[str, Any]:
        """The last note of a kind; empty when there is none."""
        return next((note.data for note in reversed(self.notes) if note.what == what), {})

    def all(self, what: str) -> list[Note]:
        """Every note of a kind, in order."""
        return [note for note in self.notes if note.what == what]


def read(path: Path) -> Source:
    """The run file's content. Raises UsageError when it is none, or of a newer format."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", next_step="make one with `haipump log --to`")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            return _read(db, path.name, digest)
        finally:
            db.close()
    except (sqlite3.Error, ValueError, TypeError) as failure:  # the latter two: what it holds was changed by hand
        raise UsageError(
            f"{path} can't be read as a run file: {failure}", next_step="name a file made by `haipump log --to`"
        ) from failure


def _read(db: sqlite3.Connection, name: str, digest: str) -> Source:
    if db.execute("pragma application_id").fetchone()[0] != APPLICATION_ID:
        raise UsageError(f"{name} is no run file", next_step="name a file made by `haipump log --to`")
    if db.execute("pragma user_version").fetchone()[0] > FILE_FORMAT:
        raise UsageError(f"{name} was made by newer host tools", next_step="update these")
    notes = tuple(
        Note(what, json.loads(data), boot, uptime_s, seen)
        for what, data, boot, uptime_s, seen in db.execute(
            "select what, data, boot, uptime_s, seen_utc from meta order by id"
        )
    )
    records = tuple(decode(raw, seq) for seq, raw in db.execute("select seq, raw from records order by seq"))
    names = list(EVENTS["tele"])
    heard = [
        Heard(boot, number, missed, "tele", {n: v for n, v in zip(names, values, strict=True) if v is not None})
        for boot, number, missed, *values in db.execute(
            f"select boot, number, missed, {', '.join(names)} from tele order by id"
        )
    ]
    heard += [
        Heard(boot, number, missed, event, json.loads(fields))
        for boot, number, missed, event, fields in db.execute(
            "select boot, number, missed, name, fields from events order by id"
        )
    ]
    heard.sort(key=lambda event: (event.boot, event.number))
    return Source(name, digest, notes, records, verify(records), tuple(heard))
