"""How long a fault may go unseen: the table of ADR 0011, at slow basal, fast basal and in a fast bolus."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from haipump_fw.ports import IN_STOP
from tests.firmware.app.bench import SECOND, Pump, pump

LOOK_US = {"slow": 15_000_000, "fast": 1_300_000, "bolus": 150_000}  # 64 steps, 15 s at most
ORDERS = {
    "slow": "prepare_rate rate_nl_per_day=1300000",
    "fast": "prepare_rate rate_nl_per_day=1000000000",  # 50 steps/s
    "bolus": "prepare_bolus volume_nl=3000000 duration_s=30",  # 433 steps/s
}
PASS_US = 20_000
AT_ONCE: dict[str, Callable[[Pump], object]] = {
    "driver_error": lambda of: of.core.plant.driver_fault(of.now, True),
    "syringe_released": lambda of: of.core.plant.capture(of.now, False),
}


def running(mode: str) -> Pump:
    of = pump()
    of.order("prepare_limits max_rate_nl_per_day=100000000000")
    of.order(ORDERS[mode])
    of.run(20 if mode == "slow" else 3)
    return of


def stopped_after_us(of: Pump, within_s: float) -> int:
    began = of.now
    of.run_to(lambda: not of.enabled, within_s, 0.001)
    return of.now - began


@pytest.mark.requirement("OP-R7.1")
@pytest.mark.parametrize("mode", ORDERS)
@pytest.mark.parametrize("alarm", AT_ONCE)
def test_edges_are_seen_at_once(mode, alarm):
    of = running(mode)
    AT_ONCE[alarm](of)
    assert stopped_after_us(of, 1) <= PASS_US


@pytest.mark.requirement("A2", "R6")
@pytest.mark.parametrize("mode", ORDERS)
def test_the_stop_button_is_seen_at_once(mode):
    of = running(mode)
    of.core.press(IN_STOP, True)
    assert stopped_after_us(of, 1) <= PASS_US


@pytest.mark.requirement("GIP-1.10.5", "GIP-1.10.1/2")
@pytest.mark.parametrize("mode", ORDERS)
@pytest.mark.parametrize("fault", ["off", "stuck"])
def test_a_pressure_that_is_too_high_or_gone_is_seen_in_two_looks(mode, fault):
    of = running(mode)
    if fault == "off":
        of.core.plant.sensor(of.now, "pressure", "off")
    else:
        of.core.plant.sensor(of.now, "pressure", "offset", 80_000)
    assert stopped_after_us(of, 60) <= 2 * LOOK_US[mode] + PASS_US


@pytest.mark.requirement("REQ-X-10", "A14")
@pytest.mark.parametrize("mode", ORDERS)
@pytest.mark.parametrize("more", [20, -20])
def test_steps_that_nobody_ordered_are_seen_in_one_look(mode, more):
    of = running(mode)
    steps = of.app.ports.steps
    real = steps.odometer
    steps.odometer = lambda: (real() + more) & ((1 << 29) - 1)
    assert stopped_after_us(of, 60) <= LOOK_US[mode] + PASS_US


@pytest.mark.requirement("A5", "GIP-1.2.3")
@pytest.mark.parametrize("mode", ["fast", "bolus"])
def test_a_shaft_that_stands_is_seen_within_128_steps(mode):
    of = running(mode)
    of.core.plant.sensor(of.now, "encoder", "stuck")
    before = of.net
    of.run_to(lambda: not of.enabled, 60, 0.001)
    assert 48 <= of.net - before <= 65 + 64 + 4


def test_a_supply_that_sags_is_seen_in_75_s():
    of = running("slow")
    of.core.plant.supply(of.now, 4_000)
    of.run(75)
    assert of.app.supply_mv < 4_200


def test_between_two_basal_steps_the_loop_wakes_no_more_than_the_watchdog_wants():
    of = running("slow")
    passes = []
    step = of.app.step
    of.app.step = lambda: (passes.append(of.now), step())[1]
    of.core.run_until(of.now + 600 * SECOND)
    assert 600 / 7.5 - 1 <= len(passes) <= 600 / 7.5 + 600 / 15 + 10
