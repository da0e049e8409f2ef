"""The one table of messages on the serial line: firmware parser, host client, CLI help, reference and fuzzer read it.

Owns: verbs, their kind, their fields with ranges, error codes, event names, journal record layouts. Must not: do
anything. Help texts live on the desktop (`haipump.protocol.help`), checked to cover this table.

Line:     `@id verb key=value ... *crc32` LF       (CRC-32 of everything before ` *`, eight lower-case hex digits)
Answer:   `@id ok key=value ... *crc32` LF         or `@id err code=... what=... state=... key=value ... *crc32` LF
Event:    `#number name key=value ... *crc32` LF   (number counts all events since boot, dropped ones too)
An answer to a line without id has no `@id`. A line has both id and CRC, or neither (reads and stop only).

A field is written `name=type`, with `?` behind it when it may be left out:
`lo..hi` whole number in that range; `a|b|c` one of these words; `hex:N` 1 to N lower-case hex digits;
`word:N` 1 to N characters of a-z 0-9 _ . -; `b64:N` 1 to N characters of base64.
In answers and events the types are `int`, `word`, `hex`, `b64`, without ranges.
"""

from haipump_fw.const import const
from haipump_fw.core.options import GROUP, MAXIMUM, MINIMUM, NAME, OPTIONS

PROTOCOL_VERSION = const(1)
LINE_MAX = const(250)  # bytes of a line without its LF
ID_MAX = const(1_000_000_000)
TOKEN_VALID_S = const(30)
TELEMETRY_PERIOD_MIN_MS = const(100)
PROGRAMME_ITEMS_MAX = const(64)
PROGRAMME_BYTES_MAX = const(4096)
PART_BYTES_MAX = const(120)

# Kinds. READ: no id needed. PREPARE: id and CRC, changes nothing but the open token. ACT: id and CRC, one step, changes
# delivery or settings. STOP: needs nothing.
READ, PREPARE, ACT, STOP = const(0), const(1), const(2), const(3)

_RATE = "1..100000000000"
_VOLUME = "1..100000000"
_SECONDS = "1..8640000"

_PLAN = "token=hex valid_s=int hash=hex "  # every PREPARE answers these first, then what it normalised
_SUPPLY = " empty_in_s=int reservoir_nl=int"  # -1: never (no flow), computed before the start (GIP 1.5.1)


def _options(*groups):
    out = []
    for row in OPTIONS:
        if row[GROUP] in groups:
            out.append("%s=%d..%d?" % (row[NAME], row[MINIMUM], row[MAXIMUM]))
    return " ".join(out)


def _names(*groups):
    return " ".join([row[NAME] + "=int?" for row in OPTIONS if row[GROUP] in groups])


# (verb, kind, request fields, answer fields)
MESSAGES = (
    # who are you
    ("hello", READ, "", "protocol=int firmware=word device=hex boot=int next_id=int locked=int nonce=hex"),
    (
        "info",
        READ,
        "",
        "firmware=word protocol=int interpreter=word app_hash=hex board=word heap_free=int reset=word task=word",
    ),
    # what is going on
    (
        "status",
        READ,
        "",
        "state=word order=int basal_nl_per_day=int flow_nl_per_day=int bolus_left_nl=int extended_left_nl=int"
        " delivered_nl=int reservoir_nl=int empty_in_s=int alarm=word",
    ),
    (
        "sensors",
        READ,
        "",
        "pressure_pa=int encoder_steps=int supply_mv=int temperature_mc=int front=int back=int captured=int diag=int"
        " service=int enabled=int uncertain=int",
    ),
    # since the syringe was loaded; min and max differ only after a power loss
    (
        "totals",
        READ,
        "",
        "commanded_nl=int stepped_nl=int stepped_min_nl=int stepped_max_nl=int confirmed_nl=int primed_nl=int"
        " withdrawn_nl=int",
    ),
    (
        "lifetime",
        READ,
        "",
        "commanded_nl=int stepped_nl=int stepped_min_nl=int stepped_max_nl=int confirmed_nl=int lost_steps=int"
        " orders=int boots=int",
    ),
    (
        "order",
        READ,
        "id=1..1000000000?",
        "order=int source=word result=word planned_nl=int commanded_nl=int stepped_nl=int confirmed_nl=int left_nl=int"
        " elapsed_s=int left_s=int",
    ),
    ("alarms", READ, "index=0..31?", "count=int index=int alarm=word priority=word phase=word age_s=int silence_s=int"),
    ("limits", READ, "", _names("limits") + " step_max_nl_per_day=int rate_min_nl_per_day=int"),
    ("calibration", READ, "", _names("calibration", "syringe")),
    ("settings", READ, "name=word:32", "name=word value=int minimum=int maximum=int default=int"),
    ("log", READ, "seq=0..4000000000 count=1..2?", "seq=int count=int first=int last=int data=b64?"),
    ("clock", READ, "", "boot=int uptime_s=int uptime_us=int"),
    ("telemetry", READ, "period_ms=0..86400000", "period_ms=int"),
    # orders: prepare, read back, commit
    (
        "prepare_rate",
        PREPARE,
        "rate_nl_per_day=%s ramp_s=0..1209600? vtbi_nl=%s? at_end=stop|kvo? override=0|1?" % (_RATE, _VOLUME),
        _PLAN + "rate_nl_per_day=int ramp_s=int vtbi_nl=int at_end=word from_nl_per_day=int" + _SUPPLY,
    ),
    (
        "prepare_bolus",
        PREPARE,
        "volume_nl=%s duration_s=%s? extended=0|1? override=0|1?" % (_VOLUME, _SECONDS),
        _PLAN + "volume_nl=int duration_s=int extended=int basal_nl_per_day=int" + _SUPPLY,
    ),
    (
        "prepare_programme",
        PREPARE,
        "sha256=hex:64 override=0|1?",
        _PLAN + "items=int period_s=int repeats=int volume_nl=int duration_s=int at_end=word" + _SUPPLY,
    ),
    ("prepare_kvo", PREPARE, "", _PLAN + "rate_nl_per_day=int" + _SUPPLY),
    (
        "prepare_prime",
        PREPARE,
        "volume_nl=%s disconnected=1..1" % _VOLUME,
        _PLAN + "volume_nl=int duration_s=int" + _SUPPLY,
    ),
    (
        "prepare_withdraw",
        PREPARE,
        "volume_nl=%s disconnected=1..1" % _VOLUME,
        _PLAN + "volume_nl=int duration_s=int" + _SUPPLY,
    ),
    ("prepare_jog", PREPARE, "steps=-1000000..1000000 disconnected=1..1", _PLAN + "steps=int duration_s=int"),
    ("prepare_home", PREPARE, "disconnected=1..1", _PLAN + "steps_max=int"),
    (
        "prepare_syringe",
        PREPARE,
        "reservoir_nl=0..100000000 step_fl=100000..20000000000 bore_um=1000..60000 " + _options("syringe"),
        _PLAN
        + "reservoir_nl=int step_fl=int bore_um=int syringe_nl=int syringe_max_nl_per_day=int step_max_nl_per_day=int",
    ),
    ("prepare_limits", PREPARE, _options("limits"), _PLAN + _names("limits")),
    ("prepare_calibration", PREPARE, _options("calibration"), _PLAN + _names("calibration")),
    ("prepare_settings", PREPARE, _options("options"), _PLAN + "changed=int"),
    ("commit", ACT, "token=hex:8", "state=word order=int"),
    # long things in parts
    ("part_begin", PREPARE, "what=programme size=1..4096 sha256=hex:64", "what=word size=int"),
    ("part", PREPARE, "offset=0..4096 data=b64:160", "have=int"),
    # one step
    ("pause", ACT, "", "state=word order=int left_nl=int"),
    ("resume", ACT, "", "state=word order=int left_nl=int"),
    ("cancel_bolus", ACT, "", "state=word order=int left_nl=int"),
    ("refill", ACT, "phase=begin|end", "state=word"),
    ("silence", ACT, "seconds=10..120?", "seconds=int"),
    ("ack", ACT, "alarm=word:24?", "state=word count=int"),
    ("selftest", ACT, "", "state=word result=word"),
    ("service", ACT, "", "state=word"),
    # locked mode
    ("set_key", ACT, "key=hex:64", "locked=int"),
    ("lock", ACT, "", "locked=int"),
    ("unlock", ACT, "", "locked=int"),
    # always
    ("stop", STOP, "", "state=word order=int left_nl=int"),
)

# In locked mode a PREPARE or ACT line ends (before the CRC) with ` mac=` and 16 hex digits: the first 8 bytes of
# HMAC-SHA256(key, nonce as sent by hello + "|" + the line from `@` to before ` mac=`). The id is the counter.
MAC_DIGITS = const(16)

# (event, fields). `#n record` is not an event: the journal is read with `log`.
EVENTS = (
    ("boot", "boot=int reset=word task=word state=word"),
    ("state", "state=word was=word why=word"),
    ("done", "order=int source=word result=word planned_nl=int stepped_nl=int confirmed_nl=int"),
    ("alarm", "alarm=word priority=word phase=word"),
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
    ("alarm", "an alarm has to be acknowledged first"),
    ("part", "the parts do not fit together"),
    ("programme", "the programme is wrong"),
    ("storage", "it could not be stored"),
    ("locked", "the pump is locked: the message needs a code from the key"),
    ("mac", "the code does not fit: forged or replayed"),
    ("key", "a key can be set only with the service jumper closed at power-up"),
)

# What the firmware is busy with: its number survives a reset by the watchdog and tells where it hung.
TASKS = (
    "none",
    "start",
    "hear",
    "inputs",
    "steps",
    "plan",
    "sensors",
    "alarms",
    "panel",
    "flash",
    "speak",
    "telemetry",
    "sleep",
)

# Journal records: (kind, name, struct format of the 36-byte payload's start, field names). Unused bytes are 0.
# `source`, `task`, `state` and `was` are numbers: indices into SOURCES, TASKS and core.states.STATES; `alarm` is the
# row in core.alarms.ALARMS.
SOURCES = ("none", "basal", "kvo", "programme", "bolus", "extended", "prime", "withdraw", "jog", "home", "takeup")
RESULTS = ("running", "complete", "stopped", "replaced", "alarm", "reset")
RECORDS = (
    (1, "boot", "<IBBB", "boot reset was task"),
    (2, "ids", "<I", "reserved"),
    (3, "intent", "<IBQIIQ", "order source volume_nl duration_s flags rate_nl_per_day"),
    (4, "result", "<IBBQQQi", "order source result planned_nl commanded_nl stepped_nl unseen_nl"),
    (
        5,
        "commit",
        "<BBQQiiHII",
        "state source stepped_nl life_nl confirmed_nl pressure_pa supply_mv reservoir_nl unsure_nl",
    ),
    (6, "alarm", "<BBBIi", "alarm phase state order value"),
    (7, "settings", "<II", "generation changed"),
    (8, "syringe", "<IQIIQQ", "reservoir_nl step_fl bore_um syringe_nl life_commanded_nl life_confirmed_nl"),
    (9, "state", "<BBB", "state was why"),
    (11, "carry", "<qIIIiHi", "phase_quanta primed_nl withdrawn_nl orders lost_steps slack_steps off_nl"),
)
