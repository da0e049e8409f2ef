"""Which sector of the raw partition holds what, and the three checked operations on it.

Owns: the map, the windows of time that programming needs, and "did it work?", answered by reading back. Must not: know
what the bytes mean. Used by `store.journal` and `store.settings` only.

Programming and erasing stop the CPU, interrupts included, while the motion goes on from what is queued. So each takes a
`window_us`: for how long the caller can do without the CPU from now on.
"""

from haipump_fw.const import const

SECTOR = const(4096)
PAGE = const(256)
SECTORS = const(64)

SETTINGS_A = const(0)
SETTINGS_B = const(1)
# Sectors 2 and 3 are kept free for what later versions have to store.
JOURNAL_FIRST = const(4)
JOURNAL_SECTORS = const(60)

PAGE_WINDOW_US = const(3_000)  # a page takes 1 ms; the rest is margin for the code around it
ERASE_WINDOW_US = const(420_000)  # a sector takes 45 ms, at most 400 ms, and 5 ms to read it back

BLANK_PAGE = b"\xff" * PAGE
_read_back = memoryview(bytearray(PAGE))


def load(flash, address, buf):
    """Fill `buf` from `address`. False when the flash could not be read; `buf` then holds zeros, which nobody takes for
    a record nor for erased."""
    try:
        flash.read(address, buf)
    except OSError:
        for at in range(len(buf)):
            buf[at] = 0
        return False
    return True


def program(flash, address, data):
    """Program `data` (inside one page) and read it back. True when it is there: what the driver said about it does not
    count."""
    try:
        flash.program(address, data)
    except OSError:
        pass  # judged by what is there: a program that failed late may have written all the same
    found = _read_back[: len(data)]
    return load(flash, address, found) and found == data


def erased(flash, address):
    """True when the whole sector at `address` reads as erased."""
    for at in range(address, address + SECTOR, PAGE):
        if not load(flash, at, _read_back) or _read_back != BLANK_PAGE:
            return False
    return True


def erase(flash, address):
    """Erase the sector at `address` and read it back. True when it is erased."""
    try:
        flash.erase(address)
    except OSError:
        pass  # judged by what is there
    return erased(flash, address)
