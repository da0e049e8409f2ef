"""Alarms: one table, and the engine that keeps which of them stand, sound and stop the pump.

Owns: phases (active, acknowledged, latched), escalation, silence, which alarm is shown, the rhythms of LEDs and piezo.
Must not: know ports or physics; supervision says which conditions hold, the app carries out the actions.

Priorities and signals follow IEC 60601-1-8 in timing pattern only (docs/alarms.md). A silence lasts at most two minutes
and can't be renewed before the alarm has sounded again, a new alarm breaks through it, and what was acknowledged comes
back when its cause does not go: there is no way to silence for good.
"""

from haipump_fw.const import const

LOW, MEDIUM, HIGH = const(1), const(2), const(3)
PRIORITIES = ("none", "low", "medium", "high")

# Traits of an alarm: its priority in the lowest bits, and
PRIORITY = const(3)
LATCH = const(4)  # stays until it is acknowledged, though its cause is gone
NO_BOLUS = const(8)  # while it stands, no new bolus
NO_START = const(16)  # while it stands, nothing starts and nothing resumes
STOP = const(32)  # motor off, state alarm
STOPS = const(LATCH + NO_BOLUS + NO_START + STOP)

NAME, TRAITS = range(2)

# (name, traits). An alarm's number in the journal is its place, counted from 1: rows are only ever added, at the end.
# There is no action "KVO": what an alarm can't trust enough to go on, it does not trust to go on slowly.
ALARMS = (
    ("self_test", HIGH + STOPS),
    ("occlusion", HIGH + STOPS),
    ("reservoir_empty", HIGH + STOPS),
    ("end_of_travel", HIGH + STOPS),
    ("reservoir_low", LOW + NO_BOLUS),
    ("infusion_complete", MEDIUM + LATCH),
    ("paused_too_long", MEDIUM),
    ("syringe_released", HIGH + STOPS),
    ("driver_error", HIGH + STOPS),
    ("motor_stall", HIGH + STOPS),
    ("step_count", HIGH + STOPS),
    ("storage", HIGH + STOPS),
    ("unexpected_reset", HIGH + LATCH + NO_BOLUS + NO_START),
    ("power_lost", MEDIUM + LATCH),
    ("steps_late", HIGH + STOPS),
    ("pressure_sensor", HIGH + STOPS),
    ("over_infusion", HIGH + STOPS),
    ("under_infusion", MEDIUM + LATCH + NO_BOLUS),
    ("upstream_occlusion", MEDIUM + STOPS),
    ("reverse_delivery", HIGH + STOPS),
    ("dose_limit", MEDIUM + STOPS),
    ("over_temperature", MEDIUM + STOPS),
    ("supply_low", LOW + NO_BOLUS),
    ("supply_failing", HIGH + STOPS),
    ("stuck_key", MEDIUM + NO_BOLUS + NO_START),
    ("host_lost", LOW),
    ("command_errors", LOW + LATCH),
    ("input_pending", LOW),
    ("alarm_loop", HIGH + STOPS),
)

# Phases of one alarm; the last two are no phases, but tell what happened to it (in events and in the journal).
CLEAR, ACTIVE, ACKNOWLEDGED = const(0), const(1), const(2)
LATCHED, ESCALATED, SILENCED = const(3), const(4), const(5)
PHASES = ("clear", "active", "acknowledged", "latched", "escalated", "silenced")

# Beats (ports.BEAT_MS) on and off, then anew; by priority. docs/alarms.md has the windows.
FLASHES = (None, None, (16, 24), (5, 5))
_LOW_BURST = (4, 4, 4, 400)
_MEDIUM_BURST = (4, 4, 4, 4, 4, 200)
_HIGH_BURST = (3, 2, 3, 2, 3, 7, 3, 2, 3, 16, 3, 2, 3, 2, 3, 7, 3, 2, 3, 100)
BURSTS = (None, _LOW_BURST, _MEDIUM_BURST, _HIGH_BURST)
TONE_HZ = (0, 523, 587, 784)

SILENCE_MAX_S = const(120)
SOUND_MIN_S = const(15)  # so long it sounds after a silence before the next one is taken: two bursts, if it is high
# By priority: an alarm that nobody acknowledges for so long becomes one higher ...
ESCALATE_S = (0, 1_800, 900, 0)
# ... and one that was acknowledged comes back after so long when its cause still stands.
REMIND_S = (0, 14_400, 1_800, 600)
LOOP_TIMES = const(3)  # the same alarm stops the pump so often ...
LOOP_S = const(600)  # ... within so long: no further start


class Alarms:
    """The alarms that stand. Times are seconds of uptime.

    `set(name, now_s)` and `unset(name)` report a condition; `changed` collects (place, phase) for journal and events.
    """

    def __init__(self):
        self.phase = bytearray(len(ALARMS))
        self.level = bytearray(len(ALARMS))  # its priority, escalated
        self.since_s = [0] * len(ALARMS)
        self.silent_until_s = 0
        self._silence_from_s = 0  # a silence is taken from then on
        self._answered_s = [0] * len(ALARMS)  # when each was acknowledged
        self._stops = []  # (place, when) of each that stopped the pump within LOOP_S
        self.loop_until_s = 0
        self.changed = []
        self.standing = 0  # how many are not CLEAR: the quick answer for the loop

    @staticmethod
    def index(name):
        """Place of an alarm in ALARMS; KeyError for an unknown name."""
        for i in range(len(ALARMS)):  # takes no memory: a condition that goes on is told in every pass
            if ALARMS[i][NAME] == name:
                return i
        raise KeyError(name)

    def stands(self, name):
        """True in any phase but CLEAR."""
        return self.phase[self.index(name)] != CLEAR

    def _go(self, i, phase):
        was = self.phase[i]
        self.phase[i] = phase
        self.standing += (was == CLEAR) - (phase == CLEAR)
        self.changed.append((i, phase))

    def _begin(self, i, now_s):
        """Its time begins: from here it is unanswered."""
        self.since_s[i] = now_s
        self.level[i] = ALARMS[i][TRAITS] & PRIORITY
        self._go(i, ACTIVE)

    def set(self, name, now_s):
        """The condition of `name` holds. True when this alarm is new (and breaks through a silence)."""
        i = self.index(name)
        if self.phase[i] == CLEAR:
            self._begin(i, now_s)
            self.end_silence(now_s)
            return True
        if self.phase[i] == LATCHED:
            self._go(i, ACTIVE)
        return False

    def unset(self, name):
        """The condition of `name` is gone: a latching alarm waits for its acknowledgement."""
        if not self.standing:
            return
        i = self.index(name)
        if self.phase[i] == ACTIVE:
            self._go(i, LATCHED if ALARMS[i][TRAITS] & LATCH else CLEAR)
        elif self.phase[i] == ACKNOWLEDGED:
            self._go(i, CLEAR)

    def stopped(self, name, now_s):
        """`name` has stopped the pump. True when it has done so LOOP_TIMES within LOOP_S: then that is an alarm, too,
        whose condition holds until `loop_until_s`."""
        i = self.index(name)
        self._stops = [stop for stop in self._stops if now_s - stop[1] < LOOP_S] + [(i, now_s)]
        times = [stop[1] for stop in self._stops if stop[0] == i]
        if len(times) < LOOP_TIMES:
            return False
        self.loop_until_s = times[-LOOP_TIMES] + LOOP_S
        return True

    def watch(self, now_s):
        """What only time brings: alarms that nobody answers escalate, answered ones come back."""
        for i in range(len(ALARMS)):
            phase = self.phase[i]
            priority = ALARMS[i][TRAITS] & PRIORITY
            if phase == ACKNOWLEDGED:
                if now_s - self._answered_s[i] >= REMIND_S[priority]:
                    self._begin(i, now_s)
            elif phase != CLEAR:
                left_s = now_s - self.since_s[i]
                while priority < HIGH and left_s >= ESCALATE_S[priority]:
                    left_s -= ESCALATE_S[priority]
                    priority += 1
                if priority > self.level[i]:
                    self.level[i] = priority
                    self.changed.append((i, ESCALATED))

    def acknowledge(self, name, now_s):
        """Acknowledge one alarm, or all (None). Returns how many that changed."""
        count = 0
        for i in range(len(ALARMS)):
            if name is not None and ALARMS[i][NAME] != name:
                continue
            if self.phase[i] == LATCHED:
                self._go(i, CLEAR)
                count += 1
            elif self.phase[i] == ACTIVE:
                self._go(i, ACKNOWLEDGED)
                self._answered_s[i] = now_s
                count += 1
        return count

    def silence(self, now_s, seconds):
        """Audio pause of at most SILENCE_MAX_S from now on. Returns how long it will be silent, 0 when it has not
        sounded for SOUND_MIN_S since the last one. One that runs is not made longer."""
        if now_s >= self._silence_from_s:
            self.silent_until_s = now_s + min(seconds, SILENCE_MAX_S)
            self._silence_from_s = self.silent_until_s + SOUND_MIN_S
        return max(0, self.silent_until_s - now_s)

    def end_silence(self, now_s):
        """It sounds again, and may be silenced at once."""
        self.silent_until_s = self._silence_from_s = now_s

    def top(self):
        """Index of the alarm to show (highest priority, then newest), or -1. Acknowledged ones count last."""
        if not self.standing:
            return -1
        best = -1
        best_rank = (-1, 0, 0)
        for i in range(len(ALARMS)):
            if self.phase[i] != CLEAR:
                rank = (self.phase[i] != ACKNOWLEDGED, self.level[i], self.since_s[i])
                if rank > best_rank:
                    best, best_rank = i, rank
        return best

    def sounding(self, now_s):
        """Priority that sounds now, 0 for silence."""
        return 0 if now_s < self.silent_until_s else self.signalling()

    def signalling(self):
        """Highest priority that is not acknowledged, 0 for none."""
        best = 0
        if self.standing:
            for i in range(len(ALARMS)):
                if self.level[i] > best and (self.phase[i] == ACTIVE or self.phase[i] == LATCHED):
                    best = self.level[i]
        return best

    def waits(self, trait):
        """True while an alarm with this trait is active or latched: it wants an acknowledgement."""
        return any([row[TRAITS] & trait and self.phase[i] in (ACTIVE, LATCHED) for i, row in enumerate(ALARMS)])

    def forbids(self, trait):
        """Name of an alarm with this trait (NO_BOLUS, NO_START) that stands in any phase, or None."""
        for i, row in enumerate(ALARMS):
            if row[TRAITS] & trait and self.phase[i] != CLEAR:
                return row[NAME]
        return None

    def listed(self):
        """Indices of all that stand, highest priority first, then newest."""
        rows = [(-self.level[i], -self.since_s[i], i) for i in range(len(ALARMS)) if self.phase[i] != CLEAR]
        rows.sort()
        return [row[2] for row in rows]
