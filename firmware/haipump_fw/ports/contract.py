"""What a port must do. The board (`ports.rp2`), and the emulator's `direct` core, each hand `App` one `Ports`.

Owns: the contract, as documented classes that do nothing: they exist to be read and to be checked against, so they are
not installed (3 kB of heap). Must not: import hardware names or be inherited for behaviour. No port call blocks longer
than its docstring says, and none allocates where it says so.

Directions: +1 pushes the plunger (delivers), -1 pulls it back.
"""


class Clock:
    def ticks_us(self):
        """Microseconds since some moment, modulo TICKS_PERIOD. Allocates nothing."""


class Steps:
    """The step generator: a FIFO in hardware (depth set by `configure`), refilled by interrupt from a ring of 64 words.

    A word is the delay in microseconds from the pulse before (its rising edge) to the next pulse, 250 to 536,870,911.
    The rising edge is the moment of the step. DIR must not change while words are queued.
    """

    def configure(self, fifo_depth):
        """Words that the interrupt keeps in the FIFO, 1 to 8."""

    def begin(self, direction, delay_us):
        """From idle: set DIR to `direction` and queue the first pulse `delay_us` (1 or more) after now, at the earliest
        when the call is over."""

    def put(self, delay_us):
        """Queue one pulse `delay_us` after the last queued one. False (and nothing queued) when the ring is full."""

    def put_all(self, words, count):
        """Queue `count` (up to 16) pulses, each words[i] after the one before. False (and nothing queued) when there is
        not room for all. Allocates nothing."""

    def queued(self):
        """Words not yet turned into a pulse (ring, FIFO and the one that is being counted down). Allocates nothing."""

    def starved(self):
        """True when the machine has run out of words since `begin`: no pulse will come."""

    def halt(self):
        """Stop at once and forget all words. Returns how many of them made no pulse. Safe at any time."""

    def guard(self, words):
        """How many edges the STEP pad may show from now on: those of so many words, and one; -1: 31 edges. Asked for
        after every word or row. One edge more releases the pad, stops the steps and switches the motor off, whatever
        the program does at that moment (`Inputs.tripped` has IN_EDGES then); `halt` lifts it. Allocates nothing."""

    def odometer(self):
        """Signed count of edges at the STEP pad since power-up, modulo 2**29, by a counter that believes nobody."""


class Motor:
    def enable(self, on):
        """EN of the driver; the pad is released at reset and an outside pull-up turns the motor off."""

    def enabled(self):
        """What EN was last set to."""

    def works(self):
        """The pad of EN shows what it was set to."""


class Sensors:
    """Raw 16-bit readings, 0 to 65535. Each takes about 13 us. The app converts them with whole numbers."""

    def pressure_raw(self):
        """Line pressure; see the options pressure_zero_raw, pressure_span_raw, pressure_full_pa."""

    def encoder_raw(self):
        """Motor shaft angle: 0 to 65535 is one turn, rising in direction +1."""

    def supply_mv(self):
        """Supply in millivolts."""

    def temperature_mc(self):
        """Board temperature in thousandths of a degree Celsius."""


class Inputs:
    """`latched` and `trips` are what `pressed` and `tripped` would say now: mostly 0."""

    def read(self):
        """The IN_ bits, as the pins are now (contact bounce is the app's business). Allocates nothing."""

    def pressed(self):
        """IN_ bits that became active since the last call, caught by interrupt: no press is missed."""

    def guard(self, bits):
        """Until the next call, an input of `bits` that changes to its dangerous level (active, IN_CAPTURED: not active)
        stops the steps where they are and switches the motor off: in its interrupt, whatever the program does at that
        moment. Only for inputs whose dangerous level is a high pin."""

    def tripped(self):
        """IN_ bits that did so since the last call. Allocates nothing."""


class Panel:
    """What flashes and what sounds goes on by itself until it is told otherwise, whatever the program does. A rhythm is
    a tuple of beats (BEAT_MS) on, off, on, off ...; after the last one it begins anew. The first beat comes within
    one."""

    def leds(self, mask):
        """Light exactly the LEDs of the mask, but for one that flashes."""

    def flash(self, led, rhythm):
        """From now on this LED (red or yellow) flashes, by a rhythm of two numbers; 0: none does."""

    def sound(self, frequency_hz, rhythm):
        """From now on the piezo sounds at this frequency, in this rhythm; 0: it is silent."""

    def quiet(self):
        """The piezo makes no pulse in the next ten beats, or so (nine are certain): whatever stops the CPU for so long
        changes nothing that is heard. Allocates nothing."""

    def works(self):
        """The pads of lamps and piezo follow what drives them, both ways, too short for a person to see; the lamps are
        as before then, the piezo is off."""


class Console:
    """Bytes to and from the host. Never blocks."""

    def readinto(self, buf):
        """Read what is there, at most len(buf) bytes; returns how many. Costs 43 us a byte."""

    def write(self, buf, first, last):
        """Write the bytes from `first` to before `last` of `buf`, as many of them as there is room for now; returns how
        many were taken. Costs 50 us a byte. Allocates nothing."""

    def attached(self):
        """A host that is awake is at the other end of the cable. Takes a millisecond at most, and no memory."""

    def expect(self):
        """`attached` will be asked for in a few milliseconds, and needs not wait then."""


class Flash:
    """The raw partition. Program only turns 1 bits into 0. Addresses count from its start."""

    size = 0x40000
    sector = 4096
    page = 256

    def read(self, address, buf):
        """Fill `buf`."""

    def program(self, address, data):
        """Program `data`, which must lie inside one page (it may start and end anywhere in it). About 1 ms, with the
        CPU stopped. Raises OSError when it failed."""

    def erase(self, address):
        """Erase the sector that starts at `address`: 45 ms typical, up to 400 ms, CPU stopped. Raises OSError."""


class Watchdog:
    def start(self, timeout_ms):
        """Start; it can't be stopped again."""

    def feed(self):
        """Called from one place only."""


class System:
    interpreter = "micropython-1.25.0"
    board = "rpi_pico"
    app_hash = "0"  # hex: SHA-256 over the shipped files

    def reset(self, cause):
        """Reset the chip; `cause` (RESET_REQUEST, RESET_FAULT) is what `reset_cause` says afterwards. Does not return:
        the `direct` core raises."""

    def reset_cause(self):
        """Why the chip came up: one of RESET_."""

    def device_id(self):
        """16 hex digits."""

    def random(self, count):
        """`count` random bytes."""

    def collect(self):
        """Collect garbage: 13 to 20 ms."""

    def hold(self, on):
        """From now on nothing may take memory: an attempt raises MemoryError; False: it may again. What a function
        needs is on the stack meanwhile: in a heap that is long in use, to find room for it takes as long as to run."""

    def check_code(self, between):
        """Read files of the application again from where they are stored: all, in a third of a second, or with
        `between`, which is called every few milliseconds, the next few, in a tenth. False when they are not as they
        were installed, which shows with the last one (or when one can't be read); else True. None: not possible, for
        nobody knows how they were (`app_hash` is "0")."""

    def forget(self, module):
        """Let go of a module of the application that was imported for a moment: nothing refers to it any more."""

    def drop(self, owner, name):
        """Let go of a method that nobody calls any more in this run."""

    def heap_free(self):
        """Free heap in bytes."""

    def task(self):
        """What `note_task` wrote before the last reset; 0 after a power cut."""

    def note_task(self, number):
        """Write down which task runs, 0 to 255, where a reset of the chip leaves it alone. Allocates nothing."""

    def enter_service(self):
        """Note it where a reset does not clear it, and reset into the REPL for mpremote."""
