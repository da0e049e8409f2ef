"""Pacing against a wall clock that the test moves."""

import pytest

from haipump_emulator import pacing
from haipump_emulator.pacing import FREE, Pacer
from tests.emulator.link.fake import EchoCore, FakeWall


def rig(speed=1, cost=0.0):
    wall = FakeWall()
    core = EchoCore(wall, cost=cost)
    return wall, core, Pacer(core, speed, wall_us=wall)


def live(wall, pacer, wall_us, talking=False):
    """Call `advance` for so long, waiting as it says in between."""
    end = wall.now_us + wall_us
    while wall.now_us < end:
        pacer.advance(talking)
        wall.now_us += min(max(pacer.wait_us(talking), 1), max(1, end - wall.now_us))
    pacer.advance(talking)


@pytest.mark.parametrize("speed", [0.5, 1, 60, 1000])
def test_simulated_time_follows_the_wall(speed):
    wall, core, pacer = rig(speed)
    live(wall, pacer, 2_000_000)
    assert core.now_us == pytest.approx(2_000_000 * speed, abs=1)
    assert pacer.reached() == pytest.approx(speed, rel=0.01)


def test_slices_are_short_while_somebody_talks_and_long_otherwise():
    _, _, pacer = rig()
    pacer.advance()
    assert 2_000 <= pacer.wait_us(talking=True) <= 5_000
    assert pacer.wait_us() >= 4 * pacer.wait_us(talking=True)


def test_a_sleeping_laptop_is_not_made_up_for():
    wall, core, pacer = rig(60)
    live(wall, pacer, 1_000_000)
    before = core.now_us
    wall.now_us += 3_600_000_000
    # One call may only do what a budget of wall time allows; then the hour is written off.
    core._cost = 0.01
    for _ in range(50):
        pacer.advance()
    assert core.now_us - before < 60 * 1_200_000
    behind = core.now_us
    live(wall, pacer, 1_000_000)
    assert core.now_us - behind == pytest.approx(60_000_000, rel=0.02)


def test_a_machine_that_is_too_slow_falls_behind_and_stays_responsive():
    wall, core, pacer = rig(60, cost=0.05)  # 20x is all it can do
    longest = 0
    for _ in range(200):
        before = wall.now_us
        pacer.advance()
        longest = max(longest, wall.now_us - before)
        wall.now_us += pacer.wait_us()
    assert longest <= pacing.BUDGET_US + 2 * pacing.CHUNK_WALL_US
    assert 15 < pacer.reached() <= 20
    core._cost = 0.0
    pacer.advance()
    before = core.now_us
    live(wall, pacer, 1_000_000)
    assert core.now_us - before < 60 * (1_000_000 + pacing.FALL_BEHIND_MAX_US)


def test_max_runs_free_in_bounded_slices():
    wall, _core, pacer = rig(FREE, cost=1e-5)
    for _ in range(100):
        before = wall.now_us
        pacer.advance()
        assert wall.now_us - before <= pacing.BUDGET_US + 2 * pacing.CHUNK_WALL_US
    assert pacer.wait_us() == 0
    assert pacer.reached() > 50_000


def test_max_ends_a_slice_when_somebody_wants_something():
    _, core, pacer = rig(FREE, cost=1e-5)
    pacer.interrupted = lambda: True
    pacer.advance()
    assert core.now_us == pacing.CHUNK_MIN_US


@pytest.mark.parametrize("speed", [FREE, 60])
def test_a_conversation_is_held_at_1x(speed):
    wall, core, pacer = rig(speed, cost=1e-5)
    live(wall, pacer, 100_000)
    before = core.now_us
    live(wall, pacer, 5_000_000, talking=True)
    assert core.now_us - before == pytest.approx(5_000_000, abs=20_000)
    before = core.now_us
    live(wall, pacer, 1_000_000)
    assert core.now_us - before > 50_000_000


def test_slower_than_1x_stays_slow_in_a_conversation():
    wall, core, pacer = rig(0.5)
    live(wall, pacer, 1_000_000, talking=True)
    assert core.now_us == 500_000


def test_an_answer_is_run_ahead_for_and_paid_back():
    wall, core, pacer = rig()
    live(wall, pacer, 1_000_000)
    due = core.now_us
    core.send(b"x\n")
    pacer.run_ahead(lambda: bool(core.output))
    assert core.output and wall.now_us == 2_000_000 and 0 < core.now_us - due <= pacing.LEAD_MAX_US
    live(wall, pacer, 1_000_000, talking=True)
    assert core.now_us == pytest.approx(2_000_000, abs=1)


def test_the_lead_is_bounded():
    _, core, pacer = rig()
    for _ in range(5):
        pacer.run_ahead(lambda: False)
    assert core.now_us == pacing.LEAD_MAX_US


@pytest.mark.parametrize("speed", [60, FREE])
def test_above_1x_the_lead_is_not_paid_back(speed):
    wall, core, pacer = rig(speed)
    pacer._hold(talking=True)
    for turn in range(1, 4):
        pacer.run_ahead(lambda: False)
        assert core.now_us == turn * pacing.LEAD_FAST_MAX_US
    before = core.now_us
    live(wall, pacer, 50_000, talking=True)
    assert core.now_us - before == 50_000


def test_pause_and_continue():
    wall, core, pacer = rig()
    live(wall, pacer, 500_000)
    pacer.pause()
    live(wall, pacer, 5_000_000)
    pacer.run_ahead(lambda: False)
    assert core.now_us == 500_000 and pacer.reached() == 0.0 and pacer.wait_us() >= 10_000
    pacer.resume()
    live(wall, pacer, 500_000)
    assert core.now_us == 1_000_000


@pytest.mark.parametrize("speed", [1, FREE])
def test_run_until_stops_exactly_there(speed):
    wall, core, pacer = rig(speed, cost=1e-6)
    pacer.run_until(1_234_567)
    live(wall, pacer, 3_000_000)
    assert core.now_us == 1_234_567 and pacer.paused and pacer.until_us is None
    with pytest.raises(ValueError, match="over"):
        pacer.run_until(1_000_000)
    pacer.resume()
    live(wall, pacer, 1_000_000)
    assert core.now_us > 2_000_000


def test_run_until_now_pauses_now():
    _wall, core, pacer = rig()
    pacer.run_until(0)
    assert pacer.paused and core.now_us == 0


def test_run_until_holds_while_running_ahead():
    _, core, pacer = rig()
    pacer.run_until(700)
    pacer.run_ahead(lambda: False)
    assert core.now_us == 700 and pacer.paused


def test_things_happen_at_their_simulated_time_in_order():
    wall, core, pacer = rig(FREE, cost=1e-6)
    seen = []
    pacer.at(5_000_001, lambda: seen.append(("b", core.now_us)))
    pacer.at(10, lambda: seen.append(("a", core.now_us)))
    pacer.at(5_000_001, lambda: seen.append(("c", core.now_us)))
    live(wall, pacer, 100_000)
    assert seen == [("a", 10), ("b", 5_000_001), ("c", 5_000_001)]
    pacer.at(3, lambda: seen.append(("late", 0)))
    pacer.advance()
    assert seen[-1][0] == "late"


def test_what_happens_at_a_time_may_pause():
    wall, core, pacer = rig(FREE, cost=1e-6)
    pacer.at(777, pacer.pause)
    live(wall, pacer, 100_000)
    assert core.now_us == 777


def test_a_speed_is_above_0():
    _, _, pacer = rig()
    with pytest.raises(ValueError):
        pacer.speed = 0
