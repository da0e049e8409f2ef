"""Survivors of the mutation tool that make no difference, and why.

`explained.txt`: a line `# reason`, and behind it the names of the changes that it explains. A reason holds for each of
them, by itself.

Owns: EXPLAINED. Must not: excuse a test that is missing.
"""

from __future__ import annotations

from pathlib import Path

TABLE = Path(__file__).with_suffix(".txt")


def _read(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    reason = ""
    for line in text.splitlines():
        if line.startswith("# "):
            reason = line[2:]
        elif line:
            if not reason or line in found:
                raise ValueError(f"{TABLE.name}: {line}")
            found[line] = reason
    return found


EXPLAINED = _read(TABLE.read_text(encoding="utf-8"))
