"""Units of the dose path: names, factors and the one integer division with explicit rounding.

Owns: the factors between the units. Must not: know a clock, a port, or a float.

Volumes on the wire and in settings are nanolitres (nL), rates nanolitres per day (nL/day), times whole seconds.
Inside the planner a volume is an integer number of *quanta*: one quantum is 1 fL / 86,400, so that a rate of
1 nL/day is exactly 1 quantum per microsecond (1 nL/day = 1e6 fL / 86,400e6 us).
"""

from haipump_fw.const import const

SECONDS_PER_DAY = const(86_400)
US_PER_S = const(1_000_000)
FL_PER_NL = const(1_000_000)
QUANTA_PER_FL = const(86_400)
# A rate of r nL/day plans r quanta per microsecond.
QUANTA_PER_NL = 86_400_000_000  # larger than a small integer: once per order, never per step

STEP_PERIOD_MAX_US = const(500_000_000)  # slower than this is refused (docs/architecture.md)


def div_up(numerator, denominator):
    """Ceiling of a quotient; denominator > 0."""
    return -((-numerator) // denominator)


def div_near(numerator, denominator):
    """Quotient rounded half up; denominator > 0."""
    return (2 * numerator + denominator) // (2 * denominator)


def within(values, part=10):
    """(lowest, highest) femtolitres per microstep within 1/`part` of what bore, lead and steps per turn of `values`
    give: pi / 4 * bore^2 * lead / steps per turn, with 355/113 for pi, which is 85 in 10^9 too much. A measured one
    that is more than a tenth off is a mistake and no tolerance: the host says the same of a weighing."""
    # Up to 3e16, larger than a small integer: once per order, never per step.
    exact = div_near(355 * values["bore_um"] * values["bore_um"] * values["lead_um"], 452 * values["steps_per_turn"])
    return exact - exact // part, exact + exact // part


def root_down(number):
    """Largest whole number whose square is at most `number` (>= 0)."""
    root = number
    better = (number + 1) // 2
    while better < root:
        root = better
        better = (root + number // root) // 2
    return root
