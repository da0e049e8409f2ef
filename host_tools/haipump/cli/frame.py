"""What every command shares: common options, connecting, asking, showing, and errors on the way out.

Owns: `Cli` and the decorator `command`. Must not: know any single command.

A command is a function whose first parameter is a `Cli`; `command` gives it the common options (`--port`, `--json`,
`--yes`, `--key-file`), which may also stand before the command's name. With `--json` exactly one object goes to
standard output: `{"ok": true, ...}` with the command's own keys, or `{"ok": false, "error": {...}, "exit_code": n}`.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand

from haipump import answers, holding, keyfiles
from haipump import quantities as q
from haipump.client import STANDING, Pump, connect
from haipump.errors import (
    EXIT_DECLINED,
    EXIT_INTERRUPTED,
    Declined,
    HaipumpError,
    Interrupted,
    PortBusy,
    SeveralPumps,
    UsageError,
    full_stop,
)
from haipump.holding import Holding
from haipump.orders import Order
from haipump.protocol import help as texts
from haipump.transport import find_ports

PANEL = "Common options"
NOTHING_STARTED = "Nothing was started"
FRESH_S = 20  # a read-back older than this is read back again: its token lives for 30 s

PortOption = Annotated[
    str | None,
    typer.Option(
        "--port",
        "-p",
        envvar="HAIPUMP_PORT",
        help="/dev/ttyACM0, pty, socket://host:port, COM5.",
        rich_help_panel=PANEL,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=PANEL)]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: for scripts.", rich_help_panel=PANEL)]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key-file", envvar="HAIPUMP_KEY_FILE", help="The key of a locked pump.", rich_help_panel=PANEL),
]


def stdout() -> Console:
    """Made anew each time: tests and the shell exchange sys.stdout."""
    return Console(highlight=False)


def stderr() -> Console:
    return Console(stderr=True, highlight=False)


@dataclass
class Cli:
    """The common options, and what a command needs of the world. `name` is the command's, `shared` the shell's open
    pump."""

    port: str | None = None
    json: bool = False
    yes: bool = False
    key_file: Path | None = None
    shared: Pump | None = None
    name: str = ""
    on_silence: Callable[[str], None] | None = None  # shows the text, or takes it away when it is empty
    left_as: str = NOTHING_STARTED  # what is said when a question was not answered
    _said_silent: bool = False
    out: Console = field(default_factory=stdout)

    @property
    def interactive(self) -> bool:
        """A person is there to be asked."""
        return not self.json and sys.stdin.isatty() and sys.stdout.isatty()

    @contextmanager
    def pump(self, stopping: bool = False) -> Iterator[Pump]:
        """The pump, for a `with`: the named one, the only one, or the one that the person picks. `stopping`: a stop is
        the first thing that it gets. While it lasts, `haipump stop` in another terminal gets through, see `holding`."""
        if self.shared is not None:
            if self.port and not holding.same_port(self.port, self.shared.port):
                raise UsageError(
                    f"the shell speaks to the pump at {self.shared.port}, and --port names {self.port}",
                    next_step="leave the shell, or do it in another terminal",
                )
            with self._telling(self.shared):
                yield self.shared
            return
        key = None if stopping else self.key()  # a stop needs none, and an unreadable file must not be in its way
        with (
            self._connected(key, stopping) as pump,
            Holding(pump.port, self.name, pump.conversation.stop_from_outside) as held,
        ):

            def hear(state: str) -> None:
                if pump.conversation.stopped_outside and state in STANDING:
                    held.stopped(state)

            pump.conversation.on_state = hear
            with self._telling(pump):
                yield pump

    @contextmanager
    def _telling(self, pump: Pump) -> Iterator[None]:
        """Who declines learns what the pump does meanwhile: it may be delivering something else."""
        try:
            yield
        except (Declined, typer.Abort, EOFError) as left:
            self.left_as = NOTHING_STARTED
            with suppress(HaipumpError):
                state = pump.status().state
                as_before = "" if state in STANDING else ", as before"
                sentence = texts.state_sentence(state)
                self.left_as = f"{NOTHING_STARTED}: {sentence[:1].lower()}{sentence[1:]}{as_before}"
            if isinstance(left, Declined) and left.state == NOTHING_STARTED:
                left.state = self.left_as
            raise

    def _connected(self, key: bytes | None, stopping: bool) -> Pump:
        """Raises PortError, CommunicationError; of a port that another command of ours has it says what to do there."""
        try:
            port = self.port or self.pick_port()
            return connect(port, key, stopping=stopping, on_silence=self._silent, on_busy=self._busy)
        except PortBusy as busy:
            holder = holding.find(busy.port)
            if holder is not None:
                busy.next_step = f"end {holder} with Ctrl-C in its terminal; only `haipump stop` gets through it"
            raise

    def _silent(self, seconds: float) -> None:
        self._waiting(silence_text(seconds))

    def _busy(self, seconds: float) -> None:
        self._waiting(f"the pump is busy for {int(seconds)} s, waiting" if seconds else "")

    def _waiting(self, text: str) -> None:
        """Say that we are waiting for an answer: `on_silence` does where there is a screen, else a line on standard
        error, renewed in place on a terminal."""
        if self.on_silence is not None:
            self.on_silence(text)
        elif not self.json and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        elif not self.json and text and not self._said_silent:
            sys.stderr.write(text + "\n")
        self._said_silent = bool(text)

    def key(self) -> bytes | None:
        """The key from the key file. Raises UsageError."""
        return None if self.key_file is None else keyfiles.read_key(self.key_file)

    def pick_port(self) -> str | None:
        """None to let the library find the only one; asks when there are several and a person is there."""
        found = find_ports()
        if len(found) < 2 or not self.interactive:
            return None
        self.out.print(f"{len(found)} pumps are connected:")
        for number, info in enumerate(found, 1):
            self.out.print(f"  [bold]{number}[/]  {info.port}  [dim]{info.description} {info.serial_number}[/]")
        choice = typer.prompt("Which one", default="", show_default=False)
        if choice.isdigit() and 1 <= int(choice) <= len(found):
            return found[int(choice) - 1].port
        raise SeveralPumps("no pump was picked", "name one with --port", [info.port for info in found])

    def result(self, values: Mapping[str, Any]) -> None:
        """With --json: the object. Without: nothing."""
        if self.json:
            sys.stdout.write(json.dumps({"ok": True, **values}, indent=2) + "\n")

    def say(self, text: object) -> None:
        """For people; nothing with --json."""
        if not self.json:
            self.out.print(text)

    def confirm(self, question: str) -> None:
        """Go on only when the person says yes, or said so with --yes. Raises Declined."""
        if self.yes:
            return
        if not self.interactive:
            raise Declined("nobody is there to confirm it", NOTHING_STARTED, "add --yes if it is meant")
        if not typer.confirm(question, default=False):
            raise Declined("it was not confirmed", NOTHING_STARTED, "")

    def order(
        self, pump: Pump, prepare: Callable[[], answers.Plan], show: Callable[[answers.Plan], object], question: str
    ) -> Order:
        """Read back, show, ask, commit. When the person took so long that the read-back is old, it is made again, and
        shown again when it came out otherwise."""
        now = pump.conversation.transport.now
        while True:
            plan, began = prepare(), now()
            self.say(show(plan))
            self.confirm(question)
            if now() - began > FRESH_S:
                again = prepare()
                if not _same(plan, again):
                    self.say("[yellow]Meanwhile it would come out otherwise:[/]")
                    continue
                plan = again
            return pump.commit(plan)


def silence_text(seconds: float) -> str:
    """What is shown while an answer stays away; empty when it has come."""
    return f"no answer for {int(seconds)} s, trying again" if seconds else ""


def _same(one: answers.Plan, other: answers.Plan) -> bool:
    drifting = ("empty_in_s", "reservoir_nl", "from_nl_per_day")

    def facts(plan: answers.Plan) -> dict[str, int | str]:
        return {name: value for name, value in plan.values.items() if name not in drifting}

    return facts(one) == facts(other)


class _Command(TyperCommand):
    """Takes `-1mL` for what it is, a quantity with a sign and no option, and `0.5 ml/h` for one word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        args = joined(args)
        for word in args[: args.index("--")] if "--" in args else args:
            if re.match(r"-\.?[0-9]", word):
                advice = f"write: haipump jog -- {word}" if self.name == "jog" else f"write {word[1:]} if that is meant"
                raise typer.BadParameter(f'"{word}" has a sign, and quantities have none; {advice}')
        return super().parse_args(ctx, args)


def joined(words: list[str]) -> list[str]:
    """The words of a command line, a number and the unit behind it made one."""
    out: list[str] = []
    for word in words:
        if out and re.fullmatch(r"(?:[a-z_]+=)?[0-9][0-9.,]*", out[-1]) and q.is_unit(word):
            out[-1] += word
        else:
            out.append(word)
    return out


def command(
    app: typer.Typer, name: str, panel: str, **settings: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command with the common options. Errors become text or JSON, and the exit code."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(ctx: typer.Context, **arguments: Any) -> None:
            cli = merged(ctx, arguments)
            cli.name = name
            with reported(cli):
                function(cli, **arguments)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        common = [
            inspect.Parameter("port", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=PortOption),
            inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption),
            inspect.Parameter("yes", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=YesOption),
            inspect.Parameter("key_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=KeyOption),
        ]
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        run.__signature__ = inspect.Signature([context, *own, *common])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *own, *common)}
        app.command(name, cls=_Command, rich_help_panel=panel, **settings)(run)
        return function

    return register


def merged(ctx: typer.Context, arguments: dict[str, Any]) -> Cli:
    """The options given before the command with those behind it; takes the common ones out of `arguments`. What was
    typed wins over the environment, wherever it stands. Raises typer.BadParameter for an empty name."""
    before = ctx.obj if isinstance(ctx.obj, Cli) else Cli()

    def named(option: str, earlier: Any) -> Any:
        value, source = arguments.pop(option), ctx.get_parameter_source(option)
        typed = source is not None and source.name == "COMMANDLINE"
        if typed and str(value) in ("", "."):  # Path("") is "."
            raise typer.BadParameter(f"--{option.replace('_', '-')} names nothing")
        return value if typed else earlier or value

    return Cli(
        port=named("port", before.port),
        json=arguments.pop("json") or before.json,
        yes=arguments.pop("yes") or before.yes,
        key_file=named("key_file", before.key_file),
        shared=before.shared,
    )


@contextmanager
def reported(cli: Cli) -> Iterator[None]:
    """Errors of the library leave as text on standard error, or as JSON, and as the exit code."""
    try:
        yield
    except HaipumpError as error:
        if cli._said_silent and sys.stderr.isatty():
            sys.stderr.write("\n")
        if cli.json:
            sys.stdout.write(json.dumps({"ok": False, **error.as_json()}, indent=2) + "\n")
        else:
            stderr().print(error_text(error))
        raise typer.Exit(error.exit_code) from error
    except (typer.Abort, EOFError) as left:
        # typer turns Ctrl-C at a question into Abort
        if isinstance(left.__context__, KeyboardInterrupt):
            if not cli.json:
                sys.stderr.write("\n")
            told = cli.left_as[:1].lower() + cli.left_as[1:]
            say_interrupted(Interrupted(f"it was not confirmed: {told}"), cli.json)
            raise typer.Exit(Told(EXIT_INTERRUPTED)) from None
        stderr().print(Text.assemble(("It was not confirmed.", "bold red"), f"\n{cli.left_as}."))
        raise typer.Exit(EXIT_DECLINED) from None
    except KeyboardInterrupt:
        say_interrupted(Interrupted(), cli.json)
        raise typer.Exit(Told(EXIT_INTERRUPTED)) from None


class Told(int):
    """The exit code of an interruption of which the command has told: of a Ctrl-C outside of commands typer makes the
    bare number, and says nothing."""


def say_interrupted(interrupted: Interrupted, as_json: bool) -> None:
    """One line, or the object that a script gets."""
    if as_json:
        sys.stdout.write(json.dumps({"ok": False, **interrupted.as_json()}, indent=2) + "\n")
    else:
        text = " ".join(_sentence(part) for part in (interrupted.what, interrupted.state))
        stderr().print(text, style="dim", markup=False)


def error_text(error: HaipumpError) -> Text:
    """What happened, the state, what to do next: one line each."""
    text = Text()
    text.append(_sentence(error.what), style="bold red")
    if error.state:
        text.append("\n" + _sentence(error.state))
    if error.next_step:
        text.append("\nNext: ", style="bold")
        text.append(_sentence(error.next_step))
    return text


def _sentence(text: str) -> str:
    """With a capital and a full stop. What somebody typed, a file's name or a wire's word keeps its letters: only a
    plain word is capitalised."""
    text = text.rstrip(".")
    if re.match(r"[a-z]+(?:'t)?[,:;]?(?: |$)", text):
        text = text[:1].upper() + text[1:]
    return text if text.endswith(("`", '"')) else full_stop(text)
