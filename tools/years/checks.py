"""What must hold after a fortnight and after all of them, each value beside its bound.

Owns: the checks and their bounds. Must not: run anything, or print. A check that can't fail is none: the tests break
one thing after the other and see it told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from haipump.journal import decode, verify
from haipump.therapy.record import Record
from haipump_emulator.campaign.books import RELIEF_STEPS
from haipump_fw.core.ledger import COMMIT_NL
from haipump_fw.core.units import FL_PER_NL
from tools.years import rates
from tools.years.state import Row, State

NL_PER_UL = 1_000
BATCH = 10_000
DOSE_PERCENT = 0.1  # of a fill in which nothing was cut and no alarm was; as for a course
WEAR_SHARE = 0.25  # of its life a sector may lose in five years, so that ten stay below half
OCCLUSIONS = ("occlusion", "upstream_occlusion")
DOUBT_STEPS = 2  # half a step of the schedule at each end, and the fraction that is carried over


@dataclass(frozen=True)
class Check:
    """One line of the table: what, its value, its bound, and whether it holds."""

    what: str
    value: str
    bound: str
    holds: bool


def of_fill(row: Row, step_fl: int) -> list[Check]:
    """After one fill: its ledger against the plant, its dose against the plan, its clock."""
    step_nl = step_fl / FL_PER_NL
    found = [_ledger(row, step_nl), _dose(row, step_nl)]
    drift = abs(row.drift_s)
    bound = f"at most {row.drift_max_s:.1f} s"
    found.append(Check("clock of the pump", f"{row.drift_s:+.2f} s", bound, drift <= row.drift_max_s))
    return found


def _range(low_nl: float, high_nl: float, true_nl: float) -> str:
    ends = [round((end - true_nl) / NL_PER_UL, 1) + 0.0 for end in (low_nl, high_nl)]  # no negative zero
    return f"{ends[0]:+,.1f} to {ends[1]:+,.1f} uL"


def _holding(widest_nl: float, slack_nl: float) -> str:
    if not widest_nl:
        return f"0 within {slack_nl / NL_PER_UL:.2f} uL"
    return f"0 inside, width to {widest_nl / NL_PER_UL:,.0f}"


def eventful(row: Row) -> bool:
    """The power went, or an alarm stopped the delivery: its ledger may be a range."""
    return bool(row.cuts or row.alarms)


def _ledger(row: Row, step_nl: float) -> Check:
    """Equal within two steps when nothing happened; else the range holds the truth and is no wider than it may be."""
    low, high, width = row.stepped_min_nl, row.stepped_max_nl, row.stepped_max_nl - row.stepped_min_nl
    slack = DOUBT_STEPS * step_nl
    widest = doubt_nl(row, step_nl)
    holds = low - slack <= row.true_nl <= high + slack and width <= widest
    return Check("ledger - plant", _range(low, high, row.true_nl), _holding(widest, slack), holds)


def doubt_nl(row: Row, step_nl: float) -> float:
    """What the pump may not know of its dose: a piece between two commits for each cut, and for each occlusion the
    steps back that relieve it, which may or may not have taken something out again."""
    reliefs = sum(name in OCCLUSIONS for name in row.alarms)
    return row.cuts * COMMIT_NL + reliefs * RELIEF_STEPS * step_nl


def _dose(row: Row, step_nl: float) -> Check:
    """Never more than planned; less only by what a cut or an alarm leaves in doubt, for the upper end counts."""
    off = row.true_nl - row.planned_nl
    most = DOUBT_STEPS * step_nl
    least = -most - doubt_nl(row, step_nl)
    percent = 100 * off / row.planned_nl
    bound = f"{100 * least / row.planned_nl:+.3f} to {100 * most / row.planned_nl:+.3f} %"
    holds = least <= off <= most and (eventful(row) or abs(percent) <= DOSE_PERCENT)
    return Check("dose - plan", f"{percent:+.4f} %", bound, holds)


def of_all(state: State, record: Record) -> list[Check]:
    """After all fills."""
    return [
        *_worst(state),
        _lifetime(state),
        _boots(state),
        _journal(record),
        _record(record),
        _wear(state),
        _errors(state),
    ]


def _worst(state: State) -> Iterator[Check]:
    """Of each check of a fill the worst, over all of them."""
    quiet = [row for row in state.rows if not eventful(row)]
    other = [row for row in state.rows if eventful(row)]
    for name, rows in (("quiet", quiet), ("events", other)):
        if rows:
            yield from _worst_of(name, rows, state.step_fl)
    all_rows = [(row.drift_s / row.drift_max_s if row.drift_max_s else 0.0, row) for row in state.rows]
    share, worst = max(all_rows, key=lambda one: abs(one[0]))
    yield Check(
        "clock, worst fill", f"{worst.drift_s:+.2f} s", f"{worst.drift_max_s:.1f} s: the quartz", abs(share) <= 1
    )


def _worst_of(name: str, rows: Sequence[Row], step_fl: int) -> Iterator[Check]:
    step_nl = step_fl / FL_PER_NL
    for make in (_ledger, _dose):
        made = [make(row, step_nl) for row in rows]
        bad = [one for one in made if not one.holds]
        worst = max(rows, key=lambda row: abs(row.true_nl - row.planned_nl))
        shown = bad[0] if bad else make(worst, step_nl)
        yield Check(f"{name}: {shown.what}", shown.value, shown.bound, not bad)


def _lifetime(state: State) -> Check:
    """The pump's totals of its life against the plant's steps."""
    low, high = state.lifetime["stepped_min_nl"], state.lifetime["stepped_max_nl"]
    true_nl = state.true_nl
    slack = DOUBT_STEPS * len(state.rows) * state.step_fl / FL_PER_NL
    widest = sum(doubt_nl(row, state.step_fl / FL_PER_NL) for row in state.rows)
    return Check(
        "lifetime: ledger - plant",
        _range(low, high, true_nl),
        _holding(widest, slack),
        low - slack <= true_nl <= high + slack and high - low <= widest,
    )


def _boots(state: State) -> Check:
    """Once for each fill, and once for each cut: no reset that nobody ordered."""
    expected = state.done + sum(row.cuts for row in state.rows)
    return Check(
        "starts of the pump", f"{state.lifetime['boots']:,}", f"{expected:,}", state.lifetime["boots"] == expected
    )


def _journal(record: Record) -> Check:
    """Every record of the pump from the first on is there, undamaged, and each continues the one before."""
    verdict = verify(decode(raw) for raw in _raw(record))
    missing = sum(last - first + 1 for first, last in verdict.gaps) + verdict.dropped
    bad = missing + len(verdict.broken) + len(verdict.damaged)
    whole = verdict.intact and verdict.from_first
    return Check("journal of the pump", f"{verdict.count:,} records, {bad} bad", "0 missing or bad", whole)


def _raw(record: Record) -> Iterator[bytes]:
    """The pump's records in the order of their numbers; five years of them are too many to be read at once."""
    last = record.last("journal")
    for first in range(1, 1 + (last["id"] if last else 0), BATCH):
        for row in record.rows("journal", "id between ? and ?", first, first + BATCH - 1):
            yield bytes.fromhex(row["raw"])


def _record(record: Record) -> Check:
    verdict = record.check()
    value = f"{verdict.rows:,} rows" + (f": {verdict.faults[0]}" if verdict.faults else "")
    return Check("record of the course", value, "intact", verdict.intact)


def _wear(state: State) -> Check:
    """Erases of the most worn sector, against the share of its life that so many years may take."""
    most = max(state.erases, default=0)
    years = state.now_us / rates.DAY_US / 365.25
    allowed = rates.FLASH_LIFE * WEAR_SHARE * max(years, 1 / rates.FILLS_PER_YEAR) / rates.YEARS
    return Check("erases of a sector", f"{most:,}", f"at most {allowed:,.0f}", most <= allowed)


def _errors(state: State) -> Check:
    bad = state.lifetime["flash_errors"] + state.lifetime["lost_steps"]
    return Check("flash errors, lost steps", f"{bad}", "0", bad == 0)
