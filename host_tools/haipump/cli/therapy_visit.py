"""`haipump therapy refill`, `record` and `report`: a visit at the terminal, and what is kept of it.

Owns: their options, how a question and a finding look. Must not: judge or decide the order of steps
(`haipump.therapy`). The procedure is loaded when a refill begins: `haipump` starts without it.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from haipump import quantities as q
from haipump.cli import therapy, views
from haipump.cli.frame import Cli, Told, command, say_interrupted
from haipump.cli.therapy_planned import PlannedVisit, PlanOption
from haipump.client import Pump
from haipump.errors import EXIT_INTERRUPTED, Declined, HaipumpError, Interrupted, QuantityError, UsageError
from haipump.protocol import help as texts
from haipump.quantities import format_volume
from haipump.therapy import NOT_CLINICAL
from haipump.therapy.findings import KINDS, LEVELS, percent, tenths
from haipump.therapy.record import Record, utc_text

if TYPE_CHECKING:
    from haipump.therapy.refill import Procedure
    from haipump.therapy.steps import Question
    from haipump.therapy.visit import Visit, Wanted

Clock = Callable[[], datetime.datetime]
NG_PER_MG = 1_000_000
YEAR = datetime.timedelta(days=365)  # ahead: a slip of the year
COLORS: Mapping[str, str] = dict(zip(LEVELS, ("green", "yellow", "yellow", "bold red", "bold red"), strict=True))
PERFUSION_HELP = "Perfusion check is due so often, too: 84d. Before the first drug and after a sign it is."
RecordArgument = Annotated[
    Path, typer.Argument(metavar="RECORD", help="The record of the course, for example a.course.")
]


def register(root: typer.Typer) -> None:
    for name, function in (("refill", refill), ("record", record), ("report", report)):
        command(therapy.app, name, therapy.PANEL)(function)


def refill(
    cli: Cli,
    file: RecordArgument,
    course: Annotated[str | None, typer.Option(help="Begin a new record, of the course with this name.")] = None,
    drug: Annotated[str | None, typer.Option(help="What goes in: floxuridine, heparin-saline, glycerin ...")] = None,
    concentration: Annotated[str | None, typer.Option(help="Of the drug: 6.46mg/mL; 0: it has none.")] = None,
    volume: Annotated[str | None, typer.Option(help="What goes in: 30mL.")] = None,
    flow: Annotated[str | None, typer.Option(help="Flow on the pump's label: 1.3mL/day.")] = None,
    rate: Annotated[str | None, typer.Option(help="Rate to be started, at a pump on a line; else the flow.")] = None,
    interval: Annotated[str | None, typer.Option(help="To the next visit: 14d.")] = None,
    flush_every: Annotated[str | None, typer.Option(help="Flush and patency test are due so often: 28d.")] = None,
    perfusion_every: Annotated[str | None, typer.Option(help=PERFUSION_HELP)] = None,
    unusable: Annotated[str | None, typer.Option(help="What can't leave the reservoir: 0.5mL.")] = None,
    reading_error: Annotated[str | None, typer.Option(help="Standard uncertainty: 0.5mL read, 0.1mL weighed.")] = None,
    syringe: Annotated[str | None, typer.Option(help="Size of the syringe, at a pump on a line: 30mL.")] = None,
    prime: Annotated[str | None, typer.Option(help="Pushed to take up play and air, at a pump on a line.")] = None,
    at: Annotated[str | None, typer.Option(help="Time of the visit, when it is not now: 2026-11-16T09:30.")] = None,
    by: Annotated[str, typer.Option(help="Who does it; asked for anyway.")] = "",
    no_pump: Annotated[bool, typer.Option("--no-pump", help="A pump of constant flow, without a line to it.")] = False,
    device: Annotated[str, typer.Option(help="With --no-pump: what is written on the pump.")] = "",
    new_pump: Annotated[bool, typer.Option("--new-pump", help="It is another pump than last time.")] = False,
    late: Annotated[bool, typer.Option("--late", help="The last visit was more than a year ago: it is meant.")] = False,
    leave: Annotated[str | None, typer.Option(help="End the open visit where it stands, for this reason.")] = None,
    plan: PlanOption = None,
    instead: therapy.InsteadOption = None,
    library: therapy.LibraryOption = None,
    library_key: therapy.LibraryKeyOption = None,
) -> None:
    """Guides through a refill, step by step; each is kept in the record when it is confirmed.

    What is not given is as the course file says (--plan), or as at the last visit. Broken off, by Ctrl-C or a crash, it
    goes on with the same command.
    """
    from haipump.therapy.visit import Wanted

    wanted = Wanted(
        drug=_drug(drug), concentration_ng_per_ml=_concentration(concentration), fill_nl=_read(volume, q.volume_nl),
        label_nl_per_day=_read(flow, q.rate_nl_per_day), rate_nl_per_day=_read(rate, q.rate_nl_per_day),
        interval_days=_days(interval), flush_every_days=_days(flush_every), perfusion_every_days=_days(perfusion_every),
        unusable_nl=_read(unusable, _volume_or_0), reading_nl=_read(reading_error, q.volume_nl),
        syringe_nl=_read(syringe, q.volume_nl), prime_nl=_read(prime, _volume_or_0), late=late or None,
        by=by,
    )  # fmt: skip
    clock = _clock(at)
    planned = None if plan is None else PlannedVisit.read(cli, plan, library, library_key, instead)
    if planned is not None:
        no_pump = planned.without_line(no_pump)
        course = course if file.exists() else course or planned.loaded.name
    with nullcontext(None) if no_pump else cli.pump() as pump, begun_record(file, course, clock) as kept:
        if leave is not None:
            _leave(cli, kept, pump, clock, by, leave)
            return
        _check_ahead(kept, clock(), planned.loaded.start if planned else None)
        if planned is not None:
            wanted = planned.wanted(kept, wanted, new_pump)
        _visit(cli, kept, wanted, pump, clock, device, new_pump, planned.secured if planned else _no_limits)


def _check_ahead(kept: Record, at: datetime.datetime, start: datetime.date | None) -> None:
    """Raises UsageError for a first visit that is more than a year ahead of now and of the course's start; later ones
    are judged by the one before."""
    now = datetime.datetime.now(datetime.UTC)
    begins = datetime.datetime.combine(start, datetime.time(), datetime.UTC) if start else now
    if not kept.rows("visits") and at - max(now, begins) > YEAR:
        raise UsageError(
            f"{utc_text(at)} is {(at - now).days} days ahead of this computer's clock",
            "Nothing was recorded",
            "check the date (--at), or the computer's clock",
        )


def _no_limits(pump: Pump, drug: str) -> None:
    """Those that are in the pump stay."""


def _leave(cli: Cli, kept: Record, pump: Pump | None, clock: Clock, by: str, reason: str) -> None:
    """Also where a step of the pump's can't be done, and nothing is asked any more."""
    from haipump.therapy.visit import take_up

    visit = take_up(kept, pump, clock, leaving=True)
    if visit is None:
        raise UsageError("no visit is open", "Nothing was recorded", "begin one without --leave")
    cli.confirm(f"End visit {visit.number} at the step {visit.procedure.state}?")
    visit.leave(by or visit.procedure.facts.by or "unknown", reason)
    _over(cli, visit, visit.procedure)


@contextmanager
def begun_record(file: Path, course: str | None, clock: Clock) -> Iterator[Record]:
    """The record; a new one in which no visit has begun is not left behind."""
    new, unused = not file.exists(), False
    try:
        with Record(file, course, utc_text(clock())) as kept:
            try:
                yield kept
            finally:
                unused = new and not kept.rows("visits")
    finally:
        if unused:
            file.unlink()


def _visit(
    cli: Cli,
    kept: Record,
    wanted: Wanted,
    pump: Pump | None,
    clock: Clock,
    device: str,
    new_pump: bool,
    secured: Callable[[Pump, str], None],
) -> None:
    from haipump.therapy.visit import begin, take_up

    visit = take_up(kept, pump, clock, wanted)
    again = visit is not None
    if visit is None:
        visit = begin(kept, wanted, pump, clock, device, new_pump)
    visit.before_run = secured
    cli.say(f"[bold]Refill[/] · {kept.name} · visit {visit.number}")
    cli.say(f"[bold yellow]{NOT_CLINICAL}[/]")
    if again:
        cli.say(f"[yellow]It was broken off and goes on after step {visit.turn}: it is set up as it began.[/]")
    else:
        cli.say("[dim]Every answer is kept. `leave` ends the visit; after Ctrl-C it can go on.[/]")
    with _left_open(cli, visit):
        procedure = visit.run(Terminal(cli, visit))
    _over(cli, visit, procedure)


@contextmanager
def _left_open(cli: Cli, visit: Visit) -> Iterator[None]:
    """Who goes away learns where the visit stands, and the pump."""
    try:
        yield
    except (KeyboardInterrupt, EOFError, typer.Abort) as left:
        where = f"Visit {visit.number} stays open at the step {visit.procedure.state}"
        if visit.pump is not None:
            try:
                where += f". {texts.state_sentence(visit.pump.status().state)}"
            except HaipumpError:
                where += ". How the pump is could not be asked"
        if isinstance(left, KeyboardInterrupt):
            if not cli.json:
                sys.stderr.write("\n")
            say_interrupted(Interrupted(f"{where}; the same command goes on with it"), cli.json)
            raise typer.Exit(Told(EXIT_INTERRUPTED)) from None
        raise Declined("nobody answered", where, "go on with the same command") from left


class Terminal:
    """Asks and tells on the terminal; with --json nothing is shown, and the answers are read line by line."""

    def __init__(self, cli: Cli, visit: Visit) -> None:
        self.cli, self.visit = cli, visit

    def ask(self, question: Question) -> str:
        if not self.cli.json:
            before, dot, asked = question.text.rpartition(". ")
            words = Text.assemble(before + dot, (asked, "bold"))
            if question.default:
                words.append(f" (Enter: {question.default})", style="dim")
            self.cli.out.print(_beside(str(self.visit.prompts + 1), words))
            self.cli.out.print("   [bold blue]>[/] ", end="")
        try:
            return input()
        finally:
            if not self.cli.json and not sys.stdin.isatty():
                self.cli.out.print()  # the end of the line that nobody typed

    def say(self, text: str) -> None:
        self.cli.say(_beside("", Text(text, style="dim")))

    def wrong(self, error: UsageError) -> None:
        self.cli.say(_beside("", Text.assemble((error.what, "red"), "; ", error.next_step)))

    def judged(self, procedure: Procedure) -> None:
        self.cli.say(finding_view(procedure))


def _beside(number: str, *texts: Text) -> Table:
    """A number, and texts beside it that are wrapped in their own column."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", width=2, style="bold blue")
    grid.add_column()
    for text in texts:
        grid.add_row(number, text)
        number = ""
    return grid


def finding_view(procedure: Procedure) -> Table:
    """What came back, against what was expected, and what that means."""
    told, now = procedure.assessment, procedure.interval()
    assert told is not None and now is not None
    expected_nl = told.expected_return_nl
    counted = ""
    if now.ledger is not None:
        stepped_nl = now.ledger.stepped_max_nl + now.ledger.other_nl
        counted = f"; {_ml(Fraction(now.out_nl))} have gone, the pump counts {_ml(Fraction(stepped_nl))}"
        counted += f", of it {_ml(Fraction(now.primed_nl))} primed" if now.primed_nl > 0 else ""
    lower = "at least " if told.lower_bound else ""
    sure = f" ± {tenths(told.u_flow * 100)} %" if told.u_flow is not None else ""
    error = f"error {percent(told.error)}, which counts beyond {tenths(told.limit * 100)} %"
    flow = f"Actual flow {lower}{_ml(told.flow_nl_per_day, 3)}/day{sure}; {error}"
    flow += f"; volume ratio {_decimals(told.ratio, 2)}."
    if not now.flow_known:
        flow = f"No flow can be told, {now.no_flow}{'' if now.idle else f'; {error}'}."
    lines = [
        Text(f"{format_volume(now.returned_nl)} came back, {_ml(expected_nl)} were expected{counted}."),
        Text(flow),
    ]
    for one in told.findings:
        name = one.kind.replace("_", " ").capitalize()
        lines.append(Text.assemble((name, COLORS[one.level]), f", {one.text}: {one.meaning}."))
        if one.level != "accept":
            lines.append(Text(f"{one.action[:1].upper()}{one.action[1:]}.", style="bold"))
    return _beside("", *lines, Text(""))


def _over(cli: Cli, visit: Visit, procedure: Procedure) -> None:
    """The last words."""
    facts, ended = procedure.facts, procedure.state == "ended"
    found = [one.kind for one in procedure.all_found if one.level not in ("accept", "note")]
    fills = visit.record.rows("fills", "visit = ?", visit.number)
    cli.result(
        {
            "visit": visit.number, "ended": procedure.state, "prompts": visit.prompts, "findings": found,
            "fill_nl": fills[0]["volume_nl"] if fills else None, "drug": procedure.drug,
            "reference_nl_per_day": round(procedure.flow_nl_per_day),
            "next": facts.next_visit.isoformat() if facts.next_visit else None,
        }
    )  # fmt: skip
    if ended:
        cli.say(f"[bold red]Visit {visit.number} was broken off.[/] Found: {', '.join(found) or 'nothing'}.")
        for one in procedure.all_found:
            if one.level == "stop":
                cli.say(f"  {one.text}: {one.action}.")
        state = fills[0]["volume_nl"] if fills else None
        cli.say("What is in the pump is as before." if state is None else f"In the pump: about {format_volume(state)}.")
        return
    cli.say(
        f"[green]Visit {visit.number} is over[/] after {visit.prompts} prompts: {format_volume(procedure.in_nl)} of "
        f"{procedure.drug}, flow for the next dose {_ml(procedure.flow_nl_per_day, 3)}/day, next visit on "
        f"[bold]{facts.next_visit}[/]."
    )
    if visit.pump is not None:
        cli.say(f"{texts.state_sentence(visit.pump.status().state)}.")
    cli.say(f"[dim]Next: haipump therapy report {visit.record.path} --out report.html[/]")


# --- record, report


def record(cli: Cli, file: RecordArgument) -> None:
    """Shows what a record holds, and checks all of it: pages, references, triggers, and the chain over its rows.

    Exit code 1 when something was changed, lost or added."""
    with Record(file) as kept:
        _show_record(cli, kept, kept.demand_intact())


def _show_record(cli: Cli, kept: Record, links: int) -> None:
    from haipump.therapy.filled import made_text

    rows = [_visit_row(kept, visit) for visit in kept.rows("visits")]
    counts = {name: len(kept.rows(name)) for name in ("journal", "alarms", "adjustments")}
    cli.result({"course": kept.name, "rows": links, "visits": rows, **counts})
    cli.say(f"[bold]{kept.name}[/] [dim]· {NOT_CLINICAL}[/]")
    shown = [
        (str(row["visit"]), row["date"], row["by"], _shown(row["returned_nl"]), row["error"], row["findings"],
         _shown(row["filled_nl"]), row["how"])
        for row in rows
    ]  # fmt: skip
    cli.say(views.rows_view(shown, "Visit", "Date", "By", "Returned", "Error", "Found", "Filled", "How"))
    for row in rows:
        if row["made"]:
            cli.say(f"Visit {row['visit']}: {made_text(row['made'])}.")
    cli.say(
        f"[green]{links:,} rows, each a link of the chain, none changed.[/] {counts['journal']:,} of them are records "
        f"of the pump's journal, {counts['alarms']:,} alarms."
    )


def _shown(value_nl: int | None) -> str:
    return "-" if value_nl is None else format_volume(value_nl)


def _visit_row(kept: Record, visit: dict[str, Any]) -> dict[str, Any]:
    from haipump.therapy.filled import made_of
    from haipump.therapy.visit import open_step

    number = visit["id"]
    reading, fill = kept.last("readings", "visit = ?", number), kept.last("fills", "visit = ?", number)
    ended = kept.last("ended", "visit = ?", number)
    first = kept.rows("confirmations", "visit = ? and step = 'identify'", number)
    found = [row["kind"] for row in kept.rows("findings", "visit = ?", number) if KINDS[row["kind"]][0] != "accept"]
    return {
        "visit": number,
        "date": visit["at_utc"][:10],
        "by": json.loads(first[0]["answer"]).get("by", "-") if first else "-",
        "returned_nl": reading["returned_nl"] if reading else None,
        "error": percent(Fraction(reading["error"])) if reading else "-",
        "findings": ", ".join(found).replace("_", " ") or "-",
        "filled_nl": fill["volume_nl"] if fill else None,
        "made": made_of(json.loads(visit["settings"]), fill["drug"]) if fill else None,
        "how": ended["how"] if ended else f"open at {open_step(kept, visit)}",
    }


def report(
    cli: Cli,
    file: RecordArgument,
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
) -> None:
    """Writes the report of a course: dose per day against plan, flow trend, residuals, alarms, confirmations."""
    from haipump.therapy.course_report import write_course_report

    written = write_course_report(file, out)
    cli.result({"written": [str(path) for path in written]})
    cli.say(f"[green]{written[0]}[/] is the report; its pictures are beside it. {NOT_CLINICAL}")


# --- what was typed


def _read(text: str | None, read: Callable[[str], int]) -> int | None:
    return None if text is None else read(text)


def _volume_or_0(text: str) -> int:
    return 0 if text == "0" else q.volume_nl(text)


def _days(text: str | None) -> int | None:
    """Whole days of `14d`. Raises QuantityError."""
    if text is None:
        return None
    days, rest = divmod(q.duration_s(text), q.SECONDS_PER_DAY)
    if rest or not days:
        raise QuantityError(f'"{text}" is no whole number of days', next_step="write for example 14d")
    return days


def _drug(text: str | None) -> str | None:
    """A word that the pump takes, too. Raises UsageError."""
    if text is not None and not re.fullmatch(r"[a-z0-9_.-]{1,24}", text):
        raise UsageError(
            f'"{text}" is no name of a drug',
            next_step="write up to 24 small letters, digits or _ . - as heparin-saline",
        )
    return text


def _concentration(text: str | None) -> Fraction | None:
    """ng/mL of `6.46mg/mL`. Raises QuantityError."""
    if text is None or text.strip() == "0":
        return None if text is None else Fraction(0)
    return q.measure(text, "mg/mL")[0] * NG_PER_MG


def _clock(text: str | None) -> Clock:
    """This computer's time; with `--at` the course's, which goes on from there. Raises UsageError."""
    if text is None:
        return lambda: datetime.datetime.now(datetime.UTC)
    try:
        began = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except ValueError:
        raise UsageError(f'"{text}" is no time', next_step="write for example 2026-11-16T09:30") from None
    zero_s = time.monotonic()
    return lambda: began + datetime.timedelta(seconds=int(time.monotonic() - zero_s))


def _decimals(value: Fraction, digits: int) -> str:
    scaled = round(value * 10**digits)
    sign, scaled = ("-" if scaled < 0 else ""), abs(scaled)
    return f"{sign}{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"


def _ml(value_nl: Fraction, digits: int = 1) -> str:
    """Millilitres for people, rounded."""
    return f"{_decimals(value_nl / 1_000_000, digits)} mL"
