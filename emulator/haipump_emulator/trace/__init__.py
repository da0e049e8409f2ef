"""Recordings of emulator runs: write, read, export, replay, compare.

Owns: the names other parts import. Must not: import the command line, or a core.
"""

from haipump_emulator.trace.compare import Difference, compare
from haipump_emulator.trace.doors import Core
from haipump_emulator.trace.format import KINDS, Header, Trace, TraceError, load
from haipump_emulator.trace.recorder import Recorder, firmware_hash

__all__ = [
    "KINDS",
    "Core",
    "Difference",
    "Header",
    "Recorder",
    "Trace",
    "TraceError",
    "compare",
    "firmware_hash",
    "load",
]
