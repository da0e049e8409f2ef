"""The direct core itself: time, pulses, reset, power, buffers; the firmware is only its passenger."""

from __future__ import annotations

import random

import pytest

from haipump_emulator.direct import DirectCore, costs
from haipump_emulator.direct.core import RESET_US
from haipump_emulator.direct.ports import RECEIVE_BYTES, SEND_BYTES
from haipump_emulator.plant import Plant
from haipump_fw import ports as contract
from tests.firmware.app.bench import SECOND, Pump, frame, pump

RATE = "prepare_rate rate_nl_per_day=%d"


def told(of: Pump, name: str) -> list[dict]:
    return [fields for _, kind, fields in of.seen if kind == name]


def life(slices: int, seed: int = 3) -> tuple[list[int], bytes, bytes]:
    """Steps, bytes and flash of a run cut into `slices` calls of run_until."""
    of = Pump(seed=seed)
    spoken = bytearray()

    class Ears:
        def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
            spoken.extend(f"{t_us} {direction} ".encode() + data)

    of.core.listeners.append(Ears())
    of.run(0.1)
    of.load()
    of.order(RATE % 24_000_000)
    of.order("prepare_bolus volume_nl=50000")
    of.ask("telemetry period_ms=1000")
    end, rng = of.now + 60 * SECOND, random.Random(slices)
    for at in sorted(rng.randrange(of.now, end) for _ in range(slices)):
        of.core.run_until(at)
    of.core.run_until(end)
    return of.step_times, bytes(spoken), of.core.flash


def test_equal_seed_and_inputs_give_equal_runs_whatever_the_slices():
    assert life(0) == life(0) == life(7) == life(300)


def test_another_seed_is_another_pump():
    one, other = DirectCore(seed=1), DirectCore(seed=2)
    for core in (one, other):
        core.send(b"hello\n")
        core.run_until(SECOND)
    assert bytes(one.output) != bytes(other.output)


def test_time_goes_on_over_reboots_and_never_back():
    of = pump()
    before = of.now
    of.core.power(False)
    of.core.run_until(before + 10 * SECOND)
    assert of.now == before + 10 * SECOND and of.core.app is None and not of.core.powered
    of.core.power(True)
    of.core.power(True)  # twice is once
    of.core.run_until(before)
    assert of.now >= before + 10 * SECOND
    assert told(of, "power") == [{"on": 0}, {"on": 1}]


def test_power_off_stops_the_motor_and_the_pulses():
    of = pump()
    of.order(RATE % 240_000_000)
    of.run(10)
    of.core.power(False)
    steps, ignored = of.steps, of.core.plant.truth(of.now).ignored_steps  # those of the self test
    assert not of.enabled
    of.core.run_until(of.now + 100 * SECOND)
    assert of.steps == steps and of.core.plant.truth(of.now).ignored_steps == ignored


def test_a_reset_takes_its_time_and_says_its_cause():
    of = pump()
    of.order(RATE % 1_300_000)
    pressed = of.app.ports.inputs.read
    of.app.ports.inputs.read = lambda: of.app.ports.system.reset(contract.RESET_FAULT) or pressed()
    of.send(b"\n")
    of.core.run_until(of.now + RESET_US // 2)
    assert told(of, "reset") == [{"cause": "fault"}] and of.core.app is None and not of.enabled
    assert of.core.send(b"lost") == 4  # nobody takes them
    of.run(1)
    assert of.ask("info")["reset"] == "fault"
    assert of.alarm("unexpected_reset") is not None


def test_the_watchdog_bites_at_its_time():
    of = pump()
    of.run(1)
    fed = of.app.ports.watchdog.bites_us - 8 * SECOND

    def for_ever() -> int:
        while True:
            of.core.charge(1_000)

    of.app.ports.inputs.read = for_ever
    of.send(b"\n")
    of.core.run_until(of.now + 9 * SECOND)
    (at,) = [t for t, name, _ in of.seen if name == "reset"]
    assert at == fed + 8 * SECOND


def test_power_that_goes_in_a_flash_operation():
    of = pump()
    token = of.act(RATE % 1_300_000)["token"]
    of.core.flash_port.cut_after(1, "half")
    of.send(frame(of.next_id, "commit token=" + token))
    of.core.run_until(of.now + SECOND)
    assert not of.core.powered and of.core.app is None and not of.enabled
    assert told(of, "power") == [{"on": 0}]
    of.wake()
    assert of.state() == "stopped"


def test_receive_buffer_is_bounded():
    core = DirectCore()
    core.run_until(SECOND)
    assert core.send(b"x" * 2_000) == RECEIVE_BYTES
    assert core.send(b"x") == 0
    core.run_until(core.now_us + 100_000)
    assert core.send(b"\n") == 1


def test_send_buffer_of_a_host_that_does_not_read_is_bounded():
    core = DirectCore()
    core.host_reads = False
    for _ in range(100):
        core.send(b"status\n" * 20)
        core.run_until(core.now_us + 50_000)
    assert len(core.output) <= SEND_BYTES


def test_port_calls_cost_what_the_table_says():
    core = DirectCore()
    core.run_until(SECOND)
    assert core.app is not None
    ports, before = core.app.ports, core.now_us
    assert ports.console.write(bytearray(b"xA"), 1, 2) == 1
    assert core.now_us - before == costs.CONSOLE_OUT_US
    before = core.now_us
    core.send(b"abc")
    ports.console.readinto(bytearray(8))
    assert core.now_us - before == 3 * costs.CONSOLE_IN_US
    before = core.now_us
    ports.flash.program(2 * 4096, b"\0" * 64)
    assert core.now_us - before == costs.PROGRAM_US + 64 * costs.PROGRAM_BYTE_US
    before = core.now_us
    ports.flash.erase(2 * 4096)
    assert core.now_us - before == costs.ERASE_US
    before = core.now_us
    ports.sensors.pressure_raw()
    assert core.now_us - before == costs.ADC_US
    before = core.now_us
    ports.system.collect()
    assert core.now_us - before == costs.COLLECT_US


def test_ticks_start_before_a_wrap_and_wrap():
    core = DirectCore()
    assert core.app is not None
    ticks = core.app.ports.clock.ticks_us
    assert contract.TICKS_PERIOD - ticks() < 66 * SECOND
    core.run_until(70 * SECOND)
    assert ticks() < 6 * SECOND
    other = DirectCore(ticks_start_us=123)
    assert other.app is not None and other.app.ports.clock.ticks_us() - 123 == other.now_us


def test_a_press_is_latched_and_its_level_seen():
    core = DirectCore()
    core.run_until(SECOND)
    assert core.app is not None
    inputs = core.app.ports.inputs
    core.press(contract.IN_STOP, True)
    core.press(contract.IN_STOP, True)
    core.press(contract.IN_STOP, False)
    assert inputs.pressed() == contract.IN_STOP and inputs.pressed() == 0
    assert not inputs.read() & contract.IN_STOP
    core.press(contract.IN_START, True)
    assert inputs.pressed() == contract.IN_START
    core.press(contract.IN_START, True)  # held: no new press
    assert inputs.pressed() == 0 and inputs.read() & contract.IN_START
    core.press(contract.IN_START, False)
    core.press(contract.IN_SERVICE, True)
    core.power(False)
    core.power(True)  # the jumper is still closed
    assert core.app is not None and core.app.ports.inputs.read() & contract.IN_SERVICE


def test_motion_at_the_step_port():
    core = DirectCore(Plant(seed=1))
    core.run_until(SECOND)
    assert core.app is not None
    steps, made = core.app.ports.steps, []

    class Ears:
        def on_step(self, t_us: int, direction: int) -> None:
            made.append((t_us, direction))

    core.listeners.append(Ears())
    core.run_until(core.now_us + 1)
    odometer = steps.odometer()
    start = core.now_us
    steps.guard(-1)
    steps.begin(-1, 1_000)
    assert steps.put(2_000) and steps.put(3_000)
    assert steps.queued() == 3 and not steps.starved()
    with pytest.raises(RuntimeError):
        steps.begin(1, 1_000)
    core.run_until(start + 3_500)
    assert made == [(start + 1_000, -1), (start + 3_000, -1)]
    assert steps.halt() == 1 and steps.halt() == 0
    core.run_until(start + 60_000)
    assert len(made) == 2 and steps.starved()
    assert (odometer - steps.odometer()) & ((1 << 29) - 1) == 2
    steps.begin(1, 500)
    while steps.put(500):
        pass
    assert steps.queued() == 64 + 8 + 1
    with pytest.raises(ValueError):
        steps.configure(9)


def test_panel_tells_only_what_changes():
    core = DirectCore()
    core.run_until(SECOND)
    seen: list[tuple[str, dict]] = []

    class Eyes:
        def on_event(self, t_us: int, name: str, fields: dict) -> None:
            seen.append((name, fields))

    core.listeners.append(Eyes())
    assert core.app is not None
    panel = core.app.ports.panel
    panel.leds(contract.LED_RED | contract.LED_GREEN)
    panel.leds(contract.LED_RED | contract.LED_GREEN)
    lit = {"red": 1, "yellow": 0, "green": 1}
    assert seen == [("led", lit)]
    panel.sound(440, (2, 3))
    panel.flash(contract.LED_RED, (1, 4))
    core.run_until(core.now_us + 260_000)
    panel.sound(0, None)
    panel.flash(0, None)
    core.run_until(core.now_us + 2 * SECOND)
    on, off = ("tone", {"frequency_hz": 440}), ("tone", {"frequency_hz": 0})
    dark = ("led", lit | {"red": 0})
    assert seen == [("led", lit), on, dark, off, ("led", lit), on, off], seen


def test_conversing_while_a_token_is_open_or_bytes_wait():
    of = pump()
    assert not of.core.conversing()
    of.send(b"status")
    assert of.core.conversing()
    of.answer(b"\n")
    assert not of.core.conversing()
    token = of.act(RATE % 1_300_000)["token"]
    assert of.core.conversing()
    of.act("commit token=" + token)
    assert not of.core.conversing()
    of.core.power(False)
    assert not of.core.conversing()


def test_a_full_heap_is_collected():
    of = pump()
    of.run(1)
    before = of.now
    of.core.heap_free = 10
    of.core.allocate(100)
    assert of.core.heap_free == costs.HEAP_BYTES and of.now - before == costs.COLLECT_US
