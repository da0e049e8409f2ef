"""The guard of edges on the chip: a step generator that makes pulses by itself is cut off at the pad, at once.

What runs away is the program in the PIO's memory: without its two instructions that wait it makes 14,000 pulses/s.
"""

from __future__ import annotations

import pytest

from tests.chip.pump import ChipPump

PIO0_INSTR_MEM = 0x50200048
SM0_ADDR, SM0_INSTR = 0x502000D4, 0x502000D8
WAITS = (0, 3)  # of the stepper: PULL, and JMP X-- on itself
NOTHING = 0xBF42  # MOV Y, Y [31]


def run_away(pump: ChipPump) -> None:
    """From the place where the machine counts down, its program waits for nothing any more."""
    mcu = pump.core.mcu
    origin = (mcu.read_uint32(SM0_ADDR) & 31) - WAITS[1]
    assert 0 <= origin <= 26
    for place in WAITS:
        mcu.write_uint32(PIO0_INSTR_MEM + 4 * (origin + place), NOTHING)
    mcu.write_uint32(SM0_INSTR, origin)  # JMP


@pytest.mark.parametrize("erasing", [False, True])
def test_a_step_generator_that_runs_away_makes_three_more_edges(pump_uf2, erasing):
    pump = ChipPump(pump_uf2)
    pump.load()
    pump.order("prepare_rate rate_nl_per_day=1300000")
    pump.run(40)
    if erasing:  # interrupts off: the pad is released all the same
        pump.core.mcu.write_uint32(0xE000E180, 0xFFFFFFFF)
    steps, enables, began = len(pump.steps), len(pump.enables), pump.now_us
    run_away(pump)
    pump.run_us(5_000)
    if erasing:
        pump.run_us(500_000)
        assert 2 <= len(pump.steps) - steps <= 4
        return
    off_us = began + pump.off_after_us(began)
    assert began < off_us <= began + 1_000
    assert 2 <= len([at for at, _ in pump.steps[steps:] if at <= off_us * 1_000]) <= 4
    pump.run_us(500_000)
    # The program still runs away when the machine is halted and begins anew: with the motor off, and cut off again.
    assert len(pump.steps) - steps <= 40 and len(pump.enables) == enables + 1
    assert "alarm=step_count" in pump.transcript
    assert pump.ask("status", signed=False)["state"] == "fault"
