"""The operator's panel: what the buttons ask for, and what LEDs and piezo tell.

Owns: debouncing of presses, the bursts of alarm signals. Must not: decide what an alarm does to the motion.
"""

from haipump_fw import ports as contract
from haipump_fw.const import const
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core.clock import Deadline, ticks_add, ticks_diff
from haipump_fw.core.states import RUNNING

_PRESS_MIN_MS = const(50)  # a second press of one button within this time is contact bounce
_REST_US = const(100_000_000)  # nothing to signal: look again


class OperatorPanel:
    def __init__(self, app):
        self._app = app
        self._bounces = [Deadline() for _ in range(3)]  # until then a press of that button is contact bounce
        self._tick = app.clock.tick
        self._burst_at = 0
        self._shown = -1  # LEDs as they are lit; -1: look again

    def refresh(self):
        """The state has changed: light the LEDs anew."""
        self._shown = -1

    def restart(self):
        """The alarms have changed: begin the burst anew."""
        self._burst_at = 0
        self._shown = -1
        self._tick = self._app.clock.tick

    def waiting(self):
        """There is something to show."""
        return self._app.alarms.standing or self._shown < 0

    def left_us(self, now):
        """Microseconds until the next element of the burst."""
        return ticks_diff(self._tick, now)

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
                if app.machine.state == "paused":
                    app.resume("button")
            elif bit == contract.IN_SILENCE:
                name = "silence"
                app.alarms.silence(app.clock.s, app.values["silence_s"])
            else:
                name = "stop"
            app.session.event("button", [("button", name)])

    def _lights(self):
        """LEDs without a flashing one."""
        app = self._app
        lights = contract.LED_GREEN if app.machine.state in RUNNING else 0
        if app.alarms.standing and app.alarms.signalling() == alarm_table.LOW:
            lights |= contract.LED_YELLOW
        return lights

    def signal(self, now):
        """LEDs and piezo: one element of the burst at a time."""
        app = self._app
        lights = self._lights()
        priority = app.alarms.signalling() if app.alarms.standing else 0
        if priority == 0:
            app.ports.panel.tone(0)
            self._show(lights)
            self._tick = ticks_add(now, _REST_US)
            return
        if ticks_diff(self._tick, now) > 0:
            return
        burst = alarm_table.BURSTS[priority]
        at = self._burst_at % len(burst)
        self._burst_at = at + 1
        on = at % 2 == 0
        audible = on and app.alarms.sounding(app.clock.s) > 0
        app.ports.panel.tone(alarm_table.TONE_HZ[priority] if audible else 0)
        if on and priority == alarm_table.HIGH:
            lights |= contract.LED_RED
        elif on and priority == alarm_table.MEDIUM:
            lights |= contract.LED_YELLOW
        self._show(lights)
        self._tick = ticks_add(now, burst[at] * 1000)

    def _show(self, lights):
        if lights != self._shown:
            self._shown = lights
            self._app.ports.panel.leds(lights)
