"""The record of a course: only grows, tells every change, and survives a kill at any statement."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from haipump.errors import UsageError
from haipump.therapy import record as module
from haipump.therapy.record import TABLES, Record, schema, utc_text

NOW = "2026-11-02T09:00:00+00:00"
ROOT = Path(__file__).resolve().parents[3]


def make(path: Path, **options) -> Record:
    return Record(path, "course A", NOW, **options)


def visit(record: Record) -> int:
    return record.append("visits", at_utc=NOW, procedure="refill", pump="constant", device="label 1234", settings="{}")


@pytest.fixture
def record(tmp_path):
    with make(tmp_path / "course.sqlite") as made:
        yield made


def test_what_was_appended_is_there_again(record, tmp_path) -> None:
    number = visit(record)
    record.confirm(number, 1, "identify", {"lot": "A1"}, "Eva", NOW)
    record.close()
    with Record(tmp_path / "course.sqlite") as again:
        assert again.name == "course A"
        assert again.rows("confirmations")[0]["answer"] == '{"lot": "A1"}'
        opened = again.open_visit()
        assert opened is not None and opened["id"] == number
        again.append("ended", visit=number, at_utc=NOW, how="done", why="")
        assert again.open_visit() is None
        assert again.check().intact and again.check().rows == 4


def test_a_transaction_is_on_the_disk_when_it_is_over(tmp_path, monkeypatch) -> None:
    monkeypatch.undo()
    with make(tmp_path / "course.sqlite") as record:
        assert record._db.execute("pragma synchronous").fetchone()[0] == 2
        assert record._db.execute("pragma journal_mode").fetchone()[0] == "delete"


def test_a_step_is_confirmed_once(record) -> None:
    number = visit(record)
    record.confirm(number, 1, "identify", True, "Eva", NOW)
    with pytest.raises(UsageError, match="does not take it"):
        record.confirm(number, 1, "identify", True, "Eva", NOW)
    with pytest.raises(UsageError, match="does not take it"):
        record.confirm(99, 1, "identify", True, "Eva", NOW)
    assert len(record.rows("confirmations")) == 1 and record.check().intact


@pytest.mark.parametrize("table", [*TABLES, "chain"])
@pytest.mark.parametrize("verb", ["update", "delete"])
def test_nothing_is_changed_or_deleted(record, table: str, verb: str) -> None:
    number = visit(record)
    record.confirm(number, 1, "identify", True, "Eva", NOW)
    sql = f"update {table} set id = id + 100" if verb == "update" else f"delete from {table}"
    if table in ("courses", "visits", "confirmations", "chain"):
        with pytest.raises(sqlite3.IntegrityError, match="a record only grows"):
            record._db.execute(sql)
    assert f"no_{verb}_{table}" in schema()
    assert record.check().intact


def tampered(path: Path, *statements: str) -> tuple[str, ...]:
    """The faults after somebody has dropped the triggers, changed rows, and put the triggers back."""
    with sqlite3.connect(path) as db:
        for name, sql in schema().items():
            if sql.startswith("CREATE TRIGGER"):
                db.execute(f"drop trigger {name}")
        for statement in statements:
            db.execute(statement)
        for sql in schema().values():
            if sql.startswith("CREATE TRIGGER"):
                db.execute(sql)
    db.close()
    with Record(path) as record:
        return record.check().faults


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update confirmations set by = 'Mallory'", "link 3: row 1 of confirmations was changed"),
        ("delete from confirmations where id = 2", "link 4: row 2 of confirmations is missing"),
        ("delete from chain where id = 3", "link 3 is missing"),
        ("delete from chain where id = 4", "1 rows of confirmations are in no link"),
        ("insert into adjustments values (1, null, 'x', 'y', 50, 'z', '')", "1 rows of adjustments are in no link"),
        ("update visits set id = 7", "row 1 of visits is missing"),
        ("drop view alarms", "alarms is missing"),
        ("create table more (id integer)", "more does not belong here"),
    ],
)
def test_every_change_is_told(record, tmp_path, statement: str, words: str) -> None:
    number = visit(record)
    record.confirm(number, 1, "identify", True, "Eva", NOW)
    record.confirm(number, 2, "access", True, "Eva", NOW)
    record.close()
    assert any(words in fault for fault in tampered(tmp_path / "course.sqlite", statement))


def test_a_missing_trigger_is_told(record, tmp_path) -> None:
    record.close()
    with sqlite3.connect(tmp_path / "course.sqlite") as db:
        db.execute("drop trigger no_update_fills")
    db.close()
    with Record(tmp_path / "course.sqlite") as again:
        assert again.check().faults == ("no_update_fills is missing, or not as it was made",)


@pytest.mark.parametrize(
    ("version", "words"), [(2, "update the host tools"), (0, "read it with the tools that made it")]
)
def test_another_version_is_refused(record, tmp_path, version: int, words: str) -> None:
    record.close()
    with sqlite3.connect(tmp_path / "course.sqlite") as db:
        db.execute(f"pragma user_version = {version}")
    db.close()
    before = (tmp_path / "course.sqlite").read_bytes()
    with pytest.raises(UsageError) as caught:
        Record(tmp_path / "course.sqlite")
    assert f"version {version}" in caught.value.what and words in caught.value.next_step
    assert (tmp_path / "course.sqlite").read_bytes() == before


def test_another_file_is_refused(tmp_path) -> None:
    text = tmp_path / "text.sqlite"
    text.write_text("no database at all, " * 40)
    with pytest.raises(UsageError, match="is no record"):
        Record(text)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("create table x (y)")
    db.close()
    with pytest.raises(UsageError, match="another kind of file"):
        Record(other)
    with pytest.raises(UsageError, match="does not exist"):
        Record(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_a_time_has_a_zone() -> None:
    with pytest.raises(UsageError, match="no time zone"):
        utc_text(module.moment("2026-11-02T09:00"))
    assert utc_text(module.moment("2026-11-02T09:00+01:00")) == "2026-11-02T08:00:00+00:00"


def test_two_writers_do_not_mix(record, tmp_path, monkeypatch) -> None:
    """The chain is read and continued in one piece: who comes second waits, and says so."""
    monkeypatch.setattr(module, "BUSY_S", 0.0)
    number = visit(record)
    with Record(tmp_path / "course.sqlite") as other, record.together():
        record.confirm(number, 1, "identify", True, "Eva", NOW)
        with pytest.raises(UsageError, match="can't be written"):
            other.confirm(number, 2, "access", True, "Jan", NOW)
    assert record.check().intact and len(record.rows("confirmations")) == 1


# --- killed


class Killed(Exception):
    """The process is gone."""


def dying(statements: int):
    """A connection that dies at that statement: before it is carried out, nothing after it is."""

    class Connection(sqlite3.Connection):
        left = statements

        def execute(self, *args):
            if Connection.left <= 0:
                raise Killed
            Connection.left -= 1
            return super().execute(*args)

    return lambda path, **more: sqlite3.connect(path, factory=Connection, **more)


def a_visit(path: Path, connect) -> list[str]:
    """What was believed to be written."""
    told: list[str] = []
    try:
        with make(path, connect=connect) as record:
            told.append("made")
            number = visit(record)
            told.append("visit")
            for turn in (1, 2, 3):
                with record.together():
                    record.confirm(number, turn, f"step {turn}", turn, "Eva", NOW)
                    record.append("findings", visit=number, kind="flag", level="flag", text=str(turn))
                told.append(f"step {turn}")
            told.append("all")
    except Killed:
        pass
    return told


def test_killed_at_every_statement(tmp_path) -> None:
    """What was told to be written is there, what belongs together is there as a whole, and it goes on."""
    statements = 0
    while True:
        path = tmp_path / f"{statements}.sqlite"
        told = a_visit(path, dying(statements))
        with make(path) as record:
            assert record.check().intact, statements
            steps = [row["step"] for row in record.rows("confirmations")]
            assert [step for step in told if step.startswith("step")] == steps
            assert len(record.rows("findings")) == len(steps)
            assert len(record.rows("visits")) == ("visit" in told)
            if not record.rows("visits"):
                visit(record)
            record.confirm(1, len(steps) + 1, "after", True, "Eva", NOW)
            assert record.check().intact
        if told[-1:] == ["all"]:
            break
        statements += 1
    assert statements > 60


WRITER = """
import sys
from haipump.therapy.record import Record
with Record(sys.argv[1], "course A", "x") as record:
    if record.open_visit() is None:
        record.append("visits", at_utc="x", procedure="refill", pump="p", device="d", settings="{}")
    turn = len(record.rows("confirmations"))
    while True:
        turn += 1
        with record.together():
            record.confirm(1, turn, f"step {turn}", turn, "Eva", "x")
            record.append("findings", visit=1, kind="flag", level="flag", text=str(turn))
        print(turn, flush=True)
"""


def test_killed_by_the_system_at_random(tmp_path) -> None:
    """The same with a process that is really killed, and what it said before."""
    path, rng, said = tmp_path / "course.sqlite", random.Random(3), 0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / p) for p in ("firmware", "host_tools"))}
    for _ in range(6):
        call = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stdout is not None
            for _ in range(rng.randrange(1, 12)):
                line = child.stdout.readline().strip()
                said = int(line or said)
            child.kill()
            rest = child.stdout.read().split()
            said = int(rest[-1]) if rest else said
        with Record(path) as record:
            assert record.check().intact
            steps = record.rows("confirmations")
            assert [row["turn"] for row in steps] == list(range(1, len(steps) + 1))
            assert said <= len(steps) <= said + 1, "what was said is there; one more may be"
            assert len(record.rows("findings")) == len(steps)
