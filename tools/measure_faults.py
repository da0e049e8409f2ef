"""Every single-byte fault in one line of every message, against the whole pump on the direct core.

Owns: the situations, the lines, the faults, and the comparison of what the pump did with what was sent. Must not: judge
a count; it returns them.

A line is sent with one byte changed (each of its 8 bits), lost, doubled, or put in. What then has happened is read from
three sides: the intents, results and settings that the pump records, its state as a whole (`look`), and the plant's
steps. Allowed are: nothing; exactly what the line asks for, once; and a stop, sent or not. Everything else is wrong.

The pump is built anew after everything that changed it. As long as `look` says that nothing has changed, the same pump
gets the next fault; at the end of such a run its steps are compared with those of a pump that heard nothing.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant
from haipump_fw.core.alarms import Alarms
from haipump_fw.ports import IN_SERVICE
from haipump_fw.proto.messages import ACT, REQUESTS, STOP
from tools.measure_stop import Driver

FAULTS_PER_PUMP = 300  # so that a token stays valid: 30 s for so many lines of 60 ms
ANSWER_US = 100_000  # and what the line ended is over by then: a new plan holds 40 ms after the order in slow motion
RETRY_EVERY = 20  # after every so-many-th fault the line is sent again as it should have been
SIZE_ML, STEP_FL, BORE_UM = 30, 231_144_000, 21_700
PROGRAMME = b"haipump-programme 1\nperiod_s 3600\nrepeats 24\nat_end kvo\n0 rate 1300000\n600 bolus 20000 0\n"
DIGEST = hashlib.sha256(PROGRAMME).hexdigest()
_PUT_IN = b"!\n 0\x00@=\xff*"
_OF_TIME = ("commit", "carry", "ids")  # records that come with time
# These come with many refused lines, and with an order that waits: not with any one line.
_ALARMS_OF_TIME = (Alarms.index("command_errors"), Alarms.index("input_pending"))
_WORTH = {"result": 3, "alarm": 2}  # fields of a record that do not depend on the moment

# (situation, line without id; TOKEN: that of the situation's prepare): every message at least once, commit for
# everything that can be committed.
LINES = (
    ("running", "hello"),
    ("running", "info"),
    ("running", "status"),
    ("running", "sensors"),
    ("running", "totals"),
    ("running", "lifetime"),
    ("running", "order id=6"),
    ("running", "alarms index=0"),
    ("running", "limits"),
    ("running", "dose"),
    ("running", "calibration"),
    ("running", "library"),
    ("running", "settings name=kvo_nl_per_day"),
    ("running", "log seq=1 count=1"),
    ("running", "clock"),
    ("running", "telemetry period_ms=60000"),
    ("running", "prepare_rate rate_nl_per_day=2600000 ramp_s=60"),
    ("running", "prepare_bolus volume_nl=100000 duration_s=60 extended=1"),
    ("parts", f"prepare_programme sha256={DIGEST}"),
    ("running", "prepare_kvo"),
    ("stopped", "prepare_prime volume_nl=10000 disconnected=1"),
    ("room", "prepare_withdraw volume_nl=10000 disconnected=1"),
    ("stopped", "prepare_jog steps=-200 disconnected=1"),
    ("stopped", "prepare_home disconnected=1"),
    ("stopped", f"prepare_syringe reservoir_nl=20000000 step_fl={STEP_FL} bore_um=21700 syringe_nl=30000000"),
    ("running", "prepare_limits max_bolus_nl=200000 occlusion_pa=50000"),
    ("stopped", "prepare_dose max_dose_nl=2000000 drug=floxuridine"),
    ("stopped", "prepare_calibration backlash_steps=60"),
    ("stopped", "prepare_library library=0"),
    ("running", "prepare_settings kvo_nl_per_day=100000"),
    ("running, prepare_rate rate_nl_per_day=2600000", "commit token=TOKEN"),
    ("running, prepare_bolus volume_nl=50000", "commit token=TOKEN"),
    ("stopped, prepare_prime volume_nl=10000 disconnected=1", "commit token=TOKEN"),
    ("stopped, prepare_limits max_bolus_nl=200000", "commit token=TOKEN"),
    ("running", f"part_begin what=programme size={len(PROGRAMME)} sha256={DIGEST}"),
    ("begun", f"part offset=0 data={base64.b64encode(PROGRAMME[:90]).decode()}"),
    ("running", "pause"),
    ("paused", "resume"),
    ("bolus", "cancel_bolus"),
    ("stopped", "refill phase=begin"),
    ("alarm", "silence seconds=60"),
    ("alarm", "ack alarm=driver_error"),
    ("stopped", "selftest"),
    ("stopped", "service"),
    ("jumper", "set_key key=" + "5a" * 32),
    ("key", "lock"),
    ("key", "unlock"),
    ("running", "stop"),
)


@dataclass
class Counts:
    """`tried` faults: `nothing` changed; `executed`: as sent; `stopped`: by a stop, also one that nobody sent; `wrong`.
    `retries`: lines sent again as they should have been, each of which has to be executed once in all."""

    tried: int = 0
    nothing: int = 0
    executed: int = 0
    stopped: int = 0
    retries: int = 0
    wrong: int = 0
    problems: list[str] = field(default_factory=list)


class Subject(Driver):
    """A pump in a situation, watched."""

    def __init__(self, situation: str) -> None:
        name, _, prepare = situation.partition(", ")
        super().__init__(DirectCore(pickle.loads(_plant()), seed=1, flash=_flash()))
        self.steps: list[int] = []
        self.records: list[tuple[Any, ...]] = []
        self.token = ""
        self.core.listeners.append(self)
        self.number = 1_000
        _SITUATIONS[name](self)
        if prepare:
            self.token = self.ask(prepare).split("token=")[1].split()[0]
        self._watch()

    def on_step(self, t_us: int, direction: int) -> None:
        self.steps.append(t_us)

    def _watch(self) -> None:
        """From now on note what is recorded, but totals, which come with time. That many refused lines are an alarm of
        their own is no effect of any one of them: here they are none."""
        self.app._errors = 1 << 29
        storage = self.app.storage
        record = storage.record

        def noted(kind: str, *values: int) -> bool:
            if kind not in _OF_TIME and not (kind == "alarm" and values[0] - 1 in _ALARMS_OF_TIME):
                self.records.append((kind, *values[: _WORTH.get(kind, 9)]))
            return record(kind, *values)

        storage.record = noted

    @property
    def app(self) -> Any:
        return self.core.app

    def line(self, text: str) -> bytes:
        body = f"@{self.number} {text.replace('TOKEN', self.token)}".encode()
        return body + b" *%08x\n" % binascii.crc32(body)

    def say(self, data: bytes) -> None:
        """Send bytes, end the line whatever they were, and give the pump time to answer."""
        self.core.output.clear()
        self.core.send(data)
        self.core.send(b"\n")
        self.core.run_until(self.core.now_us + ANSWER_US)

    def look(self) -> tuple[Any, ...]:
        """Everything that a line can change."""
        app = self.app
        if app is None or app.leave_for_service:
            return ("service", tuple(self.records))
        session, delivery = app.session, app.delivery
        return (
            app.machine.state,
            session.last_id,
            session.token,
            session._parts_size,
            session._parts_have,
            session._parts_hash,
            session.locked,
            session.key,
            tuple((order.number, order.source, order.volume_q, order.rate) for order in delivery.orders()),
            app.ports.motor.enabled(),
            tuple(app.values.items()),
            app.storage.settings.generation,
            bytes(phase for at, phase in enumerate(app.alarms.phase) if at not in _ALARMS_OF_TIME),
            app.alarms.silent_until_s > app.clock.s,
            app.telemetry_ms,
            app.refill_begun,
            app.at_end,
            tuple(self.records),
        )


# --- situations ---


@functools.cache
def _plant() -> bytes:
    """A new plant; a copy costs a tenth of making one."""
    return pickle.dumps(Plant(seed=1))


@functools.cache
def _flash() -> bytes:
    """The partition of a pump that has a full syringe."""
    first = Driver(DirectCore(Plant(seed=1), seed=1))
    first.load(SIZE_ML, STEP_FL, BORE_UM)
    first.core.run_until(first.core.now_us + 1_000_000)
    return first.core.flash


def _stopped(of: Subject) -> None:
    of.ask("silence")  # takes up the ids


def _running(of: Subject) -> None:
    of.order("prepare_rate rate_nl_per_day=1300000")


def _paused(of: Subject) -> None:
    _running(of)
    of.ask("pause")


def _bolus(of: Subject) -> None:
    _running(of)
    of.order("prepare_bolus volume_nl=100000 duration_s=3600 extended=1")


def _alarm(of: Subject) -> None:
    _running(of)
    of.core.plant.driver_fault(of.core.now_us, True)
    of.core.run_until(of.core.now_us + 1_000_000)


def _room(of: Subject) -> None:
    of.order(f"prepare_syringe reservoir_nl=1000000 step_fl={STEP_FL} bore_um={BORE_UM} syringe_nl=30000000")


def _begun(of: Subject) -> None:
    _running(of)
    of.ask(f"part_begin what=programme size={len(PROGRAMME)} sha256={DIGEST}")


def _parts(of: Subject) -> None:
    _begun(of)
    for at in range(0, len(PROGRAMME), 90):
        of.ask(f"part offset={at} data={base64.b64encode(PROGRAMME[at : at + 90]).decode()}")


def _jumper(of: Subject) -> None:
    of.core.press(IN_SERVICE, True)
    of.core.power(False)
    of.core.power(True)
    of.number += 1_000


def _key(of: Subject) -> None:
    _jumper(of)
    of.ask("set_key key=" + "5a" * 32)


_SITUATIONS = {
    "stopped": _stopped,
    "running": _running,
    "paused": _paused,
    "bolus": _bolus,
    "alarm": _alarm,
    "room": _room,
    "begun": _begun,
    "parts": _parts,
    "jumper": _jumper,
    "key": _key,
}


# --- faults ---


def faults(line: bytes) -> Iterator[tuple[str, bytes]]:
    """Every line that differs from `line` by one byte, with a name for the difference; its LF is a byte like others."""
    for at in range(len(line)):
        head, tail = line[:at], line[at + 1 :]
        for bit in range(8):
            yield f"bit {bit} of byte {at}", head + bytes([line[at] ^ 1 << bit]) + tail
        yield f"byte {at} lost", head + tail
        yield f"byte {at} doubled", head + line[at : at + 1] + line[at:]
        put_in = _PUT_IN[at % len(_PUT_IN) :][:1]
        yield f"{put_in!r} put in before byte {at}", head + put_in + line[at:]


class _Trial:
    """All faults of one line in one situation."""

    def __init__(self, situation: str, text: str, counts: Counts) -> None:
        self.situation = situation
        self.text = text
        self.counts = counts
        subject = Subject(situation)
        self.before = subject.look()
        self.line = subject.line(text)
        self.as_sent = self._after(self.line)
        self.stops = (self._after(b"!\n"), self._after(b"stop\n"), self._after(b"!\n" + self.line))
        self.kind = next(kind for verb, kind, _ in REQUESTS if verb == text.split()[0])
        if self.kind in (ACT, STOP) and self.as_sent == self.before:
            raise RuntimeError(f"{text} does nothing in {situation}")

    def _after(self, data: bytes) -> tuple[Any, ...]:
        subject = Subject(self.situation)
        subject.say(data)
        return subject.look()

    def run(self) -> None:
        subject: Subject | None = None
        used = 0
        for name, data in faults(self.line):
            if subject is None or used == FAULTS_PER_PUMP:
                self._compare_steps(subject, used)
                subject, used = Subject(self.situation), 0
            self.counts.tried += 1
            subject.say(data)
            used += 1
            after = subject.look()
            if after == self.before:
                self.counts.nothing += 1
                if self.counts.nothing % RETRY_EVERY == 0:
                    self._retry(subject, name, self.as_sent)
                    subject = None
            else:
                self._judge(name, after)
                if after == self.as_sent:
                    self._retry(subject, name, self.as_sent)
                subject = None
        self._compare_steps(subject, used)

    def _judge(self, name: str, after: tuple[Any, ...]) -> None:
        if after == self.as_sent:
            self.counts.executed += 1
        elif after in self.stops:
            self.counts.stopped += 1
        else:
            self._wrong(f"{name}: {after}")

    def _retry(self, subject: Subject, name: str, want: tuple[Any, ...]) -> None:
        """The host says it again as it should have been: whatever became of the broken line, it happens once in all."""
        self.counts.retries += 1
        if subject.app is not None:
            subject.say(self.line)
        if subject.look() != want:
            self._wrong(f"{name}, then as it should be: {subject.look()}")

    def _compare_steps(self, subject: Subject | None, used: int) -> None:
        """The steps of a pump that heard `used` faults are those of one that heard nothing."""
        if subject is None:
            return
        other = Subject(self.situation)
        other.core.run_until(subject.core.now_us)
        if subject.steps != other.steps:
            self._wrong(f"steps differ after {used} faults")

    def _wrong(self, what: str) -> None:
        self.counts.wrong += 1
        self.counts.problems.append(f"{self.situation}: {self.text}: {what}")


@functools.cache
def all_single_faults() -> Counts:
    """All lines, all faults."""
    counts = Counts()
    for situation, text in LINES:
        _Trial(situation, text, counts).run()
    return counts


if __name__ == "__main__":
    found = all_single_faults()
    print(found)
    sys.exit(found.wrong > 0)
