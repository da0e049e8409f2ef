"""Which cores tests/cores runs on: --core, --port and --rig, and what is left out for want of a rig.

Owns: those options and markers, and how much tests/equivalence compares. Must not: know what is tested.

Without --core the tests run on `direct`, and on `chip` where there is an image. With --core=board nothing else runs.
"""

import pytest

LEVEL = pytest.StashKey[str]()
LEFT_OUT = pytest.StashKey[int]()
CORES = ("direct", "chip", "board")
SYNOPSIS = "--core=board --port=/dev/ttyACM0 [--rig]"


def pytest_addoption(parser):
    group = parser.getgroup("haipump")
    group.addoption("--core", choices=CORES, help="what tests/cores runs on (default: direct, and chip if possible)")
    group.addoption("--port", help="serial port of the pump, for --core=board")
    group.addoption("--equivalence", choices=("few", "all"), default="few", help="runs that tests/equivalence compares")
    group.addoption(
        "--rig", action="store_true", help="for --core=board: there is a whole rig, with a syringe of water"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(level): runs only where there is one of bare, bridged, rig, plant")
    config.addinivalue_line("markers", "on(core, ...): what is tested exists on these cores only")
    config.stash[LEFT_OUT] = 0
    config.stash[LEVEL] = "plant"
    core, port = config.getoption("--core"), config.getoption("--port")
    if core != "board":
        if port or config.getoption("--rig"):
            raise pytest.UsageError(f"--port and --rig are for a board: {SYNOPSIS}")
        return
    if port is None:
        raise pytest.UsageError(f"which port? {SYNOPSIS}")
    if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError("there is one board: leave out -n")
    config.stash[LEVEL] = _level(port, config.getoption("--rig"))


def _level(port, complete):
    from haipump.errors import HaipumpError  # the host's library is not loaded for tests that don't need it
    from tests.cores import rig as rigs

    try:
        found = rigs.look(port)
    except HaipumpError as error:
        raise pytest.UsageError(str(error)) from None
    if complete and found == "bare":
        raise pytest.UsageError("--rig, but the pump's self test fails: `haipump selftest` says what is missing")
    return "rig" if complete else found


def pytest_generate_tests(metafunc):
    if "session_rig" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("on")
    possible = marker.args if marker else CORES
    chosen = metafunc.config.getoption("--core")
    kinds = [kind for kind in ((chosen,) if chosen else CORES[:2]) if kind in possible]
    params = [pytest.param(kind, marks=[pytest.mark.image] if kind == "chip" else []) for kind in kinds]
    params = params or [pytest.param(None, id="none")]  # left out below; pytest would call the test skipped
    metafunc.parametrize("session_rig", params, indirect=True, scope="session")


def pytest_collection_modifyitems(config, items):
    board = config.getoption("--core") == "board"
    kept = [item for item in items if _can_run(config, item, board)]
    config.stash[LEFT_OUT] = len([item for item in items if "session_rig" in getattr(item, "fixturenames", ())]) - len(
        kept
    )
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def _can_run(config, item, board):
    if "session_rig" not in getattr(item, "fixturenames", ()):
        return not board
    if item.callspec.params["session_rig"] is None:
        return False
    from tests.cores.rig import LEVELS

    marker = item.get_closest_marker("needs")
    needed = marker.args[0] if marker else LEVELS[0]
    return LEVELS.index(needed) <= LEVELS.index(config.stash[LEVEL])


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--core") == "board":
        left = config.stash[LEFT_OUT]
        text = f"board: {config.stash[LEVEL]}" + (f"; {left} tests need more, see docs/testing.md" if left else "")
        terminalreporter.write_line(text, yellow=bool(left))
