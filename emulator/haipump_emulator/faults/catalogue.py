"""The catalogue of faults: one typed class and one name each, for scenarios, the command line and campaigns.

Owns: names, parameters with their ranges, and how a fault begins and ends on a rig. Must not: decide when one comes,
make time pass, or draw random numbers but those of a fault's own `seed`.

A fault is begun with `apply(rig, at_us)` and ended with `end(rig, at_us)`. For what ends by itself (a power cut) `end`
brings the end forward; what can't be taken back (lost steps) stays. `end` may be called twice.
"""

from __future__ import annotations

import dataclasses
import difflib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from haipump_emulator.faults.flash import BREAKAGES, CUT_MODES
from haipump_emulator.link.faults import Drop, Duplicate, FaultFilter, Flip, Insert, Latency
from haipump_emulator.plant.catheter import CONDITIONS, PATENT, put_on
from haipump_emulator.plant.motor import WIRES
from haipump_emulator.plant.params import SENSORS
from haipump_emulator.wiring import inputs
from haipump_fw.proto.messages import TASKS


class FaultError(ValueError):
    """There is no such fault or parameter, or the core can't have it; the message says what there is."""


@dataclass
class Rig:
    """What faults happen to. `line` has a fault filter for each direction, `inbound` and `outbound`; `at(t_us, do)` has
    something done at a later simulated time."""

    core: Any
    line: Any
    at: Callable[[int, Callable[[], None]], None]


def _number(default: int, low: int, high: int, text: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": text})


def _word(default: str, words: tuple[str, ...], text: str) -> Any:
    return field(default=default, metadata={"words": words, "help": text})


@dataclass(frozen=True)
class Fault(ABC):
    """`group` is what it strikes, `lasts` False when it is over as soon as it has begun, `drawn` False when campaigns
    leave it alone: it makes the pump do what it was not told, for as long as it takes to find out, or that takes longer
    than they live, or the pump can't see it."""

    name: ClassVar[str] = ""
    group: ClassVar[str] = ""
    lasts: ClassVar[bool] = True
    drawn: ClassVar[bool] = True
    cores: ClassVar[tuple[str, ...]] = ("direct", "chip")

    @abstractmethod
    def apply(self, rig: Rig, at_us: int) -> None:
        """It strikes, now."""

    def end(self, rig: Rig, at_us: int) -> None:  # noqa: B027 - not abstract: most leave nothing to end
        """Most of the instantaneous ones leave nothing to end."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value, known = getattr(self, item.name), item.metadata
            if "words" in known:
                if value not in known["words"]:
                    raise FaultError(f"{self.name}: {item.name} is one of {', '.join(known['words'])}, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, int) or not known["low"] <= value <= known["high"]:
                raise FaultError(
                    f"{self.name}: {item.name} is a whole number from {known['low']} to {known['high']}, not {value!r}"
                )

    @property
    def place(self) -> str:
        """What it occupies: one that begins at the same place takes its place, and the end of either clears it."""
        return self.name

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        values = [f"{item.name}={getattr(self, item.name)}" for item in dataclasses.fields(self)]
        return " ".join([self.name, *values])


CATALOGUE: dict[str, type[Fault]] = {}
Kind = TypeVar("Kind", bound=Fault)


def _fault(name: str, group: str, **more: Any) -> Callable[[type[Kind]], type[Kind]]:
    def enter(kind: type[Kind]) -> type[Kind]:
        kind.name, kind.group = name, group
        for key, value in more.items():
            setattr(kind, key, value)
        CATALOGUE[name] = kind
        return kind

    return enter


def make(name: str, parameters: dict[str, Any] | None = None) -> Fault:
    """A fault by its name; parameters as numbers or words, or as text that says one. Raises FaultError."""
    kind = CATALOGUE.get(name)
    if kind is None:
        close = difflib.get_close_matches(name, CATALOGUE, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(CATALOGUE)}"
        raise FaultError(f"no fault {name!r}; {hint}")
    known = {item.name: item for item in dataclasses.fields(kind)}
    values = {}
    for key, value in (parameters or {}).items():
        if key not in known:
            raise FaultError(f"{name} has no {key!r}; it has: {', '.join(known) or 'no parameters'}")
        if isinstance(value, str) and "words" not in known[key].metadata:
            try:
                value = int(value)
            except ValueError:
                raise FaultError(f"{name}: {key}={value} is no whole number") from None
        values[key] = value
    return kind(**values)


def parse(text: str) -> Fault:
    """`NAME k=v ...`, as `Fault.text` writes it. Raises FaultError."""
    name, *pairs = text.split() or [""]
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise FaultError(f"{name}: {pair!r} is not of the form parameter=value")
        values[key] = value
    return make(name, values)


# --- sensors ---


class _Sensor(Fault):
    kind: ClassVar[str] = ""

    @property
    def place(self) -> str:
        return f"sensor {self.sensor}"  # type: ignore[attr-defined]

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.sensor(at_us, self.sensor, self.kind, self._value())  # type: ignore[attr-defined]

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.sensor(at_us, self.sensor, "ok")  # type: ignore[attr-defined]

    def _value(self) -> float | None:
        return None


_ANALOGUE = tuple(name for name in SENSORS if name != "switches")


@_fault("sensor_off", "sensors", kind="off")
@dataclass(frozen=True)
class SensorOff(_Sensor):
    """It reads 0, as without its plug."""

    sensor: str = _word("pressure", SENSORS, "which")


@_fault("sensor_stuck", "sensors", kind="stuck")
@dataclass(frozen=True)
class SensorStuck(_Sensor):
    """It goes on saying what it said when the fault began."""

    sensor: str = _word("pressure", SENSORS, "which")


@_fault("sensor_noise", "sensors", kind="noise")
@dataclass(frozen=True)
class SensorNoise(_Sensor):
    """Its noise is so many times what it was."""

    sensor: str = _word("pressure", _ANALOGUE, "which")
    times: int = _number(20, 2, 1_000, "how much noisier")

    def _value(self) -> float:
        return float(self.times)


@_fault("sensor_offset", "sensors", kind="offset")
@dataclass(frozen=True)
class SensorOffset(_Sensor):
    """It is off by so many counts of its port."""

    sensor: str = _word("pressure", _ANALOGUE, "which")
    counts: int = _number(2_000, -65_535, 65_535, "how far")

    def _value(self) -> float:
        return float(self.counts)


@_fault("sensor_slow", "sensors", kind="slow")
@dataclass(frozen=True)
class SensorSlow(_Sensor):
    """It has a new reading only now and then."""

    sensor: str = _word("pressure", _ANALOGUE, "which")
    seconds: int = _number(30, 1, 3_600, "between two readings")

    def _value(self) -> float:
        return float(self.seconds)


@_fault("sensor_intermittent", "sensors", kind="intermittent")
@dataclass(frozen=True)
class SensorIntermittent(_Sensor):
    """Its contact is loose: it reads 0 now and then, for tenths of a second."""

    sensor: str = _word("pressure", SENSORS, "which")
    percent: int = _number(10, 1, 100, "of the time")

    def _value(self) -> float:
        return self.percent / 100


# --- mechanics ---


class _Drive(Fault):
    kind: ClassVar[str] = ""

    @property
    def place(self) -> str:
        return "drive"

    def apply(self, rig: Rig, at_us: int) -> None:
        values = [getattr(self, item.name) for item in dataclasses.fields(self)]  # type: ignore[arg-type]
        rig.core.plant.mechanics(at_us, self.kind, *values)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.mechanics(at_us, "ok")


@_fault("motor_stall", "mechanics", kind="stall")
@dataclass(frozen=True)
class MotorStall(_Drive):
    """The rotor is blocked."""


@_fault("step_loss", "mechanics", kind="loss")
@dataclass(frozen=True)
class StepLoss(_Drive):
    """Some pulses never reach the driver."""

    per_mille: int = _number(100, 1, 1_000, "of them")


@_fault("coupling_slip", "mechanics", kind="slip")
@dataclass(frozen=True)
class CouplingSlip(_Drive):
    """The coupling between motor and screw slips, behind the encoder."""

    per_mille: int = _number(100, 1, 1_000, "of the microsteps")


@_fault("backlash", "mechanics", kind="backlash")
@dataclass(frozen=True)
class Backlash(_Drive):
    """The nut has more play than the pump knows."""

    um: int = _number(300, 1, 1_000, "of play")


class _Wire(Fault):
    wire: ClassVar[str] = ""

    @property
    def place(self) -> str:
        return f"wire {self.wire}"

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.wire(at_us, self.wire, self.what)  # type: ignore[attr-defined]

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.wire(at_us, self.wire, "ok")


@_fault("en_wire", "mechanics", wire="en")
@dataclass(frozen=True)
class EnWire(_Wire):
    """The driver does not see EN as it is."""

    what: str = _word("off", WIRES["en"], "what it sees")


@_fault("dir_wire", "mechanics", wire="dir")
@dataclass(frozen=True)
class DirWire(_Wire):
    """The driver does not see DIR as it is."""

    what: str = _word("flipped", WIRES["dir"], "what it sees")


@_fault("step_wire", "mechanics", wire="step")
@dataclass(frozen=True)
class StepWire(_Wire):
    """The driver does not see the pulses as they are."""

    what: str = _word("open", WIRES["step"], "what it sees")


@_fault("driver_error", "mechanics")
@dataclass(frozen=True)
class DriverError(Fault):
    """The driver shuts itself off and raises DIAG."""

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.driver_fault(at_us, True)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.driver_fault(at_us, False)


# --- fluid ---


@_fault("occlusion", "fluid")
@dataclass(frozen=True)
class Occlusion(Fault):
    """The line is closed behind the pressure sensor, or narrowed."""

    resistance: int = _number(0, 0, 1_000_000, "Pa s/nL in series with the line; 0: closed")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.occlude(at_us, float(self.resistance) or None)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.release(at_us)


@_fault("leak", "fluid")
@dataclass(frozen=True)
class Leak(Fault):
    """The line leaks at the pump's outlet."""

    resistance: int = _number(100, 1, 1_000_000, "Pa s/nL of the leak")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.leak(at_us, float(self.resistance))

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.seal(at_us)


@_fault("siphon", "fluid")
@dataclass(frozen=True)
class Siphon(Fault):
    """The pump is lifted while nothing holds the plunger, so that the syringe can run out by itself."""

    cm: int = _number(80, 1, 300, "pump above the patient")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.height(at_us, self.cm, 2.0)
        rig.core.plant.capture(at_us, False)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.capture(at_us, True)
        rig.core.plant.height(at_us, 0.0, 2.0)


@_fault("air", "fluid")
@dataclass(frozen=True)
class Air(Fault):
    """A bubble in the line, which takes up volume when the pressure rises."""

    nl: int = _number(50_000, 1, 20_000_000, "its volume at ambient pressure")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.air(at_us, self.nl)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.air(at_us, 0)


@_fault("empty", "fluid", lasts=False)
@dataclass(frozen=True)
class Empty(Fault):
    """Somebody has put in a syringe with less in it, and told nobody."""

    left_nl: int = _number(20_000, 0, 1_000_000, "what is in it")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.refill(at_us, self.left_nl)


@_fault("pulsation", "fluid")
@dataclass(frozen=True)
class Pulsation(Fault):
    """The pressure in the artery is another one."""

    mean_pa: int = _number(20_000, -20_000, 50_000, "mean pressure while it lasts")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.artery(at_us, float(self.mean_pa))

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.artery(at_us, rig.core.plant.params.artery.mean_pa)


@_fault("catheter", "fluid", drawn=False)
@dataclass(frozen=True)
class CatheterFault(Fault):
    """Something has become of the catheter in the patient; the end of it puts a sound one in."""

    condition: str = _word("blocked", tuple(CONDITIONS)[1:], "what has become of it")

    def apply(self, rig: Rig, at_us: int) -> None:
        put_on(rig.core.plant, at_us, CONDITIONS[self.condition], rig.core.plant.params.artery.mean_pa)

    def end(self, rig: Rig, at_us: int) -> None:
        put_on(rig.core.plant, at_us, PATENT, rig.core.plant.params.artery.mean_pa)


# --- power ---


@_fault("power_cut", "power", lasts=False)
@dataclass(frozen=True)
class PowerCut(Fault):
    """The power goes and comes back."""

    off_ms: int = _number(1_000, 1, 86_400_000, "how long it is off")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.power(False)
        rig.at(at_us + self.off_ms * 1_000, lambda: rig.core.power(True))

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.power(True)


@_fault("brownouts", "power", lasts=False)
@dataclass(frozen=True)
class Brownouts(Fault):
    """The power goes again and again, at random distances."""

    count: int = _number(10, 1, 1_000, "how often")
    longest_ms: int = _number(5_000, 10, 60_000, "the longest time that it is there in between")
    seed: int = _number(0, 0, 1 << 31, "of the distances")

    def apply(self, rig: Rig, at_us: int) -> None:
        draw = random.Random(self.seed)
        t_us = at_us
        for _ in range(self.count):
            rig.at(t_us, lambda: rig.core.power(False))
            t_us += 10_000 + draw.randrange(200_000)
            rig.at(t_us, lambda: rig.core.power(True))
            t_us += draw.randrange(10_000, self.longest_ms * 1_000 + 1)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.power(True)


@_fault("supply_sag", "power")
@dataclass(frozen=True)
class SupplySag(Fault):
    """The motor's supply falls; below 4 V the driver forgets its phase."""

    mv: int = _number(3_500, 0, 30_000, "voltage while it lasts")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.supply(at_us, self.mv)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.plant.supply(at_us, rig.core.plant.params.environment.supply_mv)


# --- flash ---


@_fault("flash_torn", "flash", lasts=False, cores=("direct",))
@dataclass(frozen=True)
class FlashTorn(Fault):
    """The power goes in the middle of a flash operation to come, and comes back after a second."""

    operation: int = _number(1, 1, 1_000, "in which program or erase from now on")
    mode: str = _word("prefix", CUT_MODES, "what is left of it")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.flash_port.cut_after(self.operation, self.mode)
        self._watch(rig, at_us)

    def _watch(self, rig: Rig, at_us: int) -> None:
        def look() -> None:
            if rig.core.powered:
                if rig.core.flash_port.cut_planned:
                    self._watch(rig, rig.core.now_us)
            else:
                rig.core.power(True)

        rig.at(at_us + 1_000_000, look)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.flash_port.spare()
        rig.core.power(True)


@_fault("flash_bad_block", "flash", cores=("direct",))
@dataclass(frozen=True)
class FlashBadBlock(Fault):
    """A sector of the partition fails."""

    sector: int = _number(4, 0, 63, "which")
    breakage: str = _word("program_error", BREAKAGES, "how")

    @property
    def place(self) -> str:
        return f"sector {self.sector}"

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.flash_port.break_sector(self.sector, self.breakage)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.flash_port.break_sector(self.sector, None)


@_fault("flash_wear", "flash", cores=("direct",))
@dataclass(frozen=True)
class FlashWear(Fault):
    """The flash is worn out: every sector fails when it has been erased so often again."""

    erases: int = _number(1, 0, 100_000, "more than the most worn sector has behind it")
    breakage: str = _word("erase_error", BREAKAGES, "how it fails")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.flash_port.wear_out(max(rig.core.flash_port.erases) + self.erases, self.breakage)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.flash_port.mend()


# --- the clock ---


@_fault("clock_drift", "clock", cores=("direct",))
@dataclass(frozen=True)
class ClockDrift(Fault):
    """The crystal is off, and with it all that is timed by it."""

    ppm: int = _number(2_000, -50_000, 50_000, "too fast")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.drift(self.ppm)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.drift(0)


@_fault("clock_stall", "clock", lasts=False, cores=("direct",))
@dataclass(frozen=True)
class ClockStall(Fault):
    """Something holds the CPU, while time and step machine go on."""

    ms: int = _number(400, 1, 20_000, "for how long")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.stall(self.ms * 1_000)


@_fault("clock_wrap", "clock", lasts=False, cores=("direct",))
@dataclass(frozen=True)
class ClockWrap(Fault):
    """The power goes for a moment, and the tick counter starts so shortly before its wrap."""

    lead_ms: int = _number(1_000, 0, 1_000_000, "before the wrap")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.power(False)
        rig.core.next_ticks_us = (1 << 30) - self.lead_ms * 1_000
        rig.at(at_us + 100_000, lambda: rig.core.power(True))

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.power(True)


# --- the serial line ---


@_fault("line_noise", "line")
@dataclass(frozen=True)
class LineNoise(Fault):
    """Bytes flip, vanish, come twice, late or from nowhere, in both directions."""

    per_million: int = _number(2_000, 1, 1_000_000, "faults in a million bytes")
    seed: int = _number(0, 0, 1 << 31, "of the faults")

    @property
    def place(self) -> str:
        return "bytes"

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.line.inbound = FaultFilter(seed=2 * self.seed, per_million=self.per_million)
        rig.line.outbound = FaultFilter(seed=2 * self.seed + 1, per_million=self.per_million)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.line.inbound = rig.line.outbound = None


@_fault("line_byte", "line")
@dataclass(frozen=True)
class LineByte(Fault):
    """One byte of the host's goes wrong."""

    what: str = _word("flip", ("flip", "drop", "duplicate", "insert"), "what happens to it")
    at: int = _number(10, 0, 100_000, "which, from now on")
    bit: int = _number(0, 0, 7, "of a flip")

    @property
    def place(self) -> str:
        return "bytes"

    def apply(self, rig: Rig, at_us: int) -> None:
        faults = {
            "flip": Flip(self.at, self.bit),
            "drop": Drop(self.at),
            "duplicate": Duplicate(self.at),
            "insert": Insert(self.at),
        }
        rig.line.inbound = FaultFilter([faults[self.what]])

    def end(self, rig: Rig, at_us: int) -> None:
        rig.line.inbound = None


@_fault("line_delay", "line")
@dataclass(frozen=True)
class LineDelay(Fault):
    """Every byte comes late, in both directions."""

    ms: int = _number(300, 1, 60_000, "how late")

    @property
    def place(self) -> str:
        return "bytes"

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.line.inbound, rig.line.outbound = Latency(self.ms * 1_000), Latency(self.ms * 1_000)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.line.inbound = rig.line.outbound = None


@_fault("line_garbage", "line", lasts=False)
@dataclass(frozen=True)
class LineGarbage(Fault):
    """Somebody sends bytes without a meaning. Among them may be the one that stops the pump."""

    chunks: int = _number(20, 1, 100_000, "of 64 bytes, one in 20 ms")
    seed: int = _number(0, 0, 1 << 31, "of the bytes")

    def apply(self, rig: Rig, at_us: int) -> None:
        draw = random.Random(self.seed)
        for number in range(self.chunks):
            data = draw.randbytes(64)
            rig.at(at_us + number * 20_000, lambda data=data: rig.core.send(data))


@_fault("line_reconnects", "line", lasts=False)
@dataclass(frozen=True)
class LineReconnects(Fault):
    """The cable goes out and in again and again."""

    count: int = _number(10, 1, 1_000, "how often")
    longest_ms: int = _number(2_000, 1, 60_000, "the longest time that it is in or out")
    seed: int = _number(0, 0, 1 << 31, "of the times")

    def apply(self, rig: Rig, at_us: int) -> None:
        draw = random.Random(self.seed)
        t_us = at_us
        for number in range(2 * self.count):
            rig.at(t_us, lambda on=number % 2 > 0: setattr(rig.core, "usb_connected", on))
            t_us += draw.randrange(1_000, self.longest_ms * 1_000 + 1_001)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.usb_connected = True


@_fault("line_half_open", "line")
@dataclass(frozen=True)
class LineHalfOpen(Fault):
    """The host no longer reads what the pump says."""

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.host_reads = False

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.host_reads = True


@_fault("line_cut", "line")
@dataclass(frozen=True)
class LineCut(Fault):
    """The cable is out."""

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.usb_connected = False

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.usb_connected = True


# --- the panel ---


def _button(name: str) -> int:
    return next(pin.bit for pin in inputs() if pin.name == name)


@_fault("button_stuck", "panel")
@dataclass(frozen=True)
class ButtonStuck(Fault):
    """A button stays pressed."""

    button: str = _word("silence", ("start", "stop", "silence"), "which")

    @property
    def place(self) -> str:
        return f"button {self.button}"

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.press(_button(self.button), True)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.press(_button(self.button), False)


# --- the firmware ---


@_fault("hang", "firmware", lasts=False, cores=("direct",))
@dataclass(frozen=True)
class Hang(Fault):
    """The firmware hangs at the beginning of a task, until the watchdog bites."""

    task: str = _word("sensors", TASKS[2:], "which")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.hang_at = TASKS.index(self.task)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.hang_at = -1


@_fault("code_damaged", "firmware", drawn=False)
@dataclass(frozen=True)
class CodeDamaged(Fault):
    """A bit of the stored application is wrong. What runs was loaded before and is not touched."""

    bit: int = _number(12_345, 0, 32_767, "which, of the first 4,096 bytes of the application's main file")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.damage_code(self.bit)

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.damage_code(None)


@_fault("runaway", "firmware", lasts=False, drawn=False, cores=("direct",))
@dataclass(frozen=True)
class Runaway(Fault):
    """The step machine makes pulses that nobody queued."""

    steps_per_s: int = _number(100, 1, 2_000, "how fast")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.run_away(self.steps_per_s)


@_fault("heap_exhausted", "firmware", lasts=False, cores=("direct",))
@dataclass(frozen=True)
class HeapExhausted(Fault):
    """The firmware gets no more memory."""

    bytes: int = _number(500, 0, 100_000, "that it still gets")

    def apply(self, rig: Rig, at_us: int) -> None:
        rig.core.starve_bytes = self.bytes

    def end(self, rig: Rig, at_us: int) -> None:
        rig.core.starve_bytes = -1
