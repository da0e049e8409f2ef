"""How many small changes of `core`, `proto` and `store` do the tests notice? `make mutation`, or
`python -m tools.proof.mutation [--sample N] [FILE ...]`.

One run of the tests of these three, on the firmware as it is, notes which of them reach which line, and how long each
takes. Each change is then tried with the tests that reach its line, until one fails: the quick ones first, and those
that have noticed other changes of the same function (`forks`). What passes those of BUDGET_S has survived; with --deep
it is tried with whole lives of the pump. Changes come in random order, so that a part of them is a fair sample.

Verdicts are kept in build/mutation/verdicts.jsonl: a run that was interrupted goes on. One holds as long as the changed
file is the same, and the test that noticed it exists; "survived" only as long as the tests that reach the line are
the same. At the end docs/mutation.md is written: the score, and each survivor with its explanation.

Owns: the choice of tests, the verdicts, the page. Must not: change the sources.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.proof import forks, runner
from tools.proof.explained import EXPLAINED
from tools.proof.operators import Change, changes
from tools.traceability.model import ROOT

FIRMWARE = ROOT / "firmware" / "haipump_fw"
WORK = ROOT / "build" / "mutation"
PAGE = ROOT / "docs" / "mutation.md"
SUITES = ("tests/firmware/core", "tests/firmware/proto", "tests/firmware/store")
# For what those let pass, with --deep: the whole pump.
DEEP = ("tests/firmware/exact", "tests/firmware/app")
# Data, not code: see `operators`; and what runs on the desktop only.
LEFT_OUT = ("core/ignored.py", "proto/table.py", "core/states.py", "core/options.py", "proto/messages.py")
OWN_FACTOR = 10  # a module's own tests are as good as others that take a tenth of their time
BUDGET_S = 12  # for the tests of one change, as long as they took while it was noted what they reach
LIMIT_S = 150  # seconds of processor time, for a change that needs an import of its own
BAR = 85
NO_TEST = ("hangs", "import")  # by which a change can be noticed too


def files() -> list[str]:
    """Below firmware/haipump_fw."""
    found = [
        path.relative_to(FIRMWARE).as_posix()
        for part in ("core", "proto", "store")
        for path in (FIRMWARE / part).glob("*.py")
    ]
    return sorted(name for name in found if not name.endswith("__init__.py") and name not in LEFT_OUT)


@functools.cache
def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


# --- which test reaches which line ---


class Tests:
    """The tests of some suites: which of them reach a line, the most telling first."""

    def __init__(self, suites: tuple[str, ...], budget_s: float) -> None:
        self.suites = suites
        self.budget_s = budget_s
        kept = WORK / f"{Path(suites[0]).name}.json"
        state = WORK / f"{Path(suites[0]).name}.of"
        now = self._state()
        if not state.exists() or state.read_text(encoding="utf-8") != now:
            print("which test reaches which line ...", flush=True)
            WORK.mkdir(parents=True, exist_ok=True)
            forks.apart(lambda: forks.measure(suites).save(kept))
            state.write_text(now, encoding="utf-8")
        self.reached = forks.Reached.load(kept)
        self._told: Counter[tuple[str, str, str]] = Counter()

    def _state(self) -> str:
        paths = [*(ROOT / "tests").rglob("*.py"), *FIRMWARE.rglob("*.py")]
        every = "".join(digest(path) for path in sorted(paths))
        return hashlib.sha256(every.encode()).hexdigest()

    def early(self, change: Change) -> bool:
        """Has its function run before the first test, as the modules were imported?"""
        return any(line in self.reached.early.get(change.file, ()) for line in change.lines)

    def reaching(self, change: Change) -> list[str]:
        return self.reached.lines.get(change.file, {}).get(change.line, [])

    def told(self, change: Change, test: str) -> None:
        """This test has noticed this change: it may notice others there."""
        self._told[change.file, change.function, test] += 1

    def ordered(self, change: Change) -> tuple[str, ...]:
        own = f"/test_{Path(change.file).stem}"

        def price(test: str) -> float:
            told = self._told[change.file, change.function, test]
            factor = OWN_FACTOR if own in test else 1
            return (self.reached.cost[test][0] + 0.001) / factor / (1 + told) ** 2

        chosen, seconds = [], 0.0
        for test in sorted(self.reaching(change), key=price):
            seconds += self.reached.cost[test][0]
            if not chosen or seconds <= self.budget_s:
                chosen.append(test)
        return tuple(chosen)

    def digest(self, change: Change) -> str:
        """Of all that could notice it."""
        tests = self.reaching(change)
        paths = sorted({test.partition("::")[0] for test in tests})
        every = "\n".join([*tests, *(digest(ROOT / path) for path in paths)])
        return hashlib.sha256(every.encode()).hexdigest()[:12]


# --- verdicts ---


def key(change: Change) -> str:
    """Changes with the file that it is in: another file, another verdict."""
    return f"{digest(FIRMWARE / change.file)} {change.name}"


class Verdicts:
    """What is known: by whom a change was noticed, and which tests have let it pass."""

    def __init__(self) -> None:
        self._path = WORK / "verdicts.jsonl"
        self.caught: dict[str, str] = {}
        self._passed: set[tuple[str, str]] = set()
        self._tried: set[str] = set()
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            self._learn(**json.loads(line))

    def _learn(self, key: str, caught: str | None, of: str) -> None:
        self._tried.add(key)
        if caught:
            self.caught[key] = caught
        else:
            self._passed.add((key, of))

    def known(self, change: Change, tests: Tests) -> bool:
        """Noticed by one of these tests, or by none of them."""
        by = self.caught.get(key(change))
        if by in tests.reached.cost or by in NO_TEST:
            tests.told(change, by)
            return True
        return (key(change), tests.digest(change)) in self._passed

    def tried(self, change: Change) -> bool:
        """With whatever tests there were then: there may be one now that notices what survived."""
        return key(change) in self._tried

    def keep(self, change: Change, tests: Tests, caught: str | None, ran: int, seconds: float) -> None:
        """At once: nothing is lost when the run is ended here."""
        entry = {"key": key(change), "caught": caught, "of": tests.digest(change)}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        self._learn(**entry)
        if caught:
            tests.told(change, caught)
        by = caught or f"by none of {ran} tests"
        print(f"{'caught  ' if caught else 'SURVIVED'} {change.name} ({by}, {seconds:.1f} s)", flush=True)


def attempt(todo: list[Change], tests: Tests, workers: int) -> None:
    """Try changes; each verdict is kept at once. Fills this process."""
    verdicts = Verdicts()
    by_name = {change.name: change for change in todo}

    def imported() -> Iterator[runner.Job]:
        for change in todo:
            if tests.early(change) and tests.reaching(change):
                path = f"firmware/haipump_fw/{change.file}"
                yield runner.Job(change.name, {path: change.text()}, tests.ordered(change), LIMIT_S)

    def tasks() -> Iterator[forks.Task]:
        for change in todo:
            if not tests.reaching(change):
                verdicts.keep(change, tests, None, 0, 0)
            elif not tests.early(change):
                yield forks.Task(change.name, change.file, change.tree, tests.ordered(change))

    def judged(verdict: runner.Verdict) -> None:
        verdicts.keep(by_name[verdict.job.name], tests, verdict.caught, verdict.ran, verdict.seconds)

    def done(outcome: forks.Outcome) -> None:
        verdicts.keep(by_name[outcome.task.name], tests, outcome.caught, outcome.ran, outcome.seconds)

    runner.run(imported(), workers, judged)
    forks.apart(lambda: forks.run(tests.suites, tasks(), workers, tests.reached, done))


# --- the page ---


def page(tried: Iterable[tuple[Change, bool]], of: int) -> str:
    """docs/mutation.md, when so many of `of` changes were tried."""
    tried = list(tried)
    total = Counter(change.file for change, _ in tried)
    caught = Counter(change.file for change, noticed in tried if noticed)
    whole = sum(caught.values())
    share = 100 * whole / max(1, len(tried))
    unknown = sum(1 for change, noticed in tried if not noticed and change.name not in EXPLAINED)
    lines = [
        "# Mutation",
        "",
        "<!-- Written by `make mutation`. Do not edit. -->",
        "",
        f"{len(tried)} of {of} small changes of functions in `core`, `proto` and `store` were tried (comparison, "
        "arithmetic, constant, boolean, return), each with the tests that reach its line, as many as take "
        f"{BUDGET_S:g} s. {whole} were noticed: {share:.1f} %, bar {BAR} %. A survivor is a change that makes no "
        f"difference, or a test that is missing: each is listed. {unknown or 'None'} of them "
        f"{'is' if unknown < 2 else 'are'} without an explanation.",
        "",
        "| file | changes | noticed | share |",
        "| --- | --- | --- | --- |",
        *[
            f"| `{name}` | {total[name]} | {caught[name]} | {100 * caught[name] / total[name]:.0f} % |"
            for name in sorted(total)
        ],
        "",
        "## Survivors",
        "",
        "| where | change | why nobody notices |",
        "| --- | --- | --- |",
    ]
    for change, noticed in tried:
        if not noticed:
            was, now = (text.replace("|", "\\|") for text in (change.was, change.now))
            why = EXPLAINED.get(change.name, "a test is missing, or nobody has looked yet")
            lines.append(f"| `{change.file}` {change.function} | ``{was}`` becomes ``{now}`` | {why} |")
    return "\n".join(lines) + "\n"


def survived(every: list[Change], tests: Tests, workers: int, seed: int) -> list[Change]:
    """What these tests let pass, of all that is not known to be noticed."""
    verdicts = Verdicts()
    todo = [change for change in every if not verdicts.known(change, tests)]
    random.Random(seed).shuffle(todo)
    todo.sort(key=lambda change: change.name in EXPLAINED)  # these come last: hardly one will be noticed
    print(f"{len(every)} changes, {len(todo)} to be tried", flush=True)
    if todo:
        attempt(todo, tests, workers)
    verdicts = Verdicts()
    return [change for change in every if key(change) not in verdicts.caught]


def main() -> int:
    """Returns the exit code: 1 below the bar."""
    parser = argparse.ArgumentParser(description="Small changes of the pure half: how many do the tests notice?")
    parser.add_argument("files", nargs="*", metavar="FILE", help="only these, e.g. core/clock.py")
    parser.add_argument("--sample", type=int, default=0, help="only so many, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deep", action="store_true", help="what survives is tried with whole lives of the pump")
    parser.add_argument("--page", action="store_true", help="write docs/mutation.md")
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="S", help="for the tests of one change")
    parser.add_argument("--known", action="store_true", help="try nothing: what is known")
    asked = parser.parse_args()
    names = asked.files or files()
    every = [change for name in names for change in changes(name, (FIRMWARE / name).read_text(encoding="utf-8"))]
    count = len(every)
    if asked.sample:
        every = random.Random(asked.seed).sample(every, min(asked.sample, len(every)))
    verdicts = Verdicts()
    if asked.known:
        every = [change for change in every if verdicts.tried(change)]
        left = [change for change in every if key(change) not in verdicts.caught]
    else:
        left = survived(every, Tests(SUITES, asked.budget), asked.workers, asked.seed)
    if asked.deep and left:
        left = survived(left, Tests(DEEP, asked.budget), asked.workers, asked.seed)
    share = 100 * (1 - len(left) / max(1, len(every)))
    if asked.page:
        names_left = {change.name for change in left}
        PAGE.write_text(page([(change, change.name not in names_left) for change in every], count), encoding="utf-8")
    print(f"{share:.1f} % of {len(every)} noticed (bar {BAR} %)")
    unknown = [change.name for change in left if change.name not in EXPLAINED]
    print(f"{len(left)} survivors, {len(unknown)} of them without an explanation", *unknown, sep="\n")
    return 0 if share >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
