"""What port calls cost on the chip, in microseconds of simulated time.

Owns: the one table. A chip test regenerates it. Source: measurements on the emulated RP2040 with MicroPython 1.25.0,
and the flash's data sheet for erase and program.
"""

CONSOLE_IN_US = 43  # a byte read
CONSOLE_OUT_US = 56  # a byte written
PAGE_PROGRAM_US = 960  # appending to a raw page
ERASE_US = 45_000  # typical; 400,000 at most
FLASH_READ_US_PER_64 = 8  # execute-in-place reads of 64 bytes into a buffer
ADC_US = 13  # one reading
ODOMETER_US = 28
COLLECT_US = 15_000  # collection with some 80 kB live
HEAP_BYTES = 100_000  # free after a collection
ALLOCATED_PER_BYTE = 40  # what handling a console byte leaves on the heap: lines, answers, numbers
PASS_US = 900  # one pass of the loop's own Python
"""`PASS_US` is an estimate from 2 ms of Python per busy tick; to be measured on the chip."""
