"""Dose limits against what the motor was told: every sliding window, and the time between two boluses.

Owns: the moments of all steps of dose by the pump's clock, the limits that may be in force, their judgement. Must not:
know what an order is, or ask the pump.

While a change of limits is under way, or nobody knows whether it was taken, all that may hold are allowed. Steps that
take up the play after a pull, or after a back-off, bring no dose: so many of the next ones are left out.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from haipump_emulator.campaign.violation import LATE_US, Violation

FOREVER_US = 1 << 62
EXTRA_STEPS = 1  # a step may come so much earlier than planned that a window holds one more
EARLY_US = 1_000_000.0  # a lockout is told in whole seconds
PAIRED = 12  # boluses that a new one is compared with


@dataclass
class Limit:
    """What `prepare_dose` may have set; 0: none. It counts until `until_us` of the plant's time."""

    max_dose_nl: int = 0
    window_s: int = 86_400
    lockout_s: int = 0
    until_us: int = FOREVER_US
    begin: int = 0  # the first step in the window that ends now


@dataclass(frozen=True)
class Start:
    """A bolus surely began between these, by the pump's clock; when it was ordered, by the plant's, and the lockout of
    then."""

    first_us: float
    last_us: float
    ordered_us: int
    lockout_s: int


@dataclass
class DoseWindow:
    """`edge` for every step of dose. `judged` counts steps under a limit, `boluses` those under a lockout, `pulses` the
    ones among them that belong to a programme."""

    step_nl: float
    limits: list[Limit] = field(default_factory=lambda: [Limit()])
    skip: int = 0  # steps to come that only take up play
    judged: int = 0
    boluses: int = 0
    pulses: int = 0
    fullest: float = 0.0  # the fullest window, as a part of its limit
    _times: array[int] = field(default_factory=lambda: array("q"))
    _ppm: int = 0
    _from_us: int = 0
    _pump_us: float = 0.0
    _starts: deque[Start] = field(default_factory=lambda: deque(maxlen=PAIRED))

    # --- the pump's clock

    def drift(self, t_us: int, ppm: int) -> None:
        """The pump's clock is so much too fast from now on."""
        self._pump_us, self._from_us, self._ppm = self.clock(t_us), t_us, ppm

    def clock(self, t_us: float) -> float:
        """The pump's clock at this time since the last change of its drift, or a little before."""
        return self._pump_us + (t_us - self._from_us) * (1 + self._ppm / 1e6)

    # --- what is in force

    def offered(self, *limit: int) -> None:
        """A commit of these (dose, window, lockout) goes out: they may hold from now on."""
        self._add(Limit(*limit))

    def settled(self, t_us: int, limits: Iterable[tuple[int, int, int]]) -> None:
        """One of these holds now; what held before may still do so for as long as the pump takes to act."""
        known = list(limits)
        for limit in self.limits:
            holds = (limit.max_dose_nl, limit.window_s, limit.lockout_s) in known
            limit.until_us = FOREVER_US if holds else min(limit.until_us, t_us + LATE_US)
        for values in known:
            if values not in self.known():
                self._add(Limit(*values))

    def known(self) -> list[tuple[int, int, int]]:
        """All (dose, window, lockout) that may be in force."""
        return [
            (limit.max_dose_nl, limit.window_s, limit.lockout_s)
            for limit in self.limits
            if limit.until_us == FOREVER_US
        ]

    def _add(self, limit: Limit) -> None:
        if self._times:
            limit.begin = bisect_right(self._times, self._times[-1] - limit.window_s * 1_000_000)
        self.limits.append(limit)

    # --- judgement

    def edge(self, t_us: int) -> None:
        """A step of dose. Raises Violation when each limit that may be in force is broken by it."""
        if self.skip:
            self.skip -= 1
            return
        times, now = self._times, round(self.clock(t_us))
        times.append(now)
        if self.limits[0].until_us < t_us:
            self.limits = [limit for limit in self.limits if limit.until_us >= t_us]
        held = False
        for limit in self.limits:
            begin, first_us = limit.begin, now - limit.window_s * 1_000_000
            while times[begin] <= first_us:
                begin += 1
            limit.begin = begin
            if not limit.max_dose_nl:
                held = True
                continue
            self.judged += 1
            nl = (len(times) - begin) * self.step_nl
            held = held or nl <= limit.max_dose_nl + EXTRA_STEPS * self.step_nl
        if len(self.limits) == 1 and self.limits[0].max_dose_nl:
            self.fullest = max(self.fullest, nl / limit.max_dose_nl)
        if not held:
            raise Violation(
                "dose_limit", t_us, f"{nl:.1f} nL in {limit.window_s} s, at most {limit.max_dose_nl} nL are allowed"
            )

    def used_nl(self, t_us: int) -> float:
        """What the window that ends now holds, by the shortest window that may be in force."""
        first_us = self.clock(t_us) - min(limit.window_s for limit in self.limits) * 1_000_000
        return (len(self._times) - bisect_right(self._times, int(first_us))) * self.step_nl

    def lockout_s(self) -> int:
        """The shortest that may be in force."""
        return min(limit.lockout_s for limit in self.limits)

    def bolus(self, sent_us: int, heard_us: int) -> None:
        """The pump has said yes to a bolus at some time between. Raises Violation when that was too soon."""
        self.boluses += bool(self.lockout_s())
        self._begin(Start(self.clock(sent_us), self.clock(heard_us), heard_us, self.lockout_s()), heard_us)

    def pulse(self, start: Start, t_us: int) -> None:
        """A bolus of a programme has begun by now. Raises Violation when it is too near to another one."""
        self.boluses += bool(start.lockout_s)
        self.pulses += bool(start.lockout_s)
        self._begin(start, t_us)

    def _begin(self, start: Start, t_us: int) -> None:
        """What was ordered later of two was checked against the other, with the lockout of then."""
        for other in self._starts:
            lockout_s = max(start, other, key=lambda each: each.ordered_us).lockout_s
            apart_us = max(start.last_us - other.first_us, other.last_us - start.first_us)
            if apart_us < lockout_s * 1_000_000 - EARLY_US:
                text = f"two boluses begin {apart_us / 1e6:.1f} s apart, not {lockout_s} s"
                raise Violation("lockout", t_us, text)
        self._starts.append(start)
