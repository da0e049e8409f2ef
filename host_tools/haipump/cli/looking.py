"""Commands that only look: ports, info, status, totals, alarms, clock.

Owns: what they show. Must not: change anything on the pump.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from haipump import syringes
from haipump.cli import views
from haipump.cli.frame import Cli, command
from haipump.client import Pump
from haipump.protocol import help as texts
from haipump.quantities import format_duration, format_volume
from haipump.transport import find_ports, obstacles
from haipump_fw.proto.messages import RESULTS, SOURCES, WHYS

PANEL = "Looking"
LOOK_BACK_MAX = 12  # journal records in which the end of the last order is looked for


def register(app: typer.Typer) -> None:
    for name, function in (
        ("ports", ports),
        ("info", info),
        ("status", status),
        ("totals", totals),
        ("alarms", alarms),
        ("clock", clock),
    ):
        command(app, name, PANEL)(function)


def ports(
    cli: Cli,
    every: Annotated[bool, typer.Option("--all", "-a", help="Other serial ports, too.")] = False,
    udev: Annotated[bool, typer.Option("--udev", help="Print the udev rule for Linux, to install it.")] = False,
) -> None:
    """Lists connected boards and running emulators, and what is in the way of using them."""
    if udev:
        cli.result({"rule": obstacles.UDEV_RULE, "path": obstacles.UDEV_PATH, "install": list(obstacles.UDEV_INSTALL)})
        if not cli.json:
            cli.out.file.write(obstacles.UDEV_RULE)
        return
    found = find_ports(every)
    trouble = obstacles.modem_manager_runs() and not obstacles.udev_rule_installed()
    cli.result({"ports": [asdict(port) for port in found], "modem_manager_may_interfere": trouble})
    if found:
        rows = [(port.port, port.kind, port.description, port.serial_number) for port in found]
        cli.say(views.rows_view(rows, "Port", "Kind", "What", "Serial number"))
    else:
        cli.say("No pump is connected: no Pico on USB, and no emulator is running.")
        cli.say(
            "[bold]Next:[/] plug one in, start one with `haipump-emu run`, or see all ports with `haipump ports -a`."
        )
    if trouble:
        cli.say("[yellow]ModemManager is running and probes new serial ports.[/] Keep it away from the pump:")
        for line in obstacles.UDEV_INSTALL:
            cli.say(Text("  " + line))


def info(cli: Cli) -> None:
    """Shows who the pump is, and what its sensors and switches read."""
    with cli.pump() as pump:
        hello, facts, sensors = pump.hello(), pump.info(), pump.sensors()
        reads = pump.reads_pressure(sensors)
        found = {"hello": asdict(hello), "info": asdict(facts), "sensors": asdict(sensors)}
        cli.result({"port": pump.port, **found, "pressure_read": reads})
        shown = {"device": hello.device, "boot": hello.boot, "next_id": hello.next_id}
        shown |= {"locked": "yes" if hello.locked else "no"} | asdict(facts)
        if facts.task == "none":
            del shown["task"]
        words = {"locked": "Locked", "reset": "Last reset", "task": "Busy then with"}
        words |= {"heap_free": "Free memory before the next collection"}
        words |= {"firmware": "Firmware", "interpreter": "Interpreter"}
        words |= {
            "forged": "Lines refused for their code (forged, replayed)",
            "wrong": "Lines refused for form, id or code",
        }
        cli.say(views.facts_view(f"Pump at {pump.port}", shown, words))
        read = asdict(sensors)
        switches = ("front", "back", "captured", "diag", "service", "enabled", "uncertain")
        read |= {name: "yes" if read[name] else "no" for name in switches}
        read["pressure_pa"] = views.pressure_text(sensors.pressure_pa, reads)
        read["temperature_mc"] = f"{sensors.temperature_mc / 1000:.1f} °C"
        words = {
            "front": "Front end switch closed (syringe empty)",
            "back": "Back end switch closed (home)",
            "captured": "Plunger held",
            "diag": "Motor driver reports an error",
            "service": "Service jumper closed",
            "enabled": "Motor powered",
            "uncertain": "Position uncertain by half a full step",
        }
        cli.say(views.facts_view("Sensors", read, words))


def status(cli: Cli) -> None:
    """Shows how the pump is: state, flow, what is left, reservoir, pressure, alarms."""
    show_status(cli, with_hints=False)


def show_status(cli: Cli, with_hints: bool) -> None:
    """The status; with hints at what one would type next."""
    with cli.pump() as pump:
        now, sensors, calibration = pump.status(), pump.sensors(), pump.calibration()
        syringe_nl, reads = calibration.syringe_nl, pump.reads_pressure(sensors)
        standing = pump.alarms() if now.alarm != "none" else []
        total = pump.totals()
        why = why_stopped(pump) if now.state == "stopped" else None
        cli.result(
            {
                "port": pump.port,
                "totals": asdict(total),
                "last_order": why,
                "device": pump.conversation.greeting.device,
                "locked": pump.conversation.greeting.locked,
                "status": asdict(now),
                "alarms": [asdict(alarm) for alarm in standing],
                "sensors": asdict(sensors),
                "pressure_read": reads,
                "syringe_nl": syringe_nl,
            }
        )
        ended = ""
        if why is not None:
            ended = ended_text(str(why["source"]), str(why["result"]), str(why["why"]), int(why["left_nl"]))
        shown = views.status_view(
            pump.port, now, standing, sensors, syringe_nl, total, ended,
            pressure_read=reads, full_step_nl=syringes.full_step_nl(calibration),
            locked=pump.conversation.greeting.locked,
        )  # fmt: skip
        cli.say(shown)
        if with_hints:
            cli.say("[dim]Try: [/]" + "[dim], [/]".join(f"[bold]{hint}[/]" for hint in views.hints(now, syringe_nl)))
            cli.say("[dim]All commands: haipump --help[/]")


def why_stopped(pump: Pump) -> dict[str, int | str] | None:
    """The order with which the delivery ended, as the journal has it, what of it was not delivered (at least), and what
    ended it; None when nothing near tells. Of several that ended together, the one with something left."""
    why, ended = "", None
    for record in pump.journal_backwards(LOOK_BACK_MAX):
        facts = record.fields
        if record.restated:
            continue
        if record.name == "state" and ended is None:
            why = WHYS[facts["why"]] if facts["why"] < len(WHYS) else ""
        if record.name == "result":
            left_nl = max(0, facts["planned_nl"] - facts["commanded_nl"])
            if ended is None or (left_nl and not ended["left_nl"]):
                ended = {"order": facts["order"], "source": SOURCES[facts["source"]]}
                ended |= {"result": RESULTS[facts["result"]], "left_nl": left_nl, "why": why}
        elif ended is not None:
            break  # the results of one moment stand in a row
    return ended


def ended_text(source: str, result: str, why: str = "", left_nl: int = 0) -> str:
    """How the last order ended, in a few words."""
    text = f"the {texts.SOURCES.get(source, source)} was {texts.RESULTS.get(result, result)}"
    if result == "stopped" and why in texts.WHYS:
        text += f", {texts.WHYS[why]}"
    if left_nl:
        least = "at least " if result == "reset" else ""
        text += f"; {least}{format_volume(left_nl)} are left, and do not go on by themselves"
    return text


def totals(cli: Cli) -> None:
    """Shows what was delivered since the syringe was loaded, and in the pump's life."""
    with cli.pump() as pump:
        since, life = pump.totals(), pump.lifetime()
        cli.result({"totals": asdict(since), "lifetime": asdict(life)})
        words = {
            "commanded_nl": "Commanded",
            "stepped_nl": "Stepped (pulses counted at the driver)",
            "confirmed_nl": "Confirmed (shaft encoder)",
            "primed_nl": "Primed, not dose",
            "withdrawn_nl": "Withdrawn, not dose",
        }
        for title, values in (("Since the syringe was loaded", asdict(since)), ("In the pump's life", asdict(life))):
            low, high = values.pop("stepped_min_nl"), values.pop("stepped_max_nl")
            if low != high:
                values["range"] = f"{format_volume(low)} to {format_volume(high)}, after a power loss or an occlusion"
            cli.say(views.facts_view(title, values, words | {"range": "Stepped, as far as is known"}))
        if since.stepped_min_nl != since.stepped_max_nl:
            cli.say(texts.RANGE_AFTER_A_POWER_LOSS)


def alarms(cli: Cli) -> None:
    """Lists the alarms that stand, what they mean and what to do."""
    with cli.pump() as pump:
        standing = pump.alarms()
        shown = []
        for alarm in standing:
            meaning, advice = texts.ALARMS.get(alarm.alarm, ("", ""))
            shown.append(asdict(alarm) | {"meaning": meaning, "next_step": advice})
        cli.result({"alarms": shown})
        cli.say(views.alarms_view(standing) if standing else "No alarm stands.")


def clock(cli: Cli) -> None:
    """Shows the pump's boot number and uptime, and when that start was by this computer's clock."""
    with cli.pump() as pump:
        now = pump.clock()
        wall = datetime.datetime.now(datetime.UTC)
        started = wall - datetime.timedelta(seconds=now.uptime_s, microseconds=now.uptime_us)
        cli.result({"clock": asdict(now), "wall_started": started.isoformat(), "wall_now": wall.isoformat()})
        local = started.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        shown = {"boot": now.boot, "uptime": format_duration(now.uptime_s), "started": local}
        words = {"boot": "Start number", "uptime": "Running for", "started": "Started (this computer's clock)"}
        cli.say(views.facts_view("Clock", shown, words))
