"""`haipump-emu run`: an emulated pump on a serial line, until Ctrl-C.

Owns: the options, signals, exit codes (0 ended, 1 failed, 2 not understood). Must not: build or run anything itself.
"""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from haipump_emulator.cli import arguments, screen
from haipump_emulator.cli.arguments import fail
from haipump_emulator.cli.session import Session, Setup, SetupError
from haipump_emulator.control import ControlError
from haipump_emulator.cores import KIND_HELP, CoreError, Kind
from haipump_emulator.link.base import LinkError
from haipump_emulator.link.loop import Loop
from haipump_emulator.outputs import OutputError
from haipump_emulator.scenario.cli import find
from haipump_emulator.scenario.model import ScenarioError
from haipump_emulator.statedir import StateDirError


def _syringe(text: str) -> int:
    """Whole millilitres; which ones there are is the plant's business."""
    volume_nl = arguments.VOLUME["parser"](text)
    if volume_nl % 1_000_000:
        raise typer.BadParameter(f"{text!r} is no size of a syringe: write it like 30mL")
    return volume_nl // 1_000_000


def run(
    pty: Annotated[str | None, typer.Option(metavar="LINK", help="Serial line on a pty with this name.")] = None,
    tcp: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="On TCP, this machine only; 0: any free port.")
    ] = None,
    speed: Annotated[
        str | None, typer.Option(help="Simulated per wall time: 1 (default), 60, or max.", **arguments.SPEED)
    ] = None,
    scenario: Annotated[str | None, typer.Option(metavar="FILE", help="Parameters, and what happens when.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of all randomness: equal seed, equal run.")] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record the run (see: haipump-emu trace).")
    ] = None,
    vcd: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the pins as a waveform.")] = None,
    syringe: Annotated[
        int | None, typer.Option(parser=_syringe, metavar="VOLUME", help="1, 3, 5, 10, 20, 30 (default) or 60 mL.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="For `haipump-emu ctl`, when several are running.")] = None,
    flash: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the pump's memory between runs.")] = None,
    for_: Annotated[int | None, typer.Option("--for", help="End after this simulated time.", **arguments.TIME)] = None,
    core: Annotated[Kind | None, typer.Option(help=KIND_HELP)] = None,
    uf2: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the chip boots (see: haipump-emu uf2); else this version.")
    ] = None,
    gdb: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Let GDB connect to the chip (3333 is usual).")
    ] = None,
) -> None:
    """Run an emulated pump. Without --pty or --tcp it makes a pty of its own, which `haipump` finds."""
    path = find(scenario) if scenario else None
    setup = Setup(pty, tcp, speed, path, seed, record, syringe, name, flash, for_, core, uf2, vcd, gdb)
    try:
        _run(setup, Console(highlight=False))
    except (SetupError, OutputError, ScenarioError, CoreError) as error:
        fail(error, 2)
    except (LinkError, ControlError, StateDirError, OSError) as error:
        fail(error)


def _run(setup: Setup, console: Console) -> None:
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(_signals())
        session = Session.make(setup, screen.tell_check(console), lambda text: typer.echo(text, err=True))
        stack.callback(session.close)
        stop.loop = session.loop
        if stop.wanted:
            session.loop.stop()
        screen.banner(console, session)
        panel = screen.Panel(console, session.core)
        session.core.listeners += [panel, screen.Raised(console, sources=setup.uf2 is None)]
        session.loop.services.append(panel)
        if console.is_terminal:
            line = screen.StatusLine(console, session)
            stack.callback(line.close)
            session.loop.services.append(line)
        session.loop.run()
    with contextlib.suppress(OSError):  # a terminal that was closed under us
        screen.farewell(console, session)


class _Stop:
    """What a signal asks for; the loop may not be there yet."""

    wanted = False
    loop: Loop | None = None


@contextlib.contextmanager
def _signals() -> Iterator[_Stop]:
    """The first Ctrl-C (or SIGTERM, or a closed terminal) ends the loop after its turn, the second one at once."""
    stop = _Stop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        numbers.append(signal.SIGHUP)
    before: dict[int, Any] = {}

    def end(number: int, frame: Any) -> None:
        stop.wanted = True
        if stop.loop is not None:
            stop.loop.stop()
        signal.signal(number, before[number])

    for number in numbers:
        before[number] = signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def register(parent: typer.Typer) -> None:
    """Hang this command into `haipump-emu`."""
    parent.command("run")(run)
