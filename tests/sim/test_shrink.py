"""A bug is planted in the firmware: its life is reduced to the one fault that shows it, and the command that is printed
lives it again. And a life that is lived twice tells whether it was the same."""

from __future__ import annotations

import contextlib
import itertools
import shlex
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from haipump_emulator.campaign import farm, live
from haipump_emulator.cli import app
from haipump_emulator.cli import campaign as command
from haipump_fw import recovery
from haipump_fw.commands import Commands
from haipump_fw.ports import RESET_WATCHDOG

SEED, HOURS = 34, 4.0
LOCKED = 1  # this one is restarted at its begin, to get its key


@contextlib.contextmanager
def here(workers: int, dask: str | None) -> Iterator[Executor]:
    """In this process, which has the planted bug."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def restarts_with_current(monkeypatch):
    """A pump that the watchdog has reset switches its motor on. What is planted is in this process alone: so its lives
    are lived here, by a thread."""
    power_on = recovery.power_on

    def planted(pump, *more):
        power_on(pump, *more)
        if pump.reset_cause == RESET_WATCHDOG:
            pump.ports.motor.enable(True)

    monkeypatch.setattr(recovery, "power_on", planted)
    monkeypatch.setattr(command, "_executor", here)


def test_a_planted_bug_is_reduced_to_its_fault_and_lived_again(restarts_with_current):
    words = ["campaign", "--seed", str(SEED), "--hours", str(HOURS), "--each", str(HOURS)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1, done.output
    broke, fault, again, *_ = done.stdout.splitlines()
    assert broke.startswith(f"motor_on in seed {SEED} at ")
    assert fault.strip().startswith("3: clock_stall ms=")
    assert again.startswith("  again: haipump-emu campaign ") and again.endswith("--only 3")
    replayed = CliRunner().invoke(app, shlex.split(again.partition("haipump-emu ")[2]))
    assert replayed.exit_code == 1
    assert f"motor_on in seed {SEED} at " in replayed.output
    same = next(line for line in replayed.output.splitlines() if "again:" in line)
    assert same == again, "a life with some of its faults is lived again with those"
    none = CliRunner().invoke(app, [*words, "--only", "none"])
    assert none.exit_code == 0, none.output


def test_what_needs_no_fault_is_reduced_to_none(monkeypatch):
    power_on = recovery.power_on

    def planted(pump, *more):
        power_on(pump, *more)
        pump.ports.motor.enable(True)

    monkeypatch.setattr(recovery, "power_on", planted)
    monkeypatch.setattr(command, "_executor", here)
    life = live(LOCKED, HOURS)
    assert (life.broken, farm.shrink(life)) == ("motor_on", ())
    assert farm.replay(life, ()).endswith("--only none")
    shown = CliRunner().invoke(app, farm.replay(life, ()).split()[1:])
    assert shown.exit_code == 1 and f"again: {farm.replay(life, ())}" in shown.output


def test_a_life_lived_twice_is_the_same():
    life = farm.one(SEED, HOURS, "direct", twice=True)
    assert life.held, life.text
    assert life.judged.pop("digest") == 1
    assert life == live(SEED, HOURS)


def test_a_life_that_differs_the_second_time_is_told(monkeypatch):
    number = itertools.count()
    monkeypatch.setattr(Commands, "nonce", lambda self: f"{next(number):x}")
    life = farm.one(SEED, HOURS, "direct", twice=True)
    assert life.broken == "digest" and life.digest in life.text
