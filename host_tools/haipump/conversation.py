"""One conversation with one pump: questions and answers, events in between, retries that can never deliver twice.

Owns: ids, time-outs, repeating, reconnecting, what is proven about an order whose answer was lost. Must not: know what
an order means (`client`) or how bytes travel (`transport`).

Why nothing happens twice:
* A line that changes something keeps its id and its bytes for as long as it is repeated; the pump executes an id once
  and answers a repetition from memory.
* A new id is taken for the same intent only when the pump has refused the first one unexecuted (it came only once, and
  the answer is `stale`, `reused` or `mac`), and the pump has not restarted in between.
* After a restart of the pump nothing is repeated. Either its next id proves that ours never arrived (`NotExecuted`), or
  the caller's `find_out` asks the pump what became of it, or it is `OutcomeUnknown`.
That a line keeps its bytes in order is taken for granted (USB, ptys and TCP do): when a greeting is answered, what was
sent before it has been handled or is lost.
A locked pump has to prove that it has the key before it gets anything that is signed, and each of its sessions has a
nonce of its own: after three minutes without orders it answers `mac`, and the line is signed anew after a greeting.
Reads and prepares change nothing and may be repeated freely. The ids of reads are only echoed by the pump; they come
from a range of their own, so that no late answer to one is taken for the answer to another.
"""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from haipump.errors import (
    AnswerTimeout,
    CommunicationError,
    LinkLost,
    NotAPump,
    NotExecuted,
    OutcomeUnknown,
    PortBusy,
    PortError,
    Refused,
    UsageError,
    WrongKey,
)
from haipump.protocol import help as texts
from haipump.protocol.codec import (
    Answer,
    Event,
    LineError,
    LineSplitter,
    encode_request,
    mac_of,
    operator_key,
    parse_line,
    typed_answer,
    typed_error,
)
from haipump.protocol.schema import ACT, MESSAGES, READ, STOP, Value
from haipump.transport.base import Disconnected, Transport
from haipump_fw.proto.messages import ID_MAX, PROTOCOL_VERSION

ANSWER_TIMEOUT_S = 1.0  # an erase of the pump's flash takes up to 0.4 s
SLOW_ANSWER_S = {"selftest": 10.0}
TRIES_MAX = 4  # of one line on one connection
ROUNDS_MAX = 4  # of one request over reconnections
GREETING_TRIES_MAX = 5
STOP_LINE = b"\n!\n"
STOPS_AT_ONCE = 2  # a byte of noise may spoil one of them
# Each line that is turned away is answered before one that waits is looked at: who asks often waits longer.
BUSY_PAUSE_S, BUSY_PAUSE_LONGEST_S = 0.05, 0.5
BUSY_S = 10.0  # a pump that is busy with what came before us is waited for so long, and not given up after some tries
SETTLE_S = 0.05  # when it complains about a line that may be ours, it has worked off all others after so much quiet
READ_STEP_S = 0.25  # a wait is cut into reads of this length
RECONNECT_FIRST_S, RECONNECT_LONGEST_S = 0.05, 2.0
PATIENCE_S = 20.0  # how long a lost port is waited for
SILENT_S = 3.0  # after this the user is told that we are waiting
HEARD_MAX = 200
CHALLENGE_BYTES = 8
EVENTS_MAX = 1_000
_READ_ID_FIRST = 900_000_000

LOOK_AT = "check the cable and the pump's lights; `haipump status` asks again"

Fields = dict[str, Value]
Request = Mapping[str, Value | None]
FindOut = Callable[[int], Fields | None]


@dataclass(frozen=True)
class Greeting:
    """The answer to `hello`: who is there."""

    protocol: int
    firmware: str
    device: str
    boot: int
    next_id: int
    locked: bool
    nonce: str
    proof: str = ""  # code over our challenge


class _Restarted(Exception):
    """The pump has started anew while we waited."""


class _Lost(Exception):
    """An attempt ended without an answer. `cause` is what ended it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Conversation:
    """`key` is the 32-byte key for locked mode. `patience_s`: how long a port that vanished is waited for. `on_silence`
    is called with how many seconds an answer has stayed away, again and again, and with 0 when something comes.
    `on_busy` is called with how many seconds a greeting has been turned away. `look_at`: what to look at when nobody
    answers."""

    def __init__(
        self,
        transport: Transport,
        key: bytes | None = None,
        patience_s: float = PATIENCE_S,
        on_silence: Callable[[float], None] | None = None,
        look_at: str = LOOK_AT,
        on_busy: Callable[[float], None] | None = None,
    ) -> None:
        self.transport = transport
        self.on_silence = on_silence
        self.on_busy = on_busy
        self.look_at = look_at
        self._since: float | None = None  # nothing has come since then
        self._told_silent = False
        self._told_busy = False
        self.key = key
        self.patience_s = patience_s
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.events_missed = self.events_taken = 0
        self.closed = False
        self.stopped_outside = False  # by a signal; from then on nothing is begun
        self.on_state: Callable[[str], None] | None = None  # called with every state that is heard
        self.stopping = False  # a stop is the first thing that a new connection sends
        self.stop_answer = ""  # the state in the answer to it
        self._challenge = secrets.token_hex(CHALLENGE_BYTES)
        self._depth = 0  # of calls that are talking
        self._splitter = LineSplitter()
        self._behind: list[bytes] = []  # lines that came in one piece with an answer, after it
        self._heard = bytearray()
        self._greeting: Greeting | None = None
        self._restarted = False
        self._unproven = False  # our key is another one than when we greeted
        self._busy = False  # while we waited last, the pump turned lines away
        self._last_event: int | None = None
        self._next_id = 1
        self._read_id = _READ_ID_FIRST

    # --- opening and closing

    def start(self, stopping: bool = False) -> Greeting:
        """Open the port and greet. `stopping`: the first thing that is sent, and sent again before every greeting, is a
        stop. Raises PortError (NotAPump when nobody answers as a pump does), CommunicationError."""
        self.closed = False
        self.stopping = stopping
        self.transport.open()
        try:
            greeting = self._greet()
            self.stopping = False
            return greeting
        except (AnswerTimeout, Disconnected, LineError) as failure:
            heard = bytes(self._heard[-HEARD_MAX:])
            self.transport.close()
            if heard.startswith(b"# refused: "):
                who = _printable(heard.partition(b"\n")[0].removeprefix(b"# refused: ").removeprefix(b"in use by "))
                name = self.transport.name
                raise PortBusy(name, who.strip('"')) from failure
            if self._busy:
                raise AnswerTimeout(
                    f"the pump at {self.transport.name} is busy: it turned away all that it was asked",
                    "Nothing was changed; a pump that is delivering goes on",
                    "try again in a moment: it may be starting, or working off what another program sent",
                    heard,
                ) from failure
            said = f"it said {_printable(heard)}" if heard else "it said nothing"
            raise NotAPump(
                f"the port {self.transport.name} does not answer as a pump does: {said}",
                state="Nothing was changed; a pump that is delivering goes on",
                next_step="is it the right port (`haipump ports`)? Is the pump in service mode? Switch it off and on"
                if self.look_at == LOOK_AT
                else self.look_at,
            ) from failure
        except BaseException:
            self.transport.close()
            raise

    def close(self) -> None:
        """For good: what is asked of it from now on is refused."""
        self.closed = True
        self.transport.close()

    @property
    def greeting(self) -> Greeting:
        """Who we speak to, as of the last greeting."""
        if self._greeting is None:
            raise CommunicationError("there is no connection yet", next_step="use `haipump.connect`")
        return self._greeting

    # --- asking

    def request(
        self,
        verb: str,
        fields: Request | None = None,
        find_out: FindOut | None = None,
        tries: int = TRIES_MAX,
        alike: set[int] | None = None,
    ) -> Fields:
        """The typed answer to one message. Raises Refused, CommunicationError, FieldError. `tries`: how often what may
        be repeated freely is sent on one connection. `alike`: ids of the same question asked before (this one's is
        added), the late answer to which is as good.

        `find_out` is asked, with the message's id, when the pump took a message of kind ACT and its answer is lost for
        good. It returns the answer when the message was executed, None when it was proven not to be, and raises
        OutcomeUnknown when nobody can tell."""
        with self._talking():
            if self._restarted or self._unproven:
                self.greet_again()
            if MESSAGES[verb].kind == ACT:
                return self._act(verb, fields or {}, find_out)
            return self._repeatable(verb, fields or {}, tries, alike)

    def use_key(self, key: bytes | None) -> None:
        """Sign with this key from now on. The pump is greeted before the next question, so that it can prove it."""
        self.key = key
        self._unproven = True

    def has_key(self, key: bytes) -> bool:
        """Ask whether the pump has this key, and use it if so. Zeros: has it none? Raises CommunicationError."""
        before, zeros = self.key, not any(key)
        self.use_key(key)
        try:
            self.greet_again()
        except CommunicationError:
            self.use_key(before)
            raise
        found = not self.greeting.proof if zeros else self._proven(key, self.greeting)
        self.use_key((None if zeros else key) if found else before)
        return found

    def check_open(self) -> None:
        """Raises UsageError after `close`: nothing opens the port again behind its back."""
        if self.closed:
            raise UsageError(
                f"the connection to {self.transport.name} is closed",
                next_step="connect anew; inside the `with` block it stays open",
            )

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """While something is asked or heard. Raises UsageError when the conversation is closed."""
        self.check_open()
        if self._depth == 0:
            self._since = None
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def stop_byte(self) -> None:
        """Send `!` as a line of its own. Whether it worked is for the caller to ask. Raises LinkLost."""
        with self._talking():
            try:
                self.transport.write(STOP_LINE)
            except Disconnected as failure:
                self.stopping = True
                self._reconnect(failure)  # which sends it first thing

    def stop_from_outside(self) -> None:
        """Send the stop at once, from a signal handler, whatever is going on; nothing that was ordered before it is
        sent after it. A connection that is lost sends it first thing when it comes back."""
        self.stopped_outside = self.stopping = True
        try:
            self.transport.write(STOP_LINE * STOPS_AT_ONCE)
            self.stopping = False
        except Disconnected:
            return
        if self._depth == 0 and not self.closed:  # nobody else would hear what came of it
            with suppress(CommunicationError, Refused, PortError):
                self.request("status", tries=1)

    def listen(self, timeout_s: float) -> bool:
        """Take in what comes for at most so long, until at least one event is there. True when there is one."""
        with self._talking():
            self._hear(timeout_s, lambda: bool(self.events))
        return bool(self.events)

    def rest(self, timeout_s: float) -> None:
        """Let at most so much time pass: less when an event comes, or a stop from another terminal."""
        before = self.stopped_outside, self.events_taken
        with self._talking():
            self._hear(timeout_s, lambda: (self.stopped_outside, self.events_taken) != before)

    def _hear(self, timeout_s: float, enough: Callable[[], bool]) -> None:
        """Take in what comes, for at most so long."""
        deadline = self.transport.now() + timeout_s
        while not enough():
            left = deadline - self.transport.now()
            try:
                for line in self._receive(max(0.0, min(left, READ_STEP_S))):
                    self._take_event(line)
            except Disconnected as failure:
                self._reconnect(failure)
            if left <= 0:
                break

    # --- what may be repeated freely

    def _repeatable(self, verb: str, fields: Request, tries: int = TRIES_MAX, alike: set[int] | None = None) -> Fields:
        failure: Exception = AssertionError("no round was made")
        for _ in range(ROUNDS_MAX):
            id = self._new_id(verb)
            line = self._encode(verb, fields, id)
            nonce = self.greeting.nonce
            ids = set() if alike is None else alike
            ids.add(id)
            try:
                answer, _ = self._exchange(verb, id, line, tries, ids)
            except _Lost as lost:
                if isinstance(lost.cause, AnswerTimeout):
                    raise lost.cause from None
                failure = lost.cause
                self._recover(lost.cause)
                continue
            if answer.ok:
                return self._typed(verb, answer)
            failure = self._refusal(verb, answer)
            if answer.code not in ("stale", "reused", "mac"):
                raise failure
            self.greet_again()
            if answer.code == "mac" and self.greeting.nonce == nonce:
                raise failure
        raise _as_communication_error(failure, verb)

    # --- what must not happen twice

    def _act(self, verb: str, fields: Request, find_out: FindOut | None) -> Fields:
        id, boot, nonce = self._new_id(verb), self.greeting.boot, self.greeting.nonce
        line = self._encode(verb, fields, id)
        sent_before = False
        for _ in range(ROUNDS_MAX):
            self._not_after_a_stop(verb, id, sent_before)
            try:
                answer, times = self._exchange(verb, id, line)
            except _Lost as lost:
                sent_before = True
                self._recover_or_unknown(verb, id, lost.cause)
                now = self.greeting
                if now.boot != boot:
                    return self._after_restart(verb, id, find_out)
                if isinstance(lost.cause, AnswerTimeout) and now.next_id <= id:
                    raise NotExecuted(
                        f"{texts.VERBS[verb].name} did not reach the pump",
                        self._state_text(),
                        "nothing happened; try again",
                    ) from lost.cause
                if now.nonce != nonce and now.locked:
                    return self._ask(verb, id, find_out)  # the same bytes would not be accepted any more
                continue
            if answer.ok:
                return self._typed(verb, answer)
            refusal = self._refusal(verb, answer)
            if answer.code not in ("stale", "reused", "mac"):
                raise refusal
            self._recover_or_unknown(verb, id, refusal)
            if times > 1 or sent_before:
                # also after `mac`: the first one may have changed the key
                return self._ask(verb, id, find_out)
            if answer.code == "mac" and self.greeting.nonce == nonce:
                raise refusal
            if self.greeting.boot != boot:
                raise self._restarted_before(verb)
            id, nonce = self._new_id(verb), self.greeting.nonce
            line = self._encode(verb, fields, id)
        raise self._unknown(verb, id)

    def _after_restart(self, verb: str, id: int, find_out: FindOut | None) -> Fields:
        if self.greeting.next_id <= id:
            raise self._restarted_before(verb)
        return self._ask(verb, id, find_out)

    def _restarted_before(self, verb: str) -> NotExecuted:
        return NotExecuted(
            f"the pump restarted before it took {texts.VERBS[verb].name}",
            self._state_text(),
            "it is stopped: look at it and start anew",
        )

    def _ask(self, verb: str, id: int, find_out: FindOut | None) -> Fields:
        """The pump used up the id; the answer is lost for good."""
        if find_out is None:
            raise self._unknown(verb, id)
        try:
            answer = find_out(id)
        except CommunicationError as failure:
            raise self._unknown(verb, id) from failure
        if answer is None:
            raise NotExecuted(
                f"the pump did not execute {texts.VERBS[verb].name}", self._state_text(), "nothing happened; try again"
            )
        return answer

    def _unknown(self, verb: str, id: int) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the answer to {texts.VERBS[verb].name} (number {id}) was lost, and it may or may not have been executed",
            self._state_text(),
            "look at `haipump status` before you repeat anything",
            id,
        )

    def _recover_or_unknown(self, verb: str, id: int, cause: Exception) -> None:
        try:
            self._recover(cause)
        except CommunicationError as failure:
            heard = failure.heard if isinstance(failure, AnswerTimeout) else b""
            raise OutcomeUnknown(
                f"the connection broke while {texts.VERBS[verb].name} (number {id}) was under way"
                + (f", last heard {_printable(heard)}" if heard else ""),
                "It may have been executed; a running delivery goes on without the host",
                "look at the pump; reconnect and ask `haipump status` before you repeat anything",
                id,
            ) from failure

    def _state_text(self) -> str:
        try:
            return texts.state_sentence(str(self._repeatable("status", {})["state"]))
        except (CommunicationError, Refused):
            return "The pump's state is not known"

    # --- one line and its answer

    def _exchange(
        self, verb: str, id: int, line: bytes, tries: int = TRIES_MAX, ids: Iterable[int] = ()
    ) -> tuple[Answer, int]:
        """Send until answered; `ids`: others whose answer will do. Returns the answer and how often the line was sent.
        Raises _Lost."""
        self._heard.clear()
        answer, all_refused = None, True
        times, left, began = 0, tries, self.transport.now()
        while left > 0:
            times += 1
            orders = MESSAGES[verb].kind == ACT
            if orders and times > 1:
                self._not_after_a_stop(verb, id, True)
            try:
                self.transport.write(line)
                if orders and self.stopped_outside:
                    self.transport.write(STOP_LINE)  # the signal came between our look and the line
                answer = self._await(verb, id, *ids)
            except (Disconnected, _Restarted) as failure:
                raise _Lost(failure) from failure
            # A pump that is still busy with what came before costs no try.
            left -= not self._busy or self.transport.now() - began >= BUSY_S
            if answer is None or answer.code in ("crc", "syntax", "too_long"):
                all_refused &= answer is not None
                continue  # lost, or damaged on the way
            if answer.code == "busy":
                self.transport.sleep(min(BUSY_PAUSE_S * times, BUSY_PAUSE_LONGEST_S))
                continue
            return answer, times
        if answer is not None and all_refused:
            return answer, times  # only then: one of those without an answer may have been executed
        heard = bytes(self._heard[-HEARD_MAX:])
        said = f"heard only {_printable(heard)}" if heard else "heard nothing at all"
        raise _Lost(
            AnswerTimeout(
                f"the pump did not answer {verb} ({times} {'try' if times == 1 else 'tries'}): {said}",
                "Unknown; a running delivery goes on without the host",
                self.look_at,
                heard,
            )
        )

    def _not_after_a_stop(self, verb: str, id: int, sent_before: bool) -> None:
        """What was ordered before somebody else stopped the pump must not start it again."""
        if not self.stopped_outside:
            return
        if sent_before:
            raise OutcomeUnknown(
                f"{texts.VERBS[verb].name} (number {id}) was under way when the pump was stopped from another terminal",
                "The stop was sent after it",
                "look at `haipump status`",
                id,
            )
        raise NotExecuted(
            f"the pump was stopped from another terminal, and {texts.VERBS[verb].name} was ordered before that",
            "It was not sent",
            "give the order again if it is still meant",
        )

    def _await(self, verb: str, *ids: int, within_s: float | None = None) -> Answer | None:
        """The answer to one of `ids`; None when it does not come (in `within_s`, or as long as it may take), or when
        the pump complains about a line whose id it could not read, and answers nothing more: then ours probably came
        damaged or was turned away, and is sent again."""
        if self._since is None:
            self._since = self.transport.now()
        self._busy = complained = False
        longest_s = SLOW_ANSWER_S.get(verb, ANSWER_TIMEOUT_S) if within_s is None else within_s
        deadline = self.transport.now() + longest_s
        until = deadline
        while (left := until - self.transport.now()) > 0:
            lines = self._receive(left)
            while lines:
                answer = self._take(lines.pop(0))
                if answer is None:
                    continue
                self._busy |= answer.code == "busy"
                if answer.ok and answer.id is None:  # we ask nothing without an id but `!`
                    self.stop_answer = answer.fields.get("state", self.stop_answer)
                if answer.id in ids:
                    if answer.ok and not self._fits(verb, answer):
                        continue
                    self._behind = lines  # events may have come in one piece with the answer
                    return answer
                complained |= answer.id is None and not answer.ok
                if complained:
                    until = min(deadline, self.transport.now() + SETTLE_S)
        if not complained:
            self._tell_silence()
        return None

    def _await_good(self, verb: str, ids: Iterable[int], for_s: float) -> Answer | None:
        """A good answer to one of `ids`, within so many seconds; refusals are passed over."""
        until = self.transport.now() + for_s
        while (left := until - self.transport.now()) > 0:
            answer = self._await(verb, *ids, within_s=left)
            if answer is not None and answer.ok:
                return answer
        return None

    def _tell_busy(self, waited_s: float) -> None:
        """Tell whoever wants to know that the pump turns us away; 0: it does not any more."""
        if self.on_busy is not None and (waited_s >= SILENT_S or not waited_s and self._told_busy):
            self._told_busy = waited_s > 0
            self.on_busy(waited_s)

    def _tell_silence(self) -> None:
        """Tell whoever wants to know that nothing has come for long."""
        waited = 0.0 if self._since is None else self.transport.now() - self._since
        if self.on_silence is not None and waited >= SILENT_S:
            self._told_silent = True
            self.on_silence(waited)

    @staticmethod
    def _fits(verb: str, answer: Answer) -> bool:
        try:
            typed_answer(verb, answer)
        except LineError:
            # the greeting of another protocol may have other fields, and says so itself
            return "cut" in answer.fields or (verb == "hello" and "protocol" in answer.fields)
        return True

    def _receive(self, timeout_s: float) -> list[bytes]:
        if self._behind:
            lines, self._behind = self._behind, []
            return lines
        data = self.transport.read(timeout_s)
        if data:
            self._since = None
            if self._told_silent and self.on_silence is not None:
                self.on_silence(0.0)
            self._told_silent = False
        self._heard += data
        del self._heard[: -2 * HEARD_MAX]
        return self._splitter.feed(data)

    def _take(self, raw: bytes) -> Answer | None:
        """Sort one line: events go to the queue, what is damaged is dropped. Raises _Restarted."""
        try:
            line = parse_line(raw)
        except LineError:
            return None
        if isinstance(line, Answer):
            return line
        self._queue(line)
        if self._restarted:
            raise _Restarted
        return None

    def _take_event(self, raw: bytes) -> None:
        try:
            line = parse_line(raw)
        except LineError:
            return
        if isinstance(line, Event):
            self._queue(line)

    def _queue(self, event: Event) -> None:
        if event.name == "boot":
            self._last_event = None
            if self._greeting is not None and event.fields.get("boot") != self._greeting.boot:
                self._restarted = True
        if event.number == self._last_event:
            return  # the line was doubled on its way
        missed = 0
        if self._last_event is not None:
            missed = max(0, event.number - self._last_event - 1)
        self._last_event = event.number
        self.events_missed += missed
        self._hear_state(event.fields)
        self.events_taken += 1
        self.events.append(Event(event.number, event.name, event.fields, missed))

    def _hear_state(self, fields: Mapping[str, Value]) -> None:
        if self.on_state is not None and "state" in fields:
            self.on_state(str(fields["state"]))

    def _typed(self, verb: str, answer: Answer) -> Fields:
        try:
            fields = typed_answer(verb, answer)
            self._hear_state(fields)
            return fields
        except LineError as failure:
            raise CommunicationError(
                f"the answer to {verb} is incomplete ({failure})",
                "Unchanged by this",
                "update the host tools or the firmware",
            ) from failure

    def _refusal(self, verb: str, answer: Answer) -> Refused:
        fields = typed_error(answer)
        code = answer.code
        why, advice = texts.refusal_sentence(code, fields, verb), texts.next_step(code, fields)
        if code == "alarm" and "alarm" in fields:
            why, advice = texts.alarm_refusal(str(fields["alarm"]), self._alarm_phase(str(fields["alarm"])))
        what = f"the pump refused {texts.VERBS[verb].name}: {why}"
        return Refused(what, texts.state_sentence(str(fields.get("state", ""))), advice, code, fields)

    def _alarm_phase(self, alarm: str) -> str:
        """active, acknowledged or latched; empty when that can't be found out."""
        index, count = 0, 1
        try:
            while index < count:
                values = self._repeatable("alarms", {"index": index})
                if values["alarm"] == alarm:
                    return str(values["phase"])
                index, count = index + 1, int(values["count"])
        except (CommunicationError, Refused):
            pass
        return ""

    # --- ids, greeting, reconnecting

    def _new_id(self, verb: str) -> int:
        if MESSAGES[verb].kind == READ:
            self._read_id = self._read_id + 1 if self._read_id < ID_MAX else _READ_ID_FIRST
            return self._read_id
        id = self._next_id
        self._next_id += 1
        return id

    def _encode(self, verb: str, fields: Request, id: int) -> bytes:
        greeting = self.greeting
        key = self.key if greeting.locked and MESSAGES[verb].kind not in (READ, STOP) else None
        if key is not None and not self._proven(key, greeting):
            raise WrongKey
        return encode_request(verb, fields, id=id, key=key, nonce=greeting.nonce)

    def _greet(self) -> Greeting:
        """Ask who is there. Raises AnswerTimeout, Disconnected, LineError, CommunicationError."""
        self._splitter.clear()
        self._restarted = self._unproven = False
        if not self.stopping:  # a stop begins with it
            self.transport.write(b"\n")  # ends what a host before us may have left unfinished
        left, began, pause = GREETING_TRIES_MAX, self.transport.now(), BUSY_PAUSE_S
        asked: set[int] = set()  # a slow pump's answer to an earlier greeting of ours is as good
        while left > 0:
            if self.stopping:
                self.stop_answer = ""  # only what is heard after it counts
                self.transport.write(STOP_LINE * STOPS_AT_ONCE)
            id = self._new_id("hello")
            asked.add(id)
            challenge = None if self.key is None else self._challenge
            self.transport.write(encode_request("hello", {"challenge": challenge}, id=id))
            try:
                answer = self._await("hello", *asked)
                busy = self._busy and (answer is None or not answer.ok)
                if busy:
                    self._tell_busy(self.transport.now() - began)
                    answer = self._await_good("hello", asked, pause)
                    pause = min(2 * pause, BUSY_PAUSE_LONGEST_S)
            except _Restarted:
                self._restarted = False
                asked.clear()
                left -= 1
                continue
            left -= not busy or self.transport.now() - began >= BUSY_S
            if answer is not None and answer.ok:
                self._tell_busy(0.0)
                try:
                    return self._greeted(answer)
                except (LineError, CommunicationError) as failure:
                    if not self.stopping or self.stop_answer or left <= 0 or isinstance(failure, LinkLost):
                        raise  # else: once more, for the stop and its answer
            self._busy = busy  # for whoever explains why it was in vain
        heard = bytes(self._heard[-HEARD_MAX:])
        raise AnswerTimeout("the pump does not answer", "Unknown", "check the cable and the pump's power", heard)

    def _greeted(self, answer: Answer) -> Greeting:
        spoken = answer.fields.get("protocol")
        if spoken is not None and spoken != str(PROTOCOL_VERSION):
            raise CommunicationError(
                f"the pump speaks protocol {spoken}, these tools speak {PROTOCOL_VERSION}",
                "Unchanged",
                "update the host tools or the firmware, so that both are of one release",
            )
        fields = typed_answer("hello", answer)
        greeting = Greeting(
            int(fields["protocol"]),
            str(fields["firmware"]),
            str(fields["device"]),
            int(fields["boot"]),
            int(fields["next_id"]),
            bool(fields["locked"]),
            str(fields["nonce"]),
            str(fields.get("proof", "")),
        )
        if self._greeting is not None and greeting.device != self._greeting.device:
            raise LinkLost(
                f"another pump is at {self.transport.name} now ({greeting.device}, not {self._greeting.device})",
                "Neither got anything",
                "connect anew to the one that you mean",
            )
        self._greeting = greeting
        # Never backwards: an id that was given out may still be on its way.
        self._next_id = max(self._next_id, greeting.next_id)
        self._restarted = False
        return greeting

    def _proven(self, key: bytes, greeting: Greeting) -> bool:
        """Whether the pump has our key, be it the one that configures or the operator's."""
        signed = f"proof|{self._challenge}"
        codes = [mac_of(each, greeting.nonce, signed) for each in (key, operator_key(key))]
        return any(hmac.compare_digest(greeting.proof, code) for code in codes)

    def greet_again(self) -> None:
        """Ask again who is there: lock state, nonce and next id may have changed. Raises CommunicationError."""
        with self._talking():
            self._regreet()

    def _regreet(self) -> None:
        try:
            self._greet()
        except Disconnected as failure:
            self._reconnect(failure)
        except LineError as failure:
            raise _as_communication_error(failure, "hello") from failure

    def _recover(self, cause: Exception) -> None:
        """After a lost attempt: have a connection and a fresh greeting. Raises CommunicationError."""
        if isinstance(cause, Disconnected):
            self._reconnect(cause)
        else:
            self.greet_again()

    def _reconnect(self, cause: Exception) -> None:
        """Open the port of the same name again, waiting longer each time, for at most `patience_s`. Raises LinkLost."""
        began, pause = self.transport.now(), RECONNECT_FIRST_S
        if self._since is None:
            self._since = began
        self._last_event = None
        failure: Exception = cause
        while self.transport.now() - began < self.patience_s:
            self.transport.close()
            self.transport.sleep(pause)
            self._tell_silence()
            pause = min(2 * pause, RECONNECT_LONGEST_S)
            try:
                self.transport.open()
                self._greet()
                self.stopping = False
                return
            except (PortError, Disconnected, AnswerTimeout, LineError) as again:
                failure = again
        self.transport.close()
        raise LinkLost(
            f"the port {self.transport.name} is gone ({cause}) and did not come back in {self.patience_s:.0f} s",
            "Unknown; a running delivery goes on without the host",
            "check the cable and the pump's power, then look at `haipump status`",
        ) from failure


def _as_communication_error(failure: Exception, verb: str) -> CommunicationError | Refused:
    if isinstance(failure, (CommunicationError, Refused)):
        return failure
    return LinkLost(
        f"the connection broke again and again during {verb} ({failure})",
        "Unknown; a running delivery goes on without the host",
        "check the cable, then look at `haipump status`",
    )


def _printable(data: bytes) -> str:
    return '"' + data.decode("ascii", "backslashreplace").replace("\n", "\\n").replace("\r", "\\r") + '"'
