"""The rig that every test here gets."""

from collections.abc import Iterator

import pytest

from tests.cores import rig as rigs
from tests.cores.options import LEVEL
from tests.cores.wire import Wire


@pytest.fixture(scope="session")
def session_rig(request) -> Iterator[rigs.Rig]:
    """The rig on one core, for all tests of this process."""
    config = request.config
    uf2 = request.getfixturevalue("pump_uf2") if request.param == "chip" else None
    rig = rigs.make(request.param, uf2, config.getoption("--port"), config.stash[LEVEL])
    yield rig
    rig.close()


@pytest.fixture
def rig(session_rig: rigs.Rig) -> Iterator[rigs.Rig]:
    """The same rig at rest; an emulated one is checked after each test."""
    session_rig.to_rest()
    yield session_rig
    if session_rig.core is not None:
        session_rig.core.check()


@pytest.fixture
def wire(rig: rigs.Rig) -> Iterator[Wire]:
    """Its serial line, byte by byte."""
    yield Wire(rig.pump)
    rig.pump.hello()  # ids have been used that the library does not know of
