"""Our half of the comparison with rp2040js: its guests run on our chip as the bench expects them to."""

import dataclasses
import time

import pytest

from haipump_emulator.chip.uf2 import read_uf2
from tools.compare_rp2040js import cases, chip, runs


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_a_guest_does_its_work(image, case):
    """As much of it as the side does that does least; the slow steps need a pulse or two to be right."""
    work = cases.therapy(25) if case.name in ("slow", "fortnight") else case.work[cases.SHIPPED]
    run = cases.Run(**chip.run(runs.flash(read_uf2(image), case.guest, work), 60, time.perf_counter()))
    cases.check_time(work, run)
    cases.check(work, run)
    assert run.pulses == work.pulses
    assert run.boot_s > 0 and run.wall_s > 0


def test_a_guest_that_breaks_is_told_with_what_it_wrote(image):
    work = dataclasses.replace(cases.therapy(25), constants={"TICK_MS": 10})
    with pytest.raises(SystemExit, match="not done after 1 simulated s; the guest wrote: .*no attribute .*PULSES"):
        chip.run(runs.flash(read_uf2(image), "stepping", work), 1, time.perf_counter())
