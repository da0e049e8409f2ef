"""An order that the pump has taken: how it stands, waiting for its end, ending it early.

Owns: `Order`. Must not: start anything (`client` does).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from haipump.answers import OrderStatus, Plan
from haipump.errors import AnswerTimeout, OrderInterrupted, UsageError
from haipump.protocol import help as texts
from haipump.quantities import format_duration, format_volume

if TYPE_CHECKING:
    from haipump.client import Pump

POLL_SHORTEST_S, POLL_LONGEST_S = 0.2, 5.0
SLOWING_S = 3.0  # a cancelled bolus is at rest by then: from 2000 steps/s it takes one
POLL_FRACTION = 20  # ask about so many times over what is left


class Order:
    """Order number `id`, which came from `plan`. `recovered`: the answer to the commit was lost, and the pump was asked
    what became of it."""

    def __init__(self, pump: Pump, id: int, plan: Plan | None = None, recovered: bool = False) -> None:
        self._pump = pump
        self.id = id
        self.plan = plan
        self.recovered = recovered
        self._seen_nl = 0  # of it, as the pump counted when it was last asked
        self._before_nl: int | None = None  # the total of this syringe without it, None: not known

    def __repr__(self) -> str:
        return f"Order({self.id})"

    def status(self) -> OrderStatus:
        """How the order stands now."""
        status = self._pump.order(self.id)
        self._seen_nl = max(self._seen_nl, status.stepped_nl)
        return status

    def wait(
        self, timeout_s: float | None = None, progress: Callable[[OrderStatus], None] | None = None
    ) -> OrderStatus:
        """Wait until the order is over; `progress` is called with each status on the way. Survives unplug and replug.

        Raises OrderInterrupted when it ended otherwise than complete, AnswerTimeout when `timeout_s` have passed (the
        order goes on), UsageError when it has no end to wait for."""
        transport = self._pump.conversation.transport
        began = transport.now()
        while True:
            told = self._pump.conversation.stopped_outside
            status = self._patiently()
            if status.running and self._before_nl is None:
                self._before_nl = self._pump.totals().stepped_nl - status.stepped_nl
            if progress is not None:
                progress(status)
            if not status.running:
                return self._ended(status)
            pump = self._pump.status()
            if status.left_s < 0 and pump.state in ("infusing", "kvo"):
                raise UsageError(
                    f"order {self.id} goes on until it is changed: there is no end to wait for",
                    next_step="wait for a bolus, or for a rate with a volume (vtbi)",
                )
            pause = min(max(status.left_s / POLL_FRACTION, POLL_SHORTEST_S), POLL_LONGEST_S)
            if timeout_s is not None:
                left = began + timeout_s - transport.now()
                if left <= 0:
                    raise AnswerTimeout(
                        f"order {self.id} is not over after {_seconds(timeout_s)}",
                        texts.state_sentence(pump.state) + f", {format_volume(status.left_nl)} are left",
                        "wait again, or cancel it",
                    )
                pause = min(pause, left)
            if self._pump.conversation.stopped_outside == told:
                self._pump.conversation.rest(pause)

    def _patiently(self) -> OrderStatus:
        """The status; a pump that does not answer is waited for as long as a port that vanished."""
        conversation = self._pump.conversation
        began = conversation.transport.now()
        while True:
            try:
                return self.status()
            except AnswerTimeout:
                if conversation.transport.now() - began >= conversation.patience_s:
                    raise

    def cancel(self) -> OrderStatus:
        """End the order early: a bolus is cancelled and what runs beside it goes on, everything else is stopped.

        Returns how it ended; a fast bolus slows down first, which takes a second. Raises Refused, UsageError when it is
        not running any more."""
        status = self.status()
        if not status.running:
            raise UsageError(
                f"order {self.id} is already over: {texts.RESULTS.get(status.result, status.result)}",
                next_step="look at `haipump status`",
            )
        if status.source in ("bolus", "extended"):
            self._pump.cancel_bolus()
        else:
            self._pump.stop()
        transport = self._pump.conversation.transport
        began = transport.now()
        status = self.status()
        while status.running and transport.now() - began < SLOWING_S:
            transport.sleep(POLL_SHORTEST_S)
            status = self.status()
        return status

    def _ended(self, status: OrderStatus) -> OrderStatus:
        if status.result == "complete":
            return status
        name = texts.SOURCES.get(status.source, status.source)
        pump = self._pump.status()
        low, high = (status.stepped_nl, status.stepped_nl) if status.result != "reset" else self._range(status)
        raise OrderInterrupted(
            self._how(status, name, low, high, pump.alarm),
            texts.state_sentence(pump.state),
            texts.next_step("alarm", {"alarm": pump.alarm})
            if pump.alarm in texts.ALARMS
            else "decide whether to give the rest anew",
            order=self.id,
            result=status.result,
            planned_nl=status.planned_nl,
            stepped_nl=low,
            stepped_max_nl=high,
        )

    def _how(self, status: OrderStatus, name: str, low: int, high: int, alarm: str) -> str:
        whole = f" of {format_volume(status.planned_nl)}" if status.planned_nl else ""
        if status.result == "reset":
            # outwards to whole microlitres: more digits would claim more than anybody knows
            rough = [format_volume(low // 1_000 * 1_000), format_volume(-(-high // 1_000) * 1_000)]
            came = " to ".join(rough if low != high else [format_volume(low)])
            return f"the pump restarted during the order ({name}): {came}{whole} were delivered"
        how = texts.RESULTS.get(status.result, status.result)
        if status.result == "alarm" and alarm in texts.ALARMS:
            how = f"stopped by the alarm {alarm}"
        if status.result == "stopped" and self._pump.conversation.stopped_outside:
            how += ", from another terminal"
        return f"the {name} was {how}, after {format_volume(low)}{whole}"

    def _range(self, status: OrderStatus) -> tuple[int, int]:
        """What a restart leaves to know of the order: at least what was last seen of it; at most what all orders
        together can have delivered since it began, and its own volume."""
        totals = self._pump.totals()
        most = totals.stepped_max_nl - (self._before_nl or 0)
        if status.commanded_nl:  # what the pump itself says that it was at most
            most = min(most, status.commanded_nl)
        return self._seen_nl, max(self._seen_nl, most)


def _seconds(value_s: float) -> str:
    return format_duration(int(value_s)) if value_s >= 1 and value_s == int(value_s) else f"{value_s:g} s"
