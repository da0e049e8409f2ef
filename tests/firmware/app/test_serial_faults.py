"""Serial faults on the whole pump: nothing is executed that was not sent, an unsent stop excepted.

The exhaustive single-byte faults are counted in `tools.measure_faults`, which `make bench` calls too.
"""

from __future__ import annotations

import random

import pytest

from haipump_fw.app import SLOW_CHECK_S
from haipump_fw.proto.messages import LINE_MAX, REQUESTS
from tests.firmware.app.bench import SECOND, Pump, frame, pump
from tools.measure_faults import LINES, Subject, all_single_faults

RATE = "prepare_rate rate_nl_per_day=1300000"


def test_every_message_is_among_the_lines():
    assert {text.split()[0] for _, text in LINES} == {verb for verb, _, _ in REQUESTS}


@pytest.mark.requirement("R2")
def test_no_single_byte_fault_executes_what_was_not_sent():
    counts = all_single_faults()
    assert counts.wrong == 0, counts.problems[:3]
    assert counts.tried >= 13_000
    assert counts.tried == counts.nothing + counts.executed + counts.stopped
    # the harness is awake: lost line ends leave the line as it was, `!` in front stops, and retries were made
    assert counts.executed > 100 and counts.stopped > 10 and counts.retries > 1_000


MUTATING = [
    (situation, text) for situation, text in LINES if text.split()[0] in ("commit", "pause", "resume", "refill")
]


@pytest.mark.parametrize(("situation", "text"), MUTATING)
def test_split_anywhere_is_executed_once(situation, text):
    whole = Subject(situation)
    whole.say(whole.line(text))
    for at in range(1, len(whole.line(text)), 7):
        subject = Subject(situation)
        line = subject.line(text)
        subject.core.send(line[:at])
        subject.core.run_until(subject.core.now_us + 3_000)
        subject.say(line[at:])
        assert subject.look() == whole.look(), at


@pytest.mark.requirement("R2", "A20")
@pytest.mark.parametrize(("situation", "text"), MUTATING)
def test_cut_short_anywhere_does_nothing(situation, text):
    subject = Subject(situation)
    before = subject.look()
    line = subject.line(text)
    for at in range(1, len(line) - 1):
        subject.say(line[:at] + b"\n")
        subject.say(line[at:])
        assert subject.look() == before, at


@pytest.mark.parametrize(("situation", "text"), MUTATING)
def test_two_bytes_swapped_do_nothing(situation, text):
    subject = Subject(situation)
    before = subject.look()
    line = subject.line(text)
    for at in range(len(line) - 2):
        if line[at] != line[at + 1]:
            subject.say(line[:at] + line[at + 1 : at + 2] + line[at : at + 1] + line[at + 2 :])
            assert subject.look() == before, at


def test_two_lines_that_ran_into_each_other_do_nothing():
    of = pump()
    one, two = frame(of.next_id, RATE), frame(of.next_id + 1, "pause")
    of.send(one[:-1] + two)
    of.send(one[:20] + two)
    of.run(0.1)
    assert of.state() == "stopped" and of.app.session.token is None


@pytest.mark.requirement("A25")
def test_an_order_is_executed_once_however_often_it_comes():
    of = pump()
    token = of.act("prepare_bolus volume_nl=20000 duration_s=5")["token"]
    line = frame(of.next_id, "commit token=" + token)
    of.next_id += 1
    answers = {of.answer(line) for _ in range(3)}
    of.run(10)
    answers |= {of.answer(line) for _ in range(3)}
    assert len(answers) == 1 and "state=bolus" in answers.pop()
    of.run(10)
    assert len(of.journal_of("intent")) == 1
    assert abs(of.steps * 231.144 - 20_000) < 232


def test_the_same_id_with_other_bytes_is_refused():
    of = pump()
    of.answer(frame(of.next_id, RATE))
    assert "code=reused" in of.answer(frame(of.next_id, "prepare_rate rate_nl_per_day=1300001"))
    assert of.app.session.token is not None  # the token of the first one is untouched


def test_a_stale_replay_after_a_reboot_does_nothing():
    of = pump()
    lines = []
    for text in (
        RATE,
        "commit token=%s",
        "pause",
        "resume",
        "prepare_bolus volume_nl=20000",
        "commit token=%s",
        "stop",
    ):
        if "%s" in text:
            text = text % of.app.session.token
        lines.append(frame(of.next_id, text))
        of.answer(lines[-1])
        of.next_id += 1
        of.run(1)
    assert not of.enabled
    of.power_cycle()
    of.next_id += 1
    steps, records = of.steps, len(of.journal_of("intent"))
    for line in lines * 2:
        of.answer(line)
    of.run(60)
    assert of.state() == "stopped" and of.steps == steps and len(of.journal_of("intent")) == records
    assert of.app.session.token is None


@pytest.mark.requirement("A6", "R2")
def test_a_megabyte_of_noise():
    """Nothing is executed, nothing hangs, steps come as ever, and the link is back within a second of quiet."""
    noise = random.Random(7).randbytes(1_000_000)
    noise = noise.replace(b"!", b"\x01")  # a stop is the one thing that noise may cause; here the motion is compared
    of, other = pump(), pump()
    for each in (of, other):
        each.order("prepare_rate rate_nl_per_day=24000000")
    intents = len(of.journal_of("intent"))
    at = 0
    while at < len(noise):
        at += of.core.send(noise[at : at + 450])
        of.core.run_until(of.now + 20_000)
        of.core.output.clear()
    of.core.run_until(of.now + SECOND)
    of.core.output.clear()
    of._rest = ""
    assert of.answer(b"\nclock\n").startswith(("err", "ok"))
    of.run(1)
    other.core.run_until(of.now)
    assert of.status()["state"] == "infusing" and len(of.journal_of("intent")) == intents
    assert of.step_times == other.step_times
    of.run(SLOW_CHECK_S)  # refused lines are counted then
    assert (of.ask("alarms")["count"], of.status()["alarm"]) == (1, "command_errors")


@pytest.mark.parametrize("seed", range(4))
def test_noise_made_of_real_pieces(seed):
    """Lines cut, mixed and repeated at random: what is executed is a line that was sent, once each."""
    rng = random.Random(seed)
    of = pump()
    of.order(RATE)
    sent = [
        frame(of.next_id + n, text)
        for n, text in enumerate(("pause", "resume", "silence", "ack", "refill phase=begin"))
    ]
    pool = [*sent, frame(3, "pause"), frame(10**9, "resume"), b"status\n", b"@5 stop", b"\n", b" *12345678\n"]
    before = of.app.session.last_id
    for _ in range(800):
        piece = rng.choice(pool)
        low = rng.randrange(len(piece))
        of.core.send(piece if rng.random() < 0.05 else piece[low : low + rng.randrange(60)])
        of.core.run_until(of.now + 10_000)
        of.core.output.clear()
    of._rest = ""
    of.core.run_until(of.now + SECOND)
    assert before <= of.app.session.last_id <= before + len(sent)
    assert of.app.machine.state in ("infusing", "paused", "stopped", "refill")
    assert len(of.journal_of("intent")) == 1


def test_a_line_that_never_ends_is_no_trouble():
    of = pump()
    of.order(RATE)
    for _ in range(200):
        of.send(b"x" * 500)
        of.run(0.03)
    assert of.answer(b"\n").startswith("err code=too_long")
    assert of.state() == "infusing"
    of.send(b"y" * (LINE_MAX + 1))
    of.run(0.1)
    of.send(b"\n!\n")
    of.run(0.1)
    assert not of.enabled


def flooding(of: Pump, seconds: float) -> None:
    """A host that asks as fast as the line takes it and reads nothing."""
    end = of.now + round(seconds * SECOND)
    while of.now < end:
        of.core.send(b"status\ninfo\nalarms\n" * 20)
        of.core.run_until(of.now + 5_000)


@pytest.mark.requirement("A18", "R8", "A14")
def test_a_host_that_never_reads_changes_no_step():
    of, other = pump(), pump()
    for each in (of, other):
        each.order("prepare_rate rate_nl_per_day=48000000")
        each.order("prepare_bolus volume_nl=100000")
        each.ask("telemetry period_ms=100")
    of.core.host_reads = False
    flooding(of, 60)
    other.core.run_until(of.now)
    assert of.step_times == other.step_times
    of.core.host_reads = True
    of.core.send(b"\n")  # the last line did not fit as a whole
    of.core.run_until(of.now + 3 * SECOND)
    text = of.core.output.decode()
    of.core.output.clear()
    of._rest = text[text.rindex("\n") + 1 :]
    assert "dropped events=" in text
    assert of.status()["state"] == "infusing"


@pytest.mark.requirement("R8", "R6", "A18")
def test_a_stop_gets_through_to_a_pump_whose_host_reads_nothing():
    of = pump()
    of.order("prepare_rate rate_nl_per_day=48000000")
    of.core.host_reads = False
    flooding(of, 5)
    of.core.run_until(of.now + SECOND)
    of.send(b"\n!\n")
    at = of.now
    of.core.run_until(of.now + SECOND)
    assert next(t for t, n, f in of.seen if n == "enable" and not f["on"]) - at < 60_000
