"""The report of a course: one self-contained HTML page and its pictures, made from its record and nothing else.

Owns: wording and layout, `write_course_report`. Must not: work out facts (`course_facts`) or draw (`course_figures`).
The same record makes the same page, byte for byte. Teaching and bench material, not for clinical use.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from haipump.protocol import help as texts
from haipump.quantities import SECONDS_PER_DAY, format_rate, format_volume
from haipump.report import style
from haipump.report.page import SAFETY, esc
from haipump.report.tables import NONE, table
from haipump.therapy import NOT_CLINICAL, course_figures
from haipump.therapy.course_facts import Course, Day, Refill
from haipump.therapy.filled import made_of, made_text, strength_text
from haipump.therapy.findings import KINDS, LEVELS, percent, tenths
from haipump.therapy.record import Record, Verdict

ROWS_MAX = 300
_COLORS = course_figures.LEVEL_COLORS


def write_course_report(record_path: Path | str, html_path: Path | str) -> list[Path]:
    """Write the page to `html_path` and its pictures beside it as PNG; what was written, the page first. Raises
    UsageError when `record_path` is no record."""
    page = Path(html_path)
    with Record(record_path) as record:
        verdict = record.check()
        course = Course(record)
    digest = hashlib.sha256(Path(record_path).read_bytes()).hexdigest()
    drawn = course_figures.draw(course)
    source = Path(record_path).name, digest
    html = compose(course, verdict, source, {name: svg for name, (svg, _) in drawn.items()})
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8", newline="\n")
    written = [page]
    for name, (_, png) in drawn.items():
        path = page.with_name(f"{page.stem}-{name}.png")
        path.write_bytes(png)
        written.append(path)
    return written


def compose(course: Course, verdict: Verdict, source: tuple[str, str], drawings: Mapping[str, str]) -> str:
    """The page around these drawings (SVG by name). `source`: name and SHA-256 of the record."""
    parts = [
        '<div class="kicker"><span>haipump · report of a course</span><span>NOT FOR CLINICAL USE</span></div>',
        f"<h1>{esc(headline(course))}</h1>",
        f'<p class="lead">{esc(lead(course))}</p>',
        _tiles(course, verdict),
        _verdict(course, verdict),
        _figure("dose", drawings, _dose_caption(course)),
        _figure("flow", drawings, _FLOW_CAPTION),
        _figure("residual", drawings, "Black: what the reference flow would have left. Colours as above."),
        _section("Refills", _refills(course)),
        _section("Findings", _findings(course)),
        _section("Fills", _fills(course)),
        _section("Dose per day", _per_day(course)),
        _section("Adjustments", _adjustments(course)),
        _section("Alarms of the pump", _alarms(course)),
        _section("Who confirmed what", _confirmations(course)),
        _section("Provenance", _provenance(course, verdict, source)),
        f'<p class="safety">NOT FOR CLINICAL USE. {esc(NOT_CLINICAL)} {esc(SAFETY)}</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>haipump course: {esc(course.name)}</title>\n<style>{style.CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


_FLOW_CAPTION = (
    "Flow is what was missing at a refill without what was primed, over the time since the fill in which the pump "
    "delivered. Limits are drawn for one refill; the means of "
    "the last four count from closer limits. A finding about residual, needle or catheter is named at its refill."
)


def _dose_caption(course: Course) -> str:
    if course.axis.known:
        return (
            "Delivered: the pump's own steps, from its journal. Plan: the rates that were set at each visit, and the "
            "drug that the course ordered."
        )
    return (
        "Delivered: what was missing at the next refill, spread evenly over the days in between: a pump of constant "
        "flow tells no more. Plan: the reference flow of each fill."
    )


# --- sentences


def headline(course: Course) -> str:
    """One line: what, how long, how it went."""
    done = [row for row in course.visits if course.ended.get(row["id"], {}).get("how") == "done"]
    days = course.end_s // SECONDS_PER_DAY
    found = len(_told(course))
    visits = f"{len(done)} visit{'' if len(done) == 1 else 's'}"
    finding = "no finding" if not found else f"{found} finding{'' if found == 1 else 's'}"
    return f"{course.name}: {visits} in {days} day{'' if days == 1 else 's'}, {finding}"


def lead(course: Course) -> str:
    """A second line: the pump and what is in it."""
    if not course.visits:
        return "Nothing was recorded yet."
    last, parts = course.visits[-1], []
    kind = "a pump of constant flow" if last["pump"] == "constant flow" else "a pump on its line"
    name = "" if last["device"] == "none" else f" ({last['device']})"
    parts.append(f"With {kind}{name}, from {course.zero.day} {course.zero:%B %Y} on.")
    if course.fills:
        fill = course.fills[-1]
        parts.append(f"Last fill: {format_volume(fill['volume_nl'])} of {fill['drug'].replace('_', '-')}.")
    if course.next_visit:
        parts.append(f"Next visit: {course.next_visit}.")
    return " ".join(parts)


def _told(course: Course) -> list[dict[str, Any]]:
    """Findings that ask for something."""
    return [row for row in course.findings if LEVELS.index(row["level"]) >= LEVELS.index("flag")]


def _tile(name: str, value: str, more: str, color: str = "") -> str:
    line = f'<i style="background:{color}"></i>' if color else ""
    return (
        f'<div class="tile"><div class="name">{line}{esc(name)}</div><div class="value">{value}</div>'
        f'<div class="more">{esc(more)}</div></div>'
    )


def _rounded(value_nl: Fraction | int, unit: str, digits: int = 1) -> str:
    scaled = round(Fraction(value_nl) * 10**digits / 1_000_000)
    sign, scaled = ("−" if scaled < 0 else ""), abs(scaled)
    number = f"{scaled // 10**digits:,}" + (f".{scaled % 10**digits:0{digits}d}" if digits else "")
    return f"{sign}{number}&nbsp;<small>{unit}</small>"


def _tiles(course: Course, verdict: Verdict) -> str:
    known = [day for day in course.days if day.delivered_nl is not None]
    end_s = max((piece.end_s for piece in course.pieces), default=0)
    out_nl = sum((piece.volume_nl for piece in course.pieces), Fraction(0))
    out_ng = sum((day.delivered_ng or Fraction(0) for day in known), Fraction(0))
    plan_nl = _planned_until(course, end_s)
    off = percent(out_nl / plan_nl - 1).replace("-", "−") if plan_nl else "–"
    found, refills = _told(course), course.refills
    last = refills[-1] if refills else None
    line = course.axis.known
    tiles = [
        _tile("Delivered", _rounded(out_nl, "mL"), f"of {_plain(plan_nl)} planned until then", style.STEPPED),
        _tile("Drug", _rounded(out_ng, "mg") if out_ng else "–", "by the concentration of each fill"),
        _tile("Against plan", esc(off), "volume, as far as it is known"),
        _tile("Findings", str(len(found)), ", ".join(dict.fromkeys(_name(row["kind"]) for row in found)) or "none"),
        _tile(
            "Actual flow", _rounded(last.flow_nl_per_day, "mL/day", 2) if last and last.flow_known else "–",
            _flow_words(last),
        ),
        _tile("Alarms", str(len(course.alarms)) if line else "–", "in the pump's journal" if line else "it has none"),
        _tile("Next visit", esc(course.next_visit) or "–", "as it was confirmed"),
        _tile("Record", f"{verdict.rows:,}&nbsp;<small>rows</small>", "unchanged" if verdict.intact else "CHANGED"),
    ]  # fmt: skip
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _flow_words(last: Refill | None) -> str:
    if last is None:
        return "known from the second visit on"
    if not last.flow_known:
        return f"none can be told from the last refill: {last.no_flow}"
    return f"at the last refill, error {percent(last.error)}"


def _plain(value_nl: Fraction | int) -> str:
    return f"{tenths(Fraction(value_nl) / 1_000_000)} mL"


def _planned_until(course: Course, end_s: int) -> Fraction:
    total = Fraction(0)
    for piece in course.planned:
        if piece.start_s < end_s:
            share = Fraction(min(piece.end_s, end_s) - piece.start_s, piece.end_s - piece.start_s)
            total += piece.volume_nl * share
    return total


def _verdict(course: Course, verdict: Verdict) -> str:
    level, text = "good", "Nothing was found that asks for anything."
    found = _told(course)
    if found:
        worst = max(found, key=lambda row: LEVELS.index(row["level"]))
        level = "warn" if worst["level"] == "flag" else "bad"
        text = f"Visit {worst['visit']}: {_name(worst['kind'])}, {worst['text']}. {_sentence(KINDS[worst['kind']][2])}."
    open_ones = [row["id"] for row in course.visits if row["id"] not in course.ended]
    if open_ones:
        level, text = "bad", f"Visit {open_ones[0]} is still open. {text}"
    if not verdict.intact:
        level, text = "bad", f"This record is not as it was written: {verdict.faults[0]}."
    return f'<p class="verdict" style="border-color:{style.LEVELS[level]}">{esc(text)}</p>'


def _name(kind: str) -> str:
    return kind.replace("_", " ")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _section(title: str, body: str) -> str:
    return f'<h2>{esc(title)}</h2>\n<div class="scroll">{body}</div>' if body else ""


def _figure(name: str, drawings: Mapping[str, str], caption: str) -> str:
    data = base64.b64encode(drawings[name].encode("utf-8")).decode("ascii")
    return (
        f'<figure><img alt="{esc(name)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{esc(caption)}</figcaption></figure>"
    )


# --- tables


def _tag(level: str, text: str) -> str:
    return f'<span class="tag" style="background:{_COLORS[level]}">{esc(text)}</span>'


def _when(course: Course, at_s: int | None) -> str:
    return '<span class="none">unknown</span>' if at_s is None else f"{course.date(at_s):%Y-%m-%d %H:%M}"


def _cut(rows: list[list[str]]) -> str:
    more = len(rows) - ROWS_MAX
    return f'<p class="note">The last {ROWS_MAX} of {len(rows):,}; the record has all.</p>' if more > 0 else ""


def _refills(course: Course) -> str:
    if not course.refills:
        return '<p class="none">The first fill has nothing to be compared with.</p>'
    rows = [_refill_row(course, one) for one in course.refills]
    heads = ("Visit", "When", "Days", "Filled", "Expected", "Came back", "Reference", "Actual", "Error", "Counts from",
             "Pump counts", "Found")  # fmt: skip
    note = (
        '<p class="note">Error: of what had gone, against the reference flow. It counts from what stands beside it on, '
        "which is the bound or 4.5 standard uncertainties, for one refill.</p>"
    )
    return table(heads, rows[-ROWS_MAX:], "nsnnnnnnnnnt") + note + _cut(rows)


def _refill_row(course: Course, one: Refill) -> list[str]:
    counted = ""
    if one.ledger:
        counted = _plain(one.ledger["stepped_max_nl"] + one.ledger["other_nl"])
    found = " ".join(_tag(KINDS[kind][0], _name(kind)) for kind in one.kinds if kind in KINDS)
    return [
        str(one.visit), _when(course, one.at_s), tenths(Fraction(one.elapsed_s, SECONDS_PER_DAY)),
        esc(format_volume(one.filled_nl)), _plain(one.expected_return_nl), esc(format_volume(one.returned_nl)),
        _flow(one.reference_nl_per_day),
        f"<b>{_flow(one.flow_nl_per_day)}</b>" if one.flow_known else esc(f"none: {one.no_flow}"),
        esc(percent(one.error)),
        f"{tenths(one.limit * 100)} %", counted, found,
    ]  # fmt: skip


def _flow(value_nl_per_day: Fraction) -> str:
    thousandths = round(value_nl_per_day / 1_000)
    return f"{'−' if thousandths < 0 else ''}{abs(thousandths) // 1_000}.{abs(thousandths) % 1_000:03d} mL/day"


def _findings(course: Course) -> str:
    rows = [
        [
            str(row["visit"]), _tag(row["level"], _name(row["kind"])), esc(row["text"]),
            esc(f"{_sentence(KINDS[row['kind']][1])}. {_sentence(KINDS[row['kind']][2])}."),
        ]
        for row in course.findings
        if row["level"] != "accept"
    ]  # fmt: skip
    return table(("Visit", "Finding", "Numbers", "Meaning and action"), rows[-ROWS_MAX:], "nstt") if rows else NONE


def _fills(course: Course) -> str:
    rows = []
    for row in course.fills:
        micro = round(Fraction(row["concentration_ng_per_ml"]) / 1_000)
        made = made_of(course.settings[row["visit"]], row["drug"])
        strength = f"{micro // 1_000}.{micro % 1_000:03d} mg/mL" if micro else strength_text(made) if made else ""
        rows.append([
            str(row["visit"]), row["at_utc"][:16].replace("T", " "), esc(row["drug"].replace("_", "-")),
            esc(strength), esc(format_volume(row["volume_nl"])),
            f"± {tenths(Fraction(row['u_nl'], 1_000_000))} mL", esc(row["lot"]), esc(made_text(made) if made else ""),
        ])  # fmt: skip
    heads = ("Visit", "When", "Drug", "Concentration", "Volume", "Standard uncertainty", "Lot", "Made up of")
    return table(heads, rows[-ROWS_MAX:], "nstnnntt") if rows else NONE


def _per_day(course: Course) -> str:
    if not course.days:
        return ""
    spans: list[tuple[int, int, list[str]]] = []
    for day in course.days:
        cells = _day_cells(day)
        if spans and spans[-1][2] == cells:
            spans[-1] = spans[-1][0], day.number, cells
        else:
            spans.append((day.number, day.number, cells))
    rows = [
        [
            str(first + 1) if first == last else f"{first + 1} to {last + 1}",
            f"{course.date(first * SECONDS_PER_DAY):%Y-%m-%d}", *cells,
        ]
        for first, last, cells in spans
    ]  # fmt: skip
    heads = ("Days", "From", "Drug", "Planned", "Delivered", "Difference", "Drug planned", "Drug delivered")
    note = (
        '<p class="note">Per day; days that are alike stand together. A day has 24 hours from the hour of the first '
        "visit on; the last one may be shorter.</p>"
    )
    return table(heads, rows[-ROWS_MAX:], "sstnnnnn") + note + _cut(rows)


def _day_cells(day: Day) -> list[str]:
    known, off = day.delivered_nl is not None, '<span class="none">known at the next refill</span>'
    if day.delivered_nl is not None:
        off = esc(percent(day.delivered_nl / day.planned_nl - 1).replace("-", "−")) if day.planned_nl else ""
    return [
        esc(day.drug.replace("_", "-")), _flow(day.planned_nl)[:-4],
        _flow(day.delivered_nl)[:-4] if day.delivered_nl is not None else "", off, _mass(day.planned_ng),
        _mass(day.delivered_ng) if known else "",
    ]  # fmt: skip


def _mass(value_ng: Fraction | None) -> str:
    if not value_ng:
        return ""
    hundredths = round(value_ng / 10_000)
    return f"{hundredths // 100}.{hundredths % 100:02d} mg"


def _adjustments(course: Course) -> str:
    rows = [
        [row["at_utc"][:16].replace("T", " "), f"{row['percent']} %", esc(row["reason"]), esc(row["by"])]
        for row in course.adjustments
    ]
    return table(("When", "Dose", "Reason", "By"), rows[-ROWS_MAX:], "sntt") if rows else NONE


def _alarms(course: Course) -> str:
    rows = []
    for at_s, device, name in course.alarms:
        meaning, advice = texts.ALARMS.get(name, ("unknown to these tools", "update them"))
        rows.append(
            [_when(course, at_s), esc(device), f"<b>{esc(_name(name))}</b>", esc(f"{_sentence(meaning)}: {advice}.")]
        )
    return (table(("When", "Pump", "Alarm", "Meaning"), rows[-ROWS_MAX:], "sstt") + _cut(rows)) if rows else NONE


def _confirmations(course: Course) -> str:
    rows = [
        [
            str(row["visit"]), str(row["turn"]), row["at_utc"][:16].replace("T", " "), esc(_name(row["step"])),
            esc(_answer(json.loads(row["answer"]))), esc(row["by"]),
        ]
        for row in course.confirmations
    ]  # fmt: skip
    heads = ("Visit", "Step", "When", "What", "Answer", "Confirmed by")
    return (table(heads, rows[-ROWS_MAX:], "nnsttt") + _cut(rows)) if rows else NONE


def _answer(answer: Mapping[str, Any]) -> str:
    """An answer in words: volumes as people read them."""
    words = []
    for name, value in answer.items():
        if name in ("clock", "by"):
            continue
        if name == "ledger":
            words.append(f"{_plain(value['stepped_max_nl'])} stepped, {_plain(value['commanded_nl'])} commanded")
        elif name.endswith("_nl"):
            words.append(f"{_name(name[:-3])} {format_volume(value)}")
        elif value is True:
            words.append("yes" if name in ("yes", "in") else _name(name))
        elif value is False:
            words.append("no")
        else:
            words.append(f"{_name(name)} {value}")
    return ", ".join(words) or "yes"


def _perfusion_text(every_days: int) -> str:
    rule = "before the first drug, after a sign of the catheter"
    return f"{rule}, every {every_days} days" if every_days else rule


def _provenance(course: Course, verdict: Verdict, source: tuple[str, str]) -> str:
    settings = json.loads(course.visits[-1]["settings"]) if course.visits else {}
    chain = f"{verdict.rows:,} rows, each a link, none changed" if verdict.intact else "; ".join(verdict.faults[:5])
    facts = [
        ("Record", esc(source[0])),
        ("Its SHA-256", f"<code>{source[1]}</code>"),
        ("Chain", esc(chain)),
        ("Visits", str(len(course.visits))),
    ]
    if settings:
        facts += [
            ("Flow on the label", esc(format_rate(settings["label_nl_per_day"]))),
            ("Reading, standard uncertainty", esc(format_volume(settings["reading_nl"]))),
            ("Flush and patency test", f"every {settings['flush_every_days']} days"),
            ("Perfusion check", _perfusion_text(settings.get("perfusion_every_days", 0))),
        ]
    rows = "".join(f"<dt>{esc(name)}</dt><dd>{value}</dd>" for name, value in facts)
    return f'<div class="facts"><dl style="grid-template-columns: 210px 1fr">{rows}</dl></div>'
