"""The one table of messages on the serial line: firmware parser, host client, CLI help, reference and fuzzer read it.

Owns: verbs, their kind, their fields with ranges, journal record layouts. Must not: do anything. On the desktop `table`
adds what answers and events contain and which errors there are, and `haipump.protocol.help` the texts that people read;
both are checked to cover this table.

Line:     `@id verb key=value ... *crc32` LF       (CRC-32 of everything before ` *`, eight lower-case hex digits)
Answer:   `@id ok key=value ... *crc32` LF         or `@id err code=... what=... state=... key=value ... *crc32` LF
Event:    `#number name key=value ... *crc32` LF   (number counts all events since boot, dropped ones too)
An answer to a line without id has no `@id`. A line has both id and CRC, or neither (reads and stop only).

A field is written `name=type`, with `?` behind it when it may be left out:
`lo..hi` whole number in that range; `a|b|c` one of these words; `hex:N` 1 to N lower-case hex digits;
`word:N` 1 to N characters of a-z 0-9 _ . -; `b64:N` 1 to N characters of base64. `+group` stands for
the settings of that group, see `expanded`.
In answers and events the types are `int`, `word`, `hex`, `b64`, without ranges, and `list`: words with commas between
them, an exclamation mark before each that does not hold.
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


def expanded(fields):
    """Request fields as they are: `+group` stands for the settings of that group, which would take a kilobyte."""
    out = []
    for word in fields.split():
        if word[0] != "+":
            out.append(word)
            continue
        for row in OPTIONS:
            if row[GROUP] == word[1:]:
                out.append("%s=%d..%d?" % (row[NAME], row[MINIMUM], row[MAXIMUM]))
    return " ".join(out)


# (verb, kind, request fields)
REQUESTS = (
    # who are you
    ("hello", READ, "challenge=hex:32?"),
    ("info", READ, ""),
    # what is going on
    ("status", READ, ""),
    ("sensors", READ, ""),
    # since the syringe was loaded; min and max differ only after a power loss
    ("totals", READ, ""),
    ("lifetime", READ, ""),
    ("order", READ, "id=1..1000000000?"),
    ("alarms", READ, "index=0..31?"),
    ("limits", READ, ""),
    ("dose", READ, ""),
    ("library", READ, ""),
    ("calibration", READ, ""),
    ("settings", READ, "name=word:32"),
    ("log", READ, "seq=0..4000000000 count=1..2?"),
    ("clock", READ, ""),
    ("telemetry", READ, "period_ms=0..86400000"),
    # orders: prepare, read back, commit
    (
        "prepare_rate",
        PREPARE,
        "rate_nl_per_day=%s ramp_s=0..1209600? vtbi_nl=%s? at_end=stop|kvo? override=0|1? reason=word:24?"
        % (_RATE, _VOLUME),
    ),
    (
        "prepare_bolus",
        PREPARE,
        "volume_nl=%s duration_s=%s? extended=0|1? override=0|1? reason=word:24?" % (_VOLUME, _SECONDS),
    ),
    ("prepare_programme", PREPARE, "sha256=hex:64 override=0|1? reason=word:24?"),
    ("prepare_kvo", PREPARE, ""),
    ("prepare_prime", PREPARE, "volume_nl=%s disconnected=1..1" % _VOLUME),
    ("prepare_withdraw", PREPARE, "volume_nl=%s disconnected=1..1" % _VOLUME),
    ("prepare_jog", PREPARE, "steps=-1000000..1000000 disconnected=1..1"),
    ("prepare_home", PREPARE, "disconnected=1..1"),
    (
        "prepare_syringe",
        PREPARE,
        "reservoir_nl=0..100000000 step_fl=100000..20000000000 bore_um=1000..60000 drug=word:24? +syringe",
    ),
    ("prepare_limits", PREPARE, "+limits"),
    ("prepare_dose", PREPARE, "drug=word:24? +dose"),
    ("prepare_library", PREPARE, "library=hex:16"),
    ("prepare_calibration", PREPARE, "+calibration"),
    ("prepare_settings", PREPARE, "+options"),
    ("commit", ACT, "token=hex:8"),
    # long things in parts
    ("part_begin", PREPARE, "what=programme size=1..4096 sha256=hex:64"),
    ("part", PREPARE, "offset=0..4096 data=b64:160"),
    # one step
    ("pause", ACT, ""),
    ("resume", ACT, ""),
    ("cancel_bolus", ACT, ""),
    ("refill", ACT, "phase=begin|end"),
    ("silence", ACT, "seconds=10..120?"),
    ("ack", ACT, "alarm=word:24?"),
    ("selftest", ACT, ""),
    ("service", ACT, ""),
    # locked mode
    ("set_key", ACT, "key=hex:64"),
    ("lock", ACT, ""),
    ("unlock", ACT, ""),
    # always
    ("stop", STOP, ""),
)

# In locked mode a PREPARE or ACT line ends (before the CRC) with ` mac=` and 16 hex digits: the first 8 bytes of
# HMAC-SHA256(key, nonce as sent by hello + "|" + the line from `@` to before ` mac=`). The id is the counter.
MAC_DIGITS = const(16)
# There are two keys: this one, and the operator's, which is HMAC-SHA256(key, "operate"). With the operator's everything
# goes but what is listed here. A session ends SESSION_S after its last line with a right code, and its nonce with it.
# `hello challenge=` proves the pump: `proof` is made like `mac`, with the operator's key, of "proof|" + challenge.
CONFIGURE = (
    "prepare_limits",
    "prepare_dose",
    "prepare_library",
    "prepare_calibration",
    "prepare_settings",
    "service",
    "set_key",
    "lock",
    "unlock",
)
SESSION_S = const(180)
OPERATING, CONFIGURING = const(1), const(2)  # by whose key a line is signed

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
    "memory",
)

# Journal records: (kind, name, struct format of the 36-byte payload's start, field names). Unused bytes are 0.
# `source`, `task`, `state` and `was` are numbers: indices into SOURCES, TASKS and core.states.STATES; `alarm` is the
# row in core.alarms.ALARMS; `why` an index into WHYS. `from_nl`: what was stepped before the order, and 1; 0: not told.
# A `result` of a restart says in `commanded_nl` what the order has delivered at most.
SOURCES = (
    "none",
    "basal",
    "kvo",
    "programme",
    "bolus",
    "extended",
    "prime",
    "withdraw",
    "jog",
    "home",
    "takeup",
    "backoff",
)
RESULTS = ("running", "complete", "stopped", "replaced", "alarm", "reset")
WHYS = ("other", "host", "button", "inputs", "alarm", "complete", "acknowledged", "timeout")
RECORDS = (
    (1, "boot", "<IBBB", "boot reset was task"),
    (2, "ids", "<I", "reserved"),
    (3, "intent", "<IBQIIQI", "order source volume_nl duration_s flags rate_nl_per_day from_nl"),
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
    (
        11,
        "carry",
        "<qIIIiHiI",
        "phase_quanta primed_nl withdrawn_nl orders lost_steps slack_steps off_nl life_unsure_nl",
    ),
    # which soft limits (1 rate, 2 bolus, 4 dose), and why: 24 letters, eight in each number
    (12, "override", "<IBQQQ", "order limits reason_1 reason_2 reason_3"),
    (13, "refused", "<II", "forged wrong"),  # counts since this boot; at most one in REFUSED_EVERY_S
)
