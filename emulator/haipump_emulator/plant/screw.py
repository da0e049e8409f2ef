"""Screw, nut and pusher: from rotor position to pusher position, both as nanolitres of syringe volume.

Owns: screw and microstep error, backlash, hard stops and end switches. Must not: know forces, pressure or time.

Positions are volumes (position times the true bore's area), zero where the syringe is at its full mark. The nut stands
at `rotor * step + error(rotor modulo one turn)`; the pusher follows it through a dead zone. The dead zone doesn't
depend on the load (drag of the carriage holds the pusher when the nut leaves it).
"""

from __future__ import annotations

import math

from haipump_emulator.plant.params import PlantParams


class Screw:
    """`nut` and `pusher` in nL from the full mark."""

    __slots__ = (
        "_back_stop",
        "_back_switch",
        "_backlash",
        "_error",
        "_front_stop",
        "_front_switch",
        "_offset",
        "_turn",
        "area_mm2",
        "nut",
        "pusher",
        "step_nl",
    )

    def __init__(self, params: PlantParams) -> None:
        screw, motor, syringe = params.screw, params.motor, params.syringe
        area = math.pi / 4 * syringe.bore_mm**2  # mm2, which is nL per um
        self.area_mm2 = area
        self._turn = motor.full_steps_per_turn * motor.microsteps
        self.step_nl = area * screw.lead_um / self._turn
        inside = motor.microstep_error_full_steps * motor.microsteps * self.step_nl
        self._error = [
            area * screw.error_um * math.sin(2 * math.pi * i / self._turn)
            + inside * math.sin(2 * math.pi * (i % motor.microsteps) / motor.microsteps)
            for i in range(self._turn)
        ]
        self._backlash = area * screw.backlash_um
        empty = float(syringe.capacity_nl)
        self._front_switch = empty - area * screw.front_switch_before_empty_um
        self._front_stop = empty + area * screw.front_stop_after_empty_um
        self._back_switch = -area * screw.back_switch_before_full_um
        self._back_stop = -area * screw.back_stop_before_full_um
        self._offset = self.nut = self.pusher = 0.0

    def place(self, rotor: int, position: float) -> None:
        """Put nut and pusher at `position` by hand (half nut open), backlash taken up for pushing."""
        self._offset = position - rotor * self.step_nl - self._error[rotor % self._turn]
        self.nut = self.pusher = position

    def slide(self, microsteps: int) -> None:
        """The coupling slips: the rotor has turned so far without the screw."""
        self._offset -= microsteps * self.step_nl

    def set_backlash(self, um: float) -> None:
        """Another dead zone, opened on the side behind. A nut that stands deeper in it than it is now moves nothing: it
        is put where it begins, for what was worn is exchanged by hand."""
        self._backlash = self.area_mm2 * um
        beyond = self.pusher - self._backlash - self.nut
        if beyond > 0:
            self._offset += beyond
            self.nut += beyond

    def turn_to(self, rotor: int) -> float:
        """The rotor is at `rotor` now; returns how far the pusher moved."""
        nut = rotor * self.step_nl + self._error[rotor % self._turn] + self._offset
        self.nut = nut
        before = self.pusher
        if nut > before:
            self.pusher = nut
        elif nut + self._backlash < before:
            self.pusher = nut + self._backlash
        else:
            return 0.0
        return self.pusher - before

    def room(self) -> tuple[float, float]:
        """Microsteps to the hard stops, behind (negative) and ahead."""
        step = self.step_nl
        return (self._back_stop - self.nut) / step, (self._front_stop - self.nut) / step

    @property
    def at_front(self) -> bool:
        """Front end switch."""
        return self.nut >= self._front_switch

    @property
    def at_back(self) -> bool:
        """Back end switch."""
        return self.nut <= self._back_switch
