"""What is compared: guests, how much of their work each side does, and what a right run looks like.

Owns: CASES, and the check of a run. Must not: run anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

OURS, SHIPPED, HOST, SHIMS = "ours", "shipped", "host", "shims"
AGREE = 0.001  # two sides' simulated time for the same work differ by less than that
ON_TIME = 0.02  # a guest that ends by the clock ends that close to it, also when it runs slower than it should


class Wrong(Exception):
    """A run that did not do what it had to; its speed says nothing."""


@dataclass(frozen=True)
class Run:
    """What one run of a guest was like.

    `began_at`: wall clock when the guest began; `boot_s`: wall time from the making of the emulator to there; `wall_s`
    and `simulated_ns`: from there to the guest's end; `shortest_ns` and `longest_ns`: periods of its pulses; `late`:
    instructions of PIO that came too late.
    """

    began_at: float
    boot_s: float
    wall_s: float
    simulated_ns: float
    pulses: int
    shortest_ns: float
    longest_ns: float
    late: int


@dataclass(frozen=True)
class Work:
    """`amount` of it takes about `seconds` of simulated time, or exactly when `timed`; `constants` are what the guest
    finds in its case.py."""

    amount: float
    seconds: float
    constants: Mapping[str, int]
    timed: bool = False
    pulses: int = 0
    period_ns: int = 0


@dataclass(frozen=True, eq=False)
class Case:
    """A guest, and how much each side does of it. `per`: what its amount counts."""

    name: str
    what: str
    guest: str
    per: str
    work: Mapping[str, Work]

    @property
    def sides(self) -> tuple[str, ...]:
        """Who takes part, in the order of each round."""
        return tuple(self.work)


def _booting() -> Work:
    return Work(1, 1, {})


def _idling(seconds: int) -> Work:
    return Work(seconds, seconds, {"SECONDS": seconds}, timed=True)


def _computing(rounds: int) -> Work:
    return Work(rounds / 1000, rounds * 8e-6, {"ROUNDS": rounds})


def _stepping(period_us: int, tick_ms: int, ahead: int, seconds: float) -> Work:
    """As many pulses as there is time for, and two ticks to spare."""
    pulses = max(0, int((seconds * 1_000_000 - 2000 * tick_ms) // period_us))
    constants = {
        "DELAY_US": period_us - 8,
        "PULSES": max(1, pulses),
        "TICK_MS": tick_ms,
        "WORDS_AHEAD": ahead,
        "RUN_MS": round(seconds * 1000),
    }
    return Work(seconds, seconds, constants, True, pulses, period_us * 1000)


def _fast(seconds: float) -> Work:
    return _stepping(3_334, 10, 4, seconds)


def _slow(seconds: float) -> Work:
    return _stepping(7_700_000, 7_000, 1, seconds)


def therapy(seconds: float) -> Work:
    return _stepping(7_700_000, 1_000, 1, seconds)


_SECOND = "simulated s"
# As shipped a simulated second costs more than two of wall time, and as much in each that follows.
CASES = (
    Case(
        "boot",
        "power-up to the first line of main.py",
        "boot",
        "boot",
        dict.fromkeys((OURS, SHIMS, SHIPPED), _booting()),
    ),
    Case(
        "idle",
        "idle, one wake-up a second",
        "idle",
        _SECOND,
        {OURS: _idling(20_000), SHIMS: _idling(20_000), SHIPPED: _idling(1)},
    ),
    Case(
        "busy",
        "busy, plain bytecode",
        "busy",
        "1000 turns",
        {OURS: _computing(200_000), SHIMS: _computing(200_000), SHIPPED: _computing(50_000)},
    ),
    Case("steps", "300 steps/s", "stepping", _SECOND, {OURS: _fast(50), SHIMS: _fast(50), SHIPPED: _fast(1.5)}),
    Case(
        "slow",
        "1 step per 7.7 s",
        "stepping",
        _SECOND,
        {OURS: _slow(20_000), SHIMS: _slow(20_000), SHIPPED: _slow(1)},
    ),
    Case(
        "fortnight",
        "14-day load: 1 step per 7.7 s, 1 Hz tick",
        "stepping",
        _SECOND,
        {OURS: therapy(10_000), SHIMS: therapy(10_000), SHIPPED: therapy(1), HOST: therapy(1_000)},
    ),
)


def check_time(work: Work, run: Run) -> None:
    """Raises Wrong when a guest that ends by the clock did not: what it cost could not be divided by its time."""
    if work.timed and abs(run.simulated_ns / 1e9 - work.seconds) > ON_TIME * work.seconds:
        raise Wrong(f"{run.simulated_ns / 1e9} simulated s instead of {work.seconds}")


def check(work: Work, run: Run, ours: Run | None = None) -> None:
    """Raises Wrong unless the run made the right pulses, in the simulated time that `ours` took for the same work."""
    if run.late:
        raise Wrong(f"{run.late} instructions of PIO came too late")
    if run.pulses != work.pulses:
        raise Wrong(f"{run.pulses} pulses instead of {work.pulses}")
    if run.pulses > 1 and not run.shortest_ns == run.longest_ns == work.period_ns:
        raise Wrong(f"periods of {run.shortest_ns} to {run.longest_ns} ns instead of {work.period_ns}")
    if ours is not None and abs(run.simulated_ns - ours.simulated_ns) > AGREE * ours.simulated_ns:
        raise Wrong(f"{run.simulated_ns:.0f} simulated ns for what takes our chip {ours.simulated_ns:.0f}")
