"""What a report makes of a run: curves, sums, verdicts, and what it must not claim."""

from __future__ import annotations

import sqlite3
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from haipump.programme import Item, Programme, daily
from haipump.report import source as tables
from haipump.report.checks import judge, sums, worst
from haipump.report.figures import Data, boluses, mean_flow, planned_flow
from haipump.report.orders import Order, even_curve, programme_curve, rate_curve
from haipump.report.source import read
from haipump.report.story import tell
from haipump_fw import recovery as firmware
from haipump_fw.core import alarms, ledger, states
from haipump_fw.store import records as device
from tests.host.report.runs import NOTED

DAY_S = 86_400


def change(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def level(story, title: str) -> str:
    return next(check.level for check in judge(story, sums(story)) if check.title == title)


def noted(programme: Programme) -> dict:
    return {
        "period_s": programme.period_s,
        "repeats": programme.repeats,
        "items": [vars(item) for item in programme.items],
    }


def test_the_numbers_of_the_journal_mean_what_they_mean_in_the_firmware() -> None:
    assert tables.STATES == states.STATES and set(tables.RUNNING) == set(states.RUNNING)
    assert ("none", *[name for name, _ in alarms.ALARMS]) == tables.ALARM_NAMES
    assert {n: tables.PRIORITIES[n] for n in tables.ALARM_NAMES[1:]} == {
        name: alarms.PRIORITIES[traits & alarms.PRIORITY] for name, traits in alarms.ALARMS
    }
    assert tables.PHASES == alarms.PHASES and firmware._CAUSES == tables.CAUSES
    assert tables.COMMIT_NL == ledger.COMMIT_NL


# --- curves


PROGRAMMES = (
    daily("1.3mL/day", 3, "0.1mL", "8h"),
    Programme(DAY_S, 2, "stop", (Item(3_600, "rate", 2_000_000), Item(7_200, "ramp", 9_000_000, 3_600))),
    Programme(
        7_200,
        5,
        "kvo",
        (Item(0, "ramp", 4_000_000, 600), Item(100, "bolus", 50_000, 900), Item(3_000, "rate", 0)),
    ),
)


@pytest.mark.parametrize("programme", PROGRAMMES)
def test_a_programme_curve_ends_at_its_exact_volume_and_repeats(programme) -> None:
    curve = programme_curve(noted(programme), 288_000_000)
    at = np.arange(0, programme.duration_s + 1, 30.0)
    volume = curve(at)
    assert volume[0] == 0 and (np.diff(volume) >= -1e-6).all()
    assert volume[-1] == pytest.approx(float(programme.exact_volume_nl), abs=0.01)
    assert curve(np.array([programme.duration_s + 5_000.0]))[0] == pytest.approx(volume[-1])
    once = curve(np.array([float(programme.period_s)]))[0]
    assert curve(np.array([programme.period_s + 777.0]))[0] == pytest.approx(once + curve(np.array([777.0]))[0])


def test_a_programme_bolus_takes_as_long_as_the_bolus_rate_makes_it() -> None:
    curve = programme_curve(noted(daily("1.3mL/day", 1, "0.1mL", "8h")), 288_000_000)
    before, half, after = (
        curve(np.array([28_800.0, 28_815.0, 28_830.0])) - 1_300_000 * np.array([28_800, 28_815, 28_830]) / DAY_S
    )
    assert (before, half, after) == pytest.approx((0, 50_000, 100_000), abs=0.01)


def test_rates_ramps_and_limits() -> None:
    ramp = rate_curve(8_640_000, 0, 0, 100)  # 100 nL/s, reached over 100 s
    assert ramp(np.array([0.0, 50.0, 100.0, 110.0])) == pytest.approx([0, 1_250, 5_000, 6_000])
    down = rate_curve(0, 0, 8_640_000, 100)
    assert down(np.array([100.0, 200.0])) == pytest.approx([5_000, 5_000])
    limited = rate_curve(8_640_000, 300, 0, 0)
    assert limited(np.array([1.0, 3.0, 9.0])) == pytest.approx([100, 300, 300])
    assert even_curve(100, 10)(np.array([0.0, 5.0, 10.0, 20.0])) == pytest.approx([0, 50, 100, 100])


def test_an_order_of_unknown_course_is_unknown_until_its_end() -> None:
    order = Order(1, "bolus", begun=10.0, ended=20.0, commanded_nl=500)
    asked = order.asked(np.array([5.0, 10.0, 15.0, 20.0, 30.0]))
    assert asked[[0, 1, 3, 4]].tolist() == [0, 0, 500, 500] and np.isnan(asked[2])
    lost = Order(2, "bolus", ended=20.0, commanded_nl=500)
    assert np.isnan(lost.asked(np.array([5.0]))[0]) and lost.asked(np.array([25.0]))[0] == 500


def test_held_times_do_not_count() -> None:
    order = Order(1, "basal", begun=0.0, active=[(0.0, 10.0), (30.0, 50.0)])
    assert order.elapsed(np.array([5.0, 20.0, 35.0, 60.0])).tolist() == [5, 10, 15, 30]
    assert [order.moment(e) for e in (4.0, 12.0, 31.0)] == [4.0, 32.0, None]


# --- a run as it should be


def test_a_calm_run_is_good_in_every_respect(story) -> None:
    calm = story("calm")
    total = sums(calm)
    assert [check.level for check in judge(calm, total)] == ["good"] * 8
    assert total.commanded_nl == 3 * 1_400_000 and total.by_pump
    assert total.difference_nl is not None and abs(calm.steps(total.difference_nl)) <= 0.5
    assert [nl for _, nl in boluses(calm)] == [100_000] * 3
    assert [t for t, _ in boluses(calm)] == [28_800, 28_800 + DAY_S, 28_800 + 2 * DAY_S]
    assert calm.treated() == (0, 3 * DAY_S)
    assert [row.name for row in calm.alarms] == ["infusion_complete"]
    before, treated, after = calm.stays  # the power-up before may be in the same second, or in the one before
    assert (treated.state, treated.start, treated.end) == ("infusing", 0, 3 * DAY_S)
    assert before.state == after.state == "stopped" and before.start >= -2 and all(stay.sure for stay in calm.stays)


def test_stepped_never_leaves_half_a_microstep_of_what_was_commanded(story) -> None:
    """The residual that is drawn, with what whole-second times leave open."""
    calm = story("calm")
    data = Data(calm)
    low = (data.volume - data.planned_high) * 1e6 / calm.step_fl
    high = (data.volume - data.planned_low) * 1e6 / calm.step_fl
    assert ((low <= 0.51) & (high >= -0.51)).all()
    basal = high - low < 1
    assert basal.mean() > 0.98
    assert np.abs((data.volume - data.planned)[basal] * 1e6 / calm.step_fl).max() < 0.65


def test_planned_flow_knows_every_bolus_and_mean_flow_the_rate(story) -> None:
    calm = story("calm")
    times, rates = planned_flow(calm)
    fast = [(times[i], times[i + 1]) for i in range(len(times) - 1) if rates[i] > 100_000_000]
    assert fast == [(28_800 + day * DAY_S, 28_830 + day * DAY_S) for day in range(3)]
    assert max(rates[:-1]) == pytest.approx(288_000_000 + 1_300_000)
    flows = [rate for start, end, rate in mean_flow(Data(calm)) if end < 28_000]
    assert len(flows) > 20 and flows == pytest.approx([1_300_000] * len(flows), rel=0.05)


def test_restated_records_are_not_counted_twice(recorded, story) -> None:
    source = read(recorded("calm"))
    intents = [record for record in source.records if record.name == "intent"]
    assert len(intents) > 3 and sum(not record.restated for record in intents) == 1
    assert len(story("calm").orders) == 1 and len(story("calm").loads) == 1


def test_a_restated_commit_is_no_new_value(copied) -> None:
    path = copied("calm")
    source = read(path)
    old = next(record for record in source.records if record.name == "commit" and record.values["stepped_nl"] > 10_000)
    raw = bytearray(old.raw)
    raw[1] |= device.RESTATED
    device.seal(memoryview(raw), source.chain.last + 1, bytearray(source.records[-1].chain))
    before = tell(source)
    change(
        path,
        "insert into records select seq + 1, raw, kind, name, 1, boot, uptime_s, 1 from records "
        "order by seq desc limit 1",
        f"update records set raw = x'{raw.hex()}' where seq = {source.chain.last + 1}",
    )
    after = tell(read(path))
    assert after.source.chain.intact and after.source.chain.count == source.chain.count + 1
    assert after.points == before.points and after.stays == before.stays


def test_five_minutes_are_enough(story) -> None:
    short = story("short")
    total = sums(short)
    assert worst(judge(short, total)) == "good"
    assert [order.source for order in short.orders if order.dose] == ["basal", "bolus"]
    assert short.orders[-2].stopped_as_usual
    assert total.commanded_nl == sum(order.commanded_nl for order in short.orders if order.dose)


# --- a rough one


def test_after_a_power_cut_the_dose_is_a_range(story) -> None:
    rough = story("rough")
    total = sums(rough)
    assert total.stepped_max_nl - total.stepped_nl == ledger.COMMIT_NL
    assert total.difference_nl is None and total.commanded_open
    assert [(restart.cause, restart.running) for restart in rough.restarts] == [("power", True)]
    assert {title: level(rough, title) for title in ("Dose", "Orders", "Power", "Alarms", "Record", "Shaft")} == {
        "Dose": "unknown", "Orders": "bad", "Power": "bad", "Alarms": "bad", "Record": "good", "Shaft": "good",
    }  # fmt: skip
    cut = next(order for order in rough.orders if order.result == "reset")
    assert cut.commanded_nl is None and cut.stepped_nl is None
    slack = Data(rough).slack
    assert slack[0] == 0 and slack[-1] == ledger.COMMIT_NL


def test_the_range_contains_the_truth(story, recorded) -> None:
    """What the plant saw leave the syringe in the rough run, as told by lifetime totals and steps."""
    rough, total = story("rough"), sums(story("rough"))
    heard = [p.volume_nl for p in rough.points if p.boot == 1][-1]  # telemetry shortly before the cut
    ended = sum(order.stepped_nl for order in rough.orders if order.dose and order.boot == 2)
    assert total.stepped_nl <= heard + ended <= total.stepped_max_nl


def test_the_volumes_of_several_syringes_add_up(story) -> None:
    rough = story("rough")
    drops = [(a, b) for a, b in zip(rough.points, rough.points[1:], strict=False) if b.volume_nl < a.volume_nl]
    assert len(drops) == 2 and all(b.volume_nl - a.volume_nl > -ledger.COMMIT_NL for a, b in drops)
    # Only the back-off of an occlusion, and the power cut, take something back.
    relief = next(stay for stay in rough.stays if stay.state == "relieving")
    assert relief.start - 1 <= drops[0][0].t < drops[0][1].t <= relief.end  # an alarm's and its relief's whole seconds
    assert (drops[1][0].boot, drops[1][1].boot) == (1, 2)
    assert [load.reservoir_nl for load in rough.loads] == [30_000_000, 20_000_000]
    assert rough.points[-1].syringe > rough.points[0].syringe and rough.base_nl == drops[1][1].volume_nl
    known = sum(order.stepped_nl for order in rough.orders if order.dose and order.stepped_nl)
    assert known < sums(rough).stepped_nl < known + 1_000_000


def test_a_syringe_right_after_another_makes_no_jump(story) -> None:
    told = story("reloaded")
    for boot in {point.boot for point in told.points}:
        volumes = [point.volume_nl for point in told.points if point.boot == boot]
        assert volumes == sorted(volumes), "what was delivered stays delivered"
    steps = [abs(told.steps(point.confirmed_nl - point.volume_nl) or 0) for point in told.points]
    assert max(steps) < 16, "the shaft follows within one full step"
    assert [point.syringe for point in told.points] == sorted(point.syringe for point in told.points)


def test_a_pause_is_no_delivery(story) -> None:
    rough = story("rough")
    paused = [stay for stay in rough.stays if stay.state == "paused"]
    assert len(paused) == 1 and paused[0].end - paused[0].start == 1_200
    first = next(order for order in rough.orders if order.source == "basal")
    assert first.elapsed(np.array([first.ended]))[0] == pytest.approx(first.ended - first.begun - 1_200)
    at = np.array([paused[0].start + 10, paused[0].end - 10])
    assert np.diff(rough.plan.at(at))[0] == 0
    assert first.curve(first.elapsed(np.array([first.ended])))[0] == pytest.approx(first.commanded_nl, abs=120)


def test_alarms_have_their_begin_and_end(story) -> None:
    rows = {row.name: row for row in story("rough").alarms}
    assert set(rows) == {"paused_too_long", "occlusion", "power_lost", "infusion_complete"}
    occlusion = rows["occlusion"]
    assert occlusion.priority == "high"
    assert 20_000 < occlusion.value_pa < 69_000, "well above what flows freely, and seen by its slope before the limit"
    assert occlusion.end is not None and occlusion.end > occlusion.start
    assert rows["paused_too_long"].end - rows["paused_too_long"].start == 600
    assert rows["infusion_complete"].end is None


def test_how_long_the_power_was_off_is_known_when_the_clocks_agree(story, copied) -> None:
    gap = story("rough").axis.gaps[0]
    assert gap.known and gap.end - gap.start == pytest.approx(900, abs=70)
    assert story("rough").anchors.real
    wall = story("rough").anchors.wall(*story("rough").axis.zero)
    assert abs((wall - NOTED).total_seconds()) < 5
    path = copied("rough")
    change(path, "update meta set seen_utc = '2026-03-01T12:00:00+00:00'")
    simulated = tell(read(path))
    assert not simulated.anchors.real and simulated.anchors.speed > 100
    assert not simulated.axis.gaps[0].known and simulated.anchors.wall(1, 0) is None


# --- files that lack something


def test_without_telemetry_the_journal_is_enough(copied) -> None:
    path = copied("rough")
    change(path, "delete from tele", "delete from events")
    quiet = tell(read(path))
    assert sums(quiet).stepped_nl == sums(tell(read(copied("rough")))).stepped_nl
    assert [row.name for row in quiet.alarms] and all(point.journal for point in quiet.points)


def test_without_a_journal_much_is_unknown_and_nothing_good_is_claimed(copied) -> None:
    path = copied("calm")
    change(path, "delete from records", "delete from meta where what in ('totals', 'lifetime', 'status')")
    told = tell(read(path))
    levels = {title: level(told, title) for title in ("Dose", "Alarms", "Record", "Books")}
    assert set(levels.values()) == {"unknown"}
    assert len(told.points) > 800 and not any(stay.sure for stay in told.stays)
    assert np.isnan(told.plan.at(np.array([1_000.0]))[0])


def test_without_the_programme_its_course_is_unknown_but_not_its_end(copied) -> None:
    path = copied("calm")
    change(path, "delete from meta where what = 'programme'")
    told = tell(read(path))
    on_the_way, end = told.plan.at(np.array([DAY_S, 3.0 * DAY_S + 30]))
    assert np.isnan(on_the_way) and end == 4_200_000
    assert level(told, "Dose") == "good"


def test_without_notes_there_is_no_calibration_and_no_limit(copied) -> None:
    path = copied("calm")
    change(path, "delete from meta")
    told = tell(read(path))
    assert told.step_fl == 231_147_588  # the journal has it with the syringe
    assert level(told, "Pressure") == "unknown" and level(told, "Books") == "unknown"
    assert sums(told).commanded_nl == 4_200_000 and not sums(told).by_pump


def test_a_forgotten_beginning_is_not_made_up(copied) -> None:
    """The ring has overwritten two days; the running order is repeated in what is left."""
    path = copied("calm")
    last = len(read(path).records)
    change(path, f"delete from records where seq <= {2 * last // 3}")
    told = tell(read(path))
    assert len(told.orders) == 1 and told.orders[0].begun == 0
    assert told.plan.base_nl == 0 and sums(told).commanded_nl == 4_200_000
    assert not told.source.chain.from_first and told.source.chain.intact
    assert not told.stays[0].sure and told.stays[-1].sure
    change(path, "delete from tele", "delete from events")
    blind = tell(read(path))
    assert blind.points[0].volume_nl > 2_000_000  # counts from the load, not from where the journal begins


def test_an_order_that_is_in_no_record_makes_the_curve_unknown_before(copied) -> None:
    path = copied("short")
    gone = [r.seq for r in read(path).records if r.name in ("intent", "result") and r.values["source"] == 4]
    first = [r.seq for r in read(path).records if r.name == "syringe"]
    change(path, f"delete from records where seq in ({', '.join(map(str, gone + first))})", "delete from events")
    told = tell(read(path))
    assert told.plan.base_nl == pytest.approx(200_000, abs=10)
    before, after = told.plan.at(np.array([10.0, told.end]))
    assert np.isnan(before) and after == pytest.approx(sums(told).commanded_nl, abs=10)
    assert level(told, "Books") == "unknown" and level(told, "Record") == "warn"


@pytest.mark.parametrize(
    ("where", "said"), [("12", "damaged"), ("55", "damaged")], ids=["payload", "chain without its checksum"]
)
def test_a_changed_byte_is_bad(copied, where, said) -> None:
    path = copied("short")
    raw = bytearray(read(path).records[4].raw)
    raw[int(where)] ^= 0x10
    change(path, f"update records set raw = x'{raw.hex()}' where seq = 5")
    told = tell(read(path))
    assert told.source.chain.damaged == (5,) and level(told, "Record") == "bad"


def test_books_that_do_not_add_up_are_bad(copied) -> None:
    path = copied("short")
    totals = read(path).latest("totals")
    wrong = {**totals, "commanded_nl": totals["commanded_nl"] + 5_000}
    text = str(wrong).replace("'", '"')
    change(path, f"update meta set data = '{text}' where what = 'totals' and id = (select max(id) from meta "
                 "where what = 'totals')")  # fmt: skip
    told = tell(read(path))
    assert level(told, "Books") == "bad" and level(told, "Dose") == "bad"


def test_an_empty_file_is_refused(copied) -> None:
    from haipump.errors import UsageError

    path = copied("short")
    change(path, "delete from records", "delete from tele", "delete from events")
    with pytest.raises(UsageError, match="neither journal nor telemetry"):
        tell(read(path))


def test_a_rate_is_exact_in_the_plan(story) -> None:
    short = story("short")
    basal = next(order for order in short.orders if order.source == "basal")
    assert basal.asked(np.array([30.0]))[0] == pytest.approx(float(Fraction(5_000_000 * 30, DAY_S)))
