"""The text of a delivery programme: to lists of whole numbers, or to the line that is wrong and why.

Owns: the grammar below. Must not: know what the motor, the syringe or the limits allow; the app checks that.

A programme is ASCII text of at most PROGRAMME_BYTES_MAX bytes. Every line ends with LF (the last one may do without);
one space separates the words; there are no empty lines and no comments. Numbers are whole, without sign and without
leading zeros.

    haipump-programme 1           always, the 1 is the version of this grammar
    period_s N                    length of the pattern in seconds, 1 to 315360000
    repeats N                     how often it runs, 1 to 1000000; period_s x repeats is at most 3650 days
    at_end stop|kvo               what follows
    AT_S rate NL_PER_DAY          from second AT_S on this rate, 0 to 100000000000 (0: no flow)
    AT_S ramp NL_PER_DAY S        from the rate in force, in a straight line over S seconds (1 to 8640000), to this rate
    AT_S bolus NL S               1 to 100000000 nL on top of the rate, evenly over S seconds (0: an immediate bolus, at
                                  the bolus rate of the settings)

Items are sorted by AT_S, the second of the period in which they start (0 to period_s - 1); there are 1 to
PROGRAMME_ITEMS_MAX. Every period starts with rate 0 until an item says otherwise, so that all periods are alike.
A ramp, and a bolus with a duration, end within the period. No rate or ramp starts during a ramp (a ramp may start with
the rate before it, in the same second); no bolus with a duration starts during another one; no two rates and no two
immediate boluses start in the same second.

What an error says (`what`): text (not ASCII, or too long), header (one of the first four lines), syntax (words of an
item), number (not a whole number), range, order (starts before the item above), period (not within the period),
overlap, twice (same second), items (none, or too many), length (period_s x repeats).
"""

from haipump_fw.const import const
from haipump_fw.proto.frame import Refused, number
from haipump_fw.proto.messages import PROGRAMME_BYTES_MAX, PROGRAMME_ITEMS_MAX

RATE, RAMP, BOLUS = const(0), const(1), const(2)

PERIOD_MAX_S = const(315_360_000)  # 3650 days
REPEATS_MAX = const(1_000_000)
RATE_MAX_NL_PER_DAY = 100_000_000_000
BOLUS_MAX_NL = const(100_000_000)
DURATION_MAX_S = const(8_640_000)
_HEADER_LINES = const(4)


class Programme:
    """A programme that is right in itself. Item i is kinds[i] (RATE, RAMP or BOLUS), at_s[i], values[i] (nL/day, or nL
    for a BOLUS) and durations_s[i] (0 for a RATE, and for an immediate BOLUS)."""

    def __init__(self, period_s, repeats, at_end):
        self.period_s = period_s
        self.repeats = repeats
        self.at_end = at_end  # "stop" or "kvo"
        self.kinds = []
        self.at_s = []
        self.values = []
        self.durations_s = []


def parse(text, breathe=None):
    """The Programme in `text` (bytes). Raises Refused("programme", [("line", n), ("what", word)]), and for `range` also
    with minimum and maximum; lines count from 1. `breathe` is called between items."""
    lines = _lines(text)
    programme = _header(lines)
    last = _Last()
    for at in range(_HEADER_LINES, len(lines)):
        if at == _HEADER_LINES + PROGRAMME_ITEMS_MAX:
            _wrong(at, "items")
        if breathe is not None:
            breathe()
        _item(programme, last, lines[at].split(b" "), at)
    if not programme.kinds:
        _wrong(len(lines) - 1, "items")
    return programme


class _Last:
    """Where the items so far end, for the checks of the next one. Seconds of the period, -1 for none."""

    def __init__(self):
        self.start_s = 0
        self.rate_s = -1
        self.ramp_end_s = 0
        self.bolus_end_s = 0
        self.immediate_s = -1


def _wrong(at, what, minimum=None, maximum=None):
    pairs = [("line", at + 1), ("what", what)]
    if maximum is not None:
        pairs += [("minimum", minimum), ("maximum", maximum)]
    raise Refused("programme", pairs)


def _lines(text):
    if len(text) > PROGRAMME_BYTES_MAX:
        _wrong(0, "text")
    lines = text.split(b"\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    for at in range(len(lines)):
        if lines[at] and not (min(lines[at]) >= 0x20 and max(lines[at]) <= 0x7E):
            _wrong(at, "text")
    return lines


def _header(lines):
    if lines[0] != b"haipump-programme 1":
        _wrong(0, "header")
    period_s = _setting(lines, 1, b"period_s", PERIOD_MAX_S)
    repeats = _setting(lines, 2, b"repeats", REPEATS_MAX)
    if period_s * repeats > PERIOD_MAX_S:
        _wrong(2, "length")
    words = _words(lines, 3, b"at_end")
    if words[1] != b"stop" and words[1] != b"kvo":
        _wrong(3, "header")
    return Programme(period_s, repeats, words[1].decode())


def _words(lines, at, name):
    words = lines[at].split(b" ") if at < len(lines) else ()
    if len(words) != 2 or words[0] != name:
        _wrong(at, "header")
    return words


def _setting(lines, at, name, maximum):
    return _whole(_words(lines, at, name)[1], at, 1, maximum)


def _whole(word, at, minimum, maximum):
    value = number(word)
    if value is None:
        _wrong(at, "number")
    if not minimum <= value <= maximum:
        _wrong(at, "range", minimum, maximum)
    return value


def _item(programme, last, words, at):
    kind = {b"rate": RATE, b"ramp": RAMP, b"bolus": BOLUS}.get(words[1]) if len(words) > 2 else None
    if kind is None or len(words) != (3 if kind == RATE else 4):
        _wrong(at, "syntax")
    start_s = _whole(words[0], at, 0, PERIOD_MAX_S)
    if kind == BOLUS:
        value = _whole(words[2], at, 1, BOLUS_MAX_NL)
    else:
        value = _whole(words[2], at, 0, RATE_MAX_NL_PER_DAY)
    duration_s = 0 if kind == RATE else _whole(words[3], at, 1 if kind == RAMP else 0, DURATION_MAX_S)
    if start_s < last.start_s:
        _wrong(at, "order")
    if start_s >= programme.period_s or start_s + duration_s > programme.period_s:
        _wrong(at, "period")
    last.start_s = start_s
    _fit(last, kind, start_s, start_s + duration_s, at)
    programme.kinds.append(kind)
    programme.at_s.append(start_s)
    programme.values.append(value)
    programme.durations_s.append(duration_s)


def _fit(last, kind, start_s, end_s, at):
    """Does the item fit beside those before it?"""
    if kind != BOLUS:
        if start_s < last.ramp_end_s:
            _wrong(at, "overlap")
        if kind == RAMP:
            last.ramp_end_s = end_s
        elif start_s == last.rate_s:
            _wrong(at, "twice")
        else:
            last.rate_s = start_s
    elif end_s > start_s:
        if start_s < last.bolus_end_s:
            _wrong(at, "overlap")
        last.bolus_end_s = end_s
    elif start_s == last.immediate_s:
        _wrong(at, "twice")
    else:
        last.immediate_s = start_s
