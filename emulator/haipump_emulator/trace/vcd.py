"""The pins of a run as a waveform: a value change dump (VCD, IEEE 1364-2005 clause 18) for GTKWave and PulseView.

Owns: which signals there are, the file's form, and how it is written. Must not: change the run, or need its core's
insides: it listens, and looks at the pads of the chip.

Every write to the file ends at the end of a line, so that a file that was cut off by a kill is a whole one up to then.
Nothing in it depends on the machine or the day: equal runs make equal bytes.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from haipump_emulator import wiring

BUFFER_MAX = 1 << 16  # bytes held back
TEXT_MAX = 1_024  # of a string's value: the pump's lines are a quarter of that
PULSE_US = 4  # of STEP on a core that knows only its rising edges
RESET_US = 1  # what takes no time is shown for that long
FIRST_CODE = 33  # codes of signals are the printable characters
SENSORS = ("pressure_raw", "encoder_raw", "supply_mv", "temperature_mc")
_TEXTS = ("usb_out", "usb_in")
_LEVELS = ("0", "1", "z", "z", "z", "z")  # of a pad's states: low, high, and four ways of not being driven
_PULLED = ("0", "1", "z", "1", "0", "z")  # the same with nothing connected to it
_ALL = """
step, dir, en, red, yellow, green, smps: pins as docs/wiring.md names them; z is a pad that the chip does not drive.
  The rig pulls en to 1 then, which turns the motor off.
front, back, captured, diag, service, start, stop, silence: levels at the inputs.
piezo_hz: what the sounder is heard with, 0 for silence.
{sensors}: readings as the firmware's conversions found them, 16 bit, mV and
  thousandths of a degree.
usb_out, usb_in: text on the serial line, told when its last byte has passed; \\x20 is a space.
power: 1 while there is a supply. reset: 1 without power, and for 1 us when the chip is reset.
""".format(sensors=", ".join(SENSORS))
_CHIP = "Times are the chip's own: edges at the nanosecond, piezo_hz up to 1 ms late."
_DIRECT = """The firmware ran on the `direct` core, which knows less of the pins than the chip: the width of step
(4 us here), levels of dir between steps, pads that float, smps and what the pulls do at boot are not known. Times are
microseconds; run it on the chip for the others."""


class VcdFile:
    """`signals` are (kind, code, name): "wire", "real" or "string"; `initial` is a line for each of them.

    `change(t, line)` adds one change at time `t`; one in the past counts as now. Raises OSError.
    """

    def __init__(
        self,
        path: Path,
        timescale: str,
        comment: str,
        signals: list[tuple[str, str, str]],
        start: int,
        initial: list[str],
    ) -> None:
        self._file = path.open("wb", buffering=0)
        self._size = 0
        self._time = start
        sizes = {"wire": 1, "real": 64, "string": 1}
        self._lines = [
            f"$version haipump {_version()} $end",
            f"$comment\n{comment.strip()}\n$end",
            f"$timescale {timescale} $end",
            "$scope module pump $end",
            *(f"$var {kind} {sizes[kind]} {code} {name} $end" for kind, code, name in signals),
            "$upscope $end",
            "$enddefinitions $end",
            f"#{start}",
            "$dumpvars",
            *initial,
            "$end",
        ]

    def change(self, t: int, line: str) -> None:
        if t > self._time:
            self._time = t
            line = f"#{t}\n{line}"
        self._lines.append(line)
        self._size += len(line) + 1
        if self._size >= BUFFER_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand what is held back to the system, in one piece."""
        if self._lines:
            self._file.write(("\n".join(self._lines) + "\n").encode("ascii"))
            self._lines.clear()
            self._size = 0

    def close(self, t: int) -> None:
        """The file ends at time `t`."""
        if t > self._time:
            self._lines.append(f"#{t}")
        self.flush()
        self._file.close()


def _version() -> str:
    try:
        return importlib.metadata.version("haipump")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # a checkout that was never installed


def escaped(data: bytes) -> str:
    """Bytes as a string value: printable, without a space. The end of a line that ends them is left out."""
    text = data.rstrip(b"\r\n").decode("latin-1")[:TEXT_MAX]
    return "".join(c if "!" <= c <= "~" and c != "\\" else f"\\x{ord(c):02x}" for c in text)


class Waveform:
    """Writes the pins of `core` to `path` from now on until `close`. A service of the loop, which keeps the file up to
    date for somebody who looks into it, or kills the emulator. Raises OSError."""

    def __init__(self, core: Any, path: str | Path) -> None:
        self._core = core
        self._chip = hasattr(core, "mcu")
        self._scale = 1 if self._chip else 1_000  # ns of one unit of time
        self._wires = wiring.outputs()
        self._inputs = wiring.inputs()
        self._bits = core.inputs
        self._levels: dict[str, str] = dict.fromkeys((*self._wires, *(pin.name for pin in self._inputs)), "z")
        self._levels |= {"power": str(int(core.powered)), "reset": str(int(not core.powered))}
        self._values: dict[str, int] = dict.fromkeys(("piezo_hz", *SENSORS), 0)
        self._due: list[tuple[int, str, str]] = []  # time, name and level of ends of pulses, in their order
        self._codes = {name: chr(FIRST_CODE + n) for n, name in enumerate((*self._levels, *self._values, *_TEXTS))}
        self._file: VcdFile | None = None
        if self._chip:
            if core.mcu is not None:
                self.on_chip(core.mcu)
        else:
            self.on_step = self._pulse
            self._look()
        self._file = self._begin(Path(path))
        self._taps = [name for name in SENSORS if self._tap(name)]
        core.listeners.append(self)
        if core.output:  # what the pump said while it booted
            self.on_bytes(core.now_us, "out", bytes(core.output))

    def _begin(self, path: Path) -> VcdFile:
        codes = self._codes
        kinds = [("wire", self._levels), ("real", self._values), ("string", _TEXTS)]
        signals = [(kind, codes[name], name) for kind, names in kinds for name in names]
        initial = [f"{level}{codes[name]}" for name, level in self._levels.items()]
        initial += [f"r0 {codes[name]}" for name in self._values]
        initial += [f"s {codes[name]}" for name in _TEXTS]
        scale, known = ("1 ns", _CHIP) if self._chip else ("1 us", _DIRECT)
        return VcdFile(path, scale, f"{_ALL}{known}", signals, self._now(), initial)

    # --- what the core tells ---

    def on_chip(self, mcu: Any) -> None:
        """The chip was powered: look at its pads from now on."""
        for name in self._wires:
            mcu.gpio[wiring.gpio(name)].add_listener(self._output(name))
        for pin in self._inputs:
            mcu.gpio[pin.gpio].add_listener(lambda value, last: self._look_at_inputs())
        self._level("reset", "0")
        self._look()

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name == "tone":
            self._real("piezo_hz", fields["frequency_hz"])
        elif name == "power":
            self._level("power", str(fields["on"]))
            self._level("reset", str(1 - fields["on"]))
            if fields["on"]:
                self._look()
            else:
                for wire in (*self._wires, *(pin.name for pin in self._inputs)):
                    self._level(wire, "z")
        elif name == "reset":
            self._level("reset", "1")
            self._later("reset", "0", RESET_US)
            self._look()
        elif not self._chip and name == "enable":
            self._level("en", self._active("en", fields["on"]))
        elif not self._chip and name == "led":
            for lamp, on in fields.items():
                self._level(lamp, self._active(lamp, on))

    def on_inputs(self, t_us: int, bits: int) -> None:
        self._bits = bits
        self._look_at_inputs()

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        self._write(f"s{escaped(data)} {self._codes[f'usb_{direction}']}")

    def _pulse(self, t_us: int, direction: int) -> None:
        """A step, on a core that knows no pads."""
        self._level("dir", self._active("dir", direction > 0), t_us)
        self._level("step", "1", t_us)
        self._later("step", "0", PULSE_US, t_us)

    # --- what it looks at ---

    def _output(self, name: str) -> Callable[[int, int], None]:
        """The listener of one pad. The hot path: STEP moves two thousand times a second."""
        lines = tuple(level + self._codes[name] for level in _LEVELS)
        levels = self._levels

        def moved(value: int, last: int) -> None:
            level = _LEVELS[value]
            if level != levels[name]:
                levels[name] = level
                self._write(lines[value])

        return moved

    def _look(self) -> None:
        """At all pads: a reset lets go of them without a word."""
        if self._chip and self._core.mcu is not None:
            for name in self._wires:
                self._level(name, _LEVELS[self._core.mcu.gpio[wiring.gpio(name)].value])
        self._look_at_inputs()

    def _look_at_inputs(self) -> None:
        if not self._core.powered:
            return
        for pin in self._inputs:
            level = str(pin.active if self._bits & pin.bit else 1 - pin.active)
            if self._chip and level == "1" and pin.pull == "up":  # an open contact: the pad's pull decides
                level = _PULLED[self._core.mcu.gpio[pin.gpio].value]
            self._level(pin.name, level)

    def _tap(self, name: str) -> bool:
        """Hear what `name` of the plant answers. It is asked at the instant of a conversion."""
        plant = self._core.plant
        if not hasattr(plant, name):
            return False
        original = getattr(plant, name)

        def tapped(t_us: int) -> int:
            value = original(t_us)
            self._real(name, value)
            return value

        setattr(plant, name, tapped)  # an instance attribute: the class is left alone
        return True

    # --- writing ---

    def _now(self) -> int:
        return self._core.now_ns if self._chip else self._core.now_us

    def _active(self, name: str, on: object) -> str:
        return str(wiring.active(name) if on else 1 - wiring.active(name))

    def _level(self, name: str, level: str, t: int | None = None) -> None:
        t = self._now() if t is None else t
        self._end_pulses(t)
        if level != self._levels[name]:
            self._levels[name] = level
            self._write(level + self._codes[name], t)

    def _real(self, name: str, value: int) -> None:
        if value != self._values[name]:
            self._values[name] = value
            self._write(f"r{value} {self._codes[name]}")

    def _later(self, name: str, level: str, us: int, t: int | None = None) -> None:
        """The end of a pulse; it is written with the first change after it."""
        t = (self._now() if t is None else t) + us * 1_000 // self._scale
        self._due.append((t, name, level))

    def _write(self, line: str, t: int | None = None) -> None:
        if self._file is None:
            return
        t = self._now() if t is None else t
        self._end_pulses(t)
        self._file.change(t, line)

    def _end_pulses(self, t: int) -> None:
        if not self._due:
            return
        ended = [due for due in self._due if due[0] <= t]
        self._due = [due for due in self._due if due[0] > t]
        for at, name, level in ended:
            self._level(name, level, at)

    # --- service of the loop, and the end ---

    def wait_on(self) -> tuple[list[Any], list[Any]]:
        return [], []

    def serve(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """End the file and leave the core alone; safe to call twice."""
        if self._file is None:
            return
        now = self._now()
        self._end_pulses(now)
        self._core.listeners.remove(self)
        for name in self._taps:
            delattr(self._core.plant, name)
        self._file.close(now)
        self._file = None
