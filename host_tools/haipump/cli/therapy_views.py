"""What the `therapy` commands show: problems, the calendar, a fill, a decision, the library; as text and for --json.

Owns: layout at 80 columns. Must not: work anything out.
"""

from __future__ import annotations

import calendar as months
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from haipump.cli import views
from haipump.quantities import counted, format_rate, format_volume, rounded
from haipump.therapy import calendar as cal
from haipump.therapy import calendar_page, checks, dose, sheet
from haipump.therapy import reading as r
from haipump.therapy.adjust import Decision
from haipump.therapy.course import TESTS, Course, PumpPlan
from haipump.therapy.history import Entry
from haipump.therapy.library import Drug, Library, Limit
from haipump.therapy.rules import Row, RuleSet

MONTHS_MAX = 24  # drawn; the rest is in the page of --html
FILLS_MAX = 40
STYLES = {"error": "bold red", "warning": "yellow"}


def problem(one: r.Problem) -> RenderableType:
    """One problem: level and place, then what and what to do."""
    where = f", {one.where}" if one.where else ""
    head = Text.assemble((f"{one.level:8}", STYLES[one.level]), (f"line {one.line}{where}", "bold"))
    return Group(head, Padding(Text(one.sentences), (0, 0, 0, 8)))


# --- calendar


def course_view(course: Course, library: Library) -> RenderableType:
    """Facts, fills and months of a course."""
    spans, fills = cal.periods(course), cal.fills(course)
    pump, patient = course.pump, course.patient
    head = Text.assemble(
        (course.name, "bold"),
        f"\n{counted(course.cycles, 'cycle')}, {cal.on(course.start)} to {cal.on(spans[-1].last)}; "
        f"{counted(len(fills), 'fill')}\n",
        f"{patient.label}, {rounded(patient.weight_kg, 2)} kg; {pump.kind} pump, {format_volume(pump.fill_nl)} at "
        f"{format_rate(pump.flow_nl_per_day)}\n",
        f"Drug library {library.name} {library.version}, SHA-256 {library.sha256[:16]}",
    )
    table = views.rows_view(
        list(_fill_rows(course, library, fills[:FILLS_MAX])), "Fill", "On", "Drug", "Strength", "Days", "Left"
    )
    parts: list[RenderableType] = [head, table]
    if len(fills) > FILLS_MAX:
        parts.append(Text(f"... and {len(fills) - FILLS_MAX} more; --html and --json have them all.\n", "dim"))
    return Group(*parts, _legend(course), Text(), _months(course))


def _fill_rows(course: Course, library: Library, fills: Sequence[cal.Fill]) -> Iterator[tuple[str, ...]]:
    for fill in fills:
        left = calendar_page.left_text(course, library, fill)
        strength = calendar_page.strength_text(fill.phase) if fill.phase else "?"
        yield str(fill.number), cal.on(fill.date), fill.drug, strength, str(fill.days), left


def _legend(course: Course) -> Text:
    text = Text()
    for word, (letter, color) in calendar_page.marks(course).items():
        text.append(f" {letter} ", style=f"bold {color}").append(f"{word}   ")
    return text.append("X", style="bold reverse").append(" a fill")


def _months(course: Course) -> RenderableType:
    firsts = calendar_page.month_starts(course)
    drawn = Columns([_month(course, first) for first in firsts[:MONTHS_MAX]], padding=(1, 4), equal=True)
    more = len(firsts) - MONTHS_MAX
    return Group(drawn, Text(f"\n... and {more} more months: --html\n", "dim")) if more > 0 else drawn


def _month(course: Course, first: date) -> Text:
    """Weeks from Monday; each day with the letter of its drug, a fill in capitals and reversed."""
    spans = {day: span for span in cal.periods(course) for day in calendar_page.days(span)}
    filled = {fill.date for fill in cal.fills(course)}
    drugs = calendar_page.marks(course)
    text = Text(f"{first:%B %Y}".center(27) + "\n", style="bold")
    text.append(" ".join(f"{name:>3}" for name in ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")), style="dim not bold")
    for week in months.Calendar().monthdatescalendar(first.year, first.month):
        text.append("\n")
        for index, day in enumerate(week):
            span = spans.get(day)
            gap = " " if index < 6 else ""
            if day.month != first.month:
                text.append("   " + gap, style="not bold")
            elif span is None:
                text.append(f"{day.day:2} {gap}", style="dim not bold")
            else:
                letter, color = drugs[span.phase.drug]
                full = day in filled
                shown = f"{day.day:2}{letter.upper() if full else letter}"
                text.append(shown, style=f"bold reverse {color}" if full else f"not bold {color}")
                text.append(gap, style="not bold")
    return text


def course_json(course: Course, library: Library) -> dict[str, Any]:
    """The calendar for --json."""
    return {
        "course": course.name,
        "start": course.start.isoformat(),
        "periods": [
            {
                "number": span.number,
                "cycle": span.cycle,
                "pause": span.pause,
                "drug": span.phase.drug,
                "start": span.start.isoformat(),
                "last_day": span.last.isoformat(),
                "days": span.phase.days,
            }
            for span in cal.periods(course)
        ],
        "fills": [
            {"number": fill.number, "date": fill.date.isoformat(), "drug": fill.drug, "days": fill.days}
            for fill in cal.fills(course)
        ],
        "library": {"name": library.name, "version": library.version, "sha256": library.sha256},
    }


# --- dose


def dose_view(made: dose.Preparation, number: int, of: int) -> RenderableType:
    """One fill: what it is, each number with its formula, what is drawn up."""
    day = f" on {cal.on(made.date)}" if made.date else ""
    title = Text.assemble((sheet.title(made), "bold"), f"\nFill {number} of {of}{day}, for {counted(made.days, 'day')}")
    warned = [Text(f"{warning[:1].upper()}{warning[1:]}.", "yellow") for warning in made.warnings]
    numbers = [(what, formula, result) for what, formula, _, result in sheet.formulas(made)]
    drawn = [(n, what, gives) for n, what, _, gives, *_ in sheet.steps(made)]
    return Group(
        title,
        *warned,
        views.rows_view(numbers, "Worked out", "Formula", ""),
        views.rows_view(drawn, "", "Draw up", ""),
    )


def dose_json(made: dose.Preparation, number: int) -> dict[str, Any]:
    """One fill for --json; exact numbers as fractions in text."""
    components = [
        {
            "drug": one.drug.word,
            "exact": str(one.exact),
            "amount": str(one.amount),
            "unit": one.unit,
            "draw_nl": one.draw.volume_nl,
            "syringe_nl": one.draw.syringe_nl,
            "parts_nl": list(one.draw.parts_nl),
            "error_percent": str(one.draw.error_percent),
            "vials": one.vials,
        }
        for one in made.components
    ]
    concentration = made.concentration
    return {
        "fill": number,
        "date": made.date.isoformat() if made.date else None,
        "drug": made.drug.word,
        "days": made.days,
        "percent": str(made.percent),
        "flow_nl_per_day": made.flow.actual_nl_per_day,
        "fill_flow_nl_per_day": made.fill_flow_nl_per_day,
        "flow_error_percent": str(made.flow.error_percent),
        "flow_verdict": made.flow.verdict,
        "acknowledged": made.acknowledged,
        "components": components,
        "diluent": made.diluent.word if made.diluent else None,
        "diluent_nl": made.diluent_nl,
        "concentration": None if concentration is None else [str(concentration[0]), concentration[1]],
        "dose_mg_per_kg_day": None if made.dose_after is None else str(made.dose_after),
        "supply_days": str(made.supply_days),
        "residual_nl": made.residual_nl,
        "warnings": list(made.warnings),
        "pump_limits": dict(dose.limits_of(made)),
    }


# --- adjustment


def decision_view(decision: Decision, library: Library, pump: PumpPlan, doubts: Sequence[str]) -> RenderableType:
    """A decision with its reasons, what keeps the catheter open when the drug is held, and doubts about the values."""
    style = "bold red" if decision.hold else "bold yellow" if decision.percent < 100 else "bold green"
    verdict = Text(decision.verdict.capitalize(), style)
    if not decision.hold:
        verdict.append(f": {rounded(decision.dose_mg_per_kg_day, 5)} mg/kg/day", style="bold")
    lines: list[RenderableType] = [verdict]
    lines += [Padding(Text(f"{doubt[:1].upper()}{doubt[1:]}.", "yellow"), (0, 0, 0, 2)) for doubt in doubts]
    lines += [Padding(Text(f"{reason[:1].upper()}{reason[1:]}."), (0, 0, 0, 2)) for reason in decision.reasons]
    if decision.imaging:
        lines.append(Text("Imaging of the bile ducts is due.", "bold red"))
    if decision.hold:
        lines.append(Text(f"The catheter stays open: {keep_open(library, pump)}.", "bold"))
    status = f"Rules: {decision.rules}, version {decision.rules_version}. {decision.status}"
    return Group(*lines, Text(status, "dim"))


def keep_open(library: Library, pump: PumpPlan) -> str:
    """`fill with heparin-saline (lasts 21 days) or glycerin (21 days)`: never an empty pump."""
    in_nl = pump.fill_nl - dose.primed_nl(pump)
    days = int(dose.supply_days(in_nl, pump.unusable_nl, pump.flow_nl_per_day))
    texts = [
        f"{word} (good for {min(days, library.drugs[word].stability_days or days)} days)"
        for word in checks.keepers(library)
    ]
    return f"fill with {' or '.join(texts)}, never leave it empty"


def history_view(entries: Sequence[Entry]) -> RenderableType:
    rows = []
    for one in entries:
        values = ", ".join(f"{TESTS[test][1]} {rounded(value, 2)}" for test, value in one.values.items())
        verdict = f"{one.percent} % of {one.percent_of}" if one.percent else "hold"
        given = f"{rounded(one.dose_mg_per_kg_day, 5)}" if one.percent else "0"
        rows.append((str(one.number), cal.on(one.day), verdict, given, values, one.by))
    return views.rows_view(rows, "", "On", "Decision", "mg/kg/day", "Values", "By")


def rules_view(rules: RuleSet, default: bool) -> RenderableType:
    """A set as a table: from which multiple on which share."""
    shares = sorted({step.percent for row in rules.rows for step in row.steps}, reverse=True)
    head = Text.assemble(
        (rules.id, "bold"), " (the default)" if default else "", f": {rules.name}, version {rules.version}"
    )
    rows = [(*_row_names(row), *[_share(row, share) for share in shares], _restart(row)) for row in rules.rows]
    shown = [f"{share} %" if share else "hold" for share in shares]
    compared = (
        "The higher of the values at emptying and at the planned dose, over what it is compared with. Reference: the "
        + ("baseline" if rules.reference == "baseline" else "value at the last dose, never below the baseline")
        + f". The worst row wins; percent of the {rules.percent_of} dose."
    )
    imaging = rules.imaging
    bound = f"Bilirubin from {rounded(imaging.at_mg_per_dl, 2)} mg/dL on: {imaging.words}."
    return Group(
        head,
        Text(rules.status, "yellow"),
        views.rows_view(rows, "Test", "over", *shown, "restart"),
        Text(compared, "dim"),
        Text(bound + "\n", "dim"),
    )


def _row_names(row: Row) -> tuple[str, str]:
    unit, name = TESTS[row.test]
    short = "bilirubin" if row.test == "bilirubin" else name
    if row.compare_with == "upper_limit":
        return short, "upper limit"
    if row.reference_at_most is not None:
        return short, f"ref. <= {rounded(row.reference_at_most, 2)} {unit}"
    if row.reference_above is not None:
        return short, f"ref. > {rounded(row.reference_above, 2)} {unit}"
    return short, "reference"


def _share(row: Row, percent: int) -> str:
    step = next((step for step in row.steps if step.percent == percent), None)
    return "-" if step is None else f"{'>' if step.strictly else '>='} {rounded(step.times, 2)} x"


def _restart(row: Row) -> str:
    return f"{row.restart_percent} % < {rounded(row.restart_below, 2)} x"


def rules_json(rules: RuleSet) -> dict[str, Any]:
    """A set for --json."""
    return {
        "id": rules.id,
        "name": rules.name,
        "version": rules.version,
        "status": rules.status,
        "percent_of": rules.percent_of,
        "reference": rules.reference,
        "rows": [
            {
                "test": row.test,
                "compare_with": row.compare_with,
                "steps": [[str(step.times), step.strictly, step.percent] for step in row.steps],
                "restart_below": str(row.restart_below),
                "restart_percent": row.restart_percent,
            }
            for row in rules.rows
        ],
    }


# --- library


def library_view(library: Library) -> RenderableType:
    """All drugs with their limits: soft end first, hard end behind the bar."""
    rows = [
        (
            drug.word,
            _ends(drug.concentration or drug.per_fill),
            _ends(drug.dose_per_day),
            _ends(drug.rate),
            f"{drug.stability_days} d" if drug.stability_days else "",
        )
        for drug in library.drugs.values()
    ]
    head = Text.assemble((library.name, "bold"), f", version {library.version}. {library.about}")
    foot = Text(f"Soft | hard. Vouched for by {library.vouched}. SHA-256 {library.sha256}", "dim")
    return Group(head, views.rows_view(rows, "Drug", "Strength", "Dose per day", "mL/day", "At 37 C"), foot)


def _ends(limit: Limit | None) -> str:
    if limit is None:
        return ""
    ends = [_end(limit, limit.soft_max), _end(limit, limit.hard_max)]
    unit = "" if limit.unit == "mL/day" else f" {limit.unit}"
    return " | ".join(ends) + unit


def _end(limit: Limit, value: Fraction) -> str:
    return limit.text(value).removesuffix(f" {limit.unit}")


def drug_view(drug: Drug) -> RenderableType:
    """Everything about one drug, with its sources."""
    rows: list[tuple[str, str]] = [("name", drug.name), ("kind", drug.kind)]
    if drug.keeps_open:
        rows.append(("", "keeps the catheter open"))
    for limit in (drug.concentration, drug.dose_per_day, drug.rate, drug.bolus, drug.per_fill):
        if limit is not None:
            rows += [(limit.what, _limit_text(limit)), ("", limit.source)]
    if drug.stock is not None:
        rows += [("stock", f"{drug.stock.preparation}, {drug.stock.text()}"), ("", drug.stock.source)]
    if drug.stability_days is not None:
        rows += [("in the pump", f"{drug.stability_days} days at 37 C"), ("", drug.stability_source)]
    rows += [
        ("made up with", ", ".join(drug.diluents) or "nothing"),
        ("with it", ", ".join(drug.additives) or "nothing"),
    ]
    rows.append(("viscosity", drug.viscosity))
    if drug.thick is not None:
        thick = f"{rounded(drug.thick.times_water, 2)} times that of water at {rounded(drug.thick.at, 2)} of its unit"
        rows += [("", thick), ("", drug.thick.source)]
    return views.rows_view(rows, drug.word, "")


def _limit_text(limit: Limit) -> str:
    low = ""
    if limit.soft_min is not None and limit.hard_min is not None:
        low = f"{limit.text(limit.soft_min)} (hard {limit.text(limit.hard_min)}) to "
    return f"{low}{limit.text(limit.soft_max)} (hard {limit.text(limit.hard_max)})"


def library_json(library: Library) -> dict[str, Any]:
    """A library for --json; exact numbers as fractions in text."""

    def plain(limit: Limit | None) -> Mapping[str, Any] | None:
        if limit is None:
            return None
        ends = {name: getattr(limit, name) for name in ("hard_min", "soft_min", "soft_max", "hard_max")}
        told = {name: None if value is None else str(value) for name, value in ends.items()}
        unit = {"mL/day": "nL/day", "mL": "nL"}.get(limit.unit, limit.unit)
        return {"unit": unit, "source": limit.source, **told}

    return {
        "name": library.name,
        "version": library.version,
        "sha256": library.sha256,
        "vouched": library.vouched,
        "drugs": {
            word: {
                "name": drug.name,
                "kind": drug.kind,
                "keeps_open": drug.keeps_open,
                "stability_days": drug.stability_days,
                **{
                    name: plain(getattr(drug, name))
                    for name in ("concentration", "dose_per_day", "rate", "bolus", "per_fill")
                },
            }
            for word, drug in library.drugs.items()
        },
    }
