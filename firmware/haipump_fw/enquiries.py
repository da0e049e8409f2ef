"""Enquiries: answers about the device, its sensors and its settings.

Owns: which figures are shown under which name. Loaded when somebody asks, and freed again (`Commands`); what is asked
all the time is in `answers`. Must not: change anything.
"""

from haipump_fw import ports as contract
from haipump_fw.core import options
from haipump_fw.proto.frame import Refused


def read_sensors(commands, fields):
    app = commands.app
    sensors = app.ports.sensors
    inputs = app.ports.inputs.read()
    app.supervision.pressure(sensors.pressure_raw())
    app.look_at_shaft()
    bits = (
        ("front", contract.IN_FRONT),
        ("back", contract.IN_BACK),
        ("captured", contract.IN_CAPTURED),
        ("diag", contract.IN_DIAG),
        ("service", contract.IN_SERVICE),
    )
    return (
        [
            ("pressure_pa", app.supervision.pressure_pa()),
            ("encoder_steps", app.supervision.confirmed_steps),
            ("supply_mv", sensors.supply_mv()),
            ("temperature_mc", sensors.temperature_mc()),
        ]
        + [(name, 1 if inputs & bit else 0) for name, bit in bits]
        + [
            ("enabled", 1 if app.ports.motor.enabled() else 0),
            ("uncertain", 1 if app.delivery.uncertain else 0),
        ]
    )


def read_lifetime(commands, fields):
    app = commands.app
    app.now_us()
    planned_q, booked = app.running_dose()
    ledger = app.ledger
    total = ledger.life_total_nl(booked)
    return [
        ("commanded_nl", ledger.life_commanded_nl + ledger.commanded_nl(planned_q)),
        ("stepped_nl", total),
        ("stepped_min_nl", total),
        ("stepped_max_nl", total + ledger.life_unsure_nl + ledger.unsure_nl),
        ("confirmed_nl", ledger.life_confirmed_nl + app.confirmed_nl(booked)),
        ("lost_steps", app.ledger.lost_steps + app.unseen_total()),
        ("orders", app.ledger.orders),
        ("boots", app.storage.boot),
        ("flash_errors", app.storage.journal.failures),
    ]


def read_limits(commands, fields):
    (_, highest), lowest = commands.rate_range()
    return _values(commands, "limits") + [("step_max_nl_per_day", highest), ("rate_min_nl_per_day", lowest)]


def read_calibration(commands, fields):
    return _values(commands, "calibration", "syringe")


def read_library(commands, fields):
    values = commands.app.values
    return [("library", "%x" % values["library_seal"]), ("required", values["library_required"])]


def read_settings(commands, fields):
    for row in options.OPTIONS:
        if row[options.NAME] == fields["name"]:
            return [
                ("name", row[options.NAME]),
                ("value", commands.app.values[row[options.NAME]]),
                ("minimum", row[options.MINIMUM]),
                ("maximum", row[options.MAXIMUM]),
                ("default", row[options.DEFAULT]),
            ]
    raise Refused("field", [("field", "name"), ("what", "unknown")])


def _values(commands, *groups):
    return [
        (row[options.NAME], commands.app.values[row[options.NAME]]) for group in groups for row in options.rows(group)
    ]
