"""Bursts and flashes at the pins of the chip, while the program is busy with anything else."""

import pytest

from tests import windows
from tests.chip.branch import branch
from tests.chip.pump import ChipPump

# A whole burst, the pause behind it, and the beginning of the next one.
WATCHED_S = {"low": 21.5, "medium": 12, "high": 9.2}
BURST_S = {"medium": 2.6, "high": 4.2}  # one burst
TALK = b"status\ninfo\nsensors\n\xff\xfe{}\n"


def basal(pump: ChipPump) -> None:
    pump.order("prepare_rate rate_nl_per_day=1300000")


def fast(pump: ChipPump) -> None:
    """At 2,000 steps/s."""
    pump.order("prepare_prime volume_nl=700000 disconnected=1")
    pump.run(1.2)
    assert pump.steps[-1][0] - pump.steps[-2][0] < 510_000


def low(pump: ChipPump) -> None:
    """`reservoir_low`, with what is left for the rest of the trial."""
    pump.order("prepare_limits reservoir_low_nl=999990 reservoir_empty_nl=0")


def medium(pump: ChipPump) -> None:
    """`infusion_complete`."""
    pump.order("prepare_rate rate_nl_per_day=40000000 vtbi_nl=100")
    pump.run(1)


def high(pump: ChipPump) -> None:
    """`driver_error`, which stops."""
    pump.core.plant.driver_fault(pump.now_us, True)


def silent(pump: ChipPump, seconds: float) -> None:
    pump.run(seconds)


def talking(pump: ChipPump, seconds: float) -> None:
    """A host that asks, orders and sends rubbish, and telemetry."""
    end_us = pump.now_us + seconds * 1_000_000
    pump.ask("telemetry period_ms=100", signed=False)
    while pump.now_us < end_us:
        pump.core.send(TALK)
        pump.ask("prepare_settings silence_s=20")  # loads a module, and frees it again
        pump.run(0.5)


QUIET = {
    "high": (basal, high, silent),
    "low at basal": (low, basal, silent),
    "medium at basal": (medium, basal, silent),
}
BUSY = {
    "high, a talking host": (basal, high, talking),
    "medium at 2,000 steps/s, a talking host": (medium, fast, talking),
    "medium at 2,000 steps/s": (medium, fast, silent),
    "medium at basal, a talking host": (medium, basal, talking),
    "low at 2,000 steps/s": (low, fast, silent),
    "low at basal, a talking host": (low, basal, talking),
}


def judge(small: ChipPump, trial: str, seconds: dict[str, float]) -> None:
    """Play a trial for so long, by its priority."""
    first, then, host = (QUIET | BUSY)[trial]
    priority = trial.split()[0].rstrip(",")

    def judged() -> tuple[int, int]:
        pump = small
        pump.told.clear()
        first(pump)
        then(pump)
        host(pump, seconds[priority])
        pump.core.check()
        started = next(t for t, name, fields in pump.told if name == "tone" and fields["frequency_hz"])
        lamps = [event for event in pump.told if event[0] > started + 1_000_000]
        return windows.judge_sound(pump.told, priority), windows.judge_lamps(lamps, priority)

    bursts, flashes = branch(judged)
    assert bursts >= 1
    assert flashes >= {"low": 0, "medium": 1, "high": 4}[priority]


@pytest.mark.parametrize("trial", QUIET)
def test_bursts_and_flashes_are_within_the_windows(small, trial):
    judge(small, trial, WATCHED_S)


@pytest.mark.parametrize("trial", list(BUSY)[:2])
def test_they_are_while_the_pump_is_busy_with_anything_else(small, trial):
    judge(small, trial, BURST_S)


def test_they_are_for_long(small, part):
    for trial in part(list(BUSY), 0):
        judge(small, trial, WATCHED_S)


def test_the_flash_is_erased_between_the_bursts(small):
    """Three saves fill a sector; it is erased when nobody waits for that, and an erase lets no interrupt through."""

    def erased() -> tuple[int, int]:
        pump, begun = small, []
        high(pump)
        pump.run(0.5)
        pump.core.flash_port.on_operation = lambda kind, address, length: begun.append((kind, pump.now_us))
        for silence_s in (20, 21, 22):
            pump.order(f"prepare_settings silence_s={silence_s}")
            pump.run(40)
        erases = [at_us for kind, at_us in begun if kind == "erase"]
        pulses = [(begin * 1_000, end * 1_000) for begin, end in windows.spans(pump.told, "tone", "frequency_hz")]
        assert all(at_us >= end or at_us + 400_000 <= begin for at_us in erases for begin, end in pulses)
        return len(erases), windows.judge_sound(pump.told, "high")

    erases, bursts = branch(erased)
    assert erases >= 2 and bursts >= 1
