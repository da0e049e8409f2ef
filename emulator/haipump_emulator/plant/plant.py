"""The plant: motor, screw, fluid, sensors and the things that happen to them, behind one small interface.

Owns: the composition, ramps (agenda), the outside world. Must not: keep a clock, sleep, draw global random numbers.

Every method takes simulated microseconds since the emulator's start, which never decrease. Nothing depends on how
often the plant is looked at: reading evaluates from the last event and moves no integral.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable

from haipump_emulator.plant.fluid import NEVER_US, REGIMES, Fluid
from haipump_emulator.plant.motor import Motor
from haipump_emulator.plant.params import MECHANICS, PlantParams, SensorFault, check_temperature
from haipump_emulator.plant.screw import Screw
from haipump_emulator.plant.sensors import US_PER_H, Sensors
from haipump_emulator.plant.truth import Truth

# As haipump_fw.ports; the plant may not import the firmware, a test compares them.
IN_FRONT = 1
IN_BACK = 2
IN_CAPTURED = 4
IN_DIAG = 8

PA_PER_CM = 98.0  # water column
HEIGHT_STAIR_CM = 0.1  # a height ramp is a staircase: 10 Pa, below half a count of the pressure sensor
_Entry = tuple[int, float | None]  # agenda: time, and a height or (None) the end of a temperature ramp
AIR_MAX_NL = 20_000_000
RAMP_MIN_S = 1.0  # a sudden change of temperature takes this long


class Plant:
    """`Plant(params, seed)`; for time see the module's text. ValueError for bad parameters and for time going back."""

    def __init__(self, params: PlantParams | None = None, seed: int = 0) -> None:
        self.params = params = params or PlantParams()
        params.validate()
        self.seed = seed
        self._screw = Screw(params)
        self._motor = Motor(params.motor, params.screw)
        self._sensors = Sensors(params, seed)
        self._height_cm = params.environment.height_cm
        self._artery_pa = params.artery.mean_pa
        self._pulse_pa = params.artery.pulse_pa
        self._fluid = Fluid(params, self._screw.area_mm2, self._back_pa())
        self._screw.place(0, float(params.syringe.capacity_nl - params.syringe.initial_nl))
        self._occluded = False
        self._slip = self._slip_owed = 0
        self._astray_from_nl: float | None = None  # arrived when the tip left its place
        self._elsewhere_nl = 0.0
        self._supply_mv = params.environment.supply_mv
        self._agenda: list[_Entry] = []
        self._agenda_us = NEVER_US
        self._temperature = (0, params.environment.temperature_c, params.environment.drift_k_per_h / US_PER_H)
        self._omega = 2 * math.pi * params.artery.pulse_hz * 1e-6
        self._pulse_amplitude = self._pulse_lag = 0.0
        self._set_temperature_rate(self._temperature[2])
        self._switch_power()
        for fault in params.sensors.faults:
            self.sensor(0, fault.sensor, fault.fault, fault.value)

    # -- driver pins -------------------------------------------------------------------------------------------------

    def set_enable(self, t_us: int, on: bool) -> None:
        """EN of the driver, True: on."""
        self._advance(t_us)
        self._motor.enabled = bool(on)
        self._switch_motor()

    def set_direction(self, t_us: int, direction: int) -> None:
        """DIR: +1 delivers, -1 pulls back. Takes effect with the next step."""
        if direction not in (1, -1):
            raise ValueError(f"direction is +1 or -1, not {direction!r}")
        self._motor.direction = direction

    def step(self, t_us: int) -> None:
        """A rising edge at STEP."""
        fluid, screw, motor = self._fluid, self._screw, self._motor
        if t_us >= self._agenda_us:
            self._run_agenda(t_us)
        fluid.advance(t_us)
        turned = motor.pulse(t_us, fluid.thrust_n(t_us), screw.room())
        if turned:
            if self._slip:
                self._slip_owed += self._slip
                if self._slip_owed >= 1_000:
                    self._slip_owed -= 1_000
                    screw.slide(turned)
            moved = screw.turn_to(motor.rotor)
            if moved:
                fluid.push(moved)

    # -- sensors -----------------------------------------------------------------------------------------------------

    def pressure_raw(self, t_us: int) -> int:
        """Pressure sensor at the outlet, 16 bit; the artery's pulse is in it as far as the line lets it through."""
        if t_us >= self._agenda_us or t_us >= self._fluid.next_us:
            self._look(t_us)
        fluid = self._fluid
        pressure = fluid.pressure(t_us)
        if fluid.pulse_c != self._pulse_c:
            self._tune_pulse()
        if self._pulse_amplitude:
            pressure += self._pulse_amplitude * math.sin(self._omega * t_us + self._pulse_lag)
        return self._sensors.pressure_raw(t_us, pressure)

    def encoder_raw(self, t_us: int) -> int:
        """Shaft encoder, 16 bit to a turn."""
        return self._sensors.encoder_raw(t_us, self._motor.rotor)

    def supply_mv(self, t_us: int) -> int:
        """Supply in mV."""
        return self._sensors.supply_mv(t_us, self._supply_mv)

    def temperature_mc(self, t_us: int) -> int:
        """Temperature in thousandths of a degree Celsius."""
        if t_us >= self._agenda_us:
            self._run_agenda(t_us)
        return self._sensors.temperature_mc(t_us, self._temperature_c(t_us))

    def switches(self, t_us: int) -> int:
        """IN_FRONT, IN_BACK, IN_CAPTURED, IN_DIAG."""
        channel = self._sensors.switches
        if channel.stuck is not None:
            return channel.stuck
        return channel.spoil(t_us, self._switch_bits()) if channel.bad else self._switch_bits()

    # -- what happens ------------------------------------------------------------------------------------------------

    def occlude(self, t_us: int, resistance_pa_s_per_nl: float | None = None) -> None:
        """Close the line behind the pressure sensor, or put so much resistance in series with it."""
        self._advance(t_us)
        total = None
        if resistance_pa_s_per_nl is not None:
            if not 0 < resistance_pa_s_per_nl < math.inf:
                raise ValueError("an obstacle's resistance is above 0 Pa s/nL")
            total = self.params.line.resistance_pa_s_per_nl + resistance_pa_s_per_nl
        self._occluded = True
        self._fluid.set_line(total)
        self._tune_pulse()

    def release(self, t_us: int) -> None:
        """Take the occlusion away."""
        self._advance(t_us)
        self._occluded = False
        self._fluid.set_line(self.params.line.resistance_pa_s_per_nl)
        self._tune_pulse()

    def leak(self, t_us: int, resistance_pa_s_per_nl: float) -> None:
        """A leak at the outlet to ambient, through this resistance."""
        if not 0 < resistance_pa_s_per_nl < math.inf:
            raise ValueError("a leak's resistance is above 0 Pa s/nL")
        self._advance(t_us)
        self._fluid.set_leak(resistance_pa_s_per_nl)
        self._tune_pulse()

    def seal(self, t_us: int) -> None:
        """Mend the leak."""
        self._advance(t_us)
        self._fluid.set_leak(None)
        self._tune_pulse()

    def warm(self, t_us: int, to_c: float, over_s: float) -> None:
        """Change the temperature evenly over `over_s` (1 s at least); ends any drift. ValueError where it can't be."""
        check_temperature(to_c)
        self._advance(t_us)
        over_us = max(1, round(max(over_s, RAMP_MIN_S) * 1e6))
        now = self._temperature_c(t_us)
        self._temperature = (t_us, now, (to_c - now) / over_us)
        self._set_temperature_rate(self._temperature[2])
        self._plan([(t_us + over_us, None)], lambda entry: entry[1] is not None)

    def height(self, t_us: int, cm: float, over_s: float) -> None:
        """Lift the pump to `cm` above the artery, evenly over `over_s`, in stairs of 0.1 cm."""
        self._advance(t_us)
        start, change = self._height_cm, cm - self._height_cm
        stairs = max(1, math.ceil(abs(change) / HEIGHT_STAIR_CM))
        over_us = max(0.0, over_s) * 1e6
        self._plan(
            [(t_us + round(over_us * (i + 0.5) / stairs), start + change * (i + 1) / stairs) for i in range(stairs)],
            lambda entry: entry[1] is None,
        )
        self._run_agenda(t_us)

    def artery(self, t_us: int, mean_pa: float) -> None:
        """Another mean pressure in the artery."""
        self._advance(t_us)
        self._artery_pa = mean_pa
        self._fluid.set_back(self._back_pa())

    def tip(self, t_us: int, placed: bool, in_vessel: bool = True) -> None:
        """The tip of the line lies where it should, or elsewhere: what goes through it then is `elsewhere_nl` too.
        Out of a vessel there is no pulse; the mean pressure is set with `artery`."""
        self._advance(t_us)
        self._pulse_pa = self.params.artery.pulse_pa if in_vessel else 0.0
        self._tune_pulse()
        arrived_nl = self._fluid.totals(t_us)[2]
        self._elsewhere_nl += self._astray_nl(arrived_nl)
        self._astray_from_nl = None if placed else arrived_nl

    def refill(self, t_us: int, volume_nl: float) -> None:
        """Another syringe of the same kind with `volume_nl` in it; the carriage is put where its plunger ends.

        It is brought to the line's pressure before it is connected, so nothing flows because of the exchange.
        """
        syringe = self.params.syringe
        if not 0 <= volume_nl <= syringe.capacity_nl + syringe.overfill_nl:
            raise ValueError(f"a {syringe.size_ml} mL syringe can't hold {volume_nl} nL")
        self._advance(t_us)
        self._screw.place(self._motor.rotor, syringe.capacity_nl - volume_nl)
        self._motor.refer()
        self._fluid.refill(float(volume_nl))

    def capture(self, t_us: int, on: bool) -> None:
        """The pusher holds the plunger, or lets it go."""
        self._advance(t_us)
        self._fluid.capture(bool(on))

    def supply(self, t_us: int, mv: int) -> None:
        """Supply voltage from now on; too little turns the driver off and makes it forget its phase."""
        self._advance(t_us)
        self._supply_mv = mv
        self._switch_power()

    def driver_fault(self, t_us: int, on: bool) -> None:
        """The driver shuts its outputs off and raises DIAG."""
        self._advance(t_us)
        self._motor.faulted = bool(on)
        self._switch_motor()

    def wire(self, t_us: int, line: str, fault: str) -> None:
        """A wire between chip and driver (`motor.WIRES`) gets a fault, or is `ok` again."""
        self._advance(t_us)
        self._motor.wire(line, fault)
        self._switch_motor()

    def turn(self, t_us: int, steps: int) -> None:
        """Somebody turns the shaft by so many microsteps, as far as it goes; a motor that holds does not move."""
        self._advance(t_us)
        if self._motor.turn(steps, self._screw.room()):
            moved = self._screw.turn_to(self._motor.rotor)
            if moved:
                self._fluid.push(moved)

    def mechanics(self, t_us: int, fault: str, value: int = 0) -> None:
        """One fault of the drive at a time, `ok` for none: `stall` (the rotor is blocked), `loss` (`value` of 1,000
        pulses never reach the driver), `slip` (the coupling slips for `value` of 1,000 microsteps, which the encoder
        on the motor does not see), `backlash` (`value` um)."""
        if fault not in MECHANICS:
            raise ValueError(f"unknown fault of the drive {fault!r}; known are {', '.join(MECHANICS)}")
        if not 0 <= value <= 1_000:
            raise ValueError(f"{fault}: {value} is outside 0 to 1,000")
        self._advance(t_us)
        motor = self._motor
        motor.stalled = fault == "stall"
        motor.loss = value if fault == "loss" else 0
        self._slip = value if fault == "slip" else 0
        self._screw.set_backlash(value if fault == "backlash" else self.params.screw.backlash_um)

    def air(self, t_us: int, volume_nl: float) -> None:
        """A bubble of this volume, at ambient pressure, in the line; 0: none."""
        if not 0 <= volume_nl <= AIR_MAX_NL:
            raise ValueError(f"a bubble has 0 to {AIR_MAX_NL} nL")
        self._advance(t_us)
        self._fluid.set_air(float(volume_nl))
        self._tune_pulse()

    def sensor(self, t_us: int, sensor: str, fault: str, value: float | None = None) -> None:
        """Set or clear (`ok`) a sensor's fault; see `SensorFault`."""
        order = SensorFault(sensor, fault, value)
        problem = order.problem()
        if problem:
            raise ValueError(problem)
        readers = {
            "pressure": self.pressure_raw,
            "encoder": self.encoder_raw,
            "supply": self.supply_mv,
            "temperature": self.temperature_mc,
            "switches": self.switches,
        }
        self._sensors.channel(sensor).apply(order, readers[sensor](t_us))

    # -- truth -------------------------------------------------------------------------------------------------------

    def truth(self, t_us: int) -> Truth:
        """Everything as it is at t_us. Changes nothing that any later call can see."""
        self._look(t_us)
        fluid, motor = self._fluid, self._motor
        moved, thermal, arrived, stored, leaked, reservoir = fluid.totals(t_us)
        return Truth(
            t_us=t_us,
            pushed_nl=moved + thermal,
            arrived_nl=arrived,
            elsewhere_nl=self._elsewhere_nl + self._astray_nl(arrived),
            stored_nl=stored,
            leaked_nl=leaked,
            thermal_nl=thermal,
            reservoir_nl=reservoir,
            pressure_pa=fluid.pressure(t_us),
            artery_pa=self._artery_pa + self._pulse_pa * math.sin(self._omega * t_us),
            temperature_c=self._temperature_c(t_us),
            height_cm=self._height_cm,
            supply_mv=self._supply_mv,
            commanded_steps=motor.commanded,
            motor_steps=motor.rotor,
            missed_steps=motor.missed,
            ignored_steps=motor.ignored,
            carriage_um=self._screw.nut / self._screw.area_mm2,
            thrust_n=fluid.thrust_n(t_us),
            stopper=REGIMES[fluid.regime],
            slips=fluid.slips,
            switches=self._switch_bits(),
            enabled=motor.energised,
            position_uncertain=motor.position_uncertain,
            captured=fluid.captured,
            occluded=self._occluded,
            leaking=fluid.leaking,
        )

    # -- inside ------------------------------------------------------------------------------------------------------

    def _astray_nl(self, arrived_nl: float) -> float:
        return 0.0 if self._astray_from_nl is None else arrived_nl - self._astray_from_nl

    def _back_pa(self) -> float:
        return self._artery_pa - PA_PER_CM * self._height_cm

    def _temperature_c(self, t_us: int) -> float:
        since_us, start_c, rate = self._temperature
        return start_c + rate * (t_us - since_us)

    def _set_temperature_rate(self, k_per_us: float) -> None:
        self._fluid.set_expansion(self.params.syringe.expansion_nl_per_k * k_per_us)
        self._tune_pulse()

    def _tune_pulse(self) -> None:
        response = self._pulse_pa * self._fluid.pulse_response(self._omega * 1e6)
        self._pulse_amplitude, self._pulse_lag = cmath.polar(response)
        self._pulse_c = self._fluid.pulse_c

    def _switch_bits(self) -> int:
        bits = IN_FRONT if self._screw.at_front else 0
        if self._screw.at_back:
            bits |= IN_BACK
        if self._fluid.captured:
            bits |= IN_CAPTURED
        if self._motor.faulted or not self._motor.powered:
            bits |= IN_DIAG
        return bits

    def _switch_power(self) -> None:
        motor = self._motor
        powered = self._supply_mv >= self.params.motor.driver_min_mv
        if powered and not motor.powered:
            motor.reset_sequencer()
        motor.powered = powered
        self._switch_motor()

    def _switch_motor(self) -> None:
        """Current may have come or gone: the rotor moves by itself and takes the pusher along."""
        if self._motor.switch(self._screw.room()):
            moved = self._screw.turn_to(self._motor.rotor)
            if moved:
                self._fluid.push(moved)

    def _plan(self, entries: list[_Entry], keep: Callable[[_Entry], bool]) -> None:
        """Put a ramp on the agenda in place of one of its kind."""
        self._agenda = sorted([entry for entry in self._agenda if keep(entry)] + entries, key=lambda entry: entry[0])
        self._agenda_us = self._agenda[0][0] if self._agenda else NEVER_US

    def _run_agenda(self, t_us: int) -> None:
        """Do what is due until t_us, each at its own time."""
        while self._agenda_us <= t_us:
            when, height_cm = self._agenda.pop(0)
            self._agenda_us = self._agenda[0][0] if self._agenda else NEVER_US
            self._fluid.advance(when)
            if height_cm is not None:
                self._height_cm = height_cm
                self._fluid.set_back(self._back_pa())
            else:
                self._temperature = (when, self._temperature_c(when), 0.0)
                self._set_temperature_rate(0.0)

    def _look(self, t_us: int) -> None:
        """Bring what happens by itself up to t_us, without an event at t_us."""
        self._run_agenda(t_us)
        self._fluid.run_events(t_us)

    def _advance(self, t_us: int) -> None:
        """Bring everything to t_us, where something is about to happen."""
        self._run_agenda(t_us)
        self._fluid.advance(t_us)
