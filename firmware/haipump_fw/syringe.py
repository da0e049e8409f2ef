"""Loading a syringe: its size, what is in it, and of which drug.

Owns: the order of what is written when, and what the operator's word is taken for: which syringe it is, never what a
step of it is worth. In memory only while a syringe is loaded (`Commands`). Must not: move anything.
"""

import binascii

from haipump_fw.const import const
from haipump_fw.core.units import QUANTA_PER_FL, US_PER_S, root_down, within
from haipump_fw.proto.frame import Refused

_ROUNDED = const(10_000)  # a host's pi, and its rounding: 0.01 %


def bore_um(syringe_nl):
    """(narrowest, widest) bore in um that a syringe of this size can have, as the host's `syringes.bore_range_um`."""
    # mL and um: the tables of `haipump.syringes` and 25 % to either side. A test compares.
    for size_ml, low_um, high_um in (
        (1, 3_524, 5_975),
        (3, 6_438, 10_825),
        (5, 8_992, 15_075),
        (10, 10_822, 18_125),
        (20, 14_287, 23_912),
        (30, 16_192, 27_125),
        (60, 19_942, 33_375),
    ):
        if size_ml * 1_000_000 == syringe_nl:
            return low_um, high_um
    # In no table: a cylinder of 200 to 25 mm length. 1 nL is 10^6 um3, and 452/113 is 4.
    return root_down(syringe_nl * 452 // 71), root_down(syringe_nl * 3_616 // 71)


def check(values, fields, syringe_nl):
    """Refuses a bore that the size can't have, and a volume per step that is not the bore's: another one goes only as
    it is stored for this bore, which takes `prepare_calibration` and so the configure key."""
    bore, step_fl = fields["bore_um"], fields["step_fl"]
    low, high = bore_um(syringe_nl)
    if syringe_nl and not low <= bore <= high:
        raise Refused("range", [("field", "bore_um"), ("minimum", low), ("maximum", high)])
    stored = bore == values["bore_um"] and step_fl == values["step_fl"]
    values = dict(values)
    values["bore_um"] = bore
    low, high = within(values) if stored else within(values, _ROUNDED)
    if not low <= step_fl <= high:
        raise Refused("range", [("field", "step_fl"), ("minimum", low), ("maximum", high)])


def prepare_syringe(commands, fields):
    app = commands.app
    app.machine.check("load")
    syringe_nl = fields.get("syringe_nl", fields["reservoir_nl"])
    if fields["reservoir_nl"] > syringe_nl:
        raise Refused("range", [("field", "reservoir_nl"), ("maximum", syringe_nl)])
    check(app.values, fields, syringe_nl)
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
        commands.run("save", changes)
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
