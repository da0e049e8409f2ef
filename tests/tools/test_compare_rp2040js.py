"""The comparison with rp2040js, as far as it needs neither node nor an image: what counts as right, ratios, notes."""

import dataclasses
import json
import re

import pytest

from tools import bench, figures
from tools.compare_rp2040js import cases, rows, runs
from tools.compare_rp2040js.cases import HOST, OURS, SHIMS, SHIPPED, Case, Run, Work, Wrong

RIGHT = Run(
    began_at=101.5,
    boot_s=0.2,
    wall_s=2.0,
    simulated_ns=10_000_000_000,
    pulses=3,
    shortest_ns=3_334_000,
    longest_ns=3_334_000,
    late=0,
)
WORK = Work(10, 10, {"PULSES": 3}, True, 3, 3_334_000)


def changed(**fields) -> Run:
    return dataclasses.replace(RIGHT, **fields)


def samples(*walls: float, **fields) -> list[runs.Sample]:
    return [runs.Sample(changed(wall_s=wall, **fields), 101.0) for wall in walls]


@pytest.fixture
def case(monkeypatch):
    """A case that is measured already; the test puts its runs into `found`."""
    case = Case("steps", "steps", "stepping", "simulated s", dict.fromkeys((OURS, SHIMS, SHIPPED, HOST), WORK))
    found = {}
    monkeypatch.setattr(rows, "rounds", lambda asked: found if asked is case else {})
    return case, found


# --- a run ---


def test_a_run_is_read_as_it_was_printed():
    assert runs.parse(json.dumps(dataclasses.asdict(RIGHT)) + "\n") == RIGHT


@pytest.mark.parametrize("text", ["", "Killed", '{"wall_s": 1}', "[1]", "3"])
def test_anything_else_is_no_run(text):
    with pytest.raises(Wrong, match="does not describe a run"):
        runs.parse(text)


def test_booting_counts_from_the_start_of_the_process():
    assert samples(1.0)[0].process_boot_s == pytest.approx(0.5)


def test_a_right_run_passes():
    cases.check(WORK, RIGHT, changed(simulated_ns=10_005_000_000))


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"pulses": 2}, "2 pulses instead of 3"),
        ({"shortest_ns": 3_333_999}, "periods of 3333999 to 3334000"),
        ({"longest_ns": 3_334_001}, "periods of 3334000 to 3334001"),
        ({"late": 1}, "came too late"),
        ({"simulated_ns": 10_020_000_000}, "simulated ns for what takes our chip 10000000000"),
        ({"simulated_ns": 9_980_000_000}, "simulated ns for what takes our chip 10000000000"),
    ],
)
def test_a_wrong_run_is_found(fields, what):
    with pytest.raises(Wrong, match=what):
        cases.check(WORK, changed(**fields), RIGHT)


def test_a_run_that_took_another_time_is_not_divided_by_the_one_it_should_have_taken(case):
    case, found = case
    found.update({OURS: samples(2.0), SHIPPED: samples(400.0, simulated_ns=70_000_000_000)})
    with pytest.raises(Wrong, match=r"70.0 simulated s instead of 10"):
        rows.judge(case, SHIPPED, rows.cost_s)


def test_one_pulse_has_no_period():
    cases.check(dataclasses.replace(WORK, pulses=1), changed(pulses=1, shortest_ns=0, longest_ns=0))


# --- ratios, bars and notes ---


def test_a_ratio_is_the_median_of_the_rounds():
    # The second round ran on a machine that was ten times as slow, the third disturbed theirs alone.
    assert rows.compare([1.0, 10.0, 1.0], [2.0, 21.0, 9.0]) == rows.Ratio(2.1, 2.0, 9.0)


def test_only_rounds_that_both_ran_are_compared():
    with pytest.raises(ValueError, match="zip"):
        rows.compare([1.0], [1.0, 2.0])


def test_the_bars():
    bars = {(case.name, side): rows.bar(case, side) for case in cases.CASES for side in case.sides[1:]}
    assert all(bars[case.name, SHIMS] == 1.3 for case in cases.CASES)
    assert {key for key, bar in bars.items() if bar == 1000} == {("fortnight", SHIPPED)}


def test_every_case_has_its_rows_in_the_bench():
    names = {name for name in bench.REGISTRY.measurements if name.startswith("rp2040js_")}
    for name in ("boot", "boot_process", "idle", "busy", "steps", "slow", "fortnight"):
        assert {f"rp2040js_{name}_{SHIMS}", f"rp2040js_{name}_{SHIPPED}"} <= names
    assert bench.REGISTRY.measurements["rp2040js_idle_shims"].what.endswith("given our shims")
    assert bench.REGISTRY.measurements["rp2040js_idle_shipped"].what.endswith("as shipped")


def test_a_row_divides_by_amounts_and_says_how_it_came_about(case):
    case, found = case
    found.update({OURS: samples(2.0, 4.0, 2.0), SHIMS: samples(4.0, 6.0, 5.0)})
    taken = rows.judge(case, SHIMS, rows.cost_s)
    assert taken.value == 2.0
    assert taken.note == (
        "1.5 to 2.5 in 3 rounds; ours 200 ms, rp2040js 500 ms per simulated s, 10 of them in each run; "
        "in every run 3 pulses, 3,334,000 ns apart"
    )


def test_wrong_pulses_fail_a_row_with_shims(case):
    case, found = case
    found.update({OURS: samples(2.0), SHIMS: samples(4.0, pulses=2)})
    with pytest.raises(Wrong, match="2 pulses instead of 3"):
        rows.judge(case, SHIMS, rows.cost_s)


def test_as_shipped_wrong_pulses_are_told(case):
    case, found = case
    found.update({OURS: samples(2.0), SHIPPED: samples(400.0, pulses=2, shortest_ns=4e7, longest_ns=5.5e7)})
    taken = rows.judge(case, SHIPPED, rows.cost_s)
    assert taken.value == 200
    assert taken.note.endswith("made 2 pulses instead of 3, 40 to 55 ms apart instead of 3.334")


@pytest.mark.parametrize("side", [SHIMS, SHIPPED])
def test_our_own_wrong_pulses_fail_every_row(case, side):
    case, found = case
    found.update({OURS: samples(2.0, pulses=2), side: samples(400.0)})
    with pytest.raises(Wrong, match="2 pulses"):
        rows.judge(case, side, rows.cost_s)


def test_a_side_that_failed_fails_its_own_rows_only(case):
    case, found = case
    found.update({OURS: samples(2.0, 2.0), SHIMS: Wrong("shims: it broke"), SHIPPED: samples(8.0)})
    with pytest.raises(Wrong, match="it broke"):
        rows.judge(case, SHIMS, rows.cost_s)
    assert rows.judge(case, SHIPPED, rows.cost_s).value == 4


@pytest.mark.parametrize(("seconds", "text"), [(59, "59.0 s"), (90, "1.5 min"), (5400, "1.5 h"), (129_600, "1.5 days")])
def test_durations_are_readable(seconds, text):
    assert rows.duration(seconds) == text


# --- what a machine lacks ---


def test_without_node_the_rows_say_what_to_install(monkeypatch):
    monkeypatch.setattr(runs.shutil, "which", lambda name: None)
    assert "install Node.js 18 or newer with npm" in runs.install.__wrapped__()


def test_an_npm_that_gets_nothing_is_told(monkeypatch, tmp_path):
    """It is asked once, and what it left behind is not taken for rp2040js."""
    monkeypatch.setattr(runs, "BUILD", tmp_path)
    monkeypatch.setattr(runs.shutil, "which", lambda name: name)
    failed = runs.subprocess.CompletedProcess([], 1, "", "npm error code ENOTFOUND\nnpm error offline\n")
    monkeypatch.setattr(runs.subprocess, "run", lambda *args, **more: failed)
    assert "ENOTFOUND / npm error offline" in runs.install.__wrapped__()
    assert not (tmp_path / "installed.json").exists()


def test_an_install_that_ended_well_is_not_repeated(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(runs, "BUILD", tmp_path)
    monkeypatch.setattr(runs.shutil, "which", lambda name: name)
    monkeypatch.setattr(
        runs.subprocess,
        "run",
        lambda *args, **more: asked.append(args) or runs.subprocess.CompletedProcess([], 0, "", ""),
    )
    assert runs.install.__wrapped__() == runs.install.__wrapped__() == ""
    assert len(asked) == 1
    (tmp_path / "installed.json").write_text("another version")
    assert runs.install.__wrapped__() == ""
    assert len(asked) == 2


def test_without_an_image_nothing_runs(monkeypatch):
    monkeypatch.setattr(runs, "interpreter", lambda: "there is no image")
    with pytest.raises(figures.NotMeasured, match="there is no image"):
        runs.rounds.__wrapped__(cases.CASES[0])


# --- what is compared ---


def test_rp2040js_is_pinned_and_its_lock_file_names_no_server():
    package = json.loads((runs.HERE / "js" / "package.json").read_text())
    text = (runs.HERE / "js" / "package-lock.json").read_text()
    locked = json.loads(text)["packages"]["node_modules/rp2040js"]
    assert package["dependencies"] == {"rp2040js": locked["version"]} == {"rp2040js": "1.4.1"}
    assert locked["integrity"].startswith("sha512-")
    assert "resolved" not in text and "://" not in text


def test_both_halves_watch_the_same_pads_and_print_the_same_fields():
    ours = (runs.HERE / "chip.py").read_text()
    theirs = (runs.HERE / "js" / "main.js").read_text()
    assert "STEP, MARK = 2, 14" in ours
    assert "const STEP = 2;" in theirs and "const MARK = 14;" in theirs
    for field in dataclasses.fields(Run):
        assert f'"{field.name}":' in ours
        assert re.search(rf"^\s+{field.name}[:,]", theirs, re.M), field.name


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_a_guest_finds_every_constant_that_it_asks_for(case):
    asked = set(re.findall(r"\bcase\.([A-Z_]+)", (runs.HERE / "guests" / f"{case.guest}.py").read_text()))
    documented = set(re.findall(r"^([A-Z_]+) =", (runs.HERE / "guests" / "case.py").read_text(), re.M))
    assert asked <= documented
    for work in case.work.values():
        assert set(re.findall(r"^([A-Z_]+) = \d+$", runs.case_file(work).decode(), re.M)) == asked


@pytest.mark.parametrize("case", [case for case in cases.CASES if case.guest == "stepping"], ids=lambda case: case.name)
def test_the_last_pulse_comes_before_the_guest_ends(case):
    for work in case.work.values():
        spare_ms = work.constants["RUN_MS"] - work.pulses * work.period_ns / 1e6
        assert not work.pulses or spare_ms >= 2 * work.constants["TICK_MS"]
        assert work.constants["WORDS_AHEAD"] <= 4
