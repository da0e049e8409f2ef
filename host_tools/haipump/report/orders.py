"""Orders and what they ask for at every moment: the commanded curve.

Owns: orders put together from their journal records, and their curves. Must not: interpolate: a curve that can't be
worked out from what is recorded is unknown (NaN) until its order's end is recorded.

Times in the journal are whole seconds, rounded down, and an order begins up to SETTLE_S after its record. A planned
volume is therefore known to within some seconds of flow; `Plan.between` gives both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from haipump.quantities import FL_PER_NL, SECONDS_PER_DAY
from haipump.report.axis import Axis
from haipump.report.source import DOSE, RESULTS, SOURCES, Source, word

EARLY_S, SETTLE_S = 1.0, 2.0
RAMP_PIECES = 24
KNOTS_MAX = 20_000

Curve = Callable[[np.ndarray], np.ndarray]  # seconds since the order began -> nL


@dataclass
class Order:
    """One order. Times are seconds on the page, None: not recorded. `ended` None: it still runs. `commanded_nl` and
    `stepped_nl` None: not recorded (a restart ended it). `curve` None: what it asks for on the way is unknown."""

    number: int
    source: str
    begun: float | None = None
    ended: float | None = None
    boot: int = 0
    volume_nl: int = 0
    duration_s: int = 0
    flags: int = 0
    rate_nl_per_day: int = 0
    result: str = "running"
    planned_nl: int | None = None
    commanded_nl: int | None = None
    stepped_nl: int | None = None
    curve: Curve | None = None
    boluses_at: tuple[tuple[float, int], ...] = ()  # within a programme: (seconds since it began, nL)
    knots_s: tuple[float, ...] = ()  # seconds since it began at which its rate changes (a ramp in small pieces)
    active: list[tuple[float, float]] = field(default_factory=list)

    @property
    def dose(self) -> bool:
        return self.source in DOSE

    @property
    def stopped_as_usual(self) -> bool:
        """A rate without an end was stopped: there is no other way to end it."""
        return self.source in ("basal", "kvo") and not self.volume_nl and self.result == "stopped"

    def elapsed(self, at: np.ndarray) -> np.ndarray:
        """Seconds for which it has run at each of these times; held times don't count."""
        total = np.zeros_like(at)
        for start, end in self.active:
            total += np.clip(at, start, end) - start
        return total

    def moment(self, elapsed_s: float) -> float | None:
        """When it had run for so long; None when it never did."""
        for start, end in self.active:
            if elapsed_s <= end - start:
                return start + elapsed_s
            elapsed_s -= end - start
        return None

    def asked(self, at: np.ndarray) -> np.ndarray:
        """Volume that it asks for at each of these times; NaN where that is unknown."""
        if self.begun is None:
            # Only its end is recorded: before, it may have run or not.
            volume = np.full_like(at, np.nan)
        elif self.curve is None:
            volume = np.where(at <= self.begun, 0.0, np.nan)
        else:
            volume = self.curve(self.elapsed(at))
        if self.ended is not None and self.commanded_nl is not None:
            volume = np.where(at >= self.ended, float(self.commanded_nl), volume)
        return volume


def rate_curve(rate: int, limit_nl: int, ramp_from: int, ramp_s: int) -> Curve:
    """A rate in nL/day without end or until `limit_nl`, reached evenly over `ramp_s` from `ramp_from`."""

    def curve(elapsed: np.ndarray) -> np.ndarray:
        ramp = np.minimum(elapsed, ramp_s) if ramp_s else np.zeros_like(elapsed)
        volume = rate * (elapsed - ramp) / SECONDS_PER_DAY
        if ramp_s:
            volume += (ramp_from * ramp + (rate - ramp_from) * ramp * ramp / (2 * ramp_s)) / SECONDS_PER_DAY
        return np.minimum(volume, limit_nl) if limit_nl else volume

    return curve


def even_curve(volume_nl: int, duration_s: int) -> Curve:
    """A volume spread evenly over a time."""
    return lambda elapsed: volume_nl * np.minimum(elapsed, duration_s) / duration_s


def bolus_seconds(volume_nl: int, over_s: int, bolus_rate: int) -> int:
    """How long a programme's bolus takes: its own time, or as long as the bolus rate of the settings makes it."""
    return over_s or max(1, -(-volume_nl * SECONDS_PER_DAY // bolus_rate))


def programme_curve(programme: Mapping[str, Any], bolus_rate: int) -> Curve:
    """What a programme asks for. `bolus_rate` in nL/day is the setting for boluses without a time of their own."""
    period_s, repeats = int(programme["period_s"]), int(programme["repeats"])
    knots_s, rates, boluses = [0.0], [(0, 0)], []
    for item in programme["items"]:
        at_s, value, over_s = int(item["at_s"]), int(item["value"]), int(item["over_s"])
        if item["kind"] == "bolus":
            boluses.append((at_s, value, bolus_seconds(value, over_s, bolus_rate)))
        else:
            before = rates[-1][1]
            if item["kind"] == "ramp":
                knots_s.append(at_s)
                rates.append((before, value))
            knots_s.append(at_s + over_s)
            rates.append((value, value))

    def within(second: np.ndarray) -> np.ndarray:
        """Volume since the period began."""
        volume = np.zeros_like(second)
        for index, (low, high) in enumerate(rates):
            end_s = knots_s[index + 1] if index + 1 < len(knots_s) else period_s
            run = np.clip(second, knots_s[index], max(end_s, knots_s[index])) - knots_s[index]
            length = end_s - knots_s[index]
            slope = (high - low) / length if length > 0 else 0.0
            volume += (low * run + slope * run * run / 2) / SECONDS_PER_DAY
        for at_s, bolus_nl, over_s in boluses:
            volume += bolus_nl * np.clip((second - at_s) / over_s, 0.0, 1.0)
        return volume

    whole = within(np.array([float(period_s)]))[0]

    def curve(elapsed: np.ndarray) -> np.ndarray:
        done = np.minimum(np.floor(elapsed / period_s), repeats)
        second = np.where(done < repeats, elapsed - done * period_s, 0.0)
        return done * whole + within(second)

    return curve


def collect(source: Source, axis: Axis, pauses: Sequence[tuple[float, float]]) -> list[Order]:
    """All orders that the file knows of, by number; `pauses` are the times in which everything was held."""
    orders: dict[int, Order] = {}
    _from_records(source, axis, orders)
    _from_events(source, orders)
    ordered = [orders[number] for number in sorted(orders)]
    for order in ordered:
        order.active = _active(order, ordered, pauses, axis)
        order.curve = _curve(order, ordered, source)
    return ordered


def _from_records(source: Source, axis: Axis, orders: dict[int, Order]) -> None:
    for record in source.records:
        if record.name not in ("intent", "result"):
            continue
        values = record.values
        order = orders.setdefault(values["order"], Order(values["order"], word(SOURCES, values["source"])))
        if record.name == "intent":
            order.begun, order.boot = axis.at(record.boot, record.uptime_s), record.boot
            order.volume_nl, order.duration_s = values["volume_nl"], values["duration_s"]
            order.flags, order.rate_nl_per_day = values["flags"], values["rate_nl_per_day"]
        else:
            order.ended = axis.at(record.boot, record.uptime_s)
            order.result = word(RESULTS, values["result"])
            order.planned_nl = values["planned_nl"]
            if order.result != "reset":  # a restart writes what it was at most: nobody counted
                order.commanded_nl, order.stepped_nl = values["commanded_nl"], values["stepped_nl"]


def _from_events(source: Source, orders: dict[int, Order]) -> None:
    """Orders whose end the journal has forgotten, as far as an event told it."""
    for event in source.heard:
        if event.name != "done":
            continue
        number = int(event.fields["order"])
        order = orders.setdefault(number, Order(number, str(event.fields["source"])))
        if order.result == "running":
            order.result = str(event.fields["result"])
            order.planned_nl = int(event.fields["planned_nl"])
            order.stepped_nl = int(event.fields["stepped_nl"])


def _active(
    order: Order, orders: Sequence[Order], pauses: Sequence[tuple[float, float]], axis: Axis
) -> list[tuple[float, float]]:
    """The times in which the order ran. An immediate bolus holds an extended one."""
    if order.begun is None:
        return []
    last = axis.end_of(order.boot)
    end = last if order.ended is None or order.result == "reset" else order.ended
    held = [pause for pause in pauses if pause[1] > order.begun and pause[0] < end]
    if order.source == "extended":
        held += [
            (bolus.begun, last if bolus.ended is None else bolus.ended)
            for bolus in orders
            if bolus.source == "bolus" and bolus.begun is not None and bolus.boot == order.boot
        ]
    active, since = [], order.begun
    for start, stop in sorted(held):
        if min(start, end) > since:
            active.append((since, min(start, end)))
        since = max(since, stop)
    # The last stretch stays open to the right: what ends the order is its own volume or its recorded end.
    if since < end or not active:
        active.append((since, max(end, since)))
    return active


def _curve(order: Order, orders: Sequence[Order], source: Source) -> Curve | None:
    settings = source.latest("settings")
    if order.begun is None:
        return None
    if order.source in ("basal", "kvo"):
        ramp_from = 0
        if order.flags:
            ramp_from = _running_rate(order, orders)
            if ramp_from < 0:
                return None
            order.knots_s = _pieces(0.0, order.flags)
        return rate_curve(order.rate_nl_per_day, order.volume_nl, ramp_from, order.flags)
    if order.source == "programme":
        found = [note.data for note in source.all("programme") if fits(note.data, order)]
        if not found or "bolus_nl_per_day" not in settings:
            return None
        bolus_rate = int(settings["bolus_nl_per_day"])
        order.boluses_at = _boluses(found[-1])
        order.knots_s = _knots(found[-1], bolus_rate)
        return programme_curve(found[-1], bolus_rate)
    if not order.volume_nl or not order.duration_s:
        return None
    step_fl = int(source.latest("calibration").get("step_fl", 0))
    steps_per_s = order.volume_nl * FL_PER_NL / max(step_fl, 1) / order.duration_s
    if not step_fl or steps_per_s > int(settings.get("start_steps_per_s", 0)):
        return None  # it speeds up and slows down; the journal does not say how
    return even_curve(order.volume_nl, order.duration_s)


def fits(programme: Mapping[str, Any], order: Order) -> bool:
    """Is it this programme that the order carries out? The journal has its volume and length only."""
    return (
        int(programme["period_s"]) * int(programme["repeats"]) == order.duration_s
        and abs(int(programme["volume_nl"]) - order.volume_nl) <= 1
    )


def _boluses(programme: Mapping[str, Any]) -> tuple[tuple[float, int], ...]:
    items = [item for item in programme["items"] if item["kind"] == "bolus"]
    return tuple(
        (float(turn * int(programme["period_s"]) + int(item["at_s"])), int(item["value"]))
        for turn in range(int(programme["repeats"]))
        for item in items
    )


def _pieces(start: float, length: float) -> tuple[float, ...]:
    return tuple(start + length * piece / RAMP_PIECES for piece in range(RAMP_PIECES + 1))


def _knots(programme: Mapping[str, Any], bolus_rate: int) -> tuple[float, ...]:
    within: set[float] = {0.0}
    for item in programme["items"]:
        at_s, value, over_s = int(item["at_s"]), int(item["value"]), int(item["over_s"])
        if item["kind"] == "ramp":
            within.update(_pieces(at_s, over_s))
        else:
            within.add(at_s)
        if item["kind"] == "bolus":
            within.add(at_s + bolus_seconds(value, over_s, bolus_rate))
    period_s, repeats = int(programme["period_s"]), int(programme["repeats"])
    turns = min(repeats, max(1, KNOTS_MAX // len(within)))
    return tuple(turn * period_s + knot for turn in range(turns) for knot in sorted(within))


def _running_rate(order: Order, orders: Sequence[Order]) -> int:
    """The steady rate from which a ramp starts; -1 when that is unknown."""
    before = [o for o in orders if o.source in ("basal", "kvo", "programme") and o.number < order.number]
    if not before or before[-1].ended is None or order.begun is None:
        return 0
    last = before[-1]
    assert last.ended is not None
    if last.result != "replaced" or last.ended < order.begun - EARLY_S:
        return 0
    if last.source == "programme" or (last.flags and last.elapsed(np.array([order.begun]))[0] < last.flags):
        return -1
    return last.rate_nl_per_day


class Plan:
    """The commanded curve: the sum of all dose orders. `base_nl` was commanded by orders that the file has lost; None
    when nobody can tell."""

    def __init__(self, orders: Sequence[Order], base_nl: float | None = 0.0) -> None:
        self._orders = [order for order in orders if order.dose]
        self.base_nl = base_nl
        self.known_from = -np.inf

    def at(self, times: np.ndarray) -> np.ndarray:
        """Commanded volume at each of these times, NaN where unknown."""
        if self.base_nl is None:
            return np.full_like(times, np.nan)
        total = np.full_like(times, float(self.base_nl))
        for order in self._orders:
            total += order.asked(times)
        return np.where(times >= self.known_from, total, np.nan)

    def between(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and most that can have been commanded at records that bear these times."""
        return self.at(times - SETTLE_S), self.at(times + EARLY_S)
