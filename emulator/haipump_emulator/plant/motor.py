"""Driver and stepper motor: what the rotor does with EN, DIR and STEP.

Owns: rotor and sequencer in microsteps, lost and ignored pulses. Must not: know screw position, fluid or clock.

The rotor's stable places under current are those congruent to the sequencer's position modulo four full steps (one
electrical turn); without current, the full steps. A pulse that is too fast or finds too much load moves the sequencer
and not the rotor; with the next pulse that can be followed the rotor jumps to the nearest stable place, so what stays
lost is always a multiple of four full steps.

A wire to the driver may be at fault (`WIRES`): what leaves the chip's pad is then not what the driver sees.
"""

from __future__ import annotations

import math

from haipump_emulator.plant.params import MotorParams, ScrewParams

# Each wire's faults, `ok` besides. `open`: no pulse arrives. `double`: each counts twice, as with ringing edges.
# `short`: every fourth is too short to count. `on`, `off`: EN is that, whatever the pad says.
WIRES = {"step": ("open", "double", "short"), "dir": ("flipped", "forward", "backward"), "en": ("on", "off")}
_SHORT_EVERY = 4


class Motor:
    """`rotor`, `sequencer` and `commanded` are signed microsteps since the start; +1 delivers."""

    __slots__ = (
        "_direction_before",
        "_electrical_turn",
        "_full_step",
        "_last_us",
        "_no_torque",
        "_owed",
        "_pull_in",
        "_reference",
        "_speed",
        "_torque",
        "_torque_drag",
        "_torque_per_n",
        "_wire",
        "commanded",
        "direction",
        "enabled",
        "energised",
        "faulted",
        "ignored",
        "loss",
        "missed",
        "powered",
        "rotor",
        "sequencer",
        "stalled",
    )

    def __init__(self, motor: MotorParams, screw: ScrewParams) -> None:
        self._full_step = motor.microsteps
        self._electrical_turn = 4 * motor.microsteps
        self._pull_in = motor.pull_in_steps_per_s
        self._no_torque = motor.no_torque_steps_per_s
        self._torque = motor.torque_n_mm
        # Torque of a screw: force * lead / (2 pi efficiency); lead in mm gives N mm.
        self._torque_per_n = screw.lead_um / 1_000 / (2 * math.pi * screw.efficiency)
        self._torque_drag = screw.drag_n * self._torque_per_n
        self.rotor = self.sequencer = self.commanded = 0
        self.missed = self.ignored = self._reference = 0
        self.direction = self._direction_before = 1
        self.enabled = self.energised = self.faulted = False
        self.powered = True
        self._wire: dict[str, str] = {}
        self.stalled = False  # the rotor is blocked
        self.loss = self._owed = 0  # of 1,000 pulses at STEP
        self._last_us = -(10**15)
        self._speed = 0.0

    @property
    def position_uncertain(self) -> bool:
        """No current, or the rotor is not where the pulses since the last `refer` say."""
        return not self.energised or self.rotor - self.commanded != self._reference

    def pulse(self, t_us: int, load_n: float, room: tuple[float, float]) -> int:
        """One rising edge at STEP, under `load_n` of thrust; returns the microsteps the rotor moves (mostly +1 or -1).

        `room` is how many microsteps the hard stops leave (backwards as a negative number, forwards).
        """
        direction = self.direction
        self.commanded += direction
        if not self.energised or (self.loss and self._lost()):
            self.ignored += 1
            return 0
        count = 1
        if self._wire:
            direction, count = self._through_the_wire(direction)
            if not count:
                self.ignored += 1
                return 0
        self.sequencer += count * direction
        elapsed = t_us - self._last_us
        self._last_us = t_us
        if direction != self._direction_before:
            self._direction_before = direction
            self._speed = 0.0
        speed = 1e6 / elapsed if elapsed > 0 else math.inf
        needed = abs(load_n) * self._torque_per_n + self._torque_drag
        if self.stalled or speed - self._speed > self._pull_in or needed > self._torque * (1 - speed / self._no_torque):
            return self._miss()
        moved = self.sequencer - self.rotor
        if moved != direction:
            moved = self._pulled()
        if not room[0] <= moved <= room[1]:
            return self._miss()
        self._speed = speed
        self.rotor += moved
        return moved

    def wire(self, line: str, fault: str) -> None:
        """A wire of WIRES gets one of its faults, or is `ok`. ValueError for others."""
        if fault != "ok" and fault not in WIRES.get(line, ()):
            known = "; ".join(f"{name}: ok, {', '.join(faults)}" for name, faults in WIRES.items())
            raise ValueError(f"no fault {fault!r} of wire {line!r}; there are {known}")
        self._wire.pop(line, None)
        if fault != "ok":
            self._wire[line] = fault

    def _through_the_wire(self, direction: int) -> tuple[int, int]:
        """Direction and number of the pulses that the driver sees of one."""
        turned = {"flipped": -direction, "forward": 1, "backward": -1}.get(self._wire.get("dir", ""), direction)
        step = self._wire.get("step")
        if step == "short":
            return turned, 0 if self.commanded % _SHORT_EVERY == 0 else 1
        return turned, {"open": 0, "double": 2}.get(step or "", 1)

    def turn(self, steps: int, room: tuple[float, float]) -> int:
        """Somebody turns the shaft; returns the microsteps that it goes. Under current it holds."""
        if self.energised:
            return 0
        moved = max(math.ceil(room[0]), min(math.floor(room[1]), steps))
        self.rotor += moved
        return moved

    def _lost(self) -> bool:
        """This pulse does not reach the driver: `loss` of 1,000, evenly."""
        self._owed += self.loss
        lost = self._owed >= 1_000
        self._owed -= 1_000 * lost
        return lost

    def _miss(self) -> int:
        self.missed += 1
        self._speed = 0.0
        return 0

    def _pulled(self) -> int:
        """Way to the nearest stable place under current; backwards when two are equally near."""
        half = self._electrical_turn // 2
        return (self.sequencer - self.rotor + half) % self._electrical_turn - half

    def switch(self, room: tuple[float, float]) -> int:
        """Apply EN, supply and driver fault as they are now; returns the microsteps the rotor moves by itself.

        Without current it falls into the nearest full step (backwards from the middle), with current it is pulled to
        where the sequencer stands.
        """
        enabled = {"on": True, "off": False}.get(self._wire.get("en", ""), self.enabled)
        energised = enabled and self.powered and not self.faulted
        if energised == self.energised:
            return 0
        self.energised = energised
        self._speed = 0.0
        if energised:
            moved = self._pulled()
        else:
            half = self._full_step // 2
            moved = half - (self.rotor + half) % self._full_step
            if moved > 0 and 2 * moved == self._full_step:
                moved -= self._full_step
        if not room[0] <= moved <= room[1]:
            return 0
        self.rotor += moved
        return moved

    def refer(self) -> None:
        """The carriage was placed by hand: from here on the position counts as known."""
        self._reference = self.rotor - self.commanded

    def reset_sequencer(self) -> None:
        """The driver lost its supply: its sequencer starts at home, an electrical zero, whatever it stood at."""
        self.sequencer -= self.sequencer % self._electrical_turn
