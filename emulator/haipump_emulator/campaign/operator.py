"""The people of a life: what they order, when they look, and how they put right what a fault has done.

Owns: the workload, drawn from its own stream, and the notes of what the pump said. Must not: look at the pump but by
its serial line and buttons, or at the plan of the faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from haipump_emulator.campaign.alarms import AlarmJudge
from haipump_emulator.campaign.books import (
    BASAL,
    BOLUS,
    DAY_US,
    EXTENDED,
    RELIEF_STEPS,
    Books,
    Flow,
    Planned,
    Pulse,
    pulsed,
    stairs,
    steady,
)
from haipump_emulator.campaign.client import Client, Keys, Reply, digest_of, operator_key
from haipump_emulator.campaign.plan import COMMANDS_PER_H, HOUR_US, MINUTE_US, NEVER_US, SECOND_US, Plan, stream
from haipump_emulator.campaign.violation import Violation
from haipump_emulator.campaign.world import World
from haipump_emulator.scenario.host import BORES_UM, Event
from haipump_emulator.scenario.rig import input_bit

COMMIT_NL = 100_000  # a power loss widens the range of the totals by this much at most
AMBUSH_US = 60_000  # a commit and its answer take about as long
PLAY_STEPS = 80  # as the pump is set: it takes up so much after a pull
KVO_NL_PER_DAY = 500_000
EMPTY_NL = 500_000
LIMITS = {"max_bolus_nl": 5_000_000, "reservoir_low_nl": 2_000_000, "occlusion_pa": 69_000}
READS = ("status", "totals", "alarms", "sensors", "lifetime", "limits", "calibration", "clock", "info", "order", "dose")
DRUGS = ("none", "none", "floxuridine", "heparin")
BUTTON_US = 200_000


@dataclass
class Operator:
    """`turn` does one thing now. `seen` counts what happened ("sometimes"), `commands` the conversations."""

    world: World
    client: Client
    books: Books
    alarms: AlarmJudge
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
    filled_nl: float = 0.0  # what was loaded, from the motor's first step on
    widths: int = 0  # resets since the syringe was loaded
    limits: dict[str, set[int]] = field(default_factory=dict)
    drug: str = "none"  # the limits are for this one
    mismatch: bool = False  # the limits are for another drug than the one in the syringe
    held: str = ""  # the pump said that it is locked, or not
    acked: dict[int, str] = field(default_factory=dict)  # commits that the pump said yes to

    def __post_init__(self) -> None:
        self._draw = stream(self.plan.seed, "workload")
        self._timing = stream(self.plan.seed, "timing")
        self._pulses = stream(self.plan.seed, "boluses of programmes")
        self.client.on_event = self._hear
        self.alarms.low = self._low
        self.limits = {name: {value} for name, value in LIMITS.items()}

    def count(self, what: str, times: int = 1) -> None:
        if times:
            self.seen[what] = self.seen.get(what, 0) + times

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

    def _did(self, what: str) -> None:
        self.alarms.did(self.world.now_us, what)

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
        if int(status.fields["reservoir_nl"]) < 1_500_000 or self.mismatch:
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
        if reply.code in ("limit", "override"):
            self.count(f"refused {reply.code} {reply.fields.get('limit', 'jump')}")
        self.mismatch = self.mismatch or reply.fields.get("what") == "other_drug"
        return reply

    # --- orders

    def prepare(self, body: str) -> Reply | None:
        """People think before they commit, sometimes for too long."""
        self._did("prepare")
        reply = self.act(body)
        if not reply.ok:
            return None
        wait_us = (
            0 if self.hurry else self._timing.choice((0, 0, 0, 0, 0, 0, 2 * SECOND_US, 20 * SECOND_US, 40 * SECOND_US))
        )
        if wait_us:
            self.world.run_until(self.world.now_us + wait_us)
        return reply

    def order(
        self,
        body: str,
        kind: str,
        planned: Callable[[Reply], tuple[Planned, float]],
        pulses_us: Sequence[float] = (),
    ) -> bool:
        """Prepare and commit something that flows. `planned(prepared)`: volume over time, and how long it takes;
        `pulses_us`: when its own boluses begin."""
        prepared = self.prepare(body)
        if prepared is None:
            return False
        if prepared.fields.get("passed", "0") != "0":
            self.count("soft limit passed")
        volume, ends_us = planned(prepared)
        place = -1 - self.commands  # until the id is known: it is given when the line goes out
        flow = Flow(place, kind, volume, ends_us, pulses_us=pulses_us)
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
            f"prepare_rate rate_nl_per_day={nl_per_day}{self._override()}",
            BASAL,
            lambda prepared: (steady(nl_per_day), 0.0),
        )

    def rate_to_volume(self) -> None:
        nl_per_day = round(3_000_000 * 40 ** self._draw.random())
        volume_nl = self._draw.randrange(5_000, 100_000)
        kvo = self._draw.random() < 0.5
        self._did("finite")
        end = "kvo" if kvo else "stop"
        self.order(
            f"prepare_rate rate_nl_per_day={nl_per_day} vtbi_nl={volume_nl} at_end={end}{self._override()}",
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

        body = f"prepare_bolus volume_nl={volume_nl}{more}{self._override()}"
        sent_us = self.world.now_us
        if self.order(body, EXTENDED if extended else BOLUS, planned):
            self.books.window.bolus(sent_us, self.world.now_us)

    def programme(self) -> None:
        rates = [(self._draw.randrange(300, 3_000), self._draw.randrange(200_000, 4_000_000)) for _ in range(3)]
        kvo = self._draw.random() < 0.5
        period_s, at_s = sum(span for span, _ in rates), 0
        repeats, boluses = self._boluses(period_s)
        lines = ["haipump-programme 1", f"period_s {period_s}", f"repeats {repeats}"]
        lines.append(f"at_end {'kvo' if kvo else 'stop'}")
        items: list[tuple[int, str]] = []
        for span_s, rate in rates:
            items.append((at_s, f"{at_s} rate {rate}"))
            at_s += span_s
        items += [(each[0], "{} bolus {} {}".format(*each)) for each in boluses]
        lines += [text for _, text in sorted(items, key=lambda item: item[0])]
        payload = "".join(line + "\n" for line in lines).encode()
        digest = digest_of(payload)
        self.commands += 1
        self._did("finite")
        if self.client.upload(payload, digest).ok:
            after = min(KVO_NL_PER_DAY, rates[-1][1]) if kvo else 0.0  # to keep open is never faster than to deliver
            pulses = [
                Pulse((turn * period_s + start_s) * 1e6, length_s * 1e6, volume_nl)
                for turn in range(repeats)
                for start_s, volume_nl, length_s in boluses
            ]
            planned = pulsed(stairs([(span * 1e6, rate) for span, rate in rates] * repeats, after), pulses)
            body = f"prepare_programme sha256={digest}{self._override()}"
            begun = self.order(body, BASAL, lambda prepared: (planned, 0.0), [pulse.at_us for pulse in pulses])
            if begun and pulses:
                self.count("programme with boluses")

    def _boluses(self, period_s: int) -> tuple[int, list[tuple[int, int, int]]]:
        """How often the programme repeats, and its boluses (at s, nL, s), of which there may be none."""
        draw = self._pulses
        if draw.random() < 0.3:
            return 1, []
        gap_s = period_s // 3
        starts = [turn * gap_s + draw.randrange(gap_s // 8) for turn in range(draw.randrange(1, 4))]
        return draw.randrange(1, 4), [
            (at_s, volume_nl, max(5, volume_nl // 2_000 + 1))
            for at_s, volume_nl in ((at_s, draw.randrange(1_000, 60_000)) for at_s in starts)
        ]

    def _override(self) -> str:
        """Mostly people pass a soft limit with a reason."""
        return " override=1" + (" reason=asked-by-dr-k" if self._draw.random() < 0.8 or self.hurry else "")

    # --- what ends, holds and goes on

    def stop(self) -> None:
        self.books.holding(self.world.now_us)
        self.commands += 1
        if self._draw.random() < 0.3:
            self.client.shout()
        elif self._draw.random() < 0.3:
            self._press("stop")
        else:
            self.client.ask("stop")

    def _press(self, button: str) -> None:
        self.world.core.press(input_bit(button), True)
        self.world.run_until(self.world.now_us + BUTTON_US)
        self.world.core.press(input_bit(button), False)

    def pause(self) -> None:
        self.books.holding(self.world.now_us)
        self._did("pause")
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
        """By the host, for a while or as long as the pump likes; or at the pump."""
        if self._draw.random() < 0.3:
            self.commands += 1
            self._press("silence")
        elif self.act("silence" + self._draw.choice(("", " seconds=10", " seconds=120"))).ok:
            self.count("silenced")

    def acknowledge(self) -> None:
        """All alarms, or the one that is shown."""
        shown = self.ask("status").fields.get("alarm", "none")
        one = shown != "none" and self._draw.random() < 0.5
        if self.act(f"ack alarm={shown}" if one else "ack").ok and one:
            self.count("one alarm acknowledged")

    def replay(self) -> None:
        """An old line again: it must not be executed a second time."""
        self.commands += 1
        self._did("replay")
        self.client.again(self._draw)

    def read(self) -> None:
        verb = self._draw.choice(READS)
        reply = self.ask(verb)
        if reply.ok and verb == "totals":
            self.judge_totals(reply)
        if reply.ok and verb == "limits":
            self.judge_limits(reply)
        if reply.ok and verb == "dose":
            self.judge_dose(reply)

    def set_limits(self) -> None:
        name = self._draw.choice(sorted(LIMITS))
        value = LIMITS[name] + self._draw.randrange(-1_000, 1_000)
        prepared = self.prepare(f"prepare_limits {name}={value}")
        if prepared is None:
            return
        self.limits[name].add(value)
        if self.act(f"commit token={prepared.fields['token']}").ok:
            self.limits[name] = {value}

    def set_dose(self) -> None:
        """Limits of a drug, in every size from what stops at once to none."""
        if not self.plan.dosed:
            self.read()
            return
        draw = self._draw
        most_nl = 0 if draw.random() < 0.1 else round(10_000 * 300 ** draw.random())
        window_s = draw.choice((600, 3_600, 14_400, 86_400))
        lockout_s = draw.choice((0, 60, 600, 3_600))
        soft = [0 if draw.random() < 0.5 else round(nl * draw.random()) for nl in (4_000_000, 60_000, 300_000)]
        running = self.state in ("infusing", "bolus", "kvo", "paused")
        new = most_nl, self._window()[1] if running else window_s, lockout_s
        text = f"prepare_dose max_dose_nl={new[0]} window_s={new[1]} lockout_s={new[2]}"
        text += f" soft_rate_nl_per_day={soft[0]} soft_bolus_nl={soft[1]} soft_dose_nl={soft[2]}"
        drug = self.drug if running else draw.choice(DRUGS)
        self._commit_dose(text + ("" if running else f" drug={drug}"), new, drug)

    def free_dose(self) -> None:
        """No dose limits any more."""
        text = "prepare_dose max_dose_nl=0 lockout_s=0 soft_rate_nl_per_day=0 soft_bolus_nl=0 soft_dose_nl=0 drug=none"
        self._commit_dose(text, (0, self._window()[1], 0), "none")

    def _window(self) -> tuple[int, int, int]:
        return self.books.window.known()[-1]

    def _commit_dose(self, text: str, new: tuple[int, int, int], drug: str) -> None:
        prepared = self.prepare(text)
        if prepared is None:
            return
        window = self.books.window
        was = window.known()
        window.offered(*new)
        self._did("dose")
        reply = self.act(f"commit token={prepared.fields['token']}")
        if reply.ok:
            self.count("dose limits set")
            self.drug = drug
        if reply.decided:
            window.settled(self.world.now_us, [new] if reply.ok else was)

    # --- keys

    def lock(self) -> None:
        """A key needs the service jumper at power-up."""
        core = self.world.core
        key = stream(self.plan.seed, "key").randbytes(32)
        core.press(input_bit("service"), True)
        self.restart()
        if self.act(f"set_key key={key.hex()}").ok:
            self.client.keys = Keys(key)
            self.act("lock")
        core.press(input_bit("service"), False)
        self.restart()
        self.client.forget()
        self.held = "1" if self.ask("hello").fields.get("locked") == "1" else ""

    def restart(self) -> None:
        """Power off and on."""
        self._did("restart")
        self.world.core.power(False)
        self.world.run_until(self.world.now_us + SECOND_US)
        self.world.core.power(True)
        self.world.run_until(self.world.now_us + SECOND_US)
        self.client.forget()

    def intrude(self) -> None:
        """Somebody without the key, with another one, or with the operator's where his is not enough."""
        keys = self.client.keys
        if keys is None:
            self.replay()
            return
        if self.held != "1":
            if self.act("lock").ok:
                self.held = "1"
            return
        if self._draw.random() < 0.1:
            self.held = ""
            self.act("unlock")
            self.count("unlocked")
            return
        key, verbs, code = self._draw.choice(
            (
                (None, ("pause", "ack", "unlock", "prepare_kvo", "prepare_limits max_bolus_nl=1000"), "locked"),
                (bytes(32), ("pause", "ack", "unlock", "prepare_kvo", "silence"), "mac"),
                (operator_key(keys.key), ("unlock", "service", "prepare_dose max_dose_nl=0"), "role"),
            )
        )
        body = self._draw.choice(verbs)
        self.commands += 1
        self._did("forgery")
        reply = self.client.forge(body, key)
        if reply.ok:
            raise Violation("forgery", self.world.now_us, f"{body!r} was taken without the key for it")
        if reply.refused:
            self.count(f"forged {code}" if reply.code == code else f"forged {reply.code}")

    # --- handling

    def change_syringe(self) -> None:
        """Stop, refill, load, as the pump wants it."""
        self.count("syringe changed")
        self.mismatch = False
        if self.state not in ("stopped", "refill"):
            self.stop()
        self.act("refill phase=begin")
        size_nl = self.plan.syringe_ml * 1_000_000
        fill_nl = size_nl - self._draw.randrange(size_nl // 4)
        self.world.core.plant.refill(self.world.now_us, fill_nl)
        step = self.plan.step_fl
        text = f"reservoir_nl={fill_nl} step_fl={step} bore_um={BORES_UM[self.plan.syringe_ml]} syringe_nl={size_nl}"
        text += f" drug={self.drug}" if self.drug != "none" else ""
        prepared = self.prepare(f"prepare_syringe {text}")
        if prepared is not None:
            self.loaded = False
            if self.act(f"commit token={prepared.fields['token']}").ok:
                self.loaded, self.widths = True, 0
                self.filled_nl = fill_nl + self.books.edges * self.books.step_nl
                self.books.loaded()
        self.act("refill phase=end")

    def prime(self) -> None:
        """A push that is not dose, or a pull."""
        self.act("refill phase=begin")
        verb = self._draw.choice(("prime", "withdraw"))
        self._did(verb)
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

    def _low(self, name: str) -> bool:
        """There may be as little in the syringe as `reservoir_low` or `reservoir_empty` says."""
        most_nl = max(self.limits["reservoir_low_nl"]) if name == "reservoir_low" else EMPTY_NL
        doubt_nl = (self.widths + 1) * COMMIT_NL + (self.books.slack_steps + self.books.doubt) * self.books.step_nl
        return not self.loaded or self.filled_nl - self.books.edges * self.books.step_nl <= most_nl + doubt_nl

    def judge_totals(self, reply: Reply) -> None:
        """The range contains the plant's truth, and is no wider than resets and occlusions make it. What arrived may be
        as much as the screw ever pushed: the upper end is not below that."""
        if not self.loaded:
            return
        self.count("totals judged")
        low, high = int(reply.fields["stepped_min_nl"]), int(reply.fields["stepped_max_nl"])
        true_nl = self.books.dose * self.books.step_nl
        slack = (self.books.slack_steps + self.books.doubt) * self.books.step_nl + MOVED_NL
        if not low - slack <= true_nl <= high + slack:
            raise Violation("totals", self.world.now_us, f"{true_nl:.1f} nL delivered, totals say {low} to {high}")
        most_nl = self.books.furthest * self.books.step_nl
        if most_nl > high + slack - self.books.backs * self.books.step_nl:
            raise Violation("totals", self.world.now_us, f"{most_nl:.1f} nL were pushed, totals say {low} to {high}")
        if high - low > self.widths * COMMIT_NL + self.books.stops * RELIEF_STEPS * self.books.step_nl:
            raise Violation("totals", self.world.now_us, f"{high - low} nL of doubt after {self.widths} resets")
        if high > low:
            self.count("totals are a range")

    def judge_limits(self, reply: Reply) -> None:
        """A setting is the old or the new one."""
        self.count("settings judged")
        for name, known in self.limits.items():
            value = int(reply.fields[name])
            if value not in known:
                raise Violation("settings", self.world.now_us, f"{name} is {value}, it was set to {sorted(known)}")
            self.limits[name] = {value}

    def judge_dose(self, reply: Reply) -> None:
        """Limits are those that were set; what the window holds is never told too small."""
        window, now_us = self.books.window, self.world.now_us
        names = ("max_dose_nl", "window_s", "lockout_s")
        said = (int(reply.fields[names[0]]), int(reply.fields[names[1]]), int(reply.fields[names[2]]))
        if said not in window.known():
            raise Violation("settings", now_us, f"dose limits are {said}, they were set to {window.known()}")
        window.settled(now_us, [said])
        self.drug = reply.fields["drug"]
        used_nl, true_nl = int(reply.fields["used_nl"]), window.used_nl(now_us)
        if used_nl >= 0:
            self.count("used dose judged")
            if used_nl < true_nl - self.books.slack_steps * self.books.step_nl - MOVED_NL:
                raise Violation("dose_used", now_us, f"{true_nl:.1f} nL in the window, the pump says {used_nl}")


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
    (3, Operator.set_dose),
    (1, Operator.change_syringe),
    (1, Operator.prime),
    (1, Operator.acknowledge),
    (1, Operator.silence),
    (1, Operator.intrude),
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
    (1, Operator.set_dose),
    (1, Operator.replay),
    (1, Operator.intrude),
)
PAUSED: tuple[Row, ...] = (
    (5, Operator.resume),
    (1, Operator.stop),
    (1, Operator.read),
    (1, Operator.replay),
    (1, Operator.silence),
    (1, Operator.intrude),
)
