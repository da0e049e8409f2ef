"""One life: a plan, a core, people, faults; judged all the time, and at the end the pump must recover.

Owns: the order of these, and the record of what came out. Must not: draw anything.
"""

from __future__ import annotations

import dataclasses
import traceback
from dataclasses import dataclass, field
from typing import Any

from haipump_emulator.campaign.alarms import AlarmJudge
from haipump_emulator.campaign.books import Books
from haipump_emulator.campaign.client import Client
from haipump_emulator.campaign.journal import intents
from haipump_emulator.campaign.operator import Operator
from haipump_emulator.campaign.plan import HARD_GROUPS, MINUTE_US, NEVER_US, SECOND_US, Plan, Strike, draw, stream
from haipump_emulator.campaign.violation import Violation
from haipump_emulator.campaign.world import World
from haipump_emulator.cores import Recipe
from haipump_emulator.faults.catalogue import ButtonStuck, ClockDrift
from haipump_emulator.plant import Plant, PlantParams, for_syringe

SLICE_US = MINUTE_US  # the books are checked at least this often
QUIET_US = 5 * MINUTE_US  # after the last fault, before the pump must answer: what a fault began may take its time
RECOVER_TRIES = 4
VISITS = 0.7  # so often somebody is there shortly after a fault has begun, when it matters most
AMBUSHES = 0.5  # so many of the faults that strike a conversation wait for one
VISIT_US = 15 * SECOND_US
PROOF_NL_PER_DAY = 24_000_000


@dataclass
class Life:
    """What came out of a seed. `broken` is empty when every invariant held."""

    seed: int
    hours: float
    kind: str
    core: str
    broken: str = ""
    text: str = ""
    at_us: int = 0
    digest: str = ""
    commands: int = 0
    faults: int = 0
    edges: int = 0
    boots: int = 0
    excess_nl: float = 0.0
    locked: bool = False
    dosed: bool = False
    fullest: float = 0.0  # window of dose, as a part of its limit
    seen: dict[str, int] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)  # how often each invariant was held against something
    strikes: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return not self.broken


class Watcher:
    """Hears what the plant and the board do, and has the books judge it."""

    def __init__(self, world: World, books: Books, alarms: AlarmJudge) -> None:
        self._world, self._books, self._alarms = world, books, alarms
        self.operator: Operator | None = None
        world.core.listeners.append(self)

    def on_step(self, t_us: int, direction: int) -> None:
        app = getattr(self._world.core, "app", None)
        if not self._books.enabled and (app is None or app.machine.state == "self_test"):
            return  # the self test's: the driver does not see them, and there are as many back
        self._books.edge(t_us, direction)
        if direction > 0 and not self._books.handling:
            self._alarms.edge(t_us)
        if app is not None and app.machine.state not in MOVING:
            raise Violation("motion", t_us, f"a step in state {app.machine.state}")

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        if direction == "out":
            self._alarms.hear(t_us, data)

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name == "enable":
            self._books.motor(t_us, bool(fields["on"]))
            self._alarms.motor(t_us, bool(fields["on"]))
        elif name == "power" and fields["on"]:
            self._books.close(t_us)  # what was ordered while it was off never came
        elif name == "reset" or (name == "power" and not fields["on"]):
            if name == "power" and hasattr(self._world.core, "emit"):
                self._world.core.emit()  # the chip tells its steps as they come
            self._books.close(t_us)
            self._books.enabled = False
            self._alarms.reset()
            if self.operator is not None:
                self.operator.reset()
                self.operator.count(f"{name} {fields.get('cause', '')}".strip())


MOVING = ("infusing", "bolus", "kvo", "paused", "priming", "withdrawing", "moving", "relieving")


def live(
    seed: int, hours: float, core: str = "direct", recipe: Recipe | None = None, only: tuple[int, ...] | None = None
) -> Life:
    """Play the life of a seed and judge it. `only`: with just these of its faults."""
    plan = draw(seed, hours, core, only)
    life = Life(seed, hours, plan.kind, core, strikes=[s.text for s in plan.strikes])
    life.locked, life.dosed = plan.locked, plan.dosed
    world: World | None = None
    try:
        made = (recipe or Recipe("direct")).make(
            Plant(_params(plan), seed), seed=seed, **({} if core == "chip" else {"ticks_start_us": plan.ticks_start_us})
        )
        world = World(made)
        _play(plan, world, life)
    except Violation as violation:
        life.broken, life.text, life.at_us = violation.kind, violation.text, violation.t_us
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        life.broken, life.at_us = "exception", world.now_us if world else 0
        life.text = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
    if world is not None:
        life.digest, life.boots = world.digest(), world.core.boots
    return life


def _params(plan: Plan) -> PlantParams:
    base = PlantParams()
    for name, value in plan.plant.items():
        group, _, item = name.partition(".")
        base = dataclasses.replace(base, **{group: dataclasses.replace(getattr(base, group), **{item: value})})
    return for_syringe(plan.syringe_ml, base)


def _play(plan: Plan, world: World, life: Life) -> None:
    books, alarms = Books(plan.step_fl / 1e6), AlarmJudge()
    watcher = Watcher(world, books, alarms)
    operator = Operator(world, Client(world), books, alarms, plan, life.seen)
    watcher.operator = operator

    def tick() -> None:
        books.check(world.now_us)
        alarms.check(world.now_us)

    world.tick = tick
    for strike in plan.strikes:
        _arrange(strike, plan, world, books, operator)
    try:
        _begin(plan, world, operator)
        while world.now_us < plan.calm_us:
            _wait(world, operator, min(operator.next_us(), plan.calm_us))
            operator.due_us = NEVER_US if operator.due_us <= world.now_us else operator.due_us
            operator.turn()
        _recover(plan, world, operator, books)
    finally:
        operator.count("programme's bolus under a lockout", books.window.pulses)
        life.commands, life.edges, life.excess_nl = operator.commands, abs(books.edges), round(books.most_nl, 1)
        life.faults = sum(count for name, count in operator.seen.items() if name.startswith("fault "))
        life.judged, life.fullest = _judged(operator), round(books.window.fullest, 4)


def _judged(operator: Operator) -> dict[str, int]:
    """By invariant: looks, steps, answers or alarms that it was held against."""
    books, alarms, seen = operator.books, operator.alarms, operator.seen
    judged = {
        "over_delivery": books.checks,
        "motion": books.made,
        "dose_limit": books.window.judged,
        "lockout": books.window.boluses,
        "dose_used": seen.get("used dose judged", 0),
        "totals": seen.get("totals judged", 0),
        "settings": seen.get("settings judged", 0),
        "ack": len(operator.acked),
        "twice": seen.get("orders in journals", 0),
        "forgery": sum(count for name, count in seen.items() if name.startswith("forged ")),
        "false_alarm": sum(alarms.explained.values()),
        "undetected": sum(alarms.kept.values()),
        "stuck": seen.get("recovered", 0),
    }
    return judged | {f"undetected {name}": count for name, count in sorted(alarms.kept.items())}


def _pass(world: World, until_us: int) -> None:
    while world.now_us < until_us:
        world.run_until(min(until_us, world.now_us + SLICE_US))


def _wait(world: World, operator: Operator, until_us: int) -> None:
    """Until somebody comes by, or because an alarm calls."""
    operator.called = False
    while world.now_us < until_us:
        until_us = min(until_us, operator.due_us)
        world.run_until(min(until_us, world.now_us + SLICE_US))
        operator.client.listen()
        if operator.called:
            until_us = min(until_us, operator.come_us())


def _begin(plan: Plan, world: World, operator: Operator) -> None:
    _pass(world, world.now_us + SECOND_US)
    if plan.locked:
        operator.lock()
    if plan.dosed:
        operator.set_dose()
    operator.change_syringe()
    if plan.telemetry_ms:
        operator.ask(f"telemetry period_ms={plan.telemetry_ms}")
    operator.rate()


def _arrange(strike: Strike, plan: Plan, world: World, books: Books, operator: Operator) -> None:
    visit = stream(plan.seed, f"visit {strike.number}")

    waiting = False

    def begin() -> None:
        nonlocal waiting
        if visit.random() < AMBUSHES and strike.fault.group in HARD_GROUPS:
            waiting = True
            operator.ambushes.append(ambush)
            world.at((strike.at_us + strike.end_us) // 2, ambush)  # nobody comes: it does not wait for ever
        else:
            strike_now()
        if visit.random() < VISITS:
            operator.due_us = world.now_us + round(visit.expovariate(1.0) * VISIT_US)

    def ambush() -> None:
        nonlocal waiting
        if waiting:
            waiting = False
            strike_now()

    def strike_now() -> None:
        operator.count(f"fault {strike.fault.name}")
        books.forget_low(world.now_us)
        operator.alarms.begin(world.now_us, strike.fault)
        if isinstance(strike.fault, ButtonStuck) and strike.fault.button == "start":
            books.going(world.now_us)  # the button resumes what is paused
        if isinstance(strike.fault, ClockDrift):
            books.pace = 1 + abs(strike.fault.ppm) / 1e6
            books.window.drift(world.now_us, strike.fault.ppm)
        strike.fault.apply(world.rig, world.now_us)

    def end() -> None:
        books.check(world.now_us)
        strike.fault.end(world.rig, world.now_us)
        operator.alarms.end(world.now_us, strike.fault)
        if isinstance(strike.fault, ClockDrift):
            books.pace = 1.0
            books.window.drift(world.now_us, 0)

    world.at(strike.at_us, begin)
    if strike.fault.lasts:
        world.at(strike.end_us, end)
    else:
        world.at(plan.calm_us, end)


def _judge_journal(plan: Plan, world: World, operator: Operator) -> None:
    """No order was begun twice; one that was acknowledged was begun, if the flash was sound."""
    found, whole = intents(world.core.flash)
    operator.seen["orders in journals"] = len(found)
    for identity, count in found.items():
        if count > 1:
            raise Violation("twice", world.now_us, f"order {identity} was begun {count} times")
    sound = whole and not any(strike.fault.group == "flash" for strike in plan.strikes)
    for identity, body in operator.acked.items():
        if sound and identity not in found:
            raise Violation(
                "ack", world.now_us, f"order {identity} ({body}) was acknowledged and is not in the journal"
            )
    if sound:
        operator.count("journal judged")


def _recover(plan: Plan, world: World, operator: Operator, books: Books) -> None:
    """No more faults: the pump answers, gets well with what the manual says, delivers what is ordered, and stops."""
    world.core.power(True)
    _pass(world, world.now_us + QUIET_US)
    operator.hurry = True
    for attempt in range(RECOVER_TRIES):
        if not operator.ask("hello").ok:
            raise Violation("silent", world.now_us, "no answer after the last fault")
        operator.stop()
        if operator.act("ack").refused and attempt:
            operator.act("selftest")
        status = operator.ask("status")
        if status.fields.get("state") == "fault":
            operator.act("selftest")
        operator.state = operator.ask("status").fields.get("state", "?")
        operator.loaded = False
        if plan.dosed:
            operator.free_dose()
        operator.change_syringe()
        if operator.loaded and operator.basal_order(PROOF_NL_PER_DAY):
            break
        operator.restart()
    else:
        raise Violation("stuck", world.now_us, f"it can't be brought to deliver again: {operator.ask('status').fields}")
    _pass(world, world.now_us + 5 * MINUTE_US)
    low, _ = books.bounds()
    if not books.flows or books.delivered_nl < low - 2 * books.step_nl:
        raise Violation("stuck", world.now_us, f"{books.delivered_nl:.1f} nL delivered after the faults, {low:.1f} due")
    reply = operator.ask("totals")
    operator.judge_totals(reply)
    operator.judge_limits(operator.ask("limits"))
    operator.stop()
    _pass(world, max(plan.end_us, world.now_us + MINUTE_US))
    world.core.check()
    _judge_journal(plan, world, operator)
    operator.count("recovered")
