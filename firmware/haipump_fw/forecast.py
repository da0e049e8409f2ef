"""Forecast: what follows an order by itself, and when the reservoir will be empty.

Owns: the look ahead over all that is ordered. Must not: change an order.
"""

from haipump_fw.const import const
from haipump_fw.core import profiles
from haipump_fw.core.units import US_PER_S
from haipump_fw.delivery import KVO, end_rate

_HORIZON_S = const(1 << 29)  # 17 years: later is never
_LEAPS_MAX = const(8)


def _planned(plans, t_us):
    """Quanta that `plans` plan up to t_us, and how many they plan per second then. Each plan is (profiles, elapsed us,
    moment at which it goes on from there, quanta planned before that)."""
    total = per_s = 0
    for group, elapsed_us, from_us, before_q in plans:
        if t_us >= from_us:
            for profile in group:
                whole, num, den, run, _ = profile.at(elapsed_us + t_us - from_us)
                total += whole + num * run // den
                per_s += num * US_PER_S // den
            total -= before_q
    return total, per_s


class Forecast:
    """Times in seconds of uptime."""

    def __init__(self, app):
        self._app = app
        self._empty_at_s = -1
        self._known = False  # worked out when somebody asks

    def forget(self):
        """Something has changed: work it out again when asked."""
        self._known = False

    def empty_in_s(self):
        """Seconds until the reservoir is empty with what is ordered, -1: never."""
        if not self._known:
            self._empty_at_s = self.empty_at(self._app.clock.now_us(), self._app.keep_moving)
            self._known = True
        return -1 if self._empty_at_s < 0 else max(0, self._empty_at_s - self._app.clock.s)

    def empty_at(self, now_us, breathe, basal=None, bolus=None, extended=None):
        """Uptime in seconds at which the reservoir will be down to where the pump stops as empty; -1: never.

        To be tried instead of what runs: `basal` (profiles, and the nL/day that follow them), `bolus` and `extended`
        (one profile each). `breathe` is called in between.
        """
        left_q = (self._app.reservoir_nl() - self._app.values["reservoir_empty_nl"]) * profiles.QUANTA_PER_NL
        plans = self.plans(now_us, basal, bolus, extended)
        if _planned(plans, now_us + _HORIZON_S * US_PER_S)[0] < left_q:
            return -1
        low, high = 0, _HORIZON_S  # seconds: too early, and late enough
        at = leaps = 0
        while low < high:
            breathe()
            total, per_s = _planned(plans, now_us + at * US_PER_S)
            if total < left_q:
                low = at + 1
            else:
                high = at
            # Leap to where the flow of that moment leads: mostly that is it. Where flows change too often, halve.
            leaps += 1
            if per_s and (leaps < _LEAPS_MAX or leaps % 2):
                at = max(low, min(at - (total - left_q) // per_s, high - 1))
            else:
                at = (low + high) // 2
        return now_us // US_PER_S + low

    def plans(self, now_us, basal=None, bolus=None, extended=None):
        """What will flow from now on, as `_planned` wants it."""
        delivery = self._app.delivery
        plans = []
        if basal is not None:
            flow, kvo = basal
            plans.append((flow, 0, now_us))
            end_us = now_us + flow[0].total_us if flow[0].total_us >= 0 else -1
            if kvo and end_us >= 0:
                plans.append(((profiles.rate(kvo, delivery.limits),), 0, end_us))
        for order in delivery.planner.orders:
            if basal is not None and order is delivery.basal:
                continue
            if order.held_us < 0 and not (order is delivery.extended and bolus is not None):
                plans.append((order.profiles, order.elapsed_us(now_us), max(now_us, order.start_us)))
            kvo = self.kvo_of(order)
            if kvo:
                plans.append(((profiles.rate(kvo, delivery.limits),), 0, order.end_us))
        # an immediate bolus holds the extended one
        free_us = now_us
        if bolus is not None:
            plans.append(((bolus,), 0, now_us))
            free_us = now_us + bolus.total_us
        elif delivery.bolus is not None:
            free_us = delivery.bolus.end_us
        waiting = delivery.extended
        if waiting is not None and free_us > now_us and not waiting.coasting:
            plans.append((waiting.profiles, waiting.elapsed_us(now_us), free_us))
        if extended is not None and free_us >= 0:
            plans.append(((extended,), 0, free_us))
        return [
            (group, elapsed_us, from_us, sum([profiles.planned(profile, elapsed_us) for profile in group]))
            for group, elapsed_us, from_us in plans
        ]

    def kvo_after(self, at_end, rate):
        """Rate in nL/day that follows an order which ends at `rate`, 0 for none."""
        return min(self._app.values["kvo_nl_per_day"], rate) if at_end == "kvo" else 0

    def kvo_of(self, order):
        """The same for a running order; only those of the basal place have a successor."""
        if order is not self._app.delivery.basal or order.source == KVO or order.end_us < 0:
            return 0
        if order.rate:
            return self.kvo_after(self._app.at_end, order.rate)
        return self.kvo_after(self._app.at_end, end_rate(order.profiles[0], order.elapsed_us(order.end_us)))
