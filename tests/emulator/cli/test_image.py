"""`haipump-emu image` and `haipump-emu uf2`: what they say, what they write, and their exit codes."""

import json

import pytest
from typer.testing import CliRunner

from haipump_emulator.chip import debian, firmware, official
from haipump_emulator.chip import image as images
from haipump_emulator.cli import app
from haipump_emulator.cli import image as cli
from haipump_fw.device import CompileError, shipped


@pytest.fixture(autouse=True)
def _nothing_there(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(images.ENVIRONMENT, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def nothing(*_):
        raise official.Unreachable("no network")

    def nobody(*_):
        raise debian.BuildError("no apt-get")

    monkeypatch.setattr(official, "fetch", nothing)
    monkeypatch.setattr(debian, "build", nobody)


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_none_to_be_had(tmp_path):
    done = invoke("image")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"cache: nothing at {images.cache_file()}",
        "official: asking for the release",
        "official: no network",
        "debian: no apt-get",
    ]
    assert done.stderr.startswith("haipump-emu: no MicroPython 1.25.0 for RPI_PICO can be had here")
    assert "--image or $HAIPUMP_IMAGE" in done.stderr and done.stderr.count("\n") == 1


def test_a_bad_file_is_refused(tmp_path):
    (tmp_path / "x.uf2").write_bytes(b"no image")
    for words in (("image",), ("uf2", tmp_path / "out.uf2")):
        done = invoke(*words, "--image", tmp_path / "x.uf2")
        assert done.exit_code == 1 and "not a UF2 file" in done.stderr, words
    assert not (tmp_path / "out.uf2").exists()


def test_a_file_that_is_not_there_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(images.ENVIRONMENT, str(tmp_path / "gone.uf2"))
    for words in (("image",), ("uf2", tmp_path / "out.uf2")):
        done = invoke(*words)
        assert done.exit_code == 1 and "gone.uf2: correct --image or $HAIPUMP_IMAGE" in done.stderr, words


def test_without_an_image_there_is_no_uf2(tmp_path):
    done = invoke("uf2", tmp_path / "out.uf2")
    assert done.exit_code == 1 and "`haipump-emu image` gets one" in done.stderr


def test_a_file_that_does_not_compile_is_named(monkeypatch, image, tmp_path):
    def broken():
        raise CompileError("haipump_fw/app.py does not compile")

    monkeypatch.setattr(cli, "shipped", broken)
    done = invoke("uf2", tmp_path / "out.uf2", "--image", image)
    assert (done.exit_code, done.stderr) == (1, "haipump-emu: haipump_fw/app.py does not compile\n")


def test_the_image_is_shown(image):
    done = invoke("image", "--image", image)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"MicroPython 1.25.0 for RPI_PICO, as named: {image}\nIt boots, and ends at 0x5")


def test_the_image_in_json(image):
    done = invoke("image", "--image", image, "--json")
    facts = json.loads(done.stdout)
    assert (facts["path"], facts["source"], facts["version"]) == (str(image), "named", "1.25.0")
    assert facts["end"] <= 0x60000 and len(facts["sha256"]) == 64


def test_the_uf2_is_written_and_proven(image, tmp_path, monkeypatch):
    ships = shipped()
    monkeypatch.setattr(cli, "shipped", lambda: ships)
    out = tmp_path / "haipump.uf2"
    out.write_bytes(b"an older one")
    done = invoke("uf2", out, "--image", image, "--json")
    facts = json.loads(done.stdout)
    assert facts["app_hash"] == ships.app_hash and facts["protocol"] == 1
    assert out.read_bytes() == firmware.combine(image, ships) and facts["bytes"] == out.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["haipump.uf2"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"protocol": "9"}, "speaks version 9 of the protocol, this emulator version 1"),
        ({"protocol": "1", "app_hash": "0"}, "what boots has application 0, not "),
    ],
)
def test_one_that_answers_wrongly_is_not_written(image, monkeypatch, tmp_path, answer, words):
    monkeypatch.setattr(firmware, "info", lambda path: answer)
    done = invoke("uf2", tmp_path / "haipump.uf2", "--image", image)
    assert done.exit_code == 1 and words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(image, tmp_path):
    done = invoke("uf2", tmp_path / "no" / "haipump.uf2", "--image", image)
    assert done.exit_code == 1 and "can't write" in done.stderr and "No such file" in done.stderr
