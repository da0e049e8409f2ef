"""The command that installs the firmware: flash.

Owns: its options, the question before it, the progress bar. Must not: know how it is done (`haipump.flashing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn

from haipump import flashing
from haipump.cli import views
from haipump.cli.frame import Cli, command, stderr
from haipump.errors import UsageError
from haipump.protocol import help as texts
from haipump_fw.device import Shipped

PANEL = "Setting up"


def register(app: typer.Typer) -> None:
    command(app, "flash", PANEL)(flash)


def flash(
    cli: Cli,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite another program on the Pico.")] = False,
) -> None:
    """Installs the firmware on a Pico that runs MicroPython or a stopped pump; settings and journal stay."""
    if cli.shared is not None:
        raise UsageError("the shell holds the port", next_step="leave it, then type `haipump flash`")
    # First of all: compiling the application takes seconds, and so does a port where nobody answers.
    port = flashing.find_board(cli.port).port
    cli.say(f"[dim]Looking for a pump or MicroPython at {port} ...[/]")
    flashing.check_port(port)
    ships = flashing.application()
    with flashing.Flasher(ships, port, cli.key(), replace) as flasher:
        found = flasher.look()
        cli.say(views.facts_view(f"Pico at {found.port}", before(found, ships)))
        known = {"port": found.port, "device": found.device, "ships": {"app_hash": ships.app_hash}}
        known["before"] = {
            "state": found.state or "micropython",
            "interpreter": found.interpreter,
            "info": asdict(found.running) if found.running else None,
        }
        if dry_run:
            cli.result(known | {"dry_run": True, "changes": asdict(found.changes) if found.changes else None})
            cli.say("Nothing was changed (--dry-run).")
            return
        cli.confirm("Install the firmware and restart?")
        with shown(cli) as progress:
            done = flasher.install(found, progress)
    equal = done.info.app_hash == ships.app_hash
    cli.result(
        known
        | {"dry_run": False, "changes": asdict(done.changes), "port": done.port, "equal": equal}
        | {"hello": asdict(done.greeting), "info": asdict(done.info)}
    )
    cli.say(views.facts_view(f"Pump at {done.port}", after(done, equal)))
    cli.say("[green]The firmware was already there, byte for byte.[/]" if done.changes.none else "[green]Installed.[/]")


def before(found: flashing.Found, ships: Shipped) -> dict[str, Any]:
    """What is there and what would be done, for people."""
    facts: dict[str, Any] = {"Device": found.device, "Interpreter": found.interpreter}
    if found.running is not None:
        same = found.running.app_hash == ships.app_hash
        facts["Runs"] = f"firmware {found.running.firmware}; {texts.state_sentence(found.state)}"
        facts["Its application"] = found.running.app_hash
        facts["To be done"] = "ask it to make way, compare every file" + (" (it says it has them)" if same else "")
    if found.changes is not None:
        facts["To be written"] = names(found.changes.write)
        facts["To be removed"] = names((*found.changes.remove, *found.changes.folders))
    facts["Application to install"] = ships.app_hash
    return facts


def after(done: flashing.Installed, equal: bool) -> dict[str, Any]:
    """Who answers now, for people."""
    return {
        "Device": done.greeting.device,
        "Firmware": done.info.firmware,
        "Interpreter": done.info.interpreter,
        "Application": done.info.app_hash,
        "Equal to what was installed": "yes" if equal else "no",
        "Written": names(done.changes.write),
        "Removed": names((*done.changes.remove, *done.changes.folders)),
    }


def names(files: tuple[str, ...]) -> str:
    """A few of them, and how many there are."""
    if len(files) <= 3:
        return ", ".join(files) or "nothing"
    return f"{len(files)} files: {', '.join(files[:3])} ..."


@contextmanager
def shown(cli: Cli) -> Iterator[flashing.Progress]:
    """A progress bar on standard error; nothing with --json."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>5.1f} %"),
        console=stderr(),
        transient=True,
        disable=cli.json,
    )
    with bar:
        task = bar.add_task("Starting", total=None)

        def update(text: str, done: int, whole: int) -> None:
            bar.update(task, description=text, completed=done, total=whole or None)

        yield update
