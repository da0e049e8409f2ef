"""`haipump-emu trace`: show, export, replay and compare recordings.

Owns: what is printed, and exit codes (0 same or done, 1 different, 2 can't be used). Must not: compute.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from haipump_emulator import outputs
from haipump_emulator.signals import Signals
from haipump_emulator.trace.compare import Difference, clock_text, compare
from haipump_emulator.trace.export import FORMATS, TABLES, export
from haipump_emulator.trace.format import KINDS, Trace, TraceError, load

app = typer.Typer(name="trace", help="Show, export, replay and compare recordings.", no_args_is_help=True)


def _choice(known: tuple[str, ...]) -> Callable[[str | None], str | None]:
    """A callback that takes only these words; None is for an option that was left out."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(known)}")
        return value

    return check


_File = Annotated[Path, typer.Argument(help="A recording made with `haipump-emu run --record FILE`.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def _fail(error: Exception) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(2)


def _load(path: Path) -> Trace:
    try:
        return load(path)
    except TraceError as error:
        _fail(error)


@app.command()
def show(
    file: _File,
    start: Annotated[float, typer.Option("--from", help="Seconds of simulated time.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", help="Seconds of simulated time.")] = None,
    limit: Annotated[int, typer.Option(help="Lines of the timeline at most.")] = 200,
    as_json: _Json = False,
) -> None:
    """What a recording holds: its header, how much of each, and lines, inputs, events, lamps and sound in order."""
    trace = _load(file)
    if as_json:
        typer.echo(json.dumps(summary(trace)))
        return
    console = Console()
    table = Table(show_header=False, box=None)
    for name, value in summary(trace).items():
        table.add_row(name, str(value))
    console.print(table)
    shown = 0
    for t_us, text in timeline(trace):
        if t_us < start * 1e6 or (end is not None and t_us > end * 1e6):
            continue
        if shown == limit:
            console.print(f"... more; see --limit, or start at --from {t_us / 1e6:.0f}", highlight=False)
            break
        console.print(f"{clock_text(t_us)}  {text}", markup=False, highlight=False, soft_wrap=True)
        shown += 1


def summary(trace: Trace) -> dict[str, Any]:
    """What a recording holds, as plain data."""
    header = trace.header
    return {
        "scenario": header.scenario or None,
        "seed": header.seed,
        "firmware": header.firmware,
        "package": header.package,
        "duration": clock_text(trace.end_us - header.start_us),
        "complete": trace.complete,
        **{kind: trace.count(kind) for kind in KINDS},
    }


def timeline(trace: Trace) -> Iterator[tuple[int, str]]:
    """Lines, inputs and events in order; LEDs and tones as the signals that they make, for they blink for ever."""
    entries = [(t, f"{'host' if way == 'in' else 'pump'}  {text}") for t, way, text in trace.lines()]
    entries += [
        (t, f"input {name} {' '.join(f'{k}={v}' for k, v in args.items())}")
        for t, name, args in trace.inputs
        if name != "send"
    ]
    entries += [
        (t, f"event {name} {' '.join(f'{k}={v}' for k, v in fields.items())}")
        for t, name, fields in trace.events
        if name not in ("led", "tone")
    ]
    signals = Signals(lambda t, text: entries.append((t, f"panel {text}")))
    for event in trace.events:
        signals.on_event(*event)
    signals.advance(trace.end_us)
    entries.sort(key=lambda entry: entry[0])
    yield from entries


@app.command("export")
def export_command(
    file: _File,
    out: Annotated[Path, typer.Argument(help="Where to: a name that ends in .csv, .jsonl or .parquet.")],
    table: Annotated[str, typer.Option(callback=_choice(TABLES), help=f"One of: {', '.join(TABLES)}.")] = "all",
    form: Annotated[
        str | None,
        typer.Option("--format", callback=_choice(FORMATS), help=f"{', '.join(FORMATS)}; else the ending of the name."),
    ] = None,
) -> None:
    """Write a recording as a table."""
    trace = _load(file)
    try:
        outputs.check("OUT", out)
        count = export(trace, out, table=table, form=form)
    except (TraceError, outputs.OutputError) as error:
        _fail(error)
    typer.echo(f"{out}: {count} rows")


@app.command("replay")
def replay_command(
    file: _File,
    keep: Annotated[Path | None, typer.Option(help="Keep the new recording here.")] = None,
    as_json: _Json = False,
) -> None:
    """Do the recorded run again with the same seed and inputs, and check that it comes out the same."""
    # These need a whole pump, which `show` and `export` do not.
    from haipump_emulator import cores
    from haipump_emulator.scenario.rig import plant_from
    from haipump_emulator.trace.replay import replay

    trace = _load(file)
    try:
        outputs.check("--keep", keep)
        done = replay(trace, cores.again, plant_from, keep=keep)
    except (TraceError, outputs.OutputError, cores.CoreError) as error:
        _fail(error)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    _tell(done.difference, as_json, f"{file}: same outcome, {len(trace.step_times)} steps")


@app.command("compare")
def compare_command(
    first: _File,
    second: Annotated[Path, typer.Argument(help="Another recording.")],
    tolerance_us: Annotated[int, typer.Option("--tolerance-us", help="Times may differ by this much.")] = 0,
    as_json: _Json = False,
) -> None:
    """Print the first difference of two recordings; exit code 1 when there is one."""
    a, b = _load(first), _load(second)
    others = [name for name in ("seed", "scenario", "firmware", "params")
              if getattr(a.header, name) != getattr(b.header, name)]  # fmt: skip
    same = "no difference"
    if others:
        same += f" in what happened, though they were recorded with another {' and another '.join(others)}"
    found = compare(a, b, tolerance_us=tolerance_us)
    if found is not None and others:
        typer.echo(f"note: recorded with another {' and another '.join(others)}", err=True)
    _tell(found, as_json, same)


def _tell(difference: Difference | None, as_json: bool, same: str) -> None:
    if as_json:
        found = None if difference is None else vars(difference)
        typer.echo(json.dumps({"same": difference is None, "difference": found}))
    else:
        typer.echo(same if difference is None else difference.text())
    if difference is not None:
        raise typer.Exit(1)


def register(parent: typer.Typer) -> None:
    """Hang these commands into `haipump-emu`."""
    parent.add_typer(app, name="trace")
