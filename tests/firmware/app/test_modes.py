"""Everything but therapy and standing still ends by itself, within a stated time, whatever the host does; and no bytes
that nobody meant can put the pump into it. docs/architecture.md lists the bounds."""

from __future__ import annotations

import random

import pytest

from haipump_fw import app as app_module
from haipump_fw.handling import HANDLING_MAX_S
from haipump_fw.proto.messages import SESSION_S, TOKEN_VALID_S, WHYS
from tests.firmware.app.bench import SECOND, frame, pump

DIGEST = "0" * 64


@pytest.mark.requirement("A6", "CS-REQ-44/15")
def test_a_refill_that_was_left_ends_after_an_hour():
    of = pump()
    of.act("refill phase=begin")
    of.run(app_module.REFILL_MAX_S - 100)
    assert of.state() == "refill"
    of.run(200)
    assert of.state() == "stopped" and not of.app.refill_begun
    of.flush()
    assert WHYS[of.journal_of("state")[-1]["why"]] == "timeout"
    of.order("prepare_rate rate_nl_per_day=1300000")


def test_a_refill_in_which_something_is_done_goes_on():
    of = pump()
    of.act("refill phase=begin")
    of.run(3_000)
    of.order("prepare_jog steps=-400 disconnected=1")
    of.run(3_000)
    assert of.state() == "refill"


@pytest.mark.requirement("A6")
def test_a_pause_that_was_left_becomes_an_alarm():
    of = pump()
    of.order("prepare_rate rate_nl_per_day=1300000")
    of.act("pause")
    at = of.now
    of.run_to_alarm("paused_too_long", 700, 5)
    assert of.now - at <= (600 + 16) * SECOND


@pytest.mark.requirement("A6")
@pytest.mark.parametrize(
    ("setup", "text"),
    [
        ("prepare_settings prime_nl_per_day=1000000", "prepare_prime volume_nl=600000 disconnected=1"),
        ("prepare_settings withdraw_nl_per_day=1000000", "prepare_withdraw volume_nl=600000 disconnected=1"),
        ("prepare_settings jog_steps_per_s=10", "prepare_jog steps=500000 disconnected=1"),
        ("prepare_settings jog_steps_per_s=10", "prepare_home disconnected=1"),
    ],
)
def test_no_handling_lasts_longer_than_its_bound(setup, text):
    of = pump()
    of.load(20_000_000)
    of.order(setup)
    if "home" in text:
        of.order("prepare_calibration travel_steps=500000")
    refused = of.no(text)
    assert (refused["code"], refused["limit"], refused["maximum"]) == ("limit", "handling_s", HANDLING_MAX_S)
    assert of.state() == "stopped"


@pytest.mark.requirement("A6")
@pytest.mark.parametrize(
    "text",
    [
        "prepare_prime volume_nl=200000 disconnected=1",
        "prepare_withdraw volume_nl=200000 disconnected=1",
        "prepare_jog steps=-3000 disconnected=1",
        "prepare_home disconnected=1",
    ],
)
def test_each_handling_comes_to_its_end(text):
    of = pump()
    of.load(20_000_000)
    of.order(text)
    assert of.enabled
    of.run(500)
    assert not of.enabled
    assert of.state() in ("stopped", "alarm")  # home without its switch is told


@pytest.mark.requirement("A6", "GIP-2.2.4/5", "CS-REQ-57/58")
def test_an_open_prepare_ends():
    of = pump()
    token = of.act("prepare_rate rate_nl_per_day=1300000")["token"]
    of.run(TOKEN_VALID_S + 1)
    assert of.no("commit token=" + token)["code"] == "token"


@pytest.mark.requirement("A6", "CS-REQ-57/58")
def test_parts_that_were_left_are_given_up_and_their_memory_with_them():
    of = pump()
    of.act(f"part_begin what=programme size=4096 sha256={DIGEST}")
    of.act("part offset=0 data=AAAA")
    of.run(SESSION_S - 20)
    of.act("part offset=3 data=AAAA")  # still being sent
    of.run(SESSION_S + 61)
    assert len(of.app.session._parts) == 0
    assert of.no("part offset=6 data=AAAA")["code"] == "part"
    assert of.no(f"prepare_programme sha256={DIGEST}")["what"] == "incomplete"


@pytest.mark.requirement("A6")
def test_the_self_test_is_over_at_once():
    of = pump()
    at = of.now
    assert of.act("selftest")["state"] == "stopped"
    assert of.now - at < SECOND


@pytest.mark.requirement("A6")
def test_telemetry_is_no_mode():
    """It changes nothing: with it on and nobody reading, alarms come, and the motor goes off."""
    of = pump()
    of.order("prepare_rate rate_nl_per_day=24000000")
    of.ask("telemetry period_ms=100")
    of.core.host_reads = False
    of.run(30)
    of.core.plant.driver_fault(of.now, True)
    of.core.run_until(of.now + SECOND)
    assert of.app.machine.state == "alarm" and not of.enabled


def speech(rng: random.Random) -> bytes:
    """Bytes as a broken line makes them of what hosts say: whole lines without their checksum, pieces, other order."""
    lines = [
        frame(rng.randrange(1, 400), text)
        for text in ("refill phase=begin", "service", "pause", "selftest", "lock", "prepare_home disconnected=1")
    ]
    line = bytearray(rng.choice(lines))
    for _ in range(rng.randrange(1, 4)):
        line[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
    return bytes(line[rng.randrange(4) :])


@pytest.mark.requirement("A6")
@pytest.mark.parametrize("seed", range(4))
def test_no_stream_of_bytes_parks_the_pump(seed):
    """Broken lines of everything that would take the pump out of therapy: it goes on, or it was stopped by a `!`."""
    rng = random.Random(seed)
    of = pump()
    of.order("prepare_rate rate_nl_per_day=24000000")
    for _ in range(1_500):
        of.core.send(speech(rng).replace(b"!", b"?"))
        of.core.run_until(of.now + 20_000)
        of.core.output.clear()
    of.core.run_until(of.now + SECOND)
    of.core.output.clear()
    of._rest = ""
    of.answer(b"\n\nclock\n")
    assert of.state() == "infusing" and of.enabled
    assert of.app.session.wrong > 1_000


def test_the_bounds_are_those_of_the_documents():
    from tests.arch.tree import ROOT

    text = " ".join((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    for bound in (
        f"| open prepare | {TOKEN_VALID_S} s |",
        f"| parts | {SESSION_S // 60} min after the last one |",
        f"| refill | {app_module.REFILL_MAX_S // 3600} h in which nothing is done |",
        f"| priming, withdrawing, jog, home | when it is done, at most {HANDLING_MAX_S // 3600} h |",
        f"| session of locked mode | {SESSION_S // 60} min after the last order |",
    ):
        assert bound in text, bound
