"""haipump firmware: one package, the same on the Pico, in the emulator and in the wheel."""
