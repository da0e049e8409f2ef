"""`haipump-emu hands`: a nurse for an emulated pump, who answers what `haipump therapy run --hands` asks.

Owns: what is done at the emulator for each step, and the errors of reading. Must not: know more of a refill than the
steps' names, or of the emulator than its control socket.
"""

import json
import random
import sys
from typing import Annotated, Any

import typer

from haipump_emulator import control
from haipump_emulator.cli import arguments
from haipump_emulator.cli.arguments import fail

# What is answered where nothing is to be done.
WORDS = {
    "identify": "emulated nurse",
    "drug": "LOT 1",
    "prime_ready": "yes",
    "flush": "free",
    "patency": "free",
    "perfusion": "liver",
    "trace": "liver",
    "substitute": "saline",
    "acknowledge": "an emulated reason",
    "check_record": "yes",
    "pocket": "again",
    "start": "yes",
}
CLEAN_NL = 1_000


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
        nurse = Nurse(control.find(name), reading_error, random.Random(seed))
        for line in sys.stdin:
            typer.echo(nurse.answer(json.loads(line)))
            sys.stdout.flush()
    except control.ControlError as error:
        fail(str(error))


class Nurse:
    """Whoever stands at the bench."""

    def __init__(self, emulator: control.Record, error_nl: int, rng: random.Random) -> None:
        self._emulator, self._error_nl, self._rng = emulator, error_nl, rng
        self._left_nl = 0.0

    def answer(self, asked: dict[str, Any]) -> str:
        """What is typed, after it was done. Raises ControlError."""
        state = asked["state"]
        if state == "access":
            self._left_nl = self._call("truth")["reservoir_nl"]
            return "yes"
        if state == "withdraw":
            first = "nothing is expected" in asked["text"]
            return "0" if first else self._read(self._left_nl)
        if state == "placement":
            return self._read(asked["check_nl"])
        if state == "portion":
            self._call("refill", volume_nl=asked["fill_nl"])
            return "yes"
        return WORDS[state]

    def _read(self, volume_nl: float) -> str:
        read_nl = round(self._rng.gauss(volume_nl, self._error_nl) / CLEAN_NL) * CLEAN_NL
        return f"{max(0, read_nl)} nL"

    def _call(self, command: str, **more: Any) -> dict[str, Any]:
        return control.call(self._emulator, command, **more)
