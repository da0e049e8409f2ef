"""A running emulator: the composition root of `haipump-emu run`.

Owns: which parts there are, in which order they are made and taken down. Must not: print, or parse what people type.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from haipump_emulator import cores, outputs
from haipump_emulator.control import ControlError, Controls, ControlServer, check_name, running
from haipump_emulator.direct.ports import app_hash
from haipump_emulator.link.base import Link
from haipump_emulator.link.bridge import Bridge
from haipump_emulator.link.loop import Loop
from haipump_emulator.link.tcp import TcpLink
from haipump_emulator.pacing import Pacer, monotonic_us
from haipump_emulator.plant.params import PlantParams, for_syringe
from haipump_emulator.scenario import rig
from haipump_emulator.scenario.load import load_scenario
from haipump_emulator.scenario.model import Scenario
from haipump_emulator.scenario.player import Player
from haipump_emulator.scenario.watch import Check
from haipump_emulator.statedir import state_dir
from haipump_emulator.trace.recorder import Recorder
from haipump_emulator.trace.vcd import Waveform

FLASH_BYTES = 0x40000
FLASH_SAVE_US = 5_000_000  # wall: a killed emulator loses at most so much
NAMES_MAX = 100


class SetupError(Exception):
    """These options can't be used, or not together; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """The options of `run`; None is "not given"."""

    pty: str | None = None
    tcp: int | None = None
    speed: float | str | None = None
    scenario: Path | None = None
    seed: int | None = None
    record: Path | None = None
    syringe_ml: int | None = None
    name: str | None = None
    flash: Path | None = None
    for_us: int | None = None
    core: cores.Kind | None = None
    uf2: Path | None = None
    vcd: Path | None = None
    gdb: int | None = None


class FlashFile:
    """Keeps the pump's flash in a file between runs. A service of the loop: saves now and then, and when closed."""

    def __init__(self, path: Path, wall_us: Callable[[], int] = monotonic_us) -> None:
        self.path = path
        self.content: bytes | None = None
        self._wall_us = wall_us
        self._next_us = wall_us() + FLASH_SAVE_US
        self._core: Any = None
        try:
            self.content = path.read_bytes()
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise SetupError(f"--flash: there is no folder {path.parent}") from None
        except OSError as error:
            raise SetupError(f"--flash: can't read {path}: {error.strerror}") from None
        if self.content is not None and len(self.content) != FLASH_BYTES:
            raise SetupError(f"--flash: {path} has {len(self.content)} bytes, a pump's flash has {FLASH_BYTES}")

    def attach(self, core: Any) -> None:
        self._core = core

    def wait_on(self) -> tuple[list[Any], list[Any]]:
        return [], []

    def serve(self) -> None:
        if self._wall_us() >= self._next_us:
            self._next_us = self._wall_us() + FLASH_SAVE_US
            self.save()

    def save(self) -> None:
        """Atomically, so that a file is always one whole flash; only when something changed. Raises OSError."""
        content = bytes(self._core.flash)
        if content == self.content:
            return
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            fresh.write_bytes(content)
            os.replace(fresh, self.path)
        finally:
            fresh.unlink(missing_ok=True)
        self.content = content


class ScenarioDriver:
    """Plays a scenario's timeline on the pacer's agenda, so that it happens at its simulated times at any speed."""

    def __init__(self, scenario: Scenario, pacer: Pacer, tell: Callable[[Check], None]) -> None:
        self.player = Player(scenario, pacer.core)
        self._pacer = pacer
        self._tell = tell
        self._told: set[int] = set()
        self.over = False
        self._go_on()

    def _go_on(self) -> None:
        if self.over:
            return
        self.player.poll()
        for number, check in enumerate(self.player.checks):
            if check.passed is not None and number not in self._told:
                self._told.add(number)
                self._tell(check)
        if self.player.finished:
            self.close()
        else:
            self._pacer.at(max(self.player.due_us, self._pacer.core.now_us + 1), self._go_on)

    def close(self) -> None:
        """Stop it; safe to call twice."""
        if not self.over:
            self.over = True
            self.player.close()


class Session:
    """Everything that runs. `make` builds it, `close` takes it down in reverse order, whatever of it was made."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    name: str
    recipe: cores.Recipe
    core: Any
    link: Link
    pacer: Pacer
    bridge: Bridge
    loop: Loop
    scenario: Scenario | None = None
    driver: ScenarioDriver | None = None
    gdb: Any = None  # a GdbServer
    seed = 0

    @classmethod
    def make(
        cls,
        setup: Setup,
        tell: Callable[[Check], None] = lambda check: None,
        progress: Callable[[str], None] = lambda text: None,
    ) -> "Session":
        """Raises SetupError, OutputError, CoreError, LinkError, ControlError, StateDirError, ScenarioError, OSError."""
        session = cls()
        try:
            session._make(setup, tell, progress)
        except BaseException:
            session.close()
            raise
        return session

    def _make(self, setup: Setup, tell: Callable[[Check], None], progress: Callable[[str], None]) -> None:
        self.name = _free_name() if setup.name is None else check_name(setup.name)
        self.scenario = load_scenario(setup.scenario) if setup.scenario else None
        self.seed = setup.seed if setup.seed is not None else self.scenario.seed if self.scenario else 0
        flash = FlashFile(setup.flash) if setup.flash else None
        outputs.check("--record", setup.record)
        outputs.check("--vcd", setup.vcd)
        self.recipe = cores.choose(setup.core, setup.uf2, progress)
        if self.recipe.kind == cores.DIRECT:
            app_hash()  # compiled now: a host's first question would have to wait for it
        options: dict[str, Any] = {"ticks_start_us": self.scenario.pump.ticks_start_us} if self.scenario else {}
        kept = flash.content if flash and flash.content else self.scenario.pump.flash if self.scenario else None
        self.core = self.recipe.make(_plant(setup, self.scenario, self.seed), seed=self.seed, flash=kept, **options)
        self.link = _link(setup, self.name)
        self._stack.callback(self.link.close)
        if flash:
            flash.attach(self.core)
            self._stack.callback(flash.save)
        if setup.record:
            self._record(setup.record, {**options, "kind": self.recipe.kind})
        self.pacer = Pacer(self.core, _speed(setup, self.scenario))
        self.bridge = Bridge(self.core, self.link)
        self.loop = Loop(self.pacer, self.bridge, [flash] if flash else [])
        server = ControlServer(Controls(self.name, self.pacer, self.bridge, self.loop.stop), self.link.address)
        self._stack.callback(server.close)
        self.loop.services.append(server)
        if setup.vcd:
            waveform = Waveform(self.core, setup.vcd)
            self._stack.callback(waveform.close)
            self.loop.services.append(waveform)
        if setup.gdb is not None:
            self._debug(setup.gdb)
        if self.scenario:
            self.driver = ScenarioDriver(self.scenario, self.pacer, tell)
            self._stack.callback(self.driver.close)
        if setup.for_us is not None:
            self.pacer.at(setup.for_us, self.loop.stop)

    def _debug(self, port: int) -> None:
        if self.recipe.kind != cores.CHIP:
            raise SetupError("--gdb: only the chip can be debugged; " + (self.recipe.note or "leave out --core direct"))
        # rp2040py is a lot to import for somebody who runs the firmware in process.
        from haipump_emulator.link.gdb import GdbServer

        self.gdb = GdbServer(self.core, self.pacer, port)
        self._stack.callback(self.gdb.close)
        self.loop.services.append(self.gdb)

    def _record(self, path: Path, options: dict[str, Any]) -> None:
        scenario = self.scenario
        recorder = Recorder(
            self.core,
            path,
            seed=self.seed,
            core_options=options,
            scenario=scenario.name if scenario else "",
            scenario_text=scenario.text if scenario else "",
        )
        self._stack.callback(recorder.close)

    def close(self) -> None:
        """Safe to call twice."""
        self._stack.close()


def _free_name() -> str:
    taken = {record.name for record in running()}
    names = ["pump", *(f"pump-{number}" for number in range(2, NAMES_MAX))]
    for name in names:
        if name not in taken:
            return name
    raise ControlError("too many emulators are running")


def _plant(setup: Setup, scenario: Scenario | None, seed: int) -> Any:
    if scenario is not None:
        if setup.syringe_ml is not None:
            raise SetupError("--syringe: the scenario says what syringe it is")
        return rig.plant_from(scenario.params, seed)
    try:
        params = PlantParams() if setup.syringe_ml is None else for_syringe(setup.syringe_ml)
    except ValueError as error:
        raise SetupError(f"--syringe: {error}") from None
    return rig.Plant(params, seed)


def _speed(setup: Setup, scenario: Scenario | None) -> float | None:
    if setup.speed is None:
        return (scenario.speed if scenario else None) or 1
    return None if isinstance(setup.speed, str) else setup.speed


def _link(setup: Setup, name: str) -> Link:
    if setup.pty is not None and setup.tcp is not None:
        raise SetupError("--pty and --tcp: choose one")
    if setup.tcp is not None:
        return TcpLink(setup.tcp)
    if sys.platform == "win32":
        if setup.pty is not None:
            raise SetupError("--pty: Windows has no ptys; use --tcp PORT")
        return TcpLink(0)
    # Only here, because Windows lacks what it imports.
    from haipump_emulator.link.pty import PtyLink

    return PtyLink(setup.pty or str(state_dir() / f"{name}.pty"))
