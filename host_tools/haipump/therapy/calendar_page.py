"""The calendar of a course as a page: months, one colour for each drug, the fills marked.

Owns: layout, and `marks`: the letter and the colour of each drug. Must not: work out dates.
"""

from __future__ import annotations

import calendar as months
from collections.abc import Mapping
from datetime import date

from haipump.quantities import counted, format_rate, format_volume, rounded
from haipump.report import style
from haipump.report.text import SAFETY, esc
from haipump.therapy import NOT_CLINICAL
from haipump.therapy import calendar as cal
from haipump.therapy.course import Course, Phase
from haipump.therapy.dose import fill_flow_nl_per_day, primed_nl, residual_nl
from haipump.therapy.library import Library
from haipump.therapy.reading import Problem

COLORS = (style.STEPPED, style.PRESSURE, style.WARN, style.BOLUS, style.COMMANDED, style.RESERVOIR)
_CSS = """
main { max-width: 1060px; }
.months { display: grid; grid-template-columns: repeat(3, 1fr); gap: 22px 30px; margin: 14px 0 6px; }
.month { break-inside: avoid; } .month b { font-size: 14px; }
.month table { font-size: 12.5px; table-layout: fixed; margin-top: 4px; } .month th { border: none; padding: 1px 0;
  text-align: center; font-size: 11px; }
.month td { padding: 0; border: 1.5px solid #fff; text-align: center; height: 27px; vertical-align: middle;
  color: #fff; font-weight: 600; border-radius: 5px; } .month td.off { color: var(--faint); font-weight: 400; }
.month td.fill { box-shadow: inset 0 0 0 2.5px var(--ink); font-weight: 800; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 22px; font-size: 13px; margin: 4px 0 0; }
.legend i { display: inline-block; width: 15px; height: 15px; border-radius: 4px; margin-right: 7px;
  vertical-align: -2px; }
.legend i.fill { background: #fff; box-shadow: inset 0 0 0 2.5px var(--ink); }
.wrong { border-left: 6px solid ALARM; background: var(--wash); padding: 6px 14px; margin: 6px 0; font-size: 13px; }
.wrong.warning { border-color: WARN; }
@media screen and (max-width: 820px) { .months { grid-template-columns: 1fr 1fr; gap: 18px; } }
@media print { .month td { height: 20px; font-size: 10px; } .months { gap: 12px 20px; } }
""".replace("ALARM", style.ALARM).replace("WARN", style.WARN)


def marks(course: Course) -> dict[str, tuple[str, str]]:
    """(letter, colour) of each drug of the course, in order of appearance; letters differ."""
    drugs = dict.fromkeys([*[span.phase.drug for span in cal.periods(course)], *[one.drug for one in course.refills]])
    found: dict[str, tuple[str, str]] = {}
    for index, drug in enumerate(drugs):
        taken = {letter for letter, _ in found.values()}
        spare = [letter for letter in drug + "abcdefghijklmnopqrstuvwxyz" if letter.isalpha() and letter not in taken]
        found[drug] = (spare[0], COLORS[index % len(COLORS)])
    return found


def month_starts(course: Course) -> list[date]:
    """The first day of every month that the course touches."""
    end = cal.periods(course)[-1].end
    found, day = [], course.start.replace(day=1)
    while day < end:
        found.append(day)
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return found


def strength_text(phase: Phase) -> str:
    """Dose or concentration as planned; empty when there is none."""
    if phase.dose_mg_per_kg_day is not None:
        return f"{rounded(phase.dose_mg_per_kg_day, 4)} mg/kg/day"
    if phase.concentration is not None:
        return f"{rounded(phase.concentration[0], 3)} {phase.concentration[1]}"
    return ""


def compose(course: Course, library: Library, problems: list[Problem]) -> str:
    """The page."""
    spans, fills = cal.periods(course), cal.fills(course)
    pump = course.pump
    names = {word: library.drugs[word].name if word in library.drugs else word for word in marks(course)}
    lead = (
        f"{counted(course.cycles, 'cycle')}, {cal.on(course.start)} to {cal.on(spans[-1].last)}. Pump: "
        f"{pump.kind.replace('-', ' ')}, {format_volume(pump.fill_nl)} at {format_rate(pump.flow_nl_per_day)}. "
        f"“{course.patient.label}”, {rounded(course.patient.weight_kg, 2)} kg."
    )
    legend = "".join(
        f'<span><i style="background:{color}"></i>{esc(names[word])}</span>'
        for word, (_, color) in marks(course).items()
    )
    wrong = "".join(
        f'<p class="wrong {esc(one.level)}"><b>{esc(one.where)}</b>, line {one.line}: {esc(one.sentences)}</p>'
        for one in problems
    )
    parts = [
        '<div class="kicker"><span>haipump · calendar of a course</span><span>not for clinical use</span></div>',
        f"<h1>{esc(course.name)}</h1>",
        f'<p class="lead">{esc(lead)}</p>',
        wrong,
        f'<p class="legend">{legend}<span><i class="fill"></i>fill</span></p>',
        f'<div class="months">{"".join(_month(course, first) for first in month_starts(course))}</div>',
        "<h2>Fills</h2>",
        _table(course, library, fills, names),
        f'<p class="note">Drug library {esc(library.name)}, version {library.version}, SHA-256 {library.sha256[:16]}.'
        f" {esc(NOT_CLINICAL)}</p>",
        f'<p class="safety">{esc(SAFETY)}</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>haipump calendar: {esc(course.name)}</title>\n<style>{style.CSS}{_CSS}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(part for part in parts if part) + "\n</main>\n</body>\n</html>\n"
    )


def _month(course: Course, first: date) -> str:
    spans = {day: span for span in cal.periods(course) for day in days(span)}
    filled = {fill.date for fill in cal.fills(course)}
    colors = marks(course)
    rows = []
    for week in months.Calendar().monthdatescalendar(first.year, first.month):
        cells = []
        for day in week:
            span = spans.get(day) if day.month == first.month else None
            if span is None:
                cells.append(f'<td class="off">{day.day if day.month == first.month else ""}</td>')
                continue
            kind = f"{'pause ' if span.pause else ''}{'fill' if day in filled else ''}".strip()
            title = f"{day.isoformat()}: {span.phase.drug}{', pause' if span.pause else f', cycle {span.cycle}'}"
            color = colors[span.phase.drug][1]
            cells.append(f'<td class="{kind}" style="background:{color}" title="{esc(title)}">{day.day}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f"<th>{name}</th>" for name in ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"))
    return f'<div class="month"><b>{first:%B %Y}</b><table><tr>{heads}</tr>{"".join(rows)}</table></div>'


def days(span: cal.Period) -> list[date]:
    """Every day of a period."""
    return [date.fromordinal(span.start.toordinal() + offset) for offset in range(span.phase.days)]


def left_text(course: Course, library: Library, fill: cal.Fill) -> str:
    """What the next refill should find of a fill."""
    pump, flow_nl = course.pump, course.pump.flow_nl_per_day
    if fill.phase is not None:
        flow_nl = fill_flow_nl_per_day(course, fill.phase, library.drugs.get(fill.drug))
    left_nl = residual_nl(pump.fill_nl - primed_nl(pump), flow_nl, fill.days)
    return format_volume(left_nl) if left_nl >= pump.unusable_nl else "runs dry"


def _table(course: Course, library: Library, fills: list[cal.Fill], names: Mapping[str, str]) -> str:
    rows = []
    for fill in fills:
        left = left_text(course, library, fill)
        rows.append(
            f"<tr><td>{fill.number}</td><td>{cal.on(fill.date)}</td>"
            f"<td>{esc(names.get(fill.drug, fill.drug))}</td>"
            f"<td>{esc(strength_text(fill.phase) if fill.phase else '')}</td>"
            f'<td class="n">{fill.days}</td><td class="n">{esc(left)}</td></tr>'
        )
    head = (
        "<th></th><th>on</th><th>drug</th><th>strength</th>"
        '<th class="n">days</th><th class="n">expected at the next</th>'
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
