"""How the pump's answers look on a terminal. Owns: tables and their words. Must not: ask the pump or the person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from haipump import answers
from haipump.protocol import help as texts
from haipump.quantities import format_duration_short, format_rate, format_volume

STATE_STYLES: Mapping[str, str] = {
    "infusing": "green",
    "bolus": "bold green",
    "kvo": "cyan",
    "paused": "yellow",
    "priming": "magenta",
    "withdrawing": "magenta",
    "moving": "magenta",
    "refill": "blue",
    "alarm": "bold white on red",
    "relieving": "bold white on red",
    "fault": "bold white on red",
    "stopped": "bold",
}
PRIORITY_STYLES: Mapping[str, str] = {"high": "bold red", "medium": "bold yellow", "low": "cyan"}

# What is read back of each order: (field, words). Fields that are 0 and listed in _SILENT are left out.
_PLAN_ROWS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "prepare_rate": (
        ("rate_nl_per_day", "Rate"),
        ("from_nl_per_day", "Running rate now"),
        ("ramp_s", "Reached evenly over"),
        ("vtbi_nl", "Volume to be infused"),
        ("at_end", "Then"),
    ),
    "prepare_bolus": (
        ("volume_nl", "Volume"),
        ("extended", "Kind"),
        ("duration_s", "Takes"),
        ("basal_nl_per_day", "Beside the basal rate"),
    ),
    "prepare_programme": (
        ("items", "Steps"),
        ("period_s", "Period"),
        ("repeats", "Repeats"),
        ("duration_s", "Runs for"),
        ("volume_nl", "Delivers in all"),
        ("at_end", "Then"),
    ),
    "prepare_kvo": (("rate_nl_per_day", "Rate"),),
    "prepare_prime": (("volume_nl", "Pushes, not as dose"), ("duration_s", "Takes")),
    "prepare_withdraw": (("volume_nl", "Pulls back"), ("duration_s", "Takes")),
    "prepare_jog": (("steps", "Motor steps"), ("duration_s", "Takes")),
    "prepare_home": (("steps_max", "Motor steps, at most"),),
    "prepare_syringe": (
        ("syringe_nl", "Syringe"),
        ("reservoir_nl", "Volume in it"),
        ("bore_um", "Bore"),
        ("step_fl", "One microstep"),
        ("syringe_max_nl_per_day", "Highest rate of the syringe"),
        ("step_max_nl_per_day", "Highest rate of the motor"),
    ),
}
LABEL_MIN = 12
SIDE_BY_SIDE = 32  # columns with which a table gets along that would like more
BAR_MIN = 4  # shorter bars say nothing
NARROW = 72  # columns below which tables become lists
_SILENT = ("ramp_s", "vtbi_nl", "from_nl_per_day", "basal_nl_per_day", "syringe_max_nl_per_day")
_SUPPLY_ROWS = (("reservoir_nl", "In the syringe"), ("empty_in_s", "Empty in"))
_END_WORDS = {"stop": "stop", "kvo": "keep the vein open (KVO)"}


class Grid:
    """Two columns, words and values; where they do not fit side by side, each value below its words."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, RenderableType]] = []

    def add_row(self, words: str, value: RenderableType) -> None:
        self.rows.append((words, value))

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        # Where room is short the wider column gives way first, down to whole words of the labels.
        table.add_column(style="dim", min_width=LABEL_MIN)
        table.add_column(overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table

    def _fits(self, console: Console, options: ConsoleOptions) -> bool:
        needed = Measurement.get(console, options.update(max_width=SIDE_BY_SIDE), self._table()).maximum
        return options.max_width >= needed

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        if not self._fits(console, options):
            return Measurement(1, options.max_width)
        return Measurement.get(console, options, self._table())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._fits(console, options):
            yield self._table()
            return
        for words, value in self.rows:
            yield Text(words, style="dim", overflow="fold")
            shown = Text.from_markup(value, overflow="fold") if isinstance(value, str) else value
            if isinstance(shown, Text):
                shown.overflow = "fold"
            yield Padding(shown, (0, 0, 0, 1))


def grid() -> Grid:
    return Grid()


def titled(title: str, body: RenderableType, style: str = "cyan", subtitle: str | None = None) -> Panel:
    return Panel(
        body, title=title, subtitle=subtitle, title_align="left", border_style=style, expand=False, padding=(0, 1)
    )


def plan_view(plan: answers.Plan, extra: Iterable[tuple[str, str]] = ()) -> Panel:
    """What the pump has understood, before it is committed."""
    table = grid()
    rows = _PLAN_ROWS.get(plan.verb)
    if rows is None:
        rows = tuple((name, name) for name in plan.values if name in plan.asked or name == "changed")
    elif plan.verb != "prepare_syringe":
        rows += _SUPPLY_ROWS
    for name, words in rows:
        if name not in plan.values or (name in _SILENT and plan.values[name] == 0):
            continue
        if name == "at_end" and plan.verb == "prepare_rate" and plan.values.get("vtbi_nl") == 0:
            continue
        table.add_row(words, plan_value(name, plan.values[name]))
    for words, value in extra:
        table.add_row(words, value)
    title = texts.VERBS[plan.verb].name.removeprefix("the ")
    return titled(f"[bold]The pump understood: {title}[/]", table, subtitle=f"[dim]check {plan.hash}[/]")


def plan_value(name: str, value: int | str) -> str:
    """One value of a read-back in words."""
    if name == "extended":
        return "extended, beside the basal rate" if value else "immediate"
    if name == "at_end":
        return _END_WORDS.get(str(value), str(value))
    if name == "empty_in_s":
        return empty_in(int(value), True)
    if name not in ("step_max_nl_per_day", "syringe_max_nl_per_day"):
        return texts.exactly(name, value)
    return texts.quantity(name, value)


def empty_in(value_s: int, flows: bool) -> str:
    """The time until the syringe is empty; -1 has two reasons."""
    if value_s >= 0:
        return format_duration_short(value_s)
    return "not before it ends" if flows else "nothing flows"


def state_text(state: str) -> Text:
    return Text(state.replace("_", " "), style=STATE_STYLES.get(state, "bold"))


class Bar:
    """A value with a bar before or after it. The bar takes what room is left and goes when that is less than BAR_MIN;
    then what stands behind it goes, too."""

    def __init__(self, text: str, bar: Callable[[int], Text], width: int, behind: str = "") -> None:
        self.text, self.bar, self.width, self.behind = text, bar, width, behind

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        behind = len(self.behind) + 2 if self.behind else 0
        return Measurement(len(self.text), len(self.text) + 2 + self.width + behind)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text(self.text, overflow="fold")
        room = options.max_width - len(self.text)
        behind = f"  {self.behind}" if self.behind and len(self.behind) + 2 <= room else ""
        width = min(self.width, room - len(behind) - 2)
        if width >= BAR_MIN and not options.ascii_only:
            line.append("  ").append_text(self.bar(width))
        line.append(behind, style="dim")
        yield line


def gauge(value: int, full: int, width: int = 24, style: str = "green") -> Text:
    """A bar of eighths: how much of `full`."""
    eighths = 0 if full <= 0 else max(0, min(8 * width, 8 * width * value // full))
    whole, part = divmod(eighths, 8)
    bar = "█" * whole + (" ▏▎▍▌▋▊▉"[part] if part else "")
    text = Text(bar, style=style)
    text.append("·" * (width - len(bar)), style="dim")
    return text


def status_view(
    port: str,
    status: answers.Status,
    alarms: list[answers.Alarm],
    sensors: answers.Sensors,
    syringe_nl: int,
    totals: answers.Totals,
    ended: str,
    *,
    pressure_read: bool = True,
    full_step_nl: int = 0,
    locked: bool = False,
) -> RenderableType:
    """The one-look answer to "how is the pump". `ended`: how the last order ended, when it is stopped and known;
    `pressure_read`: the pressure is a reading; `full_step_nl`: by which the shaft may differ from the steps."""
    table = grid()
    table.add_row("State", state_text(status.state))
    if ended:
        table.add_row("Because", ended)
    if locked:
        table.add_row("Locked", "orders need the key (--key-file); a stop does not")
    table.add_row("Flow now", format_rate(status.flow_nl_per_day))
    if status.basal_nl_per_day != status.flow_nl_per_day:
        table.add_row("Basal rate", format_rate(status.basal_nl_per_day))
    if status.bolus_left_nl:
        table.add_row("Bolus left", format_volume(status.bolus_left_nl))
    if status.extended_left_nl:
        table.add_row("Extended bolus left", format_volume(status.extended_left_nl))
    if status.order:
        table.add_row("Order", str(status.order))
    uncertain = totals.stepped_min_nl != totals.stepped_max_nl
    why = "after a power loss or an occlusion" if uncertain else "by the motor's steps"
    table.add_row("Delivered", f"{delivered_text(status, totals)}, {why}")
    shaft = shaft_text(totals, full_step_nl)
    if shaft:
        table.add_row("By the shaft", Text(shaft, style="bold yellow"))
    if syringe_nl:
        table.add_row("In the syringe", reservoir_bar(status.reservoir_nl, syringe_nl))
    else:
        table.add_row("In the syringe", Text("no syringe is loaded", style="yellow"))
    if status.flow_nl_per_day:
        table.add_row("Empty in", empty_in(status.empty_in_s, True))
    table.add_row("Pressure", pressure_text(sensors.pressure_pa, pressure_read))
    parts: list[RenderableType] = [titled(f"[bold]haipump[/] at {port}", table, STATE_STYLES.get(status.state, "cyan"))]
    if alarms:
        parts.append(alarms_view(alarms))
    return Group(*parts)


def pressure_text(pressure_pa: int, read: bool) -> Text:
    """What the sensor reads. `read`: that is a pressure at all."""
    if not read:
        return Text("no reading: check the sensor's plug and cable", style="bold yellow")
    return Text(f"{pressure_pa / 1000:.1f} kPa")


def shaft_text(totals: answers.Totals, full_step_nl: int) -> str:
    """What the shaft encoder confirms, where that is not what was stepped; else nothing."""
    low_nl, high_nl, seen_nl = totals.stepped_min_nl, totals.stepped_max_nl, totals.confirmed_nl
    off_nl = min(0, seen_nl - low_nl) + max(0, seen_nl - high_nl)
    if abs(off_nl) <= full_step_nl:
        return ""
    return f"{format_volume(seen_nl)}: {format_volume(abs(off_nl))} {'less' if off_nl < 0 else 'more'}"


def delivered_text(status: answers.Status, totals: answers.Totals | None) -> str:
    """What came from this syringe; after a power loss or an occlusion nobody knows better than a range."""
    if totals is None or totals.stepped_min_nl == totals.stepped_max_nl:
        return format_volume(status.delivered_nl)
    return f"between {format_volume(totals.stepped_min_nl)} and {format_volume(totals.stepped_max_nl)}"


def alarms_view(alarms: list[answers.Alarm]) -> RenderableType:
    """What stands, what it means, what to do."""
    rows: list[Sequence[Text | str]] = []
    for alarm in alarms:
        meaning, advice = texts.ALARMS.get(alarm.alarm, ("unknown to these tools", "update them"))
        what = Text(meaning[:1].upper() + meaning[1:] + ": ")
        what.append(advice)
        style = PRIORITY_STYLES.get(alarm.priority, "")
        phase = alarm.phase + (f", silent {alarm.silence_s} s" if alarm.silence_s else "")
        since = format_duration_short(alarm.age_s)
        rows.append((Text(alarm.alarm, style=style), Text(alarm.priority, style=style), phase, since, what))
    return Rows(rows, ("Alarm", "Priority", "Phase", "Since", "Meaning and what to do"))


def reservoir_bar(reservoir_nl: int, syringe_nl: int, style: str = "green") -> Bar:
    """What is in the syringe, of how much."""

    def bar(width: int) -> Text:
        return gauge(reservoir_nl, syringe_nl, width, style)

    return Bar(format_volume(reservoir_nl), bar, 20, f"of {format_volume(syringe_nl)}")


def hints(status: answers.Status, syringe_nl: int) -> list[str]:
    """What one would probably type next."""
    if status.state in ("alarm", "fault"):
        return ["haipump alarms", "haipump ack"]
    if status.state == "refill":
        return ["haipump refill --end"]
    if status.state == "paused":
        return ["haipump resume", "haipump stop"]
    if not syringe_nl:
        return ["haipump syringe 30mL --volume 30mL"]
    if status.state == "stopped":
        return ["haipump rate 1.3mL/day", "haipump bolus 0.1mL", "haipump refill"]
    return ["haipump watch", "haipump pause", "haipump stop"]


def facts_view(title: str, values: Mapping[str, Any], words: Mapping[str, str] | None = None) -> Panel:
    """Any answer: words from the help texts, values in everyday units."""
    table = grid()
    for name, value in values.items():
        label = (words or {}).get(name) or texts.FIELDS.get(name, name)
        table.add_row(label[:1].upper() + label[1:], texts.quantity(name, value))
    return titled(f"[bold]{title}[/]", table)


def rows_view(rows: Iterable[tuple[str, ...]], *headings: str) -> RenderableType:
    """A plain table."""
    return Rows(list(rows), headings)


class Rows:
    """A table; where it does not fit, a list: the first value, and below it the others with their headings."""

    def __init__(self, rows: Sequence[Sequence[Text | str]], headings: Sequence[str]) -> None:
        self.rows, self.headings = rows, headings

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width < NARROW:
            yield from self._listed()
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in self.headings:
            # the name is what one types; it is the last thing to break
            table.add_column(heading, overflow="fold", no_wrap=heading == self.headings[0])
        for row in self.rows:
            table.add_row(*row)
        yield table

    def _listed(self) -> Iterable[RenderableType]:
        for first, *others in self.rows:
            yield Text("")
            yield first if isinstance(first, Text) else Text.from_markup(first, style="bold", overflow="fold")
            table = grid()
            for heading, value in zip(self.headings[1:], others, strict=True):
                if len(value):
                    table.add_row("  " + heading, value)
            yield table
