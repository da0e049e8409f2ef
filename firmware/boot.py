"""What the Pico runs first: takes Ctrl-C away, reserves the memory in which an interrupt's exception is kept, and sees
to it that service ends by itself.

Owns: nothing that moves. Must not: fail into the REPL, or need a file of ours (main.py does the rest).
mpremote resets the interpreter when it begins, which runs this file and not main.py: the time of service counts anew.
"""

try:
    import micropython

    micropython.kbd_intr(-1)
    micropython.alloc_emergency_exception_buf(100)
except BaseException:  # a Ctrl-C before the line above would end here, and in the REPL after that
    import machine

    machine.reset()

import machine

if machine.mem32[0x40058010] == 0x2E5B71CE:  # scratch.service_requested(), of which files may just be half written

    def _service_over(_timer):
        machine.mem32[0x40058010] = 0
        machine.reset()

    # Held by its name: a timer that nobody holds is collected, and gone.
    service_timer = machine.Timer(-1, mode=machine.Timer.ONE_SHOT, period=1_800_000, callback=_service_over)
