"""Fixtures of the flashing tests: a small application to ship, and a Pico on a pty that the computer sees on USB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from haipump import flashing
from haipump.transport import discovery
from haipump.transport.obstacles import PICO_VENDOR
from haipump_fw.device import Shipped
from tests.host.flash.fake_board import FakeBoard

# As they are installed. The board of these tests looks at the first bytes of compiled files and no further.
COMPILED = b"M\x06\x00\x1f"
FILES = {
    "boot.py": b"import micropython\n",
    "main.py": b"import haipump_fw.app\n",
    "haipump_fw/__init__.mpy": COMPILED,
    "haipump_fw/app.mpy": COMPILED + b"an application\n" * 300,  # more than one piece
    "haipump_fw/ports/__init__.mpy": COMPILED,
    "haipump_fw/ports/rp2/board.mpy": COMPILED + b"board",
    "haipump_fw/ports/rp2/scratch.mpy": COMPILED + b"scratch",
}


@pytest.fixture
def ships() -> Shipped:
    return Shipped(FILES)


@pytest.fixture
def make_board(tmp_path: Path, ships: Shipped, monkeypatch) -> Iterator[Callable[..., FakeBoard]]:
    """Makes boards, not yet plugged in; USB lists those that are."""
    boards: list[FakeBoard] = []

    def make(**options: str) -> FakeBoard:
        boards.append(FakeBoard(tmp_path / f"pico{len(boards)}", ships, **options))
        return boards[-1]

    def usb() -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                device=board.port,
                vid=PICO_VENDOR,
                product="Board in FS mode",
                serial_number=board.device,
                description="",
            )
            for board in boards
            if board.present
        ]

    monkeypatch.setattr(discovery.list_ports, "comports", usb)
    monkeypatch.setattr(flashing, "RETRY_S", 0.02)
    monkeypatch.setattr(flashing, "PROBE_S", 0.2)
    yield make
    for board in boards:
        board.close()


@pytest.fixture
def pico(make_board) -> FakeBoard:
    """One that has nothing on it, plugged in by `boot`."""
    return make_board()
