"""The host's own reading of the serial protocol; the firmware has another one, and each checks the other."""
