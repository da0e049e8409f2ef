"""The direct core: the firmware's App on CPython, in process, in virtual time, with ports that talk to the plant.

Owns: virtual time, the ports, reset and power. Must not: know links, pacing or scenarios.
"""

from haipump_emulator.direct.core import DirectCore

__all__ = ["DirectCore"]
