"""From a reason to stop to EN off at the pad: by line, button, switch, driver; asleep in basal and at 2,000 steps/s.

Telemetry is on, and up to 256 bytes lie ahead of a line. The moments are spread over the loop's passes; none is chosen
to miss a collection of memory, and none to hit one (`tools.measure_chip` tells what one of these costs).
"""

from collections.abc import Callable, Sequence

from haipump_fw import ports
from tests.chip.branch import branch
from tests.chip.pump import ChipPump

BAR_US = 20_000
AHEAD = (b"status\n" * 40)[:256]
GARBAGE = b"\xff{}x" * 63 + b"\n"
HALF = (b"@99 prepare_rate rate_nl_per_day=" + b"9" * 256)[:250]
PHASES_US = [n * 337_043 % 1_000_003 for n in range(30)]  # over ten periods of telemetry


def line(data: bytes) -> Callable[[ChipPump], None]:
    def send(pump: ChipPump) -> None:
        assert pump.core.send(data) == len(data)

    return send


def stop_button(pump: ChipPump) -> None:
    pump.core.press(ports.IN_STOP, True)


def end_switch(pump: ChipPump) -> None:
    pump.core.plant.sensor(pump.now_us, "switches", "stuck", ports.IN_CAPTURED | ports.IN_FRONT)


def driver_error(pump: ChipPump) -> None:
    pump.core.plant.driver_fault(pump.now_us, True)


def plunger_released(pump: ChipPump) -> None:
    pump.core.plant.capture(pump.now_us, False)


REASONS = {
    "stop": line(b"stop\n"),
    "!": line(b"\n!\n"),
    "stop behind questions": line(AHEAD[:250] + b"\nstop\n"),
    "! behind questions": line(AHEAD[:252] + b"\n!\n"),
    "! behind garbage": line(GARBAGE + b"!\n"),
    "! behind half a line": line(HALF + b"\n!\n"),
    "stop button": stop_button,
    "end switch": end_switch,
    "driver error": driver_error,
    "plunger released": plunger_released,
}


def basal(pump: ChipPump) -> None:
    """Asleep between two steps."""
    pump.order("prepare_rate rate_nl_per_day=1300000")
    pump.ask("telemetry period_ms=100", signed=False)
    pump.run(1)


def fast(pump: ChipPump) -> None:
    """At 2,000 steps/s."""
    pump.order("prepare_prime volume_nl=400000 disconnected=1")
    pump.ask("telemetry period_ms=100", signed=False)
    pump.run(1.2)
    assert pump.steps[-1][0] - pump.steps[-2][0] < 510_000


def longest(pump: ChipPump, move: Callable[[ChipPump], None], phases_us: Sequence[int]) -> tuple[int, str]:
    """Longest time to EN off of one motion, over reasons and moments, and which that was."""
    move(pump)
    begun_us = pump.now_us
    found = []

    def stopped(reason: str) -> int:
        began_us = pump.now_us
        REASONS[reason](pump)
        pump.run_us(60_000)
        return pump.off_after_us(began_us)

    for phase_us in sorted(phases_us):
        pump.run_us(begun_us + phase_us - pump.now_us)
        for reason in REASONS:
            us = branch(lambda reason=reason: stopped(reason))
            assert us >= 0, f"{reason} at {phase_us} us did not stop the motor"
            found.append((us, f"{reason}, {phase_us} us after the beginning"))
    return max(found)


def test_a_stop_from_sleep_in_basal(stopped, part):
    us, how = branch(lambda: longest(stopped, basal, part(PHASES_US, 5)))
    assert us < BAR_US, how


def test_a_stop_at_2000_steps_per_second(small, part):
    us, how = branch(lambda: longest(small, fast, part(PHASES_US, 5)))
    assert us < BAR_US, how
