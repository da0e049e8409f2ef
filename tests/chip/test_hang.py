"""The processor dies while the motor runs: what is made of the words that are left, and what the next boot tells.

Nothing in the firmware helps to kill it: the number of its running task stands in a watchdog register, and the
processor is parked from outside. Each death is looked at from a copy of the same moment.
"""

from __future__ import annotations

from typing import Any

import pytest

from haipump_fw.device import shipped
from haipump_fw.proto.messages import TASKS
from tests.chip.branch import branch
from tests.chip.pump import SCRATCH3, SYRINGES, ChipPump, uf2_with

FIFO_STEPS = 9  # eight words and the one that is counted down
RING_STEPS = 64
SLOW_STEPS = 2
WATCHDOG_S = 9
TRAP = 0x20040000  # RAM of the second core's stack, which nobody uses
SLEEP = 0xE7FDBF30  # wfi; b to it: interrupts that are enabled are still served
INTERRUPTS_OFF = 0xE000E180  # NVIC_ICER; rp2040py serves a sleeping processor's interrupts even if PRIMASK is set
_WATCHDOG, _SCRATCH2 = 0x40058, 0x14


class TaskWatch:
    """In the watchdog's place on the bus: stops time when the firmware says that it begins that task."""

    def __init__(self, pump: ChipPump, task: int) -> None:
        self._core = pump.core
        self._port = pump.core.mcu.peripherals[_WATCHDOG]
        self._task = task
        self.read_uint32 = self._port.read_uint32
        self.reset = self._port.reset
        pump.core.mcu.peripherals[_WATCHDOG] = self

    def write_uint32(self, offset: int, value: int) -> None:
        self.write_uint32_atomic(offset, value, 0)

    def write_uint32_atomic(self, offset: int, value: int, kind: int) -> None:
        self._port.write_uint32_atomic(offset, value, kind)
        if offset == _SCRATCH2 and value == self._task and kind == 0:
            self._core.halt()

    def let_go(self) -> None:
        self._core.mcu.peripherals[_WATCHDOG] = self._port
        self._core.halted = False


def run_into(pump: ChipPump, task: str, within_s: float) -> None:
    """Until the firmware begins that task."""
    watch = TaskWatch(pump, TASKS.index(task))
    pump.run(within_s)
    assert pump.core.halted, f"{task} did not come"
    watch.let_go()


def park(core: Any, *, interrupts: bool) -> None:
    """The processor does nothing any more."""
    core.mcu.write_uint32(TRAP, SLEEP)
    if not interrupts:
        core.mcu.write_uint32(INTERRUPTS_OFF, 0xFFFFFFFF)
    core.mcu.core.pc = TRAP
    core.mcu.core.waiting = False


def afterwards(pump: ChipPump, more_max: int, cause: str, *tasks: str) -> int:
    """Steps after the death, once everything that must hold until and after the reset was looked at."""
    boots, made = pump.core.boots, len(pump.steps)
    for _ in range(WATCHDOG_S * 20):
        if pump.core.boots > boots:
            break
        pump.run(0.05)
    more = len(pump.steps) - made
    assert more <= more_max, f"{more} steps after the death"
    assert pump.core.boots == boots + 1 and not pump.core.driver.enabled
    story = pump.start()
    assert (story["state"], story["reset"]) == ("stopped", cause) and story["task"] in tasks, story
    info = pump.ask("info", signed=False)
    assert (info["reset"], info["task"]) == (cause, story["task"])
    totals = pump.ask("totals", signed=False)
    step_fl, _ = SYRINGES[pump.size_ml]
    truth_nl = len(pump.steps) * step_fl // 1_000_000
    if pump.size_ml == 30:  # a prime is no dose
        assert int(totals["stepped_min_nl"]) <= truth_nl <= int(totals["stepped_max_nl"]), (totals, truth_nl)
    pump.run(2)
    assert len(pump.steps) == made + more, "motion after the death"
    pump.core.check()
    return more


def basal(pump: ChipPump) -> None:
    pump.order("prepare_rate rate_nl_per_day=1300000")
    pump.run(16)


def bolus(pump: ChipPump) -> None:
    """14.4 steps/s, telemetry on."""
    basal(pump)
    pump.order("prepare_bolus volume_nl=200000")
    pump.ask("telemetry period_ms=500", signed=False)
    pump.run(2)


def fast(pump: ChipPump) -> None:
    """2,000 steps/s."""
    pump.order("prepare_prime volume_nl=400000 disconnected=1")
    pump.run(1.2)


@pytest.mark.parametrize(
    ("move", "interrupts", "more_max"),
    [
        (basal, False, SLOW_STEPS),
        (bolus, False, FIFO_STEPS),
        (fast, False, FIFO_STEPS),
        (basal, True, SLOW_STEPS),
        (bolus, True, FIFO_STEPS),
        (fast, True, RING_STEPS + FIFO_STEPS),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_motion_stops_by_itself_and_the_chip_comes_up_stopped(stopped, small, move, interrupts, more_max):
    def died() -> int:
        pump = small if move is fast else stopped
        move(pump)
        run_into(pump, "steps", 16)
        park(pump.core, interrupts=interrupts)
        return afterwards(pump, more_max, "watchdog", "steps")

    assert branch(died) >= 0


RUNNING = ("hear", "inputs", "steps", "plan", "sensors", "speak", "telemetry", "sleep")
AT_AN_ALARM = ("alarms", "panel", "flash")


def test_the_next_boot_names_the_task_that_hung(stopped, part):
    def hung(task: str) -> None:
        pump = stopped
        bolus(pump)
        if task == "hear":
            pump.core.send(b"status\n")
        if task in AT_AN_ALARM:
            pump.core.plant.driver_fault(pump.now_us, True)
        if task == "alarms":  # what stops the motor is told at once; its acknowledgement is told here
            pump.run(0.1)
            pump.core.send(pump.signed("ack"))
        run_into(pump, task, 8)
        pump.core.plant.driver_fault(pump.now_us, False)
        park(pump.core, interrupts=True)
        afterwards(pump, FIFO_STEPS, "watchdog", task)

    for task in part(RUNNING + AT_AN_ALARM, 3):
        branch(lambda task=task: hung(task))


def test_a_hang_inside_of_the_interrupt_that_hands_out_words(small):
    def hung() -> int:
        pump = small
        fast(pump)
        run_into(pump, "steps", 1)
        for _ in range(1_000_000):
            if pump.core.mcu.core.ipsr:
                break
            pump.core.step_instruction()
        assert pump.core.mcu.core.ipsr > 15, "no interrupt came"
        park(pump.core, interrupts=True)
        return afterwards(pump, RING_STEPS + FIFO_STEPS, "watchdog", "steps")

    assert branch(hung) <= FIFO_STEPS


HUNGRY = """
import machine
import haipump_fw.app as application
class App(application.App):
    def _hear(self):
        if machine.mem32[0x40058018] & 0xFF == 1:
            machine.mem32[0x40058018] = 0
            global hog
            hog = None
            for size in (4096, 256, 16):
                try:
                    while True:
                        hog = [hog, bytearray(size)]
                except MemoryError:
                    pass
        return super()._hear()
"""
HUNGRY_IN_START = "".join("    " + line + "\n" for line in HUNGRY.strip().split("\n"))


def test_an_exhausted_heap_ends_in_a_reset_that_is_told(image):
    """No memory is left all of a sudden: the first allocation fails, and the funnel has to do with none."""
    ships = shipped()
    main = ships.files["main.py"].decode()
    pump = ChipPump(uf2_with(image, ships, main.replace("    from haipump_fw.app import App\n", HUNGRY_IN_START)))
    pump.load()
    bolus(pump)
    pump.core.mcu.write_uint32(SCRATCH3, 1)
    pump.core.send(b"status\n")
    while pump.core.driver.enabled:
        pump.run(0.001)
    afterwards(pump, 0, "fault", "hear", "steps")  # whichever is the first to need some
