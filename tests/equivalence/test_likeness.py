"""The comparison finds what it is there to find, and says it readably."""

import copy

import pytest

from tests.equivalence import likeness, play, seeds
from tests.equivalence.test_equivalence import record


@pytest.fixture(scope="module")
def calm() -> play.Record:
    return record("direct", b"", "calm-0")


@pytest.fixture(scope="module")
def changing() -> play.Record:
    return record("direct", b"", "changing-3")


def found(first: play.Record, change) -> likeness.Difference:
    second = copy.deepcopy(first)
    change(second)
    difference = likeness.Comparison(first, second).difference
    assert difference is not None
    return difference


@pytest.mark.parametrize("generated", [name for name in seeds.names() if name not in seeds.SHIPPED])
def test_a_run_is_like_itself(generated):
    one = record("direct", b"", generated)
    assert likeness.Comparison(one, copy.deepcopy(one)).difference is None


def test_all_edges_may_be_later_by_the_same_time(calm):
    late = copy.deepcopy(calm)
    for stretch in late.stretches:
        stretch.on_us += 40_000
        stretch.off_us += 40_000
        stretch.steps[:] = [(t + 40_000, way) for t, way in stretch.steps]
    compared = likeness.Comparison(calm, late)
    assert compared.difference is None
    assert (compared.figures.begin_us, compared.figures.edge_us) == (40_000, 0)


@pytest.mark.parametrize("off_us", [3, -3])
def test_an_edge_that_is_off(calm, off_us):
    def change(record):
        t, way = record.stretches[1].steps[50]
        record.stretches[1].steps[50] = t + off_us, way

    difference = found(calm, change)
    assert (difference.what, difference.index) == ("edge, from its order's first one", 50)
    assert f"{off_us} us off" in difference.text() and difference.t_us == calm.stretches[1].steps[50][0]


def test_a_stretch_that_a_look_ends_may_be_a_look_longer_and_no_more():
    stalled = record("direct", b"", "motor_stall")
    for fewer in (likeness.LOOK_STEPS, 2 * likeness.LOOK_STEPS):
        other = copy.deepcopy(stalled)
        del other.stretches[0].steps[-fewer:]
        difference = likeness.Comparison(stalled, other).difference
        assert (difference is None) == (fewer == likeness.LOOK_STEPS)


def test_a_power_cut_may_leave_the_commit_before_and_no_older_one():
    cut = record("direct", b"", "power_cut")
    for nl, alike in ((90_000, True), (120_000, False)):
        other = copy.deepcopy(cut)
        for _, name, fields in other.said:
            if name == "ok" and "reservoir_nl" in fields and int(fields["reservoir_nl"]) < 29_000_000:
                fields["reservoir_nl"] = str(int(fields["reservoir_nl"]) - nl)
        assert (likeness.Comparison(cut, other).difference is None) == alike


def test_an_edge_more_or_less_at_the_end_of_an_order(calm):
    assert "steps of stretch 1" in found(calm, lambda record: record.stretches[0].steps.pop()).what
    assert "a stretch" in found(calm, lambda record: record.stretches.pop()).what


def test_another_direction(calm):
    def change(record):
        t, way = record.stretches[0].steps[7]
        record.stretches[0].steps[7] = t, -way

    assert found(calm, change).what == "direction of a step"


def test_a_rate_that_is_another_after_a_change(changing):
    """One part in a thousand too fast, from the first change on."""

    def change(record):
        steps = max(record.stretches, key=lambda stretch: len(stretch.steps)).steps
        t_us = steps[40][0]
        steps[:] = [(t if t < t_us else t_us + (t - t_us) * 1001 // 1000, way) for t, way in steps]

    assert "edge" in found(changing, change).what


def test_what_is_said(calm):
    events = [n for n, said in enumerate(calm.said) if said[1] == "done"]

    def late(record):
        t_us, *rest = record.said[events[0]]
        record.said[events[0]] = t_us + likeness.LAG_US + likeness.LOOK_US + 1, *rest

    def other(record):
        record.said[events[0]][2]["result"] = "stopped"

    assert found(calm, late).what == "time of a line"
    assert found(calm, other).what == "line of the pump"
    assert found(calm, lambda record: record.said.pop(events[1])).what == "line of the pump"


def test_a_total_at_the_end(calm):
    def change(record):
        record.ends[1]["stepped_nl"] = str(int(record.ends[1]["stepped_nl"]) + 1_000)

    difference = found(calm, change)
    assert difference.what == "answer at the end" and "direct" in difference.text()
