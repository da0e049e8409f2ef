"""The sums of a run and the verdicts on it. Owns: what counts as good. Must not: draw or word more than its sentences.

Each check is "good", "warn", "bad" or "unknown"; what can't be known is never good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from haipump.protocol import help as texts
from haipump.quantities import format_volume
from haipump.report.story import Story

GOOD, WARN, BAD, UNKNOWN = "good", "warn", "bad", "unknown"
_WORST = (BAD, UNKNOWN, WARN, GOOD)
STEPS_OFF_MAX = 1.0  # every order ends within one microstep, and the fraction is carried
CONFIRMED_FULL_STEPS = 4  # by so many full steps the shaft may differ before the pump itself calls it a stall
FULL_STEPS_PER_TURN = 200


@dataclass(frozen=True)
class Sums:
    """Dose in nL at the end of the run. `stepped_max_nl` is above `stepped_nl` after a restart during a delivery, or an
    occlusion; `commanded_open`: so is what was commanded, after a restart. None: not known."""

    commanded_nl: int | None
    commanded_open: bool
    stepped_nl: int | None
    stepped_max_nl: int | None
    confirmed_nl: int | None
    primed_nl: int | None
    withdrawn_nl: int | None
    by_pump: bool  # the pump's own totals, asked for after the last record

    @property
    def difference_nl(self) -> int | None:
        """Stepped less commanded; None when either is not known exactly."""
        if self.commanded_nl is None or self.stepped_nl is None or self.commanded_open:
            return None
        return None if self.stepped_max_nl != self.stepped_nl else self.stepped_nl - self.commanded_nl


@dataclass(frozen=True)
class Check:
    """One verdict: `title` in two words, `text` as a sentence."""

    level: str
    title: str
    text: str


def sums(story: Story) -> Sums:
    """The pump's own totals where they were noted after everything else, else the last record's."""
    last = story.points[-1] if story.points else None
    totals = story.source.latest("totals")
    note = next((note for note in reversed(story.source.notes) if note.what == "totals"), None)
    slack = story.slack_nl(story.end)
    fresh = False
    if note is not None and note.boot is not None and note.uptime_s is not None:
        noted_at = story.axis.at(note.boot, note.uptime_s)
        fresh = last is None or noted_at >= last.t
    at = np.array([story.end if fresh or last is None else last.t])
    planned = story.plan.at(at)[0]
    commanded = None if np.isnan(planned) else round(float(planned))
    if fresh and not story.base_nl and not slack:
        commanded = int(totals["commanded_nl"])
    if fresh:
        stepped = story.base_nl + int(totals["stepped_nl"])
        more = int(totals["stepped_max_nl"]) - int(totals["stepped_nl"])
        confirmed = story.confirmed_base_nl + int(totals["confirmed_nl"])
    else:
        stepped, more = (last.volume_nl if last else None), (last.unsure_nl if last else 0)
        confirmed = last.confirmed_nl if last else None
    most = None if stepped is None else stepped + max(slack, more)
    return Sums(
        commanded, bool(slack), stepped, most, confirmed,
        int(totals["primed_nl"]) if fresh else None, int(totals["withdrawn_nl"]) if fresh else None, fresh,
    )  # fmt: skip


def judge(story: Story, total: Sums) -> list[Check]:
    """All checks, in the order in which one would ask."""
    return [
        _dose(story, total),
        _shaft(story, total),
        _orders(story),
        _alarms(story),
        _pressure(story),
        _restarts(story),
        _record(story),
        _books(story, total),
    ]


def worst(checks: list[Check]) -> str:
    """The level of the whole."""
    return min((check.level for check in checks), key=_WORST.index)


def _dose(story: Story, total: Sums) -> Check:
    title = "Dose"
    if total.stepped_nl is None or total.commanded_nl is None:
        return Check(UNKNOWN, title, "What was commanded is not completely recorded, so nothing can be compared.")
    if total.difference_nl is None:
        low, high = format_volume(total.stepped_nl), format_volume(total.stepped_max_nl or total.stepped_nl)
        return Check(
            UNKNOWN,
            title,
            f"After a restart during delivery or an occlusion the dose lies between {low} and {high}; nobody counted.",
        )
    off = story.steps(total.difference_nl)
    by = format_volume(abs(total.difference_nl))
    if off is None:
        return Check(UNKNOWN, title, f"Stepped and commanded differ by {by}; the calibration is not in the file.")
    level = GOOD if abs(off) <= STEPS_OFF_MAX * max(1, len(story.loads)) else BAD
    return Check(level, title, f"Stepped is {by} off what was commanded: {abs(off):.2f} microsteps.")


def _shaft(story: Story, total: Sums) -> Check:
    title = "Shaft"
    per_turn = int(story.source.latest("calibration").get("steps_per_turn", 0))
    if total.confirmed_nl is None or total.stepped_nl is None or not story.step_fl or not per_turn:
        return Check(UNKNOWN, title, "What the shaft encoder confirms is not recorded.")
    off_nl = total.confirmed_nl - total.stepped_nl
    off = abs(story.steps(off_nl) or 0.0) * FULL_STEPS_PER_TURN / per_turn
    text = f"The shaft encoder confirms the steps to within {off:.1f} full steps ({format_volume(abs(off_nl))})."
    # each start of the motor may lose half a full step
    allowed = CONFIRMED_FULL_STEPS + len(story.orders) / 2
    if off <= allowed:
        return Check(GOOD, title, text)
    return Check(BAD, title, f"The shaft encoder misses {off:.0f} full steps ({format_volume(abs(off_nl))}).")


def _orders(story: Story) -> Check:
    title = "Orders"
    usual = ("running", "complete", "replaced")
    ended = [o for o in story.orders if o.dose and o.result not in usual and not o.stopped_as_usual]
    running = [order for order in story.orders if order.dose and order.result == "running"]
    dose = [order for order in story.orders if order.dose]
    if not dose:
        return Check(UNKNOWN, title, "No order is recorded.")
    if ended:
        order = ended[-1]
        how = texts.RESULTS.get(order.result, order.result)
        level = BAD if any(order.result in ("alarm", "reset") for order in ended) else WARN
        more = f" (and {len(ended) - 1} more)" if len(ended) > 1 else ""
        return Check(level, title, f"Order {order.number} was {how}{more}.")
    if running:
        return Check(WARN, title, f"{_count(len(running), 'order')} still ran when the recording ended.")
    return Check(GOOD, title, f"{_count(len(dose), 'order')}, carried out to the end.")


def _alarms(story: Story) -> Check:
    title = "Alarms"
    high = [row for row in story.alarms if row.priority == "high"]
    if high:
        names = ", ".join(dict.fromkeys(row.name.replace("_", " ") for row in high))
        return Check(BAD, title, f"{_count(len(high), 'alarm')} of high priority: {names}.")
    if not story.covered:
        return Check(UNKNOWN, title, "The journal is not in the file, and telemetry shows only what stood at its time.")
    others = [row for row in story.alarms if row.name != "infusion_complete"]
    if others:
        names = ", ".join(dict.fromkeys(row.name.replace("_", " ") for row in others))
        return Check(WARN, title, f"None of high priority; {names}.")
    done = " beside the notice that the infusion is complete" if story.alarms else ""
    return Check(GOOD, title, f"None{done}.")


def _pressure(story: Story) -> Check:
    title = "Pressure"
    read = [point.pressure_pa for point in story.points if point.pressure_pa is not None]
    limit_pa = story.source.latest("limits").get("occlusion_pa")
    if not read or limit_pa is None:
        return Check(UNKNOWN, title, "Readings or the limit are not in the file.")
    text = f"At most {max(read) / 1000:.1f} kPa recorded; the alarm is at {int(limit_pa) / 1000:.1f} kPa."
    return Check(GOOD if max(read) < int(limit_pa) else WARN, title, text)


def _restarts(story: Story) -> Check:
    title = "Power"
    cut = [restart for restart in story.restarts if restart.running]
    if cut:
        text = f"{_count(len(cut), 'restart')} during delivery: {', '.join(sorted({r.cause for r in cut}))}."
        return Check(BAD, title, text)
    if story.restarts:
        return Check(WARN, title, f"{_count(len(story.restarts), 'restart')}, none during delivery.")
    return Check(GOOD, title, "The pump ran without a restart.")


def _record(story: Story) -> Check:
    title = "Record"
    chain = story.source.chain
    if not chain.count:
        return Check(UNKNOWN, title, "The journal is not in the file: telemetry only.")
    if chain.damaged or chain.broken:
        parts = []
        if chain.damaged:
            parts.append(f"{_count(len(chain.damaged), 'record')} with a wrong checksum ({_numbers(chain.damaged)})")
        if chain.broken:
            parts.append(f"the chain breaks at {_count(len(chain.broken), 'record')} ({_numbers(chain.broken)})")
        return Check(BAD, title, f"The journal is damaged or was changed: {' and '.join(parts)}.")
    if chain.gaps:
        missing = sum(last - first + 1 for first, last in chain.gaps)
        return Check(WARN, title, f"{_count(missing, 'record')} missing in {_count(len(chain.gaps), 'gap')}.")
    return Check(GOOD, title, f"{_count(chain.count, 'record')}, checksums and chain intact.")


def _books(story: Story, total: Sums) -> Check:
    """The pump's total against the sum of its orders: two ways to the same number."""
    title = "Books"
    if not total.by_pump or story.base_nl or total.commanded_open:
        return Check(UNKNOWN, title, "The pump's own totals are not in the file, or do not cover all of it.")
    if story.plan.base_nl is None or story.plan.base_nl:
        return Check(UNKNOWN, title, "Older orders are not in the journal any more; the pump's total includes them.")
    low, high = story.plan.between(np.array([story.end]))
    said = int(story.source.latest("totals")["commanded_nl"])
    if np.isnan(low[0]) or np.isnan(high[0]):
        return Check(UNKNOWN, title, "An order runs whose course is not recorded.")
    if low[0] - len(story.orders) - 1 <= said <= high[0] + len(story.orders) + 1:
        return Check(GOOD, title, "The orders add up to the pump's own total.")
    by = format_volume(round(abs(said - float(high[0]))))
    return Check(BAD, title, f"The orders do not add up to the pump's own total: {by} apart.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _numbers(seqs: tuple[int, ...]) -> str:
    shown = ", ".join(str(seq) for seq in seqs[:5])
    return shown + (" ..." if len(seqs) > 5 else "")
