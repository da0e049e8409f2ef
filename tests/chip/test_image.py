"""Where the image comes from, in which order; what is refused; and that the right one is right."""

import hashlib
import os
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from haipump_emulator.chip import debian, official
from haipump_emulator.chip import image as images
from haipump_emulator.chip.flash import PARTITION_START
from haipump_emulator.chip.image import Facts, ImageError
from haipump_emulator.chip.uf2 import write_uf2

FACTS = Facts("1.25.0", "RPI_PICO", 0x51000, "ab" * 32)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Everywhere an image could come from, empty; what is there is good when it begins with "good"."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(images.ENVIRONMENT, raising=False)
    asked = []

    def inspect(path):
        if not path.read_bytes().startswith(b"good"):
            raise ImageError(f"{path} is bad")
        return FACTS

    def fetch(version):
        asked.append("official")
        raise official.Unreachable("no network")

    def build(folder, version, board, tell):
        asked.append("debian")
        raise debian.BuildError("no compiler\nand a long story")

    monkeypatch.setattr(images, "inspect", inspect)
    monkeypatch.setattr(official, "fetch", fetch)
    monkeypatch.setattr(debian, "build", build)
    return asked


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def get(path=None):
    told = []
    return images.get(path, told.append), told


# --- the order


def test_a_named_file_comes_first(places, tmp_path, monkeypatch):
    put(images.cache_file(), b"good, cached")
    first, second = put(tmp_path / "first.uf2", b"good"), put(tmp_path / "second.uf2", b"good")
    monkeypatch.setenv(images.ENVIRONMENT, str(second))
    assert (get(first)[0].path, images.find(first)) == (first, first)
    assert (get()[0].path, images.find()) == (second, second)
    assert get()[0].source == "named" and places == []


def test_a_named_file_is_used_or_refused_never_passed_over(places, tmp_path, monkeypatch):
    put(images.cache_file(), b"good, cached")
    monkeypatch.setenv(images.ENVIRONMENT, str(put(tmp_path / "bad.uf2", b"bad")))
    with pytest.raises(ImageError, match=r"bad\.uf2 is bad"):
        get()
    monkeypatch.setenv(images.ENVIRONMENT, str(tmp_path / "gone.uf2"))
    for ask in (get, images.find):
        with pytest.raises(ImageError, match=r"no image .*gone\.uf2.*HAIPUMP_IMAGE"):
            ask()
    assert places == []


def test_then_the_cache(places):
    put(images.cache_file(), b"good, cached")
    assert get()[0] == images.Image(images.cache_file(), "cache", FACTS)
    assert images.find() == images.cache_file() and places == []


def test_then_the_release_which_is_kept(places, tmp_path, monkeypatch):
    monkeypatch.setattr(official, "fetch", lambda version: put(tmp_path / "theirs" / version, b"good, official"))
    found, told = get()
    assert (found.source, found.path.read_bytes()) == ("official", b"good, official")
    assert told == [f"cache: nothing at {images.cache_file()}", "official: asking for the release"]
    kept = images.cache_file()
    assert get()[0].source == "cache" and sorted(kept.parent.iterdir()) == [kept, images.checksum_file()]


def test_then_a_build(places, monkeypatch):
    made = []

    def build(folder, version, board, tell):
        assert (version, board) == ("1.25.0", "RPI_PICO")
        made.append(folder)
        return put(folder / "x.uf2", b"good, built")

    monkeypatch.setattr(debian, "build", build)
    found, told = get()
    assert (found.source, found.path.read_bytes()) == ("debian", b"good, built")
    assert "official: no network" in told and not made[0].exists()


def test_a_spoilt_cache_is_said_and_replaced(places, tmp_path, monkeypatch):
    put(images.cache_file(), b"spoilt")
    monkeypatch.setattr(official, "fetch", lambda version: put(tmp_path / "theirs", b"good, official"))
    found, told = get()
    assert found.source == "official" and images.cache_file().read_bytes() == b"good, official"
    assert "it will be replaced" in told[0]


def test_what_was_put_into_the_cache_is_known_by_its_checksum(places, tmp_path, monkeypatch):
    monkeypatch.setattr(official, "fetch", lambda version: put(tmp_path / "theirs", b"good, official"))
    kept = get()[0].path
    assert images.checksum_file().read_text() == f"{hashlib.sha256(b'good, official').hexdigest()}  {kept.name}\n"
    assert images.find() == kept
    put(kept, b"good, but damaged")  # it would boot
    with pytest.raises(ImageError, match=r"is damaged: .*uf2\.sha256.*; `haipump-emu image` replaces it"):
        images.find()
    found, told = get()
    assert (found.source, kept.read_bytes()) == ("official", b"good, official")
    assert "is damaged" in told[0] and told[0].endswith("it will be replaced") and images.find() == kept


@pytest.mark.parametrize("take", [images.find, lambda: get()[0].path])
def test_an_older_cache_without_a_checksum_is_booted_and_gets_one(places, take):
    kept = put(images.cache_file(), b"good, cached")
    assert take() == kept and images.checksum_file().is_file()
    put(kept, b"good, but damaged")
    with pytest.raises(ImageError, match="damaged"):
        images.find()


def test_an_older_cache_that_does_not_boot_is_refused(places):
    put(images.cache_file(), b"bad")
    with pytest.raises(ImageError, match="is bad; `haipump-emu image` replaces it"):
        images.find()
    assert not images.checksum_file().exists()


def test_a_spoilt_download_is_not_kept_anywhere(places, tmp_path, monkeypatch):
    page = put(tmp_path / "theirs", b"<html>please log in</html>")
    monkeypatch.setattr(official, "fetch", lambda version: page)
    with pytest.raises(ImageError):
        get()
    assert places == ["debian"], "the next place is asked"
    assert not page.exists() and images.find() is None


def test_when_nobody_has_one_every_reason_is_told_and_what_to_do(places):
    with pytest.raises(ImageError, match=r"official: no network; debian: no compiler\).*HAIPUMP_IMAGE") as caught:
        get()
    assert places == ["official", "debian"] and "\n" not in str(caught.value)


def test_a_cache_that_can_not_be_written_is_named(places, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(put(tmp_path / "file", b"")))
    monkeypatch.setattr(official, "fetch", lambda version: put(tmp_path / "theirs", b"good"))
    with pytest.raises(ImageError, match="XDG_CACHE_HOME"):
        get()


def test_the_cache_follows_the_rules_of_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert images.cache_file() == tmp_path / ".cache/haipump/micropython-1.25.0-RPI_PICO.uf2"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert images.cache_file().parent == tmp_path / "elsewhere/haipump"


# --- what is refused


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a UF2 file"),
        (b"MZ" * 512, "no UF2 block"),
        (write_uf2({0: b"\x00" * 8192})[:4096], "8 of 32 blocks"),
        (write_uf2({0: b"\x00" * 8192}), "does not boot"),
        (write_uf2({0: b"\x00" * 4096, PARTITION_START: b"\x00"}), "settings and journal begin at 0x60000"),
        (write_uf2({0: b"\x00" * 4096, 0xA0000: b"\x00"}), "without an application"),
    ],
)
def test_a_file_that_is_no_interpreter_is_refused(tmp_path, data, words):
    with pytest.raises(ImageError, match=words):
        images.inspect(put(tmp_path / "x.uf2", data))


def test_the_image_is_the_right_one(image):
    facts = images.inspect(image)
    assert (facts.version, facts.build) == ("1.25.0", "RPI_PICO")
    assert 0x40000 < facts.end <= PARTITION_START


def test_another_board_is_refused(image, tmp_path):
    """The build name is one of the strings of the image."""
    other = put(tmp_path / "other.uf2", image.read_bytes().replace(b"RPI_PICO\x00", b"RPI_NANO\x00"))
    with pytest.raises(ImageError, match=r"micropython 1\.25\.0 for RPI_NANO; the firmware needs .* for RPI_PICO"):
        images.inspect(other)


def test_another_version_is_refused(image, monkeypatch):
    monkeypatch.setattr(images, "VERSION", "1.26.0")
    with pytest.raises(ImageError, match=r"micropython 1\.25\.0 for RPI_PICO; the firmware needs MicroPython 1\.26\.0"):
        images.inspect(image)


# --- the release, without a network


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty home for rp2040py's cache, and a proxy that takes calls and never answers."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield server


def test_a_network_that_swallows_everything_is_given_up(offline, tmp_path):
    """Takes SILENCE_S of wall clock, on which nothing else depends; without a limit it would be half a minute."""
    with pytest.raises(official.Unreachable, match="timed out"):
        official.fetch("1.25.0")
    assert list(tmp_path.rglob("*.uf2")) == []


def test_a_refused_connection_is_told_at_once(offline):
    offline.close()
    with pytest.raises(official.Unreachable, match="refused"):
        official.fetch("1.25.0")


def test_what_rp2040py_has_in_its_cache_needs_no_network(offline, tmp_path):
    kept = put(tmp_path / ".cache/rp2040py/RPI_PICO-20250415-v1.25.0.uf2", b"from an earlier day")
    assert official.fetch("1.25.0") == kept


def test_a_release_that_does_not_exist_is_told(offline):
    with pytest.raises(official.Unreachable, match="does not have it"):
        official.fetch("0.0.1")


def test_a_download_that_trickles_ends_as_a_timeout(monkeypatch):
    """rp2040py removes what it has of the file when a TimeoutError comes."""
    monkeypatch.setattr(official, "WHOLE_S", 0.0)
    with official._Hurry(SimpleNamespace(read=lambda count: b"x", close=lambda: None)) as response:
        response._timer.join()
        with pytest.raises(TimeoutError):
            response.read(1)


# --- Debian's sources, without a network


def test_the_mirror_is_the_one_that_the_user_names():
    assert debian.mirror({debian.MIRROR: "http://mirror.example/debian"})[0] == "http://mirror.example/debian"


@pytest.mark.parametrize(
    ("targets", "address"),
    [
        (
            "Packages main bookworm-security http://a.example/debian-security/ x:1\n"
            "Translations main bookworm http://b.example/debian/ x:1\n"
            "Packages contrib bookworm http://c.example/debian/ x:1\n"
            "Packages main bookworm-updates http://d.example/debian/ x:1\n"
            "Packages main bookworm http://e.example/mirror/debian/ x:1\n",
            "http://e.example/mirror/debian/",
        ),
        ("Packages main trixie https://e.example/debian-remote/ $(SOURCESENTRY)\n", "https://e.example/debian-remote/"),
    ],
)
def test_the_mirror_is_the_machines_own(monkeypatch, targets, address):
    monkeypatch.setattr(debian, "_run", lambda *call: targets)
    assert debian.mirror({})[0] == address


def test_a_machine_that_is_no_debian_is_told_what_to_name(monkeypatch):
    monkeypatch.setattr(debian, "_run", lambda *call: "Packages main noble http://a.example/ubuntu/ x:1\n")
    with pytest.raises(debian.BuildError, match=debian.MIRROR):
        debian.mirror({})


def test_the_keyring_of_the_mirror_goes_along(tmp_path):
    stanza = "Types: deb\nURIs: {}\nSigned-By: {}\n"
    sources = tmp_path / "x.sources"
    sources.write_text(stanza.format("http://a", "/a.gpg") + "\n" + stanza.format("http://b", "/b.gpg"))
    assert debian._signed_by(f"{sources}:1") == "/a.gpg"
    assert debian._signed_by(f"{sources}:2") == "/b.gpg"
    assert debian._signed_by("/etc/apt/sources.list:3") == ""
    assert debian.apt_source("http://b", "/b.gpg").splitlines() == [
        "Types: deb deb-src",
        "URIs: http://b",
        "Suites: trixie",
        "Components: main",
        "Signed-By: /b.gpg",
    ]
    assert "Signed-By" not in debian.apt_source("http://b", "")


def test_a_missing_compiler_is_named_where_nobody_may_install_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(debian, "_finds", lambda compiler, name: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(debian.BuildError, match=r"sudo apt-get install .*cmake.*libstdc\+\+-arm-none-eabi-newlib"):
        debian._tools(print)


@pytest.mark.parametrize("rights", [[], ["sudo", "-n"]])
def test_what_is_missing_is_installed_where_that_may_be(monkeypatch, rights):
    missing, calls, told = [["cmake", "ninja-build"], []], [], []
    monkeypatch.setattr(debian, "missing_packages", lambda: missing.pop(0))
    monkeypatch.setattr(debian, "root", lambda: list(rights))
    monkeypatch.setattr(debian, "_run", lambda command, *_: calls.append(command))
    debian._tools(told.append)
    assert told == ["debian: installing cmake ninja-build"]
    update, install = calls
    assert update[: len(rights) + 1] == [*rights, "apt-get"] and update[-1] == "update"
    assert install[: len(rights) + 3] == [*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    assert install[-5:] == ["install", "-y", "--no-install-recommends", "cmake", "ninja-build"]
    missing.append([])
    debian._tools(told.append)
    assert len(calls) == 2, "what is there is not installed again, and needs no root"


def test_a_machine_without_apt_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(debian.BuildError, match="no apt-get"):
        debian.build(tmp_path, "1.25.0", "RPI_PICO", print)


def test_a_command_that_fails_is_shown_with_its_last_words(tmp_path):
    with pytest.raises(debian.BuildError, match=r"(?s)failed with 3:\nwarned\nsorry$"):
        debian._run(["sh", "-c", "echo warned; echo sorry >&2; exit 3"], 10, tmp_path)
    with pytest.raises(debian.BuildError, match="no-such-command"):
        debian._run(["no-such-command"], 10, tmp_path)


def test_a_release_with_another_version_is_told(tmp_path):
    put(tmp_path / "micropython_1.26.0+ds.orig.tar.xz", b"")
    with pytest.raises(debian.BuildError, match=r"has no micropython_1\.25\.0.* but: micropython_1\.26\.0"):
        debian._one(tmp_path, "micropython_1.25.0+ds*.orig.tar.*")
