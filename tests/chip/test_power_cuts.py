"""The power goes inside of a flash command: of a change of settings, of a basal's journal, of an order for a bolus.

A dry run counts the commands; then each of them is cut once, in every way that leaves something else behind. The power
comes back, and the pump must be stopped, with settings old or new and totals that hold the truth.
"""

import contextlib
from collections.abc import Callable

import pytest

from tests.chip.branch import branch
from tests.chip.pump import STEP_FL, ChipPump

MODES = ("before", "prefix", "bits", "done")  # nothing of it, two kinds of torn, all of it but nobody was told
OLD, NEW = "2000000000", "1500000000"


def settings(pump: ChipPump) -> None:
    pump.order(f"prepare_limits max_rate_nl_per_day={NEW}")
    pump.run(1)


def basal(pump: ChipPump) -> None:
    """A step every 15 s, and a commit of the totals every 10 minutes."""
    pump.order("prepare_rate rate_nl_per_day=1300000")
    pump.run(700)


def bolus(pump: ChipPump) -> None:
    """Its intent, its steps, its result."""
    pump.order("prepare_bolus volume_nl=3000")
    pump.run(4)


def cut(pump: ChipPump, path: Callable[[ChipPump], None], operation: int, mode: str) -> None:
    """Cut that command, let the power come back after a second, and look at everything that must hold."""
    pump.core.flash_port.cut_after(operation, mode)
    with contextlib.suppress(AssertionError):  # no answer
        path(pump)
    assert not pump.core.powered, "the command did not come"
    made = len(pump.steps)
    pump.run(1)
    pump.core.power(True)
    story = pump.start()
    assert (story["state"], story["reset"]) == ("stopped", "power")
    limits = pump.ask("limits", signed=False)
    assert limits["max_rate_nl_per_day"] in (OLD, NEW) and limits["max_bolus_nl"] == "5000000"
    totals = pump.ask("totals", signed=False)
    truth_nl = made * STEP_FL // 1_000_000
    least_nl, most_nl = int(totals["stepped_min_nl"]), int(totals["stepped_max_nl"])
    assert least_nl <= truth_nl <= most_nl, (totals, truth_nl)
    assert most_nl - least_nl <= 100_000, "wider than a commit's interval"
    pump.run(3)
    assert len(pump.steps) == made and not pump.core.driver.enabled, "motion after the cut"
    assert "storage" not in pump.ask("status", signed=False)["alarm"]
    pump.order("prepare_limits max_rate_nl_per_day=1600000000")  # and it can be written again
    pump.core.check()


@pytest.mark.parametrize("path", [settings, basal, bolus])
def test_each_flash_command_of_a_path_is_cut_once(stopped, part, path):
    def counted() -> int:
        before = stopped.core.flash_port.operations
        path(stopped)
        return stopped.core.flash_port.operations - before

    operations = branch(counted)
    assert operations >= 2
    for number, mode in part([(n, mode) for mode in MODES for n in range(1, operations + 1)], 3):
        branch(lambda number=number, mode=mode: cut(stopped, path, number, mode))
