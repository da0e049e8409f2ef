"""The catheter from pump to artery, what can become of it, and what a person at the pump can see of that.

Owns: the catheter's conditions as data, the flows through it. Must not: keep time or know which pump feeds it.

A network of three resistances meets behind the pump: the pump's own, the catheter to its tip, and a leak to the tissue
around. Pressures are Pa above ambient, resistances Pa s/nL, flows nL/s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from haipump_emulator.plant.plant import Plant

# 0.6 m of 0.6 mm bore: Poiseuille's law, and the volume of the bore (docs/plant.md has the same catheter).
PATENT_PA_S_PER_NL = 0.2
DEAD_VOLUME_NL = math.pi / 4 * 0.6**2 * 600 * 1_000
TISSUE_PA = 1_000.0  # above ambient, around pump and catheter: general knowledge (under 10 mmHg)


class Tip(StrEnum):
    """Where the tip lies."""

    ARTERY = "artery"  # the hepatic artery, as it should
    SIDE_BRANCH = "side_branch"  # an artery to stomach or duodenum: same pressure, another organ
    TISSUE = "tissue"  # out of the vessel


@dataclass(frozen=True, slots=True)
class Catheter:
    """One condition of the catheter. `resistance_pa_s_per_nl`: to the tip, math.inf when nothing passes;
    `leak_pa_s_per_nl`: from the connector to the tissue, None when tight."""

    name: str
    resistance_pa_s_per_nl: float = PATENT_PA_S_PER_NL
    leak_pa_s_per_nl: float | None = None
    tip: Tip = Tip.ARTERY
    about: str = ""

    def __post_init__(self) -> None:
        if not self.resistance_pa_s_per_nl > 0:
            raise ValueError(f"catheter {self.name}: a resistance is above 0 Pa s/nL")
        if self.leak_pa_s_per_nl is not None and not 0 < self.leak_pa_s_per_nl < math.inf:
            raise ValueError(f"catheter {self.name}: a leak's resistance is above 0 Pa s/nL, or None for tight")


PATENT = Catheter("patent", about="as it should be")
# The figures are chosen, not measured: each puts the constant-flow pump on one side of the bounds of a refill.
CONDITIONS = {
    condition.name: condition
    for condition in (
        PATENT,
        Catheter(
            "narrowed", 20.0, about="a flush is stiff, and the pump's flow shows nothing: its restrictor is far more"
        ),
        Catheter("partly_blocked", 2_500.0, about="a sheath or precipitate: the restrictor is no longer all there is"),
        Catheter("blocked", math.inf, about="nothing passes"),
        Catheter("kinked", 12_000.0, about="bent: a third of the flow is left"),
        Catheter("leaking", leak_pa_s_per_nl=1_500.0, about="cracked at the connector: half goes into the pocket"),
        Catheter("broken", math.inf, leak_pa_s_per_nl=0.1, about="came off: all goes into the pocket"),
        Catheter("side_branch", tip=Tip.SIDE_BRANCH, about="slipped into a branch that feeds another organ"),
        Catheter("dislodged", tip=Tip.TISSUE, about="slipped out of the artery"),
        Catheter("clotted", math.inf, about="a clot at the tip, after a dry period"),
    )
}


@dataclass(frozen=True, slots=True)
class Flows:
    """nL/s: out of the pump, through the tip, into the tissue beside the pump."""

    pump: float
    tip: float
    leak: float


def flows(catheter: Catheter, drive_pa: float, resistance_pa_s_per_nl: float, artery_pa: float) -> Flows:
    """Flows when a source at `drive_pa` behind `resistance_pa_s_per_nl` feeds the catheter.

    No flow goes backwards: blood that would enter the tip, or fluid the pump, stays where it is (at the tip it clots;
    the model leaves the few nanolitres out).
    """
    tip_pa = TISSUE_PA if catheter.tip is Tip.TISSUE else artery_pa
    source = 1 / resistance_pa_s_per_nl
    to_tip = 1 / catheter.resistance_pa_s_per_nl
    to_leak = 1 / catheter.leak_pa_s_per_nl if catheter.leak_pa_s_per_nl is not None else 0.0
    node_pa = (drive_pa * source + tip_pa * to_tip + TISSUE_PA * to_leak) / (source + to_tip + to_leak)
    if node_pa < tip_pa and to_leak:
        to_tip = 0.0
        node_pa = (drive_pa * source + TISSUE_PA * to_leak) / (source + to_leak)
    pump = max(0.0, (drive_pa - node_pa) * source)
    leak = min(pump, max(0.0, (node_pa - TISSUE_PA) * to_leak)) if to_tip else pump if to_leak else 0.0
    return Flows(pump, pump - leak, leak)


# --- what the bolus path shows ---

HAND_PA = 100_000.0  # a thumb on a 10 mL syringe; general knowledge (100 to 300 kPa)
NEEDLE_PA_S_PER_NL = 0.02  # a 22 gauge needle of 35 mm, Poiseuille for 0.41 mm bore
STIFF_NL_PER_S = 20_000.0  # a flush of 5 mL that takes more than 4 minutes is felt as stiff; assumed
BLOCKED_NL_PER_S = 100.0
TRACER_SHARE = 0.05


class Feel(StrEnum):
    """How the plunger of the bolus syringe goes down."""

    FREE = "free"
    STIFF = "stiff"
    BLOCKED = "blocked"


class Place(StrEnum):
    """Where a tracer shows that went the way of the drug, at the pump's own flow."""

    LIVER = "liver"
    OTHER_ORGAN = "other_organ"
    POCKET = "pocket"


@dataclass(frozen=True, slots=True)
class Signs:
    """What can be seen from outside. `flush`: how a flush through the bolus path feels; `blood_return`: blood comes
    when one draws back there; `tracer`: where a twentieth or more of a tracer from the reservoir shows, most first."""

    flush: Feel
    blood_return: bool
    tracer: tuple[Place, ...]


def flush_flows(catheter: Catheter, artery_pa: float) -> Flows:
    """Flows while a hand presses on a syringe at the bolus needle: there is no restrictor in this path."""
    return flows(catheter, HAND_PA, NEEDLE_PA_S_PER_NL, artery_pa)


def signs(catheter: Catheter, artery_pa: float, slow: Flows) -> Signs:
    """What flush, drawing back and a tracer at the pump's flow `slow` show of this catheter."""
    flush = flush_flows(catheter, artery_pa).pump
    feel = Feel.FREE if flush > STIFF_NL_PER_S else Feel.STIFF if flush > BLOCKED_NL_PER_S else Feel.BLOCKED
    # What is drawn comes the easier way: blood through the tip, or fluid out of the pocket through the leak.
    leak = catheter.leak_pa_s_per_nl or math.inf
    to_blood = catheter.resistance_pa_s_per_nl if catheter.tip is not Tip.TISSUE else math.inf
    target = {Tip.ARTERY: Place.LIVER, Tip.SIDE_BRANCH: Place.OTHER_ORGAN, Tip.TISSUE: Place.POCKET}[catheter.tip]
    found = sorted(((slow.tip, target), (slow.leak, Place.POCKET)), reverse=True)
    seen = tuple(dict.fromkeys(place for flow, place in found if flow > slow.pump * TRACER_SHARE))
    return Signs(feel, feel is Feel.FREE and to_blood < leak, seen)


def put_on(plant: Plant, t_us: int, catheter: Catheter, artery_pa: float) -> None:
    """Give the line of the programmable pump's plant this condition: closed, resistance, leak, place of the tip and
    pressure there."""
    if math.isinf(catheter.resistance_pa_s_per_nl):
        plant.occlude(t_us)
    elif catheter.resistance_pa_s_per_nl > PATENT_PA_S_PER_NL:
        plant.occlude(t_us, catheter.resistance_pa_s_per_nl - PATENT_PA_S_PER_NL)
    else:
        plant.release(t_us)
    if catheter.leak_pa_s_per_nl is not None:
        plant.leak(t_us, catheter.leak_pa_s_per_nl)
    else:
        plant.seal(t_us)
    plant.tip(t_us, catheter.tip is Tip.ARTERY, catheter.tip is not Tip.TISSUE)
    plant.artery(t_us, TISSUE_PA if catheter.tip is Tip.TISSUE else artery_pa)
