"""`make years`: five years of alternating fills at one emulated pump on the core `direct`, and what must hold of them.

Owns: the options, the loop over the fills, what is printed. Must not: judge (`checks` does) or make time pass.

It may be ended at any time, by Ctrl-C or worse: given again, it goes on after the last fill that was complete.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from haipump.therapy import course as courses
from haipump.therapy import library as libraries
from haipump.therapy import record as records
from haipump_emulator import cores
from haipump_emulator.direct.ports import app_hash
from tools.years import again, checks, fortnight, picture, rates
from tools.years.state import FORMAT, Folder, OtherRun, Row, State, code_digest

OUT = Path("build/years")
SEED = 170  # of 400 looked at, the one with the most to show: two complications, a patient who needs adjusting
NOT_CLINICAL = "Teaching and bench material, not for clinical use."
MINUTES_BAR = 110
STOPPED = 130  # exit code after Ctrl-C, as a shell has it


def main(
    fills: Annotated[int, typer.Option(min=1, max=2 * courses.CYCLES_MAX, help="Of 14 days each.")] = rates.LIFE_FILLS,
    seed: Annotated[int, typer.Option(help="Of patient, people and events.")] = SEED,
    often: Annotated[float, typer.Option(min=0, help="Events at so many times the published and stated rates.")] = 1.0,
    out: Annotated[Path, typer.Option(help="Where the checkpoints are.")] = OUT,
    anew: Annotated[bool, typer.Option("--anew", help="Begin again, whatever is there.")] = False,
    chip_fortnight: Annotated[
        int | None, typer.Option(min=1, help="Fill of this number once more, on `direct` and on the emulated chip.")
    ] = None,
    chip_hours: Annotated[
        float, typer.Option(min=0.5, max=14 * 24, help="So much of its delivery; its visit comes before it.")
    ] = 24.0,
) -> None:
    """Fill after fill, 1.3 mL/day, floxuridine and heparin-saline in turn; then the checks. Goes on where it was."""
    console = Console(highlight=False, soft_wrap=False)
    folder = Folder(out)
    if anew:
        folder.clear()
    world = world_of(seed, often)
    settings = {"format": FORMAT, "seed": seed, "often": often, "application": app_hash(), "plant": code_digest()}
    try:
        state = folder.load(folder.last(), settings) if folder.last() else world.new_state(settings)
    except OtherRun as other:
        raise SystemExit(str(other)) from None
    console.print(f"[bold]haipump years[/] · {NOT_CLINICAL}")
    console.print(f"seed {seed}, events at {often:g} x their rates, quartz {rates.pump_ppm(seed):+d} ppm,")
    console.print(
        f"bile ducts {state.patient.params.susceptibility:.2f} x as susceptible as those of the median patient"
    )
    if state.done and chip_fortnight is None:
        console.print(f"goes on after fill {state.done}, from {folder.place(state.done)}")
    if chip_fortnight is not None:
        raise typer.Exit(0 if on_both(console, world, folder, chip_fortnight, chip_hours) else 1)
    held = go_on(console, world, state, folder, fills)
    raise typer.Exit(0 if tell(console, state, folder) and held else 1)


def world_of(seed: int, often: float) -> fortnight.World:
    """The course of the example file, as long as a course may be."""
    course = dataclasses.replace(courses.parse(courses.example()), cycles=courses.CYCLES_MAX)
    return fortnight.World(
        course,
        libraries.load(),
        seed,
        lambda number, days: rates.draw(seed, number, days, often),
        ppm=rates.pump_ppm(seed),
    )


def go_on(console: Console, world: fortnight.World, state: State, folder: Folder, fills: int) -> bool:
    """Fill after fill, each with its checks and a checkpoint. False when a check has failed."""
    fine = True
    began, first = time.monotonic(), state.done
    # Not waited for: a process that is killed leaves what it has given to the system. A power cut of this computer may
    # take the last checkpoint with it.
    records.SYNCHRONOUS = "off"
    while state.done < fills:
        try:
            fortnight.run(world, state, folder.begin_work(state.done))
            folder.finish(state)
        except KeyboardInterrupt:
            console.print(f"stopped; the same command goes on after fill {folder.last()}")
            raise typer.Exit(STOPPED) from None
        row = state.rows[-1]
        failed = [one for one in checks.of_fill(row, state.step_fl) if not one.holds]
        fine &= not failed
        each_s = (time.monotonic() - began) / (state.done - first)
        console.print(f"{line_of(row)}[dim]{each_s * (fills - state.done) / 60:3.0f} min[/]")
        for one in failed:
            console.print(f"     [bold red]{one.what}: {one.value}[/], {one.bound}")
    if state.done > first:
        wall_s = time.monotonic() - began
        whole_min = wall_s / (state.done - first) * rates.LIFE_FILLS / 60
        console.print(
            f"{state.done - first} fills in {wall_s / 60:.1f} min, {wall_s / (state.done - first):.1f} s each: five"
            f" years in {whole_min:.0f} min (bar {MINUTES_BAR})"
        )
    return fine


def on_both(console: Console, world: fortnight.World, folder: Folder, number: int, hours: float) -> bool:
    """A fill that has been once more on both cores. False when they differ."""
    if not 1 <= number <= folder.last():
        raise SystemExit(f"fill {number} has not been: {folder.path} holds {folder.last()} fills")
    runs = []
    for kind in (cores.DIRECT, cores.CHIP):
        try:
            runs.append(again.play(world, folder, number, hours, kind))
        except cores.CoreError as error:
            raise SystemExit(f"fill {number} can't be repeated on {kind}: {error}") from None
        console.print(
            f"fill {number} on {kind}: {runs[-1].visit_made:,} pulses in the visit, {len(runs[-1].steps):,} steps in"
            f" {hours:g} h of delivery, {runs[-1].wall_s:.0f} s"
        )
    found = again.differences(*runs, step_fl=folder.load(number).step_fl)
    for one in found:
        console.print(f"[bold red]not equal[/]: {one}")
    if not found:
        console.print(f"[green]equal step for step[/], none more than {again.SAME_US} us apart")
    return not found


def line_of(row: Row) -> str:
    """One fill in a line of 80 columns with what comes after it."""
    drug = row.drug if row.drug != row.planned_drug or row.percent == 100 else f"{row.drug} {row.percent} %"
    alarms = [name for name in dict.fromkeys(row.alarms) if name != "power_lost"]
    told = [*([f"{row.cuts} x power"] if row.cuts else ()), *row.happened, *(f"! {name}" for name in alarms)]
    values = f"ALP {row.values['alp']:3.0f} AST {row.values['ast']:3.0f}"
    text = f"{row.number:3d} {row.date} {drug:16s}{row.true_nl / 1e6:8.4f} mL {values} {', '.join(told)}"
    return text[:72].ljust(72)


def tell(console: Console, state: State, folder: Folder) -> bool:
    """The table of all checks. False when one has failed."""
    with records.Record(folder.record(state.done)) as kept:
        found = checks.of_all(state, kept)
    years = state.now_us / rates.DAY_US / 365.25
    quiet = sum(not checks.eventful(row) for row in state.rows)
    title = f"{state.done} fills in {years:.2f} years: {quiet} quiet, {state.done - quiet} with power cuts or alarms"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("what", "value", "bound", ""):
        table.add_column(name, justify="left" if name in ("what", "") else "right")
    for one in found:
        table.add_row(one.what, one.value, one.bound, "[green]holds[/]" if one.holds else "[bold red]FAILS[/]")
    console.print(table)
    for text in story(state):
        console.print(text)
    console.print(f"drawn: {picture.draw(state, folder.path / 'years.png')}")
    return all(one.holds for one in found)


def story(state: State) -> list[str]:
    """What happened in these years, in a few lines."""
    rows = state.rows
    drug = [row for row in rows if row.planned_drug == fortnight.DRUG]
    shares = {percent: sum(row.percent == percent for row in drug) for percent in (100, 80, 50, 25, 0)}
    dose = ", ".join(
        f"{count} at {percent} %" if percent else f"{count} held" for percent, count in shares.items() if count
    )
    alarms = [name for row in rows for name in row.alarms]
    told = ", ".join(f"{alarms.count(name)} {name}" for name in sorted(set(alarms))) or "none"
    return [
        f"turns for drug: {dose}; {sum(row.given_mg for row in rows):,.0f} mg arrived in the artery",
        f"power cuts {sum(row.cuts for row in rows)}; alarms: {told}",
        f"complications: {', '.join(one for row in rows for one in row.happened) or 'none'}",
        f"found: {', '.join(one for row in rows for one in row.found) or 'nothing'}",
    ]


if __name__ == "__main__":
    typer.run(main)
