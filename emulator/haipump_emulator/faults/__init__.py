"""Faults that the emulator can make happen: in the flash (`faults.flash`)."""
