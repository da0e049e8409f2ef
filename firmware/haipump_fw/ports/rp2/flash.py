"""The raw partition at flash offsets 0x60000 to 0xA0000: above the interpreter, below the file system.

Owns: where it lies, and the check that it may be there. Must not: know a record.

MicroPython has no object for this range. `rp2.Flash` makes one for the file system's range, and its two numbers (start
and size, behind the type pointer) are then set to ours. If they do not stand where MicroPython 1.25 has them, or the
interpreter reaches into the range, nothing is touched and OSError is raised.
"""

import rp2
from machine import mem32

from haipump_fw.const import const

_BASE = const(0x60000)
_SIZE = const(0x40000)
_FILES = const(0xA0000)  # where the file system of the stock RPI_PICO image begins
_SECTOR = const(4096)
_SECTOR_BITS = const(12)
_PAGE = const(256)
_ERASE = const(6)  # block device request

# Binary info of the pico-sdk: a header between the two marks, somewhere in the 256 bytes behind the boot stage, with
# the bounds of a list of pointers to entries; the entry below holds the address behind the last byte of the image.
_XIP = const(0x10000000)
_HEADER_FIRST = const(0x10000100)
_HEADER_LAST = const(0x100001EC)
_MARK_START = const(0x7188EBF2)
_MARK_END = const(0xE71AA390)
_WORD = const(0xFFFFFFFF)  # mem32 reads a word with its top bit set as a negative number
_ENTRIES_MAX = const(256)
_KIND_ID_AND_INT = const(0x50520005)  # entry type 5, tag "RP"
_ID_BINARY_END = const(0x68F465DE)


def interpreter_end():
    """Flash offset behind the interpreter's last byte, from the image's own description. OSError when it has none."""
    for header in range(_HEADER_FIRST, _HEADER_LAST + 1, 4):
        if mem32[header] == _MARK_START and mem32[header + 16] & _WORD == _MARK_END:
            first = mem32[header + 4]
            last = min(mem32[header + 8], first + 4 * _ENTRIES_MAX)
            for pointer in range(first, last, 4):
                entry = mem32[pointer]
                if mem32[entry] == _KIND_ID_AND_INT and mem32[entry + 4] == _ID_BINARY_END:
                    return mem32[entry + 8] - _XIP
    raise OSError("interpreter of unknown size")


def _device():
    """A block device for our range, with addresses from its start."""
    if interpreter_end() > _BASE:
        raise OSError("interpreter reaches into the partition")
    device = rp2.Flash(start=0, len=_SECTOR)  # pyright: ignore[reportCallIssue] - the stub lacks them
    place = id(device)
    if mem32[place + 4] != _FILES or mem32[place + 8] != _SECTOR:
        raise OSError("flash object of unknown layout")
    mem32[place + 4] = _BASE
    mem32[place + 8] = _SIZE
    return device


class Flash:
    """See `contract.Flash`. Every program and erase is read back."""

    size = _SIZE
    sector = _SECTOR
    page = _PAGE

    def __init__(self):
        self._device = _device()
        # The chip programs whole pages from RAM; 1 bits leave what is there alone, so the rest of the page is 1.
        self._blank = b"\xff" * _PAGE
        self._write = bytearray(_PAGE)
        self._check = bytearray(_PAGE)

    def read(self, address, buf):
        """Fill `buf`."""
        self._inside(address, len(buf))
        self._device.readblocks(address >> _SECTOR_BITS, buf, address & (_SECTOR - 1))

    def program(self, address, data):
        """Program `data`, which must lie inside one page. About 1 ms. OSError when the flash does not hold it then."""
        size = len(data)
        start = address % _PAGE
        self._inside(address, size)
        if start + size > _PAGE:
            raise ValueError("across a page")
        self._write[:] = self._blank
        self._write[start : start + size] = data
        page = address - start
        self._device.writeblocks(page // _SECTOR, self._write, page % _SECTOR)
        self._device.readblocks(page // _SECTOR, self._check, page % _SECTOR)
        for index in range(start, start + size):
            if self._check[index] != self._write[index]:
                raise OSError("flash program")

    def erase(self, address):
        """Erase the sector that starts at `address`: 45 ms typical, up to 400 ms. OSError when it is not blank then."""
        self._inside(address, _SECTOR)
        if address % _SECTOR:
            raise ValueError("inside a sector")
        block = address // _SECTOR
        self._device.ioctl(_ERASE, block)
        for offset in range(0, _SECTOR, _PAGE):
            self._device.readblocks(block, self._check, offset)
            if self._check != self._blank:
                raise OSError("flash erase")

    def _inside(self, address, size):
        if address < 0 or address + size > _SIZE:
            raise ValueError("outside the partition")
