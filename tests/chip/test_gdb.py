"""GDB's packets against the emulated chip, and the port that they come in by."""

import socket
import struct

import pytest

from haipump_emulator.chip.gdb import Debugger, Refused, Stub
from haipump_emulator.link.base import LinkError
from haipump_emulator.link.gdb import GdbServer
from haipump_emulator.pacing import Pacer
from tests.chip.guest import BOOTED_US, Guest

MAIN = "import time\nwhile True:\n time.sleep_ms(1)"
ENTRY = 0x1000_01F6  # of the interpreter: its reset vector says so
RAM = 0x2003_0000  # of the heap's end: nobody is there yet


class Line:
    """A GDB that asks one thing at a time."""

    def __init__(self, guest):
        self.sent = bytearray()
        self.debugger = Debugger(guest.core, lambda signal: self.stub.stopped(signal))
        self.stub = Stub(self.debugger, self.sent.extend)
        self.debugger.halt()

    def ask(self, text):
        """The answer, without its frame; None when there is none yet."""
        self.stub.feed(f"${text}#{sum(text.encode()) & 0xFF:02x}".encode())
        return self.heard()

    def heard(self):
        data, acknowledged = bytes(self.sent), self.sent.startswith(b"+")
        self.sent.clear()
        answer = data[1:] if acknowledged else data
        if not answer:
            return None
        assert answer[:1] == b"$" and answer[-3:-2] == b"#"
        assert int(answer[-2:], 16) == sum(answer[1:-3]) & 0xFF
        return answer[1:-3].decode()

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")


@pytest.fixture
def guest(image):
    return Guest(image, MAIN).run(BOOTED_US + 100_000)


@pytest.fixture
def line(guest):
    return Line(guest)


def test_registers_are_read_and_written(line):
    words = struct.unpack("<17I", bytes.fromhex(line.ask("g")))
    assert 0x1000_0000 < words[15] < 0x1006_0000
    assert 0x2000_0000 < words[13] <= 0x2004_2000
    assert [line.register(n) for n in range(17)] == list(words)
    assert line.register(17) == words[13]  # MSP
    assert line.ask("p13") == "00" and line.ask("p17") == "E01"
    assert line.ask("P0=78563412") == "OK"
    assert line.register(0) == 0x12345678
    changed = struct.pack("<17I", *words[:1], 7, *words[2:])
    assert line.ask(f"G{changed.hex()}") == "OK"
    assert (line.register(0), line.register(1)) == (words[0], 7)
    assert line.ask("P0=12") == "E01"


def test_memory_is_read_and_written(line):
    vectors = bytes.fromhex(line.ask("m10000100,8"))
    assert struct.unpack("<II", vectors) == (0x2004_2000, ENTRY | 1)
    assert line.ask(f"M{RAM:x},3:a1b2c3") == "OK"
    assert line.ask(f"m{RAM:x},3") == "a1b2c3"
    assert len(line.ask("m0,10")) == 32  # the boot ROM
    assert len(line.ask("m40054024,8")) == 16  # a peripheral: whole words
    assert line.ask("m40054024,3") == "E01"
    assert line.ask("m30000000,4") == "E01"
    assert line.ask("m1fffffff,4") == "E01"
    assert line.ask("M10000100,1:00") == "E01"


def test_looking_at_what_is_not_there_is_no_fault_of_the_firmware(guest, line):
    assert line.ask("m90000000,4") == "E01"
    assert guest.core.lockups == 0
    line.debugger.go_on()
    guest.run(1_000_000)
    assert guest.core.lockups == 0


def test_time_stands_still_while_halted(guest, line):
    before = guest.core.now_ns
    guest.core.run_until(guest.core.now_us + 1_000_000)
    assert guest.core.now_ns == before
    assert line.ask("c") is None
    guest.run(10_000)
    assert guest.core.now_us == before // 1_000 + 10_000
    line.stub.feed(b"\x03")
    assert line.heard() == "S02"
    before = guest.core.now_ns
    guest.core.run_until(guest.core.now_us + 1_000_000)
    assert guest.core.now_ns == before


def test_a_step_is_one_instruction(guest, line):
    line.ask("qRcmd," + b"reset".hex())
    assert line.register(15) == 0x1000_0000
    for _ in range(8):  # the second stage of the boot begins straight on
        pc, before = line.register(15), guest.core.now_ns
        assert line.ask("s") == "S05"
        assert line.register(15) == pc + 2
        assert 0 < guest.core.now_ns - before < 2_000


def test_a_sleeping_cpu_wakes_for_a_step(guest, line):
    line.debugger.go_on()
    guest.run(1_300)
    line.debugger.halt()
    assert guest.core.mcu.core.waiting
    before = guest.core.now_us
    assert line.ask("s") == "S05"
    assert 0 <= guest.core.now_us - before < 10_000


def test_a_break_point_stops_where_it_is(guest, line):
    flash = guest.core.flash_port.content
    line.ask("qRcmd," + b"reset".hex())
    assert line.ask(f"Z0,{ENTRY:x},2") == "OK"
    assert line.ask(f"Z1,{ENTRY:x},2") == "OK"
    assert line.ask(f"m{ENTRY:x},2") == flash[0x1F6:0x1F8].hex()  # GDB sees what belongs there
    assert line.ask("c") is None
    guest.run(10_000)
    assert line.heard() == "S05"
    assert line.register(15) == ENTRY
    assert line.ask("?") == "S05"
    at = guest.core.now_ns
    guest.run(10_000)
    assert guest.core.now_ns == at
    assert line.ask(f"z0,{ENTRY:x},2") == "OK"
    assert line.ask("s") == "S05"
    assert line.register(15) != ENTRY
    assert guest.core.flash_port.content == flash
    assert line.ask("c") is None
    guest.run(200_000)
    assert guest.core.now_us > 200_000 and guest.core.lockups == 0
    assert line.ask(f"Z2,{RAM:x},4") == ""  # no watch points
    assert line.ask("Z0,30000000,2") == line.ask("Z0,10000101,2") == "E01"


def test_no_break_point_outlives_the_power_or_gdb(guest, line):
    flash = guest.core.flash_port.content
    line.ask(f"Z0,{ENTRY:x},2")
    assert guest.core.flash_port.content != flash
    guest.core.power(False)
    assert guest.core.flash_port.content == flash
    assert line.ask("g") == "E01"
    guest.core.power(True)
    line.ask(f"Z0,{ENTRY:x},2")
    assert line.ask("D") == "OK" and line.stub.over
    line.debugger.close()
    assert guest.core.flash_port.content == flash
    guest.run(200_000)
    assert guest.core.lockups == 0


def test_a_lockup_is_a_signal(image):
    main = "import machine\nmachine.mem16[0x20030000] = 0xbe00\n@micropython.asm_thumb\ndef f():\n bkpt(0)\nf()"
    main = main.replace("bkpt(0)", "data(2, 0xbe00)")
    guest = Guest(image, main).run(1_000)
    line = Line(guest)
    assert line.ask("c") is None
    guest.run(500_000)
    assert line.heard() == "S0b"
    assert guest.core.lockups == 1


def test_frames_are_checked_and_may_come_in_pieces(line):
    line.stub.feed(b"$g#00")
    assert line.sent == b"-"
    line.sent.clear()
    for byte in b"+$p0#a0":
        line.stub.feed(bytes((byte,)))
    assert len(line.heard()) == 8
    assert line.ask("vMustReplyEmpty") == ""
    assert line.ask("pxyz") == line.ask("m1") == line.ask("Z0") == "E01"
    line.stub.feed(b"$" + b"x" * 100_000)
    assert line.stub.over


def test_the_description_of_the_target_comes_in_pieces(line):
    assert "qXfer:features:read+" in line.ask("qSupported:swbreak+")
    text = ""
    while not text.endswith("</target>"):
        part = line.ask(f"qXfer:features:read:target.xml:{len(text):x},100")
        assert part[0] in "ml"
        text += part[1:]
    assert text.count("<reg ") == 23


def test_the_monitor(guest, line):
    def monitor(words):
        return bytes.fromhex(line.ask("qRcmd," + words.encode().hex())).decode()

    assert f"{guest.core.now_us} us" in monitor("time")
    assert "monitor reset" in monitor("help")
    boots = guest.core.boots
    assert "power" in monitor("reset")
    assert guest.core.boots == boots + 1


def test_without_power_there_is_nothing_to_see(guest, line):
    guest.core.power(False)
    with pytest.raises(Refused):
        line.debugger.read(RAM, 4)
    assert line.ask("s") == "S05"


class Wall:
    us = 0

    def __call__(self):
        return self.us


def ask(conn, server, text):
    conn.sendall(f"${text}#{sum(text.encode()) & 0xFF:02x}".encode())
    got = b""
    while b"#" not in got:
        server.serve()
        got += conn.recv(4096)
    return got.partition(b"$")[2].partition(b"#")[0].decode()


def test_the_port_halts_the_pump_and_lets_it_go(guest):
    wall = Wall()
    pacer = Pacer(guest.core, None, wall_us=wall)
    server = GdbServer(guest.core, pacer, 0)
    with pytest.raises(LinkError, match="--gdb 0"):
        GdbServer(guest.core, pacer, server.port)
    try:
        server.serve()
        assert not guest.core.halted and not pacer.paused
        with socket.create_connection(("127.0.0.1", server.port)) as conn:
            conn.settimeout(10)
            assert ask(conn, server, "?") == "S02"
            assert guest.core.halted and pacer.paused
            with socket.create_connection(("127.0.0.1", server.port)) as second:
                second.settimeout(10)
                server.serve()
                assert second.recv(1) == b""  # one at a time
            pacer.resume()  # somebody else would like it to go on
            server.serve()
            assert pacer.paused
            conn.sendall(b"$c#63")
            while pacer.paused:
                server.serve()
            assert not guest.core.halted
        while server.wait_on()[0][1:]:
            server.serve()
        assert not guest.core.halted and not pacer.paused
    finally:
        server.close()
        server.close()
