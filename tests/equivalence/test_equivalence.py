"""`direct` and `chip` do the same with the same inputs at the same simulated times; `likeness` says what that means.

A few runs with every `make test`, all with `make equivalence`.
"""

import dataclasses

import pytest

from haipump_emulator import cores
from haipump_emulator.scenario import rig
from tests.equivalence import likeness, play, seeds


def record(kind: str, uf2: bytes, name: str) -> play.Record:
    inputs = seeds.inputs(name)
    plant = rig.plant_from(inputs.params, inputs.seed)
    core = cores.Recipe(kind, uf2).make(plant, seed=inputs.seed)
    return play.Play(inputs.entries, inputs.end_us).run(core)


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        everything = metafunc.config.getoption("--equivalence") == "all"
        metafunc.parametrize("name", seeds.names() if everything else seeds.FEW)


@pytest.fixture(scope="session")
def uf2(pump_uf2) -> bytes:
    return pump_uf2.read_bytes()


def test_the_same_comes_out(name, uf2, record_property):
    direct, chip = record("direct", b"", name), record("chip", uf2, name)
    compared = likeness.Comparison(direct, chip)
    for key, value in dataclasses.asdict(compared.figures).items():
        record_property(key, value)
    assert compared.difference is None, compared.difference.text()
    assert sum(len(stretch.steps) for stretch in direct.stretches) > 5, "nothing moved"
