"""What a fill was made of, as a record keeps it beside its visit.

Owns: the shape of that, and its words. Must not: work anything out (`dose` does), or know the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from haipump.quantities import format_volume, rounded
from haipump.therapy.dose import Preparation
from haipump.therapy.sheet import amount_text

NG_PER_MG = 1_000_000


def kept(made: Preparation) -> dict[str, Any]:
    """All that was worked out, for JSON; amounts are exact, as `p/q`. `ordered_ng_per_day` is dose x weight after the
    adjustment, None for what is not dosed by weight."""
    dose, weight_kg = made.dose_mg_per_kg_day, made.course.patient.weight_kg
    return {
        "drug": made.phase.drug,
        "volume_nl": made.pump.fill_nl,
        "components": [{"drug": one.drug.word, "amount": str(one.amount), "unit": one.unit} for one in made.components],
        "diluent": made.phase.diluent if made.diluent else None,
        "concentration": [str(made.concentration[0]), made.concentration[1]] if made.concentration else None,
        "percent": str(made.percent),
        "weight_kg": str(weight_kg),
        "dose_mg_per_kg_day": None if dose is None else str(dose),
        "ordered_ng_per_day": None if dose is None else str(dose * weight_kg * NG_PER_MG),
    }


def made_of(settings: Mapping[str, Any], drug: str) -> Mapping[str, Any] | None:
    """How what went in at a visit with these settings was made; None where nobody said, or something else went in."""
    made = settings.get("made")
    return made if made and made["drug"] == drug else None


def made_text(made: Mapping[str, Any]) -> str:
    """`floxuridine 194 mg, heparin 30,000 units, saline to 30 mL`."""
    parts = [f"{one['drug']} {amount_text(Fraction(one['amount']), one['unit'])}" for one in made["components"]]
    rest = made["diluent"] or ("" if parts else made["drug"])
    volume = format_volume(made["volume_nl"])
    return ", ".join([*parts, f"{rest} to {volume}" if parts and rest else f"{rest} {volume}".strip()])


def strength_text(made: Mapping[str, Any]) -> str:
    """`6.467 mg/mL`, `1,000 units/mL`; "" without."""
    if made["concentration"] is None:
        return ""
    value, unit = made["concentration"]
    return f"{rounded(Fraction(value), 3)} {unit}"


def ordered_ng_per_day(made: Mapping[str, Any] | None) -> Fraction | None:
    """What the course ordered for a day; None where it is not dosed by weight."""
    return Fraction(made["ordered_ng_per_day"]) if made and made["ordered_ng_per_day"] else None
