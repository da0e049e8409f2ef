"""The hazard analysis of this rig and therapy, as data.

Owns: HAZARDS. Must not: claim a control without the requirement whose tests prove it.
"""

from tools.traceability.model import Hazard

OPERATION, MACHINE, SOFTWARE, LINE, USE = (
    "Operation: too much, too little, not at all",
    "Hardware and supply",
    "Software and time",
    "The line and who is at it",
    "Use",
)
DEATH, INJURY, DISCOMFORT = "death or irreversible injury", "reversible injury", "discomfort, loss of therapy"

HAZARDS = (
    Hazard(
        "H1",
        OPERATION,
        "More flows than ordered",
        (
            "arithmetic that drifts or overflows",
            "sources that add up",
            "a rate out of range",
            "a step that is worth more than the pump is told",
        ),
        DEATH,
        (
            (
                "exact accumulator over the sum of all sources, in whole numbers",
                ("GIP-1.2.1", "OP-R5.1(3)", "GIP-1.1.5"),
            ),
            ("refused beyond motor, syringe and settings", ("GIP-1.1.3", "GIP-1.4.3", "R5")),
            ("no volume per step but the geometry's, or one within a tenth of it, with the configure key", ("R5",)),
            ("odometer and shaft against the order", ("REQ-X-10", "GIP-1.2.2")),
        ),
        "A calibration that is wrong by less than a tenth, and another syringe than the operator has said: weighing "
        "finds them, no sensor of the rig does.",
    ),
    Hazard(
        "H2",
        OPERATION,
        "Too much in an hour from orders that are each allowed",
        ("boluses one after the other", "programme and bolus together", "a total forgotten in a reset"),
        DEATH,
        (
            ("dose in a sliding window, over all sources", ("REQ-X-06", "OP-R5.2(5)/R5.3(7)")),
            ("lockout between boluses", ("OP-R5.2(3)", "CS-REQ-25")),
            ("a range after a power loss, whose upper end counts", ("REQ-X-03", "A7")),
        ),
    ),
    Hazard(
        "H3",
        OPERATION,
        "Less flows than ordered, or nothing",
        ("motor stalls or loses steps", "leak", "worn coupling", "pause that was forgotten"),
        INJURY,
        (
            ("shaft against the order", ("CS-REQ-16/19", "A5", "GIP-1.2.3")),
            ("a pause that takes too long is an alarm", ("GIP-2.2.1/2", "CS-REQ-44/15")),
        ),
        "A leak behind the pump is seen by no sensor of the rig.",
    ),
    Hazard(
        "H4",
        OPERATION,
        "Occlusion: no flow, and a bolus when it opens",
        ("kink, clot, closed clamp", "a soft syringe at a low rate, which takes hours to show it"),
        INJURY,
        (
            ("limit of pressure, two looks", ("GIP-1.10.1/2", "GIP-1.10.5", "OP-R7.2(4)/(5)")),
            ("stops in mid-step", ("OP-R7.2(6)",)),
            ("back-off before release", ("GIP-1.10.6", "GIP-1.10.7")),
        ),
    ),
    Hazard(
        "H5",
        OPERATION,
        "Free flow or siphon",
        ("plunger not held", "syringe taken out under way", "height of the pump"),
        DEATH,
        (("nothing starts with the plunger free; an alarm and motor off when it is let go", ("A24", "OP-R7.1")),),
        "With the plunger free and the switch stuck closed, only the encoder's standstill speaks against flow.",
    ),
    Hazard(
        "H6",
        OPERATION,
        "Flow backwards, or blood drawn in",
        ("DIR line stuck", "withdrawing while connected", "a set put together the wrong way round"),
        INJURY,
        (
            ("what pulls wants the word that nothing is connected", ("A4",)),
            ("reverse motion is found and bounded", ("GIP-1.8.1", "CS-REQ-22", "A22")),
        ),
    ),
    Hazard(
        "H7",
        OPERATION,
        "Air is delivered",
        ("syringe run empty", "line not primed"),
        INJURY,
        (
            (
                "low warns, empty stops, from the counted volume and the end switch",
                ("GIP-1.5.5/6", "OP-R6.8(3)/(9)/(10)"),
            ),
        ),
        "There is no air sensor: a bubble in the line is not found.",
    ),
    Hazard(
        "H8",
        OPERATION,
        "A bolus twice, or with a wrong rest",
        ("lost answer and retry", "interrupted and resumed", "power cut between order and answer"),
        DEATH,
        (
            ("ids that strictly increase, kept over resets", ("A25",)),
            ("nothing is resumed by itself; the rest is what was booked", ("A13", "REQ-X-03")),
            ("one bolus of a kind at a time", ("GIP-1.4.8", "GIP-1.4.5/6")),
        ),
    ),
    Hazard(
        "H9",
        OPERATION,
        "The reservoir is empty and nobody knew",
        ("time to empty wrong", "end of the infusion told too quietly"),
        DISCOMFORT,
        (
            ("time to empty told before and worked out again", ("GIP-1.5.1-1.5.4",)),
            ("the end is a medium alarm that stands until acknowledged", ("A16", "CS-REQ-20/28")),
        ),
    ),
    Hazard(
        "H10",
        MACHINE,
        "The motor runs on after a fault",
        ("hung loop", "interrupts dead", "step generator running away", "EN line stuck on"),
        DEATH,
        (
            ("EN off by one call from anywhere, and by itself in reset", ("A14", "OP-R7.1", "GIP-1.6.1/2")),
            ("the watchdog, fed only when every task was seen", ("R10", "REQ-X-08", "GIP-3.5.1-4")),
            ("odometer at the pad", ("REQ-X-10",)),
        ),
        "A driver that ignores EN and steps by itself: only the power switch helps.",
    ),
    Hazard(
        "H11",
        MACHINE,
        "Memory or flash fails or is worn out",
        ("bit rot", "torn write", "end of the flash's life"),
        DEATH,
        (
            ("settings with checksum and two copies; else stopped", ("A15", "GIP-1.7.1")),
            ("records chained and checked; a journal that fails stops orders", ("R12", "REQ-X-07", "CS-REQ-7")),
            ("known answers each minute and at start", ("GIP-3.3.1-3", "GIP-3.4.1-5")),
            ("the stored code is read again and hashed, on demand and in 24 h", ("GIP-3.3.1-3",)),
        ),
    ),
    Hazard(
        "H12",
        MACHINE,
        "Power fails, sags, or comes back at any moment",
        ("cable pulled", "brown-out storm"),
        INJURY,
        (
            ("after any reset stopped, cause told, totals a range that holds the truth", ("R11", "A7", "REQ-X-03")),
            ("supply watched", ("GIP-5.1.x",)),
        ),
    ),
    Hazard(
        "H13",
        MACHINE,
        "A sensor lies or is missing",
        ("broken wire", "stuck reading", "noise"),
        INJURY,
        (
            ("a reading at the end of its range is none: alarm and stop", ("GIP-1.10.5",)),
            ("self test looks at each", ("GIP-3.4.1-5", "OP-R7.4(1)-(7)")),
            ("no sensor is believed alone where there are two", ("REQ-X-10",)),
        ),
    ),
    Hazard(
        "H14",
        MACHINE,
        "An alarm is not noticed",
        ("silenced and forgotten", "masked by another", "lamp or piezo broken"),
        INJURY,
        (
            ("silence ends, a new alarm breaks through", ("GIP-3.2.1/2", "CS-REQ-75/76")),
            ("heard and seen, the highest first", ("GIP-3.1.1/2", "CS-REQ-59-64")),
            ("a silence by line ends with the line", ("OP-R6.4.4(2)",)),
        ),
    ),
    Hazard(
        "H15",
        MACHINE,
        "Alarms that are false, too many, or need dangerous clearing",
        ("thresholds too near", "an alarm that makes people rewind"),
        DISCOMFORT,
        (
            ("clearing moves nothing", ("A19",)),
            ("the same alarm again and again stops the pump", ("OP-R6.5(18)",)),
            ("low alarms never stop", ("OP-R6.4.1",)),
        ),
    ),
    Hazard(
        "H16",
        SOFTWARE,
        "The clock wraps, stalls or is set",
        ("tick counters of 17.9 minutes and 12.4 days", "a long erase"),
        INJURY,
        (("one uptime in whole numbers that never wraps; nothing depends on wall time", ("A17", "R9")),),
    ),
    Hazard(
        "H17",
        SOFTWARE,
        "A task hangs or starves another",
        ("endless loop", "flood on the line", "heap used up"),
        DEATH,
        (
            ("watchdog", ("GIP-3.5.1-4", "R10")),
            ("bounded queues; a host that does not read blocks nothing", ("R8", "A18")),
            ("a storm of connections", ("A20",)),
        ),
    ),
    Hazard(
        "H18",
        SOFTWARE,
        "A mode that nobody leaves, or two at once",
        ("service entered by noise", "transitions forgotten"),
        INJURY,
        (
            ("one table of states, every pair defined", ("CS-REQ-1", "CS-REQ-31-39")),
            ("noise parks nothing", ("A6",)),
        ),
    ),
    Hazard(
        "H19",
        SOFTWARE,
        "Default values after a fault",
        ("settings lost", "another version"),
        DEATH,
        (("no default rate exists: without sound settings and a loaded syringe nothing starts", ("A15", "CS-REQ-7")),),
    ),
    Hazard(
        "H20",
        LINE,
        "An order is garbled, doubled, late or out of order",
        ("noise", "reconnects", "two hosts"),
        DEATH,
        (
            ("checksum, id, narrow grammar", ("R1", "R2", "R4", "A21")),
            ("read back and committed with a token, once, within 30 s", ("R3", "GIP-2.1.1", "A12")),
        ),
    ),
    Hazard(
        "H21",
        LINE,
        "Somebody who may not gives orders",
        ("line tapped", "recorded and replayed", "default key", "shell left open"),
        DEATH,
        (
            ("locked mode: every change with a code over nonce and id", ("A8", "A9", "A10", "CS-REQ-82")),
            ("keys only with the jumper closed at power-up; no default key, no shell", ("OP-R8.3(1)-(4)", "A11")),
            ("a session ends without traffic", ("OP-EC24",)),
        ),
        "A pump that was not locked believes every host.",
    ),
    Hazard(
        "H22",
        LINE,
        "Stop does not get through",
        ("full buffers", "no id at hand", "a host that hangs"),
        DEATH,
        (
            ("stop needs nothing and overtakes what waits", ("R6",)),
            ("a button beside it, in its interrupt", ("A2", "OP-R7.1")),
        ),
    ),
    Hazard(
        "H23",
        USE,
        "A number typed wrongly",
        ("factor of ten", "unit", "key that bounces"),
        DEATH,
        (
            ("units are typed, values shown back, nothing rounded", ("A1", "A21", "CS-REQ-9/12")),
            ("ten times the running rate or the last bolus needs an override", ("A1", "GIP-6.1.3/4")),
            ("limits in the pump, by drug", ("GIP-6.1.2", "OP-R6.9(3)/(4)", "CS-REQ-51-55")),
        ),
        "The first rate after a stop, and the first bolus after a restart, have nothing to be compared with: without "
        "limits of the drug only the person who reads it back sees the slip.",
    ),
    Hazard(
        "H24",
        USE,
        "Programmed and never started, or left half-way",
        ("interrupted at the keyboard",),
        DISCOMFORT,
        (("a token ends after 30 s and is told", ("GIP-2.2.4/5", "CS-REQ-57/58")),),
    ),
    Hazard(
        "H25",
        USE,
        "Refilled or primed into somebody",
        ("priming while connected", "wrong syringe or volume"),
        DEATH,
        (
            ("priming wants the word, and is no dose", ("A4",)),
            ("a syringe is loaded at rest only; volume known before a start", ("GIP-6.2.1/2", "CS-REQ-7")),
        ),
        "Whether a syringe is the one that was named cannot be seen by the pump.",
    ),
    Hazard(
        "H26",
        USE,
        "What happened cannot be found out",
        ("no log", "log changed", "log full"),
        DISCOMFORT,
        (
            ("every order, alarm and reset is recorded and can be had", ("GIP-4.1.1-4", "A23", "OP-R6.6(1)-(8)")),
            ("chained, so that damage and a change of single records are seen", ("REQ-X-07", "R12")),
        ),
        "The chain has no key: a log that somebody made anew from some record on, or whose end was cut off, verifies. "
        "Only the end of the chain as `haipump log --verify` printed it before, or a run file kept, shows that.",
    ),
)
