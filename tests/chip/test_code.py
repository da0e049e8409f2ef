"""The check of the stored application on the chip: a bit that is wrong in its flash is found, on demand and by itself.

A day is too long here: what is shipped but for main.py, in which `alarms index=N` makes the pump older: until
the first turn (0), or the next (1).
"""

from __future__ import annotations

import pytest

from haipump_emulator.chip.flash import PARTITION_START
from haipump_emulator.faults import catalogue
from haipump_fw.device import shipped
from tests.chip.branch import branch
from tests.chip.pump import ChipPump, uf2_with

SLOW = "prepare_rate rate_nl_per_day=1300000"
FIRST_S, TURN_S, TURNS = 900, 21_600, 4  # as App has them
LATE_S = 76  # of the check of each minute
BITS = (0, 12_345, 32_767)
OLDER = """
    from haipump_fw.answers import Answers

    def alarms(self, fields):
        app.clock.s += (FIRST_S, TURN_S)[fields["index"]]
        return [("free", gc.collect() or gc.mem_free())]

    Answers.read_alarms = alarms
    app.run()
"""
WATCHDOG, SCRATCH2 = 0x40058, 0x14
SENSORS = 6  # number of the task
LOADING_BAR_US = 45_000  # until the module is there; between two pieces less
KEPT_MAX = 160  # bytes between two turns: a hash, and how many files are in it


def task(pump: ChipPump) -> int:
    """Number of the task that runs, as it stands in the watchdog's register."""
    return pump.core.mcu.peripherals[WATCHDOG].read_uint32(SCRATCH2) & 0xFF


def damage(pump: ChipPump, bit: int) -> tuple[catalogue.Fault, catalogue.Rig]:
    fault, rig = catalogue.make("code_damaged", {"bit": bit}), catalogue.Rig(pump.core, None, lambda t_us, do: None)
    fault.apply(rig, pump.now_us)
    return fault, rig


@pytest.mark.requirement("GIP-3.3.1-3")
@pytest.mark.parametrize("bit", BITS)
def test_a_wrong_bit_fails_the_self_test_until_it_is_right_again(stopped, bit):
    def trial():
        answers = [stopped.ask("selftest")]
        before = stopped.core.flash_port.content
        fault, rig = damage(stopped, bit)
        after = stopped.core.flash_port.content
        changed = [one ^ other for one, other in zip(before, after, strict=True) if one != other]
        began_us = stopped.now_us
        answers.append(stopped.ask("selftest"))
        took_us = stopped.now_us - began_us
        for _ in range(2):
            fault.end(rig, stopped.now_us)
        answers.append(stopped.ask("selftest"))
        return answers, changed, took_us

    (sound, damaged, mended), changed, took_us = branch(trial)
    assert changed == [1 << bit % 8]
    assert sound["result"] == mended["result"] == "passed" and sound["parts"].endswith(",code")
    assert (damaged["result"], damaged["state"]) == ("code", "fault") and damaged["parts"].endswith(",!code")
    assert took_us < 500_000


def test_a_file_that_was_installed_anew_is_not_damaged_by_the_end_of_the_fault(stopped):
    def trial():
        sound = stopped.core.flash_port.content
        fault, rig = damage(stopped, BITS[1])
        (where,) = (at for at, byte in enumerate(stopped.core.flash_port.content) if byte != sound[at])
        stopped.core.flash_port.rot(where - PARTITION_START, sound[where] ^ stopped.core.flash_port.content[where])
        fault.end(rig, stopped.now_us)
        return stopped.core.flash_port.content == sound

    assert branch(trial)


@pytest.fixture(scope="module")
def older(image) -> ChipPump:
    ships = shipped()
    main = ships.files["main.py"].decode()
    assert "    app.run()\n" in main
    loop = OLDER.replace("FIRST_S, TURN_S", f"{FIRST_S}, {TURN_S}")
    pump = ChipPump(uf2_with(image, ships, main.replace("    app.run()\n", loop)))
    pump.load()
    return pump


@pytest.mark.requirement("GIP-3.3.1-3")
@pytest.mark.parametrize("damaged", [False, True])
def test_a_round_finds_what_is_damaged_and_nothing_else(older, damaged):
    def trial():
        if damaged:
            damage(older, BITS[1])
        free = []
        for turn in range(TURNS):
            free.append(int(older.ask(f"alarms index={min(turn, 1)}", signed=False)["free"]))
            if turn == TURNS - 1:
                older.order(SLOW)
            older.run(2 * LATE_S)
        older.core.check()
        state = older.ask("status", signed=False)["state"]
        return state, older.enables[-1][1], [text for text in older.transcript.splitlines() if " alarm " in text], free

    state, on, alarms, free = branch(trial)
    assert free[0] - min(free[1:]) <= KEPT_MAX, free
    if damaged:
        assert (state, on) == ("fault", 0)
        assert "alarm=self_test priority=high phase=active" in alarms[0]
    else:
        assert (state, on) == ("infusing", 1) and not alarms


def test_a_stop_is_heard_in_the_middle_of_a_turn(older):
    def turn() -> int:
        """When the files are read: the only look at the sensors that takes as long."""
        older.order(SLOW)
        older.ask("alarms index=0", signed=False)
        for _ in range(2 * LATE_S * 100):
            older.run_us(10_000)
            if task(older) == SENSORS:
                began_us = older.now_us
                older.run_us(30_000)
                if task(older) == SENSORS:
                    return began_us
        raise AssertionError("no files were read")

    began_us = branch(turn)

    def stopped(phase_us: int) -> int:
        older.order(SLOW)
        older.ask("alarms index=0", signed=False)
        older.run_us(began_us + phase_us - older.now_us)
        sent_us = older.now_us
        assert older.core.send(b"stop\n")
        older.run_us(200_000)
        return older.off_after_us(sent_us)

    late = [branch(lambda phase_us=phase_us: stopped(phase_us)) for phase_us in range(0, 70_000, 9_000)]
    assert min(late) > 0 and max(late) < LOADING_BAR_US, late
