"""The run file: what a pump recorded (journal) and said (telemetry, events), with who it was, in one SQLite file.

Owns: the file's tables, decoding of journal records, CRC, chain and gaps. Must not: draw conclusions (`report` does) or
change anything on the pump.

Tables, all volumes in nL, rates in nL/day, times in s:
    meta            one row per note: what ("hello", "info", "limits", "totals", "programme", ...), data (JSON), and
                    when: boot and uptime_s by the pump, seen_utc by this computer
    records         every journal record: seq, raw (64 bytes as the pump stored them), kind, name, restated, boot,
                    uptime_s, crc_ok
    record_<name>   the decoded fields of each kind (record_commit, record_intent, ...), by seq; what a damaged record
                    seems to say is in none of them
    tele            telemetry, one column per field
    events          all other events, fields as JSON
`restated` records repeat an older one with its boot and time; they are no new event. The raw records are the truth;
the decoded columns are there for SQL.
"""

from __future__ import annotations

import binascii
import datetime
import hashlib
import json
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from haipump import records
from haipump.answers import RawRecord
from haipump.client import Pump
from haipump.errors import UsageError
from haipump.programme import Programme
from haipump.protocol.codec import Event
from haipump.protocol.schema import EVENTS
from haipump_fw.proto.messages import RECORDS

SIZE = records.SIZE
BODY = 48  # header and payload: what the chain covers
CHAIN = 12
FORMAT = 1
RESTATED = 0x80
APPLICATION_ID = 0x48414950  # "HAIP"
FILE_FORMAT = 1
COMMIT_EVERY_S = 1.0  # wall time between two writes of live telemetry; a write costs some milliseconds
COMMIT_EVERY_RECORDS = 64
_SQL_INT_MAX = 2**63 - 1
_KINDS = {row[0]: row[1] for row in RECORDS}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Record:
    """A journal record taken apart. `name` is "" and `values` empty for a kind or format that these tools don't know;
    `crc_ok` False: damaged, nothing in it counts."""

    seq: int
    kind: int
    name: str
    restated: bool
    boot: int
    uptime_s: int
    values: Mapping[str, int]
    chain: bytes
    crc_ok: bool
    raw: bytes = field(repr=False)


def decode(raw: bytes, seq: int | None = None) -> Record:
    """The record in 64 bytes. `seq` is the number it was asked for by; without it the record's own. Raises UsageError
    when it has another length or says another number than it was asked for by."""
    if len(raw) != SIZE:
        raise UsageError(
            f"a journal record has {len(raw)} bytes instead of {SIZE}",
            next_step="update the host tools or the firmware",
        )
    kind, form, boot, own_seq, uptime_s = struct.unpack_from("<BBHII", raw, 0)
    crc_ok = struct.unpack_from("<I", raw, SIZE - 4)[0] == binascii.crc32(raw[: SIZE - 4])
    if crc_ok and seq is not None and own_seq != seq:
        raise UsageError(
            f"record {seq} calls itself {own_seq}", next_step="download the journal again, into a new file"
        )
    name, values = "", {}
    if crc_ok and form & ~RESTATED == FORMAT and kind in _KINDS:
        name, values = _KINDS[kind], records.decode(raw).fields
    number = own_seq if seq is None else seq
    chain = bytes(raw[BODY : BODY + CHAIN])
    return Record(number, kind, name, bool(form & RESTATED), boot, uptime_s, values, chain, crc_ok, bytes(raw))


def link(chain: bytes, raw: bytes) -> bytes:
    """The chain bytes that `raw` must carry when `chain` is that of the record before."""
    return hashlib.sha256(chain + raw[:BODY]).digest()[:CHAIN]


@dataclass(frozen=True)
class ChainVerdict:
    """What checking a row of records came to. `gaps` are (first missing, last missing); `broken` are records that don't
    continue the one before; `damaged` have a wrong CRC. `from_first`: begins with the pump's very first record."""

    first: int = 0
    last: int = 0
    count: int = 0
    links: int = 0
    broken: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()
    from_first: bool = False

    @property
    def intact(self) -> bool:
        return not (self.broken or self.damaged or self.gaps) and self.count > 0

    @property
    def first_bad(self) -> int | None:
        """The number of the first record that is damaged, missing, or no continuation; None when there is none."""
        return min((*self.broken, *self.damaged, *(first for first, _ in self.gaps)), default=None)

    @property
    def dropped(self) -> int:
        """The records before the first one: the pump's ring has overwritten them, or nobody fetched them."""
        return max(0, self.first - 1)


def verify(row: Iterable[Record]) -> ChainVerdict:
    """Check CRCs, links and numbers of records in order of their numbers."""
    first = last = count = links = 0
    broken: list[int] = []
    damaged: list[int] = []
    gaps: list[tuple[int, int]] = []
    before: Record | None = None
    for record in row:
        count += 1
        if before is None:
            first = record.seq
        elif record.seq != before.seq + 1:
            gaps.append((before.seq + 1, record.seq - 1))
            before = None
        if not record.crc_ok:
            damaged.append(record.seq)
        elif record.seq == 1 or (before is not None and before.crc_ok):
            links += 1
            if record.chain != link(bytes(CHAIN) if before is None else before.chain, record.raw):
                broken.append(record.seq)
        before, last = record, record.seq
    return ChainVerdict(first, last, count, links, tuple(broken), tuple(damaged), tuple(gaps), first == 1)


@dataclass(frozen=True)
class Downloaded:
    """What a download brought: how many records are new, which ones the file holds now, and which are missing."""

    new: int
    first: int
    last: int
    count: int
    gaps: tuple[tuple[int, int], ...]

    @property
    def missing(self) -> int:
        return sum(last - first + 1 for first, last in self.gaps)


def utc_now() -> datetime.datetime:
    """Wall time of this computer."""
    return datetime.datetime.now(datetime.UTC)


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _schema() -> str:
    tables = [
        "create table if not exists meta (id integer primary key, seen_utc text not null, boot integer,"
        " uptime_s integer, what text not null, data text not null)",
        "create table if not exists records (seq integer primary key, raw blob not null, kind integer not null,"
        " name text not null, restated integer not null, boot integer not null, uptime_s integer not null,"
        " crc_ok integer not null)",
        "create table if not exists events (id integer primary key, boot integer not null, number integer not null,"
        " missed integer not null, name text not null, fields text not null, seen_utc text not null)",
        "create table if not exists tele (id integer primary key, boot integer not null, number integer not null,"
        f" missed integer not null, {_columns(EVENTS['tele'])})",
    ]
    for _, name, _, fields in RECORDS:
        tables.append(f"create table if not exists record_{name} (seq integer primary key, {_columns(fields.split())})")
    return ";\n".join(tables)


class RunFile:
    """A run file, made when it does not exist, else continued. `with RunFile(path) as run: run.note_pump(pump)`.

    One file belongs to one pump. What was recorded stays when the block ends with an exception. Raises UsageError, at
    its begin or as the block's end, when the file can't be written or does not fit together any more."""

    def __init__(self, path: Path | str, now: Callable[[], datetime.datetime] = utc_now) -> None:
        self.path = Path(path)
        self._now = now
        self._boot: int | None = None
        self._written = time.monotonic()
        new = not self.path.exists() or self.path.stat().st_size == 0
        try:
            self._db = sqlite3.connect(self.path)
        except sqlite3.Error as failure:
            raise _no_run_file(self.path, str(failure)) from failure
        if not new:
            self._check_kind()
        try:
            if new:
                self._db.execute(f"pragma application_id = {APPLICATION_ID}")
                self._db.execute(f"pragma user_version = {FILE_FORMAT}")
            self._db.executescript(_schema())
            self._device = self._latest("hello").get("device")
        except (sqlite3.Error, ValueError, AttributeError) as failure:
            self._db.close()
            raise self._spoilt(failure) from failure

    def _check_kind(self) -> None:
        why = "it is another kind of file"
        try:
            if self._db.execute("pragma application_id").fetchone()[0] == APPLICATION_ID:
                return
        except sqlite3.Error as failure:
            why = str(failure)
        self._db.close()
        raise _no_run_file(self.path, why)

    def __enter__(self) -> RunFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except sqlite3.Error as failure:
            value = value or failure
        if isinstance(value, sqlite3.Error):
            raise self._spoilt(value) from value

    def close(self) -> None:
        """Write what waits, and close the file."""
        try:
            self._db.commit()
        finally:
            self._db.close()

    def _spoilt(self, failure: Exception) -> UsageError:
        """SQLite can't write into it: somebody has changed it, or the disk is full or not to be written."""
        return UsageError(
            f"{self.path} can't be continued: {failure}",
            "The pump has all that it had, and the file what was written before",
            "put it aside, and download into a new file; it may have been changed by hand, or the disk be full",
        )

    # --- notes

    def note_pump(self, pump: Pump) -> None:
        """Who the pump is and how it is set: hello, info, calibration, limits, settings, totals. Raises UsageError when
        the file belongs to another pump."""
        boot, uptime_s = self._meet(pump)
        settings = {name: setting.value for name, setting in pump.settings().items()}
        for what, data in (
            ("hello", asdict(pump.conversation.greeting)),
            ("info", asdict(pump.info())),
            ("calibration", asdict(pump.calibration())),
            ("limits", asdict(pump.limits())),
            ("settings", settings),
            ("totals", asdict(pump.totals())),
        ):
            self._note(what, data, boot, uptime_s)
        self._db.commit()

    def note_programme(self, programme: Programme) -> None:
        """The programme that was ordered, so that its curve can be drawn."""
        items = [asdict(item) for item in programme.items]
        self._note(
            "programme",
            {
                "text": programme.wire_text(),
                "period_s": programme.period_s,
                "repeats": programme.repeats,
                "at_end": programme.at_end,
                "items": items,
                "volume_nl": int(programme.exact_volume_nl),
            },
            self._boot,
            None,
        )
        self._db.commit()

    def _meet(self, pump: Pump) -> tuple[int, int]:
        """Make sure that it is this file's pump; its boot number and uptime."""
        clock = pump.clock()
        device = pump.conversation.greeting.device
        if self._device is not None and self._device != device:
            raise UsageError(
                f"{self.path} belongs to pump {self._device}, and this is {device}",
                next_step="record each pump into a file of its own",
            )
        self._device, self._boot = device, clock.boot
        return clock.boot, clock.uptime_s

    def _note(self, what: str, data: Mapping[str, Any], boot: int | None, uptime_s: int | None) -> None:
        self._db.execute(
            "insert into meta (seen_utc, boot, uptime_s, what, data) values (?, ?, ?, ?, ?)",
            (self._stamp(), boot, uptime_s, what, json.dumps(data)),
        )

    def _stamp(self) -> str:
        return self._now().astimezone(datetime.UTC).isoformat(timespec="seconds")

    def _latest(self, what: str) -> dict[str, Any]:
        row = self._db.execute("select data from meta where what = ? order by id desc limit 1", (what,)).fetchone()
        return json.loads(row[0]) if row else {}

    # --- events

    def add_event(self, event: Event) -> None:
        """Telemetry or any other event, in the order in which they came. Raises UsageError before `note_pump`."""
        if self._boot is None:
            raise UsageError("the run file does not know the pump yet", next_step="call note_pump first")
        if event.name == "boot":
            self._boot = int(event.fields["boot"])
        if event.name == "tele":
            names = [name for name in EVENTS["tele"] if name in event.fields]
            self._db.execute(
                f"insert into tele (boot, number, missed, {_columns(names)}) values (?, ?, ?{', ?' * len(names)})",
                (self._boot, event.number, event.missed, *(event.fields[name] for name in names)),
            )
        else:
            self._db.execute(
                "insert into events (boot, number, missed, name, fields, seen_utc) values (?, ?, ?, ?, ?, ?)",
                (self._boot, event.number, event.missed, event.name, json.dumps(dict(event.fields)), self._stamp()),
            )
        if time.monotonic() - self._written >= COMMIT_EVERY_S:
            self._db.commit()
            self._written = time.monotonic()

    # --- journal

    def download(self, pump: Pump, progress: Progress | None = None) -> Downloaded:
        """Fetch all records that the file lacks, going on where an earlier download broke off, then the pump's totals.

        `progress(have, last)` counts records of this pump's journal. Raises UsageError when the journal is not the one
        that the file began with."""
        self._meet(pump)
        have = self._db.execute("select max(seq) from records").fetchone()[0]
        page = pump.journal_page(have or 0, 1)
        if have and page.last < have:
            raise self._other_journal(f"the pump's last record is {page.last}, the file's {have}")
        # The last known record is read again: it proves that this is still the same journal.
        first = have or max(page.first, 1)
        new = 0
        try:
            for raw in pump.journal(first=first):
                if self._store(raw):
                    new += 1
                    if new % COMMIT_EVERY_RECORDS == 0:
                        self._db.commit()
                if progress is not None:
                    progress(raw.seq - first + 1, max(page.last, raw.seq) - first + 1)
        finally:
            self._db.commit()
        boot, uptime_s = self._meet(pump)
        self._note("totals", asdict(pump.totals()), boot, uptime_s)
        self._note("lifetime", asdict(pump.lifetime()), boot, uptime_s)
        self._note("status", asdict(pump.status()), boot, uptime_s)
        self._db.commit()
        return self._summary(new)

    def _store(self, raw: RawRecord) -> bool:
        """False when the file has it already. Raises UsageError when the file has another one of that number."""
        known = self._db.execute("select raw from records where seq = ?", (raw.seq,)).fetchone()
        if known is not None:
            if known[0] != raw.data:
                raise self._other_journal(f"record {raw.seq} is another one")
            return False
        record = decode(raw.data, raw.seq)
        self._db.execute(
            "insert into records (seq, raw, kind, name, restated, boot, uptime_s, crc_ok)"
            " values (:seq, :raw, :kind, :name, :restated, :boot, :uptime_s, :crc_ok)",
            {name: value for name, value in vars(record).items() if name not in ("values", "chain")},
        )
        if record.name:
            # SQLite's numbers end at 2^63 - 1; above that the digits are kept as text.
            values = [value if value <= _SQL_INT_MAX else str(value) for value in record.values.values()]
            self._db.execute(
                f"insert into record_{record.name} (seq, {_columns(record.values)}) values (?{', ?' * len(values)})",
                (record.seq, *values),
            )
        return True

    def _other_journal(self, why: str) -> UsageError:
        return UsageError(
            f"the pump's journal is not the one in {self.path}: {why}",
            "Nothing was changed in the file",
            "download it into a new file",
        )

    def _summary(self, new: int) -> Downloaded:
        seqs = [row[0] for row in self._db.execute("select seq from records order by seq")]
        gaps = [(a + 1, b - 1) for a, b in zip(seqs, seqs[1:], strict=False) if b != a + 1]
        return Downloaded(new, seqs[0] if seqs else 0, seqs[-1] if seqs else 0, len(seqs), tuple(gaps))


def _no_run_file(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is no run file: {why}", next_step="name a file made by `haipump log --to`")
