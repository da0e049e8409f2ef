"""Configuration: limits, calibration and settings.

Owns: what may be changed when, and that it is on the flash before it is in force. Loaded when something is changed, and
freed again (`Commands`). Must not: start anything.
"""

from haipump_fw.const import const
from haipump_fw.core import options, profiles
from haipump_fw.core.supervision import RAW_ALIVE_MAX, limit_raw
from haipump_fw.core.units import US_PER_S, div_up, within
from haipump_fw.proto.frame import Refused

_STAIRS_MAX = const(128)  # of one acceleration: more would take too long to work out, and too much memory


def prepare_limits(commands, fields):
    app = commands.app
    if app.values["library_seal"] and ("max_rate_nl_per_day" in fields or "max_bolus_nl" in fields):
        raise Refused("library", [("what", "loaded")])
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
    values = dict(commands.app.values)
    values.update(fields)
    low, high = within(values)
    if not low <= values["step_fl"] <= high:
        raise Refused("range", [("field", "step_fl"), ("minimum", low), ("maximum", high)])
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
        raise Refused("storage", [("what", app.storage.problem or "no_window")])
    app.values = app.storage.settings.values
    app.library_read = False
    app.storage.record("settings", app.storage.settings.generation, len(changes))
    app.delivery.account()
    if app.values["step_fl"] != was:
        unseen = app.unseen_total()
        app.forget_unseen()
        app.ledger.recalibrate(app.values["step_fl"], app.delivery.net_steps, unseen)
    app.refresh()
    if app.values["step_fl"] != was:
        app.commit()  # with the fraction that is given up
