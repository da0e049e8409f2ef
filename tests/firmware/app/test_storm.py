"""Garbage, and hosts that connect again and again: delivery goes on as if nothing had been said, and nothing grows."""

from __future__ import annotations

import gc
import random
import sys
import tracemalloc

import pytest

from haipump_emulator.direct.ports import RECEIVE_BYTES
from tests.firmware.app.bench import SECOND, Pump, frame, pump
from tools import measure_garbage
from tools.measure_garbage import Watched, live

CONNECTS = 1_000
GREETING = (b"hello\n", b"info\n", b"status\n", b"alarms\n", b"totals\n", b"telemetry period_ms=1000\n")


@pytest.mark.parametrize("seed", range(2))
def test_a_megabyte_of_garbage_changes_nothing(seed):
    """Even seeds: an open pump; odd ones: a locked one, which gets whole lines with a wrong code too."""
    assert live(seed) == []


def test_the_garbage_is_looked_at(monkeypatch):
    """Most of it reaches the parser, and a pump that does not check the code is found out."""
    seen = []
    plain = Watched.judged
    monkeypatch.setattr(Watched, "judged", lambda self: seen.append(self) or plain(self))
    assert live(1, 200_000) == []
    assert seen[0].app.session.wrong > 500 and seen[0].app.session.forged > 30
    monkeypatch.setattr("haipump_fw.proto.session.Session._check_mac", lambda self, request: None)
    assert "changed" in live(1, 200_000)[0]


def test_the_garbage_has_no_stop_in_it():
    pieces = measure_garbage.garbage(random.Random(5), 100, False)
    text = b"".join(next(pieces) for _ in range(5_000))
    assert b"!" not in text and b"stop" not in text.lower()


def connect(of: Pump, rng: random.Random) -> None:
    """A host opens the port, asks what hosts ask, in some order, and is gone, often in the middle of a line."""
    of.core.output.clear()
    of.core.host_reads = rng.random() < 0.8  # some never read
    said = b"\n" + b"".join(rng.sample(GREETING, rng.randrange(1, len(GREETING))))
    if rng.random() < 0.3:
        said += frame(rng.randrange(1, 10**6), "pause")[: rng.randrange(1, 20)]
    said = said[:RECEIVE_BYTES]
    while said:
        said = said[of.core.send(said) :]
        of.core.run_until(of.now + rng.randrange(1_000, 60_000))


@pytest.mark.requirement("A20")
def test_a_thousand_connections_disturb_no_step_and_take_no_memory():
    rng = random.Random(1)
    of, silent = pump(), pump()
    for each in (of, silent):
        each.order("prepare_rate rate_nl_per_day=48000000")
    for _ in range(100):
        connect(of, rng)
    sys._clear_type_cache()  # CPython keeps names by which attributes were looked up
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for _ in range(CONNECTS):
        connect(of, rng)
    sys._clear_type_cache()
    gc.collect()
    grown = tracemalloc.take_snapshot().compare_to(before, "filename")
    tracemalloc.stop()
    firmware = sum(row.size_diff for row in grown if "/haipump_fw/" in row.traceback[0].filename)
    # A line that stays would be 50 bytes each time.
    assert firmware < 4 * CONNECTS, f"{firmware} bytes more than before"
    of.core.host_reads = True
    of.core.send(b"\n")
    of.core.run_until(of.now + 2 * SECOND)
    of.core.output.clear()
    of._rest = ""
    of.ask("telemetry period_ms=0")
    assert of.status()["state"] == "infusing"
    silent.core.run_until(of.now)
    assert of.step_times == silent.step_times
    of.act("pause")
