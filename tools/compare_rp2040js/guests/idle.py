"""Guest: asleep, as a pump between two ticks: wakes once a second from a poll on its console, and does nothing."""

import select
import sys

import case
from machine import Pin

console = select.poll()
console.register(sys.stdin, select.POLLIN)
mark = Pin(14, Pin.OUT, value=1)
for _ in range(case.SECONDS):
    for _ in console.ipoll(1000):
        pass
mark(0)
