"""Fixtures: run files of the real firmware, recorded once for all tests, and reports made of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from haipump.report.page import compose
from haipump.report.source import read
from haipump.report.story import Story, tell
from tests.host.report.runs import RUNS

FIGURES = ("delivery", "flow", "pressure", "reservoir", "timeline")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """{name: run file} of RUNS."""
    folder = tmp_path_factory.mktemp("runs")
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = folder / f"{name}.sqlite"
            RUNS[name](made[name])
        return made[name]

    return make


@pytest.fixture
def copied(recorded, tmp_path):
    """A copy of a run file, to be changed."""

    def copy(name: str) -> Path:
        return Path(shutil.copy(recorded(name), tmp_path / f"{name}.sqlite"))

    return copy


@pytest.fixture
def story(recorded):
    def of(name: str) -> Story:
        return tell(read(recorded(name)))

    return of


def text_of(path: Path) -> str:
    """The page of a run file, its figures left out."""
    return compose(tell(read(path)), dict.fromkeys(FIGURES, "<svg/>"))
