"""How many small changes of `core`, `proto` and `store` do the tests notice? `make mutation`, or
`python -m tools.proof.mutation [--sample N] [FILE ...]`.

A first run of the tests of these three notes which of them reach which line (build/mutation). Each change is then tried
with the tests that reach its line, the module's own first; with --deep what survives is tried with whole
lives of the pump. Verdicts are kept in build/mutation/verdicts.jsonl: a run that
was interrupted goes on, and what has not changed is not tried again. At the end docs/mutation.md is written: the score,
and each survivor with its explanation.

Owns: the choice of tests, the verdicts, the page. Must not: change the sources.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import coverage

from tools.proof.explained import EXPLAINED
from tools.proof.operators import Change, changes
from tools.proof.runner import Job, Verdict, run
from tools.traceability.model import ROOT

FIRMWARE = ROOT / "firmware" / "haipump_fw"
WORK = ROOT / "build" / "mutation"
PAGE = ROOT / "docs" / "mutation.md"
SUITES = ("tests/firmware/core", "tests/firmware/proto", "tests/firmware/store")
# For what those that reach the line let pass, with --deep: all of them, and whole lives of the pump.
DEEP = (*SUITES, "tests/firmware/exact", "tests/firmware/app")
# Data, not code: see `operators`; and what runs on the desktop only.
LEFT_OUT = ("core/ignored.py", "proto/table.py", "core/states.py", "core/options.py", "proto/messages.py")
OTHERS_MAX = 40
LIMIT_S = 150  # seconds of processor time, for the tests of one change ...
DEEP_LIMIT_S = 600  # ... and for all of DEEP
BAR = 85


def files() -> list[str]:
    """Below firmware/haipump_fw."""
    found = [
        path.relative_to(FIRMWARE).as_posix()
        for part in ("core", "proto", "store")
        for path in (FIRMWARE / part).glob("*.py")
    ]
    return sorted(name for name in found if not name.endswith("__init__.py") and name not in LEFT_OUT)


# --- which test reaches which line ---


def measure(workers: int) -> None:
    """Run the tests once, with the lines that each of them reaches."""
    WORK.mkdir(parents=True, exist_ok=True)
    words = ["-m", "pytest", "-q", "-n", str(workers), "-p", "no:cacheprovider", "--core", "direct", *SUITES]
    words += [f"--cov=haipump_fw.{part}" for part in ("core", "proto", "store")]
    words += ["--cov-context=test", "--cov-report="]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, "COVERAGE_FILE": str(WORK / "coverage")}
    )
    if done.returncode:
        raise SystemExit("The tests fail without any change: mend that first.")


class Reach:
    """Which tests reach a line, the quickest first."""

    def __init__(self) -> None:
        data = coverage.CoverageData(str(WORK / "coverage"))
        data.read()
        self._lines: dict[str, dict[int, list[str]]] = {}
        for path in data.measured_files():
            by_line = {
                line: [c.rpartition("|")[0] for c in names if c]
                for line, names in data.contexts_by_lineno(path).items()
            }
            self._lines[Path(path).as_posix()] = by_line
        self._counts = Counter(
            test for lines in self._lines.values() for tests in lines.values() for test in set(tests)
        )

    def tests(self, file: str, line: int) -> list[str]:
        """All of the module's own tests that reach it, and some of the others; those first that reach little else."""
        ours = next(lines for path, lines in self._lines.items() if path.endswith(f"haipump_fw/{file}"))
        found = sorted(set(ours.get(line, ())), key=lambda test: self._counts[test])
        own = [test for test in found if f"/test_{Path(file).stem}" in test]
        return own + [test for test in found if test not in own][:OTHERS_MAX]


# --- verdicts ---


def key(change: Change) -> str:
    """Changes with the file that it is in: another file, another verdict."""
    digest = hashlib.sha256((FIRMWARE / change.file).read_bytes()).hexdigest()[:12]
    return f"{digest} {change.name}"


def known() -> dict[str, dict[str, Any]]:
    """The verdicts so far."""
    path = WORK / "verdicts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {entry["key"]: entry for entry in map(json.loads, lines)}


def attempt(todo: list[Change], workers: int, deep: bool = False) -> None:
    """Try changes; each verdict is kept at once."""
    reach = Reach()
    by_name = {change.name: change for change in todo}
    with (WORK / "verdicts.jsonl").open("a", encoding="utf-8") as kept:

        def keep(name: str, caught: str | None, seconds: float) -> None:
            kept.write(json.dumps({"key": key(by_name[name]), "caught": caught, "deep": deep}) + "\n")
            kept.flush()
            print(
                f"{'caught  ' if caught else 'SURVIVED'} {name} ({caught or 'by nobody'}, {seconds:.1f} s)", flush=True
            )

        def done(verdict: Verdict) -> None:
            keep(verdict.job.name, verdict.caught, verdict.seconds)

        def jobs() -> Iterator[Job]:
            for change in todo:
                tests = DEEP if deep else tuple(reach.tests(change.file, change.line))
                if tests:
                    path = f"firmware/haipump_fw/{change.file}"
                    yield Job(change.name, {path: change.text()}, tests, DEEP_LIMIT_S if deep else LIMIT_S)
                else:
                    keep(change.name, None, 0)

        run(jobs(), workers, done)


# --- the page ---


def page(tried: Iterable[tuple[Change, str | None]], of: int) -> str:
    """docs/mutation.md, when so many of `of` changes were tried."""
    tried = list(tried)
    total = Counter(change.file for change, _ in tried)
    caught = Counter(change.file for change, by in tried if by)
    whole = sum(caught.values())
    share = 100 * whole / max(1, len(tried))
    lines = [
        "# Mutation",
        "",
        "<!-- Written by `make mutation`. Do not edit. -->",
        "",
        f"{len(tried)} of {of} small changes of functions in `core`, `proto` and `store` were tried (comparison, "
        "arithmetic, "
        f"constant, boolean, return), each with the tests that reach its line. {whole} were noticed: {share:.1f} %, "
        f"bar {BAR} %. A survivor is a change that makes no difference, or a test that is missing: each is listed.",
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
    for change, by in tried:
        if not by:
            was, now = (text.replace("|", "\\|") for text in (change.was, change.now))
            reason = EXPLAINED.get(change.name, "a test is missing, or nobody has looked yet")
            lines.append(f"| `{change.file}` {change.function} | ``{was}`` becomes ``{now}`` | {reason} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Returns the exit code: 1 below the bar."""
    parser = argparse.ArgumentParser(description="Small changes of the pure half: how many do the tests notice?")
    parser.add_argument("files", nargs="*", metavar="FILE", help="only these, e.g. core/clock.py")
    parser.add_argument("--sample", type=int, default=0, help="only so many, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deep", action="store_true", help="what survives is tried with whole lives of the pump")
    parser.add_argument("--again", action="store_true", help="measure anew which test reaches which line")
    parser.add_argument("--page", action="store_true", help="write docs/mutation.md")
    asked = parser.parse_args()
    names = asked.files or files()
    every = [change for name in names for change in changes(name, (FIRMWARE / name).read_text(encoding="utf-8"))]
    count = len(every)
    if asked.sample:
        every = random.Random(asked.seed).sample(every, min(asked.sample, len(every)))
    if asked.again or not (WORK / "coverage").exists():
        measure(asked.workers)
    had = known()
    todo = [change for change in every if key(change) not in had]
    print(f"{len(every)} changes, {len(todo)} to be tried", flush=True)
    attempt(todo, asked.workers)
    had = known()
    if asked.deep:
        again = [change for change in every if not had[key(change)]["caught"] and not had[key(change)]["deep"]]
        print(f"{len(again)} survivors are tried with whole lives of the pump", flush=True)
        attempt(again, asked.workers, deep=True)
        had = known()
    tried = [(change, had[key(change)]["caught"]) for change in every if key(change) in had]
    share = 100 * sum(1 for _, by in tried if by) / max(1, len(tried))
    if asked.page:
        PAGE.write_text(page(tried, count), encoding="utf-8")
    print(f"{share:.1f} % of {len(tried)} noticed (bar {BAR} %)")
    return 0 if share >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
