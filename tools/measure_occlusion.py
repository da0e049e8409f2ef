"""How soon a closed line is seen, and whether ordinary days alarm: the slope detector in front of the plant.

Owns: the rig (plant, detector, steps and readings as the pump makes them, without the firmware around), what happens on
an ordinary day, the table of docs/occlusion.md. Must not: judge; `tests/tools/test_measure_occlusion.py` does.

`python -m tools.measure_occlusion` measures the table and writes it, `--moments N` with so many moments of closing in
each cell; `--days N` counts alarms in N ordinary days, with and without the pulse of an artery.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haipump_emulator.plant import Plant, PlantParams, for_syringe
from haipump_emulator.plant.params import SYRINGE_BORES_MM, LineParams
from haipump_fw.core import options
from haipump_fw.core.occlusion import Occlusion

PAGE = Path(__file__).parents[1] / "docs" / "occlusion.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
US_PER_S = 1_000_000
US_PER_MIN = 60 * US_PER_S
US_PER_H = 3_600 * US_PER_S
US_PER_DAY = 24 * US_PER_H
CHECK_US = 15 * US_PER_S  # as the firmware looks at rest and in slow basal: every 15 s, or every 64 steps
CHECK_STEPS = 64
JITTER_US = 9_000  # other work of the loop
SPRING_N_PER_MM = 30.0
LIMIT_PA = 69_000
WARM_NL_PER_S = 2_000.0  # a new syringe is pushed until it slides: a prime
HOURS_MAX = 30

# One ordinary day: so many changes, each up to so much.
HEIGHTS, HEIGHT_CM, HEIGHT_S, HEIGHT_MAX_CM = 20, 30.0, 2.0, 60.0
ARTERIES, ARTERY_PA, ARTERY_S = 20, 5_000.0, 60
WARM_K_PER_H, WARM_MAX_K = 2.0, 5.0
BUBBLES, BUBBLE_NL, BUBBLE_PA_S_PER_NL = 6, 10_000.0, 20.0
DRIFT_PA = 500.0


def spring_nl_per_pa(size_ml: int, spring_n_per_mm: float = SPRING_N_PER_MM) -> float:
    """Compliance of the syringe alone."""
    area_mm2 = math.pi / 4 * SYRINGE_BORES_MM[size_ml] ** 2
    return area_mm2 * area_mm2 / spring_n_per_mm * 1e-3


def settings(size_ml: int) -> dict[Any, Any]:
    """The pump's settings with this syringe."""
    bore_mm = SYRINGE_BORES_MM[size_ml]
    step_fl = round(math.pi / 4 * bore_mm**2 * 2_000 / 3_200 * 1e6)
    return {**options.defaults(), "step_fl": step_fl, "bore_um": round(bore_mm * 1_000)}


def rig(size_ml: int, total_nl_per_pa: float, *, pulse_pa: float = 2_700.0, drift_pa_per_h: float = 0.0) -> PlantParams:
    """A plant whose syringe and line together have this compliance (uL/kPa). ValueError when the syringe has more."""
    line = total_nl_per_pa - spring_nl_per_pa(size_ml)
    if line < 0.01:
        raise ValueError(f"a {size_ml} mL syringe alone has {spring_nl_per_pa(size_ml):.2f} uL/kPa")
    base = for_syringe(size_ml)
    return dataclasses.replace(
        base,
        line=dataclasses.replace(base.line, compliance_nl_per_pa=line),
        artery=dataclasses.replace(base.artery, pulse_pa=pulse_pa),
        sensors=dataclasses.replace(base.sensors, pressure_drift_pa_per_h=drift_pa_per_h),
    )


class Bench:
    """Steps at an even rate into a plant, readings into a detector."""

    def __init__(self, size_ml: int, params: PlantParams, rate_nl_per_day: int, seed: int) -> None:
        self.values = settings(size_ml)
        self.plant = Plant(params, seed)
        self.detector = Occlusion(self.values)
        self.random = random.Random(f"occlusion {seed}")
        self.step_nl = self.values["step_fl"] / 1e6
        self._period_us = self.values["step_fl"] * 86_400 / rate_nl_per_day
        self._check_us = min(CHECK_US, max(20_000.0, self._period_us * CHECK_STEPS))
        self._limit_raw = self.raw(LIMIT_PA)
        self.t_us = 0
        self.steps = 0
        self.plant.set_enable(0, True)
        self._push_until_it_slides()
        self._step_us = self.t_us + self._period_us * self.random.random()
        self._look_us = self.t_us + self._check_us * self.random.random()
        self._above = 0

    def raw(self, pa: float) -> int:
        """The sensor's reading at a pressure."""
        values = self.values
        return round(values["pressure_zero_raw"] + pa * values["pressure_span_raw"] / values["pressure_full_pa"])

    def _push_until_it_slides(self) -> None:
        params = self.plant.params
        area_m2 = self.plant.params.syringe.bore_mm**2 * math.pi / 4 * 1e-6
        friction_pa = params.syringe.friction_static_n / area_m2
        self.steps = int(friction_pa * spring_nl_per_pa(params.syringe.size_ml) / self.step_nl)
        for i in range(self.steps):
            self.t_us = round(i * self.step_nl / WARM_NL_PER_S * US_PER_S)
            self.plant.step(self.t_us)

    def run_until(self, t_us: int) -> str | None:
        """Let time pass. Returns what alarmed ("slope", "limit"), at `self.t_us`, or None."""
        while True:
            if self._step_us < self._look_us:
                if self._step_us > t_us:
                    break
                self.t_us = int(self._step_us)
                self.plant.step(self.t_us)
                self.steps += 1
                self._step_us += self._period_us
            else:
                if self._look_us > t_us:
                    break
                self.t_us = int(self._look_us)
                reading = self.plant.pressure_raw(self.t_us)
                self._look_us += self._check_us * (1 - (reading >> 4 & 7) / 64) + self.random.randrange(JITTER_US)
                self._above = self._above + 1 if reading > self._limit_raw else 0
                if self.detector.feed(reading, self.steps, self.t_us // US_PER_S):
                    return "slope"
                if self._above > 1:
                    return "limit"
        self.t_us = t_us
        return None


@dataclass(frozen=True)
class Seen:
    """An occlusion that was alarmed."""

    by: str
    minutes: float
    pushed_ul: float
    rise_kpa: float


def occlude(
    size_ml: int, total_nl_per_pa: float, rate_nl_per_day: int, seed: int, *, pulse_pa: float = 2_700.0
) -> Seen | str:
    """Close the line at some moment of an even infusion. A string says why there was no alarm, or a false one."""
    bench = Bench(size_ml, rig(size_ml, total_nl_per_pa, pulse_pa=pulse_pa), rate_nl_per_day, seed)
    calm_us = max(10 * US_PER_MIN, 12_000 * US_PER_DAY // rate_nl_per_day)  # some slips of the stopper
    closed_us = bench.t_us + int(calm_us * (1 + bench.random.random()))
    if bench.run_until(closed_us):
        return "alarmed before"
    before_pa = bench.plant.truth(closed_us).pressure_pa
    bench.plant.occlude(closed_us)
    steps = bench.steps
    by = bench.run_until(closed_us + HOURS_MAX * US_PER_H)
    if by is None:
        return f"not within {HOURS_MAX} h"
    rise_pa = bench.plant.truth(bench.t_us).pressure_pa - before_pa
    pushed_ul = (bench.steps - steps) * bench.step_nl / 1_000
    return Seen(by, (bench.t_us - closed_us) / US_PER_MIN, pushed_ul, rise_pa / 1_000)


# --- ordinary days


def _heights(rng: random.Random) -> list[tuple[float, str, tuple[float, ...]]]:
    found = []
    cm = 0.0
    for at in sorted(rng.uniform(0, US_PER_DAY) for _ in range(HEIGHTS)):
        change = rng.uniform(-HEIGHT_CM, HEIGHT_CM)
        cm += change if abs(cm + change) <= HEIGHT_MAX_CM else -change
        found.append((at, "height", (cm, HEIGHT_S)))
    return found


def _arteries(rng: random.Random, mean_pa: float) -> list[tuple[float, str, tuple[float, ...]]]:
    """Each change is a ramp of a minute, in stairs of 5 s, to anywhere within the range."""
    found = []
    stairs = ARTERY_S // 5
    was = mean_pa
    for at in sorted(rng.uniform(0, US_PER_DAY) for _ in range(ARTERIES)):
        now = mean_pa + rng.uniform(-ARTERY_PA, ARTERY_PA)
        for i in range(1, stairs + 1):
            found.append((at + i * 5 * US_PER_S, "artery", (was + (now - was) * i / stairs,)))
        was = now
    return found


def _temperatures(rng: random.Random, start_c: float) -> list[tuple[float, str, tuple[float, ...]]]:
    found = []
    at, now_c = 0.0, start_c
    while at < US_PER_DAY:
        hours = rng.uniform(0.5, 3)
        change = rng.choice((-WARM_K_PER_H, WARM_K_PER_H)) * hours
        now_c += change if abs(now_c + change - start_c) <= WARM_MAX_K else -change
        found.append((at, "warm", (now_c, hours * 3_600)))
        at += hours * US_PER_H
    return found


def _bubbles(rng: random.Random, rate_nl_per_day: int) -> list[tuple[float, str, tuple[float, ...]]]:
    """A bubble is in the line for the time that the flow needs for its volume, and in the way."""
    found: list[tuple[float, str, tuple[float, ...]]] = []
    for _ in range(BUBBLES):
        at = rng.uniform(0, US_PER_DAY)
        gone = at + BUBBLE_NL / rate_nl_per_day * US_PER_DAY
        found += [(at, "air", (BUBBLE_NL,)), (at, "occlude", (BUBBLE_PA_S_PER_NL,))]
        found += [(gone, "air", (0.0,)), (gone, "release", ())]
    return found


def day(
    seed: int,
    *,
    pulse_pa: float = 2_700.0,
    size_ml: int = 10,
    total_nl_per_pa: float = 1.5,
    rate_nl_per_day: int = 1_300_000,
) -> list[str]:
    """An ordinary day of an open line. Returns its false alarms, each as "what at when"."""
    rng = random.Random(f"day {seed}")
    drift = rng.choice((-DRIFT_PA, DRIFT_PA)) / 24
    params = rig(size_ml, total_nl_per_pa, pulse_pa=pulse_pa, drift_pa_per_h=drift)
    bench = Bench(size_ml, params, rate_nl_per_day, seed)
    happens = _heights(rng) + _arteries(rng, params.artery.mean_pa)
    happens += _temperatures(rng, params.environment.temperature_c) + _bubbles(rng, rate_nl_per_day)
    alarms = []
    start = bench.t_us
    for at, what, arguments in [*sorted(happens), (float(US_PER_DAY), "", ())]:
        until = start + int(min(at, US_PER_DAY))
        while by := bench.run_until(until):
            alarms.append(f"{by} at {(bench.t_us - start) / US_PER_H:.2f} h of day {seed}")
            bench.detector.clear()
        if what:
            getattr(bench.plant, what)(until, *arguments)
    return alarms


def _days(task: tuple[int, int, float]) -> list[str]:
    first, last, pulse_pa = task
    return [text for seed in range(first, last) for text in day(seed, pulse_pa=pulse_pa)]


def false_alarms(count: int, pulse_pa: float, workers: int = 2) -> list[str]:
    """Those of so many days, over the cores."""
    tasks = [(first, min(first + 25, count), pulse_pa) for first in range(0, count, 25)]
    with ProcessPoolExecutor(workers) as pool:
        return [text for found in pool.map(_days, tasks) for text in found]


# --- the page

RATES_NL_PER_DAY = (500_000, 1_300_000, 5_000_000, 24_000_000, 240_000_000)
# (size in mL, compliances in uL/kPa); the first of each row is about what a stiff line adds to the syringe
CELLS = ((1, (0.1, 0.3)), (3, (0.3, 1.0)), (10, (1.5, 5.0)), (20, (3.3, 8.0)), (30, (5.0, 10.0)), (60, (11.0, 15.0)))
SHIPPED_ML = (10, 30)  # also with the line that the emulator has as shipped
MOMENTS = 40  # of closing, in each cell: five passed over the latest tenth


def shipped_nl_per_pa(size_ml: int) -> float:
    """Compliance of this syringe and the emulator's line together, as shipped."""
    return LineParams().compliance_nl_per_pa + spring_nl_per_pa(size_ml)


def cell(task: tuple[int, float, int, int]) -> str:
    """Of (size in mL, uL/kPa, nL/day, number of moments): the latest alarm, and the most that was pushed by one."""
    size_ml, total, rate, moments = task
    if rate > 40_000_000 * size_ml:
        return "-"  # such a syringe is empty within the hour
    found = [occlude(size_ml, total, rate, seed) for seed in range(moments)]
    wrong = [text for text in found if isinstance(text, str)]
    if wrong:
        return wrong[0]
    seen: list[Any] = found
    minutes, pushed = max(one.minutes for one in seen), max(one.pushed_ul for one in seen)
    when = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
    if minutes < 3:
        when = f"{minutes * 60:.0f} s"
    return f"{when}, {pushed:.0f} uL" if pushed >= 10 else f"{when}, {pushed:.1f} uL"


def table(moments: int = MOMENTS, workers: int = 2) -> list[str]:
    """The lines of the table: the latest alarm of so many moments, and the most that had been pushed by one."""
    heads = [f"{rate / 1e6:g} mL/day" if rate < 24_000_000 else f"{rate / 24e6:g} mL/h" for rate in RATES_NL_PER_DAY]
    rows = [(size, total, f"{size} mL, {total:g} uL/kPa") for size, totals in CELLS for total in totals]
    for size in SHIPPED_ML:
        total = shipped_nl_per_pa(size)
        rows.append((size, total, f"{size} mL, {total:.1f} uL/kPa: `haipump-emu run --syringe {size}mL`"))
    tasks = [(size, total, rate, moments) for size, total, _ in rows for rate in RATES_NL_PER_DAY]
    lines = [f"| syringe, compliance | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    with ProcessPoolExecutor(workers) as pool:
        cells = list(pool.map(cell, tasks))
    for i, (_, _, name) in enumerate(rows):
        row = cells[i * len(heads) : (i + 1) * len(heads)]
        lines.append(f"| {name} | {' | '.join(row)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--days", type=int, default=0, help="count false alarms in so many days instead")
    parser.add_argument("--moments", type=int, default=MOMENTS, help="moments of closing in each cell, 1 or more")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if given.moments < 1:
        parser.error(f"--moments {given.moments}: a cell needs 1 moment or more")
    if given.days:
        for pulse_pa in (2_700.0, 0.0):
            alarms = false_alarms(given.days, pulse_pa, given.workers)
            print(
                f"{given.days} days, pulse of {pulse_pa / 1_000:g} kPa: {len(alarms)} false alarms", *alarms, sep="\n"
            )
        return
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = "\n".join(table(given.moments, given.workers))
    PAGE.write_text(f"{before}{BEGIN}\n{lines}\n{END}{after}", encoding="utf-8")
    print(lines)


if __name__ == "__main__":
    main()
