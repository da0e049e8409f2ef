"""What the application and its ports share: the bits, the words, and `Ports` itself. `contract` describes each port.

Owns: names. Must not: import hardware names, or do anything.
"""

# Bits of `Inputs.read()`: 1 means active, whatever the level on the wire.
IN_FRONT = 1  # front end switch: plunger at the end of its travel (syringe empty)
IN_BACK = 2  # back end switch: home
IN_CAPTURED = 4  # plunger-capture switch closed: a syringe is held
IN_DIAG = 8  # driver reports an error
IN_SERVICE = 16  # service jumper closed
IN_START = 32  # buttons
IN_STOP = 64
IN_SILENCE = 128
IN_EDGES = 256  # of `Inputs.tripped()` only: more pulses than words, see `Steps.guard`

# Bits of what `Ports.wait` returns; none: the time was over.
WOKEN_HEARD = 1  # there is something to read from the host
WOKEN_EDGE = 2  # an input changed

# Bits of `Panel.leds()`
LED_RED = 1
LED_YELLOW = 2
LED_GREEN = 4

BEAT_MS = 50  # what `Panel.flash` and `Panel.sound` play is timed in beats

# Reset causes of `System.reset_cause()`
RESET_POWER = "power"
RESET_WATCHDOG = "watchdog"
RESET_REQUEST = "request"  # deliberate: service left, settings asked for it
RESET_FAULT = "fault"  # an exception reached main.py

TICKS_PERIOD = 1 << 30  # `ticks_us` wraps here: 17.9 minutes


class Ports:
    """What App is built from."""

    def __init__(self, clock, steps, motor, sensors, inputs, panel, console, flash, watchdog, system, wait):
        self.clock = clock
        self.steps = steps
        self.motor = motor
        self.sensors = sensors
        self.inputs = inputs
        self.panel = panel
        self.console = console
        self.flash = flash
        self.watchdog = watchdog
        self.system = system
        self.wait = wait  # wait(us): sleep at most so long, less on console input or an input's edge; WOKEN_ bits
