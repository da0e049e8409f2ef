"""Scenario files: what they say is what comes out, and every mistake has file, line and key."""

from pathlib import Path

import pytest

from haipump_emulator.faults.catalogue import make
from haipump_emulator.scenario import ScenarioError, load_scenario, parse_scenario
from haipump_emulator.scenario.cli import shipped
from haipump_emulator.scenario.host import COMMANDS
from haipump_emulator.scenario.load import ACTIONS, CONDITIONS
from haipump_emulator.scenario.model import (
    AlarmSeen,
    Asked,
    Break,
    EventSeen,
    Expect,
    Flood,
    InRange,
    Jumper,
    Mark,
    NoAlarm,
    PlantAction,
    Power,
    Press,
    StateIs,
    Still,
)

HEAD = '[scenario]\nname = "x"\nduration = "1h"\n'  # three lines


def entry(text):
    """The one entry of a scenario with this timeline entry."""
    return parse_scenario(f'{HEAD}[[timeline]]\nat = "0s"\nmark = "m"\n[[timeline]]\nat = "1s"\n{text}\n').timeline[-1]


def test_a_whole_file(tmp_path):
    (tmp_path / "pump.flash").write_bytes(b"\x00\xff")
    path = tmp_path / "a.toml"
    path.write_text(
        '[scenario]\nname = "N"\nabout = "A"\nseed = 5\nduration = "14d"\nspeed = 60\n'
        '[plant.syringe]\ninitial_nl = "20mL"\nbore_mm = 21.5\ncaptured = false\n'
        '[plant.artery]\nmean_pa = "10kPa"\n'
        '[pump]\nticks_start_us = "17min"\nflash = "pump.flash"\n'
        '[[timeline]]\nat = "1h"\nrelease = true\n[[timeline]]\nat = "+30min"\nseal = true\n'
    )
    scenario = load_scenario(path)
    assert (scenario.name, scenario.about, scenario.seed, scenario.speed) == ("N", "A", 5, 60.0)
    assert scenario.duration_us == 14 * 86_400_000_000
    assert scenario.params == {
        "syringe": {"initial_nl": 20_000_000, "bore_mm": 21.5, "captured": False},
        "artery": {"mean_pa": 10_000},
    }
    assert (scenario.pump.ticks_start_us, scenario.pump.flash) == (1_020_000_000, b"\x00\xff")
    assert [e.at_us for e in scenario.timeline] == [3_600_000_000, 5_400_000_000]
    assert [e.line for e in scenario.timeline] == [16, 19]


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("occlude = true", PlantAction("occlude", {"resistance_pa_s_per_nl": None})),
        ('occlude = "50Pa*s/nL"', PlantAction("occlude", {"resistance_pa_s_per_nl": 50})),
        ("release = true", PlantAction("release", {})),
        ('fault = "motor_stall"', Break(make("motor_stall"), None)),
        ('fault = { name = "leak resistance=50", for = "1min" }', Break(make("leak", {"resistance": 50}), 60_000_000)),
        ("leak = 3.5", PlantAction("leak", {"resistance_pa_s_per_nl": 3.5})),
        ("seal = true", PlantAction("seal", {})),
        ('warm = { to = "30C", over = "1h" }', PlantAction("warm", {"to_c": 30, "over_s": 3600.0})),
        ('height = "-20cm"', PlantAction("height", {"cm": -20, "over_s": 0.0})),
        ('artery = "20kPa"', PlantAction("artery", {"mean_pa": 20_000})),
        ('refill = "30mL"', PlantAction("refill", {"volume_nl": 30_000_000})),
        ("capture = false", PlantAction("capture", {"on": False})),
        ("supply = 4200", PlantAction("supply", {"mv": 4200})),
        ("driver_fault = true", PlantAction("driver_fault", {"on": True})),
        (
            'sensor = { name = "pressure", fault = "offset", value = 9 }',
            PlantAction("sensor", {"sensor": "pressure", "fault": "offset", "value": 9}),
        ),
        ('press = "stop"', Press("stop", 64, 200_000)),
        ('press = { button = "start", for = "3s" }', Press("start", 32, 3_000_000)),
        ("jumper = true", Jumper(16, True)),
        ('power = "off"', Power("off", 1_000_000)),
        ('power = { do = "cycle", for = "2s" }', Power("cycle", 2_000_000)),
        ('flood = { bytes = 100, style = "lines" }', Flood(100, "lines")),
        ('mark = "here"', Mark("here")),
    ],
)
def test_actions(text, action):
    assert entry(text).action == action


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        ('alarm = "occlusion", within = "20min"', Expect(AlarmSeen("occlusion", "active"), within_us=1_200_000_000)),
        (
            'alarm = "occlusion", phase = "latched", within = "1s"',
            Expect(AlarmSeen("occlusion", "latched"), within_us=1_000_000),
        ),
        (
            'event = "done", fields = { result = "complete", order = 3 }, within = "1s"',
            Expect(EventSeen("done", {"result": "complete", "order": "3"}), within_us=1_000_000),
        ),
        ('state = "infusing"', Expect(StateIs("infusing"))),
        ('state = "infusing", for = "1min"', Expect(StateIs("infusing"), for_us=60_000_000)),
        (
            'delivered = ["1.29mL", "1.31mL"], since = "m"',
            Expect(InRange("arrived_nl", 1_290_000, 1_310_000, "m", "delivered")),
        ),
        ('stepped = ["0mL", "1mL"]', Expect(InRange("stepped_nl", 0, 1_000_000, None, "stepped"))),
        ('pressure = ["10kPa", 20000]', Expect(InRange("pressure_pa", 10_000, 20_000, None, "pressure"))),
        (
            'truth = { reservoir_nl = ["28mL", "29mL"] }',
            Expect(InRange("reservoir_nl", 28_000_000, 29_000_000, None, "reservoir_nl")),
        ),
        (
            'ask = "status", fields = { state = "kvo", delivered_nl = "1mL", reservoir_nl = ["1mL", "2mL"] }',
            Expect(
                Asked(
                    "status",
                    {
                        "state": "kvo",
                        "delivered_nl": (1_000_000, 1_000_000),
                        "reservoir_nl": (1_000_000, 2_000_000),
                    },
                )
            ),
        ),
        ('never = "*"', Expect(NoAlarm(()), for_us=-1)),
        (
            'never = ["occlusion", "storage"], for = "1s"',
            Expect(NoAlarm(("occlusion", "storage")), for_us=1_000_000),
        ),
        ("still = true", Expect(Still(), for_us=-1)),
    ],
)
def test_expectations(text, expect):
    assert entry(f"expect = {{ {text} }}").expect == expect


def test_an_action_and_what_must_follow_can_be_one_entry():
    found = entry('host = "stop"\nrefused = "busy"\nexpect = { state = "stopped" }')
    assert found.action.refused == "busy"
    assert found.expect == Expect(StateIs("stopped"))


TIMELINE = HEAD + '[[timeline]]\nat = "1s"\n'  # its next line is the sixth

MISTAKES = [
    ("[scenario", 1, "", "not valid TOML"),
    ('[scenario]\nname = "x"\nduration = "1h"\nx = 1\nx = 2', 5, "", "not valid TOML"),
    ('[scenario]\nduration = "1h"', 1, "scenario.name", "is missing"),
    ('[scenario]\nname = "x"', 1, "scenario.duration", "is missing"),
    ('[scenario]\nname = 3\nduration = "1h"', 2, "scenario.name", "must be a text"),
    ('[scenario]\nname = "x"\nduration = 3', 3, "scenario.duration", "with its unit"),
    ('[scenario]\nname = "x"\nduration = "401d"', 3, "scenario.duration", "400 days"),
    (HEAD + "sed = 3", 4, "scenario.sed", "did you mean 'seed'"),
    (HEAD + "seed = true", 4, "scenario.seed", "whole number"),
    (HEAD + "speed = 0", 4, "scenario.speed", "above 0"),
    (HEAD + "[extra]\n", 4, "extra", "no such key"),
    (HEAD + "[plant]\nsyringe = 3", 5, "plant.syringe", "must be a table"),
    (HEAD + "[plant.syrinx]\n", 4, "plant.syrinx", "did you mean 'syringe'"),
    (HEAD + "[plant.syringe]\nbore = 3", 5, "plant.syringe.bore", "did you mean 'bore_mm'"),
    (HEAD + '[plant.syringe]\nbore_mm = "20"', 5, "plant.syringe.bore_mm", "plain number"),
    (HEAD + "[plant.syringe]\nbore_mm = 2000", 5, "plant.syringe.bore_mm", "outside"),
    (HEAD + '[plant.syringe]\ninitial_nl = "3kPa"', 5, "plant.syringe.initial_nl", "no unit of volume"),
    (HEAD + "[plant.syringe]\ninitial_nl = 3.5", 5, "plant.syringe.initial_nl", "not whole"),
    (HEAD + "[plant.syringe]\ncaptured = 1", 5, "plant.syringe.captured", "true or false"),
    (HEAD + '[pump]\nflash = "none.bin"', 5, "pump.flash", "can't be read"),
    (HEAD + "timeline = 3", 4, "scenario.timeline", "no such key"),
    ("timeline = 3\n" + HEAD, 1, "timeline", "[[timeline]]"),
    (HEAD + "[[timeline]]\nrelease = true", 4, "timeline[1].at", "is missing"),
    (TIMELINE, 4, "timeline[1]", "nothing to do"),
    (TIMELINE + "oclude = true", 6, "timeline[1].oclude", "did you mean 'occlude'"),
    (TIMELINE + "occlude = true\nseal = true", 7, "timeline[1].seal", "one thing"),
    (TIMELINE + "release = false", 6, "timeline[1].release", "release = true"),
    (TIMELINE + 'leak = "1mL"', 6, "timeline[1].leak", "resistance"),
    (TIMELINE + 'warm = { over = "1h" }', 6, "timeline[1].warm", "to = "),
    (TIMELINE + 'warm = "9999C"', 6, "timeline[1].warm", "outside -20.0 to 60.0"),
    (TIMELINE + 'press = "stp"', 6, "timeline[1].press", "did you mean 'stop'"),
    (TIMELINE + 'power = "maybe"', 6, "timeline[1].power", "power action"),
    (TIMELINE + "flood = 3", 6, "timeline[1].flood", "bytes = 10000"),
    (TIMELINE + "flood = { bytes = 0 }", 6, "timeline[1].flood", "0 bytes"),
    (TIMELINE + 'sensor = { name = "pressure" }', 6, "timeline[1].sensor", "is written as"),
    (TIMELINE + 'sensor = { name = "nose", fault = "off" }', 6, "timeline[1].sensor", "unknown sensor"),
    (TIMELINE + 'host = "rat 1mL/day"', 6, "timeline[1].host", "no host command"),
    (TIMELINE + 'host = "rate 1mL"', 6, "timeline[1].host", "no rate"),
    (TIMELINE + 'seal = true\nrefused = "limit"', 7, "timeline[1].refused", "'host'"),
    (TIMELINE + 'host = "stop"\nrefused = "limt"', 7, "timeline[1].refused", "did you mean 'limit'"),
    (TIMELINE + "expect = {}", 6, "timeline[1].expect", "exactly one of"),
    (TIMELINE + 'expect = { alrm = "x" }', 6, "timeline[1].expect.alrm", "did you mean 'alarm'"),
    (TIMELINE + 'expect = { alarm = "oclusion", within = "1s" }', 6, "timeline[1].expect.alarm", "did you mean"),
    (TIMELINE + 'expect = { alarm = "occlusion" }', 6, "timeline[1].expect.alarm", "needs a 'within'"),
    (TIMELINE + 'expect = { state = "kvo", within = "1s", for = "1s" }', 6, "timeline[1].expect.for", "not both"),
    (TIMELINE + 'expect = { event = "done", for = "1s" }', 6, "timeline[1].expect.event", "needs a 'within'"),
    (TIMELINE + 'expect = { never = "*", within = "1s" }', 6, "timeline[1].expect.within", "use for"),
    (TIMELINE + "expect = { never = [] }", 6, "timeline[1].expect.never", "name an alarm"),
    (TIMELINE + 'expect = { ask = "status", fields = { stat = 1 } }', 6, "timeline[1].expect.fields", "did you mean"),
    (TIMELINE + 'expect = { ask = "status", fields = {} }', 6, "timeline[1].expect.fields", "table of fields"),
    (TIMELINE + 'expect = { pressure = "3kPa" }', 6, "timeline[1].expect.pressure", "[low, high]"),
    (TIMELINE + 'expect = { pressure = ["3kPa", "2kPa"] }', 6, "timeline[1].expect.pressure", "upside down"),
    (TIMELINE + 'expect = { pressure = [0, 1], since = "m" }', 6, "timeline[1].expect.since", "no mark"),
    (TIMELINE + "expect = { truth = { x = [0, 1] } }", 6, "timeline[1].expect.truth.x", "no such truth"),
    (TIMELINE + "expect = { truth = {} }", 6, "timeline[1].expect.truth", "exactly one field"),
    (TIMELINE + 'seal = true\n[[timeline]]\nat = "0s"\nseal = true', 8, "timeline[2].at", "order of time"),
    (HEAD + '[[timeline]]\nat = "2h"\nseal = true', 5, "timeline[1].at", "after the end"),
    (TIMELINE + 'expect = { state = "kvo", within = "1h" }', 6, "timeline[1].expect.within", "beyond the end"),
]


@pytest.mark.parametrize(("text", "line", "key", "what"), MISTAKES)
def test_mistakes_have_file_line_and_key(text, line, key, what):
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, Path("some.toml"))
    error = caught.value
    assert (error.file, error.line, error.key) == ("some.toml", line, key)
    assert what in error.what
    assert str(error).startswith(f"some.toml:{line}: ")


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(ScenarioError, match="can't be read: .*; `haipump-emu scenario --list`"):
        load_scenario(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="UTF-8"):
        load_scenario(tmp_path / "bytes.toml")


def test_at_least_ten_scenarios_ship_and_each_checks_something():
    scenarios = [load_scenario(path) for path in shipped()]
    assert len(scenarios) >= 10
    for scenario in scenarios:
        assert scenario.about, scenario.path
        assert any(e.expect for e in scenario.timeline), scenario.path


def test_the_reference_beside_the_scenarios_names_everything():
    reference = (shipped()[0].parent / "README.md").read_text(encoding="utf-8")
    actions, expectations, commands = reference.split("\n## ")[1:]
    assert [key for key in ACTIONS if f"`{key}`" not in actions] == []
    assert [key for key in CONDITIONS if f"`{key}`" not in expectations] == []
    assert [verb for verb in COMMANDS if verb not in commands] == []
