"""What goes wrong with catheter and implanted pump: when it begins in the proof, which sign tells it, and who sees it.

Owns: COMPLICATIONS, one table for the proof (tests/host/therapy/test_complications.py), for docs/complications.md and
for the bounds of the shipped scenarios. Must not: simulate anything, or know the host's code: the findings stand here
by their names.

The course of the table: visits every 14 days, flush due every 28, perfusion check before the first drug and every 84.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

VISIT_DAYS = 14
FLUSH_DAYS = 28
CHECK_DAYS = 84
BEGINS_DAY = 30  # two days after a visit with a flush: the longest wait for the next one


class Needle(StrEnum):
    """What goes wrong with the refill needle in one visit."""

    BESIDE = "beside"  # beside the septum from the beginning
    SLIPS = "slips"  # out of the septum, behind the check of its place


class Look(StrEnum):
    """At which look it is seen."""

    VISIT = "next visit"
    FLUSH = "next flush"
    CHECK = "next perfusion check"


SEEN_DAY = {Look.VISIT: 42, Look.FLUSH: 56, Look.CHECK: 84}


@dataclass(frozen=True, slots=True)
class Complication:
    """One row. `catheter`: its condition (catheter.CONDITIONS) from BEGINS_DAY on; else `flipped`, `needle` (in the
    visit after it) or `dry_until_day` (no visit between day 28 and that one).

    `alarm_min`: minutes within which the programmable pump raises `occlusion` at 1.3 mL/day from a 10 mL syringe; None:
    never. `bolus_alarm_min`: the same at the next bolus. `findings`: what a refill at the implanted pump finds, at the
    latest at `look`; `may`: what it may find before or beside that. `sign`: what is felt, seen or read. `before`: why
    nobody sees it earlier, or at all."""

    name: str
    title: str
    look: Look
    findings: tuple[str, ...]
    sign: str
    before: str
    catheter: str | None = None
    flipped: bool = False
    needle: Needle | None = None
    dry_until_day: int | None = None
    may: tuple[str, ...] = ()
    alarm_min: int | None = None
    bolus_alarm_min: int | None = None

    @property
    def condition(self) -> str | None:
        """Of the catheter while the programmable pump is looked at; what a dry period leaves is a clot."""
        return "clotted" if self.dry_until_day else self.catheter

    @property
    def seen_day(self) -> int:
        """The day of the visit at which it is found at the latest."""
        return self.dry_until_day or SEEN_DAY[self.look]


_SLOW = ("slow", "more_than_expected", "flag")
_FAST = ("fast", "flag")

COMPLICATIONS = (
    Complication(
        "narrowed", "a sheath, through which the flow still goes", Look.FLUSH, ("stiff",), "the flush is stiff",
        "either pump presses its flow through it", catheter="narrowed",
    ),
    Complication(
        "partly_blocked", "70 % of the flow is left", Look.FLUSH, ("blocked",),
        "a high residual in most cases, and the flush is blocked",
        "30 % slow hides in the readings of one refill in five; a programmable pump gives all of the dose, at 50 kPa",
        catheter="partly_blocked", may=_SLOW, bolus_alarm_min=1,
    ),
    Complication(
        "kinked", "a third of the flow is left", Look.VISIT, ("slow", "blocked"),
        "a high residual, and the flush is blocked", "a pump of constant flow has no alarm",
        catheter="kinked", may=_SLOW, alarm_min=60,
    ),
    Complication(
        "blocked", "nothing passes", Look.VISIT, ("slow", "blocked"),
        "hardly anything has gone, and the flush is blocked", "a pump of constant flow has no alarm",
        catheter="blocked", may=_SLOW, alarm_min=60,
    ),
    Complication(
        "clotted", "the pump ran dry; two days later a clot", Look.VISIT, ("blocked",),
        "nothing comes back (`dry`, unless a reading errs by 1 mL), and the flush is blocked",
        "a pump of constant flow has no alarm; a programmable one tells the empty reservoir, and the clot at its next "
        "start", dry_until_day=58, may=("dry",), alarm_min=60,
    ),
    Complication(
        "leaking", "cracked at the connector, half goes into the pocket", Look.CHECK, ("leak",),
        "the tracer shows around the pump",
        "the flow is right, the flush goes the easy way through the tip, and blood comes back",
        catheter="leaking", may=_FAST,
    ),
    Complication(
        "broken", "came off, all goes into the pocket", Look.FLUSH, ("swelling",), "the pocket swells under the flush",
        "the flow rises by 13 %, which one refill can't tell from its readings", catheter="broken", may=_FAST,
    ),
    Complication(
        "side_branch", "slipped into a side branch", Look.CHECK, ("other_organ",),
        "the tracer shows in another organ",
        "pressure, flow, flush and blood are those of an artery; pain in the stomach may come first",
        catheter="side_branch", may=_FAST,
    ),
    Complication(
        "dislodged", "slipped out of the artery", Look.FLUSH, ("no_blood", "leak"),
        "no blood comes back, and the tracer shows in the tissue",
        "the flow rises by 13 %, which one refill can't tell from its readings", catheter="dislodged", may=_FAST,
    ),
    Complication(
        "turned_over", "the pump has turned over", Look.VISIT, ("turned_over",),
        "the septum is not found", "it goes on as before", flipped=True,
    ),
    Complication(
        "beside", "the needle is beside the septum", Look.VISIT, ("pocket",),
        "of 5 mL that were pushed nothing comes back, and no drug has gone in",
        "it begins in the visit", needle=Needle.BESIDE,
    ),
    Complication(
        "slips", "the needle slips out while the pump is filled", Look.VISIT, ("pocket",),
        "a part of the fill does not come when a little is drawn back; the rest stays out of the pocket",
        "it begins in the visit; up to a third of the fill is in the pocket by then", needle=Needle.SLIPS,
    ),
)  # fmt: skip
