"""`haipump-emu ctl`: tell a running emulator what to do.

Owns: how commands are typed and answers are shown. Must not: know more of the emulator than its control socket.
"""

import json
import sys
import time
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.prompt import Prompt
from rich.table import Table

from haipump_emulator import control
from haipump_emulator.cli import arguments
from haipump_emulator.cli.arguments import fail
from haipump_emulator.quantities import QuantityError, format_time, format_volume, parse_time_us
from haipump_emulator.statedir import StateDirError

app = typer.Typer(name="ctl", help="Tell a running emulator what to do.", no_args_is_help=True)

POLL_S = 0.05  # wall, while waiting for a simulated time
DEFAULT_LEAK = "100Pa*s/nL"  # 11 mL/day at the pressure of an artery


class Button(StrEnum):
    start = "start"
    stop = "stop"
    silence = "silence"


class Switch(StrEnum):
    on = "on"
    off = "off"


class PowerAction(StrEnum):
    on = "on"
    off = "off"
    cycle = "cycle"


_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_Hold = Annotated[int, typer.Option("--for", help="Hold it so long.", **arguments.TIME)]
_Off = Annotated[int, typer.Option("--for", help="With cycle: stay off so long.", **arguments.TIME)]
_Over = Annotated[int, typer.Option(help="Evenly over this simulated time.", **arguments.TIME)]


@app.callback()
def choose(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option(help="Which emulator, when several are running.")] = None,
) -> None:
    """Tell a running emulator what to do."""
    ctx.obj = name


def _find(ctx: typer.Context) -> control.Record:
    name = ctx.obj
    try:
        there = control.running() if name is None else []
        if len(there) > 1 and sys.stdin.isatty():
            name = Prompt.ask("Which emulator", choices=[record.name for record in there])
        return control.find(name)
    except (control.ControlError, StateDirError) as error:
        fail(error)


def _call(ctx: typer.Context, command: str, **values: Any) -> dict[str, Any]:
    """The answer; arguments that are None are left out."""
    record = _find(ctx)
    try:
        return control.call(record, command, **{k: v for k, v in values.items() if v is not None})
    except control.ControlError as error:
        fail(error)


def _do(ctx: typer.Context, done: str, command: str, already: str = "", **values: Any) -> None:
    """`already`: what to add when the emulator says that it was so before. `{fault}` is the one that it names."""
    said = _call(ctx, command, **values)
    done = done.replace("{fault}", said.get("fault", ""))
    if said.get("was_already"):
        done += f" ({already})"
    elif said.get("halted"):
        done += " (halted by a debugger, which lets it go on)"
    elif said.get("paused"):
        done += " (still paused; `haipump-emu ctl continue` lets time pass)"
    typer.echo(f"{format_time(said['sim_us'])}  {done}")


# --- looking ---


@app.command("list")
def list_running(as_json: _Json = False) -> None:
    """The emulators that are running."""
    try:
        records = control.running()
    except StateDirError as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps([{"name": r.name, "port": r.port, "pid": r.pid} for r in records]))
        return
    if not records:
        typer.echo("no emulator is running; start one with: haipump-emu run")
    for record in records:
        typer.echo(f"{record.name}  {record.port}  (pid {record.pid})")


@app.command()
def status(ctx: typer.Context, as_json: _Json = False) -> None:
    """Simulated time, speed, power, what lamps and piezo tell, and who is connected."""
    said = _call(ctx, "status")
    if as_json:
        typer.echo(json.dumps(said))
        return
    speed = said["speed"] if said["speed"] == "max" else f"{said['speed']:g}x"
    pace = f"{speed}, reached {said['reached']:,.4g}x"
    if said["halted"] or said["paused"]:
        pace = f"{'halted by a debugger' if said['halted'] else 'paused'}, {speed} when it goes on"
    if said["until_us"] is not None:
        pace += f", until {format_time(said['until_us'])}"
    if said["talking"]:
        pace += ", in conversation"
    _table(
        {
            "name": f"{said['name']} (pid {said['pid']})",
            "simulated": format_time(said["sim_us"]),
            "speed": pace,
            "power": "on" if said["powered"] else "off",
            "panel": said["panel"],
            "faults": "; ".join(said["faults"]) or "none that `fault` began",
            "serial line": said["address"],
            "client": said["client"] or "nobody",
            "clients": f"{said['clients']} so far, {said['refused']} refused",
            "bytes": f"{said['bytes_in']} in, {said['bytes_out']} out, {said['bytes_dropped']} dropped",
        }
    )


@app.command()
def truth(ctx: typer.Context, as_json: _Json = False) -> None:
    """What is really so in the simulated world, which the pump can only measure."""
    said = _call(ctx, "truth")
    if as_json:
        typer.echo(json.dumps(said))
        return
    del said["sim_us"]
    _table({name: _shown(name, value) for name, value in said.items()})


def _shown(name: str, value: Any) -> str:
    if name == "t_us":
        return format_time(value)
    if name.endswith("_nl"):
        return format_volume(value)
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _table(rows: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", str(value))
    Console(soft_wrap=True).print(table)


# --- time ---


@app.command()
def speed(ctx: typer.Context, factor: Annotated[str, typer.Argument(**arguments.SPEED)]) -> None:
    """Simulated time per wall time: 1, 60, any number, or max."""
    _do(ctx, f"speed {factor if factor == 'max' else f'{float(factor):g}x'}", "speed", speed=factor)


@app.command()
def pause(ctx: typer.Context) -> None:
    """Stop simulated time."""
    _do(ctx, "paused", "pause", "it was paused already")


@app.command("continue")
def go_on(ctx: typer.Context) -> None:
    """Let simulated time pass again."""
    _do(ctx, "running", "continue", "it was running already")


@app.command("run-until")
def run_until(
    ctx: typer.Context,
    when: Annotated[str, typer.Argument(metavar="TIME", help="Since the start, such as 14d; +20min: from now.")],
    wait: Annotated[bool, typer.Option(help="Come back when it is reached.")] = True,
) -> None:
    """Let time pass until then, and pause."""
    record = _find(ctx)
    try:
        t_us = parse_time_us(when.removeprefix("+"))
    except QuantityError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        if when.startswith("+"):
            t_us += control.call(record, "status")["sim_us"]
        said = control.call(record, "run_until", t_us=t_us)
        while wait:
            said = control.call(record, "status")
            if said["until_us"] != t_us:  # reached, or somebody else decided otherwise
                break
            time.sleep(POLL_S)
    except control.ControlError as error:
        fail(error)
    typer.echo(f"{format_time(said['sim_us'])}  {'paused' if wait and said['paused'] else 'running'}")


# --- the world around the pump ---


@app.command()
def occlude(
    ctx: typer.Context,
    resistance: Annotated[
        float | None, typer.Option(help="Partly, with this resistance; else closed.", **arguments.RESISTANCE)
    ] = None,
) -> None:
    """Close the line between pump and patient."""
    _do(ctx, "line occluded", "occlude", resistance_pa_s_per_nl=resistance)


@app.command()
def release(ctx: typer.Context) -> None:
    """Take the occlusion away."""
    _do(ctx, "occlusion released", "release")


@app.command()
def leak(
    ctx: typer.Context,
    resistance: Annotated[
        float, typer.Option(help="The smaller, the more leaks.", **arguments.RESISTANCE)
    ] = DEFAULT_LEAK,  # type: ignore[assignment]
) -> None:
    """Let the line leak."""
    _do(ctx, "line leaks", "leak", resistance_pa_s_per_nl=resistance)


@app.command()
def seal(ctx: typer.Context) -> None:
    """Mend the leak."""
    _do(ctx, "leak mended", "seal")


@app.command(context_settings={"ignore_unknown_options": True})
def height(
    ctx: typer.Context,
    above: Annotated[int, typer.Argument(help="Pump above patient, such as 30cm or -10cm.", **arguments.HEIGHT)],
    over: _Over = "1s",  # type: ignore[assignment]
) -> None:
    """Lift or lower the pump."""
    _do(ctx, f"height {above} cm", "height", cm=above, over_s=over / 1e6)


@app.command(context_settings={"ignore_unknown_options": True})
def warm(
    ctx: typer.Context,
    to: Annotated[float, typer.Argument(help="Such as 37C.", **arguments.TEMPERATURE)],
    over: _Over = "1min",  # type: ignore[assignment]
) -> None:
    """Warm or cool the pump."""
    _do(ctx, f"temperature {to:g} C", "warm", to_c=to, over_s=over / 1e6)


@app.command()
def refill(
    ctx: typer.Context, volume: Annotated[int, typer.Argument(help="Such as 30mL.", **arguments.VOLUME)]
) -> None:
    """Put in another syringe of the same kind with so much in it; the pump has to be told by itself."""
    _do(ctx, f"syringe with {format_volume(volume)}", "refill", volume_nl=volume)


@app.command()
def capture(ctx: typer.Context, switch: Switch) -> None:
    """The pusher holds the syringe's plunger, or lets it go."""
    _do(ctx, "plunger held" if switch is Switch.on else "plunger let go", "capture", on=switch is Switch.on)


@app.command()
def sensor(
    ctx: typer.Context,
    which: Annotated[str, typer.Argument(help="pressure, encoder, supply, temperature or switches.")],
    fault: Annotated[str, typer.Argument(help="stuck, off, noise, offset, slow, intermittent, or ok.")],
    value: Annotated[float | None, typer.Option(help="Of the fault, in counts of the sensor.")] = None,
) -> None:
    """Break a sensor, or mend it."""
    _do(ctx, f"sensor {which}: {fault}", "sensor", sensor=which, fault=fault, value=value)


@app.command()
def supply(ctx: typer.Context, voltage: Annotated[int, typer.Argument(**arguments.VOLTAGE)]) -> None:
    """Change the supply voltage of the motor driver."""
    _do(ctx, f"supply {voltage} mV", "supply", mv=voltage)


# --- the pump's own buttons, jumper and plug ---


@app.command()
def press(
    ctx: typer.Context,
    button: Button,
    for_: _Hold = "200ms",  # type: ignore[assignment]
) -> None:
    """Press a button of the pump."""
    _do(ctx, f"{button.value} pressed for {format_time(for_)}", "press", button=button.value, for_us=for_)


@app.command()
def jumper(ctx: typer.Context, switch: Switch) -> None:
    """Close or open the service jumper."""
    _do(ctx, f"service jumper {switch.value}", "jumper", on=switch is Switch.on)


@app.command()
def power(
    ctx: typer.Context,
    action: PowerAction,
    for_: _Off = "1s",  # type: ignore[assignment]
) -> None:
    """Cut the power, restore it, or both."""
    already = f"it was {'on' if action is PowerAction.on else 'off'} already"
    _do(ctx, f"power {action.value}", "power", already, action=action.value, for_us=for_)


@app.command()
def fault(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="See `haipump-emu faults`.")],
    parameters: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Its parameters.")] = None,
    for_: Annotated[int | None, typer.Option("--for", help="End it after so long.", **arguments.TIME)] = None,
    end: Annotated[bool, typer.Option("--end", help="End it now.")] = False,
) -> None:
    """Have a fault of the catalogue begin, or end."""
    text = " ".join([name, *(parameters or [])])
    _do(ctx, "{fault} " + ("has ended" if end else "has begun"), "fault", fault=text, for_us=for_, end=end or None)


@app.command("quit")
def quit_(ctx: typer.Context) -> None:
    """End the emulator as Ctrl-C does."""
    _do(ctx, "ended", "quit")


def register(parent: typer.Typer) -> None:
    """Hang these commands into `haipump-emu`."""
    parent.add_typer(app, name="ctl")
