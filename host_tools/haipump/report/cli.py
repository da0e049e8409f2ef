"""The commands `log` and `report`: the pump's journal on the terminal and into a run file, and a page made of it.

Owns: their options and what they print. Must not: import numpy or matplotlib before a report is made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from haipump import programme as programmes
from haipump import quantities as q
from haipump.cli import output, views
from haipump.cli.frame import Cli, command
from haipump.cli.watch import whole_period_s
from haipump.client import Pump
from haipump.errors import HaipumpError, UsageError
from haipump.journal import Downloaded, Record, RunFile, decode
from haipump.protocol import help as texts
from haipump.protocol.codec import Event
from haipump.quantities import format_duration, format_duration_short, format_pressure, format_rate, format_volume
from haipump.report import source, verifying, write_report

PANEL = "Journal and reports"
SHOWN = 20
FOLLOW_S = 2.0  # between two looks for new records
PATIENCE_PERIODS = 3  # without telemetry for so long: ask for it anew (the pump may have restarted)


def register(app: typer.Typer) -> None:
    command(app, "log", PANEL)(log)
    command(app, "report", PANEL)(report)


# --- log


def log(
    cli: Cli,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Show so many of the last records.")] = SHOWN,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    to: Annotated[
        Path | None, typer.Option("--to", help="Download all of it into this run file, or what the file lacks.")
    ] = None,
    telemetry: Annotated[
        str | None, typer.Option("--telemetry", help="Record values at this period first, e.g. 10s (with --to).")
    ] = None,
    length: Annotated[
        str | None, typer.Option("--for", help="... for so long by the pump's clock, else until Ctrl-C.")
    ] = None,
    programme: Annotated[
        Path | None, typer.Option("--programme", help="Note this programme file, so that its curve can be drawn.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--from", help="Look into this run file; needs no pump.")] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Check number, checksum and chain of every record; exit code 1 if one is bad. The chain has no key: "
            "compare its end, which is printed, with one that was noted before.",
        ),
    ] = False,
) -> None:
    """Shows the pump's journal, or downloads it and records telemetry into a run file for `report`."""
    if to is None and (telemetry or length or programme):
        raise UsageError("there is no file to record into", next_step="add --to RUN.sqlite")
    if follow and check or file and (follow or to):
        raise UsageError("these options do not go together", next_step="see `haipump log --help`")
    if file is not None:
        _look_into(cli, file, count, check)
        return
    if to is None:
        with cli.pump() as pump:
            if check:
                verifying.tell(cli, _all_records(cli, pump), pump.port, _flash_fails(pump))
            else:
                _show(cli, pump, count, follow)
        return
    if follow:
        raise UsageError("--follow shows records, --to saves them", next_step="use one of them")
    if length and not telemetry:
        raise UsageError("--for says how long telemetry is recorded", next_step="add for example --telemetry 10s")
    period_s = whole_period_s(telemetry, "--telemetry 10s") if telemetry else 0
    length_s = q.duration_s(length) if length else None
    noted = programmes.load(programme) if programme else None
    with cli.pump() as pump, RunFile(to) as run:  # no pump, no file
        run.note_pump(pump)
        if noted is not None:
            run.note_programme(noted)
        values = _record(cli, pump, run, period_s, length_s) if period_s else 0
        _download(cli, pump, run, to, values, quiet=check)
        failing = check and _flash_fails(pump)
    if check:
        verifying.tell(cli, source.read(to).records, str(to), failing)


def _flash_fails(pump: Pump) -> bool:
    """What such a pump did of late is not in its journal, and a chain does not know its own end."""
    return any(alarm.alarm == "storage" for alarm in pump.alarms())


def _look_into(cli: Cli, file: Path, count: int, check: bool) -> None:
    """The same of a run file that was downloaded before."""
    records = list(source.read(file).records)
    if check:
        verifying.tell(cli, records, str(file))
        return
    shown = records[-count:]
    if cli.json:
        ends = {"first": records[0].seq, "last": records[-1].seq} if records else {"first": 0, "last": 0}
        cli.result(ends | {"records": [_as_json(record) for record in shown]})
        return
    if not records:
        cli.say("The file has no records.")
    _print(cli, shown)


def _all_records(cli: Cli, pump: Pump) -> list[Record]:
    """Every record that the pump has, as it is."""
    page = pump.journal_page(0, 1)
    found = []
    with nullcontext() if cli.json else _progress(cli) as shown:
        task = shown.add_task("", total=max(1, page.last - page.first + 1)) if shown else None
        for raw in pump.journal(first=page.first) if page.last else ():
            found.append(decode(raw.data, raw.seq))
            if shown is not None and task is not None:
                shown.update(task, completed=raw.seq - page.first + 1)
    return found


def _progress(cli: Cli) -> Progress:
    return Progress(
        TextColumn("Journal"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} records"),
        console=cli.out, transient=True,
    )  # fmt: skip


def _record(cli: Cli, pump: Pump, run: RunFile, period_s: int, length_s: int | None) -> int:
    """Telemetry into the file; how many values came. Ctrl-C ends it in order."""
    pump.telemetry(period_s)
    seen = 0
    progress = Progress(
        TextColumn("Recording"), BarColumn(), TextColumn("{task.fields[detail]}"), console=cli.out, transient=True
    )
    try:
        with nullcontext() if cli.json else progress:
            task = progress.add_task("", total=length_s, detail="waiting for values")
            for event, passed_s in _timed(pump, period_s):
                run.add_event(event)
                if event.name == "tele":
                    seen += 1
                    progress.update(task, completed=passed_s, detail=_tele_words(event, passed_s))
                    if length_s is not None and passed_s >= length_s:
                        break
    except KeyboardInterrupt:
        cli.say("[dim]Recording ended; now the journal.[/]")
    finally:
        _quiet(pump)
    return seen


def _timed(pump: Pump, period_s: int) -> Iterator[tuple[Event, int]]:
    """Events, with how long the pump's clock has gone since the first value, over restarts."""
    before_s, passed_s, silent_s = None, 0, 0
    while True:
        for event in pump.events(timeout_s=period_s):
            silent_s = 0
            if event.name == "boot":
                before_s = 0
                pump.telemetry(period_s)
            elif event.name == "tele":
                now_s = int(event.fields["uptime_s"])
                passed_s += max(0, now_s - (now_s if before_s is None else before_s))
                before_s = now_s
            yield event, passed_s
        silent_s += period_s
        if silent_s >= PATIENCE_PERIODS * period_s:
            pump.telemetry(period_s)
            silent_s = 0


def _quiet(pump: Pump) -> None:
    """End the telemetry; when that fails it ends with the next start of the pump, and hurts nobody."""
    try:
        pump.telemetry(0)
    except HaipumpError:
        return


def _tele_words(event: Event, passed_s: int) -> str:
    fields = event.fields
    return (
        f"{format_duration_short(passed_s)}  {fields['state']}  {format_rate(int(fields['flow_nl_per_day']))}  "
        f"{format_volume(int(fields['delivered_nl']))}"
    )


def _download(cli: Cli, pump: Pump, run: RunFile, to: Path, values: int, quiet: bool = False) -> None:
    """`quiet`: the object of --json is that of what follows."""
    progress = _progress(cli)
    with nullcontext() if cli.json else progress:
        task = progress.add_task("", total=1)
        done = run.download(pump, lambda have, last: progress.update(task, completed=have, total=last))
    if not quiet:
        cli.result({"run": str(to), "telemetry": values, **_summary(done)})
    told = f", {values} values of telemetry" if values else ""
    cli.say(f"[green]{to}[/] has records {done.first} to {done.last}, {done.new} of them new{told}.")
    if done.missing:
        cli.say(f"[yellow]{done.missing} records in between are lost[/]: overwritten, or damaged on the pump's flash.")
    cli.say(f"[bold]Next:[/] haipump report {to}")


def _summary(done: Downloaded) -> dict[str, Any]:
    return asdict(done) | {"gaps": [list(gap) for gap in done.gaps], "missing": done.missing}


def _show(cli: Cli, pump: Pump, count: int, follow: bool) -> None:
    page = pump.journal_page(0, 1)
    first = max(page.first, page.last - count + 1)
    records = [decode(raw.data, raw.seq) for raw in pump.journal(first=first)] if page.last else []
    if cli.json and not follow:
        cli.result({"first": page.first, "last": page.last, "records": [_as_json(record) for record in records]})
        return
    if not records:
        cli.say("The journal is empty.")
    _print(cli, records)
    if not follow:
        cli.say(f"[dim]Records {page.first} to {page.last} are kept; `haipump log --to RUN.sqlite` saves all.[/]")
        return
    last = records[-1].seq if records else page.last
    try:
        while not output.reader_gone():
            pump.conversation.transport.sleep(FOLLOW_S)
            fresh = [decode(raw.data, raw.seq) for raw in pump.journal(first=last + 1)]
            _print(cli, fresh, headings=False)
            last = fresh[-1].seq if fresh else last
    except KeyboardInterrupt:
        pass  # the ordinary way out


def _print(cli: Cli, records: list[Record], headings: bool = True) -> None:
    if cli.json:
        for record in records:
            sys.stdout.write(json.dumps(_as_json(record)) + "\n")
        sys.stdout.flush()
        return
    if not records:
        return
    table = Table(box=None, show_header=headings, header_style="bold", padding=(0, 2, 0, 0))
    for heading, width in (("Record", 7), ("Start", 5), ("Uptime", 16)):
        table.add_column(heading, min_width=width, justify="right")
    table.add_column("What", min_width=9)
    table.add_column("", ratio=1)
    for record in records:
        table.add_row(
            str(record.seq), str(record.boot), format_duration(record.uptime_s), *_cells(record),
            style="dim" if record.restated else None,
        )  # fmt: skip
    cli.say(table)


def _as_json(record: Record) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "boot": record.boot,
        "uptime_s": record.uptime_s,
        "name": record.name,
        "restated": record.restated,
        "crc_ok": record.crc_ok,
        "values": dict(record.values),
    }


def _cells(record: Record) -> tuple[Text, Text]:
    if not record.crc_ok:
        return Text("damaged", style="bold red"), Text("its checksum is wrong; nothing in it counts")
    words = record_words(record) + ("  (repeated)" if record.restated else "")
    style = {"alarm": "bold red", "reset": "bold red", "boot": "bold", "intent": "cyan", "result": "green"}
    if record.name == "state":
        state = source.word(source.STATES, record.values["state"])
        return Text("state"), Text(words, style=views.STATE_STYLES.get(state, ""))
    return Text(record.name or f"kind {record.kind}", style=style.get(record.name, "")), Text(words)


def record_words(record: Record) -> str:
    """What a record says, for people."""
    values = record.values
    if record.name in _WORDS:
        return _WORDS[record.name](values)
    return ", ".join(f"{name} {texts.quantity(name, value)}" for name, value in values.items())


def _why(number: int) -> str:
    name = source.word(source.WHYS, number)
    return f", {texts.WHYS[name]}" if name in texts.WHYS else ""


def _state(number: int) -> str:
    return source.word(source.STATES, number).replace("_", " ")


def _order_source(number: int) -> str:
    name = source.word(source.SOURCES, number)
    return texts.SOURCES.get(name, name)


def _boot_words(values: Mapping[str, int]) -> str:
    text = f"start {values['boot']}, cause: {source.word(source.CAUSES, values['reset'])}"
    return text + f", busy with: {source.word(source.TASKS, values['task'])}" if values["task"] else text


def _intent_words(values: Mapping[str, int]) -> str:
    parts = [f"order {values['order']}: {_order_source(values['source'])}"]
    if values["rate_nl_per_day"]:
        parts.append(format_rate(values["rate_nl_per_day"]))
    if values["volume_nl"]:
        parts.append(format_volume(values["volume_nl"]))
    if values["duration_s"]:
        parts.append(f"over {format_duration(values['duration_s'])}")
    return ", ".join(parts)


def _result_words(values: Mapping[str, int]) -> str:
    result = source.word(source.RESULTS, values["result"])
    text = f"order {values['order']}: {_order_source(values['source'])}, {texts.RESULTS.get(result, result)}"
    if result == "reset":
        most = values["commanded_nl"]
        return text + (f": at most {format_volume(most)} stepped" if most else ", its volume is not known")
    return f"{text}: {format_volume(values['stepped_nl'])} stepped, {format_volume(values['commanded_nl'])} commanded"


def _commit_words(values: Mapping[str, int]) -> str:
    return (
        f"{_state(values['state'])}: {format_volume(values['stepped_nl'])} stepped, "
        f"{format_volume(values['confirmed_nl'])} confirmed, {format_volume(values['reservoir_nl'])} left, "
        f"{format_pressure(values['pressure_pa'])}"
    )


def _alarm_words(values: Mapping[str, int]) -> str:
    name, phase = source.word(source.ALARM_NAMES, values["alarm"]), source.word(source.PHASES, values["phase"])
    if phase == "silenced":  # of all alarms at once; the value is no pressure then
        return f"silenced for {format_duration(values['value'])}, while {_state(values['state'])}"
    return f"{name.replace('_', ' ')} {phase}, while {_state(values['state'])}, at {format_pressure(values['value'])}"


_WORDS = {
    "carry": lambda values: (
        f"for a restart: {format_volume(values['primed_nl'])} primed, {format_volume(values['withdrawn_nl'])} "
        f"withdrawn, {values['orders']} orders"
    ),
    "boot": _boot_words,
    "ids": lambda values: f"ids up to {values['reserved']} are reserved",
    "intent": _intent_words,
    "result": _result_words,
    "commit": _commit_words,
    "alarm": _alarm_words,
    "settings": lambda values: f"{values['changed']} changed, generation {values['generation']}",
    "syringe": lambda values: (
        f"{format_volume(values['syringe_nl'])} syringe with {format_volume(values['reservoir_nl'])}, one microstep is "
        f"{q.format_femtolitres(values['step_fl'])}"
    ),
    "state": lambda values: f"{_state(values['state'])}, was {_state(values['was'])}" + _why(values["why"]),
}


# --- report


def report(
    cli: Cli,
    run: Annotated[Path, typer.Argument(help="A run file made by `log --to`.")],
    to: Annotated[Path | None, typer.Option("--to", help="Where the page goes; pictures go beside it.")] = None,
) -> None:
    """Makes one HTML page, with pictures beside it, of what was ordered and delivered in a run. Needs no pump."""
    page = to or run.with_suffix(".html")
    if page == run:
        raise UsageError("the page would overwrite the run file", next_step="give the page another name with --to")
    with nullcontext() if cli.json else cli.out.status("Drawing"):
        written = write_report(run, page)
    cli.result({"report": str(written[0]), "pictures": [str(path) for path in written[1:]]})
    cli.say(f"[green]{written[0]}[/], with {len(written) - 1} pictures beside it. Open it in any browser, or print it.")
