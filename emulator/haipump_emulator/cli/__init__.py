"""The command `haipump-emu`. Owns: which commands there are. Must not: do any of them itself."""

import importlib.metadata
from typing import Annotated

import typer

from haipump_emulator.cli import campaign, compare, ctl, hands, image, run
from haipump_emulator.scenario import cli as scenario_cli
from haipump_emulator.trace import cli as trace_cli

app = typer.Typer(
    name="haipump-emu",
    help="An emulated infusion pump: its own firmware, a serial line, and a physical world that does as you tell it.",
    epilog="Bench and teaching equipment: nothing here may ever be connected to a person.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("haipump"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """What holds for all commands."""


run.register(app)
ctl.register(app)
image.register(app)
scenario_cli.register(app)
trace_cli.register(app)
campaign.register(app)
compare.register(app)
hands.register(app)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 not understood."""
    app()
