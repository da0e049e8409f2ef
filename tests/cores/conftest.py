"""The rig that every test here gets."""

from collections.abc import Iterator

import pytest

from tests.cores import rig as rigs


@pytest.fixture
def rig(request) -> Iterator[rigs.Rig]:
    rig = rigs.make(request.config.getoption("--core"), request.config.getoption("--port"))
    yield rig
    rig.pump.stop()
    rig.pump.close()
