"""The memory of the dose limit against a list of all steps: a window never holds more than it says."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from haipump_fw.core import options
from haipump_fw.core.window import EVER, POINTS, Window

HOUR = 3_600


def window(**more: int) -> Window:
    return Window({**options.defaults(), "max_dose_nl": 1_000_000, "window_s": HOUR, **more})


def held(steps: list[tuple[int, int]], now_s: int, span_s: int) -> int:
    """Steps after now - span."""
    return sum(count for at_s, count in steps if at_s > now_s - span_s)


# (seconds until the next look, steps made in the last of them)
STEPS = st.lists(st.tuples(st.integers(1, 900), st.integers(0, 400)), min_size=1, max_size=300)


@pytest.mark.requirement("REQ-X-06")
@given(STEPS, st.integers(0, 2))
@example([(1, 100), *[(40, 1)] * 200], 0)
def test_a_window_never_counts_too_little(looks, late_s):
    memory = window()
    steps: list[tuple[int, int]] = []
    now_s = made = 0
    for wait_s, count in looks:
        now_s += wait_s
        made += count
        steps.append((now_s, count))
        whole, sure = memory.steps(now_s, made), memory.steps(now_s, made, False)
        assert sure <= held(steps, now_s, HOUR) <= whole
        # what lies between two points counts as a whole: the gap, and the wait for the look that set a point
        assert whole <= held(steps, now_s, HOUR + memory.gap_s + 900 + late_s)
        memory.note(now_s + late_s, made)


def test_points_reach_over_the_window_however_it_flows():
    memory = window()
    made = 0
    for now_s in range(0, 10 * HOUR, 7):
        made += 7
        memory.note(now_s + 1, made)
        assert min(now_s + 7, HOUR) <= memory.steps(now_s, made) <= HOUR + 2 * memory.gap_s
    assert memory.past(made)[0][0] > EVER, "every place is in use"
    assert len(memory.past(made)) == POINTS


def test_what_has_left_the_window_is_forgotten():
    memory = window()
    memory.note(10, 0)
    memory.note(100, 500)
    assert [memory.steps(now_s, 500) for now_s in (100, HOUR + 99, HOUR + 100)] == [500, 500, 0]
    assert memory.past(520) == [(EVER, 520), (100, 20)]
    assert memory.steps(EVER, 520) == 520, "the search has an end, whenever it is asked for"


def test_what_may_have_been_under_way_is_not_sure():
    memory = window()
    memory.note(100, 500)
    assert [memory.steps(now_s, 510, False) for now_s in (HOUR + 95, HOUR + 96)] == [10, 0]


def test_a_limit_below_one_step_allows_none():
    memory = window(max_dose_nl=100, step_fl=231_147_588)
    assert memory.cap(50, 0) == 0


@pytest.mark.requirement("REQ-X-06", "OP-R5.2(5)/R5.3(7)")
def test_steps_go_as_far_as_the_limit_and_no_further():
    memory = window(max_dose_nl=231_147, step_fl=231_147_588)  # 999.997 steps
    assert memory.most == 999
    assert memory.cap(50, 0) == 999
    memory.note(50, 400)
    assert memory.cap(51, 410) == 999
    memory.proven = True
    # The first point is from ever: what came after it is not known to lie in the window.
    assert memory.cap(51, 410) == 410 + 999 + 2 - 10
    memory.proven = False
    memory.note(HOUR, 900)
    assert memory.cap(HOUR + 50, 900) == 900 + 999 - 500, "400 are over"
    memory.configure({**options.defaults(), "max_dose_nl": 100})
    assert memory.cap(HOUR + 50, 900) < 900
    memory.configure(options.defaults())
    assert memory.cap(HOUR + 50, 900) == -1


@pytest.mark.parametrize("proven", [False, True])
def test_what_was_too_much_before_leaves_nothing(proven):
    memory = window(max_dose_nl=231_147, step_fl=231_147_588)
    memory.fill([(EVER, 0), (-100, 2_000), (20, 0)], 0)
    memory.proven = proven
    assert memory.cap(30, 0) == 0


def test_new_settings_void_what_they_touch():
    memory = window()
    for change, known, proven in (
        ({"soft_dose_nl": 5}, True, True),
        ({"max_dose_nl": 2_000_000}, True, False),
        ({"kvo_nl_per_day": 7}, True, False),
        ({"window_s": 7_200}, False, False),
        ({"step_fl": 1_000_000}, False, False),
    ):
        memory = window()
        memory.known = memory.proven = True
        memory.configure({**options.defaults(), "max_dose_nl": 1_000_000, "window_s": HOUR, **change})
        assert (memory.known, memory.proven) == (known, proven), change


def test_the_past_can_be_filled_in():
    memory = window()
    memory.note(10, 3)
    memory.fill([(EVER, 1_000), (-500, 30), (-100, 7), (20, 0)], 3)
    assert memory.known
    assert memory.past(5) == [(EVER, 1_039), (-500, 39), (-100, 9), (20, 2)]
    assert memory.steps(HOUR - 501, 5) == 1_039
    assert memory.steps(HOUR - 500, 5) == 39
    memory.note(memory.gap_s + 20, 8)
    assert memory.past(9)[-2:] == [(20, 6), (memory.gap_s + 20, 1)]


def test_a_place_that_the_past_does_not_need_holds_nothing():
    memory = window()
    memory.note(10, 3)
    memory.fill([(20, 0)], 3)
    assert memory.past(5) == [(EVER, 2), (20, 2)]
