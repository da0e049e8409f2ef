"""From a reason to stop to EN off at the pad: by line, button, switch, driver; asleep in basal and at 2,000 steps/s.

Telemetry is on, and up to 256 bytes lie ahead of a line. The moments are spread over the loop's passes. A line waits
for the end of a collection of memory, which a fast motor has every few seconds; contacts act in their interrupt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from haipump_fw import ports
from haipump_fw.proto.messages import TASKS
from tests.chip.branch import branch
from tests.chip.pump import LOOK_US, ChipPump

BAR_US = 20_000
COLLECTING_BAR_US = 55_000
CONTACT_BAR_US = 500
SCRATCH2 = 0x40058014  # the running task
COLLECTING = TASKS.index("memory")
AHEAD = (b"status\n" * 40)[:256]
GARBAGE = b"\xff{}x" * 63 + b"\n"
HALF = (b"@99 prepare_rate rate_nl_per_day=" + b"9" * 256)[:250]
PHASES_US = [n * 618_034 % 1_000_003 for n in range(30)]  # over ten periods of telemetry


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


LINES = {
    "stop": line(b"stop\n"),
    "!": line(b"\n!\n"),
    "stop behind questions": line(AHEAD[:250] + b"\nstop\n"),
    "! behind questions": line(AHEAD[:252] + b"\n!\n"),
    "! behind garbage": line(GARBAGE + b"!\n"),
    "! behind half a line": line(HALF + b"\n!\n"),
}
CONTACTS = {
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


@dataclass(frozen=True)
class Stop:
    """How long it took, whether a collection of memory ran in that time, and what it was."""

    us: int
    collecting: bool
    how: str


def stops(pump: ChipPump, move: Callable[[ChipPump], None], phases_us: Sequence[int]) -> list[Stop]:
    """One motion stopped for every reason at every moment."""
    move(pump)
    begun_us = pump.now_us
    found = []

    def stopped(reason: str, act: Callable[[ChipPump], None]) -> Stop:
        began_us, collecting = pump.now_us, False
        act(pump)
        while pump.off_after_us(began_us) < 0 and pump.now_us < began_us + 60_000:
            collecting |= pump.core.mcu.read_uint32(SCRATCH2) & 0xFF == COLLECTING
            pump.run_us(LOOK_US)
        us = pump.off_after_us(began_us)
        how = f"{reason}, {began_us - begun_us} us after the beginning"
        assert us >= 0, f"{how}: the motor is on"
        pump.run_us(60_000)
        pump.core.check()
        return Stop(us, collecting, how)

    for phase_us in sorted(phases_us):
        pump.run_us(begun_us + phase_us - pump.now_us)
        for reason, act in (LINES | CONTACTS).items():
            found.append(branch(lambda reason=reason, act=act: stopped(reason, act)))
    return found


def judge(found: list[Stop]) -> None:
    for stop in found:
        if stop.how.split(",")[0] in CONTACTS:
            assert stop.us < CONTACT_BAR_US, stop
        else:
            assert stop.us < (COLLECTING_BAR_US if stop.collecting else BAR_US), stop
    collecting = [stop for stop in found if stop.collecting]
    assert len(collecting) <= 0.05 * len(found) + len(LINES), "seldom"


def test_a_stop_from_sleep_in_basal(stopped, part):
    judge(branch(lambda: stops(stopped, basal, part(PHASES_US, 5))))


def test_a_stop_at_2000_steps_per_second(small, part):
    judge(branch(lambda: stops(small, fast, part(PHASES_US, 5))))
