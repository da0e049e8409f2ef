"""Reset causes, service, identity, and the two files that the Pico runs by name."""

import runpy
import sys
import types
from pathlib import Path

import pytest

from haipump_fw import ports
from haipump_fw.ports import contract
from haipump_fw.ports.rp2 import pins
from tests.firmware.rp2.chip import PIO0_CTRL, Chip, Reset

FIRMWARE = Path(__file__).parents[3] / "firmware"
EN = 4
SERVICE = 0x40058010


@pytest.fixture
def chip():
    return Chip()


@pytest.fixture
def load(chip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with chip.attach() as load:
        monkeypatch.setattr(sys, "implementation", types.SimpleNamespace(**vars(sys.implementation), _machine="x"))
        sys.implementation.version = (1, 25, 0, "")  # type: ignore[misc]
        yield load


def boot_again(chip, load, by_watchdog=True):
    """The next boot's System."""
    chip.cause = 3 if by_watchdog else 1
    if not by_watchdog:
        for address in range(0x4005800C, 0x4005802C, 4):
            chip.memory.words.pop(address, None)
    return load("system").System()


def test_the_cause_of_a_reset_is_told_once(chip, load):
    system = load("system").System()
    assert system.reset_cause() == ports.RESET_POWER
    for cause in (ports.RESET_REQUEST, ports.RESET_FAULT):
        with pytest.raises(Reset):
            system.reset(cause)
        system = boot_again(chip, load)
        assert system.reset_cause() == cause == system.reset_cause()
        system = boot_again(chip, load)
        assert system.reset_cause() == ports.RESET_WATCHDOG


def test_a_power_cut_forgets_the_announced_cause(chip, load):
    with pytest.raises(Reset):
        load("system").System().reset(ports.RESET_REQUEST)
    assert boot_again(chip, load, by_watchdog=False).reset_cause() == ports.RESET_POWER


@pytest.mark.parametrize("rubbish", [0xFFFFFFFF, 0x2A5A0000, 0x2A5A0003, 1])
def test_rubbish_in_the_register_is_a_watchdog_reset(chip, load, rubbish):
    chip.memory.words[0x4005800C] = rubbish
    assert boot_again(chip, load).reset_cause() == ports.RESET_WATCHDOG


def test_the_heap_is_locked_once_and_unlocked_once_however_often_one_asks(chip, load):
    """The interpreter counts: what was locked twice would stay locked."""
    system = load("system").System()
    for on in (False, True, True, False, False, True):
        system.hold(on)
    assert chip.heap_locks == [True, False, True]


def test_what_is_dropped_is_no_more(chip, load):
    class Part:
        def begin(self):
            return 1

    part = Part()
    assert part.begin() == 1
    load("system").System().drop(Part, "begin")
    assert part.begin is None


def test_the_task_number_survives(chip, load):
    system = load("system").System()
    assert system.task() == 0
    system.note_task(200)
    assert system.task() == boot_again(chip, load).task() == 200


def test_identity_and_memory(chip, load, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["gc"], "mem_free", lambda: 12_345, raising=False)
    system = load("system").System()
    assert system.interpreter == contract.System.interpreter and system.board == contract.System.board
    assert system.device_id() == "0001020304050607"
    assert len(system.random(8)) == 8 and system.random(8) != system.random(8)
    system.collect()
    assert system.heap_free() == 12_345
    assert system.app_hash == "0"
    (tmp_path / "app_hash").write_text("ab" * 32 + "\n")
    assert load("system").System().app_hash == "ab" * 32


def test_service_holds_until_it_is_left(chip, load):
    scratch = load("scratch")
    assert not scratch.service_requested()
    with pytest.raises(Reset):
        load("system").System().enter_service()
    for _ in range(3):
        assert boot_again(chip, load).reset_cause() in (ports.RESET_REQUEST, ports.RESET_WATCHDOG)
        assert scratch.service_requested()
    scratch.leave_service()
    assert not scratch.service_requested()


# --- boot.py and main.py ---


def test_boot_takes_ctrl_c_away_and_touches_no_pin(chip, load):
    runpy.run_path(str(FIRMWARE / "boot.py"))
    assert chip.micropython == [-1]
    assert chip.block.levels == {} and chip.modes == {} and chip.timers == []


@pytest.mark.requirement("A6")
def test_service_ends_by_itself_after_half_an_hour(chip, load):
    scratch = load("scratch")
    scratch.request_service()
    for boots in (1, 2):  # mpremote's reset runs it again: the time counts anew
        runpy.run_path(str(FIRMWARE / "boot.py"))
        assert len(chip.timers) == boots and chip.timers[-1][0] == 30 * 60 * 1_000
    with pytest.raises(Reset):
        chip.timers[-1][1](None)
    assert not scratch.service_requested()
    runpy.run_path(str(FIRMWARE / "boot.py"))
    assert len(chip.timers) == 2


def test_ctrl_c_during_boot_resets(chip, load):
    def interrupt(_):
        raise KeyboardInterrupt

    sys.modules["micropython"].kbd_intr = interrupt  # type: ignore[attr-defined]
    with pytest.raises(Reset):
        runpy.run_path(str(FIRMWARE / "boot.py"))


class Run:
    """One run of main.py with an application of the test's; `events` is what happened, in order."""

    def __init__(self, chip, monkeypatch, build=None, run=None):
        self.chip, self.events = chip, []
        chip.block.on_level.append(lambda _now, pad, level: self.events.append((pad, level)))

        class App:
            def __init__(self, board):
                self.board = board
                if build:
                    build(board)

            def run(self):
                if run:
                    run(self.board)

        app = types.ModuleType("haipump_fw.app")
        app.App = App  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "haipump_fw.app", app)
        monkeypatch.setattr(sys, "print_exception", self.show, raising=False)
        self.start_us = chip.now_us

    def show(self, problem):
        self.events.append(repr(problem))

    def go(self):
        runpy.run_path(str(FIRMWARE / "main.py"))


def test_an_exception_of_the_application_ends_in_safe_outputs_a_note_and_a_reset(chip, load, monkeypatch):
    def run(board):
        board.motor.enable(True)
        board.steps.begin(1, 5_000)
        for _ in range(20):
            board.steps.put(500)
        board.panel.sound(2_700, (20, 20))
        chip.run_us(1_000)
        raise ZeroDivisionError("oops")

    main = Run(chip, monkeypatch, run=run)
    with pytest.raises(Reset):
        main.go()
    off = len(main.events) - main.events[::-1].index((EN, 1)) - 1
    assert off < main.events.index("ZeroDivisionError('oops')")
    assert chip.memory.words[PIO0_CTRL] == 0
    assert (2, 1) not in main.events
    chip.run_us(100_000)
    assert (2, 1) not in main.events  # no pulse any more
    assert chip.modes[pins.gpio("piezo")][0] == 1  # taken from the PWM
    assert boot_again(chip, load).reset_cause() == ports.RESET_FAULT
    assert chip.micropython[0] == -1
    assert chip.now_us - main.start_us < 200_000


def test_an_application_that_can_not_start_resets_after_a_pause(chip, load, monkeypatch):
    chip.describe_image(0x90000)
    main = Run(chip, monkeypatch)
    with pytest.raises(Reset):
        main.go()
    assert "OSError('interpreter reaches into the partition')" in main.events
    assert chip.now_us >= 3_000_000
    assert boot_again(chip, load).reset_cause() == ports.RESET_FAULT


@pytest.mark.parametrize("problem", [SystemExit, KeyboardInterrupt, MemoryError])
def test_nothing_leads_to_the_repl(chip, load, monkeypatch, problem):
    def run(_):
        raise problem

    main = Run(chip, monkeypatch, run=run)
    with pytest.raises(Reset):
        main.go()


def test_an_application_that_returns_is_a_fault(chip, load, monkeypatch):
    main = Run(chip, monkeypatch)
    with pytest.raises(Reset):
        main.go()
    assert "RuntimeError('the loop has ended')" in main.events


@pytest.mark.parametrize("broken", ["shut_down", "print"])
def test_a_shutdown_that_fails_resets_all_the_same(chip, load, monkeypatch, broken):
    def fail(*_):
        raise OSError("everything is broken")

    main = Run(chip, monkeypatch)
    if broken == "print":
        monkeypatch.setattr(sys, "print_exception", fail)
    else:
        monkeypatch.setattr(load("board"), "shut_down", fail)
    with pytest.raises(Reset):
        main.go()


def test_in_service_nothing_is_started(chip, load, monkeypatch):
    def build(_):
        raise AssertionError("started")

    load("scratch").request_service()
    main = Run(chip, monkeypatch, build=build)
    main.go()
    assert main.events == [] and chip.watchdog == [] and chip.modes == {}


def test_shut_down_needs_nothing_that_was_built(chip, load):
    board = load("board")
    board.shut_down()
    board.shut_down()
    assert chip.block.level(EN) == 1


def test_the_board_offers_every_call_of_the_contract(chip, load):
    board = load("board").make_ports()
    kinds = {
        "clock": contract.Clock,
        "steps": contract.Steps,
        "motor": contract.Motor,
        "sensors": contract.Sensors,
        "inputs": contract.Inputs,
        "panel": contract.Panel,
        "console": contract.Console,
        "flash": contract.Flash,
        "watchdog": contract.Watchdog,
        "system": contract.System,
    }
    for name, kind in kinds.items():
        wanted = {call for call in vars(kind) if not call.startswith("_")}
        assert wanted <= set(dir(getattr(board, name))), name
    assert callable(board.wait)
    assert chip.block.level(EN) == 1
