"""`haipump shell`: a prompt with history, one command per line, one connection for all of them.

Owns: the prompt. Must not: have commands of its own beyond leaving and help.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType

import typer

from haipump import errors
from haipump.cli.frame import Cli, command, error_text, stderr
from haipump.errors import UsageError
from haipump.protocol import help as texts

HISTORY_MAX = 1_000
LEAVE = ("exit", "quit", "q")


def register(app: typer.Typer) -> None:
    command(app, "shell", "Looking")(shell)


def shell(cli: Cli) -> None:
    """A prompt: every line is a command without `haipump`, e.g. `bolus 0.1mL`. `exit` or Ctrl-D leaves.

    When its lines come from a file or a pipe, the exit code is that of the first one that failed; the others are run.
    """
    if cli.json:
        raise UsageError("the shell is for people", next_step="use the single commands with --json")
    from haipump.cli import root  # it imports this module

    names = sorted(info.name for info in root.app.registered_commands if info.name)
    with cli.pump() as pump, _history(names):
        greeting = pump.conversation.greeting
        cli.say(f"[bold]haipump[/] {greeting.device} at {pump.port}. `help` lists the commands, `exit` leaves.")
        cli.say(f"{texts.state_sentence(pump.status().state)}.")
        failed = errors.EXIT_OK
        inner = Cli(port=cli.port, yes=cli.yes, key_file=cli.key_file, shared=pump)
        while True:
            try:
                line = input("haipump> " if sys.stdin.isatty() else "")
            except EOFError:
                break
            except KeyboardInterrupt:
                cli.say("")
                continue
            code = _one(line, inner, root)
            if code is None:
                break
            failed = failed or code
        if failed and not sys.stdin.isatty():
            raise typer.Exit(failed)


def _one(line: str, cli: Cli, root: ModuleType) -> int | None:
    """Run one line; its exit code, None when it asks to leave."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as failure:
        stderr().print(f"[red]{failure}[/]: close the quotes")
        return errors.EXIT_USAGE
    if not words:
        return errors.EXIT_OK
    if words[0] in LEAVE:
        return None
    if words[0] == "help":
        words = [*words[1:], "--help"]
    if words[0] == "shell":
        stderr().print("This is the shell already.")
        return errors.EXIT_USAGE
    if cli.shared is not None:
        cli.shared.conversation.stopped_outside = False  # what is typed from here on comes after that stop
    try:
        return root.run_line(words, cli)
    except typer.Abort:
        stderr().print("Not confirmed: nothing was started.")
        return errors.EXIT_DECLINED
    except Exception as failure:
        # typer's usage errors have no public class; anything else is a bug and must be seen
        if not hasattr(failure, "format_message"):
            raise
        stderr().print(error_text(root.usage_error(failure)))
        return errors.EXIT_USAGE


@contextlib.contextmanager
def _history(names: list[str]):
    """Line editing with history and completion, where Python has readline."""
    try:
        readline = importlib.import_module("readline")
    except ImportError:
        yield
        return
    base = os.environ.get("XDG_STATE_HOME")
    path = (Path(base) if base else Path.home() / ".local" / "state") / "haipump" / "history"
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(HISTORY_MAX)
    readline.set_completer(lambda text, index: [*(n + " " for n in names if n.startswith(text)), None][index])
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(path)
