"""Rules that change a dose, as data: sets of rows, each with its thresholds, its source and its status.

Owns: the format of `rules.toml`, and which step a value reaches. Must not: decide anything; `adjust` does. Nothing in
the tables is for clinical use, and each set says how far its source was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path

from haipump.errors import UsageError
from haipump.therapy import reading as r
from haipump.therapy.course import TESTS

FILE = "rules.toml"


@dataclass(frozen=True)
class Step:
    """From this multiple on, or only above it when `strictly`, `percent` of the dose; 0 is a hold."""

    times: Fraction
    strictly: bool
    percent: int

    def reached(self, ratio: Fraction) -> bool:
        return ratio > self.times if self.strictly else ratio >= self.times


@dataclass(frozen=True)
class Row:
    """One test. `compare_with` is `reference` or `upper_limit`; the row holds for references above `reference_above`
    and up to `reference_at_most` (None: no end)."""

    test: str
    compare_with: str
    steps: tuple[Step, ...]
    restart_below: Fraction
    restart_percent: int
    reference_above: Fraction | None
    reference_at_most: Fraction | None
    note: str

    def holds_for(self, reference: Fraction) -> bool:
        """Whether this is the row for such a reference value."""
        above = self.reference_above is None or reference > self.reference_above
        return above and (self.reference_at_most is None or reference <= self.reference_at_most)

    def step(self, ratio: Fraction) -> Step | None:
        """The last step that is reached; None below the first, which is 100 %."""
        reached = [step for step in self.steps if step.reached(ratio)]
        return reached[-1] if reached else None


@dataclass(frozen=True)
class Imaging:
    """Bilirubin from `at_mg_per_dl` on holds the drug and asks for imaging, until it is at most `normal_mg_per_dl`."""

    at_mg_per_dl: Fraction
    normal_mg_per_dl: Fraction
    words: str
    source: str


@dataclass(frozen=True)
class RuleSet:
    """A named set. `percent_of` the `planned` or the `last` dose; `reference` is the `baseline`, or the value at the
    `last dose` and never below the baseline."""

    id: str
    name: str
    version: int
    status: str
    percent_of: str
    reference: str
    rows: tuple[Row, ...]
    imaging: Imaging

    @property
    def needs_reference(self) -> tuple[str, ...]:
        """Tests that need a value from before the first dose."""
        return self._tests("reference")

    @property
    def needs_upper_limit(self) -> tuple[str, ...]:
        """Tests that need the laboratory's upper limit of normal."""
        return self._tests("upper_limit")

    def _tests(self, compared: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.test for row in self.rows if row.compare_with == compared))


def load() -> dict[str, RuleSet]:
    """All sets by name, the default first. Raises CourseFileError when the packaged file is damaged."""
    return parse((resources.files("haipump.therapy") / FILE).read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, RuleSet]:
    """Sets from the text of a file. Raises CourseFileError."""
    top = r.parse(Path(FILE), text, "rules")
    head, sets = top.table("rules"), top.table("set")
    head.take("version", r.whole(1, 10**6))
    head.take("about", r.text)
    imaging = _imaging(top.table("imaging"))
    found = {name: _set(name, sets.table(name), imaging) for name in sets.left()}
    default = head.take("default", r.one_of(*found))
    for table in (head, sets, top):
        table.end()
    top.source.finish()
    return dict(sorted(found.items(), key=lambda one: one[0] != default))


def pick(name: str | None) -> RuleSet:
    """The set of this name; without one the default. Raises UsageError."""
    sets = load()
    if name is None:
        return next(iter(sets.values()))
    if name not in sets:
        raise UsageError(
            f'there are no rules "{name}"; {r.close_to(name, sets)}', next_step="see `haipump therapy rules`"
        )
    return sets[name]


def _imaging(table: r.Table) -> Imaging:
    made = Imaging(
        at_mg_per_dl=table.take("from", r.amount("mg/dL")),
        normal_mg_per_dl=table.take("normal", r.amount("mg/dL")),
        words=table.take("words", r.text),
        source=table.take("source", r.text),
    )
    table.end()
    return made


def _set(name: str, table: r.Table, imaging: Imaging) -> RuleSet:
    made = RuleSet(
        id=name,
        name=table.take("name", r.text),
        version=table.take("version", r.whole(1, 10**6)),
        status=table.take("status", r.text),
        percent_of=table.take("percent_of", r.one_of("planned", "last")),
        reference=table.take("reference", r.one_of("baseline", "last dose")),
        rows=tuple(_row(one) for one in table.tables("row")),
        imaging=imaging,
    )
    table.end()
    for test in TESTS:
        if test not in {row.test for row in made.rows}:
            table.source.problem((*table.where, "row"), f"has none for {test}")
    return made


def _row(table: r.Table) -> Row:
    test = table.take("test", r.one_of(*TESTS))
    unit = TESTS[test][0] if test else "U/L"
    steps = tuple(_step(one) for one in table.tables("steps"))
    made = Row(
        test=test,
        compare_with=table.take("compare_with", r.one_of("reference", "upper_limit")),
        steps=steps,
        restart_below=table.take("restart_below", r.number),
        restart_percent=table.take("restart_percent", r.whole(1, 100)),
        reference_above=table.take("reference_above", r.amount(unit), None),
        reference_at_most=table.take("reference_at_most", r.amount(unit), None),
        note=table.take("note", r.text, ""),
    )
    table.end()
    known = [step for step in steps if step.times is not None and step.percent is not None]
    in_order = sorted(known, key=lambda step: (step.times, step.strictly, -step.percent))
    if not known or known != in_order or known[-1].percent != 0:
        table.source.problem((*table.where, "steps"), "do not rise to a hold", "in order, the last with percent = 0")
    return made


def _step(table: r.Table) -> Step:
    strictly = "above" in table
    made = Step(table.take("above" if strictly else "from", r.number), strictly, table.take("percent", r.whole(0, 99)))
    table.end()
    return made
