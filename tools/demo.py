"""The main job, end to end: an emulated pump, the real host tools on its serial port, a fortnight of therapy, a report.

Owns: the story and what it prints. Must not: reach into firmware or plant; it does what a user can do.

`make demo` runs the fortnight on the core `direct`; then, when there is a MicroPython image, the first day of it once
more on the emulated chip, and compares the two step by step. `make demo-chip` runs the fortnight on the chip.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import haipump
from haipump.errors import PortError
from haipump.journal import RunFile
from haipump.programme import daily
from haipump.quantities import format_volume
from haipump.report import write_report
from haipump_emulator import cores
from haipump_emulator.trace.format import load

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "demo"
# How long the 14 days took, for `make bench`.
WALL_FILES = {"direct": "build/demo/fortnight_seconds.txt", "chip": "build/demo/fortnight_chip_seconds.txt"}
SAME_US = 2  # each core rounds the first step, from which the others are counted, to a microsecond of its own
DAYS = 14
DAY_S = 86_400
LOOK_EVERY_S = 3_600  # telemetry period in simulated time
START_TRIES = 600
READY = "is running"  # the emulator's first line once its serial port is there
CONNECT_TRIES = 10
QUIET_S = 60.0  # wall time without a word from the pump after which something is wrong


def main(core: cores.Kind = cores.DIRECT) -> None:
    """Run the fortnight on one core, and on `direct` show that the chip makes the same steps."""
    console = Console()
    began = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    console.print("[bold]haipump demo[/] · 14 days at 1.3 mL/day with a daily 0.1 mL bolus, from a 30 mL syringe")
    with emulator(core) as pump:
        fortnight(console, pump, core)
    same = first_day(console) if core == cores.DIRECT else True
    console.print(
        f"everything took {time.monotonic() - began:.0f} s. Bench and teaching equipment: never for a person."
    )
    raise typer.Exit(0 if same else 1)


@contextlib.contextmanager
def emulator(core: cores.Kind) -> Iterator[haipump.Pump]:
    """An emulated pump in a process of its own, recorded, and the host tools on its line."""
    link = FOLDER / f"pump-{core}"
    record = ("--record", str(recording(core)))
    process = start_emulator(link, FOLDER / f"emulator-{core}.log", "--core", core, "--speed", "max", *record)
    try:
        with connected(link, lambda: process.poll() is None) as pump:
            yield pump
    finally:
        process.terminate()
        process.wait(20)


def connected(link: Path, runs: Callable[[], bool]) -> haipump.Pump:
    """On a busy machine the emulated chip's first second, its start, takes longer than a host is patient."""
    for _ in range(CONNECT_TRIES):
        try:
            return haipump.connect(str(link))
        except PortError:
            if not runs():
                raise
    return haipump.connect(str(link))


def recording(core: cores.Kind) -> Path:
    return FOLDER / f"{core}.trace"


def start_emulator(link: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """`haipump-emu run` in a process of its own; returns when its serial port is there."""
    command = [sys.executable, "-c", "from haipump_emulator.cli import main; main()"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "run", "--pty", str(link), "--seed", "1", *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    for _ in range(START_TRIES):
        if READY in log.read_text(encoding="utf-8", errors="replace"):
            return process
        if process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    raise SystemExit(f"the emulator did not start: {log.read_text(encoding='utf-8', errors='replace').strip()}")


def begin(console: Console, pump: haipump.Pump, record: RunFile | None = None) -> None:
    """Load a syringe, programme the fortnight, start it."""
    info = pump.info()
    console.print(f"connected to {pump.port}: firmware {info.firmware} on {info.board}, {info.interpreter}")
    pump.syringe("30mL", "30mL")
    programme = daily(rate="1.3mL/day", days=DAYS, daily_bolus="0.1mL", at="8h")
    if record is not None:
        record.note_pump(pump)
        record.note_programme(programme)
    plan = pump.prepare_programme(programme)
    console.print(f"programme: {format_volume(int(plan.values['volume_nl']))} in {DAYS} days, read back by the pump")
    pump.commit(plan)
    pump.telemetry(LOOK_EVERY_S)


def fortnight(console: Console, pump: haipump.Pump, core: cores.Kind) -> None:
    path = FOLDER / "fortnight.sqlite"
    path.unlink(missing_ok=True)
    with RunFile(path) as record:
        begin(console, pump, record)
        started = time.monotonic()
        watch(console, pump, DAYS, record)
        wall_s = time.monotonic() - started
        (ROOT / WALL_FILES[core]).write_text(f"{wall_s:.2f}\n", encoding="utf-8")
        pump.telemetry(0)
        totals = pump.totals()
        console.print(
            f"{DAYS} days in {wall_s:.1f} s ({DAYS * DAY_S / wall_s:,.0f} x real time):"
            f" commanded {format_volume(totals.commanded_nl)}, stepped {format_volume(totals.stepped_nl)},"
            f" confirmed {format_volume(totals.confirmed_nl)}"
        )
        with Progress(*_columns(), console=console) as progress:
            task = progress.add_task("journal", total=None)
            record.download(pump, lambda have, last: progress.update(task, completed=have, total=last))
    for page in write_report(path, FOLDER / "report.html"):
        console.print(f"report: {page.relative_to(ROOT)}")


def first_day(console: Console) -> bool:
    """The first day again on the chip. False when its steps are not those of `direct`."""
    if cores.choose().kind != cores.CHIP:
        console.print(f"[dim]The first day on the emulated chip was left out: {cores.NO_IMAGE}.[/]")
        return True
    console.print(
        "[bold]The first day again[/] on the emulated chip: the real MicroPython image, booted from its flash"
    )
    with emulator(cores.CHIP) as pump:
        begin(console, pump)
        started = time.monotonic()
        watch(console, pump, 1)
        wall_s = time.monotonic() - started
    direct, chip = day_of_steps(recording(cores.DIRECT)), day_of_steps(recording(cores.CHIP))
    count = min(len(direct), len(chip))
    off = [abs(a - b) for a, b in zip(direct, chip, strict=False)]
    first = next((n for n, by in enumerate(off) if by > SAME_US), None if len(direct) == len(chip) else count)
    if first is None:
        console.print(
            f"[green]equal step for step[/]: {count:,} steps in a day, none more than {max(off)} us apart"
            f" ({DAY_S / wall_s:,.0f} x real time)"
        )
    else:
        at = f", {off[first]} us apart" if first < count else ""
        console.print(
            f"[bold red]not equal[/]: {len(direct)} and {len(chip)} steps, the first difference at step {first}{at}"
        )
    return first is None


def day_of_steps(path: Path) -> list[int]:
    """Microseconds from the first step to each step of the first day; its last minute may not be there. What the self
    test sends to a driver that is off is none."""
    trace = load(path)
    on_us = next(at for at, name, fields in trace.events if name == "enable" and fields["on"])
    times = [at for at in trace.step_times if at >= on_us]
    return [at - times[0] for at in times if at - times[0] < (DAY_S - 60) * 1_000_000]


def _columns() -> tuple[TextColumn | BarColumn | TimeElapsedColumn, ...]:
    return (
        TextColumn("{task.description:>8}"),
        BarColumn(bar_width=40),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )


def watch(console: Console, pump: haipump.Pump, days: int, record: RunFile | None = None) -> None:
    """Follow telemetry for so many days, or until the programme is complete."""
    with Progress(*_columns(), console=console) as progress:
        task = progress.add_task("delivery", total=days * DAY_S)
        first_s = None
        past_s = 0
        for event in pump.events(timeout_s=QUIET_S):
            if record is not None:
                record.add_event(event)
            if event.name == "tele":
                uptime_s = int(event.fields["uptime_s"])
                first_s = uptime_s if first_s is None else first_s
                past_s = uptime_s - first_s
                progress.update(task, completed=past_s)
            if event.name == "done" or (days < DAYS and past_s >= days * DAY_S):
                progress.update(task, completed=days * DAY_S)
                return
    raise SystemExit("the pump fell silent before the programme was complete")


def command() -> None:
    """What `make demo` runs."""
    try:
        typer.run(main)
    except KeyboardInterrupt:
        sys.exit("\nstopped; the emulated pump has ended with the demo")
    except haipump.HaipumpError as error:
        logs = FOLDER.relative_to(ROOT) / "emulator-*.log"
        sys.exit(f"\nthe demo has failed: {error}\nWhat the emulator printed is in {logs}. Try again with `make demo`.")


if __name__ == "__main__":
    command()
