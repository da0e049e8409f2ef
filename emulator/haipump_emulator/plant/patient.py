"""The patient: floxuridine in liver, body and tumour, and the enzymes of the liver that answer to it.

Owns: the pharmacokinetic model, the enzymes, the regional advantage worked out from them. Must not: know a pump, keep a
clock, draw random numbers.

    V_l dCl/dt = Q_L (Cs - Cl) - CL_int Cl + artery          Q_L = Q_artery + Q_portal
    V_s dCs/dt = Q_L (Cl - Cs) - CL_other Cs + vein          C_target = artery / Q_artery + Cs
    dI/dt      = k_I (C_target / C_ref - I)                  I: strain of the bile ducts, 1 at steady full dose
    dM/dt      = k_M (susceptibility * gain_M * I - M)       marker = normal * (1 + M)

All of it is linear with constant coefficients between two changes of input, so it is solved by the matrix exponential:
exact at any time, and independent of how often one looks. Concentrations are ug/L, inputs ug/min, flows L/min; times at
the interface are simulated microseconds.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from haipump_emulator.plant.surroundings import DAY_S, US_PER_S

MIN_PER_DAY = DAY_S / 60
US_PER_MIN = 60 * US_PER_S
# "400 times" is a word for this ratio; whoever shows one shows the definition beside it.
RD_TEXT = (
    "Rd: (target / systemic) when given into the artery, over (target / systemic) when given into a vein: at equal"
    " systemic exposure"
)
DOSE_RATIO_TEXT = "same-dose ratio: target when given into the artery over target when the same dose goes into a vein"
SYSTEMIC_RATIO_TEXT = "systemic ratio: systemic when given into the artery over systemic for the same dose into a vein"


def _row(default: Any, low: float, high: float, source: str) -> Any:
    return field(default=default, metadata={"min": low, "max": high, "source": source})


@dataclass(frozen=True, slots=True)
class Marker:
    """A laboratory value. `gain`: its rise at a strain of 1, as a share of `normal`; `half_life_days`: of following."""

    name: str
    unit: str
    normal: float
    gain: float
    half_life_days: float


# Invented shapes: values of a healthy adult, half-lives of the orders in textbooks, gains such that 0.12 mg/kg/day
# stays below the bounds of an adjustment and 0.2 to 0.3 crosses them, as the trials of the two doses tell.
MARKERS = (
    Marker("alp", "U/L", 80.0, 0.6, 7.0),
    Marker("ast", "U/L", 30.0, 2.0, 0.7),
    Marker("bilirubin", "mg/dL", 0.6, 0.35, 2.0),
)


@dataclass(frozen=True, slots=True)
class PatientParams:
    """One patient. `extraction` is that of one pass at the reference flows and sets the intrinsic clearance, which then
    stays; `clearance_l_per_min` is the total of the body."""

    weight_kg: float = _row(70.0, 20.0, 250.0, "reference adult")
    artery_flow_l_per_min: float = _row(0.40, 0.05, 2.0, "0.38 to 0.45: a quarter of the liver's flow")
    portal_flow_l_per_min: float = _row(1.10, 0.1, 3.0, "the rest of 1.5 L/min")
    liver_l: float = _row(1.5, 0.5, 4.0, "weight of the liver")
    systemic_l: float = _row(42.0, 5.0, 100.0, "body water; gives the published half-life of minutes")
    extraction: float = _row(0.97, 0.0, 0.995, "literature: about 97 % in the first pass, up to 95 % elsewhere")
    clearance_l_per_min: float = _row(3.33 + 1.50 * 0.97, 0.1, 50.0, "set so that the 400-fold of the literature comes")
    susceptibility: float = _row(1.0, 0.0, 10.0, "of the bile ducts; 1: the median patient")
    reference_ug_per_l: float = _row(14.6199, 1.0, 1_000.0, "target at 0.12 mg/kg/day and the defaults")
    strain_half_life_days: float = _row(14.0, 1.0, 200.0, "assumed: weeks, since two weeks of rest are not enough")

    def validate(self) -> None:
        """Raise ValueError with everything that is out of its range or contradicts, one a line."""
        found = []
        for name, item in self.__dataclass_fields__.items():
            value, low, high = getattr(self, name), item.metadata["min"], item.metadata["max"]
            if not low <= value <= high:
                found.append(f"patient.{name}: {value!r} is outside {low} to {high}")
        if not found and self.other_clearance_l_per_min < 0:
            found.append(
                f"patient.clearance_l_per_min: {self.clearance_l_per_min:g} is less than the liver alone clears,"
                f" {self.liver_flow_l_per_min * self.extraction:g}"
            )
        if found:
            raise ValueError("\n".join(found))

    @property
    def liver_flow_l_per_min(self) -> float:
        return self.artery_flow_l_per_min + self.portal_flow_l_per_min

    @property
    def intrinsic_l_per_min(self) -> float:
        """Clearance of the liver if flow were no limit: Q_L E / (1 - E)."""
        return self.liver_flow_l_per_min * self.extraction / (1 - self.extraction)

    @property
    def other_clearance_l_per_min(self) -> float:
        return self.clearance_l_per_min - self.liver_flow_l_per_min * self.extraction

    def dose_ug_per_min(self, mg_per_kg_per_day: float) -> float:
        """The rate of a dose for this weight."""
        return mg_per_kg_per_day * self.weight_kg * 1_000 / MIN_PER_DAY


@dataclass(frozen=True, slots=True)
class PatientTruth:
    """Everything at one moment: ug/L, laboratory values by name, and the exposure since the start in ug min/L."""

    t_us: int
    systemic_ug_per_l: float
    liver_ug_per_l: float
    target_ug_per_l: float
    strain: float
    markers: dict[str, float]
    systemic_ug_min_per_l: float
    target_ug_min_per_l: float


# Places in the state: concentrations, strain, exposures, then the markers, then the two inputs, which stay constant.
_LIVER, _BODY, _STRAIN, _AUC_BODY, _AUC_TARGET, _MARKER = range(6)
_ARTERY, _VEIN = _MARKER + len(MARKERS), _MARKER + len(MARKERS) + 1
_SIZE = _VEIN + 1
TAYLOR_TERMS = 18  # of exp(A), norm of A at most a half: below 1e-21


def matrix_exponential(a: np.ndarray) -> np.ndarray:
    """exp(a) by scaling and squaring: Taylor's series of a / 2^n, squared n times (Moler, Van Loan 2003, method 3)."""
    norm = float(np.abs(a).sum(axis=1).max())
    halvings = max(0, math.ceil(math.log2(norm / 0.5))) if norm > 0.5 else 0
    scaled = a / 2.0**halvings
    result = term = np.eye(len(a))
    for n in range(1, TAYLOR_TERMS + 1):
        term = term @ scaled / n
        result = result + term
    for _ in range(halvings):
        result = result @ result
    return result


@functools.lru_cache(maxsize=4_096)
def _propagator(params: PatientParams, artery_flow: float, dt_us: int) -> np.ndarray:
    """What takes the state over `dt_us` with this flow in the artery."""
    a = np.zeros((_SIZE, _SIZE))
    flow = artery_flow + params.portal_flow_l_per_min
    a[_LIVER, _LIVER] = -(flow + params.intrinsic_l_per_min) / params.liver_l
    a[_LIVER, _BODY] = flow / params.liver_l
    a[_LIVER, _ARTERY] = 1 / params.liver_l
    a[_BODY, _LIVER] = flow / params.systemic_l
    a[_BODY, _BODY] = -(flow + params.other_clearance_l_per_min) / params.systemic_l
    a[_BODY, _VEIN] = 1 / params.systemic_l
    a[_AUC_BODY, _BODY] = 1
    a[_AUC_TARGET, _BODY], a[_AUC_TARGET, _ARTERY] = 1, 1 / artery_flow
    decay = math.log(2) / (params.strain_half_life_days * MIN_PER_DAY)
    a[_STRAIN, _STRAIN] = -decay
    a[_STRAIN] += decay / params.reference_ug_per_l * a[_AUC_TARGET]
    for place, marker in enumerate(MARKERS, _MARKER):
        follow = math.log(2) / (marker.half_life_days * MIN_PER_DAY)
        a[place, place] = -follow
        a[place, _STRAIN] = follow * marker.gain * params.susceptibility
    return matrix_exponential(a * (dt_us / US_PER_MIN))


class Patient:
    """`Patient(params)`, without a drug at time 0. ValueError for bad parameters and for time going back."""

    def __init__(self, params: PatientParams | None = None) -> None:
        self.params = params = params or PatientParams()
        params.validate()
        self._state = np.zeros(_SIZE)
        self._artery_flow = params.artery_flow_l_per_min
        self._t_us = 0

    def infuse(self, t_us: int, artery_ug_per_min: float, vein_ug_per_min: float = 0.0) -> None:
        """From now on so much drug into the hepatic artery, and into the circulation elsewhere."""
        for rate in (artery_ug_per_min, vein_ug_per_min):
            if not 0 <= rate < math.inf:
                raise ValueError(f"an infusion of {rate!r} ug/min: 0 or more")
        state = self._at(t_us)
        state[_ARTERY], state[_VEIN] = artery_ug_per_min, vein_ug_per_min
        self._state, self._t_us = state, t_us

    def blood(self, t_us: int, artery_flow_l_per_min: float) -> None:
        """From now on so much blood through the hepatic artery; extraction follows from the intrinsic clearance."""
        if not 0.01 <= artery_flow_l_per_min <= 3.0:
            raise ValueError(f"an artery's flow of {artery_flow_l_per_min!r} L/min: the model holds from 0.01 to 3")
        self._state, self._t_us = self._at(t_us), t_us
        self._artery_flow = artery_flow_l_per_min

    def truth(self, t_us: int) -> PatientTruth:
        """Everything as it is at t_us. Changes nothing."""
        state = self._at(t_us)
        rises = state[_MARKER:_ARTERY]
        return PatientTruth(
            t_us=t_us,
            systemic_ug_per_l=float(state[_BODY]),
            liver_ug_per_l=float(state[_LIVER]),
            target_ug_per_l=float(state[_ARTERY] / self._artery_flow + state[_BODY]),
            strain=float(state[_STRAIN]),
            markers={m.name: m.normal * (1 + float(rise)) for m, rise in zip(MARKERS, rises, strict=True)},
            systemic_ug_min_per_l=float(state[_AUC_BODY]),
            target_ug_min_per_l=float(state[_AUC_TARGET]),
        )

    def _at(self, t_us: int) -> np.ndarray:
        if t_us < self._t_us:
            raise ValueError(f"time can't go back: {t_us} us asked for, the patient is at {self._t_us} us")
        return _propagator(self.params, self._artery_flow, t_us - self._t_us) @ self._state


@dataclass(frozen=True, slots=True)
class Advantage:
    """What giving the drug into the artery gains; see RD_TEXT, DOSE_RATIO_TEXT and SYSTEMIC_RATIO_TEXT."""

    rd: float
    dose_ratio: float
    systemic_ratio: float


STEADY_US = DAY_S * US_PER_S  # over 100 half-lives of the default patient


def advantage(params: PatientParams | None = None, mg_per_kg_per_day: float = 0.12) -> Advantage:
    """The three ratios, from the concentrations of two simulated patients after a day of constant infusion."""
    params = params or PatientParams()
    dose = params.dose_ug_per_min(mg_per_kg_per_day)
    artery, vein = Patient(params), Patient(params)
    artery.infuse(0, dose)
    vein.infuse(0, 0.0, dose)
    ia, iv = artery.truth(STEADY_US), vein.truth(STEADY_US)
    return Advantage(
        rd=(ia.target_ug_per_l / ia.systemic_ug_per_l) / (iv.target_ug_per_l / iv.systemic_ug_per_l),
        dose_ratio=ia.target_ug_per_l / iv.target_ug_per_l,
        systemic_ratio=ia.systemic_ug_per_l / iv.systemic_ug_per_l,
    )
