"""Installing the firmware: mpremote's own code against a Pico on a pty."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from haipump import flashing
from haipump.cli import app
from haipump.errors import FlashFailed, HaipumpError, NoPumpFound, NotFlashable, Refused, SeveralPumps
from haipump.flashing import HALF, UNCHANGED, WHOLE, Flasher
from haipump_fw.device import Shipped, shipped
from tests.host.flash.conftest import COMPILED, FILES

STRANGER = {"main.py": b"print('blink')\n", "notes.txt": b"mine\n"}


def flash(ships: Shipped, port: str | None = None, **options) -> flashing.Installed:
    with Flasher(ships, port, **options) as flasher:
        return flasher.install(flasher.look())


def failure(ships: Shipped, port: str | None = None, **options) -> HaipumpError:
    with pytest.raises(HaipumpError) as caught:
        flash(ships, port, **options)
    assert caught.value.what and caught.value.state and caught.value.next_step
    return caught.value


# --- a Pico at the prompt


def test_a_fresh_board(pico, ships) -> None:
    pico.boot()
    done = flash(ships)
    assert pico.files() == ships.on_board
    assert done.info.app_hash == ships.app_hash and done.greeting.device == pico.device
    assert set(done.changes.write) == set(ships.on_board)
    assert pico.log == ["prompt", "cause 1", "reset", "pump"]


def test_nothing_but_files_is_touched(pico, ships) -> None:
    """The raw partition is reached through rp2 or memory addresses; no snippet gets hold of either."""
    pico.boot()
    flash(ships)
    ours = {name for name in pico.imported if name.startswith("haipump_fw")}
    assert pico.imported - ours == {"os", "sys", "machine", "hashlib", "binascii"}
    assert ours == {"haipump_fw.app", "haipump_fw.ports.rp2", "haipump_fw.ports.rp2.board"}


def test_what_is_not_ours_stays_and_strangers_in_our_package_go(pico, ships) -> None:
    pico.fill({"haipump_fw/app.py": b"old", "haipump_fw/old/x.py": b"", "lib/mine.py": b"x", "main.new": b"half"})
    pico.boot()
    done = flash(ships)
    assert pico.files() == {**ships.on_board, "lib/mine.py": b"x"}
    assert not (pico.root / "haipump_fw" / "old").exists()
    assert set(done.changes.remove) == {"haipump_fw/app.py", "haipump_fw/old/x.py", "main.new"}


def test_another_program_is_overwritten_only_when_that_is_meant(pico, ships) -> None:
    pico.fill(STRANGER)
    pico.boot()
    refused = failure(ships)
    assert isinstance(refused, NotFlashable) and "main.py" in refused.what and refused.state == UNCHANGED
    assert pico.files() == STRANGER
    assert wait_for(pico, "foreign", 2) == ["foreign", "foreign"], "it runs again"
    assert flash(ships, replace=True).info.app_hash == ships.app_hash
    assert pico.files() == {**ships.on_board, "notes.txt": b"mine\n"}


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("machine", "Raspberry Pi Pico 2 with RP2350", "RP2350"),
        ("version", (1, 24, 1), "micropython-1.24.1"),
        ("blocks", 10, "bytes are missing"),
    ],
)
def test_a_board_that_does_not_fit_is_left_alone(pico, ships, attribute, value, words) -> None:
    setattr(pico, attribute, value)
    pico.boot()
    refused = failure(ships)
    assert isinstance(refused, NotFlashable) and words in refused.what and refused.exit_code == 1
    assert pico.files() == {}


# --- over a running pump


def installed(board, files: dict[str, bytes]) -> None:
    """An older release is on it, and runs."""
    board.ships = Shipped(files)
    board.fill(board.ships.on_board)
    board.boot()


def test_an_update_over_a_running_pump(pico, ships) -> None:
    pico.renames = True
    installed(pico, {**FILES, "haipump_fw/app.mpy": COMPILED + b"old", "haipump_fw/gone.mpy": b""})
    pico.ships = ships
    done = flash(ships)
    assert pico.files() == ships.on_board and done.info.app_hash == ships.app_hash
    assert set(done.changes.write) == {"haipump_fw/app.mpy", "app_hash"}
    assert done.changes.remove == ("haipump_fw/gone.mpy",)
    assert pico.log == ["pump", "service", "prompt", "cause 1", "reset", "pump"]
    assert done.port == pico.port, "found again under its new name"


def test_the_same_again_writes_nothing(pico, ships) -> None:
    installed(pico, FILES)
    pico.dies_at_write = 1
    done = flash(ships)
    assert done.changes.none and pico.files() == ships.on_board
    assert pico.log == ["pump", "service", "prompt", "cause 1", "reset", "pump"]


@pytest.mark.parametrize(
    ("state", "advice"), [("infusing", "haipump stop"), ("refill", "refill --end"), ("alarm", "haipump ack")]
)
def test_a_pump_in_use_is_refused(pico, ships, state, advice) -> None:
    installed(pico, FILES)
    pico.pump.app.state = state
    refused = failure(ships)
    assert isinstance(refused, Refused) and refused.code == "state" and advice in refused.next_step
    assert pico.log == ["pump"] and not pico.pump.executed


def test_the_pump_has_the_last_word_on_service(pico, ships) -> None:
    installed(pico, FILES)
    pico.pump.refuse["service"] = ("locked", [])
    refused = failure(ships)
    assert isinstance(refused, Refused) and refused.code == "locked"
    assert pico.log == ["pump"]


def test_a_pump_that_is_no_pico_is_refused(pico, ships) -> None:
    pico.kind = "direct"
    installed(pico, FILES)
    refused = failure(ships)
    assert isinstance(refused, NotFlashable) and "direct" in refused.what
    assert pico.log == ["pump"]


def test_a_pump_without_room_goes_back_to_work_unchanged(pico, ships) -> None:
    installed(pico, {**FILES, "haipump_fw/app.mpy": COMPILED + b"old"})
    before = pico.files()
    pico.blocks = 9
    refused = failure(ships)
    assert isinstance(refused, NotFlashable) and refused.state == UNCHANGED
    assert pico.files() == before
    assert wait_for(pico, "pump", 6) == ["pump", "service", "prompt", "cause 1", "reset", "pump"]


def wait_for(board, last: str, length: int) -> list[str]:
    """The board's log once it has this length and end: a restart that nobody waits for."""
    while len(board.log) < length or board.log[-1] != last:
        board._thread.join(0.01)
    return board.log


# --- what goes wrong


@pytest.mark.parametrize("write", [1, 2, 5, 10, 11])
def test_a_link_that_dies_leaves_a_board_that_a_second_run_completes(pico, ships, write) -> None:
    """Also when the power goes with it: without main.py it comes up at the prompt, never in a loop of restarts."""
    installed(pico, {**FILES, "haipump_fw/app.mpy": COMPILED + b"old", "boot.py": b"# old\n", "main.py": b"# old\n"})
    pico.ships = Shipped(
        {**ships.files, "haipump_fw/app.mpy": COMPILED + b"new application" * 500, "main.py": b"# new\n"}
    )
    pico.dies_at_write = write
    broken = failure(pico.ships)
    assert isinstance(broken, FlashFailed) and broken.exit_code == 4
    assert broken.half_installed and broken.state == HALF and "again" in broken.next_step
    assert "main.py" not in pico.files()
    pico.dies_at_write = None
    pico.boot()
    assert pico.log[-1] == "prompt"
    assert flash(pico.ships).info.app_hash == pico.ships.app_hash
    assert pico.files() == pico.ships.on_board and "loop" not in pico.log


@pytest.mark.parametrize("name", ["haipump_fw/app.mpy", "main.new", "app_hash"])
def test_what_does_not_read_back_is_not_started(pico, ships, name) -> None:
    pico.garbles = name
    pico.boot()
    broken = failure(ships)
    assert isinstance(broken, FlashFailed) and broken.half_installed
    assert (name if name != "main.new" else "main.py") in broken.what
    assert "main.py" not in pico.files() and pico.log == ["prompt"]
    pico.garbles = ""
    assert flash(ships).info.app_hash == ships.app_hash


def test_an_application_that_this_interpreter_cannot_load_is_not_started(pico, ships) -> None:
    pico.unloadable = True
    pico.boot()
    broken = failure(ships)
    assert isinstance(broken, FlashFailed) and "MemoryError" in broken.what and broken.state == HALF
    assert "main.py" not in pico.files()


def test_a_board_that_fills_up_meanwhile(pico, ships, monkeypatch) -> None:
    monkeypatch.setattr(flashing, "blocks_short", lambda *facts: 0)
    pico.blocks = 2
    pico.boot()
    broken = failure(ships)
    assert isinstance(broken, FlashFailed) and "ENOSPC" in broken.what and broken.half_installed


def test_an_interruption_says_what_it_leaves_behind(pico, ships) -> None:
    def interrupt(text: str, done: int, whole: int) -> None:
        if done > 1_000:
            raise KeyboardInterrupt

    pico.boot()
    with pytest.raises(FlashFailed) as caught, Flasher(ships) as flasher:
        flasher.install(flasher.look(), interrupt)
    assert caught.value.half_installed and "interrupted" in caught.value.what
    assert flash(ships).info.app_hash == ships.app_hash


def test_a_pump_that_does_not_come_back(pico, ships) -> None:
    installed(pico, FILES)

    def ask(text: str, done: int, whole: int) -> None:
        if text == "Restarting":
            pico.stays_off = True

    with pytest.raises(FlashFailed) as caught, Flasher(ships, back_s=0.1) as flasher:
        flasher.install(flasher.look(), ask)
    assert caught.value.state == WHOLE and not caught.value.half_installed


def test_a_pump_that_says_another_hash_afterwards(pico, ships) -> None:
    pico.forgets_hash = True
    pico.boot()
    broken = failure(ships)
    assert isinstance(broken, FlashFailed) and ships.app_hash in broken.what and broken.state == WHOLE


def test_a_port_where_nothing_answers(pico, ships, monkeypatch) -> None:
    monkeypatch.setattr("haipump.board.READ_TIMEOUT_S", 0.05)
    monkeypatch.setattr(flashing, "PROMPT_S", 0)
    pico.silent = True
    pico.boot()
    refused = failure(ships)
    assert isinstance(refused, NotFlashable) and "it said nothing" in refused.what and "BOOTSEL" in refused.next_step


def test_no_board_and_several(make_board, ships) -> None:
    none = failure(ships)
    assert isinstance(none, NoPumpFound) and "BOOTSEL" in none.next_step
    one, other = make_board().boot(), make_board(device="e660583883534322").boot()
    several = failure(ships)
    assert isinstance(several, SeveralPumps) and several.ports == [one.port, other.port]
    assert flash(ships, other.port).greeting.device == other.device
    assert one.files() == {} and one.log == ["prompt"]


# --- the command

runner = CliRunner()


def run(line: str, code: int = 0) -> str:
    result = runner.invoke(app, line.split())
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def shipping(ships, monkeypatch) -> Shipped:
    monkeypatch.setattr(flashing, "shipped", lambda: ships)
    return ships


def test_the_command_shows_who_answers_afterwards(pico, shipping) -> None:
    pico.boot()
    text = "".join(run("flash --yes").replace("│", " ").split())
    assert shipping.app_hash in text and "micropython-1.25.0" in text and "Installed." in text


def test_the_port_comes_before_all_that_takes_time(tmp_path, make_board, monkeypatch) -> None:
    def compiling() -> Shipped:
        raise AssertionError("the application is compiled for nothing")

    monkeypatch.setattr(flashing, "shipped", compiling)
    assert "No Pico with MicroPython is on USB" in run("flash", 3)
    text = " ".join(run(f"flash --port {tmp_path}/none", 3).split())
    assert text.startswith("Looking for a pump or MicroPython at") and "There is no port" in text


def test_the_command_in_json(pico, shipping) -> None:
    installed(pico, {**FILES, "boot.py": b"# old\n"})
    pico.ships = shipping
    values = json.loads(run("flash --yes --json"))
    assert values["ok"] and values["equal"] and values["before"]["state"] == "stopped"
    assert values["changes"]["write"] == ["boot.py", "app_hash"]
    assert values["info"]["app_hash"] == values["ships"]["app_hash"] == shipping.app_hash


def test_a_dry_run_changes_nothing(pico, shipping) -> None:
    installed(pico, {**FILES, "boot.py": b"# old\n"})
    before = pico.files()
    assert "Nothing was changed" in run("flash --dry-run")
    assert pico.files() == before and pico.log == ["pump"]
    (pico.root / "main.py").unlink()
    pico._fate = "reset"
    assert wait_for(pico, "prompt", 3)
    values = json.loads(run("flash --dry-run --json"))
    assert values["dry_run"] and values["changes"]["write"] == ["boot.py", "main.py", "app_hash"]
    assert wait_for(pico, "friendly", 4) == ["pump", "reset", "prompt", "friendly"]


def test_nothing_happens_without_a_yes(pico, shipping) -> None:
    installed(pico, {**FILES, "boot.py": b"# old\n"})
    assert "--yes" in run("flash", 6)
    assert pico.log == ["pump"] and not pico.pump.executed


def test_a_failure_of_the_command_in_json(pico, shipping) -> None:
    pico.garbles = "haipump_fw/app.mpy"
    pico.boot()
    values = json.loads(run("flash --yes --json", 4))
    assert values["error"]["half_installed"] and values["error"]["kind"] == "flash"


def test_the_real_application_goes_onto_a_board(make_board) -> None:
    ships = shipped()
    board = make_board()
    board.ships = ships
    board.boot()
    assert flash(ships).info.app_hash == ships.app_hash
    assert board.files() == ships.on_board
