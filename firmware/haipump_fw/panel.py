"""The operator's panel: what the buttons ask for, and what LEDs and piezo tell.

Owns: debouncing of presses, which signals are played when. Must not: decide what an alarm does to the motion, or time a
signal: the port does that by itself.
"""

from haipump_fw import ports as contract
from haipump_fw.const import const
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core.clock import Deadline, ticks_add, ticks_diff
from haipump_fw.core.states import RUNNING

_PRESS_MIN_MS = const(50)  # a second press of one button within this time is contact bounce
_LOOK_S = const(10)  # while an alarm stands: is there one that escalates?


class OperatorPanel:
    def __init__(self, app):
        self._app = app
        self._bounces = [Deadline() for _ in range(3)]  # until then a press of that button is contact bounce
        self._tick = app.clock.tick
        self._stale = True
        self._lit = self._flashing = self._sounding = 0

    def refresh(self):
        """State, alarms or silence have changed: look again."""
        self._stale = True

    def waiting(self, now):
        """There is something to show."""
        return self._stale or (self._app.alarms.standing and ticks_diff(self._tick, now) <= 0)

    def left_us(self, now):
        """Microseconds until it is looked again."""
        return 0 if self._stale else ticks_diff(self._tick, now)

    def press(self, pressed):
        """Buttons that went down: bits of `Inputs.pressed`."""
        app = self._app
        for place, bit in enumerate((contract.IN_STOP, contract.IN_START, contract.IN_SILENCE)):
            if not pressed & bit:
                continue
            if bit == contract.IN_STOP:
                app.stop("button")
            bounce = self._bounces[place]
            if bounce.s >= 0 and not bounce.passed(app.clock):
                continue
            bounce.after(app.clock, _PRESS_MIN_MS)
            if bit == contract.IN_START:
                name = "start"
                if app.machine.state == "paused" and app.alarms.forbids(alarm_table.NO_START) is None:
                    app.resume("button")
            elif bit == contract.IN_SILENCE:
                name = "silence"
                app.silence(app.values["silence_s"], "button")
            else:
                name = "stop"
            app.session.event("button", [("button", name)])

    def signal(self, now):
        """LEDs and piezo tell what stands now. What goes on as it was is left alone: no pulse is cut short."""
        app = self._app
        alarms = app.alarms
        panel = app.ports.panel
        self._stale = False
        if alarms.standing:
            alarms.watch(app.clock.s)
        left_s = app.check_silence() or _LOOK_S
        priority = alarms.signalling()
        sound = alarms.sounding(app.clock.s)
        flashing = priority if priority > alarm_table.LOW else 0
        if flashing != self._flashing or sound != self._sounding:
            app.keep_moving()  # the first signal loads who plays it
        if flashing != self._flashing:
            self._flashing = flashing
            led = contract.LED_RED if flashing == alarm_table.HIGH else contract.LED_YELLOW
            panel.flash(led if flashing else 0, alarm_table.FLASHES[flashing])
            self._lit = -1
        lit = contract.LED_GREEN if app.machine.state in RUNNING else 0
        if priority == alarm_table.LOW:
            lit |= contract.LED_YELLOW
        if lit != self._lit:
            self._lit = lit
            panel.leds(lit)
        if sound != self._sounding:
            self._sounding = sound
            panel.sound(alarm_table.TONE_HZ[sound], alarm_table.BURSTS[sound])
        self._tick = ticks_add(now, left_s * 1_000_000)
