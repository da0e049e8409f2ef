"""One line of the serial protocol: bytes to a request, and answers and events to bytes.

Owns: the grammar below, and how a row of the message table is read. Must not: keep anything between two
lines, know ids that came before, time or output. The host has a codec of its own; tests check that both agree.

Grammar of a request (after the LF or CR is gone, at most LINE_MAX bytes):
  line    = ["@" id " "] verb *(" " key "=" value) [" mac=" 16 hex digits] [" *" crc]
  crc     = CRC-32 of all bytes before " *", eight lower-case hex digits; nothing follows it
  id      = whole number, 1 to ID_MAX
  number  = "0", or a digit 1 to 9 and more digits; "-" before it only where the range goes below zero, and never "-0"
  base64  = whole groups of four characters, padded, with the unused bits 0
One space separates, none stands at either end. "@" wants " *" and " *" wants "@". `mac` is for kinds PREPARE and ACT.
"""

import binascii

from haipump_fw.const import const
from haipump_fw.proto.messages import ACT, ID_MAX, LINE_MAX, MAC_DIGITS, PREPARE, REQUESTS, expanded

_NUMBER, _CHOICE, _WORD, _HEX, _BASE64 = const(0), const(1), const(2), const(3), const(4)
_DIGITS = b"0123456789"
_HEX_DIGITS = b"0123456789abcdef"
_BASE64_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NAME = b"abcdefghijklmnopqrstuvwxyz_"
_WORD_CHARACTERS = b"abcdefghijklmnopqrstuvwxyz0123456789_.-"
_NUMBER_DIGITS_MAX = const(15)
_HUGE = 10**_NUMBER_DIGITS_MAX  # stands for every longer number: outside of every range
_TAIL = const(10)  # bytes of " *" and the checksum
_CUT = " cut=1"


class Refused(Exception):
    """The pump says no. `code` is one of messages.ERRORS, `pairs` a list of (name, value) that says why."""

    def __init__(self, code, pairs=()):
        super().__init__(code, pairs)
        self.code = code
        self.pairs = pairs


class Request:
    """A line whose form and checksum are right; its fields are still text.

    `id` and `crc` (eight bytes) are None in a line without them. `mac` is None or MAC_DIGITS bytes, and `signed` then
    the part of the line that it signs.
    """

    def __init__(self, row, number, crc, tokens, mac, signed):
        self.verb, self.kind, self._fields = row
        self.id = number
        self.crc = crc
        self.tokens = tokens
        self.mac = mac
        self.signed = signed

    def fields(self):
        """{name: value}: int for numbers and for choices that are digits (`0|1`), bytes for base64, else str.
        Raises Refused (syntax, field, range)."""
        specs = expanded(self._fields).encode().split()
        fields = {}
        for token in self.tokens:
            at = token.find(b"=")
            if at < 1:
                raise Refused("syntax")
            spec = _spec_of(specs, token[: at + 1])
            if spec is None:
                raise Refused("field", _unknown(token[:at]))
            if spec[0] in fields:
                raise Refused("field", [("what", "twice"), ("field", spec[0])])
            fields[spec[0]] = _value(spec, token[at + 1 :])
        for text in specs:
            name = text[: text.find(b"=")].decode()
            if name not in fields and not text.endswith(b"?"):
                raise Refused("field", [("what", "missing"), ("field", name)])
        return fields


def _spec_of(specs, start):
    """The specification of a field that begins with `start` (`name=`), or None. It is read anew for each line: to keep
    all of them ready took 10 kB."""
    for text in specs:
        if text.startswith(start):
            return _spec(text)
    return None


def _spec(text):
    """`name=type` or `name=type?` as (name, type, low, high, choices)."""
    name, kind = text.rstrip(b"?").split(b"=")
    name = name.decode()
    for start, form in ((b"word:", _WORD), (b"hex:", _HEX), (b"b64:", _BASE64)):
        if kind.startswith(start):
            return name, form, 1, int(kind[len(start) :]), None
    if b".." in kind:
        low, high = kind.split(b"..")
        return name, _NUMBER, int(low), int(high), None
    choices = {}
    for word in kind.split(b"|"):
        choices[word] = int(word) if only(word, _DIGITS) else word.decode()
    return name, _CHOICE, 0, 0, choices


def only(raw, characters):
    """True when all bytes of `raw` are among `characters` (strip runs in C, on the device too)."""
    return not raw.strip(characters)


def number(raw, signed=False):
    """The whole number that `raw` writes, or None when it is not one. Above 15 digits: some number of at least 10**15,
    or at most -10**15."""
    digits = raw[1:] if signed and raw[:1] == b"-" else raw
    if not digits or not only(digits, _DIGITS) or (digits[0] == 0x30 and len(raw) > 1):
        return None
    if len(digits) > _NUMBER_DIGITS_MAX:
        return _HUGE if digits is raw else -_HUGE
    return int(raw)


def _unknown(key):
    """What to say about a key that the message does not have: its text, when it can stand in an answer."""
    if len(key) <= 32 and only(key, _WORD_CHARACTERS):
        return [("what", "unknown"), ("field", key.decode())]
    return [("what", "unknown")]


def _value(spec, raw):
    name, kind, low, high, choices = spec
    if kind == _NUMBER:
        value = number(raw, low < 0)
        if value is not None:
            if low <= value <= high:
                return value
            raise Refused("range", [("field", name), ("minimum", low), ("maximum", high)])
    elif kind == _CHOICE:
        value = choices.get(raw)
        if value is not None:
            return value
    elif raw and len(raw) <= high:
        if kind == _BASE64:
            value = _base64(raw)
            if value is not None:
                return value
        elif only(raw, _WORD_CHARACTERS if kind == _WORD else _HEX_DIGITS):
            return raw.decode()
    raise Refused("field", [("what", "form"), ("field", name)])


def _base64(raw):
    """The bytes, or None. Interpreters differ in what they forgive: the form is checked first, then the text must be
    what encoding gives back."""
    digits = raw.rstrip(b"=")
    if len(raw) % 4 or len(raw) - len(digits) > 2 or not only(digits, _BASE64_DIGITS):
        return None
    value = binascii.a2b_base64(raw)
    return value if binascii.b2a_base64(value).strip() == raw else None


_BY_VERB = {row[0]: row for row in REQUESTS}


def line_id(line):
    """The id at the start of a line that may be broken behind it, or None."""
    if line[:1] != b"@":
        return None
    end = line.find(b" ")
    value = number(line[1:end] if end > 0 else line[1:])
    return value if value is not None and 1 <= value <= ID_MAX else None


def is_stop(line):
    """True when the verb is `stop` or the first byte `!`. Anything else of the line may be wrong: spaces before, id,
    fields, checksum, upper case. To stop by mistake is safe, not to stop is not."""
    if line[:1] == b"!":
        return True
    words = line.split(None, 2)
    if not words:
        return False
    word = words[0]
    if word[:1] == b"@" and len(words) > 1:
        word = words[1]
    return len(word) == 4 and word.lower() == b"stop"


def read(line):
    """The Request in `line` (bytes without line end). Raises Refused: too_long, syntax, crc, unknown, id."""
    if len(line) > LINE_MAX:
        raise Refused("too_long")
    crc = None
    body = line
    star = line.rfind(b" *")
    if star >= 0:
        body = line[:star]
        crc = line[star + 2 :]
        if crc != checksum(body):
            raise Refused("crc")
    tokens = body.split(b" ")
    identity = None
    if line[:1] == b"@":
        if crc is None:
            raise Refused("crc")
        identity = line_id(line)
        if identity is None or len(tokens) < 2:
            raise Refused("syntax")
        del tokens[0]
    elif crc is not None:
        raise Refused("id")
    verb = tokens[0]
    if not verb or not only(verb, _NAME):
        raise Refused("syntax")
    row = _BY_VERB.get(verb.decode())
    if row is None:
        raise Refused("unknown")
    del tokens[0]
    if row[1] != PREPARE and row[1] != ACT:
        return Request(row, identity, crc, tokens, None, None)
    if identity is None:
        raise Refused("id")
    mac = signed = None
    if tokens and tokens[-1][:4] == b"mac=":
        mac = tokens.pop()[4:]
        if len(mac) != MAC_DIGITS or not only(mac, _HEX_DIGITS):
            raise Refused("field", [("what", "form"), ("field", "mac")])
        signed = body[: -5 - MAC_DIGITS]
    return Request(row, identity, crc, tokens, mac, signed)


def parse(line):
    """(verb, kind, id or None, fields) of `line` (bytes without line end). Any bytes give that or Refused."""
    request = read(line)
    return request.verb, request.kind, request.id, request.fields()


def checksum(data):
    """CRC-32 as eight lower-case hex digits (bytes)."""
    return b"%08x" % binascii.crc32(data)


def pairs_text(pairs):
    """` name=value` for each pair. Values are int, str (a space becomes `_`) or bytes (written as base64)."""
    return _text("", pairs)


def _text(head, pairs):
    """`head` and the pairs behind it, put together in one go: the device looks for each string that it makes among all
    names it knows, which takes 0.1 ms."""
    parts = []
    for name, value in pairs:
        parts.append(name)
        if isinstance(value, int):
            value = int(value)
        elif not isinstance(value, str):
            value = binascii.b2a_base64(value).strip().decode()
        elif " " in value:
            value = value.replace(" ", "_")
        parts.append(value)
    return (head + " %s=%s" * len(pairs)) % tuple(parts)


def finish(text):
    """The line as it is sent: checksum and LF. What would be too long ends at a whole pair and says ` cut=1`."""
    if len(text) > LINE_MAX - _TAIL:
        text = text[: text.rfind(" ", 0, LINE_MAX - _TAIL - len(_CUT) + 1)] + _CUT
    data = text.encode()
    return b"".join((data, b" *", checksum(data), b"\n"))


def answer(identity, pairs):
    """`@id ok ...`; without `@id` when the request had none."""
    return finish(_text("ok" if identity is None else "@%d ok" % identity, pairs))


def error(identity, code, state, pairs=()):
    """`@id err code=... what=... state=... ...`; `what` only when it is among the pairs."""
    what = [pair for pair in pairs if pair[0] == "what"]
    rest = [pair for pair in pairs if pair[0] != "what"]
    head = "err" if identity is None else "@%d err" % identity
    return finish(_text(head, [("code", code)] + what + [("state", state)] + rest))


def event(count, name, pairs):
    """`#count name ...`"""
    return finish(_text("#%d %s" % (count, name), pairs))
