"""The simulated bench rig: motor, syringe, line, artery and sensors.

Owns: physics. Must not: import the firmware, know a clock, or draw from the global random generator.
"""

from haipump_emulator.plant.params import (
    ArteryParams,
    EnvironmentParams,
    LineParams,
    MotorParams,
    PlantParams,
    ScrewParams,
    SensorFault,
    SensorsParams,
    SyringeParams,
    for_syringe,
)
from haipump_emulator.plant.plant import Plant
from haipump_emulator.plant.truth import Truth

__all__ = [
    "ArteryParams",
    "EnvironmentParams",
    "LineParams",
    "MotorParams",
    "Plant",
    "PlantParams",
    "ScrewParams",
    "SensorFault",
    "SensorsParams",
    "SyringeParams",
    "Truth",
    "for_syringe",
]
