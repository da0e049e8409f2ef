"""The books of a life: what the host has ordered, as two bounds on what the motor may have been told by now.

Owns: orders as flows over time, upper and lower bound, and the judgement of the edges at the motor against them. Must
not: ask the pump anything: it knows what the host sent and was answered, when, and what the plant saw.

The upper bound counts an order from the moment at which its line was sent, the lower one from its answer; what nobody
answered counts above and not below. Whenever nothing can be running the books are closed: what was not delivered till
then is never owed, so it can't hide what comes too much later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from haipump_emulator.campaign.violation import LATE_US, Violation
from haipump_emulator.campaign.window import DoseWindow, Start

DAY_US = 86_400_000_000
SLACK_STEPS = 2.0  # half a step of the schedule, and the fraction that is carried over orders
RELIEF_US = 2_000_000  # a back-off begins so soon after the motor went off
HALT_US = 100  # ... and the step machine is halted so soon after that
NEVER_US = -(1 << 62)
RELIEF_STEPS = 3_280  # ... and goes back by so many steps at most: 2 mm, and the play of the nut before them

BASAL, BOLUS, EXTENDED = "basal", "bolus", "extended"
Planned = Callable[[float], float]


def steady(nl_per_day: float, volume_nl: float = 0.0, after_nl_per_day: float = 0.0) -> Planned:
    """A rate, perhaps up to a volume and then with another rate."""
    rate, after = nl_per_day / DAY_US, after_nl_per_day / DAY_US
    if not volume_nl:
        return lambda us: rate * us
    end_us = volume_nl / rate
    return lambda us: rate * us if us < end_us else volume_nl + after * (us - end_us)


@dataclass(frozen=True)
class Pulse:
    """A bolus of a programme: when it begins, by the programme's time, how long it takes, how much it is."""

    at_us: float
    length_us: float
    volume_nl: float


def pulsed(planned: Planned, pulses: Sequence[Pulse]) -> Planned:
    """With the boluses of a programme."""

    def total(us: float) -> float:
        parts = (
            min(1.0, (us - pulse.at_us) / pulse.length_us) * pulse.volume_nl for pulse in pulses if us > pulse.at_us
        )
        return planned(us) + sum(parts)

    return total


def stairs(rates: list[tuple[float, float]], after_nl_per_day: float = 0.0) -> Planned:
    """Rates (us, nL/day) one after the other, then another for ever."""

    def planned(us: float) -> float:
        total = 0.0
        for span_us, rate in rates:
            if us <= span_us:
                return total + rate / DAY_US * us
            total += rate / DAY_US * span_us
            us -= span_us
        return total + after_nl_per_day / DAY_US * us

    return planned


@dataclass
class Flow:
    """One order. `ends_us`: how long it takes, 0 for ever. `high` and `low` say whether it counts in that bound now.

    `pulses_us`: when its boluses begin, by its own time; `firsts_us`: since when they may have, by the pump's clock."""

    identity: int
    kind: str  # BASAL or BOLUS, of which there is one, or EXTENDED, which waits for a bolus
    planned: Planned
    ends_us: float = 0.0
    high: bool = True
    low: bool = False
    sure: bool = False  # the pump said yes
    high_us: float = 0.0
    low_us: float = 0.0
    pulses_us: Sequence[float] = ()
    firsts_us: list[float] = field(default_factory=list)
    began: int = 0  # pulses that surely have
    ordered_us: int = 0
    lockout_s: int = 0

    @property
    def over(self) -> bool:
        return 0 < self.ends_us <= self.low_us - LATE_US


@dataclass
class Books:
    """`edge` is called for every edge at STEP, `check` as often as one likes. Volumes in nL, times in us."""

    step_nl: float
    slack_steps: float = SLACK_STEPS
    edges: int = 0
    made: int = 0  # edges in either direction
    dose: int = 0  # edges since the syringe was loaded, handling left out
    furthest: int = 0  # the most that these ever were: a back-off takes nothing out of the patient
    doubt: int = 0  # steps of these that were, or took up, play
    backs: int = 0  # ... of them those of back-offs
    stops: int = 0  # how often the motor went off during a delivery since then
    play: int = 0  # steps that the next order makes first, after a pull
    backed: int = -1  # steps of the back-off that runs; -1: none does
    handling: bool = False
    enabled: bool = False
    pace: float = 1.0  # how much faster than right the pump's clock may go, or by as much slower
    trusted: bool = True  # the CPU does what it should: the lower bound counts
    flows: dict[int, Flow] = field(default_factory=dict)
    most_nl: float = 0.0  # the largest excess over the upper bound without slack
    window: DoseWindow = field(init=False)
    checks: int = 0
    _off_us: int = NEVER_US
    _from: int = 0
    _high: float = 0.0
    _low: float = 0.0
    _t_us: int = 0
    _open: bool = False

    def __post_init__(self) -> None:
        self.window = DoseWindow(self.step_nl)

    # --- what the plant saw

    def edge(self, t_us: int, direction: int) -> None:
        self.edges += direction
        self.made += 1
        if self.handling:
            self.window.skip -= direction > 0 and self.window.skip > 0
            return
        self.dose += direction
        if self.dose > self.furthest:
            self.furthest = self.dose
        if self.backed >= 0:
            self._back(t_us, direction)
            return
        if direction < 0:
            raise Violation("backwards", t_us, "a step back without an order that pulls")
        if not self.enabled and 0 <= t_us - self._off_us <= HALT_US:
            return  # a stop switches the motor off first, and the steps then: what comes in between moves nothing
        if not self.flows:
            raise Violation("motion", t_us, f"a step while nothing is ordered ({self.edges - self._from} since then)")
        if not self.enabled:
            raise Violation("motion", t_us, "a step while the motor is off")
        self.window.edge(t_us)

    def _back(self, t_us: int, direction: int) -> None:
        self.backed += 1
        if direction > 0 or self.backed > RELIEF_STEPS:
            raise Violation("backwards", t_us, f"step {self.backed} of a back-off goes the wrong way, or too far")

    def motor(self, t_us: int, on: bool) -> None:
        """EN as the pump sets it. Off ends everything; only what ended a delivery may go back a little, at once."""
        self.check(t_us)
        if self.enabled and not on:
            self._off_us = t_us if self.flows or self.handling else NEVER_US
            self.stops += bool(self.flows)
        self.enabled = on
        if on and not self.flows and not self.handling:
            if t_us - self._off_us > RELIEF_US:
                raise Violation("motor_on", t_us, "the motor gets current while nothing is ordered")
            self.backed = 0
        if not on:
            self.close(t_us)

    def close(self, t_us: int) -> None:
        """Nothing runs any more: motor off, reset, power cut."""
        self._accrue(t_us)
        self.flows.clear()
        self.handling = False
        self.trusted = True
        self._rebase()
        if self.backed > 0:
            self.play += self.backed
            self.doubt += self.backed
            self.backs += self.backed
            self.window.skip += self.backed
        self.backed = -1

    def pulled(self, steps: int) -> None:
        """The screw's play is open: so many steps go into it before anything moves."""
        self.doubt += steps
        self.play = max(self.play, steps)
        self.window.skip = max(self.window.skip, steps)

    def loaded(self) -> None:
        """Another syringe: the dose counts from here on."""
        self.dose = self.furthest = self.backs = self.stops = 0
        self.doubt = self.play

    def _rebase(self) -> None:
        if self.edges - self._from >= self.play:
            self.play = 0
        self._from, self._high, self._low = self.edges, 0.0, 0.0

    # --- what the host did

    def sent(self, t_us: int, flow: Flow) -> None:
        """The line that begins a flow goes out."""
        self._accrue(t_us)
        if not self.flows:
            self._rebase()
        self.flows[flow.identity] = flow

    def begun(self, t_us: int, identity: int) -> None:
        """The pump said yes: a basal flow replaces the one before."""
        self._accrue(t_us)
        flow = self.flows.get(identity)
        if flow is None:  # the motor is off again by now
            return
        flow.sure = flow.low = True
        flow.low_us = -float(LATE_US)
        flow.ordered_us, flow.lockout_s = t_us, self.window.lockout_s()
        for other in list(self.flows.values()):
            if other is not flow and other.kind == flow.kind == BASAL:
                self._end(other)

    def refused(self, t_us: int, identity: int) -> None:
        """The pump said no, or was found not to have taken it."""
        self._accrue(t_us)
        self.flows.pop(identity, None)

    def holding(self, t_us: int) -> None:
        """A line that may end or hold something goes out: nothing is sure to be delivered."""
        self._accrue(t_us)
        for flow in self.flows.values():
            flow.low = False

    def held(self, t_us: int) -> None:
        """The pump said that it holds."""
        self._accrue(t_us)
        for flow in self.flows.values():
            flow.high_us += LATE_US
            flow.high = False

    def going(self, t_us: int) -> None:
        """A line that may resume goes out."""
        self._accrue(t_us)
        for flow in self.flows.values():
            flow.high = True

    def went(self, t_us: int) -> None:
        """The pump said that it goes on: from the answer on all that is sure counts again."""
        self._accrue(t_us)
        for flow in self.flows.values():
            flow.low, flow.low_us = flow.sure, flow.low_us - LATE_US

    def ended(self, t_us: int, identity: int) -> None:
        """One flow is over, by the pump's answer."""
        self._accrue(t_us)
        if identity in self.flows:
            self._end(self.flows[identity])

    def forget_low(self, t_us: int) -> None:
        """Something has happened that may end or delay any flow: only the upper bound counts till the books close."""
        self._accrue(t_us)
        self.trusted = False

    # --- judgement

    def bounds(self) -> tuple[float, float]:
        """(low, high) in nL since the books were closed, without slack."""
        low = self._low + sum(max(0.0, flow.planned(max(0.0, flow.low_us))) for flow in self.flows.values())
        return low, self._high + sum(flow.planned(flow.high_us) for flow in self.flows.values())

    @property
    def delivered_nl(self) -> float:
        return (self.edges - self._from) * self.step_nl

    def check(self, t_us: int) -> None:
        """Raises Violation when more, or surely less, was delivered than ordered."""
        self._accrue(t_us)
        if self.handling or not self.flows:
            return
        self.checks += 1
        low, high = self.bounds()
        slack = self.slack_steps * self.step_nl
        if not self.play:
            self.most_nl = max(self.most_nl, self.delivered_nl - high)
        if self.delivered_nl > high + slack + self.play * self.step_nl:
            text = f"{self.delivered_nl:.1f} nL delivered, at most {high:.1f} nL ordered"
            raise Violation("over_delivery", t_us, text)
        if self.trusted and self.enabled and self.delivered_nl < low - slack:
            text = f"{self.delivered_nl:.1f} nL delivered, {low:.1f} nL are due"
            raise Violation("under_delivery", t_us, text)
        for flow in list(self.flows.values()):
            if flow.over and len(self.flows) > 1:
                self._end(flow)

    def _end(self, flow: Flow) -> None:
        self._high += flow.planned(flow.high_us + (LATE_US if flow.high else 0))
        self._low += max(0.0, flow.planned(max(0.0, flow.low_us)))
        self.flows.pop(flow.identity, None)

    def _accrue(self, t_us: int) -> None:
        passed = t_us - self._t_us
        if passed <= 0:
            return
        self._t_us = t_us
        waits = any(flow.kind == BOLUS for flow in self.flows.values())
        for flow in self.flows.values():
            if flow.high:
                flow.high_us += passed * self.pace
            if flow.low and not (waits and flow.kind == EXTENDED):
                flow.low_us += passed * (2 - self.pace)
            if flow.pulses_us:
                self._pulses(flow, passed)

    def _pulses(self, flow: Flow, passed: int) -> None:
        """Which boluses of a programme may have begun in the time that has passed, and which surely did."""
        while (may := len(flow.firsts_us)) < len(flow.pulses_us) and flow.high_us >= flow.pulses_us[may]:
            ago_us = min(float(passed), (flow.high_us - flow.pulses_us[may]) / self.pace)
            flow.firsts_us.append(self.window.clock(self._t_us - ago_us))
        while self.trusted and flow.low and flow.began < len(flow.firsts_us):
            ago_us = (flow.low_us - flow.pulses_us[flow.began]) / (2 - self.pace)
            if ago_us < 0:
                break
            last_us = self.window.clock(self._t_us - min(float(passed), ago_us))
            start = Start(flow.firsts_us[flow.began], last_us, flow.ordered_us, flow.lockout_s)
            flow.began += 1
            self.window.pulse(start, self._t_us)
