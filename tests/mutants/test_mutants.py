"""The list of mutants fits the firmware, and a few of them, others for each firmware, are caught."""

from __future__ import annotations

import ast
import dataclasses

import pytest

from tests.mutants.model import ROOT
from tests.mutants.table import MUTANTS
from tests.tools.test_proof import seed, tool
from tools.traceability import hazards

IN_EVERY_RUN = 5


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_an_edit_that_compiles(mutant):
    (path, text) = next(iter(mutant.edit().items()))
    ast.parse(text)
    assert ast.dump(ast.parse(text)) != ast.dump(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    assert mutant.why and mutant.hazard in {hazard.id for hazard in hazards.HAZARDS}


def test_there_are_enough_and_each_has_a_name():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 30


def test_a_mutant_whose_text_has_gone_says_so():
    gone = dataclasses.replace(MUTANTS[0], old="this line was never there")
    with pytest.raises(ValueError, match="stands 0 times"):
        gone.edit()


def test_some_mutants_are_caught():
    done = tool("-m", "tools.proof.mutants", "--sample", str(IN_EVERY_RUN), "--seed", str(seed()), "--trust")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{IN_EVERY_RUN} of {IN_EVERY_RUN} mutants caught" in done.stdout
