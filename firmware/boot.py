"""What the Pico runs first: takes Ctrl-C away and reserves the memory in which an interrupt's exception is kept.

Owns: nothing that moves. Must not: fail into the REPL, or need a file of ours (main.py does the rest, and looks whether
service was asked for).
"""

try:
    import micropython

    micropython.kbd_intr(-1)
    micropython.alloc_emergency_exception_buf(100)
except BaseException:  # a Ctrl-C before the line above would end here, and in the REPL after that
    import machine

    machine.reset()
