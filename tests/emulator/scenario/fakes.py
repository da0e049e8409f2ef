"""A core without firmware: a pump of a few lines on the real plant, for tests of scenarios and recordings.

It does not model: ids that were used before, tokens, states other than it is told, programming time, a full buffer
(unless `room` says so). What it does at which time is scripted with `at`.
"""

import heapq
import itertools
import zlib

from haipump_emulator.plant import Plant, PlantParams


def sealed(body):
    return f"{body} *{zlib.crc32(body.encode()):08x}\n".encode()


class FakeCore:
    """`answers` maps a verb to the text behind `@id ` (default `ok`); None: no answer. `rate(period)` makes steps."""

    def __init__(
        self, plant=None, *, seed=0, flash=None, ticks_start_us=None, usb_connected=True, room=1 << 20, kind="direct"
    ):
        self.plant = plant or Plant(PlantParams(), seed)
        self.now_us = 0
        self.output = bytearray()
        self.listeners = []
        self.flash = bytearray(flash or b"\xff" * 1024)
        self.ticks_start_us = ticks_start_us
        self.answers = {"hello": "ok next_id=7", "commit": "ok state=infusing order=8"}
        self.heard = []
        self.powered = True
        self.room = room
        self._pending = b""
        self._due = []
        self._order = itertools.count()
        self._numbers = itertools.count(1)

    def at(self, t_us, do):
        heapq.heappush(self._due, (t_us, next(self._order), do))

    def check(self):
        """Nothing can be wrong with it."""

    def run_until(self, t_us):
        assert t_us >= self.now_us, "time goes forwards"
        while self._due and self._due[0][0] <= t_us:
            when, _, do = heapq.heappop(self._due)
            self.now_us = max(self.now_us, when)
            do()
        self.now_us = t_us

    def send(self, data):
        taken = data[: self.room]
        self._tell("on_bytes", self.now_us, "in", taken)
        *lines, self._pending = (self._pending + taken).split(b"\n")
        for line in lines:
            self.at(self.now_us + 500, lambda line=line: self._hear(line.decode("latin-1")))
        return len(taken)

    def press(self, bits, on):
        self._tell("on_event", self.now_us, "led", {"red": int(on)})
        if on:
            self.event(f"button button={bits}")

    def power(self, on):
        self.powered = on
        self._tell("on_event", self.now_us, "power", {"on": on})

    def event(self, text):
        self._out(sealed(f"#{next(self._numbers)} {text}"))

    def step(self, direction=1):
        self.plant.set_enable(self.now_us, True)
        self.plant.set_direction(self.now_us, direction)
        self.plant.step(self.now_us)
        self._tell("on_step", self.now_us, direction)

    def steps(self, start_us, period_us, count, direction=1):
        for n in range(count):
            self.at(start_us + n * period_us, lambda: self.step(direction))

    def _hear(self, line):
        if not line or not self.powered:
            return
        self.heard.append(line)
        body = line.rpartition(" *")[0] or line
        words = body.split()
        identity = words.pop(0) + " " if words[0].startswith("@") else ""
        default = "ok token=abc" if words[0].startswith("prepare_") else "ok"
        answer = self.answers.get(words[0], default)
        if answer is not None:
            self._out(sealed(identity + answer))

    def _out(self, data):
        self.output += data
        self._tell("on_bytes", self.now_us, "out", data)

    def _tell(self, method, *args):
        for listener in list(self.listeners):
            if hasattr(listener, method):
                getattr(listener, method)(*args)
