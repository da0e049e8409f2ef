"""The serial line byte by byte, past the host's library: for lines that it would never send.

Owns: ids and checksums of such lines. Must not: make sure of anything; what comes back is looked at by the test.
"""

from __future__ import annotations

from haipump.client import Pump
from haipump.protocol.codec import Answer, LineSplitter, parse_line, with_crc

ANSWER_S = 2.0


class Wire:
    """`next_id` is the id of the next line with one. Events are not kept."""

    def __init__(self, pump: Pump) -> None:
        self._transport = pump.conversation.transport
        self._splitter = LineSplitter()
        self._answers: list[Answer] = []
        self.next_id = pump.hello().next_id

    def raw(self, data: bytes) -> Answer:
        """These bytes, and the next answer."""
        self.send(data)
        end = self._transport.now() + ANSWER_S
        while not self._answers and (left := end - self._transport.now()) > 0:
            lines = [parse_line(line) for line in self._splitter.feed(self._transport.read(left))]
            self._answers += [line for line in lines if isinstance(line, Answer)]
        assert self._answers, f"no answer to {data!r}"
        return self._answers.pop(0)

    def send(self, data: bytes) -> None:
        """These bytes, whatever they make the pump do."""
        self._transport.write(data)

    def say(self, text: str) -> Answer:
        """A line with the next id and a checksum."""
        answer = self.raw(self.line(text))
        self.next_id += 1
        return answer

    def line(self, text: str, number: int | None = None) -> bytes:
        """A line with a checksum, and the next id unless another is given."""
        return with_crc(f"@{self.next_id if number is None else number} {text}")

    def order(self, text: str) -> int:
        """Prepare and commit; returns the order's number."""
        plan = self.say(text)
        assert plan.ok, plan
        done = self.say(f"commit token={plan.fields['token']}")
        assert done.ok, done
        return int(done.fields["order"])
