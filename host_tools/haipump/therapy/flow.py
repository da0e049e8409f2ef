"""The actual flow of a pump against what was expected of it, and what that allows.

Owns: the bounds of 10, 15 and 50 %, with their sources. Must not: know how the flow was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from haipump.quantities import format_rate, rounded

ACCEPT_PERCENT = 10  # reading noise and normal drift; unverified
REFUSE_PERCENT = 15  # "more than 15 % outside its specification": FDA notice on a constant-flow pump, 2022
OBSTACLE_PERCENT = 50  # further off is no flow to dose by, whoever stands for it; project default
ACCEPT, REFUSE = Fraction(ACCEPT_PERCENT, 100), Fraction(REFUSE_PERCENT, 100)
SHOWN_DIGITS = 6  # at most; a flow of 1 mL/day in whole nL is known to 0.0001 %


@dataclass(frozen=True)
class FlowCheck:
    """`error_percent` is 100 (F_actual - F_reference) / F_reference, exact. `verdict` is one of `not measured`,
    `accepted` (at most 10 % off), `flagged` (at most 15 %), `out of bounds`, `no flow` (more than 50 %)."""

    actual_nl_per_day: int
    reference_nl_per_day: int
    measured: bool
    error_percent: Fraction
    verdict: str

    @property
    def off(self) -> str:
        """How far off in percent; with more digits where one would show a bound that was passed as the bound."""
        off = abs(self.error_percent)
        shown = rounded(off, 1)
        bounds = [str(bound) for bound in (ACCEPT_PERCENT, REFUSE_PERCENT, OBSTACLE_PERCENT) if bound != off]
        return rounded(off, SHOWN_DIGITS) if shown in bounds else shown

    @property
    def text(self) -> str:
        """The comparison in words."""
        if not self.measured:
            return f"never measured: {format_rate(self.reference_nl_per_day)} by the label"
        off = self.error_percent
        word = "as expected" if not off else f"{self.off} % {'fast' if off > 0 else 'slow'}"
        return (
            f"{format_rate(self.actual_nl_per_day)} measured, {format_rate(self.reference_nl_per_day)} expected: {word}"
        )


def check(reference_nl_per_day: int, measured_nl_per_day: int | None) -> FlowCheck:
    """Judge a flow against its reference (the last accepted one, or the label), both above 0."""
    if measured_nl_per_day is None:
        return FlowCheck(reference_nl_per_day, reference_nl_per_day, False, Fraction(0), "not measured")
    error = Fraction(100 * (measured_nl_per_day - reference_nl_per_day), reference_nl_per_day)
    verdict = "no flow" if abs(error) > OBSTACLE_PERCENT else "out of bounds"
    if abs(error) <= ACCEPT_PERCENT:
        verdict = "accepted"
    elif abs(error) <= REFUSE_PERCENT:
        verdict = "flagged"
    return FlowCheck(measured_nl_per_day, reference_nl_per_day, True, error, verdict)
