"""The interpreter's list of names has room for all that any module brings.

A name stays for good. When the list is full a new one is made, of twice the length and in one piece: 8 kB, which are
not to be had any more once the heap has been in use, so that the pump would start anew in the middle of an order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from haipump_fw.device import Shipped, shipped
from tests.chip.pump import ChipPump, uf2_with

RAM, RAM_BYTES, FLASH = 0x20000000, 264 * 1024, 0x10000000
# The list before, how many names are in all lists before, room, names, hashes, lengths; then a pointer to each name.
POOL = struct.Struct("<6I")
ROOMS = [10 << n for n in range(8)]
SPARE = 8  # names that the next change may bring before somebody has to think


class Pool(NamedTuple):
    before: int
    room: int
    names: list[bytes]


class Memory:
    """RAM and flash of a chip that runs."""

    def __init__(self, pump: ChipPump) -> None:
        mcu = pump.core.mcu
        self.ram = bytes(mcu.sram)[:RAM_BYTES]
        self.flash = bytes(mcu.flash)

    def at(self, address: int, length: int) -> bytes:
        part, start = (self.ram, RAM) if address >= RAM else (self.flash, FLASH)
        return part[address - start : address - start + length]

    def text(self, address: int) -> bytes:
        part, start = (self.ram, RAM) if address >= RAM else (self.flash, FLASH)
        return part[address - start : part.index(b"\0", address - start)]

    def pool(self, address: int) -> Pool:
        before, _, room, count, _, _ = POOL.unpack(self.at(address, POOL.size))
        pointers = struct.unpack(f"<{count}I", self.at(address + POOL.size, 4 * count))
        return Pool(before, room, [self.text(pointer) for pointer in pointers])

    def newest_pool(self) -> int:
        """The one with the most names before it, of all that look like one."""
        found = []
        for place in range(0, RAM_BYTES - POOL.size, 4):
            before, earlier, room, count, _, _ = POOL.unpack_from(self.ram, place)
            earlier &= 0x7FFF_FFFF  # the top bit says that it is sorted
            known = FLASH <= before < FLASH + len(self.flash) or RAM <= before < RAM + RAM_BYTES
            if room in ROOMS and 0 < count <= room and known and 200 < earlier < 10_000:
                found.append((earlier, RAM + place))
        return max(found)[1]


def names_of(code: bytes) -> Iterator[bytes]:
    """The names that a compiled file brings, without those that every interpreter has."""

    def number(at: int) -> tuple[int, int]:
        value = 0
        while True:
            value = value << 7 | code[at] & 0x7F
            at += 1
            if code[at - 1] < 0x80:
                return value, at

    count, at = number(4)
    _, at = number(at)
    for _ in range(count):
        length, at = number(at)
        if not length & 1:
            yield code[at : at + (length >> 1)]
            at += (length >> 1) + 1


def brought(ships: Shipped) -> set[bytes]:
    """By all modules, and by importing them."""
    found: set[bytes] = set()
    for path, code in ships.files.items():
        if path.endswith(".mpy"):
            dotted = path.removesuffix(".mpy").replace("/", ".").encode()
            found |= {*names_of(code), path.encode(), dotted, dotted.rpartition(b".")[2]}
    return found


def test_all_names_of_all_modules_find_room(image):
    ships = shipped()
    memory = Memory(ChipPump(uf2_with(image, ships, ships.files["main.py"].decode())))
    own, built_in, address = [], set[bytes](), memory.newest_pool()
    while address:
        pool = memory.pool(address)
        if address >= RAM:
            own.append(pool)
        else:
            built_in |= set(pool.names)
        address = pool.before
    assert [pool.room for pool in own] == [20 << n for n in reversed(range(len(own)))]
    assert {b"append", b"haipump"} & built_in == {b"append"} and len(built_in) > 1_000
    there = {name for pool in own for name in pool.names}
    assert b"haipump_fw.app" in there and len(there) > 1_000  # the right list
    most = len(there | (brought(ships) - built_in))
    room = sum(pool.room for pool in own)
    assert room == 1_260  # and no list of 1,280 yet
    assert most + SPARE <= room, f"{most} names for {room} places: see haipump_fw.device.parameters and names.WORTH"
