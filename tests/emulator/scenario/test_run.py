"""Scenarios run: each kind of action reaches the core, each kind of expectation can pass and can fail."""

import pytest

from haipump_emulator.scenario import parse_scenario, run_scenario
from haipump_emulator.scenario.player import Player
from haipump_emulator.scenario.watch import Check, View, Watch
from tests.emulator.scenario.fakes import FakeCore

HEAD = '[scenario]\nname = "x"\nduration = "10min"\nseed = 3\n'
ALARM = "alarm alarm=occlusion priority=high phase=active"
S = 1_000_000


def run(timeline, prepare=None):
    return run_scenario(parse_scenario(HEAD + timeline), FakeCore, prepare=prepare)


def expecting(expect, prepare, at="1min"):
    """The check of one expectation."""
    result = run(f'[[timeline]]\nat = "{at}"\nexpect = {{ {expect} }}\n', prepare)
    (check,) = result.checks
    assert result.passed == check.passed
    return check


def later(*pairs):
    """A `prepare` that makes the pump send events at some seconds."""
    return lambda core: [core.at(int(s * S), lambda text=text: core.event(text)) for s, text in pairs]


def steps(start_s, period_s, count, direction=1):
    return lambda core: core.steps(int(start_s * S), int(period_s * S), count, direction)


PASSING = [
    ('alarm = "occlusion", within = "2min"', later((170, ALARM)), 170),
    ('alarm = "occlusion", phase = "latched", within = "2min"', later((90, ALARM.replace("active", "latched"))), 90),
    ('event = "done", fields = { order = 8 }, within = "2min"', later((61, "done order=7"), (62, "done order=8")), 62),
    ('state = "alarm", within = "2min"', later((100, "state state=alarm was=infusing why=occlusion")), 100),
    ('state = "infusing", within = "2min"', later((5, "state state=infusing was=stopped why=host")), 60),
    ('state = "infusing", for = "2min"', later((5, "boot boot=1 state=infusing")), 180),
    ('truth = { commanded_steps = [5, 5] }, within = "2min"', steps(61, 10, 10), 101),
    ('truth = { commanded_steps = [0, 5] }, for = "1min"', steps(61, 10, 5), 120),
    ("truth = { commanded_steps = [6, 6] }", steps(1, 10, 20), 60),
    ('stepped = ["1386864nL", "1386864nL"]', steps(1, 0.005, 6000), 60),
    ('pressure = ["0kPa", "100kPa"]', None, 60),
    ('never = "occlusion"', later((10, ALARM), (20, ALARM.replace("active", "clear"))), 600),
    ('never = "*", for = "1min"', later((121, ALARM)), 120),
    ('still = true, for = "1min"', steps(121, 1, 5), 120),
    ('still = true, for = "1min"', steps(1, 1, 50), 120),
]
FAILING = [
    ('alarm = "occlusion", within = "2min"', later((181, ALARM)), 180, "nothing of the kind"),
    ('alarm = "occlusion", within = "2min"', later((59, ALARM)), 180, "nothing of the kind"),
    ('alarm = "occlusion", phase = "latched", within = "2min"', later((90, ALARM)), 180, "phase=active"),
    ('alarm = "storage", within = "2min"', later((90, ALARM)), 180, "alarm=occlusion"),
    ('event = "done", fields = { order = 8 }, within = "1min"', later((61, "done order=7")), 120, "done order=7"),
    ('event = "button", within = "1min"', None, 120, "nothing of the kind"),
    ('state = "alarm", within = "2min"', later((100, "state state=fault was=infusing why=x")), 180, "state fault"),
    ('state = "infusing", for = "2min"', later((5, "boot state=infusing"), (99, "state state=kvo")), 99, "state kvo"),
    ('state = "infusing", for = "2min"', None, 60, "state unknown"),
    ('truth = { commanded_steps = [5, 5] }, within = "1min"', steps(61, 10, 3), 120, "commanded_steps 3"),
    ('truth = { commanded_steps = [0, 5] }, for = "2min"', steps(61, 10, 9), None, "commanded_steps 6"),
    ("truth = { commanded_steps = [6, 6] }", steps(1, 10, 5), 60, "commanded_steps 5"),
    ('pressure = ["-5kPa", "0.1kPa"]', None, 60, "kPa"),
    ('delivered = ["1mL", "2mL"]', None, 60, "0.000000 mL"),
    ('never = "*"', later((70, ALARM)), 70, "alarm=occlusion"),
    ('never = "*"', later((7, ALARM)), 60, "standing: occlusion"),
    ('still = true, for = "1min"', steps(100, 1, 1, -1), None, "-1 steps"),
    ('still = true, for = "1min"', steps(100, 1, 1), None, "+1 steps"),
]


@pytest.mark.parametrize(("expect", "prepare", "when_s"), PASSING)
def test_expectations_that_are_met(expect, prepare, when_s):
    check = expecting(expect, prepare)
    assert check.passed, check
    assert check.when_us == pytest.approx(when_s * S, abs=0.7 * S)


@pytest.mark.parametrize(("expect", "prepare", "when_s", "saw"), FAILING)
def test_expectations_that_are_not_met(expect, prepare, when_s, saw):
    check = expecting(expect, prepare)
    assert check.passed is False, check
    assert saw in check.saw
    assert when_s is None or check.when_us == when_s * S


def test_what_stood_before_a_power_cut_stands_no_more():
    def prepare(core):
        core.at(S, lambda: core.event(ALARM))
        core.at(2 * S, lambda: core.power(False))

    assert expecting('never = "*"', prepare).passed


def test_an_event_after_the_end_of_the_time_does_not_count():
    """However late the watch is polled."""
    scenario = parse_scenario(HEAD + '[[timeline]]\nat = "0s"\nexpect = { alarm = "occlusion", within = "1s" }\n')
    check = Check(1, 0, "")
    watch = Watch(scenario.timeline[0].expect, check, View(), 10 * S)
    watch.on_event(S + 1, "alarm", {"alarm": "occlusion", "phase": "active"})
    assert check.passed is None
    watch.poll(S + 2)
    assert check.passed is False


def answers(**lines):
    return lambda core: core.answers.update(lines)


def test_asking_the_pump():
    prepare = answers(status="ok state=kvo delivered_nl=1500000 order=3")
    assert expecting('ask = "status", fields = { state = "kvo", delivered_nl = ["1mL", "2mL"] }', prepare).passed
    check = expecting('ask = "status", fields = { state = "kvo", delivered_nl = ["2mL", "3mL"] }', prepare)
    assert (check.passed, check.saw) == (False, "state=kvo delivered_nl=1500000")
    assert not expecting('ask = "status", fields = { alarm = "none" }', prepare).passed
    assert not expecting('ask = "status", fields = { order = [3, 3] }', answers(status="ok order=x")).passed
    assert not expecting('ask = "status", fields = { order = [3, 3] }', answers(status="err code=busy order=3")).passed


def test_a_state_now_is_asked_for():
    assert expecting('state = "kvo"', answers(status="ok state=kvo")).passed
    assert not expecting('state = "kvo"', answers(status="ok state=stopped")).passed


def test_volumes_count_from_a_mark():
    text = (
        '[[timeline]]\nat = "1min"\nmark = "m"\n'
        '[[timeline]]\nat = "2min"\nexpect = { truth = { commanded_steps = [10, 10] }, since = "m" }\n'
    )
    assert run(text, steps(30, 6, 100)).passed
    assert not run(text, steps(30, 7, 100)).passed


def test_stepped_uses_the_calibration_of_the_loaded_syringe():
    text = (
        '[[timeline]]\nat = "1s"\nhost = "syringe 10mL 10mL"\n'
        '[[timeline]]\nat = "1min"\nexpect = { stepped = ["103.2uL", "103.3uL"] }\n'  # 1000 steps of 0.1032 uL
    )
    assert run(text, steps(30, 0.01, 1000)).passed


def test_a_host_command_must_be_accepted_unless_its_refusal_is_expected():
    say = '[[timeline]]\nat = "1s"\nhost = "bolus 9mL"\n'
    refuse = answers(prepare_bolus="err code=limit state=stopped maximum=5")
    assert run(say).passed
    assert run(say + 'refused = "limit"\n', refuse).passed
    assert not run(say, refuse).passed
    assert not run(say + 'refused = "limit"\n').passed
    assert not run(say + 'refused = "state"\n', refuse).passed


def test_a_pump_that_does_not_answer_fails_the_command():
    result = run('[[timeline]]\nat = "1s"\nhost = "pause"\n', answers(pause=None))
    assert (result.passed, result.checks[0].saw) == (False, "no answer")


def test_raw_lines_pass_unless_a_refusal_is_expected():
    raw = '[[timeline]]\nat = "1s"\nhost = "raw nonsense"\n'
    refuse = answers(nonsense="err code=unknown state=stopped")
    assert run(raw, refuse).passed
    assert run(raw + 'refused = "unknown"\n', refuse).passed
    assert not run(raw + 'refused = "crc"\n', refuse).passed


class Spy:
    """Notes what reaches plant and core."""

    def __init__(self, core):
        self.core, self.calls = core, []
        for owner, names in (
            (core, ("press", "power")),
            (core.plant, ("occlude", "release", "leak", "warm", "height", "refill", "capture", "sensor")),
        ):
            for name in names:
                setattr(owner, name, lambda *args, n=name, **kwargs: self.calls.append((core.now_us, n, args)))


@pytest.mark.parametrize(
    ("action", "calls"),
    [
        ('press = { button = "stop", for = "3s" }', [(0, "press", (64, True)), (3, "press", (64, False))]),
        ("jumper = true", [(0, "press", (16, True))]),
        ('power = "off"', [(0, "power", (False,))]),
        ('power = { do = "cycle", for = "2s" }', [(0, "power", (False,)), (2, "power", (True,))]),
        ("occlude = true", [(0, "occlude", (60 * S,))]),
        ('refill = "30mL"', [(0, "refill", (60 * S,))]),
        ('sensor = { name = "pressure", fault = "stuck" }', [(0, "sensor", (60 * S,))]),
    ],
)
def test_actions_reach_the_core(action, calls):
    spies = []
    run(f'[[timeline]]\nat = "1min"\n{action}\n', lambda core: spies.append(Spy(core)))
    assert [((t - 60 * S) // S, name, args) for t, name, args in spies[0].calls] == calls


def test_a_flood_is_sent_whole_and_the_next_command_still_understood():
    text = (
        '[[timeline]]\nat = "1s"\nflood = { bytes = 1000, style = "lines" }\n[[timeline]]\nat = "2s"\nhost = "pause"\n'
    )
    cores = []
    assert run(text, cores.append).passed
    heard = cores[0].heard
    assert sum(len(line) + 1 for line in heard if "nonsense" in line) in (1000, 1001)
    assert heard[-1].split()[1] == "pause"


def test_noise_is_the_same_for_the_same_seed_and_holds_no_stop():
    def noise():
        cores = []
        run('[[timeline]]\nat = "1s"\nflood = { bytes = 5000 }\n', cores.append)
        return cores[0].heard

    assert noise() == noise()
    assert not any("!" in line for line in noise())


def test_entries_wait_for_a_conversation_and_stay_in_order():
    text = (
        '[[timeline]]\nat = "1s"\nhost = "pause"\n'
        '[[timeline]]\nat = "1s"\nhost = "resume"\n'
        '[[timeline]]\nat = "1001ms"\npress = "stop"\n'
    )
    cores = []
    result = run(text + 'expect = { event = "button", within = "1s" }\n', cores.append)
    assert result.passed
    assert [line.split()[1] for line in cores[0].heard] == ["hello", "pause", "resume"]


def test_a_run_that_checked_nothing_has_not_passed():
    assert not run('[[timeline]]\nat = "1s"\nocclude = true\n').passed


def test_the_trace_around_a_failure_shows_what_led_to_it():
    text = '[[timeline]]\nat = "1min"\nocclude = true\nexpect = { alarm = "storage", within = "1min" }\n'
    result = run(text, later((90, ALARM)))
    shown = "\n".join(result.around[0])
    assert "input occlude" in shown and "alarm=occlusion" in shown


def test_a_run_leaves_the_core_as_it_was():
    cores = []
    run('[[timeline]]\nat = "1s"\nhost = "pause"\n', cores.append)
    assert cores[0].listeners == []
    assert not set(vars(cores[0])) & {"send", "press", "power"}
    assert not set(vars(cores[0].plant)) & {"occlude", "release"}


def test_a_player_can_ride_on_another_clock():
    core = FakeCore()
    scenario = parse_scenario(
        HEAD + '[[timeline]]\nat = "1s"\nhost = "pause"\nexpect = { still = true, for = "1min" }\n'
    )
    player = Player(scenario, core)
    player.ride(core.at)
    for second in range(1, 700):
        core.run_until(second * S)
    assert player.finished
    assert [check.passed for check in player.checks] == [True, True]


def test_options_of_the_pump_and_parameters_reach_the_core():
    made = []

    def factory(plant, **options):
        made.append((plant, options))
        return FakeCore(plant, **options)

    text = HEAD + "[pump]\nticks_start_us = 77\n[plant.syringe]\nbore_mm = 20.0\n"
    run_scenario(parse_scenario(text), factory)
    plant, options = made[0]
    assert (plant.params.syringe.bore_mm, plant.seed) == (20.0, 3)
    assert options == {"seed": 3, "flash": None, "ticks_start_us": 77, "kind": "direct"}
