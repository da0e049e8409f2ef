"""What was delivered in a sliding window of time, never too little, and how far the dose limit lets steps go.

Owns: a bounded number of points in time with the steps made between them, when the last bolus began, and the sum over a
window. Must not: know plans (`core.limits` judges those), a clock, or where the points of an earlier run are kept.

A point is set at least `gap_s` after the one before, so what lies between two points is known by its sum alone; a
window that begins there counts all of it. So a sum is never too small, and too large by what one gap held at most.

Two sums: *whole*, of the window and the gap in which it begins, and *sure*, of what certainly lies in it. A plan that
was proven to stay within the limit may go on while the sure sum does; one that was not (limits were lowered under it)
ends where the whole sum reaches the limit. Nothing here allocates but a change of settings.
"""

from array import array

from haipump_fw.const import const
from haipump_fw.core.units import FL_PER_NL

POINTS = const(96)
_GAPS = const(93)  # that cover the window: besides there are the gap in which it begins and the newest one
EVER = const(-0x20000000)  # a moment before everything, in seconds of uptime
# What is under way belongs to windows that end later: two slow steps, or fast ones of less than a second; and points
# are up to two seconds older than they say.
_AHEAD_STEPS = const(2)
_AHEAD_S = const(4)


class Window:
    """Times are whole seconds of uptime, rounded up, before this start below zero; `made` counts steps of dose since
    the start."""

    def __init__(self, values):
        self.known = False  # the time before this start has been looked up
        self.proven = False  # the plan that runs stays within the limit
        self.bolus_s = EVER  # when the last bolus began
        self._times = array("i", [EVER] * POINTS)
        self._parts = array("i", [0] * POINTS)  # steps from this point to the next one
        self._newest = 0
        self._made = 0  # at the newest point
        self._was = ()
        self.configure(values)

    def configure(self, values):
        """Take over limits and calibration."""
        limit = values["max_dose_nl"]
        self.most = limit * FL_PER_NL // values["step_fl"] if limit else -1  # steps; -1: no limit
        self.span_s = values["window_s"]
        self.gap_s = -(-self.span_s // _GAPS)
        now = (self.span_s, values["step_fl"], limit, values["kvo_nl_per_day"])
        if now[:2] != self._was[:2]:
            self.known = False
        if now != self._was:
            self.proven = False
        self._was = now

    def fill(self, points, made):
        """The past is known: (time, steps from then to the next point), oldest first, at least `gap_s` apart and at
        most POINTS; the last one is now."""
        for i in range(POINTS):
            self._times[i], self._parts[i] = EVER, 0
        at = POINTS - len(points)
        for time_s, steps in points:
            self._times[at] = time_s
            self._parts[at] = steps
            at += 1
        self._newest = POINTS - 1
        self._made = made
        self.known = True

    def note(self, now_s, made):
        """So many steps are made now: set a point when it is due. Where nothing is made, none is needed."""
        newest = self._newest
        if made != self._made and now_s >= self._times[newest] + self.gap_s:
            self._parts[newest] = made - self._made
            newest = newest + 1 if newest + 1 < POINTS else 0
            self._times[newest] = now_s
            self._parts[newest] = 0
            self._newest = newest
            self._made = made

    def steps(self, now_s, made, whole=True):
        """In the window that ends now: at most (`whole`), or at least those of the gaps that lie in it altogether."""
        begin_s = now_s - self.span_s
        at = self._newest
        total = made - self._made
        sure = 0
        for _ in range(POINTS - 1):
            if self._times[at] <= begin_s:
                break
            if self._times[at] > begin_s + _AHEAD_S:
                sure = total
            at = at - 1 if at else POINTS - 1
            total += self._parts[at]
        return total if whole else sure

    def cap(self, now_s, made):
        """How many steps may have been made in all; -1: any number."""
        if self.most < 0:
            return -1
        if self.proven:
            return max(0, made + self.most + _AHEAD_STEPS - self.steps(now_s, made, False))
        return max(0, made + self.most - self.steps(now_s, made))

    def past(self, made):
        """[(time, steps since then)] of all points, oldest first."""
        found = []
        at = self._newest
        total = made - self._made
        for _ in range(POINTS):
            found.append((self._times[at], total))
            if self._times[at] == EVER:
                break
            at = at - 1 if at else POINTS - 1
            total += self._parts[at]
        found.reverse()
        return found
