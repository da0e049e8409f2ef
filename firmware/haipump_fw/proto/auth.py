"""Codes from the key, for locked mode: HMAC-SHA256 on hashlib (MicroPython has no hmac module), and who signed.

Owns: the codes, the operator's key, the comparison. Must not: hold a key. Loaded only by a pump that has one.
"""

import hashlib

from haipump_fw.const import const
from haipump_fw.proto.messages import CONFIGURING, MAC_DIGITS, OPERATING

_BLOCK = const(64)  # bytes of a SHA-256 block


def hmac_sha256(key, data):
    """The 32 bytes of HMAC-SHA256 (RFC 2104); `key` has at most 64 bytes, else ValueError."""
    if len(key) > _BLOCK:
        raise ValueError("key")
    padded = key + bytes(_BLOCK - len(key))
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in padded]))
    inner.update(data)
    outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in padded]))
    outer.update(inner.digest())
    return outer.digest()


def mac(key, nonce, signed):
    """MAC_DIGITS hex digits (bytes) of a line: `nonce` is the text that hello sent, `signed` what is before ` mac=`."""
    code = hmac_sha256(key, nonce.encode() + b"|" + signed)
    return b"".join([b"%02x" % byte for byte in code[: MAC_DIGITS // 2]])


def same(one, other):
    """Compare two byte strings of one length in a time that does not tell where they differ."""
    if len(one) != len(other):
        return False
    differing = 0
    for at in range(len(one)):
        differing |= one[at] ^ other[at]
    return differing == 0


def operator_key(key):
    """The key with which everything goes but configuring; no way leads back to `key`."""
    return hmac_sha256(key, b"operate")


def role_of(key, nonce, code, signed):
    """CONFIGURING or OPERATING: by whose key the line was signed; 0: by nobody's. Always the same work."""
    operating = same(code, mac(operator_key(key), nonce, signed))
    configuring = same(code, mac(key, nonce, signed))
    return CONFIGURING if configuring else OPERATING if operating else 0


def proof(key, nonce, challenge):
    """What proves to a host with either key that the pump has it too (text)."""
    return mac(operator_key(key), nonce, b"proof|" + challenge.encode()).decode()
