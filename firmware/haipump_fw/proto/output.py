"""The bytes on their way to the host: a bounded ring.

Owns: the bytes until the console took them. Must not: wait for anybody.
"""

from haipump_fw.const import const

OUTPUT_MAX = const(2048)


class Output:
    """First in, first out. `put` takes whole lines; `peek` and `offer` allocate nothing."""

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

    def offer(self, write, limit):
        """Show the next bytes, at most `limit`, to `write(buf, first, last)`, which returns how many of them it took;
        these are forgotten. True when it took all that was shown."""
        first = self._first
        last = min(first + min(self._used, limit), OUTPUT_MAX)
        taken = write(self._ring, first, last) if first < last else 0
        self._first = (first + taken) % OUTPUT_MAX
        self._used -= taken
        return first + taken == last
