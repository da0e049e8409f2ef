"""Are the tests awake? `make mutants`, or `python -m tools.proof.mutants [--sample N] [NAME ...]`.

Each mutant of tests/mutants is one edit that makes the firmware wrong. It is applied to a copy; the tests that should
notice are run, and when they don't, all tests that need no chip. The report says by what it was caught.

Owns: the order, the report. Must not: change the tree.
"""

from __future__ import annotations

import sys

from tests.mutants.model import Mutant
from tests.mutants.table import MUTANTS
from tools.proof.runner import Job, Verdict, options, run

# Behind the likely ones; stops at the first failure.
ALL = ("tests/firmware/core", "tests/firmware/proto", "tests/firmware/store", "tests/firmware/app", "tests/firmware")
ALL_LIMIT_S = 600


def sampled(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` of them, spread over the list, others for each seed; all when count is 0."""
    step = max(1, len(mutants) // count) if count else 1
    return mutants[seed % step :: step][: count or None]


def main() -> int:
    """Returns the exit code: 1 when a mutant was not caught."""
    asked = options("Break the firmware in known ways: the tests must notice.", "NAME").parse_args()
    chosen = sampled([m for m in MUTANTS if not asked.names or m.name in asked.names], asked.sample, asked.seed)
    by_name = {mutant.name: mutant for mutant in chosen}
    missed: list[Mutant] = []
    survivors: list[str] = []
    healthy = Job("no mutant", {}, tuple(sorted({test for mutant in chosen for test in mutant.likely()})), ALL_LIMIT_S)

    def sound(verdict: Verdict) -> None:
        if verdict.caught is not None:
            raise SystemExit(f"Without any mutant {verdict.caught} fails: mend that first.\n{verdict.output}")

    def first(verdict: Verdict) -> None:
        if verdict.caught in (None, "import"):  # not imported: that says nothing of the tests
            missed.append(by_name[verdict.job.name])
        else:
            print(f"{verdict.job.name}: caught by {verdict.caught} ({verdict.seconds:.1f} s)", flush=True)

    def last(verdict: Verdict) -> None:
        if verdict.caught in (None, "import"):
            survivors.append(verdict.job.name)
            print(f"{verdict.job.name}: SURVIVED {verdict.ran} tests. {by_name[verdict.job.name].why}", flush=True)
        else:
            print(f"{verdict.job.name}: caught, unexpectedly, by {verdict.caught}", flush=True)

    run([healthy] if chosen and not asked.trust else [], 1, sound)
    run([Job(mutant.name, mutant.edit(), mutant.likely()) for mutant in chosen], asked.workers, first)
    run([Job(mutant.name, mutant.edit(), ALL, ALL_LIMIT_S) for mutant in missed], asked.workers, last)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught")
    return 1 if survivors or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
