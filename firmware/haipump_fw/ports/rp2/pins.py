"""Which pin of the Pico is what: the one table that the board, the emulator's wiring and docs/wiring.md read.

Owns: names, GPIO numbers, active levels, pulls. Must not: import anything of the hardware, or know what a pin does.
"""

from haipump_fw.const import const

NAME, GPIO, KIND, ACTIVE, PULL = range(5)

# (name, GPIO, kind, active level, pull inside the chip). Kind: "pio" is driven by a state machine, "out" by a register,
# "pwm" by a PWM slice; "in" is read, "adc" is measured. The active level of dir is the one of direction +1 (pushing).
PINS = (
    ("step", 2, "pio", 1, ""),
    ("dir", 3, "out", 1, ""),
    ("en", 4, "out", 0, ""),  # outside pull-up of 10 kOhm to 3.3 V: a reset floats the pin, and that means motor off
    # Inputs stand on consecutive pins in the order of the IN_ bits, so that one register read takes them all at once.
    ("front", 5, "in", 1, "up"),  # normally closed to ground: pressed, or a broken wire, reads 1
    ("back", 6, "in", 1, "up"),
    ("captured", 7, "in", 0, "up"),  # closed to ground only while a syringe is held
    ("diag", 8, "in", 1, "down"),
    ("service", 9, "in", 0, "up"),
    ("start", 10, "in", 0, "up"),
    ("stop", 11, "in", 1, "up"),  # normally closed, as an end switch: a broken wire stops the pump
    ("silence", 12, "in", 0, "up"),
    ("red", 13, "out", 1, ""),
    ("yellow", 14, "out", 1, ""),
    ("green", 15, "out", 1, ""),
    ("piezo", 16, "pwm", 1, ""),
    ("smps", 23, "out", 1, ""),  # on the Pico itself: 1 keeps its regulator in PWM mode, which quietens the ADC
    ("pressure", 26, "adc", 1, ""),
    ("encoder", 27, "adc", 1, ""),
    ("vsys", 29, "adc", 1, ""),  # on the Pico itself: a third of VSYS
)

TEMPERATURE_CHANNEL = const(4)  # of the ADC: the sensor inside the chip
INPUT_FIRST = const(5)  # GPIO of bit 0 of the IN_ bits
INPUT_COUNT = const(8)


def row(name):
    """The row of one pin; an unknown name raises KeyError."""
    for entry in PINS:
        if entry[NAME] == name:
            return entry
    raise KeyError(name)


def gpio(name):
    """The GPIO number of one pin."""
    return int(row(name)[GPIO])


def active(name):
    """The level, 0 or 1, at which one pin is active."""
    return int(row(name)[ACTIVE])
