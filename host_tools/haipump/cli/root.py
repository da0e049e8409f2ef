"""The `haipump` command as a whole: its commands, what it does without one, and its exit codes.

Owns: the typer application. Must not: know what a single command does.
"""

from __future__ import annotations

import importlib
import importlib.util
import json as json_module
import sys
from importlib import metadata
from typing import Annotated, Any

import typer

from haipump import errors
from haipump.cli import (
    delivery,
    flashing,
    handling,
    looking,
    output,
    setup,
    shell,
    therapy,
    therapy_run,
    therapy_visit,
    watch,
)
from haipump.cli.frame import (
    Cli,
    JsonOption,
    KeyOption,
    PortOption,
    Told,
    YesOption,
    error_text,
    merged,
    reported,
    say_interrupted,
    stderr,
)

EPILOG = (
    "Exit codes: 0 done, 1 the pump refused, 2 usage, 3 no pump or port, 4 communication failed or a stop not "
    "confirmed, 5 the pump ended it (alarm, stop), 6 not confirmed, 7 done but its output could not be written (a full "
    "disk; a closed pipe is no failure), 130 interrupted. Quantities are typed as people "
    "write them: 1.3mL/day, 0.5 ml/h, 2uL/min, 0.1mL, 90s, 1h30min, 50kPa. For bench and teaching; never to be "
    "connected to a person."
)

app = typer.Typer(
    name="haipump",
    help="Programs a haipump over its serial line. Without a command: shows how the connected pump is.",
    epilog=EPILOG,
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            number = metadata.version("haipump")
        except metadata.PackageNotFoundError:
            number = "(run from its sources)"
        sys.stdout.write(f"haipump {number}\n")
        raise typer.Exit


@app.callback()
def without_command(
    ctx: typer.Context,
    port: PortOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
    key_file: KeyOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    cli = merged(ctx, {"port": port, "json": json, "yes": yes, "key_file": key_file})
    ctx.obj = cli
    if ctx.invoked_subcommand is None:
        with reported(cli):
            looking.show_status(cli, with_hints=True)


for module in (looking, delivery, handling, setup, flashing, therapy, therapy_visit, therapy_run, watch, shell):
    module.register(app)

# Reading the journal into a database and reports is a package of its own, which brings its commands along.
if importlib.util.find_spec("haipump.report") and importlib.util.find_spec("haipump.report.cli"):
    importlib.import_module("haipump.report.cli").register(app)


def main(args: list[str] | None = None) -> None:
    """The entry point. Mistakes in the command line leave like every other error."""
    words = sys.argv[1:] if args is None else args
    with output.lasting():
        code = output.exit_code(_run(words))
    sys.exit(code)


def _run(words: list[str]) -> int:
    """The exit code of one command line."""
    as_json = "--json" in words
    try:
        code: Any = app(args=words, prog_name="haipump", standalone_mode=False)
        if code == errors.EXIT_INTERRUPTED and not isinstance(code, Told):
            raise KeyboardInterrupt
        return code if isinstance(code, int) else errors.EXIT_OK
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else errors.EXIT_OK
    except KeyboardInterrupt:
        say_interrupted(errors.Interrupted(), as_json)
        return errors.EXIT_INTERRUPTED
    except typer.Abort:
        return _told(errors.Declined("it was aborted", "Nothing was started"), as_json)
    except Exception as failure:
        # typer's usage errors; their class is not public, this method is
        if not hasattr(failure, "format_message"):
            raise
        return _told(usage_error(failure), as_json)


def usage_error(failure: Any) -> errors.UsageError:
    """A usage error of typer's as one of ours."""
    context = getattr(failure, "ctx", None)
    path = context.command_path if context is not None else "haipump"
    return errors.UsageError(failure.format_message(), next_step=f"see `{path} --help`")


def _told(error: errors.HaipumpError, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json_module.dumps({"ok": False, **error.as_json()}, indent=2) + "\n")
    else:
        stderr().print(error_text(error))
    return error.exit_code


def run_line(words: list[str], cli: Cli) -> int:
    """One line of the shell, with the shell's options and its open pump; its exit code."""
    code: Any = app(args=words, prog_name="haipump", standalone_mode=False, obj=cli)
    return code if isinstance(code, int) else errors.EXIT_OK
