"""Is the campaign awake? Firmware that is broken in one place each is caught, and by the invariant that should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from haipump_emulator.campaign import live
from haipump_fw import recovery
from haipump_fw.app import App
from haipump_fw.core import ledger, limits
from haipump_fw.core.supervision import Supervision
from haipump_fw.delivery import Delivery
from haipump_fw.dosewatch import DoseWatch
from haipump_fw.proto import session

HOURS = 12.0
SEEDS = 20


def caught(first: int) -> set[str]:
    """The invariants that broke, over some seeds; the first that breaks is enough."""
    for seed in range(first, first + SEEDS):
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
    def power_on(app: Any, *more: Any) -> Any:
        original(app, *more)
        if app.storage.boot > 1:
            app.ports.motor.enable(True)

    return power_on


def raises(original: Any) -> Callable[..., Any]:
    def tell(self: Any) -> Any:
        raise KeyError("an alarm without a name")

    return tell


def takes_all(original: Any) -> Callable[..., Any]:
    def within(self: Any, limit_q: int) -> Any:
        return None

    return within


def forgets_the_bolus(original: Any) -> Callable[..., Any]:
    def begin(self: Any, order: Any) -> Any:
        done = original(self, order)
        self.window.bolus_s -= 300
        return done

    return begin


def sees_no_programme(original: Any) -> Callable[..., Any]:
    def note(self: Any) -> Any:
        return None

    return note


def believes(original: Any) -> Callable[..., Any]:
    def check(self: Any, request: Any) -> Any:
        return None

    return check


def sees_no_shaft(original: Any) -> Callable[..., Any]:
    def shaft(self: Any, raw: int, expected: int) -> Any:
        original(self, raw, expected)

    return shaft


def cries(original: Any) -> Callable[..., Any]:
    def configure(self: Any, values: Any) -> None:
        original(self, values)
        self._stall_steps = 6

    return configure


@pytest.mark.parametrize(
    ("owner", "name", "mutant", "by", "first"),
    [
        (Delivery, "start", too_fast, "over_delivery", 1),
        (Delivery, "pause", goes_on, "over_delivery", 1),
        (ledger.Ledger, "restore", forgets, "totals", 1),
        (recovery, "power_on", runs_again, "motor_on", 1),
        (App, "_tell_alarms", raises, "exception", 1),
        (limits.Proof, "within", takes_all, "dose_limit", 8),
        (DoseWatch, "begin", forgets_the_bolus, "lockout", 15),
        (DoseWatch, "_note_bolus", sees_no_programme, "lockout", 5),
        (Supervision, "shaft", sees_no_shaft, "undetected", 230),
        (Supervision, "configure", cries, "false_alarm", 12),
        (session.Session, "_check_mac", believes, "forgery", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_firmware_is_caught(monkeypatch, owner, name, mutant, by, first):
    monkeypatch.setattr(owner, name, mutant(getattr(owner, name)))
    assert caught(first) == {by}
