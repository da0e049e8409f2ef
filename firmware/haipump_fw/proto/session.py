"""The conversation with the host: lines in, answers and events out, and what must be remembered between two lines.

Owns: the unfinished line, the waiting lines, ids and the last answers, the open token, parts, locked mode, the output
ring, event numbers. Must not: do anything itself; whatever a line asks for is asked of `app`. Knows no clock but
`app.now_s()`, and no port.

Decisions (the table is `messages`):
* `stop` and `!` act while bytes come in, before every waiting line; their id and checksum are not looked at.
* An id is used up when its line was executed, or refused by the app. A line that was refused here (syntax, crc, field,
  range, locked, mac, busy, too_long, ...) leaves its id free, so it can be sent again.
* An id may be at most ID_AHEAD_MAX above the last one: one line must not be able to use up all ids.
* One token is open at most. It ends with its commit (also a refused one), 30 s, any prepare (also a refused one), any
  stop, and every successful one-step order but `silence`: what was read back must still be so when it is committed.
  What changes without a line (an alarm, a button) is for the app to see: `drop_token()`.
* In locked mode the code of a line is checked before its id, so that nobody without the key is told a former answer.
* Only lines with a right code keep a session of locked mode alive, and only `hello` opens the next one, with another
  nonce. While one lives, `hello` tells its nonce: nobody can end the session of another.
"""

import binascii
import hashlib

from haipump_fw.const import const
from haipump_fw.proto import frame
from haipump_fw.proto.frame import Refused
from haipump_fw.proto.messages import (
    ACT,
    CONFIGURE,
    CONFIGURING,
    ID_MAX,
    LINE_MAX,
    PART_BYTES_MAX,
    PROTOCOL_VERSION,
    READ,
    SESSION_S,
    TOKEN_VALID_S,
)
from haipump_fw.proto.output import OUTPUT_MAX, Output

LINES_MAX = const(4)
TURNED_MAX = const(16)
ANSWERS_MAX = const(8)
ID_AHEAD_MAX = const(1_000_000)
LINE_IDLE_S = const(30)  # an unfinished line counts as conversation for so long after its last byte

_STOP_NOW = const(0x21)
_ANSWER_ROOM = LINE_MAX + 1
# Events, and answers to waiting lines, leave room for one full answer: that to a stop, which can come at any time.
_SPARE_ROOM = 2 * _ANSWER_ROOM
_DIGEST_DIGITS = const(64)


class Session:
    """One per boot. Give it bytes with `bytes_in`, call `work` until it says False, let `send` write.

    `app` offers (all but now_s and state_name may raise Refused(code, pairs); pairs are a list of (name, value)):
      now_s()       whole seconds of uptime          state_name()  the state's name
      answer(verb, fields) -> pairs                  for a READ; for hello only what the session can't know: `firmware`
      prepare(verb, fields, blob) -> (pairs, plan)   blob: the bytes of the parts for prepare_programme, else None
      commit(plan, order_id) -> pairs                act(verb, fields, order_id) -> pairs
      stop() -> pairs                                at once, and harmless when nothing moves
      stop_now()                                     motor off, now
      reserve(id)                                    before anything with that id is done; raises when it can't be noted
      nonce()                                        hex text that nobody can foretell, another one each time
    `device_id` is hex text, `next_id` the lowest id not yet used, `key` 32 bytes or None.
    The app may set `key` and `locked` at any time; `forged`, `wrong` and `lost_lines` only count up.
    """

    def __init__(self, app, device_id, boot, next_id, key=None, locked=False):
        self.app = app
        self.device_id = device_id
        self.boot = boot
        self.last_id = next_id - 1
        self.nonce = app.nonce()
        self.key = key
        self.locked = locked
        if key is not None:
            _auth()  # it takes time to load
        self._signed_s = app.now_s()  # when the last line with a right code came, or the session was opened
        self._token_configures = False
        self.forged = 0  # in locked mode: no code, a wrong one, an old id, or not for this key
        self.wrong = 0  # lines not executed for their form, their id or their code
        self.lost_lines = 0  # lines not executed whose answer had no room
        self._line = bytearray(LINE_MAX)
        self._line_view = memoryview(self._line)
        self._used = 0
        self._too_long = False
        self._heard_s = 0
        self._waiting = []
        self._turned = []  # lines that were turned away: (id, error code)
        self._stop_answer = None
        self._ids = [0] * ANSWERS_MAX
        self._crcs = [b""] * ANSWERS_MAX
        self._answers = [b""] * ANSWERS_MAX
        self._next_answer = 0
        self.token = None
        self._token_s = 0
        self._plan = None
        self._parts = bytearray()  # as large as `part_begin` says: there is seldom one, and the heap is short
        self._parts_size = 0
        self._parts_have = 0
        self._parts_s = 0
        self._parts_hash = ""
        self._events = 0
        self._events_dropped = 0
        self._output = Output()

    # --- bytes in

    def bytes_in(self, buf, n):
        """The first `n` bytes of `buf` have come. Executes stops at once, queues other lines."""
        if n:
            self._heard_s = self.app.now_s()
        # In pieces, not byte by byte: a stop may stand behind 256 bytes of something else.
        data = bytes(memoryview(buf)[:n])
        stops = data.lower().find(b"stop") >= 0
        stopped = _has_stop(data)
        if stopped:
            self._stop_now()  # before the lines ahead of it are looked at
        returns = data.find(b"\r") >= 0
        at = 0
        while at < n:
            if data[at] == _STOP_NOW and not self._used:
                stops = True
                if not stopped:
                    self._stop_now()
            end = _line_end(data, at) if returns else data.find(b"\n", at)
            if end < 0:
                self._gather(data[at:])
                return
            if self._used or end - at > LINE_MAX:
                self._gather(data[at:end])
                self._line_over(bytes(self._line_view[: self._used]), True)
                self._used = 0
            elif end > at:
                self._line_over(data[at:end], stops)
            at = end + 1

    def begun(self):
        """Bytes of a line that is not over."""
        return self._used

    def _gather(self, piece):
        """Keep a piece of a line that is not over; what does not fit is left out."""
        used = self._used
        count = min(len(piece), LINE_MAX - used)
        self._line[used : used + count] = piece[:count]
        self._used = used + count
        if count < len(piece):
            self._too_long = True

    def _stop_now(self):
        self.drop_token()
        try:
            self.app.stop_now()
        except Refused:
            pass  # the line's end stops again, and answers

    def _line_over(self, line, stops):
        """`stops`: it is worth looking whether this is a stop."""
        too_long = self._too_long
        self._too_long = False
        if stops and frame.is_stop(line):
            self._stop(frame.line_id(line))
        elif too_long:
            self._turn_away(line, "too_long")
        elif len(self._waiting) >= LINES_MAX:
            self._turn_away(line, "busy")
        else:
            self._waiting.append(line)

    def _stop(self, identity):
        self.drop_token()
        try:
            line = frame.answer(identity, self.app.stop())
        except Refused as refused:
            line = self._error(identity, refused)
        if not self._output.put(line):
            if self._stop_answer is not None:
                self.lost_lines += 1
            self._stop_answer = line  # a host that asks twice waits for the newer answer

    def _turn_away(self, line, code):
        """A line that will not be looked at is answered later, if there is room for that now: a stop may come next."""
        self.wrong += code == "too_long"
        if len(self._turned) >= TURNED_MAX or self._output.free() < _SPARE_ROOM:
            self.lost_lines += 1
        else:
            self._turned.append((frame.line_id(line), code))

    # --- bytes out

    def peek_byte(self):
        """The next byte for the host, or -1. Allocates nothing."""
        return self._output.peek()

    def send(self, write, limit):
        """Hand on at most `limit` of the bytes for the host; `write` and the answer as in `Output.offer`. Allocates
        nothing."""
        return self._output.offer(write, limit)

    def event(self, name, pairs):
        """Number an event and send it, or drop it when there is no room."""
        self._tell_dropped()
        if not self._put_event(name, pairs):
            self._events_dropped += 1

    def _put_event(self, name, pairs):
        self._events += 1
        line = frame.event(self._events, name, pairs)
        return self._output.free() >= len(line) + _SPARE_ROOM and self._output.put(line)

    def _tell_dropped(self):
        """True when there was something to tell, and room to do it."""
        if not self._events_dropped or self._output.free() < _ANSWER_ROOM + _SPARE_ROOM:
            return False
        self._put_event("dropped", [("events", self._events_dropped)])
        self._events_dropped = 0
        return True

    # --- one waiting line

    def work(self):
        """Do one thing that waits: an answer that had no room, the count of dropped events, or one line. True when
        something was done."""
        if self._stop_answer is not None:
            if not self._output.put(self._stop_answer):
                return False
            self._stop_answer = None
            return True
        if self._tell_dropped():
            return True
        if self._output.free() < _SPARE_ROOM:
            return False
        if self._turned:
            identity, code = self._turned.pop(0)
            self._output.put(frame.error(identity, code, self.app.state_name()))
            return True
        if not self._waiting:
            return False
        self._output.put(self._handle(self._waiting.pop(0)))
        return True

    def idle(self):
        """True when nothing waits, neither for us nor for the host to take it: the quick answer for the loop."""
        return (
            not self._waiting
            and not self._turned
            and self._output.free() == OUTPUT_MAX
            and self._stop_answer is None
            and not self._events_dropped
        )

    def waiting(self):
        """True when `work` would do something now; False also while all that waits waits for room in the output."""
        free = self._output.free()
        if self._stop_answer is not None:
            return free >= len(self._stop_answer)
        if self._events_dropped and free >= _ANSWER_ROOM + _SPARE_ROOM:
            return True
        return bool(self._waiting or self._turned) and free >= _SPARE_ROOM

    def conversing(self):
        """True while a token is open, lines wait, or a line is unfinished whose last byte is not long ago."""
        now_s = self.app.now_s()
        if self.token is not None and now_s - self._token_s <= TOKEN_VALID_S:
            return True
        return bool(self._waiting) or (self._used > 0 and now_s - self._heard_s <= LINE_IDLE_S)

    def _handle(self, line):
        """The answer to a line, after doing what it asks for."""
        identity = frame.line_id(line)
        try:
            request = frame.read(line)
            if request.kind == READ:
                return frame.answer(identity, self._read(request.verb, request.fields()))
            if self.locked:
                self._check_mac(request)
            former = self._former(request)
            if former is not None:
                return former
            fields = _checked(request.fields())
            self.app.reserve(identity)
        except Refused as refused:
            self.wrong += 1
            return self._error(identity, refused)
        self.last_id = identity
        try:
            line = frame.answer(identity, self._execute(request.verb, request.kind, fields, identity))
        except Refused as refused:
            line = self._error(identity, refused)
        slot = self._next_answer
        self._ids[slot] = identity
        self._crcs[slot] = request.crc
        self._answers[slot] = line
        self._next_answer = (slot + 1) % ANSWERS_MAX
        return line

    def _error(self, identity, refused):
        return frame.error(identity, refused.code, self.app.state_name(), refused.pairs)

    def _read(self, verb, fields):
        pairs = self.app.answer(verb, fields)
        if verb != "hello":
            return pairs
        if self.locked and self._session_over():
            self.nonce = self.app.nonce()
            self._signed_s = self.app.now_s()
        proof = []
        if self.key is not None and "challenge" in fields:
            proof = [("proof", _auth().proof(self.key, self.nonce, fields["challenge"]))]
        return (
            [("protocol", PROTOCOL_VERSION)]
            + list(pairs)
            + [
                ("device", self.device_id),
                ("boot", self.boot),
                ("next_id", self.last_id + 1),
                ("locked", 1 if self.locked else 0),
                ("nonce", self.nonce),
            ]
            + proof
        )

    def _session_over(self):
        return self.app.now_s() - self._signed_s > SESSION_S

    def _check_mac(self, request):
        """Who is it, and may he? Raises Refused (locked, mac, role)."""
        auth = _auth()
        if request.mac is None:
            self._forgery("locked")
        role = 0 if self.key is None else auth.role_of(self.key, self.nonce, request.mac, request.signed)
        if not role:
            self._forgery("mac")
        if self._session_over():
            if request.id <= self.last_id:
                self._forgery("mac")
            raise Refused("mac", [("what", "session_over")])  # the host says hello, and signs anew
        self._signed_s = self.app.now_s()
        configures = request.verb in CONFIGURE or (request.verb == "commit" and self._token_configures)
        if configures and role != CONFIGURING:
            self._forgery("role")

    def _forgery(self, code):
        self.forged += 1
        raise Refused(code)

    def _former(self, request):
        """The answer that this very line got before; None when its id is new. Raises Refused (stale, reused, range)."""
        next_id = self.last_id + 1
        if request.id >= next_id:
            highest = min(self.last_id + ID_AHEAD_MAX, ID_MAX)
            if request.id > highest:
                raise Refused("range", [("field", "id"), ("minimum", next_id), ("maximum", highest)])
            return None
        code = "stale"
        for slot in range(ANSWERS_MAX):
            if self._ids[slot] == request.id:
                if self._crcs[slot] == request.crc:
                    return self._answers[slot]
                code = "reused"
        if self.locked:
            self.forged += 1
        raise Refused(code, [("next_id", next_id)])

    # --- what changes something

    def _execute(self, verb, kind, fields, identity):
        if verb == "commit":
            return self.app.commit(self._take_plan(fields["token"]), identity)
        if kind == ACT:
            pairs = self.app.act(verb, fields, identity)
            if verb != "silence":
                self.drop_token()
            return pairs
        if verb == "part_begin":
            return self._part_begin(fields)
        if verb == "part":
            return self._part(fields["offset"], fields["data"])
        return self._prepare(verb, fields, identity)

    def _prepare(self, verb, fields, identity):
        self.drop_token()
        blob = self._blob(fields["sha256"]) if verb == "prepare_programme" else None
        pairs, plan = self.app.prepare(verb, fields, blob)
        text = frame.pairs_text(pairs)[1:]
        self._plan = plan
        self._token_configures = verb in CONFIGURE
        self._token_s = self.app.now_s()
        # Tokens of two prepares differ like any two CRC-32 of different texts; the id makes the texts differ.
        self.token = frame.checksum(("%s|%d|%s" % (self.nonce, identity, text)).encode()).decode()
        opened = [("token", self.token), ("valid_s", TOKEN_VALID_S), ("hash", frame.checksum(text.encode()).decode())]
        return opened + list(pairs)

    def _take_plan(self, token):
        """The plan of the open token, which is used up with it. A wrong token leaves the open one alone."""
        if self.token is None or token != self.token:
            raise Refused("token")
        plan = self._plan
        expired = self.app.now_s() - self._token_s > TOKEN_VALID_S
        self.drop_token()
        if expired:
            raise Refused("token", [("what", "expired")])
        return plan

    def pending_s(self):
        """Seconds since the open token was given, -1: there is none, or it has expired."""
        age_s = -1 if self.token is None else self.app.now_s() - self._token_s
        return age_s if age_s <= TOKEN_VALID_S else -1

    def drop_token(self):
        """Nothing is open any more: a commit will be refused until the next prepare."""
        self.token = None
        self._plan = None

    # --- long things in parts

    def _part_begin(self, fields):
        self._parts_size = fields["size"]
        self._parts = bytearray(self._parts_size)
        self._parts_hash = fields["sha256"]
        self._parts_have = 0
        self._parts_s = self.app.now_s()
        return [("what", fields["what"]), ("size", self._parts_size)]

    def _part(self, offset, data):
        have = self._parts_have
        if offset != have:
            self._refuse_part("offset")
        if have + len(data) > self._parts_size or len(data) > PART_BYTES_MAX:
            self._refuse_part("size")
        self._parts[have : have + len(data)] = data
        self._parts_have = have + len(data)
        self._parts_s = self.app.now_s()
        return [("have", self._parts_have)]

    def tidy(self):
        """To be called now and then: parts that were begun and left are given up, and their memory with them."""
        if self._parts_size and self.app.now_s() - self._parts_s > SESSION_S:
            self._parts = bytearray()
            self._parts_size = self._parts_have = 0

    def _blob(self, digest):
        """All parts as one, complete and with the hash that both part_begin and prepare named."""
        if self._parts_size == 0 or self._parts_have != self._parts_size:
            self._refuse_part("incomplete")
        blob = bytes(self._parts)
        found = binascii.hexlify(hashlib.sha256(blob).digest()).decode()
        if found != digest or found != self._parts_hash:
            self._refuse_part("sha256")
        return blob

    def _refuse_part(self, what):
        raise Refused("part", [("what", what), ("have", self._parts_have), ("size", self._parts_size)])


def _auth():
    """Half a kilobyte that a pump without a key never needs."""
    from haipump_fw.proto import auth

    return auth


def _has_stop(data):
    """A line that stops begins behind another one in this piece: `!`, or the bare word. Others wait for their turn."""
    if data.find(b"\n!") >= 0:
        return True
    at = data.lower().find(b"\nstop")
    return at >= 0 and data[at + 5 : at + 6] in (b"\n", b"\r", b" ")


def _line_end(data, at):
    """Where the line ends that begins at `at`, -1 when it goes on."""
    end = data.find(b"\n", at)
    other = data.find(b"\r", at)
    return other if 0 <= other < end or end < 0 else end


def _checked(fields):
    """Digests and keys are written in full: a short one is a mistake, not a small number."""
    for name in ("sha256", "key"):
        if name in fields and len(fields[name]) != _DIGEST_DIGITS:
            raise Refused("field", [("what", "form"), ("field", name)])
    return fields
