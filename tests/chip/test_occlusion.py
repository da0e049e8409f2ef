"""The occlusion that the bar is about, with the whole firmware on the chip: 10 mL, 1.5 uL/kPa, 1.3 mL/day.

Owns: when it is told, what comes out on release, when flow is back. Must not: tell of other cells; `make occlusion`
measures them, on the detector alone.
"""

from pathlib import Path

import pytest

from tests.chip.pump import ChipPump
from tools.measure_occlusion import rig

RATE = "prepare_rate rate_nl_per_day=1300000"
SIZE_ML, COMPLIANCE = 10, 1.5
TOLD_S, BOLUS_NL, BACK_S = 30 * 60, 10_000, 10 * 60
FLOW_NL = 3_000  # of the 9,000 that are ordered in the ten minutes


def run_to(pump: ChipPump, story: str, within_s: float, slice_s: float) -> None:
    """Let time pass until the pump tells this."""
    heard, end_us = len(pump.transcript), pump.now_us + within_s * 1_000_000
    while story not in pump.transcript[heard:]:
        assert pump.now_us < end_us, f"no {story} within {within_s} s"
        pump.run(slice_s)


@pytest.mark.requirement("GIP-1.10.1/2", "GIP-1.10.5")
def test_a_closed_line_is_told_hardly_gives_a_bolus_and_flows_again(pump_uf2, part):
    for seed in part([1, 4, 8], 1):
        close_and_release(pump_uf2, seed)


def close_and_release(uf2: Path, seed: int) -> None:
    pump = ChipPump(uf2, size_ml=SIZE_ML, params=rig(SIZE_ML, COMPLIANCE), seed=seed)
    pump.load()
    pump.order("prepare_prime volume_nl=200000 disconnected=1")  # the stopper slides
    run_to(pump, "state=stopped", 120, 1)
    pump.order(RATE)
    pump.run(600 + 97 * seed)
    plant = pump.core.plant
    before = plant.truth(pump.now_us)
    totals = pump.ask("totals", signed=False)
    plant.occlude(pump.now_us)
    run_to(pump, "alarm=occlusion", TOLD_S, 5)
    run_to(pump, "state=alarm", 120, 1)
    relieved = plant.truth(pump.now_us)
    assert abs(relieved.pressure_pa - before.pressure_pa) < 6_000, "what was stored is relieved"
    after = pump.ask("totals", signed=False)
    assert int(after["commanded_nl"]) - int(totals["commanded_nl"]) > 12_000
    assert abs(int(after["stepped_nl"]) - int(totals["stepped_nl"])) < 8_000, "nothing arrived since, and it says so"
    plant.release(pump.now_us)
    pump.run(60)
    arrived_nl = plant.truth(pump.now_us).arrived_nl
    assert abs(arrived_nl - before.arrived_nl) < BOLUS_NL
    pump.order("ack")
    pump.order(RATE)
    pump.run(BACK_S)
    assert plant.truth(pump.now_us).arrived_nl - arrived_nl > FLOW_NL
    pump.core.check()
