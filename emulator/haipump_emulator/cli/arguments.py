"""How quantities become command line arguments, and how the program says that something went wrong.

Owns: the conversion of QuantityError into a usage error (exit code 2), and the one line of an error. Must not: know a
command.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import typer

from haipump_emulator import quantities


def _argument(parse: Callable[[str], Any], metavar: str) -> dict[str, Any]:
    """Keyword arguments for typer.Argument or typer.Option: `Annotated[int, typer.Option(**TIME)]`."""

    def converted(text: str) -> Any:
        try:
            return parse(text)
        except quantities.QuantityError as error:
            raise typer.BadParameter(str(error)) from None

    return {"parser": converted, "metavar": metavar}


TIME = _argument(quantities.parse_time_us, "TIME")
VOLUME = _argument(quantities.parse_volume_nl, "VOLUME")
HEIGHT = _argument(quantities.parse_height_cm, "HEIGHT")
TEMPERATURE = _argument(quantities.parse_temperature_c, "TEMPERATURE")
RESISTANCE = _argument(quantities.parse_resistance, "RESISTANCE")
VOLTAGE = _argument(quantities.parse_voltage_mv, "VOLTAGE")


def _speed(text: str) -> float | str:
    speed = quantities.parse_speed(text)
    return "max" if speed is None else speed


# typer takes None for "not given", so `max` stays a word here.
SPEED = _argument(_speed, "FACTOR|max")


def fail(message: object, code: int = 1) -> NoReturn:
    """One line on standard error, and out."""
    typer.echo(f"haipump-emu: {message}", err=True)
    raise typer.Exit(code)
