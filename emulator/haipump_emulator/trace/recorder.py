"""The recorder: a listener of a core that writes what happens to a file.

Owns: what is recorded and how often. Must not: change the run (it only asks `plant.truth`, which costs no time), or
know a scenario beyond its name and text.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import zlib
from pathlib import Path
from typing import Any

from haipump_emulator.trace.doors import Core, Doors
from haipump_emulator.trace.format import Header, Writer

SAMPLE_US = 60_000_000  # true pressure, at most this often
SNAPSHOT_US = 600_000_000  # everything the plant knows, at most this often
STEPS_MAX = 1024  # steps held back before they become one line
SYNC_RECORDS = 256  # lines between two syncs


class Recorder:
    """Records `core` into `path` from now on until `close`.

    Steps, bytes, events and inputs are all kept; pressure and truth are sampled when something happens, at most every
    `sample_us` and `snapshot_us`, never at moments of the caller's choosing: so two equal runs make equal recordings
    however their callers cut time into pieces.
    """

    def __init__(
        self,
        core: Core,
        path: str | Path,
        *,
        seed: int = 0,
        core_options: dict[str, Any] | None = None,
        scenario: str = "",
        scenario_text: str = "",
        sample_us: int = SAMPLE_US,
        snapshot_us: int = SNAPSHOT_US,
    ) -> None:
        self._core = core
        self._truth = core.plant.truth
        self._fields = [f.name for f in dataclasses.fields(self._truth(core.now_us)) if f.name != "t_us"]
        self._sample_us, self._snapshot_us = sample_us, snapshot_us
        self._sample_due = self._snapshot_due = core.now_us
        self._due = core.now_us
        self._direction = 0
        self._times: list[int] = []
        self._unsynced = 0
        header = Header(
            package=_package_version(),
            seed=seed,
            scenario=scenario,
            scenario_text=scenario_text,
            params=_params(core.plant),
            firmware=firmware_hash(),
            core=dict(core_options or {}),
            flash=pack_flash(bytes(core.flash)) if core.flash is not None else "",
            start_us=core.now_us,
            sample_us=sample_us,
            snapshot_us=snapshot_us,
        )
        self._writer: Writer | None = Writer(Path(path), header)
        if core.output:  # what the pump said while it booted
            self.on_bytes(core.now_us, "out", bytes(core.output))
        self._doors = Doors(core, self._on_input)
        core.listeners.append(self)

    def on_step(self, t_us: int, direction: int) -> None:
        """One step of the motor. The hot path: an append and two compares."""
        times = self._times
        if direction != self._direction or len(times) >= STEPS_MAX:
            self._flush_steps()
            self._direction = direction
        times.append(t_us)
        if t_us >= self._due:
            self._sample(t_us)

    def on_bytes(self, t_us: int, direction: str, data: bytes) -> None:
        """Bytes on the serial line; those going in are taken at the door."""
        if direction == "out":
            self._write(["out", t_us, bytes(data).decode("latin-1")])

    def on_event(self, t_us: int, name: str, fields: dict[str, Any]) -> None:
        """What the outputs of the board did."""
        self._write(["event", t_us, name, fields])
        if t_us >= self._due:
            self._sample(t_us)

    def close(self) -> None:
        """Take a last sample, end the file and leave the core alone; safe to call twice."""
        if self._writer is None:
            return
        self._core.listeners.remove(self)
        self._doors.close()
        now_us = self._core.now_us
        self._sample_due = self._snapshot_due = now_us
        self._sample(now_us)
        self._write(["end", now_us])
        self._writer.close()
        self._writer = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _on_input(self, t_us: int, name: str, arguments: dict[str, Any]) -> None:
        kept = {k: bytes(v).decode("latin-1") if isinstance(v, (bytes, bytearray)) else v for k, v in arguments.items()}
        self._write(["input", t_us, name, kept])

    def _write(self, record: list[Any]) -> None:
        self._flush_steps()
        self._put(record)

    def _put(self, record: list[Any]) -> None:
        writer = self._writer
        if writer is None:
            return
        writer.write(record)
        self._unsynced += 1
        if self._unsynced >= SYNC_RECORDS:
            self._unsynced = 0
            writer.sync()

    def _flush_steps(self) -> None:
        times = self._times
        if times:
            gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
            self._put(["step", times[0], self._direction, gaps])
            times.clear()

    def _sample(self, t_us: int) -> None:
        truth = self._truth(t_us)
        if t_us >= self._sample_due:
            self._put(["pressure", t_us, round(truth.pressure_pa)])
            self._sample_due = t_us + self._sample_us
        if t_us >= self._snapshot_due:
            self._put(["truth", t_us, {name: _tidy(getattr(truth, name)) for name in self._fields}])
            self._snapshot_due = t_us + self._snapshot_us
        self._due = min(self._sample_due, self._snapshot_due)


def _tidy(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def _params(plant: Any) -> dict[str, Any]:
    params = getattr(plant, "params", None)
    return dataclasses.asdict(params) if dataclasses.is_dataclass(params) and not isinstance(params, type) else {}


def _package_version() -> str:
    try:
        return importlib.metadata.version("haipump")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # a checkout that was never installed


def pack_flash(flash: bytes) -> str:
    """Flash contents as text; an erased one is the empty text."""
    if flash.count(0xFF) == len(flash):
        return ""
    return base64.b64encode(zlib.compress(flash, 9)).decode("ascii")


def unpack_flash(text: str) -> bytes | None:
    """The inverse of `pack_flash`; None for an erased flash."""
    return zlib.decompress(base64.b64decode(text)) if text else None


def firmware_hash() -> str:
    """SHA-256 (16 hex digits) over names and contents of the firmware's source files."""
    spec = importlib.util.find_spec("haipump_fw")
    if spec is None or not spec.submodule_search_locations:
        return ""
    root = Path(spec.submodule_search_locations[0])
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
