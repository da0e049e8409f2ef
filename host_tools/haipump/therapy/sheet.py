"""The preparation sheet of one fill: a page of A4 to print, every number with its formula.

Owns: layout and wording. Must not: work anything out; all numbers are those of `dose.Preparation`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction

from haipump.quantities import counted, format_rate, format_volume, rounded
from haipump.report import style
from haipump.report.text import SAFETY, esc
from haipump.therapy.dose import NL_PER_ML, Component, Preparation, primed_nl

_CSS = """
main { max-width: 860px; padding: 34px 44px 26px; }
h1 { font-size: 30px; margin: 16px 0 4px; } .lead { font-size: 15px; margin: 0 0 10px; }
h2 { font-size: 15px; margin: 18px 0 4px; padding-top: 0; border: none; }
table { font-size: 12.5px; } th, td { padding: 4px 10px 4px 0; }
td.f { font-family: ui-monospace, "DejaVu Sans Mono", "Liberation Mono", monospace; font-size: 11.5px; }
td.r { font-weight: 700; white-space: nowrap; } td.box { width: 74px; border-bottom: 1px solid var(--ink); }
.safety { margin: 12px 0 0; padding: 7px 14px; font-size: 13.5px; }
.warn { border-left: 6px solid WARN; background: var(--wash); padding: 5px 12px; margin: 8px 0 0;
  font-size: 12.5px; }
.sign { display: grid; grid-template-columns: 1fr 1fr; gap: 10px 34px; margin-top: 18px; font-size: 12px; }
.sign div { border-bottom: 1px solid var(--ink); height: 30px; display: flex; align-items: flex-end;
  color: var(--muted); padding-bottom: 2px; }
.from { font-size: 10.5px; color: var(--muted); margin: 12px 0 0; overflow-wrap: anywhere; }
@media print {
  main { padding: 0; } h1 { font-size: 22px; margin-top: 8px; } h2 { font-size: 13px; margin: 10px 0 2px; }
  table { font-size: 12px; } th { font-size: 11px; } td, th { padding: 3px 8px 3px 0; } td.f { font-size: 10.5px; }
  .note { font-size: 11px; } .warn { font-size: 12px; } .sign { margin-top: 12px; font-size: 11px; }
  .safety { font-size: 13px; margin-top: 10px; } .from { font-size: 9.5px; }
}
""".replace("WARN", style.WARN)


def compose(made: Preparation, number: int, of: int) -> str:
    """The page of fill `number` of `of`."""
    heading = title(made)
    day = f"{made.date:%A} {made.date.isoformat()}" if made.date else "no date"
    patient = made.course.patient
    lead = (
        f"Fill {number} of {of} of “{made.course.name}”, {day}, for {counted(made.days, 'day')}. For “{patient.label}”."
    )
    parts = [
        '<div class="kicker"><span>haipump · preparation sheet</span><span>not for clinical use</span></div>',
        f"<h1>{esc(heading)}</h1>",
        f'<p class="lead">{esc(lead)}</p>',
        *[f'<p class="warn">{esc(_capital(warning))}.</p>' for warning in made.warnings],
        "<h2>Worked out</h2>",
        f'<p class="note">{esc(_given(made))}</p>',
        _table(("", "formula", "with numbers", ""), formulas(made), ("", "f", "f", "r")),
        "<h2>Draw up</h2>",
        _table(("", "what", "from", "gives", "prepared", "checked"), steps(made), ("", "r", "", "", "box", "box")),
        _other_ways(made),
        '<div class="sign"><div>prepared by, date, time</div><div>checked by, date, time</div>'
        "<div>lot numbers, expiry</div><div>filled by, date, time</div></div>",
        f'<p class="safety">NOT FOR CLINICAL USE. {esc(SAFETY)}</p>',
        f'<p class="from">{esc(_provenance(made))}</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>haipump preparation sheet: {esc(heading)}</title>\n<style>{style.CSS}{_CSS}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(part for part in parts if part) + "\n</main>\n</body>\n</html>\n"
    )


def _given(made: Preparation) -> str:
    """What the letters of the formulas stand for."""
    pump, stock = made.pump, made.drug.stock
    given = [
        f"weight W = {rounded(made.course.patient.weight_kg, 2)} kg",
        f"fill V = {format_volume(pump.fill_nl)}",
        f"V_unusable = {format_volume(pump.unusable_nl)}",
        *([f"V_prime = {format_volume(primed_nl(pump))}, pushed off the catheter"] if primed_nl(pump) else []),
        f"F_ref = {format_rate(made.flow.reference_nl_per_day)}",
        f"t = {made.days} days",
    ]
    if stock is not None:
        given.append(f"c_stock = {stock.text()}")
    return "Given: " + ", ".join(given) + "."


def title(made: Preparation) -> str:
    """What the fill is, in one line."""
    fill = format_volume(made.pump.fill_nl)
    if made.main is None:
        return f"{made.drug.name}, {fill}"
    return f"{made.drug.name} {amount_text(made.main.amount, made.main.unit)} in {fill}"


def amount_text(value: Fraction, unit: str, digits: int = 2) -> str:
    """`194 mg`, `30,000 units`, `15 mL`."""
    return f"{grouped(value, digits)} {unit}"


def grouped(value: Fraction, digits: int = 2) -> str:
    """A number with commas from 10,000 on, so that nobody has to count zeros."""
    whole, point, rest = rounded(value, digits).partition(".")
    return f"{int(whole):,}{point}{rest}" if len(whole) > 4 else whole + point + rest


def signed_percent(value: Fraction) -> str:
    """`+0.08 %`, with two digits; `0 %` when it is exact."""
    sign = "+" if value > 0 else ""
    return f"{sign}{rounded(value, 2)} %".replace("-", "−")


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]], classes: tuple[str, ...]) -> str:
    heads = "".join(f"<th>{esc(cell)}</th>" for cell in head)
    lines = [
        "<tr>"
        + "".join(f'<td class="{kind}">{esc(cell)}</td>' for cell, kind in zip(row, classes, strict=True))
        + "</tr>"
        for row in rows
    ]
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def ml(value_nl: Fraction | int, digits: int = 4) -> str:
    """A volume in mL, rounded for display."""
    return rounded(Fraction(value_nl) / NL_PER_ML, digits)


def formulas(made: Preparation) -> Iterator[tuple[str, ...]]:
    """(what, formula, with numbers, result) of every number, in the order in which they follow from one another."""
    pump, flow = made.pump, made.flow
    label, actual = ml(flow.reference_nl_per_day), ml(flow.actual_nl_per_day)
    fill, unusable = ml(pump.fill_nl), ml(pump.unusable_nl)
    if flow.measured:
        error = signed_percent(flow.error_percent)
        yield "flow off", "(F − F_ref) / F_ref", f"({actual} − {label}) / {label}", error
    yield (
        "actual flow F",
        _flow_from(made),
        "",
        format_rate(flow.actual_nl_per_day),
    )
    if made.main is not None:
        yield from _drug_formulas(made, made.main, fill, actual)
    name = "F"
    if made.fill_flow_nl_per_day != flow.actual_nl_per_day and made.drug.thick is not None:
        name, times = "F′", rounded(made.drug.thick.times_water, 3)
        yield "flow with this drug F′", "F / thickness", f"{actual} / {times}", format_rate(made.fill_flow_nl_per_day)
        actual = ml(made.fill_flow_nl_per_day, 6)
    supply = rounded(made.supply_days, 2)
    letter, off_nl = "V", primed_nl(pump)
    if off_nl:
        letter, fill = "V − V_prime", f"{fill} − {ml(off_nl)}"
    yield "days of supply", f"({letter} − V_unusable) / {name}", f"({fill} − {unusable}) / {actual}", f"{supply} days"
    left = f"{ml(made.residual_nl)} mL"
    yield "expected at the next refill", f"{letter} − {name} t", f"{fill} − {actual} × {made.days}", left


def _flow_from(made: Preparation) -> str:
    if not made.flow.measured:
        return "by the label"
    return f"as found on {made.pump.measured_on}" if made.pump.measured_on else "as measured"


def _drug_formulas(made: Preparation, main: Component, fill: str, actual: str) -> Iterator[tuple[str, ...]]:
    stock, strength, unit = made.drug.stock, made.concentration, main.unit
    assert stock is not None and strength is not None
    weight, dose = made.course.patient.weight_kg, made.phase.dose_mg_per_kg_day
    kg = rounded(weight, 2)
    if dose is not None and made.dose_mg_per_kg_day is not None:
        d, percent = rounded(made.dose_mg_per_kg_day, 5), rounded(made.percent, 2)
        yield "dose d", "planned dose × adjustment", f"{rounded(dose, 5)} × {percent} %", f"{d} mg/kg/day"
        yield "in the reservoir m", "d W V / F", f"{d} × {kg} × {fill} / {actual}", amount_text(main.exact, unit, 3)
    elif made.phase.concentration is not None:
        value = f"{rounded(made.phase.concentration[0], 3)} {made.phase.concentration[1]}"
        yield "in the reservoir m", "c V", f"{value} × {fill} mL", amount_text(main.exact, unit, 3)
    exact, concentration = rounded(main.exact, 3), rounded(stock.concentration, 3)
    if stock.unit == "%":
        concentration = f"({concentration} / 100)"
    yield "to draw v", "m / c_stock", f"{exact} / {concentration}", f"{ml(main.exact_nl)} mL"
    drawn, error = ml(main.draw.volume_nl), signed_percent(main.draw.error_percent)
    mark = f"to the nearest {format_volume(main.draw.graduation_nl)} mark"
    yield "drawn v′", mark, main.draw.text, f"{drawn} mL"
    yield "drawn less needed", "(v′ − v) / v", f"({drawn} − {ml(main.exact_nl)}) / {ml(main.exact_nl)}", error
    yield "then in the reservoir m′", "v′ c_stock", f"{drawn} × {concentration}", amount_text(main.amount, unit, 3)
    after = f"{rounded(strength[0], 4)} {strength[1]}"
    yield "concentration", "m′ / V", f"{rounded(main.amount, 3)} / {fill}", after
    if made.dose_after is not None:
        numbers = f"{rounded(main.amount, 3)} × {actual} / ({fill} × {kg})"
        yield "dose that results", "m′ F / (V W)", numbers, f"{rounded(made.dose_after, 5)} mg/kg/day"


def steps(made: Preparation) -> Iterator[tuple[str, ...]]:
    """(number, what, from what, what it gives, and two empty cells to sign) of what is drawn up."""
    number = 0
    for number, one in enumerate(made.components, 1):
        stock = one.drug.stock
        assert stock is not None
        vials = f"{one.vials} × {stock.preparation} ({grouped(stock.concentration, 3)} {stock.unit})"
        yield f"{number}.", f"{one.drug.name}: {one.draw.text}", vials, amount_text(one.amount, one.unit), "", ""
    fill = format_volume(made.pump.fill_nl)
    if made.diluent is not None:
        what = f"{made.diluent.name}: make up to {fill}"
        yield f"{number + 1}.", what, f"about {ml(made.diluent_nl, 2)} mL", fill, "", ""
    elif not made.components:
        yield "1.", f"{made.drug.name}: {fill}", "", fill, "", ""


def _other_ways(made: Preparation) -> str:
    """The choices there were for the drug, one line."""
    if made.main is None or len(made.main.ways) < 2:
        return ""
    others = [
        f"{way.text} ({signed_percent(way.error_percent)})"
        for way in made.main.ways
        if way is not made.main.draw and abs(way.error_percent) <= made.library.refuse_percent
    ][:3]
    return f'<p class="note">Other ways: {esc("; ".join(others))}.</p>' if others else ""


def _provenance(made: Preparation) -> str:
    library, course = made.library, made.course.source
    digest = hashlib.sha256(course.text.encode("utf-8")).hexdigest()
    return (
        f"Course file {course.path.name}, SHA-256 {digest[:16]}. Drug library {library.name}, version "
        f"{library.version}, SHA-256 {library.sha256[:16]}, vouched for by {library.vouched}."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
