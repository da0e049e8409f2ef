"""What happens in five years, how often, and where each figure is from; which of it falls into which fill.

Owns: the figures, and the draw. Must not: do any of it. A fill's events are a function of the seed and its number
alone, so that a run that is taken up again meets the same ones.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

US_PER_S = 1_000_000
DAY_US = 86_400 * US_PER_S
HOUR_US = 3_600 * US_PER_S
FILLS_PER_YEAR = 26
YEARS = 5
LIFE_FILLS = YEARS * FILLS_PER_YEAR  # in which a pump meets the published share of complications; assumed


@dataclass(frozen=True)
class Rate:
    """A complication: `percent` of pumps have it, low and high as published, the middle is used. `what`: conditions of
    the catheter, each as likely as the other (assumed); empty: it is none of the catheter's. `so`: what is done."""

    percent: tuple[int, int]
    what: tuple[str, ...]
    so: str

    @property
    def share(self) -> float:
        return sum(self.percent) / 200


# Late complications of implanted pumps: a review's ranges (tag B16 of the project's list of facts).
COMPLICATIONS: Mapping[str, Rate] = {
    "pocket": Rate((8, 18), (), "the needle of the next visit misses once, and is placed anew"),
    "catheter": Rate(
        (10, 20),
        ("narrowed", "partly_blocked", "kinked", "blocked", "leaking", "broken", "dislodged", "clotted"),
        "the line of the plant has this condition until an alarm or a flush shows it",
    ),
    "vascular": Rate((5, 10), ("blocked", "side_branch"), "as a catheter's: the artery closes, or the tip leaves it"),
    "biliary": Rate((2, 8), (), "the bile ducts answer twice as strongly from then on (invented)"),
}
BILIARY_TIMES = 2.0

# One or two interruptions of the mains (US utilities report 1 to 1.5 a customer), else plugs and batteries; assumed.
CUTS_PER_YEAR = 4.0
OUTAGE_S = (10.0, 8 * 3_600.0)  # evenly in its logarithm; assumed
TORN_SHARE = 0.5  # so many go in the middle of the pump's next write to its flash
TORN_MODES = ("before", "prefix", "bits", "half", "done")  # as the model of the flash has them
ANSWER_S = (600.0, 8 * 3_600.0)  # until a person is at a pump that sounds, evenly in its logarithm; assumed
CRYSTAL_PPM = 30  # tolerance of the quartz on a Pico (general knowledge); drawn evenly, once for a pump
LAB_CV = 0.04  # scatter of a laboratory value; general knowledge
FILL_SD_NL = 100_000.0  # of what goes into a syringe at its mark; assumed
SUSCEPTIBILITY_SIGMA = 0.4  # of patients, log-normal: docs/therapy-models.md; invented
FLASH_LIFE = 100_000  # erases of a sector, data sheet of the Pico's W25Q16JV


@dataclass(frozen=True)
class Cut:
    """The power goes `at_us` after the fill's begin, for `for_s`; a person comes `answer_s` later. `torn`: in the next
    write to flash, and how; "" at once."""

    at_us: int
    for_s: float
    answer_s: float
    torn: str = ""


@dataclass(frozen=True)
class Onset:
    """A complication that begins `at_us` after the fill's begin; `what`: the catheter's condition, "" for none."""

    at_us: int
    kind: str
    what: str = ""


@dataclass(frozen=True)
class Events:
    """All that happens in one fill; `answers_s`: how long alarms wait for a person, one after the other."""

    cuts: tuple[Cut, ...] = ()
    onsets: tuple[Onset, ...] = ()
    answers_s: tuple[float, ...] = (3_600.0,)


def stream(seed: int, number: int, what: str) -> random.Random:
    """Random numbers of one fill for one purpose."""
    return random.Random(f"haipump years {seed} {number} {what}")


def draw(seed: int, number: int, days: float, often: float = 1.0) -> Events:
    """The events of fill `number`, which takes `days`. `often`: so many times the published and stated rates."""
    rng = stream(seed, number, "events")
    expected = often * CUTS_PER_YEAR / FILLS_PER_YEAR
    cuts = [_cut(rng, days) for _ in range(_poisson(rng, expected))]
    onsets = []
    for kind, rate in COMPLICATIONS.items():
        chance = min(1.0, often * -math.log1p(-rate.share) / LIFE_FILLS)
        at_us, what = round(rng.uniform(0.02, 0.98) * days * DAY_US), rng.choice(rate.what or ("",))
        if rng.random() < chance:
            onsets.append(Onset(at_us, kind, what))
    answers = tuple(_log(rng, ANSWER_S) for _ in range(8))
    return Events(tuple(cuts), tuple(onsets), answers)


def pump_ppm(seed: int) -> int:
    """How much this pump's quartz runs fast."""
    return stream(seed, 0, "crystal").randint(-CRYSTAL_PPM, CRYSTAL_PPM)


def susceptibility(seed: int) -> float:
    """Of this patient's bile ducts; 1: the median."""
    return stream(seed, 0, "patient").lognormvariate(0.0, SUSCEPTIBILITY_SIGMA)


def _cut(rng: random.Random, days: float) -> Cut:
    torn = rng.choice(TORN_MODES) if rng.random() < TORN_SHARE else ""
    return Cut(round(rng.random() * days * DAY_US), _log(rng, OUTAGE_S), _log(rng, ANSWER_S), torn)


def _log(rng: random.Random, span: tuple[float, float]) -> float:
    return math.exp(rng.uniform(math.log(span[0]), math.log(span[1])))


def _poisson(rng: random.Random, expected: float) -> int:
    """Knuth's method; `expected` is small."""
    bound, product, count = math.exp(-expected), rng.random(), 0
    while product > bound:
        product *= rng.random()
        count += 1
    return count
