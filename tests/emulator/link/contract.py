"""What every link must keep, run by `test_links` on each of them. Not a test file by itself.

A subclass provides `make_link()`, and `connect()`: a client with send, recv, close, that raises Refused when it is.
"""

import contextlib

import pytest

from haipump_emulator.link.bridge import INBOX_MAX, OUTBOX_MAX, Bridge
from haipump_emulator.link.loop import Loop
from haipump_emulator.pacing import Pacer
from tests.emulator.link.fake import EchoCore, FakeWall

TURNS_MAX = 2_000


class LinkContract:
    def make_link(self):
        raise NotImplementedError

    def connect(self):
        raise NotImplementedError

    def is_refused(self, text):
        return text.startswith(b"# refused: in use by ")

    @pytest.fixture(autouse=True)
    def _rig(self, tmp_path, monkeypatch):
        self.tmp_path = tmp_path
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "state"))
        self.wall = FakeWall()
        self.core = EchoCore()
        self.link = self.make_link()
        self.bridge = Bridge(self.core, self.link, wall_us=self.wall)
        self.loop = Loop(Pacer(self.core, 1, wall_us=self.wall), self.bridge, wait=self.wall.wait)
        self.clients = []
        yield
        for client in self.clients:
            client.close()
        self.bridge.close()
        self.bridge.close()  # twice does no harm

    def client(self):
        client = self.connect()
        self.clients.append(client)
        return client

    def turns(self, until, most=TURNS_MAX):
        for _ in range(most):
            if until():
                return
            self.loop.turn()
        raise AssertionError("it did not happen")

    def hear(self, client, expected):
        got = bytearray()

        def heard():
            got.extend(client.recv())
            return expected in got

        self.turns(heard)
        return bytes(got)

    def test_a_line_is_answered(self):
        client = self.client()
        self.turns(lambda: self.link.client_is_there)
        client.send(b"hello\n")
        assert self.hear(client, b"\n") == b"echo hello\n"
        assert (self.bridge.received, self.bridge.delivered) == (6, 11)

    def test_all_bytes_pass_unchanged(self):
        client = self.client()
        data = bytes(value for value in range(256) if value != 10)
        client.send(data + b"\n")
        assert self.hear(client, b"echo " + data + b"\n")

    def test_one_after_the_other(self):
        for number in range(4):
            client = self.client()
            client.send(b"number %d\n" % number)
            assert self.hear(client, b"\n") == b"echo number %d\n" % number
            client.close()
            self.turns(lambda: not self.link.client_is_there)
        assert (self.link.accepted, self.link.refused) == (4, 0)

    def test_close_and_open_again_at_once(self):
        for number in range(5):
            client = self.client()
            client.send(b"a%d\n" % number)
            self.hear(client, b"echo a%d\n" % number)
            client.close()
        assert self.link.refused == 0

    def test_a_second_client_is_refused_by_name(self):
        first = self.client()
        first.send(b"one\n")
        self.hear(first, b"echo one\n")
        name = self.link.client
        assert name
        second = self.client()
        assert self.is_refused(self.hear(second, b"\n"))
        assert self.link.refused == 1
        first.send(b"two\n")
        self.hear(first, b"echo two\n")
        second.close()
        first.close()
        third = self.client()
        third.send(b"three\n")
        self.hear(third, b"echo three\n")

    def test_what_a_refused_client_sends_never_reaches_the_pump(self):
        first = self.client()
        first.send(b"one\n")
        self.hear(first, b"echo one\n")
        second = self.client()
        with contextlib.suppress(OSError):
            second.send(b"evil\n")
        for _ in range(20):
            self.loop.turn()
        assert b"evil" not in first.recv()
        assert self.bridge.received == 4

    def test_a_client_that_leaves_in_the_middle_of_a_line(self):
        client = self.client()
        client.send(b"half a li")
        self.turns(lambda: self.bridge.received == 9)
        client.close()
        self.turns(lambda: not self.link.client_is_there)
        other = self.client()
        other.send(b"ne\nnext\n")
        assert b"echo next\n" in self.hear(other, b"echo next\n")

    def test_a_last_word_counts(self):
        client = self.client()
        client.send(b"stop\n")
        client.close()
        self.turns(lambda: self.bridge.received == 5)
        self.turns(lambda: self.core.now_us > 500_000)
        assert self.bridge.delivered + self.bridge.unheard == len(b"echo stop\n") or not self.link.client_is_there

    @pytest.mark.parametrize("chatter_us", [0, 200])
    def test_all_that_was_sent_before_leaving_arrives(self, chatter_us):
        client = self.client()
        self.turns(lambda: self.link.client_is_there)
        self.core._chatter_us = chatter_us  # and it does not read that, so that leaving looks like a broken connection
        self.turns(lambda: self.bridge.delivered >= chatter_us)
        assert client.send(b"x" * 2_000 + b"\nstop\n") == 2_006
        client.close()
        self.turns(lambda: self.bridge.received == 2_006)
        self.turns(lambda: not self.link.client_is_there)

    def test_a_flood_is_held_back(self):
        self.core.hungry = False
        client = self.client()
        sent = 0
        for _ in range(200):
            sent += client.send(b"x" * 1_000)
            self.loop.turn()
        assert self.bridge.waiting <= INBOX_MAX
        assert sent < 60_000  # the client felt it
        client.close()
        self.core.hungry = True
        # What the kernel still holds of a flood is drained first; TCP can't tell that its sender is gone.
        self.turns(lambda: not self.link.client_is_there)
        follower = self.client()
        follower.send(b"\nafter\n")
        assert b"echo after\n" in self.hear(follower, b"echo after\n")

    def test_a_client_that_never_reads(self):
        self.core._chatter_us = 100
        client = self.client()
        self.turns(lambda: not self.core.host_reads)
        assert self.bridge.delivered < 200_000  # and soon
        for _ in range(50):
            self.loop.turn()
        assert len(self.bridge._outbox) <= OUTBOX_MAX
        assert len(self.core.output) < 10_000
        self.core._chatter_us = 0
        client.close()
        follower = self.client()
        follower.send(b"hi\n")
        got = self.hear(follower, b"echo hi\n")
        assert b"echo hi\n" in got
        assert self.core.host_reads

    def test_nobody_gets_what_was_meant_for_another(self):
        client = self.client()
        client.send(b"secret\n")
        self.turns(lambda: self.bridge.delivered > 0)
        client.close()
        self.turns(lambda: not self.link.client_is_there)
        self.core.output += b"unheard\n"
        self.loop.turn()
        other = self.client()
        self.turns(lambda: self.link.client_is_there)
        other.send(b"mine\n")
        assert self.hear(other, b"echo mine\n") == b"echo mine\n"

    def test_dropping_a_client_makes_room(self):
        client = self.client()
        self.turns(lambda: self.link.client_is_there)
        self.link.drop()
        assert not self.link.client_is_there
        client.close()
        other = self.client()
        other.send(b"a\n")
        self.hear(other, b"echo a\n")
