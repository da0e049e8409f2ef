"""`haipump-emu campaign`: many lives of a pump under random faults; `haipump-emu faults`: which faults there are.

Owns: options, progress, exit codes (0 held, 1 an invariant broke, 2 not understood). Must not: run or judge a life.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from haipump_emulator.campaign import farm, report, sometimes
from haipump_emulator.campaign.life import Life
from haipump_emulator.campaign.plan import draw
from haipump_emulator.cli.arguments import fail
from haipump_emulator.cores import KIND_HELP, CoreError, Kind
from haipump_emulator.faults.catalogue import CATALOGUE

HOURS_EACH = 24.0
HOURS_MAX = 1e7  # a hundred times what `make campaign` lives
SHRUNK_MAX = 5  # failures that are shrunk; the others are only named
NO_DASK = "--dask needs dask.distributed: python -m pip install 'haipump[dask]'"


def campaign(
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    hours: Annotated[float, typer.Option(min=0.1, max=HOURS_MAX, help="Simulated pump-hours in all.")] = 1_000.0,
    each: Annotated[
        float | None, typer.Option(min=0.1, help="Simulated hours of each life, a seed each: 24, or --hours if less.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core of this machine.")] = 0,
    core: Annotated[Kind, typer.Option(help=KIND_HELP)] = "direct",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; lives that are in it and held are not lived again.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Only these faults of the plan, such as 3,7, or none; nothing goes into --out.")
    ] = None,
    twice: Annotated[bool, typer.Option(help="Live every life twice and compare the digests.")] = False,
    shrink: Annotated[bool, typer.Option(help="Reduce failures to the fewest faults.")] = True,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Run on a Dask cluster instead.")] = None,
) -> None:
    """Lives of a pump with random orders and random faults, each from a seed, judged against what really moved."""
    workers = jobs or os.cpu_count() or 1
    each = _each(hours, each)
    seeds = range(seed, seed + math.ceil(hours / each - 1e-9))
    numbers = _numbers(only)
    _known(numbers, seeds, each, core)
    lives: list[Life] = []
    try:
        # A life without some of its faults is another one: it is neither found in --out nor kept there.
        store = farm.Store(out, farm.Order.of(each, core)) if out and numbers is None else None
        if store and store.damaged:
            where = ", ".join(str(number) for number in store.damaged)
            typer.echo(f"{store.path}: damaged and left out, lived again where it is asked for: line {where}", err=True)
        # What broke is lived again: something may have been put right since.
        held = {number: life for number, life in store.lives.items() if life.held} if store else {}
        lives += [held[number] for number in seeds if number in held]
        left = [number for number in seeds if number not in held]
        job = functools.partial(farm.one, hours=each, core=core, only=numbers, twice=twice)
        with _executor(workers, dask) as executor, _progress(len(seeds), len(lives)) as heard:

            def keep(life: Life) -> None:
                lives.append(life)
                if store:
                    store.add(life)
                heard(life)

            farm.work(left, job, executor, workers, keep)
    except (farm.CampaignError, CoreError) as error:
        fail(error)
    lives.sort(key=lambda life: life.seed)
    if store and out and not report.write(out, lives, core):
        typer.echo(report.NO_PARQUET, err=True)  # its brackets are no markup
    if out and not store:
        typer.echo(f"--only: nothing was written to {out}", err=True)
    _say(lives, core, shrink and numbers is None, len(left) == 1, numbers)


def _each(hours: float, each: float | None) -> float:
    """Hours of a life. What is asked for is done, or refused."""
    if math.isnan(hours) or each is not None and math.isnan(each):  # passes every comparison with a limit
        raise typer.BadParameter("--hours, --each: nan is no number of hours; ask for 0.1 or more")
    if each is None:
        return min(HOURS_EACH, hours)
    if each > hours:
        raise typer.BadParameter(f"--hours {hours:g}: one life has {each:g} (--each); ask for more, or less each")
    return each


def _known(numbers: tuple[int, ...] | None, seeds: range, each: float, core: Kind) -> None:
    """A number that no plan has would leave lives without a fault, which hold."""
    left = set(numbers or ())
    for seed in seeds:
        if not left:
            return
        left -= {strike.number for strike in draw(seed, each, core).strikes}
    if left:
        unknown = ", ".join(str(number) for number in sorted(left))
        lives = f"of seed {seeds[0]}" if len(seeds) == 1 else "of these seeds"
        raise typer.BadParameter(f"--only: no plan {lives} has a fault {unknown} in {each:g} h; --only none is without")


def _numbers(only: str | None) -> tuple[int, ...] | None:
    try:
        return None if only is None else tuple(int(word) for word in only.split(",") if word and word != "none")
    except ValueError:
        raise typer.BadParameter(f"--only {only}: numbers with commas between them, or none") from None


def _end_with_parent() -> None:
    """In a worker: end at once when the campaign is gone, also when it was killed and could say nothing."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()  # sleeps in the kernel until the pipe from the parent is closed
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _executor(workers: int, dask: str | None) -> Iterator[Executor]:
    if dask is None:
        # Started anew, so that a worker has nothing of this process but what it is handed.
        with ProcessPoolExecutor(workers, get_context("spawn"), _end_with_parent) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise farm.CampaignError(NO_DASK) from None
    try:
        with distributed.Client(dask, timeout="10s") as client, client.get_executor() as executor:
            yield executor
    except OSError as error:
        raise farm.CampaignError(f"no Dask scheduler at {dask}: {error}") from None


@contextlib.contextmanager
def _progress(count: int, done: int) -> Iterator[Any]:
    columns = (
        TextColumn("lives"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=count, completed=done, text="")
        broken = 0

        def heard(life: Life) -> None:
            nonlocal broken
            broken += not life.held
            bar.update(task, advance=1, text=f"{broken} broken" if broken else "all held")

        yield heard


def _say(lives: list[Life], core: str, shrink: bool, one: bool, only: tuple[int, ...] | None) -> None:
    hours = sum(life.hours for life in lives)
    broken = [life for life in lives if not life.held]
    for number, life in enumerate(broken):
        typer.echo(f"{life.broken} in seed {life.seed} at {life.at_us / 3.6e9:.6f} h: {life.text}")
        numbers = farm.shrink(life) if shrink and number < SHRUNK_MAX else only
        for line in life.strikes:
            if numbers is not None and int(line.partition(":")[0]) in numbers:
                typer.echo(f"  {line}")
        typer.echo(f"  again: {farm.replay(life, numbers)}")
    gaps = sometimes.missing(farm.totals(lives), hours, core)
    for name in gaps:
        typer.echo(f"never seen: {name}")
    if hours < sometimes.FROM_HOURS:
        typer.echo(f"never seen: {sometimes.said({}, hours, core)}")
    if one and lives:
        typer.echo(
            f"seed {lives[0].seed}: digest {lives[0].digest}, {lives[0].commands} commands, {lives[0].faults} faults"
        )
    typer.echo(f"{hours:,.0f} simulated hours in {len(lives)} lives, {len(broken)} broken")
    if broken or gaps:
        raise typer.Exit(1)


def faults() -> None:
    """The catalogue of faults with their parameters."""
    table = Table("fault", "what", "parameters", box=None, pad_edge=False)
    for name, kind in CATALOGUE.items():
        parameters = [_parameter(item) for item in dataclasses.fields(kind)]
        table.add_row(name, (kind.__doc__ or "").splitlines()[0], "\n".join(parameters))
    Console(soft_wrap=False).print(table)


def _parameter(item: dataclasses.Field[Any]) -> str:
    known = item.metadata
    values = " | ".join(known["words"]) if "words" in known else f"{known['low']}..{known['high']}"
    return f"{item.name}={values} ({known['help']}; {item.default})"


def register(parent: typer.Typer) -> None:
    """Hang these commands into `haipump-emu`."""
    parent.command()(campaign)
    parent.command()(faults)
