"""Requirements of the Generic Infusion Pump, version 1.0 (University of Pennsylvania, 2009), in our own words.

Owns: the rows GIP-*. Must not: be more lenient than the source; where we do otherwise the row says so.
"""

from tools.traceability.model import NO, PARTLY
from tools.traceability.model import Requirement as Row

ROWS = (
    Row("GIP-1.1.1", "The rate of flow can be set.", ("commands.Commands.prepare_rate",)),
    Row(
        "GIP-1.1.3",
        "A pump for small volumes has a highest rate (99.9 mL/h) that it does not pass.",
        ("commands.Commands.check_rate", "commands.Commands.rate_range"),
        "The cap is the lowest of motor, syringe and setting (83.3 mL/h as shipped); slower than a step in 500 s is "
        "refused as well.",
    ),
    Row(
        "GIP-1.1.5",
        "At 1 mL/h and below the flow pulsates little.",
        ("core.dosing.Planner._set_anchor",),
        "Steps come at the nearest microsecond of an even schedule, one microstep each.",
    ),
    Row(
        "GIP-1.1.6",
        "A basal programme covers up to 24 hours.",
        ("core.courses.Periodic.at",),
        "Ours repeats for up to 3650 days.",
        PARTLY,
    ),
    Row(
        "GIP-1.1.7",
        "While a rate is being edited the running one stays as it is.",
        ("commands.Commands.commit", "proto.session.Session._prepare"),
    ),
    Row(
        "GIP-1.1.8",
        "A rate that keeps the vein open is kept at all times.",
        ("app.App._infusion_over",),
        "After a volume or programme is over, if asked for; a fault stops the motor instead, for a pump that may be "
        "wrong must not push.",
        PARTLY,
    ),
    Row("GIP-1.2.1", "Within 5 % of the ordered volume for 72 hours.", ("core.dosing.Planner._set_anchor",)),
    Row(
        "GIP-1.2.2",
        "Alarm when more than 10 % too much flows for 15 minutes, and at once at free flow.",
        (
            "core.supervision.Supervision.flow",
            "core.supervision.Supervision.shaft",
            "core.supervision.Supervision.pace",
            "core.supervision.Supervision.rest",
        ),
        "Flow is what the shaft turns; what no sensor sees is listed in detection.md.",
    ),
    Row(
        "GIP-1.2.3",
        "Alarm when less than 90 % flows for 15 minutes.",
        ("core.supervision.Supervision.flow", "app.App._check_flow"),
    ),
    Row(
        "GIP-1.3.x",
        "A volume to be infused has ranges and steps by the size of the pump.",
        ("core.profiles.volume_at_rate",),
        "One range, in whole nanolitres.",
        PARTLY,
    ),
    Row(
        "GIP-1.4.1",
        "There is an immediate bolus and one that is spread over time.",
        ("commands.Commands.prepare_bolus",),
    ),
    Row("GIP-1.4.3", "Basal and bolus together stay within the pump's maximum.", ("commands.Commands.check_speed",)),
    Row("GIP-1.4.4", "A bolus leaves the basal rate as it was.", ("delivery.Delivery.finish",)),
    Row(
        "GIP-1.4.5/6",
        "An immediate bolus suspends a spread one, which then goes on.",
        ("delivery.Delivery._hold", "delivery.Delivery._go_on"),
    ),
    Row("GIP-1.4.7", "A spread bolus is spread evenly.", ("core.profiles.square",)),
    Row("GIP-1.4.8", "One spread bolus at a time.", ("commands.Commands.prepare_bolus",)),
    Row("GIP-1.4.11", "No bolus while an alarm or error stands that stops the pump.", ("core.machine.Machine.check",)),
    Row("GIP-1.4.12", "A bolus above its limit is refused, and said.", ("commands.Commands.check_limit",)),
    Row(
        "GIP-1.5.1-1.5.4",
        "The time until the reservoir is empty is told before a start, to 3 minutes, and worked out again when a rate "
        "changes or a bolus starts.",
        ("forecast.Forecast.empty_at",),
    ),
    Row(
        "GIP-1.5.5/6",
        "Low and empty reservoir are signalled from the computed volume.",
        ("app.App._check_volume", "core.ledger.Ledger.steps_until"),
    ),
    Row(
        "GIP-1.6.1/2",
        "A pause finishes the stroke, a fault stops at once.",
        ("delivery.Delivery.pause", "delivery.Delivery.stop"),
        "The stroke is a microstep.",
        PARTLY,
    ),
    Row("GIP-1.7.1", "Settings outlive 4 hours without power.", ("store.settings.Settings.load",), "For years: flash."),
    Row(
        "GIP-1.8.1",
        "No continuous reverse delivery, under a single fault neither.",
        ("core.supervision.Supervision.shaft", "core.supervision.Supervision.rest"),
    ),
    Row("GIP-1.9.1", "Air of more than 200 uL is an alarm.", (), "The rig has no air sensor.", NO),
    Row(
        "GIP-1.10.1/2",
        "Occlusion is an alarm, upstream and downstream.",
        ("core.occlusion.Occlusion.feed", "core.occlusion.Occlusion.suction"),
    ),
    Row(
        "GIP-1.10.3",
        "The downstream limit is below 20 psi (138 kPa).",
        ("proto.frame._value",),
        "At most 90 kPa can be set.",
    ),
    Row(
        "GIP-1.10.5",
        "From occlusion to alarm and stop passes no more than a stated time.",
        ("core.supervision.Supervision.pressure", "core.occlusion.Occlusion.feed"),
        "30 min at 1.3 mL/day with 10 mL and 1.5 uL/kPa. Other syringes, lines and rates: occlusion.md.",
    ),
    Row("GIP-1.10.6", "The pressure that an occlusion stored is relieved.", ("relief.begin",)),
    Row("GIP-1.10.7", "What an occlusion releases is at most 0.5 mL.", ("relief.begin",), "Below 10 uL at 1.5 uL/kPa."),
    Row(
        "GIP-2.1.1",
        "Rate and volume change in two steps.",
        ("proto.session.Session._take_plan",),
    ),
    Row("GIP-2.2.1/2", "A pause that takes too long is an alarm.", ("app.App._supervise",)),
    Row(
        "GIP-2.2.3",
        "Settings are cleared only with a confirmation.",
        ("proto.session.Session._take_plan",),
        "Every change of a setting is prepared and committed; nothing clears them all.",
    ),
    Row(
        "GIP-2.2.4/5",
        "An input that was begun and left is told, and discarded.",
        ("proto.session.Session._take_plan", "app.App._remind"),
        "A token ends after 30 s.",
    ),
    Row("GIP-2.3.1", "A key that is held for a minute is an alarm.", ("app.App._check_keys",)),
    Row(
        "GIP-2.3.2",
        "Presses shorter than a person's are ignored.",
        ("panel.OperatorPanel.press",),
        "Bounce is; a stop acts at its first edge.",
        PARTLY,
    ),
    Row(
        "GIP-3.1.1/2",
        "An alarm is heard, seen, and names its cause.",
        ("panel.OperatorPanel.signal", "app.App._tell_alarms"),
    ),
    Row("GIP-3.1.3", "An error cancels the bolus that runs.", ("app.App._stop_orders",)),
    Row(
        "GIP-3.2.1/2",
        "Silence lasts 2 minutes at most and is never permanent.",
        ("core.alarms.Alarms.silence", "core.alarms.Alarms.sounding"),
    ),
    Row(
        "GIP-3.2.4",
        "A wrong input is rejected audibly.",
        ("proto.frame.error",),
        "On the line, with a code and what to do; there is no keypad.",
        PARTLY,
    ),
    Row(
        "GIP-3.3.1-3",
        "Memory, code and processor are tested again and again.",
        ("app.App._slow_check", "ports.rp2.code.check"),
        "A known answer of SHA-256 and CRC-32 each minute; the stored code within 24 hours. RAM at power-up only.",
        PARTLY,
    ),
    Row(
        "GIP-3.4.1-5",
        "The self test at power-up is bounded in time; what fails is an alarm, and nothing starts.",
        ("selftest.run", "selftest.judge"),
    ),
    Row("GIP-3.4.6", "No bolus during the self test.", ("core.machine.Machine.check",)),
    Row(
        "GIP-3.5.1-4",
        "Every task shows that it is alive; one that does not is stopped and told.",
        ("recovery.power_on",),
        "By the watchdog within 8.3 s.",
    ),
    Row(
        "GIP-4.1.1-4",
        "Every order and fault is logged with its time and outlives the power.",
        ("storage.Storage.record", "app.App._close"),
    ),
    Row(
        "GIP-5.1.x",
        "The supply is read every 3 minutes; low and depleted are signalled.",
        ("app.App._check_supply",),
        "No battery, so no minutes that are left: the supply of the motor is read with the other sensors, every 16 s "
        "at least; it is `supply_low` and then, after a second low reading, `supply_failing`, which stops.",
        PARTLY,
    ),
    Row(
        "GIP-6.1.2",
        "A library entry has concentration, mode, hard and soft limits.",
        ("doses.prepare_dose", "doses.check_order"),
        "One entry: name of the drug, hard and soft limits of rate, bolus and dose in a window, lockout.",
        PARTLY,
    ),
    Row(
        "GIP-6.1.3/4",
        "A hard limit refuses, a soft limit asks.",
        ("commands.Commands.check_limit", "commands.Commands.check_jump", "doses.check_order"),
    ),
    Row(
        "GIP-6.1.6/7",
        "The library's version is shown; without a library nothing is claimed.",
        ("enquiries.read_library", "doses.read_dose", "doses.drug_of", "haipump.therapy.sealing.number_of"),
        "The pump tells 31 bits of the SHA-256 of the library that its limits are of, so which content and version, "
        "and 0 without one; the version as a number is in the host's file. Besides, the name of the drug.",
        PARTLY,
    ),
    Row(
        "GIP-6.2.1/2",
        "Changing the drug stops the infusion.",
        ("core.machine.Machine.check",),
        "A syringe is loaded at rest only, and what ran is over.",
    ),
    Row(
        "GIP-6.3.x",
        "Who may configure is authenticated; others cannot change defaults.",
        ("proto.session.Session._check_mac", "locking.act_set_key"),
    ),
    Row(
        "GIP-7.1.1",
        "The pump works at 5 to 45 C.",
        ("app.App._check_surroundings",),
        "Too warm is an alarm that stops; the self test refuses what is too cold.",
        PARTLY,
    ),
)
