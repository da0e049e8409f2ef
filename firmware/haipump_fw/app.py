"""The application: takes ports, builds everything, and owns the loop.

Owns: the order in which things happen in one pass, what a state change and an alarm do to the rig, and the record of
both. Must not: import hardware names, parse lines (`proto`), carry them out (`commands`), or compute doses (`core`).

One pass of the loop is `step()`; it never waits. `run()` is what the board calls.
"""

from haipump_fw import ports as contract
from haipump_fw.commands import Commands
from haipump_fw.const import const
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core import profiles
from haipump_fw.core.alarms import Alarms
from haipump_fw.core.clock import Deadline, Uptime, ticks_add, ticks_diff
from haipump_fw.core.ledger import COMMIT_EARLY_NL, COMMIT_EARLY_S, Ledger
from haipump_fw.core.machine import Machine
from haipump_fw.core.occlusion import Occlusion
from haipump_fw.core.options import DOSE_LIMITS
from haipump_fw.core.states import DELIVERING, RUNNING, STATES
from haipump_fw.core.supervision import Supervision
from haipump_fw.core.units import FL_PER_NL, US_PER_S
from haipump_fw.delivery import (
    BACKOFF,
    BOLUS,
    DOSE,
    EXTENDED,
    HOME,
    KVO,
    PRIME,
    PROGRAMME,
    WITHDRAW,
    Delivery,
    new_order,
)
from haipump_fw.forecast import Forecast
from haipump_fw.panel import OperatorPanel
from haipump_fw.proto.messages import PROTOCOL_VERSION, RESULTS, SOURCES, TASKS, WHYS
from haipump_fw.storage import Storage, digest_works, window_of

SLEEP_MAX_US = const(7_500_000)  # for the watchdog; what may come on top (an erase, a collection) is below a second
TICK_MAX_US = const(15_000_000)  # supervision at rest and in slow basal: about once a step at 1.3 mL/day
PACE_WORDS = const(4)  # once in so many words it is asked whether there are too many of them
COUNT_US = const(1_000_000)  # steps that come sooner are counted in each pass, others with each look at the sensors
OVERDUE_US = const(1_000_000)  # supervision that is later than this does not come any more
TICK_MIN_US = const(20_000)
TICK_STEPS = const(64)  # supervision comes at least once in so many steps
RELIEF_STEPS = const(10)  # ... of a back-off, which ends at a pressure
REFILL_MAX_S = const(3_600)  # nobody does anything for so long: the refill is over
REFUSED_EVERY_S = const(600)  # forged lines come into the journal once in so long: nobody may flood it with them
PULSE_MIN_US = const(50_000)  # one beat of a signal: enough for a page of the flash, not for an erase
SLOW_CHECK_S = const(60)  # supply, temperature, processor
CODE_EVERY_S = const(21_600)  # some files of the application; four times so long, and all have been read again
CODE_FIRST_S = const(900)
CODE_WINDOW_US = const(500_000)  # the motion goes on by itself for so long: several times what these files take
HEAR_BYTES = const(256)  # a stop among them is found before the lines ahead of it are looked at
HEAR_MAX = const(2)  # reads of HEAR_BYTES in one pass
SPEAK_BYTES_MAX = const(64)  # bytes written in one pass
SPEAK_RETRY_US = const(10_000)  # the host does not read: look again
WAKE_EARLY_US = const(100_000_000)
# The words of steps that are closer than this cover a collection of memory, but not one in the middle of other work. So
# it is had while all of them are queued, before there is need. How much is taken is estimated, for to ask takes 8 ms:
# the figures are the most that was measured on the chip, but for orders that a fast motor does not get in a row.
FAST_US = const(2_000)
TAKEN_MAX_BYTES = const(60_000)
TAKEN_PER_BYTE = const(36)  # of a read full of empty lines
TAKEN_PER_LINE = const(6_500)
TAKEN_PER_CODE = const(5_800)  # that a signed line is held against
TAKEN_PER_EVENT = const(2_500)
TAKEN_PER_COMMIT = const(3_000)
TAKEN_PER_CHECK = const(750)
TAKEN_PER_MODULE = const(12_000)
ROOM_BYTES = const(30_000)  # what loading the largest module takes in passing
TAKEN_PER_ANCHOR = const(1_600)  # a motor that speeds up to 2,000 steps/s has dozens of them
COUNTS_MAX = const(3)
SHAFTS_MAX = const(8)  # readings of the shaft that must all say the same before it is believed
# Below these there is an alarm, until it is so much better; a Pico at a good USB port has 4.6 V and more.
SUPPLY_LOW_MV = const(4_450)
SUPPLY_FAILING_MV = const(4_300)
SUPPLY_BETTER_MV = const(100)
HOT_MC = const(55_000)
COOL_MC = const(50_000)
STUCK_S = const(60)  # no finger holds a button for so long
BUTTONS = contract.IN_START | contract.IN_STOP | contract.IN_SILENCE
MOTION_ENDS = contract.IN_FRONT | contract.IN_BACK | contract.IN_DIAG
PENDING_S = const(15)  # an order that waits so long for its commit is told
LINK_LOOK_S = const(2)  # while the host's silence lasts: is it still there?
ERRORS_MAX = const(20)  # refused lines between two slow checks; one that was forged counts for four
FLOOR_US = const(78_545)  # of 86,400: steps may come 10 % sooner than the highest rates of the orders say
FINISHED_MAX = const(8)  # ended orders that can still be asked for
FIRMWARE_VERSION = "0.1.0"

# The running task (TASKS), as kept in a register that a reset leaves alone.
_START = const(1)
_HEAR = const(2)
_INPUTS = const(3)
_STEPS = const(4)
_PLAN = const(5)
_SENSORS = const(6)
_ALARMS = const(7)
_PANEL = const(8)
_FLASH = const(9)
_SPEAK = const(10)
_TELEMETRY = const(11)
_SLEEP = const(12)
_MEMORY = const(13)

_COMPLETE = RESULTS.index("complete")
_STOPPED = RESULTS.index("stopped")
_REPLACED = RESULTS.index("replaced")
_ALARM = RESULTS.index("alarm")


class Finished:
    """What is remembered of an ended order."""

    def __init__(self, order, result, planned_nl, commanded_nl, stepped_nl, confirmed_nl, elapsed_s):
        self.number = order.number
        self.source = order.source
        self.result = result
        self.planned_nl = planned_nl
        self.commanded_nl = commanded_nl
        self.stepped_nl = stepped_nl
        self.confirmed_nl = confirmed_nl
        self.elapsed_s = elapsed_s


class App:
    version = FIRMWARE_VERSION
    protocol = PROTOCOL_VERSION

    def __init__(self, ports):
        ports.motor.enable(False)
        self.ports = ports
        self.clock = Uptime(ports.clock.ticks_us)
        self.storage = Storage(ports.flash, self.clock)
        self.values = self.storage.settings.values
        self.ledger = Ledger(self.values["step_fl"])
        self.delivery = Delivery(ports.steps, ports.motor, self.values, self.clock)
        self.window_us = self.storage.window_us = window_of(self.delivery)
        self.supervision = Supervision(self.values)
        self.doses = None  # a DoseWatch, where there are limits
        self._watch_doses()
        self.occlusion = Occlusion(self.values)
        self.alarms = Alarms()
        self.machine = Machine(self)
        self.refill_begun = self.leave_for_service = False
        self.at_end = "stop"
        self.forecast = Forecast(self)
        self.syringe_known = True
        self.finished = []
        self.supply_mv = self.temperature_mc = self.inputs = 0
        self.reset_cause = ports.system.reset_cause()
        self.reset_task = 0  # what ran when a reset came that nobody had asked for
        if self.reset_cause in (contract.RESET_WATCHDOG, contract.RESET_FAULT):
            self.reset_task = min(ports.system.task(), len(TASKS) - 1)
        self._note_task = ports.system.note_task
        self._note_task(_START)
        self._missing_steps = 0  # dose steps that the shaft did not show, of motor runs that are over
        self._unseen_before = 0  # the same with handling's
        self._low_steps = self._empty_steps = self._commit_steps = 0
        self._commit_at_s = 0
        self._slow_at_s = 0
        self._init_watch()
        self._since_s = 0  # when the state changed
        self._due = Deadline()  # an order ends, or the plan goes on after a gap
        self._check_tick = self._calm_tick = self.clock.tick
        self._calm = False  # nothing is due until then
        self._period_us = 0  # between the steps that were queued last
        self._checked_period_us = 0  # ... when the next check was planned
        self.panel = OperatorPanel(self)
        self._muted = False
        self.woken = contract.WOKEN_HEARD  # why the pass comes
        self._storing = False  # the flash took something in this pass: what waits behind it comes in the next
        self._buf = bytearray(HEAR_BYTES)
        self._write = ports.console.write  # bound once: it is used in every pass
        self.telemetry_ms = 0
        self._telemetry_at = Deadline()
        commands = Commands(self)
        self._telemetry_pairs = commands.answers.telemetry
        self.was_serviced = self.recovering = False
        from haipump_fw import recovery  # needed once

        self.session = recovery.session(self, commands)
        recovery.power_on(self, *recovery.restore(self))
        recovery.forget_start(self)
        ports.system.forget(recovery)
        self._taken = TAKEN_MAX_BYTES + 1  # what starting left behind goes before the first order, or within a minute

    def _init_watch(self):
        """What the watch over memory and surroundings remembers."""
        self._held = False  # nothing may take memory ...
        self._quiet_until_s = 0  # ... up to this second at the latest
        self._taken = 0  # bytes of memory since the last collection, about
        self._fed = False  # in this pass, with the books brought up to date
        self._paced = 0  # words that had been handed out when it was last asked whether they are too many
        self._code_at_s = CODE_FIRST_S  # when the next files are read
        self.library_read = False  # and found to be what was sealed, with these settings
        self._sagging = False  # the reading before was below SUPPLY_FAILING_MV
        self._held_s = 0  # since when the buttons are as they are
        self._errors = 0
        self._host_gone_s = -1
        self._host_silence = False
        self._pending = False
        self._forged = self._forged_at_s = 0  # refused codes that are in the journal, and when there may be more

    # --- power-on

    def syringe_loaded(self):
        """A syringe of known size and volume is in the pump."""
        return self.syringe_known and self.values["syringe_nl"] > 0

    def self_test(self, whole):
        """Run the self test in state self_test, with the application's code or without. Returns (name, whether it is
        all right) of every part."""
        from haipump_fw import selftest  # at power-on, and when asked for

        self.ports.system.forget(selftest)
        parts = selftest.judge(self, whole)
        self._slow_check()
        return parts

    def library_sound(self):
        """The limits are those of the drug library that they were loaded from, or of none; looked at once after a start
        and after each change of settings. If they are not, the pump stops."""
        if self.values["library_seal"] and not self.library_read:
            self.loading()
            from haipump_fw import library

            self.ports.system.forget(library)
            self.keep_moving()
            if not library.sound(self):
                self.raise_alarm("self_test")
                self.fire("fail", "library")
                return False
        self.library_read = True
        return True

    # --- conditions of the state table

    def bolus_runs(self):
        return self.delivery.bolus is not None or self.delivery.extended is not None

    def basal_runs(self):
        return self.delivery.basal is not None and self.delivery.basal.source != KVO

    def kvo_runs(self):
        return self.delivery.basal is not None and self.delivery.basal.source == KVO

    def ends_in_kvo(self):
        return self.at_end == "kvo"

    def refilling(self):
        return self.refill_begun

    # --- the gate

    def fire(self, event, why):
        """Send an event through the state table and carry out what the new state means for the rig."""
        before = self.machine.fire(event)
        state = self.machine.state
        if before is None or before == state:
            return
        self._since_s = self.clock.s
        if before == "alarm" and state != "relieving":
            self.occlusion.resume_at = None
        if before == "paused":
            self.alarms.unset("paused_too_long")
        if state not in RUNNING and state != "paused":
            self._motor_off()
        self.panel.refresh()
        self._guard()
        cause = "alarm" if event in ("alarm_stop", "fail") else why
        cause = WHYS.index(cause) if cause in WHYS else 0
        self.storage.record("state", STATES.index(state), STATES.index(before), cause)
        self.session.event("state", [("state", state), ("was", before), ("why", why)])
        self.session.drop_token()
        self.commit()
        self.changed()

    def _guard(self):
        """Which inputs switch the motor off without waiting for the loop: those for which it would be stopped."""
        state = self.machine.state
        mask = 0
        if state in RUNNING or state == "paused":
            mask = contract.IN_STOP | contract.IN_DIAG
            if state != "moving":
                mask |= contract.IN_CAPTURED
            if state != "paused":
                mask |= contract.IN_FRONT if self.delivery.direction > 0 else contract.IN_BACK
        self.ports.inputs.guard(mask)

    def _motor_off(self):
        """Outputs safe. What was running has been ended by the caller, or is ended here as stopped."""
        self._close_books()
        self._stop_orders(_STOPPED)

    def _stop_orders(self, result):
        for order in self.delivery.stop(self.now_us()):
            self._close(order, order.result if order.leaving else result)

    def _close_books(self):
        """Before the motor goes off: steps that the shaft did not show are remembered."""
        self.look_at_shaft()
        self._unseen_before += self.unseen_steps()
        if self.delivery.move is None:
            self._missing_steps += self.unseen_steps()
        self.supervision.forget_shaft()
        for name in ("motor_stall", "step_count", "steps_late", "over_infusion", "under_infusion", "reverse_delivery"):
            self.alarms.unset(name)  # with the motor off there is nothing to compare: latched until acknowledged

    def look_at_shaft(self):
        """Books and encoder of the same moment, so that steps on their way are not taken for missing ones."""
        self.delivery.account()
        self.supervision.shaft(self.ports.sensors.encoder_raw(), self.delivery.expected)

    def unseen_steps(self):
        """Steps of this motor run that the shaft has not shown (noise included)."""
        return self.supervision.missing(self.delivery.expected)

    def now_us(self):
        self.clock.update()
        return self.clock.now_us()

    def motor_on(self):
        """Before the first step after a stop: references for shaft and odometer."""
        if not self.ports.motor.enabled():
            self.ports.motor.enable(True)
            expected, odometer = self.delivery.expected, self.ports.steps.odometer()
            self.supervision.reference(
                self.ports.sensors.encoder_raw(), expected, odometer, self.clock.tick, self.delivery.handed
            )

    # --- orders

    def begin(self, order, event, *new):
        """Start an order whose intent is on the flash."""
        self._collect()  # not while the motor speeds up, when plans take memory and time
        if not self.delivery.moving():
            self.occlusion.clear()
        self.motor_on()
        self.look_at_shaft()
        if self.doses is not None:
            self.doses.changed()
        order.unseen_from = self._unseen_before + self.unseen_steps()
        if order.source <= PROGRAMME and self.delivery.basal is not None:
            self.delivery.basal.result = _REPLACED
        self.delivery.start(order, *new)
        before = self.machine.state
        self.fire(event, SOURCES[order.source])
        if self.machine.state == before:
            self.commit()
            self.changed()

    def _end(self, order, result, t_us):
        self.look_at_shaft()
        self.delivery.finish(order, t_us)
        self._close(order, result)

    def _close(self, order, result):
        """An order is over and settled: ledger, journal, event, memory."""
        planned_nl = order.volume_q // profiles.QUANTA_PER_NL
        commanded_nl = order.settled_q // profiles.QUANTA_PER_NL
        stepped_nl = self.ledger.nl(order.booked)
        confirmed_nl = self.confirmed_of(order)
        elapsed_s = max(0, (self.clock.now_us() - order.begun_us) // US_PER_S)
        if order.source in DOSE:
            self.ledger.ended(order.settled_q, order.booked)
        else:
            self.supervision.forget_shaft()  # what the shaft did in handling says nothing about dose
            if order.source == PRIME:
                self.ledger.primed_nl += stepped_nl
            elif order.source == WITHDRAW:
                self.ledger.withdrawn_nl += stepped_nl
            elif order.source == BACKOFF:
                self._relief("close", order)
        volumes = planned_nl, commanded_nl, stepped_nl
        self.remember(order, result, *volumes, confirmed_nl, elapsed_s)
        self.storage.record("result", order.number, order.source, result, *volumes, stepped_nl - confirmed_nl)
        self.session.event(
            "done",
            [
                ("order", order.number),
                ("source", SOURCES[order.source]),
                ("result", RESULTS[result]),
                ("planned_nl", planned_nl),
                ("stepped_nl", stepped_nl),
                ("confirmed_nl", confirmed_nl),
            ],
        )

    def remember(self, *facts):
        """An ended order can be asked for, as long as it is among the last ones."""
        self.finished.append(Finished(*facts))
        del self.finished[:-FINISHED_MAX]

    def _finish(self):
        """Orders whose plan is complete, or has been left for another."""
        t_us = self.now_us()
        for order in self.delivery.ended(t_us):
            kvo = self.forecast.kvo_of(order)
            self._end(order, order.result or _COMPLETE, t_us)
            if order.leaving:
                continue  # what follows from that came with the order that ended it
            if order.source in (BOLUS, EXTENDED):
                self.fire("bolus_over", "complete")
            elif order.source in DOSE:
                self._infusion_over(kvo)
            elif order.source == HOME:
                self.raise_alarm("end_of_travel")  # it went the whole way, and there was no switch
                self.fire("motion_over", "no_switch")
                self.alarms.unset("end_of_travel")  # over with the move: latched until acknowledged
            elif order.source == BACKOFF:
                self._relieved("complete")
            else:
                self.fire("motion_over", "complete")
        self.changed()

    def _infusion_over(self, kvo):
        self.alarms.set("infusion_complete", self.clock.s)
        self.alarms.unset("infusion_complete")
        if kvo:
            order = new_order(0, KVO, 0, kvo)
            order.top = kvo
            self.delivery.start(order, profiles.rate(kvo, self.delivery.limits))
        else:
            self.at_end = "stop"
        self.fire("infusion_over", "complete")

    def stop(self, why):
        """The stop of host, button and `!`: motor off first, then the rest. Returns (order number, volume left)."""
        self.delivery.switch_off()
        number, left_nl = self.main_order()
        self._close_books()
        self._stop_orders(_STOPPED)
        self.fire("stop", why)
        self._clear_alarm()  # a stop in the middle of a back-off
        return number, left_nl

    def pause(self, why):
        self.machine.check("pause")
        self.delivery.pause()
        self.fire("pause", why)
        self.changed()

    def resume(self, why):
        self.machine.check("resume")
        self.motor_on()
        self.delivery.resume()
        self.fire("resume", why)
        self.changed()

    def cancel_bolus(self, why):
        """End the immediate bolus, or else the extended one; a fast one slows down first, and is over then."""
        self.machine.check("cancel_bolus")
        order = self.delivery.bolus or self.delivery.extended
        order.result = _STOPPED
        self.delivery.cancel(order)
        if order.leaving:
            self.fire("cancel_bolus", why)
        self.changed()

    def main_order(self):
        """(number, volume left in nL) of the order that a person would name: bolus, then extended, then the rest."""
        delivery = self.delivery
        order = delivery.bolus or delivery.extended or delivery.move or delivery.basal
        return (order.number, self.left_nl(order)) if order is not None else (0, 0)

    def left_nl(self, order):
        """Volume of an order still to come, 0 for an endless one or none."""
        if order is None or not order.volume_q:
            return 0
        return max(0, (order.volume_q - order.planned_q(self.clock.now_us())) // profiles.QUANTA_PER_NL)

    def unseen_total(self):
        return self._missing_steps + (0 if self.delivery.move is not None else self.unseen_steps())

    def forget_unseen(self):
        """A new syringe: its totals start anew, those of the pump's life go on."""
        self.ledger.lost_steps += self.unseen_total()
        self._missing_steps = 0

    # --- what follows from a change

    def refresh(self):
        """Settings have changed: everybody takes them over."""
        self.values = self.storage.settings.values
        self.supervision.configure(self.values)
        self._watch_doses()
        self.occlusion.configure(self.values)
        if not self.delivery.moving():
            self.delivery.configure(self.values)
        self._slow_at_s = self.clock.s
        self.changed()

    def changed(self):
        """Ends and limits by volume are worked out again after every change, the time to empty when it is asked for."""
        delivery = self.delivery
        delivery.changed = False
        self.supervision.pace(self.clock.tick, delivery.handed)
        top = sum([order.top for order in delivery.planner.orders])
        self.supervision.floor_us = FLOOR_US * self.values["step_fl"] // top if top else 0
        now_us = self.clock.now_us()
        end = delivery.next_end_us()
        wake = delivery.wake_us()
        if wake >= 0:
            early = wake - WAKE_EARLY_US
            wake = early if early > now_us else max(wake, now_us + US_PER_S)
        due = wake if end < 0 or 0 <= wake < end else end
        if due < 0:
            self._due.clear()
        else:
            self._due.set(due)
        self._low_steps = self.ledger.steps_until(self.values["reservoir_low_nl"])
        self._empty_steps = self.ledger.steps_until(self.values["reservoir_empty_nl"])
        self.forecast.forget()
        self._check_tick = self.clock.tick
        if self.doses is not None:
            self.doses.changed()

    def _watch_doses(self):
        """Take over the dose limits. Without any the code for them is not even loaded."""
        if self.doses is not None:
            self.doses.window.configure(self.values)
        elif any([self.values[name] for name in DOSE_LIMITS]):
            from haipump_fw.dosewatch import DoseWatch

            self.doses = DoseWatch(self)

    def reservoir_nl(self):
        """Volume in the syringe, never more than fits."""
        self.delivery.account()
        return min(self.values["syringe_nl"], self.ledger.reservoir_nl(self.delivery.net_steps))

    def running_dose(self):
        """(planned quanta, booked steps) of the dose orders that run, settled now; the shaft is looked at too."""
        self.look_at_shaft()
        delivery = self.delivery
        now_us = self.clock.now_us()
        delivery.settle(now_us)
        orders = [order for order in delivery.planner.orders if order.source in DOSE]
        return sum([order.planned_q(now_us) for order in orders]), sum([order.booked for order in orders])

    def confirmed_nl(self, booked):
        """Stepped volume less what the shaft did not show."""
        return self.ledger.confirmed_nl(booked - self.unseen_total())

    def confirmed_of(self, order):
        """The same of one order, in nL. The shaft can't tell whose step was lost: each order that ran then bears it."""
        unseen = self.delivery.direction * (self._unseen_before + self.unseen_steps() - order.unseen_from)
        return max(0, self.ledger.nl(order.booked - unseen))

    def commit(self):
        """Write totals to the journal: at state changes, every 100 uL, every 10 minutes."""
        self._let_go()
        self._taken += TAKEN_PER_COMMIT
        _, booked = self.running_dose()
        ledger = self.ledger
        net_steps = self.delivery.net_steps
        basal = self.delivery.basal
        if self.machine.state not in RUNNING:
            self.storage.record(
                "carry",
                self.delivery.planner.carry_q,
                ledger.primed_nl,
                ledger.withdrawn_nl,
                ledger.orders,
                ledger.lost_steps + self.unseen_total(),
                self.delivery.slack,
                ledger.off_nl(),
                ledger.life_unsure_nl,
            )
        self.storage.record(
            "commit",
            self.machine.index(),
            0 if basal is None else basal.source,
            ledger.stepped_nl(booked),
            ledger.life_total_nl(booked),
            self.confirmed_nl(booked),
            self.supervision.pressure_pa(),
            min(self.supply_mv, 0xFFFF),
            ledger.reservoir_nl(net_steps),
            ledger.unsure_nl,
        )
        self._commit_at_s = self.clock.s + COMMIT_EARLY_S
        self._commit_steps = net_steps + COMMIT_EARLY_NL * FL_PER_NL // ledger.step_fl

    # --- one pass

    def step(self):
        """One pass of the loop. Returns the microseconds until the next one is due at the latest."""
        now = self.clock.update()
        # In the middle of a sleep that the watchdog has cut in two nothing has something to do.
        sleep_us = ticks_diff(self._calm_tick, now) if self._calm and not self.woken else 0
        if sleep_us <= 0:
            sleep_us = self._work(now)
            self._note_task(_SLEEP)
        # Here every task has come to its end or had nothing to do, and supervision, which not every pass calls, is
        # neither overdue nor put off.
        if -OVERDUE_US < ticks_diff(self._check_tick, now) <= TICK_MAX_US:
            self.ports.watchdog.feed()
        return sleep_us if sleep_us < SLEEP_MAX_US else SLEEP_MAX_US

    def _work(self, now):
        """All tasks but sleep. Returns the microseconds until one of them has something to do."""
        note = self._note_task  # where it hangs, if it hangs
        full = False
        if self.woken:
            self._let_go()
            if self.woken & contract.WOKEN_HEARD:
                note(_HEAR)
                full = self._hear()
        note(_INPUTS)
        self._look_at_inputs()
        if self._held:  # all else that ends a quiet time begins with letting go
            if self.clock.s >= self._quiet_until_s or not self.delivery.steady():
                self._let_go()
        elif self._quiet(now):
            self._held = True
            self.ports.system.hold(True)
        self._calm = False
        note(_STEPS)
        self._move(now)
        if not self._held:
            note(_PLAN)
            if self._due.passed(self.clock):
                self._on_due()
        if ticks_diff(self._check_tick, now) <= 0:
            note(_SENSORS)
            self._supervise(now)
        if self._held:
            return self._sleep_us(False)
        if self.alarms.changed:
            note(_ALARMS)
            self._tell_alarms()
        if self.panel.waiting(now):
            note(_PANEL)
            self.panel.signal(now)
        self._storing = False
        if self.storage.busy:
            note(_FLASH)
            self._store()
        busy = not self.session.idle()
        if busy and not full:
            note(_SPEAK)
            self._talk()
            busy = not self.session.idle()
        if self.session.token is not None or self._pending:
            self._remind()
        if self.telemetry_ms and self._telemetry_at.passed(self.clock):
            note(_TELEMETRY)
            self._telemetry_at.after(self.clock, self.telemetry_ms)
            self._taken += TAKEN_PER_EVENT
            self.session.event("tele", self._telemetry_pairs())
            busy = True
        if self.leave_for_service:
            self._leave_for_service()
        return 0 if full or self._storing else self._sleep_us(busy)

    def _talk(self):
        if self.session.work():
            self._taken += TAKEN_PER_LINE
            if self.session.locked:
                self._taken += TAKEN_PER_CODE
            self.keep_moving()
        self._speak()
        self.keep_moving()

    def _quiet(self, now):
        """Steps and sensors are due in this pass, if anything, and nothing that takes memory. Nearly all passes are
        so. With the heap held they take half the time: what a function needs then lies on the stack, and nobody looks
        for room in a long heap at each call."""
        if (
            self.woken
            or self.alarms.standing
            or self.alarms.changed
            or self.storage.busy
            or self.session.token is not None
            or self._pending
            or self.leave_for_service
            or self.doses is not None
            or self.panel.waiting(now)
            or not self.delivery.steady()
            or not self.session.idle()
        ):
            return False
        left_us = min(self._due.left_us(self.clock), self._telemetry_at.left_us(self.clock))
        self._quiet_until_s = self.clock.s + left_us // US_PER_S
        return self._quiet_until_s > self.clock.s

    def _let_go(self):
        """What follows may take memory. Whatever a quiet pass meets that is none any more begins with this."""
        if self._held:
            self._held = False
            self.ports.system.hold(False)

    def _remind(self):
        """An order waits for its commit; what nobody committed is told until it has expired."""
        self._pending = self.session.pending_s() >= PENDING_S
        if self._pending:
            self.alarms.set("input_pending", self.clock.s)
        else:
            self.alarms.unset("input_pending")

    def _move(self, now):
        """Words for the step machine; and while it is fast its pulses are counted in each pass."""
        delivery = self.delivery
        if delivery.moving():
            self._fed = False
            if delivery.hungry():
                self._fed = self._held and delivery.feed_steady()
                if not self._fed:
                    delivery.feed()
            if not 0 <= delivery.handed - self._paced < PACE_WORDS:
                self._check_pace()
            period_us = self._period_us = delivery.period_us()
            if period_us < self._checked_period_us:  # faster now: look sooner
                self._check_tick = now
            if period_us < FAST_US:
                if self._taken + delivery.planner.anchors * TAKEN_PER_ANCHOR > TAKEN_MAX_BYTES:
                    self._note_task(_MEMORY)
                    self.keep_moving()
                    self._collect()
                    self.keep_moving()
                    self._note_task(_STEPS)
            if period_us < COUNT_US:
                delivery.account()
                self._count()
        if delivery.late or delivery.changed:
            self._let_go()
        if delivery.late:
            delivery.late = False
            if self.doses is None or not self.doses.hold():
                self.raise_alarm("steps_late")
        if delivery.changed:
            self.changed()

    def _check_pace(self):
        self._paced = self.delivery.handed
        if self.supervision.pace(self.clock.tick, self.delivery.handed):
            self.raise_alarm("over_infusion")

    def keep_moving(self):
        """Between two things that take their time."""
        if self.delivery.moving():
            self.clock.update()
            if self.delivery.hungry():
                self.delivery.feed()

    def loading(self):
        """A module will be loaded, and is left to a later collection. Either may take as long as the motor can be left
        alone, so no collection is due in the middle of it."""
        self.keep_moving()
        self._taken += TAKEN_PER_MODULE
        # Where steps are faster `_move` sees to it, with what was taken as it reckons: to count it takes 9 ms.
        if self.delivery.moving() and self._period_us >= FAST_US:
            if self.ports.system.heap_free() < ROOM_BYTES:
                self.keep_moving()
                self._collect()
            self.keep_moving()

    def _collect(self):
        self._let_go()
        self._taken = self.delivery.planner.anchors = 0
        self.ports.system.collect()

    def _store(self):
        """At most one flash operation, if the motion allows it."""
        window_us = self.window_us()
        if not self.ports.panel.quiet():  # an erase would stretch a pulse
            window_us = min(window_us, PULSE_MIN_US)
        self._storing = self.storage.work(window_us)
        if self.values is not self.storage.settings.values:
            self.refresh()  # a save that had to wait for its window

    def _leave_for_service(self):
        # a worn-out journal takes nothing any more: then there is nothing to wait for
        if self.storage.problem is not None or not self.storage.journal.pending:
            if self._muted or self.session.peek_byte() < 0:  # the answer has gone out, or nobody takes it
                self.ports.system.enter_service()

    def run(self):
        """The loop of the board; never returns."""
        wait, step = self.ports.wait, self.step
        try:
            while True:
                self.woken = wait(step())
        finally:
            self.ports.system.hold(False)  # to give up takes memory

    def _hear(self):
        """Take in console bytes. True when there may be more: then nothing else is said first."""
        for _ in range(HEAR_MAX):
            count = self.ports.console.readinto(self._buf)
            if count:
                self.session.bytes_in(self._buf, count)
                self._taken += count * TAKEN_PER_BYTE
                self.keep_moving()
            if count < HEAR_BYTES:
                return False
        return True

    def _speak(self):
        self._muted = not self.session.send(self._write, SPEAK_BYTES_MAX)

    def _sleep_us(self, busy):
        quiet = self._held
        session = self.session
        if not quiet:
            if busy and (session.waiting() or (session.peek_byte() >= 0 and not self._muted)):
                return 0
            if self.alarms.changed or self.storage.fresh:  # by a line of this pass
                return 0
        clock = self.clock
        if quiet and self._period_us >= COUNT_US:
            now = clock.tick  # milliseconds ago, which is nothing there
        else:
            now = clock.update()  # the pass itself took its time
        sleep = ticks_diff(self._check_tick, now)
        left = self.delivery.next_feed_us()
        if left < sleep:
            sleep = left
        if quiet:
            left = (self._quiet_until_s - clock.s) * US_PER_S - clock.us
            if left < sleep:
                sleep = left
        else:
            sleep = min(sleep, self._due.left_us(clock), self._telemetry_at.left_us(clock))
            if self.alarms.standing:
                sleep = min(sleep, self.panel.left_us(now))
            if self._muted:
                sleep = min(sleep, SPEAK_RETRY_US)
            if session.token is not None:
                sleep = min(sleep, US_PER_S)
        if sleep > SLEEP_MAX_US:
            self._calm = True
            self._calm_tick = ticks_add(now, sleep)
        return sleep if sleep > 0 else 0

    def _on_due(self):
        t_us = self.clock.now_us()
        if self.delivery.ended(t_us):
            self._finish()
        else:
            self.delivery.replan()
            self.changed()

    # --- inputs

    def _look_at_inputs(self):
        port = self.ports.inputs
        inputs = port.read()
        if inputs != self.inputs or port.latched or port.trips:
            self._let_go()
            self._take_inputs(port, inputs)
        elif inputs & MOTION_ENDS and self.delivery.moving():
            self._judge_inputs()

    def _take_inputs(self, port, inputs):
        tripped = 0
        if port.latched:
            self.panel.press(port.pressed())
            inputs = port.read()
        if port.trips:
            tripped = port.tripped()
            inputs = port.read()
        if tripped & contract.IN_EDGES:
            tripped &= ~contract.IN_EDGES
            self._unordered("step_count")
        if (inputs ^ self.inputs) & BUTTONS:
            self._held_s = self.clock.s
        if tripped:  # the motor is off; what did it may be over by now
            inputs = (inputs | tripped) & ~(tripped & contract.IN_CAPTURED)
            self.inputs = inputs
            self._judge_inputs()
            if self.machine.state in RUNNING or self.machine.state == "paused":
                self.stop("inputs")  # the state has changed in between: then it is no alarm
        elif inputs != self.inputs:
            self.inputs = inputs
            self._judge_inputs()
        elif inputs & MOTION_ENDS and self.delivery.moving():
            self._judge_inputs()

    def _judge_inputs(self):
        inputs = self.inputs
        state = self.machine.state
        move = self.delivery.move
        if inputs & contract.IN_DIAG:
            self.raise_alarm("driver_error")
        else:
            self.alarms.unset("driver_error")
        captured = inputs & contract.IN_CAPTURED
        if not captured and state != "moving" and (state in RUNNING or state == "paused"):
            self.raise_alarm("syringe_released")
        elif captured:
            self.alarms.unset("syringe_released")
        forward = state in RUNNING and self.delivery.direction > 0
        backward = state in RUNNING and self.delivery.direction < 0
        if backward and inputs & contract.IN_BACK and move is not None and move.source == HOME:
            self._end(move, _COMPLETE, self.now_us())
            self.fire("motion_over", "home")
        elif (forward and inputs & contract.IN_FRONT) or (backward and inputs & contract.IN_BACK):
            self.raise_alarm("end_of_travel")
        elif not inputs & contract.IN_FRONT:
            self.alarms.unset("end_of_travel")

    # --- supervision and alarms

    def _supervise(self, now):
        """Read the sensors; how often follows what can go wrong in the meantime."""
        sensors = self.ports.sensors
        supervision = self.supervision
        delivery = self.delivery
        state = self.machine.state
        standing = self.alarms.standing
        high = supervision.pressure(sensors.pressure_raw())
        pressure_raw = supervision.pressure_raw
        low = self.occlusion.suction(pressure_raw)
        if not supervision.sensor_dead:
            if standing:
                self.alarms.unset("pressure_sensor")
        elif state in DELIVERING:  # suction while handling is no fault
            self.raise_alarm("pressure_sensor")
        self._check_tick = ticks_add(now, TICK_MAX_US)
        if delivery.moving():
            if not self._fed:
                delivery.account()
            net_steps = delivery.net_steps
            step_us = self._checked_period_us = self._period_us
            if step_us >= COUNT_US and supervision.odometer(self.ports.steps.odometer(), delivery.expected):
                self._count()
            if supervision.shaft(sensors.encoder_raw(), delivery.expected):
                name = self._look_again()
                if name:
                    self.raise_alarm(name)
            if state in RUNNING and delivery.direction > 0:
                if self.occlusion.feed(pressure_raw, net_steps, self.clock.s) or high:
                    self.raise_alarm("occlusion")
            elif low and state == "withdrawing":
                self.raise_alarm("upstream_occlusion")
            elif state == "relieving" and pressure_raw <= self.occlusion.relief_raw:
                self._end(delivery.move, _COMPLETE, self.now_us())
                self._relieved("pressure")
            if state in RUNNING:
                self._check_volume(net_steps)
            self._plan_check(now, state, step_us, net_steps, pressure_raw)
        elif state in ("stopped", "alarm", "fault"):
            self._watch_rest()
        else:
            supervision.forget_shaft()  # hands are at the pump
        if standing:
            if supervision.pressure_fell():
                self.alarms.unset("occlusion")
            if not low:
                self.alarms.unset("upstream_occlusion")
        if state not in RUNNING:
            self._check_pause(state)
        if self.doses is not None:
            self.doses.note()
        self.supply_mv = mv = sensors.supply_mv()
        if standing or self._sagging or mv < SUPPLY_LOW_MV + SUPPLY_BETTER_MV:
            self._check_supply(mv)
        if standing or self.inputs & BUTTONS:
            self._check_keys()
        if self.clock.s >= self._slow_at_s:
            self._slow_check()

    def _check_pause(self, state):
        again = self.occlusion.resume_at
        if state == "alarm" and again is not None and self.clock.s >= again[0]:
            self._relief("resume")
        elif state == "paused" and self.clock.s - self._since_s >= self.values["pause_max_s"]:
            self.raise_alarm("paused_too_long")

    def _plan_check(self, now, state, step_us, net_steps, pressure_raw):
        """When the sensors are looked at again while the motor moves."""
        steps = TICK_STEPS if state != "relieving" else RELIEF_STEPS
        left = self._low_steps - net_steps
        if 0 < left < steps:  # look when it is reached, not later
            steps = left
        left = self._empty_steps - net_steps
        if 0 < left < steps:
            steps = left
        period = TICK_MAX_US if step_us > TICK_MAX_US // steps else max(TICK_MIN_US, step_us * steps)
        if state in RUNNING:
            # By the reading's noise up to a ninth sooner: a pulse that beats in step would look like a slow rise.
            period -= (period >> 6) * (pressure_raw >> 4 & 7)
        self._check_tick = ticks_add(now, period)

    def _check_supply(self, mv):
        """It is low, or was: all that `_supervise` does not settle with one comparison."""
        self._let_go()
        alarms = self.alarms
        if mv < SUPPLY_LOW_MV:
            alarms.set("supply_low", self.clock.s)
        elif mv >= SUPPLY_LOW_MV + SUPPLY_BETTER_MV:
            alarms.unset("supply_low")
        if mv >= SUPPLY_FAILING_MV:
            self._sagging = False
            if mv >= SUPPLY_FAILING_MV + SUPPLY_BETTER_MV:
                alarms.unset("supply_failing")
        elif self._sagging:
            self.raise_alarm("supply_failing")
        else:
            self._sagging = True

    def _check_keys(self):
        self._let_go()
        if self.clock.s >= self.alarms.loop_until_s:
            self.alarms.unset("alarm_loop")
        if not self.inputs & BUTTONS:
            self.alarms.unset("stuck_key")
        elif self.clock.s - self._held_s >= STUCK_S:
            self.alarms.set("stuck_key", self.clock.s)

    def _check_surroundings(self):
        """Once a minute: temperature, and whether the host is there and makes sense."""
        alarms = self.alarms
        self.temperature_mc = self.ports.sensors.temperature_mc()
        if self.temperature_mc >= HOT_MC:
            self.raise_alarm("over_temperature")
        elif self.temperature_mc < COOL_MC:
            alarms.unset("over_temperature")
        errors = self.session.wrong + 3 * self.session.forged
        if errors - self._errors >= ERRORS_MAX and not alarms.stands("command_errors"):
            alarms.set("command_errors", self.clock.s)
            alarms.unset("command_errors")  # over: latched until acknowledged
        self._errors = errors
        patience_s = self.values["host_lost_s"]
        if not patience_s or not self.telemetry_ms or not self.host_gone():
            self._host_gone_s = -1
            alarms.unset("host_lost")
        elif self._host_gone_s < 0:
            self._host_gone_s = self.clock.s
        elif self.clock.s - self._host_gone_s >= patience_s and self.machine.state in RUNNING:
            alarms.set("host_lost", self.clock.s)

    def host_gone(self):
        """Its cable is off, it sleeps, or it does not take what it is told."""
        return self._muted or not self.ports.console.attached()

    def _look_again(self):
        """The shaft is where it should not be: name of the alarm, when all of many readings say so."""
        for _ in range(SHAFTS_MAX):
            self.delivery.account()
            name = self.supervision.shaft(self.ports.sensors.encoder_raw(), self.delivery.expected)
            if not name:
                return None
        return name

    def glance(self):
        """In the middle of what takes long: whether shaft, pulses or pressure ask for a stop. The next pass sees it too
        and makes it an alarm: for that more of the chip's stack is needed than is left in there."""
        delivery = self.delivery
        if not delivery.moving() or ticks_diff(self._check_tick, self.clock.tick) > 0:
            return False
        supervision, sensors = self.supervision, self.ports.sensors
        high = supervision.pressure(sensors.pressure_raw())
        delivery.account()
        self._plan_check(
            self.clock.tick, self.machine.state, delivery.period_us(), delivery.net_steps, supervision.pressure_raw
        )
        off = supervision.shaft(sensors.encoder_raw(), delivery.expected) and self._look_again()
        if high or off or supervision.odometer(self.ports.steps.odometer(), delivery.expected):
            self._check_tick = self.clock.tick
            return True
        return False

    def _watch_rest(self):
        """With the motor off nothing may move."""
        for _ in range(SHAFTS_MAX):
            name = self.supervision.rest(self.ports.sensors.encoder_raw(), self.ports.steps.odometer())
            if not name:
                return
        self._unordered(name)

    def _unordered(self, name):
        """Something moved by itself."""
        self.raise_alarm(name)
        self.alarms.unset(name)  # over, as far as can be known: latched until acknowledged
        self.supervision.forget_shaft()
        if name == "step_count":
            self.fire("fail", name)

    def _check_flow(self):
        """Once a minute: what was ordered by now against what the shaft showed in this pass."""
        delivery = self.delivery
        now_us = self.clock.now_us()
        planned_q = self.ledger.commanded_q + sum([order.planned_q(now_us) for order in delivery.planner.orders])
        name = self.supervision.flow(planned_q // delivery.planner.step_q, delivery.expected - delivery.net_steps)
        if name:
            self.raise_alarm(name)
        elif name is not None:
            self.alarms.unset("under_infusion")

    def _count(self):
        """The odometer against the books of this moment. A host's bytes can take the interpreter milliseconds between
        the two, and a fast motor makes steps in that time: what differs each time is wrong."""
        delivery = self.delivery
        for _ in range(COUNTS_MAX + 1):
            if not self.supervision.odometer(self.ports.steps.odometer(), delivery.expected):
                return
            delivery.account()
        self.raise_alarm("step_count")

    def _check_volume(self, net_steps):
        if self.delivery.direction > 0:  # each by itself: "low" may be set below "empty"
            if net_steps >= self._low_steps:
                self.raise_alarm("reservoir_low")
            if net_steps >= self._empty_steps:
                self.raise_alarm("reservoir_empty")
        if net_steps >= self._commit_steps or self.clock.s >= self._commit_at_s:
            self.commit()

    def _slow_check(self):
        self._let_go()
        self._slow_at_s = self.clock.s + SLOW_CHECK_S
        self.ports.console.expect()
        failed = None if digest_works() else "digest"
        if self.clock.s >= self._code_at_s and self.window_us() >= CODE_WINDOW_US:
            self._code_at_s = self.clock.s + CODE_EVERY_S
            self.loading()
            if self.ports.system.check_code(self._hear) is False:
                failed = "code"
        if failed:
            self.raise_alarm("self_test")
            self.fire("fail", failed)
        if self.clock.s > 0:  # the start has no time for it
            self.library_sound()
        self.session.tidy()
        if self.machine.state == "refill" and self.clock.s - self._since_s >= REFILL_MAX_S:
            self.refill_begun = False
            self.fire("end_refill", "timeout")
        if self.session.forged != self._forged and self.clock.s >= self._forged_at_s:
            self._forged = self.session.forged
            self._forged_at_s = self.clock.s + REFUSED_EVERY_S
            self.storage.record("refused", self._forged, self.session.wrong)
        if self.delivery.moving():
            self._check_pace()  # so that its clock does not wrap where steps are minutes apart
        if self.machine.state in DELIVERING:
            self._check_flow()
        self._check_surroundings()
        if self.delivery.net_steps < self._low_steps:
            self.alarms.unset("reservoir_low")
        if self.delivery.net_steps < self._empty_steps:
            self.alarms.unset("reservoir_empty")
        if self.storage.problem is None:
            self.alarms.unset("storage")
        elif self.machine.state != "self_test":
            self.raise_alarm("storage")
        self._taken += TAKEN_PER_CHECK
        if self._taken > TAKEN_MAX_BYTES:  # now, rather than when a stop may have to wait for it
            self._collect()

    def raise_alarm(self, name):
        """The condition of an alarm holds: stop first if its action says so, then tell."""
        self._let_go()
        row = alarm_table.ALARMS[self.alarms.index(name)]
        stopping = self.machine.state in RUNNING or self.machine.state == "paused"
        if row[alarm_table.TRAITS] & alarm_table.STOP and stopping:
            self.delivery.switch_off()
            self.alarms.set(name, self.clock.s)
            if self.alarms.stopped(name, self.clock.s):
                self.alarms.set("alarm_loop", self.clock.s)
            self._tell_alarms()  # before the orders' ends: which order it hit, and nobody waits for it behind them
            self._close_books()
            before, basal = self.machine.state, self.delivery.basal
            self._stop_orders(_ALARM)
            # steps that were not commanded: nothing runs again before a self test
            self.fire("fail" if name == "step_count" else "alarm_stop", name)
            if name == "occlusion":
                self._relief("begin", before, basal)
        else:
            self.alarms.set(name, self.clock.s)

    def acknowledge(self, name):
        """Acknowledge one alarm or all (None). Returns how many changed."""
        count = self.alarms.acknowledge(name, self.clock.s)
        self._clear_alarm()
        return count

    def _clear_alarm(self):
        if self.machine.state == "alarm" and not self.alarms.waits(alarm_table.STOP):
            self.fire("alarm_clear", "acknowledged")

    def _relief(self, name, *values):
        """`relief` is loaded for a moment."""
        self._let_go()
        self.loading()
        from haipump_fw import relief

        try:
            getattr(relief, name)(self, *values)
        finally:
            self.ports.system.forget(relief)

    def _relieved(self, why):
        self.fire("relieved", why)
        self._clear_alarm()  # somebody was quicker

    def silence(self, seconds, by):
        """Audio pause asked for by a button or the host. Returns how long it is silent, 0 when that was refused."""
        was_s = self.alarms.silent_until_s
        seconds = self.alarms.silence(self.clock.s, seconds)
        if self.alarms.silent_until_s != was_s:
            self._host_silence = by == "host"
            self.storage.record("alarm", 0, alarm_table.SILENCED, self.machine.index(), 0, seconds)
            self.session.event("silence", [("seconds", seconds), ("by", by)])
            self.panel.refresh()
        return seconds

    def check_silence(self):
        """A silence that the host asked for ends with the link to it. Seconds until this is looked at again, 0: need
        not be."""
        left_s = self.alarms.silent_until_s - self.clock.s
        if left_s <= 0:
            return 0
        if self._host_silence and self.host_gone():
            self.alarms.end_silence(self.clock.s)
            return 0
        return min(left_s, LINK_LOOK_S)

    def _tell_alarms(self):
        changes = self.alarms.changed
        self.alarms.changed = []
        state = self.machine.index()
        for i, phase in changes:
            number, _ = self.main_order()
            self.storage.record("alarm", i + 1, phase, state, number, self.supervision.pressure_pa())
            self.session.event(
                "alarm",
                [
                    ("alarm", alarm_table.ALARMS[i][alarm_table.NAME]),
                    ("priority", alarm_table.PRIORITIES[self.alarms.level[i]]),
                    ("phase", alarm_table.PHASES[phase]),
                ],
            )
        self.panel.refresh()

    # --- telemetry

    def set_telemetry(self, period_ms):
        """A `tele` event every so many milliseconds from now on; 0: no more."""
        self.telemetry_ms = period_ms
        self._telemetry_at.clear()
        if period_ms:
            self._telemetry_at.after(self.clock, 0)
