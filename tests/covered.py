"""The option --covered: what `make coverage` has just run is not run again.

Owns: which tests these are. Must not: choose tests otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent / "firmware"
SUITES = tuple(ROOT / part for part in ("core", "proto", "store"))  # as PURE in the Makefile
LEFT_OUT = "trials"  # these run without coverage


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "leave out what `make coverage` runs, as `make test` has done that before"
    parser.getgroup("haipump").addoption("--covered", action="store_true", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--covered"):
        return
    covered = {item for item in items if _ran(item)}
    items[:] = [item for item in items if item not in covered]
    config.hook.pytest_deselected(items=list(covered))


def _ran(item: pytest.Item) -> bool:
    return item.get_closest_marker(LEFT_OUT) is None and any(suite in item.path.parents for suite in SUITES)
