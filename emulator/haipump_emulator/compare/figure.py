"""The comparison as one picture: the world, flow, dose beyond plan, tumour and body, on one axis of time.

Owns: how it looks. Must not: work out facts (`outcome` does), or depend on a clock, a locale or fonts of the machine.

The colours are those of Okabe and Ito, as in the report of the host tools, which this package may not import.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from haipump_emulator.compare.outcome import MEAN_S, TEACHING, WHOLE, Outcome, flow_means, means, planned
from haipump_emulator.compare.run import CONSTANT, PROGRAMMABLE, Course, Therapy
from haipump_emulator.plant.patient import DOSE_RATIO_TEXT, RD_TEXT
from haipump_emulator.plant.surroundings import DAY_S, US_PER_S, Event, Profile

INK, MUTED, FAINT, GRID, PAPER = "#17212b", "#566370", "#a9b4be", "#e6eaee", "#ffffff"
COLORS = {PROGRAMMABLE: "#0072b2", CONSTANT: "#c94f00"}
PLANNED, BAND = "#56687a", "#eef1f4"
PNG_DPI = 150
NOTE_WIDTH = 178  # characters of a line below the panels
NARROW_DAYS = 0.5  # an event shorter than this is marked by a line, not by a band
DAY_US = DAY_S * US_PER_S

RC: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "svg.hashsalt": "haipump compare",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "savefig.facecolor": PAPER,
    "figure.facecolor": PAPER,
}


def draw(
    profile: Profile, therapy: Therapy, constant: Course, programmed: Course, outcome: Outcome
) -> tuple[bytes, bytes]:
    """(PNG, SVG) of the comparison; equal courses give equal bytes."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(dict(RC))  # type: ignore[call-overload]
        figure = Figure(figsize=(12.8, 12.6))
        ratios = {"height_ratios": [0.8, 1.25, 1.1, 1.1, 1.0]}
        panels: Sequence[Axes] = figure.subplots(5, 1, sharex=True, gridspec_kw=ratios)
        figure.subplots_adjust(left=0.065, right=0.93, top=0.888, bottom=0.105, hspace=0.36)
        _heading(figure, outcome)
        for axes in panels:
            _bands(axes, profile.events)
        _world(panels[0], profile)
        _events(panels[0], profile.events)
        courses = (constant, programmed)
        _flow(panels[1], therapy, courses)
        _beyond(panels[2], profile, therapy, courses)
        _concentration(panels[3], profile, therapy, courses, "target", "Tumour")
        _concentration(panels[4], profile, therapy, courses, "systemic", "Systemic")
        panels[4].set_xlim(0, profile.days)
        panels[4].set_xticks(range(profile.days + 1))
        panels[4].set_xlabel("days from the start, 8 in the morning")
        _notes(figure, outcome)
        return _saved(figure)


def _saved(figure: Figure) -> tuple[bytes, bytes]:
    picture, drawing = io.BytesIO(), io.BytesIO()
    figure.savefig(picture, format="png", dpi=PNG_DPI, metadata={"Software": None})
    figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    return picture.getvalue(), drawing.getvalue()


def _heading(figure: Figure, outcome: Outcome) -> None:
    whole = outcome.rows[0]
    figure.text(
        0.065, 0.966,
        f"{whole.title.removeprefix('all ')}, one body: dose off by {whole.constant_percent:+.1f} % with constant"
        f" flow, by {whole.programmable_percent:+.2f} % with the programmable pump",
        fontsize=14.5, fontweight="bold", color=INK,
    )  # fmt: skip
    figure.text(
        0.065, 0.944,
        "An implanted gas-driven pump, and the haipump firmware on its simulated rig, by what arrived in the artery."
        f" {TEACHING}",
        fontsize=9.5, color=MUTED,
    )  # fmt: skip


def _notes(figure: Figure, outcome: Outcome) -> None:
    found = outcome.advantage
    lines = (
        f"Flow and concentrations are means over {MEAN_S // 3_600} h, taken twice; in between the rig's stopper moves"
        " in slips of some 25 µL. Tumour: drug given into the artery over its flow, plus what comes round again.",
        f"{RD_TEXT}: here {found.rd:.0f}. {DOSE_RATIO_TEXT[0].upper()}{DOSE_RATIO_TEXT[1:]}: here"
        f" {found.dose_ratio:.1f}. Both from simulated concentrations at steady state.",
    )
    text = "\n".join(textwrap.fill(line, NOTE_WIDTH) for line in lines)
    figure.text(0.065, 0.056, text, fontsize=8.2, color=MUTED, va="top", linespacing=1.45)


def _bands(axes: Axes, events: Sequence[Event]) -> None:
    for event in events:
        begin, end = event.begin_s / DAY_S, event.end_s / DAY_S
        if end - begin < NARROW_DAYS:
            axes.axvline((begin + end) / 2, color=FAINT, linewidth=1.0, linestyle=(0, (2, 2)))
        else:
            axes.axvspan(begin, end, color=BAND, linewidth=0)


def _events(axes: Axes, events: Sequence[Event]) -> None:
    for event in events:
        middle = (event.begin_s + event.end_s) / 2 / DAY_S
        axes.text(
            middle, 1.27, event.title.replace(", ", ",\n"), transform=axes.get_xaxis_transform(), ha="center",
            va="center", fontsize=8.2, color=MUTED, linespacing=1.15,
        )  # fmt: skip


def _title(axes: Axes, text: str, unit: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", pad=6)
    axes.set_ylabel(unit)


def _world(axes: Axes, profile: Profile) -> None:
    stairs = profile.stairs()
    days = [t_us / DAY_US for t_us, _ in stairs]
    _title(axes, "At the pump", "°C")
    axes.plot(days, [world.temperature_c for _, world in stairs], color="#b0508c", linewidth=1.3)
    axes.set_ylim(36.4, 39.4)
    axes.text(0.004, 0.86, "temperature", transform=axes.transAxes, fontsize=8.5, color="#b0508c", va="top")
    right = axes.twinx()
    right.plot(days, [world.ambient_pa / 1_000 for _, world in stairs], color="#00825f", linewidth=1.3)
    right.set_ylabel("kPa")
    right.set_ylim(70, 104)
    right.grid(False)
    right.text(
        0.996, 0.86, "air pressure", transform=axes.transAxes, fontsize=8.5, color="#00825f", va="top", ha="right"
    )


def _label_end(axes: Axes, course: Course, value: float, text: str, place: float = 0.0) -> None:
    axes.annotate(
        text, (course.t_us[-1] / DAY_US, value), xytext=(6, place), textcoords="offset points", va="center",
        fontsize=8.8, color=COLORS[course.name], annotation_clip=False,
    )  # fmt: skip


def _flow(axes: Axes, therapy: Therapy, courses: Sequence[Course]) -> None:
    _title(axes, "Flow into the artery", "mL/day")
    plan = therapy.rate_nl_per_day / 1e6
    axes.axhline(plan, color=PLANNED, linewidth=1.1, linestyle=(0, (5, 3)), label=f"ordered: {plan:g} mL/day")
    for course in courses:
        days = [t / DAY_US for t in course.t_us[WHOLE]]
        axes.plot(
            days, [value / 1e6 for value in flow_means(course)[WHOLE]], color=COLORS[course.name], linewidth=1.4,
            label=course.name,
        )  # fmt: skip
    axes.set_ylim(0, None)
    axes.legend(loc="lower right", ncols=3, borderaxespad=0.2)


def _beyond(axes: Axes, profile: Profile, therapy: Therapy, courses: Sequence[Course]) -> None:
    _title(axes, "Drug given beyond the plan, in all", "mg")
    plan = planned(profile, therapy).arrived_nl
    axes.axhline(0, color=PLANNED, linewidth=1.1, linestyle=(0, (5, 3)))
    for course in courses:
        beyond = [
            (given - due) * therapy.drug_ng_per_nl / 1e6 for given, due in zip(course.arrived_nl, plan, strict=True)
        ]
        axes.plot([t / DAY_US for t in course.t_us], beyond, color=COLORS[course.name], linewidth=1.6)
        axes.fill_between(
            [t / DAY_US for t in course.t_us], 0, beyond, color=COLORS[course.name], alpha=0.13, linewidth=0
        )
        _label_end(axes, course, beyond[-1], f"{beyond[-1]:+.1f} mg")


def _concentration(
    axes: Axes, profile: Profile, therapy: Therapy, courses: Sequence[Course], name: str, title: str
) -> None:
    plan = means(planned(profile, therapy), name)[WHOLE][-1]
    _title(axes, f"{title} concentration", "µg/L")
    axes.axhline(plan, color=PLANNED, linewidth=1.1, linestyle=(0, (5, 3)))
    for course in courses:
        days = [t / DAY_US for t in course.t_us[WHOLE]]
        axes.plot(days, means(course, name)[WHOLE], color=COLORS[course.name], linewidth=1.4)
    axes.set_ylim(0, None)
    axes.annotate(
        f"plan\n{plan:.3g}", (profile.days, plan), xytext=(6, 0), textcoords="offset points", va="center",
        fontsize=8.8, color=PLANNED, annotation_clip=False,
    )  # fmt: skip
