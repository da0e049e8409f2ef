"""The fortnight of both pumps: bars, where the figures come from, and what the command shows."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from haipump_emulator.cli import app
from haipump_emulator.compare import figure, outcome, run
from haipump_emulator.plant import Plant, sensitivity
from haipump_emulator.plant.implant import ImplantParams
from haipump_emulator.plant.patient import DOSE_RATIO_TEXT, RD_TEXT
from haipump_emulator.plant.surroundings import EVENTS, NAMES, Profile, chosen
from haipump_emulator.scenario.host import BORES_UM, step_fl

THERAPY, IMPLANT = run.Therapy(), ImplantParams()
KNOWN = [event for event in EVENTS if event.table]
SLIP_NL = 30_000  # the rig's stopper moves by less than this at once


@pytest.fixture(scope="module")
def fortnight():
    """(profile, constant, programmable, outcome) of what `haipump-emu compare` does by itself."""
    profile = chosen(NAMES)
    constant, programmed = run.constant_flow(profile, THERAPY, IMPLANT), run.programmable(profile, THERAPY)
    return profile, constant, programmed, outcome.judge(profile, THERAPY, IMPLANT, constant, programmed)


def row_of(found, title):
    return next(row for row in found.rows if row.title == title)


# --- bars ---


def test_the_programmable_pump_keeps_its_dose_over_the_fortnight(fortnight):
    whole = fortnight[3].rows[0]
    assert whole.plan_nl == 18_200_000
    assert abs(whole.programmable_percent) <= 0.5
    assert fortnight[3].reached
    assert fortnight[3].alarms == []


def test_the_steps_are_those_of_the_order_to_a_microstep(fortnight):
    assert fortnight[3].stepped_nl == pytest.approx(18_200_000, abs=step_fl(BORES_UM[30]) / 1e6)


def test_the_constant_flow_pump_gives_too_much(fortnight):
    assert 5 < fortnight[3].rows[0].constant_percent < 10


@pytest.mark.parametrize("event", KNOWN, ids=lambda event: event.name)
def test_the_constant_flow_is_off_by_what_the_table_says(fortnight, event):
    row = row_of(fortnight[3], event.title)
    assert row.table_percent == sensitivity.cell(2.0, event.table)
    assert row.alone_percent == pytest.approx(row.table_percent, abs=1.0)
    # The hour of the day adds what the table does not have.
    assert row.constant_percent == pytest.approx(row.table_percent, abs=3.0)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_the_programmable_pump_is_off_by_no_more_than_a_slip_or_half_a_percent(fortnight, event):
    row = row_of(fortnight[3], event.title)
    assert abs(row.programmable_nl - row.plan_nl) < max(SLIP_NL, 0.005 * row.plan_nl)


def test_in_three_days_of_fever_too_it_is_within_half_a_percent(fortnight):
    assert abs(row_of(fortnight[3], EVENTS[0].title).programmable_percent) <= 0.5


# --- exposure ---


def test_what_the_patients_had(fortnight):
    found = fortnight[3].exposure
    plan, constant, programmed = found[outcome.PLAN], found[run.CONSTANT], found[run.PROGRAMMABLE]
    assert plan.drug_mg == pytest.approx(0.12 * 70 * 14)
    assert plan.farthest_nl == pytest.approx(0.0, abs=1e-3)
    assert programmed.farthest_nl < 50_000 < 1_000_000 < constant.farthest_nl  # 50 uL: under an hour of flow
    assert plan.target_mean == pytest.approx(14.62, abs=0.01)
    assert programmed.drug_mg == pytest.approx(plan.drug_mg, rel=0.005)
    assert constant.drug_mg == pytest.approx(plan.drug_mg * (1 + fortnight[3].rows[0].constant_percent / 100))
    assert programmed.systemic_mean == pytest.approx(plan.systemic_mean, rel=0.01)
    assert constant.systemic_mean / plan.systemic_mean == pytest.approx(constant.drug_mg / plan.drug_mg, rel=0.01)
    assert constant.markers["ast"] > programmed.markers["ast"]


def test_means_of_the_plan_are_the_plan(fortnight):
    course = outcome.planned(fortnight[0], THERAPY)
    assert outcome.flow_means(course) == pytest.approx([1_300_000] * len(course.t_us))
    assert outcome.means(course, "target")[100:] == pytest.approx([14.62] * (len(course.t_us) - 100), abs=0.01)


# --- where the figures come from ---


def rig_with(monkeypatch, **faults):
    """Plants of the rig that have this done to them at the start."""

    def make(params, seed):
        plant = Plant(params, seed)
        for name, value in faults.items():
            getattr(plant, name)(0, value)
        return plant

    monkeypatch.setattr(run, "Plant", make)


def test_what_leaks_has_not_arrived_though_it_was_stepped(monkeypatch):
    rig_with(monkeypatch, leak=3_000.0)
    course = run.programmable(chosen([], days=1), THERAPY)
    assert course.stepped_nl == pytest.approx(1_300_000, abs=1_000)
    lost = 13_000 / 3_000 * 86_400  # the artery's pressure at the leak, nL in a day
    assert course.arrived_nl[-1] == pytest.approx(1_300_000 - lost, rel=0.05)


def test_the_rig_lives_in_the_world_of_the_profile(monkeypatch):
    plants, seen = [], []
    monkeypatch.setattr(run, "Plant", lambda params, seed: plants.append(Plant(params, seed)) or plants[0])
    profile = Profile([replace(EVENTS[0], begin_s=36_000, end_s=72_000, artery_mmhg=-30.0)], days=1)

    def look(stair):
        plant = plants[0]
        seen.append((plant.truth(plant._fluid.t_us).temperature_c, plant._artery_pa))

    run.programmable(profile, THERAPY, progress=look)
    worlds = [world for _, world in profile.stairs()]
    assert len(seen) == len(worlds)
    # The temperature follows evenly within a stair, and the last event in it may be half a minute before its end.
    assert [t for t, _ in seen] == pytest.approx([world.temperature_c for world in worlds], abs=0.05)
    assert [pa for _, pa in seen] == [world.artery_pa for world in worlds]
    assert max(t for t, _ in seen) == pytest.approx(39.0)


def test_a_pump_that_stops_is_no_comparison(monkeypatch):
    rig_with(monkeypatch, occlude=None)
    with pytest.raises(run.CompareError, match=r"the pump is .*, not stopped; its alarms so far: occlusion"):
        run.programmable(chosen([], days=1), THERAPY)


def test_an_order_that_the_pump_refuses_is_told(monkeypatch):
    monkeypatch.setattr(run, "SYRINGE", "syringe 30mL 0mL")
    with pytest.raises(run.CompareError, match="the pump refused `"):
        run.programmable(chosen([], days=1), THERAPY)


def test_a_time_that_is_no_stair_is_refused():
    course = run.constant_flow(chosen([], days=1), THERAPY)
    assert course.between(0, 86_400_000_000) == pytest.approx(1_300_000)
    for t_us in (1, -300_000_000, 86_700_000_000):
        with pytest.raises(ValueError, match="not the end of one of the 288 stairs"):
            course.place(t_us)


def test_drug_that_is_drawn_back_is_not_given_twice():
    treated = run._Treated("x", THERAPY)
    world = chosen([], days=1).stairs()[0][1]
    for arrived_nl in (4_000.0, 3_000.0, 5_000.0):
        treated.stair(world, arrived_nl)
    assert treated.course.arrived_nl == [0.0, 4_000.0, 4_000.0, 5_000.0]


# --- what is shown ---


@pytest.fixture
def shown(fortnight, monkeypatch, tmp_path):
    """`haipump-emu compare` without a run of its own."""
    monkeypatch.setattr(run, "programmable", lambda profile, therapy, progress: fortnight[2])
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["compare", *words], env={"COLUMNS": "80"})


def test_the_tables_fit_a_terminal_and_define_their_ratios(shown):
    result = shown()
    assert result.exit_code == 0
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    for text in ("all 14 days", "+19.4 %", "sauna, 20 min", "399.75", "11.99", "kept by the programmable pump"):
        assert text in result.stdout
    told = " ".join(result.stdout.split())
    assert RD_TEXT in told
    assert DOSE_RATIO_TEXT in told
    assert outcome.TEACHING in told


def test_json_has_the_same(shown, fortnight):
    found = json.loads(shown("--json").stdout)
    assert found == json.loads(json.dumps(fortnight[3].as_dict()))
    assert found["reached"] is True
    assert found["note"] == outcome.TEACHING
    assert found["advantage"]["rd"] == {"value": pytest.approx(399.75, rel=0.005), "definition": RD_TEXT}


def test_files_and_equal_courses_give_equal_bytes(shown, fortnight, tmp_path):
    result = shown("--out", "new/folder")
    assert result.exit_code == 0
    made = tmp_path / "new/folder"
    assert (made / "compare.png").read_bytes().startswith(b"\x89PNG")
    profile, constant, programmed, found = fortnight
    assert figure.draw(profile, THERAPY, constant, programmed, found) == tuple(
        (made / name).read_bytes() for name in ("compare.png", "compare.svg")
    )
    assert json.loads((made / "compare.json").read_text(encoding="utf-8"))["reached"] is True
    assert "written: new/folder/compare.png" in result.stdout


def test_a_missed_bar_is_an_exit_code(shown, monkeypatch):
    monkeypatch.setattr(outcome, "BAR_PERCENT", 1e-6)
    result = shown()
    assert result.exit_code == 1
    assert "missed by the programmable pump" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--events", "fever,ski"), 2, "no event ski"),
        (("--vapour", "0.5"), 2, "greater than or equal to 1.4"),
        (("--days", "1"), 2, "greater than or equal to 5"),
        (("--out", "taken"), 1, "can't make the folder taken"),
    ],
)
def test_bad_options_are_refused_in_words(shown, tmp_path, words, code, text):
    (tmp_path / "taken").write_text("a file")
    result = shown(*words)
    assert result.exit_code == code
    assert text in " ".join(result.output.replace("│", " ").split())


def test_events_can_be_chosen_and_what_does_not_fit_is_left_out():
    profile = chosen(["fever", "sauna"], days=6)
    constant = run.constant_flow(profile, THERAPY, IMPLANT)
    found = outcome.judge(profile, THERAPY, IMPLANT, constant, outcome.planned(profile, THERAPY))
    assert [row.title for row in found.rows] == ["all 6 days", EVENTS[0].title]
