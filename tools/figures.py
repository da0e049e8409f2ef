"""The frame of `make bench`: a registry of measurements, a table, and build/bench.json.

Owns: what a figure is, how it is judged, printed and written. Must not: measure anything; measurements register
themselves with `@figure` (tools/bench.py).
"""

import json
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

AT_MOST, AT_LEAST = "<=", ">="
_JUDGES = {AT_MOST: lambda value, bar: value <= bar, AT_LEAST: lambda value, bar: value >= bar}


class NotMeasured(Exception):
    """This machine lacks what a measurement needs; the message says what, and how to get it. No bar is missed by it."""


@dataclass(frozen=True)
class Noted:
    """A value with a line about how it came about, which is shown below the table."""

    value: float
    note: str


@dataclass(frozen=True)
class Figure:
    """One row of the table. `value` None: measuring failed (`reached` False) or was not possible (`reached` None).
    `bar` None: for information, there is nothing to reach."""

    name: str
    value: float | None
    unit: str
    bar: float | None
    reached: bool | None
    note: str = ""


@dataclass(frozen=True)
class Measurement:
    """How one figure is measured: `run` returns its value in `unit`; `relation` says on which side of `bar` is good."""

    name: str
    what: str
    unit: str
    relation: str
    bar: float | None
    run: Callable[[], float | Noted]

    def take(self) -> Figure:
        """Measure. A measurement that fails is a bar missed, told on stderr; the others still run."""
        try:
            taken = self.run()
        except NotMeasured as lack:
            return Figure(self.name, None, self.unit, self.bar, None, f"not measured, because {lack}")
        except Exception:
            traceback.print_exc()
            return Figure(self.name, None, self.unit, self.bar, False)
        value, note = (taken.value, taken.note) if isinstance(taken, Noted) else (taken, "")
        reached = None if self.bar is None else _JUDGES[self.relation](value, self.bar)
        return Figure(self.name, value, self.unit, self.bar, reached, note)


class Registry:
    """The measurements, in the order in which they registered."""

    def __init__(self) -> None:
        self.measurements: dict[str, Measurement] = {}

    def figure(self, name: str, what: str, unit: str, relation: str = AT_MOST, bar: float | None = None):
        """Decorator: the function below measures `name`; `what` is one line for people. ValueError for a known name."""

        def register(run: Callable[[], float | Noted]) -> Callable[[], float | Noted]:
            if name in self.measurements:
                raise ValueError(f"two figures are called {name}")
            self.measurements[name] = Measurement(name, what, unit, relation, bar, run)
            return run

        return register

    def select(self, only: Sequence[str]) -> list[Measurement]:
        """The named ones, or all. ValueError when a name is unknown."""
        unknown = [name for name in only if name not in self.measurements]
        if unknown:
            raise ValueError(f"no figure is called {', '.join(unknown)}; there are {', '.join(self.measurements)}")
        return [m for m in self.measurements.values() if not only or m.name in only]


def number(value: float) -> str:
    """A figure as people read it: thousands grouped, four digits that count."""
    if abs(value) >= 1000 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def show(measurements: Iterable[Measurement], figures: Iterable[Figure], stream: TextIO | None = None) -> None:
    """Print the table, and the notes below it."""
    table = Table(title="haipump: figures", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("bar", justify="right")
    table.add_column("unit")
    table.add_column("")
    notes = []
    for measurement, figure in zip(measurements, figures, strict=True):
        verdict = {None: "", True: "[green]reached[/]", False: "[bold red]missed[/]"}[figure.reached]
        bar = f"{measurement.relation} {number(figure.bar)}" if figure.bar is not None else ""
        lacking = "failed" if figure.reached is False else "not measured"
        value = lacking if figure.value is None else number(figure.value)
        table.add_row(measurement.what, value, bar, figure.unit, verdict)
        if figure.note:
            notes.append(f"{measurement.what}: {figure.note}")
    console = Console(file=stream)
    console.print(table)
    for note in notes:
        console.print(note, markup=False, highlight=False)


def write(path: Path, figures: Iterable[Figure]) -> None:
    """Put `figures` into the JSON list at `path`; others that stand there, from an earlier --only, are kept."""
    known = {}
    if path.exists():
        known = {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    known.update({figure.name: asdict(figure) for figure in figures})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(known.values()), indent=2) + "\n", encoding="utf-8")


def run(registry: Registry, path: Path, only: Sequence[str] = (), stream: TextIO | None = None) -> int:
    """Measure, print, write. Returns the exit code: 0 when every bar was reached, 1 when one was missed."""
    measurements = registry.select(only)
    if not only:
        path.unlink(missing_ok=True)  # a full run leaves nothing of measurements that no longer exist
    console = Console(stderr=True)
    figures = []
    for measurement in measurements:
        with console.status(measurement.what):
            figures.append(measurement.take())
    show(measurements, figures, stream)
    write(path, figures)
    return 0 if all(figure.reached is not False for figure in figures) else 1
