"""The doors of a core: what an emulated pump offers, and every way in which something can enter it.

Owns: the duck type `Core`, and `Doors`, which sits on all the ways in, so that a recording misses no input whoever
makes it (scenario, control socket, test). Must not: change what passes through, or know a file.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol


class Core(Protocol):
    """What `DirectCore` and `ChipCore` offer; see their docstrings for the rules."""

    output: bytearray
    listeners: list[Any]
    plant: Any
    flash: Any

    @property
    def now_us(self) -> int: ...

    def run_until(self, t_us: int, /) -> object: ...

    def send(self, data: bytes, /) -> int: ...

    def press(self, bits: int, on: bool, /) -> object: ...

    def power(self, on: bool, /) -> object: ...

    def check(self) -> object: ...


Sink = Callable[[int, str, dict[str, Any]], None]

CORE_DOORS = ("send", "press", "power")
# Everything of the plant that the outside world does to it. Pins and sensors are the core's own business.
PLANT_DOORS = (
    "occlude",
    "release",
    "leak",
    "seal",
    "warm",
    "height",
    "artery",
    "tip",
    "refill",
    "capture",
    "supply",
    "driver_fault",
    "sensor",
)


class Doors:
    """Tells `sink(t_us, name, arguments)` about each call that changes `core` from outside: one to the core before it
    is made, one to the plant after, because the plant may refuse it, which changes nothing and is not told.

    A call made from inside another one is not told: repeating the outer one repeats it. `close` puts everything back;
    of several on one core, the last that came must close first.
    """

    def __init__(self, core: Core, sink: Sink) -> None:
        self._sink = sink
        self._inside = False
        self._wrapped: list[tuple[Any, str, Any]] = []
        for name in CORE_DOORS:
            self._wrap(core, name, lambda arguments: core.now_us, first=True)
        for name in PLANT_DOORS:
            if hasattr(core.plant, name):
                self._wrap(core.plant, name, lambda arguments: arguments.pop("t_us"), first=False)

    def _wrap(self, owner: Any, name: str, time_of: Callable[[dict[str, Any]], int], first: bool) -> None:
        before = vars(owner).get(name)  # another one may sit on the same door
        original = getattr(owner, name)
        signature = inspect.signature(original)

        @functools.wraps(original)
        def tapped(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return original(*args, **kwargs)
            arguments = dict(signature.bind(*args, **kwargs).arguments)
            t_us = time_of(arguments)
            if first:
                self._sink(t_us, name, arguments)
            self._inside = True
            try:
                done = original(*args, **kwargs)
            finally:
                self._inside = False
            if not first:
                self._sink(t_us, name, arguments)
            return done

        setattr(owner, name, tapped)  # an instance attribute: the class is left alone
        self._wrapped.append((owner, name, before))

    def close(self) -> None:
        """Take all taps away; safe to call twice."""
        while self._wrapped:
            owner, name, before = self._wrapped.pop()
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


OUTPUT_MAX = 1 << 20


def discard_output(core: Core) -> None:
    """Keep `core.output` bounded for a caller that reads by listening."""
    if len(core.output) > OUTPUT_MAX:
        del core.output[:]


def enter(core: Core, t_us: int, name: str, arguments: dict[str, Any]) -> None:
    """Do again what a door reported: `core` must stand at `t_us`."""
    if name in CORE_DOORS:
        getattr(core, name)(**arguments)
    else:
        getattr(core.plant, name)(t_us, **arguments)
