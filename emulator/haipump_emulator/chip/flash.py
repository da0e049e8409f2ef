"""The flash chip behind the emulated RP2040: what its commands do, how long they take, and what goes wrong in them.

Owns: programs and erases, their duration, power cuts inside of them, worn sectors, the unique id. Must not: stop the
CPU: it asks the chip whether it is busy, as on the board, with interrupts off and PIO running on.

Sits on the bus in the place of the serial interface (SSI) of the flash. Reads through the execute-in-place window never
come by here: they see the bytes at once, also while a command is busy (nothing but the boot ROM and RAM runs then).

Durations as a W25Q16JV's data sheet has them: page program 0.4 ms typical and 3 ms at most, sector erase 45 ms typical
and 400 ms at most. The program time here makes MicroPython's page program take 0.7 to 0.96 ms in all.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from haipump_emulator.faults.flash import CUT_MODES, PAGE, SECTOR

FLASH_BYTES = 2 << 20
BLOCK = 65_536
PARTITION_START = 0x60000
PARTITION_BYTES = 0x40000

PROGRAM_US = 600
ERASE_US = 45_000
ERASE_MAX_US = 400_000
BREAKAGES = ("program_silent", "program_wrong", "erase_silent")

_SSI_WINDOW = 0x18000
_DATA_FIRST, _DATA_LAST = 0x60, 0xEC
_SELECT = 1  # index of the chip-select pin in the QSPI bank
_WRITE_ENABLE, _WRITE_DISABLE, _READ_STATUS, _UNIQUE_ID = 0x06, 0x04, 0x05, 0x4B
_PROGRAM, _ERASE_SECTOR, _ERASE_BLOCK = 0x02, 0x20, 0xD8
_SIZES = {_ERASE_SECTOR: SECTOR, _ERASE_BLOCK: BLOCK}
_BUSY, _WRITE_ENABLED = 1, 2
_ID_FIRST = 5  # of the bytes that come back: one for the command, four dummies
_TICKS_PER_US = 16_000
_HARMLESS = 0x00  # sent on in place of a write enable: the serial interface must not write the bytes itself


class FlashChip:
    """2 MB of flash that outlive the power. Addresses in this interface count from the start of the raw partition.

    `program_us` and `erase_us` may be changed at any time. Counters as those of `RamFlash`: `operations`, `programs`,
    `erases` (per sector of the partition), `overprograms`. `on_operation(kind, address, length)` is called before each
    "program" and "erase" inside the partition.
    """

    sector = SECTOR
    page = PAGE
    size = PARTITION_BYTES

    def __init__(self, content: bytes, seed: int = 0, program_us: int = PROGRAM_US, erase_us: int = ERASE_US) -> None:
        if len(content) != FLASH_BYTES:
            raise ValueError(f"the flash of a Pico has {FLASH_BYTES} bytes, not {len(content)}")
        self._content = bytearray(content)
        self.program_us = program_us
        self.erase_us = erase_us
        self.operations = self.programs = self.overprograms = 0
        self.erases = [0] * (PARTITION_BYTES // SECTOR)
        self.on_operation: Callable[[str, int, int], None] | None = None
        self.on_cut: Callable[[], None] = lambda: None  # the power goes, now
        self._random = random.Random(f"{seed}/flash")
        self.unique_id = random.Random(f"{seed}/device").getrandbits(64).to_bytes(8, "big")
        self._broken: dict[int, str] = {}
        self._life: int | None = None
        self._life_breakage = ""
        self._cut_at = 0
        self._cut_mode = "before"
        self._mcu: Any = None
        self._under_way: tuple[int, int, int, bytes, bytes] | None = None  # start and end (ticks), address, old, new

    # --- power ---

    def attach(self, mcu: Any) -> None:
        """Solder it to a chip that was just powered."""
        self._mcu = mcu
        self._clock = mcu.clock
        self._ssi = mcu.ssi
        self._select = mcu.qspi[_SELECT]
        self._ready = self._clock.create_alarm(self._wake)
        self._masked: int | None = None  # interrupts that were enabled when the nap began
        mcu.flash[:FLASH_BYTES] = self._content
        self._command = bytearray()
        self._returned = 0
        self._write_enabled = False
        self._selected = int(self._select.value) == 0
        self._under_way = None
        self._cut_at = 0
        mcu.peripherals[_SSI_WINDOW] = self
        self._select.add_listener(self._select_moved)

    def power_off(self) -> None:
        """The power goes: a command that is under way stays half done."""
        if self._mcu is None:
            return
        if self._under_way is not None:
            start, end, address, old, new = self._under_way
            now = self._clock.ticks
            if now < end:
                done = (now - start) / (end - start)
                self._store(address, self._torn(old, new, self._random.choice(("prefix", "bits")), done))
        self._content[:] = self._mcu.flash[:FLASH_BYTES]
        self._mcu = None

    def after_reset(self) -> None:
        """The chip was reset: its CPU does not wait for a command any more, which goes on all the same."""
        self._ready.cancel()
        self._masked = None

    @property
    def content(self) -> bytes:
        """All 2 MB, as they are now."""
        return bytes(self._memory()[:FLASH_BYTES])

    @property
    def data(self) -> memoryview:
        """The partition, to look at and to damage."""
        return memoryview(self._memory())[PARTITION_START : PARTITION_START + PARTITION_BYTES]

    def snapshot(self) -> bytes:
        """The partition: what survives the power."""
        return bytes(self.data)

    # --- faults ---

    def cut_after(self, operations: int, mode: str) -> None:
        """The power goes in the `operations`-th program or erase of the partition from now on (1: the next one), in one
        of faults.flash.CUT_MODES; forgotten at the next power-up."""
        if operations < 1 or mode not in CUT_MODES:
            raise ValueError(f"no such cut: {operations}, {mode!r}")
        self._cut_at = self.operations + operations
        self._cut_mode = mode

    def rot(self, address: int, mask: int) -> None:
        """The bits of `mask` in one byte become what they are not, anywhere on the chip (below 0 in front of the
        partition)."""
        self._memory()[PARTITION_START + address] ^= mask

    def break_sector(self, index: int, breakage: str | None) -> None:
        """From now on sector `index` of the partition behaves as that one of BREAKAGES says; None mends it. A chip of
        this kind reports no errors, so those of faults.flash that do can't happen here: ValueError."""
        if breakage is None:
            self._broken.pop(index, None)
            return
        self._check_breakage(breakage)
        self._broken[index] = breakage

    def wear_out(self, erases: int, breakage: str) -> None:
        """Every sector breaks in that way with the erase after its `erases`-th."""
        self._check_breakage(breakage)
        self._life = erases
        self._life_breakage = breakage

    def _check_breakage(self, breakage: str) -> None:
        if breakage not in BREAKAGES:
            raise ValueError(f"a flash chip can't fail by {breakage!r}; one of {', '.join(BREAKAGES)}")

    # --- the bus's side ---

    def read_uint32(self, offset: int) -> int:
        value = self._ssi.read_uint32(offset)
        if _DATA_FIRST <= offset <= _DATA_LAST and self._selected and self._command:
            index = self._returned
            self._returned += 1
            if self._command[0] == _READ_STATUS and index:
                value = self._status()
            elif self._command[0] == _UNIQUE_ID and _ID_FIRST <= index < _ID_FIRST + len(self.unique_id):
                value = self.unique_id[index - _ID_FIRST]
        return value

    def write_uint32(self, offset: int, value: int) -> None:
        self.write_uint32_atomic(offset, value, 0)

    def write_uint32_atomic(self, offset: int, value: int, kind: int) -> None:
        if _DATA_FIRST <= offset <= _DATA_LAST and self._selected:
            self._command.append(value & 0xFF)
            if len(self._command) == 1 and value & 0xFF == _WRITE_ENABLE:
                value = _HARMLESS
        self._ssi.write_uint32_atomic(offset, value, kind)

    def reset(self) -> None:
        self._ssi.reset()

    # --- commands ---

    def _status(self) -> int:
        status = _WRITE_ENABLED if self._write_enabled else 0
        if self._under_way is not None and self._clock.ticks < self._under_way[1]:
            status |= _BUSY
            # The CPU would ask again and again and do nothing else. It naps until the answer changes: the same for all
            # that can be seen, and 45 ms cost one nap instead of 30,000 questions.
            core = self._mcu.core
            core.waiting = True
            self._ready.schedule_ticks(self._under_way[1] - self._clock.ticks)
            # Interrupts are off, and stay pending. To the emulated CPU they would end a nap all the same, and begin.
            if self._masked is None:
                self._masked = core.enabled_interrupts
                core.enabled_interrupts = 0
        return status

    def _wake(self) -> None:
        core = self._mcu.core
        core.waiting = False
        if self._masked is not None:
            core.enabled_interrupts = self._masked
            core.interrupts_updated = True
            self._masked = None

    def _select_moved(self, value: int, last: int) -> None:
        selected = int(value) == 0
        if selected == self._selected:
            return
        self._selected = selected
        command, self._command, self._returned = self._command, bytearray(), 0
        if selected or not command:
            return
        code = command[0]
        if code == _WRITE_ENABLE:
            self._write_enabled = True
        elif code == _WRITE_DISABLE:
            self._write_enabled = False
        elif code in (_PROGRAM, *_SIZES) and len(command) >= 4 and self._write_enabled:
            self._write_enabled = False
            self._execute(code, int.from_bytes(command[1:4], "big"), bytes(command[4:]))

    def _execute(self, code: int, address: int, data: bytes) -> None:
        erase = code in _SIZES
        if erase:
            length = _SIZES[code]
            address &= ~(length - 1)
        else:
            length = len(data)
        memory = self._memory()
        old = bytes(memory[address : address + length])
        new = b"\xff" * length if erase else bytes(a & b for a, b in zip(old, data, strict=True))
        place = address - PARTITION_START
        if 0 <= place < PARTITION_BYTES:
            self._account(erase, place, length, new != data)
            new = self._as_broken(erase, place // SECTOR, old, new)
            if self.operations == self._cut_at:
                self._store(address, self._torn(old, new, self._cut_mode, None))
                self._under_way = None
                self.on_cut()
                return
        memory[address : address + length] = new
        now = self._clock.ticks
        duration_us = self.erase_us if erase else self.program_us
        self._under_way = (now, now + duration_us * _TICKS_PER_US, address, old, new)

    def _account(self, erase: bool, place: int, length: int, overprogram: bool) -> None:
        if self.on_operation is not None:
            self.on_operation("erase" if erase else "program", place, length)
        self.operations += 1
        if erase:
            for sector in range(place // SECTOR, (place + length) // SECTOR):
                self.erases[sector] += 1
                if self._life is not None and self.erases[sector] > self._life:
                    self._broken.setdefault(sector, self._life_breakage)
        else:
            self.programs += 1
            self.overprograms += overprogram

    def _as_broken(self, erase: bool, sector: int, old: bytes, new: bytes) -> bytes:
        breakage = self._broken.get(sector)
        if breakage == ("erase_silent" if erase else "program_silent"):
            return old
        if breakage == "program_wrong" and not erase:
            return bytes(a & b for a, b in zip(new, self._random.randbytes(len(new)), strict=True))
        return new

    def _torn(self, old: bytes, new: bytes, mode: str, done: float | None) -> bytes:
        """What a command leaves that was cut; `done` is the part of its time that had passed, None: at random."""
        if mode == "before":
            return old
        if mode == "done":
            return new
        if mode == "half":
            return new[: len(new) // 2] + old[len(new) // 2 :]
        if mode == "prefix":
            count = self._random.randrange(len(new)) if done is None else min(len(new) - 1, int(done * len(new)))
            return new[:count] + self._mixed(old[count : count + 1], new[count : count + 1], 0.5) + old[count + 1 :]
        return self._mixed(old, new, 0.5 if done is None else done)

    def _mixed(self, old: bytes, new: bytes, share: float) -> bytes:
        """Each bit from `new` with that probability, else from `old`."""
        draw = self._random.random
        masks = (sum((draw() < share) << bit for bit in range(8)) for _ in new)
        return bytes(o & ~m & 0xFF | n & m for o, n, m in zip(old, new, masks, strict=True))

    def _store(self, address: int, data: bytes) -> None:
        self._memory()[address : address + len(data)] = data

    def _memory(self) -> bytearray:
        return self._content if self._mcu is None else self._mcu.flash
