"""Commands: what each message asks for, checked against state, limits and alarms, and carried out by the app.

Owns: the delegate of `proto.session`: answers, prepares, commits, one-step orders. Must not: parse or format lines,
change a state but through `App.fire`, or start anything whose intent is not on the flash.

A prepare returns its normalised values and a plan: (verb, fields, blob, pairs). The commit prepares once more, and
refuses when the world has changed so that other values would come out.
"""

import binascii

from haipump_fw import ports as contract
from haipump_fw.const import const
from haipump_fw.core import alarms as alarm_table
from haipump_fw.core import options, profiles
from haipump_fw.core.machine import NotAllowed
from haipump_fw.core.supervision import limit_raw
from haipump_fw.core.units import QUANTA_PER_FL, QUANTA_PER_NL, STEP_PERIOD_MAX_US, US_PER_S, div_up
from haipump_fw.delivery import (
    BASAL,
    BOLUS,
    EXTENDED,
    HOME,
    JOG,
    KVO,
    PRIME,
    PROGRAMME,
    WITHDRAW,
    end_rate,
    new_order,
    seconds_left,
)
from haipump_fw.proto import programme
from haipump_fw.proto.frame import Refused
from haipump_fw.proto.messages import RESULTS, SOURCES, TELEMETRY_PERIOD_MIN_MS
from haipump_fw.selftest import PRESSURE_RAW_MAX

JUMP = const(10)  # a rate this many times higher or lower than the running one, or a bolus than the last, is a slip
STAIRS_MAX = const(128)  # of one acceleration: more would take too long to work out, and too much memory
_RUNNING = RESULTS.index("running")
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
        self._last_bolus_nl = 0

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

    def answer(self, verb, fields):
        return getattr(self, "_read_" + verb)(fields)

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
        return self._allowed(lambda: getattr(self, "_act_" + verb)(fields))

    def _check_recovered(self, verb):
        """After a start with the service jumper closed a locked pump takes a new key, or unlock, and nothing else."""
        if self.app.recovering and verb not in ("set_key", "unlock"):
            raise Refused("locked", [("what", "set_key_or_unlock_first")])

    def _prepared(self, verb, fields, blob):
        handler = getattr(self, "_" + verb)
        if blob is not None:
            return self._allowed(lambda: handler(fields, blob))
        return self._allowed(lambda: handler(fields))

    def _allowed(self, action):
        """Run an action; what the state table refuses becomes an error with the advice."""
        try:
            return action()
        except NotAllowed as refused:
            raise Refused("state", [("what", _word(refused.why))]) from None

    def _where(self, number, left_nl):
        return [("state", self.app.machine.state), ("order", number), ("left_nl", left_nl)]

    # --- checks that several orders share

    def _ready(self, event):
        """A dose may start: the state allows it, no alarm forbids it, a syringe is loaded and held, storage works."""
        app = self.app
        app.machine.check(event)
        if app.storage.problem is not None:
            raise Refused("storage", [("what", app.storage.problem)])
        standing = app.alarms.forbids(alarm_table.STOP)
        if standing is not None:
            raise Refused("alarm", [("alarm", standing)])
        if not app.syringe_loaded():
            raise Refused("syringe", [("what", "none_loaded")])
        if not app.ports.inputs.read() & contract.IN_CAPTURED:
            raise Refused("syringe", [("what", "not_captured")])

    def _rate_range(self):
        """((limit name, highest nL/day), lowest nL/day) that motor, syringe and settings allow."""
        app = self.app
        limits = app.delivery.limits
        highest = ("motor", limits.maximum * limits.step_q // US_PER_S)
        for name in ("max_rate_nl_per_day", "syringe_max_nl_per_day"):
            if 0 < app.values[name] < highest[1]:
                highest = (name, app.values[name])
        return highest, div_up(limits.step_q, STEP_PERIOD_MAX_US)

    def _check_rate(self, rate):
        (name, highest), lowest = self._rate_range()
        if rate > highest:
            raise Refused("limit", [("limit", name), ("value", rate), ("minimum", lowest), ("maximum", highest)])
        if rate < lowest:
            raise Refused(
                "limit", [("limit", "step_period"), ("value", rate), ("minimum", lowest), ("maximum", highest)]
            )

    def _check_speed(self, rate, others):
        """All sources together stay within the motor's speed, each at its fastest."""
        delivery = self.app.delivery
        total = rate + sum([order.top for order in others if order is not None])
        highest = delivery.limits.maximum * delivery.limits.step_q // US_PER_S
        if total > highest:
            raise Refused("limit", [("limit", "motor"), ("value", total), ("maximum", highest)])

    def _check_jump(self, new, old, fields):
        if old and not fields.get("override") and (new >= JUMP * old or new * JUMP <= old):
            raise Refused("override", [("value", new), ("before", old)])

    def _check_reservoir(self, volume_nl):
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
            self._check_rate(self.app.kvo_after(at_end, rate))

    def _supply(self, basal=None, bolus=None, extended=None):
        """Time to empty with these started, see `App.empty_at`."""
        app = self.app
        empty_s = app.empty_at(app.now_us(), basal, bolus, extended)
        return [
            ("empty_in_s", -1 if empty_s < 0 else max(0, empty_s - app.clock.s)),
            ("reservoir_nl", app.reservoir_nl()),
        ]

    def _begin(self, order, event, top, flags, *new):
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
        if not storage.journal.room():
            storage.write(app.window_us)
        if not storage.record("intent", order.number, order.source, volume_nl, duration_s, flags, abs(order.rate)):
            raise Refused("storage", [("what", storage.problem or "journal")])
        if not storage.write(app.window_us):
            storage.record("result", order.number, order.source, _STOPPED, volume_nl, 0, 0, 0)  # it never began
            raise Refused("storage", [("what", storage.problem or "no_window")])
        app.begin(order, event, *new)

    # --- orders

    def _prepare_rate(self, fields):
        self._ready("start_rate")
        app = self.app
        delivery = app.delivery
        rate = fields["rate_nl_per_day"]
        ramp_s = fields.get("ramp_s", 0)
        vtbi_nl = fields.get("vtbi_nl", 0)
        at_end = fields.get("at_end", "stop")
        self._check_rate(rate)
        now_us = app.now_us()
        basal = delivery.basal
        running = basal.rate_nl_per_day(now_us) if basal is not None and basal.source != KVO else 0
        self._check_jump(rate, running, fields)
        self._check_speed(rate, (delivery.bolus, delivery.extended))
        if vtbi_nl:
            self._check_reservoir(vtbi_nl)
            self._check_kvo(at_end, rate)
        limits = delivery.limits
        present = 0 if basal is None else basal.rate_nl_per_day(now_us)
        speed = 0 if basal is None else delivery.speed_of(basal, now_us)
        if ramp_s and vtbi_nl:
            raise Refused("field", [("field", "ramp_s"), ("what", "not_with_vtbi")])
        if ramp_s:
            self._check_gentle(max(rate, present))
            profile = profiles.Ramp(present, rate, ramp_s, limits.step_q)
        elif vtbi_nl:
            slowing_nl = div_up(profiles.coast(limits, speed).total_q, QUANTA_PER_NL)
            if vtbi_nl < slowing_nl:  # it would be over before the motor has slowed down from the running rate
                raise Refused("limit", [("limit", "accel_steps_per_s2"), ("value", vtbi_nl), ("minimum", slowing_nl)])
            profile = profiles.volume_at_rate(profiles.quanta(vtbi_nl), rate, limits, speed)
        else:
            profile = profiles.rate(rate, limits, speed)

        def execute(number):
            top = max(rate, present) if ramp_s else rate
            self._begin(new_order(number, BASAL, vtbi_nl, rate), "start_rate", top, ramp_s, profile)
            self.app.at_end = at_end
            self.app.changed()

        pairs = [
            ("rate_nl_per_day", rate),
            ("ramp_s", ramp_s),
            ("vtbi_nl", vtbi_nl),
            ("at_end", at_end),
            ("from_nl_per_day", present),
        ]
        return pairs + self._supply(((profile,), app.kvo_after(at_end, rate))), execute

    def _check_gentle(self, rate):
        """Ramps and programmes run only as fast as the motor starts and stops at once."""
        limits = self.app.delivery.limits
        highest = limits.start * limits.step_q // US_PER_S
        if rate > highest:
            raise Refused("limit", [("limit", "start_steps_per_s"), ("value", rate), ("maximum", highest)])

    def _prepare_kvo(self, fields):
        self._ready("start_kvo")
        app = self.app
        basal = app.delivery.basal
        rate = app.values["kvo_nl_per_day"]
        now_us = app.now_us()
        running = 0 if basal is None else basal.rate_nl_per_day(now_us)
        if running:
            rate = min(rate, running)
        self._check_rate(rate)
        speed = app.delivery.speed_of(basal, now_us) if running else 0
        profile = profiles.rate(rate, app.delivery.limits, speed)

        def execute(number):
            self._begin(new_order(number, KVO, 0, rate), "start_kvo", rate, 0, profile)

        return [("rate_nl_per_day", rate)] + self._supply(((profile,), 0)), execute

    def _prepare_bolus(self, fields):
        self._ready("start_bolus")
        app = self.app
        delivery = app.delivery
        standing = app.alarms.forbids(alarm_table.NO_BOLUS)
        if standing is not None:
            raise Refused("alarm", [("alarm", standing)])
        volume_nl = fields["volume_nl"]
        extended = fields.get("extended", 0)
        if (delivery.extended if extended else delivery.bolus) is not None:
            raise Refused("state", [("what", "one_bolus_at_a_time")])
        self._check_jump(volume_nl, min(self._last_bolus_nl, volume_nl), fields)  # only upwards
        self._check_limit("max_bolus_nl", volume_nl)
        self._check_reservoir(volume_nl)
        duration_s = fields.get("duration_s", 0)
        if extended and not duration_s:
            raise Refused("field", [("field", "duration_s"), ("what", "needed_for_extended")])
        profile, duration_s = self._square(volume_nl, duration_s)
        others = (delivery.basal, delivery.extended if not extended else None)
        if not extended:
            others = (delivery.basal,)  # an immediate bolus holds the extended one
        top = max(profile.top(), div_up(volume_nl * 86_400, duration_s))
        self._check_speed(top, others)

        def execute(number):
            source = EXTENDED if extended else BOLUS
            self._begin(new_order(number, source, volume_nl), "start_bolus", top, 0, profile)
            self._last_bolus_nl = volume_nl

        basal = 0 if delivery.basal is None else delivery.basal.rate_nl_per_day(app.now_us())
        pairs = [
            ("volume_nl", volume_nl),
            ("duration_s", duration_s),
            ("extended", extended),
            ("basal_nl_per_day", basal),
        ]
        return pairs + (self._supply(extended=profile) if extended else self._supply(bolus=profile)), execute

    def _check_limit(self, name, value):
        maximum = self.app.values[name]
        if value > maximum:
            raise Refused("limit", [("limit", name), ("value", value), ("maximum", maximum)])

    def _square(self, volume_nl, duration_s):
        """(profile, seconds) of a bolus; 0 seconds: as fast as the bolus rate setting says."""
        limits = self.app.delivery.limits
        (name, highest), lowest = self._rate_range()
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

    def _prepare_programme(self, fields, blob):
        self._ready("start_rate")
        plan = programme.parse(blob)
        rates, boluses, top = self._programme_items(plan)
        basal = self.app.delivery.basal
        present = 0 if basal is None else basal.rate_nl_per_day(self.app.now_us())
        self._check_gentle(max(top, present))
        self._check_speed(top, (self.app.delivery.bolus, self.app.delivery.extended))
        for _, value, _ in rates:
            if value:
                self._check_jump(value, present, fields)
        flow = profiles.Periodic(rates, plan.period_s, plan.repeats, self.app.delivery.limits.step_q)
        pulses = profiles.Pulses(boluses, plan.period_s, plan.repeats)
        volume_nl = (flow.total_q + pulses.total_q) // QUANTA_PER_NL

        def execute(number):
            order = new_order(number, PROGRAMME, 0)
            order.volume_q = flow.total_q + pulses.total_q
            self._begin(order, "start_rate", top, plan.repeats, flow, pulses)
            self.app.at_end = plan.at_end
            self.app.changed()

        pairs = [
            ("items", len(plan.kinds)),
            ("period_s", plan.period_s),
            ("repeats", plan.repeats),
            ("volume_nl", volume_nl),
            ("duration_s", plan.period_s * plan.repeats),
            ("at_end", plan.at_end),
        ]
        kvo = self.app.kvo_after(plan.at_end, end_rate(flow, flow.total_us))
        return pairs + self._supply(((flow, pulses), kvo)), execute

    def _programme_items(self, plan):
        """(rate items, bolus items, highest sum of rates): every item checked against the limits."""
        rates = []
        boluses = []
        top_rate = top_bolus = 0
        for i in range(len(plan.kinds)):
            value = plan.values[i]
            if plan.kinds[i] == programme.BOLUS:
                self._check_limit("max_bolus_nl", value)
                _, duration_s = self._square(value, plan.durations_s[i])
                if boluses and plan.at_s[i] < boluses[-1][0] + boluses[-1][2]:
                    raise Refused("programme", [("item", i + 1), ("what", "overlap")])
                if plan.at_s[i] + duration_s > plan.period_s:
                    raise Refused("programme", [("item", i + 1), ("what", "period")])
                boluses.append((plan.at_s[i], profiles.quanta(value), duration_s))
                top_bolus = max(top_bolus, div_up(value * 86_400, duration_s))
            else:
                if value:
                    self._check_rate(value)
                rates.append((plan.at_s[i], value, plan.durations_s[i]))
                top_rate = max(top_rate, value)
        return rates, boluses, top_rate + top_bolus

    # --- handling the syringe

    def _handle(self):
        self.app.machine.check("start_move")
        if self.app.storage.problem is not None:
            raise Refused("storage", [("what", self.app.storage.problem)])

    def _prepare_prime(self, fields):
        self._ready("start_prime")
        volume_nl = fields["volume_nl"]
        self._check_reservoir(volume_nl)
        return self._prepare_volume(PRIME, "start_prime", volume_nl, "prime_nl_per_day")

    def _prepare_withdraw(self, fields):
        self._handle()
        app = self.app
        if not app.ports.inputs.read() & contract.IN_CAPTURED:
            raise Refused("syringe", [("what", "not_captured")])
        volume_nl = fields["volume_nl"]
        room_nl = app.values["syringe_nl"] - app.reservoir_nl()
        if volume_nl > room_nl:
            raise Refused("reservoir", [("value", volume_nl), ("maximum", max(0, room_nl))])
        return self._prepare_volume(WITHDRAW, "start_withdraw", volume_nl, "withdraw_nl_per_day")

    def _prepare_volume(self, source, event, volume_nl, setting):
        limits = self.app.delivery.limits
        rate = self.app.values[setting]
        highest = limits.maximum * limits.step_q // US_PER_S
        if rate > highest:
            raise Refused("limit", [("limit", "motor"), ("value", rate), ("maximum", highest)])
        profile = profiles.volume_at_rate(profiles.quanta(volume_nl), rate, limits)

        def execute(number):
            self._begin(new_order(number, source, volume_nl, rate), event, rate, 0, profile)

        pairs = [("volume_nl", volume_nl), ("duration_s", div_up(profile.total_us, US_PER_S))]
        return pairs + self._supply(bolus=profile if source == PRIME else None), execute

    def _travel(self, steps):
        """Profile of a move by so many steps (> 0) at jog speed, and its rate."""
        limits = self.app.delivery.limits
        rate = min(self.app.values["jog_steps_per_s"], limits.maximum) * limits.step_q // US_PER_S
        return profiles.volume_at_rate(steps * limits.step_q, rate, limits), rate

    def _prepare_jog(self, fields):
        self._handle()
        steps = fields["steps"]
        if steps == 0:
            raise Refused("range", [("field", "steps"), ("what", "zero")])
        profile, rate = self._travel(abs(steps))

        def execute(number):
            order = new_order(number, JOG, 0, rate if steps > 0 else -rate)
            order.volume_q = abs(steps) * self.app.delivery.limits.step_q
            self._begin(order, "start_move", rate, 0, profile)

        return [("steps", steps), ("duration_s", div_up(profile.total_us, US_PER_S))], execute

    def _prepare_home(self, fields):
        self._handle()
        values = self.app.values
        # Without a measured travel: 150 mm, longer than the stroke of any syringe of the table.
        steps = values["travel_steps"] or 150_000 * values["steps_per_turn"] // values["lead_um"]
        profile, rate = self._travel(steps)

        def execute(number):
            order = new_order(number, HOME, 0, rate)
            order.volume_q = steps * self.app.delivery.limits.step_q
            self._begin(order, "start_move", rate, 0, profile)

        return [("steps_max", steps)], execute

    # --- settings

    def _prepare_syringe(self, fields):
        app = self.app
        app.machine.check("load")
        syringe_nl = fields.get("syringe_nl", fields["reservoir_nl"])
        if fields["reservoir_nl"] > syringe_nl:
            raise Refused("range", [("field", "reservoir_nl"), ("maximum", syringe_nl)])
        changes = {
            "step_fl": fields["step_fl"],
            "bore_um": fields["bore_um"],
            "syringe_nl": syringe_nl,
            "syringe_max_nl_per_day": fields.get("syringe_max_nl_per_day", 0),
        }

        def execute(number):
            # The record comes first, the commit last: a start finds from their order that the power went in between.
            record = ("syringe", fields["reservoir_nl"], fields["step_fl"], fields["bore_um"], syringe_nl)
            life = app.ledger.life_at_loading(app.unseen_total())
            if not app.storage.record(*record, *life) or not app.storage.write(app.window_us):
                raise Refused("storage", [("what", app.storage.problem or "no_window")])
            self._save(changes)
            app.delivery.account()
            unseen = app.unseen_total()
            app.forget_unseen()
            app.ledger.new_syringe(fields["step_fl"], fields["reservoir_nl"], app.delivery.net_steps, unseen)
            app.syringe_was_loaded()
            app.commit()
            stored = app.storage.write(app.window_us)
            app.refresh()
            if not stored:
                raise Refused("storage", [("what", app.storage.problem or "no_window")])

        step_max = app.values["max_steps_per_s"] * fields["step_fl"] * QUANTA_PER_FL // US_PER_S
        pairs = [("reservoir_nl", fields["reservoir_nl"])]
        pairs += [(name, changes[name]) for name in ("step_fl", "bore_um", "syringe_nl", "syringe_max_nl_per_day")]
        return pairs + [("step_max_nl_per_day", step_max)], execute

    def _prepare_limits(self, fields):
        app = self.app
        self._check_sensor(fields)
        flow = app.delivery.flow_nl_per_day(app.now_us())
        if fields.get("max_rate_nl_per_day", flow) < flow:
            raise Refused("range", [("field", "max_rate_nl_per_day"), ("minimum", flow), ("what", "running")])
        return self._prepare_values(fields, "limits", "adjust")

    def _check_sensor(self, fields):
        """The occlusion limit lies where the pressure sensor can still tell it from a short circuit."""
        values = dict(self.app.values)
        values.update(fields)
        if limit_raw(values) > PRESSURE_RAW_MAX:
            highest = (PRESSURE_RAW_MAX - values["pressure_zero_raw"]) * values["pressure_full_pa"]
            highest //= values["pressure_span_raw"]
            raise Refused("range", [("field", "occlusion_pa"), ("maximum", highest), ("what", "sensor")])

    def _prepare_calibration(self, fields):
        return self._prepare_values(fields, "calibration", "calibrate")

    def _prepare_values(self, fields, group, event):
        self.app.machine.check(event)
        pairs = [
            (row[options.NAME], fields.get(row[options.NAME], self.app.values[row[options.NAME]]))
            for row in options.rows(group)
        ]
        return pairs, self._saver(fields)

    def _prepare_settings(self, fields):
        app = self.app
        app.machine.check("adjust")
        values = dict(app.values)
        values.update(fields)
        if values["start_steps_per_s"] > values["max_steps_per_s"]:
            raise Refused("range", [("field", "start_steps_per_s"), ("maximum", values["max_steps_per_s"])])
        rise = max(1, values["accel_steps_per_s2"] * profiles.STAIR_US // US_PER_S)
        if values["max_steps_per_s"] - values["start_steps_per_s"] > STAIRS_MAX * rise:
            stair = div_up(values["max_steps_per_s"] - values["start_steps_per_s"], STAIRS_MAX)
            lowest = div_up(stair * US_PER_S, profiles.STAIR_US)
            raise Refused("range", [("field", "accel_steps_per_s2"), ("minimum", lowest)])
        self._check_sensor(fields)
        motor = ("start_steps_per_s", "accel_steps_per_s2", "max_steps_per_s")
        if app.delivery.moving() and [name for name in motor if name in fields]:
            raise Refused("state", [("what", "stop_first")])
        return [("changed", len(fields))], self._saver(fields)

    def _saver(self, fields):
        if not fields:
            raise Refused("field", [("what", "none")])

        def execute(number):
            self._save(dict(fields))

        return execute

    def _save(self, changes, key=None):
        """Settings to flash, then into force."""
        app = self.app
        was = app.values["step_fl"]
        if not app.storage.save(changes, app.window_us, key):
            raise Refused("storage", [("what", app.storage.problem or "settings")])
        app.values = app.storage.settings.values
        app.storage.record("settings", app.storage.settings.generation, len(changes))
        app.delivery.account()
        if app.values["step_fl"] != was:
            unseen = app.unseen_total()
            app.forget_unseen()
            app.ledger.recalibrate(app.values["step_fl"], app.delivery.net_steps, unseen)
        app.refresh()
        if app.values["step_fl"] != was:
            app.commit()  # with the fraction that is given up

    # --- one step

    def _act_pause(self, fields):
        self.app.pause("host")
        return self._where(*self.app.main_order())

    def _act_resume(self, fields):
        app = self.app
        app.machine.check("resume")
        standing = app.alarms.forbids(alarm_table.STOP)
        if standing is not None:
            raise Refused("alarm", [("alarm", standing)])
        app.resume("host")
        return self._where(*app.main_order())

    def _act_cancel_bolus(self, fields):
        number, left_nl = self.app.main_order()
        self.app.cancel_bolus("host")
        return self._where(number, left_nl)

    def _act_refill(self, fields):
        app = self.app
        event = "begin_refill" if fields["phase"] == "begin" else "end_refill"
        app.machine.check(event)
        app.refill_begun = fields["phase"] == "begin"
        app.fire(event, "host")
        return [("state", app.machine.state)]

    def _act_silence(self, fields):
        app = self.app
        seconds = fields.get("seconds", app.values["silence_s"])
        app.alarms.silence(app.clock.s, seconds)
        return [("seconds", seconds)]

    def _act_ack(self, fields):
        app = self.app
        name = fields.get("alarm")
        if name is not None and name not in [row[alarm_table.NAME] for row in alarm_table.ALARMS]:
            raise Refused("field", [("field", "alarm"), ("what", "unknown")])
        count = app.acknowledge(name)
        return [("state", app.machine.state), ("count", count)]

    def _act_selftest(self, fields):
        app = self.app
        app.machine.check("selftest")
        app.fire("selftest", "host")
        return [("result", app.self_test()), ("state", app.machine.state)]

    def _act_service(self, fields):
        app = self.app
        app.machine.check("service")
        app.fire("service", "host")
        app.leave_for_service = True  # after the answer has gone out
        return [("state", app.machine.state)]

    def _act_set_key(self, fields):
        app = self.app
        if not app.was_serviced or app.machine.state != "stopped":
            raise Refused("key")
        key = binascii.unhexlify(fields["key"])
        if app.values["locked"] and not any(key):
            raise Refused("key", [("what", "zeros_delete_it_unlock_first")])
        self._save({}, key)
        app.session.key = app.storage.settings.key
        return self._settle_lock()

    def _act_lock(self, fields):
        if self.app.session.key is None:
            raise Refused("key", [("what", "no_key_set")])
        return self._set_locked(1)

    def _act_unlock(self, fields):
        return self._set_locked(0)

    def _set_locked(self, locked):
        self._save({"locked": locked})
        return self._settle_lock()

    def _settle_lock(self):
        app = self.app
        app.recovering = False
        app.session.locked = bool(app.values["locked"])
        return [("locked", app.values["locked"])]

    # --- answers

    def _read_hello(self, fields):
        return [("firmware", self.app.version)]

    def _read_info(self, fields):
        system = self.app.ports.system
        return [
            ("firmware", self.app.version),
            ("protocol", self.app.protocol),
            ("interpreter", system.interpreter),
            ("app_hash", system.app_hash),
            ("board", system.board),
            ("heap_free", system.heap_free()),
            ("reset", self.app.reset_cause),
        ]

    def _read_status(self, fields):
        app = self.app
        delivery = app.delivery
        now_us = app.now_us()
        _, booked = app.running_dose()
        number, _ = app.main_order()
        top = app.alarms.top()
        return [
            ("state", app.machine.state),
            ("order", number),
            ("basal_nl_per_day", 0 if delivery.basal is None else delivery.basal.rate_nl_per_day(now_us)),
            ("flow_nl_per_day", delivery.flow_nl_per_day(now_us)),
            ("bolus_left_nl", app.left_nl(delivery.bolus)),
            ("extended_left_nl", app.left_nl(delivery.extended)),
            ("delivered_nl", app.ledger.stepped_nl(booked)),
            ("reservoir_nl", app.reservoir_nl()),
            ("empty_in_s", app.empty_in_s()),
            ("alarm", alarm_table.ALARMS[top][alarm_table.NAME] if top >= 0 else "none"),
        ]

    def _read_sensors(self, fields):
        app = self.app
        sensors = app.ports.sensors
        inputs = app.ports.inputs.read()
        app.supervision.pressure(sensors.pressure_raw())
        app.delivery.account()
        bits = (
            ("front", contract.IN_FRONT),
            ("back", contract.IN_BACK),
            ("captured", contract.IN_CAPTURED),
            ("diag", contract.IN_DIAG),
            ("service", contract.IN_SERVICE),
        )
        return (
            [
                ("pressure_pa", app.supervision.pressure_pa()),
                ("encoder_steps", app.supervision.confirmed_steps),
                ("supply_mv", sensors.supply_mv()),
                ("temperature_mc", sensors.temperature_mc()),
            ]
            + [(name, 1 if inputs & bit else 0) for name, bit in bits]
            + [
                ("enabled", 1 if app.ports.motor.enabled() else 0),
                ("uncertain", 1 if app.delivery.uncertain else 0),
            ]
        )

    def _read_totals(self, fields):
        app = self.app
        app.now_us()
        app.look_at_shaft()
        planned_q, booked = app.running_dose()
        ledger = app.ledger
        stepped = ledger.stepped_nl(booked)
        return [
            ("commanded_nl", ledger.commanded_nl(planned_q)),
            ("stepped_nl", stepped),
            ("stepped_min_nl", stepped),
            ("stepped_max_nl", stepped + ledger.unsure_nl),
            ("confirmed_nl", app.confirmed_nl(booked)),
            ("primed_nl", ledger.primed_nl),
            ("withdrawn_nl", ledger.withdrawn_nl),
        ]

    def _read_lifetime(self, fields):
        app = self.app
        app.now_us()
        app.look_at_shaft()
        planned_q, booked = app.running_dose()
        ledger = app.ledger
        total = ledger.life_total_nl(booked)
        return [
            ("commanded_nl", ledger.life_commanded_nl + ledger.commanded_nl(planned_q)),
            ("stepped_nl", total),
            ("stepped_min_nl", total),
            ("stepped_max_nl", total + ledger.unsure_nl),
            ("confirmed_nl", ledger.life_confirmed_nl + app.confirmed_nl(booked)),
            ("lost_steps", app.ledger.lost_steps + app.unseen_total()),
            ("orders", app.ledger.orders),
            ("boots", app.storage.boot),
        ]

    def _read_order(self, fields):
        app = self.app
        now_us = app.now_us()
        app.look_at_shaft()
        app.running_dose()
        number = fields.get("id", app.main_order()[0])
        for order in app.delivery.orders():
            if order.number == number and number:
                return [
                    ("order", number),
                    ("source", SOURCES[order.source]),
                    ("result", RESULTS[_RUNNING]),
                    ("planned_nl", order.volume_q // QUANTA_PER_NL),
                    ("commanded_nl", app.delivery.planner.planned_nl(order, now_us)),
                    ("stepped_nl", app.ledger.nl(order.booked)),
                    ("confirmed_nl", app.confirmed_of(order)),
                    ("left_nl", app.left_nl(order)),
                    ("elapsed_s", max(0, (now_us - order.begun_us) // US_PER_S)),
                    ("left_s", seconds_left(order, now_us)),
                ]
        for done in reversed(app.finished):
            if done.number == number:
                return [
                    ("order", number),
                    ("source", SOURCES[done.source]),
                    ("result", RESULTS[done.result]),
                    ("planned_nl", done.planned_nl),
                    ("commanded_nl", done.commanded_nl),
                    ("stepped_nl", done.stepped_nl),
                    ("confirmed_nl", done.confirmed_nl),
                    ("left_nl", max(0, done.planned_nl - done.commanded_nl)),
                    ("elapsed_s", done.elapsed_s),
                    ("left_s", 0),
                ]
        raise Refused("range", [("field", "id"), ("what", "no_such_order")])

    def _read_alarms(self, fields):
        app = self.app
        listed = app.alarms.listed()
        at = fields.get("index", 0)
        silence_s = max(0, app.alarms.silent_until_s - app.clock.s)
        head = [("count", len(listed)), ("index", at)]
        if at >= len(listed):
            return head + [
                ("alarm", "none"),
                ("priority", "none"),
                ("phase", "clear"),
                ("age_s", 0),
                ("silence_s", silence_s),
            ]
        i = listed[at]
        row = alarm_table.ALARMS[i]
        return head + [
            ("alarm", row[alarm_table.NAME]),
            ("priority", alarm_table.PRIORITIES[row[alarm_table.PRIORITY]]),
            ("phase", alarm_table.PHASES[app.alarms.phase[i]]),
            ("age_s", app.clock.s - app.alarms.since_s[i]),
            ("silence_s", silence_s),
        ]

    def _values(self, *groups):
        return [
            (row[options.NAME], self.app.values[row[options.NAME]]) for group in groups for row in options.rows(group)
        ]

    def _read_limits(self, fields):
        (_, highest), lowest = self._rate_range()
        return self._values("limits") + [("step_max_nl_per_day", highest), ("rate_min_nl_per_day", lowest)]

    def _read_calibration(self, fields):
        return self._values("calibration", "syringe")

    def _read_settings(self, fields):
        for row in options.OPTIONS:
            if row[options.NAME] == fields["name"]:
                return [
                    ("name", row[options.NAME]),
                    ("value", self.app.values[row[options.NAME]]),
                    ("minimum", row[options.MINIMUM]),
                    ("maximum", row[options.MAXIMUM]),
                    ("default", row[options.DEFAULT]),
                ]
        raise Refused("field", [("field", "name"), ("what", "unknown")])

    def _read_log(self, fields):
        journal = self.app.storage.journal
        seq = max(fields["seq"], journal.first_seq)
        data = b""
        count = 0
        for number in range(seq, min(seq + fields.get("count", 2), journal.last_seq + 1)):
            record = journal.read(number)
            if record is None:
                break
            data += record
            count += 1
        pairs = [("seq", seq), ("count", count), ("first", journal.first_seq), ("last", journal.last_seq)]
        if count:
            pairs.append(("data", binascii.b2a_base64(data).strip().decode()))
        return pairs

    def _read_clock(self, fields):
        clock = self.app.clock
        clock.update()
        return [("boot", self.app.storage.boot), ("uptime_s", clock.s), ("uptime_us", clock.us)]

    def _read_telemetry(self, fields):
        if 0 < fields["period_ms"] < TELEMETRY_PERIOD_MIN_MS:
            raise Refused("range", [("field", "period_ms"), ("minimum", TELEMETRY_PERIOD_MIN_MS)])
        self.app.set_telemetry(fields["period_ms"])
        return [("period_ms", fields["period_ms"])]


def _word(why):
    """An advice as one word for the wire."""
    return why.replace(" ", "_").replace(",", "").lower()
