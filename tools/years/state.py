"""What a fortnight leaves for the next one, and the folders in which that is kept.

Owns: the state, its files, and that a checkpoint is there as a whole or not at all. Must not: let time pass.

`OUT/done-NNN` is what was left after fill NNN: the state, the list of adjustments, the record of the course. It is made
in `OUT/work` and given its name when it is complete, so that whoever is killed at any time finds the last whole one. Of
older ones the state stays, without the record.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
import sqlite3
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from haipump.therapy.record import TABLES
from haipump_emulator import plant

FORMAT = 1
STATE, RECORD, COURSE, HISTORY = "state", "record.sqlite", "course.toml", "course.history.jsonl"
WORK = "work"


class OtherRun(Exception):
    """The folder holds years of another kind; the message says which, and what to do."""


@dataclass
class Row:
    """One fill as it came out, volumes in nL. `true_nl`: the plant's steps; `stepped_*`: the pump's ledger of the fill;
    `drift_s`: by how much the pump's clock went wrong, and `drift_max_s` what its quartz is allowed."""

    number: int
    date: str
    planned_drug: str
    drug: str
    percent: int = 100
    planned_nl: int = 0
    true_nl: float = 0.0
    stepped_min_nl: int = 0
    stepped_max_nl: int = 0
    confirmed_nl: int = 0
    arrived_nl: float = 0.0
    given_mg: float = 0.0
    days: float = 0.0
    cuts: int = 0
    visits: int = 0
    alarms: list[str] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)
    drift_s: float = 0.0
    drift_max_s: float = 0.0
    journal: int = 0


@dataclass
class State:
    """`flash` survives the power, `plant` and `patient` are as they were; `now_us` counts from the first fill's begin.
    `erases`: of each sector of the flash; `last_mg_per_ml` what is in the pump."""

    settings: dict[str, Any]
    plant: Any
    patient: Any
    flash: bytes | None = None
    now_us: int = 0
    tube: str = "patent"
    ng_per_ml: Fraction = Fraction(0)
    at_emptying: dict[str, Fraction] = field(default_factory=dict)
    held: int = 0
    misses: int = 0
    erases: list[int] = field(default_factory=list)
    step_fl: int = 0
    lifetime: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @property
    def done(self) -> int:
        return len(self.rows)

    @property
    def true_nl(self) -> float:
        """Dose by the plant's steps, over all fills."""
        return sum(row.true_nl for row in self.rows)


class Folder:
    """Where a run keeps its checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / WORK

    def last(self) -> int:
        """The fills that are done; 0 without a checkpoint."""
        return max((int(one.name[5:]) for one in self.path.glob("done-*")), default=0)

    def load(self, done: int, settings: dict[str, Any] | None = None) -> State:
        """The state after so many fills. Raises OtherRun when its settings are not these: plant and patient are kept as
        they are in memory, so that among these is the code that they are of (`code_digest`)."""
        found: State = pickle.loads(zlib.decompress((self.place(done) / STATE).read_bytes()))
        if settings is not None and found.settings != settings:
            names = [name for name in {**settings, **found.settings} if settings.get(name) != found.settings.get(name)]
            words = ", ".join(f"{name} {found.settings.get(name)}" for name in names)
            raise OtherRun(f"{self.path} holds years of another run ({words}); name another --out, or say --anew")
        return found

    def place(self, done: int) -> Path:
        return self.path / f"done-{done:03d}"

    def begin_work(self, done: int) -> Path:
        """A place to work in, with what the last checkpoint holds of the course; the file of the course in it."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        before = self.place(done)
        for name in (RECORD, HISTORY):
            if (before / name).exists():
                shutil.copyfile(before / name, self.work / name)
        return self.work / COURSE

    def begin_again(self, state: State, place: Path) -> Path:
        """The same in another place, and for an earlier checkpoint: the record only grows, so what it was then is a
        piece of what it is now."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if state.done:
            shutil.copyfile(self.place(state.done) / HISTORY, place / HISTORY)
            shutil.copyfile(self.record(self.last()), place / RECORD)
            shorten(place / RECORD, state.rows[-1].journal)
        return place / COURSE

    def finish(self, state: State) -> None:
        """What lies in the work folder becomes the checkpoint after this fill."""
        (self.work / STATE).write_bytes(zlib.compress(pickle.dumps(state), 1))
        self.work.rename(self.place(state.done))
        (self.place(state.done - 1) / RECORD).unlink(missing_ok=True)

    def record(self, done: int) -> Path:
        return self.place(done) / RECORD

    def clear(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def code_digest() -> str:
    """Of the plant's modules: a state of others can't be gone on with."""
    place = Path(plant.__file__).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(place.glob("*.py")))).hexdigest()[:12]


def shorten(path: Path, seq: int) -> None:
    """A copy of a record as it was when the pump's journal record `seq` was the last row in it."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("begin")
        triggers = db.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"drop trigger {name}")
        last = db.execute(
            "select chain.id from chain join journal on chain.name = 'journal' and chain.row = journal.id"
            " where journal.seq = ?", (seq,),
        ).fetchone()[0]  # fmt: skip
        for table in reversed(list(TABLES)):
            db.execute(
                f"delete from {table} where id in (select row from chain where name = ? and id > ?)", (table, last)
            )
        db.execute("delete from chain where id > ?", (last,))
        for table in (*TABLES, "chain"):
            db.execute(
                f"update sqlite_sequence set seq = (select ifnull(max(id), 0) from {table}) where name = ?", (table,)
            )
        for _, sql in triggers:
            db.execute(sql)
        db.execute("commit")
    finally:
        db.close()
