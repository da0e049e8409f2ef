"""What people type ("1.3 mL/day", "10 min", "50 kPa") into the pump's whole numbers, and back.

Owns: the grammar of quantities, exact conversion through fractions, and the one unit in which each is shown. Must
not: know limits (the pump has them) or round a dose: what is not a whole number of nL, nL/day or s is refused with the
nearest that are. Pressures are alarm thresholds and not doses; they are rounded to the nearest pascal.

Numbers are plain: digits, perhaps a point and digits. No sign, no exponent, no comma, no leading zero, no missing
digit: each of these has been misread once on a real pump. Every quantity needs its unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from fractions import Fraction
from typing import TypeVar

from haipump.errors import InexactQuantity, QuantityError

_T = TypeVar("_T")

SECONDS_PER_DAY = 86_400
FL_PER_NL = 1_000_000
PER_DAY_OF_ML_PER_H = 24_000_000
DIGITS_BESIDE_MAX = 7  # of a rate in its second unit
DIGITS_MAX = 18  # of a typed number; more is a paste accident

_VOLUME_NL = {"nl": Fraction(1), "ul": Fraction(1_000), "ml": Fraction(1_000_000)}
_TIME_S = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "min": 60, "minute": 60, "minutes": 60,
    "h": 3_600, "hr": 3_600, "hour": 3_600, "hours": 3_600,
    "d": SECONDS_PER_DAY, "day": SECONDS_PER_DAY, "days": SECONDS_PER_DAY,
    "w": 7 * SECONDS_PER_DAY, "week": 7 * SECONDS_PER_DAY, "weeks": 7 * SECONDS_PER_DAY,
}  # fmt: skip
# 1 psi = 1 lbf/in2 = 0.45359237 kg * 9.80665 m/s2 / (0.0254 m)2; 1 mmHg = 13.5951 * 9.80665 Pa (conventional values)
_PRESSURE_PA = {
    "pa": Fraction(1),
    "hpa": Fraction(100),
    "kpa": Fraction(1_000),
    "mbar": Fraction(100),
    "bar": Fraction(100_000),
    "mmhg": Fraction("13.5951") * Fraction("9.80665"),
    "psi": Fraction("0.45359237") * Fraction("9.80665") / Fraction("0.0254") ** 2,
}
# What a therapy is written in. Heparin has no mass: it is dosed in units. "U" and "IU" are misread as 0 and IV, so a
# drug's units are spelt out; of enzymes, which nobody doses, U/L is what every laboratory prints.
_MASS_MG = {"mg": Fraction(1), "g": Fraction(1_000), "ug": Fraction(1, 1_000), "mcg": Fraction(1, 1_000)}
_BODY_KG = {"kg": Fraction(1)}
_DRUG_UNITS = {"units": Fraction(1), "unit": Fraction(1)}
_PERCENT = {"%": Fraction(1)}
_DOSE_MG_PER_KG_DAY = {"mg/kg/day": Fraction(1), "mg/kg/d": Fraction(1), "ug/kg/day": Fraction(1, 1_000)}
_MASS_PER_DAY = {"mg/day": Fraction(1), "mg/d": Fraction(1), "ug/day": Fraction(1, 1_000)}
_UNITS_PER_DAY = {"units/day": Fraction(1), "units/d": Fraction(1), "units/h": Fraction(24)}
_MASS_PER_ML = {"mg/ml": Fraction(1), "g/l": Fraction(1), "ug/ml": Fraction(1, 1_000)}
_UNITS_PER_ML = {"units/ml": Fraction(1)}
# 1 kat is 1 mol/s, 1 U is 1 umol/min: 1 ukat/L = 60 U/L
_ENZYME_U_PER_L = {"u/l": Fraction(1), "iu/l": Fraction(1), "ukat/l": Fraction(60), "nkat/l": Fraction(60, 1_000)}
# Laboratories and rules convert bilirubin with 17.1, and so do we: a bound of 3 mg/dL is printed as 51.3 umol/L, and
# must be one and the same bound. The molar mass (C33H36N4O6, 584.66 g/mol) gives 17.104, 0.02 % more, which would put
# each printed bound just below itself.
BILIRUBIN_UMOL_PER_L = Fraction("17.1")  # of 1 mg/dL
_BILIRUBIN_MG_PER_DL = {"mg/dl": Fraction(1), "umol/l": 1 / BILIRUBIN_UMOL_PER_L}
THERAPY_UNITS: Mapping[str, Mapping[str, Fraction]] = {
    "mg": _MASS_MG,
    "kg": _BODY_KG,
    "units": _DRUG_UNITS,
    "%": _PERCENT,
    "mg/kg/day": _DOSE_MG_PER_KG_DAY,
    "mg/day": _MASS_PER_DAY,
    "units/day": _UNITS_PER_DAY,
    "mg/mL": _MASS_PER_ML,
    "units/mL": _UNITS_PER_ML,
    "U/L": _ENZYME_U_PER_L,
    "mg/dL": _BILIRUBIN_MG_PER_DL,
}
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_PIECE = re.compile(r"([0-9.]+)\s*([A-Za-z]+)\s*")


def volume_nl(text: str) -> int:
    """Nanolitres of `2mL`, `0.1 ml`, `50 uL`, `300 nL`. Raises QuantityError, InexactQuantity."""
    number, unit = _split(text, "a volume", "2 mL")
    factor = _unit(_VOLUME_NL, unit, text, "mL, uL, nL")
    return _whole(_number(number, text) * factor, text, "nL", lambda value: f"{_decimal(value / factor)} {unit}")


def rate_nl_per_day(text: str) -> int:
    """Nanolitres per day of `1.3mL/day`, `0.5 ml/h`, `2 uL/min`, `10nL/s`. Raises QuantityError, InexactQuantity."""
    number, unit = _split(text, "a rate", "1.3 mL/day")
    volume, slash, time = unit.replace(" per ", "/").partition("/")
    if not slash:
        raise _bad(text, "is no rate: it has no time", 'write for example "1.3 mL/day" or "0.5 mL/h"')
    per_s = _unit(_VOLUME_NL, volume.strip(), text, "mL, uL, nL before the /")
    time_s = _unit(_TIME_S, time.strip(), text, "day, h, min, s after the /")
    exact = _number(number, text) * per_s * SECONDS_PER_DAY / time_s

    def as_typed(value: int) -> str:
        in_unit = Fraction(value * time_s, SECONDS_PER_DAY) / per_s
        return (
            f"{value} nL/day" if _decimal(in_unit) is None else f"{_decimal(in_unit)} {volume.strip()}/{time.strip()}"
        )

    return _whole(exact, text, "nL/day", as_typed)


def duration_s(text: str) -> int:
    """Seconds of `90s`, `10 min`, `2h`, `14d`, `1h30min`, `1.5 h`. Raises QuantityError, InexactQuantity."""
    clean = _clean(text, "a time", "10 min")
    total, smallest, position = Fraction(0), None, 0
    while position < len(clean):
        piece = _PIECE.match(clean, position)
        if piece is None:
            raise _no_quantity(text, clean, "a time", "10 min")
        if piece[2].lower() == "m":
            raise _bad(text, 'has the unit "m", which could be minutes or months', 'write "min"')
        unit_s = _unit(_TIME_S, piece[2], text, "d, h, min, s")
        if smallest is not None and unit_s >= smallest:
            raise _bad(text, "does not go from the longer to the shorter unit", 'write for example "1h30min"')
        total += _number(piece[1], text) * unit_s
        smallest, position = unit_s, piece.end()
    return _whole(total, text, "s", format_duration)


def pressure_pa(text: str) -> int:
    """Pascals, to the nearest one, of `50kPa`, `500 mbar`, `300mmHg`, `10 psi`. Raises QuantityError."""
    number, unit = _split(text, "a pressure", "50 kPa")
    if unit in ("MPa", "mPa"):
        raise _bad(text, f'has the unit "{unit}"', "write kPa, mbar, mmHg or psi")
    exact = _number(number, text) * _unit(_PRESSURE_PA, unit, text, "kPa, mbar, mmHg, psi, Pa")
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def measure(text: str, *units: str) -> tuple[Fraction, str]:
    """An amount, dose, concentration or laboratory value as an exact number of one of `units` (keys of THERAPY_UNITS),
    and which: `measure("0.5 g", "mg", "units")` is (500, "mg"). Raises QuantityError for another unit or none."""
    what = f"a quantity in {' or '.join(units)}"
    clean = _clean(text, what, f"5 {units[0]}")
    match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z/ %]+)", clean)
    if match is None:
        raise _no_quantity(text, clean, what, f"5 {units[0]}")
    written = match[2].strip()
    for unit in units:
        factor = THERAPY_UNITS[unit].get(re.sub(r"\s*(/| per )\s*", "/", written).lower())
        if factor is not None:
            return _number(match[1], text) * factor, unit
    hint = f"use {', '.join(name for unit in units for name in _as_printed(unit))}"
    if written.lower() in ("u", "iu", "u/ml", "iu/ml", "u/day") and any(unit.startswith("units") for unit in units):
        hint = f'write "units" in full: U is misread as a 0, and IU as IV; {hint}'
    raise _bad(text, f'has the unit "{written}"', hint)


def _as_printed(unit: str) -> list[str]:
    """Units of a kind as people write them, without the second spellings."""
    capitals = {"ml": "mL", "l": "L", "u": "U", "dl": "dL"}
    names = [name for name in THERAPY_UNITS[unit] if name not in ("mcg", "unit", "iu/l") and not name.endswith("/d")]
    return ["/".join(capitals.get(part, part) for part in name.split("/")) for name in names]


def as_written(value: object) -> str:
    """What a file has where something else belongs, as people write it: `13.5`, `true`, `"a text"`, `a list`."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a table"
    return str(value)


def counted(number: int, word: str) -> str:
    """`1 warning`, `2 warnings`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def rounded(value: Fraction, digits: int) -> str:
    """The number with at most `digits` decimals, rounded half up, without zeros at the end: for display only."""
    scaled = abs(value) * 10**digits
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    sign = "-" if value < 0 and whole else ""
    return sign + (_decimal(Fraction(whole, 10**digits)) or "")


def is_unit(text: str) -> bool:
    """Whether this alone is the unit of a quantity: mL, ml/h, min, kPa, mg/dL."""
    if any(text.lower() in table for table in THERAPY_UNITS.values()):
        return True
    volume, slash, time = text.lower().partition("/")
    if slash:
        return volume in _VOLUME_NL and time in _TIME_S
    return volume in _VOLUME_NL or volume in _TIME_S or volume in _PRESSURE_PA


def format_volume(value_nl: int) -> str:
    """Exact volume, always in millilitres, so that what stands beside one another can be compared."""
    return f"{_exact_decimal(value_nl, 1_000_000)} mL"


def format_rate(value_nl_per_day: int) -> str:
    """Exact rate, always in millilitres a day, so that what stands beside one another can be compared."""
    return f"{_exact_decimal(value_nl_per_day, 1_000_000)} mL/day"


def format_rate_typed(value_nl_per_day: int) -> str:
    """A rate for a read-back: a fast one also in mL/h, as it is typed, where that is exact and short."""
    per_h = _decimal(Fraction(value_nl_per_day, PER_DAY_OF_ML_PER_H))
    if per_h is None or abs(value_nl_per_day) < PER_DAY_OF_ML_PER_H or len(per_h) > DIGITS_BESIDE_MAX:
        return format_rate(value_nl_per_day)
    return f"{format_rate(value_nl_per_day)} ({per_h} mL/h)"


def format_highest_rate(value_nl_per_day: int) -> str:
    """What a motor or a syringe reaches, rounded down to four digits: nobody orders the last nL."""
    last = 10 ** max(0, len(str(value_nl_per_day)) - 4)
    return format_rate(value_nl_per_day // last * last)


def format_duration(value_s: int) -> str:
    """Exact time: `14 d`, `1 h 30 min`, `90 s` as `1 min 30 s`."""
    if value_s == 0:
        return "0 s"
    parts, rest = [], abs(value_s)
    for unit, unit_s in (("d", SECONDS_PER_DAY), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, unit_s)
        if count:
            parts.append(f"{count} {unit}")
    return ("-" if value_s < 0 else "") + " ".join(parts)


def format_duration_short(value_s: int) -> str:
    """A time for a display: its two longest units, rounded down. `13 d 4 h`, `4 min 10 s`."""
    return " ".join(format_duration(value_s).split(" ")[:4])


def format_pressure(value_pa: int) -> str:
    """Exact pressure in kPa."""
    return f"{_exact_decimal(value_pa, 1_000)} kPa"


def format_length(value_um: int) -> str:
    """Exact length in mm."""
    return f"{_exact_decimal(value_um, 1_000)} mm"


def format_femtolitres(value_fl: int) -> str:
    """Exact volume of a step, in nL."""
    return f"{_exact_decimal(value_fl, 1_000_000)} nL"


def _exact_decimal(value: int, divisor: int) -> str:
    """`value / divisor` for a power of ten."""
    decimal = _decimal(Fraction(value, divisor))
    assert decimal is not None
    return decimal


def _decimal(value: Fraction) -> str | None:
    """The exact decimal number, or None when it never ends."""
    digits, scaled = 0, value
    twos_and_fives = value.denominator
    for prime in (2, 5):
        while twos_and_fives % prime == 0:
            twos_and_fives //= prime
    if twos_and_fives != 1:
        return None
    while scaled.denominator != 1:
        scaled *= 10
        digits += 1
    text = str(abs(scaled.numerator)).rjust(digits + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def _clean(text: object, what: str, example: str) -> str:
    if not isinstance(text, str):
        raise QuantityError(
            f"{as_written(text)} is no text, and {what} needs its unit",
            next_step=f'pass text with a unit, for example "{example}"',
        )
    clean = text.strip().replace("\u00b5", "u").replace("\u03bc", "u")
    if not clean:
        raise QuantityError(f"{what} is missing", next_step=f'write for example "{example}"')
    if not clean.isascii():
        raise _bad(text, "has characters that do not belong there", f'write for example "{example}"')
    if re.search(r"[0-9],|,[0-9]", clean):
        raise _bad(text, "has a comma", f'write a point for decimals and nothing for thousands: "{_point(clean)}"')
    return clean


def _point(clean: str) -> str:
    """The text that was probably meant by one with commas."""
    return clean.replace(",", "" if re.search(r",[0-9]{3}\b.*[.,]|,.*,", clean) else ".")


def _split(text: object, what: str, example: str) -> tuple[str, str]:
    clean = _clean(text, what, example)
    match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z/ ]+)", clean)
    if match is None:
        raise _no_quantity(text, clean, what, example)
    return match[1], match[2]


def _no_quantity(text: object, clean: str, what: str, example: str) -> QuantityError:
    if re.fullmatch(r"[0-9.]+", clean):
        return _bad(text, "has no unit", f'write the unit, for example "{example}"')
    if clean[0] in "+-":
        return _bad(text, "has a sign", "write the number without a sign")
    if re.match(r"[0-9.]+[eE][+-]?[0-9]", clean):
        return _bad(text, "has an exponent", f'write the number out, for example "{example}"')
    return _bad(text, f"is not {what}", f'write for example "{example}"')


def _number(digits: str, text: object) -> Fraction:
    if _NUMBER.fullmatch(digits) is None:
        if digits.startswith(".") or digits.endswith("."):
            raise _bad(text, "has a point with nothing on one side", "write for example 0.5 or 5")
        if digits.count(".") > 1:
            raise _bad(text, "has more than one point", "write one point for decimals and nothing for thousands")
        raise _bad(text, "begins with a zero", f"write {digits.lstrip('0') or '0'} if that is meant")
    if len(digits) > DIGITS_MAX:
        raise _bad(text, f"has more than {DIGITS_MAX} digits", "use a longer unit")
    return Fraction(digits)


def _unit(table: Mapping[str, _T], unit: str, text: object, names: str) -> _T:
    try:
        return table[unit.lower() if unit not in ("ML", "NL", "UL", "MIN") else unit]
    except KeyError:
        raise _bad(text, f'has the unknown unit "{unit}"', f"use {names}") from None


def _whole(exact: Fraction, text: object, unit: str, as_typed) -> int:
    if exact.denominator == 1:
        return exact.numerator
    below = exact.numerator // exact.denominator
    low, high = as_typed(below), as_typed(below + 1)
    raise InexactQuantity(
        f'"{text}" is not a whole number of {unit} ({_near(exact)}), and the pump does not round',
        low,
        high,
        f"use {low} or {high}" if below else f"the smallest is {high}",
    )


def _near(exact: Fraction) -> str:
    thousandths = exact * 1000
    return f"about {_exact_decimal(thousandths.numerator // thousandths.denominator, 1000)}"


def _bad(text: object, what: str, next_step: str) -> QuantityError:
    return QuantityError(f'"{text}" {what}', next_step=next_step)
