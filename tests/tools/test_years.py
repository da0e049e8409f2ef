"""Years in short: fills of a day, one after the other, ended and taken up; and that each check can fail."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from haipump.therapy import course as courses
from haipump.therapy import library as libraries
from haipump.therapy import record as records
from tools.years import again, checks, fortnight, rates
from tools.years.line import YearsLine
from tools.years.state import Folder, OtherRun, State

SEED = 3
HOUR_US = rates.HOUR_US
QUIET = rates.Events()
Break = Callable[[fortnight.Fortnight], None]


class Killed(BaseException):
    """This process is gone, in the middle of anything."""


@pytest.fixture(autouse=True)
def fast(monkeypatch) -> None:
    monkeypatch.setattr(records, "SYNCHRONOUS", "off")


@pytest.fixture(scope="module")
def library() -> libraries.Library:
    return libraries.load()


def world(library: libraries.Library, *events: rates.Events) -> fortnight.World:
    """Fills of a day; the events of the first ones."""
    text = courses.example().replace("days = 14\ndose", "days = 1\ndose")
    text = text.replace("days = 14\nconcentration", "days = 1\nconcentration")
    planned = dict(enumerate(events, 1))
    return fortnight.World(courses.parse(text), library, SEED, lambda number, days: planned.get(number, QUIET), ppm=-20)


def go_on(made: fortnight.World, folder: Folder, fills: int, spoil: Break = lambda fill: None) -> State:
    """From the last checkpoint to so many fills; `spoil` gets hold of each fill before it begins."""
    state = folder.load(folder.last()) if folder.last() else made.new_state({})
    while state.done < fills:
        fill = fortnight.Fortnight(made, state, folder.begin_work(state.done))
        spoil(fill)
        fill.run()
        folder.finish(state)
    return state


def failing(state: State, folder: Folder) -> set[str]:
    """The first words of what does not hold."""
    with records.Record(folder.record(state.done)) as kept:
        found = checks.of_all(state, kept)
    return {one.what.split(",")[0] for one in found if not one.holds}


def one_fill(library: libraries.Library, path: Path, spoil: Break) -> set[str]:
    folder = Folder(path)
    return failing(go_on(world(library), folder, 1, spoil), folder)


def test_two_fills_hold_what_they_must(library, tmp_path) -> None:
    folder = Folder(tmp_path / "years")
    state = go_on(world(library), folder, 2)
    assert [row.drug for row in state.rows] == ["floxuridine", "heparin-saline"]
    assert failing(state, folder) == set()
    assert all(one.holds for row in state.rows for one in checks.of_fill(row, state.step_fl))
    drug, saline = state.rows
    assert drug.given_mg == pytest.approx(0.12 * 70, rel=0.02) and saline.given_mg == 0
    assert saline.values["ast"] > drug.values["ast"], "the enzymes answer what has arrived"
    assert drug.drift_s == pytest.approx(-20e-6 * 86_400, rel=0.05)
    with pytest.raises(OtherRun, match="another run .plant None"):
        folder.load(2, {"plant": "other code"})


CUT = rates.Events(cuts=(rates.Cut(5 * HOUR_US, 600, 60, "half"),))
CLOSED = rates.Events((rates.Cut(2 * HOUR_US, 60, 60),), (rates.Onset(4 * HOUR_US, "catheter", "blocked"),), (900.0,))


def test_killed_anywhere_it_comes_to_the_same(library, tmp_path, monkeypatch) -> None:
    made, whole, killed = world(library, CLOSED, CUT), Folder(tmp_path / "whole"), Folder(tmp_path / "killed")
    calm = go_on(made, whole, 2)
    read, left = YearsLine.read, [0]

    def reading(line: YearsLine, timeout_s: float) -> bytes:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return read(line, timeout_s)

    monkeypatch.setattr(YearsLine, "read", reading)
    at = []
    for reads in (90, 1_000, 100_000):
        left[0] = reads
        try:
            go_on(made, killed, 2)
        except Killed:
            at.append(killed.last())
    assert at == [0, 1], "killed in the first fill, and in the second one"
    state = killed.load(2)
    assert state.rows == calm.rows and state.flash == calm.flash and state.erases == calm.erases
    assert state.now_us == calm.now_us and state.lifetime == calm.lifetime
    names = ("course.history.jsonl", "record.sqlite")
    with records.Record(whole.record(2)) as one, records.Record(killed.record(2)) as other:
        assert one.rows("chain") == other.rows("chain")
    assert (whole.place(2) / names[0]).read_bytes() == (killed.place(2) / names[0]).read_bytes()
    assert sorted(path.name for path in killed.place(1).iterdir()) == ["course.history.jsonl", "state"]


def test_cuts_and_a_closed_line_leave_a_range_that_holds_the_truth(library, tmp_path) -> None:
    folder = Folder(tmp_path / "years")
    state = go_on(world(library, CUT, CLOSED), folder, 2)
    cut, closed = state.rows
    assert failing(state, folder) == set()
    assert cut.cuts == 1 and cut.alarms == ["power_lost"] and cut.stepped_min_nl < cut.stepped_max_nl
    assert cut.true_nl < cut.planned_nl, "the upper end counts"
    assert closed.happened == ["catheter: blocked"] and closed.found == ["blocked: alarm occlusion"]


def test_a_catheter_that_no_alarm_tells_is_found_at_the_flush(library, tmp_path) -> None:
    """The visit comes 28 days later, when a flush is due; the pump has stood still by then, so it comes before the
    fill."""
    leak = rates.Events((), (rates.Onset(HOUR_US, "catheter", "broken"), rates.Onset(HOUR_US, "pocket")))
    made, folder = world(library, leak), Folder(tmp_path / "years")
    state = go_on(made, folder, 1)
    state.now_us += 28 * rates.DAY_US
    fortnight.run(made, state, folder.begin_work(1))
    leaked, found = state.rows
    assert leaked.given_mg < 0.2 * 0.12 * 70, "the rest lay in the pocket"
    assert found.found == ["broken: flush: swelling", "pocket: what was pushed did not come back"]
    assert state.tube == "patent"


def test_values_beyond_the_rules_hold_the_drug_and_a_second_time_it_is_glycerin(library, tmp_path) -> None:
    made, folder = world(library), Folder(tmp_path / "years")
    state = made.new_state({})
    rows = []
    for _ in range(3):
        state.patient._state[-4:-2] = 9.0  # AST and bilirubin: ten times normal
        fortnight.run(made, state, folder.begin_work(state.done))
        folder.finish(state)
        rows.append(state.rows[-1])
    assert [row.drug for row in rows] == ["heparin-saline", "heparin-saline", "glycerin"]
    assert [row.percent for row in rows] == [0, 100, 0]
    assert sum(row.given_mg for row in rows) == 0 and failing(state, folder) == set()


def test_a_fill_once_more_does_the_same_and_a_difference_is_told(library, tmp_path) -> None:
    """Fill 1 when fill 2 has been, too: its record is cut from the later one. On one core twice here."""
    made, folder = world(library), Folder(tmp_path / "years")
    state = go_on(made, folder, 2)
    one, other = (again.play(made, folder, 2, 0.5, "direct") for _ in range(2))
    assert one.visit_made > 5_000 and one.count > 100 and not again.differences(one, other, state.step_fl)
    late = dataclasses.replace(other, steps=[*other.steps[:50], *(at + 3 for at in other.steps[50:])])
    assert "step 50 of the delivery is 3 us apart" in again.differences(one, late, state.step_fl)
    less = dataclasses.replace(other, visit_made=7, steps=other.steps[:-1], stepped_nl=7)
    assert len(again.differences(one, less, state.step_fl)) == 3
    assert sorted(path.name for path in folder.path.iterdir()) == ["done-001", "done-002"]
    copied = folder.begin_again(folder.load(1), tmp_path / "copy").with_name("record.sqlite")
    with records.Record(copied) as then, records.Record(folder.record(2)) as now:
        assert then.check().intact and then.rows("ended", "how = 'done'") == now.rows("ended")[:1]
        assert then.rows("chain") == now.rows("chain")[: then.check().rows]


# --- each check can fail


def rogue(fill: fortnight.Fortnight) -> None:
    """Pulses that the pump did not order, nor counts."""

    def steps() -> None:
        core = fill.core
        for number in range(20):
            core.plant.step(core.now_us + number)

    fill.line.at(5 * HOUR_US, steps)


def wrong_quartz(fill: fortnight.Fortnight) -> None:
    fill.core.drift(200)


def hung(fill: fortnight.Fortnight) -> None:
    fill.line.at(6 * HOUR_US, lambda: fill.core.stall(9_000_000))


def worn(fill: fortnight.Fortnight) -> None:
    fill.line.at(6 * HOUR_US, lambda: fill.core.flash_port.erases.__setitem__(7, 5_000))


def bad_sectors(fill: fortnight.Fortnight) -> None:
    """Every second one takes nothing more."""

    def fail() -> None:
        for sector in range(0, len(fill.core.flash_port.erases), 2):
            fill.core.flash_port.break_sector(sector, "program_error")

    fill.line.at(6 * HOUR_US, fail)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (rogue, {"events: ledger - plant", "events: dose - plan", "lifetime: ledger - plant"}),
        (wrong_quartz, {"clock"}),
        (hung, {"starts of the pump"}),
        (worn, {"erases of a sector"}),
        (bad_sectors, {"flash errors"}),
    ],
)
def test_what_is_broken_is_told(library, tmp_path, spoil, told) -> None:
    assert one_fill(library, tmp_path / "years", spoil) >= told


def test_a_journal_with_a_gap_is_told(library, tmp_path, monkeypatch) -> None:
    add = records.Record.add_journal
    monkeypatch.setattr(
        records.Record, "add_journal", lambda kept, device, row: row.seq != 50 and add(kept, device, row)
    )
    assert one_fill(library, tmp_path / "years", lambda fill: None) == {"journal of the pump"}


def test_a_record_that_was_changed_is_told(library, tmp_path) -> None:
    folder = Folder(tmp_path / "years")
    state = go_on(world(library), folder, 1)
    with closing(sqlite3.connect(folder.record(1))) as db, db:
        db.execute("drop trigger no_update_fills")
        db.execute("update fills set volume_nl = volume_nl + 1")
    assert failing(state, folder) == {"record of the course"}


# --- how often


def test_events_come_as_often_as_they_should_and_the_same_again() -> None:
    drawn = [rates.draw(SEED, number, 14) for number in range(1, 5_001)]
    assert drawn == [rates.draw(SEED, number, 14) for number in range(1, 5_001)]
    cuts = sum(len(one.cuts) for one in drawn) / 5_000 * rates.FILLS_PER_YEAR
    assert cuts == pytest.approx(rates.CUTS_PER_YEAR, rel=0.1)
    often = [rates.draw(SEED, number, 14, often=20) for number in range(1, 5_001)]
    for kind, rate in rates.COMPLICATIONS.items():
        free = 1 - sum(one.kind == kind for drawn in often for one in drawn.onsets) / 5_000
        assert 1 - free ** (rates.LIFE_FILLS / 20) == pytest.approx(rate.share, rel=0.3), kind
    assert all(abs(rates.pump_ppm(seed)) <= rates.CRYSTAL_PPM for seed in range(200))
