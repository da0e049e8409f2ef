"""The figures of a report, each as SVG for the page and PNG beside it.

Owns: how the run looks. Must not: work out facts (`story` does) or depend on anything but them: no clock, no locale, no
font of the machine (matplotlib's own DejaVu Sans measures; the page's fonts draw the SVG's text).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from haipump.quantities import SECONDS_PER_DAY, format_volume
from haipump.report import style
from haipump.report.orders import FL_PER_NL
from haipump.report.story import Story

WIDE, HALF = 12.8, 6.3  # inches
PNG_DPI = 150
SVG_RASTER_DPI = 200  # of what is too dense to be drawn as vectors
DENSE = 1_500  # so many marks become pixels ...
DENSE_LINE = 12_000  # ... and so many values of a restless line
NL_PER_ML = 1_000_000
FLOW_STEPS_MIN = 25  # a mean flow over fewer microsteps would show the steps, not the flow
FLOW_SHORTEST_S, FLOW_LONGEST_S = 5.0, 900.0
PROJECTED_MAX = 0.6
SILENT_S = 1_800.0  # outside of the journal: a line is not drawn across a longer silence
KPA, MMHG_PER_KPA = 1_000.0, 7.500617

RC: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "haipump report",
    "axes.edgecolor": style.FAINT,
    "axes.labelcolor": style.MUTED,
    "axes.titlecolor": style.INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": style.GRID,
    "grid.linewidth": 0.8,
    "xtick.color": style.FAINT,
    "ytick.color": style.FAINT,
    "xtick.labelcolor": style.MUTED,
    "ytick.labelcolor": style.MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "savefig.facecolor": style.PAPER,
    "figure.facecolor": style.PAPER,
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}

_FONT = re.compile(r"(font(?:-family)?: ?[^;\"]*?)'DejaVu Sans'[^;\"]*")


class Time:
    """The unit in which a run of this length is told."""

    def __init__(self, story: Story) -> None:
        span = story.end - story.start
        for name, unit_s, most in (("seconds", 1.0, 180), ("minutes", 60.0, 180), ("hours", 3_600.0, 60)):
            if span <= most * unit_s:
                self.name, self.unit_s = name, unit_s
                return
        self.name, self.unit_s = "days", float(SECONDS_PER_DAY)

    def __call__(self, seconds: Any) -> Any:
        return np.asarray(seconds, dtype=float) / self.unit_s


class Data:
    """The story as arrays, worked out once for all figures."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.time = Time(story)
        points = story.points
        self.t = np.array([point.t for point in points])
        self.volume = np.array([point.volume_nl for point in points], dtype=float)
        self.confirmed = np.array([point.confirmed_nl for point in points], dtype=float)
        self.pressure = np.array([np.nan if p.pressure_pa is None else p.pressure_pa for p in points], dtype=float)
        self.reservoir = np.array([point.reservoir_nl for point in points], dtype=float)
        self.slack = np.array([story.slack_nl(point.t) for point in points], dtype=float)
        self.planned = story.plan.at(self.t)
        self.planned_low, self.planned_high = story.plan.between(self.t)
        self.breaks = self._breaks()
        self.dense = len(points) > DENSE_LINE

    def _breaks(self) -> list[int]:
        """Places before which a line is interrupted: restarts, and silences that the journal does not fill."""
        points, breaks = self.story.points, []
        for index in range(1, len(points)):
            before, after = points[index - 1], points[index]
            filled = any(low <= before.t and after.t <= high + 1 for low, high in self.story.covered)
            if before.boot != after.boot or (after.t - before.t > SILENT_S and not filled):
                breaks.append(index)
        return breaks

    def line(self, values: np.ndarray, more: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """(times in the run's unit, values), interrupted where nothing is known and at `more` places."""
        places = sorted({*self.breaks, *more})
        return np.insert(self.time(self.t), places, np.nan), np.insert(values, places, np.nan)


def draw(story: Story) -> dict[str, tuple[str, bytes]]:
    """{name: (SVG, PNG)} of every figure, in the page's order."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(dict(RC))  # type: ignore[call-overload]
        data = Data(story)
        makers: Sequence[tuple[str, Callable[[Data], Figure]]] = (
            ("delivery", delivery), ("flow", flow), ("pressure", pressure), ("reservoir", reservoir),
            ("timeline", timeline),
        )  # fmt: skip
        return {name: saved(make(data), name) for name, make in makers}


def saved(figure: Figure, name: str) -> tuple[str, bytes]:
    """(SVG, PNG), the same bytes on every machine."""
    picture, drawing = io.BytesIO(), io.StringIO()
    figure.savefig(picture, format="png", dpi=PNG_DPI, metadata={"Software": None})
    figure.savefig(drawing, format="svg", dpi=SVG_RASTER_DPI, metadata={"Date": None, "Creator": None})
    svg = drawing.getvalue()
    svg = svg[svg.index("<svg") :]
    return _FONT.sub(lambda match: match[1] + style.FONTS_SVG, svg), picture.getvalue()


# --- common parts


def blank(width: float, height: float) -> Figure:
    """Inches."""
    return Figure(figsize=(width, height), layout="constrained")


def titled(axes: Axes, title: str, unit: str) -> None:
    """The title to the left, the unit to the right."""
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", pad=10)
    axes.set_title(unit, loc="right", fontsize=9, color=style.MUTED, pad=10)


def legend(axes: Axes, right: float = 0.95, **options: Any) -> None:
    """In one row in the title's line, so that it hides nothing."""
    count = len(axes.get_legend_handles_labels()[0])
    axes.legend(loc="lower right", bbox_to_anchor=(right, 1.0), ncols=max(1, count), borderaxespad=0.35, **options)


def _times(axes: Axes, data: Data, label: bool = True) -> None:
    story, time = data.story, data.time
    pad = max(story.end - story.start, 1.0) * 0.008
    axes.set_xlim(time(story.start - pad), time(story.end + pad))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=14, integer=True, steps=[1, 2, 3, 5, 6, 7, 10]))
    if label:
        axes.set_xlabel(f"{time.name} since the first {'order' if story.treated() else 'record'}")
    _shade_restarts(axes, data)


def _shade_restarts(axes: Axes, data: Data) -> None:
    for gap in data.story.axis.gaps:
        axes.axvspan(
            data.time(gap.start), data.time(gap.end), facecolor=style.WASH, edgecolor=style.FAINT, hatch="////",
            linewidth=0, zorder=0.5,
        )  # fmt: skip


def _ml(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


@contextmanager
def _nothing(axes: Axes, known: bool, what: str) -> Iterator[bool]:
    """Says so where there is nothing to draw."""
    if not known:
        axes.text(0.5, 0.5, what, transform=axes.transAxes, ha="center", va="center", color=style.MUTED)
    yield known


# --- delivered against commanded


def delivery(data: Data) -> Figure:
    """Cumulative volume, and below it what was stepped and confirmed less what was commanded."""
    figure = blank(WIDE, 7.4)
    top, steps, shaft = figure.subplots(3, 1, sharex=True, height_ratios=[4.4, 1.5, 1.5])
    _volumes(top, data)
    _residual(steps, data)
    _shaft(shaft, data)
    for axes in (top, steps, shaft):
        axes.tick_params(labelbottom=axes is shaft)
        _times(axes, data, label=axes is shaft)
    figure.align_ylabels()
    return figure


def _volumes(axes: Axes, data: Data) -> None:
    scale, unit = (NL_PER_ML, "mL") if np.nanmax(data.volume, initial=0) >= 100_000 else (1_000, "µL")
    titled(axes, "Volume delivered", unit)
    axes.set_ylabel(f"volume, {unit}")
    t, planned = data.line(data.planned / scale)
    if np.isfinite(planned).any():
        axes.plot(t, planned, color=style.COMMANDED, linewidth=7, alpha=0.28, label="commanded", zorder=2)
    if data.slack.any():
        low, high = data.volume / scale, (data.volume + data.slack) / scale
        axes.fill_between(
            data.time(data.t), low, high, where=data.slack > 0, color=style.STEPPED, alpha=0.25, linewidth=0,
            rasterized=len(data.t) > DENSE, label="range: what a power loss leaves unknown",
        )  # fmt: skip
        axes.plot(*data.line(np.where(data.slack > 0, high, np.nan)), color=style.STEPPED, linewidth=1.2)
    axes.plot(*data.line(data.volume / scale), color=style.STEPPED, linewidth=2, label="stepped", zorder=3)
    axes.plot(
        *data.line(data.confirmed / scale), color=style.CONFIRMED, linewidth=1.6, linestyle=(0, (1.2, 2.2)),
        label="confirmed by the shaft", zorder=4, rasterized=data.dense,
    )  # fmt: skip
    for t_bolus, _ in boluses(data.story):
        axes.axvline(data.time(t_bolus), ymax=0.03, color=style.BOLUS, linewidth=2, zorder=4)
    if boluses(data.story):
        axes.plot([], [], color=style.BOLUS, linewidth=2, label="bolus begins")
    _mark_alarms(axes, data, names=True)
    axes.set_ylim(bottom=min(0.0, float(np.nanmin(data.volume, initial=0)) / scale))
    legend(axes)
    _ml(axes)


def _mark_alarms(axes: Axes, data: Data, names: bool) -> None:
    for row in data.story.alarms:
        if row.priority != "high":
            continue
        axes.axvline(data.time(row.start), color=style.ALARM, linewidth=1.2, zorder=1.5)
        if names:
            axes.annotate(
                row.name.replace("_", " "), (data.time(row.start), 1.0), xycoords=("data", "axes fraction"),
                xytext=(3, -4), textcoords="offset points", color=style.ALARM, fontsize=8.5, va="top", rotation=90,
            )  # fmt: skip


def _residual(axes: Axes, data: Data) -> None:
    titled(axes, "Stepped less commanded", "microsteps")
    axes.set_ylabel("microsteps")
    known = bool(data.story.step_fl) and bool(np.isfinite(data.planned).any())
    with _nothing(axes, known, "unknown: order or calibration is not in the file") as go:
        if not go or not data.story.step_fl:
            return
        per_step = FL_PER_NL / data.story.step_fl
        # After a power loss it is not known what was stepped, and so not by how much it is off.
        middle = np.where(data.slack > 0, np.nan, data.volume - data.planned) * per_step
        low, high = (data.volume - data.planned_high) * per_step, (data.volume - data.planned_low) * per_step
        width = high - low
        usual = max(1.0, 3 * float(np.nanmedian(width))) if np.isfinite(width).any() else 1.0
        sharp = np.isfinite(middle) & (width <= usual)
        axes.axhspan(-0.5, 0.5, color=style.GOOD, alpha=0.13, linewidth=0, label="half a microstep")
        axes.axhline(0, color=style.FAINT, linewidth=0.8)
        t = data.time(data.t)
        dense = int(sharp.sum()) > DENSE
        axes.vlines(t[sharp], low[sharp], high[sharp], color=style.STEPPED, alpha=0.18, linewidth=1.0, rasterized=dense)
        axes.plot(t[sharp], middle[sharp], ".", color=style.STEPPED, markersize=1.4 if dense else 2.4, rasterized=dense)
        reach = max(1.0, float(np.abs(np.concatenate([low[sharp], high[sharp]])).max(initial=0)) * 1.15)
        axes.set_ylim(-reach, reach)
        left_out = int((np.isfinite(middle) & ~sharp).sum())
        note = "microsteps; bars: what times in whole seconds leave open"
        if data.slack.any():
            note += "; unknown after the power loss"
        if left_out:
            note += f"; {left_out} values during fast delivery not drawn"
        axes.set_title(note, loc="right", fontsize=9, color=style.MUTED, pad=10)


def _shaft(axes: Axes, data: Data) -> None:
    titled(axes, "Confirmed by the shaft less stepped", "microsteps")
    axes.set_ylabel("microsteps")
    with _nothing(axes, bool(data.story.step_fl), "unknown: the calibration is not in the file") as go:
        if not go or not data.story.step_fl:
            return
        off = (data.confirmed - data.volume) * FL_PER_NL / data.story.step_fl
        axes.axhline(0, color=style.FAINT, linewidth=0.8)
        axes.plot(*data.line(off), color=style.CONFIRMED, linewidth=0.8, rasterized=data.dense)
        per_turn = int(data.story.source.latest("calibration").get("steps_per_turn", 0))
        if per_turn:
            stall = 4 * per_turn / 200
            for level in (-stall, stall):
                axes.axhline(level, color=style.ALARM, linewidth=1, linestyle=(0, (5, 3)))
            axes.text(
                0.005, stall, "stall alarm", transform=axes.get_yaxis_transform(), fontsize=7.5, color=style.ALARM,
                va="top",
            )  # fmt: skip
            reach = max(stall * 1.2, float(np.abs(off).max(initial=0)) * 1.1)
            axes.set_ylim(-reach, reach)


# --- flow


def boluses(story: Story) -> list[tuple[float, int]]:
    """(time, nL) of every bolus that has begun, orders and programmes alike."""
    found = []
    for order in story.orders:
        if order.source in ("bolus", "extended") and order.begun is not None:
            found.append((order.begun, order.volume_nl))
        for elapsed_s, volume_nl in order.boluses_at:
            t = order.moment(elapsed_s)
            if t is not None and t <= story.end and (order.ended is None or t < order.ended):
                found.append((t, volume_nl))
    return sorted(found)


def planned_flow(story: Story) -> tuple[np.ndarray, np.ndarray]:
    """(times, nL/day from then on) of what was ordered."""
    knots = {story.start, story.end}
    for order in story.orders:
        if not order.dose or order.begun is None:
            continue
        for start, end in order.active:
            knots.update((start, end))
        if order.ended is not None:
            knots.add(order.ended)
        if order.duration_s and (t := order.moment(order.duration_s)) is not None:
            knots.add(t)
        for elapsed_s in order.knots_s:
            t = order.moment(elapsed_s)
            if t is None:
                break
            knots.add(t)
    times = np.array(sorted(knot for knot in knots if story.start <= knot <= story.end))
    rates = np.diff(story.plan.at(times)) / np.maximum(np.diff(times), 1e-9) * SECONDS_PER_DAY
    return times, np.append(rates, np.nan)


def mean_flow(data: Data) -> list[tuple[float, float, float]]:
    """(from, to, nL/day): what was stepped between two records, joined until it is more than the grain of steps."""
    points, flows = data.story.points, []
    step_nl = (data.story.step_fl or 0) / FL_PER_NL
    breaks = set(data.breaks)
    since = 0
    for index in range(1, len(points)):
        if index in breaks:
            since = index
            continue
        length = points[index].t - points[since].t
        volume = points[index].volume_nl - points[since].volume_nl
        turn = points[index].state != points[since].state or index + 1 in breaks or index + 1 == len(points)
        enough = length >= FLOW_SHORTEST_S and (volume >= FLOW_STEPS_MIN * step_nl or length >= FLOW_LONGEST_S)
        if length > 0 and (enough or (turn and length >= FLOW_SHORTEST_S)):
            flows.append((points[since].t, points[index].t, max(0.0, volume * SECONDS_PER_DAY / length)))
            since = index
    return flows


def flow(data: Data) -> Figure:
    """Flow over time: ordered, and the mean between records."""
    figure = blank(WIDE, 3.5)
    axes = figure.subplots()
    titled(axes, "Flow", "mL/day")
    axes.set_ylabel("mL/day")
    times, rates = planned_flow(data.story)
    measured = mean_flow(data)
    seen = np.concatenate([rates[np.isfinite(rates)], np.array([rate for _, _, rate in measured])]) / NL_PER_ML
    seen = seen[seen > 1e-6]
    with _nothing(axes, seen.size > 0, "nothing flowed") as go:
        if go:
            axes.fill_between(
                data.time(times), 0, rates / NL_PER_ML, step="post", color=style.COMMANDED, alpha=0.2, linewidth=0,
                label="commanded",
            )  # fmt: skip
            axes.plot(
                data.time(times), rates / NL_PER_ML, drawstyle="steps-post", color=style.COMMANDED, linewidth=0.9,
                alpha=0.75,
            )  # fmt: skip
            t, value = [], []
            for start, end, rate in measured:
                gap = not t or t[-1] < start
                t += [np.nan, start, end] if gap else [start, end]
                value += [np.nan, rate / NL_PER_ML, rate / NL_PER_ML] if gap else [rate / NL_PER_ML] * 2
            axes.plot(data.time(t), value, color=style.STEPPED, linewidth=1.4, label="stepped, mean between records")
            _flow_scale(axes, seen)
            _flow_boluses(axes, data)
            _mark_alarms(axes, data, names=False)
            legend(axes)
    _times(axes, data)
    return figure


def _flow_scale(axes: Axes, seen: np.ndarray) -> None:
    if seen.max() / np.median(seen) > 15:
        floor = 10.0 ** np.floor(np.log10(np.quantile(seen, 0.02)))
        axes.set_yscale("symlog", linthresh=floor, linscale=0.4)
        top = 10.0 ** np.ceil(np.log10(seen.max()) + 0.6)
        axes.set_ylim(0, top)
        decades = np.arange(np.log10(floor), np.ceil(np.log10(seen.max())) + 0.5)
        axes.set_yticks([0.0, *[10.0**decade for decade in decades]])
        axes.minorticks_off()
    else:
        axes.set_ylim(0, seen.max() * 1.35)
    _ml(axes)


def _flow_boluses(axes: Axes, data: Data) -> None:
    found = boluses(data.story)
    if not found:
        return
    axes.plot(
        [data.time(t) for t, _ in found], [0.78] * len(found), "v", color=style.BOLUS, markersize=6,
        transform=axes.get_xaxis_transform(), label="bolus", clip_on=False,
    )  # fmt: skip
    if len(found) <= 20:
        for t, volume_nl in found:
            axes.text(
                data.time(t), 0.81, format_volume(volume_nl), transform=axes.get_xaxis_transform(), ha="center",
                va="bottom", fontsize=7.5, color=style.BOLUS,
            )  # fmt: skip


# --- pressure, reservoir


def _mmhg(kpa: Any) -> Any:
    return kpa * MMHG_PER_KPA


def _kpa(mmhg: Any) -> Any:
    return mmhg / MMHG_PER_KPA


def pressure(data: Data) -> Figure:
    """Pressure with the limit at which the pump stops."""
    figure = blank(HALF, 3.5)
    axes = figure.subplots()
    titled(axes, "Pressure in the line", "kPa, right: mmHg")
    axes.plot(*data.line(data.pressure / KPA), color=style.PRESSURE, linewidth=1.1, rasterized=data.dense)
    limits = data.story.source.latest("limits")
    top = float(np.nanmax(data.pressure, initial=0)) / KPA
    if "occlusion_pa" in limits:
        limit = int(limits["occlusion_pa"]) / KPA
        axes.axhline(limit, color=style.ALARM, linewidth=1.2, linestyle=(0, (5, 3)))
        axes.text(
            0.99, limit, f"occlusion alarm at {limit:g} kPa", transform=axes.get_yaxis_transform(), ha="right",
            va="bottom", color=style.ALARM, fontsize=8.5,
        )  # fmt: skip
        top = max(top, limit)
    axes.set_ylim(min(0.0, float(np.nanmin(data.pressure, initial=0)) / KPA), max(top, 1.0) * 1.14)
    right = axes.secondary_yaxis("right", functions=(_mmhg, _kpa))
    right.spines["right"].set_visible(False)
    _mark_alarms(axes, data, names=True)
    _times(axes, data)
    return figure


def reservoir(data: Data) -> Figure:
    """What is left in the syringe, the lines at which the pump warns and stops, and when it would be empty."""
    figure = blank(HALF, 3.5)
    axes = figure.subplots()
    titled(axes, "Left in the syringe", "mL")
    left = data.reservoir / NL_PER_ML
    filled = [int(index) + 1 for index in np.flatnonzero(np.diff([point.syringe for point in data.story.points]))]
    axes.plot(*data.line(left, filled), color=style.RESERVOIR, linewidth=2)
    # an area is not thinned out as a line is
    many = len(data.t) > DENSE
    axes.fill_between(*data.line(left, filled), color=style.RESERVOIR, alpha=0.15, linewidth=0, rasterized=many)
    limits = data.story.source.latest("limits")
    for name, words, color, place, side in (
        ("reservoir_low_nl", "low", style.WARN, 0.015, "left"),
        ("reservoir_empty_nl", "empty", style.ALARM, 0.36, "left"),
    ):
        if name in limits:
            level = int(limits[name]) / NL_PER_ML
            axes.axhline(level, color=color, linewidth=1.1, linestyle=(0, (5, 3)))
            axes.text(
                place, level, f"{words}: {level:g} mL", transform=axes.get_yaxis_transform(), va="bottom", ha=side,
                color=color, fontsize=8.5,
            )  # fmt: skip
    size = int(data.story.source.latest("calibration").get("syringe_nl", 0)) / NL_PER_ML
    axes.set_ylim(0, max(size, float(left.max(initial=0)), 1e-3) * 1.08)
    _ml(axes)
    _times(axes, data)
    _projection(axes, data)
    return figure


def _projection(axes: Axes, data: Data) -> None:
    """Until when it would last, as far as the pump or the run's mean tells; at most PROJECTED_MAX of the run more."""
    story = data.story
    future = story.projection()
    if future is None or not data.t.size:
        return
    span = max(story.end - story.start, 1.0)
    until = min(future.empty_at, story.end + PROJECTED_MAX * span)
    start_ml = future.left_nl / NL_PER_ML
    share = (until - story.end) / max(future.empty_at - story.end, 1e-9)
    end_ml = start_ml + (future.empty_nl / NL_PER_ML - start_ml) * share
    axes.plot(
        [data.time(story.end), data.time(until)], [start_ml, end_ml], color=style.RESERVOIR, linewidth=1.4,
        linestyle=(0, (1, 2)),
    )  # fmt: skip
    axes.set_xlim(right=data.time(until + span * 0.02))
    axes.annotate(
        "if it went on", (data.time((story.end + until) / 2), (start_ml + end_ml) / 2), xytext=(4, 3),
        textcoords="offset points", fontsize=8, color=style.MUTED,
    )  # fmt: skip


# --- timeline


def timeline(data: Data) -> Figure:
    """What happened when, in lanes."""
    figure = blank(WIDE, 2.9)
    axes = figure.subplots()
    titled(axes, "What happened when", "")
    story, time = data.story, data.time
    lanes = ("state", "orders", "boluses", "alarms", "restarts, marks")
    axes.set_yticks(range(len(lanes)), lanes)
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.grid(False, axis="y")
    _state_lane(axes, data)
    span = max(story.end - story.start, 1.0)
    for order in story.orders:
        if order.begun is None or order.source in ("bolus", "extended"):
            continue
        end = story.axis.end_of(order.boot) if order.ended is None or order.result == "reset" else order.ended
        color = style.COMMANDED if order.dose else style.FAINT
        axes.barh(1, time(end - order.begun), left=time(order.begun), height=0.5, color=color, alpha=0.55)
        if end - order.begun > span * 0.06:
            axes.text(
                time(order.begun + span * 0.004), 1, f"{order.number} {order.source}", va="center", fontsize=8,
                color=style.INK,
            )  # fmt: skip
    for t, _ in boluses(story):
        axes.plot(time(t), 2, "v", color=style.BOLUS, markersize=6)
    for row in story.alarms:
        color = style.PRIORITIES.get(row.priority, style.ALARM)
        end = story.axis.end if row.end is None else row.end
        axes.barh(3, max(time(end - row.start), time(span * 0.002)), left=time(row.start), height=0.5, color=color)
        near_end = row.start > story.start + span * 0.8
        axes.text(
            time(row.start) - time(span * 0.004) if near_end else time(row.start), 3 if near_end else 3.42,
            row.name.replace("_", " "), fontsize=8, color=color, va="center" if near_end else "top",
            ha="right" if near_end else "left",
        )  # fmt: skip
    for restart in story.restarts:
        axes.plot(time(restart.t), 4, "X", color=style.ALARM if restart.running else style.INK, markersize=8)
        axes.annotate(
            restart.cause, (time(restart.t), 4), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8,
            color=style.MUTED,
        )  # fmt: skip
    for mark in story.marks:
        axes.plot([time(mark.start), time(mark.end)], [4, 4], "|-", color=style.MUTED, markersize=7)
        axes.text(time(mark.end), 4.1, f" {mark.text}", va="top", fontsize=7.5, color=style.MUTED)
    _times(axes, data)
    return figure


def _state_lane(axes: Axes, data: Data) -> None:
    shown: dict[str, str] = {}
    for stay in data.story.stays:
        color = style.STATES.get(stay.state, style.FAINT)
        shown.setdefault(stay.state, color)
        axes.barh(
            0, data.time(stay.end - stay.start), left=data.time(stay.start), height=0.5, color=color,
            hatch=None if stay.sure else "....", edgecolor=style.PAPER, linewidth=0,
        )  # fmt: skip
    for state, color in shown.items():
        axes.barh(0, 0, color=color, label=state.replace("_", " "))
    if shown:
        legend(axes, 1.0, handlelength=1.0)
