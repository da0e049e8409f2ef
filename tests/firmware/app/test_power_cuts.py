"""The power goes at any moment, and in every flash operation of orders, commits, settings and start.

After each cut: the pump stands, says why, moves only when told to; the range of its totals contains what the plant was
really told, and is at most one commit interval wide; open orders are closed; no id runs twice; settings are old or new.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from haipump_emulator.faults.flash import CUT_MODES
from haipump_fw.core.ledger import COMMIT_NL
from tests.firmware.app.bench import STEP_FL, Pump, frame, pump

RATE = "prepare_rate rate_nl_per_day=%d override=1"
RESET = 5  # messages.RESULTS
STEP_NL = STEP_FL / 1_000_000
STORMS, STORM_STARTS = 100, 1_000
START_OPERATIONS = 20  # of the flash: what a start says, closes and erases; 10 as a rule, 17 were seen in a storm


def cut(of: Pump, off_s: float = 1.0) -> None:
    """Whatever has happened to the power: off now, and on again."""
    of.core.power(False)
    of.core.run_until(of.now + round(off_s * 1_000_000))
    of.wake()


def expect_sane(of: Pump, delivered_nl: float, cuts: int = 1) -> None:
    """`delivered_nl`: true commanded volume of the plant since the syringe was loaded (handling excepted)."""
    steps = of.steps
    assert of.state() == "stopped" and not of.enabled
    totals = of.ask("totals")
    low, high = totals["stepped_min_nl"], totals["stepped_max_nl"]
    assert low - STEP_NL <= delivered_nl <= high + STEP_NL, (low, delivered_nl, high)
    assert high - low <= cuts * COMMIT_NL
    of.run(30)
    assert of.steps == steps
    of.flush()
    open_orders = {r["order"] for r in of.journal_of("intent")} - {r["order"] for r in of.journal_of("result")}
    assert not open_orders


def truth_nl(of: Pump, since: int = 0) -> float:
    return (of.net - since) * STEP_NL


@pytest.mark.parametrize("seed", range(60))
def test_at_a_random_moment(seed):
    rng = random.Random(seed)
    of = pump(seed=1)
    of.order(RATE % rng.choice((1_300_000, 20_000_000, 240_000_000)))
    if rng.random() < 0.6:
        of.run(rng.random() * 30)
        of.order(f"prepare_bolus volume_nl={rng.randrange(1000, 400_000)}")
    if rng.random() < 0.3:
        of.run(rng.random() * 20)
        of.order("prepare_bolus volume_nl=100000 duration_s=300 extended=1 override=1")
    if rng.random() < 0.3:
        of.run(rng.random() * 20)
        of.act("pause")
        of.run(rng.random() * 20)
    was_paused = of.app.machine.state == "paused"
    of.core.run_until(of.now + rng.randrange(900_000_000))
    cut(of)
    expect_sane(of, truth_nl(of))
    assert of.ask("info")["reset"] == "power"
    if not was_paused:
        assert of.alarm("power_lost") is not None
    results = of.journal_of("result")
    assert results and results[-1]["result"] == RESET
    of.order(RATE % 1_300_000)  # and it can be used again
    of.run(100)
    assert of.enabled


def test_the_range_stays_until_the_syringe_is_changed():
    of = pump()
    for cuts in range(1, 4):
        of.order(RATE % 240_000_000)
        of.run(50)
        cut(of)
        expect_sane(of, truth_nl(of), cuts)
        of.power_cycle()
        expect_sane(of, truth_nl(of), cuts)
    assert of.status()["reservoir_nl"] <= 30_000_000 - truth_nl(of)  # limits use the larger
    life = of.ask("lifetime")
    assert life["stepped_min_nl"] - STEP_NL <= truth_nl(of) <= life["stepped_max_nl"] + STEP_NL
    of.load()
    totals = of.ask("totals")
    assert totals["stepped_min_nl"] == totals["stepped_max_nl"] == 0
    for _ in range(2):  # the pump's own life does not forget what it can't know
        after = of.ask("lifetime")
        assert (after["stepped_min_nl"], after["stepped_max_nl"]) == (life["stepped_min_nl"], life["stepped_max_nl"])
        assert after["orders"] == 3
        of.flush()
        of.power_cycle()


def test_the_range_of_a_programme_and_of_kvo():
    for text in (RATE % 240_000_000 + " vtbi_nl=20000 at_end=kvo", "prepare_kvo"):
        of = pump()
        of.order(text)
        of.run(777)
        cut(of)
        expect_sane(of, truth_nl(of))
        assert of.alarm("power_lost") is not None


# --- every flash operation


def order_commit_stop(of: Pump) -> None:
    of.order(RATE % 240_000_000)
    of.run(45)
    of.order("prepare_bolus volume_nl=30000")
    of.run(20)
    of.act("pause")
    of.act("resume")
    of.run(10)
    of.act("stop")


def settings(of: Pump) -> None:
    for number in range(6):
        of.order(f"prepare_limits max_bolus_nl={2_000_000 + number} reservoir_low_nl={1_000_000 + number}")


def calibration(of: Pump) -> None:
    of.order(RATE % 240_000_000)
    of.run(20)
    of.act("stop")
    of.order(f"prepare_calibration step_fl={STEP_FL + 1_000_000}")
    of.act("ack")


def new_syringe(of: Pump) -> None:
    of.act("refill phase=begin")
    of.load(20_000_000)
    of.act("refill phase=end")


def start(of: Pump) -> None:
    of.core.power(False)
    of.run(1)
    of.wake()


JOBS = {job.__name__: job for job in (order_commit_stop, settings, calibration, new_syringe, start)}


class Gone(Exception):
    """The power is gone: nobody answers."""


def do(of: Pump, job: Callable[[Pump], None]) -> bool:
    """Do a job while the power may go. True when it was done to its end."""
    run = of.run

    def run_while_powered(seconds: float) -> None:
        run(seconds)
        if not of.core.powered and job is not start:
            raise Gone

    of.run = run_while_powered  # type: ignore[method-assign]
    try:
        job(of)
    except (Gone, AssertionError):
        if of.core.powered:
            raise
    finally:
        del of.run
    return of.core.powered


def operations(job: Callable[[Pump], None]) -> int:
    of = prepared()
    before = of.core.flash_port.operations
    job(of)
    of.run(2)
    return of.core.flash_port.operations - before


def prepared() -> Pump:
    """A life with a past: an order that ended, and settings in both copies."""
    of = pump()
    of.order("prepare_limits max_bolus_nl=1999999 reservoir_low_nl=999999")
    of.order(RATE % 48_000_000)
    of.run(5)
    of.act("stop")
    of.run(1)
    return of


@pytest.mark.parametrize("mode", CUT_MODES)
@pytest.mark.parametrize("name", JOBS)
def test_in_every_flash_operation(name, mode):
    job = JOBS[name]
    for number in range(1, operations(job) + 1):
        of = prepared()
        of.core.flash_port.cut_after(number, mode)
        loaded = of.net
        done = do(of, job)
        if done:
            of.run(5)
        expect_after_cut(of, name, loaded)


def expect_after_cut(of: Pump, name: str, loaded: int) -> None:
    cut(of)
    if name == "new_syringe":
        low = of.ask("calibration")
        assert low["syringe_nl"] == 30_000_000
        assert of.ask("totals")["stepped_max_nl"] <= truth_nl(of) + STEP_NL
        assert of.state() == "stopped"
        return
    expect_sane(of, truth_nl(of))
    limits = of.ask("limits")
    number = limits["max_bolus_nl"] - 2_000_000
    assert limits["reservoir_low_nl"] == 1_000_000 + number and -1 <= number < 6
    assert of.ask("calibration")["step_fl"] in (STEP_FL, STEP_FL + 1_000_000)
    assert of.app.storage.problem is None
    assert loaded <= of.net


@pytest.mark.requirement("A25")
@pytest.mark.parametrize("mode", CUT_MODES)
def test_a_bolus_sent_again_after_a_cut_never_runs_twice(mode):
    """The power goes between order and answer; the host sends the very same lines again."""
    for number in range(1, 12):
        of = prepared()
        before = of.net
        token = of.act("prepare_bolus volume_nl=20000 duration_s=4")["token"]
        order = of.next_id
        line = frame(order, "commit token=" + token)
        of.core.flash_port.cut_after(number, mode)
        of.send(line)
        of.core.run_until(of.now + 2_000_000)
        cut(of)
        answer = of.answer(line)
        assert "code=stale" in answer or "code=token" in answer
        of.run(10)
        assert of.net - before <= 20_000 / STEP_NL + 1
        assert of.state() == "stopped"
        assert of.next_id > order
        intents = [r for r in of.journal_of("intent") if r["order"] == order]
        assert len(intents) <= 1


def test_reboots_one_after_the_other_cost_no_range():
    """Brown-outs 10 ms to 5 s apart: nothing accumulates, the journal stays readable."""
    rng = random.Random(3)
    of = pump()
    of.order(RATE % 1_300_000)
    of.run(100)
    for _ in range(40):
        of.core.power(False)
        of.core.run_until(of.now + 10_000)
        of.core.power(True)
        of.core.run_until(of.now + rng.randrange(10_000, 5_000_000))
    of.core.output.clear()
    cut(of)
    expect_sane(of, truth_nl(of))
    assert of.ask("lifetime")["boots"] == 42


def restart(of: Pump, rng: random.Random, longest_us: int) -> None:
    """Off for 10 ms; one start in five meets a second cut in one of its flash operations."""
    of.core.power(False)
    of.core.run_until(of.now + 10_000)
    port = of.core.flash_port
    if rng.random() < 0.2:
        port.power_on()  # not again in `power`, which would forget the cut
        power_on, port.power_on = port.power_on, lambda: None  # type: ignore[method-assign]
        port.cut_after(rng.randrange(1, 9), rng.choice(CUT_MODES))
        of.core.power(True)
        port.power_on = power_on  # type: ignore[method-assign]
    else:
        of.core.power(True)
    of.core.run_until(of.now + rng.randrange(10_000, longest_us))


def test_a_storm_of_a_thousand_starts(part):
    """Brown-outs, orders among them: the range is as wide as the orders that they cut make it, and no start writes more
    than its share."""
    for seed in part(range(STORMS), 1):
        rng = random.Random(f"storm {seed}")
        of = pump()
        longest_us = (1_000_000, 100_000, 5_000_000)[seed % 3]
        orders = 0
        for number in range(STORM_STARTS):
            if number % 50 == 0:
                cut(of)
                of.act("ack")
                of.order(RATE % rng.choice((1_300_000, 240_000_000)))
                of.run(rng.random() * 50)
                orders += 1
            before = of.core.flash_port.operations
            restart(of, rng, longest_us)
            assert of.core.flash_port.operations - before <= START_OPERATIONS, f"storm {seed}"
        of.core.output.clear()
        cut(of)
        expect_sane(of, truth_nl(of), orders)
        assert of.app.storage.problem is None
        assert of.ask("lifetime")["orders"] == orders, seed


def test_depth_two_while_it_starts():
    """A cut in a delivery, and a second one in every flash operation of the start after it."""
    for mode in ("prefix", "done"):
        for number in range(1, 8):
            of = pump()
            of.order(RATE % 48_000_000)
            of.order("prepare_bolus volume_nl=50000")
            of.run(100)
            of.core.power(False)
            of.run(1)
            of.core._flash.power_on()
            port = of.core.flash_port
            power_on, port.power_on = port.power_on, lambda: None  # type: ignore[method-assign]
            port.cut_after(number, mode)
            of.core.power(True)
            of.core.run_until(of.now + 10_000_000)
            port.power_on = power_on  # type: ignore[method-assign]
            cut(of)
            expect_sane(of, truth_nl(of))
