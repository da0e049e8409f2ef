"""An emulated implant and whoever refills it, for tests: every answer comes from the implant's physics and is read with
realistic errors. Owns: those errors. Tests nothing.

The errors are those of test_findings.py: volumes by 0.5 mL and read to half millilitres, up to 0.5 mL left behind, a
label that is off by up to 2.5 %, and from fortnight to fortnight body temperature by 0.15 K, artery pressure by 10 mmHg
and the weather by 10 hPa (standard deviations)."""

from __future__ import annotations

import random
from dataclasses import replace

from haipump.errors import UsageError
from haipump.therapy.refill import Procedure
from haipump.therapy.steps import Question
from haipump_emulator.plant.catheter import Feel, Place
from haipump_emulator.plant.implant import Contents, Flush, ImplantedPump, ImplantParams, Needle
from haipump_emulator.plant.surroundings import DAY_S, PA_PER_MMHG, REFERENCE, US_PER_S
from tests.host.therapy.clinic import Day

ML = 1_000_000
READING_NL, GRAIN_NL = 500_000.0, 500_000
SMALL_READING_NL = 200_000.0
LEFT_BEHIND_NL = 500_000.0
LABEL_SHARE = 0.025
TEMPERATURE_K, ARTERY_MMHG, WEATHER_PA = 0.15, 10.0, 1_000.0
FLUSH_NL = 5 * ML
SWELLS_NL = ML  # so much beside the pump is seen and felt; assumed
CAPACITY_NL = 35 * ML  # nominal 30 mL, and room for a fill that was read wrong


class Implant:
    """The pump in the patient, and a nurse who answers for it. `beside` and `slips`: what the needle does next."""

    def __init__(self, day: Day, rng: random.Random) -> None:
        self.day, self.rng = day, rng
        self.pump = ImplantedPump(ImplantParams(capacity_nl=CAPACITY_NL), Contents(0.0))
        self.pump.speed(0, 1 + rng.uniform(-LABEL_SHARE, LABEL_SHARE))
        self.beside = self.slips = False
        self.asked: list[str] = []
        self._needle = Needle.REFILL
        self._flushed: Flush | None = None

    @property
    def t_us(self) -> int:
        return round(self.day.days * DAY_S * US_PER_S)

    def live(self) -> None:
        """Another fortnight, with a little of everything."""
        draw = self.rng.gauss
        world = replace(
            REFERENCE,
            temperature_c=REFERENCE.temperature_c + draw(0, TEMPERATURE_K),
            artery_pa=REFERENCE.artery_pa + draw(0, ARTERY_MMHG) * PA_PER_MMHG,
            ambient_pa=REFERENCE.ambient_pa + draw(0, WEATHER_PA),
        )
        self.pump.surround(self.t_us, world)

    # --- as an Asker

    def ask(self, question: Question) -> str:
        self.asked.append(question.state)
        if question.state in WORDS:
            return WORDS[question.state]
        return getattr(self, f"_{question.state}")(question)

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def wrong(self, error: UsageError) -> None:
        raise AssertionError(error.what)

    def judged(self, procedure: Procedure) -> None:
        return None

    def _identify(self, question: Question) -> str:
        self.asked = ["identify"]
        self._flushed = None
        self._needle = Needle.REFILL
        return "Eva Lang"

    def _access(self, question: Question) -> str:
        return "yes" if self.pump.palpable() else "not found"

    def _withdraw(self, question: Question) -> str:
        in_nl = self.pump.truth(self.t_us).reservoir.volume_nl
        out = self.pump.withdraw(self.t_us, at_most_nl=in_nl - self.rng.uniform(0, LEFT_BEHIND_NL))
        if self.beside:
            self._needle = Needle.BESIDE
        return self._read(out.volume_nl, READING_NL, GRAIN_NL)

    def _placement(self, question: Question) -> str:
        """Tissue gives nothing back of itself."""
        if self._needle is Needle.BESIDE:
            self.pump.fill(self.t_us, Contents(5.0 * ML), self._needle)
            return "0"
        self.pump.fill(self.t_us, Contents(5.0 * ML))
        out = self.pump.withdraw(self.t_us, at_most_nl=5.0 * ML)
        return self._read(out.volume_nl, SMALL_READING_NL, 100_000)

    def _pocket(self, question: Question) -> str:
        self._needle, self.beside = Needle.REFILL, False
        return "again"

    def _portion(self, question: Question) -> str:
        if self.slips and self.asked.count("portion") == 2:
            self._needle = Needle.BESIDE
        part_nl = 10 * ML + self.rng.gauss(0, READING_NL / 3**0.5)
        self.pump.fill(self.t_us, Contents(part_nl), self._needle)
        return "no" if self._needle is Needle.BESIDE else "yes"

    def _flush(self, question: Question) -> str:
        """The first sign that is seen, the worst first."""
        self._flushed = done = self.pump.flush(self.t_us, FLUSH_NL)
        if done.leaked_nl > SWELLS_NL:
            return "swelling"
        if done.signs.flush is not Feel.FREE:
            return str(done.signs.flush)
        return "free" if done.signs.blood_return else "no blood"

    _patency = _flush

    def _perfusion(self, question: Question) -> str:
        """With the flush before it, unless that was in this visit."""
        if self._flushed is None:
            felt = self._flush(question)
            if felt != "free":
                return felt
        assert self._flushed is not None
        seen = self._flushed.signs.tracer
        if Place.OTHER_ORGAN in seen:
            return "other organ"
        return "pocket" if Place.POCKET in seen else "liver" if seen else "blocked"

    _trace = _perfusion

    def _read(self, volume_nl: float, u_nl: float, grain_nl: int) -> str:
        read_nl = round(self.rng.gauss(volume_nl, u_nl) / grain_nl) * grain_nl
        return f"{max(0, read_nl)} nL"


WORDS = {
    "drug": "LOT 17",
    "check_record": "yes",
    "substitute": "saline",
    "acknowledge": "told the oncologist",
    "start": "yes",
}
