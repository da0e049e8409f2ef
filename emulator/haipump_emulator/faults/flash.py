"""The raw flash partition in RAM, with the rules of the real one, power cuts, worn sectors and wear counters.

Owns: what programming and erasing do to the bytes, also when the power goes in the middle of it or a sector is broken.
Must not: make time pass (`on_operation` tells who does), nor use any random numbers but those of its seed.

Does not model: read disturb, retention, the time an operation takes, faults that depend on temperature.
"""

import random
from collections.abc import Callable

SECTOR = 4096
PAGE = 256

# What is left behind by a power cut during an operation:
#          program                                       erase
# before   nothing happened                              nothing happened
# prefix   some bytes, the last of them in part          some bytes, from the start of the sector
# bits     some of the bits, anywhere                    some of the bits, anywhere (a weak erase)
# half     the first half                                the first half
# done     all of it, but nobody was told                all of it, but nobody was told
CUT_MODES = ("before", "prefix", "bits", "half", "done")

# How a broken sector behaves. "silent": no error is reported, and nothing happens.
BREAKAGES = ("program_error", "program_silent", "program_wrong", "erase_error", "erase_silent", "read_error")


class PowerCut(BaseException):
    """The power went. Not an Exception: no handler of the firmware may survive it."""


class RamFlash:
    """A `Flash` port (see haipump_fw.ports) of `size` bytes; `data` is what it holds at the start (default: erased).

    Counters: `erases` per sector, `programs`, `reads`, `read_bytes`, `operations` (programs and erases), `overprograms`
    (programs that asked for a 1 where a 0 was: such data is lost on a real chip). `on_operation(kind, address, length)`
    is called before each "read", "program" and "erase"."""

    sector = SECTOR
    page = PAGE

    def __init__(self, size: int = 0x40000, data: bytes | None = None, seed: int = 0) -> None:
        if size % SECTOR or (data is not None and len(data) != size):
            raise ValueError(f"a flash of {size} bytes: whole sectors of {SECTOR} bytes, and data of that size")
        self.size = size
        self.data = bytearray(b"\xff" * size if data is None else data)
        self.erases = [0] * (size // SECTOR)
        self.programs = 0
        self.reads = 0
        self.read_bytes = 0
        self.operations = 0
        self.overprograms = 0
        self.on_operation: Callable[[str, int, int], None] | None = None
        self.dead = False
        self._random = random.Random(seed)
        self._broken: dict[int, str] = {}
        self._life: int | None = None
        self._life_breakage = ""
        self._cut_at = 0
        self._cut_mode = "before"

    # --- the port ---

    def read(self, address: int, buf: bytearray | memoryview) -> None:
        """Fill `buf`. OSError from a sector broken that way."""
        self._begin("read", address, len(buf))
        self.reads += 1
        self.read_bytes += len(buf)
        if self._broken and "read_error" in self._breakages(address, len(buf)):
            raise OSError(5, "flash read error")
        buf[:] = self.data[address : address + len(buf)]

    def program(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Turn 1 bits into 0 where `data` has a 0; inside one page. ValueError across pages, OSError when broken."""
        if not len(data) or address // PAGE != (address + len(data) - 1) // PAGE:
            raise ValueError(f"programming {len(data)} bytes at {address:#x} crosses a page of {PAGE} bytes")
        self._begin("program", address, len(data))
        new = bytes(data)
        old = self.data[address : address + len(new)]
        self.programs += 1
        self.operations += 1
        result = _both(old, new)
        self.overprograms += result != new
        if self.operations == self._cut_at:
            self._cut(address, old, result)
        breakage = self._broken.get(address // SECTOR)
        if breakage == "program_wrong":
            result = _both(result, self._random.randbytes(len(new)))
        elif breakage in ("program_silent", "program_error"):
            result = bytes(old)
        self.data[address : address + len(new)] = result
        if breakage == "program_error":
            raise OSError(5, "flash program error")

    def erase(self, address: int) -> None:
        """Erase the sector at `address` to 0xFF. ValueError inside a sector, OSError when broken."""
        if address % SECTOR:
            raise ValueError(f"erasing at {address:#x}: sectors have {SECTOR} bytes")
        self._begin("erase", address, SECTOR)
        index = address // SECTOR
        self.erases[index] += 1
        self.operations += 1
        if self.operations == self._cut_at:
            self._cut(address, self.data[address : address + SECTOR], b"\xff" * SECTOR)
        if self._life is not None and self.erases[index] > self._life:
            self._broken.setdefault(index, self._life_breakage)
        breakage = self._broken.get(index)
        if breakage not in ("erase_silent", "erase_error"):
            self.data[address : address + SECTOR] = b"\xff" * SECTOR
        if breakage == "erase_error":
            raise OSError(5, "flash erase error")

    # --- faults ---

    def cut_after(self, operations: int, mode: str) -> None:
        """The power goes in the `operations`-th program or erase from now on (1: the next one), in one of CUT_MODES:
        PowerCut is raised, by every later call too, until `power_on`."""
        if operations < 1 or mode not in CUT_MODES:
            raise ValueError(f"no such cut: {operations}, {mode!r}")
        self._cut_at = self.operations + operations
        self._cut_mode = mode

    @property
    def cut_planned(self) -> bool:
        """A cut of `cut_after` is still to come."""
        return self._cut_at > self.operations

    def spare(self) -> None:
        """A cut that was planned will not come."""
        self._cut_at = 0

    def power_on(self) -> None:
        """The power is back; a cut that was planned and did not come is forgotten."""
        self.dead = False
        self._cut_at = 0

    def break_sector(self, index: int, breakage: str | None) -> None:
        """From now on sector `index` behaves as that one of BREAKAGES says; None mends it."""
        if breakage is None:
            self._broken.pop(index, None)
        elif breakage in BREAKAGES:
            self._broken[index] = breakage
        else:
            raise ValueError(f"no such breakage: {breakage!r}")

    def wear_out(self, erases: int, breakage: str) -> None:
        """Every sector breaks in that way with the erase after its `erases`-th."""
        self._life = erases
        self._life_breakage = breakage

    def mend(self) -> None:
        """Every sector is as good as new."""
        self._broken.clear()
        self._life = None

    def snapshot(self) -> bytes:
        """What survives the power."""
        return bytes(self.data)

    # --- inside ---

    def _begin(self, kind: str, address: int, length: int) -> None:
        if self.dead:
            raise PowerCut
        if not 0 <= address <= self.size - length:
            raise ValueError(f"{kind} of {length} bytes at {address:#x} is outside of {self.size:#x} bytes")
        if self.on_operation is not None:
            self.on_operation(kind, address, length)

    def _breakages(self, address: int, length: int) -> set[str | None]:
        return {self._broken.get(index) for index in range(address // SECTOR, (address + length - 1) // SECTOR + 1)}

    def _cut(self, address: int, old: bytes | bytearray, new: bytes) -> None:
        """Leave behind what the mode of the cut says, and be dead."""
        done, mixed = 0, b""
        if self._cut_mode == "done":
            done = len(new)
        elif self._cut_mode == "half":
            done = len(new) // 2
        elif self._cut_mode == "prefix":
            done = self._random.randrange(len(new))
            mixed = self._mix(old[done : done + 1], new[done : done + 1])
        elif self._cut_mode == "bits":
            mixed = self._mix(old, new)
        torn = new[:done] + mixed
        self.data[address : address + len(torn)] = torn
        self.dead = True
        raise PowerCut

    def _mix(self, old: bytes | bytearray, new: bytes) -> bytes:
        """Each bit from `old` or from `new`."""
        mask = self._random.randbytes(len(new))
        return bytes((o & ~m | n & m) & 0xFF for o, n, m in zip(old, new, mask, strict=True))


def _both(a: bytes | bytearray, b: bytes) -> bytes:
    """a AND b."""
    return (int.from_bytes(a, "little") & int.from_bytes(b, "little")).to_bytes(len(b), "little")
