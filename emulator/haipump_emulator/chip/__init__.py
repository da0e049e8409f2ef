"""The chip core: the real MicroPython image on an emulated RP2040, its pins wired to the plant.

Owns: everything between rp2040py and the plant. Must not: know links, pacing or scenarios, or need a hook in the
firmware.
"""

from haipump_emulator.chip.core import ChipCheckError, ChipCore, Report

__all__ = ["ChipCheckError", "ChipCore", "Report"]
