"""The emulator of the pump: simulated mechanics, the cores that run the firmware on them, how to reach them."""
