"""The serial line to the host: USB CDC, which MicroPython serves as standard input and output.

Owns: when a byte may be moved without waiting. Must not: know a line, or block.
"""

import select
import sys


class Console:
    """See `contract.Console`. `.buffer` is the raw stream: no line ending is touched, Ctrl-C is a byte like others."""

    def __init__(self):
        self._input = sys.stdin.buffer
        self._output = sys.stdout.buffer
        self._readable = select.poll()
        self._readable.register(sys.stdin, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sys.stdout, select.POLLOUT)
        self._in = bytearray(1)
        self._out = bytearray(1)

    def readinto(self, buf):
        """Read what is there, at most len(buf) bytes; returns how many."""
        # The stream's own readinto waits until the buffer is full, so a byte is asked for only when it is there.
        readable = self._readable
        byte = self._in
        size = len(buf)
        count = 0
        while count < size:
            for _ in readable.ipoll(0):
                break
            else:
                break
            self._input.readinto(byte)  # pyright: ignore[reportAttributeAccessIssue] - the stub lacks it
            buf[count] = byte[0]
            count += 1
        return count

    def write(self, buf, first, last):
        """Write what fits of the bytes from `first` to before `last`; returns how many were taken."""
        # "Writable" means that one byte fits: more would wait half a second for a host that has stopped reading.
        ready = self._writable.ipoll
        write = self._output.write
        byte = self._out
        for at in range(first, last):
            for _ in ready(0):
                byte[0] = buf[at]
                write(byte)
                break
            else:
                return at - first
        return last - first
