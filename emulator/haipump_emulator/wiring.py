"""Which pin is what, for the emulated side: the board's own table and the bits of its inputs.

Owns: the way to the table. Must not: hold a pin number of its own.
"""

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

from haipump_fw import ports
from haipump_fw.ports.rp2 import pins

LED_NAMES = ("red", "yellow", "green")
PLANT_SWITCHES = ports.IN_FRONT | ports.IN_BACK | ports.IN_CAPTURED | ports.IN_DIAG
ADC_FIRST_GPIO = 26  # GPIO 26 is channel 0 of the chip's ADC
TEMPERATURE_CHANNEL = int(pins.TEMPERATURE_CHANNEL)


@dataclass(frozen=True)
class InputPin:
    """One input: `bit` is its IN_ bit, `active` the level on the wire at which the bit is 1, `pull` "up" or "down"."""

    name: str
    bit: int
    gpio: int
    active: int
    pull: str


def gpio(name: str) -> int:
    """GPIO number; KeyError for an unknown name."""
    return pins.gpio(name)


def active(name: str) -> int:
    """The level, 0 or 1, at which a pin is active; for `dir` the level of direction +1."""
    return pins.active(name)


def outputs() -> tuple[str, ...]:
    """Names of the pins with a level that the chip drives; the piezo's is a square wave."""
    return tuple(str(row[pins.NAME]) for row in pins.PINS if row[pins.KIND] in ("pio", "out"))


def adc_channel(name: str) -> int:
    """Channel of the chip's ADC."""
    return pins.gpio(name) - ADC_FIRST_GPIO


@functools.cache
def scratch(name: str) -> int:
    """A constant of the board's table of scratch registers. It is read as text: the file needs a board to be imported.
    KeyError for an unknown name."""
    tree = ast.parse(Path(pins.__file__).with_name("scratch.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.targets[0]) == name:
            return int(ast.literal_eval(node.value.args[0]))
    raise KeyError(name)


def inputs() -> tuple[InputPin, ...]:
    """All inputs in the order of their IN_ bits."""
    rows = [row for row in pins.PINS if row[pins.KIND] == "in"]
    return tuple(
        InputPin(str(row[pins.NAME]), 1 << n, int(row[pins.GPIO]), int(row[pins.ACTIVE]), str(row[pins.PULL]))
        for n, row in enumerate(rows)
    )
