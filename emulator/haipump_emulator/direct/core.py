"""DirectCore: virtual time, power and reset around the firmware's App.

Owns: `now_us`, and the one call that makes time pass, `run_until`. Must not: look at the wall clock.

Time passes in two ways: the app sleeps (`run_until` jumps to the next deadline, pulse at a switch, or input), and port
calls charge what they cost on the chip. Pulses happen at their exact times in between. Equal seed and inputs give equal
steps and bytes, whatever the slices of `run_until`.
"""

from __future__ import annotations

from typing import Any

from haipump_emulator.direct import costs, ports
from haipump_emulator.direct.ports import NEVER_US, RECEIVE_BYTES, Reset
from haipump_emulator.faults.flash import PowerCut
from haipump_emulator.plant import Plant
from haipump_fw import ports as contract
from haipump_fw.app import App

WRAP_LEAD_US = 65_000_000  # every run starts 65 s before the tick counter wraps
RESET_US = 40_000  # from a reset to the application's first line
SWITCHES = contract.IN_FRONT | contract.IN_BACK | contract.IN_CAPTURED | contract.IN_DIAG


class DirectCore:
    """The firmware in process. `flash`: bytes of the partition from an earlier run; `ticks_start_us`: the tick counter
    at power-on (default: 65 s before its wrap).

    `listeners`: objects with any of `on_step(t_us, direction)`, `on_event(t_us, name, fields)`, `on_bytes(t_us,
    direction, data)`, `on_inputs(t_us, bits)`. `output`: bytes the pump has written; the reader deletes what it took.
    """

    def __init__(
        self,
        plant: Plant | None = None,
        *,
        seed: int = 0,
        flash: bytes | None = None,
        ticks_start_us: int | None = None,
        usb_connected: bool = True,
        start_us: int = 0,
    ) -> None:
        self.plant = plant if plant is not None else Plant(seed=seed)
        self.seed = seed
        self.now_us = start_us
        self.output = bytearray()
        self.listeners: list[Any] = []
        self.usb_connected = usb_connected
        self.host_reads = True
        self.hang_at = -1  # the task at which the firmware hangs, once
        self.stall_us = 0  # something holds the CPU for so long, once
        self.starve_bytes = -1  # so many more bytes of memory can be had; -1: what a collection gives
        self._starved = False
        self.next_ticks_us = 0  # of the tick counter at the next start
        self.drift_ppm = 0
        self.code_damaged = False
        self.held = 0
        self.boots = 0
        self.app: App | None = None
        self._ticks_start_us = contract.TICKS_PERIOD - WRAP_LEAD_US if ticks_start_us is None else ticks_start_us
        self._flash = ports.Flash(self, flash)
        self._task = 0
        self._wake_us = NEVER_US
        self._boot_at_us = NEVER_US
        self._cause = contract.RESET_POWER
        self._powered = False
        self.heap_free = costs.HEAP_BYTES
        self.lines = 0  # heard and not worked off
        self._switches = 0
        self._untold = bytearray()  # written in this pass
        self.power(True)

    # --- what a person or a host does

    @property
    def flash(self) -> bytes:
        """The partition as it is now; it survives power off."""
        return bytes(self._flash.data)

    @property
    def flash_port(self) -> ports.Flash:
        """The partition itself, to arrange faults."""
        return self._flash

    @property
    def powered(self) -> bool:
        return self._powered

    @property
    def inputs(self) -> int:
        """The IN_ bits that are active."""
        return self.held | self._switches

    def send(self, data: bytes) -> int:
        """Host bytes arrive now. Returns how many found room; the rest would wait at the host."""
        if self.app is None or not self.usb_connected:
            return len(data)  # nobody takes them: lost, as with a board that boots
        received = self._ports.console.received
        count = min(len(data), RECEIVE_BYTES - len(received))
        if count:
            received += data[:count]
            self._tell_bytes("in", bytes(data[:count]))
            self._wake_us = self.now_us
        return count

    def press(self, bits: int, on: bool) -> None:
        """Buttons and service jumper: IN_START, IN_STOP, IN_SILENCE, IN_SERVICE."""
        before = self.held
        self.held = self.held | bits if on else self.held & ~bits
        if self.app is not None:
            self._ports.inputs.press(bits, on)
            self._ports.inputs.edges(self.now_us, before, self.held)
            self._wake_us = self.now_us
        self._tell_inputs()

    def power(self, on: bool) -> None:
        """Cut or restore the supply, now. Flash keeps what it holds; what was in RAM is gone."""
        if on == self._powered:
            return
        self._powered = on
        self.tell("power", {"on": int(on)})
        if on:
            self._flash.power_on()
            self._task = 0
            self._start(contract.RESET_POWER, 0)
        else:
            self._go_down()

    def check(self) -> None:
        """What must hold at the end of every run: each word queued since the last start became one edge, was taken
        back, or waits. Raises AssertionError."""
        if self.app is not None:
            self.emit()
            self._ports.steps.check()

    def conversing(self) -> bool:
        """A client is in a conversation: bytes under way, or the firmware's session says so."""
        if self.app is None:
            return False
        return bool(self._ports.console.received) or self.app.session.conversing()

    # --- time

    def run_until(self, t_us: int) -> None:
        """Let simulated time pass until t_us. A pass of the loop that has begun is finished: it may end a bit later."""
        self._refresh_listeners()
        while self.now_us < t_us:
            if self.app is None:
                self._wait_for_boot(t_us)
            elif self._wake_us > self.now_us:
                self._sleep(min(self._wake_us, t_us, max(self.now_us, self._ports.watchdog.bites_us)))
                if self.now_us >= self._ports.watchdog.bites_us:
                    self._reset(contract.RESET_WATCHDOG)
            else:
                self._pass()
        self.emit()

    def _wait_for_boot(self, t_us: int) -> None:
        if self._boot_at_us > t_us:
            self.now_us = t_us
            return
        self.now_us = max(self.now_us, self._boot_at_us)
        self._boot_at_us = NEVER_US
        self._boot()

    def _sleep(self, t_us: int) -> None:
        """Nothing runs until t_us, but pulses, and the switches that they reach."""
        steps = self._ports.steps
        panel = self._ports.panel
        while steps.pulse_us <= t_us or panel.turn_us <= t_us:
            if panel.turn_us < steps.pulse_us:
                self._signal()
                continue
            self.now_us = max(self.now_us, steps.pulse_us)
            if self._emit_one() and self._wake_us > self.now_us:
                self._wake_us = self.now_us
                return
        if self._look_at_switches(self.now_us):
            self._wake_us = self.now_us
            return
        self.now_us = t_us

    def _pass(self) -> None:
        assert self.app is not None
        token, state = self.app.session.token, self.app.machine.state
        try:
            if self.stall_us:
                stall_us, self.stall_us = self.stall_us, 0
                self.charge(stall_us)
            sleep_us = self.app.step()
            self.charge(costs.PASS_US if sleep_us < ports.RING_WORDS * 1000 else 0)
            if self.lines:  # the session works off one in a pass
                self.lines -= 1
                # A plan is worked out for a token, again when it is committed, and when the pump does something else
                # now. What the line changed took effect before: that is this core's lead.
                planned = self.app.session.token != token or self.app.machine.state != state
                self.charge(costs.LINE_US + (costs.PLAN_US if planned else 0))
        except Reset as reset:
            self._reset(reset.cause)
            return
        except PowerCut:
            self.power(False)
            return
        except MemoryError:
            self._give_up()
            return
        finally:
            self._flush_output()
        if self.now_us >= self._ports.watchdog.bites_us:
            self._reset(contract.RESET_WATCHDOG)
            return
        self._wake_us = self.now_us + sleep_us
        if self._ports.console.received:
            self._wake_us = self.now_us

    def charge(self, us: int) -> None:
        """Time passes while the CPU is busy; a CPU that is busy for too long is reset."""
        before = self.now_us
        self.now_us += us
        if self.now_us >= self._ports.watchdog.bites_us:
            self.now_us = max(before, self._ports.watchdog.bites_us)
            raise Reset(contract.RESET_WATCHDOG)

    def hang(self) -> None:
        """The firmware goes on no more: the watchdog, if it runs, resets it."""
        self.hang_at = -1
        self.charge(max(0, self._ports.watchdog.bites_us - self.now_us))

    def stall(self, us: int) -> None:
        """Something holds the CPU from now on."""
        self.stall_us = us
        self._wake_us = self.now_us

    def run_away(self, steps_per_s: int) -> None:
        """The step machine makes pulses that nobody queued."""
        if self.app is not None:
            self._ports.steps.run_away(steps_per_s)

    def damage_code(self, bit: int | None) -> None:
        """A bit of the stored application is wrong from now on; None: right again. What runs is not touched."""
        self.code_damaged = bit is not None

    def drift(self, ppm: int) -> None:
        """The crystal runs so much too fast from now on: tick counter and step machine alike."""
        if self.app is not None:
            self.emit()
            self._ports.clock.set(self._ports.clock.ticks_us())
        self.drift_ppm = ppm
        if self.app is not None:
            self._ports.clock.set(self._ports.clock.ticks_us())

    def _give_up(self) -> None:
        """What the board does when the memory that was taken away is missed: outputs safe, reset."""
        if not self._starved:
            raise
        self._starved = False
        self._reset(contract.RESET_FAULT)

    def allocate(self, count: int) -> None:
        """The firmware's handling of text fills the chip's heap; when it is full the interpreter collects."""
        if self.starve_bytes >= 0:
            self.starve_bytes -= count
            if self.starve_bytes < 0:
                self.starve_bytes = -1
                self._starved = True
                raise MemoryError
        self.heap_free -= count
        if self.heap_free < 0:
            self.collect()

    def collect(self) -> None:
        self.heap_free = costs.HEAP_BYTES
        self.charge(costs.COLLECT_US)

    # --- pulses

    def emit(self) -> None:
        """Make all pulses and signals that are due by now."""
        if self.app is None and not self._powered:
            return
        steps, panel = self._ports.steps, self._ports.panel
        while steps.pulse_us <= self.now_us or panel.turn_us <= self.now_us:
            if panel.turn_us < steps.pulse_us:
                self._signal()
            else:
                self._emit_one()

    def _signal(self) -> None:
        """A lamp or the tone that comes or goes, told with its own time."""
        now_us, self.now_us = self.now_us, self._ports.panel.turn_us
        self._ports.panel.turn()
        self.now_us = max(now_us, self.now_us)

    def _emit_one(self) -> bool:
        """One pulse; True when a switch changed with it."""
        steps = self._ports.steps
        at = steps.pulse()
        self.plant.step(at)
        for listener in self._on_step:
            listener(at, steps.direction)
        if steps.spent:
            self.release(at)
            steps.guard(steps.queued())
            self._ports.inputs.trips |= contract.IN_EDGES
            return True
        return self._look_at_switches(at)

    def _look_at_switches(self, t_us: int) -> bool:
        """True when one has changed."""
        before, self._switches = self._switches, self.plant.switches(t_us) & SWITCHES
        if self._switches == before:
            return False
        self._tell_inputs()
        if self.app is not None:
            self._ports.inputs.edges(t_us, before, self._switches)
        return True

    def release(self, t_us: int) -> None:
        """What an interrupt does to steps and motor."""
        self._ports.steps.freeze()
        if self._ports.motor.enabled():
            self._ports.motor.switch(t_us, False)

    # --- power and reset

    def _start(self, cause: str, delay_us: int) -> None:
        self._cause = cause
        self._boot_at_us = self.now_us + delay_us
        if delay_us == 0:
            self._boot_at_us = NEVER_US
            self._boot()

    def _boot(self) -> None:
        self.boots += 1
        self.heap_free = costs.HEAP_BYTES
        self.lines = 0
        clock_start = self._ticks_start_us if self.boots == 1 else self.next_ticks_us
        self.next_ticks_us = 0
        self._ports = contract.Ports(
            ports.Clock(self, clock_start),
            ports.Steps(self),
            ports.Motor(self),
            ports.Sensors(self),
            ports.Inputs(self),
            ports.Panel(self),
            ports.Console(self),
            self._flash,
            ports.Watchdog(self),
            ports.System(self, self._cause, self._task),
            None,  # wait: the core does the waiting
        )
        self._switches = self.plant.switches(self.now_us) & SWITCHES
        self._refresh_listeners()
        try:
            self.app = App(self._ports)
            self._wake_us = self.now_us
        except Reset as reset:
            self._reset(reset.cause)
        except PowerCut:
            self.power(False)
        except MemoryError:
            self._give_up()
        self._flush_output()

    def _go_down(self) -> None:
        """Everything that needs the chip ends: pads float, the pull-up turns the motor off, RAM is gone."""
        self.emit()
        if self.app is not None:
            self._task = self._ports.system.task()
            self._ports.steps.halt()
            self._ports.panel.turn_us = NEVER_US
        self.plant.set_enable(self.now_us, False)
        self.app = None
        self._wake_us = self._boot_at_us = NEVER_US

    def _reset(self, cause: str) -> None:
        self._go_down()
        self.tell("reset", {"cause": cause})
        if cause != "service":  # in service nothing of ours runs until the power goes
            self._start(cause, RESET_US)

    # --- output and listeners

    def put_out(self, byte: int) -> None:
        self.output.append(byte)
        self._untold.append(byte)

    def _flush_output(self) -> None:
        """Tell listeners what was written in this pass."""
        if self._untold:
            data = bytes(self._untold)
            self._untold.clear()
            self._tell_bytes("out", data)

    def tell(self, name: str, fields: dict[str, Any]) -> None:
        for listener in self.listeners:
            if hasattr(listener, "on_event"):
                listener.on_event(self.now_us, name, fields)

    def _tell_bytes(self, direction: str, data: bytes) -> None:
        for listener in self.listeners:
            if hasattr(listener, "on_bytes"):
                listener.on_bytes(self.now_us, direction, data)

    def _tell_inputs(self) -> None:
        for listener in self.listeners:
            if hasattr(listener, "on_inputs"):
                listener.on_inputs(self.now_us, self.inputs)

    def _refresh_listeners(self) -> None:
        self._on_step = [x.on_step for x in self.listeners if hasattr(x, "on_step")]
