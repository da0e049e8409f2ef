"""The implanted constant-flow pump: bellows, propellant, restrictor, septum. The pump that a programmable one replaces.

Owns: vapour pressure, viscosity, the flow, what is in the reservoir, what needles do. Must not: keep a clock, draw
random numbers, know the programmable pump.

    flow = (vapour pressure(T) - ambient - pressure behind the restrictor) / (restrictor * viscosity(T, glycerin))

Every method takes simulated microseconds, which never decrease. The world is constant between calls, so that all
volumes are exact at any time and do not depend on how often one looks. Pressures are Pa, volumes nL, flows nL/s, drug
ng/nL, which is mg/mL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from haipump_emulator.plant.catheter import (
    CONDITIONS,
    DEAD_VOLUME_NL,
    PATENT,
    Catheter,
    Flows,
    Signs,
    flows,
    flush_flows,
    signs,
)
from haipump_emulator.plant.fluid import ModelError
from haipump_emulator.plant.surroundings import DAY_S, REFERENCE, US_PER_S, Surroundings

KELVIN = 273.15
BODY_C = 37.0
GAS_J_PER_MOL_K = 8.314462618
VAPORISATION_J_PER_MOL = 25_000.0  # of the propellant; about that of butane and its kind
GLYCERIN_MAX = 0.8  # beyond, the mixture law is checked by no test of ours
NEVER_US = 1 << 62
SETTLE_MAX = 16  # changes by themselves between two calls: the tail, standing still, the clot


def vapour_pa(temperature_c: float, at_37_pa: float) -> float:
    """Absolute vapour pressure in Pa at `temperature_c` of a propellant that has `at_37_pa` at 37 °C.

    Clausius and Clapeyron with a constant heat of vaporisation, 25 kJ/mol.
    """
    inverse = 1 / (BODY_C + KELVIN) - 1 / (temperature_c + KELVIN)
    return at_37_pa * math.exp(VAPORISATION_J_PER_MOL / GAS_J_PER_MOL_K * inverse)


def water_viscosity_pa_s(temperature_c: float) -> float:
    """Viscosity of water in Pa s, 0 to 100 °C within 2.5 %: 2.414e-5 * 10^(247.8 / (T - 140 K)) (Vogel's form, the
    constants as in Al-Shemmeri, Engineering Fluid Mechanics, 2012). ValueError outside."""
    if not 0 <= temperature_c <= 100:
        raise ValueError(f"{temperature_c:g} °C: the viscosity of water is known here from 0 to 100 °C")
    return 2.414e-5 * 10 ** (247.8 / (temperature_c + KELVIN - 140))


def glycerin_factor(share: float, temperature_c: float) -> float:
    """How many times more viscous than water a mixture with this mass share of glycerin is.

    N.-S. Cheng, Ind. Eng. Chem. Res. 47 (2008) 3285. ValueError for a share outside of 0 to 0.8.
    """
    if not 0 <= share <= GLYCERIN_MAX:
        raise ValueError(f"a glycerin share of {share:g}: the mixture is known here from 0 to {GLYCERIN_MAX:g}")
    t = temperature_c
    water = 1.790 * math.exp((-1_230 - t) * t / (36_100 + 360 * t))
    glycerin = 12_100 * math.exp((-1_233 + t) * t / (9_900 + 70 * t))
    a = 0.705 - 0.0017 * t
    b = (4.9 + 0.036 * t) * a**2.5
    weight = 1 - share + a * b * share * (1 - share) / (a * share + b * (1 - share))
    return (glycerin / water) ** (1 - weight)


def _row(default: Any, low: float, high: float, source: str) -> Any:
    return field(default=default, metadata={"min": low, "max": high, "source": source})


@dataclass(frozen=True, slots=True)
class ImplantParams:
    """One pump as it left the factory. `label_nl_per_day`: its flow with water at 37 °C, sea level and 93 mmHg."""

    label_nl_per_day: int = _row(1_300_000, 100_000, 6_000_000, "the project's default; catalogues 0.5 to 3 mL/day")
    vapour_37_pa: float = _row(200_000.0, 140_000.0, 400_000.0, "cross-checked: 10 % per kelvin needs 1.6 to 2.0 bar")
    capacity_nl: int = _row(30_000_000, 1_000_000, 60_000_000, "about one fluid ounce, common model")
    tail_share: float = _row(0.03, 0.001, 0.2, "another gas-powered pump tails off after 97 % is out")
    still_share: float = _row(0.1, 0.001, 0.5, "assumed: less than this of the label's flow keeps no catheter open")
    clot_after_s: int = _row(2 * DAY_S, 3_600, 30 * DAY_S, "assumed: a dry catheter clots after two days")

    def validate(self) -> None:
        """Raise ValueError with everything that is out of its range, one a line."""
        found = []
        for name, item in self.__dataclass_fields__.items():
            value, low, high = getattr(self, name), item.metadata["min"], item.metadata["max"]
            if not low <= value <= high:
                found.append(f"implant.{name}: {value!r} is outside {low} to {high}")
        if found:
            raise ValueError("\n".join(found))

    @property
    def resistance_per_pa_s(self) -> float:
        """Restrictor's geometry: resistance (Pa s/nL) over viscosity (Pa s), from the flow on the label."""
        drive = self.vapour_37_pa - REFERENCE.ambient_pa - REFERENCE.artery_pa
        resistance = drive / (self.label_nl_per_day / DAY_S) - PATENT.resistance_pa_s_per_nl
        return resistance / water_viscosity_pa_s(BODY_C)


@dataclass(frozen=True, slots=True)
class Contents:
    """A volume of one mixture. `glycerin_share` by mass, taken to mix as volumes do (1 to 26 % too dense: left out)."""

    volume_nl: float
    drug_ng_per_nl: float = 0.0
    glycerin_share: float = 0.0

    def __post_init__(self) -> None:
        if self.volume_nl < 0 or self.drug_ng_per_nl < 0 or not 0 <= self.glycerin_share <= GLYCERIN_MAX:
            raise ValueError(f"no such contents: {self}; volumes and drug are 0 or more, glycerin 0 to {GLYCERIN_MAX}")

    def mixed(self, other: Contents) -> Contents:
        """Both together."""
        volume = self.volume_nl + other.volume_nl
        if not volume:
            return self
        mine, its = self.volume_nl / volume, other.volume_nl / volume
        return Contents(
            volume,
            self.drug_ng_per_nl * mine + other.drug_ng_per_nl * its,
            self.glycerin_share * mine + other.glycerin_share * its,
        )


class Needle(StrEnum):
    """Which needle, and where its opening is."""

    REFILL = "refill"  # through the septum, opening in the reservoir
    BOLUS = "bolus"  # through the septum, side slot: the reservoir is sealed off, the catheter is at hand
    BESIDE = "beside"  # missed the septum: in the pocket around the pump


class Access(Exception):
    """The needle can't do that here; the message says what the hand feels and what to do."""


@dataclass(frozen=True, slots=True)
class Flush:
    """What became of an injection through the bolus path. Volumes nL; `left_nl` did not go in. `ahead_nl`: what stood
    in the catheter and went ahead, at hand pressure. `signs`: what was felt and seen."""

    arrived_nl: float
    leaked_nl: float
    left_nl: float
    ahead_nl: float
    took_s: float
    signs: Signs


@dataclass(frozen=True, slots=True)
class ImplantTruth:
    """What is really so at one moment. Volumes nL and drug ng since the start; flows nL/s now.

    filled + initial = reservoir + withdrawn + pumped, and pumped = arrived + elsewhere + leaked, to rounding."""

    t_us: int
    flow_nl_per_s: float
    tip_nl_per_s: float  # through the tip, wherever it lies
    reservoir: Contents
    pumped_nl: float
    arrived_nl: float  # through the tip into the hepatic artery
    elsewhere_nl: float  # through the tip to where it should not lie
    leaked_nl: float  # out of the catheter into the pocket
    pumped_ng: float
    arrived_ng: float
    pocket: Contents  # what needles put beside the pump
    catheter: str
    still_s: float  # since when nothing to speak of flows
    flipped: bool


class ImplantedPump:
    """`ImplantedPump(params, contents)`. ValueError for bad parameters and for time going back."""

    def __init__(self, params: ImplantParams | None = None, contents: Contents | None = None) -> None:
        self.params = params = params or ImplantParams()
        params.validate()
        self._contents = contents or Contents(params.capacity_nl)
        if self._contents.volume_nl > params.capacity_nl:
            raise ValueError(f"the reservoir holds {params.capacity_nl} nL, not {self._contents.volume_nl:.0f}")
        self._world = REFERENCE
        self._catheter = PATENT
        self._restrictor = params.resistance_per_pa_s
        self._pocket = Contents(0.0)
        self._flipped = False
        self._t_us = 0
        self._pumped = self._arrived = self._elsewhere = self._leaked = 0.0
        self._pumped_ng = self._arrived_ng = 0.0
        self._still_us: int | None = None
        self._full = Flows(0.0, 0.0, 0.0)
        self._tune()

    # -- what happens ------------------------------------------------------------------------------------------------

    def surround(self, t_us: int, world: Surroundings) -> None:
        """The world from now on."""
        self._advance(t_us)
        if world != self._world:
            self._world = world
            self._tune()

    def set_catheter(self, t_us: int, catheter: Catheter) -> None:
        """Another condition of the catheter from now on (catheter.CONDITIONS, or one of one's own)."""
        self._advance(t_us)
        self._catheter = catheter
        self._tune()

    def speed(self, t_us: int, factor: float) -> None:
        """A restrictor that lets `factor` times as much through as it should, 0.1 to 10: the fault of the recall."""
        if not 0.1 <= factor <= 10:
            raise ValueError(f"a restrictor's factor is 0.1 to 10, not {factor:g}")
        self._advance(t_us)
        self._restrictor = self.params.resistance_per_pa_s / factor
        self._tune()

    def flip(self, t_us: int, on: bool) -> None:
        """The pump turned over in its pocket: it goes on, but no needle finds the septum."""
        self._advance(t_us)
        self._flipped = bool(on)

    # -- needles -----------------------------------------------------------------------------------------------------

    def withdraw(self, t_us: int, needle: Needle = Needle.REFILL, at_most_nl: float = math.inf) -> Contents:
        """The propellant pushes the reservoir out through the refill needle: what comes. Beside the septum comes what
        stands in the pocket. Raises Access for a pump that is flipped, and for the bolus needle."""
        self._reach(t_us, needle)
        if needle is Needle.BOLUS:
            raise Access("the bolus needle's slot does not reach the reservoir; take the refill needle")
        source = self._pocket if needle is Needle.BESIDE else self._contents
        out = replace(source, volume_nl=min(source.volume_nl, max(0.0, at_most_nl)))
        left = replace(source, volume_nl=source.volume_nl - out.volume_nl)
        if needle is Needle.BESIDE:
            self._pocket = left
        else:
            self._contents = left
            self._tune()
        return out

    def fill(self, t_us: int, contents: Contents, needle: Needle = Needle.REFILL) -> None:
        """Inject through the refill needle, or beside the septum into the pocket, which takes it without a sign. Raises
        Access for what does not fit, a pump that is flipped, and the bolus needle (which has `flush`)."""
        self._reach(t_us, needle)
        if needle is Needle.BOLUS:
            raise Access("the bolus needle leads past the restrictor into the artery; take the refill needle to fill")
        if needle is Needle.BESIDE:
            self._pocket = self._pocket.mixed(contents)
            return
        room = self.params.capacity_nl - self._contents.volume_nl
        if contents.volume_nl > room * (1 + 1e-12):
            raise Access(
                f"{contents.volume_nl / 1e6:.2f} mL into a reservoir with room for {room / 1e6:.2f} mL: the bellows is"
                " at its stop; nothing was injected, withdraw the residual first"
            )
        self._contents = self._contents.mixed(contents)
        self._tune()

    def flush(self, t_us: int, volume_nl: float, patience_s: float = 600.0) -> Flush:
        """Inject `volume_nl` through the bolus needle: past reservoir and restrictor, straight into the catheter at
        hand pressure, for `patience_s` at most. Takes no simulated time. Raises Access for a pump that is flipped."""
        if volume_nl < 0 or patience_s <= 0:
            raise ValueError(f"a flush of {volume_nl} nL within {patience_s} s: 0 nL or more, above 0 s")
        self._reach(t_us, Needle.BOLUS)
        flow = flush_flows(self._catheter, self._world.artery_pa)
        took = min(volume_nl / flow.pump, patience_s) if flow.pump else patience_s
        tip, leak = flow.tip * took, flow.leak * took
        gone = min(volume_nl, flow.pump * took)
        seen = signs(self._catheter, self._world.artery_pa, self._full)
        return Flush(tip, leak, volume_nl - gone, min(tip, DEAD_VOLUME_NL), took, seen)

    def palpable(self) -> bool:
        """The septum can be felt through the skin."""
        return not self._flipped

    # -- truth -------------------------------------------------------------------------------------------------------

    def truth(self, t_us: int) -> ImplantTruth:
        """Everything as it is at t_us. Changes nothing that any later call can see."""
        then = object.__new__(ImplantedPump)
        then.__dict__.update(self.__dict__)
        then._advance(t_us)
        return then._truth()

    def _truth(self) -> ImplantTruth:
        scale = self._scale()
        return ImplantTruth(
            t_us=self._t_us,
            flow_nl_per_s=self._full.pump * scale,
            tip_nl_per_s=self._full.tip * scale,
            reservoir=self._contents,
            pumped_nl=self._pumped,
            arrived_nl=self._arrived,
            elsewhere_nl=self._elsewhere,
            leaked_nl=self._leaked,
            pumped_ng=self._pumped_ng,
            arrived_ng=self._arrived_ng,
            pocket=self._pocket,
            catheter=self._catheter.name,
            still_s=0.0 if self._still_us is None else (self._t_us - self._still_us) / US_PER_S,
            flipped=self._flipped,
        )

    # -- inside ------------------------------------------------------------------------------------------------------

    def _reach(self, t_us: int, needle: Needle) -> None:
        self._advance(t_us)
        if self._flipped and needle is not Needle.BESIDE:
            raise Access("the needle meets metal where the septum should be: the pump may have turned over; nothing was"
                         " injected, have the pump's place looked at")  # fmt: skip

    @property
    def _tail_nl(self) -> float:
        return self.params.tail_share * self.params.capacity_nl

    def _scale(self) -> float:
        """Below the tail the bellows nears its stop and the flow fades with what is left."""
        return min(1.0, self._contents.volume_nl / self._tail_nl)

    def _tune(self) -> None:
        """Work out the flows with a full bellows, and whether anything to speak of flows."""
        world = self._world
        viscosity = water_viscosity_pa_s(world.temperature_c)
        viscosity *= glycerin_factor(self._contents.glycerin_share, world.temperature_c)
        drive = vapour_pa(world.temperature_c, self.params.vapour_37_pa) - world.ambient_pa
        self._full = flows(self._catheter, drive, self._restrictor * viscosity, world.artery_pa)
        self._note_still()

    @property
    def _still_nl_per_s(self) -> float:
        return self.params.still_share * self.params.label_nl_per_day / DAY_S

    def _note_still(self) -> None:
        if self._full.tip * self._scale() > self._still_nl_per_s:
            self._still_us = None
        elif self._still_us is None:
            self._still_us = self._t_us

    def _next_us(self) -> int:
        """When something changes by itself: the tail begins, the flow becomes too little, a clot has formed."""
        tail, volume, flow = self._tail_nl, self._contents.volume_nl, self._full
        if self._still_us is not None:
            clotted = math.isinf(self._catheter.resistance_pa_s_per_nl)
            clot_us = self._still_us + self.params.clot_after_s * US_PER_S
            ahead = NEVER_US if clotted or clot_us < self._t_us else clot_us
        else:
            ahead = NEVER_US
        if volume > tail and flow.pump:
            return min(ahead, self._t_us + math.ceil((volume - tail) / flow.pump * US_PER_S))
        if self._still_us is None and flow.pump:
            # The flow at the tip falls as exp(-t * pump / tail) from here.
            fall = math.log(flow.tip * self._scale() / self._still_nl_per_s)
            return min(ahead, self._t_us + math.ceil(fall * tail / flow.pump * US_PER_S) + 1)
        return ahead

    def _advance(self, t_us: int) -> None:
        if t_us < self._t_us:
            raise ValueError(f"time can't go back: {t_us} us asked for, the implant is at {self._t_us} us")
        for _ in range(SETTLE_MAX):
            next_us = self._next_us()
            if next_us > t_us:
                break
            self._integrate(next_us)
            self._happen()
        else:
            raise ModelError(f"more than {SETTLE_MAX} changes by themselves before {t_us} us")
        self._integrate(t_us)

    def _happen(self) -> None:
        still_us = self._still_us
        if still_us is not None and self._t_us >= still_us + self.params.clot_after_s * US_PER_S:
            clot = CONDITIONS["clotted"]
            self._catheter = replace(clot, leak_pa_s_per_nl=self._catheter.leak_pa_s_per_nl, tip=self._catheter.tip)
            self._tune()
        else:
            self._note_still()

    def _integrate(self, t_us: int) -> None:
        """Let the volumes flow until t_us; nothing changes of itself on the way."""
        seconds = (t_us - self._t_us) / US_PER_S
        self._t_us = t_us
        flow, before = self._full, self._contents
        if not seconds or not flow.pump:
            return
        tail, volume = self._tail_nl, before.volume_nl
        if volume > tail:
            out = min(flow.pump * seconds, volume)
        else:
            out = -volume * math.expm1(-flow.pump * seconds / tail)
        self._contents = replace(before, volume_nl=volume - out)
        at_tip = out * flow.tip / flow.pump
        self._pumped += out
        self._pumped_ng += out * before.drug_ng_per_nl
        self._leaked += out * flow.leak / flow.pump
        if PATENT.tip is self._catheter.tip:
            self._arrived += at_tip
            self._arrived_ng += at_tip * before.drug_ng_per_nl
        else:
            self._elsewhere += at_tip
