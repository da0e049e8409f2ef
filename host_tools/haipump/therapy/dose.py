"""What goes into the reservoir: amounts, how a pharmacy draws them up, days of supply, and what is left at the end.

Owns: the formulas (drug in the reservoir = dose x weight x volume / actual flow) and their rounding. Must
not: use a float, or round anything but what a syringe's graduation rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from haipump.errors import DoseRefused
from haipump.quantities import format_rate, format_volume, rounded
from haipump.therapy import flow as flows
from haipump.therapy import reading as r
from haipump.therapy.course import CONSTANT_FLOW, PROGRAMMABLE, Course, Phase, PumpPlan
from haipump.therapy.library import Drug, Library, Limit

NL_PER_ML = 1_000_000
FULL = Fraction(100)  # percent
WINDOW_S = 86_400  # of the pump's dose limit
PRIME_NL = 500_000  # of each fill, pushed off the catheter at a pump on its line; `therapy refill --prime` changes it


def drug_in_reservoir_mg(
    dose_mg_per_kg_day: Fraction, weight_kg: Fraction, volume_nl: int, flow_nl_per_day: int
) -> Fraction:
    """mg in the reservoir = d W V / F, exact; F is the actual flow. All above 0."""
    return dose_mg_per_kg_day * weight_kg * Fraction(volume_nl, flow_nl_per_day)


def primed_nl(pump: PumpPlan) -> int:
    """What of each fill goes into priming; a pump of constant flow is not primed."""
    return PRIME_NL if pump.kind == PROGRAMMABLE else 0


def supply_days(volume_nl: int, unusable_nl: int, flow_nl_per_day: int) -> Fraction:
    """Days until only the unusable volume is left = (V - V_unusable) / F, exact; V is what is in after priming."""
    return Fraction(volume_nl - unusable_nl, flow_nl_per_day)


def residual_nl(volume_nl: int, flow_nl_per_day: int, days: int) -> int:
    """What the next refill should find = V - F days, exact; V is what is in after priming; below 0 when it ran dry."""
    return volume_nl - flow_nl_per_day * days


def fill_flow_nl_per_day(course: Course, phase: Phase, drug: Drug | None) -> int:
    """The flow with this drug in the pump, whole nL/day rounded down: a constant-flow pump runs slower with what is
    thicker than water, F / (viscosity / water's), where the library knows it for this concentration."""
    flow_nl = course.pump.flow_nl_per_day
    if course.pump.kind != CONSTANT_FLOW or drug is None or drug.thick is None or phase.concentration is None:
        return flow_nl
    return int(flow_nl / drug.thick.times_water) if phase.concentration[0] == drug.thick.at else flow_nl


@dataclass(frozen=True)
class Draw:
    """One way of drawing a volume up: `parts` of a syringe, each on one of its marks."""

    syringe_nl: int
    graduation_nl: int
    parts_nl: tuple[int, ...]
    error_percent: Fraction

    @property
    def volume_nl(self) -> int:
        return sum(self.parts_nl)

    @property
    def text(self) -> str:
        parts = " + ".join(format_volume(part) for part in self.parts_nl)
        return f"{parts} with a {format_volume(self.syringe_nl)} syringe"


@dataclass(frozen=True)
class Component:
    """One drug of a fill: `exact` by the formula, `amount` after rounding to what is drawn, in the stock's amount unit.
    `ways` are all ways of drawing it, `draw` the one that is taken."""

    drug: Drug
    exact: Fraction
    exact_nl: Fraction
    draw: Draw
    ways: tuple[Draw, ...]

    @property
    def unit(self) -> str:
        assert self.drug.stock is not None
        return self.drug.stock.amount_unit

    @property
    def amount(self) -> Fraction:
        return self.exact * self.draw.volume_nl / self.exact_nl

    @property
    def vials(self) -> int:
        """How many are opened."""
        assert self.drug.stock is not None
        return -(-self.amount // self.drug.stock.contains)


@dataclass(frozen=True)
class Preparation:
    """One fill, worked out. `percent` is what an adjustment left of the dose; `days` until the next fill."""

    course: Course
    library: Library
    phase: Phase
    drug: Drug
    percent: Fraction
    days: int
    flow: flows.FlowCheck
    acknowledged: str | None
    components: tuple[Component, ...]
    diluent: Drug | None
    warnings: tuple[str, ...]
    date: date | None = None

    @property
    def pump(self) -> PumpPlan:
        return self.course.pump

    @property
    def main(self) -> Component | None:
        """What the fill is named after; None for a plain diluent."""
        return self.components[0] if self.components and self.components[0].drug is self.drug else None

    @property
    def dose_mg_per_kg_day(self) -> Fraction | None:
        """What was asked, after the adjustment."""
        dose = self.phase.dose_mg_per_kg_day
        return None if dose is None else dose * self.percent / 100

    @property
    def dose_after(self) -> Fraction | None:
        """What the rounded fill gives, mg/kg/day = m F / (V W)."""
        if self.main is None or self.phase.dose_mg_per_kg_day is None:
            return None
        per_day_mg = self.main.amount * Fraction(self.flow.actual_nl_per_day, self.pump.fill_nl)
        return per_day_mg / self.course.patient.weight_kg

    @property
    def concentration(self) -> tuple[Fraction, str] | None:
        """Of the rounded fill."""
        if self.main is None or self.drug.stock is None:
            return None
        per_ml = self.drug.stock.concentration * Fraction(self.main.draw.volume_nl, self.pump.fill_nl)
        return per_ml, self.drug.stock.unit

    @property
    def diluent_nl(self) -> int:
        """What is missing to the fill's volume."""
        return self.pump.fill_nl - sum(one.draw.volume_nl for one in self.components)

    @property
    def fill_flow_nl_per_day(self) -> int:
        """The flow while this fill is in."""
        return fill_flow_nl_per_day(self.course, self.phase, self.drug)

    @property
    def supply_days(self) -> Fraction:
        return supply_days(self.pump.fill_nl - primed_nl(self.pump), self.pump.unusable_nl, self.fill_flow_nl_per_day)

    @property
    def residual_nl(self) -> int:
        return residual_nl(self.pump.fill_nl - primed_nl(self.pump), self.fill_flow_nl_per_day, self.days)


def planned_concentration(course: Course, phase: Phase, percent: Fraction = FULL) -> tuple[Fraction, str] | None:
    """Before rounding: d W / F for a dose, else what the phase says."""
    if phase.dose_mg_per_kg_day is None:
        return phase.concentration
    per_day_mg = phase.dose_mg_per_kg_day * percent / 100 * course.patient.weight_kg
    return per_day_mg * Fraction(NL_PER_ML, course.pump.flow_nl_per_day), "mg/mL"


def judged(course: Course, phase: Phase, drug: Drug, percent: Fraction = FULL) -> Iterator[tuple[str, str, str, str]]:
    """(error or warning, key of the phase, reason, what to do) of every limit of the library that the plan passes."""
    pairs: list[tuple[str, Limit | None, Fraction | None]] = [
        ("drug", drug.rate, Fraction(fill_flow_nl_per_day(course, phase, drug)))
    ]
    made = planned_concentration(course, phase, percent)
    key = "concentration" if phase.dose_mg_per_kg_day is None else "dose"
    if made is not None and drug.concentration is not None and made[1] == drug.concentration.unit:
        pairs.append((key, drug.concentration, made[0]))
        per_day = made[0] * Fraction(course.pump.flow_nl_per_day, NL_PER_ML)
        unit = drug.dose_per_day.unit if drug.dose_per_day else ""
        pairs.append((key, drug.dose_per_day, per_day / course.patient.weight_kg if unit == "mg/kg/day" else per_day))
    for where, limit, value in pairs:
        verdict = limit.judge(value) if limit is not None and value is not None else None
        if verdict is not None:
            yield verdict[0], where, *verdict[1:]


def ways(exact_nl: Fraction, library: Library) -> tuple[Draw, ...]:
    """Every way of drawing a volume up in at most `draws_max` draws, fewest first, then the smaller syringe. Rounded to
    the nearest mark, down when two are as near. Empty when no syringe can do it."""
    found = []
    for syringe in library.syringes:
        marks = exact_nl / syringe.graduation_nl
        # half down: at the same distance the smaller dose
        count = -((1 - 2 * marks) // 2)
        volume_nl = int(count) * syringe.graduation_nl
        draws = -(-volume_nl // syringe.size_nl)
        if volume_nl and draws <= library.draws_max:
            full = (syringe.size_nl,) * (draws - 1)
            parts = (*full, volume_nl - sum(full))
            error = 100 * (volume_nl - exact_nl) / exact_nl
            found.append(Draw(syringe.size_nl, syringe.graduation_nl, parts, error))
    return tuple(sorted(found, key=lambda way: (len(way.parts_nl), way.syringe_nl)))


def component(drug: Drug, exact: Fraction, library: Library) -> Component:
    """How `exact` of a drug, in its stock's amount unit, is drawn up. Raises DoseRefused."""
    stock = drug.stock
    assert stock is not None
    per_ml = stock.concentration / 100 if stock.unit == "%" else stock.concentration
    exact_nl = exact / per_ml * NL_PER_ML
    found = ways(exact_nl, library)
    near = [way for way in found if abs(way.error_percent) <= library.aim_percent]
    draw = near[0] if near else min(found, key=lambda way: abs(way.error_percent), default=None)
    if draw is None or abs(draw.error_percent) > library.refuse_percent:
        why = "no syringe can" if draw is None else f"the nearest is {rounded(draw.error_percent, 1)} % off"
        raise DoseRefused(
            f"{rounded(exact_nl / NL_PER_ML, 4)} mL of {drug.name} can't be drawn up within "
            f"{library.refuse_percent} %: {why}",
            "dilute the stock first and enter it in a library of your own, or change volume or dose",
        )
    return Component(drug, exact, exact_nl, draw, found)


def prepare(
    course: Course,
    library: Library,
    phase: Phase,
    *,
    days: int,
    percent: Fraction = FULL,
    acknowledged: str | None = None,
    on: date | None = None,
    said: tuple[str, ...] = (),
) -> Preparation:
    """One fill of `phase` for `days`. `acknowledged` ("name: reason") lets a flow pass that is more than 15 % off;
    `said` is told beside the warnings.
    Raises DoseRefused with the reason: the flow, a hard limit, what can't be drawn, or a pump that would run dry."""
    drug = library.drugs.get(phase.drug)
    if drug is None or drug.kind == "additive":
        known = r.close_to(phase.drug, library.reservoir_drugs())
        raise DoseRefused(f'"{phase.drug}" is no drug for the reservoir; {known}', "see `haipump therapy library show`")
    acknowledged = acknowledged or course.pump.acknowledged
    checked = flows.check(course.pump.labelled_flow_nl_per_day, course.pump.measured_flow_nl_per_day)
    warnings = [*said, *_flow_warnings(checked, course.pump, acknowledged, on), *_thick_warnings(course, phase, drug)]
    for level, _, reason, _ in judged(course, phase, drug, percent):
        if level == r.ERROR:
            raise DoseRefused(reason, "change the course, or the library with its reasons")
        warnings.append(reason)
    made = Preparation(
        course, library, phase, drug, percent, days, checked, acknowledged,
        tuple(components(course, library, phase, drug, percent)), library.drugs.get(phase.diluent or ""),
        tuple(warnings), on,
    )  # fmt: skip
    if made.diluent_nl < 0:
        drawn = format_volume(course.pump.fill_nl - made.diluent_nl)
        raise DoseRefused(f"{drawn} would go into a fill of {format_volume(course.pump.fill_nl)}", "use stronger stock")
    if made.supply_days < days:
        raise DoseRefused(
            f"the fill lasts {rounded(made.supply_days, 1)} days, and the next one is after {days}: the pump would run "
            "dry",
            f"refill after {int(made.supply_days)} days at the latest, or fill more",
        )
    return made


def _thick_warnings(course: Course, phase: Phase, drug: Drug) -> list[str]:
    """What is to be said about a constant-flow pump with something thick in it."""
    if course.pump.kind != CONSTANT_FLOW or drug.thick is None:
        return []
    slower = fill_flow_nl_per_day(course, phase, drug)
    if slower == course.pump.flow_nl_per_day:
        return [f"a constant-flow pump runs slower with {drug.name} at this strength, by how much is not known"]
    times = rounded(drug.thick.times_water, 2)
    return [
        f"with {drug.name} {times} times as thick as water the pump should run at {format_rate(slower)}: look early"
    ]


def flow_refused(checked: flows.FlowCheck, pump: PumpPlan, acknowledged: str | None) -> tuple[str, str] | None:
    """(why no dose is worked out by this flow, what to do); None when it may be. `acknowledged`: who stands for it."""
    if checked.verdict == "no flow":
        return (
            f"the flow is {checked.off} % off: {checked.text}. Above {flows.OBSTACLE_PERCENT} % it is no flow to dose "
            "by, whoever stands for it",
            "look for a slip in the number, then for what is wrong with pump and catheter",
        )
    if checked.verdict != "out of bounds" or acknowledged:
        return None
    other = pump.acknowledged_nl_per_day if pump.flow_acknowledged else None
    rate = format_rate(checked.actual_nl_per_day)
    return (
        f"the flow is {checked.off} % off: {checked.text}. Above {flows.REFUSE_PERCENT} % somebody has to look first: "
        "heat, altitude, restrictor when fast; clot, kink, a turned pump when slow"
        + (f". {pump.flow_acknowledged} stood for {format_rate(other)}" if other else ""),
        'find the cause; when the flow is meant: --acknowledge-flow "name: reason", or in the course '
        f'flow_acknowledged = "name: reason" and flow_acknowledged_for = "{rate}"',
    )


def _flow_warnings(checked: flows.FlowCheck, pump: PumpPlan, acknowledged: str | None, on: date | None) -> list[str]:
    """What is to be said about the flow of a fill on this day. Raises DoseRefused when there is no dose by it."""
    refused = flow_refused(checked, pump, acknowledged)
    if refused is not None:
        raise DoseRefused(*refused)
    found = []
    if checked.verdict == "out of bounds":
        bound = flows.REFUSE_PERCENT
        found = [f"the flow is {checked.off} % off, above the bound of {bound} %; acknowledged by {acknowledged}"]
    elif checked.verdict == "flagged":
        found = [f"the flow is {checked.off} % off: watch its trend"]
    elif checked.verdict == "not measured":
        found = [f"the flow was never measured: {format_rate(checked.actual_nl_per_day)} is what the label says"]
    if on is not None and pump.measured_on is not None and pump.measured_on > on:
        found.append(f"the flow was measured on {pump.measured_on}, and that is after this fill")
    return found


def components(course: Course, library: Library, phase: Phase, drug: Drug, percent: Fraction) -> Iterator[Component]:
    """What is drawn up for a fill, the drug first. Raises DoseRefused."""
    fill_nl = course.pump.fill_nl
    if drug.stock is not None:
        if phase.dose_mg_per_kg_day is not None:
            dose = phase.dose_mg_per_kg_day * percent / 100
            exact = drug_in_reservoir_mg(dose, course.patient.weight_kg, fill_nl, course.pump.flow_nl_per_day)
        elif phase.concentration is not None:
            share = phase.concentration[0] / 100 if phase.concentration[1] == "%" else phase.concentration[0]
            exact = share * Fraction(fill_nl, NL_PER_ML)
        else:
            raise DoseRefused(f"the phase of {drug.name} has no dose and no concentration", "add one to the course")
        yield component(drug, exact, library)
    for additive in phase.additives:
        added = library.drugs.get(additive.drug)
        if added is None or added.stock is None or added.stock.amount_unit != additive.unit:
            raise DoseRefused(f'"{additive.drug}" can\'t be added in {additive.unit}', "see `haipump therapy check`")
        yield component(added, additive.amount, library)


def pump_limits(drug: Drug, concentration: tuple[Fraction, str] | None, weight_kg: Fraction) -> Mapping[str, int | str]:
    """The limits of the library in the pump's own integers, rounded down: volumes, because a pump knows no mg. The dose
    of a day is the smaller of what the rate's and the dose's limit allow at this concentration (the planned one, see
    `planned_concentration`). 0 nL of bolus: none."""
    assert drug.rate is not None and drug.bolus is not None
    soft_nl, hard_nl = drug.rate.soft_max, drug.rate.hard_max
    if concentration is not None and drug.dose_per_day is not None:
        weight = weight_kg if drug.dose_per_day.unit == "mg/kg/day" else Fraction(1)
        soft_nl = min(soft_nl, drug.dose_per_day.soft_max * weight / concentration[0] * NL_PER_ML)
        hard_nl = min(hard_nl, drug.dose_per_day.hard_max * weight / concentration[0] * NL_PER_ML)
    return {
        "drug": drug.word,
        "max_rate_nl_per_day": int(drug.rate.hard_max),
        "soft_rate_nl_per_day": int(drug.rate.soft_max),
        "max_bolus_nl": int(drug.bolus.hard_max),
        "soft_bolus_nl": int(drug.bolus.soft_max),
        "max_dose_nl": int(hard_nl),
        "soft_dose_nl": int(soft_nl),
        "window_s": WINDOW_S,
    }


def limits_of(made: Preparation) -> Mapping[str, int | str]:
    """`pump_limits` for a fill, by its planned concentration: rounding to the syringe's marks is no reason to alarm."""
    planned = planned_concentration(made.course, made.phase, made.percent)
    return pump_limits(made.drug, planned, made.course.patient.weight_kg)
