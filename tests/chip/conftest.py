"""The MicroPython image that every test here boots.

Owns: finding it. Must not: get or build one: a test run that needs an hour of patience tells nobody why.
"""

from pathlib import Path

import pytest

from haipump_emulator.chip.image import HOW_TO_GET_ONE, find


@pytest.fixture(scope="session")
def image() -> Path:
    """The plain interpreter."""
    found = find()
    if found is None:
        pytest.fail(f"no MicroPython image: {HOW_TO_GET_ONE}")
    return found
