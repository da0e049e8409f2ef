"""A pump on the emulated chip, and a host in simulated time that talks to it by lines.

Owns: the form of a line, the syringes, and the record of edges, EN and what was said. Must not: know what is tested.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from haipump_emulator.chip import ChipCore, firmware
from haipump_emulator.plant import Plant, PlantParams, for_syringe
from haipump_fw.device import Shipped

US_PER_S = 1_000_000
BOOT_MAX_US = 4 * US_PER_S
ANSWER_MAX_US = 2 * US_PER_S
LOOK_US = 250

STEP_FL = 231_147_588  # 30 mL, lead 2 mm, 3,200 microsteps
SMALL_STEP_FL = 11_215_674  # 1 mL: at 2,000 steps/s a larger one would be an occlusion by the line's resistance
SYRINGES = {30: (STEP_FL, 21_700), 10: (103_203_000, 14_500), 1: (SMALL_STEP_FL, 4_780)}
TOP_NL_PER_DAY = 2_000 * SMALL_STEP_FL * 86_400 // 1_000_000  # 2,000 steps/s with the small one
SCRATCH3 = 0x40058018  # the firmware does not use it


def uf2_with(image: Path, ships: Shipped, main: str) -> bytes:
    """The pump's UF2 with another main.py."""
    files: Mapping[str, bytes] = {**ships.files, "main.py": main.encode()}
    return firmware.combine(image, Shipped(files))


class ChipPump:
    """`steps`: (ns, direction) of each edge at the pad while EN is on (the self test makes some without); `enables`:
    (us, on) of EN; `told`: other events of the core. Comes up with the boot behind it; `size_ml` is the syringe of the
    plant."""

    def __init__(self, uf2: Path | bytes, size_ml: int = 30, params: PlantParams | None = None, **options: Any) -> None:
        options.setdefault("seed", 1)
        params = params or for_syringe(size_ml)
        self.core = ChipCore(Plant(params, seed=1), image=uf2, **options)
        self.size_ml = size_ml
        self.steps: list[tuple[int, int]] = []
        self.enables: list[tuple[int, int]] = []
        self.told: list[tuple[int, str, dict[str, Any]]] = []
        self.text = ""  # what was heard since the last question
        self.transcript = ""
        self.next_id = 1
        self.core.listeners.append(self)
        self.start()

    # --- what is heard

    def on_step(self, t_us: int, direction: int) -> None:
        if self.enables and self.enables[-1][1]:
            self.steps.append((self.core.now_ns, direction))

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name == "enable":
            self.enables.append((t_us, fields["on"]))
        else:
            self.told.append((t_us, name, fields))

    @property
    def now_us(self) -> int:
        return self.core.now_us

    def run(self, seconds: float) -> None:
        self.run_us(round(seconds * US_PER_S))

    def run_us(self, us: int) -> None:
        self.core.run_until(self.core.now_us + us)
        self._listen()

    def _listen(self) -> None:
        heard = self.core.output.decode()
        self.text += heard
        self.transcript += heard
        self.core.output.clear()

    def off_after_us(self, began_us: int) -> int:
        """Time from `began_us` to EN off at the pad, -1: it is on."""
        return next((t - began_us for t, on in self.enables if t >= began_us and not on), -1)

    # --- lines

    def start(self) -> dict[str, str]:
        """Wait for the end of the boot, and make sure of the next id. Returns what the boot event said."""
        story = self.wait_for(r"^#\d+ boot (.*) \*", BOOT_MAX_US)
        self.next_id = int(self.ask("hello", signed=False)["next_id"])
        return fields(story)

    def wait_for(self, pattern: str, within_us: int) -> str:
        """What the group of `pattern` matches in what is said from now on (what was heard before is forgotten)."""
        self.text = ""
        until = self.core.now_us + within_us
        while self.core.now_us < until:
            self.run_us(LOOK_US)
            found = re.search(pattern, self.text, re.MULTILINE)
            if found:
                return found[1]
        raise AssertionError(f"no {pattern} within {within_us} us, but {self.text!r}")

    def signed(self, line: str) -> bytes:
        """The bytes of an order."""
        line = f"@{self.next_id} {line}"
        self.next_id += 1
        return f"{line} *{binascii.crc32(line.encode()):08x}\n".encode()

    def ask(self, line: str, signed: bool = True) -> dict[str, str]:
        """The fields of the answer; `ok` or `err` is the field "answer"."""
        data = self.signed(line) if signed else line.encode() + b"\n"
        assert self.core.send(data) == len(data)
        answer = self.wait_for(r"^(?:@\d+ )?((?:ok|err) .*) \*[0-9a-f]{8}\r?$", ANSWER_MAX_US)
        return {"answer": answer.split()[0], **fields(answer)}

    def order(self, line: str) -> dict[str, str]:
        """Prepare and commit. AssertionError when the pump refuses."""
        answer = self.ask(line)
        if "token" in answer:
            answer = self.ask("commit token=" + answer["token"])
        assert answer["answer"] == "ok", (line, answer)
        return answer

    def load(self) -> None:
        """Load a full syringe."""
        step_fl, bore_um = SYRINGES[self.size_ml]
        volume = self.size_ml * 1_000_000
        self.order(f"prepare_syringe reservoir_nl={volume} step_fl={step_fl} bore_um={bore_um} syringe_nl={volume}")

    # --- books

    def ledger_agrees(self) -> None:
        """At rest: edges at the pad, the chip's odometer and the pump's books are the same number."""
        report = self.core.check()
        totals = self.ask("totals", signed=False)
        step_fl, _ = SYRINGES[self.size_ml]
        booked_nl = int(totals["stepped_nl"]) + int(totals["primed_nl"]) - int(totals["withdrawn_nl"])
        assert booked_nl == (report.forward - report.backward) * step_fl // 1_000_000, totals


def fields(text: str) -> dict[str, str]:
    """name=value pairs."""
    return dict(pair.split("=", 1) for pair in text.split() if "=" in pair)
