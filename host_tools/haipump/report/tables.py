"""The tables of a report as HTML: orders, alarms, dose per day, provenance. Owns: their rows. Must not: judge."""

from __future__ import annotations

import html
import importlib.metadata
from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np

from haipump.protocol import help as texts
from haipump.quantities import (
    SECONDS_PER_DAY,
    format_duration,
    format_duration_short,
    format_length,
    format_pressure,
    format_rate,
    format_volume,
)
from haipump.report import style
from haipump.report.checks import Sums
from haipump.report.story import Story
from haipump.report.words import order_words, percent

UNKNOWN = '<span class="none">unknown</span>'
OLDEST_S = 3_600.0  # a day's edge without a record in so much time before it is not told
PERIODS_MAX = 60
ROWS_MAX = 400
NONE = '<p class="none">None.</p>'


def esc(text: object) -> str:
    return html.escape(str(text))


def signed(value: float, digits: int) -> str:
    """A number with its sign; a rounded zero has none."""
    text = f"{abs(value):,.{digits}f}"
    if not text.strip("0.,"):
        return text
    return ("−" if value < 0 else "+") + text


def signed_volume(value_nl: int) -> str:
    """A difference with its sign."""
    if not value_nl:
        return "0 mL"
    return ("−" if value_nl < 0 else "+" if value_nl > 0 else "") + format_volume(abs(value_nl))


def moment(t: float | None) -> str:
    """A time on the page's axis."""
    if t is None:
        return UNKNOWN
    text = format_duration(round(abs(t)))
    return esc(("−" if t < 0 and round(t) else "") + text)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], kinds: str, foot: Sequence[str] = ()) -> str:
    """`kinds`: one letter per column, n for a number, s for something short that stays on one line, t for text; cells
    are HTML."""
    opens = ["<{0}>" if kind == "t" else '<{0} class="' + kind + '">' for kind in kinds]

    def row(cells: Sequence[str], tag: str) -> str:
        body = "".join(kind.format(tag) + cell + f"</{tag}>" for kind, cell in zip(opens, cells, strict=True))
        return f"<tr>{body}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    tail = f"<tfoot>{row(foot, 'td')}</tfoot>" if foot else ""
    return f"<table><thead>{row(list(heads), 'th')}</thead><tbody>{body}</tbody>{tail}</table>"


# --- orders


def orders(story: Story) -> str:
    """Every order with what was planned, commanded and stepped."""
    if not story.orders:
        return NONE
    rows = []
    for order in story.orders[:ROWS_MAX]:
        off = None
        if order.commanded_nl is not None and order.stepped_nl is not None:
            off = order.stepped_nl - order.commanded_nl
        steps = None if off is None else story.steps(off)
        planned = format_volume(order.planned_nl or order.volume_nl) if order.planned_nl or order.volume_nl else "open"
        result = "stopped" if order.stopped_as_usual else texts.RESULTS.get(order.result, order.result)
        if order.result in ("alarm", "reset"):
            result = f'<b style="color:{style.ALARM}">{esc(result)}</b>'
        else:
            result = esc(result)
        still = order.result == "running"
        rows.append(
            [
                str(order.number), esc(order_words(story, order)), moment(order.begun),
                "" if still else moment(order.ended), result, esc(planned),
                _known(order.commanded_nl, still), _known(order.stepped_nl, still),
                "" if off is None else esc(signed_volume(off)), "" if steps is None else signed(steps, 2),
            ]
        )  # fmt: skip
    heads = ("Order", "What", "Began", "Ended", "How", "Planned", "Commanded", "Stepped", "Error", "Microsteps")
    cut = ""
    if len(story.orders) > ROWS_MAX:
        cut = f'<p class="note">The first {ROWS_MAX} of {len(story.orders):,}; the run file has all.</p>'
    note = (
        '<p class="note">Each order ends within one microstep; what is left over is carried to the next one, so errors '
        "do not add up. Priming and other handling is no dose.</p>"
    )
    return table(heads, rows, "stsstnnnnn") + cut + note


def _known(value_nl: int | None, running: bool) -> str:
    if value_nl is None:
        return '<span class="none">running</span>' if running else UNKNOWN
    return esc(format_volume(value_nl))


# --- alarms


def alarms(story: Story) -> str:
    """Every alarm with what it means."""
    if not story.covered:
        return '<p class="none">Unknown: the journal is not in the file.</p>'
    if not story.alarms:
        return NONE
    rows = []
    for row in story.alarms[:ROWS_MAX]:
        meaning, advice = texts.ALARMS.get(row.name, ("unknown to these tools", "update them"))
        color = style.PRIORITIES.get(row.priority, style.UNKNOWN)
        end = "still stood" if row.end is None else esc(format_duration(round(row.end - row.start)))
        rows.append(
            [
                f'<span class="tag" style="background:{color}">{esc(row.priority)}</span>',
                f"<b>{esc(row.name.replace('_', ' '))}</b>",
                moment(row.start),
                end,
                esc(row.state.replace("_", " ")),
                esc(format_pressure(row.value_pa)),
                f"{esc(meaning[:1].upper() + meaning[1:])}: {esc(advice)}.",
            ]
        )
    heads = ("Priority", "Alarm", "Began", "Stood for", "State then", "Pressure", "Meaning")
    return table(heads, rows, "ssssttt")


# --- dose per day


def periods(story: Story) -> tuple[str, str]:
    """(heading, table) of what was planned and delivered in each day, hour or minute."""
    span = story.end
    name, length = "day", float(SECONDS_PER_DAY)
    for shorter, seconds in (("hour", 3_600.0), ("minute", 60.0)):
        if span < 1.5 * length:
            name, length = shorter, seconds
    while span / length > PERIODS_MAX:
        length *= 2
    title = f"Dose per {name}" if length in (60, 3_600, SECONDS_PER_DAY) else f"Dose per {format_duration(int(length))}"
    if not story.points or span < length:
        return title, ""
    marks = _edges(story, length, span)
    most = max([story.points[b].volume_nl - story.points[a].volume_nl for a, b in marks] or [0]) or 1
    rows = []
    for number, (a, b) in enumerate(marks, 1):
        rows.append(_period(story, str(number), a, b, most))
    note = (
        f'<p class="note">{"An" if name == "hour" else "A"} {name} goes from the last record before it to the last '
        "record in it, so that nothing has to be interpolated; what was commanded is worked out for the same time.</p>"
    )
    foot: list[str] = []
    if marks:
        foot = _period(story, "All", marks[0][0], marks[-1][1], 0)
    heads = (name.capitalize(), "From", "To", "Commanded", "Stepped", "Confirmed", "Difference", "%", "")
    return title, table(heads, rows, "sssnnnnnt", foot) + note


def _edges(story: Story, length: float, span: float) -> list[tuple[int, int]]:
    """Pairs of points that bound each period."""
    t = np.array([point.t for point in story.points])
    count = int(np.ceil(span / length - 1e-6))
    edges = []
    for number in range(count + 1):
        edges.append(max(0, int(np.searchsorted(t, number * length, side="right")) - 1))
    edges[-1] = len(t) - 1
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if b > a]


def _period(story: Story, name: str, a: int, b: int, most: int) -> list[str]:
    before, after = story.points[a], story.points[b]
    planned = story.plan.at(np.array([before.t, after.t]))
    asked = planned[1] - planned[0]
    stepped = after.volume_nl - before.volume_nl
    slack = story.slack_nl(after.t) - story.slack_nl(before.t)
    commanded, off, share = UNKNOWN, "", ""
    if not np.isnan(asked):
        commanded = esc(format_volume(round(float(asked))))
        if not slack:
            off = esc(signed_volume(stepped - round(float(asked))))
            share = percent(stepped - round(float(asked)), round(float(asked)))
    text = esc(format_volume(stepped)) + (f" to {esc(format_volume(stepped + slack))}" if slack else "")
    bar = f'<span class="bar" style="width:{max(1, round(130 * stepped / most))}px"></span>' if most else ""
    return [
        name, moment(before.t), moment(after.t), commanded, text,
        esc(format_volume(after.confirmed_nl - before.confirmed_nl)), off, esc(share), bar,
    ]  # fmt: skip


# --- reservoir


def _drain(story: Story) -> tuple[float, int] | None:
    """(page time of the last value, seconds until empty by the pump) when it said that at the end."""
    for event in reversed(story.source.heard):
        if event.name == "tele":
            left_s = int(event.fields["empty_in_s"])
            return (story.axis.at(event.boot, int(event.fields["uptime_s"])), left_s) if left_s >= 0 else None
    return None


def empty_words(story: Story) -> str:
    """When the syringe will be empty, as the pump said."""
    status = story.source.latest("status")
    if "empty_in_s" in status:
        left_s = int(status["empty_in_s"])
        return "nothing flowed at the end" if left_s < 0 else f"empty {format_duration_short(left_s)} later"
    drain = _drain(story)
    if drain is None:
        return "when it will be empty is not recorded"
    return f"empty {format_duration_short(drain[1])} after the last telemetry"


def reservoir_sentence(story: Story) -> str:
    """What the reservoir's figure shows."""
    text = "Reckoned by the pump from the loaded volume and its steps; there is no sensor for it."
    future = story.projection()
    if future is None:
        return text + f" Here {empty_words(story)}."
    lasts = format_duration_short(round(future.empty_at - story.end))
    if future.by_pump:
        return text + f" Dotted: what the pump expects, empty {lasts} after the end of the recording."
    return text + f" Dotted: at the mean rate of this run, had it gone on, it would have been empty after {lasts} more."


# --- provenance


def provenance(story: Story, total: Sums) -> str:
    """Where all of this comes from."""
    left = _list(_pump_facts(story)) + "<br>" + _list(_setting_facts(story))
    right = _list(_record_facts(story)) + "<br>" + _list(_file_facts(story, total))
    programme = story.source.latest("programme").get("text")
    text = f'<p class="note">Programme as it was sent</p><pre>{esc(programme)}</pre>' if programme else ""
    return f'<div class="facts"><div>{left}</div><div>{right}</div></div>{text}'


def _list(facts: Iterable[tuple[str, str | None]]) -> str:
    rows = "".join(f"<dt>{esc(name)}</dt><dd>{value or UNKNOWN}</dd>" for name, value in facts)
    return f"<dl>{rows}</dl>"


def _pump_facts(story: Story) -> list[tuple[str, str | None]]:
    hello, info = story.source.latest("hello"), story.source.latest("info")
    generation = [r.values["generation"] for r in story.source.records if r.name == "settings"]

    def said(values: object) -> str | None:
        return None if values is None else esc(values)

    app_hash = info.get("app_hash")
    return [
        ("Pump", said(hello.get("device"))),
        ("Firmware", said(info.get("firmware", hello.get("firmware")))),
        ("Application hash", f"<code>{esc(app_hash)}</code>" if app_hash else None),
        ("Interpreter, board", esc(f"{info['interpreter']}, {info['board']}") if info else None),
        ("Protocol", said(hello.get("protocol"))),
        ("Starts", ", ".join(f"{boot}" for boot in sorted(story.axis.spans))),
        ("Settings generation", esc(generation[-1]) if generation else None),
    ]


def _setting_facts(story: Story) -> list[tuple[str, str | None]]:
    calibration, limits = story.source.latest("calibration"), story.source.latest("limits")
    facts: list[tuple[str, str | None]] = [
        ("One microstep", f"{story.step_fl / 1e6:.6f} nL ({story.step_fl:,} fL)" if story.step_fl else None)
    ]
    if calibration:
        facts += [
            ("Bore", format_length(int(calibration["bore_um"]))),
            ("Screw lead", format_length(int(calibration["lead_um"]))),
            ("Steps per turn", f"{int(calibration['steps_per_turn']):,}"),
            ("Backlash", f"{calibration['backlash_steps']} microsteps"),
            ("Syringe", esc(format_volume(int(calibration["syringe_nl"])))),
        ]
    for name, words, write in (
        ("occlusion_pa", "Occlusion alarm", format_pressure),
        ("max_rate_nl_per_day", "Highest rate", format_rate),
        ("max_bolus_nl", "Largest bolus", lambda value: texts.quantity("max_bolus_nl", value)),
        ("reservoir_low_nl", "Warns at", format_volume),
        ("reservoir_empty_nl", "Stops at", format_volume),
    ):
        facts.append((words, esc(write(int(limits[name]))) if name in limits else None))
    return facts


def _record_facts(story: Story) -> list[tuple[str, str | None]]:
    chain = story.source.chain
    facts: list[tuple[str, str | None]] = []
    if not chain.count:
        facts.append(("Journal", '<span class="none">not in the file</span>'))
    else:
        start = "the pump's first record" if chain.from_first else "older records were overwritten, or not asked for"
        facts += [
            ("Journal", f"records {chain.first:,} to {chain.last:,} ({chain.count:,}); {start}"),
            ("Checksums", _verdict(not chain.damaged, f"wrong: {_numbers(chain.damaged)}", "all right")),
            (
                "Hash chain",
                _verdict(
                    not chain.broken, f"broken at {_numbers(chain.broken)}", f"{chain.links:,} links, none broken"
                ),
            ),
            (
                "Gaps",
                _verdict(
                    not chain.gaps, ", ".join(f"{a:,} to {b:,}" if a != b else f"{a:,}" for a, b in chain.gaps), "none"
                ),
            ),
            ("Last link", f"<code>{story.source.records[-1].chain.hex()}</code> (record {chain.last:,})"),
        ]
    teles = [event for event in story.source.heard if event.name == "tele"]
    missed = sum(event.missed for event in story.source.heard)
    others = len(story.source.heard) - len(teles)
    said = (
        f"{len(teles):,} values, {others:,} other events, {missed:,} missed" if story.source.heard else "none recorded"
    )
    facts.append(("Telemetry", said))
    return facts


def _verdict(good: bool, bad_text: str, good_text: str) -> str:
    return esc(good_text) if good else f'<b style="color:{style.ALARM}">{esc(bad_text)}</b>'


def _numbers(seqs: Sequence[int]) -> str:
    return ", ".join(f"{seq:,}" for seq in seqs[:12]) + (" ..." if len(seqs) > 12 else "")


def _wall_zero(story: Story) -> str:
    zero = story.axis.zero
    wall = story.anchors.wall(*zero)
    return "" if wall is None else f"; time 0 is {wall.isoformat(sep=' ', timespec='seconds')}"


def _file_facts(story: Story, total: Sums) -> list[tuple[str, str | None]]:
    source = story.source
    seen = sorted(note.seen_utc for note in source.notes)
    speed = story.anchors.speed
    if speed is None:
        clock = "the pump's clock; not compared with another"
    elif story.anchors.real:
        clock = "the pump's clock, which agrees with the computer's" + _wall_zero(story)
    else:
        clock = f"the pump's clock, which ran {speed:,.0f} times as fast as the computer's: simulated time"
    totals = "the pump's own, asked for at the end" if total.by_pump else "from the last record"
    try:
        version = importlib.metadata.version("haipump")
    except importlib.metadata.PackageNotFoundError:
        version = "from a checkout"
    return [
        ("Times", esc(clock)),
        ("Recorded", esc(f"{seen[0]} to {seen[-1]}") if seen else None),
        ("Totals", esc(totals)),
        ("Run file", esc(source.name)),
        ("Its SHA-256", f"<code>{source.sha256}</code>"),
        ("Made by", esc(f"haipump report {version}, matplotlib {matplotlib.__version__}; from this file alone")),
    ]
