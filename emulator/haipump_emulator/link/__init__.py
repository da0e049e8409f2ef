"""The outer end of the serial line: where a host finds the emulated pump, and what can befall its bytes.

Owns: carrying bytes between one client and one core, bounded in both directions. Must not: know the protocol, the
plant, or simulated time beyond passing it on to the fault filter.
"""
