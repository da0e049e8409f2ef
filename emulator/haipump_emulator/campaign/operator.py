"""The people of a life: what they order, when they look, and how they put right what a fault has done.

Owns: the workload, drawn from its own stream, and the notes of what the pump said. Must not: look at the pump but by
its serial line and buttons, or at the plan of the faults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from haipump_emulator.campaign.books import (
    BASAL,
    BOLUS,
    DAY_US,
    EXTENDED,
    Books,
    Flow,
    Planned,
    Violation,
    stairs,
    steady,
)
from haipump_emulator.campaign.client import Client, Reply, digest_of
from haipump_emulator.campaign.plan import COMMANDS_PER_H, HOUR_US, MINUTE_US, NEVER_US, SECOND_US, Plan, stream
from haipump_emulator.campaign.world import World
from haipump_emulator.scenario.host import BORES_UM, Event
from haipump_emulator.scenario.rig import input_bit

COMMIT_NL = 100_000  # a power loss widens the range of the totals by this much at most
AMBUSH_US = 60_000  # a commit and its answer take about as long
PLAY_STEPS = 80  # as the pump is set: it takes up so much after a pull
KVO_NL_PER_DAY = 500_000
LIMITS = {"max_bolus_nl": 5_000_000, "reservoir_low_nl": 2_000_000, "occlusion_pa": 69_000}
DELIVERING = ("infusing", "bolus", "kvo")
READS = ("status", "totals", "alarms", "sensors", "lifetime", "limits", "calibration", "clock", "info", "order")
HANDLED_US = 10 * MINUTE_US


@dataclass
class Operator:
    """`turn` does one thing now. `seen` counts what happened ("sometimes"), `commands` the conversations."""

    world: World
    client: Client
    books: Books
    plan: Plan
    seen: dict[str, int] = field(default_factory=dict)
    commands: int = 0
    state: str = "?"
    hurry: bool = False
    rebooted: bool = False
    called: bool = False  # an alarm has been heard
    due_us: int = NEVER_US  # somebody comes by then
    ambushes: list[Callable[[], None]] = field(default_factory=list)  # faults that come while a commit is under way
    loaded: bool = False  # the pump's totals count from a moment that the books know
    widths: int = 0  # resets since the syringe was loaded
    limits: dict[str, set[int]] = field(default_factory=dict)
    acked: dict[int, str] = field(default_factory=dict)  # commits that the pump said yes to

    def __post_init__(self) -> None:
        self._draw = stream(self.plan.seed, "workload")
        self._timing = stream(self.plan.seed, "timing")
        self.client.on_event = self._hear
        self.limits = {name: {value} for name, value in LIMITS.items()}

    def count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1

    def come_us(self) -> int:
        """An alarm calls: somebody comes within minutes, and now and then nobody does."""
        self.called = False
        minutes = 60.0 if self._timing.random() < 0.05 else self._timing.expovariate(1.0) * 2.0
        return self.world.now_us + round(minutes * MINUTE_US)

    def next_us(self) -> int:
        """When somebody comes again: on average COMMANDS_PER_H times an hour, sometimes at once."""
        if self._timing.random() < 0.2:
            return self.world.now_us + round(self._timing.expovariate(1.0) * 20 * SECOND_US)
        return self.world.now_us + round(self._timing.expovariate(1.0) * HOUR_US / COMMANDS_PER_H / 0.8)

    def reset(self) -> None:
        """The pump went down: what was not stored by then is gone."""
        self.widths += 1
        self.rebooted = True
        self.state = "?"

    def _hear(self, event: Event) -> None:
        self.count(f"event {event.name}")
        if event.name == "alarm":
            self.called = self.called or event.fields.get("phase") in ("active", "latched")
            self.count(f"alarm {event.fields.get('alarm')} {event.fields.get('phase')}")
        if event.name == "state":
            self.state = event.fields.get("state", "?")
            self.count(f"state {self.state}")

    # --- a turn

    def turn(self) -> None:
        """Look, put right, or order something."""
        status = self.ask("status")
        if not status.ok:
            self.count("no answer")
            return
        self.state = status.fields["state"]
        if self.rebooted:
            self.rebooted = False
            reply = self.ask("totals")
            if reply.ok:
                self.judge_totals(reply)
        if self.state in ("alarm", "fault", "self_test", "service") or not self.loaded:
            self._put_right()
            return
        if self.state in ("priming", "withdrawing", "moving", "refill"):
            self._leave_handling()
            return
        if status.fields["alarm"] != "none" and self._draw.random() < 0.9:
            self.act("ack")
        if int(status.fields["reservoir_nl"]) < 1_500_000:
            self.change_syringe()
            return
        options = STOPPED if self.state == "stopped" else PAUSED if self.state == "paused" else RUNNING
        options[self._draw.choices(range(len(options)), [row[0] for row in options])[0]][1](self)

    def _put_right(self) -> None:
        """After an alarm: acknowledge, test, load again; as a person does who follows the pump's own words."""
        self.count("put right")
        if self.state == "alarm" or self._draw.random() < 0.5:
            self.act("ack")
        if self.state == "fault":
            self.act("selftest")
        if not self.loaded:
            self.change_syringe()

    def ask(self, body: str) -> Reply:
        self.commands += 1
        return self.client.ask(body)

    def act(self, body: str) -> Reply:
        self.commands += 1
        reply = self.client.act(body)
        self.count("ack lost" if reply.answer is None else f"refused {reply.code}" if reply.refused else "done")
        return reply

    # --- orders

    def prepare(self, body: str) -> Reply | None:
        """People think before they commit, sometimes for too long."""
        reply = self.act(body)
        if not reply.ok:
            return None
        wait_us = (
            0 if self.hurry else self._timing.choice((0, 0, 0, 0, 0, 0, 2 * SECOND_US, 20 * SECOND_US, 40 * SECOND_US))
        )
        if wait_us:
            self.world.run_until(self.world.now_us + wait_us)
        return reply

    def order(self, body: str, kind: str, planned: Callable[[Reply], tuple[Planned, float]]) -> bool:
        """Prepare and commit something that flows. `planned(prepared)`: volume over time, and how long it takes."""
        prepared = self.prepare(body)
        if prepared is None:
            return False
        volume, ends_us = planned(prepared)
        place = -1 - self.commands  # until the id is known: it is given when the line goes out
        flow = Flow(place, kind, volume, ends_us)
        self.books.sent(self.world.now_us, flow)
        for strike in self.ambushes:
            self.world.at(self.world.now_us + self._timing.randrange(AMBUSH_US), strike)
        self.ambushes.clear()
        reply = self.act(f"commit token={prepared.fields['token']}")
        if reply.answer is None:
            self._open_question(reply.identity, place)
        elif reply.ok:
            self.acked[reply.identity] = body
            self.books.begun(self.world.now_us, place)
            self._expect_order(reply, body)
        else:
            self.books.refused(self.world.now_us, place)
        return reply.ok

    def _expect_order(self, reply: Reply, body: str) -> None:
        """Acknowledged means executed."""
        if reply.fields.get("order") != str(reply.identity):
            raise Violation("ack", self.world.now_us, f"{body!r} is acknowledged as order {reply.fields.get('order')}")

    def _open_question(self, identity: int, place: int) -> None:
        """Nobody knows whether it was done: ask for it by its number."""
        self.count("commit in doubt")
        reply = self.ask(f"order id={identity}")
        if reply.ok and reply.fields.get("order") == str(identity):
            self.count("commit in doubt was done")
            self.books.begun(self.world.now_us, place)
        elif reply.refused:
            self.books.refused(self.world.now_us, place)

    def rate(self) -> None:
        nl_per_day = round(200_000 * 20 ** self._draw.random())
        self.basal_order(nl_per_day)

    def basal_order(self, nl_per_day: int) -> bool:
        return self.order(
            f"prepare_rate rate_nl_per_day={nl_per_day} override=1", BASAL, lambda prepared: (steady(nl_per_day), 0.0)
        )

    def rate_to_volume(self) -> None:
        nl_per_day = round(3_000_000 * 40 ** self._draw.random())
        volume_nl = self._draw.randrange(5_000, 100_000)
        kvo = self._draw.random() < 0.5
        end = "kvo" if kvo else "stop"
        self.order(
            f"prepare_rate rate_nl_per_day={nl_per_day} vtbi_nl={volume_nl} at_end={end} override=1",
            BASAL,
            lambda prepared: (steady(nl_per_day, volume_nl, KVO_NL_PER_DAY if kvo else 0.0), 0.0),
        )

    def kvo(self) -> None:
        self.order("prepare_kvo", BASAL, lambda prepared: (steady(float(prepared.fields["rate_nl_per_day"])), 0.0))

    def bolus(self) -> None:
        volume_nl = self._draw.randrange(1_000, 60_000)
        extended = self._draw.random() < 0.4
        more = f" duration_s={self._draw.randrange(60, 3_600)} extended=1" if extended else ""

        def planned(prepared: Reply) -> tuple[Planned, float]:
            us = int(prepared.fields["duration_s"]) * 1e6
            return steady(volume_nl / us * DAY_US, volume_nl), us

        self.order(f"prepare_bolus volume_nl={volume_nl}{more} override=1", EXTENDED if extended else BOLUS, planned)

    def programme(self) -> None:
        rates = [(self._draw.randrange(300, 3_000), self._draw.randrange(200_000, 4_000_000)) for _ in range(3)]
        kvo = self._draw.random() < 0.5
        period_s, at_s = sum(span for span, _ in rates), 0
        lines = ["haipump-programme 1", f"period_s {period_s}", "repeats 1", f"at_end {'kvo' if kvo else 'stop'}"]
        for span_s, rate in rates:
            lines.append(f"{at_s} rate {rate}")
            at_s += span_s
        payload = "".join(line + "\n" for line in lines).encode()
        digest = digest_of(payload)
        self.commands += 1
        if self.client.upload(payload, digest).ok:
            after = min(KVO_NL_PER_DAY, rates[-1][1]) if kvo else 0.0  # to keep open is never faster than to deliver
            planned = stairs([(span * 1e6, rate) for span, rate in rates], after)
            self.order(f"prepare_programme sha256={digest} override=1", BASAL, lambda prepared: (planned, 0.0))

    # --- what ends, holds and goes on

    def stop(self) -> None:
        self.books.holding(self.world.now_us)
        self.commands += 1
        if self._draw.random() < 0.3:
            self.client.shout()
        elif self._draw.random() < 0.3:
            self.world.core.press(input_bit("stop"), True)
            self.world.run_until(self.world.now_us + 200_000)
            self.world.core.press(input_bit("stop"), False)
        else:
            self.client.ask("stop")

    def pause(self) -> None:
        self.books.holding(self.world.now_us)
        if self.act("pause").ok:
            self.books.held(self.world.now_us)

    def resume(self) -> None:
        self.books.going(self.world.now_us)
        reply = self.act("resume")
        if reply.ok:
            self.books.went(self.world.now_us)
        elif reply.refused and reply.fields.get("state") == "paused":
            self.books.held(self.world.now_us)

    def cancel(self) -> None:
        self.books.holding(self.world.now_us)
        if self.act("cancel_bolus").ok:
            self.books.forget_low(self.world.now_us)

    def silence(self) -> None:
        self.act("silence")

    def acknowledge(self) -> None:
        self.act("ack")

    def replay(self) -> None:
        """An old line again: it must not be executed a second time."""
        self.commands += 1
        self.client.again(self._draw)

    def read(self) -> None:
        verb = self._draw.choice(READS)
        reply = self.ask(verb)
        if reply.ok and verb == "totals":
            self.judge_totals(reply)
        if reply.ok and verb == "limits":
            self.judge_limits(reply)

    def set_limits(self) -> None:
        name = self._draw.choice(sorted(LIMITS))
        value = LIMITS[name] + self._draw.randrange(-1_000, 1_000)
        prepared = self.prepare(f"prepare_limits {name}={value}")
        if prepared is None:
            return
        self.limits[name].add(value)
        if self.act(f"commit token={prepared.fields['token']}").ok:
            self.limits[name] = {value}

    # --- handling

    def change_syringe(self) -> None:
        """Stop, refill, load, as the pump wants it."""
        self.count("syringe changed")
        if self.state not in ("stopped", "refill"):
            self.stop()
        self.act("refill phase=begin")
        size_nl = self.plan.syringe_ml * 1_000_000
        fill_nl = size_nl - self._draw.randrange(size_nl // 4)
        self.world.core.plant.refill(self.world.now_us, fill_nl)
        step = self.plan.step_fl
        text = f"reservoir_nl={fill_nl} step_fl={step} bore_um={BORES_UM[self.plan.syringe_ml]} syringe_nl={size_nl}"
        prepared = self.prepare(f"prepare_syringe {text}")
        if prepared is not None:
            self.loaded = False
            if self.act(f"commit token={prepared.fields['token']}").ok:
                self.loaded, self.widths = True, 0
                self.books.dose, self.books.reversals = 0, int(self.books.play > 0)
        self.act("refill phase=end")

    def prime(self) -> None:
        """A push that is not dose, or a pull."""
        self.act("refill phase=begin")
        verb = self._draw.choice(("prime", "withdraw"))
        prepared = self.prepare(f"prepare_{verb} volume_nl={self._draw.randrange(10_000, 100_000)} disconnected=1")
        if prepared is not None:
            self.books.handling = True
            if verb == "withdraw":
                self.books.pulled(PLAY_STEPS)
            reply = self.act(f"commit token={prepared.fields['token']}")
            if reply.ok:
                self.count(verb)
                self.world.run_until(self.world.now_us + 30 * SECOND_US)
        self._leave_handling()

    def _leave_handling(self) -> None:
        self.client.ask("stop")
        self.act("refill phase=end")
        reply = self.ask("status")
        if reply.ok and reply.fields["state"] not in ("priming", "withdrawing", "moving"):
            self.books.handling = False

    # --- judgement of what the pump says

    def judge_totals(self, reply: Reply) -> None:
        """The range contains the plant's truth, and is no wider than the resets make it."""
        if not self.loaded:
            return
        self.count("totals judged")
        low, high = int(reply.fields["stepped_min_nl"]), int(reply.fields["stepped_max_nl"])
        true_nl = self.books.dose * self.books.step_nl
        slack = (self.books.slack_steps + self.books.reversals * PLAY_STEPS) * self.books.step_nl + MOVED_NL
        if not low - slack <= true_nl <= high + slack:
            raise Violation("totals", self.world.now_us, f"{true_nl:.1f} nL delivered, totals say {low} to {high}")
        if high - low > self.widths * COMMIT_NL:
            raise Violation("totals", self.world.now_us, f"{high - low} nL of doubt after {self.widths} resets")
        if high > low:
            self.count("totals are a range")

    def judge_limits(self, reply: Reply) -> None:
        """A setting is the old or the new one."""
        for name, known in self.limits.items():
            value = int(reply.fields[name])
            if value not in known:
                raise Violation("settings", self.world.now_us, f"{name} is {value}, it was set to {sorted(known)}")
            self.limits[name] = {value}


MOVED_NL = 2_000.0  # what a bolus delivers while totals are asked for
Row = tuple[int, Callable[[Operator], Any]]
STOPPED: tuple[Row, ...] = (
    (10, Operator.rate),
    (3, Operator.rate_to_volume),
    (2, Operator.kvo),
    (3, Operator.bolus),
    (3, Operator.programme),
    (2, Operator.read),
    (1, Operator.set_limits),
    (1, Operator.change_syringe),
    (1, Operator.prime),
    (1, Operator.acknowledge),
)
RUNNING: tuple[Row, ...] = (
    (4, Operator.bolus),
    (3, Operator.rate),
    (1, Operator.rate_to_volume),
    (1, Operator.programme),
    (3, Operator.stop),
    (3, Operator.pause),
    (1, Operator.cancel),
    (1, Operator.silence),
    (2, Operator.acknowledge),
    (3, Operator.read),
    (1, Operator.set_limits),
    (1, Operator.replay),
)
PAUSED: tuple[Row, ...] = ((4, Operator.resume), (1, Operator.stop), (1, Operator.read), (1, Operator.replay))
