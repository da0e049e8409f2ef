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
POLL_FRACTION = 20  # ask about so many times over what is left


class Order:
    """Order number `id`, which came from `plan`. `recovered`: the answer to the commit was lost, and the pump was asked
    what became of it."""

    def __init__(self, pump: Pump, id: int, plan: Plan | None = None, recovered: bool = False) -> None:
        self._pump = pump
        self.id = id
        self.plan = plan
        self.recovered = recovered

    def __repr__(self) -> str:
        return f"Order({self.id})"

    def status(self) -> OrderStatus:
        """How the order stands now."""
        return self._pump.order(self.id)

    def wait(
        self, timeout_s: float | None = None, progress: Callable[[OrderStatus], None] | None = None
    ) -> OrderStatus:
        """Wait until the order is over; `progress` is called with each status on the way. Survives unplug and replug.

        Raises OrderInterrupted when it ended otherwise than complete, AnswerTimeout when `timeout_s` have passed (the
        order goes on), UsageError when it has no end to wait for."""
        transport = self._pump.conversation.transport
        began = transport.now()
        while True:
            status = self.status()
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
                        f"order {self.id} is not over after {format_duration(int(timeout_s))}",
                        texts.state_sentence(pump.state) + f", {format_volume(status.left_nl)} are left",
                        "wait again, or cancel it",
                    )
                pause = min(pause, left)
            transport.sleep(pause)

    def cancel(self) -> OrderStatus:
        """End the order early: a bolus is cancelled and what runs beside it goes on, everything else is stopped. Raises
        Refused, UsageError when it is not running any more."""
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
        return self.status()

    def _ended(self, status: OrderStatus) -> OrderStatus:
        if status.result == "complete":
            return status
        name = texts.SOURCES.get(status.source, status.source)
        state, alarm = self._pump.status().state, self._pump.status().alarm
        raise OrderInterrupted(
            f"the {name} was {texts.RESULTS.get(status.result, status.result)}, "
            f"after {format_volume(status.stepped_nl)} of {format_volume(status.planned_nl)}",
            texts.state_sentence(state),
            texts.next_step("alarm", {"alarm": alarm})
            if alarm in texts.ALARMS
            else "decide whether to give the rest anew",
            order=self.id,
            result=status.result,
            planned_nl=status.planned_nl,
            stepped_nl=status.stepped_nl,
        )
