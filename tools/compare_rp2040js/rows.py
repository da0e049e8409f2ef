"""The rows of `make bench` that compare our chip with rp2040js.

Owns: names, bars, what is divided by what, and the line below the table that says how a ratio came about. Must not: run
anything before its row is asked for.
"""

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools import figures
from tools.compare_rp2040js.cases import CASES, HOST, OURS, SHIMS, SHIPPED, Case, Work, Wrong, check, check_time
from tools.compare_rp2040js.runs import Sample, rounds
from tools.figures import number

SHIMS_BAR = 1.3
FORTNIGHT_BAR = 1000
LABELS = {
    SHIMS: "rp2040js given our shims",
    SHIPPED: "rp2040js as shipped",
    HOST: "rp2040js with another console host alone",
}
FORTNIGHT, FORTNIGHT_S = "fortnight", 14 * 86_400


@dataclass(frozen=True)
class Ratio:
    """How many times as long theirs takes: the median of the rounds, and their extremes."""

    value: float
    lowest: float
    highest: float


def compare(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """`ours[i]` and `theirs[i]` ran one after the other: what slowed the machine down then, slowed both."""
    each = [their / our for our, their in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


def cost_s(work: Work, sample: Sample) -> float:
    """Wall time of one unit of the work."""
    return sample.run.wall_s / work.amount


def boot_s(work: Work, sample: Sample) -> float:
    """Wall time to the guest's first line, in a process that has started and imported everything."""
    return sample.run.boot_s


def process_s(work: Work, sample: Sample) -> float:
    """The same with the start of the process."""
    return sample.process_boot_s


def pulses_note(work: Work, side: str, samples: Sequence[Sample]) -> str:
    """What became of the pulses. Of a side without our pacer that is told, not judged."""
    if not work.period_ns:
        return ""
    if not work.pulses:
        return "; too short for a pulse of rp2040js"
    if side == SHIMS:
        return f"; in every run {work.pulses:,} pulses, {work.period_ns:,} ns apart"
    counts = " or ".join(f"{count:,}" for count in sorted({sample.run.pulses for sample in samples}))
    note = f"; rp2040js made {counts} pulses instead of {work.pulses:,}"
    if any(sample.run.pulses > 1 for sample in samples):
        shortest = min(sample.run.shortest_ns for sample in samples if sample.run.pulses > 1)
        longest = max(sample.run.longest_ns for sample in samples)
        note += (
            f", {number(shortest / 1e6)} to {number(longest / 1e6)} ms apart instead of {number(work.period_ns / 1e6)}"
        )
    return note


def amounts_note(case: Case, side: str) -> str:
    """How much each did."""
    ours, theirs = case.work[OURS].amount, case.work[side].amount
    if case.per == "boot":
        return ""
    if ours == theirs:
        return f", {number(ours)} of them in each run"
    return f", {number(ours)} of them in each run of ours and {number(theirs)} of rp2040js"


def duration(seconds: float) -> str:
    """As people say it."""
    for name, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {name}"
    return f"{seconds:.1f} s"


def judge(case: Case, side: str, unit_s: Callable[[Work, Sample], float]) -> figures.Noted:
    """The row's figure. Raises Wrong when a run that has to be right was not, NotMeasured when nothing could run."""
    found = rounds(case)
    ours, theirs = found[OURS], found[side]
    if isinstance(ours, Wrong):
        raise ours
    if isinstance(theirs, Wrong):
        raise theirs
    ours = ours[: len(theirs)]
    for our, their in zip(ours, theirs, strict=True):
        check_time(case.work[OURS], our.run)
        check_time(case.work[side], their.run)
        check(case.work[OURS], our.run)
        if side == SHIMS:
            check(case.work[SHIMS], their.run, our.run)
    our_s = [unit_s(case.work[OURS], sample) for sample in ours]
    their_s = [unit_s(case.work[side], sample) for sample in theirs]
    ratio = compare(our_s, their_s)
    our_median_s, their_median_s = statistics.median(our_s), statistics.median(their_s)
    note = (
        f"{number(ratio.lowest)} to {number(ratio.highest)} in {len(theirs)} rounds; "
        f"ours {number(our_median_s * 1000)} ms, rp2040js {number(their_median_s * 1000)} ms per {case.per}"
        f"{amounts_note(case, side)}{pulses_note(case.work[side], side, theirs)}"
    )
    if case.name == FORTNIGHT:
        both = duration(our_median_s * FORTNIGHT_S), duration(their_median_s * FORTNIGHT_S)
        note += "; extrapolated to 14 days: ours {}, rp2040js {}".format(*both)
    return figures.Noted(ratio.value, note)


def bar(case: Case, side: str) -> float | None:
    """What a row has to reach; as shipped only the 14 days have to."""
    if side == SHIMS:
        return SHIMS_BAR
    return FORTNIGHT_BAR if side == SHIPPED and case.name == FORTNIGHT else None


def register(registry: figures.Registry) -> None:
    """One row per case and side of rp2040js; booting has one more, with the start of the process."""
    for case in CASES:
        measures = [("", "", cost_s)]
        if case.name == "boot":
            measures = [("", ", emulator alone", boot_s), ("_process", ", whole process", process_s)]
        for suffix, more, unit_s in measures:
            for side in case.sides[1:]:
                registry.figure(
                    f"rp2040js_{case.name}{suffix}_{side}",
                    f"{case.what}{more}; against {LABELS[side]}",
                    "x faster",
                    figures.AT_LEAST,
                    bar(case, side),
                )(functools.partial(judge, case, side, unit_s))
