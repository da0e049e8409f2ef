"""Recovery: what is done once at power-on. What the journal knows of the time before this start is taken over.

Owns: the ranges after a power loss, the ends of what was interrupted, alarms that still wait; the session, and what a
key that was lost allows. Must not: resume anything.
"""

from haipump_fw import ports as contract
from haipump_fw.const import const
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core.ledger import COMMIT_NL
from haipump_fw.core.states import RUNNING, STATES
from haipump_fw.delivery import DOSE, new_order
from haipump_fw.proto.messages import RESULTS, TASKS
from haipump_fw.proto.session import Session

_RESET = RESULTS.index("reset")
_WAITING = (alarm_table.ACTIVE, alarm_table.LATCHED, alarm_table.ESCALATED)
_CAUSES = (contract.RESET_POWER, contract.RESET_WATCHDOG, contract.RESET_REQUEST, contract.RESET_FAULT)

WATCHDOG_MS = const(8_300)  # the chip can do 8388


def session(app, commands):
    """Who may talk to this run."""
    ports, storage = app.ports, app.storage
    app.was_serviced = bool(ports.inputs.read() & contract.IN_SERVICE)  # keys may be set in this run
    # A key can get lost. Whoever can close the jumper and switch the power has the pump open before him and could
    # as well rewrite the flash, so this much is granted without the key: a new key, or unlocking. Nothing else is,
    # until one of the two has been done: a jumper that was forgotten must not leave the pump open for good.
    app.recovering = app.was_serviced and bool(app.values["locked"])
    locked = bool(app.values["locked"]) and not app.recovering
    device = ports.system.device_id()
    return Session(commands, device, storage.boot, storage.next_id, storage.settings.key, locked)


def power_on(app, order, left_nl):
    """The watchdog runs from here on; self test, and the first event. `order` with `left_nl` is what a reset ended."""
    app.ports.watchdog.start(WATCHDOG_MS)
    app.self_test(False)
    if app.storage.problem:
        app.alarms.set("storage", app.clock.s)
    app.session.event(
        "boot",
        [
            ("boot", app.storage.boot),
            ("reset", app.reset_cause),
            ("task", TASKS[app.reset_task]),
            ("state", app.machine.state),
            ("order", order),  # nothing of it runs again by itself
            ("left_nl", left_nl),
        ],
    )
    app.changed()


def forget_start(app):
    """What only a start needs takes 3 kB of the device's memory: it is let go of."""
    storage, drop = app.storage, app.ports.system.drop
    for name in ("open", "recover", "alarms", "_newest", "_scan", "_drop_strays", "_recover"):
        drop(type(storage.journal), name)
    drop(type(app), "_init_watch")
    parts = [app, storage, storage.journal, storage.settings, app.delivery, app.supervision, app.occlusion, app.session]
    for part in parts:
        drop(type(part), "__init__")


def restore(app):
    """Totals from the journal; what ran when the power went has ended, and is not resumed. Returns (number, nL left at
    least) of the order with a volume, a bolus or the like, that ended so; (0, 0) for none."""
    storage = app.storage
    ledger = app.ledger
    commit = storage.known["commit"]
    running = False
    if commit is not None:
        state = STATES[commit.values["state"]]
        running = state in RUNNING
        closed = storage.last("syringe", "life_commanded_nl", 0), storage.last("syringe", "life_confirmed_nl", 0)
        ledger.restore(commit.values, storage.last("carry", "off_nl", 0), closed)
        ledger.primed_nl = storage.last("carry", "primed_nl", 0)
        ledger.withdrawn_nl = storage.last("carry", "withdrawn_nl", 0)
        ledger.orders = storage.last("carry", "orders", 0)
        ledger.life_unsure_nl = storage.last("carry", "life_unsure_nl", 0)
        ledger.lost_steps = storage.last("carry", "lost_steps", 0)
        if not running:
            _restore_carry(app)
    _check_syringe(app, commit)
    open_orders = storage.known["intents"]
    # A commit of a later run than the order's has this already: the power went again before the order was closed.
    cut = [intent for intent in open_orders if commit is None or intent.boot == commit.boot]
    carry = storage.known["carry"]  # written before the commit: one of a later run than the order's has counted it
    ledger.orders += len([intent for intent in open_orders if carry is None or carry.boot <= intent.boot])
    if running or cut:
        ledger.unsure_nl += COMMIT_NL
        ledger.reservoir_base_nl = max(0, ledger.reservoir_base_nl - COMMIT_NL)
    _restore_alarms(app)
    cause = app.reset_cause
    was = STATES.index("stopped") if commit is None else commit.values["state"]
    storage.record("boot", storage.boot, _CAUSES.index(cause), was, app.reset_task)
    app.supply_mv = app.ports.sensors.supply_mv()
    app.supervision.pressure(app.ports.sensors.pressure_raw())
    app.commit()  # before the orders are closed: from here on the range is known, whatever happens
    interrupted = 0, 0
    for intent in open_orders:
        order = new_order(intent.values["order"], intent.values["source"])
        planned_nl = intent.values["volume_nl"]
        volumes = planned_nl, _most(intent, commit), 0
        if planned_nl:
            interrupted = order.number, planned_nl - volumes[1]
        app.remember(order, _RESET, *volumes, 0, 0)
        storage.record("result", order.number, order.source, _RESET, *volumes, 0)
    if cause in (contract.RESET_WATCHDOG, contract.RESET_FAULT):
        app.alarms.set("unexpected_reset", 0)
    elif running:
        app.alarms.set("power_lost", 0)
    for name in ("unexpected_reset", "power_lost"):
        app.alarms.unset(name)  # they tell of the past: latched until acknowledged
    storage.known = None  # 3 kB that nobody needs any more
    return interrupted


def _most(intent, commit):
    """What an order has delivered at most: all that came since it began, and what nobody counted at the end."""
    values = intent.values
    planned_nl = values["volume_nl"]
    if commit is None or values["source"] not in DOSE or not values["from_nl"]:
        return planned_nl
    most_nl = max(0, commit.values["stepped_nl"] + 1 - values["from_nl"]) + COMMIT_NL
    return min(planned_nl, most_nl) if planned_nl else most_nl


def _restore_alarms(app):
    """Latching alarms that waited for their acknowledgement when the power went still do. What was acknowledged while
    its cause stood is found again if that still does; the cause of `alarm_loop` is only that time has to pass, and of
    the time without power nothing is known: it holds anew, from the start, for as long as it may have had to."""
    alarms = app.alarms
    for record in app.storage.journal.alarms():
        phase, number = record.values["phase"], record.values["alarm"]
        if not 0 < number <= len(alarm_table.ALARMS):  # a newer firmware may have known more
            continue
        name, traits = alarm_table.ALARMS[number - 1]
        if name == "alarm_loop" and phase in (alarm_table.ACTIVE, alarm_table.ACKNOWLEDGED):
            alarms.loop_until_s = alarm_table.LOOP_S
            alarms.set(name, 0)
        elif traits & alarm_table.LATCH and phase in _WAITING:
            alarms.set(name, 0)
            alarms.unset(name)


def _restore_carry(app):
    """The fraction and the play of a run that ended at rest; a fraction of another calibration is given up."""
    delivery = app.delivery
    carry_q = app.storage.last("carry", "phase_quanta", 0)
    if abs(carry_q) <= delivery.planner.step_q:
        delivery.planner.restore(carry_q)
    delivery.slack = app.storage.last("carry", "slack_steps", 0)


def _check_syringe(app, commit):
    """A loading that the power interrupted: the volume is not known, so a syringe has to be loaded again."""
    syringe = app.storage.known["syringe"]
    if syringe is None:
        return
    # copies restate what is long past: only two originals can be out of order
    fresh = commit is not None and not syringe.restated and not commit.restated
    interrupted = commit is None or (fresh and syringe.seq > commit.seq)
    if interrupted and commit is not None:
        app.ledger.reopen()  # the totals of the syringe before are in those of the life already
    if interrupted or syringe.values["syringe_nl"] != app.values["syringe_nl"]:
        app.syringe_known = False
        app.ledger.reservoir_base_nl = 0
