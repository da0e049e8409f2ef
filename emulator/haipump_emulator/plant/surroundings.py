"""What a pump and its patient go through: temperature, altitude, artery pressure and flow over a fortnight, as data.

Owns: the events with their figures and sources, the air pressure at an altitude, the staircase that a profile becomes.
Must not: know a pump; draw random numbers.

Times are simulated microseconds from the start of the profile, which is 8 in the morning. A profile is constant within
a stair of STAIR_S seconds, so that two pumps that are led through it live in exactly the same world and can be solved
in closed form in each stair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

US_PER_S = 1_000_000
HOUR_S = 3_600
DAY_S = 86_400
STAIR_S = 300
START_CLOCK_S = 8 * HOUR_S  # time of day at which a profile begins
PROFILE_DAYS_MAX = 366

SEA_LEVEL_PA = 101_325.0
PA_PER_MMHG = 133.322387415
ALTITUDE_MIN_M, ALTITUDE_MAX_M = -500.0, 11_000.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pump stands in: `temperature_c` at the pump, absolute `ambient_pa`, mean `artery_pa` above ambient and the
    flow of the hepatic artery. The defaults are what the sensitivity table of docs/therapy-models.md counts from."""

    temperature_c: float = 37.0
    ambient_pa: float = SEA_LEVEL_PA
    artery_pa: float = 93 * PA_PER_MMHG
    artery_flow_l_per_min: float = 0.40

    def __post_init__(self) -> None:
        limits = (
            ("temperature_c", 5.0, 50.0),
            ("ambient_pa", 20_000.0, 110_000.0),
            ("artery_pa", 0.0, 40_000.0),
            ("artery_flow_l_per_min", 0.01, 3.0),
        )
        for name, low, high in limits:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"surroundings: {name} is {value:g}; the models hold from {low:g} to {high:g}")


REFERENCE = Surroundings()


def ambient_at_pa(altitude_m: float) -> float:
    """Air pressure in Pa at `altitude_m` by the standard atmosphere (ISO 2533: 288.15 K, 6.5 K/km up to 11 km).

    ValueError outside of -500 to 11,000 m.
    """
    if not ALTITUDE_MIN_M <= altitude_m <= ALTITUDE_MAX_M:
        raise ValueError(f"{altitude_m:g} m: the formula holds from {ALTITUDE_MIN_M:g} to {ALTITUDE_MAX_M:g} m")
    return SEA_LEVEL_PA * (1 - 0.0065 * altitude_m / 288.15) ** 5.25588


@dataclass(frozen=True, slots=True)
class Event:
    """Something that lasts: full from `begin_s` to `end_s`, growing evenly for `up_s` before and fading for `down_s`
    after. What is None or neutral stays as it is. `table`: the column of the sensitivity table that it should follow.
    """

    name: str
    title: str
    begin_s: int
    end_s: int
    up_s: int
    down_s: int
    source: str
    temperature_c: float | None = None
    altitude_m: float = 0.0
    artery_mmhg: float = 0.0
    artery_flow_factor: float = 1.0
    table: str | None = None

    @property
    def span(self) -> tuple[int, int]:
        """From its first trace to its last, seconds."""
        return self.begin_s - self.up_s, self.end_s + self.down_s

    def level(self, t_s: float) -> float:
        """How far it is there at this time, 0 to 1."""
        if t_s < self.begin_s:
            return max(0.0, 1 - (self.begin_s - t_s) / self.up_s)
        return max(0.0, 1 - max(0.0, t_s - self.end_s) / self.down_s)


def _at(days: int, clock_h: float) -> int:
    """Seconds from the start to a time of day, `days` midnights later."""
    return days * DAY_S + round(clock_h * HOUR_S) - START_CLOCK_S


# "general knowledge": textbook orders of magnitude, to be replaced by figures of the study that is at hand.
EVENTS = (
    Event(
        "fever", "fever 39 °C, 3 days", _at(2, 8), _at(5, 8), 3 * HOUR_S, 6 * HOUR_S,
        "three days: the comparison's own; rise and fall: general knowledge", temperature_c=39.0, table="39 C",
    ),
    Event(
        "flight", "flight, cabin 2438 m", _at(7, 10), _at(7, 20), 1_500, 1_500,
        "8,000 ft: the highest cabin altitude that airliners are certified for", altitude_m=2_438.4, table="+2438 m",
    ),
    Event(
        "mountains", "mountains 1609 m, 1 day", _at(9, 9), _at(10, 9), 5_400, 5_400,
        "5,280 ft: a column of the sensitivity table", altitude_m=1_609.344, table="+1609 m",
    ),
    Event(
        "sauna", "sauna, 20 min", _at(11, 19), _at(11, 19) + 1_200, 900, HOUR_S,
        "general knowledge: the trunk 1 to 2 K warmer, blood withdrawn from the gut",
        temperature_c=38.5, artery_mmhg=-5.0, artery_flow_factor=0.7,
    ),
    Event(
        "sport", "sport, 1 h", _at(12, 18), _at(12, 19), 900, HOUR_S,
        "general knowledge: core at 38 to 39 °C, mean pressure up, flow to the liver halved",
        temperature_c=38.3, artery_mmhg=15.0, artery_flow_factor=0.5,
    ),
)  # fmt: skip
DAY = "day"  # not an event but every day: the rhythm of temperature and pressure
NAMES = (DAY, *(event.name for event in EVENTS))

# The rhythm of a healthy day, general knowledge: half a kelvin between early morning and late afternoon, pressure a
# tenth lower at night.
RHYTHM_K = 0.25
RHYTHM_WARMEST_S = 17 * HOUR_S
RHYTHM_MMHG = 5.0


class Profile:
    """The world over `days`, with the named events; `rhythm`: temperature and pressure follow the time of day.

    ValueError for days outside of 1 to 366.
    """

    def __init__(self, events: Iterable[Event] = EVENTS, days: int = 14, rhythm: bool = True) -> None:
        if not 1 <= days <= PROFILE_DAYS_MAX:
            raise ValueError(f"a profile has 1 to {PROFILE_DAYS_MAX} days, not {days}")
        self.events = tuple(sorted(events, key=lambda event: event.begin_s))
        self.days = days
        self.rhythm = rhythm
        self.end_us = days * DAY_S * US_PER_S

    def moment(self, t_s: float) -> Surroundings:
        """The world at one moment, without stairs. Where events overlap the highest altitude and the largest change of
        temperature count, pressures add, flows multiply."""
        now = REFERENCE
        cycle = math.cos(2 * math.pi * (t_s + START_CLOCK_S - RHYTHM_WARMEST_S) / DAY_S) if self.rhythm else 0.0
        base_c = now.temperature_c + RHYTHM_K * cycle
        artery_pa = now.artery_pa + RHYTHM_MMHG * PA_PER_MMHG * cycle
        change_k, altitude_m, flow = 0.0, 0.0, now.artery_flow_l_per_min
        for event in self.events:
            level = event.level(t_s)
            if not level:
                continue
            if event.temperature_c is not None:
                change_k = max(change_k, level * (event.temperature_c - base_c), key=abs)
            altitude_m = max(altitude_m, level * event.altitude_m)
            artery_pa += level * event.artery_mmhg * PA_PER_MMHG
            flow *= 1 + level * (event.artery_flow_factor - 1)
        return replace(
            now,
            temperature_c=base_c + change_k,
            ambient_pa=ambient_at_pa(altitude_m),
            artery_pa=artery_pa,
            artery_flow_l_per_min=flow,
        )

    def stairs(self) -> Sequence[tuple[int, Surroundings]]:
        """(begin in microseconds, the world until the next) for every stair, each with the values of its middle."""
        return [
            (t_s * US_PER_S, self.moment(t_s + STAIR_S / 2)) for t_s in range(0, self.days * DAY_S, STAIR_S)
        ]  # fmt: skip


def chosen(names: Iterable[str], days: int = 14) -> Profile:
    """The profile with these of NAMES. ValueError names what is unknown, and what there is."""
    wanted = set(names)
    unknown = sorted(wanted - set(NAMES))
    if unknown:
        raise ValueError(f"no event {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    return Profile((event for event in EVENTS if event.name in wanted), days, DAY in wanted)
