"""Figures of the emulated chip with the whole firmware on it: speed, start, memory, time to stop.

Owns: the situations. Must not: judge. Everything but the speed is simulated time, and the same in every run.
"""

from __future__ import annotations

import time
from typing import Any

from haipump_emulator import cores
from haipump_emulator.plant import Plant, for_syringe
from tools.figures import Noted, NotMeasured
from tools.measure_stop import SIZE_ML, STEP_FL, TOP_NL_PER_DAY, US_PER_MS, Driver, MotorOff

US_PER_S = 1_000_000
DAY_S = 86_400
DAYS = 14
READY_MAX_US = 4 * US_PER_S
SLICE_US = 500
PHASES = 12  # moments of the loop at which a stop comes
FILL_US = 13 * US_PER_S
PARTITION_SECTORS = 64


def make(plant: Plant, **options: Any) -> Any:
    """A chip with this installation's application. Raises NotMeasured without an image."""
    try:
        return cores.choose(cores.CHIP).make(plant, seed=1, **options)
    except cores.CoreError as error:
        raise NotMeasured(str(error)) from None


def ready_us(core: Any) -> int:
    """Simulated microseconds from power-up to the answer to `hello`, asked when the pump says that it has started."""
    asked = False
    while core.now_us < READY_MAX_US:
        core.run_until(core.now_us + SLICE_US)
        if not asked and b" boot boot=" in core.output:
            core.send(b"hello\n")
            asked = True
        if b"ok protocol=" in core.output:
            return core.now_us
    raise RuntimeError("no answer to hello")


def start_blank_s() -> float:
    return ready_us(make(Plant(seed=1))) / US_PER_S


def start_full_s() -> Noted:
    """With every sector of the journal written."""
    flash = full_journal()
    core = make(Plant(seed=1), flash=flash)
    blank = sum(flash[at : at + 4096] == b"\xff" * 4096 for at in range(0, len(flash), 4096))
    return Noted(ready_us(core) / US_PER_S, f"{PARTITION_SECTORS - blank} of {PARTITION_SECTORS} sectors written")


def full_journal() -> bytes:
    """A partition after more records than the journal holds, written by the firmware's own store on this computer."""
    from haipump_emulator.faults.flash import RamFlash
    from haipump_fw.store import flashmap
    from haipump_fw.store.journal import Journal

    flash = RamFlash()
    journal = Journal(flash, flashmap.JOURNAL_FIRST, flashmap.JOURNAL_SECTORS)
    journal.open()
    boot = 1
    for number in range(flashmap.JOURNAL_SECTORS * 64 + 100):
        journal.append("state", boot, number, 1, 0, 0)
        while journal.pending:
            if not journal.flush(1_000_000):
                journal.erase_ahead(1_000_000)
    return bytes(flash.data)


def running(order: str) -> Driver:
    """A pump that carries out an order; a small syringe, so that 2000 steps/s are in the line's reach."""
    driver = Driver(make(Plant(for_syringe(SIZE_ML), seed=1)))
    ready_us(driver.core)
    driver.load(SIZE_ML, STEP_FL, 4_780)
    driver.order("prepare_limits max_rate_nl_per_day=100000000000 reservoir_low_nl=0 reservoir_empty_nl=0")
    driver.order(f"prepare_settings prime_nl_per_day={TOP_NL_PER_DAY}")
    if order:
        driver.order(order)
    return driver


def heap_kb() -> float:
    """Free after a collection, while infusing."""
    driver = running("prepare_rate rate_nl_per_day=60000")
    best = 0
    for _ in range(40):  # the interpreter collects when it needs to; the figure after one is what is free
        driver.core.run_until(driver.core.now_us + 20 * US_PER_S)
        told = driver.ask("info")
        best = max(best, int(told.split("heap_free=")[1].split()[0]))
    return best / 1000


def stop_ms(order: str, ahead: bytes, stop: bytes) -> float:
    """Worst of PHASES: from the last byte's arrival to EN released at the pad."""
    worst = 0
    for phase in range(PHASES):
        driver = running(order)
        core, off = driver.core, MotorOff()
        core.listeners.append(off)
        driver.ask("telemetry period_ms=100")
        core.run_until(core.now_us + US_PER_S // 2 + phase * 7_919)
        began = core.now_us
        for data in (ahead, stop):
            left = data
            while left:
                left = left[core.send(left) :]
                if left:
                    core.run_until(core.now_us + 100)
        began = core.now_us
        while off.at_us < 0:
            core.run_until(core.now_us + 200)
            if core.now_us > began + US_PER_S:
                raise RuntimeError("the motor is still on after a second")
        worst = max(worst, off.at_us - began)
    return worst / US_PER_MS


def fortnight_s() -> Noted:
    """Wall time of 14 days at 1.3 mL/day with a daily bolus of 0.1 mL, from one day of them."""
    core = make(Plant(seed=1))
    driver = Driver(core)
    ready_us(core)
    driver.load(30, 231_147_588, 21_700)
    driver.order("prepare_rate rate_nl_per_day=1300000")
    began, started_us = time.perf_counter(), core.now_us
    core.run_until(core.now_us + DAY_S // 2 * US_PER_S)
    driver.order("prepare_bolus volume_nl=100000")
    core.run_until(started_us + DAY_S * US_PER_S)
    took_s = time.perf_counter() - began
    core.check()
    return Noted(
        took_s * DAYS, f"one day took {took_s:.1f} s, {DAY_S / took_s:,.0f} x real time; make demo-chip runs all"
    )
