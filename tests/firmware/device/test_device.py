"""What is installed: the list, the compiler, the hash; and a wheel gives the same as a checkout."""

import hashlib
import shutil
from pathlib import Path

import pytest

from haipump_fw import device

FIRMWARE = Path(__file__).parents[3] / "firmware"
FILES = {
    "boot.py": b"import micropython\n",
    "main.py": b"import haipump_fw.app\n",
    "haipump_fw/__init__.py": b"",
    "haipump_fw/app.py": b'def run():\n    raise ValueError("no motor")\n',
}


def checkout(folder, files=FILES):
    """A source tree with these files and their manifest; the folder of the package."""
    for name, data in {**files, "manifest": "\n".join(["# shipped", "", *files]).encode()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / "haipump_fw"


def test_the_device_knows_all_files_in_their_order():
    ships = device.shipped()
    assert "\n".join(ships.files).encode() in ships.files["haipump_fw/ports/rp2/code.mpy"]


def test_everything_on_the_list_is_shipped_compiled_but_what_the_interpreter_looks_for():
    listed = [line for line in (FIRMWARE / "manifest").read_text().splitlines() if line and not line.startswith("#")]
    ships = device.shipped()
    assert [name.replace(".mpy", ".py") for name in ships.files] == listed
    for name, data in ships.files.items():
        if name in ("boot.py", "main.py"):
            assert data == (FIRMWARE / name).read_bytes()
        else:
            assert name.endswith(".mpy") and data[:2] == b"M\x06", name


def test_the_hash_is_the_one_that_the_manifest_defines():
    ships = device.shipped()
    whole = hashlib.sha256()
    for name, data in ships.files.items():
        whole.update(name.encode() + b"\0" + len(data).to_bytes(4, "little") + data)
    assert ships.app_hash == whole.hexdigest()
    assert ships.on_board == {**ships.files, "app_hash": whole.hexdigest().encode()}


def test_a_wheel_ships_the_same_as_a_checkout_wherever_it_lies(tmp_path):
    here = device.shipped(checkout(tmp_path / "here"))
    package = checkout(tmp_path / "site")
    (package / "device").mkdir()
    for name in ("boot.py", "main.py", "manifest"):
        shutil.move(tmp_path / "site" / name, package / "device" / name)
    assert device.shipped(package).on_board == here.on_board
    assert here.folders == ["haipump_fw"]


def test_tracebacks_on_the_device_have_name_and_line(tmp_path):
    bytecode = device.shipped(checkout(tmp_path)).files["haipump_fw/app.mpy"]
    assert b"haipump_fw.app" in bytecode and str(tmp_path).encode() not in bytecode
    moved = device.compiled("haipump_fw/app.py", b"\n\n\n\n" + FILES["haipump_fw/app.py"])
    assert moved != bytecode, "the lines are in it"
    elsewhere = device.compiled("haipump_fw/core/app.py", FILES["haipump_fw/app.py"])
    assert elsewhere == device.compiled("haipump_fw/core/app.py", b"\n\n" + FILES["haipump_fw/app.py"])


def test_a_changed_byte_is_another_application(tmp_path):
    changed = {**FILES, "haipump_fw/app.py": FILES["haipump_fw/app.py"].replace(b"motor", b"power")}
    first, second = device.shipped(checkout(tmp_path / "a")), device.shipped(checkout(tmp_path / "b", changed))
    assert first.app_hash != second.app_hash


def test_what_does_not_compile_is_named(tmp_path):
    package = checkout(tmp_path, {**FILES, "haipump_fw/app.py": b"def run(:\n"})
    with pytest.raises(device.CompileError, match=r"(?s)haipump_fw/app\.py does not compile.*SyntaxError"):
        device.shipped(package)
    (tmp_path / "haipump_fw/app.py").unlink()
    with pytest.raises(FileNotFoundError):
        device.shipped(package)
