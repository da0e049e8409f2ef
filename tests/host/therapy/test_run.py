"""A course carried out at the real firmware on the direct core: every fill once, whatever is killed on the way."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from typing import Any

import pytest

import haipump
from haipump.errors import DoseRefused, Refused, UsageError
from haipump.quantities import format_volume
from haipump.therapy import calendar as cal
from haipump.therapy import dose, sealing
from haipump.therapy.course import Course
from haipump.therapy.record import Record, moment
from haipump.therapy.run import CourseRun, PumpClock, Standing
from haipump.therapy.steps import Question
from tests.host.direct_line import DirectLine
from tests.host.therapy.clinic import BEGAN, Person, make
from tests.host.therapy.conftest import course

DAYS, FILLS = 2, 4
FILL_NL = 2_600_000  # 1.3 mL/day for two days
STEP_NL = 232


class Flying(DirectLine):
    """While nothing is said, time passes an hour at a time."""

    jump_us = 3_600_000_000

    def read(self, timeout_s: float) -> bytes:
        data = super().read(min(timeout_s, 0.05))
        if not data and timeout_s > 0.2 and self.core.app.delivery.orders():
            self.core.run_until(self.core.now_us + self.jump_us)
            data = super().read(0)
        return data


class Killed(BaseException):
    """The host is gone, in the middle of anything."""


class Hands(Person):
    """Fills the syringe, and reads what comes back from the plant."""

    def __init__(self, line: DirectLine) -> None:
        super().__init__()
        self.line = line
        self.back_nl = 0.0

    def ask(self, question: Question) -> str:
        plant, now_us = self.line.core.plant, self.line.core.now_us
        if question.state == "access":
            self.back_nl = plant.truth(now_us).reservoir_nl
        if question.state == "withdraw":
            self.asked.append(question.state)
            first = "nothing is expected" in question.text
            return "0" if first else format_volume(round(self.back_nl / 1_000) * 1_000).replace(" ", "")
        return super().ask(question)


@pytest.fixture
def short() -> Course:
    return course(
        ("cycles = 6", "cycles = 2"),
        ("days = 14\ndose", f"days = {DAYS}\ndose"),
        ("days = 14\nconcentration", f"days = {DAYS}\nconcentration"),
    )


@pytest.fixture
def line() -> DirectLine:
    return Flying()


@pytest.fixture
def record(tmp_path) -> Iterator[Record]:
    with make(tmp_path / "course.sqlite") as made:
        yield made


class Bench:
    """One pump, one record, hosts that come and go."""

    def __init__(self, course: Course, library: Any, record: Record, line: DirectLine) -> None:
        self.course, self.library, self.record, self.line = course, library, record, line
        self.hands = Hands(line)
        self.told: list[Standing] = []
        self.held = False
        self.sealed: list[str] = []
        self.waits: list[Refused] = []

    def run(self) -> Standing:
        with haipump.connect(self.line) as pump:
            clock = PumpClock(self.record, pump, BEGAN)
            note = lambda standing, status: self.told.append(standing)  # noqa: E731
            made = CourseRun(
                self.course, self.prepared, self.record, pump, clock, lambda visit: self.hands, note, "Eva Lang",
                self.secured, self.waits.append,
            )  # fmt: skip
            return made.run()

    def prepared(self, fill: cal.Fill) -> dose.Preparation:
        if self.held:
            raise DoseRefused("the drug is on hold", "wait")
        assert fill.phase is not None
        return dose.prepare(self.course, self.library, fill.phase, days=fill.days, on=fill.date)

    def secured(self, pump: haipump.Pump, fill: cal.Fill, drug: str) -> None:
        self.sealed.append(drug)
        assert pump.status().state == "stopped"
        sealing.load(pump, self.library, dose.limits_of(self.prepared(fill)))

    def dose_nl(self) -> int:
        """All that was ever stepped as dose, by the pump's upper end."""
        with haipump.connect(self.line) as pump:
            return pump.lifetime().stepped_max_nl


@pytest.fixture
def bench(short, library, record, line) -> Bench:
    return Bench(short, library, record, line)


def test_a_course_from_the_first_fill_to_the_last(bench, line) -> None:
    line.jump_us = 600_000_000
    line.sleep(2 * 86_400)  # the emulator ran before anybody came
    standing = bench.run()
    assert standing.over and (standing.done, standing.planned) == (FILLS, FILLS)
    assert bench.dose_nl() == pytest.approx(FILLS * FILL_NL, abs=FILLS * STEP_NL)
    record = bench.record
    assert [row["drug"] for row in record.rows("fills")] == ["floxuridine", "heparin-saline"] * 2
    assert [row["how"] for row in record.rows("ended")] == ["done"] * FILLS
    begun = [moment(row["at_utc"]) for row in record.rows("visits")]
    for number, at in enumerate(begun):
        due = BEGAN + number * datetime.timedelta(days=DAYS)
        assert due <= at < due + (number + 1) * datetime.timedelta(minutes=40), "the calendar holds"
    assert all("slow" not in kinds and "fast" not in kinds for kinds in bench.hands.kinds)
    assert bench.run() == standing, "run again, nothing happens"
    assert bench.dose_nl() == pytest.approx(FILLS * FILL_NL, abs=FILLS * STEP_NL)
    assert record.check().intact
    assert bench.sealed == ["floxuridine", "heparin-saline"] * 2, "the limits of each drug before it is given"
    with haipump.connect(line) as pump:
        assert pump.library().library == sealing.expected(pump, bench.library)
        assert pump.dose().drug == "heparin-saline"
        newest = max(row.seq for row in pump.journal())
        assert record.last_seq(pump.conversation.greeting.device) == newest, "the last fill too, which no visit follows"


@pytest.mark.parametrize("seed", range(3))
def test_a_host_that_is_killed_anywhere_gives_nothing_twice(bench, line, seed) -> None:
    rng = random.Random(seed)
    read, left = line.read, [0]

    def reading(timeout_s: float) -> bytes:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return read(timeout_s)

    line.read = reading  # type: ignore[method-assign]
    kills = 0
    while True:
        left[0] = rng.choice([rng.randrange(1, 60), rng.randrange(1, 3_000)])
        try:
            standing = bench.run()
            break
        except Killed:
            kills += 1
    left[0] = -1
    assert standing.over and kills > 3
    assert bench.dose_nl() == pytest.approx(FILLS * FILL_NL, abs=FILLS * STEP_NL)
    assert len(bench.record.rows("visits")) == FILLS and bench.record.check().intact


def test_a_pump_that_restarts_is_given_what_is_missing_and_no_more(bench, line) -> None:
    class Stop(Exception):
        pass

    def cut(*_: Any) -> None:
        raise Stop

    bench.told = type("Told", (list,), {"append": cut})()
    with pytest.raises(Stop):
        bench.run()
    bench.told = []
    line.sleep(20_000)
    line.core.power(False)
    line.core.power(True)
    with pytest.raises(UsageError) as caught:
        bench.run()
    assert "power_lost" in caught.value.what and "to come" in caught.value.what
    with haipump.connect(line) as pump:
        pump.ack()
    standing = bench.run()
    assert standing.over
    assert [refused.code for refused in bench.waits] == ["override"], "what may have come counts in the window of a day"
    pushed = FILLS * FILL_NL
    assert pushed - 30_000 <= bench.dose_nl() <= pushed + FILLS * STEP_NL


def test_a_fill_that_is_on_hold_is_not_begun(bench) -> None:
    bench.held = True
    with pytest.raises(DoseRefused):
        bench.run()
    assert not bench.record.rows("visits") and bench.dose_nl() == 0


def test_a_visit_that_was_broken_off_is_not_begun_again_before_a_person_says_so(bench, line) -> None:
    bench.hands.answers["perfusion"], bench.hands.answers["substitute"] = ["other organ"], ["leave"]
    with pytest.raises(UsageError) as caught:
        bench.run()
    assert caught.value.what == "visit 1 was broken off (other_organ)" and "stopped" in caught.value.state
    assert len(bench.record.rows("visits")) == 1 and bench.dose_nl() == 0


def test_a_pump_of_constant_flow_is_not_driven(bench, record, line) -> None:
    constant = course(('kind = "programmable"', 'kind = "constant-flow"'))
    with haipump.connect(line) as pump, pytest.raises(UsageError, match="constant flow"):
        CourseRun(constant, bench.prepared, record, pump, PumpClock(record, pump, BEGAN), lambda visit: Person())
