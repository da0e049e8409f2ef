"""The years in one picture: what arrived, what the liver's enzymes did, what was decided, what went wrong.

Owns: the drawing. Must not: work anything out that is not in the state.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from tools.years import checks
from tools.years.state import Row, State

INK, DRUG, KEEPER, PAUSE, BAD = "#22303c", "#b5472f", "#7fa7b8", "#c9b458", "#8a1c1c"
COLOURS = {"floxuridine": DRUG, "heparin-saline": KEEPER, "glycerin": PAUSE}
TITLE = "Teaching and bench material, not for clinical use: an emulated pump and an invented patient"


def draw(state: State, path: Path) -> Path:
    """A PNG of all fills; its path."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = state.rows
    figure, axes = pyplot.subplots(
        4, 1, figsize=(12, 9), sharex=True, height_ratios=(3, 3, 2, 1.6), layout="constrained"
    )
    figure.suptitle(TITLE, fontsize=10, color=INK)
    days = [date.fromisoformat(row.date) for row in rows]
    _dose(axes[0], days, rows)
    _enzymes(axes[1], days, rows)
    _ledger(axes[2], days, rows)
    _events(axes[3], days, rows)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", alpha=0.25)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return path


def _dose(axis: Any, days: list[date], rows: list[Row]) -> None:
    for drug, colour in COLOURS.items():
        place = [n for n, row in enumerate(rows) if row.drug == drug]
        if not place:
            continue
        height = [rows[n].given_mg if drug == "floxuridine" else 4 for n in place]
        axis.bar([days[n] for n in place], height, width=13, align="edge", color=colour, label=drug)
    for day, row in zip(days, rows, strict=True):
        if row.planned_drug == "floxuridine" and row.percent < 100:
            axis.annotate(f"{row.percent}" if row.percent else "hold", (day, row.given_mg + 6), fontsize=6, color=INK)
    axis.set_ylabel("floxuridine that\narrived, mg a fill")
    axis.legend(loc="upper right", ncols=3, fontsize=8, frameon=False)
    axis.set_ylim(0, 1.35 * max(30.0, *(row.given_mg for row in rows)))


def _enzymes(axis: Any, days: list[date], rows: list[Row]) -> None:
    for test, colour, label in (("alp", INK, "ALP, U/L"), ("ast", DRUG, "AST, U/L")):
        axis.plot(days, [row.values[test] for row in rows], ".-", color=colour, lw=1, ms=4, label=label)
    axis.set_ylabel("enzymes at\nthe visit")
    axis.legend(loc="upper right", ncols=2, fontsize=8, frameon=False)
    axis.set_ylim(0, 1.3 * max(max(row.values["alp"], row.values["ast"]) for row in rows))


def _ledger(axis: Any, days: list[date], rows: list[Row]) -> None:
    """The pump's range of each fill around the plant's truth, uL."""
    low = [(row.stepped_min_nl - row.true_nl) / checks.NL_PER_UL for row in rows]
    high = [(row.stepped_max_nl - row.true_nl) / checks.NL_PER_UL for row in rows]
    axis.vlines(days, low, high, color=INK, lw=2)
    axis.plot(days, low, "_", color=INK, ms=5)
    axis.axhline(0, color=KEEPER, lw=1)
    axis.set_ylabel("ledger less\nplant, uL")


def _events(axis: Any, days: list[date], rows: list[Row]) -> None:
    kinds = (
        ("power cuts", lambda row: row.cuts > 0),
        ("alarms", lambda row: any(name != "power_lost" for name in row.alarms)),
        ("complications", lambda row: bool(row.happened)),
        ("found", lambda row: bool(row.found)),
    )
    for place, (_, counts) in enumerate(kinds):
        at = [day for day, row in zip(days, rows, strict=True) if counts(row)]
        axis.plot(at, [-place] * len(at), "o", color=(KEEPER, BAD, BAD, INK)[place], ms=5)
    axis.set_yticks([-n for n in range(len(kinds))], [name for name, _ in kinds])
    axis.set_ylim(-len(kinds) + 0.5, 0.5)
