"""Programmes: a list of rates and boluses in one order, checked item by item.

Owns: what a programme needs before it may start. Loaded when one is asked for, and freed again (`Commands`). Must not:
parse one (`proto.programme`).
"""

from haipump_fw.core import courses, profiles
from haipump_fw.core.units import QUANTA_PER_NL, div_up
from haipump_fw.delivery import PROGRAMME, end_rate, new_order
from haipump_fw.proto import programme
from haipump_fw.proto.frame import Refused


def prepare_programme(commands, fields, blob):
    commands.ready("start_rate")
    plan = programme.parse(blob, commands.breathe)
    rates, boluses, top = _programme_items(commands, plan)
    present = commands.basal_rate(commands.app.now_us())
    commands.check_gentle(max(top, present))
    commands.check_speed(top, (commands.app.delivery.bolus, commands.app.delivery.extended))
    for _, value, _ in rates:
        if value:
            commands.check_jump(value, present, fields)
    for _, volume_q, _ in boluses:
        volume_nl = volume_q // QUANTA_PER_NL
        commands.check_jump(volume_nl, min(commands.last_bolus_nl, volume_nl), fields)
    flow = courses.Periodic(_slowly(commands, rates), plan.period_s, plan.repeats, commands.app.delivery.limits.step_q)
    pulses = courses.Pulses(boluses, plan.period_s, plan.repeats)
    volume_nl = (flow.total_q + pulses.total_q) // QUANTA_PER_NL

    def execute(number):
        order = new_order(number, PROGRAMME, 0)
        order.volume_q = flow.total_q + pulses.total_q
        commands.begin(order, "start_rate", top, plan.repeats, flow, pulses)
        commands.app.at_end = plan.at_end
        commands.app.changed()

    pairs = [
        ("items", len(plan.kinds)),
        ("period_s", plan.period_s),
        ("repeats", plan.repeats),
        ("volume_nl", volume_nl),
        ("duration_s", plan.period_s * plan.repeats),
        ("at_end", plan.at_end),
    ]
    tried = (flow, pulses), commands.app.forecast.kvo_after(plan.at_end, end_rate(flow, flow.total_us))
    top_rate = max([0] + [value for _, value, _ in rates])
    top_nl = max([0] + [volume_q for _, volume_q, _ in boluses]) // QUANTA_PER_NL
    return pairs + commands.supply((fields, top_rate or 1, top_nl), tried), execute


def _slowly(commands, items):
    for item in items:
        commands.breathe()
        yield item


def _programme_items(commands, plan):
    """(rate items, bolus items, highest sum of rates): every item checked against the limits."""
    rates = []
    boluses = []
    top_rate = top_bolus = 0
    for i in range(len(plan.kinds)):
        commands.breathe()
        value = plan.values[i]
        if plan.kinds[i] == programme.BOLUS:
            commands.check_limit("max_bolus_nl", value)
            _, duration_s = commands.square(value, plan.durations_s[i])
            if boluses and plan.at_s[i] < boluses[-1][0] + boluses[-1][2]:
                raise Refused("programme", [("item", i + 1), ("what", "overlap")])
            if plan.at_s[i] + duration_s > plan.period_s:
                raise Refused("programme", [("item", i + 1), ("what", "period")])
            boluses.append((plan.at_s[i], profiles.quanta(value), duration_s))
            top_bolus = max(top_bolus, div_up(value * 86_400, duration_s))
        else:
            if value:
                commands.check_rate(value)
            rates.append((plan.at_s[i], value, plan.durations_s[i]))
            top_rate = max(top_rate, value)
    _check_lockout(commands, plan, [at_s for at_s, _, _ in boluses])
    return rates, boluses, top_rate + top_bolus


def _check_lockout(commands, plan, starts):
    """Its boluses, also the last of a period and the first of the next, are as far apart as others must be."""
    if starts and plan.repeats > 1:
        starts = starts + [starts[0] + plan.period_s]
    lockout_s = commands.app.values["lockout_s"]
    for i in range(1, len(starts)):
        if starts[i] - starts[i - 1] < lockout_s:
            pairs = [("limit", "lockout_s"), ("value", starts[i] - starts[i - 1]), ("minimum", lockout_s)]
            raise Refused("limit", pairs + [("what", "in_programme")])
