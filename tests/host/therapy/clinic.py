"""A clinic for tests: somebody who answers, a clock that is set, courses that are begun. Owns: those. Tests nothing."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from haipump.errors import UsageError
from haipump.therapy.record import Record
from haipump.therapy.refill import Procedure
from haipump.therapy.steps import Question
from haipump.therapy.visit import Wanted

BEGAN = datetime.datetime(2026, 11, 2, 9, 0, tzinfo=datetime.UTC)
FLOXURIDINE = Wanted(
    drug="floxuridine", concentration_ng_per_ml=Fraction(6_461_538), fill_nl=30_000_000, label_nl_per_day=1_300_000,
    by="Eva Lang",
)  # fmt: skip
QUIET: Mapping[str, str] = {
    "identify": "", "drug": "LOT 17", "access": "yes", "withdraw": "11.8mL", "placement": "5mL", "portion": "yes",
    "prime_ready": "yes", "perfusion": "liver", "flush": "free", "trace": "liver",
    "start": "yes",
}  # fmt: skip


class Day:
    """The course's time, in days since it began."""

    def __init__(self, days: float = 0.0) -> None:
        self.days = days

    def __call__(self) -> datetime.datetime:
        return BEGAN + datetime.timedelta(days=self.days)


class Person:
    """Answers by step: one text, or several in turn. Keeps the questions and what was told."""

    def __init__(self, **answers: str | Sequence[str]) -> None:
        self.answers = {name: [a] if isinstance(a, str) else list(a) for name, a in {**QUIET, **answers}.items()}
        self.asked: list[str] = []
        self.texts: list[str] = []
        self.refused: list[str] = []
        self.kinds: list[frozenset[str]] = []

    def ask(self, question: Question) -> str:
        self.asked.append(question.state)
        self.texts.append(question.text)
        waiting = self.answers[question.state]
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def say(self, text: str) -> None:
        self.texts.append(text)

    def wrong(self, error: UsageError) -> None:
        self.refused.append(error.what)
        assert len(self.refused) < 20, self.refused

    def judged(self, procedure: Procedure) -> None:
        assert procedure.assessment is not None
        self.kinds.append(procedure.assessment.kinds)


class Gone(Person):
    """Goes away at the question with this number, from 0."""

    def __init__(self, at: int, **answers: str | Sequence[str]) -> None:
        super().__init__(**answers)
        self.left = at

    def ask(self, question: Question) -> str:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().ask(question)


def make(path: Path, **options) -> Record:
    return Record(path, "course A", BEGAN.isoformat(), **options)
