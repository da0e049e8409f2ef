"""Requirements of the CriSys GPCA pump (University of Minnesota, 2013), its MEMO extension, and the Open PCA Pump
(Kansas State University, 2020), in our own words.

Owns: the rows CS-*, REQ-X-* and OP-*. Must not: be more lenient than the source; where we do otherwise the row says so.
"""

from tools.traceability.model import NO, PARTLY
from tools.traceability.model import Requirement as Row

ROWS = (
    Row("CS-REQ-1", "Exactly one mode at a time.", ("core.machine.Machine.fire",)),
    Row(
        "CS-REQ-2/3",
        "Mode and flow change within bounded time and slope.",
        ("core.profiles._approach",),
        "20 to 90 ms to a new plan, and the motor's acceleration.",
    ),
    Row("CS-REQ-5/6/14", "Off and idle deliver nothing.", ("delivery.Delivery.stop",)),
    Row(
        "CS-REQ-7",
        "Nothing starts without what it needs: a loaded syringe, a stored order.",
        ("commands.Commands.ready", "commands.Commands.begin"),
    ),
    Row(
        "CS-REQ-9/12",
        "The first start shows the values, the second confirms them.",
        ("proto.session.Session._prepare",),
    ),
    Row(
        "CS-REQ-16/19",
        "Two tolerances: a small one over time, a large one at once.",
        ("core.supervision.Supervision.shaft",),
    ),
    Row(
        "CS-REQ-20/28",
        "When volume or duration is reached the infusion is over.",
        ("app.App._finish",),
    ),
    Row("CS-REQ-22", "Reverse flow is limited, at once and in sum.", ("relief.budget",)),
    Row(
        "CS-REQ-24",
        "Boluses follow a schedule.",
        ("core.courses.Pulses.at",),
        "As items of a programme.",
        PARTLY,
    ),
    Row(
        "CS-REQ-25",
        "No bolus inside the lockout, over its limit, or while one runs.",
        ("doses.check_order", "commands.Commands.check_limit", "commands.Commands.prepare_bolus"),
    ),
    Row(
        "CS-REQ-26/27",
        "Refused requests are told and counted.",
        ("proto.frame.error", "answers.Answers.read_info"),
        "Each refusal is told with its limit; lines that are wrong or forged are counted.",
        PARTLY,
    ),
    Row("CS-REQ-31-39", "Every transition between modes is in one table.", ("core.machine.Machine.fire",)),
    Row(
        "CS-REQ-43",
        "Paused means the rate that keeps the vein open.",
        ("delivery.Delivery.pause",),
        "Paused means nothing flows, and is called so; KVO is a mode of its own.",
        PARTLY,
    ),
    Row("CS-REQ-44/15", "Paused for too long is told.", ("app.App._supervise",)),
    Row("CS-REQ-45/46", "No resume while an alarm forbids it.", ("commands.Commands.act_resume",)),
    Row(
        "CS-REQ-51-55",
        "Orders are checked against the library; without one nothing is saved.",
        ("doses.check_order",),
        "Against the limits of the one drug that is set.",
        PARTLY,
    ),
    Row(
        "CS-REQ-56",
        "The old values hold until the new ones are started.",
        ("commands.Commands.commit",),
    ),
    Row(
        "CS-REQ-57/58",
        "Editing for too long ends, and what was edited is discarded.",
        ("proto.session.Session._take_plan",),
    ),
    Row(
        "CS-REQ-59-64",
        "Alarms are one table, with what each inhibits and which comes first.",
        ("core.alarms.Alarms.forbids", "core.alarms.Alarms.top"),
    ),
    Row(
        "CS-REQ-65-71",
        "Alarms are listed in order and acknowledged one at a time.",
        ("core.alarms.Alarms.listed", "core.alarms.Alarms.acknowledge"),
    ),
    Row("CS-REQ-75/76", "A silence ends by itself; what still stands sounds again.", ("core.alarms.Alarms.sounding",)),
    Row(
        "CS-REQ-78-81",
        "A periodic log and an event log, with totals and cancelled orders.",
        ("app.App.commit", "app.App._close"),
    ),
    Row("CS-REQ-82", "Only authorised users configure.", ("proto.session.Session._check_mac",)),
    Row(
        "CS-REQ-85/86",
        "Faults are kept for 30 days, operation for 15.",
        ("store.journal.Journal._forget",),
        "As many as fit: over 60 days of basal, fewer of busy use; the oldest go first.",
        PARTLY,
    ),
    Row(
        "REQ-X-03",
        "After a power loss the order is known, and goes on only when somebody says so.",
        ("recovery.restore",),
    ),
    Row(
        "REQ-X-06",
        "In any hour no more than a maximum, over all sources.",
        ("core.limits.Proof.within", "core.window.Window.steps", "doses.check_order"),
        "In any window of a length that is set.",
    ),
    Row(
        "REQ-X-07",
        "A change of the log is found out.",
        ("store.records.link", "haipump.journal.verify"),
        "The chain has no key: a log made anew, or cut at its end, is found out by an end of the chain noted before.",
        PARTLY,
    ),
    Row("REQ-X-08", "The watchdog ends the flow and is told.", ("recovery.power_on", "recovery.restore")),
    Row(
        "REQ-X-10",
        "What was commanded is compared with what was measured, independently.",
        ("core.supervision.Supervision.odometer", "core.supervision.Supervision.shaft"),
    ),
    Row("OP-R5.1(3)", "Basal within an absolute tolerance of the order.", ("core.dosing.Planner._set_anchor",)),
    Row(
        "OP-R5.1(4)/R5.2(6)/R5.3(4)",
        "An alarm halts basal and bolus as its table says.",
        ("app.App.raise_alarm",),
    ),
    Row("OP-R5.2(3)", "A minimum time between boluses.", ("doses.check_order",)),
    Row(
        "OP-R5.2(5)/R5.3(7)",
        "A bolus that would pass the dose limit is refused, or halted before it does.",
        ("core.limits.Proof.within", "core.window.Window.cap"),
    ),
    Row(
        "OP-R5.3(5/6)",
        "The duration of a spread bolus is bounded.",
        ("commands.Commands.square",),
        "By the motor's speeds, the period of a step and 100 days.",
        PARTLY,
    ),
    Row(
        "OP-R6.4(2)-(7)",
        "Over- and under-infusion have times of their own for each mode; free flow none.",
        ("core.supervision.Supervision.flow", "core.supervision.Supervision.shaft"),
        "At once by steps, over 15 minutes by flow; each rate's times are in detection.md.",
    ),
    Row("OP-R6.4.1", "Priority and what the pump does are in a table, for each alarm.", ("app.App.raise_alarm",)),
    Row("OP-R6.4.4(2)", "A silence that came over the link ends with the link.", ("app.App.check_silence",)),
    Row(
        "OP-R6.5(13)",
        "Stop silences.",
        ("app.App.stop",),
        "Stop stops and is logged; what stands goes on sounding.",
        PARTLY,
    ),
    Row(
        "OP-R6.5(18)",
        "The same alarm, stopped and started three times in 10 minutes, stops the pump.",
        ("core.alarms.Alarms.stopped",),
    ),
    Row("OP-R6.5(23)", "The rate that is pumped now is shown.", ("delivery.Delivery.flow_nl_per_day",)),
    Row(
        "OP-R6.6(1)-(8)",
        "Events and faults are logged to 10 ms, for 1000 hours, faults for 30 days.",
        ("storage.Storage.record",),
        "To the second.",
        PARTLY,
    ),
    Row(
        "OP-R6.7(4)-(6)",
        "The host may order KVO or a resume; without it the pump stands alone.",
        ("handling.prepare_kvo", "commands.Commands.act_resume"),
    ),
    Row(
        "OP-R6.8(3)/(9)/(10)",
        "The reservoir is known to 1 mL; low warns, empty stops.",
        ("app.App._check_volume", "core.ledger.Ledger.reservoir_nl"),
    ),
    Row("OP-R6.9(3)/(4)", "With an unknown drug the pump stays stopped.", ("doses.drug_loaded",)),
    Row(
        "OP-R7.1",
        "Safety is separate from control.",
        ("app.App._guard",),
        "Contacts stop the motor in their interrupt; odometer and the guard of edges, which cuts STEP off by itself, "
        "are machines of their own; EN is off in reset; there is one processor.",
        PARTLY,
    ),
    Row(
        "OP-R7.2(4)/(5)",
        "Limits of pressure upstream (1 psi) and downstream (10 psi).",
        ("core.supervision.limit_raw", "core.occlusion.Occlusion.suction"),
        "Upstream only while a syringe is withdrawn into: while it delivers there is no line before the syringe.",
    ),
    Row("OP-R7.2(6)", "An occlusion stops in mid-stroke.", ("delivery.Delivery.stop",)),
    Row(
        "OP-R7.4(1)-(7)",
        "Tests at power-up, periodic and continuous; faults are logged and seen.",
        ("selftest.judge", "selftest.run"),
    ),
    Row(
        "OP-R8.1(4)",
        "A drug library is authenticated before it is accepted.",
        ("library.prepare_library", "library.sealed", "library.sound", "app.App.library_sound"),
        "The pump takes a seal of 32 bits, made with its key over the limits and the library's hash, and looks at it "
        "again at each start. A pump without a key takes one of an empty key: it shows a change, not who made it.",
        PARTLY,
    ),
    Row(
        "OP-R8.3(1)-(4)",
        "Keys come over a separate physical way, whole or not at all.",
        ("locking.act_set_key",),
        "Only with the service jumper closed at power-up.",
        PARTLY,
    ),
    Row(
        "OP-EC24",
        "Three minutes without traffic end an authenticated session.",
        ("proto.session.Session._session_over",),
        "Only what is signed counts as traffic.",
    ),
    Row("OP-R6.10", "Patient and drug are checked by bar code.", (), "There is no patient at a bench.", NO),
    Row("OP-R7.5/R7.6", "A door that shows tampering; compatible materials.", (), "An open rig for water.", NO),
)
