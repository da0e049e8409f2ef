"""Bytes by the million on the serial line of the whole pump on the direct core: nothing may come of them.

Owns: the garbage, and the judgement of what the pump did meanwhile. Must not: send a stop (the one thing that noise may
fake: `!` and `stop` are taken out, so that the motion can be compared).

One life of a pump hears LIFE_BYTES while it delivers; every second life is a locked pump's. The garbage is random
bytes, lines of the protocol broken in up to four places, pieces of them, old lines again, and, for the locked pump,
whole lines with a right checksum and a wrong code. Wrong is: any change of state, orders, settings, ids, token,
or records; a step that a pump in silence would not have made; a reset; a link that is not back after a second of quiet.

    python -m tools.measure_garbage --bytes 100000000 --jobs 2
"""

from __future__ import annotations

import argparse
import binascii
import concurrent.futures
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.progress import Progress

from haipump_fw.core import alarms
from tools.measure_faults import LINES, Subject

LIFE_BYTES = 1_000_000
PIECE_MAX = 400
TOGETHER_BYTES = (1, 1, 1, 900)  # at least so many are handed over at once, then the pump gets one of STEP_US
STEP_US = (5_000, 20_000, 100_000)
LOOK_EVERY = 50  # pieces between two looks at what has changed
QUIET_US = 1_000_000
_STOP = re.compile(rb"stop", re.IGNORECASE)
# Places in `look`. Telemetry: a line that only reads may be broken into another one that only reads.
_ALARMS, _TELEMETRY = 12, 14


class Watched(Subject):
    """A pump that delivers, and what would be wrong."""

    resets = 0

    def __init__(self, locked: bool) -> None:
        super().__init__("jumper" if locked else "running")
        if locked:
            self.ask("set_key key=" + "5a" * 32)
            self.order("prepare_rate rate_nl_per_day=1300000")
            self.ask("lock")
        self.resets = 0
        self.before = self.judged()

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        self.resets += name == "reset"

    def judged(self) -> tuple[Any, ...]:
        """All that garbage must not change."""
        seen = list(self.look())
        place = alarms.Alarms.index("command_errors")  # garbage may be told, and counted
        phases = bytearray(seen[_ALARMS])
        phases[place] = alarms.CLEAR
        seen[_ALARMS], seen[_TELEMETRY] = bytes(phases), 0
        told = ("refused",), ("alarm", place + 1)
        seen[-1] = tuple(record for record in seen[-1] if record[:1] not in told and record[:2] not in told)
        return tuple(seen)


def garbage(rng: random.Random, first_id: int, locked: bool) -> Iterator[bytes]:
    """Pieces without end, none of which is a line that a pump may carry out."""
    texts = [text.replace("TOKEN", "00000000") for _, text in LINES]
    while True:
        kind = rng.randrange(10)
        if kind < 4:
            piece = rng.randbytes(rng.randrange(1, PIECE_MAX))
        else:
            whole = locked and kind > 7
            piece = bytearray(_line(rng, texts, first_id, whole))
            for _ in range(0 if whole else rng.randrange(1, 5)):
                _break(piece, rng)
            piece[:0] = b"\n" * (whole or rng.randrange(2))  # after the end of what came before, or in the middle of it
        yield _STOP.sub(b"stap", bytes(piece).replace(b"!", b"?"))


def _line(rng: random.Random, texts: list[str], first_id: int, whole: bool) -> bytes:
    """A line as a host sends it; `whole`: with a right checksum and a code from a key that is not the pump's."""
    number = rng.choice((rng.randrange(1, first_id), first_id + rng.randrange(3), rng.randrange(1, 10**9)))
    body = f"@{number} {rng.choice(texts)}"
    if whole:
        body += f" mac={rng.randrange(1 << 64):016x}"
        return body.encode() + b" *%08x\n" % binascii.crc32(body.encode())
    return body.encode() + b" *%08x\n" % rng.randrange(1 << 32)


def _break(piece: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(piece)) if piece else 0
    change = rng.randrange(5)
    if change == 0 and piece:
        piece[at] ^= 1 << rng.randrange(8)
    elif change == 1 and piece:
        del piece[at]
    elif change == 2:
        piece[at:at] = piece[at : at + rng.randrange(1, 30)]
    elif change == 3:
        piece.insert(at, rng.randrange(256))
    else:
        del piece[rng.randrange(len(piece) + 1) :]


def live(seed: int, count: int = LIFE_BYTES) -> list[str]:
    """One life that hears about `count` bytes. Returns what was wrong."""
    rng = random.Random(seed)
    locked = seed % 2 == 1
    of = Watched(locked)
    began_us, steps_before = of.core.now_us, len(of.steps)
    pieces = garbage(rng, of.number, locked)
    heard = looked = 0
    problems: list[str] = []
    while heard < count and not problems:
        piece = next(pieces)
        wanted = rng.choice(TOGETHER_BYTES)
        while len(piece) < wanted:
            piece += next(pieces)
        while piece:  # the pump's console takes what it has room for
            taken = of.core.send(piece)
            piece = piece[taken:]
            heard += taken
            of.core.run_until(of.core.now_us + rng.choice(STEP_US))
            of.core.output.clear()
        looked += 1
        if looked % LOOK_EVERY == 0 and of.judged() != of.before:
            problems.append(f"seed {seed}: changed within {heard} bytes: {of.judged()}")
    problems += _after(of, seed, began_us, steps_before, locked)
    return problems


def _after(of: Watched, seed: int, began_us: int, steps_before: int, locked: bool) -> Iterator[str]:
    """Quiet, then the link must be back, and all as if nothing had been said."""
    of.core.send(b"\n")
    of.core.run_until(of.core.now_us + QUIET_US)
    of.core.output.clear()
    if "uptime_s=" not in of.ask("clock"):
        yield f"seed {seed}: the link is not back"
    if of.judged() != of.before:
        yield f"seed {seed}: changed: {of.judged()}"
    if of.resets:
        yield f"seed {seed}: {of.resets} resets"
    other = Watched(locked)
    if other.core.now_us != began_us or len(other.steps) != steps_before:
        yield f"seed {seed}: the silent pump is another one"
    other.core.run_until(of.core.now_us)
    if other.steps != of.steps:
        yield f"seed {seed}: steps differ"


def run(count: int, jobs: int, seed: int, told: Callable[[int], None] = lambda done: None) -> list[str]:
    """About `count` bytes in lives of LIFE_BYTES from `seed` on; `told(bytes)` after each life. What was wrong."""
    lives = -(-count // LIFE_BYTES)
    problems: list[str] = []
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        for found in pool.map(live, range(seed, seed + lives)):
            problems += found
            told(LIFE_BYTES)
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=100_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with Progress() as progress:
        task = progress.add_task("bytes", total=given.bytes)
        problems = run(given.bytes, given.jobs, given.seed, lambda done: progress.update(task, advance=done))
    for problem in problems:
        print(problem)
    print(f"{given.bytes:,} bytes of garbage from seed {given.seed}: {len(problems)} wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
