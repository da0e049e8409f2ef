"""The emulator of the pump: simulated mechanics, the cores that run the firmware in front of them, and the ways to reach them."""
