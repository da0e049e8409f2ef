"""Totals: rounding, recalibration, a new syringe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.core.ledger import Ledger
from haipump_fw.core.units import QUANTA_PER_NL

STEP_FL = st.integers(100_000, 20_000_000_000)


@pytest.mark.requirement("GIP-1.5.5/6")
@given(STEP_FL, st.integers(0, 100_000_000), st.integers(-(10**6), 10**6), st.integers(0, 100_000_000))
def test_the_reservoir_has_fallen_to_a_volume_at_its_step_and_not_before(step_fl, reservoir_nl, net, left_nl):
    ledger = Ledger(step_fl)
    ledger.new_syringe(step_fl, reservoir_nl, net, 0)
    steps = ledger.steps_until(left_nl)
    if reservoir_nl >= left_nl:
        assert ledger.reservoir_nl(steps) <= left_nl
        if steps > net:
            assert ledger.reservoir_nl(steps - 1) >= left_nl
    assert ledger.reservoir_nl(net) == reservoir_nl
    assert ledger.reservoir_nl(net + 10**9) == 0 or step_fl < 200_000


@given(STEP_FL, STEP_FL, st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 50))
def test_another_calibration_changes_nothing_that_was_counted(old, new, before, after, unseen):
    ledger = Ledger(old)
    ledger.load(100_000_000, 0)
    ledger.ended(5 * QUANTA_PER_NL, before)
    stepped, confirmed, reservoir = ledger.stepped_nl(0), ledger.confirmed_nl(-unseen), ledger.reservoir_nl(before)
    ledger.recalibrate(new, before, unseen)
    assert (ledger.stepped_nl(0), ledger.confirmed_nl(0), ledger.reservoir_nl(before)) == (
        stepped,
        confirmed,
        reservoir,
    )
    assert ledger.commanded_nl(QUANTA_PER_NL) == 6
    ledger.ended(0, after)
    assert ledger.stepped_nl(0) == stepped + after * new // 1_000_000
    assert ledger.confirmed_nl(0) == confirmed + after * new // 1_000_000


def test_a_new_syringe_starts_totals_anew_and_life_goes_on():
    ledger = Ledger(1_000_000)
    ledger.load(1_000, 0)
    ledger.ended(300 * QUANTA_PER_NL, 300)
    ledger.primed_nl, ledger.withdrawn_nl, ledger.unsure_nl = 1, 2, 3
    assert ledger.life_total_nl(4) == ledger.stepped_nl(4) == 304
    assert ledger.life_at_loading(20) == (300, 280)
    ledger.new_syringe(2_000_000, 500, 300, 20)
    assert (ledger.life_commanded_nl, ledger.life_confirmed_nl, ledger.life_unsure_nl) == (300, 280, 3)
    assert (ledger.stepped_nl(0), ledger.commanded_nl(0), ledger.confirmed_nl(0), ledger.unsure_nl) == (0, 0, 0, 0)
    assert (ledger.primed_nl, ledger.withdrawn_nl, ledger.orders) == (0, 0, 1)
    assert ledger.life_total_nl(10) == 320
    assert ledger.reservoir_nl(310) == 480


def test_at_first_nothing_is_unsure_and_nothing_off():
    ledger = Ledger(1_000_000)
    assert (ledger.unsure_nl, ledger.off_nl()) == (0, 0)
    ledger.ended(QUANTA_PER_NL - 1, 0)
    assert ledger.off_nl() == 0


def test_a_pump_that_never_ran_has_nothing_in_its_books():
    ledger = Ledger(1_000_000)
    assert (ledger.reservoir_base_nl, ledger.net_base, ledger.lost_steps, ledger.orders) == (0, 0, 0, 0)
    assert (ledger.life_total_nl(0), ledger.life_at_loading(0)) == (0, (0, 0))
    assert (ledger.unsure_nl, ledger.life_unsure_nl, ledger.commanded_q) == (0, 0, 0)
    ledger.recalibrate(2_000_000, 7, 0)
    assert (ledger.reservoir_nl(7), ledger.confirmed_nl(0), ledger.stepped_nl(0)) == (0, 0, 0)


def test_what_was_never_confirmed_makes_no_life_shorter_than_none():
    ledger = Ledger(1_000_000)
    assert ledger.life_at_loading(5) == (0, 0)
    ledger.restore({**COMMIT, "stepped_nl": 1}, -3, (2, 3))
    assert ledger.commanded_nl(0) == 0
    ledger.reopen()
    assert (ledger.life_commanded_nl, ledger.life_confirmed_nl) == (2, 0)
    ledger.restore(COMMIT, 0, (2, 3))
    ledger.reopen()
    assert (ledger.life_commanded_nl, ledger.life_confirmed_nl) == (0, 0)


COMMIT = {"stepped_nl": 700, "confirmed_nl": 690, "reservoir_nl": 5_000, "unsure_nl": 9, "life_nl": 2_700}


@pytest.mark.requirement("A7")
def test_totals_are_restored_from_a_commit():
    ledger = Ledger(1_000_000)
    ledger.restore(COMMIT, 3, (2_010, 1_990))
    assert (ledger.stepped_nl(0), ledger.commanded_nl(0), ledger.confirmed_nl(0)) == (700, 703, 690)
    assert (ledger.life_total_nl(0), ledger.life_at_loading(5)) == (2_700, (2_713, 2_675))
    assert (ledger.reservoir_nl(0), ledger.unsure_nl, ledger.off_nl()) == (5_000, 9, 3)


def test_a_loading_that_was_interrupted_counts_its_syringe_once():
    ledger = Ledger(1_000_000)
    ledger.restore(COMMIT, 3, (2_713, 2_680))  # the record of the new syringe has the old one's totals in it
    ledger.reopen()
    assert ledger.life_at_loading(0) == (2_713, 2_680)
    ledger.new_syringe(1_000_000, 500, 0, 0)
    assert ledger.life_at_loading(0) == (2_713, 2_680)
