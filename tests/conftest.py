"""What all tests share: plugins, hypothesis profiles, and the check that a test leaves nothing behind.

Owns: settings that hold for every test. Must not: make things for one part's tests; those have conftests of their own.
"""

import gc
import multiprocessing
import threading

import pytest
from hypothesis import HealthCheck, Phase, settings

# Wall-clock deadlines fail on a busy machine and say nothing about the code; simulated time is what counts here.
# The same examples every time: the same commit gives the same verdict, and covers the same lines.
settings.register_profile(
    "default",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
)
# Others each time, to search further: make pytest ARGS="--hypothesis-profile explore"
settings.register_profile("explore", settings.get_profile("default"), derandomize=False)
# On code that was broken on purpose (tools.proof): the first failure will do, nobody reads a smaller one.
settings.register_profile(
    "proof", settings.get_profile("default"), phases=[Phase.explicit, Phase.generate], print_blob=False
)
settings.load_profile("default")

pytest_plugins = ["tests.image", "tests.covered", "tests.thorough", "tests.cores.options"]


def pytest_collection_finish() -> None:
    """Thousands of collected tests live to the end: the collector need not go through them again and again, which took
    a tenth of the whole run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """A test ends the threads and processes that it started."""
    before = set(threading.enumerate())
    yield
    threads = [t for t in threading.enumerate() if t not in before and t.is_alive() and not t.daemon]
    assert not threads, f"threads still run: {threads}"
    assert not multiprocessing.active_children(), "processes still run"
