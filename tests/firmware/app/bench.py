"""A pump on the direct core with a host on its serial line, for the tests of the application.

Owns: ids, checksums, waiting in simulated time, and a record of everything that can be seen from outside. Must not:
reach into the application to make anything happen; tests that do so (faults) do it themselves, visibly.
"""

from __future__ import annotations

import binascii
import functools
import pickle
from typing import Any

from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant, PlantParams
from haipump_fw.proto.messages import SOURCES
from haipump_fw.store import records

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
STEP_FL = 231_144_000  # 30 mL on T8x2 at 1/16
SYRINGE_NL = 30_000_000
ANSWER_WITHIN_US = 2 * SECOND
LOAD = "prepare_syringe reservoir_nl=%d step_fl=%d syringe_nl=%d bore_um=%d"


def frame(number: int, text: str) -> bytes:
    """A line with id and checksum, as it goes over the wire."""
    line = f"@{number} {text}".encode()
    return line + b" *%08x\n" % binascii.crc32(line)


def parse(line: str) -> dict[str, Any]:
    """The words of an answer or event after its head; numbers as int, unless the name says that it is hex."""
    found: dict[str, Any] = {}
    for word in line.split():
        if "=" in word:
            name, _, value = word.partition("=")
            plain = value.lstrip("-").isdigit() and name not in ("token", "hash", "nonce", "device", "app_hash", "data")
            found[name] = int(value) if plain else value
    return found


@functools.cache
def _plant(params: PlantParams | None, seed: int) -> bytes:
    """A new plant; a copy costs a tenth of making one."""
    return pickle.dumps(Plant(params, seed=seed))


class Refused(Exception):
    """The pump said no."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer)
        self.answer = answer
        self.code = answer["code"]


class Pump:
    """`said`: lines not asked for, as (time, name, fields). `seen`: what listeners saw, as (time, name, fields).
    `steps` and `net`: pulses, unsigned and signed."""

    def __init__(
        self, *, params: PlantParams | None = None, seed: int = 1, core: DirectCore | None = None, **more: Any
    ):
        self.core = core or DirectCore(pickle.loads(_plant(params, seed)), seed=seed, **more)
        self.said: list[tuple[int, str, dict[str, Any]]] = []
        self.seen: list[tuple[int, str, dict[str, Any]]] = []
        self.step_times: list[int] = []
        self.net = 0
        self.next_id = 1
        self._on = False  # EN
        self._rest = ""
        self._answers: list[str] = []
        self.core.listeners.append(self)

    # --- listener

    def on_step(self, t_us: int, direction: int) -> None:
        if not self._on:
            return  # the self test's: the driver does not see them
        self.step_times.append(t_us)
        self.net += direction

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        self.seen.append((t_us, name, fields))
        if name == "enable":
            self._on = bool(fields["on"])
        elif name in ("reset", "power"):
            self._on = False

    # --- time and bytes

    @property
    def now(self) -> int:
        return self.core.now_us

    @property
    def steps(self) -> int:
        return len(self.step_times)

    @property
    def app(self) -> Any:
        assert self.core.app is not None
        return self.core.app

    def run(self, seconds: float) -> None:
        """Let simulated time pass; lines of the pump are sorted into `said`."""
        self.core.run_until(self.now + round(seconds * SECOND))
        self._read()

    def _read(self) -> None:
        self._rest += self.core.output.decode()
        self.core.output.clear()
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            text, _, crc = line.rpartition(" *")
            assert crc == f"{binascii.crc32(text.encode()):08x}", line
            if line.startswith("#"):
                words = text.split()
                self.said.append((self.now, words[1], parse(text)))
            else:
                self._answers.append(text)

    def send(self, data: bytes) -> None:
        assert self.core.send(data) == len(data)

    def answer(self, data: bytes) -> str:
        """Send a line and wait for one answer (its text)."""
        self._read()
        self._answers.clear()
        self.send(data)
        end = self.now + ANSWER_WITHIN_US
        while not self._answers and self.now < end:
            self.run(0.005)
        assert self._answers, f"no answer to {data!r}"
        return self._answers.pop(0)

    def raw(self, text: str) -> str:
        """Send with a fresh id and checksum."""
        number = self.next_id
        self.next_id += 1
        return self.answer(frame(number, text))

    # --- what a host does

    def ask(self, text: str) -> dict[str, Any]:
        """A question, without id."""
        return self._checked(self.answer(text.encode() + b"\n"))

    def act(self, text: str) -> dict[str, Any]:
        """A line with id and checksum. Raises Refused."""
        return self._checked(self.raw(text))

    def order(self, text: str) -> int:
        """Prepare and commit. Returns the order's number. Raises Refused."""
        return self.act("commit token=" + self.act(text)["token"])["order"]

    def no(self, text: str) -> dict[str, Any]:
        """What the pump says to a line (with id) that it refuses."""
        try:
            answer = self.act(text)
        except Refused as refused:
            return refused.answer
        raise AssertionError(f"{text!r} was not refused: {answer}")

    @staticmethod
    def _checked(answer: str) -> dict[str, Any]:
        head = answer.split()
        verdict = head[1] if head[0].startswith("@") else head[0]
        fields = parse(answer)
        if verdict == "err":
            raise Refused(fields)
        assert verdict == "ok", answer
        return fields

    def load(
        self,
        reservoir_nl: int = SYRINGE_NL,
        step_fl: int = STEP_FL,
        syringe_nl: int = SYRINGE_NL,
        bore_um: int = 21_700,
    ) -> None:
        self.order(LOAD % (reservoir_nl, step_fl, syringe_nl, bore_um))

    def status(self) -> dict[str, Any]:
        return self.ask("status")

    def state(self) -> str:
        return self.status()["state"]

    def alarm(self, name: str) -> dict[str, Any] | None:
        """What `alarms` says about one alarm, None when it does not stand."""
        for index in range(16):
            row = self.ask(f"alarms index={index}")
            if row["alarm"] == name:
                return row
            if row["alarm"] == "none":
                return None
        return None

    def run_to(self, what: Any, within_s: float, slice_s: float = 0.02) -> int:
        """Let time pass until `what()` is true. Returns the time."""
        end = self.now + round(within_s * SECOND)
        while not what():
            assert self.now < end, f"not within {within_s} s"
            self.run(slice_s)
        return self.now

    def run_to_alarm(self, name: str, within_s: float, slice_s: float = 0.02) -> int:
        """Let time pass until the pump says that an alarm is active. Returns the time."""
        start = len(self.said)
        return self.run_to(lambda: self.told(name, "active", start), within_s, slice_s)

    def told(self, alarm: str, phase: str, start: int = 0) -> bool:
        """Whether an alarm event with this phase was said, from the start-th line on."""
        return any(n == "alarm" and f["alarm"] == alarm and f["phase"] == phase for _, n, f in self.said[start:])

    def power_cycle(self, off_s: float = 1.0) -> None:
        self.core.power(False)
        self.run(off_s)
        self.wake()

    def wake(self) -> None:
        """Power on, and ask which id is next."""
        self._rest = ""
        self.core.output.clear()
        self.core.power(True)
        self.run(0.1)
        self.next_id = self.ask("hello")["next_id"]

    # --- what can be seen

    @property
    def enabled(self) -> bool:
        """The plant's truth: the motor has current."""
        return self.core.plant.truth(self.now).enabled

    def journal(self) -> list[records.Record]:
        """All records on the flash."""
        journal = self.app.storage.journal
        found = [journal.read(seq) for seq in range(journal.first_seq or 1, journal.last_seq + 1)]
        return [records.Record(raw) for raw in found if raw is not None]

    def journal_of(self, kind: str) -> list[dict[str, Any]]:
        """Values of all records of one kind that are statements of their own (not restated)."""
        return [record.values for record in self.journal() if record.name == kind and not record.restated]

    def flush(self) -> None:
        """Wait until nothing waits for the flash."""
        self.run_to(lambda: not self.app.storage.journal.pending, 10)


def pump(**more: Any) -> Pump:
    """A pump with a full syringe, stopped."""
    found = Pump(**more)
    found.run(0.1)
    found.load(more.get("reservoir_nl", SYRINGE_NL) if "reservoir_nl" in more else SYRINGE_NL)
    return found


def source(name: str) -> int:
    return SOURCES.index(name)
