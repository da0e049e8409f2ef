"""What a campaign must have seen: a count of zero means that it no longer tests what it says.

Owns: the list, and the words for what is missing. Must not: count.
"""

from __future__ import annotations

from haipump_emulator.faults.catalogue import CATALOGUE

FROM_HOURS = 900.0  # a shorter campaign is not held to the list
RARE_FROM_HOURS = 20_000.0  # ... and to what comes less than five times in 1,000 hours from here on
_ALWAYS = (
    "recovered",
    "no answer",
    "commit in doubt",
    "totals judged",
    "totals are a range",
    "journal judged",
    "prime",
    "withdraw",
    "syringe changed",
    "refused stale",
    "refused token",
    "refused alarm",
    "refused limit max_dose_nl",
    "refused limit lockout_s",
    "dose limits set",
    "programme with boluses",
    "programme's bolus under a lockout",
    "soft limit passed",
    "used dose judged",
    "forged locked",
    "forged mac",
    "forged role",
    "silenced",
    "one alarm acknowledged",
    "reset watchdog",
    "alarm power_lost latched",
    "alarm unexpected_reset latched",
    "alarm infusion_complete latched",
    "alarm paused_too_long active",
    "alarm driver_error latched",
    "alarm motor_stall latched",
    "alarm syringe_released latched",
    *[f"state {state}" for state in ("infusing", "bolus", "kvo", "paused", "alarm", "refill")],
)
_RARE = (
    "commit in doubt was done",
    "alarm pressure_sensor latched",
    "alarm occlusion latched",
    "alarm storage active",
    "alarm self_test active",
    "alarm dose_limit latched",
    "alarm upstream_occlusion active",
    "unlocked",
    "state relieving",
    "state fault",
    "state self_test",
)


def expected(core: str, hours: float) -> list[str]:
    """Names of events, each of which some life must have had."""
    rare = _RARE if hours >= RARE_FROM_HOURS else ()
    return [*_ALWAYS, *rare, *[f"fault {name}" for name, row in CATALOGUE.items() if core in row.cores and row.drawn]]


def missing(seen: dict[str, int], hours: float, core: str) -> list[str]:
    """What was never seen and should have been."""
    return [name for name in expected(core, hours) if not seen.get(name)] if hours >= FROM_HOURS else []


def said(seen: dict[str, int], hours: float, core: str) -> str:
    """What was never seen, in words: a campaign too short to be judged doesn't claim that it saw everything."""
    if hours < FROM_HOURS:
        return f"not judged below {FROM_HOURS:,.0f} h"
    rare = "" if hours >= RARE_FROM_HOURS else f"; what is rare is not judged below {RARE_FROM_HOURS:,.0f} h"
    return (", ".join(missing(seen, hours, core)) or "nothing of the list") + rare
