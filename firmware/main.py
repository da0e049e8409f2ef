"""What the Pico runs after boot.py: builds the ports of the board, hands them to the application, and runs it.

Owns: what happens when anything fails. Must not: return to the REPL, except in service, when nothing was started.
"""

# While files are loaded, memory is collected each time that so many bytes were taken: else what a file's reading leaves
# behind lies between what stays, and there is no room for large things any more. Running, the application decides.
_LOADING_BYTES = 114_000
_UNSTARTED_PAUSE_MS = 3000  # an application that can't start must not reset faster than somebody can read why


def start():
    """Run the application; returns only in service."""
    import gc

    import micropython

    micropython.kbd_intr(-1)  # again: the interpreter gives Ctrl-C back before each of the two files
    gc.threshold(_LOADING_BYTES)
    from haipump_fw.ports.rp2 import scratch

    if scratch.service_requested():
        return
    from haipump_fw.app import App
    from haipump_fw.ports.rp2.board import make_ports

    ports = make_ports()
    gc.threshold(-1)
    app = App(ports)
    global _pause_ms
    _pause_ms = 0
    app.run()
    raise RuntimeError("the loop has ended")


def give_up(problem):
    """Outputs safe, cause written down, traceback to whoever listens, reset. Does not return."""
    import machine

    try:
        from haipump_fw.ports.rp2 import board, scratch

        board.shut_down()
        scratch.note_cause(scratch.CAUSE_FAULT)
        import sys
        from time import sleep_ms

        # With the motor off it may take its time; a host that does not read costs half a second a piece.
        sys.print_exception(problem)
        sleep_ms(_pause_ms)
    finally:
        machine.reset()


_pause_ms = _UNSTARTED_PAUSE_MS
try:
    start()
except BaseException as problem:
    give_up(problem)
