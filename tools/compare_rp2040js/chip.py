"""One run of a guest on our emulated chip: `python -m tools.compare_rp2040js.chip FLASH LIMIT_S`.

Owns: our half of what js/main.js does for rp2040js, with the same marks and the same output. Must not: do anything that
the other half does not; both look at the same two pads and record the same.

The guest raises pad MARK when it begins and lowers it when it is done. Then a line of JSON is printed (the fields of
`cases.Run`). Ends with exit code 1 and a reason when the guest is not done after LIMIT_S simulated seconds.
"""

import json
import sys
import time
from pathlib import Path

from haipump_emulator.chip.pico import TICKS_PER_US, Pico
from haipump_emulator.chip.usb import Console

STEP, MARK = 2, 14  # not 15: TinyUSB takes that pad for a while (erratum E5)
_TAIL = 300  # characters of the guest's output that a failure shows


class Recorder:
    """What the two pads do, in simulated and in wall time. `started_s`: when the emulator began to come into being."""

    def __init__(self, pico: Pico, started_s: float) -> None:
        self._pico = pico
        self._clock = pico.clock
        self._started_s = started_s
        self._rise: int | None = None
        self._pulses = 0
        self._shortest, self._longest = sys.maxsize, 0
        self.result: dict[str, float | int] | None = None
        pico.mcu.gpio[MARK].add_listener(self._mark_moved)
        pico.mcu.gpio[STEP].add_listener(self._step_moved)

    def _mark_moved(self, value: int, last: int) -> None:
        if int(value) == 1:
            self._boot_s = time.perf_counter() - self._started_s
            self._began_at = time.time()
            self._began = self._clock.ticks
            self._began_s = time.perf_counter()
        elif int(value) == 0 and int(last) == 1:
            wall_s = time.perf_counter() - self._began_s
            self.result = {
                "began_at": self._began_at,
                "boot_s": self._boot_s,
                "wall_s": wall_s,
                "simulated_ns": (self._clock.ticks - self._began) // 16,
                "pulses": self._pulses,
                "shortest_ns": self._shortest / 16 if self._pulses > 1 else 0,
                "longest_ns": self._longest / 16,
                "late": self._pico.backlog_drops,
            }
            self._pico.stop()

    def _step_moved(self, value: int, last: int) -> None:
        if int(value) != 1:
            return
        now = self._clock.ticks
        self._pulses += 1
        if self._rise is not None:
            period = now - self._rise
            self._shortest = min(self._shortest, period)
            self._longest = max(self._longest, period)
        self._rise = now


def _reset(by_watchdog: bool) -> None:
    raise SystemExit("the chip was reset, which no guest asks for")


def _locked_up(address: int, reason: str) -> None:
    raise SystemExit(f"the CPU locked up at {address:#x}: {reason}")


def run(flash: bytes, limit_s: float, started_s: float) -> dict[str, float | int]:
    """Run the guest in `flash` to its end. Raises SystemExit when it does not come to one."""
    pico = Pico(_reset, _locked_up)
    pico.mcu.flash[: len(flash)] = flash
    output = bytearray()
    Console(pico.mcu, output.extend, connected=True, reads=True)
    recorder = Recorder(pico, started_s)
    pico.start()
    pico.run_until(round(limit_s * 1_000_000) * TICKS_PER_US)
    if recorder.result is None:
        raise SystemExit(f"not done after {limit_s} simulated s; the guest wrote: {output[-_TAIL:].decode()!r}")
    return recorder.result


def main(flash: str, limit_s: str) -> None:
    """As a program; the arguments as the command line has them."""
    print(json.dumps(run(Path(flash).read_bytes(), float(limit_s), time.perf_counter())))


if __name__ == "__main__":
    main(*sys.argv[1:])
