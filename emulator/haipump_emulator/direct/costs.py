"""What the firmware's work costs on the chip, in microseconds of simulated time unless the name says otherwise.

Owns: the one table. `make costs` measures it on the emulated RP2040 and writes the numbers; a chip test fails when they
are off. Must not: be changed by hand, or decide when something is charged. Erase and program contain the flash's own
time, typical by its data sheet.
"""

CONSOLE_IN_US = 23  # a byte read
CONSOLE_OUT_US = 65  # a byte written
PROGRAM_US = 947  # programming one byte, with its read-back ...
PROGRAM_BYTE_US = 10  # ... and each further one
ERASE_US = 45_651  # a sector, with its read-back; the flash alone may take 400,000
FLASH_READ_US = 56  # one read, up to a page: the bytes themselves cost nothing that shows
ADC_US = 23  # one reading
ODOMETER_US = 53
COLLECT_US = 22_015
HEAP_FREE_US = 8_349  # to ask how much is left
HEAP_BYTES = 104_528  # free after a collection, bytes
ALLOCATED_PER_BYTE = 10  # what a byte in or out leaves on the heap (lines, answers, numbers), bytes
MODULE_US = 18_198  # to load a module that is needed for one message ...
ALLOCATED_PER_MODULE = 3_424  # ... which leaves this behind
CODE_FILE_US = 4_600  # to read a file of the application again, and to hash it: on average of all
PASS_US = 1_871  # a pass of the loop in motion, without what is charged by itself
LINE_US = 4_048  # to take a line apart and put its answer together
PLAN_US = 20_310  # on top of that for one that works out or changes a plan
