"""What docs/occlusion.md says of time and volume to an alarm, and that ordinary days have none."""

from __future__ import annotations

import pytest

from tools.measure_occlusion import Seen, day, occlude


@pytest.mark.parametrize(
    ("size_ml", "compliance", "rate", "minutes"),
    [(10, 1.5, 1_300_000, 30), (10, 5.0, 1_300_000, 80), (1, 0.1, 1_300_000, 8), (30, 5.0, 5_000_000, 25)],
)
@pytest.mark.parametrize("pulse_pa", [0.0, 2_700.0])
def test_a_closed_line_is_seen_by_slope_within(size_ml, compliance, rate, minutes, pulse_pa):
    for seed in range(3):
        seen = occlude(size_ml, compliance, rate, seed, pulse_pa=pulse_pa)
        assert isinstance(seen, Seen) and seen.by == "slope", seen
        assert seen.minutes < minutes


@pytest.mark.parametrize("pulse_pa", [0.0, 2_700.0])
def test_ordinary_days_do_not_alarm(pulse_pa):
    for seed in (*range(5), 597, 694, 855):  # the last three did, when looks kept step with the pulse
        assert day(seed, pulse_pa=pulse_pa) == []
