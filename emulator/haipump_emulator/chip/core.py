"""ChipCore: the emulated RP2040 with the real firmware image, in front of the plant.

Owns: `now_us` over resets and power cuts, and how chip, plant and the outside are wired together. Must not: look at the
wall clock, or have the firmware do anything that it would not do on a board.

Speaks as `DirectCore` does. Simulated time is the only clock: equal seed and inputs give equal bytes and edges,
whatever the slices of `run_until`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haipump_emulator import wiring
from haipump_emulator.chip.conversation import Conversation
from haipump_emulator.chip.driver import StepDriver
from haipump_emulator.chip.flash import ERASE_US, FLASH_BYTES, PARTITION_BYTES, PARTITION_START, PROGRAM_US, FlashChip
from haipump_emulator.chip.inputs import Inputs
from haipump_emulator.chip.panel import Leds, Piezo
from haipump_emulator.chip.pico import TICKS_PER_US, Pico
from haipump_emulator.chip.sensors import Analogue
from haipump_emulator.chip.uf2 import read_uf2
from haipump_emulator.chip.usb import Console
from haipump_emulator.plant import Plant

FILES_START = 0xA0000  # where the interpreter's file system begins
DAMAGED = "haipump_fw/app.mpy"  # loaded at the start, and never again
NAPS_MAX = 100_000  # of a CPU that a debugger wants to step: it is woken by a timer or by USB before that
TELL_US = 20_000  # output is told to listeners at the end of a line, or after that
EXACT_US = 2  # an edge this close to now may not have reached the odometer's registers


class ChipCheckError(AssertionError):
    """A run on the chip broke a rule that must hold at the end of every run; the message names all that did."""


@dataclass(frozen=True)
class Report:
    """What `check` looked at. `since_reset` and `odometer` (None where none runs) are steps since the last reset."""

    forward: int
    backward: int
    ignored: int
    backlog_drops: int
    violations: dict[str, int]
    lockups: int
    since_reset: int
    odometer: int | None


class ChipCore:
    """The chip. `image`: a UF2 file, or its content, with interpreter and application; `files`: a file system to put
    into flash beside it; `flash`: bytes of the raw partition from an earlier run on any core.

    `listeners`, `output`, `host_reads` and the rest: see `DirectCore`; a listener's `on_chip(mcu)` is called at each
    power-up, before the first instruction. While `halted` no time passes. Raises ValueError for an image that can't be
    used and for a `ticks_start_us` other than 0: the chip's counter starts there.
    """

    def __init__(
        self,
        plant: Plant | None = None,
        *,
        image: Path | str | bytes,
        files: bytes | None = None,
        seed: int = 0,
        flash: bytes | None = None,
        ticks_start_us: int | None = None,
        usb_connected: bool = True,
        start_us: int = 0,
        program_us: int = PROGRAM_US,
        erase_us: int = ERASE_US,
    ) -> None:
        if ticks_start_us:
            raise ValueError("the chip's counter starts at 0; let the run be as long as the wrap needs")
        self.plant = plant if plant is not None else Plant(seed=seed)
        self.seed = seed
        self.output = bytearray()
        self.listeners: list[Any] = []
        self.boots = 0
        self.held = 0
        self.lockups = 0
        self._epoch_us = start_us  # of the present life of the chip, or now while it has no power
        self._pico: Pico | None = None
        self._usb_connected = usb_connected
        self._host_reads = True
        self._lost_drops = 0
        self._conversation = Conversation(lambda: self.now_us)
        self._untold = bytearray()
        self._flash = FlashChip(_flash_content(read_uf2(image), files, flash), seed, program_us, erase_us)
        self._flash.on_cut = self._cut
        self._dead = False
        self._damage: tuple[int, int, int] | None = None  # address, bit, and the byte as it is with it
        self.halted = False
        self._driver = StepDriver(self._step, self._direction, self._enable, self._violation)
        self._inputs = Inputs()
        self._analogue = Analogue(self.plant, lambda: self.now_us)
        self._leds = Leds(lambda lit: self.tell("led", dict(lit)))
        self._piezo = Piezo(lambda hz: self.tell("tone", {"frequency_hz": hz}))
        self._on_step: list[Any] = []
        self.power(True)

    # --- what a person or a host does

    @property
    def now_us(self) -> int:
        """Simulated microseconds since the start, over all lives of the chip."""
        pico = self._pico
        return self._epoch_us if pico is None else self._epoch_us + pico.clock.ticks // TICKS_PER_US

    @property
    def now_ns(self) -> int:
        """The same in nanoseconds."""
        pico = self._pico
        return self._epoch_us * 1000 if pico is None else self._epoch_us * 1000 + pico.clock.ticks // 16

    @property
    def flash(self) -> bytes:
        """The raw partition as it is now; it survives power off."""
        return self._flash.snapshot()

    @property
    def flash_port(self) -> FlashChip:
        """The flash chip itself, to arrange faults."""
        return self._flash

    @property
    def driver(self) -> StepDriver:
        """The driver's inputs and their counts."""
        return self._driver

    @property
    def mcu(self) -> Any:
        """rp2040py's chip, for waveforms and debuggers; None without power."""
        return None if self._pico is None else self._pico.mcu

    @property
    def powered(self) -> bool:
        return self._pico is not None

    @property
    def inputs(self) -> int:
        """The IN_ bits that are active."""
        return self._inputs.bits

    @property
    def host_reads(self) -> bool:
        """False: a host that has the port open and does not read. What the pump wrote waits in the pump."""
        return self._host_reads

    @host_reads.setter
    def host_reads(self, on: bool) -> None:
        self._host_reads = on
        if self._pico is not None:
            self._console.read(on)

    @property
    def usb_connected(self) -> bool:
        """False: the cable is not plugged in."""
        return self._usb_connected

    @usb_connected.setter
    def usb_connected(self, on: bool) -> None:
        self._usb_connected = on
        if self._pico is not None:
            self._console.connect(on)

    def send(self, data: bytes) -> int:
        """Host bytes arrive now. Returns how many found room; the rest would wait at the host."""
        if self._pico is None or not self._console.ready:
            return len(data)  # nobody takes them: lost, as with a board that boots
        count = self._console.send(data)
        if count:
            self._conversation.sent(bytes(data[:count]))
            self._tell_bytes("in", bytes(data[:count]))
        return count

    def press(self, bits: int, on: bool) -> None:
        """Buttons and service jumper: IN_START, IN_STOP, IN_SILENCE, IN_SERVICE."""
        self.held = self.held | bits if on else self.held & ~bits
        self._input(bits & ~wiring.PLANT_SWITCHES, self.held)

    def power(self, on: bool) -> None:
        """Cut or restore the supply, now. Flash keeps what it holds; what was in RAM is gone."""
        if on == self.powered:
            return
        self.tell("power", {"on": int(on)})
        if on:
            self._power_up()
        else:
            self._power_down()

    def conversing(self) -> bool:
        """A client is in a conversation, as far as it shows outside: bytes under way, an answer due, a token open."""
        return self._pico is not None and (bool(self._console.waiting) or self._conversation.goes_on)

    def damage_code(self, bit: int | None) -> None:
        """A bit of the stored application is wrong from now on: that one of the first 4,096 bytes of DAMAGED; None:
        right again, unless the file was installed anew. What runs is in RAM and not touched; whether it starts again is
        another question."""
        from haipump_emulator.chip import firmware  # which needs this module

        content = self._flash.content
        place = firmware.place(content, DAMAGED)
        if self._damage is not None:
            where, mask, wrong = self._damage
            if where - place in range(firmware.BLOCK) and content[where] == wrong:
                self._flash.rot(where - PARTITION_START, mask)
            self._damage = None
        if bit is not None:
            where, mask = place + bit // 8, 1 << bit % 8
            self._damage = where, mask, self._flash.content[where] ^ mask
            self._flash.rot(where - PARTITION_START, mask)

    # --- time

    def run_until(self, t_us: int) -> None:
        """Let simulated time pass until t_us. Raises OverflowError for a life of over 208 days."""
        self._refresh_listeners()
        while self.now_us < t_us and not self.halted:
            if self._pico is None:
                self._epoch_us = t_us
                return
            self._look_at_switches()
            self._pico.run_until((t_us - self._epoch_us) * TICKS_PER_US)
            if self._dead:
                self._dead = False
                self.power(False)

    def halt(self) -> None:
        """Stop time here, for a debugger, until `halted` is made False; callable from inside of `run_until`."""
        self.halted = True
        if self._pico is not None:
            self._pico.stop()

    def step_instruction(self) -> None:
        """Let the CPU do one instruction, also while `halted`. One that sleeps is waited for."""
        for _ in range(NAPS_MAX):
            if self._pico is None:
                return
            clock = self._pico.clock
            asleep = self._pico.mcu.core.waiting
            self._pico.run_until(clock.ticks + max(1, clock.ticks_to_next_alarm if asleep else 1))
            if self._dead:
                self._dead = False
                self.power(False)
            if not asleep:
                return

    # --- the end of a run

    def odometer(self) -> int | None:
        """What the firmware's own counter of edges holds, signed, since the last reset; None while none runs."""
        if self._pico is None:
            return None
        machine = self._pico.mcu.pio[0].machines[1]
        if not machine.enabled:
            return None
        return (machine.y - machine.x + (1 << 31)) % (1 << 32) - (1 << 31)

    def check(self) -> Report:
        """Look at everything that must hold at the end of any run, as often as one likes. Raises ChipCheckError."""
        driver = self._driver
        drops = self._lost_drops + (self._pico.backlog_drops if self._pico is not None else 0)
        odometer = self.odometer()
        report = Report(
            driver.forward,
            driver.backward,
            driver.ignored,
            drops,
            dict(driver.violations),
            self.lockups,
            driver.since_reset,
            odometer,
        )
        wrong = []
        if drops:
            wrong.append(f"{drops} instructions of state machines came too late: edges are wrong")
        if driver.violations:
            wrong.append(f"the driver's timing was broken: {dict(driver.violations)}")
        if self.lockups:
            wrong.append(f"the CPU locked up {self.lockups} times")
        if odometer is not None and odometer != driver.since_reset and not driver.edge_within(EXACT_US):
            wrong.append(f"odometer {odometer}, but {driver.since_reset} edges at the pad since the last reset")
        if wrong:
            raise ChipCheckError("; ".join(wrong))
        return report

    # --- power and reset

    def _power_up(self) -> None:
        self.boots += 1
        epoch_us = self.now_us
        pico = Pico(self._reset, self._lockup)
        mcu = pico.mcu
        self._flash.attach(mcu)
        self._epoch_us, self._pico = epoch_us, pico
        self._refresh_listeners()
        self._driver.attach(mcu)
        self._leds.attach(mcu)
        self._piezo.attach(mcu)
        self._analogue.attach(mcu)
        self._inputs.bits = self.held | self.plant.switches(epoch_us) & wiring.PLANT_SWITCHES
        self._inputs.attach(mcu, pico.pacers)
        # The noise of the ring oscillator: another at every boot, and the same in every run with this seed.
        self._noise = random.Random(f"{self.seed}/entropy/{self.boots}")
        mcu.rosc.random_bit = self._random_bit
        self._tell_later = pico.clock.create_alarm(self._tell_output)
        self._console = Console(mcu, self._hear, connected=self._usb_connected, reads=self._host_reads)
        pico.start()
        for listener in self.listeners:
            if hasattr(listener, "on_chip"):
                listener.on_chip(mcu)

    def _power_down(self) -> None:
        pico = self._pico
        assert pico is not None
        self._tell_output()
        self._let_go()
        self._flash.power_off()
        self._inputs.power_off()
        self._lost_drops += pico.backlog_drops
        self._epoch_us = self.now_us
        self._pico = None

    def _let_go(self) -> None:
        """Pads float: the pull-up turns the motor off, lamps are dark, the piezo is silent."""
        self._driver.released()
        self._leds.released()
        self._piezo.released()
        self._conversation.over()

    def _cut(self) -> None:
        """The power goes inside of a flash command."""
        assert self._pico is not None
        self._dead = True
        self._pico.stop()

    def _reset(self, bitten: bool) -> None:
        cause = "watchdog" if bitten else self._announced()
        self.boots += 1
        self._noise.seed(f"{self.seed}/entropy/{self.boots}")
        self._tell_output()
        self._let_go()
        self._flash.after_reset()
        self._console.after_reset()
        self.tell("reset", {"cause": cause})

    def _random_bit(self) -> int:
        return self._noise.getrandbits(1)

    def _announced(self) -> str:
        """Why the firmware reset itself: it leaves a note where a reset does not clear it."""
        assert self._pico is not None
        read = self._pico.mcu.read_uint32
        if read(wiring.scratch("_SERVICE")) == wiring.scratch("_SERVICE_MARK"):
            return "service"
        fault = wiring.scratch("_CAUSE_MARK") + wiring.scratch("CAUSE_FAULT")
        return "fault" if read(wiring.scratch("_CAUSE")) == fault else "request"

    def _lockup(self, address: int, why: str) -> None:
        self.lockups += 1
        self.tell("lockup", {"address": address, "why": why})

    # --- pins

    def _step(self, direction: int) -> None:
        now_us = self.now_us
        self.plant.step(now_us)
        for on_step in self._on_step:
            on_step(now_us, direction)
        self._look_at_switches()

    def _direction(self, direction: int) -> None:
        self.plant.set_direction(self.now_us, direction)

    def _enable(self, on: bool) -> None:
        self.plant.set_enable(self.now_us, on)
        self.tell("enable", {"on": int(on)})
        self._look_at_switches()

    def _violation(self, kind: str, ns: int) -> None:
        self.tell("violation", {"kind": kind, "ns": ns})

    def _look_at_switches(self) -> None:
        self._input(wiring.PLANT_SWITCHES, self.plant.switches(self.now_us))

    def _input(self, mask: int, bits: int) -> None:
        if self._inputs.set(mask, bits):
            for listener in self.listeners:
                if hasattr(listener, "on_inputs"):
                    listener.on_inputs(self.now_us, self.inputs)

    # --- output and listeners

    def _hear(self, data: bytes) -> None:
        """The firmware writes byte by byte; listeners get whole lines, or what came within TELL_US."""
        self.output += data
        if not self._untold:
            self._tell_later.schedule_ticks(TELL_US * TICKS_PER_US)
        self._untold += data
        if data.endswith(b"\n"):
            self._tell_output()

    def _tell_output(self) -> None:
        self._tell_later.cancel()
        if self._untold:
            data = bytes(self._untold)
            self._untold.clear()
            self._conversation.heard(data)
            self._tell_bytes("out", data)

    def tell(self, name: str, fields: dict[str, Any]) -> None:
        for listener in self.listeners:
            if hasattr(listener, "on_event"):
                listener.on_event(self.now_us, name, fields)

    def _tell_bytes(self, direction: str, data: bytes) -> None:
        for listener in self.listeners:
            if hasattr(listener, "on_bytes"):
                listener.on_bytes(self.now_us, direction, data)

    def _refresh_listeners(self) -> None:
        self._on_step = [x.on_step for x in self.listeners if hasattr(x, "on_step")]


def _flash_content(image: bytes, files: bytes | None, partition: bytes | None) -> bytes:
    """What is in flash at the first power-up."""
    content = bytearray(image)
    if files is not None:
        if FILES_START + len(files) > FLASH_BYTES:
            raise ValueError(f"a file system of {len(files)} bytes does not fit behind {FILES_START:#x}")
        content[FILES_START : FILES_START + len(files)] = files
    if partition is not None:
        if len(partition) != PARTITION_BYTES:
            raise ValueError(f"the partition has {PARTITION_BYTES} bytes, not {len(partition)}")
        content[PARTITION_START : PARTITION_START + PARTITION_BYTES] = partition
    return bytes(content)
