"""What happens to the pump in the runs that are compared: generated from seeds, and the shipped scenarios that fit.

Owns: the inputs. Must not: know what comes out; an order that is refused is as good as another.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from haipump_emulator.scenario import cli
from haipump_emulator.scenario.host import parse_command
from haipump_emulator.scenario.load import load_scenario
from haipump_emulator.scenario.model import Entry, Jumper, PlantAction, Power, Press, Say
from haipump_fw.ports import IN_SERVICE, IN_SILENCE, IN_START, IN_STOP

KINDS = ("calm", "changing", "faulty", "cut")
PER_KIND = 12
# Short enough for the chip, which has to live through every second of them.
SHIPPED = ("start_up", "driver_error", "stop_button", "syringe_released", "motor_stall", "pause_too_long", "power_cut")
FEW = ("calm-0", "changing-0", "changing-1", "faulty-0", "cut-0")  # those of `make test`
BUTTONS = {"start": IN_START, "stop": IN_STOP, "silence": IN_SILENCE}
SECOND = 1_000_000


@dataclass(frozen=True)
class Inputs:
    """Entries for `play.Play`, the overrides of the plant's parameters, and when the questions at the end begin."""

    entries: tuple[Entry, ...]
    end_us: int
    params: dict
    seed: int = 1


def names() -> list[str]:
    return [f"{kind}-{number}" for kind in KINDS for number in range(PER_KIND)] + list(SHIPPED)


def inputs(name: str) -> Inputs:
    """By a name of `names`."""
    if name in SHIPPED:
        path = next(path for path in cli.shipped() if path.stem == name)
        scenario = load_scenario(path)
        return Inputs(scenario.timeline, scenario.duration_us, scenario.params, scenario.seed)
    draw = random.Random(f"tests/equivalence/{name}")
    maker = _Maker(draw)
    maker.say("syringe 30mL 20mL")
    getattr(maker, name.partition("-")[0])()
    return Inputs(tuple(maker.entries), maker.at_us + 5 * SECOND, {})


class _Maker:
    """Puts one entry after the other; `at_us` is where the next one goes."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.at_us = 3_200_000
        self.entries: list[Entry] = []

    def _put(self, action) -> None:
        self.entries.append(Entry(self.at_us, 0, action))

    def say(self, text: str) -> None:
        """Said now; the next thing comes two seconds later."""
        self._put(Say(parse_command(text)))
        self.at_us += 2 * SECOND

    def wait(self, low_s: float, high_s: float) -> None:
        self.at_us += self._draw.randrange(round(low_s * SECOND), round(high_s * SECOND))

    def _rate(self) -> str:
        return f"{self._draw.randrange(20, 400)}mL/day"

    def _order(self) -> str:
        """Something that delivers for some seconds."""
        draw = self._draw
        volume = f"{draw.randrange(5, 60)}uL"
        programme = f"period 6s; repeats 1; end stop; 0s rate {self._rate()}; 2s bolus 3uL over 2s"
        return draw.choice(
            (
                f"bolus {volume} in {draw.randrange(4, 12)}s override",
                f"bolus {volume} over {draw.randrange(5, 12)}s override",
                f"bolus {volume} override",
                f"rate {self._rate()} vtbi 12uL then {draw.choice(('stop', 'kvo'))} override",
                f"programme override {programme}",
                f"prime {volume}",
                f"withdraw {volume}",
                f"jog {draw.choice((-1, 1)) * draw.randrange(50, 1_000)}",
            )
        )

    def calm(self) -> None:
        """One order after the other, each to its end."""
        for _ in range(4):
            self.say(self._order())
            self.wait(16, 20)
            self.say("stop")

    def _change(self) -> None:
        draw = self._draw
        change = draw.choice(
            (
                f"rate {self._rate()} override",
                f"rate {self._rate()} ramp {draw.randrange(3, 8)}s override",
                f"bolus {draw.randrange(3, 30)}uL in {draw.randrange(3, 9)}s override",
                f"bolus {draw.randrange(3, 30)}uL over {draw.randrange(3, 9)}s override",
                "kvo",
                "pause",
                "resume",
                "cancel",
                "stop",
                "raw !",
                "press",
            )
        )
        if change == "press":
            self._press(draw.choice(tuple(BUTTONS)))
        else:
            self.say(change)

    def _press(self, button: str) -> None:
        self._put(Press(button, BUTTONS[button], 200_000))
        self.at_us += 2 * SECOND

    def changing(self) -> None:
        """A rate, and everything that can be done to it while the motor runs."""
        self.say(f"rate {self._rate()}")
        for _ in range(8):
            self.wait(0.1, 5)
            self._change()
        self.say("ack")
        self.say("resume")
        self.wait(3, 6)

    def faulty(self) -> None:
        """Something breaks under way, is mended, acknowledged, and it goes on."""
        draw = self._draw
        name, breaks, mends = draw.choice(
            (
                ("driver_fault", {"on": True}, {"on": False}),
                ("capture", {"on": False}, {"on": True}),
                ("sensor", {"sensor": "encoder", "fault": "stuck"}, {"sensor": "encoder", "fault": "ok"}),
                ("sensor", {"sensor": "pressure", "fault": "off"}, {"sensor": "pressure", "fault": "ok"}),
            )
        )
        self.say(f"rate {self._rate()}")
        self.say(self._order())
        self.wait(0.1, 3)
        self._put(PlantAction(name, breaks))
        self.wait(31, 33)  # two looks of 15 s see it on either core
        self.say("ack")
        self._put(PlantAction(name, mends))
        self.wait(16, 17)  # at rest the sensors are looked at every 15 s, and each core has its own noise
        self.say("ack")
        self.say(self._order())
        self.wait(14, 18)

    def cut(self) -> None:
        """The power goes at any time, and comes back; sometimes with the jumper closed."""
        draw = self._draw
        self.say(f"rate {self._rate()}")
        self.say(self._order())
        self.wait(0, 3)
        if draw.random() < 0.3:
            self._put(Jumper(IN_SERVICE, True))
        self._put(Power("cycle", draw.randrange(100_000, 3 * SECOND)))
        self.at_us += 8 * SECOND
        self.say("ack")
        self.say(self._order())
        self.wait(14, 18)
