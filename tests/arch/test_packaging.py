"""What is shipped is complete, and what is installed is what is pinned."""

import tomllib

import pytest

from haipump_fw import app
from tests.arch import packaging, tree

PROJECT = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = tree.ROOT / "constraints"


def test_firmware_and_host_tools_are_released_together():
    assert PROJECT["project"]["version"] == app.FIRMWARE_VERSION


def test_the_manifest_lists_every_firmware_file():
    assert packaging.manifest_faults(tree.ROOT / "firmware") == []


def test_the_wheel_takes_the_whole_manifest():
    """The package goes in as it is; what lies outside of it is listed by hand in pyproject.toml."""
    listed = packaging.manifest(tree.ROOT / "firmware" / "manifest")
    outside = {f"firmware/{name}" for name in listed if not name.startswith("haipump_fw/")} | {"firmware/manifest"}
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]) == outside


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("run.txt", PROJECT["project"]["dependencies"]),
        ("dev.txt", [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]),
        ("build.txt", [*PROJECT["build-system"]["requires"], "editables"]),
    ],
)
def test_what_is_installed_is_what_is_pinned(name, needs):
    needs = [need for need in needs if not need.startswith("haipump[")]
    assert packaging.pin_faults(packaging.pins(CONSTRAINTS / name), packaging.closure(needs)) == []


def test_stubs_are_pinned():
    assert len(packaging.pins(CONSTRAINTS / "stubs.txt")) == 2


def test_manifest_faults_are_found(tmp_path):
    (tmp_path / "haipump_fw").mkdir()
    (tmp_path / "haipump_fw/device").mkdir()
    for name in ("main.py", "haipump_fw/app.py", "haipump_fw/device/x.py", "haipump_fw/device/y.py"):
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "haipump_fw/empty.py").touch()  # is not shipped
    (tmp_path / "manifest").write_text("# shipped\nmain.py\nmain.py\ngone.py\nhaipump_fw/device/y.py\n")
    assert packaging.manifest_faults(tmp_path) == [
        "haipump_fw/app.py is not in the manifest",
        "gone.py is in the manifest and does not exist",
        "haipump_fw/device/y.py is in the manifest and does not exist",
        "main.py is in the manifest twice",
    ]


def test_pin_faults_are_found(tmp_path):
    (tmp_path / "run.txt").write_text("a==1.0\n# why\nB_c==2.0 ; sys_platform == 'win32'\n")
    (tmp_path / "dev.txt").write_text("-c run.txt\nd==3.0\n")
    pinned = packaging.pins(tmp_path / "dev.txt")
    assert pinned == {"a": "1.0", "b-c": "2.0", "d": "3.0"}
    assert packaging.pin_faults(pinned, {"a": "1.0"}) == []
    assert packaging.pin_faults(pinned, {"a": "1.1", "e": "1"}) == [
        "e is not pinned",
        "a is pinned at 1.0, installed is 1.1",
    ]
    (tmp_path / "run.txt").write_text("a>=1.0\n")
    with pytest.raises(ValueError, match="not an exact version"):
        packaging.pins(tmp_path / "dev.txt")


def test_the_closure_follows_requirements():
    found = packaging.closure(["pytest>=8"])
    assert {"pytest", "pluggy", "iniconfig"} <= set(found)
