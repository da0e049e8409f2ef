"""The commands `haipump therapy ...`: a course of treatment on paper, and its limits in a pump; refills are in
`therapy_visit`.

Owns: the sub-application `app`, its options, and what the commands print. Must not: work out or judge anything; that is
`haipump.therapy`. Another file adds commands with `command(therapy.app, name, PANEL)(function)`.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haipump import keyfiles
from haipump import quantities as q
from haipump.cli import therapy_library, therapy_views, views
from haipump.cli.frame import Cli, command
from haipump.cli.setup import LIMIT_WORDS, none_in_words
from haipump.errors import CourseFileError, DoseRefused, PlanRefused, UsageError
from haipump.therapy import (
    NOT_CLINICAL,
    adjust,
    calendar_page,
    checks,
    dose,
    history,
    library,
    plausible,
    rules,
    sealing,
    sheet,
)
from haipump.therapy import calendar as cal
from haipump.therapy import course as courses
from haipump.therapy import reading as r

if TYPE_CHECKING:
    from haipump.client import Pump
    from haipump.therapy.record import Record

PANEL = "Therapy"
BESIDE = timedelta(weeks=12)  # a decision is no further from its course; more is a slip in the date

app = typer.Typer(
    name="therapy",
    help="A course of treatment: calendar, doses, adjustment, refills, report. Teaching and bench material, not for "
    "clinical use.",
    no_args_is_help=True,
)

CourseArgument = Annotated[Path, typer.Argument(metavar="COURSE", help="A course file: `haipump therapy new`.")]
LibraryOption = Annotated[
    Path | None,
    typer.Option("--library", envvar="HAIPUMP_LIBRARY", help="A signed drug library; without: the packaged one."),
]
LibraryKeyOption = Annotated[
    Path | None,
    typer.Option("--library-key", envvar="HAIPUMP_LIBRARY_KEY", help="The key that it was signed with."),
]
InsteadOption = Annotated[
    str | None,
    typer.Option("--instead", help="While the drug is on hold: what keeps the catheter open, e.g. heparin-saline."),
]
FillOption = Annotated[int, typer.Option("--fill", min=1, help="Number of the fill in the calendar.")]
ValueHelp = "as 35U/L; twice: at emptying, and at the planned dose"


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="therapy", rich_help_panel=PANEL)


def taken_library(file: Path | None, key: Path | None) -> library.Library:
    """The library of the options. Raises LibraryRefused, CourseFileError, UsageError."""
    return library.load(file, keyfiles.read_key(key) if key else None)


def new(cli: Cli, file: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")]) -> None:
    """Writes a commented example of a course, to be changed."""
    try:
        with open(file, "x", encoding="utf-8") as out:
            out.write(courses.example())
    except OSError as failure:
        raise UsageError(
            f"{file} can't be written ({failure.strerror})", next_step="name a file that does not exist"
        ) from failure
    cli.result({"course": str(file)})
    cli.say(f"[green]{file}[/] is an example with all there is. {NOT_CLINICAL}")
    cli.say(f"[bold]Next:[/] change it, then haipump therapy check {file}")


def check(
    cli: Cli, course: CourseArgument, library: LibraryOption = None, library_key: LibraryKeyOption = None
) -> None:
    """Checks a course: units, limits of the drug library, flow, supply, calendar, stability.

    Says everything that is wrong, where, and what to do. Exit code 1 with errors, 0 with warnings alone, 2 for a file
    that can't be read as a course.
    """
    try:
        loaded = courses.load(course)
    except CourseFileError as unreadable:
        for one in unreadable.problems:
            cli.say(therapy_views.problem(r.Problem(**one)))  # type: ignore[arg-type]
        if unreadable.problems:
            cli.say("[dim]Limits, supply and calendar are checked when this is right.[/]\n")
        raise
    taken = taken_library(library, library_key)
    problems = problems_of(loaded, taken)
    for one in problems:
        cli.say(therapy_views.problem(one))
    errors = [one for one in problems if one.level == r.ERROR]
    listed = [one.as_json() for one in problems]
    if errors:
        raise PlanRefused(f"the course has {q.counted(len(errors), 'error')}", listed)
    spans = cal.periods(loaded)
    last = spans[-1].last
    cli.result({
        "course": loaded.name,
        "problems": listed,
        "fills": len(cal.fills(loaded)),
        "last_day": last.isoformat(),
        "library_sha256": taken.sha256,
    })  # fmt: skip
    told = f"[green]No errors[/], {q.counted(len(problems), 'warning')}"
    verdict = told if problems else "[green]Nothing is wrong[/]"
    cli.say(f"{verdict}: {q.counted(len(cal.fills(loaded)), 'fill')}, {cal.on(loaded.start)} to {cal.on(last)}.")
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def problems_of(loaded: courses.Course, taken: library.Library) -> list[r.Problem]:
    known = rules.load()
    chosen = known.get(loaded.rules) if loaded.rules else next(iter(known.values()))
    return checks.check(checks.Plan(loaded, taken, chosen, tuple(known)))


def show(
    cli: Cli,
    course: CourseArgument,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page to look at or print.")] = None,
    library: LibraryOption = None,
    library_key: LibraryKeyOption = None,
) -> None:
    """Shows the calendar of a course: its fills, and the months drawn."""
    loaded, taken = courses.load(course), taken_library(library, library_key)
    problems = problems_of(loaded, taken)
    if html is not None:
        _write(html, calendar_page.compose(loaded, taken, problems), course)
    cli.result(therapy_views.course_json(loaded, taken) | {"page": str(html) if html else None})
    cli.say(therapy_views.course_view(loaded, taken))
    errors = sum(one.level == r.ERROR for one in problems)
    if problems:
        told = f"[bold red]{q.counted(errors, 'error')}[/]"
        found = told if errors else q.counted(len(problems), "warning")
        cli.say(f"{found}: haipump therapy check {course}")
    if html is not None:
        cli.say(f"[green]{html}[/] has it as a page.")
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def _write(file: Path, text: str, course: Path) -> None:
    if file.resolve() == course.resolve():
        raise UsageError("the page would overwrite the course", next_step="give the page another name")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise UsageError(f"{file} can't be written ({failure.strerror})", next_step="check the folder") from failure


def dose_command(
    cli: Cli,
    course: CourseArgument,
    fill: FillOption = 1,
    flow: Annotated[str | None, typer.Option(help="Measured since the last fill: 1.27mL/day.")] = None,
    acknowledge_flow: Annotated[
        str | None, typer.Option(help='Take a flow that is over 15 % off: "name: reason", noted on the sheet.')
    ] = None,
    instead: InsteadOption = None,
    record: Annotated[
        Path | None, typer.Option(help="A record of visits, instead of --flow: what the last one says of the flow.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--sheet", help="Write the preparation sheet, one page to print.")
    ] = None,
    library: LibraryOption = None,
    library_key: LibraryKeyOption = None,
) -> None:
    """Works out one fill: what is drawn up, how long it lasts, what is left of it.

    The dose follows the last recorded adjustment, whatever the date of the fill. Refused in a hold, for a course with
    errors, when the flow is more than 15 % off and nobody acknowledges it, and when it is more than 50 % off.
    """
    taken = taken_library(library, library_key)
    loaded = courses.load(course)
    if flow is not None and record is not None:
        raise UsageError("--flow and --record both tell the flow", next_step="give one of them")
    if record is not None:
        with _kept(record) as kept:
            history.lacking(kept, history.read(course))
            loaded = with_flow_of(loaded, kept)
    loaded = _with_flow(loaded, flow, acknowledge_flow)
    made, fills = prepared(loaded, taken, fill, course, instead)
    if page is not None:
        _write(page, sheet.compose(made, fill, fills), course)
    cli.result(therapy_views.dose_json(made, fill) | {"sheet": str(page) if page else None})
    cli.say(therapy_views.dose_view(made, fill, fills))
    cli.say(f"[green]{page}[/] is the sheet to print." if page else "[dim]--sheet FILE.html makes the sheet.[/]")
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def prepared(
    loaded: courses.Course, taken: library.Library, fill: int, course: Path, instead: str | None = None
) -> tuple[dose.Preparation, int]:
    """A fill, worked out, and how many there are. Raises UsageError, DoseRefused."""
    planned = cal.fills(loaded)
    if fill > len(planned):
        raise UsageError(f"the course has {q.counted(len(planned), 'fill')}", next_step="see `haipump therapy show`")
    chosen = planned[fill - 1]
    errors = _errors(loaded, taken)
    own = _errors(courses.parse(loaded.source.text, course), taken)  # the flow may be another one than in the file
    if own or chosen.phase is None:
        first = f", line {own[0].line}: {own[0].what}" if own else ""
        raise DoseRefused(f"the course has errors{first}", f"see `haipump therapy check {course}`")
    if errors:
        rate = q.format_rate(loaded.pump.flow_nl_per_day)
        raise DoseRefused(f"with a flow of {rate}: {errors[0].what}", f"check the flow; or: {errors[0].next_step}")
    phase = chosen.phase if instead is None else _instead(loaded, taken, instead)
    percent, said = _adjusted(course, phase)
    made = dose.prepare(loaded, taken, phase, days=chosen.days, percent=percent, on=chosen.date, said=said)
    return made, len(planned)


def _errors(loaded: courses.Course, taken: library.Library) -> list[r.Problem]:
    """Without that of the flow itself, of which `dose.prepare` says more."""
    found = [one for one in problems_of(loaded, taken) if one.level == r.ERROR]
    return [one for one in found if one.where != "pump.measured_flow"]


def _with_flow(loaded: courses.Course, flow: str | None, acknowledge: str | None) -> courses.Course:
    """The course with a flow that was measured since, and who stands for it. Raises UsageError."""
    pump = loaded.pump
    if flow is not None:
        pump = replace(pump, measured_flow_nl_per_day=q.rate_nl_per_day(flow) or None, measured_on=None)
        if pump.measured_flow_nl_per_day is None:
            raise UsageError("a flow of 0 is no flow", next_step="a pump that stands still needs another look first")
    if acknowledge is not None:
        try:
            who = courses.acknowledgement(acknowledge)
        except ValueError as wrong:
            example = 'for example --acknowledge-flow "A. Person: weighed twice"'
            raise UsageError(str(wrong), next_step=example) from wrong
        pump = replace(pump, flow_acknowledged=who, acknowledged_nl_per_day=pump.flow_nl_per_day)
    return replace(loaded, pump=pump)


def secure(
    cli: Cli, pump: Pump, loaded: courses.Course, taken: library.Library, course: Path, fill: cal.Fill, drug: str
) -> None:
    """Loads and seals the limits of what a fill gives: its drug, or another one in its place."""
    instead = None if drug == fill.drug else drug
    limits = dose.limits_of(prepared(loaded, taken, fill.number, course, instead)[0])
    sealed = sealing.load(pump, taken, limits)
    cli.say(f"Limits for {drug} are sealed to {taken.name}: the pump keeps {sealed}.")


def with_flow_of(loaded: courses.Course, kept: Record) -> courses.Course:
    """The course with the flow that the last visit found, or its label's where no visit measured any; as it is before
    the first, and for a pump on a line, which gives what it is ordered."""
    last = kept.last("plans")
    if last is None or loaded.pump.kind == courses.PROGRAMMABLE:
        return loaded
    flow_nl = round(Fraction(last["reference_nl_per_day"]))
    same = "visit in (select id from visits where device = (select device from visits where id = ?))"
    if flow_nl == loaded.pump.labelled_flow_nl_per_day and kept.last("readings", same, last["visit"]) is None:
        return replace(loaded, pump=replace(loaded.pump, measured_flow_nl_per_day=None, measured_on=None))
    on = date.fromisoformat(last["from_utc"][:10])
    return replace(loaded, pump=replace(loaded.pump, measured_flow_nl_per_day=flow_nl, measured_on=on))


def _instead(loaded: courses.Course, taken: library.Library, word: str) -> courses.Phase:
    """How a fill that keeps the catheter open is made, as some phase or pause of the course says. Raises UsageError."""
    keepers = checks.keepers(taken)
    if word not in keepers:
        raise UsageError(f'"{word}" does not keep the catheter open', next_step=f"use {' or '.join(keepers)}")
    for phase in [*loaded.phases, *[pause for _, pause in loaded.pauses]]:
        if phase.drug == word:
            return phase
    raise UsageError(f"the course does not say how {word} is made up", next_step="add a phase or a pause with it")


def _adjusted(course: Path, phase: courses.Phase) -> tuple[Fraction, tuple[str, ...]]:
    """(percent of the planned dose, what is said about it) after the last adjustment. Raises DoseRefused in a hold."""
    entries = history.read(course)
    planned = phase.dose_mg_per_kg_day
    if planned is None or not entries:
        return dose.FULL, ()
    last = entries[-1]
    if not last.percent:
        raise DoseRefused(
            f"the drug is on hold since {cal.on(last.day)}, decided by {last.by}: {adjust.what_holds(last.reasons)}",
            "keep the catheter open: --instead heparin-saline; and adjust again with new laboratory values",
        )
    percent = Fraction(last.percent)
    if last.percent_of == "last":  # never above the plan, which may have been lowered since
        percent = min(dose.FULL, 100 * last.dose_mg_per_kg_day / planned)
    return percent, (f"adjusted on {cal.on(last.day)} by {last.by}: {q.rounded(percent, 1)} % of the planned dose",)


def adjust_command(
    cli: Cli,
    course: CourseArgument,
    ast: Annotated[list[str] | None, typer.Option(help=f"AST, {ValueHelp}.")] = None,
    alp: Annotated[list[str] | None, typer.Option(help=f"ALP, {ValueHelp}.")] = None,
    bilirubin: Annotated[
        list[str] | None, typer.Option(help="Total bilirubin, as 0.8mg/dL or 14umol/L; the same.")
    ] = None,
    day: Annotated[str | None, typer.Option(help="Of the decision, as 2027-02-08; without: today.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Add it to the list of this course; needs --by.")] = False,
    by: Annotated[str, typer.Option(help="Who decides.")] = "",
    into: Annotated[
        Path | None,
        typer.Option(help="A record of visits, which gets the whole list; `run` sees to that, too."),
    ] = None,
    library: LibraryOption = None,
    library_key: LibraryKeyOption = None,
) -> None:
    """Takes laboratory values and says what the rules make of the dose, with the reason: no advice, a calculation.

    The rules are those that the course names: `haipump therapy rules`. Nothing is kept without --record. Of a day that
    has an entry, or of an earlier one, only what lowers the dose is taken, and a hold always.
    """
    loaded, taken = courses.load(course), taken_library(library, library_key)
    planned = next((one for one in loaded.phases if one.dose_mg_per_kg_day is not None), None)
    if planned is None or planned.dose_mg_per_kg_day is None:
        raise UsageError("no phase of the course has a dose", next_step="there is nothing to adjust")
    given = {"ast": ast, "alp": alp, "bilirubin": bilirubin}
    values = {
        test: [q.measure(text, courses.TESTS[test][0])[0] for text in texts or ()] for test, texts in given.items()
    }
    entries, on = history.read(course), _day(day, loaded)
    before = history.before(entries, lambda since: cal.treated(loaded, since, on))
    decision = adjust.decide(
        rules.pick(loaded.rules), values, loaded.patient.reference, loaded.patient.upper_limit,
        planned.dose_mg_per_kg_day, on, before,
    )  # fmt: skip
    doubts = plausible.refuse(loaded, values)
    cli.say(therapy_views.decision_view(decision, taken, loaded.pump, doubts))
    if record:
        if not by.strip():
            raise UsageError("nobody is named", next_step='say who decides: --by "A. Person"')
        history.refuse_out_of_order(entries, decision)
        cli.confirm("Record this?")
        with nullcontext() if into is None else _kept(into) as kept:  # first: a wrong one leaves nothing half done
            history.append(course, decision, by)
            if kept is not None:
                history.keep(kept, history.read(course))
    cli.result(history.as_json(decision) | {"recorded": record, "keep_open": checks.keepers(taken), "warnings": doubts})
    cli.say(f"Recorded in {history.path_for(course)}." if record else "[dim]Not recorded: --record --by NAME.[/]")
    if record and entries and on < entries[-1].day:
        cli.say(f"It is the newest decision and counts, though entry {len(entries)} is of {cal.on(entries[-1].day)}.")
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def _kept(file: Path) -> Record:
    from haipump.therapy.record import Record

    return Record(file)


def _day(text: str | None, loaded: courses.Course) -> date:
    """The day of a decision: today, or one that was typed. Raises UsageError for one that can't be of this course."""
    if text is None:
        return date.today()
    try:
        day = r.day(date.fromisoformat(text))
    except ValueError:
        raise UsageError(f'"{text}" is no date of these days', next_step="write it as 2027-02-08") from None
    last = cal.periods(loaded)[-1].last
    if loaded.start - BESIDE <= day <= last + BESIDE:
        return day
    side = f"before the course begins, {loaded.start}" if day < loaded.start else f"after the course ends, {last}"
    raise UsageError(
        f"{day} is more than {BESIDE.days // 7} weeks {side}",
        history.NOTHING_RECORDED,
        "check the year; without --day it is today; a longer course needs more cycles in its file",
    )


def history_command(cli: Cli, course: CourseArgument) -> None:
    """Shows the recorded adjustments of a course, and checks that none was changed since."""
    entries = history.read(course)
    cli.result({"entries": [history.as_json(one) | {"number": one.number, "by": one.by} for one in entries]})
    cli.say(therapy_views.history_view(entries) if entries else "Nothing is recorded yet.")
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def rules_command(
    cli: Cli, name: Annotated[str | None, typer.Argument(help="Of one set; without: all.")] = None
) -> None:
    """Shows the sets of rules by which laboratory values change the dose, and how far each source was read."""
    shown = [rules.pick(name)] if name else list(rules.load().values())
    cli.result({"sets": [therapy_views.rules_json(one) for one in shown]})
    for one in shown:
        cli.say(therapy_views.rules_view(one, default=one.id == next(iter(rules.load()))))
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def load_command(
    cli: Cli,
    course: CourseArgument,
    fill: FillOption = 1,
    library: LibraryOption = None,
    library_key: LibraryKeyOption = None,
) -> None:
    """Sets the pump's limits to those of the fill's drug and seals them to the drug library.

    From then on the pump delivers only while they are as they were sealed; after each start it looks.
    """
    taken = taken_library(library, library_key)
    loaded = courses.load(course)
    made, _ = prepared(loaded, taken, fill, course)
    limits = dose.limits_of(made)
    with cli.pump() as pump:
        rows = {name: limits[name] for name in limits if name != "drug"}
        cli.say(views.facts_view(f"Limits for {limits['drug']}", none_in_words(rows), LIMIT_WORDS))
        cli.confirm(f"Set these limits and seal them to {taken.name}?")
        sealed = sealing.load(pump, taken, limits)
    cli.result({"drug": limits["drug"], "library": taken.name, "sha256": taken.sha256, "sealed": sealed})
    cli.say(f"[green]Sealed[/] to {taken.name}, SHA-256 {taken.sha256[:16]}: the pump keeps {sealed}.")
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def unload_command(cli: Cli) -> None:
    """Takes the drug library away from the pump: its limits stay, and can be changed again."""
    with cli.pump() as pump:
        if pump.library().library == sealing.NONE:
            cli.say("The pump has no drug library.")
        else:
            cli.confirm("Take the drug library away? Nobody will see then who changes a limit.")
            sealing.unload(pump)
            cli.say("The limits are sealed to no drug library any more.")
    cli.result({"sealed": sealing.NONE})


for _name, _function in (
    ("new", new),
    ("check", check),
    ("show", show),
    ("dose", dose_command),
    ("adjust", adjust_command),
    ("history", history_command),
    ("rules", rules_command),
    ("load", load_command),
    ("unload", unload_command),
):
    command(app, _name, PANEL)(_function)
therapy_library.register(app)
