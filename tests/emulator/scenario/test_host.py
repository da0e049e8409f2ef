"""The scripted host: its language, its codec against the firmware's, and its conversations."""

import zlib
from fractions import Fraction

import pytest

from haipump_emulator.scenario.host import (
    BORES_UM,
    NO_ANSWER,
    Answer,
    CommandError,
    Event,
    ScriptedHost,
    parse_command,
    read_line,
    seal,
    step_fl,
)
from haipump_fw.proto import frame, programme
from tests.emulator.scenario.fakes import FakeCore


def talk(core, text):
    """Run one conversation to its end."""
    host = ScriptedHost(core)
    steps = host.command(parse_command(text))
    try:
        while True:
            core.run_until(next(steps))
    except StopIteration as stop:
        return stop.value
    finally:
        host.close()


def bodies(core):
    """What the pump heard, without id, checksum and hello."""
    lines = [line.rpartition(" *")[0] or line for line in core.heard]
    stripped = [line.partition(" ")[2] if line.startswith("@") else line for line in lines]
    return [line for line in stripped if line != "hello"]


PROGRAMME = (
    "programme period 1d; repeats 14; end kvo; 0s rate 1.3mL/day; 8h bolus 0.1mL; "
    "9h ramp 2mL/day over 1h; 10h bolus 0.1mL"
)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("rate 1.3mL/day", ["prepare_rate rate_nl_per_day=1300000", "commit token=abc"]),
        (
            "rate 1mL/h ramp 10min vtbi 2mL then kvo override",
            [
                "prepare_rate rate_nl_per_day=24000000 ramp_s=600 vtbi_nl=2000000 at_end=kvo override=1",
                "commit token=abc",
            ],
        ),
        ("bolus 0.1mL", ["prepare_bolus volume_nl=100000", "commit token=abc"]),
        ("bolus 0.2mL over 10min", ["prepare_bolus volume_nl=200000 duration_s=600 extended=1", "commit token=abc"]),
        ("bolus 0.2mL in 90s", ["prepare_bolus volume_nl=200000 duration_s=90", "commit token=abc"]),
        ("kvo", ["prepare_kvo", "commit token=abc"]),
        ("prime 0.5mL", ["prepare_prime volume_nl=500000 disconnected=1", "commit token=abc"]),
        ("withdraw 1mL", ["prepare_withdraw volume_nl=1000000 disconnected=1", "commit token=abc"]),
        ("jog -50", ["prepare_jog steps=-50 disconnected=1", "commit token=abc"]),
        ("home", ["prepare_home disconnected=1", "commit token=abc"]),
        (
            "syringe 30mL 28mL",
            [
                "prepare_syringe reservoir_nl=28000000 step_fl=231147588 bore_um=21700 syringe_nl=30000000",
                "commit token=abc",
            ],
        ),
        (
            "limits occlusion=50kPa max_rate=5mL/day pause_max_s=120",
            ["prepare_limits occlusion_pa=50000 max_rate_nl_per_day=5000000 pause_max_s=120", "commit token=abc"],
        ),
        ("settings silence_s=60s", ["prepare_settings silence_s=60", "commit token=abc"]),
        ("calibration backlash_steps=0", ["prepare_calibration backlash_steps=0", "commit token=abc"]),
        ("pause", ["pause"]),
        ("resume", ["resume"]),
        ("cancel", ["cancel_bolus"]),
        ("refill begin", ["refill phase=begin"]),
        ("selftest", ["selftest"]),
        ("ack", ["ack"]),
        ("ack occlusion", ["ack alarm=occlusion"]),
        ("silence", ["silence"]),
        ("silence 60s", ["silence seconds=60"]),
        ("telemetry 1s", ["telemetry period_ms=1000"]),
        ("stop", ["stop"]),
        ('raw "status now"', ["status now"]),
    ],
)
def test_commands_become_conversations(text, heard):
    core = FakeCore()
    talk(core, text)
    assert bodies(core) == heard


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("dance", "no host command 'dance'"),
        ("rate", "a rate is missing"),
        ("rate 1mL", "no rate"),
        ("rate 1mL/day fast", "can't make sense of 'fast'"),
        ("rate 1mL/day ramp", "what comes behind"),
        ("rate 1mL/day ramp 1ms", "whole number of seconds"),
        ("bolus 1mL over 1min in 1min", "either"),
        ("syringe 31mL 1mL", "no such syringe"),
        ("limits", "nothing to set"),
        ("limits occlusion", "name=value"),
        ("limits occlusion=5mL", "no unit of pressure"),
        ("limits x=fast", "no quantity"),
        ("jog far", "invalid literal"),
        ("pause now", "can't make sense"),
        ("programme", "needs its items"),
        ("programme 0s rate 1mL/day", "'period'"),
        ("programme period 1500ms; 0s rate 1mL/day", "whole number of seconds"),
        ("programme period 1d 2; 0s rate 1mL/day", "write 'period VALUE'"),
        ("programme period 1d; 0s ramp 1mL/day", "a ramp needs one"),
        ("programme period 1d; rate 1mL/day", "an item is"),
    ],
)
def test_commands_that_make_no_sense_say_why(text, what):
    with pytest.raises(CommandError, match=what):
        parse_command(text)


def test_the_firmware_understands_every_line_that_is_sent():
    core = FakeCore()
    for text in ("rate 1mL/h ramp 10min vtbi 2mL then kvo", "bolus 0.2mL over 10min", "syringe 30mL 28mL", PROGRAMME):
        talk(core, text)
    for line in core.heard:
        assert frame.parse(line.encode())[2] is not None


def test_a_programme_is_uploaded_whole_and_the_firmware_reads_it_as_meant():
    command = parse_command(PROGRAMME)
    found = programme.parse(command.payload)
    assert (found.period_s, found.repeats, found.at_end) == (86_400, 14, "kvo")
    assert found.kinds == [programme.RATE, programme.BOLUS, programme.RAMP, programme.BOLUS]
    assert found.at_s == [0, 28_800, 32_400, 36_000]
    assert found.values == [1_300_000, 100_000, 2_000_000, 100_000]
    assert found.durations_s == [0, 0, 3_600, 0]
    core = FakeCore()
    assert talk(core, PROGRAMME).ok
    parts = [frame.parse(line.encode())[3] for line in core.heard if " part " in line]
    assert b"".join(part["data"] for part in parts) == command.payload
    assert [part["offset"] for part in parts] == [0, 120]
    verbs = [body.split()[0] for body in bodies(core)]
    assert verbs == ["part_begin", "part", "part", "prepare_programme", "commit"]


def test_a_refusal_ends_the_conversation():
    core = FakeCore()
    core.answers["prepare_bolus"] = "err code=limit state=infusing maximum=5"
    answer = talk(core, "bolus 9mL")
    assert (answer.ok, answer.fields["code"], answer.fields["maximum"]) == (False, "limit", "5")
    assert len(bodies(core)) == 1
    core.answers["part"] = "err code=part state=stopped"
    assert talk(core, PROGRAMME).fields["code"] == "part"
    assert [body.split()[0] for body in bodies(core)[1:]] == ["part_begin", "part"]


def test_a_lost_answer_is_asked_for_again_with_the_same_id():
    core = FakeCore()
    core.answers["pause"] = None
    core.at(5_000_000, lambda: core.answers.update(pause="ok state=paused"))
    assert talk(core, "pause").fields["state"] == "paused"
    sent = [line for line in core.heard if "pause" in line]
    assert len(sent) == 2 and len(set(sent)) == 1


def test_a_busy_pump_is_asked_again():
    core = FakeCore()
    core.answers["pause"] = "err code=busy state=infusing"
    core.at(2_000, lambda: core.answers.update(pause="ok state=paused"))
    assert talk(core, "pause").ok


def test_silence_ends_in_no_answer_and_the_next_command_asks_for_its_id():
    core = FakeCore()
    core.answers["pause"] = None
    assert talk(core, "pause") is NO_ANSWER
    assert core.now_us <= 40_000_000


def test_a_line_is_handed_over_in_pieces_when_the_pump_has_no_room():
    core = FakeCore(room=7)
    assert talk(core, "ack occlusion").ok
    assert bodies(core) == ["ack alarm=occlusion"]


def test_ids_go_on_within_one_boot_and_are_asked_for_after_a_reset():
    core = FakeCore()
    host = ScriptedHost(core)
    for text in ("pause", "resume"):
        for wake in host.command(parse_command(text)):
            core.run_until(wake)
    host.on_event(core.now_us, "reset", {})
    for wake in host.command(parse_command("pause")):
        core.run_until(wake)
    ids = [line.split()[0] for line in core.heard if "hello" not in line]
    assert ids == ["@7", "@8", "@7"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("@5 ok state=stopped", Answer(5, True, {"state": "stopped"}, "@5 ok state=stopped")),
        ("ok x=1", Answer(None, True, {"x": "1"}, "ok x=1")),
        ("err code=crc", Answer(None, False, {"code": "crc"}, "err code=crc")),
        ("#12 alarm alarm=occlusion phase=active", Event(12, "alarm", {"alarm": "occlusion", "phase": "active"})),
        ("@x ok", None),
        ("#12", None),
        ("hello", None),
    ],
)
def test_lines_from_the_pump(line, found):
    assert read_line(seal(line).decode().rstrip("\n")) == found


def test_a_line_with_one_wrong_byte_is_nothing():
    good = seal("@5 ok state=stopped").decode().rstrip("\n")
    for at in range(len(good)):
        assert read_line(good[:at] + chr(ord(good[at]) ^ 1) + good[at + 1 :]) is None
    assert read_line("@5 ok") is None


def test_broken_lines_are_counted_and_noise_without_end_is_dropped():
    core = FakeCore()
    host = ScriptedHost(core)
    host.on_bytes(0, "out", b"x" * 10_000)
    host.on_bytes(0, "out", b"\n@1 ok *00000000\n")
    assert host.broken_lines == 2


def test_seal_is_the_checksum_of_the_body():
    assert seal("abc") == b"abc *%08x\n" % zlib.crc32(b"abc")


@pytest.mark.parametrize("size", BORES_UM)
def test_step_volume_is_area_times_lead_rounded_once(size):
    bore = Fraction(BORES_UM[size])
    pi = Fraction(3141592653589793238462643383279, 10**30)
    exact = pi / 4 * bore * bore * 2_000 / 3_200  # um3 are fL
    assert abs(step_fl(BORES_UM[size]) - exact) <= Fraction(1, 2)
