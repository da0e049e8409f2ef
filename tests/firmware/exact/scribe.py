"""Says to the oracle what happened to whom and when: began, held, went on, cancelled, ended; and each step.

Owns: what one order means for the others (an immediate bolus holds an extended one; several slow down together), the
play of the nut, and that handling has an accumulator of its own. Must not: look at what the firmware worked out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from haipump_fw.delivery import BASAL, BOLUS, DOSE, EXTENDED, HOME, KVO, PROGRAMME, WITHDRAW
from tests.firmware.exact import oracle

FLOWS = (BASAL, KVO, PROGRAMME)


@dataclass
class Text:
    """An order as given. `volume_nl` 0: endless; `rate` 0: the time is given; `sudden`: a ramp or a programme."""

    source: int
    plans: list[oracle.Plan]
    volume_nl: int = 0
    rate: int = 0
    sudden: bool = False
    back: bool = False


class Closed:
    """An order that is over: what the text planned for it until then, in nL."""

    def __init__(self, number: int, text: Text, planned: Fraction) -> None:
        self.number = number
        self.text = text
        self.planned = planned


class Scribe:
    def __init__(self, values: dict[str, int]) -> None:
        motor = oracle.Motor(
            Fraction(values["step_fl"], 1_000_000),
            values["start_steps_per_s"],
            max(1, values["accel_steps_per_s2"] * oracle.STAIR_US // oracle.US_PER_S),
            values["max_steps_per_s"],
        )
        self.motor = motor
        self.timeline = self.doses = oracle.Timeline(motor)
        self.handled: list[oracle.Timeline] = []
        self.backlash = values["backlash_steps"]
        self.takeup_us = 1_000_000 // min(values["start_steps_per_s"], 1_000)  # take-up runs at the start speed
        self.slack = 0
        self.texts: dict[int, Text] = {}
        self.runs: dict[int, oracle.Run] = {}
        self.cancelled: set[int] = set()
        self.closed: list[Closed] = []
        self.is_paused = False

    def step(self, at: int, direction: int) -> None:
        """Take-up as long as there is play, then volume."""
        if direction > 0 and self.slack:
            self.slack -= 1
        elif direction < 0 and self.slack < self.backlash:
            self.slack += 1
        else:
            self.timeline.see(at)

    def _of(self, *sources: int) -> int | None:
        return next((number for number, text in self.texts.items() if text.source in sources), None)

    def first_us(self, t_us: int, back: bool = False) -> int:
        """When a plan that is ordered now begins: behind the take-up and one of its steps."""
        play = self.backlash - self.slack if back else self.slack
        return t_us + (play + 1) * self.takeup_us if play else t_us

    def flow_before(self, t_us: int) -> Fraction:
        """Flow of the basal order that is about to be replaced."""
        number = self._of(*FLOWS)
        if number is None:
            return oracle.ZERO
        flow = self.runs[number].flow(t_us)
        # A ramp is never above the start speed, whatever stairs and line make of its last digit.
        return min(flow, self.motor.flow(self.motor.start)) if self.texts[number].sudden else flow

    def started(self, t_us: int, number: int, text: Text) -> None:
        if text.source not in DOSE:
            self.timeline = oracle.Timeline(self.motor)
            self.handled.append(self.timeline)
        run = self.timeline.begin(self.first_us(t_us, text.back or text.source in (WITHDRAW, HOME)), *text.plans)
        extended, bolus = self._of(EXTENDED), self._of(BOLUS)
        self.texts[number] = text
        self.runs[number] = run
        if text.source == BOLUS and extended is not None:
            self._hold(t_us, extended, self.motor)
        if text.source == EXTENDED and bolus is not None:
            run.hold(t_us)

    def ended(self, t_us: int, number: int) -> None:
        text = self.texts.pop(number)
        self.cancelled.discard(number)
        self.closed.append(Closed(number, text, self.timeline.end(self.runs.pop(number), t_us)))
        if text.source not in DOSE:
            self.timeline = self.doses
        extended = self._of(EXTENDED)
        if text.source == BOLUS and extended is not None and not self.is_paused:
            self._go_on(t_us, extended)

    def cancel(self, t_us: int, number: int) -> bool:
        """True when it is over now; a fast one slows down first."""
        run = self.runs[number]
        speed = self.motor.speed(run.flow(t_us))
        if -(-speed // 1) <= self.motor.start:
            return True
        if number not in self.cancelled:
            self.cancelled.add(number)
            run.motor = None
            run.replace(t_us, oracle.coast(self.motor, speed))
        return False

    def _hold(self, t_us: int, number: int, motor: oracle.Motor) -> None:
        run = self.runs[number]
        if run.motor is not None or number in self.cancelled:
            return
        speed = motor.speed(run.flow(t_us))
        if run.held_us is None and -(-speed // 1) > motor.start and not self.texts[number].sudden:
            run.top = run.plans[0].top() if run.top is None else run.top
            run.motor = motor
            run.replace(t_us, oracle.coast(motor, speed))
        else:
            run.hold(t_us)

    def _go_on(self, t_us: int, number: int) -> None:
        run, text = self.runs[number], self.texts[number]
        if run.motor is None:
            run.release(self.first_us(t_us))
            return
        now = run.motor.speed(run.flow(t_us))
        if text.volume_nl:
            assert run.top is not None
            rate = text.rate or run.top * oracle.DAY_US // 1
            plan = oracle.at_rate(text.volume_nl - run.planned(t_us), rate, run.motor, now)
        else:
            plan = oracle.rate(text.rate, run.motor, now)
        run.replace(self.first_us(t_us), plan)
        run.motor = None

    def paused(self, t_us: int) -> None:
        """All are held; what can, slows down if together they are too fast."""
        self.is_paused = True
        motor = self.motor
        speeds = {}
        for number, run in self.runs.items():
            free = run.held_us is None and run.motor is None and number not in self.cancelled
            speeds[number] = -(-motor.speed(run.flow(t_us)) // 1) if free else 0
        sudden = sum(speed for number, speed in speeds.items() if self.texts[number].sudden)
        total = sum(speeds.values()) - sudden
        for number, speed in speeds.items():
            share = motor
            if sudden + total > motor.start and speed and not self.texts[number].sudden:
                share = motor.share(speed, total, motor.start - sudden)
            self._hold(t_us, number, share)

    def resumed(self, t_us: int) -> None:
        self.is_paused = False
        for number, text in self.texts.items():
            if text.source != EXTENDED or self._of(BOLUS) is None:
                self._go_on(t_us, number)

    def stopped(self, t_us: int) -> None:
        self.timeline.look(t_us)
        self.is_paused = True  # nothing goes on now
        for number in list(self.runs):
            self.ended(t_us, number)
        self.is_paused = False
