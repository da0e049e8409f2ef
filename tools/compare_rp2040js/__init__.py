"""Our emulated chip against rp2040js, the emulator of the RP2040 that others use: same image, same guest, same machine.

Owns: the guests, our and their half of a run, and the rows of `make bench` that compare the two. Must not: be needed by
anything else. What is compared and what it means: docs/benchmarks.md.
"""
