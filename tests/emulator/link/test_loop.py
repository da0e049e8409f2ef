"""Bridge and loop: who is served when, and what is bounded. In memory, against a false wall clock."""

import pytest

from haipump_emulator.link import bridge as bridge_module
from haipump_emulator.link.bridge import CORE_OUTPUT_MAX, OUTBOX_MAX, Bridge
from haipump_emulator.link.faults import Delay, Drop, FaultFilter, Flip, Split
from haipump_emulator.link.loop import Loop
from haipump_emulator.link.memory import MemoryLink
from haipump_emulator.pacing import FREE, LEAD_MAX_US, Pacer
from tests.emulator.link.fake import EchoCore, FakeWall


class Rig:
    def __init__(self, speed=1, *, cost=0.0, chatter_us=0, **filters):
        self.wall = FakeWall()
        self.core = EchoCore(self.wall, cost=cost, chatter_us=chatter_us)
        self.link = MemoryLink()
        self.bridge = Bridge(self.core, self.link, wall_us=self.wall, **filters)
        self.pacer = Pacer(self.core, speed, wall_us=self.wall)
        self.loop = Loop(self.pacer, self.bridge, wait=self.wall.wait)

    def turns(self, count):
        for _ in range(count):
            self.loop.turn()

    def wall_for(self, us):
        end = self.wall.now_us + us
        while self.wall.now_us < end:
            before = self.wall.now_us
            self.loop.turn()
            self.wall.now_us = max(self.wall.now_us, before + 1)


def received(client):
    data = bytes(client.received)
    client.received.clear()
    return data


def test_an_answer_comes_in_the_turn_of_its_question():
    rig = Rig()
    client = rig.link.connect()
    rig.turns(3)
    before = rig.wall.now_us
    waits = []
    rig.loop._wait = lambda readers, writers, seconds: waits.append(rig.wall.now_us) or False
    client.send(b"status\n")
    rig.loop.turn()
    assert received(client) == b"echo status\n"
    assert waits == [before]  # it was there before the loop waited


def test_a_script_is_served_promptly_at_any_speed():
    for speed in (1, 60, FREE):
        rig = Rig(speed, cost=1e-6)
        client = rig.link.connect()
        rig.turns(5)
        took = []
        for number in range(50):
            start = rig.wall.now_us
            client.send(b"%d\n" % number)
            while not client.received:
                rig.loop.turn()
            took.append(rig.wall.now_us - start)
            assert received(client) == b"echo %d\n" % number
            rig.wall.now_us += 1_000  # the script thinks
        assert sorted(took)[25] < 5_000


def test_when_the_lead_is_used_up_an_answer_waits_for_the_wall_clock_and_no_longer():
    rig = Rig()
    client = rig.link.connect()
    rig.turns(2)
    took = []
    for number in range(200):  # a millisecond of simulated time each, without a pause
        start = rig.wall.now_us
        client.send(b"%d\n" % number)
        while not client.received:
            rig.loop.turn()
        took.append(rig.wall.now_us - start)
        received(client)
    assert max(took) <= 4_000
    assert rig.core.now_us - (rig.wall.now_us - 1_000_000) <= LEAD_MAX_US


def test_max_waits_through_the_pauses_of_a_script_and_no_longer():
    rig = Rig(FREE, cost=1e-6)
    client = rig.link.connect()
    client.send(b"a\n")
    rig.turns(2)
    before = rig.core.now_us
    rig.wall_for(bridge_module.GRACE_US // 2)
    assert rig.core.now_us - before < 200_000
    rig.wall_for(bridge_module.GRACE_US)
    assert rig.core.now_us - before > 3_600_000_000


def test_sixty_is_held_by_a_token_but_not_by_a_pause():
    rig = Rig(60)
    client = rig.link.connect()
    client.send(b"a\n")
    rig.turns(2)
    before = rig.core.now_us
    rig.wall_for(bridge_module.GRACE_US // 2)
    assert rig.core.now_us - before > 3_000_000
    rig.core.token_open = True
    client.send(b"b\n")
    rig.turns(2)
    before = rig.core.now_us
    rig.wall_for(5_000_000)
    assert rig.core.now_us - before == pytest.approx(5_000_000, rel=0.05)


def test_an_unfinished_line_does_not_hold_max_for_ever():
    rig = Rig(FREE, cost=1e-6)
    client = rig.link.connect()
    client.send(b"half a li")
    rig.turns(2)
    before = rig.core.now_us
    rig.wall_for(10_000_000)
    assert rig.core.now_us - before < 11_000_000
    rig.wall_for(bridge_module.CONVERSATION_MAX_US)
    assert rig.core.now_us - before > 3_600_000_000


def test_listening_does_not_slow_max_down():
    rig = Rig(FREE, cost=1e-6, chatter_us=1_000_000)
    client = rig.link.connect()
    lines = 0
    for _ in range(300):
        rig.loop.turn()
        lines += received(client).count(b"\n")
    assert rig.core.now_us > 3_600_000_000
    assert lines > 100


def test_a_listener_that_stops_reading_costs_nothing_and_misses_only_what_the_pump_dropped():
    rig = Rig(FREE, cost=1e-6, chatter_us=10_000)
    client = rig.link.connect()
    for _ in range(300):
        rig.loop.turn()
        assert len(rig.bridge._outbox) <= OUTBOX_MAX
    assert not rig.core.host_reads
    assert rig.core.now_us > 3_600_000_000
    rig.core._chatter_us = 0
    got = bytearray()
    for _ in range(300):
        rig.loop.turn()
        got += received(client)
    assert rig.core.host_reads
    assert all(line.startswith(b"#") and line.endswith(b"tele") for line in got.splitlines())


def test_a_core_that_knows_no_unread_host_loses_its_oldest_output():
    rig = Rig()
    del rig.core.host_reads
    rig.core.output += b"o" * 10 + b"n" * (OUTBOX_MAX + CORE_OUTPUT_MAX)
    rig.link.connect()
    rig.bridge.take_in()
    rig.bridge.give_out()
    assert len(rig.core.output) == CORE_OUTPUT_MAX
    assert rig.bridge.dropped == 10


def test_what_nobody_hears_is_counted_and_gone():
    rig = Rig(chatter_us=1_000)
    rig.wall_for(1_000_000)
    assert rig.bridge.unheard > 1_000
    assert not rig.core.output
    assert rig.core.host_reads


def test_nothing_passes_while_paused_and_everything_after():
    rig = Rig()
    client = rig.link.connect()
    rig.turns(2)
    rig.pacer.pause()
    client.send(b"later\n")
    rig.wall_for(1_000_000)
    assert not received(client)
    rig.pacer.resume()
    rig.turns(3)
    assert received(client) == b"echo later\n"


def test_the_loop_ends_when_told_to_from_anywhere():
    rig = Rig(FREE, cost=1e-6)
    rig.pacer.at(5_000, rig.loop.stop)
    rig.loop.run()
    assert rig.core.now_us == 5_000
    rig.loop.run()  # stays ended


def test_the_loop_ends_there_even_on_the_way_to_an_answer():
    rig = Rig()
    client = rig.link.connect()
    client.send(b"x\n")
    rig.pacer.at(300, rig.loop.stop)
    rig.loop.run()
    assert rig.core.now_us == 300


def test_a_client_that_comes_at_once_gets_nothing_meant_for_the_one_before():
    rig = Rig()
    first = rig.link.connect()
    rig.turns(1)
    rig.core.output += b"s" * 20_000
    rig.turns(1)
    assert rig.bridge._outbox
    first.close()
    second = rig.link.connect()
    rig.turns(2)
    assert not second.received
    assert rig.bridge.unheard > 0


def test_services_are_served_every_turn_and_waited_for():
    calls = []

    class Service:
        def wait_on(self):
            return ["reader"], ["writer"]

        def serve(self):
            calls.append("served")

    rig = Rig()
    rig.loop.services.append(Service())
    waited = []
    rig.loop._wait = lambda readers, writers, seconds: waited.append((readers, writers)) or False
    rig.loop.turn()
    assert calls == ["served"]
    assert waited[-1] == (["reader"], ["writer"])


def test_byte_faults_on_the_way_in():
    rig = Rig(inbound=FaultFilter([Flip(0, 0), Drop(6), Split(9), Delay(12, 50_000)]))
    client = rig.link.connect()
    client.send(b"abcdefghij\nklm\n")
    rig.turns(2)
    assert b"m" not in bytes(rig.core._fifo)
    rig.wall_for(200_000)
    assert received(client) == b"echo `bcdefhij\necho klm\n"


def test_byte_faults_on_the_way_out():
    rig = Rig(outbound=FaultFilter([Drop(0), Delay(3, 10_000)]))
    client = rig.link.connect()
    client.send(b"x\n")
    rig.wall_for(200_000)
    assert received(client) == b"cho x\n"


def test_a_delayed_flood_is_bounded_too():
    rig = Rig(inbound=FaultFilter([Delay(0, 10_000_000)]))
    client = rig.link.connect()
    for _ in range(50):
        client.send(b"x" * 1_000)
        rig.loop.turn()
    assert rig.bridge.waiting <= bridge_module.INBOX_MAX


def test_closing_sends_the_client_away():
    rig = Rig()
    client = rig.link.connect()
    rig.turns(1)
    rig.bridge.close()
    assert not client.open
