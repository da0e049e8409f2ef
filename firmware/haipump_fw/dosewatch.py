"""The dose limit while it runs: the window kept up to date, and a cap on the steps of `Delivery`.

Owns: the window, whether the running plan was proven, the alarm when the cap is reached. Loaded with the first limit
that is set, and there for as long as one is. Must not: judge an order (`doses` does).
"""

from haipump_fw.const import const
from haipump_fw.core.states import DELIVERING
from haipump_fw.core.units import US_PER_S
from haipump_fw.core.window import Window
from haipump_fw.delivery import BOLUS, DOSE, EXTENDED, PROGRAMME

_LOOK_S = const(2)  # between two looks at most


class DoseWatch:
    """`passed`: soft limits that the order at hand passes, and why, as the journal has it."""

    def __init__(self, app):
        self._app = app
        self.window = Window(app.values)
        self.passed = None
        self._cap = -1  # steps of dose that may be made; -1: any number
        self._reached = False  # more were wanted
        self._bolus = None
        self._pulsed_q = self._pulse = 0  # planned by a programme's boluses, and whether one ran, at the last look
        app.delivery.guard = self.guard

    def begin(self, order):
        """An order that was checked begins. False when it can't be recorded that it passes a soft limit."""
        app = self._app
        if order.source not in DOSE:
            return True
        self.window.proven = True
        if order.source in (BOLUS, EXTENDED):
            self.window.bolus_s = app.clock.s + 1
        return not self.passed or app.storage.record("override", order.number, *self.passed)

    def note(self):
        """Now and then. The pass may have begun a second ago."""
        self._note_bolus()
        self.window.note(self._app.clock.s + 2, self._app.delivery.dosed)

    def _note_bolus(self):
        """The boluses of a programme begin the lockout, too; also one that begins before the next look, in case that it
        never comes to that."""
        basal = self._app.delivery.basal
        if basal is None or basal.source != PROGRAMME or not basal.profiles:
            return
        ahead_us = 0 if basal.held_us >= 0 else _LOOK_S * US_PER_S
        whole_q, num, den, run_us, _ = basal.profiles[1].at(basal.elapsed_us(self._app.now_us()) + ahead_us)
        planned_q = whole_q + num * run_us // den
        # A short one may lie between two looks; the end of one that was seen is none.
        if planned_q != self._pulsed_q and (num or not self._pulse):
            begun_s = self._app.clock.s + 1 + ahead_us // US_PER_S - (run_us // US_PER_S if num else 0)
            self.window.bolus_s = max(self.window.bolus_s, begun_s)
        self._pulsed_q, self._pulse = planned_q, num

    def changed(self):
        """Something has changed: how far the limit lets the steps go, as far as is known now."""
        delivery = self._app.delivery
        if delivery.extended is not None and self._bolus is not None and self._bolus.cancelled:
            self.window.proven = False  # what waited comes earlier
        if delivery.paused and any([order.coasting for order in delivery.orders()]):
            self.window.proven = False  # it slows down, others do not: they will come together otherwise
        self._bolus = delivery.bolus
        delivery.account()
        self._cap = self.window.cap(self._app.clock.s, delivery.dosed)
        # Lowered below what was made, perhaps before this start: not even what is under way.
        if 0 <= self._cap < max(1, delivery.dosed) and self._app.machine.state in DELIVERING:
            self._reached = delivery.late = True

    def guard(self, room, under_way):
        """How many of `room` steps may be queued; -1: none, and none is due before the flow changes."""
        delivery = self._app.delivery
        left = self._cap - delivery.dosed - under_way
        if left >= room or self._cap < 0 or delivery.move is not None:
            return room
        if left > 0:
            return left
        if not delivery.planner.step_comes():
            return -1
        self._reached = delivery.late = True
        return 0

    def hold(self):
        """Words are late. True when that is because the steps that were allowed are made, or on their way: by now there
        may be more, or it ends here."""
        app = self._app
        if not self._reached:
            return False
        self._reached = False
        cap = self._cap
        self.changed()
        if self._cap <= cap and app.machine.state in DELIVERING:
            app.raise_alarm("dose_limit")
            app.alarms.unset("dose_limit")  # over with the flow: latched until acknowledged
        return True
