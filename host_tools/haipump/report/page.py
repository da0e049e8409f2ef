"""The page of a report: HTML around figures, numbers and tables. Owns: wording and layout. Must not: work out facts.

Everything that comes from the file goes through `esc`; nothing is loaded from anywhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from haipump.quantities import format_duration_short, format_volume
from haipump.report import figures, style, tables
from haipump.report.checks import Check, Sums, judge, sums, worst
from haipump.report.source import read
from haipump.report.story import Story, tell
from haipump.report.text import SAFETY, esc
from haipump.report.words import duration, headline, ordered, percent

_SIGNS = {"good": "✓", "warn": "!", "bad": "✗", "unknown": "?"}
_VERDICTS = {
    "good": "Delivered as ordered.",
    "warn": "Delivered, with something to look at.",
    "bad": "Not as ordered: see below.",
    "unknown": "Not everything is known.",
}
UNKNOWN = '<span class="none">unknown</span>'


def render(run_path: Path) -> tuple[str, dict[str, bytes]]:
    """The page and its pictures as PNG. Raises UsageError."""
    story = tell(read(run_path))
    drawn = figures.draw(story)
    page = compose(story, {name: svg for name, (svg, _) in drawn.items()})
    return page, {name: png for name, (_, png) in drawn.items()}


def compose(story: Story, drawings: Mapping[str, str]) -> str:
    """The page around these drawings (SVG by name)."""
    total = sums(story)
    checks = judge(story, total)
    device = story.source.latest("hello").get("device", "unknown pump")
    title = headline(story)
    parts = [
        f'<div class="kicker"><span>haipump · infusion report</span><span>pump {esc(device)}</span></div>',
        f"<h1>{esc(title)}</h1>",
        f'<p class="lead">{esc(ordered(story))}</p>',
        _tiles(story, total),
        _verdict(checks),
        _figure("delivery", drawings, _delivery_caption(story)),
        _figure("flow", drawings, _flow_caption()),
        '<div class="pair">',
        _figure("pressure", drawings, "As the pump's sensor read it, at each record."),
        _figure("reservoir", drawings, tables.reservoir_sentence(story)),
        "</div>",
        _figure("timeline", drawings, _timeline_caption(story)),
        _section("Orders", tables.orders(story)),
        _section("Alarms", tables.alarms(story)),
        _section(*tables.periods(story)),
        _section("Provenance", tables.provenance(story, total)),
        f'<p class="safety">{SAFETY}</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>haipump report: {esc(title)}</title>\n<style>{style.CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f'<h2>{esc(title)}</h2>\n<div class="scroll">{body}</div>' if body else ""


def _figure(name: str, drawings: Mapping[str, str], caption: str) -> str:
    data = base64.b64encode(drawings[name].encode("utf-8")).decode("ascii")
    return (
        f'<figure><img alt="{esc(name)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{esc(caption)}</figcaption></figure>"
    )


# --- big numbers


def _tile(name: str, value: str, more: str = "", color: str = "", ranged: bool = False) -> str:
    line = f'<i style="background:{color}"></i>' if color else ""
    wide = " range" if ranged else ""
    return (
        f'<div class="tile"><div class="name">{line}{esc(name)}</div><div class="value{wide}">{value}</div>'
        f'<div class="more">{esc(more)}</div></div>'
    )


def _volume(value_nl: int | None) -> str:
    if value_nl is None:
        return UNKNOWN
    number, unit = format_volume(value_nl).split(" ")
    return f"{number}&nbsp;<small>{esc(unit)}</small>"


def _tiles(story: Story, total: Sums) -> str:
    stepped, ranged = _volume(total.stepped_nl), False
    if total.stepped_nl is not None and total.stepped_max_nl != total.stepped_nl:
        stepped = f"{_volume(total.stepped_nl)} to {_volume(total.stepped_max_nl)}"
        ranged = True
    commanded = _volume(total.commanded_nl)
    given = figures.boluses(story)
    last = story.points[-1] if story.points else None
    left = story.source.latest("status").get("reservoir_nl", last.reservoir_nl if last else None)
    tiles = [
        _tile("Commanded", commanded, _commanded_words(total), style.COMMANDED),
        _tile("Stepped", stepped, "pulses counted at the driver", style.STEPPED, ranged),
        _tile("Confirmed", _volume(total.confirmed_nl), "by the shaft encoder", style.CONFIRMED),
        _difference_tile(story, total),
        _tile("Duration", esc(duration(story)), _duration_words(story)),
        _tile("Boluses", str(len(given)), f"{format_volume(sum(nl for _, nl in given))} ordered" if given else "none"),
        _tile("Alarms", str(len(story.alarms)) if story.covered else UNKNOWN, _alarm_words(story)),
        _tile("Left in the syringe", _volume(left), tables.empty_words(story), style.RESERVOIR),
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _alarm_words(story: Story) -> str:
    if not story.covered:
        return "the journal is not in the file"
    high = [row for row in story.alarms if row.priority == "high"]
    names = ", ".join(dict.fromkeys(row.name.replace("_", " ") for row in high or story.alarms))
    if high:
        return f"{len(high)} of high priority: {names}"
    return f"none of high priority: {names}" if names else "none"


def _commanded_words(total: Sums) -> str:
    if total.commanded_nl is None:
        return "orders are missing in the file"
    if total.commanded_open:
        return "at least: up to the last record before the restart"
    return "sum of all dose orders"


def _difference_tile(story: Story, total: Sums) -> str:
    off_nl = total.difference_nl
    if off_nl is None or total.commanded_nl is None:
        return _tile("Stepped less commanded", UNKNOWN, "see below")
    steps = story.steps(off_nl)
    value = UNKNOWN if steps is None else f"{tables.signed(steps, 2)}&nbsp;<small>microsteps</small>"
    share = percent(off_nl, total.commanded_nl)
    return _tile("Stepped less commanded", value, f"{tables.signed_volume(off_nl)}" + (f", {share}" if share else ""))


def _duration_words(story: Story) -> str:
    if any(not gap.known for gap in story.axis.gaps):
        return "and unknown times without power"
    return "from the first order to the end of the last" if story.treated() else "of recording"


# --- verdict


def _verdict(checks: Sequence[Check]) -> str:
    level = worst(list(checks))
    first = next(check for check in checks if check.level == level)
    text = _VERDICTS[level] + " " + first.text if level != "good" else f"{_VERDICTS[level]} {checks[0].text}"
    items = "".join(
        f'<li><span class="dot" style="background:{style.LEVELS[check.level]}">{_SIGNS[check.level]}</span>'
        f"<span><b>{esc(check.title)}</b>{esc(check.text)}</span></li>"
        for check in checks
    )
    line = f'<p class="verdict" style="border-color:{style.LEVELS[level]}">{esc(text)}</p>'
    return f'{line}\n<ul class="checks">{items}</ul>'


# --- captions


def _delivery_caption(story: Story) -> str:
    text = (
        "Commanded: worked out from the recorded orders. Stepped: pulses counted at the motor driver. Confirmed: steps "
        "that the shaft encoder saw."
    )
    if story.slack_nl(story.end):
        text += " After a power loss the pump can't know the last 100 uL: both ends of the range are drawn."
    if story.axis.gaps:
        text += " Hatched: the pump was not running, or nobody knows."
    return text


def _flow_caption() -> str:
    return (
        "The blue line is the mean between two records; a bolus that is shorter than their distance is spread over it. "
        "Triangles: boluses as ordered. The scale is linear up to its first step above zero."
    )


def _timeline_caption(story: Story) -> str:
    seen_s = (story.end - story.start) / 300  # shorter ones can't be seen
    dotted = any(not stay.sure and stay.end - stay.start > seen_s for stay in story.stays)
    text = f"The recording covers {format_duration_short(int(story.end - story.start))}."
    if dotted:
        text += " Dotted: only telemetry says so, or the journal ends before."
    return text
