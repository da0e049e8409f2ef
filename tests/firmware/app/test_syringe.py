"""What a syringe may be loaded with: a bore of its size, and no volume per step but the geometry's or the measured one.

The measured one takes the configure key, and is within a tenth of the geometry's.
"""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest

from haipump import syringes
from haipump_fw import syringe
from tests.firmware.app.bench import Pump, Refused, pump
from tests.firmware.app.test_locked import OPERATOR, locked, refusal, say
from tests.firmware.app.test_refusals import has

GEOMETRY_FL = {bore_um: syringes.step_fl(bore_um, 2_000, 3_200) for bore_um in (14_500, 21_700)}


def load(step_fl: int, bore_um: int = 14_500, syringe_nl: int = 10_000_000) -> str:
    return f"prepare_syringe reservoir_nl={syringe_nl} step_fl={step_fl} bore_um={bore_um} syringe_nl={syringe_nl}"


def off(bore_um: int, part: int) -> tuple[int, int]:
    """The bounds by exact arithmetic; the device's pi is 85 in 10^9 too large."""
    exact = syringes.area_um2(bore_um) * 2_000 / 3_200
    return tuple(int(exact * (1 + Fraction(sign, part))) for sign in (-1, 1))  # type: ignore[return-value]


def commit(of: Pump, text: str, **key: bytes) -> dict[str, Any]:
    return say(of, f"commit token={say(of, text, **key)['token']}", **key)


@pytest.mark.requirement("R5")
def test_the_operators_key_does_not_set_what_a_step_is_worth():
    """A fifth of the true volume per step would push 1.291 mL, and count 0.25 mL, for a bolus of 0.25 mL."""
    of = locked()
    say(of, "ack")
    for step_fl in (20_000_000, GEOMETRY_FL[14_500] * 90 // 100, GEOMETRY_FL[14_500] * 1_001 // 1_000):
        answer = refusal(say, of, load(step_fl), key=OPERATOR)
        assert (answer["code"], answer["field"]) == ("range", "step_fl")
        low, high = off(14_500, 10_000)
        assert abs(answer["minimum"] - low) <= 20 and abs(answer["maximum"] - high) <= 20
    assert of.ask("calibration")["bore_um"] == 21_700, "nothing was loaded"
    commit(of, load(GEOMETRY_FL[14_500]), key=OPERATOR)
    assert of.ask("calibration")["step_fl"] == GEOMETRY_FL[14_500]


@pytest.mark.requirement("R5")
def test_a_measured_calibration_is_kept_with_the_operators_key_for_its_bore_alone():
    of = locked()
    say(of, "ack")
    measured = GEOMETRY_FL[21_700] * 97 // 100
    commit(of, f"prepare_calibration step_fl={measured}")
    commit(of, load(measured, 21_700, 30_000_000), key=OPERATOR)
    assert of.ask("calibration")["step_fl"] == measured
    for step_fl, bore_um in ((measured + 1, 21_700), (measured, 21_800), (measured - 1, 21_700)):
        assert refusal(say, of, load(step_fl, bore_um, 30_000_000), key=OPERATOR)["field"] == "step_fl"
    commit(of, load(GEOMETRY_FL[14_500]), key=OPERATOR)  # another one gives it up ...
    assert refusal(say, of, load(measured, 21_700, 30_000_000), key=OPERATOR)["field"] == "step_fl"
    commit(of, load(GEOMETRY_FL[21_700], 21_700, 30_000_000), key=OPERATOR)  # ... and geometry always goes


@pytest.mark.requirement("R5")
def test_no_calibration_is_more_than_a_tenth_off_its_geometry():
    of = pump()
    low, high = off(21_700, 10)
    for step_fl in (low - 200, high + 200, 20_000_000):
        answer = of.no(f"prepare_calibration step_fl={step_fl}")
        assert has(answer, code="range", field="step_fl")
        assert abs(answer["minimum"] - low) <= 200 and abs(answer["maximum"] - high) <= 200
    for text in ("lead_um=4000", "steps_per_turn=6400", "bore_um=14500"):  # and the volume per step as it was
        assert has(of.no("prepare_calibration " + text), code="range", field="step_fl")
    for step_fl in (low + 200, high - 200):
        of.order(f"prepare_calibration step_fl={step_fl}")
    of.order(f"prepare_calibration lead_um=4000 step_fl={2 * GEOMETRY_FL[21_700]}")
    assert of.ask("calibration")["lead_um"] == 4_000


def test_a_stored_calibration_that_no_one_could_have_measured_is_not_kept():
    """As an earlier firmware took it: neither a new syringe nor another setting of the calibration carries it on."""
    of = pump()
    assert of.app.storage.save({"step_fl": 20_000_000}, of.app.window_us)
    of.run(1)
    of.power_cycle()
    assert of.ask("calibration")["step_fl"] == 20_000_000
    assert has(of.no(load(20_000_000, 21_700, 30_000_000)), code="range", field="step_fl")
    assert has(of.no("prepare_calibration backlash_steps=40"), code="range", field="step_fl")
    of.order(load(GEOMETRY_FL[21_700], 21_700, 30_000_000))
    of.order("prepare_calibration backlash_steps=40")


@pytest.mark.parametrize("syringe_nl", [one.size_nl for one in syringes.SYRINGES] + [2_500_000, 50_000_000])
def test_a_bore_is_one_that_the_size_can_have(syringe_nl):
    of = pump()
    low, high = syringes.bore_range_um(syringe_nl)
    for bore_um in (low - 1, high + 1):
        answer = of.no(load(syringes.step_fl(bore_um, 2_000, 3_200), bore_um, syringe_nl))
        assert has(answer, code="range", field="bore_um", minimum=low, maximum=high)
    for bore_um in (low, high):
        of.order(load(syringes.step_fl(bore_um, 2_000, 3_200), bore_um, syringe_nl))


def test_the_device_has_the_hosts_bores():
    for size_nl in [one.size_nl for one in syringes.SYRINGES]:
        assert syringe.bore_um(size_nl) == syringes.bore_range_um(size_nl)
    draw = random.Random(1)
    for size_nl in [1_000, 100_000_000] + [draw.randint(100_000, 100_000_000) for _ in range(1_000)]:
        for here, there in zip(syringe.bore_um(size_nl), syringes.bore_range_um(size_nl), strict=True):
            assert there - 1 <= here <= there, size_nl  # the device's pi is a little large


def test_no_syringe_has_no_bore_to_be_checked():
    of = pump()
    of.order(load(GEOMETRY_FL[21_700], 21_700, 0))
    with pytest.raises(Refused, match="none_loaded"):
        of.order("prepare_rate rate_nl_per_day=1300000")
