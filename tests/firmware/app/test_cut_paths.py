"""The power goes in every flash operation of the paths that `test_power_cuts` leaves out: keys and the lock, handling,
an alarm and its acknowledgement, a programme, a rate that ends in KVO, and commits by time."""

from __future__ import annotations

import base64
import hashlib

import pytest

from haipump_emulator.faults.flash import CUT_MODES
from haipump_fw.core.ledger import COMMIT_NL
from haipump_fw.ports import IN_SERVICE
from tests.firmware.app.bench import STEP_FL, Pump
from tests.firmware.app.test_power_cuts import Gone, cut, prepared

STEP_NL = STEP_FL / 1_000_000
KEY = bytes(range(1, 33))
TEXT = b"haipump-programme 1\nperiod_s 60\nrepeats 2\nat_end stop\n0 rate 24000000\n10 bolus 5000 10\n"


def keys(of: Pump) -> None:
    of.act("set_key key=" + KEY.hex())
    of.act("lock")


def handling(of: Pump) -> None:
    of.order("prepare_jog steps=-900 disconnected=1")
    of.run(3)
    of.order("prepare_prime volume_nl=20000 disconnected=1")
    of.run(5)


def alarm(of: Pump) -> None:
    of.order("prepare_rate rate_nl_per_day=240000000")
    of.run(10)
    of.core.plant.driver_fault(of.now, True)
    of.run(1)
    of.core.plant.driver_fault(of.now, False)
    of.run(1)
    of.act("silence")
    of.act("ack")


def programme(of: Pump) -> None:
    digest = hashlib.sha256(TEXT).hexdigest()
    of.act(f"part_begin what=programme size={len(TEXT)} sha256={digest}")
    of.act("part offset=0 data=" + base64.b64encode(TEXT).decode())
    of.order(f"prepare_programme sha256={digest} override=1")
    of.run(130)


def to_kvo(of: Pump) -> None:
    of.order("prepare_rate rate_nl_per_day=240000000 vtbi_nl=20000 at_end=kvo")
    of.run(15)
    of.act("stop")
    of.act("ack")


def basal(of: Pump) -> None:
    """Commits by time."""
    of.order("prepare_rate rate_nl_per_day=1300000")
    of.run(1_800)


JOBS = {job.__name__: job for job in (keys, handling, alarm, programme, to_kvo, basal)}


def ready(name: str) -> Pump:
    of = prepared()
    if name == "keys":
        of.core.press(IN_SERVICE, True)
        of.power_cycle()
        of.core.press(IN_SERVICE, False)
        of.run(1)
    return of


def do(of: Pump, name: str) -> None:
    """The job, as far as the power lasts."""
    run = of.run

    def run_while_powered(seconds: float) -> None:
        run(seconds)
        if not of.core.powered:
            raise Gone

    of.run = run_while_powered  # type: ignore[method-assign]
    try:
        JOBS[name](of)
        of.run(2)
    except (Gone, AssertionError):
        if of.core.powered:
            raise
    finally:
        del of.run


def operations(name: str) -> int:
    of = ready(name)
    before = of.core.flash_port.operations
    do(of, name)
    return of.core.flash_port.operations - before


@pytest.mark.parametrize("mode", CUT_MODES)
@pytest.mark.parametrize("name", JOBS)
def test_in_every_flash_operation(name, mode, part):
    if mode not in part(CUT_MODES, 2):
        return
    count = operations(name)
    assert count > 4, "the job has something to write"
    for number in range(1, count + 1):
        of = ready(name)
        before = of.ask("totals")["stepped_nl"]
        at = of.net
        of.core.flash_port.cut_after(number, mode)
        do(of, name)
        of.core.plant.driver_fault(of.now, False)
        cut(of)
        expect_sane(of, name, before, of.net - at)
        if name == "keys":
            expect_lock(of)


def expect_sane(of: Pump, name: str, before_nl: int, steps: int) -> None:
    """Stopped, nothing moves, nothing is open, the range holds what was really pushed."""
    assert of.app.machine.state in ("stopped", "alarm") and not of.enabled and of.app.storage.problem is None
    totals = of.ask("totals")
    low, high = totals["stepped_min_nl"], totals["stepped_max_nl"]
    pushed_nl = before_nl + (0 if name == "handling" else steps * STEP_NL)
    assert low - STEP_NL <= pushed_nl <= high + STEP_NL and high - low <= COMMIT_NL
    moved = of.steps
    of.run(30)
    assert of.steps == moved
    of.flush()
    assert not {r["order"] for r in of.journal_of("intent")} - {r["order"] for r in of.journal_of("result")}


def expect_lock(of: Pump) -> None:
    """Old or new: no key, the key, the key and locked; a locked pump wants the key, and no other one opens it."""
    settings = of.app.storage.settings
    assert settings.key in (None, KEY)
    assert not settings.values["locked"] or settings.key == KEY
    refused = of.no("prepare_limits max_bolus_nl=1000") if settings.values["locked"] else {"code": "locked"}
    assert refused["code"] == "locked"
