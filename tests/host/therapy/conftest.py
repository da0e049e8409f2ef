"""Fixtures of the therapy tests: the example course, changed by replacing text, and the packaged library; records wait
for no disk."""

from __future__ import annotations

import pytest

from haipump.therapy import course as courses
from haipump.therapy import library as libraries
from haipump.therapy import record


@pytest.fixture(autouse=True)
def fast(monkeypatch) -> None:
    """A process that dies leaves what it wrote to the system: only a power cut needs the disk."""
    monkeypatch.setattr(record, "SYNCHRONOUS", "off")


@pytest.fixture(scope="session")
def library() -> libraries.Library:
    return libraries.load()


def example(*changes: tuple[str, str]) -> str:
    """The text of the example course with these pieces replaced; each must be there."""
    text = courses.example()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def course(*changes: tuple[str, str]) -> courses.Course:
    """The example course with these pieces replaced."""
    return courses.parse(example(*changes))
