"""The slope detector by itself: what is an occlusion, what is none, what is remembered and learned."""

from __future__ import annotations

import random

import pytest

from haipump_fw.core import options
from haipump_fw.core.occlusion import BLOCKS, FALL_PA, PART_S, RISE_PA, SUCTION_PA, SUCTION_SAMPLES, Occlusion

STEP_FL = 103_203_000  # a 10 mL syringe
VALUES = {**options.defaults(), "step_fl": STEP_FL, "bore_um": 14_500}
LOOK_S = 15


def raw(pa: float) -> int:
    return round(VALUES["pressure_zero_raw"] + pa * VALUES["pressure_span_raw"] / VALUES["pressure_full_pa"])


class Line:
    """Readings every 15 s while `nl_per_s` is pushed."""

    def __init__(self, nl_per_s: float = 15.0, **more: int) -> None:
        self.detector = Occlusion({**VALUES, **more})
        self.nl_per_s = nl_per_s
        self.pushed_nl = 0.0
        self.t_s = 0

    @property
    def steps(self) -> int:
        return int(self.pushed_nl * 1e6 / STEP_FL)

    def look(self, pa: float) -> bool:
        self.t_s += LOOK_S
        self.pushed_nl += self.nl_per_s * LOOK_S
        return self.detector.feed(raw(pa), self.steps, self.t_s)

    def hold(self, pa: float, seconds: int) -> bool:
        """True when it alarmed."""
        return any([self.look(pa) for _ in range(seconds // LOOK_S)])

    def close(self, from_pa: float, nl_per_pa: float, until_pa: float = 69_000) -> float | None:
        """Pressure at the alarm of a closed line with this compliance; None without one."""
        start = self.pushed_nl
        while True:
            pa = from_pa + (self.pushed_nl - start) / nl_per_pa
            if pa > until_pa:
                return None
            if self.look(pa):
                return pa


@pytest.mark.parametrize("nl_per_pa", [0.3, 0.6, 1.5, 3.0, 5.0])
def test_a_closed_line_is_seen_before_its_limit_whatever_its_compliance(nl_per_pa):
    line = Line()
    assert not line.hold(13_000, 3_600)
    found = line.close(13_000, nl_per_pa)
    assert found is not None
    # three parts of RISE_PA, and some of a fourth; where the line is stiff, of two blocks each
    stiff_pa = (6 * (PART_S + LOOK_S) + 2 * LOOK_S) * line.nl_per_s / nl_per_pa
    assert 3 * RISE_PA <= found - 13_000 <= max(4 * RISE_PA, stiff_pa)


def test_a_compliance_that_no_line_has_is_no_occlusion():
    line = Line()
    line.hold(13_000, 3_600)
    assert line.close(13_000, 12.0) is None, "too soft for a 10 mL syringe: an artery that rises, a drift"
    line = Line(nl_per_s=2.0)
    line.hold(13_000, 3_600)
    assert line.close(13_000, 0.1) is None, "too stiff: nothing that is pushed makes such a rise"


@pytest.mark.parametrize("jump_pa", [2_940, 10_000, 40_000])
def test_a_jump_is_no_slope(jump_pa):
    line = Line()
    line.hold(13_000, 3_600)
    assert not line.hold(13_000 + jump_pa, 7_200)


def test_two_jumps_and_a_ramp_of_a_minute_are_no_slope():
    line = Line()
    line.hold(8_000, 3_600)
    for pa in (10_000, 12_500, 15_000, 18_000):  # an artery, within a minute
        assert not line.look(pa)
    assert not line.hold(18_000, 300)
    assert not line.hold(20_940, 600)
    assert not line.hold(23_880, 3_600)


def test_a_fall_begins_anew_and_one_reading_is_no_fall():
    line = Line()
    line.hold(13_000, 600)
    assert line.close(13_000, 1.5, until_pa=22_000) is None
    line.look(5_000)  # a spike down
    assert line.close(22_000, 1.5, until_pa=40_000) is not None, "what was seen before counts"
    line = Line()
    line.hold(13_000, 600)
    line.close(13_000, 1.5, until_pa=22_000)
    fallen = 22_000 - 1.2 * FALL_PA
    line.look(fallen)
    found = line.close(fallen, 1.5)
    assert found is not None and found > fallen + 3 * RISE_PA, "the window began anew"


def test_a_small_fall_does_not_begin_anew():
    line = Line()
    line.hold(13_000, 600)
    line.close(13_000, 1.5, until_pa=22_000)
    fallen = 22_000 - 0.8 * FALL_PA
    assert not line.hold(fallen, 2 * LOOK_S)
    found = line.close(fallen, 1.5)
    assert found is not None and found < 13_000 + 4.5 * RISE_PA


def test_a_rise_at_either_end_and_none_between_is_no_slope():
    line = Line()
    line.hold(13_000, 3_600)
    assert not line.hold(20_000, 1_200)
    assert not line.hold(27_000, 3_600)


def test_a_spike_up_is_no_rise():
    line = Line()
    line.hold(13_000, 600)
    line.look(60_000)
    found = line.close(13_000, 1.5)
    assert found is not None and found < 13_000 + 4 * RISE_PA, "it did not even disturb"


def test_an_artery_that_pulses_never_alarms_and_a_closed_line_after_it_does():
    rng = random.Random(7)
    line = Line()
    for _ in range(20_000):
        assert not line.look(13_000 + rng.uniform(-2_000, 2_000))
    assert line.close(13_000, 1.5) is not None


def test_a_rise_from_the_first_reading_on_needs_its_three_parts_and_no_more():
    for nl_per_s, nl_per_pa, most_pa in ((60.0, 1.0, 4.2 * RISE_PA), (15.0, 1.5, 3.2 * RISE_PA), (15.0, 5.0, 13_000)):
        line = Line(nl_per_s)
        line.hold(13_000, 2 * LOOK_S)
        found = line.close(13_000, nl_per_pa)
        assert found is not None and found - 13_000 <= most_pa, nl_per_pa


def test_a_slow_flow_is_remembered_by_volume():
    line = Line(nl_per_s=1.5)
    assert not line.hold(13_000, 3_600)
    assert line.close(13_000, 1.5) is not None


def test_noise_of_the_sensor_changes_nothing():
    rng = random.Random(8)
    line = Line()
    pa = 13_000.0
    for _ in range(240):
        assert not line.look(pa + rng.gauss(0, 54))
    while not line.look(pa + rng.gauss(0, 54)):
        pa += line.nl_per_s * LOOK_S / 1.5
        assert pa < 13_000 + 4.5 * RISE_PA


def test_memory_of_days_is_a_ring():
    line = Line()
    assert not line.hold(13_000, 3 * BLOCKS * PART_S)
    assert line.close(13_000, 1.5) is not None


def test_where_the_ring_begins_changes_nothing():
    found = set()
    for blocks in range(BLOCKS, 2 * BLOCKS, 25):
        line = Line()
        line.hold(13_000, blocks * (PART_S + LOOK_S // 5))
        found.add(line.close(13_000, 5.0))
    assert len(found) == 1 and None not in found


def test_fast_motion_is_left_to_the_limit():
    line = Line(nl_per_s=12_000.0)  # 2 mL in three minutes
    line.hold(13_000, 600)
    assert line.close(13_000, 5_000.0) is None


def test_nothing_is_said_without_steps():
    line = Line(nl_per_s=0.0)
    line.hold(13_000, 600)
    for pa in range(13_000, 60_000, 50):
        assert not line.look(pa)


def test_at_first_there_is_no_relief():
    assert (Occlusion(VALUES).relief_raw, Occlusion(VALUES).deduct) == (0, 0)


def test_the_foot_is_where_the_rise_began():
    line = Line()
    assert line.detector.foot() == (0, None), "nothing was fed"
    line.hold(13_000, 3_600)
    began = line.steps
    line.close(13_000, 1.5)
    level, steps = line.detector.foot()
    assert abs(level - raw(13_000)) <= raw(1_000) - raw(0)
    assert steps is not None and abs(steps - began) * STEP_FL / 1e6 <= 2_500, "a block and a reading"


def test_the_foot_is_the_newest_block_while_nothing_rises():
    line = Line()
    line.hold(13_000, 3_600)
    level, steps = line.detector.foot()
    assert level == raw(13_000) and steps is not None
    assert (line.steps - steps) * STEP_FL / 1e6 <= (PART_S + LOOK_S) * line.nl_per_s


def test_the_foot_is_the_beginning_when_all_of_it_rises():
    line = Line()
    line.look(13_000)
    line.look(13_000)
    began = line.steps
    line.close(13_000, 1.5, until_pa=20_000)
    assert line.detector.foot() == (raw(13_000), began)


def test_the_foot_is_the_oldest_that_is_remembered_when_it_rose_before():
    line = Line()
    line.look(13_000)
    pa = 13_000.0
    for _ in range(3 * BLOCKS * PART_S // LOOK_S):
        line.look(pa)
        pa += 20
    level, steps = line.detector.foot()
    assert steps is not None and steps < line.steps and level < raw(pa) - 100


def test_a_compliance_is_learned_and_narrows_what_is_possible():
    line = Line()
    line.detector.learn(int(30_000 * 1e6 / STEP_FL), raw(20_000) - raw(0))
    assert abs(line.detector.learned - 1_496) <= 1, "what steps and counts make of it"
    line.hold(13_000, 3_600)
    assert line.close(13_000, 4.0) is None, "more than twice of it"
    line.hold(13_000, 3_600)
    assert line.close(13_000, 2.5) is not None
    line.hold(13_000, 3_600)
    assert line.close(13_000, 1.0) is not None
    line.detector.clear()
    line.hold(13_000, 2 * LOOK_S)
    assert line.close(13_000, 0.6) is None, "less than half of it"
    line.detector.configure({**VALUES, "step_fl": STEP_FL})
    assert line.detector.learned, "the same syringe"
    line.detector.configure({**VALUES, "bore_um": 21_700})
    assert line.detector.learned == 0
    line.detector.learn(int(30_000 * 1e6 / STEP_FL), raw(20_000) - raw(0))
    line.detector.forget()
    assert line.detector.learned == 0 and line.detector.foot()[1] is None


@pytest.mark.parametrize(
    ("nl", "pa"), [(30_000, 5_000), (0, 20_000), (-500, 20_000), (900_000, 20_000), (1_000, 20_000)]
)
def test_nothing_is_learned_from_little_or_from_the_impossible(nl, pa):
    detector = Occlusion(VALUES)
    detector.learn(int(nl * 1e6 / STEP_FL), raw(pa) - raw(0))
    assert detector.learned == 0


def test_suction_needs_some_readings_and_a_sensor_that_shows_it():
    detector = Occlusion(VALUES)
    for _ in range(20):
        assert not detector.suction(raw(-SUCTION_PA) + 1)
    low = [detector.suction(raw(-SUCTION_PA) - 1) for _ in range(SUCTION_SAMPLES)]
    assert low == [False] * (SUCTION_SAMPLES - 1) + [True]
    assert not detector.suction(raw(0))
    least = 100 + raw(0) - raw(-SUCTION_PA)  # the lowest reading that is none of a broken wire
    seeing = Occlusion({**VALUES, "pressure_zero_raw": least})
    assert any([seeing.suction(0) for _ in range(SUCTION_SAMPLES)])
    blind = Occlusion({**VALUES, "pressure_zero_raw": 2_000})
    assert not any([blind.suction(0) for _ in range(20)])


@pytest.mark.parametrize("bore_um", [1_000, 60_000])
@pytest.mark.parametrize("step_fl", [100_000, 20_000_000_000])
@pytest.mark.parametrize(("full", "span"), [(10_000, 65_535), (1_000_000, 1_000)])
def test_no_product_leaves_the_small_integers(bore_um, step_fl, full, span):
    values = {**VALUES, "bore_um": bore_um, "step_fl": step_fl, "pressure_full_pa": full, "pressure_span_raw": span}
    detector = Occlusion(values)
    assert 0 <= detector._low <= detector._high < 1 << 14  # times a reading of 16 bits
    for i in range(400):
        detector.feed(min(65_000, 2_600 + 170 * i), i * 1_500, i * PART_S)
