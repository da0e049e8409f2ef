"""The patient: the regional advantage of the literature from simulated concentrations, exactness, enzymes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_emulator.plant.patient import MARKERS, Patient, PatientParams, advantage, matrix_exponential

DAY_US = 86_400_000_000
MIN_US = 60_000_000
DEFAULT = PatientParams()
DOSE = DEFAULT.dose_ug_per_min(0.12)


def test_the_default_patient_has_the_advantage_of_the_literature():
    found = advantage()
    assert found.rd == pytest.approx(399.75, rel=0.005)
    assert found.dose_ratio == pytest.approx(11.99, rel=0.005)
    assert found.systemic_ratio == pytest.approx(0.030, rel=0.005)


# docs/therapy-models.md: total clearance L/min, artery L/min, extraction, Rd, same-dose ratio.
@pytest.mark.parametrize(
    ("clearance", "artery", "extraction", "rd", "dose_ratio"),
    [
        (2.0, 0.40, 0.95, 101, 5.1),
        (4.79, 0.40, 0.97, 400, 12.0),
        (3.0, 0.30, 0.975, 401, 10.0),
        (25.0, 0.10, 0.0, 251, 251),
        (4.0, 0.40, 0.50, 21, 10.5),
    ],
)
def test_every_row_of_the_table_of_advantages(clearance, artery, extraction, rd, dose_ratio):
    params = PatientParams(clearance_l_per_min=clearance, artery_flow_l_per_min=artery, extraction=extraction)
    found = advantage(params)
    assert found.rd == pytest.approx(1 + clearance / (artery * (1 - extraction)), rel=1e-6)
    assert found.dose_ratio == pytest.approx(clearance / artery + 1 - extraction, rel=1e-6)
    assert found.systemic_ratio == pytest.approx(1 - extraction, rel=1e-6)
    assert found.rd == pytest.approx(rd, rel=0.005)
    assert found.dose_ratio == pytest.approx(dose_ratio, rel=0.01)


def test_the_concentrations_of_the_default_patient():
    artery, vein = Patient(), Patient()
    artery.infuse(0, DOSE)
    vein.infuse(0, 0.0, DOSE)
    ia, iv = artery.truth(DAY_US), vein.truth(DAY_US)
    assert pytest.approx(5.833, abs=0.001) == DOSE
    assert ia.target_ug_per_l == pytest.approx(14.6, abs=0.05)
    assert ia.systemic_ug_per_l == pytest.approx(0.0366, abs=0.0001)
    assert iv.systemic_ug_per_l == iv.target_ug_per_l == pytest.approx(1.22, abs=0.005)


def test_it_is_gone_with_a_half_life_of_minutes():
    patient = Patient()
    patient.infuse(0, 0.0, 1_000.0)
    patient.infuse(DAY_US, 0.0)
    half = math.log(2) * 42 / 4.785  # 6.1 min, when the liver holds little
    early, late = patient.truth(DAY_US + 10 * MIN_US), patient.truth(DAY_US + round((10 + half) * MIN_US))
    assert half == pytest.approx(6.1, abs=0.05)
    assert late.systemic_ug_per_l / early.systemic_ug_per_l == pytest.approx(0.5, abs=0.01)


def test_it_solves_its_differential_equations():
    """Against the classical Runge-Kutta method with steps of 0.6 s, through a change of dose and of blood flow."""
    p, patient = DEFAULT, Patient()
    state, dt = np.zeros(2), 0.01

    def slope(x, artery, vein, flow):
        total = flow + p.portal_flow_l_per_min
        liver = (total * (x[1] - x[0]) - p.intrinsic_l_per_min * x[0] + artery) / p.liver_l
        return np.array([liver, (total * (x[0] - x[1]) - p.other_clearance_l_per_min * x[1] + vein) / p.systemic_l])

    for begin_min, inputs in ((0, (5.0, 1.0, 0.4)), (10, (0.0, 2.0, 0.2))):
        patient.infuse(begin_min * MIN_US, *inputs[:2])
        patient.blood(begin_min * MIN_US, inputs[2])
        for _ in range(round(10 / dt)):
            a = slope(state, *inputs)
            b = slope(state + dt / 2 * a, *inputs)
            c = slope(state + dt / 2 * b, *inputs)
            d = slope(state + dt * c, *inputs)
            state = state + dt / 6 * (a + 2 * b + 2 * c + d)
    truth = patient.truth(20 * MIN_US)
    assert truth.liver_ug_per_l == pytest.approx(state[0], rel=1e-6)
    assert truth.systemic_ug_per_l == pytest.approx(state[1], rel=1e-6)


@given(st.lists(st.integers(1, 20 * DAY_US), max_size=10))
def test_cutting_time_into_pieces_changes_nothing(cuts):
    whole, cut = Patient(), Patient()
    for patient in (whole, cut):
        patient.infuse(0, DOSE, 1.0)
    for t_us in sorted(cuts):
        cut.truth(t_us)
        cut.infuse(t_us, DOSE, 1.0)
    one, other = whole.truth(21 * DAY_US), cut.truth(21 * DAY_US)
    for name in ("systemic_ug_per_l", "liver_ug_per_l", "target_ug_min_per_l", "systemic_ug_min_per_l", "strain"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-7)
    assert other.markers == pytest.approx(one.markers, rel=1e-7)


def test_looking_changes_nothing():
    looked, alone = Patient(), Patient()
    for patient in (looked, alone):
        patient.infuse(0, DOSE)
    for hour in range(1, 200):
        looked.truth(hour * DAY_US // 24)
    assert looked.truth(10 * DAY_US) == alone.truth(10 * DAY_US)


def test_exposure_is_the_integral_of_the_concentration():
    patient = Patient()
    patient.infuse(0, DOSE)
    first, last = patient.truth(DAY_US), patient.truth(3 * DAY_US)
    assert last.target_ug_min_per_l - first.target_ug_min_per_l == pytest.approx(
        2 * 1_440 * first.target_ug_per_l, rel=1e-6
    )


def test_less_blood_to_the_liver_means_more_at_the_target():
    patient = Patient()
    patient.infuse(0, DOSE)
    before = patient.truth(DAY_US)
    patient.blood(DAY_US, 0.2)
    after = patient.truth(DAY_US + 60 * MIN_US)
    assert after.target_ug_per_l / before.target_ug_per_l == pytest.approx(2.0, abs=0.01)


# --- enzymes ---


def course(dose: float, **params) -> list[dict[str, float]]:
    """Laboratory values at the end of the drug and of the rest in six cycles of two and two weeks, over normal."""
    patient, found = Patient(PatientParams(**params)), []
    for half in range(12):
        patient.infuse(half * 14 * DAY_US, 0.0 if half % 2 else patient.params.dose_ug_per_min(dose))
        markers = patient.truth((half + 1) * 14 * DAY_US).markers
        found.append({m.name: markers[m.name] / m.normal for m in MARKERS})
    return found


def test_enzymes_rise_with_the_drug_and_fall_in_the_rest():
    lab = course(0.12)
    for name in ("ast", "bilirubin"):
        assert all(lab[n][name] > lab[n + 1][name] > 1 for n in range(0, 12, 2))
    alone = Patient()
    alone.infuse(0, DOSE)
    alone.infuse(14 * DAY_US, 0.0)
    assert alone.truth(200 * DAY_US).markers == pytest.approx({m.name: m.normal for m in MARKERS}, rel=0.01)


def test_the_dose_of_today_stays_below_the_bounds_and_that_of_the_old_trials_does_not():
    assert max(lab["alp"] for lab in course(0.12)) < 1.5 <= max(lab["alp"] for lab in course(0.2))
    assert max(lab["ast"] for lab in course(0.12)) < 3
    assert max(lab["alp"] for lab in course(0.12, susceptibility=2.0)) > 1.5
    assert max(lab["alp"] for lab in course(0.3, susceptibility=0.0)) == 1.0


def test_half_the_dose_brings_them_down():
    patient = Patient(PatientParams(susceptibility=2.0))
    dose = patient.params.dose_ug_per_min(0.12)
    patient.infuse(0, dose)
    high = patient.truth(28 * DAY_US).markers["alp"]
    patient.infuse(28 * DAY_US, dose / 2)
    assert patient.truth(84 * DAY_US).markers["alp"] < high


# --- refusals, mathematics ---


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Patient(PatientParams(weight_kg=5.0)), "patient.weight_kg: 5.0 is outside"),
        (lambda: Patient(PatientParams(clearance_l_per_min=1.0)), "less than the liver alone clears"),
        (lambda: Patient().infuse(0, -1.0), "0 or more"),
        (lambda: Patient().infuse(0, math.nan), "0 or more"),
        (lambda: Patient().blood(0, 0.0), "0.01 to 3"),
        (lambda: Patient().truth(-1), "can't go back"),
    ],
)
def test_bad_input_is_refused_in_words(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_the_matrix_exponential_of_known_matrices():
    assert matrix_exponential(np.zeros((3, 3))) == pytest.approx(np.eye(3))
    turned = matrix_exponential(np.array([[0.0, -2.0], [2.0, 0.0]]))
    assert turned == pytest.approx(np.array([[math.cos(2), -math.sin(2)], [math.sin(2), math.cos(2)]]), abs=1e-12)
    assert matrix_exponential(np.diag([-40.0, 0.0])) == pytest.approx(np.diag([math.exp(-40), 1.0]), abs=1e-12)
