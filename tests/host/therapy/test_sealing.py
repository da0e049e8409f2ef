"""A drug library in a pump: the real firmware on the direct core works out the same seal, and holds to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import haipump
from haipump.errors import Refused
from haipump.therapy import calendar as cal
from haipump.therapy import dose, sealing
from tests.host.direct_line import DirectLine
from tests.host.therapy.conftest import course


@pytest.fixture
def line() -> DirectLine:
    return DirectLine()


@pytest.fixture
def pump(line) -> Iterator[haipump.Pump]:
    with haipump.connect(line) as connected:
        yield connected


@pytest.fixture
def limits(library):
    first = cal.fills(course())[0]
    assert first.phase is not None
    return dose.limits_of(dose.prepare(course(), library, first.phase, days=first.days))


@pytest.mark.requirement("GIP-6.1.6/7")
def test_the_planned_rate_runs_and_what_passes_the_library_does_not(pump, library, limits) -> None:
    sealed = sealing.load(pump, library, limits)
    assert pump.library().library == sealed == sealing.expected(pump, library)
    assert sealing.number_in(sealed) == sealing.number_of(library)
    pump.syringe("30mL", "30mL", drug="floxuridine")
    assert pump.limits().max_rate_nl_per_day == limits["max_rate_nl_per_day"]
    with pytest.raises(Refused) as caught:
        pump.bolus("10uL")
    assert caught.value.code == "limit"
    pump.rate("1.3mL/day")
    assert pump.status().state == "infusing"


def test_sealed_limits_stay_until_the_library_is_taken_away(pump, library, limits) -> None:
    sealing.load(pump, library, limits)
    for change in (lambda: pump.set_limits(max_bolus_nl=5_000_000), lambda: pump.set_dose(max_dose_nl=0)):
        with pytest.raises(Refused) as caught:
            change()
        assert caught.value.code == "library" and "therapy load" in caught.value.next_step
    sealing.unload(pump)
    sealing.unload(pump)
    pump.set_dose(max_dose_nl=0)
    assert pump.library().library == sealing.NONE


def test_loading_another_drug_takes_the_place_of_the_first(pump, library, limits) -> None:
    first = sealing.load(pump, library, limits)
    second = sealing.load(pump, library, dict(limits) | {"drug": "heparin-saline", "max_dose_nl": 3_000_000})
    assert pump.library().library == second != first
    assert pump.dose().drug == "heparin-saline"


@pytest.mark.requirement("GIP-6.1.6/7")
def test_another_library_with_the_same_limits_has_another_seal(pump, library, limits) -> None:
    sealing.load(pump, library, limits)
    values = {"drug": "none", **dict.fromkeys(sealing._LIMITS + sealing._DOSES, 0)}
    assert sealing.seal(5, values, None) != sealing.seal(6, values, None) != sealing.seal(6, values, bytes(31) + b"1")


def test_an_altered_limit_stops_the_pump_at_the_next_start(pump, line, library, limits) -> None:
    sealing.load(pump, library, limits)
    app = line.core.app
    assert app.storage.save({"max_dose_nl": 90_000_000}, app.window_us)
    line.core.power(False)
    line.core.power(True)
    line.sleep(70)
    assert pump.hello() and pump.status().state == "fault"
    assert pump.library().library != sealing.expected(pump, library)
