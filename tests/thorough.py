"""Campaigns: a run takes a part of their trials, and all of them with --thorough (`make proof`).

Owns: the option, and which part. Must not: know what a trial is.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest


def pytest_addoption(parser):
    # Known only when this folder is named on the command line, as `make proof` does.
    parser.getgroup("haipump").addoption("--thorough", action="store_true", help="all trials of a campaign, not a part")


@pytest.fixture
def part(request) -> Callable[[Sequence[Any], int], Sequence[Any]]:
    """`part(trials, count)`: all of them with --thorough, else `count` of them, spread evenly."""
    if request.config.getoption("--thorough", default=False):
        return lambda trials, count: trials
    return lambda trials, count: [trials[i * len(trials) // count] for i in range(count)]
