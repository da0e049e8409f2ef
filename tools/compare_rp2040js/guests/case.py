"""How much of its work a guest does. The bench puts a file with other numbers in the place of this one."""

SECONDS = 10  # idle: how long it sleeps
ROUNDS = 10_000  # busy: turns of its loop
# stepping: the delay before each pulse, how many, how often the loop wakes up, words kept in the FIFO, when it ends
DELAY_US = 3_326
PULSES = 300
TICK_MS = 10
WORDS_AHEAD = 4
RUN_MS = 1_100
