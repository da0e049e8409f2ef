"""Every complication of the table is found at the visit that the table states, by the sign that it states, and nothing
else before; and a thousand uneventful refills find nothing. Through the whole procedure, at the emulated implant."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace

import pytest

from haipump.therapy.findings import FLAG, KINDS, LEVELS
from haipump.therapy.record import Record
from haipump.therapy.visit import Wanted, begin
from haipump_emulator.plant.catheter import CONDITIONS, PATENT
from haipump_emulator.plant.complications import (
    BEGINS_DAY,
    CHECK_DAYS,
    COMPLICATIONS,
    FLUSH_DAYS,
    VISIT_DAYS,
    Complication,
    Needle,
)
from tests.host.therapy.clinic import BEGAN, FLOXURIDINE, Day
from tests.host.therapy.implant import Implant

SEEDS = range(8)
PROMPTS_MAX = 10
PLAN = replace(
    FLOXURIDINE, interval_days=VISIT_DAYS, flush_every_days=FLUSH_DAYS, perfusion_every_days=CHECK_DAYS, by="Eva Lang"
)
EVERY = {one.name: one for one in COMPLICATIONS}


def in_memory(path, **more) -> sqlite3.Connection:
    return sqlite3.connect(":memory:", **more)


class Course:
    """One patient: visits at an implant, kept in a record. `find` makes a visit and returns what it found."""

    def __init__(self, tmp_path, seed: int, plan: Wanted = PLAN) -> None:
        self.day = Day()
        self.implant = Implant(self.day, random.Random(seed))
        self.record = Record(tmp_path / "never.course", "proof", BEGAN.isoformat(), connect=in_memory)
        self.plan = plan
        self.prompts = 0

    def find(self, day: int) -> set[str]:
        self.day.days = day
        visit = begin(self.record, self.plan, None, self.day)
        visit.run(self.implant)
        self.prompts = visit.prompts
        self.implant.live()
        rows = self.record.rows("findings", "visit = ?", visit.number)
        return {row["kind"] for row in rows if LEVELS.index(row["level"]) >= LEVELS.index(FLAG)}

    def strike(self, one: Complication) -> None:
        """It begins, unless it is that nobody comes."""
        self.day.days = BEGINS_DAY
        implant = self.implant
        if one.catheter is not None:
            implant.pump.set_catheter(implant.t_us, CONDITIONS[one.catheter])
        if one.flipped:
            implant.pump.flip(implant.t_us, True)
        implant.beside, implant.slips = one.needle is Needle.BESIDE, one.needle is Needle.SLIPS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", EVERY)
def test_it_is_found_by_its_sign_at_the_stated_visit(tmp_path, name: str, seed: int) -> None:
    one = EVERY[name]
    course = Course(tmp_path, seed)
    for day in range(0, BEGINS_DAY, VISIT_DAYS):
        assert course.find(day) == set(), f"day {day}: nothing was wrong yet"
    course.strike(one)
    found: set[str] = set()
    first = one.dry_until_day or BEGINS_DAY // VISIT_DAYS * VISIT_DAYS + VISIT_DAYS
    for day in range(first, one.seen_day + 1, VISIT_DAYS):
        found |= course.find(day)
        assert found <= {*one.findings, *one.may}, f"day {day}: {found}"
        if found >= set(one.findings):
            break
    assert found >= set(one.findings), f"by day {day}: {found}"
    assert course.record.check().intact


@pytest.mark.parametrize("name", [one.name for one in COMPLICATIONS if one.look.value != "next visit"])
def test_it_is_not_found_before_that_look(tmp_path, name: str) -> None:
    """The table says who sees nothing, and why: not every visit looks everywhere."""
    course = Course(tmp_path, 1)
    for day in range(0, BEGINS_DAY, VISIT_DAYS):
        course.find(day)
    course.strike(EVERY[name])
    told = [course.find(day) for day in range(42, EVERY[name].seen_day, VISIT_DAYS)]
    assert not set(EVERY[name].findings) & set().union(*told) or EVERY[name].may == (
        "slow",
        "more_than_expected",
        "flag",
    )


def test_a_clot_behind_a_dry_pump_is_looked_for_before_any_drug(tmp_path) -> None:
    """One reading in sixty hides that nothing came back; then the flush of that visit tells."""
    dry = 0
    for seed in range(20):
        course = Course(tmp_path, seed)
        for day in (0, 14, 28):
            course.find(day)
        dry += "dry" in course.find(EVERY["clotted"].seen_day)
    assert dry >= 19


def test_no_drug_goes_where_a_complication_would_take_it(tmp_path) -> None:
    """Once found, heparin-saline goes in at the next visit until the tracer shows the liver."""
    course = Course(tmp_path, 3)
    for day in (0, 14, 28):
        course.find(day)
    course.strike(EVERY["dislodged"])
    assert [course.find(day) for day in (42, 56, 70)][1:] == [{"no_blood", "leak"}] * 2
    assert course.record.rows("fills")[-1]["drug"] == "heparin-saline"
    course.implant.pump.set_catheter(course.implant.t_us, PATENT)
    course.find(84)
    assert course.record.rows("fills")[-1]["drug"] == "floxuridine"


@pytest.mark.parametrize("seed", [1])
def test_a_thousand_uneventful_refills_find_nothing(tmp_path, seed: int) -> None:
    """50 pumps with 20 visits after their first."""
    found, prompts = [], 0
    for pump in range(50):
        course = Course(tmp_path, 1_000 * seed + pump)
        for day in range(0, 21 * VISIT_DAYS, VISIT_DAYS):
            found += [(pump, day, kind) for kind in course.find(day)]
            prompts = max(prompts, course.prompts)
    assert found == [] and prompts == PROMPTS_MAX


def test_the_table_speaks_of_what_there_is() -> None:
    assert {one.catheter for one in COMPLICATIONS} - {None} == set(CONDITIONS) - {"patent", "clotted"}
    assert len(EVERY) == len(COMPLICATIONS)
    for one in COMPLICATIONS:
        assert {*one.findings, *one.may} <= set(KINDS) and one.findings and one.sign and one.before
