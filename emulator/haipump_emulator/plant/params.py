"""Parameters of the plant: one frozen dataclass per group, every field with its range and where the number is from.

Owns: names, defaults, ranges, the plant's own syringe table, `validate()`. Must not: compute physics or hold state.

Units are at the end of each name. Volumes are nanolitres, pressures pascals above ambient, resistances Pa s/nL
(equal to kPa s/uL), compliances nL/Pa (equal to uL/kPa). "literature" in a source means what docs/plant.md
names; "rig" a choice made for the bench rig described in docs/plant.md.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any


def _row(default: Any, low: float, high: float, source: str, text: str) -> Any:
    """A dataclass field whose metadata is its documentation: range, source, meaning."""
    return field(default=default, metadata={"min": low, "max": high, "source": source, "help": text})


@dataclass(frozen=True, slots=True)
class SyringeParams:
    """The syringe in the rig, as it really is (the pump's calibration may believe something else)."""

    size_ml: int = _row(30, 1, 60, "nominal", "nominal size")
    bore_mm: float = _row(21.7, 1.0, 60.0, "literature", "true inner diameter")
    capacity_nl: int = _row(30_000_000, 100_000, 100_000_000, "nominal", "volume when the stopper is at the full mark")
    overfill_nl: int = _row(2_000_000, 0, 20_000_000, "rig", "the stopper can be pulled this far behind the full mark")
    initial_nl: int = _row(30_000_000, 0, 100_000_000, "rig", "volume in it at the start")
    spring_n_per_mm: float = _row(30.0, 10.0, 100.0, "literature (k)", "axial stiffness from pusher to stopper")
    friction_static_n: float = _row(6.0, 0.0, 20.0, "literature (Fs)", "force that starts the stopper; 0: no friction")
    friction_kinetic_n: float = _row(4.0, 0.0, 20.0, "literature (Fk)", "force while the stopper slides")
    stick_speed_um_per_s: float = _row(0.1, 0.001, 100.0, "rig", "a sliding stopper slower than this sticks again")
    expansion_nl_per_k: float = _row(-5_000.0, -50_000.0, 50_000.0, "literature", "water minus barrel, net")
    captured: bool = _row(True, 0, 1, "rig", "the pusher holds the plunger, so that it can also pull")


@dataclass(frozen=True, slots=True)
class ScrewParams:
    """Lead screw, nut, carriage, end switches and hard stops.

    Positions count from the carriage's place with the syringe at its full mark, forwards positive; "empty" is the
    place where the stopper touches the bottom.
    """

    lead_um: float = _row(2_000.0, 200.0, 20_000.0, "rig: T8x2", "travel per turn")
    error_um: float = _row(10.0, 0.0, 50.0, "literature (e_s)", "amplitude of the error that repeats each turn")
    backlash_um: float = _row(50.0, 0.0, 500.0, "literature", "dead zone between nut and pusher")
    efficiency: float = _row(0.35, 0.05, 0.98, "rig: plain T8 nut", "share of the torque's work that becomes thrust")
    drag_n: float = _row(2.0, 0.0, 50.0, "rig", "friction of the carriage, load of the motor only")
    front_switch_before_empty_um: float = _row(500.0, -5_000.0, 50_000.0, "rig", "front switch, so far before empty")
    front_stop_after_empty_um: float = _row(1_000.0, 0.0, 50_000.0, "rig", "front stop, so far after empty")
    back_switch_before_full_um: float = _row(2_000.0, 0.0, 100_000.0, "rig", "back switch, so far behind full")
    back_stop_before_full_um: float = _row(5_000.0, 0.0, 200_000.0, "rig", "back stop, so far behind full")


@dataclass(frozen=True, slots=True)
class MotorParams:
    """Stepper and driver. "Steps" are microsteps, as the pulses at the STEP pin."""

    full_steps_per_turn: int = _row(200, 20, 400, "rig: NEMA 17", "full steps per turn")
    microsteps: int = _row(16, 1, 256, "rig: driver at 1/16", "pulses per full step")
    microstep_error_full_steps: float = _row(0.05, 0.0, 0.5, "literature", "amplitude of the error inside a full step")
    torque_n_mm: float = _row(250.0, 1.0, 5_000.0, "rig: NEMA 17, 1 A", "pull-out torque at standstill")
    no_torque_steps_per_s: float = _row(8_000.0, 100.0, 1e6, "rig", "speed at which the torque has fallen to nothing")
    pull_in_steps_per_s: float = _row(1_000.0, 10.0, 1e6, "rig", "largest jump of speed the rotor follows")
    driver_min_mv: int = _row(4_000, 0, 30_000, "rig: TMC2209 undervoltage", "driver off and phase lost below")


@dataclass(frozen=True, slots=True)
class LineParams:
    """Everything between stopper and artery."""

    compliance_nl_per_pa: float = _row(1.0, 0.01, 100.0, "literature (C_b + C_t)", "barrel and tube, without spring")
    resistance_pa_s_per_nl: float = _row(0.2, 0.001, 1e6, "literature (R)", "flow resistance to the artery")
    air_nl: float = _row(0.0, 0.0, 20_000_000.0, "literature (V_air)", "bubble, its volume at ambient pressure")
    ambient_pa: float = _row(101_325.0, 50_000.0, 110_000.0, "standard atmosphere", "absolute ambient pressure")


@dataclass(frozen=True, slots=True)
class ArteryParams:
    """What the line ends in."""

    mean_pa: float = _row(13_000.0, -50_000.0, 50_000.0, "literature (P_back)", "mean pressure; 0 on a bench")
    pulse_pa: float = _row(2_700.0, 0.0, 20_000.0, "literature", "amplitude of the pulse")
    pulse_hz: float = _row(1.2, 0.1, 10.0, "literature", "heart rate")


SENSORS = ("pressure", "encoder", "supply", "temperature", "switches")
FAULTS = ("ok", "stuck", "off", "noise", "offset", "slow", "intermittent")
MECHANICS = ("ok", "stall", "loss", "slip", "backlash")


@dataclass(frozen=True, slots=True)
class SensorFault:
    """One sensor's fault: `stuck` at `value` (counts as the port gives them; None: at the reading of that moment),
    `off` (reads 0), `noise` (times `value`), `offset` (plus `value`, in counts of the port), `slow` (a new reading only
    every `value` seconds), `intermittent` (reads 0 for this share of the time, by tenths of a second), `ok`."""

    sensor: str
    fault: str
    value: float | None = None

    def problem(self) -> str | None:
        """What is wrong with it, or None."""
        if self.sensor not in SENSORS:
            return f"unknown sensor {self.sensor!r}; known are {', '.join(SENSORS)}"
        if self.fault not in FAULTS:
            return f"unknown sensor fault {self.fault!r}; known are {', '.join(FAULTS)}"
        if self.fault in ("noise", "offset", "slow", "intermittent") and self.value is None:
            return f"sensor fault {self.fault!r} needs a value"
        if self.sensor == "switches" and self.fault in ("noise", "offset"):
            return f"switches can't have the fault {self.fault!r}"
        return None


@dataclass(frozen=True, slots=True)
class SensorsParams:
    """How the sensors see the plant. An LSB is one count of the 12-bit converter."""

    pressure_zero_raw: float = _row(2_621.0, 0.0, 65_535.0, "rig: 0.2 V of 5 V", "16-bit reading at 0 Pa")
    pressure_span_raw: float = _row(58_982.0, 1_000.0, 65_535.0, "rig: 4.5 V of 5 V", "16-bit counts to full scale")
    pressure_full_pa: float = _row(100_000.0, 10_000.0, 1e6, "rig: 0-100 kPa sensor", "full scale")
    pressure_noise_lsb: float = _row(2.0, 0.0, 500.0, "rig: RP2040 converter", "standard deviation")
    pressure_offset_pa: float = _row(0.0, -20_000.0, 20_000.0, "literature (2.5 %)", "constant error")
    pressure_drift_pa_per_h: float = _row(0.0, -1_000.0, 1_000.0, "rig", "error that grows with time")
    encoder_noise_lsb: float = _row(1.0, 0.0, 500.0, "rig: AS5600 and converter", "standard deviation; 4096 to a turn")
    encoder_offset_turns: float = _row(0.13, -1.0, 1.0, "rig: magnet as glued", "reading at the rotor's zero")
    encoder_nonlinearity_deg: float = _row(0.5, 0.0, 5.0, "rig: AS5600 (1 deg at most)", "amplitude, once a turn")
    supply_noise_mv: float = _row(10.0, 0.0, 1_000.0, "rig", "standard deviation")
    temperature_noise_mc: float = _row(200.0, 0.0, 20_000.0, "rig: RP2040 sensor", "standard deviation")
    temperature_offset_mc: float = _row(0.0, -20_000.0, 20_000.0, "rig", "constant error")
    faults: tuple[SensorFault, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentParams:
    """Room and supply."""

    temperature_c: float = _row(22.0, -20.0, 60.0, "rig", "temperature at the start")
    drift_k_per_h: float = _row(0.0, -20.0, 20.0, "literature", "steady drift; lasts until the first `warm`")
    height_cm: float = _row(0.0, -300.0, 300.0, "rig", "pump above the artery")
    supply_mv: int = _row(5_000, 0, 30_000, "rig", "supply at the start")


def check_temperature(to_c: float) -> None:
    """Raise ValueError when the surroundings can't become so warm: the range is that of `temperature_c`."""
    (item,) = [field for field in dataclasses.fields(EnvironmentParams) if field.name == "temperature_c"]
    text = _out_of_range(to_c, item)
    if text:
        raise ValueError(f"temperature in C: {text}")


@dataclass(frozen=True, slots=True)
class PlantParams:
    """All of the plant's parameters."""

    syringe: SyringeParams = SyringeParams()
    screw: ScrewParams = ScrewParams()
    motor: MotorParams = MotorParams()
    line: LineParams = LineParams()
    artery: ArteryParams = ArteryParams()
    sensors: SensorsParams = SensorsParams()
    environment: EnvironmentParams = EnvironmentParams()

    def problems(self) -> list[str]:
        """Every reason why these parameters can't be used, as `group.field: text`."""
        found: list[str] = []
        for group in dataclasses.fields(self):
            values = getattr(self, group.name)
            for item in dataclasses.fields(values):
                if item.metadata:
                    text = _out_of_range(getattr(values, item.name), item)
                    if text:
                        found.append(f"{group.name}.{item.name}: {text}")
        return found or self._contradictions()

    def validate(self) -> None:
        """Raise ValueError with all problems, one a line; do nothing when there are none."""
        found = self.problems()
        if found:
            raise ValueError("\n".join(found))

    def _contradictions(self) -> list[str]:
        syringe, screw, motor = self.syringe, self.screw, self.motor
        found: list[str] = []
        gap = syringe.friction_static_n - syringe.friction_kinetic_n
        if gap < 0:
            found.append("syringe.friction_kinetic_n: must not exceed friction_static_n")
        elif 0 < gap < FRICTION_GAP_MIN_N:
            found.append(f"syringe.friction_static_n: equal to friction_kinetic_n or {FRICTION_GAP_MIN_N} N above it")
        if syringe.initial_nl > syringe.capacity_nl + syringe.overfill_nl:
            found.append("syringe.initial_nl: more than capacity_nl and overfill_nl hold")
        if screw.back_switch_before_full_um > screw.back_stop_before_full_um:
            found.append("screw.back_switch_before_full_um: the switch lies behind the hard stop")
        if screw.front_switch_before_empty_um < -screw.front_stop_after_empty_um:
            found.append("screw.front_switch_before_empty_um: the switch lies behind the hard stop")
        if motor.pull_in_steps_per_s > motor.no_torque_steps_per_s:
            found.append("motor.pull_in_steps_per_s: faster than no_torque_steps_per_s")
        found += [f"sensors.faults: {text}" for text in (fault.problem() for fault in self.sensors.faults) if text]
        return found


# Below this the stopper would stick and slip without end at a creeping pressure; equal forces mean plain sliding.
FRICTION_GAP_MIN_N = 0.05


def _out_of_range(value: Any, item: dataclasses.Field[Any]) -> str | None:
    low, high = item.metadata["min"], item.metadata["max"]
    if isinstance(value, bool) != (item.type == "bool") or not isinstance(value, (int, float)):
        return f"{value!r} is not a {item.type}"
    if item.type == "int" and not isinstance(value, int):
        return f"{value!r} is not a whole number"
    if not math.isfinite(value) or not low <= value <= high:
        return f"{value!r} is outside {low} to {high}"
    return None


# size in mL: bore in mm. literature: Harvard-style table for plastic syringes; 60 mL from general knowledge.
SYRINGE_BORES_MM = {1: 4.78, 3: 8.66, 5: 12.06, 10: 14.5, 20: 19.13, 30: 21.7, 60: 26.7}


def for_syringe(size_ml: int, base: PlantParams | None = None) -> PlantParams:
    """`base` (default: the defaults) with another syringe, full, of 1, 3, 5, 10, 20, 30 or 60 mL.

    Bore and capacity are the table's. Thermal expansion and overfill scale with the capacity, friction with the
    circumference of the stopper (assumed; there are numbers for 20 to 60 mL only). ValueError for an unknown size.
    """
    if size_ml not in SYRINGE_BORES_MM:
        known = ", ".join(str(size) for size in SYRINGE_BORES_MM)
        raise ValueError(f"no syringe of {size_ml} mL in the table; known are {known} mL")
    base = base or PlantParams()
    old, bore = base.syringe, SYRINGE_BORES_MM[size_ml]
    capacity = size_ml * 1_000_000
    syringe = dataclasses.replace(
        old,
        size_ml=size_ml,
        bore_mm=bore,
        capacity_nl=capacity,
        initial_nl=capacity,
        overfill_nl=old.overfill_nl * capacity // old.capacity_nl,
        friction_static_n=round(old.friction_static_n * bore / old.bore_mm, 3),
        friction_kinetic_n=round(old.friction_kinetic_n * bore / old.bore_mm, 3),
        expansion_nl_per_k=old.expansion_nl_per_k * capacity / old.capacity_nl,
    )
    return dataclasses.replace(base, syringe=syringe)
