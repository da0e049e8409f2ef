"""A `Delivery` on a fake step port and a virtual clock, beside the oracle: both are told the same orders.

Owns: what the app does around a delivery (feed in time, ends, wake-ups), the words and pulses of the fake, and saying
to the oracle when each order began, paused and ended. Must not: tell the oracle anything else.

The fake does not model: pulse width, interrupts, words in the FIFO apart from the ring.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

from haipump_fw import delivery as fw
from haipump_fw.core import options, profiles
from haipump_fw.core.clock import Uptime
from haipump_fw.delivery import Delivery, new_order
from haipump_fw.proto import programme as grammar
from tests.firmware.exact import oracle

NEVER = 1 << 62
PASS_US = 900  # one pass of the loop
TICK_US = 5_000_000  # the longest sleep
WAKE_EARLY_US = 100_000_000
WORDS_MAX = 64 + 8 + 1


class Steps:
    """Words become pulses at their exact times. `now` is the virtual time."""

    def __init__(self) -> None:
        self.now = 0
        self.words: deque[int] = deque()
        self.pulse_us = NEVER
        self.direction = 1
        self.seen = []  # (moment, direction)
        self.depth = 0

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

    def queued(self) -> int:
        return 0 if self.pulse_us == NEVER else 1 + len(self.words)

    def starved(self) -> bool:
        return self.queued() == 0

    def halt(self) -> int:
        left = self.queued()
        self.words.clear()
        self.pulse_us = NEVER
        return left

    def pulses_until(self, t_us: int) -> None:
        while self.pulse_us <= t_us:
            at = self.pulse_us
            self.seen.append((at, self.direction))
            self.pulse_us = at + self.words.popleft() if self.words else NEVER
        self.now = t_us


class Motor:
    def __init__(self) -> None:
        self.on = False

    def enable(self, on: bool) -> None:
        self.on = on


class Bench:
    """`values` override settings. `ticks_start_us` is the counter at time 0."""

    def __init__(self, *, ticks_start_us: int = 0, **values: int) -> None:
        self.values = {**options.defaults(), **values}
        self.steps = Steps()
        self.motor = Motor()
        self.clock = Uptime(lambda: (self.steps.now + ticks_start_us) & ((1 << 30) - 1))
        self.delivery = Delivery(self.steps, self.motor, self.values, self.clock)
        self.due_us = -1
        self.next_us = 0
        self.number = 0
        self.runs: dict[int, oracle.Run] = {}
        self.closed: list[tuple[fw.Order, Fraction]] = []  # (order, what the oracle says it planned)
        self.takeup_us = self.delivery._takeup_us
        motor = oracle.Motor(
            Fraction(self.values["step_fl"], 1_000_000),
            self.values["start_steps_per_s"],
            max(1, self.values["accel_steps_per_s2"] * oracle.STAIR_US // oracle.US_PER_S),
            self.values["max_steps_per_s"],
        )
        self.timeline = oracle.Timeline(motor)
        self.doses = self.timeline  # what handling steps does not belong to doses, and has an accumulator of its own
        self.told = 0  # pulses that the oracle knows of
        self.slack = 0
        self.paused = False

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
            delivery.feed()
        assert not delivery.late, f"words ran out at {self.now}"
        if delivery.changed:
            self._changed()
        if 0 <= self.due_us <= self.now:
            ended = delivery.ended(self.now)
            for order in ended:
                self._end(order)
            if not ended:
                delivery.replan(self.now)
            self._changed()
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

    # --- the oracle

    def _tell(self) -> None:
        """Pass new pulses on: take-up by the play that is left, the rest as volume."""
        for at, direction in self.steps.seen[self.told :]:
            backlash = self.values["backlash_steps"]
            if direction > 0 and self.slack:
                self.slack -= 1
            elif direction < 0 and self.slack < backlash:
                self.slack += 1
            else:
                self.timeline.see(at)
        self.told = len(self.steps.seen)

    def _first_us(self, back: bool = False) -> int:
        """When a plan that is ordered now begins: behind the take-up and one of its steps."""
        play = self.values["backlash_steps"] - self.slack if back else self.slack
        return self.now + (play + 1) * self.takeup_us if play else self.now

    # --- orders: to the firmware, and in words to the oracle

    def _start(
        self, source: int, plans: list[oracle.Plan], *new, volume_nl: int = 0, rate: int = 0, sudden: bool = False
    ) -> fw.Order:
        self._tell()
        self.clock.update()
        self.number += 1
        order = new_order(self.number, source, volume_nl, rate)
        if source not in fw.DOSE:
            self.timeline = oracle.Timeline(self.timeline.motor)
        first_us = self._first_us(source in (fw.WITHDRAW, fw.HOME))
        self.delivery.start(self.now, order, *new)
        run = self.timeline.begin(first_us, *plans)
        run.sudden = sudden
        self.runs[order.number] = run
        if source == fw.BOLUS and self.delivery.extended is not None:
            self._hold(self.runs[self.delivery.extended.number], self.timeline.motor)
        if source == fw.EXTENDED and self.delivery.bolus is not None:
            run.hold(self.now)
        self.act()
        return order

    def _replace_basal(self) -> tuple[Fraction, int]:
        """Ends the basal order; returns the flow it had, and the firmware's speed for it."""
        basal = self.delivery.basal
        if basal is None:
            return oracle.ZERO, 0
        self.clock.update()
        run = self.runs[basal.number]
        flow = run.flow(self.now)
        if run.sudden:  # never above the start speed, whatever stairs and line make of its last digit
            flow = min(flow, self.timeline.motor.flow(self.timeline.motor.start))
        speed = self.delivery.speed_of(basal, self.now)
        self._end(basal)
        return flow, speed

    def rate(self, nl_per_day: int, source: int = fw.BASAL) -> fw.Order:
        motor = self.timeline.motor
        flow, speed = self._replace_basal()
        new = profiles.rate(nl_per_day, self.delivery.limits, speed)
        return self._start(source, [oracle.rate(nl_per_day, motor, motor.speed(flow))], new, rate=nl_per_day)

    def ramp(self, nl_per_day: int, seconds: int) -> fw.Order:
        before = 0 if self.delivery.basal is None else self.delivery.basal.rate_nl_per_day(self.now)
        self._replace_basal()
        new = profiles.Ramp(before, nl_per_day, seconds, self.delivery.limits.step_q)
        return self._start(fw.BASAL, [oracle.ramp(before, nl_per_day, seconds)], new, rate=nl_per_day, sudden=True)

    def vtbi(self, nl_per_day: int, volume_nl: int, source: int = fw.BASAL) -> fw.Order:
        motor = self.timeline.motor
        flow, speed = self._replace_basal() if source == fw.BASAL else (oracle.ZERO, 0)
        new = profiles.volume_at_rate(profiles.quanta(volume_nl), nl_per_day, self.delivery.limits, speed)
        plan = oracle.at_rate(volume_nl, nl_per_day, motor, motor.speed(flow))
        return self._start(source, [plan], new, volume_nl=volume_nl, rate=nl_per_day)

    def bolus(self, volume_nl: int, seconds: int, source: int = fw.BOLUS) -> fw.Order | None:
        """None when the motor can't."""
        new = profiles.square(profiles.quanta(volume_nl), seconds * 1_000_000, self.delivery.limits)
        if new is None:
            return None
        plan = oracle.square(volume_nl, seconds * 1_000_000, self.timeline.motor)
        return self._start(source, [plan], new, volume_nl=volume_nl)

    def programme(self, text: bytes) -> fw.Order:
        plan = grammar.parse(text)
        rates = []
        boluses = []
        for kind, at, value, seconds in zip(plan.kinds, plan.at_s, plan.values, plan.durations_s, strict=True):
            if kind == grammar.BOLUS:
                boluses.append((at, profiles.quanta(value), seconds))
            else:
                rates.append((at, value, seconds))
        self._replace_basal()
        flow = profiles.Periodic(rates, plan.period_s, plan.repeats, self.delivery.limits.step_q)
        pulses = profiles.Pulses(boluses, plan.period_s, plan.repeats)
        return self._start(fw.PROGRAMME, oracle.programme(text, lambda nl: 0), flow, pulses, sudden=True)

    # --- what happens to them

    def _end(self, order: fw.Order) -> None:
        self._tell()
        self.clock.update()
        self.delivery.end(order, self.now)
        self._closed(order)
        extended = self.delivery.extended
        if order.source == fw.BOLUS and extended is not None and not self.paused:
            self._go_on(extended)
        self.act()

    def _closed(self, order: fw.Order) -> None:
        self.closed.append((order, self.timeline.end(self.runs.pop(order.number), self.now)))
        if order.source not in fw.DOSE:
            assert self.timeline.worst <= 0 and abs(self.timeline.drift) <= 1
            self.timeline = self.doses

    def end(self, order: fw.Order) -> None:
        """End it now, whatever its speed."""
        self._end(order)

    def cancel(self, order: fw.Order) -> None:
        """As the app does."""
        self._tell()
        self.clock.update()
        run = self.runs[order.number]
        speed = self.timeline.motor.speed(run.flow(self.now))
        if self.delivery.cancel(order, self.now):
            self._end(order)
            return
        run.replace(self.now, oracle.coast(self.timeline.motor, speed))
        self.act()

    def _hold(self, run: oracle.Run, motor: oracle.Motor) -> None:
        speed = motor.speed(run.flow(self.now))
        if run.held_us is None and -(-speed // 1) > motor.start and not run.sudden:
            run.top = run.plans[0].top() if run.top is None else run.top
            run.motor = motor
            run.replace(self.now, oracle.coast(motor, speed))
        else:
            run.hold(self.now)

    def _go_on(self, order: fw.Order) -> None:
        run = self.runs[order.number]
        if run.motor is None:
            run.release(self._first_us())
            return
        now = run.motor.speed(run.flow(self.now))
        if order.volume_q:
            rest = Fraction(order.volume_q, profiles.QUANTA_PER_NL) - run.planned(self.now)
            top = order.rate or run.top * oracle.DAY_US // 1
            plan = oracle.at_rate(rest, top, run.motor, now)
        else:
            plan = oracle.rate(order.rate, run.motor, now)
        run.replace(self._first_us(), plan)
        run.motor = None

    def pause(self) -> None:
        self._tell()
        self.clock.update()
        motor = self.timeline.motor
        self.delivery.pause(self.now)
        self.paused = True
        running = [(run, -(-motor.speed(run.flow(self.now)) // 1)) for run in self.timeline.runs if run.held_us is None]
        gentle = [(run, speed) for run, speed in running if run.motor is None and not run.sudden]
        sudden = sum(speed for run, speed in running if run.motor is None and run.sudden)
        total = sum(speed for _, speed in gentle)
        for run, speed in running:
            share = motor
            if sudden + total > motor.start and speed and not run.sudden:
                share = motor.share(speed, total, motor.start - sudden)
            if run.motor is None:
                self._hold(run, share)
        self.act()

    def resume(self) -> None:
        self._tell()
        self.clock.update()
        self.delivery.resume(self.now)
        self.paused = False
        for order in self.delivery.planner.orders:
            if order is not self.delivery.extended or self.delivery.bolus is None:
                self._go_on(order)
        self.act()

    def stop(self) -> None:
        self._tell()
        self.clock.update()
        self.timeline.look(self.now)
        for order in self.delivery.stop(self.now):
            self._closed(order)
        self.paused = False
        self.act()
