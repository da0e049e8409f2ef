"""Random lives of a delivery: sequences of orders that a person or a programme could give, in any order.

Owns: what may be done when (as the state table and the limits have it), and how actions are drawn. Must not: compare.
"""

from __future__ import annotations

import random
from fractions import Fraction

from haipump_fw import delivery as fw
from haipump_fw.core import profiles
from tests.firmware.exact import oracle
from tests.firmware.exact.bench import Bench

# (size mL, bore um, step fL on T8x2 at 1/16): the ends and the middle of the syringe table
SYRINGES = ((1, 4_700, 10_843_403), (10, 14_500, 103_206_192), (30, 21_700, 231_147_588), (60, 26_700, 349_939_447))
ACTIONS = ("rate", "fast", "ramp", "vtbi", "bolus", "quick", "extended", "programme", "pause", "resume", "cancel")
HANDLING = ("prime", "withdraw")
ENDS_MAX = 8
SLICES = 32


def draw(
    rng: random.Random, count: int, names: tuple[str, ...] = (*ACTIONS, "stop")
) -> list[tuple[str, float, float, float]]:
    """(what, how much, how long, how long to wait then), each of the numbers from 0 to 1."""
    return [(rng.choice(names), rng.random(), rng.random(), rng.random()) for _ in range(count)]


def spread(low: float, high: float, part: float) -> int:
    """A whole number between the two, by order of magnitude."""
    return round(low * (high / low) ** part)


class Life:
    """Carries actions out on a bench; what is not allowed at that moment is left out, as the pump would refuse it."""

    def __init__(self, bench: Bench, *, steps_max: int = 400) -> None:
        self.bench = bench
        self.done: list[str] = []
        self.steps_max = steps_max  # about as many steps are waited for after each action
        motor = bench.timeline.motor
        self.lowest = max(50_000, -(-int(motor.step * 86_400) // 500))  # 0.05 mL/day, or the step period of 500 s
        self.gentle = int(motor.flow(motor.start) * 86_400_000_000)
        self.highest = int(motor.flow(motor.maximum) * 86_400_000_000)

    def act(self, action: tuple[str, float, float, float]) -> None:
        name, much, long, wait = action
        if getattr(self, "_" + name)(much, long):
            self.done.append(name)
        self.wait(wait)

    def wait(self, part: float) -> None:
        """So long that steps come, and not so many that the oracle takes for ever."""
        bench = self.bench
        flow = self._flow()
        seconds = 600.0 if not flow else float(self.steps_max / bench.timeline.motor.speed(flow))
        seconds = spread(1, 1_000_000, part) / 1_000_000 * min(seconds, 100_000)
        enough = bench.timeline.steps + 2 * self.steps_max
        for _ in range(SLICES):
            if bench.timeline.steps < enough:
                bench.run(seconds / SLICES)

    def finish(self) -> None:
        """Let what ends soon come to its end; then stop."""
        bench = self.bench
        if bench.paused:
            self._resume(0, 0)
        for _ in range(ENDS_MAX):
            ends = [order.end_us for order in bench.delivery.planner.orders if order.end_us >= 0]
            if not ends:
                break
            speed = max(1, int(bench.timeline.motor.speed(self._flow())))
            bench.run_until(min(min(ends) + 1, bench.now + self.steps_max * 2_000_000 // speed))
        bench.stop()

    def _flow(self) -> Fraction:
        return oracle.flow(self.bench.delivery.flow_nl_per_day(self.bench.now))

    # --- what can be ordered: True when it was

    def _delivering(self) -> bool:
        return not self.bench.paused and self.bench.delivery.move is None

    def _room(self, *but: fw.Order | None) -> int:
        """nL/day that the motor still has; others at their highest."""
        others = [order for order in self.bench.delivery.orders() if order not in but]
        return self.highest - sum(max(o.rate, o.fastest, self._top(o)) for o in others)

    def _top(self, order: fw.Order) -> int:
        run = self.bench.scribe.runs.get(order.number)
        plans = self.bench.scribe.present[order.number].plans if run is None else run.plans
        return int(sum(plan.top() for plan in plans) * 86_400_000_000) + 1

    def _rate(self, much: float, long: float) -> bool:
        rate = spread(self.lowest, self.gentle, much)
        if not self._delivering() or rate > self._room(self.bench.delivery.basal):
            return False
        return self.bench.rate(rate) is not None

    def _fast(self, much: float, long: float) -> bool:
        room = self._room(self.bench.delivery.basal)
        if not self._delivering() or room <= self.gentle:
            return False
        return self.bench.rate(self.gentle + int((room - self.gentle) * much)) is not None

    def _running(self) -> tuple[int, int]:
        """Speed of the basal order, and nL that it takes to slow down from it."""
        basal = self.bench.delivery.basal
        speed = 0 if basal is None else self.bench.delivery.speed_of(basal, self.bench.now)
        limits = self.bench.delivery.limits
        return speed, profiles.coast(limits, speed).total_q // profiles.QUANTA_PER_NL + 1

    def _ramp(self, much: float, long: float) -> bool:
        rate = spread(self.lowest, self.gentle, much)
        speed, _ = self._running()
        if not self._delivering() or speed > self.bench.delivery.limits.start:
            return False
        if max(rate, self._top(self.bench.delivery.basal) if speed else 0) > self._room(self.bench.delivery.basal):
            return False
        return self.bench.ramp(rate, spread(1, 1_209_600, long)) is not None

    def _vtbi(self, much: float, long: float) -> bool:
        _, slow_nl = self._running()
        rate = spread(self.lowest, self.highest, much)
        volume = slow_nl + spread(1, 5_000_000, long)
        if not self._delivering() or rate > self._room(self.bench.delivery.basal):
            return False
        return self.bench.vtbi(rate, volume) is not None

    def _square(self, source: int, volume: int, seconds: int) -> bool:
        bench = self.bench
        if not self._delivering():
            return False
        profile = profiles.square(profiles.quanta(volume), seconds * 1_000_000, bench.delivery.limits)
        held = bench.delivery.extended if source == fw.BOLUS else bench.delivery.bolus
        if profile is None or profile.top() > self._room(held):
            return False
        if Fraction(volume, seconds) * 86_400 < bench.timeline.motor.step * 86_400 / 500:
            return False
        return bench.bolus(volume, seconds, source) is not None

    def _bolus(self, much: float, long: float) -> bool:
        if self.bench.delivery.bolus is not None:
            return False
        return self._square(fw.BOLUS, spread(1_000, 1_000_000, much), spread(1, 3_600, long))

    def _quick(self, much: float, long: float) -> bool:
        """A bolus near the motor's limit."""
        if self.bench.delivery.bolus is not None:
            return False
        volume = spread(50_000, 1_000_000, much)
        return self._square(fw.BOLUS, volume, 2 + int(volume * 86_400 / self.highest * (1 + long)))

    def _extended(self, much: float, long: float) -> bool:
        if self.bench.delivery.extended is not None:
            return False
        return self._square(fw.EXTENDED, spread(1_000, 5_000_000, much), spread(10, 86_400, long))

    def _programme(self, much: float, long: float) -> bool:
        rng = random.Random(f"{much}/{long}")
        speed, _ = self._running()
        if not self._delivering() or speed > self.bench.delivery.limits.start:
            return False
        text, top = programme(rng, self.lowest, self.gentle)
        if top > self._room(self.bench.delivery.basal):
            return False
        return self.bench.programme(text) is not None

    def _pause(self, much: float, long: float) -> bool:
        if self.bench.paused or not self.bench.delivery.orders() or self.bench.delivery.move is not None:
            return False
        if None in [run.line(self.bench.now) for run in self.bench.scribe.runs.values()]:
            return False  # on a ramp: which stair of it the pump is on decides how fast the others may slow down
        self.bench.pause()
        return True

    def _resume(self, much: float, long: float) -> bool:
        if not self.bench.paused:
            return False
        self.bench.resume()
        return True

    def _cancel(self, much: float, long: float) -> bool:
        order = self.bench.delivery.bolus or self.bench.delivery.extended
        if order is None or self.bench.paused:
            return False
        self.bench.cancel(order)
        return True

    def _stop(self, much: float, long: float) -> bool:
        self.bench.stop()
        return True

    def _handle(self, source: int, much: float, long: float) -> bool:
        if self.bench.delivery.planner.orders:  # also one that is leaving: in state stopped the motor is off
            self.bench.stop()
        self.bench.vtbi(spread(self.highest / 100, self.highest, long), spread(100, 500_000, much), source)
        self.bench.run(spread(100_000, 100_000_000, long) / 1_000_000)
        if self.bench.delivery.move is not None:
            self.bench.stop()
        return True

    def _prime(self, much: float, long: float) -> bool:
        return self._handle(fw.PRIME, much, long)

    def _withdraw(self, much: float, long: float) -> bool:
        return self._handle(fw.WITHDRAW, much, long)


def programme(rng: random.Random, lowest: int, gentle: int) -> tuple[bytes, int]:
    """A programme's text, and a rate that it never passes (nL/day)."""
    period = rng.choice((60, 600, 3_600, 86_400))
    lines = []
    at = free_at = bolus_until = 0
    top_rate = top_bolus = 0
    while at < period and len(lines) < 12:
        if at >= free_at:
            rate = rng.choice((0, spread(lowest, gentle / 2, rng.random())))
            top_rate = max(top_rate, rate)
            seconds = rng.randrange(1, period - at + 1)
            if rng.random() < 0.4:
                lines.append(f"{at} ramp {rate} {seconds}")
                free_at = at + seconds
            else:
                lines.append(f"{at} rate {rate}")
                free_at = at + 1
        if at >= bolus_until and rng.random() < 0.5:
            seconds = rng.randrange(1, period - at + 1)
            volume = min(100_000_000, spread(1, max(2, gentle / 2 * seconds / 86_400), rng.random()))
            top_bolus = max(top_bolus, -(-volume * 86_400 // seconds))
            lines.append(f"{at} bolus {volume} {seconds}")
            bolus_until = at + seconds
        at += rng.randrange(1, max(2, period // 4))
    repeats = rng.choice((1, 2, 7, 40))
    head = ["haipump-programme 1", f"period_s {period}", f"repeats {repeats}", "at_end stop"]
    return "\n".join(head + lines).encode(), top_rate + top_bolus
