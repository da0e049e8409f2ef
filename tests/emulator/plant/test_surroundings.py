"""The fortnight that both pumps live through: figures at the right times, stairs, names."""

import pytest

from haipump_emulator.plant.surroundings import (
    EVENTS,
    NAMES,
    PA_PER_MMHG,
    REFERENCE,
    STAIR_S,
    Profile,
    ambient_at_pa,
    chosen,
)

EVENT = {event.name: event for event in EVENTS}


# ISO 2533, geopotential altitude.
@pytest.mark.parametrize(("metres", "hpa"), [(0, 1013.25), (1_000, 898.75), (2_000, 794.95), (8_000, 356.00)])
def test_the_standard_atmosphere(metres, hpa):
    assert ambient_at_pa(metres) / 100 == pytest.approx(hpa, abs=0.01)


def test_an_altitude_beyond_the_formula_is_refused():
    with pytest.raises(ValueError, match="20000 m"):
        ambient_at_pa(20_000)


def test_a_fortnight_without_anything_is_the_reference():
    profile = chosen([])
    assert len(profile.stairs()) == 14 * 86_400 // STAIR_S
    assert {world for _, world in profile.stairs()} == {REFERENCE}


@pytest.mark.parametrize("name", EVENT)
def test_an_event_is_full_in_its_time_and_gone_before_and_after(name):
    event, profile = EVENT[name], chosen([name])
    middle = profile.moment((event.begin_s + event.end_s) / 2)
    assert middle != REFERENCE
    assert middle == profile.moment(event.begin_s) == profile.moment(event.end_s)
    assert profile.moment(event.begin_s - event.up_s) == REFERENCE
    assert profile.moment(event.end_s + event.down_s) == REFERENCE
    assert 0 < event.begin_s - event.up_s < event.end_s + event.down_s < 14 * 86_400


def test_the_events_are_those_that_were_asked_for():
    assert EVENT["fever"].end_s - EVENT["fever"].begin_s == 3 * 86_400
    assert chosen(["fever"]).moment(EVENT["fever"].begin_s).temperature_c == 39.0
    assert chosen(["flight"]).moment(EVENT["flight"].begin_s).ambient_pa == ambient_at_pa(2_438.4)
    assert EVENT["mountains"].end_s - EVENT["mountains"].begin_s == 86_400


def test_sport_halves_the_flow_to_the_liver_at_a_higher_pressure():
    sport = chosen(["sport"]).moment(EVENT["sport"].begin_s)
    assert sport.artery_flow_l_per_min == pytest.approx(0.5 * REFERENCE.artery_flow_l_per_min)
    assert sport.artery_pa == pytest.approx(REFERENCE.artery_pa + 15 * PA_PER_MMHG)


def test_the_rhythm_of_a_day_evens_out():
    stairs = chosen(["day"]).stairs()
    mean = sum(world.temperature_c for _, world in stairs) / len(stairs)
    assert mean == pytest.approx(37.0, abs=1e-6)
    assert max(world.temperature_c for _, world in stairs) == pytest.approx(37.25, abs=0.001)


def test_overlapping_events_take_the_highest():
    both = Profile([EVENT["flight"], EVENT["mountains"]], rhythm=False)
    assert both.moment(EVENT["flight"].begin_s).ambient_pa == ambient_at_pa(2_438.4)


def test_unknown_events_and_lengths_are_refused():
    with pytest.raises(ValueError, match=f"no event ski; there are: {', '.join(NAMES)}"):
        chosen(["fever", "ski"])
    with pytest.raises(ValueError, match="1 to 366 days, not 0"):
        Profile(days=0)
