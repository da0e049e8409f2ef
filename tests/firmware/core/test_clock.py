"""Uptime over wraps of the tick counter, tick arithmetic, and deadlines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.core.clock import LEFT_MAX_US, TICKS_MASK, Deadline, Uptime, ticks_add, ticks_diff

PERIOD = TICKS_MASK + 1
TICK = st.integers(0, TICKS_MASK)
NEAR = st.integers(-(1 << 29), (1 << 29) - 1)


@pytest.mark.requirement("R9")
@given(TICK, NEAR)
def test_differences_and_sums_of_ticks_are_inverse_over_the_wrap(tick, us):
    later = (tick + us) % PERIOD
    assert ticks_diff(later, tick) == us
    assert ticks_add(tick, us) == later


@pytest.mark.requirement("A17", "R9")
@given(TICK, st.lists(st.integers(0, PERIOD - 1), max_size=20))
def test_uptime_is_the_exact_sum_of_what_passed(start, passed):
    now = [start]
    clock = Uptime(lambda: now[0] % PERIOD)
    for us in passed:
        now[0] += us
        assert clock.update() == now[0] % PERIOD == clock.tick
        assert clock.now_us() == now[0] - start
        assert 0 <= clock.us < 1_000_000


class At:
    """A clock that stands."""

    def __init__(self, us):
        self.s, self.us = divmod(us, 1_000_000)


@pytest.mark.requirement("A17")
@given(st.integers(0, 10**14), st.integers(-(10**10), 10**10))
def test_a_deadline_passes_at_its_microsecond(now_us, ahead_us):
    deadline = Deadline()
    assert not deadline.passed(At(now_us)) and deadline.left_us(At(now_us)) == LEFT_MAX_US
    deadline.set(max(0, now_us + ahead_us))
    ahead_us = max(ahead_us, -now_us)
    assert deadline.passed(At(now_us)) == (ahead_us <= 0)
    left = deadline.left_us(At(now_us))
    if ahead_us < 499_000_000:
        assert left == max(0, ahead_us)
    else:
        assert min(ahead_us, 499_000_000) <= left <= max(ahead_us, LEFT_MAX_US)
    deadline.clear()
    assert not deadline.passed(At(1 << 60))


def test_at_a_whole_second_and_at_the_longest_time_told():
    now = [0]
    clock = Uptime(lambda: now[0])
    now[0] = 1_000_000
    clock.update()
    assert (clock.s, clock.us) == (1, 0)
    deadline = Deadline()
    deadline.set(500_900_000)
    assert deadline.left_us(At(0)) == LEFT_MAX_US


@pytest.mark.parametrize(("now_us", "ms"), [(0, 1), (999_999, 1), (1_500_000, 86_400_000), (1, 999)])
def test_a_deadline_some_milliseconds_from_now(now_us, ms):
    deadline = Deadline()
    deadline.after(At(now_us), ms)
    assert deadline.passed(At(now_us + ms * 1000))
    assert not deadline.passed(At(now_us + ms * 1000 - 1))
