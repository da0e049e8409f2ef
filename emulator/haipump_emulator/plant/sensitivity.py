"""How much a constant-flow pump's flow changes with what its patient does: the table that the model is held to.

Owns: the table as it was given. Must not: compute; implant.py does, and a test compares every cell.

Derived for gas-driven implants from Clausius-Clapeyron with 25 kJ/mol, the viscosity of water and a linear restrictor;
older implants were quoted at 10 to 13 % per kelvin and several percent per 1,000 ft, which the first two rows give.
"""

from __future__ import annotations

from collections.abc import Mapping

# What changes, from 37 °C, sea level and 93 mmHg. Altitudes are 1,000, 5,280 and 8,000 ft.
CHANGES = ("38 C", "39 C", "+305 m", "+1609 m", "+2438 m", "+20 mmHg")
# Vapour pressure at 37 °C, bar absolute: drive in mbar, and the change of the flow in percent in the order of CHANGES.
ROWS: Mapping[float, tuple[int, tuple[float, ...]]] = {
    1.6: (463, (13.1, 27, 7.7, 39, 56, -5.8)),
    2.0: (863, (9.5, 19, 4.2, 21, 30, -3.1)),
    2.5: (1363, (7.9, 16, 2.6, 13, 19, -2.0)),
    3.1: (1963, (7.1, 15, 1.8, 9, 13, -1.4)),
}


def cell(vapour_bar: float, change: str) -> float | None:
    """Percent; None where the table has no such row. KeyError for an unknown change."""
    if change not in CHANGES:
        raise KeyError(f"no column {change!r}; there are: {', '.join(CHANGES)}")
    row = ROWS.get(vapour_bar)
    return row[1][CHANGES.index(change)] if row else None
