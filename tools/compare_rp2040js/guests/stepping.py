"""Guest: steps from PIO, one FIFO word per step, fed from a loop that sleeps in a poll on its console.

A word is the delay before a pulse: pulse N + 1 comes DELAY_US + 8 us after pulse N, whatever the loop does meanwhile.
No more than 4 words are ahead, and the FIFOs are not joined: rp2040js has no deeper ones.
"""

import select
import sys
import time

import case
import rp2
from machine import Pin

TYPE_CHECKING = False  # a type checker takes this for true; on the device asm_pio itself provides the names
if TYPE_CHECKING:
    from rp2.asm_pio import block, jmp, label, mov, osr, pins, pull, set, x, x_dec


@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)
def stepper():
    pull(block)
    mov(x, osr)
    label("count")
    jmp(x_dec, "count")
    set(pins, 1)[3]
    set(pins, 0)


console = select.poll()
console.register(sys.stdin, select.POLLIN)
steps = rp2.StateMachine(0, stepper, freq=1_000_000, set_base=Pin(2))
steps.active(1)
words = case.PULSES
mark = Pin(14, Pin.OUT, value=1)
began = time.ticks_ms()
left_ms = case.RUN_MS
while left_ms > 0:
    while words and steps.tx_fifo() < case.WORDS_AHEAD:
        steps.put(case.DELAY_US)
        words -= 1
    for _ in console.ipoll(min(case.TICK_MS, left_ms)):
        pass
    left_ms = case.RUN_MS - time.ticks_diff(time.ticks_ms(), began)
mark(0)
