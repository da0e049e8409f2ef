"""Configuration: loading a syringe, limits, calibration, settings, keys and the lock.

Owns: what may be changed when, and that it is on the flash before it is in force. Loaded when something is changed, and
freed again (`Commands`). Must not: start anything.
"""

import binascii

from haipump_fw.const import const
from haipump_fw.core import options, profiles
from haipump_fw.core.supervision import RAW_ALIVE_MAX, limit_raw
from haipump_fw.core.units import QUANTA_PER_FL, US_PER_S, div_up
from haipump_fw.proto.frame import Refused

_STAIRS_MAX = const(128)  # of one acceleration: more would take too long to work out, and too much memory


def prepare_syringe(commands, fields):
    app = commands.app
    app.machine.check("load")
    syringe_nl = fields.get("syringe_nl", fields["reservoir_nl"])
    if fields["reservoir_nl"] > syringe_nl:
        raise Refused("range", [("field", "reservoir_nl"), ("maximum", syringe_nl)])
    changes = {
        "step_fl": fields["step_fl"],
        "bore_um": fields["bore_um"],
        "syringe_nl": syringe_nl,
        "syringe_max_nl_per_day": fields.get("syringe_max_nl_per_day", 0),
        "loaded_drug": binascii.crc32(fields["drug"].encode()) if "drug" in fields else 0,
    }

    def execute(number):
        # The record comes first, the commit last: a start finds from their order that the power went in between.
        record = ("syringe", fields["reservoir_nl"], fields["step_fl"], fields["bore_um"], syringe_nl)
        life = app.ledger.life_at_loading(app.unseen_total())
        if not app.storage.record(*record, *life) or not app.storage.write(app.window_us):
            raise Refused("storage", [("what", app.storage.problem or "no_window")])
        save(commands, changes)
        app.delivery.account()
        unseen = app.unseen_total()
        app.forget_unseen()
        app.occlusion.forget()
        app.delivery.slack = min(app.delivery.slack, app.delivery.backlash)  # this one was never drawn back
        app.ledger.new_syringe(fields["step_fl"], fields["reservoir_nl"], app.delivery.net_steps, unseen)
        app.syringe_known = True
        app.commit()
        stored = app.storage.write(app.window_us)
        app.refresh()
        if not stored:
            raise Refused("storage", [("what", app.storage.problem or "no_window")])

    step_max = app.values["max_steps_per_s"] * fields["step_fl"] * QUANTA_PER_FL // US_PER_S
    pairs = [("reservoir_nl", fields["reservoir_nl"])]
    pairs += [(name, changes[name]) for name in ("step_fl", "bore_um", "syringe_nl", "syringe_max_nl_per_day")]
    if "drug" in fields:
        pairs.append(("drug", fields["drug"]))
    return pairs + [("step_max_nl_per_day", step_max)], execute


def prepare_limits(commands, fields):
    app = commands.app
    _check_sensor(commands, fields)
    low_nl, empty_nl = (fields.get(name, app.values[name]) for name in ("reservoir_low_nl", "reservoir_empty_nl"))
    if 0 < low_nl < empty_nl:  # the pump would stop before it has warned; 0 asks for no warning
        if "reservoir_low_nl" in fields:
            raise Refused("range", [("field", "reservoir_low_nl"), ("minimum", empty_nl)])
        raise Refused("range", [("field", "reservoir_empty_nl"), ("maximum", low_nl)])
    flow = app.delivery.flow_nl_per_day(app.now_us())
    if fields.get("max_rate_nl_per_day", flow) < flow:
        raise Refused("range", [("field", "max_rate_nl_per_day"), ("minimum", flow), ("what", "running")])
    return _values(commands, fields, "limits", "adjust")


def _check_sensor(commands, fields):
    """The occlusion limit lies where the pressure sensor can still tell it from a short circuit."""
    values = dict(commands.app.values)
    values.update(fields)
    if limit_raw(values) > RAW_ALIVE_MAX:
        highest = (RAW_ALIVE_MAX - values["pressure_zero_raw"]) * values["pressure_full_pa"]
        highest //= values["pressure_span_raw"]
        raise Refused("range", [("field", "occlusion_pa"), ("maximum", highest), ("what", "sensor")])


def prepare_calibration(commands, fields):
    return _values(commands, fields, "calibration", "calibrate")


def _values(commands, fields, group, event):
    commands.app.machine.check(event)
    pairs = [
        (row[options.NAME], fields.get(row[options.NAME], commands.app.values[row[options.NAME]]))
        for row in options.rows(group)
    ]
    return pairs, _saver(commands, fields)


def prepare_settings(commands, fields):
    app = commands.app
    app.machine.check("adjust")
    values = dict(app.values)
    values.update(fields)
    if values["start_steps_per_s"] > values["max_steps_per_s"]:
        raise Refused("range", [("field", "start_steps_per_s"), ("maximum", values["max_steps_per_s"])])
    rise = max(1, values["accel_steps_per_s2"] * profiles.STAIR_US // US_PER_S)
    if values["max_steps_per_s"] - values["start_steps_per_s"] > _STAIRS_MAX * rise:
        stair = div_up(values["max_steps_per_s"] - values["start_steps_per_s"], _STAIRS_MAX)
        lowest = div_up(stair * US_PER_S, profiles.STAIR_US)
        raise Refused("range", [("field", "accel_steps_per_s2"), ("minimum", lowest)])
    _check_sensor(commands, fields)
    motor = ("start_steps_per_s", "accel_steps_per_s2", "max_steps_per_s")
    if app.delivery.moving() and [name for name in motor if name in fields]:
        raise Refused("state", [("what", "stop_first")])
    return [("changed", len(fields))], _saver(commands, fields)


def _saver(commands, fields):
    if not fields:
        raise Refused("field", [("what", "none")])

    def execute(number):
        save(commands, dict(fields))

    return execute


def save(commands, changes, key=None):
    """Settings to flash, then into force."""
    app = commands.app
    was = app.values["step_fl"]
    if not app.storage.save(changes, app.window_us, key):
        raise Refused("storage", [("what", app.storage.problem or "settings")])
    app.values = app.storage.settings.values
    app.storage.record("settings", app.storage.settings.generation, len(changes))
    app.delivery.account()
    if app.values["step_fl"] != was:
        unseen = app.unseen_total()
        app.forget_unseen()
        app.ledger.recalibrate(app.values["step_fl"], app.delivery.net_steps, unseen)
    app.refresh()
    if app.values["step_fl"] != was:
        app.commit()  # with the fraction that is given up


def act_set_key(commands, fields):
    app = commands.app
    if not app.was_serviced or app.machine.state != "stopped":
        raise Refused("key")
    key = binascii.unhexlify(fields["key"])
    if app.values["locked"] and not any(key):
        raise Refused("key", [("what", "zeros_delete_it_unlock_first")])
    save(commands, {}, key)
    app.session.key = app.storage.settings.key
    return _settle_lock(commands)


def act_lock(commands, fields):
    if commands.app.session.key is None:
        raise Refused("key", [("what", "no_key_set")])
    return _set_locked(commands, 1)


def act_unlock(commands, fields):
    return _set_locked(commands, 0)


def _set_locked(commands, locked):
    save(commands, {"locked": locked})
    return _settle_lock(commands)


def _settle_lock(commands):
    app = commands.app
    app.recovering = False
    app.session.locked = bool(app.values["locked"])
    return [("locked", app.values["locked"])]
