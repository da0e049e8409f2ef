"""The USB console of the chip core: full buffers, a host that does not read, a cable that is pulled."""

import re

from haipump_fw import ports
from tests.chip.guest import BOOTED_US, Guest

ECHO = "import sys\nwhile True:\n print('got', sys.stdin.readline().strip())"

# Writes an endless, numbered stream, one byte when there is room for it, and counts what comes in.
STREAM = """
import select, sys, time
writable = select.poll(); writable.register(sys.stdout, select.POLLOUT)
readable = select.poll(); readable.register(sys.stdin, select.POLLIN)
out = bytearray(1)
written = got = 0
while True:
    for _ in writable.ipoll(0):
        out[0] = 10 if written % 100 == 99 else 48 + written % 10
        sys.stdout.buffer.write(out)
        written += 1
        break
    for _ in readable.ipoll(0):
        sys.stdin.buffer.read(1)
        got += 1
        break
    time.sleep_us(200)
"""
EXPECTED = bytes(10 if n % 100 == 99 else 48 + n % 10 for n in range(20_000))
COUNTER = STREAM.replace("sys.stdout.buffer.write(out)", "pass").replace(
    "got += 1", "got += 1\n        print('n', got)"
)


def test_lines_go_to_and_fro(image):
    guest = Guest(image, ECHO).run(BOOTED_US)
    assert guest.core.send(b"one\n") == 4
    guest.run(20_000)
    assert "got one\n" in guest.text()
    assert guest.bytes_in == [(BOOTED_US, b"one\n")]


def test_bytes_to_a_pump_that_boots_are_lost(image):
    guest = Guest(image, ECHO)
    assert guest.core.send(b"lost\n") == 5
    guest.run(BOOTED_US)
    guest.core.power(False)
    assert guest.core.send(b"lost\n") == 5
    guest.core.power(True)
    guest.run(BOOTED_US)
    guest.core.send(b"heard\n")
    guest.run(20_000)
    assert "lost" not in guest.text() and guest.bytes_in == [(2 * BOOTED_US, b"heard\n")]


def test_what_does_not_fit_waits_at_the_host(image):
    guest = Guest(image, "import time\ntime.sleep_ms(200)\n" + COUNTER).run(BOOTED_US)
    sent = guest.core.send(b"x" * 600)
    assert sent == 512
    assert guest.core.send(b"x") == 0
    guest.run(100_000)
    rest = guest.core.send(b"x" * (600 - sent))
    assert rest == 600 - sent
    guest.run(700_000)
    assert guest.text().strip().endswith("n 600")


def test_a_host_that_does_not_read_loses_nothing(image):
    guest = Guest(image, STREAM).run(100_000)
    core = guest.core
    core.host_reads = False
    guest.run(1_000)
    stopped = bytes(core.output)
    guest.run(1_000_000)
    assert bytes(core.output) == stopped
    core.host_reads = True
    guest.run(1_000)
    assert len(core.output) >= len(stopped) + 256  # what the pump had in its buffer
    guest.run(100_000)
    assert bytes(core.output) == EXPECTED[: len(core.output)]
    times = [t for t, _, _ in guest.events]
    assert times == sorted(times)


def test_stopping_and_going_on_at_awkward_moments_loses_nothing(image):
    guest = Guest(image, STREAM).run(100_000)
    core = guest.core
    for n in range(150):
        core.host_reads = False
        guest.run(137 * (n % 7) + 13)
        core.send(b"z" * (n % 5))
        guest.run(n % 11 * 9)
        core.host_reads = True
        guest.run(n % 5 * 7)
    guest.run(100_000)
    assert len(core.output) > 500
    assert bytes(core.output) == EXPECTED[: len(core.output)]


def test_a_reset_gets_through_to_a_host_that_does_not_read(image):
    guest = Guest(image, "import time, machine\ntime.sleep_ms(90)\nprint('x' * 100)\nmachine.reset()")
    guest.core.host_reads = False
    guest.run(1_000_000)
    boots = guest.core.boots
    assert boots > 2  # a hundred bytes fit into the buffer, and enumeration goes on
    guest.core.host_reads = True
    guest.run(1_000_000)
    assert guest.core.boots > boots + 2 and b"x" * 100 in guest.core.output


def test_a_cable_that_was_never_plugged_in(image):
    guest = Guest(image, STREAM, usb_connected=False).run(500_000)
    assert guest.core.output == b"" and guest.core.send(b"abc") == 3
    guest.core.usb_connected = True
    guest.run(200_000)
    assert re.search(rb"0123456789", bytes(guest.core.output))
    assert guest.core.usb_connected


def test_a_cable_that_is_pulled_and_plugged_in_again(image):
    guest = Guest(image, ECHO).run(BOOTED_US)
    guest.core.usb_connected = False
    guest.run(300_000)
    assert guest.core.output == b"" and guest.core.send(b"lost\n") == 5
    guest.core.usb_connected = True
    guest.run(100_000)
    guest.core.send(b"back\n")
    guest.run(50_000)
    text = guest.text()
    assert "got back" in text and "lost" not in text


def test_a_conversation_is_what_still_needs_an_answer(image):
    main = "import sys\nwhile True:\n line = sys.stdin.readline()\n print('ok token=12ab' if 'prep' in line else 'ok')"
    guest = Guest(image, main).run(1_000_000)
    core = guest.core

    def said(line: bytes, us: int) -> bool:
        core.send(line)
        assert core.conversing()
        guest.run(us)
        return core.conversing()

    assert not core.conversing()
    assert said(b"sta", 1_000_000)  # an unfinished line
    assert said(b"tus\n", 100_000)
    guest.run(500_000)
    assert not core.conversing()
    assert said(b"prepare\n", 29_000_000)  # the token that came back is open
    assert not said(b"commit\n", 1_000_000)
    assert said(b"prepare\n", 1_000_000)
    guest.run(31_000_000)
    assert not core.conversing()
    assert said(b"prepare\n", 1_000_000)
    core.power(False)
    assert not core.conversing()


def test_output_is_told_by_lines(image):
    class Ear:
        def __init__(self) -> None:
            self.heard: list[bytes] = []

        def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
            self.heard.append(data)

    guest = Guest(image, STREAM)
    guest.core.listeners.append(ear := Ear())
    guest.run(400_000)
    assert b"".join(ear.heard) == bytes(guest.core.output)[: sum(map(len, ear.heard))]
    assert len(guest.core.output) - sum(map(len, ear.heard)) < 100
    assert len(ear.heard) < len(guest.core.output) / 10


def test_raw_repl_works_as_mpremote_uses_it(image):
    guest = Guest(image, "").run(BOOTED_US)
    core = guest.core
    core.send(b"\r\x01")
    guest.run(20_000)
    assert b"raw REPL" in core.output
    core.output.clear()
    core.send(b"print(6 * 7)\x04")
    guest.run(20_000)
    assert bytes(core.output) == b"OK42\r\n\x04\x04>"
    core.press(ports.IN_STOP, True)  # and nothing else is disturbed
    core.send(b"import machine; print(machine.Pin(11, machine.Pin.IN, machine.Pin.PULL_UP).value())\x04")
    guest.run(50_000)
    assert b"OK1\r\n" in core.output
