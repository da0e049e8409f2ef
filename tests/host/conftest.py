"""Fixtures of the host tests: a pump in memory, a line to it, a client on that line."""

import pytest

import haipump
from tests.host.device import FakePump, Line


@pytest.fixture
def pump() -> FakePump:
    return FakePump()


@pytest.fixture
def line(pump: FakePump) -> Line:
    return Line(pump)


@pytest.fixture
def client(line: Line):
    with haipump.connect(line) as connected:
        yield connected
