"""The people of the years: who does the visits, the laboratory, and the patient who gets what arrives.

Owns: errors of reading, what a hand at the plant does, what reaches the patient. Must not: decide about a dose.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from haipump.errors import UsageError
from haipump.therapy import findings
from haipump.therapy.steps import Question
from haipump_emulator.cli.hands import felt, traced
from haipump_emulator.plant import catheter
from haipump_emulator.plant.patient import Patient
from tools.years import rates

NAME = "Emulated Nurse"
SHOWN_NL = 1_000
NG_PER_UG = 1_000
MIN_US = 60 * rates.US_PER_S
WRONG_MAX = 5
WORDS = {
    "identify": NAME, "drug": "LOT 1", "prime_ready": "yes", "check_record": "yes",
    "acknowledge": "as told by an emulated doctor", "pocket": "again"
}  # fmt: skip


class Tube:
    """The catheter at the plant's line: how it is, and whether it is connected. It is not during a visit."""

    def __init__(self, plant: Any, name: str = catheter.PATENT.name) -> None:
        self.plant, self.name = plant, name
        self._connected = True

    @property
    def reaches(self) -> bool:
        """What comes out of the tip reaches the liver."""
        return catheter.CONDITIONS[self.name].tip is catheter.Tip.ARTERY

    def become(self, t_us: int, name: str) -> None:
        self.name = name
        if self._connected:
            self._put_on(t_us, name)

    def disconnect(self, t_us: int) -> None:
        """The line ends at a stopcock: free, and at the pressure of the artery, so that nothing flows for that."""
        self._connected = False
        self._put_on(t_us, catheter.PATENT.name)

    def connect(self, t_us: int) -> None:
        self._connected = True
        self._put_on(t_us, self.name)

    def _put_on(self, t_us: int, name: str) -> None:
        catheter.put_on(self.plant, t_us, catheter.CONDITIONS[name], self.plant.params.artery.mean_pa)

    @property
    def condition(self) -> catheter.Catheter:
        return catheter.CONDITIONS[self.name]


class Nurse:
    """Answers a visit's questions, and does at the plant what they ask. Keeps what was found."""

    def __init__(self, line: Any, tube: Tube, rng: random.Random, misses: int, starts: Callable[[], None]) -> None:
        self._line, self._tube, self._rng, self.starts = line, tube, rng, starts
        self._misses = misses  # so often the needle is not in the reservoir
        self._left_nl = 0.0
        self._sign = ""  # that the catheter has shown, and nobody has seen to
        self._fill_nl = 0
        self._wrongs = 0
        self.found: list[str] = []
        self.kinds: set[str] = set()

    def begins(self, visit: Any) -> Nurse:
        """Who answers in this visit."""
        self.procedure = visit.procedure
        plan = self.procedure.plan
        self._fill_nl, self._check_nl = plan.fill_nl, min(plan.check_nl, plan.fill_nl)
        return self

    def ask(self, question: Question) -> str:
        step = getattr(self, f"_{question.state}", None)
        return WORDS[question.state] if step is None else step(question)

    def say(self, text: str) -> None:
        return None

    def wrong(self, error: UsageError) -> None:
        self._wrongs += 1
        if self._wrongs > WRONG_MAX:
            raise error

    def judged(self, procedure: Any) -> None:
        self.kinds |= procedure.assessment.kinds

    # --- steps with something to do

    def _access(self, question: Question) -> str:
        core = self._line.core
        self.mend()
        self._tube.disconnect(core.now_us)
        self._left_nl = core.plant.truth(core.now_us).reservoir_nl
        return "yes"

    def _withdraw(self, question: Question) -> str:
        return "0" if "nothing is expected" in question.text else self._read(self._left_nl, findings.READING_NL)

    def _placement(self, question: Question) -> str:
        if self._misses:
            self._misses -= 1
            self.found.append("pocket: what was pushed did not come back")
            return "0"
        return self._read(self._check_nl, findings.SMALL_READING_NL)

    def _portion(self, question: Question) -> str:
        core = self._line.core
        syringe = core.plant.params.syringe
        real_nl = self._rng.gauss(self._fill_nl, rates.FILL_SD_NL)
        core.plant.refill(core.now_us, min(real_nl, syringe.capacity_nl + syringe.overfill_nl))
        return "yes"

    def _flush(self, question: Question) -> str:
        return self._noted("flush", felt(self._tube.condition))

    _patency = _flush

    def _perfusion(self, question: Question) -> str:
        """The first question about a tracer in a visit may have the flush in it."""
        first = felt(self._tube.condition) if "flush with" in question.text else "free"
        return self._noted("flush", first) if first != "free" else self._trace(question)

    def _trace(self, question: Question) -> str:
        return self._noted("tracer", traced(self._tube.condition))

    def _substitute(self, question: Question) -> str:
        self.mend()
        return "saline"

    def _noted(self, how: str, sign: str) -> str:
        """What is answered, and is kept until it is mended; a tracer in the liver alone takes a doubt back."""
        self._sign = "" if sign in ("free", "liver") else f"{how}: {sign}"
        return sign

    def mend(self) -> bool:
        """Between two visits, or in one: what a flush or a tracer has shown. False when it has shown nothing."""
        sign, self._sign = self._sign, ""
        if sign:
            self.repair(sign)
        return bool(sign)

    def _start(self, question: Question) -> str:
        self.starts()
        return "yes"

    def repair(self, sign: str) -> None:
        """The catheter is as new; `sign` told that it was not."""
        if self._tube.name != catheter.PATENT.name:
            self.found.append(f"{self._tube.name}: {sign}")
            self._tube.become(self._line.core.now_us, catheter.PATENT.name)

    def _read(self, volume_nl: float, sd_nl: float) -> str:
        read_nl = round(self._rng.gauss(volume_nl, sd_nl) / SHOWN_NL) * SHOWN_NL
        return f"{max(0, read_nl)} nL"


class Exposure:
    """What arrives in the artery becomes the patient's infusion. The line's own volume is left out: drug arrives with
    the first step."""

    def __init__(self, patient: Patient, tube: Tube) -> None:
        self._patient, self._tube = patient, tube
        self.ng_per_ml = Fraction(0)  # of what is in the pump
        self.given_ug = 0.0
        self._last: tuple[int, float] | None = None  # when, and what had arrived; None: nothing is delivered

    def look(self, t_us: int, delivering: bool) -> None:
        """The plant's truth now, and whether what arrives from now on is the dose."""
        arrived_nl = self._tube.plant.truth(t_us).arrived_nl
        if self._last is not None and t_us > self._last[0]:
            since_us, before_nl = self._last
            share = max(0.0, arrived_nl - before_nl) if self._tube.reaches else 0.0
            dose_ug = share / 1e6 * float(self.ng_per_ml) / NG_PER_UG
            self._patient.infuse(since_us, dose_ug / ((t_us - since_us) / MIN_US))
            self.given_ug += dose_ug
        if self._last is None or t_us > self._last[0]:
            self._patient.infuse(t_us, 0.0)
        self._last = (t_us, arrived_nl) if delivering else None


def laboratory(patient: Patient, t_us: int, rng: random.Random) -> dict[str, Fraction]:
    """ALP, AST and bilirubin as a laboratory reports them: tenths, or hundredths for bilirubin."""
    found = {}
    for name, value in patient.truth(t_us).markers.items():
        digits = 2 if name == "bilirubin" else 0
        found[name] = Fraction(str(round(value * rng.gauss(1.0, rates.LAB_CV), digits)))
    return found
