"""`haipump therapy run` and `therapy status`: a course carried out on a pump, and where it stands.

Owns: their options, what they print, and a program that answers in a person's place (`Hands`). Must not: decide what
comes next (`haipump.therapy.run`).
"""

from __future__ import annotations

import datetime
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from haipump import answers
from haipump.cli import therapy
from haipump.cli.delivery import one_word
from haipump.cli.frame import Cli, command
from haipump.cli.therapy_visit import RecordArgument, Terminal, begun_record
from haipump.errors import Declined, DoseRefused, Refused, UsageError
from haipump.protocol import help as texts
from haipump.quantities import format_volume
from haipump.therapy import NOT_CLINICAL, dose, history
from haipump.therapy import calendar as cal
from haipump.therapy import course as courses
from haipump.therapy import reading as r

if TYPE_CHECKING:
    from haipump.client import Pump
    from haipump.therapy.run import CourseRun, Standing
    from haipump.therapy.steps import Question
    from haipump.therapy.visit import Visit

HANDS_S = 10  # for a program to end once nothing is asked any more
PumpClockOption = Annotated[
    bool, typer.Option("--pump-clock", help="The course's time is the pump's, as with an emulated pump that runs fast.")
]


def register(root: typer.Typer) -> None:
    for name, function in (("run", run), ("status", status)):
        command(therapy.app, name, therapy.PANEL)(function)


def run(
    cli: Cli,
    course: therapy.CourseArgument,
    file: RecordArgument,
    library: therapy.LibraryOption = None,
    library_key: therapy.LibraryKeyOption = None,
    hands: Annotated[
        str | None, typer.Option(help="A program that answers in a person's place, as `haipump-emu hands` does.")
    ] = None,
    pump_clock: PumpClockOption = False,
    by: Annotated[str, typer.Option(help="Who does it; asked for anyway.")] = "",
    instead: therapy.InsteadOption = None,
    override: Annotated[
        str | None, typer.Option(help="Why a soft limit may be passed; noted in the pump's journal.")
    ] = None,
    used_pump: Annotated[
        bool,
        typer.Option("--used-pump", help="Begin, though the pump has delivered what no visit of the record tells."),
    ] = False,
) -> None:
    """Carries a course out on a pump: each fill with its visit, until the last is delivered.

    May be ended and given again at any time: the record and the pump's own ledger know what has been done, and nothing
    is done twice. After an alarm or a restart of the pump a person acknowledges it first.
    """
    with _course(cli, course, file, library, library_key, hands, pump_clock, by, instead, True) as made:
        made.override, made.used_pump = one_word(override) or "", used_pump
        try:
            standing = made.run()
        except (EOFError, typer.Abort) as left:
            state = texts.state_sentence(made.pump.status().state)
            raise Declined("nobody answered", f"The visit stays open. {state}", "run the course again") from left
    cli.result(_json(standing))
    cli.say(f"[green]The course is over[/]: {standing.done} of {standing.planned} fills are delivered.")
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


def status(
    cli: Cli,
    course: therapy.CourseArgument,
    file: RecordArgument,
    library: therapy.LibraryOption = None,
    library_key: therapy.LibraryKeyOption = None,
    pump_clock: PumpClockOption = False,
) -> None:
    """Says where a course stands and what comes next; changes nothing."""
    if not file.exists():
        raise UsageError(f"there is no record {file}", "Nothing was begun", "begin with `haipump therapy run`")
    with _course(cli, course, file, library, library_key, None, pump_clock, "", None, False) as made:
        standing = made.standing()
        refused = _refusal(made, standing)
    cli.result(_json(standing) | {"refused": refused})
    cli.say(standing_text(standing))
    if refused is not None:
        cli.say(f"[yellow]It can't be filled as it stands:[/] {escape(refused)}.")
    cli.say(f"[dim]{NOT_CLINICAL}[/]")


@contextmanager
def _course(
    cli: Cli,
    file: Path,
    record: Path,
    library: Path | None,
    key: Path | None,
    hands: str | None,
    pump_clock: bool,
    by: str,
    instead: str | None,
    keeps: bool,
) -> Iterator[CourseRun]:
    """`keeps`: adjustments that the record lacks come into it. Raises DoseRefused for a course with errors, UsageError
    when the list of adjustments is not the record's, and HaipumpError for a record that was changed."""
    from haipump.therapy.run import CourseRun, PumpClock

    taken, loaded = therapy.taken_library(library, key), courses.load(file)
    errors = [one for one in therapy.problems_of(loaded, taken) if one.level == r.ERROR]
    if errors:
        raise DoseRefused(
            f"the course has errors, line {errors[0].line}: {errors[0].what}", f"see `haipump therapy check {file}`"
        )

    def now() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    def prepared(fill: cal.Fill) -> dose.Preparation:
        entries = history.read(file)
        (history.keep if keeps else history.lacking)(kept, entries)
        held = bool(entries) and not entries[-1].percent and fill.phase is not None and fill.phase.dose_mg_per_kg_day
        return therapy.prepared(loaded, taken, fill.number, file, instead if held else None)[0]

    def secured(pump: Pump, fill: cal.Fill, drug: str) -> None:
        therapy.secure(cli, pump, loaded, taken, file, fill, drug)

    def waits(refused: Refused) -> None:
        cli.say(f"[yellow]Waits:[/] {escape(refused.what)}.")

    with cli.pump() as pump, begun_record(record, loaded.name, now) as kept, _asker(cli, hands) as asker_for:
        kept.demand_intact()
        history.lacking(kept, history.read(file))
        begins = datetime.datetime.combine(loaded.start, datetime.time(9), datetime.UTC)
        clock = PumpClock(kept, pump, begins) if pump_clock else now
        told = _Progress(cli)
        yield CourseRun(loaded, prepared, kept, pump, clock, asker_for, told, by, secured, waits)


def _refusal(made: CourseRun, standing: Standing) -> str | None:
    """Why the next fill would not be begun; None when nothing is known that speaks against it."""
    if standing.open_step or standing.following is None:
        return None
    try:
        made.wanted(standing.following)
    except DoseRefused as refused:
        return f"{refused.what}; {refused.next_step}"
    return None


class _Progress:
    """One line for each fill that is delivered."""

    def __init__(self, cli: Cli) -> None:
        self._cli, self._fill = cli, 0

    def __call__(self, standing: Standing, status: answers.Status) -> None:
        if standing.done != self._fill and standing.fill is not None:
            self._fill = standing.done
            volume, days = format_volume(standing.volume_nl), standing.fill.days
            self._cli.say(f"fill {standing.done} of {standing.planned}: {volume} of {standing.drug} in {days} days")


@contextmanager
def _asker(cli: Cli, program: str | None) -> Iterator[Callable[[Visit], Any]]:
    if program is None:
        yield lambda visit: Terminal(cli, visit)
        return
    try:
        with subprocess.Popen(
            shlex.split(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            try:
                yield lambda visit: Hands(cli, visit, process)
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(HANDS_S)
    except OSError as failure:
        raise UsageError(f"{program} can't be started ({failure})", next_step="check --hands") from failure


class Hands(Terminal):
    """A program that answers: it reads one JSON object a line (state, text, hint, default, and what the visit is to
    fill) and writes one line with the answer."""

    def __init__(self, cli: Cli, visit: Visit, process: subprocess.Popen[str]) -> None:
        super().__init__(cli, visit)
        self._process = process
        self._wrong = ""

    def ask(self, question: Question) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        plan = self.visit.procedure.plan
        facts = {"fill_nl": plan.fill_nl, "check_nl": plan.check_nl, "drug": plan.drug, "wrong": self._wrong}
        facts |= {"state": question.state, "text": question.text, "hint": question.hint, "default": question.default}
        self._wrong = ""
        try:
            self._process.stdin.write(json.dumps(facts) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            raise UsageError(
                f"the program in --hands has ended, at the step {question.state}",
                "The visit stays open",
                "see what it said, and run the course again",
            )
        return answer.strip()

    def wrong(self, error: Any) -> None:
        if self._wrong:
            raise error
        self._wrong = error.what
        super().wrong(error)


def _json(standing: Standing) -> dict[str, Any]:
    return {
        "fills": standing.planned,
        "done": standing.done,
        "drug": standing.drug or None,
        "volume_nl": standing.volume_nl,
        "left_nl": standing.left_nl,
        "visit_open_at": standing.open_step or None,
        "next": standing.following.date.isoformat() if standing.following else None,
        "over": standing.over and standing.following is None,
    }


def standing_text(standing: Standing) -> Text:
    """Where it stands, in words."""
    if standing.open_step:
        return Text(f"A visit stands open at the step {standing.open_step}; `haipump therapy run` goes on with it.")
    if not standing.drug:
        return Text("Nothing has been filled yet; `haipump therapy run` begins.")
    given = format_volume(standing.volume_nl - standing.left_nl)
    which = f"Fill {standing.done} of {standing.planned}" if standing.fill else "A fill that the course does not have"
    text = f"{which}, {standing.drug}: {given} of"
    text += f" {format_volume(standing.volume_nl)} delivered"
    following = standing.following
    text += f"; next {following.drug}, planned for {following.date}." if following else "; it is the last."
    return Text(text)
