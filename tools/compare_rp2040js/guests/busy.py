"""Guest: never asleep, plain bytecode on small integers."""

import case
from machine import Pin


def work(rounds):
    total = 0
    for i in range(rounds):
        total = (total * 5 + i) & 0xFFFF
    return total


mark = Pin(14, Pin.OUT, value=1)
work(case.ROUNDS)
mark(0)
