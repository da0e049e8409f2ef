"""What the firmware's work costs on the emulated chip: measured, and written into the table of `direct`.

Owns: the guest that measures, and the table's form. Must not: decide what `direct` charges, or when.

`make costs` (`python -m tools.measure_costs`) measures anew and writes emulator/haipump_emulator/direct/costs.py.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from haipump_emulator import cores
from haipump_emulator.chip import ChipCore, firmware, image
from haipump_emulator.direct import DirectCore, costs
from haipump_emulator.plant import Plant
from haipump_emulator.scenario.host import seal
from haipump_fw.device import Shipped, shipped
from tools.measure_stop import Driver

TABLE = Path(str(costs.__file__))
TOLERANCE = 0.2  # of the value; another compiler or a small change of the firmware must not make the table wrong
FINEST = 5  # below this many units nothing is wrong
# ... and of the work on a line: it depends on where in a pass of the loop the line comes
FINEST_OF_LINES = 1_500
GUEST_US = 10_000_000
HOST_BYTES = 256
BOOT_US = 3_000_000
TALK_US = 400_000  # from one question to the next
READS = ("status", "clock", "totals")
PLANS = (
    "prepare_syringe reservoir_nl=20000000 step_fl=231147588 bore_um=21700 syringe_nl=30000000",
    "prepare_rate rate_nl_per_day=80000000",
    "prepare_rate rate_nl_per_day=90000000",
    "prepare_bolus volume_nl=10000 duration_s=5",
    "pause",
    "resume",
    "stop",
)
# Ports alone, then passes of the real loop, at rest and at four steps a second. The host sends bytes when it is asked.
GUEST = """
import gc, time
time.sleep_ms(200)
from array import array
from micropython import kbd_intr
from haipump_fw.ports.rp2.board import make_ports
ports = make_ports()
from haipump_fw.app import App
gc.threshold(-1)
app = App(ports)

def tell(name, value):
    print("cost", name, value)
    time.sleep_ms(20)

def clock(name, count, call, *args):
    best = 1 << 29
    for _ in range(5):
        began = time.ticks_us()
        for _ in range(count):
            call(*args)
        best = min(best, time.ticks_diff(time.ticks_us(), began))
    began = time.ticks_us()
    for _ in range(count):
        pass
    tell(name, (best - time.ticks_diff(time.ticks_us(), began)) // count)

flash = ports.flash
clock("FLASH_READ_US", 20, flash.read, 0, bytearray(256))
last = flash.size - flash.sector
began = time.ticks_us(); flash.erase(last); tell("ERASE_US", time.ticks_diff(time.ticks_us(), began))
began = time.ticks_us(); flash.program(last, b"x"); tell("PROGRAM_US", time.ticks_diff(time.ticks_us(), began))
page = bytes(256)
began = time.ticks_us(); flash.program(last + 256, page); tell("program_256", time.ticks_diff(time.ticks_us(), began))
flash.erase(last)
clock("ADC_US", 20, ports.sensors.pressure_raw)
clock("ODOMETER_US", 20, ports.steps.odometer)
gc.collect()
tell("HEAP_BYTES", gc.mem_free())
began = time.ticks_us(); gc.collect(); tell("COLLECT_US", time.ticks_diff(time.ticks_us(), began))
began = time.ticks_us(); gc.mem_free(); tell("HEAP_FREE_US", time.ticks_diff(time.ticks_us(), began))
free = gc.mem_free()
began = time.ticks_us()
from haipump_fw import configuration
tell("MODULE_US", time.ticks_diff(time.ticks_us(), began))
tell("ALLOCATED_PER_MODULE", free - gc.mem_free())
ports.system.forget(configuration)
del configuration
gc.collect()
tell("kept", free - gc.mem_free())
began = time.ticks_us(); ports.system.check_code(None); tell("code", time.ticks_diff(time.ticks_us(), began))
gc.collect()
text = bytearray(b"." * 63 + b"\\n")
began = time.ticks_us(); ports.console.write(text, 0, 64); tell("out_64", time.ticks_diff(time.ticks_us(), began))
kbd_intr(-1)
tell("send", 256)
time.sleep_ms(100)
buf = bytearray(64)
began = time.ticks_us()
for _ in range(4):
    count = ports.console.readinto(buf)
tell("in_256", time.ticks_diff(time.ticks_us(), began))
passes = total = 0
while True:
    began = time.ticks_us()
    sleep = app.step()
    total += time.ticks_diff(time.ticks_us(), began)
    passes += 1
    if passes == 16:
        print("cost pass", total // 16)
        passes = total = 0
    ports.wait(sleep)
"""


def guest_uf2(interpreter: Path) -> bytes:
    """The pump's UF2 with the measuring program in the place of main.py."""
    return firmware.combine(interpreter, Shipped({**shipped().files, "main.py": GUEST.encode()}))


class Guest:
    """`heard(name)`: what the guest told last under that name."""

    def __init__(self, interpreter: Path) -> None:
        self.core = ChipCore(Plant(seed=1), image=guest_uf2(interpreter), seed=1)
        self._text = ""

    def run(self, us: int) -> None:
        end_us = self.core.now_us + us
        while self.core.now_us < end_us:
            self.core.run_until(min(end_us, self.core.now_us + 10_000))
            self._text += self.core.output.decode("latin-1")
            self.core.output.clear()

    def wait_for(self, name: str) -> int:
        """RuntimeError when the guest does not tell it."""
        end_us = self.core.now_us + GUEST_US
        while self.core.now_us < end_us:
            self.run(10_000)
            found = re.findall(rf"^cost {name} (\d+)\r?$", self._text, re.MULTILINE)
            if found:
                return int(found[-1])
        raise RuntimeError(f"the guest does not tell {name}: {self._text[-300:]!r}")

    def forget(self) -> None:
        self._text = ""


def ports_alone(guest: Guest) -> Iterator[tuple[str, int]]:
    """(name in the table, value) of everything that the guest measures before its loop begins."""
    for name in ("FLASH_READ_US", "ERASE_US", "PROGRAM_US", "ADC_US", "ODOMETER_US", "HEAP_BYTES"):
        yield name, guest.wait_for(name)
    yield "COLLECT_US", guest.wait_for("COLLECT_US")
    yield "HEAP_FREE_US", guest.wait_for("HEAP_FREE_US")
    module_us = guest.wait_for("MODULE_US")
    yield "MODULE_US", module_us
    yield "CODE_FILE_US", (guest.wait_for("code") - module_us) // len(shipped().files)
    yield "ALLOCATED_PER_MODULE", guest.wait_for("ALLOCATED_PER_MODULE")
    yield "PROGRAM_BYTE_US", (guest.wait_for("program_256") - guest.wait_for("PROGRAM_US")) // 255
    yield "CONSOLE_OUT_US", guest.wait_for("out_64") // 64
    guest.wait_for("send")
    guest.core.send(b"\n" * HOST_BYTES)
    yield "CONSOLE_IN_US", guest.wait_for("in_256") // HOST_BYTES


# --- what the loop's own Python costs, beside the ports


def in_motion(guest: Guest) -> int:
    """Microseconds of a pass while steps are made."""
    driver = Driver(guest.core)
    driver.load(30, 231_147_588, 21_700)
    driver.order("prepare_rate rate_nl_per_day=80000000")
    guest.forget()
    guest.run(6_000_000)
    return guest.wait_for("pass")


class Talk:
    """A host with a stopwatch; `core` has booted."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self._number = 0
        core.run_until(BOOT_US)

    def ask(self, text: str) -> tuple[int, str]:
        """(microseconds from the question to the last byte of its answer, the answer)."""
        self._number += 1
        core, began_us = self.core, self.core.now_us
        core.output.clear()
        core.send(seal(f"@{self._number} {text}"))
        while b"@" not in core.output or not core.output.endswith(b"\n"):
            core.run_until(core.now_us + 100)
        took_us, answer = core.now_us - began_us, core.output.decode()
        core.run_until(began_us + TALK_US)
        return took_us, answer

    def allocated_per_byte(self) -> int:
        """Bytes of heap that a byte of a question or an answer costs, median of some; a collection falls out of it."""
        said = [self.ask("info")[1] for _ in range(8)]
        free = [int(answer.split("heap_free=")[1].split()[0]) for answer in said]
        each = len(said[0]) + len("@1 info *01234567\n")
        return round(statistics.median((a - b) / each for a, b in itertools.pairwise(free)))

    def times(self) -> tuple[list[int], list[int]]:
        """Times of lines that read, and of lines that plan."""
        reads = [self.ask(verb)[0] for verb in READS for _ in range(2)]
        plans = []
        for text in PLANS:
            took_us, answer = self.ask(text)
            plans.append(took_us)
            if "token=" in answer:
                plans.append(self.ask("commit token=" + answer.split("token=")[1].split()[0])[0])
        return reads, plans


def conversation(recipe: cores.Recipe, so_far: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """(name, value) of what is left when `direct` charges everything else as measured: the work on lines."""
    talk = Talk(recipe.make(Plant(seed=1), seed=1))
    yield "ALLOCATED_PER_BYTE", talk.allocated_per_byte()
    chip = talk.times()
    charged = dict(so_far) | {"LINE_US": 0, "PLAN_US": 0}
    for name, group in (("LINE_US", 0), ("PLAN_US", 1)):
        with patched(charged):
            direct = Talk(DirectCore(Plant(seed=1), seed=1)).times()
        charged[name] = round(statistics.median(a - b for a, b in zip(chip[group], direct[group], strict=True)))
        yield name, charged[name]


@contextlib.contextmanager
def patched(values: Mapping[str, int]) -> Iterator[None]:
    """The table with other numbers."""
    before = {name: getattr(costs, name) for name in values}
    for name, value in values.items():
        setattr(costs, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(costs, name, value)


def measure() -> dict[str, int]:
    """The whole table. Raises RuntimeError where there is no image."""
    interpreter = image.find()
    if interpreter is None:
        raise RuntimeError(f"there is no MicroPython image: {image.HOW_TO_GET_ONE}")
    guest = Guest(interpreter)
    found = dict(ports_alone(guest))
    looks = 2 * found["ADC_US"] + found["ODOMETER_US"]  # what a pass with supervision is charged by its ports
    found["PASS_US"] = in_motion(guest) - looks
    found.update(conversation(cores.choose(cores.CHIP), found))
    return found


# --- the table


def off(found: Mapping[str, int]) -> list[str]:
    """One line for each number of the table that is off by more than TOLERANCE."""
    return [
        f"{name} is {getattr(costs, name)} in the table, but {value} on the chip: make costs"
        for name, value in found.items()
        if abs(getattr(costs, name) - value)
        > max(FINEST_OF_LINES if name in ("LINE_US", "PLAN_US") else FINEST, value * TOLERANCE)
    ]


def written(text: str, found: Mapping[str, int]) -> str:
    """The table's text with these numbers."""
    for name, value in found.items():
        text, count = re.subn(rf"^{name} = [0-9_]+", f"{name} = {value:_}", text, flags=re.MULTILINE)
        if count != 1:
            raise RuntimeError(f"{TABLE} has no line for {name}")
    return text


def main() -> int:
    """Measure and write; says what has changed."""
    found = measure()
    for line in off(found):
        print(line)
    TABLE.write_text(written(TABLE.read_text(encoding="utf-8"), found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
