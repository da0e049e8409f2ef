"""Is each row of docs/requirements.md alive? `make alive`, or `python -m tools.proof.alive [--sample N] [ID ...]`.

For each requirement and each function that it names: the function is replaced by one that does nothing, and the tests
that carry the requirement are run. One of them must fail; else the row proves nothing.

Owns: the replacement, the report. Must not: change the tree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tools.proof.runner import Job, Verdict, options, run
from tools.traceability import pages, tags
from tools.traceability.model import ROOT, Requirement, find, full


def emptied(name: str) -> dict[str, str]:
    """The edit that makes the named function do nothing."""
    place = find(name)
    lines = place.path.read_text(encoding="utf-8").splitlines(keepends=True)
    body = place.node.body
    end = place.node.end_lineno or place.node.lineno
    indent = " " * body[0].col_offset
    if body[0].lineno == place.node.lineno:
        raise ValueError(f"{name} stands on one line")
    lines[body[0].lineno - 1 : end] = [f"{indent}return None\n"]
    return {place.path.relative_to(ROOT).as_posix(): "".join(lines)}


def quick_first(tests: list[str]) -> tuple[str, ...]:
    """Those of single parts before those of the whole pump, and these before random lives."""
    return tuple(sorted(tests, key=lambda test: ("/core/" not in test, "/cores/" in test, "/exact/" in test)))


def jobs(rows: list[Requirement], tagged: dict[str, list[str]]) -> Iterator[Job]:
    """One for each function of each row that has tests."""
    for row in rows:
        for name in row.where:
            if tagged.get(row.id):
                yield Job(f"{row.id} without {full(name)}", emptied(name), quick_first(tagged[row.id]))


def main() -> int:
    """Returns the exit code: 1 when a row is dead."""
    asked = options("Replace what meets a requirement by nothing: its tests must fail.", "ID").parse_args()
    rows = [row for row in pages.ROWS if not asked.names or row.id in asked.names]
    todo = list(jobs(rows, tags.tags()))
    if asked.sample:
        step = max(1, len(todo) // asked.sample)
        todo = todo[asked.seed % step :: step][: asked.sample]
    dead: list[Verdict] = []
    whole = Job("nothing replaced", {}, tuple(sorted({test for job in todo for test in job.tests})), 300)

    def sound(verdict: Verdict) -> None:
        if verdict.caught is not None:
            raise SystemExit(f"Without any replacement {verdict.caught} fails: mend that first.\n{verdict.output}")

    def done(verdict: Verdict) -> None:
        if verdict.caught in (None, "import"):
            dead.append(verdict)
        by = {None: f"DEAD: {verdict.ran} tests passed", "import": "DEAD: not even imported"}.get(
            verdict.caught
        ) or verdict.caught
        print(f"{verdict.job.name}: {by} ({verdict.seconds:.1f} s)", flush=True)

    run([whole] if todo and not asked.trust else [], 1, sound)
    run(todo, asked.workers, done)
    print(f"{len(todo)} functions replaced, {len(todo) - len(dead)} missed by a test, {len(dead)} dead")
    return 1 if dead or not todo else 0


if __name__ == "__main__":
    sys.exit(main())
