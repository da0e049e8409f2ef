"""The drug library's seal: limits that are those of the library, or a pump that does not start."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from haipump_fw.core import options
from haipump_fw.library import COVERED, sealed
from tests.firmware.app.bench import Pump, pump

NUMBER = 0x7ABBCCDD
LIMITS = "drug=floxuridine max_dose_nl=3000000 window_s=86400 soft_rate_nl_per_day=2000000"
RATE = "prepare_rate rate_nl_per_day=1300000"
KEY = bytes(range(32))


def seal_of(of: Pump, key: bytes = b"", number: int = NUMBER) -> int:
    """Worked out anew from what the pump says, with Python's own HMAC."""
    values = of.ask("limits") | of.ask("dose")
    letters = values["drug"].encode().ljust(24, b"\0") if values["drug"] != "none" else bytes(24)
    numbers = [int.from_bytes(letters[at : at + 8], "big") for at in (0, 8, 16)]
    names = ["max_rate_nl_per_day", "max_bolus_nl", *[row[options.NAME] for row in options.rows("dose")]]
    text = "|".join(["library", str(number), *map(str, numbers), *[str(values[name]) for name in names]])
    return number << 32 | int.from_bytes(hmac.new(key, text.encode(), hashlib.sha256).digest()[:4], "big")


def library_of(of: Pump) -> int:
    return int(of.answer(b"library\n").split("library=")[1].split()[0], 16)


def stocked() -> Pump:
    """A pump with a sealed library, and the drug of it in the syringe."""
    of = pump(seed=1)
    of.order("prepare_limits max_rate_nl_per_day=4000000 max_bolus_nl=400000")
    of.order("prepare_dose " + LIMITS)
    of.order("prepare_syringe reservoir_nl=30000000 step_fl=231144000 bore_um=21700 syringe_nl=30000000"
             " drug=floxuridine")  # fmt: skip
    of.order(f"prepare_library library={seal_of(of):x}")
    return of


def change_behind_its_back(of: Pump, **values: int) -> None:
    """As if somebody had written the flash with a right checksum."""
    assert of.app.storage.save(values, of.app.window_us)


@pytest.mark.requirement("GIP-6.1.6/7")
def test_a_sealed_library_is_shown_and_doses_start():
    of = stocked()
    assert library_of(of) == seal_of(of)
    of.order(RATE)
    assert of.state() == "infusing"
    of.power_cycle()
    assert library_of(of) == seal_of(of)
    of.act("ack")
    of.order(RATE)


@pytest.mark.requirement("OP-R8.1(4)")
@pytest.mark.parametrize("off", [1, 1 << 32, -1])
def test_a_seal_of_other_limits_is_refused(off):
    of = stocked()
    said = of.no(f"prepare_library library={seal_of(of) + off:x}")
    assert (said["code"], said["what"]) == ("library", "other_limits")
    assert library_of(of) == seal_of(of)


def test_a_number_that_is_too_long_is_no_library():
    of = stocked()
    was = library_of(of)
    assert of.no(f"prepare_library library={seal_of(of, number=0xFFFFFFFF):x}")["what"] == "other_limits"
    assert library_of(of) == was


@pytest.mark.parametrize(
    "text", ["prepare_limits max_rate_nl_per_day=5000000", "prepare_limits max_bolus_nl=1", "prepare_dose lockout_s=1"]
)
def test_sealed_limits_are_not_changed_by_themselves(text):
    of = stocked()
    said = of.no(text)
    assert (said["code"], said["what"]) == ("library", "loaded")
    of.order("prepare_limits pause_max_s=700")  # no limit of a drug
    of.order("prepare_library library=0")
    of.order(text)
    assert library_of(of) == 0


@pytest.mark.requirement("OP-R8.1(4)")
@pytest.mark.parametrize("name", COVERED + tuple(row[options.NAME] for row in options.rows("dose")))
def test_an_altered_library_stops_the_pump_at_the_start(name):
    of = stocked()
    change_behind_its_back(of, **{name: of.app.values[name] + 1})
    of.power_cycle()
    of.run(70)
    assert of.state() == "fault" and of.alarm("self_test")
    assert [event for _, kind, event in of.said if kind == "state" and event["why"] == "library"]


def test_an_altered_library_starts_nothing_in_the_first_second_either():
    of = stocked()
    change_behind_its_back(of, max_dose_nl=30_000_000)
    of.power_cycle()
    of.act("ack")
    said = of.no(RATE)
    assert (said["code"], said["what"]) == ("library", "altered")
    assert of.state() == "fault" and not of.enabled
    of.act("selftest")
    assert of.no(RATE)["code"] in ("library", "alarm", "state")  # the test of the parts does not heal it


@pytest.mark.requirement("GIP-6.1.6/7")
def test_without_a_library_where_one_is_required():
    of = pump(seed=1)
    assert library_of(of) == 0, "and nothing is claimed"
    of.order("prepare_settings library_required=1")
    for text in (RATE, "prepare_bolus volume_nl=10000", "prepare_kvo"):
        said = of.no(text)
        assert (said["code"], said["what"]) == ("library", "none"), text
    of.order("prepare_settings library_required=0")
    of.order(RATE)


@pytest.mark.requirement("OP-R8.1(4)")
def test_the_seal_of_a_pump_with_a_key_needs_the_key():
    of = pump(seed=1)
    values = of.app.values
    assert sealed(KEY, NUMBER, values) == seal_of(of, KEY)
    assert sealed(KEY, NUMBER, values) != sealed(None, NUMBER, values) == seal_of(of)
    of.app.storage.save({}, of.app.window_us, KEY)
    assert of.no(f"prepare_library library={seal_of(of):x}")["what"] == "other_limits"
    of.order(f"prepare_library library={seal_of(of, KEY):x}")


@pytest.mark.requirement("OP-R8.1(4)")
def test_a_change_while_it_infuses_is_looked_at():
    of = stocked()
    of.order(RATE)
    change_behind_its_back(of, max_dose_nl=30_000_000)
    of.app.library_read = False
    of.run(70)
    assert of.state() == "fault" and not of.enabled
