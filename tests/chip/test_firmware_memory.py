"""Memory on the chip: no pass of the loop takes any while it delivers, and enough is free all the time.

The firmware is the one that is shipped; only main.py is another: its loop can hold the heap locked, in which anything
that would allocate raises MemoryError.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from haipump_fw.device import shipped
from tests.chip.pump import TOP_NL_PER_DAY, ChipPump, uf2_with

FREE_BYTES_MIN = 100_000
LATE_S = 1_100_000  # 12.7 days: an uptime in milliseconds would be a big integer by now
MS_WRAP_S = (1 << 30) // 1_000 - 25  # ... or becomes one in the middle of the test
TICKS_WRAP_S = (1 << 30) / 1_000_000  # of the microsecond counter, 17.9 minutes

# What is free after a collection; nothing else is different.
COUNTER = """
    from haipump_fw.answers import Answers
    Answers.read_alarms = lambda self, fields: [("free", gc.collect() or gc.mem_free())]
    app.run()
"""

# `alarms index=N` lets N passes go by, in which the check of each minute is made, and the rest runs locked until the
# next line.
LOOP = """
    import micropython
    from haipump_fw.answers import Answers

    told = [0, 0]  # passes before the lock is on (0: it stays off), passes under lock

    def alarms(self, fields):
        told[0] = fields.get("index", 0)
        passes, told[1] = told[1], 0
        if told[0]:
            app.refresh()
        return [("passes", passes)]

    Answers.read_alarms = alarms
    app.clock.s += UPTIME_S
    while True:
        if told[0] > 1:
            told[0] -= 1
        if told[0] != 1:
            app.woken = app.ports.wait(app.step())
            continue
        told[1] += 1
        micropython.heap_lock()
        try:
            app.woken = app.ports.wait(app.step())
        finally:
            micropython.heap_unlock()
        if app.woken:
            told[0] = 0
"""

# How many passes left the heap held, and how many did not.
HELD = """
    from haipump_fw.answers import Answers

    real, held, passes = ports.system.hold, [False], [0, 0]

    def hold(on):
        held[0] = on
        real(on)

    def alarms(self, fields):
        told = passes[:]
        passes[:] = [0, 0]
        return [("free", told[0]), ("held", told[1])]

    ports.system.hold = hold
    Answers.read_alarms = alarms
    while True:
        app.woken = app.ports.wait(app.step())
        passes[held[0]] += 1
"""


def probe(image: Path, uptime_s: int = 0, size_ml: int = 30, loop: str = LOOP) -> ChipPump:
    ships = shipped()
    main = ships.files["main.py"].decode()
    assert "    app.run()\n" in main
    pump = ChipPump(
        uf2_with(image, ships, main.replace("    app.run()\n", loop.replace("UPTIME_S", str(uptime_s)))), size_ml
    )
    pump.load()
    return pump


def locked_passes(pump: ChipPump, seconds: float) -> int:
    """How many passes went by with the heap locked. Fails with the pump's traceback when one of them allocated."""
    pump.ask("alarms index=8", signed=False)
    pump.transcript = ""
    pump.run(seconds)
    assert "Traceback" not in pump.transcript, pump.transcript
    return int(pump.ask("alarms", signed=False)["passes"])


@pytest.mark.parametrize("uptime_s", [0, MS_WRAP_S, LATE_S])
def test_basal_allocates_nothing(image, uptime_s):
    pump = probe(image, uptime_s)
    pump.order("prepare_rate rate_nl_per_day=20000000")  # a step a second
    pump.run(5)
    steps = len(pump.steps)
    assert locked_passes(pump, 45) > 30
    assert len(pump.steps) - steps > 40


DOSES = "prepare_dose max_dose_nl=1000000 soft_dose_nl=900000 lockout_s=60 window_s=3600"
DOSES_TAKE_MAX = 5_000  # bytes, of code and the window's points


def test_with_dose_limits_nothing_is_allocated_either(image):
    pump = probe(image)
    pump.order(DOSES)
    pump.order("prepare_rate rate_nl_per_day=20000000")
    pump.run(60)  # some points of the window, one in 39 s, are set
    steps = len(pump.steps)
    assert locked_passes(pump, 45) > 30
    assert len(pump.steps) - steps > 40


def test_what_dose_limits_take(image):
    pump = probe(image, loop=COUNTER)
    free = []
    for words in ("prepare_settings host_lost_s=60", DOSES):
        pump.order(words)
        pump.order("prepare_rate rate_nl_per_day=1300000")
        pump.run(20)
        free.append(int(pump.ask("alarms", signed=False)["free"]))
        pump.ask("stop", signed=False)
    assert free[0] > FREE_BYTES_MIN
    assert free[1] > free[0] - DOSES_TAKE_MAX, free


def test_the_wrap_of_the_tick_counter_allocates_nothing(image):
    pump = probe(image)
    pump.order("prepare_rate rate_nl_per_day=18000000")  # totals are written every 384 s, and not while it is locked
    pump.run(TICKS_WRAP_S - 20 - pump.now_us / 1e6)
    assert locked_passes(pump, 40) > 25  # the wrap is among them
    assert pump.now_us > TICKS_WRAP_S * 1e6
    periods = [(b - a) // 1000 for (a, _), (b, _) in zip(pump.steps[-40:], pump.steps[-39:], strict=False)]
    assert max(periods) - min(periods) <= 1


@pytest.mark.parametrize("uptime_s", [0, LATE_S])
def test_the_highest_speed_allocates_nothing(image, uptime_s):
    pump = probe(image, uptime_s, size_ml=1)
    pump.order(f"prepare_settings prime_nl_per_day={TOP_NL_PER_DAY}")
    pump.order("prepare_limits reservoir_low_nl=1000 reservoir_empty_nl=0")
    pump.order("prepare_prime volume_nl=400000 disconnected=1")
    pump.run(1.2)
    steps = len(pump.steps)
    assert locked_passes(pump, 2) > 70  # totals are written each 80 uL, and not while it is locked
    assert len(pump.steps) - steps > 3_900


def test_a_pass_that_allocates_is_found(image):
    pump = probe(image)
    pump.order("prepare_rate rate_nl_per_day=20000000")
    pump.ask("telemetry period_ms=1000", signed=False)
    with pytest.raises(AssertionError, match="Traceback"):
        locked_passes(pump, 5)


def test_enough_is_free_and_it_does_not_get_less(image):
    pump = probe(image, loop=COUNTER)
    free = []

    def look() -> None:
        free.append(int(pump.ask("alarms", signed=False)["free"]))

    pump.order("prepare_rate rate_nl_per_day=1300000")
    pump.run(20)
    look()
    pump.order("prepare_bolus volume_nl=100000")
    look()
    pump.run(40)
    pump.order("prepare_bolus volume_nl=1000000 duration_s=3600 extended=1 override=1")
    for _ in range(12):
        pump.ask("pause")
        pump.ask("resume")
    pump.ask("telemetry period_ms=100", signed=False)
    pump.run(5)
    look()
    pump.ask("telemetry period_ms=0", signed=False)
    for _ in range(3):
        pump.run(400)
        look()
    assert min(free) > FREE_BYTES_MIN, free
    assert free[-1] >= free[-3] - 200, free


@pytest.mark.parametrize("telemetry_ms", [0, 300_000])
def test_nearly_all_passes_hold_the_heap_and_what_takes_memory_lets_go(image, telemetry_ms):
    pump = probe(image, loop=HELD)
    pump.ask(f"telemetry period_ms={telemetry_ms}", signed=False)
    pump.order("prepare_rate rate_nl_per_day=1300000 override=1")
    pump.run(60)
    pump.ask("alarms", signed=False)
    pump.run(900)  # with a check of each minute, and a commit
    passes = pump.ask("alarms", signed=False)
    assert int(passes["held"]) > 90 and 15 <= int(passes["free"]) < 60, passes
    assert pump.transcript.count(" tele ") == (4 if telemetry_ms else 0)
    assert pump.ask("stop")["state"] == "stopped"
    assert "Traceback" not in pump.transcript
