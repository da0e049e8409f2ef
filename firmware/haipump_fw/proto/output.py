"""The bytes on their way to the host: a bounded ring.

Owns: the bytes until the console took them. Must not: wait for anybody.
"""

from haipump_fw.const import const

OUTPUT_MAX = const(2048)


class Output:
    """First in, first out. `put` takes whole lines; `peek` and `pop` one byte, and allocate nothing."""

    def __init__(self):
        self._ring = bytearray(OUTPUT_MAX)
        self._first = 0
        self._used = 0

    def free(self):
        """Bytes that fit."""
        return OUTPUT_MAX - self._used

    def put(self, data):
        """True when `data` was taken; False, and nothing taken, when it does not fit as a whole."""
        count = len(data)
        if count > OUTPUT_MAX - self._used:
            return False
        start = (self._first + self._used) % OUTPUT_MAX
        head = OUTPUT_MAX - start
        if count <= head:
            self._ring[start : start + count] = data
        else:
            self._ring[start:] = data[:head]
            self._ring[: count - head] = data[head:]
        self._used += count
        return True

    def peek(self):
        """The next byte, or -1 when there is none."""
        return self._ring[self._first] if self._used else -1

    def pop(self):
        """Forget the byte that `peek` showed."""
        if self._used:
            self._first = (self._first + 1) % OUTPUT_MAX
            self._used -= 1
