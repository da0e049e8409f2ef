"""What is really so in the plant at one moment, for people, tests and traces; the firmware never sees it.

Owns: the record's fields and their units. Must not: compute.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Truth:
    """All volumes in nL since the start, all pressures in Pa above ambient.

    pushed = arrived + stored + leaked holds to better than a nanolitre; each is its own integral.
    """

    t_us: int
    pushed_nl: float  # left the barrel: swept by the stopper, plus thermal expansion
    arrived_nl: float  # through the tip of the line, wherever it lies; falls when blood flows back
    elsewhere_nl: float  # of that, while the tip lay out of the artery that it should lie in
    stored_nl: float  # in the compliance of barrel, line and air
    leaked_nl: float
    thermal_nl: float  # the part of pushed that warming did
    reservoir_nl: float  # capacity left ahead of the stopper
    pressure_pa: float  # at the outlet, mean over a heartbeat
    artery_pa: float  # in the artery at this instant, with its pulse
    temperature_c: float
    height_cm: float
    supply_mv: int
    commanded_steps: int  # pulses at STEP, signed by DIR
    motor_steps: int  # where the rotor is, microsteps from its start
    missed_steps: int  # pulses under current that the rotor did not follow when they came
    ignored_steps: int  # pulses without current, or that a bad wire lost
    carriage_um: float  # nut, from its place with the syringe at the full mark
    thrust_n: float  # pusher on plunger; negative pulls
    stopper: str  # "stuck", "sliding" or "free"
    slips: int  # how often the stopper broke loose
    switches: int  # IN_ bits as the plant has them, without sensor faults
    enabled: bool  # current in the motor
    position_uncertain: bool
    captured: bool
    occluded: bool  # anything in the line that was not there at the start
    leaking: bool
