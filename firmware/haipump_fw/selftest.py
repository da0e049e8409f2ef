"""The self test: what can be checked in a tenth of a second without moving anything. Loaded when it is due, and freed.
On demand the application's code is checked as well, for which the start has no time: a third of a second.

Owns: the checks and their names, and the state that follows. The motor is off throughout; its driver gets a few pulses
forwards, and as many back. Every name costs the start half a millisecond: so constants are private, functions few.
"""

from haipump_fw import ports as contract
from haipump_fw.const import const
from haipump_fw.core.supervision import RAW_ALIVE_MAX
from haipump_fw.storage import digest_works

_PRESSURE_RAW_MIN = const(500)  # a cut wire reads 0, a short 65535; the sensor's own range is 0.2 to 4.7 V, divided
_SUPPLY_MV_MIN = const(4_300)
_SUPPLY_MV_MAX = const(5_600)
_TEMPERATURE_MC_MIN = const(-10_000)
_TEMPERATURE_MC_MAX = const(70_000)
_READINGS = const(8)  # of the encoder: without its magnet, or with a loose wire, it is all over the circle
_SPREAD = const(400)  # two degrees
_BLOCKS = const(8)
_BLOCK_BYTES = const(512)
_PULSES = const(4)
_PULSE_US = const(1_000)
_BACK_US = const(250)
_OFF_US = const(150)  # 5 % of three periods: the machine's clock and the counter of microseconds, from one crystal
_POLLS_MAX = const(200)  # of the odometer, 50 us each
_EDGES = const((1 << 29) - 1)
_TICKS = const((1 << 30) - 1)
_BUTTONS = contract.IN_START | contract.IN_STOP | contract.IN_SILENCE
_ENDS = contract.IN_FRONT | contract.IN_BACK


def judge(app, whole):
    """Run it in state self_test, which ends; `whole`: with the code. Returns (name, whether it is all right) of every
    part."""
    parts = run(app.ports)
    good = app.ports.system.check_code(None) if whole else None
    if good is not None:
        parts += (("code", good),)
    failed = [name for name, good in parts if not good]
    if failed:
        app.alarms.set("self_test", app.clock.s)
        app.fire("failed", failed[0])
    else:
        app.alarms.unset("self_test")
        app.alarms.acknowledge("self_test", app.clock.s)
        app.fire("passed", "passed")
    return parts


def run(ports):
    """(name, whether it is all right) of every part."""
    inputs = ports.inputs.read()
    sensors = ports.sensors
    resting = not ports.motor.enabled() and ports.motor.works()
    taken_us = _pulses(ports, 1, _PULSE_US) if resting and not ports.steps.queued() else -1
    off_us = taken_us - (_PULSES - 1) * _PULSE_US
    if taken_us >= 0 and not -_OFF_US <= off_us <= _OFF_US:
        # Once more: a collection may have fallen between two looks at the odometer, and the next one is far away.
        _pulses(ports, -1, _PULSE_US)
        taken_us = _pulses(ports, 1, _PULSE_US)
        off_us = taken_us - (_PULSES - 1) * _PULSE_US
    first = sensors.encoder_raw()
    spread = [abs((sensors.encoder_raw() - first + 0x8000 & 0xFFFF) - 0x8000) for _ in range(_READINGS)]
    return (
        ("digest", digest_works()),
        ("memory", _memory()),
        ("clock", taken_us < 0 or -_OFF_US <= off_us <= _OFF_US),
        ("flash", _flash(ports.flash)),
        ("motor", resting),
        ("steps", taken_us >= 0 and _pulses(ports, -1, _BACK_US) >= 0),
        ("pressure_sensor", _PRESSURE_RAW_MIN <= sensors.pressure_raw() <= RAW_ALIVE_MAX),
        ("encoder", max(spread) <= _SPREAD),
        ("supply", _SUPPLY_MV_MIN <= sensors.supply_mv() <= _SUPPLY_MV_MAX),
        ("temperature", _TEMPERATURE_MC_MIN <= sensors.temperature_mc() <= _TEMPERATURE_MC_MAX),
        ("end_switches", inputs & _ENDS != _ENDS),
        ("driver", not inputs & contract.IN_DIAG),
        ("button_stuck", not inputs & _BUTTONS),
        ("annunciators", ports.panel.works()),
    )


def _memory():
    """Blocks all over the free heap keep both patterns."""
    try:
        for pattern in (b"\x55", b"\xaa"):
            right = pattern * _BLOCK_BYTES
            blocks = [bytearray(right) for _ in range(_BLOCKS)]
            if [block for block in blocks if block != right]:
                return False
    except MemoryError:
        return False
    return True


def _flash(flash):
    """Two reads of the same page agree."""
    first = bytearray(flash.page)
    second = bytearray(flash.page)
    try:
        flash.read(0, first)
        flash.read(0, second)
    except OSError:
        return False
    return first == second


def _pulses(ports, direction, period_us):
    """Microseconds from the first to the last of some pulses, as their odometer counts them; -1 when there came others
    than were queued."""
    steps = ports.steps
    start = steps.odometer()
    steps.guard(-1)
    steps.begin(direction, period_us)
    for _ in range(_PULSES - 1):
        steps.put(period_us)
    first = now = count = 0
    for _ in range(_POLLS_MAX):
        count = (steps.odometer() - start) * direction & _EDGES
        now = ports.clock.ticks_us()
        if count < 1:
            first = now  # before the first
        if count >= _PULSES:
            break
    steps.halt()
    return now - first & _TICKS if count == _PULSES else -1
