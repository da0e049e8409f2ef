"""What every message, field, error code, event, alarm, state and setting means, in words for people.

Owns: texts. Must not: decide anything. A test checks that the message table is covered completely; the reference in
`docs/`, the CLI and the error messages are made from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from haipump import quantities
from haipump_fw.proto import table

ERRORS: Mapping[str, str] = dict(table.ERRORS)


@dataclass(frozen=True)
class Verb:
    """`name`: as in a sentence. `text`: what it does. `command`: the `haipump` command that uses it."""

    name: str
    text: str
    command: str


VERBS: Mapping[str, Verb] = {
    "hello": Verb("the greeting", "Who the pump is, and which id comes next.", "info"),
    "info": Verb("the information", "Firmware, interpreter, board, free memory, cause of the last reset.", "info"),
    "status": Verb("the status", "State, order, rates, what is left, reservoir, the alarm that is shown.", "status"),
    "sensors": Verb("the sensors", "Pressure, shaft angle, supply, temperature, switches, motor enable.", "info"),
    "totals": Verb("the totals", "Volumes since the syringe was loaded: commanded, stepped, confirmed.", "totals"),
    "lifetime": Verb(
        "the lifetime totals", "Volumes, lost steps, orders and starts since the pump was made.", "totals"
    ),
    "order": Verb("the order", "How one order stands (without id: the last one).", "status"),
    "alarms": Verb("the alarms", "One alarm that stands, by its place in the list.", "alarms"),
    "limits": Verb("the limits", "Limits in force, and the rates that motor and syringe reach.", "limits"),
    "dose": Verb(
        "the dose limits", "Dose limits of a drug, what is delivered within their window, refusals so far.", "limits"
    ),
    "library": Verb(
        "the drug library", "The drug library that the limits are sealed to, and whether one is required.", "therapy"
    ),
    "calibration": Verb("the calibration", "Volume per microstep and what it was computed from.", "calibrate"),
    "settings": Verb("a setting", "Value, range and default of one setting.", "settings"),
    "log": Verb("the journal", "One or two records of the pump's journal.", "log"),
    "clock": Verb("the clock", "Boot number and uptime.", "clock"),
    "telemetry": Verb(
        "the telemetry", "Sends measured values at this period until the next start; 0 ends it.", "watch"
    ),
    "prepare_rate": Verb(
        "the rate", "Reads back a basal rate, perhaps with a ramp or a volume at which it ends.", "rate"
    ),
    "prepare_bolus": Verb("the bolus", "Reads back an immediate or extended bolus.", "bolus"),
    "prepare_programme": Verb("the programme", "Reads back the programme that was sent in parts.", "program"),
    "prepare_kvo": Verb("KVO", "Reads back the rate that keeps the vein open.", "kvo"),
    "prepare_prime": Verb(
        "priming", "Reads back a fast push that is not dose; the line must be disconnected.", "prime"
    ),
    "prepare_withdraw": Verb(
        "withdrawing", "Reads back a pull for refilling; the line must be disconnected.", "withdraw"
    ),
    "prepare_jog": Verb("the jog", "Reads back a move by motor steps; the line must be disconnected.", "jog"),
    "prepare_home": Verb(
        "homing", "Reads back the move to the back end switch; the line must be disconnected.", "home"
    ),
    "prepare_syringe": Verb(
        "the syringe",
        "Reads back a syringe to be loaded: volume in it and its geometry. The bore is one that the size can have; the "
        "volume per microstep is what bore, lead and steps per turn give, to 0.01 %, or exactly the one that is stored "
        "for this bore.",
        "syringe",
    ),
    "prepare_limits": Verb("the limits", "Reads back new limits.", "limits"),
    "prepare_dose": Verb("the dose limits", "Reads back new dose limits.", "limits"),
    "prepare_library": Verb(
        "the drug library", "Seals the limits that stand as those of a drug library; 0 takes the seal away.", "therapy"
    ),
    "prepare_calibration": Verb(
        "the calibration",
        "Reads back a new calibration. The volume per microstep is within 10 % of what bore, lead and steps per turn "
        "give.",
        "calibrate",
    ),
    "prepare_settings": Verb("the settings", "Reads back new options.", "settings"),
    "commit": Verb("the order", "Carries out what was prepared, by its token, once and within 30 s.", "(every order)"),
    "part_begin": Verb("the upload", "Begins to send something long in parts.", "program"),
    "part": Verb("the upload", "Sends one part.", "program"),
    "pause": Verb("the pause", "Holds the delivery with its exact remainder; the motor holds.", "pause"),
    "resume": Verb("resuming", "Goes on with what was paused.", "resume"),
    "cancel_bolus": Verb("cancelling", "Ends the running bolus; the basal rate goes on.", "cancel"),
    "refill": Verb("the refill", "Begins or ends the changing or filling of the syringe.", "refill"),
    "silence": Verb("the silence", "Quiets the alarms for at most two minutes.", "silence"),
    "ack": Verb("acknowledging", "Acknowledges one alarm, or all of them.", "ack"),
    "selftest": Verb(
        "the self test", "Runs the power-on self test again, reads the stored firmware, and says each part.", "selftest"
    ),
    "service": Verb("service mode", "Restarts the pump into the MicroPython prompt for maintenance.", "service"),
    "set_key": Verb("the key", "Stores the key for locked mode; needs the service jumper at power-up.", "lock"),
    "lock": Verb("locking", "From now on changes need a code from the key.", "lock"),
    "unlock": Verb("unlocking", "Changes need no code any more.", "unlock"),
    "stop": Verb("the stop", "Stops the motor at once, whatever is going on.", "stop"),
}

FIELDS: Mapping[str, str] = {
    "accel_steps_per_s2": "acceleration of fast moves",
    "age_s": "how long the alarm has stood",
    "alarm": "name of an alarm; none when there is none",
    "app_hash": "SHA-256 over the application's files",
    "at_end": "what follows when the volume is delivered or the programme is over: stop or kvo",
    "back": "1: the back end switch is closed (home)",
    "auto_resumes": "number of times in 10 minutes that a rate goes on by itself after an occlusion",
    "backlash_steps": "microsteps of play that a reversal takes up, not counted as dose",
    "basal_nl_per_day": "basal rate in force",
    "board": "kind of board",
    "bolus_left_nl": "left of the immediate bolus",
    "bolus_nl_per_day": "rate of an immediate bolus",
    "boot": "how often the pump has started, ever",
    "boots": "how often the pump has started, ever",
    "bore_um": "inner diameter of the syringe",
    "button": "which button was pressed",
    "captured": "1: the plunger is held",
    "challenge": "digits that the pump has to prove its key with",
    "changed": "how many settings changed",
    "commanded_nl": "what was asked of the motor",
    "confirmed_nl": "what the shaft encoder saw",
    "count": "how many",
    "data": "bytes as base64",
    "default": "value of a new pump",
    "delivered_nl": "delivered since the syringe was loaded, by the motor's steps",
    "device": "serial number of the board",
    "diag": "1: the motor driver reports an error",
    "disconnected": "1: yes, nobody is connected to the line",
    "drug": "name of the drug; none: not said",
    "drug_1": "drug of the dose limits, letters 1 to 8 as a number",
    "drug_2": "drug of the dose limits, letters 9 to 16 as a number",
    "drug_3": "drug of the dose limits, letters 17 to 24 as a number",
    "duration_s": "how long it takes",
    "elapsed_s": "how long it has run",
    "empty_in_s": "time until the pump stops as empty, with `reservoir_empty_nl` left; -1 when nothing flows",
    "enabled": "1: the motor is powered",
    "encoder_steps": "shaft position as the encoder counts it",
    "events": "events that were dropped because the host did not read",
    "extended": "1: a bolus spread over its duration, beside the basal rate",
    "extended_left_nl": "left of the extended bolus",
    "firmware": "version of the firmware",
    "first": "oldest record that is kept",
    "flash_errors": "programs and erases of the journal's flash that failed since the start",
    "flow_nl_per_day": "flow of all sources together, now",
    "forged": "lines refused for their code in locked mode, since the start",
    "from_nl_per_day": "rate from which the change starts",
    "front": "1: the front end switch is closed (syringe empty)",
    "hash": "checksum of what was read back",
    "have": "bytes that have arrived",
    "heap_free": "free memory before the next collection, which finds more",
    "host_lost_s": "a host with telemetry that is gone for so long while the pump delivers is told; 0: never",
    "id": "number of the order",
    "index": "place in the list, from 0",
    "interpreter": "which MicroPython it runs on",
    "items": "steps of the programme",
    "jog_steps_per_s": "speed of a jog",
    "key": "256-bit key",
    "kvo_nl_per_day": "rate of KVO (or the running rate, when that is lower)",
    "last": "newest record",
    "library": "drug library that the limits are sealed to, and its seal; 0: none",
    "library_seal": "drug library and its seal, as a number; 0: none",
    "library_required": "1: no dose without a drug library",
    "lead_um": "way of the screw per turn",
    "left_nl": "what is left of the order",
    "left_s": "time left; -1 when it has no end",
    "loaded": "1: the dose limits are for the drug that is loaded, or for any",
    "loaded_drug": "CRC-32 of the name of the drug in the syringe; 0: not said",
    "locked": "1: changes need a code from the key",
    "lockout_s": "time from the begin of a bolus until another one may begin; 0: none",
    "lost_steps": "steps lost in the pump's life, as the encoder saw",
    "max_bolus_nl": "largest bolus",
    "max_dose_nl": "highest dose of all sources within the window; 0: no limit",
    "max_rate_nl_per_day": "highest rate of delivery",
    "max_steps_per_s": "highest speed of the motor",
    "maximum": "highest value allowed",
    "minimum": "lowest value allowed",
    "name": "name of the setting",
    "next_id": "lowest id that is still free",
    "nonce": "number used once per start, for codes from the key",
    "occlusion_pa": "pressure at which the occlusion alarm stops the pump",
    "offset": "where the part begins",
    "order": "number of the order; 0 for none",
    "orders": "orders in the pump's life; a power loss leaves out those that had ended since the pump last stood still",
    "override": "1: yes, ten times the running rate or more is meant, or a soft limit is passed for a reason",
    "passed": "soft limits that are overridden: 1 rate, 2 bolus, 4 dose, or their sum",
    "pause_max_s": "pause after which an alarm reminds",
    "period_ms": "time between two telemetry lines",
    "period_s": "after this time the programme begins again",
    "phase": "of an alarm: active, acknowledged or latched; of a refill: begin or end",
    "planned_nl": "volume of the order",
    "pressure_full_pa": "span of the pressure sensor",
    "pressure_pa": "pressure in the line",
    "pressure_span_raw": "counts of the pressure sensor from 0 to full span",
    "pressure_zero_raw": "reading of the pressure sensor at 0",
    "prime_nl_per_day": "rate of priming",
    "primed_nl": "pushed while priming; not dose",
    "priority": "low, medium or high",
    "proof": "code over the challenge, made with the operator's key; only of a pump that has a key",
    "protocol": "version of the protocol",
    "ramp_s": "time in which the rate changes evenly",
    "rate_min_nl_per_day": "lowest rate that can be reached",
    "rate_nl_per_day": "rate",
    "reason": "why a soft limit is passed; is recorded",
    "refusals": "orders that a limit, hard or soft, refused since the pump started",
    "repeats": "how often the programme runs",
    "reservoir_empty_nl": "volume at which the pump stops as empty",
    "reservoir_low_nl": "volume at which the pump warns; 0: never",
    "required": "1: no dose without a drug library",
    "reservoir_nl": "volume in the syringe",
    "reset": "cause of the last reset",
    "soft_bolus_nl": "largest bolus without an override; 0: no limit",
    "soft_dose_nl": "highest dose within the window without an override; 0: no limit",
    "soft_rate_nl_per_day": "highest rate without an override; 0: no limit",
    "result": "how it ended, or running",
    "parts": "parts of the self test, an exclamation mark before each that failed",
    "seconds": "how long",
    "by": "who did it: host or button",
    "seq": "number of the record",
    "service": "1: the service jumper is closed",
    "sha256": "SHA-256 of the whole",
    "silence_s": "how long alarms are silenced",
    "size": "bytes in all",
    "source": "kind of the order",
    "start_steps_per_s": "speed at which the motor starts and stops at once",
    "state": "state of the pump",
    "step_fl": "volume of one microstep",
    "step_max_nl_per_day": "highest rate that motor and syringe reach",
    "stepped_max_nl": "most that may have been delivered; differs only after a power loss or an occlusion",
    "stepped_min_nl": "least that may have been delivered; differs only after a power loss or an occlusion",
    "stepped_nl": "what the pulses at the motor driver amount to",
    "steps": "motor steps",
    "steps_max": "most steps that homing takes",
    "steps_per_turn": "microsteps per turn of the motor",
    "supply_mv": "supply voltage",
    "syringe_max_nl_per_day": "highest rate of this syringe; 0: the motor decides",
    "syringe_nl": "nominal size of the syringe; 0: none loaded",
    "task": "what the firmware was busy with when an unexpected reset came",
    "temperature_mc": "temperature of the board",
    "token": "ticket for the commit",
    "travel_steps": "length of the way in microsteps; 0: the end switches decide",
    "uncertain": "1: the position may be off by half a full step",
    "uptime_s": "seconds since the pump started",
    "uptime_us": "microseconds within the second",
    "used_nl": "delivered within the window, at most; -1: not known before it is stopped, or no limit is set",
    "valid_s": "how long the token is valid",
    "value": "value of the setting",
    "volume_nl": "volume",
    "vtbi_nl": "volume to be infused, at which the rate ends; 0: none",
    "wait_s": "time until a bolus may begin again",
    "was": "state before",
    "what": "what it is about",
    "why": "what caused the change",
    "window_s": "length of the window of the dose limits",
    "withdraw_nl_per_day": "rate of withdrawing",
    "withdrawn_nl": "pulled back for refilling; not dose",
    "wrong": "lines refused for their form, id or code, since the start",
}

# Error code: what to do next. Its meaning is in the message table.
NEXT_STEPS: Mapping[str, str] = {
    "syntax": "try again; if it comes back, host tools and firmware are of different releases",
    "crc": "try again; if it comes back, the line is disturbed: another cable, away from the motor's",
    "too_long": "try again with shorter values",
    "unknown": "update the firmware: it does not know this message yet",
    "field": "check what was typed; if it is right, update the firmware",
    "range": "choose a value inside the range",
    "id": "give the line an id and a CRC, or use the `haipump` command",
    "stale": "connect again and look at `haipump status`; nothing was executed under this number now",
    "reused": "connect again and look at `haipump status`; another program may be using the pump",
    "busy": "try again in a moment",
    "state": "bring the pump into a state where this is possible; `haipump status` shows the present one",
    "token": "give the order again: what was read back has been replaced, used, or is older than 30 s",
    "limit": "choose less, or change the limit with `haipump limits`",
    "override": "check the number; if it is meant, add --override",
    "reservoir": "refill with `haipump refill`, choose less, or correct the volume with `haipump syringe`",
    "syringe": "insert and load a syringe with `haipump syringe`",
    "library": "load the drug library anew",
    "alarm": "look at `haipump alarms`, remove the cause, then `haipump ack`",
    "part": "send the programme again",
    "programme": "correct the programme file",
    "storage": "do not use the pump: its flash fails. `haipump log` saves the journal",
    "locked": "give the key with --key-file, or unlock the pump; `haipump stop` needs no key",
    "mac": "check that the key file belongs to this pump",
    "role": "use the configure key: this one is the operator's",
    "key": "switch off, close the service jumper, switch on, and try again",
}

# What the pump says in `what` when its state does not allow something: what to do then.
STATE_ADVICE: Mapping[str, str] = {
    "stop_resume_or_acknowledge_first": "`haipump stop` first, then again",
    "a_bolus_needs_a_pump_that_is_stopped_or_delivering": "`haipump stop` first, then again",
    "one_bolus_at_a_time": "wait for it, or `haipump cancel`",
    "only_a_delivery_can_be_paused": "nothing flows that could be paused; `haipump stop` stops whatever moves",
    "nothing_is_paused": "`haipump start` sets the last rate again, `haipump rate` another one",
    "no_bolus_is_running": "there is nothing to cancel; `haipump stop` ends everything else",
    "stop_first": "`haipump stop` first, then again",
    "it_has_to_sound_first": "the alarm has to sound for 15 s between two silences; `haipump ack` answers it",
    "stopped_meanwhile": "it came before this order was worked out; if it was not you, `haipump log` says who it was",
    "no_refill_has_begun": "begin one with `haipump refill`",
    "not_while_it_moves_freely_tests_or_waits_for_you": "wait for the end or `haipump stop`; see `haipump alarms`",
}
# The words of the pump whose commas do not fit on the line.
_WITH_COMMAS: Mapping[str, str] = {
    "stop_resume_or_acknowledge_first": "stop, resume or acknowledge first",
    "not_while_it_moves_freely_tests_or_waits_for_you": "not while it moves freely, tests or waits for you",
}
_STARTS = ("stop_resume_or_acknowledge_first", "a_bolus_needs_a_pump_that_is_stopped_or_delivering")
_MOTIONS = ("nothing_is_paused", "stop_first", "not_while_it_moves_freely_tests_or_waits_for_you")
_START_ADVICE: Mapping[str, str] = {
    "paused": "`haipump resume` goes on with what is paused, `haipump stop` ends it",
    "alarm": "look at `haipump alarms`, then `haipump ack`; to start, its cause has to be gone as well",
    "fault": "look at `haipump alarms`; switch the pump off and on, or try `haipump selftest`",
    "refill": "end the refill with `haipump refill --end`",
    "self_test": "wait a few seconds and try again",
    "service": "switch the pump off and on to leave service mode",
}

EVENTS: Mapping[str, str] = {
    "boot": "the pump started",
    "state": "the state changed",
    "done": "an order ended",
    "alarm": "an alarm changed its phase",
    "silence": "the alarms were silenced",
    "button": "a button was pressed",
    "dropped": "events were dropped, because the host did not read",
    "tele": "measured values",
}

# Part of the self test: what to do when it fails.
PARTS: Mapping[str, str] = {
    "digest": "the interpreter computes a wrong hash: install it and the firmware anew, or take another Pico",
    "memory": "the memory does not keep what is written: switch off and on; if it stays, take another Pico",
    "clock": "two clocks disagree: take another Pico",
    "flash": "the flash reads differently each time: save the journal with `haipump log --to`, take another Pico",
    "motor": "the motor's enable line does not follow, or it is on: look at EN, its pull-up and the driver",
    "steps": "the pulses counted are not those made: look at what is connected to STEP and DIR",
    "pressure_sensor": "no sensor, a cut wire or a short circuit: look at its plug and at the divider",
    "encoder": "its angle jumps: look at its plug, and at the magnet on the shaft",
    "supply": "the supply is below 4.3 V or above 5.6 V: look at its plug and the power supply",
    "temperature": "the board is below -10 or above 70 °C, or its sensor fails: let it cool down",
    "end_switches": "both are closed at once: look at their plugs and wires",
    "driver": "the motor driver reports an error: switch off; look at supply, motor and wiring",
    "button_stuck": "a button is held, or its wire touches ground: let go of it, look behind it",
    "annunciators": "a lamp or the piezo does not answer: look at their wires",
    "code": "the firmware stored in the pump is damaged: install the firmware again: haipump flash",
}

# Alarm name: (what it means, what to do).
ALARMS: Mapping[str, tuple[str, str]] = {
    "self_test": ("the self test failed", "look at `haipump selftest`: it says which part, and what to do"),
    "occlusion": ("the pressure in the line is too high", "find the kink or closed clamp; mind the bolus on release"),
    "reservoir_empty": ("the syringe is empty", "first `haipump ack`, then refill with `haipump refill`"),
    "end_of_travel": ("the plunger is at the end of its way", "first `haipump ack`, then refill with `haipump refill`"),
    "reservoir_low": ("the syringe is nearly empty", "plan the refill; boluses are refused until then"),
    "infusion_complete": ("the volume or the programme is delivered", "decide what comes next; `haipump ack`"),
    "paused_too_long": ("the pump has been paused for long", "resume or stop"),
    "syringe_released": ("the plunger is not held", "check the syringe and its clamp"),
    "driver_error": ("the motor driver reports an error", "switch off; check supply, motor, wiring and temperature"),
    "motor_stall": ("the shaft does not follow the steps", "check the mechanics and the pressure"),
    "step_count": ("steps commanded and counted differ", "do not use the pump until the cause is found"),
    "storage": ("the flash fails", "save the journal with `haipump log`; do not use the pump"),
    "unexpected_reset": (
        "the pump restarted by itself",
        "what ran has ended: check `haipump totals`, look at `haipump info` and `haipump log`; `haipump ack`, then "
        "order anew",
    ),
    "power_lost": (
        "the power went while it was delivering, and what ran has ended",
        "check `haipump totals` and order anew, which needs no acknowledgement; `haipump ack` ends this alarm",
    ),
    "steps_late": ("steps came late", "do not use the pump until the cause is found"),
    "pressure_sensor": ("the pressure sensor reads nothing", "check its plug and cable, then `haipump ack`"),
    "over_infusion": ("more was delivered than ordered", "clamp the line; check syringe, plunger and mechanics"),
    "under_infusion": ("less was delivered than ordered", "check line and mechanics, then `haipump ack`"),
    "upstream_occlusion": ("the line sucks while the plunger is drawn back", "open the supply, then `haipump ack`"),
    "reverse_delivery": ("the plunger went back though it should not", "clamp the line; check motor and wiring"),
    "dose_limit": ("the dose limit of its window is reached", "wait until it has passed: `haipump limits`"),
    "over_temperature": ("the pump is too warm", "let it cool down; keep it out of the sun"),
    "supply_low": ("the supply voltage is low", "check power supply and cable; boluses are refused until then"),
    "supply_failing": ("the supply voltage is too low to deliver", "use another power supply or cable"),
    "stuck_key": ("a button has been held for a minute", "let go of it; if nobody holds it, it is defective"),
    "host_lost": ("the host that watched the pump is gone", "connect it again; the pump goes on as ordered"),
    "command_errors": (
        "many lines were refused within a minute",
        "find out who sends them, and check cable and port; then `haipump ack`",
    ),
    "input_pending": ("an order waits for its confirmation", "confirm it, or let it expire"),
    "alarm_loop": (
        "the same alarm stopped the pump three times within ten minutes",
        "find its cause; ten minutes after the first of them the pump can be started again. A power cycle does not "
        "help: the alarm stands after it, and its ten minutes begin anew",
    ),
}

# By priority: after so long an alarm that was acknowledged comes back when its cause still stands.
REMIND_S: Mapping[str, int] = {"low": 14_400, "medium": 1_800, "high": 600}

# Where each alarm's priority and action come from: requirement documents by their short names, or "haipump".
ALARM_BASIS: Mapping[str, str] = {
    "self_test": "GIP 3.3 to 3.5; stopped, while Open PCA rates it low",
    "occlusion": "GIP 1.10.1; GPCA high, Open PCA medium",
    "reservoir_empty": "GIP 1.5.6; GPCA high, Open PCA medium",
    "end_of_travel": "as an empty reservoir",
    "reservoir_low": "GIP 1.5.5; no new bolus (Open PCA)",
    "infusion_complete": "at least medium, after a death with a pump whose end of infusion was low (Volumat, 2019)",
    "paused_too_long": "GIP 2.2.2",
    "syringe_released": "GIP 2.4.2 medium; high here, since a plunger that is not held can siphon",
    "driver_error": "as a stalled motor",
    "motor_stall": "GPCA level 2; stalls of implanted pumps",
    "step_count": "independent check of commanded against measured motion",
    "storage": "GIP 3.3; nothing is delivered that can't be recorded",
    "unexpected_reset": "GIP 3.5; high here, Open PCA low",
    "power_lost": "an explicit state after a brown-out (SynchroMed, 2009)",
    "steps_late": "haipump: a schedule that is missed is a fault, not a catch-up",
    "pressure_sensor": "haipump: without it no occlusion is seen",
    "over_infusion": "GIP 1.2.2; stopped, while Open PCA drops to KVO",
    "under_infusion": "GIP 1.2.3; goes on",
    "upstream_occlusion": "GIP 1.10.2; Open PCA medium",
    "reverse_delivery": "GIP 1.8.1; GPCA",
    "dose_limit": "Open PCA R5.2(5); stops before the limit is passed",
    "over_temperature": "Open PCA: above 55 C",
    "supply_low": "GIP 5.1: low",
    "supply_failing": "GIP 5.1: depleted",
    "stuck_key": "GIP 2.3.1; Alaris keypads, 2021",
    "host_lost": "Open PCA R6.7: carry on as programmed",
    "command_errors": "haipump: refused, counted, recorded",
    "input_pending": "GIP 2.2.1",
    "alarm_loop": "Open PCA R6.5(18)",
}

# What nothing interrupts for is looked at now and then: (seconds until it is told at the latest, from when on).
ALARM_WITHIN: Mapping[str, tuple[int, str]] = {
    "supply_low": (16, "the supply has sagged"),
    "supply_failing": (32, "the supply has sagged: two looks"),
    "stuck_key": (76, "the button went down"),
    "input_pending": (17, "the order was read back"),
    "paused_too_long": (16, "`pause_max_s` is over"),
    "over_temperature": (76, "the pump has become too warm"),
    "host_lost": (152, "the host has been gone for `host_lost_s`, which is never told sooner"),
    "command_errors": (76, "the last of 39 refused lines within a minute (20 between two looks are enough)"),
}

STATES: Mapping[str, str] = {
    "self_test": "testing itself",
    "stopped": "stopped, the motor is off",
    "infusing": "infusing",
    "bolus": "delivering a bolus",
    "kvo": "keeping the vein open",
    "paused": "paused, nothing flows",
    "priming": "priming",
    "withdrawing": "withdrawing",
    "moving": "moving the plunger",
    "refill": "waiting for the refill to end",
    "alarm": "stopped by an alarm, the motor is off",
    "fault": "in fault, the motor is off",
    "service": "in service mode",
    "relieving": "stopped by an occlusion and drawing the plunger back until the pressure is gone",
}

# Kind of an order, as in the journal.
SOURCES: Mapping[str, str] = {
    "none": "no order",
    "basal": "rate",
    "kvo": "KVO",
    "programme": "programme",
    "bolus": "bolus",
    "extended": "extended bolus",
    "prime": "priming",
    "withdraw": "withdrawing",
    "jog": "jog",
    "home": "homing",
    "takeup": "taking up the backlash",
    "backoff": "back-off after an occlusion",
}

RESULTS: Mapping[str, str] = {
    "running": "running",
    "complete": "complete",
    "stopped": "stopped before its end",
    "replaced": "replaced by another order",
    "alarm": "ended by an alarm",
    "reset": "ended by a restart of the pump",
}


# Why the lower end of the total goes down while fluid flows; 0.1 mL and 10 min are `core.ledger`'s COMMIT_NL and
# COMMIT_EARLY_S with its margin.
RANGE_AFTER_A_POWER_LOSS = (
    "The truth lies in this range. Each power loss takes its lower end back to what the flash had last, which may be "
    "0.1 mL or 10 min of flow before, and adds 0.1 mL to its upper end: so after several of them the lower end may be "
    "less than was shown before, though fluid has flowed."
)

# What made the pump change its state, as its journal has it.
WHYS: Mapping[str, str] = {
    "host": "by a command",
    "button": "by a button on the pump",
    "inputs": "by a switch of the rig",
    "alarm": "by an alarm",
    "complete": "at its end",
    "acknowledged": "after the alarm was acknowledged",
    "timeout": "because nobody did anything for an hour",
}


def state_sentence(state: str) -> str:
    """The pump's state as a sentence without its full stop; empty when it is not known."""
    return f"The pump is {STATES.get(state, state)}" if state else ""


# Words of the pump for what limits a rate, where it is not a setting.
_LIMITS: Mapping[str, str] = {
    "motor": "the motor is not faster",
    "step_period": "the motor makes no slower steps",
    "start_steps_per_s": "faster than the motor starts and stops at once",
}
# What helps against a limit that `haipump limits` does not change.
_LIMIT_ADVICE: Mapping[str, str] = {
    "motor": "choose less; a wider syringe delivers more with the same steps",
    "step_period": "choose more; a narrower syringe, or a finer screw, reaches lower rates",
    "start_steps_per_s": "choose less; only a rate without a ramp or programme may be faster",
    "syringe_max_nl_per_day": "choose less; a wider syringe reaches more",
    "accel_steps_per_s2": "choose more: the motor needs that much to slow down",
    "lockout_s": "put the programme's boluses further apart, or change the limit with `haipump limits`",
}
# (field, the pump's word): what is wrong with it, and what to do.
_FIELD_WORDS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("ramp_s", "not_with_vtbi"): (
        "a ramp and a volume to be infused exclude each other",
        "give one of --ramp and --vtbi",
    ),
    ("duration_s", "needed_for_extended"): ("an extended bolus needs its time", "give it with --over"),
    ("alarm", "unknown"): ("there is no alarm of that name", "`haipump alarms` lists those that stand; there are: "),
}


def refusal_sentence(code: str, fields: Mapping[str, int | str], verb: str = "") -> str:
    """Why, with the numbers that came with the refusal in everyday units."""
    known_words = _field_words(code, fields)
    if known_words is not None:
        return known_words[0]
    reason = _override(fields, verb) if code == "override" else ERRORS.get(code, f"error {code}")
    unit = _unit_name(code, fields, verb)
    given = [name for name in ("value", "before", "minimum", "maximum") if name in fields]
    said = {name: exactly(unit, fields[name]) for name in given}
    limit = str(fields.get("limit", ""))
    facts: list[str] = []
    if limit:
        reason += ", " + (_LIMITS.get(limit) or human(limit))
    elif "field" in fields:
        facts.append(human(str(fields["field"])))
    # That it needs a reason ends the sentence already.
    if isinstance(fields.get("what"), str) and not (code == "override" and limit):
        facts.append(_WITH_COMMAS.get(str(fields["what"]), str(fields["what"]).replace("_", " ")))
    waits = limit == "lockout_s" and "free_in_s" in fields
    if waits:  # its value is the lockout itself: nobody asked for a time
        facts.append(said["value"])
    elif "value" in fields:
        facts.append(f"{said['value']} asked")
    if "before" in fields:
        facts.append(f"{said['before']} before")
    if "minimum" in fields and "maximum" in fields:
        facts.append(f"possible are {said['minimum']} to {said['maximum']}")
    elif "maximum" in fields:
        facts.append(f"at most {said['maximum']}")
    elif "minimum" in fields:
        facts.append(f"at least {said['minimum']}")
    if "window_s" in fields:
        facts.append(f"within {quantity('window_s', fields['window_s'])}")
    if waits:
        facts.append(f"possible in {quantity('free_in_s', fields['free_in_s'])}")
    elif "free_in_s" in fields:
        facts.append(_free_words(int(fields["free_in_s"])))
    known = ("code", "state", "what", "field", "limit", "value", "before", "minimum", "maximum", "next_id")
    for name, value in fields.items():
        if name not in (*known, "window_s", "free_in_s"):
            facts.append(f"{FIELDS.get(name, name)}: {quantity(name, value)}")
    needs = "; that needs an override and its reason" if code == "override" and limit else ""
    return reason + (": " + ", ".join(facts) if facts else "") + needs


def _free_words(free_in_s: int) -> str:
    """When a refusal passes."""
    if free_in_s < 0:
        return "waiting does not help"
    return f"possible in {quantity('free_in_s', free_in_s)} if what runs goes on and nothing else is ordered"


def alarm_refusal(alarm: str, phase: str) -> tuple[str, str]:
    """Why the alarm forbids it, by its phase, and what to do."""
    advice = ALARMS.get(alarm, ("", "look at `haipump alarms`"))[1]
    if phase == "acknowledged":
        return f"the cause of the alarm {alarm} still stands", advice.removeprefix("first `haipump ack`, then ")
    if phase == "latched":
        return f"the alarm {alarm} has to be acknowledged first", "its cause is gone: `haipump ack`"
    return f"the alarm {alarm} has to be acknowledged first", _then_ack(advice)


def _then_ack(advice: str) -> str:
    return advice if "`haipump ack`" in advice else f"{advice}; then `haipump ack`"


def _override(fields: Mapping[str, int | str], verb: str) -> str:
    """Against what it was compared: a soft limit, the last bolus, or the running rate."""
    if "limit" in fields:
        return "a soft limit is passed"
    if verb == "prepare_bolus":
        return "ten times the last bolus or more needs an override"
    value, before = fields.get("value"), fields.get("before")
    if isinstance(value, int) and isinstance(before, int) and value < before:
        return "a tenth of the running rate or less needs an override"
    return ERRORS["override"]


def _unit_name(code: str, fields: Mapping[str, int | str], verb: str) -> str:
    """A field name with the unit that `value`, `minimum` and `maximum` of a refusal have."""
    limit = str(fields.get("limit", ""))
    if limit in _LIMITS:
        return "rate_nl_per_day"
    if limit or "field" in fields:
        return limit or str(fields["field"])
    if code == "reservoir" or verb == "prepare_bolus":
        return "volume_nl"
    return "rate_nl_per_day" if code == "override" else ""


def _field_words(code: str, fields: Mapping[str, int | str]) -> tuple[str, str] | None:
    return _FIELD_WORDS.get((str(fields.get("field")), str(fields.get("what")))) if code == "field" else None


_LIBRARY_ADVICE: Mapping[str, str] = {
    "loaded": "load another drug's limits with `haipump therapy load`, or take the library away with"
    " `haipump therapy unload`",
    "none": "load one with `haipump therapy load`",
    "altered": "do not use what the pump's limits say; load the library anew with `haipump therapy load`",
    "other_limits": "the limits or the pump's key are others than the library was sealed with: load it anew",
}


def next_step(code: str, fields: Mapping[str, int | str]) -> str:
    """What to do after a refusal; an alarm that is named adds its own advice."""
    advice = NEXT_STEPS.get(code, "update the host tools: they do not know this error yet")
    known_words = _field_words(code, fields)
    if known_words is not None:
        return known_words[1] + (", ".join(ALARMS) if fields.get("field") == "alarm" else "")
    if code == "override" and "limit" in fields:
        return "check the number; if it is meant, add --override --reason WHY"
    if code == "library":
        return _LIBRARY_ADVICE.get(str(fields.get("what")), advice)
    if code == "syringe" and fields.get("what") == "other_drug":
        return (
            "load it with `haipump syringe ... --drug`, or change the drug of the limits with `haipump limits --drug`"
        )
    if code == "limit" and isinstance(free_in_s := fields.get("free_in_s"), int) and free_in_s >= 0:
        wait = f"wait {quantity('free_in_s', free_in_s)}"
        less = "" if fields.get("limit") == "lockout_s" else ", choose less"
        return f"{wait}{less}, or change the limit with `haipump limits`"
    if code == "limit" and fields.get("limit") in _LIMIT_ADVICE:
        return _LIMIT_ADVICE[str(fields["limit"])]
    if code == "storage" and fields.get("what") == "no_window":
        return "steps follow too closely to write to the flash: again when the pump is slower or at rest"
    if code == "state":
        state, what = str(fields.get("state", "")), fields.get("what")
        by_state = _START_ADVICE.get(state) if what in _STARTS or what in _MOTIONS and state != "paused" else None
        return by_state or STATE_ADVICE.get(str(fields.get("what", "")), advice)
    for value in fields.values():
        if value in ALARMS:
            return _then_ack(ALARMS[str(value)][1])
    return advice


# A word of the wire as people would type it.
WORD_EXAMPLES: Mapping[str, str] = {
    "reason": '--reason "second cycle"',
    "drug": '--drug "FUDR 500"',
}

# How the fields of questions are called in a sentence, where FIELDS explains them too widely.
_NAMES: Mapping[str, str] = {
    "rate_nl_per_day": "the rate",
    "ramp_s": "the time of the ramp",
    "vtbi_nl": "the volume to be infused",
    "volume_nl": "the volume",
    "duration_s": "the time",
    "at_end": "what follows at the end",
    "steps": "the number of steps",
    "reservoir_nl": "the volume in the syringe",
    "seconds": "the time of silence",
    "silence_s": "the time of silence",
    "offset": "the place of the part",
    "phase": "the phase of the refill",
    "what": "the kind of the upload",
    "extended": "the word that the bolus is extended",
    "override": "the word that such a change is meant",
    "key": "the key",
    "period_ms": "the period",
    "id": "the number of the order",
    "travel_steps": "the length of the way",
    "syringe_nl": "the size of the syringe",
    "syringe_max_nl_per_day": "the highest rate of the syringe",
    "count": "the count",
    "disconnected": "the word that the line is disconnected",
    "drug": "the drug",
    "library_required": "the word that a drug library is needed",
    "max_dose_nl": "the highest dose of all sources within the window",
    "window_s": "the window of the dose limits",
    "reason": "the reason",
}


def human(name: str) -> str:
    """A field as one calls it in a sentence."""
    if name in _NAMES:
        return _NAMES[name]
    text = FIELDS.get(name, "")
    return f"the {text.partition(';')[0].partition(',')[0].partition(' (')[0]}" if text[:1].isalpha() else f'"{name}"'


def exactly(name: str, value: int | str) -> str:
    """A value for a sentence: also the highest rates to their last digit, and fast ones in mL/h as well."""
    if isinstance(value, int) and name.endswith("_nl_per_day"):
        return quantities.format_rate_typed(value)
    return quantity(name, value)


NO_BOLUS_NL = 1  # the smallest limit that a pump takes, and less than any step: sealed limits of a drug without boluses


def quantity(name: str, value: int | str) -> str:
    """A field's value with the unit that its name ends with, in everyday units."""
    if not isinstance(value, int):
        return str(value)
    if name == "heap_free":
        return f"{value} bytes"
    if name == "max_bolus_nl" and value <= NO_BOLUS_NL:
        return "none may be given"
    if name == "seconds":
        return quantities.format_duration(value)
    if name in ("step_max_nl_per_day", "syringe_max_nl_per_day"):
        return quantities.format_highest_rate(value)
    if name == "lost_steps" and value < 0:
        return f"none; the shaft is {-value} steps ahead"
    for ending, write in (
        ("_nl_per_day", quantities.format_rate),
        ("_nl", quantities.format_volume),
        ("_pa", quantities.format_pressure),
        ("_steps_per_s2", lambda number: f"{number} steps/s2"),
        ("_steps_per_s", lambda number: f"{number} steps/s"),
        ("_s", quantities.format_duration),
        ("_um", quantities.format_length),
        ("_fl", quantities.format_femtolitres),
        ("_mv", lambda number: f"{number} mV"),
        ("_ms", lambda number: f"{number} ms"),
    ):
        if name.endswith(ending):
            return write(value)
    return str(value)
