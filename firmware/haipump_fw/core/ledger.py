"""The ledger: what was commanded, stepped and confirmed, since the syringe was loaded and in the pump's life.

Owns: totals in nanolitres, and the range in which they lie after a power loss. Must not: count steps itself or touch
storage; `Delivery` counts, the journal keeps.

Commanded, stepped and confirmed are three numbers. After a power loss the true volume is between the stored total and
that plus COMMIT_NL; `stepped_min` and `stepped_max` show both, limits use the larger.
"""

from haipump_fw.const import const
from haipump_fw.core.units import FL_PER_NL, QUANTA_PER_NL, div_up

COMMIT_NL = const(100_000)  # a commit at least every 100 uL ...
# ... and every 10 minutes. The record is asked for earlier, so that it is on the flash in time.
COMMIT_EARLY_NL = const(80_000)
COMMIT_EARLY_S = const(570)


class Ledger:
    def __init__(self, step_fl):
        self.step_fl = step_fl
        self.reservoir_base_nl = 0  # reservoir at `net_base` steps
        self.net_base = 0
        self.load(0, 0)
        self.life_nl = 0  # stepped, of the syringes before this one
        self.life_commanded_nl = 0  # ... and the same for the other two
        self.life_confirmed_nl = 0
        self.orders = 0
        self.lost_steps = 0
        self.unsure_nl = 0  # how much more than the stored totals may have been delivered
        self.life_unsure_nl = 0  # ... of the syringes before this one

    def load(self, reservoir_nl, net_steps):
        """A syringe with this volume was loaded: totals start anew, life goes on."""
        self.reservoir_base_nl = reservoir_nl
        self.net_base = net_steps
        self.stepped_base_nl = 0  # restored from the journal
        self.commanded_base_nl = 0
        self.confirmed_base_nl = 0
        self.commanded_q = 0  # of orders that have ended
        self.steps = 0
        self.primed_nl = 0
        self.withdrawn_nl = 0
        self.unsure_nl = 0

    def restore(self, values, off_nl, closed):
        """Totals as a commit (`values`) has them. `off_nl`: by how much more was commanded than stepped at rest;
        `closed`: the loading of the syringe, with what the life of the pump was then (commanded, confirmed)."""
        self.stepped_base_nl = values["stepped_nl"]
        self.commanded_base_nl = max(0, values["stepped_nl"] + off_nl)
        self.confirmed_base_nl = values["confirmed_nl"]
        self.reservoir_base_nl = values["reservoir_nl"]
        self.unsure_nl = values["unsure_nl"]  # of earlier power losses with this syringe
        self.life_nl = values["life_nl"] - values["stepped_nl"]
        self.life_commanded_nl, self.life_confirmed_nl = closed

    def reopen(self):
        """What the life of the pump was at the loading includes this syringe: take it out again."""
        self.life_commanded_nl = max(0, self.life_commanded_nl - self.commanded_nl(0))
        self.life_confirmed_nl = max(0, self.life_confirmed_nl - self.confirmed_nl(0))

    def new_syringe(self, step_fl, reservoir_nl, net_steps, unseen):
        """Close the totals of the syringe before, then `load`. `unseen`: its steps not confirmed."""
        self.life_nl += self.stepped_nl(0)
        self.life_commanded_nl, self.life_confirmed_nl = self.life_at_loading(unseen)
        self.life_unsure_nl += self.unsure_nl
        self.load(reservoir_nl, net_steps)
        self.step_fl = step_fl

    def recalibrate(self, step_fl, net_steps, unseen):
        """Another volume per step from here on; what was counted stays what it was. `unseen`: steps not confirmed."""
        self.reservoir_base_nl = self.reservoir_nl(net_steps)
        self.net_base = net_steps
        self.confirmed_base_nl = self.confirmed_nl(-unseen)
        self.stepped_base_nl = self.stepped_nl(0)
        self.steps = 0
        self.step_fl = step_fl

    def ended(self, planned_q, steps):
        """A dose order is over: planned quanta and booked steps."""
        self.commanded_q += planned_q
        self.steps += steps
        self.orders += 1

    def nl(self, steps):
        return steps * self.step_fl // FL_PER_NL

    def reservoir_nl(self, net_steps):
        """Volume left in the syringe; never below zero."""
        return max(0, self.reservoir_base_nl - self.nl(net_steps - self.net_base))

    def steps_until(self, left_nl):
        """Net steps at which the reservoir has fallen to `left_nl`."""
        return self.net_base + div_up((self.reservoir_base_nl - left_nl) * FL_PER_NL, self.step_fl)

    def commanded_nl(self, running_q):
        return self.commanded_base_nl + (self.commanded_q + running_q) // QUANTA_PER_NL

    def stepped_nl(self, running_steps):
        return self.stepped_base_nl + self.nl(self.steps + running_steps)

    def confirmed_nl(self, running_steps):
        return self.confirmed_base_nl + self.nl(self.steps + running_steps)

    def life_total_nl(self, running_steps):
        return self.life_nl + self.stepped_nl(running_steps)

    def life_at_loading(self, unseen):
        """(commanded, confirmed) nL of the pump's life while no order runs."""
        confirmed_nl = self.life_confirmed_nl + self.confirmed_nl(-unseen)
        return self.life_commanded_nl + self.commanded_nl(0), max(0, confirmed_nl)

    def off_nl(self):
        """By how much more was commanded than stepped, while no order runs."""
        return self.commanded_nl(0) - self.stepped_nl(0)
