"""Guest: nothing but the first line of main.py; what is measured is the time until it runs."""

from machine import Pin

mark = Pin(14, Pin.OUT, value=1)
mark(0)
