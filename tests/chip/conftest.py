"""Pumps on the chip that many tests begin from.

Owns: the situations. Must not: be run on: a test works on a copy (`tests.chip.branch`), so that the next one finds the
same.
"""

import pytest

from tests.chip.pump import TOP_NL_PER_DAY, ChipPump


@pytest.fixture(scope="session")
def stopped(pump_uf2) -> ChipPump:
    """A 30 mL syringe is loaded, nothing moves."""
    pump = ChipPump(pump_uf2)
    pump.load()
    return pump


@pytest.fixture(scope="session")
def small(pump_uf2) -> ChipPump:
    """A 1 mL syringe that may be primed at 2,000 steps/s; nothing moves."""
    pump = ChipPump(pump_uf2, size_ml=1)
    pump.load()
    pump.order(f"prepare_settings prime_nl_per_day={TOP_NL_PER_DAY}")
    pump.order("prepare_limits reservoir_low_nl=1000 reservoir_empty_nl=0")
    pump.run(1)
    return pump
