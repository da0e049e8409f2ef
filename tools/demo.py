"""The main job, end to end: an emulated pump, the real host tools on its serial port, a fortnight of therapy, a report.

Owns: the story and what it prints. Must not: reach into firmware or plant; it does what a user can do.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import haipump
from haipump.journal import RunFile
from haipump.programme import daily
from haipump.quantities import format_volume
from haipump.report import write_report

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "demo"
WALL_FILE = "build/demo/fortnight_seconds.txt"  # how long the 14 days took, for `make bench`
DAYS = 14
DAY_S = 86_400
LOOK_EVERY_S = 3_600  # telemetry period in simulated time
START_TRIES = 100
READY = "is running"  # the emulator's first line once its serial port is there
QUIET_S = 60.0  # wall time without a word from the pump after which something is wrong


def main() -> int:
    console = Console()
    began = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    link = FOLDER / "pump"
    console.print("[bold]haipump demo[/] · 14 days at 1.3 mL/day with a daily 0.1 mL bolus, from a 30 mL syringe")
    emulator = start_emulator(link, "max", FOLDER / "emulator.log")
    try:
        with haipump.connect(str(link)) as pump:
            run(console, pump)
    finally:
        emulator.terminate()
        emulator.wait(10)
    console.print(
        f"everything took {time.monotonic() - began:.0f} s. Bench and teaching equipment: never for a person."
    )
    return 0


def start_emulator(link: Path, speed: str, log: Path) -> subprocess.Popen[bytes]:
    """`haipump-emu run` in a process of its own; returns when its serial port is there."""
    command = [sys.executable, "-c", "from haipump_emulator.cli import main; main()"]
    with log.open("wb") as output:
        emulator = subprocess.Popen(
            [*command, "run", "--pty", str(link), "--speed", speed, "--seed", "1"],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    for _ in range(START_TRIES):
        if READY in log.read_text(encoding="utf-8", errors="replace"):
            return emulator
        if emulator.poll() is not None:
            break
        time.sleep(0.1)
    emulator.kill()
    emulator.wait()
    raise SystemExit(f"the emulator did not start: {log.read_text(encoding='utf-8', errors='replace').strip()}")


def run(console: Console, pump: haipump.Pump) -> None:
    path = FOLDER / "fortnight.sqlite"
    path.unlink(missing_ok=True)
    info = pump.info()
    console.print(f"connected to {pump.port}: firmware {info.firmware} on {info.board}")
    pump.syringe("30mL", "30mL")
    programme = daily(rate="1.3mL/day", days=DAYS, daily_bolus="0.1mL", at="8h")
    with RunFile(path) as record:
        record.note_pump(pump)
        plan = pump.prepare_programme(programme)
        record.note_programme(programme)
        console.print(
            f"programme: {format_volume(int(plan.values['volume_nl']))} in {DAYS} days, read back by the pump"
        )
        pump.commit(plan)
        pump.telemetry(LOOK_EVERY_S)
        started = time.monotonic()
        watch(console, pump, record)
        wall_s = time.monotonic() - started
        (ROOT / WALL_FILE).write_text(f"{wall_s:.2f}\n", encoding="utf-8")
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


def _columns() -> tuple[TextColumn | BarColumn | TimeElapsedColumn, ...]:
    return (
        TextColumn("{task.description:>8}"),
        BarColumn(bar_width=40),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )


def watch(console: Console, pump: haipump.Pump, record: RunFile) -> None:
    """Follow telemetry until the programme is complete."""
    with Progress(*_columns(), console=console) as progress:
        task = progress.add_task("delivery", total=DAYS * DAY_S)
        first_s = None
        for event in pump.events(timeout_s=QUIET_S):
            record.add_event(event)
            if event.name == "tele":
                uptime_s = int(event.fields["uptime_s"])
                first_s = uptime_s if first_s is None else first_s
                progress.update(task, completed=uptime_s - first_s)
            elif event.name == "done":
                progress.update(task, completed=DAYS * DAY_S)
                return
    raise SystemExit("the pump fell silent before the programme was complete")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped; the emulated pump has ended with the demo")
