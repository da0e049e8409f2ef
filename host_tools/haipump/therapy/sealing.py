"""A drug's limits in a pump: set, and sealed to the library that they come from.

Owns: the number of a library, the seal, the order of the steps. Must not: work out a limit (`dose` does) or judge a
library (`library` does).

The pump keeps 63 bits: 31 of the library's SHA-256, and 32 of HMAC-SHA256 over them and all that is limited, with the
pump's key (an empty one when it has none). It works the seal out anew after each start and each change of settings, and
does not deliver when it comes out otherwise. So an altered limit is found; who altered it can't have had the key of a
pump that has one. 32 bits tell a mistake, and a forger who may try once; not one who may try for years.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import asdict

from haipump.client import Pump
from haipump.therapy.library import Library

NONE = "0"
DRUG_NUMBERS, DRUG_BYTES = 3, 8  # a drug's name as the pump keeps it: 24 letters, eight in each number
_LIMITS = ("max_rate_nl_per_day", "max_bolus_nl")
_DOSES = ("max_dose_nl", "window_s", "soft_rate_nl_per_day", "soft_bolus_nl", "soft_dose_nl", "lockout_s")


def number_of(library: Library) -> int:
    """The first 31 bits of its digest: what a pump tells it by. Above 0."""
    return max(1, int(library.sha256[:8], 16) >> 1)


def number_in(sealed: str) -> int:
    """The library's number in what a pump has; 0 for none."""
    return int(sealed, 16) >> 32


def seal(number: int, values: Mapping[str, int | str], key: bytes | None) -> str:
    """What the pump keeps, in hexadecimal digits; `values` as its `limits` and `dose` say."""
    word = str(values["drug"]).encode("ascii") if values["drug"] != "none" else b""
    letters = word.ljust(DRUG_NUMBERS * DRUG_BYTES, b"\0")
    drug = [int.from_bytes(letters[at : at + DRUG_BYTES], "big") for at in range(0, len(letters), DRUG_BYTES)]
    text = "|".join(["library", *map(str, [number, *drug, *[values[name] for name in _LIMITS + _DOSES]])])
    code = hmac.new(key or b"", text.encode("ascii"), hashlib.sha256).digest()
    return f"{number << 32 | int.from_bytes(code[:4], 'big'):x}"


def expected(pump: Pump, library: Library) -> str:
    """What the pump would keep if its present limits were sealed to this library."""
    return seal(number_of(library), asdict(pump.limits()) | asdict(pump.dose()), pump.conversation.key)


def unload(pump: Pump) -> None:
    """Take the seal away: the limits stay, and can be changed."""
    if pump.library().library != NONE:
        pump.seal_library(NONE)


def load(pump: Pump, library: Library, limits: Mapping[str, int | str]) -> str:
    """Set the limits of one drug (`dose.pump_limits`) and seal them; returns what the pump keeps. The pump must stand.
    Broken off in between it has no seal, and limits that are the drug's already or still those before. A pump has no
    bolus of 0 nL to allow at most: 1 nL, which is less than any step."""
    unload(pump)
    pump.set_limits(**{name: max(1, int(limits[name])) for name in _LIMITS})
    doses: dict[str, int | str] = {name: int(limits.get(name, 0)) for name in _DOSES}
    pump.set_dose(**doses, drug=str(limits["drug"]))
    sealed = expected(pump, library)
    pump.seal_library(sealed)
    return sealed
