"""What flashes and what sounds: played by a hard interrupt, so that neither the program's work nor a collection of
memory changes its times.

Owns: the beat, which is state machine 3 of PIO block 0. Must not: know a priority, or what a lamp means. Loaded with
the first signal; the lamps and the piezo are those of `devices.Panel`.
"""

import rp2
from machine import disable_irq, enable_irq

from haipump_fw.const import const
from haipump_fw.ports import BEAT_MS

TYPE_CHECKING = False  # a type checker takes this for true; on the device asm_pio itself provides the names
if TYPE_CHECKING:
    from rp2.asm_pio import block, irq, jmp, label, mov, osr, pull, rel, x, x_dec

_SM_BEAT = const(3)
_BEAT_HZ = const(2_000)  # near the slowest that a state machine can be
_BEAT_WORD = BEAT_MS * 2 - 4  # cycles of a beat, less those of pull, irq, mov and the last jmp
_QUIET = const(8)  # more beats than this are left only in the long pauses
_HALF = const(32_768)  # duty of a square wave: the loudest that a piezo gets from one pin


# The interpreter's own timers interrupt only when the program lets them.
@rp2.asm_pio()
def beat():
    pull(block)
    irq(rel(0))
    mov(x, osr)
    label("count")
    jmp(x_dec, "count")


class Player:
    """`lamp` is the pin that flashes, or None."""

    def __init__(self, piezo):
        self.lamp = None
        self._piezo = piezo
        self._flash = self._burst = ()
        self._flash_at = self._burst_at = 0
        self._flash_left = self._burst_left = 0  # beats
        self._beating = False
        self._machine = rp2.StateMachine(_SM_BEAT, beat, freq=_BEAT_HZ)
        self._machine.irq(handler=self._beat, hard=True)
        self._machine.active(1)

    def flash(self, lamp, rhythm):
        """From now on this lamp flashes; None: none does."""
        state = disable_irq()
        if self.lamp is not None:
            self.lamp.value(0)
        self.lamp = lamp
        self._flash = rhythm
        self._flash_at = self._flash_left = 0
        self._start()
        enable_irq(state)

    def sound(self, frequency_hz, rhythm):
        """From now on the piezo sounds so (8 Hz and up); 0: it is silent."""
        self._piezo.duty_u16(0)
        if frequency_hz:
            self._piezo.freq(frequency_hz)
        state = disable_irq()
        self._piezo.duty_u16(0)
        self._burst = rhythm if frequency_hz else ()
        self._burst_at = self._burst_left = 0
        self._start()
        enable_irq(state)

    def quiet(self):
        """See `contract.Panel`."""
        return not self._burst or self._burst_left > _QUIET

    def _start(self):
        if not self._beating and (self.lamp is not None or self._burst):
            self._beating = True
            self._machine.put(_BEAT_WORD)

    def _beat(self, machine):
        """A beat has begun. Runs as a hard interrupt: it allocates nothing."""
        if self.lamp is None and not self._burst:
            self._beating = False
            return
        machine.put(_BEAT_WORD)
        if self.lamp is not None:
            if self._flash_left == 0:
                at = self._flash_at
                self.lamp.value(1 - at)
                self._flash_left = self._flash[at]
                self._flash_at = 1 - at
            self._flash_left -= 1
        if self._burst:
            if self._burst_left == 0:
                at = self._burst_at
                self._piezo.duty_u16(0 if at & 1 else _HALF)
                self._burst_left = self._burst[at]
                self._burst_at = at + 1 if at + 1 < len(self._burst) else 0
            self._burst_left -= 1
