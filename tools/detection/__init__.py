"""Detection: what fault is seen after which time and volume. `table` states it, `measure` proves it on the plant.

Owns: nothing but the name. Must not: import the tests' tools by itself.
"""
