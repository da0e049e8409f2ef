"""What went wrong in real pumps, as requirements (A1 to A25), and the rules for the serial protocol that follow from it
(R1 to R12).

Owns: these rows. Must not: name a cause that its source does not have.
"""

from tools.traceability.model import PARTLY
from tools.traceability.model import Requirement as Row

ROWS = (
    Row(
        "A1",
        "A key that bounces makes no other number (Alaris SE, 2006: 4.8 became 44.8): values come in whole frames, are "
        "read back, and ten times the running rate or the last bolus needs an override.",
        ("commands.Commands.check_jump", "panel.OperatorPanel.press", "proto.frame.checksum"),
        "A tenth of the running rate as well. After a stop, and where only KVO runs, no rate is there to compare with, "
        "nor a bolus after a restart: then what is read back and the drug's limits are the guard.",
    ),
    Row(
        "A2",
        "Stuck and dead keys (Alaris 8100, 2021): a stuck input is found, and stop exists on two independent inputs.",
        ("panel.OperatorPanel.press", "selftest.run"),
    ),
    Row(
        "A3",
        "A pump faster than its label (Intera 3000, 2022): the true flow is worked out at each refill and used.",
        ("haipump.cli.setup.corrected",),
        "The pump is calibrated by weighing, and its dose is steps of that calibration; there is no label to trust.",
        PARTLY,
    ),
    Row(
        "A4",
        "A priming bolus that a person got (SynchroMed, 2013): priming wants the word that nothing is connected, and "
        "counts as no dose.",
        ("proto.frame.Request.fields", "app.App._close"),
    ),
    Row(
        "A5",
        "Motor stalls (SynchroMed, 2012 and 2019): found without counting steps, with the volume that is missing.",
        ("core.supervision.Supervision.shaft", "core.supervision.Supervision.missing"),
    ),
    Row(
        "A6",
        "A service mode that noise entered and nobody left (SynchroMed in MRI): no bytes park the pump silently, "
        "and every mode that is no therapy ends by itself.",
        ("proto.frame.read", "app.App._slow_check"),
    ),
    Row(
        "A7",
        "A reset that changed the rate (SynchroMed, 2009): after one the pump is stopped, says why, and totals hold.",
        ("recovery.restore", "core.ledger.Ledger.restore"),
    ),
    Row(
        "A8",
        "Anybody in range could change the dose (MiniMed, 2019): in locked mode every change is authenticated.",
        ("proto.session.Session._check_mac",),
    ),
    Row(
        "A9",
        "A recorded bolus could be replayed (MiniMed remote, 2018): an old line is refused and counted.",
        ("proto.session.Session._former",),
    ),
    Row(
        "A10",
        "Weak pairing, spoof and replay (Animas Ping, 2016): a code over a nonce of this start.",
        ("proto.auth.mac", "proto.auth.hmac_sha256", "proto.auth.proof"),
    ),
    Row(
        "A11",
        "Open shells and default passwords (LifeCare, Symbiq, 2015): Ctrl-C and Ctrl-D are data, there is no key until "
        "one is set.",
        ("proto.frame.read", "store.settings.Settings._parse"),
    ),
    Row(
        "A12",
        "Configuration changed unseen in standby (B. Braun Space, 2021): a commit starts what was read back, or "
        "nothing; uploads are bounded.",
        ("commands.Commands.commit", "proto.session.Session._part"),
    ),
    Row(
        "A13",
        "An interrupted bolus resumed with a wrong rest (Medfusion, 2020): what was delivered is the sum of what was "
        "booked, whatever came in between.",
        ("app.App._stop_orders", "core.dosing.Planner.settle"),
    ),
    Row(
        "A14",
        "Infusion went on after a system failure (Medfusion, 2022): a fault cuts the driver's enable line, totals are "
        "kept, a busy line delays neither step nor alarm.",
        ("delivery.Delivery.stop", "app.App.commit"),
    ),
    Row(
        "A15",
        "Wrong parameters after a restart (Medfusion 3500, 2023): settings have checksum and two copies; without a "
        "sound one the pump stays stopped.",
        ("store.settings.Settings._read_image",),
    ),
    Row(
        "A16",
        "The end of the infusion was a low alarm (Volumat, 2019): it is medium at least, until acknowledged.",
        ("app.App._infusion_over", "core.alarms.Alarms.unset"),
    ),
    Row(
        "A17",
        "A schedule began at the wrong time (Alaris 8100, 2014): one clock that neither wraps nor is set.",
        ("core.clock.Uptime.update", "core.clock.Deadline.set"),
    ),
    Row(
        "A18",
        "A lost keyboard stopped all channels (Alaris PC, 2013): without the host the therapy goes on as ordered.",
        ("proto.output.Output.put",),
    ),
    Row(
        "A19",
        "A false alarm made people rewind while connected (Animas, 2020): clearing an alarm moves nothing.",
        ("app.App.acknowledge",),
    ),
    Row(
        "A20",
        "An app that connected for ever drained the pump (t:connect, 2024): a storm of connections disturbs nothing.",
        ("proto.session.Session.bytes_in", "proto.output.Output.put"),
    ),
    Row(
        "A21",
        "A leading zero froze the screen (Ivenix, 2025): the grammar of numbers is narrow, and any text is answered.",
        ("proto.frame.number", "haipump.quantities._number"),
    ),
    Row(
        "A22",
        "A set put together the wrong way round (Ivenix, 2025): reverse flow is found.",
        ("core.supervision.Supervision.shaft",),
        "A syringe has one end; what can be the wrong way round is the motor, and its shaft tells.",
        PARTLY,
    ),
    Row(
        "A23",
        "Failures in the field (Nimbus, 2024): the log can be had, whole, at any time.",
        ("answers.Answers.read_log",),
    ),
    Row(
        "A24",
        "Free flow: no delivery starts unless the plunger is held, and it is an alarm when it is let go.",
        ("commands.Commands.ready", "app.App._judge_inputs"),
        "Jogging and homing move without it: that is how the pusher gets to a plunger, with nobody connected. They are "
        "no dose.",
    ),
    Row(
        "A25",
        "A lost answer and a repeated order: an id is carried out once, over resets too.",
        ("proto.session.Session._former", "storage.Storage.reserve"),
    ),
    Row(
        "R1",
        "A frame has an id and a checksum, and in locked mode a code.",
        ("proto.frame.read", "proto.frame.checksum"),
    ),
    Row("R2", "A garbled frame changes nothing, and the next one is heard.", ("proto.frame.read",)),
    Row(
        "R3",
        "Prepare answers with the order as it was understood and a token; a commit with that, within 30 s, once.",
        ("proto.session.Session._take_plan", "proto.session.Session._prepare"),
    ),
    Row("R4", "Whole numbers with the unit in the name; no floats on the wire.", ("proto.frame.number",)),
    Row(
        "R5",
        "Limits are kept by the pump.",
        (
            "commands.Commands.check_rate",
            "commands.Commands.check_limit",
            "commands.Commands.check_reservoir",
            "syringe.check",
            "configuration.prepare_calibration",
        ),
    ),
    Row(
        "R6",
        "Stop is always taken, and turns the driver off.",
        ("proto.session.Session._stop_now", "proto.frame.is_stop"),
    ),
    Row("R7", "Commanded, stepped and confirmed are told apart.", ("app.App.confirmed_nl", "app.App.confirmed_of")),
    Row("R8", "A host that does not read blocks nothing.", ("proto.output.Output.put",)),
    Row("R9", "Time does not wrap.", ("core.clock.Uptime.update", "core.clock.ticks_diff")),
    Row("R10", "The watchdog is fed only when every task was seen alive.", ("recovery.power_on", "app.App.step")),
    Row("R11", "After any reset: motor off, cause told, nothing resumes by itself.", ("recovery.restore",)),
    Row("R12", "The log is append-only, numbered, and each record chained to the one before.", ("store.records.seal",)),
)
