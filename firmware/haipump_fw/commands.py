"""Commands: what each message asks for, checked against state, limits and alarms, and carried out by the app.

Owns: the delegate of `proto.session`: prepares, commits and one-step orders of delivery. `answers`, and `programmes`,
`handling`, `doses`, `library`, `configuration` and `enquiries`, which are in memory only while a message needs them, do
the rest. Must not: parse or format lines, change a state but through `App.fire`, or start anything whose intent is not
on the flash.

A prepare returns its normalised values and a plan: (verb, fields, blob, pairs). The commit prepares once more, and
refuses when the world has changed so that other values would come out.
"""

import binascii

from haipump_fw import ports as contract
from haipump_fw.answers import Answers
from haipump_fw.const import const
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core import profiles
from haipump_fw.core.machine import NotAllowed
from haipump_fw.core.units import QUANTA_PER_NL, STEP_PERIOD_MAX_US, US_PER_S, div_near, div_up
from haipump_fw.delivery import (
    BASAL,
    BOLUS,
    EXTENDED,
    KVO,
    new_order,
)
from haipump_fw.proto.frame import Refused, is_stop
from haipump_fw.proto.messages import RESULTS

_PIECE = const(64)  # bytes from the host, in the middle of something ...
_HEARD_MAX = const(600)  # ... and so many at most: a line that is sent again, twice
JUMP = const(10)  # a rate this many times higher or lower than the running one, or a bolus than the last, is a slip
_HANDLING = (
    "prepare_kvo",
    "prepare_prime",
    "prepare_withdraw",
    "prepare_jog",
    "prepare_home",
    "act_refill",
    "act_selftest",
    "act_service",
)
_LOCKING = ("act_set_key", "act_lock", "act_unlock")
_DOSES = ("prepare_dose", "read_dose")
_STOPPED = RESULTS.index("stopped")
_VARYING = (
    "empty_in_s",
    "reservoir_nl",
    "from_nl_per_day",
    "basal_nl_per_day",
)  # may differ between prepare and commit


class Commands:
    def __init__(self, app):
        self.app = app
        self.answers = Answers(app)
        self.last_bolus_nl = 0
        self.refusals = 0  # by limits
        self._supply = ()
        self._piece = bytearray(_PIECE)
        self._heard = b""  # in the middle of something, for the session when it is over

    # --- what the session asks of its delegate

    def now_s(self):
        return self.app.clock.s

    def state_name(self):
        return self.app.machine.state

    def stop_now(self):
        self.app.stop("host")

    def stop(self):
        number, left_nl = self.app.stop("host")
        return self._where(number, left_nl)

    def reserve(self, number):
        app = self.app
        if not app.storage.reserve(number, app.window_us):
            raise Refused("storage", [("what", app.storage.problem or "journal")])

    def nonce(self):
        app = self.app
        return "%x" % app.storage.boot + binascii.hexlify(app.ports.system.random(8)).decode()

    def answer(self, verb, fields):
        name = "read_" + verb
        if hasattr(self.answers, name):
            return getattr(self.answers, name)(fields)
        return self.run(name, fields)

    def prepare(self, verb, fields, blob):
        self._check_recovered(verb)
        pairs, _ = self._prepared(verb, fields, blob)
        return pairs, (verb, fields, blob, pairs)

    def commit(self, plan, order_id):
        verb, fields, blob, before = plan
        pairs, execute = self._prepared(verb, fields, blob)
        for was, now in zip(before, pairs):
            if was != now and now[0] not in _VARYING and verb != "prepare_kvo":  # KVO follows the running rate
                raise Refused("token", [("what", "changed"), ("field", now[0]), ("value", now[1])])
        execute(order_id)
        return [("state", self.app.machine.state), ("order", order_id)]

    def act(self, verb, fields, order_id):
        self._check_recovered(verb)
        return self.run("act_" + verb, fields)

    def _check_recovered(self, verb):
        """After a start with the service jumper closed a locked pump takes a new key, or unlock, and nothing else."""
        if self.app.recovering and verb not in ("set_key", "unlock"):
            raise Refused("locked", [("what", "set_key_or_unlock_first")])

    def _prepared(self, verb, fields, blob):
        self._supply = ()
        try:
            pairs, execute = self.run(verb, fields) if blob is None else self.run(verb, fields, blob)
            if self._supply:
                pairs = pairs + self._supplied(*self._supply)
            self.breathe()
            return pairs, execute
        except Refused as refusal:
            if refusal.pairs and refusal.pairs[0][0] == "limit":  # a soft one as well
                self.refusals += 1
            raise
        finally:
            heard = self._heard
            if heard:
                self._heard = b""
                self.app.session.bytes_in(heard, len(heard))

    def run(self, name, *values):
        """What handles a message, by its name: here, or in a module that is loaded for it and freed again. Code takes
        twice its size of memory, and most of it is needed for a second a day."""
        if hasattr(self, name):
            return self._allowed(getattr(self, name), *values)
        app = self.app
        app.loading()
        if name == "prepare_programme":
            # in three pieces: nobody looks after the motor meanwhile, or hears a stop
            from haipump_fw.core import courses  # noqa: F401

            self.breathe()
            from haipump_fw.proto import programme  # noqa: F401

            self.breathe()
            from haipump_fw import programmes as module
        elif name in _HANDLING:
            from haipump_fw import handling as module
        elif name == "prepare_syringe":
            from haipump_fw import syringe as module
        elif name in _LOCKING:
            from haipump_fw import locking as module
        elif name in _DOSES:
            from haipump_fw import doses as module
        elif name == "prepare_library":
            from haipump_fw import library as module
        elif name.startswith("read_"):
            from haipump_fw import enquiries as module
        else:
            from haipump_fw import configuration as module
        app.ports.system.forget(module)  # it lives on for as long as this call
        app.keep_moving()
        return self._allowed(getattr(module, name), self, *values)

    def _allowed(self, action, *values):
        """Run an action; what the state table refuses becomes an error with the advice."""
        try:
            return action(*values)
        except NotAllowed as refused:
            raise Refused("state", [("what", _word(refused.why))]) from None

    def breathe(self):
        """In between, when a prepare takes its time: the motor gets its words, the sensors are looked at, and a stop is
        heard. A stop, or an alarm that is due, ends it."""
        app = self.app
        app.keep_moving()
        stopped = app.glance() or (app.delivery.moving() and not app.ports.motor.enabled())  # by a contact
        count = app.ports.console.readinto(self._piece)
        if count:
            # To carry out a stop takes more of the chip's stack than is left here.
            heard = self._heard = self._heard + self._piece[:count]
            lines = heard.replace(b"\r", b"\n").split(b"\n")
            stopped |= len(heard) > _HEARD_MAX or (len(lines) > 1 and app.session.begun())
            stopped |= any([is_stop(line) for line in lines])
        if stopped:
            raise Refused("state", [("what", "stopped_meanwhile")])

    def _where(self, number, left_nl):
        return [("state", self.app.machine.state), ("order", number), ("left_nl", left_nl)]

    # --- checks that several orders share

    def ready(self, event):
        """A dose may start: the state allows it, no alarm forbids it, a syringe is loaded and held, storage works."""
        app = self.app
        app.machine.check(event)
        if app.storage.problem is not None:
            raise Refused("storage", [("what", app.storage.problem)])
        standing = app.alarms.forbids(alarm_table.NO_START)
        if standing is not None:
            raise Refused("alarm", [("alarm", standing)])
        if not app.syringe_loaded():
            raise Refused("syringe", [("what", "none_loaded")])
        if not app.ports.inputs.read() & contract.IN_CAPTURED:
            raise Refused("syringe", [("what", "not_captured")])
        if app.values["library_required"] and not app.values["library_seal"]:
            raise Refused("library", [("what", "none")])
        if not app.library_sound():
            raise Refused("library", [("what", "altered")])

    def rate_range(self):
        """((limit name, highest nL/day), lowest nL/day) that motor, syringe and settings allow."""
        app = self.app
        limits = app.delivery.limits
        highest = ("motor", limits.maximum * limits.step_q // US_PER_S)
        for name in ("max_rate_nl_per_day", "syringe_max_nl_per_day"):
            if 0 < app.values[name] < highest[1]:
                highest = (name, app.values[name])
        return highest, div_up(limits.step_q, STEP_PERIOD_MAX_US)

    def check_rate(self, rate):
        (name, highest), lowest = self.rate_range()
        if rate > highest:
            raise Refused("limit", [("limit", name), ("value", rate), ("minimum", lowest), ("maximum", highest)])
        if rate < lowest:
            raise Refused(
                "limit", [("limit", "step_period"), ("value", rate), ("minimum", lowest), ("maximum", highest)]
            )

    def check_speed(self, rate, others):
        """All sources together stay within the motor's speed, each at its fastest."""
        delivery = self.app.delivery
        total = rate + sum([order.top for order in others if order is not None])
        highest = delivery.limits.maximum * delivery.limits.step_q // US_PER_S
        if total > highest:
            raise Refused("limit", [("limit", "motor"), ("value", total), ("maximum", highest)])

    def basal_rate(self, now_us):
        """Rate in nL/day of what runs in the basal place, 0 for nothing. The boluses of a programme are none of it."""
        basal = self.app.delivery.basal
        if basal is None or basal.held_us >= 0:
            return 0
        _, num, den, _, _ = basal.profiles[0].at(basal.elapsed_us(now_us))
        return div_near(num, den)

    def check_jump(self, new, old, fields):
        if old and not fields.get("override") and (new >= JUMP * old or new * JUMP <= old):
            raise Refused("override", [("value", new), ("before", old)])

    def check_reservoir(self, volume_nl):
        """There is enough for this and the boluses that run, before the pump stops as empty."""
        app = self.app
        delivery = app.delivery
        reservoir_nl = app.reservoir_nl()
        pending_nl = app.left_nl(delivery.bolus) + app.left_nl(delivery.extended)
        highest = max(0, reservoir_nl - app.values["reservoir_empty_nl"] - pending_nl)
        if volume_nl > highest:
            raise Refused("reservoir", [("value", volume_nl), ("maximum", highest), ("reservoir_nl", reservoir_nl)])

    def _check_kvo(self, at_end, rate):
        """What follows an order can be reached as well."""
        if at_end == "kvo":
            self.check_rate(self.app.forecast.kvo_after(at_end, rate))

    def supply(self, check=None, *tried):
        """The last part of an answer: time to empty with these started, see `Forecast.empty_at`; for a dose with
        `check` (its fields, highest rate and bolus) what the dose limits say to it before, see `doses.check_order`.
        It is worked out by `_prepared`: for a proof in here the chip's stack would be too short."""
        self._supply = check, tried
        return []

    def _supplied(self, check, tried):
        app = self.app
        self.breathe()
        passed = []
        if check and app.doses is not None:
            app.loading()
            from haipump_fw import doses

            app.ports.system.forget(doses)
            self.breathe()
            passed = doses.check_order(self, *check, tried)
        empty_s = app.forecast.empty_at(app.now_us(), self.breathe, *tried)
        return passed + [
            ("empty_in_s", -1 if empty_s < 0 else max(0, empty_s - app.clock.s)),
            ("reservoir_nl", app.reservoir_nl()),
        ]

    def begin(self, order, event, top, flags, *new):
        """Record the intent, wait for the flash, start. Nothing starts when it can't be recorded. `top`: its highest
        rate in nL/day."""
        app = self.app
        duration_s = 0
        for profile in new:
            if profile.total_us > 0:
                duration_s = max(duration_s, div_up(profile.total_us, US_PER_S))
        volume_nl = order.volume_q // QUANTA_PER_NL
        storage = app.storage
        order.top = top
        if app.doses is not None and not app.doses.begin(order):
            raise Refused("storage", [("what", storage.problem or "journal")])
        if not storage.journal.room():
            storage.write(app.window_us)
        from_nl = 1 + app.ledger.stepped_nl(app.running_dose()[1])
        values = order.number, order.source, volume_nl, duration_s, flags, abs(order.rate), from_nl
        if not storage.record("intent", *values):
            raise Refused("storage", [("what", storage.problem or "journal")])
        if not storage.write(app.window_us):
            storage.record("result", order.number, order.source, _STOPPED, volume_nl, 0, 0, 0)  # it never began
            raise Refused("storage", [("what", storage.problem or "no_window")])
        app.begin(order, event, *new)

    # --- orders

    def prepare_rate(self, fields):
        self.ready("start_rate")
        app = self.app
        delivery = app.delivery
        rate = fields["rate_nl_per_day"]
        ramp_s = fields.get("ramp_s", 0)
        vtbi_nl = fields.get("vtbi_nl", 0)
        at_end = fields.get("at_end", "stop")
        self.check_rate(rate)
        now_us = app.now_us()
        basal = delivery.basal
        present = self.basal_rate(now_us)
        if basal is not None and basal.source != KVO:
            self.check_jump(rate, present, fields)
        self.check_speed(rate, (delivery.bolus, delivery.extended))
        if vtbi_nl:
            self.check_reservoir(vtbi_nl)
            self._check_kvo(at_end, rate)
        limits = delivery.limits
        speed = 0 if basal is None else delivery.speed_of(basal, now_us)
        if ramp_s and vtbi_nl:
            raise Refused("field", [("field", "ramp_s"), ("what", "not_with_vtbi")])
        if ramp_s:
            self.check_gentle(max(rate, present))
            from haipump_fw.core import courses

            profile = courses.Ramp(present, rate, ramp_s, limits.step_q)
        elif vtbi_nl:
            slowing_nl = div_up(profiles.coast(limits, speed).total_q, QUANTA_PER_NL)
            if vtbi_nl < slowing_nl:  # it would be over before the motor has slowed down from the running rate
                raise Refused("limit", [("limit", "accel_steps_per_s2"), ("value", vtbi_nl), ("minimum", slowing_nl)])
            profile = profiles.volume_at_rate(profiles.quanta(vtbi_nl), rate, limits, speed)
        else:
            profile = profiles.rate(rate, limits, speed)

        def execute(number):
            top = max(rate, present) if ramp_s else rate
            self.begin(new_order(number, BASAL, vtbi_nl, rate), "start_rate", top, ramp_s, profile)
            self.app.at_end = at_end
            self.app.changed()

        pairs = [
            ("rate_nl_per_day", rate),
            ("ramp_s", ramp_s),
            ("vtbi_nl", vtbi_nl),
            ("at_end", at_end),
            ("from_nl_per_day", present),
        ]
        check = fields, max(rate, present) if ramp_s else rate, 0
        return pairs + self.supply(check, ((profile,), app.forecast.kvo_after(at_end, rate))), execute

    def check_gentle(self, rate):
        """Ramps and programmes run only as fast as the motor starts and stops at once."""
        limits = self.app.delivery.limits
        highest = limits.start * limits.step_q // US_PER_S
        if rate > highest:
            raise Refused("limit", [("limit", "start_steps_per_s"), ("value", rate), ("maximum", highest)])

    def prepare_bolus(self, fields):
        self.ready("start_bolus")
        app = self.app
        delivery = app.delivery
        standing = app.alarms.forbids(alarm_table.NO_BOLUS)
        if standing is not None:
            raise Refused("alarm", [("alarm", standing)])
        volume_nl = fields["volume_nl"]
        extended = fields.get("extended", 0)
        if (delivery.extended if extended else delivery.bolus) is not None:
            raise Refused("state", [("what", "one_bolus_at_a_time")])
        self.check_jump(volume_nl, min(self.last_bolus_nl, volume_nl), fields)  # only upwards
        self.check_limit("max_bolus_nl", volume_nl)
        self.check_reservoir(volume_nl)
        duration_s = fields.get("duration_s", 0)
        if extended and not duration_s:
            raise Refused("field", [("field", "duration_s"), ("what", "needed_for_extended")])
        profile, duration_s = self.square(volume_nl, duration_s)
        others = (delivery.basal, delivery.extended if not extended else None)
        if not extended:
            others = (delivery.basal,)  # an immediate bolus holds the extended one
        top = max(profile.top(), div_up(volume_nl * 86_400, duration_s))
        self.check_speed(top, others)

        def execute(number):
            source = EXTENDED if extended else BOLUS
            self.begin(new_order(number, source, volume_nl), "start_bolus", top, 0, profile)
            self.last_bolus_nl = volume_nl

        basal = 0 if delivery.basal is None else delivery.basal.rate_nl_per_day(app.now_us())
        pairs = [
            ("volume_nl", volume_nl),
            ("duration_s", duration_s),
            ("extended", extended),
            ("basal_nl_per_day", basal),
        ]
        tried = (None, None, profile) if extended else (None, profile)
        return pairs + self.supply((fields, 0, volume_nl), *tried), execute

    def check_limit(self, name, value):
        maximum = self.app.values[name]
        if value > maximum:
            raise Refused("limit", [("limit", name), ("value", value), ("maximum", maximum)])

    def square(self, volume_nl, duration_s):
        """(profile, seconds) of a bolus; 0 seconds: as fast as the bolus rate setting says."""
        limits = self.app.delivery.limits
        (name, highest), lowest = self.rate_range()
        if not duration_s:
            fastest = min(self.app.values["bolus_nl_per_day"], highest)
            whole = profiles.volume_at_rate(profiles.quanta(volume_nl), fastest, limits)
            duration_s = div_up(whole.total_us, US_PER_S)
        rate = div_up(volume_nl * 86_400, duration_s)
        profile = profiles.square(profiles.quanta(volume_nl), duration_s * US_PER_S, limits)
        if rate > highest or profile is None or profile.top() > highest:
            raise Refused("limit", [("limit", name), ("value", rate), ("minimum", lowest), ("maximum", highest)])
        if rate < lowest:
            raise Refused(
                "limit", [("limit", "step_period"), ("value", rate), ("minimum", lowest), ("maximum", highest)]
            )
        return profile, duration_s

    # --- one step

    def act_pause(self, fields):
        self.app.pause("host")
        return self._where(*self.app.main_order())

    def act_resume(self, fields):
        app = self.app
        app.machine.check("resume")
        standing = app.alarms.forbids(alarm_table.NO_START)
        if standing is not None:
            raise Refused("alarm", [("alarm", standing)])
        app.resume("host")
        return self._where(*app.main_order())

    def act_cancel_bolus(self, fields):
        number, left_nl = self.app.main_order()
        self.app.cancel_bolus("host")
        return self._where(number, left_nl)

    def act_silence(self, fields):
        app = self.app
        seconds = fields.get("seconds", app.values["silence_s"])
        left_s = app.silence(seconds, "host")
        if not left_s:
            raise Refused("state", [("what", "it_has_to_sound_first")])
        return [("seconds", left_s)]

    def act_ack(self, fields):
        app = self.app
        name = fields.get("alarm")
        if name is not None and name not in [row[alarm_table.NAME] for row in alarm_table.ALARMS]:
            raise Refused("field", [("field", "alarm"), ("what", "unknown")])
        count = app.acknowledge(name)
        return [("state", app.machine.state), ("count", count)]


def _word(why):
    """An advice as one word for the wire."""
    return why.replace(" ", "_").replace(",", "").lower()
