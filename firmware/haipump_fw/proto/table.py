"""The whole table of messages: the requests of `messages`, and what the device has no use for. Desktop only.

Owns: the fields of answers and events, error codes and what they mean; kept off the device, where they took 8 kB of
heap. Must not: be on the manifest, or hold what the firmware needs.

The notation is that of `messages`.
"""

from haipump_fw.core.options import GROUP, NAME, OPTIONS
from haipump_fw.proto.messages import REQUESTS, expanded

_PLAN = "token=hex valid_s=int hash=hex "  # every PREPARE answers these first, then what it normalised
_SUPPLY = " empty_in_s=int reservoir_nl=int"  # -1: never (no flow), computed before the start (GIP 1.5.1)

_PASSED = " passed=int?" + _SUPPLY  # soft limits that are overridden: 1 rate, 2 bolus, 4 dose


def _names(*groups):
    return " ".join([row[NAME] + "=int?" for row in OPTIONS if row[GROUP] in groups])


_ANSWERS = {
    "hello": "protocol=int firmware=word device=hex boot=int next_id=int locked=int nonce=hex proof=hex?",
    "info": "firmware=word protocol=int interpreter=word app_hash=hex board=word heap_free=int reset=word task=word"
    " forged=int wrong=int",
    "status": "state=word order=int basal_nl_per_day=int flow_nl_per_day=int bolus_left_nl=int extended_left_nl=int"
    " delivered_nl=int reservoir_nl=int empty_in_s=int alarm=word",
    "sensors": "pressure_pa=int encoder_steps=int supply_mv=int temperature_mc=int front=int back=int captured=int"
    " diag=int service=int enabled=int uncertain=int",
    "totals": "commanded_nl=int stepped_nl=int stepped_min_nl=int stepped_max_nl=int confirmed_nl=int primed_nl=int"
    " withdrawn_nl=int",
    "lifetime": "commanded_nl=int stepped_nl=int stepped_min_nl=int stepped_max_nl=int confirmed_nl=int lost_steps=int"
    " orders=int boots=int flash_errors=int",
    "order": "order=int source=word result=word planned_nl=int commanded_nl=int stepped_nl=int confirmed_nl=int"
    " left_nl=int elapsed_s=int left_s=int",
    "alarms": "count=int index=int alarm=word priority=word phase=word age_s=int silence_s=int",
    "limits": _names("limits") + " step_max_nl_per_day=int rate_min_nl_per_day=int",
    "dose": _names("dose") + " drug=word loaded=int used_nl=int wait_s=int refusals=int",
    "library": "library=hex required=int",
    "calibration": _names("calibration", "syringe"),
    "settings": "name=word value=int minimum=int maximum=int default=int",
    "log": "seq=int count=int first=int last=int data=b64?",
    "clock": "boot=int uptime_s=int uptime_us=int",
    "telemetry": "period_ms=int",
    "prepare_rate": _PLAN + "rate_nl_per_day=int ramp_s=int vtbi_nl=int at_end=word from_nl_per_day=int" + _PASSED,
    "prepare_bolus": _PLAN + "volume_nl=int duration_s=int extended=int basal_nl_per_day=int" + _PASSED,
    "prepare_programme": _PLAN
    + "items=int period_s=int repeats=int volume_nl=int duration_s=int at_end=word"
    + _PASSED,
    "prepare_kvo": _PLAN + "rate_nl_per_day=int" + _SUPPLY,
    "prepare_prime": _PLAN + "volume_nl=int duration_s=int" + _SUPPLY,
    "prepare_withdraw": _PLAN + "volume_nl=int duration_s=int" + _SUPPLY,
    "prepare_jog": _PLAN + "steps=int duration_s=int",
    "prepare_home": _PLAN + "steps_max=int",
    "prepare_syringe": _PLAN
    + "reservoir_nl=int step_fl=int bore_um=int syringe_nl=int syringe_max_nl_per_day=int drug=word?"
    " step_max_nl_per_day=int",
    "prepare_limits": _PLAN + _names("limits"),
    "prepare_dose": _PLAN + _names("dose") + " drug=word",
    "prepare_library": _PLAN + "library=hex",
    "prepare_calibration": _PLAN + _names("calibration"),
    "prepare_settings": _PLAN + "changed=int",
    "commit": "state=word order=int",
    "part_begin": "what=word size=int",
    "part": "have=int",
    "pause": "state=word order=int left_nl=int",
    "resume": "state=word order=int left_nl=int",
    "cancel_bolus": "state=word order=int left_nl=int",
    "refill": "state=word",
    "silence": "seconds=int",
    "ack": "state=word count=int",
    "selftest": "state=word result=word parts=list",
    "service": "state=word",
    "set_key": "locked=int",
    "lock": "locked=int",
    "unlock": "locked=int",
    "stop": "state=word order=int left_nl=int",
}

# (verb, kind, request fields, answer fields)
MESSAGES = tuple([(verb, kind, expanded(request), _ANSWERS[verb]) for verb, kind, request in REQUESTS])

# (event, fields). `#n record` is not an event: the journal is read with `log`.
EVENTS = (
    ("boot", "boot=int reset=word task=word state=word order=int left_nl=int"),
    ("state", "state=word was=word why=word"),
    ("done", "order=int source=word result=word planned_nl=int stepped_nl=int confirmed_nl=int"),
    ("alarm", "alarm=word priority=word phase=word"),
    ("silence", "seconds=int by=word"),
    ("button", "button=word"),
    ("dropped", "events=int"),
    (
        "tele",
        "uptime_s=int state=word flow_nl_per_day=int delivered_nl=int pressure_pa=int reservoir_nl=int"
        " confirmed_nl=int empty_in_s=int bolus_left_nl=int alarm=word",
    ),
)

# (code, what it means). Answers carry `code=`, `state=`, and the fields that say why (what, limit, minimum, maximum,
# next_id ...).
ERRORS = (
    ("syntax", "the line could not be read"),
    ("crc", "the checksum is missing or wrong"),
    ("too_long", "the line has more than 250 bytes"),
    ("unknown", "no such message"),
    ("field", "a field is missing, unknown, twice, or not of its form"),
    ("range", "a value is outside its range"),
    ("id", "this message needs an id"),
    ("stale", "the id is not above the last one"),
    ("reused", "the same id came with other bytes"),
    ("busy", "too many lines are waiting"),
    ("state", "not possible in this state"),
    ("token", "no such token: used, expired or replaced"),
    ("limit", "a limit forbids it"),
    ("override", "ten times the running rate or more needs an override"),
    ("reservoir", "not enough in the syringe"),
    ("syringe", "no syringe is loaded or captured"),
    ("library", "the drug library forbids it"),
    ("alarm", "an alarm has to be acknowledged first"),
    ("part", "the parts do not fit together"),
    ("programme", "the programme is wrong"),
    ("storage", "it could not be stored"),
    ("locked", "the pump is locked: the message needs a code from the key"),
    ("mac", "the code does not fit: forged, replayed, or of a session that is over"),
    ("role", "the operator's key is not enough for this"),
    ("key", "a key can be set only with the service jumper closed at power-up"),
)
