"""A refill by the course file: which fill comes next, what goes in, and its limits in the pump.

Owns: the option --plan, and that options and course do not say the same thing twice. Must not: work a fill out
(`haipump.therapy.dose`), or lead a visit (`therapy_visit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haipump.cli import therapy
from haipump.cli.frame import Cli
from haipump.errors import UsageError
from haipump.therapy import calendar as cal
from haipump.therapy import course as courses
from haipump.therapy import history, library

if TYPE_CHECKING:
    from haipump.client import Pump
    from haipump.therapy.record import Record
    from haipump.therapy.visit import Wanted

PlanOption = Annotated[
    Path | None,
    typer.Option("--plan", help="A course file: drug, strength, volume, flow and days of its next fill."),
]
OF_THE_COURSE: Mapping[str, str] = {
    "drug": "--drug",
    "concentration_ng_per_ml": "--concentration",
    "fill_nl": "--volume",
    "label_nl_per_day": "--flow",
    "rate_nl_per_day": "--rate",
    "unusable_nl": "--unusable",
    "syringe_nl": "--syringe",
}


@dataclass
class PlannedVisit:
    """`instead`: what keeps the catheter open while the drug is on hold."""

    cli: Cli
    file: Path
    loaded: courses.Course
    taken: library.Library
    instead: str | None
    fill: cal.Fill | None = None

    @classmethod
    def read(cls, cli: Cli, file: Path, packaged: Path | None, key: Path | None, instead: str | None) -> PlannedVisit:
        """Raises CourseFileError, LibraryRefused, UsageError."""
        return cls(cli, file, courses.load(file), therapy.taken_library(packaged, key), instead)

    def without_line(self, no_pump: bool) -> bool:
        """Whether the course's pump is one without a line. Raises UsageError when --no-pump says otherwise."""
        line = self.loaded.pump.kind == courses.PROGRAMMABLE
        if line and no_pump:
            raise UsageError(
                f"{self.file} is for a pump on a line",
                "Nothing was recorded",
                "leave --no-pump out, or change its kind",
            )
        return not line

    def wanted(self, kept: Record, options: Wanted, new_pump: bool) -> Wanted:
        """The visit of the next fill, with what the options say besides; an open one goes on as it began. Raises
        UsageError when all fills are done, or the options say what the course says, and DoseRefused."""
        from haipump.therapy.run import check_same_course, fills_done, wanted_for

        check_same_course(kept, self.loaded)
        done, fills = fills_done(kept), cal.fills(self.loaded)
        if done == len(fills):
            raise UsageError(
                f"all {done} fills of {self.file} are done", "Nothing was recorded", "leave --plan out for one more"
            )
        self.fill = fills[done]
        entries = history.read(self.file)
        history.lacking(kept, entries)
        if kept.open_visit() is not None:
            return options
        history.keep(kept, entries)
        # What the last pump did says nothing of another one.
        loaded = self.loaded if new_pump else therapy.with_flow_of(self.loaded, kept)
        made, count = therapy.prepared(loaded, self.taken, self.fill.number, self.file, self.instead)
        said = wanted_for(loaded, self.fill, made)
        given = {name: value for name, value in asdict(options).items() if value is not None}
        for name, option in OF_THE_COURSE.items():
            if name in given and getattr(said, name) is not None:
                raise UsageError(
                    f"{option} is what the course says", "Nothing was recorded", "leave it out, or change the course"
                )
        self.cli.say(f"Fill {self.fill.number} of {count} of {self.file}, as `haipump therapy dose` works it out.")
        return replace(said, **given)

    def secured(self, pump: Pump, drug: str) -> None:
        """The limits of what goes in, loaded and sealed; after `wanted`."""
        assert self.fill is not None
        therapy.secure(self.cli, pump, self.loaded, self.taken, self.file, self.fill, drug)
