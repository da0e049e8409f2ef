"""The proof that a plan stays within the dose limit: in every window, from now on and for ever.

Owns: the search over all windows that end now or later. Loaded when an order is checked, and freed again. Must not:
know orders or the clock; it gets what was delivered (`Window.past`) and what will be (`Forecast.plans`).

A window that ends at t and begins in the past holds what was delivered since the last point before its beginning, and
what is planned up to t. As the plan never flows backwards, the windows between two beginnings are worst where the last
of them ends: one sum for each point, and one for many of them where the limit is far.

A window that begins after now holds A(t) - A(t - span) of the plan alone. On a stretch [a, b] that is at most
A(b) - A(a - span): stretches as long as that bound allows are passed at once. Where it does not, a stretch ends at the
next change of flow; both A are straight lines on it, so the worst is at its ends, exactly. Behind the last change all
is a straight line, and a programme that repeats needs one period and its end.

All sums are rounded up to the quantum. All searches of one check together may look LOOKS_MAX times at a profile; then
they are given up, as if the limit were broken: a refusal too many, never one too few. On the chip that is after some
seconds, and in between a stop is heard.
"""

from haipump_fw.const import const
from haipump_fw.core.units import US_PER_S

LOOKS_MAX = const(1_200)  # at one profile


def looks():
    """What all searches of one check may take, for `Proof`."""
    return [LOOKS_MAX]


class Excess(Exception):
    """Some window holds `volume_q` quanta, or the search was given up: then -1."""

    def __init__(self, volume_q):
        super().__init__(volume_q)
        self.volume_q = volume_q


def planned(plans, t_us, up):
    """(quanta planned up to t_us, rounded up or down; when the flow changes next, -1: never)."""
    total = 0
    change = -1
    for group, elapsed_us, from_us, before_q in plans:
        stops = [from_us]
        if t_us >= from_us:
            stops = []
            total -= before_q
            for profile in group:
                whole, num, den, run, stop = profile.at(elapsed_us + t_us - from_us)
                total += whole + (num * run + (den - 1 if up else 0)) // den
                if stop >= 0:
                    stops.append(stop + from_us - elapsed_us)
        for stop in stops:
            change = stop if change < 0 else min(change, stop)
    return total, change


class Proof:
    """`past`: [(uptime in s, quanta delivered from then to now_us)], oldest first. `looks`: a list of one number, the
    looks that are left. `breathe` is called all the time: the motor wants words."""

    def __init__(self, past, plans, now_us, span_us, looks, breathe):
        self._looks = looks
        self._plans = plans
        self._profiles = sum([len(group) for group, _, _, _ in plans])
        self._now_us = now_us
        self._span_us = span_us
        self._breathe = breathe
        self._base_q = planned(plans, now_us, False)[0]
        self._past = []  # (end of the last window that begins before the next point, quanta before now)
        for i in range(len(past)):
            next_us = past[i + 1][0] * US_PER_S if i + 1 < len(past) else now_us
            if next_us + span_us > now_us:
                self._past.append((next_us + span_us, past[i][1]))

    def within(self, limit_q):
        """None when every window holds at most `limit_q`; else what one of them holds, in quanta (-1: not known)."""
        self._limit_q = limit_q
        try:
            self._early()
            for begin_us, end_us in self._stretches():
                self._late(begin_us, end_us)
        except Excess as excess:
            return excess.volume_q
        return None

    def _look(self):
        self._looks[0] -= self._profiles
        if self._looks[0] < 0:
            raise Excess(-1)

    def _planned(self, t_us, up):
        self._breathe()
        return planned(self._plans, t_us, up)

    def _early(self):
        """Windows that begin between two points of the past. No recursion: the chip's stack is short."""
        spans = [(0, len(self._past) - 1)]
        while spans:
            first, last = spans.pop()
            self._look()
            end_us, before_q = self._past[last][0], self._past[first][1]
            volume_q = before_q + self._planned(end_us, True)[0] - self._base_q
            if volume_q > self._limit_q:
                if first == last:
                    raise Excess(volume_q)
                middle = (first + last) // 2
                spans.append((middle + 1, last))
                spans.append((first, middle))

    def _late(self, begin_us, end_us):
        """Windows that begin after now and end between these."""
        span_us, limit_q = self._span_us, self._limit_q
        step_us = end_us - begin_us
        while begin_us < end_us:
            self._look()
            start_q, start_change = self._planned(begin_us - span_us, False)
            until_us = min(end_us, begin_us + step_us)
            if self._planned(until_us, True)[0] - start_q <= limit_q:
                begin_us = until_us
                step_us *= 2
                continue
            here_q, change = self._planned(begin_us, True)
            if start_change >= 0 and (change < 0 or start_change + span_us < change):
                change = start_change + span_us
            if change < 0 or change > end_us:
                change = end_us
            if begin_us + step_us // 2 > change:
                step_us //= 2
                continue
            self._straight(here_q - start_q)
            self._straight(self._planned(change, True)[0] - self._planned(change - span_us, False)[0])
            step_us = max(step_us, change - begin_us)
            begin_us = change

    def _straight(self, volume_q):
        if volume_q > self._limit_q:
            raise Excess(volume_q)

    def _stretches(self):
        """Which ends of windows have to be looked at: [(from, to)]."""
        over_us = period_us = 0
        for group, elapsed_us, from_us, _ in self._plans:
            for profile in group:
                if hasattr(profile, "period_us"):
                    over_us = from_us - elapsed_us + profile.total_us
                    period_us = profile.period_us
        calm_us, last_us = self._now_us, over_us  # the last change while it repeats, and of all
        for group, elapsed_us, from_us, _ in self._plans:
            for profile in group:
                if not hasattr(profile, "period_us"):
                    change_us = from_us + max(0, _calm_us(profile) - elapsed_us)
                    last_us = max(last_us, change_us)
                    if from_us < over_us:
                        calm_us = max(calm_us, change_us)
        begin_us = self._now_us + self._span_us
        calm_us += self._span_us + period_us
        end_us = max(begin_us, last_us + self._span_us)
        return [(begin_us, calm_us), (over_us, end_us)] if calm_us < over_us else [(begin_us, end_us)]


def _calm_us(profile):
    """When the last change of flow in it is."""
    if profile.total_us >= 0:
        return profile.total_us
    if hasattr(profile, "ramp_us"):
        return profile.ramp_us
    at_us = 0
    while True:
        end_us = profile.at(at_us)[4]
        if end_us < 0:
            return at_us
        at_us = end_us
