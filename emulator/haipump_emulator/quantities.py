"""Quantities as people type them (`90s`, `1h30min`, `0.1mL`, `50kPa`) to whole numbers of one base unit, and back.

Owns: the spelling of units in the emulator's command line and scenario files. Must not: round in silence, guess a unit
that was not typed, or know anything but text and numbers. Everything is worked out with `fractions`; a value that is
no whole number of its base unit is refused, except mmHg and cmH2O, which no whole number of pascals can hit.
"""

import re
from collections.abc import Mapping
from fractions import Fraction

_TIME_US = {
    "us": 1,
    "µs": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "sec": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "day": 86_400_000_000,
    "days": 86_400_000_000,
}
_VOLUME_NL = {"nL": 1, "uL": 1_000, "µL": 1_000, "mL": 1_000_000, "L": 1_000_000_000}
_PRESSURE_PA = {"Pa": 1, "hPa": 100, "mbar": 100, "kPa": 1_000, "bar": 100_000}
# Conventional millimetre of mercury and centimetre of water (ISO 80000-4), rounded to the pascal when used.
_PRESSURE_ROUNDED_PA = {"mmHg": Fraction("133.322387415"), "cmH2O": Fraction("98.0665")}
_LENGTH_CM = {"mm": Fraction(1, 10), "cm": Fraction(1), "m": Fraction(100)}
_VOLTAGE_MV = {"mV": 1, "V": 1_000}
_PER_DAY = {"s": 86_400, "sec": 86_400, "min": 1_440, "h": 24, "hour": 24, "d": 1, "day": 1}
_RESISTANCE = {
    "Pa*s/nL": Fraction(1),
    "kPa*s/nL": Fraction(1_000),
    "kPa*s/uL": Fraction(1),
    "kPa*min/mL": Fraction(60, 1_000),
}

_NUMBER = r"[+-]?(?:\d+(?:[_ ]\d{3})*|\d*)(?:\.\d+|\.)?(?:e[+-]?\d{1,3})?"
_ONE = re.compile(rf"\s*(?P<number>{_NUMBER})\s*(?P<unit>[^\d\s+\-.][^\s+]*?)?\s*", re.IGNORECASE)
_PIECE = re.compile(r"\s*(?P<number>\d+(?:_\d{3})*(?:\.\d+)?)\s*(?P<unit>[a-zµμ]+)", re.IGNORECASE)
TEXT_MAX = 80


class QuantityError(ValueError):
    """The text is no such quantity; the message says what was expected."""


def _normal(unit: str) -> str:
    # Both code points look like the micro sign; degrees, dots and blanks inside a unit carry no meaning of their own.
    return unit.lower().replace("μ", "µ").replace("·", "*").replace("°", "").replace(".", "*")


def _number(text: str, whole: str) -> Fraction:
    try:
        return Fraction(text.replace("_", "").replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        raise QuantityError(f"{whole!r} does not start with a number") from None


def _split(text: str, what: str, example: str) -> tuple[Fraction, str]:
    match = _ONE.fullmatch(text) if len(text) <= TEXT_MAX else None
    if match is None or not match["number"]:
        raise QuantityError(f"{text[:TEXT_MAX]!r} is no {what}: write it like {example}")
    if not match["unit"]:
        raise QuantityError(f"{text!r} has no unit: write it like {example}")
    return _number(match["number"], text), _normal(match["unit"])


def _factor(unit: str, units: Mapping[str, int | Fraction], text: str, what: str) -> Fraction:
    for name, factor in units.items():
        if _normal(name) == unit:
            return Fraction(factor)
    known = ", ".join(name for name in units if "µ" not in name)
    raise QuantityError(f"{text!r}: {unit!r} is no unit of {what}; known: {known}")


def _whole(value: Fraction, text: str, base: str) -> int:
    if value.denominator != 1:
        raise QuantityError(f"{text!r} is no whole number of {base}")
    return value.numerator


def parse_time_us(text: str) -> int:
    """`90s`, `20min`, `14d`, `1h30min`, `250ms` as microseconds, 0 or more. Raises QuantityError."""
    total, at = Fraction(0), 0
    stripped = text.strip()
    if len(text) > TEXT_MAX or not stripped:
        raise QuantityError(f"{text[:TEXT_MAX]!r} is no time: write it like 90s, 20min, 1h30min or 14d")
    while at < len(stripped):
        match = _PIECE.match(stripped, at)
        if match is None:
            reason = "has no unit" if re.fullmatch(r"[\d._]+", stripped[at:]) else "is no time"
            raise QuantityError(f"{text!r} {reason}: write it like 90s, 20min, 1h30min or 14d")
        total += _number(match["number"], text) * _factor(_normal(match["unit"]), _TIME_US, text, "time")
        at = match.end()
    return _whole(total, text, "microseconds")


def parse_volume_nl(text: str) -> int:
    """`0.1mL`, `250uL`, `30 ml` as nanolitres, 0 or more. Raises QuantityError."""
    number, unit = _split(text, "volume", "0.1mL")
    return _whole(_not_negative(number, text) * _factor(unit, _VOLUME_NL, text, "volume"), text, "nanolitres")


def parse_pressure_pa(text: str) -> int:
    """`50kPa`, `-20 mbar`, `100mmHg` as pascals; mmHg and cmH2O are rounded to the pascal. Raises QuantityError."""
    number, unit = _split(text, "pressure", "50kPa")
    value = number * _factor(unit, {**_PRESSURE_PA, **_PRESSURE_ROUNDED_PA}, text, "pressure")
    if unit in map(_normal, _PRESSURE_ROUNDED_PA):
        return round(value)
    return _whole(value, text, "pascals")


def parse_rate_nl_per_day(text: str) -> int:
    """`1.3mL/day`, `0.5 ml/h`, `2uL/min` as nanolitres per day, 0 or more. Raises QuantityError."""
    number, unit = _split(text, "rate", "1.3mL/day")
    volume, slash, per = unit.partition("/")
    if not slash:
        raise QuantityError(f"{text!r} is no rate: write it like 1.3mL/day")
    factor = _factor(volume, _VOLUME_NL, text, "volume") * _factor(per, _PER_DAY, text, "time")
    return _whole(_not_negative(number, text) * factor, text, "nanolitres per day")


def parse_height_cm(text: str) -> int:
    """`30cm`, `-0.5m` as centimetres; positive is above the patient. Raises QuantityError."""
    number, unit = _split(text, "height", "30cm")
    return _whole(number * _factor(unit, _LENGTH_CM, text, "length"), text, "centimetres")


def parse_voltage_mv(text: str) -> int:
    """`4.5V`, `4500mV` as millivolts, 0 or more. Raises QuantityError."""
    number, unit = _split(text, "voltage", "4.5V")
    return _whole(_not_negative(number, text) * _factor(unit, _VOLTAGE_MV, text, "voltage"), text, "millivolts")


def parse_temperature_c(text: str) -> float:
    """`37C`, `36.5°C` as degrees Celsius (a physical quantity of the plant, hence a float). Raises QuantityError."""
    number, unit = _split(text, "temperature", "37C")
    if unit not in ("c", "degc"):
        raise QuantityError(f"{text!r}: {unit!r} is no unit of temperature; known: C")
    return float(number)


def parse_resistance(text: str) -> float:
    """`50Pa*s/nL`, `2kPa*min/mL` as pascal seconds per nanolitre, above 0. Raises QuantityError."""
    number, unit = _split(text.replace(" ", ""), "flow resistance", "50Pa*s/nL")
    value = number * _factor(unit, _RESISTANCE, text, "flow resistance")
    if value <= 0:
        raise QuantityError(f"{text!r}: a resistance is above 0")
    return float(value)


def parse_speed(text: str) -> float | None:
    """`1`, `60`, `0.5`, `60x` as a factor; None for `max`. Raises QuantityError."""
    plain = text.strip().lower()
    if plain == "max":
        return None
    try:
        speed = float(Fraction(plain.removesuffix("x")))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise QuantityError(f"{text!r} is no speed: a number such as 1 or 60, or max") from None
    if not 1e-3 <= speed <= 1e6:
        raise QuantityError(f"{text!r}: a speed is a number from 0.001 to 1000000, or max")
    return speed


def _not_negative(number: Fraction, text: str) -> Fraction:
    if number < 0:
        raise QuantityError(f"{text!r} is below 0")
    return number


def format_time(us: int) -> str:
    """Microseconds for people: `2 d 03:04:05`, `00:01:30.250`."""
    seconds, rest_us = divmod(abs(us), 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    clock = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if rest_us and not days:
        clock += f".{rest_us // 1_000:03}"
    return ("-" if us < 0 else "") + (f"{days} d " if days else "") + clock


def format_volume(nl: int | float) -> str:
    """Nanolitres for people, in millilitres down to the nanolitre: `1.3 mL`, `0.000231 mL`."""
    text = f"{nl / 1_000_000:.6f}".rstrip("0").rstrip(".")
    return f"{'0' if text == '-0' else text} mL"
