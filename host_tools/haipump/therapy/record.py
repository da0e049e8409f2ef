"""The record of a course: one SQLite file that only grows. Teaching and bench material, not for clinical use.

Owns: the file's tables, its version, the chain over its rows, the check of all that. Must not: judge (`findings` does),
draw (`course_report` does) or ask anybody.

Tables, volumes in nL, flows in nL/day, times in s or as UTC text; amounts that are no whole numbers as `p/q`:
    courses         what the file is about: one row
    visits          one row per visit: when, which procedure, which pump
    confirmations   one row per confirmed step of a visit: answer (JSON), who, when; `turn` counts from 1 in the visit
    readings        what a refill measured, and what it was compared with
    findings        what followed from that, in words
    fills           what went into the pump
    plans           what is to be delivered from then on
    adjustments     decisions about the dose, with their reason
    anchors         moments of which both the pump's clock and the course's time are known
    journal         the pump's records: number, raw bytes and fields (JSON)
    ended           how a visit ended
    deliveries, alarms      views of `journal`

Every row is one link of a chain: table `chain` has its number in the file, its table and number there, and the SHA-256
over the link before and the row. Triggers refuse UPDATE and DELETE everywhere. What belongs together is written in one
transaction, which is on the disk before it is believed: a kill at any instant loses what was not yet confirmed, and
nothing else. The chain tells a change by accident or by an editor; it is no signature, for who can write the file can
write it anew.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from haipump import records
from haipump.answers import RawRecord
from haipump.errors import HaipumpError, UsageError

APPLICATION_ID = 0x48414943  # "HAIC"
SCHEMA = 1
SYNCHRONOUS = "full"  # a transaction that is over is on the disk; tests of a hundred files wait for none
BUSY_S = 5.0  # for so long another program may be writing
UNTOUCHED = "Nothing was changed in the file"

# table: its columns after `id`. Order and names are part of what the chain covers.
TABLES: Mapping[str, str] = {
    "courses": "name text not null, began_utc text not null, tools text not null",
    "visits": "at_utc text not null, procedure text not null, pump text not null, device text not null,"
    " settings text not null",
    "confirmations": "visit integer not null references visits, turn integer not null, step text not null,"
    " answer text not null, by text not null, at_utc text not null, unique (visit, turn)",
    "readings": "visit integer not null unique references visits, at_utc text not null, filled_nl integer not null,"
    " returned_nl integer not null, elapsed_s integer not null, reference_nl_per_day text not null,"
    " label_nl_per_day integer not null, u_filled_nl integer not null, u_returned_nl integer not null,"
    " u_reference text not null, flow_nl_per_day text not null, error text not null, u_error text not null,"
    " error_limit text not null, ledger text not null",
    "findings": "visit integer not null references visits, kind text not null, level text not null, text text not null",
    "fills": "visit integer not null unique references visits, at_utc text not null, volume_nl integer not null,"
    " u_nl integer not null, drug text not null, concentration_ng_per_ml text not null, lot text not null",
    "plans": "visit integer references visits, from_utc text not null, drug text not null,"
    " rate_nl_per_day integer not null, concentration_ng_per_ml text not null, reference_nl_per_day text not null,"
    " u_reference text not null, next_utc text not null",
    "adjustments": "visit integer references visits, at_utc text not null, by text not null, percent integer not null,"
    " reason text not null, facts text not null",
    "anchors": "visit integer references visits, device text not null, boot integer not null,"
    " uptime_s integer not null, at_utc text not null",
    "journal": "device text not null, seq integer not null, name text not null, restated integer not null,"
    " boot integer not null, uptime_s integer not null, fields text not null, raw text not null, unique (device, seq)",
    "ended": "visit integer not null unique references visits, at_utc text not null, how text not null,"
    " why text not null",
}
_CHAIN = (
    "CREATE TABLE chain (id integer primary key autoincrement, name text not null, row integer not null,"
    " link text not null, unique (name, row))"
)
VIEWS: Mapping[str, str] = {
    "deliveries": "select id, device, seq, boot, uptime_s, name, fields from journal"
    " where name in ('commit', 'result') and not restated",
    "alarms": "select id, device, seq, boot, uptime_s, json_extract(fields, '$.alarm') as alarm,"
    " json_extract(fields, '$.phase') as phase, json_extract(fields, '$.state') as state from journal"
    " where name = 'alarm' and not restated",
}


def schema() -> dict[str, str]:
    """{name: SQL} of everything in a record."""
    found = {
        name: f"CREATE TABLE {name} (id integer primary key autoincrement, {columns})"
        for name, columns in TABLES.items()
    }
    found["chain"] = _CHAIN
    for name in (*TABLES, "chain"):
        for verb in ("update", "delete"):
            found[f"no_{verb}_{name}"] = (
                f"CREATE TRIGGER no_{verb}_{name} before {verb} on {name}"
                f" begin select raise(abort, 'a record only grows: no {verb} in {name}'); end"
            )
    for name, select in VIEWS.items():
        found[name] = f"CREATE VIEW {name} as {select}"
    return found


FAULTS_SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """What checking a file came to: `rows` in the chain, and one sentence per fault."""

    rows: int
    faults: tuple[str, ...]

    @property
    def intact(self) -> bool:
        return not self.faults


def utc_text(when: datetime.datetime) -> str:
    """A moment as it stands in the file. Raises UsageError for one without a time zone."""
    if when.tzinfo is None:
        raise UsageError(f"{when} has no time zone", UNTOUCHED, "write for example 2026-12-01T09:30+01:00")
    return when.astimezone(datetime.UTC).isoformat(timespec="seconds")


def moment(text: str) -> datetime.datetime:
    """The moment that stands in the file."""
    return datetime.datetime.fromisoformat(text)


def fraction_text(value: Fraction | int) -> str:
    """`p/q`, or `p`: exact."""
    return str(Fraction(value))


class Record:
    """A course's record, made when the file does not exist and `name` is given, else continued.

    `with Record(path) as record: record.append("adjustments", ...)`. `connect`: for tests that let statements fail.
    Raises UsageError when the file is none, is of another version, or does not exist and has no name to be made with.
    """

    def __init__(
        self,
        path: Path | str,
        name: str | None = None,
        began_utc: str = "",
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path = Path(path)
        new = not self.path.exists()
        if new and not name:
            raise UsageError(f"{self.path} does not exist", UNTOUCHED, "name a record, or a course to begin one")
        try:
            self._db = connect(self.path, timeout=BUSY_S, isolation_level=None)
            self._db.execute("pragma foreign_keys = on")
            self._db.execute(f"pragma synchronous = {SYNCHRONOUS}")
        except sqlite3.Error as failure:
            raise self._no_record(str(failure)) from failure
        self._open = True
        try:
            # A kill while the file was made leaves it empty: the first transaction makes all of it, or nothing.
            if self._is_empty():
                if not name:
                    raise self._no_record("it is empty")
                self._make(name, began_utc)
            self._check_kind()
        except BaseException:
            self.close()
            raise

    def _is_empty(self) -> bool:
        try:
            return self._db.execute("select count(*) from sqlite_master").fetchone()[0] == 0
        except sqlite3.Error as failure:
            raise self._no_record(str(failure)) from failure

    def _make(self, name: str, began_utc: str) -> None:
        with self.together():
            if not self._is_empty():
                return  # another program was faster
            self._db.execute(f"pragma application_id = {APPLICATION_ID}")
            self._db.execute(f"pragma user_version = {SCHEMA}")
            for sql in schema().values():
                self._db.execute(sql)
            self.append("courses", name=name, began_utc=began_utc, tools=f"schema {SCHEMA}")

    def _check_kind(self) -> None:
        if self._db.execute("pragma application_id").fetchone()[0] != APPLICATION_ID:
            raise self._no_record("it is another kind of file")
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version != SCHEMA:
            newer = version > SCHEMA
            raise UsageError(
                f"{self.path} is a record of version {version}, and these tools write version {SCHEMA}",
                UNTOUCHED,
                "update the host tools" if newer else "read it with the tools that made it, and begin a new record",
            )

    def _no_record(self, why: str) -> UsageError:
        return UsageError(f"{self.path} is no record of a course: {why}", UNTOUCHED, "name a file of `therapy refill`")

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was not written as a whole is not in it."""
        if self._open:
            self._open = False
            self._db.close()

    # --- writing

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is appended in the block is written as a whole or not at all; on the disk when the block is over. Blocks
        may stand in one another: the outermost counts."""
        if self._db.in_transaction:
            yield
            return
        try:
            self._db.execute("begin immediate")
        except sqlite3.OperationalError as failure:
            raise UsageError(
                f"{self.path} can't be written ({failure})", UNTOUCHED, "end what else has it open, or free the disk"
            ) from failure
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            if self._open and self._db.in_transaction:
                self._db.execute("rollback")
            raise

    def append(self, table: str, **values: Any) -> int:
        """A new row; its number. Raises UsageError when it is there already, or refers to nothing."""
        names = list(values)
        marks = ", ".join("?" * len(names))
        with self.together():
            try:
                done = self._db.execute(
                    f"insert into {table} ({', '.join(names)}) values ({marks})", tuple(values.values())
                )
            except sqlite3.IntegrityError as failure:
                raise UsageError(
                    f"{self.path} does not take it: {failure}", UNTOUCHED, "it is recorded already, or out of order"
                ) from failure
            number = int(done.lastrowid or 0)
            row = self._db.execute(f"select * from {table} where id = ?", (number,)).fetchone()
            link = _link(self._last_link(), table, row)
            self._db.execute("insert into chain (name, row, link) values (?, ?, ?)", (table, number, link))
        return number

    def _last_link(self) -> str:
        row = self._db.execute("select link from chain order by id desc limit 1").fetchone()
        return row[0] if row else ""

    def confirm(self, visit: int, turn: int, step: str, answer: Any, by: str, at_utc: str) -> None:
        """One confirmed step. Raises UsageError when turn `turn` of the visit is taken: a step is done once."""
        self.append(
            "confirmations", visit=visit, turn=turn, step=step, answer=json.dumps(answer, sort_keys=True), by=by,
            at_utc=at_utc,
        )  # fmt: skip

    def add_journal(self, device: str, row: RawRecord) -> bool:
        """One record of the pump's journal; False when it is there. Raises UsageError when another one has its number:
        that is another pump's journal, or a changed one."""
        raw = row.data.hex()
        known = self._db.execute("select raw from journal where device = ? and seq = ?", (device, row.seq)).fetchone()
        if known is not None:
            if known[0] != raw:
                raise UsageError(
                    f"record {row.seq} of pump {device} is another one than in {self.path}",
                    UNTOUCHED,
                    "look whether this is the pump of this course",
                )
            return False
        record = records.decode(row.data)
        fields = json.dumps(dict(record.fields), sort_keys=True)
        self.append(
            "journal", device=device, seq=row.seq, name=record.name, restated=int(record.restated), boot=record.boot,
            uptime_s=record.uptime_s, fields=fields, raw=raw,
        )  # fmt: skip
        return True

    # --- reading

    def rows(self, table: str, where: str = "1", *values: Any) -> list[dict[str, Any]]:
        """Rows in the order in which they were written, as dictionaries. Raises UsageError for a damaged file."""
        try:
            found = self._db.execute(f"select * from {table} where {where} order by id", values)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]
        except sqlite3.DatabaseError as failure:
            raise UsageError(
                f"{self.path} can't be read ({failure})", UNTOUCHED, "take the last copy of it"
            ) from failure

    def last(self, table: str, where: str = "1", *values: Any) -> dict[str, Any] | None:
        """The last of those rows."""
        found = self.rows(table, f"id = (select max(id) from {table} where {where})", *values)
        return found[0] if found else None

    @property
    def name(self) -> str:
        return self.rows("courses")[0]["name"]

    def last_seq(self, device: str) -> int:
        """The highest number of this pump's journal records in the file; 0 without."""
        found = self._db.execute("select max(seq) from journal where device = ?", (device,)).fetchone()[0]
        return int(found or 0)

    def open_visit(self) -> dict[str, Any] | None:
        """The visit that has begun and not ended."""
        return self.last("visits", "id not in (select visit from ended)")

    # --- checking

    def demand_intact(self) -> int:
        """How many rows there are. Raises HaipumpError when one was changed, lost or added."""
        verdict = self.check()
        if verdict.intact:
            return verdict.rows
        raise HaipumpError(
            f"{self.path} is not as it was written: {'; '.join(verdict.faults[:FAULTS_SHOWN])}",
            "Nothing was changed in the file",
            "take the last copy of it; then find out who or what has changed this one",
        )

    def check(self) -> Verdict:
        """The whole file: pages, references, tables and triggers, the chain, and that no row is missing or loose."""
        faults = [f"pages: {row[0]}" for row in self._db.execute("pragma integrity_check") if row[0] != "ok"]
        faults += [
            f"row {row[1]} of {row[0]} refers to nothing" for row in self._db.execute("pragma foreign_key_check")
        ]
        there = {name: sql for name, sql in self._db.execute("select name, sql from sqlite_master where sql not null")}
        there.pop("sqlite_sequence", None)
        for name, sql in schema().items():
            if there.pop(name, None) != sql:
                faults.append(f"{name} is missing, or not as it was made")
        faults += [f"{name} does not belong here" for name in there]
        rows, broken = self._check_chain()
        return Verdict(rows, tuple(faults + broken))

    def _check_chain(self) -> tuple[int, list[str]]:
        faults, link, count = [], "", 0
        following = dict.fromkeys(TABLES, 1)
        for number, name, row, stored in self._db.execute("select id, name, row, link from chain order by id"):
            count += 1
            if number != count:
                return count, [*faults, f"link {count} is missing"]
            found = name in TABLES and self._db.execute(f"select * from {name} where id = ?", (row,)).fetchone()
            if not found or row != following[name]:
                return count, [*faults, f"link {number}: row {row} of {name} is missing or out of order"]
            following[name] += 1
            if _link(link, name, found) != stored:
                return count, [*faults, f"link {number}: row {row} of {name} was changed"]
            link = stored
        for name, wanted in following.items():
            more = self._db.execute(f"select count(*) from {name} where id >= ?", (wanted,)).fetchone()[0]
            if more:
                faults.append(f"{more} rows of {name} are in no link")
        return count, faults


def _link(before: str, table: str, row: tuple[Any, ...]) -> str:
    """SHA-256 over the link before and the row."""
    text = json.dumps([before, table, *row], separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
