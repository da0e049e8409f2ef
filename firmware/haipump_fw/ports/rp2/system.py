"""Reset and its causes, identity, randomness, memory.

Owns: what the chip and the interpreter say about themselves. Must not: decide when to reset or to collect.
"""

import gc
import io
import os
import sys
from binascii import hexlify

import machine
import micropython

from haipump_fw.ports import RESET_FAULT, RESET_POWER, RESET_REQUEST, RESET_WATCHDOG
from haipump_fw.ports.rp2 import scratch

_HASH_FILE = "app_hash"  # written beside main.py when the files of the manifest are installed: SHA-256 as 64 hex digits


def _reset_cause():
    """One of RESET_. `machine.reset` goes through the watchdog, and the chip can't tell the two apart: a note does."""
    if machine.reset_cause() == machine.PWRON_RESET:
        return RESET_POWER
    cause = scratch.take_cause()
    if cause == scratch.CAUSE_REQUEST:
        return RESET_REQUEST
    return RESET_FAULT if cause == scratch.CAUSE_FAULT else RESET_WATCHDOG


def _app_hash():
    try:
        with io.open(_HASH_FILE) as file:
            return file.read().strip()
    except OSError:  # put there by hand, file by file
        return "0"


class System:
    """See `contract.System`."""

    board = "rpi_pico"

    def __init__(self):
        self.interpreter = "micropython-%d.%d.%d" % tuple(sys.implementation.version[:3])
        self.app_hash = _app_hash()
        self._cause = _reset_cause()
        self._held = False
        self.code = None  # how far `check_code` is: hash and number of the files that it has read
        # The functions themselves: a method around one would cost as much again, a dozen times in each pass.
        self.task = scratch.task
        self.note_task = scratch.note_task

    def reset(self, cause):
        """Reset the chip; `cause` is RESET_REQUEST or RESET_FAULT. Does not return."""
        scratch.note_cause(scratch.CAUSE_REQUEST if cause == RESET_REQUEST else scratch.CAUSE_FAULT)
        machine.reset()

    def reset_cause(self):
        """Why the chip came up: one of RESET_."""
        return self._cause

    def device_id(self):
        """16 hex digits."""
        return hexlify(machine.unique_id()).decode()

    def random(self, count):
        """`count` random bytes of the ring oscillator. An emulated chip gives the same at every boot."""
        return os.urandom(count)

    def collect(self):
        """Collect garbage: 13 to 20 ms."""
        gc.collect()

    def hold(self, on):
        """Lock the heap (True), or unlock it; as often as one likes."""
        if on != self._held:
            self._held = on
            if on:
                micropython.heap_lock()
            else:
                micropython.heap_unlock()

    def forget(self, module):
        """Let go of a module that was imported for a moment, also in the package it belongs to."""
        name = module.__name__
        package, _, last = name.rpartition(".")
        del sys.modules[name]
        delattr(sys.modules[package], last)

    def check_code(self, between):
        """See `contract.System`."""
        from haipump_fw.ports.rp2 import code

        self.forget(code)
        return code.check(self, between)

    def drop(self, owner, name):
        """Put nothing in its place: its code is free with the next collection. (What is deleted stays in the table.)"""
        setattr(owner, name, None)

    def heap_free(self):
        """Free heap in bytes."""
        return gc.mem_free()

    def enter_service(self):
        """Reset into the REPL. Does not return."""
        scratch.request_service()
        self.reset(RESET_REQUEST)
