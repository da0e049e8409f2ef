"""Alarms against the plan: none without a cause, and none missing that was promised.

Owns: two tables, what may cause each alarm and which faults must have one by when, and their judgement. Must not: draw
faults, or ask the pump: it hears the alarms at the pump's own end of the line, before a fault of the line.

A cause is a fault, or something that people did. It counts from its begin until LINGER_US after its end, for what it
began takes its time; where what it did stays (a syringe with less in it, a flash that failed), for good. That the right
one of several faults caused an alarm is not judged.

A promise is judged only for a fault that stands alone: none has been about for ALONE_US, and no other one begins. It
counts steps of dose in one go of the motor, as the thresholds of supervision do, so it holds at every rate. What is
promised after minutes of flow, after a reset or at rest is left to the tests of detection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from haipump_emulator.campaign.violation import Violation
from haipump_emulator.faults.catalogue import Fault
from haipump_emulator.scenario.host import Event, read_line
from haipump_fw.core.alarms import ALARMS, LATCH, LOOP_TIMES, NAME, STOP, TRAITS

MINUTE_US = 60_000_000
LINGER_US = 30 * MINUTE_US
# Flow is compared over so long at the lowest rates: sixteen times four steps of 100 s each, and somewhat more.
FLOW_US = 150 * MINUTE_US
ALONE_US = 10 * MINUTE_US
# An alarm that began while nobody could hear the pump is told when it has started anew, with all others that wait.
DEAF = ("line_cut", "line_half_open")
TOLD_US = 1_000_000
PASS_US = 300_000  # from a threshold to the words of the alarm
# What such a fault does comes later than its begin, and stays for as long as nobody sees to it.
STAYS = ("flash_torn", "hang", "heap_exhausted", "empty")

_DRIVE = ("motor_stall", "step_loss", "en_wire", "dir_wire", "step_wire", "driver_error", "supply_sag", "@power")
_TURNS = (*_DRIVE, "sensor encoder", "empty", "occlusion", "pulsation")
_RESETS = ("@power", "clock_wrap", "clock_stall", "flash_torn", "hang", "heap_exhausted", "restart")
_BUSY = ("clock_stall", "hang", "heap_exhausted", "@line", "clock_drift", "@flash")
_FLUID = ("occlusion", "leak", "siphon", "air", "empty", "pulsation", "sensor pressure")
# alarm: what may be its cause. A fault by its name, `@group`, or `sensor NAME` for whatever that sensor has.
CAUSES: dict[str, tuple[str, ...]] = {
    "self_test": ("@sensors", "@flash", "supply_sag", "driver_error", "button_stuck", "heap_exhausted", "clock_stall")
    + _FLUID,
    "occlusion": _FLUID,
    "reservoir_empty": ("level",),
    "end_of_travel": ("empty", "sensor switches"),
    "reservoir_low": ("level",),
    "infusion_complete": ("finite",),
    "paused_too_long": ("pause", "button_stuck"),
    "syringe_released": ("siphon", "sensor switches"),
    "driver_error": ("driver_error", "sensor switches", "supply_sag"),
    "motor_stall": _TURNS,
    "step_count": (),
    "storage": ("@flash", "heap_exhausted"),
    "unexpected_reset": ("clock_stall", "hang", "heap_exhausted"),
    "power_lost": _RESETS,
    "steps_late": _BUSY,
    "pressure_sensor": _FLUID,  # suction in a closed line ends the range too
    "over_infusion": _TURNS,
    "under_infusion": _TURNS,
    "upstream_occlusion": ("occlusion", "sensor pressure", "pulsation", "empty", "withdraw"),
    "reverse_delivery": _TURNS,
    "dose_limit": ("dose",),
    "over_temperature": ("sensor temperature",),
    "supply_low": ("sensor supply", "supply_sag", "@power"),
    "supply_failing": ("sensor supply", "supply_sag", "@power"),
    "stuck_key": ("button_stuck",),
    "host_lost": ("@line",),
    "command_errors": ("@line", "forgery", "replay"),
    "input_pending": ("prepare",),
    "alarm_loop": ("stops",),
}
TRAITS_OF = {str(row[NAME]): int(row[TRAITS]) for row in ALARMS}
# These stay as they are until somebody sees to it: a cause (or an alarm, whatever its cause) that counts for good.
FLOW = ("over_infusion", "under_infusion")
SHAFT = (*FLOW, "motor_stall", "reverse_delivery")
FOR_GOOD = ("empty", "storage", "dose", "finite", "pause", "prepare", "stops")


@dataclass(frozen=True)
class Promise:
    """So many steps of dose, or seconds with current in the motor, after `fault` began one of `alarms` is heard."""

    fault: str
    alarms: tuple[str, ...]
    steps: int = 0
    seconds: float = 0.0
    which: Callable[[Fault], bool] = lambda fault: True


# As docs/detection.md states it; a test holds both against each other.
STALL = 64  # steps: four full ones
FALL = 8  # ... and so many may the rotor be ahead of them at first, when it loses its current
NEAR = 8  # half a full one
LOOK = 65  # a look at the sensors comes once in 64 steps at least
DEAD, FROZEN = 2, 17  # looks at a pressure sensor that is off, or stuck


def after(steps: int, looks: int = 1) -> int:
    """Seen at the look after so many steps, and some that wait in a queue; or after so many looks."""
    return steps + 3 + looks * LOOK


def _is(name: str, *values: str) -> Callable[[Fault], bool]:
    return lambda fault: getattr(fault, name) in values


_BEHIND = ("motor_stall", "under_infusion", "reverse_delivery", "over_infusion")
_DEAD = ("pressure_sensor",)
PROMISES = (
    Promise("motor_stall", _BEHIND, after(STALL + 1)),
    Promise("step_wire", _BEHIND, after(STALL + 1), which=_is("what", "open")),
    Promise("step_wire", _BEHIND, after(NEAR + 3), which=_is("what", "double")),
    Promise("step_wire", _BEHIND, after(4 * STALL + 16), which=_is("what", "short")),
    Promise("dir_wire", _BEHIND, after(NEAR + 2), which=_is("what", "flipped", "backward")),
    Promise("en_wire", _BEHIND, after(STALL + FALL + 1), which=_is("what", "off")),
    Promise("step_loss", _BEHIND, after(4 * STALL + 16), which=lambda fault: getattr(fault, "per_mille", 0) >= 250),
    Promise("sensor_off", _BEHIND, after(STALL + 1), which=_is("sensor", "encoder")),
    Promise("sensor_stuck", _BEHIND, after(STALL + 1), which=_is("sensor", "encoder")),
    Promise("sensor_off", _DEAD, after(0, DEAD), which=_is("sensor", "pressure")),
    Promise("sensor_stuck", _DEAD, after(0, FROZEN), which=_is("sensor", "pressure")),
    Promise("driver_error", ("driver_error",), seconds=1.0),
    Promise("siphon", ("syringe_released",), seconds=1.0),
)


def tags(fault: Fault) -> tuple[str, ...]:
    """The words by which CAUSES may name it."""
    sensor = getattr(fault, "sensor", "")
    return (fault.name, f"@{fault.group}", *([f"sensor {sensor}"] if sensor else []))


@dataclass
class Watch:
    """A promise that runs: steps since the fault began or the motor got current, whichever came later."""

    promise: Promise
    from_us: int
    steps: int = 0
    over_us: int = -1


@dataclass
class AlarmJudge:
    """`begin` and `end` tell of faults, `did` of what people do, `hear` of bytes that the pump writes, `motor`, `edge`
    and `check` what `Books` has too. `explained` and `kept` count alarms with a cause and promises that were kept."""

    low: Callable[[str], bool] = lambda name: True  # is there so little left that this alarm is right?
    explained: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    _on: Counter[str] = field(default_factory=Counter)
    _over_us: dict[str, int] = field(default_factory=dict)
    _standing: set[str] = field(default_factory=set)
    _untold: set[str] = field(default_factory=set)
    _boot_us: int = -1  # the first words since the last reset; -1: none yet
    _stops: Counter[str] = field(default_factory=Counter)
    _rest: bytes = b""
    _about: int = 0
    _alone_us: int = 0
    _watch: Watch | None = None
    _enabled: bool = False
    _on_us: int = 0  # when the motor last got current

    # --- causes

    def begin(self, t_us: int, fault: Fault) -> None:
        for tag in tags(fault):
            self._on[tag] += 1
        self._note(t_us)
        alone = not self._about and t_us >= self._alone_us
        self._about += 1
        self._watch = None
        for promise in PROMISES:
            if alone and promise.fault == fault.name and promise.which(fault):
                self._watch = Watch(promise, t_us)
        if not fault.lasts and fault.name not in STAYS:
            self.end(t_us, fault)

    def end(self, t_us: int, fault: Fault) -> None:
        """May be told twice."""
        if not self._on[fault.name]:
            return
        self._note(t_us)
        self._about -= 1
        self._alone_us = t_us + ALONE_US
        self._watch = None
        for tag in tags(fault):
            self._on[tag] -= 1
            self._over_us[tag] = t_us

    def did(self, t_us: int, what: str) -> None:
        """People did something that may cause an alarm."""
        self._over_us[what] = t_us
        self._note(t_us)

    def _note(self, t_us: int) -> None:
        """While the pump can't be heard: what may begin now, and wait for its acknowledgement."""
        if any(self._on[tag] for tag in DEAF):
            self._untold |= {name for name in CAUSES if TRAITS_OF[name] & LATCH and self._caused(name, t_us)}

    def _caused(self, name: str, t_us: int) -> bool:
        lingers_us = FLOW_US if name in FLOW else LINGER_US
        for tag in CAUSES[name]:
            if tag == "level":
                return self.low(name)
            over_us = self._over_us.get(tag)
            if self._on[tag]:
                return True
            if over_us is None:
                continue
            # steps that were lost while the motor has current stay lost until it has none
            since_us = self._on_us if name in SHAFT else t_us
            if since_us <= over_us + lingers_us or tag in FOR_GOOD or name in FOR_GOOD:
                return True
        return False

    # --- what the pump says

    def reset(self) -> None:
        self._rest = b""
        self._enabled = False
        self._boot_us = -1

    def hear(self, t_us: int, data: bytes) -> None:
        """Raises Violation for an alarm that nothing has caused."""
        if self._boot_us < 0:
            self._boot_us = t_us
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"#") and b" alarm " in line:
                event = read_line(line.decode("latin-1"))
                if isinstance(event, Event):
                    self._alarm(t_us, event.fields["alarm"], event.fields["phase"])

    def _alarm(self, t_us: int, name: str, phase: str) -> None:
        if phase == "clear":
            self._standing.discard(name)
            self._untold.discard(name)
        if phase != "active":
            return
        if self._watch is not None and name in self._watch.promise.alarms:
            self.kept[self._watch.promise.fault] += 1
            self._watch = None
        traits = TRAITS_OF[name]
        if traits & STOP:
            self._stops[name] += 1
            if self._stops[name] >= LOOP_TIMES:
                self.did(t_us, "stops")
        # one that waited for its acknowledgement waits after a reset too
        waited = name in self._standing or (name in self._untold and t_us - self._boot_us <= TOLD_US)
        if not waited and not self._caused(name, t_us):
            raise Violation("false_alarm", t_us, f"{name} without a cause")
        self.explained[name] += 1
        if traits & LATCH:
            self._standing.add(name)

    # --- promises

    def motor(self, t_us: int, on: bool) -> None:
        self._enabled = on
        if on:
            self._on_us = t_us
        if self._watch is not None:
            self._watch = Watch(self._watch.promise, t_us)

    def edge(self, t_us: int) -> None:
        """A step of dose."""
        watch = self._watch
        if watch is not None:
            watch.steps += 1
            if watch.over_us < 0 and watch.promise.steps and watch.steps > watch.promise.steps:
                watch.over_us = t_us

    def check(self, t_us: int) -> None:
        """Raises Violation when an alarm is missing."""
        watch = self._watch
        if watch is None or not self._enabled:
            return
        promise = watch.promise
        late = watch.over_us >= 0 and t_us - watch.over_us > PASS_US
        if promise.seconds and t_us - watch.from_us > promise.seconds * 1e6:
            late = True
        if late:
            text = (
                f"{promise.fault} for {watch.steps} steps, {(t_us - watch.from_us) / 1e6:.1f} s of current in the motor"
            )
            raise Violation("undetected", t_us, f"{text}: none of {', '.join(promise.alarms)}")
