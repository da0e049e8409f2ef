"""The catalogue of faults: names, parameters, and that each begins, shows and ends on a pump."""

from __future__ import annotations

import dataclasses

import pytest

from haipump_emulator.campaign.world import World
from haipump_emulator.direct import DirectCore
from haipump_emulator.faults.catalogue import CATALOGUE, FaultError, make, parse
from haipump_emulator.plant import Plant

SECOND = 1_000_000


def world() -> World:
    made = World(DirectCore(Plant(seed=3), seed=3))
    made.run_until(SECOND)
    return made


@pytest.mark.parametrize("name", CATALOGUE)
def test_text_says_it_all(name):
    fault = make(name)
    assert parse(fault.text) == fault
    assert type(fault).__doc__ and fault.group and "direct" in fault.cores
    assert all(item.metadata["help"] for item in dataclasses.fields(fault))


@pytest.mark.parametrize("name", CATALOGUE)
def test_begins_and_ends_and_the_pump_answers_again(name):
    of = world()
    fault = make(name)
    fault.apply(of.rig, of.now_us)
    of.run_until(of.now_us + 20 * SECOND)
    fault.end(of.rig, of.now_us)
    fault.end(of.rig, of.now_us)
    of.run_until(of.now_us + 20 * SECOND)
    of.line.receive()
    of.line.send(b"\nclock\n")
    of.run_until(of.now_us + SECOND)
    assert b"ok boot=" in of.line.receive()
    assert of.core.powered and of.core.host_reads and of.core.usb_connected and not of.core.held


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sensor_of", "did you mean 'sensor_off'"),
        ("zzz", "there are: sensor_off"),
        ("power_cut for=3", "power_cut has no 'for'"),
        ("power_cut off_ms", "is not of the form"),
        ("power_cut off_ms=soon", "no whole number"),
        ("power_cut off_ms=0", "1 to 86400000"),
        ("sensor_off sensor=nose", "one of pressure, encoder"),
    ],
)
def test_what_is_wrong_is_said(text, says):
    with pytest.raises(FaultError, match=says):
        parse(text)
