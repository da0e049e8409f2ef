"""What is wrong with a course that can be read: drugs, limits, flow, supply, calendar, stability; all of it at once.

Owns: the checks and their wording, each with its place in the file and what to do. Must not: change or repair a plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from haipump.errors import DoseRefused
from haipump.quantities import format_rate, format_volume, rounded
from haipump.therapy import calendar as cal
from haipump.therapy import dose, flow, plausible
from haipump.therapy import reading as r
from haipump.therapy.course import TESTS, Course, Phase
from haipump.therapy.library import Library
from haipump.therapy.rules import RuleSet

# Project defaults: outside of these a slip of the finger is likelier than the value.
WEIGHT_KG = (30, 200)
ARTERY_ML_PER_MIN = (100, 1_000)  # 380 to 450 is usual: a quarter to a third of 1.5 L/min (openanesthesia.org)
SATURDAY = 5  # of date.weekday()
SPARE_DAYS = 2  # a visit that slips over a weekend should not find a dry pump


@dataclass(frozen=True)
class Plan:
    """What the checks look at."""

    course: Course
    library: Library
    rules: RuleSet | None  # None when the course names an unknown one
    known_rules: tuple[str, ...]


def check(plan: Plan) -> list[r.Problem]:
    """All problems, in the order of the file; errors and warnings."""
    found: list[r.Problem] = []
    for one in (_patient, _rules, _pump, _flow, _phases, _refills, _supply, _end):
        found += [
            r.Problem(level, plan.course.source.line(where), r.path_text(where), what, next_step)
            for level, where, what, next_step in one(plan)
        ]
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda problem: problem.line)


Found = Iterator[tuple[str, r.KeyPath, str, str]]


def _patient(plan: Plan) -> Found:
    patient = plan.course.patient
    if not WEIGHT_KG[0] <= patient.weight_kg <= WEIGHT_KG[1]:
        words = f"{rounded(patient.weight_kg, 1)} kg is not between {WEIGHT_KG[0]} and {WEIGHT_KG[1]} kg"
        yield r.ERROR, ("patient", "weight"), words, "check the weight; the dose is in proportion to it"
    if patient.artery_flow_nl_per_day is not None:
        per_min = Fraction(patient.artery_flow_nl_per_day, dose.NL_PER_ML * 24 * 60)
        if not ARTERY_ML_PER_MIN[0] <= per_min <= ARTERY_ML_PER_MIN[1]:
            words = f"{rounded(per_min, 1)} mL/min is no flow of a hepatic artery"
            yield r.WARNING, ("patient", "artery_flow"), words, "380 to 450 mL/min is usual"
    yield from plausible.of_course(plan.course)


def _rules(plan: Plan) -> Found:
    if plan.rules is None:
        words = f'"{plan.course.rules}" is no set of rules; {r.close_to(plan.course.rules or "", plan.known_rules)}'
        yield r.ERROR, ("course", "rules"), words, "see `haipump therapy rules`"
        return
    for table, names in (("reference", plan.rules.needs_reference), ("upper_limit", plan.rules.needs_upper_limit)):
        for test in names:
            if test not in getattr(plan.course.patient, table):
                words = f"is missing: {plan.rules.name} compares {TESTS[test][1]} with it"
                next_step = "without it no laboratory value can be judged"
                yield r.WARNING, ("patient", table, test), words, next_step


def _pump(plan: Plan) -> Found:
    pump = plan.course.pump
    if pump.fill_nl > pump.reservoir_nl:
        words = f"{format_volume(pump.fill_nl)} do not go into a reservoir of {format_volume(pump.reservoir_nl)}"
        yield r.ERROR, ("pump", "fill"), words, "fill no more than the reservoir holds"
    if pump.unusable_nl + dose.primed_nl(pump) >= pump.fill_nl:
        words = f"of {format_volume(pump.fill_nl)} nothing can be used"
        yield r.ERROR, ("pump", "unusable"), words, "it is the volume that stays in the pump"


def _flow(plan: Plan) -> Found:
    pump = plan.course.pump
    found = flow.check(pump.labelled_flow_nl_per_day, pump.measured_flow_nl_per_day)
    where, by_whom = ("pump", "measured_flow"), ("pump", "flow_acknowledged")
    refused = dose.flow_refused(found, pump, pump.acknowledged)
    if refused is not None:
        yield r.ERROR, where, *refused
    elif found.verdict == "out of bounds":
        words = f"the flow is {found.off} % off, acknowledged by {pump.acknowledged}"
        yield r.WARNING, by_whom, words, "the dose is worked out from what was measured"
    elif found.verdict == "flagged":
        yield r.WARNING, where, f"the flow is {found.off} % off: {found.text}", "watch its trend"
    if pump.flow_acknowledged and pump.acknowledged_nl_per_day is None:
        next_step = f'write for example flow_acknowledged_for = "{format_rate(pump.flow_nl_per_day)}"'
        yield r.ERROR, by_whom, "it does not say which flow was acknowledged", next_step
    if pump.measured_flow_nl_per_day is not None and pump.measured_on is None:
        yield r.WARNING, where, "it does not say when", "add measured_on = a date"
    last = cal.periods(plan.course)[-1].last
    if pump.measured_on is not None and pump.measured_on > last:
        words = f"{cal.on(pump.measured_on)} is after the end of the course, {cal.on(last)}"
        yield r.WARNING, ("pump", "measured_on"), words, "check the date"


def _phases(plan: Plan) -> Found:
    listed = [*plan.course.phases, *[phase for _, phase in plan.course.pauses]]
    for phase in listed:
        yield from _phase(plan, phase)
    for _, phase in plan.course.pauses:
        drug = plan.library.drugs.get(phase.drug)
        if drug is not None and not drug.keeps_open:
            words = f"{drug.name} does not keep the catheter open through a pause"
            yield r.ERROR, (*phase.where, "drug"), words, f"use {' or '.join(keepers(plan.library))}"


def keepers(library: Library) -> list[str]:
    """Words of what keeps a catheter open."""
    return [word for word, drug in library.drugs.items() if drug.keeps_open]


def _phase(plan: Plan, phase: Phase) -> Found:
    found = list(_made_of(plan, phase))
    yield from found
    if not any(level == r.ERROR for level, *_ in found):
        yield from _drawn(plan, phase)


def _made_of(plan: Plan, phase: Phase) -> Found:
    """Drug, strength, limits, diluent, additives."""
    library, where = plan.library, phase.where
    drug = library.drugs.get(phase.drug)
    if drug is None or drug.kind == "additive":
        words = f'"{phase.drug}" is no drug for the reservoir; {r.close_to(phase.drug, library.reservoir_drugs())}'
        yield r.ERROR, (*where, "drug"), words, "see `haipump therapy library show`"
        return
    yield from _strength(phase, drug.concentration.unit if drug.concentration else "", drug.name, drug.kind == "drug")
    for level, key, words, advice in dose.judged(plan.course, phase, drug):
        yield level, (*where, key), words, f"{advice}, or say why the limit does not hold in a library of your own"
    if phase.diluent is None and drug.diluents:
        next_step = f'write for example diluent = "{drug.diluents[0]}"'
        yield r.ERROR, (*where, "diluent"), "is missing: with what is the fill made up?", next_step
    elif phase.diluent is not None and phase.diluent not in drug.diluents:
        words = f'{drug.name} is not made up with "{phase.diluent}"'
        yield r.ERROR, (*where, "diluent"), words, f"use {' or '.join(drug.diluents) or 'nothing'}"
    for index, additive in enumerate(phase.additives):
        place = (*where, "additive", index)
        added = library.drugs.get(additive.drug)
        if added is None or additive.drug not in drug.additives:
            words = f'"{additive.drug}" is not known to go with {drug.name}'
            yield r.ERROR, (*place, "drug"), words, f"use {' or '.join(drug.additives) or 'none'}"
        elif added.per_fill is not None and added.per_fill.unit != additive.unit:
            words = f"{added.name} is measured in {added.per_fill.unit}, not in {additive.unit}"
            yield r.ERROR, (*place, "amount"), words, "write it in that unit"
        elif added.per_fill is not None and (verdict := added.per_fill.judge(additive.amount)):
            yield verdict[0], (*place, "amount"), f"{added.name}: {verdict[1]}", verdict[2]


def _strength(phase: Phase, unit: str, name: str, dosed: bool) -> Found:
    """Exactly one of dose and concentration, and in the drug's unit."""
    where = phase.where
    if phase.dose_mg_per_kg_day is not None and phase.concentration is not None:
        yield r.ERROR, (*where, "concentration"), "there is also a dose, and one follows from the other", "take one out"
    elif dosed and phase.dose_mg_per_kg_day is None:
        words = f"is missing: {name} is dosed by body weight"
        yield r.ERROR, (*where, "dose"), words, 'write for example dose = "0.12 mg/kg/day"'
    elif unit and unit != "mg/mL" and phase.dose_mg_per_kg_day is not None:
        yield r.ERROR, (*where, "dose"), f"{name} is not dosed in mg/kg/day", f"give its concentration in {unit}"
    elif unit and phase.dose_mg_per_kg_day is None and phase.concentration is None:
        yield r.ERROR, (*where, "concentration"), "is missing", f"give it in {unit}"
    elif phase.concentration is not None and phase.concentration[1] != unit:
        words = f"{name} is measured in {unit}" if unit else f"{name} has no concentration"
        yield r.ERROR, (*where, "concentration"), words, f"write it in {unit}" if unit else "leave it out"
    elif not unit and phase.dose_mg_per_kg_day is not None:
        yield r.ERROR, (*where, "dose"), f"{name} has no dose", "leave it out"


def _drawn(plan: Plan, phase: Phase) -> Found:
    """Whether a pharmacy can make it. Only for a phase without errors: the others would come once more."""
    try:
        parts = tuple(dose.components(plan.course, plan.library, phase, plan.library.drugs[phase.drug], dose.FULL))
    except DoseRefused as refused:
        yield r.ERROR, phase.where, refused.what, refused.next_step
        return
    drawn_nl = sum(part.draw.volume_nl for part in parts)
    if drawn_nl > plan.course.pump.fill_nl:
        words = f"{format_volume(drawn_nl)} would go into a fill of {format_volume(plan.course.pump.fill_nl)}"
        yield r.ERROR, phase.where, words, "use stronger stock, or fewer additives"


# --- calendar


def _refills(plan: Plan) -> Found:
    course = plan.course
    if course.refills:
        yield from _listed(course)
    weekends = [fill for fill in cal.fills(course) if fill.date.weekday() >= SATURDAY]
    if weekends:
        first = weekends[0]
        where = first.refill.where if first.refill else ("course", "start")
        words = f"fill {first.number} is on {cal.on(first.date)}"
        words += f", and {len(weekends) - 1} more on weekends" if len(weekends) > 1 else ""
        yield r.WARNING, where, words, "see that somebody is there, or move the start"


def _listed(course: Course) -> Found:
    """Refills of the file against the calendar: before, after, twice, missing, wrong drug."""
    spans = cal.periods(course)
    seen: dict[date, int] = {}
    for index, refill in enumerate(course.refills):
        where = (*refill.where, "date")
        if not course.start <= refill.date <= spans[-1].last:
            words = (
                f"{cal.on(refill.date)} is outside of the course, {cal.on(course.start)} to {cal.on(spans[-1].last)}"
            )
            yield r.ERROR, where, words, "take it out, or change start, days or cycles"
            continue
        if refill.date in seen:
            words = f"a second fill on {cal.on(refill.date)}: it overlaps with refill[{seen[refill.date] + 1}]"
            yield r.ERROR, where, words, "take one out"
        seen.setdefault(refill.date, index)
        span = next(span for span in spans if refill.date in span)
        if span.phase.drug != refill.drug:
            words = f"{refill.drug} on {cal.on(refill.date)} overlaps with {span.phase.drug} until {cal.on(span.end)}"
            yield r.ERROR, (*refill.where, "drug"), words, f'write drug = "{span.phase.drug}", or move it'
    previous = None
    for span in spans:
        if span.start not in seen and (previous is None or previous.phase.drug != span.phase.drug):
            later = [day for day in seen if span.start < day < span.end]
            gap = f"for {(min(later) - span.start).days} days" if later else "for all of it"
            words = f"{span.phase.drug} begins on {cal.on(span.start)}, and no refill is listed: a gap {gap}"
            yield r.ERROR, ("refill",), words, f"add [[refill]] date = {span.start}, or list none at all"
        previous = span


def _supply(plan: Plan) -> Found:
    """How long each fill lasts, by volume and by stability, against the time to the next one."""
    pump = plan.course.pump
    off_nl = dose.primed_nl(pump)
    if pump.unusable_nl + off_nl >= pump.fill_nl:
        return
    primed = f", without {format_volume(off_nl)} for priming" if off_nl else ""
    for fill in cal.fills(plan.course):
        drug = plan.library.drugs.get(fill.drug)
        flow_nl = dose.fill_flow_nl_per_day(plan.course, fill.phase, drug) if fill.phase else pump.flow_nl_per_day
        lasts = dose.supply_days(pump.fill_nl - off_nl, pump.unusable_nl, flow_nl)
        by_phase = (*(fill.phase.where if fill.phase else ("phase",)), "days")
        where = fill.refill.where if fill.refill else by_phase
        # A fill of the calendar recurs in each cycle: said once, for the first.
        which = f"the fill of {cal.on(fill.date)}" if fill.refill else f"a fill of {fill.drug}"
        if fill.days > lasts:
            empty = f", empty on {cal.on(fill.date + timedelta(days=int(lasts)))}" if fill.refill else ""
            words = (
                f"{which} lasts {rounded(lasts, 1)} days ({format_volume(pump.fill_nl - off_nl - pump.unusable_nl)} at "
                f"{format_rate(flow_nl)}{primed}), and the next one is after {fill.days}: the pump runs dry{empty}"
            )
            yield r.ERROR, where, words, f"write refill_every_days = {int(lasts)} or less"
        elif fill.days > lasts - SPARE_DAYS:
            words = f"{which} lasts {rounded(lasts, 1)} days, and the next one is after {fill.days}"
            yield r.WARNING, where, words, f"less than {SPARE_DAYS} days to spare when a visit slips"
        if drug is not None and drug.stability_days is not None and fill.days > drug.stability_days:
            words = (
                f"{which} stays {fill.days} days at 37 C, and {drug.name} is good for {drug.stability_days} "
                f"({drug.stability_source})"
            )
            yield r.ERROR, where, words, f"write refill_every_days = {drug.stability_days} or less"


def _end(plan: Plan) -> Found:
    last = cal.periods(plan.course)[-1].phase
    drug = plan.library.drugs.get(last.drug)
    if drug is not None and not drug.keeps_open:
        day = cal.on(cal.periods(plan.course)[-1].last)
        words = f"the course ends with {drug.name} on {day}: then nothing keeps the catheter open"
        yield r.WARNING, (*last.where, "drug"), words, f"end with {' or '.join(keepers(plan.library))}"
