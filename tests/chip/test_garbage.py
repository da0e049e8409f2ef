"""Garbage on the chip's serial line while it delivers: no step comes late, nothing is carried out, the link is back.

A million bytes with --thorough (`make proof`), a part of them else. `make garbage` sends more, on the core `direct`.
"""

from __future__ import annotations

import random

import pytest

from tests.chip.branch import branch
from tests.chip.pump import ChipPump
from tools.measure_garbage import garbage

RATE = "prepare_rate rate_nl_per_day=400000000"  # 20 steps/s
PACKET_BYTES = 64
RUNS, PACKETS = 40, 391  # a million bytes


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_million_bytes_of_garbage_delay_no_step(stopped: ChipPump, part, seed):
    if seed in part(range(RUNS), 1):
        branch(lambda: delivered_through(stopped, seed))


def delivered_through(pump: ChipPump, seed: int) -> None:
    pump.order("prepare_limits max_rate_nl_per_day=2000000000")
    pump.order(RATE)
    pump.run(1)
    boots, since = pump.core.boots, len(pump.steps)
    before = pump.ask("lifetime", signed=False)
    rng = random.Random(seed)
    pieces = garbage(rng, pump.next_id, False)
    waiting = b""
    sent = 0
    for _ in range(PACKETS):
        while len(waiting) < PACKET_BYTES:
            waiting += next(pieces)
        taken = pump.core.send(waiting[:PACKET_BYTES])
        waiting = waiting[taken:]
        sent += taken
        pump.core.run_until(pump.now_us + rng.choice((500, 2_000, 20_000)))
        pump.core.output.clear()
    assert sent > 15_000
    pump.core.send(b"\n")
    pump.core.run_until(pump.now_us + 1_000_000)
    pump.core.output.clear()
    times = [t for t, _ in pump.steps[since:]]
    gaps = {b - a for a, b in zip(times, times[1:], strict=False)}
    assert len(times) > 30 and max(gaps) - min(gaps) <= 2_000, sorted(gaps)  # nanoseconds: rounding to microseconds
    assert pump.core.boots == boots
    assert pump.ask("status", signed=False)["state"] == "infusing"
    after = pump.ask("lifetime", signed=False)
    assert after["orders"] == before["orders"]
    assert int(pump.ask("info", signed=False)["wrong"]) > 10
    pump.ask("stop", signed=False)
    pump.ledger_agrees()
