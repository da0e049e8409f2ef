"""Many lives: handed to an executor, kept as they come back, resumed where they were left.

Owns: the file of results (`lives.jsonl`, one line a life), and how lives get to workers and back. Must not: know a
wall clock, or which executor it has: any of `concurrent.futures` will do, and what behaves like one.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path

from haipump_emulator import cores
from haipump_emulator.campaign.life import Life, live
from haipump_emulator.campaign.plan import draw
from haipump_fw.device import shipped

AHEAD = 8  # lives that wait at the executor, for each worker
LIVES = "lives.jsonl"


class CampaignError(Exception):
    """The campaign can't be run; the message says why and what to do."""


@dataclass(frozen=True)
class Order:
    """What makes two campaigns comparable: their lives are the same for the same seed."""

    hours: float  # of each life
    core: str
    firmware: str

    @staticmethod
    def of(hours: float, core: str) -> Order:
        return Order(hours, core, shipped().app_hash)


@functools.cache
def _recipe(core: str) -> cores.Recipe:
    return cores.choose("chip" if core == "chip" else "direct")


def one(seed: int, hours: float, core: str, only: tuple[int, ...] | None = None, twice: bool = False) -> Life:
    """The life of a seed, in a worker. `twice`: live it again; another digest is a violation."""
    life = live(seed, hours, core, _recipe(core), only)
    if twice and life.held:
        life.judged["digest"] = 1
        again = live(seed, hours, core, _recipe(core), only)
        if again.digest != life.digest:
            life.broken, life.text = "digest", f"{life.digest}, and the second time {again.digest}"
    return life


def work(
    seeds: Iterable[int], job: Callable[[int], Life], executor: Executor, workers: int, heard: Callable[[Life], None]
) -> None:
    """Have `job` done for every seed; `heard` gets each life as it comes back, in whatever order."""
    waiting: set[Future[Life]] = set()
    left = iter(seeds)
    while True:
        waiting |= {executor.submit(job, seed) for seed in itertools.islice(left, workers * AHEAD - len(waiting))}
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            heard(future.result())


class Store:
    """The lives of one order in a folder. Raises CampaignError when it holds those of another."""

    def __init__(self, folder: Path, order: Order) -> None:
        self.path = folder / LIVES
        self.lives: dict[int, Life] = {}
        self.damaged: list[int] = []  # numbers of the lines that are no life; theirs are lived again
        self._torn = False  # the last line was cut short
        head = json.dumps(dataclasses.asdict(order))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                self._load(head)
            else:
                self.path.write_text(head + "\n", encoding="utf-8")
        except OSError as error:
            raise CampaignError(f"{self.path}: {error.strerror}") from None

    def _load(self, head: str) -> None:
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        if not lines or lines[0].rstrip("\n") != head:
            raise CampaignError(
                f"{self.path} holds lives of another campaign (other hours, core or firmware): choose another --out"
            )
        self._torn = not lines[-1].endswith("\n")
        for number, line in enumerate(lines[1:], 2):
            life = _read(line) if line.endswith("\n") else None
            if life is not None:
                self.lives[life.seed] = life
            elif line.endswith("\n") or number < len(lines):  # the last one may have been cut short: no word of it
                self.damaged.append(number)

    def add(self, life: Life) -> None:
        self.lives[life.seed] = life
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" if self._torn else "")  # else this life would be damaged with the torn one
            self._torn = False
            file.write(json.dumps(dataclasses.asdict(life)) + "\n")


def _read(line: str) -> Life | None:
    """The life of a line; None when the line is damaged."""
    try:
        life = Life(**json.loads(line))
    except (ValueError, TypeError):
        return None
    return life if type(life.seed) is int and isinstance(life.seen, dict) and isinstance(life.judged, dict) else None


def shrink(life: Life) -> tuple[int, ...]:
    """The numbers of the fewest faults found with which the same invariant still breaks."""
    kept = [strike.number for strike in draw(life.seed, life.hours, life.core).strikes]

    def breaks(numbers: list[int]) -> bool:
        return one(life.seed, life.hours, life.core, tuple(numbers)).broken == life.broken

    size = max(1, len(kept) // 2)
    while kept:
        for part in _parts(kept, size):
            if breaks([number for number in kept if number not in part]):
                kept = [number for number in kept if number not in part]
                break
        else:
            if size == 1:
                break
            size = max(1, size // 2)
        size = min(size, max(1, len(kept)))
    return tuple(kept)


def _parts(numbers: list[int], size: int) -> Iterator[set[int]]:
    for at in range(0, len(numbers), size):
        yield set(numbers[at : at + size])


def totals(lives: Iterable[Life]) -> dict[str, int]:
    """How often each thing was seen, over all lives."""
    seen: dict[str, int] = {}
    for life in lives:
        for name, count in life.seen.items():
            seen[name] = seen.get(name, 0) + count
    return dict(sorted(seen.items()))


def replay(life: Life, only: tuple[int, ...] | None = None) -> str:
    """The command that lives it again, to the last digit of its hours."""
    hours = repr(life.hours).removesuffix(".0")
    text = f"haipump-emu campaign --seed {life.seed} --hours {hours} --each {hours}"
    text += f" --core {life.core}" if life.core != "direct" else ""
    text += " --twice" if life.broken == "digest" else ""
    return text if only is None else text + " --only " + (",".join(map(str, only)) or "none")
