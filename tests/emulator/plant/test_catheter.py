"""What becomes of the catheter, and by which signs the two pumps and the bolus path tell it."""

import math

import pytest

from haipump_emulator.plant import Plant
from haipump_emulator.plant.catheter import CONDITIONS, PATENT, Catheter, Feel, Flows, Place, Signs, flows, put_on
from haipump_emulator.plant.implant import ImplantedPump
from haipump_emulator.plant.surroundings import REFERENCE
from tests.emulator.plant.rig import BASAL_US, params, running, train

LIVER, OTHER, POCKET = (Place.LIVER,), (Place.OTHER_ORGAN,), (Place.POCKET,)
# condition: flow of the constant-flow pump over its label, share that reaches the liver, flush, blood, tracer
EXPECTED = {
    "patent": (1.00, 1.00, Signs(Feel.FREE, True, LIVER)),
    "narrowed": (1.00, 1.00, Signs(Feel.STIFF, False, LIVER)),
    "partly_blocked": (0.70, 0.70, Signs(Feel.BLOCKED, False, LIVER)),
    "kinked": (0.32, 0.32, Signs(Feel.BLOCKED, False, LIVER)),
    "blocked": (0.00, 0.00, Signs(Feel.BLOCKED, False, ())),
    "clotted": (0.00, 0.00, Signs(Feel.BLOCKED, False, ())),
    "leaking": (1.00, 0.49, Signs(Feel.FREE, True, (Place.POCKET, Place.LIVER))),
    "broken": (1.13, 0.00, Signs(Feel.FREE, False, POCKET)),
    "side_branch": (1.00, 0.00, Signs(Feel.FREE, True, OTHER)),
    "dislodged": (1.13, 0.00, Signs(Feel.FREE, False, POCKET)),
}


def test_every_condition_has_its_expected_signs():
    assert set(EXPECTED) == set(CONDITIONS)


@pytest.mark.parametrize("name", CONDITIONS)
def test_signs_at_the_constant_flow_pump(name):
    pump = ImplantedPump()
    pump.set_catheter(0, CONDITIONS[name])
    flow, arrives, expected = EXPECTED[name]
    truth = pump.truth(86_400_000_000)
    assert truth.pumped_nl / 1_300_000 == pytest.approx(flow, abs=0.01)
    assert truth.arrived_nl / 1_300_000 == pytest.approx(arrives, abs=0.01)
    assert pump.flush(86_400_000_000, 100.0).signs == expected


@pytest.mark.parametrize("name", CONDITIONS)
def test_flows_balance_and_none_goes_backwards(name):
    for drive_pa in (-20_000.0, 5_000.0, 86_000.0):
        flow = flows(CONDITIONS[name], drive_pa, 5_700.0, REFERENCE.artery_pa)
        assert flow.pump == pytest.approx(flow.tip + flow.leak)
        assert min(flow.pump, flow.tip, flow.leak) >= 0


def test_a_leak_that_is_easier_than_the_artery_takes_everything():
    flow = flows(Catheter("cracked", leak_pa_s_per_nl=100.0), 86_000.0, 5_700.0, REFERENCE.artery_pa)
    assert flow.tip == 0
    assert flow.leak == pytest.approx((86_000 - 1_000) / 5_800)


def test_nothing_drives_nothing_flows():
    assert flows(PATENT, 0.0, 5_700.0, REFERENCE.artery_pa) == Flows(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "occluded", "leaking", "artery_pa"),
    [
        ("patent", False, False, 12_399.0),
        ("kinked", True, False, 12_399.0),
        ("blocked", True, False, 12_399.0),
        ("leaking", False, True, 12_399.0),
        ("dislodged", False, False, 1_000.0),
    ],
)
def test_the_programmable_pumps_line_takes_the_same_conditions(name, occluded, leaking, artery_pa):
    plant = Plant()
    put_on(plant, 0, CONDITIONS["leaking"], 12_399.0)
    put_on(plant, 1_000, CONDITIONS[name], 12_399.0)
    truth = plant.truth(1_000)
    assert (truth.occluded, truth.leaking) == (occluded, leaking)
    assert plant._artery_pa == artery_pa


@pytest.mark.parametrize(("name", "astray"), [("patent", False), ("side_branch", True), ("dislodged", True)])
def test_what_goes_through_a_tip_out_of_place_is_counted_apart(name, astray):
    """Three hours in the artery, three in this condition, half an hour in the artery."""
    plant = running(params())
    train(plant, 0, 700, BASAL_US)
    begin_us = 700 * BASAL_US
    put_on(plant, begin_us, CONDITIONS[name], 13_000.0)
    before = plant.truth(begin_us)
    assert before.elsewhere_nl == 0.0
    end_us = train(plant, begin_us, 700, BASAL_US)
    put_on(plant, end_us, CONDITIONS["patent"], 13_000.0)
    after = plant.truth(end_us)
    gone = after.arrived_nl - before.arrived_nl
    assert gone > 100_000 and after.elsewhere_nl == (pytest.approx(gone) if astray else 0.0)
    last_us = train(plant, end_us, 100, BASAL_US)
    assert plant.truth(last_us).elsewhere_nl == after.elsewhere_nl


def test_there_is_no_pulse_in_the_tissue():
    plant = Plant()
    quarter_us = round(1e6 / 1.2 / 4)
    assert plant.truth(quarter_us).artery_pa == pytest.approx(13_000 + 2_700, abs=1)
    put_on(plant, quarter_us, CONDITIONS["dislodged"], 13_000.0)
    assert plant.truth(quarter_us).artery_pa == 1_000.0
    put_on(plant, quarter_us, CONDITIONS["side_branch"], 13_000.0)
    assert plant.truth(quarter_us).artery_pa == pytest.approx(13_000 + 2_700, abs=1)


@pytest.mark.parametrize("bad", [{"resistance_pa_s_per_nl": 0.0}, {"leak_pa_s_per_nl": math.inf}])
def test_senseless_catheters_are_refused(bad):
    with pytest.raises(ValueError, match="above 0"):
        Catheter("bad", **bad)
