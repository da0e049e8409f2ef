"""What `haipump-emu run` shows: a banner, one live status line on a terminal, and what a scenario found out.

Owns: words and layout. Must not: change anything.
"""

import contextlib
import re
import shlex
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from haipump_emulator import cores
from haipump_emulator.cli.session import Session
from haipump_emulator.link.tcp import TcpLink
from haipump_emulator.pacing import monotonic_us
from haipump_emulator.quantities import format_time, format_volume
from haipump_emulator.scenario.watch import Check
from haipump_emulator.signals import Signals
from haipump_fw.device import tracebacks

CORES = {
    cores.CHIP: "chip: the real MicroPython image on an emulated RP2040",
    cores.DIRECT: "direct: the firmware in process",
}
REFRESH_US = 250_000  # wall
TYPED = "<stdin>"  # what MicroPython calls the source of a line that was typed at its prompt
LINE_MAX = 400  # of the pump's output, as far as it is looked at
_STATE = re.compile(rb"^#\d+ (?:state|boot|tele) (?:.* )?state=([a-z_]+)")


def banner(console: Console, session: Session) -> None:
    """Where to connect, what to try, how to stop."""
    pacer, link = session.pacer, session.link
    speed = "max" if pacer.speed is None else f"{pacer.speed:g}x"
    rows = [("serial line", link.address), ("core", _core(session)), ("speed", f"{speed}, seed {session.seed}")]
    if session.scenario:
        rows.append(("scenario", session.scenario.name))
    if session.gdb is not None:
        rows.append(("debugger", f'gdb-multiarch -ex "target remote 127.0.0.1:{session.gdb.port}"'))
    port = shlex.quote(link.address)
    choose = "" if session.name == "pump" else f"--name {session.name} "
    rows += [
        ("try", f"haipump --port {port} status"),
        ("", f"haipump-emu ctl {choose}truth        (also: occlude, release, press stop, power cycle, speed 60)"),
        ("", _terminal(link)),
        ("stop", "Ctrl-C"),
    ]
    console.print(f"[bold]haipump emulator[/] {session.name!r} is running", highlight=False)
    for title, text in rows:
        console.print(Text(f"  {title:<12} {text}"), soft_wrap=True)
    console.print("  Bench and teaching equipment: never for a person.", style="dim", soft_wrap=True)


def _core(session: Session) -> str:
    return session.recipe.note or CORES[session.recipe.kind]


def _terminal(link: Any) -> str:
    """By hand, with what most machines have."""
    return f"nc 127.0.0.1 {link.port}" if isinstance(link, TcpLink) else f"screen {shlex.quote(link.address)}"


def tell_check(console: Console) -> Callable[[Check], None]:
    """A printer of the checks of a scenario, as they are decided."""

    def tell(check: Check) -> None:
        word = Text("pass ", "green") if check.passed else Text("FAIL ", "bold red")
        what = f"{format_time(check.when_us)}  {check.what}"
        console.print(word + Text(what if check.passed else f"{what}: {check.saw}"), soft_wrap=True)

    return tell


def farewell(console: Console, session: Session) -> None:
    """What the run came to."""
    core = session.core
    arrived = format_volume(round(core.plant.truth(core.now_us).arrived_nl))
    if session.driver:
        checks = [check.passed for check in session.driver.player.checks]
        open_ = checks.count(None)
        waiting = f", {open_} not decided" if open_ else ""
        console.print(f"scenario: {checks.count(True)} of {len(checks)} checks passed{waiting}", highlight=False)
    console.print(f"ended after {format_time(core.now_us)} simulated; {arrived} arrived", highlight=False)


class Panel:
    """Prints what lamps and piezo tell, when it becomes another. A listener of the core, and a service of the loop."""

    def __init__(self, console: Console, core: Any) -> None:
        self._core = core
        self._signals = Signals(lambda t_us, text: console.print(f"{format_time(t_us)}  {text}", highlight=False))
        self.on_event = self._signals.on_event

    def wait_on(self) -> tuple[list[Any], list[Any]]:
        return [], []

    def serve(self) -> None:
        self._signals.advance(self._core.now_us)


class Raised:
    """Prints what the firmware raised, with the lines of its sources, as it happens. A listener of the core.

    `sources` False: the chip runs another version than these.
    """

    def __init__(self, console: Console, sources: bool) -> None:
        self._console = console
        self._finder = tracebacks.Finder(sources)

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        for found in self._finder.feed(data) if direction == "out" else ():
            if found.frames and found.frames[0].name == TYPED:
                continue  # in service: the prompt answers to whoever typed it
            text = Text(
                f"the firmware raised at {format_time(t_us)}; it makes the outputs safe and resets\n", "bold red"
            )
            for frame in found.frames:
                text.append(f"  {frame}\n", "not bold default")
                if frame.text:
                    text.append(f"    {frame.text}\n", "not bold dim default")
            self._console.print(text.append(f"  {found.error}"), soft_wrap=True, highlight=False)


class StatusLine:
    """One line at the bottom of a terminal, a service of the loop."""

    def __init__(self, console: Console, session: Session, wall_us: Callable[[], int] = monotonic_us) -> None:
        self._session = session
        self._wall_us = wall_us
        self._next_us = 0
        self._state = ""
        self._line = bytearray()
        session.core.listeners.append(self)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        """The pump's state, as far as it says so."""
        if direction != "out":
            return
        self._line += data
        if b"\n" in data:
            *lines, rest = bytes(self._line).split(b"\n")
            self._line[:] = rest
            for line in lines:
                match = _STATE.match(line)
                self._state = match[1].decode() if match else self._state
        del self._line[LINE_MAX:]

    def wait_on(self) -> tuple[list[Any], list[Any]]:
        return [], []

    def serve(self) -> None:
        if self._wall_us() >= self._next_us:
            self._next_us = self._wall_us() + REFRESH_US
            self._live.update(Text(self.text(), no_wrap=True, overflow="ellipsis"), refresh=True)

    def text(self) -> str:
        """The line."""
        session = self._session
        pacer, core = session.pacer, session.core
        truth = core.plant.truth(core.now_us)
        wanted = "max" if pacer.speed is None else f"{pacer.speed:g}x"
        pace = "paused" if pacer.paused else f"{pacer.reached():,.4g}x of {wanted}"
        if getattr(core, "halted", False):  # which only the chip can be
            pace = "halted by a debugger"
        parts = [format_time(core.now_us), pace]
        if not core.powered:
            parts.append("power off")
        elif self._state:
            parts.append(self._state)
        parts += [
            f"{truth.pressure_pa / 1000:.1f} kPa",
            f"arrived {format_volume(round(truth.arrived_nl))}",
            "client" if session.link.client_is_there else "no client",
        ]
        return "  ".join(parts)

    def close(self) -> None:
        """Take the line away."""
        with contextlib.suppress(ValueError):
            self._session.core.listeners.remove(self)
        self._live.stop()
