"""Do a recorded run again on a fresh core, and see whether it comes out the same.

Owns: feeding recorded inputs at their recorded times. Must not: know a scenario, or which core it drives beyond the
factory that it is given.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haipump_emulator.trace.compare import Difference, clock_text, compare
from haipump_emulator.trace.doors import Core, discard_output, enter
from haipump_emulator.trace.format import Trace, TraceError, load
from haipump_emulator.trace.recorder import Recorder, firmware_hash, unpack_flash

CHUNK_US = 60_000_000  # output is looked after at least this often

PlantFactory = Callable[[dict[str, Any], int], Any]
CoreFactory = Callable[..., Core]


@dataclass(frozen=True)
class Replay:
    """`difference` is None when the run came out the same. `notes` say what else was not as it was then."""

    difference: Difference | None
    notes: list[str]


def replay(trace: Trace, core_factory: CoreFactory, plant_factory: PlantFactory, *, keep: Path | None = None) -> Replay:
    """Feed the inputs of `trace` to a fresh core with the same seed, parameters and flash; compare what comes out.

    `keep` is where the new recording goes (else it is thrown away). Raises TraceError when `trace` can't be replayed.
    """
    with tempfile.TemporaryDirectory(prefix="haipump-replay-") as folder:
        path = keep or Path(folder) / "replay.trace"
        run_again(trace, core_factory, plant_factory, path)
        difference = compare(trace, load(path))
    return Replay(difference, _notes(trace))


def run_again(trace: Trace, core_factory: CoreFactory, plant_factory: PlantFactory, path: Path) -> None:
    """The run of `replay`, recorded to `path`."""
    header = trace.header
    plant = plant_factory(header.params, header.seed)
    core = core_factory(plant, seed=header.seed, flash=unpack_flash(header.flash), **header.core)
    if core.now_us != header.start_us:
        raise TraceError("this recording began in the middle of a run and can't be replayed; record from the start")
    recorder = Recorder(
        core,
        path,
        seed=header.seed,
        core_options=header.core,
        scenario=header.scenario,
        scenario_text=header.scenario_text,
        sample_us=header.sample_us,
        snapshot_us=header.snapshot_us,
    )
    with recorder:
        for t_us, name, arguments in trace.inputs:
            _run_to(core, t_us)
            _enter(core, t_us, name, arguments)
        _run_to(core, trace.end_us)


def _enter(core: Core, t_us: int, name: str, arguments: dict[str, Any]) -> None:
    """Raises TraceError for an input that this core or plant refuses."""
    try:
        enter(core, t_us, name, {k: _restored(name, v) for k, v in arguments.items()})
    except (ValueError, ArithmeticError, TypeError, AttributeError) as error:
        given = " ".join(f"{k}={v}" for k, v in arguments.items())
        raise TraceError(
            f"the input `{name} {given}` at {clock_text(t_us)} is refused here ({error}), so this recording can't be "
            "replayed; record the run again"
        ) from None


def _restored(name: str, value: Any) -> Any:
    return value.encode("latin-1") if name == "send" else value


def _run_to(core: Core, t_us: int) -> None:
    while core.now_us < t_us:
        core.run_until(min(t_us, core.now_us + CHUNK_US))
        discard_output(core)


def _notes(trace: Trace) -> list[str]:
    notes = []
    if trace.header.firmware and trace.header.firmware != firmware_hash():
        notes.append(f"another firmware now: recorded with {trace.header.firmware}, this is {firmware_hash()}")
    if not trace.complete:
        notes.append("the recording was cut off; replayed as far as it goes")
    return notes
