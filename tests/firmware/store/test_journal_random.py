"""Random lives of a journal against a list: appends, windows given and refused, cuts anywhere, broken sectors, starts.

The model is a dictionary of what was appended under which number. What the journal adds by itself (records stated
again) must repeat the latest record of its kind, or of its order.
"""

import struct

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from haipump_emulator.faults.flash import CUT_MODES, PowerCut
from haipump_fw.proto.messages import RECORDS
from haipump_fw.store import records
from haipump_fw.store.journal import QUEUE_MAX

from .support import ERASE_US, INTENT, PAGE_US, crc_fits, everything, known_of, opened, recovered, seq_of, small_flash

PACKING = {row[1]: (row[0], row[2]) for row in RECORDS}
EXAMPLES = {
    "boot": (1, 2, 3, 4),
    "ids": (64,),
    "result": (1, 4, 1, 2, 3, 4, -5),
    "commit": (2, 1, 5, 6, -7, 8, 9, 10, 11),
    "carry": (-1, 2, 3, 4, -6, 7, -8, 9),
    "syringe": (1, 2, 3, 4, 5, 6),
    "intent": (1, 4, 5, 6, 0, 0, 9),
    "state": (1, 2, 3),
    "alarm": (1, 2, 3, 4, -5),
}


def body(kind: str, boot: int, uptime_s: int, values: tuple[int, ...]) -> bytes:
    """Header without number, and payload."""
    number, packing = PACKING[kind]
    return struct.pack("<BBHII", number, 1, boot, 0, uptime_s) + struct.pack(packing, *values).ljust(36, b"\0")


class Life(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 1000), sectors=st.integers(8, 11), filled=st.sampled_from([0, 60, 600]))
    def start(self, seed, sectors, filled):
        self.flash = small_flash(seed, sectors)
        self.sectors = sectors
        self.journal = opened(self.flash)
        self.written: dict[int, bytes] = {}  # all records that were ever on the flash
        self.queued: dict[int, bytes] = {}  # what was appended, without what the journal adds
        self.uptime_s = 0
        self.broken = False
        for _ in range(filled):
            self.append("state", 1)
            self.flush(2)
            self.erase()

    def alive(self, call) -> None:
        """Do it; when the power goes, start again and compare."""
        try:
            call()
            self.collect()
        except PowerCut:
            self.flash.power_on()
            self.restart()

    @rule(kind=st.sampled_from(sorted(EXAMPLES)), order=st.integers(1, 12))
    def append(self, kind, order):
        values = EXAMPLES[kind]
        if kind in ("intent", "result"):
            values = (order, *values[1:])
        room = self.journal.room()
        self.uptime_s += 1
        seq = self.journal.append(kind, 3, self.uptime_s, *values)
        assert seq or not room or kind == "intent"
        if seq:
            self.queued[seq] = body(kind, 3, self.uptime_s, values)

    @rule(count=st.integers(1, QUEUE_MAX), kind=st.sampled_from(["state", "commit"]))
    def append_many(self, count, kind):
        for _ in range(count):
            self.append(kind, 1)

    @rule(times=st.integers(1, 20))
    def flush(self, times):
        for _ in range(times):
            self.alive(lambda: self.journal.flush(PAGE_US))

    @rule()
    def no_window(self):
        operations = self.flash.operations
        assert not self.journal.flush(PAGE_US - 1) and not self.journal.erase_ahead(ERASE_US - 1)
        assert self.flash.operations == operations

    @rule()
    def erase(self):
        self.alive(lambda: self.journal.erase_ahead(ERASE_US))

    @rule(times=st.integers(20, 80))
    def run(self, times):
        for _ in range(times):
            self.append("commit", 1)
            self.flush(2)
            self.erase()

    @rule(operations=st.integers(1, 12), mode=st.sampled_from(CUT_MODES))
    def cut_soon(self, operations, mode):
        self.flash.cut_after(operations, mode)

    @rule(
        index=st.integers(0, 10),
        how=st.sampled_from(["program_error", "program_silent", "program_wrong", "erase_error"]),
    )
    def break_one(self, index, how):
        if not self.broken:  # one at a time: with eight sectors there is none to spare
            self.broken = True
            self.flash.break_sector(index % self.sectors, how)

    @rule()
    def mend(self):
        self.broken = False
        for index in range(self.sectors):
            self.flash.break_sector(index, None)

    @rule()
    def restart(self):
        """The power goes between two operations, or went in one."""
        acknowledged = self.journal.last_seq
        self.journal = opened(self.flash)
        assert not self.journal.foreign
        assert acknowledged <= self.journal.last_seq <= acknowledged + 1
        self.collect()
        self.compare()
        self.queued = {seq: what for seq, what in self.queued.items() if seq <= self.journal.last_seq}
        assert recovered(self.journal) == known_of([self.written[seq] for seq in sorted(self.written)])

    def collect(self):
        """Take over what has come to the flash since the last time."""
        for seq in range(len(self.written) + 1, self.journal.last_seq + 1):
            raw = self.journal.read(seq)
            assert raw is not None and seq_of(raw) == seq and crc_fits(raw)
            self.check_new(seq, raw)
            self.written[seq] = raw

    def compare(self):
        """Whatever is on the flash is still as it was written."""
        assert all(self.written[seq_of(raw)] == raw for raw in everything(self.journal))

    def check_new(self, seq: int, raw: bytes):
        """It is what was appended under that number, or repeats the latest of its kind."""
        if raw[1] & records.RESTATED:
            assert seq not in self.queued
            same = [
                old
                for old in self.written.values()
                if old[0] == raw[0] and (raw[0] != INTENT or old[12:16] == raw[12:16])
            ]
            assert same[-1][2:4] + same[-1][8:48] == raw[2:4] + raw[8:48]
        else:
            assert raw[:4] + bytes(4) + raw[8:48] == self.queued[seq]

    @invariant()
    def bounded(self):
        assert self.journal.pending <= QUEUE_MAX and self.flash.overprograms == 0

    def teardown(self):
        self.flash.power_on()
        self.restart()


TestLife = Life.TestCase
TestLife.settings = settings(settings.default, max_examples=60, stateful_step_count=40)
TestLife.pytestmark = [pytest.mark.trials]
