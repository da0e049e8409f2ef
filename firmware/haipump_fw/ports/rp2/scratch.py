"""The watchdog's scratch registers: the only memory that a reset of the chip leaves alone and a power cut clears.

Owns: which register holds what. Must not: allocate when it writes; it is used while everything else fails.

Registers 4 to 7 belong to the boot ROM and to `machine.reset`; 0 to 2 are ours.
"""

from machine import mem32

from haipump_fw.const import const

_CAUSE = const(0x4005800C)  # SCRATCH0: why the next reset comes, _CAUSE_MARK plus a small number
_SERVICE = const(0x40058010)  # SCRATCH1: _SERVICE_MARK while service is wanted
_TASK = const(0x40058014)  # SCRATCH2: number of the running task, 0 to 255

# Marks are below 2**30: such a number is not an object on the heap.
_CAUSE_MARK = const(0x2A5A0000)
_SERVICE_MARK = const(0x2E5B71CE)

CAUSE_NONE = const(0)  # nobody announced the reset
CAUSE_REQUEST = const(1)
CAUSE_FAULT = const(2)


def note_cause(cause):
    """Write down why the reset that follows happens: one of CAUSE_."""
    mem32[_CAUSE] = _CAUSE_MARK + cause


def take_cause():
    """What was written down before the last reset, once: the next reset is unannounced again."""
    value = mem32[_CAUSE] - _CAUSE_MARK
    mem32[_CAUSE] = 0
    return value if CAUSE_REQUEST <= value <= CAUSE_FAULT else CAUSE_NONE


def request_service():
    """Let the boots that follow start neither application nor watchdog. mpremote resets more than once, so the wish
    holds until `leave_service` or a power cut."""
    mem32[_SERVICE] = _SERVICE_MARK


def leave_service():
    """Let the next boot start the application: `mpremote exec "..." reset` calls this."""
    mem32[_SERVICE] = 0


def service_requested():
    """True when this boot has to leave the REPL to mpremote."""
    return mem32[_SERVICE] == _SERVICE_MARK


def task():
    """The number that `note_task` left."""
    return mem32[_TASK] & 255


def note_task(number):
    """Number of the running task, 0 to 255; allocates nothing."""
    mem32[_TASK] = number & 255
