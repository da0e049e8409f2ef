"""Commands for hands on the syringe: syringe, refill, prime, withdraw, jog, home.

Owns: their options, the guided refill. Must not: let anything move without the word that the line is disconnected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count, repeat
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from haipump import answers, syringes
from haipump import quantities as q
from haipump.cli import views
from haipump.cli.delivery import WaitOption, finish, one_word, waited
from haipump.cli.frame import Cli, command
from haipump.client import Pump
from haipump.errors import Declined, QuantityError, UsageError
from haipump.orders import Order
from haipump.protocol import help as texts
from haipump.quantities import format_volume

PANEL = "Syringe"
AFTER_LOADING = (
    "Next: `haipump prime 0.5mL` with the line disconnected, until a drop comes; connect it, then `haipump rate` or "
    "`start`."
)
DisconnectedOption = Annotated[
    bool, typer.Option("--disconnected", help="Yes, the line is disconnected: this is fast, and no dose.")
]
BoreOption = Annotated[int | None, typer.Option("--bore-um", help="Inner diameter, when it is not the table's.")]
NominalOption = Annotated[
    bool, typer.Option("--nominal", help="Give up what was measured: the volume per step is that of the geometry.")
]
DrugOption = Annotated[str | None, typer.Option(help="Name of the drug in it, which dose limits may ask for.")]
TableOption = Annotated[str, typer.Option(help="Which table of diameters: plastic or newera.")]


def register(app: typer.Typer) -> None:
    for name, function in (
        ("syringe", syringe),
        ("refill", refill),
        ("prime", prime),
        ("withdraw", withdraw),
        ("jog", jog),
        ("home", home),
    ):
        command(app, name, PANEL)(function)


def syringe(
    cli: Cli,
    size: Annotated[str | None, typer.Argument(help="Nominal size, e.g. 30mL. Without: shows the table.")] = None,
    volume: Annotated[str | None, typer.Option(help="Volume in it; without: full.")] = None,
    bore_um: BoreOption = None,
    table: TableOption = "plastic",
    nominal: NominalOption = False,
    drug: DrugOption = None,
) -> None:
    """Loads a syringe: says what is in it and how wide it is. Without a size: lists the known ones.

    What was measured with a syringe of the same bore (`calibrate`) is kept; that of another bore does not fit.
    """
    if size is None:
        show_table(cli)
        return
    with cli.pump() as pump:
        finish(cli, pump, load(cli, pump, size, volume or size, bore_um, table, nominal, drug), False)
        say_not_held(cli, pump)
        cli.say(f"[dim]{AFTER_LOADING}[/]")


def load(
    cli: Cli, pump: Pump, size: str, volume: str, bore_um: int | None, table: str, nominal: bool, drug: str | None
) -> Order:
    """Read back, show what becomes of a measured calibration, ask, and load."""
    before = pump.calibration()

    def prepare() -> answers.Plan:
        name = one_word(drug)
        return pump.prepare_syringe(size, volume, bore_um=bore_um, table=table, nominal=nominal, drug=name)

    def show(plan: answers.Plan) -> object:
        told = calibration_words(syringes.step_for(int(plan.values["bore_um"]), before, nominal), before)
        return Group(views.plan_view(plan), *([Text.from_markup(told)] if told else []))

    return cli.order(pump, prepare, show, "Load this syringe?")


def say_not_held(cli: Cli, pump: Pump) -> None:
    """Loading only tells the pump what is in it; it starts nothing while the plunger is let go."""
    if not pump.sensors().captured:
        cli.say(
            "[bold yellow]The plunger is not held:[/] the pump refuses to deliver until the syringe sits in its clamp."
        )


def calibration_words(step: syringes.Step, before: answers.Calibration) -> str:
    """What becomes of a measured volume per microstep, with both numbers; nothing when none was measured."""
    if step.measured_fl is None:
        return ""
    measured, geometry = q.format_femtolitres(step.measured_fl), q.format_femtolitres(step.nominal_fl)
    if step.kept:
        return (
            f"[yellow]The measured calibration is kept: {measured} per microstep, where the geometry gives {geometry}."
            "[/] --nominal gives it up."
        )
    if step.nominal_fl == syringes.step_fl(before.bore_um, before.lead_um, before.steps_per_turn):
        why = f"The measured calibration, {measured} per microstep, is given up"
    else:
        why = f"The measured calibration, {measured} per microstep, was for another syringe, of "
        why += f"{q.format_length(before.bore_um)} bore"
    return f"[yellow]{why}: this one counts with {geometry}, by its geometry.[/] Weigh what it delivers: calibrate it."


def show_table(cli: Cli) -> None:
    """The syringes there are."""
    cli.result(
        {
            "syringes": [
                {
                    "size_nl": one.size_nl,
                    "bore_um": dict(zip(syringes.TABLES, one.bores_um, strict=True)),
                    "max_rate_nl_per_day": one.max_rate_nl_per_day(),
                }
                for one in syringes.SYRINGES
            ]
        }
    )
    rows = [
        (
            one.name,
            *(q.format_length(bore) for bore in one.bores_um),
            q.format_femtolitres(syringes.step_fl(one.bores_um[0], 2_000, 3_200)),
            q.format_rate(one.max_rate_nl_per_day()),
        )
        for one in syringes.SYRINGES
    ]
    cli.say(views.rows_view(rows, "Syringe", "Bore (plastic)", "Bore (newera)", "Microstep, 2 mm lead", "Highest rate"))
    cli.say(
        "[dim]The tables differ by up to 3.5 % in volume. For a dose that counts, weigh what a syringe delivers, and "
        "correct it: haipump calibrate --commanded 10mL --measured 9.9mL[/]"
    )


def prime(
    cli: Cli,
    volume: Annotated[str, typer.Argument(help="For example 0.5mL.")],
    disconnected: DisconnectedOption = False,
    wait: WaitOption = False,
) -> None:
    """Fills the line and takes up the play of the screw: pushes fast, not counted as dose.

    The first that is pushed from a new syringe goes into play and air, which no sensor sees: without priming it would
    be counted as delivered, and nothing would arrive.
    """
    _move(cli, "prepare_prime", {"volume_nl": q.volume_nl(volume)}, disconnected, wait, "Prime?")


def withdraw(
    cli: Cli,
    volume: Annotated[str, typer.Argument(help="For example 2mL.")],
    disconnected: DisconnectedOption = False,
    wait: WaitOption = False,
) -> None:
    """Pulls the plunger back, for refilling."""
    _move(cli, "prepare_withdraw", {"volume_nl": q.volume_nl(volume)}, disconnected, wait, "Withdraw?")


def jog(
    cli: Cli,
    steps: Annotated[int, typer.Argument(help="Microsteps forward; backward with `-- -100`.")],
    disconnected: DisconnectedOption = False,
    wait: WaitOption = False,
) -> None:
    """Moves the pusher by microsteps."""
    _move(cli, "prepare_jog", {"steps": steps}, disconnected, wait, "Move?")


def home(cli: Cli, disconnected: DisconnectedOption = False, wait: WaitOption = False) -> None:
    """Moves the pusher back to the end switch."""
    _move(cli, "prepare_home", {}, disconnected, wait, "Move home?")


def _move(cli: Cli, verb: str, fields: dict[str, Any], disconnected: bool, wait: bool, question: str) -> None:
    with cli.pump() as pump:
        sure_disconnected(cli, disconnected)
        order = cli.order(pump, lambda: pump.prepare(verb, disconnected=1, **fields), views.plan_view, question)
        finish(cli, pump, order, wait)


def sure_disconnected(cli: Cli, said: bool) -> None:
    """--yes is not enough for this one. Raises Declined."""
    if said:
        return
    if not cli.interactive:
        raise Declined(
            "nobody said that the line is disconnected", "Nothing was started", "add --disconnected if it is"
        )
    if not typer.confirm("Is the line disconnected from anything alive?", default=False):
        raise Declined("the line is still connected", "Nothing was started", "disconnect it first")


def refill(
    cli: Cli,
    begin: Annotated[bool, typer.Option("--begin", help="Only begin.")] = False,
    end: Annotated[bool, typer.Option("--end", help="Only end.")] = False,
    pull: Annotated[str | None, typer.Option("--withdraw", help="Pull this back before.")] = None,
    size: Annotated[str | None, typer.Option("--syringe", help="Size of the syringe that is in then.")] = None,
    volume: Annotated[str | None, typer.Option(help="Volume that is in it then.")] = None,
    bore_um: BoreOption = None,
    table: TableOption = "plastic",
    nominal: NominalOption = False,
    drug: DrugOption = None,
    disconnected: DisconnectedOption = False,
) -> None:
    """Guides through changing or filling the syringe.

    For scripts: haipump refill --syringe 30mL --volume 30mL --disconnected --yes

    Or in two steps: haipump refill --begin, then haipump refill --end --syringe 30mL --volume 30mL --yes
    """
    loads = nominal or any(value is not None for value in (size, volume, bore_um, drug))
    _steps_fit(begin, end, loads, pull)
    with cli.pump() as pump:
        if begin:
            state = pump.refill_begin()
            cli.result({"state": state})
            cli.say(texts.state_sentence(state) + ".")
            return
        if end:
            # Where no refill has begun the end is refused, and nothing may be loaded before that.
            begun = loads and pump.status().state == "refill"
            _end(
                cli, pump, _load(cli, pump, size, volume, bore_um, table, nominal, drug, repeat("")) if begun else None
            )
            return
        if not cli.interactive and size is None:
            raise UsageError(
                "nobody is there to be asked", next_step="give --syringe and --volume, or --begin and --end"
            )
        now = pump.calibration()
        syringes.step_for(now.bore_um, now, nominal)  # what can't be kept is refused before anything is stopped
        _stopped(cli, pump)
        sure_disconnected(cli, disconnected)
        pump.refill_begin()
        steps = (f"[bold blue]{number}[/] " for number in count(1))
        cli.say(next(steps) + "The refill has begun; the motor is off.")
        try:
            _pull(cli, pump, pull, steps)
            cli.say(next(steps) + "Change or fill the syringe, and see that the plunger is held.")
            order = _load(cli, pump, size, volume, bore_um, table, nominal, drug, steps)
        except (Declined, EOFError, typer.Abort) as left:
            raise Declined(
                "the refill was left in the middle",
                texts.state_sentence(pump.status().state),
                "go on with `haipump refill`, or end it with `haipump refill --end`",
            ) from left
        _end(cli, pump, order, next(steps))


def _steps_fit(begin: bool, end: bool, loads: bool, pull: str | None) -> None:
    """No option is left aside in silence. Raises UsageError."""
    if begin and end:
        raise UsageError("--begin and --end exclude each other", next_step="give one, or none to be guided")
    if begin and loads:
        raise UsageError(
            "--begin only begins, and there is a syringe to be loaded", next_step="give the syringe with --end"
        )
    if (begin or end) and pull is not None:
        raise UsageError(
            "--withdraw belongs to the guided refill, and there is --begin or --end",
            next_step="use `haipump withdraw` between the two",
        )


def _end(cli: Cli, pump: Pump, order: Order | None, number: str = "") -> None:
    """The end of a refill. `order`: what was loaded, None when the syringe is counted on as before. `number`: of the
    step."""
    state = pump.refill_end()
    status = pump.status()
    cli.result({"state": state, "plan": dict(order.plan.values) if order and order.plan else {},
                "status": asdict(status)})  # fmt: skip
    as_before = "" if order else ", as counted before: no other volume was given"
    held = f"{format_volume(status.reservoir_nl)} are in the syringe{as_before}"
    cli.say(f"{number}[green]The refill is over.[/] {held}. {texts.state_sentence(state)}.")
    say_not_held(cli, pump)
    cli.say(f"[dim]{AFTER_LOADING}[/]")


def _stopped(cli: Cli, pump: Pump) -> None:
    status = pump.status()
    if status.state in ("stopped", "refill"):
        return
    cli.say(f"[yellow]{texts.state_sentence(status.state)}.[/]")
    cli.confirm("Stop it for the refill?")
    pump.stop()


def _pull(cli: Cli, pump: Pump, pull: str | None, steps: Iterator[str]) -> None:
    """Pull the plunger back, when wanted."""
    if pull is None and cli.interactive:
        asked = _asked(cli, next(steps) + "Pull the plunger back by (Enter: not at all)", "", q.volume_nl)
        pull = asked or None
    if pull is None:
        return
    amount = q.volume_nl(pull)
    prepare = lambda: pump.prepare("prepare_withdraw", volume_nl=amount, disconnected=1)  # noqa: E731
    waited(cli, cli.order(pump, prepare, views.plan_view, "Pull it back?"))


def _load(
    cli: Cli,
    pump: Pump,
    size: str | None,
    volume: str | None,
    bore_um: int | None,
    table: str,
    nominal: bool,
    drug: str | None,
    steps: Iterator[str],
) -> Order:
    """What is in now; what was not given is asked, or taken from the syringe that is loaded."""
    now = pump.calibration()
    present = format_volume(now.syringe_nl) if now.syringe_nl else ""
    if size is not None:
        chosen = size
    elif cli.interactive:
        question = next(steps) + "Size of the syringe"
        chosen = _asked(cli, question, present or "30 mL", lambda text: syringes.find(text).size_nl)
    elif present:
        chosen = present
    else:
        raise UsageError(
            "no syringe is loaded yet", texts.state_sentence(pump.status().state), "name its size with --syringe"
        )
    if size is None and bore_um is None and chosen == present:
        bore_um = now.bore_um  # the one that is in, whatever table it is from
    filled = volume or (_asked(cli, "  Volume in it", chosen, q.volume_nl) if cli.interactive else chosen)
    return load(cli, pump, chosen, filled, bore_um, table, nominal, drug)


def _asked(cli: Cli, question: str, default: str, check: Callable[[str], int]) -> str:
    """Ask until the answer is a quantity (or the empty default)."""
    while True:
        cli.out.print(question + (f" [dim]({default})[/]" if default else ""), end=": ")
        answer = input().strip() or default
        if not answer:
            return ""
        try:
            check(answer)
            return answer
        except (QuantityError, UsageError) as error:
            cli.out.print(f"[red]{error.what}[/]; {error.next_step}")
