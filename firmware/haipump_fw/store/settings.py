"""The settings: two copies in two sectors, changed so that a power cut leaves the old ones or the new ones.

Owns: the image of the settings, where it is written, which copy counts. Must not: decide what may be set when (that is
the app), nor carry on with values it could not read: then `load` says "mismatch" and the pump stays stopped.

Image (little-endian), in one of four slots of 1024 bytes per sector:

    "HPS1"  generation u32  version u16  length u16  payload (length bytes)  CRC-32 of all before
    payload of version 1: key for locked mode, 32 bytes (zeros: none); then (key u16, value i64) for each row of OPTIONS

Copies. A copy is *sound* when the last thing in its sector is a valid image of the newest generation, otherwise *weak*.
A save writes the new generation behind the old one in one copy, page by page; once it is read back it counts, and the
other copy, now behind, follows. Only a weak copy is ever written or erased while there is one, so the other one stays
whole; and when neither copy ends in a valid image, that was not a power cut: "mismatch".

When a sector is full it is erased and written again at once, in idle time, so that no save waits for an erase. Three
saves cost one erase of each sector: ten saves a day for ten years are 12,200 erases, of 100,000 that the chip is rated
for. Cells that read as blank after an interrupted erase may be weak: an empty copy beside a valid one is erased again.
"""

import binascii
import struct

from haipump_fw.const import const
from haipump_fw.core.options import KEY, NAME, OPTIONS, check, defaults
from haipump_fw.store import flashmap
from haipump_fw.store.flashmap import ERASE_WINDOW_US, PAGE, PAGE_WINDOW_US, SECTOR

VERSION = const(1)
KEY_BYTES = const(32)

_MAGIC = b"HPS1"
_HEADER = "<4sIHH"
_HEADER_BYTES = const(12)
_CRC_BYTES = const(4)
_ROW = "<Hq"
_ROW_BYTES = const(10)
_SLOT = const(1024)
_SLOTS = const(4)
_FAILURES_MAX = const(6)  # programs and erases of one copy that failed in a row; then it is left alone
_NO_KEY = bytes(KEY_BYTES)


class _Copy:
    """One sector. `generation`: newest valid image in it, 0 for none, and `slot` where that is; `clean`: nothing torn
    comes after it; `free`: the slot that is written next, _SLOTS when the sector must be erased first."""

    def __init__(self, address):
        self.address = address
        self.generation = 0
        self.slot = 0
        self.clean = False
        self.blank = True
        self.free = _SLOTS
        self.page = 0  # pages of the image already in slot `free`
        self.failures = 0
        self.bad = False


class Settings:
    """The settings in sectors `sector_a` and `sector_b`.

    Attributes to read: `values` ({name: number} of OPTIONS; the defaults unless `load` said "ok"), `key` (32 bytes for
    locked mode or None), `generation` (0: never saved), `saving` (a save is under way; `values` are the old ones),
    `damaged` (not two sound copies), `failed` (a sector is worn out: saves are refused), `problem` (what was wrong when
    `load` said "mismatch": "copies", "version", "key_N", or the name of a setting)."""

    def __init__(self, flash, sector_a, sector_b):
        self.values = defaults()
        self.key = None
        self.generation = 0
        self.saving = False
        self.failed = False
        self.problem = None
        self._flash = flash
        self._copies = (_Copy(sector_a * SECTOR), _Copy(sector_b * SECTOR))
        self._stored = 0  # generation that a copy holds and that must not be lost; 0: none
        self._wanted = 0  # generation of the image in RAM, which both copies shall get
        self._new_values = self.values
        self._new_key = None
        self._image = bytearray(_SLOT)
        image = memoryview(self._image)
        self._pages = [image[at : at + PAGE] for at in range(0, _SLOT, PAGE)]
        self._page_count = 0

    # --- loading ---

    def load(self):
        """Once, before anything else. "ok", "blank" (never saved: `values` are the defaults) or "mismatch"."""
        for copy in self._copies:
            self._scan(copy)
        a, b = self._copies
        best = a if a.generation >= b.generation else b
        if not best.generation:
            return self._load_nothing(a, b)
        for copy in self._copies:
            if not copy.generation:
                copy.free = _SLOTS
        self.generation = best.generation
        if not (a.clean or b.clean):
            return self._mismatch("copies")
        self._read_image(best.address + best.slot * _SLOT)
        problem = self._parse()
        if problem:
            return self._mismatch(problem)
        self._stored = self._wanted = best.generation
        return "ok"

    def _load_nothing(self, a, b):
        # What the very first save leaves behind when the power goes is as good as blank.
        if b.blank and (a.blank or a.free == 1):
            if not a.blank:
                a.free = _SLOTS
            return "blank"
        a.free = b.free = _SLOTS
        return self._mismatch("copies")

    def _mismatch(self, problem):
        self.problem = problem
        self.values = defaults()
        self.key = None
        for copy in self._copies:
            copy.clean = False
        return "mismatch"

    def _scan(self, copy):
        copy.free = 0
        for slot in range(_SLOTS):
            generation = self._read_image(copy.address + slot * _SLOT)
            if generation > copy.generation:
                copy.generation = generation
                copy.slot = slot
            if generation or not self._slot_blank():
                copy.free = slot + 1
                copy.clean = bool(generation)
        copy.blank = copy.free == 0

    def _slot_blank(self):
        return all(page == flashmap.BLANK_PAGE for page in self._pages)

    def _read_image(self, address):
        """Read one slot into `_image`. Returns the generation of the valid image in it, else 0."""
        flashmap.load(self._flash, address, self._image)
        magic, generation, _, length = struct.unpack_from(_HEADER, self._image, 0)
        end = _HEADER_BYTES + length
        if magic != _MAGIC or end > _SLOT - _CRC_BYTES:
            return 0
        if struct.unpack_from("<I", self._image, end)[0] != binascii.crc32(memoryview(self._image)[:end]):
            return 0
        self._count_pages(end)
        return generation

    def _count_pages(self, end):
        self._page_count = (end + _CRC_BYTES + PAGE - 1) // PAGE

    def _parse(self):
        """Take the values out of the image. None, or what is wrong with it. A row that is missing keeps its default: it
        is younger than the image."""
        _, _, version, length = struct.unpack_from(_HEADER, self._image, 0)
        if version != VERSION or length < KEY_BYTES or (length - KEY_BYTES) % _ROW_BYTES:
            return "version"
        names = {row[KEY]: row[NAME] for row in OPTIONS}
        for at in range(_HEADER_BYTES + KEY_BYTES, _HEADER_BYTES + length, _ROW_BYTES):
            number, value = struct.unpack_from(_ROW, self._image, at)
            name = names.get(number)
            if name is None:
                return "key_%d" % number  # saved by a firmware that knows more: perhaps a limit
            if check(name, value):
                return name
            self.values[name] = value
        key = bytes(self._image[_HEADER_BYTES : _HEADER_BYTES + KEY_BYTES])
        self.key = None if key == _NO_KEY else key
        return None

    # --- saving ---

    def save(self, changes, key=None):
        """Begin to save `values` with `changes` ({name: number}) and, if given, another key (32 bytes; zeros: none).

        Returns the generation that `generation` will show once it counts, or 0 when it is refused: a save is under way,
        or a copy is worn out. KeyError for an unknown name, ValueError for a value out of range or a key of another
        length. Call `step` until `saving` is False; `failed` says whether it is lost."""
        for name in changes:
            if check(name, changes[name]):
                raise ValueError("%s=%d" % (name, changes[name]))
        if key is not None and len(key) != KEY_BYTES:
            raise ValueError("a key has %d bytes" % KEY_BYTES)
        if self.saving or self.failed:
            return 0
        self._new_values = dict(self.values)
        self._new_values.update(changes)
        self._new_key = self.key if key is None else None if key == _NO_KEY else bytes(key)
        self._wanted = self.generation + 1
        self._build()
        self.saving = True
        for copy in self._copies:
            if copy.page:  # a copy that was following is half written with the image before
                self._leave_slot(copy)
        return self._wanted

    def take_back(self):
        """A save that did not get its window is not to come later: the image that it began is written anew, with what
        is in force."""
        self.saving = False
        self.save({})

    def _build(self):
        image = self._image
        end = _HEADER_BYTES + KEY_BYTES + len(OPTIONS) * _ROW_BYTES
        for page in self._pages:
            page[:] = flashmap.BLANK_PAGE
        struct.pack_into(_HEADER, image, 0, _MAGIC, self._wanted, VERSION, end - _HEADER_BYTES)
        image[_HEADER_BYTES : _HEADER_BYTES + KEY_BYTES] = self._new_key or _NO_KEY
        at = _HEADER_BYTES + KEY_BYTES
        for row in OPTIONS:
            struct.pack_into(_ROW, image, at, row[KEY], self._new_values[row[NAME]])
            at += _ROW_BYTES
        struct.pack_into("<I", image, end, binascii.crc32(memoryview(image)[:end]))
        self._count_pages(end)

    @property
    def damaged(self):
        """True while there are not two sound copies: during a save, after a power cut in one, or for good."""
        a, b = self._copies
        return bool(self._stored) and not (self._sound(a) and self._sound(b))

    def _sound(self, copy):
        return copy.clean and copy.generation == self._stored

    def window_needed(self):
        """What `step` wants next: 0 (nothing to do), PAGE_WINDOW_US or ERASE_WINDOW_US."""
        copy = self._target()
        if copy is None:
            return 0
        return ERASE_WINDOW_US if copy.free == _SLOTS else PAGE_WINDOW_US

    def step(self, window_us):
        """Do the next piece of work (one page program, or one erase) if `window_us` allows. True when it was done, well
        or not; False when there is nothing to do or the window is too short."""
        needed = self.window_needed()
        if not needed or window_us < needed:
            return False
        copy = self._target()
        if needed == ERASE_WINDOW_US:
            self._erase(copy)
        else:
            self._program(copy)
        return True

    def _target(self):
        """The copy that is worked on, None when there is no work. The rule of the weak copy stands at the top."""
        a, b = self._copies
        if not self._wanted or self.failed:
            return None
        if not (self._sound(a) and self._sound(b)):
            return b if self._sound(a) or a.bad else a
        if self.saving:
            return b if a.free == _SLOTS and b.free < _SLOTS else a
        for copy in self._copies:
            if copy.free == _SLOTS:
                return copy
        return None

    def _erase(self, copy):
        copy.clean = False
        copy.generation = 0
        if flashmap.erase(self._flash, copy.address):
            copy.free = 0
            copy.page = 0
        else:
            self._count_failure(copy)

    def _program(self, copy):
        address = copy.address + copy.free * _SLOT + copy.page * PAGE
        copy.clean = False
        if not flashmap.program(self._flash, address, self._pages[copy.page]):
            self._leave_slot(copy)
            self._count_failure(copy)
            return
        copy.page += 1
        if copy.page == self._page_count:
            self._complete(copy)

    def _leave_slot(self, copy):
        copy.free += 1
        copy.page = 0

    def _complete(self, copy):
        """The image is in this copy as a whole: from now on it counts."""
        self._leave_slot(copy)
        copy.failures = 0
        copy.clean = True
        copy.generation = self._stored = self._wanted
        self.failed = self._copies[0].bad or self._copies[1].bad
        if self.saving:
            self.saving = False
            self.generation = self._wanted
            self.values = self._new_values
            self.key = self._new_key
            self.problem = None

    def _count_failure(self, copy):
        copy.failures += 1
        if copy.failures == _FAILURES_MAX:
            copy.bad = True
            # One sound copy is kept as it is: it must not be touched without another one beside it.
            if self._stored or self._copies[0].bad and self._copies[1].bad:
                self.failed = True
                self.saving = False
