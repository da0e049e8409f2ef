"""The state machine as data: states, events, and what every event does in every state.

Owns: the table. Must not: know ports, time or the app; `core.machine` interprets it on the device, the `transitions`
package on the desktop (diagram, oracle). Every (state, event) pair is in exactly one of TRANSITIONS, REFUSED and
`core.ignored.IGNORED`.

Transition rows are (trigger, sources, dest, condition): several rows of one trigger and source are tried in order, the
first whose condition holds is taken (None: always). Conditions are questions that the app answers.
"""

STATES = (
    "self_test",  # power-on or requested test; nothing moves
    "stopped",  # idle, motor off
    "infusing",  # basal or programme
    "bolus",  # immediate or extended bolus, with or without basal under it
    "kvo",  # keep the vein open
    "paused",  # delivery held, motor holds, exact remainder kept
    "priming",  # forward, not connected, not dose
    "withdrawing",  # backward, not connected
    "moving",  # jog or home
    "refill",  # syringe being changed or filled
    "alarm",  # stopped by an alarm, motor off
    "fault",  # self test or integrity failed, motor off, needs a passed self test
    "service",  # leaving for mpremote
    "relieving",  # stopped by an occlusion: backward, until the pressure is what it was before
)
DELIVERING = ("infusing", "bolus", "kvo")
HANDLING = ("priming", "withdrawing", "moving")
RUNNING = DELIVERING + HANDLING + ("relieving",)

EVENTS = (
    "passed",  # self test
    "failed",
    "start_rate",  # a committed rate or programme
    "start_kvo",
    "start_bolus",
    "bolus_over",  # the last bolus is complete
    "infusion_over",  # volume to be infused reached, or programme at its end
    "pause",
    "resume",
    "cancel_bolus",
    "stop",
    "start_prime",
    "start_withdraw",
    "start_move",
    "motion_over",
    "begin_refill",
    "end_refill",
    "load",  # a syringe with its calibration and volume
    "calibrate",
    "adjust",  # limits and options
    "alarm_stop",  # an alarm whose action is to stop
    "relieve",  # stopped by an occlusion: the stop goes on with a back-off
    "relieved",
    "resume_rate",  # the pump goes on by itself after an occlusion, as often as that is allowed
    "alarm_clear",  # no such alarm waits for its acknowledgement any more
    "fail",  # integrity lost
    "selftest",
    "service",
)

CONDITIONS = ("bolus_runs", "basal_runs", "kvo_runs", "ends_in_kvo", "refilling")

TRANSITIONS = (
    ("passed", ("self_test",), "stopped", None),
    ("failed", ("self_test",), "fault", None),
    ("start_rate", ("stopped", "infusing", "kvo"), "infusing", None),
    ("start_rate", ("bolus",), "bolus", None),
    ("start_kvo", ("stopped", "infusing", "kvo"), "kvo", None),
    ("start_kvo", ("bolus",), "bolus", None),
    ("start_bolus", ("stopped", "infusing", "kvo", "bolus"), "bolus", None),
    ("bolus_over", ("bolus",), "bolus", "bolus_runs"),
    ("bolus_over", ("bolus",), "infusing", "basal_runs"),
    ("bolus_over", ("bolus",), "kvo", "kvo_runs"),
    ("bolus_over", ("bolus",), "stopped", None),
    ("infusion_over", ("infusing",), "kvo", "ends_in_kvo"),
    ("infusion_over", ("infusing",), "stopped", None),
    ("infusion_over", ("bolus",), "bolus", None),
    ("pause", DELIVERING, "paused", None),
    ("resume", ("paused",), "bolus", "bolus_runs"),
    ("resume", ("paused",), "infusing", "basal_runs"),
    ("resume", ("paused",), "kvo", "kvo_runs"),
    ("cancel_bolus", ("bolus",), "bolus", "bolus_runs"),
    ("cancel_bolus", ("bolus",), "infusing", "basal_runs"),
    ("cancel_bolus", ("bolus",), "kvo", "kvo_runs"),
    ("cancel_bolus", ("bolus",), "stopped", None),
    ("stop", DELIVERING + ("paused",), "stopped", None),
    ("stop", ("relieving",), "alarm", None),
    ("stop", HANDLING, "refill", "refilling"),
    ("stop", HANDLING, "stopped", None),
    ("start_prime", ("stopped", "refill"), "priming", None),
    ("start_withdraw", ("stopped", "refill"), "withdrawing", None),
    ("start_move", ("stopped", "refill"), "moving", None),
    ("motion_over", HANDLING, "refill", "refilling"),
    ("motion_over", HANDLING, "stopped", None),
    ("begin_refill", ("stopped",), "refill", None),
    ("end_refill", ("refill",), "stopped", None),
    ("load", ("stopped",), "stopped", None),
    ("load", ("refill",), "refill", None),
    ("calibrate", ("stopped",), "stopped", None),
    ("calibrate", ("refill",), "refill", None),
    ("adjust", ("stopped",), "stopped", None),
    ("adjust", ("refill",), "refill", None),
    ("adjust", ("paused",), "paused", None),
    ("adjust", ("infusing",), "infusing", None),
    ("adjust", ("bolus",), "bolus", None),
    ("adjust", ("kvo",), "kvo", None),
    ("alarm_stop", RUNNING + ("paused",), "alarm", None),
    ("relieve", ("alarm",), "relieving", None),
    ("relieved", ("relieving",), "alarm", None),
    ("resume_rate", ("alarm",), "infusing", "basal_runs"),
    ("resume_rate", ("alarm",), "kvo", "kvo_runs"),
    ("alarm_clear", ("alarm",), "refill", "refilling"),
    ("alarm_clear", ("alarm",), "stopped", None),
    ("fail", tuple([state for state in STATES if state not in ("fault", "service")]), "fault", None),
    ("selftest", ("stopped", "fault"), "self_test", None),
    ("service", ("stopped", "fault"), "service", None),
)


def others(*states):
    return tuple([state for state in STATES if state not in states])


# (event, states, why): answered with an error
_START = others("stopped", "infusing", "kvo", "bolus")
_AT_REST = others("stopped", "refill")
_SURE = others("stopped", "fault")
REFUSED = (
    ("start_rate", _START, "stop, resume or acknowledge first"),
    ("start_kvo", _START, "stop, resume or acknowledge first"),
    ("start_bolus", _START, "a bolus needs a pump that is stopped or delivering"),
    ("pause", others("paused", "infusing", "bolus", "kvo"), "only a delivery can be paused"),
    ("resume", others("paused"), "nothing is paused"),
    ("cancel_bolus", others("bolus"), "no bolus is running"),
    ("start_prime", _AT_REST, "stop first"),
    ("start_withdraw", _AT_REST, "stop first"),
    ("start_move", _AT_REST, "stop first"),
    ("begin_refill", _AT_REST, "stop first"),
    ("end_refill", others("refill"), "no refill has begun"),
    ("load", _AT_REST, "stop first"),
    ("calibrate", _AT_REST, "stop first"),
    (
        "adjust",
        others("stopped", "refill", "paused", "infusing", "bolus", "kvo"),
        "not while it moves freely, tests or waits for you",
    ),
    ("selftest", _SURE, "stop first"),
    ("service", _SURE, "stop first"),
)
