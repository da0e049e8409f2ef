"""What an invariant says when it does not hold, and how late the pump may be.

Owns: the exception. Must not: judge.
"""

from __future__ import annotations

from typing import Any

LATE_US = 150_000  # an order begins, ends or pauses 20 to 90 ms after the pump took it; a pass may be in between


class Violation(Exception):
    """An invariant does not hold. `kind` is its name."""

    def __init__(self, kind: str, t_us: int, text: str) -> None:
        super().__init__(f"{kind} at {t_us / 1e6:.6f} s: {text}")
        self.kind, self.t_us, self.text = kind, t_us, text

    def __reduce__(self) -> tuple[Any, ...]:
        return Violation, (self.kind, self.t_us, self.text)
