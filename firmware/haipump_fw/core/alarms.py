"""Alarms: one table, and the engine that keeps which of them stand, sound and stop the pump.

Owns: phases (active, acknowledged, latched), silence, which alarm is shown, what LEDs and piezo do. Must not: know
ports or physics; supervision says which conditions hold, the app carries out the actions.

Priorities and signals follow IEC 60601-1-8 in timing pattern only (docs/alarms.md); a silence lasts at most two
minutes, a new alarm breaks through it, and there is no way to silence for good.
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

# Phases of one alarm.
CLEAR, ACTIVE, ACKNOWLEDGED, LATCHED = const(0), const(1), const(2), const(3)
PHASES = ("clear", "active", "acknowledged", "latched")

# Piezo: milliseconds on and off within a burst, then the pause to the next burst. Docs name the source of each window.
_HIGH_BURST = (150, 100, 150, 100, 150, 250, 150, 100, 150, 700, 150, 100, 150, 100, 150, 250, 150, 100, 150, 5000)
_MEDIUM_BURST = (200, 200, 200, 200, 200, 10_000)
_LOW_BURST = (200, 200, 200, 20_000)
BURSTS = (None, _LOW_BURST, _MEDIUM_BURST, _HIGH_BURST)
TONE_HZ = (0, 523, 587, 784)

SILENCE_MAX_S = const(120)


class Alarms:
    """The alarms that stand. Times are seconds of uptime.

    `set(name, now_s)` and `unset(name)` report a condition; `changed` collects (number, phase) for journal and events.
    """

    def __init__(self):
        self.phase = bytearray(len(ALARMS))
        self.since_s = [0] * len(ALARMS)
        self.silent_until_s = 0
        self.changed = []
        self.standing = 0  # how many are not CLEAR: the quick answer for the loop

    @staticmethod
    def index(name):
        """Place of an alarm in ALARMS; KeyError for an unknown name."""
        for i, row in enumerate(ALARMS):
            if row[NAME] == name:
                return i
        raise KeyError(name)

    def _go(self, i, phase):
        was = self.phase[i]
        self.phase[i] = phase
        self.standing += (was == CLEAR) - (phase == CLEAR)
        self.changed.append((i, phase))

    def set(self, name, now_s):
        """The condition of `name` holds. True when this alarm is new (and breaks through a silence)."""
        i = self.index(name)
        if self.phase[i] == CLEAR or self.phase[i] == LATCHED:
            new = self.phase[i] == CLEAR
            self.since_s[i] = now_s
            self._go(i, ACTIVE)
            if new:
                self.silent_until_s = now_s
            return new
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

    def acknowledge(self, name=None):
        """Acknowledge one alarm, or all. Returns how many that changed."""
        count = 0
        for i in range(len(ALARMS)):
            if name is not None and ALARMS[i][NAME] != name:
                continue
            if self.phase[i] == LATCHED:
                self._go(i, CLEAR)
                count += 1
            elif self.phase[i] == ACTIVE:
                self._go(i, ACKNOWLEDGED)
                count += 1
        return count

    def silence(self, now_s, seconds):
        """Audio pause of at most SILENCE_MAX_S from now on."""
        self.silent_until_s = now_s + min(seconds, SILENCE_MAX_S)

    def top(self):
        """Index of the alarm to show (highest priority, then newest), or -1. Acknowledged ones count last."""
        if not self.standing:
            return -1
        best = -1
        best_rank = (-1, 0, 0)
        for i, row in enumerate(ALARMS):
            if self.phase[i] != CLEAR:
                rank = (self.phase[i] != ACKNOWLEDGED, row[TRAITS] & PRIORITY, self.since_s[i])
                if rank > best_rank:
                    best, best_rank = i, rank
        return best

    def sounding(self, now_s):
        """Priority that sounds now, 0 for silence."""
        if not self.standing or now_s < self.silent_until_s:
            return 0
        return self.signalling()

    def signalling(self):
        """Highest priority that is not acknowledged, 0 for none."""
        best = 0
        for i, row in enumerate(ALARMS):
            if self.phase[i] == ACTIVE or self.phase[i] == LATCHED:
                best = max(best, row[TRAITS] & PRIORITY)
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
        standing = [i for i in range(len(ALARMS)) if self.phase[i] != CLEAR]
        rows = [(-(ALARMS[i][TRAITS] & PRIORITY), -self.since_s[i], i) for i in standing]
        rows.sort()
        return [row[2] for row in rows]
