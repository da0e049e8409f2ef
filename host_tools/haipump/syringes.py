"""Syringe sizes with their bores, and the volume of one microstep, rounded once and never again.

Owns: the table and the one formula. Must not: know the pump.

Two published tables disagree by 0.8 to 3.5 % of area, which is a dose error of that size: the bore is a setting that
is shown, and the one to trust is the one measured by weighing what a syringe delivers (`haipump calibrate`).
* "plastic": diameters of plastic syringes as pump makers' tables in the manner of Harvard Apparatus print them.
* "newera": diameters as in the tables of New Era's pumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from haipump.answers import Calibration
from haipump.errors import UsageError
from haipump.quantities import format_femtolitres, format_length, format_volume, volume_nl

# pi to 18 decimals as an exact fraction: its error is below 3e-19, far below half a femtolitre of any syringe
# (2e10 fL per microstep at most, times 3e-19, is 6e-9 fL), so the rounding below is the only one.
PI = Fraction(3_141592653589793238, 10**18)
TABLES = ("plastic", "newera")
# A choice, not a published limit: what 2,000 steps/s make of a 2 mm lead at 3,200 steps per turn.
MAX_PLUNGER_UM_PER_MIN = 75_000
FULL_STEPS_PER_TURN = 200
STEP_OFF_PERCENT = 10  # of a measured volume per step from the geometry's: more is a mistake and no tolerance
BORE_OFF_PERCENT = 25  # from the tables: glass and steel syringes of the same size differ by up to 22 %
NOMINAL = (
    "load it by its geometry, with `haipump syringe ... --nominal` (in Python `nominal=True`); then weigh what it "
    "delivers, and calibrate"
)
STROKE_MIN_UM, STROKE_MAX_UM = 25_000, 200_000  # of a syringe that is in no table


@dataclass(frozen=True)
class Syringe:
    """A size. `bores_um` in the order of TABLES."""

    size_nl: int
    bores_um: tuple[int, int]

    @property
    def name(self) -> str:
        return format_volume(self.size_nl)

    def bore_um(self, table: str = "plastic") -> int:
        """Inner diameter after one of the TABLES."""
        if table not in TABLES:
            raise UsageError(f'there is no table "{table}"', next_step="use " + " or ".join(TABLES))
        return self.bores_um[TABLES.index(table)]

    def max_rate_nl_per_day(self, table: str = "plastic") -> int:
        """The rate at MAX_PLUNGER_UM_PER_MIN, rounded down to a whole mL/h."""
        per_day_fl = area_um2(self.bore_um(table)) * MAX_PLUNGER_UM_PER_MIN * 60 * 24
        per_h_ml = per_day_fl / 24 / 10**12
        return int(per_h_ml) * 1_000_000 * 24


SYRINGES = tuple(
    Syringe(size_ml * 1_000_000, bores_um)
    for size_ml, bores_um in (
        (1, (4_780, 4_699)),
        (3, (8_660, 8_585)),
        (5, (12_060, 11_990)),
        (10, (14_500, 14_430)),
        (20, (19_130, 19_050)),
        (30, (21_700, 21_590)),
        (60, (26_700, 26_590)),
    )
)


def area_um2(bore_um: int) -> Fraction:
    """Cross section of the bore; one um2 times one um is one femtolitre."""
    return PI * bore_um * bore_um / 4


def step_fl(bore_um: int, lead_um: int, steps_per_turn: int) -> int:
    """Femtolitres per microstep, rounded half up. 30 mL (21,700 um) on a 2 mm lead at 3,200 steps: 231,144,... ."""
    exact = area_um2(bore_um) * lead_um / steps_per_turn
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def check_step(fl: int, bore_um: int, lead_um: int, steps_per_turn: int, next_step: str) -> None:
    """Raises UsageError, with this advice, for femtolitres per microstep that are more than STEP_OFF_PERCENT off what
    the geometry gives: the pump refuses them, too."""
    geometry = step_fl(bore_um, lead_um, steps_per_turn)
    if abs(fl - geometry) * 100 > geometry * STEP_OFF_PERCENT:
        raise UsageError(
            f"{format_femtolitres(fl)} per microstep is more than {STEP_OFF_PERCENT} % off the "
            f"{format_femtolitres(geometry)} that a bore of {format_length(bore_um)} and a screw of "
            f"{format_length(lead_um)} in {steps_per_turn:,} microsteps give",
            next_step=next_step,
        )


def full_step_nl(now: Calibration) -> int:
    """One full step of the motor, 200 to a turn: what the shaft may lag behind the steps and be well."""
    return now.step_fl * now.steps_per_turn // FULL_STEPS_PER_TURN // 1_000_000


def bore_range_um(size_nl: int) -> tuple[int, int]:
    """The narrowest and the widest bore that a syringe of this size has. The pump has the same bounds, and refuses."""
    known = [bore for one in SYRINGES if one.size_nl == size_nl for bore in one.bores_um]
    if known:
        return min(known) * (100 - BORE_OFF_PERCENT) // 100, max(known) * (100 + BORE_OFF_PERCENT) // 100
    # A cylinder of this volume and length l has the bore sqrt(4 V / (pi l)); 1 nL is 10^6 um3.
    square = Fraction(4 * size_nl * 10**6) / PI
    return isqrt(int(square / STROKE_MAX_UM)), isqrt(int(square / STROKE_MIN_UM))


def check_bore(size_nl: int, bore_um: int) -> None:
    """Raises UsageError for a bore that no syringe of this size has: a slip of the finger would be a wrong dose."""
    low_um, high_um = bore_range_um(size_nl)
    if not low_um <= bore_um <= high_um:
        raise UsageError(
            f"no {format_volume(size_nl)} syringe has a bore of {format_length(bore_um)}: it would be from "
            f"{format_length(low_um)} to {format_length(high_um)}",
            next_step="measure the inner diameter; --bore-um takes micrometres, 21700 for 21.7 mm",
        )


@dataclass(frozen=True)
class Step:
    """Femtolitres per microstep for a syringe to be loaded. `nominal_fl` is by its geometry; `measured_fl` is what was
    measured with the syringe that is in now, None when nothing was; `kept`: the measurement holds for this one, too."""

    nominal_fl: int
    measured_fl: int | None = None
    kept: bool = False

    @property
    def step_fl(self) -> int:
        return self.measured_fl if self.kept and self.measured_fl is not None else self.nominal_fl


def measured_fl(now: Calibration) -> int | None:
    """What was measured with the loaded syringe: its volume per microstep, when geometry gives another one."""
    same = now.step_fl == step_fl(now.bore_um, now.lead_um, now.steps_per_turn)
    return None if same or not now.syringe_nl else now.step_fl


def step_for(bore_um: int, now: Calibration, nominal: bool = False) -> Step:
    """What one microstep of a syringe of this bore amounts to. A weighed calibration belongs to a bore: another syringe
    of the same one keeps it, unless `nominal` gives it up. Raises UsageError when what would be kept can't have been
    measured: every dose would be off by as much."""
    geometry = step_fl(bore_um, now.lead_um, now.steps_per_turn)
    step = Step(geometry, measured_fl(now), bore_um == now.bore_um and not nominal)
    check_step(step.step_fl, bore_um, now.lead_um, now.steps_per_turn, NOMINAL)
    return step


def find(size: str) -> Syringe:
    """The syringe of a size as typed, `30mL`. Raises UsageError with the sizes there are."""
    wanted = volume_nl(size)
    for syringe in SYRINGES:
        if syringe.size_nl == wanted:
            return syringe
    known = ", ".join(syringe.name for syringe in SYRINGES)
    raise UsageError(
        f"there is no {size} syringe in the table",
        next_step=f"use one of {known}, or give its inner diameter with --bore-um",
    )
