"""Fixtures of the host tests: a pump in memory, a line to it, a client on that line."""

import pytest

import haipump
from haipump.transport import discovery
from tests.host.device import FakePump, Line


@pytest.fixture(autouse=True)
def no_other_world(tmp_path, monkeypatch) -> None:
    """Nothing of this machine's is seen or touched: its boards and emulators, its user's options and history."""
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("HAIPUMP_PORT", "HAIPUMP_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(discovery.list_ports, "comports", lambda: [])


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
