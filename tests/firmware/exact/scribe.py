"""Says to the oracle what happened to whom and when: began, held, went on, cancelled, ended; and each step.

A change holds from a moment that the firmware names, which may be to come: it is kept until then, and applied in time
order with the pulses. A stop in between comes first, and what was to hold later never did.

Owns: what one order means for the others (an immediate bolus holds an extended one; several slow down together), the
play of the nut, and that handling has an accumulator of its own. Must not: look at what the firmware worked out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from haipump_fw.delivery import BASAL, BOLUS, DOSE, EXTENDED, HOME, KVO, PROGRAMME, WITHDRAW
from tests.firmware.exact import oracle

FLOWS = (BASAL, KVO, PROGRAMME)
LEAD_US = 20_000  # from an order to the plan, at rest
SOON_US = 90_000  # ... and at most, behind words that are on their way


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
        self.present: dict[int, Text] = {}  # what runs when everything holds that has been ordered
        self._to_come: list[tuple[int, Callable[..., object], tuple]] = []

    # --- when it holds

    def will_start(self, now: int, holds_us: int, number: int, text: Text) -> None:
        """Ordered now; what has its place is over then."""
        back = text.back or text.source in (WITHDRAW, HOME)
        # At rest behind the lead and the take-up, and one step of it; in motion that is on its way already.
        play = self.backlash - self.slack if back else self.slack
        assert now < holds_us <= now + SOON_US + LEAD_US + (play + 1) * self.takeup_us
        if text.source in FLOWS:
            for old in [old for old, was in self.present.items() if was.source in FLOWS]:
                del self.present[old]
        waits = text.source == EXTENDED and self._bolus_runs()
        self.present[number] = text
        self._then(holds_us, self.started, number, text, waits)

    def will_cancel(self, now: int, holds_us: int, number: int, over: bool) -> None:
        """`over`: the firmware says that it ends then, and does not slow down first."""
        if over:
            del self.present[number]
        self._soon(now, holds_us, self.cancel, number, over)

    def will_pause(self, now: int, holds_us: int) -> None:
        self._soon(now, holds_us, self.paused)

    def will_resume(self, now: int, holds_us: int) -> None:
        self._soon(now, holds_us, self.resumed, self._bolus_runs())

    def _bolus_runs(self) -> bool:
        """Whether an extended bolus has to wait is decided when it is ordered."""
        return any(text.source == BOLUS for text in self.present.values())

    def is_over(self, now: int, holds_us: int, number: int) -> None:
        """Its plan was complete by now; an extended bolus that waited for it goes on later."""
        self.until(now)
        self.present.pop(number, None)
        if number in self.texts:
            self.ended(now, number)
            if holds_us > now:
                self._then(holds_us, self.released)

    def _soon(self, now: int, holds_us: int, what: Callable[..., object], *args: object) -> None:
        play = max(self.slack, self.backlash - self.slack)
        assert now < holds_us <= now + SOON_US + LEAD_US + (play + 1) * self.takeup_us
        self._then(holds_us, what, *args)

    def _then(self, holds_us: int, what: Callable[..., object], *args: object) -> None:
        assert not self._to_come or self._to_come[-1][0] <= holds_us, "changes hold in the order in which they came"
        self._to_come.append((holds_us, what, args))

    def settled(self) -> bool:
        """All that was ordered holds."""
        return not self._to_come

    def until(self, t_us: int) -> None:
        """Apply what holds by then."""
        while self._to_come and self._to_come[0][0] <= t_us:
            holds_us, what, args = self._to_come.pop(0)
            what(holds_us, *args)

    # --- what holds

    def step(self, at: int, direction: int) -> None:
        """Take-up as long as there is play, then volume. A pulse at the moment of a change is one of the new plan."""
        self.until(at)
        if direction > 0 and self.slack:
            self.slack -= 1
        elif direction < 0 and self.slack < self.backlash:
            self.slack += 1
        else:
            self.timeline.see(at)

    def _of(self, *sources: int) -> int | None:
        return next((number for number, text in self.texts.items() if text.source in sources), None)

    def flow_before(self, t_us: int) -> Fraction:
        """Flow of the basal order that is about to be replaced."""
        number = self._of(*FLOWS)
        if number is None:
            return oracle.ZERO
        flow = self.runs[number].flow(t_us)
        # A ramp is never above the start speed, whatever stairs and line make of its last digit.
        return min(flow, self.motor.flow(self.motor.start)) if self.texts[number].sudden else flow

    def started(self, t_us: int, number: int, text: Text, waits: bool) -> None:
        replaced = self._of(*FLOWS)
        if text.source in FLOWS and replaced is not None:
            self.ended(t_us, replaced)
        if text.source not in DOSE:
            self.timeline = oracle.Timeline(self.motor)
            self.handled.append(self.timeline)
        run = self.timeline.begin(t_us, *text.plans)
        extended = self._of(EXTENDED)
        self.texts[number] = text
        self.runs[number] = run
        if text.source == BOLUS and extended is not None:
            self._hold(t_us, extended, self.motor)
        if waits:
            run.hold(t_us)

    def ended(self, t_us: int, number: int) -> None:
        text = self.texts.pop(number)
        self.cancelled.discard(number)
        self.closed.append(Closed(number, text, self.timeline.end(self.runs.pop(number), t_us)))
        if text.source not in DOSE:
            self.timeline = self.doses

    def released(self, t_us: int) -> None:
        """The immediate bolus is over: an extended one goes on."""
        extended = self._of(EXTENDED)
        if extended is not None and not self.is_paused:
            self._go_on(t_us, extended)

    def cancel(self, t_us: int, number: int, over: bool) -> None:
        """It ends, or slows down first when it is fast."""
        run = self.runs[number]
        speed = self.motor.speed(run.flow(t_us))
        assert over == (-(-speed // 1) <= self.motor.start)
        if over:
            bolus = self.texts[number].source == BOLUS
            self.ended(t_us, number)
            if bolus:
                self.released(t_us)
        elif number not in self.cancelled:
            self.cancelled.add(number)
            run.motor = None
            run.replace(t_us, oracle.coast(self.motor, speed))

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
            run.release(t_us)
            return
        now = run.motor.speed(run.flow(t_us))
        if text.volume_nl:
            assert run.top is not None
            rate = text.rate or run.top * oracle.DAY_US // 1
            plan = oracle.at_rate(text.volume_nl - run.planned(t_us), rate, run.motor, now)
        else:
            plan = oracle.rate(text.rate, run.motor, now)
        run.replace(t_us, plan)
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

    def resumed(self, t_us: int, waits: bool) -> None:
        self.is_paused = False
        for number, text in self.texts.items():
            if text.source != EXTENDED or not waits:
                self._go_on(t_us, number)

    def stopped(self, t_us: int) -> None:
        """What was to hold later never did; an order that had not begun yet planned nothing."""
        self.until(t_us)
        self.timeline.look(t_us)
        for number in list(self.runs):
            self.ended(t_us, number)
        for _, what, args in self._to_come:
            if what == self.started:
                self.closed.append(Closed(args[0], args[1], oracle.ZERO))
        self._to_come.clear()
        self.present.clear()
        self.is_paused = False
