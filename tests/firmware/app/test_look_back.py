"""What a start, or a limit that is new, finds in the journal: never too little, and no made-up dose.

Lives of real records, of every kind at every place around the edge of the window, against the list of what was really
delivered; and the same from end to end.
"""

from __future__ import annotations

import bisect
import random
from types import SimpleNamespace

import pytest

from haipump_fw import doses
from haipump_fw.core import options
from haipump_fw.core.window import EVER, Window
from haipump_fw.delivery import BASAL, BOLUS, EXTENDED
from haipump_fw.proto.messages import RECORDS
from haipump_fw.store import records
from tests.firmware.app.bench import STEP_FL, Pump, pump
from tests.firmware.app.test_dose_limits import ML, UL, cycle

STEP_NL = STEP_FL / 1_000_000
SPAN_S = 3_600
GAP_S = -(-SPAN_S // 93)
OTHERS = [row[1] for row in RECORDS if row[1] not in ("commit", "boot")]


class Life:
    """A pump's life as its journal has it, and as it really was. Times are seconds of power, in all starts together."""

    def __init__(self, span_s: int = SPAN_S):
        self.rows: list[bytes] = []
        self.doses: list[tuple[float, float]] = []  # when, nL
        self.commits: list[float] = []
        self.now = 0.0
        self.boot, self.begun = 1, 0.0
        self.life_nl = self.unsure_nl = 0
        self.values = options.defaults() | {"window_s": span_s, "step_fl": STEP_FL, "max_dose_nl": 1}
        self.record("boot")
        self.commit()

    def record(self, name: str, restated: bool = False, **fields: int) -> None:
        row = records.row_of(name)
        raw = bytearray(records.SIZE)
        values = [fields.get(field, 0) for field in row[3].split()]
        records.fill(memoryview(raw), name, self.boot & 0xFFFF, int(self.now - self.begun), values)
        raw[1] |= records.RESTATED if restated else 0
        self.rows.append(bytes(raw))
        self.recorded = self.now

    def commit(self, late_s: float = 0.0) -> None:
        """`late_s`: so long ago the pass began whose clock it has."""
        self.commits.append(self.now)
        now, self.now = self.now, max(self.begun, self.now - late_s)
        self.record("commit", life_nl=self.life_nl, unsure_nl=self.unsure_nl)
        self.now = self.recorded = now

    def rest(self, seconds: float) -> None:
        self.now += seconds

    def dose(self, steps: int, interval_s: float = 0.0) -> None:
        for _ in range(steps):
            self.now += interval_s
            self.doses.append((self.now, STEP_NL))
        self.life_nl = round(len(self.doses) * STEP_NL)

    def start(self, *, cut: bool = False) -> None:
        """Power off and on; `cut`: while it delivered. What passed since the last record nobody knows: nothing."""
        self.boot += 1
        self.now = self.begun = self.recorded
        self.unsure_nl += 100 * UL if cut else 0
        self.record("boot")
        self.commit()

    def watch(self, made: int = 0) -> Window:
        """The window after a look back."""
        window = Window(self.values)
        app = SimpleNamespace(
            doses=SimpleNamespace(window=window),
            storage=SimpleNamespace(
                write=lambda window_us: True,
                boot=self.boot,
                journal=SimpleNamespace(backwards=lambda most: reversed(self.rows[-most:])),
            ),
            window_us=None,
            now_us=lambda: int((self.now - self.begun) * 1_000_000),
            ledger=SimpleNamespace(life_total_nl=lambda booked: self.life_nl, unsure_nl=self.unsure_nl),
            running_dose=lambda: (0, 0),
            values=self.values,
            delivery=SimpleNamespace(dosed=made),
        )
        doses.look_back(app)
        return window

    def used_nl(self, window: Window, later_s: float = 0.0) -> float:
        """What it says to the window that ends so much later."""
        return window.steps(int(self.now - self.begun + later_s), 0) * STEP_NL

    def since_nl(self, begin: float) -> float:
        return sum(nl for t, nl in self.doses if t > begin)

    def newest_commit(self, before: float) -> float:
        return self.commits[bisect.bisect_right(self.commits, before) - 1]

    def check(self, later_s: float = 0.0, gap_s: float = 0.0) -> None:
        """Not below the truth, and not above it by more than what one interval holds (a second of each start is cut
        off)."""
        used_nl = self.used_nl(self.watch(), later_s)
        begin = self.now + later_s - self.values["window_s"]
        assert used_nl >= self.since_nl(begin) - STEP_NL / 2
        early = begin - gap_s - 3 - self.boot
        most_nl = self.since_nl(self.newest_commit(early) if early > 0 else -1)
        assert used_nl <= most_nl + 2 * STEP_NL


@pytest.mark.parametrize("restated", [False, True])
@pytest.mark.parametrize("name", OTHERS + ["boot"])
@pytest.mark.parametrize("before_s", [1, 2, GAP_S, 600])
def test_a_record_of_any_kind_older_than_the_window_does_not_end_the_search(name, before_s, restated):
    life = Life()
    life.dose(200, 0.1)
    life.commit()
    life.rest(30)
    life.record(name, restated)
    life.rest(SPAN_S + before_s)
    assert life.used_nl(life.watch()) == 0
    life.check()


@pytest.mark.parametrize("age_s", [*range(SPAN_S - 3, SPAN_S + 5), SPAN_S - GAP_S, SPAN_S + GAP_S])
@pytest.mark.parametrize("inside_s", [None, 1, 2, GAP_S - 2, GAP_S, GAP_S + 2, SPAN_S // 2])
@pytest.mark.parametrize("part_s", [0.0, 0.4])
def test_a_commit_at_any_place_around_the_edge(age_s, inside_s, part_s):
    """The last commit before a rest, and one more so much younger, with a dose before and between."""
    life = Life()
    life.rest(part_s)
    life.dose(300, 0.2)
    life.commit()
    if inside_s is not None:
        life.rest(inside_s / 2)
        life.dose(5)
        life.rest(inside_s / 2)
        life.commit()
    life.rest(age_s - (inside_s or 0))
    life.check()
    for later_s in (1, 2, GAP_S, 600, SPAN_S - 1, SPAN_S, 2 * SPAN_S):
        life.check(later_s, GAP_S)


def test_a_journal_that_begins_within_the_window_is_not_taken_for_all():
    life = Life()
    life.dose(10)
    life.commit()
    life.rest(100)
    life.record("intent", source=BASAL)
    begin = len(life.rows) - 1
    life.dose(10)
    life.commit()
    life.rest(SPAN_S - 100)
    life.rows = life.rows[begin:]
    assert life.used_nl(life.watch()) > 100 * ML
    assert life.watch().bolus_s == 101, "a bolus may have begun when the oldest record was written"
    life.rest(110)
    assert life.used_nl(life.watch()) == 0


def test_of_a_new_pump_nothing_is_unknown():
    life = Life()
    assert life.used_nl(life.watch()) == 0
    assert life.watch().bolus_s == EVER
    life.dose(3)
    life.rest(9)
    assert life.used_nl(life.watch()) == pytest.approx(3 * STEP_NL, abs=1.01 * STEP_NL)


@pytest.mark.parametrize("source", [BOLUS, EXTENDED])
def test_the_last_bolus_is_found_for_a_lockout_that_is_set_later(source):
    """The limit at hand looks back an hour; a lockout may be a day, and nobody looks again."""
    life = Life()
    life.rest(10)
    life.record("intent", source=source)
    life.commit()
    for _ in range(23):
        life.rest(3_600)
        life.record("settings")
        life.commit()
    assert life.watch().bolus_s == 11


def random_life(rng: random.Random) -> Life:
    life = Life(rng.choice([600, 3_600, 86_400]))
    span_s = life.values["window_s"]
    for _ in range(rng.randrange(1, 40)):
        what = rng.randrange(6)
        if what == 0:
            life.rest(rng.choice([0.3, 1, 20, span_s / 93, span_s / 9, span_s]) * rng.uniform(0.5, 1.5))
        elif what == 1:
            life.dose(rng.randrange(1, 300), rng.uniform(0.02, 2))
            if rng.randrange(3):
                life.commit(rng.random())
        elif what == 2:
            life.commit()
        elif what < 5:
            life.record(rng.choice(OTHERS), rng.random() < 0.3)
        elif rng.randrange(3) == 0:
            life.commit()
            life.start()
    life.rest(rng.random() * span_s / 50)
    return life


@pytest.mark.parametrize("seed", range(150))
def test_lives_of_records(seed):
    rng = random.Random(seed)
    life = random_life(rng)
    for later_s in (0, 1, rng.uniform(0, 2) * life.values["window_s"]):
        life.check(later_s, later_s and -(-life.values["window_s"] // 93))


def test_a_power_cut_counts_once_and_where_it_was():
    life = Life()
    life.dose(100, 1)
    life.commit()
    life.start(cut=True)
    assert life.used_nl(life.watch()) == pytest.approx(100 * STEP_NL + 100 * UL, abs=2 * STEP_NL)
    life.rest(SPAN_S - 3)
    assert life.used_nl(life.watch()) >= 100 * UL
    life.rest(6)
    assert life.used_nl(life.watch()) == 0


# --- from end to end


def with_bolus() -> Pump:
    of = pump(seed=1)
    of.order("prepare_calibration backlash_steps=0")
    of.step_times.clear()
    of.order("prepare_bolus volume_nl=50000")
    of.run(100)
    return of


@pytest.mark.requirement("REQ-X-06", "OP-R5.2(5)/R5.3(7)")
@pytest.mark.parametrize("cut", [False, True])
def test_a_window_in_which_nothing_was_delivered_is_empty(cut):
    """A limit that is set after a dose, and an hour of rest (as people found it)."""
    of = with_bolus()
    of.order("prepare_dose max_dose_nl=1000000 window_s=3600")
    if cut:
        of.order("prepare_rate rate_nl_per_day=1300000")
        of.run(30)
        cycle(of)
        of.act("ack")
        of.order("prepare_limits max_bolus_nl=2000000")
    of.run(73 * 60)
    assert of.ask("dose")["used_nl"] == 0
    of.order("prepare_bolus volume_nl=1000")


def test_a_limit_that_is_set_within_the_hour_counts_what_was_before_it():
    of = with_bolus()
    of.run(1_000)
    of.order("prepare_dose max_dose_nl=1000000 window_s=3600")
    assert of.steps * STEP_NL - 1 <= of.ask("dose")["used_nl"] <= of.steps * STEP_NL + 2 * STEP_NL
    of.run(2_400)
    assert of.ask("dose")["used_nl"] > 0
    of.run(200)
    assert of.ask("dose")["used_nl"] == 0


def test_a_past_that_the_journal_has_lost_is_called_so():
    """Nothing asked would be as much as what may have been made: no number is made up for it."""
    of = with_bolus()
    of.order("prepare_dose max_dose_nl=1000000 window_s=3600")
    journal = of.app.storage.journal
    backwards = journal.backwards
    journal.backwards = lambda most: list(backwards(most))[:3]
    said = of.no("prepare_bolus volume_nl=1000")
    assert (said["limit"], said["what"]) == ("max_dose_nl", "past_not_known")
    assert "value" not in said and 0 < said["free_in_s"] <= SPAN_S + 3 * GAP_S
    of.order("prepare_dose soft_dose_nl=1000000 max_dose_nl=0")
    answer = of.raw("prepare_bolus volume_nl=1000")
    assert answer.count("what=") == 1 and "what=reason" in answer, "each name once"
    of.order("prepare_bolus volume_nl=1000 override=1 reason=x")
    of.run(30)
    of.order("prepare_dose soft_dose_nl=0 max_dose_nl=1000000")
    said = of.no("prepare_bolus volume_nl=1000")
    of.run(said["free_in_s"])
    of.order("prepare_bolus volume_nl=1000")


@pytest.mark.requirement("CS-REQ-26/27")
def test_every_order_that_a_limit_refused_is_counted_soft_or_hard():
    of = with_bolus()
    of.order("prepare_dose soft_bolus_nl=10000 lockout_s=1800")
    of.run(1_800)
    for _ in range(2):
        assert of.no("prepare_bolus volume_nl=20000")["code"] == "override"
    of.order("prepare_bolus volume_nl=1000")
    of.run(30)
    assert of.no("prepare_bolus volume_nl=1000")["limit"] == "lockout_s"
    assert of.no("prepare_bolus volume_nl=99000")["code"] == "override", "ten times the last one: no limit"
    assert of.ask("dose")["refusals"] == 3


def test_how_long_to_wait_is_never_too_short_while_the_past_is_not_known():
    of = with_bolus()
    of.order("prepare_dose lockout_s=1800")
    assert of.ask("dose")["wait_s"] == pytest.approx(1_700, abs=3)
    cycle(of)
    of.order("prepare_jog steps=20000 disconnected=1")
    assert (of.ask("dose")["used_nl"], of.ask("dose")["wait_s"]) == (-1, 1_800)
