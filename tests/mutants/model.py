"""A mutant: one edit of the firmware that makes it wrong, and who should notice.

Owns: the row, and the edit that it stands for. Must not: run a test or change the tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """In `file` (below firmware/haipump_fw), `old` is replaced by `new`. `hazard` is a row of docs/hazards.md, `tests`
    are those that most likely notice (below tests/firmware unless they begin with `tests/`)."""

    name: str
    file: str
    old: str
    new: str
    why: str
    hazard: str
    tests: tuple[str, ...]

    @property
    def path(self) -> str:
        """Below the repository."""
        return f"firmware/haipump_fw/{self.file}"

    def edit(self) -> dict[str, str]:
        """{path: text with the edit}. ValueError when the old text is not there exactly once."""
        text = (ROOT / self.path).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(
                f"mutant {self.name}: its old text stands {text.count(self.old)} times in {self.path}, not once. The "
                "code has changed: break the same thing where it is done now (tests/mutants)."
            )
        return {self.path: text.replace(self.old, self.new)}

    def likely(self) -> tuple[str, ...]:
        """Node ids of its tests."""
        return tuple(test if test.startswith("tests/") else f"tests/firmware/{test}" for test in self.tests)
