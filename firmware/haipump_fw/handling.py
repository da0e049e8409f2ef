"""Handling: moving the pusher without delivering, refilling, and what else is done while nothing runs.

Owns: prime, withdraw, jog, home, refill, KVO, self test and service. Loaded when one is asked for, and freed again
(`Commands`). Must not: count what is moved as dose.
"""

from haipump_fw import ports as contract
from haipump_fw.const import const
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core import profiles
from haipump_fw.core.units import US_PER_S, div_up
from haipump_fw.delivery import HOME, JOG, KVO, PRIME, WITHDRAW, new_order
from haipump_fw.proto.frame import Refused

HANDLING_MAX_S = const(43_200)  # no motion beside therapy lasts longer
# Only these alarms may stand, acknowledged, when the plunger moves with the line disconnected: so their cause goes.
FREED = ("occlusion", "upstream_occlusion", "reservoir_empty", "end_of_travel", "syringe_released")


def _bounded(profile):
    """Its whole seconds. Raises Refused when they are too many."""
    duration_s = div_up(profile.total_us, US_PER_S)
    if duration_s > HANDLING_MAX_S:
        raise Refused("limit", [("limit", "handling_s"), ("value", duration_s), ("maximum", HANDLING_MAX_S)])
    return duration_s


def _handle(commands):
    app = commands.app
    app.machine.check("start_move")
    if app.storage.problem is not None:
        raise Refused("storage", [("what", app.storage.problem)])
    alarms = app.alarms
    for i in alarms.listed():
        name, traits = alarm_table.ALARMS[i]
        if traits & alarm_table.NO_START and (name not in FREED or alarms.phase[i] != alarm_table.ACKNOWLEDGED):
            raise Refused("alarm", [("alarm", name)])


def prepare_kvo(commands, fields):
    commands.ready("start_kvo")
    app = commands.app
    basal = app.delivery.basal
    rate = app.values["kvo_nl_per_day"]
    now_us = app.now_us()
    running = commands.basal_rate(now_us)
    if running:
        rate = min(rate, running)
    commands.check_rate(rate)
    speed = 0 if basal is None else app.delivery.speed_of(basal, now_us)
    profile = profiles.rate(rate, app.delivery.limits, speed)

    def execute(number):
        commands.begin(new_order(number, KVO, 0, rate), "start_kvo", rate, 0, profile)

    # What KVO is for outweighs a soft limit.
    check = {"override": 1, "reason": "kvo"}, rate, 0
    return [("rate_nl_per_day", rate)] + commands.supply(check, ((profile,), 0)), execute


def prepare_prime(commands, fields):
    commands.ready("start_prime")
    volume_nl = fields["volume_nl"]
    commands.check_reservoir(volume_nl)
    return _moved_volume(commands, PRIME, "start_prime", volume_nl, "prime_nl_per_day")


def prepare_withdraw(commands, fields):
    _handle(commands)
    app = commands.app
    if not app.ports.inputs.read() & contract.IN_CAPTURED:
        raise Refused("syringe", [("what", "not_captured")])
    volume_nl = fields["volume_nl"]
    room_nl = app.values["syringe_nl"] - app.reservoir_nl()
    if volume_nl > room_nl:
        raise Refused("reservoir", [("value", volume_nl), ("maximum", max(0, room_nl))])
    return _moved_volume(commands, WITHDRAW, "start_withdraw", volume_nl, "withdraw_nl_per_day")


def _moved_volume(commands, source, event, volume_nl, setting):
    limits = commands.app.delivery.limits
    rate = commands.app.values[setting]
    highest = limits.maximum * limits.step_q // US_PER_S
    if rate > highest:
        raise Refused("limit", [("limit", "motor"), ("value", rate), ("maximum", highest)])
    profile = profiles.volume_at_rate(profiles.quanta(volume_nl), rate, limits)
    duration_s = _bounded(profile)

    def execute(number):
        commands.begin(new_order(number, source, volume_nl, rate), event, rate, 0, profile)

    pairs = [("volume_nl", volume_nl), ("duration_s", duration_s)]
    return pairs + commands.supply(None, None, profile if source == PRIME else None), execute


def _travel(commands, steps):
    """Profile of a move by so many steps (> 0) at jog speed, and its rate."""
    limits = commands.app.delivery.limits
    rate = min(commands.app.values["jog_steps_per_s"], limits.maximum) * limits.step_q // US_PER_S
    return profiles.volume_at_rate(steps * limits.step_q, rate, limits), rate


def prepare_jog(commands, fields):
    _handle(commands)
    steps = fields["steps"]
    if steps == 0:
        raise Refused("range", [("field", "steps"), ("what", "zero")])
    profile, rate = _travel(commands, abs(steps))
    duration_s = _bounded(profile)

    def execute(number):
        order = new_order(number, JOG, 0, rate if steps > 0 else -rate)
        order.volume_q = abs(steps) * commands.app.delivery.limits.step_q
        commands.begin(order, "start_move", rate, 0, profile)

    return [("steps", steps), ("duration_s", duration_s)], execute


def prepare_home(commands, fields):
    _handle(commands)
    values = commands.app.values
    # Without a measured travel: 150 mm, longer than the stroke of any syringe of the table.
    steps = values["travel_steps"] or 150_000 * values["steps_per_turn"] // values["lead_um"]
    profile, rate = _travel(commands, steps)
    _bounded(profile)

    def execute(number):
        order = new_order(number, HOME, 0, rate)
        order.volume_q = steps * commands.app.delivery.limits.step_q
        commands.begin(order, "start_move", rate, 0, profile)

    return [("steps_max", steps)], execute


def act_refill(commands, fields):
    app = commands.app
    event = "begin_refill" if fields["phase"] == "begin" else "end_refill"
    app.machine.check(event)
    app.refill_begun = fields["phase"] == "begin"
    app.fire(event, "host")
    return [("state", app.machine.state)]


def act_selftest(commands, fields):
    app = commands.app
    app.machine.check("selftest")
    app.fire("selftest", "host")
    parts = app.self_test(True)
    failed = [name for name, good in parts if not good]
    return [
        ("result", failed[0] if failed else "passed"),
        ("state", app.machine.state),
        ("parts", ",".join([name if good else "!" + name for name, good in parts])),
    ]


def act_service(commands, fields):
    app = commands.app
    app.machine.check("service")
    app.fire("service", "host")
    app.leave_for_service = True  # after the answer has gone out
    return [("state", app.machine.state)]
