"""The time axis of a report: boot number and uptime to seconds on the page.

Owns: where each start of the pump lies on the axis, and whether wall time may be shown. Must not: know what happened.

The pump's clock is boot number and uptime; it does not know for how long it was off. That is known only when this
computer's clock was noted in both runs and goes as fast as the pump's; else a gap of unknown length is drawn.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from haipump.report.source import Source

BOOT_MODULUS = 65_536  # the journal keeps the boot number modulo this
GAP_FRACTION = 0.02  # of the whole: width of a gap of unknown length
GAP_SHORTEST_S = 2.0
ANCHOR_APART_S = 30  # two notes closer than this don't tell how fast a clock goes
DRIFT_FRACTION, DRIFT_S = 0.01, 3.0


@dataclass(frozen=True)
class Gap:
    """A restart: the pump was last heard of at `start` and came back at `end`; `known` when its length is."""

    start: float
    end: float
    boot: int
    known: bool


class Axis:
    """`spans` are the first and last uptime known of each boot number; time 0 is `zero` (boot, uptime)."""

    def __init__(self, spans: dict[int, tuple[int, int]], zero: tuple[int, int], anchors: Anchors) -> None:
        self.spans = spans
        self.gaps: list[Gap] = []
        whole = sum(last - first for first, last in spans.values())
        offsets: dict[int, float] = {}
        before: int | None = None
        for boot in sorted(spans):
            if before is None:
                offsets[boot] = 0.0
            else:
                end = offsets[before] + spans[before][1]
                off_s = anchors.off_s(before, spans[before][1], boot)
                drawn = max(off_s, 0.0) if off_s is not None else max(GAP_SHORTEST_S, whole * GAP_FRACTION)
                offsets[boot] = end + drawn
                self.gaps.append(Gap(end, offsets[boot], boot, off_s is not None))
            before = boot
        self.zero = zero
        shift = offsets[zero[0]] + zero[1]
        self._offsets = {boot: offset - shift for boot, offset in offsets.items()}
        self.gaps = [Gap(gap.start - shift, gap.end - shift, gap.boot, gap.known) for gap in self.gaps]

    def at(self, boot: int, uptime_s: int) -> float:
        """Seconds on the page."""
        return self._offsets[boot % BOOT_MODULUS] + uptime_s

    def end_of(self, boot: int) -> float:
        """When this run of the pump was last heard of."""
        return self.at(boot, self.spans[boot][1])

    @property
    def start(self) -> float:
        first = min(self.spans)
        return self.at(first, self.spans[first][0])

    @property
    def end(self) -> float:
        return self.end_of(max(self.spans))


class Anchors:
    """Moments of which both clocks are noted. `speed` is how fast the pump's clock goes by this computer's, where two
    notes of one boot are far enough apart, else None; `real` says that both agree."""

    def __init__(self, source: Source) -> None:
        self._at: dict[int, list[tuple[int, datetime.datetime]]] = {}
        for note in source.notes:
            if note.boot is not None and note.uptime_s is not None:
                when = datetime.datetime.fromisoformat(note.seen_utc)
                self._at.setdefault(note.boot % BOOT_MODULUS, []).append((note.uptime_s, when))
        self.speed: float | None = None
        self.real = False
        checked = [self._check(pairs) for pairs in self._at.values()]
        if known := [check for check in checked if check is not None]:
            self.speed = known[0][0]
            self.real = all(agrees for _, agrees in known)

    @staticmethod
    def _check(pairs: list[tuple[int, datetime.datetime]]) -> tuple[float, bool] | None:
        (first_s, first), (last_s, last) = pairs[0], pairs[-1]
        pump_s, wall_s = last_s - first_s, (last - first).total_seconds()
        if max(pump_s, wall_s) < ANCHOR_APART_S:
            return None
        agrees = abs(pump_s - wall_s) <= DRIFT_S + DRIFT_FRACTION * wall_s
        return pump_s / max(wall_s, 1.0), agrees

    def wall(self, boot: int, uptime_s: float) -> datetime.datetime | None:
        """Wall time of a moment, when both clocks are known to agree and were noted in this run of the pump."""
        pairs = self._at.get(boot % BOOT_MODULUS)
        if not self.real or not pairs:
            return None
        near_s, when = min(pairs, key=lambda pair: abs(pair[0] - uptime_s))
        return when + datetime.timedelta(seconds=uptime_s - near_s)

    def off_s(self, before: int, last_s: int, after: int) -> float | None:
        """For how long the pump was not heard of between two runs, when known."""
        went, came = self.wall(before, last_s), self.wall(after, 0)
        return None if went is None or came is None else (came - went).total_seconds()


def spans_of(moments: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """First and last uptime of each boot."""
    spans: dict[int, tuple[int, int]] = {}
    for boot, uptime_s in moments:
        number = boot % BOOT_MODULUS
        first, last = spans.get(number, (uptime_s, uptime_s))
        spans[number] = (min(first, uptime_s), max(last, uptime_s))
    return spans
