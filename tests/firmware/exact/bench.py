"""A `Delivery` on a fake step port and a virtual clock, beside the oracle: both are told the same orders.

Owns: what the app does around a delivery (feed in time, ends, wake-ups), the words and pulses of the fake, and saying
to the oracle what was ordered and from which moment on it holds. Must not: tell the oracle anything else.

The fake does not model: pulse width, interrupts, words in the FIFO apart from the ring.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

from haipump_fw import delivery as fw
from haipump_fw.core import courses, options, profiles
from haipump_fw.core.clock import Uptime
from haipump_fw.delivery import Delivery, new_order
from haipump_fw.proto import programme as grammar
from tests.firmware.exact import oracle
from tests.firmware.exact.scribe import Scribe, Text

NEVER = 1 << 62
PASS_US = 900  # one pass of the loop
TICK_US = 5_000_000  # the longest sleep
WAKE_EARLY_US = 100_000_000
WORDS_MAX = 64 + 8 + 1
EDGES_WIDE = 31  # before the first word


class Steps:
    """Words become pulses at their exact times. `now` is the virtual time."""

    def __init__(self) -> None:
        self.now = 0
        self.words: deque[int] = deque()
        self.pulse_us = NEVER
        self.direction = 1
        self.seen = []  # (moment, direction)
        self.depth = 0
        self.edges_left = EDGES_WIDE

    def configure(self, fifo_depth: int) -> None:
        assert 1 <= fifo_depth <= 8
        self.depth = fifo_depth

    def begin(self, direction: int, delay_us: int) -> None:
        assert self.pulse_us == NEVER, "begin while words are queued"
        assert 1 <= delay_us < 1 << 29
        self.direction = direction
        self.pulse_us = self.now + delay_us

    def put(self, delay_us: int) -> bool:
        assert 250 <= delay_us < 1 << 29, delay_us
        if self.pulse_us == NEVER:
            self.pulse_us = self.now + delay_us
            return True
        if len(self.words) >= WORDS_MAX - 1:
            return False
        self.words.append(delay_us)
        return True

    def put_all(self, words: list[int], count: int) -> bool:
        if self.queued() + count > WORDS_MAX:
            return False
        return all([self.put(words[at]) for at in range(count)])

    def queued(self) -> int:
        return 0 if self.pulse_us == NEVER else 1 + len(self.words)

    def starved(self) -> bool:
        return self.queued() == 0

    def halt(self) -> int:
        left = self.queued()
        self.words.clear()
        self.pulse_us = NEVER
        self.guard(0)
        return left

    def guard(self, words: int) -> None:
        self.edges_left = words + 1 if words >= 0 else EDGES_WIDE

    def pulses_until(self, t_us: int) -> None:
        while self.pulse_us <= t_us:
            at = self.pulse_us
            self.edges_left -= 1
            assert self.edges_left >= 0, f"the guard would cut off the pulse at {at}"
            self.seen.append((at, self.direction))
            self.pulse_us = at + self.words.popleft() if self.words else NEVER
        self.now = t_us


class Motor:
    def __init__(self) -> None:
        self.on = False

    def enable(self, on: bool) -> None:
        self.on = on


class Bench:
    """`values` override settings. `ticks_start_us` is the counter at time 0, `plan_us` what an anchor takes to work out
    (pulses come meanwhile)."""

    def __init__(self, *, ticks_start_us: int = 0, plan_us: int = 0, **values: int) -> None:
        self.values = {**options.defaults(), **values}
        self.steps = Steps()
        self.motor = Motor()
        self.clock = Uptime(lambda: (self.steps.now + ticks_start_us) & ((1 << 30) - 1))
        self.delivery = Delivery(self.steps, self.motor, self.values, self.clock)
        if plan_us:
            anchor = self.delivery.planner._anchor

            def slow() -> bool:
                self.steps.pulses_until(self.steps.now + plan_us)
                return anchor()

            self.delivery.planner._anchor = slow  # pyright: ignore[reportAttributeAccessIssue]
        self.due_us = -1
        self.next_us = 0
        self.number = 0
        self.scribe = Scribe(self.values)
        self.orders: dict[int, fw.Order] = {}
        self.steadily = 0  # words that came the short way
        self.told = 0  # pulses that the oracle knows of

    @property
    def timeline(self) -> oracle.Timeline:
        return self.scribe.timeline

    @property
    def paused(self) -> bool:
        return self.delivery.paused

    # --- time

    @property
    def now(self) -> int:
        return self.steps.now

    def run(self, seconds: float) -> None:
        self.run_until(self.now + round(seconds * 1_000_000))

    def run_until(self, t_us: int) -> None:
        while self.now < t_us:
            if self.next_us > self.now:
                self.steps.pulses_until(min(self.next_us, t_us))
                self._tell()
            else:
                self._pass()

    def _pass(self) -> None:
        """What `App.step` does about the delivery."""
        delivery = self.delivery
        self.clock.update()
        if delivery.moving():
            if delivery.steady() and delivery.hungry() and delivery.feed_steady():  # as in a quiet pass
                self.steadily += 1
                booked = delivery.expected
                delivery.account()
                assert delivery.expected == booked and self.steps.edges_left == 1 + self.steps.queued() == 3
            else:
                delivery.feed()
        assert not delivery.late, f"words ran out at {self.now}"
        if delivery.changed:
            self._changed()
        if 0 <= self.due_us <= self.now:
            ended = delivery.ended(self.now)
            for order in ended:
                self._end(order)
            if not ended:
                delivery.replan()
            self._changed()
        self.clock.update()  # the pass itself took its time
        sleep = TICK_US
        if delivery.moving():
            sleep = min(sleep, delivery.next_feed_us())
        if self.due_us >= 0:
            sleep = min(sleep, self.due_us - self.now)
        self.next_us = self.now + max(0, sleep)

    def _changed(self) -> None:
        delivery = self.delivery
        delivery.changed = False
        end, wake = delivery.next_end_us(), delivery.wake_us()
        if wake >= 0:
            wake = wake - WAKE_EARLY_US if wake - WAKE_EARLY_US > self.now else max(wake, self.now + 1_000_000)
        self.due_us = wake if end < 0 or 0 <= wake < end else end

    def act(self) -> None:
        """Something was ordered: look at once."""
        self._tell()
        self.clock.update()
        self._changed()
        self.next_us = self.now

    def _tell(self) -> None:
        """Pass new pulses on."""
        for at, direction in self.steps.seen[self.told :]:
            self.scribe.step(at, direction)
        self.told = len(self.steps.seen)
        self.scribe.until(self.now)
        self.clock.update()

    # --- orders: to the firmware, and in words to the oracle

    def start(self, text: Text, *new) -> fw.Order:
        self._tell()
        self.number += 1
        order = new_order(self.number, text.source, text.volume_nl, text.rate)
        self.orders[order.number] = order
        now = self.now  # the call may take its time
        self.scribe.will_start(now, self.delivery.start(order, *new), order.number, text)
        self.act()
        return order

    def _running(self) -> tuple[Fraction, int]:
        """Speed of the basal order that is about to be replaced, and the firmware's number for that."""
        self._tell()
        basal = self.delivery.basal
        if basal is None:
            return oracle.ZERO, 0
        speed = self.delivery.speed_of(basal, self.now)
        if not self.scribe.settled():  # the oracle can't know yet what the order will replace
            return Fraction(speed), speed
        return self.scribe.motor.speed(self.scribe.flow_before(self.now)), speed

    def rate(self, nl_per_day: int, source: int = fw.BASAL) -> fw.Order:
        before, speed = self._running()
        new = profiles.rate(nl_per_day, self.delivery.limits, speed)
        return self.start(Text(source, [oracle.rate(nl_per_day, self.scribe.motor, before)], 0, nl_per_day), new)

    def ramp(self, nl_per_day: int, seconds: int) -> fw.Order:
        before = 0 if self.delivery.basal is None else self.delivery.basal.rate_nl_per_day(self.now)
        new = courses.Ramp(before, nl_per_day, seconds, self.delivery.limits.step_q)
        text = Text(fw.BASAL, [oracle.ramp(before, nl_per_day, seconds)], 0, nl_per_day, sudden=True)
        return self.start(text, new)

    def vtbi(self, nl_per_day: int, volume_nl: int, source: int = fw.BASAL) -> fw.Order:
        before, speed = self._running() if source == fw.BASAL else (oracle.ZERO, 0)
        new = profiles.volume_at_rate(profiles.quanta(volume_nl), nl_per_day, self.delivery.limits, speed)
        plan = oracle.at_rate(volume_nl, nl_per_day, self.scribe.motor, before)
        return self.start(Text(source, [plan], volume_nl, nl_per_day), new)

    def bolus(self, volume_nl: int, seconds: int, source: int = fw.BOLUS) -> fw.Order:
        new = profiles.square(profiles.quanta(volume_nl), seconds * 1_000_000, self.delivery.limits)
        plan = oracle.square(volume_nl, seconds * 1_000_000, self.scribe.motor)
        return self.start(Text(source, [plan], volume_nl), new)

    def programme(self, text: bytes) -> fw.Order:
        plan = grammar.parse(text)
        rates = []
        boluses = []
        for kind, at, value, seconds in zip(plan.kinds, plan.at_s, plan.values, plan.durations_s, strict=True):
            if kind == grammar.BOLUS:
                boluses.append((at, profiles.quanta(value), seconds))
            else:
                rates.append((at, value, seconds))
        flow = courses.Periodic(rates, plan.period_s, plan.repeats, self.delivery.limits.step_q)
        pulses = courses.Pulses(boluses, plan.period_s, plan.repeats)
        return self.start(Text(fw.PROGRAMME, oracle.programme(text, lambda nl: 0), sudden=True), flow, pulses)

    # --- what happens to them

    def _end(self, order: fw.Order) -> None:
        """Its plan is complete."""
        self._tell()
        now = self.now
        self.scribe.is_over(now, self.delivery.finish(order, now), order.number)

    def cancel(self, order: fw.Order) -> None:
        self._tell()
        now = self.now
        again = order.cancelled
        holds_us = self.delivery.cancel(order)
        if not again:
            self.scribe.will_cancel(now, holds_us, order.number, order.leaving)
        self.act()

    def pause(self) -> None:
        self._tell()
        now = self.now
        self.scribe.will_pause(now, self.delivery.pause())
        self.act()

    def resume(self) -> None:
        self._tell()
        now = self.now
        self.scribe.will_resume(now, self.delivery.resume())
        self.act()

    def stop(self) -> None:
        self._tell()
        self.delivery.stop(self.now)
        self.scribe.stopped(self.now)
        self.act()
