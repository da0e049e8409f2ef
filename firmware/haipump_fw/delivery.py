"""Delivery: turns orders into steps at the port, and keeps the motor's books.

Owns: the running orders, the planner, the step port, the motor's enable, direction and backlash. Must not: judge
(states, limits and alarms are the app's), nor read a sensor. All `t_us` are microseconds of uptime.

Words ahead follow the period (ADR 0006): the FIFO holds 25 ms of motion (1 to 8 words), the ring at most 40 ms.

A change of plan never holds from now, but from a moment that its method returns (ADR 0010): the moment of the last
queued pulse, or at rest and in slow motion a fixed lead after the order. Until then the steps of the old plan are made;
so planning may take its time, and no pulse comes late.
"""

from haipump_fw.const import const
from haipump_fw.core import profiles
from haipump_fw.core.clock import ticks_add, ticks_diff
from haipump_fw.core.dosing import WORD_MAX_US, Order, Planner
from haipump_fw.core.units import QUANTA_PER_FL, US_PER_S, div_near, div_up

BASAL, KVO, PROGRAMME, BOLUS, EXTENDED, PRIME, WITHDRAW, JOG, HOME = range(1, 10)  # messages.SOURCES
BACKOFF = const(11)
DOSE = (BASAL, KVO, PROGRAMME, BOLUS, EXTENDED)

_FIFO_US = const(25_000)
_RING_US = const(40_000)
_RING_MAX = const(64)
_FIFO_MAX = const(8)
# A gap does not count as motion: behind a word that is further away than this, only that and one more are queued.
_AHEAD_US = const(65_000)  # FIFO and ring together
_SPLICE_US = const(90_000)  # FIFO, ring and the word that is counted down, at any period up to 25 ms
_LEAD_US = const(20_000)  # what working out a plan may take
_WORDS_MAX = const(80)  # what one `feed` may hand out, and more
_ROW_MAX = const(16)  # words that are queued at once ...
_ROW_PERIOD_US = const(5_000)  # ... at periods up to this
_ROW_LEFT = const(4)  # so few are left to the next time
WORD_MIN_US = const(250)  # what `Steps.put` takes
_PAY_BACK = const(4)  # a word that makes up for lost time is shorter by 1/16 at most
_RESERVE_US = const(44_000)  # words are topped up while so much motion is left: a collection and a plan's anchor


class Delivery:
    """`clock` is the app's Uptime; what it says is the time of its last update."""

    def __init__(self, steps, motor, values, clock):
        self._clock = clock
        self.steps = steps
        self.motor = motor
        self.planner = Planner(values["step_fl"])
        self.basal = None  # rate, KVO or programme
        self.bolus = None  # immediate
        self.extended = None
        self.move = None  # prime, withdraw, jog, home
        self.direction = 1
        self.paused = False
        self.uncertain = True  # the motor was off: position known to half a full step only
        self.changed = True  # ends and wake-ups have to be looked up again
        self.late = False  # words ran out though steps were due: the app makes it an alarm
        self.dosed = 0  # steps of dose that were made up to the last `account`
        self.guard = None  # asked how many of some words may be queued, where doses are watched; -1: none is due
        self.net_steps = 0  # signed, all steps made but take-up (of either direction), up to the last `account`
        # Steps that the nut has to go forward before it pushes: up to the backlash; after a back-off (`relief`) more,
        # for spring and friction of the plunger.
        self.slack = 0
        self.takeup = 0  # backlash steps to go in this direction before a step counts
        self.expected = 0  # signed, all steps made incl. take-up: what odometer and encoder should show
        self.handed = 0  # planner words in all, but those that were taken back
        self._takeup_words = 0
        self._words = 0  # planner words since `begin`
        self._booked_words = 0  # ... and of all words, those that `account` has seen made
        self._begun = False
        self._dry = False
        self._fifo = 0
        self._last_tick = 0  # when the last queued pulse comes
        self._last_delay = 0
        self._from_us = -1  # uptime from which the first word counts; -1: a machine that stands still stays so
        self._leave = -1  # words that are left when those behind are taken back and the plan begins anew; -1: no matter
        self._near_tick = 0  # ... which is now
        self._holds_us = 0  # from when on the last change holds
        self._parked_q = 0  # what doses carry, while another order runs
        self._debt_us = 0  # how much later than planned the queued words are
        self.backlash = 0
        self._row = [0] * _ROW_MAX
        self.configure(values)

    def configure(self, values):
        """Take over calibration and motor options. Only while nothing moves."""
        if values["step_fl"] != self.planner.step_fl:
            self.planner.set_step(values["step_fl"])
        self.limits = profiles.Limits(
            values["step_fl"] * QUANTA_PER_FL,
            values["start_steps_per_s"],
            values["accel_steps_per_s2"],
            values["max_steps_per_s"],
        )
        # a nut that stood at the far side of its play stands there with the new play too
        more = max(0, self.slack - self.backlash)
        if self.slack >= self.backlash > 0 or self.slack > values["backlash_steps"]:
            self.slack = values["backlash_steps"] + more
        self.backlash = values["backlash_steps"]
        self._takeup_us = US_PER_S // min(values["start_steps_per_s"], 1000)

    # --- what runs

    def orders(self):
        return [order for order in (self.basal, self.bolus, self.extended, self.move) if order is not None]

    def moving(self):
        """Steps are due, or words are still queued."""
        return self._begun or bool(self.planner.orders)

    def steady(self):
        """At rest, or a dose that goes on as it does: to `feed` it takes no memory, and nothing else is due."""
        if self.changed or self.late:
            return False
        if not self._begun:
            return not self.planner.orders
        if self._dry or self._leave >= 0 or self.move is not None or self.guard is not None:
            return False
        return self.planner.left >= _WORDS_MAX and ticks_diff(self._last_tick, self._clock.tick) > _LEAD_US

    def flow_nl_per_day(self, t_us):
        """Ordered rate of all orders now."""
        return sum([order.rate_nl_per_day(t_us) for order in self.orders()])

    # --- changes: each returns the uptime from which it holds

    def start(self, order, *new):
        """Begin an order in its place. The basal order that it replaces is over when it begins."""
        back = order.source in (WITHDRAW, HOME, BACKOFF) or (order.source == JOG and order.rate < 0)
        t_us = self._cut(-1 if back else 1)
        if order.source in (BASAL, KVO, PROGRAMME):
            if self.basal is not None:
                self.basal.leave(t_us)
            self.basal = order
        elif order.source == BOLUS:
            self.bolus = order
            if self.extended is not None:
                self._hold(self.extended, t_us, self.limits)
        elif order.source == EXTENDED:
            self.extended = order
        else:
            self.move = order
            self._parked_q = self.planner.park()
        self.motor.enable(True)
        self.uncertain = False
        order.begun_us = t_us
        order.start(t_us, *new)
        if order.source == EXTENDED and self.bolus is not None:
            order.hold(t_us)
        self.planner.add(order)
        return self._go(t_us)

    def cancel(self, order):
        """End an order before its time. One that is slow enough is `leaving` then; a fast one slows down first and ends
        by itself, its volume cut to what it then has planned."""
        if order.cancelled:
            return self._holds_us
        order.cancelled = True
        t_us = self._cut()
        speed = self.speed_of(order, t_us)
        if speed > self.limits.start and order.held_us < 0:
            order.coasting = False
            order.start(t_us, profiles.coast(self.limits, speed))
        else:
            order.leave(t_us)
            if self._clear(order):
                self._go_on(self.extended, t_us)
        return self._go(t_us)

    def finish(self, order, t_us):
        """Settle an order that is complete or left, or the only one (which may still move), and take it out."""
        if len(self.planner.orders) == 1:
            self._halt(t_us)
        self._take_out(order, t_us)
        self.changed = True
        if self._clear(order):
            # Nothing else needs a new plan: the words on their way are right.
            t_us = self._cut()
            self._go_on(self.extended, t_us)
            self._go(t_us)
        return t_us

    def _clear(self, order):
        """Its place is free now. True when the extended bolus goes on with that."""
        if order is self.bolus:
            self.bolus = None
            return self.extended is not None and not self.paused
        if order is self.basal:
            self.basal = None
        elif order is self.extended:
            self.extended = None
        elif order is self.move:
            self.move = None
        return False

    def _take_out(self, order, t_us):
        self.account()
        self.planner.end(order, t_us, self._in_flight())
        if order is self.move:
            self.planner.restore(self._parked_q)

    def speed_of(self, order, t_us):
        """Steps/s of an order now, rounded up."""
        num, den = order.flow(t_us)
        return self.limits.speed(num, den)

    def _hold(self, order, t_us, limits):
        """Hold an order; one that is too fast for that slows down first."""
        if order.held_us >= 0 or order.coasting or order.cancelled:
            return
        speed = self.speed_of(order, t_us)
        if speed > limits.start and order.pace():
            order.coast_limits = limits
            order.start(t_us, profiles.coast(limits, speed))
            order.end_us = -1
            order.coasting = True
        else:
            order.hold(t_us)

    def _go_on(self, order, t_us):
        """Release a held order; one that slowed down speeds up again to its rate, for its exact remainder."""
        if not order.coasting:
            if order.held_us >= 0:
                order.release(t_us)
            return
        limits = order.coast_limits
        speed = self.speed_of(order, t_us)
        order.coasting = False
        if order.volume_q:
            left_q = order.volume_q - order.planned_q(t_us)
            new = profiles.volume_at_rate(left_q, order.rate or order.fastest, limits, speed)
        else:
            new = profiles.rate(order.rate, limits, speed)
        order.start(t_us, new)

    def pause(self):
        """Hold all orders; the motor keeps its torque."""
        t_us = self._cut()
        self.paused = True
        speeds = []
        running = [order for order in self.planner.orders if not order.leaving]
        sudden = total = 0  # steps/s: of orders that can only stop at once (ramps, programmes), and of the others
        for order in running:
            speed = 0 if order.held_us >= 0 or order.coasting or order.cancelled else self.speed_of(order, t_us)
            speeds.append(speed)
            if order.pace():
                total += speed
            else:
                sudden += speed
        for order, speed in zip(running, speeds):
            limits = self.limits
            if sudden + total > limits.start and speed and order.pace():
                limits = limits.share(speed, total, limits.start - sudden)
            self._hold(order, t_us, limits)
        return self._go(t_us)

    def resume(self):
        """Go on with the exact remainder of every order; an extended bolus still waits for an immediate one."""
        t_us = self._cut()
        self.paused = False
        self.motor.enable(True)
        for order in self.planner.orders:
            if not order.leaving and (order is not self.extended or self.bolus is None):
                self._go_on(order, t_us)
        return self._go(t_us)

    def replan(self):
        """The plan goes on after a gap."""
        return self._go(self._cut())

    def stop(self, t_us):
        """Motor off at once. Returns the orders that were running, settled. What was to hold later never did: an order
        that was about to be replaced is settled by its own plan, and its successor with a volume of nothing."""
        self.motor.enable(False)
        self.uncertain = True
        self._halt(t_us)
        ended = [order for order in self.planner.orders if order.leaving] + self.orders()
        for order in reversed(ended):  # the new first: what one that never began was given goes to the others
            self._take_out(order, t_us)
        self.basal = self.bolus = self.extended = self.move = None
        self.paused = False
        self.changed = True
        self._holds_us = 0
        return ended

    def switch_off(self):
        """Motor off, nothing else: callable from anywhere."""
        self.motor.enable(False)
        self.uncertain = True

    # --- steps

    def _cut(self, direction=0):
        """From when on a plan holds that is ordered now (and moves in `direction`, 0: as before). Until then the words
        on their way are right; those behind are taken back, now or as soon as the last of them has become a pulse."""
        self.feed()
        self._clock.update()  # to top them up took its time as well
        now_us = self._clock.now_us()
        for order in self.planner.orders:
            order.forget(now_us)
        if self._leave < 0:
            queued = self.steps.queued() if self._begun and direction != -self.direction else 0
            ahead = ticks_diff(self._last_tick, self._clock.tick)
            fast = ahead <= _SPLICE_US or not self._words or self.takeup
            if queued and fast and (ahead >= _LEAD_US or not self._dry):
                self._dry = False
                self._holds_us = self.planner.splice()
            elif queued and fast:
                self._begin_behind(0, ahead, now_us)
            elif queued > 2 or (queued == 2 and ahead - self._last_delay <= _LEAD_US):
                # A far word follows near ones, alone: see `_ahead`.
                self._begin_behind(1, ahead - self._last_delay, now_us)
            else:
                self._begin_anew(direction or self.direction, now_us)
        return self._holds_us

    def _begin_behind(self, left, near_us, now_us):
        """Take back the last `left` words when those before have become pulses, in `near_us`, and begin anew then."""
        self._leave = left
        self._dry = False
        self._near_tick = ticks_add(self._clock.tick, near_us)
        self._from_us = self._holds_us = now_us + near_us + _LEAD_US

    def _begin_anew(self, direction, now_us):
        """At rest, or when the next pulse is far: begin after the lead, with the take-up; the plan is behind that, one
        step of the take-up later, so that its first step cannot fall on the last one of the take-up."""
        self._halt(now_us)
        self.direction = direction
        self._set_takeup()
        self._from_us = max(now_us + _LEAD_US, self._holds_us)
        self._holds_us = self._from_us + (self.takeup + 1) * self._takeup_us if self.takeup else self._from_us
        self.planner.rebase(self._holds_us, 0)

    def _go(self, t_us):
        """The orders have been changed: from t_us on that is the plan."""
        self.changed = True
        self.feed()
        return t_us

    def _halt(self, t_us):
        """Take back all words; books are exact afterwards, the plan starts at t_us."""
        undone = self.steps.halt()
        planned = min(undone, self._words)
        self.handed -= planned
        self._account(undone)
        self._set_takeup()
        self.planner.rebase(t_us, planned)
        self._begun = self._dry = False
        self._leave = self._from_us = -1
        self._debt_us = 0
        self._takeup_words = self._words = self._booked_words = 0

    def _set_takeup(self):
        self.takeup = self.slack if self.direction > 0 else max(0, self.backlash - self.slack)

    def _account(self, undone):
        """Book the words made so far into position counters."""
        done = self._takeup_words + self._words - undone
        made = done - self._booked_words
        if not made:  # -1: a machine that was frozen at an edge turns out not to have made it
            return
        if self._takeup_words:
            takeup = min(done, self._takeup_words) - min(self._booked_words, self._takeup_words)
            self.slack += -takeup if self.direction > 0 else takeup
        else:
            takeup = 0
        self._booked_words = done
        self.expected += self.direction * made
        made -= takeup
        self.net_steps += self.direction * made
        if self.move is None:
            self.dosed += made

    def account(self):
        """Bring `net_steps` and `expected` up to date. Allocates nothing."""
        if self._begun:
            self._account(self.steps.queued())

    def _in_flight(self):
        """Planned steps that are not made yet."""
        return min(self.steps.queued(), self._words) if self._begun else 0

    def settle(self, t_us):
        """Book all steps made so far to their orders."""
        self.account()
        self.planner.settle(t_us, self._in_flight())

    def feed(self):
        """Top up the words ahead; no other pulse may come: the guard lets more edges pass with each word, never before
        it, for planning the next may take longer than all pulses that a fixed number of edges would allow."""
        self._clock.update()  # what came before in this pass may have taken as long as all words ahead
        steps = self.steps
        queued = steps.queued()
        if self._leave >= 0:
            if queued > self._leave:
                return
            from_us = self._from_us
            self._halt(from_us)
            self._from_us = from_us
            queued = 0
        elif self._begun and queued == 0 and steps.starved():
            if not self._dry:
                self.late = True
            self.account()
            self._begun = False
        if self._dry or (not self._begun and self._from_us < 0):
            return
        planner = self.planner
        while True:
            period_us = planner.period_us
            room = self._ahead(queued) - queued
            if room > 0 and self.guard is not None:
                room = self.guard(room, self._takeup_words + self._words - self._booked_words)
                if room < 0:
                    self._dry = self.changed = True
            if room <= 0:
                return
            count = self._put_row(room) if period_us <= _ROW_PERIOD_US else 0
            if count:
                queued = steps.queued()  # a long row takes as long as many of its words, and these are made meanwhile
                steps.guard(queued)
                if count == room <= _ROW_LEFT:
                    return
                continue
            delay = self._next()
            if delay < 0:
                self._dry = True
                self.changed = True
                return
            if self._begun:
                if delay < WORD_MIN_US or self._debt_us:
                    delay = self._word(delay)
                if not steps.put(delay):
                    self.late = True
                self._last_tick = ticks_add(self._last_tick, delay)
            else:
                delay = self._begin(delay)
            self._last_delay = delay
            queued += 1
            steps.guard(queued)
            if room == 1 and planner.period_us == period_us:
                return

    def feed_steady(self):
        """The same in half the time for what is `steady` and slow, when the clock has just been updated: one word, and
        the books are up to date. False: it is not so simple."""
        if self._fifo > 1 or self.takeup or self._debt_us or not self._words or self.planner.period_us <= _RING_US:
            return False
        steps = self.steps
        if steps.queued() != 1:
            return False
        self._account(1)
        delay = self.planner.next_delay()
        self._words += 1
        self.handed += 1
        if not steps.put(delay):
            self.late = True
        self._last_tick = ticks_add(self._last_tick, delay)
        self._last_delay = delay
        steps.guard(2)
        return True

    def _put_row(self, room):
        """Queue at most `room` words of one fast interval at once. Returns how many, 0 when the next word has to be
        looked at by itself."""
        planner = self.planner
        if not self._begun or self.takeup or not self._words or self._debt_us:
            return 0
        period = planner.period_us
        if period < WORD_MIN_US:
            return 0
        ahead = ticks_diff(self._last_tick, self._clock.tick)
        count = planner.next_delays(self._row, min(room, _ROW_MAX, max(0, (_AHEAD_US - ahead) // period)))
        if count:
            if not self.steps.put_all(self._row, count):
                self.late = True
            self._words += count
            self.handed += count
            self._last_tick = ticks_add(self._last_tick, planner.row_us)
            self._last_delay = self._row[count - 1]
        return count

    def _begin(self, delay):
        """The first word: `delay` counts from the plan's beginning, the port counts from now."""
        clock = self._clock
        clock.update()
        self._last_tick = ticks_add(clock.tick, self._from_us + delay - clock.now_us())
        self._begun = True
        self._from_us = -1
        left = ticks_diff(self._last_tick, clock.update())
        if left < 1:
            self._debt_us = 1 - left
            self._last_tick = ticks_add(clock.tick, 1)
            left = 1
        self.steps.begin(self.direction, left)
        return left

    def _word(self, delay):
        """A following word: not shorter than the port takes; a little shorter while lost time is made up for."""
        word = max(delay, WORD_MIN_US)
        debt = self._debt_us + word - delay
        if debt:
            cut = min(debt, word >> _PAY_BACK, word - WORD_MIN_US)
            word -= cut
            debt -= cut
        self._debt_us = debt
        return word

    def _next(self):
        if self.takeup:
            self.takeup -= 1
            self._takeup_words += 1
            return self._takeup_us
        delay = self.planner.next_delay()
        if delay >= 0:
            self._words += 1
            self.handed += 1
            if self._words == 1 and self._takeup_words:
                delay += self._takeup_us  # see _begin_anew
        return delay

    def period_us(self):
        """Time between the steps that are being queued."""
        if self.takeup or (self._takeup_words and not self._words):  # the plan's first word needs time as well
            return self._takeup_us
        return self.planner.period_us

    def _ahead(self, queued):
        """Words that may be under way: the one being counted down, the FIFO and the ring."""
        period = self.period_us()
        if period > _RING_US and self._fifo == 1:  # slow, as nearly always
            far = queued > 1 and ticks_diff(self._last_tick, self._clock.tick) > _AHEAD_US
            return queued if far else 2
        period = max(1, period)
        fifo = 1
        if period <= _FIFO_US:
            fifo = min(_FIFO_MAX, _FIFO_US // period)
        # A FIFO grows at once, and shrinks when the words that needed it are gone.
        if fifo > self._fifo or (fifo < self._fifo and queued <= 1 + fifo):
            self._fifo = fifo
            self.steps.configure(fifo)
        if queued > 1 and ticks_diff(self._last_tick, self._clock.tick) > _AHEAD_US:
            return queued
        return 1 + fifo + min(_RING_MAX, _RING_US // period) if period <= _RING_US else 2

    def hungry(self):
        """Words should be topped up, if somebody is awake."""
        if self._leave >= 0 or not self._begun or self._dry:
            return True
        ahead = ticks_diff(self._last_tick, self._clock.tick)
        return ahead <= self._last_delay or ahead <= _RESERVE_US

    def next_feed_us(self):
        """Microseconds until it is worth waking up for that; WORD_MAX_US when it needs no date. Slow steps leave an
        eighth of the last word for it: until then a look at the sensors has mostly come by."""
        if self._leave >= 0:
            return ticks_diff(self._near_tick, self._clock.tick)
        if not self._begun or self._dry:
            return WORD_MAX_US
        ahead = ticks_diff(self._last_tick, self._clock.tick)
        return ahead - max(self._last_delay // 8, min(_RESERVE_US, ahead * 7 // 8))

    def motion_ahead_us(self):
        """For how long the CPU may be gone: time covered by queued words, or WORD_MAX_US when no step is due."""
        if self._leave >= 0:
            return max(0, ticks_diff(self._near_tick, self._clock.tick)) + _LEAD_US // 4
        if not self._begun or self._dry:
            return WORD_MAX_US
        return max(0, ticks_diff(self._last_tick, self._clock.tick))

    def wake_us(self):
        """Uptime at which the plan goes on after a gap without steps, -1 for never."""
        if self._begun and not self._dry:
            return -1
        return self.planner.next_us() if self.planner.orders else -1

    def next_end_us(self):
        """Uptime of the next end of an order, -1 for none."""
        ends = [order.end_us for order in self.planner.orders if order.end_us >= 0]
        return min(ends) if ends else -1

    def ended(self, t_us):
        """Orders whose plan is complete at t_us."""
        return [order for order in self.planner.orders if 0 <= order.end_us <= t_us]


def new_order(number, source, volume_nl=0, rate=0):
    return Order(number, source, profiles.quanta(volume_nl), rate)


def seconds_left(order, t_us):
    """Whole seconds until the order is complete, rounded up; -1: endless or held."""
    return -1 if order.end_us < 0 else max(0, div_up(order.end_us - t_us, US_PER_S))


def end_rate(flow, end_us):
    """nL/day at which a profile reaches its end."""
    _, num, den, _, _ = flow.at(end_us - 1)
    return div_near(num, den)
