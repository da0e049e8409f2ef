"""The chip for a debugger: GDB's remote serial protocol, and what its packets do to the emulated CPU.

Owns: packets, registers, memory, break points, halting and going on. Must not: own a socket or a clock, or let time
pass while the CPU is halted.

Break points are BKPT instructions that are in memory only while the CPU runs under GDB's eyes: GDB puts them there
before it goes on and takes them away when it stops. Flash is written past the flash chip, so that none of its commands
sees them, and cleared of them before the power goes.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from rp2040py.cortex_m0_core import SYSM_CONTROL, SYSM_MSP, SYSM_PRIMASK, SYSM_PSP

PACKET_MAX = 0x4000
BREAKS_MAX = 1_000
INTERRUPTED, TRAPPED, LOCKED_UP = 2, 5, 11  # signals, as GDB numbers them

_BKPT = b"\x00\xbe"
_ROM, _ROM_END = 0x0000_0000, 0x0000_4000
_FLASH, _FLASH_END = 0x1000_0000, 0x1020_0000
_RAM, _RAM_END = 0x2000_0000, 0x2004_2000
_SPECIAL = {17: SYSM_MSP, 18: SYSM_PSP, 19: SYSM_PRIMASK, 22: SYSM_CONTROL}
_SIZES = {19: 1, 20: 1, 21: 1, 22: 1}  # bytes; all others have 4. 20 and 21 do not exist in this CPU and read 0
_PC, _PSR = 15, 16


def _registers(first: int, names: str, kind: str) -> str:
    return "".join(
        f'<reg name="{name}" bitsize="{8 * _SIZES.get(first + n, 4)}" regnum="{first + n}" type="{kind}"/>'
        for n, name in enumerate(names.split())
    )


_TARGET = (
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">'
    "<architecture>armv6s-m</architecture>"
    '<feature name="org.gnu.gdb.arm.m-profile">'
    + _registers(0, "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12", "uint32")
    + _registers(13, "sp", "data_ptr")
    + _registers(14, "lr", "uint32")
    + _registers(15, "pc", "code_ptr")
    + _registers(16, "xpsr", "uint32")
    + '</feature><feature name="org.gnu.gdb.arm.m-system">'
    + _registers(17, "msp psp", "data_ptr")
    + _registers(19, "primask basepri faultmask control", "int8")
    + "</feature></target>"
)


class Refused(Exception):
    """A packet that asks for what there is not; GDB is told so."""


class _Quiet:
    """rp2040py's logger while GDB looks around: an address that nobody answers at is no fault of the firmware."""

    def __init__(self) -> None:
        self.complained = False

    def debug(self, component_name: str, message: str) -> None:
        pass

    def info(self, component_name: str, message: str) -> None:
        pass

    def warning(self, component_name: str, message: str) -> None:
        self.complained = True

    def error(self, component_name: str, message: str) -> None:
        self.complained = True


class Debugger:
    """The CPU of `core` (a ChipCore) under control. `stopped(signal)` is called when it halts by itself."""

    def __init__(self, core: Any, stopped: Callable[[int], None]) -> None:
        self._core = core
        self._stopped = stopped
        self._breaks: dict[int, bytes] = {}  # address: what was there
        core.listeners.append(self)
        if core.mcu is not None:
            self.on_chip(core.mcu)

    # --- what the core tells ---

    def on_chip(self, mcu: Any) -> None:
        """The chip was powered, without break points: GDB has forgotten them or puts them back."""
        locks_up = mcu.on_break

        def on_break(code: int) -> None:
            address = mcu.core.pc - mcu.core.break_rewind
            if address not in self._breaks:
                locks_up(code)
                return
            mcu.core.pc = address
            self._halted(TRAPPED)

        mcu.on_break = on_break

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        if name == "power" and not fields["on"]:
            self.clear()
        elif name == "lockup":
            self._halted(LOCKED_UP)

    def _halted(self, signal: int) -> None:
        self._core.halt()
        self._stopped(signal)

    # --- running ---

    @property
    def running(self) -> bool:
        return not self._core.halted

    def halt(self) -> None:
        self._core.halt()

    def go_on(self) -> None:
        self._core.halted = False

    def step(self) -> None:
        """One instruction."""
        self._core.step_instruction()

    def restart(self) -> None:
        """Cut the power and give it back: the CPU is halted before its first instruction."""
        self._core.power(False)
        self._core.power(True)
        self._core.halt()

    def time_us(self) -> int:
        return self._core.now_us

    def detach(self) -> None:
        """Leave the core alone, and let it run."""
        self.clear()
        self.go_on()

    def close(self) -> None:
        """The same, for good."""
        self.detach()
        self._core.listeners.remove(self)

    # --- registers ---

    def _mcu(self) -> Any:
        if self._core.mcu is None:
            raise Refused("there is no power")
        return self._core.mcu

    def read_register(self, number: int) -> bytes:
        """Little-endian."""
        cpu = self._mcu().core
        if number < _PSR:
            value = cpu.pc if number == _PC else cpu.registers[number]
        elif number == _PSR:
            value = cpu.x_psr
        elif number in _SPECIAL:
            value = cpu.read_special_register(_SPECIAL[number])
        elif number in _SIZES:
            value = 0
        else:
            raise Refused(f"no register {number}")
        size = _SIZES.get(number, 4)
        return (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    def write_register(self, number: int, data: bytes) -> None:
        cpu = self._mcu().core
        value = int.from_bytes(data, "little")
        if len(data) != _SIZES.get(number, 4):
            raise Refused(f"register {number} has {_SIZES.get(number, 4)} bytes")
        if number == _PC:
            cpu.pc = value
        elif number < _PC:
            cpu.registers[number] = value
        elif number == _PSR:
            cpu.x_psr = value
        elif number in _SPECIAL:
            cpu.write_special_register(_SPECIAL[number], value)
        else:
            raise Refused(f"no register {number}")

    # --- memory ---

    def read(self, address: int, length: int) -> bytes:
        """Bytes; what is neither memory nor a whole word of a peripheral is refused."""
        mcu = self._mcu()
        if address >= _FLASH and address + length <= _FLASH_END:
            data = bytearray(mcu.flash[address - _FLASH : address - _FLASH + length])
        else:
            data = bytearray()
            with self._quietly(mcu):
                if address + length <= _ROM_END or (address >= _RAM and address + length <= _RAM_END):
                    for place in range(address, address + length):
                        data.append(mcu.read_uint8(place))
                elif address >= 0x4000_0000 and address % 4 == length % 4 == 0:
                    for place in range(address, address + length, 4):
                        data += (mcu.read_uint32(place) & 0xFFFF_FFFF).to_bytes(4, "little")
                else:
                    raise Refused(f"nothing to read at {address:#x}")
        for place, before in self._breaks.items():
            for n, byte in enumerate(before):
                if address <= place + n < address + length:
                    data[place + n - address] = byte
        return bytes(data)

    def write(self, address: int, data: bytes) -> None:
        """RAM, or whole words of a peripheral."""
        mcu = self._mcu()
        with self._quietly(mcu):
            if address >= _RAM and address + len(data) <= _RAM_END:
                for n, byte in enumerate(data):
                    mcu.write_uint8(address + n, byte)
            elif address >= 0x4000_0000 and address % 4 == len(data) % 4 == 0:
                for n, (word,) in enumerate(struct.iter_unpack("<I", data)):
                    mcu.write_uint32(address + 4 * n, word)
            else:
                raise Refused(f"nothing can be written at {address:#x}")

    @contextlib.contextmanager
    def _quietly(self, mcu: Any) -> Iterator[None]:
        before, quiet = mcu.logger, _Quiet()
        mcu.logger = quiet
        try:
            yield
        finally:
            mcu.logger = before
        if quiet.complained:
            raise Refused("nobody answers at that address")

    # --- break points ---

    def insert(self, address: int) -> None:
        if address in self._breaks:
            return
        if len(self._breaks) >= BREAKS_MAX or address % 2:
            raise Refused(f"no break point at {address:#x}")
        before = self.read(address, 2)
        self._patch(address, _BKPT)
        self._breaks[address] = before

    def remove(self, address: int) -> None:
        before = self._breaks.pop(address, None)
        if before is not None and self._core.mcu is not None:
            self._patch(address, before)

    def clear(self) -> None:
        """No break point is left in memory."""
        for address in list(self._breaks):
            self.remove(address)

    def _patch(self, address: int, data: bytes) -> None:
        if _FLASH <= address < _FLASH_END:
            self._mcu().flash[address - _FLASH : address - _FLASH + 2] = data
        else:
            self.write(address, data)


class Stub:
    """One connection of GDB: `feed` it what arrives, send what it hands to `send`."""

    def __init__(self, debugger: Debugger, send: Callable[[bytes], None]) -> None:
        self._debugger = debugger
        self._send = send
        self._buffer = bytearray()
        self._signal = INTERRUPTED
        self._owed = False  # GDB waits to hear that the CPU has halted
        self.over = False  # GDB has taken its leave

    def feed(self, data: bytes) -> None:
        """Bytes from GDB, cut anywhere."""
        self._buffer += data
        while self._buffer and not self.over:
            if self._buffer[0] == 3:
                del self._buffer[0]
                self._debugger.halt()
                self.stopped(INTERRUPTED)
                continue
            if self._buffer[0] != ord("$"):
                del self._buffer[0]  # an acknowledgement, or noise
                continue
            end = self._buffer.find(b"#")
            if end < 0 or len(self._buffer) < end + 3:
                self.over = len(self._buffer) > 2 * PACKET_MAX
                return
            body, told = bytes(self._buffer[1:end]), bytes(self._buffer[end + 1 : end + 3])
            del self._buffer[: end + 3]
            if told.lower() != b"%02x" % (sum(body) & 0xFF):
                self._send(b"-")
                continue
            self._send(b"+")
            answer = self._answer(body)
            if answer is not None:
                self._reply(answer)

    def stopped(self, signal: int) -> None:
        """The CPU has halted."""
        self._signal = signal
        if self._owed:
            self._owed = False
            self._reply(f"S{signal:02x}")

    def _reply(self, text: str) -> None:
        self._send(f"${text}#{sum(text.encode()) & 0xFF:02x}".encode())

    def _answer(self, packet: bytes) -> str | None:
        """None: later, or never."""
        handler = self._HANDLERS.get(packet[:1])
        try:
            return "" if handler is None else handler(self, packet[1:].decode("ascii"))
        except (Refused, ValueError, struct.error):
            return "E01"

    # --- packets, each without its first letter ---

    def _why(self, rest: str) -> str:
        self._debugger.halt()
        return f"S{self._signal:02x}"

    def _query(self, rest: str) -> str:
        debugger = self._debugger
        name = rest.partition(":")[0]
        if name == "Supported":
            return f"PacketSize={PACKET_MAX:x};qXfer:features:read+;swbreak-;hwbreak-;vContSupported-"
        if name == "Attached":
            return "1"
        if rest.startswith("Xfer:features:read:target.xml:"):
            offset, length = (int(part, 16) for part in rest.rpartition(":")[2].split(","))
            part = _TARGET[offset : offset + min(length, PACKET_MAX // 2)]
            return ("m" if offset + len(part) < len(_TARGET) else "l") + part
        if name.startswith("Rcmd,"):
            return self._monitor(bytes.fromhex(name[5:]).decode("ascii", "replace"), debugger)
        return ""

    def _monitor(self, command: str, debugger: Debugger) -> str:
        """`monitor ...` of GDB."""
        if command == "reset":
            debugger.restart()
            said = "power cut and restored; halted before the first instruction\n"
        elif command == "time":
            said = f"{debugger.time_us()} us simulated\n"
        else:
            said = "monitor reset: cut the power and halt at the start; monitor time: simulated microseconds\n"
        return said.encode().hex()

    def _read_all(self, rest: str) -> str:
        return b"".join(self._debugger.read_register(number) for number in range(_PSR + 1)).hex()

    def _write_all(self, rest: str) -> str:
        for number, value in enumerate(struct.iter_unpack("4s", bytes.fromhex(rest)[: 4 * (_PSR + 1)])):
            self._debugger.write_register(number, value[0])
        return "OK"

    def _read_one(self, rest: str) -> str:
        return self._debugger.read_register(int(rest, 16)).hex()

    def _write_one(self, rest: str) -> str:
        number, _, value = rest.partition("=")
        self._debugger.write_register(int(number, 16), bytes.fromhex(value))
        return "OK"

    def _read_memory(self, rest: str) -> str:
        address, length = (int(part, 16) for part in rest.split(","))
        return self._debugger.read(address, min(length, PACKET_MAX // 2)).hex()

    def _write_memory(self, rest: str) -> str:
        place, _, data = rest.partition(":")
        self._debugger.write(int(place.split(",")[0], 16), bytes.fromhex(data))
        return "OK"

    def _insert(self, rest: str) -> str:
        return self._break(rest, self._debugger.insert)

    def _remove(self, rest: str) -> str:
        return self._break(rest, self._debugger.remove)

    def _break(self, rest: str, action: Callable[[int], None]) -> str:
        kind, address, _ = rest.split(",", 2)
        if kind not in "01":  # watch points
            return ""
        action(int(address, 16))
        return "OK"

    def _continue(self, rest: str) -> None:
        self._jump(rest)
        self._owed = True
        self._debugger.go_on()

    def _step(self, rest: str) -> str:
        self._jump(rest)
        self._debugger.step()
        return f"S{TRAPPED:02x}"

    def _jump(self, rest: str) -> None:
        if rest:
            self._debugger.write_register(_PC, int(rest, 16).to_bytes(4, "little"))

    def _thread(self, rest: str) -> str:
        return "OK"

    def _detach(self, rest: str) -> str:
        self.over = True
        return "OK"

    def _kill(self, rest: str) -> None:
        self.over = True

    _HANDLERS: ClassVar[dict[bytes, Callable[[Stub, str], str | None]]] = {
        b"?": _why,
        b"q": _query,
        b"g": _read_all,
        b"G": _write_all,
        b"p": _read_one,
        b"P": _write_one,
        b"m": _read_memory,
        b"M": _write_memory,
        b"Z": _insert,
        b"z": _remove,
        b"c": _continue,
        b"s": _step,
        b"H": _thread,
        b"D": _detach,
        b"k": _kill,
    }
