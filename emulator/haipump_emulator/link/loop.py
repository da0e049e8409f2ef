"""The loop: one thread, one select. Everything that a running emulator does happens in `Loop.turn`.

Owns: the order of things in a turn, and waiting. Must not: know what services do, or read a clock (the pacer does).
"""

import contextlib
import select
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from haipump_emulator.link.bridge import Bridge
from haipump_emulator.pacing import FREE, Pacer

Wait = Callable[[list[Any], list[Any], float], bool]


class Service(Protocol):
    """Something else that wants to be looked after in every turn: the control socket, the status line."""

    def wait_on(self) -> tuple[list[Any], list[Any]]:
        """What select should wait for."""
        ...

    def serve(self) -> None:
        """Do what there is to do; never block."""
        ...


def wait_select(readers: list[Any], writers: list[Any], seconds: float) -> bool:
    """Until one is ready or the time is over; whether one is ready."""
    ready = select.select(readers, writers, [], seconds)
    return bool(ready[0] or ready[1])


class Loop:
    """Runs until `stop()`. `wait` is replaced in tests by one that moves a false wall clock."""

    def __init__(
        self, pacer: Pacer, bridge: Bridge, services: Sequence[Service] = (), *, wait: Wait = wait_select
    ) -> None:
        self.pacer = pacer
        self.bridge = bridge
        self.services = list(services)
        self.stopping = False
        self._awaiting = False  # a line went in, and its answer is not out yet
        self._wait = wait
        self._files: tuple[list[Any], list[Any]] = ([], [])
        self._reading = self._writing = False
        pacer.interrupted = self._wanted

    def stop(self) -> None:
        """End after this turn; may be called from a signal handler."""
        self.stopping = True

    def run(self) -> None:
        while not self.stopping:
            self.turn()

    def turn(self) -> None:
        """Let due time pass, carry bytes both ways, answer, serve, wait."""
        pacer, bridge = self.pacer, self.bridge
        pacer.advance(self._holding())
        taken = bridge.take_in()
        bridge.give_out()
        if taken:
            bridge.answered = False  # what came out until now was no answer to what went in just now
            self._awaiting = True
        if bridge.crowded:
            pacer.shorten()
        if self._awaiting:
            self._awaiting = pacer.run_ahead(self._answer_is_out) and bridge.talking()
        bridge.let_go()
        for service in self.services:
            service.serve()
        if self.stopping:
            return
        self._files = self._wait_on()
        self._wait(*self._files, pacer.wait_us(bridge.talking()) / 1e6)

    def _holding(self) -> bool:
        """Whether the conversation holds simulated time at 1x. At `max` also through the pauses between a script's
        lines, in which hours would pass; at a chosen factor only while bytes or a token wait."""
        return self.bridge.talking(grace=self.pacer.speed is FREE)

    def _answer_is_out(self) -> bool:
        """A line has come out and all of the client's bytes are in; those that did not fit before are passed on."""
        self.bridge.take_in()
        self.bridge.give_out()
        return self.stopping or (self.bridge.answered and not self.bridge.waiting)

    def _wait_on(self) -> tuple[list[Any], list[Any]]:
        readers, writers = self.bridge.wait_on()
        for service in self.services:
            more_readers, more_writers = service.wait_on()
            readers += more_readers
            writers += more_writers
        return readers, writers

    def _wanted(self) -> bool:
        """Somebody wants something in the middle of a slice."""
        if self.stopping or (self.bridge.core.output and self.bridge.link.client_is_there):
            return True
        with contextlib.suppress(OSError, ValueError):  # a file that was closed since
            return self._wait(self._files[0], [], 0)
        return True
