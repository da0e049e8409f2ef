"""A whole pump on the direct core, driven by lines, beside the oracle and a model of its state.

Owns: the line's form, what is ordered and how the oracle is told, checks that hold at every step. Must not: look into
the firmware for anything but the moments at which it says that it acted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
from dataclasses import replace
from typing import Any

from haipump_emulator.direct import DirectCore
from haipump_emulator.plant import Plant, PlantParams
from haipump_fw import delivery as fw
from haipump_fw.core import options
from haipump_fw.core.states import DELIVERING, RUNNING
from tests.firmware.exact import oracle
from tests.firmware.exact.scribe import Scribe, Text

COAST_US = 1_100_000  # from the motor's highest speed to standstill, with the default acceleration
OFF_US = 100  # a stop switches the motor off first, and the steps then: an edge in between is in the pump's books


class Pump:
    """`command` sends a line and waits for its answer; orders go through `order`."""

    def __init__(self, seed: int = 1, params: PlantParams | None = None, **settings: int) -> None:
        if params is None:
            params = PlantParams()
        # a wide line: at 0.5 mL/s the pressure stays below the limit
        params = replace(params, line=replace(params.line, resistance_pa_s_per_nl=0.02))
        self.core = DirectCore(Plant(params, seed=seed), seed=seed)
        self.core.listeners.append(self)
        self.steps: list[tuple[int, int]] = []
        self.out = bytearray()
        self.events: list[str] = []
        self.slice_us = 1_000
        self.next_id = 1
        self.paused_at_us = -COAST_US
        self.off_us = 0  # when the motor was last switched off
        self.wrong: list[str] = []
        self.values = {**options.defaults(), **settings}
        self.scribe = Scribe(self.values)
        self.texts: list[Text] = []  # of the order that is about to be committed
        self.at_end = "stop"
        self.core.run_until(100_000)
        if settings:
            self.order("settings", " ".join(f"{name}={value}" for name, value in settings.items()))
        self.order("syringe", "reservoir_nl=30000000 step_fl=231147588 bore_um=21700 syringe_nl=30000000")
        self._listen()

    # --- the line

    def run(self, seconds: float) -> None:
        self.core.run_until(self.core.now_us + round(seconds * 1_000_000))
        self._read()

    def _read(self) -> list[str]:
        self.out += self.core.output
        self.core.output.clear()
        *lines, rest = bytes(self.out).decode().split("\n")
        self.out = bytearray(rest.encode())
        lines = [line.strip() for line in lines if line.strip()]
        self.events += [line for line in lines if line.startswith("#")]
        return [line for line in lines if not line.startswith("#")]

    def command(self, line: str, signed: bool = True) -> str:
        """The answer to a line."""
        if signed:
            line = f"@{self.next_id} {line}"
            line += f" *{binascii.crc32(line.encode()):08x}"
            self.next_id += 1
        assert self.core.send(line.encode() + b"\n") == len(line) + 1
        for _ in range(1_000):
            self.core.run_until(self.core.now_us + self.slice_us)
            answers = self._read()
            if answers:
                assert len(answers) == 1
                return answers[0]
        raise AssertionError(f"no answer to {line}")

    def order(self, what: str, fields: str, *texts: Text) -> str:
        """Prepare and commit; the last answer."""
        answer = self.command(f"prepare_{what} {fields}")
        if " ok " not in answer:
            return answer
        self.texts = list(texts)
        return self.command("commit token=" + field(answer, "token"))

    def programme(self, text: bytes) -> str:
        digest = hashlib.sha256(text).hexdigest()
        self.command(f"part_begin what=programme size={len(text)} sha256={digest}")
        for offset in range(0, len(text), 120):
            data = base64.b64encode(text[offset : offset + 120]).decode()
            assert " ok " in self.command(f"part offset={offset} data={data}")
        plans = oracle.programme(text, lambda nl: -(-nl * 86_400 // self.values["bolus_nl_per_day"]))
        return self.order("programme", f"sha256={digest} override=1", Text(fw.PROGRAMME, plans, sudden=True))

    def status(self) -> dict[str, str]:
        return dict(pair.split("=") for pair in self.command("status", signed=False).split() if "=" in pair)

    # --- what the oracle hears

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name == "enable" and not fields["on"]:
            self.off_us = t_us

    def on_step(self, t_us: int, direction: int) -> None:
        app = self.core.app
        assert app is not None
        if not app.ports.motor.enabled() and t_us - self.off_us > OFF_US:
            return  # an edge at the pad that moves nothing: the self test's
        self.steps.append((t_us, direction))
        self.scribe.step(t_us, direction)
        state = app.machine.state
        coasting = state == "paused" and t_us - self.paused_at_us <= COAST_US
        if state not in RUNNING and not coasting:
            # an order's first words are queued before the state says so; no step is due that soon
            self.wrong.append(f"a step in state {state} at {t_us}")

    def _listen(self) -> None:
        """Every call that changes the delivery is passed on, with the moment that it names and nothing else."""
        assert self.core.app is not None
        delivery: Any = self.core.app.delivery
        scribe = self.scribe

        def hear(name: str, then) -> None:
            call = getattr(delivery, name)

            def both(*args):
                now = self.core.now_us
                result = call(*args)
                then(now, result, *args)
                return result

            setattr(delivery, name, both)

        hear("finish", lambda now, holds, order, t_us: scribe.is_over(t_us, holds, order.number))
        hear("cancel", lambda now, holds, order: scribe.will_cancel(now, holds, order.number, order.leaving))
        hear("pause", lambda now, holds: (scribe.will_pause(now, holds), setattr(self, "paused_at_us", now)))
        hear("resume", scribe.will_resume)
        hear("stop", lambda now, ended, t_us: scribe.stopped(t_us))
        call = delivery.start

        def start(order, *new):
            now = self.core.now_us
            # A new order's words say what it replaces at once: the oracle has to look before.
            text = self.texts.pop() if self.texts else self._kvo()
            holds = call(order, *new)
            scribe.will_start(now, holds, order.number, text)
            return holds

        delivery.start = start

    def _kvo(self) -> Text:
        """What follows an infusion: KVO at the setting, or at its rate when that is lower."""
        last = [closed.text for closed in self.scribe.closed if closed.text.source in (fw.BASAL, fw.PROGRAMME)][-1]
        rate = self.values["kvo_nl_per_day"]
        if last.source == fw.BASAL:
            rate = min(rate, last.rate)
        else:
            plan = last.plans[0]
            assert plan.length is not None
            rate = min(rate, round(plan.flow_at(plan.length - 1) * oracle.DAY_US))
        return Text(fw.KVO, [oracle.rate(rate, self.scribe.motor)], 0, rate)

    # --- orders in words

    def flow_before(self) -> Any:
        self.scribe.until(self.core.now_us)
        return self.scribe.motor.speed(self.scribe.flow_before(self.core.now_us))

    def rate(self, rate: int, more: str = "") -> str:
        plan = oracle.rate(rate, self.scribe.motor, self.flow_before())
        return self.order("rate", f"rate_nl_per_day={rate} override=1 {more}".strip(), Text(fw.BASAL, [plan], 0, rate))

    def ramp(self, rate: int, seconds: int) -> str:
        """Not from another ramp: what "from" is would depend on the milliseconds between the lines."""
        if any(text.sudden for text in self.scribe.present.values()):
            return self.rate(rate)
        before = int(self.status()["basal_nl_per_day"])
        text = Text(fw.BASAL, [oracle.ramp(before, rate, seconds)], 0, rate, sudden=True)
        return self.order("rate", f"rate_nl_per_day={rate} ramp_s={seconds} override=1", text)

    def vtbi(self, rate: int, volume: int, at_end: str) -> str:
        plan = oracle.at_rate(volume, rate, self.scribe.motor, self.flow_before())
        text = Text(fw.BASAL, [plan], volume, rate)
        return self.order("rate", f"rate_nl_per_day={rate} vtbi_nl={volume} at_end={at_end} override=1", text)

    def bolus(self, volume: int, seconds: int, extended: int = 0) -> str:
        source = fw.EXTENDED if extended else fw.BOLUS
        answer = self.command(
            f"prepare_bolus volume_nl={volume} extended={extended} override=1"
            + (f" duration_s={seconds}" if seconds else "")
        )
        if " ok " not in answer:
            return answer
        seconds = int(field(answer, "duration_s"))
        self.texts = [Text(source, [oracle.square(volume, seconds * 1_000_000, self.scribe.motor)], volume)]
        return self.command("commit token=" + field(answer, "token"))

    def kvo(self) -> str:
        answer = self.command("prepare_kvo")
        if " ok " not in answer:
            return answer
        rate = int(field(answer, "rate_nl_per_day"))
        self.texts = [Text(fw.KVO, [oracle.rate(rate, self.scribe.motor, self.flow_before())], 0, rate)]
        return self.command("commit token=" + field(answer, "token"))

    def handle(self, what: str, volume: int) -> str:
        source, setting = {
            "prime": (fw.PRIME, "prime_nl_per_day"),
            "withdraw": (fw.WITHDRAW, "withdraw_nl_per_day"),
        }[what]
        rate = self.values[setting]
        text = Text(source, [oracle.at_rate(volume, rate, self.scribe.motor)], volume, rate)
        return self.order(what, f"volume_nl={volume} disconnected=1", text)

    # --- what must hold

    def check(self) -> None:
        """At any moment: the state that is reported fits what runs, and the plant's motor fits the state."""
        assert not self.wrong, self.wrong[:3]
        state = self.status()["state"]
        assert self.core.app is not None
        if state != self.core.app.machine.state:  # an order ended while the answer was on its way
            state = self.status()["state"]
        assert state == self.model(state), (state, [text.source for text in self.scribe.present.values()])
        enabled = self.core.plant.truth(self.core.now_us).enabled
        assert enabled == (state in RUNNING or state == "paused"), state

    def model(self, state: str) -> str:
        """The state as it follows from what runs, `state` itself where nothing does."""
        sources = [text.source for text in self.scribe.present.values()]
        assert self.core.app is not None
        if self.core.app.delivery.paused:
            return "paused"
        if fw.BOLUS in sources or fw.EXTENDED in sources:
            return "bolus"
        names = {fw.BASAL: "infusing", fw.PROGRAMME: "infusing", fw.KVO: "kvo", fw.PRIME: "priming"}
        names[fw.WITHDRAW] = "withdrawing"
        if sources:
            return names[sources[0]]
        return state if state not in (*DELIVERING, "priming", "withdrawing", "moving", "paused") else "at rest"

    def judge(self) -> None:
        """After a life that was stopped: every step was where it belongs."""
        for timeline in itertools.chain([self.scribe.doses], self.scribe.handled):
            assert timeline.worst <= 0, f"off by {float(timeline.worst)} microsteps beyond the bar"
            assert abs(timeline.drift) <= 0.501 + float(timeline.bent / timeline.motor.step)


def field(line: str, name: str) -> str:
    return line.split(f" {name}=")[1].split()[0]
