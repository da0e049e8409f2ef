"""Answers: what each message that only reads is told, and the telemetry event.

Owns: which figures are shown under which name; what is rarely asked is in `enquiries`. Must not: change anything but
the telemetry's period.
"""

import binascii

from haipump_fw.core import alarms as alarm_table
from haipump_fw.core.units import QUANTA_PER_NL, US_PER_S
from haipump_fw.delivery import seconds_left
from haipump_fw.proto.frame import Refused
from haipump_fw.proto.messages import RESULTS, SOURCES, TASKS, TELEMETRY_PERIOD_MIN_MS

_RUNNING = RESULTS.index("running")


class Answers:
    """`read_VERB(fields)` returns the pairs of the answer."""

    def __init__(self, app):
        self.app = app

    def read_hello(self, fields):
        return [("firmware", self.app.version)]

    def read_info(self, fields):
        system = self.app.ports.system
        return [
            ("firmware", self.app.version),
            ("protocol", self.app.protocol),
            ("interpreter", system.interpreter),
            ("app_hash", system.app_hash),
            ("board", system.board),
            ("heap_free", system.heap_free()),
            ("reset", self.app.reset_cause),
            ("task", TASKS[self.app.reset_task]),
            ("forged", self.app.session.forged),
            ("wrong", self.app.session.wrong),
        ]

    def read_status(self, fields):
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
            ("empty_in_s", app.forecast.empty_in_s()),
            ("alarm", alarm_table.ALARMS[top][alarm_table.NAME] if top >= 0 else "none"),
        ]

    def read_totals(self, fields):
        app = self.app
        app.now_us()
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

    def read_order(self, fields):
        app = self.app
        now_us = app.now_us()
        app.running_dose()
        number = fields.get("id", app.main_order()[0])
        for order in app.delivery.planner.orders:
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

    def read_alarms(self, fields):
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
            ("priority", alarm_table.PRIORITIES[app.alarms.level[i]]),
            ("phase", alarm_table.PHASES[app.alarms.phase[i]]),
            ("age_s", app.clock.s - app.alarms.since_s[i]),
            ("silence_s", silence_s),
        ]

    def read_log(self, fields):
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

    def read_clock(self, fields):
        clock = self.app.clock
        clock.update()
        return [("boot", self.app.storage.boot), ("uptime_s", clock.s), ("uptime_us", clock.us)]

    def read_telemetry(self, fields):
        if 0 < fields["period_ms"] < TELEMETRY_PERIOD_MIN_MS:
            raise Refused("range", [("field", "period_ms"), ("minimum", TELEMETRY_PERIOD_MIN_MS)])
        self.app.set_telemetry(fields["period_ms"])
        return [("period_ms", fields["period_ms"])]

    def telemetry(self):
        """What a `tele` event tells."""
        app = self.app
        now_us = app.clock.now_us()
        _, booked = app.running_dose()
        top = app.alarms.top()
        return [
            ("uptime_s", app.clock.s),
            ("state", app.machine.state),
            ("flow_nl_per_day", app.delivery.flow_nl_per_day(now_us)),
            ("delivered_nl", app.ledger.stepped_nl(booked)),
            ("pressure_pa", app.supervision.pressure_pa()),
            ("reservoir_nl", app.reservoir_nl()),
            ("confirmed_nl", app.confirmed_nl(booked)),
            ("empty_in_s", app.forecast.empty_in_s()),
            ("bolus_left_nl", app.left_nl(app.delivery.bolus)),
            ("alarm", alarm_table.ALARMS[top][alarm_table.NAME] if top >= 0 else "none"),
        ]
