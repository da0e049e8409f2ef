"""`haipump-emu hands`: a nurse for an emulated pump, who answers what `haipump therapy run --hands` asks.

Owns: what is done at the emulator for each step, what is seen of the catheter, and the errors of reading. Must not:
know more of a refill than the steps' names, or of the emulator than its control socket.
"""

import json
import random
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from haipump_emulator import control
from haipump_emulator.cli import arguments
from haipump_emulator.cli.arguments import fail
from haipump_emulator.faults.catalogue import CatheterFault, parse
from haipump_emulator.plant.catheter import CONDITIONS, PATENT, Catheter, Feel, Place, flows, flush_flows, signs
from haipump_emulator.plant.surroundings import REFERENCE
from haipump_emulator.statedir import state_dir

# What is answered where nothing is to be done.
WORDS = {
    "identify": "emulated nurse",
    "drug": "LOT 1",
    "prime_ready": "yes",
    "substitute": "saline",
    "acknowledge": "an emulated reason",
    "check_record": "yes",
    "pocket": "again",
    "start": "yes",
}
CLEAN_NL = 1_000
FLUSHES = ("flush", "patency")
TRACERS = ("perfusion", "trace")
# A source that gives the rate of a course, 15 nL/s, whatever stands behind it.
RATE_PA, RATE_PA_S_PER_NL = 15e6, 1e6
SWELLS_SHARE = 0.2  # of a flush, into the pocket: is seen there; assumed


def register(app: typer.Typer) -> None:
    app.command()(hands)


def hands(
    name: Annotated[str | None, typer.Option(help="Which emulator, when several are running.")] = None,
    reading_error: Annotated[
        int, typer.Option(help="Standard deviation of a volume that is read.", **arguments.VOLUME)
    ] = "0.1mL",  # type: ignore[assignment]
    seed: Annotated[int, typer.Option(min=0, help="Of the errors of reading.")] = 0,
) -> None:
    """Answer the questions of `haipump therapy run --hands "haipump-emu hands"` in a person's place, and fill the
    syringe. One line of JSON in, one line out."""
    try:
        emulator = control.find(name)
        nurse = Nurse(emulator, reading_error, random.Random(seed), state_dir() / f"{emulator.name}.slip")
        for line in sys.stdin:
            typer.echo(nurse.answer(json.loads(line)))
            sys.stdout.flush()
    except control.ControlError as error:
        fail(str(error))


def felt(catheter: Catheter) -> str:
    """What a flush shows, the worst first: swelling, blocked, stiff, no blood, or free."""
    flush = flush_flows(catheter, REFERENCE.artery_pa)
    if flush.leak > SWELLS_SHARE * flush.pump:
        return "swelling"
    seen = signs(catheter, REFERENCE.artery_pa, flush)
    if seen.flush is not Feel.FREE:
        return str(seen.flush)
    return "free" if seen.blood_return else "no blood"


def traced(catheter: Catheter) -> str:
    """Where a tracer shows that goes in as slowly as the drug, the worst first."""
    slow = flows(catheter, RATE_PA, RATE_PA_S_PER_NL, REFERENCE.artery_pa)
    seen = signs(catheter, REFERENCE.artery_pa, slow).tracer
    if Place.OTHER_ORGAN in seen:
        return "other organ"
    return "pocket" if Place.POCKET in seen else "liver" if seen else "blocked"


class Nurse:
    """Whoever stands at the bench. `slip`: a file for what was in before the needle went in, which is told when it has
    come out; a host that ends in between takes the nurse with it, and not the slip."""

    def __init__(self, emulator: control.Record, error_nl: int, rng: random.Random, slip: Path) -> None:
        self._emulator, self._error_nl, self._rng = emulator, error_nl, rng
        self._slip = slip

    def answer(self, asked: dict[str, Any]) -> str:
        """What is typed, after it was done. Raises ControlError."""
        state = asked["state"]
        if state == "access":
            self._slip.write_text(str(self._call("truth")["reservoir_nl"]), encoding="ascii")
            return "yes"
        if state == "withdraw":
            first = "nothing is expected" in asked["text"]
            return "0" if first else self._read(float(self._slip.read_text(encoding="ascii")))
        if state == "placement":
            return self._read(asked["check_nl"])
        if state == "portion":
            self._slip.unlink(missing_ok=True)
            self._call("refill", volume_nl=asked["fill_nl"])
            return "yes"
        if state in FLUSHES:
            return felt(self._catheter())
        if state in TRACERS:
            # The first of them in a visit has the flush in it.
            first = felt(self._catheter()) if "flush with" in asked["text"] else "free"
            return first if first != "free" else traced(self._catheter())
        return WORDS[state]

    def _catheter(self) -> Catheter:
        """As the fault `catheter` has it."""
        begun = [parse(text) for text in self._call("status")["faults"]]
        found = [fault.condition for fault in begun if isinstance(fault, CatheterFault)]
        return CONDITIONS[found[0]] if found else PATENT

    def _read(self, volume_nl: float) -> str:
        read_nl = round(self._rng.gauss(volume_nl, self._error_nl) / CLEAN_NL) * CLEAN_NL
        return f"{max(0, read_nl)} nL"

    def _call(self, command: str, **more: Any) -> dict[str, Any]:
        return control.call(self._emulator, command, **more)
