"""What the pump answers, as frozen dataclasses named like the fields on the wire, units at the end of the name.

Owns: the types. Must not: ask anything. A test checks them against the message table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")


def build(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """An answer of this kind; fields that a newer pump adds are left out."""
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**{name: values[name] for name in names if name in values})


@dataclass(frozen=True)
class Info:
    firmware: str
    protocol: int
    interpreter: str
    app_hash: str
    board: str
    heap_free: int
    reset: str
    task: str
    forged: int
    wrong: int


@dataclass(frozen=True)
class Status:
    """`empty_in_s` is -1 when nothing flows; `order` is 0 when there is none; `alarm` is "none" or a name."""

    state: str
    order: int
    basal_nl_per_day: int
    flow_nl_per_day: int
    bolus_left_nl: int
    extended_left_nl: int
    delivered_nl: int
    reservoir_nl: int
    empty_in_s: int
    alarm: str


@dataclass(frozen=True)
class Sensors:
    pressure_pa: int
    encoder_steps: int
    supply_mv: int
    temperature_mc: int
    front: int
    back: int
    captured: int
    diag: int
    service: int
    enabled: int
    uncertain: int


@dataclass(frozen=True)
class Totals:
    """Since the syringe was loaded. `stepped_min_nl` and `stepped_max_nl` differ after a power loss or an occlusion."""

    commanded_nl: int
    stepped_nl: int
    stepped_min_nl: int
    stepped_max_nl: int
    confirmed_nl: int
    primed_nl: int
    withdrawn_nl: int


@dataclass(frozen=True)
class Lifetime:
    """Since the pump was made; the range as in `Totals`."""

    commanded_nl: int
    stepped_nl: int
    stepped_min_nl: int
    stepped_max_nl: int
    confirmed_nl: int
    lost_steps: int
    orders: int
    boots: int
    flash_errors: int = 0


@dataclass(frozen=True)
class OrderStatus:
    """`left_s` is -1 when the order has no end; `result` is "running" or how it ended. `confirmed_nl`: what the shaft
    showed; of orders that ran together each bears what it did not."""

    order: int
    source: str
    result: str
    planned_nl: int
    commanded_nl: int
    stepped_nl: int
    confirmed_nl: int
    left_nl: int
    elapsed_s: int
    left_s: int

    @property
    def running(self) -> bool:
        return self.result == "running"


@dataclass(frozen=True)
class Alarm:
    """`silence_s` is how long the sound is still off."""

    alarm: str
    priority: str
    phase: str
    age_s: int
    silence_s: int


@dataclass(frozen=True)
class Limits:
    max_rate_nl_per_day: int
    max_bolus_nl: int
    occlusion_pa: int
    reservoir_low_nl: int
    reservoir_empty_nl: int
    pause_max_s: int
    auto_resumes: int
    step_max_nl_per_day: int
    rate_min_nl_per_day: int


@dataclass(frozen=True)
class Dose:
    """Dose limits; 0 is none. `used_nl` is what the window that ends now holds at most, -1: not known while it runs, or
    not counted, as no limit is set. `wait_s`: until the next bolus may begin."""

    max_dose_nl: int
    window_s: int
    soft_rate_nl_per_day: int
    soft_bolus_nl: int
    soft_dose_nl: int
    lockout_s: int
    drug: str
    loaded: int
    used_nl: int
    wait_s: int
    refusals: int


@dataclass(frozen=True)
class Library:
    """The drug library that the limits are sealed to, in hexadecimal digits: "0" for none. `required`: 1 when nothing
    is delivered without one."""

    library: str
    required: int


@dataclass(frozen=True)
class Calibration:
    """`syringe_nl` is 0 when no syringe is loaded."""

    step_fl: int
    bore_um: int
    lead_um: int
    steps_per_turn: int
    backlash_steps: int
    travel_steps: int
    syringe_nl: int
    syringe_max_nl_per_day: int


@dataclass(frozen=True)
class Setting:
    name: str
    value: int
    minimum: int
    maximum: int
    default: int


@dataclass(frozen=True)
class Clock:
    boot: int
    uptime_s: int
    uptime_us: int


@dataclass(frozen=True)
class Motion:
    """Where a pause, resume, cancel or stop has left the pump."""

    state: str
    order: int
    left_nl: int


@dataclass(frozen=True)
class JournalPage:
    """Up to two records: `data` are their bytes as base64, beginning with number `seq`; kept are `first` to `last`."""

    seq: int
    count: int
    first: int
    last: int
    data: str = ""


@dataclass(frozen=True)
class RawRecord:
    """One journal record as the pump stored it."""

    seq: int
    data: bytes


@dataclass(frozen=True)
class Plan:
    """What the pump has understood, to be shown and committed. `verb` is the message that prepared it; `asked` are the
    fields that were asked for, `values` what the pump made of them."""

    verb: str
    token: str
    valid_s: int
    hash: str
    asked: Mapping[str, int | str]
    values: Mapping[str, int | str]

    @property
    def empty_in_s(self) -> int | None:
        """Time until the syringe is empty once this is started; -1: never; None: does not apply."""
        value = self.values.get("empty_in_s")
        return None if value is None else int(value)
