"""Dose limits: what an order, with all that runs and follows, may bring; and what the journal knows of the past.

Owns: hard and soft limits of one drug, the lockout between boluses, what a refusal says. Loaded when a limit is set and
something is ordered, and freed again (`Commands`). Must not: keep anything (`core.window` does), or start anything.

After a start the window is filled from the journal. Of the time without power nothing is known, so none has passed; of
a stretch that a power cut ended, the upper end of its range counts.
"""

import binascii
import struct

from haipump_fw.const import const
from haipump_fw.core import options, profiles
from haipump_fw.core.units import FL_PER_NL, QUANTA_PER_NL, US_PER_S, div_up
from haipump_fw.core.window import EVER, POINTS
from haipump_fw.delivery import BOLUS, EXTENDED, PROGRAMME
from haipump_fw.proto.frame import Refused
from haipump_fw.store import records

_DRUG = ("drug_1", "drug_2", "drug_3")
_DRUG_BYTES = const(8)
# A change holds up to 90 ms after it was worked out, and a fast order that is held slows down first: so much of what
# runs may come closer to what is new.
_SHIFT_US = const(100_000)
_UNKNOWN_STEPS = const(0x3FFFFFFF)  # made before the journal begins, for all that is known
_POINT_LATE_S = const(2)  # a pass may have begun a second before its commit, and seconds are cut off
_LOOK_BACK_MAX = const(4_096)  # places of the journal: all it has
_USED_MAX_NL = const(100_000_000)  # what is shown at most
_REFUSALS_MAX = const(99_999)
_PULSES_MAX = const(130)  # boluses of a programme that are looked at: two periods have no more


def letters(word):
    """Up to 24 characters as three numbers."""
    text = word.encode() + bytes(3 * _DRUG_BYTES - len(word))
    return [int.from_bytes(text[at : at + _DRUG_BYTES], "big") for at in range(0, 3 * _DRUG_BYTES, _DRUG_BYTES)]


def drug_of(values):
    """Name of the drug that the limits are for, or "none"."""
    text = b"".join([values[name].to_bytes(_DRUG_BYTES, "big") for name in _DRUG])
    return text.rstrip(b"\0").decode() or "none"


def drug_loaded(values):
    """True when the limits are for what is in the syringe, or for whatever there is."""
    drug = drug_of(values)
    return drug == "none" or values["loaded_drug"] == binascii.crc32(drug.encode())


def prepare_dose(commands, fields):
    app = commands.app
    values = app.values
    if not fields:
        raise Refused("field", [("what", "none")])
    if values["library_seal"]:
        raise Refused("library", [("what", "loaded")])
    drug = fields.get("drug", drug_of(values))
    new = {row[options.NAME]: fields.get(row[options.NAME], values[row[options.NAME]]) for row in options.rows("dose")}
    # Another drug, and a look into the past, need a pump that is stopped.
    rest = drug != drug_of(values) or new["window_s"] != values["window_s"] or (_counts(new) and not _known(app))
    app.machine.check("load" if rest else "adjust")
    pairs = [(row[options.NAME], new[row[options.NAME]]) for row in options.rows("dose")] + [("drug", drug)]
    new.update(zip(_DRUG, letters("" if drug == "none" else drug)))

    def execute(number):
        commands.run("save", new)

    return pairs, execute


def _counts(values):
    """True when some limit needs to know the past."""
    return values["max_dose_nl"] or values["soft_dose_nl"] or values["lockout_s"]


def _known(app):
    return app.doses is not None and app.doses.window.known


def read_dose(commands, fields):
    app = commands.app
    now_s = app.now_us() // US_PER_S
    used_nl, wait_s = -1, 0
    if app.doses is not None:
        window = app.doses.window
        if not window.known and not app.delivery.orders():
            look_back(app)
        if window.known:
            app.delivery.account()
            used_nl = div_up(window.steps(now_s, app.delivery.dosed) * app.values["step_fl"], FL_PER_NL)
        wait_s = _lockout_left_s(commands, 0, True) if window.known else app.values["lockout_s"]
    return [(row[options.NAME], app.values[row[options.NAME]]) for row in options.rows("dose")] + [
        ("drug", drug_of(app.values)),
        ("loaded", 1 if drug_loaded(app.values) else 0),
        ("used_nl", min(used_nl, _USED_MAX_NL)),
        ("wait_s", wait_s),
        ("refusals", min(commands.refusals, _REFUSALS_MAX)),
    ]


def check_order(commands, fields, rate, volume_nl, tried):
    """Refuse an order that breaks a limit. `rate` and `volume_nl`: the highest of it (a bolus that is ordered has rate
    0); `tried`: what `Forecast.plans` takes. Returns what the answer says: soft limits that are overridden."""
    app = commands.app
    app.loading()
    from haipump_fw.core import limits  # in two pieces: each takes as long as a stop may wait

    app.ports.system.forget(limits)
    commands.breathe()
    search = _Search(commands, limits, tried)
    app.doses.passed = None
    values = app.values
    window = app.doses.window
    if not drug_loaded(values):
        raise Refused("syringe", [("what", "other_drug"), ("drug", drug_of(values))])
    if _counts(values) and not window.known:
        look_back(app)
    if not rate or volume_nl:
        first_s = _first_s(tried[0][0][1], 0) if rate else 0  # of a programme, which replaces the one that runs
        left_s = _lockout_left_s(commands, first_s, not rate)
        if left_s > 0:
            raise Refused("limit", [("limit", "lockout_s"), ("value", values["lockout_s"]), ("free_in_s", left_s)])
    search.check("max_dose_nl", "limit")
    passed = 0
    for bit, name, value in ((1, "soft_rate_nl_per_day", rate), (2, "soft_bolus_nl", volume_nl)):
        if 0 < values[name] < value:
            passed |= bit
            _override(fields, [("limit", name), ("value", value), ("maximum", values[name])])
    try:
        search.check("soft_dose_nl", "override")
    except Refused as refusal:
        passed |= 4
        _override(fields, refusal.pairs)
    app.doses.passed = [passed] + letters(fields["reason"]) if passed else None
    return [("passed", passed)] if passed else []


def _first_s(pulses, elapsed_us):
    """How many whole seconds after `elapsed_us` of a programme its next bolus begins; -1: none comes."""
    stop_us = elapsed_us
    while pulses.total_q and stop_us < pulses.total_us:  # a programme without any may have a million periods
        _, num, _, run_us, until_us = pulses.at(stop_us)
        if num and not run_us:
            return (stop_us - elapsed_us) // US_PER_S
        stop_us = until_us
    return -1


def _lockout_left_s(commands, first_s, beside):
    """Seconds until an order may be given whose first bolus begins `first_s` after it, 0: now. `beside`: beside a
    programme that runs, whose boluses to come keep their distance, too; where there is no room for long, its end."""
    app = commands.app
    lockout_s = app.values["lockout_s"]
    if not lockout_s:
        return 0
    now_us = app.now_us()
    left_s = max(0, app.doses.window.bolus_s + lockout_s - now_us // US_PER_S - first_s)
    basal = app.delivery.basal
    if not beside or basal is None or basal.source != PROGRAMME or not basal.profiles:
        return left_s
    pulses = basal.profiles[1]
    elapsed_us = basal.elapsed_us(now_us)
    ahead_s = 0
    for _ in range(_PULSES_MAX):
        commands.breathe()
        next_s = _first_s(pulses, elapsed_us + ahead_s * US_PER_S)
        if next_s < 0 or left_s + lockout_s <= ahead_s + next_s:
            return left_s
        left_s = max(left_s, ahead_s + next_s + 1 + lockout_s)
        ahead_s += next_s + 1
    return (pulses.total_us - elapsed_us) // US_PER_S + 1 + lockout_s


def _override(fields, pairs):
    """A soft limit that is passed needs the word that it is meant, and why."""
    if not (fields.get("override") and "reason" in fields):
        raise Refused("override", [pair for pair in pairs if pair[0] != "what"] + [("what", "reason")])


class _Search:
    """The sums over all windows, for one order. All of them together may take as many looks as one."""

    def __init__(self, commands, limits, tried):
        self._app = commands.app
        self._limits = limits
        self._tried = tried
        self._looks = limits.looks()
        self._breathe = commands.breathe

    def check(self, name, code):
        app = self._app
        if not app.values[name]:
            return
        delivery = app.delivery
        motor = delivery.limits
        # In whole steps: a window of the plan that holds no more than these holds no more steps.
        most_q = app.values[name] * FL_PER_NL // app.values["step_fl"] * motor.step_q
        moved_q = 0
        for order in delivery.planner.orders:
            moved_q += order.top * _SHIFT_US + profiles.coast(motor, motor.speed(order.top, 1)).total_q
        limit_q = most_q - moved_q
        excess_q = self._proof(0).within(limit_q)
        if excess_q is None:
            return
        pairs = [("limit", name), ("maximum", most_q // QUANTA_PER_NL), ("window_s", app.values["window_s"])]
        if excess_q < 0:
            raise Refused(code, pairs + [("what", "too_close_to_prove")])
        asked_q = excess_q + moved_q
        if asked_q < _UNKNOWN_STEPS * motor.step_q:
            pairs.append(("value", div_up(asked_q, QUANTA_PER_NL)))
        else:
            pairs.append(("what", "past_not_known"))
        raise Refused(code, pairs + self._free_in(limit_q))

    def _free_in(self, limit_q):
        """After how many seconds the same order would be taken, if what runs goes on and nothing else comes; -1: never;
        nothing when the looks are used up."""
        gap_s = self._app.doses.window.gap_s
        low, high = 0, POINTS + 1
        excess_q = self._proof(high * gap_s).within(limit_q)
        if excess_q is not None:
            return [("free_in_s", -1)] if excess_q >= 0 else []
        while high - low > 1:
            middle = (low + high) // 2
            if self._proof(middle * gap_s).within(limit_q) is None:
                high = middle
            else:
                low = middle
        return [("free_in_s", high * gap_s)]

    def _proof(self, delay_s):
        """With the order begun after a delay, and what runs going on until then."""
        app = self._app
        planned = self._limits.planned
        delivery = app.delivery
        now_us = app.now_us()
        now_s = now_us // US_PER_S
        self._breathe()
        delivery.account()
        past = [(at_s, steps * delivery.limits.step_q) for at_s, steps in app.doses.window.past(delivery.dosed)]
        begin_us = now_us + delay_s * US_PER_S
        if delay_s:
            running = app.forecast.plans(now_us)
            begin_q = planned(running, begin_us, True)[0]
            past = [(at_s, held_q + begin_q - planned(running, now_us, False)[0]) for at_s, held_q in past]
            for at_s in range(now_s + 1, now_s + delay_s, app.doses.window.gap_s):
                past.append((at_s, begin_q - planned(running, at_s * US_PER_S, False)[0]))
                self._breathe()
        plans = app.forecast.plans(begin_us, *self._tried)
        waiting = delivery.extended
        if waiting is not None and waiting.coasting:  # it goes on when the bolus is over, which `plans` leaves out
            free_us = begin_us if delivery.bolus is None else max(begin_us, delivery.bolus.end_us)
            rest_q = waiting.volume_q - waiting.planned_q(now_us)
            rest = profiles.volume_at_rate(rest_q, waiting.rate or waiting.fastest, delivery.limits)
            plans.append(((rest,), 0, free_us, 0))
        self._breathe()
        span_us = app.doses.window.span_s * US_PER_S
        return self._limits.Proof(past, plans, begin_us, span_us, self._looks, self._breathe)


def look_back(app):
    """Fill the window from the journal, and find the last bolus."""
    window = app.doses.window
    storage = app.storage
    storage.write(app.window_us)
    now_s = app.now_us() // US_PER_S
    life_nl = app.ledger.life_total_nl(app.running_dose()[1])
    unsure_nl = app.ledger.unsure_nl
    begin_s = now_s - window.span_s
    # A lockout may be set, or made longer, later on: nobody looks back again for that.
    lockouts = [row[options.MAXIMUM] for row in options.rows("dose") if row[options.NAME] == "lockout_s"]
    bolus_s = now_s - lockouts[0]
    boot, at_s = storage.boot & 0xFFFF, now_s
    uptime_s = now_s
    held_nl = 0
    points = [(now_s + 1, 0)]
    commit, intent, result = records.row_of("commit"), records.row_of("intent"), records.row_of("result")
    for raw in storage.journal.backwards(_LOOK_BACK_MAX):
        form, its_boot, _, its_uptime_s = struct.unpack_from("<BHII", raw, 1)
        if form >= records.RESTATED:
            continue
        # Between two starts nothing passes: what the record before the start tells is as old as the start.
        at_s -= uptime_s - its_uptime_s if its_boot == boot else uptime_s
        boot, uptime_s = its_boot, its_uptime_s
        if raw[0] == commit[0]:
            values = struct.unpack_from(commit[2], raw, records.PAYLOAD_AT)
            held_nl += max(0, life_nl - values[3]) + max(0, unsure_nl - values[8])
            life_nl, unsure_nl = values[3], values[8]
            point_s = at_s + _POINT_LATE_S
            # The newest one before the window closes it, however near the next one is.
            if points[-1][0] > begin_s and (point_s <= begin_s or point_s <= points[-1][0] - window.gap_s):
                points.append((point_s, held_nl))
        elif raw[0] in (intent[0], result[0]) and window.bolus_s == EVER:
            source = raw[records.PAYLOAD_AT + 4]
            # When a programme's boluses began is not recorded: up to its end, or until now where that is not known.
            if source == PROGRAMME:
                window.bolus_s = (at_s if raw[0] == result[0] else now_s) + 1
            elif raw[0] == intent[0] and source in (BOLUS, EXTENDED):
                window.bolus_s = at_s + 1
        # Only a commit ends it: what is older than the window may lie behind records of any kind.
        if points[-1][0] <= begin_s and (window.bolus_s != EVER or at_s < bolus_s):
            break
    else:
        unknown = life_nl or unsure_nl  # made before the journal begins
        if unknown and points[-1][0] > begin_s:
            held_nl += _UNKNOWN_STEPS * app.values["step_fl"] // FL_PER_NL
        if unknown and window.bolus_s == EVER:
            window.bolus_s = at_s + 1
    points.append((EVER, held_nl))
    _fill(app, points)


def _fill(app, points):
    step_fl = app.values["step_fl"]
    steps = [div_up((held_nl + 1) * FL_PER_NL, step_fl) if held_nl else 0 for _, held_nl in points]
    filled = [(points[i][0], steps[i] - (steps[i - 1] if i else 0)) for i in range(len(points))]
    filled.reverse()
    app.doses.window.fill(filled, app.delivery.dosed)
