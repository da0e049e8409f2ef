"""The scripted host of a scenario: readable commands, spoken to the pump over the serial line in simulated time.

Owns: the command language, a small codec of its own for the lines of `proto/messages`, and the conversation (hello,
prepare, commit, parts). Must not: make time pass (conversations are generators that yield when they want to go on),
take bytes out of `core.output` (a client may be reading them), or share code with the host tools: this is the third
codec, and it is meant to notice when the other two agree on something wrong.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from haipump_emulator.link.faults import FaultFilter
from haipump_emulator.quantities import parse_pressure_pa, parse_rate_nl_per_day, parse_time_us, parse_volume_nl
from haipump_emulator.scenario.programme import encode_programme

POLL_US = 1_000  # a conversation looks for its answer this often
ANSWER_US = 10_000_000  # an answer that takes longer will not come
ASK_ID = 400_000_000  # from here on, for lines that only read: never to be mistaken for the id of an order
QUIET_US = 500_000
RESEND_MAX = 3  # a lost answer is asked for again with the same id, which can't execute twice
PART_BYTES = 120
LINE_MAX = 4096  # longer than any line of the pump: what has no end by then is noise

# Inner diameters in micrometres (Harvard-style table, see docs/plant.md).
BORES_UM = {1: 4_780, 3: 8_660, 5: 12_060, 10: 14_500, 20: 19_130, 30: 21_700, 60: 26_700}
LEAD_UM = 2_000
STEPS_PER_TURN = 3_200
_PI = 3_141_592_653_589_793  # times 1e-15

Fields = dict[str, "int | str"]
Talk = Generator[int, None, "Answer"]


class CommandError(ValueError):
    """The command can't be understood; the message says what was expected."""


# --- the command language ---


@dataclass(frozen=True)
class Command:
    """What is sent: `kind` is read, act, prepare (then commit), programme (parts, prepare, commit), stop or raw."""

    text: str
    kind: str
    verb: str = ""
    fields: Fields = field(default_factory=dict)
    payload: bytes = b""


def step_fl(bore_um: int, lead_um: int = LEAD_UM, steps_per_turn: int = STEPS_PER_TURN) -> int:
    """Femtolitres per microstep, rounded once to the nearest."""
    # area (um2) times lead (um) is 1e-3 fL: pi/4 * bore^2 * lead / steps, with pi as a whole number of 1e-15
    numerator = _PI * bore_um * bore_um * lead_um
    denominator = 4 * steps_per_turn * 10**15
    return (2 * numerator + denominator) // (2 * denominator)


def parse_command(text: str) -> Command:
    """A command as written in a scenario. Raises CommandError."""
    words = text.split()
    if not words:
        raise CommandError("an empty host command")
    build = COMMANDS.get(words[0])
    if build is None:
        raise CommandError(f"no host command {words[0]!r}; there are: {', '.join(sorted(COMMANDS))}")
    try:
        return build(text, words[1:])
    except CommandError:
        raise
    except ValueError as error:
        raise CommandError(f"{text!r}: {error}") from None


class _Words:
    """The words of a command: places first, then `name value` pairs and flags in any order."""

    def __init__(self, text: str, words: list[str]) -> None:
        self.text = text
        self.words = list(words)

    def take(self, what: str) -> str:
        if not self.words:
            raise CommandError(f"{self.text!r}: {what} is missing")
        return self.words.pop(0)

    def option(self, name: str) -> str | None:
        if name not in self.words:
            return None
        at = self.words.index(name)
        if at + 1 >= len(self.words):
            raise CommandError(f"{self.text!r}: what comes behind {name!r}?")
        value = self.words[at + 1]
        del self.words[at : at + 2]
        return value

    def flag(self, name: str) -> bool:
        if name not in self.words:
            return False
        self.words.remove(name)
        return True

    def end(self) -> None:
        if self.words:
            raise CommandError(f"{self.text!r}: can't make sense of {' '.join(self.words)!r}")


def whole_seconds(text: str) -> int:
    """A time of whole seconds. Raises CommandError."""
    seconds, rest = divmod(parse_time_us(text), 1_000_000)
    if rest:
        raise CommandError(f"{text!r} is no whole number of seconds")
    return seconds


def _rate(text: str, rest: list[str]) -> Command:
    words = _Words(text, rest)
    fields: Fields = {"rate_nl_per_day": parse_rate_nl_per_day(words.take("a rate"))}
    for option, name, convert in (
        ("ramp", "ramp_s", whole_seconds),
        ("vtbi", "vtbi_nl", parse_volume_nl),
        ("then", "at_end", str),
    ):
        value = words.option(option)
        if value is not None:
            fields[name] = convert(value)
    if words.flag("override"):
        fields["override"] = 1
    words.end()
    return Command(text, "prepare", "rate", fields)


def _bolus(text: str, rest: list[str]) -> Command:
    words = _Words(text, rest)
    fields: Fields = {"volume_nl": parse_volume_nl(words.take("a volume"))}
    over, within = words.option("over"), words.option("in")
    if over is not None and within is not None:
        raise CommandError(f"{text!r}: either 'over' (extended) or 'in' (immediate, at a chosen speed)")
    if over is not None:
        fields.update(duration_s=whole_seconds(over), extended=1)
    if within is not None:
        fields["duration_s"] = whole_seconds(within)
    if words.flag("override"):
        fields["override"] = 1
    words.end()
    return Command(text, "prepare", "bolus", fields)


def _programme(text: str, rest: list[str]) -> Command:
    body = text.split(None, 1)[1] if rest else ""
    if not body:
        raise CommandError("a programme needs its items, one per line or separated by ';'")
    override = body.startswith("override ")
    fields: Fields = {"override": 1} if override else {}
    return Command(text, "programme", "programme", fields, encode_programme(body.removeprefix("override ")))


def _handling(verb: str) -> Callable[[str, list[str]], Command]:
    def build(text: str, rest: list[str]) -> Command:
        words = _Words(text, rest)
        fields: Fields = {"volume_nl": parse_volume_nl(words.take("a volume")), "disconnected": 1}
        words.end()
        return Command(text, "prepare", verb, fields)

    return build


def _jog(text: str, rest: list[str]) -> Command:
    words = _Words(text, rest)
    fields: Fields = {"steps": int(words.take("a number of steps")), "disconnected": 1}
    words.end()
    return Command(text, "prepare", "jog", fields)


def _syringe(text: str, rest: list[str]) -> Command:
    words = _Words(text, rest)
    size_nl = parse_volume_nl(words.take("the size of the syringe"))
    fill_nl = parse_volume_nl(words.take("how much is in it"))
    words.end()
    if size_nl % 1_000_000 or size_nl // 1_000_000 not in BORES_UM:
        raise CommandError(f"{text!r}: no such syringe; there are {', '.join(f'{s}mL' for s in BORES_UM)}")
    bore_um = BORES_UM[size_nl // 1_000_000]
    fields: Fields = {
        "reservoir_nl": fill_nl,
        "step_fl": step_fl(bore_um),
        "bore_um": bore_um,
        "syringe_nl": size_nl,
    }
    return Command(text, "prepare", "syringe", fields)


_OPTION_UNITS = (
    ("_nl_per_day", parse_rate_nl_per_day),
    ("_nl", parse_volume_nl),
    ("_pa", parse_pressure_pa),
    ("_s", whole_seconds),
)
_SHORT = {"occlusion": "occlusion_pa"}


def _option_value(name: str, text: str) -> tuple[str, int]:
    """`occlusion=50kPa` may leave out the unit of the name when the value carries it."""
    if text.lstrip("-").isdigit():
        return _SHORT.get(name, name), int(text)
    for suffix, convert in _OPTION_UNITS:
        if name.endswith(suffix):
            return name, convert(text)
    if name in _SHORT:
        return _option_value(_SHORT[name], text)
    for suffix, convert in _OPTION_UNITS:
        try:
            return name + suffix, convert(text)
        except ValueError:
            continue
    raise CommandError(f"{name}={text}: not a whole number, and no quantity that is known")


def _options(verb: str) -> Callable[[str, list[str]], Command]:
    def build(text: str, rest: list[str]) -> Command:
        fields: Fields = {}
        for word in rest:
            name, equals, value = word.partition("=")
            if not equals:
                raise CommandError(f"{text!r}: {word!r} is not of the form name=value")
            key, number = _option_value(name, value)
            fields[key] = number
        if not fields:
            raise CommandError(f"{text!r}: nothing to set; write name=value")
        return Command(text, "prepare", verb, fields)

    return build


def _plain(kind: str, verb: str) -> Callable[[str, list[str]], Command]:
    def build(text: str, rest: list[str]) -> Command:
        _Words(text, rest).end()
        return Command(text, kind, verb, {"disconnected": 1} if verb == "home" else {})

    return build


def _ack(text: str, rest: list[str]) -> Command:
    words = _Words(text, rest)
    fields: Fields = {"alarm": words.take("an alarm")} if rest else {}
    words.end()
    return Command(text, "act", "ack", fields)


def _silence(text: str, rest: list[str]) -> Command:
    words = _Words(text, rest)
    fields: Fields = {"seconds": whole_seconds(words.take("a time"))} if rest else {}
    words.end()
    return Command(text, "act", "silence", fields)


def _refill(text: str, rest: list[str]) -> Command:
    words = _Words(text, rest)
    fields: Fields = {"phase": words.take("'begin' or 'end'")}
    words.end()
    return Command(text, "act", "refill", fields)


def _telemetry(text: str, rest: list[str]) -> Command:
    words = _Words(text, rest)
    fields: Fields = {"period_ms": parse_time_us(words.take("a period")) // 1_000}
    words.end()
    return Command(text, "read", "telemetry", fields)


def _raw(text: str, rest: list[str]) -> Command:
    body = text.split(None, 1)[1] if rest else ""
    if len(body) > 1 and body[0] == body[-1] and body[0] in "\"'":
        body = body[1:-1]
    return Command(text, "raw", payload=body.encode("latin-1") + b"\n")


COMMANDS: dict[str, Callable[[str, list[str]], Command]] = {
    "rate": _rate,
    "bolus": _bolus,
    "programme": _programme,
    "kvo": _plain("prepare", "kvo"),
    "prime": _handling("prime"),
    "withdraw": _handling("withdraw"),
    "jog": _jog,
    "home": _plain("prepare", "home"),
    "syringe": _syringe,
    "limits": _options("limits"),
    "settings": _options("settings"),
    "calibration": _options("calibration"),
    "pause": _plain("act", "pause"),
    "resume": _plain("act", "resume"),
    "cancel": _plain("act", "cancel_bolus"),
    "refill": _refill,
    "selftest": _plain("act", "selftest"),
    "ack": _ack,
    "silence": _silence,
    "telemetry": _telemetry,
    "stop": _plain("stop", "stop"),
    "raw": _raw,
}


# --- lines ---


@dataclass(frozen=True)
class Answer:
    """`identity` is None for an answer to a line without id; `ok` False with fields code, state and more."""

    identity: int | None
    ok: bool
    fields: dict[str, str]
    text: str = ""


@dataclass(frozen=True)
class Event:
    """An event line of the pump."""

    number: int
    name: str
    fields: dict[str, str]


def seal(body: str) -> bytes:
    """A line with its checksum and line end."""
    return f"{body} *{zlib.crc32(body.encode('latin-1')):08x}\n".encode("latin-1")


def read_line(line: str) -> Answer | Event | None:
    """What a line from the pump says; None when it is broken."""
    body, star, crc = line.rstrip("\r").rpartition(" *")
    if not star or crc != f"{zlib.crc32(body.encode('latin-1')):08x}":
        return None
    head, *pairs = body.split(" ")
    identity = None
    if head.startswith("@") and head[1:].isdigit() and pairs:
        identity = int(head[1:])
        head, *pairs = pairs
    fields = {}
    for pair in pairs[1:] if head.startswith("#") else pairs:
        name, _, value = pair.partition("=")
        fields[name] = value
    if head.startswith("#") and head[1:].isdigit() and pairs:
        return Event(int(head[1:]), pairs[0], fields)
    if head in ("ok", "err"):
        return Answer(identity, head == "ok", fields, body)
    return None


# --- conversation ---

NO_ANSWER = Answer(None, False, {"code": "no_answer"}, "no answer")


class ScriptedHost:
    """Speaks to `core`; listens as one of its listeners. `on_pump_event(t_us, event)` is told of event lines.

    `command` and `ask` return generators: each yields the simulated time at which it wants to be resumed, and returns
    the last answer (the refusing one, if one refused).
    """

    def __init__(self, core: Any, on_pump_event: Callable[[int, Event], None] | None = None) -> None:
        self._core = core
        self._tell = on_pump_event or (lambda t_us, event: None)
        self._partial = b""
        self._answers: list[Answer] = []
        self._next_id: int | None = None
        self._asked = 0
        self.broken_lines = 0
        self.inbound: FaultFilter | None = None  # of the line: what a fault does to its bytes
        self.outbound: FaultFilter | None = None
        core.listeners.append(self)
        self.on_bytes(core.now_us, "out", bytes(core.output))  # what the pump said while it booted

    def close(self) -> None:
        """Stop listening."""
        self._core.listeners.remove(self)

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        """Bytes of the line, either way."""
        if direction != "out":
            return
        if self.outbound is not None:
            self.outbound.feed(bytes(data), t_us)
            data = b"".join(iter(lambda: self.outbound.take(t_us) if self.outbound else b"", b""))
        *lines, self._partial = (self._partial + bytes(data)).split(b"\n")
        self._partial = self._partial[-LINE_MAX:]
        for raw in lines:
            found = read_line(raw.decode("latin-1"))
            if found is None:
                self.broken_lines += 1
            elif isinstance(found, Event):
                self._tell(t_us, found)
            else:
                self._answers.append(found)

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        """A reset or a power cut: half a line will not go on, and the next id has to be asked for again."""
        if name in ("reset", "power"):
            self._partial = b""
            self._next_id = None

    def command(self, command: Command) -> Talk:
        """The whole conversation of one command."""
        if command.kind == "raw":
            return (yield from self._raw(command.payload))
        if command.kind == "stop":
            return (yield from self.ask("stop", {}))
        if command.kind == "read":
            return (yield from self.ask(command.verb, command.fields))
        if command.kind == "act":
            return (yield from self._numbered(_body(command.verb, command.fields)))
        fields = dict(command.fields)
        if command.kind == "programme":
            digest = hashlib.sha256(command.payload).hexdigest()
            answer = yield from self._upload(command.payload, digest)
            if not answer.ok:
                return answer
            fields["sha256"] = digest
        answer = yield from self._numbered(_body("prepare_" + command.verb, fields))
        if not answer.ok:
            return answer
        return (yield from self._numbered(f"commit token={answer.fields['token']}"))

    def ask(self, verb: str, fields: Fields) -> Talk:
        """Something that only reads, or stop. The pump repeats an id of these and forgets it, so that any will do."""
        self._asked += 1
        identity = ASK_ID + self._asked % ASK_ID
        return (yield from self._exchange(identity, _body(verb, fields)))

    def flood(self, chunks: Iterator[bytes]) -> Talk:
        """Bytes as fast as the pump takes them, then silence until it has answered what it wants to answer."""
        for chunk in chunks:
            yield from self._send(chunk)
        heard_us = self._core.now_us
        while self._core.now_us < heard_us + QUIET_US:
            if self._answers:
                self._answers.clear()
                heard_us = self._core.now_us
            yield self._core.now_us + POLL_US
        return Answer(None, True, {})

    def _raw(self, payload: bytes) -> Talk:
        # The line end in front ends whatever stands in the pump's line buffer, so that the answer is to this line.
        yield from self._send(b"\n" + payload)
        return (yield from self._wait(None, any_id=True))

    def _upload(self, payload: bytes, digest: str) -> Talk:
        answer = yield from self._numbered(f"part_begin what=programme size={len(payload)} sha256={digest}")
        for offset in range(0, len(payload), PART_BYTES):
            if not answer.ok:
                break
            data = base64.b64encode(payload[offset : offset + PART_BYTES]).decode("ascii")
            answer = yield from self._numbered(f"part offset={offset} data={data}")
        return answer

    def _numbered(self, body: str) -> Talk:
        """A line with id and checksum, sent again with the same id when no answer comes."""
        if self._next_id is None:
            hello = yield from self.ask("hello", {})
            if not hello.ok:
                return hello
            self._next_id = int(hello.fields["next_id"])
        identity = self._next_id
        self._next_id += 1
        answer = yield from self._exchange(identity, body)
        if answer.fields.get("code") in ("stale", "reused", "no_answer"):
            self._next_id = None  # somebody else spoke to the pump, or it forgot: ask before the next one
        return answer

    def _exchange(self, identity: int, body: str) -> Talk:
        """A line and its answer. Sent again, with the same id, when no answer comes or the pump had no room for it."""
        answer = NO_ANSWER
        for _ in range(RESEND_MAX):
            yield from self._send(seal(f"@{identity} {body}"))
            answer = yield from self._wait(identity)
            if answer.fields.get("code") not in ("no_answer", "busy"):
                break
        return answer

    def _send(self, data: bytes) -> Generator[int, None, None]:
        self._answers.clear()
        deadline_us = self._core.now_us + ANSWER_US
        line = self.inbound
        if line is not None:
            line.feed(data, self._core.now_us)
            data = b""
        while self._core.now_us < deadline_us:
            while line is not None and (chunk := line.take(self._core.now_us)):
                data += chunk
            data = data[self._core.send(data) :] if data else b""
            if not data and (line is None or not line.pending):
                return
            yield self._core.now_us + POLL_US

    def _wait(self, identity: int | None, any_id: bool = False) -> Talk:
        deadline_us = self._core.now_us + ANSWER_US
        while self._core.now_us < deadline_us:
            if self.outbound is not None:
                self.on_bytes(self._core.now_us, "out", b"")  # what was late
            for answer in self._answers:
                if any_id or answer.identity == identity:
                    return answer
            yield self._core.now_us + POLL_US
        return NO_ANSWER


def _body(verb: str, fields: Fields) -> str:
    return " ".join([verb, *(f"{name}={value}" for name, value in fields.items())])
