"""The self test part by part: each is found when it fails, the pump stays stopped, and nothing moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from haipump_emulator.plant import for_syringe
from haipump_fw import selftest
from haipump_fw.ports import IN_START
from tests.firmware.app.bench import SECOND, Pump, pump

PARTS = (
    "digest memory clock flash motor steps pressure_sensor encoder supply temperature end_switches driver button_stuck "
    "annunciators code"
).split()


def port(of: Pump, name: str, method: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """Put another method into a port; returns how to undo it."""
    of_port = getattr(of.app.ports, name)
    real = getattr(of_port, method)
    setattr(of_port, method, make(real))
    return lambda: setattr(of_port, method, real)


def plant(of: Pump, sensor: str, *fault: Any) -> Callable[[], None]:
    of.core.plant.sensor(of.now, sensor, *fault)
    return lambda: of.core.plant.sensor(of.now, sensor, "ok")


def damaged(of: Pump) -> Callable[[], None]:
    of.core.damage_code(12_345)
    return lambda: of.core.damage_code(None)


def _torn(real):
    reads = []

    def read(address: int, buf: bytearray) -> None:
        real(address, buf)
        reads.append(1)
        buf[0] ^= len(reads) & 1

    return read


def _unreadable(address: int, buf: bytearray) -> None:
    raise OSError(5)


def _slow(real):
    return lambda: real() * 9 // 10 & 0x3FFFFFFF


def _shared(name: str, value: Any) -> Callable[[], None]:
    """Put something else into the module; returns how to undo it."""
    real = selftest.__dict__.get(name)
    setattr(selftest, name, value)
    return lambda: delattr(selftest, name) if real is None else setattr(selftest, name, real)


def _twice(real):
    """The fourth word comes as two."""
    words = []

    def put(delay_us: int) -> bool:
        words.append(delay_us)
        return real(delay_us) and (len(words) % 3 != 0 or real(1))

    return put


BREAK: dict[str, tuple[str, Callable[[Pump], Callable[[], None]]]] = {
    "digest": ("digest", lambda of: _shared("digest_works", lambda: False)),
    "memory": ("memory", lambda of: _shared("bytearray", Forgetful)),
    "no memory": ("memory", lambda of: _shared("bytearray", _full)),
    "clock": ("clock", lambda of: port(of, "clock", "ticks_us", _slow)),
    "flash": ("flash", lambda of: port(of, "flash", "read", _torn)),
    "no flash": ("flash", lambda of: port(of, "flash", "read", lambda real: _unreadable)),
    "motor": ("motor", lambda of: port(of, "motor", "works", lambda real: lambda: False)),
    "steps lost": ("steps", lambda of: port(of, "steps", "put", lambda real: lambda delay_us: True)),
    "dir stuck": ("steps", lambda of: port(of, "steps", "begin", lambda real: lambda way, delay_us: real(1, delay_us))),
    "one step too many": ("steps", lambda of: port(of, "steps", "put", _twice)),
    "pressure": ("pressure_sensor", lambda of: plant(of, "pressure", "off")),
    "pressure short": ("pressure_sensor", lambda of: plant(of, "pressure", "stuck", 65_535)),
    "encoder": ("encoder", lambda of: plant(of, "encoder", "noise", 200.0)),
    "supply": ("supply", lambda of: plant(of, "supply", "stuck", 4_000)),
    "temperature": ("temperature", lambda of: plant(of, "temperature", "stuck", 90_000)),
    "end_switches": ("end_switches", lambda of: plant(of, "switches", "stuck", 7)),
    "driver": ("driver", lambda of: plant(of, "switches", "stuck", 12)),
    "button": ("button_stuck", lambda of: (of.core.press(IN_START, True), lambda: of.core.press(IN_START, False))[1]),
    "annunciators": ("annunciators", lambda of: port(of, "panel", "works", lambda real: lambda: False)),
    "code": ("code", lambda of: damaged(of)),
}


class Forgetful(bytearray):
    """One bit of it is stuck."""

    def __init__(self, right: Any) -> None:
        super().__init__(right)
        self[7] |= 2


def _full(right: Any) -> bytearray:
    if isinstance(right, int):  # the pages of the flash
        return bytearray(right)
    raise MemoryError


@pytest.mark.requirement("GIP-3.4.1-5", "OP-R7.4(1)-(7)", "GIP-3.3.1-3")
@pytest.mark.parametrize("cause", BREAK)
def test_each_part_is_found_when_it_fails(cause):
    part, begin = BREAK[cause]
    of = pump()
    of.run(1)
    mend = begin(of)
    try:
        answer = of.act("selftest")
        assert (answer["result"], answer["state"]) == (part, "fault")
        parts = answer["parts"].split(",")
        assert [name.lstrip("!") for name in parts] == PARTS and f"!{part}" in parts
        assert of.alarm("self_test")["priority"] == "high"
        assert of.no("prepare_rate rate_nl_per_day=1300000")["code"] == "state"
        assert not of.enabled
    finally:
        mend()
    of.run(1)
    answer = of.act("selftest")
    assert (answer["result"], answer["state"]) == ("passed", "stopped") and "!" not in answer["parts"]
    of.act("ack")
    of.order("prepare_rate rate_nl_per_day=1300000")


@pytest.mark.requirement("GIP-3.4.1-5")
@pytest.mark.parametrize("size_ml", [1, 30, 60])
def test_it_moves_nothing_leaves_no_trace_and_takes_less_than_half_a_second(size_ml):
    of = Pump(params=for_syringe(size_ml))
    of.run(1)
    steps = of.app.ports.steps
    before, truth, began = steps.odometer(), of.core.plant.truth(of.now), of.now
    assert of.act("selftest")["result"] == "passed"
    assert of.now - began < SECOND // 2
    after = of.core.plant.truth(of.now)
    assert steps.odometer() == before and steps.queued() == 0
    assert (after.motor_steps, after.enabled) == (truth.motor_steps, False)
    assert after.ignored_steps - truth.ignored_steps == 8
    of.run(60)
    assert of.ask("alarms")["alarm"] == "none"


@pytest.mark.requirement("GIP-3.4.1-5", "GIP-3.4.6")
def test_at_power_up_a_failure_leaves_the_pump_in_fault_and_says_which_part():
    of = pump()
    of.core.power(False)
    of.core.plant.sensor(of.now, "encoder", "noise", 500.0)
    of.wake()
    assert of.state() == "fault"
    assert of.alarm("self_test") is not None
    states = [fields for _, name, fields in of.said if name == "state"]
    assert states[-1]["why"] == "encoder"
    assert of.no("prepare_bolus volume_nl=1000")["code"] == "state"


def test_code_of_which_nobody_knows_how_it_was_is_left_out():
    of = pump()
    undo = port(of, "system", "check_code", lambda real: lambda between: None)
    answer = of.act("selftest")
    undo()
    assert answer["result"] == "passed" and answer["parts"].split(",") == PARTS[:-1]


@pytest.mark.parametrize("look", range(1, 80, 3))
def test_a_collection_between_two_looks_at_the_odometer_is_no_fault_of_the_clock(look):
    of = pump()
    looks = []

    def late(real):
        def odometer() -> int:
            looks.append(1)
            if len(looks) == look:
                of.core.charge(15_000)
            return real()

        return odometer

    undo = port(of, "steps", "odometer", late)
    assert of.act("selftest")["parts"] == ",".join(PARTS)
    undo()
    assert len(looks) > look and of.state() == "stopped"
    assert not of.net
