"""What released versions left in the flash, kept for ever: later versions must read it, or refuse it and say so."""
