"""Lines of the serial protocol to values and back. Strict in form, tolerant of fields it does not know.

Owns: framing, CRC-32, the code from the key (mac), types of the fields. Must not: do I/O, know time, or decide what an
answer means. Written from the description in `haipump_fw.proto.messages`, not from the firmware's code.

A line is tokens with exactly one space between: an optional `@id` or `#number`, words, then `key=value` pairs, then an
optional `*crc`. Numbers are plain decimal (`0`, `-12`), without leading zeros or a plus. Bytes outside of printable
ASCII make a line invalid.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import crc32
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from haipump.errors import FieldError
from haipump.protocol.schema import EVENTS, MESSAGES, READ, STOP, Value
from haipump_fw.proto.messages import ID_MAX, LINE_MAX, MAC_DIGITS

SPLIT_MAX = 1_024  # bytes kept of a line that does not end
_TOKEN = re.compile(rb"[!-~]+")
_PAIR = re.compile(r"([a-z][a-z0-9_]*)=([!-~]+)")
_INT = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(r"0|[1-9][0-9]*")
_TYPES = {
    "int": _INT,
    "word": re.compile(r"[a-z0-9_.-]+"),
    "hex": re.compile(r"[0-9a-f]+"),
    "b64": re.compile(r"[A-Za-z0-9+/]+={0,2}"),
    "list": re.compile(r"!?[a-z0-9_.-]+(?:,!?[a-z0-9_.-]+)*"),
}


class LineError(ValueError):
    """The bytes are no valid line. `code` is the protocol's error code that fits: syntax, crc, too_long, field."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


@dataclass(frozen=True)
class Frame:
    """A line taken apart. `mark` is "@" (id), "#" (event) or "" (neither)."""

    mark: str
    number: int | None
    words: tuple[str, ...]
    pairs: Mapping[str, str]
    checked: bool  # it carried a CRC, and the CRC fits


@dataclass(frozen=True)
class Answer:
    """`fields` are still text: only who asked knows their types (`typed_answer`)."""

    id: int | None
    ok: bool
    fields: Mapping[str, str]
    checked: bool

    @property
    def code(self) -> str:
        return "" if self.ok else self.fields.get("code", "unknown")


@dataclass(frozen=True)
class Event:
    """An event line. `missed` events were lost before it, as its number tells (filled in by the receiver)."""

    number: int
    name: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    missed: int = 0


def with_crc(body: str) -> bytes:
    """The line with its CRC-32 and line feed."""
    return f"{body} *{crc32(body.encode('ascii')) & 0xFFFFFFFF:08x}\n".encode("ascii")


def mac_of(key: bytes, nonce: str, body: str) -> str:
    """The code from the key for a line up to before ` mac=`."""
    digest = hmac.new(key, f"{nonce}|{body}".encode("ascii"), hashlib.sha256).hexdigest()
    return digest[:MAC_DIGITS]


def operator_key(key: bytes) -> bytes:
    """The key of who may order but not configure, made from the one that may do both."""
    return hmac.new(key, b"operate", hashlib.sha256).digest()


def encode_request(
    verb: str,
    fields: Mapping[str, Value | None] | None = None,
    *,
    id: int | None = None,
    key: bytes | None = None,
    nonce: str = "",
) -> bytes:
    """One request line with its line feed. Fields that are None are left out. Without `id` also without CRC (reads and
    stop only). With `key` the line carries the code for locked mode. Raises FieldError."""
    message = MESSAGES.get(verb)
    if message is None:
        raise FieldError(f"there is no message {verb}", next_step="see the protocol reference")
    checked = message.check(fields or {})
    body = " ".join([verb, *(f"{name}={value}" for name, value in checked.items())])
    if id is None:
        if message.kind not in (READ, STOP):
            raise FieldError(f"{verb} needs an id", next_step="take one from hello's next_id")
        line = body.encode("ascii") + b"\n"
    else:
        if not 1 <= id <= ID_MAX:
            raise FieldError(f"the id {id} is outside of 1 to {ID_MAX}", next_step="ask hello for the next id")
        body = f"@{id} {body}"
        if key is not None and message.kind not in (READ, STOP):
            body += f" mac={mac_of(key, nonce, body)}"
        line = with_crc(body)
    if len(line) - 1 > LINE_MAX:
        raise FieldError(f"the line for {verb} would have {len(line) - 1} bytes", next_step=f"at most {LINE_MAX} fit")
    return line


def decode_request(line: bytes) -> tuple[str, int | None, dict[str, Value]]:
    """What the pump must make of a line: verb, id, fields (a base64 field stays text). For traces, the fuzzer, and the
    test that both codecs agree. Raises LineError; whether a `mac` is right only the pump knows, its form is checked."""
    frame = parse_frame(line)
    if frame.mark == "#" or len(frame.words) != 1:
        raise LineError("syntax", "a request has one verb")
    if (frame.mark == "@") != frame.checked:
        raise LineError("crc", "id and checksum come together")
    if frame.number is not None and not 1 <= frame.number <= ID_MAX:
        raise LineError("syntax", "the id is out of range")
    message = MESSAGES.get(frame.words[0])
    if message is None:
        raise LineError("unknown", frame.words[0])
    pairs = dict(frame.pairs)
    if message.kind not in (READ, STOP):
        if frame.number is None:
            raise LineError("id", "it needs an id")
        if "mac" in pairs and (
            list(pairs)[-1] != "mac" or not re.fullmatch(f"[0-9a-f]{{{MAC_DIGITS}}}", pairs.pop("mac"))
        ):
            raise LineError("field", "the code is not of its form")
    fields: dict[str, Value] = {}
    try:
        for name, text in pairs.items():
            if name not in message.request:
                raise LineError("field", f"unknown {name}")
            fields[name] = message.request[name].read(text)
        message.check(fields)
    except FieldError as failure:
        raise LineError("field", failure.what) from failure
    return message.verb, frame.number, fields


def parse_frame(line: bytes, longest: int = LINE_MAX) -> Frame:
    """Take a line (without its line feed, a carriage return is dropped) apart. Raises LineError."""
    line = line.removesuffix(b"\r")
    if len(line) > longest:
        raise LineError("too_long", f"{len(line)} bytes")
    checked = False
    head, star, crc = line.rpartition(b" *")
    if star and re.fullmatch(rb"[0-9a-f]{8}", crc):
        if int(crc, 16) != crc32(head) & 0xFFFFFFFF:
            raise LineError("crc", "the checksum does not fit")
        line, checked = head, True
    elif star:
        raise LineError("crc", "the checksum is not eight hexadecimal digits")
    tokens = line.split(b" ")
    if not all(_TOKEN.fullmatch(token) for token in tokens):
        raise LineError("syntax", "tokens are printable and one space apart")
    texts = [token.decode("ascii") for token in tokens]
    mark, number = "", None
    if texts[0][0] in "@#":
        mark, digits = texts[0][0], texts[0][1:]
        if not _NUMBER.fullmatch(digits):
            raise LineError("syntax", "the number is not plain decimal")
        number = int(digits)
        texts = texts[1:]
    words, pairs = _words_and_pairs(texts)
    if not words:
        raise LineError("syntax", "there is no word")
    return Frame(mark, number, tuple(words), pairs, checked)


def _words_and_pairs(texts: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    words: list[str] = []
    pairs: dict[str, str] = {}
    for text in texts:
        pair = _PAIR.fullmatch(text)
        if pair is None:
            if pairs or not _TYPES["word"].fullmatch(text):
                raise LineError("syntax", f"{text!r} is no key=value")
            words.append(text)
        elif pair[1] in pairs:
            raise LineError("field", f"{pair[1]} comes twice")
        else:
            pairs[pair[1]] = pair[2]
    return words, pairs


def parse_line(line: bytes) -> Answer | Event:
    """An answer or an event. Raises LineError, also when a line with a number lacks its CRC."""
    frame = parse_frame(line, SPLIT_MAX)
    if frame.mark and not frame.checked:
        raise LineError("crc", "the checksum is missing")
    if frame.mark == "#":
        if len(frame.words) != 1:
            raise LineError("syntax", "an event has one name")
        assert frame.number is not None
        return Event(frame.number, frame.words[0], _typed(EVENTS.get(frame.words[0], {}), frame.pairs))
    if frame.words not in (("ok",), ("err",)):
        raise LineError("syntax", "an answer begins with ok or err")
    return Answer(frame.number, frame.words[0] == "ok", frame.pairs, frame.checked)


def typed_answer(verb: str, answer: Answer) -> dict[str, Value]:
    """The fields of a good answer with the types of the table; unknown ones stay text. Raises LineError when one is
    missing or not of its type."""
    message = MESSAGES[verb]
    for name in message.answer:
        if name not in answer.fields and name not in message.optional_answer:
            raise LineError("field", f"the answer to {verb} lacks {name}")
    return _typed(message.answer, answer.fields)


def typed_error(answer: Answer) -> dict[str, Value]:
    """The fields of a refusal; those that look like whole numbers become numbers."""
    words = ("code", "what", "state")
    return {
        name: int(text) if name not in words and _INT.fullmatch(text) else text for name, text in answer.fields.items()
    }


def _typed(types: Mapping[str, str], pairs: Mapping[str, str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, text in pairs.items():
        form = types.get(name)
        if form is None:
            values[name] = text
        elif not _TYPES[form].fullmatch(text):
            raise LineError("field", f"{name} is not of the type {form}")
        else:
            values[name] = int(text) if form == "int" else text
    return values


class LineSplitter:
    """Cuts a stream of bytes into lines, whatever the chunks. A line that grows beyond SPLIT_MAX is dropped."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False
        self.dropped = 0

    @property
    def partial(self) -> bytes:
        """What has come of the line that is not complete."""
        return bytes(self._rest)

    def clear(self) -> None:
        """Forget the incomplete line."""
        self._rest.clear()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without line ends; empty ones are left out."""
        self._rest += data
        *complete, rest = bytes(self._rest).split(b"\n")
        if self._skipping and complete:
            complete, self._skipping = complete[1:], False
        if self._skipping or len(rest) > SPLIT_MAX:
            self.dropped += 0 if self._skipping else 1
            rest, self._skipping = b"", True
        self._rest[:] = rest
        return [line for line in (part.removesuffix(b"\r") for part in complete) if line]
