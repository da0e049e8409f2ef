"""`haipump-emu compare`: the programmable pump against an implanted constant-flow pump, through one fortnight.

Owns: options, the tables on the terminal, files, exit codes (0 the programmable pump kept its dose, 1 it did not, 2 not
understood). Must not: run a pump or work out a figure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from haipump_emulator.cli.arguments import fail
from haipump_emulator.plant.surroundings import DAY_S, NAMES, STAIR_S

PA_PER_BAR = 100_000
DAYS_MIN = 5  # in less a single slip of the stopper is more than the bar
DAYS_MAX = 20  # what either reservoir lasts
FILES = ("compare.png", "compare.svg", "compare.json")
ALL = ",".join(NAMES)


def compare(
    events: Annotated[
        str,
        typer.Option(metavar="NAMES", help=f"What happens in it, with commas between: {', '.join(NAMES)}; or none."),
    ] = ALL,
    vapour: Annotated[
        float,
        typer.Option(metavar="BAR", min=1.4, max=4.0, help="Vapour pressure of the implant's propellant at 37 °C."),
    ] = 2.0,
    days: Annotated[
        int, typer.Option(min=DAYS_MIN, max=DAYS_MAX, help="How long; what is not over by then is left out.")
    ] = 14,
    out: Annotated[Path | None, typer.Option(help=f"Folder for {', '.join(FILES)}; made if need be.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """The programmable pump and an implanted constant-flow pump through the same fever, flight, mountains and sauna.

    The real firmware infuses 1.3 mL/day on the simulated rig; beside it a gas-driven implant with the same flow on its
    label. Dose over plan, tumour and body, by what arrived in the artery. Teaching and bench material, not for clinical
    use.
    """
    # These are a lot to import for somebody who wants another command.
    from haipump_emulator.compare import outcome, run
    from haipump_emulator.plant.implant import ImplantParams
    from haipump_emulator.plant.surroundings import chosen

    try:
        profile = chosen([word.strip() for word in events.split(",") if word.strip() not in ("", "none")], days)
    except ValueError as error:
        raise typer.BadParameter(f"--events: {error}") from None
    folder = _folder(out)
    therapy, params = run.Therapy(), ImplantParams(vapour_37_pa=vapour * PA_PER_BAR)
    try:
        with _progress(days * DAY_S // STAIR_S) as heard:
            programmed = run.programmable(profile, therapy, progress=heard)
    except run.CompareError as error:
        fail(error)
    constant = run.constant_flow(profile, therapy, params)
    found = outcome.judge(profile, therapy, params, constant, programmed)
    written = _write(folder, profile, therapy, constant, programmed, found) if folder else []
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        _say(Console(), found, run)
        for path in written:
            typer.echo(f"written: {path}")
    if not found.reached:
        raise typer.Exit(1)


def _folder(out: Path | None) -> Path | None:
    """Asked before the pump runs. Fails in words when it can't be had."""
    if out is None:
        return None
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out: can't make the folder {out}: {error.strerror}; name another")
    return out


@contextmanager
def _progress(stairs: int) -> Iterator[Any]:
    columns = (TextColumn("the firmware's fortnight"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=stairs)
        yield lambda stair: bar.update(task, completed=stair)


def _write(folder: Path, profile: Any, therapy: Any, constant: Any, programmed: Any, found: Any) -> list[Path]:
    from haipump_emulator.compare import figure

    picture, drawing = figure.draw(profile, therapy, constant, programmed, found)
    text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False) + "\n"
    paths = [folder / name for name in FILES]
    try:
        for path, content in zip(paths, (picture, drawing, text.encode("utf-8")), strict=True):
            path.write_bytes(content)
    except OSError as error:
        fail(f"--out: can't write into {folder}: {error.strerror}; name another folder")
    return paths


def _percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:+.{digits}f} %"


def _say(console: Console, found: Any, run: Any) -> None:
    table = Table(title="Dose over plan, by what arrived in the artery", title_justify="left", box=None, pad_edge=False)
    table.add_column("while")
    for head in ("plan", "constant\nflow", "this\nalone", "by the\ntable", "program-\nmable", ""):
        table.add_column(head, justify="right", no_wrap=True)
    for row in found.rows:
        off_ul = (row.programmable_nl - row.plan_nl) / 1_000
        table.add_row(
            row.title, f"{row.plan_nl / 1e6:.2f} mL", _percent(row.constant_percent), _percent(row.alone_percent),
            "" if row.table_percent is None else f"{row.table_percent:+g} %",
            _percent(row.programmable_percent, 2), f"{off_ul:+.0f} µL",
        )  # fmt: skip
    console.print(table)
    console.print(
        "[dim]The rig's stopper moves in slips of some 25 µL, so that a short stretch says little in percent.[/]\n"
        f"The firmware made steps for {found.stepped_nl / 1e6:.4f} mL."
    )
    console.print()
    console.print(_exposure(found))
    console.print()
    for name, ratio in found.as_dict()["advantage"].items():
        if name != "systemic_ratio":
            console.print(f"[bold]{ratio['value']:.2f}[/]  {ratio['definition']}", highlight=False)
    for t_us, name in found.alarms:
        console.print(f"alarm of the programmable pump: {name} after {t_us / 1e6 / DAY_S:.2f} days")
    judged = "[green]kept[/]" if found.reached else "[bold red]missed[/]"
    off = f"{found.rows[0].programmable_percent:+.2f} %"
    console.print(f"Within {found.as_dict()['bar_percent']} % of plan: {judged} by the programmable pump ({off}).")
    console.print(found.as_dict()["note"], style="dim")


def _exposure(found: Any) -> Table:
    table = Table(title="What the patient had of it", title_justify="left", box=None, pad_edge=False)
    for head in ("", *found.exposure):
        table.add_column(head, justify="right" if head else "left")
    lines = (
        ("farthest from plan, µL", lambda x: f"{x.farthest_nl / 1_000:.0f}"),
        ("drug, mg", lambda x: f"{x.drug_mg:.1f}"),
        ("tumour, mean, µg/L", lambda x: f"{x.target_mean:.2f}"),
        ("tumour, highest", lambda x: f"{x.target_peak:.1f}"),
        ("systemic, mean, µg/L", lambda x: f"{x.systemic_mean:.4f}"),
        ("systemic, highest", lambda x: f"{x.systemic_peak:.4f}"),
        ("ALP at the end, U/L", lambda x: f"{x.markers['alp']:.0f}"),
        ("AST at the end, U/L", lambda x: f"{x.markers['ast']:.0f}"),
    )
    for title, show in lines:
        table.add_row(title, *(show(value) for value in found.exposure.values()))
    return table


def register(parent: typer.Typer) -> None:
    """Hang the command into `haipump-emu`."""
    parent.command()(compare)
