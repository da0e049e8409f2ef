"""What the tests of the protocol share: a fake app that records, lines made from the table, answers taken apart.

Lines are built here with `zlib` and the table alone, never with the code under test.
What the fake app does not model: delivery, storage, limits. It says yes unless told to refuse.
"""

from __future__ import annotations

import base64
import inspect
import re
import zlib
from typing import Any

from haipump_fw import selftest
from haipump_fw.core.options import MAXIMUM, OPTIONS
from haipump_fw.core.options import NAME as OPTION_NAME
from haipump_fw.proto.frame import Refused
from haipump_fw.proto.messages import ACT, PREPARE, READ, STOP
from haipump_fw.proto.session import Session
from haipump_fw.proto.table import MESSAGES

NONCE = "00112233445566778899aabbccddeeff"
DEVICE = "e660583883724a32"

TABLE = {row[0]: row for row in MESSAGES}
VERBS = list(TABLE)


def seal(text: str | bytes, end: bytes = b"\n") -> bytes:
    """`text` with its checksum and line end."""
    data = text.encode() if isinstance(text, str) else text
    return data + b" *%08x" % zlib.crc32(data) + end


def request_fields(verb: str) -> list[tuple[str, str, bool]]:
    """(name, type, optional) of the request fields of a verb, read from the table."""
    out = []
    for text in TABLE[verb][2].split():
        name, kind = text.rstrip("?").split("=")
        out.append((name, kind, text.endswith("?")))
    return out


def value_text(kind: str, largest: bool = True) -> str:
    """A value that fits the type: the longest one, or the smallest."""
    if ":" in kind:
        name, length = kind.split(":")
        count = int(length)
        if name == "b64":
            return base64.b64encode(bytes(range(count * 3 // 4 if largest else 1))).decode()
        return ("a" if name == "hex" else "z") * (count if largest else 1)
    if ".." in kind:
        return kind.split("..")[1 if largest else 0]
    return kind.split("|")[-1 if largest else 0]


def value_read(kind: str, text: str) -> Any:
    """What the firmware must make of `text`."""
    if kind.startswith("b64:"):
        return base64.b64decode(text)
    if ":" in kind:
        return text
    return int(text) if text.lstrip("-").isdigit() else text


def sample(verb: str, *, largest: bool = True, optional: bool = True) -> tuple[str, dict[str, Any]]:
    """(`verb key=value ...`, the fields it means). Hex fields named sha256 or key are always complete."""
    words, fields = [verb], {}
    for name, kind, may_lack in request_fields(verb):
        if may_lack and not optional:
            continue
        text = value_text(kind, largest or name in ("sha256", "key"))
        words.append(f"{name}={text}")
        fields[name] = value_read(kind, text)
    return " ".join(words), fields


# The longest that a value plausibly gets; a name that is not here is an integer of the width that its unit gives it.
PLAUSIBLE_ID = 99_999_999  # an order every ten seconds for thirty years
_WIDEST: dict[str, Any] = {
    "parts": ",".join("!" + name for name in re.findall(r'^        \("(\w+)", ', inspect.getsource(selftest), re.M)),
    "state": "withdrawing",
    "was": "withdrawing",
    "why": "reservoir_empty",
    "alarm": "infusion_complete",
    "source": "programme",
    "result": "complete",
    "priority": "medium",
    "phase": "acknowledged",
    "what": "programme",
    "at_end": "stop",
    "drug": 24 * "z",
    "library": 16 * "7",
    "used_nl": 100_000_000,
    "wait_s": 86_400,
    "refusals": 99_999,
    "firmware": "10.10.10",
    "interpreter": "micropython-1.25.0",
    "board": "rpi_pico",
    "reset": "watchdog",
    "task": "telemetry",
    "button": "silence",
    "name": "syringe_max_nl_per_day",
    "app_hash": "0" * 64,
    "device": DEVICE,
    "nonce": NONCE,
    "proof": "0" * 16,
    "token": "89abcdef",
    "hash": "89abcdef",
}
_BY_UNIT = (
    ("_nl_per_day", 99_999_999_999),  # 60 mL syringe, T8x2 screw, 2000 steps/s: 71 L/day
    ("_left_nl", 100_000_000),
    ("reservoir_nl", 100_000_000),
    ("volume_nl", 100_000_000),
    ("_nl", 9_999_999_999),  # sums over a lifetime: ten litres
    ("_s", 315_360_000),  # ten years
    ("_us", 999_999),
    ("_pa", -100_000),
    ("_mv", 24_000),
    ("_mc", -40_000),
    ("_steps", -2_000_000_000),
    ("_ms", 86_400_000),
    ("_free", 246_032),
    ("_id", PLAUSIBLE_ID),
)
_FLAGS = ("locked", "front", "back", "captured", "diag", "service", "enabled", "uncertain", "extended", "loaded")


def widest(name: str, kind: str) -> Any:
    """The longest plausible value of an answer or event field."""
    if name in _WIDEST:
        return _WIDEST[name]
    if kind == "b64":
        return bytes(range(128))  # two journal records
    for row in OPTIONS:
        if row[OPTION_NAME] == name:
            return row[MAXIMUM]
    for unit, value in _BY_UNIT:
        if name.endswith(unit):
            return value
    if name in _FLAGS:
        return 1
    if name == "by":
        return "button"
    if name in ("order", "orders"):
        return PLAUSIBLE_ID
    if name in ("seq", "first", "last"):
        return 99_999_999  # a record a minute for 190 years
    if name in ("minimum", "maximum", "default", "value"):
        return max(row[MAXIMUM] for row in OPTIONS)
    return 999_999


def answer_pairs(verb: str, spec: str | None = None) -> list[tuple[str, Any]]:
    """The answer of a verb with every value as long as it gets."""
    out = []
    for text in (TABLE[verb][3] if spec is None else spec).split():
        name, kind = text.rstrip("?").split("=")
        out.append((name, widest(name, kind)))
    if verb in ("status", "tele"):
        # The syringe holds 100 mL at most: what flows fast is soon empty. Nothing delivers while withdrawing.
        fixed: dict[str, Any] = {"empty_in_s": 100_000_000 * 86_400 // 99_999_999_999, "state": "infusing"}
        out = [(name, fixed.get(name, value)) for name, value in out]
    if verb == "log":
        out = [(name, 2 if name == "count" else value) for name, value in out]
    return out


class FakeApp:
    """Records what it is asked to do; `refuse[verb]` (also `stop`, `stop_now`, `reserve`) makes it say no."""

    def __init__(self) -> None:
        self.seconds = 1000
        self.state = "stopped"
        self.executed: list[tuple[str, dict[str, Any], int]] = []  # prepare, commit and act
        self.reads: list[tuple[str, dict[str, Any]]] = []
        self.blobs: list[bytes | None] = []
        self.reserved: list[int] = []
        self.stops = 0
        self.stop_nows = 0
        self.nonces = [NONCE]  # that it will give out; after the last one numbers
        self.nonces_given = 0
        self.refuse: dict[str, Refused] = {}

    def _maybe(self, verb: str) -> None:
        if verb in self.refuse:
            raise self.refuse[verb]

    def now_s(self) -> int:
        return self.seconds

    def nonce(self) -> str:
        self.nonces_given += 1
        return self.nonces.pop(0) if self.nonces else f"{self.nonces_given:032x}"

    def state_name(self) -> str:
        return self.state

    def answer(self, verb: str, fields: dict[str, Any]) -> list[tuple[str, Any]]:
        self.reads.append((verb, fields))
        self._maybe(verb)
        return [("firmware", "0.1.0")] if verb == "hello" else answer_pairs(verb)

    def prepare(self, verb: str, fields: dict[str, Any], blob: bytes | None) -> tuple[list[tuple[str, Any]], Any]:
        self.executed.append((verb, fields, self.reserved[-1]))
        self.blobs.append(blob)
        self._maybe(verb)
        pairs = [pair for pair in answer_pairs(verb) if pair[0] not in ("token", "valid_s", "hash")]
        return pairs, (verb, fields)

    def commit(self, plan: Any, order_id: int) -> list[tuple[str, Any]]:
        assert self.reserved[-1] == order_id
        self.executed.append(("commit", {"plan": plan}, order_id))
        self._maybe("commit")
        return [("state", "infusing"), ("order", order_id)]

    def act(self, verb: str, fields: dict[str, Any], order_id: int) -> list[tuple[str, Any]]:
        assert self.reserved[-1] == order_id
        self.executed.append((verb, fields, order_id))
        self._maybe(verb)
        return answer_pairs(verb)

    def stop(self) -> list[tuple[str, Any]]:
        self.stops += 1
        self._maybe("stop")
        return [("state", "stopped"), ("order", 0), ("left_nl", 0)]

    def stop_now(self) -> None:
        self.stop_nows += 1
        self._maybe("stop_now")

    def reserve(self, number: int) -> None:
        self._maybe("reserve")
        self.reserved.append(number)


class Talk:
    """A session, its fake app, and a host that never waits: `ask` sends and returns the answer."""

    def __init__(self, next_id: int = 1, key: bytes | None = None, locked: bool = False, nonce: str = NONCE) -> None:
        self.app = FakeApp()
        self.app.nonces = [nonce]
        self.session = Session(self.app, DEVICE, 7, next_id, key, locked)
        self.next_id = next_id

    def send(self, data: bytes) -> None:
        self.session.bytes_in(data, len(data))

    def take(self) -> bytes:
        """Take what is in the output ring."""
        out = bytearray()

        def write(buf, first: int, last: int) -> int:
            out.extend(buf[first:last])
            return last - first

        while self.session.peek_byte() >= 0:
            assert self.session.send(write, 4_096)
        return bytes(out)

    def run(self) -> list[bytes]:
        """Work until nothing is left, reading all the while; returns the lines that came out."""
        out = self.take()
        while self.work():
            out += self.take()
        return (out + self.take()).split(b"\n")[:-1]

    def work(self) -> bool:
        """One piece of work; `waiting` must have known."""
        expected = self.session.waiting()
        assert self.session.work() == expected
        return expected

    def ask(self, data: bytes) -> Answer:
        """Send one line and take its one answer."""
        self.send(data)
        (line,) = self.run()
        return Answer(line)

    def order(self, text: str, number: int | None = None) -> Answer:
        """Send `text` with the next id and its checksum."""
        if number is None:
            number = self.next_id
            self.next_id += 1
        return self.ask(seal(f"@{number} {text}"))


class Answer:
    """One answer or event line, its checksum checked."""

    def __init__(self, line: bytes) -> None:
        assert len(line) <= 250, line
        body, _, crc = line.rpartition(b" *")
        assert crc == b"%08x" % zlib.crc32(body), line
        words = body.decode("ascii").split(" ")
        self.line = line
        self.id = int(words.pop(0)[1:]) if words[0].startswith("@") else None
        self.number = int(words.pop(0)[1:]) if words[0].startswith("#") else None
        self.word = words.pop(0)
        self.pairs = [tuple(word.split("=", 1)) for word in words]
        self.fields = dict(self.pairs)
        assert len(self.fields) == len(self.pairs), line

    @property
    def ok(self) -> bool:
        return self.word == "ok"

    @property
    def code(self) -> str | None:
        return self.fields.get("code")


__all__ = [
    "ACT",
    "DEVICE",
    "NONCE",
    "PLAUSIBLE_ID",
    "PREPARE",
    "READ",
    "STOP",
    "TABLE",
    "VERBS",
    "Answer",
    "FakeApp",
    "Refused",
    "Talk",
    "answer_pairs",
    "request_fields",
    "sample",
    "seal",
    "value_read",
    "value_text",
    "widest",
]
