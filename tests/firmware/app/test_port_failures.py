"""Whatever the pump asks of its board can fail: no memory for the call, or the hardware does not answer.

Each call of a port in a few stories fails once, and from there on for good. An exception ends as main.py ends it:
outputs safe, reset. Then: no motion until somebody orders it, totals whose range has the truth, orders closed, and a
pump that works again as soon as its board does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from haipump_emulator.direct import DirectCore, ports
from haipump_fw import ports as names
from haipump_fw.ports import contract
from tests.firmware.app.bench import STEP_FL, Pump, Refused
from tests.firmware.app.test_power_cuts import expect_sane

RATE = "prepare_rate rate_nl_per_day=%d override=1"
CLASSES = ("Clock", "Steps", "Motor", "Sensors", "Inputs", "Panel", "Console", "Flash", "Watchdog", "System")
TRIALS = 30  # of each story and kind in every run
FAILURES = (MemoryError, OSError)
STEP_NL = STEP_FL / 1_000_000


class Failing:
    """Counts the calls while the firmware runs. Call number `at` raises; when it is `lasting`, so do all later ones."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.at = -1
        self.lasting = False
        self.kind: type[Exception] = MemoryError
        self.armed = 0
        for name in CLASSES:
            for method, stub in vars(getattr(contract, name)).items():
                if callable(stub) and not method.startswith("_") and method != "reset":
                    self._wrap(patch, getattr(ports, name), method)

    def _wrap(self, patch: pytest.MonkeyPatch, owner: type, method: str) -> None:
        inner = getattr(owner, method)

        def call(*args: Any) -> Any:
            if self.armed:
                self.calls += 1
                if self.calls == self.at or (self.lasting and 0 <= self.at < self.calls):
                    raise self.kind(f"{owner.__name__}.{method}")
            return inner(*args)

        patch.setattr(owner, method, call)


class MainCore(DirectCore):
    """The direct core with what main.py does about an exception."""

    def __init__(self, failing: Failing) -> None:
        self._failing = failing
        super().__init__(seed=1)

    def _pass(self) -> None:
        self._guarded(super()._pass)

    def _boot(self) -> None:
        self._guarded(super()._boot)

    def _guarded(self, run: Callable[[], None]) -> None:
        self._failing.armed += 1
        try:
            run()
        except FAILURES:
            self._reset(names.RESET_FAULT)
        finally:
            self._failing.armed -= 1

    def _go_down(self) -> None:
        armed, self._failing.armed = self._failing.armed, 0
        super()._go_down()
        self._failing.armed = armed


class PumpThatFalls(Pump):
    """Forgets the line that a reset cuts in two."""

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        super().on_event(t_us, name, fields)
        if name == "reset":
            whole, end, _ = self.core.output.rpartition(b"\n")
            self.core.output[:] = whole + end
            self._rest = self._rest if end else ""


def infuse(of: Pump) -> None:
    of.order(RATE % 240_000_000)
    of.run(12)
    of.order("prepare_bolus volume_nl=30000")
    of.run(3)
    of.act("pause")
    of.act("resume")
    of.run(20)
    of.act("stop")


def be_refused(of: Pump) -> None:
    of.order(RATE % 1_300_000)
    of.run(40)
    of.core.plant.capture(of.now, False)
    of.run(2)
    of.no("prepare_bolus volume_nl=1000")
    of.core.plant.capture(of.now, True)
    of.run(2)
    of.act("ack")


def change(of: Pump) -> None:
    of.order("prepare_limits pause_max_s=90")
    of.order("prepare_prime volume_nl=20000 disconnected=1")
    of.run(5)
    of.act("selftest")
    of.ask("log seq=1 count=2")


STORIES = {story.__name__: story for story in (infuse, be_refused, change)}


def tell(of: Pump, story: Callable[[Pump], None]) -> None:
    """The story, as far as it comes."""
    with contextlib.suppress(AssertionError, Refused):  # no answer, or another than the story expects: the board fails
        story(of)


@pytest.fixture
def failing(monkeypatch) -> Failing:
    return Failing(monkeypatch)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for_good"])
@pytest.mark.parametrize("story", STORIES)
def test_every_call_of_a_port_can_fail(story, lasting, failing, part):
    first, calls = begin(failing)
    story_of = STORIES[story]
    story_of(first)
    count = failing.calls - calls
    assert count > 400
    for number in part(range(1, count), TRIALS):
        one_trial(failing, story_of, number, lasting)


def begin(failing: Failing) -> tuple[Pump, int]:
    failing.at, failing.calls = -1, 0
    of = PumpThatFalls(core=MainCore(failing))
    of.run(0.1)
    of.load()
    return of, failing.calls


def one_trial(failing: Failing, story: Callable[[Pump], None], number: int, lasting: bool) -> None:
    of, calls = begin(failing)
    failing.at, failing.lasting = calls + number, lasting
    failing.kind = FAILURES[number % 2]
    tell(of, story)
    if lasting:
        of.run(1)  # what it tried to do is over: either it was reset, or it has stopped by itself
        steps = of.steps
        of.run(20)
        assert of.steps == steps and not of.enabled, f"call {number}: it moves with a board that fails"
    failing.at = -1
    of.run(5)
    of.core.power(False)
    of.run(1)
    of.core.plant.capture(of.now, True)
    of.wake()
    expect_sane(of, 0 if story is change else of.net * STEP_NL, cuts=2)  # what primes is no dose
    of.act("ack")
    if of.state() == "alarm":
        of.act("ack")
    of.order(RATE % 240_000_000)
    of.run(10)
    assert of.enabled, f"call {number}: it does not work any more"
