"""The MicroPython image that tests on the emulated chip boot, and what happens to them where there is none.

Owns: finding it. Must not: get or build one; that takes minutes, and is said aloud by `make image`.

Whoever takes the fixture `image`, or one made from it, or is marked with `image`, is left out where there is no image,
and the last lines of the run say so; with --require-image the run does not even begin.
"""

from pathlib import Path

import pytest

LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser):
    parser.getgroup("haipump").addoption(
        "--require-image", action="store_true", help="fail where there is no MicroPython image for the chip tests"
    )


def look() -> tuple[Path | None, str]:
    """The image, or None and why."""
    from haipump_emulator.chip import image  # rp2040py is not loaded for tests that don't need it

    try:
        return image.find(), f"there is no MicroPython image: {image.HOW_TO_GET_ONE}"
    except image.ImageError as error:
        return None, str(error)


def pytest_configure(config):
    config.addinivalue_line("markers", "image: needs the MicroPython image, as the fixture of that name does")
    config.stash[LEFT_OUT] = 0
    if config.getoption("--require-image"):
        found, reason = look()
        if found is None:
            raise pytest.UsageError(f"the chip tests can't run: {reason}")


def pytest_collection_modifyitems(config, items):
    chip = [item for item in items if "image" in getattr(item, "fixturenames", ()) or item.get_closest_marker("image")]
    if chip and look()[0] is None:
        config.stash[LEFT_OUT] = len(chip)
        items[:] = [item for item in items if item not in set(chip)]
        config.hook.pytest_deselected(items=chip)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # a worker of pytest-xdist: the controller prints the summary
        session.config.workeroutput["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    # All workers collect the same.
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[LEFT_OUT]:
        terminalreporter.write_line(f"{config.stash[LEFT_OUT]} chip tests were left out: {look()[1]}", yellow=True)


@pytest.fixture(scope="session")
def image() -> Path:
    """The plain interpreter, as a UF2 file."""
    found, reason = look()
    assert found is not None, reason
    return found


@pytest.fixture(scope="session")
def pump_uf2(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user drops on a Pico, made from this checkout: interpreter and application in one UF2 file."""
    from haipump_emulator.chip import firmware
    from haipump_fw.device import shipped

    path = tmp_path_factory.mktemp("firmware") / "haipump.uf2"
    path.write_bytes(firmware.combine(image, shipped()))
    return path
