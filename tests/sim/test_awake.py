"""Is the campaign awake? Firmware that is broken in one place each is caught, and by the invariant that should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from haipump_emulator.campaign import live
from haipump_fw.app import App
from haipump_fw.core import ledger
from haipump_fw.delivery import Delivery

HOURS = 12.0
SEEDS = range(1, 7)


def caught() -> set[str]:
    """The invariants that broke, over some seeds; the first that breaks is enough."""
    for seed in SEEDS:
        life = live(seed, HOURS)
        if not life.held:
            return {life.broken}
    return set()


def too_fast(original: Any) -> Callable[..., Any]:
    def start(self: Any, order: Any, *profiles: Any) -> Any:
        result = original(self, order, *profiles)
        self.planner.step_q -= self.planner.step_q // 50
        return result

    return start


def goes_on(original: Any) -> Callable[..., Any]:
    def pause(self: Any) -> Any:
        return None

    return pause


def forgets(original: Any) -> Callable[..., Any]:
    def restore(self: Any, values: Any, *more: Any) -> Any:
        original(self, values, *more)
        self.stepped_base_nl = max(0, self.stepped_base_nl - 50_000)

    return restore


def runs_again(original: Any) -> Callable[..., Any]:
    def power_on(self: Any, *more: Any) -> Any:
        original(self, *more)
        if self.storage.boot > 1:
            self.ports.motor.enable(True)

    return power_on


def raises(original: Any) -> Callable[..., Any]:
    def tell(self: Any) -> Any:
        raise KeyError("an alarm without a name")

    return tell


@pytest.mark.parametrize(
    ("owner", "name", "mutant", "by"),
    [
        (Delivery, "start", too_fast, "over_delivery"),
        (Delivery, "pause", goes_on, "over_delivery"),
        (ledger.Ledger, "restore", forgets, "totals"),
        (App, "_power_on", runs_again, "motor_on"),
        (App, "_tell_alarms", raises, "exception"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_firmware_is_caught(monkeypatch, owner, name, mutant, by):
    monkeypatch.setattr(owner, name, mutant(getattr(owner, name)))
    assert caught() == {by}
