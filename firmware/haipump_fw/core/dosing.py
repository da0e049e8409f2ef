"""The planner: which microstep is due when, exact over the sum of all orders.

Owns: the balance between what the orders plan and what the motor was told to step, and which order each step belongs
to. Must not: touch ports or read a clock; times come in as microseconds of uptime (`t_us`, may be big integers).

A step is due when the planned volume of all orders passes half a step more than what has been stepped, so planned and
stepped never differ by more than half a step plus 1 us of flow. At an *anchor* (start, change, end of a piece) the time
of the next step and the interval are worked out once, exactly, with big integers; from there each step is one
small-integer add and compare: interval = `_whole` us + `_part` / 2**29 us. The part is cut below 2**-29 us, and an
anchor holds for at most ANCHOR_STEPS_MAX steps, so steps leave the exact schedule by less than 0.002 us.
Rounding: a step is placed at its exact time rounded to the nearest microsecond.
"""

from haipump_fw.const import const
from haipump_fw.core.units import QUANTA_PER_FL, QUANTA_PER_NL, div_near, div_up

_ONE = const(1 << 29)
_HALF = const(1 << 28)
ANCHOR_STEPS_MAX = const(1 << 20)
PIECES_MAX = const(10_000)  # pieces that one anchor may skip (a programme of pauses); never reached in practice
# A step further away than this is not queued yet: two words are less than half a turn of the tick counter.
WORD_MAX_US = const(250_000_000)


class Order:
    """One order as it is delivered: its profiles on the time line, and the steps booked to it.

    `number` is the id of the commit, `source` an index into `messages.SOURCES`, `volume_q` its whole volume in quanta
    (0: endless), `rate` the ordered rate in nL/day (0: the volume has a time instead), `fastest` the highest rate of
    first profile. `settled_q` is what earlier, replaced profiles of this order planned.

    A change is made some milliseconds before it holds: steps up to then are on their way already. Volumes are told for
    any moment, before a change by what held then; `flow`, `elapsed_us` and `end_us` are of the newest plan.
    """

    def __init__(self, number, source, volume_q=0, rate=0):
        self.number = number
        self.source = source
        self.volume_q = volume_q
        self.rate = rate
        self.fastest = 0
        self.top = 0  # highest rate in nL/day that it may reach, for the sum of all orders
        self.coasting = False  # held, but the motor still has to slow down
        self.coast_limits = None  # ... within these
        self.cancelled = False  # slows down and is over then
        self.leaving = False  # ended by an order, at `end_us`
        self.result = 0  # of an order that is ended by another: index into `messages.RESULTS`
        self.settled_q = 0
        self.booked = 0
        self.unseen_from = 0  # steps that the shaft had not shown when it began
        self.begun_us = 0
        self.end_us = -1  # uptime at which everything is planned, -1: endless or held
        self.profiles = ()
        self.start_us = 0
        self.held_us = -1  # elapsed time at which the order is held; -1: it runs
        self._past = []  # (until_us, settled_q, profiles, start_us, held_us): what held before each change, in order

    def _keep(self, t_us):
        """Before a change that holds from t_us on: what held until then can still be asked for."""
        past = self._past
        if past and past[-1][0] > t_us:
            past.clear()  # stopped before a change held: it never will
        elif not past or past[-1][0] < t_us:
            past.append((t_us, self.settled_q, self.profiles, self.start_us, self.held_us))

    def forget(self, t_us):
        """Nobody will ask any more for what was planned before t_us."""
        self._past = [was for was in self._past if was[0] > t_us]

    def start(self, t_us, *profiles):
        """Run these profiles from t_us on; what was planned until then stays."""
        self.fold(t_us)
        self.profiles = profiles
        self.start_us = t_us
        self.held_us = -1
        self.fastest = self.fastest or self.pace()
        self._set_end()

    def pace(self):
        """Highest rate of an order that can slow down and speed up again; 0 for a ramp or a programme, whose flow is
        not told by volume and rate alone (they run no faster than the motor starts and stops at once)."""
        return self.profiles[0].top() if len(self.profiles) == 1 else 0

    def _set_end(self):
        total_us = max([p.total_us if p.total_us >= 0 else 1 << 62 for p in self.profiles])
        self.end_us = self.start_us + total_us if total_us < 1 << 62 else -1

    def elapsed_us(self, t_us):
        if self.held_us >= 0:
            return self.held_us
        return t_us - self.start_us if t_us > self.start_us else 0

    def hold(self, t_us):
        """Freeze the plan at t_us."""
        self._keep(t_us)
        self.held_us = self.elapsed_us(t_us)
        self.end_us = -1

    def release(self, t_us):
        """Go on from where it was held, at t_us."""
        self._keep(t_us)
        self.start_us = t_us - self.held_us
        self.held_us = -1
        self._set_end()

    def leave(self, t_us):
        """Over at t_us, whatever was to come."""
        self.fold(t_us)
        self.end_us = t_us
        self.leaving = True

    def fold(self, t_us):
        """Close the profiles: what they planned until t_us becomes settled. Returns that sum."""
        planned = self.planned_q(t_us)
        self._keep(t_us)
        self.settled_q = planned
        self.profiles = ()
        return planned

    def planned_q(self, t_us):
        """Planned so far, rounded down to the quantum."""
        total, profiles, start_us, held_us = self.settled_q, self.profiles, self.start_us, self.held_us
        for was in self._past:
            if t_us < was[0]:
                _, total, profiles, start_us, held_us = was
                break
        elapsed = held_us if held_us >= 0 else max(0, t_us - start_us)
        for profile in profiles:
            whole, num, den, run, _ = profile.at(elapsed)
            total += whole + num * run // den
        return total

    def rate_nl_per_day(self, t_us):
        """Planned rate, rounded to the nearest nL/day; 0 while held."""
        num, den = self.flow(t_us)
        return div_near(num, den)

    def flow(self, t_us):
        """Planned rate as (num, den) in quanta/us, exact; 0 while held."""
        total_num, total_den = 0, 1
        if self.held_us < 0:
            for profile in self.profiles:
                _, num, den, _, _ = profile.at(self.elapsed_us(t_us))
                total_num = total_num * den + num * total_den
                total_den *= den
        return total_num, total_den


class Planner:
    """Steps for a set of orders. `step_q` is the volume of a step in quanta, `left` how many steps need no anchor
    (which takes memory)."""

    def __init__(self, step_fl):
        self.orders = []
        self.carry_q = 0  # planned and not stepped by orders that have ended: at most about half a step
        self.set_step(step_fl)
        self.queued = 0  # steps handed out since the last settlement
        self.anchors = 0  # worked out so far: each takes some memory
        self.row_us = 0  # from the step before the last row to its last one
        self._in_flight = 0  # of these, not yet made at the last settlement
        self._balance_q = 0  # settled volume of ended orders less all steps handed out, see _owed
        self._forget(0)

    def set_step(self, step_fl):
        """A new calibration: the carried fraction is given up."""
        self.step_fl = step_fl
        self.step_q = step_fl * QUANTA_PER_FL
        self.carry_q = 0
        self._balance_q = 0

    def restore(self, carry_q):
        """Take over the fraction that an earlier run carried, before any order."""
        self.carry_q = self._balance_q = carry_q

    def park(self):
        """Before an order that is not dose: what doses carry is put aside. Returns it for `restore`."""
        parked = self.carry_q
        self.restore(0)
        return parked

    # --- the schedule

    def _forget(self, t_us):
        """No anchor: the next step is worked out from t_us."""
        self.left = 0
        self._made = 0
        self._anchor_us = t_us
        self._last_us = t_us  # moment of the last step handed out, or where the schedule begins
        self._plan_us = t_us  # from when on the orders hold as they are
        self._first = self._whole = self._part = self._acc = 0
        self.period_us = WORD_MAX_US

    def _owed(self, t_us):
        """Planned and not yet stepped at t_us, as (num, den), and the total rate (num, den), and when it ends. All
        changes hold by then."""
        num, den = self._balance_q, 1
        rate_num, rate_den = 0, 1
        end = -1
        for order in self.orders:
            num += order.settled_q * den
            elapsed = order.elapsed_us(t_us)
            for profile in order.profiles:
                whole, n, d, run, stop = profile.at(elapsed)
                num = (num + whole * den) * d + n * run * den
                den *= d
                if order.held_us < 0:
                    if n:
                        rate_num = rate_num * d + n * rate_den
                        rate_den *= d
                    if stop >= 0 and (end < 0 or order.start_us + stop < end):
                        end = order.start_us + stop
        return num, den, rate_num, rate_den, end

    def _anchor(self):
        """Work out first delay, interval and how many steps they hold for. False when no step is due in WORD_MAX_US."""
        self.anchors += 1
        t_us = max(self._fold_steps(), self._plan_us)
        for _ in range(PIECES_MAX):
            num, den, rate_num, rate_den, end = self._owed(t_us)
            if rate_num:
                wait_num = max(0, (self.step_q * den - 2 * num) * rate_den)
                wait_den = 2 * den * rate_num
                if end < 0 or wait_num <= (end - t_us) * wait_den:
                    return self._set_anchor(t_us, wait_num, wait_den, rate_num, rate_den, end)
            if end < 0 or end - self._last_us > WORD_MAX_US:
                return False
            t_us = end
        return False

    def _set_anchor(self, t_us, wait_num, wait_den, rate_num, rate_den, end):
        first = wait_num // wait_den
        if t_us + first - self._last_us > WORD_MAX_US:
            return False
        acc = (wait_num % wait_den) * _ONE // wait_den + _HALF
        step_num = self.step_q * rate_den
        self._whole = step_num // rate_num
        self._part = (step_num % rate_num) * _ONE // rate_num
        left = ANCHOR_STEPS_MAX if self._whole < WORD_MAX_US else 1  # the step after it may be too far for a word
        if end >= 0:
            span = (end - t_us) * wait_den - wait_num
            left = min(left, span * rate_num // (wait_den * step_num) + 1)
        if acc >= _ONE:
            acc -= _ONE
            first += 1
        self._anchor_us = t_us
        self._first = first
        self._acc = self._acc0 = acc
        self.left = left
        self.period_us = min(self._whole, WORD_MAX_US)
        return True

    def _fold_steps(self):
        """Move the steps handed out since the anchor into the balance. Returns the moment of the last one."""
        made = self._made
        if made:
            self._last_us = self._moment(made)
            self._balance_q -= made * self.step_q
            self._made = 0
        self.left = 0
        return self._last_us

    def _moment(self, made):
        """When the made-th step of this anchor is."""
        return self._anchor_us + self._first + (made - 1) * self._whole + ((self._acc0 + (made - 1) * self._part) >> 29)

    def next_delay(self):
        """Microseconds from the last step (or from `rebase`) to the next one, handed out now; -1 when none is due soon.

        Allocates nothing but at anchors.
        """
        if self.left == 0:
            last = self._fold_steps()
            if not self._anchor():
                return -1
            delay = self._anchor_us + self._first - last
        else:
            acc = self._acc + self._part
            delay = self._whole
            if acc >= _ONE:
                acc -= _ONE
                delay += 1
            self._acc = acc
        self.left -= 1
        self._made += 1
        self.queued += 1
        return delay

    def next_delays(self, words, count):
        """The same for up to `count` steps of the interval that runs, into `words`. Returns how many, 0 when the next
        one needs `next_delay`; `row_us` is their sum. Allocates nothing, and takes a quarter of the time."""
        count = min(count, self.left)
        acc, part, whole = self._acc, self._part, self._whole
        total = count * whole
        for at in range(count):
            acc += part
            if acc >= _ONE:
                acc -= _ONE
                total += 1
                words[at] = whole + 1
            else:
                words[at] = whole
        self._acc = acc
        self.left -= count
        self._made += count
        self.queued += count
        self.row_us = total
        return count

    def splice(self):
        """The steps handed out stay, changes hold behind the last of them (or the last `rebase`). Returns from when: a
        microsecond later, for a step may be early by half of one, and a slower plan would not make up for it."""
        self._plan_us = self._fold_steps() + 1
        return self._plan_us

    def rebase(self, t_us, undone):
        """The motor was halted at t_us with `undone` of the handed-out steps not made; plan anew from here."""
        self._fold_steps()
        self._balance_q += undone * self.step_q
        self.queued -= undone
        self._forget(t_us)

    def next_us(self):
        """Moment of the next step without handing it out, or of the next change of plan; -1 when there is none."""
        return self._next()[0]

    def step_comes(self):
        """True when there is a step before the next change of plan."""
        self._fold_steps()
        return self._next()[1]

    def _next(self):
        t_us = max(self._last_us, self._plan_us)
        num, den, rate_num, rate_den, end = self._owed(t_us)
        if rate_num:
            wait = div_up(max(0, (self.step_q * den - 2 * num) * rate_den), 2 * den * rate_num)
            if end < 0 or t_us + wait <= end:
                return t_us + wait, True
        return end, False

    # --- orders

    def add(self, order):
        self.orders.append(order)

    def end(self, order, t_us, in_flight):
        """Take an order out at t_us: its steps are settled to within one microstep, the fraction is carried on."""
        self.settle(t_us, in_flight)
        self.orders.remove(order)
        planned = order.fold(t_us)
        self._balance_q += planned
        rest = planned - order.booked * self.step_q
        if self.orders:
            # Give to, or take from, the others so many steps that what is carried stays within half a step; after a
            # fault there may be fewer than that.
            moved = (2 * (self.carry_q + rest) + self.step_q) // (2 * self.step_q)
            moved = max(-order.booked, min(moved, sum([other.booked for other in self.orders])))
            order.booked += moved
            rest -= moved * self.step_q
            self.carry_q += rest
            self._share(t_us, -moved)
        else:
            self.carry_q += rest
            if abs(self.carry_q) > self.step_q:
                # Steps that a fault kept from being made: they are not made up for by the next order.
                self._balance_q -= self.carry_q
                self.carry_q = 0

    def settle(self, t_us, in_flight):
        """Book the steps made since the last settlement to those orders that are owed most; `in_flight` steps are
        handed out but not made yet."""
        made = self._in_flight + self.queued - in_flight
        self._in_flight = in_flight
        self.queued = 0
        if self.orders:  # without one no step is made
            self._share(t_us, made)

    def _share(self, t_us, steps):
        """Book `steps` so that all running orders are owed alike, to within a step, and none has less than nothing: a
        motor that starved, or is read a moment later than the plan, makes other steps than are planned."""
        step_q = self.step_q
        owed = [order.planned_q(t_us) - order.booked * step_q for order in self.orders]
        count = len(owed)
        level = (sum(owed) - steps * step_q) // count
        for i in range(count):
            part = max((2 * (owed[i] - level) + step_q) // (2 * step_q), -self.orders[i].booked)
            self.orders[i].booked += part
            owed[i] -= part * step_q
            steps -= part
        while steps:
            sign = 1 if steps > 0 else -1
            best = -1
            for i in range(count):
                if (sign > 0 or self.orders[i].booked) and (best < 0 or sign * owed[i] > sign * owed[best]):
                    best = i
            self.orders[best].booked += sign
            owed[best] -= sign * step_q
            steps -= sign

    def planned_nl(self, order, t_us):
        """Planned volume so far in nanolitres, rounded down."""
        return order.planned_q(t_us) // QUANTA_PER_NL
