"""A course of treatment: its file, and what it says, typed.

Owns: which keys a course file has and what they mean; `EXAMPLE`. Must not: judge the plan (`checks` does) or know a
drug library. Volumes are integer nL, flows integer nL/day, everything else exact fractions in the unit of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from importlib import resources
from pathlib import Path

from haipump import quantities as q
from haipump.therapy import reading as r

PROGRAMMABLE, CONSTANT_FLOW = "programmable", "constant-flow"
KINDS = (PROGRAMMABLE, CONSTANT_FLOW)
TESTS: Mapping[str, tuple[str, str]] = {  # laboratory values: unit of calculation, name for people
    "ast": ("U/L", "AST"),
    "alp": ("U/L", "ALP"),
    "bilirubin": ("mg/dL", "total bilirubin"),
}
CYCLES_MAX = 130  # ten years of 28 days
DAYS_MAX = 365  # of one phase
EXAMPLE_FILE = "course.toml"


@dataclass(frozen=True)
class Patient:
    """`reference` are laboratory values before the first dose, `upper_limit` the laboratory's upper limits of normal,
    both by the names of TESTS."""

    label: str
    weight_kg: Fraction
    artery_flow_nl_per_day: int | None
    reference: Mapping[str, Fraction]
    reference_taken: date | None
    upper_limit: Mapping[str, Fraction]


@dataclass(frozen=True)
class PumpPlan:
    """The pump of the course. The flow that doses are worked out from is `flow_nl_per_day`."""

    kind: str
    reservoir_nl: int
    fill_nl: int
    unusable_nl: int
    labelled_flow_nl_per_day: int
    measured_flow_nl_per_day: int | None = None
    measured_on: date | None = None
    flow_acknowledged: str | None = None
    acknowledged_nl_per_day: int | None = None

    @property
    def flow_nl_per_day(self) -> int:
        """The actual flow: what was measured last, else what the label says."""
        return self.measured_flow_nl_per_day or self.labelled_flow_nl_per_day

    @property
    def acknowledged(self) -> str | None:
        """Who stands for the actual flow; None also when it was another flow that they stood for."""
        return self.flow_acknowledged if self.acknowledged_nl_per_day == self.flow_nl_per_day else None


@dataclass(frozen=True)
class Additive:
    """`amount` of a second drug in the same fill, in `unit` (mg or units)."""

    drug: str
    amount: Fraction
    unit: str


@dataclass(frozen=True)
class Phase:
    """One drug for some days. Either `dose_mg_per_kg_day` or `concentration` (a number and its unit), or neither."""

    where: r.KeyPath
    drug: str
    days: int
    dose_mg_per_kg_day: Fraction | None
    concentration: tuple[Fraction, str] | None
    diluent: str | None
    additives: tuple[Additive, ...] = ()
    refill_every_days: int | None = None  # None: one fill, at its begin
    reason: str = ""  # of a pause


@dataclass(frozen=True)
class Refill:
    """A fill on a date, as planned."""

    where: r.KeyPath
    date: date
    drug: str


@dataclass(frozen=True)
class Course:
    """A course as its file says. `source` knows the places of its keys."""

    source: r.Source
    name: str
    start: date
    cycles: int
    rules: str | None
    patient: Patient
    pump: PumpPlan
    phases: tuple[Phase, ...]
    pauses: tuple[tuple[int, Phase], ...]  # after which cycle, in order
    refills: tuple[Refill, ...]

    @property
    def path(self) -> Path:
        return self.source.path


def example() -> str:
    """A course file with all there is, commented."""
    return (resources.files("haipump.therapy") / EXAMPLE_FILE).read_text(encoding="utf-8")


def load(path: Path) -> Course:
    """Read a course file. Raises CourseFileError with everything that can't be read in it."""
    return parse(r.read_file(path, "course"), path)


def parse(text: str, path: Path = Path("course.toml")) -> Course:
    """Read the text of a course; `path` is for errors. Raises CourseFileError."""
    top = r.parse(path, text, "course")
    head = top.table("course")
    pauses = [_pause(table) for table in top.tables("pause")]
    made = Course(
        source=top.source,
        name=head.take("name", r.text),
        start=head.take("start", r.day),
        cycles=head.take("cycles", r.whole(1, CYCLES_MAX)),
        rules=head.take("rules", r.text, None),
        patient=_patient(top.table("patient")),
        pump=_pump(top.table("pump")),
        phases=tuple(_phase(table) for table in top.tables("phase")),
        pauses=tuple(sorted(pauses, key=lambda pause: pause[0] or 0)),
        refills=tuple(_refill(table) for table in top.tables("refill")),
    )
    head.end()
    top.end()
    if not made.phases:
        top.source.problem(("phase",), "there is no phase", "add [[phase]] with drug and days")
    if made.cycles is not None:
        for index, (after, _) in enumerate(pauses):
            if after is not None and after > made.cycles:
                what = f"there are {made.cycles} cycles, and the pause is after cycle {after}"
                top.source.problem(("pause", index, "after_cycle"), what)
    top.source.finish()
    return made


def _patient(table: r.Table) -> Patient:
    reference, upper = table.table("reference"), table.table("upper_limit")
    made = Patient(
        label=table.take("label", r.text),
        weight_kg=table.take("weight", r.amount("kg")),
        artery_flow_nl_per_day=table.take("artery_flow", r.positive(q.rate_nl_per_day), None),
        reference=_values(reference),
        reference_taken=reference.take("taken", r.day, None),
        upper_limit=_values(upper),
    )
    for one in (reference, upper, table):
        one.end()
    return made


def _values(table: r.Table) -> dict[str, Fraction]:
    """Those of TESTS that are there."""
    found = {test: table.take(test, r.amount(unit), None) for test, (unit, _) in TESTS.items()}
    return {test: value for test, value in found.items() if value is not None}


def _pump(table: r.Table) -> PumpPlan:
    made = PumpPlan(
        kind=table.take("kind", r.one_of(*KINDS)),
        reservoir_nl=table.take("reservoir", r.positive(q.volume_nl)),
        fill_nl=table.take("fill", r.positive(q.volume_nl)),
        unusable_nl=table.take("unusable", q.volume_nl),
        labelled_flow_nl_per_day=table.take("labelled_flow", r.positive(q.rate_nl_per_day)),
        measured_flow_nl_per_day=table.take("measured_flow", r.positive(q.rate_nl_per_day), None),
        measured_on=table.take("measured_on", r.day, None),
        flow_acknowledged=table.take("flow_acknowledged", acknowledgement, None),
        acknowledged_nl_per_day=table.take("flow_acknowledged_for", r.positive(q.rate_nl_per_day), None),
    )
    table.end()
    return made


def acknowledgement(value: object) -> str:
    """Who takes responsibility, and why: `name: reason`. Raises ValueError."""
    name, colon, reason = r.text(value).partition(":")
    if not colon or not name.strip() or not reason.strip():
        raise ValueError(f'"{value}" does not say who and why: write "name: reason"')
    return f"{name.strip()}: {reason.strip()}"


def _phase(table: r.Table) -> Phase:
    made = Phase(
        where=table.where,
        drug=table.take("drug", r.text),
        days=table.take("days", r.whole(1, DAYS_MAX)),
        dose_mg_per_kg_day=table.take("dose", r.amount("mg/kg/day"), None),
        concentration=table.take("concentration", _concentration, None),
        diluent=table.take("diluent", r.text, None),
        additives=tuple(_additive(one) for one in table.tables("additive")),
        refill_every_days=table.take("refill_every_days", r.whole(1, DAYS_MAX), None),
        reason=table.take("reason", r.text, ""),
    )
    table.end()
    return made


def _concentration(value: object) -> tuple[Fraction, str]:
    found = r.measure("mg/mL", "units/mL", "%")(value)
    if not found[0]:
        raise ValueError(f'"{value}" is nothing: it must be above 0')
    return found


def _additive(table: r.Table) -> Additive:
    amount, unit = table.take("amount", r.measure("mg", "units")) or (None, None)
    if amount == 0:
        table.source.problem((*table.where, "amount"), "is 0", "leave the additive out")
    made = Additive(table.take("drug", r.text), amount, unit)  # type: ignore[arg-type]
    table.end()
    return made


def _pause(table: r.Table) -> tuple[int, Phase]:
    return table.take("after_cycle", r.whole(1, CYCLES_MAX)), _phase(table)


def _refill(table: r.Table) -> Refill:
    made = Refill(table.where, table.take("date", r.day), table.take("drug", r.text))
    table.end()
    return made
