"""`haipump-emu scenario FILE...`: run scenarios, print what came of them.

Owns: what is printed, and exit codes (0 all passed, 1 one failed, 2 a scenario can't be used). Must not: run anything
itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from haipump_emulator import outputs
from haipump_emulator.cores import DIRECT, KIND_HELP, CoreError, Kind
from haipump_emulator.scenario.load import load_scenario
from haipump_emulator.scenario.model import ScenarioError
from haipump_emulator.scenario.run import Result, run_scenario
from haipump_emulator.trace.compare import clock_text


def shipped() -> list[Path]:
    """The scenarios that come with the package."""
    folder = resources.files("haipump_emulator") / "scenarios"
    return sorted(Path(str(item)) for item in folder.iterdir() if item.name.endswith(".toml"))


def find(name: str) -> Path:
    """A file of that name, or the shipped scenario called so (with or without `.toml`)."""
    path = Path(name)
    if path.exists():
        return path
    for candidate in shipped():
        if name in (candidate.name, candidate.stem):
            return candidate
    return path  # reading it will say what is wrong


def run(
    files: Annotated[list[str] | None, typer.Argument(help="Scenario files, or names of shipped ones.")] = None,
    all_shipped: Annotated[bool, typer.Option("--all", help="Run every shipped scenario.")] = False,
    list_shipped: Annotated[bool, typer.Option("--list", help="List the shipped scenarios and stop.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Processes to run in.")] = 1,
    record: Annotated[Path | None, typer.Option(help="Record the run here (one scenario only).")] = None,
    vcd: Annotated[Path | None, typer.Option(help="Write the pins as a waveform (one scenario only).")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show passed checks too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    core: Annotated[Kind, typer.Option(help=KIND_HELP)] = DIRECT,
) -> None:
    """Run scenarios in simulated time and check what they expect."""
    paths = [find(name) for name in files or []] + (shipped() if all_shipped else [])
    if list_shipped:
        _list(as_json)
        return
    if not paths:
        _stop("name a scenario file, or use --all; --list shows the shipped ones")
    for option, path in (("--record", record), ("--vcd", vcd)):
        if path is not None and len(paths) > 1:
            _stop(f"{option} takes one scenario at a time")
    try:
        outputs.check("--record", record)
        outputs.check("--vcd", vcd)
        for path in paths:
            load_scenario(path)  # before any of them runs for minutes
        results = _report(list(_run_all(paths, jobs, record, vcd, core, as_json)), verbose, as_json)
    except (ScenarioError, outputs.OutputError, CoreError, OSError) as error:
        _stop(str(error))
    if not all(result.passed for result in results):
        raise typer.Exit(1)


def _stop(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(2)


def _list(as_json: bool) -> None:
    scenarios = [load_scenario(path) for path in shipped()]
    if as_json:
        typer.echo(json.dumps([{"file": str(s.path), "name": s.name, "about": s.about} for s in scenarios]))
        return
    table = Table("file", "name", "about")
    for scenario in scenarios:
        table.add_row(scenario.path.stem, escape(scenario.name), escape(scenario.about))
    Console().print(table)


def _run_all(
    paths: list[Path], jobs: int, record: Path | None, vcd: Path | None, kind: Kind, quiet: bool
) -> Iterator[Result]:
    one = partial(_run_one, record=record, vcd=vcd, kind=kind, quiet=quiet)
    if jobs == 1 or len(paths) == 1:
        yield from map(one, paths)
        return
    # spawn: a forked child would inherit the sockets and threads of whoever calls this
    with ProcessPoolExecutor(min(jobs, len(paths)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, paths)


def _run_one(path: Path, record: Path | None, vcd: Path | None, kind: Kind, quiet: bool) -> Result:
    """In a process of its own, perhaps."""
    if not quiet:
        typer.echo(f"running {path.stem} on {kind} ...", err=True)
    return run_scenario(path, record=record, vcd=vcd, kind=kind)


def _report(results: list[Result], verbose: bool, as_json: bool) -> list[Result]:
    if as_json:
        typer.echo(json.dumps([result.as_dict() for result in results]))
        return results
    console = Console()
    table = Table("scenario", "result", "checks", "simulated", "x real time")
    for result in results:
        good = sum(bool(check.passed) for check in result.checks)
        word = "[green]pass[/]" if result.passed else "[bold red]FAIL[/]"
        counts = f"{good}/{len(result.checks)}"
        table.add_row(escape(result.name), word, counts, clock_text(result.simulated_us), f"{result.factor:,.0f}")
    console.print(table)
    for result in results:
        _details(console, result, verbose)
    return results


def _details(console: Console, result: Result, verbose: bool) -> None:
    for number, check in enumerate(result.checks):
        if check.passed and not verbose:
            continue
        word = "pass" if check.passed else "FAIL"
        place = f"{result.path}:{check.line}"
        console.print(f"{word} {place}: {check.what}", markup=False, highlight=False, soft_wrap=True)
        console.print(
            f"     at {clock_text(check.when_us)} saw: {check.saw}", markup=False, highlight=False, soft_wrap=True
        )
        for line in result.around.get(number, []):
            console.print(f"       {line}", markup=False, highlight=False, soft_wrap=True)
    if not result.checks:
        console.print(f"FAIL {result.path}: nothing was checked", markup=False, highlight=False)


def register(parent: typer.Typer) -> None:
    """Hang this command into `haipump-emu`."""
    parent.command("scenario")(run)
