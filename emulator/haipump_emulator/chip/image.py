"""The MicroPython image that the chip boots: where to get it, and the proof that it is the right one.

Owns: the order of places, the user's cache, what an image must be. Must not: change an image, or take one in silence
that the user did not mean: a named file is used or refused, never passed over.

Beside the image in the cache stands the SHA-256 that it had when it had been booted, as `sha256sum` writes it. A
damaged image may well boot and go wrong later, so it is looked at whenever the image is taken from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from haipump_emulator.chip import debian, official
from haipump_emulator.chip.core import ChipCore
from haipump_emulator.chip.flash import PARTITION_START
from haipump_emulator.chip.uf2 import read_uf2

VERSION = "1.25.0"
BUILD = "RPI_PICO"
ENVIRONMENT = "HAIPUMP_IMAGE"
HOW_TO_GET_ONE = "`haipump-emu image` gets one (in a checkout: make image)"

_BOOT_US = 3_000_000  # simulated; an empty file system is made in the first second of a new board
_SLICE_US = 10_000
_PROMPT = b">>> "
_ASK = b"import sys; i=sys.implementation; print('is', i.name, '%d.%d.%d%s' % i.version, getattr(i, '_build', '-'))\r"
_ANSWER = re.compile(rb"\nis (\S+) (\S+) (\S+)\r\n")


class ImageError(Exception):
    """An image that can't be used, or none to be had; the message says why and what to do."""


@dataclass(frozen=True)
class Facts:
    """What an image says of itself once it runs. `end`: flash offset behind its last byte."""

    version: str
    build: str
    end: int
    sha256: str


@dataclass(frozen=True)
class Image:
    """An image that was booted and is the right one. `source`: named, cache, official or debian."""

    path: Path
    source: str
    facts: Facts


def cache_file() -> Path:
    """Where the image of this user is kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules ignore a relative path there.
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return folder / "haipump" / f"micropython-{VERSION}-{BUILD}.uf2"


def checksum_file() -> Path:
    """Where the SHA-256 of the image in the cache is kept."""
    return cache_file().with_suffix(".uf2.sha256")


def named(path: Path | None) -> Path | None:
    """The file that the user names: `path`, else what $HAIPUMP_IMAGE says. Raises ImageError when it is not there."""
    if path is None and os.environ.get(ENVIRONMENT):
        path = Path(os.environ[ENVIRONMENT])
    if path is not None and not path.is_file():
        raise ImageError(f"there is no image {path}: correct --image or ${ENVIRONMENT}, or leave it out")
    return path


def find(path: Path | None = None) -> Path | None:
    """The image to boot, if there is one: named, else in the cache. Takes no time: nothing is downloaded or built, and
    booted only what an older version put into the cache. Raises ImageError for a named file that is not there, and for
    one in the cache that is damaged."""
    chosen = named(path)
    if chosen is None and cache_file().is_file():
        chosen = cache_file()
        try:
            _check(chosen)
        except ImageError as error:
            raise ImageError(f"{error}; `haipump-emu image` replaces it") from None
    return chosen


def _check(kept: Path) -> None:
    """The image in the cache is the one that was put there. Raises ImageError."""
    try:
        found = hashlib.sha256(kept.read_bytes()).hexdigest()
        expected = checksum_file().read_text("ascii", "replace").split()[:1]
    except FileNotFoundError:  # older versions wrote none
        inspect(kept)
        with contextlib.suppress(OSError):  # a cache that is for reading only: it is booted each time
            _write_checksum(kept)
        return
    except OSError as error:
        raise ImageError(f"can't read {kept}: {error.strerror or error}") from None
    if expected != [found]:
        raise ImageError(f"{kept} is damaged: it is not what {checksum_file().name} beside it says")


def _write_checksum(image: Path) -> None:
    """Of what is, or will be, the image in the cache. Raises OSError."""
    kept = checksum_file()
    beside = kept.with_name(f"{kept.name}.{os.getpid()}")
    try:
        beside.write_text(f"{hashlib.sha256(image.read_bytes()).hexdigest()}  {cache_file().name}\n", "ascii")
        os.replace(beside, kept)
    finally:
        beside.unlink(missing_ok=True)


def inspect(path: Path) -> Facts:
    """Boot the image on an emulated chip and ask it who it is: a tenth of a second. Raises ImageError."""
    try:
        data = path.read_bytes()
        flash = read_uf2(path)
    except (OSError, ValueError) as error:
        raise ImageError(str(error)) from None
    end = len(flash.rstrip(b"\xff"))
    if end > PARTITION_START:
        raise ImageError(
            f"{path} reaches up to {end:#x} in flash, but settings and journal begin at {PARTITION_START:#x}; "
            "name the plain MicroPython, without an application"
        )
    try:
        answer = _ask(path)
    except Exception as error:  # the emulator's own, of any kind: the bytes were no program
        raise ImageError(f"{path} does not boot: {error}") from None
    if answer is None:
        raise ImageError(f"{path} does not boot: no MicroPython prompt within {_BOOT_US // 1_000_000} simulated s")
    name, version, build = (word.decode(errors="replace") for word in answer.groups())
    if (name, version, build) != ("micropython", VERSION, BUILD):
        raise ImageError(
            f"{path} is {name} {version} for {build}; the firmware needs MicroPython {VERSION} for {BUILD}"
        )
    return Facts(version, build, end, hashlib.sha256(data).hexdigest())


def _ask(path: Path) -> re.Match[bytes] | None:
    core = ChipCore(image=path)
    asked = False
    while core.now_us < _BOOT_US and not core.lockups:
        core.run_until(core.now_us + _SLICE_US)
        if answer := _ANSWER.search(core.output):
            return answer
        if not asked:
            # The first prompt comes before anybody listens; an empty line brings another.
            asked = core.output.endswith(_PROMPT)
            core.send(_ASK if asked else b"\r")
    return None


def get(path: Path | None, tell: Callable[[str], None]) -> Image:
    """Named, cache, official release, Debian sources: the first that gives the right image, which is then kept in the
    cache. `tell` hears which and why. Raises ImageError: nothing named may be wrong, and one place must have it."""
    chosen = named(path)
    if chosen is not None:
        return Image(chosen, "named", inspect(chosen))
    kept = cache_file()
    if kept.is_file():
        try:
            _check(kept)
            return Image(kept, "cache", inspect(kept))
        except ImageError as error:
            tell(f"cache: {error}; it will be replaced")
    else:
        tell(f"cache: nothing at {kept}")
    try:
        return _fetch(kept, tell)
    except OSError as error:
        place = error.filename or kept
        raise ImageError(
            f"can't write {place} ({error.strerror}): set XDG_CACHE_HOME, or TMPDIR, to a folder with room"
        ) from None


def _fetch(kept: Path, tell: Callable[[str], None]) -> Image:
    reasons = []
    for source, place in (("official", _official), ("debian", _debian)):
        try:
            with place(tell) as fresh:
                facts = inspect(fresh)
                _keep(fresh, kept)
            return Image(kept, source, facts)
        except (ImageError, official.Unreachable, debian.BuildError) as error:
            tell(f"{source}: {error}")
            reasons.append(f"{source}: {str(error).splitlines()[0]}")
    raise ImageError(
        f"no MicroPython {VERSION} for {BUILD} can be had here ({'; '.join(reasons)}): try again with internet access, "
        f"or bring its UF2 file from another machine and name it with --image or ${ENVIRONMENT}"
    )


@contextlib.contextmanager
def _official(tell: Callable[[str], None]) -> Iterator[Path]:
    tell("official: asking for the release")
    fresh = official.fetch(VERSION)
    try:
        yield fresh
    except ImageError:
        fresh.unlink(missing_ok=True)  # what came was no image, and would come from its cache the next time
        raise


@contextlib.contextmanager
def _debian(tell: Callable[[str], None]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="haipump-image-") as folder:
        yield debian.build(Path(folder), VERSION, BUILD, tell)


def _keep(fresh: Path, kept: Path) -> None:
    """Into the cache, whole or not at all. Raises OSError."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    beside = kept.with_name(f"{kept.name}.{os.getpid()}")
    try:
        shutil.copyfile(fresh, beside)
        _write_checksum(beside)  # first: an image never stands there without it
        os.replace(beside, kept)
    finally:
        beside.unlink(missing_ok=True)
