"""What must be equal on two cores, and how nearly: the one place that says so. docs/testing.md tells it to people.

Owns: the rules and their figures. Must not: run anything.

1. Events come in the same order with the same fields, and so do answers, each within `LAG_US` of the other, but for the
   fields that `_VARYING` lists. What a look at the sensors may have found comes within `LOOK_US` more; while a pump
   starts there is no bound, for `direct` starts at once.
2. From motor on to motor off (a stretch) the steps have the same directions. As long as nothing was ordered, ended or
   went wrong in it, every edge lies at the same distance from the first one, to `EDGE_US`, and so do the edges of an
   order that begins in a stretch of its own whatever came before, once its speed is steady.
3. A change that comes while the motor runs takes hold a little later on one core than on the other. From there on, at
   no time has one core made more steps ahead of the other than its highest speed makes in `LAG_US`, one more for the
   fraction of a step, for each change; and where the speed is steady, the distance from edge to edge is the same to
   `EDGE_US`.
4. A stretch that ends as planned has the same number of steps; one that is cut short may differ by those of rule 3.
   The noise of the pressure decides when the sensors are looked at, and each core has its own: a stretch that ends with
   what a look finds may go on for `LOOK_STEPS` more.
5. What a power cut in motion leaves is the last commit, which a look makes: volumes may differ by one commit then, the
   width of the range that a pump tells.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import zip_longest

from haipump_emulator.trace.compare import clock_text
from haipump_fw.app import TICK_STEPS
from haipump_fw.core.ledger import COMMIT_NL
from tests.equivalence.play import BOOT_US, Record, Stretch

EDGE_US = 2
LAG_US = 150_000
LOOK_US = 7_500_000  # supervision looks so often in slow basal
LOOK_STEPS = TICK_STEPS  # ... and after so many steps at the latest
FOUND_BY_A_LOOK = ("motor_stall", "occlusion", "pressure_sensor", "over_infusion", "reverse_delivery", "supply_failing")
AROUND = 4  # lines shown around a difference
STEP_NL = 600  # more than a microstep of any syringe has
STEADY = 3  # equal distances in a row that make a steady speed
# Fields that differ by design: times, memory, tokens, what noise does to a reading, what the boards are called.
_VARYING = frozenset(
    "token valid_s hash nonce device uptime_s uptime_us heap_free interpreter app_hash board age_s silence_s elapsed_s"
    " left_s empty_in_s confirmed_nl pressure_pa lost_steps first last".split()
)
_VOLUMES = (
    "stepped_nl",
    "commanded_nl",
    "left_nl",
    "bolus_left_nl",
    "extended_left_nl",
    "delivered_nl",
    "stepped_min_nl",
)
_VOLUMES += ("stepped_max_nl", "reservoir_nl", "primed_nl", "withdrawn_nl", "from_nl_per_day", "flow_nl_per_day")


@dataclass(frozen=True)
class Difference:
    """The first thing that is not alike: what, its place, both values, and the lines around it on both cores."""

    what: str
    t_us: int
    index: int
    first: str
    second: str
    around: tuple[str, ...] = ()

    def text(self) -> str:
        head = f"first difference at {clock_text(self.t_us)}: {self.what}, number {self.index + 1}"
        return "\n".join([head, f"  direct  {self.first}", f"  chip    {self.second}", *self.around])


@dataclass
class Figures:
    """What was compared, and how near it was."""

    exact: int = 0  # edges held to EDGE_US from their order's first one
    steady: int = 0  # edges held to EDGE_US from the one before
    bounded: int = 0  # edges held to the bound of rule 3 alone
    edge_us: int = 0  # worst of the first two kinds
    begin_us: int = 0  # worst lag of a first edge
    said_us: int = 0  # worst lag of an event or answer
    ahead_steps: int = 0  # most steps that one core was ahead of the other


class Comparison:
    """`difference` is None when the two records are alike."""

    def __init__(self, first: Record, second: Record) -> None:
        self._first, self._second = first, second
        self.figures = Figures()
        self._slack_nl = 0.0
        self._clean = True  # no fraction of a step has been left that differs
        self.difference = self._stretches() or self._said() or self._ends()

    # --- steps

    def _stretches(self) -> Difference | None:
        pairs = zip_longest(self._first.stretches, self._second.stretches)
        for number, (a, b) in enumerate(pairs):
            if a is None or b is None:
                other = a or b
                return self._found("a stretch of steps", other.on_us, number, _shown(a), _shown(b))
            found = self._stretch(number, a, b)
            if found is not None:
                return found
        return None

    def _changes(self, stretch: Stretch, record: Record) -> list[int]:
        """When something was ordered, ended or went wrong in a stretch, in order."""
        inside = range(stretch.on_us + LAG_US, stretch.off_us)
        changes = [t for t, text in record.inputs if t in inside]
        changes += [t for t, name, fields in record.said if t in inside and name in ("done", "alarm")]
        return sorted(changes)

    def _stretch(self, number: int, a: Stretch, b: Stretch) -> Difference | None:
        changes = self._changes(a, self._first)
        planned = self._ended_as_planned(a, self._first) and self._ended_as_planned(b, self._second)
        top = max(_speed(a.steps), _speed(b.steps))
        ahead = math.ceil(top * LAG_US / 1e6 * (len(changes) + 1)) + 1 + len(changes)
        looked = _ended_by_a_look(a, self._first) and _ended_by_a_look(b, self._second)
        most = (0 if self._clean and not changes else 1) if planned else ahead + LOOK_STEPS * looked
        if abs(len(a.steps) - len(b.steps)) > most:
            what = f"steps of stretch {number + 1} (at most {most} may differ)"
            return self._found(what, a.on_us, number, _shown(a), _shown(b))
        for index, ((t, way), (u, other)) in enumerate(zip(a.steps, b.steps, strict=False)):
            if way != other:
                return self._found("direction of a step", t, index, f"{way} at {t}", f"{other} at {u}")
        found = self._edges(a.steps, b.steps, changes)
        if found is None and changes:
            both_us = min(a.steps[-1][0], b.steps[-1][0]) + LAG_US if looked else 1 << 62
            found = self._bounded(*([step for step in one.steps if step[0] <= both_us] for one in (a, b)), ahead)
        if changes or not planned:
            self._clean = False
            self._slack_nl += ahead + LOOK_STEPS * looked
        if any(text == "power off" and abs(t - a.off_us) <= LAG_US for t, text in self._first.inputs):
            self._slack_nl += COMMIT_NL / STEP_NL
        return found

    @staticmethod
    def _ended_as_planned(stretch: Stretch, record: Record) -> bool:
        """Its last order was complete, or it has not ended."""
        near = [f["result"] for t, name, f in record.said if name == "done" and abs(t - stretch.off_us) < LAG_US]
        return bool(near) and near[-1] == "complete"

    def _edges(self, a: list[tuple[int, int]], b: list[tuple[int, int]], changes: list[int]) -> Difference | None:
        if not a or not b:
            return None
        figures = self.figures
        first_lag = b[0][0] - a[0][0]
        if self._clean:
            figures.begin_us = max(figures.begin_us, abs(first_lag))
        if self._clean and abs(first_lag) > LAG_US:
            return self._found("begin of an order", a[0][0], 0, str(a[0][0]), f"{b[0][0]}, {first_lag} us later")
        until_us = changes[0] if changes else 1 << 62
        for index in range(1, min(len(a), len(b))):
            t, u = a[index][0], b[index][0]
            if self._clean and t < until_us:
                off = u - t - first_lag
                figures.exact += 1
                what = "edge, from its order's first one"
            elif _steady(a, index) and _steady(b, index):
                off = (u - b[index - 1][0]) - (t - a[index - 1][0])
                if any(abs(t - change) < _SETTLE_US for change in changes):
                    continue
                figures.steady += 1
                what = "edge, from the one before"
            else:
                figures.bounded += 1
                continue
            figures.edge_us = max(figures.edge_us, abs(off))
            if abs(off) > EDGE_US:
                values = f"{t - a[index - 1][0]} us after the one before", f"{u - b[index - 1][0]} us, {off} us off"
                return self._found(what, t, index, *values)
        return None

    def _bounded(self, a: list[tuple[int, int]], b: list[tuple[int, int]], most: int) -> Difference | None:
        times_a, times_b = [t for t, _ in a], [t for t, _ in b]
        for index, t in enumerate(times_b):
            lead = abs(index + 1 - bisect_right(times_a, t))
            self.figures.ahead_steps = max(self.figures.ahead_steps, lead)
            if lead > most:
                what = f"steps made by now (at most {most} may differ)"
                return self._found(what, t, index, str(bisect_right(times_a, t)), str(index + 1))
        return None

    # --- words

    def _said(self) -> Difference | None:
        pairs = zip_longest(_ordered(self._first), _ordered(self._second))
        for index, (a, b) in enumerate(pairs):
            if a is None or b is None or a[1] != b[1] or not self._alike(a[2], b[2]):
                t_us = (a or b)[0]
                return self._found("line of the pump", t_us, index, _line(a), _line(b))
            lag = abs(a[0] - b[0])
            booting = any(0 <= a[0] - up_us < BOOT_US for up_us in self._first.power_ups)
            if not booting and lag > LAG_US + (LOOK_US if _looked_at(a) else 0):
                return self._found("time of a line", a[0], index, _line(a), _line(b))
            if not booting and not _looked_at(a):
                self.figures.said_us = max(self.figures.said_us, lag)
        return None

    def _alike(self, a: dict[str, str], b: dict[str, str]) -> bool:
        if a.keys() != b.keys():
            return False
        for name, value in a.items():
            if name in _VARYING or value == b[name]:
                continue
            if name not in _VOLUMES or abs(int(value) - int(b[name])) > self._slack(name):
                return False
        return True

    def _slack(self, name: str) -> float:
        """What a volume may differ by: a microstep, and the steps that changes in motion have cost."""
        if name.endswith("per_day"):
            return 1e12 if self._slack_nl else 1
        return (1 + self._slack_nl) * STEP_NL

    # --- the end

    def _ends(self) -> Difference | None:
        for index, (a, b) in enumerate(zip(self._first.ends, self._second.ends, strict=True)):
            if not self._alike(a, b):
                return self._found("answer at the end", 0, index, str(a), str(b))
        a, b = self._first.commanded_steps, self._second.commanded_steps
        if abs(a - b) > self._slack_nl:
            return self._found("steps in all", 0, 0, str(a), str(b))
        return None

    def _found(self, what: str, t_us: int, index: int, first: str, second: str) -> Difference:
        around = []
        for name, record in (("direct", self._first), ("chip", self._second)):
            lines = [(t, f"> {text}") for t, text in record.inputs] + [
                (t, _line(x)) for x in record.said for t in x[:1]
            ]
            lines.sort(key=lambda line: line[0])
            at = bisect_right([t for t, _ in lines], t_us)
            shown = lines[max(0, at - AROUND) : at + AROUND]
            around += [f"    {name:6}  {clock_text(t)}  {text}" for t, text in shown]
        return Difference(what, t_us, index, first, second, tuple(around))


_SETTLE_US = 400_000  # around a change in motion, edges of the old and the new plan are not matched one by one


def _speed(steps: list[tuple[int, int]]) -> float:
    """The highest speed in steps/s, over four steps."""
    gaps = [b[0] - a[0] for a, b in zip(steps, steps[4:], strict=False)]
    return 4e6 / min(gaps) if gaps else len(steps)


def _steady(steps: list[tuple[int, int]], index: int) -> bool:
    around = steps[max(0, index - STEADY) : index + STEADY + 1]
    gaps = [b[0] - a[0] for a, b in zip(around, around[1:], strict=False)]
    return len(gaps) == 2 * STEADY and max(gaps) - min(gaps) <= 1


def _ended_by_a_look(stretch: Stretch, record: Record) -> bool:
    near = [f["alarm"] for t, name, f in record.said if name == "alarm" and abs(t - stretch.off_us) < LAG_US]
    return any(name in FOUND_BY_A_LOOK for name in near)


def _shown(stretch: Stretch | None) -> str:
    if stretch is None:
        return "none"
    return f"{len(stretch.steps)} from {clock_text(stretch.on_us)} to {clock_text(max(0, stretch.off_us))}"


def _line(said: tuple[int, str, dict[str, str]] | None) -> str:
    if said is None:
        return "(nothing more)"
    t_us, name, fields = said
    return f"{clock_text(t_us)} {name} " + " ".join(f"{key}={value}" for key, value in fields.items())


def _ordered(record: Record) -> list[tuple[int, str, dict[str, str]]]:
    """Answers, then events but for telemetry: which of the two kinds goes out first hangs on the console's speed."""
    return [said for said in record.said if said[1] in ("ok", "err")] + [
        said for said in record.said if said[1] not in ("ok", "err", "tele")
    ]


def _looked_at(said: tuple[int, str, dict[str, str]]) -> bool:
    return said[1] in ("alarm", "done", "state")
