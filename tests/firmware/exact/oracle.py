"""What the pump should have delivered, in exact fractions, from the words of the orders alone.

Owns: the meaning of a rate, a volume over a time, a volume at a rate, a straight ramp, a programme's text, a pause; and
of the stairs that a motor needs above its start speed, from their documented definition. Must not: read anything that
the firmware worked out: it knows what was ordered, when it began, paused, went on and ended, and nothing else.

Times are whole microseconds, volumes and flows `Fraction`s of nanolitres and nanolitres per microsecond.

Stairs: the motor starts and stops at once at `start` steps/s. Above that it climbs in stairs of 20 ms, each faster than
the one before by `accel` x 20 ms, the first at `start`, the last below the speed to be reached; and down likewise.
Ramps of a rate are straight here. The pump makes them of stairs too, of at least 20 ms, which may leave the line by
1/10,000 of a microstep, or by slope x (20 ms)^2 / 8 where that is more: `bend` allows for it, and for nothing else.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction

US_PER_S = 1_000_000
DAY_US = 86_400 * US_PER_S
STAIR_US = 20_000
RAMP_PART = 10_000
GRAIN = 10**30
ZERO = Fraction(0)
FOREVER = Fraction(1 << 80)


def flow(nl_per_day: int | Fraction) -> Fraction:
    return Fraction(nl_per_day) / DAY_US


def short(volume: Fraction) -> Fraction:
    """The same to 1e-30 nL: sums of thousands of orders would have denominators of thousands of digits."""
    return volume if volume.denominator <= GRAIN else Fraction(round(volume * GRAIN), GRAIN)


class Plan:
    """Volume over time: pieces of flow that changes in a straight line. The last one may be endless."""

    def __init__(self) -> None:
        self.starts: list[Fraction] = []
        self.volumes: list[Fraction] = []  # delivered before the piece
        self.flows: list[tuple[Fraction, Fraction, Fraction | None]] = []  # (at its start, at its end, length)
        self.length: Fraction | None = ZERO
        self.volume = ZERO

    def add(self, length: Fraction | int | None, first: Fraction, last: Fraction | None = None) -> Plan:
        """`length` microseconds (None: for ever) from one flow to another."""
        assert self.length is not None, "nothing follows an endless piece"
        last = first if last is None else last
        self.starts.append(self.length)
        self.volumes.append(self.volume)
        self.flows.append((first, last, None if length is None else Fraction(length)))
        if length is None:
            self.length = None
        else:
            self.length += length
            self.volume += (first + last) / 2 * length
        return self

    def follow(self, other: Plan) -> Plan:
        for first, last, length in other.flows:
            self.add(length, first, last)
        return self

    def at(self, us: Fraction | int) -> Fraction:
        """Planned volume at this time after the start."""
        place = bisect.bisect_right(self.starts, us) - 1
        if place < 0:
            return ZERO
        first, last, length = self.flows[place]
        run = us - self.starts[place]
        if length is None:
            return self.volumes[place] + first * run
        if run >= length:
            return self.volume
        return self.volumes[place] + (first + (last - first) * run / length / 2) * run

    def flow_at(self, us: Fraction | int) -> Fraction:
        place = bisect.bisect_right(self.starts, us) - 1
        if place < 0:
            return ZERO
        first, last, length = self.flows[place]
        if length is None:
            return first
        run = us - self.starts[place]
        return ZERO if run >= length else first + (last - first) * run / length

    def line(self, us: int) -> Fraction | None:
        """Until when the flow stays as it is then; None on a ramp."""
        place = bisect.bisect_right(self.starts, us) - 1
        if place < 0:
            return FOREVER
        first, last, length = self.flows[place]
        if length is None or us >= self.starts[place] + length:
            return FOREVER
        return None if first != last else self.starts[place] + length

    def bend(self, us: Fraction | int, step: Fraction) -> Fraction:
        """How far stairs may be off a ramp that runs then, in nL."""
        place = bisect.bisect_right(self.starts, us) - 1
        if place < 0 or self.flows[place][0] == self.flows[place][1]:
            return ZERO
        first, last, length = self.flows[place]
        assert length is not None
        return max(step / RAMP_PART, abs(last - first) / length * STAIR_US**2 / 8)

    def top(self) -> Fraction:
        return max((max(first, last) for first, last, _ in self.flows), default=ZERO)


class Repeated(Plan):
    """A pattern, again and again."""

    def __init__(self, pattern: Plan, times: int) -> None:
        super().__init__()
        assert pattern.length is not None
        self.pattern = pattern
        self.times = times
        self.length = pattern.length * times
        self.volume = pattern.volume * times

    def at(self, us: Fraction | int) -> Fraction:
        assert self.pattern.length is not None and self.length is not None
        if us >= self.length:
            return self.volume
        turn = us // self.pattern.length
        return turn * self.pattern.volume + self.pattern.at(us - turn * self.pattern.length)

    def flow_at(self, us: Fraction | int) -> Fraction:
        assert self.pattern.length is not None and self.length is not None
        return ZERO if us >= self.length else self.pattern.flow_at(us % self.pattern.length)

    def line(self, us: int) -> Fraction | None:
        assert self.pattern.length is not None and self.length is not None
        if us >= self.length:
            return FOREVER
        turn = us // self.pattern.length
        until = self.pattern.line(us - turn * self.pattern.length)
        return None if until is None else min(until, self.pattern.length) + turn * self.pattern.length

    def bend(self, us: Fraction | int, step: Fraction) -> Fraction:
        assert self.pattern.length is not None and self.length is not None
        return ZERO if us >= self.length else self.pattern.bend(us % self.pattern.length, step)

    def top(self) -> Fraction:
        return self.pattern.top()


@dataclass(frozen=True)
class Motor:
    """Microstep in nL, speeds in steps/s; `rise` is what a stair adds."""

    step: Fraction
    start: int
    rise: int
    maximum: int

    def speed(self, nl_per_us: Fraction) -> Fraction:
        return nl_per_us * US_PER_S / self.step

    def flow(self, steps_per_s: int | Fraction) -> Fraction:
        return Fraction(steps_per_s) * self.step / US_PER_S

    def share(self, speed: int, total: int, start: int) -> Motor:
        """What one of several orders that slow down or go on together may use: its part, by speed, of start speed and
        acceleration."""
        return Motor(self.step, max(1, start * speed // total), max(1, self.rise * speed // total), self.maximum)


def stairs(motor: Motor, first: int, below: Fraction | int) -> list[int]:
    """Speeds from `first` on, below `below`."""
    speeds = []
    while first < below:
        speeds.append(first)
        first += motor.rise
    return speeds


def climb(motor: Motor, now: Fraction | int, target: Fraction | int) -> Plan:
    """From one speed to just before another, up or down."""
    plan = Plan()
    whole_now, whole_target = -(-now // 1), -(-target // 1)  # stairs are compared with speeds rounded up
    if whole_now > whole_target:
        speeds = [s for s in reversed(stairs(motor, motor.start, whole_now)) if s > whole_target]
    else:
        speeds = stairs(motor, int(max(motor.start, whole_now)), whole_target)
    for speed in speeds:
        plan.add(STAIR_US, motor.flow(speed))
    return plan


def coast(motor: Motor, now: Fraction | int) -> Plan:
    """Down to standstill; nothing when the motor can stop at once."""
    return climb(motor, now, Fraction(motor.start - 1))


def rate(nl_per_day: int, motor: Motor, now: Fraction = ZERO) -> Plan:
    return climb(motor, now, motor.speed(flow(nl_per_day))).add(None, flow(nl_per_day))


def ramp(from_nl_per_day: int, to_nl_per_day: int, seconds: int) -> Plan:
    return Plan().add(seconds * US_PER_S, flow(from_nl_per_day), flow(to_nl_per_day)).add(None, flow(to_nl_per_day))


def square(volume: int | Fraction, us: int, motor: Motor) -> Plan:
    """This volume in exactly this time: even, or with as few stairs at both ends as will do."""
    if motor.speed(Fraction(volume) / us) <= motor.start:
        return Plan().add(us, Fraction(volume) / us)
    edge = Plan()
    speed = motor.start
    while True:
        cruise_us = us - 2 * (edge.length or 0)
        cruise = Fraction(volume) - 2 * edge.volume
        assert cruise_us > 0 and cruise > 0, "too short for the stairs"
        if motor.speed(cruise / cruise_us) <= speed:
            break
        edge.add(STAIR_US, motor.flow(speed))
        speed += motor.rise
    plan = Plan().follow(edge).add(cruise_us, cruise / cruise_us)
    for first, _, length in reversed(edge.flows):
        plan.add(length, first)
    return plan


def at_rate(volume: int | Fraction, nl_per_day: int | Fraction, motor: Motor, now: Fraction = ZERO) -> Plan:
    """This volume at a rate, its time rounded up to whole microseconds; with the highest top speed of `start` and whole
    stairs that fits when it is too small for the rate's stairs."""
    target = flow(nl_per_day)
    speed = -(-motor.speed(target) // 1)
    up, down = climb(motor, now, speed), coast(motor, speed)
    for top in reversed(range(motor.start, speed + 1, motor.rise)):
        if up.volume + down.volume <= volume or speed <= motor.start:
            break
        speed = top
        target = motor.flow(top)
        up, down = climb(motor, now, speed), coast(motor, speed)
    cruise = volume - up.volume - down.volume
    if cruise > 0:
        us = -(-cruise // target)
        up.add(us, cruise / us)
    return up.follow(down)


def programme(text: bytes, bolus_seconds) -> list[Plan]:
    """The plans that the text asks for, to be added up; `bolus_seconds(nl)` is the length of an immediate bolus."""
    lines = text.decode().splitlines()
    period = int(lines[1].split()[1]) * US_PER_S
    repeats = int(lines[2].split()[1])
    basal = Plan()
    boluses = Plan()
    now = ZERO
    for line in lines[4:]:
        words = line.split()
        at = int(words[0]) * US_PER_S
        if words[1] == "bolus":
            seconds = int(words[3]) or bolus_seconds(int(words[2]))
            _wait(boluses, at, ZERO)
            boluses.add(seconds * US_PER_S, Fraction(int(words[2]), seconds * US_PER_S))
            continue
        _wait(basal, at, now)
        new = flow(int(words[2]))
        if words[1] == "ramp":
            basal.add(int(words[3]) * US_PER_S, now, new)
        now = new
    _wait(basal, period, now)
    _wait(boluses, period, ZERO)
    return [Repeated(basal, repeats), Repeated(boluses, repeats)]


def _wait(plan: Plan, until: int, at_flow: Fraction) -> None:
    assert plan.length is not None
    if until > plan.length:
        plan.add(until - plan.length, at_flow)


class Run:
    """One order on the time line: its plans, and what became of it."""

    def __init__(self, timeline: Timeline, plans: list[Plan], start_us: int) -> None:
        self._timeline = timeline
        self.plans = plans
        self.start_us = start_us
        self.held_us: int | None = None  # time after its start at which it stands still
        self.settled = ZERO  # of plans that have been replaced
        self.top: Fraction | None = None  # flow to go back to after slowing down
        self.motor: Motor | None = None  # it has slowed down within these

    def elapsed(self, t_us: int) -> int:
        return max(0, t_us - self.start_us) if self.held_us is None else self.held_us

    def planned(self, t_us: int) -> Fraction:
        us = self.elapsed(t_us)
        return self.settled + sum((plan.at(us) for plan in self.plans), ZERO)

    def flow(self, t_us: int) -> Fraction:
        if self.held_us is not None or t_us < self.start_us:
            return ZERO
        return sum((plan.flow_at(t_us - self.start_us) for plan in self.plans), ZERO)

    def line(self, t_us: int) -> Fraction | None:
        """Until when its flow stays as it is then; None on a ramp."""
        if self.held_us is not None:
            return FOREVER
        if t_us < self.start_us:
            return Fraction(self.start_us)
        untils = [plan.line(t_us - self.start_us) for plan in self.plans]
        return None if None in untils else self.start_us + min(until for until in untils if until is not None)

    def bend(self, t_us: int, step: Fraction) -> Fraction:
        return sum((plan.bend(self.elapsed(t_us), step) for plan in self.plans), ZERO)

    def replace(self, t_us: int, *plans: Plan) -> None:
        self._timeline.fold()
        self.settled = short(self.planned(t_us))
        self.plans = list(plans)
        self.start_us = t_us
        self.held_us = None

    def hold(self, t_us: int) -> None:
        self._timeline.fold()
        if self.held_us is None:
            self.held_us = self.elapsed(t_us)

    def release(self, t_us: int) -> None:
        self._timeline.fold()
        if self.held_us is not None:
            self.start_us = t_us - self.held_us
            self.held_us = None


class Line:
    """Owed microsteps while the flow is constant, in whole numbers: (base + flow * t) / unit. Quick, and exact."""

    def __init__(self, t_us: int, until: Fraction, planned: Fraction, flow: Fraction) -> None:
        base = planned - flow * t_us
        self.unit = math.lcm(base.denominator, flow.denominator)
        self.base = int(base * self.unit)
        self.flow = int(flow * self.unit)
        self.t_us = t_us
        self.until = until
        self.most = -1  # largest deviation, in 1 / unit


class Timeline:
    """All orders of a life. `begin`, and methods of the `Run` it returns, say what happened; `see` a step."""

    def __init__(self, motor: Motor) -> None:
        self.motor = motor
        self.runs: list[Run] = []
        self.finished = ZERO
        self.bent = ZERO  # by how much ramps that were cut short may have been off the line, in nL
        self.steps = 0
        self._worst = Fraction(-1)
        self._deviation = ZERO
        self._line: Line | None = None

    def begin(self, t_us: int, *plans: Plan) -> Run:
        self.fold()
        run = Run(self, list(plans), t_us)
        self.runs.append(run)
        return run

    def end(self, run: Run, t_us: int) -> Fraction:
        """Returns what the order planned in all."""
        self.fold()
        planned = run.planned(t_us)
        self.finished = short(self.finished + planned)
        self.bent = short(self.bent + run.bend(t_us, self.motor.step))
        self.runs.remove(run)
        return planned

    def planned(self, t_us: int) -> Fraction:
        return self.finished + sum((run.planned(t_us) for run in self.runs), ZERO)

    def flow(self, t_us: int) -> Fraction:
        return sum((run.flow(t_us) for run in self.runs), ZERO)

    @property
    def worst(self) -> Fraction:
        """Largest deviation beyond half a microstep and 1 us of flow, in microsteps; negative: it was never reached."""
        self.fold()
        return self._worst

    @property
    def deviation(self) -> Fraction:
        """Largest deviation in microsteps."""
        self.fold()
        return self._deviation

    @property
    def drift(self) -> Fraction:
        """Planned less stepped when nothing runs, in microsteps."""
        assert not self.runs
        return self.finished / self.motor.step - self.steps

    def see(self, t_us: int) -> None:
        """A step is made: compare just before and just after it."""
        line = self._line
        if line is not None and line.t_us < t_us < line.until:
            owed = line.base + line.flow * t_us - self.steps * line.unit
            line.most = max(line.most, owed, line.unit - owed, -owed, owed - line.unit)
            self.steps += 1
            return
        self.look(t_us, 1)
        self.fold()
        untils = [run.line(t_us) for run in self.runs]
        if untils and None not in untils:
            until = min(until for until in untils if until is not None)
            step = self.motor.step
            self._line = Line(t_us, until, self.planned(t_us) / step, self.flow(t_us) / step)

    def look(self, t_us: int, made: int = 0) -> Fraction:
        """Compare just before and just after `made` steps. Returns planned less stepped, in microsteps."""
        planned = self.planned(t_us)
        before = planned / self.motor.step - self.steps
        self.steps += made
        off = max(abs(before), abs(before - made))
        # The flow of the microsecond before or after, whatever is larger: it may change just now.
        flow = max(self.flow(t_us), planned - self._planned_before(t_us)) / self.motor.step
        bend = self.bent + sum((run.bend(t_us, self.motor.step) for run in self.runs), ZERO)
        self._judge(off, flow + bend / self.motor.step)
        return before - made

    def fold(self) -> None:
        """Something changes: what was seen on the line counts."""
        line = self._line
        if line is not None and line.most >= 0:
            self._judge(Fraction(line.most, line.unit), Fraction(line.flow, line.unit) + self.bent / self.motor.step)
        self._line = None

    def _judge(self, off: Fraction, allowed: Fraction) -> None:
        self._deviation = max(self._deviation, off)
        self._worst = max(self._worst, off - Fraction(1, 2) - allowed)

    def _planned_before(self, t_us: int) -> Fraction:
        return self.finished + sum((run.planned(max(run.start_us, t_us - 1)) for run in self.runs), ZERO)
