"""Programmes as people write them in a scenario, turned into the text that the pump takes.

Owns: the readable spelling. Must not: check what the pump checks (limits, overlaps): a scenario wants to see it refuse.

    period 1d; repeats 14; end kvo; 0s rate 1.3mL/day; 8h bolus 0.1mL; 12h ramp 2mL/day over 1h; 20h bolus 1mL over 2h

Parts are separated by `;` or line ends; `repeats` is 1 and `end` is stop unless given.
"""

from __future__ import annotations

import re

from haipump_emulator.quantities import parse_rate_nl_per_day, parse_time_us, parse_volume_nl


def encode_programme(text: str) -> bytes:
    """The pump's text (see `proto/programme` for its grammar). Raises ValueError."""
    settings = {"period": "", "repeats": "1", "end": "stop"}
    items: list[str] = []
    for part in re.split(r"[;\n]", text):
        words = part.split()
        if not words:
            continue
        if words[0] in settings:
            if len(words) != 2:
                raise ValueError(f"{part.strip()!r}: write '{words[0]} VALUE'")
            settings[words[0]] = words[1]
        else:
            items.append(_item(part.strip(), words))
    if not settings["period"]:
        raise ValueError("a programme needs a 'period'")
    head = ["haipump-programme 1", f"period_s {_seconds(settings['period'])}", f"repeats {int(settings['repeats'])}"]
    return "".join(line + "\n" for line in [*head, f"at_end {settings['end']}", *items]).encode("ascii")


def _seconds(text: str) -> int:
    seconds, rest = divmod(parse_time_us(text), 1_000_000)
    if rest:
        raise ValueError(f"{text!r} is no whole number of seconds")
    return seconds


def _item(part: str, words: list[str]) -> str:
    if len(words) not in (3, 5) or (len(words) == 5 and words[3] != "over"):
        raise ValueError(f"{part!r}: an item is 'TIME rate|ramp|bolus VALUE [over TIME]'")
    at_s, kind, value = _seconds(words[0]), words[1], words[2]
    over_s = _seconds(words[4]) if len(words) == 5 else None
    if kind == "rate" and over_s is None:
        return f"{at_s} rate {parse_rate_nl_per_day(value)}"
    if kind == "ramp" and over_s is not None:
        return f"{at_s} ramp {parse_rate_nl_per_day(value)} {over_s}"
    if kind == "bolus":
        return f"{at_s} bolus {parse_volume_nl(value)} {over_s or 0}"
    raise ValueError(f"{part!r}: a rate has no 'over', a ramp needs one, and there is no other item but bolus")
