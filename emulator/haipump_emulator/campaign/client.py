"""The host of a campaign: lines with ids and checksums, answers, and what an answer that did not come leaves open.

Owns: one conversation at a time over the bytes of the line. Must not: know what an order means, or look at the pump
otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from haipump_emulator.campaign.world import World
from haipump_emulator.scenario.host import Answer, Event, read_line, seal
from haipump_fw.proto.messages import CONFIGURE, MAC_DIGITS

ANSWER_US = 3_000_000
LOOK_US = 8_000
TRIES = 3
ASK_ID = 500_000_000  # of lines that only read: never taken for the id of an order
PART_BYTES = 120
BUSY_US = 300_000
LINE_MAX = 4_096
# It could not be read, or there was no room for it: this copy did nothing, and an earlier one may have done it.
UNHEARD = ("busy", "crc", "syntax", "too_long")
OUTDATED = ("stale", "mac")  # of ids and sessions before a reset
KEPT = 30  # lines that are replayed later


@dataclass
class Reply:
    """`sent_us` to `heard_us` is when the pump can have taken it; `answer` None: nobody knows whether it did."""

    identity: int
    answer: Answer | None
    sent_us: int
    heard_us: int
    tries: int

    @property
    def ok(self) -> bool:
        return self.answer is not None and self.answer.ok

    @property
    def refused(self) -> bool:
        return self.answer is not None and not self.answer.ok

    @property
    def decided(self) -> bool:
        """The pump said yes or no to it. A copy that is out of date may come after one that was done, with a reset in
        between."""
        return self.answer is not None and not (self.tries > 1 and self.code in OUTDATED)

    @property
    def code(self) -> str:
        return "none" if self.answer is None else self.answer.fields.get("code", "ok")

    @property
    def fields(self) -> dict[str, str]:
        return {} if self.answer is None else self.answer.fields


@dataclass
class Keys:
    """What lines to a locked pump are signed with: the key, or the operator's for what his is good for."""

    key: bytes
    nonce: str = ""
    configures: bool = False  # the last prepare wants the key itself

    def sign(self, identity: int, body: str) -> str:
        verb = body.split()[0]
        if verb != "commit":
            self.configures = verb in CONFIGURE
        return signed(self.key if self.configures else operator_key(self.key), self.nonce, identity, body)


def operator_key(key: bytes) -> bytes:
    return hmac.digest(key, b"operate", "sha256")


def signed(key: bytes, nonce: str, identity: int, body: str) -> str:
    code = hmac.new(key, f"{nonce}|@{identity} {body}".encode(), hashlib.sha256).hexdigest()
    return f"{body} mac={code[:MAC_DIGITS]}"


@dataclass
class Client:
    """`on_event(event)` hears the pump's events. Counters: `lines` sent, `lost` without answer, `noise` unreadable."""

    world: World
    on_event: Callable[[Event], None] = lambda event: None
    lines: int = 0
    lost: int = 0
    noise: int = 0
    repeated: int = 0
    keys: Keys | None = None
    _next_id: int | None = None
    _asked: int = 0
    _rest: bytes = b""
    _sent: list[bytes] = field(default_factory=list)
    _answers: list[Answer] = field(default_factory=list)

    def forget(self) -> None:
        """The pump has started anew: ids and nonce are asked for."""
        self._next_id = None

    def listen(self) -> None:
        """Sort what has come."""
        *lines, self._rest = (self._rest + self.world.line.receive()).split(b"\n")
        self._rest = self._rest[-LINE_MAX:]
        for raw in lines:
            found = read_line(raw.decode("latin-1"))
            if found is None:
                self.noise += bool(raw.strip())
            elif isinstance(found, Event):
                self.on_event(found)
            else:
                self._answers.append(found)

    def ask(self, body: str) -> Reply:
        """Something that only reads, or a stop."""
        self._asked += 1
        return self._exchange(ASK_ID + self._asked, body)

    def act(self, body: str) -> Reply:
        """A line with the next id, repeated with the same id while no answer comes. An id that was too low from the
        start (the pump has been off), or a code from a session that is over, was executed by nobody: the line goes out
        again with the next ones."""
        reply = self._act(body)
        return self._act(body) if reply.code in OUTDATED and reply.tries == 1 else reply

    def _act(self, body: str) -> Reply:
        hello = self.greet()
        if self._next_id is None:
            return Reply(0, hello.answer, hello.sent_us, hello.heard_us, hello.tries)
        identity, self._next_id = self._next_id, self._next_id + 1
        if self.keys is not None:
            body = self.keys.sign(identity, body)
        self._sent = [*self._sent[-KEPT:], seal(f"@{identity} {body}")]
        reply = self._exchange(identity, body)
        if reply.answer is None or reply.code in ("reused", *OUTDATED):
            self._next_id = None
        return reply

    def greet(self) -> Reply:
        """The next id, and the nonce to sign with, if they are not known."""
        if self._next_id is not None:
            return Reply(0, None, self.world.now_us, self.world.now_us, 0)
        hello = self.ask("hello")
        if hello.ok:
            self._next_id = int(hello.fields["next_id"])
            if self.keys is not None:
                self.keys.nonce = hello.fields["nonce"]
        return hello

    def forge(self, body: str, key: bytes | None) -> Reply:
        """A line that the pump must refuse: signed with this key, or with none. A refusal does not use up its id."""
        self._next_id = None
        self.greet()
        if self._next_id is None or self.keys is None:
            return Reply(0, None, self.world.now_us, self.world.now_us, 0)
        identity, self._next_id = self._next_id, None
        return self._exchange(identity, signed(key, self.keys.nonce, identity, body) if key else body)

    def upload(self, payload: bytes, digest: str) -> Reply:
        """A programme, in parts."""
        reply = self.act(f"part_begin what=programme size={len(payload)} sha256={digest}")
        for offset in range(0, len(payload), PART_BYTES):
            if not reply.ok:
                break
            data = base64.b64encode(payload[offset : offset + PART_BYTES]).decode("ascii")
            reply = self.act(f"part offset={offset} data={data}")
        return reply

    def again(self, draw: random.Random) -> None:
        """An old line that changes something, byte for byte."""
        if self._sent:
            self.lines += 1
            self.world.line.send(draw.choice(self._sent))
            self.world.run_until(self.world.now_us + BUSY_US)

    def shout(self) -> None:
        """The stop that needs no line, and no answer."""
        self.lines += 1
        self.world.line.send(b"\n!\n")
        self.world.run_until(self.world.now_us + LOOK_US)

    def _exchange(self, identity: int, body: str) -> Reply:
        line = seal(f"@{identity} {body}")
        sent_us = self.world.now_us
        self.lines += 1
        answer, attempt = None, 0
        for attempt in range(TRIES):
            self.repeated += attempt > 0
            self.listen()
            self._answers.clear()
            # The line end in front ends what noise may have left in the pump's buffer.
            self.world.line.send(b"\n" + line if attempt else line)
            answer = self._wait(identity)
            if answer is not None and answer.fields.get("code") not in UNHEARD:
                break
            if answer is not None:
                answer = None
                self.world.run_until(self.world.now_us + BUSY_US)
        self.lost += answer is None
        return Reply(identity, answer, sent_us, self.world.now_us, attempt + 1)

    def _wait(self, identity: int) -> Answer | None:
        world = self.world
        end_us = world.now_us + ANSWER_US
        while world.now_us < end_us:
            world.run_until(world.now_us + LOOK_US)
            self.listen()
            for answer in self._answers:
                if answer.identity == identity:
                    return answer
        return None


def digest_of(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
