"""The pump as an object: `with haipump.connect() as pump: pump.bolus("2 mL", over="10 min").wait()`.

Owns: what each message is for, the two steps of every order (prepare and read back, then commit), the check that the
pump understood what was asked. Must not: know bytes (`protocol`), retries (`conversation`) or the terminal (`cli`).

Quantities are text with a unit ("1.3 mL/day"); the `prepare_*` methods take the wire's whole numbers.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TypeVar

from haipump import answers, records, syringes
from haipump import quantities as q
from haipump.conversation import LOOK_AT, PATIENCE_S, Conversation, Fields, Greeting
from haipump.errors import (
    CommunicationError,
    LinkLost,
    NoPumpFound,
    NotAPump,
    NotExecuted,
    OutcomeUnknown,
    PortError,
    Refused,
    SeveralPumps,
    StopNotConfirmed,
    StoppedOnly,
    UsageError,
    WrongAnswer,
)
from haipump.orders import Order
from haipump.programme import Programme
from haipump.protocol import help as texts
from haipump.protocol.codec import Event
from haipump.protocol.schema import MESSAGES, Value
from haipump.transport import Transport, find_ports, is_emulator, transport_for
from haipump_fw.proto.messages import PART_BYTES_MAX, RESULTS, SOURCES

_T = TypeVar("_T")
STANDING = ("stopped", "alarm", "fault", "refill", "service", "self_test")  # states in which the motor is off or waits
STOP_TRIES_MAX = 5
EMULATOR_SILENT = (
    "an emulator is there; `haipump-emu ctl status` tells whether it is switched off (`haipump-emu ctl power on`), "
    "halted by a debugger (continue there), or its time is paused (`haipump-emu ctl continue`) or slow (try again); "
    "else start it anew"
)
JOURNAL_PAGE = 2  # records in one answer
LOOK_BACK_MAX = 100  # journal records in which an order is looked for whose answer was lost
# Counts of the pressure sensor below and above which the pump takes it for dead, as its supervision has them.
PRESSURE_RAW_MIN, PRESSURE_RAW_MAX = 64, 65_000
PRESSURE_SURE_PA = 1_000, 90_000  # what no setting makes a dead sensor read
SETTING_NAMES = tuple(MESSAGES["prepare_settings"].request)
# What the answer must say when a field was left out of the question.
_LEFT_OUT: Mapping[str, Mapping[str, Value]] = {
    "prepare_rate": {"ramp_s": 0, "vtbi_nl": 0},
    "prepare_bolus": {"extended": 0},
}


def connect(
    port: str | Transport | None = None,
    key: bytes | str | None = None,
    patience_s: float = PATIENCE_S,
    *,
    stopping: bool = False,
    on_silence: Callable[[float], None] | None = None,
    on_busy: Callable[[float], None] | None = None,
) -> Pump:
    """Open the pump at `port` (`/dev/ttyACM0`, a pty, `socket://host:port`, `COM5`), or the only one that is connected.

    `key` is for locked mode: 32 bytes, or 64 hexadecimal digits. `patience_s`: how long an unplugged port is waited
    for. `stopping`: send a stop before anything else; `Pump.stop` then makes sure of it. `on_silence`: called with the
    seconds for which an answer has stayed away (0: it came); `on_busy`: with those for which the pump has turned our
    lines away. Raises PortError, CommunicationError, UsageError; with `stopping` also StopNotConfirmed, StoppedOnly."""
    transport = transport_for(port or the_only_port()) if port is None or isinstance(port, str) else port
    look_at = EMULATOR_SILENT if is_emulator(transport.name) else LOOK_AT
    conversation = Conversation(transport, key_bytes(key), patience_s, on_silence, look_at, on_busy)
    try:
        conversation.start(stopping)
    except (NotAPump, CommunicationError) as failure:
        if not stopping:
            raise
        raise _of_the_stop(conversation, failure) from failure
    return Pump(conversation)


def _of_the_stop(conversation: Conversation, failure: NotAPump | CommunicationError) -> CommunicationError:
    """What became of a stop to a pump that can't be spoken to: only its answer to the stop itself tells."""
    state = conversation.stop_answer
    if state in STANDING:
        return StoppedOnly(failure.what, state, texts.state_sentence(state), failure.next_step)
    why = failure.what
    if state:
        why += f", and it answered the stop with: {texts.STATES.get(state, state)}"
    elif not isinstance(failure, NotAPump):
        why += ", and it did not answer the stop"
    press = "press STOP on the pump or cut its power"
    if not isinstance(failure, NotAPump):
        press += f"; then {failure.next_step}"
    elif conversation.look_at == EMULATOR_SILENT:
        press += f"; {EMULATOR_SILENT}"
    return StopNotConfirmed(why, next_step=press)


def stop(port: str | Transport | None = None, patience_s: float = PATIENCE_S) -> answers.Status:
    """Stop the pump at `port`, or the only one that is connected: the stop is sent before anything is asked. Raises
    PortError when nothing could be sent, StopNotConfirmed, and StoppedOnly when it has stopped and says no more."""
    with connect(port, patience_s=patience_s, stopping=True) as pump:
        return pump.stop()


def the_only_port() -> str:
    """The port of the one connected pump. Raises NoPumpFound, SeveralPumps."""
    found = find_ports()
    if not found:
        raise NoPumpFound(
            "no pump is connected: no Pico on USB, and no emulator is running",
            next_step="plug one in, start one with `haipump-emu run`, or name a port with --port",
        )
    if len(found) > 1:
        ports = [info.port for info in found]
        raise SeveralPumps(f"{len(found)} pumps are connected", "name one with --port: " + ", ".join(ports), ports)
    return found[0].port


def key_bytes(key: bytes | str | None) -> bytes | None:
    """The key as 32 bytes. Raises UsageError."""
    if key is None:
        return None
    try:
        raw = bytes.fromhex(key) if isinstance(key, str) else bytes(key)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise UsageError(
            "the key is not 64 hexadecimal digits", next_step="use the key file made by `haipump lock --new-key`"
        )
    return raw


class Pump:
    """A connected pump. Close it with `close` or use it as a context manager; that changes nothing on the pump."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation

    def __enter__(self) -> Pump:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port."""
        self.conversation.close()

    @property
    def port(self) -> str:
        return self.conversation.transport.name

    # --- looking

    def hello(self) -> Greeting:
        """Who it is, asked anew."""
        self.conversation.greet_again()
        return self.conversation.greeting

    def info(self) -> answers.Info:
        return answers.build(answers.Info, self._ask("info"))

    def status(self) -> answers.Status:
        return answers.build(answers.Status, self._ask("status"))

    def sensors(self) -> answers.Sensors:
        return answers.build(answers.Sensors, self._ask("sensors"))

    def pressure_range_pa(self) -> tuple[int, int]:
        """Between which pressures a reading is one: outside the sensor's plug is out, or a wire is cut or shorted."""
        zero_raw, span_raw = self.setting("pressure_zero_raw").value, self.setting("pressure_span_raw").value
        full_pa = self.setting("pressure_full_pa").value
        low_pa, high_pa = ((raw - zero_raw) * full_pa // span_raw for raw in (PRESSURE_RAW_MIN, PRESSURE_RAW_MAX))
        return low_pa, high_pa

    def reads_pressure(self, sensors: answers.Sensors) -> bool:
        """Whether its pressure is a reading. At rest no alarm tells of a sensor that is off."""
        if PRESSURE_SURE_PA[0] <= sensors.pressure_pa <= PRESSURE_SURE_PA[1]:
            return True
        low_pa, high_pa = self.pressure_range_pa()
        return low_pa <= sensors.pressure_pa <= high_pa

    def totals(self) -> answers.Totals:
        return answers.build(answers.Totals, self._ask("totals"))

    def lifetime(self) -> answers.Lifetime:
        return answers.build(answers.Lifetime, self._ask("lifetime"))

    def order(self, id: int | None = None) -> answers.OrderStatus:
        """One order, or the last one. Of an order from before a restart the journal tells. Raises Refused when the
        pump does not know it (any more)."""
        try:
            return answers.build(answers.OrderStatus, self._ask("order", id=id))
        except Refused as refused:
            if id is None or refused.fields.get("field") != "id":
                raise
            found = self._order_in_journal(id)
            if found is None:
                raise
            return found

    def _order_in_journal(self, id: int) -> answers.OrderStatus | None:
        """How an order ended that the pump itself has forgotten. A power loss ends it as `reset`: what it has commanded
        is then what was delivered at most, and what it has stepped 0, for nobody counted the last ones."""
        for record in self.journal_backwards(LOOK_BACK_MAX):
            if record.fields.get("order") != id or record.name not in ("result", "intent"):
                continue
            facts = record.fields
            planned_nl = facts["planned_nl"] if record.name == "result" else facts["volume_nl"]
            commanded_nl = facts.get("commanded_nl", 0)
            result = RESULTS[facts["result"]] if record.name == "result" else "reset"
            stepped_nl, left_nl = facts.get("stepped_nl", 0), max(0, planned_nl - commanded_nl)
            confirmed_nl = stepped_nl - facts.get("unseen_nl", 0)
            volumes = planned_nl, commanded_nl, stepped_nl, confirmed_nl, left_nl
            return answers.OrderStatus(id, SOURCES[facts["source"]], result, *volumes, elapsed_s=0, left_s=0)
        return None

    def alarms(self) -> list[answers.Alarm]:
        """All alarms that stand, the most urgent first."""
        found: list[answers.Alarm] = []
        count = 1
        while len(found) < count:
            values = self._ask("alarms", index=len(found))
            count = int(values["count"])
            if count == 0 or len(found) >= count:
                break
            found.append(answers.build(answers.Alarm, values))
        return found

    def limits(self) -> answers.Limits:
        return answers.build(answers.Limits, self._ask("limits"))

    def dose(self) -> answers.Dose:
        """The dose limits, and how they stand."""
        return answers.build(answers.Dose, self._ask("dose"))

    def library(self) -> answers.Library:
        """The drug library that its limits are sealed to."""
        return answers.build(answers.Library, self._ask("library"))

    def calibration(self) -> answers.Calibration:
        return answers.build(answers.Calibration, self._ask("calibration"))

    def setting(self, name: str) -> answers.Setting:
        """One setting by the name it has on the wire."""
        return answers.build(answers.Setting, self._ask("settings", name=name))

    def settings(self) -> dict[str, answers.Setting]:
        """All options that `set_settings` can change."""
        return {name: self.setting(name) for name in SETTING_NAMES}

    def clock(self) -> answers.Clock:
        return answers.build(answers.Clock, self._ask("clock"))

    # --- orders: prepare, read back, commit

    def prepare(self, verb: str, **fields: Value | None) -> answers.Plan:
        """Any `prepare_*` message by name, with the wire's fields. Raises WrongAnswer when the pump understood anything
        else than was asked; then nothing is open for a commit that this library would send."""
        values = self._ask(verb, **fields)
        asked = {name: value for name, value in fields.items() if value is not None}
        for name, wanted in {**_LEFT_OUT.get(verb, {}), **asked}.items():
            if name in values and values[name] != wanted:
                raise WrongAnswer(
                    f"{texts.VERBS[verb].name}: {name} should be {wanted}, but the pump understood {values[name]}",
                    "Nothing was started",
                    "do not use this pump before the cause is found; host tools and firmware may not fit together",
                )
        rest = {name: value for name, value in values.items() if name not in ("token", "valid_s", "hash")}
        return answers.Plan(verb, str(values["token"]), int(values["valid_s"]), str(values["hash"]), asked, rest)

    def commit(self, plan: answers.Plan) -> Order:
        """Carry out what was read back. Raises Refused, NotExecuted, OutcomeUnknown."""
        recovered: list[int] = []

        def find_out(id: int) -> Fields | None:
            recovered.append(id)
            return self._find_out(plan, id)

        values = self.conversation.request("commit", {"token": plan.token}, find_out)
        return Order(self, int(values["order"]), plan, bool(recovered))

    def _find_out(self, plan: answers.Plan, id: int) -> Fields | None:
        """What became of a commit whose answer is lost: orders are known to the pump by the commit's id, changes of
        settings are read back."""
        reader = {
            "prepare_limits": "limits",
            "prepare_dose": "dose",
            "prepare_library": "library",
            "prepare_calibration": "calibration",
            "prepare_syringe": "calibration",
        }
        if plan.verb == "prepare_settings":
            same = all(self.setting(name).value == value for name, value in plan.asked.items() if name in SETTING_NAMES)
        elif plan.verb in reader:
            now = self._ask(reader[plan.verb])
            same = all(now[name] == value for name, value in plan.asked.items() if name in now)
        else:
            same = self._was_begun(id)
        return {"state": self.status().state, "order": id} if same else None

    def _was_begun(self, id: int) -> bool:
        """Whether the pump began an order, also when it has restarted since. An order is recorded before it starts: not
        recorded, not started."""
        try:
            return int(self._ask("order", id=id)["order"]) == id
        except Refused:
            for record in self.journal_backwards(LOOK_BACK_MAX):
                if record.name == records.UNREADABLE:
                    raise CommunicationError("a journal record is damaged", "Unknown", "look at the totals") from None
                if record.name == "intent" and record.fields["order"] == id:
                    return True
            return False

    def prepare_rate(
        self,
        rate: str,
        *,
        vtbi: str | None = None,
        at_end: str | None = None,
        ramp: str | None = None,
        override: bool = False,
        reason: str | None = None,
    ) -> answers.Plan:
        """A basal rate, reached at once or over `ramp`, without end or until `vtbi` are delivered, then `at_end`
        ("stop" or "kvo"). `override`: ten times the running rate or more is meant, or with a `reason` (one word, which
        is recorded) a soft limit is passed. Raises UsageError for a ramp with a
        volume."""
        if ramp is not None and vtbi is not None:
            raise UsageError(
                "a ramp and a volume to be infused exclude each other", next_step="give one of --ramp and --vtbi"
            )
        return self.prepare(
            "prepare_rate",
            rate_nl_per_day=q.rate_nl_per_day(rate),
            vtbi_nl=q.volume_nl(vtbi) if vtbi is not None else None,
            at_end=at_end,
            ramp_s=q.duration_s(ramp) if ramp is not None else None,
            override=1 if override else None,
            reason=reason,
        )

    def rate(
        self,
        rate: str,
        *,
        vtbi: str | None = None,
        at_end: str | None = None,
        ramp: str | None = None,
        override: bool = False,
        reason: str | None = None,
    ) -> Order:
        """`prepare_rate` and `commit` in one."""
        plan = self.prepare_rate(rate, vtbi=vtbi, at_end=at_end, ramp=ramp, override=override, reason=reason)
        return self.commit(plan)

    def prepare_bolus(
        self,
        volume: str,
        *,
        over: str | None = None,
        within: str | None = None,
        override: bool = False,
        reason: str | None = None,
    ) -> answers.Plan:
        """An immediate bolus, at the rate of the settings or `within` a time; or with `over` an extended one, which
        an immediate bolus interrupts. The basal rate goes on under both."""
        if over is not None and within is not None:
            raise UsageError("a bolus is either extended (over) or immediate (within)", next_step="choose one of them")
        time = over if over is not None else within
        return self.prepare(
            "prepare_bolus",
            volume_nl=q.volume_nl(volume),
            duration_s=q.duration_s(time) if time is not None else None,
            extended=1 if over is not None else None,
            override=1 if override else None,
            reason=reason,
        )

    def bolus(
        self,
        volume: str,
        *,
        over: str | None = None,
        within: str | None = None,
        override: bool = False,
        reason: str | None = None,
    ) -> Order:
        """`prepare_bolus` and `commit` in one."""
        return self.commit(self.prepare_bolus(volume, over=over, within=within, override=override, reason=reason))

    def prepare_programme(
        self, programme: Programme, *, override: bool = False, reason: str | None = None
    ) -> answers.Plan:
        """Upload a programme and have it read back. Raises WrongAnswer when the pump counts otherwise than we do."""
        text = programme.wire_text().encode("ascii")
        digest = hashlib.sha256(text).hexdigest()
        self._upload(text, digest)
        plan = self.prepare("prepare_programme", sha256=digest, override=1 if override else None, reason=reason)
        for name, wanted in programme.expected().items():
            if plan.values[name] != wanted:
                raise WrongAnswer(
                    f"the programme: {name} should be {wanted}, but the pump counts {plan.values[name]}",
                    "Nothing was started",
                    "host tools and firmware do not fit together; update both",
                )
        if abs(int(plan.values["volume_nl"]) - programme.exact_volume_nl) > 1:
            raise WrongAnswer(
                f"the programme should deliver {float(programme.exact_volume_nl):.0f} nL, but the pump counts "
                f"{plan.values['volume_nl']} nL",
                "Nothing was started",
                "host tools and firmware do not fit together; update both",
            )
        return plan

    def programme(self, programme: Programme, *, override: bool = False, reason: str | None = None) -> Order:
        """`prepare_programme` and `commit` in one."""
        return self.commit(self.prepare_programme(programme, override=override, reason=reason))

    def _upload(self, text: bytes, digest: str) -> None:
        for last_try in (False, True):
            self._ask("part_begin", what="programme", size=len(text), sha256=digest)
            try:
                for offset in range(0, len(text), PART_BYTES_MAX):
                    data = binascii.b2a_base64(text[offset : offset + PART_BYTES_MAX], newline=False).decode("ascii")
                    self._ask("part", offset=offset, data=data)
                return
            except Refused as refused:
                # A part whose answer was lost over a reconnection is refused when it comes again: begin anew, once.
                if refused.code != "part" or last_try:
                    raise

    def kvo(self) -> Order:
        """Keep the vein open, at the rate of the setting or the running rate, whichever is lower."""
        return self.commit(self.prepare("prepare_kvo"))

    def prime(self, volume: str, *, disconnected: bool) -> Order:
        """Push `volume` fast, not as dose. `disconnected` has to be True: nobody is connected to the line."""
        return self.commit(
            self.prepare("prepare_prime", volume_nl=q.volume_nl(volume), disconnected=_sure(disconnected))
        )

    def withdraw(self, volume: str, *, disconnected: bool) -> Order:
        """Pull `volume` back for refilling. `disconnected` has to be True."""
        return self.commit(
            self.prepare("prepare_withdraw", volume_nl=q.volume_nl(volume), disconnected=_sure(disconnected))
        )

    def jog(self, steps: int, *, disconnected: bool) -> Order:
        """Move by motor steps, forward when positive. `disconnected` has to be True."""
        return self.commit(self.prepare("prepare_jog", steps=steps, disconnected=_sure(disconnected)))

    def home(self, *, disconnected: bool) -> Order:
        """Move back to the end switch. `disconnected` has to be True."""
        return self.commit(self.prepare("prepare_home", disconnected=_sure(disconnected)))

    def prepare_syringe(
        self,
        size: str,
        volume: str,
        *,
        bore_um: int | None = None,
        table: str = "plastic",
        nominal: bool = False,
        drug: str | None = None,
    ) -> answers.Plan:
        """A syringe of `size` with `volume` in it. Without `bore_um` the table's; the volume per microstep comes from
        the pump's own lead and steps per turn. What was measured with a syringe of the same bore holds for this one,
        unless `nominal` gives it up. `drug`: its name, which must be that of the dose limits if they have one."""
        now = self.calibration()
        if bore_um is None:
            syringe = syringes.find(size)
            bore_um, max_rate = syringe.bore_um(table), syringe.max_rate_nl_per_day(table)
        else:
            syringes.check_bore(q.volume_nl(size), bore_um)
            same = bore_um == now.bore_um and q.volume_nl(size) == now.syringe_nl
            max_rate = now.syringe_max_nl_per_day if same else 0
        return self.prepare(
            "prepare_syringe",
            reservoir_nl=q.volume_nl(volume),
            step_fl=syringes.step_for(bore_um, now, nominal).step_fl,
            bore_um=bore_um,
            syringe_nl=q.volume_nl(size),
            syringe_max_nl_per_day=max_rate,
            drug=drug,
        )

    def syringe(
        self,
        size: str,
        volume: str,
        *,
        bore_um: int | None = None,
        table: str = "plastic",
        nominal: bool = False,
        drug: str | None = None,
    ) -> Order:
        """`prepare_syringe` and `commit` in one: a syringe is loaded."""
        plan = self.prepare_syringe(size, volume, bore_um=bore_um, table=table, nominal=nominal, drug=drug)
        return self.commit(plan)

    def set_limits(self, **limits: int) -> Order:
        """Change limits by their names on the wire, e.g. `occlusion_pa=50_000`."""
        return self.commit(self.prepare("prepare_limits", **limits))

    def set_dose(self, **limits: int | str) -> Order:
        """Change dose limits by their names on the wire, e.g. `max_dose_nl=2_000_000, drug="floxuridine"`."""
        return self.commit(self.prepare("prepare_dose", **limits))

    def seal_library(self, sealed: str) -> Order:
        """Seal the limits that stand to a drug library (hexadecimal digits, see `therapy.sealing`); "0": to none."""
        return self.commit(self.prepare("prepare_library", library=sealed))

    def calibrate(self, **values: int) -> Order:
        """Change the calibration by its names on the wire, e.g. `step_fl=231_000_000`."""
        return self.commit(self.prepare("prepare_calibration", **values))

    def set_settings(self, **values: int) -> Order:
        """Change options by their names on the wire, e.g. `kvo_nl_per_day=300_000`."""
        return self.commit(self.prepare("prepare_settings", **values))

    # --- one step

    def pause(self) -> answers.Motion:
        return answers.build(answers.Motion, self._ask("pause"))

    def resume(self) -> answers.Motion:
        return answers.build(answers.Motion, self._ask("resume"))

    def cancel(self) -> answers.Motion:
        """As `haipump cancel`: `cancel_bolus`."""
        return self.cancel_bolus()

    def cancel_bolus(self) -> answers.Motion:
        return answers.build(answers.Motion, self._ask("cancel_bolus"))

    def refill_begin(self) -> str:
        """Begin changing or filling the syringe; returns the state."""
        return str(self._ask("refill", phase="begin")["state"])

    def refill_end(self) -> str:
        """End it; returns the state."""
        return str(self._ask("refill", phase="end")["state"])

    def silence(self, seconds: int | None = None) -> int:
        """Quiet the alarms; returns for how many seconds."""
        return int(self._ask("silence", seconds=seconds)["seconds"])

    def ack(self, alarm: str | None = None) -> int:
        """Acknowledge one alarm or all; returns how many."""
        return int(self._ask("ack", alarm=alarm)["count"])

    def selftest(self) -> tuple[str, str]:
        """Run the self test; returns (state, result)."""
        return self.selftest_parts()[:2]

    def selftest_parts(self) -> tuple[str, str, dict[str, bool]]:
        """The same, and which of its parts are all right."""
        values = self._ask("selftest")
        parts = {name.lstrip("!"): not name.startswith("!") for name in str(values["parts"]).split(",")}
        return str(values["state"]), str(values["result"]), parts

    def service(self) -> None:
        """Leave for the MicroPython prompt. The pump restarts; this connection is of no more use."""
        try:
            self._ask("service")
        except (NotExecuted, OutcomeUnknown) as failure:
            raise CommunicationError(
                "the pump did not confirm that it goes into service mode",
                "Restarting or still stopped",
                "look whether mpremote reaches it; switching off and on leaves service mode",
            ) from failure

    def set_key(self, key: bytes | str) -> None:
        """Store the key for locked mode; the service jumper must have been closed at power-up. From then on this
        connection signs with it. When the answer is lost, the pump is asked which key it has. Raises Refused,
        NotExecuted (it has not taken it), WrongKey (nothing was sent), OutcomeUnknown (it has the old or the new one).
        """
        raw = key_bytes(key)
        assert raw is not None

        def find_out(id: int) -> Fields | None:
            return {} if self.conversation.has_key(raw) else None

        self.conversation.request("set_key", {"key": raw.hex()}, find_out)
        self.conversation.use_key(raw if any(raw) else None)

    def lock(self) -> None:
        """From now on changes need the key."""
        self._ask("lock")
        self.conversation.greet_again()

    def unlock(self) -> None:
        """Changes need no key any more."""
        self._ask("unlock")
        self.conversation.greet_again()

    def stop(self) -> answers.Status:
        """Stop the motor at once and make sure of it. Raises StopNotConfirmed."""
        heard = "nothing was heard"
        asked: set[int] = set()  # all of them after the first stop
        for _ in range(STOP_TRIES_MAX):
            try:
                self.conversation.stop_byte()
                status = answers.build(answers.Status, self.conversation.request("status", tries=1, alike=asked))
            except (CommunicationError, PortError, Refused) as failure:
                heard = failure.what
                if isinstance(failure, LinkLost):
                    break
                continue
            if status.state in STANDING and status.flow_nl_per_day == 0:
                return status
            heard = f"the pump says that it is {texts.STATES.get(status.state, status.state)}"
        raise StopNotConfirmed(heard)

    # --- what the pump says by itself

    def telemetry(self, period_s: float) -> int:
        """Have it send `tele` events at this period (0 ends it); returns the period in ms that it took."""
        return int(self._ask("telemetry", period_ms=round(period_s * 1000))["period_ms"])

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Events as they come, without end, or until none has come for `timeout_s`. Reconnects when it must."""
        while True:
            self.conversation.check_open()
            while self.conversation.events:
                yield self.conversation.events.popleft()
            if not self.conversation.listen(60.0 if timeout_s is None else timeout_s) and timeout_s is not None:
                return

    def journal_page(self, seq: int, count: int = JOURNAL_PAGE) -> answers.JournalPage:
        """One or two records from number `seq` on. Beyond the last one the page is empty."""
        return answers.build(answers.JournalPage, self._ask("log", seq=seq, count=count))

    def journal(self, first: int | None = None) -> Iterator[answers.RawRecord]:
        """The journal's records in order, from number `first` (or the oldest) to the newest at the time of asking. A
        download goes on where it broke off by asking from the next number."""
        page = self.journal_page(0 if first is None else first)
        newest = page.last
        seq = max(page.first, first or 0)
        while seq <= newest:
            if page.seq != seq:
                page = self.journal_page(seq)
            yield from self._records(page)
            # Without any, the record is damaged, and left out. The pump may have overwritten its oldest records
            # meanwhile: then it answers from the oldest it has.
            seq = max(page.seq, seq) + max(page.count, 1)

    def journal_backwards(self, most: int) -> Iterator[records.Record]:
        """The journal's records taken apart, the newest first, at most so many; damaged ones as `unreadable`."""
        page = self.journal_page(0, 1)
        oldest = max(page.first, page.last - most + 1, 1)
        for wanted in range(page.last, oldest - 1, -1):
            found = self._records(self.journal_page(wanted, 1))
            yield records.decode(found[0].data) if found else records.unreadable(wanted)

    @staticmethod
    def _records(page: answers.JournalPage) -> list[answers.RawRecord]:
        raw = binascii.a2b_base64(page.data)
        if len(raw) != page.count * records.SIZE:
            raise CommunicationError("a page of the journal came damaged", "Unchanged by this", "download it again")
        return [
            answers.RawRecord(page.seq + at, raw[at * records.SIZE : (at + 1) * records.SIZE])
            for at in range(page.count)
        ]

    def _ask(self, verb: str, **fields: Value | None) -> Fields:
        return self.conversation.request(verb, fields)


def _sure(disconnected: bool) -> int:
    if disconnected is not True:
        raise UsageError(
            "this moves fast and is no dose: the line must not be connected to anything alive",
            next_step="disconnect it, then say so (disconnected=True, --disconnected)",
        )
    return 1
