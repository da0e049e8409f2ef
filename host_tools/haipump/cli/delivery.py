"""Commands of delivery: rate, bolus, program, kvo, start, pause, resume, cancel, stop.

Owns: their options and what they show. Must not: know the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from haipump import answers, holding
from haipump.cli import frame, views
from haipump.cli.frame import Cli, command
from haipump.client import Pump
from haipump.errors import (
    EXIT_INTERRUPTED,
    CommunicationError,
    OrderInterrupted,
    PortBusy,
    PortError,
    Refused,
    SeveralPumps,
    StopNotConfirmed,
    StoppedOnly,
    UsageError,
    full_stop,
)
from haipump.orders import Order
from haipump.programme import EXAMPLE, Programme, daily, load
from haipump.protocol import help as texts
from haipump.quantities import format_duration, format_duration_short, format_rate, format_volume
from haipump.records import UNREADABLE
from haipump_fw.proto.messages import RESULTS, SOURCES

PANEL = "Delivery"
SETTING_VERBS = (  # they begin nothing
    "prepare_syringe",
    "prepare_limits",
    "prepare_dose",
    "prepare_calibration",
    "prepare_settings",
)
WORDS_WIDTH = 56  # "extended bolus  43.2 % 12.345 of 19.6 mL  13 d 4 h left"
LOOK_BACK_MAX = 400  # journal records in which `start` looks for the last rate
NOT_PRIMED = (
    "[yellow]Nothing was primed since this syringe was loaded.[/] Until the play of the screw and the air in the line "
    "are taken up nothing arrives, and it is counted as delivered: no sensor sees it. With the line disconnected, "
    "`haipump prime 0.5mL` takes them up."
)
BASAL_SOURCES = ("basal", "kvo", "programme")  # orders that replace one another; a bolus runs beside them
OverrideOption = Annotated[bool, typer.Option("--override", help="Yes, ten times the running rate or more is meant.")]
BolusOverrideOption = Annotated[
    bool, typer.Option("--override", help="Yes, ten times the last bolus or more is meant.")
]
ReasonOption = Annotated[
    str | None, typer.Option(help="With --override: why a soft limit is passed, in up to 24 letters. It is recorded.")
]
WaitOption = Annotated[bool, typer.Option("--wait", "-w", help="Wait for its end, with a progress bar.")]


def register(app: typer.Typer) -> None:
    for name, function in (
        ("rate", rate),
        ("bolus", bolus),
        ("program", program),
        ("kvo", kvo),
        ("start", start),
        ("pause", pause),
        ("resume", resume),
        ("cancel", cancel),
        ("stop", stop),
    ):
        command(app, name, PANEL)(function)


def first_view(pump: Pump, extra: Sequence[tuple[str, str]] = ()) -> Callable[[answers.Plan], object]:
    """What is shown of a dose before it begins; of the first one from a syringe also that nothing was primed."""

    def show(plan: answers.Plan) -> object:
        seen = pump.totals()
        first = not (seen.primed_nl or seen.stepped_max_nl)
        return Group(views.plan_view(plan, extra), *([Text.from_markup(NOT_PRIMED)] if first else []))

    return show


def one_word(text: str | None) -> str | None:
    """What people write, as a word of the wire: small letters, and `-` for spaces."""
    return None if text is None else "-".join(text.lower().split())


def rate(
    cli: Cli,
    rate: Annotated[str, typer.Argument(help="For example 1.3mL/day.")],
    vtbi: Annotated[str | None, typer.Option(help="Volume to be infused, at which it ends: 5mL.")] = None,
    at_end: Annotated[str | None, typer.Option(help="What then: stop or kvo.")] = None,
    ramp: Annotated[str | None, typer.Option(help="Reach the rate evenly over this time: 1h.")] = None,
    override: OverrideOption = False,
    reason: ReasonOption = None,
    wait: WaitOption = False,
) -> None:
    """Sets the basal rate, now; a running bolus goes on."""
    with cli.pump() as pump:

        def prepare() -> answers.Plan:
            why = one_word(reason)
            return pump.prepare_rate(rate, vtbi=vtbi, at_end=at_end, ramp=ramp, override=override, reason=why)

        finish(cli, pump, cli.order(pump, prepare, first_view(pump), "Set this rate?"), wait)


def bolus(
    cli: Cli,
    volume: Annotated[str, typer.Argument(help="For example 0.1mL.")],
    over: Annotated[str | None, typer.Option(help="Extended: spread evenly over this time, e.g. 10min.")] = None,
    within: Annotated[str | None, typer.Option("--in", help="Immediate, but taking this time.")] = None,
    override: BolusOverrideOption = False,
    reason: ReasonOption = None,
    wait: WaitOption = False,
) -> None:
    """Delivers a bolus, immediate or extended; the basal rate goes on beside it."""
    with cli.pump() as pump:

        def prepare() -> answers.Plan:
            return pump.prepare_bolus(volume, over=over, within=within, override=override, reason=one_word(reason))

        finish(cli, pump, cli.order(pump, prepare, first_view(pump), "Deliver this bolus?"), wait)


def program(
    cli: Cli,
    file: Annotated[Path | None, typer.Argument(help="A programme file (TOML).")] = None,
    rate: Annotated[str | None, typer.Option(help="Instead of a file: this rate ...")] = None,
    days: Annotated[int | None, typer.Option(help="... for so many days ...")] = None,
    daily_bolus: Annotated[str | None, typer.Option(help="... with this bolus every day ...")] = None,
    at: Annotated[str, typer.Option(help="... so long after each day's begin.")] = "0s",
    at_end: Annotated[str, typer.Option(help="What follows: stop or kvo (not for a file).")] = "stop",
    example: Annotated[bool, typer.Option("--example", help="Print a programme file to start from.")] = False,
    override: OverrideOption = False,
    reason: ReasonOption = None,
    wait: WaitOption = False,
) -> None:
    """Runs a programme of rates, ramps and boluses, which the pump then follows by itself for weeks.

    From a file: haipump program plan.toml (make one with: haipump program --example > plan.toml)

    Or a simple one: haipump program --rate 1.3mL/day --days 14 --daily-bolus 0.1mL
    """
    if example:
        cli.result({"example": EXAMPLE})
        if not cli.json:
            cli.out.file.write(EXAMPLE)
        return
    if file is not None:
        if rate is not None or days is not None or daily_bolus is not None:
            raise UsageError("there is a file, and --rate, --days or --daily-bolus", next_step="use one of both")
        made = load(file)
    elif rate is None or days is None:
        raise UsageError("there is no programme", next_step="name a file, or give at least --rate and --days")
    else:
        made = daily(rate, days, daily_bolus, at, at_end)
    with cli.pump() as pump:
        show = first_view(pump, programme_rows(made))

        def prepare() -> answers.Plan:
            return pump.prepare_programme(made, override=override, reason=one_word(reason))

        order = cli.order(pump, prepare, show, "Run this programme?")
        finish(cli, pump, order, wait)


def programme_rows(made: Programme, longest: int = 12) -> list[tuple[str, str]]:
    """The items for the read-back; of long programmes the first ones."""
    rows = [(f"At {format_duration(item.at_s)}", str(item)) for item in made.items[:longest]]
    if len(made.items) > longest:
        rows.append(("", f"and {len(made.items) - longest} more"))
    return rows


def kvo(cli: Cli) -> None:
    """Keeps the vein open: delivers at the KVO setting, or at the running rate when that is lower."""
    with cli.pump() as pump:
        order = cli.order(pump, lambda: pump.prepare("prepare_kvo"), first_view(pump), "Go to KVO?")
        finish(cli, pump, order, False)


def start(cli: Cli, override: OverrideOption = False, reason: ReasonOption = None) -> None:
    """Goes on with what was paused; or sets the last rate again, when a rate without an end was the last thing to run.

    A programme, a rate with a volume and KVO are not begun again by this: it says what it was, and the command for it.
    """
    with cli.pump() as pump:
        state = pump.status().state
        if state == "paused":
            moved(cli, pump.resume())
            return
        last = last_rate(pump, state)

        def prepare() -> answers.Plan:
            why = one_word(reason)
            return pump.prepare("prepare_rate", rate_nl_per_day=last, override=1 if override else None, reason=why)

        finish(cli, pump, cli.order(pump, prepare, first_view(pump), "Start the last rate again?"), False)


def last_rate(pump: Pump, state: str) -> int:
    """The rate in nL/day of the last basal order in the journal, when that was a rate without an end. Raises UsageError
    when it was anything else, or can't be told: an order from before the last one may be another therapy's. `state` is
    the pump's, for the error."""
    stopped: dict[int, int] = {}  # what the orders that were stopped had delivered
    looked = 0

    def refused(what: str, next_step: str) -> UsageError:
        return UsageError(what, texts.state_sentence(state) + ", and nothing was started", next_step)

    for record in pump.journal_backwards(LOOK_BACK_MAX):
        looked += 1
        facts = record.fields
        if record.name == UNREADABLE:
            raise refused(
                f"record {record.seq} of the pump's journal is damaged, and what ran last can't be told",
                "give the rate yourself: `haipump rate`",
            )
        if record.name == "result" and RESULTS[facts["result"]] == "stopped":
            stopped[facts["order"]] = facts["commanded_nl"]
        if record.name != "intent" or SOURCES[facts["source"]] not in BASAL_SOURCES:
            continue
        if stopped.get(facts["order"]) == 0:  # perhaps it never began, and another one ran
            raise refused(
                f"the last order ({_last_words(facts)}) ended before it delivered anything",
                f"give it again: {_again(facts)}",
            )
        if SOURCES[facts["source"]] != "basal" or facts["volume_nl"]:
            raise refused(
                f"the last order was {_last_words(facts)}, and only a rate without an end is started again",
                f"give it again if it is meant: {_again(facts)}",
            )
        return facts["rate_nl_per_day"]
    where = f"the last {LOOK_BACK_MAX} records of its journal have none"
    if looked < LOOK_BACK_MAX:
        where = "it never had one"
    raise refused(
        f"there is no rate that the pump could start again: {where}",
        "load a syringe if there is none (`haipump syringe 30mL`), then give a rate: `haipump rate 1.3mL/day`",
    )


def _last_words(facts: Mapping[str, int]) -> str:
    """A basal order of the journal in words."""
    name, rate = SOURCES[facts["source"]], format_rate(facts["rate_nl_per_day"])
    if name == "programme":
        return f"a programme of {format_volume(facts['volume_nl'])}"
    if name == "kvo":
        return f"KVO at {rate}"
    return f"a rate of {rate}" + (f" until {format_volume(facts['volume_nl'])}" if facts["volume_nl"] else "")


def _again(facts: Mapping[str, int]) -> str:
    """The command that sends such an order again."""
    name = SOURCES[facts["source"]]
    if name == "programme":
        return "`haipump program`, with its file or its options"
    if name == "kvo":
        return "`haipump kvo`"
    vtbi = f" --vtbi {_typed(format_volume(facts['volume_nl']))}" if facts["volume_nl"] else ""
    return f"`haipump rate {_typed(format_rate(facts['rate_nl_per_day']))}{vtbi}`"


def _typed(quantity: str) -> str:
    return quantity.replace(" ", "")


def pause(cli: Cli) -> None:
    """Holds the delivery with its exact remainder; `resume` goes on."""
    with cli.pump() as pump:
        moved(cli, pump.pause(), about=True)


def resume(cli: Cli) -> None:
    """Goes on with what was paused."""
    with cli.pump() as pump:
        moved(cli, pump.resume())


def cancel(cli: Cli) -> None:
    """Ends the running bolus; the basal rate goes on."""
    with cli.pump() as pump:
        moved(cli, pump.cancel_bolus())


def stop(
    cli: Cli, all_pumps: Annotated[bool, typer.Option("--all", help="Every pump that is connected.")] = False
) -> None:
    """Stops the motor at once, never asks, and makes sure of it."""
    if all_pumps:
        stop_all(cli)
    else:
        stop_one(cli)


def stop_all(cli: Cli) -> None:
    """Every connected pump, one after the other, whatever becomes of the others. Raises StopNotConfirmed."""
    ports = [info.port for info in frame.find_ports()]
    if cli.shared is not None and not any(holding.same_port(port, cli.shared.port) for port in ports):
        ports.insert(0, cli.shared.port)
    if not ports:
        raise StopNotConfirmed("no pump is connected", sent=False)
    told: list[dict[str, Any]] = []
    failed: list[str] = []
    for port in ports:
        ours = cli.shared is not None and holding.same_port(port, cli.shared.port)
        one = replace(cli, port=port, shared=cli.shared if ours else None)
        cli.say(f"{port}:")
        one.result = lambda values, port=port: told.append({"port": port, **values})  # type: ignore[method-assign]
        try:
            stop_one(one)
        except StopNotConfirmed as failure:
            failed.append(port)
            if not cli.json:
                cli.out.print(frame.error_text(failure))
    if failed:
        raise StopNotConfirmed(f"{len(failed)} of {len(ports)} pumps did not confirm it: {', '.join(failed)}")
    cli.result({"pumps": told})


def stop_one(cli: Cli) -> None:
    """The named pump, or the only one. Raises StopNotConfirmed."""
    try:
        with cli.pump(stopping=True) as pump:
            status = pump.stop()
            total = _totals(pump)
            cli.result({"status": asdict(status), "totals": None if total is None else asdict(total)})
            delivered = views.delivered_text(status, total)
            lost = total is not None and total.stepped_min_nl != total.stepped_max_nl
            why = ", as far as is known after a power loss or an occlusion" if lost else ""
            delivered = delivered[:1].upper() + delivered[1:]
            cli.say(
                f"[bold]{texts.state_sentence(status.state)}.[/] {delivered} were delivered from this syringe{why}."
            )
    except StoppedOnly as told:
        cli.result({"state": told.pump_state, "why_no_more": told.what})
        text = Text(f"{texts.state_sentence(told.pump_state)}: so it answered the stop.", style="bold")
        text.append(f" No more can be asked of it: {full_stop(told.what)}\nNext: ", style="not bold")
        cli.say(text.append(full_stop(told.next_step[:1].upper() + told.next_step[1:]), style="not bold"))
    except PortBusy as busy:
        stop_through_holder(cli, busy)
    except SeveralPumps as several:
        raise StopNotConfirmed(
            several.what, sent=False, next_step=f"`haipump stop --all` stops each of them; or {several.next_step}"
        ) from several
    except PortError as failure:
        raise StopNotConfirmed(
            failure.what, sent=False, next_step=f"press STOP on the pump or cut its power; then: {failure.next_step}"
        ) from failure


def _totals(pump: Pump) -> answers.Totals | None:
    """None when they can't be read: the pump is stopped all the same."""
    try:
        return pump.totals()
    except (CommunicationError, Refused):
        return None


def stop_through_holder(cli: Cli, busy: PortBusy) -> None:
    """Another program has the port: when it is one of ours, have it send the stop. Raises StopNotConfirmed."""
    holder = holding.find(busy.port)
    if holder is None:
        raise StopNotConfirmed(
            busy.what, sent=False, next_step="press STOP on the pump or cut its power; or end the other program"
        ) from busy
    state = holding.stop(holder)
    if state in ("", "sent"):
        why = f"{busy.port} is taken by {holder}, which " + ("does not react" if not state else "hears no answer")
        raise StopNotConfirmed(
            why, sent=bool(state), next_step="press Ctrl-C there and stop again, or press STOP on the pump"
        ) from busy
    cli.result({"state": state, "through": {"pid": holder.pid, "command": holder.command}})
    cli.say(f"[bold]{texts.state_sentence(state)}.[/] {holder} has the port, and sent the stop.")


def moved(cli: Cli, motion: answers.Motion, about: bool = False) -> None:
    """Where a one-step order has left the pump. `about`: the last steps are still under way."""
    cli.result({"state": motion.state, "order": motion.order, "left_nl": motion.left_nl})
    left = f", {'about ' if about else ''}{format_volume(motion.left_nl)} are left" if motion.left_nl else ""
    cli.say(f"{texts.state_sentence(motion.state)}{left}.")


def finish(cli: Cli, pump: Pump, order: Order, wait: bool) -> None:
    """After the commit: say so, or wait for the end."""
    values: dict[str, Any] = {"order": order.id, "recovered": order.recovered}
    if order.plan is not None:
        values["plan"] = {"verb": order.plan.verb, "hash": order.plan.hash, **order.plan.values}
    if wait:
        values["result"] = asdict(waited(cli, order))
    status = pump.status()
    begun = order.plan is not None and order.plan.verb not in SETTING_VERBS
    if begun and not wait and status.state in ("alarm", "fault"):
        raise stopped_at_once(pump, order, status)
    cli.result(values | {"status": asdict(status)})
    number = f"Order {order.id} has begun." if begun else "Done."
    if order.recovered:
        cli.say("[yellow]The answer was lost on the way; the pump was asked, and has taken the order once.[/]")
    if not wait:
        flow = f", flow {format_rate(status.flow_nl_per_day)}" if status.flow_nl_per_day else ""
        cli.say(f"[green]{number}[/] {texts.state_sentence(status.state)}{flow}.")


def stopped_at_once(pump: Pump, order: Order, status: answers.Status) -> OrderInterrupted:
    """The order began, and the pump does not deliver: an alarm came at once."""
    done = order.status()
    return OrderInterrupted(
        f"order {order.id} had begun, and was stopped at once by the alarm {status.alarm}",
        texts.state_sentence(status.state),
        texts.next_step("alarm", {"alarm": status.alarm}),
        order=order.id,
        result=done.result,
        planned_nl=done.planned_nl,
        stepped_nl=done.stepped_nl,
    )


def waited(cli: Cli, order: Order) -> answers.OrderStatus:
    """Wait with a progress bar. Ctrl-C leaves the order running and says so."""
    bar_width = min(40, cli.out.width - WORDS_WIDTH)  # the words come first
    bar = [BarColumn(bar_width)] if bar_width >= views.BAR_MIN else []
    progress = Progress(
        TextColumn("{task.description}"),
        *bar,
        TextColumn("{task.percentage:>5.1f} %"),
        TextColumn("{task.fields[detail]}", table_column=Column(overflow="fold")),
        console=cli.out,
    )
    try:
        with nullcontext() if cli.json else progress:
            task = progress.add_task("Starting", total=1.0, detail="")
            if not cli.json:
                cli.on_silence = lambda text: progress.update(task, detail=text)
            status = order.wait(progress=_follow(progress, task))
    except KeyboardInterrupt:
        cli.say("[yellow]It goes on without us.[/] `haipump watch` shows it, `cancel` ends a bolus, `stop` everything.")
        raise typer.Exit(frame.Told(EXIT_INTERRUPTED)) from None
    finally:
        cli.on_silence = None
    shown = format_volume(max(0, status.confirmed_nl))
    cli.say(
        f"[green]Complete:[/] {format_volume(status.stepped_nl)} in {format_duration_short(status.elapsed_s)}."
        f" [dim]The shaft showed {shown}.[/]"
    )
    return status


def part_of(done_nl: int, planned_nl: int) -> str:
    """What is delivered in the unit of the whole, to three decimals, rounded down: this changes while one looks."""
    whole = format_volume(planned_nl)
    unit_nl = {"mL": 1_000_000, "uL": 1_000, "nL": 1}[whole.split()[1]]
    thousandths = max(0, done_nl) * 1_000 // unit_nl
    return f"{thousandths // 1_000}.{thousandths % 1_000:03} of {whole}"


def _follow(progress: Progress, task: TaskID) -> Callable[[answers.OrderStatus], None]:
    def update(status: answers.OrderStatus) -> None:
        if status.planned_nl:
            done = status.stepped_nl / status.planned_nl
            detail = part_of(status.stepped_nl, status.planned_nl)
        else:
            done = status.elapsed_s / max(1, status.elapsed_s + max(0, status.left_s))
            detail = ""
        if status.left_s > 0:
            detail += f"  {format_duration_short(status.left_s)} left"
        name = texts.SOURCES.get(status.source, status.source)
        progress.update(task, completed=1.0 if status.result == "complete" else done, description=name, detail=detail)

    return update
