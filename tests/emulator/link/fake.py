"""A core and a wall clock for the tests of the emulator's outer side.

The core echoes each line after a millisecond; it does not model firmware, plant, or the cost of a byte.
"""

from types import SimpleNamespace

FIFO = 512  # bytes, as the chip's USB buffer


class FakeWall:
    """A wall clock that moves when told to: by a waiting loop, or by a core that takes time to compute."""

    def __init__(self):
        self.now_us = 1_000_000

    def __call__(self):
        return self.now_us

    def wait(self, readers, writers, seconds):
        self.now_us += int(seconds * 1e6)
        return False


class EchoCore:
    """`cost`: wall time per simulated time; `hungry`: whether it takes bytes in; `chatter_us`: period of telemetry."""

    def __init__(self, wall=None, *, cost=0.0, chatter_us=0):
        self.now_us = 0
        self.output = bytearray()
        self.host_reads = True
        self.hungry = True
        self.token_open = False
        self.flash = bytearray(b"\xff" * 16)
        self.pressed = []
        self.powered = True
        self.power_calls = []
        self.listeners = []
        self.runs = []
        self.plant = SimpleNamespace()
        self._wall = wall
        self._cost = cost
        self._chatter_us = chatter_us
        self._fifo = bytearray()
        self._due = []

    def run_until(self, t_us):
        assert t_us >= self.now_us
        self.runs.append(t_us)
        if self._wall is not None:
            self._wall.now_us += int((t_us - self.now_us) * self._cost)
        if self._chatter_us and self.host_reads:
            first = self.now_us // self._chatter_us + 1
            for number in range(first, t_us // self._chatter_us + 1):
                self.output += b"#%d tele\n" % number
        while self._due and self._due[0][0] <= t_us:
            self.output += b"echo " + self._due.pop(0)[1]
        self.now_us = t_us

    def send(self, data):
        if not self.hungry:
            return 0
        taken = data[: FIFO - len(self._fifo)]
        self._fifo += taken
        while b"\n" in self._fifo:
            line, _, rest = bytes(self._fifo).partition(b"\n")
            self._fifo[:] = rest
            self._due.append((self.now_us + 1_000, line + b"\n"))
        if len(self._fifo) == FIFO:
            self._fifo.clear()  # too long for a line
        return len(taken)

    def conversing(self):
        return bool(self.token_open or self._fifo or self._due)

    def press(self, bits, on):
        self.pressed.append((self.now_us, bits, on))

    def power(self, on):
        self.power_calls.append((self.now_us, on))
        self.powered = on
