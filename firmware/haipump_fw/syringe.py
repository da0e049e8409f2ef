"""Loading a syringe: its size, what is in it, and of which drug.

Owns: the order of what is written when. In memory only while a syringe is loaded (`Commands`). Must not: move
anything.
"""

import binascii

from haipump_fw.core.units import QUANTA_PER_FL, US_PER_S
from haipump_fw.proto.frame import Refused


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
