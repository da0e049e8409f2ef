"""The emulator of the pump: simulated mechanics, cores that run the firmware in front of them, and how to reach them."""
