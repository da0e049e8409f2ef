"""The live screen: `haipump watch`. Ctrl-C ends it; nothing on the pump changes but its telemetry period.

Owns: the screen and what it keeps (the last values). Must not: steer.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from haipump import answers
from haipump import quantities as q
from haipump.cli import output, views
from haipump.cli.frame import Cli, command
from haipump.client import Pump
from haipump.errors import HaipumpError, InexactQuantity, UsageError
from haipump.protocol import help as texts
from haipump.protocol.codec import Event
from haipump.quantities import format_duration_short, format_rate, format_volume

HISTORY = 60  # values of a curve
EVENTS_SHOWN = 6
PATIENCE_PERIODS = 3  # without news for so long: ask anew (the pump may have restarted)
_BLOCKS = "▁▂▃▄▅▆▇█"


def register(app: typer.Typer) -> None:
    command(app, "watch", "Looking")(watch)


def watch(
    cli: Cli,
    every: Annotated[str, typer.Option(help="Time between two values, at least 1s.")] = "1s",
    count: Annotated[int | None, typer.Option(min=1, help="End after so many values.")] = None,
) -> None:
    """Shows the pump live: flow, volume, pressure, reservoir, time left, alarms. With --json: one object per line."""
    period_s = whole_period_s(every, "--every 1s")
    with cli.pump() as pump:
        screen = Screen(pump)
        pump.telemetry(period_s)
        try:
            if cli.json:
                for event in following(pump, period_s, count):
                    values = {"number": event.number, "missed": event.missed, "event": event.name, **event.fields}
                    sys.stdout.write(json.dumps(values) + "\n")
                    sys.stdout.flush()
            else:
                with Live(screen.render(), console=cli.out, screen=cli.out.is_terminal, auto_refresh=False) as live:

                    def silent(text: str) -> None:
                        screen.silence = text
                        live.update(screen.render(), refresh=True)

                    cli.on_silence = silent
                    for event in following(pump, period_s, count):
                        screen.take(event)
                        live.update(screen.render(), refresh=True)
        except KeyboardInterrupt:
            pass  # the ordinary way out
        finally:
            cli.on_silence = None
            _quiet(pump)
        if not cli.json:
            cli.out.print(screen.render() if cli.out.is_terminal else "")  # piped: the last screen lacks its line end


def whole_period_s(text: str, example: str) -> int:
    """A period of telemetry as typed. Raises UsageError when it is no whole number of seconds from 1 up."""
    try:
        period_s = q.duration_s(text)
    except InexactQuantity:
        period_s = 0
    if period_s < 1:
        raise UsageError(
            f'the pump tells its values every second at most, or every so many whole ones, and "{text}" is neither',
            next_step=f"use for example {example}",
        )
    return period_s


def _quiet(pump: Pump) -> None:
    """End the telemetry; when that fails it ends with the next start of the pump, and hurts nobody."""
    try:
        pump.telemetry(0)
    except HaipumpError:
        return


def following(pump: Pump, period_s: int, count: int | None):
    """Events until `count` values have come, or nobody reads them. Asks for telemetry again when it stays away."""
    seen, silent_s = 0, 0
    while count is None or seen < count:
        for event in pump.events(timeout_s=period_s):
            if output.reader_gone():
                return
            silent_s = 0
            seen += event.name == "tele"
            yield event
            if count is not None and seen >= count:
                return
        silent_s += period_s
        if silent_s >= PATIENCE_PERIODS * period_s:
            pump.telemetry(period_s)
            silent_s = 0


class Screen:
    """What is known of the pump, drawn."""

    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self.hello = pump.conversation.greeting
        self.limits = pump.limits()
        self.syringe_nl = pump.calibration().syringe_nl
        self.readable_pa = pump.pressure_range_pa()
        self.status = pump.status()
        self.alarms: list[answers.Alarm] = pump.alarms() if self.status.alarm != "none" else []
        self.tele: Mapping[str, int | str] = {}
        self.flows: deque[int] = deque(maxlen=HISTORY)
        self.pressures: deque[int] = deque(maxlen=HISTORY)
        self.happened: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self.told_of_stop = False
        self.silence = ""

    def take(self, event: Event) -> None:
        """One more event."""
        if self.pump.conversation.stopped_outside and not self.told_of_stop:
            self.told_of_stop = True
            self.happened.append("Stopped from another terminal")
        if event.name == "tele":
            self.tele = event.fields
            self.flows.append(int(event.fields["flow_nl_per_day"]))
            self.pressures.append(int(event.fields["pressure_pa"]))
            if (event.fields["alarm"] != "none") != bool(self.alarms):
                self.alarms = self.pump.alarms()
            return
        if event.name == "alarm":
            self.alarms = self.pump.alarms()
        self.happened.append(event_text(event))

    def render(self) -> RenderableType:
        tele = self.tele or {
            "state": self.status.state, "flow_nl_per_day": self.status.flow_nl_per_day,
            "delivered_nl": self.status.delivered_nl, "reservoir_nl": self.status.reservoir_nl,
            "empty_in_s": self.status.empty_in_s, "bolus_left_nl": self.status.bolus_left_nl,
        }  # fmt: skip
        state = str(tele["state"])
        table = views.grid()
        table.add_row("State", views.state_text(state))
        table.add_row("Flow", _with_curve(format_rate(int(tele["flow_nl_per_day"])), self.flows, "green"))
        if int(tele["bolus_left_nl"]):
            table.add_row("Bolus left", format_volume(int(tele["bolus_left_nl"])))
        table.add_row("Delivered", self._delivered(tele))
        table.add_row("In the syringe", self._reservoir(int(tele["reservoir_nl"])))
        table.add_row("Empty in", views.empty_in(int(tele["empty_in_s"]), bool(tele["flow_nl_per_day"])))
        if "pressure_pa" in tele:
            table.add_row("Pressure", self._pressure(int(tele["pressure_pa"])))
        uptime = f"up {format_duration_short(int(tele['uptime_s']))}" if "uptime_s" in tele else "waiting for values"
        subtitle = f"[dim]{self.hello.device}, {uptime}; Ctrl-C ends[/]"
        style = views.STATE_STYLES.get(state, "cyan")
        parts: list[RenderableType] = [
            views.titled(f"[bold]haipump[/] at {self.pump.port}", table, style, subtitle),
            views.alarms_view(self.alarms) if self.alarms else Text(" No alarm stands.", style="dim"),
        ]
        if self.silence:
            parts.append(Text(f" {self.silence}", style="bold yellow"))
        if self.happened:
            parts.append(Text("\n".join(" " + line for line in self.happened), style="dim"))
        return Group(*parts)

    @staticmethod
    def _delivered(tele: Mapping[str, int | str]) -> str:
        text = format_volume(int(tele["delivered_nl"]))
        if "confirmed_nl" in tele:
            text += f" [dim](by the shaft {format_volume(int(tele['confirmed_nl']))})[/]"
        return text

    def _reservoir(self, reservoir_nl: int) -> views.Bar | str:
        text = format_volume(reservoir_nl)
        if not self.syringe_nl:
            return text
        low = reservoir_nl <= self.limits.reservoir_low_nl
        return views.reservoir_bar(reservoir_nl, self.syringe_nl, "yellow" if low else "green")

    def _pressure(self, pressure_pa: int) -> views.Bar | Text:
        limit = self.limits.occlusion_pa
        if not self.readable_pa[0] <= pressure_pa <= self.readable_pa[1]:
            return views.pressure_text(pressure_pa, False)
        style = "red" if pressure_pa >= limit else "yellow" if 2 * pressure_pa >= limit else "green"
        behind = f"alarm at {q.format_pressure(limit)}"
        return _with_curve(f"{pressure_pa / 1000:.1f} kPa", self.pressures, style, limit, behind)


def _with_curve(value: str, history: Sequence[int], style: str, full: int | None = None, behind: str = "") -> views.Bar:
    """The newest values as a curve of the width that there is."""

    def bar(width: int) -> Text:
        return Text(sparkline(list(history)[-width:], full), style=style)

    return views.Bar(value.ljust(12), bar, len(history), behind)


def sparkline(values: Sequence[int], full: int | None = None) -> str:
    """Values as blocks, from 0 to `full` (or the highest)."""
    top = max(full or 0, *values, 1) if values else 1
    return "".join(_BLOCKS[max(0, min(len(_BLOCKS) - 1, len(_BLOCKS) * value // (top + 1)))] for value in values)


def event_text(event: Event) -> str:
    """One event as a line."""
    what = texts.EVENTS.get(event.name, event.name)
    facts = ", ".join(
        f"{name.rpartition('_nl')[0] or name} {texts.quantity(name, v)}" for name, v in event.fields.items()
    )
    missed = f"  ({event.missed} missed before)" if event.missed else ""
    return f"#{event.number} {what}: {facts}{missed}"
