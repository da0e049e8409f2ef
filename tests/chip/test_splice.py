"""Changes of plan at speed on the chip: the interval never jumps, whatever Python does meanwhile."""

from __future__ import annotations

from itertools import pairwise

from tests.chip.branch import branch
from tests.chip.pump import SMALL_STEP_FL, ChipPump

CHANGES_S = 1.0
LEAP_STEPS_PER_S = 300  # at which the motor starts and stops
STAIR_STEPS_PER_S = 40


def nl_per_day(steps_per_s: int) -> int:
    return steps_per_s * SMALL_STEP_FL * 86_400 // 1_000_000


def nl(steps: int) -> int:
    return steps * SMALL_STEP_FL // 1_000_000


def course(pump: ChipPump) -> tuple[list[int], int]:
    """Intervals in ns, and the steps that the motor missed."""
    pump.order("prepare_limits max_rate_nl_per_day=100000000000")
    pump.order(f"prepare_rate rate_nl_per_day={nl_per_day(1_200)}")
    pump.run(CHANGES_S)
    pump.order(f"prepare_bolus volume_nl={nl(1_200)} duration_s=4")
    pump.run(CHANGES_S)
    pump.order("cancel_bolus")
    pump.order(f"prepare_rate rate_nl_per_day={nl_per_day(900)}")
    pump.run(CHANGES_S)
    pump.order("pause")
    pump.run(0.1)
    pump.order("resume")
    pump.run(CHANGES_S)
    steps = [t_ns for t_ns, _ in pump.steps]
    pump.ask("stop", signed=False)
    assert "steps_late" not in pump.transcript
    return [later - earlier for earlier, later in pairwise(steps)], pump.core.plant.truth(pump.now_us).missed_steps


def test_changes_at_speed_cost_no_gap(small):
    gaps, missed = branch(lambda: course(small))
    assert missed == 0 and len(gaps) > 3_000
    speeds = [1e9 / gap for gap in gaps]
    assert max(speeds) > 1_450
    for before, after in pairwise(speeds):
        assert abs(after - before) <= LEAP_STEPS_PER_S + STAIR_STEPS_PER_S
