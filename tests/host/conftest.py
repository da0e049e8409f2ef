"""Fixtures of the host tests: a pump in memory, a line to it, a client on that line."""

import re

import pytest
from typer.testing import CliRunner

import haipump
from haipump.cli import app, frame
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


@pytest.fixture
def command(line, monkeypatch):
    """Runs a line as typed, on the pump in memory; returns (exit code, words)."""
    monkeypatch.setattr(frame, "connect", lambda port, key, **more: haipump.connect(line, key, **more))
    monkeypatch.setattr(frame, "find_ports", lambda: [])
    line.pump.settings["syringe_nl"] = 30_000_000

    def run(words: str, input: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(app, words.split(), input=input)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())

    return run
