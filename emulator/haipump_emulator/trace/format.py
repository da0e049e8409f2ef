"""The file of a recording: gzip'd JSON Lines, one header and then one array per record.

Owns: the layout, its writer and its reader. Must not: know a core, or decide what is recorded.

    {"haipump_trace": 1, ...}                    header, see `Header`
    ["step", t_us, direction, [gap_us, ...]]     a run of steps in one direction: the first one's time, then the gaps
    ["input", t_us, name, {arguments}]           what entered the core; bytes as latin-1 text
    ["out", t_us, text]                          bytes that the pump wrote, latin-1
    ["event", t_us, name, {fields}]              enable, led, tone, reset, power
    ["pressure", t_us, pa]                       true line pressure, pascals
    ["truth", t_us, {fields}]                    everything the plant knows
    ["end", t_us]

Why not SQLite: a million inserts cost seconds and 20 MB; a run of gaps is one short line that zlib likes, `zcat` shows
it, and a file cut off by a crash can still be read up to its last sync. The gzip header carries neither time nor name,
so that equal runs make equal bytes.
"""

from __future__ import annotations

import gzip
import json
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

VERSION = 1
KINDS = ("input", "step", "out", "event", "pressure", "truth")
_MAGIC = "haipump_trace"


class TraceError(Exception):
    """A recording that can't be used: what is wrong with which file, and what to do."""


@dataclass(frozen=True)
class Header:
    """What is needed to do the run again, and to know what it was.

    `params` are the plant's parameters by name, `core` the arguments of the core factory, `flash` the flash bytes at
    the start (zlib, base64; "" is erased). `start_us` is when recording began: later than a core needs to boot, and it
    can't be replayed. `sample_us` and `snapshot_us` are the periods of pressure and truth.
    """

    package: str = ""
    seed: int = 0
    scenario: str = ""
    scenario_text: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    firmware: str = ""
    core: dict[str, Any] = field(default_factory=dict)
    flash: str = ""
    start_us: int = 0
    sample_us: int = 0
    snapshot_us: int = 0


class Writer:
    """Appends records to a file. `sync` makes what was written so far readable after a crash."""

    def __init__(self, path: Path, header: Header) -> None:
        self._raw: IO[bytes] = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=self._raw, mtime=0)
        self._encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
        self.write({_MAGIC: VERSION, **asdict(header)})

    def write(self, record: object) -> None:
        """One record as one line."""
        self._gzip.write(self._encode(record).encode("ascii") + b"\n")

    def sync(self) -> None:
        """Push everything written so far into the file."""
        self._gzip.flush(zlib.Z_SYNC_FLUSH)

    def close(self) -> None:
        """End the file properly."""
        self._gzip.close()
        self._raw.close()


@dataclass
class Trace:
    """A recording in memory. Times are simulated microseconds since the emulator started."""

    header: Header
    step_times: array[int] = field(default_factory=lambda: array("q"))
    step_directions: array[int] = field(default_factory=lambda: array("b"))
    inputs: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    out: list[tuple[int, str]] = field(default_factory=list)
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    pressures: list[tuple[int, int]] = field(default_factory=list)
    truths: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    end_us: int = 0
    complete: bool = False

    def stream(self, kind: str) -> list[tuple[Any, ...]] | Iterator[tuple[Any, ...]]:
        """The records of one of `KINDS` in order, each a tuple that starts with its time."""
        if kind == "step":
            return zip(self.step_times, self.step_directions, strict=True)
        return {
            "input": self.inputs,
            "out": self.out,
            "event": self.events,
            "pressure": self.pressures,
            "truth": self.truths,
        }[kind]

    def count(self, kind: str) -> int:
        """How many records of one of `KINDS` there are."""
        return len(self.step_times) if kind == "step" else len(list(self.stream(kind)))

    def lines(self) -> Iterator[tuple[int, str, str]]:
        """What went over the serial line, whole lines: (time of the last byte, "in" or "out", text without LF)."""
        conversation = [(t, "out", text) for t, text in self.out]
        conversation += [(t, "in", a["data"]) for t, name, a in self.inputs if name == "send"]
        conversation.sort(key=lambda item: item[0])
        rest = {"in": "", "out": ""}
        for t_us, way, text in conversation:
            *whole, rest[way] = (rest[way] + text).split("\n")
            for line in whole:
                yield t_us, way, line
        for way, text in rest.items():
            if text:
                yield self.end_us, way, text


def load(path: Path) -> Trace:
    """Read a recording; one that was cut off is read as far as it goes and has `complete` False. Raises TraceError."""
    lines = _lines(path)
    header = _header(path, next(lines, None))
    trace = Trace(header)
    for number, line in enumerate(lines, start=2):
        try:
            _take(trace, json.loads(line))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise TraceError(f"{path}:{number}: not a record of a recording ({error}): {line[:60]!r}") from None
    return trace


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # else the writer died in the middle of it
                    yield line.decode("ascii")
    except EOFError:
        return  # cut off: what came before is good
    except FileNotFoundError:
        raise TraceError(f"{path}: no such recording; make one with `haipump-emu run --record {path}`") from None
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: can't be read as a recording: {error}") from None


def _header(path: Path, line: str | None) -> Header:
    try:
        found = json.loads(line or "")
        version = found.pop(_MAGIC)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise TraceError(f"{path}: not a recording of haipump-emu (no header)") from None
    if version != VERSION:
        raise TraceError(f"{path}: recording of format {version}, this program reads {VERSION}; record it again")
    known = {f.name for f in fields(Header)}
    return Header(**{name: value for name, value in found.items() if name in known})


def _take(trace: Trace, record: list[Any]) -> None:
    kind, t_us = record[0], record[1]
    if kind == "step":
        direction, gaps = record[2], record[3]
        times = trace.step_times
        times.append(t_us)
        for gap in gaps:
            t_us += gap
            times.append(t_us)
        trace.step_directions.extend([direction] * (len(gaps) + 1))
    elif kind == "out":
        trace.out.append((t_us, record[2]))
    elif kind == "input":
        trace.inputs.append((t_us, record[2], record[3]))
    elif kind == "event":
        trace.events.append((t_us, record[2], record[3]))
    elif kind == "pressure":
        trace.pressures.append((t_us, record[2]))
    elif kind == "truth":
        trace.truths.append((t_us, record[2]))
    elif kind == "end":
        trace.complete = True
    else:
        raise ValueError(f"unknown kind {kind!r}")
    trace.end_us = max(trace.end_us, t_us)
