"""Recordings: what happened comes back, in every form, and differences are found."""

import csv
import gzip
import json
import random
import sys

import pyarrow.parquet as pq
import pytest

from haipump_emulator.trace import Header, Recorder, Trace, TraceError, compare, load
from haipump_emulator.trace.compare import clock_text
from haipump_emulator.trace.export import TABLES, columns, export, rows
from haipump_emulator.trace.format import KINDS, Writer
from haipump_emulator.trace.recorder import STEPS_MAX, pack_flash, unpack_flash
from tests.emulator.scenario.fakes import FakeCore

S = 1_000_000


class Log:
    """What a listener sees, kept by other means than the recorder's."""

    def __init__(self):
        self.steps, self.out, self.events = [], b"", []

    def on_step(self, t_us, direction):
        self.steps.append((t_us, direction))

    def on_bytes(self, t_us, direction, data):
        self.out += data if direction == "out" else b""

    def on_event(self, t_us, name, fields):
        self.events.append((t_us, name, fields))


def session(path, *, count=2500, wobble=0, options=None, chunk_us=10**12):
    """A run with everything in it; returns what a listener saw."""
    core = FakeCore(seed=4)
    log = Log()
    core.listeners.append(log)
    with Recorder(core, path, seed=4, scenario="made up", sample_us=10 * S, snapshot_us=60 * S, **(options or {})):
        core.steps(1 * S, 40_001, count)
        core.steps(2 * S + 7, 1_000_003, 30, -1)
        core.at(30 * S + wobble, lambda: core.event("alarm alarm=occlusion phase=active"))
        for t_us, do in (
            (5 * S, lambda: core.send(b"status\n\xff\x00")),
            (6 * S, lambda: core.plant.occlude(core.now_us)),
            (7 * S, lambda: core.plant.warm(core.now_us, 30.0, over_s=5)),
            (8 * S, lambda: core.press(64, True)),
            (9 * S, lambda: core.power(False)),
            (200 * S, lambda: None),
        ):
            while core.now_us < t_us:
                core.run_until(min(t_us, core.now_us + chunk_us))
            do()
    assert core.listeners == [log]
    return log


def test_what_was_recorded_comes_back(tmp_path):
    log = session(tmp_path / "a.trace")
    trace = load(tmp_path / "a.trace")
    assert trace.complete
    assert list(trace.stream("step")) == sorted(log.steps)
    assert "".join(text for _, text in trace.out).encode("latin-1") == log.out
    assert trace.events == log.events
    assert trace.inputs == [
        (5 * S, "send", {"data": "status\n\xff\x00"}),
        (6 * S, "occlude", {}),
        (7 * S, "warm", {"to_c": 30.0, "over_s": 5}),
        (8 * S, "press", {"bits": 64, "on": True}),
        (9 * S, "power", {"on": False}),
    ]
    assert trace.end_us == 200 * S
    assert (trace.header.seed, trace.header.scenario, trace.header.start_us) == (4, "made up", 0)
    assert trace.header.params["syringe"]["size_ml"] == 30
    assert len(trace.header.firmware) == 16


def test_samples_are_taken_when_something_happens_at_most_once_a_period(tmp_path):
    session(tmp_path / "a.trace")
    trace = load(tmp_path / "a.trace")
    times = [t for t, _ in trace.pressures]
    assert len(times) > 8 and times[-1] == 200 * S
    assert all(b - a >= 10 * S for a, b in zip(times[:-1], times[1:-1], strict=False))
    assert all(b - a >= 60 * S for (a, _), (b, _) in zip(trace.truths[:-1], trace.truths[1:-1], strict=False))
    assert trace.truths[-1][1]["commanded_steps"] == 2500 - 30


def test_equal_runs_make_equal_bytes_however_time_is_cut(tmp_path):
    session(tmp_path / "a.trace")
    session(tmp_path / "b.trace", chunk_us=777_777)
    assert (tmp_path / "a.trace").read_bytes() == (tmp_path / "b.trace").read_bytes()


def test_a_million_steps_take_little_room(tmp_path):
    """What 14 days at a high rate leave: the periods differ by a microsecond here and there."""
    draw = random.Random(1)
    core = FakeCore()
    with Recorder(core, tmp_path / "big.trace") as recorder:
        t_us = 0
        for _ in range(100_000):
            t_us += 1_209_600 + draw.getrandbits(1)
            recorder.on_step(t_us, 1)
    trace = load(tmp_path / "big.trace")
    assert len(trace.step_times) == 100_000
    assert (tmp_path / "big.trace").stat().st_size < 250_000


def test_a_recording_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path):
    core = FakeCore()
    recorder = Recorder(core, tmp_path / "a.trace")
    core.steps(0, 1000, 3 * STEPS_MAX)
    for n in range(300):
        core.at(5 * S + n, lambda: core.event("button button=stop"))
    core.run_until(10 * S)
    cut = (tmp_path / "a.trace").read_bytes()  # as after a crash: only what was synced
    recorder.close()
    (tmp_path / "cut.trace").write_bytes(cut)
    trace = load(tmp_path / "cut.trace")
    assert not trace.complete
    assert len(trace.step_times) >= 2 * STEPS_MAX


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"not gzip", "can't be read"),
        (gzip.compress(b""), "no header"),
        (gzip.compress(b'{"other": 1}\n'), "no header"),
        (gzip.compress(b'{"haipump_trace": 99}\n'), "format 99"),
        (gzip.compress(b'{"haipump_trace": 1}\n["step", 1]\n'), ":2: not a record"),
        (gzip.compress(b'{"haipump_trace": 1}\n["dance", 1]\n'), "unknown kind 'dance'"),
    ],
    ids=["other", "empty", "header", "version", "short", "kind"],  # the content has a time in it
)
def test_files_that_are_no_recordings(tmp_path, content, what):
    path = tmp_path / "bad.trace"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=what):
        load(path)
    with pytest.raises(TraceError, match="no such recording"):
        load(tmp_path / "none.trace")


def test_a_header_of_a_later_program_is_read(tmp_path):
    path = tmp_path / "a.trace"
    path.write_bytes(gzip.compress(b'{"haipump_trace": 1, "seed": 9, "new_thing": true}\n'))
    assert load(path).header == Header(seed=9)


def test_recorders_and_logs_on_one_core_dont_get_in_each_others_way(tmp_path):
    core = FakeCore()
    outer = Recorder(core, tmp_path / "outer.trace")
    with Recorder(core, tmp_path / "inner.trace"):
        core.press(64, True)
    core.press(64, False)
    outer.close()
    outer.close()
    core.press(32, True)
    assert [a["bits"] for _, _, a in load(tmp_path / "inner.trace").inputs] == [64]
    assert [a["on"] for _, _, a in load(tmp_path / "outer.trace").inputs] == [True, False]
    assert "press" not in vars(core)


def test_what_a_door_does_inside_is_not_recorded_twice(tmp_path):
    core = FakeCore()
    core.power = lambda on: core.press(16, on)
    with Recorder(core, tmp_path / "a.trace"):
        core.power(True)
    assert [name for _, name, _ in load(tmp_path / "a.trace").inputs] == ["power"]


def test_whole_lines_of_the_conversation(tmp_path):
    with_lines = Trace(Header(), end_us=9)
    with_lines.inputs += [(1, "send", {"data": "sta"}), (3, "send", {"data": "tus\nsto"}), (4, "press", {"bits": 1})]
    with_lines.out += [(2, "#1 boot"), (5, " a=1\n")]
    assert list(with_lines.lines()) == [(3, "in", "status"), (5, "out", "#1 boot a=1"), (9, "in", "sto")]


def test_flash_contents_survive_as_text():
    assert pack_flash(b"\xff" * 100) == "" and unpack_flash("") is None
    assert unpack_flash(pack_flash(b"\xff\x00abc")) == b"\xff\x00abc"


# --- export ---


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "a.trace"
    session(path)
    return load(path)


def test_tables_have_their_columns_and_rows_in_order(trace):
    for table in TABLES:
        found = list(rows(trace, table))
        assert found, table
        assert all(list(row) == columns(trace, table) for row in found), table
        assert [row["t_us"] for row in found] == sorted(row["t_us"] for row in found), table
    assert len(list(rows(trace, "steps"))) == 2530
    assert list(rows(trace, "steps"))[-1]["position"] == 2470
    assert {row["kind"] for row in rows(trace, "all")} == {"step", "pressure", "event", "input", "line", "truth"}


@pytest.mark.parametrize("table", TABLES)
def test_the_three_forms_hold_the_same(trace, table, tmp_path):
    counts = {form: export(trace, tmp_path / f"x.{form}", table=table) for form in ("csv", "jsonl", "parquet")}
    expected = list(rows(trace, table))
    assert set(counts.values()) == {len(expected)}
    with open(tmp_path / "x.jsonl", encoding="utf-8") as file:
        assert [json.loads(line) for line in file] == expected
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == expected
    with open(tmp_path / "x.csv", newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert found == [{k: "" if v is None else str(v) for k, v in row.items()} for row in expected]


def test_export_of_nothing(tmp_path):
    for form in ("csv", "jsonl", "parquet"):
        assert export(Trace(Header()), tmp_path / f"x.{form}", table="steps") == 0


def test_export_needs_a_known_form(trace, tmp_path):
    with pytest.raises(TraceError, match="csv, jsonl, parquet"):
        export(trace, tmp_path / "x.xlsx")
    assert export(trace, tmp_path / "x.xlsx", table="inputs", form="csv") == 5


def test_parquet_without_pyarrow_says_what_to_install(trace, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TraceError, match=r"pip install 'haipump\[parquet\]'"):
        export(trace, tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


# --- compare ---


def small(**changes):
    found = Trace(Header(), end_us=100)
    found.step_times.extend([10, 20, 30])
    found.step_directions.extend([1, 1, -1])
    found.inputs.append((5, "press", {"bits": 64, "on": True}))
    found.out.append((12, "ok\n"))
    found.events.append((25, "enable", {"on": True}))
    found.pressures.append((10, 13_000))
    found.truths.append((10, {"pressure_pa": 13_000.0}))
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_equal_recordings_have_no_difference():
    assert compare(small(), small()) is None


@pytest.mark.parametrize(
    ("changes", "kind", "index", "t_us"),
    [
        ({"inputs": []}, "input", 0, 5),
        ({"inputs": [(5, "press", {"bits": 32, "on": True})]}, "input", 0, 5),
        ({"out": [(12, "ok\n"), (50, "#1\n")]}, "out", 1, 50),
        ({"events": [(26, "enable", {"on": True})]}, "event", 0, 25),
        ({"pressures": [(10, 13_001)]}, "pressure", 0, 10),
        ({"truths": [(10, {"pressure_pa": 13_000.5})]}, "truth", 0, 10),
        ({"truths": [], "events": [(9, "led", {})]}, "event", 0, 9),
    ],
)
def test_the_first_difference_is_found(changes, kind, index, t_us):
    for pair in ((small(), small(**changes)), (small(**changes), small())):
        found = compare(*pair)
        assert found is not None
        assert (found.kind, found.index, found.t_us) == (kind, index, t_us)


def test_steps_are_compared_with_time_and_direction():
    other = small()
    other.step_times[1] = 21
    found = compare(small(), other)
    assert found is not None
    assert (found.kind, found.index, found.first, found.second) == ("step", 1, (20, 1), (21, 1))
    assert "step number 2" in found.text() and "00:00:00.000021" in found.text()
    assert any("input 'press'" in line for line in found.before)
    assert not any("enable" in line for line in found.before), "context comes before the difference"


def test_a_missing_step_is_said_to_be_missing():
    other = small()
    other.step_times.pop()
    other.step_directions.pop()
    found = compare(small(), other)
    assert found is not None and "(no further step)" in found.text()


def test_tolerance_forgives_times_only():
    other = small(events=[(27, "enable", {"on": True})])
    other.step_times[2] = 32
    assert compare(small(), other, tolerance_us=2) is None
    assert compare(small(), other, tolerance_us=1) is not None
    other.step_directions[2] = 1
    assert compare(small(), other, tolerance_us=2) is not None


def test_samples_of_other_periods_are_not_compared():
    other = small(pressures=[(11, 5)], header=Header(sample_us=7))
    assert compare(small(), other) is None
    assert compare(small(), other, kinds=KINDS) is not None


def test_clock_text():
    assert clock_text(1_000_001) == "00:00:01.000001"
    assert clock_text(2 * 86_400 * S + 3_600 * S) == "2d 01:00:00.000000"


def test_writer_and_reader_agree_on_the_header(tmp_path):
    header = Header(package="1", seed=2, scenario="s", scenario_text="t", params={"a": {"b": 1}}, core={"x": None})
    Writer(tmp_path / "a.trace", header).close()
    assert load(tmp_path / "a.trace").header == header
