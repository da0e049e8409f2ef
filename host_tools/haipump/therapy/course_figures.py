"""The figures of a course's report, each as SVG for the page and PNG beside it.

Owns: how a course looks. Must not: work out facts (`course_facts` does). Floats are for drawing only. What makes the
same file the same picture on every machine is taken from the report of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from haipump.quantities import SECONDS_PER_DAY
from haipump.report import style
from haipump.report.figures import RC, WIDE, blank, legend, saved, titled
from haipump.therapy.course_facts import Course, Day, Refill
from haipump.therapy.findings import BOUNDS, KINDS, LEVELS

ML, MG = 1e6, 1e6  # nL, ng
LEVEL_COLORS: Mapping[str, str] = dict(
    zip(LEVELS, (style.GOOD, style.UNKNOWN, style.WARN, style.ALARM, style.ALARM), strict=True)
)
DRUGS = (style.STEPPED, style.PRESSURE, style.BOLUS, style.CONFIRMED, style.RESERVOIR)


def draw(course: Course) -> dict[str, tuple[str, bytes]]:
    """{name: (SVG, PNG)} of every figure, in the page's order."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(dict(RC))  # type: ignore[call-overload]
        makers: Sequence[tuple[str, Callable[[Course], Figure]]] = (
            ("dose", dose), ("flow", flow), ("residual", residual),
        )  # fmt: skip
        return {name: saved(make(course), name) for name, make in makers}


def drug_colors(course: Course) -> dict[str, str]:
    """One colour per drug, in the order in which they were given."""
    drugs = dict.fromkeys(row["drug"] for row in course.fills)
    return {drug: DRUGS[index % len(DRUGS)] for index, drug in enumerate(drugs)}


def _days(axes: Axes, course: Course, label: bool) -> None:
    days = max(1.0, course.end_s / SECONDS_PER_DAY)
    axes.set_xlim(-0.012 * days, 1.012 * days)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=14, integer=True, steps=[1, 2, 7, 10]))
    if label:
        axes.set_xlabel(f"days since {course.zero.day} {course.zero:%B %Y, %H:%M} UTC")


def _visits(axes: Axes, course: Course) -> None:
    for row in course.visits:
        axes.axvline(course.at_s(row["at_utc"]) / SECONDS_PER_DAY, color=style.FAINT, linewidth=0.9, zorder=0.8)


def _empty(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=style.MUTED)


def dose(course: Course) -> Figure:
    """Per day: what was delivered, by drug, against what was planned; below it as mass where the drug has one."""
    mass = any(day.planned_ng or day.delivered_ng for day in course.days)
    figure = blank(WIDE, 6.2 if mass else 3.6)
    panels = figure.subplots(2 if mass else 1, 1, sharex=True, squeeze=False)[:, 0]
    _per_day(panels[0], course, "Delivered per day against plan", "mL/day", _volumes, ML)
    if mass:
        _per_day(panels[1], course, "Drug per day against plan", "mg/day", _masses, MG)
        panels[0].tick_params(labelbottom=False)
        panels[0].set_xlabel("")
    return figure


def _volumes(day: Day) -> tuple[Fraction | None, Fraction, str]:
    return day.delivered_nl, day.planned_nl, day.drug


def _masses(day: Day) -> tuple[Fraction | None, Fraction, str]:
    return day.delivered_ng, day.planned_ng, day.dosed


def _per_day(axes: Axes, course: Course, title: str, unit: str, values: Callable, scale: float) -> None:
    titled(axes, title, unit)
    axes.set_ylabel(unit)
    colors = drug_colors(course)
    for drug, color in colors.items():
        days = [day for day in course.days if values(day)[2] == drug and values(day)[0]]
        if days:
            axes.bar(
                [day.number + 0.5 for day in days], [float(values(day)[0]) / scale for day in days], width=0.86,
                color=color, alpha=0.8, linewidth=0, label=drug.replace("_", "-"), zorder=2,
            )  # fmt: skip
    if course.days:
        planned = [float(values(day)[1]) / scale for day in course.days]
        axes.stairs(planned, range(len(planned) + 1), color=style.INK, linewidth=1.5, label="planned", zorder=3)
    unknown = [day.number for day in course.days if day.delivered_nl is None]
    if unknown:
        axes.axvspan(
            unknown[0],
            unknown[-1] + 1,
            facecolor=style.WASH,
            edgecolor=style.FAINT,
            hatch="////",
            linewidth=0,
            zorder=0.5,
        )
        axes.annotate(
            "known at the next refill", ((unknown[0] + unknown[-1] + 1) / 2, 0.5), xycoords=("data", "axes fraction"),
            ha="center", va="center", fontsize=8.5, color=style.MUTED, zorder=4,
            bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 2},
        )  # fmt: skip
    if not any(values(day)[0] for day in course.days):
        _empty(axes, "" if unknown else "nothing was delivered")
    axes.set_ylim(bottom=0)
    axes.margins(y=0.12)
    _visits(axes, course)
    _days(axes, course, label=True)
    if course.days:
        legend(axes)


def _level(refill: Refill) -> str:
    """The worst of what was found about flow and residual."""
    levels = [KINDS[kind][0] for kind in refill.kinds if kind in KINDS and kind not in ("pocket", "blocked")]
    return max(levels, key=LEVELS.index, default="accept")


def flow(course: Course) -> Figure:
    """Actual flow of every interval with its uncertainty, the reference with its bounds, and from where it counts."""
    figure = blank(WIDE, 3.9)
    axes = figure.subplots()
    titled(axes, "Actual flow at each refill", "mL/day; bars: one standard uncertainty")
    axes.set_ylabel("mL/day")
    _visits(axes, course)
    for number, one in enumerate(course.refills):
        start, end = (one.at_s - one.elapsed_s) / SECONDS_PER_DAY, one.at_s / SECONDS_PER_DAY
        reference = float(one.reference_nl_per_day) / ML
        wide, bound = max(float(one.limit), 0.15), float(BOUNDS["accept"][0])
        names = number == 0
        for share, color, alpha, text in (
            (wide, style.WARN, 0.13, "from here on an error counts"),
            (bound, style.GOOD, 0.22, "within 10 % of the reference"),
        ):
            axes.fill_between(
                [start, end], reference * (1 - share), reference * (1 + share), color=color, alpha=alpha, linewidth=0,
                label=text if names else None, zorder=1,
            )  # fmt: skip
        axes.plot([start, end], [reference] * 2, color=style.INK, linewidth=1.4, zorder=2,
                  label="reference" if names else None)  # fmt: skip
        label = one.label_nl_per_day / ML
        axes.plot([start, end], [label] * 2, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=2,
                  label="label" if names else None)  # fmt: skip
        if one.flow_known:
            _point(axes, one, end, reference)
    if not course.refills:
        _empty(axes, "known from the second visit on")
    else:
        flows = [float(one.flow_nl_per_day) / ML for one in course.refills if one.flow_known] or [0.0]
        axes.set_ylim(bottom=min(0.0, *flows) if min(flows) < 0.4 * flows[0] else None)
        axes.margins(y=0.12)
        legend(axes, right=0.78)
    _days(axes, course, label=True)
    return figure


def _point(axes: Axes, one: Refill, x: float, reference: float) -> None:
    level = _level(one)
    value, u = float(one.flow_nl_per_day) / ML, float(one.u_error) * reference
    axes.errorbar(
        [x], [value], yerr=[u], fmt="o", color=LEVEL_COLORS[level], markersize=7, capsize=3, elinewidth=1.4, zorder=5
    )
    words = [kind for kind in one.kinds if KINDS[kind][0] not in ("accept", "note")]
    words.sort(key=lambda kind: kind not in ("fast", "slow", "flag", "dry"))  # about the flow, in a figure of the flow
    if words:
        axes.annotate(
            words[0].replace("_", " "), (x, value), xytext=(-9, 0), textcoords="offset points", fontsize=9, ha="right",
            va="center", color=LEVEL_COLORS[level], fontweight="bold", zorder=6,
        )  # fmt: skip


def residual(course: Course) -> Figure:
    """What came back at every refill, and what was expected."""
    figure = blank(WIDE, 3.2)
    axes = figure.subplots()
    titled(axes, "Residual at each refill", "mL")
    axes.set_ylabel("mL")
    _visits(axes, course)
    width = max(0.3, course.end_s / SECONDS_PER_DAY / 90)
    for number, one in enumerate(course.refills):
        x, names = one.at_s / SECONDS_PER_DAY, number == 0
        axes.bar(x, one.returned_nl / ML, width=width, color=LEVEL_COLORS[_level(one)], alpha=0.85, zorder=2,
                 label="came back" if names else None)  # fmt: skip
        axes.plot([x - width, x + width], [float(one.expected_return_nl) / ML] * 2, color=style.INK, linewidth=2,
                  zorder=3, label="expected by the reference" if names else None)  # fmt: skip
    if course.refills:
        axes.set_ylim(bottom=0)
        axes.margins(y=0.12)
        legend(axes)
    else:
        _empty(axes, "known from the second visit on")
    _days(axes, course, label=True)
    return figure
