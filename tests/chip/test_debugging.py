"""--vcd and --gdb of a running emulator, put together as `haipump-emu run` does."""

import io

import pytest
from rich.console import Console

from haipump_emulator.cli import screen
from haipump_emulator.cli.session import Session, Setup, SetupError
from haipump_emulator.outputs import OutputError
from tools import vcd


@pytest.fixture(autouse=True)
def _state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


def test_a_run_writes_its_waveform_and_offers_a_port_to_gdb(pump_uf2, tmp_path):
    path = tmp_path / "a.vcd"
    session = Session.make(Setup(tcp=0, core="chip", uf2=pump_uf2, speed="max", for_us=2_000_000, vcd=path, gdb=0))
    try:
        shown = io.StringIO()
        screen.banner(Console(file=shown, width=200), session)
        assert f"target remote 127.0.0.1:{session.gdb.port}" in shown.getvalue()
        while session.core.now_us < 1_000_000:
            session.loop.turn()
        assert vcd.read(path).at("power", 0) == "1"  # up to date in every turn
        session.loop.run()
    finally:
        session.close()
    dump = vcd.read(path)
    assert dump.end_ns == session.core.now_ns
    assert dump.signals["en"][0] == (0, "z") and dump.at("en", 1_900_000_000) == "1"
    assert any("boot=1" in str(text) for _, text in dump.signals["usb_out"])


def test_direct_writes_one_too_and_has_nothing_for_gdb(tmp_path):
    path = tmp_path / "a.vcd"
    session = Session.make(Setup(tcp=0, core="direct", speed="max", for_us=2_000_000, vcd=path))
    try:
        session.loop.run()
    finally:
        session.close()
    assert vcd.read(path).end_ns == session.core.now_us * 1_000
    with pytest.raises(SetupError, match="--gdb: only the chip"):
        Session.make(Setup(tcp=0, core="direct", gdb=0))


def test_a_waveform_that_can_not_be_written_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        Session.make(Setup(tcp=0, core="direct", vcd=tmp_path / "nowhere" / "a.vcd"))
