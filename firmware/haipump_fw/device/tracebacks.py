"""Tracebacks of a device, with the lines of the sources that they speak of. Desktop only, not on a Pico.

Owns: finding a traceback in what a device prints, and the way from its module names to these sources. Must not: guess:
for a device that runs other sources, leave the lines out.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from haipump_fw.device import AS_SOURCE, PACKAGE

FRAMES_MAX = 64
_BEGINS = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "([^"]+)", line (\d+)(?:, in (.+))?')


@dataclass(frozen=True)
class Frame:
    """One call. `file`: None for what is no file of ours; `text`: the line, "" when there is none."""

    name: str
    line: int
    function: str
    file: Path | None
    text: str

    def __str__(self) -> str:
        """As editors and terminals take it, relative to the folder that one is in."""
        place = self.name
        if self.file is not None:
            here = Path.cwd()
            place = str(self.file.relative_to(here) if self.file.is_relative_to(here) else self.file)
        return f"{place}:{self.line}" + (f" in {self.function}" if self.function else "")


@dataclass(frozen=True)
class Traceback:
    """What a device raised: `frames` from the outermost call inwards, `error` as it says it."""

    frames: tuple[Frame, ...]
    error: str


@cache
def source(name: str) -> Path | None:
    """The source of what a traceback calls `name`: a dotted module, or boot.py and main.py."""
    package = Path(__file__).resolve().parents[1]
    if name in AS_SOURCE:
        places = [package.parent / name, package / "device" / name]
    elif name.partition(".")[0] == PACKAGE:
        path = package.parent.joinpath(*name.split("."))
        places = [path.with_suffix(".py"), path / "__init__.py"]
    else:
        places = []
    return next((place for place in places if place.is_file()), None)


def frame(name: str, line: int, function: str, sources: bool = True) -> Frame:
    """One call with its source; `sources` False: without, because the device runs another version."""
    file = source(name) if sources else None
    lines = file.read_text("utf-8").splitlines() if file is not None else []
    text = lines[line - 1].strip() if 1 <= line <= len(lines) else ""
    return Frame(name, line, function, file, text)


class Finder:
    """`feed` it what a device prints; it returns the tracebacks that are complete with that."""

    def __init__(self, sources: bool = True) -> None:
        self._sources = sources
        self._rest = ""
        self._frames: list[Frame] | None = None

    def feed(self, data: bytes) -> list[Traceback]:
        *lines, rest = (self._rest + data.decode("latin-1")).split("\n")
        self._rest = rest[-1_000:]
        found = []
        for line in lines:
            line = line.rstrip("\r")
            match = _FRAME.fullmatch(line)
            if line.endswith(_BEGINS):  # what it was about to say may stand before it
                self._frames = []
            elif self._frames is None:
                continue
            elif match and len(self._frames) < FRAMES_MAX:
                self._frames.append(frame(match[1], int(match[2]), match[3] or "", self._sources))
            else:
                found.append(Traceback(tuple(self._frames), line))
                self._frames = None
        return found
