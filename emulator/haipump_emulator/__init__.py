"""The emulator of the pump: simulated mechanics, the cores that run the firmware in front of them, ways to reach them."""
