"""How well the therapy's models keep to the figures that they are held to, and what both pumps gave in a fortnight.

Owns: the measurements. Must not: judge them; `tools.bench` has the bars.
"""

from __future__ import annotations

import functools

from haipump_emulator.compare import outcome, run
from haipump_emulator.plant.implant import ImplantParams
from haipump_emulator.plant.patient import advantage
from haipump_emulator.plant.surroundings import NAMES, chosen
from tests.emulator.plant.test_implant import CELLS, changed_percent

# What the literature's "400 times" comes to with the default patient, and its ratio for the same dose.
RD, SAME_DOSE = 399.75, 11.99


def worst_cell() -> float:
    """Percentage points between model and sensitivity table, in the worst of its cells."""
    return max(abs(changed_percent(bar, change) - percent) for bar, change, percent in CELLS)


def advantage_off_percent() -> tuple[float, float]:
    """Percent by which Rd and the same-dose ratio, from simulated concentrations, miss those of the literature."""
    found = advantage()
    return round(100 * abs(found.rd / RD - 1), 6), round(100 * abs(found.dose_ratio / SAME_DOSE - 1), 6)


@functools.cache
def fortnight() -> outcome.Outcome:
    """What `haipump-emu compare` does by itself."""
    profile, therapy, params = chosen(NAMES), run.Therapy(), ImplantParams()
    constant, programmed = run.constant_flow(profile, therapy, params), run.programmable(profile, therapy)
    return outcome.judge(profile, therapy, params, constant, programmed)


def worst_event() -> float:
    """Percentage points between the constant-flow pump in an event of this fortnight and the table's column for it."""
    rows = [row for row in fortnight().rows if row.alone_percent is not None and row.table_percent is not None]
    return max(abs((row.alone_percent or 0.0) - (row.table_percent or 0.0)) for row in rows)
