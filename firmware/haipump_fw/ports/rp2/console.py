"""The serial line to the host (USB CDC, which MicroPython serves as standard input and output), and sleeping until a
byte comes, an input's edge, or a deadline.

Owns: when a byte may be moved without waiting, and the poll sets. Must not: know a line, block, or decide how long to
sleep.
"""

import io
import select
import sys
from time import ticks_diff, ticks_us

import micropython
from machine import mem32

from haipump_fw.const import const
from haipump_fw.ports import WOKEN_EDGE, WOKEN_HEARD

_FRAME_NUMBER = const(0x50110048)  # USB SOF_RD: counts the frames that the host sends, one each millisecond
_FRAME_US = const(1_100)
_AWAKE_US = const(2_500)  # MicroPython takes the host for asleep 3 ms after the last frame
_POLL = const(3)  # the request number with which MicroPython asks a stream whether it is ready


class Console:
    """See `contract.Console`. `.buffer` is the raw stream: no line ending is touched, Ctrl-C is a byte like others.

    To a host that sleeps, or whose cable was pulled while a port was open, MicroPython writes until its buffer is full,
    and then waits for room for ever. Such a host sends no frames; what is said then is lost.
    """

    def __init__(self):
        # Methods are bound once: each binding takes 16 bytes of heap, and this runs in every pass of the loop.
        readable = select.poll()
        readable.register(sys.stdin, select.POLLIN)
        self._readable = readable.ipoll
        self._read = sys.stdin.buffer.readinto  # pyright: ignore[reportAttributeAccessIssue] - the stub lacks it
        writable = select.poll()
        writable.register(sys.stdout, select.POLLOUT)
        self._writable = writable.ipoll
        self._write = sys.stdout.buffer.write
        self._in = bytearray(1)
        self._out = bytearray(1)
        self._frame = 0
        self._frame_tick = ticks_us()  # the frame had this number then

    # Native: a stop may stand behind 256 bytes, which take 11.6 ms to read instead of 13.0.
    @micropython.native
    def readinto(self, buf):
        """Read what is there, at most len(buf) bytes; returns how many."""
        # The stream's own readinto waits until the buffer is full, so a byte is asked for only when it is there.
        ready = self._readable
        read = self._read
        byte = self._in
        for count in range(len(buf)):
            for _ in ready(0):
                read(byte)
                buf[count] = byte[0]
                break
            else:
                return count
        return len(buf)

    def write(self, buf, first, last):
        """Write what fits of the bytes from `first` to before `last`, at most 64; returns how many were taken."""
        if not self.attached():
            return last - first
        # "Writable" means that one byte fits: more would wait half a second for a host that has stopped reading.
        ready = self._writable
        write = self._write
        byte = self._out
        for at in range(first, last):
            for _ in ready(0):
                byte[0] = buf[at]
                write(byte)
                break
            else:
                return at - first
        return last - first

    def expect(self):
        """See `contract.Console`."""
        self._frame = mem32[_FRAME_NUMBER]
        self._frame_tick = ticks_us()

    def attached(self):
        """True when the host has sent a frame in the last moments. Waits for one, a millisecond at most, when it has
        not been looked for lately. Allocates nothing."""
        number = mem32[_FRAME_NUMBER]
        began = now = ticks_us()
        awake = number != self._frame and 0 <= ticks_diff(now, self._frame_tick) <= _AWAKE_US
        while not awake and ticks_diff(now, began) <= _FRAME_US:
            now = ticks_us()
            awake = mem32[_FRAME_NUMBER] != number
        self._frame = mem32[_FRAME_NUMBER]
        self._frame_tick = now
        return awake


class Wake(io.IOBase):
    """A stream that is readable once its flag is up: this is how a pin interrupt ends `ipoll`, which it would not
    otherwise do before the time is over."""

    def __init__(self):
        self.flag = 0

    def ioctl(self, request, argument):
        """Answer the poll. The flag is 0 or 1, and 1 is POLLIN."""
        return self.flag & argument if request == _POLL else 0


class Wait:
    """See `ports.Ports.wait`."""

    def __init__(self, wake):
        self._wake = wake
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        poll.register(wake, select.POLLIN)
        self._ipoll = poll.ipoll

    def wait(self, duration_us):
        """Sleep so long, up to the next whole millisecond, or less. Returns WOKEN_ bits. Allocates nothing, and the
        processor sleeps too."""
        wake, woken = self._wake, 0
        # Up, not down: a pass of the loop costs more than the rest of a millisecond, and nothing is due to the
        # microsecond. Words for the step machine are asked for long before they are needed.
        for found in self._ipoll((duration_us + 999) // 1000):
            if found[0] is not wake:
                woken = WOKEN_HEARD
        # What the edge meant is read from the pins after this, also of one that comes in the middle of these lines; or
        # it ends the next wait at once.
        if wake.flag:
            wake.flag = 0
            woken |= WOKEN_EDGE
        return woken
