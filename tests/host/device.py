"""A pump in memory for tests of the host: the firmware's own session over a small app, and a line that can be broken.

Owns: `FakeApp` (orders without a motor: time makes them progress), `FakePump` (boots, forgets, remembers what flash
would), `Line` (a Transport in virtual time with faults). It does not model mechanics, alarms by themselves, or limits.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Callable
from dataclasses import dataclass

from haipump.errors import PortMissing
from haipump.protocol.schema import MESSAGES
from haipump.transport import Disconnected
from haipump_fw.core.options import OPTIONS
from haipump_fw.proto import messages
from haipump_fw.proto.frame import Refused
from haipump_fw.proto.messages import SOURCES
from haipump_fw.proto.session import Session

RESERVE = 64
FIRST_RECORD = 2  # older ones have been overwritten


@dataclass
class FakeOrder:
    id: int
    source: str
    planned_nl: int
    began_s: float
    lasts_s: int  # -1: without end
    result: str = "running"
    stepped_nl: int = 0


class FakeApp:
    """`executed` lists everything that was carried out, once per execution: (verb, order id, fields)."""

    def __init__(self, pump: FakePump) -> None:
        self.pump = pump
        self.state = "stopped"
        self.basal = 0
        self.bolus: FakeOrder | None = None
        self.telemetry_ms = 0

    def now_s(self) -> int:
        return int(self.pump.now_s - self.pump.booted_s)

    def state_name(self) -> str:
        return self.state

    def nonce(self) -> str:
        self.pump.sessions += 1
        return f"{self.pump.boots:08x}{self.pump.sessions:08x}"

    def reserve(self, id: int) -> None:
        if id > self.pump.reserved:
            self.pump.reserved = id + RESERVE

    def stop_now(self) -> None:
        self._stop()

    def stop(self):
        self._stop()
        return [("state", self.state), ("order", 0), ("left_nl", 0)]

    def _stop(self) -> None:
        self.settle()
        self.basal = 0
        for order in self.pump.orders.values():
            if order.result == "running":
                order.result = "stopped"
        if self.state not in ("refill", "alarm"):
            self.state = "stopped"
        self.pump.executed.append(("stop", 0, {}))

    def settle(self) -> None:
        """Bring all orders to the present."""
        for order in self.pump.orders.values():
            if order.result != "running" or order.lasts_s < 0:
                continue
            ran = self.pump.now_s - order.began_s
            order.stepped_nl = min(order.planned_nl, int(order.planned_nl * ran / max(order.lasts_s, 1)))
            if ran >= order.lasts_s:
                order.result = "complete"
                if self.state in ("bolus", "priming", "withdrawing", "moving"):
                    self.state = "infusing" if self.basal else "stopped"

    def left(self, source: str) -> int:
        return sum(
            order.planned_nl - order.stepped_nl
            for order in self.pump.orders.values()
            if order.source == source and order.result == "running"
        )

    # --- reads

    def answer(self, verb: str, fields: dict):
        self.settle()
        if verb == "hello":
            return [("firmware", "0.1.0")]  # the session knows the rest
        given = getattr(self, "read_" + verb, None)
        values = given(fields) if given else {}
        message = MESSAGES[verb]
        return [
            (name, values.get(name, "x" if form in ("word", "hex") else 0))
            for name, form in message.answer.items()
            if name in values or name not in message.optional_answer
        ]

    def read_status(self, fields):
        return {
            "state": self.state,
            "basal_nl_per_day": self.basal,
            "flow_nl_per_day": self.basal if self.state != "paused" else 0,
            "bolus_left_nl": self.left("bolus"),
            "extended_left_nl": self.left("extended"),
            "delivered_nl": 1_500_000,
            "reservoir_nl": self.pump.reservoir_nl,
            "empty_in_s": self.pump.reservoir_nl * 86_400 // self.basal if self.basal else -1,
            "alarm": self.pump.alarms[0] if self.pump.alarms else "none",
        }

    def read_order(self, fields):
        id = fields.get("id", max(self.pump.orders, default=0))
        order = self.pump.orders.get(id)
        if order is None or (self.pump.forgets and order.result == "reset"):
            raise Refused("range", [("field", "id")])
        elapsed = int(self.pump.now_s - order.began_s)
        return {
            "order": order.id,
            "source": order.source,
            "result": order.result,
            "planned_nl": order.planned_nl,
            "commanded_nl": order.stepped_nl,
            "stepped_nl": order.stepped_nl,
            "confirmed_nl": order.stepped_nl,
            "left_nl": order.planned_nl - order.stepped_nl,
            "elapsed_s": elapsed,
            "left_s": -1 if order.lasts_s < 0 else max(0, order.lasts_s - elapsed),
        }

    def read_alarms(self, fields):
        index, names = fields.get("index", 0), self.pump.alarms
        if index >= len(names):
            return {"count": len(names), "alarm": "none", "priority": "none", "phase": "clear"}
        return {"count": len(names), "index": index, "alarm": names[index], "priority": "high", "phase": "active"}

    def read_settings(self, fields):
        for _, name, minimum, maximum, default, _ in OPTIONS:
            if name == fields["name"]:
                value = self.pump.settings.get(name, default)
                return {"name": name, "value": value, "minimum": minimum, "maximum": maximum, "default": default}
        raise Refused("field", [("field", "name")])

    def read_limits(self, fields):
        return {name: self.pump.settings[name] for name in MESSAGES["prepare_limits"].request} | {
            "step_max_nl_per_day": 39_942_000_000,
            "rate_min_nl_per_day": 39_943,
        }

    def read_dose(self, fields):
        found = {name: self.pump.settings[name] for name in MESSAGES["prepare_dose"].request if name != "drug"}
        return found | {"drug": self.pump.drug, "loaded": 1, "used_nl": 0, "wait_s": 0, "refusals": 0}

    def read_library(self, fields):
        return {"library": "0", "required": 0}

    def read_calibration(self, fields):
        return {name: self.pump.settings[name] for name in MESSAGES["calibration"].answer}

    def read_log(self, fields):
        first, journal = FIRST_RECORD, self.pump.journal
        seq = max(fields["seq"], first)
        found = []
        for data in journal[seq : seq + fields.get("count", 1)]:
            if not data:
                break  # damaged
            found.append(data)
        values = {"seq": seq, "count": len(found), "first": first, "last": len(journal) - 1}
        return values | ({"data": b"".join(found)} if found else {})

    def read_telemetry(self, fields):
        self.telemetry_ms = fields["period_ms"]
        return {"period_ms": self.telemetry_ms}

    def read_info(self, fields):
        return {
            "firmware": "0.1.0",
            "interpreter": "cpython-3.11",
            "app_hash": "0",
            "board": "fake",
            "reset": "power",
            "task": "none",
        }

    def read_sensors(self, fields):
        return {"pressure_pa": 4_200, "supply_mv": 12_000, "temperature_mc": 23_500, "captured": 1}

    def read_totals(self, fields):
        return {"commanded_nl": 1_500_100, "stepped_nl": 1_500_000, "stepped_min_nl": 1_500_000,
                "stepped_max_nl": 1_500_000, "confirmed_nl": 1_499_800}  # fmt: skip

    # --- changes

    def prepare(self, verb: str, fields: dict, blob):
        if verb in self.pump.refuse:
            raise Refused(*self.pump.refuse[verb])
        values = {name: value for name, value in fields.items() if name in MESSAGES[verb].answer}
        if verb == "prepare_rate":
            values = {"ramp_s": 0, "vtbi_nl": 0, "at_end": "stop", "from_nl_per_day": self.basal} | values
        elif verb == "prepare_bolus":
            values = {"extended": 0, "duration_s": 600, "basal_nl_per_day": self.basal} | values
        elif verb == "prepare_programme":
            values |= self._programme(blob)
        elif verb in ("prepare_prime", "prepare_withdraw", "prepare_jog"):
            values["duration_s"] = 60
        answer = {
            name: form for name, form in MESSAGES[verb].answer.items() if name not in ("token", "valid_s", "hash")
        }
        values = {name: self.pump.settings[name] for name in answer if name in self.pump.settings} | values
        values |= self.pump.misread
        optional = MESSAGES[verb].optional_answer
        answer = {name: form for name, form in answer.items() if name in values or name not in optional}
        pairs = [(name, values.get(name, "x" if form == "word" else 0)) for name, form in answer.items()]
        return pairs, (verb, fields, dict(pairs))

    @staticmethod
    def _programme(blob: bytes):
        lines = blob.decode().splitlines()
        period_s, repeats = int(lines[1].split()[1]), int(lines[2].split()[1])
        rate, boluses = int(lines[4].split()[2]), [line.split() for line in lines[5:]]
        volume = (rate * period_s // 86_400 + sum(int(words[2]) for words in boluses)) * repeats
        return {"items": len(lines) - 4, "period_s": period_s, "repeats": repeats, "volume_nl": volume,
                "duration_s": period_s * repeats, "at_end": lines[3].split()[1]}  # fmt: skip

    def commit(self, plan, order_id: int):
        verb, fields, values = plan
        self.settle()
        order = 0
        if verb in ("prepare_limits", "prepare_dose", "prepare_calibration", "prepare_settings", "prepare_syringe"):
            self.pump.drug = fields.get("drug", self.pump.drug)
            self.pump.settings.update({name: v for name, v in fields.items() if name in self.pump.settings})
            self.pump.reservoir_nl = fields.get("reservoir_nl", self.pump.reservoir_nl)
        else:
            order = order_id
            self._start(verb, fields, values, order_id)
        self.pump.executed.append((verb, order_id, fields))
        return [("state", self.state), ("order", order)]

    def _start(self, verb, fields, values, id):
        source, state = {
            "prepare_rate": ("basal", "infusing"),
            "prepare_kvo": ("kvo", "kvo"),
            "prepare_programme": ("programme", "infusing"),
            "prepare_bolus": ("extended" if fields.get("extended") else "bolus", "bolus"),
            "prepare_prime": ("prime", "priming"),
            "prepare_withdraw": ("withdraw", "withdrawing"),
            "prepare_jog": ("jog", "moving"),
            "prepare_home": ("home", "moving"),
        }[verb]
        if source == "basal":
            self.basal = fields["rate_nl_per_day"]
        planned = fields.get("volume_nl", fields.get("vtbi_nl", values.get("volume_nl", 0)))
        lasts = values.get("duration_s", -1)
        if source == "basal" and planned:
            lasts = planned * 86_400 // self.basal
        self.pump.orders[id] = FakeOrder(id, source, planned, self.pump.now_s, lasts)
        flags, rate_nl_per_day = 0, self.basal if source == "basal" else 0
        self.pump.record("intent", id, SOURCES.index(source), planned, max(lasts, 0), flags, rate_nl_per_day, 1)
        self.state = state

    def act(self, verb: str, fields: dict, order_id: int):
        if verb in self.pump.refuse:
            raise Refused(*self.pump.refuse[verb])
        self.settle()
        self.pump.executed.append((verb, order_id, fields))
        given = getattr(self, "act_" + verb, None)
        if given:
            given(fields)
        values = {"state": self.state, "result": "passed", "seconds": fields.get("seconds", 120)}
        values["count"] = 1
        values["locked"] = int(self.pump.locked)
        return [(name, values.get(name, 0)) for name in MESSAGES[verb].answer]

    def act_pause(self, fields):
        self.state = "paused"

    def act_resume(self, fields):
        self.state = "infusing"

    def act_cancel_bolus(self, fields):
        for order in self.pump.orders.values():
            if order.source in ("bolus", "extended") and order.result == "running":
                order.result = "stopped"
        self.state = "infusing" if self.basal else "stopped"

    def act_refill(self, fields):
        self.state = "refill" if fields["phase"] == "begin" else "stopped"

    def act_ack(self, fields):
        self.pump.alarms.clear()

    def act_lock(self, fields):
        self._lock(True)

    def act_unlock(self, fields):
        self._lock(False)

    def act_set_key(self, fields):
        self.pump.key = self.pump.session.key = bytes.fromhex(fields["key"])

    def _lock(self, on: bool) -> None:
        self.pump.locked = self.pump.session.locked = on


class FakePump:
    """Survives restarts: orders, settings, ids, key. `refuse`: {verb: (code, pairs)}; `misread`: what it gets wrong."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.booted_s = 0.0
        self.boots = 0
        self.reserved = 0
        self.key: bytes | None = None
        self.locked = False
        self.settings = {row[1]: row[4] for row in OPTIONS}
        self.drug = "none"  # of the dose limits
        self.reservoir_nl = 30_000_000
        self.orders: dict[int, FakeOrder] = {}
        self.executed: list[tuple[str, int, dict]] = []
        self.alarms: list[str] = []
        self.refuse: dict[str, tuple] = {}
        self.misread: dict[str, int] = {}
        self.device = "e66058388353"
        self.forgets = False  # ended orders, over a restart; the journal does not
        self.journal: list[bytes] = [b""] * FIRST_RECORD
        self.restart()

    def record(self, name: str, *values: int) -> None:
        """Append to the journal, in the layout that `store.records` documents."""
        kind, _, form, _ = next(row for row in messages.RECORDS if row[1] == name)
        data = struct.pack("<BBHII", kind, 1, self.boots, len(self.journal), int(self.now_s))
        data = (data + struct.pack(form, *values)).ljust(60, b"\0")
        self.journal.append(data + struct.pack("<I", crc32(data)))

    sessions = 0

    def restart(self) -> None:
        """Power off and on."""
        for order in self.orders.values():
            if order.result == "running":
                order.result = "reset"
        self.boots += 1
        self.record("boot", self.boots, 0, 0, 0)
        self.booted_s = self.now_s
        self.app = FakeApp(self)
        self.session = Session(self.app, self.device, self.boots, self.reserved + 1, self.key, self.locked)
        self.session.event(
            "boot",
            [
                ("boot", self.boots),
                ("reset", "power"),
                ("task", "none"),
                ("state", "stopped"),
                ("order", 0),
                ("left_nl", 0),
            ],
        )

    def take(self, data: bytes) -> None:
        for at in range(0, len(data), 64):
            piece = data[at : at + 64]
            self.session.bytes_in(piece, len(piece))
            while self.session.work():
                pass

    def give(self) -> bytes:
        out = bytearray()
        while self.session.work() or self.session.peek_byte() >= 0:
            self.session.send(lambda buf, first, last: out.extend(buf[first:last]) or last - first, 4_096)
        return bytes(out)

    def orders_executed(self) -> list[str]:
        """What was carried out, without stops."""
        return [verb for verb, _, _ in self.executed if verb != "stop"]


Fault = Callable[["Line", bytes], list[bytes]]


class Line:
    """A Transport to a FakePump in virtual time. `to_pump` and `to_host` are fault plans: functions that get each
    transmitted line and return what arrives instead (nothing, other bytes, several)."""

    def __init__(self, pump: FakePump) -> None:
        self.name = "memory"
        self.pump = pump
        self.is_open = False
        self.plugged = True
        self.to_pump: Fault | None = None
        self.to_host: Fault | None = None
        self.sent: list[bytes] = []
        self._inbox = bytearray()
        self._late: list[tuple[float, bytes]] = []

    def open(self) -> None:
        if not self.plugged:
            raise PortMissing("there is no port memory")
        self.is_open = True
        self._inbox.clear()

    def close(self) -> None:
        self.is_open = False

    def now(self) -> float:
        return self.pump.now_s

    def sleep(self, seconds: float) -> None:
        self._advance(self.pump.now_s + seconds)

    def later(self, delay_s: float, data: bytes) -> None:
        """Bytes that reach the pump after a while; in order, so what is sent meanwhile arrives behind them."""
        self._late.append((max([self.pump.now_s + delay_s, *(at for at, _ in self._late)]), data))

    def unplug(self, for_s: float | None = None) -> None:
        self.plugged = self.is_open = False
        self._back_s = None if for_s is None else self.pump.now_s + for_s

    def write(self, data: bytes) -> None:
        self._check()
        for line in data.splitlines(keepends=True):
            self.sent.append(line)
            for arriving in self.to_pump(self, line) if self.to_pump else [line]:
                if self._late:
                    self.later(0, arriving)
                else:
                    self.pump.take(arriving)
            self._collect()
        self._check()

    def read(self, timeout_s: float) -> bytes:
        self._check()
        self._collect()
        if not self._inbox:
            due = [at for at, _ in self._late if at <= self.pump.now_s + timeout_s]
            self._advance(min(due) if due else self.pump.now_s + timeout_s)
            self._collect()
        self._check()
        data = bytes(self._inbox)
        self._inbox.clear()
        return data

    def _advance(self, to_s: float) -> None:
        self.pump.now_s = max(self.pump.now_s, to_s)
        due = [item for item in self._late if item[0] <= self.pump.now_s]
        self._late = [item for item in self._late if item[0] > self.pump.now_s]
        for _, data in due:
            self.pump.take(data)
        if not self.plugged and self._back_s is not None and self.pump.now_s >= self._back_s:
            self.plugged = True

    _back_s: float | None = None

    def _collect(self) -> None:
        for line in self.pump.give().splitlines(keepends=True):
            for arriving in self.to_host(self, line) if self.to_host else [line]:
                self._inbox += arriving

    def _check(self) -> None:
        if not self.is_open:
            raise Disconnected("unplugged")


def once(change: Fault, verb: bytes = b"", skip: int = 0) -> Fault:
    """A fault that strikes one line that contains `verb` (after `skip` others), and lets all others pass."""
    struck = [skip]

    def fault(line: Line, data: bytes) -> list[bytes]:
        if struck[0] >= 0 and verb in data:
            struck[0] -= 1
            if struck[0] < 0:
                return change(line, data)
        return [data]

    return fault
