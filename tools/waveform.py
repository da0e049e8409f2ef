"""The picture in docs/debugging.md: `python -m tools.waveform` runs the chip, and draws what its pins did.

Owns: the run, and what of it is shown how. Must not: show an edge that is not in the file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import vcd

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "waveform.png"
SCENARIO = """
[scenario]
name = "waveform"
about = "a bolus begins, and a driver error ends it"
duration = "9s"

[[timeline]]
at = "2s"
host = "syringe 30mL 30mL"

[[timeline]]
at = "3s"
host = "bolus 0.2mL over 20s"

[[timeline]]
at = "5s"
driver_fault = true

[[timeline]]
at = "8s"
expect = { state = "alarm" }
"""
INK, GRID, SHADE = "#1f2933", "#e4e7eb", "#f5f7fa"
COLOURS = {"motor": "#0b69a3", "input": "#5f3dc4", "red": "#c81e1e", "green": "#1e8449", "sound": "#b7791f"}
ROWS = (
    ("en", "EN (0: on)", "motor"),
    ("dir", "DIR", "motor"),
    ("step", "STEP", "motor"),
    ("diag", "DIAG", "input"),
    ("green", "green", "green"),
    ("red", "red", "red"),
    ("piezo_hz", "piezo", "sound"),
)
HEIGHT = 0.62  # of a trace in its row
BEFORE_NS, AFTER_NS = 20_000_000, 130_000_000  # around the beginning of the bolus


@dataclass(frozen=True)
class Span:
    """A stretch of the time axis in ns; its ticks count from `zero` in units of `unit`."""

    title: str
    start: int
    end: int
    zero: int
    unit: int
    label: str


def record(path: Path) -> vcd.Dump:
    """The run on the chip. Raises CoreError where there is no image."""
    from haipump_emulator import cores
    from haipump_emulator.scenario.run import run_scenario

    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "waveform.toml"
        scenario.write_text(SCENARIO, "utf-8")
        result = run_scenario(scenario, vcd=path, kind=cores.CHIP)
    if not result.passed:
        raise AssertionError(f"the run did not do what the picture shows: {result.checks}")
    return vcd.read(path)


def pieces(changes: Sequence[tuple[int, str | float]], start: int, end: int) -> list[tuple[int, int, str | float]]:
    """(from, to, value) of everything between `start` and `end`."""
    times = [t for t, _ in changes[1:]] + [end]
    found = [(max(t, start), min(over, end), value) for (t, value), over in zip(changes, times, strict=True)]
    return [piece for piece in found if piece[1] > piece[0] or start < piece[0] < end]


def draw(axes: Any, dump: vcd.Dump, span: Span, names: bool) -> None:
    """All rows over one stretch of time."""
    for index, (name, label, kind) in enumerate(ROWS):
        base = len(ROWS) - 1 - index
        if index % 2 == 0:
            axes.axhspan(base - 0.19, base + 0.81, color=SHADE, lw=0, zorder=0)
        if names:
            axes.text(-0.012, base + HEIGHT / 2, label, transform=axes.get_yaxis_transform(), ha="right", va="center")
        if name == "piezo_hz":
            _sound(axes, dump, span, base, COLOURS[kind])
        else:
            _wire(axes, dump.signals[name], span, base, COLOURS[kind])
    axes.set_xlim((span.start - span.zero) / span.unit, (span.end - span.zero) / span.unit)
    axes.set_ylim(-0.25, len(ROWS) - 0.1)
    axes.set_yticks([])
    axes.set_title(span.title, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=7)
    axes.set_xlabel(span.label, fontsize=9)
    axes.tick_params(axis="x", labelsize=8.5, color=GRID)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _wire(axes: Any, changes: Sequence[tuple[int, str | float]], span: Span, base: float, colour: str) -> None:
    xs: list[float] = []
    ys: list[float] = []
    for begin, over, value in pieces(changes, span.start, span.end):
        place = [(t - span.zero) / span.unit for t in (begin, over)]
        level = base + {"0": 0.0, "1": HEIGHT}.get(str(value), HEIGHT / 2)
        xs += place
        ys += [level, level]
        if value == "1":
            axes.fill_between(place, base, level, color=colour, alpha=0.10, lw=0)
        elif value == "z":
            axes.fill_between(place, base, base + HEIGHT, facecolor="none", edgecolor="#9aa5b1", hatch="////", lw=0)
    axes.plot(xs, ys, color=colour, lw=1.2, solid_joinstyle="miter")


def _sound(axes: Any, dump: vcd.Dump, span: Span, base: float, colour: str) -> None:
    """A burst is a square wave in the pin, far too fast for this axis."""
    axes.plot([(t - span.zero) / span.unit for t in (span.start, span.end)], [base, base], color=colour, lw=1.2)
    heard = [piece for piece in pieces(dump.signals["piezo_hz"], span.start, span.end) if piece[2]]
    for number, (begin, over, hz) in enumerate(heard):
        place = [(t - span.zero) / span.unit for t in (begin, over)]
        axes.fill_between(place, base, base + HEIGHT, facecolor=colour, alpha=0.35, edgecolor=colour, lw=1.0)
        if number == 0:
            axes.annotate(
                f"{hz:.0f} Hz",
                (place[0], base + HEIGHT / 2),
                (-4, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8.5,
                color=colour,
            )


def spans(dump: vcd.Dump) -> tuple[Span, Span, Span]:
    """All of it, where the bolus begins, and where the driver's error ends it."""
    on = dump.edges("en", "0")[-1]
    error = dump.edges("diag", "1")[-1]
    ms, s = 1_000_000, 1_000_000_000
    return (
        Span(
            "A bolus, and the driver error that ends it",
            on - 700 * ms,
            error + 3_300 * ms,
            0,
            s,
            "seconds since power-up",
        ),
        Span("EN, DIR, then the first steps", on - BEFORE_NS, on + AFTER_NS, on, ms, "milliseconds after EN"),
        Span(
            "DIAG to motor off, lamp and sounder",
            error - 25 * ms,
            error + 60 * ms,
            error,
            ms,
            "milliseconds after DIAG",
        ),
    )


def picture(dump: vcd.Dump, path: Path) -> None:
    """Draw it into `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    whole, begins, ends = spans(dump)
    with plt.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 9.5,
            "text.color": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "hatch.linewidth": 0.6,
        }
    ):
        figure = plt.figure(figsize=(11, 7.4), dpi=130, facecolor="white")
        grid = figure.add_gridspec(2, 2, left=0.075, right=0.985, top=0.95, bottom=0.075, hspace=0.42, wspace=0.12)
        draw(figure.add_subplot(grid[0, :]), dump, whole, True)
        draw(figure.add_subplot(grid[1, 0]), dump, begins, True)
        right = figure.add_subplot(grid[1, 1])
        draw(right, dump, ends, False)
        off = dump.edges("en", "1")[-1]
        right.annotate(
            f"EN released {(off - ends.zero) / 1e6:.1f} ms after DIAG",
            ((off - ends.zero) / 1e6, 6 + HEIGHT),
            (8, -14),
            textcoords="offset points",
            fontsize=8.5,
            color=COLOURS["motor"],
        )
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def main() -> int:
    """Exit code 0."""
    from haipump_emulator.cores import CoreError

    path = ROOT / "build" / "waveform.vcd"
    path.parent.mkdir(exist_ok=True)
    try:
        picture(record(path), PICTURE)
    except CoreError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{PICTURE.relative_to(ROOT)}, drawn from {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
