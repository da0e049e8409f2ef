"""The self test: what can be checked in a second without moving anything.

Owns: the checks and their names. Must not: act on the result.
"""

import binascii
import hashlib

from haipump_fw import ports as contract
from haipump_fw.const import const

PRESSURE_RAW_MIN = const(500)  # a cut wire reads 0, a short 65535; the sensor's own range is 0.2 to 4.7 V, divided
PRESSURE_RAW_MAX = const(65_000)  # highest reading that is one
SUPPLY_MV_MIN = const(4_300)
SUPPLY_MV_MAX = const(5_600)
TEMPERATURE_MC_MIN = const(-10_000)
TEMPERATURE_MC_MAX = const(70_000)
_BUTTONS = contract.IN_START | contract.IN_STOP | contract.IN_SILENCE
_ENDS = contract.IN_FRONT | contract.IN_BACK


def failures(ports):
    """Names of the checks that failed, none when all is well."""
    inputs = ports.inputs.read()
    sensors = ports.sensors
    checks = (
        ("digest", digest_works()),
        ("motor", not ports.motor.enabled()),
        ("steps", ports.steps.queued() == 0),
        ("pressure_sensor", PRESSURE_RAW_MIN <= sensors.pressure_raw() <= PRESSURE_RAW_MAX),
        ("supply", SUPPLY_MV_MIN <= sensors.supply_mv() <= SUPPLY_MV_MAX),
        ("temperature", TEMPERATURE_MC_MIN <= sensors.temperature_mc() <= TEMPERATURE_MC_MAX),
        ("end_switches", inputs & _ENDS != _ENDS),
        ("driver", not inputs & contract.IN_DIAG),
        ("button_stuck", not inputs & _BUTTONS),
        ("flash", _flash_reads(ports.flash)),
    )
    return [name for name, good in checks if not good]


def digest_works():
    """CRC-32 and SHA-256 give known answers: processor, memory and interpreter do what they should."""
    return binascii.crc32(b"123456789") == 0xCBF43926 and hashlib.sha256(b"abc").digest()[:4] == b"\xba\x78\x16\xbf"


def _flash_reads(flash):
    """Two reads of the same page agree."""
    first = bytearray(flash.page)
    second = bytearray(flash.page)
    try:
        flash.read(0, first)
        flash.read(0, second)
    except OSError:
        return False
    return first == second
