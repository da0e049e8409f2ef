"""Whether a client is in a conversation, judged by the bytes on the line.

Owns: what shows outside of the firmware's session: unfinished lines, answers that are due, a token that is open. Must
not: take part.

The firmware can't be asked on a board, so this only has to be on the safe side: a conversation is held a bit too long
rather than cut off.
"""

from __future__ import annotations

from collections.abc import Callable

ANSWER_US = 500_000  # a line that was sent is answered within that
TOKEN_US = 31_000_000  # a token is valid for 30 s
LINE_US = 30_000_000  # an unfinished line counts for so long after its last byte
_TOKEN, _COMMIT = b" token=", b"commit"


class Conversation:
    """Told of all bytes on the line; `now_us` is asked for the time."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._until_us = 0
        self._token_until_us = 0

    def sent(self, data: bytes) -> None:
        """Bytes of the host went in."""
        self._until_us = self._now_us() + (ANSWER_US if data.endswith((b"\n", b"\r")) else LINE_US)
        if _COMMIT in data:
            self._token_until_us = 0

    def heard(self, data: bytes) -> None:
        """The pump wrote a line, or a part of one."""
        if _TOKEN in data:
            self._token_until_us = self._now_us() + TOKEN_US

    def over(self) -> None:
        """The pump lost its power, or was reset, and all that it knew."""
        self._until_us = self._token_until_us = 0

    @property
    def goes_on(self) -> bool:
        return self._now_us() < max(self._until_us, self._token_until_us)
